//! The same verbs through `--endpoint`, and the server as whoever runs it sees it.

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hashwarden::demo::edits::Edit;
use hashwarden::demo::pictures::draw;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::{Value, json};

use super::*;

/// A server on free ports; it is killed with the test unless it was ended.
pub struct Server {
    child: Child,
    pub endpoint: String,
    operator: String,
    log: Log,
}

/// What a server wrote to standard error so far: taken while it runs, so that it never waits for a reader.
struct Log {
    text: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Log {
    fn of(child: &mut Child) -> Self {
        Log::reading(child.stderr.take())
    }

    fn reading(stderr: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let taken = text.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
                let mut taken = taken.lock().unwrap();
                taken.push_str(&line.unwrap());
                taken.push('\n');
            }
        });
        Log { text, reader: Some(reader) }
    }

    /// The first line with this message, once it is there.
    fn line(&self, message: &str) -> Value {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let text = self.text.lock().unwrap().clone();
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = lines.find(|line| line["message"] == message) {
                return line;
            }
            assert!(Instant::now() < end, "no {message:?} in {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All of it, once the process has ended.
    fn whole(&mut self) -> String {
        self.reader.take().unwrap().join().unwrap();
        self.text.lock().unwrap().clone()
    }
}

/// The server's command, on free ports, with a JSON log.
fn serve(store: &str, level: &str) -> Command {
    let mut command = hashwarden(&["serve", "--store", store]);
    command.env("HASHWARDEN__GRPC__LISTEN", "127.0.0.1:0").env("HASHWARDEN__OPERATOR__LISTEN", "127.0.0.1:0");
    command.env("HASHWARDEN__LOG__LEVEL", level).env("HASHWARDEN__LOG__FORMAT", "json");
    command
}

impl Server {
    pub fn start(store: &str, level: &str) -> Self {
        Server::spawned(&mut serve(store, level))
    }

    /// With more in its environment.
    pub fn start_with(store: &str, level: &str, environment: &[(&str, &str)]) -> Self {
        Server::spawned(serve(store, level).envs(environment.iter().copied()))
    }

    fn spawned(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Log::of(&mut child);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = |before: &str| {
            let from = line.find(before).unwrap_or_else(|| panic!("no {before:?} in {line:?}")) + before.len();
            line[from..].split(',').next().unwrap().to_owned()
        };
        let endpoint = format!("http://{}", address("gRPC on "));
        let operator = address("operator port on ");
        Server { child, endpoint, operator, log }
    }

    /// One that does not get as far as being ready: only its operator port answers.
    fn starting(store: &str) -> Self {
        let mut child = serve(store, "info").spawn().unwrap();
        let log = Log::of(&mut child);
        let operator = log.line("starting: the operator port is open")["operator"].as_str().unwrap().to_owned();
        Server { child, endpoint: String::new(), operator, log }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        run(&[&["--endpoint", &self.endpoint], args].concat())
    }

    /// Status and body of a page of the operator port.
    pub fn get(&self, path: &str) -> (u16, String) {
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

    /// Waits for a line of the log.
    pub fn logged(&self, message: &str) -> Value {
        self.log.line(message)
    }

    /// SIGTERM, and then its exit code and its log.
    pub fn terminate(&mut self) -> (i32, String) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        let end = Instant::now() + Duration::from_secs(60);
        let exit = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < end, "SIGTERM did not end it");
            std::thread::sleep(Duration::from_millis(10));
        };
        (exit, self.log.whole())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// A command's end, without what depends on the clock, the machine and the store's key.
fn timeless(ran: &Ran) -> (i32, Vec<String>, String) {
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut object)) => {
            for field in [
                "updated_ms",
                "imported_ms",
                "time_ms",
                "version_ms",
                "snapshot_ms",
                "snapshot",
                "seconds",
                "resident_bytes_peak",
                "digest",
            ] {
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

/// The picture is drawn on here, of the file at hand, whoever looked it up.
#[test]
fn a_match_is_drawn_the_same_through_a_server() {
    let place = Place::new();
    place.known();
    let (file, here, there) = (place.arg("crop.png"), place.arg("here.png"), place.arg("there.png"));
    place.run(&["list", "set", "known", "--views", "extended"]).exits(0);
    image::imageops::crop_imm(&draw(1, 320, 240), 13, 10, 294, 220).to_image().save(&file).unwrap();
    let local = place.run(&["match", "--draw", &here, &file]).exits(1).out;
    let server = Server::start(&place.store, "warn");
    assert_eq!(server.run(&["match", "--draw", &there, &file]).exits(1).out, local);
    assert_eq!(std::fs::read(&here).unwrap(), std::fs::read(&there).unwrap());
    std::fs::remove_file(&there).unwrap();
    server.run(&["match", "--draw", &there, "--views", "whole", &file]).exits(0).says(&["was not written"]);
    assert!(!std::path::Path::new(&there).exists());
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
        (
            &[
                "set",
                "a",
                "--action",
                "A1:all=BLOCK",
                "--shadow",
                "on",
                "--owner",
                "T&S",
                "--legal-basis",
                "DSA",
                "--provenance",
                "x",
            ],
            0,
        ),
        (&["set", "a", "--action", "A1:all=none", "--shadow", "off"], 0),
        (&["set", "a", "--action", "A1:pdq=none"], 2),
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
        (&["as-of", "a", "--at", "0s", "--pdq", &one], 1),
        (&["as-of", "a", "--snapshot", "9999", "--pdq", &one], 2),
        (&["as-of", "a", "--at", "2020-01-01", "--pdq", &one], 3),
        (&["as-of", "a", "--snapshot", "1"], 2),
        (&["overlap", "a", "a"], 0),
        (&["overlap", "a", "n", "--radius", "256"], 0),
        (&["overlap", "a", "n", "--radius", "257"], 2),
        (&["overlap", "a", "n", "--kind", "md5"], 2),
        (&["overlap", "a", "nowhere"], 3),
        (&["activate", "a", "2"], 0),
        (&["activate", "a", "9"], 3),
        (&["rollback", "a"], 0),
        (&["add", "a", "--id", "y1", "--category", "A1", "--pdq", &three, "--md5", "9e107d9d372bb6826bd81d3542a419d6"], 0),
        (&["add", "a", "--id", "y1", "--category", "A1", "--pdq", &three, "--md5", "9e107d9d372bb6826bd81d3542a419d6"], 0),
        (&["add", "a", "--pdq", "zz"], 2),
        (&["add", "nowhere", "--pdq", &one], 3),
        (&["remove", "a", "y1", "nobody"], 3),
        (&["remove", "a", "x3"], 0),
        (&["disable", "a"], 0),
        (&["ls"], 0),
        (&["enable", "a"], 0),
        (&["versions", "a"], 0),
        (&["versions", "nowhere"], 3),
        (&["delete", "n", "--yes"], 0),
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
        here.run(&["list", "delete", "a", "--yes"]).exits(0);
        server.run(&["list", "delete", "a", "--yes"]).exits(0);
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
    check(&["list", "delete", "known", "--yes"]);
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
    has("\nhashwarden_index_recall 1\n");
    has("# TYPE hashwarden_requests_total counter");

    has("hashwarden_call_seconds_count{method=\"MatchStream\"} ");
    has("hashwarden_connections ");
    has("hashwarden_threads_stuck{pool=\"extract\"} 0\n");
    has("process_resident_memory_bytes ");
    has("process_cpu_seconds_total ");
    let bytes = page.lines().find_map(|line| line.strip_prefix("hashwarden_store_bytes ")).unwrap();
    assert!(bytes.parse::<f64>().unwrap() > 1000.0, "{bytes}");

    // Calls about lists are counted too.
    server.run(&["list", "show", "known"]).exits(0);
    server.run(&["list", "show", "nowhere"]).exits(3);
    assert_eq!(server.requests("GetHashList", "ok", ""), 1);
    assert_eq!(server.requests("GetHashList", "error", "not_found"), 1);

    server.run(&["list", "delete", "known", "--yes"]).exits(0);
    let page = server.get("/metrics").1;
    assert!(!page.contains("list=\"known\""), "a list that is gone has no series: {page}");
}

/// The process was deaf and mute until its store was open: a supervisor that asked for its health killed it, again and again.
#[test]
fn while_the_store_opens_the_operator_port_says_so_and_sigterm_is_heard() {
    let place = Place::new();
    place.known();
    // A store on a disk that does not answer: opening it waits for what writes to this pipe.
    let (head, kept) = (place.path("store/HEAD"), place.path("kept"));
    std::fs::rename(&head, &kept).unwrap();
    assert!(Command::new("mkfifo").arg(&head).status().unwrap().success());

    let mut server = Server::starting(&place.store);
    assert_eq!(server.get("/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(server.get("/readyz"), (503, "not ready: loading, no snapshot is live yet\n".to_owned()));
    let (status, page) = server.get("/metrics");
    assert!(status == 200 && page.contains("hashwarden_build_info{"), "{page}");
    let (exit, log) = server.terminate();
    assert_eq!(exit, 0, "{log}");
    assert!(log.contains("stopped while starting"), "{log}");

    let server = Server::starting(&place.store);
    assert_eq!(server.get("/readyz").0, 503);
    let mut pipe = File::options().write(true).open(&head).unwrap();
    let text = std::fs::read(&kept).unwrap();
    std::fs::rename(&kept, &head).unwrap();
    pipe.write_all(&text).unwrap();
    drop(pipe);
    server.log.line("serving");
    assert_eq!(server.get("/readyz").0, 200);
}

/// A disk that was full, or a log collector that was gone, took the service with it.
#[test]
fn a_log_that_can_not_be_written_stops_nobody() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    for stderr in [full as fn() -> Stdio, closed] {
        let place = Place::new();
        let mut server = Server::spawned(serve(&place.store, "debug").stderr(stderr()));
        server.run(&["list", "create", "a"]).exits(0);
        server.run(&["scan", &place.broken()]).exits(4);
        let page = server.get("/metrics").1;
        let lost = page.lines().find_map(|line| line.strip_prefix("hashwarden_log_lines_lost_total ")).unwrap();
        assert!(lost.parse::<u64>().unwrap() > 0, "{lost}");
        assert_eq!(server.terminate().0, 0);
        // Every verb, also where it fails.
        for (verb, exit) in [(&["list", "show", "nowhere"][..], 3), (&["list", "ls"], 0), (&["hash", "/nowhere"], 3)] {
            let mut command = hashwarden(&[&["--store", &place.store], verb].concat());
            assert_eq!(ended(command.stderr(stderr())).exit, exit, "{verb:?}");
        }
    }
}

/// A pipe without room, and its reader, who does not read.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// The same with room for the lines of a start.
fn nearly_full_pipe() -> (PipeReader, PipeWriter) {
    let (mut reader, writer) = full_pipe();
    reader.read_exact(&mut [0; 8192]).unwrap();
    (reader, writer)
}

/// A collector that hung took the service with it: 182 look-ups at debug and nothing answered any more, nor did SIGTERM end it.
#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let place = Place::new();
    let broken = place.broken();
    let (reader, writer) = nearly_full_pipe();
    let mut command = serve(&place.store, "info,hashwarden=debug");
    let mut server = Server::spawned(command.env("HASHWARDEN__LOG__QUEUE_BYTES_MAX", "4096").stderr(writer));
    drop(command); // it holds the pipe too
    let edit = |n: u32| server.run(&["list", "add", "a", "--id", &format!("e{n}"), "--md5", &format!("{:032x}", n + 1)]).exits(0);
    let lost = || {
        let page = server.get("/metrics").1;
        page.lines().find_map(|line| line.strip_prefix("hashwarden_log_lines_lost_total ")?.parse().ok()).unwrap_or(0)
    };
    server.run(&["list", "create", "a"]).exits(0);
    let waiting = r#"hashwarden_limit_in_use{limit="log.queue_bytes_max"} "#;
    let waiting = || server.get("/metrics").1.lines().find_map(|line| line.strip_prefix(waiting)?.parse::<u64>().ok()).unwrap();
    // A burst of lines can be too much for the queue while the pipe has room: then they are lost, and soon none waits.
    let is_full = || {
        let before = waiting();
        std::thread::sleep(Duration::from_millis(200));
        before > 0 && waiting() == before
    };
    let mut edits = 0;
    while lost() == 0 || !is_full() {
        assert!(edits < 500, "more than the pipe and the queue hold");
        edit(edits);
        server.run(&["scan", &broken]).exits(4);
        edits += 1;
    }
    assert!((1..=4096).contains(&waiting()), "{}", waiting());
    assert_eq!((server.get("/healthz").0, server.get("/readyz").0), (200, 200));

    // Read again, it holds all that was kept, in order, and says that something is missing.
    let log = Log::reading(Some(reader));
    let told = log.line("log lines were dropped: they were not read in time");
    assert!(told["dropped"].as_u64().unwrap() > 0, "{told}");
    let counted: u64 = lost();
    edit(edits);
    log.line("a list was edited");
    assert_eq!(lost(), counted, "read, it loses nothing");
    let text = log.text.lock().unwrap().clone();
    let messages = ["starting: the operator port is open", "serving", "log lines were dropped: they were not read in time"];
    let at = messages.map(|message| text.find(message).unwrap());
    assert!(at.is_sorted(), "{text}");
    assert_eq!(server.terminate().0, 0);
}

#[test]
fn sigterm_ends_a_server_whose_log_and_whose_output_nobody_reads() {
    // Its log: it drains, and gives the reader up.
    let place = Place::new();
    let (reader, writer) = nearly_full_pipe();
    let mut server = Server::spawned(serve(&place.store, "info,hashwarden=debug").stderr(writer));
    let files: Vec<String> = (0..200).map(|n| place.write(&format!("f/{n}"), b"no picture")).collect();
    server.run(&[&["scan"], &files.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat()).exits(4);
    assert_eq!(server.terminate().0, 0);
    drop(reader);

    // Its output, where it says its addresses: it serves nevertheless.
    let place = Place::new();
    let (reader, writer) = full_pipe();
    let mut child = serve(&place.store, "info").stdout(writer).spawn().unwrap();
    let log = Log::of(&mut child);
    let address = |message: &str, field: &str| log.line(message)[field].as_str().unwrap().to_owned();
    let operator = address("starting: the operator port is open", "operator");
    let endpoint = format!("http://{}", address("serving", "grpc"));
    let mut server = Server { child, endpoint, operator, log };
    server.run(&["list", "ls"]).exits(0);
    let (exit, log) = server.terminate();
    assert!(exit == 0 && log.contains("\"stopped\""), "{exit} {log}");
    drop(reader);
}

/// Who did what to which list is in the log of a service at its default level.
#[test]
fn changes_are_logged_with_who_and_what() {
    let place = Place::new();
    let mut server = Server::start(&place.store, "info");
    let (one, two) = (pdq(0x11), pdq(0x22));
    let first = place.write("first.csv", format!("id,pdq\nx1,{one}\nx2,{two}\n").as_bytes());
    let second = place.write("second.csv", format!("id,pdq\nx1,{one}\n").as_bytes());
    let useless = place.write("useless.csv", b"id,name\nx,y\n");
    let verbs: &[&[&str]] = &[
        &["create", "a"],
        &["set", "a", "--radius", "20", "--action", "BLOCK"],
        &["set", "a", "--radius", "20"],
        &["disable", "a"],
        &["enable", "a"],
        &["import", "a", &first],
        &["import", "a", &first],
        &["import", "a", &second, "--stage"],
        &["import", "a", &second, "--dry-run"],
        &["activate", "a", "2"],
        &["rollback", "a"],
        &["add", "a", "--id", "x3", "--pdq", &pdq(0x33)],
        &["remove", "a", "x3"],
        &["delete", "a", "--yes"],
    ];
    for verb in verbs {
        server.run(&[&["list"], *verb].concat()).exits(0);
    }
    server.run(&["list", "create", "b"]).exits(0);
    server.run(&["list", "import", "b", &useless]).exits(3);
    server.run(&["list", "import", "b", &second]).exits(0);
    let bad = place.write("bad.csv", format!("id,pdq\nx1,zz\nx2,{two}\n").as_bytes());
    server.run(&["list", "import", "b", &bad]).exits(3);
    let (exit, log) = server.terminate();
    assert_eq!(exit, 0);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<_> = lines.iter().filter(|line| line["list"] == "a").collect();
    let expected = [
        ("a list was created", json!({"polarity": "positive"})),
        (
            "a list's policy was changed",
            json!({"changes": "pdq radius 31 to 20; pdq action REVIEW to BLOCK; md5 action REVIEW to BLOCK; sha1 action REVIEW to BLOCK; sha256 action REVIEW to BLOCK; photodna action REVIEW to BLOCK"}),
        ),
        ("a list was disabled", json!({})),
        ("a list was enabled", json!({})),
        ("a version was activated", json!({"version": 1, "before": 0, "rows": 2})),
        (
            "a file was imported and is active",
            json!({"file": "first.csv", "source": "import", "version": 1, "rows": 2, "rows_bad": 0, "added": 2}),
        ),
        (
            "a file was imported and changes nothing",
            json!({"file": "first.csv", "source": "import", "version": 1, "unchanged": 2}),
        ),
        (
            "a file was imported and is not active",
            json!({"file": "second.csv", "source": "import", "version": 2, "gone": 1, "unchanged": 1}),
        ),
        ("a version was activated", json!({"version": 2, "before": 1, "rows": 1})),
        ("a version was activated", json!({"version": 1, "before": 2, "rows": 2})),
        ("a list was edited", json!({"version": 3, "added": 1, "removed": 0})),
        ("a list was edited", json!({"version": 4, "added": 0, "removed": 1})),
        ("a list was deleted", json!({"version": 4, "rows": 2})),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (line, (message, fields)) in said.iter().zip(&expected) {
        assert_eq!((&line["message"], &line["level"], &line["by"]), (&json!(message), &json!("INFO"), &json!("grpc:127.0.0.1")));
        assert!(line["timestamp"].is_string());
        for (field, value) in fields.as_object().unwrap() {
            assert_eq!(&line[field], value, "{field} of {line}");
        }
    }
    let failed = lines.iter().find(|line| line["list"] == "b" && line["message"] == "a file was not imported").unwrap();
    assert_eq!((&failed["level"], &failed["by"]), (&json!("INFO"), &json!("grpc:127.0.0.1")));
    let held =
        lines.iter().find(|line| line["list"] == "b" && line["message"] == "a file was imported and is not active").unwrap();
    assert_eq!(held["held"], "bad_rows");
    // The process's own life, and that the first indexes were built at its own priority.
    let about =
        |message: &str| lines.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("no {message:?}: {log}"));
    assert_eq!(about("starting: the operator port is open")["version"], env!("CARGO_PKG_VERSION"));
    about("the store is open");
    assert_eq!(about("the indexes are built")["nice"], rustix::process::getpriority_process(None).unwrap());
    about("serving");
    assert_eq!(about("draining")["signal"], "SIGTERM");
    about("stopped");
}

/// A list that its owner sends every day and that did not change for a month looked a month old.
#[test]
fn a_lists_age_counts_from_its_last_successful_import() {
    let place = Place::new();
    let server = Server::start(&place.store, "warn");
    let (one, two) = (pdq(0x11), pdq(0x22));
    let file = place.write("list.csv", format!("id,pdq\nx1,{one}\n").as_bytes());
    let other = place.write("other.csv", format!("id,pdq\nx1,{one}\nx2,{two}\n").as_bytes());
    let useless = place.write("useless.csv", b"id,name\nx,y\n");
    let show = || server.run(&["list", "show", "a", "--json"]).exits(0).one();
    let now_ms = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as f64;
    // The metric agrees with what the list says of itself.
    let checked = |from: &str| {
        let (info, before) = (show(), now_ms());
        let page = server.get("/metrics").1;
        let age = page.lines().find_map(|line| line.strip_prefix("hashwarden_list_age_seconds{list=\"a\"} "));
        let (since, age) = (info[from].as_f64().unwrap(), age.unwrap().parse::<f64>().unwrap() * 1000.0);
        assert!((before - since..=now_ms() - since).contains(&age), "{age} ms since {from} {since}");
        (info["imported_ms"].as_u64().unwrap(), info["updated_ms"].as_u64().unwrap())
    };
    server.run(&["list", "create", "a"]).exits(0);
    assert!(!server.get("/metrics").1.contains("hashwarden_list_age_seconds{list=\"a\"}"), "an empty list has no age");
    server.run(&["list", "add", "a", "--id", "x1", "--pdq", &one]).exits(0);
    assert_eq!(checked("updated_ms").0, 0);

    // It changes nothing, and is news all the same.
    server.run(&["list", "import", "a", &file]).exits(0);
    let (first, updated) = checked("imported_ms");
    assert!(first > updated);
    server.run(&["list", "import", "a", &file]).exits(0);
    let (second, same) = checked("imported_ms");
    assert!(second > first && same == updated, "{first} {second} {updated} {same}");

    // An edit is no import; nor is a file that fails, one that is only tried, or one that no look-up sees.
    server.run(&["list", "add", "a", "--id", "x3", "--pdq", &pdq(0x33)]).exits(0);
    server.run(&["list", "import", "a", &useless]).exits(3);
    server.run(&["list", "import", "a", &other, "--dry-run"]).exits(0);
    server.run(&["list", "import", "a", &other, "--stage"]).exits(0);
    assert_eq!(checked("imported_ms").0, second);
    // Once it is activated it is as old as its import.
    let version = show()["head_version"].to_string();
    server.run(&["list", "activate", "a", &version]).exits(0);
    let (third, updated) = checked("imported_ms");
    assert!(third > second && third == updated, "{second} {third} {updated}");
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

/// A server that goes in the middle of a call was once told as "h2 protocol error", and no more.
#[test]
fn a_connection_that_breaks_is_told_in_words() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap(); // HTTP/2 begins with SETTINGS, here empty
        stream.read_exact(&mut [0; 24]).unwrap(); // the client's preface
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).unwrap();
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            stream.read_exact(&mut vec![0; length]).unwrap();
            if head[3] == 1 {
                return; // the call's headers: the server is gone before it answers
            }
        }
    });
    let ran = run(&["--endpoint", &endpoint, "list", "ls"]).exits(3);
    let ran = ran.says(&["the connection to the server broke before the answer came", "/readyz on its operator port"]);
    assert!(!ran.err.contains("h2 protocol error"), "{}", ran.err);
    server.join().unwrap();
}

/// "the store failed" is in the log under the call that met it: which list it was about is said there.
#[test]
fn a_call_s_log_names_its_list() {
    let place = Place::new();
    let mut server = Server::start(&place.store, "debug");
    let verbs: [&[&str]; 5] = [
        &["create", "a"],
        &["add", "a", "--id", "x", "--pdq", &pdq(0x11)],
        &["versions", "a"],
        &["show", "a"],
        &["activate", "a", "9"],
    ];
    verbs.iter().for_each(|verb| drop(server.run(&[&["list"], *verb].concat())));
    let (_, log) = server.terminate();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for method in ["CreateHashList", "AddEntries", "ListHashListVersions", "GetHashList", "ActivateVersion"] {
        let named = lines.iter().any(|line| line["span"]["method"] == method && line["span"]["list"] == "a");
        assert!(named, "{method} in {log}");
    }
}

/// The metric was 1 before anything was proven, as if all were well.
#[test]
fn recall_is_told_once_an_index_was_proven() {
    let place = Place::new();
    let server = Server::start(&place.store, "info");
    let recall = || {
        let page = server.get("/metrics").1;
        page.lines().find_map(|line| line.strip_prefix("hashwarden_index_recall ")).map(str::to_owned)
    };
    assert_eq!(recall(), None);
    server.run(&["list", "create", "a"]).exits(0);
    // A handful is scanned, without an index.
    server.run(&["list", "add", "a", "--pdq", &pdq(0x11)]).exits(0);
    assert_eq!(recall(), None);
    let rows = (1..10_001u32).map(|n| format!("{n},{n:032x}\n")).collect::<String>();
    server.run(&["list", "import", "a", &place.write("many.csv", format!("id,md5\n{rows}").as_bytes()), "--accept"]).exits(0);
    assert_eq!(recall().as_deref(), Some("1"));
}

#[test]
fn the_most_memory_is_told_at_start() {
    let place = Place::new();
    let set = [
        ("HASHWARDEN__EXTRACT__THREADS", "3"),
        ("HASHWARDEN__GRPC__CALLS_MAX", "8192"),
        ("HASHWARDEN__GRPC__CONNECTIONS_MAX", "100"),
        ("HASHWARDEN__GRPC__RECEIVE_BYTES_MAX", "104857600"),
    ];
    let server = Server::start_with(&place.store, "info", &set);
    let line = server.log.line("the most memory that the limits allow, besides the lists' indexes and the store's caches");
    let parts =
        ["receiving", "streams", "connections", "calls", "queue", "decoding", "workers", "views", "feeds", "log", "total"]
            .map(|part| line[format!("{part}_mib")].as_u64());
    assert_eq!(parts, [100, 256, 200, 1024, 512, 1536, 360, 108, 512, 16, 4624].map(Some));
}
