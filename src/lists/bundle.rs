//! Is a bundle whole, and by whom is it?
//!
//! A bundle is one version of a list in lines of JSON: who signed it; what it is; an entry a line; at the end how many there are, and the
//! signature. The signature is Ed25519 over [`message`]: SHA-256 over every byte before the last line, and the number of entries. It is read in one
//! pass, so entries are handed over before the signature is known to hold: whoever takes them must drop them again where [`read`] fails. Invariant:
//! `read` ends well only where the last line is there, nothing stands behind it, and the key that the first line names signed all before it.
//! Absent: which keys are trusted, and which versions are too old, which the caller says as soon as the first two lines are read.
//!
//! ```text
//! {"hashwarden-bundle":1,"signer":"64 hex digits"}
//! {"list":"known","negative":false,"version":3,...}
//! {"id":"x1","category":"A1","status":"ACTIVE","hashes":{"pdq":["64 hex digits"]},"said":{"tags":["a"]}}
//! {"hashwarden-end":1,"entries":1,"signature":"128 hex digits"}
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::said::Said;
use super::signature::{PublicKey, SigningKey};
use super::value::{check_text, listed};
use super::write::Written;
use super::{FileError, ROW_BYTES_MAX, Row, RowError};
use crate::entry::shown::is_visible;
use crate::entry::{
    CATEGORY_BYTES_MAX, Details, ENTRY_HASHES_MAX, ENTRY_ID_BYTES_MAX, Entry, HashKind, HashValue, Status, check_list_name,
};

/// The name by which a bundle is known.
pub(super) const NAME: &str = "hashwarden-bundle";
/// The format that is written and read.
const FORMAT: u32 = 1;
const END: &[u8] = b"{\"hashwarden-end\":";
/// So that a signature of something else is never one of a bundle.
const DOMAIN: &[u8] = b"hashwarden bundle 1\n";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First<'a> {
    #[serde(rename = "hashwarden-bundle")]
    format: u32,
    signer: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct One<'a> {
    id: Cow<'a, str>,
    category: Cow<'a, str>,
    status: Cow<'a, str>,
    hashes: BTreeMap<Cow<'a, str>, Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<Said<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last<'a> {
    #[serde(rename = "hashwarden-end")]
    format: u32,
    entries: u64,
    signature: Cow<'a, str>,
}

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub signer: PublicKey,
    pub of: Written,
}

/// What is signed.
fn message(sha256: [u8; 32], entries: u64) -> Vec<u8> {
    [DOMAIN, &sha256, &entries.to_be_bytes()].concat()
}

fn line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

pub(super) fn write_head(of: &Written, out: &mut dyn Write) -> io::Result<()> {
    line(of, out)
}

pub(super) fn write_entry(entry: &Entry, details: &Details, out: &mut dyn Write) -> io::Result<()> {
    let mut hashes = BTreeMap::<_, Vec<String>>::new();
    entry.hashes.iter().for_each(|hash| hashes.entry(Cow::Borrowed(hash.kind().name())).or_default().push(hash.hex()));
    let said = (!details.is_empty()).then(|| Said::of(details));
    let (id, category) = (Cow::Borrowed(entry.id.as_str()), Cow::Borrowed(entry.category.as_str()));
    line(&One { id, category, status: Cow::Borrowed(entry.status.name()), hashes, said }, out)
}

/// Signs what is written through it.
pub struct Seal<'w> {
    out: &'w mut (dyn Write + Send),
    key: &'w SigningKey,
    sha256: Sha256,
}

impl<'w> Seal<'w> {
    /// Writes the first line.
    pub fn begin(key: &'w SigningKey, out: &'w mut (dyn Write + Send)) -> io::Result<Self> {
        let mut seal = Seal { out, key, sha256: Sha256::new() };
        line(&First { format: FORMAT, signer: key.public().to_string().into() }, &mut seal)?;
        Ok(seal)
    }

    /// Writes the last line.
    pub fn finish(self, entries: u64) -> io::Result<()> {
        let signature = self.key.sign(&message(self.sha256.finalize().into(), entries));
        line(&Last { format: FORMAT, entries, signature: hex::encode(signature).into() }, self.out)
    }
}

impl Write for Seal<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.sha256.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads a bundle. `known` is asked with what it says of itself, before its entries are read, whether it is wanted; then nothing of that is proven yet.
pub fn read(
    input: &mut dyn BufRead,
    known: &mut dyn FnMut(&Origin) -> Result<(), FileError>,
    each: &mut dyn FnMut(Result<Row, RowError>) -> ControlFlow<()>,
) -> Result<(), FileError> {
    let mut lines = Lines { input, number: 0, bytes: Vec::new() };
    let mut sha256 = Sha256::new();
    let next = |lines: &mut Lines<'_>| match lines.next()? {
        true => Ok(()),
        false => Err(refused("the bundle is cut short: its last line, with the signature, is missing")),
    };
    next(&mut lines)?;
    let first: First<'_> = lines.parse()?;
    if first.format != FORMAT {
        return Err(refused(format!("the bundle is of format {}, and this version reads format {FORMAT}", first.format)));
    }
    let signer: PublicKey = first.signer.parse().map_err(|_| lines.broken("the signer is not a public key"))?;
    sha256.update(&lines.bytes);
    next(&mut lines)?;
    let of: Written = lines.parse()?;
    check_list_name(&of.list).map_err(|_| lines.broken("the name is no list's"))?;
    sha256.update(&lines.bytes);
    let origin = Origin { signer, of };
    known(&origin)?;
    let mut entries = 0;
    loop {
        next(&mut lines)?;
        if lines.bytes.starts_with(END) {
            break;
        }
        sha256.update(&lines.bytes);
        entries += 1;
        let one: One<'_> = lines.parse()?;
        let row = row(one, entries, lines.number).map_err(|why| lines.broken(why))?;
        if each(Ok(row)).is_break() {
            return Ok(());
        }
    }
    let last: Last<'_> = lines.parse()?;
    let mut signature = [0; 64];
    let is_one = hex::decode_to_slice(&*last.signature, &mut signature).is_ok();
    let is_whole = last.format == FORMAT && last.entries == entries;
    if !is_one || !is_whole || !signer.signed(&message(sha256.finalize().into(), entries), &signature) {
        return Err(refused(
            "the signature is not that of the signer over this bundle: it was altered or cut, or somebody else signed it",
        ));
    }
    match lines.next()? {
        true => Err(refused("something stands behind the bundle's last line")),
        false => Ok(()),
    }
}

/// Takes what [`Writer`](super::Writer) writes of a bundle as it comes, which is not signed yet, and hands over the entries.
pub struct Entries<'a> {
    line: Vec<u8>,
    of: Option<Written>,
    entries: u64,
    each: &'a mut (dyn FnMut(Row) + Send),
}

impl<'a> Entries<'a> {
    pub fn new(each: &'a mut (dyn FnMut(Row) + Send)) -> Self {
        Entries { line: Vec::new(), of: None, entries: 0, each }
    }

    /// Of what they are, and how many there were; `None` where the last line was cut short.
    pub fn finish(self) -> Option<(Written, u64)> {
        self.of.filter(|_| self.line.is_empty()).map(|of| (of, self.entries))
    }

    fn take(&mut self) -> Result<(), String> {
        let unlike = |_| "it is not a valid line of a bundle".to_owned();
        if self.of.is_none() {
            self.of = Some(serde_json::from_slice(&self.line).map_err(unlike)?);
        } else {
            self.entries += 1;
            (self.each)(row(serde_json::from_slice(&self.line).map_err(unlike)?, self.entries, self.entries)?);
        }
        self.line.clear();
        Ok(())
    }
}

impl Write for Entries<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > ROW_BYTES_MAX {
                return Err(io::Error::other(format!("a line is longer than {ROW_BYTES_MAX} bytes")));
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.take().map_err(io::Error::other)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn row(one: One<'_>, record: u64, line: u64) -> Result<Row, String> {
    let One { id, category, status, hashes, said } = one;
    check_text("id", &id, ENTRY_ID_BYTES_MAX)?;
    check_text("category", &category, CATEGORY_BYTES_MAX)?;
    if !is_visible(&id) {
        return Err("the id has no visible character".to_owned());
    }
    let mut found: Vec<HashValue> = Vec::new();
    for (kind, of_kind) in hashes {
        let kind: HashKind = kind.parse().map_err(|_| "a kind of hash that is not known".to_owned())?;
        if found.len() + of_kind.len() > ENTRY_HASHES_MAX {
            return Err(format!("an entry has at most {ENTRY_HASHES_MAX} hashes"));
        }
        for hash in of_kind {
            found.push(listed(kind, &hash).map_err(|bad| bad.0)?);
        }
    }
    if found.is_empty() {
        return Err("no hash".to_owned());
    }
    let said = said.unwrap_or_default();
    said.check()?;
    Ok(Row {
        id: Some(id.into_owned()),
        category: category.into_owned(),
        status: status.parse::<Status>().map_err(|_| "a status that is not known".to_owned())?,
        hashes: found,
        details: said.details(),
        ..Row::at(record, line)
    })
}

fn refused(why: impl Into<String>) -> FileError {
    FileError::Bundle(why.into())
}

/// Lines with their ends, as they stand in the file.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    number: u64,
    bytes: Vec<u8>,
}

impl Lines<'_> {
    /// False at the file's end.
    fn next(&mut self) -> Result<bool, FileError> {
        self.bytes.clear();
        self.number += 1;
        let read = Read::take(&mut *self.input, ROW_BYTES_MAX as u64).read_until(b'\n', &mut self.bytes);
        read.map_err(|error| FileError::reading(self.number, &error))?;
        if self.bytes.len() == ROW_BYTES_MAX && !self.bytes.ends_with(b"\n") {
            return Err(self.broken(format!("longer than {ROW_BYTES_MAX} bytes")));
        }
        Ok(!self.bytes.is_empty())
    }

    fn parse<'b, T: Deserialize<'b>>(&'b self) -> Result<T, FileError> {
        serde_json::from_slice(&self.bytes).map_err(|_| self.broken("it is not a valid line of a bundle"))
    }

    fn broken(&self, what: impl Into<Cow<'static, str>>) -> FileError {
        FileError::broken(self.number, what)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Format;
    use super::super::write::Writer;
    use super::*;

    pub fn written() -> Written {
        Written {
            change: 7,
            list: "known".into(),
            negative: false,
            version: 3,
            made: "2026-01-01T00:00:00Z".into(),
            digest: "00".repeat(32),
            source: None,
            exported_by: "cli".into(),
            exported: "2026-01-02T00:00:00Z".into(),
        }
    }

    fn bundle(key: &SigningKey) -> Vec<u8> {
        let mut out = Vec::new();
        let mut seal = Seal::begin(key, &mut out).unwrap();
        let mut writer = Writer::begin(Format::Bundle, written(), &mut seal).unwrap();
        for n in 1..=3u8 {
            let entry = Entry::new(format!(" {n}"), "A1".into(), vec![HashValue::Md5([n; 16]), HashValue::Md5([9; 16])]).unwrap();
            let details = Details { tags: vec!["a b".into()], fields: vec![("x".into(), "\n".into())], ..Details::default() };
            writer.put(&entry.with_status(Status::Withdrawn), &details).unwrap();
        }
        let counts = writer.finish().unwrap();
        seal.finish(counts.entries).unwrap();
        out
    }

    fn rows(bytes: &[u8]) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        let read = read(&mut &*bytes, &mut |_| Ok(()), &mut |row| {
            rows.push(row.unwrap());
            ControlFlow::Continue(())
        });
        read.map(|()| rows).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bundle_gives_back_what_was_put_in() {
        let (key, _) = SigningKey::generate().unwrap();
        let bytes = bundle(&key);
        assert_eq!(Format::sniff(&bytes), Some(Format::Bundle));
        let found = rows(&bytes).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].id.as_deref(), found[0].status, found[0].hashes.len()), (Some(" 1"), Status::Withdrawn, 2));
        assert!(found[0].details.tags == ["a b"] && found[0].details.fields == [("x".to_owned(), "\n".to_owned())]);
    }

    /// Every byte counts, and so do the order and the number of the lines, and which key signed them.
    #[test]
    fn whatever_is_altered_is_refused() {
        let (key, _) = SigningKey::generate().unwrap();
        let bytes = bundle(&key);
        for at in 0..bytes.len() - 1 {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            // The two cases of a hex digit are one, where they are not signed: in the signature itself.
            assert!(rows(&altered).is_err(), "byte {at}");
            assert!(rows(&bytes[..at]).is_err(), "cut at {at}");
        }
        let text = String::from_utf8(bytes.clone()).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let of = |order: &[usize]| rows(order.iter().map(|at| lines[*at]).collect::<String>().as_bytes());
        assert!(of(&[0, 1, 2, 3, 4, 5]).is_ok());
        for order in [
            &[0, 1, 3, 2, 4, 5][..],
            &[0, 1, 2, 3, 5],
            &[0, 1, 2, 3, 4, 4, 5],
            &[0, 1, 2, 3, 4],
            &[0, 1, 2, 3, 4, 5, 5],
            &[0, 5],
            &[0],
        ] {
            assert!(of(order).is_err(), "{order:?}");
        }
        // Another signer's name over the same entries, and another's signature.
        let (other, _) = SigningKey::generate().unwrap();
        let theirs = String::from_utf8(bundle(&other)).unwrap();
        let theirs: Vec<&str> = theirs.split_inclusive('\n').collect();
        let mixed = |first: &str, last: &str| rows([&[first], &lines[1..5], &[last]].concat().concat().as_bytes());
        assert!(mixed(lines[0], lines[5]).is_ok());
        assert!(mixed(theirs[0], lines[5]).unwrap_err().contains("signature"));
        assert!(mixed(lines[0], theirs[5]).unwrap_err().contains("signature"));
    }

    /// In pieces as they come over a connection.
    #[test]
    fn entries_are_taken_as_they_are_written() {
        let mut written_out = Vec::new();
        let mut writer = Writer::begin(Format::Bundle, written(), &mut written_out).unwrap();
        for n in 1..=3u8 {
            let entry = Entry::new(format!("{n}"), "A1".into(), vec![HashValue::Md5([n; 16])]).unwrap();
            writer.put(&entry, &Details::default()).unwrap();
        }
        writer.finish().unwrap();
        for size in [1, 7, 4096] {
            let mut ids = Vec::new();
            let mut each = |row: Row| ids.extend(row.id);
            let mut entries = Entries::new(&mut each);
            written_out.chunks(size).for_each(|piece| entries.write_all(piece).unwrap());
            assert_eq!(entries.finish(), Some((written(), 3)));
            assert_eq!(ids, ["1", "2", "3"]);
        }
        let cut = |bytes: &[u8]| {
            let mut each = |_| ();
            let mut entries = Entries::new(&mut each);
            entries.write_all(bytes).map(|()| entries.finish())
        };
        assert_eq!(cut(&written_out[..written_out.len() - 1]).unwrap(), None);
        assert!(cut(b"{}\n").is_err() && cut(&vec![b'x'; ROW_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn who_is_not_wanted_is_refused_before_the_entries_are_read() {
        let (key, _) = SigningKey::generate().unwrap();
        let refuse = &mut |origin: &Origin| {
            assert!(origin.signer == key.public() && origin.of == written());
            Err(refused("no"))
        };
        let read = read(&mut &*bundle(&key), refuse, &mut |_| unreachable!("no entry is handed over"));
        assert_eq!(read.unwrap_err().to_string(), "no");
    }
}
