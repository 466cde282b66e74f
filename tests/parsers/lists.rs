//! A list file to rows.
//!
//! Whatever the bytes are: no panic, memory in proportion to the longest row, rows in the file's order, the same rows in whatever pieces the file
//! comes, and no text of an error that repeats what could be a hash. Rows that were taken, written as CSV, are read as the same.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;

use flate2::Compression;
use flate2::write::GzEncoder;
use hashwarden::demo::lists::write_csv;
use hashwarden::entry::{Entry, HashKind};
use hashwarden::lists::{Column, FileError, Format, Found, Header, Mapping, Row, RowError, Signal, Unpacking, each_list, read};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::memory;

const AMPLIFIED: usize = 64;
const BESIDE: usize = 4 * 1024 * 1024;
/// Of what may be packed: how much comes out, and the window of Zstandard beside it.
const UNPACKED_MAX: u64 = 1024 * 1024;
const PACKED_BESIDE: usize = 160 * 1024 * 1024;
/// The limit is noticed a buffer later.
const SLACK: u64 = 256 * 1024;
/// Hex digits in a row that may well be of a hash, unless they are letters alone.
const DIGITS_SHOWN_MAX: usize = 15;

/// Rows, and why the file failed, if it did.
type Taken = (Vec<Result<Row, RowError>>, Option<String>);

fn taken(format: Format, mapping: &Mapping, input: &mut dyn BufRead) -> Taken {
    let mut rows = Vec::new();
    let done = read(format, mapping, input, &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    (rows, done.err().map(|error| error.to_string()))
}

/// Gives a few bytes at a time.
struct InPieces<'a>(&'a [u8], usize);

impl Read for InPieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.1.min(out.len());
        self.0.read(&mut out[..n])
    }
}

fn mapping(which: u8) -> Mapping {
    let name = |name: &str| Column::Name(name.to_owned());
    match which % 5 {
        0 => Mapping::default(),
        1 => Mapping { delimiter: Some(';'), hashes: vec![(HashKind::Pdq, name("hash"))], ..Mapping::default() },
        2 => Mapping {
            header: Header::Absent,
            id: Some(Column::Number(1)),
            category: Some(Column::Number(2)),
            hashes: vec![(HashKind::Md5, Column::Number(3)), (HashKind::Sha256, Column::Number(4))],
            ..Mapping::default()
        },
        3 => Mapping { signal: Some(Signal { kind: name("type"), value: name("value") }), ..Mapping::default() },
        _ => Mapping { deleted: Some(name("deleted")), id: Some(name("id")), ..Mapping::default() },
    }
}

/// The format and the mapping that the lower half of the first byte stands for.
fn asked(which: u8) -> (Format, Mapping) {
    let lines = if which & 1 == 0 { Format::Csv } else { Format::PdqText };
    match which & 15 {
        10 => (Format::NcmecXml, Mapping::default()),
        11 => (Format::StopnciiJson, Mapping::default()),
        12 => (Format::ThreatexchangeJson, Mapping::default()),
        13 => (Format::VicsJson, Mapping::default()),
        which => (lines, mapping(which >> 1)),
    }
}

/// The first byte says the format, the mapping and the pieces.
pub fn check(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    if which & 15 == 15 {
        return check_packed(bytes, 1 + (which >> 4) as usize);
    }
    Format::sniff(bytes);
    let ((format, mapping), pieces) = (asked(*which), 1 + (which >> 4) as usize);
    let whole = memory::within(bytes.len() * AMPLIFIED + BESIDE, || taken(format, &mapping, &mut &bytes[..]));
    let in_pieces = taken(format, &mapping, &mut BufReader::with_capacity(pieces, InPieces(bytes, pieces)));
    assert_eq!(in_pieces, whole, "read in pieces of {pieces}, it is another");
    let (rows, failed) = whole;
    let mut last = 0;
    for row in &rows {
        let line = row.as_ref().map_or_else(|bad| bad.line, |row| row.line);
        assert!(line >= last, "line {line} after line {last}");
        last = line;
        if let Err(bad) = row {
            check_words(&bad.reason);
        }
    }
    failed.iter().for_each(|words| check_words(words));
    check_written(rows.into_iter().flatten().collect());
}

/// What comes out of a file that may be packed, in how many lists, and why it failed, if it did.
fn unpacked(input: &mut dyn BufRead) -> (Vec<Vec<u8>>, Option<String>) {
    let left = std::cell::Cell::new(UNPACKED_MAX);
    let mut lists = Vec::new();
    let done = each_list(input, &Unpacking { left: &left, bytes_max: UNPACKED_MAX }, &mut |Found { input, .. }| {
        let mut list = Vec::new();
        let read = input.read_to_end(&mut list);
        lists.push(list);
        read.map(|_| ()).map_err(FileError::from)
    });
    (lists, done.err().map(|error| error.to_string()))
}

/// Packed files come out the same in whatever pieces they come, and no more of them than the limit.
fn check_packed(bytes: &[u8], pieces: usize) {
    let whole = memory::within(PACKED_BESIDE, || unpacked(&mut &bytes[..]));
    let in_pieces = unpacked(&mut BufReader::with_capacity(pieces, InPieces(bytes, pieces)));
    assert_eq!(in_pieces.1.is_some(), whole.1.is_some(), "read in pieces of {pieces}, it is another");
    if whole.1.is_none() {
        assert_eq!(in_pieces, whole, "read in pieces of {pieces}, it is another");
    }
    assert!(whole.0.iter().map(|list| list.len() as u64).sum::<u64>() <= UNPACKED_MAX + SLACK);
    whole.1.iter().for_each(|words| check_words(words));
}

fn check_words(words: &str) {
    let runs = words.split(|c: char| !c.is_ascii_hexdigit()).filter(|run| run.contains(|c: char| c.is_ascii_digit()));
    assert!(runs.map(str::len).max() <= Some(DIGITS_SHOWN_MAX), "what may be a hash is shown: {words}");
}

/// Rows that are entries, written and read again. One hash of a kind in a row: CSV has a column for each.
fn check_written(rows: Vec<Row>) {
    let mut entries = Vec::new();
    for (n, row) in rows.into_iter().filter(|row| !row.deleted).enumerate() {
        let mut hashes = row.hashes;
        hashes.sort_unstable();
        hashes.dedup_by_key(|hash| hash.kind());
        // Ids may repeat in a file; here each row is to come back.
        entries.extend(Entry::new(format!("{n}-{}", row.id.unwrap_or_default()), row.category, hashes));
    }
    if entries.is_empty() {
        return;
    }
    let mut file = Vec::new();
    write_csv(&entries, &HashKind::ALL, &mut file).expect("every kind has a column");
    let (again, failed) = taken(Format::Csv, &Mapping::default(), &mut &file[..]);
    assert_eq!(failed, None);
    let entry = |row: Result<Row, RowError>| {
        let row = row.expect("a row that was taken before");
        Entry::new(row.id.unwrap_or_default(), row.category, row.hashes).expect("an entry that was one before")
    };
    let again: Vec<_> = again.into_iter().map(entry).collect();
    assert_eq!(again, entries);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (pdq, md5, sha) = ("3c".repeat(32), "a1".repeat(16), "5d".repeat(32));
    let text = [
        (0u8, format!("id,category,pdq,md5\nx1,A1,{pdq},{md5}\n\"x\"\"2\",,{pdq},\n")),
        (1, format!("pdq {pdq}\n# said\n{pdq}\n{pdq},more\n")),
        (2, format!("name;hash\nx1;{pdq}\n")),
        (4, format!("x1,B,{md5},{sha}\nx2,,{md5},\n")),
        (6, format!("type,value\npdq,{pdq}\nmd5,{md5}\n")),
        (8, format!("id,deleted,sha256\nx1,yes,{sha}\nx2,no,{sha}\n")),
        (16, format!("{pdq},1,2,3\n{pdq},1,2,3\n")),
        (0, "id,pdq\nx1,\"not closed\nx2,\n".to_owned()),
        (
            10,
            format!(
                "<?xml version=\"1.0\"?><queryResult><images><image><member id=\"1\">M</member><timestamp>2026-01-02T03:04:05Z</timestamp><id>x&amp;1</id>\
                 <classification>A1</classification><fingerprints><md5>{md5}</md5><pdq>{pdq}</pdq><t href=\"/x\"/></fingerprints><feedback><negativeFeedback \
                 type=\"Md5\"><reasons><reason name=\"r\"/></reasons></negativeFeedback></feedback></image><deletedImage><member id=\"1\"/><id>2</id></deletedImage>\
                 </images></queryResult>"
            ),
        ),
        (
            11,
            format!(
                "{{\"hasMoreRecords\":false,\"hashRecords\":[{{\"signalType\":\"ImagePDQ\",\"hashValue\":\"{pdq}\",\"hashStatus\":\"Active\",\
                 \"lastModtimestamp\":1,\"caseNumbers\":{{\"u\":[1,null]}}}}]}}"
            ),
        ),
        (
            12,
            format!(
                "{{\"id\":\"1\",\"indicator\":\"{md5}\",\"type\":\"HASH_MD5\",\"descriptors\":{{\"data\":[{{\"owner\":{{\"id\":1}},\"status\":\"MALICIOUS\",\
                 \"tags\":[\"a\"],\"reactions\":[{{\"key\":\"HELPFUL\",\"value\":\"1,2\"}}]}}]}}}}\n"
            )
            .repeat(2),
        ),
        (
            13,
            format!(
                "{{\"value\":[{{\"CaseID\":1,\"Media\":[{{\"MediaID\":1,\"Category\":1,\"MD5\":\"{md5}\"}}]}},{{\"MediaID\":2,\"AlternativeHashes\":\
                 [{{\"HashName\":\"PDQ\",\"HashValue\":\"{pdq}\"}}]}}]}}"
            ),
        ),
        (0, format!("\u{feff}id\tsha1\tnote\r\nx\t{}\t\u{202e}\r\n", "0b".repeat(20))),
    ];
    let list = format!("id,md5\nx1,{md5}\n");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(list.as_bytes()).expect("memory takes all");
    // One stored member, as the usual tools write it.
    let mut crc = flate2::Crc::new();
    crc.update(list.as_bytes());
    let size = (list.len() as u32).to_le_bytes();
    let facts = [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &crc.sum().to_le_bytes(), &size, &size, &[5, 0, 0, 0]].concat();
    let member = [b"PK\x03\x04", &facts[..], b"a.csv", list.as_bytes()].concat();
    let directory = [b"PK\x01\x02\x14\0", &facts[..], &[0; 14], b"a.csv"].concat();
    let places = [directory.len() as u32, member.len() as u32].map(u32::to_le_bytes).concat();
    let zip = [&member[..], &directory, b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &places, &[0; 2]].concat();
    let utf16 = format!("\u{feff}{list}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let packed = [
        gzip.finish().expect("memory takes all"),
        compress_to_vec(list.as_bytes(), CompressionLevel::Fastest),
        zip,
        utf16,
        b"<?xml version='1.0' encoding='windows-1252'?><queryResult>\xe4</queryResult>".to_vec(),
    ];
    assert!(packed.iter().all(|packed| unpacked(&mut &packed[..]).1.is_none()));
    let text = text.into_iter().map(|(which, text)| [vec![which], text.into_bytes()].concat());
    text.chain(packed.into_iter().map(|packed| [vec![15 | 32], packed].concat())).collect()
}
