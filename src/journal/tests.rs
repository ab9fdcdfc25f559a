use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{keep::Keep, *};
use crate::{
    clock::{ManualClock, Timestamp},
    random::SeededRandom,
    seal::{
        derive::{keep_key, window_key},
        row::Primer,
        slots::{Change, MemoryMedium, SlotId, SlotKind},
    },
    store::{Backend, Batch, Class, MemoryBackend},
};

type Placed = Vec<(Position, Vec<u8>)>;

/// A ledger of texts by name.
#[derive(Clone, Default, PartialEq, Debug)]
struct Notes(BTreeMap<String, String>);

#[derive(Clone, Serialize, Deserialize)]
struct Note(String, Option<String>);

impl Ledger for Notes {
    type Change = Note;

    fn apply(&mut self, Note(name, text): Note) -> Result<(), Error> {
        match text {
            Some(text) => self.0.insert(name, text),
            None => self.0.remove(&name),
        };
        Ok(())
    }

    fn checkpoint(&self) -> Vec<Note> {
        self.0.iter().map(|(name, text)| Note(name.clone(), Some(text.clone()))).collect()
    }
}

/// A disk with one owner, and what must be in it.
struct Desk {
    backend: Arc<MemoryBackend>,
    medium: Arc<MemoryMedium>,
    random: Arc<SeededRandom>,
    journals: Journals,
    identity: Identity,
    partition: Partition,
    owner: Owner<Notes>,
    notes: Notes,
    entries: Placed,
}

async fn journals(backend: &Arc<MemoryBackend>, medium: &Arc<MemoryMedium>, random: &Arc<SeededRandom>) -> Journals {
    let store = Store::inline(Arc::clone(backend) as _);
    let slots = Slots::open(Arc::clone(medium) as _, store.clone(), Arc::clone(random) as _).await.unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
    let epochs = Epochs::new(slots.clone(), store.clone(), clock, Arc::clone(random) as _);
    Journals { store, slots, epochs, random: Arc::clone(random) as _, packs: Packs::default() }
}

impl Desk {
    async fn new(seed: u64) -> Self {
        let backend = Arc::new(MemoryBackend::new());
        let medium = Arc::new(MemoryMedium::with_fuse(backend.fuse()));
        let random = Arc::new(SeededRandom::new(seed));
        let journals = journals(&backend, &medium, &random).await;
        let partition = journals.epochs.current(Class::Month).await.unwrap();
        let (slot, key) = (SlotId::random(random.as_ref()), Key::random(random.as_ref()));
        let identity = Identity { kind: SlotKind::Room, slot, key };
        let mut batch = Batch::default();
        let (owner, change) = Owner::create(&journals, identity.clone(), Notes::default(), &mut batch).unwrap();
        journals.store.commit(batch).await.unwrap();
        journals.slots.commit(vec![change]).await.unwrap();
        let (notes, entries) = (Notes::default(), Vec::new());
        Self { backend, medium, random, journals, identity, partition, owner, notes, entries }
    }

    async fn commit(&mut self, batch: Batch) {
        self.journals.store.commit(batch).await.unwrap();
        self.owner.settle();
    }

    async fn note(&mut self, name: &str, text: Option<&str>) {
        let note = Note(name.to_owned(), text.map(ToOwned::to_owned));
        self.notes.apply(note.clone()).unwrap();
        let mut batch = Batch::default();
        self.owner.change(&self.journals, vec![note], &mut batch).unwrap();
        self.commit(batch).await;
    }

    async fn append(&mut self, plain: &[u8]) {
        let mut batch = Batch::default();
        let at = self.owner.append(
            &self.journals,
            Stream::Timeline,
            self.partition,
            |_| Primer::default(),
            plain,
            &mut batch,
        );
        self.entries.push((at.unwrap(), plain.to_vec()));
        self.commit(batch).await;
    }

    async fn pack(&mut self) {
        let mut batch = Batch::default();
        let mut after = Batch::default();
        self.owner.pack(&self.journals, &mut batch, &mut after).unwrap();
        self.commit(batch).await;
        self.commit(after).await;
    }

    async fn adopt(&mut self, prepared: Prepared, batch: Batch) {
        self.journals.store.commit(batch).await.unwrap();
        self.journals.slots.commit(vec![prepared.change(&self.identity)]).await.unwrap();
        let mut after = Batch::default();
        self.owner.adopt(&self.journals, prepared, &mut after);
        self.identity = self.owner.identity().clone();
        self.journals.store.commit(after).await.unwrap();
    }

    async fn renew(&mut self, key: Option<Key>) {
        let mut batch = Batch::default();
        let prepared = self.owner.prepare(&self.journals, key, &mut batch).unwrap();
        self.adopt(prepared, batch).await;
    }

    /// A generation that is written and never committed.
    async fn renew_in_vain(&mut self) {
        let mut batch = Batch::default();
        drop(self.owner.prepare(&self.journals, None, &mut batch).unwrap());
        self.journals.store.commit(batch).await.unwrap();
        self.reboot().await;
    }

    async fn reboot(&mut self) {
        self.backend.crash(self.random.as_ref());
        self.medium.crash(self.random.as_ref());
        self.journals = journals(&self.backend, &self.medium, &self.random).await;
        let (owner, entries) = self.load().unwrap();
        assert_eq!(owner.ledger, self.notes);
        assert!(entries == self.entries, "every entry, once, in order");
        self.owner = owner;
    }

    fn load(&self) -> Result<(Owner<Notes>, Placed), Error> {
        let owner = Owner::load(&self.journals, self.identity.clone(), Notes::default())?;
        let (mut owner, mut entries) = (owner.unwrap(), Vec::new());
        owner.load_windows(&self.journals, &mut |_, position, plain| {
            entries.push((position, plain));
            Ok(())
        })?;
        Ok((owner, entries))
    }

    fn value(&self) -> Key {
        self.journals.slots.value(&self.identity.slot).unwrap()
    }

    /// The lines of the keep, as text.
    fn keep(&self) -> String {
        let (_, entries) = Keep::load(&self.journals, &self.value(), &self.identity.key).unwrap().unwrap();
        entries.iter().map(|entry| String::from_utf8_lossy(entry).into_owned()).collect()
    }

    /// Takes one row of a journal off the disk.
    fn lose(&self, partition: Partition, key: &Key, index: u64) {
        let dead = HashSet::from([RowKey::new(key).address(index)]);
        self.backend.merge(Instance::Soup, partition, &dead).unwrap();
    }

    fn window_key(&self) -> Key {
        let keep = self.keep();
        let (_, behind) = keep.split_once(r#""k":""#).unwrap();
        let (secret, _) = behind.split_once('"').unwrap();
        let secret: Key = serde_json::from_str(&format!("\"{secret}\"")).unwrap();
        window_key(&self.journals.slots.epoch_key(self.partition).unwrap(), &secret)
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Note(u8, Option<u16>),
    Append(usize),
    Many,
    Pack,
    Renew,
    Rekey,
    RenewInVain,
    Reboot,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0_u8..6, proptest::option::of(any::<u16>())).prop_map(|(name, text)| Deed::Note(name, text)),
        6 => (0_usize..3000).prop_map(Deed::Append),
        1 => (60_000_usize..200_000).prop_map(Deed::Append),
        1 => Just(Deed::Many),
        1 => Just(Deed::Pack),
        1 => Just(Deed::Renew),
        1 => Just(Deed::Rekey),
        1 => Just(Deed::RenewInVain),
        2 => Just(Deed::Reboot),
    ];
    proptest::collection::vec(deed, 1..24)
}

fn noise(length: usize, random: &dyn Random) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

async fn live(deeds: Vec<Deed>) {
    let mut desk = Desk::new(1).await;
    for deed in deeds {
        match deed {
            Deed::Note(name, text) => {
                let text = text.map(|text| text.to_string().repeat(30));
                desk.note(&name.to_string(), text.as_deref()).await;
            }
            Deed::Append(length) => desk.append(&noise(length, desk.random.clone().as_ref())).await,
            Deed::Many => {
                for count in 0..70_u32 {
                    desk.append(&count.to_le_bytes()).await;
                }
            }
            Deed::Pack => desk.pack().await,
            Deed::Renew => desk.renew(None).await,
            Deed::Rekey => {
                let key = Key::random(desk.random.as_ref());
                desk.renew(Some(key)).await;
            }
            Deed::RenewInVain => desk.renew_in_vain().await,
            Deed::Reboot => desk.reboot().await,
        }
    }
    desk.reboot().await;
    for (_, _, _, row) in desk.backend.ever().into_iter().filter(|(instance, ..)| *instance == Instance::Soup) {
        assert!(row.len().is_power_of_two() && (1024..=65536).contains(&row.len()), "a row of {} bytes", row.len());
    }
    for (position, plain) in &desk.entries {
        assert_eq!(desk.owner.fetch(&desk.journals, *position).unwrap().as_ref(), Some(plain));
    }
    // What lasts does not depend on what dies.
    desk.journals.slots.commit(vec![Change::DropEpoch { partition: desk.partition }]).await.unwrap();
    desk.journals.store.drop_partition(Instance::Soup, desk.partition).await.unwrap();
    let (owner, entries) = desk.load().unwrap();
    assert!(owner.ledger == desk.notes && entries.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_an_owner_is_read_back_whole(deeds in deeds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(deeds));
    }
}

#[tokio::test]
async fn what_a_generation_supersedes_opens_no_more() {
    let mut desk = Desk::new(2).await;
    desk.note("a", Some("superseded")).await;
    desk.note("a", Some("current")).await;
    let (old, key) = (desk.value(), desk.identity.key.clone());
    desk.renew(None).await;
    assert!(desk.value() != old && opens(&desk.journals, &desk.value(), &key).unwrap());
    assert!(desk.keep().contains("current") && !desk.keep().contains("superseded"));
    let next = Key::random(desk.random.as_ref());
    desk.renew(Some(next.clone())).await;
    assert!(
        !opens(&desk.journals, &desk.value(), &key).unwrap() && opens(&desk.journals, &desk.value(), &next).unwrap()
    );
}

#[tokio::test]
async fn two_writers_never_both_get_an_index() {
    let mut desk = Desk::new(3).await;
    desk.note("a", Some("1")).await;
    desk.append(b"one").await;
    let (mut twin, _) = desk.load().unwrap();
    for stream in [false, true] {
        let mut batches = [Batch::default(), Batch::default()];
        for (owner, batch) in [&mut desk.owner, &mut twin].into_iter().zip(&mut batches) {
            if stream {
                let done =
                    owner.append(&desk.journals, Stream::Timeline, desk.partition, |_| Primer::default(), b"x", batch);
                assert!(done.is_ok());
            } else {
                owner.change(&desk.journals, vec![Note("b".to_owned(), None)], batch).unwrap();
            }
        }
        let [first, second] = batches;
        assert!(desk.journals.store.commit(first).await.is_ok());
        assert_eq!(desk.journals.store.commit(second).await, Err(crate::store::Error::Conflict));
        (twin, _) = desk.load().unwrap();
        (desk.owner, _) = desk.load().unwrap();
    }
}

#[tokio::test]
async fn entries_are_compressed_after_the_checkpoint_also_when_it_lies_on_the_disk_alone() {
    let mut desk = Desk::new(5).await;
    let long: String = noise(1400, desk.random.as_ref()).iter().map(|byte| char::from(b'#' + byte % 56)).collect();
    desk.note("long", Some(&long)).await;
    desk.renew(None).await;
    let row = |desk: &Desk, index| {
        let key = RowKey::new(&keep_key(&desk.value(), &desk.identity.key));
        desk.journals.store.get(Instance::Soup, Partition::FOREVER, &key.address(index)).unwrap().unwrap().len()
    };
    assert_eq!(row(&desk, 0), 2048);
    for index in 1..4 {
        desk.note(&format!("again {index}"), Some(&long)).await;
        assert_eq!(row(&desk, index), 1024, "entry {index}");
        desk.reboot().await;
    }
}

#[tokio::test]
async fn what_is_left_in_a_closed_window_becomes_one_pack() {
    let mut desk = Desk::new(6).await;
    for number in 0..20_u8 {
        desk.append(&[number; 40]).await;
    }
    assert!(!desk.owner.wants_pack());
    let first = RowKey::new(&desk.window_key()).address(0);
    desk.renew(None).await;
    assert!(desk.owner.wants_pack());
    desk.pack().await;
    assert!(!desk.owner.wants_pack());
    desk.journals.store.merge_all().await.unwrap();
    assert!(desk.journals.store.get(Instance::Soup, desk.partition, &first).unwrap().is_none());
    desk.reboot().await;
    // A few are left as they are.
    for number in 0..7 {
        desk.append(&[number; 40]).await;
    }
    desk.renew(None).await;
    assert!(!desk.owner.wants_pack());
    desk.reboot().await;
}

#[tokio::test]
async fn a_hole_stops_an_owner_and_a_lost_tail_does_not() {
    for index in 1..=5 {
        let mut desk = Desk::new(4).await;
        for count in 0..5 {
            desk.note(&count.to_string(), Some("x")).await;
        }
        desk.lose(Partition::FOREVER, &keep_key(&desk.value(), &desk.identity.key), index);
        match desk.load() {
            Ok((owner, _)) => assert!(index == 5 && owner.ledger.0.len() == 4),
            Err(error) => assert!(index < 5 && error == Error::Hole),
        }
    }
    for index in 0..5 {
        let mut desk = Desk::new(5).await;
        for count in 0..5 {
            desk.append(&[count]).await;
        }
        desk.lose(desk.partition, &desk.window_key(), index);
        match desk.load() {
            Ok((_, entries)) => assert!(index == 4 && entries.len() == 4),
            Err(error) => assert!(index < 4 && error == Error::Hole),
        }
    }
}

#[tokio::test]
async fn rows_that_a_checkpoint_notes_may_not_be_missing() {
    let mut desk = Desk::new(6).await;
    desk.append(b"one").await;
    desk.append(b"two").await;
    desk.renew(None).await;
    desk.lose(desk.partition, &desk.window_key(), 1);
    assert_eq!(desk.load().err(), Some(Error::Broken));
}

#[tokio::test]
async fn a_rewritten_window_keeps_its_places_and_loses_its_text_with_its_secret() {
    let mut desk = Desk::new(7).await;
    for count in 0..150_u8 {
        desk.append(&[count; 300]).await;
        if count == 80 {
            desk.pack().await;
        }
    }
    let old = desk.window_key();
    let mut batch = Batch::default();
    let mut rewrite =
        |_: Stream, _: Position, plain: &[u8]| (plain[0] == 70 || plain[0] == 149).then(|| b"gone".to_vec());
    let prepared = desk.owner.prepare_rewrite(&desk.journals, None, &mut rewrite, &mut batch).unwrap();
    desk.adopt(prepared, batch).await;
    for (_, plain) in desk.entries.iter_mut().filter(|(_, plain)| plain[0] == 70 || plain[0] == 149) {
        *plain = b"gone".to_vec();
    }
    assert!(desk.window_key() != old, "the old secret is in no living keep");
    desk.append(b"behind").await;
    desk.reboot().await;
    for (position, plain) in &desk.entries {
        assert_eq!(desk.owner.fetch(&desk.journals, *position).unwrap().as_ref(), Some(plain));
    }
}

#[tokio::test]
async fn a_rewrite_that_was_never_committed_costs_nothing_in_a_merge() {
    let mut desk = Desk::new(8).await;
    desk.append(b"kept").await;
    let mut batch = Batch::default();
    let mut rewrite = |_: Stream, _: Position, _: &[u8]| Some(b"gone".to_vec());
    let prepared = desk.owner.prepare_rewrite(&desk.journals, None, &mut rewrite, &mut batch).unwrap();
    desk.commit(batch).await;
    drop(prepared);
    desk.journals.store.merge_all().await.unwrap();
    desk.reboot().await;
    let (position, plain) = &desk.entries[0];
    assert_eq!(desk.owner.fetch(&desk.journals, *position).unwrap().as_ref(), Some(plain));
}

#[tokio::test]
async fn a_reader_beside_the_writer_finds_entries_before_and_after_they_are_packed() {
    let mut desk = Desk::new(9).await;
    for count in 0..100_u8 {
        desk.append(&[count; 200]).await;
    }
    let (arranged, before) = (desk.owner.arranged(), desk.owner.shelf(Stream::Timeline));
    desk.pack().await;
    assert!(desk.owner.arranged() > arranged, "whoever reads has to look again");
    let after = desk.owner.shelf(Stream::Timeline);
    for (position, plain) in &desk.entries {
        assert_eq!(before.fetch(&desk.journals, *position).unwrap().as_ref(), Some(plain), "until the next merge");
        assert_eq!(after.fetch(&desk.journals, *position).unwrap().as_ref(), Some(plain));
    }
    assert!(after.fetch(&desk.journals, Position::new(99, 0)).unwrap().is_none());
}
