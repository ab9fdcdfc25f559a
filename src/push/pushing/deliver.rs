//! Delivery: requests to gateways, a bounded number at once, one at a time for each target.

use std::{sync::Arc, time::Duration};

use axum::http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use tokio::task::JoinSet;

use super::{MOST_AT_ONCE, Parcel, Pushing, compose::Composed};
use crate::{
    outbound::Answer,
    push::{gateway::rejected, lane::Outcome, pushers::targets},
    rooms::Target,
};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer that is read, bytes.
const LARGEST_ANSWER: usize = 64 * 1024;

impl Pushing {
    /// Starts what is due; when the next is.
    pub(super) fn send(self: &Arc<Self>, sending: &mut JoinSet<()>, now: Duration) -> Option<Duration> {
        self.tell_badges(now);
        let mut desk = self.desk.lock();
        let mut next = desk.read.values().min().copied();
        for (target, lane) in &mut desk.lanes {
            if sending.len() >= MOST_AT_ONCE {
                // Whoever ends wakes this up again.
                break;
            }
            if let Some(parcel) = lane.begin(now).cloned() {
                let (this, target) = (Arc::clone(self), Arc::clone(target));
                sending.spawn(async move { this.deliver(&target, &parcel).await });
            } else {
                next = next.into_iter().chain(lane.due()).min();
            }
        }
        next
    }

    /// Queues the numbers of who has read something a while ago.
    fn tell_badges(&self, now: Duration) {
        let mut desk = self.desk.lock();
        let due: Vec<_> = desk.read.iter().filter(|(_, due)| **due <= now).map(|(user, _)| user.clone()).collect();
        for user in due {
            desk.read.remove(&user);
            let Some(account) = desk.armed.get(&user).cloned() else { continue };
            for target in targets(&account.view()) {
                // A device that was told of nothing has nothing to take back.
                let shows = desk.badges.get(&target).is_some_and(|shown| *shown > 0);
                let lane = desk.lanes.entry(Arc::clone(&target)).or_default();
                if shows && !lane.has(|parcel| matches!(parcel, Parcel::Badge { .. })) {
                    lane.put(Parcel::Badge { user: user.clone() }, now);
                }
            }
        }
    }

    async fn deliver(&self, target: &Arc<Target>, parcel: &Parcel) {
        let composed = self.compose(target, parcel);
        let (outcome, gone) = match &composed {
            Some(composed) => self.request(target, composed).await,
            None => (Outcome::Taken, false),
        };
        let now = self.rooms.clock().monotonic();
        let jitter = u32::from_le_bytes(self.random.bytes());
        {
            let mut desk = self.desk.lock();
            if let Some(lane) = desk.lanes.get_mut(target) {
                lane.end(outcome, now, jitter);
            }
            if let Some(unread) = composed.and_then(|composed| composed.unread).filter(|_| outcome == Outcome::Taken) {
                desk.badges.insert(Arc::clone(target), unread);
            }
        }
        if gone {
            self.reject(target).await;
        }
        self.wake.notify_one();
    }

    /// One request; how it went, and whether the gateway rejects the target.
    async fn request(&self, target: &Target, composed: &Composed) -> (Outcome, bool) {
        let Ok(url) = url::Url::parse(&target.url) else { return (Outcome::Refused, false) };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = composed.body.clone().into();
        let Ok(answer) = self.policy.client.post(&url, headers, body, PATIENCE).await else {
            return (Outcome::Failed(None), false);
        };
        match answer.status() {
            200..=299 => match answer.read(LARGEST_ANSWER).await {
                Ok((body, _)) => (Outcome::Taken, rejected(&body).contains(&target.key)),
                Err(_) => (Outcome::Failed(None), false),
            },
            408 | 429 | 500.. => (Outcome::Failed(retry_after(&answer)), false),
            _ => (Outcome::Refused, false),
        }
    }
}

/// When a gateway asks to be asked again.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
