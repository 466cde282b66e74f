#![no_main]

#[path = "../../parsers/memory.rs"]
mod memory;
mod seeds;
#[path = "../../parsers/workers.rs"]
mod workers;

libfuzzer_sys::fuzz_target!(init: seeds::write(workers::seeds()), |bytes: &[u8]| workers::check(bytes));
