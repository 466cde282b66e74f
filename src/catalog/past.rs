//! Would a hash have matched at an earlier time, and by which version?
//!
//! What the list held, its policy and its marks are those of then. A version that is not kept any more is put together from those that came
//! of it by edits: what was removed since then is missing, and that is said. Where nothing that came of it is kept, there is no answer.

use std::collections::BTreeSet;

use super::columns;
use super::entries::check_radius;
use super::{Catalog, CatalogError, now_ms, stored};
use crate::entry::{
    Action, Bits, EntryNo, HashKind, HashList, HashValue, Lineage, Mark, Pdq, Polarity, VersionNo, VersionState, ViewKind,
};
use crate::store::{Moment, Past, Store};

/// Clocks of callers may be ahead by so much.
const CLOCKS_DIFFER_MS: u64 = 60_000;
/// Matches that one answer names at most, the nearest ones.
const PAST_MATCHES_MAX: usize = 1_000;

/// A list at an earlier moment, and what a hash met in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastReport {
    /// The number of the snapshot that answered then, and since when, ms since the Unix epoch.
    pub snapshot: u64,
    pub snapshot_ms: u64,
    /// The version that look-ups saw; 0 for none. Since when, ms since the Unix epoch.
    pub version: VersionNo,
    pub version_ms: u64,
    pub disabled: bool,
    pub shadow: bool,
    /// A negative list: a match of it suppresses others, and is none of its own.
    pub negative: bool,
    /// The version is not kept any more: entries that were removed since then are missing here.
    pub incomplete: bool,
    /// Nearest first, at most a thousand.
    pub matches: Vec<PastMatch>,
    /// Matches beyond those.
    pub cut: u64,
}

/// An entry within the radius of its category then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastMatch {
    pub entry_id: String,
    pub category: String,
    pub distance: u16,
    pub threshold: u16,
    pub action: Action,
    /// The version that brought the entry.
    pub since: VersionNo,
    /// What kept it from matching then.
    pub stopped_by: Option<Mark>,
}

impl PastReport {
    /// Whether the list would have made a match: it counted, and had an entry that nothing kept from matching.
    pub fn matched(&self) -> bool {
        self.met() && !self.shadow && !self.negative
    }

    /// The same, whatever the list is for.
    pub fn met(&self) -> bool {
        !self.disabled && self.matches.iter().any(|found| found.stopped_by.is_none())
    }
}

impl Catalog {
    /// What a list would have answered at an earlier moment to a hash as it is: of a picture as a whole, not turned, and good enough. Reads all hashes
    /// of the kind.
    pub fn as_of(&self, name: &str, moment: Moment, hash: &HashValue) -> Result<PastReport, CatalogError> {
        let kind = hash.kind();
        check_radius(kind, 0)?;
        let (store, list) = (self.store(), self.find(name)?);
        if let Moment::Change(seq) = moment
            && seq > store.seq()?
        {
            return Err(CatalogError::Invalid(format!("there was no snapshot {seq} yet: the newest is {}", store.seq()?)));
        }
        if let Moment::Time(ms) = moment
            && ms > now_ms() + CLOCKS_DIFFER_MS
        {
            return Err(CatalogError::Invalid("the time lies in the future".to_owned()));
        }
        let past = store.past(list.id, moment)?;
        let Some(policy) = &past.policy else {
            return Err(CatalogError::Refused(format!("list {name:?} was created later")));
        };
        let mut report = PastReport {
            snapshot: past.seq,
            snapshot_ms: past.time_ms,
            version: past.active,
            version_ms: past.active_since_ms,
            disabled: past.disabled,
            shadow: policy.shadow,
            negative: list.polarity == Polarity::Negative,
            incomplete: false,
            matches: Vec::new(),
            cut: 0,
        };
        let (lineage, is_whole) = lineage_of(&store, &list, &past)?;
        report.incomplete = !is_whole;
        let widest = policy.radius_widest(kind);
        for (entry, distance) in near(&store, hash, widest)? {
            let Some(content) = store.entry(list.id, entry)? else { continue };
            let history = store.id_history(list.id, &content.id)?;
            if history.in_version(&lineage).is_none_or(|known| known.entry != entry) {
                continue;
            }
            let threshold = policy.threshold(&content.category, kind, ViewKind::Whole).unwrap_or(0);
            if distance > threshold {
                continue;
            }
            let mark = past.marks.get(&content.id).filter(|mark| mark.is_about(entry));
            let (mark, action) = (mark, policy.action(&content.category, kind));
            let bound = mark.and_then(|mark| mark.kind.action_max()).filter(|_| !kind.is_digest());
            report.matches.push(PastMatch {
                distance,
                threshold,
                action: bound.map_or(action, |most| action.min(most)),
                since: history.since(entry, &lineage).unwrap_or_default(),
                stopped_by: mark.filter(|mark| mark.kind.stops()).cloned(),
                entry_id: content.id,
                category: content.category,
            });
        }
        if self.find(name)?.id != list.id {
            return Err(CatalogError::NoSuchList(name.to_owned())); // deleted while it was read
        }
        report.matches.sort_by(|a, b| (a.distance, &a.entry_id).cmp(&(b.distance, &b.entry_id)));
        report.cut = report.matches.len().saturating_sub(PAST_MATCHES_MAX) as u64;
        report.matches.truncate(PAST_MATCHES_MAX);
        Ok(report)
    }
}

/// What the version that was active held, and whether all of that is still there.
fn lineage_of(store: &Store, list: &HashList, past: &Past) -> Result<(Lineage, bool), CatalogError> {
    if past.active == VersionNo(0) {
        return Ok((Lineage::default(), true));
    }
    if let Some(version) = store.version(list.id, past.active)? {
        return Ok((version.lineage, true));
    }
    for kept in store.versions(list.id)?.into_iter().filter(|version| version.state == VersionState::Sealed) {
        let mut at = kept.parent;
        let mut seen = BTreeSet::new();
        while at > past.active && seen.insert(at) {
            at = match store.version(list.id, at)? {
                Some(version) => version.parent,
                None => past.parents.get(&at).copied().unwrap_or_default(),
            };
        }
        if at == past.active {
            return Ok((kept.lineage.until(past.active), false));
        }
    }
    Err(CatalogError::NoSuchVersion {
        list: list.name.clone(),
        version: past.active.0,
        why: "it was active then, and neither it nor what was made of it by edits is kept any more ([store] versions_max, version_days_max)".to_owned(),
    })
}

/// The entries, of all lists, whose hashes lie within a distance, with that of the nearest.
fn near(store: &Store, hash: &HashValue, radius: u16) -> Result<Vec<(EntryNo, u16)>, CatalogError> {
    let (kind, bytes) = (hash.kind(), hash.to_vec());
    let mut found: Vec<(EntryNo, u16)> = Vec::new();
    for chunk in store.columns_from(kind as u8, EntryNo(0))? {
        let (_, chunk) = chunk?;
        let whole = columns::decode_any(kind, &chunk, |entry, other| {
            let distance = distance(kind, &bytes, other).filter(|distance| *distance <= radius);
            found.extend(distance.map(|distance| (entry, distance)));
        });
        whole.ok_or_else(|| stored::damaged(kind as u8))?;
    }
    found.sort_unstable();
    found.dedup_by_key(|(entry, _)| *entry);
    Ok(found)
}

fn distance(kind: HashKind, a: &[u8], b: &[u8]) -> Option<u16> {
    match kind {
        HashKind::Pdq => Some(Pdq::from_bytes(a)?.distance(&Pdq::from_bytes(b)?)),
        kind if kind.is_digest() => (a == b).then_some(0),
        _ => Some(a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones() as u16).sum()),
    }
}
