//! Sources that are fetched, there and back.

use super::Fault;
use super::fields::{entry_id, kind};
use super::replies::{hold, phase, timestamp};
use super::requests::{format, list_name};
use crate::catalog::{Feedback, FetchProgress, FetchReport, FetchWait, SourceInfo};
use crate::entry::{EVERY_S_USUAL, Feed, FeedKind, PLACE_BYTES_MAX, Vote, Waits};
use crate::lists::Format;
use crate::proto::v1;

/// Longest name or id of a reason, in bytes.
const REASON_BYTES_MAX: usize = 1_024;

/// A list, a source's name, and how it is to be fetched.
pub fn set_source(request: v1::SetSourceRequest) -> Result<(String, String, Feed), Fault> {
    let v1::SetSourceRequest { list, source, settings } = request;
    list_name(&list, "list")?;
    list_name(&source, "source")?;
    let settings = settings.ok_or_else(|| Fault::malformed("settings", "is missing"))?;
    let kind = match v1::SourceKind::try_from(settings.kind) {
        Ok(v1::SourceKind::Ncmec) => FeedKind::Ncmec,
        Ok(v1::SourceKind::Stopncii) => FeedKind::Stopncii,
        Ok(v1::SourceKind::Threatexchange) => FeedKind::Threatexchange,
        Ok(v1::SourceKind::Files) => FeedKind::Files,
        Ok(v1::SourceKind::Unspecified) | Err(_) => return Err(Fault::malformed("settings.kind", "is not a kind of source")),
    };
    if settings.url.len() > PLACE_BYTES_MAX {
        return Err(Fault::malformed("settings.url", format!("is longer than {PLACE_BYTES_MAX} bytes")));
    }
    let every_s = if settings.every_seconds == 0 { EVERY_S_USUAL } else { settings.every_seconds };
    let format = format(settings.format, "settings.format")?.map_or("", Format::name).to_owned();
    let v1::SourceSettings { url, credentials, delta, feedback, .. } = settings;
    Ok((list, source, Feed { kind, place: url, credentials, every_s, format, delta, feedback, set_ms: 0 }))
}

/// A list, a source's name, and what is to be said to it.
pub fn feedback(request: v1::SendFeedbackRequest) -> Result<(String, String, Feedback), Fault> {
    let v1::SendFeedbackRequest { list, source, entry_id: id, kind: of, vote, reason } = request;
    list_name(&list, "list")?;
    list_name(&source, "source")?;
    entry_id(&id, "entry_id")?;
    let vote = match v1::FeedbackVote::try_from(vote) {
        Ok(v1::FeedbackVote::Affirmative) => Vote::Affirmative,
        Ok(v1::FeedbackVote::Negative) => Vote::Negative,
        Ok(v1::FeedbackVote::Unspecified) | Err(_) => {
            return Err(Fault::malformed("vote", "is neither affirmative nor negative"));
        }
    };
    if reason.len() > REASON_BYTES_MAX {
        return Err(Fault::malformed("reason", format!("is longer than {REASON_BYTES_MAX} bytes")));
    }
    Ok((list, source, Feedback { entry_id: id, kind: kind(of, || "kind".to_owned())?, vote, reason }))
}

pub fn source(info: SourceInfo) -> v1::Source {
    let SourceInfo { list, name, feed, state, waits, due_ms } = info;
    let kind = match feed.kind {
        FeedKind::Ncmec => v1::SourceKind::Ncmec,
        FeedKind::Stopncii => v1::SourceKind::Stopncii,
        FeedKind::Threatexchange => v1::SourceKind::Threatexchange,
        FeedKind::Files => v1::SourceKind::Files,
    };
    let settings = v1::SourceSettings {
        kind: kind as i32,
        url: feed.place,
        credentials: feed.credentials,
        every_seconds: feed.every_s,
        format: super::replies::format(feed.format.parse().ok()) as i32,
        delta: feed.delta,
        feedback: feed.feedback,
    };
    let time = |ms: u64| (ms > 0).then(|| timestamp(ms));
    v1::Source {
        list,
        name,
        settings: Some(settings),
        set_time: time(feed.set_ms),
        begin_time: time(state.began_ms),
        attempt_time: time(state.attempted_ms),
        success_time: time(state.succeeded_ms),
        failures: state.failures,
        error: state.error,
        version: state.version,
        due_time: due_ms.map(timestamp),
        held_version: if let Some(Waits::Held(version)) = waits { Some(version.0) } else { None },
        rolled_back_version: if let Some(Waits::RolledBack(version)) = waits { Some(version.0) } else { None },
    }
}

pub fn fetch_progress(progress: FetchProgress) -> v1::FetchProgress {
    let FetchProgress { pages, bytes, records, importing, waits } = progress;
    let (of, rows) = importing.map_or((v1::ImportPhase::Unspecified, 0), |(of, rows)| (phase(of), rows));
    let waits_for = match waits {
        None => v1::FetchWait::Unspecified,
        Some(FetchWait::Source) => v1::FetchWait::Source,
        Some(FetchWait::Place) => v1::FetchWait::Place,
        Some(FetchWait::Import) => v1::FetchWait::Import,
    };
    v1::FetchProgress { pages, bytes, records, phase: of as i32, rows, waits_for: waits_for as i32 }
}

pub fn fetch_report(report: FetchReport) -> v1::FetchReport {
    v1::FetchReport {
        pages: report.pages,
        bytes: report.bytes,
        records: report.records,
        imports: report.imports,
        bad_row_count: report.rows_bad,
        added: report.added,
        changed: report.changed,
        gone: report.gone,
        version: report.version.map(|version| version.0),
        held: report.held.into_iter().map(hold).collect(),
        warnings: report.warnings,
        unchanged: report.is_unchanged,
    }
}
