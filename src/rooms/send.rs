//! Sending: one writer makes an event, authorises it, makes it durable and shows it.

use std::sync::Arc;

use ruma::{OwnedEventId, OwnedUserId, UserId, events::room::member::MembershipState};

use super::{
    Entry, Error,
    bodies::Body,
    core::{auth_events_for, authorise},
    hall::Rooms,
    ledger::{RoomChange, RoomLedger},
    room::{Room, Writer},
    roots::{StoredRoot, root_key},
    row::{Row, primer},
    rules::check,
    view::{Newest, Transaction},
};
use crate::{
    event::{Builder, Digest, Draft, Event, Parents, next_ts},
    journal::{NewRow, Stream},
    pseudonym::{MemberId, conceal},
    store::{Batch, Partition},
};

/// An event made but not yet durable, with what its rows say.
pub(super) struct Made {
    pub(super) event: Arc<Event>,
    pub(super) changes: Vec<RoomChange>,
    pub(super) replaces: Option<Arc<Event>>,
    pub(super) digest: Digest,
    pub(super) content: Option<Box<str>>,
    pub(super) plain: Vec<u8>,
    pub(super) transaction: Option<Transaction>,
}

impl Rooms {
    /// Sends one event that ends nobody's membership. A repeated transaction gets the first one's event.
    pub async fn send(
        &self,
        room: &Arc<Room>,
        draft: Draft,
        transaction: Option<Transaction>,
    ) -> Result<OwnedEventId, Error> {
        let mut writer = room.writer.lock().await;
        let id = self.send_as(room, &mut writer, draft, transaction).await?;
        drop(writer);
        self.notify(room);
        Ok(id)
    }

    /// Sends with the room's writer in hand. The caller notifies.
    pub(super) async fn send_as(
        &self,
        room: &Arc<Room>,
        writer: &mut Writer,
        draft: Draft,
        transaction: Option<Transaction>,
    ) -> Result<OwnedEventId, Error> {
        let partition = self.journals.epochs.current(writer.view.class()).await?;
        writer.check()?;
        if let Some(id) = writer.repeated(&draft.sender, &draft.kind, transaction.as_ref()) {
            return Ok(id);
        }
        if let Some(id) = writer.unchanged(&draft) {
            return Ok(id);
        }
        let made = self.make(writer, draft, transaction)?;
        let id = made.event.id().to_owned();
        let mut batch = Batch::default();
        self.put(writer, made, partition, &mut batch)?;
        self.settle(room, writer, batch).await?;
        Ok(id)
    }

    /// Makes `batch` durable and shows the writer's view to readers.
    pub(super) async fn settle(&self, room: &Room, writer: &mut Writer, batch: Batch) -> Result<(), Error> {
        if let Err(error) = self.journals.store.commit(batch).await {
            writer.owner.stop();
            self.forget_open(&room.id);
            return Err(Error::Journal(error.into()));
        }
        writer.owner.settle();
        room.publish(writer);
        Ok(())
    }

    /// Builds, signs and authorises an event on top of the writer's view.
    pub(super) fn make(
        &self,
        writer: &mut Writer,
        draft: Draft,
        transaction: Option<Transaction>,
    ) -> Result<Made, Error> {
        let ledger = &writer.owner.ledger;
        let rules = Arc::clone(&ledger.rules);
        let builder = Builder {
            rules: &rules,
            server: &self.policy.server_name,
            key: &self.signer,
            random: self.journals.random.as_ref(),
        };
        let auth = auth_events_for(&draft, &writer.view.state, &rules)?;
        let parents = Parents { events: ledger.tips.clone(), depth: ledger.depth };
        let ts = next_ts(self.clock.now(), self.policy.bucket, Some(ledger.last_ts));
        let event = builder.build(draft, &parents, &auth, ts)?;
        authorise(&event, &writer.view.state, &rules)?;
        check(&event, &writer.view)?;
        self.describe(writer, Arc::new(event.settled()), transaction)
    }

    /// What an event's rows say. Enrols whom it names for the first time.
    pub(super) fn describe(
        &self,
        writer: &mut Writer,
        event: Arc<Event>,
        transaction: Option<Transaction>,
    ) -> Result<Made, Error> {
        let ledger = &writer.owner.ledger;
        let mut enrolled: Vec<(MemberId, OwnedUserId)> = Vec::new();
        let random = self.journals.random.as_ref();
        let concealed = conceal(&event.json(), &ledger.roster, &mut |name: &UserId| {
            if let Some((id, _)) = enrolled.iter().find(|(_, known)| known == name) {
                *id
            } else {
                let id = MemberId::new(random);
                enrolled.push((id, name.to_owned()));
                id
            }
        });
        let stored = super::ledger::StoredEvent {
            id: event.id().to_owned(),
            text: concealed.text,
            verbatim: concealed.verbatim,
        };
        let replaces = event
            .state_key()
            .and_then(|state_key| writer.view.state.find(event.kind(), state_key))
            .filter(|replaced| replaced.id() != event.id())
            .cloned();
        let (digest, content) = Digest::of(&event)?;
        let root = root_key(digest.relation.as_ref()).and_then(|key| writer.view.root(key));
        let root = root.and_then(|root| StoredRoot::of(root, ledger));
        let replaced = replaces.as_ref().map(|replaced| ledger.stored(replaced));
        let row = Row::new(stored.clone(), transaction.as_ref(), replaced, root);
        let mut changes: Vec<RoomChange> =
            enrolled.into_iter().map(|(id, name)| RoomChange::Member(id, Some(name))).collect();
        if event.is_state() {
            changes.push(RoomChange::State(stored));
        }
        if let Some(member) = out(&event).and_then(|user| ledger.roster.id(user))
            && ledger.notes.contains_key(&member)
        {
            changes.push(RoomChange::Note(member, None));
        }
        if let Some(target) = event.redacts() {
            changes.push(RoomChange::Mark(target.to_owned(), true));
            if let Some(current) = writer.view.state.find_id(target) {
                changes.push(RoomChange::State(ledger.stored(&crate::event::redact(current, &ledger.rules)?)));
            }
        }
        Ok(Made { event, changes, replaces, digest, content, plain: row.encode()?, transaction })
    }

    /// Puts a made event's rows into `batch` and takes it into the writer's view.
    pub(super) fn put(
        &self,
        writer: &mut Writer,
        made: Made,
        partition: Partition,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let Made { event, changes, plain, .. } = &made;
        writer.owner.change(&self.journals, changes.clone(), batch)?;
        let position = writer.owner.append(
            &self.journals,
            Stream::Timeline,
            partition,
            |ledger| primer(event, ledger),
            plain,
            batch,
        )?;
        self.show(writer, made, position);
        Ok(())
    }

    /// A made event as the row of a new generation.
    pub(super) fn as_row<'a>(made: &'a Made, ledger: &RoomLedger, partition: Partition) -> NewRow<'a> {
        NewRow { stream: Stream::Timeline, partition, primer: primer(&made.event, ledger), plain: &made.plain }
    }

    /// Takes an event into the writer's view.
    pub(super) fn show(&self, writer: &mut Writer, made: Made, position: crate::journal::Position) {
        let Made { event, replaces, transaction, digest, content, .. } = made;
        if let Some(transaction) = &transaction {
            let number = writer.view.next_number();
            writer.transactions.put(&(event.sender(), event.kind(), transaction), number);
        }
        writer.owner.ledger.extend(event.id().to_owned(), event.depth(), event.ts());
        let body = Some(Body { content, transaction, arrived: Some(self.clock.now()) });
        writer.view.push(Newest { position, digest, replaces, body });
        // One copy of each state event serves the ledger and the view.
        writer.view.follow(&writer.owner.ledger);
    }
}

/// Who is out of the room by an event.
fn out(event: &Event) -> Option<&UserId> {
    let is_out = matches!(event.membership()?, MembershipState::Leave | MembershipState::Ban);
    is_out.then(|| event.state_key().and_then(|user| <&UserId>::try_from(user).ok())).flatten()
}

impl Writer {
    /// Fails when the room was shredded or has to be loaded again.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.gone { Err(Error::UnknownRoom) } else { Ok(()) }
    }

    /// The event that an earlier request with this transaction id made.
    pub(super) fn repeated(
        &self,
        sender: &UserId,
        kind: &str,
        transaction: Option<&Transaction>,
    ) -> Option<OwnedEventId> {
        let transaction = transaction?;
        let number = self.transactions.find(&(sender, kind, transaction), |number| {
            let entry = self.view.numbered(number);
            let entry = entry.filter(|entry| entry.sender() == sender && entry.kind() == kind);
            let whole = entry.and_then(|entry| self.view.whole(entry));
            whole.is_some_and(|whole| whole.transaction() == Some(transaction))
        })?;
        self.view.numbered(number).map(Entry::id)
    }

    /// The current state event when `draft` would only repeat it.
    fn unchanged(&self, draft: &Draft) -> Option<OwnedEventId> {
        let current = self.view.state.find(&draft.kind, draft.state_key.as_deref()?)?;
        let content: ruma::CanonicalJsonObject = current.content_as()?;
        (current.sender() == draft.sender && content == draft.content).then(|| current.id().to_owned())
    }
}
