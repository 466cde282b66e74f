//! What is counted of calls and items: outcomes, reasons, matches, stages, effort, what is in flight. Labels come from closed sets and
//! the names of lists, never from a request.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tonic::Code;

use crate::entry::{Action, ViewKind};
use crate::index::Effort;
use crate::matcher::Stages;
use crate::verdict::{Outcome, Verdict};

const REQUESTS: &str = "hashwarden_requests_total";

/// A picture or its hashes got a verdict.
pub fn answered(method: &'static str, verdict: &Verdict) {
    let outcome = match verdict.outcome {
        Outcome::Match => "match",
        Outcome::NotScanned => "not_scanned",
        Outcome::Partial => "partial",
        Outcome::NoMatch => "no_match",
    };
    let reason = verdict.reason.map_or("", |reason| reason.name());
    metrics::counter!(REQUESTS, "method" => method, "outcome" => outcome, "reason" => reason).increment(1);
    let mut strictest = BTreeMap::<&str, Action>::new();
    for found in &verdict.matches {
        let action = strictest.entry(&found.list).or_insert(found.action);
        *action = found.action.max(*action);
    }
    for (list, action) in strictest {
        metrics::counter!("hashwarden_matches_total", "list" => list.to_owned(), "action" => action.name()).increment(1);
    }
    for list in verdict.shadow.iter().map(|found| &found.list).collect::<BTreeSet<_>>() {
        metrics::counter!("hashwarden_shadow_matches_total", "list" => list.clone()).increment(1);
    }
    let in_views = verdict.matches.iter().filter(|found| found.view.kind != ViewKind::Whole);
    for (list, view) in in_views.map(|found| (&found.list, found.view.kind)).collect::<BTreeSet<_>>() {
        metrics::counter!("hashwarden_view_matches_total", "list" => list.clone(), "view" => view.name()).increment(1);
    }
    for (result, views) in [("searched", verdict.views.searched), ("cut", verdict.views.cut)].into_iter().filter(|(_, n)| *n > 0)
    {
        metrics::counter!("hashwarden_views_total", "result" => result).increment(views);
    }
}

/// A picture's hashes were taken.
pub fn hashed(method: &'static str, reason: Option<crate::entry::Reason>) {
    let outcome = if reason.is_some() { "not_scanned" } else { "hashed" };
    metrics::counter!(REQUESTS, "method" => method, "outcome" => outcome, "reason" => reason.map_or("", |r| r.name()))
        .increment(1);
}

/// A request or an item got an error.
pub fn failed(method: &'static str, code: Code) {
    metrics::counter!(REQUESTS, "method" => method, "outcome" => "error", "reason" => code_name(code)).increment(1);
}

/// Once for items that were worked on together. Stages that did not happen are not recorded.
pub fn worked(stages: &Stages, effort: &Effort) {
    for (stage, took) in [("queued", stages.queued), ("extract", stages.extract), ("search", stages.search)] {
        if !took.is_zero() {
            metrics::histogram!("hashwarden_stage_seconds", "stage" => stage).record(took);
        }
    }
    for (what, n) in [("probes", effort.probes), ("candidates", effort.candidates), ("distances", effort.distances)] {
        metrics::counter!("hashwarden_search_effort_total", "what" => what).increment(n);
    }
}

/// What is counted in `requests_total`: a call of the list service, or the items of one that matches, which are counted where they are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    Items,
    Calls,
}

/// A call in flight.
pub struct Call {
    method: &'static str,
    counts: Counts,
}

impl Call {
    pub fn new(method: &'static str, counts: Counts) -> Self {
        metrics::gauge!("hashwarden_calls_in_flight", "method" => method).increment(1.0);
        Call { method, counts }
    }

    /// Its reply is whole, or its caller is gone.
    pub fn ended(self, code: Code, took: Duration) {
        metrics::histogram!("hashwarden_call_seconds", "method" => self.method).record(took);
        match (code, self.counts) {
            (Code::Ok, Counts::Items) => {}
            (Code::Ok, Counts::Calls) => {
                metrics::counter!(REQUESTS, "method" => self.method, "outcome" => "ok", "reason" => "").increment(1);
            }
            (code, _) => failed(self.method, code),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        metrics::gauge!("hashwarden_calls_in_flight", "method" => self.method).decrement(1.0);
    }
}

/// A connection that is open until this is dropped.
pub struct Connected(());

impl Connected {
    pub fn new() -> Self {
        metrics::gauge!("hashwarden_connections").increment(1.0);
        Connected(())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        metrics::gauge!("hashwarden_connections").decrement(1.0);
    }
}

/// An item that was taken in; dropping it says that its answer was handed to the transport, or that nobody waits for it any more.
pub struct InFlight(());

impl InFlight {
    pub fn new() -> Self {
        metrics::gauge!("hashwarden_in_flight").increment(1.0);
        InFlight(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("hashwarden_in_flight").decrement(1.0);
    }
}

pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}
