#![no_main]

#[path = "../../parsers/memory.rs"]
mod memory;
#[path = "../../parsers/records.rs"]
mod records;
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::write(records::seeds()), |bytes: &[u8]| records::check(bytes));
