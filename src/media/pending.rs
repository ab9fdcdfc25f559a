//! Ids that were made before their content came ([spec](https://spec.matrix.org/latest/client-server-api/#post_matrixmediav1create)).
//!
//! In RAM only: at rest nothing tells who uploads what. A restart forgets them, and they are unknown then.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::sync::watch;

use super::{Error, MediaId};

/// How long an id waits for its content: what the specification recommends, for lines that fail for a day.
pub(super) const LIFETIME: Duration = Duration::from_hours(24);
/// The ids of one account that wait at once. A client that sends an album has a dozen, a bridge that catches up more.
const MOST: usize = 100;

/// The ids that wait for content.
#[derive(Default)]
pub(super) struct Pending(Mutex<HashMap<MediaId, Waiting>>);

struct Waiting {
    owner: OwnedUserId,
    /// When it ends, in steady time.
    until: Duration,
    /// Whether an upload is under way.
    taken: bool,
    /// Turns true when the content is there, and closes when it will never be.
    arrived: watch::Sender<bool>,
}

impl Pending {
    /// Lets `id` wait for content that `owner` will upload.
    pub(super) fn add(&self, id: MediaId, owner: &UserId, now: Duration) -> Result<(), Error> {
        let mut waiting = self.0.lock();
        waiting.retain(|_, entry| entry.taken || entry.until > now);
        if waiting.values().filter(|entry| entry.owner == owner).count() >= MOST {
            return Err(Error::TooManyPending);
        }
        let entry = Waiting {
            owner: owner.to_owned(),
            until: now + LIFETIME,
            taken: false,
            arrived: watch::Sender::new(false),
        };
        waiting.insert(id, entry);
        Ok(())
    }

    /// Takes `id` for an upload by `user`. What does not wait has content or does not exist: [`Error::NotFound`].
    pub(super) fn take(self: &Arc<Self>, id: MediaId, user: &UserId, now: Duration) -> Result<Claim, Error> {
        let mut waiting = self.0.lock();
        let entry = waiting.get_mut(&id).filter(|entry| entry.taken || entry.until > now).ok_or(Error::NotFound)?;
        if entry.owner != user {
            return Err(Error::NotYours);
        }
        if std::mem::replace(&mut entry.taken, true) {
            return Err(Error::Overwrites);
        }
        Ok(Claim { pending: Arc::clone(self), id })
    }

    /// What turns true when the content of `id` is there, if it waits for any.
    pub(super) fn watch(&self, id: MediaId, now: Duration) -> Option<watch::Receiver<bool>> {
        let waiting = self.0.lock();
        let entry = waiting.get(&id).filter(|entry| entry.taken || entry.until > now)?;
        Some(entry.arrived.subscribe())
    }
}

/// An id that one upload has for itself; dropped without [`Claim::fulfil`], it waits again.
pub struct Claim {
    pending: Arc<Pending>,
    pub(super) id: MediaId,
}

impl Claim {
    /// The content is there.
    pub(super) fn fulfil(self) {
        let entry = self.pending.0.lock().remove(&self.id);
        if let Some(entry) = entry {
            entry.arrived.send_replace(true);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(entry) = self.pending.0.lock().get_mut(&self.id) {
            entry.taken = false;
        }
    }
}
