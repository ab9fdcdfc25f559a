//! The step *backup*: cut at every disk step it leaves the server as it was; and what its halves give to a thief who has
//! every credential there ever was.

use std::path::Path;

use super::{
    oracle,
    stage::{End, Stage, reach, session},
    step::{Step, s},
};
use crate::{
    clock::Clock,
    engine::testing::Machine,
    seal::slots::{Frozen, MemoryMedium},
    secret::Key,
    seizure::{Credential, Image, rob},
};

const PLACE: &str = "/backup";

/// Two who share a room, with something that was said and taken back, and a password that was changed.
async fn scene(seed: u64) -> (Stage, u32) {
    let mut stage = Stage::new(seed).await;
    for name in ["al", "bo"] {
        stage.welcome(name, false).await;
    }
    let (label, said, old) = (stage.fact(), stage.fact(), stage.fact());
    stage.play(Step::Create { by: s("al"), label, public: false, invite: vec![s("bo")] }).await;
    stage.play(Step::Join { room: label, who: s("bo") }).await;
    stage.play(Step::Send { room: label, by: s("bo"), fact: said }).await;
    stage.play(Step::State { room: label, by: s("al"), fact: old }).await;
    let new = stage.fact();
    stage.play(Step::State { room: label, by: s("al"), fact: new }).await;
    let token = stage.ghost.accounts["bo"].tokens[0].clone();
    stage.play(Step::Password { name: s("bo"), token, new: s("bo 2"), end_others: true }).await;
    stage.play(Step::Generation { awake: ["al", "bo"].map(s).to_vec() }).await;
    (stage, label)
}

/// The two halves: the data, and the sealed table; and the key, which lies in the data.
async fn back_up(stage: &Stage, key: &Key) -> Option<(Machine, Vec<u8>)> {
    let slots = &stage.engine.journals.slots;
    let (frozen, ()) = slots.freeze(Path::new(PLACE).to_owned(), || ()).await.ok()?;
    let sealed = frozen.seal(key, stage.machine.clock.now(), stage.machine.random.as_ref()).ok()?;
    let data = Machine::new(stage.machine.random.below(1 << 30));
    let backend = std::sync::Arc::new(stage.machine.backend.restored(Path::new(PLACE))?);
    let medium = std::sync::Arc::new(MemoryMedium::with_fuse(backend.fuse()));
    Some((Machine { backend, medium, ..data }, sealed))
}

/// Puts a table under a fresh root beside the data.
fn join(data: Machine, key: &Key, sealed: &[u8]) -> Machine {
    let (mut frozen, at) = Frozen::open(key, sealed).unwrap();
    frozen.expire(at);
    frozen.begin_incarnation(at).unwrap();
    frozen.install(&*data.medium, data.random.as_ref()).unwrap();
    data
}

fn everybody(stage: &Stage) -> Vec<Credential> {
    stage.ghost.credentials().into_iter().chain(stage.ghost.revoked.iter().cloned()).collect()
}

#[tokio::test]
async fn a_backup_that_is_cut_anywhere_leaves_the_server_as_it_was() {
    let (stage, _) = scene(41).await;
    let mut cuts = 0;
    for cut in 0.. {
        let copy = stage.copy(cut).await;
        copy.machine.backend.cut_after(cut);
        let made = back_up(&copy, &Key::from_bytes([7; 32])).await;
        let blown = copy.machine.backend.fuse().blown();
        assert_eq!(made.is_none(), blown, "a backup is whole or none");
        copy.machine.cut();
        oracle::check(&copy.machine, &copy.ghost).await.unwrap_or_else(|error| panic!("cut {cut}: {error}"));
        if !blown {
            break;
        }
        cuts += 1;
    }
    assert!(cuts >= 3, "there are three databases");
}

#[tokio::test]
async fn neither_half_opens_anything_and_both_open_what_lived_then() {
    let (mut stage, label) = scene(42).await;
    let key = Key::from_bytes([7; 32]);
    let (data, sealed) = back_up(&stage, &key).await.unwrap();
    let then = stage.ghost.clone();
    let everything = everybody(&stage);
    // The data, with the key that lies in them; the table's half as it is, or none.
    let zeros = [vec![0; 4096], vec![0; 4096]];
    for half in [Vec::new(), sealed[..4096.min(sealed.len())].to_vec()] {
        let sectors = [half.clone(), half];
        let loot = rob(&Image::new(&data.backend.ever(), &sectors, &[key.expose().to_vec()]), &everything);
        assert_eq!((loot.opened, loot.accounts, loot.facts.len()), (0, 0, 0), "data alone");
    }
    // The table, beside what the server has on its disk without keys.
    let live = stage.machine.copy(1);
    let loot = rob(&Image::new(&live.backend.ever(), &zeros, std::slice::from_ref(&sealed)), &everything);
    assert_eq!((loot.opened, loot.facts.len()), (0, 0), "keys alone, beside the server's own disk");
    assert!(Frozen::open(&Key::random(stage.machine.random.as_ref()), &sealed).is_none());

    // What ends, comes and is said after the backup is not in it.
    let later = stage.fact();
    stage.play(Step::Send { room: label, by: s("bo"), fact: later }).await;
    stage.play(Step::Out { room: label, by: s("al"), who: s("bo"), ban: false }).await;
    let token = stage.ghost.accounts["al"].tokens[0].clone();
    stage.play(Step::Password { name: s("al"), token, new: s("al 2"), end_others: true }).await;
    let both = join(data, &key, &sealed);
    oracle::thief_comes(&both.image(), &then).unwrap();
    let loot = rob(&both.image(), &everybody(&stage));
    assert!(!loot.facts.contains(&later), "it was never there");
    oracle::check(&both, &then).await.unwrap();

    // It goes on from there, and every step is what it was.
    let mut again = stage.on(both, then).await;
    let fact = again.fact();
    again.come("al").await.unwrap();
    assert_eq!(again.attempt(&Step::Send { room: label, by: s("bo"), fact }, None).await, Ok(End::Done));
    let al = again.come("al").await.unwrap();
    reach(&again.engine, label, &al).await.unwrap();
    let tokens = again.ghost.accounts["bo"].tokens.clone();
    assert!(session(&again.engine, &tokens[0]).await.is_ok(), "what ended after the backup lives again");
    again.play(Step::Out { room: label, by: s("al"), who: s("bo"), ban: false }).await;
    again.play(Step::Generation { awake: ["al", "bo"].map(s).to_vec() }).await;
    oracle::check(&again.machine, &again.ghost).await.unwrap();
}
