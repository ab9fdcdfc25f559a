use std::{collections::HashMap, convert::Infallible};

use proptest::prelude::*;

use super::*;
use crate::{random::SeededRandom, seal::golden, store::Class};

fn context() -> Context {
    Context { partition: Partition { class: Class::Day, serial: 7 }, kind: RowKind::Window }
}

fn key() -> RowKey {
    RowKey::new(&Key::from_bytes([7; 32]))
}

/// Bytes zstd cannot shorten.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededRandom::new(5).fill(&mut bytes);
    bytes
}

fn seal(index: u64, plain: &[u8], primer: &Primer) -> Sealed {
    seal_entry(&key(), index, context(), &EntryHash([9; 32]), plain, primer, &SeededRandom::new(1)).unwrap()
}

fn open(
    rows: &HashMap<Address, Vec<u8>>,
    index: u64,
    primer: &Primer,
) -> Result<Option<Opened>, OpenError<Infallible>> {
    open_entry(&key(), index, context(), primer, &mut |address| Ok(rows.get(address).cloned()))
}

fn stored(sealed: &Sealed) -> HashMap<Address, Vec<u8>> {
    sealed.rows.iter().cloned().collect()
}

#[test]
fn rows_have_the_agreed_bytes() {
    let raw = seal(0, b"agreed", &Primer::empty());
    golden::check("row-v2-raw", &raw.rows[0].1);
    golden::check("row-v2-hash", &raw.hash.0);
    let primer = Primer::new(br#"{"content":{"algorithm":"m.megolm.v1.aes-sha2"},"type":"m.room.encrypted"}"#);
    let plain = br#"{"content":{"algorithm":"m.megolm.v1.aes-sha2","x":1},"type":"m.room.encrypted"}"#.repeat(13);
    golden::check("row-v2-primed", &seal(3, &plain, &primer).rows[0].1);
    golden::check("row-v1-address", &[key().address(0).0, key().address(1).0, key().address(u64::MAX).0].concat());
}

#[test]
fn every_size_around_a_boundary_comes_back_in_a_row_of_the_agreed_size() {
    for size in (10..=16).map(|bits| 1_usize << bits).chain([BODY + OVERHEAD, 2 * BODY + OVERHEAD]) {
        for length in [size - OVERHEAD - 1, size - OVERHEAD, size - OVERHEAD + 1] {
            let plain = noise(length);
            let sealed = seal(4, &plain, &Primer::empty());
            let total: usize = sealed.rows.iter().map(|row| row.1.len()).sum();
            assert!(sealed.rows.iter().all(|row| row.1.len().is_power_of_two() && row.1.len() >= SMALLEST));
            assert!(
                total >= length + OVERHEAD && (total == SMALLEST || total < 2 * (length + 3 * OVERHEAD) + SMALLEST)
            );
            let opened = open(&stored(&sealed), 4, &Primer::empty()).unwrap().unwrap();
            assert!(opened.plain == plain);
            assert_eq!((opened.previous, opened.hash, opened.next), (EntryHash([9; 32]), sealed.hash, sealed.next));
        }
    }
}

#[test]
fn a_fitting_row_is_exactly_its_size() {
    assert_eq!(seal(0, &noise(SMALLEST - OVERHEAD), &Primer::empty()).rows[0].1.len(), SMALLEST);
    assert_eq!(seal(0, &noise(SMALLEST - OVERHEAD + 1), &Primer::empty()).rows[0].1.len(), 2 * SMALLEST);
    assert_eq!(seal(0, &noise(BODY), &Primer::empty()).rows.len(), 1);
    assert_eq!(seal(0, &noise(BODY + 1), &Primer::empty()).rows.len(), 2);
}

#[test]
fn a_body_is_compressed_no_more_than_its_rows_become_smaller() {
    let event = |(number, noise): (usize, &[u8])| {
        let text: String = noise.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        format!(r#"{{"content":{{"body":"{text}"}},"depth":{number},"type":"m.room.message"}}"#)
    };
    let json = |events: usize| -> Vec<u8> {
        noise(events * 48).chunks(48).enumerate().map(event).collect::<String>().into_bytes()
    };
    let empty = Primer::empty();
    let (mut whole, mut light, mut small) = (0, 0, 0);
    for plain in (1..120).map(json).chain((1..80).map(|step| noise(step * 100))) {
        let packed = pack(&plain, &empty);
        let level = if plain.len() > MOST_SHORT { LONG_LIGHT_LEVEL } else { LIGHT_LEVEL };
        let forms = [level, LEVEL].map(|level| compress(&plain, &empty, level).unwrap());
        let least = forms.iter().map(Vec::len).chain([plain.len()]).map(room).min().unwrap();
        let took = packed.as_deref().map_or(room(plain.len()), |packed| room(packed.len()));
        assert!(took == least || forms[1].len() * 4 < forms[0].len() * 3, "{}", plain.len());
        match packed {
            None => whole += 1,
            Some(packed) if packed == forms[0] => light += 1,
            Some(packed) => {
                assert!(packed == forms[1] && room(packed.len()) < room(forms[0].len()));
                small += 1;
            }
        }
    }
    assert!(whole > 0 && light > 0 && small > 0, "{whole} {light} {small}");
}

#[test]
fn every_flipped_bit_is_refused() {
    let sealed = seal(0, b"something", &Primer::empty());
    let (address, row) = &sealed.rows[0];
    for bit in 0..row.len() * 8 {
        let mut row = row.clone();
        row[bit / 8] ^= 1 << (bit % 8);
        let rows = HashMap::from([(*address, row)]);
        assert!(matches!(open(&rows, 0, &Primer::empty()), Err(OpenError::Row(Error::Refused))), "bit {bit}");
    }
}

#[test]
fn a_row_opens_nowhere_else() {
    let sealed = seal(0, b"something", &Primer::empty());
    let row = sealed.rows[0].1.clone();
    let moved = HashMap::from([(key().address(1), row.clone())]);
    assert!(matches!(open(&moved, 1, &Primer::empty()), Err(OpenError::Row(Error::Refused))));
    let place = context().partition;
    let others = [
        Context { partition: place, kind: RowKind::Entry },
        Context { partition: Partition { class: Class::Hour, ..place }, kind: RowKind::Window },
        Context { partition: Partition { serial: 8, ..place }, kind: RowKind::Window },
    ];
    for other in others {
        let opened = open_entry::<Infallible>(&key(), 0, other, &Primer::empty(), &mut |_| Ok(Some(row.clone())));
        assert!(matches!(opened, Err(OpenError::Row(Error::Refused))));
    }
}

#[test]
fn an_unfinished_run_tells_where_to_go_on() {
    let sealed = seal(10, &noise(3 * BODY), &Primer::empty());
    for kept in 1..3_u8 {
        let mut rows: HashMap<_, _> = sealed.rows.iter().take(kept.into()).cloned().collect();
        let next = 10 + u64::from(kept);
        assert!(matches!(open(&rows, 10, &Primer::empty()), Err(OpenError::Truncated { next: at }) if at == next));
        rows.extend(stored(&seal(next, b"went on", &Primer::empty())));
        assert!(matches!(open(&rows, 10, &Primer::empty()), Err(OpenError::Truncated { next: at }) if at == next));
        assert_eq!(open(&rows, next, &Primer::empty()).unwrap().unwrap().plain, b"went on");
    }
    assert!(open(&HashMap::new(), 10, &Primer::empty()).unwrap().is_none());
}

#[test]
fn parts_of_two_lives_do_not_mix() {
    let one = seal(0, &noise(2 * BODY), &Primer::empty());
    let other =
        seal_entry(&key(), 0, context(), &EntryHash::NONE, &noise(2 * BODY), &Primer::empty(), &SeededRandom::new(2));
    let mut rows = stored(&one);
    let second = other.unwrap().rows.swap_remove(1);
    rows.insert(second.0, second.1);
    assert!(matches!(open(&rows, 0, &Primer::empty()), Err(OpenError::Row(Error::Malformed))));
    assert!(matches!(open(&rows, 1, &Primer::empty()), Err(OpenError::Row(Error::Malformed))));
}

#[test]
fn too_much_is_refused_before_it_is_unpacked() {
    let sealed = seal_entry(
        &key(),
        0,
        context(),
        &EntryHash::NONE,
        &vec![0; MOST_PLAIN + 1],
        &Primer::empty(),
        &SeededRandom::new(1),
    );
    assert_eq!(sealed.err(), Some(Error::TooLong));
    let mut bomb = Vec::with_capacity(1 << 20);
    PACKER
        .with_borrow_mut(|packer| packer.compress_using_dict(&mut bomb, &vec![0; MOST_PLAIN + 1], &[], LEVEL))
        .unwrap();
    assert!(bomb.len() < BODY);
    assert_eq!(unpack(bomb, COMPRESSED, &Primer::empty()), Err(Error::Malformed));
}

#[test]
fn an_ordinary_encrypted_event_fits_the_smallest_row() {
    let event = |text: &str| {
        format!(
            r#"{{"auth_events":["$a","$b","$c"],"content":{{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"{text}","device_id":"ABCDEFGHIJ","sender_key":"x","session_id":"0123456789012345678901234567890123456789012"}},"depth":7,"hashes":{{"sha256":"h"}},"origin_server_ts":1700000000000,"prev_events":["$d"],"room_id":"!r","sender":"@s","signatures":{{"example.org":{{"ed25519:1":"s"}}}},"type":"m.room.encrypted"}}"#
        )
    };
    let plain = event(&"Aq7+z/0Kb".repeat(60));
    let primer = Primer::new(event("").as_bytes());
    assert_eq!(seal(0, plain.as_bytes(), &primer).rows[0].1.len(), SMALLEST);
}

#[test]
fn no_more_is_compressed_than_the_smallest_row_needs() {
    let letters = |length| -> Vec<u8> { noise(length).iter().map(|byte| b'a' + byte % 32).collect() };
    let fits = letters(SMALL_BODY);
    assert_eq!(pack(&fits, &Primer::empty()), None);
    let primer = Primer::new(&letters(600));
    let light = letters(SMALL_BODY + 200);
    assert_eq!(pack(&light, &primer), compress(&light, &primer, LIGHT_LEVEL));
    for heavy in [letters(SMALL_BODY + 200), letters(2 * SMALLEST)] {
        assert_eq!(pack(&heavy, &Primer::empty()), compress(&heavy, &Primer::empty(), LEVEL));
    }
}

#[test]
fn addresses_show_neither_prefix_nor_order() {
    let key = key();
    let addresses: Vec<[u8; 16]> = (0..4096).map(|index| key.address(index).0).collect();
    let rising = addresses.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((1900..2200).contains(&rising), "{rising} of 4095 neighbours rise");
    let mut firsts = [0_u32; 256];
    for address in &addresses {
        firsts[usize::from(address[0])] += 1;
    }
    // Sixteen are expected per first byte; 50 is eight standard deviations away.
    assert!(firsts.iter().all(|&count| count < 50));
    for bit in 0..128 {
        let ones = addresses.iter().filter(|address| address[bit / 8] >> (bit % 8) & 1 == 1).count();
        assert!((1800..2300).contains(&ones), "bit {bit} is one in {ones} of 4096");
    }
}

#[test]
fn a_single_row_is_no_journal_entry() {
    let (key, random) = (Key::from_bytes([3; 32]), SeededRandom::new(1));
    let cx = Context { partition: Partition::FOREVER, kind: RowKind::Login };
    let address = Address([5; 16]);
    let row = seal_one(&key, cx, &address, b"a record", &random).unwrap();
    golden::check("row-v2-one", &row);
    assert_eq!(open_one(&key, cx, &address, row.clone()).unwrap(), b"a record");
    assert_eq!(open_one(&Key::from_bytes([4; 32]), cx, &address, row.clone()), Err(Error::Refused));
    assert_eq!(open_one(&key, cx, &Address([6; 16]), row), Err(Error::Refused));
    assert_eq!(seal_one(&key, cx, &address, &noise(BODY + 1), &random), Err(Error::TooLong));
}

proptest! {
    #[test]
    fn what_is_sealed_opens(plain in prop::collection::vec(0_u8..6, 0..200_000), primer in prop::collection::vec(0_u8..6, 0..5000), raw in any::<bool>()) {
        let plain = if raw { noise(plain.len()) } else { plain };
        let primer = Primer::new(&primer);
        let sealed = seal(1, &plain, &primer);
        let opened = open(&stored(&sealed), 1, &primer).unwrap().unwrap();
        prop_assert!(opened.plain == plain);
        prop_assert_eq!(opened.next, sealed.next);
    }

    #[test]
    fn arbitrary_bytes_open_nothing(row in prop::collection::vec(any::<u8>(), 0..3000)) {
        let opened = open_entry::<Infallible>(&key(), 0, context(), &Primer::empty(), &mut |_| Ok(Some(row.clone())));
        prop_assert!(matches!(opened, Err(OpenError::Row(Error::Refused))));
    }
}

/// Not a check but a figure: `cargo test --release --lib seal::row::tests::speed -- --ignored --nocapture`.
#[test]
#[ignore = "prints a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads a clock")]
fn speed() {
    let primer = Primer::new(&noise(MOST_PRIMER));
    let plain = [&noise(500)[..], &[b'a'; 300][..]].concat();
    let (key, random) = (key(), crate::random::OsRandom);
    let start = std::time::Instant::now();
    for index in 0..20_000 {
        seal_entry(&key, index, context(), &EntryHash::NONE, &plain, &primer, &random).unwrap();
    }
    let sealing = start.elapsed() / 20_000;
    let row = seal(0, &plain, &primer).rows.swap_remove(0).1;
    let start = std::time::Instant::now();
    for _ in 0..20_000 {
        open_entry::<Infallible>(&key, 0, context(), &primer, &mut |_| Ok(Some(row.clone()))).unwrap();
    }
    println!("sealing {sealing:?}, opening {:?}", start.elapsed() / 20_000);
}
