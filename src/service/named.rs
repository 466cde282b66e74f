//! What does its caller call an item?
//!
//! An item's id names it in its call; its reference is the caller's own name for the content. Both come back with the result, and stand in the
//! log lines about the item: for a job that crashes or hangs they are the only way to find the content again. They are the caller's
//! words: recorded as plain fields, which escapes them, and never a label of a metric.

use tracing::Span;

use super::convert;
use crate::matcher::Content;
use crate::proto::v1;
use crate::verdict::Verdict;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Name {
    pub item_id: String,
    pub reference: String,
}

impl Name {
    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        self.item_id.len() + self.reference.len()
    }

    /// As a result repeats it: what is too long is cut, as its item is refused.
    pub fn of(item: &v1::MatchItem) -> Self {
        Name { item_id: convert::item_id(item), reference: convert::reference(item) }
    }

    /// The span of an item's work. Only a picture has one of its own: hashes are looked up many together, and sooner than a span is made.
    pub fn span(&self, content: &Content) -> Span {
        match content {
            // At the level of an error, so that a line about a job that crashes or hangs says whose it is, whatever the log's level.
            Content::Image(_) => tracing::error_span!("image", item_id = self.item_id, reference = self.reference),
            Content::Hashes(_) => Span::current(),
        }
    }

    pub fn tell(&self, verdict: &Verdict) {
        let (outcome, reason) = (format_args!("{:?}", verdict.outcome), verdict.reason.map_or("", |reason| reason.name()));
        let Name { item_id, reference } = self;
        tracing::debug!(item_id, reference, %outcome, reason, snapshot = verdict.snapshot, "an item is answered");
    }

    pub fn result(self, result: v1::match_result::Result) -> v1::MatchResult {
        v1::MatchResult { item_id: self.item_id, reference: self.reference, result: Some(result) }
    }
}
