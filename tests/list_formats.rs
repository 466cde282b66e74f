//! Formats of records as their owners write them, with the dirt that comes with them: which rows are read, which are refused and why, and what an
//! import makes of them.

#![allow(clippy::unwrap_used)]

#[path = "list_formats/json.rs"]
mod json;
#[path = "list_formats/ncmec.rs"]
mod ncmec;
#[path = "list_formats/packed.rs"]
mod packed;
#[path = "list_formats/place.rs"]
mod place;
