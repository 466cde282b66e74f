//! Which entries of a new version would match what they should not?
//!
//! Lists carry hashes that say nothing of one picture: of blank pictures and borders, of placeholders that a tool wrote on many records, of
//! templates that thousands share. Before a version is activated for the first time, the entries that it opens are checked; what is found is
//! quarantined by a mark, with the reason for its note, and does not match until somebody has looked at it.
//!
//! An entry that a person has marked is left alone, whatever is found. A quarantine that this check set goes when a later version has the entry with
//! other hashes that nothing is found in. Invariant: memory holds the entries' numbers, a sample of the hashes and the findings, however
//! large the version is. Absent: 64-bit hashes are checked for values that many entries have, and for nothing else.

mod crowds;
mod featureless;
mod shared;

use std::collections::BTreeMap;

use rayon::prelude::*;

use self::crowds::Crowds;
pub(super) use self::featureless::Featureless;
use self::shared::Shared;
use super::columns::KINDS;
use super::{Catalog, CatalogError, Finding, FindingKind, Hold, ImportOptions, ImportReport, advance, lock, stored, told};
use crate::entry::shown::counted;
use crate::entry::{
    Bits, Caller, ChangeOp, EntryNo, HashKind, HashList, Lineage, ListId, ListVersion, MARK_NOTE_BYTES_MAX, Mark, MarkKind,
    Marked, Pdq, Polarity, VersionNo,
};
use crate::snapshot::Alive;
use crate::store::Store;

/// Findings that a report names.
const FINDINGS_SHOWN_MAX: usize = 1_000;
/// Findings of one version that are quarantined: each is a change of its own.
const FINDINGS_MAX: u64 = 10_000;
/// Fewer than this are quarantined, whatever their share of the version.
const FINDINGS_SURE: u64 = 100;
/// Marks that are set at a time: changes wait as long.
const MARKED_AT_ONCE: usize = 200;
/// Hashes that are judged together.
const BATCH: usize = 16 * 1024;
/// Who sets the marks.
const CHECK: &str = "list check";

/// What a check came to.
#[derive(Default)]
pub(super) struct Findings {
    /// What was found first of each entry.
    of: BTreeMap<EntryNo, (FindingKind, String)>,
    /// Entries that were checked.
    checked: Alive,
    lineage: Lineage,
}

impl Findings {
    fn add(&mut self, entry: EntryNo, kind: FindingKind, reason: impl FnOnce() -> String) {
        self.of.entry(entry).or_insert_with(|| (kind, reason()));
    }

    pub fn len(&self) -> u64 {
        self.of.len() as u64
    }

    /// Whether so many that somebody should look before the version is used.
    pub fn are_many(&self, percent_max: u32) -> bool {
        let checked = self.checked.count();
        let many = self.len().saturating_mul(100) > u64::from(percent_max).saturating_mul(checked);
        percent_max > 0 && many && self.len() >= FINDINGS_SURE
    }
}

impl Catalog {
    /// Checks what a version opens, seen from what is active. A version that look-ups have seen is not checked, nor is a negative list, which is there
    /// for what is generic.
    pub(super) fn check(&self, list: &HashList, version: &ListVersion) -> Result<Findings, CatalogError> {
        if version.activated || list.polarity == Polarity::Negative || !self.imports.check {
            return Ok(Findings::default());
        }
        let opened = advance::difference(&self.store(), list.id, list.active, version.version)?.opened;
        let mut found = Findings { checked: opened, lineage: version.lineage.clone(), ..Findings::default() };
        let neighbours_max = u64::from(self.imports.neighbours_max);
        self.build.install(|| check(&self.store(), list.id, version.version, &mut found, neighbours_max))?;
        Ok(found)
    }

    /// Has an import say what was found, and hold its version where that is much.
    pub(super) fn hold_findings(
        &self,
        list: &HashList,
        found: &Findings,
        options: &ImportOptions,
        report: &mut ImportReport,
    ) -> Result<(), CatalogError> {
        report.findings = found.len();
        let store = self.store();
        for (entry, (kind, reason)) in found.of.iter().take(FINDINGS_SHOWN_MAX) {
            let content = store.entry(list.id, *entry)?;
            let entry_id = content.map(|content| content.id).unwrap_or_default();
            report.found.push(Finding { entry_id, kind: *kind, reason: reason.clone() });
        }
        if found.len() == 0 {
            return Ok(());
        }
        let mut by_kind: BTreeMap<FindingKind, u64> = BTreeMap::new();
        found.of.values().for_each(|(kind, _)| *by_kind.entry(*kind).or_default() += 1);
        let kinds: Vec<String> = by_kind.iter().map(|(kind, n)| format!("{n} {}", kind.name())).collect();
        let entries = counted(found.len(), "entry", "entries");
        let kinds = kinds.join(", ");
        let most = self.imports.findings_percent_max;
        if found.are_many(most) && !options.accept || found.len() > FINDINGS_MAX {
            let limit = match found.len() > FINDINGS_MAX {
                true => format!("at most {FINDINGS_MAX} can be quarantined"),
                false => format!("the limit is {most} % of {} ([import] findings_percent_max)", found.checked.count()),
            };
            report.warnings.insert(0, format!("not activated: {entries} would be quarantined ({kinds}), and {limit}"));
            report.held.push(Hold::Findings);
        } else {
            let when = match options.activate && report.held.is_empty() {
                true => "quarantined, so not matched",
                false => "to be quarantined when the version is activated",
            };
            report
                .warnings
                .push(format!("{entries} {when} ({kinds}); list find --marked shows them, list enable --entry releases one"));
        }
        Ok(())
    }

    /// Marks what was found, and takes off this check's marks of entries in which nothing is found any more. Called before the version is
    /// activated, so that what was found never matches.
    pub(super) fn quarantine(&self, list: &HashList, found: &Findings) -> Result<(), CatalogError> {
        if found.len() > FINDINGS_MAX {
            return Err(CatalogError::Refused(format!(
                "{} entries would be quarantined, and at most {FINDINGS_MAX} can be: remove them from the file",
                found.len()
            )));
        }
        let (store, by) = (self.store(), Caller(CHECK.to_owned()));
        for some in wanted_marks(&store, list.id, found)?.chunks(MARKED_AT_ONCE) {
            let commit = lock(&self.commit);
            let mut last = None;
            let marked = some.iter().try_for_each(|(id, mark)| -> Result<(), CatalogError> {
                let known = store.mark(list.id, id)?;
                // A person's mark stays, also one of this moment.
                let is_free = if mark.is_some() { known.is_none() } else { known.as_ref().is_some_and(is_own) };
                if is_free {
                    let op = ChangeOp::SetMark { list: list.id, id: id.clone(), mark: mark.clone() };
                    last = Some(self.apply_with(&by, op, &[])?);
                    told::marked(&by, list, mark.as_ref());
                }
                Ok(())
            });
            // Also where one of them failed.
            last.map_or(Ok(()), |seq| self.follow(&commit, seq, None)).and(marked)?;
        }
        Ok(())
    }
}

/// The marks that follow from what was found, those to be taken off first.
fn wanted_marks(store: &Store, list: ListId, found: &Findings) -> Result<Vec<(String, Option<Mark>)>, CatalogError> {
    let mut wanted = Vec::new();
    for marked in store.marks(list)? {
        let marked = marked?;
        if is_own(&marked) {
            let now = store.id_history(list, &marked.id)?.in_version(&found.lineage).map(|known| known.entry);
            if now.is_some_and(|entry| found.checked.contains(entry) && !found.of.contains_key(&entry)) {
                wanted.push((marked.id, None));
            }
        }
    }
    for (entry, (_, reason)) in &found.of {
        let mark = Mark { kind: MarkKind::Quarantined, until_ms: None, note: reason.clone() };
        wanted.extend(store.entry(list, *entry)?.map(|content| (content.id, Some(mark))));
    }
    Ok(wanted)
}

/// Whether a mark is one that a check set.
pub(super) fn is_own(marked: &Marked) -> bool {
    marked.by == CHECK && marked.mark.kind == MarkKind::Quarantined
}

/// The mark of an entry that a person releases from quarantine.
pub(super) fn released(known: &Marked) -> Mark {
    let mut note = format!("released: {}", known.mark.note);
    note.truncate(note.floor_char_boundary(MARK_NOTE_BYTES_MAX));
    Mark { kind: MarkKind::Noted, until_ms: None, note }
}

fn check(store: &Store, list: ListId, version: VersionNo, found: &mut Findings, neighbours_max: u64) -> Result<(), CatalogError> {
    if found.checked.is_empty() {
        return Ok(());
    }
    let checked = found.checked.clone();
    let mut shared = Shared::new(checked.count());
    let mut batch = Vec::with_capacity(BATCH);
    for kind in KINDS {
        stored::each_hash(store, list, kind, &checked, &mut |entry, hash| {
            shared.count(kind, hash);
            if kind == HashKind::Pdq {
                batch.extend(Pdq::from_bytes(hash).map(|hash| (entry, hash)));
                if batch.len() == BATCH {
                    judge(&mut batch, found);
                }
            }
        })?;
    }
    judge(&mut batch, found);
    // What was counted may be a little less than there is: once more, and exactly.
    if shared.narrow() {
        for kind in KINDS {
            stored::each_hash(store, list, kind, &checked, &mut |_, hash| shared.recount(kind, hash))?;
        }
        for kind in KINDS {
            stored::each_hash(store, list, kind, &checked, &mut |entry, hash| {
                if let Some(entries) = shared.entries_with(kind, hash) {
                    let reason = || format!("{entries} of the new entries have this {kind} hash");
                    found.add(entry, FindingKind::Shared, reason);
                }
            })?;
        }
    }
    // Of a small delta the rest of the list stays unread.
    if neighbours_max == 0 || checked.count() <= advance::POINT_READS_MAX as u64 {
        return Ok(());
    }
    let whole = stored::entries_of(store, list, version)?;
    let mut crowds = Crowds::new(whole.count(), neighbours_max);
    stored::each_hash(store, list, HashKind::Pdq, &whole, &mut |_, hash| {
        if shared.entries_with(HashKind::Pdq, hash).is_none() {
            crowds.sample(hash);
        }
    })?;
    if crowds.begin() {
        stored::each_hash(store, list, HashKind::Pdq, &checked, &mut |entry, hash| crowds.push(entry, hash))?;
        for (entry, neighbours) in crowds.finish() {
            found.add(entry, FindingKind::Crowded, || {
                format!("the PDQ hash is near to those of some {neighbours} entries of the list")
            });
        }
    }
    Ok(())
}

fn judge(batch: &mut Vec<(EntryNo, Pdq)>, found: &mut Findings) {
    let judged = batch.par_iter().filter_map(|(entry, hash)| Some((*entry, Featureless::known().judge(hash)?)));
    for (entry, (kind, reason)) in judged.collect::<Vec<_>>() {
        found.add(entry, kind, || reason);
    }
    batch.clear();
}
