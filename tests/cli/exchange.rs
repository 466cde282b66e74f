//! Lists that leave as files: by the command line, embedded and through a server.

use std::os::unix::fs::PermissionsExt;

use hashwarden::demo::edits::Edit;
use hashwarden::demo::pictures::draw;

use super::server::Server;
use super::*;

fn mode(path: &str) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_export_is_a_whole_file_or_none() {
    let place = Place::new();
    place.known();
    let file = place.arg("known.csv");
    let ran = place.run(&["list", "export", "known", "--output", &file, "--json"]).exits(0);
    let told = ran.one();
    assert_eq!((&told["entries"], &told["version"], &told["format"]), (&1.into(), &1.into(), &"csv".into()));
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!((mode(&file), text.lines().count() as u64, &told["bytes"]), (0o600, 2, &text.len().into()));
    // To standard output the same; what is said of it goes to standard error.
    let ran = place.run(&["list", "export", "known"]).exits(0).says(&["known: version 1, 1 entry"]);
    assert_eq!(ran.out, text);
    // A file that is there stays until another one is whole.
    place.run(&["list", "export", "known", "--output", &file, "--version", "9"]).exits(3).says(&["has no version 9"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    let left: Vec<_> = std::fs::read_dir(place.folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".hashwarden")), "{left:?}");
    // What is no file is left alone.
    let (link, aim) = (place.path("link.csv"), place.write("aim.csv", b"aim"));
    std::os::unix::fs::symlink(&aim, &link).unwrap();
    place.run(&["list", "export", "known", "--output", &place.arg("link.csv")]).exits(3).says(&["is not a regular file"]);
    assert!(link.is_symlink() && std::fs::read(&aim).unwrap() == b"aim");
    place.run(&["list", "export", "known", "--output", "/dev/null"]).exits(3).says(&["is not a regular file"]);
    place.run(&["list", "export", "nothing"]).exits(3).says(&["no list named"]);
    place.run(&["list", "export", "known", "--format", "vics-json"]).exits(2).says(&["csv, pdq-text, ncmec-xml, bundle"]);
    place.run(&["list", "export", "known", "--json"]).exits(2).says(&["--json needs --output"]);
    place.run(&["list", "export", "known", "--format", "bundle"]).exits(2).says(&["--sign-key FILE"]);
    place.run(&["list", "create", "empty"]).exits(0);
    place.run(&["list", "export", "empty"]).exits(3).says(&["no active version"]);
    // Other formats say what they leave out.
    let ran = place.run(&["list", "export", "known", "--format", "ncmec-xml"]).exits(0);
    assert!(ran.err.contains("3 hashes are left out"), "{}", ran.err);
}

#[test]
fn a_bundle_goes_from_one_installation_to_another() {
    let (sender, receiver) = (Place::new(), Place::new());
    sender.known();
    let (key, bundle) = (sender.arg("private.pem"), sender.arg("known.bundle"));
    let made = sender.run(&["list", "bundle-key", "--out", &key]).exits(0).says(&["private.pem", "trusted_signers"]);
    let public = made.out.trim().to_owned();
    assert_eq!((mode(&key), public.len()), (0o600, 64));
    sender.run(&["list", "bundle-key", "--out", &key]).exits(2).says(&["--out"]);
    let export = ["list", "export", "known", "--format", "bundle", "--sign-key", &key, "--output", &bundle];
    sender.run(&export).exits(0);
    receiver.run(&["list", "create", "theirs"]).exits(0);
    receiver.run(&["list", "import", "theirs", &bundle]).exits(3).says(&["not trusted here", "confirmed this key", &public]);
    let signer = format!("hotline={public}");
    let import = |args: &[&str]| {
        let mut command = hashwarden(&[&["--store", &receiver.store], args].concat());
        ended(command.env("HASHWARDEN__IMPORT__TRUSTED_SIGNERS", &signer))
    };
    let ran = import(&["list", "import", "theirs", &bundle]).exits(0);
    assert!(ran.out.contains("the bundle is version 1 of hotline's list known"), "{}", ran.out);
    assert!(ran.out.contains("1 entry (1 added"), "{}", ran.out);
    let mut wrong = hashwarden(&["--store", &receiver.store, "list", "ls"]);
    ended(wrong.env("HASHWARDEN__IMPORT__TRUSTED_SIGNERS", "hotline")).exits(2).says(&["NAME=KEY"]);
}

#[test]
fn a_server_exports_to_list_admins_who_may_see_and_logs_it() {
    let place = Place::new();
    place.known();
    let embedded = place.run(&["list", "export", "known"]).exits(0).out;
    let tokens = place.arg("tokens.json");
    let token = |name: &str, more: &[&str]| {
        let file = place.arg(&format!("{name}.token"));
        let mut command = hashwarden(&[&["token", "create", name, "--role", "list-admin", "--out", &file], more].concat());
        ended(command.env("HASHWARDEN__ACCESS__TOKENS_FILE", &tokens)).exits(0);
        file
    };
    let (sees, blind, other) = (token("sees", &["--sees"]), token("blind", &[]), token("other", &["--sees", "--list", "x"]));
    let key = place.arg("private.pem");
    let public = place.run(&["list", "bundle-key", "--out", &key]).exits(0).out.trim().to_owned();
    let signer = format!("us={public}");
    let environment = [("HASHWARDEN__ACCESS__TOKENS_FILE", tokens.as_str()), ("HASHWARDEN__IMPORT__TRUSTED_SIGNERS", &signer)];
    let server = Server::start_with(&place.store, "info", &environment);
    let remote = |token: &str, args: &[&str]| run(&[&["--endpoint", server.endpoint(), "--token-file", token], args].concat());
    assert_eq!(remote(&sees, &["list", "export", "known"]).exits(0).out, embedded);
    let line = server.logged("a list was exported");
    let of = |name: &str| line[name].clone();
    assert_eq!((of("by"), of("list"), of("version"), of("entries")), ("token:sees".into(), "known".into(), 1.into(), 1.into()));
    let hash = embedded.lines().nth(1).unwrap().split(',').nth(3).unwrap();
    assert!(hash.len() == 64 && !line.to_string().contains(hash));
    remote(&blind, &["list", "export", "known"]).exits(3).says(&["created with --sees"]);
    remote(&other, &["list", "export", "known"]).exits(3).says(&["no list named \"known\""]);
    // The key stays with the caller; the server verifies what it signed.
    let bundle = place.arg("known.bundle");
    remote(&sees, &["list", "export", "known", "--format", "bundle", "--sign-key", &key, "--output", &bundle]).exits(0);
    remote(&sees, &["list", "create", "copy"]).exits(0);
    let ran = remote(&sees, &["list", "import", "copy", &bundle, "--json"]).exits(0);
    assert_eq!((&ran.one()["bundle"]["signer"], &ran.one()["format"]), (&"us".into(), &"bundle".into()));
    assert_eq!(remote(&sees, &["list", "export", "copy"]).exits(0).out, embedded);
}

/// What a simulation says at a radius is what a scan of the same pictures finds in a list of that radius.
#[test]
fn a_simulation_counts_what_a_scan_would_find() {
    let place = Place::new();
    place.run(&["list", "create", "known", "--quality-min", "0"]).exits(0);
    for seed in [1, 2] {
        let hash = hash_of(&place.picture(&format!("listed{seed}.jpg"), seed, Edit::Original), "pdq");
        let (id, category) = (format!("e{seed}"), format!("C{seed}"));
        place.run(&["list", "add", "known", "--id", &id, "--category", &category, "--pdq", &hash]).exits(0);
    }
    place
        .run(&["list", "add", "known", "--id", "off", "--pdq", &hash_of(&place.picture("off.jpg", 3, Edit::Original), "pdq")])
        .exits(0);
    place.run(&["list", "disable", "known", "--entry", "off"]).exits(0);
    let edits = [Edit::Blurred, Edit::Brighter, Edit::SmallCrop, Edit::Mirrored, Edit::Sharpened, Edit::Recompressed];
    for (n, edit) in edits.into_iter().enumerate() {
        place.picture(&format!("sample/near{n}.jpg"), 1 + n as u64 % 2, edit);
        place.picture(&format!("sample/far{n}.jpg"), 20 + n as u64, edit);
    }
    place.picture("sample/off.jpg", 3, Edit::Original);
    let crop = image::imageops::crop_imm(&draw(1, 320, 240), 16, 12, 288, 216).to_image();
    crop.save(place.path("sample/crop.png")).unwrap();
    place.write("sample/broken.jpg", b"\xff\xd8\xff\xe0");
    let (sample, svg) = (place.arg("sample"), place.arg("rates.svg"));
    let simulate = ["list", "simulate", "known", "--sample", &sample, "--radius", "0,8,16,31", "--svg", &svg, "--json"];
    let told = place.run(&simulate).exits(0).one();
    assert_eq!((&told["pictures"], &told["unread"], &told["hashes"]), (&14.into(), &1.into(), &2.into()));
    assert_eq!(told["classes_counted"], serde_json::json!(["whole", "extended", "window", "turned"]));
    let mut counts = Vec::new();
    for at in told["at"].as_array().unwrap() {
        let radius = at["radius"].as_u64().unwrap().to_string();
        let of = |class: &str| format!("{class}={radius}");
        let classes = [of("extended"), of("window"), of("turned")];
        let views = classes.each_ref().map(|of| ["--view-radius", of]).concat();
        place.run(&[&["list", "set", "known", "--radius", &radius], views.as_slice()].concat()).exits(0);
        let scanned = place.run(&["scan", &sample, "--json"]).json();
        let found: Vec<_> = scanned.iter().filter(|line| line["outcome"] == "MATCH").collect();
        let whole = found.iter().filter(|line| line["matches"].as_array().unwrap().iter().any(|m| m["view"]["kind"] == "whole"));
        assert_eq!(
            (at["any"].as_u64().unwrap(), at["whole"].as_u64().unwrap()),
            (found.len() as u64, whole.count() as u64),
            "{at}"
        );
        let (rate, low, high) =
            (at["rate"].as_f64().unwrap(), at["rate_low"].as_f64().unwrap(), at["rate_high"].as_f64().unwrap());
        assert!(low <= rate && rate <= high && (rate - found.len() as f64 / 14.0).abs() < 1e-9, "{at}");
        counts.push(found.len());
    }
    assert!(counts.is_sorted() && counts[3] >= 7, "{counts:?}");
    let categories = told["at"][3]["categories"].as_array().unwrap();
    assert_eq!(categories.iter().map(|c| c["category"].as_str().unwrap()).collect::<Vec<_>>(), ["C1", "C2"]);
    assert!(std::fs::read_to_string(&svg).unwrap().contains("harmless pictures that would match"));

    // Through a server the same; and of hashes, which have no views and are not turned.
    place.run(&["list", "set", "known", "--radius", "31"]).exits(0);
    let server = Server::start(&place.store, "warn");
    let remote = server.run(&simulate).exits(0).one();
    assert_eq!(remote, told);
    let listed = hash_of(&place.arg("listed1.jpg"), "pdq");
    let hashes = place.write("hashes.txt", format!("{listed}\n{}\n{}\n", pdq(1), pdq(2)).as_bytes());
    let told = server.run(&["list", "simulate", "known", "--hashes", &hashes, "--radius", "0..1", "--json"]).exits(0).one();
    let at: Vec<_> = told["at"].as_array().unwrap().iter().map(|at| (at["radius"].clone(), at["any"].clone())).collect();
    assert_eq!(at, [(0.into(), 1.into()), (1.into(), 1.into())]);
    let ran = server.run(&["list", "simulate", "known", "--hashes", &hashes]).exits(0);
    assert!(ran.out.contains("3 pictures against 2 PDQ hashes") && !ran.out.contains(&listed[..16]), "{}", ran.out);
    server.run(&["list", "simulate", "known"]).exits(2).says(&["--sample"]);
    server.run(&["list", "simulate", "known", "--sample", &sample, "--radius", "97"]).exits(2).says(&["0 to 96"]);
}

#[test]
fn a_report_says_what_a_list_holds_and_holds_no_hash() {
    let place = Place::new();
    place.run(&["list", "create", "known"]).exits(0);
    let secret = numbered(7);
    let mut rows =
        format!("id,category,entry_status,pdq,note\n{secret},<b>A&1</b>,disputed,{secret},n\nw,B,withdrawn,{},\n", numbered(8));
    (20..320).for_each(|n| rows.push_str(&format!("e{n},A,,{},\n", numbered(n))));
    rows.push_str(&format!("junk,A,,{},\n", "8".repeat(64)));
    let file = place.write("list.csv", rows.as_bytes());
    place.run(&["list", "import", "known", &file, "--source", "hotline"]).exits(0);
    place.run(&["list", "add", "known", "--id", "hand", "--pdq", &numbered(9)]).exits(0);
    place.run(&["list", "disable", "known", "--entry", "hand", "--note", "<script>alert(1)</script>"]).exits(0);
    let html = place.arg("report.html");
    let told = place.run(&["list", "report", "known", "--html", &html, "--json"]).exits(0).one();
    assert_eq!((&told["entries"], &told["stopped"], &told["hashes"]["pdq"]), (&304.into(), &2.into(), &304.into()));
    // As the source says: what is disabled or quarantined here stands under marks.
    assert_eq!(told["statuses"], serde_json::json!({"ACTIVE": 302, "DISPUTED": 1, "WITHDRAWN": 1}));
    assert_eq!(told["marks"], serde_json::json!({"DISABLED": 1, "QUARANTINED": 1}));
    let sources: Vec<_> = told["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["source"].as_str().unwrap(), s["entries"].as_u64().unwrap()))
        .collect();
    assert_eq!(sources, [("hotline", 303), ("local", 1)]);
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(
        !page.contains("<script") && !page.contains("<b>") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{page}"
    );
    for words in
        ["default-src 'none'", "304 entries", "&lt;b&gt;A&amp;1&lt;/b&gt;", "junk", "Bits set", "Neighbours", "Cluster sizes"]
    {
        assert!(page.contains(words), "no {words} in {page}");
    }
    assert!(!page.contains("src=") && !page.contains("href="), "nothing from elsewhere");
    let hashes = [&secret, &numbered(8), &numbered(20), &"8".repeat(64)];
    hashes.into_iter().for_each(|hash| assert!(!page.contains(&hash[..16])));
    let ran = place.run(&["list", "report", "known"]).exits(0);
    assert!(ran.out.contains("304 entries") && !ran.out.contains(&secret[..16]), "{}", ran.out);
}
