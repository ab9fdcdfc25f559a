//! What must be true of the disk: the state that was acknowledged, kept beside the engine.

use std::collections::{BTreeMap, BTreeSet};

use super::{adversary::Credential, stage::Step};

/// Everything that was acknowledged.
#[derive(Clone, Default)]
pub(super) struct Ghost {
    pub(super) accounts: BTreeMap<String, Account>,
    /// By the fact that labels them.
    pub(super) rooms: BTreeMap<u32, Room>,
    /// Credentials that are good no longer, or never came to be.
    pub(super) revoked: BTreeSet<Credential>,
    /// What must not open with anything.
    pub(super) dead: BTreeSet<u32>,
    /// What dies with the next generation of an account's vault.
    pub(super) superseded: BTreeMap<String, BTreeSet<u32>>,
}

/// A living account.
#[derive(Clone, Default)]
pub(super) struct Account {
    pub(super) password: String,
    pub(super) tokens: Vec<String>,
    /// What its account data says.
    pub(super) secret: Option<u32>,
}

/// A room somebody here is in.
#[derive(Clone, Default)]
pub(super) struct Room {
    /// Who has a part in it, and whether he is joined.
    pub(super) members: BTreeMap<String, bool>,
    /// What was said and not redacted.
    pub(super) said: BTreeSet<u32>,
    /// What was redacted: it is served no more.
    pub(super) redacted: BTreeSet<u32>,
    /// What its state says.
    pub(super) state: Option<u32>,
    /// Every fact that ever lay in it.
    pub(super) all: BTreeSet<u32>,
    /// Who may do everything in it.
    pub(super) founder: String,
    pub(super) public: bool,
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
                self.accounts.insert(name.clone(), Account { password: password.clone(), tokens, secret: None });
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
            }
            Step::Deactivate { name } => self.end(name),
            Step::Wake { .. } | Step::Knock { .. } => {}
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
                room.public = *public;
                room.unlisted = *public && cut;
            }
            Step::Send { room, fact, .. } => {
                let room = self.room(*room);
                room.said.insert(*fact);
                room.all.insert(*fact);
            }
            Step::State { room, fact, .. } => {
                let room = self.room(*room);
                room.state = Some(*fact);
                room.all.insert(*fact);
            }
            Step::Redact { room, fact, .. } => {
                let room = self.room(*room);
                room.said.remove(fact);
                room.redacted.insert(*fact);
            }
        }
        // Whoever acts in a room is a member who has opened it.
        if !cut && let Some(room) = step.room().and_then(|label| self.rooms.get_mut(&label)) {
            room.unlisted = false;
        }
    }

    /// What the operation would have given out had it happened is worth nothing.
    pub(super) fn miss(&mut self, step: &Step) {
        match step {
            Step::Register { name, password, .. } => {
                self.revoked.insert(Credential::Password(name.clone(), password.clone()));
            }
            Step::Password { name, new, .. } => {
                self.revoked.insert(Credential::Password(name.clone(), new.clone()));
            }
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

    fn end(&mut self, name: &str) {
        self.revoked.extend(self.credentials_of(name));
        let account = self.accounts.remove(name).unwrap();
        self.dead.extend(account.secret);
        self.dead.extend(self.superseded.remove(name).unwrap_or_default());
        let rooms: Vec<u32> = self.rooms.iter().filter(|(_, room)| room.members.contains_key(name)).map(key).collect();
        for room in rooms {
            self.out(room, name);
        }
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
