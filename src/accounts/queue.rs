//! To-device messages that wait, within bounds that no single sender can use up.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ruma::OwnedDeviceId;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::journal::Position;

/// Messages that wait for one device: a phone that was off for weeks has some thousands.
const MOST_WAITING: usize = 10_000;
/// Bytes of the messages that wait for one device.
const MOST_OF_DEVICE: usize = 16 << 20;
/// Bytes of the messages that wait for all devices of an account: they lie in memory while it is open.
const MOST_OF_ACCOUNT: usize = 64 << 20;
/// The part of a bound that one sender can use up, so that nobody keeps the messages of all others away.
const SHARE: usize = 4;

/// What waits of one kind, by sender.
pub(super) struct Load {
    most: Weight,
    all: Weight,
    senders: HashMap<Box<str>, Weight>,
}

#[derive(Clone, Copy, Default)]
struct Weight {
    messages: usize,
    bytes: usize,
}

impl Load {
    /// A load for mail of a cold account, as much as for one device.
    pub(super) fn of_mail() -> Self {
        Self::new(MOST_WAITING, MOST_OF_DEVICE)
    }

    fn new(messages: usize, bytes: usize) -> Self {
        Self { most: Weight { messages, bytes }, all: Weight::default(), senders: HashMap::new() }
    }

    /// Adds a message, unless there are too many, or too many of its sender.
    pub(super) fn add(&mut self, message: &RawValue) -> bool {
        let sender = sender(message);
        let of_sender = self.senders.get(&*sender).copied().unwrap_or_default().with(message);
        let all = self.all.with(message);
        let share = Weight { messages: self.most.messages / SHARE, bytes: self.most.bytes / SHARE };
        if !all.within(self.most) || !of_sender.within(share) {
            return false;
        }
        self.all = all;
        self.senders.insert(sender.into(), of_sender);
        true
    }

    fn take(&mut self, message: &RawValue) {
        let sender = sender(message);
        self.all = self.all.without(message);
        if let Some(weight) = self.senders.get_mut(&*sender) {
            *weight = weight.without(message);
            if weight.messages == 0 {
                self.senders.remove(&*sender);
            }
        }
    }
}

impl Weight {
    fn with(self, message: &RawValue) -> Self {
        Self { messages: self.messages + 1, bytes: self.bytes + message.get().len() }
    }

    fn without(self, message: &RawValue) -> Self {
        let bytes = self.bytes.saturating_sub(message.get().len());
        Self { messages: self.messages.saturating_sub(1), bytes }
    }

    fn within(self, most: Self) -> bool {
        self.messages <= most.messages && self.bytes <= most.bytes
    }
}

/// Who sent a message.
fn sender(message: &RawValue) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow, default)]
        sender: Cow<'a, str>,
    }
    serde_json::from_str::<Head<'_>>(message.get()).map(|head| head.sender).unwrap_or_default()
}

/// Waiting messages by device, oldest first.
pub(super) type Waiting = BTreeMap<(OwnedDeviceId, Position), Arc<RawValue>>;

/// The messages that wait for an account's devices.
pub(super) struct Queue {
    waiting: Waiting,
    account: Load,
    devices: HashMap<OwnedDeviceId, Load>,
}

impl Queue {
    /// A queue of what was found.
    pub(super) fn new(waiting: Waiting) -> Self {
        let account = Load::new(usize::MAX, MOST_OF_ACCOUNT);
        let mut queue = Self { waiting: Waiting::new(), account, devices: HashMap::new() };
        for ((device, _), message) in &waiting {
            queue.admit(device, message);
        }
        Self { waiting, ..queue }
    }

    /// Counts a message that is about to be put in, unless there are too many for its device or account.
    pub(super) fn admit(&mut self, device: &OwnedDeviceId, message: &RawValue) -> bool {
        let load = self.devices.entry(device.clone()).or_insert_with(|| Load::new(MOST_WAITING, MOST_OF_DEVICE));
        if !load.add(message) {
            return false;
        }
        let fits = self.account.add(message);
        if !fits {
            load.take(message);
        }
        fits
    }

    /// Puts in messages that were admitted.
    pub(super) fn put(&mut self, placed: impl IntoIterator<Item = ((OwnedDeviceId, Position), Arc<RawValue>)>) {
        self.waiting.extend(placed);
    }

    /// Messages for `device` behind `after`, oldest first, at most `most`.
    pub(super) fn of(&self, device: &OwnedDeviceId, after: Position, most: usize) -> Vec<(Position, Arc<RawValue>)> {
        let (from, to) = ((device.clone(), Position(after.0.saturating_add(1))), (device.clone(), Position(u64::MAX)));
        self.waiting.range(from..=to).take(most).map(|((_, at), message)| (*at, Arc::clone(message))).collect()
    }

    /// Whether messages of `sender` wait for `device`, or are about to.
    pub(super) fn has_of(&self, device: &OwnedDeviceId, sender: &str) -> bool {
        self.devices.get(device).is_some_and(|load| load.senders.contains_key(sender))
    }

    /// Drops the messages at places of which `stays` says no.
    pub(super) fn retain(&mut self, stays: impl Fn(Position) -> bool) {
        let gone: Vec<_> = self.waiting.keys().filter(|(_, at)| !stays(*at)).cloned().collect();
        for place in gone {
            self.remove(&place);
        }
    }

    fn remove(&mut self, place: &(OwnedDeviceId, Position)) {
        let Some(message) = self.waiting.remove(place) else { return };
        self.account.take(&message);
        let Some(load) = self.devices.get_mut(&place.0) else { return };
        load.take(&message);
        if load.all.messages == 0 {
            self.devices.remove(&place.0);
        }
    }

    /// Drops the messages for `device` up to and including `to`.
    pub(super) fn drop_until(&mut self, device: &OwnedDeviceId, to: Position) {
        let range = (device.clone(), Position::START)..=(device.clone(), to);
        let gone: Vec<_> = self.waiting.range(range).map(|(place, _)| place.clone()).collect();
        for place in gone {
            self.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_device_id;
    use serde_json::json;

    use super::*;

    fn message(sender: &str, bytes: usize) -> Arc<RawValue> {
        let message = json!({"sender": sender, "type": "m.x", "content": {"x": "x".repeat(bytes)}});
        Arc::from(serde_json::value::to_raw_value(&message).unwrap())
    }

    fn fill(queue: &mut Queue, device: &OwnedDeviceId, message: &Arc<RawValue>, at: u64) -> usize {
        let count = (0..20_000).take_while(|_| queue.admit(device, message)).count();
        let places = (0..count as u64).map(|place| ((device.clone(), Position(at + place)), Arc::clone(message)));
        queue.put(places.collect::<Vec<_>>());
        count
    }

    #[test]
    fn one_sender_leaves_room_for_others() {
        let mut queue = Queue::new(Waiting::new());
        let (one, two) = (owned_device_id!("ONE"), owned_device_id!("TWO"));
        assert_eq!(fill(&mut queue, &one, &message("@flood:b", 10), 1), MOST_WAITING / SHARE);
        assert_eq!(fill(&mut queue, &one, &message("@al:b", 10), 10_000), MOST_WAITING / SHARE);
        assert!(queue.admit(&two, &message("@flood:b", 10)));
        // As many as were fetched may come again.
        queue.drop_until(&one, Position(100));
        assert_eq!(fill(&mut queue, &one, &message("@flood:b", 10), 30_000), 100);
    }

    #[test]
    fn large_messages_are_bounded_by_their_size() {
        let mut queue = Queue::new(Waiting::new());
        let large = |sender: &str| message(sender, 60_000);
        let mut sum = 0;
        for number in 0..30 {
            let device = OwnedDeviceId::from(format!("D{number}"));
            for sender in ["@a:b", "@b:b", "@c:b", "@d:b", "@e:b"] {
                sum += fill(&mut queue, &device, &large(sender), 1000 * number) * 60_000;
            }
        }
        assert!((MOST_OF_ACCOUNT / 2..=MOST_OF_ACCOUNT).contains(&sum), "{sum}");
    }

    #[test]
    fn what_was_found_counts() {
        let device = owned_device_id!("ONE");
        let found: Waiting = (1..=2000).map(|at| ((device.clone(), Position(at)), message("@flood:b", 10))).collect();
        let mut queue = Queue::new(found);
        assert_eq!(queue.of(&device, Position::START, 3).len(), 3);
        assert_eq!(fill(&mut queue, &device, &message("@flood:b", 10), 9000), MOST_WAITING / SHARE - 2000);
        queue.retain(|at| at != Position(9000));
        assert_eq!(fill(&mut queue, &device, &message("@flood:b", 10), 20_000), 1, "what has expired makes room");
        queue.drop_until(&device, Position(u64::MAX));
        assert!(queue.of(&device, Position::START, 1).is_empty() && queue.devices.is_empty());
        assert!(queue.account.senders.is_empty() && queue.account.all.bytes == 0);
    }
}
