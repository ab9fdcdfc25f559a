//! Backups of real directories: what either half gives, what a cut leaves, and what is restored.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::{
    clock::{ManualClock, Timestamp},
    journal::{Journals, Packs},
    random::{Random, SeededRandom},
    seal::{
        epochs::Epochs,
        slots::{Change, FileMedium, SlotId, SlotKind, Slots},
    },
    secret::Key,
    store::{Address, Batch, Class, Durability, Instance, Partition, RocksBackend, Store},
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const HOUR: Duration = Duration::from_hours(1);

struct Server {
    clock: Arc<ManualClock>,
    journals: Journals,
    backups: Backups,
}

async fn start(data: &std::path::Path, keys: &std::path::Path) -> Server {
    let clock = Arc::new(ManualClock::at(NOW));
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(7));
    fs::create_dir_all(data).unwrap();
    let store = Store::threaded(Arc::new(RocksBackend::open(data).unwrap()), Durability::Synced);
    let medium = Arc::new(FileMedium::open(keys).unwrap());
    let slots = Slots::open(medium, store.clone(), Arc::clone(&random)).await.unwrap();
    let epochs = Epochs::new(slots.clone(), store.clone(), Arc::clone(&clock) as _, Arc::clone(&random));
    let journals = Journals { store, slots, epochs, random, packs: Packs::default() };
    Server { clock, journals, backups: Backups::new(data.to_owned(), keys.to_owned()) }
}

impl Server {
    async fn put(&self, partition: Partition, number: u8) {
        let mut batch = Batch::new();
        batch.put(Instance::Soup, partition, Address([number; 16]), vec![number; 1000]);
        self.journals.store.commit(batch).await.unwrap();
    }

    fn has(&self, partition: Partition, number: u8) -> bool {
        let found = self.journals.store.get(Instance::Soup, partition, &Address([number; 16])).unwrap();
        found.inspect(|row| assert_eq!(*row, vec![number; 1000])).is_some()
    }

    async fn set(&self, number: u8) {
        let value = Key::from_bytes([number; 32]);
        let change = Change::Set { id: SlotId([number; 16]), kind: SlotKind::Room, value, epoch: None };
        self.journals.slots.commit(vec![change]).await.unwrap();
    }

    async fn back_up(&self, data: PathBuf, keys: PathBuf) -> Result<Made, Error> {
        self.backups.make(&self.journals, Arc::clone(&self.clock) as _, &Places { data, keys }).await
    }
}

/// A server with a row and a slot each from before and after a backup, and media.
async fn scene(directory: &TempDir) -> (Server, Partition, Made) {
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("data/media/2-1")).unwrap();
    fs::write(at("data/media/2-1/0"), vec![9; 3_000_000]).unwrap();
    let server = start(&at("data"), &at("keys")).await;
    let hour = server.journals.epochs.current(Class::Hour).await.unwrap();
    server.put(Partition::FOREVER, 1).await;
    server.put(hour, 1).await;
    server.set(1).await;
    let made = server.back_up(at("copy"), at("copy.keys")).await.unwrap();
    server.put(Partition::FOREVER, 2).await;
    server.set(2).await;
    (server, hour, made)
}

fn wanted(directory: &TempDir) -> Wanted {
    let at = |name: &str| directory.path().join(name);
    Wanted { data: at("copy"), keys: at("copy.keys"), into: at("new"), keys_into: at("new/keys"), damaged: false }
}

#[tokio::test]
async fn what_was_there_at_the_commit_is_restored_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let (server, hour, made) = scene(&directory).await;
    assert!(made.files > 3 && made.bytes > 3_000_000 && made.linked > 0);
    assert!(!directory.path().join("data").join(STAGE).exists());
    let restored = restore(&wanted(&directory), NOW, &SeededRandom::new(3)).unwrap();
    assert_eq!((restored.files, restored.damaged, restored.ended), (made.files, 0, 0));
    assert_eq!((restored.rooms, restored.incarnation), (1, 1));
    let new = start(&directory.path().join("new"), &directory.path().join("new/keys")).await;
    assert!(new.has(Partition::FOREVER, 1) && new.has(hour, 1) && !new.has(Partition::FOREVER, 2));
    assert!(new.journals.slots.contains(&SlotId([1; 16])) && !new.journals.slots.contains(&SlotId([2; 16])));
    assert_eq!(fs::read(directory.path().join("new/media/2-1/0")).unwrap(), vec![9; 3_000_000]);
    // The one that was backed up goes on, and neither sees what the other writes.
    server.put(hour, 3).await;
    new.put(hour, 4).await;
    assert!(server.has(Partition::FOREVER, 2) && !new.has(hour, 3) && !server.has(hour, 4));
    // A second life of the second life.
    let life = new.journals.slots.incarnation();
    assert!(life.number == 1 && life.since == NOW.floor_to(24 * HOUR));
    new.back_up(directory.path().join("copy2"), directory.path().join("copy2.keys")).await.unwrap();
    let again = Wanted {
        data: directory.path().join("copy2"),
        keys: directory.path().join("copy2.keys"),
        into: directory.path().join("third"),
        keys_into: directory.path().join("third-keys"),
        damaged: false,
    };
    assert_eq!(restore(&again, NOW, &SeededRandom::new(4)).unwrap().incarnation, 2);
}

#[tokio::test]
async fn what_has_expired_since_is_not_restored() {
    let directory = TempDir::new().unwrap();
    let (_server, hour, _) = scene(&directory).await;
    let later = NOW.after(3 * HOUR);
    assert_eq!(restore(&wanted(&directory), later, &SeededRandom::new(3)).unwrap().ended, 1);
    let new = start(&directory.path().join("new"), &directory.path().join("new/keys")).await;
    assert!(new.journals.slots.epoch_key(hour).is_none());
    new.clock.advance(3 * HOUR);
    new.journals.epochs.expire(later).await.unwrap();
    assert!(!new.has(hour, 1) && new.has(Partition::FOREVER, 1));
}

#[tokio::test]
async fn either_half_is_useless_alone_and_with_any_other_half() {
    let directory = TempDir::new().unwrap();
    let (server, _, _) = scene(&directory).await;
    let at = |name: &str| directory.path().join(name);
    server.back_up(at("other"), at("other.keys")).await.unwrap();
    for (data, keys) in [("copy", "other.keys"), ("other", "copy.keys")] {
        let wanted = Wanted { data: at(data), keys: at(keys), ..wanted(&directory) };
        assert_eq!(restore(&wanted, NOW, &SeededRandom::new(3)).err(), Some(Error::Strangers));
    }
    // Without its data no bytes of the key file are a key of anything: what it is sealed under lies there alone.
    let key = manifest::Manifest::read(&at("copy")).unwrap().key;
    let table = fs::read(at("copy.keys")).unwrap();
    assert!(slots::Frozen::open(&key, &table).is_some());
    let secret = *server.journals.slots.server_key().expose();
    for file in files::list(&at("copy")).unwrap() {
        let bytes = fs::read(at("copy").join(file)).unwrap();
        assert!(!bytes.windows(32).any(|window| window == secret));
    }
    assert!(!table.windows(32).any(|window| window == secret || window == [1; 32]));
    assert!(!table.windows(32).any(|window| window == key.expose()));
    assert!(!at("new").exists());
}

#[tokio::test]
async fn files_are_private_and_named_after_nobody() {
    let directory = TempDir::new().unwrap();
    let _scene = scene(&directory).await;
    let copy = directory.path().join("copy");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&copy), mode(&directory.path().join("copy.keys"))), (0o700, 0o600));
    for file in files::list(&copy).unwrap() {
        assert_eq!(mode(&copy.join(&file)), 0o600, "{}", file.display());
        for above in file.ancestors().skip(1) {
            assert_eq!(mode(&copy.join(above)), 0o700);
        }
    }
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_keeps_its_halves_apart() {
    let directory = TempDir::new().unwrap();
    let (server, _, _) = scene(&directory).await;
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/precious"), b"x").unwrap();
    fs::create_dir(at("apart")).unwrap();
    std::os::unix::fs::symlink(at("data"), at("link")).unwrap();
    for (data, keys, error) in [
        ("full", "k", Error::Taken),
        ("copy", "k", Error::Taken),
        ("d", "copy.keys", Error::Taken),
        ("d", "full", Error::Taken),
        ("apart", "apart/k", Error::NotApart),
        ("data/d", "k", Error::NotApart),
        ("link/d", "k", Error::NotApart),
        ("d", "data/k", Error::NotApart),
        ("d", "keys/k", Error::NotApart),
        ("d", "nowhere/k", Error::NoParent),
        ("nowhere/d", "k", Error::NoParent),
    ] {
        assert_eq!(server.back_up(at(data), at(keys)).await.err(), Some(error), "{data} {keys}");
        assert!(!at("d").exists() && !at("k").exists(), "{data} {keys}");
    }
    assert_eq!(fs::read(at("full/precious")).unwrap(), b"x");
    assert!(restore(&wanted(&directory), NOW, &SeededRandom::new(3)).is_ok(), "the first backup is untouched");
    let full = Wanted { into: at("full"), keys_into: at("k"), ..wanted(&directory) };
    assert_eq!(restore(&full, NOW, &SeededRandom::new(3)).err(), Some(Error::Taken));
    let full = Wanted { into: at("d"), keys_into: at("keys"), ..wanted(&directory) };
    assert_eq!(restore(&full, NOW, &SeededRandom::new(3)).err(), Some(Error::Taken));
    assert_eq!(fs::read(at("full/precious")).unwrap(), b"x");
}

#[tokio::test]
async fn a_backup_that_was_cut_off_anywhere_is_recognised() {
    let directory = TempDir::new().unwrap();
    let _scene = scene(&directory).await;
    let copy = directory.path().join("copy");
    let text = fs::read(copy.join(MANIFEST)).unwrap();
    let try_it = |damaged| {
        let wanted = Wanted { damaged, ..wanted(&directory) };
        restore(&wanted, NOW, &SeededRandom::new(3)).map(|restored| restored.damaged)
    };
    // The manifest is the last step: before it, whatever else is there or half there.
    fs::remove_file(copy.join(MANIFEST)).unwrap();
    assert_eq!(try_it(true), Err(Error::Unfinished));
    for length in [0, 1, text.len() / 2, text.len() - 1] {
        fs::write(copy.join(MANIFEST), &text[..length]).unwrap();
        assert_eq!(try_it(true), Err(Error::Unfinished), "{length} bytes");
    }
    fs::write(copy.join(MANIFEST), &text).unwrap();
    let keys = fs::read(directory.path().join("copy.keys")).unwrap();
    for length in [0, 100, keys.len() - 1] {
        fs::write(directory.path().join("copy.keys"), &keys[..length]).unwrap();
        assert_eq!(try_it(true), Err(Error::Strangers), "{length} bytes");
    }
    fs::write(directory.path().join("copy.keys"), &keys).unwrap();
    // What changes afterwards is damage, which an administrator may take.
    let segment = copy.join("media/2-1/0");
    let whole = fs::read(&segment).unwrap();
    for harm in [&whole[..10], &[whole.as_slice(), b"x"].concat(), &vec![8; whole.len()]] {
        fs::write(&segment, harm).unwrap();
        assert_eq!(try_it(false), Err(Error::Damaged(1)));
        assert!(!directory.path().join("new").exists());
    }
    fs::remove_file(&segment).unwrap();
    assert_eq!(try_it(false), Err(Error::Damaged(1)));
    assert_eq!(try_it(true), Ok(1));
}

#[tokio::test]
async fn a_restore_that_was_cut_off_is_begun_again() {
    let directory = TempDir::new().unwrap();
    let _scene = scene(&directory).await;
    let (new, first) = (directory.path().join("new"), wanted(&directory));
    restore(&first, NOW, &SeededRandom::new(3)).unwrap();
    assert_eq!(restore(&first, NOW, &SeededRandom::new(3)).err(), Some(Error::Taken), "a finished one stays");
    let all = files::list(&new).unwrap();
    // A cut leaves the mark and any part of the rest.
    for kept in 0..=all.len() {
        fs::write(new.join(UNFINISHED), b"").unwrap();
        for file in all.iter().skip(kept) {
            let _ = fs::remove_file(new.join(file));
        }
        let again = restore(&first, NOW, &SeededRandom::new(3)).unwrap();
        assert_eq!(again.incarnation, 1);
        assert_eq!(files::list(&new).unwrap().len(), all.len());
        assert!(!new.join(UNFINISHED).exists());
    }
    assert_eq!(restore(&first, Timestamp(NOW.0 - 1), &SeededRandom::new(3)).err(), Some(Error::Clock));
}

#[tokio::test]
async fn what_a_cut_leaves_beside_the_data_goes_at_the_next_start() {
    let directory = TempDir::new().unwrap();
    let stage = directory.path().join(STAGE);
    fs::create_dir_all(stage.join("soup")).unwrap();
    fs::write(stage.join("soup/000012.sst"), b"x").unwrap();
    Backups::clear(directory.path()).unwrap();
    assert!(!stage.exists());
    Backups::clear(directory.path()).unwrap();
}

#[tokio::test]
async fn backups_are_consistent_while_everything_is_written() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let server = Arc::new(start(&at("data"), &at("keys")).await);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    // A slot is set only after its row is there, and a row never follows its slot.
    let writer = tokio::spawn({
        let (server, stop) = (Arc::clone(&server), Arc::clone(&stop));
        async move {
            let mut number = 1;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && number < 250 {
                server.put(Partition::FOREVER, number).await;
                server.set(number).await;
                number += 1;
            }
        }
    });
    for round in 0..5 {
        let (data, keys) = (at(&format!("copy{round}")), at(&format!("copy{round}.keys")));
        server.back_up(data.clone(), keys.clone()).await.unwrap();
        let into = at(&format!("new{round}"));
        let wanted = Wanted { data, keys, keys_into: into.join("keys"), into: into.clone(), damaged: false };
        restore(&wanted, NOW, &SeededRandom::new(3)).unwrap();
        let new = start(&into, &into.join("keys")).await;
        let rows = (1..=250).take_while(|&number| new.has(Partition::FOREVER, number)).count();
        let slots = (1..=250).take_while(|&number| new.journals.slots.contains(&SlotId([number; 16]))).count();
        assert!(rows == slots || rows == slots + 1, "{rows} rows, {slots} slots");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.await.unwrap();
}
