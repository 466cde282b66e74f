//! How verdicts and lists are printed: a line a result, as text for people or as JSON for programs.

use serde_json::{Map, Value, json};

use super::Exit;
use crate::catalog::{ListInfo, polarity_name};
use crate::entry::{Action, HashKind, ListVersion, Transforms, VersionState};
use crate::verdict::{Match, Outcome, Verdict};

/// What was matched: the name of its field in JSON and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub field: &'static str,
    pub value: String,
}

pub fn verdict_json(label: &Label, verdict: &Verdict) -> Value {
    let matches = |of: &[Match]| of.iter().map(match_json).collect::<Vec<_>>();
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
        "cut": verdict.cut,
        "matches": matches(&verdict.matches),
    })
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
    })
}

pub fn verdict_text(label: &Label, verdict: &Verdict) -> String {
    let mut text = format!("{:<11} {}", verdict.outcome.name(), label.value);
    if let Some(reason) = verdict.reason {
        text.push_str(&format!("  {reason}: {}", verdict.detail));
    }
    for part in &verdict.left_out {
        text.push_str(&format!("  left out: {}", part.0));
    }
    for (found, mark) in
        verdict.matches.iter().map(|m| (m, "candidate")).chain(verdict.suppressed.iter().map(|m| (m, "suppressed")))
    {
        let how = if found.exact { "exact".to_owned() } else { format!("{}/{} bits", found.distance, found.threshold) };
        let category = if found.category.is_empty() { String::new() } else { format!(" category {}", found.category) };
        text.push_str(&format!(
            "\n            {mark} {}/{}{category}  {} {how}  {} frame {}  {}",
            found.list, found.entry_id, found.kind, found.transform, found.frame, found.action
        ));
    }
    if verdict.cut > 0 {
        text.push_str(&format!("\n            and {} more", verdict.cut));
    }
    text
}

/// The exit code for several outcomes together.
pub fn exit_for(outcomes: impl IntoIterator<Item = Outcome>) -> Exit {
    outcomes.into_iter().fold(Exit::Done, |exit, outcome| match (exit, outcome) {
        (Exit::Matched, _) | (_, Outcome::Match) => Exit::Matched,
        (_, Outcome::NotScanned | Outcome::Partial) => Exit::NotScanned,
        (exit, Outcome::NoMatch) => exit,
    })
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
    json!({
        "name": info.list.name,
        "polarity": polarity_name(info.list.polarity),
        "enabled": !info.list.disabled,
        "entries": info.rows,
        "active_version": info.list.active.0,
        "previous_version": info.list.previous.0,
        "head_version": info.list.head.0,
        "updated_ms": info.updated_ms,
        "quality_min": policy.quality_min,
        "transforms": policy.transforms.iter().map(|t| t.name()).collect::<Vec<_>>(),
        "kinds": kinds,
        "category_radii": categories,
        "scope": policy.scope,
    })
}

/// One line a list.
pub fn list_line(info: &ListInfo) -> String {
    let state = match (info.list.disabled, info.list.active.0) {
        (true, _) => "disabled",
        (false, 0) => "empty",
        _ => "enabled",
    };
    let polarity = polarity_name(info.list.polarity).to_lowercase();
    format!("{:<24} {state:<9} {polarity:<9} version {:<4} {:>10} entries", info.list.name, info.list.active.0, info.rows)
}

pub fn list_text(info: &ListInfo) -> String {
    let policy = &info.list.policy;
    let mut text = list_line(info);
    text.push_str(&format!("\n  quality minimum  {}", policy.quality_min));
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
        text.push_str(&format!("\n  {:<16} radius {radius}", format!("{category}:{kind}")));
    }
    if !policy.scope.is_empty() {
        text.push_str(&format!("\n  scope            {}", policy.scope.join(",")));
    }
    text
}

fn state_name(state: VersionState) -> &'static str {
    match state {
        VersionState::Staged => "staged",
        VersionState::Sealed => "sealed",
        VersionState::Undone => "undone",
    }
}

pub fn version_json(version: &ListVersion, active: bool) -> Value {
    json!({
        "version": version.version.0,
        "state": state_name(version.state),
        "active": active,
        "entries": version.rows,
        "digest": hex::encode(version.digest),
        "source": version.source,
        "time_ms": version.time_ms,
    })
}

pub fn version_text(version: &ListVersion, active: bool) -> String {
    let mark = if active { "active" } else { state_name(version.state) };
    format!("version {:<4} {mark:<7} {:>10} entries  from {}", version.version.0, version.rows, version.source)
}
