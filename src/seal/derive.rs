//! Key derivation: every key that comes from another key is made here, and every use string stands in one list.
//!
//! Two constructions, both BLAKE3: `derive_key(use, key ‖ parts)` separates uses by their string and takes only parts of
//! widths fixed per use; `keyed_hash(slot or epoch key, label ‖ secret)` makes the keys that die with an erasable key. The
//! latter is sound as long as BLAKE3 is a PRF in either input: the second secret stands in the message.

use crate::{secret::Key, store::Address};

/// What a derived key is for. Each use has a string of its own and fixed widths for the parts beside the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// The key that turns a journal's indices into addresses.
    RowAddress,
    /// The key a row's value is sealed under.
    RowCipher,
    /// The key of a window's packs, from the window's key.
    Pack,
    /// The key of media blobs of an epoch; part: the 16-byte media id.
    Media,
    /// The cipher key of a blob's chunks, from its media key.
    MediaChunk,
    /// What opens a wrap; parts: account slot, secret (32 bytes each), beside the wrap's slot.
    Wrap,
    /// The cipher key of a wrap, from its wrap key.
    WrapCipher,
    /// The public commitment to a wrap's key.
    WrapCommitment,
    /// A token's secret, which stands where a password's stretched key stands.
    Token,
    /// What a token is looked up by.
    TokenHash,
    /// The cipher key of a slot image, from the root key R.
    SlotImage,
    /// The epoch key of the partition that never ends, from the server key.
    ForeverEpoch,
    /// Addresses of login records, by localpart.
    LoginAddress,
    /// Addresses of token rows, by token hash.
    TokenAddress,
    /// Addresses of the server's own records, by name.
    RecordAddress,
    /// Addresses of the doors of federated rooms, by room id.
    DoorAddress,
    /// Addresses of mail, by its tag and number.
    MailAddress,
    /// Addresses of media heads, by media id.
    MediaAddress,
    /// The cipher key of login records.
    LoginCipher,
    /// The cipher key of token rows.
    TokenCipher,
    /// The cipher key of the server's own records and doors.
    RecordCipher,
    /// The cipher key of mail rows outside their HPKE seal.
    MailCipher,
    /// The key of self-contained pagination and sync tokens.
    Pagination,
    /// The cipher key of what a client carries from one request to the next and cannot read.
    Ticket,
    /// The tags of names that are to be forgotten, by the slot their account had, twice.
    ErasedName,
    /// The cipher key of a backup's slot table, from the key that lies in the backup's data.
    BackupTable,
}

impl Usage {
    /// The use string and the widths of the parts: the one list of both.
    const fn rule(self) -> (&'static str, &'static [usize]) {
        match self {
            Self::RowAddress => ("lethe/v1/addr", &[]),
            Self::RowCipher => ("lethe/v1/enc", &[]),
            Self::Pack => ("lethe/v1/pack", &[]),
            Self::Media => ("lethe/v1/media", &[16]),
            Self::MediaChunk => ("lethe/v1/media-chunk", &[]),
            Self::Wrap => ("lethe/v1/wrap", &[32, 32]),
            Self::WrapCipher => ("lethe/v1/wrap-enc", &[]),
            Self::WrapCommitment => ("lethe/v1/wrap-commit", &[]),
            Self::Token => ("lethe/v1/token", &[]),
            Self::TokenHash => ("lethe/v1/token-hash", &[]),
            Self::SlotImage => ("lethe/v1/slot-image", &[]),
            Self::ForeverEpoch => ("lethe/v1/forever", &[]),
            Self::LoginAddress => ("lethe/v1/login-addr", &[]),
            Self::TokenAddress => ("lethe/v1/token-addr", &[]),
            Self::RecordAddress => ("lethe/v1/record-addr", &[]),
            Self::DoorAddress => ("lethe/v1/door-addr", &[]),
            Self::MailAddress => ("lethe/v1/mail-addr", &[]),
            Self::MediaAddress => ("lethe/v1/media-addr", &[]),
            Self::LoginCipher => ("lethe/v1/login-enc", &[]),
            Self::TokenCipher => ("lethe/v1/token-enc", &[]),
            Self::RecordCipher => ("lethe/v1/record-enc", &[]),
            Self::MailCipher => ("lethe/v1/mail-enc", &[]),
            Self::Pagination => ("lethe/v1/pagination", &[]),
            Self::Ticket => ("lethe/v1/ticket", &[]),
            Self::ErasedName => ("lethe/v1/erased-name", &[]),
            Self::BackupTable => ("lethe/v1/backup-table", &[]),
        }
    }
}

/// `BLAKE3-derive_key(use string, key ‖ parts)`.
///
/// # Panics
/// When the parts' widths are not those of `usage`: that is a mistake in the program, never in its input.
#[must_use]
pub fn derive(usage: Usage, key: &Key, parts: &[&[u8]]) -> Key {
    let (context, widths) = usage.rule();
    assert!(parts.iter().map(|part| part.len()).eq(widths.iter().copied()), "parts have the widths of their use");
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(key.expose());
    for part in parts {
        hasher.update(part);
    }
    Key::from_bytes(*hasher.finalize().as_bytes())
}

/// The key of an owner's keep journal: `KK = keyed_hash(slot, "keep" ‖ owner key)`.
///
/// Replacing the slot's value shreds everything written under the old one.
#[must_use]
pub fn keep_key(slot: &Key, owner: &Key) -> Key {
    keyed(slot, b"keep", owner)
}

/// The key of a window journal: `WK = keyed_hash(EK, "window" ‖ WS)`.
///
/// Dies with the epoch key of everybody or with this window's secret alone.
#[must_use]
pub fn window_key(epoch: &Key, secret: &Key) -> Key {
    keyed(epoch, b"window", secret)
}

/// The key of a window's packs, whose indices count packs.
#[must_use]
pub fn pack_key(window: &Key) -> Key {
    derive(Usage::Pack, window, &[])
}

/// The address of a row that belongs to the server: `keyed_hash(derive(S, use), name)[..16]`.
#[must_use]
pub fn address(server: &Key, usage: Usage, name: &[u8]) -> Address {
    let key = derive(usage, server, &[]);
    Address(first_half(&blake3::keyed_hash(key.expose(), name)))
}

/// The first 16 bytes of a hash.
pub(super) fn first_half(hash: &blake3::Hash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    half
}

fn keyed(key: &Key, label: &[u8], secret: &Key) -> Key {
    let mut hasher = blake3::Hasher::new_keyed(key.expose());
    hasher.update(label).update(secret.expose());
    Key::from_bytes(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::seal::golden;

    const ALL: [Usage; 26] = [
        Usage::RowAddress,
        Usage::RowCipher,
        Usage::Pack,
        Usage::Media,
        Usage::Wrap,
        Usage::WrapCipher,
        Usage::WrapCommitment,
        Usage::Token,
        Usage::TokenHash,
        Usage::SlotImage,
        Usage::ForeverEpoch,
        Usage::LoginAddress,
        Usage::TokenAddress,
        Usage::RecordAddress,
        Usage::DoorAddress,
        Usage::MailAddress,
        Usage::MediaAddress,
        Usage::LoginCipher,
        Usage::TokenCipher,
        Usage::RecordCipher,
        Usage::MailCipher,
        Usage::Pagination,
        Usage::MediaChunk,
        Usage::Ticket,
        Usage::ErasedName,
        Usage::BackupTable,
    ];

    fn key(byte: u8) -> Key {
        Key::from_bytes([byte; 32])
    }

    #[test]
    fn uses_have_strings_and_keys_of_their_own() {
        let strings: HashSet<_> = ALL.iter().map(|usage| usage.rule().0).collect();
        assert_eq!(strings.len(), ALL.len());
        assert!(strings.iter().all(|string| string.starts_with("lethe/v1/")));
        let part = [5; 32];
        let mut bytes = Vec::new();
        for usage in ALL {
            let parts: Vec<&[u8]> = usage.rule().1.iter().map(|&width| &part[..width]).collect();
            bytes.extend_from_slice(derive(usage, &key(1), &parts).expose());
        }
        golden::check("derive-v1", &bytes);
    }

    #[test]
    fn keep_and_window_keys_have_the_agreed_bytes() {
        golden::check("keep-key-v1", keep_key(&key(1), &key(2)).expose());
        golden::check("window-key-v1", window_key(&key(1), &key(2)).expose());
        golden::check("address-v1", &address(&key(1), Usage::LoginAddress, b"alice").0);
        assert!(keep_key(&key(1), &key(2)) != keep_key(&key(2), &key(1)));
    }

    #[test]
    #[should_panic(expected = "widths of their use")]
    fn parts_of_another_width_are_a_mistake() {
        let _ = derive(Usage::Media, &key(1), &[b"short"]);
    }
}
