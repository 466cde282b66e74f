//! Which entries does StopNCII's JSON hold?
//!
//! A record is one hash with its status. It has no id, so one is derived from the hash, as for rows of other formats without ids; the newest record
//! of a hash holds. `Active` and `Received` match; `Withdrawn` stays in the list and does not match; `Deleted` takes the hash out. Whoever asked for
//! protection is better served by a match that a person looks at than by none, so a status that is not understood matches, and is counted.

use std::io::BufRead;
use std::ops::ControlFlow;

use super::draft::{self, Draft};
use super::json::{Object, Shape, get};
use super::value::signal_kind;
use super::{FileError, Layout, LeftOut, Row, RowError, STATUS_NOT_UNDERSTOOD, time};
use crate::entry::Status;

const SHAPE: Shape = Shape {
    arrays: &["hashRecords"],
    nested: None,
    lines: &["hashStatus", "signalType"],
    more: |name, value| name == "hasMoreRecords" && value.scalar() == "true",
};
/// What has a meaning here; the rest is kept.
const READ: [&str; 4] = ["signalType", "hashValue", "hashStatus", "lastModtimestamp"];

pub(super) fn read(
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(Result<Row, RowError>) -> ControlFlow<()>,
) -> Result<Layout, FileError> {
    draft::from_json(&SHAPE, input, each, |draft, object, _| fill(draft, object))
}

fn fill(draft: &mut Draft, object: &Object) {
    let text = |name: &str| get(object, name).scalar().trim();
    let (signal, hash) = (text("signalType"), text("hashValue"));
    match signal_kind(signal) {
        Some(kind) => draft.hash(kind, hash, "hashValue"),
        None if signal.is_empty() => draft.refuse("no signalType"),
        None => draft.row.left_out = Some(LeftOut::OtherSignal),
    }
    let status = text("hashStatus");
    match status.to_ascii_lowercase().as_str() {
        "active" | "received" => {}
        "withdrawn" => draft.row.status = Status::Withdrawn,
        "deleted" => draft.row.deleted = true,
        "" => draft.keep(STATUS_NOT_UNDERSTOOD, "none"),
        _ => draft.keep(STATUS_NOT_UNDERSTOOD, status),
    }
    let modified = text("lastModtimestamp");
    draft.row.as_of = Some(time::read_seconds(modified).or_else(|| time::read(modified)).unwrap_or(0));
    draft.row.details.updated = modified.to_owned();
    object
        .iter()
        .filter(|(name, _)| !READ.contains(&name.as_str()))
        .for_each(|(name, value)| draft.keep(name, &value.in_words()));
}
