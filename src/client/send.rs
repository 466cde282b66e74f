//! The doors' values to request messages.

use crate::catalog::{EntryQuery, ExportOptions, ImportOptions, Moment, NewEntry, PictureOptions, PolicyUpdate, Stopped};
use crate::entry::{Action, Details, HashKind, HashValue, Mark, MarkKind, Polarity, Status, Transform, ViewSet};
use crate::lists::{Column, Format, Header, Mapping};
use crate::matcher::Content;
use crate::proto::v1;

pub fn item(item: super::Item) -> v1::MatchItem {
    let content = match item.content {
        Content::Image(bytes) => v1::match_item::Content::Image(bytes),
        Content::Hashes(given) => {
            let hashes = given.iter().map(|given| hash(&given.hash, given.quality)).collect();
            v1::match_item::Content::Hashes(v1::Hashes { hashes })
        }
    };
    let views = match item.views {
        None => v1::ViewSet::Unspecified,
        Some(ViewSet::Whole) => v1::ViewSet::Whole,
        Some(ViewSet::All) => v1::ViewSet::All,
    };
    v1::MatchItem { item_id: item.id, reference: item.reference, content: Some(content), lists: item.lists, views: views as i32 }
}

fn hash(value: &HashValue, quality: Option<u8>) -> v1::Hash {
    v1::Hash { kind: kind(value.kind()), hex: value.hex(), quality: quality.map(u32::from) }
}

pub fn kind(kind: HashKind) -> i32 {
    // The numbers are the same by intent.
    kind as i32
}

fn transform(transform: Transform) -> i32 {
    transform as i32 + 1
}

fn action(action: Action) -> i32 {
    action as i32
}

pub fn polarity(polarity: Polarity) -> i32 {
    match polarity {
        Polarity::Positive => v1::Polarity::Positive as i32,
        Polarity::Negative => v1::Polarity::Negative as i32,
    }
}

pub fn policy_update(update: &PolicyUpdate) -> v1::PolicyUpdate {
    let radii = update.radii.iter();
    let radii =
        radii.map(|rule| v1::RadiusRule { category: rule.category.clone(), kind: kind(rule.kind), radius: rule.radius.into() });
    let removed = update.radii_removed.iter();
    let removed = removed.map(|(category, of)| v1::CategoryRadius { category: category.clone(), kind: kind(*of) });
    let actions = update.actions.iter();
    let actions = actions.map(|rule| v1::ActionRule {
        category: rule.category.clone(),
        kind: rule.kind.map(kind),
        action: action(rule.action),
    });
    let actions_removed = update.actions_removed.iter();
    let actions_removed =
        actions_removed.map(|(category, of)| v1::CategoryAction { category: category.clone(), kind: of.map(kind) });
    let view_radii = update.view_radii.iter();
    let view_radii = view_radii.map(|rule| v1::ViewRule { kind: rule.kind as i32, radius: rule.radius.into() });
    v1::PolicyUpdate {
        radii: radii.collect(),
        radii_removed: removed.collect(),
        actions: actions.collect(),
        actions_removed: actions_removed.collect(),
        quality_min: update.quality_min.map(u32::from),
        transforms: update.transforms.map(|set| v1::TransformSet { transforms: set.iter().map(transform).collect() }),
        scope: update.scope.clone().map(|lists| v1::ListNames { lists }),
        // The numbers of classes are the same by intent.
        views: update.views.as_ref().map(|set| v1::ViewKindSet { kinds: set.iter().map(|class| *class as i32).collect() }),
        view_radii: view_radii.collect(),
        view_action_max: update.view_action_max.map(action),
        pdq_dialect: update.pdq_dialect.map(|dialect| dialect as i32),
        shadow: update.shadow,
        disputes_max: update.disputes_max,
        owner: update.owner.clone(),
        provenance: update.provenance.clone(),
        legal_basis: update.legal_basis.clone(),
    }
}

pub fn new_entry(entry: NewEntry) -> v1::NewEntry {
    let hashes = entry.hashes.iter().map(|value| hash(value, None)).collect();
    let status = match entry.status {
        Status::Active => v1::EntryStatus::Active,
        Status::Disputed => v1::EntryStatus::Disputed,
        Status::Withdrawn => v1::EntryStatus::Withdrawn,
    };
    let details = Some(Box::new(entry_details(entry.details)));
    v1::NewEntry { id: entry.id, category: entry.category, hashes, status: status as i32, details }
}

pub fn add_picture(list: &str, image: Vec<u8>, options: PictureOptions) -> v1::AddPictureRequest {
    let PictureOptions { id, category, details, digests_only, dry_run } = options;
    v1::AddPictureRequest {
        list: list.to_owned(),
        image,
        id,
        category,
        details: Some(entry_details(details)),
        digests_only,
        dry_run,
    }
}

fn entry_details(details: Details) -> v1::EntryDetails {
    v1::EntryDetails {
        tags: details.tags,
        note: details.note,
        updated: details.updated,
        quality: details.quality.map(u32::from),
        fields: details.fields.into_iter().map(|(name, value)| v1::EntryField { name, value }).collect(),
        cut: false,
    }
}

pub fn entry_mark(mark: Mark) -> v1::EntryMark {
    let kind = match mark.kind {
        MarkKind::Noted => v1::EntryMarkKind::Noted,
        MarkKind::Disabled => v1::EntryMarkKind::Disabled,
        MarkKind::Quarantined => v1::EntryMarkKind::Quarantined,
        MarkKind::ObserveOnly => v1::EntryMarkKind::ObserveOnly,
        MarkKind::ReviewOnly => v1::EntryMarkKind::ReviewOnly,
    };
    let time = |ms: u64| prost_types::Timestamp { seconds: (ms / 1000) as i64, nanos: (ms % 1000) as i32 * 1_000_000 };
    v1::EntryMark { kind: kind as i32, expire_time: mark.until_ms.map(time), note: mark.note, ..v1::EntryMark::default() }
}

pub fn match_as_of(list: &str, moment: Moment, of: &HashValue) -> v1::MatchAsOfRequest {
    use v1::match_as_of_request::Moment as Given;
    let moment = match moment {
        Moment::Time(ms) => {
            Given::Time(prost_types::Timestamp { seconds: (ms / 1000) as i64, nanos: (ms % 1000) as i32 * 1_000_000 })
        }
        Moment::Change(seq) => Given::Snapshot(seq),
    };
    v1::MatchAsOfRequest { list: list.to_owned(), hash: Some(hash(of, None)), moment: Some(moment) }
}

pub fn entry_query(query: &EntryQuery) -> (v1::find_entries_request::Query, u32) {
    use v1::find_entries_request::Query;
    match query {
        EntryQuery::Hash(value, radius) => (Query::Hash(hash(value, None)), (*radius).into()),
        EntryQuery::Id(prefix) => (Query::IdPrefix(prefix.clone()), 0),
        EntryQuery::Marked => (Query::Marked(true), 0),
    }
}

pub fn format(format: Option<Format>) -> v1::ListFormat {
    match format {
        None => v1::ListFormat::Unspecified,
        Some(Format::Csv) => v1::ListFormat::Csv,
        Some(Format::PdqText) => v1::ListFormat::PdqText,
        Some(Format::StopnciiJson) => v1::ListFormat::StopnciiJson,
        Some(Format::ThreatexchangeJson) => v1::ListFormat::ThreatexchangeJson,
        Some(Format::VicsJson) => v1::ListFormat::VicsJson,
        Some(Format::NcmecXml) => v1::ListFormat::NcmecXml,
        Some(Format::Bundle) => v1::ListFormat::Bundle,
    }
}

pub fn export(name: &str, options: &ExportOptions) -> v1::ExportEntriesRequest {
    let stopped = match options.stopped {
        Stopped::Withdrawn => v1::ExportStopped::Withdrawn,
        Stopped::LeftOut => v1::ExportStopped::Omit,
        Stopped::AsTheyAre => v1::ExportStopped::Keep,
    };
    v1::ExportEntriesRequest {
        list: name.to_owned(),
        version: options.version.map_or(0, |version| version.0),
        format: format(Some(options.format)) as i32,
        source: options.source.clone().unwrap_or_default(),
        stopped: stopped as i32,
    }
}

pub fn import_header(name: &str, options: &ImportOptions) -> v1::ImportHeader {
    v1::ImportHeader {
        list: name.to_owned(),
        format: format(options.format) as i32,
        mapping: Some(mapping(&options.mapping)),
        source: options.source.clone(),
        activate: options.activate,
        dry_run: options.dry_run,
        accept: options.accept,
        feed: options.feed.clone(),
        delta: options.delta,
    }
}

fn mapping(mapping: &Mapping) -> v1::CsvMapping {
    let header = match mapping.header {
        Header::Auto => v1::CsvHeader::Unspecified,
        Header::Present => v1::CsvHeader::Present,
        Header::Absent => v1::CsvHeader::Absent,
    };
    let hashes = mapping.hashes.iter();
    let signal = mapping.signal.as_ref();
    v1::CsvMapping {
        header: header as i32,
        delimiter: mapping.delimiter.map(String::from).unwrap_or_default(),
        hashes: hashes.map(|(of, at)| v1::HashColumn { kind: kind(*of), column: Some(column(at)) }).collect(),
        signal: signal.map(|s| v1::SignalColumns { r#type: Some(column(&s.kind)), value: Some(column(&s.value)) }),
        id: mapping.id.as_ref().map(column),
        category: mapping.category.as_ref().map(column),
        deleted: mapping.deleted.as_ref().map(column),
        status: mapping.status.as_ref().map(column),
        member: mapping.member.as_ref().map(column),
        tags: mapping.tags.as_ref().map(column),
        note: mapping.note.as_ref().map(column),
        updated: mapping.updated.as_ref().map(column),
        quality: mapping.quality.as_ref().map(column),
    }
}

fn column(column: &Column) -> v1::Column {
    let column = match column {
        Column::Number(number) => v1::column::Column::Number(*number),
        Column::Name(name) => v1::column::Column::Name(name.clone()),
    };
    v1::Column { column: Some(column) }
}
