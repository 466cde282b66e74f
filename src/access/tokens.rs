//! The file of tokens: who has which rights until when, and the SHA-256 of what each one shows. Callers with a certificate may have an entry by its
//! name instead.
//!
//! JSON, for the verbs of `hashwarden token`, which change it whole and atomically under a lock, so that a server never reads half a file.
//! A token is 256 random bits: its digest can't be turned round, and is no secret; who can *write* the file makes tokens, so it must be its
//! owner's alone. Times are ms since the Unix epoch here, RFC 3339 in the file. A revoked token stays in the file, so that its use is told as such.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::can_be_certified;
use super::file::{self, Stamp, Unread};
use super::options::ITEMS_PER_S_TOP;
use super::rights::{Rights, Role};
use crate::entry::check_list_name;
use crate::entry::shown::{in_words, unopened, without_hashes};

/// Some ten thousand tokens.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
pub const TOKENS_MAX: usize = 10_000;
/// How long a change waits for another one, and when it says so.
const LOCKED_MAX: Duration = Duration::from_secs(10);
const LOCKED_TOLD: Duration = Duration::from_secs(1);
const NAME_BYTES_MAX: usize = 64;
const TOKEN_BYTES: usize = 32;
/// So that a token is known as one where it should not be, by people and by scanners for secrets.
const PREFIX: &str = "hashwarden_";

#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error("the tokens can't be read: {}", unopened(&path.display().to_string(), .error))]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("the tokens can't be read: {}: {why}", path.display())]
    Bad { path: PathBuf, why: String },
    #[error("the tokens can't be written: {}: {}", path.display(), in_words(.error))]
    Unwritten { path: PathBuf, error: std::io::Error },
    #[error(
        "the tokens can't be changed: another process has been changing {} for more than {} s; if none runs, remove {}.lock",
        path.display(), LOCKED_MAX.as_secs(), path.display()
    )]
    Locked { path: PathBuf },
    #[error("{0}")]
    Invalid(String),
    #[error("no random bytes for a token: {0}")]
    Random(getrandom::Error),
}

/// What a caller shows to be known by an entry of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Token,
    /// A client certificate of the entry's name, which TLS has proven.
    Certificate,
}

impl Shown {
    pub fn name(self) -> &'static str {
        match self {
            Shown::Token => "token",
            Shown::Certificate => "certificate",
        }
    }
}

/// The rights of who shows one token, or a certificate of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What the caller is called in limits, logs and the record of changes.
    pub name: String,
    /// Of a token; a certificate has none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "digest_as_hex")]
    pub sha256: Option<[u8; 32]>,
    pub roles: BTreeSet<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lists: Option<BTreeSet<String>>,
    #[serde(default)]
    pub sees: bool,
    #[serde(default)]
    pub brings_hashes: bool,
    /// How many items the caller may have matched in a second, where it has a quota of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_per_s: Option<NonZeroU32>,
    pub created: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Time>,
}

impl Record {
    pub fn shown(&self) -> Shown {
        if self.sha256.is_some() { Shown::Token } else { Shown::Certificate }
    }

    /// The entry in words: `token uploads`.
    fn told(&self) -> String {
        format!("{} {}", self.shown().name(), without_hashes(&self.name))
    }

    fn new(wanted: Wanted, sha256: Option<[u8; 32]>) -> Result<Self, TokensError> {
        let Wanted { name, rights: Rights { roles, lists, sees, brings_hashes }, items_per_s, expires } = wanted;
        let (lists, created) = (lists.map(Arc::unwrap_or_clone), Time::now());
        let record = Record { name, sha256, roles, lists, sees, brings_hashes, items_per_s, created, expires, revoked: None };
        record.check().map_err(TokensError::Invalid)?;
        match record.is_expired(created) {
            true => Err(TokensError::Invalid(format!("the {} would have expired already", record.shown().name()))),
            false => Ok(record),
        }
    }

    pub fn rights(&self) -> Rights {
        let Record { roles, lists, sees, brings_hashes, .. } = self.clone();
        Rights { roles, lists: lists.map(Arc::new), sees, brings_hashes }
    }

    pub fn is_expired(&self, now: Time) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    fn check(&self) -> Result<(), String> {
        match self.shown() {
            Shown::Token => check_name(&self.name)?,
            Shown::Certificate if can_be_certified(&self.name) => {}
            Shown::Certificate => return Err("a certificate's name has 1 to 512 bytes, all of them printable".to_owned()),
        }
        if self.roles.is_empty() {
            return Err(format!("{} has no role", self.told()));
        }
        if self.items_per_s.is_some_and(|items| items.get() > ITEMS_PER_S_TOP) {
            return Err(format!("{}: items_per_s must be at most {ITEMS_PER_S_TOP}", self.told()));
        }
        let Some(lists) = &self.lists else { return Ok(()) };
        if lists.is_empty() {
            return Err(format!("{} names no list; without \"lists\" it is for all", self.told()));
        }
        lists.iter().try_for_each(|list| check_list_name(list).map_err(|bad| format!("{}: {}", self.told(), bad.0)))
    }
}

/// A token's name shows in logs and metrics.
fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(fits) {
        return Err(format!("a token's name has 1 to {NAME_BYTES_MAX} letters, digits, '-', '_', '.' or '@'"));
    }
    if *without_hashes(name) != *name {
        return Err("a token's name must not look like a hash".to_owned());
    }
    Ok(())
}

/// Ms since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    pub fn now() -> Self {
        Time(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
    }

    /// A duration from now, such as `90d`, or a time, such as `2027-01-31` or `2027-01-31T12:00:00Z`.
    pub fn parse(text: &str, now: Time) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(after) = humantime::parse_duration(text) {
            let ms = u64::try_from(after.as_millis()).map_err(|_| "lies too far ahead".to_owned())?;
            return Time(now.0.saturating_add(ms)).checked();
        }
        let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let at = humantime::parse_rfc3339_weak(&whole).map_err(|_| {
            "is neither a duration such as 90d nor a time in UTC such as 2027-01-31 or 2027-01-31T12:00:00Z".to_owned()
        })?;
        Time(at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)).checked()
    }

    /// What RFC 3339 can't say, its formatter panics at.
    fn checked(self) -> Result<Self, String> {
        const YEAR_10000_MS: u64 = 253_402_300_800_000;
        if self.0 < YEAR_10000_MS { Ok(self) } else { Err("lies too far ahead".to_owned()) }
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(self.0)).fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = humantime::parse_rfc3339(&text).map_err(|_| de::Error::custom("a time is not RFC 3339 in UTC"))?;
        Time(at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)).checked().map_err(de::Error::custom)
    }
}

/// The digest that a token is known by.
pub fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

mod digest_as_hex {
    use super::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(digest: &Option<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&digest.map(hex::encode).unwrap_or_default())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u8; 32]>, D::Error> {
        hex::deserialize(deserializer).map(Some)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Records {
    tokens: Vec<Record>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<Record>,
}

/// All records of a file, checked, and the state of the file that they were read from.
pub fn read(path: &Path) -> Result<(Vec<Record>, Stamp), TokensError> {
    let unreadable = |error| TokensError::Unreadable { path: path.to_owned(), error };
    let bad = |why: String| TokensError::Bad { path: path.to_owned(), why };
    let (bytes, found) = file::read(path, FILE_BYTES_MAX).map_err(|why| match why {
        Unread::Io(error) => unreadable(error),
        Unread::NotAFile => bad("is not a file".to_owned()),
        Unread::TooLong => bad(format!("has more than {FILE_BYTES_MAX} bytes")),
    })?;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(bad(format!("others than its owner may write it (its mode is {mode:o}), and so make tokens: chmod 600")));
    }
    let text = String::from_utf8(bytes).map_err(|_| bad("is not text".to_owned()))?;
    let Records { tokens, certificates } =
        serde_json::from_str(&text).map_err(|error| bad(without_hashes(&error.to_string()).into_owned()))?;
    if let Some(token) = tokens.iter().find(|token| token.sha256.is_none()) {
        return Err(bad(format!("token {} has no sha256", without_hashes(&token.name))));
    }
    if let Some(certificate) = certificates.iter().find(|certificate| certificate.sha256.is_some()) {
        return Err(bad(format!("certificate {} has a sha256, which is for tokens", without_hashes(&certificate.name))));
    }
    let records = [tokens, certificates].concat();
    check(&records).map_err(bad)?;
    Ok((records, Stamp::from(&found)))
}

/// Who else than this process and the system's administrator can put other tokens in a file's place, in words.
pub fn others_can_change(path: &Path) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    let path = std::fs::canonicalize(path).ok()?;
    let owned = |by: u32| by == 0 || by == us;
    let file = std::fs::metadata(&path).ok()?;
    if !owned(file.uid()) {
        return Some(format!("its owner, user {}, is neither root nor the user of this process", file.uid()));
    }
    let folder = std::fs::metadata(path.parent()?).ok()?;
    if !owned(folder.uid()) {
        return Some(format!("the owner of its folder, user {}, is neither root nor the user of this process", folder.uid()));
    }
    let mode = folder.mode() & 0o7777;
    // In a folder like /tmp others can't replace what is not theirs.
    (mode & 0o022 != 0 && mode & 0o1000 == 0).then(|| format!("others than its owner may write to its folder (mode {mode:o})"))
}

fn check(records: &[Record]) -> Result<(), String> {
    if records.len() > TOKENS_MAX {
        return Err(format!("has more than {TOKENS_MAX} tokens"));
    }
    records.iter().try_for_each(Record::check)?;
    let (mut names, mut certified, mut digests) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for record in records {
        let is_another = match record.sha256 {
            Some(_) => record.revoked.is_some() || names.insert(&record.name),
            // A revoked one would make it a question of order who is let in.
            None => certified.insert(&record.name),
        };
        if !is_another {
            return Err(format!("{} stands twice", record.told()));
        }
        if record.sha256.is_some_and(|digest| !digests.insert(digest)) {
            return Err(format!("{} has the digest of another", record.told()));
        }
    }
    Ok(())
}

/// What a new token, or the entry of a certificate's name, is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub name: String,
    pub rights: Rights,
    /// A quota of its own.
    pub items_per_s: Option<NonZeroU32>,
    pub expires: Option<Time>,
}

/// Makes a token and gives it, for the only time. The file is made where there is none.
pub fn create(path: &Path, wanted: Wanted) -> Result<String, TokensError> {
    let mut secret = [0; TOKEN_BYTES];
    getrandom::fill(&mut secret).map_err(TokensError::Random)?;
    let token = format!("{PREFIX}{}", hex::encode(secret));
    let record = Record::new(wanted, Some(digest(token.as_bytes())))?;
    edit(path, |records| {
        // One name is one caller, in the log and the record of changes: a revoked one keeps it.
        let same: Vec<_> = records.iter().filter(|other| other.shown() == Shown::Token && other.name == record.name).collect();
        if same.iter().any(|other| other.revoked.is_none()) {
            return Err(TokensError::Invalid(format!("there is a token named {} already: take another name", record.name)));
        }
        if let Some(at) = same.iter().filter_map(|other| other.revoked).max() {
            return Err(TokensError::Invalid(format!(
                "a token named {} was revoked on {at}: take another name, as this one stands for it in logs and in the record of changes (`token prune` frees names)",
                record.name
            )));
        }
        push(records, record)
    })?;
    Ok(token)
}

/// Gives rights to callers whose certificate has this name. Says whether it is the first name that has some: from then on certificates of other
/// names are refused. An entry that was revoked or has expired is replaced, as the certificate names the same caller.
pub fn allow(path: &Path, wanted: Wanted) -> Result<bool, TokensError> {
    let record = Record::new(wanted, None)?;
    let mut first = false;
    edit(path, |records| {
        let now = Time::now();
        let is_same = |other: &Record| other.shown() == Shown::Certificate && other.name == record.name;
        if records.iter().any(|other| is_same(other) && other.revoked.is_none() && !other.is_expired(now)) {
            return Err(TokensError::Invalid(format!(
                "certificates named {:?} have rights already: revoke those first to give others",
                without_hashes(&record.name)
            )));
        }
        records.retain(|other| !is_same(other));
        first = records.iter().all(|other| other.shown() == Shown::Token);
        push(records, record)
    })?;
    Ok(first)
}

fn push(records: &mut Vec<Record>, record: Record) -> Result<(), TokensError> {
    if records.len() >= TOKENS_MAX {
        return Err(TokensError::Invalid(format!(
            "the file has {TOKENS_MAX} tokens, which is the most: `token prune` removes those that were revoked or have expired"
        )));
    }
    records.push(record);
    Ok(())
}

/// Marks a token, or the entry of a certificate's name, as revoked.
pub fn revoke(path: &Path, shown: Shown, name: &str) -> Result<(), TokensError> {
    edit(path, |records| {
        let what = shown.name();
        let mut same: Vec<_> = records.iter_mut().filter(|record| record.shown() == shown && record.name == name).collect();
        let revoked = same.iter().filter_map(|record| record.revoked).max();
        let live = same.iter_mut().find(|record| record.revoked.is_none());
        let record = live.ok_or_else(|| {
            let name = without_hashes(name);
            TokensError::Invalid(match revoked {
                Some(at) => format!("the {what} named {name:?} was revoked on {at} already"),
                None => format!("there is no {what} named {name:?} to revoke"),
            })
        })?;
        record.revoked = Some(Time::now());
        Ok(())
    })
}

/// Removes what was revoked, or expired, before a time, and gives it: the names of tokens can be used again.
pub fn prune(path: &Path, before: Time) -> Result<Vec<Record>, TokensError> {
    let mut pruned = Vec::new();
    edit(path, |records| {
        let ended = |record: &Record| record.revoked.or(record.expires).is_some_and(|at| at < before);
        (pruned, *records) = std::mem::take(records).into_iter().partition(ended);
        Ok(())
    })?;
    Ok(pruned)
}

/// Waits for another who changes the file: that takes a moment, unless it hangs.
fn hold(lock: &File, path: &Path, max: Duration) -> Result<(), TokensError> {
    let (began, mut told) = (Instant::now(), false);
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(TokensError::Unwritten { path: path.to_owned(), error }),
            Err(TryLockError::WouldBlock) if began.elapsed() >= max => {
                return Err(TokensError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if !told && began.elapsed() >= LOCKED_TOLD {
            told = true;
            tracing::warn!(file = %path.display(), "waiting: another process is changing the tokens");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads the file, changes what was read, and puts it in the file's place: under a lock beside it, so that no other change is lost.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<Record>) -> Result<(), TokensError>) -> Result<(), TokensError> {
    // Where it is a link, what it names is changed.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let unwritten = |error| TokensError::Unwritten { path: path.to_owned(), error };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut lock_name = path.file_name().unwrap_or_default().to_owned();
    lock_name.push(".lock");
    let lock = File::options().create(true).append(true).mode(0o600).open(folder.join(lock_name)).map_err(unwritten)?;
    hold(&lock, path, LOCKED_MAX)?;
    let before = std::fs::metadata(path).ok();
    let mut records = match &before {
        Some(_) => read(path)?.0,
        None => Vec::new(),
    };
    change(&mut records)?;
    let (tokens, certificates) = records.into_iter().partition(|record| record.shown() == Shown::Token);
    let mut text = serde_json::to_string_pretty(&Records { tokens, certificates }).map_err(|error| unwritten(error.into()))?;
    text.push('\n');
    // Of mode 0600 from its beginning.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unwritten)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(unwritten)?;
    if let Some(before) = before {
        // Whoever changes it, the service can still read it.
        std::os::unix::fs::fchown(file.as_file(), Some(before.uid()), Some(before.gid())).map_err(unwritten)?;
    }
    file.persist(path).map_err(|failed| unwritten(failed.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritten)
}

#[cfg(test)]
mod tests;
