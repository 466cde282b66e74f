//! What does the log say of changes to lists? Who changed what; the log gives the time.
//!
//! One line for each verb that changed something, at info, after it was done. Names, categories and sources are recorded as plain fields, which
//! escapes them. Invariant: no line holds an entry's id or hash, as ids can be hashes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{CatalogError, EditReport, ExportOptions, ExportReport, ImportOptions, ImportReport};
use crate::entry::shown::without_hashes;
use crate::entry::{About, Action, Caller, Feed, HashList, ListPolicy, ListVersion, Mark, Polarity};

pub fn created(by: &Caller, name: &str, polarity: Polarity) {
    let polarity = if polarity == Polarity::Negative { "negative" } else { "positive" };
    tracing::info!(by = by.0, list = name, polarity, "a list was created");
}

pub fn policy_set(by: &Caller, list: &HashList, policy: &ListPolicy) {
    tracing::info!(by = by.0, list = list.name, changes = changes(&list.policy, policy), "a list's policy was changed");
}

pub fn disabled(by: &Caller, list: &HashList, disabled: bool) {
    let what = if disabled { "a list was disabled" } else { "a list was enabled" };
    tracing::info!(by = by.0, list = list.name, "{what}");
}

pub fn deleted(by: &Caller, list: &HashList, rows: u64) {
    tracing::info!(by = by.0, list = list.name, version = list.active.0, rows, "a list was deleted");
}

pub fn activated(by: &Caller, list: &HashList, version: &ListVersion) {
    let (before, rows) = (list.active.0, version.rows);
    tracing::info!(by = by.0, list = list.name, version = version.version.0, before, rows, "a version was activated");
}

pub fn marked(by: &Caller, list: &HashList, mark: Option<&Mark>) {
    match mark {
        Some(mark) => tracing::info!(by = by.0, list = list.name, mark = mark.kind.name(), "an entry was marked"),
        None => tracing::info!(by = by.0, list = list.name, "the mark of an entry was taken off"),
    }
}

/// The place has nothing secret: see [`Feed`].
pub fn source_set(by: &Caller, list: &str, source: &str, feed: &Feed) {
    let Feed { kind, place, credentials, every_s, feedback, .. } = feed;
    tracing::info!(by = by.0, list, source, kind = kind.name(), place, credentials, every_s, feedback, "a source was set");
}

pub fn source_unset(by: &Caller, list: &str, source: &str) {
    tracing::info!(by = by.0, list, source, "a source is not fetched any more");
}

pub fn edited(by: &Caller, list: &HashList, report: &EditReport) {
    let EditReport { version, added, changed, removed, .. } = report;
    if added + changed + removed > 0 {
        tracing::info!(by = by.0, list = list.name, version = version.0, added, changed, removed, "a list was edited");
    }
}

pub fn imported(by: &Caller, name: &str, options: &ImportOptions, report: &ImportReport, took: Duration) {
    let ImportReport { rows, rows_bad, added, changed, gone, unchanged, entries, activated, .. } = report;
    let (by, version) = (&by.0, report.version.map_or(report.compared_with.0, |version| version.0));
    let (list, seconds, file) = (name, took.as_secs_f32(), &*without_hashes(&options.source));
    let ImportOptions { feed: source, delta, .. } = options;
    let held = report.held.iter().map(|hold| hold.name()).collect::<Vec<_>>().join(",");
    let what = match (report.version, activated) {
        (None, _) => "a file was imported and changes nothing",
        (Some(_), true) => "a file was imported and is active",
        (Some(_), false) => "a file was imported and is not active",
    };
    tracing::info!(
        by, list, file, source, delta, version, rows, rows_bad, added, changed, gone, unchanged, entries, activated, held,
        seconds, "{what}"
    );
}

pub fn not_imported(by: &Caller, name: &str, options: &ImportOptions, error: &CatalogError) {
    let (file, source) = (&*without_hashes(&options.source), &*without_hashes(&options.feed));
    tracing::info!(by = by.0, list = name, file, source, %error, "a file was not imported");
}

pub fn exported(by: &Caller, list: &HashList, options: &ExportOptions, report: &ExportReport, error: Option<&CatalogError>) {
    let (by, list, format, version) = (&by.0, &list.name, options.format.name(), report.version.0);
    let ExportReport { entries, left_out, stopped, bytes, .. } = report;
    match error {
        None => tracing::info!(by, list, version, format, entries, left_out, stopped, bytes, "a list was exported"),
        Some(error) => tracing::info!(by, list, version, format, entries, %error, "a list was not exported whole"),
    }
}

/// What differs between two policies, in words.
fn changes(old: &ListPolicy, new: &ListPolicy) -> String {
    let mut said = Vec::new();
    for (kind, is) in &new.kinds {
        let Some(was) = old.kinds.get(kind).filter(|was| *was != is) else { continue };
        if was.radius != is.radius {
            said.push(format!("{kind} radius {} to {}", was.radius, is.radius));
        }
        if was.action != is.action {
            said.push(format!("{kind} action {} to {}", was.action, is.action));
        }
    }
    let of_category = |policy: &ListPolicy, key| policy.category_radii.get(key).map_or("none".to_owned(), u16::to_string);
    for key in old.category_radii.keys().chain(new.category_radii.keys()).collect::<BTreeSet<_>>() {
        let (was, is) = (of_category(old, key), of_category(new, key));
        if was != is {
            said.push(format!("{:?} {} radius {was} to {is}", key.0, key.1));
        }
    }
    let of_category = |policy: &ListPolicy, key| policy.category_actions.get(key).map_or("none".to_owned(), Action::to_string);
    for key in old.category_actions.keys().chain(new.category_actions.keys()).collect::<BTreeSet<_>>() {
        let (was, is) = (of_category(old, key), of_category(new, key));
        if was != is {
            said.push(format!("{:?} {} action {was} to {is}", key.0, key.1));
        }
    }
    if old.quality_min != new.quality_min {
        said.push(format!("quality minimum {} to {}", old.quality_min, new.quality_min));
    }
    let transforms = |policy: &ListPolicy| policy.transforms.iter().map(|t| t.name()).collect::<Vec<_>>().join(",");
    if old.transforms != new.transforms {
        said.push(format!("transforms {} to {}", transforms(old), transforms(new)));
    }
    let scope = |policy: &ListPolicy| if policy.scope.is_empty() { "all lists".to_owned() } else { policy.scope.join(",") };
    if old.scope != new.scope {
        said.push(format!("scope {} to {}", scope(old), scope(new)));
    }
    let views = |policy: &ListPolicy| match policy.views.is_empty() {
        true => "whole".to_owned(),
        false => policy.views.iter().map(|(class, radius)| format!("{class}={radius}")).collect::<Vec<_>>().join(","),
    };
    if old.views != new.views {
        said.push(format!("views {} to {}", views(old), views(new)));
    }
    if old.view_action_max != new.view_action_max {
        said.push(format!("action for views at most {} to {}", old.view_action_max, new.view_action_max));
    }
    if old.pdq_dialect != new.pdq_dialect {
        said.push(format!("dialect of PDQ {} to {}", old.pdq_dialect.name(), new.pdq_dialect.name()));
    }
    if old.shadow != new.shadow {
        said.push(format!("shadow {} to {}", on_off(old.shadow), on_off(new.shadow)));
    }
    if old.disputes_max != new.disputes_max {
        said.push(format!("withdrawn if disputed by {} to {}", old.disputes_max, new.disputes_max));
    }
    let about = |of: &About| {
        [("owner", of.owner.clone()), ("provenance", of.provenance.clone()), ("legal basis", of.legal_basis.clone())]
    };
    for ((what, was), (_, is)) in about(&old.about).into_iter().zip(about(&new.about)) {
        if was != is {
            said.push(format!("{what} {:?} to {:?}", without_hashes(&was), without_hashes(&is)));
        }
    }
    said.join("; ")
}

fn on_off(is: bool) -> &'static str {
    if is { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{HashKind, PdqDialect, Transforms, ViewKind};

    #[test]
    fn each_part_of_a_policy_that_changes_is_said() {
        let old = ListPolicy::default_for(Polarity::Negative);
        let check = |change: fn(&mut ListPolicy), expected: &str| {
            let mut new = old.clone();
            change(&mut new);
            assert_eq!(changes(&old, &new), expected);
        };
        check(|_| (), "");
        check(|new| new.quality_min = 60, "quality minimum 50 to 60");
        check(|new| new.kinds.get_mut(&HashKind::Pdq).unwrap().radius = 8, "pdq radius 0 to 8");
        check(|new| new.kinds.get_mut(&HashKind::Md5).unwrap().action = Action::Block, "md5 action REVIEW to BLOCK");
        check(|new| new.category_radii.extend([(("A1".into(), HashKind::Pdq), 4)]), "\"A1\" pdq radius none to 4");
        check(
            |new| new.transforms = Transforms::IDENTITY,
            "transforms identity,rot90,rot180,rot270,flipx,flipy,flipplus1,flipminus1 to identity",
        );
        check(|new| new.scope = vec!["a".into(), "b".into()], "scope all lists to a,b");
        check(|new| new.views.extend([(ViewKind::Window, 35), (ViewKind::Extended, 31)]), "views whole to extended=31,window=35");
        check(|new| new.pdq_dialect = PdqDialect::Reduced512, "dialect of PDQ unknown to 512");
        check(
            |new| new.category_actions.extend([(("A1".into(), HashKind::Pdq), Action::Block)]),
            "\"A1\" pdq action none to BLOCK",
        );
        check(|new| new.shadow = true, "shadow off to on");
        check(|new| new.disputes_max = 3, "withdrawn if disputed by 0 to 3");
        check(|new| new.about.legal_basis = "DSA, art. 16".to_owned(), "legal basis \"\" to \"DSA, art. 16\"");
        check(|new| new.view_action_max = Action::Block, "action for views at most REVIEW to BLOCK");
    }
}
