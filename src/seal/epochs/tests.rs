//! Epochs open and die by the clock that can be believed.

use std::time::Duration;

use super::*;
use crate::{
    clock::ManualClock,
    random::SeededRandom,
    seal::slots::MemoryMedium,
    store::{Fuse, MemoryBackend},
};

const HOUR: u64 = 3_600_000;
/// Thursday 2026-01-01 00:30 UTC.
const START: Timestamp = Timestamp(1_767_227_400_000);

async fn epochs(clock: &Arc<ManualClock>) -> Epochs {
    let fuse = Arc::new(Fuse::new());
    let store = Store::inline(Arc::new(MemoryBackend::with_fuse(fuse.clone())));
    let random = Arc::new(SeededRandom::new(1));
    let slots = Slots::open(Arc::new(MemoryMedium::with_fuse(fuse)), store.clone(), random.clone()).await.unwrap();
    Epochs::new(slots, store, clock.clone(), random)
}

#[test]
fn epochs_end_with_the_calendar() {
    let after = |class| epoch_end(class, START).unwrap().0 - START.0;
    assert_eq!((after(Class::Hour), after(Class::Day)), (HOUR / 2, HOUR / 2));
    assert_eq!((after(Class::Week), after(Class::Month)), (47 * HOUR / 2, 47 * HOUR / 2));
    assert_eq!(after(Class::Quarter), 4 * 24 * HOUR - HOUR / 2);
    assert_eq!(after(Class::Year), 31 * 24 * HOUR - HOUR / 2);
    assert!(epoch_end(Class::Year, Timestamp(u64::MAX)).is_err());
}

#[tokio::test]
async fn an_epoch_opens_once_and_dies_after_its_lifetime() {
    let clock = Arc::new(ManualClock::at(START));
    let epochs = epochs(&clock).await;
    let first = epochs.current(Class::Hour).await.unwrap();
    assert_eq!(epochs.current(Class::Hour).await.unwrap(), first);
    epochs.open_ahead(&[Class::Hour, Class::Forever]).await.unwrap();
    epochs.open_ahead(&[Class::Hour]).await.unwrap();
    assert_eq!(epochs.live(Class::Hour).len(), 2);
    clock.advance(Duration::from_millis(HOUR / 2));
    let second = epochs.current(Class::Hour).await.unwrap();
    assert_eq!((second.serial, epochs.live(Class::Hour)), (first.serial + 1, vec![second, first]));
    // A row written in the last moment of the first epoch lives a full hour.
    let end = Timestamp(START.0 + HOUR / 2);
    assert!(epochs.expire(Timestamp(end.0 + HOUR - 1)).await.unwrap().is_empty());
    assert_eq!(epochs.expire(Timestamp(end.0 + HOUR)).await.unwrap(), [first]);
    assert!(epochs.slots.epoch_key(first).is_none());
    for instance in Instance::ALL {
        let left = epochs.store.list_partitions(instance).await.unwrap();
        assert!(!left.contains(&first) && left.contains(&second) && left.contains(&Partition::FOREVER));
    }
    // A name is never used again, also when nothing of the class is left.
    clock.advance(Duration::from_millis(50 * HOUR));
    assert_eq!(epochs.expire(clock.now()).await.unwrap(), [second]);
    assert_eq!(epochs.current(Class::Hour).await.unwrap().serial, second.serial + 1);
    assert_eq!(epochs.live(Class::Forever), [Partition::FOREVER]);
    assert!(epochs.slots.epoch_key(Partition::FOREVER).is_some());
}

fn live(epochs: &Epochs, class: Class) -> Vec<u32> {
    epochs.live(class).into_iter().map(|partition| partition.serial).collect()
}

fn fresh(epochs: &Epochs, clock: &Arc<ManualClock>) -> Epochs {
    let (slots, store) = (epochs.slots.clone(), epochs.store.clone());
    Epochs::new(slots, store, clock.clone(), epochs.random.clone())
}

#[tokio::test]
async fn an_untrusted_clock_opens_one_epoch_and_its_end_is_set_later() {
    for wall in [START.after(Duration::from_millis(365 * 24 * HOUR)), Timestamp(0), Timestamp(u64::MAX)] {
        let clock = Arc::new(ManualClock::at(START));
        let before = epochs(&clock).await;
        before.open_ahead(&[Class::Month]).await.unwrap();
        before.current(Class::Month).await.unwrap();
        clock.set_synchronised(None);
        clock.set_wall(wall);
        for _ in 0..3 {
            // However often it starts.
            let epochs = fresh(&before, &clock);
            epochs.open_ahead(&[Class::Month]).await.unwrap();
            let partition = epochs.current(Class::Month).await.unwrap();
            assert_eq!((partition.serial, live(&epochs, Class::Month)), (3, vec![3, 2, 1]));
            assert!(!epochs.ends().contains_key(&partition) && !epochs.moment().trusted);
            clock.advance(Duration::from_millis(3 * HOUR));
        }
        let epochs = fresh(&before, &clock);
        let partition = epochs.current(Class::Month).await.unwrap();
        // Ten days later somebody sets it right.
        let later = START.after(Duration::from_millis(10 * 24 * HOUR));
        clock.set_wall(later);
        clock.set_synchronised(Some(true));
        epochs.open_ahead(&[Class::Month]).await.unwrap();
        let end = epochs.ends()[&partition];
        assert!(end == epoch_end(Class::Month, later).unwrap(), "what came meanwhile lives its thirty days");
        assert_eq!(epochs.current(Class::Month).await.unwrap(), partition);
        let over: Vec<u32> =
            epochs.over(end.after(Duration::from_millis(30 * 24 * HOUR))).iter().map(|(p, _)| p.serial).collect();
        assert_eq!(over, [1, 2], "those in which a row may be on its way stay");
    }
}

#[tokio::test]
async fn what_a_wrong_clock_has_put_far_away_comes_back() {
    let clock = Arc::new(ManualClock::at(START));
    let epochs = epochs(&clock).await;
    epochs.open_ahead(&[Class::Day]).await.unwrap();
    clock.set_wall(START.after(Duration::from_millis(1000 * HOUR)));
    // Somebody swears that it is right.
    epochs.open_ahead(&[Class::Day]).await.unwrap();
    let filed = epochs.current(Class::Day).await.unwrap();
    clock.set_wall(START);
    epochs.open_ahead(&[Class::Day]).await.unwrap();
    let latest = START.0 + HOUR / 2 + HOUR;
    assert!(epochs.slots.epochs().iter().all(|(_, end)| end.0 <= latest));
    assert!(epochs.current(Class::Day).await.unwrap().serial >= filed.serial, "no epoch is opened again");
}

#[tokio::test]
async fn a_clock_that_goes_back_opens_nothing_again() {
    for kept in [Some(true), None] {
        let clock = Arc::new(ManualClock::at(START));
        let epochs = epochs(&clock).await;
        let mut filed = Vec::new();
        for _ in 0..30 {
            epochs.open_ahead(&[Class::Day]).await.unwrap();
            filed.push(epochs.current(Class::Day).await.unwrap());
            clock.advance(Duration::from_millis(HOUR));
        }
        clock.set_synchronised(kept);
        clock.set_wall(Timestamp(clock.now().0 - 24 * HOUR));
        epochs.open_ahead(&[Class::Day]).await.unwrap();
        let now = epochs.current(Class::Day).await.unwrap();
        assert!(filed.iter().all(|before| before.serial <= now.serial));
        let alive = epochs.live(Class::Day);
        epochs.expire(epochs.moment().time).await.unwrap();
        assert!(kept.is_none() || epochs.live(Class::Day) == alive, "nothing dies early");
    }
}
