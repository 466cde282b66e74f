//! Single entries of a list on the command line, and what files of several sources make of them.

use serde_json::json;

use super::*;

#[test]
fn an_entry_is_shown_found_disabled_and_noted() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let file = place.path("hotline.csv");
    let text = format!("id,category,pdq,tags,ESP\ne1,A1,{},x y,alpha\ne2,,{},,{}\n", pdq(0x11), pdq(0x22), pdq(0x22));
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let report = place.run(&["list", "import", "a", file, "--source", "hotline"]).exits(0).out;
    assert!(report.contains("tags as tags; kept as they are: ESP"), "{report}");
    place.run(&["list", "add", "a", "--id", "mine", "--pdq", &pdq(0x33), "--tag", "t", "--note", "by hand"]).exits(0);
    let entry = |id: &str| place.run(&["list", "entry", "a", id, "--json"]).exits(0).one();
    let e1 = entry("e1");
    let expected = json!({
        "list": "a", "entry_id": "e1", "category": "A1", "status": "ACTIVE", "kinds": {"pdq": 1}, "sources": ["hotline"], "version": 1,
        "mark": null, "tags": ["x", "y"], "note": "", "updated": "", "quality": null, "cut": false,
        "fields": [{"name": "ESP", "value": "alpha"}],
    });
    assert_eq!(e1, expected);
    assert_eq!((&entry("mine")["sources"], &entry("mine")["note"]), (&json!(["local"]), &json!("by hand")));
    // Hashes only where they are asked for.
    let hidden = place.run(&["list", "entry", "a", "e2"]).exits(0).out;
    assert!(hidden.contains("sources        hotline") && !hidden.contains(&pdq(0x22)), "{hidden}");
    let shown = place.run(&["list", "entry", "a", "e2", "--hashes"]).exits(0).out;
    assert_eq!(shown.matches(&pdq(0x22)).count(), 2, "{shown}");
    place.run(&["list", "entry", "a", "nobody"]).exits(3).says(&["the list has no such entry"]);

    let find = |args: &[&str]| place.run(&[&["list", "find", "a", "--json"], args].concat());
    let found = find(&["--pdq", &pdq(0x11)]).exits(0).one();
    assert_eq!((&found["entry_id"], &found["distance"]), (&json!("e1"), &json!(0)));
    assert_eq!(find(&["--id", "e"]).exits(0).json().len(), 2);
    assert_eq!(find(&["--id", "e", "--limit", "1"]).exits(0).json().len(), 1);
    find(&["--md5", &"ab".repeat(16)]).exits(3).says(&["list a has no such entry"]);
    find(&["--marked"]).exits(3);
    find(&["--id", "e", "--radius", "3"]).exits(2).says(&["--radius is for one hash"]);
    find(&[]).exits(2);
    find(&["--pdq", &pdq(1), "--pdq", &pdq(2)]).exits(2).says(&["one hash, --id or --marked"]);
    find(&["--pdq", "12"]).exits(2).says(&["--pdq: a PDQ hash has 64 hex digits"]);

    let outcome = |hash: &str| place.run(&["match", "--json", "--pdq", hash]).one()["outcome"].clone();
    assert_eq!(outcome(&pdq(0x11)), "MATCH");
    let disabled = place.run(&["list", "disable", "a", "--entry", "e1", "--until", "30d", "--note", "wrong"]).exits(0).out;
    assert!(disabled.contains("DISABLED until 2") && disabled.contains("by cli (wrong)"), "{disabled}");
    assert_eq!(outcome(&pdq(0x11)), "NO_MATCH");
    place.run(&["list", "import", "a", file, "--source", "hotline"]).exits(0);
    assert_eq!((outcome(&pdq(0x11)), outcome(&pdq(0x22))), (json!("NO_MATCH"), json!("MATCH")));
    assert_eq!(find(&["--marked"]).exits(0).one()["mark"]["kind"], "DISABLED");
    place.run(&["list", "note", "a", "e1", "asked the hotline"]).exits(0);
    assert_eq!((&entry("e1")["mark"]["note"], outcome(&pdq(0x11))), (&json!("asked the hotline"), json!("NO_MATCH")));
    place.run(&["list", "enable", "a", "--entry", "e1"]).exits(0);
    // What was noted stays, whatever is disabled and enabled.
    let mark = |id: &str| (entry(id)["mark"]["kind"].clone(), entry(id)["mark"]["note"].clone());
    assert_eq!((mark("e1"), outcome(&pdq(0x11))), ((json!("NOTED"), json!("asked the hotline")), json!("MATCH")));
    place.run(&["list", "enable", "a", "--entry", "e1"]).exits(3).says(&["the entry is not disabled"]);
    place.run(&["list", "disable", "a", "--entry", "e1"]).exits(0);
    assert_eq!(mark("e1"), (json!("DISABLED"), json!("asked the hotline")));
    place.run(&["list", "enable", "a", "--entry", "e1"]).exits(0);
    place.run(&["list", "enable", "a", "--entry", "e2"]).exits(3).says(&["the entry has no mark"]);
    place.run(&["list", "note", "a", "e1", "n"]).exits(0);
    assert_eq!((&entry("e1")["mark"]["kind"], outcome(&pdq(0x11))), (&json!("NOTED"), json!("MATCH")));
    place.run(&["list", "note", "a", "e1"]).exits(0);
    place.run(&["list", "note", "a", "e1"]).exits(3).says(&["the entry has no note"]);
    place.run(&["list", "disable", "a", "--until", "30d"]).exits(2).says(&["--entry"]);
    place.run(&["list", "disable", "a", "--entry", "e1", "--until", "soon"]).exits(2).says(&["neither a duration such as 90d"]);
    place.run(&["list", "disable", "a"]).exits(0);
    assert_eq!(outcome(&pdq(0x22)), "NOT_SCANNED", "no list answers");
}

#[test]
fn a_delta_and_a_source_are_given_by_name() {
    let place = Place::new();
    place.run(&["list", "create", "a"]).exits(0);
    let write = |name: &str, text: String| {
        let path = place.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let full = write("full.csv", format!("id,pdq\ne1,{}\ne2,{}\n", pdq(0x11), pdq(0x22)));
    place.run(&["list", "import", "a", &full, "--source", "hotline"]).exits(0);
    let delta = write("delta.csv", format!("id,pdq,deleted\ne3,{},\ne1,,yes\n", pdq(0x33)));
    let report = place.run(&["list", "import", "a", &delta, "--source", "hotline", "--delta", "--json"]).exits(0).one();
    assert_eq!(
        [&report["added"], &report["gone"], &report["entries"], &report["kept"]],
        [1, 1, 2, 0].map(|n| json!(n)).each_ref()
    );
    let report = place.run(&["list", "import", "a", &full, "--json"]).exits(0).one();
    assert_eq!(
        [&report["added"], &report["gone"], &report["entries"], &report["kept"]],
        [1, 0, 3, 1].map(|n| json!(n)).each_ref()
    );
    assert_eq!(place.run(&["list", "show", "a", "--json"]).exits(0).one()["sources"], json!(["hotline"]));
    place.run(&["list", "import", "a", &full, "--source", "local"]).exits(2).says(&["added by hand"]);
}
