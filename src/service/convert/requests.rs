//! What does a message ask for? Messages to the doors' values, or the [`Fault`] that names the field.
//!
//! Paths are those of the message as it was sent, with zero-based indexes. Invariant: what comes out is within the limits.

use std::collections::{BTreeSet, HashSet};

use super::Fault;
use super::entries::{details, status};
use super::fields::{at_most, entry_id, hash, kind};
use crate::catalog::{ActionRule, ExportOptions, Fetched, ImportOptions, NewEntry, PolicyUpdate, RadiusRule, Stopped};
use crate::entry::shown::is_visible;
use crate::entry::{
    ABOUT_BYTES_MAX, Action, CATEGORY_BYTES_MAX, Details, ENTRY_HASHES_MAX, HashKind, LIST_NAME_BYTES_MAX, PdqDialect, Polarity,
    Transform, Transforms, VersionNo, ViewKind, ViewRule, ViewSet, check_list_name,
};
use crate::lists::{Column, Format, Header, Mapping, Signal};
use crate::matcher::{Content, GivenHash};
use crate::proto::v1;
use crate::service::Options;

pub const ITEM_ID_BYTES_MAX: usize = 256;
pub const REFERENCE_BYTES_MAX: usize = 1024;
/// Longest text that says where an import comes from.
pub const SOURCE_BYTES_MAX: usize = 256;
/// Most lists that one item or one policy's scope may name.
pub const LIST_NAMES_MAX: usize = 1000;
/// Most rules of one kind in a policy's update, columns in a mapping.
const RULES_MAX: usize = 1000;

/// One item, ready for the matcher.
pub struct Item {
    pub content: Content,
    pub lists: Vec<String>,
    /// `None` where the service's default holds.
    pub views: Option<ViewSet>,
}

/// An item's id as a result repeats it: one that is too long is cut, as its item is refused.
pub fn item_id(item: &v1::MatchItem) -> String {
    item.item_id.chars().take(ITEM_ID_BYTES_MAX).collect()
}

/// Its reference likewise.
pub fn reference(item: &v1::MatchItem) -> String {
    item.reference.chars().take(REFERENCE_BYTES_MAX).collect()
}

/// What an item takes in memory while it is worked on, about; an image is counted elsewhere.
pub fn item_bytes(item: &v1::MatchItem) -> u64 {
    let hashes = if let Some(v1::match_item::Content::Hashes(given)) = &item.content { given.hashes.len() } else { 0 };
    let lists = item.lists.iter().map(|name| 32 + name.len()).sum::<usize>();
    (256 + hashes * 96 + lists) as u64
}

/// The same names, each once: a list that is named a thousand times is asked once, and mentioned once in the reply.
pub fn distinct(names: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::with_capacity(names.len());
    let first: Vec<bool> = names.iter().map(|name| seen.insert(name.as_str())).collect();
    names.into_iter().zip(first).filter_map(|(name, first)| first.then_some(name)).collect()
}

/// Reads an item. `path` is where it stands: `item` or `items[4]`.
pub fn item(item: v1::MatchItem, path: &str, options: &Options) -> Result<Item, Fault> {
    let at = |field: &str| format!("{path}.{field}");
    at_most(item.item_id.len(), ITEM_ID_BYTES_MAX, "bytes", || at("item_id"))?;
    at_most(item.reference.len(), REFERENCE_BYTES_MAX, "bytes", || at("reference"))?;
    at_most(item.lists.len(), LIST_NAMES_MAX, "names", || at("lists"))?;
    for (n, name) in item.lists.iter().enumerate() {
        at_most(name.len(), LIST_NAME_BYTES_MAX, "bytes", || at(&format!("lists[{n}]")))?;
    }
    let views = match v1::ViewSet::try_from(item.views) {
        Ok(v1::ViewSet::Unspecified) => None,
        Ok(v1::ViewSet::Whole) => Some(ViewSet::Whole),
        Ok(v1::ViewSet::All) => Some(ViewSet::All),
        Err(_) => return Err(Fault::malformed(at("views"), "is not a set of views")),
    };
    let content = match item.content {
        None => return Err(Fault::malformed(path, "has neither an image nor hashes")),
        Some(v1::match_item::Content::Image(bytes)) => Content::Image(bytes),
        Some(v1::match_item::Content::Hashes(v1::Hashes { hashes })) => {
            if hashes.is_empty() {
                return Err(Fault::malformed(at("hashes.hashes"), "has no hash"));
            }
            at_most(hashes.len(), options.hashes_per_item_max as usize, "hashes", || at("hashes.hashes"))?;
            let given = |(n, hash)| given_hash(hash, &at(&format!("hashes.hashes[{n}]")));
            Content::Hashes(hashes.iter().enumerate().map(given).collect::<Result<_, _>>()?)
        }
    };
    Ok(Item { content, lists: item.lists, views })
}

fn given_hash(given: &v1::Hash, path: &str) -> Result<GivenHash, Fault> {
    let hash = hash(given, path)?;
    if hash.kind() == HashKind::PhotoDna {
        // Not searched: to answer NO_MATCH would be untrue.
        return Err(Fault::malformed(format!("{path}.kind"), "photodna hashes are kept with entries but not searched"));
    }
    let quality = given.quality.map(|quality| percent(quality, || format!("{path}.quality"))).transpose()?;
    Ok(GivenHash { hash, quality })
}

fn action(n: i32, path: impl Fn() -> String) -> Result<Action, Fault> {
    Action::ALL.into_iter().find(|a| *a as i32 == n).ok_or_else(|| Fault::malformed(path(), "is not an action"))
}

fn transform(n: i32, path: impl Fn() -> String) -> Result<Transform, Fault> {
    Transform::ALL.into_iter().find(|t| *t as i32 + 1 == n).ok_or_else(|| Fault::malformed(path(), "is not a transform"))
}

/// A class of views, so not the whole.
fn view_class(n: i32, path: impl Fn() -> String) -> Result<ViewKind, Fault> {
    let class = ViewKind::CLASSES.into_iter().find(|class| *class as i32 == n);
    class.ok_or_else(|| Fault::malformed(path(), "is not a class of views"))
}

fn view_rule(rule: &v1::ViewRule, path: &str) -> Result<ViewRule, Fault> {
    let kind = view_class(rule.kind, || format!("{path}.kind"))?;
    let rule = ViewRule { kind, radius: u16::try_from(rule.radius).unwrap_or(u16::MAX) };
    rule.check().map(|()| rule).map_err(|bad| Fault::malformed(format!("{path}.radius"), bad.0))
}

fn percent(n: u32, path: impl Fn() -> String) -> Result<u8, Fault> {
    u8::try_from(n).ok().filter(|q| *q <= 100).ok_or_else(|| Fault::malformed(path(), "is out of range: 0 to 100"))
}

fn radius(n: u32, kind: HashKind, path: impl Fn() -> String) -> Result<u16, Fault> {
    let radius = u16::try_from(n).unwrap_or(u16::MAX);
    kind.check_policy_radius(radius).map(|()| radius).map_err(|bad| Fault::malformed(path(), bad.0))
}

/// A list's name as the catalog takes it.
pub fn list_name(name: &str, path: &str) -> Result<(), Fault> {
    check_list_name(name).map_err(|bad| Fault::malformed(path, bad.0))
}

pub fn polarity(n: i32) -> Result<Polarity, Fault> {
    match v1::Polarity::try_from(n) {
        Ok(v1::Polarity::Unspecified | v1::Polarity::Positive) => Ok(Polarity::Positive),
        Ok(v1::Polarity::Negative) => Ok(Polarity::Negative),
        Err(_) => Err(Fault::malformed("polarity", "is not a polarity")),
    }
}

/// The changes a request asks for; none where it has no `policy`.
pub fn policy_update(update: Option<v1::PolicyUpdate>) -> Result<PolicyUpdate, Fault> {
    let Some(update) = update else { return Ok(PolicyUpdate::default()) };
    at_most(update.radii.len(), RULES_MAX, "rules", || "policy.radii".to_owned())?;
    at_most(update.actions.len(), RULES_MAX, "rules", || "policy.actions".to_owned())?;
    let radii = update.radii.into_iter().enumerate().map(|(n, rule)| {
        let at = |field: &str| format!("policy.radii[{n}].{field}");
        at_most(rule.category.as_ref().map_or(0, String::len), CATEGORY_BYTES_MAX, "bytes", || at("category"))?;
        let kind = kind(rule.kind, || at("kind"))?;
        Ok(RadiusRule { category: rule.category, kind, radius: radius(rule.radius, kind, || at("radius"))? })
    });
    at_most(update.radii_removed.len(), RULES_MAX, "rules", || "policy.radii_removed".to_owned())?;
    let removed = update.radii_removed.into_iter().enumerate().map(|(n, radius)| {
        let at = |field: &str| format!("policy.radii_removed[{n}].{field}");
        at_most(radius.category.len(), CATEGORY_BYTES_MAX, "bytes", || at("category"))?;
        Ok((radius.category, kind(radius.kind, || at("kind"))?))
    });
    let actions = update.actions.iter().enumerate().map(|(n, rule)| {
        let at = |field: &str| format!("policy.actions[{n}].{field}");
        at_most(rule.category.as_ref().map_or(0, String::len), CATEGORY_BYTES_MAX, "bytes", || at("category"))?;
        let kind = rule.kind.map(|k| kind(k, || at("kind"))).transpose()?;
        Ok(ActionRule { category: rule.category.clone(), kind, action: action(rule.action, || at("action"))? })
    });
    at_most(update.actions_removed.len(), RULES_MAX, "rules", || "policy.actions_removed".to_owned())?;
    let actions_removed = update.actions_removed.into_iter().enumerate().map(|(n, of)| {
        let at = |field: &str| format!("policy.actions_removed[{n}].{field}");
        at_most(of.category.len(), CATEGORY_BYTES_MAX, "bytes", || at("category"))?;
        Ok((of.category, of.kind.map(|k| kind(k, || at("kind"))).transpose()?))
    });
    for (text, field) in [(&update.owner, "owner"), (&update.provenance, "provenance"), (&update.legal_basis, "legal_basis")] {
        at_most(text.as_ref().map_or(0, String::len), ABOUT_BYTES_MAX, "bytes", || format!("policy.{field}"))?;
    }
    at_most(update.view_radii.len(), RULES_MAX, "rules", || "policy.view_radii".to_owned())?;
    let view_radii = update.view_radii.iter().enumerate().map(|(n, rule)| view_rule(rule, &format!("policy.view_radii[{n}]")));
    Ok(PolicyUpdate {
        radii: radii.collect::<Result<_, _>>()?,
        radii_removed: removed.collect::<Result<_, _>>()?,
        actions: actions.collect::<Result<_, _>>()?,
        actions_removed: actions_removed.collect::<Result<_, _>>()?,
        quality_min: update.quality_min.map(|q| percent(q, || "policy.quality_min".to_owned())).transpose()?,
        transforms: update.transforms.map(transforms).transpose()?,
        scope: update.scope.map(scope).transpose()?,
        views: update.views.map(view_classes).transpose()?,
        view_radii: view_radii.collect::<Result<_, _>>()?,
        view_action_max: update.view_action_max.map(|n| action(n, || "policy.view_action_max".to_owned())).transpose()?,
        pdq_dialect: update.pdq_dialect.map(dialect).transpose()?,
        shadow: update.shadow,
        disputes_max: update.disputes_max,
        owner: update.owner,
        provenance: update.provenance,
        legal_basis: update.legal_basis,
    })
}

fn dialect(n: i32) -> Result<PdqDialect, Fault> {
    let known = u8::try_from(n).ok().and_then(PdqDialect::from_u8); // the numbers are the same by intent
    known.ok_or_else(|| Fault::malformed("policy.pdq_dialect", "an unknown dialect"))
}

fn view_classes(set: v1::ViewKindSet) -> Result<BTreeSet<ViewKind>, Fault> {
    let class = |(n, kind): (usize, &i32)| view_class(*kind, || format!("policy.views.kinds[{n}]"));
    set.kinds.iter().enumerate().map(class).collect()
}

fn transforms(set: v1::TransformSet) -> Result<Transforms, Fault> {
    if set.transforms.is_empty() {
        return Err(Fault::malformed("policy.transforms.transforms", "a list needs at least one transform"));
    }
    let named = |(n, t): (usize, &i32)| transform(*t, || format!("policy.transforms.transforms[{n}]"));
    set.transforms.iter().enumerate().map(named).collect()
}

fn scope(names: v1::ListNames) -> Result<Vec<String>, Fault> {
    at_most(names.lists.len(), LIST_NAMES_MAX, "names", || "policy.scope.lists".to_owned())?;
    for (n, name) in names.lists.iter().enumerate() {
        list_name(name, &format!("policy.scope.lists[{n}]"))?;
    }
    Ok(names.lists)
}

/// Entries to add, at most `entries_per_call_max`.
pub fn new_entries(entries: Vec<v1::NewEntry>, options: &Options) -> Result<Vec<NewEntry>, Fault> {
    at_most(entries.len(), options.entries_per_call_max, "entries", || "entries".to_owned())?;
    entries.into_iter().enumerate().map(|(n, entry)| new_entry(entry, &format!("entries[{n}]"))).collect()
}

fn new_entry(entry: v1::NewEntry, path: &str) -> Result<NewEntry, Fault> {
    let at = |field: &str| format!("{path}.{field}");
    let details = entry.details.map(|given| details(*given, &at("details"))).transpose()?.unwrap_or_default();
    let named = named_entry(entry.id, entry.category, details, path)?;
    if entry.hashes.is_empty() {
        return Err(Fault::malformed(at("hashes"), "has no hash"));
    }
    at_most(entry.hashes.len(), ENTRY_HASHES_MAX, "hashes", || at("hashes"))?;
    let hashes = entry.hashes.iter().enumerate().map(|(n, given)| {
        let hash = hash(given, &at(&format!("hashes[{n}]")))?;
        hash.check_real().map_err(|bad| Fault::malformed(at(&format!("hashes[{n}].hex")), bad.0))?;
        Ok(hash)
    });
    let status = status(entry.status, || at("status"))?;
    Ok(NewEntry { hashes: hashes.collect::<Result<_, Fault>>()?, status, ..named })
}

/// What is said of a picture's entry; its hashes are not known yet.
pub fn picture_entry(id: Option<String>, category: String, details: Option<v1::EntryDetails>) -> Result<NewEntry, Fault> {
    let details = details.map(|given| super::entries::details(given, "details")).transpose()?.unwrap_or_default();
    named_entry(id, category, details, "")
}

fn named_entry(id: Option<String>, category: String, details: Details, path: &str) -> Result<NewEntry, Fault> {
    let at = |field: &str| if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
    if let Some(id) = &id {
        entry_id(id, &at("id"))?;
        // One that an earlier version took can be removed: that is asked of new ones alone.
        if !is_visible(id) {
            return Err(Fault::malformed(at("id"), "an entry id needs a visible character"));
        }
    }
    at_most(category.len(), CATEGORY_BYTES_MAX, "bytes", || at("category"))?;
    if category.chars().any(char::is_control) {
        return Err(Fault::malformed(at("category"), "has control characters"));
    }
    Ok(NewEntry { id, category, details, ..NewEntry::default() })
}

/// Ids of entries to remove, at most `entries_per_call_max`.
pub fn entry_ids(ids: Vec<String>, options: &Options) -> Result<Vec<String>, Fault> {
    at_most(ids.len(), options.entries_per_call_max, "ids", || "ids".to_owned())?;
    for (n, id) in ids.iter().enumerate() {
        entry_id(id, &format!("ids[{n}]"))?;
    }
    Ok(ids)
}

/// An import's list and options.
pub fn import_options(header: v1::ImportHeader) -> Result<(String, ImportOptions), Fault> {
    list_name(&header.list, "header.list")?;
    at_most(header.source.len(), SOURCE_BYTES_MAX, "bytes", || "header.source".to_owned())?;
    if header.source.chars().any(char::is_control) {
        return Err(Fault::malformed("header.source", "has control characters"));
    }
    let format = format(header.format, "header.format")?;
    let mapping = header.mapping.map(mapping).transpose()?.unwrap_or_default();
    let v1::ImportHeader { source, activate, dry_run, accept, feed, delta, .. } = header;
    let feed = if feed.is_empty() { ImportOptions::default().feed } else { feed };
    list_name(&feed, "header.feed")?;
    let options = ImportOptions { format, mapping, source, activate, dry_run, accept, feed, delta, fetched: Fetched::No };
    Ok((header.list, options))
}

/// A list's format; `None` where none is named.
pub(super) fn format(given: i32, path: &str) -> Result<Option<Format>, Fault> {
    Ok(match v1::ListFormat::try_from(given) {
        Ok(v1::ListFormat::Unspecified) => None,
        Ok(v1::ListFormat::Csv) => Some(Format::Csv),
        Ok(v1::ListFormat::PdqText) => Some(Format::PdqText),
        Ok(v1::ListFormat::StopnciiJson) => Some(Format::StopnciiJson),
        Ok(v1::ListFormat::ThreatexchangeJson) => Some(Format::ThreatexchangeJson),
        Ok(v1::ListFormat::VicsJson) => Some(Format::VicsJson),
        Ok(v1::ListFormat::NcmecXml) => Some(Format::NcmecXml),
        Ok(v1::ListFormat::Bundle) => Some(Format::Bundle),
        Err(_) => return Err(Fault::malformed(path, "is not a list format")),
    })
}

/// A list, and how it is exported.
pub fn export(request: v1::ExportEntriesRequest) -> Result<(String, ExportOptions), Fault> {
    let v1::ExportEntriesRequest { list, version, format: named, source, stopped } = request;
    list_name(&list, "list")?;
    if !source.is_empty() {
        list_name(&source, "source")?;
    }
    let stopped = match v1::ExportStopped::try_from(stopped) {
        Ok(v1::ExportStopped::Unspecified | v1::ExportStopped::Withdrawn) => Stopped::Withdrawn,
        Ok(v1::ExportStopped::Omit) => Stopped::LeftOut,
        Ok(v1::ExportStopped::Keep) => Stopped::AsTheyAre,
        Err(_) => return Err(Fault::malformed("stopped", "is not what can become of entries")),
    };
    let options = ExportOptions {
        version: (version > 0).then_some(VersionNo(version)),
        format: format(named, "format")?.unwrap_or(Format::Csv),
        source: (!source.is_empty()).then_some(source),
        stopped,
    };
    Ok((list, options))
}

/// The name of an import's file.
pub fn file_name(file: v1::ImportFile) -> Result<String, Fault> {
    at_most(file.name.len(), SOURCE_BYTES_MAX, "bytes", || "file.name".to_owned())?;
    Ok(file.name)
}

/// Two lists, and by what they are compared.
pub fn overlap(request: v1::OverlapListsRequest) -> Result<(String, String, HashKind, Option<u16>), Fault> {
    let v1::OverlapListsRequest { list, other, kind: of, radius } = request;
    list_name(&list, "list")?;
    list_name(&other, "other")?;
    let kind = if of == v1::HashKind::Unspecified as i32 { HashKind::Pdq } else { kind(of, || "kind".to_owned())? };
    // What is beyond any radius stays so.
    let radius = radius.map(|radius| u16::try_from(radius).unwrap_or(u16::MAX));
    Ok((list, other, kind, radius))
}

fn mapping(mapping: v1::CsvMapping) -> Result<Mapping, Fault> {
    let at = |field: &str| format!("header.mapping.{field}");
    let header = match v1::CsvHeader::try_from(mapping.header) {
        Ok(v1::CsvHeader::Unspecified) => Header::Auto,
        Ok(v1::CsvHeader::Present) => Header::Present,
        Ok(v1::CsvHeader::Absent) => Header::Absent,
        Err(_) => return Err(Fault::malformed(at("header"), "is not known")),
    };
    let mut characters = mapping.delimiter.chars();
    let delimiter = characters.next();
    if characters.next().is_some() {
        return Err(Fault::malformed(at("delimiter"), "has more than one character"));
    }
    at_most(mapping.hashes.len(), RULES_MAX, "columns", || at("hashes"))?;
    let hashes = mapping.hashes.into_iter().enumerate().map(|(n, of)| {
        let kind = kind(of.kind, || at(&format!("hashes[{n}].kind")))?;
        Ok((kind, some_column(of.column, &at(&format!("hashes[{n}].column")))?))
    });
    let hashes = hashes.collect::<Result<_, _>>()?;
    let signal = mapping.signal.map(|signal| {
        let kind = some_column(signal.r#type, &at("signal.type"))?;
        Ok(Signal { kind, value: some_column(signal.value, &at("signal.value"))? })
    });
    let column = |column: Option<v1::Column>, field: &str| column.map(|c| some_column(Some(c), &at(field))).transpose();
    Ok(Mapping {
        header,
        delimiter,
        hashes,
        signal: signal.transpose()?,
        id: column(mapping.id, "id")?,
        category: column(mapping.category, "category")?,
        deleted: column(mapping.deleted, "deleted")?,
        status: column(mapping.status, "status")?,
        member: column(mapping.member, "member")?,
        tags: column(mapping.tags, "tags")?,
        note: column(mapping.note, "note")?,
        updated: column(mapping.updated, "updated")?,
        quality: column(mapping.quality, "quality")?,
    })
}

fn some_column(column: Option<v1::Column>, path: &str) -> Result<Column, Fault> {
    match column.and_then(|c| c.column) {
        Some(v1::column::Column::Number(number)) => Ok(Column::Number(number)),
        Some(v1::column::Column::Name(name)) => Ok(Column::Name(name)),
        None => Err(Fault::malformed(path, "names no column")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::match_item::Content as Given;

    const PDQ: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";

    fn hash_of(kind: v1::HashKind, hex: &str, quality: Option<u32>) -> v1::Hash {
        v1::Hash { kind: kind as i32, hex: hex.to_owned(), quality }
    }

    #[test]
    fn a_malformed_item_names_the_field() {
        let options = Options { hashes_per_item_max: 3, ..Options::default() };
        let check = |given: v1::MatchItem, field: &str, words: &str| {
            let fault = item(given, "items[4]", &options).err().unwrap();
            assert_eq!((fault.code, fault.field.as_str()), (tonic::Code::InvalidArgument, field), "{}", fault.message);
            assert!(fault.message.contains(words), "{}", fault.message);
            assert!(!fault.message.contains(&PDQ[..8]), "a fault repeats a hash");
        };
        let hashes = |hashes: Vec<v1::Hash>| v1::MatchItem {
            content: Some(Given::Hashes(v1::Hashes { hashes })),
            ..v1::MatchItem::default()
        };
        let good = || hash_of(v1::HashKind::Pdq, PDQ, None);
        check(v1::MatchItem::default(), "items[4]", "neither");
        check(hashes(vec![]), "items[4].hashes.hashes", "no hash");
        check(hashes(vec![good(), good(), good(), good()]), "items[4].hashes.hashes", "at most 3");
        check(
            hashes(vec![good(), hash_of(v1::HashKind::Pdq, &PDQ[1..], None)]),
            "items[4].hashes.hashes[1].hex",
            "64 hex digits",
        );
        check(
            hashes(vec![hash_of(v1::HashKind::Md5, &"g".repeat(32), None)]),
            "items[4].hashes.hashes[0].hex",
            "characters that are not hex digits",
        );
        check(hashes(vec![hash_of(v1::HashKind::Unspecified, PDQ, None)]), "items[4].hashes.hashes[0].kind", "kind");
        check(hashes(vec![hash_of(v1::HashKind::Pdq, PDQ, Some(101))]), "items[4].hashes.hashes[0].quality", "0 to 100");
        check(
            hashes(vec![hash_of(v1::HashKind::Photodna, &"0".repeat(288), None)]),
            "items[4].hashes.hashes[0].kind",
            "not searched",
        );
        check(v1::MatchItem { item_id: "i".repeat(257), ..hashes(vec![good()]) }, "items[4].item_id", "at most 256");
        check(v1::MatchItem { reference: "r".repeat(1025), ..hashes(vec![good()]) }, "items[4].reference", "at most 1024");
        check(v1::MatchItem { lists: vec![String::new(); 1001], ..hashes(vec![good()]) }, "items[4].lists", "at most 1000");
        check(v1::MatchItem { views: 3, ..hashes(vec![good()]) }, "items[4].views", "not a set of views");
    }

    #[test]
    fn a_name_that_is_repeated_counts_once() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(distinct(names(&["b", "a", "b", "b", "c", "a"])), names(&["b", "a", "c"]));
        assert!(distinct(Vec::new()).is_empty());
    }

    #[test]
    fn a_malformed_policy_names_the_field() {
        let check = |update: v1::PolicyUpdate, field: &str| {
            assert_eq!(policy_update(Some(update)).err().unwrap().field, field);
        };
        let none = v1::PolicyUpdate::default;
        let rule = |kind: v1::HashKind, radius| v1::RadiusRule { kind: kind as i32, radius, category: None };
        check(v1::PolicyUpdate { radii: vec![rule(v1::HashKind::Pdq, 257)], ..none() }, "policy.radii[0].radius");
        check(v1::PolicyUpdate { radii: vec![rule(v1::HashKind::Md5, 1)], ..none() }, "policy.radii[0].radius");
        check(v1::PolicyUpdate { radii: vec![rule(v1::HashKind::Unspecified, 1)], ..none() }, "policy.radii[0].kind");
        let removed = |category: &str, kind: v1::HashKind| v1::PolicyUpdate {
            radii_removed: vec![v1::CategoryRadius { category: category.to_owned(), kind: kind as i32 }],
            ..none()
        };
        check(removed("A1", v1::HashKind::Unspecified), "policy.radii_removed[0].kind");
        check(removed(&"c".repeat(1000), v1::HashKind::Pdq), "policy.radii_removed[0].category");
        check(
            v1::PolicyUpdate { actions: vec![v1::ActionRule { kind: None, action: 9, category: None }], ..none() },
            "policy.actions[0].action",
        );
        check(v1::PolicyUpdate { pdq_dialect: Some(3), ..none() }, "policy.pdq_dialect");
        check(v1::PolicyUpdate { quality_min: Some(101), ..none() }, "policy.quality_min");
        let no_transform = Some(v1::TransformSet::default());
        check(v1::PolicyUpdate { transforms: no_transform, ..none() }, "policy.transforms.transforms");
        let scope = Some(v1::ListNames { lists: vec!["good".into(), "../bad".into()] });
        check(v1::PolicyUpdate { scope, ..none() }, "policy.scope.lists[1]");
        let kinds = vec![v1::ViewKind::Window as i32, v1::ViewKind::Whole as i32];
        check(v1::PolicyUpdate { views: Some(v1::ViewKindSet { kinds }), ..none() }, "policy.views.kinds[1]");
        let view = |kind: v1::ViewKind, radius| v1::PolicyUpdate {
            view_radii: vec![v1::ViewRule { kind: kind as i32, radius }],
            ..none()
        };
        check(view(v1::ViewKind::Unspecified, 31), "policy.view_radii[0].kind");
        check(view(v1::ViewKind::Turned, 40), "policy.view_radii[0].radius");
        check(v1::PolicyUpdate { view_action_max: Some(9), ..none() }, "policy.view_action_max");
    }
}
