//! The bytes of a pack: up to 64 entries of a window with the row index each had.
//!
//! `version(1) ‖ hash of the last entry(32) ‖ index behind the last entry(8) ‖ count(2) ‖ count × (index(8) ‖ length(4) ‖ plain)`,
//! integers little-endian. A dead entry (redacted and rewritten) keeps its index with its new text.

use super::Error;
use crate::seal::row::EntryHash;

const VERSION: u8 = 1;

/// A decoded pack.
pub(crate) struct Pack<T = Vec<u8>> {
    pub(crate) last: EntryHash,
    pub(crate) next: u64,
    pub(crate) entries: Vec<(u64, T)>,
}

impl Pack {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let length: usize = self.entries.iter().map(|(_, plain)| plain.len() + 12).sum();
        let mut bytes = Vec::with_capacity(43 + length);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.last.0);
        bytes.extend_from_slice(&self.next.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(self.entries.len()).unwrap_or(u16::MAX).to_le_bytes());
        for (index, plain) in &self.entries {
            bytes.extend_from_slice(&index.to_le_bytes());
            bytes.extend_from_slice(&u32::try_from(plain.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(plain);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let Pack { last, next, entries } = Pack::read(bytes)?;
        let entries = entries.into_iter().map(|(index, plain)| (index, plain.to_vec())).collect();
        Ok(Self { last, next, entries })
    }
}

impl<'a> Pack<&'a [u8]> {
    /// As [`Pack::decode`], with the entries where they lie: who goes through them once holds no second copy of all.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut rest = bytes;
        let [VERSION] = take::<1>(&mut rest)? else { return Err(Error::Malformed) };
        let last = EntryHash(take(&mut rest)?);
        let next = u64::from_le_bytes(take(&mut rest)?);
        let count = u16::from_le_bytes(take(&mut rest)?);
        let mut entries = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let index = u64::from_le_bytes(take(&mut rest)?);
            let length = u32::from_le_bytes(take(&mut rest)?) as usize;
            let (plain, behind) = rest.split_at_checked(length).ok_or(Error::Malformed)?;
            entries.push((index, plain));
            rest = behind;
        }
        Ok(Self { last, next, entries })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Error> {
    let (head, behind) = rest.split_first_chunk::<N>().ok_or(Error::Malformed)?;
    *rest = behind;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_reads_back_and_a_shorter_one_is_refused() {
        let pack = Pack { last: EntryHash([7; 32]), next: 9, entries: vec![(3, b"a".to_vec()), (8, vec![0; 300])] };
        let bytes = pack.encode();
        let back = Pack::decode(&bytes).unwrap();
        assert_eq!((back.last, back.next, back.entries), (pack.last, pack.next, pack.entries));
        for short in 0..bytes.len() {
            assert!(Pack::decode(&bytes[..short]).is_err());
        }
    }

    #[test]
    fn golden() {
        let pack = Pack { last: EntryHash([1; 32]), next: 2, entries: vec![(1, b"xy".to_vec())] };
        let expected = ["01", &"01".repeat(32), "0200000000000000", "0100", "0100000000000000", "02000000", "7879"];
        let hex: Vec<String> = pack.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.concat(), expected.concat());
    }
}
