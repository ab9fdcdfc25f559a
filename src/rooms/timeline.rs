//! The entries of a room in their order: a persistent list of which a clone is cheap and shares everything.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use imbl::Vector;

use super::entry::Entry;

/// Entries that are copied together when one is added beside readers: few, because that happens with every event.
const BLOCK: usize = 16;
/// Entries that a block makes room for at a time: every open room has a last block, and most rooms are quiet.
const STEP: usize = 4;

/// The entries of a room, oldest first. It grows at its end, and forgets from its beginning.
#[derive(Clone)]
pub struct Timeline<T = Entry> {
    /// Every block but the first and the last is full, none is empty.
    blocks: Vector<Arc<Block<T>>>,
    /// How many entries of the first block have been forgotten; they are not in it any more.
    gone: usize,
}

#[derive(Clone)]
struct Block<T>(Vec<T>);

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self { blocks: Vector::new(), gone: 0 }
    }
}

impl<T> Default for Block<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Block<T> {
    fn push(&mut self, entry: T) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(STEP);
        }
        self.0.push(entry);
    }
}

impl<T: Clone> Timeline<T> {
    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.blocks.len() {
            0 => 0,
            1 => self.blocks[0].0.len(),
            blocks => (blocks - 1) * BLOCK - self.gone + self.blocks[blocks - 1].0.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The entry at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        let (block, at) = self.place(index);
        self.blocks.get(block)?.0.get(at)
    }

    /// The block that holds the entry at `index`, and where in it.
    fn place(&self, index: usize) -> (usize, usize) {
        let place = index + self.gone;
        let missing = if place < BLOCK { self.gone } else { 0 };
        (place / BLOCK, place % BLOCK - missing)
    }

    /// The index of the first entry of a block.
    fn first_of(&self, block: usize) -> usize {
        (block * BLOCK).saturating_sub(self.gone)
    }

    /// The oldest entry.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.get(0)
    }

    /// The newest entry.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.blocks.last()?.0.last()
    }

    /// The entries, oldest first.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { timeline: self, left: 0..self.len() }
    }

    /// The index of the entry that is `Equal` to what is looked for.
    ///
    /// # Errors
    /// The index it would have, when there is none.
    pub fn binary_search_by(&self, order: impl Fn(&T) -> Ordering) -> Result<usize, usize> {
        let starts = self.blocks.binary_search_by(|block| block.0.first().map_or(Ordering::Greater, &order));
        let block = match starts {
            Ok(block) => return Ok(self.first_of(block)),
            Err(behind) => behind.checked_sub(1).ok_or(0_usize)?,
        };
        let entries = self.blocks.get(block).map_or(&[][..], |block| &block.0);
        let found = entries.binary_search_by(order);
        let first = self.first_of(block);
        found.map(|at| first + at).map_err(|at| first + at)
    }

    /// Adds the newest entry.
    pub(super) fn push(&mut self, entry: T) {
        let missing = if self.blocks.len() == 1 { self.gone } else { 0 };
        if self.blocks.last().is_none_or(|last| last.0.len() + missing == BLOCK) {
            self.blocks.push_back(Arc::default());
        }
        if let Some(last) = self.blocks.back_mut() {
            Arc::make_mut(last).push(entry);
        }
    }

    /// Puts another entry in the place of the one at `index`.
    pub(super) fn set(&mut self, index: usize, entry: T) {
        let (block, at) = self.place(index);
        if let Some(block) = self.blocks.get_mut(block)
            && let Some(place) = Arc::make_mut(block).0.get_mut(at)
        {
            *place = entry;
        }
    }

    /// Lets go of the oldest `count` entries, and of the memory they take.
    pub(super) fn forget(&mut self, count: usize) {
        if count >= self.len() {
            *self = Self::default();
            return;
        }
        let (block, at) = self.place(count);
        self.gone = (count + self.gone) % BLOCK;
        self.blocks = self.blocks.skip(block);
        if at > 0
            && let Some(first) = self.blocks.get_mut(0)
        {
            let mut rest = Block::default();
            rest.0.extend(first.0[at..].iter().cloned());
            *first = Arc::new(rest);
        }
    }
}

impl<'a, T: Clone> IntoIterator for &'a Timeline<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// Goes through a [`Timeline`] from either end; skipping costs nothing.
pub struct Iter<'a, T = Entry> {
    timeline: &'a Timeline<T>,
    left: Range<usize>,
}

impl<'a, T: Clone> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        self.nth(0)
    }

    fn nth(&mut self, skipped: usize) -> Option<&'a T> {
        self.timeline.get(self.left.nth(skipped)?)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl<'a, T: Clone> DoubleEndedIterator for Iter<'a, T> {
    fn next_back(&mut self) -> Option<&'a T> {
        self.nth_back(0)
    }

    fn nth_back(&mut self, skipped: usize) -> Option<&'a T> {
        self.timeline.get(self.left.nth_back(skipped)?)
    }
}

impl<T: Clone> ExactSizeIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: &[u32]) -> Timeline<u32> {
        let mut timeline = Timeline::default();
        for number in numbers {
            timeline.push(*number);
        }
        timeline
    }

    proptest! {
        #[test]
        fn it_is_a_list(mut numbers in prop::collection::vec(any::<u32>(), 0..100), at in 0..100_usize) {
            let timeline = of(&numbers);
            prop_assert_eq!(timeline.len(), numbers.len());
            prop_assert_eq!(timeline.is_empty(), numbers.is_empty());
            prop_assert_eq!((timeline.front(), timeline.last()), (numbers.first(), numbers.last()));
            prop_assert_eq!(timeline.get(at), numbers.get(at));
            prop_assert!(timeline.iter().eq(&numbers));
            prop_assert!(timeline.iter().skip(at).eq(numbers.iter().skip(at)));
            prop_assert!(timeline.iter().rev().skip(at).eq(numbers.iter().rev().skip(at)));
            prop_assert_eq!(timeline.iter().rposition(|n| n % 2 == 0), numbers.iter().rposition(|n| n % 2 == 0));
            let mut changed = timeline.clone();
            changed.set(at, 7);
            prop_assert!(timeline.iter().eq(&numbers), "a clone stays as it is");
            if let Some(number) = numbers.get_mut(at) {
                *number = 7;
            }
            prop_assert!(changed.iter().eq(&numbers));
        }

        #[test]
        fn what_is_in_order_is_found(numbers in prop::collection::btree_set(0..200_u32, 0..100), wanted in 0..200_u32) {
            let numbers: Vec<u32> = numbers.into_iter().collect();
            let found = of(&numbers).binary_search_by(|number| number.cmp(&wanted));
            prop_assert_eq!(found, numbers.binary_search(&wanted));
        }

        #[test]
        fn one_that_grows_leaves_its_clones_alone(steps in prop::collection::vec(any::<bool>(), 0..100)) {
            let mut timeline = Timeline::default();
            let mut clones = Vec::new();
            for (number, keep) in steps.into_iter().enumerate() {
                timeline.push(number);
                if keep {
                    clones.push((number + 1, timeline.clone()));
                }
            }
            for (length, clone) in clones {
                prop_assert!(clone.iter().copied().eq(0..length));
            }
        }

        #[test]
        fn what_was_forgotten_was_never_there(steps in prop::collection::vec((0..40_usize, 0..40_usize), 0..12)) {
            let (mut timeline, mut plain) = (Timeline::default(), Vec::new());
            for (number, (more, fewer)) in steps.into_iter().enumerate() {
                for _ in 0..more {
                    let next = plain.last().map_or(number, |last| last + 2);
                    timeline.push(next);
                    plain.push(next);
                }
                let before = timeline.clone();
                timeline.forget(fewer);
                prop_assert!(before.iter().eq(&plain), "a clone stays as it is");
                plain.drain(..fewer.min(plain.len()));
                prop_assert_eq!(timeline.len(), plain.len());
                prop_assert_eq!((timeline.front(), timeline.last()), (plain.first(), plain.last()));
                prop_assert!(timeline.iter().eq(&plain));
                prop_assert!(timeline.iter().rev().eq(plain.iter().rev()));
                for wanted in 0..plain.last().map_or(3, |last| last + 2) {
                    let found = timeline.binary_search_by(|number| number.cmp(&wanted));
                    prop_assert_eq!(found, plain.binary_search(&wanted));
                }
                let mut set = timeline.clone();
                set.set(fewer, 7);
                let expected = plain.iter().enumerate().map(|(at, n)| if at == fewer { 7 } else { *n });
                prop_assert!(set.iter().copied().eq(expected));
            }
        }

        #[test]
        fn what_is_forgotten_is_let_go_of(count in 0..100_usize, first in 0..120_usize, second in 0..120_usize) {
            let entries: Vec<_> = (0..count).map(Arc::new).collect();
            let mut timeline = Timeline::default();
            for entry in &entries {
                timeline.push(Arc::clone(entry));
            }
            timeline.forget(first);
            timeline.forget(second);
            let held = |entry: &Arc<usize>| Arc::strong_count(entry) > 1;
            prop_assert_eq!(entries.iter().filter(|entry| held(entry)).count(), count.saturating_sub(first + second));
        }
    }
}
