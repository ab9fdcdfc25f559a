//! Memberships: invite, join, knock, and every way out.

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedEventId, OwnedUserId, RoomId, UserId,
    events::room::member::MembershipState,
};

use super::{Error, hall::Rooms, room::Room, summary::stripped_state};
use crate::{
    accounts::{
        Account, Letter,
        vault::{Fact, VaultChange, VaultLedger, VaultRoom, Verdict},
    },
    event::Draft,
};

/// A change of membership as a client asks for it.
#[derive(Default)]
pub struct Change {
    /// The reason given.
    pub reason: Option<String>,
    /// Whether an invitation opens a direct chat.
    pub is_direct: bool,
    /// Who vouched for a restricted join.
    pub authorised_via: Option<OwnedUserId>,
    /// What else the client put into the event; it wins over the profile.
    pub extra: CanonicalJsonObject,
}

/// Fields of a member event that no client sets for itself.
const RESERVED: [&str; 2] = ["membership", "join_authorised_via_users_server"];

impl Rooms {
    /// Invites `target`. The event first, then the key: a cut leaves a member who is behind, never a stray key.
    pub async fn invite(
        &self,
        room: &Arc<Room>,
        sender: &UserId,
        target: &UserId,
        change: Change,
    ) -> Result<OwnedEventId, Error> {
        self.check_invitee(sender, target)?;
        let draft = self.member_draft(room, sender, target, &MembershipState::Invite, change);
        let id = self.send(room, draft, None).await?;
        let stripped = stripped_state(&room.view().state, target);
        self.hand_over(room, target, Fact::Invited(stripped)).await?;
        Ok(id)
    }

    /// Whether `sender` can invite somebody of this name. What a cold account says of invitations is not known: they are
    /// sent to it, and not shown when it has opened.
    pub(super) fn check_invitee(&self, sender: &UserId, target: &UserId) -> Result<(), Error> {
        if target.server_name() != self.policy.server_name {
            return Err(Error::NoFederation);
        }
        if !self.accounts.exists(target)? {
            return Err(Error::UnknownUser);
        }
        let refuses = |account: &Account| account.view().verdict_on(sender) == Verdict::Refused;
        let blocks = |account: Arc<Account>| refuses(&account) || self.is_full(&account);
        if self.accounts.open(target).is_some_and(blocks) { Err(Error::InviteBlocked) } else { Ok(()) }
    }

    /// Whether the account has as many rooms as it may, those it has left and not forgotten among them.
    fn is_full(&self, account: &Account) -> bool {
        account.view().rooms.len() >= self.accounts.policy().most_rooms
    }

    /// Refuses one more room for an account that is full.
    pub(super) fn check_room(&self, account: &Account, room: Option<&RoomId>) -> Result<(), Error> {
        let known = room.is_some_and(|room| account.view().rooms.contains_key(room));
        if !known && self.is_full(account) { Err(Error::TooManyRooms) } else { Ok(()) }
    }

    /// What member events show of a user's profile.
    pub(super) fn profile_of(&self, user: &UserId) -> Result<CanonicalJsonObject, Error> {
        let house = self.house.view()?;
        let profile = house.profiles.get(user.localpart()).filter(|_| user.server_name() == self.policy.server_name);
        let fields = ["displayname", "avatar_url"].into_iter().filter_map(|field| {
            let text = profile?.text(field)?;
            Some((field.to_owned(), CanonicalJsonValue::String(text.to_owned())))
        });
        Ok(fields.collect())
    }

    /// Joins `account`, which is entitled to: the key first, then the event.
    pub async fn join(&self, room: &Arc<Room>, account: &Arc<Account>, change: Change) -> Result<(), Error> {
        let user = &account.user_id;
        if room.membership(user) == MembershipState::Join {
            return Ok(());
        }
        self.check_room(account, Some(&room.id))?;
        // With the writer in hand: a rotation in between would be overwritten in the vault by the key before it.
        let mut writer = room.writer.lock().await;
        writer.check()?;
        let before = account.view().rooms.get(&room.id).cloned();
        let key = writer.owner.identity().key.clone();
        let entry = VaultRoom::new(room.slot, vec![key], Fact::Joined);
        let id = room.id.clone();
        let draft = self.member_draft(room, user, user, &MembershipState::Join, change);
        account.vault.change(&self.journals, |_| vec![VaultChange::Room(id, Some(entry))]).await?;
        if let Err(error) = self.send_as(room, &mut writer, draft, None).await {
            let id = room.id.clone();
            account.vault.change(&self.journals, |_| vec![VaultChange::Room(id, before)]).await?;
            return Err(error);
        }
        drop(writer);
        self.notify(room);
        room.show_receipts(account);
        self.heal(room, None).await?;
        self.bring_along(room, account).await;
        account.notify();
        Ok(())
    }

    /// Lets `account` ask to be let in. Whoever asks is no member: his vault gets no key.
    pub async fn knock(&self, room: &Arc<Room>, account: &Arc<Account>, change: Change) -> Result<(), Error> {
        let user = &account.user_id;
        self.check_room(account, Some(&room.id))?;
        let draft = self.member_draft(room, user, user, &MembershipState::Knock, change);
        self.send(room, draft, None).await?;
        let stripped = stripped_state(&room.view().state, user);
        let entry = VaultRoom::new(room.slot, Vec::new(), Fact::Knocked(stripped));
        let id = room.id.clone();
        account.vault.change(&self.journals, |_| vec![VaultChange::Room(id, Some(entry))]).await?;
        account.notify();
        Ok(())
    }

    /// Ends `target`'s membership, or bans him. Answered after RK has been replaced where that is needed.
    pub async fn put_out(
        &self,
        room: &Arc<Room>,
        sender: &UserId,
        target: &UserId,
        ban: bool,
        change: Change,
    ) -> Result<OwnedEventId, Error> {
        let membership = if ban { MembershipState::Ban } else { MembershipState::Leave };
        let draft = self.member_draft(room, sender, target, &membership, change);
        self.send_rotating(room, draft, None).await
    }

    /// Takes a ban back.
    pub async fn unban(
        &self,
        room: &Arc<Room>,
        sender: &UserId,
        target: &UserId,
        change: Change,
    ) -> Result<OwnedEventId, Error> {
        if room.membership(target) != MembershipState::Ban {
            return Err(Error::Forbidden);
        }
        let draft = self.member_draft(room, sender, target, &MembershipState::Leave, change);
        self.send(room, draft, None).await
    }

    /// Forgets a room that `account` has left.
    pub async fn forget(&self, id: &RoomId, account: &Account) -> Result<(), Error> {
        match account.view().rooms.get(id).map(|entry| entry.fact.clone()) {
            None => Ok(()),
            Some(Fact::Left(_)) => Ok(account.vault.change(&self.journals, |vault| without(vault, id)).await?),
            Some(_) => Err(Error::StillIn),
        }
    }

    /// Gives a member the room's key: into his vault when he is open, else into his mail.
    pub(super) async fn hand_over(&self, room: &Arc<Room>, user: &UserId, fact: Fact) -> Result<(), Error> {
        let writer = room.writer.lock().await;
        let key = writer.owner.identity().key.clone();
        if let Some(account) = self.accounts.open(user) {
            let entry = VaultRoom::new(room.slot, vec![key], fact);
            let id = room.id.clone();
            account.vault.change(&self.journals, |_| vec![VaultChange::Room(id, Some(entry))]).await?;
            account.notify();
            drop(writer);
            return self.heal(room, None).await;
        }
        let letter = match fact {
            Fact::Invited(stripped) => Letter::Invite { room: room.id.clone(), slot: room.slot, key, stripped },
            _ => Letter::Key { room: room.id.clone(), slot: room.slot, key },
        };
        Ok(self.accounts.post(user, vec![letter]).await?)
    }

    /// The member event a change asks for; names and avatars come from the profile of whom it is about.
    pub(super) fn member_draft(
        &self,
        room: &Room,
        sender: &UserId,
        target: &UserId,
        membership: &MembershipState,
        change: Change,
    ) -> Draft {
        let shows = matches!(membership, MembershipState::Join | MembershipState::Invite | MembershipState::Knock);
        let profile = if shows { self.profile_of(target).ok() } else { None };
        let mut content = profile.unwrap_or_default();
        content.extend(change.extra.into_iter().filter(|(field, _)| !RESERVED.contains(&field.as_str())));
        let mut put = |field: &str, value: CanonicalJsonValue| content.insert(field.to_owned(), value);
        put("membership", CanonicalJsonValue::String(membership.to_string()));
        if let Some(reason) = change.reason {
            put("reason", CanonicalJsonValue::String(reason));
        }
        if change.is_direct && *membership == MembershipState::Invite {
            put("is_direct", CanonicalJsonValue::Bool(true));
        }
        if let Some(via) = change.authorised_via {
            put("join_authorised_via_users_server", CanonicalJsonValue::String(via.to_string()));
        }
        Draft::state(&room.id, sender, "m.room.member", target.as_str(), content)
    }
}

/// What takes everything about a room out of a vault.
pub(super) fn without(vault: &VaultLedger, id: &RoomId) -> Vec<VaultChange> {
    let data = vault.room_data.keys().filter(|(room, _)| room == id);
    let mut changes: Vec<_> =
        data.map(|(room, kind)| VaultChange::RoomData(room.clone(), kind.clone(), None)).collect();
    let read = vault.read.keys().filter(|key| key.room == id);
    changes.extend(read.map(|key| VaultChange::Read(key.clone(), None)));
    let threads = vault.threads.keys().filter(|(room, _)| room == id);
    changes.extend(threads.map(|(room, root)| VaultChange::Thread(room.clone(), root.clone(), None)));
    changes.push(VaultChange::Room(id.to_owned(), None));
    changes
}
