#![no_main]

#[path = "../../parsers/memory.rs"]
mod memory;
#[path = "../../parsers/messages.rs"]
mod messages;
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::write(messages::seeds()), |bytes: &[u8]| messages::check(bytes));
