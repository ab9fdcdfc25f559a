//! Extensions: what is told beside the rooms.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ruma::{OwnedRoomId, UserId};
use serde_json::{Value, json};

use super::{
    connection::{Side, State},
    list::Candidate,
    request::{Extensions, Threads, ToDevice},
    response::{AccountDataAnswer, ExtensionsAnswer, RoomsAnswer, ThreadsAnswer, ToDeviceAnswer},
};
use crate::{
    accounts::{
        Session,
        vault::{ReadKind, VaultLedger},
    },
    house::HouseLedger,
    journal::Position,
    push,
    rooms::{Rooms, View},
    sync::parts::{self, DeviceLists, People, Receipts},
};

/// The most to-device messages of an answer.
const MOST_MESSAGES: u64 = 100;
/// The most thread subscriptions of an answer (MSC4308: the default).
const MOST_THREADS: u64 = 100;

/// A room, with which extensions are for it.
#[expect(clippy::struct_excessive_bools, reason = "each says whether one extension is for the room")]
pub(super) struct Covered<'a, 'b> {
    /// The room.
    pub(super) candidate: &'a Candidate<'b>,
    /// Whether account data is asked for.
    pub(super) data: bool,
    /// Whether receipts are.
    pub(super) receipts: bool,
    /// Whether typing is.
    pub(super) typing: bool,
    /// Whether profiles are.
    pub(super) profiles: bool,
}

/// The answer of extensions while it is put together.
pub(super) struct Extending<'a> {
    /// Rooms.
    pub(super) rooms: &'a Rooms,
    /// Who asks.
    pub(super) session: &'a Session,
    /// The vault.
    pub(super) vault: &'a VaultLedger,
    /// The house.
    pub(super) house: &'a HouseLedger,
    /// Steady time.
    pub(super) steady: Duration,
    /// What has been told, which becomes what will have been told.
    pub(super) state: &'a mut State,
    /// The answer.
    pub(super) answer: ExtensionsAnswer,
    /// Whether there is anything to say.
    pub(super) worth: bool,
    /// When somebody's typing ends by itself.
    pub(super) next_end: Option<Duration>,
}

/// The position in a to-device token; nothing for a text that is none.
pub(super) fn since(asked: &ToDevice) -> Option<Position> {
    asked.since.as_deref().and_then(|text| text.parse().ok()).map(Position)
}

impl Extending<'_> {
    /// Everything that is asked for.
    pub(super) fn extend(&mut self, asked: &Extensions, covered: &[Covered<'_, '_>]) {
        if asked.to_device.enabled {
            self.messages(&asked.to_device);
        }
        if asked.e2ee.enabled {
            self.e2ee();
        }
        if asked.account_data.enabled {
            self.global_data();
        }
        if asked.threads.enabled {
            self.threads(&asked.threads);
        }
        for covered in covered {
            self.room(covered);
        }
        if asked.profiles.scope.enabled {
            self.profiles(&asked.profiles, covered);
        }
    }

    fn messages(&mut self, asked: &ToDevice) {
        let device = &self.session.device;
        let acknowledged = self.vault.devices.get(device).map(|device| device.acknowledged).unwrap_or_default();
        let waiting = self.session.account.waiting(device, acknowledged, usize::MAX);
        let end = waiting.last().map_or(acknowledged, |(position, _)| *position);
        // A token further than what there is comes from another life of the account: it says nothing here.
        let after = since(asked).filter(|since| (acknowledged..=end).contains(since)).unwrap_or(acknowledged);
        let most = usize::try_from(asked.limit.unwrap_or(MOST_MESSAGES).clamp(1, MOST_MESSAGES)).unwrap_or(1);
        let messages: Vec<_> = waiting.into_iter().filter(|(position, _)| *position > after).take(most).collect();
        self.worth |= !messages.is_empty();
        let next = messages.last().map_or(after, |(position, _)| *position);
        let events = messages.into_iter().map(|(_, message)| message).collect();
        self.answer.to_device = Some(ToDeviceAnswer { next_batch: next.0.to_string(), events });
    }

    fn e2ee(&mut self) {
        let (account, device) = (&self.session.account, &self.session.device);
        let before = self.state.people.take();
        let known = before.as_ref().map(|(people, _)| people.clone()).unwrap_or_default();
        let people = People::of(self.rooms, account, self.vault, &known);
        // A client that starts afresh may have missed any change: it looks at everybody it follows again.
        let mut lists = match &before {
            Some((people_before, stamp)) => DeviceLists::between(people_before, *stamp, &people, self.house),
            None => DeviceLists { changed: people.users().cloned().collect(), left: Vec::new() },
        };
        // Signatures on others' keys are seen by the account's own devices alone.
        if let Some(told) = self.state.signed.replace(self.vault.count) {
            let signed = self.vault.signatures.iter().filter(|(_, made)| made.at > told);
            let signed: BTreeSet<_> = signed.map(|((user, _), _)| user.clone()).collect();
            lists.changed.extend(signed.into_iter().filter(|user| !lists.changed.contains(user)).collect::<Vec<_>>());
        }
        self.state.people = Some((people, self.house.stamp));
        let counts = parts::one_time_keys(self.vault, device);
        let unused = parts::unused_fallback_keys(self.house, &account.user_id, device);
        let mut answer = json!({"device_one_time_keys_count": counts, "device_unused_fallback_key_types": unused});
        if !lists.is_empty() {
            answer["device_lists"] = json!({"changed": lists.changed, "left": lists.left});
        }
        let keys = Some((counts, unused));
        self.worth |= !lists.is_empty() || self.state.keys != keys;
        self.state.keys = keys;
        self.answer.e2ee = Some(answer);
    }

    fn global_data(&mut self) {
        let told = self.state.data.replace(self.vault.count);
        let data = &self.vault.account_data;
        let new = |at: u64| told.is_none_or(|told| at > told);
        let others = data.iter().filter(|(kind, data)| *kind != push::RULES && new(data.at));
        let mut global: Vec<_> = others.map(|(kind, data)| json!({"type": kind, "content": data.value})).collect();
        // The rules have parts that nobody stores.
        if data.get(push::RULES).map_or(told.is_none(), |data| new(data.at)) {
            let rules = push::ruleset_of(self.vault, &self.session.account.user_id);
            global.push(json!({"type": push::RULES, "content": {"global": rules}}));
        }
        self.worth |= !global.is_empty();
        self.answer.account_data = Some(AccountDataAnswer { global, rooms: BTreeMap::new() });
    }

    /// Threads that are followed at first, then what changed.
    fn threads(&mut self, asked: &Threads) {
        let told = self.state.threads.replace(self.vault.count);
        let most = usize::try_from(asked.limit.unwrap_or(MOST_THREADS).clamp(1, MOST_THREADS)).unwrap_or(1);
        let page = push::threads::page(self.vault, told, None, most);
        if page.threads.is_empty() {
            return;
        }
        self.worth = true;
        let mut answer = ThreadsAnswer { prev_batch: page.end, ..ThreadsAnswer::default() };
        for (room, root, thread) in page.threads {
            let mut shown = json!({"bump_stamp": thread.version});
            let place = if thread.subscribed {
                shown["automatic"] = thread.automatic.into();
                &mut answer.subscribed
            } else {
                &mut answer.unsubscribed
            };
            place.entry(room).or_default().insert(root, shown);
        }
        self.answer.threads = Some(answer);
    }

    fn room(&mut self, covered: &Covered<'_, '_>) {
        let candidate = covered.candidate;
        let before = self.state.sides.get(candidate.id).cloned().unwrap_or_default();
        let mut side = before.clone();
        if covered.data {
            let events = self.room_data(candidate, &mut side);
            if !events.is_empty() {
                self.worth = true;
                let answer = self.answer.account_data.get_or_insert_default();
                answer.rooms.insert(candidate.id.clone(), events);
            }
        }
        let joined = *candidate.fact == crate::accounts::vault::Fact::Joined;
        if let Some((room, view)) = candidate.room.as_ref().filter(|_| joined) {
            let event = covered.receipts.then(|| self.receipts(candidate.id, view, &mut side)).flatten();
            if let Some(event) = event {
                self.worth = true;
                self.answer.receipts.get_or_insert_default().rooms.insert(candidate.id.clone(), event);
            }
            if covered.typing {
                let (users, count) = room.typing.now(self.steady);
                self.next_end = self.next_end.into_iter().chain(room.typing.next_end()).min();
                if count != side.typing && (!users.is_empty() || side.was_typing) {
                    self.worth = true;
                    let answer = self.answer.typing.get_or_insert_with(RoomsAnswer::default);
                    answer.rooms.insert(candidate.id.clone(), parts::typing(&users));
                }
                (side.typing, side.was_typing) = (count, !users.is_empty());
            }
        }
        if side != before {
            self.state.sides.insert(candidate.id.clone(), side);
        }
    }

    fn room_data(&self, candidate: &Candidate<'_>, side: &mut Side) -> Vec<Value> {
        let told = side.data.replace(self.vault.count);
        let from = (candidate.id.clone(), String::new());
        let data = self.vault.room_data.range(from..).take_while(|((room, _), _)| room == candidate.id);
        let new = data.filter(|(_, data)| told.is_none_or(|told| data.at > told));
        let mut events: Vec<_> = new.map(|((_, kind), data)| json!({"type": kind, "content": data.value})).collect();
        let fully = candidate.view().and_then(|view| parts::fully_read(self.vault, view, candidate.id));
        if fully.is_some() && fully != side.fully {
            events.push(json!({"type": "m.fully_read", "content": {"event_id": fully}}));
            side.fully = fully;
        }
        events
    }

    /// At first, and when the timeline reaches further back: receipts on what the client can see, and its own.
    /// Then what changed. Where everything has expired there is nothing a receipt could stand on: it begins anew.
    fn receipts(&self, room: &OwnedRoomId, view: &View, side: &mut Side) -> Option<Value> {
        let me: &UserId = &self.session.account.user_id;
        let mut receipts = Receipts::default();
        receipts.echoed(view, me, std::mem::replace(&mut side.echoed, view.receipt_count));
        if view.timeline.is_empty() {
            side.receipts = None;
            side.private.clear();
            return receipts.event();
        }
        let from = self.state.rooms.get(room).map_or(Position::START, |sent| sent.from);
        let before = side.receipts.replace((view.receipt_count, from));
        if before != side.receipts {
            for ((user, thread), receipt) in &view.receipts {
                let wanted = match before {
                    None => receipt.position >= from || user == me,
                    Some((told, seen)) => receipt.at > told || (from..seen).contains(&receipt.position),
                };
                if wanted {
                    receipts.public(view, me, user, thread.as_deref(), receipt);
                }
            }
        }
        let private: Vec<_> = parts::marks(self.vault, room, ReadKind::Private)
            .map(|(key, mark)| ((key.thread.clone(), mark.position), mark))
            .collect();
        for (place, mark) in &private {
            if !side.private.contains(place) {
                receipts.private(view, me, place.0.as_deref(), mark);
            }
        }
        side.private = private.into_iter().map(|(place, _)| place).collect();
        if before.is_none() {
            receipts.unsaid(view, me, self.vault);
        }
        receipts.event()
    }
}
