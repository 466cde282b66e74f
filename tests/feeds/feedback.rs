//! What is said to a source of its entries.

use super::ask::{Bench, hex, open_with, options};
use super::server::{Asked, Reply, Server, ok, status};
use hashwarden::catalog::{CatalogError, Feedback, Fetch};
use hashwarden::entry::{Feed, FeedKind, HashKind, Vote};
use hashwarden::feeds::Options;

/// Entries 42/1, with PDQ and MD5, and 42/a b, with PDQ.
fn entries() -> String {
    let entry = |id: &str, more: &str| {
        format!(
            "<image><member id=\"42\">Example</member><timestamp>2026-01-02T03:04:05Z</timestamp><id>{id}</id>\
             <fingerprints><pdq>{}</pdq>{more}</fingerprints></image>",
            hex(id.len() as u64)
        )
    };
    format!(
        "<queryResult xmlns=\"https://hashsharing.ncmec.org/hashsharing/v2\"><images count=\"2\">{}{}</images></queryResult>",
        entry("1", "<md5>00112233445566778899aabbccddeeff</md5>"),
        entry("a b", "")
    )
}

const REASONS: &str = "<?xml version=\"1.0\"?><availableFeedbackReasons xmlns=\"https://hashsharing.ncmec.org/hashsharing/v2\">\
     <reason guid=\"01234567-abcd-0123-4567-012345678900\" name=\"Wrong category\" type=\"Pdq\"/>\
     <reason guid=\"01234567-abcd-0123-4567-012345678901\" name=\"Not what it says\" type=\"Pdq\"/></availableFeedbackReasons>";

pub fn answer(asked: &Asked) -> Reply {
    match (asked.method.as_str(), asked.target.as_str()) {
        ("GET", "/hashsharing/v2/feedback/PDQ/reasons") => ok(REASONS),
        ("GET", target) if target.starts_with("/hashsharing/v2/entries?") => ok(entries()),
        ("PUT", _) => ok("<submissionResult/>"),
        _ => status(404),
    }
}

/// A list `known` whose source `feed` was fetched.
fn fetched(dir: &std::path::Path, server: &Server, feedback: bool) -> Bench {
    let folder = dir.join("credentials");
    std::fs::create_dir(&folder).unwrap();
    let text = format!("origin = {:?}\nuser = \"me\"\npassword = \"geheim\"\n", server.url);
    std::fs::write(folder.join("hotline.toml"), text).unwrap();
    let bench = open_with(&dir.join("store"), Options { credentials_dir: folder, ..options() });
    bench.create("known");
    let (kind, place) = (FeedKind::Ncmec, format!("{}/hashsharing", server.url));
    bench.set_feed(Feed { kind, place, credentials: "hotline".to_owned(), feedback, ..Feed::default() });
    assert_eq!(bench.fetch().unwrap().added, 2);
    server.asked();
    bench
}

fn send(bench: &Bench, id: &str, kind: HashKind, vote: Vote, reason: &str) -> Result<String, CatalogError> {
    let feedback = Feedback { entry_id: id.to_owned(), kind, vote, reason: reason.to_owned() };
    bench.feeds.feedback(&bench.by, "known", "feed", &feedback).map(|report| report.reason)
}

#[test]
fn feedback_is_put_where_the_public_client_puts_it() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(answer));
    let bench = fetched(dir.path(), &server, true);
    let check = |sent: Result<String, CatalogError>, reason: &str, path: &str, body: &str| {
        assert_eq!(sent.unwrap(), reason);
        let asked = server.asked();
        let put = asked.last().unwrap();
        assert_eq!((&*put.method, &*put.target), ("PUT", path));
        assert_eq!(
            put.body,
            format!("<feedbackSubmission xmlns=\"https://hashsharing.ncmec.org/hashsharing/v2\">{body}</feedbackSubmission>")
        );
        assert_eq!(put.header("content-type"), Some("application/xml; charset=utf-8"));
        assert!(asked.iter().all(|asked| asked.header("authorization") == Some("Basic bWU6Z2VoZWlt")));
    };
    let affirmative = send(&bench, "42/1", HashKind::Md5, Vote::Affirmative, "");
    check(affirmative, "", "/hashsharing/v2/entries/42/1/MD5/feedback", "<affirmative />");
    let negative = "<negative><reasonIds><guid>01234567-abcd-0123-4567-012345678901</guid></reasonIds></negative>";
    let path = "/hashsharing/v2/entries/42/a%20b/PDQ/feedback";
    check(send(&bench, "42/a b", HashKind::Pdq, Vote::Negative, "not what it says"), "Not what it says", path, negative);
    let id = "01234567-ABCD-0123-4567-012345678901";
    check(send(&bench, "42/a b", HashKind::Pdq, Vote::Negative, id), "Not what it says", path, negative);
    // Nothing of it changes the list.
    assert_eq!((bench.ids(1), bench.catalog.versions("known").unwrap().len()), (vec!["42/1".to_owned()], 1));
}

#[test]
fn nothing_is_sent_that_was_not_allowed_or_is_not_so() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(answer));
    let bench = fetched(dir.path(), &server, true);
    let check = |sent: Result<String, CatalogError>, expected: &str| {
        let why = sent.unwrap_err().to_string();
        assert!(why.contains(expected), "{why}");
        assert!(server.asked().iter().all(|asked| asked.method == "GET"), "{expected}");
    };
    check(send(&bench, "42/2", HashKind::Pdq, Vote::Affirmative, ""), "no such entry");
    check(send(&bench, "42/a b", HashKind::Md5, Vote::Affirmative, ""), "no hash of the kind md5");
    check(send(&bench, "42/1", HashKind::Pdq, Vote::Affirmative, "Wrong category"), "has no reason");
    let named = "it is one of \"Wrong category\", \"Not what it says\"";
    check(send(&bench, "42/1", HashKind::Pdq, Vote::Negative, ""), named);
    check(send(&bench, "42/1", HashKind::Pdq, Vote::Negative, "other"), named);
    check(send(&bench, "42/1", HashKind::Md5, Vote::Negative, ""), "the reasons for negative feedback were not listed");
    let entry = hashwarden::catalog::NewEntry { id: Some("42/9".into()), hashes: vec![super::ask::pdq(9)], ..Default::default() };
    bench.catalog.add(&bench.by, "known", vec![entry]).unwrap();
    check(send(&bench, "42/9", HashKind::Pdq, Vote::Affirmative, ""), "not from this source");
    let dir = tempfile::tempdir().unwrap();
    let silent = fetched(dir.path(), &server, false);
    check(send(&silent, "42/1", HashKind::Pdq, Vote::Affirmative, ""), "is not set to be sent feedback");
}

#[test]
fn feedback_that_is_not_taken_is_an_error() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(answer));
    let bench = fetched(dir.path(), &server, true);
    for (n, expected) in
        [(401, "does not accept the credentials"), (404, "404 Not Found"), (500, "500"), (302, "redirects what it is sent")]
    {
        server.answer(move |_| status(n));
        let why = send(&bench, "42/1", HashKind::Pdq, Vote::Affirmative, "").unwrap_err().to_string();
        assert!(why.contains("the feedback was not taken") && why.contains(expected), "{why}");
        assert!(!why.contains("secret") && !why.contains("geheim") && !why.contains("42/1"), "{why}");
    }
    server.answer(|_| ok("<queryResult/>"));
    let why = send(&bench, "42/1", HashKind::Pdq, Vote::Negative, "").unwrap_err().to_string();
    assert!(why.contains("can't be read"), "{why}");
}
