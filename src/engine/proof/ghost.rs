//! What must be true of the disk: the state that was acknowledged, kept beside the engine.

use std::collections::{BTreeMap, BTreeSet};

use super::step::Step;
use crate::seizure::Credential;

/// Everything that was acknowledged.
#[derive(Clone, Default)]
pub(super) struct Ghost {
    pub(super) accounts: BTreeMap<String, Account>,
    /// By the fact that labels them.
    pub(super) rooms: BTreeMap<u32, Room>,
    /// Credentials that are good no longer, or never came to be.
    pub(super) revoked: BTreeSet<Credential>,
    /// Tokens of accounts that ended while they were cold: what is under the account's slot opens no more, their rows'
    /// outer seal still does.
    pub(super) blunted: BTreeSet<Credential>,
    /// What lay in rooms that are to be ended when they open: dead then.
    pub(super) doomed: BTreeSet<u32>,
    /// What must not open with anything.
    pub(super) dead: BTreeSet<u32>,
    /// What dies with the next generation of an account's vault.
    pub(super) superseded: BTreeMap<String, BTreeSet<u32>>,
    /// What lay in public rooms whose last member ended when the power was cut, by their labels: the house has their keys,
    /// and they end when they are opened next, by upkeep at the latest.
    pub(super) limbo: BTreeMap<u32, BTreeSet<u32>>,
    /// What has expired: it is served no more, and dead once the keeper has looked.
    pub(super) expired: BTreeSet<u32>,
    /// What was reported, and the administrators who have it.
    pub(super) reports: BTreeMap<u32, BTreeSet<String>>,
}

/// A living account.
#[derive(Clone, Default)]
pub(super) struct Account {
    pub(super) password: String,
    pub(super) tokens: Vec<String>,
    /// What its account data says.
    pub(super) secret: Option<u32>,
    pub(super) locked: bool,
    pub(super) admin: bool,
    /// The password that it gets when it comes.
    pub(super) pending: Option<Pending>,
}

/// A password that waits for its account.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) password: String,
    pub(super) end_devices: bool,
}

/// A room somebody here is in.
#[derive(Clone, Default)]
pub(super) struct Room {
    /// Who has a part in it, and whether he is joined.
    pub(super) members: BTreeMap<String, bool>,
    /// What was said and not redacted.
    pub(super) said: BTreeSet<u32>,
    /// What its state says or said before, and was not redacted.
    pub(super) states: BTreeSet<u32>,
    /// What was redacted: it is served no more, and dead once the room has been rewritten or has opened.
    pub(super) redacted: BTreeSet<u32>,
    /// What somebody said who is to be forgotten: it is served no more, and dead once the room has opened.
    pub(super) doomed: BTreeSet<u32>,
    /// Who said what.
    pub(super) by: BTreeMap<u32, String>,
    /// What its state says.
    pub(super) state: Option<u32>,
    /// Every fact that ever lay in it.
    pub(super) all: BTreeSet<u32>,
    /// Who may do everything in it.
    pub(super) founder: String,
    pub(super) public: bool,
    /// The room whose members may join it.
    pub(super) hall: Option<u32>,
    /// Whether only the founder may invite: it was founded as a public room.
    pub(super) guarded: bool,
    /// Whether it turned public and the power was cut before its key lay in the house: it may wait for a member.
    pub(super) unlisted: bool,
    /// Members who may have to wait for another one to come.
    pub(super) behind: BTreeSet<String>,
}

impl Room {
    /// Whether anybody who has an account opens it.
    pub(super) fn opens_for_all(&self) -> bool {
        self.public && !self.unlisted
    }
}

impl Ghost {
    /// Whether somebody may have the key of a room: as a member, or because he may join without asking.
    pub(super) fn may_open(&self, name: &str, label: u32) -> bool {
        let mut next = Some(label);
        for _ in 0..=self.rooms.len() {
            let Some(room) = next.and_then(|label| self.rooms.get(&label)) else { return false };
            if room.public || room.members.contains_key(name) {
                return true;
            }
            next = room.hall;
        }
        false
    }

    /// Every credential that is good.
    pub(super) fn credentials(&self) -> Vec<Credential> {
        self.accounts.keys().flat_map(|name| self.credentials_of(name)).collect()
    }

    pub(super) fn credentials_of(&self, name: &str) -> Vec<Credential> {
        let account = &self.accounts[name];
        let mut all = vec![Credential::Password(name.to_owned(), account.password.clone())];
        all.extend(account.tokens.iter().cloned().map(Credential::Token));
        all
    }

    /// What the operation changes. `tokens` are those it gave out; a cut operation gave none.
    pub(super) fn apply(&mut self, step: &Step, tokens: Vec<String>, cut: bool) {
        match step {
            Step::Register { name, password, .. } => {
                let account = Account { password: password.clone(), tokens, ..Account::default() };
                self.accounts.insert(name.clone(), account);
            }
            Step::Login { name, .. } => self.account(name).tokens.extend(tokens),
            Step::Relogin { name, token } => {
                self.account(name).tokens.retain(|known| known != token);
                self.account(name).tokens.extend(tokens);
                self.revoked.insert(Credential::Token(token.clone()));
            }
            Step::Logout { name, token, .. } => {
                self.account(name).tokens.retain(|known| known != token);
                self.revoked.insert(Credential::Token(token.clone()));
            }
            Step::Password { name, token, new, end_others } => self.change_password(name, token, new, *end_others),
            Step::Secret { name, fact } => {
                let old = self.account(name).secret.replace(*fact);
                self.superseded.entry(name.clone()).or_default().extend(old);
            }
            Step::Generation { awake } => {
                for name in awake {
                    let gone = self.superseded.remove(name).unwrap_or_default();
                    self.dead.extend(gone);
                }
                if !awake.is_empty() && !cut {
                    self.dead.extend(std::mem::take(&mut self.limbo).into_values().flatten());
                }
            }
            Step::Deactivate { name, erase, open } => self.end(name, *erase, *open, cut),
            Step::Reset { name, new, end_devices, open } => {
                let before = self.account(name).pending.take();
                let end_devices = *end_devices || before.as_ref().is_some_and(|before| before.end_devices);
                self.account(name).pending = Some(Pending { password: new.clone(), end_devices });
                self.revoked.extend(before.map(|before| Credential::Password(name.clone(), before.password)));
                if *open {
                    self.settle(name);
                }
            }
            Step::Lock { name, on } => self.account(name).locked = *on,
            Step::Abandon { name, new, open } => self.abandon(name, new, *open),
            Step::Month => {
                self.expire();
                self.dead.extend(std::mem::take(&mut self.expired));
            }
            Step::Wake { name } => self.settle(name),
            Step::Knock { .. } | Step::HouseKey | Step::RoomKeys => {}
            Step::Create { by, label, public, invite } => {
                let mut room = Room {
                    founder: by.clone(),
                    public: *public,
                    guarded: *public,
                    all: BTreeSet::from([*label]),
                    ..Room::default()
                };
                room.members.insert(by.clone(), true);
                room.members.extend(invite.iter().map(|who| (who.clone(), false)));
                if cut {
                    room.behind.extend(invite.iter().cloned());
                }
                self.rooms.insert(*label, room);
            }
            Step::Invite { room, who, .. } => {
                let room = self.room(*room);
                room.members.insert(who.clone(), false);
                if cut {
                    room.behind.insert(who.clone());
                }
            }
            Step::Join { room, who } => {
                self.room(*room).members.insert(who.clone(), true);
            }
            Step::Out { room, who, .. } => self.out(*room, who),
            Step::Access { room, public, .. } => {
                let room = self.room(*room);
                (room.public, room.hall) = (*public, None);
                room.unlisted = *public && cut;
            }
            Step::Restrict { room, hall, .. } => {
                let room = self.room(*room);
                (room.public, room.unlisted, room.hall) = (false, false, Some(*hall));
            }
            Step::Administer { name } => self.account(name).admin = true,
            Step::Report { fact, .. } => self.report(*fact),
            Step::Send { .. }
            | Step::State { .. }
            | Step::Redact { .. }
            | Step::Erase { .. }
            | Step::Shred { .. }
            | Step::Rewrite { .. } => self.say(step),
        }
        // Whoever acts in a room is a member who has opened it.
        if !cut && let Some(room) = step.room().and_then(|label| self.rooms.get_mut(&label)) {
            room.unlisted = false;
        }
    }

    /// What the operation changes of what is said.
    fn say(&mut self, step: &Step) {
        match step {
            Step::Send { room, by, fact } => {
                let room = self.room(*room);
                room.said.insert(*fact);
                room.by.insert(*fact, by.clone());
                room.all.insert(*fact);
            }
            Step::State { room, fact, .. } => {
                let room = self.room(*room);
                room.state = Some(*fact);
                room.states.insert(*fact);
                room.all.insert(*fact);
            }
            Step::Redact { room, fact, .. } => {
                let room = self.room(*room);
                room.said.remove(fact);
                room.states.remove(fact);
                room.state.take_if(|state| state == fact);
                room.redacted.insert(*fact);
            }
            Step::Erase { room, who, .. } => {
                let room = self.room(*room);
                let his: BTreeSet<u32> = room.said.iter().copied().filter(|fact| room.by[fact] == *who).collect();
                room.said.retain(|fact| !his.contains(fact));
                room.redacted.extend(&his);
                self.dead.extend(his);
            }
            Step::Shred { room, open, .. } => {
                let all = self.rooms.remove(room).unwrap().all;
                if *open {
                    self.dead.extend(all);
                } else {
                    self.doomed.extend(all);
                }
            }
            Step::Rewrite { rooms } => {
                let redacted = rooms.iter().flat_map(|room| self.rooms[room].redacted.iter().copied());
                self.dead.extend(redacted);
            }
            _ => {}
        }
    }

    /// What the operation would have given out had it happened is worth nothing.
    pub(super) fn miss(&mut self, step: &Step) {
        match step {
            Step::Register { name, password, .. } => {
                self.revoked.insert(Credential::Password(name.clone(), password.clone()));
            }
            Step::Password { name, new, .. } | Step::Reset { name, new, .. } | Step::Abandon { name, new, .. } => {
                self.revoked.insert(Credential::Password(name.clone(), new.clone()));
            }
            // The time has passed all the same.
            Step::Month => self.expire(),
            _ => {}
        }
    }

    fn change_password(&mut self, name: &str, token: &str, new: &str, end_others: bool) {
        let account = self.account(name);
        let old = std::mem::replace(&mut account.password, new.to_owned());
        let mut gone = vec![Credential::Password(name.to_owned(), old)];
        if end_others {
            let others = account.tokens.iter().filter(|known| *known != token);
            gone.extend(others.cloned().map(Credential::Token));
            account.tokens.retain(|known| known == token);
            let superseded = self.superseded.remove(name).unwrap_or_default();
            self.dead.extend(superseded);
        }
        self.revoked.extend(gone);
    }

    /// What was said and reported so far is shown no more.
    fn expire(&mut self) {
        for room in self.rooms.values_mut() {
            // What state said lies in the keep as well, and goes from there with a generation.
            room.states.clear();
            let redacted = std::mem::take(&mut room.redacted).into_iter();
            let (mut messages, state): (BTreeSet<u32>, _) = redacted.partition(|fact| room.by.contains_key(fact));
            room.redacted = state;
            for facts in [&mut messages, &mut room.said, &mut room.doomed] {
                self.expired.append(facts);
            }
        }
        self.expired.extend(std::mem::take(&mut self.reports).into_keys());
    }

    /// The password that waits for an account, if one does, becomes its password.
    pub(super) fn settle(&mut self, name: &str) {
        if let Some(Pending { password, end_devices }) = self.account(name).pending.take() {
            self.change_password(name, "", &password, end_devices);
        }
    }

    /// Takes an account's credentials. The tokens of a cold one are not known to the server: their rows keep an outer
    /// seal that opens, and under it nothing.
    fn revoke(&mut self, name: &str, open: bool) {
        let is_blunted = |credential: &Credential| !open && matches!(credential, Credential::Token(_));
        let (blunted, revoked): (Vec<_>, Vec<_>) = self.credentials_of(name).into_iter().partition(is_blunted);
        self.blunted.extend(blunted);
        self.revoked.extend(revoked);
    }

    fn abandon(&mut self, name: &str, new: &str, open: bool) {
        self.revoke(name, open);
        let Account { locked, admin, .. } = self.accounts[name];
        let fresh = Account { password: new.to_owned(), locked, admin, ..Account::default() };
        let old = self.accounts.insert(name.to_owned(), fresh).unwrap();
        self.revoked.extend(old.pending.map(|pending| Credential::Password(name.to_owned(), pending.password)));
        self.dead.extend(old.secret);
        self.dead.extend(self.superseded.remove(name).unwrap_or_default());
        self.lose_reports(name);
        for room in self.rooms.values_mut().filter(|room| room.members.contains_key(name)) {
            room.behind.insert(name.to_owned());
        }
    }

    fn end(&mut self, name: &str, erase: bool, open: bool, cut: bool) {
        self.revoke(name, open);
        for room in self.rooms.values_mut().filter(|_| erase) {
            let his: Vec<u32> = room.said.iter().copied().filter(|fact| room.by[fact] == name).collect();
            room.said.retain(|fact| !his.contains(fact));
            room.doomed.extend(his);
        }
        let account = self.accounts.remove(name).unwrap();
        self.revoked.extend(account.pending.map(|pending| Credential::Password(name.to_owned(), pending.password)));
        self.dead.extend(account.secret);
        self.dead.extend(self.superseded.remove(name).unwrap_or_default());
        self.lose_reports(name);
        let rooms: Vec<u32> = self.rooms.iter().filter(|(_, room)| room.members.contains_key(name)).map(key).collect();
        for label in rooms {
            let room = &self.rooms[&label];
            if cut && room.public && room.members.len() == 1 {
                self.limbo.extend(self.rooms.remove_entry(&label).map(|(label, room)| (label, room.all)));
            } else {
                self.out(label, name);
            }
        }
    }

    fn report(&mut self, fact: u32) {
        let administrators = self.accounts.iter().filter(|(_, account)| account.admin);
        let holders: BTreeSet<String> = administrators.map(|(name, _)| name.clone()).collect();
        // Without an administrator it stays in memory.
        if holders.is_empty() {
            self.dead.insert(fact);
        } else {
            self.reports.insert(fact, holders);
        }
    }

    /// The vault of an administrator is gone, and what was reported to him alone.
    fn lose_reports(&mut self, name: &str) {
        for holders in self.reports.values_mut() {
            holders.remove(name);
        }
        let lost = self.reports.extract_if(.., |_, holders| holders.is_empty());
        self.dead.extend(lost.map(|(fact, _)| fact));
    }

    fn out(&mut self, label: u32, who: &str) {
        let room = self.room(label);
        room.members.remove(who);
        room.behind.remove(who);
        if room.members.is_empty() {
            let all = self.rooms.remove(&label).unwrap().all;
            self.dead.extend(all);
        }
    }

    fn account(&mut self, name: &str) -> &mut Account {
        self.accounts.get_mut(name).unwrap()
    }

    fn room(&mut self, label: u32) -> &mut Room {
        self.rooms.get_mut(&label).unwrap()
    }
}

fn key<V>((key, _): (&u32, V)) -> u32 {
    *key
}
