use std::collections::HashSet;

use super::*;
use crate::{random::SeededRandom, seal::golden};

fn password(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

#[test]
fn stretching_has_the_agreed_bytes() {
    let kdf = Kdf::cheap(&SeededRandom::new(1));
    golden::check("stretch-v1", stretch(&password("correct horse"), &kdf).unwrap().expose());
    let json = serde_json::to_string(&kdf).unwrap();
    golden::check("kdf-v1", json.as_bytes());
    assert!(serde_json::from_str::<Kdf>(&json).unwrap() == kdf);
}

#[test]
fn every_byte_of_a_password_counts() {
    let kdf = Kdf::cheap(&SeededRandom::new(1));
    let one = stretch(&password("a password"), &kdf).unwrap();
    assert!(one != stretch(&password("a password "), &kdf).unwrap());
    // The same letter, composed and decomposed: bytes are taken as they are.
    assert!(stretch(&password("\u{e9}"), &kdf).unwrap() != stretch(&password("e\u{301}"), &kdf).unwrap());
    assert!(one != stretch(&password("a password"), &Kdf::cheap(&SeededRandom::new(2))).unwrap());
}

#[test]
fn bounds_hold() {
    let kdf = Kdf::cheap(&SeededRandom::new(1));
    assert!(stretch(&password(&"x".repeat(LONGEST)), &kdf).is_ok());
    assert_eq!(stretch(&password(&"x".repeat(LONGEST + 1)), &kdf).err(), Some(Error::TooLong));
    for odd in [
        Kdf { memory_kib: u32::MAX, ..kdf },
        Kdf { passes: 17, ..kdf },
        Kdf { lanes: 9, ..kdf },
        Kdf { passes: 0, ..kdf },
    ] {
        assert_eq!(stretch(&password("x"), &odd).err(), Some(Error::Parameters));
    }
    let random = SeededRandom::new(1);
    assert!(wrap(&key(1), &key(2), &key(3), &[0; MOST_PAYLOAD], &random).is_ok());
    assert_eq!(wrap(&key(1), &key(2), &key(3), &[0; MOST_PAYLOAD + 1], &random), Err(Error::TooLong));
}

#[test]
fn a_wrap_needs_all_three_keys_and_every_bit() {
    let wrapped = wrap(&key(1), &key(2), &key(3), b"payload", &SeededRandom::new(1)).unwrap();
    golden::check("wrap-v1", &wrapped);
    assert_eq!(unwrap(&key(1), &key(2), &key(3), &wrapped).as_deref(), Some(&b"payload"[..]));
    assert_eq!(unwrap(&key(9), &key(2), &key(3), &wrapped), None);
    assert_eq!(unwrap(&key(1), &key(9), &key(3), &wrapped), None);
    assert_eq!(unwrap(&key(1), &key(2), &key(9), &wrapped), None);
    assert_eq!(unwrap(&key(2), &key(1), &key(3), &wrapped), None);
    for bit in 0..wrapped.len() * 8 {
        let mut wrapped = wrapped.clone();
        wrapped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(unwrap(&key(1), &key(2), &key(3), &wrapped), None, "bit {bit}");
    }
    for length in 0..wrapped.len() {
        assert_eq!(unwrap(&key(1), &key(2), &key(3), &wrapped[..length]), None);
    }
}

#[test]
fn all_wraps_look_alike() {
    let random = SeededRandom::new(1);
    for length in [0, 1, 32, 300, MOST_PAYLOAD] {
        assert_eq!(wrap(&key(1), &key(2), &key(3), &vec![7; length], &random).unwrap().len(), WRAP);
    }
}

#[test]
fn strength_is_estimated_in_order_and_in_time() {
    assert!(guesses(&password("password")) < 1e4);
    assert!(guesses(&password(&passphrase(&SeededRandom::new(3)))) > 1e10);
    assert!(guesses(&password("")) == 0.0);
    // Long input is cut for the estimate; it must neither hang nor split a character.
    assert!(guesses(&password(&"\u{e9}\u{1f600}q".repeat(170))) > 0.0);
}

#[test]
fn the_word_list_is_what_a_passphrase_needs() {
    let words: Vec<&str> = WORDS.lines().collect();
    assert!(words.len() >= 2048);
    assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
    assert!(
        words.iter().all(|word| (4..=7).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase()))
    );
    assert_eq!(passphrase(&SeededRandom::new(1)).split('-').count(), PASSPHRASE_WORDS);
    assert_ne!(passphrase(&SeededRandom::new(1)), passphrase(&SeededRandom::new(2)));
}
