//! What does a reviewer's decision tell the source that gave an entry?
//!
//! NCMEC takes feedback on each hash of an entry: `PUT {base}/v2/entries/MEMBER/ID/KIND/feedback`, whose body says affirmative, or negative with one
//! of the reasons that `GET {base}/v2/feedback/KIND/reasons` lists. Source: the public client in python-threatexchange. Invariants: nothing is sent
//! for a source that is not set so, nor of an entry or a hash that the source did not give; no log line names the entry.

use hyper::body::Bytes;

use super::error::HttpError;
use super::http::{Get, Http};
use super::query::encoded;
use super::walk::Base;
use super::{FeedError, Feeds};
use crate::catalog::{CatalogError, EntryInfo, Feedback, FeedbackReport, SourceInfo};
use crate::entry::shown::{escaped, without_hashes};
use crate::entry::{Caller, HashKind, Vote, member_and_id};
use crate::lists::ncmec_reasons;

/// Bytes of the document that lists reasons.
const REASONS_BYTES_MAX: u64 = 1024 * 1024;
/// Of the source's reasons so many are named in an error.
const NAMED_MAX: usize = 20;
const XML_BEGINS: &str = "<feedbackSubmission xmlns=\"https://hashsharing.ncmec.org/hashsharing/v2\">";
const XML_ENDS: &str = "</feedbackSubmission>";

impl Feeds {
    pub(super) fn send_feedback(
        &self,
        by: &Caller,
        list: &str,
        source: &str,
        feedback: &Feedback,
    ) -> Result<FeedbackReport, FeedError> {
        let info = self.catalog.source(list, source)?;
        let path = path(&info, &self.catalog.entry(list, &feedback.entry_id, false)?, feedback)?;
        let sent = self.sent(&info, &path, feedback);
        let (vote, result) = (feedback.vote.name(), if sent.is_ok() { "sent" } else { "failed" });
        let labels =
            [("list", list.to_owned()), ("source", source.to_owned()), ("vote", vote.to_owned()), ("result", result.to_owned())];
        metrics::counter!("hashwarden_source_feedback_total", &labels).increment(1);
        let (by, hash) = (&by.0, feedback.kind.name());
        match &sent {
            Ok(FeedbackReport { reason }) => {
                tracing::info!(by, list, source, hash, vote, reason = &*without_hashes(reason), "feedback was sent to a source");
            }
            Err(error) => tracing::info!(by, list, source, hash, vote, %error, "feedback could not be sent to a source"),
        }
        sent
    }

    fn sent(&self, info: &SourceInfo, path: &str, feedback: &Feedback) -> Result<FeedbackReport, FeedError> {
        let base = Base::of(&info.feed).map_err(|bad| FeedError::Refused(bad.0))?;
        let url = |below: &str| base.page(below).map_err(|_| FeedError::failed("the URL for feedback can't be asked for"));
        let (credentials, mut http) = (self.credentials(info)?, Http::new(&self.options)?);
        let mut report = FeedbackReport::default();
        let vote = match feedback.vote {
            Vote::Affirmative => "<affirmative />".to_owned(),
            Vote::Negative => {
                let url = url(&format!("/v2/feedback/{}/reasons", hash_kind(feedback.kind)?))?;
                let get = Get { url: &url, credentials: credentials.as_ref(), headers: Vec::new(), bytes_max: REASONS_BYTES_MAX };
                let got = self.until_stopped(async { Ok(http.get_whole(get).await) })?;
                let body = got.map_err(|error| failed("the reasons for negative feedback were not listed", error))?;
                let reasons = ncmec_reasons(&body)
                    .map_err(|error| FeedError::failed(format!("the reasons for negative feedback can't be read: {error}")))?;
                let (guid, name) = chosen(reasons, &feedback.reason)?;
                report.reason = name;
                format!("<negative><reasonIds><guid>{guid}</guid></reasonIds></negative>")
            }
        };
        let (url, body) = (url(path)?, Bytes::from(format!("{XML_BEGINS}{vote}{XML_ENDS}")));
        let headers = vec![(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/xml; charset=utf-8"))];
        let put = Get { url: &url, credentials: credentials.as_ref(), headers, bytes_max: 0 };
        let done = self.until_stopped(async { Ok(http.put(put, body).await) })?;
        done.map_err(|error| failed("the feedback was not taken", error))?;
        Ok(report)
    }
}

/// Below the source's URL, where feedback on this hash goes.
fn path(info: &SourceInfo, entry: &EntryInfo, feedback: &Feedback) -> Result<String, FeedError> {
    let SourceInfo { list, name, feed, .. } = info;
    let invalid = |why: &str| Err(FeedError::Catalog(CatalogError::Invalid(why.to_owned())));
    if !feed.feedback {
        return Err(FeedError::Refused(format!(
            "source {name:?} of list {list:?} is not set to be sent feedback: list source set --feedback does that"
        )));
    }
    if feedback.vote == Vote::Affirmative && !feedback.reason.is_empty() {
        return invalid("affirmative feedback has no reason");
    }
    if !entry.sources.contains(name) {
        return invalid("the entry is not from this source");
    }
    if !entry.kinds.contains_key(&feedback.kind) {
        return invalid(&format!("the entry has no hash of the kind {}", feedback.kind));
    }
    let Some((member, id)) = member_and_id(&entry.id) else {
        return invalid("the entry's id has no member, as those of NCMEC have");
    };
    Ok(format!("/v2/entries/{}/{}/{}/feedback", encoded(&member), encoded(&id), hash_kind(feedback.kind)?))
}

/// What NCMEC calls a kind of hash.
fn hash_kind(kind: HashKind) -> Result<&'static str, FeedError> {
    match kind {
        HashKind::Md5 => Ok("MD5"),
        HashKind::Sha1 => Ok("SHA1"),
        HashKind::Pdq => Ok("PDQ"),
        HashKind::PhotoDna => Ok("PDNA"),
        HashKind::Sha256 | HashKind::Phash64 | HashKind::Dhash64 => Err(FeedError::Catalog(CatalogError::Invalid(format!(
            "NCMEC takes feedback on md5, sha1, pdq and photodna, not on {kind}"
        )))),
    }
}

/// The reason that was meant, by its name or its id; the only one if none was given.
fn chosen(reasons: Vec<(String, String)>, given: &str) -> Result<(String, String), FeedError> {
    if reasons.is_empty() {
        return Err(FeedError::failed("the source lists no reason for negative feedback on hashes of this kind"));
    }
    let is_meant = |(guid, name): &(String, String)| guid.eq_ignore_ascii_case(given) || name.eq_ignore_ascii_case(given);
    match reasons.iter().find(|reason| is_meant(reason)) {
        Some(meant) => Ok(meant.clone()),
        None if given.is_empty() && reasons.len() == 1 => Ok(reasons[0].clone()),
        None => {
            let names: Vec<_> =
                reasons.iter().take(NAMED_MAX).map(|(_, name)| format!("{:?}", escaped(&without_hashes(name)))).collect();
            let what = if given.is_empty() { "negative feedback needs a reason" } else { "the source has no such reason" };
            Err(FeedError::Catalog(CatalogError::Invalid(format!("{what}: it is one of {}", names.join(", ")))))
        }
    }
}

fn failed(what: &str, error: HttpError) -> FeedError {
    let (HttpError::Passing { why, .. } | HttpError::Lasting { why, .. }) = error;
    FeedError::failed(format!("{what}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_of_the_source_s() {
        let reason = |guid: &str, name: &str| (guid.to_owned(), name.to_owned());
        let two = || vec![reason("01-ab", "Wrong category"), reason("02-cd", "Not CSAM")];
        let check = |reasons, given: &str, expected: Result<&str, &str>| match (chosen(reasons, given), expected) {
            (Ok((guid, _)), Ok(expected)) => assert_eq!(guid, expected),
            (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{why}"),
            (found, _) => panic!("{given}: {found:?}"),
        };
        check(two(), "not csam", Ok("02-cd"));
        check(two(), "01-AB", Ok("01-ab"));
        check(two(), "", Err("needs a reason: it is one of \"Wrong category\", \"Not CSAM\""));
        check(two(), "other", Err("no such reason"));
        check(vec![reason("01", "Only")], "", Ok("01"));
        check(vec![reason("01", "Only")], "other", Err("no such reason"));
        check(Vec::new(), "", Err("lists no reason"));
    }
}
