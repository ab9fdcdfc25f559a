//! Replacing RK, so that who is out stays out; and bringing members who are behind up to date (keys.md §2 and M7–M14).

use std::sync::Arc;

use ruma::{OwnedEventId, OwnedUserId, UserId, events::room::member::MembershipState};

use super::{
    Error,
    core::{Access, Effect, apply},
    gone::of_room,
    hall::Rooms,
    ledger::{Confirmed, Keyed, RoomChange},
    room::{Room, Writer},
    send::Made,
    view::Transaction,
};
use crate::{
    accounts::{
        Account, Letter,
        vault::{Fact, VaultChange, VaultLedger, VaultRoom},
    },
    event::{Draft, Shape, Unsigned, to_client},
    house::{HouseChange, PublicRoom},
    seal::slots::Change,
    secret::Key,
    store::{Batch, Partition},
};

impl Rooms {
    /// Sends an event, and where it takes somebody's right to the room's key, replaces the key with it.
    pub async fn send_rotating(
        &self,
        room: &Arc<Room>,
        draft: Draft,
        transaction: Option<Transaction>,
    ) -> Result<OwnedEventId, Error> {
        let mut writer = room.writer.lock().await;
        writer.check()?;
        let partition = self.journals.epochs.current(writer.view.class()).await?;
        let made = self.make(&mut writer, draft, transaction)?;
        let id = made.event.id().to_owned();
        let event = Arc::clone(&made.event);
        let before = writer.view.access();
        let ours = |user: &UserId| user.server_name() == self.policy.server_name && !self.sends_notices(user);
        let applied = apply(&event, &writer.view.state, &room.rules, &ours);
        let after = applied.state.access(&room.rules.authorization);
        let out = out_of(&applied.effects);
        // While a room stays public its key is no secret among the accounts here (keys.md M13).
        let stays_public = (&before, &after) == (&Access::Public, &Access::Public);
        let rotates = applied.effects.contains(&Effect::RotateKey) && !stays_public;

        if applied.effects.contains(&Effect::Deserted) {
            self.shred(room, &mut writer).await?;
        } else if rotates {
            let mut staying = self.key_holders(&writer.view);
            staying.retain(|(user, _)| Some(user) != out.as_ref());
            let key = Key::random(self.journals.random.as_ref());
            let stale = self.made_stale(&writer, out.as_ref());
            self.rotate(room, &mut writer, key, Some((made, partition)), stale, &staying).await?;
        } else {
            let mut batch = Batch::default();
            self.put(&mut writer, made, partition, &mut batch)?;
            self.settle(room, &mut writer, batch).await?;
        }
        let gone = writer.gone;
        if !gone {
            self.place_key(room, &writer).await?;
        }
        drop(writer);
        self.spread(room, &before).await;
        if let Some(out) = &out {
            self.show_out(room, out, &event).await?;
        }
        if gone {
            self.tell_ended(room).await?;
        }
        self.notify(room);
        Ok(id)
    }

    /// RK′, which is `key`, beside RK in every vault or in the mail; a new generation under RK′ with `changes` and the event,
    /// where there is one; then RK is dropped.
    pub(super) async fn rotate(
        &self,
        room: &Arc<Room>,
        writer: &mut Writer,
        key: Key,
        made: Option<(Made, Partition)>,
        mut changes: Vec<RoomChange>,
        staying: &[(OwnedUserId, MembershipState)],
    ) -> Result<(), Error> {
        self.hand_out(room, writer, &key, staying).await?;
        let generation = writer.owner.ledger.generation + 1;
        let keyed = Keyed { stretch: self.journals.epochs.stretch(), from: writer.owner.next_window() };
        changes.extend([RoomChange::Generation(generation), RoomChange::Keyed(keyed)]);
        let mut batch = Batch::default();
        let (prepared, shown) = match made {
            Some((made, partition)) => {
                changes.extend(made.changes.iter().cloned());
                changes.push(RoomChange::Heads {
                    last_ts: made.event.ts().0,
                    tips: vec![made.event.id().to_owned()],
                    depth: made.event.depth(),
                });
                let row = Self::as_row(&made, &writer.owner.ledger, partition);
                let new_key = Some(key.clone());
                let (prepared, position) =
                    writer.owner.prepare_change(&self.journals, new_key, changes, row, &mut batch)?;
                (prepared, Some((made, position)))
            }
            None => (writer.owner.prepare_with(&self.journals, Some(key.clone()), changes, &mut batch)?, None),
        };
        let change = prepared.change(writer.owner.identity());
        let done = self.accounts.commit_all(batch, vec![change]).await;
        if let Err(error) = done {
            writer.owner.stop();
            self.forget_open(&room.id);
            return Err(error.into());
        }
        let mut after = Batch::default();
        writer.owner.adopt(&self.journals, prepared, &mut after);
        if let Some((made, position)) = shown {
            self.show(writer, made, position);
        }
        room.rekey(&key);
        room.publish(writer);
        let confirmed = self.drop_old_keys(room, &key, staying, writer, generation).await?;
        writer.owner.change(&self.journals, confirmed, &mut after)?;
        self.settle(room, writer, after).await
    }

    /// Puts RK′ beside RK into the vaults of open members, and into the mail of the others.
    async fn hand_out(
        &self,
        room: &Room,
        writer: &Writer,
        key: &Key,
        staying: &[(OwnedUserId, MembershipState)],
    ) -> Result<(), Error> {
        let mut cold = Vec::new();
        for (user, membership) in staying {
            if let Some(account) = self.accounts.open(user) {
                let change = |vault: &VaultLedger| {
                    let known = vault.rooms.get(&room.id).filter(|entry| entry.slot == room.slot);
                    let mut keys = vec![key.clone()];
                    keys.extend(known.into_iter().flat_map(|entry| entry.keys.iter().cloned()));
                    let fact = known.map_or_else(|| fact_of(membership, writer, user), |entry| entry.fact.clone());
                    vec![VaultChange::Room(room.id.clone(), Some(VaultRoom::new(room.slot, keys, fact)))]
                };
                account.vault.change(&self.journals, change).await?;
            } else {
                let letter = Letter::Key { room: room.id.clone(), slot: room.slot, key: key.clone() };
                cold.push((user.clone(), vec![letter]));
            }
        }
        Ok(self.accounts.post_each(cold).await?)
    }

    /// Only RK′ stays in the vaults of open members, who have thereby confirmed it.
    async fn drop_old_keys(
        &self,
        room: &Room,
        key: &Key,
        staying: &[(OwnedUserId, MembershipState)],
        writer: &Writer,
        generation: u32,
    ) -> Result<Vec<RoomChange>, Error> {
        let mut confirmed = Vec::new();
        for (user, _) in staying {
            let Some(account) = self.accounts.open(user) else { continue };
            let change = |vault: &VaultLedger| {
                let entry = vault.rooms.get(&room.id).cloned();
                let entry = entry.map(|entry| VaultRoom { keys: vec![key.clone()], ..entry });
                entry.map(|entry| VaultChange::Room(room.id.clone(), Some(entry))).into_iter().collect()
            };
            account.vault.change(&self.journals, change).await?;
            if let Some(member) = writer.owner.ledger.roster.id(user) {
                confirmed.push(RoomChange::Confirmed(member, Some(Confirmed { generation, slot: account.slot })));
            }
        }
        Ok(confirmed)
    }

    /// Ends the room: nobody of this server is left in it.
    pub(super) async fn shred(&self, room: &Arc<Room>, writer: &mut Writer) -> Result<(), Error> {
        self.journals.slots.commit(vec![Change::Remove { id: room.slot }]).await?;
        self.orphan(writer);
        writer.gone = true;
        writer.owner.stop();
        self.forget_open(&room.id);
        let mut dead = Batch::default();
        writer.owner.ledger.blobs.values().for_each(|blob| blob.retire(&mut dead));
        self.journals.store.commit(dead).await?;
        Ok(self.house.change(|house| of_room(house, &room.id)).await?)
    }

    /// Sees to it that the key lies in the house exactly while the room is public. After the event that says so: a cut
    /// between the two leaves a public room that waits for a member, never a private one that anybody here opens.
    pub(super) async fn place_key(&self, room: &Room, writer: &Writer) -> Result<(), Error> {
        let public = writer.view.access() == Access::Public;
        let key = writer.owner.identity().key.clone();
        let entry = public.then(|| PublicRoom::new(room.slot, key));
        let house = self.house.view()?;
        if house.public.get(&room.id) == entry.as_ref() {
            return Ok(());
        }
        let id = room.id.clone();
        Ok(self.house.change(|_| vec![HouseChange::Public(id, entry)]).await?)
    }

    /// Tells the vault of who is out, or his mail.
    async fn show_out(&self, room: &Room, user: &UserId, event: &crate::event::Event) -> Result<(), Error> {
        if user.server_name() != self.policy.server_name {
            return Ok(());
        }
        let shown = to_client(event, Shape::Sync, &Unsigned::default());
        let shown: serde_json::Value = serde_json::from_str(shown.get()).map_err(|_| Error::InvalidState)?;
        let Some(account) = self.accounts.open(user) else {
            if !self.accounts.exists(user)? {
                return Ok(());
            }
            let letter = Letter::Out { room: room.id.clone(), event: shown };
            return Ok(self.accounts.post(user, vec![letter]).await?);
        };
        let change = |vault: &VaultLedger| {
            let entry = vault.rooms.get(&room.id).cloned();
            let entry = entry.map(|entry| VaultRoom { keys: Vec::new(), fact: Fact::Left(shown), ..entry });
            entry.map(|entry| VaultChange::Room(room.id.clone(), Some(entry))).into_iter().collect()
        };
        account.vault.change(&self.journals, change).await?;
        account.notify();
        Ok(())
    }

    /// Sees to it that every local member who lives has the room's key, and confirms who is known to have it. `coming`
    /// is about to be open. What a room knows of an account that has begun anew since goes.
    pub(super) async fn heal(&self, room: &Arc<Room>, coming: Option<&Arc<Account>>) -> Result<(), Error> {
        let house = self.house.view()?;
        let mut writer = room.writer.lock().await;
        if writer.gone {
            return Ok(());
        }
        self.place_key(room, &writer).await?;
        let generation = writer.owner.ledger.generation;
        let key = writer.owner.identity().key.clone();
        let mut changes = Vec::new();
        for (user, membership) in self.key_holders(&writer.view) {
            let life = house.accounts.get(user.localpart()).map(|entry| entry.slot);
            let Some(life) = life.filter(|life| self.journals.slots.contains(life)) else { continue };
            let Some(member) = writer.owner.ledger.roster.id(&user) else { continue };
            let note = Confirmed { generation, slot: life };
            let before = writer.owner.ledger.confirmed.get(&member);
            let (known, reborn) = (before == Some(&note), before.is_some_and(|before| before.slot != life));
            if reborn && writer.owner.ledger.notes.contains_key(&member) {
                // Devices that his account had before it began anew hear no more.
                changes.push(RoomChange::Note(member, None));
            }
            let open = self.accounts.open(&user).or_else(|| coming.filter(|coming| coming.user_id == user).cloned());
            match open {
                Some(account) => {
                    let has =
                        |vault: &VaultLedger| vault.rooms.get(&room.id).is_some_and(|entry| entry.keys.contains(&key));
                    if !has(&account.view()) {
                        let fact = fact_of(&membership, &writer, &user);
                        let entry = VaultRoom::new(room.slot, vec![key.clone()], fact);
                        let change = VaultChange::Room(room.id.clone(), Some(entry));
                        account.vault.change(&self.journals, |_| vec![change]).await?;
                        account.notify();
                    }
                    if !known {
                        changes.push(RoomChange::Confirmed(member, Some(note)));
                    }
                }
                None if !known && !writer.mailed.contains(&(member, generation, life)) => {
                    let letter = Letter::Key { room: room.id.clone(), slot: room.slot, key: key.clone() };
                    self.accounts.post(&user, vec![letter]).await?;
                    writer.mailed.insert((member, generation, life));
                }
                None => {}
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        writer.owner.change(&self.journals, changes, &mut batch)?;
        self.settle(room, &mut writer, batch).await
    }
}

/// What a vault says of a room whose holder is not known to it yet.
fn fact_of(membership: &MembershipState, writer: &Writer, user: &UserId) -> Fact {
    match membership {
        MembershipState::Join => Fact::Joined,
        _ => Fact::Invited(super::summary::stripped_state(&writer.view.state, user)),
    }
}

/// Who was in, invited or asking, and is so no longer.
fn out_of(effects: &[Effect]) -> Option<OwnedUserId> {
    effects.iter().find_map(|effect| match effect {
        Effect::Membership { user, from, to } => {
            let was_in = matches!(from, MembershipState::Join | MembershipState::Invite | MembershipState::Knock);
            let is_out = matches!(to, MembershipState::Leave | MembershipState::Ban);
            (was_in && is_out).then(|| user.clone())
        }
        _ => None,
    })
}
