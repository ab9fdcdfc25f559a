//! An open room: one writer, and a view for readers who never wait for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, UserId, events::room::member::MembershipState,
    room_version_rules::RoomVersionRules,
};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    ledger::RoomLedger,
    row::Row,
    typing::Typing,
    view::{Entry, Transaction, View},
};
use crate::{
    journal::{Error, Journals, Owner, Stream},
    pseudonym::MemberId,
    seal::slots::SlotId,
};

/// A room whose key is in RAM.
pub struct Room {
    /// Its id.
    pub id: OwnedRoomId,
    /// Its slot.
    pub slot: SlotId,
    /// Its version.
    pub version: RoomVersionId,
    /// Its version's rules.
    pub rules: Arc<RoomVersionRules>,
    /// Who is typing.
    pub typing: Typing,
    pub(super) writer: OneWriter,
    view: RwLock<Arc<View>>,
}

/// What the one writer of a room works on.
pub(super) struct Writer {
    pub(super) owner: Owner<RoomLedger>,
    pub(super) view: View,
    /// Requests that were carried out, by who sent them.
    pub(super) transactions: BTreeMap<(OwnedUserId, Transaction), OwnedEventId>,
    /// Keys mailed by this process, lest it mails them again: who, which generation, which life.
    pub(super) mailed: BTreeSet<(MemberId, u32, SlotId)>,
    /// Set when the room was shredded while somebody waited for it.
    pub(super) gone: bool,
}

/// The way to a room's one writer.
pub(super) struct OneWriter {
    writer: Mutex<Writer>,
    stopped: AtomicBool,
}

/// The right to write to a room. Dropped with anything unreported, it stops the room, which is then loaded again.
pub(super) struct RoomWriting<'a> {
    writer: MutexGuard<'a, Writer>,
    stopped: &'a AtomicBool,
}

impl OneWriter {
    /// Waits for the right to write. Locks are taken in the order room, vault, house.
    pub(super) async fn lock(&self) -> RoomWriting<'_> {
        RoomWriting { writer: self.writer.lock().await, stopped: &self.stopped }
    }
}

impl Drop for RoomWriting<'_> {
    fn drop(&mut self) {
        if self.writer.owner.is_ahead() {
            self.writer.owner.stop();
        }
        if self.writer.owner.is_stopped() {
            self.stopped.store(true, Ordering::Release);
        }
    }
}

impl Deref for RoomWriting<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl DerefMut for RoomWriting<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

impl Room {
    /// Opens a loaded room, reading its window.
    pub(super) fn open(journals: &Journals, mut owner: Owner<RoomLedger>) -> Result<Self, Error> {
        let mut rows = Vec::new();
        owner.load_windows(journals, &mut |stream, position, plain| {
            if stream == Stream::Timeline {
                rows.push((position, Row::decode(&plain)?));
            }
            Ok(())
        })?;
        let rules = Arc::clone(&owner.ledger.rules);
        let mut view = View::empty(rules);
        let mut transactions = BTreeMap::new();
        let mut told = Vec::with_capacity(rows.len());
        for (position, row) in rows {
            told.push((position, row.reveal(&owner.ledger)?));
        }
        // The state before the first row: what is current and did not come in the window, and what rows replaced.
        let mut state = owner.ledger.state.clone();
        let inside: BTreeSet<_> = told.iter().map(|(_, told)| told.event.id().to_owned()).collect();
        for (_, told) in told.iter().rev().filter(|(_, told)| told.event.is_state()) {
            match &told.replaces {
                Some(replaced) => {
                    state.insert(Arc::clone(replaced));
                }
                None => state.remove(&told.event),
            }
        }
        debug_assert!(state.iter().all(|event| !inside.contains(event.id())), "nothing precedes itself");
        view.state = state;
        for (position, told) in told {
            owner.ledger.extend(&told.event);
            if let Some(transaction) = &told.transaction {
                let key = (told.event.sender().to_owned(), transaction.clone());
                transactions.insert(key, told.event.id().to_owned());
            }
            let before = view.state.clone();
            view.push(Entry {
                position,
                event: told.event,
                redacted_because: None,
                before,
                replaces: told.replaces,
                transaction: told.transaction,
                arrived: None,
            });
        }
        view.state = owner.ledger.state.clone();
        Ok(Self::assemble(owner, view, transactions))
    }

    /// Shares a room whose view is known.
    pub(super) fn assemble(
        owner: Owner<RoomLedger>,
        view: View,
        transactions: BTreeMap<(OwnedUserId, Transaction), OwnedEventId>,
    ) -> Self {
        Self {
            id: owner.ledger.id.clone(),
            slot: owner.identity().slot,
            version: owner.ledger.version.clone(),
            rules: Arc::clone(&owner.ledger.rules),
            typing: Typing::default(),
            view: RwLock::new(Arc::new(view.clone())),
            writer: OneWriter {
                writer: Mutex::new(Writer { owner, view, transactions, mailed: BTreeSet::new(), gone: false }),
                stopped: AtomicBool::new(false),
            },
        }
    }

    /// Whether memory and disk may differ, or the room is gone: whoever finds the room must open it again.
    pub(super) fn is_stopped(&self) -> bool {
        self.writer.stopped.load(Ordering::Acquire)
    }

    /// The room as it is.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    /// Shows readers what the writer has made durable. Receipts are not the writer's and stay.
    pub(super) fn publish(&self, view: &View) {
        let mut shown = self.view.write();
        let (receipts, receipt_count) = (shown.receipts.clone(), shown.receipt_count);
        *shown = Arc::new(View { receipts, receipt_count, ..view.clone() });
    }

    /// Changes what readers see of what lies in RAM only.
    pub(super) fn change_view(&self, change: impl FnOnce(&mut View)) {
        let mut shown = self.view.write();
        change(Arc::make_mut(&mut shown));
    }

    /// How `user` stands to the room.
    pub fn membership(&self, user: &UserId) -> MembershipState {
        self.view().state.membership(user)
    }
}
