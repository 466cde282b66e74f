//! A version being written: row changes gathered into chunks, sealed with what the version holds.
//!
//! Small versions are one change ([`ChangeOp::Edit`]): staged, sealed and active in one batch. Larger ones are a
//! [`ChangeOp::Stage`], chunks of rows and a [`ChangeOp::Seal`]; what fails half-way is undone. Several can be written at a time, of one
//! list too: what each starts from is its parent, and new entries take their numbers as a chunk is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{CatalogError, EditReport, NewEntry, advance, bk, columns, lock, retention};
use crate::entry::shown::without_hashes;
use crate::entry::{
    Caller, ChangeOp, Entry, EntryNo, HashList, HashValue, Lineage, ListId, ListVersion, MadeBy, ROWS_BYTES_MAX, ROWS_MAX,
    RowChange, VersionNo, VersionState,
};
use crate::snapshot::Transition;
use crate::store::{CLOSE_ROW_BYTES, DerivedPut, IdHistory, Store, digest_add, digest_sub, open_row_bytes, row_digest};

/// So many entries that were added and there already are known while an import runs.
const CONFIRMED_MAX: usize = 1 << 20;

impl super::Catalog {
    /// Adds entries to what is active now. An id that is there already gets the new content.
    pub fn add(&self, by: &Caller, name: &str, entries: Vec<NewEntry>) -> Result<EditReport, CatalogError> {
        let key = self.store().entry_id_key();
        for hash in entries.iter().flat_map(|entry| &entry.hashes) {
            hash.check_real()?;
        }
        let entries: Vec<Entry> = entries
            .into_iter()
            .map(|e| Entry::new(e.id.unwrap_or_else(|| derived_id(&key, &e.hashes)), e.category, e.hashes))
            .collect::<Result<_, _>>()?;
        let ids = entries.iter().map(|e| e.id.clone()).collect();
        // Of one id given twice the last counts.
        let entries: BTreeMap<String, Entry> = entries.into_iter().map(|e| (e.id.clone(), e)).collect();
        let report = self.edit(by, name, "add", |writer, report| {
            for (id, entry) in entries {
                let known = writer.known(&id)?;
                match writer.put(&known, entry)? {
                    Put::Added => report.added += 1,
                    Put::Changed => report.changed += 1,
                    Put::Unchanged => {
                        report.unchanged += 1;
                        self.confirm(writer.list.id, id);
                    }
                }
            }
            Ok(())
        })?;
        Ok(EditReport { ids, ..report })
    }

    /// Removes entries from what is active now; ids that are not there are reported.
    pub fn remove(&self, by: &Caller, name: &str, ids: Vec<String>) -> Result<EditReport, CatalogError> {
        self.edit(by, name, "remove", |writer, report| {
            for id in ids.into_iter().collect::<BTreeSet<_>>() {
                let known = writer.known(&id)?;
                match writer.remove(&known)? {
                    true => report.removed += 1,
                    false => report.missing.push(id),
                }
            }
            Ok(())
        })
    }

    fn edit(
        &self,
        by: &Caller,
        name: &str,
        source: &str,
        work: impl FnOnce(&mut VersionWriter<'_>, &mut EditReport) -> Result<(), CatalogError>,
    ) -> Result<EditReport, CatalogError> {
        let write = self.lock();
        let list = self.find(name)?;
        let mut report = EditReport {
            version: list.active,
            added: 0,
            changed: 0,
            removed: 0,
            unchanged: 0,
            missing: Vec::new(),
            ids: Vec::new(),
        };
        self.undo_abandoned(&list, MadeBy::Edit)?;
        let store = self.store();
        let mut writer = VersionWriter::new(self, &store, by, &list, list.active, (source, MadeBy::Edit))?;
        let written = work(&mut writer, &mut report).and_then(|()| writer.finish(true, None));
        match written {
            Ok(None) => {}
            Ok(Some(version)) => {
                report.version = version;
                // One batch may have made it active.
                self.activate_locked(by, &self.find(name)?, version)?;
            }
            Err(error) => {
                writer.give_up();
                return Err(error);
            }
        }
        super::told::edited(by, &list, &report);
        drop(write);
        self.retire(list.id, retention::EDITS_SPARE);
        Ok(report)
    }

    /// Activates the version that an import wrote, with what was added to the list and removed from it since the import began: what
    /// `began` says, with versions from `next` on. Called with the lock for writing. `transition` was prepared for the import's own
    /// version. Gives the version that is active then, and how many entries differ from the import's.
    pub(super) fn activate_import(
        &self,
        by: &Caller,
        list: &HashList,
        imported: &ListVersion,
        began: &Began,
        transition: Option<Transition>,
    ) -> Result<(VersionNo, u64), CatalogError> {
        let store = self.store();
        if list.active == imported.version {
            return Ok((imported.version, 0));
        }
        let edits = self.edits_since(&store, list, began)?;
        if edits.is_empty() {
            self.activate_prepared(by, list, imported, transition)?;
            return Ok((imported.version, 0));
        }
        let mut writer = VersionWriter::new(self, &store, by, list, imported.version, (&imported.source, MadeBy::Import))?;
        let written = edits.into_iter().try_fold(0, |n, (id, content)| {
            let known = writer.known(&id)?;
            let has = match content {
                Some(content) => !matches!(writer.put(&known, content)?, Put::Unchanged),
                None => writer.remove(&known)?,
            };
            Ok(n + u64::from(has))
        });
        let finished = written.and_then(|n| Ok((writer.finish(false, None)?, n)));
        let (version, n) = match finished {
            Ok((version, n)) => (version.unwrap_or(imported.version), n),
            Err(error) => {
                writer.give_up();
                return Err(error);
            }
        };
        self.activate_prepared(by, list, &self.sealed(list, version)?, transition)?;
        Ok((version, n))
    }

    /// Notes that an entry was added which is there already: it leaves no delta, and an import that has begun must keep it all the same.
    fn confirm(&self, list: ListId, id: String) {
        let mut confirmed = lock(&self.confirmed);
        if Arc::strong_count(&self.begun) == 1 {
            confirmed.clear();
        } else if confirmed.len() < CONFIRMED_MAX {
            confirmed.push((list, self.moments.fetch_add(1, Ordering::Relaxed), id));
        }
    }

    /// By id: what was done by hand to a list since an import began, as the active version has it; `None` for what is not there any more.
    fn edits_since(
        &self,
        store: &Store,
        list: &HashList,
        began: &Began,
    ) -> Result<BTreeMap<String, Option<Entry>>, CatalogError> {
        let active = advance::lineage(store, list.id, list.active)?;
        // What another import brought meanwhile is no edit.
        let mut imported: Vec<_> = lock(&self.imported).iter().filter(|(of, _)| *of == list.id).map(|(_, v)| (*v, *v)).collect();
        imported.sort_unstable();
        let since = active.from(began.next).without(&Lineage::new(imported).unwrap_or_default());
        let touched: BTreeSet<EntryNo> =
            advance::deltas(store, list.id, &since)?.map(|delta| delta.map(|delta| delta.entry)).collect::<Result<_, _>>()?;
        let mut ids: BTreeSet<String> = {
            let confirmed = lock(&self.confirmed);
            let since = confirmed.iter().filter(|(of, moment, _)| *of == list.id && *moment > began.moment);
            since.map(|(.., id)| id.clone()).collect()
        };
        for entry in touched {
            // Nothing is swept while an import has begun.
            let id = store.entry(list.id, entry)?.map(|content| content.id);
            ids.insert(id.ok_or_else(|| CatalogError::Damaged(format!("entry {} has a delta and no row", entry.0)))?);
        }
        let mut edits = BTreeMap::new();
        for id in ids {
            let now = store.id_history(list.id, &id)?.in_version(&active);
            let content = now.map(|now| store.entry(list.id, now.entry)).transpose()?.flatten();
            edits.insert(id, content);
        }
        Ok(edits)
    }

    /// Gives up versions of the list that nobody is writing any more: what failed could not be undone then. Called by who alone may
    /// write versions of this kind.
    pub(super) fn undo_abandoned(&self, list: &HashList, made_by: MadeBy) -> Result<(), CatalogError> {
        let versions = self.store().versions(list.id)?;
        for version in versions.iter().filter(|v| v.state == VersionState::Staged && v.made_by == made_by) {
            tracing::warn!(list = list.name, version = version.version.0, "undoing a version that was never finished");
            let by = Caller("recovery".to_owned());
            self.apply(&by, ChangeOp::Undo { list: list.id, version: version.version })?;
        }
        Ok(())
    }
}

/// `h-` and 16 hex digits of an HMAC-SHA-256 of the hashes under the store's key: it names an entry and tells nothing of it.
pub fn derived_id(key: &[u8; 32], hashes: &[HashValue]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut sorted: Vec<_> = hashes.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    // HMAC fills a key up to the digest's block with zeros itself; done here, no length is left that could be wrong.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<sha2::Sha256>::new(&block.into());
    for hash in sorted {
        mac.update(&[hash.kind() as u8]);
        mac.update(&hash.to_vec());
    }
    format!("h-{}", hex::encode(&mac.finalize().into_bytes()[..8]))
}

/// The moment when an import began.
#[derive(Debug, Clone)]
pub struct Began {
    pub(super) list: ListId,
    /// The version that was active, which the file is compared with.
    pub(super) active: VersionNo,
    /// The next version's number: edits since have it, or a later one.
    pub(super) next: VersionNo,
    pub(super) moment: u64,
    /// As long as there is one, nothing is swept: of what came and went since, it must be known what it was.
    pub(super) _token: Arc<()>,
}

/// What setting an id's content came to.
pub enum Put {
    Added,
    Changed,
    Unchanged,
}

/// Gathers row changes of one version of one list. An id is set or removed at most once.
pub struct VersionWriter<'c> {
    catalog: &'c super::Catalog,
    store: &'c Store,
    by: &'c Caller,
    list: HashList,
    parent: VersionNo,
    /// The parent's.
    lineage: Lineage,
    source: String,
    made_by: MadeBy,
    staged: Option<VersionNo>,
    closes: Vec<EntryNo>,
    /// Without a number: new.
    opens: Vec<(Option<EntryNo>, Entry)>,
    bytes: usize,
    rows: u64,
    digest: [u8; 32],
}

impl<'c> VersionWriter<'c> {
    pub fn new(
        catalog: &'c super::Catalog,
        store: &'c Store,
        by: &'c Caller,
        list: &HashList,
        parent: VersionNo,
        (source, made_by): (&str, MadeBy),
    ) -> Result<Self, CatalogError> {
        let found = store.version(list.id, parent)?;
        let lineage = advance::lineage(store, list.id, parent)?;
        Ok(VersionWriter {
            catalog,
            store,
            by,
            list: list.clone(),
            parent,
            lineage,
            // A file may be named after a hash that it holds, and the name is shown, logged and kept for as long as the version.
            source: without_hashes(source).into_owned(),
            made_by,
            staged: None,
            closes: Vec::new(),
            opens: Vec::new(),
            bytes: 0,
            rows: found.as_ref().map_or(0, |v| v.rows),
            digest: found.map_or([0; 32], |v| v.digest),
        })
    }

    /// How many entries the version has so far, and their digest.
    pub fn holds(&self) -> (u64, [u8; 32]) {
        (self.rows, self.digest)
    }

    /// What the version starts from.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    pub fn known(&self, id: &str) -> Result<IdHistory, CatalogError> {
        Ok(self.store.id_history(self.list.id, id)?)
    }

    /// Sets the content of an id of which `history` is known.
    pub fn put(&mut self, history: &IdHistory, entry: Entry) -> Result<Put, CatalogError> {
        let digest = row_digest(&entry);
        let known = history.in_version(&self.lineage);
        if known.is_some_and(|known| known.digest == digest) {
            return Ok(Put::Unchanged);
        }
        self.remove(history)?;
        digest_add(&mut self.digest, &digest);
        self.rows += 1;
        self.bytes += open_row_bytes(&entry);
        // A content that the list had before, and has not now, has its number and its columns. An edit has back what its own list had:
        // what another version is just bringing is loaded with that one.
        let is_import = self.made_by == MadeBy::Import;
        let number = history.of_content(&digest, |version| is_import || self.lineage.contains(version));
        self.opens.push((number, entry));
        self.flush_if_full()?;
        Ok(if known.is_some() { Put::Changed } else { Put::Added })
    }

    /// Says whether the id was there.
    pub fn remove(&mut self, history: &IdHistory) -> Result<bool, CatalogError> {
        let Some(known) = history.in_version(&self.lineage) else { return Ok(false) };
        digest_sub(&mut self.digest, &known.digest);
        self.rows = self.rows.saturating_sub(1);
        self.bytes += CLOSE_ROW_BYTES;
        self.closes.push(known.entry);
        self.flush_if_full()?;
        Ok(true)
    }

    /// An id's old entry and its new one stand in one chunk, or in two in this order.
    fn flush_if_full(&mut self) -> Result<(), CatalogError> {
        // A quarter is left for what protobuf adds, and for one more entry.
        let full = self.bytes > ROWS_BYTES_MAX / 4 * 3 || self.opens.len() + self.closes.len() >= ROWS_MAX;
        if full { self.flush() } else { Ok(()) }
    }

    /// The rows gathered, with numbers, and what is derived of them. Under the lock for commits: the numbers are the store's next.
    fn take_rows(&mut self) -> Result<(Vec<RowChange>, Vec<DerivedPut>), CatalogError> {
        self.bytes = 0;
        let first = self.store.next_entry()?;
        let mut next = first;
        let mut rows: Vec<_> = self.closes.drain(..).map(|entry| RowChange::Close { entry }).collect();
        for (number, content) in self.opens.drain(..) {
            let entry = number.unwrap_or(next);
            if number.is_none() {
                let after = next.0.checked_add(1).filter(|n| *n < u32::MAX);
                next = EntryNo(after.ok_or_else(|| CatalogError::Refused("the store is out of entry numbers".to_owned()))?);
            }
            rows.push(RowChange::Open { entry, content });
        }
        let new = rows.iter().filter_map(|row| match row {
            RowChange::Open { entry, content } if *entry >= first => Some((*entry, content)),
            _ => None,
        });
        let mut puts = columns::encode(self.list.id, new);
        puts.extend(bk::puts(self.store, &rows)?);
        Ok((rows, puts))
    }

    fn stage(&mut self) -> Result<VersionNo, CatalogError> {
        if let Some(version) = self.staged {
            return Ok(version);
        }
        let (list, parent, made_by, source) = (self.list.id, Some(self.parent), self.made_by, self.source.clone());
        let (catalog, store) = (self.catalog, self.store);
        let mut staged = VersionNo(0);
        catalog.apply_as(self.by, || {
            staged = next_version(store, &self.list)?;
            Ok((ChangeOp::Stage { list, version: staged, parent, source, made_by }, Vec::new()))
        })?;
        self.staged = Some(staged);
        Ok(staged)
    }

    fn flush(&mut self) -> Result<(), CatalogError> {
        let (list, version) = (self.list.id, self.stage()?);
        if self.opens.is_empty() && self.closes.is_empty() {
            return Ok(());
        }
        let (catalog, by) = (self.catalog, self.by);
        catalog.apply_as(by, || {
            let (rows, puts) = self.take_rows()?;
            Ok((ChangeOp::Rows { list, version, rows }, puts))
        })?;
        Ok(())
    }

    /// Seals the version, if anything differs from its parent. `at_once`: a version that fits in one change, and whose snapshot is made
    /// in milliseconds, becomes active with it.
    pub fn finish(&mut self, at_once: bool, transition: Option<Transition>) -> Result<Option<VersionNo>, CatalogError> {
        let n = self.opens.len() + self.closes.len();
        if self.staged.is_none() && n == 0 {
            return Ok(None);
        }
        let (list, rows_total, digest) = (self.list.id, self.rows, self.digest);
        if self.staged.is_none() && at_once && n <= advance::POINT_READS_MAX {
            let (catalog, by, parent, source) = (self.catalog, self.by, Some(self.parent), self.source.clone());
            let mut made = VersionNo(0);
            catalog.commit(by, transition, |store| {
                let version = next_version(store, &self.list)?;
                made = version;
                let (rows, puts) = self.take_rows()?;
                Ok(Some((ChangeOp::Edit { list, version, parent, source, rows, rows_total, digest }, puts)))
            })?;
            return Ok(Some(made));
        }
        self.flush()?;
        let version = self.stage()?;
        self.catalog.apply(self.by, ChangeOp::Seal { list, version, rows: rows_total, digest })?;
        Ok(Some(version))
    }

    /// Undoes what was written. A failure here is left to the list's next change, or to the next start.
    pub fn give_up(&mut self) {
        if let Some(version) = self.staged
            && self.store.list(self.list.id).is_ok_and(|list| list.is_some())
            && let Err(error) = self.catalog.apply(self.by, ChangeOp::Undo { list: self.list.id, version })
        {
            tracing::error!(list = self.list.name, %error, "a failed version could not be undone; the list's next change tries again");
        }
    }
}

pub fn next_version(store: &Store, list: &HashList) -> Result<VersionNo, CatalogError> {
    Ok(VersionNo(store.version_last(list.id)?.map_or(0, |v| v.version.0) + 1))
}
