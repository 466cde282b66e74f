//! Who is at the door? From a call's headers to a principal.
//!
//! Tokens are looked up by their digest, so how long a look-up takes tells nothing of a token: who tries tokens can't choose their digests.
//! The digest that is found is compared in constant time all the same. A file that changes is read anew; one that is bad leaves the tokens
//! as they were, until it is mended. What is in work when a token is revoked, expires or gets other rights asks [`Principal::ended`].

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;

use super::file::Stamp;
use super::refusal::Refusal;
use super::rights::{Rights, Role};
use super::table::{self, Need};
use super::tokens::{self, Record, Time, TokensError};
use crate::entry::Caller;

/// Who makes a call, and with which rights.
#[derive(Clone)]
pub struct Principal {
    caller: Arc<Caller>,
    rights: Arc<Rights>,
    token: Option<Arc<Known>>,
}

impl Principal {
    /// One that nothing is asked of.
    pub(super) fn trusted(caller: Arc<Caller>) -> Self {
        Principal { caller, rights: Arc::new(Rights::all()), token: None }
    }

    /// One that may do nothing.
    pub fn nobody(caller: Arc<Caller>) -> Self {
        Principal { caller, rights: Arc::new(Rights::none()), token: None }
    }

    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The quota of items a second that the token has of its own.
    pub fn items_per_s(&self) -> Option<NonZeroU32> {
        self.token.as_ref()?.record.items_per_s
    }

    /// Why a call that goes on has to end.
    pub fn ended(&self) -> Option<Refusal> {
        let token = self.token.as_ref()?;
        match token.ended.load(Ordering::Acquire) {
            LIVE if token.record.is_expired(Time::now()) => Some(Refusal::Expired),
            LIVE => None,
            REVOKED => Some(Refusal::Revoked),
            _ => Some(Refusal::Changed),
        }
    }
}

const LIVE: u8 = 0;
const REVOKED: u8 = 1;
const CHANGED: u8 = 2;

/// A token of the file.
struct Known {
    record: Record,
    caller: Arc<Caller>,
    rights: Arc<Rights>,
    /// Whether calls that go on have to end.
    ended: AtomicU8,
}

impl Known {
    fn of(record: Record) -> Self {
        let caller = Arc::new(Caller(format!("token:{}", record.name)));
        Known { rights: Arc::new(record.rights()), caller, record, ended: AtomicU8::new(LIVE) }
    }
}

type Tokens = HashMap<[u8; 32], Arc<Known>>;

/// Lets callers in.
pub struct Gate {
    /// `None`: whoever calls may do everything.
    file: Option<Watched>,
}

struct Watched {
    path: PathBuf,
    tokens: ArcSwap<Tokens>,
    /// The state of the file that was looked at last.
    seen: Mutex<Option<Stamp>>,
    /// The file could be read the last time.
    sound: AtomicBool,
}

impl Gate {
    /// One that asks nobody who they are.
    pub fn open() -> Arc<Self> {
        Arc::new(Gate { file: None })
    }

    /// One that asks for the tokens of a file, which must be there and sound.
    pub fn of_tokens(path: PathBuf) -> Result<Arc<Self>, TokensError> {
        let (records, stamp) = tokens::read(&path)?;
        if records.iter().all(|record| record.revoked.is_some() || record.is_expired(Time::now())) {
            tracing::warn!(file = %path.display(), "no token is valid: every call will be refused");
        }
        tell_others(&path);
        let tokens = ArcSwap::from_pointee(known(records, &Tokens::new()));
        let watched = Watched { path, tokens, seen: Mutex::new(Some(stamp)), sound: AtomicBool::new(true) };
        watched.tell_sound(true);
        Ok(Arc::new(Gate { file: Some(watched) }))
    }

    /// Who calls, if the call may be made. `from` is the caller by its address; `authorization` are the values of that header.
    pub fn admit<'h>(
        &self,
        path: &str,
        authorization: impl Iterator<Item = &'h [u8]>,
        from: &Arc<Caller>,
    ) -> Result<Principal, Refusal> {
        self.admit_for(table::need(path), path_told(path), authorization, from)
    }

    /// The same for the operator port's pages that are not for all.
    pub fn admit_to_pages<'h>(
        &self,
        authorization: impl Iterator<Item = &'h [u8]>,
        from: &Arc<Caller>,
    ) -> Result<Principal, Refusal> {
        self.admit_for(table::PAGES, "the operator port", authorization, from)
    }

    fn admit_for<'h>(
        &self,
        need: Need,
        told: &'static str,
        mut authorization: impl Iterator<Item = &'h [u8]>,
        from: &Arc<Caller>,
    ) -> Result<Principal, Refusal> {
        let Some(file) = &self.file else { return Ok(Principal::trusted(from.clone())) };
        if need == Need::Nothing {
            return Ok(Principal::nobody(from.clone()));
        }
        let refused = |refusal: Refusal, caller: &Caller| {
            refusal.tell(caller, told);
            refusal
        };
        let token = match (authorization.next(), authorization.next()) {
            (None, _) => Err(Refusal::NoToken),
            (Some(header), None) => bearer(header).ok_or(Refusal::Malformed),
            (Some(_), Some(_)) => Err(Refusal::Malformed),
        };
        let token = token.map_err(|refusal| refused(refusal, from))?;
        let known = file.find(&tokens::digest(token)).ok_or_else(|| refused(Refusal::Unknown, from))?;
        let principal = Principal { caller: known.caller.clone(), rights: known.rights.clone(), token: Some(known) };
        let may = principal.ended().map_or_else(|| allows(need, &principal.rights), Err);
        may.map_err(|refusal| refused(refusal, &principal.caller))?;
        Ok(principal)
    }

    /// Reads the file anew where it changed. To be called every now and then, where a file may be read.
    pub fn refresh(&self) {
        if let Some(file) = &self.file {
            file.refresh();
        }
    }
}

/// A path as it is logged: those that are known as they are, others may be anything.
fn path_told(path: &str) -> &'static str {
    table::TABLE.iter().find(|(of, _)| *of == path).map_or("another call", |(of, _)| of)
}

fn allows(need: Need, rights: &Rights) -> Result<(), Refusal> {
    match need {
        Need::Nothing | Need::Token => Ok(()),
        Need::OneOf(roles) if roles.iter().any(|role: &Role| rights.roles.contains(role)) => Ok(()),
        Need::Knowing(roles) => match allows(Need::OneOf(roles), rights) {
            Ok(()) if !(rights.sees && rights.brings_hashes) => Err(Refusal::Knowing),
            by_role => by_role,
        },
        Need::OneOf(needs) => Err(Refusal::Role { needs }),
    }
}

/// The token in `Bearer TOKEN`; the scheme's case does not matter.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(b"Bearer ".len())?;
    let token = token.trim_ascii();
    let is_one = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    (scheme.eq_ignore_ascii_case(b"Bearer ") && is_one).then_some(token)
}

fn known(records: Vec<Record>, before: &Tokens) -> Tokens {
    let known = |record: Record| match before.get(&record.sha256) {
        // Calls that go on go on.
        Some(same) if same.record == record => (record.sha256, same.clone()),
        _ => {
            let ended = if record.revoked.is_some() { REVOKED } else { LIVE };
            let known = Known::of(record);
            known.ended.store(ended, Ordering::Release);
            (known.record.sha256, Arc::new(known))
        }
    };
    records.into_iter().map(known).collect()
}

impl Watched {
    fn find(&self, digest: &[u8; 32]) -> Option<Arc<Known>> {
        let found = self.tokens.load().get(digest).cloned()?;
        bool::from(found.record.sha256.ct_eq(digest)).then_some(found)
    }

    fn refresh(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Stamp::of(&self.path);
        // A file that is not there is told once.
        if now == *seen && (now.is_some() || !self.sound.load(Ordering::Acquire)) {
            return;
        }
        match tokens::read(&self.path) {
            Ok((records, stamp)) => {
                *seen = Some(stamp);
                let before = self.tokens.load_full();
                let tokens = known(records, &before);
                for (digest, known) in before.iter().filter(|(digest, known)| !is_same(&tokens, digest, known)) {
                    let revoked = tokens.get(digest).is_none_or(|now| now.record.revoked.is_some());
                    known.ended.store(if revoked { REVOKED } else { CHANGED }, Ordering::Release);
                }
                tracing::info!(tokens = tokens.len(), "the tokens were reloaded");
                tell_others(&self.path);
                self.tokens.store(Arc::new(tokens));
                self.tell_sound(true);
            }
            Err(error) => {
                *seen = now;
                tracing::error!(%error, "the tokens are left as they were");
                self.tell_sound(false);
            }
        }
    }

    fn tell_sound(&self, sound: bool) {
        self.sound.store(sound, Ordering::Release);
        metrics::gauge!("hashwarden_tokens_file_sound").set(if sound { 1.0 } else { 0.0 });
    }
}

fn tell_others(path: &Path) {
    if let Some(why) = tokens::others_can_change(path) {
        tracing::warn!(file = %path.display(), why, "others can replace the tokens file, and so make tokens");
    }
}

fn is_same(tokens: &Tokens, digest: &[u8; 32], known: &Arc<Known>) -> bool {
    tokens.get(digest).is_some_and(|now| Arc::ptr_eq(now, known))
}

#[cfg(test)]
mod tests;
