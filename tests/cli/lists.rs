//! A list's life: made, set, filled, changed, rolled back, deleted.

use hashwarden::demo::edits::Edit;
use serde_json::{Value, json};

use super::*;

/// Outcome and first match of a PDQ hash.
fn ask(place: &Place, hash: &str) -> (String, Value) {
    let line = place.run(&["match", "--json", "--pdq", hash]).one();
    (line["outcome"].as_str().unwrap().to_owned(), line["matches"][0].clone())
}

fn outcome(place: &Place, hash: &str) -> String {
    ask(place, hash).0
}

#[test]
fn a_policy_is_made_with_the_list_and_changed_by_name() {
    let place = Place::new();
    let made = place.run(&["list", "create", "a", "--json"]).exits(0).one();
    let expected = json!({
        "name": "a", "polarity": "POSITIVE", "enabled": true, "entries": 0, "active_version": 0, "previous_version": 0,
        "head_version": 0, "updated_ms": 0, "imported_ms": 0, "quality_min": 50, "pdq_dialect": "unknown", "category_radii": [], "scope": [],
        "category_actions": [], "shadow": false, "disputes_max": 0, "owner": "", "provenance": "", "legal_basis": "",
        "scope_hidden": 0, "sources": [],
        "transforms": ["identity", "rot90", "rot180", "rot270", "flipx", "flipy", "flipplus1", "flipminus1"],
        "kinds": {
            "pdq": {"radius": 31, "action": "REVIEW"}, "phash64": {"radius": 4, "action": "OBSERVE"},
            "dhash64": {"radius": 4, "action": "OBSERVE"}, "md5": {"radius": 0, "action": "REVIEW"},
            "sha1": {"radius": 0, "action": "REVIEW"}, "sha256": {"radius": 0, "action": "REVIEW"},
            "photodna": {"radius": 0, "action": "REVIEW"},
        },
        "views": {"extended": 31, "window": 31, "turned": 31}, "view_action_max": "REVIEW",
    });
    assert_eq!(made, expected);
    assert_eq!(place.run(&["list", "show", "a", "--json"]).exits(0).one(), expected);

    let set = |args: &[&str]| place.run(&[&["list", "set", "a", "--json"], args].concat()).exits(0).one();
    let changed = set(&["--radius", "20", "--radius", "A1:pdq=10", "--radius", "phash64=2", "--quality-min", "70"]);
    assert_eq!((&changed["kinds"]["pdq"]["radius"], &changed["kinds"]["phash64"]["radius"]), (&json!(20), &json!(2)));
    assert_eq!(changed["category_radii"], json!([{"category": "A1", "kind": "pdq", "radius": 10}]));
    assert_eq!((&changed["quality_min"], &changed["kinds"]["pdq"]["action"]), (&json!(70), &json!("REVIEW")));
    assert_eq!(set(&["--pdq-dialect", "512"])["pdq_dialect"], "512");
    assert_eq!(set(&["--quality-min", "70"])["pdq_dialect"], "512", "what is not named stays");
    assert!(place.run(&["list", "show", "a"]).exits(0).out.contains("PDQ dialect      512"));
    place.run(&["list", "set", "a", "--pdq-dialect", "256"]).exits(2).says(&["one of full, 512, unknown"]);
    let changed = set(&["--action", "BLOCK", "--action", "md5=OBSERVE", "--transforms", "identity,flipx"]);
    let action = |kind: &str| changed["kinds"][kind]["action"].clone();
    assert_eq!(["pdq", "sha1", "md5", "phash64"].map(action), ["BLOCK", "BLOCK", "OBSERVE", "OBSERVE"]);
    assert_eq!((&changed["transforms"], &changed["quality_min"]), (&json!(["identity", "flipx"]), &json!(70)));

    let changed = set(&["--action", "A1:all=BLOCK", "--action", "B:md5=REVIEW"]);
    let of_category = changed["category_actions"].as_array().unwrap();
    assert_eq!(of_category.len(), 6, "{of_category:?}"); // PDQ and four digests of A1, one of B
    assert_eq!(of_category[5], json!({"category": "B", "kind": "md5", "action": "REVIEW"}));
    assert!(place.run(&["list", "show", "a"]).exits(0).out.contains("A1:pdq                      BLOCK"));
    let changed = set(&["--action", "A1:pdq=none", "--action", "A1:all=none", "--action", "B:md5=none"]);
    assert_eq!(changed["category_actions"], json!([]));
    place.run(&["list", "set", "a", "--action", "A1:all=none"]).exits(2).says(&["category \"A1\" has no action of its own"]);
    place.run(&["list", "set", "a", "--action", "A1:all=none", "--action", "A1:pdq=BLOCK"]).exits(2).says(&["sets and removes"]);
    place.run(&["list", "set", "a", "--action", "A1=BLOCK"]).exits(2).says(&["--action", "A1"]);
    let about = ["--owner", "T&S", "--provenance", "hotline", "--legal-basis", "DSA, article 16", "--shadow", "on"];
    let changed = set(&about);
    assert_eq!((&changed["owner"], &changed["provenance"], &changed["shadow"]), (&json!("T&S"), &json!("hotline"), &json!(true)));
    let shown = place.run(&["list", "show", "a"]).exits(0);
    assert!(shown.out.contains("legal basis      DSA, article 16"), "{}", shown.out);
    assert_eq!(set(&["--shadow", "off", "--owner", ""])["owner"], "");
    place.run(&["list", "set", "a", "--owner", &"x".repeat(513)]).exits(2).says(&["the owner of a list has at most 512 bytes"]);
    place.run(&["list", "set", "a", "--shadow", "maybe"]).exits(2).says(&["on or off"]);

    let radius = |radius: &str, words: &str| drop(place.run(&["list", "set", "a", "--radius", radius]).exits(2).says(&[words]));
    for wide in ["pdq=97", "256", "pdq=99999", "A1:pdq=97"] {
        radius(wide, "the radius for pdq must be 0 to 96 bits: hashes of unrelated pictures lie some 128 bits apart");
    }
    radius("md5=3", "md5 hashes match exactly, so they have no radius");
    radius("photodna=3", "photodna hashes are not searched, so they have no radius");
    radius("pdq=x", "a radius is a whole number of bits");
    place.run(&["list", "set", "a", "--radius", "colour=3"]).exits(2).says(&["--radius", "colour"]);
    place.run(&["list", "set", "a", "--transforms", "sideways"]).exits(2).says(&["--transforms", "sideways"]);
    place.run(&["list", "set", "a", "--scope", "b"]).exits(3).says(&["there is no list named \"b\""]);

    let text = place.run(&["list", "show", "a"]).exits(0).out;
    for part in ["a  ", "empty", "quality minimum  70", "transforms       identity,flipx", "radius 20", "A1:pdq"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }

    assert_eq!(set(&["--radius", "A1:pdq=none"])["category_radii"], json!([]), "the list's own again");
    place.run(&["list", "set", "a", "--radius", "A1:pdq=none"]).exits(2).says(&["\"A1\"", "no radius of its own for pdq"]);
    let both = ["list", "set", "a", "--radius", "A1:pdq=none", "--radius", "A1:pdq=5"];
    place.run(&both).exits(2).says(&["\"A1\"", "the same change sets and removes the pdq radius"]);
    radius("pdq=none", "a radius is a whole number of bits, for pdq 0 to 96; a category's can also be none");
    place.run(&["list", "set", "a", "--radius", "60"]).exits(0).says(&["warning: radius 60 for pdq is wide"]);
    place.run(&["list", "add", "a", "--id", "x", "--category", "A1", "--pdq", &pdq(0x11)]).exits(0);
    let strange = place.run(&["list", "set", "a", "--radius", "A2:pdq=5"]).exits(0);
    strange.says(&["warning: no entry of list \"a\" has the category \"A2\""]);
}

#[test]
fn a_list_says_which_views_count() {
    let place = Place::new();
    let create = ["list", "create", "a", "--json", "--views", "extended,window", "--view-radius", "window=27"];
    let made = place.run(&create).exits(0).one();
    assert_eq!(made["views"], json!({"extended": 31, "window": 27}));
    assert_eq!(place.run(&["list", "show", "a", "--json"]).exits(0).one(), made);

    let set = |args: &[&str]| place.run(&[&["list", "set", "a", "--json"], args].concat()).exits(0).one();
    // A class that counted before keeps its radius.
    assert_eq!(set(&["--views", "window,turned"])["views"], json!({"turned": 31, "window": 27}));
    let changed = set(&["--view-radius", "turned=0", "--view-radius", "window=39", "--view-action", "block"]);
    assert_eq!((&changed["views"], &changed["view_action_max"]), (&json!({"turned": 0, "window": 39}), &json!("BLOCK")));
    let text = place.run(&["list", "show", "a"]).exits(0).out;
    assert!(text.contains("view window      radius 39  REVIEW"), "the action of PDQ is no stricter: {text}");
    let narrow = place.run(&["list", "create", "narrow", "--radius", "12", "--action", "block"]).exits(0).out;
    assert!(narrow.contains("view window      radius 12  REVIEW"), "{narrow}");
    let equal = place.run(&["list", "create", "equal", "--radius", "0"]).exits(0).out;
    assert!(equal.contains("view window      not looked up"), "{equal}");
    assert_eq!(set(&["--quality-min", "60"])["views"], changed["views"], "what is not named stays");
    assert_eq!(set(&["--views", "whole"])["views"], json!({}));
    let text = place.run(&["list", "show", "a"]).exits(0).out;
    assert!(!text.contains("view "), "{text}");

    let refused = |args: &[&str], words: &str| drop(place.run(&[&["list", "set", "a"], args].concat()).exits(2).says(&[words]));
    refused(&["--view-radius", "window=31"], "window views do not count in this list");
    refused(&["--views", "window", "--view-radius", "window=40"], "the radius for window views must be 0 to 39 bits");
    refused(&["--view-radius", "31"], "a view radius needs its class, such as window=31");
    refused(&["--view-radius", "window=x"], "a radius is a whole number of bits");
    refused(&["--views", "inset"], "unknown class of views \"inset\": one of extended, window, turned");
    refused(&["--views", "window,whole"], "it can't be combined with classes");
    refused(&["--views", ""], "unknown class of views \"\": one of extended, window, turned");
    refused(&["--view-action", "FORGET"], "unknown action");
    let negative = place.run(&["list", "create", "n", "--negative", "--views", "window"]).exits(2);
    negative.says(&["a negative list has no views of its own"]);
    place.run(&["list", "create", "n", "--negative", "--views", "whole"]).exits(0);
}

#[test]
fn the_policy_decides_over_what_is_near() {
    let place = Place::new();
    place.known();
    let known = hash_of(&place.arg("known.jpg"), "pdq");
    // Ten bits away.
    let mut bytes: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&known[2 * i..2 * i + 2], 16).unwrap()).collect();
    bytes[..10].iter_mut().for_each(|byte| *byte ^= 1);
    let near: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();

    let (first, found) = ask(&place, &near);
    assert_eq!((first.as_str(), &found["distance"], &found["action"]), ("MATCH", &json!(10), &json!("REVIEW")));
    place.run(&["list", "set", "known", "--radius", "9", "--action", "BLOCK"]).exits(0);
    assert_eq!(outcome(&place, &near), "NO_MATCH");
    assert_eq!(ask(&place, &known).1["action"], "BLOCK");
    place.run(&["list", "set", "known", "--radius", "A1:pdq=10"]).exits(0);
    assert_eq!(ask(&place, &near).1["threshold"], 10);

    place.run(&["list", "set", "known", "--action", "A1:pdq=OBSERVE"]).exits(0);
    assert_eq!(ask(&place, &near).1["action"], "OBSERVE");
    place.run(&["list", "set", "known", "--shadow", "on"]).exits(0);
    let line = place.run(&["match", "--json", "--pdq", &near]).exits(4).one();
    assert_eq!((&line["outcome"], &line["reason"], &line["matches"]), (&json!("NOT_SCANNED"), &json!("no_list"), &json!([])));
    assert_eq!((&line["shadow"][0]["list"], &line["shadow"][0]["distance"]), (&json!("known"), &json!(10)));
    assert!(place.run(&["match", "--pdq", &near]).exits(4).out.contains("in shadow known/"));
    place.run(&["list", "set", "known", "--shadow", "off"]).exits(0);

    // The quality that the caller gives counts; none given passes.
    place.run(&["list", "set", "known", "--quality-min", "80"]).exits(0);
    let line = place.run(&["match", "--json", "--pdq", &known, "--quality", "79"]).exits(4).one();
    assert_eq!(line["reason"], "low_quality");
    place.run(&["match", "--pdq", &known, "--quality", "80"]).exits(1);

    place.run(&["list", "set", "known", "--transforms", "identity"]).exits(0);
    let turned = place.picture("turned.png", 1, Edit::Rotated180);
    let kinds: Vec<_> = place.run(&["scan", "--json", &turned]).one()["matches"].as_array().unwrap().clone();
    assert!(kinds.is_empty(), "{kinds:?}");
}

#[test]
fn a_negative_list_suppresses_what_is_known_to_be_harmless() {
    let place = Place::new();
    place.known();
    let known = hash_of(&place.arg("known.jpg"), "pdq");
    let made = place.run(&["list", "create", "harmless", "--negative", "--scope", "known", "--json"]).exits(0).one();
    assert_eq!((&made["polarity"], &made["scope"]), (&json!("NEGATIVE"), &json!(["known"])));
    place.run(&["list", "add", "harmless", "--pdq", &known]).exits(0);
    let line = place.run(&["match", "--json", "--pdq", &known]).exits(0).one();
    assert_eq!((&line["outcome"], &line["matches"]), (&json!("NO_MATCH"), &json!([])));
    assert_eq!(line["suppressed"][0]["entry_id"], "first");
    assert!(place.run(&["match", "--pdq", &known]).out.contains("suppressed known/first"));
    // Exact digests are never suppressed.
    place.run(&["match", &place.arg("known.jpg")]).exits(1);
}

#[test]
fn a_disabled_list_does_not_answer_until_it_is_enabled() {
    let place = Place::new();
    place.known();
    let known = hash_of(&place.arg("known.jpg"), "pdq");
    assert_eq!(place.run(&["list", "disable", "known", "--json"]).exits(0).one()["enabled"], false);
    assert!(place.run(&["list", "ls"]).out.contains("disabled"));
    let line = place.run(&["match", "--json", "--pdq", &known]).exits(4).one();
    assert_eq!(line["reason"], "no_list");
    assert_eq!(place.run(&["list", "enable", "known", "--json"]).exits(0).one()["enabled"], true);
    assert_eq!(outcome(&place, &known), "MATCH");
}

#[test]
fn entries_come_and_go() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let edit = |args: &[&str]| place.run(&[&["list"], args, &["--json"]].concat());
    let (one, two) = (pdq(0x11), pdq(0xee));
    let report = edit(&["add", "a", "--id", "one", "--category", "B2", "--pdq", &one]).exits(0).one();
    let expected = json!({
        "version": 1, "added": 1, "changed": 0, "removed": 0, "unchanged": 0, "details_changed": 0, "missing": [], "ids": ["one"],
    });
    assert_eq!(report, expected);
    assert_eq!(edit(&["add", "a", "--id", "one", "--category", "B2", "--pdq", &one]).exits(0).one()["unchanged"], 1);
    assert_eq!(edit(&["add", "a", "--id", "one", "--pdq", &one]).exits(0).one()["changed"], 1);
    // Without an id one is derived, the same every time, and it is no part of the hash.
    let ids = |hash: &str| edit(&["add", "a", "--pdq", hash]).exits(0).one()["ids"][0].as_str().unwrap().to_owned();
    let id = ids(&two);
    assert!(id.starts_with("h-") && id.len() == 18 && !id.contains(&two[..8]), "{id}");
    assert_eq!(ids(&two), id);
    assert_eq!(ask(&place, &two).1["entry_id"], id.as_str());

    assert_eq!(edit(&["remove", "a", "one"]).exits(0).one()["removed"], 1);
    assert_eq!((outcome(&place, &one), outcome(&place, &two)), ("NO_MATCH".to_owned(), "MATCH".to_owned()));
    let report = edit(&["remove", "a", "one", &id]).exits(3).says(&["not in the list: one"]).one();
    assert_eq!((&report["removed"], &report["missing"]), (&json!(1), &json!(["one"])));
    place.run(&["list", "add", "a"]).exits(2).says(&["--pdq"]);
    place.run(&["list", "add", "b", "--pdq", &one]).exits(3).says(&["there is no list named \"b\""]);
    place.run(&["store", "verify"]).exits(0);
}

#[test]
fn files_of_each_format_are_imported() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let (one, two, three) = (pdq(0x11), pdq(0x22), pdq(0x33));
    let import = |file: &str, more: &[&str]| place.run(&[&["list", "import", "a", file, "--json"], more].concat()).exits(0).one();
    let csv = place.write("a.csv", format!("id,category,pdq\nx1,A1,{one}\nx2,,{two}\n").as_bytes());
    let report = import(&csv, &[]);
    let expected = [
        "activated",
        "added",
        "bad",
        "bundle",
        "changed",
        "columns",
        "compared_with",
        "details_changed",
        "entries",
        "findings",
        "format",
        "found",
        "gone",
        "hashes",
        "held",
        "kept",
        "list",
        "resident_bytes_peak",
        "rows",
        "rows_bad",
        "rows_bad_in_part",
        "rows_merged",
        "rows_unread",
        "rows_unsought",
        "rows_withdrawn",
        "seconds",
        "unchanged",
        "version",
        "warnings",
    ];
    assert_eq!(keys(&report), expected);
    assert_eq!((&report["format"], &report["hashes"], &report["warnings"]), (&json!("csv"), &json!({"pdq": 2}), &json!([])));
    let counts =
        |r: &Value| ["version", "rows", "rows_bad", "added", "changed", "gone", "unchanged", "entries"].map(|k| r[k].as_u64());
    assert_eq!(counts(&report), [1, 2, 0, 2, 0, 0, 0, 2].map(Some));
    assert_eq!((&report["activated"], &ask(&place, &one).1["entry_id"]), (&json!(true), &json!("x1")));
    // The same file again: nothing is new.
    assert_eq!(counts(&import(&csv, &[])), [None, Some(2), Some(0), Some(0), Some(0), Some(0), Some(2), Some(2)]);

    let text = place.write("hashes.txt", format!("# comment\npdq {two}\n{three}\n").as_bytes());
    assert_eq!(counts(&import(&text, &[])), [2, 2, 0, 2, 0, 2, 0, 2].map(Some));
    assert_eq!(counts(&import(&text, &["--format", "pdq-text"]))[0], None);

    let input = format!("id,pdq\nx1,{one}\n");
    let args = ["--store", &place.store, "list", "import", "a", "-", "--json"];
    assert_eq!(counts(&run_with_input(&args, &input).exits(0).one()), [3, 1, 0, 1, 0, 2, 0, 1].map(Some));
    let versions = place.run(&["list", "versions", "a", "--json"]).exits(0).json();
    let sources: Vec<_> = versions.iter().map(|v| v["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["a.csv", "hashes.txt", "standard input"]);
    let fields = ["active", "digest", "entries", "parent", "source", "state", "time_ms", "version"];
    versions.iter().for_each(|v| assert_eq!(keys(v), fields));

    let mapped = place.write("odd.csv", format!("k1;extra;{one}\nk2;extra;{two}\n").as_bytes());
    let mapping = place.write("map.toml", b"delimiter = \";\"\nheader = \"absent\"\nid = 1\n[hashes]\npdq = 3\n");
    assert_eq!(import(&mapped, &["--format", "csv", "--mapping", &mapping])["entries"], 2);
    assert_eq!(ask(&place, &two).1["entry_id"], "k2");
    place.run(&["list", "import", "a", &csv, "--format", "xml"]).exits(2).says(&["--format", "csv, pdq-text"]);
    let wrong = place.write("wrong.toml", b"ident = 1\n");
    place.run(&["list", "import", "a", &csv, "--mapping", &wrong]).exits(2).says(&["wrong.toml", "ident"]);
}

/// Each was a parser's own words, without the section, such as "did not match any variant of untagged enum Column".
#[test]
fn a_wrong_mapping_is_told_by_file_section_and_key() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let csv = place.write("a.csv", format!("id,pdq\nx1,{}\n", pdq(0x11)).as_bytes());
    let check = |mapping: &str, words: &str| {
        let file = place.write("wrong.toml", mapping.as_bytes());
        let ran = place.run(&["list", "import", "a", &csv, "--mapping", &file]).exits(2);
        ran.says(&[&format!("the mapping {file}: {words}")]);
    };
    check(
        "ident = 1\n",
        "unknown key ident (did you mean id?): the keys are category, deleted, delimiter, hashes, header, id, member, note, quality, signal, status, tags, updated",
    );
    check("zzzzzz = 1\n", "unknown key zzzzzz: the keys are");
    check("[signal]\ntyp = 1\nvalue = 2\n", "unknown key typ in [signal] (did you mean type?): its keys are type, value");
    check("[signal]\ntype = 1\n", "[signal] value is missing");
    check("[hashes]\nmd55 = 1\n", "[hashes] unknown hash kind \"md55\"");
    check("[hashes]\nmd5 = true\n", "[hashes] md5: a column is its number, from 1, or its name in quotes");
    check("id = true\n", "id: a column is its number, from 1, or its name in quotes");
}

/// Each said "invalid digit found in string", or nothing of what is allowed.
#[test]
fn a_number_that_is_none_is_told_with_its_range() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let check = |args: &[&str], words: &str| {
        let ran = place.run(args).exits(2).says(&[words]);
        assert!(!ran.err.contains("digit found") && !ran.err.contains("target type"), "{ran:?}");
    };
    let of_radius = "must be a whole number from 0 to 256";
    for radius in ["x", "257", "99999999999", "999999999999999999999999999", "1.5", ""] {
        check(&["list", "overlap", "a", "a", "--radius", radius], of_radius);
    }
    for quality in ["101", "ten"] {
        check(&["list", "set", "a", "--quality-min", quality], "must be a whole number from 0 to 100");
        check(&["match", "--pdq", &pdq(1), "--quality", quality], "must be a whole number from 0 to 100");
    }
    for version in ["v1", "4294967296"] {
        check(&["list", "activate", "a", version], "must be a whole number from 0 to 4294967295");
        check(&["list", "diff", "a", "1", version], "must be a whole number from 0 to 4294967295");
    }
    check(&["list", "set", "a", "--radius", "99999999999"], "0 to 96 bits");
    check(&["list", "set", "a", "--radius", "far"], "a radius is a whole number of bits, for pdq 0 to 96");
    check(&["list", "set", "a", "--radius", "phash64=far"], "a radius is a whole number of bits, for phash64 0 to 16");
    check(&["list", "set", "a", "--radius", "md5=far"], "md5 hashes match exactly, so they have no radius");
}

/// Each said "No such file or directory (os error 2)".
#[test]
fn what_cannot_be_opened_is_named_in_words() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let absent = place.arg("absent");
    let file = place.write("a.csv", format!("id,pdq\nx1,{}\n", pdq(0x11)).as_bytes());
    let within = format!("{file}/below");
    let check = |args: &[&str], exit: i32, words: &str| {
        let ran = run(args).exits(exit).says(&[words]);
        assert!(!ran.err.contains("os error"), "{ran:?}");
    };
    let store = ["--store", place.store.as_str()];
    let absent_said = format!("no such file or folder: {absent}");
    check(&[&store[..], &["list", "import", "a", &absent]].concat(), 3, &absent_said);
    check(&[&store[..], &["list", "import", "a", &file, "--mapping", &absent]].concat(), 3, &absent_said);
    check(&[&store[..], &["scan", &absent]].concat(), 3, &absent_said);
    check(&[&store[..], &["match", &absent]].concat(), 3, &absent_said);
    check(&["hash", &absent], 3, &absent_said);
    check(&["hash", &within], 3, &format!("{within}: not a directory"));
    check(&["--config", &absent, "list", "ls"], 2, &format!("the configuration can't be read: {absent_said}"));
    check(&["--store", &within, "list", "create", "a"], 3, &within);
    check(
        &["--store", "/proc/hashwarden-test", "list", "create", "a"],
        3,
        "the store's directory /proc/hashwarden-test: no such",
    );
    check(&["--endpoint", "http://127.0.0.1:1", "list", "ls"], 3, "connection refused");
}

#[test]
fn a_bad_row_is_reported_by_line_and_the_rest_is_taken() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let (one, bad) = (pdq(0x11), "badc0ffee0".repeat(6));
    let csv = place.write("a.csv", format!("id,pdq\nx1,{one}\nx2,{bad}\nx3\nx4,{}\n", pdq(0x44)).as_bytes());
    let ran = place.run(&["list", "import", "a", &csv]).exits(0);
    let ran =
        ran.says(&["line 3: column 2: a PDQ hash has 64 hex digits; this one has 60 digits", "line 4: it has 1 column and"]);
    assert!(!ran.err.contains("badc0ffee0") && !ran.out.contains("badc0ffee0"), "{ran:?}");
    assert!(ran.out.contains("a: version 1 is active: 2 entries") && ran.out.contains("4 rows read, 2 bad"), "{}", ran.out);
    let report = place.run(&["list", "import", "a", &csv, "--json"]).exits(0).one();
    let lines: Vec<_> = report["bad"].as_array().unwrap().iter().map(|b| b["line"].as_u64().unwrap()).collect();
    assert_eq!((lines, &report["rows_bad"]), (vec![3, 4], &json!(2)));
    assert_eq!(outcome(&place, &one), "MATCH");
    let folder = std::path::Path::new(&csv).parent().unwrap().to_str().unwrap();
    place.run(&["list", "import", "a", folder]).exits(3).says(&[folder, "is a directory"]);
}

/// The second file has a broken row where the first had an entry: somebody has to look before that entry goes.
#[test]
fn a_bad_row_that_may_be_a_known_entry_leaves_the_list_as_it_is() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let (one, two) = (pdq(0x11), pdq(0x22));
    let first = place.write("a.csv", format!("id,pdq\nx1,{one}\nx2,{two}\n").as_bytes());
    place.run(&["list", "import", "a", &first]).exits(0);
    let second = place.write("b.csv", format!("id,pdq\nx1,{one}\nx2,{}\n", &two[..40]).as_bytes());
    let dry = place.run(&["list", "import", "a", &second, "--dry-run", "--json"]).exits(3);
    let dry = dry.says(&["the import would be staged, not activated: look at the bad rows"]).one();
    assert!(dry["warnings"][0].as_str().unwrap().contains("1 row is bad"), "{dry}");
    let ran = place.run(&["list", "import", "a", &second]).exits(3);
    let ran = ran.says(&["line 3", "warning: not activated", "version 2 is not active"]);
    assert!(ran.out.contains("version 2 is staged, not active") && ran.out.contains("list activate a 2"), "{}", ran.out);
    assert_eq!((outcome(&place, &one).as_str(), outcome(&place, &two).as_str()), ("MATCH", "MATCH"));
    // Asked for, it is no failure; and a mended file goes through.
    place.run(&["list", "import", "a", &second, "--stage"]).exits(0);
    let mended = place.write("c.csv", format!("id,pdq\nx1,{one}\nx2,{}\n", pdq(0x33)).as_bytes());
    let report = place.run(&["list", "import", "a", &mended, "--json"]).exits(0).one();
    assert_eq!((&report["activated"], &report["compared_with"], &report["changed"]), (&json!(true), &json!(1), &json!(1)));
    assert_eq!(outcome(&place, &two), "NO_MATCH");
}

#[test]
fn several_files_are_one_import() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let page = |name: &str, id: &str, hash: &str| place.write(name, format!("id,pdq\n{id},{hash}\n").as_bytes());
    let pages = [page("1.csv", "x", &pdq(1)), page("2.csv", "y", "zz"), page("3.csv", "z", &pdq(3))];
    let [one, two, three] = &pages;
    let done = place.run(&["list", "import", "a", one, two, three, "--json"]).exits(0);
    let report = done.says(&["2.csv: line 2: column 2: a PDQ hash has 64 hex digits"]).one();
    assert_eq!((&report["rows"], &report["entries"], &report["bad"][0]["file"]), (&json!(3), &json!(2), &json!("2.csv")));
    let versions = place.run(&["list", "versions", "a", "--json"]).exits(0).json();
    assert_eq!((versions.len(), &versions[0]["source"]), (1, &json!("1.csv and 2 more")));
    let missing = place.arg("none.csv");
    place.run(&["list", "import", "a", one, &missing]).exits(3).says(&["no such file or folder", "none.csv"]);
    place.run(&["list", "import", "a", "-", "-"]).exits(2).says(&["standard input can be only one of the files"]);
    place.run(&["list", "import", "a"]).exits(2);
}

#[test]
fn a_file_that_fails_as_a_whole_changes_nothing() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let one = pdq(0x11);
    place.run(&["list", "add", "a", "--id", "x", "--pdq", &one]).exits(0);
    let before = (place.run(&["list", "show", "a", "--json"]).out, place.run(&["list", "versions", "a", "--json"]).out);
    let check = |bytes: &[u8], words: &str| {
        let file = place.write("list", bytes);
        place.run(&["list", "import", "a", &file]).exits(3).says(&["nothing was imported", words]);
        let after = (place.run(&["list", "show", "a", "--json"]).out, place.run(&["list", "versions", "a", "--json"]).out);
        assert_eq!(after, before, "{words}");
    };
    check(b"", "the file is empty");
    check(b"id,name\nx,y\n", "columns found");
    check(
        b"id,pdq\nx,zz\ny,zz\n",
        "none of the 2 rows can be read; the first: line 2: column 2: a PDQ hash has 64 hex digits; this one has characters",
    );
    check(
        format!("id,note,pdq\n1,\"a,{one}\n2,b,{one}\n3,\"c\",{one}\n").as_bytes(),
        "the rows down to line 4 would be lost in it",
    );
    check(b"id,pdq\n", "the file has column names and no row below them");
    check(b"# nothing\n", "the file holds comments only");
    check(b"some words\n", "the first line is neither column names nor a hash");
    check(b"id,pdq\nx,zz\n", "the only row can't be read: line 2");
    check(format!("id,pdq\n1,{one}\n\"2,").as_bytes(), "a quotation mark on line 3 is not closed");
    check(b"{\"json\": true}\n", "this looks like JSON of no kind that is known, which is not read; convert it to CSV");
    check(b"<?xml version=\"1.0\"?><rss/>", "this looks like XML other than NCMEC's, which is not read");
    check(b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "this looks like an HTML page, perhaps a login or error page");
    check(format!("id,pdq\r1,{one}\r").as_bytes(), "the file uses bare CR line endings; convert them to LF");
    check(b"\x1f\x8b\x08\0\0\0", "its gzip data is damaged or cut short");
    check(b"PK\x03\x04\x14\0", "its ZIP data is damaged or cut short");
    let json = place.write("list.csv", b"[{\"MediaID\":1}]");
    let refused = "the file looks like vics-json, and csv was named as its format";
    place.run(&["list", "import", "a", &json, "--format", "csv"]).exits(3).says(&[refused]);
    check(
        &[&b"\xff\xfe"[..], &format!("id,pdq\nx,{one}\n").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), b"x"]
            .concat(),
        "the file is not valid UTF-16LE",
    );
    check(&"\u{feff}id,pdq\n".chars().flat_map(|c| (c as u32).to_le_bytes()).collect::<Vec<_>>(), "the file is UTF-32");
    place.run(&["list", "import", "b", &place.arg("list")]).exits(3).says(&["there is no list named \"b\""]);
    assert_eq!(outcome(&place, &one), "MATCH");
}

#[test]
fn an_import_that_changes_much_exits_with_3_until_it_is_accepted() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let rows = |numbers: std::ops::Range<u32>| numbers.map(|n| format!("{n},{},x\n", numbered(n))).collect::<String>();
    let file = |name: &str, numbers| place.write(name, format!("id,pdq,note\n{}", rows(numbers)).as_bytes());
    place.run(&["list", "import", "a", &file("first.csv", 1..1_001)]).exits(0);
    let cut = file("cut.csv", 1..501);
    let ran = place.run(&["list", "import", "a", &cut]).exits(3).says(&[
        "warning: not activated: of 1000 entries, 500 would be removed and 0 changed, and 0 would be added: 50.00 %, and the limit is 20 %",
        "version 2 is not active: look at what would change (hashwarden list diff a 1 2 counts what changes)",
        "or import the file with --accept",
    ]);
    assert!(ran.out.contains("a: version 2 is staged, not active") && ran.out.contains("list activate a 2"), "{}", ran.out);
    assert!(ran.out.contains("columns: id as id, pdq as pdq, note as note\n"), "{}", ran.out);
    let report = place.run(&["list", "import", "a", &cut, "--json"]).exits(3).one();
    assert_eq!((&report["held"], &report["activated"]), (&json!(["large_change"]), &json!(false)));
    assert_eq!(report["columns"][2], json!({"number": 3, "name": "note", "used_as": "note"}));
    let report = place.run(&["list", "import", "a", &cut, "--accept", "--json"]).exits(0).one();
    assert_eq!((&report["held"], &report["activated"], &report["version"]), (&json!([]), &json!(true), &json!(2)));
    place.run(&["list", "import", "a", &cut, "--accept", "--stage"]).exits(2);
}

/// A dry run said that all was well where the import then exited with 3.
#[test]
fn a_dry_run_ends_as_the_import_would() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let file = |name: &str, numbers: std::ops::Range<u32>| {
        let rows = numbers.map(|n| format!("{n},{}\n", numbered(n))).collect::<String>();
        place.write(name, format!("id,pdq\n{rows}").as_bytes())
    };
    place.run(&["list", "import", "a", &file("first.csv", 1..1_001)]).exits(0);
    let (cut, same) = (file("cut.csv", 1..501), file("same.csv", 1..1_001));
    let emptied = place.write("emptied.csv", b"id,pdq,deleted\n1,,yes\n");
    let check = |run: &dyn Fn(&[&str]) -> Ran| {
        let dry = |file: &str, more: &[&str]| run(&[&["list", "import", "a", file, "--dry-run"], more].concat());
        let held =
            dry(&cut, &[]).exits(3).says(&["the import would be staged, not activated: look at what would change", "--accept"]);
        assert!(held.out.contains("a: dry run, nothing changed; the import would be staged: 500 entries"), "{}", held.out);
        assert_eq!(dry(&cut, &["--json"]).exits(3).one()["held"], json!(["large_change"]));
        dry(&cut, &["--accept"]).exits(0);
        dry(&same, &[]).exits(0);
        dry(&emptied, &[]).exits(3).says(&["would leave the list empty"]);
    };
    check(&|args| place.run(args));
    assert_eq!(place.run(&["list", "versions", "a", "--json"]).exits(0).json().len(), 1);
    let server = super::server::Server::start_with(&place.store, "info", &[]);
    check(&|args| server.run(args));
}

/// Names that come from elsewhere, with what turns a line around, breaks it or moves the cursor.
#[test]
fn what_could_mislead_a_reader_is_shown_escaped() {
    const TURNED: &str = "x\u{202e}gpj.\u{2066}\u{200b}\u{2028}y";
    const SHOWN: &str = "x\\u{202e}gpj.\\u{2066}\\u{200b}\\u{2028}y";
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let clean = |text: &str| assert!(!TURNED.chars().any(|c| !c.is_ascii() && text.contains(c)), "{text:?}");
    let check = |args: &[&str], out: bool| {
        let ran = place.run(args);
        clean(&ran.out);
        clean(&ran.err);
        assert!(if out { &ran.out } else { &ran.err }.contains(SHOWN), "{args:?}: {ran:?}");
    };
    let one = pdq(0x11);
    check(&["list", "add", "a", "--id", TURNED, "--category", TURNED, "--pdq", &one], true);
    check(&["match", "--pdq", &one], true);
    check(&["list", "set", "a", "--radius", &format!("{TURNED}:pdq=9")], true);
    check(&["list", "set", "a", "--radius", &format!("{TURNED}1:pdq=9")], false);
    check(&["list", "overlap", "a", "a"], true);
    check(&["list", "remove", "a", &format!("{TURNED}2")], false);
    let list = place.write(&format!("{TURNED}.csv"), format!("id,{TURNED},pdq\n1,2,{one}\n").as_bytes());
    // A column's name with such characters is not shown at all, only its number.
    let ran = place.run(&["list", "import", "a", &list]).exits(0);
    clean(&ran.out);
    clean(&ran.err);
    assert!(ran.out.contains("kept as they are: column 2\n"), "{ran:?}");
    check(&["list", "versions", "a"], true);
    check(&["list", "import", "a", &place.arg(&format!("{TURNED}.absent"))], false);
    check(&["scan", &list], true);
    check(&["hash", &list], true);
    check(&["match", &place.arg(TURNED)], false);
    check(&["list", "show", TURNED, "--store", &place.arg(TURNED)], false);
    check(&["list", "set", "a", "--action", TURNED], false);
    check(&["list", "ls", TURNED], false);
    check(&["--config", &place.arg(TURNED), "list", "ls"], false);
    // In JSON the same characters as JSON escapes them: what is read back is what was there.
    let line = place.run(&["scan", "--json", &list]);
    clean(&line.out);
    assert!(line.one()["file"].as_str().unwrap().ends_with(&format!("{TURNED}.csv")), "{line:?}");
}

/// A hash of a list is a secret: an argument in the wrong place, or a list where a mapping should be, is not repeated.
#[test]
fn no_error_of_the_command_line_repeats_a_hash() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let (hash, base64) = ("9e107d9d372bb6826bd81d3542a419d6", "nhB9nTcrtoJr2B01QqQZ1g==");
    let list = place.write("list.csv", format!("id;md5\n1;{hash}\n").as_bytes());
    let wrong = place.write("wrong.toml", format!("id = \"id\"\n[hashes]\n\"{hash}\" = 2\n").as_bytes());
    let check = |args: &[&str], words: &str| {
        let ran = place.run(args).says(&[words]);
        assert!(ran.exit >= 2 && !ran.err.contains(&hash[..8]) && !ran.err.contains(&base64[..8]), "{ran:?}");
    };
    check(&["list", "import", "a", &list, "--mapping", &list], "TOML parse error at line 1");
    check(&["list", "import", "a", &list, "--mapping", &wrong], "[hashes] unknown hash kind");
    check(&["--config", &list, "list", "ls"], "is not TOML");
    check(&["list", "add", "a", "--id", "x", hash], "unexpected argument");
    check(&["list", "add", "a", "--id", "x", base64], "unexpected argument");
    check(&["list", "set", "a", "--radius", hash], "a radius is a whole number of bits");
    check(&["list", "set", "a", "--action", &format!("{hash}=BLOCK")], "unknown hash kind");
    check(&["match", &"a".repeat(32)], "to match a hash, give its kind, such as --pdq HEX");
    check(&["match", hash], "to match a hash, give its kind, such as --pdq HEX");
    check(&["list", "show", hash], "there is no list named \"(not shown: it looks like a hash)\"");
    check(&["match", "--list", hash, "--pdq", &pdq(0x11)], "there is no list named");
    check(&["list", "remove", "a", hash], "not in the list: (not shown: it looks like a hash)");
}

/// A file named after a hash put it into the log and into each listing of versions.
#[test]
fn a_file_or_an_entry_that_is_named_after_a_hash_does_not_show_it() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let hash = "9e107d9d372bb6826bd81d3542a419d6";
    let file = place.write(&format!("{hash}.csv"), format!("id,pdq\nx1,{}\n", pdq(0x11)).as_bytes());
    let hidden = |ran: Ran| assert!(ran.exit == 0 && !ran.out.contains(&hash[..8]) && !ran.err.contains(&hash[..8]), "{ran:?}");
    hidden(place.run(&["list", "import", "a", &file]));
    hidden(place.run(&["list", "add", "a", "--id", hash, "--pdq", &pdq(0x22)]));
    assert!(place.run(&["list", "versions", "a"]).out.contains("from (not shown: it looks like a hash).csv"));
    hidden(place.run(&["list", "versions", "a"]));
    hidden(place.run(&["list", "versions", "a", "--json"]));
    // The id itself is as it was given.
    place.run(&["list", "remove", "a", hash]).exits(0);

    let mut server = super::server::Server::start_with(&place.store, "debug", &[]);
    hidden(server.run(&["list", "import", "a", &file]));
    std::fs::write(&file, "no hash in it\n").unwrap();
    server.run(&["list", "import", "a", &file]).exits(3);
    let (_, log) = server.terminate();
    assert!(log.contains("a file was not imported") && !log.contains(&hash[..8]), "{log}");
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    place.run(&["list", "add", "a", "--id", "x1", "--pdq", &pdq(0x11)]).exits(0);
    let csv = place.write("a.csv", format!("id,pdq\nx1,{}\nx2,{}\n", pdq(0x12), pdq(0x22)).as_bytes());
    let before = place.run(&["list", "versions", "a"]).out;
    let report = place.run(&["list", "import", "a", &csv, "--dry-run", "--json"]).exits(0).one();
    assert_eq!((&report["version"], &report["activated"]), (&Value::Null, &json!(false)));
    assert_eq!((&report["added"], &report["changed"], &report["entries"]), (&json!(1), &json!(1), &json!(2)));
    assert!(place.run(&["list", "import", "a", &csv, "--dry-run"]).out.contains("dry run, nothing changed"));
    assert_eq!(place.run(&["list", "versions", "a"]).out, before);
    place.run(&["list", "import", "a", &csv, "--dry-run", "--stage"]).exits(2);
}

#[test]
fn versions_are_staged_activated_compared_and_rolled_back() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let (one, two, three) = (pdq(0x11), pdq(0x22), pdq(0x33));
    let first = place.write("first.csv", format!("id,pdq\nx1,{one}\nx2,{two}\n").as_bytes());
    let second = place.write("second.csv", format!("id,pdq\nx1,{three}\nx3,{two}\nx4,{}\n", pdq(0x44)).as_bytes());
    place.run(&["list", "import", "a", &first]).exits(0);
    place.run(&["list", "rollback", "a"]).exits(3).says(&["no earlier version"]);

    let staged = place.run(&["list", "import", "a", &second, "--stage"]).exits(0).out;
    assert!(staged.contains("a: version 2 is staged, not active") && staged.contains("list activate a 2"), "{staged}");
    let states = || -> Vec<_> {
        let versions = place.run(&["list", "versions", "a", "--json"]).exits(0).json();
        versions.iter().map(|v| v["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(), ["active", "staged"]);
    assert!(place.run(&["list", "versions", "a"]).out.contains("version 2    staged "));
    let shown = || place.run(&["list", "show", "a", "--json"]).exits(0).one();
    let versions =
        |info: &Value| ["active_version", "previous_version", "head_version", "entries"].map(|k| info[k].as_u64().unwrap());
    assert_eq!(versions(&shown()), [1, 0, 2, 2]);
    assert_eq!((outcome(&place, &one), outcome(&place, &three)), ("MATCH".to_owned(), "NO_MATCH".to_owned()));

    let diff = place.run(&["list", "diff", "a", "1", "2", "--json"]).exits(0).one();
    let categories = diff["categories"].as_array().unwrap().clone();
    assert_eq!((&diff["added"], &diff["removed"], &diff["changed"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(diff["reclassified"], 0, "{categories:?}");
    let back = place.run(&["list", "diff", "a", "2", "1"]).exits(0).out;
    assert!(back.starts_with("1 added, 2 removed, 1 changed\n"), "{back}");
    place.run(&["list", "diff", "a", "1", "7"]).exits(3).says(&["list \"a\" has no version 7: the newest is 2"]);

    let info = place.run(&["list", "activate", "a", "2", "--json"]).exits(0).one();
    assert_eq!(versions(&info), [2, 1, 2, 3]);
    assert_eq!((outcome(&place, &one), outcome(&place, &three)), ("NO_MATCH".to_owned(), "MATCH".to_owned()));
    assert_eq!(states(), ["inactive", "active"]);
    place.run(&["list", "activate", "a", "9"]).exits(3).says(&["no version 9"]);

    let info = place.run(&["list", "rollback", "a", "--json"]).exits(0).one();
    assert_eq!(info["active_version"], 1);
    assert_eq!((outcome(&place, &one), outcome(&place, &three)), ("MATCH".to_owned(), "NO_MATCH".to_owned()));
    let text = place.run(&["list", "versions", "a"]).exits(0).out;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("active") && lines[0].ends_with("from first.csv"), "{text}");
    assert!(lines[1].contains("inactive"), "{text}");
    place.run(&["store", "verify"]).exits(0);
}

#[test]
fn a_deleted_list_is_gone_and_its_name_is_free() {
    let place = Place::new();
    place.known();
    place.run(&["list", "create", "other"]).exits(0);
    let known = hash_of(&place.arg("known.jpg"), "pdq");
    let asked = place.run(&["list", "delete", "known"]).exits(2);
    asked.says(&["nothing was deleted: it would delete list known for good, with 1 entry and 1 version; give --yes to do it"]);
    let deleted = place.run(&["list", "delete", "known", "--yes", "--json"]).exits(0).one();
    assert_eq!(deleted, json!({"deleted": "known", "entries": 1, "versions": 1}));
    place.run(&["list", "delete", "known", "--yes"]).exits(3).says(&["there is no list named \"known\""]);
    place.run(&["match", "--pdq", &known]).exits(4);
    let names: Vec<_> = place.run(&["list", "ls", "--json"]).exits(0).json().iter().map(|l| l["name"].clone()).collect();
    assert_eq!(names, ["other"]);
    place.run(&["list", "create", "known"]).exits(0);
    assert_eq!(place.run(&["list", "show", "known", "--json"]).one()["entries"], 0);
    place.run(&["store", "verify"]).exits(0);
}

#[test]
fn only_the_lists_named_are_asked() {
    let place = Place::new();
    for (name, hash) in [("a", pdq(0x11)), ("b", pdq(0x11))] {
        place.run(&["list", "create", name]).exits(0);
        place.run(&["list", "add", name, "--id", "x", "--pdq", &hash]).exits(0);
    }
    let lists = |args: &[&str]| {
        let hash = pdq(0x11);
        let line = place.run(&[&["match", "--json", "--pdq", &hash], args].concat()).exits(1).one();
        line["matches"].as_array().unwrap().iter().map(|m| m["list"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lists(&[]), ["a", "b"]);
    assert_eq!(lists(&["--list", "b"]), ["b"]);
    assert_eq!(lists(&["--list", "b", "--list", "a"]), ["a", "b"]);
}

/// Ids of one character that no terminal shows: two entries of a list looked the same, and neither like anything.
#[test]
fn an_id_that_nobody_sees_is_refused_and_what_is_hidden_in_one_is_shown() {
    let (place, there) = (Place::new(), Place::new());
    let server = super::server::Server::start_with(&there.store, "warn", &[]);
    for through_server in [false, true] {
        let run = |args: &[&str]| if through_server { server.run(args) } else { place.run(args) };
        run(&["list", "create", "a"]).exits(0);
        for id in ["\u{feff}", "\u{3164}", "\u{ad}", "\u{e0041}", " ", "\u{200d}"] {
            run(&["list", "add", "a", "--id", id, "--md5", &"ab".repeat(16)]).exits(2).says(&["needs a visible character"]);
        }
        let rows = format!("id,md5\n\u{3164},{}\nhid\u{ad}den,{}\n", "cd".repeat(16), "ef".repeat(16));
        run(&["list", "import", "a", &place.write("rows.csv", rows.as_bytes())])
            .exits(0)
            .says(&["line 2: the id has no visible character"]);
        let found = run(&["match", "--md5", &"ef".repeat(16)]).exits(1).out;
        assert!(found.contains("hid\\u{ad}den") && !found.contains('\u{ad}'), "{found}");
        let found = run(&["match", "--json", "--md5", &"ef".repeat(16)]).exits(1);
        assert!(!found.out.contains('\u{ad}'), "{found:?}");
        assert_eq!(found.one()["matches"][0]["entry_id"], "hid\u{ad}den");
    }
}
