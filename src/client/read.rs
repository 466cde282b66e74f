//! Reply messages to the doors' values. What is missing or out of range is a [`ClientError::BadReply`]: the server may be of another version.

use tonic::Code;

use super::{AddedPicture, ClientError, ItemResult};
use crate::catalog::{
    BadRow, Bundled, DiffCategory, DiffReport, EditReport, EntryInfo, ExportReport, Finding, FindingKind, FoundEntries, Hold,
    ImportReport, ListInfo, OverlapCategory, OverlapHub, OverlapReport, PastMatch, PastReport, Phase, Progress,
};
use crate::entry::{
    About, Action, Details, EntryNo, HashKind, HashList, HashValue, KindPolicy, LeftOut, Lineage, ListId, ListPolicy,
    ListVersion, MadeBy, Mark, MarkKind, Marked, Observation, PdqDialect, Polarity, Reason, Status, Transform, VIEW_SIDE,
    VersionNo, VersionState, View, ViewKind,
};
use crate::extract::{Features, Unscanned};
use crate::hash::digest::Digests;
use crate::lists::{ColumnUse, Format};
use crate::matcher::Hashed;
use crate::proto::v1;
use crate::verdict::{Match, Outcome, Verdict, ViewCounts};

pub(super) type Read<T> = Result<T, ClientError>;

pub(super) fn bad<T>(what: &str) -> Read<T> {
    Err(ClientError::BadReply(what.to_owned()))
}

pub(super) fn some<T>(value: Option<T>, what: &str) -> Read<T> {
    value.ok_or_else(|| ClientError::BadReply(what.to_owned()))
}

fn number<T: TryFrom<u32>>(n: u32, what: &str) -> Read<T> {
    T::try_from(n).or_else(|_| bad(what))
}

pub fn item_result(result: v1::MatchResult) -> ItemResult {
    let verdict = match result.result {
        Some(v1::match_result::Result::Verdict(v)) => verdict(v),
        Some(v1::match_result::Result::Error(error)) => Err(ClientError::Refused {
            code: Code::from_i32(error.code),
            message: if error.field.is_empty() { error.message } else { format!("{}: {}", error.field, error.message) },
            field: error.field,
            reason: String::new(),
        }),
        None => bad("a result without a verdict"),
    };
    ItemResult { id: result.item_id, reference: result.reference, verdict }
}

fn verdict(v: v1::Verdict) -> Read<Verdict> {
    let outcome = match v1::Outcome::try_from(v.outcome) {
        Ok(v1::Outcome::Match) => Outcome::Match,
        Ok(v1::Outcome::NotScanned) => Outcome::NotScanned,
        Ok(v1::Outcome::Partial) => Outcome::Partial,
        Ok(v1::Outcome::NoMatch) => Outcome::NoMatch,
        Ok(v1::Outcome::Unspecified) | Err(_) => return bad("an unknown outcome"),
    };
    // A server from before there was such a right leaves out a count of 0, but no entry's id.
    let withheld = v.cut.is_none() && v.matches.iter().all(|m| m.entry_id.is_empty());
    let found = |m| a_match(m, withheld);
    Ok(Verdict {
        outcome,
        reason: reason(v.reason)?,
        detail: v.detail,
        left_out: left_out(v.left_out),
        action: if v.action == 0 { None } else { Some(action(v.action)?) },
        matches: v.matches.into_iter().map(found).collect::<Read<_>>()?,
        suppressed: v.suppressed.into_iter().map(found).collect::<Read<_>>()?,
        shadow: v.shadow_matches.into_iter().map(found).collect::<Read<_>>()?,
        cut: v.cut.unwrap_or(0),
        withheld,
        pdq_quality: v.pdq_quality.map(|q| number(q, "a quality")).transpose()?,
        snapshot: v.snapshot,
        lists: v.lists.into_iter().map(|asked| (asked.list, VersionNo(asked.version))).collect(),
        views: v.views.map_or_else(Default::default, |counts| ViewCounts { searched: counts.searched, cut: counts.cut }),
    })
}

fn a_match(m: v1::Match, withheld: bool) -> Read<Match> {
    Ok(Match {
        list: m.list,
        entry_id: m.entry_id,
        category: m.category,
        kind: kind(m.kind)?,
        distance: number(m.distance.unwrap_or(0), "a distance")?,
        threshold: number(m.threshold.unwrap_or(0), "a threshold")?,
        transform: if withheld { Transform::Identity } else { transform(m.transform)? },
        frame: m.frame.unwrap_or(0),
        exact: m.exact,
        action: action(m.action)?,
        // A server from before there were views looks at the whole.
        view: m.view.map_or(Ok(View::WHOLE), view)?,
        chance: m.chance.unwrap_or(0.0),
    })
}

fn view(view: v1::View) -> Read<View> {
    let whole = |n: f64| (n.abs() <= f64::from(i16::MAX)).then_some(n.round() as i16);
    let part = |n: f64| whole(n * f64::from(VIEW_SIDE));
    let corners = view.corners.iter().map(|corner| Some((part(corner.x)?, part(corner.y)?))).collect::<Option<Vec<_>>>();
    let corners = corners.and_then(|corners| corners.try_into().ok());
    Ok(View {
        kind: view_kind(view.kind)?,
        corners: some(corners, "a view without four corners")?,
        degrees: some(whole(view.degrees * 100.0), "an angle out of range")?,
    })
}

fn view_kind(n: i32) -> Read<ViewKind> {
    some(u8::try_from(n).ok().and_then(ViewKind::from_u8), "an unknown class of views")
}

fn reason(n: i32) -> Read<Option<Reason>> {
    Ok(Some(match v1::Reason::try_from(n) {
        Ok(v1::Reason::Unspecified) => return Ok(None),
        Ok(v1::Reason::Undecodable) => Reason::Undecodable,
        Ok(v1::Reason::Unsupported) => Reason::Unsupported,
        Ok(v1::Reason::Empty) => Reason::Empty,
        Ok(v1::Reason::TooLarge) => Reason::TooLarge,
        Ok(v1::Reason::TooManyPixels) => Reason::TooManyPixels,
        Ok(v1::Reason::Timeout) => Reason::Timeout,
        Ok(v1::Reason::Crashed) => Reason::Crashed,
        Ok(v1::Reason::Shed) => Reason::Shed,
        Ok(v1::Reason::LowQuality) => Reason::LowQuality,
        Ok(v1::Reason::NoList) => Reason::NoList,
        Ok(v1::Reason::Video) => Reason::Video,
        Err(_) => return bad("an unknown reason"),
    }))
}

fn kind(n: i32) -> Read<HashKind> {
    some(u8::try_from(n).ok().and_then(HashKind::from_u8), "an unknown kind of hash")
}

fn action(n: i32) -> Read<Action> {
    some(Action::ALL.into_iter().find(|a| *a as i32 == n), "an unknown action")
}

fn transform(n: i32) -> Read<Transform> {
    some(Transform::ALL.into_iter().find(|t| *t as i32 + 1 == n), "an unknown transform")
}

fn left_out(parts: Vec<String>) -> Vec<LeftOut> {
    parts.into_iter().map(LeftOut).collect()
}

pub fn hashed(reply: v1::HashResponse) -> Read<Hashed> {
    let (mut md5, mut sha1, mut sha256) = (None, None, None);
    for digest in &reply.digests {
        match hash(digest)? {
            HashValue::Md5(bytes) => md5 = Some(bytes),
            HashValue::Sha1(bytes) => sha1 = Some(bytes),
            HashValue::Sha256(bytes) => sha256 = Some(bytes),
            _ => {}
        }
    }
    let digests = Digests { md5: some(md5, "no MD5")?, sha1: some(sha1, "no SHA-1")?, sha256: some(sha256, "no SHA-256")? };
    let features = match reason(reply.reason)? {
        Some(reason) => Err(Unscanned { reason, detail: reply.detail }),
        None => Ok(Features {
            seen: reply.observations.into_iter().map(observation).collect::<Read<_>>()?,
            left_out: left_out(reply.left_out),
            planes: Vec::new(),
        }),
    };
    Ok(Hashed { digests, features })
}

fn hash(given: &v1::Hash) -> Read<HashValue> {
    HashValue::from_hex(kind(given.kind)?, &given.hex).map_err(|error| ClientError::BadReply(error.0))
}

fn observation(seen: v1::Observation) -> Read<Observation> {
    let given = some(seen.hash, "an observation without a hash")?;
    let quality = given.quality.map(|q| number(q, "a quality")).transpose()?;
    let (hash, transform) = (hash(&given)?, transform(seen.transform)?);
    Ok(Observation { hash, transform, frame: seen.frame, rendering: 0, quality, view: View::WHOLE })
}

pub fn list_info(list: Option<v1::HashList>) -> Read<ListInfo> {
    let list = some(list, "no list")?;
    let hashes = list.hashes.iter().map(|count| Ok((kind(count.kind)?, count.hashes)));
    Ok(ListInfo {
        rows: list.rows,
        updated_ms: list.update_time.map_or(0, ms),
        imported_ms: list.import_time.map_or(0, ms),
        hashes: hashes.collect::<Read<_>>()?,
        scope_hidden: list.scope_hidden,
        warnings: list.warnings,
        list: HashList {
            id: ListId(list.number),
            name: list.name,
            polarity: match v1::Polarity::try_from(list.polarity) {
                Ok(v1::Polarity::Positive) => Polarity::Positive,
                Ok(v1::Polarity::Negative) => Polarity::Negative,
                Ok(v1::Polarity::Unspecified) | Err(_) => return bad("an unknown polarity"),
            },
            policy: policy(some(list.policy, "no policy")?)?,
            active: VersionNo(list.active_version),
            previous: VersionNo(list.previous_version),
            head: VersionNo(list.head_version),
            disabled: list.disabled,
            sources: list.sources,
            // The store's alone; feeds are asked for by themselves.
            marks_changed: 0,
            feeds: std::collections::BTreeMap::new(),
        },
    })
}

fn policy(policy: v1::ListPolicy) -> Read<ListPolicy> {
    let of_kind =
        |p: v1::KindPolicy| Ok((kind(p.kind)?, KindPolicy { radius: number(p.radius, "a radius")?, action: action(p.action)? }));
    let of_category = |r: v1::RadiusRule| Ok(((r.category.unwrap_or_default(), kind(r.kind)?), number(r.radius, "a radius")?));
    let of_view = |r: v1::ViewRule| Ok((view_kind(r.kind)?, number(r.radius, "a radius")?));
    let to_category = |r: v1::ActionRule| Ok(((r.category.unwrap_or_default(), kind(r.kind.unwrap_or(0))?), action(r.action)?));
    Ok(ListPolicy {
        kinds: policy.kinds.into_iter().map(of_kind).collect::<Read<_>>()?,
        category_radii: policy.category_radii.into_iter().map(of_category).collect::<Read<_>>()?,
        category_actions: policy.category_actions.into_iter().map(to_category).collect::<Read<_>>()?,
        quality_min: number(policy.quality_min, "a quality")?,
        transforms: policy.transforms.into_iter().map(transform).collect::<Read<_>>()?,
        scope: policy.scope,
        views: policy.views.into_iter().map(of_view).collect::<Read<_>>()?,
        pdq_dialect: u8::try_from(policy.pdq_dialect).ok().and_then(PdqDialect::from_u8).unwrap_or_default(),
        shadow: policy.shadow,
        disputes_max: policy.disputes_max,
        about: About { owner: policy.owner, provenance: policy.provenance, legal_basis: policy.legal_basis },
        // A server from before there were views names none.
        view_action_max: if policy.view_action_max == 0 { Action::Review } else { action(policy.view_action_max)? },
    })
}

/// ms since the Unix epoch; 0 for what lies before.
pub(super) fn ms(time: prost_types::Timestamp) -> u64 {
    u64::try_from(time.seconds).unwrap_or(0).saturating_mul(1000) + u64::try_from(time.nanos).unwrap_or(0) / 1_000_000
}

pub fn version(version: v1::HashListVersion) -> Read<ListVersion> {
    Ok(ListVersion {
        list: ListId(version.list_number),
        version: VersionNo(version.version),
        parent: VersionNo(version.parent),
        lineage: Lineage::default(), // the store's alone
        state: match v1::VersionState::try_from(version.state) {
            Ok(v1::VersionState::Staged) => VersionState::Staged,
            Ok(v1::VersionState::Sealed) => VersionState::Sealed,
            Ok(v1::VersionState::Undone) => VersionState::Undone,
            Ok(v1::VersionState::Unspecified) | Err(_) => return bad("an unknown version state"),
        },
        rows: version.rows,
        digest: version.digest.try_into().or_else(|_| bad("a digest that is not 32 bytes"))?,
        source: version.source,
        time_ms: version.create_time.map_or(0, ms),
        made_by: if version.edit { MadeBy::Edit } else { MadeBy::Import },
        activated: version.activated,
    })
}

/// What became of a picture that was to be added.
pub fn added_picture(reply: v1::AddPictureResponse) -> Read<AddedPicture> {
    let kinds = reply.hashes.iter().map(|count| Ok((kind(count.kind)?, count.hashes)));
    Ok(AddedPicture {
        kinds: kinds.collect::<Read<_>>()?,
        report: reply.report.map(|report| edit_report(Some(report))).transpose()?,
        quality: reply.pdq_quality.map(|q| number(q, "a quality")).transpose()?,
        verdict: reply.verdict.map(verdict).transpose()?,
    })
}

pub fn diff_report(reply: v1::DiffVersionsResponse) -> DiffReport {
    let category = |of: v1::DiffCategory| DiffCategory {
        category: of.category,
        added: of.added,
        removed: of.removed,
        changed: of.changed,
        moved_in: of.moved_in,
        moved_out: of.moved_out,
    };
    DiffReport {
        added: reply.added,
        removed: reply.removed,
        changed: reply.changed,
        reclassified: reply.reclassified,
        categories: reply.categories.into_iter().map(category).collect(),
    }
}

pub fn past_report(reply: v1::MatchAsOfResponse) -> Read<PastReport> {
    let found = |found: v1::PastMatch| {
        Ok(PastMatch {
            entry_id: found.entry_id,
            category: found.category,
            distance: number(found.distance, "a distance")?,
            threshold: number(found.threshold, "a radius")?,
            action: action(found.action)?,
            since: VersionNo(found.since_version),
            stopped_by: found.stopped_by.map(entry_mark).transpose()?.map(|marked| marked.mark),
        })
    };
    Ok(PastReport {
        snapshot: reply.snapshot,
        snapshot_ms: reply.snapshot_time.map_or(0, ms),
        version: VersionNo(reply.version),
        version_ms: reply.version_time.map_or(0, ms),
        disabled: reply.disabled,
        shadow: reply.shadow,
        negative: reply.negative,
        incomplete: reply.incomplete,
        matches: reply.matches.into_iter().map(found).collect::<Read<_>>()?,
        cut: reply.cut,
    })
}

pub fn edit_report(report: Option<v1::EditReport>) -> Read<EditReport> {
    let report = some(report, "no report")?;
    Ok(EditReport {
        version: VersionNo(report.version),
        added: report.added,
        changed: report.changed,
        removed: report.removed,
        unchanged: report.unchanged,
        details_changed: report.details_changed,
        missing: report.missing,
        ids: report.ids,
    })
}

pub fn entry(entry: Option<v1::Entry>) -> Read<EntryInfo> {
    let entry = some(entry, "no entry")?;
    let details = entry.details.unwrap_or_default();
    Ok(EntryInfo {
        id: entry.entry_id,
        category: entry.category,
        status: match v1::EntryStatus::try_from(entry.status) {
            Ok(v1::EntryStatus::Active) => Status::Active,
            Ok(v1::EntryStatus::Disputed) => Status::Disputed,
            Ok(v1::EntryStatus::Withdrawn) => Status::Withdrawn,
            Ok(v1::EntryStatus::Unspecified) | Err(_) => return bad("an unknown status"),
        },
        // Kinds of a later version are left out.
        kinds: entry.hash_counts.iter().filter_map(|count| Some((kind(count.kind).ok()?, count.hashes))).collect(),
        hashes: entry.hashes.iter().map(hash).collect::<Read<_>>()?,
        version: VersionNo(entry.version),
        sources: entry.sources,
        details: Details {
            tags: details.tags,
            note: details.note,
            updated: details.updated,
            quality: details.quality.and_then(|quality| u8::try_from(quality).ok()),
            fields: details.fields.into_iter().map(|field| (field.name, field.value)).collect(),
            cut: details.cut,
        },
        mark: entry.mark.map(entry_mark).transpose()?,
    })
}

fn entry_mark(mark: v1::EntryMark) -> Read<Marked> {
    let kind = match v1::EntryMarkKind::try_from(mark.kind) {
        Ok(v1::EntryMarkKind::Noted) => MarkKind::Noted,
        Ok(v1::EntryMarkKind::Disabled) => MarkKind::Disabled,
        Ok(v1::EntryMarkKind::Quarantined) => MarkKind::Quarantined,
        Ok(v1::EntryMarkKind::ObserveOnly) => MarkKind::ObserveOnly,
        Ok(v1::EntryMarkKind::ReviewOnly) => MarkKind::ReviewOnly,
        Ok(v1::EntryMarkKind::Unspecified) | Err(_) => return bad("an unknown kind of mark"),
    };
    let (until_ms, time_ms) = (mark.expire_time.map(ms), mark.set_time.map_or(0, ms));
    Ok(Marked {
        id: String::new(),
        mark: Mark { contents: Vec::new(), kind, until_ms, note: mark.note },
        by: mark.set_by,
        time_ms,
    })
}

pub fn found_entries(found: v1::FindEntriesResponse) -> Read<FoundEntries> {
    let entries = found.entries.into_iter().map(|found| {
        let distance = u16::try_from(found.distance).or_else(|_| bad("a distance beyond all"))?;
        Ok((entry(found.entry)?, distance))
    });
    let more_after = match found.next_page_token.as_str() {
        "" => None,
        token => Some(EntryNo(token.parse().or_else(|_| bad("a page token that is no number"))?)),
    };
    Ok(FoundEntries { entries: entries.collect::<Read<_>>()?, more_after })
}

pub fn overlap_report(report: Option<v1::OverlapReport>) -> Read<OverlapReport> {
    let report = some(report, "no report")?;
    let category = |of: v1::OverlapCategory| {
        let v1::OverlapCategory { category, entries, exact, near, differing } = of;
        OverlapCategory { category, entries, exact, near, differing }
    };
    let hub = |hub: v1::OverlapHub| OverlapHub { entry_id: hub.entry_id, neighbours: hub.neighbours };
    Ok(OverlapReport {
        kind: kind(report.kind)?,
        radius: u16::try_from(report.radius).or_else(|_| bad("a radius beyond all"))?,
        entries: report.entries,
        other_entries: report.other_entries,
        exact: report.exact,
        near: report.near,
        differing: report.differing,
        pairs: report.pairs,
        categories: report.categories.into_iter().map(category).collect(),
        hubs: report.hubs.into_iter().map(hub).collect(),
    })
}

pub fn progress(progress: v1::ImportProgress) -> Progress {
    // A phase of a later version is some kind of work.
    let phase = phase(progress.phase).unwrap_or(Phase::Writing);
    Progress { phase, bytes: progress.bytes, rows: progress.rows, rows_bad: progress.bad_rows }
}

pub fn export_report(report: v1::ExportReport) -> ExportReport {
    let v1::ExportReport { version, entries, bytes, stopped, left_out, hashes_left_out } = report;
    ExportReport { version: VersionNo(version), entries, bytes, stopped, left_out, hashes_left_out }
}

/// `None` also for work of a later version.
pub(super) fn phase(phase: i32) -> Option<Phase> {
    match v1::ImportPhase::try_from(phase) {
        Ok(v1::ImportPhase::Reading) => Some(Phase::Reading),
        Ok(v1::ImportPhase::Writing) => Some(Phase::Writing),
        Ok(v1::ImportPhase::Indexing) => Some(Phase::Indexing),
        Ok(v1::ImportPhase::Unspecified) | Err(_) => None,
    }
}

/// A hold of a later version is one all the same, but its words are in the warnings.
pub(super) fn held(hold: i32) -> Option<Hold> {
    match v1::ImportHold::try_from(hold) {
        Ok(v1::ImportHold::BadRows) => Some(Hold::BadRows),
        Ok(v1::ImportHold::LargeChange) => Some(Hold::LargeChange),
        Ok(v1::ImportHold::Findings) => Some(Hold::Findings),
        Ok(v1::ImportHold::Unspecified) | Err(_) => None,
    }
}

/// Formats of a later version are left out.
pub(super) fn format(format: i32) -> Option<Format> {
    match v1::ListFormat::try_from(format) {
        Ok(v1::ListFormat::Csv) => Some(Format::Csv),
        Ok(v1::ListFormat::PdqText) => Some(Format::PdqText),
        Ok(v1::ListFormat::StopnciiJson) => Some(Format::StopnciiJson),
        Ok(v1::ListFormat::ThreatexchangeJson) => Some(Format::ThreatexchangeJson),
        Ok(v1::ListFormat::VicsJson) => Some(Format::VicsJson),
        Ok(v1::ListFormat::NcmecXml) => Some(Format::NcmecXml),
        Ok(v1::ListFormat::Bundle) => Some(Format::Bundle),
        Ok(v1::ListFormat::Unspecified) | Err(_) => None,
    }
}

pub fn import_report(report: v1::ImportReport) -> ImportReport {
    let format = format(report.format);
    // Kinds of a later version are left out.
    let hashes = report.hashes.iter().filter_map(|count| Some((kind(count.kind).ok()?, count.hashes)));
    let bad =
        report.bad_rows.into_iter().map(|bad| BadRow { file: bad.file, line: bad.line, record: bad.record, reason: bad.reason });
    let held = report.held.iter().filter_map(|hold| held(*hold));
    let columns = report.columns.into_iter().map(|column| ColumnUse { used_as: used_as(&column.used_as), name: column.name });
    ImportReport {
        held: held.collect(),
        columns: columns.collect(),
        rows_merged: report.merged_row_count,
        bundle: report.bundle.map(|v1::ImportedBundle { signer, list, version, exported }| Bundled {
            signer,
            list,
            version,
            exported,
        }),
        rows_bad_in_part: report.bad_in_part_row_count,
        rows_unsought: report.unsought_row_count,
        version: report.version.map(VersionNo),
        activated: report.activated,
        compared_with: VersionNo(report.compared_with),
        format,
        hashes: hashes.collect(),
        warnings: report.warnings,
        rows: report.rows,
        rows_bad: report.bad_row_count,
        bad: bad.collect(),
        added: report.added,
        changed: report.changed,
        gone: report.gone,
        unchanged: report.unchanged,
        details_changed: report.details_changed,
        kept: report.kept,
        rows_withdrawn: report.withdrawn_row_count,
        findings: report.finding_count,
        found: report.findings.into_iter().filter_map(finding).collect(),
        rows_unread: report.unread_row_count,
        entries: report.entries,
        bytes: report.bytes,
    }
}

/// `None` where it is of a kind of a later version.
fn finding(finding: v1::Finding) -> Option<Finding> {
    let kind = match v1::FindingKind::try_from(finding.kind) {
        Ok(v1::FindingKind::Degenerate) => FindingKind::Degenerate,
        Ok(v1::FindingKind::Featureless) => FindingKind::Featureless,
        Ok(v1::FindingKind::Shared) => FindingKind::Shared,
        Ok(v1::FindingKind::Crowded) => FindingKind::Crowded,
        Ok(v1::FindingKind::Benign) => FindingKind::Benign,
        Ok(v1::FindingKind::Contradicted) => FindingKind::Contradicted,
        Ok(v1::FindingKind::Unspecified) | Err(_) => return None,
    };
    Some(Finding { entry_id: finding.entry_id, kind, reason: finding.reason })
}

/// What a column was read as, in the words of this version; of a later one's it is only said that it was read.
fn used_as(words: &str) -> Option<&'static str> {
    const OTHERS: [&str; 13] = [
        "details",
        "hash",
        "kind of hash",
        "id",
        "category",
        "deletion mark",
        "status",
        "member",
        "tags",
        "note",
        "updated",
        "quality",
        "field",
    ];
    let known = HashKind::ALL.iter().map(|kind| kind.name()).chain(OTHERS).find(|known| *known == words);
    if words.is_empty() { None } else { Some(known.unwrap_or("something")) }
}
