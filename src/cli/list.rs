//! `hashwarden list`: lists, their policies, their versions.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::backend::{Lists, lists};
use super::output::{list_json, list_line, list_text, overlap_json, overlap_text, say, version_json, version_text};
use super::{Context, Exit, Failure};
use crate::catalog::{ActionRule, EditReport, ImportOptions, ImportReport, ListInfo, NewEntry, Phase, PolicyUpdate, RadiusRule};
use crate::entry::{HashKind, HashValue, Polarity, Transform, Transforms, VersionNo};
use crate::lists::{Format, Mapping};
use crate::store::Access;

#[derive(Subcommand)]
pub enum ListVerb {
    /// Create an empty list.
    Create {
        name: String,
        /// A list of harmless pictures: its matches suppress those of other lists.
        #[arg(long)]
        negative: bool,
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// Change a list's policy; what is not named stays.
    Set {
        name: String,
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// List the lists.
    Ls,
    /// Show a list and its policy.
    Show { name: String },
    /// Let a list answer again.
    Enable { name: String },
    /// Stop a list from answering; it keeps its entries.
    Disable { name: String },
    /// Delete a list and every hash of it.
    Delete { name: String },
    /// Make a file's rows the list's new version, and activate it.
    Import(ImportArgs),
    /// Add one entry with all the hashes given.
    Add {
        name: String,
        /// The list's own id for the entry; without one it is derived from the hashes under the store's key.
        #[arg(long)]
        id: Option<String>,
        #[arg(long, default_value = "")]
        category: String,
        #[command(flatten)]
        hashes: HashArgs,
    },
    /// Remove entries by id.
    Remove {
        name: String,
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Show a list's versions.
    Versions { name: String },
    /// Count how two versions differ.
    Diff { name: String, from: u32, to: u32 },
    /// Count what two lists share: entries whose hash the other has, or has near. A list with itself: its near-duplicates.
    Overlap {
        name: String,
        other: String,
        /// Bits; without it the wider of the two lists' radii. The wider it is, and the more alike the lists, the longer it takes.
        #[arg(long, value_parser = clap::value_parser!(u16).range(0..=256))]
        radius: Option<u16>,
        /// pdq, phash64 or dhash64.
        #[arg(long, default_value = "pdq", value_parser = kind)]
        kind: HashKind,
    },
    /// Make a sealed version the active one, exactly as it is: what was added or removed in later versions is not in it.
    Activate { name: String, version: u32 },
    /// Make the version that was active before the active one again; twice is where it began.
    Rollback { name: String },
}

#[derive(Args)]
pub struct PolicyArgs {
    /// Largest distance in bits that matches: N for PDQ, KIND=N, or CATEGORY:KIND=N; CATEGORY:KIND=none takes a category's own back. Repeatable.
    #[arg(long = "radius", value_name = "[[CATEGORY:]KIND=]N", value_parser = radius_change)]
    radii: Vec<RadiusChange>,
    /// PDQ quality, 0 to 100, below which a picture does not match.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
    quality_min: Option<u8>,
    /// What to do about a match: BLOCK, REVIEW or OBSERVE, for PDQ and digests, or KIND=ACTION. Repeatable.
    #[arg(long = "action", value_name = "[KIND=]ACTION", value_parser = action_rule)]
    actions: Vec<ActionRule>,
    /// Transforms of the picture that may match: all, or names separated by commas.
    #[arg(long, value_name = "NAMES", value_parser = transforms)]
    transforms: Option<Transforms>,
    /// Of a negative list: the lists whose matches it suppresses, separated by commas; "" for all.
    #[arg(long, value_name = "LISTS")]
    scope: Option<String>,
}

impl PolicyArgs {
    fn update(self) -> PolicyUpdate {
        let (mut radii, mut radii_removed) = (Vec::new(), Vec::new());
        for change in self.radii {
            match change {
                RadiusChange::Set(rule) => radii.push(rule),
                RadiusChange::Remove(category, kind) => radii_removed.push((category, kind)),
            }
        }
        let names = |scope: String| scope.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        PolicyUpdate {
            radii,
            radii_removed,
            actions: self.actions,
            quality_min: self.quality_min,
            transforms: self.transforms,
            scope: self.scope.map(names),
        }
    }
}

#[derive(Clone)]
enum RadiusChange {
    Set(RadiusRule),
    Remove(String, HashKind),
}

fn radius_change(text: &str) -> Result<RadiusChange, String> {
    let (of, radius) = text.rsplit_once('=').unwrap_or(("pdq", text));
    let (category, kind) = match of.rsplit_once(':') {
        Some((category, kind)) => (Some(category.to_owned()), kind),
        None => (None, of),
    };
    let kind: HashKind = kind.parse().map_err(|bad: crate::entry::BadValue| bad.0)?;
    match (category, radius) {
        (Some(category), "none") => Ok(RadiusChange::Remove(category, kind)),
        (category, radius) => Ok(RadiusChange::Set(RadiusRule { category, kind, radius: radius_of(kind, radius)? })),
    }
}

fn radius_of(kind: HashKind, text: &str) -> Result<u16, String> {
    let most = kind.radius_max();
    text.parse()
        .ok()
        .filter(|radius| *radius <= most)
        .ok_or_else(|| format!("a radius of {kind} is a number from 0 to {most}, or for a category none"))
}

fn kind(text: &str) -> Result<HashKind, String> {
    text.parse().map_err(|bad: crate::entry::BadValue| bad.0)
}

fn action_rule(text: &str) -> Result<ActionRule, String> {
    let words = |bad: crate::entry::BadValue| bad.0;
    Ok(match text.split_once('=') {
        Some((kind, action)) => ActionRule { kind: Some(kind.parse().map_err(words)?), action: action.parse().map_err(words)? },
        None => ActionRule { kind: None, action: text.parse().map_err(words)? },
    })
}

fn transforms(text: &str) -> Result<Transforms, String> {
    if text == "all" {
        return Ok(Transforms::ALL);
    }
    text.split(',').map(|name| name.parse::<Transform>().map_err(|bad| bad.0)).collect()
}

/// Hashes by kind, in hex. Each can be given more than once.
#[derive(Args, Clone)]
pub struct HashArgs {
    /// PDQ, 64 hex digits.
    #[arg(long, value_name = "HEX")]
    pdq: Vec<String>,
    /// 64-bit pHash as `hashwarden hash` takes it, 16 hex digits; others' pHashes are other hashes.
    #[arg(long, value_name = "HEX")]
    phash64: Vec<String>,
    /// 64-bit dHash as `hashwarden hash` takes it, 16 hex digits.
    #[arg(long, value_name = "HEX")]
    dhash64: Vec<String>,
    /// MD5 of the file, 32 hex digits.
    #[arg(long, value_name = "HEX")]
    md5: Vec<String>,
    /// SHA-1 of the file, 40 hex digits.
    #[arg(long, value_name = "HEX")]
    sha1: Vec<String>,
    /// SHA-256 of the file, 64 hex digits.
    #[arg(long, value_name = "HEX")]
    sha256: Vec<String>,
}

impl HashArgs {
    /// Read here and not while the arguments are parsed, whose errors repeat what was given: a hash of a list is a secret.
    pub fn values(&self) -> Result<Vec<HashValue>, Failure> {
        let kinds = [
            (HashKind::Pdq, &self.pdq),
            (HashKind::Phash64, &self.phash64),
            (HashKind::Dhash64, &self.dhash64),
            (HashKind::Md5, &self.md5),
            (HashKind::Sha1, &self.sha1),
            (HashKind::Sha256, &self.sha256),
        ];
        let given = kinds.iter().flat_map(|(kind, texts)| texts.iter().map(|text| (*kind, text)));
        given
            .map(|(kind, text)| HashValue::from_hex(kind, text).map_err(|bad| Failure::usage(format!("--{kind}: {}", bad.0))))
            .collect()
    }
}

#[derive(Args)]
pub struct ImportArgs {
    name: String,
    /// The file; - for standard input.
    file: PathBuf,
    /// auto, csv or pdq-text.
    #[arg(long, default_value = "auto", value_parser = format)]
    format: FormatArg,
    /// TOML file that says which CSV column holds what.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Read, check and compare; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Stop before activation.
    #[arg(long, conflicts_with = "dry_run")]
    stage: bool,
}

#[derive(Clone, Copy)]
struct FormatArg(Option<Format>);

fn format(text: &str) -> Result<FormatArg, String> {
    if text == "auto" {
        return Ok(FormatArg(None));
    }
    text.parse().map(|f| FormatArg(Some(f))).map_err(|bad: crate::entry::BadValue| bad.0)
}

pub fn run(context: &Context, verb: ListVerb) -> Result<Exit, Failure> {
    let reads = matches!(
        verb,
        ListVerb::Ls | ListVerb::Show { .. } | ListVerb::Versions { .. } | ListVerb::Diff { .. } | ListVerb::Overlap { .. }
    );
    let access = if reads { Access::Read } else { Access::Write };
    if let ListVerb::Import(args) = verb {
        return import(context, args);
    }
    let lists = lists(context, access)?;
    let show = |info: ListInfo| {
        say(if context.json() { list_json(&info).to_string() } else { list_text(&info) })?;
        Ok(Exit::Done)
    };
    match verb {
        ListVerb::Create { name, negative, policy } => {
            let polarity = if negative { Polarity::Negative } else { Polarity::Positive };
            show(lists.create(&name, polarity, &policy.update())?)
        }
        ListVerb::Set { name, policy } => {
            let update = policy.update();
            if update == PolicyUpdate::default() {
                return Err(Failure::usage("set needs something to change, such as --radius 31"));
            }
            show(lists.set(&name, &update)?)
        }
        ListVerb::Ls => {
            for info in lists.lists()? {
                say(if context.json() { list_json(&info).to_string() } else { list_line(&info) })?;
            }
            Ok(Exit::Done)
        }
        ListVerb::Show { name } => show(lists.list(&name)?),
        ListVerb::Enable { name } => show(lists.set_disabled(&name, false)?),
        ListVerb::Disable { name } => show(lists.set_disabled(&name, true)?),
        ListVerb::Delete { name } => {
            lists.delete(&name)?;
            say(if context.json() { json!({"deleted": name}).to_string() } else { format!("deleted {name}") })?;
            Ok(Exit::Done)
        }
        ListVerb::Import(_) => Ok(Exit::Done), // taken above
        ListVerb::Add { name, id, category, hashes } => {
            let hashes = hashes.values()?;
            if hashes.is_empty() {
                return Err(Failure::usage("add needs at least one hash, such as --pdq HEX"));
            }
            edited(context, lists.add(&name, vec![NewEntry { id, category, hashes }])?)
        }
        ListVerb::Remove { name, ids } => edited(context, lists.remove(&name, ids)?),
        ListVerb::Versions { name } => {
            let active = lists.list(&name)?.list.active;
            for version in lists.versions(&name)? {
                let is_active = version.version == active;
                let json = || version_json(&version, is_active).to_string();
                say(if context.json() { json() } else { version_text(&version, is_active) })?;
            }
            Ok(Exit::Done)
        }
        ListVerb::Diff { name, from, to } => {
            let diff = lists.diff(&name, VersionNo(from), VersionNo(to))?;
            let json = json!({"added": diff.added, "removed": diff.removed, "changed": diff.changed});
            let text = format!("{} added, {} removed, {} changed", diff.added, diff.removed, diff.changed);
            say(if context.json() { json.to_string() } else { text })?;
            Ok(Exit::Done)
        }
        ListVerb::Overlap { name, other, radius, kind } => {
            let report = lists.overlap(&name, &other, kind, radius)?;
            say(if context.json() {
                overlap_json(&name, &other, &report).to_string()
            } else {
                overlap_text(&name, &other, &report)
            })?;
            Ok(Exit::Done)
        }
        ListVerb::Activate { name, version } => {
            let before = lists.list(&name)?.list.active;
            let info = lists.activate(&name, VersionNo(version))?;
            if before > info.list.active {
                note!(
                    "hashwarden: version {version} is older than version {before}, which was active: what came or went since is undone; \
                     count it with: hashwarden list diff {name} {before} {version}",
                    before = before.0
                );
            }
            show(info)
        }
        ListVerb::Rollback { name } => show(lists.roll_back(&name)?),
    }
}

fn edited(context: &Context, report: EditReport) -> Result<Exit, Failure> {
    if context.json() {
        say(json!({
            "version": report.version.0, "added": report.added, "changed": report.changed, "removed": report.removed,
            "unchanged": report.unchanged, "missing": report.missing, "ids": report.ids,
        }))?;
    } else {
        say(format!(
            "version {}: {} added, {} changed, {} removed, {} unchanged{}",
            report.version.0,
            report.added,
            report.changed,
            report.removed,
            report.unchanged,
            if report.ids.is_empty() { String::new() } else { format!("  ({})", report.ids.join(", ")) }
        ))?;
    }
    if report.missing.is_empty() {
        return Ok(Exit::Done);
    }
    let why = format!("not in the list: {}", report.missing.join(", "));
    Err(Failure { exit: Exit::Failed, why })
}

fn import(context: &Context, args: ImportArgs) -> Result<Exit, Failure> {
    let fail = |path: &Path, error: std::io::Error| Failure { exit: Exit::Failed, why: format!("{}: {error}", path.display()) };
    let mapping = match &args.mapping {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| fail(path, e))?;
            mapping_from(&text).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?
        }
        None => Mapping::default(),
    };
    let stdin = args.file == Path::new("-");
    let (input, bytes_total): (Box<dyn BufRead + Send>, u64) = if stdin {
        (Box::new(BufReader::new(std::io::stdin())), 0)
    } else {
        let file = File::open(&args.file).map_err(|e| fail(&args.file, e))?;
        let facts = file.metadata().map_err(|e| fail(&args.file, e))?;
        if facts.is_dir() {
            return Err(fail(&args.file, std::io::ErrorKind::IsADirectory.into()));
        }
        let bytes = facts.len();
        (Box::new(BufReader::with_capacity(256 * 1024, file)), bytes)
    };
    let file_name = args.file.file_name().filter(|_| !stdin);
    let source = file_name.map_or_else(|| "standard input".to_owned(), |n| n.to_string_lossy().into_owned());
    let options = ImportOptions { format: args.format.0, mapping, source, activate: !args.stage, dry_run: args.dry_run };
    let lists = lists(context, Access::Write)?;
    let started = std::time::Instant::now();
    let report = with_progress(context, bytes_total, lists.as_ref(), &args.name, &options, input)?;
    let seconds = started.elapsed().as_secs_f64();
    for bad in &report.bad {
        note!("hashwarden: line {}: {}", bad.line, bad.reason);
    }
    for warning in &report.warnings {
        note!("hashwarden: warning: {warning}");
    }
    let unseen = report.rows_bad - report.bad.len() as u64;
    if unseen > 0 {
        note!("hashwarden: and {unseen} more bad rows");
    }
    print_import(context, &args, &report, seconds)?;
    if let (Some(version), true, false) = (report.version, options.activate, report.activated) {
        let why = format!("version {} is not active: look at the bad rows, then activate it or import a mended file", version.0);
        return Err(Failure { exit: Exit::Failed, why });
    }
    Ok(Exit::Done)
}

fn mapping_from(toml: &str) -> Result<Mapping, config::ConfigError> {
    let source = config::File::from_str(toml, config::FileFormat::Toml);
    config::Config::builder().add_source(source).build()?.try_deserialize()
}

/// Shows how far the import is, with rows a second and the time left, where someone looks on.
fn with_progress(
    context: &Context,
    bytes_total: u64,
    lists: &dyn Lists,
    name: &str,
    options: &ImportOptions,
    input: Box<dyn BufRead + Send>,
) -> Result<ImportReport, Failure> {
    let target = if context.json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target((bytes_total > 0).then_some(bytes_total), target);
    let style = ProgressStyle::with_template("{msg:<40} {wide_bar} {percent:>3} % {elapsed} ETA {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let started = std::time::Instant::now();
    let (mut phase, mut rows_read) = (Phase::Reading, 0);
    let report = lists.import(name, options, input, &mut |progress| {
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
        let hashes: BTreeMap<_, _> = report.hashes.iter().map(|(kind, n)| (kind.to_string(), n)).collect();
        let bad: Vec<_> = report.bad.iter().map(|b| json!({"line": b.line, "reason": b.reason})).collect();
        return say(json!({
            "list": name, "version": report.version.map(|v| v.0), "activated": report.activated, "rows": report.rows,
            "rows_bad": report.rows_bad, "bad": bad, "added": report.added, "changed": report.changed, "gone": report.gone,
            "unchanged": report.unchanged, "entries": report.entries, "compared_with": report.compared_with.0,
            "format": report.format.map(Format::name), "hashes": hashes, "warnings": report.warnings,
            "seconds": seconds, "resident_bytes_peak": resident_peak,
        }));
    }
    let what = match (report.version, report.activated) {
        (Some(version), true) => format!("version {} is active", version.0),
        (Some(version), false) => format!("version {} is ready, not active", version.0),
        (None, _) if args.dry_run => "dry run, nothing changed".to_owned(),
        (None, _) => "the list holds this already, no new version".to_owned(),
    };
    say(format!(
        "{name}: {what}: {} entries ({} added, {} changed, {} gone, {} unchanged since version {}); {} rows read, {} bad",
        report.entries,
        report.added,
        report.changed,
        report.gone,
        report.unchanged,
        report.compared_with.0,
        report.rows,
        report.rows_bad
    ))?;
    let hashes: Vec<_> = report.hashes.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    say(format!("read as {}: {}", report.format.map_or("?", Format::name), hashes.join(", ")))?;
    if let (Some(version), false) = (report.version, report.activated) {
        say(format!("activate it with: hashwarden list activate {name} {}", version.0))?;
    }
    say(format!(
        "{seconds:.1} s, {:.0} rows/s, peak resident {} MiB in this process",
        report.rows as f64 / seconds.max(1e-3),
        resident_peak.map_or_else(|| "?".to_owned(), |bytes| (bytes >> 20).to_string())
    ))
}

/// The most memory this process has held, as Linux counts it.
fn resident_peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}
