//! How do ids stand in keys, and what is known under each?
//!
//! The value of an id in `entry_ids` is all that the list's changes say of it: for each entry that was ever of this id, n x
//! (entry u32, digest \[32\] of its content, n u16, n x (version u32, op u8: 0 closed, 1 opened)). Whether an entry is in a version is
//! told by the last of its deltas that the version's lineage has. Invariant: in no version are two entries of one id; the deltas of
//! an entry are in the order of their versions, at most one of each.

use super::StoreError;
use super::keys::{Cut, DeltaOp, Family};
use crate::entry::{EntryNo, Lineage, VersionNo};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::borrow::Cow;

/// How ids stand in keys.
#[derive(Clone)]
pub(super) struct IdForms(Hmac<Sha256>);

/// Before the HMAC's hex digits: an id has no control characters, so that no id looks like another one's form.
const MASKED: u8 = 1;
/// 64 bits, the shortest hash, in hex and in base64.
const HEX_DIGITS: usize = 16;
const BASE64_DIGITS: usize = 11;

impl IdForms {
    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC fills a key up to the digest's block with zeros itself; done here, no length is left that could be wrong.
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        let mut mac = Hmac::new(&block.into());
        // The key has other uses.
        mac.update(b"id in a key\0");
        IdForms(mac)
    }

    /// The id itself, or what stands for one that may hold a hash.
    pub fn form<'a>(&self, id: &'a str) -> Cow<'a, [u8]> {
        if !may_hold_hash(id) {
            return Cow::Borrowed(id.as_bytes());
        }
        let mut mac = self.0.clone();
        mac.update(id.as_bytes());
        let mut form = vec![MASKED];
        form.extend_from_slice(hex::encode(&mac.finalize().into_bytes()[..16]).as_bytes());
        Cow::Owned(form)
    }
}

pub(super) fn is_masked(form: &[u8]) -> bool {
    form.first() == Some(&MASKED)
}

/// The id and the value of a row of scratch whose key has not the id itself.
pub(super) fn split_masked(value: &[u8]) -> Result<(&[u8], &[u8]), StoreError> {
    let mut cut = Cut::new(Family::Scratch, value);
    let length = cut.u16()? as usize;
    Ok((cut.take(length)?, cut.rest()))
}

/// Whether there are as many digits in a row as the shortest hash takes, in hex whatever separates them. Better too often than not.
fn may_hold_hash(id: &str) -> bool {
    let (mut hex, mut base64) = (0, 0);
    id.bytes().any(|byte| {
        hex = match byte {
            b'-' | b':' | b'.' | b'_' | b' ' => hex,
            digit if digit.is_ascii_hexdigit() => hex + 1,
            _ => 0,
        };
        base64 = if byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte) { base64 + 1 } else { 0 };
        hex >= HEX_DIGITS || base64 >= BASE64_DIGITS
    })
}

/// The entry that an id names in a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRecord {
    pub entry: EntryNo,
    /// [`row_digest`](super::row_digest) of its content.
    pub digest: [u8; 32],
}

/// The entries of one id, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdHistory(pub(super) Vec<EntryHistory>);

/// One entry, and which versions opened and closed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryHistory {
    pub entry: EntryNo,
    pub digest: [u8; 32],
    pub deltas: Vec<(VersionNo, DeltaOp)>,
}

impl IdHistory {
    /// The entry of this id in a version, by the version's lineage.
    pub fn in_version(&self, lineage: &Lineage) -> Option<IdRecord> {
        // The newest first: it is asked for most.
        let found = self.0.iter().rev().find(|entry| entry.is_in(lineage))?;
        Some(IdRecord { entry: found.entry, digest: found.digest })
    }

    /// The entry with this content, if a version that will do had it.
    pub fn of_content(&self, digest: &[u8; 32], will_do: impl Fn(VersionNo) -> bool) -> Option<EntryNo> {
        let mut same = self.0.iter().filter(|entry| entry.digest == *digest);
        same.find(|entry| entry.deltas.iter().any(|(version, _)| will_do(*version))).map(|entry| entry.entry)
    }

    pub(super) fn entry(&mut self, entry: EntryNo) -> Option<&mut EntryHistory> {
        self.0.iter_mut().find(|known| known.entry == entry)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.iter().map(|entry| 38 + 5 * entry.deltas.len()).sum());
        for EntryHistory { entry, digest, deltas } in &self.0 {
            bytes.extend_from_slice(&entry.0.to_be_bytes());
            bytes.extend_from_slice(digest);
            bytes.extend_from_slice(&(deltas.len() as u16).to_be_bytes());
            for (version, op) in deltas {
                bytes.extend_from_slice(&version.0.to_be_bytes());
                bytes.push(*op as u8);
            }
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<IdHistory, StoreError> {
        let mut cut = Cut::new(Family::EntryIds, bytes);
        let mut entries = Vec::with_capacity(1);
        while !cut.is_empty() {
            let (entry, digest, n) = (EntryNo(cut.u32()?), cut.array()?, cut.u16()?);
            let mut deltas = Vec::with_capacity(usize::from(n).min(16));
            for _ in 0..n {
                let (version, op) = (VersionNo(cut.u32()?), cut.u8()?);
                let op = DeltaOp::from_u8(op).ok_or_else(|| Family::EntryIds.corrupt("a delta has an unknown op"))?;
                deltas.push((version, op));
            }
            if !deltas.is_sorted_by(|(a, _), (b, _)| a < b) || deltas.is_empty() {
                return Err(Family::EntryIds.corrupt("an entry's deltas are missing or not in order"));
            }
            entries.push(EntryHistory { entry, digest, deltas });
        }
        if entries.is_empty() {
            return Err(Family::EntryIds.corrupt("an id names no entry"));
        }
        Ok(IdHistory(entries))
    }
}

impl EntryHistory {
    pub fn is_in(&self, lineage: &Lineage) -> bool {
        let last = self.deltas.iter().rev().find(|(version, _)| lineage.contains(*version));
        last.is_some_and(|(_, op)| *op == DeltaOp::Opened)
    }

    /// Adds what a version does; false where it did something before, or there are too many.
    #[must_use]
    pub fn note(&mut self, version: VersionNo, op: DeltaOp) -> bool {
        match self.deltas.binary_search_by_key(&version, |(version, _)| *version) {
            Err(at) if self.deltas.len() < usize::from(u16::MAX) => {
                self.deltas.insert(at, (version, op));
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_may_hold_a_hash_does_not_stand_in_a_key() {
        let forms = IdForms::new(&[7; 32]);
        for (id, plain) in [
            ("e123", true),
            ("case 12/34, 7", true),
            ("ncmec-1", true),
            ("0123456789abcde", false), // as long as 64 bits in base64
            ("00:11:22:33:44:55:66:77", false),
            ("id 0123456789ABCDEF", false),
            ("x 0123 4567 89ab cdef", false),
            ("q80DBCzc/zM=", false),
            ("550e8400-e29b-41d4-a716-446655440000", false),
        ] {
            let form = forms.form(id);
            assert_eq!(form.as_ref() == id.as_bytes(), plain, "{id}");
            assert_eq!(form, forms.form(id));
            assert!(plain || form[0] == MASKED && form.len() == 33, "{id}");
            assert!(plain || IdForms::new(&[8; 32]).form(id) != form, "{id}: the key is the store's own");
        }
        assert_ne!(forms.form("0123456789abcdef"), forms.form("0123456789abcdee"));
    }

    fn lineage(ranges: &[(u32, u32)]) -> Lineage {
        Lineage::new(ranges.iter().map(|(first, last)| (VersionNo(*first), VersionNo(*last))).collect()).unwrap()
    }

    fn history() -> IdHistory {
        let entry = |number, deltas: &[(u32, DeltaOp)]| EntryHistory {
            entry: EntryNo(number),
            digest: [number as u8; 32],
            deltas: deltas.iter().map(|(version, op)| (VersionNo(*version), *op)).collect(),
        };
        use DeltaOp::{Closed, Opened};
        // Version 4 starts from 2, beside 3.
        IdHistory(vec![entry(7, &[(1, Opened), (3, Closed), (4, Closed), (5, Opened)]), entry(9, &[(4, Opened), (5, Closed)])])
    }

    #[test]
    fn what_an_id_names_follows_the_lineage() {
        let named = |ranges: &[(u32, u32)]| history().in_version(&lineage(ranges)).map(|record| record.entry.0);
        assert_eq!(named(&[]), None);
        assert_eq!(named(&[(1, 2)]), Some(7));
        assert_eq!(named(&[(1, 3)]), None);
        assert_eq!(named(&[(1, 2), (4, 4)]), Some(9));
        assert_eq!(named(&[(1, 2), (4, 6)]), Some(7));
        assert_eq!([9, 8].map(|n| history().of_content(&[n; 32], |_| true)), [Some(EntryNo(9)), None]);
    }

    #[test]
    fn a_version_does_one_thing_to_an_entry() {
        let mut history = history();
        let entry = history.entry(EntryNo(9)).unwrap();
        assert!(!entry.note(VersionNo(5), DeltaOp::Opened));
        assert!(entry.note(VersionNo(2), DeltaOp::Closed) && entry.note(VersionNo(8), DeltaOp::Opened));
        assert_eq!(entry.deltas.iter().map(|(version, _)| version.0).collect::<Vec<_>>(), [2, 4, 5, 8]);
    }

    #[test]
    fn an_ids_value_has_the_bytes_that_the_header_says_and_its_cuts_are_corrupt() {
        let one = IdHistory(vec![EntryHistory {
            entry: EntryNo(0x0506_0708),
            digest: [0xbb; 32],
            deltas: vec![(VersionNo(9), DeltaOp::Opened), (VersionNo(10), DeltaOp::Closed)],
        }]);
        assert_eq!(hex::encode(one.encode()), format!("05060708{}000200000009010000000a00", "bb".repeat(32)));
        let bytes = history().encode();
        assert_eq!(IdHistory::decode(&bytes).unwrap(), history());
        let whole = [38 + 4 * 5, bytes.len()];
        for n in 0..bytes.len() {
            assert_eq!(IdHistory::decode(&bytes[..n]).is_ok(), whole.contains(&n), "{n}");
        }
        for (at, byte) in [(42, 2), (46, 0), (37, 0)] {
            let mut altered = bytes.clone();
            altered[at] = byte;
            assert!(IdHistory::decode(&altered).is_err(), "{at}");
        }
    }
}
