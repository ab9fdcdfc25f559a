//! What happens at the same time, and what is given up half way without a power cut.

use std::{collections::BTreeSet, time::Duration};

use super::{
    oracle,
    stage::{Stage, reach, session, user},
    step::{Step, s},
};
use crate::{
    accounts::vault::{Fact, VaultChange},
    event::{Draft, build::content_from},
    rooms::Change,
    store::Batch,
};

/// Three accounts and two rooms that all of them are in.
async fn scene(seed: u64) -> (Stage, [u32; 2]) {
    let mut stage = Stage::new(seed).await;
    for name in ["al", "bo", "cy"] {
        stage.play(Step::Register { name: s(name), password: format!("{name} 1"), refresh: name == "bo" }).await;
    }
    let labels = [stage.fact(), stage.fact()];
    for label in labels {
        let invite = vec![s("bo"), s("cy")];
        stage.play(Step::Create { by: s("al"), label, public: false, invite }).await;
        stage.play(Step::Join { room: label, who: s("bo") }).await;
        stage.play(Step::Join { room: label, who: s("cy") }).await;
    }
    (stage, labels)
}

#[tokio::test]
async fn who_asks_to_be_let_in_opens_nothing() {
    let (mut stage, [label, _]) = scene(31).await;
    stage.play(Step::Register { name: s("di"), password: s("di 1"), refresh: false }).await;
    let said = stage.fact();
    stage.play(Step::Send { room: label, by: s("al"), fact: said }).await;
    let al = stage.come("al").await.unwrap();
    let room = reach(&stage.engine, label, &al).await.unwrap();
    let content = content_from(r#"{"join_rule":"knock"}"#).unwrap();
    let draft = Draft::state(&room.id, &user("al"), "m.room.join_rules", "", content);
    stage.engine.rooms.send_rotating(&room, draft, None).await.unwrap();
    stage.play(Step::Knock { room: label, who: s("di") }).await;
    oracle::check(&stage.machine, &stage.ghost).await.unwrap();
    stage.play(Step::Out { room: label, by: s("al"), who: s("cy"), ban: false }).await;
    stage.reboot().await;
    let vault = stage.come("di").await.unwrap().view();
    assert!(matches!(vault.rooms[&room.id].fact, Fact::Knocked(_)) && vault.rooms[&room.id].keys.is_empty());
    stage.come("al").await.unwrap();
    oracle::check(&stage.machine, &stage.ghost).await.unwrap();
    stage.play(Step::Invite { room: label, by: s("al"), who: s("di") }).await;
    oracle::check(&stage.machine, &stage.ghost).await.unwrap();
}

/// Carries `step` out and drops it where it next waits after `steps` disk steps; whether it ended before.
async fn give_up(stage: &mut Stage, step: &Step, steps: u64) -> bool {
    let fuse = stage.machine.backend.fuse();
    let last = fuse.count() + steps;
    let wait = async {
        while fuse.count() < last {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        end = stage.attempt(step, None) => { end.unwrap(); true }
        () = wait => false,
    }
}

#[tokio::test]
async fn a_step_that_is_given_up_leaves_memory_and_disk_together() {
    let (mut stage, [label, other]) = scene(32).await;
    let token = stage.ghost.accounts["bo"].tokens[0].clone();
    let fact = stage.fact();
    let steps = [
        Step::Out { room: label, by: s("al"), who: s("cy"), ban: false },
        Step::Generation { awake: vec![s("al"), s("bo"), s("cy")] },
        Step::Password { name: s("bo"), token, new: s("bo 2"), end_others: true },
        Step::Create { by: s("al"), label: fact, public: true, invite: vec![s("bo")] },
        Step::Register { name: s("di"), password: s("di 1"), refresh: false },
    ];
    for step in &steps {
        for patience in (0..).step_by(2) {
            let mut copy = stage.copy(patience).await;
            for name in ["al", "bo", "cy"] {
                copy.come(name).await.unwrap();
            }
            let done = give_up(&mut copy, step, patience).await;
            // Whoever was there goes on without a restart.
            for name in ["al", "bo"] {
                let token = copy.ghost.accounts[name].tokens[0].clone();
                let account = session(&copy.engine, &token).await.unwrap().account;
                for label in [label, other] {
                    let room = reach(&copy.engine, label, &account).await.unwrap();
                    let content = content_from(r#"{"msgtype":"m.text","body":"going on"}"#).unwrap();
                    let draft = Draft::message(&room.id, &user(name), "m.room.message", content);
                    // A writer that finds the room stopped under its hands comes again.
                    copy.engine.rooms.send(&room, draft, None).await.unwrap();
                }
                let change = VaultChange::AccountData("m.direct".to_owned(), Some(serde_json::json!({})));
                account.vault.change(&copy.engine.journals, |_| vec![change]).await.unwrap();
            }
            copy.reboot().await;
            let mut new = copy.ghost.clone();
            if !done {
                new.apply(step, Vec::new(), true);
                copy.ghost.miss(step);
            }
            let old = oracle::check(&copy.machine, &copy.ghost).await;
            let new = oracle::check(&copy.machine, &new).await;
            assert!(old.is_ok() || new.is_ok(), "{step:?} given up after {patience} disk steps: {old:?}, {new:?}");
            if done {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_write_that_is_dropped_stops_its_owner_and_the_next_request_loads_it_again() {
    let (mut stage, _) = scene(33).await;
    let refresh = stage.ghost.accounts["bo"].tokens[0].clone();
    let access = stage.engine.accounts.refresh(&refresh).await.unwrap().access.expose().to_owned();
    let account = stage.come("bo").await.unwrap();
    let change = |text: &str| VaultChange::AccountData("x".to_owned(), Some(serde_json::json!({ "text": text })));
    let mut writing = account.vault.write().await;
    writing.change(&stage.engine.journals, vec![change("lost")], &mut Batch::default()).unwrap();
    drop(writing);
    assert!(account.vault.change(&stage.engine.journals, |_| vec![change("refused")]).await.is_err());
    assert!(stage.engine.accounts.open(&user("bo")).is_none());
    let again = session(&stage.engine, &access).await.unwrap().account;
    assert!(again.view().account_data.get("x").is_none());
    again.vault.change(&stage.engine.journals, |_| vec![change("kept")]).await.unwrap();

    let house = stage.engine.house.awake().unwrap();
    let mut writing = house.write().await;
    let gone = crate::house::HouseChange::Account(s("al"), None);
    writing.change(&stage.engine.journals, vec![gone], &mut Batch::default()).unwrap();
    drop(writing);
    assert!(stage.engine.house.view().unwrap().accounts.contains_key("al"));
    stage.engine.house.change(|_| vec![crate::house::HouseChange::Stamp(s("al"), 1)]).await.unwrap();
    oracle::check(&stage.machine, &stage.ghost).await.unwrap();
}

#[tokio::test]
async fn rooms_that_rotate_at_once_do_not_wait_for_each_other() {
    let (mut stage, labels) = scene(34).await;
    let al = stage.come("al").await.unwrap();
    let rooms =
        [reach(&stage.engine, labels[0], &al).await.unwrap(), reach(&stage.engine, labels[1], &al).await.unwrap()];
    let (al, bo, cy) = (user("al"), user("bo"), user("cy"));
    let out = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::join!(
            stage.engine.rooms.put_out(&rooms[0], &al, &bo, false, Change::default()),
            stage.engine.rooms.put_out(&rooms[1], &al, &cy, false, Change::default()),
            stage.engine.renew(),
        )
    });
    let (first, second, ()) = out.await.unwrap();
    first.unwrap();
    second.unwrap();
    for (label, who) in [(labels[0], "bo"), (labels[1], "cy")] {
        stage.ghost.apply(&Step::Out { room: label, by: s("al"), who: s(who), ban: false }, Vec::new(), false);
    }
    oracle::check(&stage.machine, &stage.ghost).await.unwrap();
}

#[tokio::test]
async fn accounts_that_come_at_once_open_each_room_once() {
    let (mut stage, labels) = scene(35).await;
    stage.reboot().await;
    let tokens: Vec<String> = ["al", "bo", "cy"].map(|name| stage.ghost.accounts[name].tokens[0].clone()).to_vec();
    let engine = &stage.engine;
    let (al, bo, cy) =
        tokio::join!(session(engine, &tokens[0]), session(engine, &tokens[1]), session(engine, &tokens[2]));
    for came in [al, bo, cy] {
        came.unwrap();
    }
    assert_eq!(stage.engine.rooms.all_open().len(), 2);
    for label in labels {
        let fact = stage.fact();
        stage.play(Step::Send { room: label, by: s("bo"), fact }).await;
    }
    oracle::check(&stage.machine, &stage.ghost).await.unwrap();
}

#[tokio::test]
async fn mail_that_comes_while_its_owner_does_is_not_lost() {
    let (mut stage, _) = scene(36).await;
    stage.play(Step::Register { name: s("di"), password: s("di 1"), refresh: false }).await;
    let labels: BTreeSet<u32> = (0..6).map(|_| stage.fact()).collect();
    for label in &labels {
        stage.play(Step::Create { by: s("al"), label: *label, public: false, invite: Vec::new() }).await;
    }
    stage.reboot().await;
    let al = stage.come("al").await.unwrap();
    let token = stage.ghost.accounts["di"].tokens[0].clone();
    let engine = stage.engine.clone();
    let invites = async {
        for label in &labels {
            let room = reach(&engine, *label, &al).await.unwrap();
            engine.rooms.invite(&room, &user("al"), &user("di"), Change::default()).await.unwrap();
        }
    };
    let (came, ()) = tokio::join!(session(&engine, &token), invites);
    came.unwrap();
    for label in labels {
        stage.ghost.apply(&Step::Invite { room: label, by: s("al"), who: s("di") }, Vec::new(), false);
    }
    // He comes alone to every one of them.
    stage.reboot().await;
    let di = stage.come("di").await.unwrap();
    for label in stage.ghost.rooms.iter().filter(|(_, room)| room.members.contains_key("di")).map(|(label, _)| *label) {
        reach(&stage.engine, label, &di).await.unwrap();
    }
    oracle::check(&stage.machine, &stage.ghost).await.unwrap();
}

#[tokio::test]
async fn passwords_changed_at_once_leave_one() {
    let (mut stage, _) = scene(37).await;
    stage.play(Step::Login { name: s("al"), refresh: false }).await;
    let tokens = stage.ghost.accounts["al"].tokens.clone();
    let engine = stage.engine.clone();
    let sessions = [session(&engine, &tokens[0]).await.unwrap(), session(&engine, &tokens[1]).await.unwrap()];
    let secret = |text: &str| crate::secret::SecretText::new(text.to_owned());
    let (first, second) = tokio::join!(
        engine.accounts.change_password(&sessions[0], secret("al 2"), false),
        engine.accounts.change_password(&sessions[1], secret("al 3"), false),
    );
    first.unwrap();
    second.unwrap();
    let good = engine.accounts.check_password("al", secret("al 2")).await.is_ok();
    let (last, gone) = if good { ("al 2", "al 3") } else { ("al 3", "al 2") };
    let [token, _] = <[String; 2]>::try_from(tokens).unwrap();
    for new in [gone, last] {
        let step = Step::Password { name: s("al"), token: token.clone(), new: s(new), end_others: false };
        stage.ghost.apply(&step, Vec::new(), false);
    }
    oracle::check(&stage.machine, &stage.ghost).await.unwrap();
}
