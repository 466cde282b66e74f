//! Who decodes what strangers sent, and what can it reach?
//!
//! Decoders work through hostile bytes, some of them in C. So they run in worker processes: this binary once more, one for each thread that
//! extracts, started before the first picture comes. A worker reads pictures from one stream and writes what was seen into it. It can open no
//! file, no socket and start no process, and has a ceiling on its memory ([`confine`]). [`Sandboxed`] is the [`Extractor`] that asks workers.
//!
//! Invariants: a worker that dies, overruns its time or answers nonsense costs one picture, which is NOT_SCANNED with the reason, and is replaced
//! at once; what a worker says is checked as a stranger's words are ([`wire`]); what a worker is denied it has tried in vain. No worker outlives
//! its server, and none is left as a zombie. Absent: digests, which the server takes itself, so that a file that kills its worker still
//! matches exactly; and whether hashes are true: a worker that was taken over can lie about pictures until it is replaced.
//!
//! [`Extractor`]: crate::extract::Extractor

mod confine;
mod options;
mod pool;
mod process;
pub mod wire;
mod worker;

pub use confine::Denied;
pub use options::{Options, Sandbox};
pub use pool::{Sandboxed, beside_bytes};
pub use process::StartError;
pub use worker::{is_worker, work};
