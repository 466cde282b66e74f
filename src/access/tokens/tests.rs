use super::*;

fn wanted(name: &str) -> Wanted {
    let rights = Rights { roles: [Role::Matcher].into(), lists: None, sees: false, brings_hashes: false };
    Wanted { name: name.to_owned(), rights, items_per_s: None, expires: None }
}

#[test]
fn a_token_is_kept_as_its_digest_alone_in_a_file_of_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    let (one, two) = (create(&file, wanted("one")).unwrap(), create(&file, wanted("two")).unwrap());
    assert!(one != two && one.len() == PREFIX.len() + 64 && one.starts_with(PREFIX), "{one}");
    let (records, _) = read(&file).unwrap();
    assert_eq!((records[0].name.as_str(), records[0].sha256), ("one", Some(digest(one.as_bytes()))));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains(&one[PREFIX.len()..]) && !text.contains(&two[PREFIX.len()..]));
}

/// A name that was taken again stood for two callers in the log and the record of changes.
#[test]
fn a_revoked_name_is_not_used_again_before_it_is_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    let first = create(&file, wanted("one")).unwrap();
    assert!(create(&file, wanted("one")).unwrap_err().to_string().contains("already"));
    revoke(&file, Shown::Token, "one").unwrap();
    let at = read(&file).unwrap().0[0].revoked.unwrap();
    let again = revoke(&file, Shown::Token, "one").unwrap_err().to_string();
    assert!(again.contains(&format!("was revoked on {at} already")), "{again}");
    assert!(revoke(&file, Shown::Token, "two").unwrap_err().to_string().contains("no token named"));
    let taken = create(&file, wanted("one")).unwrap_err().to_string();
    assert!(taken.contains(&format!("was revoked on {at}")) && taken.contains("token prune"), "{taken}");

    let expired = Time(Time::now().0 + 5);
    create(&file, Wanted { expires: Some(expired), ..wanted("short") }).unwrap();
    create(&file, wanted("live")).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    let pruned = |before: u64| prune(&file, Time(before)).unwrap().into_iter().map(|record| record.name).collect::<Vec<_>>();
    assert_eq!(pruned(Time::now().0 - 60_000), [""; 0], "they ended a moment ago");
    assert_eq!(pruned(Time::now().0 + 60_000), ["one", "short"]);
    let second = create(&file, wanted("one")).unwrap();
    let (records, _) = read(&file).unwrap();
    assert!(records.iter().all(|record| record.revoked.is_none() && record.sha256 != Some(digest(first.as_bytes()))));
    assert!(records.iter().any(|record| record.sha256 == Some(digest(second.as_bytes()))));
}

#[test]
fn a_change_waits_for_another_and_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    create(&file, wanted("one")).unwrap();
    let lock = || File::options().append(true).open(folder.path().join("tokens.json.lock")).unwrap();
    let other = lock();
    other.lock().unwrap();
    let said = hold(&lock(), &file, Duration::from_millis(30)).unwrap_err().to_string();
    assert!(said.contains("another process") && said.contains("tokens.json.lock"), "{said}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| create(&file, wanted("two")));
        std::thread::sleep(Duration::from_millis(50));
        other.unlock().unwrap();
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn who_else_can_put_tokens_in_the_files_place_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    create(&file, wanted("one")).unwrap();
    let of_mode = |mode: u32| {
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        others_can_change(&file)
    };
    assert_eq!((of_mode(0o700), of_mode(0o755), of_mode(0o1777)), (None, None, None));
    for mode in [0o777, 0o770, 0o702] {
        let said = of_mode(mode).unwrap();
        assert!(said.contains("write to its folder") && said.contains(&format!("{mode:o}")), "{said}");
    }
    of_mode(0o700);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(12_345), None).unwrap();
        assert!(others_can_change(&file).unwrap().contains("user 12345"));
        std::os::unix::fs::chown(&file, Some(0), None).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(12_345), None).unwrap();
        assert!(others_can_change(&file).unwrap().contains("the owner of its folder, user 12345"));
    }
}

#[test]
fn what_makes_no_token_is_refused_in_words_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    let check = |wanted: Wanted, words: &str| {
        let said = create(&file, wanted).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
        assert!(!file.exists());
    };
    check(wanted(""), "1 to 64");
    check(wanted("a b"), "1 to 64");
    check(wanted(&"f".repeat(64)), "look like a hash");
    check(Wanted { expires: Some(Time(1)), ..wanted("a") }, "expired already");
    let of = |lists: &[&str]| {
        let lists = Some(Arc::new(lists.iter().map(|list| (*list).to_owned()).collect()));
        Wanted { rights: Rights { lists, ..wanted("a").rights }, ..wanted("a") }
    };
    check(of(&["../x"]), "token a");
    check(of(&[]), "names no list");
    let no_role = Rights { roles: BTreeSet::new(), ..wanted("a").rights };
    check(Wanted { rights: no_role, ..wanted("a") }, "no role");
}

/// Tokens' names and certificates' are apart: one may be the other's.
#[test]
fn a_certificates_entry_is_made_once_and_replaced_when_it_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    create(&file, wanted("scanner")).unwrap();
    assert!(allow(&file, wanted("scanner")).unwrap(), "the first");
    assert!(!allow(&file, wanted("CN with spaces")).unwrap(), "the second");
    let text = std::fs::read_to_string(&file).unwrap();
    let written: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names = |what: &str| written[what].as_array().unwrap().iter().map(|entry| entry["name"].clone()).collect::<Vec<_>>();
    assert_eq!(
        (names("tokens"), names("certificates")),
        (vec!["scanner".into()], vec!["scanner".into(), "CN with spaces".into()])
    );
    assert!(written["certificates"][0].get("sha256").is_none());
    let shown: Vec<_> = read(&file).unwrap().0.iter().map(Record::shown).collect();
    assert_eq!(shown, [Shown::Token, Shown::Certificate, Shown::Certificate]);

    let said = allow(&file, wanted("scanner")).unwrap_err().to_string();
    assert!(said.contains("\"scanner\" have rights already"), "{said}");
    revoke(&file, Shown::Certificate, "scanner").unwrap();
    let said = revoke(&file, Shown::Certificate, "scanner").unwrap_err().to_string();
    assert!(said.contains("the certificate named \"scanner\" was revoked on"), "{said}");
    let roles = [Role::Auditor].into();
    allow(&file, Wanted { rights: Rights { roles, ..wanted("scanner").rights }, ..wanted("scanner") }).unwrap();
    let records = read(&file).unwrap().0;
    assert_eq!(records.len(), 3, "the entry before is replaced");
    assert!(records.iter().all(|record| record.revoked.is_none()), "nor was the token revoked");
    assert!(revoke(&file, Shown::Certificate, "absent").unwrap_err().to_string().contains("no certificate named"));
    for bad in ["", "a\nb", &"a".repeat(513)] {
        assert!(allow(&file, wanted(bad)).unwrap_err().to_string().contains("a certificate's name has 1 to 512"));
    }
    let expired = Wanted { expires: Some(Time(1)), ..wanted("late") };
    assert!(allow(&file, expired).unwrap_err().to_string().contains("the certificate would have expired already"));
    assert_eq!(read(&file).unwrap().0, records, "what is refused changes nothing");
}

/// Two operators at once: neither's token may be lost.
#[test]
fn changes_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    std::thread::scope(|scope| {
        for n in 0..4 {
            let file = &file;
            scope.spawn(move || (0..5).for_each(|m| drop(create(file, wanted(&format!("t{n}-{m}"))).unwrap())));
        }
    });
    assert_eq!(read(&file).unwrap().0.len(), 20);
}

#[test]
fn a_bad_file_is_refused_in_words_that_repeat_no_digest() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    let check = |text: &str, words: &str| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let said = read(&file).unwrap_err().to_string();
        assert!(said.contains(words) && said.contains("tokens.json") && !said.contains("abababab"), "{said}");
    };
    let digest = "ab".repeat(32);
    let token =
        |more: &str| format!(r#"{{"name":"a","sha256":"{digest}","roles":["matcher"],"created":"2026-01-01T00:00:00Z"{more}}}"#);
    let of = |tokens: &[String]| format!(r#"{{"tokens":[{}]}}"#, tokens.join(","));
    check("", "EOF");
    check("[]", "tokens.json");
    check(&of(&[token(r#","seees":true"#)]), "seees");
    check(&of(&[token(r#","lists":[]"#)]), "names no list");
    check(&of(&[token(r#","items_per_s":0"#)]), "line 1");
    check(&of(&[token(r#","items_per_s":1000001"#)]), "items_per_s must be at most 1000000");
    check(&of(&[token(r#","expires":"tomorrow""#)]), "RFC 3339");
    check(&of(&[token("").replace("matcher", "admin")]), "admin");
    check(&of(&[token("").replace("[\"matcher\"]", "[]")]), "no role");
    check(&of(&[token("").replace(&digest, &digest[2..])]), "line 1");
    check(&of(&[token(""), token("")]), "stands twice");
    let with_certificates = |entries: &[String]| format!(r#"{{"tokens":[],"certificates":[{}]}}"#, entries.join(","));
    let certificate = token("").replace(&format!(r#""sha256":"{digest}","#), "");
    check(&with_certificates(&[certificate.clone(), certificate.clone()]), "certificate a stands twice");
    check(&with_certificates(&[token("")]), "certificate a has a sha256");
    check(&of(std::slice::from_ref(&certificate)), "token a has no sha256");
    check(&with_certificates(&[certificate.replace("[\"matcher\"]", "[]")]), "certificate a has no role");
    check(&of(&[token(""), token("").replace("\"a\"", "\"b\"")]), "digest of another");
    std::fs::write(&file, of(&[token("")])).unwrap();
    assert_eq!(read(&file).unwrap().0.len(), 1);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o620)).unwrap();
    assert!(read(&file).unwrap_err().to_string().contains("chmod 600"));
    assert!(read(folder.path()).unwrap_err().to_string().contains("not a file"));
    let absent = read(&folder.path().join("absent.json")).unwrap_err().to_string();
    assert!(absent.contains("absent.json") && absent.contains("no such file"), "{absent}");
}

#[test]
fn when_a_token_expires_is_said_as_a_duration_or_a_time() {
    let now = Time(1_800_000_000_000);
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(Time::parse(text, now).ok().map(|at| at.to_string()).as_deref(), expected, "{text:?}");
    };
    check("90d", Some("2027-04-15T08:00:00Z"));
    check("1h", Some("2027-01-15T09:00:00Z"));
    check("2027-01-31", Some("2027-01-31T00:00:00Z"));
    check("2027-01-31T12:30:00Z", Some("2027-01-31T12:30:00Z"));
    check("2027-01-31 12:30:00", Some("2027-01-31T12:30:00Z"));
    check("2027-13-31", None);
    check("2027-01-31T12:30:00+02:00", None);
    check("tomorrow", None);
    check("", None);
    check("90", None);
    check("99999years", None);
}
