//! Keys that are old are replaced, so that an old image beside an old credential ages (keys.md M16).

use std::{collections::BTreeSet, sync::Arc};

use super::{
    oracle::check,
    stage::{Stage, reach},
    step::{Step, s},
};
use crate::{
    engine::testing::Machine,
    secret::Key,
    seizure::{Credential, rob},
};

/// al, bo and cy; a private room of the first two, and a public one of al's.
struct Scene {
    stage: Stage,
    private: u32,
    public: u32,
}

impl Scene {
    async fn new(seed: u64) -> Self {
        let mut stage = Stage::new(seed).await;
        for name in ["al", "bo", "cy"] {
            stage.welcome(name, false).await;
        }
        let (private, public) = (stage.fact(), stage.fact());
        stage.play(Step::Create { by: s("al"), label: private, public: false, invite: vec![s("bo")] }).await;
        stage.play(Step::Join { room: private, who: s("bo") }).await;
        stage.play(Step::Create { by: s("al"), label: public, public: true, invite: Vec::new() }).await;
        let mut scene = Self { stage, private, public };
        scene.say().await;
        scene
    }

    /// Something new that is said in both rooms.
    async fn say(&mut self) -> [u32; 2] {
        let facts = [self.stage.fact(), self.stage.fact()];
        for (room, fact) in [self.private, self.public].into_iter().zip(facts) {
            self.stage.play(Step::Send { room, by: s("al"), fact }).await;
        }
        facts
    }

    async fn month(&mut self) {
        self.stage.play(Step::Month).await;
        self.renew().await;
    }

    /// The daily generations.
    async fn renew(&mut self) {
        let open = self.stage.engine.accounts.all_open();
        let awake = open.iter().map(|open| open.user_id.localpart().to_owned()).collect();
        self.stage.play(Step::Generation { awake }).await;
    }

    /// What the vault of `name` has for a room, and for the house.
    async fn keys(&mut self, name: &str, room: u32) -> (Vec<Key>, Vec<Key>) {
        let account = self.stage.come(name).await.unwrap();
        let id = reach(&self.stage.engine, room, &account).await.unwrap().id.clone();
        let vault = account.view();
        (vault.rooms[&id].keys.clone(), vault.house_keys.clone())
    }
}

/// What a thief opens with an image of `first` and one of the machine as it is now.
fn both(scene: &Scene, first: &Machine, thief: &[Credential]) -> BTreeSet<u32> {
    rob(&first.image().and(scene.stage.machine.off().image()), thief).facts
}

/// What is said a month later, which none of the thieves opens with an image of `first` and a new one.
async fn a_month_later(scene: &mut Scene, first: &Machine, thieves: [&[Credential]; 2]) -> [u32; 2] {
    scene.month().await;
    let said = scene.say().await;
    for thief in thieves {
        let seen = both(scene, first, thief);
        assert!(!said.iter().any(|fact| seen.contains(fact)), "{seen:?}");
    }
    said
}

#[tokio::test]
async fn what_a_credential_opened_once_it_opens_for_a_month() {
    let mut scene = Scene::new(51).await;
    let first = scene.stage.machine.off();
    // The account key goes with the password: from here on bo's old one opens nothing by itself.
    let token = scene.stage.ghost.accounts["bo"].tokens[0].clone();
    let thief = [Credential::Password(s("bo"), s("bo 1"))];
    scene.stage.play(Step::Password { name: s("bo"), token, new: s("bo 2"), end_others: true }).await;
    let said = scene.say().await;
    assert_eq!(rob(&scene.stage.machine.off().image(), &thief).facts, BTreeSet::new());
    let seen = both(&scene, &first, &thief);
    assert!(said.iter().all(|fact| seen.contains(fact)), "the rooms' keys and the house's have not changed");
    // And the same for who is no member, by the house.
    let token = scene.stage.ghost.accounts["cy"].tokens[0].clone();
    let other = [Credential::Password(s("cy"), s("cy 1"))];
    scene.stage.play(Step::Password { name: s("cy"), token, new: s("cy 2"), end_others: true }).await;
    let seen = both(&scene, &first, &other);
    assert!(!seen.contains(&said[0]) && seen.contains(&said[1]));

    let said = a_month_later(&mut scene, &first, [&thief, &other]).await;
    // Who is there reads on, cold or not, and so does the other with a credential that is good.
    check(&scene.stage.machine, &scene.stage.ghost).await.unwrap();
    let seen = rob(&scene.stage.machine.off().image(), &scene.stage.ghost.credentials_of("bo")).facts;
    assert!(said.iter().all(|fact| seen.contains(fact)));
    // The next keys reach them by mail, which their old secrets do not open.
    scene.stage.reboot().await;
    scene.stage.come("al").await.unwrap();
    a_month_later(&mut scene, &first, [&thief, &other]).await;
    check(&scene.stage.machine, &scene.stage.ghost).await.unwrap();
}

#[tokio::test]
async fn who_is_cold_for_months_comes_to_the_last_key_alone() {
    let mut scene = Scene::new(52).await;
    let before = scene.keys("bo", scene.private).await;
    scene.stage.reboot().await;
    scene.stage.come("al").await.unwrap();
    let mut said = Vec::new();
    for _ in 0..2 {
        scene.month().await;
        said = scene.say().await.to_vec();
    }
    scene.stage.reboot().await;
    let after = scene.keys("bo", scene.private).await;
    assert!(after.0.len() == 1 && after.0 != before.0, "of three keys one is left");
    scene.stage.reboot().await;
    let again = scene.keys("bo", scene.private).await;
    assert!(again.1.len() == 1 && again.1 != before.1);
    let seen = rob(&scene.stage.machine.off().image(), &scene.stage.ghost.credentials_of("bo")).facts;
    assert!(said.iter().all(|fact| seen.contains(fact)));
    check(&scene.stage.machine, &scene.stage.ghost).await.unwrap();
}

#[tokio::test]
async fn a_key_that_sealed_nothing_stays_and_so_does_every_key_while_the_clock_is_doubted() {
    let mut scene = Scene::new(53).await;
    let first = scene.keys("al", scene.private).await;
    scene.renew().await;
    assert!(scene.keys("al", scene.private).await == first, "the month is not over");
    scene.month().await;
    let second = scene.keys("al", scene.private).await;
    assert!(second.0 != first.0 && second.1 != first.1);
    scene.month().await;
    let third = scene.keys("al", scene.private).await;
    assert!(third.0 == second.0 && third.1 != second.1, "nothing was said in the room");
    scene.say().await;
    scene.renew().await;
    let fourth = scene.keys("al", scene.private).await;
    assert!(fourth.0 != third.0 && fourth.1 == third.1);
    scene.renew().await;
    assert!(scene.keys("al", scene.private).await == fourth, "once a month is enough");

    scene.say().await;
    scene.stage.machine.clock.set_synchronised(Some(false));
    scene.stage.machine.clock.advance(std::time::Duration::from_hours(32 * 24));
    scene.stage.reboot().await;
    scene.stage.come("al").await.unwrap();
    scene.renew().await;
    let unsure = scene.keys("al", scene.private).await;
    assert!(unsure == fourth, "nobody knows what time it is");
    scene.stage.machine.clock.set_synchronised(Some(true));
    scene.renew().await;
    let sure = scene.keys("al", scene.private).await;
    assert!(sure.0 != fourth.0 && sure.1 != fourth.1);
}

#[tokio::test]
async fn many_rooms_get_their_keys_little_by_little() {
    let mut scene = Scene::new(54).await;
    let mut labels = Vec::new();
    for _ in 0..38 {
        let label = scene.stage.fact();
        scene.stage.play(Step::Create { by: s("al"), label, public: false, invite: Vec::new() }).await;
        labels.push(label);
    }
    let engine = Arc::clone(&scene.stage.engine);
    let al = scene.stage.come("al").await.unwrap();
    let keys = || -> Vec<Vec<Key>> { al.view().rooms.values().map(|entry| entry.keys.clone()).collect() };
    let before = keys();
    let changed = || keys().iter().zip(&before).filter(|(new, old)| new != old).count();
    scene.stage.play(Step::Month).await;
    engine.renew().await;
    assert_eq!(changed(), 32, "what one round may");
    engine.replace_keys().await;
    assert_eq!(changed(), 40);
    engine.replace_keys().await;
    assert_eq!(changed(), 40);
    assert!(labels.len() + 2 == before.len());
    check(&scene.stage.machine, &scene.stage.ghost).await.unwrap();
}
