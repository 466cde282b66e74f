//! `hashwarden list entry`, `find`, `note`, and `enable` and `disable` of single entries.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::backend::{lists, lists_with_indexes};
use super::calls::Lists;
use super::context::{Context, Exit, Failure};
use super::hashes::HashArgs;
use super::number::whole;
use super::output::{say, tell, utc};
use crate::access::tokens::Time;
use crate::catalog::{EntryInfo, EntryQuery, FOUND_MAX, Moment, PastMatch, PastReport};
use crate::entry::shown::{escaped, without_hashes};
use crate::entry::{Action, HashKind, Mark, MarkKind, Status};
use crate::store::Access;

#[derive(Args)]
pub struct EntryArgs {
    /// The list.
    name: String,
    /// The entry's id.
    id: String,
    /// Show the entry's hashes too; through a server this is for list admins, and logged.
    #[arg(long)]
    hashes: bool,
}

#[derive(Args)]
#[command(group(ArgGroup::new("query").required(true).multiple(false).args(["pdq", "phash64", "dhash64", "md5", "sha1", "sha256", "id", "marked"])))]
pub struct FindArgs {
    /// The list.
    name: String,
    #[command(flatten)]
    hashes: HashArgs,
    /// The beginning of the entries' ids; "" for all entries.
    #[arg(long, value_name = "PREFIX")]
    id: Option<String>,
    /// Entries that are disabled, quarantined or have a note.
    #[arg(long)]
    marked: bool,
    /// How far an entry's hash may be from the one given, in bits; by default it must be equal.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=256u16))]
    radius: u16,
    /// Show at most so many entries.
    #[arg(long, value_name = "N", value_parser = whole(1..=u32::MAX))]
    limit: Option<u32>,
}

#[derive(Args)]
#[command(group(ArgGroup::new("moment").required(true).multiple(false).args(["at", "snapshot"])))]
pub struct AsOfArgs {
    /// The list.
    name: String,
    /// The time: such as 2027-01-31 or 2027-01-31T12:00:00Z (UTC), or a duration ago, such as 7d.
    #[arg(long, value_name = "TIME", value_parser = time_ago)]
    at: Option<Time>,
    /// The snapshot that a verdict names.
    #[arg(long, value_name = "N", value_parser = whole(0..=u64::MAX))]
    snapshot: Option<u64>,
    #[command(flatten)]
    hashes: HashArgs,
}

#[derive(Args)]
pub struct NoteArgs {
    /// The list.
    name: String,
    /// The entry's id.
    id: String,
    /// The note; without one, the entry's note goes. An entry that is disabled stays disabled.
    text: Option<String>,
}

/// What an entry's matches ask for at most.
#[derive(Args)]
pub struct CapArgs {
    /// The list.
    pub name: String,
    /// The entry's id.
    pub id: String,
    /// OBSERVE or REVIEW; BLOCK takes the bound off.
    #[arg(value_parser = action)]
    action: Action,
    /// When the bound ends: a duration such as 30d, or a time such as 2027-01-31 (UTC).
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Time>,
    /// Why, for people to read.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

pub fn action(text: &str) -> Result<Action, String> {
    text.parse().map_err(|bad: crate::entry::BadValue| bad.0)
}

impl CapArgs {
    /// The new mark of an entry that may have one; without a note, the one that it has stays. An entry that is disabled has no matches to bound.
    pub fn mark(&self, before: Option<Mark>) -> Result<Option<Mark>, Failure> {
        if before.as_ref().is_some_and(|mark| mark.kind.stops()) {
            return Err(Failure { exit: Exit::Failed, why: "the entry is disabled or quarantined: enable it first".to_owned() });
        }
        let note = self.note.clone().or(before.map(|mark| mark.note)).unwrap_or_default();
        let until_ms = self.until.map(|time| time.0);
        Ok(match MarkKind::capping(self.action) {
            Some(kind) => Some(Mark { contents: Vec::new(), kind, until_ms, note }),
            None if note.is_empty() => None,
            None => Some(Mark { contents: Vec::new(), kind: MarkKind::Noted, until_ms: None, note }),
        })
    }
}

/// What is disabled: the list, or one entry of it.
#[derive(Args)]
pub struct DisableArgs {
    /// The list.
    pub name: String,
    /// Disable this entry alone: it does not match until it is enabled again, whatever is imported.
    #[arg(long, value_name = "ID")]
    pub entry: Option<String>,
    /// When the entry matches again: a duration such as 30d, or a time such as 2027-01-31 (UTC). Without it, when it is enabled.
    #[arg(long, value_name = "TIME", requires = "entry", value_parser = time)]
    until: Option<Time>,
    /// Why, for people to read.
    #[arg(long, value_name = "TEXT", requires = "entry")]
    note: Option<String>,
}

fn time(text: &str) -> Result<Time, String> {
    Time::parse(text, Time::now())
}

/// A time, or how long ago it was.
fn time_ago(text: &str) -> Result<Time, String> {
    let now = Time::now();
    let time = Time::parse(text, now)?;
    // A duration lies ahead, as far as it is long.
    let is_duration = Time::parse(text, Time(0)) != Time::parse(text, now);
    Ok(if is_duration { Time(now.0.saturating_sub(time.0 - now.0)) } else { time })
}

/// What a list would have answered to one hash at an earlier time.
pub fn as_of(context: &Context, lists: &dyn Lists, args: &AsOfArgs) -> Result<Exit, Failure> {
    let hashes = args.hashes.values()?;
    let [hash] = hashes.as_slice() else { return Err(Failure::usage("as-of takes one hash, such as --pdq HEX")) };
    let moment = match (args.snapshot, args.at) {
        (Some(seq), _) => Moment::Change(seq),
        (None, at) => Moment::Time(at.unwrap_or(Time::now()).0),
    };
    let report = lists.as_of(&args.name, moment, hash)?;
    tell(context, || past_json(&args.name, &report), || past_text(&args.name, &report))?;
    Ok(if report.matched() { Exit::Matched } else { Exit::Done })
}

fn past_json(list: &str, report: &PastReport) -> Value {
    let found = |found: &PastMatch| {
        let stopped = found.stopped_by.as_ref().map(|mark| json!({"kind": mark.kind.name(), "note": mark.note}));
        json!({
            "entry_id": found.entry_id, "category": found.category, "distance": found.distance, "threshold": found.threshold,
            "action": found.action.name(), "since_version": found.since.0, "stopped_by": stopped,
        })
    };
    json!({
        "list": list, "matched": report.matched(), "negative": report.negative, "shadow": report.shadow, "disabled": report.disabled,
        "snapshot": report.snapshot, "snapshot_ms": report.snapshot_ms, "version": report.version.0, "version_ms": report.version_ms,
        "incomplete": report.incomplete, "cut": report.cut, "matches": report.matches.iter().map(found).collect::<Vec<_>>(),
    })
}

fn past_text(list: &str, report: &PastReport) -> String {
    let answer = match report.met() {
        true if report.negative => "would have suppressed matches of other lists",
        true if report.shadow => "would have matched in shadow, altering no outcome",
        true => "would have matched",
        false if report.disabled => "would not have matched: the list was disabled",
        false if report.incomplete => "would not have matched by any entry that is still kept",
        false => "would not have matched",
    };
    let version = match report.version.0 {
        0 => "no version was active".to_owned(),
        n => format!("version {n} was active, since {}", utc(report.version_ms)),
    };
    let mut text = format!("{list}: {answer}\n  snapshot {}, of {}\n  {version}", report.snapshot, utc(report.snapshot_ms));
    for found in &report.matches {
        let category = if found.category.is_empty() { String::new() } else { format!("  category {}", shown(&found.category)) };
        let (id, since) = (shown(&found.entry_id), found.since.0);
        let stopped = found.stopped_by.as_ref().map_or_else(String::new, |mark| {
            let note = if mark.note.is_empty() { String::new() } else { format!(" ({})", shown(&mark.note)) };
            format!("  did not match: {}{note}", mark.kind)
        });
        let (distance, threshold, action) = (found.distance, found.threshold, found.action);
        text.push_str(&format!(
            "\n  {id}{category}  distance {distance} (at most {threshold})  {action}  since version {since}{stopped}"
        ));
    }
    if report.cut > 0 {
        text.push_str(&format!("\n  and {} more", report.cut));
    }
    if report.incomplete {
        text.push_str("\n  the version is not kept any more: entries that were removed since are missing here");
    }
    text
}

impl DisableArgs {
    /// The new mark of an entry that may have one; without a note, the one that it has stays.
    pub fn mark(&self, before: Option<Mark>) -> Mark {
        let note = self.note.clone().or(before.map(|mark| mark.note)).unwrap_or_default();
        Mark { contents: Vec::new(), kind: MarkKind::Disabled, until_ms: self.until.map(|time| time.0), note }
    }
}

/// Has an entry match again. What was noted stays.
pub fn enable(context: &Context, lists: &dyn Lists, name: &str, id: &str) -> Result<Exit, Failure> {
    let before = lists.entry(name, id, true).ok().and_then(|info| info.mark).map(|marked| marked.mark);
    let mark = match before {
        Some(mark) if !mark.kind.stops() && mark.kind.action_max().is_none() => {
            return Err(Failure { exit: Exit::Failed, why: "the entry is not disabled".to_owned() });
        }
        Some(mark) if !mark.note.is_empty() => {
            Some(Mark { contents: Vec::new(), kind: MarkKind::Noted, until_ms: None, note: mark.note })
        }
        _ => None,
    };
    set_mark(context, lists, name, id, mark)
}

/// The mark of an entry, with its note as it is where the caller may see it.
pub fn mark_of(lists: &dyn Lists, name: &str, id: &str) -> Result<Option<Mark>, Failure> {
    Ok(lists.entry(name, id, true)?.mark.map(|marked| marked.mark))
}

pub fn entry(context: &Context, args: &EntryArgs) -> Result<Exit, Failure> {
    let info = lists(context, Access::Read)?.entry(&args.name, &args.id, args.hashes)?;
    tell(context, || entry_json(&args.name, &info, None), || entry_text(&info, args.hashes))?;
    Ok(Exit::Done)
}

pub fn find(context: &Context, args: FindArgs) -> Result<Exit, Failure> {
    let query = match (args.hashes.values()?.as_slice(), args.id, args.marked) {
        ([hash], None, false) => EntryQuery::Hash(hash.clone(), args.radius),
        (_, _, _) if args.radius > 0 => return Err(Failure::usage("--radius is for one hash, such as --pdq HEX")),
        ([], Some(prefix), false) => EntryQuery::Id(prefix),
        ([], None, true) => EntryQuery::Marked,
        _ => return Err(Failure::usage("find looks for one thing: one hash, --id or --marked")),
    };
    let lists = lists_with_indexes(context)?;
    let (mut left, mut after, mut found) = (args.limit.map_or(usize::MAX, |limit| limit as usize), None, 0u64);
    loop {
        let page = lists.find_entries(&args.name, &query, after, left.min(FOUND_MAX))?;
        for (info, distance) in &page.entries {
            let distance = matches!(query, EntryQuery::Hash(..)).then_some(*distance);
            tell(context, || entry_json(&args.name, info, distance), || entry_line(info, distance))?;
        }
        found += page.entries.len() as u64;
        left -= page.entries.len().min(left);
        after = page.more_after;
        if after.is_none() || left == 0 {
            break;
        }
    }
    match found {
        0 => Err(Failure { exit: Exit::Failed, why: format!("list {} has no such entry", args.name) }),
        _ => Ok(Exit::Done),
    }
}

pub fn note(context: &Context, args: NoteArgs) -> Result<Exit, Failure> {
    let lists = lists(context, Access::Write)?;
    let before = mark_of(lists.as_ref(), &args.name, &args.id)?;
    let note = args.text.unwrap_or_default();
    let mark = match before {
        Some(mark) if mark.kind != MarkKind::Noted => Some(Mark { note, ..mark }),
        None if note.is_empty() => return Err(Failure { exit: Exit::Failed, why: "the entry has no note".to_owned() }),
        _ if note.is_empty() => None,
        _ => Some(Mark { contents: Vec::new(), kind: MarkKind::Noted, until_ms: None, note }),
    };
    set_mark(context, lists.as_ref(), &args.name, &args.id, mark)
}

/// Sets an entry's mark or takes it off, and shows the entry.
pub fn set_mark(context: &Context, lists: &dyn Lists, name: &str, id: &str, mark: Option<Mark>) -> Result<Exit, Failure> {
    let is_set = mark.is_some();
    lists.set_mark(name, id, mark)?;
    match lists.entry(name, id, false) {
        Ok(info) => tell(context, || entry_json(name, &info, None), || entry_line(&info, None))?,
        // A mark of what the list does not have any more can be taken off.
        Err(failure) if is_set => return Err(failure),
        Err(_) => say(if context.json() { "{}" } else { "the mark is off; the list has no such entry now" })?,
    }
    Ok(Exit::Done)
}

fn kinds(info: &EntryInfo) -> String {
    let kinds = info.kinds.iter().map(|(kind, n)| if *n == 1 { kind.to_string() } else { format!("{n} {kind}") });
    kinds.collect::<Vec<_>>().join(", ")
}

/// Why it does not match, or what was noted.
fn state(info: &EntryInfo) -> String {
    let mut said = Vec::new();
    if info.status != Status::Active {
        said.push(info.status.to_string());
    }
    if let Some(marked) = &info.mark {
        let until = marked.mark.until_ms.map_or_else(String::new, |ms| format!(" until {}", Time(ms)));
        let note = if marked.mark.note.is_empty() { String::new() } else { format!(" ({})", shown(&marked.mark.note)) };
        said.push(format!("{}{until} by {}{note}", marked.mark.kind, shown(&marked.by)));
    }
    said.join("; ")
}

fn shown(text: &str) -> String {
    without_hashes(&escaped(text)).into_owned()
}

fn entry_line(info: &EntryInfo, distance: Option<u16>) -> String {
    let distance = distance.map_or_else(String::new, |bits| format!("  distance {bits}"));
    let (id, category, state) = (shown(&info.id), shown(&info.category), state(info));
    format!("{id}  {category}  {}{distance}  {state}", kinds(info)).trim_end().to_owned()
}

fn entry_text(info: &EntryInfo, with_hashes: bool) -> String {
    let text = |text: &str| if with_hashes { escaped(text).into_owned() } else { shown(text) };
    let details = &info.details;
    let mut lines = vec![
        ("id", text(&info.id)),
        ("category", text(&info.category)),
        ("status", info.status.to_string()),
        ("hashes", kinds(info)),
        ("sources", info.sources.join(", ")),
        ("since version", info.version.0.to_string()),
        ("mark", if info.mark.is_some() { state(&EntryInfo { status: Status::Active, ..info.clone() }) } else { String::new() }),
        ("tags", text(&details.tags.join(", "))),
        ("note", text(&details.note)),
        ("updated", text(&details.updated)),
        ("quality", details.quality.map_or_else(String::new, |quality| quality.to_string())),
    ];
    lines.retain(|(_, value)| !value.is_empty());
    let mut out: Vec<String> = lines.into_iter().map(|(name, value)| format!("{name:<14} {value}")).collect();
    out.extend(details.fields.iter().map(|(name, value)| format!("{:<14} {}", text(name), text(value))));
    if details.cut {
        out.push("(what the source says was too long; the rest is left out)".to_owned());
    }
    out.extend(info.hashes.iter().map(|hash| format!("{:<14} {}", hash.kind().name(), hash.hex())));
    out.join("\n")
}

fn entry_json(list: &str, info: &EntryInfo, distance: Option<u16>) -> Value {
    let details = &info.details;
    let kinds: BTreeMap<String, u64> = info.kinds.iter().map(|(kind, n)| (kind.to_string(), *n)).collect();
    let mark = info.mark.as_ref().map(|marked| {
        json!({"kind": marked.mark.kind.name(), "until_ms": marked.mark.until_ms, "note": marked.mark.note,
               "by": marked.by, "time_ms": marked.time_ms})
    });
    let mut json = json!({
        "list": list, "entry_id": info.id, "category": info.category, "status": info.status.name(), "kinds": kinds,
        "sources": info.sources, "version": info.version.0, "mark": mark, "tags": details.tags, "note": details.note,
        "updated": details.updated, "quality": details.quality, "cut": details.cut,
        "fields": details.fields.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>(),
    });
    if let (Some(distance), Some(json)) = (distance, json.as_object_mut()) {
        json.insert("distance".to_owned(), distance.into());
    }
    if !info.hashes.is_empty()
        && let Some(json) = json.as_object_mut()
    {
        let mut of: BTreeMap<HashKind, Vec<String>> = BTreeMap::new();
        info.hashes.iter().for_each(|hash| of.entry(hash.kind()).or_default().push(hash.hex()));
        json.insert("hashes".to_owned(), of.into_iter().map(|(kind, hashes)| (kind.to_string(), Value::from(hashes))).collect());
    }
    json
}
