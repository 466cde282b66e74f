//! Pixels and bytes to hashes.
//!
//! [`pdq`] is the core, with [`tent`] for its filters, [`hash64`] takes its 64x64 plane further to 64-bit hashes, [`digest`] hashes raw bytes. Nothing here
//! decodes, searches or decides.

pub mod digest;
pub mod hash64;
mod lanczos;
pub mod pdq;
mod tent;
