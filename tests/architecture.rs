//! Do the sources keep to the map? Which room may name which, who may name which crate, where unsafe code may stand.
//!
//! The table is `ORDER` below: a room names only rooms further down, and rooms of one line never name each other. The sources are
//! read as tokens (`architecture/tokens.rs`), so comments, strings and `#[cfg(test)]` code do not count, but for the rules that
//! hold in tests too. What macros expand to is not seen, nor a room reached through another room's `pub use`.

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/tokens.rs"]
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;
use tokens::{Named, Token};

/// The rooms of src/, one line per rank. lib.rs and main.rs together are `main`.
const ORDER: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["demo"],
    &["app"],
    &["config"],
    &["service", "operator", "console", "replication", "feeds", "client"],
    &["admission"],
    &["access"],
    &["matcher", "catalog", "journal"],
    &["sandbox", "store", "snapshot", "lists"],
    &["verdict", "index", "extract"],
    &["views"],
    &["hash"],
    &["decode"],
    &["entry", "arch"],
];

/// Rooms beside the order: (room, who may name it, what it may name).
const BESIDE: &[(&str, &[&str], &[&str])] =
    &[("telemetry", &["app"], &["config", "entry"]), ("proto", &["service", "client", "replication"], &[])];

/// Same input, same output: these rooms see no runtime, file, network, clock or chance.
const PURE: &[&str] = &["entry", "decode", "hash", "views", "extract", "index", "verdict", "snapshot"];

/// Beginnings of paths that no pure room names.
const IMPURE: &[&str] = &[
    "tokio",
    "tonic",
    "prost",
    "rocksdb",
    "axum",
    "tracing",
    "tracing_subscriber",
    "metrics",
    "metrics_exporter_prometheus",
    "config",
    "rand",
    "getrandom",
    "fastrand",
    "tempfile",
    "indicatif",
    "clap",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::os",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::thread::sleep",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
    "std::collections::hash_map::RandomState",
    "std::hash::RandomState",
];

/// Ends of paths that no pure room names, however it came by the beginning.
const IMPURE_ENDS: &[&str] =
    &["File", "File::open", "File::create", "Instant::now", "SystemTime::now", "TcpStream", "TcpListener", "UdpSocket"];

/// Macros that write where nobody reads, or past the room's caller.
const IMPURE_MACROS: &[&str] = &["println", "print", "eprintln", "eprint", "dbg"];

/// (crate, the only places that name it).
const KEPT: &[(&str, &[&str])] = &[
    ("img_hash", &["hash/hash64.rs"]),
    ("image_hasher", &["hash/hash64.rs"]),
    ("rocksdb", &["store/"]),
    ("axum", &["operator", "console"]),
    ("tracing_subscriber", &["telemetry", "config"]),
    ("metrics_exporter_prometheus", &["telemetry"]),
];

/// The one place of src/ where `unsafe` may stand, tests included.
const UNSAFE_IN: &str = "arch/";

/// The one file that makes a gRPC status.
const STATUS_IN: &str = "service/convert.rs";

/// Folders below src/ in which files still name each other in circles: for most, a folder's own file has a type that its parts work on and that
/// has them as its parts.
const CIRCLES: &[&str] = &[
    "arch",
    "catalog",
    "client",
    "decode",
    "decode/probe",
    "demo",
    "demo/generic",
    "index",
    "lists",
    "matcher",
    "service",
    "snapshot",
    "telemetry",
    "telemetry/log",
    "verdict",
    "views",
];

struct Fault {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.file, self.line, self.what)
    }
}

/// The room of a file, by its path under src/: `index/bk_tree/mod.rs` is in `index`, `matcher.rs` is `matcher`.
fn room_of(file: &str) -> &str {
    match file.split('/').next().unwrap_or(file).trim_end_matches(".rs") {
        "lib" => "main",
        room => room,
    }
}

fn rank(room: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&room))
}

fn known(room: &str) -> bool {
    rank(room).is_some() || BESIDE.iter().any(|(name, ..)| *name == room)
}

/// `None` if `from` may name `to`, else why not.
fn refusal(from: &str, to: &str) -> Option<String> {
    if from == to || from == "main" {
        // main tells the process's life; lib.rs declares every room.
        return None;
    }
    if let Some((_, by, _)) = BESIDE.iter().find(|(name, ..)| *name == to) {
        return (!by.contains(&from)).then(|| format!("`{from}` names `{to}`, which only {} may name", by.join(", ")));
    }
    if let Some((_, _, may)) = BESIDE.iter().find(|(name, ..)| *name == from) {
        return (!may.contains(&to)).then(|| {
            format!("`{from}` names `{to}`: it may name {}", if may.is_empty() { "no room".into() } else { may.join(", ") })
        });
    }
    match (rank(from), rank(to)) {
        (Some(a), Some(b)) if a < b => None,
        (Some(a), Some(b)) if a == b => {
            Some(format!("`{from}` names its sibling `{to}`: the glue between siblings lives in a room above both"))
        }
        (Some(_), Some(_)) => Some(format!("`{from}` names `{to}`, which stands above it: let `{to}` hand in what is needed")),
        (known, _) => {
            let stranger = if known.is_none() { from } else { to };
            Some(format!(
                "`{stranger}` is not a room of the table: add it to ORDER in tests/architecture.rs, with its place in the order"
            ))
        }
    }
}

/// All that is wrong with one file. `file` is its path under src/.
fn faults_in(file: &str, source: &str, metrics: &str) -> Vec<Fault> {
    let room = room_of(file);
    let everything = tokens::lex(source);
    let code = tokens::without_tests(&everything);
    let mut faults = Vec::new();
    let mut fault = |line, what| faults.push(Fault { file: file.to_owned(), line, what });

    for token in &everything {
        if token.is("unsafe") && !file.starts_with(UNSAFE_IN) {
            fault(token.line, format!("`unsafe` outside src/{UNSAFE_IN}"));
        }
        for (name, places) in KEPT.iter().filter(|(name, _)| token.is(name) && name.starts_with("im")) {
            if !places.iter().any(|place| file.starts_with(place)) {
                fault(token.line, format!("`{name}` outside {}", places.join(", ")));
            }
        }
    }
    for Named { line, path } in tokens::paths(&code, &module_of(file)) {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        if parts[0] == "crate" {
            match parts.get(1) {
                Some(to) if *to != "*" && *to != "self" => {
                    // lib.rs may re-export from the root; elsewhere a lower-case second part is a room.
                    if let Some(what) = refusal(room, to).filter(|_| to.starts_with(|c: char| c.is_lowercase())) {
                        fault(line, what);
                    }
                }
                _ if room == "main" => {}
                _ => fault(line, "takes the whole crate by one name, which hides what it uses: name the rooms".into()),
            }
            continue;
        }
        let whole = parts.join("::");
        for (name, places) in KEPT.iter().filter(|(name, _)| parts[0] == *name && !name.starts_with("im")) {
            if !places.iter().any(|place| file.starts_with(place)) {
                fault(line, format!("`{name}` outside {}", places.join(", ")));
            }
        }
        let makes_status = |pair: &[&str]| pair[0] == "Status" && pair[1].starts_with(char::is_lowercase);
        if room == "service" && file != STATUS_IN && parts.windows(2).any(makes_status) {
            fault(line, format!("makes a gRPC status outside src/{STATUS_IN}"));
        }
        if PURE.contains(&room) {
            let begins = |p: &&&str| whole == **p || whole.starts_with(&format!("{p}::"));
            let ends = |p: &&&str| whole == **p || whole.ends_with(&format!("::{p}"));
            if let Some(found) = IMPURE.iter().find(begins).or_else(|| IMPURE_ENDS.iter().find(ends)) {
                fault(line, format!("`{room}` is pure and names `{found}`: let the caller hand it in"));
            }
        }
    }
    if PURE.contains(&room) {
        for pair in code.windows(2).filter(|w| w[1].is("!")) {
            if let Some(name) = IMPURE_MACROS.iter().find(|name| pair[0].is(name)) {
                fault(pair[0].line, format!("`{room}` is pure and writes with `{name}!`"));
            }
        }
    }
    if room != "telemetry" {
        for text in code
            .iter()
            .filter_map(Token::string)
            .filter(|t| t.0.starts_with("hashwarden_") && !metrics.contains(&format!("\"{}\"", t.0)))
        {
            fault(text.1, format!("the metric `{}` is not described in src/telemetry.rs", text.0));
        }
    }
    faults
}

/// The module that a file is, below the crate: `index/bk_tree/mod.rs` is index::bk_tree.
fn module_of(file: &str) -> Vec<String> {
    let mut parts: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Every .rs file under `dir`, by its path under src/, in order.
fn sources(root: &Path, dir: &Path, out: &mut Vec<(String, String)>) {
    let mut inside: Vec<_> = fs::read_dir(dir).expect("src/ is readable").map(|e| e.expect("src/ is readable").path()).collect();
    inside.sort();
    for path in inside {
        if path.is_dir() {
            sources(root, &path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(root).expect("below root").to_string_lossy().replace('\\', "/");
            out.push((name, fs::read_to_string(&path).expect("a source is UTF-8")));
        }
    }
}

fn src() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The sources that are not test code, by their paths under src/.
fn all_sources() -> Vec<(String, String)> {
    let root = src();
    let mut all = Vec::new();
    sources(&root, &root, &mut all);
    assert!(all.len() > 3, "no sources found under {}", root.display());
    // A file that is declared under #[cfg(test)] is test code as a whole.
    let tests: BTreeSet<String> = all
        .iter()
        .flat_map(|(file, text)| {
            tokens::test_modules(&tokens::lex(text)).into_iter().map(|m| [module_of(file), vec![m]].concat().join("/"))
        })
        .collect();
    all.retain(|(file, _)| !tests.contains(&module_of(file).join("/")));
    all
}

#[test]
fn the_sources_keep_to_the_map() {
    let all = all_sources();
    let metrics = all.iter().find(|(file, _)| file == "telemetry.rs").map_or("", |(_, text)| text.as_str());
    let said: Vec<_> =
        all.iter().flat_map(|(file, text)| faults_in(file, text, metrics)).map(|fault| fault.to_string()).collect();
    assert!(said.is_empty(), "{} faults against the map:\n{}", said.len(), said.join("\n"));
}

/// By module: the files of a folder with the one that declares them.
fn folder(all: &[(String, String)], folder: &[String]) -> BTreeMap<Vec<String>, Vec<tokens::Token>> {
    let modules = all.iter().map(|(file, text)| (module_of(file), text));
    let inside = modules.filter(|(module, _)| module.starts_with(folder));
    inside.map(|(module, text)| (module, tokens::without_tests(&tokens::lex(text)))).collect()
}

#[test]
fn files_name_each_other_in_no_circle() {
    let all = all_sources();
    let folders: BTreeSet<_> = all
        .iter()
        .flat_map(|(file, _)| {
            let module = module_of(file);
            (1..module.len()).map(|n| module[..n].to_vec()).collect::<Vec<_>>()
        })
        .collect();
    let mut said = Vec::new();
    for name in &folders {
        let found = circles::shortest(&folder(&all, name));
        let (path, is_known) = (name.join("/"), CIRCLES.contains(&name.join("/").as_str()));
        match found {
            Some(_) if is_known => {}
            Some(circle) => {
                let steps = circle.iter().map(|(module, line)| format!("{} (line {line})", module.join("/")));
                said.push(format!("src/{path}: {} -> ...", steps.collect::<Vec<_>>().join(" -> ")));
            }
            None if is_known => said.push(format!("src/{path} has no circle any more: take it out of CIRCLES")),
            None => {}
        }
    }
    assert!(
        said.is_empty(),
        "files that name each other in a circle; move what they share to where each can name it:\n{}",
        said.join("\n")
    );
}

/// The checker itself: what is a circle, and what is none.
#[test]
fn circles_are_found_and_modules_that_only_declare_are_none() {
    let check = |files: &[(&str, &str)], expected: &[&str]| {
        let all: Vec<_> = files.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect();
        let circle = circles::shortest(&folder(&all, &["a".to_owned()])).unwrap_or_default();
        let found: Vec<_> = circle.iter().map(|(module, line)| format!("{}:{line}", module.join("/"))).collect();
        assert_eq!(found, expected, "{files:?}");
    };
    let parent = ("a/mod.rs", "mod b;\nmod c;\npub use b::{B, other};\npub(super) use c::C;");
    check(&[parent, ("a/b.rs", "use super::c::C;"), ("a/c.rs", "pub struct C;")], &[]);
    check(&[parent, ("a/b.rs", "use super::c::C;"), ("a/c.rs", "\nuse super::b::B;")], &["a/b:1", "a/c:2"]);
    check(&[parent, ("a/b.rs", "use super::C;"), ("a/c.rs", "fn f() { crate::a::other() }")], &["a/b:1", "a/c:1"]);
    // The parent has what its part names, and uses the part.
    check(&[("a/mod.rs", "mod b;\nuse b::B;\nstruct A(B);"), ("a/b.rs", "use super::A;")], &["a:2", "a/b:1"]);
    check(&[("a/mod.rs", "mod b;\nstruct A(b::B);"), ("a/b.rs", "fn f(a: &crate::a::A) {}")], &["a:2", "a/b:1"]);
    check(&[("a/mod.rs", "mod b;\npub use b::B;\nstruct A;"), ("a/b.rs", "use super::A;")], &[]);
    // What the parent has from another part is that part's, though it is not shared.
    check(&[("a/mod.rs", "mod b; mod c; use c::C; use b::B;"), ("a/b.rs", "use super::C;"), ("a/c.rs", "")], &[]);
    check(&[("a/mod.rs", ""), ("a/b.rs", "#[cfg(test)] mod tests { use crate::a::c::C; }"), ("a/c.rs", "use super::b::B;")], &[]);
    check(
        &[
            ("a.rs", "mod b; mod c; mod d;"),
            ("a/b.rs", "use super::c::C;"),
            ("a/c.rs", "use super::d::D;"),
            ("a/d.rs", "use super::b::B;"),
        ],
        &["a/b:1", "a/c:1", "a/d:1"],
    );
}

#[test]
fn every_room_is_in_the_table() {
    let mut rooms = BTreeSet::new();
    for entry in fs::read_dir(src()).expect("src/ is readable") {
        let name = entry.expect("src/ is readable").file_name().to_string_lossy().into_owned();
        if name != "ARCHITECTURE.md" {
            rooms.insert(room_of(&name).to_owned());
        }
    }
    for room in &rooms {
        assert!(
            known(room),
            "src/{room} is not in the table. Try to do without a new room; if it stays, give it a place in ORDER (tests/architecture.rs) and a line in src/ARCHITECTURE.md"
        );
    }
    if let Ok(page) = fs::read_to_string(src().join("ARCHITECTURE.md")) {
        for room in &rooms {
            let named = page.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == room);
            assert!(named, "src/ARCHITECTURE.md does not name the room `{room}`");
        }
    }
}

/// The checker itself: what it must catch.
#[test]
fn each_broken_rule_is_caught() {
    let check = |file: &str, source: &str, expected: &str| {
        let found: Vec<String> = faults_in(file, source, "").iter().map(Fault::to_string).collect();
        assert!(found.iter().any(|f| f.contains(expected)), "{file}: {source:?}\n  expected {expected:?}, found {found:?}");
    };
    let above = "stands above it";
    let sibling = "names its sibling";
    check("hash/pdq.rs", "use crate::extract::Wants;", above);
    check("hash/pdq.rs", "use crate::{entry::Pdq, index::Hit};", above);
    check("hash/pdq.rs", "use crate::{\n    entry::{Pdq, Bits},\n    decode,\n    matcher as m,\n};", above);
    check("hash/pdq.rs", "pub use crate::store::*;", above);
    check("hash/pdq.rs", "fn f() { let x = crate::matcher::submit(); }", above);
    check("hash/pdq.rs", "fn f(x: &crate :: matcher :: Job) {}", above);
    check("hash/pdq.rs", "use super::super::catalog::Catalog;", above);
    check("hash/mod.rs", "use super::catalog::Catalog;", above);
    check("hash/mod.rs", "mod inner { use super::super::catalog::Catalog; }", above);
    check("extract.rs", "fn f() { super::store::open() }", above);
    check("extract.rs", "use super::{entry::Pdq, store::Store};", above);
    check("extract.rs", "use ::hashwarden::store::Store;", above);
    check("extract.rs", "macro_rules! m { () => { $crate::store::open() } }", above);
    check("entry.rs", "use crate::decode::Limits;", above);
    check("matcher.rs", "use crate::service::Service;", above);
    check("config.rs", "use crate::app::App;", above);
    check("index/mod.rs", "use crate::verdict::judge;", sibling);
    check("store/keys.rs", "use crate::snapshot::Snapshot;", sibling);
    check("catalog/mod.rs", "use crate::{matcher};", sibling);
    check("operator.rs", "use crate::service::Service;", sibling);
    check("service/mod.rs", "use crate::telemetry;", "only app may name");
    check("cli/mod.rs", "use crate::telemetry::init;", "only app may name");
    check("matcher.rs", "use crate::proto::v1::MatchItem;", "only service, client, replication may name");
    check("telemetry.rs", "use crate::catalog::Catalog;", "it may name config");
    check("proto.rs", "use crate::entry::Pdq;", "it may name no room");
    check("app.rs", "use crate::attic::Box;", "not a room of the table");
    check("app.rs", "use crate::*;", "whole crate");
    check("app.rs", "use crate as house;", "whole crate");
    check("app.rs", "use crate::{self as house};", "whole crate");
    check("app.rs", "use super::*;", "whole crate");
    check("hash/mod.rs", "use img_hash::HashAlg;", "`img_hash` outside");
    check("hash/mod.rs", "#[cfg(test)] mod tests { fn f() { img_hash::new() } }", "`img_hash` outside");
    check("catalog/mod.rs", "fn f(db: &rocksdb::DB) {}", "`rocksdb` outside");
    check("app.rs", "use axum::Router;", "`axum` outside");
    check("index/linear.rs", "fn f() { unsafe { g() } }", "`unsafe` outside");
    check("index/linear.rs", "#[cfg(test)] mod tests { fn f() { unsafe { g() } } }", "`unsafe` outside");
    check("index/mod.rs", "use std::fs::File;", "names `std::fs`");
    check("index/mod.rs", "use std::{fmt, fs};", "names `std::fs`");
    check("index/mod.rs", "use std::{\n  io::{self, Read},\n  net::TcpStream,\n};", "names `std::net`");
    check("index/mod.rs", "fn f() { File::open(p) }", "names `File");
    check("decode/mod.rs", "let t = Instant::now();", "names `Instant::now`");
    check("decode/mod.rs", "let t = std::time::Instant::now();", "names `Instant::now`");
    check("decode/mod.rs", "use std::time::{Instant, SystemTime};", "names `std::time::SystemTime`");
    check("verdict.rs", "tracing::info!(\"x\");", "names `tracing`");
    check("verdict.rs", "metrics::counter!(\"x\");", "names `metrics`");
    check("snapshot/mod.rs", "async fn f() { tokio::spawn(g()); }", "names `tokio`");
    check("snapshot/mod.rs", "use getrandom::fill;", "names `getrandom`");
    check("snapshot/mod.rs", "fn f() { eprintln!(\"x\") }", "writes with `eprintln!`");
    check("snapshot/mod.rs", "fn f() { /* a /* nested */ comment */ dbg!(1); }", "writes with `dbg!`");
    check("entry.rs", "const A: &str = \"//\"; use crate::store::X;", above);
    check("entry.rs", "const A: &str = r#\"\"quoted\"\"#; use crate::store::X;", above);
    check("entry.rs", "const A: char = '\"'; use crate::store::X; const B: char = '\\'';", above);
    check("entry.rs", "fn f<'a>(x: &'a str) {} use crate::store::X;", above);
    check("entry.rs", "#[cfg(test)] use crate::index::X; use crate::store::X;", "`store`");
    check("entry.rs", "#[cfg(test)] mod tests { fn f() { \"}\" } } use crate::store::X;", "`store`");
    check("entry.rs", "#[cfg(not(test))] use crate::store::X;", "`store`");
    check("service/matching.rs", "return Err(Status::invalid_argument(\"x\"));", "makes a gRPC status");
    check("matcher.rs", "metrics::counter!(\"hashwarden_surprises_total\").increment(1);", "not described");
}

/// The checker itself: what it must let pass.
#[test]
fn sound_sources_are_let_pass() {
    let check = |file: &str, source: &str| {
        let found: Vec<String> = faults_in(file, source, "\"hashwarden_in_flight\"").iter().map(Fault::to_string).collect();
        assert!(found.is_empty(), "{file}: {source:?}\n  found {found:?}");
    };
    check("hash/pdq.rs", "use crate::{decode::LumaPlane, entry::{Bits, Pdq}};");
    check("hash/pdq.rs", "use super::Luma64; use super::super::entry::Pdq; use crate::hash::digest;");
    check("hash/hash64.rs", "use img_hash::HashAlg;");
    check("index/mod.rs", "mod tests_are_inline { use super::*; } pub use self::linear::Linear;");
    check(
        "index/mod.rs",
        "#[cfg(test)]\n#[allow(dead_code)]\nmod tests { use crate::store::X; fn f() { std::fs::read(p); println!(\"\"); } }",
    );
    check("index/mod.rs", "#[cfg(all(test, unix))] use crate::store::X;");
    check(
        "index/mod.rs",
        "#[cfg(test)] fn f<A, B>() { crate::store::open() } struct S { #[cfg(test)] a: crate::store::X, b: u8 }",
    );
    check(
        "index/mod.rs",
        "//! crate::store\n/// std::fs::File\n/* tokio::spawn */ const A: &str = \"crate::store::X; Instant::now()\";",
    );
    check("arch/mod.rs", "unsafe fn f() {}");
    check("extract.rs", "use std::time::Instant; fn f(now: fn() -> Instant) -> Instant { (now)() }");
    check("extract.rs", "use std::io::{self, BufRead}; pub(crate) fn f() {} pub(in crate::extract) fn g() {}");
    check(
        "snapshot/mod.rs",
        "use crate::{index, verdict::judge, entry::*}; fn f() { rayon::join(a, b); let config = 1; config.len(); }",
    );
    check("app.rs", "use crate::telemetry; use crate::{config::Config, service, operator, catalog};");
    check("telemetry.rs", "use crate::config::Log;");
    check(
        "service/matching.rs",
        "use crate::proto::v1; use crate::{matcher::Matcher, access}; fn f() -> Result<(), tonic::Status> { convert::status(e) }",
    );
    check("service/convert.rs", "fn f() -> Status { Status::invalid_argument(\"x\") }");
    check("client.rs", "use crate::{proto, entry};");
    check("matcher.rs", "metrics::gauge!(\"hashwarden_in_flight\").set(1.0); tracing::info!(\"x\");");
    check("lib.rs", "pub mod store; pub mod telemetry; pub use crate::store::X;");
    check("main.rs", "use hashwarden::cli; fn main() { hashwarden::cli::run() }");
    check("store/mod.rs", "use rocksdb::DB; use std::fs; use crate::entry::{Change, ChangeOp};");
}
