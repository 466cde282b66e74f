#![no_main]

#[path = "../../parsers/memory.rs"]
mod memory;
#[path = "../../parsers/pictures.rs"]
mod pictures;
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::write(pictures::seeds()), |bytes: &[u8]| pictures::check(bytes));
