//! Who is typing: in RAM, for as long as the client said.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};

/// The longest a client may claim to be typing without saying so again.
const LONGEST: Duration = Duration::from_mins(2);

/// Who is typing in one room.
#[derive(Default)]
pub struct Typing(Mutex<State>);

#[derive(Default)]
struct State {
    until: BTreeMap<OwnedUserId, Duration>,
    count: u64,
}

impl Typing {
    /// Notes that `user` types for `lasting`, or stops with `None`; `now` is steady time. Whether anything changed.
    pub fn set(&self, user: &UserId, lasting: Option<Duration>, now: Duration) -> bool {
        let mut state = self.0.lock();
        let changed = match lasting {
            Some(lasting) => state.until.insert(user.to_owned(), now + lasting.min(LONGEST)).is_none(),
            None => state.until.remove(user).is_some(),
        };
        state.count += u64::from(changed);
        changed
    }

    /// Who is typing at `now`, and the count of changes up to then.
    pub fn now(&self, now: Duration) -> (Vec<OwnedUserId>, u64) {
        let mut state = self.0.lock();
        let before = state.until.len();
        state.until.retain(|_, until| *until > now);
        state.count += u64::from(state.until.len() != before);
        (state.until.keys().cloned().collect(), state.count)
    }

    /// When the next claim ends by itself.
    pub fn next_end(&self) -> Option<Duration> {
        self.0.lock().until.values().min().copied()
    }
}
