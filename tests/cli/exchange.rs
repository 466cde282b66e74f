//! Lists that leave as files: by the command line, embedded and through a server.

use std::os::unix::fs::PermissionsExt;

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
