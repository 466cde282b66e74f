//! `hashwarden list source`: where a list's sources are fetched from, and how it went.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::backend::lists;
use super::context::{Context, Exit, Failure};
use super::output::{tell, utc};
use super::remarks::remark;
use crate::catalog::{Feedback, FeedbackReport, FetchOptions, FetchReport, FetchWait, Hold, SourceInfo};
use crate::entry::shown::{counted, escaped, sized};
use crate::entry::{Feed, FeedKind, HashKind, Vote, Waits};
use crate::lists::Format;
use crate::store::Access;

#[derive(Subcommand)]
pub enum SourceVerb {
    /// Set where a source of a list is fetched from, and how often; the server then fetches it by itself.
    Set(SetArgs),
    /// Show the sources of a list that are fetched: when they were, how it went, and when they will be.
    Show {
        /// The list.
        name: String,
        /// This source alone.
        source: Option<String>,
    },
    /// Fetch a source now; exits with 3 if it can't be fetched, or if what it brought waits for a review.
    Fetch {
        /// The list.
        name: String,
        /// The source.
        source: String,
        /// Activate what is fetched, however much of the list it changes.
        #[arg(long)]
        accept: bool,
        /// From the beginning, as if nothing had been fetched before.
        #[arg(long)]
        again: bool,
    },
    /// Tell a source what a reviewer decided about a hash of one of its entries. The source must have been set with --feedback.
    Feedback(FeedbackArgs),
    /// Stop fetching a source. Its entries stay.
    Unset {
        /// The list.
        name: String,
        /// The source.
        source: String,
    },
}

#[derive(Args)]
pub struct SetArgs {
    /// The list.
    name: String,
    /// The source's name, as list import --source has it.
    source: String,
    /// ncmec, stopncii, threatexchange, or files: a file that a web server has, or the files of a folder.
    #[arg(long, value_parser = kind)]
    kind: FeedKind,
    /// Where it is fetched from: https://HOST/PATH, without user and query. ncmec: the environment's URL, above /v2. stopncii: such as
    /// https://api.stopncii.org/v1. threatexchange: such as https://graph.facebook.com/v26.0/GROUP.
    #[arg(long, required_unless_present = "folder", conflicts_with = "folder")]
    url: Option<String>,
    /// A folder of the server, by its absolute path; it lies below the one that the configuration names ([feeds] folder).
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The name of credentials that the server has ([feeds] credentials_dir).
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    credentials: String,
    /// Time from one fetch to the next, such as 15m, 1h or 1d.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    every: Duration,
    /// Of files: how to read them, as for list import.
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// Of files: they have what changed since earlier ones.
    #[arg(long)]
    delta: bool,
    /// Of ncmec: what reviewers decide about its entries may be sent to it (list source feedback).
    #[arg(long)]
    feedback: bool,
}

#[derive(Args)]
pub struct FeedbackArgs {
    /// The list.
    name: String,
    /// The source.
    source: String,
    /// The entry's id.
    entry: String,
    /// affirmative: the hash is of what the source says; or negative.
    #[arg(value_parser = vote)]
    vote: Vote,
    /// The hash that it is about: md5, sha1, pdq or photodna.
    #[arg(long, value_parser = hash_kind)]
    kind: HashKind,
    /// Of negative feedback: one of the source's reasons, by its name or its id. Without it, the source's reasons are listed, or the only one is taken.
    #[arg(long, value_name = "REASON", default_value = "", hide_default_value = true)]
    reason: String,
}

fn vote(text: &str) -> Result<Vote, String> {
    text.parse().map_err(|bad: crate::entry::BadValue| bad.0)
}

fn hash_kind(text: &str) -> Result<HashKind, String> {
    text.parse().map_err(|bad: crate::entry::BadValue| bad.0)
}

fn kind(text: &str) -> Result<FeedKind, String> {
    text.parse().map_err(|bad: crate::entry::BadValue| bad.0)
}

fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(|bad: crate::entry::BadValue| bad.0)
}

pub fn run(context: &Context, verb: SourceVerb) -> Result<Exit, Failure> {
    match verb {
        SourceVerb::Set(args) => set(context, args),
        SourceVerb::Show { name, source } => show(context, &name, source.as_deref()),
        SourceVerb::Fetch { name, source, accept, again } => fetch(context, &name, &source, FetchOptions { accept, again }),
        SourceVerb::Feedback(args) => feedback(context, args),
        SourceVerb::Unset { name, source } => {
            lists(context, Access::Write)?.unset_source(&name, &source)?;
            let json = json!({"list": name, "source": source, "unset": true});
            tell(context, || json, || format!("source {source} of list {name} is not fetched any more; its entries stay"))?;
            Ok(Exit::Done)
        }
    }
}

fn set(context: &Context, args: SetArgs) -> Result<Exit, Failure> {
    let not_text = || Failure::usage("the folder's path is not UTF-8");
    let place = match (args.url, args.folder) {
        (Some(url), _) if url.starts_with('/') => return Err(Failure::usage("--url is a URL; --folder names a folder")),
        (Some(url), _) => url,
        (None, Some(folder)) if folder.is_absolute() => folder.into_os_string().into_string().map_err(|_| not_text())?,
        (None, _) => return Err(Failure::usage("--folder is an absolute path: the server reads it")),
    };
    let format = args.format.map_or("", Format::name).to_owned();
    let (kind, credentials, every_s) = (args.kind, args.credentials, args.every.as_secs());
    let feed = Feed { kind, place, credentials, every_s, format, delta: args.delta, feedback: args.feedback, set_ms: 0 };
    let info = lists(context, Access::Write)?.set_source(&args.name, &args.source, &feed)?;
    tell_source(context, &info)?;
    Ok(Exit::Done)
}

fn show(context: &Context, name: &str, source: Option<&str>) -> Result<Exit, Failure> {
    let sources = lists(context, Access::Read)?.sources(name)?;
    if let Some(source) = source
        && !sources.iter().any(|info| info.name == source)
    {
        let why = format!("source {source} of list {name} is not set up to be fetched");
        return Err(Failure { exit: Exit::Failed, why });
    }
    sources
        .iter()
        .filter(|info| source.is_none_or(|source| info.name == source))
        .try_for_each(|info| tell_source(context, info))?;
    Ok(Exit::Done)
}

fn tell_source(context: &Context, info: &SourceInfo) -> Result<(), Failure> {
    tell(context, || source_json(info), || source_text(info, now_ms()))
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn source_json(info: &SourceInfo) -> Value {
    let SourceInfo { list, name, feed, state, waits, due_ms } = info;
    let time = |ms: u64| (ms > 0).then_some(ms);
    let (held, rolled_back) = match waits {
        Some(Waits::Held(version)) => (Some(version.0), None),
        Some(Waits::RolledBack(version)) => (None, Some(version.0)),
        None => (None, None),
    };
    json!({
        "list": list, "source": name, "kind": feed.kind.name(), "place": feed.place, "credentials": feed.credentials,
        "every_s": feed.every_s, "format": feed.format, "delta": feed.delta, "feedback": feed.feedback, "set_ms": feed.set_ms,
        "began_ms": time(state.began_ms), "attempted_ms": time(state.attempted_ms), "succeeded_ms": time(state.succeeded_ms), "failures": state.failures,
        "error": state.error, "version": state.version, "held_version": held, "rolled_back_version": rolled_back, "due_ms": due_ms,
        "age_s": info.age_ms(now_ms()) / 1_000,
    })
}

fn source_text(info: &SourceInfo, now_ms: u64) -> String {
    let SourceInfo { list, name, feed, state, waits, due_ms } = info;
    let span = |ms: u64| humantime::format_duration(Duration::from_secs(ms / 1_000)).to_string();
    let mut text = format!("{list} {name}: {} from {}, every {}", feed.kind, escaped(&feed.place), span(feed.every_s * 1_000));
    if !feed.credentials.is_empty() {
        text += &format!(", with credentials {}", feed.credentials);
    }
    if feed.delta {
        text += ", deltas";
    }
    if feed.feedback {
        text += ", feedback may be sent to it";
    }
    text += &match state.succeeded_ms {
        0 => "\n  never fetched whole".to_owned(),
        ms => format!("\n  last fetched     {} ({} ago)", utc(ms), span(now_ms.saturating_sub(ms))),
    };
    if state.version > 0 {
        text += &format!("\n  version          {}", state.version);
    }
    if state.failures > 0 {
        let attempts = counted(state.failures.into(), "attempt", "attempts");
        text +=
            &format!("\n  failing          {attempts} since, the last {}: {}", utc(state.attempted_ms), escaped(&state.error));
    }
    if state.began_ms > 0 {
        text += &format!("\n  fetching         since {}, and not ended", utc(state.began_ms));
    }
    text += &match (waits, due_ms) {
        (Some(Waits::Held(version)), _) => {
            let version = version.0;
            format!(
                "\n  waiting          version {version}, which the last fetch made, is held for review: look at what changes (list versions {list}; \
                 list diff {list} ACTIVE {version}), then activate it (list activate {list} {version}) or fetch again with --accept"
            )
        }
        (Some(Waits::RolledBack(version)), _) => format!(
            "\n  waiting          the list was rolled back to before version {}, so changes alone would not bring it up to date; list source fetch {list} \
             {name} fetches all from the beginning",
            version.0
        ),
        (None, Some(due)) if *due <= now_ms => "\n  next             due now".to_owned(),
        (None, Some(due)) => format!("\n  next             {} (in {})", utc(*due), span(due - now_ms)),
        (None, None) => String::new(),
    };
    text
}

fn fetch(context: &Context, name: &str, source: &str, options: FetchOptions) -> Result<Exit, Failure> {
    let lists = lists(context, Access::Write)?;
    let target = if context.json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(ProgressStyle::with_template("{spinner} {elapsed} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let mut waits = None;
    let report = lists.fetch_source(name, source, options, &mut |progress| {
        if let Some(wait) = progress.waits
            && waits != progress.waits
        {
            bar.suspend(|| remark(waiting(wait)));
        }
        waits = progress.waits;
        bar.set_message(match progress.importing {
            Some((phase, rows)) => format!("{} {rows} rows", phase.name()),
            None if progress.waits.is_some() => "waiting".to_owned(),
            None => format!(
                "fetching: {}, {}, {}",
                counted(progress.pages, "page", "pages"),
                counted(progress.records, "record", "records"),
                sized(progress.bytes)
            ),
        });
        bar.tick();
    });
    bar.finish_and_clear();
    let report = report?;
    report.warnings.iter().for_each(|warning| remark(format!("warning: {warning}")));
    tell(context, || report_json(name, source, &report), || report_text(name, source, &report))?;
    match (report.version, report.held.is_empty()) {
        (Some(version), false) => {
            let version = version.0;
            let why = format!(
                "version {version} is not active: look at what changes, then activate it (hashwarden list activate {name} {version}) or fetch \
                 again with --accept; the source is not fetched by itself until then"
            );
            Err(Failure { exit: Exit::Failed, why })
        }
        _ => Ok(Exit::Done),
    }
}

fn feedback(context: &Context, args: FeedbackArgs) -> Result<Exit, Failure> {
    let FeedbackArgs { name, source, entry, vote, kind, reason } = args;
    let feedback = Feedback { entry_id: entry, kind, vote, reason };
    let FeedbackReport { reason } = lists(context, Access::Write)?.send_feedback(&name, &source, &feedback)?;
    let json = json!({"list": name, "source": source, "vote": vote.name(), "kind": kind.name(), "reason": reason});
    let of_reason = if reason.is_empty() { String::new() } else { format!(" ({})", escaped(&reason)) };
    tell(
        context,
        || json,
        || format!("{} feedback{of_reason} on the entry's {kind} hash was sent to source {source} of list {name}", vote.name()),
    )?;
    Ok(Exit::Done)
}

fn waiting(wait: FetchWait) -> &'static str {
    match wait {
        FetchWait::Source => "waiting: the source is being fetched already",
        FetchWait::Place => "waiting: as many fetches are running as may run at once ([feeds] fetches_max)",
        FetchWait::Import => "waiting: another import is running",
    }
}

fn report_json(name: &str, source: &str, report: &FetchReport) -> Value {
    let FetchReport { pages, bytes, records, imports, rows_bad, added, changed, gone, version, held, warnings, is_unchanged } =
        report;
    json!({
        "list": name, "source": source, "pages": pages, "bytes": bytes, "records": records, "imports": imports, "rows_bad": rows_bad,
        "added": added, "changed": changed, "gone": gone, "version": version.map(|version| version.0),
        "held": held.iter().map(|hold| Hold::name(*hold)).collect::<Vec<_>>(), "warnings": warnings, "unchanged": is_unchanged,
    })
}

fn report_text(name: &str, source: &str, report: &FetchReport) -> String {
    let FetchReport { pages, bytes, records, rows_bad, added, changed, gone, .. } = report;
    if report.is_unchanged {
        return format!("{name} {source}: nothing new");
    }
    let what = match (report.version, report.held.is_empty()) {
        (Some(version), true) => format!("version {} is active", version.0),
        (Some(version), false) => format!("version {} is staged, not active", version.0),
        (None, _) => "the list holds this already".to_owned(),
    };
    format!(
        "{name} {source}: {what}: {added} added, {changed} changed, {gone} gone; {}, {}, {}, {rows_bad} bad",
        counted(*pages, "page", "pages"),
        counted(*records, "record", "records"),
        sized(*bytes)
    )
}
