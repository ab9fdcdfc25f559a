//! Forgetting a person in a room (keys.md §2, "erase a person"): what he said becomes stubs under fresh window secrets, and a
//! new generation's roster names him by a placeholder, which is then what every event shows.

use std::sync::Arc;

use ruma::UserId;

use super::{
    Error,
    hall::{Rooms, has_part},
    ledger::{RoomChange, RoomLedger, StoredEvent},
    room::{Room, Writer},
    row::Row,
};
use crate::{
    event::{self, Event},
    journal::{self, Ledger, Owner, Stream},
    pseudonym::{MemberId, erased},
    store::Batch,
};

impl Rooms {
    /// Forgets `user`, who is out of the room. Where another server has been in the room his name stays, because that
    /// server knows it; what he said and showed of himself goes all the same. Whether the name went.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] for whom the room does not know, [`Error::StillIn`] for who is in it.
    pub async fn erase(&self, room: &Arc<Room>, user: &UserId) -> Result<bool, Error> {
        let mut writer = room.writer.lock().await;
        writer.check()?;
        let known = writer.owner.ledger.clone();
        let member = known.roster.id(user).ok_or(Error::UnknownUser)?;
        if has_part(&known.state.membership(user)) {
            return Err(Error::StillIn);
        }
        let ours = |user: &UserId| user.server_name() == self.policy.server_name;
        let person =
            Person { user, member, known: &known, nameless: known.state.members().all(|(user, ..)| ours(user)) };
        let nameless = person.nameless;
        writer.owner.ledger = person.forgotten(&self.policy.server_name)?;
        let mut batch = Batch::default();
        let mut rewrite = |stream, _, plain: &[u8]| {
            // A row that is not understood stays as it is: the room would not have opened with it.
            if stream == Stream::Timeline { person.row(plain).ok().flatten() } else { None }
        };
        let prepared = writer.owner.prepare_rewrite(&self.journals, None, &mut rewrite, &mut batch)?;
        let change = prepared.change(writer.owner.identity());
        let done = self.accounts.commit_all(batch, vec![change]).await.map_err(Error::from);
        let done = match done {
            Ok(()) => {
                let mut after = Batch::default();
                writer.owner.adopt(&self.journals, prepared, &mut after);
                self.journals.store.commit(after).await.map_err(|error| Error::Journal(error.into()))
            }
            error => error,
        };
        let done = done.and_then(|()| self.read_again(room, &mut writer));
        if done.is_err() {
            writer.owner.stop();
            self.forget_open(&room.id);
        }
        drop(writer);
        room.change_view(|view| {
            let others = view.receipts.iter().filter(|((of, _), _)| of != user);
            view.receipts = others.map(|(key, receipt)| (key.clone(), receipt.clone())).collect();
            view.echoes.remove(user);
        });
        self.notify(room);
        done.map(|()| nameless)
    }

    /// Reads an open room from the disk again: every event in memory may name somebody whom the disk has forgotten.
    pub(super) fn read_again(&self, room: &Room, writer: &mut Writer) -> Result<(), Error> {
        let ledger = &writer.owner.ledger;
        let (version, rules) = (ledger.version.clone(), (*ledger.rules).clone());
        let empty = RoomLedger::empty(self.policy.server_name.clone(), room.id.clone(), version, rules);
        let owner = Owner::load(&self.journals, writer.owner.identity().clone(), empty)?;
        let owner = owner.ok_or(journal::Error::Broken)?;
        let bodies = Arc::clone(&writer.view.bodies);
        *writer = self.open_owner(owner)?.into_writer();
        // Who reads beside the writer goes on reading, from where the rows lie now.
        bodies.rearrange(writer.owner.arranged(), writer.owner.shelf(Stream::Timeline));
        writer.view.bodies = bodies;
        room.publish(writer);
        Ok(())
    }
}

/// Who is to be forgotten, and the room as it knows him.
struct Person<'a> {
    user: &'a UserId,
    member: MemberId,
    known: &'a RoomLedger,
    /// Whether his name goes too.
    nameless: bool,
}

impl Person<'_> {
    /// The room's value without him.
    fn forgotten(&self, server: &ruma::ServerName) -> Result<RoomLedger, Error> {
        let known = self.known;
        let rules = (*known.rules).clone();
        let mut fresh = RoomLedger::empty(server.to_owned(), known.id.clone(), known.version.clone(), rules);
        for change in known.checkpoint() {
            let change = match change {
                RoomChange::Member(id, _) if id == self.member && self.nameless => {
                    RoomChange::Member(id, Some(erased(id, server)))
                }
                RoomChange::Confirmed(id, _) if id == self.member => continue,
                RoomChange::State(stored) => RoomChange::State(self.stored(&stored)?.unwrap_or(stored)),
                other => other,
            };
            fresh.apply(change)?;
        }
        Ok(fresh)
    }

    /// A row of the window without him, when it changes.
    fn row(&self, plain: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let row = Row::decode(plain)?;
        let before = row.event();
        let event = self.stored(&before)?;
        let replaced = row.replaced.as_ref().map(|stored| self.stored(stored)).transpose()?.flatten();
        let his = self.known.revealed(&before)?.sender() == self.user;
        if event.is_none() && replaced.is_none() && !his {
            return Ok(None);
        }
        let replaced = replaced.or_else(|| row.replaced.clone());
        Ok(Some(row.with(event.unwrap_or(before), replaced, his).encode()?))
    }

    /// An event without him, when it changes: what he said and what member events show of him is redacted, and where his
    /// name stands in the clear, because the room did not know him yet, his member id takes its place.
    fn stored(&self, stored: &StoredEvent) -> Result<Option<StoredEvent>, Error> {
        let event = self.known.revealed(stored)?;
        if self.is_his(&event) {
            return Ok(Some(self.known.stored(&event::redact(&event, &self.known.rules)?)));
        }
        if !self.nameless || !stored.text.contains(self.user.localpart()) {
            return Ok(None);
        }
        let again = self.known.stored(&event);
        match again.verbatim {
            false if again.text == stored.text => Ok(None),
            false => Ok(Some(again)),
            // An event that does not survive concealment names him for ever, unless it can be redacted.
            true if !event.is_state() && stored.text.contains(self.user.as_str()) => {
                Ok(Some(self.known.stored(&event::redact(&event, &self.known.rules)?)))
            }
            true => Ok(None),
        }
    }

    fn is_his(&self, event: &Event) -> bool {
        let about_him = event.kind() == "m.room.member" && event.state_key() == Some(self.user.as_str());
        about_him || event.sender() == self.user && !event.is_state()
    }
}
