//! What lies on the disk. All of it is sealed, so these bytes come from somebody only who has the keys already; they are
//! held to the same standard.

use std::sync::OnceLock;

use parking_lot::Mutex;
use ruma::{RoomVersionId, owned_room_id, owned_server_name};

use super::{choice, line, seeded};
use crate::{
    accounts::{
        fuzzing::{read_letter, read_opening, read_record},
        vault::VaultLedger,
    },
    event::rules_of,
    house::HouseLedger,
    journal::{Ledger, Pack, replay},
    random::SeededRandom,
    rooms::ledger::RoomLedger,
    seal::{
        mail::{MailSecret, Receiver, Sender, mail_pair},
        password::{WRAP, fuzzing::wrap_around, unwrap},
        row::{Context, EntryHash, Primer, RowKey, RowKind, open_entry, open_one, seal_entry, unpack},
        slots::fuzzing::{read_root, read_table},
    },
    secret::Key,
    store::{Address, Partition},
};

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
            let version = RoomVersionId::V12;
            let rules = rules_of(&version).expect("a supported version");
            let room =
                RoomLedger::empty(owned_server_name!("localhost"), owned_room_id!("!r:localhost"), version, rules);
            replayed(room.clone(), room, data);
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

/// The plain text of a piece of mail.
pub(super) fn mail(data: &[u8]) {
    /// Making a pair takes longer than everything else here.
    static PAIR: OnceLock<(MailSecret, Receiver, Mutex<Sender>)> = OnceLock::new();
    let (secret, receiver, sender) = PAIR.get_or_init(|| {
        let random = SeededRandom::new(1);
        let (secret, public) = mail_pair(&random);
        let (encapsulation, sender) = Sender::new(&public, b"info", &random).expect("a good key");
        let receiver = Receiver::new(&secret, b"info", &encapsulation).expect("what was made for it");
        (secret, receiver, Mutex::new(sender))
    });
    if let Ok(receiver) = Receiver::new(secret, b"info", data) {
        assert!(receiver.open(b"a", data).is_none(), "nobody makes mail");
    }
    let sealed = sender.lock().seal(b"a", data, &SeededRandom::new(2));
    assert!(receiver.open(b"a", &sealed).as_deref() == Some(data) && receiver.open(b"b", &sealed).is_none());
    seeded(read_letter(data) == Some("out") && data.len() > 47);
}
