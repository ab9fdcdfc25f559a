//! Token rows: what a token needs to open its account. A row names nobody: the account slot lies under the token.
//!
//! Plain form: wraps one after the other, each `slot id(16) ‖ sealed(1024)`. Under the token's slot and the token:
//! `account slot id(16) ‖ wrap(768)`; the wrap is under token slot, account slot and token.

use super::{Accounts, Error, credentials::Opening, error::too_long};
use crate::{
    seal::{
        derive::{Usage, derive},
        password::{WRAP, unwrap, wrap},
        row::{Context, RowKind, open_one, seal_one},
        slots::SlotId,
        token::Token,
    },
    secret::Key,
    store::{Address, Batch, Instance, Partition},
};

/// A token's slot and what its row opens.
pub(super) struct TokenOpening {
    pub(super) slot: SlotId,
    pub(super) account: SlotId,
    pub(super) opening: Opening,
    pub(super) partition: Partition,
}

/// One way a token opens an account: the slots' values are those that will be committed.
pub(super) struct TokenWrap<'a> {
    pub(super) slot: SlotId,
    pub(super) slot_value: &'a Key,
    pub(super) account: SlotId,
    pub(super) account_value: &'a Key,
    pub(super) opening: &'a Opening,
}

const SEALED: usize = 1024;

impl Accounts {
    /// Puts a token's row into `batch`, in `partition`.
    pub(super) fn put_token(
        &self,
        token: &Token,
        wraps: &[TokenWrap<'_>],
        partition: Partition,
        batch: &mut Batch,
    ) -> Result<(), Error> {
        let random = self.journals.random.as_ref();
        let (cipher, address) = self.token_place(token, partition)?;
        let context = Context { partition, kind: RowKind::Token };
        let secret = token.secret();
        let mut plain = Vec::with_capacity(wraps.len() * (16 + SEALED));
        for way in wraps {
            let inner =
                wrap(way.slot_value, way.account_value, &secret, &way.opening.encode()?, random).map_err(too_long)?;
            let mut named = way.account.0.to_vec();
            named.extend_from_slice(&inner);
            let outer = seal_one(&outer_key(way.slot_value, &secret), context, &address, &named, random)?;
            debug_assert_eq!(outer.len(), SEALED, "a wrap fits the smallest row");
            plain.extend_from_slice(&way.slot.0);
            plain.extend_from_slice(&outer);
        }
        let row = seal_one(&cipher, context, &address, &plain, random)?;
        batch.put(Instance::Soup, partition, address, row);
        Ok(())
    }

    /// What `token` opens, in the newest living partition that has its row.
    pub(super) fn open_token(&self, token: &Token) -> Result<Option<TokenOpening>, Error> {
        for partition in self.journals.epochs.live(self.policy.inactivity) {
            let Ok((cipher, address)) = self.token_place(token, partition) else { continue };
            let Some(row) = self.journals.store.get(Instance::Soup, partition, &address)? else { continue };
            let context = Context { partition, kind: RowKind::Token };
            let Ok(plain) = open_one(&cipher, context, &address, row) else { continue };
            let mut ways = plain.chunks_exact(16 + SEALED);
            let opened = ways.find_map(|way| self.open_way(token, way, context, &address));
            if let Some((slot, account, opening)) = opened {
                return Ok(Some(TokenOpening { slot, account, opening, partition }));
            }
        }
        Ok(None)
    }

    fn open_way(
        &self,
        token: &Token,
        way: &[u8],
        context: Context,
        address: &Address,
    ) -> Option<(SlotId, SlotId, Opening)> {
        let (slot, sealed) = way.split_first_chunk::<16>()?;
        let slot = SlotId(*slot);
        let value = self.journals.slots.value(&slot)?;
        let secret = token.secret();
        let named = open_one(&outer_key(&value, &secret), context, address, sealed.to_vec()).ok()?;
        let (account, inner) = named.split_first_chunk::<16>()?;
        let account = SlotId(*account);
        let account_value = self.journals.slots.value(&account)?;
        let opening = Opening::decode(&unwrap(&value, &account_value, &secret, inner.get(..WRAP)?)?)?;
        Some((slot, account, opening))
    }

    fn token_place(&self, token: &Token, partition: Partition) -> Result<(Key, Address), Error> {
        let epoch = self.journals.slots.epoch_key(partition).ok_or(Error::UnknownToken)?;
        Ok((derive(Usage::TokenCipher, &epoch, &[]), token.address(&self.journals.slots.server_key())))
    }
}

/// The key of the outer seal: token slot and token, without the account.
fn outer_key(slot: &Key, secret: &Key) -> Key {
    derive(Usage::Wrap, slot, &[&[0; 32], secret.expose()])
}
