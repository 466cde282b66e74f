//! Log lines on standard error.
//!
//! A caller's text in a line is recorded with `?` or as a plain field, never with `%`, so that a line break in it is escaped. What turns a
//! line's direction, or breaks it, is escaped in whatever is written. A line that can't be written (a full disk, a collector that is gone,
//! or one that does not read) is counted, and the process goes on.

mod queue;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::TelemetryError;
use crate::config::{Log, LogFormat};
use crate::entry::shown::{escaped_json, escaped_log};

use queue::{Queue, Queued};

/// Who writes log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Whoever logs, before it goes on: what a verb logs and prints comes in order.
    Direct,
    /// A thread of its own, so that a reader who does not read stops nothing.
    Queued,
}

/// The lines of [`Lines::Queued`].
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();
/// How long a reader may take no line before the process ends without it.
const STALLED: Duration = Duration::from_secs(2);

/// Sends log lines to standard error from now on, for the whole process. Once per process.
pub fn init(log: &Log, lines: Lines) -> Result<(), TelemetryError> {
    let colour = io::stderr().is_terminal();
    if lines == Lines::Direct {
        return Ok(tracing::subscriber::set_global_default(subscriber(log, || Counted(io::stderr()), colour)?)?);
    }
    let queue = Arc::new(Queue::new(usize::try_from(log.queue_bytes_max).unwrap_or(usize::MAX)));
    let (pushed, written) = (queue.clone(), queue.clone());
    tracing::subscriber::set_global_default(subscriber(log, move || Queued(pushed.clone()), colour)?)?;
    let tell = |dropped| tracing::warn!(dropped, "log lines were dropped: they were not read in time");
    let write = move || written.write_to(Counted(io::stderr()), tell);
    std::thread::Builder::new().name("log".into()).spawn(write).map_err(TelemetryError::Thread)?;
    QUEUE.get_or_init(|| queue);
    Ok(())
}

/// Waits until all lines so far are written; false where nobody reads them.
pub fn written() -> bool {
    QUEUE.get().is_none_or(|queue| queue.flush(STALLED))
}

/// Bytes that wait, where a queue is in use.
pub fn waiting_bytes() -> Option<usize> {
    QUEUE.get().map(|queue| queue.bytes())
}

fn count_lost() {
    metrics::counter!("hashwarden_log_lines_lost_total").increment(1);
}

type BoxedSubscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(log: &Log, writer: W, colour: bool) -> Result<BoxedSubscriber, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&log.level)?;
    let writer = Escaping { writer, format: log.format };
    // By default it says on standard error what it could not write there, which ends in a panic.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    Ok(match log.format {
        LogFormat::Text => Box::new(lines.with_ansi(colour).finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
    })
}

/// Gives writers that escape what could mislead a reader.
struct Escaping<W> {
    writer: W,
    format: LogFormat,
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Escaping<W> {
    type Writer = Escaped<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Escaped { writer: self.writer.make_writer(), format: self.format }
    }
}

struct Escaped<W> {
    writer: W,
    format: LogFormat,
}

impl<W: Write> Write for Escaped<W> {
    /// The subscriber writes whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let shown = match self.format {
            LogFormat::Text => escaped_log(&text),
            LogFormat::Json => escaped_json(&text),
        };
        self.writer.write_all(shown.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Counts what can't be written, and says that it was.
struct Counted<W>(W);

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.write_all(line).is_err() {
            count_lost();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush(); // what is lost was counted
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str, log: fn()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber =
            subscriber(&Log { format, level: level.into(), ..Log::default() }, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    fn two_lines() {
        tracing::info!(list = "a\"b", rows = 3, "imported");
        tracing::debug!("detail");
    }

    #[test]
    fn a_json_log_is_one_object_a_line() {
        let text = logged(LogFormat::Json, "info", two_lines);
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["message"], &line["list"], &line["rows"]), (&"imported".into(), &"a\"b".into(), &3.into()));
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn a_text_log_shows_what_its_level_lets_through() {
        let check = |level, expected: &[&str]| {
            let text = logged(LogFormat::Text, level, two_lines);
            assert_eq!(text.lines().count(), expected.len(), "{level}: {text}");
            expected.iter().for_each(|part| assert!(text.contains(part), "{level}: {text}"));
        };
        check("off", &[]);
        check("warn", &[]);
        check("info", &["imported"]);
        check("warn,hashwarden=debug", &["imported", "detail"]);
    }

    #[test]
    fn a_control_character_cannot_forge_a_log_line() {
        let text = logged(LogFormat::Text, "info", || tracing::info!(name = "x\n2026-01-01 INFO forged", "seen"));
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn what_could_mislead_a_reader_is_escaped() {
        const TURNED: &str = "x\u{202e}gpj.\u{2028}\u{2066}y";
        let log = || tracing::info!(name = TURNED, error = %TURNED, "{TURNED}");
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, "info", log);
            assert!(!TURNED.chars().any(|c| !c.is_ascii() && text.contains(c)) && text.matches("202e").count() == 3, "{text}");
            if format == LogFormat::Json {
                let line: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!((&line["error"], &line["message"]), (&TURNED.into(), &TURNED.into()));
            }
        }
    }

    #[test]
    fn a_line_that_can_not_be_written_stops_nobody() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
        }
        assert_eq!(Counted(Full).write(b"line").unwrap(), 4);
        Counted(Full).flush().unwrap();
    }
}
