//! The house: what the server as a whole keeps. It is sealed under the house key, which lies in every vault, so it
//! sleeps until somebody has come.
//!
//! Owns account names, profiles, public device keys, aliases, the keys of public rooms and registration tokens.
//! Never holds what belongs to one account or one room alone.

mod blob;
mod ledger;

pub(crate) use self::ledger::set;

use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::Mutex;

pub use self::blob::KeptBlob;
pub use self::ledger::{
    AccountEntry, Alias, CrossSigning, FallbackKey, HouseChange, HouseLedger, NameTag, Parted, Profile, PublicDevice,
    PublicRoom, RegistrationToken,
};
use crate::{
    journal::{self, Identity, Journals, Live, Owner, Writing},
    seal::slots::{Change, SlotId, SlotKind},
    secret::Key,
    store::Batch,
};

/// What can go wrong with the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody has come since the server started: the house key is not in memory.
    #[error("the server is asleep")]
    Asleep,
    /// The house's journal failed.
    #[error("the house's journal failed")]
    Journal(#[from] journal::Error),
}

/// An upper layer's error, which knows the house's and not the journal's.
struct Refusal<E>(E);

impl<E: From<Error>> From<journal::Error> for Refusal<E> {
    fn from(error: journal::Error) -> Self {
        Self(Error::Journal(error).into())
    }
}

/// The house, asleep or awake.
pub struct House {
    journals: Journals,
    awake: RwLock<Option<Arc<Live<HouseLedger>>>>,
    /// HK while the house is awake, and behind it the next one while HK is being replaced.
    keys: RwLock<Vec<Key>>,
    waking: Mutex<()>,
}

/// The house's slot has a fixed id: there is one house, and it is found without any other row.
const SLOT: SlotId = SlotId(*b"lethe/v1/house\0\0");

impl House {
    /// A sleeping house.
    #[must_use]
    pub fn new(journals: Journals) -> Self {
        Self { journals, awake: RwLock::new(None), keys: RwLock::default(), waking: Mutex::new(()) }
    }

    /// Whether there is a house on the disk, awake or not.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.journals.slots.contains(&SLOT)
    }

    /// The house, when it is awake.
    pub fn awake(&self) -> Result<Arc<Live<HouseLedger>>, Error> {
        let house = self.awake.read().clone().ok_or(Error::Asleep)?;
        match house.stopped() {
            None => Ok(house),
            Some(_) => self.reload(),
        }
    }

    /// The house's value, when it is awake.
    pub fn view(&self) -> Result<Arc<HouseLedger>, Error> {
        Ok(self.awake()?.view())
    }

    /// The right to write to the house.
    pub async fn change(&self, decide: impl FnOnce(&HouseLedger) -> Vec<HouseChange> + Send) -> Result<(), Error> {
        Ok(self.awake()?.change(&self.journals, decide).await?)
    }

    /// As [`House::change`]; where `decide` refuses, nothing changes.
    pub async fn try_change<E: From<Error>>(
        &self,
        decide: impl FnOnce(&HouseLedger) -> Result<Vec<HouseChange>, E> + Send,
    ) -> Result<(), E> {
        let decide = |house: &HouseLedger| decide(house).map_err(Refusal);
        self.awake()?.try_change(&self.journals, decide).await.map_err(|Refusal(error)| error)
    }

    /// Makes the first house, with `changes` in it, into `batch`; it exists once the change of the slot table is
    /// committed, and is awake once [`House::adopt`] has taken the owner.
    pub fn found(
        &self,
        key: Key,
        changes: Vec<HouseChange>,
        batch: &mut Batch,
    ) -> Result<(Owner<HouseLedger>, Change), Error> {
        let incarnation = self.journals.slots.incarnation().number;
        let keyed = Some(self.journals.epochs.stretch());
        let mut ledger = HouseLedger { incarnation, keyed, ..HouseLedger::default() };
        for change in changes {
            journal::Ledger::apply(&mut ledger, change)?;
        }
        Ok(Owner::create(&self.journals, identity(key), ledger, batch)?)
    }

    /// The change that ends the house, for when nobody is left who could wake it: it would sleep for ever.
    #[must_use]
    pub fn end() -> Change {
        Change::Remove { id: SLOT }
    }

    /// Lets go of a house that has ended; the next account founds another.
    pub fn close(&self) {
        *self.awake.write() = None;
        self.keys.write().clear();
    }

    /// Wakes the house with an owner that is durable.
    pub fn adopt(&self, owner: Owner<HouseLedger>) -> Arc<Live<HouseLedger>> {
        let key = owner.identity().key.clone();
        let live = Arc::new(Live::new(owner));
        let mut awake = self.awake.write();
        *awake = Some(Arc::clone(&live));
        *self.keys.write() = vec![key];
        live
    }

    /// Wakes the house with the first of `keys` that opens it; whether it is awake afterwards.
    pub async fn wake(&self, keys: &[Key]) -> Result<bool, Error> {
        let _one = self.waking.lock().await;
        if self.awake().is_ok() {
            return Ok(true);
        }
        for key in keys {
            if let Some(owner) = Owner::load(&self.journals, identity(key.clone()), HouseLedger::default())? {
                self.adopt(owner);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Loads the house again that an abandoned write has stopped.
    fn reload(&self) -> Result<Arc<Live<HouseLedger>>, Error> {
        let mut awake = self.awake.write();
        match &*awake {
            Some(house) if house.stopped().is_none() => return Ok(Arc::clone(house)),
            _ => {}
        }
        // What was abandoned may have been the replacement of HK, before its commit or after it.
        let keys = self.keys.read().clone();
        for key in keys {
            if let Some(owner) = Owner::load(&self.journals, identity(key.clone()), HouseLedger::default())? {
                *self.keys.write() = vec![key];
                let house = Arc::new(Live::new(owner));
                *awake = Some(Arc::clone(&house));
                return Ok(house);
            }
        }
        *awake = None;
        Err(Error::Asleep)
    }

    /// Gives the house a new generation, when it is awake and changed.
    pub async fn renew_generation(&self) -> Result<(), Error> {
        match self.awake() {
            Ok(house) => Ok(house.renew(&self.journals).await?),
            Err(_) => Ok(()),
        }
    }

    /// What the vault of an open account has to hold: HK, and while it is being replaced also the next one.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.keys.read().clone()
    }

    /// Draws the key that is to follow HK. From here on it is among [`House::keys`].
    ///
    /// # Errors
    /// While the house sleeps.
    pub fn next_key(&self) -> Result<Key, Error> {
        self.awake()?;
        let next = Key::random(self.journals.random.as_ref());
        let mut keys = self.keys.write();
        keys.truncate(1);
        keys.push(next.clone());
        Ok(next)
    }

    /// Replaces HK by `next`, of which every account has been told that `told` knows. Whether it was replaced: not where
    /// an account has come meanwhile.
    ///
    /// # Errors
    /// When the commit fails; then either key is in force.
    pub async fn put_key(&self, next: &Key, told: impl Fn(&HouseLedger) -> bool) -> Result<bool, Error> {
        let house = self.awake()?;
        let mut writing = house.write().await;
        if !told(&writing.ledger) {
            return Ok(false);
        }
        let mut batch = Batch::default();
        let changes = vec![HouseChange::Keyed(self.journals.epochs.stretch())];
        let prepared = writing.prepare_with(&self.journals, Some(next.clone()), changes, &mut batch)?;
        writing.commit_generation(&self.journals, prepared, batch).await?;
        *self.keys.write() = vec![next.clone()];
        Ok(true)
    }
}

/// The right to write to an awake house, for operations that touch several owners.
pub type HouseWriting<'a> = Writing<'a, HouseLedger>;

fn identity(key: Key) -> Identity {
    Identity { kind: SlotKind::House, slot: SLOT, key }
}
