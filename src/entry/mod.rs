//! The vocabulary: what a hash, an entry, a hash list, a list version and a change are.
//!
//! Distances are Hamming distances in bits, times are milliseconds since the Unix epoch, qualities are PDQ's 0 to 100.
//! Invariant: a value of a type here is well formed (right length, known kind). Nothing here reads, writes, matches or decides.
//! `Debug` of a hash never shows it: a hash cannot reach a log line by accident. [`HashValue::hex`] is the one way out.

mod action;
mod change;
mod details;
mod feed;
mod fetch;
mod hash;
mod list;
mod mark;
mod name;
pub mod options;
mod seen;
pub mod shown;
mod version;
mod view;

pub use action::Action;
pub use change::{Caller, Change, ChangeOp, Parent, ROWS_BYTES_MAX, ROWS_MAX, RowChange};
pub use details::{DETAILS_BYTES_MAX, Description, Details, Sources, Status, member_and_id, member_id};
pub use feed::{EVERY_S, EVERY_S_USUAL, Feed, FeedKind, PLACE_BYTES_MAX, checked_url, is_this_machine};
pub use fetch::{FetchState, Vote, Waits};
pub use hash::{BadValue, Bits, Hash64, HashKind, HashValue, Pdq};
pub use list::{
    ABOUT_BYTES_MAX, About, CATEGORY_BYTES_MAX, ENTRY_HASHES_MAX, ENTRY_ID_BYTES_MAX, Entry, EntryNo, HashList, KindPolicy,
    ListId, ListPolicy, PdqDialect, Polarity, VersionNo,
};
pub use mark::{MARK_NOTE_BYTES_MAX, MARKS_MAX, Mark, MarkKind, Marked};
pub use name::{LIST_NAME_BYTES_MAX, check_list_name};
pub use seen::{LeftOut, Observation, Reason, Transform, Transforms};
pub use version::{Lineage, ListVersion, MadeBy, VersionState};
pub use view::{VIEW_QUALITY_MIN, VIEW_RADIUS, VIEW_RADIUS_MAX, VIEW_SIDE, View, ViewKind, ViewRule, ViewSet};
