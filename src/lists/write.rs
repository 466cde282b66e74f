//! How is an entry written to a list file?
//!
//! [`Writer`] takes one entry at a time and writes it at once: memory holds one entry. What it writes as CSV or as a bundle, the readers of
//! this room read as the same entries. The other two formats have no place for some of it; what they leave out is counted. Invariant: an entry
//! that is withdrawn is written as such, or not at all, so that nobody who reads the file finds pictures by it.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;

use super::said::{self, Said};
use super::{Format, bundle};
use crate::entry::{Details, Entry, HashKind, HashValue, Status, member_id};

/// The formats that lists are written in.
pub const WRITTEN: [Format; 4] = [Format::Csv, Format::PdqText, Format::NcmecXml, Format::Bundle];

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    pub list: String,
    /// The list is one of harmless pictures.
    pub negative: bool,
    pub version: u32,
    /// The store's last change when it was exported: marks take entries out without a new version.
    pub change: u64,
    /// When the version was made, in RFC 3339.
    pub made: String,
    /// The version's digest, as `list versions` shows it: it tells versions of one store apart.
    pub digest: String,
    /// The one source whose entries are there; all sources' if there is none.
    pub source: Option<String>,
    pub exported_by: String,
    pub exported: String,
}

/// What became of the entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub entries: u64,
    /// Entries that the format has no place for.
    pub left_out: u64,
    /// Hashes of other entries that the format has no place for.
    pub hashes_left_out: u64,
}

pub struct Writer<'w> {
    out: &'w mut dyn Write,
    format: Format,
    of: Written,
    counts: Counts,
    /// The element that is open in XML.
    group: &'static str,
}

/// The member whose numbering ids are of that name none.
const MEMBER: &str = "hashwarden";

impl<'w> Writer<'w> {
    /// Begins a file in one of the formats [`WRITTEN`].
    pub fn begin(format: Format, of: Written, out: &'w mut dyn Write) -> io::Result<Self> {
        match format {
            Format::Csv => {
                let kinds = HashKind::ALL.map(HashKind::name).join(",");
                writeln!(out, "id,category,entry_status,{kinds},{}", said::COLUMN)?;
            }
            Format::NcmecXml => write!(
                out,
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<queryResult xmlns=\"https://hashsharing.ncmec.org/hashsharing/v2\">\n"
            )?,
            Format::Bundle => bundle::write_head(&of, out)?,
            Format::PdqText => {}
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{format} is read and not written"))),
        }
        Ok(Writer { out, format, of, counts: Counts::default(), group: "" })
    }

    pub fn put(&mut self, entry: &Entry, details: &Details) -> io::Result<()> {
        match self.format {
            Format::PdqText => self.pdq_lines(entry),
            Format::NcmecXml => self.element(entry, details),
            Format::Bundle => {
                self.counts.entries += 1;
                bundle::write_entry(entry, details, self.out)
            }
            _ => self.rows(entry, details),
        }
    }

    /// Ends the file, but for the signature of a bundle, which is whose who has the key.
    pub fn finish(self) -> io::Result<Counts> {
        if self.format == Format::NcmecXml {
            if !self.group.is_empty() {
                writeln!(self.out, "</{}>", self.group)?;
            }
            self.out.write_all(b"</queryResult>\n")?;
        }
        Ok(self.counts)
    }

    /// As many rows as the entry has hashes of the kind that it has most of; what is said of it stands in the first.
    fn rows(&mut self, entry: &Entry, details: &Details) -> io::Result<()> {
        self.counts.entries += 1;
        let of_kind = |kind: HashKind| entry.hashes.iter().filter(move |hash| hash.kind() == kind);
        let rows = HashKind::ALL.iter().map(|kind| of_kind(*kind).count()).max().unwrap_or(0);
        // What a reader would trim.
        let whole = |text: &'_ str| (text.trim() != text).then(|| Cow::Owned(text.to_owned()));
        let (id, category) = (whole(&entry.id), whole(&entry.category));
        let first = Said { id: id.clone(), category: category.clone(), ..Said::of(details) }.text();
        let others = Said { id, category, ..Said::default() }.text();
        for row in 0..rows {
            field(self.out, &entry.id)?;
            self.out.write_all(b",")?;
            field(self.out, &entry.category)?;
            write!(self.out, ",{}", entry.status)?;
            for kind in HashKind::ALL {
                let hash = of_kind(kind).nth(row).map(HashValue::hex).unwrap_or_default();
                write!(self.out, ",{hash}")?;
            }
            self.out.write_all(b",")?;
            field(self.out, if row == 0 { &first } else { &others })?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn pdq_lines(&mut self, entry: &Entry) -> io::Result<()> {
        let pdqs: Vec<_> = entry.sought().iter().filter(|hash| hash.kind() == HashKind::Pdq).collect();
        if pdqs.is_empty() {
            self.counts.left_out += 1;
            return Ok(());
        }
        self.counts.entries += 1;
        self.counts.hashes_left_out += (entry.hashes.len() - pdqs.len()) as u64;
        pdqs.into_iter().try_for_each(|hash| writeln!(self.out, "{}", hash.hex()))
    }

    fn element(&mut self, entry: &Entry, details: &Details) -> io::Result<()> {
        let is_deleted = entry.status == Status::Withdrawn;
        let hashes: Vec<_> = entry.hashes.iter().filter_map(|hash| Some((fingerprint(hash.kind())?, hash))).collect();
        if hashes.is_empty() && !is_deleted {
            self.counts.left_out += 1;
            return Ok(());
        }
        self.counts.entries += 1;
        let is_video = details.fields.iter().any(|(name, value)| name == "media" && value == "video");
        let group = if is_video { "videos" } else { "images" };
        if self.group != group {
            if !self.group.is_empty() {
                writeln!(self.out, "</{}>", self.group)?;
            }
            writeln!(self.out, "<{group}>")?;
            self.group = group;
        }
        let name = match (is_deleted, is_video) {
            (false, false) => "image",
            (false, true) => "video",
            (true, false) => "deletedImage",
            (true, true) => "deletedVideo",
        };
        let (member, id) = apart(&entry.id).unwrap_or_else(|| (MEMBER.to_owned(), entry.id.clone()));
        let named = details.fields.iter().find(|(name, _)| name == "member").map_or(self.of.list.as_str(), |(_, name)| name);
        let time = super::time::read(&details.updated).map_or(self.of.made.as_str(), |_| &details.updated);
        let (member, named, id) = (escaped(&member), escaped(named), escaped(&id));
        write!(
            self.out,
            "<{name}><member id=\"{member}\">{named}</member><timestamp>{}</timestamp><id>{id}</id>",
            escaped(time)
        )?;
        if !is_deleted {
            self.counts.hashes_left_out += (entry.hashes.len() - hashes.len()) as u64;
            if !entry.category.is_empty() {
                write!(self.out, "<classification>{}</classification>", escaped(&entry.category))?;
            }
            self.out.write_all(b"<fingerprints>")?;
            hashes.into_iter().try_for_each(|(name, hash)| write!(self.out, "<{name}>{}</{name}>", hash.hex()))?;
            self.out.write_all(b"</fingerprints>")?;
            if entry.status == Status::Disputed {
                self.out.write_all(b"<feedback><negativeFeedback/></feedback>")?;
            }
        }
        writeln!(self.out, "</{name}>")
    }
}

/// NCMEC's name for a kind of hash.
fn fingerprint(kind: HashKind) -> Option<&'static str> {
    match kind {
        HashKind::Md5 => Some("md5"),
        HashKind::Sha1 => Some("sha1"),
        HashKind::Pdq => Some("pdq"),
        HashKind::PhotoDna => Some("pdna"),
        HashKind::Phash64 | HashKind::Dhash64 | HashKind::Sha256 => None,
    }
}

/// The member and the id that [`member_id`] puts together to this id, if it does.
fn apart(id: &str) -> Option<(String, String)> {
    let (member, rest) = id.split_once('/')?;
    let (member, rest) = (decoded(member)?, decoded(rest)?);
    // XML has no way to write most control characters.
    let can_be = |text: &String| !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control);
    (can_be(&member) && can_be(&rest) && member_id(&member, &rest) == id).then_some((member, rest))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first == b'%' {
            let mut byte = [0];
            hex::decode_to_slice(rest.get(..2)?, &mut byte).ok()?;
            bytes.push(byte[0]);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A field of a CSV, in quotes where it needs them (RFC 4180). Nothing is put before a field that begins with `=`, as a spreadsheet may take
/// for a formula: the id would be another one.
fn field(out: &mut dyn Write, text: &str) -> io::Result<()> {
    if !text.contains(['"', ',', '\n', '\r', ';', '\t']) && text.trim() == text {
        return out.write_all(text.as_bytes());
    }
    write!(out, "\"{}\"", text.replace('"', "\"\""))
}

/// A text of XML.
fn escaped(text: &str) -> Cow<'_, str> {
    quick_xml::escape::escape(text)
}

#[cfg(test)]
mod tests {
    use super::super::{Mapping, Row, read};
    use super::*;
    use std::ops::ControlFlow;

    fn hash(kind: HashKind, byte: u8) -> HashValue {
        HashValue::from_bytes(kind, &vec![byte; kind.bytes()]).unwrap()
    }

    fn written(format: Format, entries: &[(Entry, Details)]) -> (String, Counts) {
        let mut out = Vec::new();
        let mut writer = Writer::begin(format, bundle::tests::written(), &mut out).unwrap();
        entries.iter().for_each(|(entry, details)| writer.put(entry, details).unwrap());
        let counts = writer.finish().unwrap();
        (String::from_utf8(out).unwrap(), counts)
    }

    fn rows(format: Format, text: &str) -> Vec<Row> {
        let mut rows = Vec::new();
        read(format, &Mapping::default(), &mut text.as_bytes(), &mut |row| {
            rows.push(row.unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
        rows
    }

    fn entry(id: &str, category: &str, hashes: Vec<HashValue>) -> Entry {
        Entry::new(id.to_owned(), category.to_owned(), hashes).unwrap()
    }

    #[test]
    fn whatever_a_text_holds_a_csv_gives_it_back() {
        let texts = [
            "plain",
            " spaces ",
            "a,b;c\td",
            "\"quoted\"",
            "=cmd|' /C calc'!A0",
            "two\nlines\r\n",
            "é\u{2028}\u{feff}",
            "#x",
            "\0",
        ];
        let details = |text: &str| Details {
            tags: vec![text.to_owned(), "two words".to_owned()],
            note: text.to_owned(),
            updated: text.to_owned(),
            quality: Some(100),
            fields: vec![(text.to_owned(), text.to_owned()), ("id".to_owned(), "00112233445566778899aabbccddeeff".to_owned())],
            cut: true,
        };
        for text in texts {
            let (id, category) = if text.chars().any(char::is_control) { ("id", "") } else { (text, text) };
            let entry = entry(id, category, vec![hash(HashKind::Md5, 1)]).with_status(Status::Disputed);
            let (file, _) = written(Format::Csv, &[(entry.clone(), details(text))]);
            assert_eq!(Format::sniff(file.as_bytes()), Some(Format::Csv), "{file}");
            let [row] = rows(Format::Csv, &file).try_into().unwrap();
            assert_eq!((row.id.as_deref(), row.category.as_str(), row.status), (Some(id), category, entry.status), "{file}");
            assert!(row.details == details(text) && row.hashes == entry.hashes && row.unread.is_none(), "{file}");
        }
    }

    #[test]
    fn hashes_of_one_kind_take_a_row_each() {
        let hashes = vec![hash(HashKind::Pdq, 1), hash(HashKind::Pdq, 2), hash(HashKind::Sha256, 3), hash(HashKind::PhotoDna, 4)];
        let of = entry(" x", "A1", hashes.clone());
        let (file, counts) = written(Format::Csv, &[(of, Details { note: "n".into(), ..Details::default() })]);
        assert_eq!((file.lines().count(), counts.entries), (3, 1));
        let rows = rows(Format::Csv, &file);
        assert!(rows.iter().all(|row| (row.id.as_deref(), row.category.as_str()) == (Some(" x"), "A1")));
        let mut read: Vec<_> = rows.iter().flat_map(|row| row.hashes.clone()).collect();
        read.sort_unstable();
        assert!(read == hashes && rows[0].details.note == "n" && rows[1].details.is_empty());
    }

    #[test]
    fn xml_has_what_ncmec_has_a_place_for() {
        let md5 = hash(HashKind::Md5, 1);
        let video =
            Details { fields: vec![("media".into(), "video".into()), ("member".into(), "A & B".into())], ..Details::default() };
        let (file, counts) = written(
            Format::NcmecXml,
            &[
                (entry("a<&\">", "A1", vec![md5.clone(), hash(HashKind::Sha256, 2)]), Details::default()),
                (entry("42/a%2Fb", "", vec![hash(HashKind::PhotoDna, 3)]).with_status(Status::Disputed), video),
                (entry("43/x", "B1", vec![md5.clone()]).with_status(Status::Withdrawn), Details::default()),
                (entry("44/x", "B1", vec![hash(HashKind::Phash64, 5)]), Details::default()),
            ],
        );
        assert_eq!(counts, Counts { entries: 3, left_out: 1, hashes_left_out: 1 });
        assert_eq!(Format::sniff(file.as_bytes()), Some(Format::NcmecXml));
        let found = rows(Format::NcmecXml, &file);
        let seen: Vec<_> =
            found.iter().map(|row| (row.id.as_deref().unwrap(), row.category.as_str(), row.status, row.deleted)).collect();
        let (active, disputed) = (Status::Active, Status::Disputed);
        let expected =
            [("hashwarden/a<&\">", "A1", active, false), ("42/a%2Fb", "", disputed, false), ("43/x", "", active, true)];
        assert_eq!(seen, expected, "{file}");
        assert!(found[0].hashes == [md5] && found[1].hashes == [hash(HashKind::PhotoDna, 3)], "{file}");
        assert!(found[1].details.fields.contains(&("member".into(), "A & B".into())), "{file}");
    }

    #[test]
    fn lines_of_pdq_have_no_withdrawn_entry() {
        let (one, two) =
            (entry("1", "", vec![hash(HashKind::Pdq, 1), hash(HashKind::Md5, 2)]), entry("2", "", vec![hash(HashKind::Pdq, 3)]));
        let (file, counts) =
            written(Format::PdqText, &[(one, Details::default()), (two.with_status(Status::Withdrawn), Details::default())]);
        assert_eq!(
            (file.as_str(), counts),
            (format!("{}\n", "01".repeat(32)).as_str(), Counts { entries: 1, left_out: 1, hashes_left_out: 1 })
        );
    }
}
