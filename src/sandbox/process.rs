//! How does the server start a worker, ask it and end it?
//!
//! Times are instants; nothing waits beyond the one that it is given, however slowly a worker talks. Invariant: a [`Worker`] that is dropped is
//! killed and waited for.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::confine::Denied;
use super::wire::{self, Asked, Nonsense, Request, Setup};
use super::worker::VERB;
use crate::entry::shown::in_words;
use crate::extract::{Features, Unscanned, Wants};

/// A worker is there in some 10 ms. More, for a machine that is very busy.
const HELLO_MAX: Duration = Duration::from_secs(10);
/// What a worker may take beyond a picture's deadline to say that it was late.
const GRACE: Duration = Duration::from_millis(100);
/// Of a reply without planes there is less; a buffer that grew beyond is not kept.
const KEPT_BYTES: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("this program has no worker to decode pictures in")]
    NoProgram,
    #[error("a worker process can't be started: {}", in_words(.0))]
    Unstarted(io::Error),
    #[error("a worker process was started and did not answer: {}", in_words(.0))]
    Silent(io::Error),
    #[error("on this system a worker process could {0}")]
    Unconfined(String),
}

/// What a worker did instead of an answer.
#[derive(Debug)]
pub enum Failed {
    /// It ended before it had read the picture, so it did not end of it.
    Gone,
    /// It ended with the picture, or closed its stream.
    Ended,
    Overran,
    Nonsense(Nonsense),
}

/// A worker process, idle or at one picture.
pub struct Worker {
    child: Child,
    stream: UnixStream,
    reply: Vec<u8>,
    /// Pictures that it was given.
    pub asked: u64,
}

impl Worker {
    /// Starts a worker and waits until it is locked.
    pub fn start(program: &Path, setup: &Setup) -> Result<(Worker, Denied), StartError> {
        let (stream, its) = UnixStream::pair().map_err(StartError::Unstarted)?;
        let mut command = Command::new(program);
        // In a group of its own, so that Ctrl-C at a terminal is the server's to answer. What it would print could tell of a picture.
        command.arg(VERB).env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::from(OwnedFd::from(its))).stdout(Stdio::null()).stderr(Stdio::null());
        // Without it the binary may not start at all.
        command.envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)));
        let child = command.spawn().map_err(StartError::Unstarted)?;
        drop(command); // the worker's end of the stream with it
        let worker = Worker { child, stream, reply: Vec::new(), asked: 0 };
        let mut stream = worker.until(Instant::now() + HELLO_MAX);
        let denied =
            wire::write_setup(&mut stream, setup).and_then(|()| wire::read_hello(&mut stream)).map_err(StartError::Silent)?;
        Ok((worker, denied))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Whatever fails is the worker's end: what it says afterwards would be of another picture.
    pub fn ask(
        &mut self,
        bytes: &[u8],
        wants: &Wants,
        until: Instant,
        frames_max: u32,
    ) -> Result<Result<Features, Unscanned>, Failed> {
        self.asked += 1;
        let left = until.saturating_duration_since(Instant::now());
        let left_us = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
        let request = Request { number: self.asked, left_us, bytes: bytes.len() as u64, wants: *wants };
        let asked = Asked { wants: *wants, frames_max };
        let mut reply = std::mem::take(&mut self.reply);
        let mut stream = self.until(until + GRACE);
        stream.send(&request.to_bytes(), bytes)?;
        let mut head = [0; wire::REPLY_HEAD_BYTES];
        stream.read_exact(&mut head).map_err(Failed::of)?;
        let length = wire::read_reply_head(head, request.number, &asked).map_err(Failed::Nonsense)?;
        reply.clear();
        // The buffer grows with what comes.
        let came = stream.take(length as u64).read_to_end(&mut reply).map_err(Failed::of)?;
        if came < length {
            return Err(Failed::Ended);
        }
        let read = wire::read_reply(&reply, &asked).map_err(Failed::Nonsense)?;
        if reply.capacity() <= KEPT_BYTES {
            self.reply = reply;
        }
        Ok(read)
    }

    /// Ends it, if it has not ended by itself; how it ended.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    fn until(&self, until: Instant) -> Until<'_> {
        Until { stream: &self.stream, until }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.end(); // fails only where it was waited for
    }
}

/// How a process ended, in words.
pub fn in_status(status: &ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "unknown".to_owned(),
    }
}

/// Whether it had used up its CPU time.
pub fn is_overrun(status: &ExitStatus) -> bool {
    status.signal() == Some(libc::SIGXCPU)
}

impl Failed {
    fn of(error: io::Error) -> Failed {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Failed::Overran,
            // Its end of the stream was closed while bytes were left to read there, see unix(7); what a worker has not read whole it has not
            // begun to decode.
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Failed::Gone,
            _ => Failed::Ended,
        }
    }
}

/// A stream on which nothing is waited for beyond a moment.
struct Until<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl Until<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    /// Sends both, the head with the first bytes, so that the worker wakes up once.
    fn send(&mut self, head: &[u8], bytes: &[u8]) -> Result<(), Failed> {
        let (mut head, mut bytes) = (head, bytes);
        while !head.is_empty() || !bytes.is_empty() {
            let left = self.left().map_err(Failed::of)?;
            self.stream.set_write_timeout(Some(left)).map_err(Failed::of)?;
            match (&mut &*self.stream).write_vectored(&[IoSlice::new(head), IoSlice::new(bytes)]) {
                Ok(0) => return Err(Failed::Ended),
                Ok(sent) => {
                    let of_head = sent.min(head.len());
                    (head, bytes) = (&head[of_head..], &bytes[sent - of_head..]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failed::of(error)),
            }
        }
        Ok(())
    }
}

/// The system says of a time-out that it would have to wait.
fn in_time(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

impl Read for Until<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        (&mut &*self.stream).read(out).map_err(in_time)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        (&mut &*self.stream).write(bytes).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
