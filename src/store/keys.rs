//! How is everything in the store laid out, byte for byte?
//!
//! Integers in keys and values are big-endian, so key order is number order. Invariant: what is read back was checked for
//! length and range; bytes that this file did not write give [`StoreError::Corrupt`], never a panic. Nothing here opens, reads
//! or writes a store.
//!
//! | family | key | value |
//! |---|---|---|
//! | meta | ascii name | see the `META_` names |
//! | lists | list u32 | [`wire`](super::wire)::ListRecord (protobuf) |
//! | versions | list u32, version u32 | [`wire`](super::wire)::VersionRecord (protobuf) |
//! | entry_ids | list u32, id's form | [`ids`](super::ids)::IdHistory: the entries of this id, and the deltas of each |
//! | entries | list u32, entry u32 | content |
//! | deltas | list u32, version u32, op u8 (0 closed, 1 opened, 2 described), entry u32 | empty |
//! | details | list u32, entry u32, version u32 | [`wire`](super::wire)::DetailsRecord (protobuf): what the version says of the entry |
//! | marks | list u32, id's form | [`wire`](super::wire)::MarkRecord (protobuf) |
//! | history | seq u64 | digest of the value before \[32\], [`records`](super::records)::HeaderRecord (protobuf) |
//! | contents | list u32, version u32 (0 for the list's own), seq u64 | nonce \[32\], change (protobuf) |
//! | journal | time_ms u64, id \[16\] | record |
//! | columns (derived) | kind u8, first entry u32 | list u32, then what the writer likes |
//! | bk (derived) | kind u8, tree u32, parent u32, edge u16 | node u32, hash |
//! | scratch (no WAL, emptied at open) | id's form, 0 u8, order u64 | value |
//!
//! RocksDB keeps keys outside its tables too, as bounds of files, where no compaction takes them away: a key holds no hash. So an id
//! that may hold one stands in keys as its HMAC ([`IdForms`](super::ids::IdForms)).
//!
//! content = category length u8, category, status u8, n u8, n x (kind u8, length u16, hash), id (the rest). It is canonical:
//! equal entries have equal bytes, and a row's digest is the SHA-256 of them.

use super::StoreError;
use crate::entry::{
    CATEGORY_BYTES_MAX, ENTRY_HASHES_MAX, ENTRY_ID_BYTES_MAX, Entry, EntryNo, HashKind, HashValue, ListId, Status, VersionNo,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Meta,
    Lists,
    Versions,
    EntryIds,
    Entries,
    Deltas,
    Details,
    Marks,
    History,
    Contents,
    Journal,
    Columns,
    Bk,
    Scratch,
}

impl Family {
    pub const ALL: [Family; 14] = [
        Family::Meta,
        Family::Lists,
        Family::Versions,
        Family::EntryIds,
        Family::Entries,
        Family::Deltas,
        Family::Details,
        Family::Marks,
        Family::History,
        Family::Contents,
        Family::Journal,
        Family::Columns,
        Family::Bk,
        Family::Scratch,
    ];

    /// Those of which each row is of the list whose number its key begins with.
    pub const OF_LISTS: [Family; 7] =
        [Family::Versions, Family::EntryIds, Family::Entries, Family::Deltas, Family::Details, Family::Marks, Family::Contents];

    pub fn name(self) -> &'static str {
        match self {
            Family::Meta => "meta",
            Family::Lists => "lists",
            Family::Versions => "versions",
            Family::EntryIds => "entry_ids",
            Family::Entries => "entries",
            Family::Deltas => "deltas",
            Family::Details => "details",
            Family::Marks => "marks",
            Family::History => "history",
            Family::Contents => "contents",
            Family::Journal => "journal",
            Family::Columns => "columns",
            Family::Bk => "bk",
            Family::Scratch => "scratch",
        }
    }

    pub fn corrupt(self, what: impl Into<String>) -> StoreError {
        StoreError::Corrupt { family: self.name(), what: what.into() }
    }
}

/// u32: layout of the families that hold the truth.
pub(super) const META_FORMAT_TRUTH: &[u8] = b"format_truth";
/// u32: layout of the derived families, as the catalog numbers it.
pub(super) const META_FORMAT_DERIVED: &[u8] = b"format_derived";
/// u64: number of the last change.
pub(super) const META_SEQ: &[u8] = b"seq";
/// \[32\]: SHA-256 of the last change's value.
pub(super) const META_CHAIN: &[u8] = b"chain";
/// \[32\]: key of the HMAC that names entries which came without an id.
pub(super) const META_ENTRY_ID_KEY: &[u8] = b"entry_id_key";
/// \[1\]: there is a file `HEAD`.
pub(super) const META_HEAD_KEPT: &[u8] = b"head_kept";
/// u32
pub(super) const META_NEXT_ENTRY: &[u8] = b"next_entry";
/// u32
pub(super) const META_NEXT_LIST: &[u8] = b"next_list";
/// Empty: rows of format 2 may be left. No earlier hashwarden opens the store then, and this one goes on migrating.
pub(super) const META_MIGRATING: &[u8] = b"migrating";
/// Before a list's number: lowest and highest version (u32 each) of those that were dropped and whose rows may still be there.
pub(super) const META_SWEEP: &[u8] = b"sweep/";
/// Before a list's number and a source's name: what became of fetching it, as the catalog writes it.
pub(super) const META_FETCH: &[u8] = b"fetch/";
/// Prefix of the derived marks' names.
pub(super) const META_MARK: &[u8] = b"mark/";

/// An entry of a list, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub entry: EntryNo,
    pub content: Entry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeltaOp {
    /// The entry is not in the version, and was in its parent.
    Closed = 0,
    /// The entry is in the version, and was not in its parent.
    Opened = 1,
    /// The entry is in the version, where more or else is said of it, or by other sources, than in its parent.
    Described = 2,
}

impl DeltaOp {
    pub(super) fn from_u8(op: u8) -> Option<DeltaOp> {
        [DeltaOp::Closed, DeltaOp::Opened, DeltaOp::Described].into_iter().find(|known| *known as u8 == op)
    }
}

/// An entry that a version opened, closed or described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    pub version: VersionNo,
    pub entry: EntryNo,
    pub op: DeltaOp,
}

/// One node of a stored BK-tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BkRow {
    pub parent: u32,
    pub edge: u16,
    pub node: u32,
    pub hash: Vec<u8>,
}

pub(super) fn list_key(list: ListId) -> [u8; 4] {
    list.0.to_be_bytes()
}

/// After every key that starts with the list's number: numbers end below `u32::MAX`.
pub(super) fn list_end(list: ListId) -> [u8; 4] {
    list.0.saturating_add(1).to_be_bytes()
}

pub(super) fn version_key(list: ListId, version: VersionNo) -> [u8; 8] {
    join(&[&list.0.to_be_bytes(), &version.0.to_be_bytes()])
}

pub(super) fn id_key(list: ListId, form: &[u8]) -> Vec<u8> {
    [&list.0.to_be_bytes(), form].concat()
}

pub(super) fn row_key(list: ListId, entry: EntryNo) -> [u8; 8] {
    join(&[&list.0.to_be_bytes(), &entry.0.to_be_bytes()])
}

pub(super) fn delta_key(list: ListId, version: VersionNo, op: DeltaOp, entry: EntryNo) -> [u8; 13] {
    join(&[&list.0.to_be_bytes(), &version.0.to_be_bytes(), &[op as u8], &entry.0.to_be_bytes()])
}

pub(super) fn details_key(list: ListId, entry: EntryNo, version: VersionNo) -> [u8; 12] {
    join(&[&list.0.to_be_bytes(), &entry.0.to_be_bytes(), &version.0.to_be_bytes()])
}

pub(super) fn details_parts(key: &[u8]) -> Result<(ListId, EntryNo, VersionNo), StoreError> {
    let mut cut = Cut::new(Family::Details, key);
    let parts = (ListId(cut.u32()?), EntryNo(cut.u32()?), VersionNo(cut.u32()?));
    cut.end()?;
    Ok(parts)
}

pub(super) fn journal_key(time_ms: u64, id: &[u8; 16]) -> [u8; 24] {
    join(&[&time_ms.to_be_bytes(), id])
}

pub(super) fn column_key(kind: u8, first: EntryNo) -> [u8; 5] {
    join(&[&[kind], &first.0.to_be_bytes()])
}

pub(super) fn bk_tree_key(kind: u8, tree: u32) -> [u8; 5] {
    join(&[&[kind], &tree.to_be_bytes()])
}

pub(super) fn bk_key(kind: u8, tree: u32, parent: u32, edge: u16) -> [u8; 11] {
    join(&[&[kind], &tree.to_be_bytes(), &parent.to_be_bytes(), &edge.to_be_bytes()])
}

pub(super) fn scratch_key(id: &[u8], order: u64) -> Vec<u8> {
    [id, &[0], &order.to_be_bytes()].concat()
}

/// The source id in a key of `scratch`: a byte 0 is in no id, so keys sort by id, then by order of writing.
pub(super) fn scratch_id(key: &[u8]) -> Result<&[u8], StoreError> {
    match key.split_last_chunk::<9>() {
        Some((id, [0, ..])) if !id.contains(&0) => Ok(id),
        _ => Err(Family::Scratch.corrupt("a key has no id")),
    }
}

/// `parts` fill the array exactly: every caller names constant lengths.
fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let mut at = 0;
    for part in parts {
        key[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    debug_assert_eq!(at, N);
    key
}

/// Appends the canonical content of an entry that [`check_entry`] accepts.
pub(super) fn put_content(out: &mut Vec<u8>, entry: &Entry) {
    out.push(entry.category.len() as u8);
    out.extend_from_slice(entry.category.as_bytes());
    out.push(entry.status as u8);
    out.push(entry.hashes.len() as u8);
    for hash in &entry.hashes {
        out.push(hash.kind() as u8);
        hash.with_bytes(|bytes| {
            out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            out.extend_from_slice(bytes);
        });
    }
    out.extend_from_slice(entry.id.as_bytes());
}

/// What [`Entry::new`] makes sure of, asked of an entry whose public fields anyone may have filled.
pub(super) fn check_entry(entry: &Entry) -> Result<(), &'static str> {
    check_id(&entry.id)?;
    if entry.category.len() > CATEGORY_BYTES_MAX || entry.category.chars().any(char::is_control) {
        return Err("a category is too long or has control characters");
    }
    if entry.hashes.is_empty() || entry.hashes.len() > ENTRY_HASHES_MAX {
        return Err("an entry has no hash, or too many");
    }
    if !entry.hashes.is_sorted_by(|a, b| a < b) {
        return Err("an entry's hashes are not sorted");
    }
    Ok(())
}

pub(super) fn check_id(id: &str) -> Result<(), &'static str> {
    if id.is_empty() || id.len() > ENTRY_ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err("an entry id is empty, too long or has control characters");
    }
    Ok(())
}

fn read_content(mut cut: Cut) -> Result<Entry, StoreError> {
    let family = cut.family;
    let length = cut.u8()? as usize;
    let category = cut.text(length)?;
    let status = Status::from_u8(cut.u8()?).ok_or_else(|| family.corrupt("a row has an unknown status"))?;
    let n = cut.u8()? as usize;
    let mut hashes = Vec::with_capacity(n.min(ENTRY_HASHES_MAX));
    for _ in 0..n {
        let kind = HashKind::from_u8(cut.u8()?).ok_or_else(|| family.corrupt("a row has a hash of unknown kind"))?;
        let length = cut.u16()? as usize;
        hashes.push(HashValue::from_bytes(kind, cut.take(length)?).map_err(|bad| family.corrupt(bad.to_string()))?);
    }
    let id = cut.text(cut.bytes.len())?;
    let entry = Entry { id, category, status, hashes };
    check_entry(&entry).map_err(|why| family.corrupt(why))?;
    Ok(entry)
}

pub(super) fn row(key: &[u8], value: &[u8]) -> Result<Row, StoreError> {
    let mut cut = Cut::new(Family::Entries, key);
    cut.u32()?;
    let entry = EntryNo(cut.u32()?);
    cut.end()?;
    Ok(Row { entry, content: content(value)? })
}

pub(super) fn content(value: &[u8]) -> Result<Entry, StoreError> {
    read_content(Cut::new(Family::Entries, value))
}

/// The form of the id in a key of `entry_ids`.
pub(super) fn id_form(key: &[u8]) -> Result<&[u8], StoreError> {
    let mut cut = Cut::new(Family::EntryIds, key);
    cut.u32()?;
    Ok(cut.bytes)
}

pub(super) fn delta(key: &[u8], value: &[u8]) -> Result<Delta, StoreError> {
    let mut cut = Cut::new(Family::Deltas, key);
    cut.u32()?;
    let (version, op, entry) = (VersionNo(cut.u32()?), cut.u8()?, EntryNo(cut.u32()?));
    cut.end()?;
    Cut::new(Family::Deltas, value).end()?;
    let op = DeltaOp::from_u8(op).ok_or_else(|| Family::Deltas.corrupt("a key has an unknown op"))?;
    Ok(Delta { version, entry, op })
}

/// The digest of the change before, and the header's bytes.
pub(super) fn split_history(value: &[u8]) -> Result<([u8; 32], &[u8]), StoreError> {
    let mut cut = Cut::new(Family::History, value);
    Ok((cut.array()?, cut.bytes))
}

pub(super) fn contents_key(list: ListId, version: VersionNo, seq: u64) -> [u8; 16] {
    join(&[&list.0.to_be_bytes(), &version.0.to_be_bytes(), &seq.to_be_bytes()])
}

/// The nonce, and the change's bytes.
pub(super) fn split_contents(value: &[u8]) -> Result<([u8; 32], &[u8]), StoreError> {
    let mut cut = Cut::new(Family::Contents, value);
    Ok((cut.array()?, cut.bytes))
}

pub(super) fn sweep_key(list: ListId) -> Vec<u8> {
    [META_SWEEP, &list.0.to_be_bytes()].concat()
}

pub(super) fn fetch_key(list: ListId, source: &str) -> Vec<u8> {
    [META_FETCH, &list.0.to_be_bytes(), source.as_bytes()].concat()
}

/// The first key of a list's fetches, and the one after the last.
pub(super) fn fetch_keys(list: ListId) -> (Vec<u8>, Vec<u8>) {
    (fetch_key(list, ""), [META_FETCH, &list_end(list)].concat())
}

/// Lowest and highest version.
pub(super) fn sweep(value: &[u8]) -> Result<(VersionNo, VersionNo), StoreError> {
    let mut cut = Cut::new(Family::Meta, value);
    let span = (VersionNo(cut.u32()?), VersionNo(cut.u32()?));
    cut.end()?;
    Ok(span)
}

pub(super) fn column_first(key: &[u8]) -> Result<EntryNo, StoreError> {
    let mut cut = Cut::new(Family::Columns, key);
    cut.u8()?;
    let first = EntryNo(cut.u32()?);
    cut.end()?;
    Ok(first)
}

pub(super) fn bk_row(key: &[u8], value: &[u8]) -> Result<BkRow, StoreError> {
    let mut cut = Cut::new(Family::Bk, key);
    cut.u8()?;
    cut.u32()?;
    let (parent, edge) = (cut.u32()?, cut.u16()?);
    cut.end()?;
    let (node, hash) = bk_value(value)?;
    Ok(BkRow { parent, edge, node, hash: hash.to_vec() })
}

pub(super) fn bk_value(value: &[u8]) -> Result<(u32, &[u8]), StoreError> {
    let mut cut = Cut::new(Family::Bk, value);
    Ok((cut.u32()?, cut.bytes))
}

pub(super) fn journal_parts(key: &[u8]) -> Result<(u64, [u8; 16]), StoreError> {
    let mut cut = Cut::new(Family::Journal, key);
    let parts = (cut.u64()?, cut.array()?);
    cut.end()?;
    Ok(parts)
}

pub(super) fn number_u32(family: Family, bytes: &[u8]) -> Result<u32, StoreError> {
    let mut cut = Cut::new(family, bytes);
    let n = cut.u32()?;
    cut.end()?;
    Ok(n)
}

pub(super) fn number_u64(family: Family, bytes: &[u8]) -> Result<u64, StoreError> {
    let mut cut = Cut::new(family, bytes);
    let n = cut.u64()?;
    cut.end()?;
    Ok(n)
}

/// Reads from the front, checking lengths.
pub(super) struct Cut<'a> {
    family: Family,
    bytes: &'a [u8],
}

impl<'a> Cut<'a> {
    pub(super) fn new(family: Family, bytes: &'a [u8]) -> Self {
        Cut { family, bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], StoreError> {
        let (head, rest) = self.bytes.split_at_checked(n).ok_or_else(|| self.family.corrupt("a key or value is too short"))?;
        self.bytes = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (head, rest) = self.bytes.split_first_chunk().ok_or_else(|| self.family.corrupt("a key or value is too short"))?;
        self.bytes = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, StoreError> {
        self.array().map(|[b]| b)
    }

    pub(super) fn u16(&mut self) -> Result<u16, StoreError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, StoreError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, StoreError> {
        self.array().map(u64::from_be_bytes)
    }

    fn text(&mut self, n: usize) -> Result<String, StoreError> {
        let bytes = self.take(n)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.family.corrupt("a text is not UTF-8"))
    }

    pub(super) fn end(&self) -> Result<(), StoreError> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(self.family.corrupt("a key or value is too long"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: ListId = ListId(0x0102_0304);
    const ENTRY: EntryNo = EntryNo(0x0506_0708);

    fn entry() -> Entry {
        Entry::new("id".into(), "ca".into(), vec![HashValue::Md5([0xaa; 16])]).unwrap()
    }

    /// The layout is the format: a store written today must be read tomorrow.
    #[test]
    fn keys_and_values_have_the_bytes_that_the_table_says() {
        let mut content = Vec::new();
        put_content(&mut content, &entry());
        for (bytes, hex) in [
            (row_key(LIST, ENTRY).to_vec(), "0102030405060708".to_owned()),
            (delta_key(LIST, VersionNo(9), DeltaOp::Closed, ENTRY).to_vec(), "01020304000000090005060708".into()),
            (delta_key(LIST, VersionNo(9), DeltaOp::Opened, ENTRY).to_vec(), "01020304000000090105060708".into()),
            (id_key(LIST, b"id"), "010203046964".into()),
            (version_key(LIST, VersionNo(9)).to_vec(), "0102030400000009".into()),
            (list_key(LIST).to_vec(), "01020304".into()),
            (list_end(LIST).to_vec(), "01020305".into()),
            (column_key(7, ENTRY).to_vec(), "0705060708".into()),
            (bk_key(7, 1, 2, 3).to_vec(), "0700000001000000020003".into()),
            (contents_key(LIST, VersionNo(9), 1).to_vec(), "01020304000000090000000000000001".into()),
            (sweep_key(LIST), "73776565702f01020304".into()),
            (journal_key(1, &[0xcc; 16]).to_vec(), format!("0000000000000001{}", "cc".repeat(16))),
            (scratch_key(b"id", 1), "6964000000000000000001".into()),
            (content, format!("0263610001040010{}6964", "aa".repeat(16))),
        ] {
            assert_eq!(hex::encode(bytes), hex);
        }
    }

    #[test]
    fn what_is_too_short_too_long_or_unknown_is_corrupt() {
        let key = row_key(LIST, ENTRY);
        let mut value = Vec::new();
        put_content(&mut value, &entry());
        assert_eq!(row(&key, &value).unwrap(), Row { entry: ENTRY, content: entry() });
        for n in 0..value.len() - 1 {
            assert!(row(&key, &value[..n]).is_err(), "{n}");
        }
        for n in 0..key.len() {
            assert!(row(&key[..n], &value).is_err(), "{n}");
        }
        let altered = |at: usize, byte: u8| {
            let mut value = value.clone();
            value[at] = byte;
            row(&key, &value).is_ok()
        };
        let flags = 1 + 2;
        for (at, byte, ok) in [
            (0, 200, false),
            (1, 0xff, false),
            (1, b'\n', false),
            (flags, 1, true),
            (flags, 2, true),
            (flags, 3, false),
            (flags + 1, 0, false),
            (flags + 1, 65, false),
            (flags + 2, 0, false),
            (flags + 2, 5, false),
            (flags + 4, 15, false),
            (flags + 5, 0, true),
        ] {
            assert_eq!(altered(at, byte), ok, "byte {at} set to {byte}");
        }

        let pairs = |n| vec![0u8; n];
        let delta = |op, n| {
            let mut key = delta_key(LIST, VersionNo(1), DeltaOp::Closed, ENTRY);
            key[8] = op;
            delta(&key, &pairs(n)).is_ok()
        };
        assert_eq!([0, 1, 2, 3].map(|op| delta(op, 0)), [true, true, true, false]);
        assert_eq!([0, 1, 2].map(|op| delta(op, 4)), [false; 3]);
        assert!(split_history(&pairs(32)).is_ok() && split_history(&pairs(31)).is_err());
        assert!(split_contents(&pairs(32)).is_ok() && split_contents(&pairs(31)).is_err());
        assert!(sweep(&pairs(8)).is_ok() && sweep(&pairs(7)).is_err() && sweep(&pairs(9)).is_err());
        assert!(bk_row(&pairs(11), &pairs(4)).is_ok() && bk_row(&pairs(12), &pairs(4)).is_err() && bk_value(&pairs(3)).is_err());
        assert!(journal_parts(&pairs(24)).is_ok() && journal_parts(&pairs(23)).is_err());
        assert!(column_first(&pairs(5)).is_ok() && column_first(&pairs(4)).is_err());
        assert_eq!(scratch_id(&scratch_key(b"ab", u64::MAX)).unwrap(), b"ab");
        assert!(scratch_id(&pairs(8)).is_err() && scratch_id(&[1; 12]).is_err());
    }
}
