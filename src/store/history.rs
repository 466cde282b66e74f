//! What is known of a change for ever, and what goes with the list or the version that it was about?
//!
//! A change is two rows. Its header stays: when, by whom, of what kind, on which list and version, and SHA-256 of a random nonce and
//! the contents. The contents, which hold what lists hold, stand apart with their nonce and go with their version or list. The chain
//! runs over the headers, so that it can be verified whatever has gone; and as the nonce goes too, a header does not even tell
//! whether some guessed contents were the ones.

use super::digest::sha256;
use super::keys::{self, Family};
use super::records::HeaderRecord;
use super::{Scan, Store, StoreError, wire};
use crate::entry::{Change, ChangeOp, EntryNo, ListId, VersionNo};
use prost::Message;

/// A change's kind: the tag of its contents, or [`Kind::Migrated`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    CreateList = 10,
    SetPolicy = 11,
    SetDisabled = 12,
    DeleteList = 13,
    Stage = 14,
    Rows = 15,
    Seal = 16,
    Activate = 17,
    Undo = 18,
    Edit = 19,
    Drop = 20,
    AddSource = 21,
    SetMark = 22,
    SetFeed = 25,
    /// The store was brought to this format from an earlier one. Not a [`ChangeOp`]: it alters nothing that a store holds.
    Migrated = 30,
}

impl Kind {
    const ALL: [Kind; 15] = [
        Kind::CreateList,
        Kind::SetPolicy,
        Kind::SetDisabled,
        Kind::DeleteList,
        Kind::Stage,
        Kind::Rows,
        Kind::Seal,
        Kind::Activate,
        Kind::Undo,
        Kind::Edit,
        Kind::Drop,
        Kind::AddSource,
        Kind::SetMark,
        Kind::SetFeed,
        Kind::Migrated,
    ];

    /// Whether there are contents beside the header.
    pub fn has_contents(self) -> bool {
        !matches!(self, Kind::DeleteList | Kind::Activate | Kind::Undo | Kind::Drop | Kind::Migrated)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub time_ms: u64,
    pub by: String,
    pub kind: Kind,
    pub list: ListId,
    /// 0 where the change is about the list itself.
    pub version: VersionNo,
    /// Those that were dropped.
    pub versions: Vec<VersionNo>,
    /// SHA-256 of the nonce and the contents.
    pub contents: Option<[u8; 32]>,
    /// The next new entry's number after the change.
    pub next_entry: EntryNo,
    /// Of a migrated store: the last change of the chain before, and its digest.
    pub before: Option<(u64, [u8; 32])>,
}

/// A change as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub seq: u64,
    pub time_ms: u64,
    pub by: String,
    /// `None` where the contents went with their version or list.
    pub op: Option<ChangeOp>,
}

/// The header of a change, and its nonce and contents where it has any.
pub(super) fn record(change: &Change, next_entry: EntryNo) -> Result<(Header, Option<Vec<u8>>), StoreError> {
    let (kind, list, version, versions) = about(&change.op);
    let contents = if kind.has_contents() {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(StoreError::Random)?;
        Some([&nonce[..], &wire::write_change(change)].concat())
    } else {
        None
    };
    let digest = contents.as_deref().map(sha256);
    let (time_ms, by) = (change.time_ms, change.by.clone());
    Ok((Header { time_ms, by, kind, list, version, versions, contents: digest, next_entry, before: None }, contents))
}

/// Kind, list, version, versions dropped.
fn about(op: &ChangeOp) -> (Kind, ListId, VersionNo, Vec<VersionNo>) {
    const OWN: VersionNo = VersionNo(0);
    match op {
        ChangeOp::CreateList { list, .. } => (Kind::CreateList, *list, OWN, vec![]),
        ChangeOp::SetPolicy { list, .. } => (Kind::SetPolicy, *list, OWN, vec![]),
        ChangeOp::SetDisabled { list, .. } => (Kind::SetDisabled, *list, OWN, vec![]),
        ChangeOp::DeleteList { list } => (Kind::DeleteList, *list, OWN, vec![]),
        ChangeOp::Stage { list, version, .. } => (Kind::Stage, *list, *version, vec![]),
        ChangeOp::Rows { list, version, .. } => (Kind::Rows, *list, *version, vec![]),
        ChangeOp::Seal { list, version, .. } => (Kind::Seal, *list, *version, vec![]),
        ChangeOp::Activate { list, version } => (Kind::Activate, *list, *version, vec![]),
        ChangeOp::Undo { list, version } => (Kind::Undo, *list, *version, vec![]),
        ChangeOp::Edit { list, version, .. } => (Kind::Edit, *list, *version, vec![]),
        ChangeOp::Drop { list, versions } => (Kind::Drop, *list, OWN, versions.clone()),
        ChangeOp::AddSource { list, .. } => (Kind::AddSource, *list, OWN, vec![]),
        ChangeOp::SetMark { list, .. } => (Kind::SetMark, *list, OWN, vec![]),
        ChangeOp::SetFeed { list, .. } => (Kind::SetFeed, *list, OWN, vec![]),
    }
}

impl Header {
    pub fn encode(&self) -> Vec<u8> {
        let (seq_before, chain_before) = self.before.map_or((0, vec![]), |(seq, chain)| (seq, chain.to_vec()));
        HeaderRecord {
            time_ms: self.time_ms,
            by: self.by.clone(),
            kind: self.kind as u32,
            list: self.list.0,
            version: self.version.0,
            versions: self.versions.iter().map(|v| v.0).collect(),
            contents: self.contents.map_or(vec![], |digest| digest.to_vec()),
            next_entry: self.next_entry.0,
            seq_before,
            chain_before,
        }
        .encode_to_vec()
    }

    pub fn decode(bytes: &[u8]) -> Result<Header, StoreError> {
        let family = Family::History;
        let record = HeaderRecord::decode(bytes).map_err(|_| family.corrupt("a header is not well-formed protobuf"))?;
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u32 == record.kind);
        let digest = |bytes: Vec<u8>| match bytes.len() {
            0 => Ok(None),
            _ => bytes.try_into().map(Some).map_err(|_| family.corrupt("a digest is not 32 bytes long")),
        };
        Ok(Header {
            time_ms: record.time_ms,
            by: record.by,
            kind: kind.ok_or_else(|| family.corrupt("a change of an unknown kind"))?,
            list: ListId(record.list),
            version: VersionNo(record.version),
            versions: record.versions.into_iter().map(VersionNo).collect(),
            contents: digest(record.contents)?,
            next_entry: EntryNo(record.next_entry),
            before: digest(record.chain_before)?.map(|chain| (record.seq_before, chain)),
        })
    }

    /// Where the contents stand.
    pub fn contents_key(&self, seq: u64) -> [u8; 16] {
        keys::contents_key(self.list, self.version, seq)
    }

    /// The change, where the header says all of it.
    fn op(&self) -> Option<ChangeOp> {
        let (list, version) = (self.list, self.version);
        match self.kind {
            Kind::DeleteList => Some(ChangeOp::DeleteList { list }),
            Kind::Activate => Some(ChangeOp::Activate { list, version }),
            Kind::Undo => Some(ChangeOp::Undo { list, version }),
            Kind::Drop => Some(ChangeOp::Drop { list, versions: self.versions.clone() }),
            _ => None,
        }
    }
}

/// A header as stored: the digest of the one before, and itself.
pub(super) fn read(value: &[u8]) -> Result<([u8; 32], Header), StoreError> {
    let (before, bytes) = keys::split_history(value)?;
    Ok((before, Header::decode(bytes)?))
}

impl Store {
    /// The numbered changes from `seq` on.
    pub fn changes(&self, seq: u64) -> Result<impl Iterator<Item = Result<Recorded, StoreError>>, StoreError> {
        let headers: Scan<'_, (u64, Header)> =
            self.scan(Family::History, seq.to_be_bytes().to_vec(), Vec::new(), |key, value| {
                Ok((keys::number_u64(Family::History, key)?, read(value)?.1))
            })?;
        Ok(headers.map(|item| {
            let (seq, header) = item?;
            let op = match header.op() {
                Some(op) => Some(op),
                None => self.contents(seq, &header)?.map(|(_, change)| change.op),
            };
            Ok(Recorded { seq, time_ms: header.time_ms, by: header.by, op })
        }))
    }

    /// A change's contents, with the digest of them and their nonce; `None` where they are gone.
    pub(super) fn contents(&self, seq: u64, header: &Header) -> Result<Option<([u8; 32], Change)>, StoreError> {
        if !header.kind.has_contents() {
            return Ok(None);
        }
        let Some(value) = self.db.get_pinned_cf(&self.family(Family::Contents)?, header.contents_key(seq))? else {
            return Ok(None);
        };
        let (_, bytes) = keys::split_contents(&value)?;
        Ok(Some((sha256(&value), wire::read_change(bytes)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_as_it_was_and_its_cuts_never_panic() {
        for kind in Kind::ALL {
            let header = Header {
                time_ms: 1_700_000_000_000,
                by: "someone".into(),
                kind,
                list: ListId(7),
                version: VersionNo(9),
                versions: vec![VersionNo(1), VersionNo(u32::MAX)],
                contents: kind.has_contents().then_some([5; 32]),
                next_entry: EntryNo(u32::MAX),
                before: (kind == Kind::Migrated).then_some((8, [6; 32])),
            };
            let bytes = header.encode();
            assert_eq!(Header::decode(&bytes).unwrap(), header);
            (0..bytes.len()).for_each(|n| assert_ne!(Header::decode(&bytes[..n]).ok().as_ref(), Some(&header)));
        }
        let unknown = HeaderRecord { kind: 23, ..HeaderRecord::default() }.encode_to_vec();
        let short = HeaderRecord { kind: 10, contents: vec![1; 31], ..HeaderRecord::default() }.encode_to_vec();
        for bytes in [unknown, short] {
            assert!(matches!(Header::decode(&bytes), Err(StoreError::Corrupt { family: "history", .. })));
        }
    }

    #[test]
    fn equal_contents_have_different_digests() {
        let op = ChangeOp::SetDisabled { list: ListId(1), disabled: true };
        let change = Change { time_ms: 1, by: "x".into(), op };
        let digest = || record(&change, EntryNo(0)).unwrap().0.contents;
        assert_ne!(digest(), digest());
    }
}
