//! JSON of StopNCII, ThreatExchange and Project VIC.

use hashwarden::catalog::ImportOptions;
use hashwarden::entry::{HashKind, Status};
use hashwarden::lists::{Format, recognise};

use super::place::{Place, details, endures, hex, read};

const STOPNCII: Format = Format::StopnciiJson;
const THREATEXCHANGE: Format = Format::ThreatexchangeJson;
const VICS: Format = Format::VicsJson;

fn pdq(n: u64) -> String {
    hex(HashKind::Pdq, n)
}

fn md5(n: u64) -> String {
    hex(HashKind::Md5, n)
}

fn record(n: u64, status: &str, second: u32) -> String {
    format!(r#"{{"lastModtimestamp":{second},"signalType":"ImagePDQ","hashValue":"{}","hashStatus":"{status}"}}"#, pdq(n))
}

fn stopncii(records: &[String]) -> String {
    format!("{{\"count\":{},\"hasMoreRecords\":false,\"hashRecords\":[\n{}\n]}}\n", records.len(), records.join(",\n"))
}

#[test]
fn stopncii_is_read_with_its_dirt() {
    let records = [
        record(1, "Active", 1),
        record(2, "Received", 1),
        record(3, "Withdrawn", 1),
        record(4, "Deleted", 1),
        record(5, "Unknown", 1),
        record(6, "Active", 1).replace("ImagePDQ", "VideoTMK"),
        record(6, "Active", 1).replace("ImagePDQ", "URL"),
        record(6, "Active", 1).replace("ImagePDQ", "VideoMD5").replace(&pdq(6), &md5(6).to_uppercase()),
        record(7, "Active", 1).replace(&pdq(7), &"0".repeat(64)),
        record(8, "Active", 1).replace(&pdq(8), &pdq(8)[1..]),
        record(9, "Active", 1).replace("\"signalType\":\"ImagePDQ\",", ""),
        record(10, "Active", 1).replace("\"hashStatus\"", "\"hashStatus\":\"Withdrawn\",\"hashStatus\""),
        "7".to_owned(),
        record(11, "Active", 1).replace("hashValue", "created_on"),
    ];
    let text = stopncii(&records);
    let expected = [
        "1 ? [] pdq",
        "2 ? [] pdq",
        "3 ? [] pdq WITHDRAWN",
        "x4 ? [] pdq",
        "5 ? [] pdq",
        "~6 ? [] ",
        "~7 ? [] ",
        "8 ? [] md5",
        "9@10: hashValue: this pdq is all zeros: a placeholder, not a hash",
        "10@11: hashValue: a PDQ hash has 64 hex digits; this one has 63 digits",
        "11@12: no signalType",
        "12@13: the name \"hashStatus\" stands twice in one object",
        "13@14: not an object",
        "14@15: no hash",
    ];
    assert_eq!(read(STOPNCII, text.as_bytes()), expected);
    for text in [&text, &text.replace('\n', "\r\n"), &format!("\u{feff}{text}"), &text.replace('\n', "")] {
        assert_eq!(recognise(text.as_bytes()).unwrap(), STOPNCII);
    }
    let more = r#""caseNumbers":{"u-1":"Active"},"CSPFeedbacks":[{"source":"X","feedbackValue":"Blocked","tags":["t"]}],"#;
    let text = stopncii(&[record(1, "Unknown", 1_700_000_000).replace("\"signalType\"", &format!("{more}\"signalType\""))]);
    assert_eq!(
        details(STOPNCII, text.as_bytes())[0],
        [
            "status (not understood)=Unknown",
            r#"caseNumbers={"u-1":"Active"}"#,
            r#"CSPFeedbacks=[{"source":"X","feedbackValue":"Blocked","tags":["t"]}]"#,
            "updated=1700000000"
        ]
    );
    endures(STOPNCII, stopncii(&[record(1, "Active", 1)]).as_bytes(), &pdq(1));
}

#[test]
fn what_stopncii_withdraws_or_deletes_stops_matching() {
    let place = Place::new();
    let first = stopncii(&[1, 2, 3, 4].map(|n| record(n, "Active", 10)));
    let report = place.import(first.as_bytes()).unwrap();
    assert_eq!((report.format, report.entries, report.warnings), (Some(STOPNCII), 4, vec![]));
    let id = place.ids(HashKind::Pdq, 1);
    assert!(id[0].starts_with("h-") && !pdq(1).contains(&id[0][2..]), "{id:?}");
    // A delta in no order; older records of the same hash change nothing.
    let changes = [
        record(1, "Withdrawn", 20),
        record(1, "Active", 15),
        record(2, "Active", 12),
        record(2, "Deleted", 20),
        record(3, "Unknown", 20),
        record(4, "Withdrawn", 5),
        record(4, "Active", 6).replace("ImagePDQ", "Text"),
        record(4, "Active", 6),
    ];
    let delta = ImportOptions { delta: true, accept: true, ..ImportOptions::default() };
    let report = place.import_as(stopncii(&changes).as_bytes(), &delta).unwrap();
    assert_eq!((report.gone, report.rows_withdrawn, report.rows_unread, report.rows_merged), (1, 1, 1, 2));
    assert_eq!(
        report.warnings,
        [
            "1 row holds a signal of kinds that are not read, such as texts and URLs, and left out of the new version",
            "1 row has a status that is not understood, and match: active, disputed and withdrawn are",
            "1 row is withdrawn: in the list, but not matched",
        ]
    );
    let found = [1, 2, 3, 4].map(|n| place.ids(HashKind::Pdq, n).len());
    assert_eq!(found, [0, 0, 1, 1]);
    assert_eq!(place.catalog.entry("known", &id[0], false).unwrap().status, Status::Withdrawn);
}

fn update(id: &str, indicator: &str, kind: &str, rest: &str) -> String {
    format!(r#"{{"id":"{id}","indicator":"{indicator}","type":"{kind}","last_updated":1700000000,"should_delete":false{rest}}}"#)
}

fn descriptor(owner: u32, status: &str, rest: &str) -> String {
    format!(r#"{{"id":"d{owner}","owner":{{"id":"{owner}"}},"status":"{status}"{rest}}}"#)
}

fn shared(id: &str, n: u64, descriptors: &[String]) -> String {
    update(id, &pdq(n), "HASH_PDQ", &format!(r#","descriptors":{{"data":[{}]}}"#, descriptors.join(",")))
}

#[test]
fn threatexchange_is_read_in_each_of_its_wrappings() {
    let positive = || vec![descriptor(1, "MALICIOUS", "")];
    let kinds = ["HASH_MD5", "HASH_SHA1", "HASH_SHA256", "HASH_VIDEO_MD5", "HASH_TMK", "HASH_PDQ_OCR", "URI"];
    let hashes = [
        md5(1),
        hex(HashKind::Sha1, 1),
        hex(HashKind::Sha256, 1),
        md5(2),
        "x".to_owned(),
        "x".to_owned(),
        "http://example.com".to_owned(),
    ];
    let mut updates = vec![shared("1", 1, &positive())];
    updates.extend(kinds.iter().zip(&hashes).enumerate().map(|(n, (kind, hash))| {
        update(&format!("{}", n + 2), hash, kind, r#","descriptors":{"data":[{"status":"MALICIOUS"}]}"#)
    }));
    updates.push(update("20", &pdq(1), "HASH_PDQ", ""));
    updates.push(shared("21", 1, &positive()).replace("\"should_delete\":false", "\"should_delete\":true"));
    updates.push(shared("22", 1, &positive()).replace(&pdq(1), "xyz"));
    updates.push(shared("23", 1, &positive()).replace("\"id\":\"23\",", ""));
    updates.push(shared("24", 1, &positive()).replace("HASH_PDQ", ""));
    updates.push(r#"{"id":25,"should_delete":true}"#.to_owned());
    let rows = [
        "1 1 [POSITIVE_CLASS] pdq",
        "2 2 [POSITIVE_CLASS] md5",
        "3 3 [POSITIVE_CLASS] sha1",
        "4 4 [POSITIVE_CLASS] sha256",
        "5 5 [POSITIVE_CLASS] md5",
        "~6 6 [] ",
        "~7 7 [] ",
        "~8 8 [] ",
        "x9 20 [] ",
        "x10 21 [] ",
        "11@11: indicator: a PDQ hash has 64 hex digits; this one has characters that are not hex digits",
        "12 ? [POSITIVE_CLASS] pdq",
        "13@13: no type",
        "x14 25 [] ",
    ];
    let list = updates.join(",\n");
    for text in [
        format!("{{\"threat_updates\":[{list}]}}"),
        format!("{{\"data\":[{list}],\"paging\":{{\"cursors\":{{}}}}}}"),
        format!("[{list}]"),
        updates.join("\n"),
    ] {
        assert_eq!(read(THREATEXCHANGE, text.as_bytes()), rows, "{text}");
        assert_eq!(recognise(text.as_bytes()).unwrap(), THREATEXCHANGE);
    }
    assert_eq!(
        read(THREATEXCHANGE, b"{\"error\":{\"message\":\"expired\"}}"),
        ["line 1: the document has no threat_updates or data with the list's records"]
    );
    endures(THREATEXCHANGE, format!("[{}]", updates[0]).as_bytes(), &pdq(1));
}

#[test]
fn threatexchange_s_opinions_are_counted_as_its_tool_counts_them() {
    let check = |descriptors: &[String], expected: &str| {
        assert_eq!(read(THREATEXCHANGE, format!("[{}]", shared("1", 1, descriptors)).as_bytes()), [expected]);
    };
    let reaction = |key: &str, owners: &str| format!(r#","reactions":[{{"key":"{key}","value":"{owners}"}}]"#);
    check(&[descriptor(1, "MALICIOUS", "")], "1 1 [POSITIVE_CLASS] pdq");
    check(&[descriptor(1, "UNKNOWN", "")], "1 1 [INVESTIGATION_SEED] pdq");
    check(&[], "1 1 [INVESTIGATION_SEED] pdq");
    check(&[descriptor(1, "NON_MALICIOUS", "")], "-1 1 [NEGATIVE_CLASS] pdq");
    check(&[descriptor(1, "MALICIOUS", ""), descriptor(2, "NON_MALICIOUS", "")], "-1 1 [DISPUTED] pdq");
    check(&[descriptor(1, "UNKNOWN", &reaction("HELPFUL", "2,3"))], "1 1 [POSITIVE_CLASS] pdq");
    check(&[descriptor(1, "MALICIOUS", &reaction("DISAGREE_WITH_TAGS", "2"))], "-1 1 [DISPUTED] pdq");
    check(&[descriptor(1, "MALICIOUS", &reaction("DISAGREE_WITH_TAGS", "1"))], "1 1 [POSITIVE_CLASS] pdq");
    check(&[descriptor(1, "MALICIOUS", &reaction("INGESTED", "2"))], "1 1 [POSITIVE_CLASS] pdq");
    for tags in [r#"["a","b"]"#, r#"{"data":[{"text":"a"},{"text":"b"}]}"#] {
        let text = format!("[{}]", shared("1", 1, &[descriptor(1, "MALICIOUS", &format!(",\"tags\":{tags}"))]));
        assert!(details(THREATEXCHANGE, text.as_bytes())[0].contains(&"tags=a b".to_owned()));
    }
    // What is disputed from now on is found no longer.
    let place = Place::new();
    let both = |second: &str| {
        format!("[{},{}]", shared("1", 1, &[descriptor(1, "MALICIOUS", "")]), shared("2", 2, &[descriptor(1, second, "")]))
    };
    place.import(both("MALICIOUS").as_bytes()).unwrap();
    let delta = ImportOptions { delta: true, accept: true, ..ImportOptions::default() };
    let report = place.import_as(both("NON_MALICIOUS").as_bytes(), &delta).unwrap();
    assert_eq!((report.rows_unsought, report.gone, place.ids(HashKind::Pdq, 2)), (1, 1, vec![]));
    assert_eq!(place.ids(HashKind::Pdq, 1), ["1"]);
}

fn media(id: &str, n: u64, rest: &str) -> String {
    format!(r#"{{"MediaID":{id},"Category":1,"MD5":"{}","MediaSize":2835,"IsDistributed":"true"{rest}}}"#, md5(n).to_uppercase())
}

#[test]
fn vics_is_read_with_its_dirt() {
    let records = [
        media(
            "1",
            1,
            &format!(r#","SHA1":"{}","SHA256":null,"DateUpdated":"2026-01-07T02:31:49.8300Z""#, hex(HashKind::Sha1, 1)),
        ),
        media(
            "\"g-2\"",
            2,
            &format!(
                r#","AlternativeHashes":[{{"HashName":"PhotoDNA","HashValue":"{}"}},{{"HashName":"PDQ","HashValue":"{}"}},{{"HashName":"Other","HashValue":"q"}}]"#,
                hex(HashKind::PhotoDna, 2),
                pdq(2)
            ),
        ),
        media("3", 3, "").replace("\"Category\":1,", ""),
        media("4", 4, "").replace(&md5(4).to_uppercase(), "1234"),
        media("5", 5, &format!(r#","AlternativeHashes":[{{"HashName":"PDQ","HashValue":"{}"}}]"#, "0".repeat(64))),
        media("6", 6, "").replace(&md5(6).to_uppercase(), ""),
        media("7", 7, r#","AlternativeHashes":[{"HashName":"PhotoDNA","HashValue":"opaque"}]"#),
        media("8", 8, r#","Category":2"#),
        media("9", 9, &format!(",\"Exifs\":\"{}\"", "x".repeat(300_000))),
        "[]".to_owned(),
    ];
    let expected = [
        "1 1 [1] md5,sha1",
        "2 g-2 [1] md5,photodna,pdq",
        "3 3 [] md5",
        "4@6: MD5: an MD5 has 32 hex digits; this one has 4 digits",
        "5@7: pdq: this pdq is all zeros: a placeholder, not a hash; the row's other hashes are rejected too",
        "6@8: no hash",
        "7 7 [1] md5",
        "8@10: the name \"Category\" stands twice in one object",
        "9@11: longer than 262144 bytes",
        "10@12: not an object",
    ];
    let context = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/Default/$metadata#Media";
    for name in ["@odata.context", "odata.metadata"] {
        let text = format!("\u{feff}{{\"{name}\":\"{context}\",\n\"value\":[\n{}]}}", records.join(",\n"));
        assert_eq!(read(VICS, text.as_bytes()), expected);
        assert_eq!(recognise(text.as_bytes()).unwrap(), VICS);
    }
    let text = format!("[{}]", records[1]);
    assert_eq!(details(VICS, text.as_bytes())[0], ["MediaSize=2835", "IsDistributed=true", "Other=q"]);
    let text = format!("[{}]", records[0].replace("\"MediaSize\"", "\"Tags\":\"a; b\",\"MediaSize\""));
    let said = &details(VICS, text.as_bytes())[0];
    assert_eq!(said[2..], ["tags=a b", "updated=2026-01-07T02:31:49.8300Z"]);
    endures(VICS, format!("[{}]", media("1", 1, "")).as_bytes(), &md5(1).to_uppercase());
}

/// Each case numbers its media anew: media of two cases must not become one entry.
#[test]
fn media_of_cases_are_found_in_them() {
    let case = |id: u32, media: &[String]| format!(r#"{{"CaseID":"{id}","Media":[{}],"CaseNumber":"{id}/26"}}"#, media.join(","));
    let cases = [case(1, &[media("1", 1, ""), media("2", 2, "")]), case(2, &[media("1", 3, "")]), case(3, &[])];
    let text = format!("{{\"@odata.context\":\"x$metadata#Cases\",\"value\":[{}]}}", cases.join(","));
    assert_eq!(read(VICS, text.as_bytes()), ["1 ? [1] md5", "2 ? [1] md5", "3 ? [1] md5"]);
    assert_eq!(details(VICS, text.as_bytes())[2][0], "MediaID=1");
    let place = Place::new();
    let report = place.import(text.as_bytes()).unwrap();
    assert_eq!((report.format, report.entries, report.rows_merged), (Some(VICS), 3, 0));
    assert_eq!((place.ids(HashKind::Md5, 1).len(), place.ids(HashKind::Md5, 3).len()), (1, 1));
    let error = place.import(&text.as_bytes()[..text.len() - 2]).unwrap_err().to_string();
    assert!(error.contains("the JSON ends before it is complete: the file was cut short"), "{error}");
}
