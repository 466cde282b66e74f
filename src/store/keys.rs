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
//! | entry_ids | list u32, id's form | entry u32, from u32, fingerprint \[16\]: exactly the rows open at the head |
//! | entries | list u32, entry u32, from u32 | to u32 (`OPEN` = open), content |
//! | deltas | list u32, version u32, op u8 (0 closed, 1 opened), entry u32 | closed: from u32; opened: empty |
//! | history | seq u64 | digest of the value before \[32\], [`records`](super::records)::HeaderRecord (protobuf) |
//! | contents | list u32, version u32 (0 for the list's own), seq u64 | nonce \[32\], change (protobuf) |
//! | journal | time_ms u64, id \[16\] | record |
//! | columns (derived) | kind u8, first entry u32 | list u32, then what the writer likes |
//! | bk (derived) | kind u8, tree u32, parent u32, edge u16 | node u32, hash |
//! | scratch (no WAL, emptied at open) | id's form, 0 u8, order u64 | value |
//!
//! RocksDB keeps keys outside its tables too, as bounds of files, where no compaction takes them away: a key holds no hash. So an id
//! that may hold one stands in keys as its HMAC ([`IdForms`]).
//!
//! content = category length u8, category, flags u8 (0), n u8, n x (kind u8, length u16, hash), id (the rest). It is canonical:
//! equal entries have equal bytes, and a row's digest is the SHA-256 of them.

use super::StoreError;
use crate::entry::{
    CATEGORY_BYTES_MAX, ENTRY_HASHES_MAX, ENTRY_ID_BYTES_MAX, Entry, EntryNo, HashKind, HashValue, ListId, VersionNo,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::borrow::Cow;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Meta,
    Lists,
    Versions,
    EntryIds,
    Entries,
    Deltas,
    History,
    Contents,
    Journal,
    Columns,
    Bk,
    Scratch,
}

impl Family {
    pub const ALL: [Family; 12] = [
        Family::Meta,
        Family::Lists,
        Family::Versions,
        Family::EntryIds,
        Family::Entries,
        Family::Deltas,
        Family::History,
        Family::Contents,
        Family::Journal,
        Family::Columns,
        Family::Bk,
        Family::Scratch,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Family::Meta => "meta",
            Family::Lists => "lists",
            Family::Versions => "versions",
            Family::EntryIds => "entry_ids",
            Family::Entries => "entries",
            Family::Deltas => "deltas",
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
/// Before a list's number: lowest and highest version (u32 each) of those that were dropped and whose rows may still be there.
pub(super) const META_SWEEP: &[u8] = b"sweep/";
/// Prefix of the derived marks' names.
pub(super) const META_MARK: &[u8] = b"mark/";

/// The `to` of a row that has not ended.
pub(super) const OPEN: u32 = u32::MAX;

/// A row of `entries`, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub entry: EntryNo,
    /// The first version that holds the row.
    pub from: VersionNo,
    /// The first version that no longer holds it; `None` while it is open.
    pub to: Option<VersionNo>,
    pub content: Entry,
}

impl Row {
    pub fn is_in(&self, version: VersionNo) -> bool {
        self.from <= version && self.to.is_none_or(|to| version < to)
    }
}

/// What `entry_ids` says of a source id: the row that is open at the list's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRecord {
    pub entry: EntryNo,
    pub from: VersionNo,
    /// The first 16 bytes of [`row_digest`](super::row_digest): equal content, equal fingerprint.
    pub fingerprint: [u8; 16],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeltaOp {
    /// The row that was opened in `from` ends before the version.
    Closed { from: VersionNo },
    /// A row starts with the version.
    Opened,
}

/// One row that a version opened or closed.
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
    Ok((cut.take(length)?, cut.bytes))
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

pub(super) fn row_key(list: ListId, entry: EntryNo, from: VersionNo) -> [u8; 12] {
    join(&[&list.0.to_be_bytes(), &entry.0.to_be_bytes(), &from.0.to_be_bytes()])
}

pub(super) const CLOSED: u8 = 0;
pub(super) const OPENED: u8 = 1;

pub(super) fn delta_key(list: ListId, version: VersionNo, op: u8, entry: EntryNo) -> [u8; 13] {
    join(&[&list.0.to_be_bytes(), &version.0.to_be_bytes(), &[op], &entry.0.to_be_bytes()])
}

/// Start of the deltas of one version and op; with `op + 1`, their end.
pub(super) fn delta_start(list: ListId, version: VersionNo, op: u8) -> [u8; 9] {
    join(&[&list.0.to_be_bytes(), &version.0.to_be_bytes(), &[op]])
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
    out.push(0);
    out.push(entry.hashes.len() as u8);
    for hash in &entry.hashes {
        let bytes = hash.to_vec();
        out.push(hash.kind() as u8);
        out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        out.extend_from_slice(&bytes);
    }
    out.extend_from_slice(entry.id.as_bytes());
}

/// What [`Entry::new`] makes sure of, asked of an entry whose public fields anyone may have filled.
pub(super) fn check_entry(entry: &Entry) -> Result<(), &'static str> {
    if entry.id.is_empty() || entry.id.len() > ENTRY_ID_BYTES_MAX || entry.id.chars().any(char::is_control) {
        return Err("an entry id is empty, too long or has control characters");
    }
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

fn read_content(mut cut: Cut) -> Result<Entry, StoreError> {
    let family = cut.family;
    let length = cut.u8()? as usize;
    let category = cut.text(length)?;
    if cut.u8()? != 0 {
        return Err(family.corrupt("a row has unknown flags"));
    }
    let n = cut.u8()? as usize;
    let mut hashes = Vec::with_capacity(n.min(ENTRY_HASHES_MAX));
    for _ in 0..n {
        let kind = HashKind::from_u8(cut.u8()?).ok_or_else(|| family.corrupt("a row has a hash of unknown kind"))?;
        let length = cut.u16()? as usize;
        hashes.push(HashValue::from_bytes(kind, cut.take(length)?).map_err(|bad| family.corrupt(bad.to_string()))?);
    }
    let id = cut.text(cut.bytes.len())?;
    let entry = Entry { id, category, hashes };
    check_entry(&entry).map_err(|why| family.corrupt(why))?;
    Ok(entry)
}

pub(super) fn row(key: &[u8], value: &[u8]) -> Result<(ListId, Row), StoreError> {
    let mut cut = Cut::new(Family::Entries, key);
    let (list, entry, from) = (ListId(cut.u32()?), EntryNo(cut.u32()?), VersionNo(cut.u32()?));
    cut.end()?;
    let mut cut = Cut::new(Family::Entries, value);
    let to = cut.u32()?;
    let content = read_content(cut)?;
    Ok((list, Row { entry, from, to: (to != OPEN).then_some(VersionNo(to)), content }))
}

/// `to` and the content's bytes.
pub(super) fn split_row(value: &[u8]) -> Result<(u32, &[u8]), StoreError> {
    let mut cut = Cut::new(Family::Entries, value);
    Ok((cut.u32()?, cut.bytes))
}

pub(super) fn id_value(record: &IdRecord) -> [u8; 24] {
    join(&[&record.entry.0.to_be_bytes(), &record.from.0.to_be_bytes(), &record.fingerprint])
}

pub(super) fn id_record(value: &[u8]) -> Result<IdRecord, StoreError> {
    let mut cut = Cut::new(Family::EntryIds, value);
    let record = IdRecord { entry: EntryNo(cut.u32()?), from: VersionNo(cut.u32()?), fingerprint: cut.array()? };
    cut.end()?;
    Ok(record)
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
    let mut cut = Cut::new(Family::Deltas, value);
    let op = match op {
        CLOSED => DeltaOp::Closed { from: VersionNo(cut.u32()?) },
        OPENED => DeltaOp::Opened,
        _ => return Err(Family::Deltas.corrupt("a key has an unknown op")),
    };
    cut.end()?;
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
struct Cut<'a> {
    family: Family,
    bytes: &'a [u8],
}

impl<'a> Cut<'a> {
    fn new(family: Family, bytes: &'a [u8]) -> Self {
        Cut { family, bytes }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], StoreError> {
        let (head, rest) = self.bytes.split_at_checked(n).ok_or_else(|| self.family.corrupt("a key or value is too short"))?;
        self.bytes = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (head, rest) = self.bytes.split_first_chunk().ok_or_else(|| self.family.corrupt("a key or value is too short"))?;
        self.bytes = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, StoreError> {
        self.array().map(|[b]| b)
    }

    fn u16(&mut self) -> Result<u16, StoreError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, StoreError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, StoreError> {
        self.array().map(u64::from_be_bytes)
    }

    fn text(&mut self, n: usize) -> Result<String, StoreError> {
        let bytes = self.take(n)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.family.corrupt("a text is not UTF-8"))
    }

    fn end(&self) -> Result<(), StoreError> {
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
        let record = IdRecord { entry: ENTRY, from: VersionNo(9), fingerprint: [0xbb; 16] };
        for (bytes, hex) in [
            (row_key(LIST, ENTRY, VersionNo(9)).to_vec(), "010203040506070800000009".to_owned()),
            (delta_key(LIST, VersionNo(9), CLOSED, ENTRY).to_vec(), "01020304000000090005060708".into()),
            (delta_start(LIST, VersionNo(9), OPENED).to_vec(), "010203040000000901".into()),
            (id_key(LIST, b"id"), "010203046964".into()),
            (id_value(&record).to_vec(), format!("0506070800000009{}", "bb".repeat(16))),
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

    #[test]
    fn what_is_too_short_too_long_or_unknown_is_corrupt() {
        let key = row_key(LIST, ENTRY, VersionNo(9));
        let mut value = OPEN.to_be_bytes().to_vec();
        put_content(&mut value, &entry());
        let (list, whole) = row(&key, &value).unwrap();
        assert_eq!((list, whole.content), (LIST, entry()));
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
        let flags = 4 + 1 + 2;
        for (at, byte, ok) in [
            (4, 200, false),
            (5, 0xff, false),
            (5, b'\n', false),
            (flags, 1, false),
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
        assert!(id_record(&pairs(24)).is_ok() && id_record(&pairs(23)).is_err() && id_record(&pairs(25)).is_err());
        let delta = |op, n| delta(&delta_key(LIST, VersionNo(1), op, ENTRY), &pairs(n)).is_ok();
        assert_eq!([delta(0, 4), delta(1, 0), delta(0, 0), delta(1, 4), delta(2, 0)], [true, true, false, false, false]);
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
