//! Log lines that wait to be written, so that the service never waits for whoever reads them.
//!
//! One thread writes them, in the order they came. Where they come faster than they are read, or nobody reads, lines wait up to a number of
//! bytes; further ones are dropped and counted, and the log says how many once it is read again. Not `tracing-appender`: it bounds the
//! number of lines, whose length callers have a say in, gives its thread one second at the end however much is left, and prints to standard
//! output when it has no room for that.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a line takes beside its text.
const LINE_BYTES: usize = 64;

/// Lines between those who log and the thread that writes.
pub struct Queue {
    bytes_max: usize,
    state: Mutex<State>,
    /// There is something to write, or to tell.
    arrived: Condvar,
    /// All is written.
    emptied: Condvar,
}

struct State {
    lines: VecDeque<Vec<u8>>,
    /// Of these, and of the one that is being written.
    bytes: usize,
    /// Lines that left the queue.
    taken: u64,
    /// Lines that found no room since the log last said so.
    dropped: u64,
    /// Whether the writing thread has nothing to do.
    idle: bool,
}

impl Queue {
    pub fn new(bytes_max: usize) -> Self {
        let state = State { lines: VecDeque::new(), bytes: 0, taken: 0, dropped: 0, idle: true };
        Queue { bytes_max, state: Mutex::new(state), arrived: Condvar::new(), emptied: Condvar::new() }
    }

    /// Takes a line where there is room, or else counts it. Waits for nobody.
    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        let bytes = state.bytes + line.len() + LINE_BYTES;
        let has_room = bytes <= self.bytes_max;
        if has_room {
            state.bytes = bytes;
            state.lines.push_back(line.to_vec());
        } else {
            state.dropped += 1;
        }
        let was_idle = std::mem::replace(&mut state.idle, false);
        drop(state);
        if was_idle {
            self.arrived.notify_one();
        }
        if !has_room {
            super::count_lost();
        }
    }

    /// Writes lines as they come, for ever. `tell` is to log how many were dropped; it may push.
    pub fn write_to(&self, mut out: impl Write, tell: impl Fn(u64)) {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                drop(state);
                let _ = out.write_all(&line); // `out` counts what it can't write
                state = self.lock();
                state.bytes -= line.len() + LINE_BYTES;
                state.taken += 1;
            } else if state.dropped > 0 {
                let dropped = std::mem::take(&mut state.dropped);
                drop(state);
                tell(dropped);
                state = self.lock();
            } else {
                state.idle = true;
                self.emptied.notify_all();
                state = self.arrived.wait_while(state, |state| state.idle).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Waits until all is written, or not a line was for as long as `stalled`: then it is false.
    pub fn flush(&self, stalled: Duration) -> bool {
        let mut state = self.lock();
        while !state.idle {
            let taken = state.taken;
            let waited = self.emptied.wait_timeout_while(state, stalled, |state| !state.idle);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !state.idle && state.taken == taken {
                return false;
            }
        }
        true
    }

    /// Bytes that wait, each line counted with what it takes beside its text.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts whole lines into the queue.
pub struct Queued(pub Arc<Queue>);

impl Write for Queued {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    /// A reader of lines who may not read: who writes waits for it, as at a full pipe.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The thread that writes ends with the process.
    fn queue(bytes_max: usize) -> (Arc<Queue>, Receiver<Vec<u8>>) {
        let (queue, (pipe, lines)) = (Arc::new(Queue::new(bytes_max)), sync_channel(0));
        let (written, told) = (queue.clone(), queue.clone());
        std::thread::spawn(move || written.write_to(Pipe(pipe), |n| told.push(format!("{n} dropped").as_bytes())));
        (queue, lines)
    }

    fn push(queue: &Queue, lines: std::ops::Range<u32>) {
        lines.for_each(|n| queue.push(n.to_string().as_bytes()));
    }

    fn read(lines: &Receiver<Vec<u8>>, n: usize) -> Vec<String> {
        let line = |_| String::from_utf8(lines.recv_timeout(LONG).unwrap()).unwrap();
        (0..n).map(line).collect()
    }

    #[test]
    fn a_slow_reader_gets_every_line_in_order_before_the_end() {
        let (queue, lines) = queue(1 << 20);
        push(&queue, 0..1000);
        let slow = std::thread::spawn(move || {
            std::thread::sleep(SOON);
            read(&lines, 1000)
        });
        assert!(queue.flush(LONG));
        assert_eq!(slow.join().unwrap(), (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn without_a_reader_nobody_waits_and_the_log_says_what_it_lacks() {
        let (queue, lines) = queue(10 * (LINE_BYTES + 1));
        push(&queue, 0..10);
        push(&queue, 10..15);
        assert!(!queue.flush(SOON), "nobody reads");
        let mut expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        expected.push("5 dropped".to_owned());
        assert_eq!(read(&lines, 11), expected);
        assert!(queue.flush(LONG));
        push(&queue, 15..16);
        assert_eq!(read(&lines, 1), ["15"]);
        assert!(queue.flush(LONG));
    }

    #[test]
    fn a_reader_that_is_gone_leaves_nothing_to_wait_for() {
        let (queue, lines) = queue(1 << 20);
        drop(lines);
        push(&queue, 0..1000);
        assert!(queue.flush(LONG));
    }
}
