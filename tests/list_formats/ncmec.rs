//! XML of NCMEC's Hash Sharing API.

use hashwarden::catalog::{Hold, ImportOptions, PolicyUpdate};
use hashwarden::entry::{HashKind, Status};
use hashwarden::lists::{Format, recognise};

use super::place::{Place, details, endures, hex, read};

const XML: Format = Format::NcmecXml;
const NAMESPACE: &str = "https://hashsharing.ncmec.org/hashsharing/v2";

fn md5(n: u64) -> String {
    hex(HashKind::Md5, n)
}

/// A page that holds this and names no next one.
fn page(inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<queryResult xmlns=\"{NAMESPACE}\">\n<images count=\"1\">\n{inside}\n</images>\n</queryResult>\n"
    )
}

fn image(member: u32, id: &str, second: u32, inside: &str) -> String {
    format!(
        "<image><member id=\"{member}\">Example</member><timestamp>2026-01-02T03:00:{second:02}Z</timestamp><id>{id}</id>{inside}</image>\n"
    )
}

fn prints(n: u64) -> String {
    format!("<classification>A1</classification><fingerprints><md5>{}</md5></fingerprints>", md5(n))
}

fn deleted(member: u32, id: &str, second: u32) -> String {
    format!(
        "<deletedImage><member id=\"{member}\">Example</member><id>{id}</id><timestamp>2026-01-02T03:00:{second:02}Z</timestamp></deletedImage>\n"
    )
}

#[test]
fn entries_and_tombstones_are_read() {
    let (pdq, sha1, pdna) = (hex(HashKind::Pdq, 1), hex(HashKind::Sha1, 1), hex(HashKind::PhotoDna, 1));
    let all = format!(
        "<fingerprints><md5>{}</md5><sha1>{}</sha1><pdna>{pdna}</pdna><pdq>{pdq}</pdq><other>x</other></fingerprints>",
        md5(1).to_uppercase(),
        sha1
    );
    let video = format!(
        "<videos><video><member id=\"7\"/><id>v</id><fingerprints><md5> {}\n</md5><tmk-pdqf rel=\"self\" href=\"/v2/x?a=1&amp;b=2\"/></fingerprints></video><deletedVideo><member id=\"7\"/><id>w</id></deletedVideo></videos>",
        md5(2)
    );
    let text = page(&(image(42, "img-1", 0, &all) + &image(42, "50%/1", 0, &prints(3)) + &deleted(43, "img-9", 1) + &video));
    let rows =
        ["1 42/img-1 [] md5,sha1,photodna,pdq", "2 42/50%25%2F1 [A1] md5", "x3 43/img-9 [] ", "4 7/v [] md5", "x5 7/w [] "];
    assert_eq!(read(XML, text.as_bytes()), rows);
    assert_eq!(recognise(text.as_bytes()).unwrap(), XML);
    // One line, another prefix, CRLF, a byte order mark.
    let one_line = text.replace('\n', "");
    assert_eq!(read(XML, one_line.as_bytes()), rows);
    let prefixed = text.replace("<", "<n:").replace("<n:/", "</n:").replace("<n:?", "<?").replace("xmlns=", "xmlns:n=");
    assert_eq!(read(XML, prefixed.as_bytes()), rows);
    let dos = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!((read(XML, dos.as_bytes()), recognise(dos.as_bytes()).unwrap()), (rows.map(str::to_owned).to_vec(), XML));
    let said = details(XML, text.as_bytes());
    assert_eq!(said[0], ["member=Example", "updated=2026-01-02T03:00:00Z"]);
    assert_eq!(said[3], ["tmk-pdqf href=/v2/x?a=1&b=2", "media=video"]);
}

#[test]
fn bad_records_are_refused_by_number_line_and_reason() {
    let zero = "0".repeat(64);
    let bad = [
        image(1, "a", 0, "<fingerprints><md5>xyz</md5></fingerprints>"),
        image(1, "b", 0, &format!("<fingerprints><md5>{}</md5><pdq>{zero}</pdq></fingerprints>", md5(1))),
        image(1, "c", 0, ""),
        image(1, "", 0, &prints(1)),
        image(1, "d", 0, &(prints(1) + "<id>e</id>")),
        image(1, "&unknown;", 0, &prints(1)),
        format!("<image><id>f</id>{}</image>\n", prints(1)),
        "<deletedImage><member id=\"1\"/></deletedImage>\n".to_owned(),
        image(
            1,
            "g",
            0,
            &format!("<classification>{}</classification>{}", "x".repeat(65), prints(1).replace("classification", "c")),
        ),
        image(1, "h", 0, &format!("<more>{}</more>{}", "x".repeat(300_000), prints(1))),
        image(1, "&#9;", 0, &prints(1)),
        image(1, "i", 0, &"<fingerprints><md5>00112233445566778899aabbccddeeff</md5></fingerprints>".repeat(65)),
        image(1, "good", 0, &prints(9)),
    ];
    let expected = [
        "1@4: md5: an MD5 has 32 hex digits; this one has characters that are not hex digits",
        "2@5: pdq: this pdq is all zeros: a placeholder, not a hash; the row's other hashes are rejected too",
        "3@6: no hash",
        "4@7: no id",
        "5@8: it has two ids",
        "6@9: it has an entity that XML does not know",
        "7@10: no member id",
        "8@11: no id",
        "9@12: the category has 65 bytes; at most 64 are accepted",
        "10@13: longer than 262144 bytes",
        "11@14: no id",
        "12@15: 65 hashes; an entry has at most 64",
        "13 1/good [A1] md5",
    ];
    assert_eq!(read(XML, page(&bad.concat()).as_bytes()), expected);
}

#[test]
fn what_others_say_is_kept_and_disputes() {
    let feedback = "<feedback lastUpdateTimestamp=\"x\"><negativeFeedback type=\"Md5\"><reasons><reason guid=\"g\" name=\"Not it\" type=\"Md5\"/></reasons>\
                    <members timestamp=\"t\"><member id=\"7\">Other</member><member id=\"8\"/></members></negativeFeedback><affirmativeFeedback/></feedback>";
    let text = page(&image(1, "a", 0, &(prints(1) + feedback)));
    assert_eq!(read(XML, text.as_bytes()), ["1 1/a [A1] md5 DISPUTED"]);
    let said = &details(XML, text.as_bytes())[0];
    assert!(said.contains(&"negativeFeedback=Md5: Not it (members 7 Other, 8)".to_owned()), "{said:?}");
    assert!(said.contains(&"affirmativeFeedback=given".to_owned()), "{said:?}");
    // What can't be read as PhotoDNA is kept; the row's other hashes hold.
    let pdna = format!("<fingerprints><md5>{}</md5><pdna>opaque</pdna></fingerprints>", md5(1));
    let text = page(&image(1, "a", 0, &pdna));
    assert_eq!(read(XML, text.as_bytes()), ["1 1/a [] md5"]);
    assert!(details(XML, text.as_bytes())[0].contains(&"photodna=opaque".to_owned()));
}

#[test]
fn what_is_no_whole_document_fails() {
    let fails = |text: &str, words: &str| {
        let seen = read(XML, text.as_bytes());
        assert!(seen.last().unwrap().contains(words), "{seen:?}");
    };
    let text = page(&image(1, "a", 0, &prints(1)));
    fails(
        &text.replace("</queryResult>", ""),
        "line 8: the document ends before its elements are closed: the file was cut short",
    );
    fails(&(text.clone() + "<html><body>"), "line 8: the document is \"html\", and queryResult is expected");
    fails(&(text.clone() + "rest"), "text stands outside of the document");
    fails(&text.replace("<queryResult", "<!DOCTYPE q [<!ENTITY x \"y\">]><queryResult"), "it has a document type");
    fails(&text.replace("</id>", "</di>"), "an end tag closes another element");
    let foreign = |text: &str, words: &str| {
        let said = recognise(text.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    };
    foreign("<!DOCTYPE html><html><body>502", "an HTML page, perhaps a login or error page");
    foreign("<?xml version=\"1.0\"?><rss/>", "XML other than NCMEC's");
    endures(XML, text.as_bytes(), &md5(1));
}

/// Pages are not in the order of time: the newest record of an id holds, and in one second a deletion.
#[test]
fn an_import_takes_the_newest_of_each_id_whatever_their_order() {
    let place = Place::new();
    let pages = [
        page(&(deleted(1, "gone", 9) + &image(1, "kept", 5, &prints(15)) + &deleted(1, "same", 3))),
        page(&(image(1, "gone", 2, &prints(1)) + &image(1, "kept", 2, &prints(12)) + &deleted(1, "kept", 1))),
        page(&(image(1, "same", 3, &prints(3)) + &image(2, "kept", 2, &prints(20)))),
    ];
    let report = place.import(pages.concat().as_bytes()).unwrap();
    assert_eq!((report.format, report.rows, report.rows_bad, report.entries), (Some(XML), 8, 0, 2));
    assert_eq!((report.rows_merged, report.warnings), (1, vec![]));
    assert_eq!(place.ids(HashKind::Md5, 15), ["1/kept"]);
    assert_eq!(place.ids(HashKind::Md5, 20), ["2/kept"]);
    for replaced in [1, 12, 3] {
        assert_eq!(place.ids(HashKind::Md5, replaced), Vec::<String>::new());
    }
    // A delta takes out what it deletes, and replaces what it has whole.
    let changes = page(&(deleted(2, "kept", 30) + &image(1, "kept", 31, &prints(40))));
    let delta = ImportOptions { delta: true, accept: true, ..ImportOptions::default() };
    let report = place.import_as(changes.as_bytes(), &delta).unwrap();
    assert_eq!((report.changed, report.gone, report.entries), (1, 1, 1));
    assert_eq!((place.ids(HashKind::Md5, 15), place.ids(HashKind::Md5, 40)), (vec![], vec!["1/kept".to_owned()]));
}

#[test]
fn a_dump_that_is_cut_short_or_names_a_next_page_is_noticed() {
    let place = Place::new();
    let whole = page(&(image(1, "a", 0, &prints(1)) + &image(1, "b", 0, &prints(2))));
    assert!(place.import(whole.as_bytes()).unwrap().activated);
    let cut = whole.rsplit_once("</image>").unwrap().0;
    let error = place.import(cut.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("nothing was imported: line ") && error.contains("cut short"), "{error}");
    assert_eq!(place.ids(HashKind::Md5, 2), ["1/b"]);
    let with_next = whole.replace("</queryResult>", "<paging><next>/v2/entries?a&amp;b</next></paging></queryResult>");
    let report = place.import(with_next.as_bytes()).unwrap();
    assert_eq!(report.warnings, ["each page names a next one, so the dump may not be complete"]);
    assert_eq!(place.import([with_next, whole.clone()].concat().as_bytes()).unwrap().warnings, [""; 0]);
    // A bad record may be one of the entries that go.
    let careful = ImportOptions::default();
    let bad = whole.replace(&md5(2), "not a hash");
    let report = place.import_as(bad.as_bytes(), &careful).unwrap();
    assert_eq!((report.held, report.bad[0].record, report.bad[0].line), (vec![Hold::BadRows], 2, 5));
    let disputed = whole.replacen("</image>", "<feedback><negativeFeedback/></feedback></image>", 1);
    place.import(disputed.as_bytes()).unwrap();
    assert_eq!(place.catalog.entry("known", "1/a", false).unwrap().status, Status::Disputed);
    assert_eq!(place.ids(HashKind::Md5, 1), ["1/a"], "it matches all the same");
}

/// Where the policy says so, what enough members dispute does not match; each member counts once.
#[test]
fn what_enough_members_dispute_is_withdrawn() {
    let place = Place::new();
    let by = |members: &[u32], kind: &str| {
        let members: String = members.iter().map(|id| format!("<member id=\"{id}\">Some One</member>")).collect();
        format!("<negativeFeedback type=\"{kind}\"><members>{members}</members></negativeFeedback>")
    };
    let disputed = |inside: String| format!("{}<feedback>{inside}</feedback>", prints(1));
    let two = disputed(
        by(&[7, 8], "Md5")
            + &by(&[8, 7], "Sha1")
            + "<affirmativeFeedback><members><member id=\"9\"/></members></affirmativeFeedback>",
    );
    let three = disputed(by(&[7, 8], "Md5") + &by(&[9], "Sha1"));
    let set = |disputes_max| {
        let update = PolicyUpdate { disputes_max: Some(disputes_max), ..PolicyUpdate::default() };
        place.catalog.set(&place.by, "known", &update).unwrap();
    };
    let import =
        |inside: &str| place.import(page(&(image(1, "a", 1, inside) + &image(1, "b", 1, &prints(2)))).as_bytes()).unwrap();
    import(&three);
    assert_eq!(place.ids(HashKind::Md5, 1), ["1/a"]);
    set(3);
    import(&two);
    assert_eq!(place.ids(HashKind::Md5, 1), ["1/a"]);
    let report = import(&three);
    assert_eq!((report.rows_withdrawn, place.ids(HashKind::Md5, 1).len()), (1, 0));
    let words = "1 row is withdrawn, as members of the source dispute what it has (list set --withdraw-disputed)";
    assert_eq!(report.warnings[0], words);
    assert_eq!(place.catalog.entry("known", "1/a", false).unwrap().status, Status::Withdrawn);
    // Fewer, and it is back.
    import(&two);
    assert_eq!(place.ids(HashKind::Md5, 1), ["1/a"]);
    set(0);
    import(&three);
    assert_eq!(place.ids(HashKind::Md5, 1), ["1/a"]);
}
