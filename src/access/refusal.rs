//! Why may a caller not do this? In words for the caller, with a label for the metric and a line for the log.
//!
//! Each refusal is counted. Of one caller and one reason a line is logged at most every ten seconds, so that who calls on and on does not
//! fill the log. Nothing of what was sent is repeated, but for the name of a token that is known.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::rights::Role;
use super::tokens::Shown;
use crate::entry::Caller;

const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Callers and reasons that are remembered as told; beyond it refusals are only counted.
const TOLD_MAX: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    NoToken,
    /// The header is not `Bearer TOKEN`.
    Malformed,
    Unknown,
    /// The caller's certificate has a name without an entry, where some have entries.
    Certificate,
    Expired(Shown),
    Revoked(Shown),
    /// The file says other rights than when the call began.
    Changed(Shown),
    /// None of the caller's roles is one that the call needs.
    Role {
        needs: &'static [Role],
    },
    /// The role would do, but the call is for those alone who may know the lists' hashes.
    Knowing,
    /// The role would do, but the call is for those alone who may see the lists' hashes.
    Seeing,
    /// Hashes of the caller's own.
    Hashes,
    /// A list that there is not for the caller. It is told that there is none.
    List,
    /// What concerns lists beyond those of the caller, in words.
    BeyondLists(&'static str),
}

impl Refusal {
    /// The metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::NoToken => "no_token",
            Refusal::Malformed => "malformed",
            Refusal::Unknown => "unknown",
            Refusal::Certificate => "certificate",
            Refusal::Expired(_) => "expired",
            Refusal::Revoked(_) => "revoked",
            Refusal::Changed(_) => "changed",
            Refusal::Role { .. } => "role",
            Refusal::Knowing | Refusal::Seeing => "rights",
            Refusal::Hashes => "hashes",
            Refusal::List | Refusal::BeyondLists(_) => "list",
        }
    }

    /// Whether it is not known who calls, rather than that the caller may not.
    pub fn is_unauthenticated(&self) -> bool {
        use Refusal::{Changed, Expired, Malformed, NoToken, Revoked, Unknown};
        matches!(self, NoToken | Malformed | Unknown | Expired(_) | Revoked(_) | Changed(_))
    }

    /// Counts it, and logs it unless the same caller was refused for the same reason a moment ago.
    pub fn tell(&self, caller: &Caller, call: &str) {
        let reason = self.reason();
        metrics::counter!("hashwarden_access_refusals_total", "reason" => reason).increment(1);
        if is_due(caller, reason, TOLD_EVERY) {
            tracing::warn!(
                caller = caller.0,
                call,
                reason,
                why = %self,
                "access refused; more of the caller's for this reason within 10 s are only counted"
            );
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoToken => {
                f.write_str("this server asks for a token: send it as the metadata `authorization: Bearer TOKEN`")
            }
            Refusal::Malformed => f.write_str("the `authorization` metadata is not a single `Bearer TOKEN`"),
            Refusal::Unknown => f.write_str("the token is not known to this server"),
            Refusal::Certificate => f.write_str(
                "the name in the client certificate has no rights on this server: its operator can give it some, or send a token",
            ),
            Refusal::Expired(Shown::Token) => f.write_str("the token has expired"),
            Refusal::Expired(Shown::Certificate) => f.write_str("the rights of the client certificate have expired"),
            Refusal::Revoked(Shown::Token) => f.write_str("the token was revoked"),
            Refusal::Revoked(Shown::Certificate) => f.write_str("the rights of the client certificate were revoked"),
            Refusal::Changed(shown) => write!(f, "the {}'s rights were changed: call again", shown.name()),
            Refusal::Role { needs: [] } => f.write_str("no role may make this call"),
            Refusal::Role { needs } => {
                let needs = needs.iter().map(|role| role.name()).collect::<Vec<_>>().join(" or ");
                write!(f, "this call needs the role {needs}, which the caller does not have")
            }
            Refusal::Knowing => f.write_str(
                "what this call answers gives hashes of lists away, so it needs a token, or a certificate's entry, that was created with both --sees and --brings-hashes",
            ),
            Refusal::Seeing => f.write_str(
                "this call answers with hashes of lists, so it needs a token, or a certificate's entry, that was created with --sees",
            ),
            Refusal::Hashes => {
                f.write_str("matching hashes needs the right to bring them, which the caller does not have: send the picture")
            }
            Refusal::List => f.write_str("the call names a list that the caller has no right to"),
            Refusal::BeyondLists(why) => f.write_str(why),
        }
    }
}

/// Whether a line of a caller and a reason is due, which it then is not for a while.
pub(super) fn is_due(caller: &Caller, reason: &'static str, every: Duration) -> bool {
    /// Until when further ones are not.
    static TOLD: Mutex<Option<HashMap<(String, &'static str), Instant>>> = Mutex::new(None);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let (told, now) = (told.get_or_insert_default(), Instant::now());
    let key = (caller.0.clone(), reason);
    if told.get(&key).is_some_and(|until| now < *until) {
        return false;
    }
    if told.len() >= TOLD_MAX {
        told.retain(|_, until| now < *until);
    }
    if told.len() >= TOLD_MAX {
        return false;
    }
    told.insert(key, now + every);
    true
}
