//! How do ids stand in keys, and what is known under each?
//!
//! The value of an id in `entry_ids` is all that the list's changes say of it: for each entry that was ever of this id, n x
//! (entry u32, digest \[32\] of its content, n u16, n x (version u32, op u8: 0 closed, 1 opened, 2 described, and after the last one
//! sources u16, digest \[16\] of the details)). Whether an entry is in a version is told by the last delta that opened or closed it in the
//! version's lineage, what is said of it by the last that described it. Invariant: in no version are two entries of one id; the deltas of
//! an entry are in the order of their versions, and a version describes only what it does not close.

use super::StoreError;
use super::keys::{Cut, DeltaOp, Family};
use crate::entry::{EntryNo, Lineage, Sources, VersionNo};
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
    /// What is said of it.
    pub brief: Brief,
}

/// What is said of an entry, in brief: by which sources, and the digest of the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brief {
    pub sources: Sources,
    /// [`details_digest`](super::details_digest); zeros where there are none.
    pub details: [u8; 16],
    /// The version that said so; 0 where none did.
    pub version: VersionNo,
}

impl Brief {
    /// Of an entry of which nothing was said.
    pub const NONE: Brief = Brief { sources: Sources::IMPORT, details: [0; 16], version: VersionNo(0) };

    /// Whether the same is said, whenever that was.
    pub fn says(&self, sources: Sources, details: &[u8; 16]) -> bool {
        (self.sources, &self.details) == (sources, details)
    }
}

/// What a version does to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Closed,
    Opened,
    Described { sources: Sources, details: [u8; 16] },
}

impl Deed {
    pub fn op(self) -> DeltaOp {
        match self {
            Deed::Closed => DeltaOp::Closed,
            Deed::Opened => DeltaOp::Opened,
            Deed::Described { .. } => DeltaOp::Described,
        }
    }
}

/// The entries of one id, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdHistory(pub(super) Vec<EntryHistory>);

/// One entry, and which versions opened, described and closed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryHistory {
    pub entry: EntryNo,
    pub digest: [u8; 32],
    pub deltas: Vec<(VersionNo, Deed)>,
}

impl IdHistory {
    /// The entry of this id in a version, by the version's lineage.
    pub fn in_version(&self, lineage: &Lineage) -> Option<IdRecord> {
        // The newest first: it is asked for most.
        let found = self.0.iter().rev().find(|entry| entry.is_in(lineage))?;
        Some(IdRecord { entry: found.entry, digest: found.digest, brief: found.brief(lineage) })
    }

    /// What a version says of an entry of this id, or would if it had it.
    pub fn brief_of(&self, entry: EntryNo, lineage: &Lineage) -> Brief {
        self.0.iter().find(|known| known.entry == entry).map_or(Brief::NONE, |known| known.brief(lineage))
    }

    /// The version of a lineage that last opened the entry.
    pub fn since(&self, entry: EntryNo, lineage: &Lineage) -> Option<VersionNo> {
        let known = self.0.iter().find(|known| known.entry == entry)?;
        let opened = known.deltas.iter().rev().find(|(version, deed)| *deed == Deed::Opened && lineage.contains(*version))?;
        Some(opened.0)
    }

    /// The entries that a version opened or described, with what it says of them.
    pub fn said_by(&self, version: VersionNo, lineage: &Lineage) -> impl Iterator<Item = IdRecord> {
        let is_said = move |(by, deed): &(VersionNo, Deed)| *by == version && *deed != Deed::Closed;
        let told = self.0.iter().filter(move |entry| entry.deltas.iter().any(is_said));
        told.map(|entry| IdRecord { entry: entry.entry, digest: entry.digest, brief: entry.brief(lineage) })
    }

    /// The entry with this content, if a version that will do had it.
    pub fn of_content(&self, digest: &[u8; 32], will_do: impl Fn(VersionNo) -> bool) -> Option<EntryNo> {
        let mut same = self.0.iter().filter(|entry| entry.digest == *digest);
        same.find(|entry| entry.deltas.iter().any(|(version, _)| will_do(*version))).map(|entry| entry.entry)
    }

    /// Whether the id has named this entry in a version that is kept.
    pub fn has(&self, entry: EntryNo) -> bool {
        self.0.iter().any(|known| known.entry == entry)
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
            for (version, deed) in deltas {
                bytes.extend_from_slice(&version.0.to_be_bytes());
                bytes.push(deed.op() as u8);
                if let Deed::Described { sources, details } = deed {
                    bytes.extend_from_slice(&sources.0.to_be_bytes());
                    bytes.extend_from_slice(details);
                }
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
                deltas.push((
                    version,
                    match DeltaOp::from_u8(op) {
                        Some(DeltaOp::Closed) => Deed::Closed,
                        Some(DeltaOp::Opened) => Deed::Opened,
                        Some(DeltaOp::Described) => Deed::Described { sources: Sources(cut.u16()?), details: cut.array()? },
                        None => return Err(Family::EntryIds.corrupt("a delta has an unknown op")),
                    },
                ));
            }
            let in_order = |a: &(VersionNo, Deed), b: &(VersionNo, Deed)| {
                a.0 < b.0 || a.0 == b.0 && (a.1.op(), b.1.op()) == (DeltaOp::Opened, DeltaOp::Described)
            };
            if !deltas.is_sorted_by(in_order) || deltas.is_empty() {
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
        let mut moves = self.deltas.iter().rev().filter(|(_, deed)| deed.op() != DeltaOp::Described);
        moves.find(|(version, _)| lineage.contains(*version)).is_some_and(|(_, deed)| *deed == Deed::Opened)
    }

    pub fn brief(&self, lineage: &Lineage) -> Brief {
        let said = self.deltas.iter().rev().find_map(|(version, deed)| match deed {
            Deed::Described { sources, details } if lineage.contains(*version) => Some((*sources, *details, *version)),
            _ => None,
        });
        said.map_or(Brief::NONE, |(sources, details, version)| Brief { sources, details, version })
    }

    /// Whether a version of one of the lineages needs what another one says of the entry: it is the last in it.
    pub fn is_last_said(&self, said: VersionNo, lineages: impl IntoIterator<Item = impl std::borrow::Borrow<Lineage>>) -> bool {
        lineages.into_iter().any(|lineage| self.brief(lineage.borrow()).version == said)
    }

    /// Adds what a version does; false where that does not go with what it did before, or there are too many.
    #[must_use]
    pub fn note(&mut self, version: VersionNo, deed: Deed) -> bool {
        let (at, end) = (
            self.deltas.partition_point(|(known, _)| *known < version),
            self.deltas.partition_point(|(known, _)| *known <= version),
        );
        let before: Vec<DeltaOp> = self.deltas[at..end].iter().map(|(_, deed)| deed.op()).collect();
        let fits = before.is_empty() || (before.as_slice(), deed.op()) == (&[DeltaOp::Opened], DeltaOp::Described);
        if fits && self.deltas.len() < usize::from(u16::MAX) {
            self.deltas.insert(end, (version, deed));
            return true;
        }
        false
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
        let entry = |number, deltas: &[(u32, Deed)]| EntryHistory {
            entry: EntryNo(number),
            digest: [number as u8; 32],
            deltas: deltas.iter().map(|(version, op)| (VersionNo(*version), *op)).collect(),
        };
        use Deed::{Closed, Opened};
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
        assert!(!entry.note(VersionNo(5), Deed::Opened));
        assert!(entry.note(VersionNo(2), Deed::Closed) && entry.note(VersionNo(8), Deed::Opened));
        assert_eq!(entry.deltas.iter().map(|(version, _)| version.0).collect::<Vec<_>>(), [2, 4, 5, 8]);
    }

    #[test]
    fn an_ids_value_has_the_bytes_that_the_header_says_and_its_cuts_are_corrupt() {
        let one = IdHistory(vec![EntryHistory {
            entry: EntryNo(0x0506_0708),
            digest: [0xbb; 32],
            deltas: vec![(VersionNo(9), Deed::Opened), (VersionNo(10), Deed::Closed)],
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

    fn said(sources: u16, details: u8) -> Deed {
        Deed::Described { sources: Sources(sources), details: [details; 16] }
    }

    #[test]
    fn what_is_said_of_an_entry_follows_the_lineage() {
        let mut history = history();
        let entry = history.entry(EntryNo(7)).unwrap();
        assert!(
            entry.note(VersionNo(1), said(2, 1)) && entry.note(VersionNo(2), said(3, 1)) && entry.note(VersionNo(5), said(1, 0))
        );
        assert!(!entry.note(VersionNo(3), said(9, 9)), "what a version closes it does not describe");
        assert!(!entry.note(VersionNo(2), said(9, 9)) && !entry.note(VersionNo(2), Deed::Closed));
        let brief = |ranges: &[(u32, u32)]| {
            let Brief { sources, details, version } = history.brief_of(EntryNo(7), &lineage(ranges));
            (sources.0, details[0], version.0)
        };
        assert_eq!(brief(&[]), (1, 0, 0));
        assert_eq!(brief(&[(1, 1)]), (2, 1, 1));
        assert_eq!(brief(&[(1, 2), (4, 4)]), (3, 1, 2));
        assert_eq!(brief(&[(1, 6)]), (1, 0, 5));
        assert_eq!(named_in(&history, &[(1, 2)]), Some(7), "what describes does not open");
        let needed = |version, lineages: &[&[(u32, u32)]]| {
            let mut history = history.clone();
            let lineages: Vec<_> = lineages.iter().map(|ranges| lineage(ranges)).collect();
            history.entry(EntryNo(7)).unwrap().is_last_said(VersionNo(version), &lineages)
        };
        assert!(!needed(1, &[&[(1, 2)], &[(1, 6)]]) && needed(1, &[&[(1, 1)]]) && needed(2, &[&[(1, 2), (4, 4)]]));
        assert_eq!(IdHistory::decode(&history.encode()).unwrap(), history);
    }

    fn named_in(history: &IdHistory, ranges: &[(u32, u32)]) -> Option<u32> {
        history.in_version(&lineage(ranges)).map(|record| record.entry.0)
    }
}
