//! Random runs: any operation, by anybody, with reboots and cuts in between.
//!
//! `LETHE_PROOF_RUNS` sets the number of runs, `LETHE_PROOF_SEED` the first seed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    ghost::Room,
    oracle,
    stage::{End, Stage, label_of, user},
    step::Step,
};
use crate::{
    clock::Clock,
    engine::testing::NOW,
    random::{Random, SeededRandom},
};

const OPERATIONS: u64 = 20;

struct Dice(Arc<dyn Random>);

impl Dice {
    fn one_in(&self, count: u64) -> bool {
        self.0.below(count) == 0
    }

    fn pick<'a, T>(&self, items: &'a [T]) -> Option<&'a T> {
        items.get(usize::try_from(self.0.below(items.len() as u64)).unwrap())
    }
}

#[test]
fn random_runs_keep_the_invariants() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (first, runs) = (number("LETHE_PROOF_SEED", 1), number("LETHE_PROOF_RUNS", 30_u64));
    let (next, ends) = (AtomicU64::new(first), Mutex::new([0; 3]));
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + runs {
                return;
            }
            let ended = runtime.block_on(run(seed));
            ends.lock().iter_mut().zip(ended).for_each(|(sum, count)| *sum += count);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let ends = ends.into_inner();
    assert!(
        runs < 30 || ends.iter().all(|count| *count > 0),
        "operations complete and are cut on both sides: {ends:?}"
    );
}

/// One run. Returns how many operations completed, were cut to the old state, and to the new one.
async fn run(seed: u64) -> [u64; 3] {
    let mut ends = [0; 3];
    let mut stage = Stage::new(seed).await;
    let dice = Dice(Arc::new(SeededRandom::new(seed.wrapping_mul(0x9e37_79b9))));
    let mut story = Vec::new();
    for _ in 0..OPERATIONS {
        if dice.one_in(8) {
            story.push("reboot".to_owned());
            stage.reboot().await;
        }
        let Some(step) = choose(&mut stage, &dice) else { continue };
        let cut = dice.one_in(4).then(|| dice.0.below(30));
        story.push(format!("{step:?} cut {cut:?}"));
        match stage.attempt(&step, cut).await {
            Ok(End::Done) => ends[0] += 1,
            Ok(End::Old) => ends[1] += 1,
            Ok(End::New) => ends[2] += 1,
            Err(error) => panic!("seed {seed}: {error}\n{}", story.join("\n")),
        }
    }
    if let Err(error) = oracle::check(&stage.machine, &stage.ghost).await {
        panic!("seed {seed}: {error}\n{}", story.join("\n"));
    }
    ends
}

/// A step that is allowed as things stand.
fn choose(stage: &mut Stage, dice: &Dice) -> Option<Step> {
    let fact = stage.fact();
    let names: Vec<String> = stage.ghost.accounts.keys().cloned().collect();
    if names.len() < 2 || names.len() < 4 && dice.one_in(5) {
        let name = format!("u{fact}");
        return Some(Step::Register { password: format!("{name} 1"), name, refresh: dice.one_in(2) });
    }
    let name = dice.pick(&names)?.clone();
    let labels: Vec<u32> = stage.ghost.rooms.keys().copied().collect();
    if dice.one_in(2)
        && let Some(label) = dice.pick(&labels)
    {
        return in_room(stage, dice, *label, fact, &names);
    }
    let account = &stage.ghost.accounts[&name];
    // A token of an account that another password waits for may end as soon as the account comes.
    let token = dice.pick(&account.tokens).filter(|_| account.pending.is_none()).cloned();
    if account.locked || dice.one_in(20) {
        let on = !account.locked && account.pending.is_none();
        return Some(Step::Lock { name, on });
    }
    let open = stage.engine.accounts.open(&user(&name)).is_some() || dice.one_in(2);
    match dice.0.below(21) {
        0 | 1 => Some(Step::Secret { name, fact }),
        2 => Some(Step::Login { name, refresh: dice.one_in(2) }),
        3 => Some(Step::Wake { name }),
        4 if account.tokens.len() > 1 => Some(Step::Logout { name, token: token?, by: None }),
        5 => Some(Step::Relogin { name, token: token? }),
        6 | 7 => Some(Step::Password { name, token: token?, new: format!("new {fact}"), end_others: dice.one_in(2) }),
        8 if names.len() > 2 && dice.one_in(3) => Some(Step::Deactivate { name, erase: dice.one_in(2), open }),
        14 => Some(Step::Reset { name, new: format!("set {fact}"), end_devices: dice.one_in(2), open }),
        15 if dice.one_in(2) => Some(Step::Abandon { name, new: format!("anew {fact}"), open }),
        16 if dice.one_in(2) => Some(Step::Administer { name }),
        17 | 18 => Some(Step::Report { by: name, fact }),
        9 | 10 => Some(Step::Generation { awake: awake(stage) }),
        19 => Some(Step::HouseKey),
        20 => Some(Step::RoomKeys),
        // Three months would end the devices.
        11 if stage.machine.clock.now().since(NOW) < Duration::from_hours(40 * 24) && dice.one_in(2) => {
            Some(Step::Month)
        }
        _ if labels.len() < 3 => {
            let invite: Vec<String> = names.into_iter().filter(|other| *other != name && dice.one_in(2)).collect();
            Some(Step::Create { by: name, label: fact, public: dice.one_in(4), invite })
        }
        _ => None,
    }
}

/// The rooms that are open.
fn opened(stage: &Stage) -> Vec<u32> {
    let mut labels: Vec<u32> = stage.engine.rooms.all_open().iter().filter_map(|room| label_of(room)).collect();
    labels.sort_unstable();
    labels
}

fn awake(stage: &Stage) -> Vec<String> {
    let open = stage.engine.accounts.all_open();
    let mut names: Vec<String> = open.iter().map(|open| open.user_id.localpart().to_owned()).collect();
    names.sort();
    names
}

fn in_room(stage: &Stage, dice: &Dice, label: u32, fact: u32, names: &[String]) -> Option<Step> {
    let room = &stage.ghost.rooms[&label];
    let joined: Vec<String> =
        room.members.iter().filter(|(_, joined)| **joined).map(|(name, _)| name.clone()).collect();
    let invited: Vec<String> =
        room.members.iter().filter(|(_, joined)| !**joined).map(|(name, _)| name.clone()).collect();
    let outside: Vec<String> = names.iter().filter(|name| !room.members.contains_key(*name)).cloned().collect();
    // Who founded the room may do what takes power; whoever else is in it does the rest.
    let founder = joined.iter().find(|name| **name == room.founder).cloned();
    let by = dice.pick(&joined)?.clone();
    if room.behind.contains(&by) {
        return None;
    }
    match dice.0.below(15) {
        0..=2 => Some(Step::Send { room: label, by, fact }),
        3 => Some(Step::State { room: label, by: founder?, fact }),
        4 => {
            let said: Vec<u32> = room.said.union(&room.states).copied().collect();
            Some(Step::Redact { room: label, by: founder?, fact: *dice.pick(&said)? })
        }
        13 => Some(Step::Rewrite { rooms: opened(stage) }),
        14 if dice.one_in(2) => {
            let spoke = |name: &String| room.said.iter().any(|fact| room.by[fact] == *name);
            let gone: Vec<String> = outside.into_iter().filter(spoke).collect();
            Some(Step::Erase { room: label, by, who: dice.pick(&gone)?.clone() })
        }
        14 if dice.one_in(3) => Some(Step::Shred { room: label, by, open: true }),
        5 | 6 => {
            let by = if room.guarded { founder? } else { by };
            Some(Step::Invite { room: label, by, who: dice.pick(&outside)?.clone() })
        }
        7 | 8 => {
            let mut may = invited;
            may.retain(|name| !room.behind.contains(name));
            if room.opens_for_all() {
                may.extend(outside);
            } else if let Some(hall) = room.hall.and_then(|hall| stage.ghost.rooms.get(&hall))
                && (founder.is_some() || !room.guarded)
                && stage.engine.rooms.all_open().iter().any(|open| label_of(open) == Some(label))
            {
                // Its key lies in the hall, or will once both are open: whoever comes finds it open already.
                may.extend(
                    outside
                        .into_iter()
                        .filter(|name| hall.members.get(name) == Some(&true) && !hall.behind.contains(name)),
                );
            }
            Some(Step::Join { room: label, who: dice.pick(&may)?.clone() })
        }
        9 => Some(Step::Out { room: label, who: by.clone(), by, ban: false }),
        10 => {
            let others: Vec<String> =
                room.members.keys().filter(|name| Some(*name) != founder.as_ref()).cloned().collect();
            Some(Step::Out { room: label, by: founder?, who: dice.pick(&others)?.clone(), ban: false })
        }
        11 => Some(Step::Access { room: label, by: founder?, public: !room.public }),
        _ => {
            let by = founder?;
            let is_hall = |hall: &Room| hall.members.get(&by) == Some(&true) && !hall.behind.contains(&by);
            let halls: Vec<u32> = stage
                .ghost
                .rooms
                .iter()
                .filter(|(other, hall)| **other != label && is_hall(hall))
                .map(|(hall, _)| *hall)
                .collect();
            let hall = *dice.pick(&halls)?;
            Some(Step::Restrict { room: label, by, hall })
        }
    }
}
