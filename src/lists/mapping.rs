//! Which column of a delimited file holds what?
//!
//! A [`Mapping`] is what the operator says; what it leaves open is recognised by the columns' names. Columns are counted from 1 where people
//! see them. Invariant: a file whose hash columns are not clear is refused, and no error shows what could be a hash.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

use super::draft::FIELD_NAME_CHARS_MAX;
use super::said;
use super::value::{kind_by_length, looks_like_hash, normal, signal_kind};
use super::{ColumnUse, FileError};
use crate::entry::HashKind;
use crate::entry::shown::{is_name, name_or_not};

/// What the columns of a delimited file hold. As TOML:
///
/// ```toml
/// delimiter = ";"          # else: comma, tab or semicolon, the first of these that the header holds
/// header = "absent"        # "auto" (default), "present", "absent"
/// id = "MediaID"           # by name, in any case
/// category = 4             # or by number, from 1
/// status = "state"         # active, disputed, or withdrawn: in the list and not matched
/// member = "ESP"           # ids become MEMBER/ID
/// [hashes]                 # once any is given, only these are read
/// md5 = "Hash value"
/// [signal]                 # or: the kind in one column, the hash in another
/// type = "signal_type"
/// value = "signal_str"
/// ```
///
/// The default reads what it can recognise: columns named after a kind of hash; a column of signal types beside one of values; `hash`
/// beside `quality`, as the PDQ tool writes; a file without a header whose first field is a hash, with ids where it has the four or five
/// columns of a ThreatExchange export. In a column that is just called `hash`, the length says the kind, and 64 digits are refused: they could be
/// PDQ or SHA-256. Without a header they are PDQ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    pub header: Header,
    /// One ASCII character.
    pub delimiter: Option<char>,
    #[serde(deserialize_with = "by_kind")]
    pub hashes: Vec<(HashKind, Column)>,
    pub signal: Option<Signal>,
    pub id: Option<Column>,
    pub category: Option<Column>,
    /// Holds yes, true, 1 or deleted where the row takes its entry off the list; no, false, 0 or nothing where it does not.
    pub deleted: Option<Column>,
    /// Holds active, disputed, withdrawn or deleted. Not recognised by the name `status` alone, which says other things in many files.
    pub status: Option<Column>,
    /// Whose numbering the ids are of: they become `MEMBER/ID`, percent-encoded.
    pub member: Option<Column>,
    /// Tags with white space, commas or semicolons between them.
    pub tags: Option<Column>,
    pub note: Option<Column>,
    /// When the source last changed the entry.
    pub updated: Option<Column>,
    /// PDQ quality, 0 to 100.
    pub quality: Option<Column>,
}

/// A column by its number, from 1, or by its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a column is its number, from 1, or its name in quotes")]
pub enum Column {
    Number(u32),
    Name(String),
}

impl Mapping {
    /// The names of its fields, sorted, as they stand in a file.
    pub const KEYS: [&str; 13] = [
        "category",
        "deleted",
        "delimiter",
        "hashes",
        "header",
        "id",
        "member",
        "note",
        "quality",
        "signal",
        "status",
        "tags",
        "updated",
    ];
}

impl Signal {
    pub const KEYS: [&str; 2] = ["type", "value"];
}

/// Whether the first row holds names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Header {
    /// It does unless there is a hash where a hash belongs.
    #[default]
    Auto,
    Present,
    Absent,
}

/// A pair of columns: the kind of a hash and the hash.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    #[serde(rename = "type")]
    pub kind: Column,
    pub value: Column,
}

fn by_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(HashKind, Column)>, D::Error> {
    let named = BTreeMap::<String, Column>::deserialize(deserializer)?;
    let kind =
        |name: String| signal_kind(&name).ok_or_else(|| de::Error::custom(format!("unknown hash kind {}", name_or_not(&name))));
    named.into_iter().map(|(name, column)| Ok((kind(name)?, column))).collect()
}

/// Columns of one file, counted from 0.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    pub width: usize,
    pub hashes: Vec<(usize, KindFrom)>,
    pub id: Option<usize>,
    pub category: Option<usize>,
    pub deleted: Option<usize>,
    pub status: Option<usize>,
    pub member: Option<usize>,
    pub tags: Option<usize>,
    pub note: Option<usize>,
    pub updated: Option<usize>,
    pub quality: Option<usize>,
    /// What an export says of entries beside its other columns.
    pub said: Option<usize>,
    /// All others, with their names.
    pub fields: Vec<(usize, String)>,
    /// The first row is data, not names.
    pub headerless: bool,
}

/// More columns than this are no hash list's.
const COLUMNS_MAX: usize = 1024;

impl Columns {
    /// What was made of each column; `first` is the file's first row.
    pub fn uses(&self, first: &[&str]) -> Vec<ColumnUse> {
        let name = |at: usize| first.get(at).filter(|name| !self.headerless && is_name(name)).map_or("", |name| *name);
        let uses = |at| ColumnUse { name: name(at).to_owned(), used_as: self.used_as(at) };
        (0..self.width).map(uses).collect()
    }

    fn used_as(&self, at: usize) -> Option<&'static str> {
        let hash = self.hashes.iter().find_map(|(hash, from)| match from {
            KindFrom::Mapping(kind) if *hash == at => Some(kind.name()),
            KindFrom::Column(_) | KindFrom::Length if *hash == at => Some("hash"),
            KindFrom::Column(kind) if *kind == at => Some("kind of hash"),
            _ => None,
        });
        let field = || self.fields.iter().any(|(field, _)| *field == at).then_some("field");
        hash.or_else(|| self.others().into_iter().find_map(|(column, what)| (column == Some(at)).then_some(what))).or_else(field)
    }

    fn others(&self) -> [(Option<usize>, &'static str); 10] {
        [
            (self.id, "id"),
            (self.category, "category"),
            (self.deleted, "deletion mark"),
            (self.status, "status"),
            (self.member, "member"),
            (self.tags, "tags"),
            (self.note, "note"),
            (self.updated, "updated"),
            (self.quality, "quality"),
            (self.said, "details"),
        ]
    }

    /// Whether rows can say more than content.
    pub fn has_details(&self) -> bool {
        let said = [self.status, self.tags, self.note, self.updated, self.quality, self.said];
        !self.fields.is_empty() || said.iter().any(Option::is_some)
    }

    /// The kind stands in the row, as ThreatExchange writes it.
    pub fn has_signals(&self) -> bool {
        self.hashes.iter().any(|(_, from)| matches!(from, KindFrom::Column(_)))
    }

    pub fn reads(&self, at: usize) -> bool {
        self.others().iter().any(|(column, _)| *column == Some(at))
            || self.hashes.iter().any(|(hash, from)| *hash == at || *from == KindFrom::Column(at))
    }
}

/// What says a hash's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KindFrom {
    Mapping(HashKind),
    Column(usize),
    Length,
}

/// ThreatExchange's exports without a header: `indicator,descriptor_id,added_on,tags`, or with `indicator_id` in second place.
pub(super) fn is_threatexchange_width(columns: usize) -> bool {
    matches!(columns, 4 | 5)
}

impl Mapping {
    /// The delimiter: the mapping's, or the first of comma, tab and semicolon that the file's first line holds.
    pub(super) fn delimiter(&self, first_line: &[u8]) -> u8 {
        match self.delimiter.and_then(|c| u8::try_from(c).ok()) {
            Some(delimiter) => delimiter,
            None => *b",\t;".iter().find(|d| first_line.contains(d)).unwrap_or(&b','),
        }
    }

    /// Refuses what no file could make right.
    pub(super) fn check(&self) -> Result<(), FileError> {
        if self.delimiter.is_some_and(|c| !c.is_ascii() || "\"\r\n".contains(c)) {
            return Err(FileError::Mapping(
                "the delimiter must be one ASCII character, and neither a quotation mark nor a line break".to_owned(),
            ));
        }
        if self.header == Header::Absent && self.columns().any(|c| matches!(c, Column::Name(_))) {
            return Err(FileError::Mapping("a file without a header has column numbers only, no names".to_owned()));
        }
        if self.columns().any(|c| *c == Column::Number(0)) {
            return Err(FileError::Mapping("columns are numbered from 1".to_owned()));
        }
        Ok(())
    }

    /// Finds the columns by the file's first row.
    pub(super) fn resolve(&self, first: &[&str]) -> Result<Columns, FileError> {
        if first.len() > COLUMNS_MAX {
            return Err(FileError::Header(format!("it has {} columns; at most {COLUMNS_MAX} are read", first.len())));
        }
        let headerless = match self.header {
            Header::Present => false,
            Header::Absent => true,
            Header::Auto => self.is_data(first),
        };
        let names: &[&str] = if headerless { &[] } else { first };
        let mut columns = Columns { width: first.len(), headerless, ..Columns::default() };
        let at = |column: &Column| column_at(column, first, names);
        for (kind, column) in &self.hashes {
            columns.hashes.push((at(column)?, KindFrom::Mapping(*kind)));
        }
        if let Some(signal) = &self.signal {
            columns.hashes.push((at(&signal.value)?, KindFrom::Column(at(&signal.kind)?)));
        }
        if columns.hashes.is_empty() {
            columns.hashes = if headerless { first_is_hash(first)? } else { by_name(names)? };
        }
        let or_named = |column: &Option<Column>, what, known: &[&str]| match column {
            Some(column) => at(column).map(Some),
            None => one_of(names, what, known),
        };
        columns.id = or_named(&self.id, "id", &["id", "entryid", "descriptorid", "mediaid", "imageid", "uuid", "guid"])?;
        columns.category = or_named(&self.category, "category", &["category", "classification"])?;
        columns.deleted = or_named(&self.deleted, "deletion mark", &["deleted", "isdeleted", "shoulddelete"])?;
        columns.status = or_named(&self.status, "status", &["hashstatus", "entrystatus"])?;
        columns.member = self.member.as_ref().map(at).transpose()?;
        let at_or_first = |column: &Option<Column>, known: &[&str]| match column {
            Some(column) => at(column).map(Some),
            None => Ok((0..names.len()).find(|at| known.contains(&normal(names[*at]).as_str()))),
        };
        columns.tags = at_or_first(&self.tags, &["tags"])?;
        columns.note = at_or_first(&self.note, &["note", "notes", "comment", "comments"])?;
        columns.updated = at_or_first(
            &self.updated,
            &["updated", "lastupdated", "dateupdated", "updatedat", "lastmodified", "timestamp", "addedon", "createdon"],
        )?;
        columns.quality = at_or_first(&self.quality, &["quality", "pdqquality"])?;
        columns.said = one_of(names, "details", &[said::COLUMN])?;
        if headerless && self.is_silent() && is_threatexchange_width(first.len()) {
            columns.id = Some(first.len() - 3);
            columns.updated = Some(first.len() - 2);
            columns.tags = Some(first.len() - 1);
        }
        let name = |at: usize| match names.get(at).filter(|name| !name.is_empty()) {
            Some(name) if is_name(name) => name.chars().take(FIELD_NAME_CHARS_MAX).collect(),
            _ => format!("column {}", at + 1),
        };
        columns.fields = (0..first.len()).filter(|at| !columns.reads(*at)).map(|at| (at, name(at))).collect();
        Ok(columns)
    }

    /// Whether the first row holds a hash where one belongs, or what could be a damaged one.
    fn is_data(&self, first: &[&str]) -> bool {
        let damaged = |column: &Column| match column {
            Column::Name(_) => false,
            Column::Number(n) => first.get(*n as usize - 1).is_some_and(|cell| looks_like_hash(cell)),
        };
        if self.columns().any(|c| matches!(c, Column::Name(_))) {
            return false;
        }
        if let Some(signal) = &self.signal {
            return damaged(&signal.value);
        }
        match self.hashes.as_slice() {
            [] => first.first().is_some_and(|cell| looks_like_hash(cell)),
            hashes => hashes.iter().any(|(_, column)| damaged(column)),
        }
    }

    /// Whether it says nothing about columns.
    fn is_silent(&self) -> bool {
        self.columns().next().is_none()
    }

    fn columns(&self) -> impl Iterator<Item = &Column> {
        let pair = self.signal.iter().flat_map(|s| [&s.kind, &s.value]);
        let others = [
            &self.id,
            &self.category,
            &self.deleted,
            &self.status,
            &self.member,
            &self.tags,
            &self.note,
            &self.updated,
            &self.quality,
        ];
        let others = others.into_iter().flatten();
        self.hashes.iter().map(|(_, column)| column).chain(pair).chain(others)
    }
}

fn column_at(column: &Column, first: &[&str], names: &[&str]) -> Result<usize, FileError> {
    let at = match column {
        Column::Number(n) => Some(*n as usize - 1).filter(|at| *at < first.len()),
        Column::Name(wanted) => {
            let mut named = (0..names.len()).filter(|at| names[*at].eq_ignore_ascii_case(wanted.trim()));
            let at = named.next();
            if named.next().is_some() {
                return Err(FileError::Mapping(format!("two columns are named {}; give a number", name_or_not(wanted))));
            }
            at
        }
    };
    at.ok_or_else(|| {
        let wanted = match column {
            Column::Number(n) => n.to_string(),
            Column::Name(name) => name_or_not(name),
        };
        FileError::NoColumn { wanted, found: listed(first) }
    })
}

/// Without a header: a hash in the first column, whose length says the kind of all.
fn first_is_hash(first: &[&str]) -> Result<Vec<(usize, KindFrom)>, FileError> {
    match first.first().and_then(|cell| kind_by_length(cell)) {
        Some(kind) => Ok(vec![(0, KindFrom::Mapping(kind))]),
        None => Err(FileError::Mapping(
            "the first row has neither column names nor an MD5, SHA-1 or PDQ in its first column: say which column holds which kind".to_owned(),
        )),
    }
}

/// Names of a column that holds hashes of a kind that something else says.
const HASH_NAMES: [&str; 6] = ["signalstr", "indicator", "hash", "hashvalue", "signal", "value"];

/// Whether a file's only column would be read as one of hashes.
pub(super) fn names_a_hash(name: &str) -> bool {
    signal_kind(name).is_some() || HASH_NAMES.contains(&normal(name).as_str())
}

/// By the header's names. Every column named after a kind is read; a pair of type and value is looked for where there is none.
fn by_name(names: &[&str]) -> Result<Vec<(usize, KindFrom)>, FileError> {
    let named: Vec<_> = (0..names.len()).filter_map(|at| Some((at, KindFrom::Mapping(signal_kind(names[at])?)))).collect();
    if !named.is_empty() {
        return Ok(named);
    }
    let value = one_of(names, "hash", &HASH_NAMES)?.ok_or_else(|| {
        if names.iter().any(|name| looks_like_hash(name)) {
            return FileError::Mapping(
                "the first row holds a hash, not column names: say which column holds which kind".to_owned(),
            );
        }
        FileError::NoHashColumn { found: listed(names) }
    })?;
    if let Some(kind) = one_of(names, "hash kind", &["signaltype", "type", "hashtype", "hashname", "indicatortype"])? {
        return Ok(vec![(value, KindFrom::Column(kind))]);
    }
    let pdq_tool = one_of(names, "quality", &["quality"])?.is_some();
    Ok(vec![(value, if pdq_tool { KindFrom::Mapping(HashKind::Pdq) } else { KindFrom::Length })])
}

/// The column with one of these (normal) names.
fn one_of(names: &[&str], what: &'static str, known: &[&str]) -> Result<Option<usize>, FileError> {
    let mut found = (0..names.len()).filter(|at| known.contains(&normal(names[*at]).as_str()));
    let first = found.next();
    if found.next().is_some() {
        return Err(FileError::Twice(what));
    }
    Ok(first)
}

/// The first row's fields for an error text, without what could be a hash.
fn listed(first: &[&str]) -> String {
    const SHOWN_MAX: usize = 20;
    let shown = first.iter().take(SHOWN_MAX).map(|name| name_or_not(name));
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if first.len() > SHOWN_MAX {
        text += &format!(" and {} more", first.len() - SHOWN_MAX);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use HashKind::*;
    use KindFrom::{Column as FromColumn, Length, Mapping as As};

    fn resolve(mapping: &str, first: &str) -> Result<Columns, FileError> {
        let mapping: Mapping = serde_json::from_str(mapping).unwrap();
        mapping.check()?;
        mapping.resolve(&first.split(',').collect::<Vec<_>>())
    }

    #[test]
    fn columns_are_recognised_by_their_names() {
        let check = |header: &str, hashes: &[(usize, KindFrom)], id, category, deleted| {
            let columns = resolve("{}", header).unwrap();
            assert_eq!((columns.hashes.as_slice(), columns.headerless), (hashes, false), "{header}");
            assert_eq!((columns.id, columns.category, columns.deleted), (id, category, deleted), "{header}");
        };
        check("id,category,pdq,md5", &[(2, As(Pdq)), (3, As(Md5))], Some(0), Some(1), None);
        check("signal_type,signal_str,collab,category,tags", &[(1, FromColumn(0))], None, Some(3), None);
        check("hash,quality,filename", &[(0, As(Pdq))], None, None, None);
        check("hash,filename", &[(0, Length)], None, None, None);
        check("MediaID,Category,MD5,SHA-1,deleted", &[(2, As(Md5)), (3, As(Sha1))], Some(0), Some(1), Some(4));
        check("pdq", &[(0, As(Pdq))], None, None, None);
        check("md5,hash,type", &[(0, As(Md5))], None, None, None);
    }

    #[test]
    fn each_column_s_use_is_told() {
        let check = |first: &str, expected: &[(&str, &str)]| {
            let first: Vec<&str> = first.split(',').collect();
            let uses = Mapping::default().resolve(&first).unwrap().uses(&first);
            let uses: Vec<_> = uses.iter().map(|column| (column.name.as_str(), column.used_as.unwrap_or("-"))).collect();
            assert_eq!(uses, expected, "{first:?}");
        };
        check(
            "id,Category,MD5,note,deleted",
            &[("id", "id"), ("Category", "category"), ("MD5", "md5"), ("note", "note"), ("deleted", "deletion mark")],
        );
        check("signal_type,signal_str,tags", &[("signal_type", "kind of hash"), ("signal_str", "hash"), ("tags", "tags")]);
        check("pdq,deadbeefcafe", &[("pdq", "pdq"), ("", "field")]);
        check("00112233445566778899aabbccddeeff,x", &[("", "md5"), ("", "field")]);
    }

    #[test]
    fn files_without_a_header_are_recognised_by_a_hash_in_front() {
        let p = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";
        let m = "00112233445566778899aabbccddeeff";
        let check = |first: &str, kind, id| {
            let columns = resolve("{}", &first.replace("{P}", p).replace("{M}", m)).unwrap();
            assert_eq!((columns.hashes, columns.id, columns.headerless), (vec![(0, As(kind))], id, true), "{first}");
        };
        check("{P},11,2024-01-01,a b", Pdq, Some(1));
        check("{M},10,11,2024-01-01,", Md5, Some(2));
        check("{P},11", Pdq, None);
        check("{M}", Md5, None);
    }

    #[test]
    fn a_mapping_is_followed() {
        let m = "00112233445566778899aabbccddeeff";
        let check = |mapping: &str, first: &str, hashes: &[(usize, KindFrom)], id, headerless| {
            let columns = resolve(mapping, first).unwrap();
            assert_eq!((columns.hashes.as_slice(), columns.id, columns.headerless), (hashes, id, headerless), "{mapping}");
        };
        check(r#"{"hashes":{"md5":"Hash value"}}"#, "id,hash VALUE,sha1", &[(1, As(Md5))], Some(0), false);
        check(r#"{"hashes":{"SHA-256":2},"id":3}"#, "id,x,y", &[(1, As(Sha256))], Some(2), false);
        check(r#"{"hashes":{"md5":2},"id":1}"#, &format!("a,{m}"), &[(1, As(Md5))], Some(0), true);
        // A damaged hash in the first row is a bad row, not a header.
        check(r#"{"hashes":{"md5":2}}"#, &format!("a,{}", &m[1..]), &[(1, As(Md5))], None, true);
        check(r#"{"hashes":{"md5":2},"header":"present"}"#, &format!("a,{m}"), &[(1, As(Md5))], None, false);
        check(r#"{"signal":{"type":1,"value":2},"header":"absent"}"#, "md5,x", &[(1, FromColumn(0))], None, true);
        check(r#"{"signal":{"type":1,"value":2}}"#, &format!("md5,{m}"), &[(1, FromColumn(0))], None, true);
        check(r#"{"signal":{"type":"t","value":"v"}}"#, "v,t", &[(0, FromColumn(1))], None, false);
    }

    #[test]
    fn what_is_not_clear_is_refused_in_words() {
        let m = "00112233445566778899aabbccddeeff";
        let check = |mapping: &str, first: &str, expected: &str| {
            let error = resolve(mapping, &first.replace("{M}", m)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains(&m[..8]) && !error.contains("ABEiM") && !error.contains("00 11"), "{error}");
        };
        check("{}", "id,name", r#"columns found: "id", "name""#);
        check("{}", "id,{M}", "the first row holds a hash, not column names");
        check("{}", "0011223344556677,a", "neither column names nor");
        check("{}", "id,entry_id,pdq", "two columns could be the id");
        check("{}", "hash,value", "two columns could be the hash");
        check("{}", &vec!["x"; 30].join(","), "and 10 more");
        check("{}", &vec!["md5"; 1025].join(","), "it has 1025 columns; at most 1024 are read");
        // What is left of a hash in the place of a name: quoted, cut, damaged, spaced out, in base64.
        for left in ["\"{M}", "{M}xyz", " x{M}", "ABEiM0RVZneImaq7zN3u/w", "00 11 22 33 44 55 66 77"] {
            check("{}", &format!("id,{left}"), r#"columns found: "id", (not shown)"#);
        }
        check(r#"{"header":"absent"}"#, "pdq", "neither column names nor");
        check(r#"{"id":"nr"}"#, "id,pdq", r#"column "nr", which the file does not have; columns found: "id", "pdq""#);
        check(r#"{"hashes":{"md5":3}}"#, "a,{M}", r#"column 3, which the file does not have; columns found: "a", (not shown)"#);
        check(r#"{"hashes":{"md5":0}}"#, "a", "numbered from 1");
        check(r#"{"id":"a","header":"absent"}"#, "a", "column numbers only");
        check(r#"{"id":"a"}"#, "a,A,pdq", "two columns are named");
        check(r#"{"delimiter":"\""}"#, "pdq", "one ASCII character");
        check(r#"{"delimiter":"é"}"#, "pdq", "one ASCII character");
        for bad in [r#"{"hashes":{"phash":1}}"#, r#"{"ids":1}"#, r#"{"signal":{"type":1}}"#, r#"{"header":"maybe"}"#] {
            assert!(serde_json::from_str::<Mapping>(bad).is_err(), "{bad}");
        }
    }
}
