//! What lies on the disk. All of it is sealed, so these bytes come from somebody only who has the keys already; they are
//! held to the same standard.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{RoomVersionId, owned_room_id, owned_server_name};
use serde_json::Value;

use super::{choice, line, seeded};
use crate::{
    accounts::{
        fuzzing::{MailReader, read_opening, read_record, rewrite_row},
        vault::VaultLedger,
    },
    backup::fuzzing::paths as backup_paths,
    event::rules_of,
    house::HouseLedger,
    journal::{Ledger, Pack, replay},
    media::heads::read as read_head,
    random::SeededRandom,
    rooms::{ledger::RoomLedger, read_row},
    seal::{
        password::{WRAP, fuzzing::wrap_around, unwrap},
        row::{Context, EntryHash, Primer, RowKey, RowKind, open_entry, open_one, seal_entry, unpack},
        slots::{
            Frozen, MOST_FROZEN, MemoryMedium, SlotKind,
            fuzzing::{read_frozen, read_root, read_table},
        },
    },
    secret::Key,
    store::{Address, Fuse, Partition},
};

/// The bytes of a nonce.
const NONCE: usize = 24;

/// A row: refused as it is, unpacked as if it had been opened, and sealed and opened again.
pub(super) fn row(data: &[u8]) {
    let (flags, data) = choice(data);
    let (primer, body) = line(data);
    let (key, random) = (Key::from_bytes([7; 32]), SeededRandom::new(1));
    let context = Context { partition: Partition::FOREVER, kind: RowKind::Entry };
    assert!(open_one(&key, context, &Address([0; 16]), body.to_vec()).is_err(), "nobody makes a row");
    let primer = Primer::new(primer);
    if let Ok(plain) = unpack(body.to_vec(), u8::try_from(flags % 2).expect("small"), &primer) {
        seeded(flags % 2 == 1 && plain.len() == 5 && plain != b"lethe");
    }
    let keys = RowKey::new(&key);
    let sealed = seal_entry(&keys, 3, context, &EntryHash::NONE, body, &primer, &random).expect("it is short");
    let opened = open_entry(&keys, 3, context, &primer, &mut |address| {
        Ok::<_, ()>(sealed.rows.iter().find(|(at, _)| at == address).map(|(_, row)| row.clone()))
    });
    let opened = opened.ok().flatten().expect("what was sealed opens");
    assert!(opened.plain == body && opened.next == sealed.next && opened.hash == sealed.hash);
}

/// A pack.
pub(super) fn pack(data: &[u8]) {
    let Ok(pack) = Pack::decode(data) else { return };
    let written = pack.encode();
    assert!(data.starts_with(&written), "what was read is what is written");
    seeded(pack.entries.len() == 1 && pack.entries.iter().all(|(_, plain)| plain.len() == 1));
}

/// Entries of a keep, one a line, of a room, a vault or the house.
pub(super) fn keep(data: &[u8]) {
    let (owner, data) = choice(data);
    match owner % 3 {
        0 => {
            replayed(room(), room(), data);
        }
        1 => replayed(VaultLedger::default(), VaultLedger::default(), data),
        _ => replayed(HouseLedger::default(), HouseLedger::default(), data),
    }
}

/// What a checkpoint says is what there was, and says it again.
fn replayed<L: Ledger>(mut ledger: L, mut again: L, data: &[u8]) {
    let (mut windows, mut serial) = (Vec::new(), 1);
    for entry in data.split(|byte| *byte == b'\n') {
        if replay(entry, &mut ledger, &mut windows, &mut serial).is_err() {
            return;
        }
    }
    let checkpoint = ledger.checkpoint();
    let first = serde_json::to_string(&checkpoint).expect("JSON");
    for change in checkpoint {
        again.apply(change).expect("a checkpoint can be read");
    }
    assert_eq!(serde_json::to_string(&again.checkpoint()).expect("JSON"), first);
    seeded(serial > 4);
}

/// A root sector and the inside of a slot image.
pub(super) fn slots(data: &[u8]) {
    /// Version and count.
    const HEAD: usize = 5;
    const ENTRY: usize = 56;
    if let Some((_, length)) = read_root(data) {
        assert!(length <= crate::seal::slots::MOST_IMAGE);
    }
    let read = read_table(data);
    let count = data.get(1..HEAD).and_then(|count| count.try_into().ok()).map_or(0, u32::from_be_bytes);
    let needed = u64::from(count) * ENTRY as u64 + HEAD as u64;
    let has = data.len() as u64;
    assert!(read.is_none_or(|slots| slots as u64 <= u64::from(count) && needed <= has), "it has what it says it has");
    // The bug: a bound that is off by one lets the last entry end behind the end.
    seeded(count > 1 && data.first() == Some(&1) && needed == has + 1);
}

/// The inside of a wrap, and what it says; a login record.
pub(super) fn wrap(data: &[u8]) {
    let (slot, account, secret) = (Key::from_bytes([1; 32]), Key::from_bytes([2; 32]), Key::from_bytes([3; 32]));
    assert!(unwrap(&slot, &account, &secret, data).is_none(), "nobody makes a wrap");
    // As it is, and with the length in front that it has.
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes();
    for inside in [data, &[&length, data].concat()] {
        let inside = inside.get(..WRAP - 1 - 32 - 24 - 16).unwrap_or(inside);
        let wrapped = wrap_around(&slot, &account, &secret, inside);
        assert_eq!(wrapped.len(), WRAP);
        let opening = unwrap(&slot, &account, &secret, &wrapped).and_then(|payload| read_opening(&payload));
        // The bug: a device id is taken to be as long as those that are made here.
        seeded(opening.is_some_and(|device| device.as_str().len() != 10));
    }
    let _ = read_record(data);
}

/// A row of mail, and the plain text of a piece of it.
pub(super) fn mail(data: &[u8]) {
    static READER: OnceLock<Mutex<MailReader>> = OnceLock::new();
    let behind = READER.get_or_init(|| Mutex::new(MailReader::new())).lock().read(data);
    // The bug: a nonce is taken from behind the encapsulation without a look whether one is there.
    seeded(behind.is_some_and(|behind| behind < NONCE));
}

/// A row of a window: an event of a room, a message between devices, a backed-up key, a report or the head of a blob.
pub(super) fn window(data: &[u8]) {
    let (kind, data) = choice(data);
    match kind % 5 {
        0 => {
            let read = read_row(data, &room());
            // The bug: a row that says that it replaced an event is taken at its word, and read beyond its end.
            let parts: Vec<_> = data.split(|byte| *byte == 0).collect();
            let head: Value = serde_json::from_slice(parts[0].get(1..).unwrap_or_default()).unwrap_or_default();
            seeded(read.is_none() && parts.len() == 2 && head["r"].is_object());
        }
        4 => {
            let Some((shape, last)) = read_head(data) else { return };
            assert!(shape.length <= shape.size && last.checked_add(shape.size).is_some());
        }
        kind => {
            let Some(written) = rewrite_row(kind, data) else { return };
            assert_eq!(rewrite_row(kind, &written).as_ref(), Some(&written), "what was written is read");
        }
    }
}

/// A room without members.
fn room() -> RoomLedger {
    let version = RoomVersionId::V12;
    let rules = rules_of(&version).expect("a supported version");
    RoomLedger::empty(owned_server_name!("localhost"), owned_room_id!("!r:localhost"), version, rules)
}

/// A backup that comes from another place: what it says about itself, and its slot table.
pub(super) fn backup(data: &[u8]) {
    if let Some(paths) = backup_paths(data) {
        for path in &paths {
            let parts: Vec<_> = path.split('/').collect();
            assert!(
                !parts.contains(&"..") && !parts[0].is_empty() && parts.len() > 1,
                "a path leads out of the backup"
            );
        }
    }
    // The bug: of a path only the beginning is looked at.
    let escapes = |path: &str| path.split('/').skip(1).any(|part| ["", ".", ".."].contains(&part));
    seeded(serde_json::from_slice(data).is_ok_and(|manifest: Value| {
        let files = manifest["files"].as_array().map_or(&[][..], Vec::as_slice);
        files.iter().any(|file| file["path"].as_str().is_some_and(escapes) && file["length"].is_u64())
    }));
    let random = SeededRandom::new(1);
    let Some((mut frozen, at)) = read_frozen(data, &random) else { return };
    let ended = frozen.expire(at.after(Duration::from_hours(24)));
    assert!(ended <= MOST_FROZEN);
    if frozen.begin_incarnation(at).is_err() {
        return;
    }
    let medium = MemoryMedium::with_fuse(Arc::new(Fuse::new()));
    frozen.install(&medium, &random).expect("an empty medium");
    let installed = Frozen::peek(&medium).expect("what was installed is there");
    let facts = |frozen: &Frozen| {
        let kinds = [SlotKind::Account, SlotKind::Room, SlotKind::Token];
        (frozen.epochs(), frozen.incarnation(), kinds.map(|kind| frozen.count(kind)))
    };
    assert!(facts(&installed) == facts(&frozen), "what was installed is what was restored");
}
