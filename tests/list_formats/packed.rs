//! Lists that are compressed, in archives, in other encodings, or in several files.

use std::io::{BufReader, Write};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use hashwarden::catalog::{CatalogError, ImportOptions, ImportReport};
use hashwarden::config::Config;
use hashwarden::entry::HashKind;
use hashwarden::lists::{FileError, Format, Unpacking, each_list};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::place::{Place, hex};

fn csv(range: std::ops::Range<u64>) -> Vec<u8> {
    let rows = range.map(|n| format!("e{n},{}\n", hex(HashKind::Md5, n)));
    std::iter::once("id,md5\n".to_owned()).chain(rows).collect::<String>().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// How a member is put into an archive.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Stored,
    Deflated,
    /// With its sizes behind it.
    Streamed,
    /// With sizes of 64 bits, in an extra field.
    Wide,
}

/// An archive as the usual tools write it; `edit` may change a member's header, and the directory's.
fn zip_edited(members: &[(&str, &[u8], Way)], edit: &dyn Fn(&mut [u8], &mut [u8])) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes, way) in members {
        let packed = if *way == Way::Stored { bytes.to_vec() } else { deflate(bytes) };
        let (flags, method) = (if *way == Way::Streamed { 8u16 } else { 0 }, if *way == Way::Stored { 0u16 } else { 8 });
        let (crc, sizes) = (crc(bytes), [packed.len() as u64, bytes.len() as u64]);
        let wide = *way == Way::Wide;
        let extra = if wide {
            [&1u16.to_le_bytes()[..], &16u16.to_le_bytes(), &sizes[1].to_le_bytes(), &sizes[0].to_le_bytes()].concat()
        } else {
            vec![]
        };
        let facts = |crc: u32, sizes: [u64; 2]| {
            let sizes = sizes.map(|size| if wide { u32::MAX } else { size as u32 });
            let mut facts =
                [&20u16.to_le_bytes()[..], &flags.to_le_bytes(), &method.to_le_bytes(), &[0; 4], &crc.to_le_bytes()].concat();
            facts.extend(sizes.map(u32::to_le_bytes).concat());
            facts.extend([name.len() as u16, extra.len() as u16].map(u16::to_le_bytes).concat());
            facts
        };
        let start = archive.len() as u32;
        let before = if *way == Way::Streamed { facts(0, [0, 0]) } else { facts(crc, sizes) };
        let mut header = [&b"PK\x03\x04"[..], &before, name.as_bytes(), &extra].concat();
        let mut listed =
            [&b"PK\x01\x02\x14\0"[..], &facts(crc, sizes), &[0; 10], &start.to_le_bytes(), name.as_bytes(), &extra].concat();
        edit(&mut header, &mut listed);
        archive.extend([header, packed].concat());
        if *way == Way::Streamed {
            let sizes = sizes.map(|size| (size as u32).to_le_bytes()).concat();
            archive.extend([&b"PK\x07\x08"[..], &crc.to_le_bytes(), &sizes].concat());
        }
        directory.extend(listed);
    }
    let n = (members.len() as u16).to_le_bytes();
    let places = [directory.len() as u32, archive.len() as u32].map(u32::to_le_bytes).concat();
    archive.extend([&directory[..], b"PK\x05\x06\0\0\0\0", &n, &n, &places, &[0; 2]].concat());
    archive
}

fn zip(members: &[(&str, &[u8], Way)]) -> Vec<u8> {
    zip_edited(members, &|_, _| {})
}

fn counts(report: &ImportReport) -> (u64, u64, u64) {
    (report.rows, report.rows_bad, report.entries)
}

fn error(done: Result<ImportReport, CatalogError>) -> String {
    done.unwrap_err().to_string()
}

#[test]
fn what_is_packed_is_read_as_what_is_in_it() {
    let list = csv(0..500);
    let skipped = [&b"\x50\x2a\x4d\x18\x03\0\0\0"[..], b"abc"].concat();
    let half = list.len() / 2;
    let xml = format!(
        "<queryResult><images><image><member id=\"1\"/><id>a</id><fingerprints><md5>{}</md5></fingerprints></image></images></queryResult>",
        hex(HashKind::Md5, 7)
    );
    let packed = [
        gzip(&list),
        [gzip(&list[..half]), gzip(&list[half..])].concat(),
        zstd(&list),
        [zstd(&list[..half]), skipped, zstd(&list[half..])].concat(),
        zip(&[("list.csv", &list, Way::Deflated)]),
        zip(&[("list.csv", &list, Way::Stored)]),
        zip(&[("list.csv", &list, Way::Streamed)]),
        zip(&[("list.csv", &list, Way::Wide)]),
    ];
    for (n, packed) in packed.iter().enumerate() {
        let place = Place::new();
        let report = place.import(packed).unwrap();
        assert_eq!(
            (counts(&report), report.format, report.bytes),
            ((500, 0, 500), Some(Format::Csv), packed.len() as u64),
            "{n}"
        );
        assert_eq!(place.ids(HashKind::Md5, 499), ["e499"]);
    }
    let place = Place::new();
    let report = place.import(&gzip(xml.as_bytes())).unwrap();
    assert_eq!((report.format, place.ids(HashKind::Md5, 7)), (Some(Format::NcmecXml), vec!["1/a".to_owned()]));
}

#[test]
fn a_member_of_an_archive_is_a_file() {
    let place = Place::new();
    let bad = [&csv(3..5)[..], b"x,12\n"].concat();
    let members: [(&str, &[u8], Way); 6] = [
        ("pages/", b"", Way::Stored),
        ("pages/1.csv", &csv(0..3), Way::Deflated),
        ("__MACOSX/pages/._1.csv", b"\0\x05\x16\x07", Way::Deflated),
        ("pages/.DS_Store", b"\0\0\0\x01Bud1", Way::Stored),
        ("pages/2.csv", &bad, Way::Streamed),
        ("3.csv", &csv(5..6), Way::Deflated),
    ];
    let report = place.import(&zip(&members)).unwrap();
    assert_eq!(counts(&report), (7, 1, 6));
    assert_eq!(report.bad[0].to_string(), "2.csv: line 4: column 2: an MD5 has 32 hex digits; this one has 2 digits");
    // The whole of it fails with one.
    let failing = [members[1], ("notes.pdf", b"%PDF-1.7", Way::Stored)];
    assert!(error(place.import(&zip(&failing))).starts_with("nothing was imported: notes.pdf: this looks like a PDF"));
    assert_eq!(error(place.import(&zip(&[members[0], members[2]]))), "nothing was imported: the file is empty");
}

#[test]
fn archives_that_are_not_read_say_why() {
    let place = Place::new();
    let list = csv(0..3);
    let member = |way| [("a.csv", &list[..], way)];
    let check = |archive: &[u8], words: &str| {
        let said = error(place.import(archive));
        assert!(said.contains(words), "{said}");
    };
    let edited =
        |at: usize, byte: u8| zip_edited(&member(Way::Deflated), &|header, listed| (header[at], listed[at + 2]) = (byte, byte));
    check(&edited(6, 1), "it is encrypted; unpack it, and import what is in it");
    check(&edited(8, 12), "it is packed in a way that is not read");
    check(
        &zip_edited(&member(Way::Stored), &|header, listed| (header[6], listed[8]) = (8, 8)),
        "packed in a way that is not read",
    );
    check(
        &zip(&[("a.zip", &zip(&member(Way::Stored)), Way::Stored)]),
        "a.zip: this looks like a ZIP archive within another file",
    );
    check(
        &zip(&[("a.gz", &gzip(&list), Way::Stored)]),
        "a.gz: this looks like gzip within another file, which is not read; unpack it first",
    );
    check(&gzip(&gzip(&list)), "gzip within another file");
    check(&gzip(&zstd(&list)), "Zstandard within another file");
    check(
        &zip(&[("[Content_Types].xml", b"<Types/>", Way::Deflated)]),
        "this looks like a spreadsheet, which is not read; export the list as CSV",
    );
    check(&zip(&[]), "an empty ZIP archive");
    check(&gzip(b""), "the file is empty");
    let many: Vec<String> = (0..10_001).map(|n| format!("{n}/")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), &b""[..], Way::Stored)).collect();
    check(&zip(&many), "it has more than 10000 members");
    // What one reader finds and another does not.
    let damaged = "its ZIP data is damaged or cut short";
    let two = [("a.csv", &list[..], Way::Deflated), ("b.csv", &list[..], Way::Deflated)];
    check(
        &zip_edited(&two, &|header, listed| {
            if header[30] == b'b' {
                listed[46] = b'c'
            }
        }),
        damaged,
    );
    let (one, two) = (zip(&two[..1]), zip(&two));
    check(&[&one[..one.len() - 22], &two].concat(), damaged);
    check(&[&one[..], b"more"].concat(), damaged);
    check(&[&one[..], &two].concat(), damaged);
}

/// Whatever is cut off or changed: an error, or the very rows.
#[test]
fn what_is_damaged_or_cut_short_is_never_taken() {
    let list = csv(0..40);
    let whole = |packed: &[u8]| {
        let left = std::cell::Cell::new(1 << 20);
        let mut read = Vec::new();
        let done =
            each_list(&mut BufReader::with_capacity(7, packed), &Unpacking { left: &left, bytes_max: 1 << 20 }, &mut |found| {
                found.input.read_to_end(&mut read).map(|_| ()).map_err(FileError::from)
            });
        done.map(|()| read)
    };
    let packed = [
        gzip(&list),
        zstd(&list),
        zip(&[("list.csv", &list, Way::Deflated)]),
        zip(&[("list.csv", &list, Way::Streamed)]),
        zip(&[("list.csv", &list, Way::Stored)]),
    ];
    for (n, packed) in packed.iter().enumerate() {
        assert_eq!(whole(packed).unwrap(), list);
        for end in 4..packed.len() {
            let error = whole(&packed[..end]).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("is damaged or cut short"), "{n} cut at {end}: {error}");
        }
        for (at, bit) in (4..packed.len()).flat_map(|at| [0, 3, 7].map(|bit| (at, bit))) {
            let mut changed = packed.clone();
            changed[at] ^= 1 << bit;
            if let Ok(read) = whole(&changed) {
                assert_eq!(read, list, "{n} changed at {at}");
            }
        }
    }
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let mut config = Config::default();
    config.import.bytes_max = 1 << 20;
    let place = Place::with(config);
    let nothing: Vec<u8> = [&b"id,md5\n"[..], &b"\n".repeat(8 << 20)].concat();
    let half: Vec<u8> = [csv(0..3), b"\n".repeat(600_000)].concat();
    assert_eq!(counts(&place.import(&gzip(&half)).unwrap()), (3, 0, 3));
    let pages = [("1.csv", &half[..], Way::Deflated), ("2.csv", &half[..], Way::Deflated)];
    let bombs = [
        gzip(&nothing),
        zstd(&nothing),
        zip(&[("a.csv", &nothing, Way::Deflated)]),
        zip(&pages),
        nothing.clone(),
        zip(&[("a/", &nothing, Way::Deflated)]),
    ];
    for (n, bomb) in bombs.iter().enumerate() {
        let said = error(place.import(bomb));
        assert!(said.contains("more than 1048576 bytes, unpacked") && said.contains("[import] bytes_max"), "{n}: {said}");
    }
    assert!(
        error(place.import_all(&[("1.csv", &half), ("2.csv", &half)]))
            .starts_with("nothing was imported: 2.csv: it holds more than")
    );
    assert_eq!(place.ids(HashKind::Md5, 2), ["e2"]);
}

#[test]
fn other_encodings_are_read_by_their_mark_or_declaration() {
    let text = format!("id,md5,note\r\nä1,{},日本\r\n", hex(HashKind::Md5, 1));
    let units =
        |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect() };
    let le = units(&text, u16::to_le_bytes);
    for file in [le.clone(), units(&text, u16::to_be_bytes), gzip(&le), zip(&[("a.txt", &le, Way::Deflated)])] {
        let place = Place::new();
        assert_eq!(counts(&place.import(&file).unwrap()), (1, 0, 1));
        assert_eq!(place.ids(HashKind::Md5, 1), ["ä1"]);
    }
    let place = Place::new();
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><queryResult><image><member id=\"1\"/><id>{{}}</id><fingerprints><md5>{}</md5></fingerprints></image></queryResult>",
        hex(HashKind::Md5, 2)
    );
    let (before, after) = xml.split_once("{}").unwrap();
    place.import(&[before.as_bytes(), b"\xe4", after.as_bytes()].concat()).unwrap();
    assert_eq!(place.ids(HashKind::Md5, 2), ["1/ä"]);
    place.import(&units(&xml.replace("{}", "é").replace("ISO-8859-1", "UTF-16"), u16::to_le_bytes)).unwrap();
    assert_eq!(place.ids(HashKind::Md5, 2), ["1/é"]);
    let json = format!("[{{\"MediaID\":\"ü\",\"MD5\":\"{}\"}}]", hex(HashKind::Md5, 3));
    place.import(&units(&json, u16::to_be_bytes)).unwrap();
    assert_eq!(place.ids(HashKind::Md5, 3), ["ü"]);
    // Nothing says that these are Latin-1.
    let report = place.import(&[&csv(0..2)[..], b"\xe4,00112233445566778899aabbccddeeff\n"].concat()).unwrap();
    assert_eq!(report.bad[0].to_string(), "line 4: not valid UTF-8");
    assert!(error(place.import(&le[..le.len() - 1])).contains("the file is not valid UTF-16LE"));
    assert!(error(place.import(b"\xff\xfe\0\0i\0\0\0")).contains("the file is UTF-32; save it as UTF-8"));
    let vpdq = format!("0,100,{},0.00\n1,99,{},0.03\n", hex(HashKind::Pdq, 1), hex(HashKind::Pdq, 2));
    assert!(error(place.import(vpdq.as_bytes())).contains("vPDQ, the hashes of a video's frames, which is not read"));
}

#[test]
fn several_files_are_one_import() {
    let place = Place::new();
    let (one, two, three) = (csv(0..10), [&csv(10..20)[..], b"x,12\n"].concat(), gzip(&csv(5..25)));
    let report = place.import_all(&[("1.csv", &one), ("2.csv", &two), ("3.csv.gz", &three)]).unwrap();
    assert_eq!((counts(&report), report.rows_merged, report.version.unwrap().0), ((41, 1, 25), 15, 1));
    assert_eq!(report.bytes, (one.len() + two.len() + three.len()) as u64);
    assert_eq!(report.bad[0].to_string(), "2.csv: line 12: column 2: an MD5 has 32 hex digits; this one has 2 digits");
    let archive = zip(&[("a.csv", b"id,md5\ny,1\n", Way::Deflated), ("b.csv", &one, Way::Stored)]);
    let report = place.import_all(&[("all.zip", &archive), ("2.csv", &two)]).unwrap();
    assert_eq!(report.bad[0].place(), "all.zip: a.csv: line 2");
    assert_eq!(counts(&report), (22, 2, 20));
    // What is wrong with one fails all.
    let fails = |file: &[u8], words: &str| {
        let said = error(place.import_all(&[("1.csv", &one), ("b\u{202e}ad.csv", file)]));
        assert!(said.contains(words) && said.starts_with("nothing was imported: b\\u{202e}ad.csv: "), "{said}");
        assert_eq!(place.ids(HashKind::Md5, 19), ["e19"]);
    };
    fails(b"", "the file is empty");
    fails(b"id,md5\n\"x,1\n", "a quotation mark on line 2 is not closed");
    fails(&gzip(&one)[..50], "its gzip data is damaged or cut short");
    fails(b"{\"hashRecords\":[", "the JSON ends before it is complete");
    // A hash in a file's name is shown nowhere.
    let named = format!("{}.csv", hex(HashKind::Md5, 1));
    assert!(!error(place.import_all(&[(&named, b"")])).contains(&hex(HashKind::Md5, 1)));
    let json = format!("[{{\"MediaID\":\"v\",\"MD5\":\"{}\"}}]", hex(HashKind::Md5, 30));
    let other = csv(0..1).iter().map(|b| if *b == b'm' { b'M' } else { *b }).collect::<Vec<u8>>();
    let report = place.import_all(&[("1.csv", &one), ("v.json", json.as_bytes()), ("o.csv", &other)]).unwrap();
    assert_eq!(
        (report.format, report.warnings),
        (
            Some(Format::Csv),
            vec![
                "the files are of several formats; the one that is said is the first file's".to_owned(),
                "the columns are those of 1.csv; other files have others".to_owned()
            ]
        )
    );
    let refused = place.import_as(
        &zip(&[("a.json", json.as_bytes(), Way::Stored)]),
        &ImportOptions { format: Some(Format::Csv), ..ImportOptions::default() },
    );
    assert!(error(refused).ends_with("a.json: the file looks like vics-json, and csv was named as its format"));
}
