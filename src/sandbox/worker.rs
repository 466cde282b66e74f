//! What does a worker process do, from its first moment to its end?
//!
//! It hears what holds for its life, locks itself, says what it was denied, and from then on reads a picture, decodes and hashes it and answers,
//! one at a time, until its stream ends. Its stream is its standard input, in both directions; it prints nothing, as the text of a panic may
//! quote a picture. Invariant: no byte of a picture is read before it is locked.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::confine;
use super::wire::{self, REQUEST_BYTES, Request, Setup};
use crate::entry::Reason;
use crate::extract::{Extractor, InProcess, PLANES_BYTES_MAX, Unscanned};

/// The one argument of a worker.
pub const VERB: &str = "decode-for-server";

/// What a worker may take beside what a file's decoding and its bytes do: planes for views, in memory and in the reply; the rows that hashing
/// keeps, 20 MiB for a picture of 65,535 rows; what the allocator keeps of its own; the stack.
pub const BESIDE_BYTES: u64 = PLANES_BYTES_MAX + (44 << 20);

/// CPU seconds of a job beyond those until its deadline.
const CPU_GRACE_S: u64 = 3;
/// Look-ups take moments, so they go first where a picture wants the same core.
const NICENESS: i32 = 5;
/// A buffer for a file that was larger than this is not kept.
const KEPT_BYTES: usize = 4 << 20;
/// Where memory is short, a worker is ended before its server: of -1000 to 1000.
const OUT_OF_MEMORY_SCORE: &str = "800";

/// Whether this process was started to be a worker.
pub fn is_worker() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().as_deref() == Some(OsStr::new(VERB)) && arguments.next().is_none()
}

/// A worker's life.
pub fn work() -> ExitCode {
    match live(&mut Stream) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn live(stream: &mut Stream) -> io::Result<()> {
    UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?).local_addr()?; // somebody's terminal is no server
    let _ = std::fs::write("/proc/self/comm", "hashwarden-work"); // it would be "exe"
    std::panic::set_hook(Box::new(|_| ()));
    // It ends with its server, and when its server says so: a signal to all processes of a service finds pictures that are in work.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let _ = rustix::process::nice(NICENESS); // where it can't be had, it is as good as any
    let _ = std::fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY_SCORE); // where there is none, there is no such order
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;

    let setup = wire::read_setup(stream)?;
    let (limits, image_bytes_max) = (setup.limits, setup.image_bytes_max);
    let most = confine::mapped_bytes()? + memory_bytes(&Setup { limits: limits.clone(), image_bytes_max });
    let denied = confine::lock(most, io::stdin().as_raw_fd())?;
    wire::write_hello(stream, denied)?;

    let extractor = InProcess::new(limits, Instant::now);
    let (mut bytes, mut reply) = (Vec::new(), Vec::new());
    // No less than its CPU time so far: all but what waiting for a picture takes.
    let mut busy = Duration::ZERO;
    loop {
        let mut head = [0; REQUEST_BYTES];
        if !read_first(stream, &mut head)? {
            return Ok(());
        }
        let began = Instant::now();
        let request = Request::of_bytes(head);
        let length = usize::try_from(request.bytes).ok().filter(|_| request.bytes <= image_bytes_max);
        let length = length.ok_or(io::ErrorKind::InvalidData)?;
        // Without setting to zero what the picture goes over.
        if bytes.len() < length {
            bytes.resize(length, 0);
        }
        stream.read_exact(&mut bytes[..length])?;
        let left = Duration::from_micros(request.left_us);
        confine::limit_cpu((busy + began.elapsed()).as_secs().saturating_add(left.as_secs()).saturating_add(CPU_GRACE_S));
        let extract = || match Instant::now().checked_add(left) {
            Some(until) => extractor.extract(&bytes[..length], &request.wants, until),
            None => Err(Unscanned { reason: Reason::Timeout, detail: "the deadline is too far off".to_owned() }),
        };
        let seen = catch_unwind(AssertUnwindSafe(extract));
        let seen =
            seen.unwrap_or_else(|_| Err(Unscanned { reason: Reason::Crashed, detail: "the extractor panicked".to_owned() }));
        reply.clear();
        wire::write_reply(&mut reply, request.number, &seen);
        drop(seen);
        stream.write_all(&reply)?;
        for buffer in [&mut bytes, &mut reply] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        busy += began.elapsed();
    }
}

/// What a worker may take beyond its code.
pub fn memory_bytes(setup: &Setup) -> u64 {
    setup.limits.alloc_bytes_max.saturating_add(setup.image_bytes_max).saturating_add(BESIDE_BYTES)
}

/// False where the stream ends before the first byte.
fn read_first(stream: &mut Stream, out: &mut [u8]) -> io::Result<bool> {
    let came = stream.read(out)?;
    if came > 0 {
        stream.read_exact(&mut out[came..])?;
    }
    Ok(came > 0)
}

/// Standard input as a socket, without a buffer.
struct Stream;

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(io::stdin(), &mut *out) {
                Err(rustix::io::Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(io::stdin(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
