//! README's first command: does `hashwarden demo` end with every verdict as expected?
//!
//! Alone in its file: its load would make tests that run beside it slow.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

use std::process::Command;

#[test]
fn every_verdict_of_the_demo_is_as_expected() {
    let ran = Command::new(env!("CARGO_BIN_EXE_hashwarden")).arg("demo").output().unwrap();
    let (out, err) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
    assert!(ran.status.success() && out.contains("every verdict is as expected"), "{out}{err}");
}
