//! Entries that are added by a picture, bounded by hand, or bounded because they match far too often.

use hashwarden::demo::edits::Edit;
use serde_json::{Value, json};

use super::server::Server;
use super::*;

type Door<'a> = &'a dyn Fn(&[&str]) -> Ran;

/// A picture is added by its hashes, embedded and through a server: then it matches, copies of it too, and what it matched before is shown.
#[test]
fn a_picture_is_added_by_its_hashes() {
    let (here, there) = (Place::new(), Place::new());
    for place in [&here, &there] {
        place.run(&["list", "create", "a"]).exits(0);
        place.run(&["list", "create", "other"]).exits(0);
    }
    let server = Server::start(&there.store, "warn");
    let (picture, copy) = (here.picture("p.jpg", 3, Edit::Original), here.picture("copy.jpg", 3, Edit::Recompressed));
    let blank = here.arg("blank.png");
    image::GrayImage::from_pixel(300, 200, image::Luma([255])).save(&blank).unwrap();
    let whole = std::fs::read(&picture).unwrap();
    let cut = here.write("cut.jpg", &whole[..whole.len() * 3 / 4]);
    let broken = here.write("broken.jpg", b"no picture at all");
    let doors: [Door; 2] = [&|args| here.run(args), &|args| server.run(args)];
    for run in doors {
        let add = |more: &[&str]| run(&[&["list", "add", "a", "--json"], more].concat());
        let dry = add(&["--image", &picture, "--dry-run"]).exits(0).one();
        assert_eq!((&dry["added"], &dry["kinds"]), (&Value::Null, &json!({"md5": 1, "pdq": 1, "sha1": 1, "sha256": 1})));
        assert_eq!(run(&["list", "show", "a", "--json"]).one()["entries"], 0);
        let added = add(&["--image", &picture, "--id", "p1", "--category", "A1", "--tag", "t", "--note", "n"]).exits(0).one();
        assert_eq!((&added["added"]["added"], &added["before"]["outcome"]), (&json!(1), &json!("NOT_SCANNED"))); // no list held anything
        assert!(added["pdq_quality"].as_u64().unwrap() >= 50);
        let found = run(&["match", "--json", &copy]).exits(1).one();
        assert_eq!((&found["matches"][0]["entry_id"], &found["matches"][0]["category"]), (&json!("p1"), &json!("A1")));
        let entry = run(&["list", "entry", "a", "p1", "--json"]).exits(0).one();
        assert_eq!((&entry["tags"], &entry["note"], &entry["sources"]), (&json!(["t"]), &json!("n"), &json!(["local"])));
        // A copy of what is there already: what it matches is shown.
        let again = run(&["list", "add", "other", "--image", &copy]).exits(0).out;
        assert!(again.contains("1 added") && again.contains("matched before:") && again.contains("a/p1"), "{again}");
        // Neither what says nothing nor what can't be read, but by its digests.
        for (file, words) in [(&blank, "is 0, and the list's minimum is 50"), (&broken, "the picture was not scanned")] {
            add(&["--image", file]).exits(3).says(&[words, "digests alone"]);
            let added = add(&["--image", file, "--digests-only"]).exits(0).one();
            assert_eq!((&added["kinds"], &added["pdq_quality"]), (&json!({"md5": 1, "sha1": 1, "sha256": 1}), &Value::Null));
        }
        add(&["--image", &cut]).exits(3).says(&["was not scanned whole", "--digests-only"]);
        add(&["--image", &here.arg("nowhere.jpg")]).exits(3).says(&["nowhere.jpg"]);
        add(&["--image", &picture, "--pdq", &pdq(7)]).exits(2).says(&["--pdq"]);
        add(&["--digests-only", "--pdq", &pdq(7)]).exits(2).says(&["--digests-only"]);
        run(&["list", "add", "nowhere", "--image", &picture]).exits(3).says(&["there is no list named \"nowhere\""]);
    }
}

/// A picture without content is refused whatever its quality, but by a negative list, which is there for such.
#[test]
fn a_border_is_no_entry_and_may_be_harmless() {
    let place = Place::new();
    let border = place.arg("border.png");
    image::GrayImage::from_fn(256, 256, |x, y| image::Luma([if x.min(y).min(255 - x).min(255 - y) < 12 { 0 } else { 255 }]))
        .save(&border)
        .unwrap();
    place.run(&["list", "create", "a", "--quality-min", "0"]).exits(0);
    place.run(&["list", "create", "good", "--negative", "--quality-min", "0"]).exits(0);
    place.run(&["list", "add", "a", "--image", &border]).exits(3).says(&["too little content", "--digests-only"]);
    place.run(&["list", "add", "good", "--image", &border]).exits(0);
}

#[test]
fn an_entry_is_bounded_by_hand() {
    let place = Place::new();
    place.known();
    place.run(&["list", "set", "known", "--action", "BLOCK"]).exits(0);
    let (known, copy) = (place.arg("known.jpg"), place.picture("copy.jpg", 1, Edit::Recompressed));
    let action = |file: &str| place.run(&["match", "--json", file]).exits(1).one()["action"].clone();
    assert_eq!(action(&copy), "BLOCK");
    let bounded = place.run(&["list", "cap", "known", "first", "OBSERVE", "--note", "noisy", "--json"]).exits(0).one();
    assert_eq!((&bounded["mark"]["kind"], &bounded["mark"]["note"]), (&json!("OBSERVE_ONLY"), &json!("noisy")));
    assert_eq!((action(&copy), action(&known)), (json!("OBSERVE"), json!("BLOCK")), "the same bytes are certain");
    let shown = place.run(&["list", "find", "known", "--marked"]).exits(0).out;
    assert!(shown.contains("OBSERVE_ONLY by cli (noisy)"), "{shown}");
    place.run(&["list", "cap", "known", "first", "REVIEW"]).exits(0);
    assert_eq!(action(&copy), "REVIEW");
    place.run(&["list", "note", "known", "first", "still noisy"]).exits(0);
    assert_eq!(action(&copy), "REVIEW");
    place.run(&["list", "cap", "known", "first", "BLOCK"]).exits(0);
    assert_eq!(action(&copy), "BLOCK");
    assert!(place.run(&["list", "find", "known", "--marked"]).exits(0).out.contains("NOTED by cli (still noisy)"));
    place.run(&["list", "disable", "known", "--entry", "first"]).exits(0);
    place.run(&["list", "cap", "known", "first", "REVIEW"]).exits(3).says(&["enable it first"]);
    place.run(&["list", "enable", "known", "--entry", "first"]).exits(0);
    place.run(&["list", "cap", "known", "first", "REVIEW"]).exits(0);
    place.run(&["list", "enable", "known", "--entry", "first"]).exits(0);
    assert_eq!(action(&copy), "BLOCK");
    place.run(&["list", "cap", "known", "nobody", "REVIEW"]).exits(3).says(&["no such entry"]);
    place.run(&["list", "cap", "known", "first", "FORGET"]).exits(2).says(&["unknown action"]);
}

/// An entry that all at once matches very often asks for less within moments, and stays so over a restart, until somebody decides.
#[test]
fn a_flood_is_broken() {
    let place = Place::new();
    place.known();
    place.run(&["list", "set", "known", "--action", "BLOCK"]).exits(0);
    place.run(&["list", "add", "known", "--id", "noted", "--pdq", &pdq(0x3c)]).exits(0);
    place.run(&["list", "note", "known", "noted", "seen by someone"]).exits(0);
    let copy = place.picture("copy.jpg", 1, Edit::Recompressed);
    let known = hash_of(&copy, "pdq");
    let environment = [("HASHWARDEN__FLOOD__MATCHES_MAX", "20")];
    let server = Server::start_with(&place.store, "info", &environment);
    let hashes = |n: usize, hash: &str| -> Vec<Value> {
        (0..n).map(|_| server.run(&["match", "--json", "--pdq", hash]).exits(1).one()).collect()
    };
    assert_eq!(hashes(1, &known)[0]["action"], "BLOCK");
    assert!(hashes(19, &known).iter().all(|line| line["action"] == "BLOCK"));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while hashes(1, &known)[0]["action"] != "REVIEW" {
        assert!(std::time::Instant::now() < until, "the flood goes on");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let marked = server.run(&["list", "find", "known", "--marked", "--json"]).exits(0).json();
    let mark = |id: &str| marked.iter().find(|entry| entry["entry_id"] == id).unwrap()["mark"].clone();
    assert_eq!((&mark("first")["kind"], &mark("first")["by"]), (&json!("REVIEW_ONLY"), &json!("flood breaker")));
    assert!(mark("first")["note"].as_str().unwrap().starts_with("flood: 20 matches"));
    // A note stays, and where somebody took the bound off it is left so.
    hashes(20, &pdq(0x3c));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while hashes(1, &pdq(0x3c))[0]["action"] != "REVIEW" {
        assert!(std::time::Instant::now() < until, "the flood goes on");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let entry = server.run(&["list", "entry", "known", "noted", "--json"]).exits(0).one();
    assert!(entry["mark"]["note"].as_str().unwrap().ends_with("in a window of 600 s; seen by someone"), "{entry}");
    let (_, page) = server.get("/metrics");
    assert!(page.contains("hashwarden_floods_total{list=\"known\"} 2"), "{page}");
    drop(server);
    assert_eq!(place.run(&["match", "--json", "--pdq", &known]).exits(1).one()["action"], "REVIEW");
    place.run(&["list", "enable", "known", "--entry", "first"]).exits(0);
    assert_eq!(place.run(&["match", "--json", "--pdq", &known]).exits(1).one()["action"], "BLOCK");
}
