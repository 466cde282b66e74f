//! Who is at the door? From a call's headers to a principal.
//!
//! Tokens are looked up by their digest, so how long a look-up takes tells nothing of a token: who tries tokens can't choose their digests.
//! The digest that is found is compared in constant time all the same. A file that changes is read anew; one that is bad leaves the tokens
//! as they were, until it is mended. What is in work when a token is revoked, expires or gets other rights asks [`Principal::ended`].
//! Where the file has entries for names of certificates, a caller without a token is known by the name that TLS has proven.

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
use super::tokens::{self, Record, Shown, Time, TokensError};
use super::{certificate_of, certified_caller};
use crate::entry::Caller;

/// Who makes a call, and with which rights.
#[derive(Clone)]
pub struct Principal {
    caller: Arc<Caller>,
    rights: Arc<Rights>,
    /// In the file of tokens.
    entry: Option<Arc<Known>>,
}

impl Principal {
    /// One that nothing is asked of.
    pub(super) fn trusted(caller: Arc<Caller>) -> Self {
        Principal { caller, rights: Arc::new(Rights::all()), entry: None }
    }

    /// One that may do nothing.
    pub fn nobody(caller: Arc<Caller>) -> Self {
        Principal { caller, rights: Arc::new(Rights::none()), entry: None }
    }

    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The quota of items a second that the caller has of its own.
    pub fn items_per_s(&self) -> Option<NonZeroU32> {
        self.entry.as_ref()?.record.items_per_s
    }

    /// Why a call that goes on has to end.
    pub fn ended(&self) -> Option<Refusal> {
        let entry = self.entry.as_ref()?;
        let shown = entry.record.shown();
        match entry.ended.load(Ordering::Acquire) {
            LIVE if entry.record.is_expired(Time::now()) => Some(Refusal::Expired(shown)),
            LIVE => None,
            REVOKED => Some(Refusal::Revoked(shown)),
            _ => Some(Refusal::Changed(shown)),
        }
    }
}

const LIVE: u8 = 0;
const REVOKED: u8 = 1;
const CHANGED: u8 = 2;

/// An entry of the file.
struct Known {
    record: Record,
    caller: Arc<Caller>,
    rights: Arc<Rights>,
    /// Whether calls that go on have to end.
    ended: AtomicU8,
}

impl Known {
    fn of(record: Record) -> Self {
        let caller = Arc::new(match record.shown() {
            Shown::Token => Caller(format!("token:{}", record.name)),
            Shown::Certificate => certified_caller(&record.name),
        });
        let ended = AtomicU8::new(if record.revoked.is_some() { REVOKED } else { LIVE });
        Known { rights: Arc::new(record.rights()), caller, record, ended }
    }
}

/// The entries of a file, by what finds them.
#[derive(Default)]
struct Entries {
    tokens: HashMap<[u8; 32], Arc<Known>>,
    certificates: HashMap<String, Arc<Known>>,
}

/// Lets callers in.
pub struct Gate {
    /// `None`: whoever calls may do everything.
    file: Option<Watched>,
}

struct Watched {
    path: PathBuf,
    entries: ArcSwap<Entries>,
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
        let entries = ArcSwap::from_pointee(Entries::of(records, &Entries::default()));
        let watched = Watched { path, entries, seen: Mutex::new(Some(stamp)), sound: AtomicBool::new(true) };
        watched.tell_sound(true);
        Ok(Arc::new(Gate { file: Some(watched) }))
    }

    /// Whether certificates' names have rights of their own: one that has none is refused then.
    pub fn has_certificates(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.entries.load().certificates.is_empty())
    }

    /// Who calls, if the call may be made. `from` is the caller by its certificate, else by its address; `authorization` are the values of that header.
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
        let known = match (authorization.next(), authorization.next()) {
            (None, _) => file.find_certificate(from),
            (Some(header), None) => bearer(header).ok_or(Refusal::Malformed).and_then(|token| file.find_token(token)),
            (Some(_), Some(_)) => Err(Refusal::Malformed),
        };
        let known = known.map_err(|refusal| refused(refusal, from))?;
        let principal = Principal { caller: known.caller.clone(), rights: known.rights.clone(), entry: Some(known) };
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
        Need::Seeing(roles) => match allows(Need::OneOf(roles), rights) {
            Ok(()) if !rights.sees => Err(Refusal::Seeing),
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

impl Entries {
    /// Those of records, of which what did not change is kept: calls that go on go on.
    fn of(records: Vec<Record>, before: &Entries) -> Self {
        let mut entries = Entries::default();
        for record in records {
            let known = match before.same(&record) {
                Some(same) if same.record == record => same.clone(),
                _ => Arc::new(Known::of(record)),
            };
            match known.record.sha256 {
                Some(digest) => entries.tokens.insert(digest, known),
                None => entries.certificates.insert(known.record.name.clone(), known),
            };
        }
        entries
    }

    /// The entry that is found by the same.
    fn same(&self, record: &Record) -> Option<&Arc<Known>> {
        match &record.sha256 {
            Some(digest) => self.tokens.get(digest),
            None => self.certificates.get(&record.name),
        }
    }

    /// Ends the calls of those that are not among `now` as they are here.
    fn end_others(&self, now: &Entries) {
        for known in self.tokens.values().chain(self.certificates.values()) {
            let found = now.same(&known.record);
            if !found.is_some_and(|found| Arc::ptr_eq(found, known)) {
                let revoked = found.is_none_or(|found| found.record.revoked.is_some());
                known.ended.store(if revoked { REVOKED } else { CHANGED }, Ordering::Release);
            }
        }
    }
}

impl Watched {
    fn find_token(&self, token: &[u8]) -> Result<Arc<Known>, Refusal> {
        let digest = tokens::digest(token);
        let found = self.entries.load().tokens.get(&digest).cloned().ok_or(Refusal::Unknown)?;
        let is_it = found.record.sha256.is_some_and(|of| bool::from(of.ct_eq(&digest)));
        if is_it { Ok(found) } else { Err(Refusal::Unknown) }
    }

    fn find_certificate(&self, from: &Caller) -> Result<Arc<Known>, Refusal> {
        let certificates = &self.entries.load().certificates;
        match certificate_of(from) {
            Some(name) if !certificates.is_empty() => certificates.get(name).cloned().ok_or(Refusal::Certificate),
            _ => Err(Refusal::NoToken),
        }
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
                let before = self.entries.load_full();
                let entries = Entries::of(records, &before);
                before.end_others(&entries);
                let (tokens, certificates) = (entries.tokens.len(), entries.certificates.len());
                tracing::info!(tokens, certificates, "the tokens were reloaded");
                tell_others(&self.path);
                self.entries.store(Arc::new(entries));
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

#[cfg(test)]
mod tests;
