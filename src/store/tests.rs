//! The conformance suite, run over every backend, and what is promised of each of them.

mod dropped;

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::random::{Random, SeededRandom};

const DAY: Partition = Partition { class: Class::Day, serial: 5 };
const WEEK: Partition = Partition { class: Class::Week, serial: 1 };

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn at(number: u64) -> Address {
    let mut bytes = [0xa5; 16];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Address(bytes)
}

fn one(address: u64, value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put_if_absent(Instance::Soup, Partition::FOREVER, at(address), value.to_vec());
    batch
}

fn found(store: &Store, address: u64) -> Option<Vec<u8>> {
    store.get(Instance::Soup, Partition::FOREVER, &at(address)).unwrap()
}

/// Each property gets a fresh backend, under a store with a thread and under one without.
const SUITE: &[fn(&Store)] = &[
    rows_are_read_back,
    a_conflict_writes_nothing,
    racing_writers_never_share_an_address,
    a_dropped_partition_is_gone,
    an_unknown_partition_is_refused,
    a_merge_leaves_out_what_was_retired,
    a_row_written_again_is_not_retired,
    a_barrier_sees_all_before_it_and_nothing_after,
    a_store_that_is_shut_down_only_reads,
];

#[test]
fn memory_conforms() {
    for property in SUITE {
        property(&Store::threaded(Arc::new(MemoryBackend::new()), Durability::Synced));
        property(&Store::threaded(Arc::new(MemoryBackend::new()), Durability::Relaxed));
        property(&Store::inline(Arc::new(MemoryBackend::new())));
    }
}

#[test]
fn rocks_conforms() {
    for property in SUITE {
        let directory = TempDir::new().unwrap();
        let open = |name| Arc::new(RocksBackend::open(&directory.path().join(name)).unwrap());
        property(&Store::threaded(open("threaded"), Durability::Synced));
        property(&Store::inline(open("inline")));
    }
}

fn rows_are_read_back(store: &Store) {
    runtime().block_on(async {
        store.create_partition(Instance::Inbox, DAY).await.unwrap();
        store.create_partition(Instance::Inbox, DAY).await.unwrap();
        let mut batch = Batch::new();
        batch.put(Instance::Inbox, DAY, at(1), vec![1; 100]);
        batch.put(Instance::Inbox, DAY, at(2), Vec::new());
        batch.put(Instance::Records, Partition::FOREVER, at(1), vec![3]);
        batch.put(Instance::Records, Partition::FOREVER, at(1), vec![4]);
        assert_eq!(batch.len(), 4);
        store.commit(batch).await.unwrap();
        let rows = store.multi_get(Instance::Inbox, DAY, &[at(2), at(9), at(1)]).unwrap();
        assert_eq!(rows, [Some(Vec::new()), None, Some(vec![1; 100])]);
        assert_eq!(store.get(Instance::Records, Partition::FOREVER, &at(1)).unwrap(), Some(vec![4]));
        assert_eq!(store.get(Instance::Soup, Partition::FOREVER, &at(1)).unwrap(), None);
        assert_eq!(store.get(Instance::Inbox, Partition::FOREVER, &at(1)).unwrap(), None);
        assert_eq!(store.list_partitions(Instance::Inbox).await.unwrap(), [DAY, Partition::FOREVER]);
        assert_eq!(store.list_partitions(Instance::Soup).await.unwrap(), [Partition::FOREVER]);
    });
}

fn a_conflict_writes_nothing(store: &Store) {
    runtime().block_on(async {
        store.commit(one(1, b"first")).await.unwrap();
        let mut batch = one(2, b"beside");
        batch.extend(one(1, b"second"));
        assert_eq!(store.commit(batch).await, Err(Error::Conflict));
        assert_eq!(found(store, 1).unwrap(), b"first");
        assert_eq!(found(store, 2), None);
        let mut twice = one(3, b"a");
        twice.extend(one(3, b"b"));
        assert_eq!(store.commit(twice).await, Err(Error::Conflict));
        assert_eq!(found(store, 3), None);
        // What a refused batch wanted is free for the next one, in the same group too.
        let (refused, taken) = tokio::join!(
            store.commit({
                let mut batch = one(4, b"refused");
                batch.extend(one(1, b"second"));
                batch
            }),
            store.commit(one(4, b"taken")),
        );
        assert_eq!((refused, taken), (Err(Error::Conflict), Ok(())));
        assert_eq!(found(store, 4).unwrap(), b"taken");
    });
}

fn racing_writers_never_share_an_address(store: &Store) {
    const ADDRESSES: u64 = 40;
    const WRITERS: u64 = 4;
    let wins = AtomicUsize::new(0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, wins) = (store.clone(), &wins);
            scope.spawn(move || {
                for address in 0..ADDRESSES {
                    match runtime().block_on(store.commit(one(address, &writer.to_be_bytes()))) {
                        Ok(()) => {
                            assert_eq!(found(&store, address).unwrap(), writer.to_be_bytes());
                            wins.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => assert_eq!(error, Error::Conflict),
                    }
                }
            });
        }
    });
    assert_eq!(wins.into_inner() as u64, ADDRESSES);
}

fn a_dropped_partition_is_gone(store: &Store) {
    runtime().block_on(async {
        for partition in [DAY, WEEK] {
            store.create_partition(Instance::Soup, partition).await.unwrap();
            let mut batch = one(u64::from(partition.class.code()), b"stays");
            batch.put(Instance::Soup, partition, at(1), vec![7; 50]);
            store.commit(batch).await.unwrap();
        }
        store.drop_partition(Instance::Soup, DAY).await.unwrap();
        store.drop_partition(Instance::Soup, DAY).await.unwrap();
        assert_eq!(store.get(Instance::Soup, DAY, &at(1)).unwrap(), None);
        assert_eq!(store.multi_get(Instance::Soup, DAY, &[at(1)]).unwrap(), [None]);
        assert_eq!(store.list_partitions(Instance::Soup).await.unwrap(), [WEEK, Partition::FOREVER]);
        assert_eq!(store.get(Instance::Soup, WEEK, &at(1)).unwrap(), Some(vec![7; 50]));
        assert_eq!(found(store, u64::from(Class::Day.code())).unwrap(), b"stays");
        // Its rows do not come back with its name.
        store.create_partition(Instance::Soup, DAY).await.unwrap();
        assert_eq!(store.get(Instance::Soup, DAY, &at(1)).unwrap(), None);
        assert_eq!(store.drop_partition(Instance::Soup, Partition::FOREVER).await, Err(Error::Conflict));
    });
}

fn an_unknown_partition_is_refused(store: &Store) {
    runtime().block_on(async {
        let mut batch = one(1, b"beside");
        batch.put(Instance::Soup, DAY, at(2), vec![1]);
        assert_eq!(store.commit(batch).await, Err(Error::UnknownPartition));
        assert_eq!(found(store, 1), None);
        store.commit(one(1, b"later")).await.unwrap();
    });
}

fn a_merge_leaves_out_what_was_retired(store: &Store) {
    runtime().block_on(async {
        for address in 0..200 {
            store.commit(one(address, &[1; 40])).await.unwrap();
            if address == 100 {
                store.merge_all().await.unwrap();
            }
        }
        let mut batch = Batch::new();
        (0..200).step_by(2).for_each(|address| batch.retire(Instance::Soup, Partition::FOREVER, at(address)));
        store.commit(batch).await.unwrap();
        assert!(found(store, 0).is_some(), "a note is not a deletion");
        store.merge_all().await.unwrap();
        for address in 0..200 {
            assert_eq!(found(store, address).is_some(), address % 2 == 1);
        }
        store.commit(one(0, b"free again")).await.unwrap();
        store.merge_all().await.unwrap();
        assert!(found(store, 0).is_some());
    });
}

fn a_row_written_again_is_not_retired(store: &Store) {
    runtime().block_on(async {
        let mut batch = one(1, b"old");
        batch.retire(Instance::Soup, Partition::FOREVER, at(1));
        store.commit(batch).await.unwrap();
        let mut batch = Batch::new();
        batch.put(Instance::Soup, Partition::FOREVER, at(1), b"new".to_vec());
        store.commit(batch).await.unwrap();
        store.merge_all().await.unwrap();
        assert_eq!(found(store, 1).unwrap(), b"new");
    });
}

fn a_barrier_sees_all_before_it_and_nothing_after(store: &Store) {
    let reader = store.clone();
    let (before, barrier, after) = runtime().block_on(async {
        tokio::join!(
            store.commit(one(1, b"before")),
            store.barrier(move || (found(&reader, 1), found(&reader, 2))),
            store.commit(one(2, b"after")),
        )
    });
    assert_eq!((before, after), (Ok(()), Ok(())));
    assert!(barrier.unwrap() == (Some(b"before".to_vec()), None));
}

fn a_store_that_is_shut_down_only_reads(store: &Store) {
    runtime().block_on(async {
        store.commit(one(1, b"kept")).await.unwrap();
        store.shutdown().await;
        store.shutdown().await;
        assert_eq!(store.commit(one(2, b"late")).await, Err(Error::Closed));
        assert_eq!(store.barrier(|| ()).await, Err(Error::Closed));
        assert_eq!(store.merge_all().await, Err(Error::Closed));
        assert_eq!(found(store, 1).unwrap(), b"kept");
    });
}

#[test]
fn a_store_that_is_dropped_has_let_go_of_its_backend() {
    let backend = Arc::new(MemoryBackend::new());
    for _ in 0..100 {
        let store = Store::threaded(Arc::clone(&backend) as _, Durability::Synced);
        runtime().block_on(store.commit(one(1, b"kept"))).unwrap_or_default();
        drop(store);
        assert_eq!(Arc::strong_count(&backend), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Whatever was answered well is there after a cut at any step; nothing is there that was refused; what was
    /// under way is there whole or not at all.
    #[test]
    fn acknowledged_survives_a_cut(seed: u64, cut in 0_u64..120, threaded: bool) {
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed));
        let backend = Arc::new(MemoryBackend::new());
        let store =
            if threaded { Store::threaded(backend.clone(), Durability::Synced) } else { Store::inline(backend.clone()) };
        backend.cut_after(cut);
        let mut expected: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut broken: Vec<u64> = Vec::new();
        for round in 0_u64..40 {
            let (first, value) = (random.below(60), round.to_be_bytes());
            let mut batch = one(first, &value);
            batch.extend(one(first + 100, &value));
            if random.below(8) == 0 {
                let _ = runtime().block_on(store.merge_all());
            }
            match runtime().block_on(store.commit(batch)) {
                Ok(()) => {
                    expected.insert(first, value.to_vec());
                    expected.insert(first + 100, value.to_vec());
                }
                Err(Error::Conflict) => prop_assert!(expected.contains_key(&first)),
                Err(_) => broken.push(first),
            }
        }
        prop_assert_eq!(backend.fuse().blown(), !broken.is_empty());
        runtime().block_on(store.shutdown());
        backend.crash(&*random);
        let store = Store::inline(backend);
        for (address, value) in &expected {
            prop_assert_eq!(found(&store, *address), Some(value.clone()));
        }
        for address in (0..60).filter(|address| !expected.contains_key(address)) {
            prop_assert_eq!(found(&store, address), found(&store, address + 100));
        }
    }
}

#[test]
fn relaxed_is_written_at_once_and_synced_by_a_barrier() {
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(1));
    let mut lost = 0;
    for _ in 0..20 {
        let backend = Arc::new(MemoryBackend::new());
        let store = Store::threaded(backend.clone(), Durability::Relaxed);
        runtime().block_on(async {
            store.commit(one(1, b"covered")).await.unwrap();
            store.barrier(|| ()).await.unwrap();
            store.commit(one(2, b"written")).await.unwrap();
            assert!(found(&store, 2).is_some());
            backend.cut_after(0);
            store.shutdown().await;
        });
        backend.crash(&*random);
        let store = Store::inline(backend);
        assert!(found(&store, 1).is_some());
        lost += usize::from(found(&store, 2).is_none());
    }
    assert!((1..20).contains(&lost), "a crash keeps some of what was not synced, not all: {lost}");
}

#[test]
fn a_failed_store_stays_failed_and_runs_no_barrier() {
    let backend = Arc::new(MemoryBackend::new());
    for store in [Store::inline(backend.clone()), Store::threaded(backend.clone(), Durability::Synced)] {
        backend.cut_after(0);
        let ran = Arc::new(AtomicBool::new(false));
        let run = Arc::clone(&ran);
        runtime().block_on(async {
            assert_eq!(store.commit(one(1, b"lost")).await, Err(Error::Io));
            backend.crash(&SeededRandom::new(1));
            assert_eq!(store.commit(one(2, b"late")).await, Err(Error::Closed));
            assert_eq!(store.barrier(move || run.store(true, Ordering::Relaxed)).await, Err(Error::Closed));
        });
        assert!(!ran.load(Ordering::Relaxed));
    }
}

#[test]
fn the_medium_remembers_everything() {
    let backend = Arc::new(MemoryBackend::new());
    let store = Store::inline(backend.clone());
    runtime().block_on(async {
        let mut batch = one(1, b"old");
        batch.retire(Instance::Soup, Partition::FOREVER, at(1));
        store.commit(batch).await.unwrap();
        assert_eq!(backend.step_count(), 2, "a row and a sync");
        store.merge_all().await.unwrap();
    });
    assert!(backend.image().is_empty());
    assert!(backend.ever() == [(Instance::Soup, Partition::FOREVER, at(1), b"old".to_vec())]);
}

/// Every byte under `directory`, by file name.
fn bytes(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(bytes(&entry.path()));
        } else {
            files.push((entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
        }
    }
    files
}

/// The content of every sorted file under `directory`.
fn tables(directory: &Path) -> Vec<u8> {
    let files = bytes(directory).into_iter();
    files.filter(|(name, _)| Path::new(name).extension().is_some_and(|end| end == "sst")).flat_map(|(_, c)| c).collect()
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn rocks_keeps_what_was_synced() {
    let directory = TempDir::new().unwrap();
    runtime().block_on(async {
        let store = Store::threaded(Arc::new(RocksBackend::open(directory.path()).unwrap()), Durability::Synced);
        store.create_partition(Instance::Soup, DAY).await.unwrap();
        let mut batch = one(1, b"kept");
        batch.put(Instance::Soup, DAY, at(2), b"too".to_vec());
        store.commit(batch).await.unwrap();
        assert!(RocksBackend::open(directory.path()).is_err(), "two servers on one disk");
        store.shutdown().await;
        drop(store);
        let store = Store::inline(Arc::new(RocksBackend::open(directory.path()).unwrap()));
        assert_eq!(found(&store, 1).unwrap(), b"kept");
        assert_eq!(store.get(Instance::Soup, DAY, &at(2)).unwrap().unwrap(), b"too");
        assert_eq!(store.list_partitions(Instance::Soup).await.unwrap(), [DAY, Partition::FOREVER]);
    });
}

#[test]
fn rocks_writes_no_info_log_and_compresses_nothing() {
    let directory = TempDir::new().unwrap();
    let store = Store::inline(Arc::new(RocksBackend::open(directory.path()).unwrap()));
    runtime().block_on(async {
        for address in 0..50 {
            store.commit(one(address, &[b'z'; 2000])).await.unwrap();
        }
        store.merge_all().await.unwrap();
        store.shutdown().await;
    });
    drop(store);
    assert!(
        bytes(directory.path()).iter().all(|(name, content)| !name.starts_with("LOG") || content.is_empty()),
        "an info log"
    );
    let tables = tables(directory.path());
    assert!(tables.len() > 50 * 2000);
    assert!(contains(&tables, &[b'z'; 2000]));
}

/// Dropping cleans the log by itself, whether others have rows in it (`beside`) or not.
#[test]
fn rocks_leaves_no_byte_of_a_dropped_partition() {
    let canary = b"canary of a partition that is dropped";
    for beside in [false, true] {
        let directory = TempDir::new().unwrap();
        let store = Store::inline(Arc::new(RocksBackend::open(directory.path()).unwrap()));
        runtime().block_on(async {
            store.create_partition(Instance::Soup, DAY).await.unwrap();
            let mut batch = if beside { one(1, b"stays") } else { Batch::new() };
            batch.put(Instance::Soup, DAY, at(2), canary.to_vec());
            store.commit(batch).await.unwrap();
            assert!(bytes(directory.path()).iter().any(|(_, content)| contains(content, canary)));
            store.drop_partition(Instance::Soup, DAY).await.unwrap();
        });
        for (name, content) in bytes(directory.path()) {
            assert!(!contains(&content, canary), "the dropped row lies in {name}");
            assert!(!contains(&content, &at(2).0), "the dropped address lies in {name}");
        }
        assert_eq!(found(&store, 1).is_some(), beside);
    }
}

#[test]
fn rocks_leaves_no_byte_of_a_retired_row_and_no_tombstone() {
    let directory = TempDir::new().unwrap();
    let retired = b"canary of a row that is retired";
    let store = Store::inline(Arc::new(RocksBackend::open(directory.path()).unwrap()));
    runtime().block_on(async {
        let mut batch = one(1, b"stays");
        batch.extend(one(3, retired));
        store.commit(batch).await.unwrap();
        store.merge_all().await.unwrap();
        let mut batch = Batch::new();
        batch.retire(Instance::Soup, Partition::FOREVER, at(3));
        store.commit(batch).await.unwrap();
        store.merge_all().await.unwrap();
    });
    for (name, content) in bytes(directory.path()) {
        assert!(!contains(&content, retired), "the retired row lies in {name}");
        // The list of files keeps the bounds of old ones until it is rewritten.
        let manifest = name.starts_with("MANIFEST");
        assert!(manifest || !contains(&content, &at(3).0), "the retired address lies in {name}");
    }
    assert_eq!(found(&store, 1).unwrap(), b"stays");
}

/// Behind each key RocksDB keeps the number of its write until a merge to the last level zeroes it.
#[test]
fn a_merge_forgets_the_order_of_writes() {
    let directory = TempDir::new().unwrap();
    let store = Store::inline(Arc::new(RocksBackend::open(directory.path()).unwrap()));
    let numbers = |directory: &Path| -> HashSet<[u8; 8]> {
        let tables = tables(directory);
        let places = (0..30).filter_map(|n| {
            let at =
                tables.windows(16).position(|window| window[8..] == at(n).0[8..] && window[..8] == at(n).0[..8])?;
            tables[at + 16..at + 24].try_into().ok()
        });
        places.collect()
    };
    runtime().block_on(async {
        for address in 0..30 {
            store.commit(one(address, b"row")).await.unwrap();
        }
        store.merge_all().await.unwrap();
    });
    for (name, content) in
        bytes(directory.path()).iter().filter(|(name, _)| Path::new(name).extension() == Some("log".as_ref()))
    {
        assert!((0..30).all(|n| !contains(content, &at(n).0)), "{name} has the order");
    }
    // One byte says "a value", seven are the number.
    assert_eq!(numbers(directory.path()), HashSet::from([[1, 0, 0, 0, 0, 0, 0, 0]]));
}
