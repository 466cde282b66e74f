//! How far is the fetching of a source?
//!
//! What became of the fetches so far, for the next one to go on from; and what can be said to the source. Invariant: nothing here is secret.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{BadValue, VersionNo};

/// What became of a source's fetches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FetchState {
    /// The kind and place that all this is of: [`Feed::of`](super::Feed::of).
    pub of: String,
    /// Where the next fetch goes on, in the words of the kind; empty: at the beginning.
    pub cursor: String,
    /// When a fetch began that has not ended; 0 for none.
    pub began_ms: u64,
    /// When one last began that ended, and one that came to its end with all that there was; 0 for never.
    pub attempted_ms: u64,
    pub succeeded_ms: u64,
    /// Fetches that failed since.
    pub failures: u32,
    /// Why the last one did; empty where it did not.
    pub error: String,
    /// The version that the cursor is true of: the last that a fetch made active. 0 for none.
    pub version: u32,
    /// The version that waits for a review; 0 for none.
    pub held: u32,
    /// The source asked not to be fetched before.
    pub not_before_ms: u64,
    /// The list was empty when the load began that the cursor is in.
    pub filling: bool,
}

/// What a source waits for before it is fetched again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// The version that its last fetch made is held for review.
    Held(VersionNo),
    /// The list was taken back behind what its fetches brought.
    RolledBack(VersionNo),
}

/// What a reviewer says of a hash to the source that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    /// The hash is of what the source says.
    Affirmative,
    Negative,
}

impl Vote {
    pub fn name(self) -> &'static str {
        match self {
            Vote::Affirmative => "affirmative",
            Vote::Negative => "negative",
        }
    }
}

impl FromStr for Vote {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        let known = [Vote::Affirmative, Vote::Negative].into_iter().find(|vote| vote.name() == s);
        known.ok_or_else(|| BadValue(format!("feedback is affirmative or negative, not {s:?}")))
    }
}
