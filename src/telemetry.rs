//! How does the process tell what it does: log lines on standard error, and metrics for Prometheus.
//!
//! [`METRICS`] names every metric there is, with its labels and meaning; a test refuses one that is recorded elsewhere and missing
//! here. Labels take few values: methods, outcomes, reasons, stages, kinds of hash, names of lists. Never a hash, an entry, a file's
//! name or a caller's text. A caller's text in a log line is recorded with `?` or as a plain field, never with `%`, so that a line break
//! in it is escaped. Nothing here decides anything; only `app` names this room, the others use the macros of `tracing` and `metrics`.

use crate::config::{Log, LogFormat};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricType {
    Counter,
    Gauge,
    Histogram,
}

/// One metric: its type, name, and what it counts.
pub struct Metric(pub MetricType, pub &'static str, pub &'static str);

/// Everything that `/metrics` can show.
pub const METRICS: &[Metric] = &[
    Metric(
        MetricType::Counter,
        "hashwarden_requests_total",
        "Pictures and hashes answered, by method, outcome (match, no_match, partial, not_scanned, error) and reason (why not scanned; else empty)",
    ),
    Metric(
        MetricType::Histogram,
        "hashwarden_stage_seconds",
        "Wall time of one item's stages, by stage (queued, extract, search)",
    ),
    Metric(MetricType::Gauge, "hashwarden_in_flight", "Items taken in and not yet answered"),
    Metric(MetricType::Gauge, "hashwarden_queue_depth", "Items that wait for an extract thread"),
    Metric(
        MetricType::Counter,
        "hashwarden_search_effort_total",
        "Work of look-ups, by what (probes into an index, candidates, distances computed)",
    ),
    Metric(MetricType::Gauge, "hashwarden_list_rows", "Entries of a list's active version, by list"),
    Metric(MetricType::Gauge, "hashwarden_list_age_seconds", "Time since a list's active version was made, by list"),
    Metric(MetricType::Gauge, "hashwarden_snapshot_id", "The snapshot that look-ups see"),
    Metric(MetricType::Gauge, "hashwarden_index_bytes", "Memory of the live indexes, hashes included, by kind of hash"),
    Metric(
        MetricType::Gauge,
        "hashwarden_index_recall",
        "Part of the planted hashes that the newest index found in its proof; below 1 it is not in use",
    ),
    Metric(MetricType::Gauge, "hashwarden_process_resident_bytes", "Resident memory of the process"),
    Metric(MetricType::Gauge, "hashwarden_build_info", "Always 1; the label says the version"),
];

/// From a look-up (some 10 us) to a request that meets its deadline, about three buckets a decade.
const STAGE_SECONDS: &[f64] = &[
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1.0, 2.5, 5.0,
    10.0,
];

/// How often histograms are folded when nobody asks for `/metrics`: each sample takes some bytes until then.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the log level is no filter: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    #[error("a log is already set up in this process: {0}")]
    LogTwice(#[from] tracing::subscriber::SetGlobalDefaultError),
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("cannot start the metrics' upkeep: {0}")]
    Upkeep(std::io::Error),
}

/// Sends log lines to standard error from now on, for the whole process. Once per process.
pub fn init(log: &Log) -> Result<(), TelemetryError> {
    let subscriber = subscriber(log, std::io::stderr, std::io::stderr().is_terminal())?;
    Ok(tracing::subscriber::set_global_default(subscriber)?)
}

/// The process's metrics.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Collects what the `metrics` macros record from now on, in the whole process. Once per process.
    pub fn install() -> Result<Metrics, TelemetryError> {
        let handle = builder()?.install_recorder()?;
        describe();
        let upkeep = handle.clone();
        // Lives as long as the process, as the recorder does.
        std::thread::Builder::new()
            .name("metrics-upkeep".into())
            .spawn(move || {
                loop {
                    std::thread::sleep(UPKEEP);
                    upkeep.run_upkeep();
                }
            })
            .map_err(TelemetryError::Upkeep)?;
        Ok(Metrics { handle })
    }

    /// The page for Prometheus, in its text format.
    pub fn render(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            metrics::gauge!("hashwarden_process_resident_bytes").set(bytes as f64);
        }
        self.handle.render()
    }
}

/// Resident memory of this process now, in bytes; `None` where there is no /proc.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    Some(kib * 1024)
}

fn builder() -> Result<PrometheusBuilder, TelemetryError> {
    Ok(PrometheusBuilder::new().set_buckets_for_metric(Matcher::Full("hashwarden_stage_seconds".into()), STAGE_SECONDS)?)
}

/// Tells the recorder in force what each metric means.
fn describe() {
    for Metric(kind, name, meaning) in METRICS {
        match kind {
            MetricType::Counter => metrics::describe_counter!(*name, *meaning),
            MetricType::Gauge => metrics::describe_gauge!(*name, *meaning),
            MetricType::Histogram => metrics::describe_histogram!(*name, *meaning),
        }
    }
    metrics::gauge!("hashwarden_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

type BoxedSubscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(log: &Log, writer: W, colour: bool) -> Result<BoxedSubscriber, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&log.level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match log.format {
        LogFormat::Text => Box::new(lines.with_ansi(colour).finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
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
        let subscriber = subscriber(&Log { format, level: level.into() }, move || writer.clone(), false).unwrap();
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

    fn rendered(record: fn()) -> String {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            record();
            Metrics { handle }.render()
        })
    }

    #[test]
    fn the_page_shows_what_was_recorded_with_its_meaning() {
        let page = rendered(|| {
            metrics::counter!("hashwarden_requests_total", "method" => "Match", "outcome" => "match", "reason" => "")
                .increment(2);
            metrics::histogram!("hashwarden_stage_seconds", "stage" => "search").record(0.00003);
        });
        let expected = [
            "# TYPE hashwarden_requests_total counter",
            "# HELP hashwarden_requests_total Pictures",
            "hashwarden_requests_total{method=\"Match\",outcome=\"match\",reason=\"\"} 2",
            "hashwarden_stage_seconds_bucket{stage=\"search\",le=\"0.000025\"} 0",
            "hashwarden_stage_seconds_bucket{stage=\"search\",le=\"0.00005\"} 1",
            "hashwarden_stage_seconds_count{stage=\"search\"} 1",
            "hashwarden_build_info{version=\"",
        ];
        for part in expected {
            assert!(page.contains(part), "no {part:?} in\n{page}");
        }
    }

    #[test]
    fn resident_memory_is_told_where_the_system_tells_it() {
        if !std::path::Path::new("/proc/self/status").exists() {
            return;
        }
        let bytes = resident_bytes().unwrap();
        assert!((100_000..1 << 40).contains(&bytes), "{bytes}");
        assert!(rendered(|| ()).contains("hashwarden_process_resident_bytes "));
    }

    #[test]
    fn every_metric_has_a_meaning_and_a_name_in_prometheus_style() {
        for Metric(kind, name, meaning) in METRICS {
            assert!(name.starts_with("hashwarden_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert_eq!(*kind == MetricType::Counter, name.ends_with("_total"), "{name}");
            assert!(meaning.len() > 10, "{name}");
            assert_eq!(METRICS.iter().filter(|m| m.1 == *name).count(), 1, "{name} stands twice");
        }
    }
}
