//! What a platform is asked to do about a match.

use std::fmt;
use std::str::FromStr;

use super::BadValue;

/// What a platform is asked to do about a candidate, from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Action {
    Observe = 1,
    Review = 2,
    Block = 3,
}

impl Action {
    pub const ALL: [Action; 3] = [Action::Observe, Action::Review, Action::Block];

    pub fn name(self) -> &'static str {
        match self {
            Action::Observe => "OBSERVE",
            Action::Review => "REVIEW",
            Action::Block => "BLOCK",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Action {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        Self::ALL
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(s))
            .ok_or_else(|| BadValue(format!("unknown action {s:?}: one of OBSERVE, REVIEW, BLOCK")))
    }
}
