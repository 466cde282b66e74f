//! Which entries do ThreatExchange's updates hold, as JSON?
//!
//! An update is one indicator with the opinions of those who shared it. Its own id is the entry's; the newest update of an id holds. One with
//! `should_delete`, or without `descriptors`, is a tombstone. Opinions are counted as the `threatexchange` tool counts them: `MALICIOUS` is for it,
//! `NON_MALICIOUS` against it, and who has no descriptor speaks by a reaction. What all are against, or do not agree on, is left out, as it is
//! from that tool's CSV.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::ops::ControlFlow;

use super::draft::{self, Draft};
use super::json::{Object, Shape, Value, get};
use super::value::signal_kind;
use super::{FileError, Layout, LeftOut, Row, RowError, time};

const SHAPE: Shape = Shape {
    arrays: &["threat_updates", "data"],
    nested: None,
    lines: &["indicator", "type", "should_delete"],
    more: |name, value| name == "paging" && !value.get("next").scalar().is_empty(),
};
/// What has a meaning here; the rest is kept.
const READ: [&str; 6] = ["id", "indicator", "type", "last_updated", "should_delete", "tags"];

pub(super) fn read(
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(Result<Row, RowError>) -> ControlFlow<()>,
) -> Result<Layout, FileError> {
    draft::from_json(&SHAPE, input, each, |draft, object, _| fill(draft, object))
}

fn fill(draft: &mut Draft, object: &Object) {
    let text = |name: &str| get(object, name).scalar().trim();
    let (kind, indicator, id) = (text("type"), text("indicator"), text("id"));
    draft.row.id = (!id.is_empty()).then(|| id.to_owned());
    let descriptors = get(object, "descriptors");
    draft.row.deleted = text("should_delete").eq_ignore_ascii_case("true") || *descriptors == Value::Null;
    match signal_kind(kind) {
        _ if draft.row.deleted && !id.is_empty() => {}
        Some(kind) => draft.hash(kind, indicator, "indicator"),
        None if kind.is_empty() => draft.refuse("no type"),
        None => draft.row.left_out = Some(LeftOut::OtherSignal),
    }
    let updated = text("last_updated");
    draft.row.as_of = Some(time::read_seconds(updated).or_else(|| time::read(updated)).unwrap_or(0));
    draft.row.details.updated = updated.to_owned();
    if draft.row.deleted || draft.row.left_out.is_some() {
        return;
    }
    let descriptors = match descriptors {
        Value::List(list) => list.as_slice(),
        object => object.get("data").list(),
    };
    let opinion = opinion(descriptors);
    draft.row.category = opinion.to_owned();
    if UNSOUGHT.contains(&opinion) {
        // An update that takes the indicator's earlier ones back.
        (draft.row.deleted, draft.row.left_out) = (true, Some(LeftOut::Unsought));
    }
    let tags = descriptors.iter().map(|descriptor| descriptor.get("tags")).chain([get(object, "tags")]);
    for tag in tags.flat_map(tags_of).filter(|tag| !tag.is_empty()) {
        if !draft.row.details.tags.iter().any(|known| known == tag) {
            draft.row.details.tags.push(tag.to_owned());
        }
    }
    object
        .iter()
        .filter(|(name, _)| !READ.contains(&name.as_str()))
        .for_each(|(name, value)| draft.keep(name, &value.in_words()));
}

/// `["a"]`, `[{"text":"a"}]` or `{"data":[{"text":"a"}]}`.
fn tags_of(tags: &Value) -> impl Iterator<Item = &str> {
    let list = if let Value::List(list) = tags { list.as_slice() } else { tags.get("data").list() };
    list.iter().map(|tag| if let Value::Object(_) = tag { tag.get("text").scalar() } else { tag.scalar() })
}

const POSITIVE: &str = "POSITIVE_CLASS";
const NEGATIVE: &str = "NEGATIVE_CLASS";
const SEED: &str = "INVESTIGATION_SEED";
const UNSOUGHT: [&str; 2] = [NEGATIVE, "DISPUTED"];

/// What those who shared an indicator think of it, in the words of the `threatexchange` tool.
fn opinion(descriptors: &[Value]) -> &'static str {
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    let mut reacted: BTreeMap<&str, &str> = BTreeMap::new();
    for descriptor in descriptors {
        let opinion = match descriptor.get("status").scalar() {
            "MALICIOUS" => POSITIVE,
            "NON_MALICIOUS" => NEGATIVE,
            _ => SEED,
        };
        said.insert(descriptor.get("owner").get("id").scalar(), opinion);
        for reaction in descriptor.get("reactions").list() {
            let owners = reaction.get("value").scalar().split(',').map(str::trim).filter(|owner| !owner.is_empty());
            match reaction.get("key").scalar() {
                "HELPFUL" => owners.for_each(|owner| _ = reacted.insert(owner, POSITIVE)),
                "DISAGREE_WITH_TAGS" | "NON_MALICIOUS" => owners.for_each(|owner| _ = reacted.entry(owner).or_insert(NEGATIVE)),
                _ => {}
            }
        }
    }
    reacted.into_iter().for_each(|(owner, opinion)| _ = said.entry(owner).or_insert(opinion));
    let is_said = |opinion| said.values().any(|said| *said == opinion);
    match (is_said(POSITIVE), is_said(NEGATIVE)) {
        (true, true) => "DISPUTED",
        (true, false) => POSITIVE,
        (false, true) => NEGATIVE,
        (false, false) => SEED,
    }
}
