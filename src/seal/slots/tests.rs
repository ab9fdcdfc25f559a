use super::*;
use crate::{
    random::SeededRandom,
    seal::golden,
    store::{Durability, Fuse, MemoryBackend},
};

const TEAR: u64 = 2;
const DAY: Partition = Partition { class: Class::Day, serial: 3 };
const WEEK: Partition = Partition { class: Class::Week, serial: 4 };

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

fn set(id: u8, value: u8) -> Change {
    Change::Set { id: SlotId([id; 16]), kind: SlotKind::Room, value: key(value), epoch: None }
}

struct Machine {
    fuse: Arc<Fuse>,
    medium: Arc<MemoryMedium>,
    store: Store,
}

impl Machine {
    fn new() -> Self {
        let fuse = Arc::new(Fuse::new());
        Self {
            medium: Arc::new(MemoryMedium::with_fuse(fuse.clone())),
            store: Store::inline(Arc::new(MemoryBackend::with_fuse(fuse.clone()))),
            fuse,
        }
    }

    async fn open(&self, seed: u64) -> Result<Slots, Error> {
        Slots::open(self.medium.clone(), self.store.clone(), Arc::new(SeededRandom::new(seed))).await
    }
}

/// Every combination of fates for `count` writes in flight.
fn fates(count: usize) -> Vec<Vec<Fate>> {
    (0..count).fold(vec![Vec::new()], |all, _| {
        all.iter()
            .flat_map(|fates| [Fate::Old, Fate::New, Fate::Torn].map(|fate| [&fates[..], &[fate]].concat()))
            .collect()
    })
}

#[test]
fn sectors_and_images_have_the_agreed_bytes() {
    let random = SeededRandom::new(1);
    let mut table = Table::new(key(1));
    table.apply(vec![
        set(2, 3),
        Change::OpenEpoch { partition: DAY, key: key(4), end: Timestamp(1_700_000_000_000) },
        Change::Set { id: SlotId([5; 16]), kind: SlotKind::Token, value: key(6), epoch: Some(DAY) },
    ]);
    let image = format::seal_image(&table, &key(7), 9, &random).unwrap();
    let root = Root::over(key(7), 9, &image).unwrap();
    golden::check("slot-image-v1", &image);
    golden::check("root-v1", &root.sector());
    assert!(format::open_image(&Root::read(&root.sector()).unwrap(), &image).unwrap() == table);
}

#[tokio::test]
async fn a_table_comes_back_as_it_was() {
    let machine = Machine::new();
    let slots = machine.open(1).await.unwrap();
    let end = Timestamp(77);
    slots.commit(vec![set(1, 1), Change::OpenEpoch { partition: DAY, key: key(2), end }]).await.unwrap();
    let token = Change::Set { id: SlotId([2; 16]), kind: SlotKind::Token, value: key(9), epoch: Some(DAY) };
    slots.commit(vec![token]).await.unwrap();
    let again = machine.open(2).await.unwrap();
    assert!(again.server_key() == slots.server_key() && again.value(&SlotId([1; 16])) == Some(key(1)));
    assert!(again.epoch_key(DAY) == Some(key(2)) && again.epochs() == [(DAY, end)]);
    assert_eq!((again.generation(), again.len()), (3, 4));
    // A second opening corrects the end and keeps the key; dropping takes the tokens along.
    again.commit(vec![Change::OpenEpoch { partition: DAY, key: key(3), end: Timestamp(78) }]).await.unwrap();
    assert!(again.epoch_key(DAY) == Some(key(2)) && again.epochs() == [(DAY, Timestamp(78))]);
    // One that is provisional comes back as such until its end is set.
    again.commit(vec![Change::Provisional { partition: WEEK, key: key(5), end: Timestamp(9) }]).await.unwrap();
    let again = machine.open(3).await.unwrap();
    assert!(again.provisional() == [WEEK] && again.epoch_key(WEEK) == Some(key(5)));
    again.commit(vec![Change::OpenEpoch { partition: WEEK, key: key(6), end: Timestamp(8) }]).await.unwrap();
    let again = machine.open(4).await.unwrap();
    assert!(again.provisional().is_empty() && again.epoch_key(WEEK) == Some(key(5)));
    assert!(again.epochs() == [(DAY, Timestamp(78)), (WEEK, Timestamp(8))]);
    again.commit(vec![Change::DropEpoch { partition: DAY }]).await.unwrap();
    assert!(again.epoch_key(DAY).is_none() && !again.contains(&SlotId([2; 16])) && again.contains(&SlotId([1; 16])));
}

#[tokio::test]
async fn a_commit_cut_anywhere_leaves_the_old_table_or_the_new_one_and_stays_there() {
    let commit_steps = {
        let machine = Machine::new();
        let slots = machine.open(1).await.unwrap();
        let before = machine.fuse.count();
        slots.commit(vec![set(1, 1)]).await.unwrap();
        machine.fuse.count() - before
    };
    for repair in [false, true] {
        let mut cuts = 0;
        for step in 0.. {
            let mut reached = false;
            // How many writes are in flight is known only after the cut: at most two.
            for fates in fates(2) {
                let machine = Machine::new();
                let slots = machine.open(1).await.unwrap();
                slots.commit(vec![set(1, 1), set(2, 1)]).await.unwrap();
                if repair {
                    // The start that repairs is cut as well: the commit before it stops between the two root sectors.
                    machine.fuse.cut_after(commit_steps - 1);
                    assert!(slots.commit(vec![set(1, 2), set(2, 2)]).await.is_err());
                    // With this seed the tear lands between the root key and the checksum.
                    machine.medium.crash_with(&SeededRandom::new(TEAR), &mut |_| Fate::Torn);
                    let sectors = machine.medium.sectors();
                    assert!(Root::read(&sectors[0]).is_some() && Root::read(&sectors[1]).is_none());
                    machine.fuse.reset();
                }
                machine.fuse.cut_after(step);
                let done = if repair {
                    machine.open(3).await.map(drop)
                } else {
                    slots.commit(vec![set(1, 2), set(2, 2)]).await
                };
                reached |= machine.fuse.blown();
                cuts += usize::from(machine.fuse.blown());
                machine.medium.crash_with(&SeededRandom::new(step), &mut |number| fates[number]);
                machine.fuse.reset();
                let after = machine.open(4).await.unwrap();
                let (one, two) = (after.value(&SlotId([1; 16])).unwrap(), after.value(&SlotId([2; 16])).unwrap());
                assert!(one == two && (one == key(1) || one == key(2)), "a mixture after step {step}");
                assert!(done.is_err() || one == key(2), "back to the old table after step {step}");
                let sectors = machine.medium.sectors();
                assert!(sectors[0] == sectors[1], "two roots after step {step}");
                assert!(machine.open(5).await.unwrap().value(&SlotId([1; 16])) == Some(one), "moved after step {step}");
            }
            if !reached {
                break;
            }
        }
        assert!(cuts >= 9 * 3, "the cut hardly ever fell into the work: {cuts}");
    }
}

#[tokio::test]
async fn a_first_start_cut_anywhere_is_a_first_start_again() {
    for step in 0.. {
        let mut reached = false;
        for fates in fates(2) {
            let machine = Machine::new();
            machine.fuse.cut_after(step);
            let opened = machine.open(1).await;
            reached |= opened.is_err();
            machine.medium.crash_with(&SeededRandom::new(step), &mut |number| fates[number]);
            machine.fuse.reset();
            let again = machine.open(2).await.unwrap();
            assert!(opened.is_err() || again.generation() == 1);
            again.commit(vec![set(1, 1)]).await.unwrap();
            assert!(machine.open(3).await.unwrap().contains(&SlotId([1; 16])));
        }
        if !reached {
            break;
        }
    }
}

#[tokio::test]
async fn after_a_commit_nothing_on_the_medium_opens_the_table_before() {
    let machine = Machine::new();
    let slots = machine.open(1).await.unwrap();
    slots.commit(vec![set(1, 1)]).await.unwrap();
    let before = Root::read(&machine.medium.sectors()[0]).unwrap();
    slots.commit(vec![set(1, 2)]).await.unwrap();
    let after = machine.medium.sectors();
    assert_eq!(machine.medium.in_flight(), 0);
    let opened = |root: &Root| machine.medium.ever().iter().filter_map(|image| format::open_image(root, image)).count();
    assert_eq!(opened(&before), 2, "the old root would open the old image");
    for sector in &after {
        let root = Root::read(sector).unwrap();
        assert_eq!(root.generation, before.generation + 1);
        assert_eq!(opened(&root), 2);
        assert!(
            !sector.windows(32).any(|window| before.sector()[56..88] == *window),
            "the old root key is still there"
        );
    }
}

#[tokio::test]
async fn images_without_a_root_are_lost_and_one_bad_copy_is_not() {
    let machine = Machine::new();
    machine.open(1).await.unwrap();
    machine.medium.write_image(1, 100, &[0; 50]).unwrap();
    assert!(machine.open(2).await.is_ok(), "the second copy serves");
    for which in 0..2 {
        machine.medium.write_sector(which, &[7; SECTOR]).unwrap();
        assert_eq!(machine.open(3).await.is_ok(), which == 0);
        if which == 0 {
            machine.medium.write_sector(which, &[7; SECTOR]).unwrap();
        }
    }
    assert_eq!(machine.open(4).await.err(), Some(Error::Lost));
}

#[tokio::test]
async fn commits_that_wait_share_an_image() {
    let mut machine = Machine::new();
    let backend = Arc::new(MemoryBackend::with_fuse(machine.fuse.clone()));
    machine.store = Store::threaded(backend, Durability::Synced);
    let slots = machine.open(1).await.unwrap();
    let commits: Vec<_> = (0..20)
        .map(|id| {
            let slots = slots.clone();
            tokio::spawn(async move { slots.commit(vec![set(id, id)]).await })
        })
        .collect();
    for commit in commits {
        commit.await.unwrap().unwrap();
    }
    assert_eq!(slots.len(), 21);
    assert!(slots.generation() < 21, "{} images for 20 commits", slots.generation() - 1);
    machine.fuse.cut_after(3);
    assert!(slots.commit(vec![set(1, 9)]).await.is_err());
    machine.fuse.reset();
    assert!(slots.commit(vec![set(1, 9)]).await.is_err(), "a table whose medium is unknown takes no commit");
}

#[tokio::test]
async fn key_files_are_private_and_locked() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let keys = place.path().join("keys");
    let store = Machine::new().store;
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(1));
    let medium = Arc::new(FileMedium::open(&keys).unwrap());
    assert_eq!(FileMedium::open(&keys).err(), Some(Error::InUse));
    let slots = Slots::open(medium, store.clone(), random.clone()).await.unwrap();
    slots.commit(vec![set(1, 1)]).await.unwrap();
    drop(slots);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&keys), 0o700);
    for file in std::fs::read_dir(&keys).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    let again = Slots::open(Arc::new(FileMedium::open(&keys).unwrap()), store, random).await.unwrap();
    assert!(again.value(&SlotId([1; 16])) == Some(key(1)));
}
