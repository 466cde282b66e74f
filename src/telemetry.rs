//! How does the process tell what it does: log lines on standard error, and metrics for Prometheus.
//!
//! [`METRICS`] names every metric there is, with its labels and meaning, beside the `process_*` of every Prometheus client; a test refuses
//! one that is recorded elsewhere and missing here. Most are recorded as things happen; what merely is (rows, bytes, threads) is read
//! when the page is asked for, as [`Reading`]s, so that nothing is shown of what is gone. Labels take few values: methods, outcomes,
//! reasons, stages, pools, kinds of hash, names of lists, and names of some callers. Never a hash, an entry, a file's name or what a caller sent. Nothing here decides
//! anything; only `app` names this room, the others use the macros of `tracing` and `metrics`.

mod log;

use metrics_exporter_prometheus::formatting::{sanitize_label_value, write_help_line, write_type_line};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

pub use log::{Lines, init, written};

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
        "Pictures and hashes answered, by method, outcome (match, no_match, partial, not_scanned, hashed, error) and reason (why not scanned, or the error's code; else empty). Of the list service: calls, with the outcome ok or error",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_matches_total",
        "Verdicts in which a list matched, by list and action (the strictest of its matches)",
    ),
    Metric(MetricType::Counter, "hashwarden_floods_total", "Entries that matched far more often than they did, by list"),
    Metric(
        MetricType::Counter,
        "hashwarden_shadow_matches_total",
        "Verdicts in which a list in shadow would have matched, by list",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_view_matches_total",
        "Verdicts in which a list matched through a view that is not the whole picture, by list and class of view (extended, window, turned)",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_views_total",
        "Views of pictures other than the whole, by result (searched, or cut because the deadline passed)",
    ),
    Metric(
        MetricType::Histogram,
        "hashwarden_call_seconds",
        "Wall time of whole calls, from the request's headers to the end of the reply, by method",
    ),
    Metric(MetricType::Gauge, "hashwarden_calls_in_flight", "Calls whose reply the caller has not fully received, by method"),
    Metric(MetricType::Gauge, "hashwarden_connections", "Open gRPC connections"),
    Metric(
        MetricType::Counter,
        "hashwarden_tls_handshakes_total",
        "TLS handshakes, by outcome: done, or why refused (no_certificate, foreign, expired, bad_certificate, unnamed: the client's certificate; refused_by_client, timeout, not_tls, broken_off, shed: the caller had [tls] handshakes_per_caller_max)",
    ),
    Metric(
        MetricType::Gauge,
        "hashwarden_tls_certificate_expires_seconds",
        "When the server's certificate, or the first of its chain, expires: Unix time in seconds",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_tls_reloads_total",
        "Times that changed TLS files were read, by outcome: loaded, or kept where they can't be used and those before stay in force",
    ),
    Metric(
        MetricType::Gauge,
        "hashwarden_tls_reload_failing",
        "1 while the TLS files as they are now can't be used, so that a restart would fail; else 0",
    ),
    Metric(
        MetricType::Histogram,
        "hashwarden_stage_seconds",
        "Wall time of one item's stages, by stage (queued, extract, search; search includes making the views)",
    ),
    Metric(MetricType::Gauge, "hashwarden_in_flight", "Accepted items whose answer has not been handed to the transport yet"),
    Metric(MetricType::Gauge, "hashwarden_queue_depth", "Items waiting for an extract thread"),
    Metric(MetricType::Gauge, "hashwarden_threads", "Threads of a pool, by pool (extract, search, quick)"),
    Metric(MetricType::Gauge, "hashwarden_threads_busy", "Of these, threads working on a job, by pool"),
    Metric(
        MetricType::Gauge,
        "hashwarden_threads_stuck",
        "Of these, threads busy with one job for longer than [operator] stuck_ms, by pool; if all threads of a pool are, /readyz fails",
    ),
    Metric(MetricType::Counter, "hashwarden_threads_stuck_total", "Jobs that were found stuck, by pool"),
    Metric(
        MetricType::Gauge,
        "hashwarden_workers",
        "Processes that decode pictures, started or being started; 0 where the server decodes itself",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_workers_lost_total",
        "Processes that decode pictures and were lost, by reason: ended (by a fault or for want of memory), overran (ended at the picture's deadline), nonsense (an answer that no decoder gives). Each is replaced at once",
    ),
    Metric(
        MetricType::Gauge,
        "hashwarden_sandbox_denies",
        "1 where what decodes pictures tried and could not: use files, open sockets, start processes, by what (files, network, processes); else 0",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_search_effort_total",
        "Work of look-ups, by what (probes into an index, candidates, distances computed)",
    ),
    Metric(MetricType::Gauge, "hashwarden_list_rows", "Entries of a list's active version, by list"),
    Metric(
        MetricType::Gauge,
        "hashwarden_list_age_seconds",
        "Time since a list's last successful import, whether or not it changed anything; if nothing was imported, since its last change; by list",
    ),
    Metric(
        MetricType::Gauge,
        "hashwarden_source_age_seconds",
        "Time since a fetch of the source last began that brought all there was and became active; before the first, since the source was set; by list and source",
    ),
    Metric(
        MetricType::Gauge,
        "hashwarden_source_failures",
        "Fetches of the source that failed one after another, the last one among them, by list and source",
    ),
    Metric(
        MetricType::Gauge,
        "hashwarden_source_waits",
        "1 while the source is not fetched by itself, as a version of it is held for review or the list was taken back behind it; else 0; by list and source",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_source_fetches_total",
        "Fetches of sources, by list, source and result (done, held, failed, stopped)",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_source_feedback_total",
        "Feedback on entries that was to be sent to their sources, by list, source, vote (affirmative, negative) and result (sent, failed)",
    ),
    Metric(MetricType::Gauge, "hashwarden_snapshot_id", "The snapshot that look-ups see"),
    Metric(MetricType::Gauge, "hashwarden_index_bytes", "Memory of the live indexes, hashes included, by kind of hash"),
    Metric(
        MetricType::Gauge,
        "hashwarden_index_recall",
        "Fraction of the planted hashes that the newest index found in its proof; below 1 that index is not in use; absent before the first proof",
    ),
    Metric(MetricType::Gauge, "hashwarden_store_bytes", "Bytes of the files in the store's directory"),
    Metric(
        MetricType::Gauge,
        "hashwarden_store_writable",
        "1 while lists accept changes, 0 while they don't because the disk is full or a write failed",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_log_lines_lost_total",
        "Log lines that could not be written to standard error, or were dropped because it was not read",
    ),
    Metric(
        MetricType::Gauge,
        "hashwarden_process_resident_bytes",
        "Resident memory of the process; the same as process_resident_memory_bytes",
    ),
    Metric(
        MetricType::Gauge,
        "hashwarden_limit_in_use",
        "Current use of a limited resource (connections, calls and bytes of callers, log lines waiting to be written), by the limit's key in the configuration",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_limit_refusals_total",
        "What was refused or ended because of a limit, by the limit's key in the configuration",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_near_questions_total",
        "Questions with a further PDQ hash that matched an entry at the edge of the radius, of callers that did so with more than [access] near_questions_max different ones within an hour, by caller",
    ),
    Metric(
        MetricType::Counter,
        "hashwarden_access_refusals_total",
        "Calls and items refused for the caller's token or rights, by reason (no_token, malformed, unknown, certificate, expired, revoked, changed: the caller's token or the entry of its certificate; role, rights, hashes, list: its rights)",
    ),
    Metric(
        MetricType::Gauge,
        "hashwarden_tokens_file_sound",
        "1 while the file of tokens can be read; 0 while it can't be, and the tokens read last count; absent where callers need none",
    ),
    Metric(MetricType::Gauge, "hashwarden_build_info", "Always 1; the label says the version"),
];

/// From a look-up (some 10 us) to a request that meets its deadline, about three buckets a decade.
const STAGE_SECONDS: &[f64] = &[
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1.0, 2.5, 5.0,
    10.0,
];

/// From one hash to a long stream.
const CALL_SECONDS: &[f64] =
    &[100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0];

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
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(std::io::Error),
}

/// A value of a metric that is read when the page is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub name: &'static str,
    /// Their names and values.
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

impl Reading {
    pub fn plain(name: &'static str, value: f64) -> Self {
        Reading { name, labels: Vec::new(), value }
    }

    pub fn of(name: &'static str, label: &'static str, of: impl Into<String>, value: f64) -> Self {
        Reading { name, labels: vec![(label, of.into())], value }
    }
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

    /// The page for Prometheus, in its text format. Of the series that were recorded of a list only those of `lists` are shown; `None`: all,
    /// as it is not known which there are.
    pub fn render(&self, readings: &[Reading], lists: Option<&BTreeSet<String>>) -> String {
        metrics_process::Collector::default().collect();
        if let Some(bytes) = log::waiting_bytes() {
            metrics::gauge!("hashwarden_limit_in_use", "limit" => "log.queue_bytes_max").set(bytes as f64);
        }
        let resident = resident_bytes().map(|bytes| Reading::plain("hashwarden_process_resident_bytes", bytes as f64));
        let mut page = String::new();
        for line in self.handle.render().lines().filter(|line| lists.is_none_or(|lists| is_of_a_list_there(line, lists))) {
            page.push_str(line);
            page.push('\n');
        }
        let mut readings: Vec<_> = readings.iter().chain(&resident).collect();
        readings.sort_by_key(|reading| reading.name);
        for same in readings.chunk_by(|a, b| a.name == b.name) {
            write_readings(&mut page, same);
        }
        page
    }
}

/// Names of lists hold nothing that would be escaped.
fn is_of_a_list_there(line: &str, lists: &BTreeSet<String>) -> bool {
    let name = line.split_once("list=\"").and_then(|(before, rest)| Some((before, rest.split_once('"')?.0)));
    // A help line has no label, whatever its words are.
    name.is_none_or(|(before, name)| before.starts_with('#') || lists.contains(name))
}

/// All values of one metric.
fn write_readings(page: &mut String, readings: &[&Reading]) {
    let Some(first) = readings.first() else { return };
    if let Some(Metric(kind, name, meaning)) = METRICS.iter().find(|metric| metric.1 == first.name) {
        write_help_line(page, name, None, None, meaning);
        write_type_line(page, name, None, None, if *kind == MetricType::Counter { "counter" } else { "gauge" });
    }
    for Reading { name, labels, value } in readings {
        let labels: Vec<_> = labels.iter().map(|(label, of)| format!("{label}=\"{}\"", sanitize_label_value(of))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(page, "{name}{labels} {value}"); // a String takes all
    }
    page.push('\n');
}

/// Resident memory of this process now, in bytes; `None` where there is no /proc.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    Some(kib * 1024)
}

fn builder() -> Result<PrometheusBuilder, TelemetryError> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("hashwarden_stage_seconds".into()), STAGE_SECONDS)?
        .set_buckets_for_metric(Matcher::Full("hashwarden_call_seconds".into()), CALL_SECONDS)?)
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
    metrics_process::Collector::default().describe();
    // From the start, so that an alert on its increase sees the first one too.
    metrics::counter!("hashwarden_log_lines_lost_total").increment(0);
    metrics::gauge!("hashwarden_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(record: fn()) -> String {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            record();
            Metrics { handle }.render(&[], None)
        })
    }

    #[test]
    fn what_is_read_is_shown_with_its_meaning_and_of_lists_only_those_that_are_there() {
        let recorder = builder().unwrap().build_recorder();
        let metrics = Metrics { handle: recorder.handle() };
        metrics::with_local_recorder(&recorder, || {
            for list in ["a", "a.b", "gone"] {
                metrics::counter!("hashwarden_matches_total", "list" => list, "action" => "REVIEW").increment(1);
            }
        });
        let rows = |list: &str, n| Reading::of("hashwarden_list_rows", "list", list, n);
        let readings = [rows("a", 7.0), Reading::plain("hashwarden_snapshot_id", 3.0), rows("b\"\\", 0.0)];
        let there = BTreeSet::from(["a".to_owned(), "a.b".to_owned()]);
        let page = metrics.render(&readings, Some(&there));
        let lines: Vec<_> = page.lines().filter(|line| !line.contains("process_") && !line.is_empty()).collect();
        let expected = [
            "# TYPE hashwarden_matches_total counter",
            "hashwarden_matches_total{list=\"a\",action=\"REVIEW\"} 1",
            "hashwarden_matches_total{list=\"a.b\",action=\"REVIEW\"} 1",
            "# HELP hashwarden_list_rows Entries of a list's active version, by list",
            "# TYPE hashwarden_list_rows gauge",
            "hashwarden_list_rows{list=\"a\"} 7",
            "hashwarden_list_rows{list=\"b\\\"\\\\\"} 0",
            "# HELP hashwarden_snapshot_id The snapshot that look-ups see",
            "# TYPE hashwarden_snapshot_id gauge",
            "hashwarden_snapshot_id 3",
        ];
        assert_eq!(lines.len(), expected.len(), "{page}");
        expected.iter().for_each(|line| assert!(lines.contains(line), "no {line} in {page}"));
        assert!(
            metrics.render(&[], None).contains("list=\"gone\""),
            "where it is not known which lists there are, all are shown"
        );
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
        for name in [
            "hashwarden_process_resident_bytes ",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_open_fds ",
        ] {
            assert!(rendered(|| ()).contains(name), "no {name}");
        }
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
