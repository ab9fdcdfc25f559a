//! Closing accounts that nobody has used for a while, where the operator wants that.
//!
//! An account closes when nothing but this process's memory of it is left: whoever holds it still uses it. So nobody ever
//! writes to a vault that has closed, and a request that comes at that moment opens it again.

use std::{sync::Arc, time::Duration};

use super::{Account, Accounts, Error};
use crate::journal::{TOGETHER, renew_together};

impl Accounts {
    /// Closes the accounts that have not been used for as long as the policy says; how many. What was superseded in their
    /// vaults goes before. An account with events to be sent later stays open until they are sent.
    ///
    /// # Errors
    /// When a vault gets no new generation; calling again goes on.
    pub async fn close_idle(&self) -> Result<usize, Error> {
        let Some(idle) = self.policy.idle else { return Ok(0) };
        let Some(before) = self.clock.monotonic().checked_sub(idle) else { return Ok(0) };
        let rests = |account: &Arc<Account>| account.used() <= before && account.view().delayed.is_empty();
        let resting: Vec<_> = self.all_open().into_iter().filter(rests).collect();
        let wakers = self.wakers();
        for account in &resting {
            for waker in &wakers {
                waker.rests(account).await;
            }
        }
        let _alone = self.renewing.lock().await;
        for accounts in resting.chunks(TOGETHER) {
            let vaults: Vec<_> = accounts.iter().map(|account| &account.vault).collect();
            renew_together(&self.journals, &vaults).await?;
        }
        Ok(resting.into_iter().filter(|account| self.close(account, before)).count())
    }

    /// Closes an account unless it was used after `before` or somebody else holds it; whether it closed. Its sessions go with
    /// it: access tokens that lived in memory are bought anew.
    fn close(&self, account: &Arc<Account>, before: Duration) -> bool {
        // Whoever takes hold of an account does so with one of these locks.
        let (mut open, mut sessions) = (self.open.write(), self.sessions.write());
        let name = account.user_id.localpart();
        let Some(cell) = open.get(name).filter(|cell| cell.get().is_some_and(|open| Arc::ptr_eq(open, account))) else {
            return false;
        };
        let own = sessions.values().filter(|known| Arc::ptr_eq(&known.session.account, account)).count();
        // One is in the cell, one is the caller's.
        if account.used() > before || Arc::strong_count(cell) > 1 || Arc::strong_count(account) > own + 2 {
            return false;
        }
        sessions.retain(|_, known| !Arc::ptr_eq(&known.session.account, account));
        open.remove(name);
        true
    }
}
