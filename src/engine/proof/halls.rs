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
    engine::testing::Machine,
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

    fn image(&self) -> Image {
        off(&self.stage).image()
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

fn off(stage: &Stage) -> Machine {
    let machine = stage.machine.copy(1);
    machine.cut();
    machine
}

#[tokio::test]
async fn whoever_may_join_a_restricted_room_opens_it_and_nobody_else() {
    let mut scene = Scene::new(31).await;
    let (hall, room) = (scene.hall, scene.room);
    let first = scene.image();
    let all = scene.stage.ghost.rooms[&room].all.clone();
    // Meant: a member of the hall counts as one of the room.
    assert_eq!(scene.seen(&first, "cy"), all);

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
    // The room's own key has not changed: with an image from before he goes on, until it does (doc/status.md).
    assert!(scene.seen(&first.and(second), "cy").contains(&said));

    // The list of rooms that admit shrinks: the key changes, for whoever is not in the room itself (keys.md M13).
    let before = scene.image();
    scene.stage.play(Step::Access { room, by: s("al"), public: false }).await;
    let said = scene.say("bo").await;
    let third = scene.image();
    assert_eq!(scene.seen(&third, "di"), BTreeSet::new());
    assert!(scene.seen(&third, "bo").contains(&said));
    let both = before.and(third);
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
async fn rooms_admit_or_not() {
    let mut scene = Scene::new(33).await;
    let (hall, room) = (scene.hall, scene.room);
    let al = ["al"];
    everywhere(&scene.stage, &["al", "bo"], &Step::Join { room, who: s("bo") }).await;
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
    let image = off(&stage).image();
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
