//! Which entries does a Project VIC export hold, as VICS 1.3 or 2.0?
//!
//! A record is one file that was seen, with its digests and other hashes. `Category` is taken as it stands: its numbers mean something else in
//! each jurisdiction. All else is kept for people to read. Ids are those of `MediaID`; a case export numbers the media of each case anew, so there
//! ids are derived from the hashes.

use std::io::BufRead;
use std::ops::ControlFlow;

use super::draft::{self, Draft};
use super::json::{Object, Shape, Value, get};
use super::value::signal_kind;
use super::{FileError, Layout, Row, RowError};

const SHAPE: Shape = Shape {
    arrays: &["value", "Media"],
    nested: Some("Media"),
    lines: &[],
    more: |name, value| name.ends_with("odata.nextLink") && !value.scalar().is_empty(),
};

pub(super) fn read(
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(Result<Row, RowError>) -> ControlFlow<()>,
) -> Result<Layout, FileError> {
    draft::from_json(&SHAPE, input, each, fill)
}

fn fill(draft: &mut Draft, object: &Object, nested: bool) {
    let id = get(object, "MediaID").scalar().trim();
    draft.row.id = (!nested && !id.is_empty()).then(|| id.to_owned());
    for (name, value) in object {
        let text = value.scalar().trim();
        match name.as_str() {
            "MediaID" if !nested => {}
            "Category" => draft.row.category = text.to_owned(),
            "DateUpdated" => draft.row.details.updated = text.to_owned(),
            "Tags" => {
                let tags = text.split([',', ';']).map(str::trim).filter(|tag| !tag.is_empty());
                draft.row.details.tags = tags.map(str::to_owned).collect();
            }
            "AlternativeHashes" => alternative(draft, value),
            name => match (signal_kind(name), value) {
                (Some(kind), Value::Text(_)) => draft.hash(kind, text, name),
                _ => draft.keep(name, &value.in_words()),
            },
        }
    }
}

/// Hashes by their names; those of other kinds are kept.
fn alternative(draft: &mut Draft, hashes: &Value) {
    for hash in hashes.list() {
        let (name, text) = (hash.get("HashName").scalar().trim(), hash.get("HashValue").scalar().trim());
        match signal_kind(name) {
            Some(kind) => draft.hash(kind, text, kind.name()),
            None => draft.keep(name, text),
        }
    }
}
