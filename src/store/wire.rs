//! How do changes, lists and versions become bytes that outlive this program?
//!
//! As the protobuf messages of [`records`](super::records). Invariant: reading gives well-formed values of
//! [`entry`](crate::entry) or [`StoreError::Corrupt`]; writing then reading gives the value back.

use super::StoreError;
use super::keys::{Family, check_entry};
use super::records::*;
use crate::entry::{
    About, Action, Change, ChangeOp, Description, Details, Entry, EntryNo, Feed, FeedKind, HashKind, HashList, HashValue,
    KindPolicy, Lineage, ListId, ListPolicy, ListVersion, MadeBy, Mark, MarkKind, Marked, PdqDialect, Polarity, RowChange,
    Sources, Status, Transforms, VersionNo, VersionState, ViewKind, ViewRule,
};
use prost::Message;

pub(super) fn write_change(change: &Change) -> Vec<u8> {
    let ChangeOp::Rows { list, version, rows } = &change.op else { return ChangeRecord::from(change).encode_to_vec() };
    // The same bytes, with a row at a time as a message: thousands of them at once are as many pieces of memory as they have fields.
    let mut body = Rows { list: list.0, version: version.0, rows: Vec::new() }.encode_to_vec();
    for row in rows {
        body.push(ROW_KEY);
        put_delimited(&mut body, &write_row(row));
    }
    let mut out = ChangeRecord { time_ms: change.time_ms, by: change.by.clone(), op: None }.encode_to_vec();
    out.push(ROWS_KEY);
    put_length(&mut out, body.len());
    out.extend_from_slice(&body);
    out
}

/// Of field 3 of [`Rows`], and of field 15 of [`ChangeRecord`], both with a length: see "Message Structure" of protobuf's encoding.
const ROW_KEY: u8 = 3 << 3 | 2;
const ROWS_KEY: u8 = 15 << 3 | 2;

fn put_delimited(out: &mut Vec<u8>, message: &impl Message) {
    put_length(out, message.encoded_len());
    let _ = message.encode(out); // a Vec has room
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let _ = prost::encode_length_delimiter(length, out); // the same
}

pub(super) fn read_change(bytes: &[u8]) -> Result<Change, StoreError> {
    let family = Family::Contents;
    let record = ChangeRecord::decode(bytes).map_err(|_| family.corrupt("a change is not well-formed protobuf"))?;
    let op = record.op.ok_or_else(|| family.corrupt("a change of an unknown kind"))?;
    Ok(Change { time_ms: record.time_ms, by: record.by, op: read_op(op)? })
}

pub(super) fn write_list(list: &HashList) -> Vec<u8> {
    ListRecord {
        name: list.name.clone(),
        polarity: write_polarity(list.polarity),
        policy: Some((&list.policy).into()),
        active: list.active.0,
        previous: list.previous.0,
        head: list.head.0,
        disabled: list.disabled,
        sources: list.sources.clone(),
        marks_changed: list.marks_changed,
        feeds: list.feeds.iter().map(|(source, feed)| set_feed(0, source, Some(feed))).collect(),
    }
    .encode_to_vec()
}

pub(super) fn read_list(id: ListId, bytes: &[u8]) -> Result<HashList, StoreError> {
    let family = Family::Lists;
    let record = ListRecord::decode(bytes).map_err(|_| family.corrupt("a list is not well-formed protobuf"))?;
    Ok(HashList {
        id,
        name: record.name,
        polarity: read_polarity(family, record.polarity)?,
        policy: read_policy(family, record.policy)?,
        active: VersionNo(record.active),
        previous: VersionNo(record.previous),
        head: VersionNo(record.head),
        disabled: record.disabled,
        sources: record.sources,
        marks_changed: record.marks_changed,
        feeds: record.feeds.into_iter().map(|record| read_feed(family, record)).collect::<Result<_, _>>()?,
    })
}

fn set_feed(list: u32, source: &str, feed: Option<&Feed>) -> SetFeed {
    let record = |feed: &Feed| FeedRecord {
        kind: feed.kind as u32,
        place: feed.place.clone(),
        credentials: feed.credentials.clone(),
        every_s: feed.every_s,
        format: feed.format.clone(),
        delta: feed.delta,
        set_ms: feed.set_ms,
        feedback: feed.feedback,
    };
    SetFeed { list, source: source.to_owned(), feed: feed.map(record) }
}

fn read_feed(family: Family, record: SetFeed) -> Result<(String, Feed), StoreError> {
    let feed = record.feed.ok_or_else(|| family.corrupt("a source that is fetched from nowhere"))?;
    Ok((record.source, feed_of(family, feed)?))
}

fn feed_of(family: Family, record: FeedRecord) -> Result<Feed, StoreError> {
    let kind = u8::try_from(record.kind).ok().and_then(FeedKind::from_u8);
    let FeedRecord { place, credentials, every_s, format, delta, feedback, set_ms, .. } = record;
    let kind = kind.ok_or_else(|| family.corrupt("a source of unknown kind"))?;
    Ok(Feed { kind, place, credentials, every_s, format, delta, feedback, set_ms })
}

pub(super) fn write_version(version: &ListVersion) -> Vec<u8> {
    VersionRecord {
        state: match version.state {
            VersionState::Staged => 1,
            VersionState::Sealed => 2,
            VersionState::Undone => 3,
        },
        rows: version.rows,
        digest: version.digest.to_vec(),
        source: version.source.clone(),
        time_ms: version.time_ms,
        edit: version.made_by == MadeBy::Edit,
        activated: version.activated,
        parent: version.parent.0,
        lineage: version.lineage.ranges().iter().flat_map(|(first, last)| [first.0, last.0]).collect(),
    }
    .encode_to_vec()
}

pub(super) fn read_version(list: ListId, version: VersionNo, bytes: &[u8]) -> Result<ListVersion, StoreError> {
    let family = Family::Versions;
    let record = VersionRecord::decode(bytes).map_err(|_| family.corrupt("a version is not well-formed protobuf"))?;
    let state = match record.state {
        1 => VersionState::Staged,
        2 => VersionState::Sealed,
        3 => VersionState::Undone,
        _ => return Err(family.corrupt("a version has an unknown state")),
    };
    let digest = read_digest(family, &record.digest)?;
    let (rows, source, time_ms) = (record.rows, record.source, record.time_ms);
    let (made_by, activated) = (made_by(record.edit), record.activated);
    let (ranges, rest) = record.lineage.as_chunks::<2>();
    let ranges = ranges.iter().map(|[first, last]| (VersionNo(*first), VersionNo(*last))).collect();
    let lineage = Lineage::new(ranges).filter(|_| rest.is_empty());
    let lineage = lineage.ok_or_else(|| family.corrupt("a version's ancestors are not in order"))?;
    let parent = VersionNo(record.parent);
    Ok(ListVersion { list, version, parent, lineage, state, rows, digest, source, time_ms, made_by, activated })
}

/// Details in as many bytes as they need.
pub fn write_details(details: &Details) -> Vec<u8> {
    DetailsRecord::from(details).encode_to_vec()
}

pub fn read_details(bytes: &[u8]) -> Result<Details, StoreError> {
    let record = DetailsRecord::decode(bytes).map_err(|_| Family::Details.corrupt("details are not well-formed protobuf"))?;
    details(Family::Details, record)
}

fn details(family: Family, record: DetailsRecord) -> Result<Details, StoreError> {
    let quality = record.quality.map(u8::try_from).transpose();
    Ok(Details {
        tags: record.tags,
        note: record.note,
        updated: record.updated,
        quality: quality.map_err(|_| family.corrupt("a quality is out of range"))?,
        fields: record.fields.into_iter().map(|field| (field.name, field.value)).collect(),
        cut: record.cut,
    })
}

fn description(family: Family, record: DescriptionRecord) -> Result<Description, StoreError> {
    let sources = u16::try_from(record.sources).ok().filter(|sources| *sources != 0);
    Ok(Description {
        sources: Sources(sources.ok_or_else(|| family.corrupt("a set of sources is out of range"))?),
        details: details(family, record.details.unwrap_or_default())?,
    })
}

pub(super) fn write_marked(marked: &Marked) -> Vec<u8> {
    let Marked { id, mark, by, time_ms } = marked;
    MarkRecord { id: id.clone(), by: by.clone(), time_ms: *time_ms, ..mark.into() }.encode_to_vec()
}

pub(super) fn read_marked(bytes: &[u8]) -> Result<Marked, StoreError> {
    let record = MarkRecord::decode(bytes).map_err(|_| Family::Marks.corrupt("a mark is not well-formed protobuf"))?;
    let (id, by, time_ms) = (record.id.clone(), record.by.clone(), record.time_ms);
    Ok(Marked { id, mark: mark(Family::Marks, record)?, by, time_ms })
}

fn mark(family: Family, record: MarkRecord) -> Result<Mark, StoreError> {
    let kind = u8::try_from(record.kind).ok().and_then(MarkKind::from_u8);
    let kind = kind.ok_or_else(|| family.corrupt("a mark of an unknown kind"))?;
    let contents = record.contents.into_iter().map(EntryNo).collect();
    Ok(Mark { kind, until_ms: record.until_ms, note: record.note, contents })
}

impl From<&Mark> for MarkRecord {
    fn from(mark: &Mark) -> Self {
        let Mark { kind, until_ms, note, contents } = mark;
        let contents = contents.iter().map(|entry| entry.0).collect();
        MarkRecord { kind: *kind as u32, until_ms: *until_ms, note: note.clone(), contents, ..MarkRecord::default() }
    }
}

impl From<&Details> for DetailsRecord {
    fn from(details: &Details) -> Self {
        let field = |(name, value): &(String, String)| FieldRecord { name: name.clone(), value: value.clone() };
        DetailsRecord {
            tags: details.tags.clone(),
            note: details.note.clone(),
            updated: details.updated.clone(),
            quality: details.quality.map(u32::from),
            fields: details.fields.iter().map(field).collect(),
            cut: details.cut,
        }
    }
}

impl From<&Description> for DescriptionRecord {
    fn from(description: &Description) -> Self {
        let details = Some(&description.details).filter(|details| !details.is_empty());
        DescriptionRecord { sources: description.sources.0.into(), details: details.map(DetailsRecord::from) }
    }
}

/// An upper bound of what a closed row adds to an encoded change, in bytes.
pub const CLOSE_ROW_BYTES: usize = 16;

/// The same of an opened one.
pub fn open_row_bytes(content: &Entry) -> usize {
    let hashes: usize = content.hashes.iter().map(|hash| hash.kind().bytes() + 8).sum();
    22 + content.id.len() + content.category.len() + hashes
}

/// The same of what is said of an entry.
pub fn description_bytes(description: &Description) -> usize {
    32 + description.details.bytes()
}

pub(super) fn row_bytes(row: &RowChange) -> usize {
    match row {
        RowChange::Open { content, description, .. } => {
            open_row_bytes(content) + description.as_ref().map_or(0, description_bytes)
        }
        RowChange::Close { .. } => CLOSE_ROW_BYTES,
        RowChange::Describe { description, .. } => CLOSE_ROW_BYTES + description_bytes(description),
    }
}

/// A policy's encoded length, in bytes.
pub(super) fn policy_bytes(policy: &ListPolicy) -> usize {
    PolicyRecord::from(policy).encoded_len()
}

impl From<&Change> for ChangeRecord {
    fn from(change: &Change) -> Self {
        let op = match &change.op {
            ChangeOp::CreateList { list, name, polarity, policy } => OpRecord::CreateList(CreateList {
                list: list.0,
                name: name.clone(),
                polarity: write_polarity(*polarity),
                policy: Some(policy.into()),
            }),
            ChangeOp::SetPolicy { list, policy } => OpRecord::SetPolicy(SetPolicy { list: list.0, policy: Some(policy.into()) }),
            ChangeOp::SetDisabled { list, disabled } => OpRecord::SetDisabled(SetDisabled { list: list.0, disabled: *disabled }),
            ChangeOp::DeleteList { list } => OpRecord::DeleteList(DeleteList { list: list.0 }),
            ChangeOp::Stage { list, version, parent, source, made_by } => OpRecord::Stage(Stage {
                list: list.0,
                version: version.0,
                source: source.clone(),
                edit: *made_by == MadeBy::Edit,
                parent: parent.map(|v| v.0),
            }),
            ChangeOp::Rows { list, version, rows } => {
                OpRecord::Rows(Rows { list: list.0, version: version.0, rows: rows.iter().map(write_row).collect() })
            }
            ChangeOp::Seal { list, version, rows, digest } => {
                OpRecord::Seal(Seal { list: list.0, version: version.0, rows: *rows, digest: digest.to_vec() })
            }
            ChangeOp::Activate { list, version } => OpRecord::Activate(Pointer { list: list.0, version: version.0 }),
            ChangeOp::Undo { list, version } => OpRecord::Undo(Pointer { list: list.0, version: version.0 }),
            ChangeOp::Edit { list, version, parent, source, rows, rows_total, digest } => OpRecord::Edit(Edit {
                list: list.0,
                version: version.0,
                source: source.clone(),
                rows: rows.iter().map(write_row).collect(),
                rows_total: *rows_total,
                digest: digest.to_vec(),
                parent: parent.map(|v| v.0),
            }),
            ChangeOp::Drop { list, versions } => {
                OpRecord::Drop(DropVersions { list: list.0, versions: versions.iter().map(|v| v.0).collect() })
            }
            ChangeOp::AddSource { list, name } => OpRecord::AddSource(AddSource { list: list.0, name: name.clone() }),
            ChangeOp::SetMark { list, id, mark } => {
                OpRecord::SetMark(SetMark { list: list.0, id: id.clone(), mark: mark.as_ref().map(MarkRecord::from) })
            }
            ChangeOp::SetFeed { list, source, feed } => OpRecord::SetFeed(set_feed(list.0, source, feed.as_ref())),
        };
        ChangeRecord { time_ms: change.time_ms, by: change.by.clone(), op: Some(op) }
    }
}

impl From<&ListPolicy> for PolicyRecord {
    fn from(policy: &ListPolicy) -> Self {
        PolicyRecord {
            kinds: policy
                .kinds
                .iter()
                .map(|(kind, k)| KindRecord { kind: *kind as u32, radius: k.radius.into(), action: k.action as u32 })
                .collect(),
            category_radii: policy
                .category_radii
                .iter()
                .map(|((category, kind), radius)| CategoryRadius {
                    category: category.clone(),
                    kind: *kind as u32,
                    radius: (*radius).into(),
                })
                .collect(),
            quality_min: policy.quality_min.into(),
            transforms: policy.transforms.0.into(),
            scope: policy.scope.clone(),
            views: policy
                .views
                .iter()
                .map(|(kind, radius)| ViewRecord { kind: *kind as u32, radius: (*radius).into() })
                .collect(),
            view_action_max: policy.view_action_max as u32,
            pdq_dialect: policy.pdq_dialect as u32,
            category_actions: policy
                .category_actions
                .iter()
                .map(|((category, kind), action)| CategoryAction {
                    category: category.clone(),
                    kind: *kind as u32,
                    action: *action as u32,
                })
                .collect(),
            shadow: policy.shadow,
            disputes_max: policy.disputes_max,
            owner: policy.about.owner.clone(),
            provenance: policy.about.provenance.clone(),
            legal_basis: policy.about.legal_basis.clone(),
        }
    }
}

fn write_polarity(polarity: Polarity) -> u32 {
    match polarity {
        Polarity::Positive => 1,
        Polarity::Negative => 2,
    }
}

fn write_row(row: &RowChange) -> RowRecord {
    let op = match row {
        RowChange::Open { entry, content, description } => RowOp::Open(OpenRow {
            entry: entry.0,
            id: content.id.clone(),
            category: content.category.clone(),
            hashes: content.hashes.iter().map(|h| HashRecord { kind: h.kind() as u32, bytes: h.to_vec() }).collect(),
            status: content.status as u32,
            description: description.as_ref().map(DescriptionRecord::from),
        }),
        RowChange::Close { entry } => RowOp::Close(CloseRow { entry: entry.0 }),
        RowChange::Describe { entry, description } => {
            RowOp::Describe(DescribeRow { entry: entry.0, description: Some(description.into()) })
        }
    };
    RowRecord { op: Some(op) }
}

fn read_op(op: OpRecord) -> Result<ChangeOp, StoreError> {
    let family = Family::Contents;
    Ok(match op {
        OpRecord::CreateList(op) => ChangeOp::CreateList {
            list: ListId(op.list),
            name: op.name,
            polarity: read_polarity(family, op.polarity)?,
            policy: read_policy(family, op.policy)?,
        },
        OpRecord::SetPolicy(op) => ChangeOp::SetPolicy { list: ListId(op.list), policy: read_policy(family, op.policy)? },
        OpRecord::SetDisabled(op) => ChangeOp::SetDisabled { list: ListId(op.list), disabled: op.disabled },
        OpRecord::DeleteList(op) => ChangeOp::DeleteList { list: ListId(op.list) },
        OpRecord::Stage(op) => ChangeOp::Stage {
            list: ListId(op.list),
            version: VersionNo(op.version),
            parent: op.parent.map(VersionNo),
            source: op.source,
            made_by: made_by(op.edit),
        },
        OpRecord::Rows(op) => ChangeOp::Rows { list: ListId(op.list), version: VersionNo(op.version), rows: read_rows(op.rows)? },
        OpRecord::Seal(op) => ChangeOp::Seal {
            list: ListId(op.list),
            version: VersionNo(op.version),
            rows: op.rows,
            digest: read_digest(family, &op.digest)?,
        },
        OpRecord::Activate(op) => ChangeOp::Activate { list: ListId(op.list), version: VersionNo(op.version) },
        OpRecord::Undo(op) => ChangeOp::Undo { list: ListId(op.list), version: VersionNo(op.version) },
        OpRecord::Edit(op) => ChangeOp::Edit {
            list: ListId(op.list),
            version: VersionNo(op.version),
            parent: op.parent.map(VersionNo),
            source: op.source,
            rows: read_rows(op.rows)?,
            rows_total: op.rows_total,
            digest: read_digest(family, &op.digest)?,
        },
        OpRecord::Drop(op) => {
            ChangeOp::Drop { list: ListId(op.list), versions: op.versions.into_iter().map(VersionNo).collect() }
        }
        OpRecord::AddSource(op) => ChangeOp::AddSource { list: ListId(op.list), name: op.name },
        OpRecord::SetMark(op) => {
            let mark = op.mark.map(|record| mark(family, record)).transpose()?;
            ChangeOp::SetMark { list: ListId(op.list), id: op.id, mark }
        }
        OpRecord::SetFeed(op) => {
            let feed = op.feed.map(|record| feed_of(family, record)).transpose()?;
            ChangeOp::SetFeed { list: ListId(op.list), source: op.source, feed }
        }
    })
}

fn made_by(edit: bool) -> MadeBy {
    if edit { MadeBy::Edit } else { MadeBy::Import }
}

fn read_rows(rows: Vec<RowRecord>) -> Result<Vec<RowChange>, StoreError> {
    rows.into_iter().map(read_row).collect()
}

fn read_row(row: RowRecord) -> Result<RowChange, StoreError> {
    let family = Family::Contents;
    Ok(match row.op {
        Some(RowOp::Open(open)) => {
            let mut hashes = Vec::with_capacity(open.hashes.len());
            for hash in &open.hashes {
                hashes.push(
                    HashValue::from_bytes(read_kind(family, hash.kind)?, &hash.bytes)
                        .map_err(|bad| family.corrupt(bad.to_string()))?,
                );
            }
            let status = u8::try_from(open.status).ok().and_then(Status::from_u8);
            let status = status.ok_or_else(|| family.corrupt("an unknown status"))?;
            let content = Entry { id: open.id, category: open.category, status, hashes };
            check_entry(&content).map_err(|why| family.corrupt(why))?;
            let description = open.description.map(|record| description(family, record)).transpose()?;
            RowChange::Open { entry: EntryNo(open.entry), content, description }
        }
        Some(RowOp::Close(close)) => RowChange::Close { entry: EntryNo(close.entry) },
        Some(RowOp::Describe(row)) => {
            let record = row.description.ok_or_else(|| family.corrupt("a description is missing"))?;
            RowChange::Describe { entry: EntryNo(row.entry), description: description(family, record)? }
        }
        None => return Err(family.corrupt("a row of an unknown kind")),
    })
}

fn read_polarity(family: Family, n: u32) -> Result<Polarity, StoreError> {
    match n {
        1 => Ok(Polarity::Positive),
        2 => Ok(Polarity::Negative),
        _ => Err(family.corrupt("an unknown polarity")),
    }
}

fn read_kind(family: Family, n: u32) -> Result<HashKind, StoreError> {
    u8::try_from(n).ok().and_then(HashKind::from_u8).ok_or_else(|| family.corrupt("an unknown kind of hash"))
}

fn read_action(family: Family, n: u32) -> Result<Action, StoreError> {
    Action::ALL.into_iter().find(|action| *action as u32 == n).ok_or_else(|| family.corrupt("an unknown action"))
}

fn read_digest(family: Family, bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| family.corrupt("a digest is not 32 bytes long"))
}

fn read_policy(family: Family, record: Option<PolicyRecord>) -> Result<ListPolicy, StoreError> {
    let record = record.ok_or_else(|| family.corrupt("a policy is missing"))?;
    let radius = |kind: HashKind, n: u32| {
        u16::try_from(n).ok().filter(|r| *r <= kind.radius_max()).ok_or_else(|| family.corrupt("a radius is out of range"))
    };
    let mut policy = ListPolicy {
        kinds: Default::default(),
        category_radii: Default::default(),
        quality_min: u8::try_from(record.quality_min).map_err(|_| family.corrupt("a quality is out of range"))?,
        transforms: Transforms(
            u8::try_from(record.transforms).map_err(|_| family.corrupt("a set of transforms is out of range"))?,
        ),
        scope: record.scope,
        views: Default::default(),
        view_action_max: match record.view_action_max {
            0 => Action::Review,
            n => read_action(family, n)?,
        },
        pdq_dialect: u8::try_from(record.pdq_dialect)
            .ok()
            .and_then(PdqDialect::from_u8)
            .ok_or_else(|| family.corrupt("an unknown dialect of PDQ"))?,
        category_actions: Default::default(),
        shadow: record.shadow,
        disputes_max: record.disputes_max,
        about: About { owner: record.owner, provenance: record.provenance, legal_basis: record.legal_basis },
    };
    for k in record.kinds {
        let kind = read_kind(family, k.kind)?;
        policy.kinds.insert(kind, KindPolicy { radius: radius(kind, k.radius)?, action: read_action(family, k.action)? });
    }
    for view in record.views {
        let kind = u8::try_from(view.kind).ok().and_then(ViewKind::from_u8);
        let kind = kind.ok_or_else(|| family.corrupt("an unknown class of views"))?;
        let rule = ViewRule { kind, radius: u16::try_from(view.radius).unwrap_or(u16::MAX) };
        rule.check().map_err(|bad| family.corrupt(bad.0))?;
        policy.views.insert(kind, rule.radius);
    }
    for c in record.category_radii {
        let kind = read_kind(family, c.kind)?;
        policy.category_radii.insert((c.category, kind), radius(kind, c.radius)?);
    }
    for c in record.category_actions {
        policy.category_actions.insert((c.category, read_kind(family, c.kind)?), read_action(family, c.action)?);
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Hash64, Pdq};
    use proptest::prelude::*;

    fn change(op: ChangeOp) -> Change {
        Change { time_ms: 1_700_000_000_000, by: "someone".into(), op }
    }

    fn policy() -> ListPolicy {
        let mut policy = ListPolicy { quality_min: 100, ..ListPolicy::default_for(Polarity::Negative) };
        policy.category_radii.insert(("a1".into(), HashKind::Pdq), 256);
        policy.kinds.insert(HashKind::Md5, KindPolicy { radius: 0, action: Action::Block });
        policy.kinds.remove(&HashKind::PhotoDna);
        policy.transforms = Transforms(0b1001_0001);
        policy.scope = vec!["one".into(), "two".into()];
        policy.views = [(ViewKind::Extended, 0), (ViewKind::Turned, 39)].into();
        policy.view_action_max = Action::Block;
        policy
    }

    fn changes() -> Vec<Change> {
        let (list, version) = (ListId(u32::MAX - 1), VersionNo(9));
        let hashes = vec![
            HashValue::Pdq(Pdq([1, 2, 3, u64::MAX])),
            HashValue::Phash64(Hash64(0)),
            HashValue::Dhash64(Hash64(5)),
            HashValue::Md5([1; 16]),
            HashValue::Sha1([2; 20]),
            HashValue::Sha256([3; 32]),
            HashValue::PhotoDna(Box::new([4; 144])),
        ];
        let entry = |id: &str, hashes| Entry::new(id.into(), "c".repeat(64), hashes).unwrap();
        let description = |sources| Description {
            sources: Sources(sources),
            details: Details {
                tags: vec!["t".repeat(200), String::new()],
                note: "n".into(),
                updated: "u".into(),
                quality: Some(100),
                fields: vec![("name".into(), "v".repeat(300)), (String::new(), String::new())],
                cut: true,
            },
        };
        let mark = Mark {
            kind: MarkKind::Disabled,
            until_ms: Some(7),
            note: "why".into(),
            contents: vec![EntryNo(3), EntryNo(u32::MAX)],
        };
        let rows = vec![
            RowChange::Open { entry: EntryNo(u32::MAX), content: entry("é", hashes), description: None },
            RowChange::Open {
                entry: EntryNo(0),
                content: entry(&"x".repeat(256), vec![HashValue::Md5([0; 16]); 1]).with_status(Status::Withdrawn),
                description: Some(description(2)),
            },
            RowChange::Describe { entry: EntryNo(u32::MAX), description: description(u16::MAX) },
            RowChange::Close { entry: EntryNo(7) },
            RowChange::Close { entry: EntryNo(u32::MAX) },
        ];
        [
            ChangeOp::CreateList { list, name: "n".into(), polarity: Polarity::Negative, policy: policy() },
            ChangeOp::CreateList {
                list: ListId(0),
                name: String::new(),
                polarity: Polarity::Positive,
                policy: ListPolicy::default_for(Polarity::Positive),
            },
            ChangeOp::SetPolicy { list, policy: policy() },
            ChangeOp::SetDisabled { list, disabled: true },
            ChangeOp::SetDisabled { list, disabled: false },
            ChangeOp::DeleteList { list },
            ChangeOp::Stage { list, version, parent: Some(VersionNo(8)), source: "file.csv".into(), made_by: MadeBy::Import },
            ChangeOp::Stage { list, version, parent: None, source: "add".into(), made_by: MadeBy::Edit },
            ChangeOp::Rows { list, version, rows: rows.clone() },
            ChangeOp::Rows { list, version, rows: vec![] },
            ChangeOp::Seal { list, version, rows: u64::MAX, digest: [9; 32] },
            ChangeOp::Activate { list, version },
            ChangeOp::Undo { list, version },
            ChangeOp::Edit {
                list,
                version,
                parent: Some(VersionNo(0)),
                source: "add".into(),
                rows,
                rows_total: 3,
                digest: [0; 32],
            },
            ChangeOp::Drop { list, versions: vec![version, VersionNo(0), VersionNo(u32::MAX)] },
            ChangeOp::AddSource { list, name: "feed".into() },
            ChangeOp::SetMark { list, id: "é".into(), mark: Some(mark) },
            ChangeOp::SetMark { list, id: "é".into(), mark: None },
            ChangeOp::SetFeed { list, source: "feed".into(), feed: Some(feed()) },
            ChangeOp::SetFeed { list, source: "feed".into(), feed: None },
        ]
        .map(change)
        .to_vec()
    }

    fn feed() -> Feed {
        let (place, credentials, format) = ("https://host/a".to_owned(), "c".to_owned(), "csv".to_owned());
        Feed { kind: FeedKind::Files, place, credentials, every_s: 60, format, delta: true, feedback: true, set_ms: 5 }
    }

    #[test]
    fn every_change_comes_back_as_it_was() {
        for change in changes() {
            let written = write_change(&change);
            assert_eq!(written, ChangeRecord::from(&change).encode_to_vec());
            assert_eq!(read_change(&written).unwrap(), change);
        }
    }

    /// As every policy was written before there were views.
    #[test]
    fn a_policy_without_views_counts_the_whole_picture_alone() {
        let policy = |record| read_policy(Family::Lists, Some(record)).unwrap();
        let old = policy(PolicyRecord { transforms: 255, ..PolicyRecord::default() });
        assert_eq!((old.views.len(), old.view_action_max), (0, Action::Review));
        assert_eq!(old.threshold("", HashKind::Pdq, ViewKind::Window), None);
    }

    #[test]
    fn lists_and_versions_come_back_as_they_were() {
        let (active, previous, head) = (VersionNo(3), VersionNo(2), VersionNo(0));
        let (id, name, polarity) = (ListId(7), "n".to_owned(), Polarity::Negative);
        let (sources, marks_changed) = (vec!["feed".to_owned()], 3);
        let (disabled, feeds) = (true, [("feed".to_owned(), feed())].into());
        let list =
            HashList { id, name, polarity, policy: policy(), active, previous, head, disabled, sources, marks_changed, feeds };
        assert_eq!(read_list(id, &write_list(&list)).unwrap(), list);
        for state in [VersionState::Staged, VersionState::Sealed, VersionState::Undone] {
            let (rows, digest, source, time_ms) = (5, [8; 32], "s".to_owned(), 6);
            let (made_by, activated) = (MadeBy::Edit, state == VersionState::Sealed);
            let lineage = Lineage::new(vec![(VersionNo(1), VersionNo(2)), (active, active)]).unwrap();
            let parent = VersionNo(2);
            let version = ListVersion {
                list: id,
                version: active,
                parent,
                lineage,
                state,
                rows,
                digest,
                source,
                time_ms,
                made_by,
                activated,
            };
            assert_eq!(read_version(id, active, &write_version(&version)).unwrap(), version);
        }
        for lineage in [vec![1], vec![2, 1], vec![1, 3, 3, 4]] {
            let record = VersionRecord { state: 2, digest: vec![0; 32], lineage, ..VersionRecord::default() };
            assert!(matches!(read_version(id, active, &record.encode_to_vec()), Err(StoreError::Corrupt { .. })));
        }
    }

    #[test]
    fn a_row_is_never_longer_than_its_bound() {
        for change in changes() {
            if let ChangeOp::Rows { rows, .. } = &change.op {
                for row in rows {
                    let alone = RowsOnly { rows: vec![write_row(row)] }.encoded_len();
                    assert!(alone <= row_bytes(row), "{alone} {}", row_bytes(row));
                }
            }
        }
    }

    #[derive(Clone, PartialEq, Message)]
    struct RowsOnly {
        #[prost(message, repeated, tag = "3")]
        rows: Vec<RowRecord>,
    }

    #[test]
    fn what_is_not_well_formed_is_corrupt_and_never_a_panic() {
        let close = |entry| RowRecord { op: Some(RowOp::Close(CloseRow { entry })) };
        let open = |id: &str, kind, len| {
            let hashes = vec![HashRecord { kind, bytes: vec![1; len] }];
            RowRecord { op: Some(RowOp::Open(OpenRow { entry: 1, id: id.into(), hashes, ..OpenRow::default() })) }
        };
        let with_status = |status, sources| {
            let hashes = vec![HashRecord { kind: 4, bytes: vec![1; 16] }];
            let description = Some(DescriptionRecord { sources, details: None });
            let (id, category) = ("a".to_owned(), String::new());
            RowRecord { op: Some(RowOp::Open(OpenRow { entry: 1, id, category, hashes, status, description })) }
        };
        let rows = |row| OpRecord::Rows(Rows { list: 1, version: 1, rows: vec![close(1), row] });
        let policy = |kind, radius, action, quality_min, transforms| {
            let kinds = vec![KindRecord { kind, radius, action }];
            let policy = PolicyRecord { kinds, quality_min, transforms, ..PolicyRecord::default() };
            OpRecord::SetPolicy(SetPolicy { list: 1, policy: Some(policy) })
        };
        let views = |kind, radius, view_action_max| {
            let policy = PolicyRecord { views: vec![ViewRecord { kind, radius }], view_action_max, ..PolicyRecord::default() };
            OpRecord::SetPolicy(SetPolicy { list: 1, policy: Some(policy) })
        };
        for (op, ok) in [
            (Some(rows(open("a", 4, 16))), true),
            (Some(rows(open("a", 4, 15))), false),
            (Some(rows(open("a", 0, 16))), false),
            (Some(rows(open("a", 260, 16))), false),
            (Some(rows(open("", 4, 16))), false),
            (Some(rows(open("a\n", 4, 16))), false),
            (Some(rows(open(&"a".repeat(257), 4, 16))), false),
            (Some(rows(RowRecord { op: None })), false),
            (Some(rows(with_status(2, 1))), true),
            (Some(rows(with_status(3, 1))), false),
            (Some(rows(with_status(0, 0))), false),
            (Some(rows(with_status(0, 1 << 16))), false),
            (Some(rows(RowRecord { op: Some(RowOp::Describe(DescribeRow { entry: 1, description: None })) })), false),
            (Some(policy(1, 256, 3, 255, 255)), true),
            (Some(policy(1, 257, 3, 0, 0)), false),
            (Some(policy(2, 65, 3, 0, 0)), false),
            (Some(policy(4, 1, 3, 0, 0)), false),
            (Some(policy(1, 1, 0, 0, 0)), false),
            (Some(policy(1, 1, 3, 256, 0)), false),
            (Some(policy(1, 1, 3, 0, 256)), false),
            (Some(views(2, 39, 0)), true),
            (Some(views(1, 31, 0)), false),
            (Some(views(5, 31, 0)), false),
            (Some(views(2, 40, 0)), false),
            (Some(views(2, 31, 4)), false),
            (Some(OpRecord::SetPolicy(SetPolicy { list: 1, policy: None })), false),
            (Some(OpRecord::Seal(Seal { list: 1, version: 1, rows: 0, digest: vec![0; 31] })), false),
            (None, false),
        ] {
            let bytes = ChangeRecord { time_ms: 0, by: String::new(), op }.encode_to_vec();
            match read_change(&bytes) {
                Ok(_) => assert!(ok),
                Err(StoreError::Corrupt { family: "contents", .. }) => assert!(!ok),
                Err(other) => panic!("{other}"),
            }
        }
        for change in changes() {
            let bytes = write_change(&change);
            for n in 0..bytes.len() {
                // A cut between two fields leaves a shorter message: it reads, as another change, or it is corrupt.
                assert!(read_change(&bytes[..n]).ok() != Some(change.clone()));
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_change(&bytes);
            let _ = read_list(ListId(1), &bytes);
            let _ = read_version(ListId(1), VersionNo(1), &bytes);
        }

        #[test]
        fn no_altered_byte_makes_reading_panic(which in 0usize..18, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = write_change(&changes()[which]);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = read_change(&bytes);
        }
    }
}
