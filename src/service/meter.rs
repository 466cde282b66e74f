//! What is counted of matching: outcomes, reasons, stages, effort, items in work. Labels come from closed sets, never from a request.

use tonic::Code;

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

/// An item that was taken in; dropping it says that it was answered.
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
