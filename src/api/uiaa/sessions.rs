//! Sessions of user-interactive authentication, in RAM.

use std::{collections::HashMap, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use ruma::OwnedUserId;

use super::Auth;
use crate::{api::Services, secret::SecretText};

/// How long a session may pause: somebody types a password, or fetches a token from another device.
const LIFETIME: Duration = Duration::from_mins(15);
/// Sessions at once, about 300 bytes each. Strangers can open them; the oldest gives way, and its client loses nothing
/// but the memory of what it proved.
const MOST: usize = 4096;

/// What is being authenticated: what is proven for one purpose counts for no other.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Purpose {
    /// A fixed name.
    pub(super) operation: &'static str,
    /// Whose account it is about; nobody's yet at registration.
    pub(super) user: Option<OwnedUserId>,
}

struct Entry {
    purpose: Purpose,
    used: Duration,
    proof: Option<SecretText>,
}

/// Every session.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<String, Entry>>);

impl Sessions {
    /// The session to go on with: `wanted`, when it exists for the purpose, or a fresh one.
    pub(super) fn begin(&self, services: &Services, purpose: Purpose, wanted: Option<String>) -> String {
        let now = services.clock.monotonic();
        let mut sessions = self.0.lock();
        tidy(&mut sessions, now);
        if let Some(id) = wanted
            && let Some(entry) = sessions.get_mut(&id).filter(|entry| entry.purpose == purpose)
        {
            entry.used = now;
            return id;
        }
        let id = URL_SAFE_NO_PAD.encode(services.random.bytes::<18>());
        sessions.insert(id.clone(), Entry { purpose, used: now, proof: None });
        id
    }

    /// What was proven for `purpose` in the session that `auth` names, when it names one and tries no stage anew.
    pub(super) fn proven(&self, services: &Services, purpose: &Purpose, auth: Option<&Auth>) -> Option<SecretText> {
        let auth = auth.filter(|auth| auth.kind.is_none())?;
        let mut sessions = self.0.lock();
        tidy(&mut sessions, services.clock.monotonic());
        let entry = sessions.get(auth.session.as_ref()?)?;
        if entry.purpose == *purpose { entry.proof.clone() } else { None }
    }

    /// What the session `id` is for, while it goes on.
    pub(super) fn purpose(&self, services: &Services, id: &str) -> Option<Purpose> {
        let mut sessions = self.0.lock();
        tidy(&mut sessions, services.clock.monotonic());
        sessions.get(id).map(|entry| entry.purpose.clone())
    }

    /// Ends a session: what was proven in it counts no more.
    pub(super) fn end(&self, id: Option<String>) {
        id.and_then(|id| self.0.lock().remove(&id));
    }

    /// Notes a proof in the session that a client is in.
    pub(super) fn prove(&self, services: &Services, purpose: &Purpose, session: Option<String>, proof: SecretText) {
        let Some(session) = session else { return };
        let mut sessions = self.0.lock();
        if let Some(entry) = sessions.get_mut(&session).filter(|entry| entry.purpose == *purpose) {
            entry.used = services.clock.monotonic();
            entry.proof = Some(proof);
        }
    }
}

/// Drops sessions that have ended, and the oldest when there are too many.
fn tidy(sessions: &mut HashMap<String, Entry>, now: Duration) {
    sessions.retain(|_, entry| now.saturating_sub(entry.used) < LIFETIME);
    if sessions.len() >= MOST {
        let oldest = sessions.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| id.clone());
        oldest.and_then(|id| sessions.remove(&id));
    }
}
