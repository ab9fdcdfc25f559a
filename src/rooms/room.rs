//! An open room: one writer, and a view for readers who never wait for it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use imbl::OrdMap;
use parking_lot::RwLock;
use ruma::{
    OwnedRoomId, RoomVersionId, UserId, events::room::member::MembershipState, room_version_rules::RoomVersionRules,
};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::{
    bodies::{Body, RECENT},
    core::StateMap,
    entry::Tags,
    ledger::RoomLedger,
    notes::Notes,
    roots::root_key,
    row::{Digested, Known, Row},
    term::Term,
    typing::Typing,
    view::{Newest, View},
};
use crate::{
    clock::Timestamp,
    event::{Digest, Event},
    house::PublicRoom,
    journal::{Error, Journals, Owner, Position, Stream},
    pseudonym::MemberId,
    seal::slots::SlotId,
    secret::Key,
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
    pub(super) notes: Notes,
    /// Up to where its events have been told to whoever watches.
    told: AtomicU64,
    pub(super) writer: OneWriter,
    view: RwLock<Arc<View>>,
    news: watch::Sender<()>,
    /// RK, beside the writer for who must not wait for it.
    key: RwLock<Key>,
    /// Whether redacted events wait for their windows to be rewritten.
    marked: AtomicBool,
    /// What the ledger keeps of the restricted rooms this one admits to.
    pub(super) kept: RwLock<OrdMap<OwnedRoomId, PublicRoom>>,
}

/// What the one writer of a room works on.
pub(super) struct Writer {
    pub(super) owner: Owner<RoomLedger>,
    pub(super) view: View,
    /// The numbers of the entries that requests made, by sender, type and transaction. The type stands for the endpoint:
    /// the same transaction id may be used for a message and its redaction (spec: client-server API, transaction
    /// identifiers).
    pub(super) transactions: Tags,
    /// Keys mailed by this process, lest it mails them again: who, which generation, which life.
    pub(super) mailed: BTreeSet<(MemberId, u32, SlotId)>,
    /// Set when the room was shredded while somebody waited for it.
    pub(super) gone: bool,
    /// By which time the view has forgotten what had expired.
    pub(super) hidden_at: Timestamp,
}

impl Writer {
    /// The writer of a room that nobody shares yet.
    pub(super) fn new(owner: Owner<RoomLedger>, view: View, transactions: Tags) -> Self {
        let hidden_at = Timestamp(0);
        Self { owner, view, transactions, mailed: BTreeSet::new(), gone: false, hidden_at }
    }
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

/// The state before the first row: what is current and did not come in the window, and what rows replaced.
pub(super) fn before(current: &StateMap, rows: &[(Position, Digest, Option<Arc<Event>>)]) -> StateMap {
    let mut state = current.clone();
    for (_, digest, replaces) in rows.iter().rev() {
        match (&digest.state, replaces) {
            (Some(_), Some(replaced)) => {
                state.insert(Arc::clone(replaced));
            }
            (Some(event), None) => state.remove(event),
            (None, _) => {}
        }
    }
    state
}

impl Room {
    /// Opens a loaded room, reading its windows. Its events live as `term` and the room's state say; what has expired by
    /// `now` is left out.
    pub(super) fn open(
        journals: &Journals,
        mut owner: Owner<RoomLedger>,
        term: Term,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut rows = Vec::new();
        let (mut recent, mut roots) = (VecDeque::new(), BTreeMap::new());
        let mut transactions = Tags::default();
        let ledger = owner.ledger.clone();
        let mut known = Known::of(&ledger);
        // A later window may die before an earlier one, and takes along what stands before it.
        let died = owner.died_until();
        owner.load_windows(journals, &mut |stream, position, plain| {
            if stream != Stream::Timeline || died.is_some_and(|died| position < died) {
                return Ok(());
            }
            let Digested { digest, content, transaction, replaces, root } =
                Row::decode(&plain)?.digest(&ledger, &mut known)?;
            if let Some(transaction) = &transaction {
                let number = u32::try_from(rows.len()).unwrap_or(u32::MAX);
                transactions.put(&(&*digest.sender, &*digest.kind, transaction), number);
            }
            if let Some((key, root)) = root_key(digest.relation.as_ref()).zip(root) {
                roots.insert(key, root);
            }
            recent.push_back(Body { content, transaction, arrived: None });
            if recent.len() > RECENT {
                recent.pop_front();
            }
            rows.push((position, digest, replaces));
            Ok(())
        })?;
        if let Some((low, died)) = owner.ledger.low.as_mut().zip(died) {
            low.position = low.position.max(died);
        }
        let mut view = View::empty(&owner.ledger, Some(journals.clone()), term);
        // What lay in windows that are gone has expired.
        view.low = rows.first().map_or_else(|| owner.next_window(), |(position, ..)| position.window());
        view.state = Arc::new(before(&owner.ledger.state, &rows));
        let older = rows.len() - recent.len();
        for (number, (position, digest, replaces)) in rows.into_iter().enumerate() {
            owner.ledger.extend(digest.key.id(), digest.depth, digest.ts);
            let body = if number < older { None } else { recent.pop_front() };
            view.push(Newest { position, digest, replaces, body });
        }
        view.follow(&owner.ledger);
        // A redaction may have died before its target: the marks say what is not to be shown.
        owner.ledger.marks.iter().for_each(|marked| view.hide(marked));
        view.keep_roots(roots);
        let mut writer = Writer::new(owner, view, transactions);
        writer.forget(journals, now, false);
        let end = writer.view.end();
        let room = Self::assemble(writer);
        // What lay on the disk was told by the process that wrote it.
        room.told.store(end.0, Ordering::Release);
        Ok(room)
    }

    /// Shares a room whose view is known.
    pub(super) fn assemble(writer: Writer) -> Self {
        let Writer { owner, view, .. } = &writer;
        view.bodies.arrange(owner.arranged(), || owner.shelf(Stream::Timeline));
        Self {
            id: owner.ledger.id.clone(),
            slot: owner.identity().slot,
            version: owner.ledger.version.clone(),
            rules: Arc::clone(&owner.ledger.rules),
            typing: Typing::default(),
            notes: Notes::of(&owner.ledger),
            told: AtomicU64::new(Position::START.0),
            view: RwLock::new(Arc::new(view.clone())),
            news: watch::Sender::new(()),
            key: RwLock::new(owner.identity().key.clone()),
            marked: AtomicBool::new(!owner.ledger.marks.is_empty()),
            kept: RwLock::new(owner.ledger.admits.clone()),
            writer: OneWriter { writer: Mutex::new(writer), stopped: AtomicBool::new(false) },
        }
    }

    /// What the writer of a room that nobody shares yet works on.
    pub(super) fn into_writer(self) -> Writer {
        self.writer.writer.into_inner()
    }

    /// Whether memory and disk may differ, or the room is gone: whoever finds the room must open it again.
    pub(super) fn is_stopped(&self) -> bool {
        self.writer.stopped.load(Ordering::Acquire)
    }

    /// Whether what was redacted still lies in the room's windows.
    pub(super) fn is_marked(&self) -> bool {
        self.marked.load(Ordering::Acquire)
    }

    /// RK as of the last rotation.
    pub(super) fn key(&self) -> Key {
        self.key.read().clone()
    }

    /// Notes that RK was replaced.
    pub(super) fn rekey(&self, key: &Key) {
        self.key.write().clone_from(key);
    }

    /// A receiver that sees every later event: for who looks in from outside. Subscribe before the first look.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Wakes who looks in from outside.
    pub(super) fn announce(&self) {
        self.news.send_replace(());
    }

    /// The room as it is.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    /// Shows readers what the writer has made durable. Receipts are not the writer's and stay.
    pub(super) fn publish(&self, writer: &Writer) {
        let Writer { owner, view, .. } = writer;
        view.bodies.arrange(owner.arranged(), || owner.shelf(Stream::Timeline));
        self.notes.show(&owner.ledger);
        self.marked.store(!owner.ledger.marks.is_empty(), Ordering::Release);
        let mut shown = self.view.write();
        let mut fresh = view.clone();
        (fresh.receipts, fresh.receipt_count) = (shown.receipts.clone(), shown.receipt_count);
        fresh.echoes = shown.echoes.clone();
        *shown = Arc::new(fresh);
    }

    /// Changes what readers see of what lies in RAM only.
    pub(super) fn change_view(&self, change: impl FnOnce(&mut View)) {
        let mut shown = self.view.write();
        change(Arc::make_mut(&mut shown));
    }

    /// The index of the first entry of `view` that whoever watches the room has not been told of; from now on he has
    /// been told of all.
    pub fn news(&self, view: &View) -> usize {
        view.index_after(Position(self.told.fetch_max(view.end().0, Ordering::AcqRel)))
    }

    /// How `user` stands to the room.
    pub fn membership(&self, user: &UserId) -> MembershipState {
        self.view().state.membership(user)
    }
}
