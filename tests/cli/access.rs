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
    token(&file, &["revoke", "uploads"]).exits(2).says(&["no token named"]);
    assert_eq!(token(&file, &["--json", "ls"]).exits(0).json()[0]["state"], "revoked");
    token(&file, &["create", "x", "--role", "admin"]).exits(2).says(&["the roles are matcher, list-admin"]);
    token(&file, &["create", "x"]).exits(2).says(&["--role"]);
    token(&file, &["create", "x", "--role", "matcher", "--expires", "soon"]).exits(2).says(&["90d"]);
    run(&["token", "ls"]).exits(2).says(&["[access] tokens_file", TOKENS_FILE]);
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
        assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("from=127.0.0.1")), "{what}: {lines:?}");
    }
    assert!(![&secret, &admin_secret].into_iter().any(|secret| log.contains(secret.trim_start_matches("hashwarden_"))));
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
    assert_eq!(Server::start_with(&place.store, "info", &trusted).terminate().0, 0);
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
    for known in [(TOKENS_FILE, file.as_str()), ("HASHWARDEN__TLS__CLIENT_CA_FILE", client_ca.as_str())] {
        let environment = [&encrypted[..], &[grpc, operator, known]].concat();
        assert_eq!(Server::start_with(&place.store, "info", &environment).terminate().0, 0);
    }
    serve(&[(TOKENS_FILE, &file), ("HASHWARDEN__TLS__KEY_FILE", &key)]).exits(2).says(&["[tls] certificate_file must be set"]);
}
