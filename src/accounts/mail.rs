//! Mail: what reaches an account while it is cold, sealed to its mail key, found by trial opening.
//!
//! A mail journal is shared by all accounts with the same tag. At present there is one tag, so every account reads
//! every header. Rows: a header carries an encapsulation, items refer to it and are opened with what it gave.

mod fold;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use imbl::OrdMap;
use parking_lot::Mutex;
use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Error,
    deliver::Addressed,
    queue::Load,
    reports::ReportRow,
    reset::NewPassword,
    vault::{VaultChange, VaultLedger},
};
use crate::{
    clock::Clock,
    house::AccountEntry,
    journal::{self, Journals},
    seal::{
        derive::{Usage, address, derive},
        mail::{ENCAPSULATION, MailSecret, Receiver, Sender},
        row::{Context, RowKind, open_one, seal_one},
        slots::SlotId,
    },
    secret::Key,
    store::{Batch, Class, Instance, Partition},
};

/// Something for a cold account.
#[derive(Clone, Serialize, Deserialize)]
pub enum Letter {
    /// A room's key.
    #[serde(rename = "k")]
    Key {
        /// The room.
        #[serde(rename = "r")]
        room: OwnedRoomId,
        /// Its slot.
        #[serde(rename = "s")]
        slot: SlotId,
        /// RK.
        #[serde(rename = "k")]
        key: Key,
    },
    /// An invitation, with the room's key.
    #[serde(rename = "i")]
    Invite {
        /// The room.
        #[serde(rename = "r")]
        room: OwnedRoomId,
        /// Its slot.
        #[serde(rename = "s")]
        slot: SlotId,
        /// RK.
        #[serde(rename = "k")]
        key: Key,
        /// What the invitee is shown.
        #[serde(rename = "v")]
        stripped: Vec<Value>,
    },
    /// The house's key.
    #[serde(rename = "h")]
    House(Key),
    /// A password that an administrator has set.
    #[serde(rename = "p")]
    Password(NewPassword),
    /// The account is out of a room. Counts only when the room does not open.
    #[serde(rename = "o")]
    Out {
        /// The room.
        #[serde(rename = "r")]
        room: OwnedRoomId,
        /// The event that says so.
        #[serde(rename = "e")]
        event: Value,
    },
    /// A to-device message, for the partition it came in.
    #[serde(rename = "d")]
    Device(Addressed, Partition),
    /// A report, for an administrator.
    #[serde(rename = "t")]
    Report(ReportRow),
}

impl Letter {
    /// Letters that carry a key never expire; they die by folding.
    fn expires(&self) -> bool {
        matches!(self, Self::Device(..) | Self::Report(..))
    }
}

/// Where mail is put and read.
pub struct Mailbox {
    journals: Journals,
    clock: Arc<dyn Clock>,
    to_device: Class,
    ends: Mutex<BTreeMap<u64, u64>>,
    senders: Mutex<Senders>,
    /// What was put for cold accounts since the start, or since they were last open.
    loads: Mutex<HashMap<SlotId, Load>>,
    /// Held from the choice of a place to the commit, and while an account changes its mail key.
    turn: tokio::sync::Mutex<()>,
}

/// By recipient and partition: since when, the header's id, the sender.
type Senders = HashMap<(SlotId, Partition), (Duration, [u8; 8], Sender)>;

/// How long one encapsulation serves.
const SENDER_LIFETIME: Duration = Duration::from_hours(1);
/// Absent rows behind which a mail journal counts as ended.
const PROBE: u64 = 16;
const HEADER: u8 = b'h';
const ITEM: u8 = b'i';

/// Mail that was found, with the mark by which a second folding is recognised.
pub(super) struct Found {
    letters: Vec<(String, Letter)>,
    read: Vec<(u64, u64)>,
}

impl Found {
    /// How far the journals were read.
    fn marks(&self) -> Vec<VaultChange> {
        self.read.iter().map(|(journal, end)| VaultChange::MailRead(*journal, *end)).collect()
    }

    /// House keys among the mail.
    pub(super) fn house_keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.letters.iter().filter_map(|(_, letter)| match letter {
            Letter::House(key) => Some(key.clone()),
            _ => None,
        })
    }
}

impl Mailbox {
    pub(super) fn new(journals: Journals, clock: Arc<dyn Clock>, to_device: Class) -> Self {
        Self {
            journals,
            clock,
            to_device,
            ends: Mutex::default(),
            senders: Mutex::default(),
            loads: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The ends of the journals a new account need not read.
    pub(super) fn ends(&self) -> Result<Vec<(u64, u64)>, Error> {
        self.partitions().into_iter().map(|partition| Ok((number(partition), self.end(partition)?))).collect()
    }

    /// Waits until no mail is on its way, and holds up what follows.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Puts letters for a cold account into `batch`.
    pub(super) fn put(
        &self,
        entry: &AccountEntry,
        letters: &[Letter],
        epoch: Partition,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        for letter in letters {
            let partition = if letter.expires() { epoch } else { Partition::FOREVER };
            let plain = serde_json::to_vec(letter).map_err(|_| journal::Error::Malformed)?;
            let item = self.seal(entry, partition, &plain, batch)?;
            self.append(partition, &item, batch)?;
        }
        Ok(())
    }

    /// Drops messages between devices that are too many for a cold account.
    fn bound(&self, account: SlotId, letters: &mut Vec<Letter>) {
        let mut loads = self.loads.lock();
        let load = loads.entry(account).or_insert_with(Load::of_mail);
        letters.retain(|letter| match letter {
            Letter::Device(addressed, _) => load.add(&addressed.message),
            _ => true,
        });
    }

    /// Reads the mail that the vault's mail secrets open and that was not folded yet.
    pub(super) fn read(&self, account: SlotId, vault: &VaultLedger) -> Result<Found, Error> {
        self.read_from(account, vault, &vault.mail_read)
    }

    /// Whether anything was put behind what has been read.
    fn has_more(&self, vault: &VaultLedger) -> Result<bool, Error> {
        for partition in self.partitions() {
            if self.end(partition)? > vault.mail_read.get(&number(partition)).copied().unwrap_or(0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lets go of what was noted about the ends of the journals and about headers: a commit failed or was given up,
    /// and nobody knows what of it was written.
    fn doubt(&self) {
        self.ends.lock().clear();
        self.senders.lock().clear();
    }

    /// As [`Mailbox::read`], from `starts`: items lie behind the header they refer to.
    fn read_from(&self, account: SlotId, vault: &VaultLedger, starts: &OrdMap<u64, u64>) -> Result<Found, Error> {
        let mut found = Found { letters: Vec::new(), read: Vec::new() };
        for partition in self.partitions() {
            let number = number(partition);
            let start = starts.get(&number).copied().unwrap_or(0);
            let mut receivers: HashMap<[u8; 8], Receiver> = HashMap::new();
            let (mut index, mut absent, mut end) = (start, 0, start);
            while absent <= PROBE {
                match self.row(partition, index)? {
                    None => absent += 1,
                    Some(plain) => {
                        absent = 0;
                        end = index + 1;
                        if let Some(letter) = open(&plain, account, &vault.mail, &mut receivers) {
                            found.letters.push((format!("{number:x}.{index:x}"), letter));
                        }
                    }
                }
                index += 1;
            }
            self.ends.lock().entry(number).or_insert(end);
            if end > start {
                found.read.push((number, end));
            }
        }
        found.letters.retain(|(mark, _)| !vault.folded.contains_key(mark));
        Ok(found)
    }

    fn partitions(&self) -> Vec<Partition> {
        let mut partitions = self.journals.epochs.live(self.to_device);
        if !partitions.contains(&Partition::FOREVER) {
            partitions.push(Partition::FOREVER);
        }
        partitions
    }

    fn seal(
        &self,
        entry: &AccountEntry,
        partition: Partition,
        plain: &[u8],
        batch: &mut Batch,
    ) -> Result<Vec<u8>, Error> {
        let now = self.clock.monotonic();
        let mut senders = self.senders.lock();
        senders.retain(|_, (since, ..)| now.saturating_sub(*since) < SENDER_LIFETIME);
        if let std::collections::hash_map::Entry::Vacant(e) = senders.entry((entry.slot, partition)) {
            let id: [u8; 8] = self.journals.random.bytes();
            let (encapsulation, mut sender) =
                Sender::new(&entry.mail, &info(entry.slot), self.journals.random.as_ref())?;
            let check = sender.seal(&id, b"", self.journals.random.as_ref());
            self.append(partition, &[&[HEADER][..], &id, &encapsulation, &check].concat(), batch)?;
            e.insert((now, id, sender));
        }
        let (_, id, sender) = senders.get_mut(&(entry.slot, partition)).ok_or(Error::NotFound)?;
        let sealed = sender.seal(&id[..], plain, self.journals.random.as_ref());
        Ok([&[ITEM][..], &id[..], &sealed].concat())
    }

    fn append(&self, partition: Partition, plain: &[u8], batch: &mut Batch) -> Result<(), Error> {
        let end = self.end(partition)?;
        let (key, address) = self.place(partition, end)?;
        let context = Context { partition, kind: RowKind::Mail };
        let row = seal_one(&key, context, &address, plain, self.journals.random.as_ref())?;
        batch.put_if_absent(Instance::Inbox, partition, address, row);
        self.ends.lock().insert(number(partition), end + 1);
        Ok(())
    }

    fn end(&self, partition: Partition) -> Result<u64, Error> {
        if let Some(end) = self.ends.lock().get(&number(partition)) {
            return Ok(*end);
        }
        let (mut index, mut absent, mut end) = (0, 0, 0);
        while absent <= PROBE {
            let (_, address) = self.place(partition, index)?;
            if self.journals.store.get(Instance::Inbox, partition, &address)?.is_some() {
                (absent, end) = (0, index + 1);
            } else {
                absent += 1;
            }
            index += 1;
        }
        Ok(*self.ends.lock().entry(number(partition)).or_insert(end))
    }

    fn row(&self, partition: Partition, index: u64) -> Result<Option<Vec<u8>>, Error> {
        let (key, address) = self.place(partition, index)?;
        let Some(row) = self.journals.store.get(Instance::Inbox, partition, &address)? else { return Ok(None) };
        let context = Context { partition, kind: RowKind::Mail };
        Ok(Some(open_one(&key, context, &address, row).map_err(|_| journal::Error::Broken)?))
    }

    fn place(&self, partition: Partition, index: u64) -> Result<(Key, crate::store::Address), Error> {
        let epoch = self.journals.slots.epoch_key(partition).ok_or(Error::NotFound)?;
        let server = self.journals.slots.server_key();
        let name = [number(partition).to_le_bytes(), index.to_le_bytes()].concat();
        Ok((derive(Usage::MailCipher, &epoch, &[]), address(&server, Usage::MailAddress, &name)))
    }
}

fn open(
    plain: &[u8],
    account: SlotId,
    secrets: &[MailSecret],
    receivers: &mut HashMap<[u8; 8], Receiver>,
) -> Option<Letter> {
    let (&kind, rest) = plain.split_first()?;
    let (id, rest) = rest.split_first_chunk::<8>()?;
    match kind {
        HEADER => {
            let (encapsulation, check) = rest.split_at_checked(ENCAPSULATION)?;
            for secret in secrets {
                let Ok(receiver) = Receiver::new(secret, &info(account), encapsulation) else { continue };
                if receiver.open(id, check).is_some() {
                    receivers.insert(*id, receiver);
                    break;
                }
            }
            None
        }
        ITEM => {
            let plain = receivers.get(id)?.open(id, rest)?;
            serde_json::from_slice(&plain).ok()
        }
        _ => None,
    }
}

/// What ties mail to the account's life it is for.
fn info(account: SlotId) -> Vec<u8> {
    [&b"lethe/v1/mail"[..], &account.0].concat()
}

/// The number of a mail journal: class, epoch, tag.
fn number(partition: Partition) -> u64 {
    (u64::from(partition.class.code()) << 56) | (u64::from(partition.serial) << 16)
}

/// Doors for fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use super::{ENCAPSULATION, HEADER, HashMap, ITEM, Letter, MailSecret, Receiver, Sender, SlotId, info, open};
    use crate::{random::SeededRandom, seal::mail::mail_pair};

    const ACCOUNT: SlotId = SlotId([1; 16]);
    const ID: [u8; 8] = [7; 8];

    /// An account and who writes to it. Making them takes longer than everything else.
    pub(crate) struct Reader {
        secrets: [MailSecret; 1],
        sender: Sender,
        receivers: HashMap<[u8; 8], Receiver>,
    }

    impl Reader {
        pub(crate) fn new() -> Self {
            let random = SeededRandom::new(1);
            let (secret, public) = mail_pair(&random);
            let (secrets, mut receivers) = ([secret], HashMap::new());
            let (encapsulation, mut sender) = Sender::new(&public, &info(ACCOUNT), &random).expect("a good key");
            let check = sender.seal(&ID, b"", &random);
            let header = [&[HEADER][..], &ID, &encapsulation, &check].concat();
            assert!(open(&header, ACCOUNT, &secrets, &mut receivers).is_none() && receivers.len() == 1);
            Self { secrets, sender, receivers }
        }

        /// Reads bytes as a row of mail, and as what is inside a piece of mail. How many bytes stand behind the encapsulation
        /// when they are a header with one.
        pub(crate) fn read(&mut self, bytes: &[u8]) -> Option<usize> {
            let known = self.receivers.len();
            assert!(open(bytes, ACCOUNT, &self.secrets, &mut self.receivers).is_none(), "nobody makes mail");
            assert_eq!(self.receivers.len(), known, "nobody makes a header");
            if let Some(letter) = self.unfold(bytes) {
                let written = serde_json::to_vec(&letter).expect("JSON");
                let again = self.unfold(&written).expect("what was written is read");
                assert_eq!(serde_json::to_vec(&again).expect("JSON"), written);
            }
            let (_, rest) = bytes.strip_prefix(&[HEADER])?.split_first_chunk::<8>()?;
            Some(rest.split_at_checked(ENCAPSULATION)?.1.len())
        }

        /// The letter that is these bytes when they come sealed.
        fn unfold(&mut self, plain: &[u8]) -> Option<Letter> {
            let sealed = self.sender.seal(&ID, plain, &SeededRandom::new(2));
            open(&[&[ITEM][..], &ID, &sealed].concat(), ACCOUNT, &self.secrets, &mut self.receivers)
        }
    }
}
