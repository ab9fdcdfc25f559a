//! Waking: from an account key to an open account, its house and its mail.

use std::sync::{Arc, Weak};

use tokio::sync::OnceCell;

use super::{
    Account, Accounts, Error, Wakes,
    credentials::Opening,
    vault::{VaultChange, VaultLedger},
};
use crate::{
    house::HouseChange,
    journal::{Identity, Owner},
    seal::slots::{SlotId, SlotKind},
};

impl Accounts {
    /// The open account, opening it if this is its first request since the start.
    pub(super) async fn wake(&self, opening: &Opening, account: SlotId) -> Result<Arc<Account>, Error> {
        let cell = {
            let mut open = self.open.write();
            let cell = open.entry(opening.localpart.clone()).or_default();
            // A write that was given up half way stopped the vault: it is loaded again.
            if cell.get().is_some_and(|account| account.vault.stopped().is_some()) {
                *cell = Arc::default();
            }
            Arc::clone(cell)
        };
        let opened = cell.get_or_try_init(|| self.open_account(opening, account)).await.cloned();
        if opened.is_err() {
            self.release(&opening.localpart, &cell);
        }
        let opened = opened?;
        opened.touch(self.clock.monotonic());
        // A password from another life of the name opens another vault; it never reaches this one.
        if opened.slot == account { Ok(opened) } else { Err(Error::Forbidden) }
    }

    /// The account when it is open; else does `work` while it is cold. It cannot open meanwhile: what it folds on opening is
    /// all there is.
    pub(super) async fn unless_open(
        &self,
        localpart: &str,
        work: impl AsyncFnOnce() -> Result<(), Error>,
    ) -> Result<Option<Arc<Account>>, Error> {
        let cell = Arc::clone(self.open.write().entry(localpart.to_owned()).or_default());
        let reached = cell.get_or_try_init(|| async {
            work().await.map_err(Some)?;
            Err(None)
        });
        match reached.await.cloned() {
            Ok(account) => Ok(Some(account)),
            Err(outcome) => {
                self.release(localpart, &cell);
                outcome.map_or(Ok(None), Err)
            }
        }
    }

    /// Takes an account's cell away again when it is empty and nobody else waits for it: a second cell beside one that
    /// somebody fills would open the account twice.
    pub(super) fn release(&self, localpart: &str, cell: &Arc<OnceCell<Arc<Account>>>) {
        let mut open = self.open.write();
        let ours = open.get(localpart).is_some_and(|known| Arc::ptr_eq(known, cell));
        // Clones are made under the lock that is held here: one is in the map, one is the caller's.
        if ours && cell.get().is_none() && Arc::strong_count(cell) == 2 {
            open.remove(localpart);
        }
    }

    /// Takes in an account that has just been registered.
    pub(super) async fn enter(&self, localpart: &str, account: &Arc<Account>) {
        account.touch(self.clock.monotonic());
        let cell = Arc::new(OnceCell::new_with(Some(Arc::clone(account))));
        self.open.write().insert(localpart.to_owned(), cell);
        self.tell_wakers(account).await;
    }

    async fn tell_wakers(&self, account: &Arc<Account>) {
        for waker in self.wakers() {
            waker.woke(Arc::clone(account)).await;
        }
    }

    pub(super) fn wakers(&self) -> Vec<Arc<dyn Wakes>> {
        self.wakers.read().iter().filter_map(Weak::upgrade).collect()
    }

    async fn open_account(&self, opening: &Opening, account: SlotId) -> Result<Arc<Account>, Error> {
        let identity = Identity { kind: SlotKind::Vault, slot: opening.vault, key: opening.key.clone() };
        let vault = Owner::load(&self.journals, identity, VaultLedger::default())?;
        let vault = vault.ok_or(crate::journal::Error::Broken)?;
        let user_id = self.user_id(&opening.localpart)?;
        let opened = Arc::new(Account::new(&self.journals, user_id, account, vault)?);
        let mail = self.mailbox.read(account, &opened.view())?;
        let mut keys = opened.view().house_keys.clone();
        keys.extend(mail.house_keys());
        if !self.house.wake(&keys).await? {
            return Err(crate::journal::Error::Broken.into());
        }
        self.tidy(&opened).await?;
        self.fold(&opened, mail).await?;
        self.tell_wakers(&opened).await;
        Ok(opened)
    }

    /// Notes the house key that opened and the life of the server, and drops devices whose tokens are gone, here and in the house, and the mark of
    /// an end that never came.
    async fn tidy(&self, account: &Account) -> Result<(), Error> {
        let slots = &self.journals.slots;
        let incarnation = slots.incarnation().number;
        let changes = |vault: &VaultLedger| {
            let mut changes = Vec::new();
            if vault.incarnation < incarnation {
                changes.push(VaultChange::Incarnation(incarnation));
            }
            // Asked with the vault in hand: HK may be about to be replaced.
            let keys = self.house.keys();
            if !keys.is_empty() && vault.house_keys != keys {
                changes.push(VaultChange::HouseKeys(keys));
            }
            let dehydrated = vault.dehydrated.as_ref().map(|kept| &kept.device);
            for (id, device) in vault.devices.iter().filter(|(id, _)| dehydrated != Some(id)) {
                if !device.tokens.iter().any(|slot| slots.contains(slot)) {
                    changes.push(VaultChange::Device(id.clone(), None));
                }
            }
            changes
        };
        account.vault.change(&self.journals, changes).await?;
        let (name, vault) = (account.user_id.localpart(), account.view());
        let stray = |house: &crate::house::HouseLedger| {
            let mine = house.devices.keys().filter(|(of, id)| of == name && !vault.devices.contains_key(id));
            let mut changes: Vec<_> =
                mine.map(|(_, id)| HouseChange::Device(name.to_owned(), id.clone(), None, true)).collect();
            if house.incarnation < incarnation {
                changes.push(HouseChange::Incarnation(incarnation));
            }
            // The power was cut before the account ended: it goes on.
            if house.erased.contains_key(&account.slot) {
                changes.push(HouseChange::Erased(account.slot, None));
            }
            changes
        };
        Ok(self.house.change(stray).await?)
    }
}
