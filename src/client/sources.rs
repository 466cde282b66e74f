//! Sources of lists that the server fetches.

use super::read::{Read, bad, held, ms, phase, some};
use super::{Client, ClientError, send};
use crate::catalog::{Feedback, FeedbackReport, FetchOptions, FetchProgress, FetchReport, FetchWait, SourceInfo};
use crate::entry::{Feed, FeedKind, FetchState, VersionNo, Vote, Waits};
use crate::lists::Format;
use crate::proto::v1;

impl Client {
    pub async fn set_source(&self, list: &str, source: &str, feed: &Feed) -> Result<SourceInfo, ClientError> {
        let (list, source) = (list.to_owned(), source.to_owned());
        let request = v1::SetSourceRequest { list, source, settings: Some(settings(feed)) };
        source_info(some(self.lists.clone().set_source(self.request(request)).await?.into_inner().source, "no source")?)
    }

    /// By name.
    pub async fn sources(&self, list: &str) -> Result<Vec<SourceInfo>, ClientError> {
        let request = v1::ListSourcesRequest { list: list.to_owned() };
        let reply = self.lists.clone().list_sources(self.request(request)).await?.into_inner();
        reply.sources.into_iter().map(source_info).collect()
    }

    pub async fn unset_source(&self, list: &str, source: &str) -> Result<(), ClientError> {
        let request = v1::UnsetSourceRequest { list: list.to_owned(), source: source.to_owned() };
        self.lists.clone().unset_source(self.request(request)).await?;
        Ok(())
    }

    /// Fetches a source now, which may take hours. Dropping the future does not end it.
    pub async fn fetch_source(
        &self,
        list: &str,
        source: &str,
        options: FetchOptions,
        progress: &mut (dyn FnMut(FetchProgress) + Send),
    ) -> Result<FetchReport, ClientError> {
        let FetchOptions { accept, again } = options;
        let request = v1::FetchSourceRequest { list: list.to_owned(), source: source.to_owned(), accept, again };
        let mut replies = self.lists.clone().fetch_source(request).await?.into_inner();
        let mut report = None;
        while let Some(reply) = replies.message().await? {
            match reply.part {
                Some(v1::fetch_source_response::Part::Progress(p)) => progress(fetch_progress(p)),
                Some(v1::fetch_source_response::Part::Report(r)) => report = Some(fetch_report(r)),
                None => {}
            }
        }
        report.ok_or_else(|| ClientError::BadReply("the fetch ended without a report".to_owned()))
    }

    /// Sends feedback on an entry to the source that gave it.
    pub async fn send_feedback(&self, list: &str, source: &str, feedback: &Feedback) -> Result<FeedbackReport, ClientError> {
        let Feedback { entry_id, kind, vote: of, reason } = feedback.clone();
        let (list, source, kind, vote) = (list.to_owned(), source.to_owned(), send::kind(kind), vote(of) as i32);
        let request = v1::SendFeedbackRequest { list, source, entry_id, kind, vote, reason };
        // As long as the source takes.
        let reply = self.lists.clone().send_feedback(request).await?.into_inner();
        Ok(FeedbackReport { reason: reply.reason })
    }
}

fn vote(vote: Vote) -> v1::FeedbackVote {
    match vote {
        Vote::Affirmative => v1::FeedbackVote::Affirmative,
        Vote::Negative => v1::FeedbackVote::Negative,
    }
}

fn settings(feed: &Feed) -> v1::SourceSettings {
    let kind = match feed.kind {
        FeedKind::Ncmec => v1::SourceKind::Ncmec,
        FeedKind::Stopncii => v1::SourceKind::Stopncii,
        FeedKind::Threatexchange => v1::SourceKind::Threatexchange,
        FeedKind::Files => v1::SourceKind::Files,
    };
    v1::SourceSettings {
        kind: kind as i32,
        url: feed.place.clone(),
        credentials: feed.credentials.clone(),
        every_seconds: feed.every_s,
        format: send::format(feed.format.parse().ok()) as i32,
        delta: feed.delta,
        feedback: feed.feedback,
    }
}

fn source_info(source: v1::Source) -> Read<SourceInfo> {
    let settings = some(source.settings, "no settings of a source")?;
    let kind = match v1::SourceKind::try_from(settings.kind) {
        Ok(v1::SourceKind::Ncmec) => FeedKind::Ncmec,
        Ok(v1::SourceKind::Stopncii) => FeedKind::Stopncii,
        Ok(v1::SourceKind::Threatexchange) => FeedKind::Threatexchange,
        Ok(v1::SourceKind::Files) => FeedKind::Files,
        Ok(v1::SourceKind::Unspecified) | Err(_) => return bad("an unknown kind of source"),
    };
    let feed = Feed {
        kind,
        place: settings.url,
        credentials: settings.credentials,
        every_s: settings.every_seconds,
        format: super::read::format(settings.format).map_or("", Format::name).to_owned(),
        delta: settings.delta,
        feedback: settings.feedback,
        set_ms: source.set_time.map_or(0, ms),
    };
    let held = source.held_version.map(|version| Waits::Held(VersionNo(version)));
    let state = FetchState {
        of: feed.of(),
        began_ms: source.begin_time.map_or(0, ms),
        attempted_ms: source.attempt_time.map_or(0, ms),
        succeeded_ms: source.success_time.map_or(0, ms),
        failures: source.failures,
        error: source.error,
        version: source.version,
        held: source.held_version.unwrap_or(0),
        ..FetchState::default() // the server's alone
    };
    Ok(SourceInfo {
        list: source.list,
        name: source.name,
        feed,
        state,
        waits: held.or(source.rolled_back_version.map(|version| Waits::RolledBack(VersionNo(version)))),
        due_ms: source.due_time.map(ms),
    })
}

fn fetch_progress(progress: v1::FetchProgress) -> FetchProgress {
    let v1::FetchProgress { pages, bytes, records, phase: of, rows, waits_for } = progress;
    let waits = match v1::FetchWait::try_from(waits_for) {
        Ok(v1::FetchWait::Source) => Some(FetchWait::Source),
        Ok(v1::FetchWait::Place) => Some(FetchWait::Place),
        Ok(v1::FetchWait::Import) => Some(FetchWait::Import),
        Ok(v1::FetchWait::Unspecified) | Err(_) => None,
    };
    FetchProgress { pages, bytes, records, importing: phase(of).map(|phase| (phase, rows)), waits }
}

fn fetch_report(report: v1::FetchReport) -> FetchReport {
    FetchReport {
        pages: report.pages,
        bytes: report.bytes,
        records: report.records,
        imports: report.imports,
        rows_bad: report.bad_row_count,
        added: report.added,
        changed: report.changed,
        gone: report.gone,
        version: report.version.map(VersionNo),
        held: report.held.into_iter().filter_map(held).collect(),
        warnings: report.warnings,
        is_unchanged: report.unchanged,
    }
}
