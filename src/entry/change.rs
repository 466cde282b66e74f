//! The changes that lists are made of, and who asks for them.

use super::{Description, Entry, EntryNo, Feed, ListId, ListPolicy, MadeBy, Mark, Polarity, VersionNo};

/// One row of a version being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// The entry is in the list from this version on.
    Open {
        entry: EntryNo,
        content: Entry,
        /// `None`: what was said of the entry before holds; of a new one, that a file has it and nothing else.
        description: Option<Description>,
    },
    /// It is in the list no more from this version on.
    Close { entry: EntryNo },
    /// The entry stays, and this is said of it from this version on.
    Describe { entry: EntryNo, description: Description },
}

/// The version that another one starts from; `None` in changes of stores before format 3: the newest sealed version there was.
pub type Parent = Option<VersionNo>;

/// The only thing that can alter a verdict. Numbered and chained when it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub time_ms: u64,
    /// Who asked for it.
    pub by: String,
    pub op: ChangeOp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeOp {
    CreateList {
        list: ListId,
        name: String,
        polarity: Polarity,
        policy: ListPolicy,
    },
    SetPolicy {
        list: ListId,
        policy: ListPolicy,
    },
    SetDisabled {
        list: ListId,
        disabled: bool,
    },
    /// The list and all its rows go; its number is not used again.
    DeleteList {
        list: ListId,
    },
    /// The list has one more source.
    AddSource {
        list: ListId,
        name: String,
    },
    /// Says how a source of the list is fetched, or that it is not any more.
    SetFeed {
        list: ListId,
        source: String,
        feed: Option<Feed>,
    },
    /// Marks the entry of this id, whether the list has it or not, or takes its mark off.
    SetMark {
        list: ListId,
        id: String,
        mark: Option<Mark>,
    },
    /// Opens a version for writing. It starts from what its parent holds, or from nothing with 0 for a parent.
    Stage {
        list: ListId,
        version: VersionNo,
        parent: Parent,
        source: String,
        made_by: MadeBy,
    },
    /// At most [`ROWS_MAX`] rows and [`ROWS_BYTES_MAX`] bytes of a staged version.
    Rows {
        list: ListId,
        version: VersionNo,
        rows: Vec<RowChange>,
    },
    Seal {
        list: ListId,
        version: VersionNo,
        rows: u64,
        digest: [u8; 32],
    },
    /// Look-ups see this sealed version from now on.
    Activate {
        list: ListId,
        version: VersionNo,
    },
    /// Gives a staged version up.
    Undo {
        list: ListId,
        version: VersionNo,
    },
    /// A whole small version at once: staged, sealed and active.
    Edit {
        list: ListId,
        version: VersionNo,
        parent: Parent,
        source: String,
        rows: Vec<RowChange>,
        rows_total: u64,
        digest: [u8; 32],
    },
    /// Versions that are not kept any longer go: neither the active one, nor the one before, nor the newest. So does what the changes
    /// that made them held.
    Drop {
        list: ListId,
        versions: Vec<VersionNo>,
    },
}

pub const ROWS_MAX: usize = 10_000;
pub const ROWS_BYTES_MAX: usize = 512 * 1024;

/// Who calls, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller(pub String);
