//! Which entries of a new version would match what they should not?
//!
//! Lists carry hashes that say nothing of one picture: of blank pictures and borders, of placeholders that a tool wrote on many records, of
//! templates that thousands share. Before a version is activated for the first time, the entries that it opens are checked; what is found is
//! quarantined by a mark, with the reason for its note, and does not match until somebody has looked at it.
//!
//! An entry that a person has marked is left alone, whatever is found. A quarantine that this check set is about the content that was found: it goes
//! and comes with it. Invariant: memory holds the entries' numbers, a sample of the hashes, the findings, and the hashes of the benign sample and
//! of negative lists, however large the version is. Absent: 64-bit hashes are checked for values that many entries have, and for nothing else.

mod crowds;
mod featureless;
mod findings;
mod others;
mod shared;

use std::collections::BTreeMap;

use rayon::prelude::*;

use self::crowds::Crowds;
pub(super) use self::featureless::Featureless;
use self::findings::BATCH;
pub use self::findings::Findings;
use self::others::Others;
use self::shared::Shared;
use super::columns::KINDS;
use super::{Catalog, CatalogError, Finding, FindingKind, Hold, ImportOptions, ImportReport, advance, lock, stored, told};
use crate::entry::shown::counted;
use crate::entry::{
    Bits, Caller, ChangeOp, EntryNo, HashKind, HashList, ListId, ListVersion, MARK_NOTE_BYTES_MAX, Mark, MarkKind, Marked, Pdq,
    Polarity, VersionNo,
};
use crate::store::Store;

/// Findings that a report names.
const FINDINGS_SHOWN_MAX: usize = 1_000;
/// Findings of one version that are quarantined: each is a change of its own.
pub const FINDINGS_MAX: u64 = 10_000;
/// Marks that are set at a time: changes wait as long.
const MARKED_AT_ONCE: usize = 200;
/// Who sets the marks.
const CHECK: &str = "list check";

impl Catalog {
    /// Checks what a version opens, seen from what is active. A version that look-ups have seen is not checked. A negative list is there for what is generic:
    /// of its entries those are found that positive lists have.
    pub(super) fn check(&self, list: &HashList, version: &ListVersion) -> Result<Findings, CatalogError> {
        // Without a check what is quarantined stays so, whatever else its source says of it.
        if version.activated || !self.imports.check && list.marks_changed == 0 {
            return Ok(Findings::default());
        }
        let store = self.store();
        let opened = advance::difference(&store, list.id, list.active, version.version)?.opened;
        let (lineage, before) = (version.lineage.clone(), advance::lineage(&store, list.id, list.active)?);
        let mut found = Findings { checked: opened, lineage, before, ..Findings::default() };
        if found.checked.is_empty() || !self.imports.check {
            found.is_partial = !self.imports.check;
            return Ok(found);
        }
        self.build.install(|| match list.polarity {
            Polarity::Negative => {
                others::contradicted(&store, self.published.as_ref().map(|p| p.load()).as_deref(), list, &mut found)
            }
            Polarity::Positive => {
                let (mut others, warning) = Others::of(&store, list, &self.imports.benign)?;
                found.is_partial = warning.is_some();
                found.warning = warning;
                self.check_against(&store, list, version.version, &mut others, &mut found)?;
                found.harmless = others.harmless();
                Ok(())
            }
        })?;
        // What a person has looked at is no finding.
        for marked in store.marks(list.id)? {
            let marked = marked?;
            if !is_own(&marked)
                && let Some(known) = store.id_history(list.id, &marked.id)?.in_version(&found.lineage)
            {
                found.of.remove(&known.entry);
            }
        }
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
        report.warnings.extend(found.warning.clone());
        if found.harmless > 0 {
            let entries = counted(found.harmless, "new entry is in a negative list", "new entries are in negative lists");
            report.warnings.push(format!(
                "{entries} too: negative lists suppress their near matches (list overlap tells how much two lists share)"
            ));
        }
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
            report.warnings.push(format!(
                "{entries} {when} ({kinds}); then list find --marked shows them, and list enable --entry releases one"
            ));
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
            let mut free = Vec::new();
            for (id, mark) in some {
                let known = store.mark(list.id, id)?;
                if known.as_ref().map(|known| &known.mark) == mark.as_ref() {
                    continue;
                }
                // A person's mark stays, also one of this moment.
                if known.as_ref().map_or(mark.is_some(), is_own) {
                    free.push((id, mark));
                }
            }
            // Each would take milliseconds to be on the disk; the last one takes those before it along.
            let (mut last, of) = (None, free.len());
            let marked = free.into_iter().enumerate().try_for_each(|(n, (id, mark))| -> Result<(), CatalogError> {
                let op = ChangeOp::SetMark { list: list.id, id: id.clone(), mark: mark.clone() };
                last = Some(if n + 1 == of { self.apply_with(&by, op, &[])? } else { self.apply_later(&by, op)? });
                told::marked(&by, list, mark.as_ref());
                Ok(())
            });
            // Also where one of them failed.
            last.map_or(Ok(()), |seq| self.follow(&commit, seq, None)).and(marked)?;
        }
        Ok(())
    }

    fn check_against(
        &self,
        store: &Store,
        of: &HashList,
        version: VersionNo,
        others: &mut Others,
        found: &mut Findings,
    ) -> Result<(), CatalogError> {
        let list = of.id;
        let checked = found.checked.clone();
        let mut shared = Shared::new(checked.count());
        let mut batch = Vec::with_capacity(BATCH);
        for kind in KINDS {
            stored::each_hash(store, list, kind, &checked, &mut |entry, hash| {
                shared.count(kind, hash);
                if kind == HashKind::Pdq {
                    batch.extend(Pdq::from_bytes(hash).map(|hash| (entry, hash)));
                    if batch.len() == BATCH {
                        judge(&mut batch, others, found);
                    }
                } else if kind.is_digest() {
                    others.judge_digest(entry, kind, hash);
                }
            })?;
        }
        judge(&mut batch, others, found);
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
        let neighbours_max = u64::from(self.imports.neighbours_max);
        if neighbours_max == 0 {
            return Ok(());
        }
        // A small delta is looked up, where the list is: the rest of it stays unread.
        if checked.count() <= advance::POINT_READS_MAX as u64 && !of.disabled {
            let mut hashes = Vec::new();
            let mut each = |entry, hash: &[u8]| hashes.extend(Pdq::from_bytes(hash).map(|hash| (entry, hash)));
            stored::each_hash(store, list, HashKind::Pdq, &checked, &mut each)?;
            let crowded = match &self.published {
                Some(published) => crowds::of_few(&published.load(), list, &hashes, neighbours_max),
                None => crowds::of_few_in(&hashes, neighbours_max, |each| {
                    let whole = stored::entries_of(store, list, version)?;
                    stored::each_hash(store, list, HashKind::Pdq, &whole, each)
                })?,
            };
            for (entry, neighbours) in crowded {
                found.add(entry, FindingKind::Crowded, || {
                    format!("the PDQ hash is near to those of {neighbours} entries of the list")
                });
            }
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
}

/// The marks that follow from what was found, those to be taken off first. One is about contents: it is without effect on others that the id has had or
/// gets, and comes back with them.
fn wanted_marks(store: &Store, list: ListId, found: &Findings) -> Result<Vec<(String, Option<Mark>)>, CatalogError> {
    let mut wanted = BTreeMap::new();
    for marked in store.marks(list)? {
        let marked = marked?;
        if !is_own(&marked) {
            continue;
        }
        let history = store.id_history(list, &marked.id)?;
        let now = history.in_version(&found.lineage).map(|known| known.entry).filter(|entry| found.checked.contains(*entry));
        let was_in_force = history.in_version(&found.before).is_some_and(|known| marked.mark.is_about(known.entry));
        let mut contents = marked.mark.contents.clone();
        contents.retain(|entry| history.has(*entry));
        match now {
            // What was not looked at stays as what it was.
            Some(now) if found.is_partial && was_in_force && !marked.mark.contents.is_empty() => contents.push(now),
            // Set by an earlier version of hashwarden, about whatever the id has.
            Some(_) if !found.is_partial && marked.mark.contents.is_empty() => {}
            _ if marked.mark.contents.is_empty() => continue,
            _ => {}
        }
        contents.sort_unstable();
        contents.dedup();
        if contents != marked.mark.contents || contents.is_empty() {
            wanted.insert(marked.id, (!contents.is_empty()).then_some(Mark { contents, ..marked.mark }));
        }
    }
    for (entry, (_, reason)) in &found.of {
        let Some(content) = store.entry(list, *entry)? else { continue };
        let before = match wanted.remove(&content.id) {
            Some(before) => before,
            None => store.mark(list, &content.id)?.filter(is_own).map(|marked| marked.mark),
        };
        let mut contents = before.map_or_else(Vec::new, |mark| mark.contents);
        contents.push(*entry);
        contents.sort_unstable();
        contents.dedup();
        let mark = Mark { contents, kind: MarkKind::Quarantined, until_ms: None, note: reason.clone() };
        wanted.insert(content.id, Some(mark));
    }
    let (off, on): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(_, mark)| mark.is_none());
    Ok(off.into_iter().chain(on).collect())
}

/// Whether a mark is one that a check set.
pub(super) fn is_own(marked: &Marked) -> bool {
    marked.by == CHECK && marked.mark.kind == MarkKind::Quarantined
}

/// The mark of an entry that a person releases from quarantine.
pub(super) fn released(known: &Marked) -> Mark {
    let mut note = format!("released: {}", known.mark.note);
    note.truncate(note.floor_char_boundary(MARK_NOTE_BYTES_MAX));
    Mark { contents: Vec::new(), kind: MarkKind::Noted, until_ms: None, note }
}

fn judge(batch: &mut Vec<(EntryNo, Pdq)>, others: &mut Others, found: &mut Findings) {
    let judged = batch.par_iter().filter_map(|(entry, hash)| Some((*entry, Featureless::known().judge(hash)?)));
    for (entry, (kind, reason)) in judged.collect::<Vec<_>>() {
        found.add(entry, kind, || reason);
    }
    others.judge(batch, found);
    batch.clear();
}
