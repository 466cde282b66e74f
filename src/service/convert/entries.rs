//! Entries of lists, to messages and from them. Times are ms since the Unix epoch.

use super::fields::{at_most, entry_id, hash};
use super::{Fault, replies};
use crate::catalog::{EntryInfo, EntryQuery, FOUND_MAX, FoundEntries, Moment, PastMatch, PastReport};
use crate::entry::{DETAILS_BYTES_MAX, Details, ENTRY_ID_BYTES_MAX, EntryNo, HashValue, Mark, MarkKind, Marked, Status};
use crate::proto::v1;

pub(super) fn status(given: i32, path: impl Fn() -> String) -> Result<Status, Fault> {
    match v1::EntryStatus::try_from(given) {
        Ok(v1::EntryStatus::Unspecified | v1::EntryStatus::Active) => Ok(Status::Active),
        Ok(v1::EntryStatus::Disputed) => Ok(Status::Disputed),
        Ok(v1::EntryStatus::Withdrawn) => Ok(Status::Withdrawn),
        Err(_) => Err(Fault::malformed(path(), "is not a status")),
    }
}

pub(super) fn details(given: v1::EntryDetails, path: &str) -> Result<Details, Fault> {
    let quality = given.quality.map(|quality| u8::try_from(quality).ok().filter(|quality| *quality <= 100));
    let details = Details {
        tags: given.tags,
        note: given.note,
        updated: given.updated,
        quality: quality.map(|q| q.ok_or_else(|| Fault::malformed(format!("{path}.quality"), "must be 0 to 100"))).transpose()?,
        fields: given.fields.into_iter().map(|field| (field.name, field.value)).collect(),
        cut: false,
    };
    at_most(details.bytes(), DETAILS_BYTES_MAX, "bytes", || path.to_owned())?;
    Ok(details)
}

/// A list, an entry of it, and whether its hashes are asked for.
pub fn get_entry(request: v1::GetEntryRequest) -> Result<(String, String, bool), Fault> {
    entry_id(&request.entry_id, "entry_id")?;
    Ok((request.list, request.entry_id, request.with_hashes))
}

/// A list, what is looked for, after which entry, and how many.
pub fn find_entries(request: v1::FindEntriesRequest) -> Result<(String, EntryQuery, Option<EntryNo>, usize), Fault> {
    use v1::find_entries_request::Query;
    let query = match request.query {
        Some(Query::Hash(given)) => {
            let radius = u16::try_from(request.radius).map_err(|_| Fault::malformed("radius", "is beyond all distances"))?;
            EntryQuery::Hash(hash(&given, "hash")?, radius)
        }
        _ if request.radius != 0 => return Err(Fault::malformed("radius", "is for hashes alone")),
        Some(Query::IdPrefix(prefix)) => {
            at_most(prefix.len(), ENTRY_ID_BYTES_MAX, "bytes", || "id_prefix".to_owned())?;
            EntryQuery::Id(prefix)
        }
        Some(Query::Marked(true)) => EntryQuery::Marked,
        Some(Query::Marked(false)) => return Err(Fault::malformed("marked", "must be true")),
        None => return Err(Fault::malformed("query", "is missing")),
    };
    let after = match request.page_token.as_str() {
        "" => None,
        token => {
            let number = token.parse().map_err(|_| Fault::malformed("page_token", "is not a token of an earlier page"))?;
            Some(EntryNo(number))
        }
    };
    let size = if request.page_size == 0 { FOUND_MAX } else { (request.page_size as usize).min(FOUND_MAX) };
    Ok((request.list, query, after, size))
}

/// A list, a moment, and the hash that was looked up.
pub fn match_as_of(request: v1::MatchAsOfRequest) -> Result<(String, Moment, HashValue), Fault> {
    use v1::match_as_of_request::Moment as Given;
    let given = request.hash.ok_or_else(|| Fault::malformed("hash", "is missing"))?;
    let moment = match request.moment {
        Some(Given::Time(time)) => Moment::Time(ms(time).ok_or_else(|| Fault::malformed("time", "is not a time"))?),
        Some(Given::Snapshot(seq)) => Moment::Change(seq),
        None => return Err(Fault::malformed("moment", "is missing")),
    };
    Ok((request.list, moment, hash(&given, "hash")?))
}

/// ms since the Unix epoch; `None` for what lies before, or beyond all times.
fn ms(time: prost_types::Timestamp) -> Option<u64> {
    u64::try_from(time.seconds).ok()?.checked_mul(1000)?.checked_add(u64::try_from(time.nanos).ok()? / 1_000_000)
}

pub fn past_report(report: PastReport) -> v1::MatchAsOfResponse {
    let time = |ms: u64| (ms > 0).then(|| replies::timestamp(ms));
    let found = |found: PastMatch| v1::PastMatch {
        entry_id: found.entry_id,
        category: found.category,
        distance: found.distance.into(),
        threshold: found.threshold.into(),
        action: found.action as i32, // the numbers are the same by intent
        since_version: found.since.0,
        stopped_by: found.stopped_by.map(|mark| entry_mark(Marked { id: String::new(), mark, by: String::new(), time_ms: 0 })),
    };
    v1::MatchAsOfResponse {
        snapshot: report.snapshot,
        snapshot_time: time(report.snapshot_ms),
        version: report.version.0,
        version_time: time(report.version_ms),
        disabled: report.disabled,
        shadow: report.shadow,
        negative: report.negative,
        incomplete: report.incomplete,
        matches: report.matches.into_iter().map(found).collect(),
        cut: report.cut,
    }
}

/// A list, an entry of it, and its new mark.
pub fn set_entry_mark(request: v1::SetEntryMarkRequest) -> Result<(String, String, Option<Mark>), Fault> {
    entry_id(&request.entry_id, "entry_id")?;
    let mark = request.mark.map(|mark| {
        let kind = match v1::EntryMarkKind::try_from(mark.kind) {
            Ok(v1::EntryMarkKind::Noted) => MarkKind::Noted,
            Ok(v1::EntryMarkKind::Disabled) => MarkKind::Disabled,
            Ok(v1::EntryMarkKind::Quarantined) => MarkKind::Quarantined,
            Ok(v1::EntryMarkKind::ObserveOnly) => MarkKind::ObserveOnly,
            Ok(v1::EntryMarkKind::ReviewOnly) => MarkKind::ReviewOnly,
            Ok(v1::EntryMarkKind::Unspecified) | Err(_) => return Err(Fault::malformed("mark.kind", "is not a kind of mark")),
        };
        let until_ms = mark.expire_time.map(|time| ms(time).ok_or_else(|| Fault::malformed("mark.expire_time", "is not a time")));
        let mark = Mark { contents: Vec::new(), kind, until_ms: until_ms.transpose()?, note: mark.note };
        mark.check().map_err(|bad| Fault::malformed("mark.note", bad.0))?;
        Ok(mark)
    });
    Ok((request.list, request.entry_id, mark.transpose()?))
}

/// An entry as it was asked for.
pub fn entry(info: EntryInfo) -> v1::Entry {
    let EntryInfo { id, category, status, kinds, hashes, version, sources, details, mark } = info;
    let status = match status {
        Status::Active => v1::EntryStatus::Active,
        Status::Disputed => v1::EntryStatus::Disputed,
        Status::Withdrawn => v1::EntryStatus::Withdrawn,
    };
    let details = v1::EntryDetails {
        tags: details.tags,
        note: details.note,
        updated: details.updated,
        quality: details.quality.map(u32::from),
        fields: details.fields.into_iter().map(|(name, value)| v1::EntryField { name, value }).collect(),
        cut: details.cut,
    };
    v1::Entry {
        entry_id: id,
        category,
        status: status as i32,
        hash_counts: kinds.into_iter().map(|(of, hashes)| v1::HashCount { kind: replies::kind(of), hashes }).collect(),
        hashes: hashes.iter().map(|value| replies::hash(value, None)).collect(),
        sources,
        details: Some(details),
        mark: mark.map(entry_mark),
        version: version.0,
    }
}

fn entry_mark(marked: Marked) -> v1::EntryMark {
    let kind = match marked.mark.kind {
        MarkKind::Noted => v1::EntryMarkKind::Noted,
        MarkKind::Disabled => v1::EntryMarkKind::Disabled,
        MarkKind::Quarantined => v1::EntryMarkKind::Quarantined,
        MarkKind::ObserveOnly => v1::EntryMarkKind::ObserveOnly,
        MarkKind::ReviewOnly => v1::EntryMarkKind::ReviewOnly,
    };
    v1::EntryMark {
        kind: kind as i32,
        expire_time: marked.mark.until_ms.map(replies::timestamp),
        note: marked.mark.note,
        set_by: marked.by,
        set_time: Some(replies::timestamp(marked.time_ms)),
    }
}

pub fn found_entries(found: FoundEntries) -> v1::FindEntriesResponse {
    let entries = found.entries.into_iter();
    v1::FindEntriesResponse {
        entries: entries.map(|(info, distance)| v1::FoundEntry { entry: Some(entry(info)), distance: distance.into() }).collect(),
        next_page_token: found.more_after.map(|entry| entry.0.to_string()).unwrap_or_default(),
    }
}
