//! Does the command line do what its users are told, run as they run it?
//!
//! Every test starts the real binary on a store of its own. Pictures, edits and lists come from `hashwarden::demo`. Where
//! `HASHWARDEN_SHARED` names the folder of reference data, its files are read too; else those tests say that they skip.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

#[path = "cli/access.rs"]
mod access;
mod certificates;
#[path = "cli/corrections.rs"]
mod corrections;
#[path = "cli/disk.rs"]
mod disk;
#[path = "cli/entries.rs"]
mod entries;
#[path = "cli/exchange.rs"]
mod exchange;
#[path = "cli/lists.rs"]
mod lists;
#[path = "cli/server.rs"]
mod server;
#[path = "cli/shared.rs"]
mod shared;
#[path = "cli/store.rs"]
mod store;
#[path = "cli/tls.rs"]
mod tls;
#[path = "cli/verdicts.rs"]
mod verdicts;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hashwarden::demo::edits::{Edit, broken};
use hashwarden::demo::pictures::draw;
use serde_json::Value;
use tempfile::TempDir;

/// How a command ended and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ran {
    exit: i32,
    out: String,
    err: String,
}

impl Ran {
    /// Fails where the exit code is another.
    #[track_caller]
    fn exits(self, expected: i32) -> Ran {
        assert_eq!(self.exit, expected, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// Fails where standard error lacks one of the words.
    #[track_caller]
    fn says(self, words: &[&str]) -> Ran {
        words.iter().for_each(|w| assert!(self.err.contains(w), "no {w:?} in: {}", self.err));
        self
    }

    /// Each line of standard output as JSON.
    fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The one line there is, as JSON.
    #[track_caller]
    fn one(&self) -> Value {
        let mut lines = self.json();
        assert_eq!(lines.len(), 1, "{}", self.out);
        lines.remove(0)
    }
}

/// A command without a configuration from around the tests.
fn hashwarden(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hashwarden"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HASHWARDEN__")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> Ran {
    ended(&mut hashwarden(args))
}

fn ended(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        // Ended by a signal: no exit code that a test expects.
        exit: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run_with_input(args: &[&str], input: &str) -> Ran {
    let mut child = hashwarden(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { exit: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// A folder with files and a store that goes with the test.
struct Place {
    folder: TempDir,
    store: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store").to_str().unwrap().to_owned();
        Place { folder, store }
    }

    /// Runs a verb on the store.
    fn run(&self, args: &[&str]) -> Ran {
        run(&[&["--store", &self.store], args].concat())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file's path as an argument.
    fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self.arg(name)
    }

    /// A picture's edited copy as a file.
    fn picture(&self, name: &str, seed: u64, edit: Edit) -> String {
        self.write(name, &copy(seed, edit))
    }

    /// A list "known" with the perceptual hashes and SHA-256 of picture 1's original, as entry "first" in category "A1".
    fn known(&self) {
        self.run(&["list", "create", "known"]).exits(0);
        self.add_known(&self.picture("known.jpg", 1, Edit::Original));
    }

    fn add_known(&self, file: &str) {
        let hash = |kind| hash_of(file, kind);
        let (pdq, phash, dhash, sha) = (hash("pdq"), hash("phash64"), hash("dhash64"), hash("sha256"));
        let hashes = ["--pdq", &pdq, "--phash64", &phash, "--dhash64", &dhash, "--sha256", &sha];
        self.run(&[&["list", "add", "known", "--id", "first", "--category", "A1"], &hashes[..]].concat()).exits(0);
    }

    /// The folder "broken" with every file that is no whole picture.
    fn broken(&self) -> String {
        for file in broken().unwrap() {
            self.write(&format!("broken/{}", file.name), &file.bytes);
        }
        self.arg("broken")
    }
}

fn copy(seed: u64, edit: Edit) -> Vec<u8> {
    edit.apply(&draw(seed, 320, 240)).unwrap()
}

/// A file's hash of a kind, in hex.
fn hash_of(file: &str, kind: &str) -> String {
    run(&["hash", "--json", file]).one()[kind].as_str().unwrap().to_owned()
}

fn shared(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("HASHWARDEN_SHARED");
    if folder.is_none() {
        println!("skipped: HASHWARDEN_SHARED is not set");
    }
    Some(Path::new(&folder?).join(path))
}

/// A PDQ hash for each byte.
fn pdq(byte: u8) -> String {
    numbered(u32::from(byte))
}

/// A PDQ hash as that of a picture with content, far from those of other numbers.
fn numbered(number: u32) -> String {
    let word = |word: u64| {
        let mixed = (u64::from(number) * 4 + word).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 27
    };
    (0..4).map(|n| format!("{:016x}", word(n))).collect()
}

/// An object's keys, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
