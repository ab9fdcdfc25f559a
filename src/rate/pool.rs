//! Memory that callers share: a bound for all together, and a share that one caller cannot exceed.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Source;

/// An amount of memory, in KiB.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    free: Arc<Semaphore>,
    share: u32,
    used: Mutex<HashMap<Source, u32>>,
}

/// The caller holds its share already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Memory that one caller holds; given back when dropped.
pub struct Hold {
    pool: Arc<Inner>,
    source: Source,
    kib: u32,
    permit: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// A pool of `whole` KiB of which one caller may hold `share`.
    #[must_use]
    pub fn new(whole: u32, share: u32) -> Self {
        let free = Arc::new(Semaphore::new(usize::try_from(whole).unwrap_or(Semaphore::MAX_PERMITS)));
        Self(Arc::new(Inner { free, share: share.min(whole), used: Mutex::default() }))
    }

    /// Nothing yet, for `source`.
    #[must_use]
    pub fn hold(&self, source: Source) -> Hold {
        Hold { pool: Arc::clone(&self.0), source, kib: 0, permit: None }
    }
}

impl Hold {
    /// Holds at least `kib`, waiting while others hold what is there.
    ///
    /// # Errors
    /// At once, when the caller's share does not reach.
    pub async fn grow(&mut self, kib: u32) -> Result<(), Full> {
        let more = kib.saturating_sub(self.kib);
        if more == 0 {
            return Ok(());
        }
        {
            let mut used = self.pool.used.lock();
            let sum = used.get(&self.source).copied().unwrap_or(0).saturating_add(more);
            if sum > self.pool.share {
                return Err(Full);
            }
            used.insert(self.source, sum);
        }
        // From here on it counts as held: a wait that is given up gives it back.
        self.kib += more;
        let permit = Arc::clone(&self.pool.free).acquire_many_owned(more).await.map_err(|_| Full)?;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut used = self.pool.used.lock();
        if let Some(kib) = used.get_mut(&self.source) {
            *kib = kib.saturating_sub(self.kib);
            if *kib == 0 {
                used.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_share_is_refused_and_the_whole_is_waited_for() {
        let pool = Pool::new(10, 6);
        let (al, bo) = (Source([1; 16]), Source([2; 16]));
        let mut one = pool.hold(al);
        one.grow(4).await.unwrap();
        one.grow(3).await.unwrap();
        let mut two = pool.hold(al);
        assert_eq!(two.grow(3).await, Err(Full));
        two.grow(2).await.unwrap();
        let mut three = pool.hold(bo);
        three.grow(4).await.unwrap();
        let waiting = tokio::spawn(async move {
            let mut four = pool.hold(Source([3; 16]));
            four.grow(1).await.map(|()| pool.0.used.lock().len())
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(one);
        assert_eq!(waiting.await.unwrap(), Ok(3));
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_gives_back() {
        let pool = Pool::new(4, 4);
        let al = Source([1; 16]);
        let mut all = pool.hold(Source([2; 16]));
        all.grow(4).await.unwrap();
        let mut hold = pool.hold(al);
        tokio::select! {
            biased;
            _ = hold.grow(3) => unreachable!("nothing is free"),
            () = std::future::ready(()) => {}
        }
        drop(hold);
        assert!(!pool.0.used.lock().contains_key(&al));
        drop(all);
        assert_eq!(pool.0.free.available_permits(), 4);
    }
}
