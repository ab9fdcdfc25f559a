//! What an image of the disk gives to whom: the explicit cases, and that the adversary is able.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    oracle::thief_comes,
    stage::{Stage, reach, session},
    step::{Step, s},
};
use crate::{
    event::{Draft, build::content_from},
    seizure::{Credential, Image, rob},
};

/// al with two devices, one of which refreshes, and a room with bo in which something was said.
async fn scene(seed: u64) -> (Stage, u32) {
    let mut stage = Stage::new(seed).await;
    for name in ["al", "bo"] {
        stage.welcome(name, false).await;
    }
    stage.play(Step::Login { name: s("al"), refresh: true }).await;
    let (label, said, topic) = (stage.fact(), stage.fact(), stage.fact());
    stage.play(Step::Create { by: s("al"), label, public: false, invite: vec![s("bo")] }).await;
    stage.play(Step::Join { room: label, who: s("bo") }).await;
    stage.play(Step::Send { room: label, by: s("bo"), fact: said }).await;
    stage.play(Step::State { room: label, by: s("al"), fact: topic }).await;
    (stage, label)
}

fn all_facts(stage: &Stage) -> BTreeSet<u32> {
    let secrets = stage.ghost.accounts.values().filter_map(|account| account.secret);
    secrets.chain(stage.ghost.rooms.values().flat_map(|room| room.all.iter().copied())).collect()
}

#[tokio::test]
async fn a_valid_credential_reads_all_that_lives_and_nothing_else_reads_anything() {
    let (stage, label) = scene(21).await;
    let image = stage.machine.off().image();
    assert!(all_facts(&stage).is_subset(&rob(&image, &stage.ghost.credentials()).facts));
    let room = &stage.ghost.rooms[&label].all;
    for credential in stage.ghost.credentials() {
        let facts = rob(&image, std::slice::from_ref(&credential)).facts;
        assert!(room.is_subset(&facts), "{credential:?} opens the room");
        assert_eq!(all_facts(&stage).difference(&facts).count(), 1, "{credential:?} opens all but the other's secret");
    }
    let guess = [Credential::Password(s("al"), s("al 2")), Credential::Password(s("cy"), s("al 1"))];
    assert_eq!(rob(&image, &guess).opened, 0);
    assert_eq!(rob(&image, &[]).opened, 0);
}

#[tokio::test]
async fn data_without_keys_is_noise() {
    let (stage, _) = scene(22).await;
    let machine = stage.machine.off();
    let zeros = [vec![0; 4096], vec![0; 4096]];
    let loot = rob(&Image::new(&machine.backend.ever(), &zeros, &machine.medium.ever()), &stage.ghost.credentials());
    assert_eq!((loot.opened, loot.accounts, loot.facts.len()), (0, 0, 0));
}

#[tokio::test]
async fn signed_out_tokens_and_old_passwords_open_nothing() {
    let (mut stage, _) = scene(23).await;
    let [access, refresh] = <[String; 2]>::try_from(stage.ghost.accounts["al"].tokens.clone()).unwrap();
    let bought = stage.engine.accounts.refresh(&refresh).await.unwrap().access.expose().to_owned();
    let image = stage.machine.off().image();
    assert_eq!(rob(&image, &[Credential::Token(bought.clone())]).opened, 0, "it lives in memory only");

    stage.play(Step::Logout { name: s("al"), token: refresh.clone(), by: None }).await;
    assert!(session(&stage.engine, &refresh).await.is_err() && session(&stage.engine, &bought).await.is_err());
    stage.play(Step::Password { name: s("al"), token: access.clone(), new: s("al 2"), end_others: false }).await;
    stage.play(Step::Password { name: s("al"), token: access.clone(), new: s("al 3"), end_others: true }).await;
    let image = stage.machine.off().image();
    for old in [Credential::Token(refresh), Credential::Token(bought), password("al 1"), password("al 2")] {
        assert_eq!(rob(&image, &[old]).opened, 0);
    }
    assert!(rob(&image, &[Credential::Token(access)]).opened > 0 && rob(&image, &[password("al 3")]).opened > 0);
    thief_comes(&image, &stage.ghost).unwrap();
}

fn password(text: &str) -> Credential {
    Credential::Password(s("al"), s(text))
}

#[tokio::test]
async fn two_images_and_who_was_put_out_in_between() {
    let (mut stage, label) = scene(24).await;
    let first = stage.machine.off().image();
    let before = stage.ghost.rooms[&label].all.clone();
    stage.play(Step::Out { room: label, by: s("al"), who: s("bo"), ban: false }).await;
    let said = stage.fact();
    stage.play(Step::Send { room: label, by: s("al"), fact: said }).await;
    let second = stage.machine.off().image();
    let bo = stage.ghost.credentials_of("bo");
    assert!(rob(&second, &bo).facts.is_disjoint(&stage.ghost.rooms[&label].all));
    let facts = rob(&first.and(second), &bo).facts;
    assert!(before.is_subset(&facts) && !facts.contains(&said), "up to his leaving, not beyond");
}

#[tokio::test]
async fn a_torn_sector_gives_the_old_table_or_the_new_one_until_the_next_start() {
    let (mut stage, _) = scene(25).await;
    let refresh = stage.ghost.accounts["al"].tokens[1].clone();
    let logout = Step::Logout { name: s("al"), token: refresh.clone(), by: None };
    let mut opened = BTreeSet::new();
    for cut in 0..12 {
        let mut copy = stage.copy(cut).await;
        copy.come("al").await.unwrap();
        copy.machine.backend.cut_after(cut);
        let session = session(&copy.engine, &refresh).await.unwrap();
        let done = copy.engine.accounts.logout(&session).await.is_ok();
        copy.machine.cut();
        let torn = rob(&copy.machine.image(), &[Credential::Token(refresh.clone())]).accounts > 0;
        assert!(!(done && torn), "once answered it is over");
        opened.insert(torn);
    }
    assert_eq!(opened.len(), 2, "cuts lie on both sides");
    stage.play(logout).await;
}

#[tokio::test]
async fn who_is_forgotten_is_named_nowhere() {
    let (mut stage, label) = scene(26).await;
    stage.play(Step::Register { name: s("cy"), password: s("cy 1"), refresh: false }).await;
    let al = stage.come("al").await.unwrap();
    let room = reach(&stage.engine, label, &al).await.unwrap();
    // Named before he has any part in the room, and in every way afterwards.
    let say = |text: String| {
        let content = content_from(&serde_json::json!({"msgtype": "m.text", "body": text}).to_string()).unwrap();
        Draft::message(&room.id, &al.user_id, "m.room.message", content)
    };
    for text in ["@cy:localhost should be here, https://matrix.to/#/%40cy%3Alocalhost", "@cy:localhost.org is another"]
    {
        stage.engine.rooms.send(&room, say(text.to_owned()), None).await.unwrap();
    }
    stage.play(Step::Invite { room: label, by: s("al"), who: s("cy") }).await;
    stage.play(Step::Join { room: label, who: s("cy") }).await;
    stage.engine.rooms.send(&room, say("welcome @cy:localhost".to_owned()), None).await.unwrap();
    let fact = stage.fact();
    stage.play(Step::Send { room: label, by: s("cy"), fact }).await;
    let generation = || Step::Generation { awake: ["al", "bo", "cy"].map(s).to_vec() };
    stage.play(generation()).await;
    assert!(rob(&stage.machine.off().image(), &stage.ghost.credentials()).names.contains("cy"));

    stage.play(Step::Deactivate { name: s("cy"), erase: true, open: true }).await;
    let view = room.view();
    let shown = view.timeline.iter().filter_map(|entry| {
        let whole = view.whole(entry)?;
        let face = whole.face();
        Some(format!("{} {:?} {}", face.sender, face.state_key, face.content))
    });
    let shown: Vec<String> = shown.collect();
    assert!(shown.iter().all(|json| !json.contains("@cy:localhost\"") && !json.contains("cy%3A")), "{shown:#?}");
    assert!(shown.iter().any(|json| json.contains("welcome @erased-")), "{shown:#?}");
    assert!(shown.iter().any(|json| json.contains("@cy:localhost.org is another")));
    let said = stage.fact();
    stage.play(Step::Send { room: label, by: s("bo"), fact: said }).await;
    stage.play(generation()).await;
    let loot = rob(&stage.machine.off().image(), &stage.ghost.credentials());
    assert!(loot.facts.contains(&said) && !loot.facts.contains(&fact));
    assert!(loot.names.contains("bo") && !loot.names.contains("cy"), "{:?}", loot.names);
}

#[tokio::test]
async fn an_older_slot_table_put_back_brings_nothing_back() {
    let (mut stage, label) = scene(33).await;
    let said = *stage.ghost.rooms[&label].said.first().unwrap();
    let before = stage.machine.off();
    assert!(rob(&before.image(), &stage.ghost.credentials()).facts.contains(&said));
    stage.play(Step::Month).await;
    let after = stage.machine.off();
    // The adversary tries every image of the table there ever was; the server has only those that lie in its files.
    assert!(!rob(&after.image(), &stage.ghost.credentials()).facts.contains(&said));
    let current = Arc::clone(&after.medium);
    for region in 0..2 {
        current.put_back(&before.medium, region);
    }
    let store = crate::store::Store::inline(Arc::clone(&after.backend) as _);
    let opened = crate::seal::slots::Slots::open(current, store, Arc::clone(&after.random)).await;
    assert!(matches!(opened, Err(crate::seal::slots::Error::Lost)), "the root sector is the judge");
}
