//! That an audit counts what is there and leaves everything as it is.

use std::{sync::Arc, time::SystemTime};

use tempfile::TempDir;

use super::*;
use crate::{
    clock::Timestamp,
    random::{Random, SeededRandom},
    seal::slots::{Change, SlotId, Slots},
    secret::Key,
    store::{Batch, Durability, RocksBackend, Store},
};

const DAY: Partition = Partition { class: Class::Day, serial: 3 };

async fn world(directory: &Path) -> (Store, Slots) {
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(1));
    let data = directory.join("data");
    fs::create_dir_all(data.join("media/2-3")).unwrap();
    fs::write(data.join("media/2-3/0"), vec![1; 5000]).unwrap();
    let store = Store::threaded(Arc::new(RocksBackend::open(&data).unwrap()), Durability::Synced);
    store.create_partition(Instance::Soup, DAY).await.unwrap();
    let medium = Arc::new(FileMedium::open(&directory.join("keys")).unwrap());
    let slots = Slots::open(medium, store.clone(), random).await.unwrap();
    let set =
        |byte, kind| Change::Set { id: SlotId([byte; 16]), kind, value: Key::from_bytes([byte; 32]), epoch: None };
    let open = Change::OpenEpoch { partition: DAY, key: Key::from_bytes([9; 32]), end: Timestamp(1_800_003_600_000) };
    let kinds = [SlotKind::Account, SlotKind::Vault, SlotKind::Room, SlotKind::Room, SlotKind::Token];
    let changes = (1..).zip(kinds).map(|(byte, kind)| set(byte, kind)).chain([open]);
    slots.commit(changes.collect()).await.unwrap();
    let mut batch = Batch::new();
    for number in 0..10 {
        batch.put(Instance::Soup, DAY, Address([number; 16]), vec![0; 1024 << (number / 4)]);
    }
    batch.put(Instance::Soup, Partition::FOREVER, Address([1; 16]), vec![0; 65536]);
    batch.put(Instance::Records, Partition::FOREVER, login(&slots, "alice"), vec![0; 1024]);
    batch.put(Instance::Records, Partition::FOREVER, Address([2; 16]), vec![0; 77]);
    store.commit(batch).await.unwrap();
    (store, slots)
}

fn login(slots: &Slots, name: &str) -> Address {
    address(&slots.server_key(), Usage::LoginAddress, name.as_bytes())
}

/// Every file with its bytes and its time.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(at) = left.pop() {
        for path in entries(&at).unwrap() {
            let metadata = fs::metadata(&path).unwrap();
            let bytes = if metadata.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
            left.extend(metadata.is_dir().then(|| path.clone()));
            files.insert(path, (bytes, metadata.modified().unwrap()));
        }
    }
    files
}

#[tokio::test]
async fn counts_are_right_and_nothing_is_written() {
    let directory = TempDir::new().unwrap();
    let (data, keys) = (directory.path().join("data"), directory.path().join("keys"));
    let (store, slots) = world(directory.path()).await;
    assert_eq!(look(&data, Some(&keys), &[], None).err(), Some(Error::Running));
    store.shutdown().await;
    drop((store, slots));
    let before = snapshot(directory.path());
    let names = ["alice", "@Alice:example.org", "bob", "!room:example.org"].map(str::to_owned);
    let seen = look(&data, Some(&keys), &names, Some(&Config::default())).unwrap();
    assert!(snapshot(directory.path()) == before, "nothing is changed, made or touched");
    let counts = seen.keys.as_ref().unwrap();
    assert_eq!((counts.accounts, counts.devices, counts.rooms, counts.signing_key), (1, 1, 2, false));
    let exist: Vec<_> = seen.known.iter().map(|known| known.exists).collect();
    assert_eq!(exist, [Some(true), Some(true), Some(false), None]);
    let of = |database: &str, class: &str| {
        seen.rows.iter().find(|rows| rows.database == database && rows.class == class).unwrap()
    };
    assert_eq!(of("soup", "1 day").sizes, [4, 4, 2, 0, 0, 0, 0]);
    assert_eq!(of("soup", "1 day").end.as_deref(), Some("2027-01-15 09:00"));
    assert_eq!((of("soup", "forever").sizes[6], of("records", "forever").others), (1, 1));
    assert_eq!(of("soup", "1 day").ordered, 10, "no merge has come");
    assert_eq!((seen.media[0].files, seen.media[0].bytes), (1, 5000));
    assert!(seen.to_string().starts_with("1 accounts, 1 tokens of devices, 2 rooms"), "{seen}");
    // Without keys there are sizes and counts.
    let blind = look(&data, None, &[], None).unwrap();
    assert!(blind.keys.is_none() && blind.rows.iter().all(|rows| rows.end.is_none()));
    assert_eq!(look(&data, None, &names, None).err(), Some(Error::NamesNeedKeys));
    assert_eq!(look(&keys.join("x"), None, &[], None).err(), Some(Error::NoData));
    // A merge takes the order away.
    let store = Store::threaded(Arc::new(RocksBackend::open(&data).unwrap()), Durability::Synced);
    store.merge_all().await.unwrap();
    store.shutdown().await;
    drop(store);
    let merged = look(&data, Some(&keys), &[], None).unwrap();
    assert!(merged.rows.iter().all(|rows| rows.ordered == 0), "{merged}");
    let total = |seen: &Seen| seen.rows.iter().map(|rows| rows.sizes.iter().sum::<u64>()).sum::<u64>();
    assert_eq!((total(&seen), total(&merged)), (12, 12));
}
