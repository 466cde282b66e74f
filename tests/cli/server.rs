//! The same verbs through `--endpoint`, and the server as whoever runs it sees it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::Duration;

use hashwarden::demo::edits::Edit;
use serde_json::{Value, json};

use super::*;

/// A server on free ports; it is killed with the test unless it was ended.
struct Server {
    child: Child,
    endpoint: String,
    operator: String,
    /// Takes standard error while the server runs, so that it never waits for a reader.
    log: Option<std::thread::JoinHandle<String>>,
}

impl Server {
    fn start(store: &str, level: &str) -> Self {
        let mut command = hashwarden(&["serve", "--store", store]);
        command.env("HASHWARDEN__GRPC__LISTEN", "127.0.0.1:0").env("HASHWARDEN__OPERATOR__LISTEN", "127.0.0.1:0");
        command.env("HASHWARDEN__LOG__LEVEL", level).env("HASHWARDEN__LOG__FORMAT", "json");
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = |before: &str| {
            let from = line.find(before).unwrap_or_else(|| panic!("no {before:?} in {line:?}")) + before.len();
            line[from..].split(',').next().unwrap().to_owned()
        };
        let endpoint = format!("http://{}", address("gRPC on "));
        let operator = address("operator port on ");
        Server { child, endpoint, operator, log: Some(log) }
    }

    fn run(&self, args: &[&str]) -> Ran {
        run(&[&["--endpoint", &self.endpoint], args].concat())
    }

    /// Status and body of a page of the operator port.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.operator).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// How often a method ended in an outcome for a reason.
    fn requests(&self, method: &str, outcome: &str, reason: &str) -> u64 {
        let (status, page) = self.get("/metrics");
        assert_eq!(status, 200);
        let name = format!("hashwarden_requests_total{{method=\"{method}\",outcome=\"{outcome}\",reason=\"{reason}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |n| n.parse().unwrap())
    }

    /// SIGTERM, and then its exit code and its log.
    fn terminate(&mut self) -> (i32, String) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        let exit = self.child.wait().unwrap().code().unwrap_or(-1);
        (exit, self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// A command's end, without what depends on the clock and the machine.
fn timeless(ran: &Ran) -> (i32, Vec<String>, String) {
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut object)) => {
            for field in ["updated_ms", "time_ms", "seconds", "resident_bytes_peak"] {
                object.entry(field).and_modify(|value| *value = Value::Null);
            }
            Value::Object(object).to_string()
        }
        _ if line.contains(" rows/s, peak resident ") => "(pace)".to_owned(),
        _ => match line.find(" UTC") {
            Some(end) => format!("{}(time){}", &line[..end - "2026-01-01 00:00".len()], &line[end..]),
            None => line.to_owned(),
        },
    };
    (ran.exit, ran.out.lines().map(line).collect(), ran.err.clone())
}

/// Everything that a list can go through, given to the embedded store of one place and to the server of another.
#[test]
fn a_lists_life_is_the_same_through_a_server() {
    let (here, there) = (Place::new(), Place::new());
    // So that the embedded store is not new to its first verb.
    here.run(&["list", "ls"]).exits(0);
    let server = Server::start(&there.store, "warn");
    let files = Place::new();
    let (one, two, three) = (pdq(0x11), pdq(0x22), pdq(0x33));
    let first = files.write("first.csv", format!("id,category,pdq\nx1,A1,{one}\nx2,,zz\nx3,,{two}\n").as_bytes());
    let second = files.write("second.txt", format!("pdq {two}\npdq {three}\n").as_bytes());
    let named = files.write("named.csv", format!("name;hash\nx1;{one}\nx9;{three}\n").as_bytes());
    let mapping = files.write("map.toml", b"delimiter = \";\"\nid = \"name\"\n[hashes]\npdq = \"hash\"\n");
    let useless = files.write("useless.csv", b"id,name\nx,y\n");
    let missing = files.arg("missing.csv");
    let verbs: &[(&[&str], i32)] = &[
        (&["ls"], 0),
        (&["create", "a", "--radius", "20", "--radius", "A1:pdq=10", "--action", "BLOCK", "--quality-min", "60"], 0),
        (&["create", "a"], 3),
        (&["create", "no name"], 2),
        (&["create", "n", "--negative", "--scope", "a"], 0),
        (&["set", "a", "--transforms", "identity,rot90", "--action", "md5=OBSERVE"], 0),
        (&["set", "a", "--scope", "nowhere"], 3),
        (&["set", "nowhere", "--radius", "3"], 3),
        (&["show", "a"], 0),
        (&["show", "nowhere"], 3),
        (&["import", "a", &first], 0),
        (&["import", "a", &first], 0),
        (&["import", "a", &second, "--dry-run"], 0),
        (&["import", "a", &named, "--mapping", &mapping, "--stage"], 0),
        (&["import", "a", &useless], 3),
        (&["import", "a", &missing], 3),
        (&["import", "nowhere", &second], 3),
        (&["diff", "a", "1", "2"], 0),
        (&["diff", "a", "1", "9"], 3),
        (&["overlap", "a", "a"], 0),
        (&["overlap", "a", "n", "--radius", "256"], 0),
        (&["overlap", "a", "n", "--radius", "257"], 2),
        (&["overlap", "a", "n", "--kind", "md5"], 2),
        (&["overlap", "a", "nowhere"], 3),
        (&["activate", "a", "2"], 0),
        (&["activate", "a", "9"], 3),
        (&["rollback", "a"], 0),
        (&["add", "a", "--id", "y1", "--category", "A1", "--pdq", &three, "--md5", "d41d8cd98f00b204e9800998ecf8427e"], 0),
        (&["add", "a", "--id", "y1", "--category", "A1", "--pdq", &three, "--md5", "d41d8cd98f00b204e9800998ecf8427e"], 0),
        (&["add", "a", "--pdq", "zz"], 2),
        (&["add", "nowhere", "--pdq", &one], 3),
        (&["remove", "a", "y1", "nobody"], 3),
        (&["remove", "a", "x3"], 0),
        (&["disable", "a"], 0),
        (&["ls"], 0),
        (&["enable", "a"], 0),
        (&["versions", "a"], 0),
        (&["versions", "nowhere"], 3),
        (&["delete", "n"], 0),
        (&["delete", "n"], 3),
        (&["ls"], 0),
    ];
    for json in [true, false] {
        for (verb, exit) in verbs {
            let args = [&["list"][..], *verb, if json { &["--json"][..] } else { &[] }].concat();
            let (embedded, served) = (here.run(&args), server.run(&args));
            assert_eq!(timeless(&served), timeless(&embedded), "{args:?}");
            assert_eq!(served.exit, *exit, "{args:?}: {served:?}");
        }
        for store in [&here, &there].map(|place| place.store.as_str()) {
            assert_eq!(run(&["--store", store, "list", "ls"]).exits(0).out.lines().count(), 1);
        }
        // From the beginning for the second round.
        here.run(&["list", "delete", "a"]).exits(0);
        server.run(&["list", "delete", "a"]).exits(0);
    }
    // The embedded one reports a file from standard input as the server does.
    for list in [&here.store, &server.endpoint] {
        let door = if list.starts_with("http") { "--endpoint" } else { "--store" };
        run(&[door, list, "list", "create", "s"]).exits(0);
        let report = run_with_input(&[door, list, "list", "import", "s", "-", "--json"], &format!("pdq {one}\n")).exits(0).one();
        assert_eq!((&report["version"], &report["entries"]), (&json!(1), &json!(1)));
        assert_eq!(run(&[door, list, "list", "versions", "s", "--json"]).one()["source"], "standard input");
    }
}

/// Reading verbs open the store that the server holds: byte for byte they say what it says.
#[test]
fn verdicts_are_the_same_through_a_server() {
    let place = Place::new();
    place.known();
    let server = Server::start(&place.store, "warn");
    let known = place.arg("known.jpg");
    for (n, edit) in [Edit::Recompressed, Edit::Mirrored, Edit::LargeCrop, Edit::Gif].into_iter().enumerate() {
        place.picture(&format!("in/{n}"), 1, edit);
    }
    let (folder, broken) = (place.arg("in"), place.broken());
    let (hash, other, md5) = (hash_of(&known, "pdq"), pdq(0x3c), hash_of(&known, "md5"));
    let text = place.arg("broken/text.jpg");
    let verbs: &[(&[&str], i32)] = &[
        (&["scan", &folder, &broken, &known], 1),
        (&["scan", &broken], 4),
        (&["scan", "--list", "known", &folder], 1),
        (&["scan", "--list", "nowhere", &folder], 3),
        (&["scan", &place.arg("nowhere")], 3),
        (&["match", &known, &text, "--pdq", &hash, "--pdq", &other, "--md5", &md5, "--quality", "90"], 1),
        (&["match", "--pdq", &hash, "--quality", "10"], 4),
        (&["match", "--pdq", &other], 0),
        (&["match", "--pdq", "zz"], 2),
        (&["match", "--list", "nowhere", "--pdq", &other], 3),
        (&["hash", &known, &text], 4),
        (&["hash", &place.arg("in/3"), &place.arg("broken/cut-in-half.jpg")], 4),
        (&["list", "ls"], 0),
        (&["list", "show", "known"], 0),
        (&["list", "versions", "known"], 0),
        (&["list", "diff", "known", "1", "1"], 0),
    ];
    for (verb, exit) in verbs {
        for json in [&["--json"][..], &[]] {
            let args = [*verb, json].concat();
            let (embedded, served) = (place.run(&args), server.run(&args));
            assert_eq!(served, embedded, "{args:?}");
            assert_eq!(served.exit, *exit, "{args:?}: {served:?}");
        }
    }
}

#[test]
fn a_second_writer_is_told_to_ask_the_first() {
    let place = Place::new();
    place.known();
    let server = Server::start(&place.store, "warn");
    let hash = pdq(0x11);
    let file = place.write("list.txt", format!("pdq {hash}\n").as_bytes());
    let check = |args: &[&str]| {
        let ran = place.run(args).exits(3).says(&["in use by another process", "--endpoint"]);
        assert_eq!(ran.out, "");
    };
    check(&["list", "create", "other"]);
    check(&["list", "add", "known", "--pdq", &hash]);
    check(&["list", "import", "known", &file]);
    check(&["list", "disable", "known"]);
    check(&["list", "delete", "known"]);
    check(&["serve"]);
    // Reading goes on beside it, and sees what the server has acknowledged.
    server.run(&["list", "add", "known", "--id", "second", "--pdq", &hash]).exits(0);
    place.run(&["match", "--pdq", &hash]).exits(1);
    place.run(&["store", "verify"]).exits(0);
    assert_eq!(place.run(&["list", "show", "known", "--json"]).exits(0).one()["entries"], 2);
}

#[test]
fn the_operator_port_answers_and_requests_are_counted_by_outcome() {
    let place = Place::new();
    place.known();
    let server = Server::start(&place.store, "warn");
    let (known, stranger) = (place.arg("known.jpg"), place.picture("stranger.jpg", 2, Edit::Original));
    assert_eq!(server.get("/healthz"), (200, "alive\n".to_owned()));
    let (status, ready) = server.get("/readyz");
    assert!(status == 200 && ready.starts_with("ready: snapshot "), "{status} {ready}");
    assert_eq!(server.get("/nothing").0, 404);
    let wrong = run(&["--endpoint", &format!("http://{}", server.operator), "list", "show", "known"]);
    wrong.exits(3).says(&["HTTP 404 and not gRPC", "operator"]);
    assert_eq!(server.requests("MatchStream", "match", ""), 0);

    server.run(&["scan", &known, &known, &stranger, &place.broken()]).exits(1);
    server.run(&["match", "--pdq", &pdq(0x11)]).exits(0);
    server.run(&["hash", &known]).exits(0);
    assert_eq!(server.requests("MatchStream", "match", ""), 2);
    assert_eq!(server.requests("MatchStream", "no_match", ""), 2);
    assert_eq!(server.requests("MatchStream", "partial", ""), 1);
    assert_eq!(server.requests("MatchStream", "not_scanned", "too_many_pixels"), 2);
    assert_eq!(server.requests("MatchStream", "not_scanned", "empty"), 1);
    assert_eq!(server.requests("Hash", "hashed", ""), 1);

    let page = server.get("/metrics").1;
    let has = |part: &str| assert!(page.contains(part), "no {part:?} in {page}");
    ["extract", "search"].iter().for_each(|stage| has(&format!("hashwarden_stage_seconds_count{{stage=\"{stage}\"}}")));
    has("hashwarden_list_rows{list=\"known\"} 1\n");
    has("hashwarden_list_age_seconds{list=\"known\"} ");
    has("hashwarden_in_flight 0\n");
    has("hashwarden_snapshot_id ");
    has("hashwarden_index_recall 1\n");
    has("# TYPE hashwarden_requests_total counter");

    server.run(&["list", "delete", "known"]).exits(0);
    let page = server.get("/metrics").1;
    for series in ["hashwarden_list_rows", "hashwarden_list_age_seconds"] {
        assert!(page.contains(&format!("{series}{{list=\"known\"}} NaN\n")), "a list that is gone keeps no number: {page}");
    }
}

#[test]
fn sigterm_ends_a_server_with_0_and_its_store_can_be_opened_again() {
    let place = Place::new();
    place.known();
    let mut server = Server::start(&place.store, "info");
    server.run(&["list", "add", "known", "--id", "late", "--pdq", &pdq(0x11)]).exits(0);
    let (exit, log) = server.terminate();
    assert_eq!(exit, 0, "{log}");
    assert!(log.lines().any(|line| line.contains("draining")), "{log}");
    server.run(&["list", "ls"]).exits(3).says(&["no server answers"]);
    place.run(&["store", "verify"]).exits(0);
    place.run(&["list", "remove", "known", "late"]).exits(0);
}

/// Lists are secrets, and so are the pictures that users send.
#[test]
fn no_log_line_holds_a_hash_or_a_byte_of_a_picture() {
    let place = Place::new();
    place.known();
    let mut server = Server::start(&place.store, "trace");
    let known = place.arg("known.jpg");
    let line = run(&["hash", "--json", &known]).one();
    let mut secrets: Vec<String> = ["pdq", "phash64", "dhash64", "md5", "sha1", "sha256"]
        .iter()
        .map(|kind| line[kind].as_str().unwrap().to_owned())
        .chain(line["pdq_dihedral"].as_object().unwrap().values().map(|hash| hash.as_str().unwrap().to_owned()))
        .collect();
    let given = ["d0c0ffee".repeat(8), "abad1dea".repeat(8), "0badf00d".repeat(4)];
    secrets.extend(given.clone());
    let file = place.write("list.csv", format!("id,pdq\nx1,{}\nx2,{}\n", given[1], &given[1][..60]).as_bytes());

    server.run(&["scan", &known, &place.broken()]).exits(1);
    server.run(&["match", "--pdq", &given[0], "--md5", &given[2]]);
    server.run(&["hash", &known]).exits(0);
    server.run(&["list", "create", "b"]).exits(0);
    server.run(&["list", "add", "b", "--pdq", &given[0], "--md5", &given[2]]).exits(0);
    server.run(&["list", "create", "c"]).exits(0);
    server.run(&["list", "import", "c", &file]).exits(0);
    server.run(&["match", "--pdq", &given[1]]).exits(1);
    let (exit, log) = server.terminate();
    assert_eq!(exit, 0);

    assert!(log.lines().count() > 20, "at level trace there is something to look through: {log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("no JSON: {e}: {line}"));
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    let small = log.to_lowercase();
    for secret in &secrets {
        // A part of it gives it away as well.
        let found = small.find(&secret[..16]).map(|at| &log[at.saturating_sub(200)..(at + 100).min(log.len())]);
        assert_eq!(found, None, "a hash is in the log");
    }
    // What every JPEG and PNG begins with, as debug output would show it.
    ["jfif", "ihdr", "\\x89png"].iter().for_each(|magic| assert!(!small.contains(magic), "bytes of a picture are in the log"));
}
