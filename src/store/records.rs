//! The protobuf messages of the store: lists, versions, changes.
//!
//! Declared in Rust, so that no compiler of schemas is needed. Fields may be added, never renumbered. [`wire`](super::wire)
//! says what is well formed. Never formatted: the derived `Debug` would show hashes.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListRecord {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint32, tag = "2")]
    pub polarity: u32,
    #[prost(message, optional, tag = "3")]
    pub policy: Option<PolicyRecord>,
    #[prost(uint32, tag = "4")]
    pub active: u32,
    #[prost(uint32, tag = "5")]
    pub previous: u32,
    #[prost(uint32, tag = "6")]
    pub head: u32,
    #[prost(bool, tag = "7")]
    pub disabled: bool,
    #[prost(string, repeated, tag = "8")]
    pub sources: Vec<String>,
    #[prost(uint64, tag = "9")]
    pub marks_changed: u64,
    #[prost(message, repeated, tag = "20")]
    pub feeds: Vec<SetFeed>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DetailsRecord {
    #[prost(string, repeated, tag = "1")]
    pub tags: Vec<String>,
    #[prost(string, tag = "2")]
    pub note: String,
    #[prost(string, tag = "3")]
    pub updated: String,
    #[prost(uint32, optional, tag = "4")]
    pub quality: Option<u32>,
    #[prost(message, repeated, tag = "5")]
    pub fields: Vec<FieldRecord>,
    #[prost(bool, tag = "6")]
    pub cut: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FieldRecord {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DescriptionRecord {
    #[prost(uint32, tag = "1")]
    pub sources: u32,
    #[prost(message, optional, tag = "2")]
    pub details: Option<DetailsRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MarkRecord {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(uint64, optional, tag = "2")]
    pub until_ms: Option<u64>,
    #[prost(string, tag = "3")]
    pub note: String,
    #[prost(uint32, repeated, tag = "7")]
    pub contents: Vec<u32>,
    /// These three where the mark is kept, not in its change.
    #[prost(string, tag = "4")]
    pub id: String,
    #[prost(string, tag = "5")]
    pub by: String,
    #[prost(uint64, tag = "6")]
    pub time_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AddSource {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(string, tag = "2")]
    pub name: String,
}

/// In a list's record: without the list's number.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SetFeed {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(string, tag = "2")]
    pub source: String,
    #[prost(message, optional, tag = "3")]
    pub feed: Option<FeedRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FeedRecord {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(string, tag = "2")]
    pub place: String,
    #[prost(string, tag = "3")]
    pub credentials: String,
    #[prost(uint64, tag = "4")]
    pub every_s: u64,
    #[prost(string, tag = "5")]
    pub format: String,
    #[prost(bool, tag = "6")]
    pub delta: bool,
    #[prost(uint64, tag = "7")]
    pub set_ms: u64,
    #[prost(bool, tag = "8")]
    pub feedback: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetMark {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(string, tag = "2")]
    pub id: String,
    #[prost(message, optional, tag = "3")]
    pub mark: Option<MarkRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionRecord {
    #[prost(uint32, tag = "1")]
    pub state: u32,
    #[prost(uint64, tag = "2")]
    pub rows: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub digest: Vec<u8>,
    #[prost(string, tag = "4")]
    pub source: String,
    #[prost(uint64, tag = "5")]
    pub time_ms: u64,
    #[prost(bool, tag = "6")]
    pub edit: bool,
    #[prost(bool, tag = "7")]
    pub activated: bool,
    #[prost(uint32, tag = "8")]
    pub parent: u32,
    /// First and last version of each range, one after the other.
    #[prost(uint32, repeated, tag = "9")]
    pub lineage: Vec<u32>,
}

/// What is known of a change for ever. It holds nothing that a list holds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HeaderRecord {
    #[prost(uint64, tag = "1")]
    pub time_ms: u64,
    #[prost(string, tag = "2")]
    pub by: String,
    /// The tag of the change's kind in [`OpRecord`].
    #[prost(uint32, tag = "3")]
    pub kind: u32,
    #[prost(uint32, tag = "4")]
    pub list: u32,
    #[prost(uint32, tag = "5")]
    pub version: u32,
    #[prost(uint32, repeated, tag = "6")]
    pub versions: Vec<u32>,
    /// SHA-256 of the nonce and the contents; empty where the header says all.
    #[prost(bytes = "vec", tag = "7")]
    pub contents: Vec<u8>,
    #[prost(uint32, tag = "8")]
    pub next_entry: u32,
    /// Of a store of an earlier format: the last change of its chain.
    #[prost(uint64, tag = "9")]
    pub seq_before: u64,
    #[prost(bytes = "vec", tag = "10")]
    pub chain_before: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PolicyRecord {
    #[prost(message, repeated, tag = "1")]
    pub kinds: Vec<KindRecord>,
    #[prost(message, repeated, tag = "2")]
    pub category_radii: Vec<CategoryRadius>,
    #[prost(uint32, tag = "3")]
    pub quality_min: u32,
    #[prost(uint32, tag = "4")]
    pub transforms: u32,
    #[prost(string, repeated, tag = "5")]
    pub scope: Vec<String>,
    /// None in policies from before there were views: they count the whole picture alone.
    #[prost(message, repeated, tag = "6")]
    pub views: Vec<ViewRecord>,
    /// 0 in these.
    #[prost(uint32, tag = "7")]
    pub view_action_max: u32,
    #[prost(uint32, tag = "8")]
    pub pdq_dialect: u32,
    #[prost(message, repeated, tag = "9")]
    pub category_actions: Vec<CategoryAction>,
    #[prost(bool, tag = "10")]
    pub shadow: bool,
    #[prost(string, tag = "11")]
    pub owner: String,
    #[prost(string, tag = "12")]
    pub provenance: String,
    #[prost(string, tag = "13")]
    pub legal_basis: String,
    #[prost(uint32, tag = "14")]
    pub disputes_max: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CategoryAction {
    #[prost(string, tag = "1")]
    pub category: String,
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    #[prost(uint32, tag = "3")]
    pub action: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ViewRecord {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(uint32, tag = "2")]
    pub radius: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KindRecord {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(uint32, tag = "2")]
    pub radius: u32,
    #[prost(uint32, tag = "3")]
    pub action: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CategoryRadius {
    #[prost(string, tag = "1")]
    pub category: String,
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    #[prost(uint32, tag = "3")]
    pub radius: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ChangeRecord {
    #[prost(uint64, tag = "1")]
    pub time_ms: u64,
    #[prost(string, tag = "2")]
    pub by: String,
    #[prost(oneof = "OpRecord", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 25")]
    pub op: Option<OpRecord>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum OpRecord {
    #[prost(message, tag = "10")]
    CreateList(CreateList),
    #[prost(message, tag = "11")]
    SetPolicy(SetPolicy),
    #[prost(message, tag = "12")]
    SetDisabled(SetDisabled),
    #[prost(message, tag = "13")]
    DeleteList(DeleteList),
    #[prost(message, tag = "14")]
    Stage(Stage),
    #[prost(message, tag = "15")]
    Rows(Rows),
    #[prost(message, tag = "16")]
    Seal(Seal),
    #[prost(message, tag = "17")]
    Activate(Pointer),
    #[prost(message, tag = "18")]
    Undo(Pointer),
    #[prost(message, tag = "19")]
    Edit(Edit),
    #[prost(message, tag = "20")]
    Drop(DropVersions),
    #[prost(message, tag = "21")]
    AddSource(AddSource),
    #[prost(message, tag = "22")]
    SetMark(SetMark),
    #[prost(message, tag = "25")]
    SetFeed(SetFeed),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateList {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(uint32, tag = "3")]
    pub polarity: u32,
    #[prost(message, optional, tag = "4")]
    pub policy: Option<PolicyRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetPolicy {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(message, optional, tag = "2")]
    pub policy: Option<PolicyRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetDisabled {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(bool, tag = "2")]
    pub disabled: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeleteList {
    #[prost(uint32, tag = "1")]
    pub list: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Pointer {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(uint32, tag = "2")]
    pub version: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DropVersions {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(uint32, repeated, tag = "2")]
    pub versions: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Stage {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(uint32, tag = "2")]
    pub version: u32,
    #[prost(string, tag = "3")]
    pub source: String,
    #[prost(bool, tag = "4")]
    pub edit: bool,
    /// Absent before format 3.
    #[prost(uint32, optional, tag = "5")]
    pub parent: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Rows {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(uint32, tag = "2")]
    pub version: u32,
    #[prost(message, repeated, tag = "3")]
    pub rows: Vec<RowRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Seal {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(uint32, tag = "2")]
    pub version: u32,
    #[prost(uint64, tag = "3")]
    pub rows: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub digest: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Edit {
    #[prost(uint32, tag = "1")]
    pub list: u32,
    #[prost(uint32, tag = "2")]
    pub version: u32,
    #[prost(string, tag = "3")]
    pub source: String,
    #[prost(message, repeated, tag = "4")]
    pub rows: Vec<RowRecord>,
    #[prost(uint64, tag = "5")]
    pub rows_total: u64,
    #[prost(bytes = "vec", tag = "6")]
    pub digest: Vec<u8>,
    /// Absent before format 3.
    #[prost(uint32, optional, tag = "7")]
    pub parent: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RowRecord {
    #[prost(oneof = "RowOp", tags = "1, 2, 3")]
    pub op: Option<RowOp>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum RowOp {
    #[prost(message, tag = "1")]
    Open(OpenRow),
    #[prost(message, tag = "2")]
    Close(CloseRow),
    #[prost(message, tag = "3")]
    Describe(DescribeRow),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OpenRow {
    #[prost(uint32, tag = "1")]
    pub entry: u32,
    #[prost(string, tag = "2")]
    pub id: String,
    #[prost(string, tag = "3")]
    pub category: String,
    #[prost(message, repeated, tag = "4")]
    pub hashes: Vec<HashRecord>,
    #[prost(uint32, tag = "5")]
    pub status: u32,
    #[prost(message, optional, tag = "6")]
    pub description: Option<DescriptionRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DescribeRow {
    #[prost(uint32, tag = "1")]
    pub entry: u32,
    #[prost(message, optional, tag = "2")]
    pub description: Option<DescriptionRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CloseRow {
    /// Tag 2, before format 3, was the version that opened it.
    #[prost(uint32, tag = "1")]
    pub entry: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HashRecord {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub bytes: Vec<u8>,
}
