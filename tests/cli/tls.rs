//! `--endpoint https://`: the certificates that a verb is given, and what it says where they do not do.

use super::server::Server;
use super::*;
use crate::certificates::Authority;

#[test]
fn verbs_work_through_a_server_with_certificates() {
    let place = Place::new();
    let folder = place.folder.path();
    let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
    authority.server().write(folder, "server");
    clients.caller("operator").write(folder, "caller");
    let ca = place.write("ca.pem", authority.pem().as_bytes());
    let client_ca = place.write("clients.pem", clients.pem().as_bytes());
    let (certificate, key) = (place.arg("server.pem"), place.arg("server.key"));
    let environment = [
        ("HASHWARDEN__TLS__CERTIFICATE_FILE", certificate.as_str()),
        ("HASHWARDEN__TLS__KEY_FILE", key.as_str()),
        ("HASHWARDEN__TLS__CLIENT_CA_FILE", client_ca.as_str()),
    ];
    let server = Server::start_with(&place.store, "info", &environment);
    let endpoint = server.endpoint().replace("http://", "https://");
    let (cert, key) = (place.arg("caller.pem"), place.arg("caller.key"));
    let to = ["--endpoint", &endpoint];
    let trusted = [&to[..], &["--ca", &ca, "--cert", &cert, "--key", &key]].concat();
    run(&[&trusted[..], &["list", "create", "known"]].concat()).exits(0);
    let lists = run(&[&trusted[..], &["list", "ls", "--json"]].concat()).exits(0);
    assert_eq!(lists.one()["name"], "known");
    assert_eq!(lists.err, "");

    // The same from the environment, which is for https:// alone.
    let from_environment = |args: &[&str]| {
        let variables = [("HASHWARDEN_CA", &ca), ("HASHWARDEN_CERT", &cert), ("HASHWARDEN_KEY", &key)];
        ended(hashwarden(args).envs(variables))
    };
    from_environment(&[&to[..], &["list", "ls"]].concat()).exits(0);
    from_environment(&["--store", &place.arg("another"), "list", "ls"]).exits(0);

    let refused = |args: &[&str], exit: i32, words: &[&str]| {
        run(&[&to[..], args, &["list", "ls"]].concat()).exits(exit).says(words);
    };
    let without = run(&[&to[..], &["--ca", &ca, "list", "ls"]].concat()).exits(3).err;
    // Where the call was under way when the reason came, the client knows no more than that the connection broke.
    let told = ["the server wants a client certificate: --cert FILE", "the server's log may say why"];
    assert!(told.iter().any(|words| without.contains(words)), "{without}");
    refused(&["--ca", &client_ca], 3, &["no TLS connection to https://", "an authority that is not known", "--ca FILE"]);
    refused(&["--ca", &ca, "--cert", &cert], 2, &["--cert needs --key"]);
    refused(&["--ca", &ca, "--key", &key], 2, &["--key needs --cert"]);
    refused(&["--ca", &place.arg("absent.pem")], 2, &["--ca: no such file", "absent.pem"]);
    refused(&["--ca", &key], 2, &["--ca holds no certificate"]);
    run(&["--store", &place.store, "--ca", &ca, "list", "ls"]).exits(2).says(&["add --endpoint https://HOST:PORT"]);
    let plain = server.run(&["list", "ls"]).exits(3).err;
    assert!(plain.contains("https://") || plain.contains("the server's log may say why"), "{plain}");
    server.run(&["--ca", &ca, "list", "ls"]).exits(2).says(&["is plain text: certificates are for https://"]);
}

#[test]
fn plain_text_beyond_loopback_is_warned_of() {
    let place = Place::new();
    let server = Server::start(&place.store, "warn");
    assert_eq!(server.run(&["list", "ls"]).exits(0).err, "");
    // Any of the machine's own addresses, and not a loopback one by its name.
    let endpoint = server.endpoint().replace("127.0.0.1", "0.0.0.0");
    run(&["--endpoint", &endpoint, "list", "ls"]).exits(0).says(&["warning: this connection is not encrypted", "https://"]);
}
