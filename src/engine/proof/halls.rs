//! Keys that lie with others: those of restricted rooms in the rooms that admit to them, and reports in the vaults of
//! administrators.

use std::collections::BTreeSet;

use ruma::OwnedRoomId;

use super::{
    cuts::everywhere,
    oracle::{check, thief_comes},
    stage::{Stage, reach},
    step::{Step, s},
};
use crate::{
    secret::Key,
    seizure::{Image, rob},
};

/// A room of al's that bo, cy and di have joined, and another of his that its members may join.
struct Scene {
    stage: Stage,
    hall: u32,
    room: u32,
    /// The id of `room`.
    id: OwnedRoomId,
}

impl Scene {
    async fn new(seed: u64) -> Self {
        let mut stage = people(seed).await;
        let (hall, room) = (stage.fact(), stage.fact());
        let invite = ["bo", "cy", "di"].map(s).to_vec();
        stage.play(Step::Create { by: s("al"), label: hall, public: false, invite }).await;
        for who in ["bo", "cy", "di"] {
            stage.play(Step::Join { room: hall, who: s(who) }).await;
        }
        stage.play(Step::Create { by: s("al"), label: room, public: false, invite: Vec::new() }).await;
        stage.play(Step::Restrict { room, by: s("al"), hall }).await;
        let al = stage.come("al").await.unwrap();
        let id = reach(&stage.engine, room, &al).await.unwrap().id.clone();
        let mut scene = Self { stage, hall, room, id };
        scene.say("al").await;
        scene
    }

    /// Something new that is said in the room.
    async fn say(&mut self, by: &str) -> u32 {
        let fact = self.stage.fact();
        self.stage.play(Step::Send { room: self.room, by: s(by), fact }).await;
        fact
    }

    /// What the vault of `name` has for the room.
    async fn key(&mut self, name: &str) -> Vec<Key> {
        self.stage.come(name).await.unwrap().view().rooms[&self.id].keys.clone()
    }

    fn image(&self) -> Image {
        self.stage.machine.off().image()
    }

    /// What of the room the credentials of `name` open in `image`.
    fn seen(&self, image: &Image, name: &str) -> BTreeSet<u32> {
        let facts = rob(image, &self.stage.ghost.credentials_of(name)).facts;
        facts.intersection(&self.stage.ghost.rooms[&self.room].all).copied().collect()
    }
}

async fn people(seed: u64) -> Stage {
    let mut stage = Stage::new(seed).await;
    for name in ["al", "bo", "cy", "di"] {
        stage.play(Step::Register { name: s(name), password: format!("{name} 1"), refresh: false }).await;
    }
    stage
}

#[tokio::test]
async fn whoever_may_join_a_restricted_room_opens_it_and_nobody_else() {
    let mut scene = Scene::new(31).await;
    let (hall, room) = (scene.hall, scene.room);
    let first = scene.stage.machine.off();
    let all = scene.stage.ghost.rooms[&room].all.clone();
    // Meant: a member of the hall counts as one of the room.
    assert_eq!(scene.seen(&first.image(), "cy"), all);

    // After a start he joins alone, with the key that lies in the hall.
    scene.stage.reboot().await;
    let bo = scene.stage.come("bo").await.unwrap();
    scene.stage.engine.rooms.reach(&scene.id, &bo).await.unwrap();
    scene.stage.play(Step::Join { room, who: s("bo") }).await;
    scene.say("bo").await;

    // Out of the hall, which changes its key: from now on nothing.
    scene.stage.play(Step::Out { room: hall, by: s("al"), who: s("cy"), ban: false }).await;
    let said = scene.say("bo").await;
    let second = scene.image();
    assert_eq!(scene.seen(&second, "cy"), BTreeSet::new());
    assert!(scene.seen(&second, "di").contains(&said));
    thief_comes(&second, &scene.stage.ghost).unwrap();
    // The room's own key has not changed yet: with an image from before he goes on, until the next generation.
    assert!(scene.seen(&first.image().and(second), "cy").contains(&said));
    let awake = ["al", "bo"].map(s).to_vec();
    everywhere(&scene.stage, &["al", "bo"], &Step::Generation { awake: awake.clone() }).await;
    scene.stage.play(Step::Generation { awake: awake.clone() }).await;
    let said = scene.say("bo").await;
    let third = scene.image();
    assert!(scene.seen(&third, "bo").contains(&said) && scene.seen(&third, "di").contains(&said));
    assert!(!scene.seen(&first.image().and(third), "cy").contains(&said));
    // Once for everybody who has left: the next generation changes nothing.
    let key = scene.key("bo").await;
    scene.stage.play(Step::Generation { awake }).await;
    assert!(scene.key("bo").await == key);

    // The list of rooms that admit shrinks: the key changes, for whoever is not in the room itself (keys.md M13).
    let before = scene.image();
    scene.stage.play(Step::Access { room, by: s("al"), public: false }).await;
    let said = scene.say("bo").await;
    let fourth = scene.image();
    assert_eq!(scene.seen(&fourth, "di"), BTreeSet::new());
    assert!(scene.seen(&fourth, "bo").contains(&said));
    let both = before.and(fourth);
    assert!(!scene.seen(&both, "di").contains(&said) && scene.seen(&both, "di").is_superset(&all));
    check(&scene.stage.machine, &scene.stage.ghost).await.unwrap();
}

#[tokio::test]
async fn one_room_less_that_admits_is_another_key() {
    let mut scene = Scene::new(32).await;
    let (hall, room) = (scene.hall, scene.room);
    let other = scene.stage.fact();
    scene.stage.play(Step::Create { by: s("al"), label: other, public: false, invite: vec![s("di")] }).await;
    let before = scene.image();
    scene.stage.play(Step::Restrict { room, by: s("al"), hall: other }).await;
    let said = scene.say("al").await;
    let after = scene.image();
    assert!(scene.seen(&after, "di").contains(&said) && scene.seen(&after, "cy").is_empty());
    assert!(!scene.seen(&before.and(after), "cy").contains(&said));
    assert!(scene.stage.ghost.rooms[&hall].members.contains_key("cy"));
    check(&scene.stage.machine, &scene.stage.ghost).await.unwrap();
}

#[tokio::test]
async fn who_leaves_a_room_that_admits_loses_what_lies_behind_it() {
    let mut scene = Scene::new(35).await;
    let (hall, room) = (scene.hall, scene.room);
    // A room behind the room, which the members of the room may join.
    let inner = scene.stage.fact();
    scene.stage.play(Step::Create { by: s("al"), label: inner, public: false, invite: Vec::new() }).await;
    scene.stage.play(Step::Restrict { room: inner, by: s("al"), hall: room }).await;
    scene.stage.play(Step::Join { room, who: s("di") }).await;
    let first = scene.stage.machine.off();
    for who in ["cy", "di"] {
        scene.stage.play(Step::Out { room: hall, by: s(who), who: s(who), ban: false }).await;
    }
    let before = scene.key("al").await;
    scene.stage.reboot().await;
    // Upkeep opens the rooms through the hall.
    scene.stage.come("bo").await.unwrap();
    scene.stage.play(Step::Generation { awake: vec![s("bo")] }).await;
    assert!(scene.key("al").await != before);
    let fact = scene.stage.fact();
    scene.stage.play(Step::Send { room: inner, by: s("al"), fact }).await;
    let said = scene.say("di").await;
    let seen = |name| rob(&first.image().and(scene.image()), &scene.stage.ghost.credentials_of(name)).facts;
    assert!(!seen("cy").contains(&fact) && !seen("cy").contains(&said));
    // He is in the room itself.
    assert!(seen("di").contains(&said) && seen("di").contains(&fact));
    check(&scene.stage.machine, &scene.stage.ghost).await.unwrap();

    // The hall ends: who was in it alone has no part in what it admitted to.
    let first = scene.stage.machine.off();
    scene.stage.play(Step::Shred { room: hall, by: s("al"), open: true }).await;
    scene.stage.play(Step::Generation { awake: ["al", "bo", "di"].map(s).to_vec() }).await;
    let said = scene.say("al").await;
    let seen = |name| rob(&first.image().and(scene.image()), &scene.stage.ghost.credentials_of(name)).facts;
    assert!(!seen("bo").contains(&said) && seen("di").contains(&said));
    check(&scene.stage.machine, &scene.stage.ghost).await.unwrap();
}

#[tokio::test]
async fn rooms_that_admit_to_each_other_come_to_rest() {
    let mut scene = Scene::new(36).await;
    let (hall, room) = (scene.hall, scene.room);
    scene.stage.play(Step::Restrict { room: hall, by: s("al"), hall: room }).await;
    scene.stage.play(Step::Out { room: hall, by: s("al"), who: s("cy"), ban: false }).await;
    let generation = || Step::Generation { awake: ["al", "bo", "di"].map(s).to_vec() };
    let before = scene.key("al").await;
    scene.stage.play(generation()).await;
    let after = scene.key("al").await;
    assert!(after != before);
    scene.stage.play(generation()).await;
    scene.stage.play(generation()).await;
    assert!(scene.key("al").await == after);
    check(&scene.stage.machine, &scene.stage.ghost).await.unwrap();
}

#[tokio::test]
async fn rooms_admit_or_not() {
    let mut scene = Scene::new(33).await;
    let (hall, room) = (scene.hall, scene.room);
    let al = ["al"];
    everywhere(&scene.stage, &["al", "bo"], &Step::Join { room, who: s("bo") }).await;
    everywhere(&scene.stage, &["al", "bo"], &Step::RoomKeys).await;
    everywhere(&scene.stage, &al, &Step::Access { room, by: s("al"), public: false }).await;
    everywhere(&scene.stage, &al, &Step::Out { room: hall, by: s("al"), who: s("cy"), ban: true }).await;
    scene.stage.play(Step::Access { room, by: s("al"), public: false }).await;
    everywhere(&scene.stage, &al, &Step::Restrict { room, by: s("al"), hall }).await;
}

#[tokio::test]
async fn reports_are_for_administrators_open_and_cold() {
    let mut stage = people(34).await;
    let early = stage.fact();
    stage.play(Step::Report { by: s("bo"), fact: early }).await;
    stage.play(Step::Administer { name: s("al") }).await;
    let fact = stage.fact();
    let report = Step::Report { by: s("bo"), fact };
    everywhere(&stage, &["al"], &report).await;
    everywhere(&stage, &["bo"], &report).await;
    everywhere(&stage, &["bo"], &Step::Administer { name: s("cy") }).await;
    stage.play(report).await;
    stage.reboot().await;
    let fact = stage.fact();
    // The administrator is away: it is mail, and then his.
    stage.play(Step::Report { by: s("bo"), fact }).await;
    let image = stage.machine.off().image();
    assert!(rob(&image, &stage.ghost.credentials_of("al")).facts.contains(&fact));
    assert_eq!(rob(&image, &stage.ghost.credentials_of("bo")).facts, BTreeSet::new());
    everywhere(&stage, &[], &Step::Wake { name: s("al") }).await;
    stage.play(Step::Wake { name: s("al") }).await;
    check(&stage.machine, &stage.ghost).await.unwrap();
    // With the only vault they lie in they are gone.
    everywhere(&stage, &["bo"], &Step::Abandon { name: s("al"), new: s("al 2"), open: true }).await;
    stage.play(Step::Deactivate { name: s("al"), erase: false, open: true }).await;
    check(&stage.machine, &stage.ghost).await.unwrap();
}
