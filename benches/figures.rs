//! Draws the figures of docs/ anew: look-up time from the tables of docs/benchmarks.md, a verdict from what the binary prints.
//!
//! `make bench` runs it last. tests/docs.rs holds the files to what is drawn here.

#![allow(clippy::unwrap_used)]

#[path = "figures/lookups.rs"]
mod lookups;
#[path = "figures/verdict.rs"]
mod verdict;

use std::fs;
use std::path::Path;

fn main() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let tables = fs::read_to_string(docs.join("benchmarks.md")).unwrap();
    fs::write(docs.join("lookups.svg"), lookups::svg(&tables).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(docs.join("verdict.svg"), verdict::svg(Path::new(env!("CARGO_BIN_EXE_hashwarden")), folder.path())).unwrap();
    println!("docs/lookups.svg and docs/verdict.svg are drawn");
}
