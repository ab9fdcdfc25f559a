//! How many of something each caller has at once.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::Source;

/// Counts what callers have at once. Holds an entry for each caller that has anything, so it is as bounded as what it
/// counts.
#[derive(Clone)]
pub struct Crowd(Arc<Inner>);

struct Inner {
    most: u32,
    present: Mutex<HashMap<Source, u32>>,
}

/// One of them; given back when dropped.
pub struct Seat {
    crowd: Arc<Inner>,
    source: Source,
}

impl Crowd {
    /// A crowd in which each caller has at most `most`.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self(Arc::new(Inner { most, present: Mutex::default() }))
    }

    /// One more for `source`; nothing when it has as many as it may.
    #[must_use]
    pub fn enter(&self, source: Source) -> Option<Seat> {
        let mut present = self.0.present.lock();
        let count = present.entry(source).or_default();
        if *count >= self.0.most {
            return None;
        }
        *count += 1;
        Some(Seat { crowd: Arc::clone(&self.0), source })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut present = self.crowd.present.lock();
        if let Some(count) = present.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                present.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_come_back() {
        let crowd = Crowd::new(2);
        let (al, bo) = (Source([1; 16]), Source([2; 16]));
        let (one, two) = (crowd.enter(al), crowd.enter(al));
        assert!(one.is_some() && two.is_some() && crowd.enter(al).is_none() && crowd.enter(bo).is_some());
        drop(one);
        assert!(crowd.enter(al).is_some());
        drop(two);
        assert!(crowd.0.present.lock().is_empty());
    }
}
