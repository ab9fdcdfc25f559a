//! The judge: whether a disk is in the state that a ghost describes, for everybody entitled and for everybody who is
//! not.

use std::{collections::BTreeSet, sync::Arc};

use ruma::events::room::member::MembershipState;

use super::{
    ghost::{Ghost, Room},
    stage::{STATE, fact_in, knock_with, label_of, session, user},
};
use crate::{
    accounts::{Error, NewDevice, vault::Fact},
    engine::{Engine, testing::Machine},
    secret::SecretText,
    seizure::{Credential, Image, rob},
};

/// Whether the disk of `machine` keeps I1 to I5 with regard to `ghost`. The machine itself stays as it is.
pub(super) async fn check(machine: &Machine, ghost: &Ghost) -> Result<(), String> {
    everybody_comes(machine, ghost).await?;
    somebody_comes(machine, ghost).await?;
    let copy = machine.copy(random_seed(machine));
    copy.cut();
    drop(copy.start().await);
    thief_comes(&copy.image(), ghost)
}

/// I2, I3, I4 on an image, and that the adversary is able.
pub(super) fn thief_comes(image: &Image, ghost: &Ghost) -> Result<(), String> {
    let revoked: Vec<Credential> = ghost.revoked.iter().cloned().collect();
    let loot = rob(image, &revoked);
    if loot.opened > 0 || !loot.facts.is_empty() {
        return Err(format!("I2 revoked credentials open {} things, {:?}", loot.opened, loot.facts));
    }
    let blunted: Vec<Credential> = ghost.blunted.iter().cloned().collect();
    let waiting = ghost.accounts.iter().filter_map(|(name, account)| Some((name, account.pending.as_ref()?)));
    let waiting: Vec<_> =
        waiting.map(|(name, pending)| Credential::Password(name.clone(), pending.password.clone())).collect();
    if rob(image, &waiting).opened > 0 {
        return Err("I2 a password opens before its account has come".to_owned());
    }
    let loot = rob(image, &blunted);
    if loot.accounts > 0 || !loot.facts.is_empty() {
        return Err(format!("I2 tokens of accounts that ended open {} accounts, {:?}", loot.accounts, loot.facts));
    }
    let loot = rob(image, &everything(ghost));
    let risen: Vec<_> = loot.facts.intersection(&ghost.dead).collect();
    if !risen.is_empty() {
        return Err(format!("I3 the dead {risen:?} open"));
    }
    let mut alive: BTreeSet<u32> = ghost.accounts.values().filter_map(|account| account.secret).collect();
    alive.extend(ghost.reports.keys());
    for room in ghost.rooms.values().filter(|room| reachable(room)) {
        alive.extend(room.said.iter().chain(&room.state));
    }
    let missed: Vec<_> = alive.difference(&loot.facts).collect();
    if !missed.is_empty() {
        return Err(format!("the adversary cannot read {missed:?}"));
    }
    ghost.accounts.keys().try_for_each(|name| keeps_apart(image, ghost, name))
}

/// Every credential there ever was.
fn everything(ghost: &Ghost) -> Vec<Credential> {
    ghost.revoked.iter().chain(&ghost.blunted).cloned().chain(ghost.credentials()).collect()
}

fn keeps_apart(image: &Image, ghost: &Ghost, name: &str) -> Result<(), String> {
    let loot = rob(image, &ghost.credentials_of(name));
    if loot.accounts == 0 {
        return Err(format!("I5 no credential of {name} opens"));
    }
    for (fact, holders) in &ghost.reports {
        if !holders.contains(name) && loot.facts.contains(fact) {
            return Err(format!("I4 {name} opens a report"));
        }
    }
    for (label, room) in &ghost.rooms {
        let seen: Vec<_> = loot.facts.intersection(&room.all).collect();
        if !ghost.may_open(name, *label) && !seen.is_empty() {
            return Err(format!("I4 {name} opens {seen:?} of room {label}"));
        }
    }
    for (other, account) in ghost.accounts.iter().filter(|(other, _)| *other != name) {
        if account.secret.is_some_and(|secret| loot.facts.contains(&secret)) {
            return Err(format!("I4 {name} opens what is {other}'s"));
        }
    }
    Ok(())
}

async fn everybody_comes(machine: &Machine, ghost: &Ghost) -> Result<(), String> {
    let machine = machine.copy(random_seed(machine));
    machine.cut();
    let engine = machine.start().await;
    let mut names: Vec<&String> = ghost.accounts.keys().collect();
    machine.random.shuffle(&mut names);
    for name in &names {
        come(&machine, &engine, ghost, name).await?;
    }
    let open = engine.rooms.all_open();
    for (label, room) in &ghost.rooms {
        let found = open.iter().find(|open| label_of(open) == Some(*label));
        match found {
            Some(found) => compare(&engine, *label, found, room)?,
            None if reachable(room) && !engine.accounts.all_open().is_empty() => {
                return Err(format!("I5 room {label} opens for nobody"));
            }
            None => {}
        }
    }
    for found in &open {
        match label_of(found) {
            Some(label) if ghost.rooms.contains_key(&label) => {}
            label => return Err(format!("I3 room {label:?} is open")),
        }
    }
    for (name, account) in &ghost.accounts {
        let entry = engine.accounts.entry(&user(name)).unwrap();
        let (locked, admin) = entry.map_or((false, false), |entry| (entry.locked, entry.admin));
        if (locked, admin) != (account.locked, account.admin) {
            return Err(format!("I1 {name} is locked: {locked}, administers: {admin}"));
        }
        let view = engine.accounts.open(&user(name)).unwrap().view();
        let secret = view.account_data.get("org.proof.secret");
        let secret = secret.and_then(|data| fact_in(data.value.get("text")?.as_str().map(ToOwned::to_owned)));
        if secret != account.secret {
            return Err(format!("I1 {name} has {secret:?} instead of {:?}", account.secret));
        }
    }
    let listed: BTreeSet<u32> = match engine.accounts.reports() {
        Ok(listed) => listed.reports.into_iter().filter_map(|report| fact_in(report.reason)).collect(),
        Err(_) => BTreeSet::new(),
    };
    if let Some(fact) = ghost.reports.keys().find(|fact| !listed.contains(*fact)) {
        return Err(format!("I1 the report {fact} is not shown"));
    }
    // Who is to be forgotten is forgotten by the rooms that opened, and what was redacted is gone from them.
    let opened = ghost.rooms.iter().filter(|(label, _)| open.iter().any(|open| label_of(open) == Some(**label)));
    let mut doomed: BTreeSet<u32> = opened.flat_map(|(_, room)| room.doomed.union(&room.redacted).copied()).collect();
    // Everybody has come, so that rooms which were to be ended have been opened.
    doomed.extend(&ghost.doomed);
    if !doomed.is_empty() {
        drop((engine, open));
        machine.cut();
        let loot = rob(&machine.image(), &everything(ghost));
        let risen: Vec<_> = loot.facts.intersection(&doomed).collect();
        if !risen.is_empty() {
            return Err(format!("I3 what was forgotten, {risen:?}, opens"));
        }
    }
    Ok(())
}

fn compare(engine: &Engine, label: u32, found: &crate::rooms::Room, room: &Room) -> Result<(), String> {
    let view = found.view();
    let members: Vec<(String, bool)> = view
        .state
        .members()
        .filter(|(_, membership, _)| matches!(membership, MembershipState::Join | MembershipState::Invite))
        .map(|(user, membership, _)| (user.localpart().to_owned(), membership == MembershipState::Join))
        .collect();
    let expected: Vec<(String, bool)> = room.members.iter().map(|(name, joined)| (name.clone(), *joined)).collect();
    if members.iter().collect::<BTreeSet<_>>() != expected.iter().collect() {
        return Err(format!("I1 room {label} has {members:?} instead of {expected:?}"));
    }
    for (name, joined) in &room.members {
        let vault = engine.accounts.open(&user(name)).unwrap().view();
        let right = vault.rooms.get(&found.id).is_some_and(|entry| {
            let fact = if *joined { entry.fact == Fact::Joined } else { matches!(entry.fact, Fact::Invited(_)) };
            fact && entry.slot == found.slot && entry.keys.len() == 1
        });
        if !right {
            return Err(format!("I5 the vault of {name} is not in step with room {label}"));
        }
    }
    let said: BTreeSet<u32> = view
        .timeline
        .iter()
        .filter_map(|entry| fact_in(view.whole(entry).and_then(|whole| whole.face().content_str("body"))))
        .collect();
    if !room.said.is_subset(&said) || !said.is_disjoint(&room.redacted) || !said.is_disjoint(&room.doomed) {
        return Err(format!("I1 in room {label} {said:?} was said instead of {:?}", room.said));
    }
    let state = view.state.find(STATE, "").and_then(|event| fact_in(event.content_str("text")));
    if state != room.state {
        return Err(format!("I1 the state of room {label} is {state:?} instead of {:?}", room.state));
    }
    if (view.state.join_rule() == "public") != room.public {
        return Err(format!("I1 room {label} is public or not"));
    }
    Ok(())
}

/// One account comes alone: every room in which it is not behind opens.
async fn somebody_comes(machine: &Machine, ghost: &Ghost) -> Result<(), String> {
    let machine = machine.copy(random_seed(machine));
    machine.cut();
    let engine = machine.start().await;
    let names: Vec<&String> = ghost.accounts.keys().collect();
    if names.is_empty() {
        return Ok(());
    }
    let name = names[usize::try_from(machine.random.below(names.len() as u64)).unwrap()];
    come(&machine, &engine, ghost, name).await?;
    let account = engine.accounts.open(&user(name)).unwrap();
    for (label, room) in &ghost.rooms {
        let entitled = room.members.contains_key(name) && !room.behind.contains(name);
        if (entitled || room.opens_for_all()) && super::stage::reach(&engine, *label, &account).await.is_err() {
            return Err(format!("I5 room {label} does not open for {name} alone"));
        }
    }
    for found in engine.rooms.all_open() {
        if !label_of(&found).is_some_and(|label| ghost.may_open(name, label)) {
            return Err(format!("I4 room {:?} opens for {name}", label_of(&found)));
        }
    }
    Ok(())
}

async fn come(machine: &Machine, engine: &Arc<Engine>, ghost: &Ghost, name: &str) -> Result<(), String> {
    if let Some(pending) = &ghost.accounts[name].pending {
        knock_with(engine, ghost, name, machine.random.as_ref()).await?;
        let login =
            |password: &str| engine.accounts.login(name, SecretText::new(password.to_owned()), NewDevice::default());
        login(&pending.password).await.map_err(|error| format!("I5 {name} after a reset: {error}"))?;
        if login(&ghost.accounts[name].password).await.is_ok() {
            return Err(format!("I2 the old password of {name} outlives a reset"));
        }
        return Ok(());
    }
    let credentials = ghost.credentials_of(name);
    let chosen = usize::try_from(machine.random.below(credentials.len() as u64)).unwrap();
    let came = match &credentials[chosen] {
        Credential::Token(token) => session(engine, token).await.map(drop),
        Credential::Password(name, password) => {
            let password = SecretText::new(password.clone());
            let back = engine.accounts.login(name, password, NewDevice::default()).await;
            back.map(drop).map_err(|error| error.to_string())
        }
    };
    match came {
        Err(error) if !(ghost.accounts[name].locked && error == Error::Locked.to_string()) => {
            Err(format!("I5 {:?} is refused: {error}", credentials[chosen]))
        }
        Ok(()) if ghost.accounts[name].locked && matches!(credentials[chosen], Credential::Password(..)) => {
            Err(format!("I2 {name} logs in although he is locked out"))
        }
        _ => Ok(()),
    }
}

/// Whether some member need not wait for another.
fn reachable(room: &Room) -> bool {
    room.opens_for_all() || room.members.keys().any(|name| !room.behind.contains(name))
}

fn random_seed(machine: &Machine) -> u64 {
    u64::from_le_bytes(machine.random.bytes())
}
