//! Messages between devices ([spec](https://spec.matrix.org/latest/client-server-api/#send-to-device-messaging)).

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{E2ee, Error};
use crate::accounts::Addressed;

/// Devices one request may name: a room key goes to every device of a room in requests of some hundreds.
const MOST_RECEIVERS: usize = 5000;
/// Bytes of one message; the same bound as for an event.
const MOST_MESSAGE_BYTES: usize = 64 * 1024;
/// Transaction ids remembered for a device: a client repeats a request while it waits for its answer, not later.
const MOST_TRANSACTIONS: usize = 64;
/// Devices whose transaction ids are remembered; beyond it those that send nothing at the moment are forgotten.
const MOST_SENDERS: usize = 10_000;

/// Contents by account and device, where no device means all.
pub type Contents = BTreeMap<OwnedUserId, Vec<(Option<OwnedDeviceId>, Box<RawValue>)>>;

type Sender = (OwnedUserId, OwnedDeviceId);
type Recent = Arc<tokio::sync::Mutex<VecDeque<String>>>;

/// The requests that devices made lately, so that a repeated one sends nothing again. In RAM: a request that a crash cut
/// off may, repeated after it, deliver a message a second time, which the receiver's Olm session recognises.
#[derive(Default)]
pub struct Sending(Mutex<HashMap<Sender, Recent>>);

#[derive(Serialize)]
struct Message<'a> {
    r#type: &'a str,
    sender: &'a UserId,
    content: &'a RawValue,
}

impl E2ee {
    /// Sends messages of one type: by account and device, where no device means all. Each is durable when this returns;
    /// accounts of other servers, and whoever does not exist, are passed over.
    pub async fn send_to_devices(
        &self,
        (user, device): (&UserId, &OwnedDeviceId),
        kind: &str,
        transaction: &str,
        messages: Contents,
    ) -> Result<(), Error> {
        if messages.values().map(Vec::len).sum::<usize>() > MOST_RECEIVERS {
            return Err(Error::TooMany);
        }
        let mut built = Vec::with_capacity(messages.len());
        for (receiver, devices) in messages {
            let addressed = devices.into_iter().map(|(device, content)| {
                let message = Message { r#type: kind, sender: user, content: &content };
                let message = serde_json::value::to_raw_value(&message).map_err(|_| Error::Malformed)?;
                if message.get().len() > MOST_MESSAGE_BYTES {
                    return Err(Error::TooLarge);
                }
                Ok(Addressed { device, message: Arc::from(message) })
            });
            built.push((receiver, addressed.collect::<Result<Vec<_>, Error>>()?));
        }
        // Before anything waits: a sync that one of several messages wakes is answered when the others are there too.
        let now = self.rooms.clock().monotonic();
        let coming = built.iter().filter_map(|(user, _)| Some(self.accounts.open(user)?.expect(now)));
        let _coming: Vec<_> = coming.collect();
        let recent = self.sending.of(user, device);
        // Held over the delivery: a repetition that overtakes the first waits for it.
        let mut recent = recent.lock().await;
        let name = format!("{kind}\n{transaction}");
        if recent.contains(&name) {
            return Ok(());
        }
        for (receiver, addressed) in built {
            self.accounts.deliver(&receiver, &addressed).await?;
        }
        recent.push_back(name);
        while recent.len() > MOST_TRANSACTIONS {
            recent.pop_front();
        }
        Ok(())
    }
}

impl Sending {
    fn of(&self, user: &UserId, device: &OwnedDeviceId) -> Recent {
        let mut senders = self.0.lock();
        let place = (user.to_owned(), device.clone());
        if senders.len() >= MOST_SENDERS && !senders.contains_key(&place) {
            senders.retain(|_, recent| Arc::strong_count(recent) > 1);
        }
        Arc::clone(senders.entry(place).or_default())
    }
}
