//! Stored bytes to what the store knows.
//!
//! Whatever the bytes are: no panic, memory in proportion to them, and what is read is read the same once it was written again.

use hashwarden::store::read_record;

use super::memory;

const FAMILIES: [&str; 12] =
    ["meta", "lists", "versions", "entry_ids", "entries", "deltas", "contents", "journal", "columns", "bk", "scratch", "history"];
const AMPLIFIED: usize = 400;
const BESIDE: usize = 1024 * 1024;

/// The first byte says the family, the second how many of those that follow are the key.
pub fn check(bytes: &[u8]) {
    let Some(([which, length], rest)) = bytes.split_first_chunk() else { return };
    let family = FAMILIES[*which as usize % FAMILIES.len()];
    let (key, value) = rest.split_at((*length as usize).min(rest.len()));
    if let Ok(same) = memory::within(bytes.len() * AMPLIFIED + BESIDE, || read_record(family, key, value)) {
        assert!(same, "{family}: written again, it is another");
    }
}

/// Every record of a small store.
pub fn seeds() -> Vec<Vec<u8>> {
    // A row: version u32, content: category, flags, one MD5, id.
    let row = [&u32::MAX.to_be_bytes()[..], b"\x02A1\x00\x01\x03\x00\x10", &[7; 16], b"e1"].concat();
    let (list, entry, version) = ([0, 0, 0, 1], [0, 0, 0, 5], [0, 0, 0, 2]);
    let record = |which: u8, key: &[u8], value: &[u8]| [&[which, key.len() as u8], key, value].concat();
    vec![
        record(0, b"seq", &[0; 8]),
        // Protobuf: a name, and a policy with one kind.
        record(1, &list, b"\x0a\x01a\x10\x01\x1a\x0a\x0a\x06\x08\x01\x10\x1f\x18\x02\x10\x32"),
        record(2, &[list, version].concat(), b"\x08\x01\x10\x05\x1a\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x22\x03add\x28\x01"),
        record(3, &[&list[..], b"e1"].concat(), &[&entry[..], &version, &[9; 16]].concat()),
        record(4, &[list, entry, version].concat(), &row),
        record(5, &[&list[..], &version, &[0], &entry].concat(), &version),
        record(5, &[&list[..], &version, &[1], &entry].concat(), &[]),
        record(6, &[0; 16], &[&[3; 32][..], b"\x08\x01\x12\x03cli\x22\x04\x08\x01\x10\x02"].concat()),
        record(7, &[1; 24], b"record"),
        record(8, &[0, 0, 0, 0, 1], &list),
        record(9, &[0; 11], &[0, 0, 0, 1, 8, 8, 8, 8, 8, 8, 8, 8]),
        record(11, &[0; 8], &[&[3; 32][..], b"\x08\x01\x12\x03cli\x18\x0a\x20\x01\x3a\x20", &[7; 32]].concat()),
        record(10, b"e1\x00\x00\x00\x00\x00\x00\x00\x00\x01", b"value"),
    ]
}
