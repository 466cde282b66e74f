use super::*;
use std::num::NonZeroU32;
use std::path::Path;

const MATCH: &str = "/hashwarden.v1.MatchService/Match";

fn create(file: &Path, name: &str, role: Role, expires: Option<Time>) -> String {
    let rights = Rights { roles: [role].into(), lists: None, sees: true, brings_hashes: false };
    tokens::create(file, tokens::Wanted { name: name.to_owned(), rights, items_per_s: None, expires }).unwrap()
}

fn here() -> Arc<Caller> {
    Arc::new(Caller("grpc:192.0.2.7".to_owned()))
}

/// What a call comes to: its caller, or why it is refused.
fn call(gate: &Gate, path: &str, headers: &[&str]) -> Result<String, &'static str> {
    let admitted = gate.admit(path, headers.iter().map(|header| header.as_bytes()), &here());
    admitted.map(|principal| principal.caller().0.clone()).map_err(|refusal| refusal.reason())
}

#[test]
fn each_caller_is_let_in_by_name_or_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    let good = create(&file, "uploads", Role::Matcher, None);
    let other = create(&file, "admin", Role::ListAdmin, None);
    let gone = create(&file, "gone", Role::Matcher, None);
    let short = create(&file, "short", Role::Matcher, Some(Time(Time::now().0 + 50)));
    tokens::revoke(&file, Shown::Token, "gone").unwrap();
    let gate = Gate::of_tokens(file).unwrap();
    let bearer = |token: &str| format!("Bearer {token}");
    let check = |path: &str, headers: &[&str], expected: Result<&str, &str>| {
        assert_eq!(call(&gate, path, headers).as_deref(), expected.as_ref().copied(), "{path} {headers:?}");
    };
    check(MATCH, &[&bearer(&good)], Ok("token:uploads"));
    check(MATCH, &[&format!("bearer  {good} ")], Ok("token:uploads"));
    check(MATCH, &[], Err("no_token"));
    for malformed in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", &good, &format!("Bearer {good} {good}")] {
        check(MATCH, &[malformed], Err("malformed"));
    }
    check(MATCH, &[&bearer(&good), &bearer(&good)], Err("malformed"));
    check(MATCH, &[&bearer(&good[..good.len() - 1])], Err("unknown"));
    check(MATCH, &[&bearer(&format!("{good}0"))], Err("unknown"));
    check(MATCH, &[&bearer(&gone)], Err("revoked"));
    check(MATCH, &[&bearer(&other)], Err("role"));
    check("/hashwarden.v1.HashListService/ListHashLists", &[&bearer(&other)], Ok("token:admin"));
    check("/hashwarden.v1.HashListService/Unheard", &[&bearer(&other)], Err("role"));
    check("/grpc.health.v1.Health/Check", &[], Ok("grpc:192.0.2.7"));
    check("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[], Err("no_token"));
    check("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[&bearer(&other)], Ok("token:admin"));
    std::thread::sleep(std::time::Duration::from_millis(60));
    check(MATCH, &[&bearer(&short)], Err("expired"));
}

#[test]
fn where_no_tokens_are_set_whoever_calls_may_do_everything() {
    let gate = Gate::open();
    assert_eq!(call(&gate, MATCH, &[]).as_deref(), Ok("grpc:192.0.2.7"));
    assert_eq!(call(&gate, MATCH, &["Bearer whatever"]).as_deref(), Ok("grpc:192.0.2.7"));
    let principal = gate.admit(MATCH, std::iter::empty(), &here()).unwrap();
    assert_eq!(*principal.rights(), Rights::all());
}

#[test]
fn a_file_that_changes_counts_at_once_and_a_bad_one_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    let (one, two) = (create(&file, "one", Role::Matcher, None), create(&file, "two", Role::Matcher, None));
    let gate = Gate::of_tokens(file.clone()).unwrap();
    let call = |token: &str| call(&gate, MATCH, &[&format!("Bearer {token}")]);
    let principal = |token: &str| {
        let header = format!("Bearer {token}");
        gate.admit(MATCH, std::iter::once(header.as_bytes()), &here()).unwrap()
    };
    let (of_one, of_two) = (principal(&one), principal(&two));

    tokens::revoke(&file, Shown::Token, "one").unwrap();
    let three = create(&file, "three", Role::Matcher, None);
    assert_eq!((call(&one).is_ok(), call(&three)), (true, Err("unknown")), "it was not read yet");
    gate.refresh();
    assert_eq!((call(&one), call(&three).is_ok()), (Err("revoked"), true));
    assert_eq!(
        (of_one.ended(), of_two.ended()),
        (Some(Refusal::Revoked(Shown::Token)), None),
        "what is in work ends with its token alone"
    );

    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, b"{\"tokens\":").unwrap();
    gate.refresh();
    assert!(call(&two).is_ok() && call(&three).is_ok(), "half a file");
    std::fs::remove_file(&file).unwrap();
    gate.refresh();
    assert!(call(&two).is_ok() && call(&three).is_ok(), "no file");
    // As an editor leaves it: other rights for one of them.
    let changed = String::from_utf8(good).unwrap().replacen("\"sees\": true", "\"sees\": false", 3);
    std::fs::write(&file, changed).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    gate.refresh();
    assert_eq!(of_two.ended(), Some(Refusal::Changed(Shown::Token)));
    assert!(!principal(&two).rights().sees);
}

/// A certificate said who calls and not what they may: whoever had one might do everything, or had to show a token as well.
#[test]
fn a_certificates_name_has_the_rights_of_its_entry() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    let token = create(&file, "uploads", Role::Matcher, None);
    let gate = Gate::of_tokens(file.clone()).unwrap();
    let principal = |from: &Caller, path: &str, headers: &[&str]| {
        let admitted = gate.admit(path, headers.iter().map(|header| header.as_bytes()), &Arc::new(from.clone()));
        admitted.map_err(|refusal| refusal.reason())
    };
    let call = |from: &Caller, path: &str, headers: &[&str]| {
        principal(from, path, headers).map(|principal| principal.caller().0.clone())
    };
    let (scanner, other) = (certified_caller("spiffe://example.org/scanner"), certified_caller("other"));
    const LISTS: &str = "/hashwarden.v1.HashListService/ListHashLists";

    // Where no certificate has an entry, one says nothing of rights.
    assert_eq!((call(&scanner, MATCH, &[]), gate.has_certificates()), (Err("no_token"), false));
    let lists = Some(Arc::new(["known".to_owned()].into()));
    let rights = Rights { roles: [Role::Matcher].into(), lists, sees: false, brings_hashes: true };
    let items_per_s = NonZeroU32::new(7);
    let wanted =
        tokens::Wanted { name: "spiffe://example.org/scanner".to_owned(), rights: rights.clone(), items_per_s, expires: None };
    assert!(tokens::allow(&file, wanted.clone()).unwrap());
    gate.refresh();
    assert!(gate.has_certificates());

    let admitted = principal(&scanner, MATCH, &[]).unwrap();
    assert_eq!((&**admitted.caller(), admitted.rights(), admitted.items_per_s()), (&scanner, &rights, items_per_s));
    assert_eq!(call(&scanner, LISTS, &[]), Err("role"));
    assert_eq!(call(&other, MATCH, &[]), Err("certificate"));
    assert_eq!(call(&here(), MATCH, &[]), Err("no_token"));
    // Nor is a name that only looks like one.
    assert_eq!(call(&Caller("grpc:spiffe://example.org/scanner".to_owned()), MATCH, &[]), Err("no_token"));
    assert_eq!(call(&other, "/grpc.health.v1.Health/Check", &[]).as_deref(), Ok("mtls:other"));
    // Who shows a token is known by it, whatever the certificate; a bad one is not made good by a certificate.
    let bearer = format!("Bearer {token}");
    assert_eq!(call(&other, MATCH, &[&bearer]).as_deref(), Ok("token:uploads"));
    assert_eq!(call(&scanner, MATCH, &[&bearer]).as_deref(), Ok("token:uploads"));
    assert_eq!(call(&scanner, MATCH, &["Bearer wrong"]), Err("unknown"));

    // What is in work ends with its entry, and not with another.
    tokens::revoke(&file, Shown::Token, "uploads").unwrap();
    gate.refresh();
    assert_eq!(admitted.ended(), None);
    tokens::revoke(&file, Shown::Certificate, "spiffe://example.org/scanner").unwrap();
    gate.refresh();
    assert_eq!(admitted.ended(), Some(Refusal::Revoked(Shown::Certificate)));
    assert_eq!((call(&scanner, MATCH, &[]), call(&other, MATCH, &[])), (Err("revoked"), Err("certificate")));
    // Other rights for the same name.
    let rights = Rights { roles: [Role::Auditor].into(), ..rights };
    assert!(tokens::allow(&file, tokens::Wanted { rights, ..wanted }).unwrap());
    gate.refresh();
    assert_eq!(call(&scanner, LISTS, &[]).as_deref(), Ok("mtls:spiffe://example.org/scanner"));
    assert_eq!(call(&scanner, MATCH, &[]), Err("role"));
}
