//! How verdicts and lists are printed: a line a result, as text for people or as JSON for programs.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::context::{Context, Exit, Failure};
use crate::catalog::{DiffCategory, DiffReport, EditReport, ListInfo, OverlapCategory, OverlapReport, polarity_name};
use crate::entry::shown::{counted, escaped, escaped_json, escaped_lines, in_words, without_hashes};
use crate::entry::{
    About, Action, HashKind, ListVersion, MadeBy, PdqDialect, Transforms, VIEW_SIDE, VersionNo, VersionState, View, ViewKind,
};
use crate::verdict::{Match, Outcome, Verdict, ViewCounts};

/// What was matched: the name of its field in JSON and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub field: &'static str,
    pub value: String,
}

impl Label {
    pub fn file(path: &Path) -> Self {
        Label { field: "file", value: path.to_string_lossy().into_owned() }
    }

    /// For a terminal: a file's name may hold line breaks and escape sequences, and whoever names it may be hostile.
    pub fn text(&self) -> Cow<'_, str> {
        escaped(&self.value)
    }
}

/// A result as JSON or as text, with nothing in it that could mislead a reader.
pub fn line(context: &Context, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> String {
    if context.json() { escaped_json(&json().to_string()).into_owned() } else { escaped_lines(&text()).into_owned() }
}

/// Writes one result to standard output.
///
/// # Errors
/// Where it can't be written; without words where the reader has gone (`hashwarden list ls | head -1`).
pub fn tell(context: &Context, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
    written(writeln!(io::stdout(), "{}", line(context, json, text)))
}

/// One result that is JSON or text already.
pub fn say(result: impl Display) -> Result<(), Failure> {
    let result = result.to_string();
    let shown = if result.starts_with('{') { escaped_json(&result) } else { escaped_lines(&result) };
    written(writeln!(io::stdout(), "{shown}"))
}

pub fn written(done: io::Result<()>) -> Result<(), Failure> {
    done.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure { exit: Exit::Failed, why: String::new() },
        _ => Failure { exit: Exit::Failed, why: format!("can't write to standard output: {}", in_words(&error)) },
    })
}

/// An item that got no verdict: its fields are those of one, `detail` says why.
pub fn unread_json(label: &Label, why: &str) -> Value {
    json!({
        label.field: label.value,
        "outcome": Outcome::NotScanned.name(),
        "reason": null,
        "detail": why,
        "action": null,
        "pdq_quality": null,
        "snapshot": null,
        "lists": [],
        "left_out": [],
        "suppressed": [],
        "shadow": [],
        "cut": 0,
        "views": views_json(ViewCounts::default()),
        "matches": [],
    })
}

pub fn unread_text(label: &Label, why: &str) -> String {
    format!("{:<11} {}  {why}", Outcome::NotScanned.name(), label.text())
}

pub fn verdict_json(label: &Label, verdict: &Verdict) -> Value {
    let of_match = if verdict.withheld { withheld_json } else { match_json };
    let matches = |of: &[Match]| of.iter().map(of_match).collect::<Vec<_>>();
    json!({
        label.field: label.value,
        "outcome": verdict.outcome.name(),
        "reason": verdict.reason.map(|r| r.name()),
        "detail": (!verdict.detail.is_empty()).then_some(&verdict.detail),
        "action": verdict.action.map(Action::name),
        "pdq_quality": verdict.pdq_quality,
        "snapshot": verdict.snapshot,
        "lists": verdict.lists.iter().map(|(name, v)| json!({"name": name, "version": v.0})).collect::<Vec<_>>(),
        "left_out": verdict.left_out.iter().map(|l| &l.0).collect::<Vec<_>>(),
        "suppressed": matches(&verdict.suppressed),
        "shadow": matches(&verdict.shadow),
        "cut": (!verdict.withheld).then_some(verdict.cut),
        "views": views_json(verdict.views),
        "matches": matches(&verdict.matches),
    })
}

fn views_json(counts: ViewCounts) -> Value {
    json!({"searched": counts.searched, "cut": counts.cut})
}

fn match_json(found: &Match) -> Value {
    json!({
        "list": found.list,
        "entry_id": found.entry_id,
        "category": found.category,
        "kind": found.kind.name(),
        "distance": found.distance,
        "threshold": found.threshold,
        "transform": found.transform.name(),
        "frame": found.frame,
        "exact": found.exact,
        "action": found.action.name(),
        "view": view_json(&found.view),
        "chance": found.chance,
    })
}

/// A match of which the server does not show how near it is, and what it matches.
fn withheld_json(found: &Match) -> Value {
    json!({
        "list": found.list,
        "entry_id": null,
        "category": found.category,
        "kind": found.kind.name(),
        "distance": null,
        "threshold": null,
        "transform": null,
        "frame": null,
        "exact": found.exact,
        "action": found.action.name(),
        "view": null,
        "chance": null,
    })
}

fn view_json(view: &View) -> Value {
    let fraction = |n: i16| f64::from(n) / f64::from(VIEW_SIDE);
    json!({
        "kind": view.kind.name(),
        "corners": view.corners.map(|(x, y)| [fraction(x), fraction(y)]),
        "degrees": f64::from(view.degrees) / 100.0,
    })
}

/// A view for people; empty for the whole. Such as `  in window 12.5,8 87.5,8 87.5,92 12.5,92 %`.
fn view_text(view: &View) -> String {
    if view.kind == ViewKind::Whole {
        return String::new();
    }
    let percent = |n: i16| f64::from(n) * 100.0 / f64::from(VIEW_SIDE);
    let corners = view.corners.map(|(x, y)| format!("{},{}", percent(x), percent(y))).join(" ");
    let degrees = f64::from(view.degrees.unsigned_abs()) / 100.0;
    let turned = match view.degrees {
        0 => String::new(),
        1.. => format!(" turned {degrees} degrees counter-clockwise"),
        _ => format!(" turned {degrees} degrees clockwise"),
    };
    format!("  in {} {corners} %{turned}", view.kind)
}

pub fn verdict_text(label: &Label, verdict: &Verdict) -> String {
    let mut text = format!("{:<11} {}", verdict.outcome.name(), label.text());
    if let Some(reason) = verdict.reason {
        text.push_str(&format!("  {reason}: {}", verdict.detail));
    }
    for part in &verdict.left_out {
        text.push_str(&format!("  left out: {}", part.0));
    }
    let marked = [(&verdict.matches, "candidate"), (&verdict.suppressed, "suppressed"), (&verdict.shadow, "in shadow")];
    for (found, mark) in marked.into_iter().flat_map(|(matches, mark)| matches.iter().map(move |found| (found, mark))) {
        let category = if found.category.is_empty() { String::new() } else { format!(" category {}", escaped(&found.category)) };
        if verdict.withheld {
            let exact = if found.exact { " exact" } else { "" };
            text.push_str(&format!("\n            {mark} {}{category}  {}{exact}  {}", found.list, found.kind, found.action));
            continue;
        }
        let how = match found.exact {
            true => "exact".to_owned(),
            false => format!("distance {} (at most {})", found.distance, found.threshold),
        };
        let frame = if found.frame > 0 { format!("  frame {}", found.frame) } else { String::new() };
        text.push_str(&format!(
            "\n            {mark} {}/{}{category}  {} {how}  {}{frame}{}  {}",
            found.list,
            escaped(&found.entry_id),
            found.kind,
            found.transform,
            view_text(&found.view),
            found.action
        ));
    }
    if verdict.cut > 0 {
        text.push_str(&format!("\n            and {} more", verdict.cut));
    }
    if verdict.views.cut > 0 {
        text.push_str("\n            the deadline passed before all views were looked up: this holds for the whole picture");
    }
    text
}

/// How many items had which outcome, and of how many the deadline left views that were not looked up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    outcomes: [u64; 4],
    cut: u64,
}

impl Counts {
    const OUTCOMES: [Outcome; 4] = [Outcome::Match, Outcome::NoMatch, Outcome::Partial, Outcome::NotScanned];

    pub fn add(&mut self, outcome: Outcome, views_cut: u64) {
        for (count, of) in self.outcomes.iter_mut().zip(Self::OUTCOMES) {
            *count += u64::from(of == outcome);
        }
        self.cut += u64::from(views_cut > 0);
    }

    pub fn sum(self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Such as `3 MATCH, 90 NO_MATCH, 0 PARTIAL, 1 NOT_SCANNED`.
    pub fn words(self) -> String {
        let parts = self.outcomes.iter().zip(Self::OUTCOMES).map(|(count, outcome)| format!("{count} {}", outcome.name()));
        let cut = Some(format!("{} with views that were not looked up in time", self.cut)).filter(|_| self.cut > 0);
        parts.chain(cut).collect::<Vec<_>>().join(", ")
    }

    pub fn exit(self) -> Exit {
        match self.outcomes {
            [0, _, 0, 0] if self.cut == 0 => Exit::Done,
            [0, ..] => Exit::NotScanned,
            _ => Exit::Matched,
        }
    }
}

pub fn list_json(info: &ListInfo) -> Value {
    let policy = &info.list.policy;
    let mut kinds = Map::new();
    for (kind, of_kind) in &policy.kinds {
        kinds.insert(kind.name().to_owned(), json!({"radius": of_kind.radius, "action": of_kind.action.name()}));
    }
    let categories: Vec<_> = policy
        .category_radii
        .iter()
        .map(|((category, kind), radius)| json!({"category": category, "kind": kind.name(), "radius": radius}))
        .collect();
    let category_actions: Vec<_> = policy
        .category_actions
        .iter()
        .map(|((category, kind), action)| json!({"category": category, "kind": kind.name(), "action": action.name()}))
        .collect();
    let views: Map<String, Value> = policy.views.iter().map(|(class, radius)| (class.name().to_owned(), json!(radius))).collect();
    json!({
        "name": info.list.name,
        "polarity": polarity_name(info.list.polarity),
        "enabled": !info.list.disabled,
        "entries": info.rows,
        "active_version": info.list.active.0,
        "previous_version": info.list.previous.0,
        "head_version": info.list.head.0,
        "updated_ms": info.updated_ms,
        "imported_ms": info.imported_ms,
        "quality_min": policy.quality_min,
        "pdq_dialect": policy.pdq_dialect.name(),
        "transforms": policy.transforms.iter().map(|t| t.name()).collect::<Vec<_>>(),
        "kinds": kinds,
        "category_radii": categories,
        "category_actions": category_actions,
        "shadow": policy.shadow,
        "disputes_max": policy.disputes_max,
        "owner": policy.about.owner,
        "provenance": policy.about.provenance,
        "legal_basis": policy.about.legal_basis,
        // An empty scope means all lists: where names were taken out, that is not said.
        "scope": if policy.scope.is_empty() && info.scope_hidden > 0 { Value::Null } else { json!(policy.scope) },
        "scope_hidden": info.scope_hidden,
        "views": views,
        "view_action_max": policy.view_action_max.name(),
        "sources": info.list.sources,
    })
}

/// One line a list.
pub fn list_line(info: &ListInfo) -> String {
    let state = match (info.list.disabled, info.list.active.0) {
        (true, _) => "disabled",
        (false, 0) => "empty",
        _ if info.list.policy.shadow => "shadow",
        _ => "enabled",
    };
    let polarity = polarity_name(info.list.polarity).to_lowercase();
    let entries = if info.rows == 1 { "entry" } else { "entries" };
    format!("{:<24} {state:<9} {polarity:<9} version {:<4} {:>10} {entries}", info.list.name, info.list.active.0, info.rows)
}

pub fn list_text(info: &ListInfo) -> String {
    let policy = &info.list.policy;
    let mut text = list_line(info);
    if info.list.active != VersionNo(0) {
        text.push_str(&format!("\n  updated          {}", utc(info.updated_ms)));
    }
    if info.imported_ms > 0 {
        text.push_str(&format!("\n  last import      {}", utc(info.imported_ms)));
    }
    text.push_str(&format!("\n  quality minimum  {}", policy.quality_min));
    if policy.pdq_dialect != PdqDialect::Unknown {
        text.push_str(&format!("\n  PDQ dialect      {}", policy.pdq_dialect.name()));
    }
    let transforms = match policy.transforms {
        Transforms::ALL => "all".to_owned(),
        some => some.iter().map(|t| t.name()).collect::<Vec<_>>().join(","),
    };
    text.push_str(&format!("\n  transforms       {transforms}"));
    for (kind, of_kind) in policy.kinds.iter().filter(|(kind, _)| **kind != HashKind::PhotoDna) {
        let how = if kind.is_digest() { "exact".to_owned() } else { format!("radius {}", of_kind.radius) };
        text.push_str(&format!("\n  {:<16} {how:<10} {}", kind.name(), of_kind.action));
    }
    for ((category, kind), radius) in &policy.category_radii {
        text.push_str(&format!("\n  {:<16} radius {radius}", format!("{}:{kind}", escaped(category))));
    }
    for ((category, kind), action) in &policy.category_actions {
        text.push_str(&format!("\n  {:<16} {:<10} {action}", format!("{}:{kind}", escaped(category)), ""));
    }
    let of_pdq = policy.kinds.get(&HashKind::Pdq).map_or(policy.view_action_max, |of_pdq| of_pdq.action);
    let action = of_pdq.min(policy.view_action_max);
    for class in policy.views.keys() {
        let how = policy.radius_in_views(*class).map_or_else(|| "not looked up".to_owned(), |radius| format!("radius {radius}"));
        text.push_str(&format!("\n  {:<16} {how:<10} {action}", format!("view {class}")));
    }
    let mut scope = policy.scope.clone();
    if info.scope_hidden > 0 {
        scope.push(format!("({} not shown)", counted(info.scope_hidden.into(), "list", "lists")));
    }
    if !scope.is_empty() {
        text.push_str(&format!("\n  scope            {}", scope.join(",")));
    }
    if policy.disputes_max > 0 {
        let members = counted(policy.disputes_max.into(), "member", "members");
        text.push_str(&format!("\n  withdrawn        if {members} or more dispute it"));
    }
    if policy.shadow {
        text.push_str("\n  in shadow        its matches alter no outcome");
    }
    let About { owner, provenance, legal_basis } = &policy.about;
    for (what, said) in [("owner", owner), ("provenance", provenance), ("legal basis", legal_basis)] {
        if !said.is_empty() {
            text.push_str(&format!("\n  {what:<16} {}", escaped(said)));
        }
    }
    text
}

pub fn edit_json(report: &EditReport) -> Value {
    json!({
        "version": report.version.0, "added": report.added, "changed": report.changed, "removed": report.removed,
        "unchanged": report.unchanged, "details_changed": report.details_changed, "missing": report.missing, "ids": report.ids,
    })
}

pub fn edit_text(report: &EditReport) -> String {
    let EditReport { version, added, changed, removed, unchanged, ids, .. } = report;
    let ids = if ids.is_empty() { String::new() } else { format!("  ({})", without_hashes(&escaped(&ids.join(", ")))) };
    format!("version {}: {added} added, {changed} changed, {removed} removed, {unchanged} unchanged{ids}", version.0)
}

pub fn diff_json(diff: &DiffReport) -> Value {
    let category = |of: &DiffCategory| {
        json!({
            "category": of.category, "added": of.added, "removed": of.removed, "changed": of.changed,
            "moved_in": of.moved_in, "moved_out": of.moved_out,
        })
    };
    json!({
        "added": diff.added, "removed": diff.removed, "changed": diff.changed, "reclassified": diff.reclassified,
        "categories": diff.categories.iter().map(category).collect::<Vec<_>>(),
    })
}

/// Categories by line, where there is one that has a name.
pub fn diff_text(diff: &DiffReport) -> String {
    let mut text = format!("{} added, {} removed, {} changed", diff.added, diff.removed, diff.changed);
    if diff.reclassified > 0 {
        text.push_str(&format!(", of which {} to another category", diff.reclassified));
    }
    if diff.categories.iter().all(|of| of.category.is_empty()) {
        return text;
    }
    for of in &diff.categories {
        let name = if of.category.is_empty() { "(none)".into() } else { without_hashes(&escaped(&of.category)).into_owned() };
        let counts = [
            (of.added, "added"),
            (of.removed, "removed"),
            (of.changed, "changed"),
            (of.moved_in, "moved in"),
            (of.moved_out, "moved out"),
        ];
        let counts: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        text.push_str(&format!("\n  {name:<16} {}", counts.join(", ")));
    }
    text
}

/// A version's state as users know it: *staged* is whole and was never active.
fn state_name(version: &ListVersion, active: bool) -> &'static str {
    match version.state {
        VersionState::Staged => "importing",
        VersionState::Sealed if active => "active",
        VersionState::Sealed if version.activated => "inactive",
        VersionState::Sealed => "staged",
        VersionState::Undone => "undone",
    }
}

/// What a version was made by, in words. The catalog's own source for an edit is a bare verb.
fn origin(version: &ListVersion) -> String {
    match (version.made_by, version.source.as_str()) {
        (MadeBy::Edit, "add") => "added by hand".to_owned(),
        (MadeBy::Edit, "remove") => "removed by hand".to_owned(),
        (_, source) => format!("from {}", escaped(&without_hashes(source))),
    }
}

pub fn version_json(version: &ListVersion, active: bool) -> Value {
    json!({
        "version": version.version.0,
        "parent": (version.parent != VersionNo(0)).then_some(version.parent.0),
        "state": state_name(version, active),
        "active": active,
        "entries": version.rows,
        "digest": hex::encode(version.digest),
        "source": without_hashes(&version.source),
        "time_ms": version.time_ms,
    })
}

pub fn version_text(version: &ListVersion, active: bool) -> String {
    format!(
        "version {:<4} {:<9} {:>10} entries  {}  {}",
        version.version.0,
        state_name(version, active),
        version.rows,
        utc(version.time_ms),
        origin(version)
    )
}

/// Minutes of the Gregorian calendar in UTC, from ms since the Unix epoch: days to a date as in Howard Hinnant's
/// "chrono-Compatible Low-Level Date Algorithms" (2013), with years that begin in March.
pub fn utc(time_ms: u64) -> String {
    let minutes = time_ms / 60_000;
    let days = minutes / 1440 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes % 1440 / 60, minutes % 60)
}

pub fn overlap_json(name: &str, other: &str, report: &OverlapReport) -> Value {
    let category = |OverlapCategory { category, entries, exact, near, differing }: &OverlapCategory| json!({"category": category, "entries": entries, "exact": exact, "near": near, "differing": differing});
    json!({
        "list": name,
        "other": other,
        "kind": report.kind.name(),
        "radius": report.radius,
        "entries": report.entries,
        "other_entries": report.other_entries,
        "exact": report.exact,
        "near": report.near,
        "differing": report.differing,
        "pairs": report.pairs,
        "categories": report.categories.iter().map(category).collect::<Vec<_>>(),
        "hubs": report.hubs.iter().map(|hub| json!({"entry_id": hub.entry_id, "neighbours": hub.neighbours})).collect::<Vec<_>>(),
    })
}

pub fn overlap_text(name: &str, other: &str, report: &OverlapReport) -> String {
    let OverlapReport { kind, radius, entries, other_entries, exact, near, pairs, .. } = report;
    let (of, pairs) = (counted(*entries, "entry", "entries"), counted(*pairs, "pair", "pairs"));
    let mut text = if name == other {
        format!(
            "{name} and itself, {kind} within {radius} bits: of {of}, {exact} share a hash with another and {near} come near one; {pairs}"
        )
    } else {
        let others = counted(*other_entries, "entry", "entries");
        format!(
            "{name} and {other}, {kind} within {radius} bits: of {of}, {exact} share a hash with the other list ({others}) and {near} come near one; {pairs}"
        )
    };
    if report.differing > 0 {
        let entries = counted(report.differing, "entry has", "entries have");
        text.push_str(&format!("\n  {entries} such a hash in an entry of another category"));
    }
    for OverlapCategory { category, entries, exact, near, differing } in &report.categories {
        let category = if category.is_empty() { Cow::Borrowed("(none)") } else { escaped(category) };
        let entries = counted(*entries, "entry", "entries");
        text.push_str(&format!("\n  category {category:<16} {entries}, {exact} exact, {near} near"));
        if *differing > 0 {
            text.push_str(&format!(", {differing} of them in another category too"));
        }
    }
    for hub in &report.hubs {
        text.push_str(&format!("\n  hub {:<21} {}", escaped(&hub.entry_id), counted(hub.neighbours, "neighbour", "neighbours")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script that looks at the exit code alone took views that the deadline left for views without a match.
    #[test]
    fn views_that_were_left_out_do_not_exit_as_nothing_matched() {
        let exit = |items: &[(Outcome, u64)]| {
            let mut counts = Counts::default();
            items.iter().for_each(|(outcome, cut)| counts.add(*outcome, *cut));
            counts.exit()
        };
        assert_eq!(exit(&[(Outcome::NoMatch, 0)]), Exit::Done);
        assert_eq!(exit(&[(Outcome::NoMatch, 0), (Outcome::NoMatch, 3)]), Exit::NotScanned);
        assert_eq!(exit(&[(Outcome::Match, 0), (Outcome::NoMatch, 3)]), Exit::Matched);
    }

    /// Expected values from `date -u -d @SECONDS`.
    /// One state once had two names, and an edit was "from add".
    #[test]
    fn a_version_s_state_and_origin_have_one_name_each() {
        let check = |state, activated, active, made_by, source: &str, expected: (&str, &str)| {
            let version = ListVersion {
                list: crate::entry::ListId(1),
                version: VersionNo(1),
                parent: VersionNo(0),
                lineage: Default::default(),
                state,
                rows: 1,
                digest: [0; 32],
                source: source.to_owned(),
                time_ms: 0,
                made_by,
                activated,
            };
            assert_eq!((state_name(&version, active), origin(&version).as_str()), expected);
        };
        let (import, edit) = (MadeBy::Import, MadeBy::Edit);
        check(VersionState::Staged, false, false, import, "a.csv", ("importing", "from a.csv"));
        check(VersionState::Sealed, false, false, import, "add", ("staged", "from add"));
        check(VersionState::Sealed, true, true, edit, "add", ("active", "added by hand"));
        check(VersionState::Sealed, true, false, edit, "remove", ("inactive", "removed by hand"));
        check(VersionState::Undone, false, false, import, "a.csv", ("undone", "from a.csv"));
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let check = |seconds: u64, expected: &str| assert_eq!(utc(seconds * 1000), expected);
        check(0, "1970-01-01 00:00 UTC");
        check(951_782_399, "2000-02-28 23:59 UTC");
        check(951_782_400, "2000-02-29 00:00 UTC");
        check(1_709_251_199, "2024-02-29 23:59 UTC");
        check(1_709_251_200, "2024-03-01 00:00 UTC");
        check(1_735_689_599, "2024-12-31 23:59 UTC");
        check(4_107_542_400, "2100-03-01 00:00 UTC");
    }
}
