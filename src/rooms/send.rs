//! Sending: one writer makes an event, authorises it, makes it durable and shows it.

use std::sync::Arc;

use ruma::{OwnedEventId, OwnedUserId, UserId};

use super::{
    Error,
    core::{auth_events_for, authorise},
    hall::Rooms,
    ledger::{RoomChange, RoomLedger},
    room::{Room, Writer},
    row::{Row, primer},
    rules::check,
    view::{Entry, Transaction},
};
use crate::{
    event::{Builder, Draft, Event, Parents, next_ts},
    journal::{NewRow, Stream},
    pseudonym::{MemberId, conceal},
    store::{Batch, Partition},
};

/// An event made but not yet durable, with what its rows say.
pub(super) struct Made {
    pub(super) event: Arc<Event>,
    pub(super) changes: Vec<RoomChange>,
    pub(super) replaces: Option<Arc<Event>>,
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
        let partition = self.journals.epochs.current(self.policy.messages).await?;
        writer.check()?;
        if let Some(id) = writer.repeated(&draft.sender, transaction.as_ref()) {
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
        room.publish(&writer.view);
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
        let event = Arc::new(builder.build(draft, &parents, &auth, ts)?);
        authorise(&event, &writer.view.state, &rules)?;
        check(&event, &writer.view)?;
        self.describe(writer, event, transaction)
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
        let concealed = conceal(event.json(), &ledger.roster, &mut |name: &UserId| {
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
        let row =
            Row::new(stored.clone(), transaction.as_ref(), replaces.as_ref().map(|replaced| ledger.stored(replaced)));
        let mut changes: Vec<RoomChange> =
            enrolled.into_iter().map(|(id, name)| RoomChange::Member(id, Some(name))).collect();
        if event.is_state() {
            changes.push(RoomChange::State(stored));
        }
        if let Some(target) = event.redacts() {
            changes.push(RoomChange::Mark(target.to_owned(), true));
            if let Some(current) = writer.view.state.find_id(target) {
                changes.push(RoomChange::State(ledger.stored(&crate::event::redact(current, &ledger.rules)?)));
            }
        }
        Ok(Made { event, changes, replaces, plain: row.encode()?, transaction })
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
        let Made { event, replaces, transaction, .. } = made;
        if let Some(transaction) = &transaction {
            let key = (event.sender().to_owned(), transaction.clone());
            writer.transactions.insert(key, event.id().to_owned());
        }
        writer.owner.ledger.extend(&event);
        let before = writer.view.state.clone();
        writer.view.push(Entry {
            position,
            event,
            redacted_because: None,
            before,
            replaces,
            transaction,
            arrived: Some(self.clock.now()),
        });
        // One copy of each state event serves the ledger and the view.
        writer.view.state = writer.owner.ledger.state.clone();
    }
}

impl Writer {
    /// Fails when the room was shredded or has to be loaded again.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.gone { Err(Error::UnknownRoom) } else { Ok(()) }
    }

    /// The event that an earlier request with this transaction id made.
    pub(super) fn repeated(&self, sender: &UserId, transaction: Option<&Transaction>) -> Option<OwnedEventId> {
        self.transactions.get(&(sender.to_owned(), transaction?.clone())).cloned()
    }

    /// The current state event when `draft` would only repeat it.
    fn unchanged(&self, draft: &Draft) -> Option<OwnedEventId> {
        let current = self.view.state.find(&draft.kind, draft.state_key.as_deref()?)?;
        let content: ruma::CanonicalJsonObject = current.content_as()?;
        (current.sender() == draft.sender && content == draft.content).then(|| current.id().to_owned())
    }
}
