//! A list file to a new version of a list: what the file holds is what the version holds.
//!
//! Rows go to the store's scratch family, keyed by source id, which sorts them on the disk; then one merge with what is active yields
//! what is added, changed and gone. Memory holds a chunk of rows at a time, whatever the file's size and order. Rows with the
//! same id are one entry with the hashes of all of them; a row that says deleted takes back what came before it. What the file does not
//! have goes only where no other source has it; a delta takes out what it says is deleted, and nothing else. Look-ups
//! see nothing of it until the version is whole, its indexes are built and it is activated. Nothing waits meanwhile: what is added to
//! the list and removed from it while the file is read is kept in the version that is activated.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::health::Findings;
use super::hold::{CATEGORIES_MAX, strange_categories};
use super::version::{Dropped, Put, VersionWriter, derived_id, next_version};
use super::{
    BAD_ROWS_MAX, BadRow, Began, Catalog, CatalogError, ImportOptions, ImportReport, Phase, Progress, lock, marks, now_ms, told,
};
use crate::entry::shown::{counted, without_hashes};
use crate::entry::{
    Caller, Details, Entry, HashKind, HashList, HashValue, ListId, ListVersion, MadeBy, Sources, Status, VersionNo, VersionState,
    check_list_name,
};
use crate::lists::{self, Format, LeftOut, Row};
use crate::store::{IdHistory, Scan, Store, digest_add, read_details, said_digest, write_details};

/// Looking up one id takes as long as reading so many in their order.
const POINT_READ_IDS: u64 = 16;
/// Rows between two calls of `progress`, and in one batch to the scratch family.
const STEP: u64 = 4096;
/// Bytes in such a batch: rows with details are long.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// What a file's beginning tells its format by.
const HEAD_BYTES: usize = 64 * 1024;
/// Imports of which it is known that they were: as many as may come to an end while one is received.
const IMPORTED_MAX: usize = 1_024;

impl Catalog {
    /// Imports a file as the list's new version, and activates it unless told not to.
    pub fn import(
        &self,
        by: &Caller,
        name: &str,
        options: &ImportOptions,
        input: &mut dyn BufRead,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ImportReport, CatalogError> {
        self.import_begun(by, name, self.begin_import(name)?, options, input, progress)
    }

    /// The moment when an import begins, which may be long before its file is there: edits of the list from then on are kept.
    pub fn begin_import(&self, name: &str) -> Result<Began, CatalogError> {
        let _write = self.lock(); // so that no edit is in between
        let list = self.find(name)?;
        let next = next_version(&self.store(), &list)?;
        let moment = self.moments.fetch_add(1, Ordering::Relaxed);
        Ok(Began { list: list.id, next, moment, feed: Sources::IMPORT, _token: self.begun.clone() })
    }

    /// The same for an import that began earlier.
    pub fn import_begun(
        &self,
        by: &Caller,
        name: &str,
        began: Began,
        options: &ImportOptions,
        input: &mut dyn BufRead,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ImportReport, CatalogError> {
        let Ok(importing) = self.importing.try_lock() else { return Err(CatalogError::Busy) };
        let (list, started) = (self.find_again(name, &began)?.id, Instant::now());
        self.store().scratch_clear()?;
        let imported = self.import_rows(by, name, &began, options, input, progress);
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
        input: &mut dyn BufRead,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ImportReport, CatalogError> {
        let mut report = ImportReport::default();
        read_to_scratch(&self.store(), options, input, &mut report, progress)?;
        if let Some(why) = none_taken(&report) {
            return Err(CatalogError::BadFile(why));
        }
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
            delta: options.delta,
            others_deleted: 0,
            others_changed: 0,
            stopped: marks::stopped(&store, list.id)?,
            stopped_in_file: 0,
        };
        let written = merge.run(&mut known, &mut writer, &mut report, &mut categories, &mut |report, rows| {
            progress(Progress { phase: Phase::Writing, bytes, rows, rows_bad: report.rows_bad });
        });
        report.entries = (rows_active + report.added).saturating_sub(report.gone);
        let finished = written.and_then(|()| match () {
            () if report.entries == 0 => Err(CatalogError::BadFile(
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
        if let Some(version) = report.version
            && options.activate
            && report.held.is_empty()
        {
            progress(Progress { phase: Phase::Indexing, bytes, rows: report.entries, rows_bad: report.rows_bad });
            let prepared =
                self.sealed(&list, version).and_then(|imported| Ok((imported, self.transition(list.id, base, version)?)));
            // Deleted while its indexes were built.
            let (imported, transition) = prepared.map_err(|error| self.find_again(name, began).err().unwrap_or(error))?;
            let write = self.lock();
            let list = self.find_again(name, began)?;
            self.quarantine(&list, &found)?;
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
        if options.feed == LOCAL {
            let why = "source \"local\" is for entries that were added by hand: give the file's source another name";
            return Err(CatalogError::Invalid(why.to_owned()));
        }
        check_list_name(&options.feed).map_err(|_| {
            CatalogError::Invalid(format!("a source is named as a list is: {:?} is no name", without_hashes(&options.feed)))
        })?;
        if without_hashes(&options.feed) != options.feed {
            return Err(CatalogError::Invalid("a source's name must not look like a hash".to_owned()));
        }
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

/// The source that entries added by hand are of.
const LOCAL: &str = Sources::NAMES[1];

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
    delta: bool,
    /// Entries that the file says are deleted, and that the list has from other sources.
    others_deleted: u64,
    /// Entries that other sources alone had, and that have another content now.
    others_changed: u64,
    /// Ids that a mark takes out, and how many of the file's entries are such.
    stopped: HashSet<Box<str>>,
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
                let line = decode(&row.values).map_or(0, |(row, _)| row.line);
                return Err(CatalogError::BadFile(format!("too many rows have the id of the one on line {line}")));
            }
            while let Some(passed) = known_ids.passed(Some(&row.form))? {
                self.pass(writer, &passed, report)?;
            }
            let known = known_ids.of(self.store, self.list, &row.form, &id)?;
            compared += 1;
            if u64::is_multiple_of(compared, STEP) {
                progress(report, compared);
            }
            match joined(&id, &row.values) {
                Joined::Entry(entry, details, rows, replaced) => {
                    report.rows_merged += rows - 1 + replaced;
                    if categories.len() < CATEGORIES_MAX && !categories.contains(&entry.category) {
                        categories.insert(entry.category.clone());
                    }
                    self.stopped_in_file += u64::from(self.stopped.contains(entry.id.as_str()));
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
            report.warnings.push(format!("{rows} withdrawn by the source: in the list, but not matched"));
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

/// Bad rows are counted; the first are kept.
fn note_bad(report: &mut ImportReport, bad: BadRow) {
    report.rows_bad += 1;
    if report.bad.len() < BAD_ROWS_MAX {
        report.bad.push(bad);
    }
}

/// Why a file none of whose rows was taken is refused.
fn none_taken(report: &ImportReport) -> Option<String> {
    let first = report.bad.first().map(BadRow::to_string).unwrap_or_default();
    let ImportReport { rows, rows_bad: bad, rows_unsought: unsought, rows_unread: unread, .. } = *report;
    match report.format {
        Some(Format::Csv) if rows == 0 => return Some("the file has column names and no row below them".to_owned()),
        Some(Format::PdqText) if rows == 0 => return Some("the file has comments and no row".to_owned()),
        _ if rows == 0 => return Some("the file has no entries".to_owned()),
        _ if bad + unsought + unread < rows => return None,
        _ => {}
    }
    if bad == rows {
        return Some(match rows {
            1 => format!("the only row can't be read: {first}"),
            rows => format!("none of the {rows} rows can be read; the first: {first}"),
        });
    }
    let mut why = Vec::new();
    if unsought > 0 {
        why.push("NEGATIVE_CLASS and DISPUTED are left out".to_owned());
    }
    if unread > 0 {
        why.push(format!("{unread} hold signals of kinds that are not read"));
    }
    if bad > 0 {
        why.push(format!("{bad} can't be read; the first: {first}"));
    }
    Some(format!("none of the {rows} rows is to be found: {}", why.join(", and ")))
}

/// Whether an id is the hash itself.
fn is_named_by(id: &str, hash: &HashValue) -> bool {
    // Its length first: most ids are told apart without writing the hash.
    id.len() >= 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()) && hash.hex().eq_ignore_ascii_case(id)
}

fn read_to_scratch(
    store: &Store,
    options: &ImportOptions,
    input: &mut dyn BufRead,
    report: &mut ImportReport,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), CatalogError> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    input.take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(lists::FileError::Io)?;
    if head.is_empty() {
        return Err(lists::FileError::Empty.into());
    }
    let format = match options.format {
        Some(format) => lists::check_named(format, &head).map(|()| format)?,
        None => lists::recognise(&head)?,
    };
    let read = std::cell::Cell::new(0);
    let mut whole = Counted { inner: io::Cursor::new(head).chain(input), read: &read };
    let key = store.entry_id_key();
    let mut batch: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(STEP as usize);
    let mut batch_bytes = 0;
    let mut failed = None;
    report.format = Some(format);
    let mut balanced = 0;
    let (mut unread, mut named_by_hash, mut not_understood) = (None, 0u64, 0u64);
    let layout = lists::read(format, &options.mapping, &mut whole, &mut |row| {
        report.rows += 1;
        match row {
            Ok(row) if row.left_out == Some(LeftOut::OtherSignal) => report.rows_unread += 1,
            Ok(row) if row.left_out == Some(LeftOut::Unsought) && !row.deleted => report.rows_unsought += 1,
            Ok(row) => {
                report.rows_unsought += u64::from(row.left_out.is_some());
                if let Some(column) = row.unread {
                    let (_, n) = unread.get_or_insert((column, 0u64));
                    *n += 1;
                }
                let id = row.id.as_deref().unwrap_or_default();
                named_by_hash += u64::from(row.hashes.iter().any(|hash| is_named_by(id, hash)));
                not_understood += u64::from(row.details.fields.iter().any(|(name, _)| name == lists::STATUS_NOT_UNDERSTOOD));
                for hash in &row.hashes {
                    *report.hashes.entry(hash.kind()).or_default() += 1;
                    balanced += u64::from(is_balanced(hash));
                }
                let (id, value) = encode(&key, row);
                batch_bytes += id.len() + value.len();
                batch.push((id, value));
            }
            Err(bad) => {
                report.rows_bad_in_part += u64::from(bad.loses_hashes);
                note_bad(report, BadRow { line: bad.line, record: bad.record, reason: bad.reason });
            }
        }
        report.bytes = read.get();
        if report.rows.is_multiple_of(STEP) {
            progress(Progress { phase: Phase::Reading, bytes: read.get(), rows: report.rows, rows_bad: report.rows_bad });
        }
        if batch.len() as u64 >= STEP || batch_bytes >= BATCH_BYTES {
            batch_bytes = 0;
            if let Err(error) = store.scratch_put(&mut batch) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    store.scratch_put(&mut batch)?;
    report.columns = layout.columns;
    if let Some((column, n)) = unread {
        let rows = counted(n, "row holds", "rows hold");
        report.warnings.push(format!("{rows} what looks like a hash in a column that is not read, such as column {column}"));
    }
    if named_by_hash > 0 {
        let rows = counted(named_by_hash, "row has", "rows have");
        report
            .warnings
            .push(format!("{rows} a hash as its id; verdicts and comparisons show ids, so they will show these hashes"));
    }
    if report.rows_unsought > 0 {
        let rows = counted(report.rows_unsought, "row is", "rows are");
        report.warnings.push(format!("{rows} NEGATIVE_CLASS or DISPUTED and left out of the new version"));
    }
    if report.rows_unread > 0 {
        let rows = counted(report.rows_unread, "row holds a signal", "rows hold signals");
        report
            .warnings
            .push(format!("{rows} of kinds that are not read, such as texts and URLs, and left out of the new version"));
    }
    if layout.more {
        report.warnings.push("each page in the file names a next one, so the dump may not be complete".to_owned());
    }
    if not_understood > 0 {
        let rows = counted(not_understood, "row has", "rows have");
        report.warnings.push(format!("{rows} a status that is not understood, and match: active, disputed and withdrawn are"));
    }
    if report.rows_bad_in_part > 0 {
        let rows = counted(report.rows_bad_in_part, "bad row has", "bad rows have");
        report.warnings.push(format!("{rows} other hashes that can be read; they are not in the new version either"));
    }
    let pdqs = report.hashes.get(&HashKind::Pdq).copied().unwrap_or(0);
    if pdqs >= BALANCE_ROWS && balanced * 2 < pdqs {
        report.warnings.push(format!(
            "only {balanced} of {pdqs} PDQ hashes have half of their bits set, as PDQ's do: are they SHA-256, or made up?"
        ));
    }
    progress(Progress { phase: Phase::Reading, bytes: read.get(), rows: report.rows, rows_bad: report.rows_bad });
    Ok(())
}

/// Fewer PDQ hashes than this say nothing of where they come from.
const BALANCE_ROWS: u64 = 100;

/// Whether a PDQ hash has some half of its bits set. PDQ compares each coefficient with their median, so nearly every one has;
/// of random bits, and so of digests of the same length, a quarter has.
fn is_balanced(hash: &HashValue) -> bool {
    let HashValue::Pdq(hash) = hash else { return false };
    let ones: u32 = hash.0.iter().map(|word| word.count_ones()).sum();
    (126..=130).contains(&ones)
}

/// Counts what was read, for the progress bar.
struct Counted<'a, R> {
    inner: R,
    read: &'a std::cell::Cell<u64>,
}

impl<R: BufRead> Read for Counted<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.read.set(self.read.get() + n as u64);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.read.set(self.read.get() + n as u64);
        self.inner.consume(n);
    }
}

/// A row in the scratch family: id, and `line u64, record u64, as of u64 (0: it joins others), deleted u8, status u8, category length u8,
/// category, hashes u8, n x (kind u8, hash), details length u32, details`. Values of one id stand one behind the other.
fn encode(key: &[u8; 32], row: Row) -> (Vec<u8>, Vec<u8>) {
    let id = row.id.unwrap_or_else(|| derived_id(key, &row.hashes));
    let as_of = row.as_of.map_or(0, |ms| ms.saturating_add(1));
    let mut value = [row.line, row.record, as_of].map(u64::to_be_bytes).concat();
    value.extend_from_slice(&[u8::from(row.deleted), row.status as u8, row.category.len() as u8]);
    value.extend_from_slice(row.category.as_bytes());
    value.push(row.hashes.len() as u8);
    for hash in &row.hashes {
        value.push(hash.kind() as u8);
        value.extend_from_slice(&hash.to_vec());
    }
    let details = if row.details.is_empty() { Vec::new() } else { write_details(&row.details.bounded()) };
    value.extend_from_slice(&(details.len() as u32).to_be_bytes());
    value.extend_from_slice(&details);
    (id.into_bytes(), value)
}

enum Joined {
    /// An entry, what is said of it, the number of its rows, and of those that a newer one replaces.
    Entry(Entry, Details, u64, u64),
    Deleted,
    Bad(BadRow),
}

/// The rows of one id as one entry. It is withdrawn where all of them are; else those that are add nothing.
fn joined(id: &str, values: &[u8]) -> Joined {
    let (mut line, mut record) = (0, 0);
    let (mut of, mut withdrawn) = (Joining::default(), Joining::default());
    // Of rows that replace each other the newest so far: when it was, and whether it deletes.
    let (mut newest, mut replaced) = ((0, false), 0);
    let mut rest = values;
    while !rest.is_empty() {
        let Some((row, tail)) = decode(rest) else {
            return Joined::Bad(BadRow { line, record, reason: "the row was damaged in the store's scratch space".to_owned() });
        };
        rest = tail;
        if let Some(as_of) = row.as_of {
            // In one and the same second an entry is made and then deleted, hardly the other way round.
            let is = (as_of, row.deleted);
            if is < newest {
                replaced += u64::from(!row.deleted);
                continue;
            }
            newest = is;
            replaced += of.rows + withdrawn.rows;
            (of, withdrawn) = Default::default();
        }
        (line, record) = (row.line, row.record);
        if row.deleted {
            (of, withdrawn) = Default::default();
        } else if row.status == Status::Withdrawn {
            withdrawn.add(row);
        } else {
            of.add(row);
        }
    }
    let rows = of.rows + withdrawn.rows;
    let of = if of.rows == 0 { withdrawn } else { of };
    if of.rows == 0 {
        return Joined::Deleted;
    }
    match Entry::new(id.to_owned(), of.category, of.hashes) {
        Ok(entry) => Joined::Entry(entry.with_status(of.status), of.details.bounded(), rows, replaced),
        Err(bad) => Joined::Bad(BadRow { line, record, reason: format!("together with the earlier rows of its id: {bad}") }),
    }
}

/// What rows of one id come to.
#[derive(Default)]
struct Joining {
    rows: u64,
    category: String,
    hashes: Vec<HashValue>,
    status: Status,
    details: Details,
}

impl Joining {
    fn add(&mut self, row: Row) {
        self.rows += 1;
        if !row.category.is_empty() {
            self.category = row.category;
        }
        self.status = self.status.max(row.status);
        self.hashes.extend(row.hashes);
        if self.hashes.len() > 4 * crate::entry::ENTRY_HASHES_MAX {
            self.hashes.sort_unstable();
            self.hashes.dedup();
        }
        self.details.join(row.details);
    }
}

fn decode(bytes: &[u8]) -> Option<(Row, &[u8])> {
    let (numbers, rest) = bytes.split_first_chunk::<24>()?;
    let (numbers, _) = numbers.as_chunks::<8>();
    let [line, record, as_of] = [0, 1, 2].map(|at| u64::from_be_bytes(numbers[at]));
    let ([deleted, status, length], rest) = rest.split_first_chunk::<3>()?;
    let (category, rest) = rest.split_at_checked(*length as usize)?;
    let (n, mut rest) = rest.split_first()?;
    let mut hashes = Vec::with_capacity(*n as usize);
    for _ in 0..*n {
        let (kind, tail) = rest.split_first()?;
        let kind = HashKind::from_u8(*kind)?;
        let (hash, tail) = tail.split_at_checked(kind.bytes())?;
        hashes.push(HashValue::from_bytes(kind, hash).ok()?);
        rest = tail;
    }
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (details, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let details = if details.is_empty() { Details::default() } else { read_details(details).ok()? };
    let category = std::str::from_utf8(category).ok()?.to_owned();
    Some((
        Row {
            line,
            record,
            id: None,
            category,
            hashes,
            deleted: *deleted == 1,
            status: Status::from_u8(*status)?,
            details,
            left_out: None,
            as_of: as_of.checked_sub(1),
            unread: None,
        },
        tail,
    ))
}
