//! `hashwarden list import`: a file to a list's new version, with what came of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::backend::lists;
use super::calls::Lists;
use super::context::{Context, Exit, Failure};
use super::mapping;
use super::output::say;
use super::remarks::{path_text, remark};
use crate::catalog::{Bundled, FINDINGS_MAX, Fetched, Finding, Hold, ImportOptions, ImportReport, Phase};
use crate::client::FilesToSend;
use crate::entry::VersionNo;
use crate::entry::shown::{counted, escaped, unopened, without_hashes};
use crate::lists::{ColumnUse, Format, Mapping};
use crate::store::Access;

#[derive(Args)]
pub struct ImportArgs {
    /// The list.
    name: String,
    /// The file to import; - for standard input. Several files, such as the pages of a dump, are one import.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to read the file: auto, csv, pdq-text (one PDQ hash a line), ncmec-xml, stopncii-json, threatexchange-json,
    /// vics-json or bundle (signed, from `list export`).
    #[arg(long, default_value = "auto", value_parser = format)]
    format: FormatArg,
    /// TOML file that says what each column of a CSV holds.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Read, check and compare the file without changing anything; exits with 3 if the import would be staged for review.
    #[arg(long)]
    dry_run: bool,
    /// Stage the new version, and do not activate it.
    #[arg(long, conflicts_with = "dry_run")]
    stage: bool,
    /// Where the file comes from, named as lists are. A file removes entries of its own source alone; what other sources have, or was
    /// added by hand, stays. A new name adds a source.
    #[arg(long = "source", value_name = "NAME", default_value = "import")]
    feed: String,
    /// The file has what changed since an earlier one: entries that it does not name stay as they are, rows marked as deleted remove theirs.
    #[arg(long)]
    delta: bool,
    /// Activate the new version even if it removes, adds or changes a large part of the list, and take a bundle that is older than the last one.
    #[arg(long, conflicts_with = "stage")]
    accept: bool,
}

#[derive(Clone, Copy)]
struct FormatArg(Option<Format>);

fn format(text: &str) -> Result<FormatArg, String> {
    if text == "auto" {
        return Ok(FormatArg(None));
    }
    text.parse().map(|f| FormatArg(Some(f))).map_err(|bad: crate::entry::BadValue| bad.0)
}

/// Findings that are named one by one; `list find --marked` has all.
const FINDINGS_SHOWN: usize = 20;

pub fn import(context: &Context, args: ImportArgs) -> Result<Exit, Failure> {
    let fail = |path: &Path, error: std::io::Error| Failure { exit: Exit::Failed, why: unopened(&path_text(path), &error) };
    let mapping = match &args.mapping {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| fail(path, e))?;
            mapping::read(&text).map_err(|why| Failure::usage(format!("the mapping {}: {why}", path_text(path))))?
        }
        None => Mapping::default(),
    };
    let bytes_total =
        args.files.iter().map(|path| file_bytes(path).map_err(|error| fail(path, error))).sum::<Result<u64, _>>()?;
    if args.files.iter().filter(|path| is_stdin(path)).count() > 1 {
        return Err(Failure::usage("standard input can be only one of the files"));
    }
    let source = match args.files.as_slice() {
        [one] => file_name(one),
        [first, more @ ..] => format!("{} and {} more", file_name(first), more.len()),
        [] => String::new(),
    };
    let options = ImportOptions {
        format: args.format.0,
        mapping,
        source,
        activate: !args.stage,
        dry_run: args.dry_run,
        accept: args.accept,
        feed: args.feed.clone(),
        delta: args.delta,
        fetched: Fetched::No,
    };
    if args.dry_run {
        // To write to a store of an earlier version would migrate it.
        lists(context, Access::Read)?;
    }
    let lists = lists(context, Access::Write)?;
    let started = std::time::Instant::now();
    let report = with_progress(context, bytes_total, lists.as_ref(), &args.name, &options, opened(args.files.clone()))?;
    let seconds = started.elapsed().as_secs_f64();
    report.bad.iter().for_each(|bad| remark(bad.to_string()));
    let unseen = report.rows_bad - report.bad.len() as u64;
    if unseen > 0 {
        remark(format!("and {}", counted(unseen, "more bad row", "more bad rows")));
    }
    for Finding { entry_id, kind, reason } in report.found.iter().take(FINDINGS_SHOWN) {
        remark(format!("entry {:?} is {}: {reason}", without_hashes(entry_id), kind.name()));
    }
    report.warnings.iter().for_each(|warning| remark(format!("warning: {warning}")));
    print_import(context, &args, &report, seconds)?;
    let failed = |why| Err(Failure { exit: Exit::Failed, why });
    match report.version {
        // As the import itself would exit.
        _ if args.dry_run && !report.held.is_empty() => failed(would_be_held(&report)),
        Some(version) if options.activate && !report.activated => failed(held(&args.name, version, &report)),
        _ => Ok(Exit::Done),
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// As reports and the audit trail name it.
fn file_name(path: &Path) -> String {
    let name = path.file_name().filter(|_| !is_stdin(path));
    let name = name.map_or_else(|| "standard input".to_owned(), |name| name.to_string_lossy().into_owned());
    escaped(&name).into_owned()
}

/// The file's size, as far as it has one; an error where it can't be opened.
fn file_bytes(path: &Path) -> std::io::Result<u64> {
    if is_stdin(path) {
        return Ok(0);
    }
    let facts = std::fs::metadata(path)?;
    if facts.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    // A pipe is opened once: who writes into it would see it closed.
    if facts.is_file() {
        File::open(path)?;
    }
    Ok(facts.len())
}

/// The files, each opened when its turn comes, with names where there are several.
fn opened(paths: Vec<PathBuf>) -> FilesToSend {
    let several = paths.len() > 1;
    Box::new(paths.into_iter().map(move |path| {
        let input: Box<dyn Read + Send> = if is_stdin(&path) {
            Box::new(std::io::stdin())
        } else {
            Box::new(File::open(&path).map_err(|error| std::io::Error::other(unopened(&path_text(&path), &error)))?)
        };
        Ok((if several { file_name(&path) } else { String::new() }, input))
    }))
}

/// What to do about a version that was made and not activated.
fn held(name: &str, version: VersionNo, report: &ImportReport) -> String {
    let (version, active) = (version.0, report.compared_with.0);
    let (look, again) = advice(report);
    format!(
        "version {version} is not active: {look} (hashwarden list diff {name} {active} {version} counts what changes), then \
         activate it (hashwarden list activate {name} {version}) or {again}"
    )
}

fn would_be_held(report: &ImportReport) -> String {
    let (look, again) = advice(report);
    format!("the import would be staged, not activated: {look}, then import the file and activate the new version, or {again}")
}

/// What to look at, and what to do instead of activating a version that is held.
fn advice(report: &ImportReport) -> (&'static str, &'static str) {
    match report.held.as_slice() {
        [Hold::LargeChange] => ("look at what would change", "import the file with --accept"),
        held if held.contains(&Hold::BadRows) => ("look at the bad rows", "import a corrected file"),
        [Hold::Findings] if report.findings > FINDINGS_MAX => ("look at what was found", "import a file without it"),
        [Hold::Findings] => ("look at what was found", "import the file with --accept"),
        _ => ("look at what would change", "import a corrected file"),
    }
}

/// Shows how far the import is, with rows a second and the time left, where someone looks on.
fn with_progress(
    context: &Context,
    bytes_total: u64,
    lists: &dyn Lists,
    name: &str,
    options: &ImportOptions,
    files: FilesToSend,
) -> Result<ImportReport, Failure> {
    let target = if context.json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target((bytes_total > 0).then_some(bytes_total), target);
    let style = ProgressStyle::with_template("{msg:<40} {wide_bar} {percent:>3} % {elapsed} ETA {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let started = std::time::Instant::now();
    let (mut phase, mut rows_read) = (Phase::Reading, 0);
    let report = lists.import(name, options, files, &mut |progress| {
        if progress.phase != phase {
            phase = progress.phase;
            bar.reset();
            bar.set_length(rows_read);
        }
        if phase == Phase::Reading {
            rows_read = progress.rows;
            bar.set_position(progress.bytes);
        } else {
            bar.set_position(progress.rows);
        }
        let rate = progress.rows as f64 / started.elapsed().as_secs_f64().max(1e-3);
        bar.set_message(format!("{} {} rows, {rate:.0} rows/s", phase.name(), progress.rows));
    });
    bar.finish_and_clear();
    report
}

fn print_import(context: &Context, args: &ImportArgs, report: &ImportReport, seconds: f64) -> Result<(), Failure> {
    let name = &args.name;
    let resident_peak = resident_peak_bytes();
    if context.json() {
        let mut json = report_json(report);
        json["list"] = json!(name);
        json["seconds"] = json!(seconds);
        json["resident_bytes_peak"] = json!(resident_peak);
        return say(json);
    }
    let what = match (report.version, report.activated) {
        (Some(version), true) => format!("version {} is active", version.0),
        (Some(version), false) => format!("version {} is staged, not active", version.0),
        (None, _) if args.dry_run && !report.held.is_empty() => "dry run, nothing changed; the import would be staged".to_owned(),
        (None, _) if args.dry_run => "dry run, nothing changed".to_owned(),
        (None, _) => "the list holds this already; no new version".to_owned(),
    };
    let ImportReport { added, changed, gone, unchanged, rows_bad, compared_with, .. } = report;
    let (entries, rows) = (counted(report.entries, "entry", "entries"), counted(report.rows, "row", "rows"));
    say(format!(
        "{name}: {what}: {entries} ({added} added, {changed} changed, {gone} gone, {unchanged} unchanged since version {}); \
         {rows} read, {rows_bad} bad",
        compared_with.0,
    ))?;
    if let Some(Bundled { signer, list, version, exported }) = &report.bundle {
        say(format!(
            "the bundle is version {version} of {signer}'s list {list}, exported at {}; its signature holds",
            escaped(exported)
        ))?;
    }
    if report.kept > 0 {
        let kept = counted(report.kept, "entry that is not in the file stays", "entries that are not in the file stay");
        say(format!("{kept}: added by hand, or from other sources"))?;
    }
    if report.details_changed > 0 {
        let entries = counted(report.details_changed, "unchanged entry has", "unchanged entries have");
        say(format!("{entries} other details or sources"))?;
    }
    let hashes: Vec<_> = report.hashes.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    say(format!("read as {}: {}", report.format.map_or("?", Format::name), hashes.join(", ")))?;
    if !report.columns.is_empty() {
        say(columns_text(&report.columns))?;
    }
    if report.rows_merged > 0 {
        say(format!("rows merged into another row's entry: {}", report.rows_merged))?;
    }
    if let (Some(version), false) = (report.version, report.activated) {
        say(format!("activate it with: hashwarden list activate {name} {}", version.0))?;
    }
    say(format!(
        "{seconds:.1} s, {:.0} rows/s, peak resident {} MiB in this process",
        report.rows as f64 / seconds.max(1e-3),
        resident_peak.map_or_else(|| "?".to_owned(), |bytes| (bytes >> 20).to_string())
    ))
}

fn report_json(report: &ImportReport) -> Value {
    let hashes: BTreeMap<_, _> = report.hashes.iter().map(|(kind, n)| (kind.to_string(), n)).collect();
    let bad: Vec<_> =
        report.bad.iter().map(|b| json!({"file": b.file, "line": b.line, "record": b.record, "reason": b.reason})).collect();
    let found = |f: &Finding| json!({"entry_id": f.entry_id, "kind": f.kind.name(), "reason": f.reason});
    let found: Vec<_> = report.found.iter().map(found).collect();
    let bundle =
        report.bundle.as_ref().map(|b| json!({"signer": b.signer, "list": b.list, "version": b.version, "exported": b.exported}));
    let column = |(number, column): (u32, &ColumnUse)| json!({"number": number, "name": column.name, "used_as": column.used_as});
    json!({
        "version": report.version.map(|v| v.0), "activated": report.activated, "rows": report.rows,
        "held": report.held.iter().map(|hold| hold.name()).collect::<Vec<_>>(),
        "rows_bad": report.rows_bad, "bad": bad, "rows_bad_in_part": report.rows_bad_in_part,
        "rows_merged": report.rows_merged, "rows_unsought": report.rows_unsought, "rows_unread": report.rows_unread,
        "added": report.added, "changed": report.changed, "gone": report.gone,
        "unchanged": report.unchanged, "details_changed": report.details_changed, "kept": report.kept,
        "findings": report.findings, "found": found,
        "rows_withdrawn": report.rows_withdrawn, "entries": report.entries, "compared_with": report.compared_with.0,
        "format": report.format.map(Format::name), "bundle": bundle, "hashes": hashes, "warnings": report.warnings,
        "columns": (1..).zip(&report.columns).map(column).collect::<Vec<_>>(),
    })
}

/// Such as `columns: id as id, Hash as md5; kept as they are: source, column 4`.
fn columns_text(columns: &[ColumnUse]) -> String {
    const SHOWN_MAX: usize = 20;
    let name = |number: u32, column: &ColumnUse| match column.name.as_str() {
        "" => format!("column {number}"),
        name => escaped(name).into_owned(),
    };
    let (mut used, mut kept, mut unused) = (Vec::new(), Vec::new(), Vec::new());
    for (number, column) in (1..).zip(columns) {
        match column.used_as {
            Some("field") => kept.push(name(number, column)),
            Some(what) => used.push(format!("{} as {what}", name(number, column))),
            None => unused.push(name(number, column)),
        }
    }
    let listed = |mut of: Vec<String>| {
        let more = of.len().saturating_sub(SHOWN_MAX);
        of.truncate(SHOWN_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        of.join(", ") + &more
    };
    let kept = if kept.is_empty() { String::new() } else { format!("; kept as they are: {}", listed(kept)) };
    let unused = if unused.is_empty() { String::new() } else { format!("; not read: {}", listed(unused)) };
    format!("columns: {}{kept}{unused}", listed(used))
}

/// The most memory this process has held, as Linux counts it.
fn resident_peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}
