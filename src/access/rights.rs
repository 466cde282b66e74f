//! What may a caller do? Roles say which calls, lists say about what, two flags say how much an answer tells.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a caller is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Matcher,
    ListAdmin,
    Reviewer,
    Auditor,
    Operator,
}

impl Role {
    pub const ALL: [Role; 5] = [Role::Matcher, Role::ListAdmin, Role::Reviewer, Role::Auditor, Role::Operator];

    pub fn name(self) -> &'static str {
        match self {
            Role::Matcher => "matcher",
            Role::ListAdmin => "list-admin",
            Role::Reviewer => "reviewer",
            Role::Auditor => "auditor",
            Role::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Role::ALL.into_iter().find(|role| role.name() == text);
        named.ok_or_else(|| format!("the roles are {}", Role::ALL.map(Role::name).join(", ")))
    }
}

/// What one caller may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    pub roles: BTreeSet<Role>,
    /// Names of the lists that there are for the caller; `None`: all.
    pub lists: Option<Arc<BTreeSet<String>>>,
    /// Verdicts show what tells of a list's hashes: distances, thresholds, entry ids, suppressed and cut matches. A list admin may export lists.
    pub sees: bool,
    /// Matches hashes of its own, not only pictures.
    pub brings_hashes: bool,
}

impl Rights {
    /// Those of who is asked for no token.
    pub fn all() -> Self {
        Rights { roles: Role::ALL.into(), lists: None, sees: true, brings_hashes: true }
    }

    /// Those of who needs none.
    pub fn none() -> Self {
        Rights { roles: BTreeSet::new(), lists: Some(Arc::default()), sees: false, brings_hashes: false }
    }

    /// Whether there is a list of this name for the caller, if it is there at all.
    pub fn has_list(&self, name: &str) -> bool {
        self.lists.as_ref().is_none_or(|lists| lists.contains(name))
    }
}
