//! Every operation, cut at every disk step until it completes.

use super::{
    stage::{End, Stage, reach},
    step::{Step, s},
};

/// Two who share a room with a cold or open third, and a fourth who is a stranger.
async fn scene(seed: u64) -> Stage {
    let mut stage = Stage::new(seed).await;
    for name in ["al", "bo", "cy", "di"] {
        stage.welcome(name, name == "bo").await;
    }
    stage
}

/// A private room of al, bo and cy in which something was said. Returns its label.
async fn room(stage: &mut Stage) -> u32 {
    let label = stage.fact();
    stage.play(Step::Create { by: s("al"), label, public: false, invite: vec![s("bo")] }).await;
    stage.play(Step::Join { room: label, who: s("bo") }).await;
    stage.play(Step::Invite { room: label, by: s("al"), who: s("cy") }).await;
    stage.play(Step::Join { room: label, who: s("cy") }).await;
    let (said, topic) = (stage.fact(), stage.fact());
    stage.play(Step::Send { room: label, by: s("bo"), fact: said }).await;
    stage.play(Step::State { room: label, by: s("al"), fact: topic }).await;
    label
}

/// Cuts `step` at every disk step, with those in `awake` open beforehand. Returns how often it was cut.
pub(super) async fn everywhere(stage: &Stage, awake: &[&str], step: &Step) -> u64 {
    everywhere_after(stage, awake, &[], step).await
}

/// As [`everywhere`], with steps that come before in the same process.
async fn everywhere_after(stage: &Stage, awake: &[&str], before: &[Step], step: &Step) -> u64 {
    let (mut old, mut new) = (0, 0);
    for cut in 0.. {
        let mut copy = stage.copy(cut * 7919 + 1).await;
        for name in awake {
            copy.come(name).await.unwrap();
        }
        for step in before {
            copy.play(step.clone()).await;
        }
        match copy.attempt(step, Some(cut)).await {
            Ok(End::Done) => {
                super::oracle::check(&copy.machine, &copy.ghost).await.unwrap_or_else(|e| panic!("{step:?}: {e}"));
                break;
            }
            Ok(End::Old) => old += 1,
            Ok(End::New) => new += 1,
            Err(error) => panic!("{step:?} with {awake:?} awake, cut before step {cut}: {error}"),
        }
    }
    assert!(old + new > 0, "{step:?} writes something");
    old + new
}

#[tokio::test]
async fn accounts_are_there_or_not() {
    let mut stage = Stage::new(1).await;
    let first = Step::Register { name: s("al"), password: s("al 1"), refresh: false };
    everywhere(&stage, &[], &first).await;
    stage.play(first).await;
    let fact = stage.fact();
    everywhere(&stage, &[], &Step::Secret { name: s("al"), fact }).await;
    stage.play(Step::Secret { name: s("al"), fact }).await;
    everywhere(&stage, &["al"], &Step::Register { name: s("bo"), password: s("bo 1"), refresh: true }).await;
    everywhere(&stage, &[], &Step::Login { name: s("al"), refresh: false }).await;
    everywhere(&stage, &["al"], &Step::Login { name: s("al"), refresh: true }).await;
}

#[tokio::test]
async fn a_name_whose_registration_was_cut_is_free() {
    let mut stage = Stage::new(2).await;
    stage.play(Step::Register { name: s("al"), password: s("al 1"), refresh: false }).await;
    let step = Step::Register { name: s("bo"), password: s("bo 1"), refresh: false };
    for cut in 0.. {
        let mut copy = stage.copy(cut).await;
        match copy.attempt(&step, Some(cut)).await.unwrap() {
            End::Done => return,
            End::New => {}
            End::Old => {
                let again = Step::Register { name: s("bo"), password: s("bo 2"), refresh: false };
                copy.play(again).await;
                super::oracle::check(&copy.machine, &copy.ghost).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn devices_end_or_not() {
    let stage = two_devices(3).await;
    for name in ["al", "bo"] {
        let (name, [first, second]) = (s(name), tokens(&stage, name));
        everywhere(&stage, &[], &Step::Relogin { name: name.clone(), token: first.clone() }).await;
        everywhere(&stage, &[], &Step::Logout { name: name.clone(), token: first.clone(), by: None }).await;
        everywhere(&stage, &[], &Step::Logout { name, token: second, by: Some(first) }).await;
    }
}

#[tokio::test]
async fn passwords_end_or_not() {
    let stage = two_devices(13).await;
    for name in ["al", "bo"] {
        let [first, second] = tokens(&stage, name);
        for (token, end_others) in [(first, false), (second.clone(), true), (second, false)] {
            everywhere(&stage, &[], &Step::Password { name: s(name), token, new: s("another"), end_others }).await;
        }
    }
}

/// The scene with a room, in which al and bo have a device that refreshes and one that does not.
async fn two_devices(seed: u64) -> Stage {
    let mut stage = scene(seed).await;
    room(&mut stage).await;
    stage.play(Step::Login { name: s("al"), refresh: true }).await;
    stage.play(Step::Login { name: s("bo"), refresh: false }).await;
    stage
}

fn tokens(stage: &Stage, name: &str) -> [String; 2] {
    <[String; 2]>::try_from(stage.ghost.accounts[name].tokens.clone()).unwrap()
}

#[tokio::test]
async fn a_public_room_ends_with_its_last_member_also_after_a_cut() {
    let mut stage = scene(18).await;
    let (label, said) = (stage.fact(), stage.fact());
    stage.play(Step::Create { by: s("al"), label, public: true, invite: Vec::new() }).await;
    stage.play(Step::Send { room: label, by: s("al"), fact: said }).await;
    let end = Step::Deactivate { name: s("al"), erase: false, open: true };
    let mut waited = 0;
    for cut in 0.. {
        let mut copy = stage.copy(cut).await;
        copy.come("al").await.unwrap();
        let ended = copy.attempt(&end, Some(cut)).await.unwrap();
        if copy.ghost.limbo.contains_key(&label) {
            waited += 1;
            copy.play(Step::Wake { name: s("bo") }).await;
            copy.play(Step::Generation { awake: vec![s("bo")] }).await;
            assert!(copy.ghost.dead.contains(&said));
            super::oracle::check(&copy.machine, &copy.ghost).await.unwrap();
        }
        if ended == End::Done {
            break;
        }
    }
    assert!(waited > 0);
}

#[tokio::test]
async fn rooms_are_founded_or_not() {
    let mut stage = scene(4).await;
    for (public, invite) in [(false, vec![]), (false, vec![s("bo"), s("cy")]), (true, vec![s("di")])] {
        let label = stage.fact();
        everywhere(&stage, &["cy"], &Step::Create { by: s("al"), label, public, invite }).await;
    }
}

#[tokio::test]
async fn who_is_invited_comes_in_or_not() {
    let mut stage = scene(5).await;
    let label = room(&mut stage).await;
    let step = Step::Invite { room: label, by: s("al"), who: s("di") };
    everywhere(&stage, &[], &step).await;
    everywhere(&stage, &["di"], &step).await;
}

#[tokio::test]
async fn who_was_invited_joins_refuses_and_is_put_out_or_not() {
    let mut stage = scene(15).await;
    let label = room(&mut stage).await;
    stage.play(Step::Invite { room: label, by: s("al"), who: s("di") }).await;
    everywhere(&stage, &[], &Step::Wake { name: s("di") }).await;
    everywhere(&stage, &[], &Step::Join { room: label, who: s("di") }).await;
    everywhere(&stage, &["al"], &Step::Join { room: label, who: s("di") }).await;
    everywhere(&stage, &["al"], &Step::Out { room: label, by: s("di"), who: s("di"), ban: false }).await;
    everywhere(&stage, &[], &Step::Out { room: label, by: s("al"), who: s("di"), ban: false }).await;
}

#[tokio::test]
async fn a_public_room_lets_in_and_turns_private() {
    let mut stage = scene(6).await;
    let label = room(&mut stage).await;
    let open = Step::Access { room: label, by: s("al"), public: true };
    everywhere(&stage, &["di"], &open).await;
    stage.play(open).await;
    let join = Step::Join { room: label, who: s("di") };
    everywhere(&stage, &[], &join).await;
    everywhere(&stage, &[], &Step::Out { room: label, by: s("bo"), who: s("bo"), ban: false }).await;
    let close = Step::Access { room: label, by: s("al"), public: false };
    everywhere(&stage, &["di"], &close).await;
    everywhere(&stage, &["bo"], &close).await;
}

#[tokio::test]
async fn a_room_that_turned_public_in_a_cut_waits_for_one_member() {
    let mut stage = scene(16).await;
    let label = room(&mut stage).await;
    let open = Step::Access { room: label, by: s("al"), public: true };
    let mut waited = false;
    for cut in 0.. {
        let mut copy = stage.copy(cut).await;
        let end = copy.attempt(&open, Some(cut)).await.unwrap();
        if end == End::Done {
            break;
        }
        let di = copy.come("di").await.unwrap();
        if end == End::New && reach(&copy.engine, label, &di).await.is_err() {
            waited = true;
            copy.come("bo").await.unwrap();
            copy.reboot().await;
            let di = copy.come("di").await.unwrap();
            reach(&copy.engine, label, &di).await.unwrap();
        }
    }
    assert!(waited, "some cut lies between the event and the key");
}

#[tokio::test]
async fn who_leaves_is_out_or_not() {
    let mut stage = scene(7).await;
    let label = room(&mut stage).await;
    let step = Step::Out { room: label, by: s("bo"), who: s("bo"), ban: false };
    everywhere(&stage, &[], &step).await;
    everywhere(&stage, &["al", "cy"], &step).await;
}

#[tokio::test]
async fn who_is_put_out_is_out_or_not() {
    let mut stage = scene(17).await;
    let label = room(&mut stage).await;
    let out = |ban| Step::Out { room: label, by: s("al"), who: s("bo"), ban };
    everywhere(&stage, &[], &out(false)).await;
    everywhere(&stage, &["bo", "cy"], &out(false)).await;
    everywhere(&stage, &["cy"], &out(true)).await;
}

#[tokio::test]
async fn what_is_said_is_there_or_not() {
    let mut stage = scene(8).await;
    let label = room(&mut stage).await;
    let fact = stage.fact();
    everywhere(&stage, &[], &Step::Send { room: label, by: s("bo"), fact }).await;
    everywhere(&stage, &[], &Step::State { room: label, by: s("al"), fact }).await;
    let said = *stage.ghost.rooms[&label].said.first().unwrap();
    everywhere(&stage, &[], &Step::Redact { room: label, by: s("al"), fact: said }).await;
}

#[tokio::test]
async fn what_was_redacted_leaves_the_disk() {
    let mut stage = scene(18).await;
    let (first, second) = (room(&mut stage).await, room(&mut stage).await);
    let topic = stage.fact();
    stage.play(Step::State { room: first, by: s("al"), fact: topic }).await;
    let old = *stage.ghost.rooms[&first].states.first().unwrap();
    let redact = |room, fact| Step::Redact { room, by: s("al"), fact };
    // What was said, state that is in force, and state that another has replaced, which lies in two rows.
    let said = [first, second].map(|label| *stage.ghost.rooms[&label].said.first().unwrap());
    everywhere(&stage, &[], &redact(first, topic)).await;
    let redacted = [(first, said[0]), (first, topic), (first, old), (second, said[1])];
    let redacted = redacted.map(|(room, fact)| redact(room, fact));
    let rewrite = Step::Rewrite { rooms: vec![first, second] };
    everywhere_after(&stage, &["al", "bo"], &redacted, &rewrite).await;
    for step in redacted {
        stage.play(step).await;
    }
    // A room that opens is rewritten before anything else.
    everywhere(&stage, &[], &Step::Wake { name: s("bo") }).await;
    stage.play(rewrite).await;
    let topic = stage.fact();
    stage.play(Step::State { room: first, by: s("al"), fact: topic }).await;
    super::oracle::check(&stage.machine, &stage.ghost).await.unwrap();
}

#[tokio::test]
async fn a_generation_loses_nothing() {
    let mut stage = scene(9).await;
    room(&mut stage).await;
    let fact = stage.fact();
    stage.play(Step::Secret { name: s("cy"), fact }).await;
    let all = ["al", "bo", "cy", "di"];
    everywhere(&stage, &all, &Step::Generation { awake: all.map(s).to_vec() }).await;
}

#[tokio::test]
async fn keys_are_replaced_or_not() {
    let mut stage = scene(43).await;
    let label = room(&mut stage).await;
    let public = stage.fact();
    stage.play(Step::Create { by: s("di"), label: public, public: true, invite: vec![] }).await;
    stage.play(Step::Join { room: public, who: s("bo") }).await;
    let said = stage.fact();
    stage.play(Step::Send { room: public, by: s("di"), fact: said }).await;
    for awake in [&["al"][..], &["al", "bo", "cy", "di"]] {
        everywhere(&stage, awake, &Step::HouseKey).await;
        everywhere(&stage, awake, &Step::RoomKeys).await;
    }
    // Nobody of the public room has come, and somebody is invited into the other.
    stage.play(Step::Invite { room: label, by: s("al"), who: s("di") }).await;
    stage.reboot().await;
    for _ in 0..2 {
        stage.come("cy").await.unwrap();
        stage.engine.renew().await;
        for step in [Step::HouseKey, Step::RoomKeys, Step::RoomKeys] {
            stage.play(step).await;
        }
        stage.reboot().await;
    }
    // Each comes to the third key by the letters about all of them, alone or after others.
    everywhere(&stage, &[], &Step::Wake { name: s("bo") }).await;
    everywhere(&stage, &["al"], &Step::Wake { name: s("di") }).await;
    let register = Step::Register { name: s("ev"), password: s("ev 1"), refresh: false };
    everywhere_after(&stage, &["al"], &[Step::HouseKey], &register).await;
    everywhere_after(&stage, &[], &[register], &Step::HouseKey).await;
    super::oracle::check(&stage.machine, &stage.ghost).await.unwrap();
}

#[tokio::test]
async fn what_is_old_after_a_month_gets_another_key_or_not() {
    let mut stage = scene(44).await;
    room(&mut stage).await;
    stage.play(Step::Month).await;
    let names = vec![s("al"), s("bo")];
    everywhere(&stage, &["al", "bo"], &Step::Generation { awake: names }).await;
}

#[tokio::test]
async fn an_epoch_ends_or_not_and_nothing_else_does() {
    let mut stage = scene(32).await;
    let label = room(&mut stage).await;
    let redacted = *stage.ghost.rooms[&label].said.first().unwrap();
    stage.play(Step::Redact { room: label, by: s("al"), fact: redacted }).await;
    let fact = stage.fact();
    stage.play(Step::Send { room: label, by: s("al"), fact }).await;
    let all = ["al", "bo", "cy", "di"];
    everywhere(&stage, &all, &Step::Month).await;
    everywhere(&stage, &[], &Step::Month).await;
    // A generation of owners whose windows have died beside them.
    stage.play(Step::Month).await;
    let fact = stage.fact();
    stage.play(Step::Send { room: label, by: s("bo"), fact }).await;
    everywhere(&stage, &all, &Step::Generation { awake: all.map(s).to_vec() }).await;
    everywhere(&stage, &["al"], &Step::Month).await;
}

#[tokio::test]
async fn folding_and_last_leaves_lose_nothing() {
    let mut stage = scene(19).await;
    let label = room(&mut stage).await;
    stage.reboot().await;
    stage.play(Step::Out { room: label, by: s("al"), who: s("cy"), ban: false }).await;
    everywhere(&stage, &[], &Step::Wake { name: s("cy") }).await;
    everywhere(&stage, &["al"], &Step::Wake { name: s("bo") }).await;
    stage.play(Step::Out { room: label, by: s("al"), who: s("al"), ban: false }).await;
    everywhere(&stage, &[], &Step::Out { room: label, by: s("bo"), who: s("bo"), ban: false }).await;
}

#[tokio::test]
async fn an_account_that_ends_opens_nothing() {
    let mut stage = scene(10).await;
    room(&mut stage).await;
    let end = |name: &str, erase, open| Step::Deactivate { name: s(name), erase, open };
    everywhere(&stage, &["al"], &end("bo", false, true)).await;
    everywhere(&stage, &[], &end("bo", false, false)).await;
    let label = stage.fact();
    stage.play(Step::Create { by: s("di"), label, public: false, invite: vec![] }).await;
    everywhere(&stage, &[], &end("di", false, true)).await;
}

#[tokio::test]
async fn an_account_that_is_forgotten_is_forgotten_or_not() {
    let mut stage = scene(20).await;
    let label = room(&mut stage).await;
    let (first, second) = (stage.fact(), stage.fact());
    stage.play(Step::Send { room: label, by: s("al"), fact: first }).await;
    stage.play(Step::Send { room: label, by: s("bo"), fact: second }).await;
    let end = |open| Step::Deactivate { name: s("bo"), erase: true, open };
    everywhere(&stage, &["al"], &end(true)).await;
    everywhere(&stage, &["di"], &end(false)).await;
}

#[tokio::test]
async fn who_left_a_room_is_forgotten_in_it_or_not() {
    let mut stage = scene(38).await;
    let label = room(&mut stage).await;
    stage.play(Step::Out { room: label, by: s("bo"), who: s("bo"), ban: false }).await;
    let erase = Step::Erase { room: label, by: s("al"), who: s("bo") };
    everywhere(&stage, &[], &erase).await;
    stage.play(erase).await;
    assert!(!stage.ghost.dead.is_empty(), "he had said something");
    super::oracle::check(&stage.machine, &stage.ghost).await.unwrap();
    // He may come again, as another member.
    stage.play(Step::Invite { room: label, by: s("al"), who: s("bo") }).await;
    stage.play(Step::Join { room: label, who: s("bo") }).await;
    super::oracle::check(&stage.machine, &stage.ghost).await.unwrap();
}

#[tokio::test]
async fn a_room_that_is_ended_opens_for_nobody() {
    let mut stage = scene(39).await;
    let label = room(&mut stage).await;
    let end = |by: &str, open| Step::Shred { room: label, by: s(by), open };
    everywhere(&stage, &["bo", "di"], &end("al", true)).await;
    everywhere(&stage, &[], &end("al", true)).await;
    // While no member is there it waits for one.
    stage.reboot().await;
    everywhere(&stage, &[], &end("di", false)).await;
    stage.play(end("di", false)).await;
    everywhere(&stage, &[], &Step::Wake { name: s("cy") }).await;
    stage.play(Step::Wake { name: s("cy") }).await;
    let doomed = std::mem::take(&mut stage.ghost.doomed);
    stage.ghost.dead.extend(doomed);
    super::oracle::check(&stage.machine, &stage.ghost).await.unwrap();
}

#[tokio::test]
async fn the_last_account_takes_the_house_with_it() {
    let mut stage = Stage::new(27).await;
    let register = |name: &str| Step::Register { name: s(name), password: format!("{name} 1"), refresh: false };
    stage.play(register("al")).await;
    let end = Step::Deactivate { name: s("al"), erase: true, open: true };
    everywhere(&stage, &[], &end).await;
    stage.play(end).await;
    stage.reboot().await;
    everywhere(&stage, &[], &register("bo")).await;
}

#[tokio::test]
async fn an_account_is_locked_or_not() {
    let stage = two_devices(31).await;
    let lock = |on| Step::Lock { name: s("bo"), on };
    everywhere(&stage, &["al"], &lock(true)).await;
    everywhere(&stage, &["al", "bo"], &lock(true)).await;
    let mut stage = stage.copy(3).await;
    stage.play(lock(true)).await;
    everywhere(&stage, &["al"], &lock(false)).await;
}

#[tokio::test]
async fn a_password_that_is_set_is_the_accounts_or_waits() {
    let stage = two_devices(28).await;
    let set = |end_devices, open| Step::Reset { name: s("bo"), new: s("set"), end_devices, open };
    for end_devices in [false, true] {
        everywhere(&stage, &["al"], &set(end_devices, true)).await;
        everywhere(&stage, &["al"], &set(end_devices, false)).await;
        let mut waiting = stage.copy(1).await;
        waiting.play(set(end_devices, false)).await;
        everywhere(&waiting, &[], &Step::Wake { name: s("bo") }).await;
    }
}

#[tokio::test]
async fn what_is_given_up_is_gone_and_its_rooms_heal() {
    let stage = two_devices(29).await;
    let give_up = |open| Step::Abandon { name: s("bo"), new: s("anew"), open };
    everywhere(&stage, &["al"], &give_up(true)).await;
    everywhere(&stage, &["di"], &give_up(false)).await;
    let mut stage = stage.copy(2).await;
    stage.play(give_up(false)).await;
    // Twice in a row, before any room has healed (keys.md M12).
    stage.reboot().await;
    stage.come("di").await.unwrap();
    everywhere(&stage, &["di"], &Step::Abandon { name: s("bo"), new: s("again"), open: false }).await;
}

#[tokio::test]
async fn who_gave_everything_up_reads_again_once_a_member_comes() {
    let mut stage = scene(30).await;
    let label = room(&mut stage).await;
    stage.reboot().await;
    stage.come("di").await.unwrap();
    stage.play(Step::Abandon { name: s("bo"), new: s("anew"), open: false }).await;
    let bo = stage.come("bo").await.unwrap();
    assert!(reach(&stage.engine, label, &bo).await.is_err(), "nobody has sent the key yet");
    stage.come("al").await.unwrap();
    let fact = stage.fact();
    stage.play(Step::Send { room: label, by: s("bo"), fact }).await;
    stage.reboot().await;
    let bo = stage.come("bo").await.unwrap();
    reach(&stage.engine, label, &bo).await.unwrap();
    super::oracle::check(&stage.machine, &stage.ghost).await.unwrap();
}
