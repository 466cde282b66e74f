//! A list file to a new version of a list: what the file holds is what the version holds.
//!
//! Rows go to the store's scratch family, keyed by source id, which sorts them on the disk; then one merge with what is active yields
//! what is added, changed and gone. Memory holds a chunk of rows at a time, whatever the file's size and order. Rows with the
//! same id are one entry with the hashes of all of them; a row that says deleted takes back what came before it. What the file does not
//! have goes only where no other source has it; a delta takes out what it says is deleted, and nothing else. Look-ups
//! see nothing of it until the version is whole, its indexes are built and it is activated. Nothing waits meanwhile: what is added to
//! the list and removed from it while the file is read is kept in the version that is activated.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::bundles::{self, Bundles};
use super::health::Findings;
use super::hold::{CATEGORIES_MAX, strange_categories};
use super::reading::{STEP, note_bad, read_to_scratch};
use super::rows::{self, Joined, joined};
use super::sources::check_source;
use super::version::{Dropped, Put, VersionWriter, next_version};
use super::{
    Began, Catalog, CatalogError, Fetched, Files, ImportFile, ImportOptions, ImportReport, Phase, Progress, lock, marks, now_ms,
    told,
};
use crate::entry::shown::counted;
use crate::entry::{Caller, HashList, ListId, ListVersion, MadeBy, Sources, Status, VersionNo, VersionState};
use crate::snapshot::ListMarks;
use crate::store::{IdHistory, Scan, Store, digest_add, said_digest};

/// Looking up one id takes as long as reading so many in their order.
const POINT_READ_IDS: u64 = 16;
/// Imports of which it is known that they were: as many as may come to an end while one is received.
const IMPORTED_MAX: usize = 1_024;

impl Catalog {
    /// Imports one file as the list's new version, and activates it unless told not to.
    pub fn import(
        &self,
        by: &Caller,
        name: &str,
        options: &ImportOptions,
        input: &mut dyn BufRead,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ImportReport, CatalogError> {
        let mut file = std::iter::once(Ok(ImportFile { name: String::new(), input: Box::new(input) }));
        self.import_files(by, name, self.begin_import(name)?, options, &mut file, progress)
    }

    /// The moment when an import begins, which may be long before its file is there: edits of the list from then on are kept.
    pub fn begin_import(&self, name: &str) -> Result<Began, CatalogError> {
        let _write = self.lock(); // so that no edit is in between
        let list = self.find(name)?;
        let next = next_version(&self.store(), &list)?;
        let moment = self.moments.fetch_add(1, Ordering::Relaxed);
        Ok(Began { list: list.id, next, moment, feed: Sources::IMPORT, _token: self.begun.clone() })
    }

    /// The same for an import that began earlier, of one file or of several that are one: pages of a dump.
    pub fn import_files(
        &self,
        by: &Caller,
        name: &str,
        began: Began,
        options: &ImportOptions,
        files: Files<'_, '_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ImportReport, CatalogError> {
        let Ok(importing) = self.importing.try_lock() else { return Err(CatalogError::Busy) };
        let (list, started) = (self.find_again(name, &began)?.id, Instant::now());
        self.store().scratch_clear()?;
        let imported = self.import_rows(by, name, &began, options, files, progress);
        let cleared = self.store().scratch_clear();
        drop((importing, began));
        // Also after a failure, which leaves rows that no version holds.
        self.retire(list, 0);
        if options.dry_run {
            let report = imported?;
            return cleared.map(|()| report).map_err(CatalogError::from);
        }
        let report = imported.inspect_err(|error| told::not_imported(by, name, options, error))?;
        told::imported(by, name, options, &report, started.elapsed());
        if report.activated || report.version.is_none() {
            self.note_import(list, now_ms());
        }
        cleared?;
        Ok(report)
    }

    fn import_rows(
        &self,
        by: &Caller,
        name: &str,
        began: &Began,
        options: &ImportOptions,
        files: Files<'_, '_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ImportReport, CatalogError> {
        let mut report = ImportReport::default();
        let list = self.find_again(name, began)?;
        let taken = bundles::taken(&self.store(), list.id)?;
        let bundles = Bundles { signers: &self.imports.trusted_signers, list: &list, accept: options.accept, taken };
        let read = read_to_scratch(&self.store(), options, self.imports.bytes_max, &bundles, files, &mut report, progress);
        let (names, bundle) = read?;
        let bytes = report.bytes;

        // What no version holds stays until this is done: the file may have it back.
        let _rows = lock(&self.rows);
        let store = self.store();
        let list = self.find_again(name, began)?;
        self.undo_abandoned(&list, MadeBy::Import)?;
        let base = list.active;
        let rows_active = store.version(list.id, base)?.map_or(0, |version| version.rows);
        let (feed, new_source) = self.feed(&list, options)?;
        let began = &Began { feed, ..began.clone() };
        let mut writer = VersionWriter::new(self, &store, by, &list, base, (&options.source, MadeBy::Import), feed)?;
        let dry = options.dry_run;
        if dry {
            writer = writer.dry();
        }
        if let Some(name) = new_source {
            writer = writer.adding_source(name);
        }
        let mut categories = BTreeSet::new();
        // Of a small delta each id is looked up; else all ids are read in their order.
        let by_id = options.delta && report.rows.saturating_mul(POINT_READ_IDS) < rows_active;
        let mut known = if by_id { Known::ById } else { Known::in_order(store.ids(list.id)?)? };
        let mut merge = Merge {
            list: list.id,
            store: &store,
            files: &names,
            delta: options.delta,
            others_deleted: 0,
            others_changed: 0,
            stopped: marks::in_force(&store, list.id)?,
            stopped_in_file: 0,
        };
        let written = writer.gather(|writer| {
            merge.run(&mut known, writer, &mut report, &mut categories, &mut |report, rows| {
                progress(Progress { phase: Phase::Writing, bytes, rows, rows_bad: report.rows_bad });
            })
        });
        report.entries = (rows_active + report.added).saturating_sub(report.gone);
        let finished = written.and_then(|()| match () {
            // What a list's owner took back may be all that there was to come.
            () if report.entries == 0 && (rows_active > 0 || options.fetched == Fetched::No) => Err(CatalogError::BadFile(
                "the file would leave the list empty; delete or disable the list if that is intended".to_owned(),
            )),
            () if dry => Ok(None),
            () => match self.same(&list, writer.holds(), writer.said())? {
                Some(same) => {
                    writer.give_up();
                    Ok(Some(same))
                }
                None => self.finished(&mut writer, list.id),
            },
        });
        report.version = match finished {
            Ok(version) => version,
            Err(error) => {
                writer.give_up();
                // Deleted while it was written.
                return Err(self.find_again(name, began).err().unwrap_or(error));
            }
        };
        report.compared_with = base;
        report.warnings.extend(strange_categories(&list, &categories));
        merge.warn(&mut report);
        self.hold(&mut report, options, rows_active);
        let mut found = Findings::default();
        if let Some(version) = report.version {
            let checked = self.sealed(&list, version).and_then(|version| self.check(&list, &version));
            found = checked.map_err(|error| self.find_again(name, began).err().unwrap_or(error))?;
            self.hold_findings(&list, &found, options, &mut report)?;
        }
        if let Some(bundle) = bundle.filter(|_| !dry) {
            self.note_bundle(list.id, &bundle)?;
        }
        if let Some(version) = report.version
            && options.activate
            && report.held.is_empty()
        {
            progress(Progress { phase: Phase::Indexing, bytes, rows: report.entries, rows_bad: report.rows_bad });
            let prepared =
                self.sealed(&list, version).and_then(|imported| Ok((imported, self.transition(list.id, base, version)?)));
            // Deleted while its indexes were built.
            let (imported, transition) = prepared.map_err(|error| self.find_again(name, began).err().unwrap_or(error))?;
            self.quarantine(&list, &found).map_err(|error| self.find_again(name, began).err().unwrap_or(error))?;
            let write = self.lock();
            let list = self.find_again(name, began)?;
            let (version, edits) = self.activate_import(by, &list, &imported, began, transition)?;
            drop(write);
            report.version = Some(version);
            report.entries = store.version(list.id, version)?.map_or(report.entries, |version| version.rows);
            if edits > 0 {
                let kept = counted(
                    edits,
                    "entry that was added or removed by hand during the import stays",
                    "entries that were added or removed by hand during the import stay",
                );
                report.warnings.push(format!("{kept} so, whatever the file says"));
            }
            self.keep_trees()?;
            report.activated = true;
        }
        Ok(report)
    }

    /// The newest version that started from the active one, and holds and says the same as another one would: one that waits to be accepted,
    /// or was rolled back.
    fn same(&self, list: &HashList, holds: (u64, [u8; 32]), said: [u8; 32]) -> Result<Option<VersionNo>, CatalogError> {
        let versions = self.store().versions(list.id)?;
        let newer = versions.iter().rev().take_while(|v| v.version > list.active);
        for version in newer.filter(|v| v.state == VersionState::Sealed) {
            let holds_same = version.parent == list.active && (version.rows, version.digest) == holds;
            if holds_same && self.said_by(version)? == said {
                return Ok(Some(version.version));
            }
        }
        Ok(None)
    }

    /// What a version says of the entries that it opened or described, as [`VersionWriter::said`] does: it is not in the version's digest.
    fn said_by(&self, version: &ListVersion) -> Result<[u8; 32], CatalogError> {
        let mut said = [0; 32];
        for id in self.store().ids(version.list)? {
            let (_, history) = id?;
            let told = history.said_by(version.version, &version.lineage);
            told.for_each(|known| digest_add(&mut said, &said_digest(&known.digest, known.brief.sources, &known.brief.details)));
        }
        Ok(said)
    }

    /// Notes a version that holds what a file does: to an import that began before, it is no edit.
    fn note_imported(&self, list: ListId, version: Option<VersionNo>) {
        let mut imported = lock(&self.imported);
        imported.extend(version.map(|version| (list, version)));
        while imported.len() > IMPORTED_MAX {
            imported.pop_front();
        }
    }

    /// Another list of the same name, made meanwhile, is not the one that was meant.
    fn find_again(&self, name: &str, began: &Began) -> Result<HashList, CatalogError> {
        Some(self.find(name)?).filter(|list| list.id == began.list).ok_or_else(|| CatalogError::NoSuchList(name.to_owned()))
    }

    /// The list's source that the file comes from, and its name where it is new.
    fn feed<'o>(&self, list: &HashList, options: &'o ImportOptions) -> Result<(Sources, Option<&'o str>), CatalogError> {
        check_source(&options.feed)?;
        if let Some(feed) = list.source(&options.feed) {
            return Ok((feed, None));
        }
        let next = Sources::NAMES.len() + list.sources.len();
        let full = || CatalogError::Refused(format!("the list has {} sources, which is the limit", Sources::MAX));
        Ok((Sources::numbered(next).ok_or_else(full)?, Some(&options.feed)))
    }

    fn finished(&self, writer: &mut VersionWriter<'_>, list: ListId) -> Result<Option<VersionNo>, CatalogError> {
        let version = writer.finish(false, None)?;
        self.note_imported(list, version);
        Ok(version)
    }
}

/// What is known of the ids that a file has.
enum Known<'s> {
    /// Looked up one by one.
    ById,
    /// All that the list has, in the file's order: the form of an id, and what is known of it.
    InOrder { ids: Scan<'s, (Vec<u8>, IdHistory)>, next: Option<(Vec<u8>, IdHistory)> },
}

impl<'s> Known<'s> {
    fn in_order(mut ids: Scan<'s, (Vec<u8>, IdHistory)>) -> Result<Self, CatalogError> {
        let next = ids.next().transpose()?;
        Ok(Known::InOrder { ids, next })
    }

    /// The next id before this form that the file does not have; with no form any.
    fn passed(&mut self, form: Option<&[u8]>) -> Result<Option<IdHistory>, CatalogError> {
        let Known::InOrder { ids, next } = self else { return Ok(None) };
        let Some((_, passed)) = next.take_if(|(known, _)| form.is_none_or(|form| **known < *form)) else { return Ok(None) };
        *next = ids.next().transpose()?;
        Ok(Some(passed))
    }

    fn of(&mut self, store: &Store, list: ListId, form: &[u8], id: &str) -> Result<IdHistory, CatalogError> {
        let Known::InOrder { ids, next } = self else { return Ok(store.id_history(list, id)?) };
        let Some((_, known)) = next.take_if(|(known, _)| **known == *form) else { return Ok(IdHistory::default()) };
        *next = ids.next().transpose()?;
        Ok(known)
    }
}

/// A file's rows, laid beside what a version of the list holds.
struct Merge<'s> {
    list: ListId,
    store: &'s Store,
    /// The names of the import's files, by number.
    files: &'s [String],
    delta: bool,
    /// Entries that the file says are deleted, and that the list has from other sources.
    others_deleted: u64,
    /// Entries that other sources alone had, and that have another content now.
    others_changed: u64,
    /// How many of the file's entries have a mark that takes out whatever content they have.
    stopped: ListMarks,
    stopped_in_file: u64,
}

impl Merge<'_> {
    fn run(
        &mut self,
        known_ids: &mut Known<'_>,
        writer: &mut VersionWriter<'_>,
        report: &mut ImportReport,
        categories: &mut BTreeSet<String>,
        progress: &mut dyn FnMut(&ImportReport, u64),
    ) -> Result<(), CatalogError> {
        let mut compared = 0;
        for row in self.store.scratch_iter()? {
            let row = row?;
            let id = String::from_utf8(row.id).map_err(|_| CatalogError::BadFile("an entry id is not UTF-8".to_owned()))?;
            if row.left_out > 0 {
                let first = rows::first(&row.values, self.files);
                return Err(CatalogError::BadFile(format!("too many rows have the id of the one at {first}")));
            }
            while let Some(passed) = known_ids.passed(Some(&row.form))? {
                self.pass(writer, &passed, report)?;
            }
            let known = known_ids.of(self.store, self.list, &row.form, &id)?;
            compared += 1;
            if u64::is_multiple_of(compared, STEP) {
                progress(report, compared);
            }
            match joined(&id, &row.values, self.files) {
                Joined::Entry(entry, details, rows, replaced) => {
                    report.rows_merged += rows - 1 + replaced;
                    if categories.len() < CATEGORIES_MAX && !categories.contains(&entry.category) {
                        categories.insert(entry.category.clone());
                    }
                    self.stopped_in_file +=
                        u64::from(self.stopped.stopped.get(entry.id.as_str()).is_some_and(|contents| contents.is_empty()));
                    report.rows_withdrawn += if entry.status == Status::Withdrawn { rows } else { 0 };
                    let own = known.in_version(writer.lineage()).is_none_or(|known| known.brief.sources.contains(writer.feed()));
                    match writer.put(&known, entry, details)? {
                        Put::Added => report.added += 1,
                        Put::Changed => {
                            report.changed += 1;
                            self.others_changed += u64::from(!own);
                        }
                        Put::Unchanged => report.unchanged += 1,
                        Put::Described => {
                            report.unchanged += 1;
                            report.details_changed += 1;
                        }
                    }
                }
                Joined::Deleted => self.drop_from_feed(writer, &known, true, report)?,
                Joined::Bad(bad) => {
                    note_bad(report, bad);
                    // The entry can't be taken as the file has it; what the list has of it stays.
                    report.unchanged += u64::from(known.in_version(writer.lineage()).is_some());
                }
            }
        }
        while let Some(passed) = known_ids.passed(None)? {
            self.pass(writer, &passed, report)?;
        }
        progress(report, compared);
        Ok(())
    }

    /// An id that the file does not have.
    fn pass(&mut self, writer: &mut VersionWriter<'_>, known: &IdHistory, report: &mut ImportReport) -> Result<(), CatalogError> {
        if self.delta { Ok(()) } else { self.drop_from_feed(writer, known, false, report) }
    }

    fn drop_from_feed(
        &mut self,
        writer: &mut VersionWriter<'_>,
        known: &IdHistory,
        said: bool,
        report: &mut ImportReport,
    ) -> Result<(), CatalogError> {
        match writer.drop_from_feed(known)? {
            Dropped::Gone => report.gone += 1,
            Dropped::Missing => {}
            Dropped::Kept => {
                report.kept += 1;
                report.details_changed += 1;
            }
            Dropped::Others => {
                report.kept += 1;
                self.others_deleted += u64::from(said);
            }
        }
        Ok(())
    }

    fn warn(&self, report: &mut ImportReport) {
        if report.rows_withdrawn > 0 {
            let rows = counted(report.rows_withdrawn, "row is", "rows are");
            report.warnings.push(format!("{rows} withdrawn: in the list, but not matched"));
        }
        if self.others_changed > 0 {
            let entries = counted(self.others_changed, "entry", "entries");
            report.warnings.push(format!(
                "{entries} of other sources got another content, as the file has the same ids: do they mean the same pictures?"
            ));
        }
        if self.stopped_in_file > 0 {
            let entries = counted(self.stopped_in_file, "entry of the file is", "entries of the file are");
            report.warnings.push(format!("{entries} disabled or quarantined, and not matched (see: list find --marked)"));
        }
        if self.others_deleted > 0 {
            let entries = counted(self.others_deleted, "entry that the file deletes stays", "entries that the file deletes stay");
            report.warnings.push(format!("{entries} in the list: the list has them from other sources (see --source)"));
        }
    }
}
