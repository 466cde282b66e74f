//! Which rows does a delimited file hold?
//!
//! Every row has as many columns as the first one. An empty hash field says that the entry has no hash of that kind; a field that cannot be
//! read makes the row an error, whatever its other fields hold.

use std::io::BufRead;
use std::ops::ControlFlow;

use super::mapping::{Columns, KindFrom, Mapping};
use super::record::{Next, Records};
use super::said::Said;
use super::value::check_text;
use super::{FileError, Layout, LeftOut, Row, RowError, value};
use crate::entry::shown::{counted, is_visible, name_or_not};
use crate::entry::{CATEGORY_BYTES_MAX, Details, ENTRY_HASHES_MAX, ENTRY_ID_BYTES_MAX, HashKind, HashValue, Status, member_id};

pub(super) fn read(
    mapping: &Mapping,
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(Result<Row, RowError>) -> ControlFlow<()>,
) -> Result<Layout, FileError> {
    mapping.check()?;
    let mut records = Records::new(input);
    let mut first = records.first(|line| mapping.delimiter(line))?;
    if let (Next::Record, Some(delimiter)) = (&first, records.text().ok().and_then(said_delimiter)) {
        records.delimit(delimiter);
        first = records.next()?;
    }
    match first {
        Next::End => return Err(FileError::Empty),
        Next::Bad(reason) => return Err(FileError::Header(reason)),
        Next::Record => {}
    }
    let (columns, layout) = {
        let text = records.text().map_err(|_| FileError::Header("not valid UTF-8".to_owned()))?;
        let first: Vec<&str> = (0..records.len()).map(|at| records.field(text, at)).collect();
        let columns = mapping.resolve(&first)?;
        let layout = Layout { columns: columns.uses(&first), more: false };
        (columns, layout)
    };
    let mut next = if columns.headerless { Next::Record } else { records.next()? };
    loop {
        let row = match next {
            Next::End => return Ok(layout),
            Next::Bad(reason) => Err(Refused { reason, loses_hashes: false }),
            Next::Record if records.spans_lines() && has_swallowed(&columns, &records) => return Err(records.swallowed()),
            Next::Record => row(&columns, &records),
        };
        let line = records.line;
        if each(row.map_err(|Refused { reason, loses_hashes }| RowError { line, record: 0, reason, loses_hashes })).is_break() {
            return Ok(layout);
        }
        next = records.next()?;
    }
}

/// The delimiter that spreadsheets write before everything else, as `sep=;`.
pub(super) fn said_delimiter(text: &str) -> Option<u8> {
    let (name, [delimiter]) = text.as_bytes().split_at_checked(4)? else { return None };
    let fits = delimiter.is_ascii() && !delimiter.is_ascii_alphanumeric() && *delimiter != b'"';
    (name.eq_ignore_ascii_case(b"sep=") && fits).then_some(*delimiter)
}

/// Whether a record of several lines holds other rows: an unclosed quote met another row's. Then it does not fit the columns, or a hash
/// stands inside one of its fields.
fn has_swallowed(columns: &Columns, records: &Records<'_>) -> bool {
    let Ok(text) = records.text() else { return true };
    let fields = (0..records.len()).map(|at| records.field(text, at)).filter(|field| field.contains('\n'));
    let mut words = fields.flat_map(|field| field.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c))));
    records.len() != columns.width || words.any(value::is_hash_within)
}

/// Why a record is no row.
struct Refused {
    reason: String,
    loses_hashes: bool,
}

fn row(columns: &Columns, records: &Records<'_>) -> Result<Row, Refused> {
    let refused = |reason| Refused { reason, loses_hashes: false };
    let text = records.text().map_err(|_| refused("not valid UTF-8".to_owned()))?;
    if records.len() != columns.width {
        let found = counted(records.len() as u64, "column", "columns");
        return Err(refused(format!("it has {found} and the first row has {}", columns.width)));
    }
    let (hashes, bad) = hashes(columns, records, text);
    match bad {
        None => fields(columns, records, text, &hashes).map(|row| Row { hashes, ..row }).map_err(refused),
        Some(reason) if hashes.is_empty() => Err(refused(reason)),
        Some(reason) => Err(Refused { reason: format!("{reason}; the row's other hashes are rejected too"), loses_hashes: true }),
    }
}

/// The hashes that could be read, and why the first that could not.
fn hashes(columns: &Columns, records: &Records<'_>, text: &str) -> (Vec<HashValue>, Option<String>) {
    let (mut hashes, mut bad) = (Vec::with_capacity(columns.hashes.len()), None);
    for (at, kind) in &columns.hashes {
        let hash = records.field(text, *at);
        if hash.is_empty() {
            continue;
        }
        let read = match kind {
            KindFrom::Mapping(kind) => value::listed(*kind, hash).map_err(|e| e.to_string()),
            KindFrom::Column(kind) => signal(records.field(text, *kind), hash),
            KindFrom::Length => by_length(hash),
        };
        match read {
            Ok(hash) => hashes.push(hash),
            Err(reason) => _ = bad.get_or_insert_with(|| format!("column {}: {reason}", at + 1)),
        }
    }
    (hashes, bad)
}

/// The row but for its hashes.
fn fields(columns: &Columns, records: &Records<'_>, text: &str, hashes: &[HashValue]) -> Result<Row, String> {
    let field = |at: Option<usize>| at.map_or("", |at| records.field(text, at));
    let exported =
        Said::read(field(columns.said)).map_err(|why| format!("column {}: {why}", columns.said.map_or(0, |at| at + 1)))?;
    let id = exported.id.as_deref().unwrap_or_else(|| field(columns.id));
    let category = exported.category.as_deref().unwrap_or_else(|| field(columns.category));
    check_text("id", id, ENTRY_ID_BYTES_MAX)?;
    check_text("category", category, CATEGORY_BYTES_MAX)?;
    // A hotline that takes an entry back may leave its hashes out.
    let is_withdrawn = columns.status.is_some() && status(field(columns.status)) == Some(Status::Withdrawn);
    let deleted = deleted(field(columns.deleted))? || is_withdrawn && hashes.is_empty() && !id.is_empty();
    if !deleted && !id.is_empty() && !is_visible(id) {
        return Err("the id has no visible character".to_owned());
    }
    if hashes.len() > ENTRY_HASHES_MAX {
        return Err(format!("{} hashes; an entry has at most {ENTRY_HASHES_MAX}", hashes.len()));
    }
    if hashes.is_empty() && (!deleted || id.is_empty()) {
        return Err("no hash".to_owned());
    }
    let member = field(columns.member);
    check_text("member", member, ENTRY_ID_BYTES_MAX)?;
    let id = match member {
        "" => id.to_owned(),
        _ if id.is_empty() => return Err("it names a member and no id".to_owned()),
        member => member_id(member, id),
    };
    check_text("id", &id, ENTRY_ID_BYTES_MAX)?;
    let (status, mut details) = if columns.has_details() { said(columns, records, text) } else { Default::default() };
    let category = category.to_owned();
    match details.is_empty() {
        true => details = exported.details(),
        false => details.join(exported.details()),
    }
    let is_unsought = columns.has_signals() && UNSOUGHT.iter().any(|class| class.eq_ignore_ascii_case(&category));
    let looks_like_hash = |at: &usize| value::kind_by_length(records.field(text, *at)).is_some();
    Ok(Row {
        id: (!id.is_empty()).then_some(id),
        category,
        status,
        details,
        deleted,
        left_out: is_unsought.then_some(LeftOut::Unsought),
        unread: (0..columns.width).find(|at| !columns.reads(*at) && looks_like_hash(at)).map(|at| at + 1),
        ..Row::at(0, records.line)
    })
}

/// What the row says of its entry beside its content.
fn said(columns: &Columns, records: &Records<'_>, text: &str) -> (Status, Details) {
    let field = |at: Option<usize>| at.map_or("", |at| records.field(text, at));
    let mut details =
        Details { note: field(columns.note).to_owned(), updated: field(columns.updated).to_owned(), ..Details::default() };
    let tags = field(columns.tags).split(|c: char| c.is_whitespace() || matches!(c, ',' | ';')).filter(|tag| !tag.is_empty());
    details.tags = tags.map(str::to_owned).collect();
    // What is not understood is kept as it came.
    let mut keep = |name: &str, value: &str| {
        if !value.is_empty() {
            details.fields.push((name.to_owned(), value.to_owned()));
        }
    };
    columns.fields.iter().for_each(|(at, name)| keep(name, records.field(text, *at)));
    let status = status(field(columns.status));
    if status.is_none() {
        keep(super::STATUS_NOT_UNDERSTOOD, field(columns.status));
    }
    let quality = field(columns.quality);
    let read = quality.parse::<f32>().ok().filter(|quality| (0.0..=100.0).contains(quality));
    if read.is_none() {
        keep("quality", quality);
    }
    details.quality = read.map(|quality| quality.round() as u8);
    (status.unwrap_or_default(), details)
}

/// `None`: it says something else.
fn status(field: &str) -> Option<Status> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(field));
    if is(&["", "active", "received", "confirmed"]) {
        Some(Status::Active)
    } else if is(&["disputed"]) {
        Some(Status::Disputed)
    } else if is(&["withdrawn", "deleted", "retracted", "removed", "inactive"]) {
        Some(Status::Withdrawn)
    } else {
        None
    }
}

/// The categories of ThreatExchange's command line tool for what is known to be harmless, and for what its members do not agree on.
const UNSOUGHT: [&str; 2] = ["NEGATIVE_CLASS", "DISPUTED"];

fn signal(kind: &str, hash: &str) -> Result<HashValue, String> {
    match value::signal_kind(kind) {
        Some(kind) => value::listed(kind, hash).map_err(|e| e.to_string()),
        None => Err(format!("unknown signal type {}", name_or_not(kind))),
    }
}

fn by_length(hash: &str) -> Result<HashValue, String> {
    match value::kind_by_length(hash) {
        Some(HashKind::Pdq) => {
            Err("a hash of this length can be PDQ or SHA-256; name the column after its kind, or give a mapping".to_owned())
        }
        Some(kind) => value::listed(kind, hash).map_err(|e| e.to_string()),
        None => Err("neither an MD5 nor a SHA-1, as hex digits or base64".to_owned()),
    }
}

fn deleted(field: &str) -> Result<bool, String> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(field));
    if is(&["", "0", "false", "no", "n"]) {
        Ok(false)
    } else if is(&["1", "true", "yes", "y", "deleted"]) {
        Ok(true)
    } else {
        Err("the deletion mark is neither yes nor no".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    const P: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";
    const M: &str = "00112233445566778899aabbccddeeff";
    const S: &str = "00112233445566778899aabbccddeeff00112233";

    /// The text with {P} (a PDQ), {U} (in upper case), {B} (in base64), {M} (an MD5), {S} (a SHA-1) filled in.
    fn filled(text: &str) -> String {
        let text = text.replace("{P}", P).replace("{U}", &P.to_uppercase());
        text.replace("{B}", "+PjwzuD0qE8GNwoiA49j8LNuLtWWYh4dM+aznE6cmyI=").replace("{M}", M).replace("{S}", S)
    }

    /// Each row as "line id category hashes", with "-" for no id, an "x" before a tombstone and a "-" before what is not sought, or
    /// "line:reason".
    fn rows(mapping: &str, input: &[u8]) -> Result<Vec<String>, FileError> {
        let mapping: Mapping = serde_json::from_str(mapping).unwrap();
        let mut seen = Vec::new();
        read(&mapping, &mut &input[..], &mut |row| {
            seen.push(match row {
                Ok(row) => {
                    let mut text = format!("{} {} {}", row.line, row.id.as_deref().unwrap_or("-"), row.category);
                    for hash in &row.hashes {
                        let shown = match hash.hex().as_str() {
                            P => "P",
                            M => "M",
                            S => "S",
                            _ => "?",
                        };
                        write!(text, " {}={shown}", hash.kind()).unwrap();
                    }
                    match (row.deleted, row.left_out.is_some()) {
                        (true, _) => format!("x{text}"),
                        (_, true) => format!("-{text}"),
                        _ => text,
                    }
                }
                Err(e) => format!("{}:{}", e.line, e.reason),
            });
            ControlFlow::Continue(())
        })?;
        Ok(seen)
    }

    fn check(input: &str, expected: &[&str]) {
        assert_eq!(rows("{}", filled(input).as_bytes()).unwrap(), expected, "{input:?}");
    }

    #[test]
    fn rows_are_read_by_the_header_s_names() {
        check("pdq\n{P}\n", &["2 -  pdq=P"]);
        check("\u{feff}ID,Category,PDQ,MD5\r\na,A1,{U},{M}\r\nb,,{B},\r\n", &["2 a A1 pdq=P md5=M", "3 b  pdq=P"]);
        check("id;md5;note\na;{M};x,y\n", &["2 a  md5=M"]);
        check("id\tsha1\na\t{S}\n", &["2 a  sha1=S"]);
        check("sep=;\r\nid;md5;note\r\na;{M};x,y\r\n", &["3 a  md5=M"]);
        check("SEP=|\nid|md5\na|{M}\n", &["3 a  md5=M"]);
        check("\"id\",\"pdq\"\n\"a,b\",\"{P}\"\n", &["2 a,b  pdq=P"]);
        check("hash,quality,filename\n{P},100,a.jpg\n", &["2 -  pdq=P"]);
        check("hash\n{M}\n{S}\n", &["2 -  md5=M", "3 -  sha1=S"]);
        check("id,pdq,note\n1,{P},\"two\nlines\"\n\n2,{P},\n", &["2 1  pdq=P", "5 2  pdq=P"]);
        check(
            "signal_type,signal_str,collab,category,tags\npdq,{P},c,NEGATIVE_CLASS,a b\nvideo_md5,{M},c,DISPUTED,\n\
             pdq,{P},c,POSITIVE_CLASS,\nmd5,{M},c,INVESTIGATION_SEED,\n",
            &["-2 - NEGATIVE_CLASS pdq=P", "-3 - DISPUTED md5=M", "4 - POSITIVE_CLASS pdq=P", "5 - INVESTIGATION_SEED md5=M"],
        );
        check("id,category,md5\na,DISPUTED,{M}\n", &["2 a DISPUTED md5=M"]);
        check(
            "id,md5,deleted\na,{M},no\nb,,yes\nc,{M},1\nd,,0\n,,true\n,{M},true\n",
            &["2 a  md5=M", "x3 b ", "x4 c  md5=M", "5:no hash", "6:no hash", "x7 -  md5=M"],
        );
        check("id,pdq\n", &[]);
    }

    #[test]
    fn exports_without_a_header_are_read() {
        check("{P},11,2024-01-01,a b\n{P},12,,\n", &["1 11  pdq=P", "2 12  pdq=P"]);
        check(
            "{M},10,11,2024-01-01,a b\n{P},10,12,,\n",
            &["1 11  md5=M", "2:column 1: an MD5 has 32 hex digits; this one has 64 digits"],
        );
        check("{M}\n{M}\n", &["1 -  md5=M", "2 -  md5=M"]);
    }

    #[test]
    fn a_mapping_decides() {
        let check = |mapping: &str, input: &str, expected: &[&str]| {
            assert_eq!(rows(mapping, filled(input).as_bytes()).unwrap(), expected, "{mapping}");
        };
        check(r#"{"hashes":{"sha256":"hash"}}"#, "hash,pdq\n{P},x\n", &["2 -  sha256=P"]);
        check(r#"{"hashes":{"md5":2},"id":3,"category":1}"#, "A1,{M},n1\nA2,{M},n2\n", &["1 n1 A1 md5=M", "2 n2 A2 md5=M"]);
        check(r#"{"delimiter":"|"}"#, "a,b|md5\n1|{M}\n", &["2 -  md5=M"]);
        check(r#"{"signal":{"type":2,"value":1}}"#, "{M},HASH_MD5\n{S},SHA-1\n", &["1 -  md5=M", "2 -  sha1=S"]);
    }

    #[test]
    fn a_bad_row_is_reported_and_the_rest_is_read() {
        let check = |header: &str, bad: &str, good: &str, reason: &str| {
            let text = filled(&format!("{header}\n{bad}\n{good}\n"));
            let seen = rows("{}", text.as_bytes()).unwrap();
            assert_eq!(seen[0], format!("2:{reason}"), "{bad:?}");
            assert!(seen.len() == 2 && seen[1].starts_with("3 "), "{seen:?}");
            assert!(!seen[0].contains("00112233") && !seen[0].contains("f8f8"), "an error repeats a hash");
        };
        check("id,pdq", "1", "2,{P}", "it has 1 column and the first row has 2");
        check("id,pdq", "1,{P},", "2,{P}", "it has 3 columns and the first row has 2");
        check("id,pdq", "1,", "2,{P}", "no hash");
        check("id,pdq", "1,{M}", "2,{P}", "column 2: a PDQ hash has 64 hex digits; this one has 32 digits");
        check("id,pdq", "\"1\"x,{P}", "2,{P}", "text follows a closing quote");
        // One good and one bad hash: nothing of the row is taken.
        let lost = |reason: &str| format!("{reason}; the row's other hashes are rejected too");
        check(
            "pdq,md5",
            "{P},zz",
            "{P},{M}",
            &lost("column 2: an MD5 has 32 hex digits; this one has characters that are not hex digits"),
        );
        check(
            "pdq,md5",
            "zz,{M}",
            "{P},{M}",
            &lost("column 1: a PDQ hash has 64 hex digits; this one has characters that are not hex digits"),
        );
        let zero = |digits| "0".repeat(digits);
        check("pdq,md5", &format!("{},", zero(64)), "{P},", "column 1: this pdq is all zeros: a placeholder, not a hash");
        check("id,md5", "1,d41d8cd98f00b204e9800998ecf8427e", "2,{M}", "column 2: this is the md5 of an empty file");
        check("hash,x", &format!("{},", zero(40)), "{M},", "column 1: this sha1 is all zeros: a placeholder, not a hash");
        check(
            "signal_type,signal_str",
            &format!("md5,{}", zero(32)),
            "pdq,{P}",
            "column 2: this md5 is all zeros: a placeholder, not a hash",
        );
        check(
            "hash",
            "{P}",
            "{M}",
            "column 1: a hash of this length can be PDQ or SHA-256; name the column after its kind, or give a mapping",
        );
        check("hash,x", "abc,", "{M},", "column 1: neither an MD5 nor a SHA-1, as hex digits or base64");
        check("signal_type,signal_str", "url,{P}", "pdq,{P}", "column 2: unknown signal type \"url\"");
        check("signal_type,signal_str", "{M},{P}", "pdq,{P}", "column 2: unknown signal type (not shown)");
        check("signal_type,signal_str", "ABEiM0RVZneImaq7zN3u/w,{P}", "pdq,{P}", "column 2: unknown signal type (not shown)");
        check("signal_type,signal_str", "'001122334455,{P}", "pdq,{P}", "column 2: unknown signal type (not shown)");
        check("signal_type,signal_str", ",{P}", "pdq,{P}", "column 2: unknown signal type \"\"");
        check("pdq,deleted", "{P},maybe", "{P},", "the deletion mark is neither yes nor no");
        let long = "x".repeat(257);
        check("pdq,category", &format!("{{P}},{}", &long[..65]), "{P},", "the category has 65 bytes; at most 64 are accepted");
        check("pdq,id", &format!("{{P}},{long}"), "{P},", "the id has 257 bytes; at most 256 are accepted");
        check("pdq,id", "{P},a\tb", "{P},a", "the id holds a control character");
        for unseen in ["\u{feff}", "\u{3164}", "\u{ad}", "\u{e0041}", "\u{ad}\u{200d}"] {
            check("pdq,id", &format!("{{P}},{unseen}"), "{P},a", "the id has no visible character");
        }
    }

    #[test]
    fn a_row_that_is_no_text_is_reported_and_reading_goes_on() {
        let input = [b"pdq,note\n".as_slice(), P.as_bytes(), b",\xff\n", P.as_bytes(), b",ok\n"].concat();
        assert_eq!(rows("{}", &input).unwrap(), ["2:not valid UTF-8", "3 -  pdq=P"]);
        // Bytes of two fields that would make a letter together.
        let input = [b"pdq,a,b\n".as_slice(), P.as_bytes(), b",\"\xc3\",\"\xa9\"\n"].concat();
        assert_eq!(rows("{}", &input).unwrap(), ["2:not valid UTF-8"]);
    }

    #[test]
    fn more_hashes_than_an_entry_holds_are_refused() {
        let columns = |text: &str| vec![text; ENTRY_HASHES_MAX + 1].join(",");
        let input = format!("{}\n{}\n", columns("md5"), columns(M));
        assert_eq!(rows("{}", input.as_bytes()).unwrap(), ["2:65 hashes; an entry has at most 64"]);
    }

    #[test]
    fn what_could_lose_rows_fails_the_file() {
        let check = |input: &[u8], expected: &str| {
            let error = rows("{}", input).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"", "the file is empty");
        check(b"\n\r\n", "the file is empty");
        check(b"sep=;\n", "the file is empty");
        check(b"\xff\xfei\0d\0", "UTF-16");
        check(b"id,\xffpdq\n", "the header can't be read: not valid UTF-8");
        check(b"\"id\"x,pdq\n", "the header can't be read: text follows a closing quote");
        check(b"id,pdq\n\"1", "a quotation mark on line 2 is not closed");
        check(b"id,name\n", "columns found: \"id\", \"name\"");
        // Line 2 forgets a quote; line 4 opens one and seems to close it: rows 2 to 4 would be gone without a word.
        check(
            filled("id,note,pdq\n1,\"a,{P}\n2,b,{P}\n3,\"c\",{P}\n").as_bytes(),
            "a quotation mark on line 2 is not closed on that line; the rows down to line 4 would be lost in it",
        );
        check(filled("pdq,note\n{P},\"a\n{P},b\n{P},\"\n").as_bytes(), "the rows down to line 4");
        check(filled("pdq,note\n{P},\"a\n{P},b\n{P},b\n").as_bytes(), "the rows down to line 4");
    }
}
