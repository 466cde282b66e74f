//! A version being written: row changes gathered into chunks, sealed with what the version holds.
//!
//! Small versions are one change ([`ChangeOp::Edit`]): staged, sealed and active in one batch. Larger ones are a
//! [`ChangeOp::Stage`], chunks of rows and a [`ChangeOp::Seal`]; what fails half-way is undone.

use std::collections::{BTreeMap, BTreeSet};

use super::{CatalogError, EditReport, NewEntry, bk, columns, load, lock, retention};
use crate::entry::shown::without_hashes;
use crate::entry::{
    Caller, ChangeOp, Entry, EntryNo, HashList, HashValue, ListId, MadeBy, ROWS_BYTES_MAX, ROWS_MAX, RowChange, VersionNo,
};
use crate::store::{DeltaOp, DerivedPut, IdRecord, Store, StoreError, digest_add, digest_sub, row_bytes, row_digest};

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
            for entry in entries.into_values() {
                match writer.put(entry)? {
                    Put::Added => report.added += 1,
                    Put::Changed => report.changed += 1,
                    Put::Unchanged => report.unchanged += 1,
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
                match writer.remove(&id)? {
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
        let _write = self.lock();
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
        self.undo_unfinished(&list)?;
        let store = self.store();
        let mut writer = VersionWriter::new(self, &store, by, &list, (source, MadeBy::Edit))?;
        writer.start_from_active()?;
        let written = work(&mut writer, &mut report).and_then(|()| {
            let edits = report.added + report.changed + report.removed;
            if edits == 0 { Ok(None) } else { writer.restore_rest().and_then(|()| writer.finish(true)) }
        });
        match written {
            Ok(None) => {}
            Ok(Some(version)) => {
                report.version = version;
                // Not, where one batch has made it active.
                let now = self.find(name)?;
                if now.active != version {
                    self.activate_locked(by, &now, version)?;
                }
                self.retire(list.id, retention::EDITS_SPARE);
            }
            Err(error) => {
                writer.give_up();
                return Err(error);
            }
        }
        super::told::edited(by, &list, &report);
        Ok(report)
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

/// What setting an id's content came to.
pub enum Put {
    Added,
    Changed,
    Unchanged,
}

/// Gathers row changes of one version of one list.
pub struct VersionWriter<'c> {
    catalog: &'c super::Catalog,
    store: &'c Store,
    by: &'c Caller,
    list: HashList,
    version: VersionNo,
    source: String,
    made_by: MadeBy,
    staged: bool,
    closes: Vec<RowChange>,
    opens: Vec<RowChange>,
    bytes: usize,
    /// After a roll-back, rows at the head that are not active: they end with this version. By the form of their id.
    stray: BTreeMap<Vec<u8>, IdRecord>,
    /// After a roll-back, active rows that ended before the head: they start again with this version. By the form of their id, with
    /// the version that they began in.
    lost: BTreeMap<Vec<u8>, (EntryNo, VersionNo)>,
    next_entry: EntryNo,
    rows: u64,
    digest: [u8; 32],
}

impl<'c> VersionWriter<'c> {
    pub fn new(
        catalog: &'c super::Catalog,
        store: &'c Store,
        by: &'c Caller,
        list: &HashList,
        (source, made_by): (&str, MadeBy),
    ) -> Result<Self, CatalogError> {
        let head = store.version(list.id, list.head)?;
        let last = store.version_last(list.id)?;
        Ok(VersionWriter {
            catalog,
            store,
            by,
            list: list.clone(),
            version: VersionNo(last.map_or(0, |v| v.version.0) + 1),
            // A file may be named after a hash that it holds, and the name is shown, logged and kept for as long as the version.
            source: without_hashes(source).into_owned(),
            made_by,
            staged: false,
            closes: Vec::new(),
            opens: Vec::new(),
            bytes: 0,
            stray: BTreeMap::new(),
            lost: BTreeMap::new(),
            next_entry: store.next_entry()?,
            rows: head.as_ref().map_or(0, |v| v.rows),
            digest: head.map_or([0; 32], |v| v.digest),
        })
    }

    fn store(&self) -> &'c Store {
        self.store
    }

    /// Makes the version start from what is active, where that is not the head: after a roll-back an edit must not bring back
    /// what was rolled back.
    fn start_from_active(&mut self) -> Result<(), CatalogError> {
        let (list, active, head) = (self.list.id, self.list.active, self.list.head);
        if active == head {
            return Ok(());
        }
        // What versions after the active one opened and left open, and what they closed and left closed; with the row's first version.
        let (mut opened, mut closed) = (BTreeMap::new(), BTreeMap::new());
        for delta in self.store().deltas(list, VersionNo(active.0 + 1)..=head)? {
            let delta = delta?;
            match delta.op {
                DeltaOp::Opened if closed.remove(&delta.entry).is_none() => drop(opened.insert(delta.entry, delta.version)),
                DeltaOp::Closed { from } if opened.remove(&delta.entry).is_none() => drop(closed.insert(delta.entry, from)),
                _ => {}
            }
        }
        for (entry, from) in opened {
            let content = self.content(entry, from)?;
            let fingerprint = fingerprint(&content);
            self.stray.insert(self.form(&content.id), IdRecord { entry, from, fingerprint });
        }
        for (entry, from) in closed {
            self.lost.insert(self.form(&self.content(entry, from)?.id), (entry, from));
        }
        Ok(())
    }

    /// The records of all that is active, by the form of their id in byte order.
    pub fn active_records(
        &mut self,
    ) -> Result<impl Iterator<Item = Result<(Vec<u8>, IdRecord), StoreError>> + use<'c>, CatalogError> {
        self.start_from_active()?;
        let (stray, mut lost) = (std::mem::take(&mut self.stray), BTreeMap::new());
        for (id, (entry, from)) in std::mem::take(&mut self.lost) {
            let fingerprint = fingerprint(&self.content(entry, from)?);
            lost.insert(id, IdRecord { entry, from, fingerprint });
        }
        let head = self.store().ids(self.list.id)?.filter(move |record| !matches!(record, Ok((id, _)) if stray.contains_key(id)));
        let (mut head, mut lost) = (head.peekable(), lost.into_iter().peekable());
        Ok(std::iter::from_fn(move || {
            let lost_first = match (head.peek(), lost.peek()) {
                (Some(Ok((id, _))), Some((other, _))) => other < id,
                (Some(Err(_)), _) => false,
                (None, other) => other.is_some(),
                (Some(Ok(_)), None) => false,
            };
            if lost_first { lost.next().map(Ok) } else { head.next() }
        }))
    }

    /// Ends and starts the rows that no edit touched.
    fn restore_rest(&mut self) -> Result<(), CatalogError> {
        for record in std::mem::take(&mut self.stray).into_values() {
            self.close(record)?;
        }
        for (entry, from) in std::mem::take(&mut self.lost).into_values() {
            let content = self.content(entry, from)?;
            self.open(entry, content)?;
        }
        Ok(())
    }

    fn form(&self, id: &str) -> Vec<u8> {
        self.store.id_form(id).into_owned()
    }

    fn content(&self, entry: EntryNo, from: VersionNo) -> Result<Entry, CatalogError> {
        let row = self.store().row(self.list.id, entry, from)?;
        row.map(|row| row.content).ok_or_else(|| no_row(self.list.id, entry))
    }

    /// Sets an id's content. An id is set or removed at most once in a version.
    fn put(&mut self, entry: Entry) -> Result<Put, CatalogError> {
        let form = self.form(&entry.id);
        let lost = self.lost.remove(&form);
        if let Some((number, from)) = lost
            && self.content(number, from)? == entry
        {
            self.lost.insert(form, (number, from));
            return Ok(Put::Unchanged);
        }
        match self.stray.remove(&form) {
            // The head has just this content: its row goes on.
            Some(record) if row_digest(&entry).starts_with(&record.fingerprint) => {
                Ok(if lost.is_some() { Put::Changed } else { Put::Added })
            }
            Some(record) => {
                self.put_over(Some(record), entry)?;
                Ok(if lost.is_some() { Put::Changed } else { Put::Added })
            }
            None => {
                let known = self.store().id_record(self.list.id, &entry.id)?;
                let put = self.put_over(known, entry)?;
                Ok(if lost.is_some() { Put::Changed } else { put })
            }
        }
    }

    /// Sets the content of an id whose record at the head is known.
    pub fn put_over(&mut self, known: Option<IdRecord>, entry: Entry) -> Result<Put, CatalogError> {
        if known.is_some_and(|record| row_digest(&entry).starts_with(&record.fingerprint)) {
            return Ok(Put::Unchanged);
        }
        if let Some(record) = known {
            self.close(record)?;
        }
        let number = self.next_entry;
        let next = number.0.checked_add(1).filter(|n| *n < u32::MAX);
        self.next_entry = EntryNo(next.ok_or_else(|| CatalogError::Refused("the store is out of entry numbers".to_owned()))?);
        self.open(number, entry)?;
        Ok(if known.is_some() { Put::Changed } else { Put::Added })
    }

    /// Says whether the id was there.
    fn remove(&mut self, id: &str) -> Result<bool, CatalogError> {
        let form = self.form(id);
        if self.stray.contains_key(&form) {
            return Ok(self.lost.remove(&form).is_some());
        }
        if self.lost.remove(&form).is_some() {
            return Ok(true);
        }
        let Some(record) = self.store().id_record(self.list.id, id)? else { return Ok(false) };
        self.close(record)?;
        Ok(true)
    }

    fn open(&mut self, entry: EntryNo, content: Entry) -> Result<(), CatalogError> {
        digest_add(&mut self.digest, &row_digest(&content));
        self.rows += 1;
        let row = RowChange::Open { entry, content };
        self.make_room(&row)?;
        self.bytes += row_bytes(&row);
        self.opens.push(row);
        Ok(())
    }

    /// Ends the row that is open at the head.
    pub fn close(&mut self, record: IdRecord) -> Result<(), CatalogError> {
        let content = self.content(record.entry, record.from)?;
        digest_sub(&mut self.digest, &row_digest(&content));
        self.rows = self.rows.saturating_sub(1);
        let row = RowChange::Close { entry: record.entry, from: record.from };
        self.make_room(&row)?;
        self.bytes += row_bytes(&row);
        self.closes.push(row);
        Ok(())
    }

    fn make_room(&mut self, row: &RowChange) -> Result<(), CatalogError> {
        // A quarter is left for what protobuf adds.
        let full = self.bytes + row_bytes(row) > ROWS_BYTES_MAX / 4 * 3 || self.opens.len() + self.closes.len() >= ROWS_MAX;
        if full { self.flush() } else { Ok(()) }
    }

    fn take_rows(&mut self) -> (Vec<RowChange>, Vec<DerivedPut>) {
        self.bytes = 0;
        let mut rows = std::mem::take(&mut self.closes);
        rows.append(&mut self.opens);
        let new = rows.iter().filter_map(|row| match row {
            // A row that comes back after a roll-back has its columns already.
            RowChange::Open { entry, content } if *entry >= self.first_new() => Some((*entry, content)),
            _ => None,
        });
        let puts = columns::encode(self.list.id, new);
        (rows, puts)
    }

    /// The number from which on the store has no entry yet.
    fn first_new(&self) -> EntryNo {
        self.store().next_entry().unwrap_or(EntryNo(0))
    }

    fn flush(&mut self) -> Result<(), CatalogError> {
        if !self.staged {
            let (list, version, source, made_by) = (self.list.id, self.version, self.source.clone(), self.made_by);
            self.catalog.apply(self.by, ChangeOp::Stage { list, version, source, made_by })?;
            self.staged = true;
        }
        let (rows, mut puts) = self.take_rows();
        if !rows.is_empty() {
            puts.extend(bk::puts(self.store(), &rows)?);
            let (list, version) = (self.list.id, self.version);
            self.catalog.apply_with(self.by, ChangeOp::Rows { list, version, rows }, &puts)?;
        }
        Ok(())
    }

    /// Seals the version, if anything differs from the head. `at_once`: a version that fits in one change, and whose snapshot is made
    /// in milliseconds, becomes active with it.
    pub fn finish(&mut self, at_once: bool) -> Result<Option<VersionNo>, CatalogError> {
        let nothing = self.opens.is_empty() && self.closes.is_empty();
        if !self.staged && nothing {
            return Ok((self.list.head != self.list.active).then_some(self.list.head));
        }
        let (list, version, rows_total, digest) = (self.list.id, self.version, self.rows, self.digest);
        if !self.staged && at_once && self.opens.len() + self.closes.len() <= load::POINT_READS_MAX {
            let (rows, mut puts) = self.take_rows();
            puts.extend(bk::puts(self.store(), &rows)?);
            let (catalog, store, active, source) = (self.catalog, self.store, self.list.active, self.source.clone());
            let op = ChangeOp::Edit { list, version, source, rows, rows_total, digest };
            catalog.commit(&lock(&catalog.publishing), self.by, op, &puts, |base| {
                let transition = load::transition(store, list, active, version)?;
                catalog.after(base, (list, version), &transition)
            })?;
        } else {
            self.flush()?;
            self.catalog.apply(self.by, ChangeOp::Seal { list, version, rows: rows_total, digest })?;
        }
        Ok(Some(version))
    }

    /// Undoes what was written. A failure here is left to the list's next change, or to the next start.
    pub fn give_up(&mut self) {
        if self.staged {
            let op = ChangeOp::Undo { list: self.list.id, version: self.version };
            if let Err(error) = self.catalog.apply(self.by, op) {
                tracing::error!(list = self.list.name, %error, "a failed version could not be undone; the list's next change tries again");
            }
        }
    }
}

fn fingerprint(content: &Entry) -> [u8; 16] {
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&row_digest(content)[..16]);
    fingerprint
}

fn no_row(list: ListId, entry: EntryNo) -> CatalogError {
    CatalogError::Damaged(format!("entry {} of list {} has no row", entry.0, list.0))
}
