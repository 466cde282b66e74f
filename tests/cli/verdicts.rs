//! hash, scan and match: what they print and how they exit.

use std::process::Stdio;

use hashwarden::demo::edits::{Edit, Outcome, broken};
use serde_json::{Value, json};

use super::*;

const FIELDS: [&str; 14] = [
    "action",
    "cut",
    "detail",
    "left_out",
    "lists",
    "matches",
    "outcome",
    "pdq_quality",
    "reason",
    "shadow",
    "snapshot",
    "suppressed",
    "views",
    "file",
];
const MATCH_FIELDS: [&str; 12] =
    ["action", "category", "chance", "distance", "entry_id", "exact", "frame", "kind", "list", "threshold", "transform", "view"];

/// The view that is the whole picture.
fn whole() -> Value {
    json!({"kind": "whole", "corners": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], "degrees": 0.0})
}

#[test]
fn the_exit_code_says_what_happened() {
    let place = Place::new();
    place.known();
    let (known, stranger) = (place.arg("known.jpg"), place.picture("in/stranger.jpg", 2, Edit::Original));
    let broken = place.broken();
    let text = place.write("text.jpg", b"no picture");
    let missing = place.arg("missing.jpg");
    std::fs::create_dir(place.path("nothing")).unwrap();
    let (nothing, hash) = (place.arg("nothing"), pdq(0x5a));
    let check = |args: &[&str], expected: i32| assert_eq!(place.run(args).exit, expected, "{args:?}: {:?}", place.run(args));

    check(&["scan", &stranger], 0);
    check(&["scan", &nothing], 0);
    check(&["scan", &known], 1);
    check(&["scan", &known, &broken], 1); // a match outweighs what could not be scanned
    check(&["scan", &broken, &known], 1);
    check(&["scan"], 2);
    check(&["scan", &missing], 3);
    check(&["scan", &stranger, &missing], 3);
    check(&["scan", "--list", "unknown", &known], 3);
    check(&["scan", &broken], 4);
    check(&["scan", &stranger, &broken], 4);

    check(&["match", &stranger], 0);
    check(&["match", "--pdq", &hash], 0);
    check(&["match", &known], 1);
    check(&["match", &text, &known], 1);
    check(&["match"], 2);
    check(&["match", &nothing], 2); // a folder is for scan
    check(&["match", "--pdq", "5a"], 2);
    check(&["match", "--pdq", &hash, "--quality", "101"], 2);
    check(&["match", &missing], 3);
    check(&["match", &known, &missing], 3);
    check(&["match", "--list", "unknown", &known], 3);
    check(&["match", &text], 4);
    check(&["match", "--md5", "d41d8cd98f00b204e9800998ecf8427e"], 4); // no list holds an MD5: not looked for

    check(&["hash", &known], 0);
    check(&["hash"], 2);
    check(&["hash", &missing, &known], 3);
    check(&["hash", &text], 4);

    check(&["list", "ls"], 0);
    check(&["list", "show", "known"], 0);
    check(&["list", "show"], 2);
    check(&["list", "create", "not a name"], 2);
    check(&["list", "create", "other", "--radius", "257"], 2);
    check(&["list", "create", "other", "--action", "FORGET"], 2);
    check(&["list", "set", "known"], 2);
    check(&["list", "create", "known"], 3);
    check(&["list", "show", "unknown"], 3);
    check(&["list", "import", "known", &missing], 3);
    check(&["list", "remove", "known", "nobody"], 3);

    check(&["store", "verify"], 0);
    check(&["store", "verify", "--endpoint", "http://127.0.0.1:1"], 2);
    check(&["nonsense"], 2);
    check(&["--config", &missing, "list", "ls"], 2);
    assert_eq!(run(&["--store", &missing, "store", "verify"]).exit, 3);
    assert_eq!(run(&["--store", &missing, "--endpoint", "http://127.0.0.1:1", "list", "ls"]).exit, 2);
    assert_eq!(run(&["--endpoint", "somewhere", "list", "ls"]).exit, 2);
    run(&["--endpoint", "http://127.0.0.1:1", "list", "ls"]).exits(3).says(&["no server answers at http://127.0.0.1:1"]);
}

#[test]
fn a_setting_that_is_not_known_is_refused_and_named() {
    let refused = ended(hashwarden(&["list", "ls"]).env("HASHWARDEN__GRPC__LISTENN", "127.0.0.1:0"));
    refused.exits(2).says(&["listenn", "HASHWARDEN__GRPC__LISTENN"]);
}

/// Without a list nothing can match: a folder of bad files and no list must not look clean.
#[test]
fn every_broken_file_is_named_with_what_is_wrong() {
    let place = Place::new();
    place.known();
    let folder = place.broken();
    let files: Vec<String> = broken().unwrap().iter().map(|f| place.arg(&format!("broken/{}", f.name))).collect();
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    let check = |ran: Ran, with_verdict: bool| {
        let lines = ran.exits(4).json();
        assert_eq!(lines.len(), files.len());
        for file in broken().unwrap() {
            let path = place.arg(&format!("broken/{}", file.name));
            let line = lines.iter().find(|line| line["file"] == path.as_str()).unwrap();
            match file.expected {
                Outcome::NotScanned(reason) => {
                    assert_eq!((&line["outcome"], &line["reason"]), (&json!("NOT_SCANNED"), &json!(reason.name())), "{line}");
                    assert_ne!(line["detail"], "", "{line}");
                }
                Outcome::Partial => {
                    assert!(!line["left_out"].as_array().unwrap().is_empty(), "{line}");
                    assert!(!with_verdict || line["outcome"] == "PARTIAL", "{line}");
                }
            }
            assert_eq!(line["sha256"].is_string(), !with_verdict, "{line}");
        }
    };
    check(place.run(&["scan", "--json", &folder]), true);
    check(place.run(&[&["match", "--json"], &names[..]].concat()), true);
    check(place.run(&[&["hash", "--json"], &names[..]].concat()), false);

    let text = place.run(&["scan", &folder]).exits(4);
    assert_eq!(text.out.lines().count(), files.len(), "{}", text.out);
    for line in text.out.lines() {
        let partial = line.starts_with("PARTIAL ") && line.contains("  left out: the file ends early");
        assert!(partial || line.starts_with("NOT_SCANNED ") && line.contains(": "), "{line}");
    }
    text.says(&["files: 12 (0 MATCH, 0 NO_MATCH, 1 PARTIAL, 11 NOT_SCANNED)"]);
}

#[test]
fn a_new_store_scans_nothing_and_says_so() {
    let place = Place::new();
    let picture = place.picture("picture.jpg", 1, Edit::Original);
    let line = place.run(&["scan", "--json", &picture]).exits(4).says(&["there is no store in"]).one();
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("NOT_SCANNED"), &json!("no_list")));
    // A folder that is there and empty is a new store too.
    std::fs::create_dir(place.path("empty")).unwrap();
    run(&["--store", &place.arg("empty"), "scan", &picture]).exits(4);
}

#[test]
fn a_verdict_has_the_fields_of_the_contract() {
    let place = Place::new();
    place.known();
    let file = place.picture("turned.jpg", 1, Edit::Rotated90);
    let check = |args: &[&str], of: &str, distance_max: u64, transform: &str| {
        let line = place.run(args).exits(1).one();
        let mut expected = FIELDS.map(|f| if f == "file" { of } else { f });
        expected.sort_unstable();
        assert_eq!(keys(&line), expected);
        assert_eq!((&line["outcome"], &line["reason"], &line["action"]), (&json!("MATCH"), &Value::Null, &json!("REVIEW")));
        assert!(line["snapshot"].as_u64().unwrap() > 0);
        assert_eq!(line["lists"], json!([{"name": "known", "version": 1}]));
        assert_eq!((&line["left_out"], &line["suppressed"], &line["cut"]), (&json!([]), &json!([]), &json!(0)));
        let found = line["matches"].as_array().unwrap().iter().find(|m| m["kind"] == "pdq").unwrap();
        assert_eq!(keys(found), MATCH_FIELDS);
        assert!(found["distance"].as_u64().unwrap() <= distance_max, "{found}");
        let mut found = found.clone();
        assert!(found["chance"].as_f64().unwrap() < 1e-20, "{found}");
        (found["distance"], found["chance"]) = (json!(0), json!(0));
        let expected = json!({
            "list": "known", "entry_id": "first", "category": "A1", "kind": "pdq", "distance": 0, "threshold": 31,
            "transform": transform, "frame": 0, "exact": false, "action": "REVIEW", "chance": 0, "view": whole(),
        });
        assert_eq!(found, expected);
        line
    };
    // The names are PDQ's own: rot90 turns against the clock, which undoes the edit; flipy swaps left and right.
    let line = check(&["scan", "--json", &file], "file", 31, "rot90");
    assert_eq!(line["file"], file.as_str());
    assert!(line["pdq_quality"].as_u64().unwrap() >= 50);
    check(&["match", "--json", &file], "file", 31, "rot90");
    let hash = hash_of(&place.arg("known.jpg"), "pdq");
    let line = check(&["match", "--json", "--pdq", &hash, "--quality", "77"], "pdq", 0, "identity");
    assert_eq!((&line["pdq"], &line["pdq_quality"]), (&json!(hash), &json!(77)));

    // Nothing read, nothing matched: the same fields.
    let stranger = place.picture("stranger.jpg", 2, Edit::Original);
    let line = place.run(&["scan", "--json", &stranger]).exits(0).one();
    assert_eq!(keys(&line).len(), FIELDS.len());
    assert_eq!((&line["outcome"], &line["matches"]), (&json!("NO_MATCH"), &json!([])));
}

#[test]
fn a_file_that_cannot_be_read_is_not_scanned_and_has_the_same_fields() {
    let place = Place::new();
    place.known();
    let folder = place.picture("in/a.jpg", 2, Edit::Original).replace("/a.jpg", "");
    // A socket has a name and can't be read as a file.
    std::os::unix::net::UnixListener::bind(place.path("in/socket")).unwrap();
    let lines = place.run(&["scan", "--json", &folder]).exits(4).json();
    let outcomes: Vec<_> = lines.iter().map(|l| l["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["NO_MATCH", "NOT_SCANNED"]);
    let line = place.run(&["scan", "--json", &place.arg("in/socket")]).exits(4).one();
    assert_eq!(line, lines[1]);
    assert_eq!(keys(&line).len(), FIELDS.len());
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("NOT_SCANNED"), &Value::Null));
    assert_ne!(line["detail"], "");
}

/// A link's file is scanned; what can't be read or followed has a line and an exit code, and a pipe without a writer is not waited for.
#[test]
fn links_and_pipes_are_named_and_never_left_out_without_a_word() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    place.known();
    let known = place.picture("elsewhere/a.jpg", 1, Edit::Recompressed);
    place.picture("in/b.jpg", 2, Edit::Original);
    symlink(&known, place.path("in/file")).unwrap();
    symlink(place.path("elsewhere"), place.path("in/folder")).unwrap();
    symlink("nowhere", place.path("in/broken")).unwrap();
    let pipe = place.arg("in/pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    place.run(&["scan", &place.arg("in")]).exits(1).says(&["files: 5", "1 MATCH", "3 NOT_SCANNED"]);
    let ran = place.run(&["scan", "--json", &place.arg("in")]).exits(1);
    let detail = |name: &str| {
        let line = ran.json().into_iter().find(|l| l["file"] == place.arg(name).as_str()).unwrap();
        (line["outcome"].as_str().unwrap().to_owned(), line["detail"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(detail("in/file").0, "MATCH");
    assert!(detail("in/folder").1.contains("a link to a folder"), "{:?}", detail("in/folder"));
    assert!(detail("in/broken").1.contains("no such file or directory"), "{:?}", detail("in/broken"));
    assert_eq!(detail("in/pipe").1, "not a regular file");
    for verb in ["scan", "match"] {
        assert_eq!(place.run(&[verb, "--json", &pipe]).exits(4).one()["detail"], "not a regular file");
    }
    place.run(&["hash", &pipe]).exits(3).says(&["not a regular file"]);
    // The path that was given is followed, whatever it is.
    place.run(&["scan", &place.arg("in/folder")]).exits(1);
}

/// The limits that make a server turn requests away make a scan of one's own files wait.
#[test]
fn a_scan_sheds_none_of_its_own_files() {
    let place = Place::new();
    place.known();
    (0..20).for_each(|n| drop(place.picture(&format!("in/{n}.jpg"), n, Edit::Original)));
    // Two of these are more than the smallest limit on bytes.
    (20..26).for_each(|n| drop(place.write(&format!("in/{n}.jpg"), &[copy(n, Edit::Original), vec![0; 18 << 20]].concat())));
    let folder = place.arg("in");
    for (files, bytes) in [("1", "1000000000"), ("100", "33554432")] {
        let mut command = hashwarden(&["--store", &place.store, "scan", "--json", &folder]);
        command.env("HASHWARDEN__EXTRACT__QUEUE_MAX", files).env("HASHWARDEN__EXTRACT__QUEUE_BYTES_MAX", bytes);
        let lines = ended(&mut command).exits(1).json();
        let scanned = lines.iter().filter(|l| l["outcome"] != "NOT_SCANNED").count();
        assert_eq!((lines.len(), scanned), (26, 26), "{files} files, {bytes} bytes");
    }
}

#[test]
fn hashes_have_the_fields_of_the_contract() {
    let place = Place::new();
    let file = place.picture("a.png", 3, Edit::Png);
    let line = place.run(&["hash", "--json", &file]).exits(0).one();
    let expected = ["dhash64", "file", "left_out", "md5", "pdq", "pdq_dihedral", "pdq_quality", "phash64", "sha1", "sha256"];
    assert_eq!(keys(&line), expected);
    let turned = ["flipminus1", "flipplus1", "flipx", "flipy", "rot180", "rot270", "rot90"];
    assert_eq!(keys(&line["pdq_dihedral"]), turned);
    let digits = |value: &Value| {
        let hex = value.as_str().unwrap();
        assert!(hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{hex}");
        hex.len()
    };
    let lengths = [("pdq", 64), ("phash64", 16), ("dhash64", 16), ("md5", 32), ("sha1", 40), ("sha256", 64)];
    lengths.iter().for_each(|(kind, length)| assert_eq!(digits(&line[kind]), *length, "{kind}"));
    turned.iter().for_each(|name| assert_eq!(digits(&line["pdq_dihedral"][name]), 64, "{name}"));
    assert!(line["pdq_quality"].as_u64().unwrap() <= 100);

    // Of the letters "abc", as RFC 1321 and FIPS 180 give them.
    let line = place.run(&["hash", "--json", &place.write("abc", b"abc")]).exits(4).one();
    let known = ["900150983cd24fb0d6963f7d28e17f72", "a9993e364706816aba3e25717850c26c9cd0d89d"];
    assert_eq!((&line["md5"], &line["sha1"]), (&json!(known[0]), &json!(known[1])));
    assert_eq!(line["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(line["reason"], "unsupported");

    let text = place.run(&["hash", &file]).exits(0).out;
    assert!(text.starts_with(&file) && text.contains("\n  pdq      ") && text.contains("  quality "), "{text}");
}

#[test]
fn lines_come_in_the_order_given_and_folders_sorted() {
    let place = Place::new();
    place.known();
    // Large and small ones, so that they are done in another order.
    for (name, edit) in [("in/b.jpg", Edit::DoubleSize), ("in/a/z.jpg", Edit::HalfSize), ("in/c.jpg", Edit::Original)] {
        place.picture(name, 5, edit);
    }
    place.write("in/B", b"capital letters first");
    let folder = place.arg("in");
    let files = |ran: Ran| ran.json().iter().map(|l| l["file"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let sorted = ["in/B", "in/a/z.jpg", "in/b.jpg", "in/c.jpg"].map(|name| place.arg(name));
    assert_eq!(files(place.run(&["scan", "--json", &folder])), sorted);

    let mut given: Vec<&str> = sorted.iter().map(String::as_str).rev().collect();
    given.extend_from_within(..);
    assert_eq!(files(place.run(&[&["match", "--json"], &given[..]].concat())), given);
    assert_eq!(files(place.run(&[&["hash", "--json"], &given[..]].concat())), given);
    assert_eq!(files(place.run(&[&["scan", "--json"], &given[..]].concat())), given);
}

#[test]
fn several_hashes_are_answered_in_order_each_under_its_kind() {
    let place = Place::new();
    place.known();
    let (known, other) = (hash_of(&place.arg("known.jpg"), "pdq"), pdq(0x0f));
    let sha256 = hash_of(&place.arg("known.jpg"), "sha256");
    let ran = place.run(&["match", "--json", "--sha256", &sha256, "--pdq", &other, "--pdq", &known.to_uppercase()]).exits(1);
    let seen: Vec<_> = ran
        .json()
        .iter()
        .map(|l| {
            let kind = if l["pdq"].is_string() { "pdq" } else { "sha256" };
            (kind, l[kind].as_str().unwrap().to_owned(), l["outcome"].as_str().unwrap().to_owned())
        })
        .collect();
    let expected = [("pdq", &other, "NO_MATCH"), ("pdq", &known, "MATCH"), ("sha256", &sha256, "MATCH")];
    assert_eq!(seen, expected.map(|(kind, hash, outcome)| (kind, hash.clone(), outcome.to_owned())));
    assert_eq!(ran.json()[2]["matches"][0]["exact"], true);
}

#[test]
fn a_malformed_hash_names_its_option() {
    let place = Place::new();
    place.known();
    let check = |option: &str, hash: &str, words: &str| {
        for verb in [&["match"][..], &["list", "add", "known"]] {
            let ran = place.run(&[verb, &[option, hash]].concat()).exits(2).says(&[option, words]);
            assert!(hash.len() < 4 || !ran.err.contains(hash), "a hash is in the words: {}", ran.err);
        }
    };
    check("--pdq", "abc", "a PDQ hash has 64 hex digits; this one has 3 digits");
    check("--pdq", &"g".repeat(64), "a PDQ hash has 64 hex digits; this one has characters that are not hex digits");
    check("--phash64", &pdq(1), "16 hex digits");
    check("--dhash64", "", "16 hex digits");
    check("--md5", "d41d8cd98f00b204e9800998ecf8427", "32 hex digits");
    check("--sha1", &pdq(1), "40 hex digits");
    check("--sha256", "é", "64 hex digits");
}

#[test]
fn edited_copies_are_found_and_strangers_are_not() {
    let place = Place::new();
    place.known();
    let check = |edit: Edit, exit: i32, transform: &str| {
        let file = place.picture("copy", 1, edit);
        let line = place.run(&["scan", "--json", &file]).exits(exit).one();
        let pdq = line["matches"].as_array().unwrap().iter().find(|m| m["kind"] == "pdq");
        assert_eq!(pdq.map_or("", |m| m["transform"].as_str().unwrap()), transform, "{edit:?}");
        assert_eq!(line["matches"].as_array().unwrap().iter().any(|m| m["exact"] == true), edit == Edit::Original);
    };
    check(Edit::Original, 1, "identity");
    check(Edit::Recompressed, 1, "identity");
    check(Edit::HalfSize, 1, "identity");
    check(Edit::WebpLossless, 1, "identity");
    check(Edit::Mirrored, 1, "flipy");
    check(Edit::Rotated180, 1, "rot180");
    check(Edit::LargeCrop, 0, "");
}

#[test]
fn what_is_printed_for_people_names_list_entry_and_action() {
    let place = Place::new();
    place.known();
    let known = place.arg("known.jpg");
    let ran = place.run(&["scan", &known]).exits(1);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], format!("MATCH       {known}"));
    assert!(lines[1..].iter().all(|l| l.starts_with("            candidate known/first category A1  ")), "{}", ran.out);
    assert!(ran.out.contains("pdq distance 0 (at most 31)  identity  REVIEW") && ran.out.contains("sha256 exact"), "{}", ran.out);
    ran.says(&["files: 1 (1 MATCH, 0 NO_MATCH, 0 PARTIAL, 0 NOT_SCANNED)"]);
}

/// A file's name that holds line breaks could add a line of its own to the report, or steer the terminal.
#[test]
fn a_hostile_file_name_stays_on_its_line() {
    let place = Place::new();
    place.known();
    let name = "in/a\nNO_MATCH    b\x1b[2J.jpg";
    let file = place.write(name, b"no picture");
    let folder = place.arg("in");
    let shown = "a\\nNO_MATCH    b\\u{1b}[2J.jpg";
    let text = place.run(&["scan", &folder]).exits(4).out;
    assert!(text.lines().count() == 1 && text.contains(shown), "{text}");
    assert!(!place.run(&["hash", &file]).exits(4).out.contains('\x1b'));
    assert_eq!(place.run(&["scan", "--json", &folder]).exits(4).one()["file"], file.as_str());
}

/// `hashwarden scan FOLDER | head -1` once ended in a panic with a back trace.
#[test]
fn a_reader_that_has_gone_ends_it_without_a_word() {
    let place = Place::new();
    place.known();
    let folder = place.broken();
    let check = |args: &[&str]| {
        let mut command = hashwarden(&[&["--store", &place.store], args].concat());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = ended_with_output_to(&mut command, writer.into());
        assert_eq!(ran.exit, 3, "{args:?}: {}", ran.err);
        assert_eq!(ran.err, "", "{args:?}");
    };
    check(&["scan", &folder]);
    check(&["match", "--pdq", &pdq(1)]);
    check(&["hash", &place.arg("known.jpg")]);
    check(&["list", "ls"]);
    check(&["list", "show", "known", "--json"]);
    check(&["list", "versions", "known"]);
    check(&["store", "verify"]);
}

fn ended_with_output_to(command: &mut std::process::Command, out: Stdio) -> Ran {
    let child = command.stdout(out).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    Ran { exit: output.status.code().unwrap_or(-1), out: String::new(), err: String::from_utf8(output.stderr).unwrap() }
}

#[test]
fn a_file_too_large_is_matched_by_its_digests_only() {
    let place = Place::new();
    place.known();
    let (known, other) = (place.arg("known.jpg"), place.picture("other.jpg", 1, Edit::Recompressed));
    let scan = |file: &str| {
        let mut command = hashwarden(&["--store", &place.store, "scan", "--json", file]);
        ended(command.env("HASHWARDEN__GRPC__IMAGE_BYTES_MAX", "2000"))
    };
    let line = scan(&known).exits(1).one();
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("MATCH"), &json!("too_large")));
    assert_eq!(line["matches"][0]["kind"], "sha256");
    let line = scan(&other).exits(4).one();
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("NOT_SCANNED"), &json!("too_large")));
}

#[test]
fn a_store_that_was_changed_by_hand_is_no_store_or_not_sound() {
    let place = Place::new();
    place.known();
    let line = place.run(&["store", "verify", "--json"]).exits(0).one();
    assert_eq!(
        (&line["lists"], &line["versions"], &line["rows"], &line["problems"]),
        (&json!(1), &json!(1), &json!(1), &json!([]))
    );
    assert!(place.run(&["store", "verify"]).exits(0).out.starts_with("sound: "));
    // A folder of other things is left alone.
    place.write("other/notes.txt", b"mine");
    run(&["--store", &place.arg("other"), "list", "create", "a"]).exits(3).says(&["holds no hashwarden store"]);
    assert_eq!(std::fs::read_dir(place.path("other")).unwrap().count(), 1);
}

/// What a crop of four per cent a side was before is found through a view, and said to be.
#[test]
fn a_match_through_a_view_says_where_it_was_found() {
    let place = Place::new();
    place.known();
    let picture = draw(1, 320, 240);
    let crop = image::imageops::crop_imm(&picture, 13, 10, 294, 220).to_image();
    let file = place.arg("crop.png");
    crop.save(&file).unwrap();
    place.run(&["list", "set", "known", "--views", "window"]).exits(0);
    place.run(&["match", &file]).exits(0);
    place.run(&["list", "set", "known", "--views", "extended", "--view-radius", "extended=39"]).exits(0);
    let line = place.run(&["match", "--json", &file]).exits(1).one();
    let found = &line["matches"][0];
    assert_eq!((&found["entry_id"], &found["action"], &found["threshold"]), (&json!("first"), &json!("REVIEW"), &json!(39)));
    assert_eq!((&found["view"]["kind"], &found["view"]["degrees"]), (&json!("extended"), &json!(0.0)));
    let corners = found["view"]["corners"].as_array().unwrap();
    let corner = |n: usize, axis: usize| corners[n][axis].as_f64().unwrap();
    assert!(corners.len() == 4 && corner(0, 0) < 0.0 && corner(2, 1) > 1.0, "{corners:?}");
    assert!(found["chance"].as_f64().unwrap() < 1e-9);
    assert!(line["views"]["searched"].as_u64().unwrap() > 0 && line["views"]["cut"] == 0);
    let text_of_match = place.run(&["match", &file]).exits(1).out;
    assert!(text_of_match.contains("  in extended -"), "{text_of_match}");

    let line = place.run(&["match", "--json", &place.arg("known.jpg")]).exits(1).one();
    let pdq = line["matches"].as_array().unwrap().iter().find(|m| m["kind"] == "pdq").unwrap();
    assert_eq!(pdq["view"], whole());
    let text = place.run(&["match", &place.arg("known.jpg")]).exits(1).out;
    assert!(!text.contains("whole"), "{text}");

    // On the picture: what lies beyond its edges is drawn there.
    let out = place.arg("drawn.png");
    assert_eq!(place.run(&["match", "--draw", &out, &file]).exits(1).out, text_of_match);
    let (drawn, size) = (image::open(&out).unwrap().to_rgb8(), crop.dimensions());
    assert!(drawn.width() > size.0 + 10 && drawn.height() > size.1 + 10, "{:?}", drawn.dimensions());
    assert!(drawn.pixels().any(|pixel| pixel.0 == [255, 220, 0]), "no line");
    std::fs::remove_file(&out).unwrap();
    place.run(&["match", "--draw", &out, "--views", "whole", &file]).exits(0).says(&["nothing matched: ", "was not written"]);
    assert!(!std::path::Path::new(&out).exists());
    place.run(&["match", "--draw", &file, &file]).exits(2).says(&["--draw would overwrite the picture"]);
    place.run(&["match", "--draw", &out, &file, &file]).exits(2).says(&["--draw needs exactly one file"]);
    place.run(&["match", "--draw", &place.arg("absent/drawn.png"), &file]).exits(3).says(&["absent/drawn.png"]);

    place.run(&["match", "--views", "whole", &file]).exits(0);
    place.run(&["scan", "--views", "all", &file]).exits(1);
    place.run(&["match", "--views", "half", &file]).exits(2).says(&["unknown set of views \"half\": whole or all"]);
}
