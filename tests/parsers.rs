//! Do the parsers of untrusted bytes hold against what was found to break them, and against a little of what nobody wrote?
//!
//! Each file of `parsers/` has one parser's `check`, which fails where a promise does not hold, and `seeds` that are made by code. `make fuzz` runs the
//! same checks under libFuzzer (`tests/fuzz`), as long as it is told to; here they run over the seeds, over some thousand mutations of
//! them, always the same ones, and over every input that a fuzzer found.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test stops where its ground is missing

#[path = "parsers/lists.rs"]
mod lists;
#[path = "parsers/memory.rs"]
mod memory;
#[path = "parsers/messages.rs"]
mod messages;
#[path = "parsers/pictures.rs"]
mod pictures;
#[path = "parsers/records.rs"]
mod records;
#[path = "parsers/workers.rs"]
mod workers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An input takes no longer, with room for a busy machine.
const INPUT_MAX: Duration = Duration::from_secs(20);

/// Memory is counted for the process, so one parser is tried at a time.
static TURN: Mutex<()> = Mutex::new(());

fn holds(check: fn(&[u8]), input: &[u8], what: &str) {
    let began = Instant::now();
    if catch_unwind(AssertUnwindSafe(|| check(input))).is_err() {
        let head: String = input.iter().take(400).map(|byte| format!("{byte:02x}")).collect();
        panic!("{what} ({} bytes): {head}", input.len());
    }
    assert!(began.elapsed() < INPUT_MAX, "{what}: {:?}", began.elapsed());
}

/// The next number of a splitmix64 sequence.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A few bytes changed, inserted, repeated or cut, or two inputs spliced.
fn mutated(seeds: &[Vec<u8>], state: &mut u64) -> Vec<u8> {
    let mut bytes = seeds[next(state) as usize % seeds.len()].clone();
    for _ in 0..=next(state) % 4 {
        let (at, n) = (next(state) as usize % (bytes.len() + 1), next(state) as usize % 16);
        match next(state) % 6 {
            0 if at < bytes.len() => bytes[at] = next(state) as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << (n % 8),
            2 => bytes.insert(at, [0, 1, 0x7f, 0x80, 0xff][n % 5]),
            3 => drop(bytes.drain(at..(at + n).min(bytes.len()))),
            4 => {
                let piece = bytes[at..(at + n).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let other = &seeds[next(state) as usize % seeds.len()];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[at.min(other.len())..]);
            }
        }
    }
    bytes
}

fn try_all(check: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>, found: &[Vec<u8>], mutations: u64) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Made when it is their turn: drawing them takes memory that would count as another test's.
    let seeds = seeds();
    assert!(!seeds.is_empty());
    seeds.iter().enumerate().for_each(|(n, seed)| holds(check, seed, &format!("seed {n}")));
    found.iter().enumerate().for_each(|(n, input)| holds(check, input, &format!("found input {n}")));
    let mut state = 1;
    for n in 0..mutations {
        holds(check, &mutated(&seeds, &mut state), &format!("mutation {n}"));
    }
}

#[test]
fn pictures_hold() {
    try_all(pictures::check, pictures::seeds, &[], 300);
}

#[test]
fn messages_hold() {
    try_all(messages::check, messages::seeds, &[], 20_000);
}

#[test]
fn list_files_hold() {
    // What is left of a hash in the name of a column was shown by "columns found".
    let header = format!("id,deleted,sc{}hvalue\nx1,yes,{}\n", "3c".repeat(8), "5d".repeat(16));
    // The escape of a character that can't be seen put a digit before fifteen letters.
    let escaped = b"\0name\0eeeeeeeeeeeeeee,other\n,mid,note\n".to_vec();
    let found = [[&[8], header.as_bytes()].concat(), escaped];
    try_all(lists::check, lists::seeds, &found, 20_000);
}

#[test]
fn store_records_hold() {
    try_all(records::check, records::seeds, &[], 20_000);
}

#[test]
fn workers_replies_hold() {
    try_all(workers::check, workers::seeds, &[], 20_000);
}

/// An oracle that finds nothing would be worth nothing.
#[test]
fn memory_beyond_the_limit_is_noticed() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let held = |bytes_max| catch_unwind(|| memory::within(bytes_max, || drop(std::hint::black_box(vec![1u8; 1 << 20]))));
    assert!(held(2 << 20).is_ok());
    assert!(held(1 << 19).is_err());
}
