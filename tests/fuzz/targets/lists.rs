#![no_main]

#[path = "../../parsers/lists.rs"]
mod lists;
#[path = "../../parsers/memory.rs"]
mod memory;
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::write(lists::seeds()), |bytes: &[u8]| lists::check(bytes));
