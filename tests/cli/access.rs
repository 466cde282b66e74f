//! Tokens as an operator makes them and a caller shows them.

use super::server::Server;
use super::*;

use std::time::{Duration, Instant};

const TOKENS_FILE: &str = "HASHWARDEN__ACCESS__TOKENS_FILE";

/// `hashwarden token` on a file.
fn token(file: &str, args: &[&str]) -> Ran {
    ended(hashwarden(&[&["token"], args].concat()).env(TOKENS_FILE, file))
}

/// Makes a token and keeps it in a file beside, whose name it gives.
fn create(place: &Place, file: &str, args: &[&str]) -> (String, String) {
    let made = token(file, &[&["create"], args].concat()).exits(0).says(&["not shown again"]);
    let secret = made.out.trim().to_owned();
    (place.write(&format!("{}.token", args[0]), made.out.as_bytes()), secret)
}

#[test]
fn tokens_are_made_shown_by_name_and_revoked() {
    let place = Place::new();
    let file = place.arg("tokens.json");
    let (_, secret) = create(&place, &file, &["uploads", "--role", "matcher", "--list", "known", "--expires", "90d"]);
    let made = token(&file, &["--json", "create", "lists", "--role", "list-admin", "--role", "auditor", "--sees"]).exits(0).one();
    assert_eq!(keys(&made), ["name", "token"]);
    let listed = token(&file, &["--json", "ls"]).exits(0);
    let shown = listed.json();
    assert_eq!((shown[0]["name"].as_str(), shown[0]["state"].as_str()), (Some("uploads"), Some("live")));
    assert_eq!((&shown[0]["lists"][0], &shown[0]["sees"], &shown[1]["lists"]), (&"known".into(), &false.into(), &Value::Null));
    assert_eq!(shown[1]["roles"], serde_json::json!(["list-admin", "auditor"]));
    assert!(shown[0]["expires"].is_string() && shown[1]["expires"].is_null());
    for text in [&listed.out, &token(&file, &["ls"]).exits(0).out, &std::fs::read_to_string(&file).unwrap()] {
        assert!(!text.contains(&secret) && !text.contains(made["token"].as_str().unwrap()), "{text}");
    }
    token(&file, &["create", "uploads", "--role", "matcher"]).exits(2).says(&["already"]);
    token(&file, &["revoke", "uploads"]).exits(0);
    token(&file, &["revoke", "uploads"]).exits(2).says(&["was revoked on"]);
    token(&file, &["create", "uploads", "--role", "matcher"]).exits(2).says(&["was revoked on", "token prune"]);
    token(&file, &["prune"]).exits(0).says(&["so long ago"]);
    std::thread::sleep(Duration::from_millis(2));
    let pruned = token(&file, &["--json", "prune", "--older-than", "1ms"]).exits(0).one();
    assert_eq!(pruned, serde_json::json!({ "name": "uploads", "kind": "token", "state": "pruned" }));
    create(&place, &file, &["uploads", "--role", "matcher"]);
    token(&file, &["revoke", "uploads"]).exits(0);
    assert_eq!(token(&file, &["--json", "ls"]).exits(0).json()[1]["state"], "revoked");
    token(&file, &["create", "x", "--role", "admin"]).exits(2).says(&["the roles are matcher, list-admin"]);
    token(&file, &["create", "x"]).exits(2).says(&["--role"]);
    token(&file, &["create", "x", "--role", "matcher", "--expires", "soon"]).exits(2).says(&["90d"]);
    run(&["token", "ls"]).exits(2).says(&["[access] tokens_file", TOKENS_FILE]);
}

#[test]
fn a_certificates_name_gets_rights_and_loses_them() {
    let place = Place::new();
    let file = place.arg("tokens.json");
    let name = "spiffe://example.org/scanner";
    let grant = ["create", name, "--certificate", "--role", "matcher", "--brings-hashes", "--items-per-s", "9"];
    let made = token(&file, &grant).exits(0).says(&["another name are refused, unless they show a token"]);
    assert!(made.out.contains(name) && !made.out.contains("hashwarden_"), "{}", made.out);
    let second = token(&file, &["create", "other", "--certificate", "--role", "auditor"]).exits(0);
    assert!(!second.err.contains("are refused"), "{}", second.err);
    create(&place, &file, &["other", "--role", "matcher"]);
    let listed = token(&file, &["--json", "ls"]).exits(0).json();
    let kinds: Vec<_> = listed.iter().map(|line| (line["name"].as_str().unwrap(), line["kind"].as_str().unwrap())).collect();
    assert_eq!(kinds, [("other", "token"), (name, "certificate"), ("other", "certificate")]);
    assert_eq!((&listed[1]["items_per_s"], &listed[1]["brings_hashes"]), (&9.into(), &true.into()));
    assert!(token(&file, &["ls"]).exits(0).out.contains("certificate  matcher  all lists  brings hashes  9 items/s"));
    token(&file, &grant).exits(2).says(&["have rights already"]);
    token(&file, &["create", "x", "--certificate", "--role", "matcher", "--out", "f"]).exits(2).says(&["--out"]);
    let revoked = token(&file, &["--json", "revoke", "other", "--certificate"]).exits(0).one();
    assert_eq!(revoked, serde_json::json!({ "name": "other", "kind": "certificate", "state": "revoked" }));
    let states: Vec<_> = token(&file, &["--json", "ls"]).exits(0).json().iter().map(|line| line["state"].clone()).collect();
    assert_eq!(states, ["live", "live", "revoked"], "the token of the same name is another");
    token(&file, &["revoke", "scanner", "--certificate"]).exits(2).says(&["no certificate named"]);
}

#[test]
fn a_token_goes_to_a_file_of_its_owner_and_replaces_none() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let (file, out) = (place.arg("tokens.json"), place.arg("uploads.token"));
    let made = token(&file, &["create", "uploads", "--role", "matcher", "--out", &out]).exits(0);
    assert!(
        made.out.contains("uploads.token") && made.out.contains("within a second") && !made.out.contains("hashwarden_"),
        "{}",
        made.out
    );
    let secret = std::fs::read_to_string(&out).unwrap();
    assert!(secret.starts_with("hashwarden_") && secret.ends_with('\n'));
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    // Neither the file nor a token is made where the other can't be.
    token(&file, &["create", "more", "--role", "matcher", "--out", &out]).exits(2).says(&["--out", "uploads.token", "exists"]);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), secret);
    let other = place.arg("other.token");
    token(&file, &["create", "uploads", "--role", "matcher", "--out", &other]).exits(2).says(&["already"]);
    assert!(!Path::new(&other).exists());
    assert_eq!(token(&file, &["--json", "ls"]).exits(0).json().len(), 1);

    // Who can read the file is the caller.
    let server = Server::start_with(&place.store, "warn", &[(TOKENS_FILE, &file)]);
    let owners = server.run(&["--token-file", &out, "match", "--pdq", &pdq(1)]);
    assert!(!owners.err.contains("chmod 600"), "{}", owners.err);
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o644)).unwrap();
    server.run(&["--token-file", &out, "match", "--pdq", &pdq(1)]).says(&["uploads.token", "mode 644", "chmod 600"]);

    // Nor is it sent where others can read it on the way, unless somebody says that they may.
    let endpoint = server.endpoint().replace("127.0.0.1", "0.0.0.0");
    let away = |more: &[&str]| run(&[&["--endpoint", &endpoint, "--token-file", &out], more, &["list", "ls"]].concat());
    away(&[]).exits(2).says(&["the token is not sent", "https://", "--allow-plaintext-token"]);
    away(&["--allow-plaintext-token"]).exits(3).says(&["needs the role list-admin"]);
}

#[test]
fn rights_that_are_hardly_meant_are_warned_of() {
    let place = Place::new();
    let file = place.arg("tokens.json");
    let warned = |args: &[&str], words: Option<&str>| {
        let made = token(&file, &[&["create"], args].concat()).exits(0);
        let warning = made.err.lines().find(|line| line.contains("warning"));
        assert_eq!(warning.is_some(), words.is_some(), "{args:?}: {}", made.err);
        assert!(warning.is_none_or(|line| words.is_some_and(|words| line.contains(words))), "{args:?}: {}", made.err);
    };
    warned(&["a", "--role", "matcher", "--sees", "--brings-hashes"], None);
    warned(&["b", "--role", "list-admin", "--sees", "--brings-hashes"], None);
    warned(&["c", "--role", "matcher", "--role", "list-admin"], Some("better make two tokens"));
    warned(&["d", "--role", "operator", "--sees"], Some("--sees has no effect"));
    warned(&["e", "--role", "list-admin", "--brings-hashes"], Some("--brings-hashes has no effect"));
}

#[test]
fn a_server_with_tokens_serves_who_shows_one_and_tells_of_the_others() {
    let place = Place::new();
    let file = place.arg("tokens.json");
    let (admin, admin_secret) = create(&place, &file, &["lists", "--role", "list-admin"]);
    let (uploads, secret) = create(&place, &file, &["uploads", "--role", "matcher"]);
    let mut server = Server::start_with(&place.store, "info", &[(TOKENS_FILE, &file)]);
    server.run(&["list", "ls"]).exits(3).says(&["asks for a token", "--token-file"]);
    server.run(&["--token-file", &admin, "list", "create", "known"]).exits(0);
    server.run(&["--token-file", &uploads, "list", "ls"]).exits(3).says(&["needs the role list-admin or"]);
    let wrong = place.write("wrong.token", format!("hashwarden_{}\n", "0".repeat(64)).as_bytes());
    server.run(&["--token-file", &wrong, "list", "ls"]).exits(3).says(&["not known to this server"]);
    server.run(&["--token-file", &place.arg("absent"), "list", "ls"]).exits(2).says(&["the token can't be read", "absent"]);
    let empty = place.write("empty.token", b"\n");
    server.run(&["--token-file", &empty, "list", "ls"]).exits(2).says(&["empty.token", "it is empty"]);
    // Its file can be named by the environment as well.
    let ls = |token: &str| ended(hashwarden(&["--endpoint", &server.endpoint, "list", "ls"]).env("HASHWARDEN_TOKEN_FILE", token));
    assert!(ls(&admin).exits(0).out.contains("known"));

    // Who may change a list can't find out what another holds by comparing them.
    server
        .run(&["--token-file", &admin, "list", "overlap", "known", "known"])
        .exits(3)
        .says(&["both --sees and --brings-hashes"]);

    // A match shows the uploader what is listed, and not how near.
    let known = place.picture("known.png", 1, Edit::Png);
    server.run(&["--token-file", &admin, "list", "add", "known", "--id", "e1", "--pdq", &hash_of(&known, "pdq")]).exits(0);
    let found = server.run(&["--token-file", &uploads, "--json", "match", "--list", "known", &known]).exits(1).one();
    let (first, full) = (&found["matches"][0], ["entry_id", "distance", "threshold", "transform", "frame", "view", "chance"]);
    assert_eq!((&first["list"], &first["kind"], &found["cut"]), (&"known".into(), &"pdq".into(), &Value::Null));
    assert!(full.into_iter().all(|field| first.get(field) == Some(&Value::Null)), "{first}");
    let text = server.run(&["--token-file", &uploads, "match", &known]).exits(1).out;
    assert!(text.contains("candidate known  pdq  REVIEW"), "{text}");
    let hash = ["--token-file", &uploads, "--json", "match", "--pdq", &pdq(1)];
    assert!(server.run(&hash).one()["detail"].as_str().unwrap().contains("right to bring them"));

    // Revoked while it runs.
    token(&file, &["revoke", "uploads"]).exits(0);
    let until = Instant::now() + Duration::from_secs(30);
    while !server.run(&["--token-file", &uploads, "match", &known]).err.contains("was revoked") {
        assert!(Instant::now() < until, "the server did not hear of it");
        std::thread::sleep(Duration::from_millis(100));
    }
    // A bad file changes nothing, and is told.
    std::fs::write(&file, "{").unwrap();
    server.logged("the tokens are left as they were");
    ls(&admin).exits(0);
    let (_, page) = server.get("/metrics");
    assert!(page.contains("hashwarden_tokens_file_sound 0"), "{page}");
    for reason in ["no_token", "unknown", "revoked", "role", "rights", "hashes"] {
        let counted =
            page.lines().find(|line| line.starts_with(&format!("hashwarden_access_refusals_total{{reason=\"{reason}\"}} ")));
        assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{reason}: {page}");
    }
    let (exit, log) = server.terminate();
    assert_eq!(exit, 0);
    assert!(log.contains("access refused") && log.contains("token:uploads") && log.contains("token:lists"), "{log}");
    // Whoever it is, the line says from where.
    for what in ["access refused", "a list was created", "a list was edited"] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(what)).collect();
        assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("\"from\":\"127.0.0.1\"")), "{what}: {lines:?}");
    }
    assert!(![&secret, &admin_secret].into_iter().any(|secret| log.contains(secret.trim_start_matches("hashwarden_"))));
}

/// Of all callers without a quota of their own, those of loopback without a token too.
#[test]
fn items_beyond_a_callers_quota_are_refused_and_counted() {
    let place = Place::new();
    let server = Server::start_with(&place.store, "info", &[("HASHWARDEN__ACCESS__ITEMS_PER_S_MAX", "1")]);
    server.run(&["list", "create", "known"]).exits(0);
    let hashes: Vec<String> = (0..20).map(pdq).collect();
    let args = hashes.iter().flat_map(|hash| ["--pdq", hash]);
    let ran = server.run(&["--json", "match"].into_iter().chain(args).collect::<Vec<_>>()).exits(4);
    let is_refused =
        |line: &Value| line["detail"].as_str().is_some_and(|why| why.contains("quota of 1 item a second: try again"));
    let refused = ran.json().iter().filter(|line| is_refused(line)).count();
    assert!((1..20).contains(&refused), "{}", ran.out);
    let (_, page) = server.get("/metrics");
    let series = "hashwarden_limit_refusals_total{limit=\"access.items_per_s_max\"} ";
    let counted = page.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_default();
    assert_eq!(counted, refused.to_string());
    // A token may have another.
    let file = place.arg("tokens.json");
    token(&file, &["create", "uploads", "--role", "matcher", "--items-per-s", "500", "--out", &place.arg("t")]).exits(0);
    assert_eq!(token(&file, &["--json", "ls"]).exits(0).one()["items_per_s"], 500);
    assert!(token(&file, &["ls"]).exits(0).out.contains("500 items/s"));
    for bad in ["0", "1000001", "many"] {
        let args = ["create", "x", "--role", "matcher", "--items-per-s", bad];
        token(&file, &args).exits(2).says(&["--items-per-s", "from 1 to 1000000"]);
    }
}

/// Who looks for a listed hash asks with many different hashes near it; a picture that goes round has few.
#[test]
fn very_many_different_hashes_near_one_entry_are_counted_and_told_once() {
    let place = Place::new();
    let mut server = Server::start_with(&place.store, "info", &[("HASHWARDEN__ACCESS__NEAR_QUESTIONS_MAX", "1")]);
    server.run(&["list", "create", "known"]).exits(0);
    server.run(&["list", "add", "known", "--id", "secret-entry", "--pdq", &pdq(1)]).exits(0);
    let counted = |server: &Server| {
        let (_, page) = server.get("/metrics");
        let series = "hashwarden_near_questions_total{caller=\"grpc:127.0.0.1\"} ";
        page.lines().find_map(|line| line.strip_prefix(series)).map(str::to_owned)
    };
    let flipped = |n: usize| {
        let mut digits: Vec<char> = pdq(1).chars().collect();
        digits[n] = char::from_digit(digits[n].to_digit(16).unwrap() ^ 1, 16).unwrap();
        digits.into_iter().collect::<String>()
    };
    // Without tokens callers are shown distances: they are counted wherever they match, up to eight times the limit.
    for _ in 0..3 {
        for n in 0..8 {
            server.run(&["match", "--pdq", &flipped(n)]).exits(1);
        }
        // Far from every entry.
        server.run(&["match", "--pdq", &pdq(2)]).exits(0);
    }
    assert_eq!(counted(&server), None, "the same hashes again and again");
    for n in 8..11 {
        server.run(&["match", "--pdq", &flipped(n)]).exits(1);
    }
    assert_eq!(counted(&server).as_deref(), Some("3"));
    let (exit, log) = server.terminate();
    assert_eq!(exit, 0);
    let told: Vec<_> = log.lines().filter(|line| line.contains("different hashes near one entry")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("grpc:127.0.0.1") && told[0].contains("known"), "{}", told[0]);
    assert!(!log.contains("secret-entry") && !log.contains(&flipped(10)[..32]), "{log}");
}

/// What listens where others reach it knows its callers, or says in words that it need not.
#[test]
fn a_server_does_not_listen_beyond_loopback_without_tokens_or_words() {
    let place = Place::new();
    let file = place.arg("tokens.json");
    let serve = |environment: &[(&str, &str)]| {
        let mut command = hashwarden(&["serve", "--store", &place.store]);
        command.env("HASHWARDEN__GRPC__LISTEN", "127.0.0.1:0").env("HASHWARDEN__OPERATOR__LISTEN", "127.0.0.1:0");
        ended(command.envs(environment.iter().copied()))
    };
    let grpc = ("HASHWARDEN__GRPC__LISTEN", "0.0.0.0:0");
    let operator = ("HASHWARDEN__OPERATOR__LISTEN", "[::]:0");
    serve(&[grpc]).exits(2).says(&["[grpc] listen is 0.0.0.0:0", "[access] tokens_file", "network = \"trusted\""]);
    serve(&[operator]).exits(2).says(&["[operator] listen is [::]:0", "network = \"trusted\""]);
    serve(&[(TOKENS_FILE, &file)]).exits(2).says(&["tokens.json", "the tokens can't be read"]);
    assert!(!Path::new(&place.store).exists(), "nothing was begun");
    let trusted = [grpc, operator, ("HASHWARDEN__ACCESS__NETWORK", "trusted")];
    let (exit, log) = Server::start_with(&place.store, "warn", &trusted).terminate();
    assert_eq!(exit, 0);
    for words in ["may match, and read, change and delete lists", "unencrypted", "sees the metrics"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    let loopback = [("HASHWARDEN__ACCESS__NETWORK", "trusted")];
    let (_, log) = Server::start_with(&place.store, "warn", &loopback).terminate();
    assert!(!log.contains("the ports are open"), "{log}");
    create(&place, &file, &["a", "--role", "matcher"]);
    // A token that anyone on the way can read says little.
    serve(&[grpc, (TOKENS_FILE, &file)]).exits(2).says(&[
        "[grpc] listen is 0.0.0.0:0",
        "not encrypted",
        "[tls] certificate_file",
    ]);
    let authority = crate::certificates::Authority::new("authority");
    authority.server().write(place.folder.path(), "server");
    let client_ca = place.write("ca.pem", authority.pem().as_bytes());
    let (certificate, key) = (place.arg("server.pem"), place.arg("server.key"));
    let encrypted = [("HASHWARDEN__TLS__CERTIFICATE_FILE", certificate.as_str()), ("HASHWARDEN__TLS__KEY_FILE", key.as_str())];
    serve(&[&encrypted[..], &[grpc]].concat()).exits(2).says(&["callers need no token", "or [tls] client_ca_file"]);
    let unasked = [&encrypted[..], &[operator]].concat();
    serve(&unasked).exits(2).says(&["[operator] listen is [::]:0", "ask nobody who they are", "or [tls] client_ca_file"]);
    for known in [(TOKENS_FILE, file.as_str()), ("HASHWARDEN__TLS__CLIENT_CA_FILE", client_ca.as_str())] {
        let environment = [&encrypted[..], &[grpc, operator, known]].concat();
        assert_eq!(Server::start_with(&place.store, "info", &environment).terminate().0, 0);
    }
    serve(&[(TOKENS_FILE, &file), ("HASHWARDEN__TLS__KEY_FILE", &key)]).exits(2).says(&["[tls] certificate_file must be set"]);
}
