//! A version being written: row changes gathered into chunks, sealed with what the version holds.
//!
//! Small versions are one change ([`ChangeOp::Edit`]): staged, sealed and active in one batch. Larger ones are a
//! [`ChangeOp::Stage`], chunks of rows and a [`ChangeOp::Seal`]; what fails half-way is undone. Several can be written at a time, of one
//! list too: what each starts from is its parent, and new entries take their numbers as a chunk is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use super::{CatalogError, EditReport, NewEntry, advance, bk, columns, lock, retention};
use crate::entry::BadValue;
use crate::entry::shown::without_hashes;
use crate::entry::{
    Caller, ChangeOp, Description, Details, Entry, EntryNo, HashList, HashValue, Lineage, ListId, ListVersion, MadeBy,
    ROWS_BYTES_MAX, ROWS_MAX, RowChange, Sources, VersionNo, VersionState,
};
use crate::snapshot::Transition;
use crate::store::{
    Brief, CLOSE_ROW_BYTES, DerivedPut, IdHistory, IdRecord, Store, description_bytes, details_digest, digest_add, digest_sub,
    open_row_bytes, row_digest, said_digest,
};

/// So many entries that were added and there already are known while an import runs.
const CONFIRMED_MAX: usize = 1 << 20;

impl super::Catalog {
    /// Adds entries to what is active now. An id that is there already gets the new content.
    pub fn add(&self, by: &Caller, name: &str, entries: Vec<NewEntry>) -> Result<EditReport, CatalogError> {
        let key = self.store().entry_id_key();
        for hash in entries.iter().flat_map(|entry| &entry.hashes) {
            hash.check_real()?;
        }
        let entries: Vec<(Entry, Details)> = entries
            .into_iter()
            .map(|e| {
                let entry = Entry::new(e.id.unwrap_or_else(|| derived_id(&key, &e.hashes)), e.category, e.hashes)?;
                Ok((entry.with_status(e.status), e.details.bounded()))
            })
            .collect::<Result<_, BadValue>>()?;
        let ids = entries.iter().map(|(e, _)| e.id.clone()).collect();
        // Of one id given twice the last counts.
        let entries: BTreeMap<String, (Entry, Details)> = entries.into_iter().map(|(e, d)| (e.id.clone(), (e, d))).collect();
        let report = self.edit(by, name, "add", |writer, report| {
            for (id, (entry, details)) in entries {
                let known = writer.known(&id)?;
                match writer.put(&known, entry, details)? {
                    Put::Added => report.added += 1,
                    Put::Changed => report.changed += 1,
                    Put::Described => {
                        report.unchanged += 1;
                        report.details_changed += 1;
                    }
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
            details_changed: 0,
            missing: Vec::new(),
            ids: Vec::new(),
        };
        self.undo_abandoned(&list, MadeBy::Edit)?;
        let store = self.store();
        let mut writer = VersionWriter::new(self, &store, by, &list, list.active, (source, MadeBy::Edit), Sources::LOCAL)?;
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
        let (edits, others) = self.changed_beside(&store, list, imported, began)?;
        if edits.is_empty() && others.is_empty() {
            self.activate_prepared(by, list, imported, transition)?;
            return Ok((imported.version, 0));
        }
        let mut writer =
            VersionWriter::new(self, &store, by, list, imported.version, (&imported.source, MadeBy::Import), Sources::LOCAL)?;
        let followed = others.into_iter().filter(|(id, _)| !edits.contains_key(id)).try_for_each(|(id, now)| {
            let known = writer.known(&id)?;
            writer.follow(&known, now, began.feed)
        });
        let written = followed.and_then(|()| {
            edits.into_iter().try_fold(0, |n, (id, now)| {
                let known = writer.known(&id)?;
                let differs = match now {
                    Some(now) => matches!(writer.keep(&known, now, began.feed)?, Put::Added | Put::Changed),
                    None => writer.remove(&known)?,
                };
                Ok(n + u64::from(differs))
            })
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

    /// By id, as the active version has it: what was done by hand to the list since an import began, and what else became of entries while
    /// it was written, by roll-backs and activations.
    fn changed_beside(
        &self,
        store: &Store,
        list: &HashList,
        imported: &ListVersion,
        began: &Began,
    ) -> Result<(States, States), CatalogError> {
        let active = advance::lineage(store, list.id, list.active)?;
        let own = Lineage::new(vec![(imported.version, imported.version)]).unwrap_or_default();
        let base = imported.lineage.without(&own);
        // What another import brought meanwhile is no edit.
        let mut imports: Vec<_> = lock(&self.imported).iter().filter(|(of, _)| *of == list.id).map(|(_, v)| (*v, *v)).collect();
        imports.sort_unstable();
        let imports = Lineage::new(imports).unwrap_or_default();
        let states = |ids: BTreeSet<String>| -> Result<States, CatalogError> {
            ids.into_iter().map(|id| Ok((id.clone(), state(store, list.id, &id, &active)?))).collect()
        };
        let mut edits = states(ids_of(store, list.id, &active.from(began.next).without(&imports))?)?;
        let confirmed: BTreeSet<String> = {
            let confirmed = lock(&self.confirmed);
            let since = confirmed.iter().filter(|(of, moment, _)| *of == list.id && *moment > began.moment);
            since.map(|(.., id)| id.clone()).filter(|id| !edits.contains_key(id)).collect()
        };
        // What is not there any more went with a roll-back, and nobody removed it.
        edits.extend(states(confirmed)?.into_iter().filter(|(_, now)| now.is_some()));
        let ahead = active.without(&base);
        let mut others = ids_of(store, list.id, &base.without(&active))?;
        others.extend(ids_of(store, list.id, &ahead)?);
        Ok((edits, states(others)?))
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

/// Entries by id; `None` for what is not there.
type States = BTreeMap<String, Option<State>>;

/// An entry as a version has it.
pub struct State {
    content: Entry,
    details: Details,
    sources: Sources,
}

fn state(store: &Store, list: ListId, id: &str, version: &Lineage) -> Result<Option<State>, CatalogError> {
    let Some(known) = store.id_history(list, id)?.in_version(version) else { return Ok(None) };
    let content = store.entry(list, known.entry)?.ok_or_else(|| no_row(known.entry))?;
    let details = store.details(list, known.entry, &known.brief)?;
    Ok(Some(State { content, details, sources: known.brief.sources }))
}

/// The ids of the entries that some versions opened, closed or described. Nothing is swept while an import has begun.
fn ids_of(store: &Store, list: ListId, versions: &Lineage) -> Result<BTreeSet<String>, CatalogError> {
    let touched: BTreeSet<EntryNo> =
        advance::deltas(store, list, versions)?.map(|delta| delta.map(|delta| delta.entry)).collect::<Result<_, _>>()?;
    touched.into_iter().map(|entry| Ok(store.entry(list, entry)?.ok_or_else(|| no_row(entry))?.id)).collect()
}

fn no_row(entry: EntryNo) -> CatalogError {
    CatalogError::Damaged(format!("entry {} has a delta and no row", entry.0))
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
    /// The next version's number: edits since have it, or a later one.
    pub(super) next: VersionNo,
    pub(super) moment: u64,
    /// The source that is imported.
    pub(super) feed: Sources,
    /// As long as there is one, nothing is swept: of what came and went since, it must be known what it was.
    pub(super) _token: Arc<()>,
}

/// What setting an id's content came to.
pub enum Put {
    Added,
    Changed,
    /// The content is there already; something else is said of it.
    Described,
    Unchanged,
}

/// What taking an id from a source came to.
pub enum Dropped {
    /// The list had it from there alone.
    Gone,
    /// Other sources have it too.
    Kept,
    /// The list does not have it from there, but from others.
    Others,
    /// The list does not have it.
    Missing,
}

/// An entry that a version opens.
struct Opened {
    /// `None`: new.
    number: Option<EntryNo>,
    content: Entry,
    description: Option<Description>,
}

/// Row changes that become one change.
#[derive(Default)]
struct Chunk {
    closes: Vec<EntryNo>,
    opens: Vec<Opened>,
    describes: Vec<(EntryNo, Description)>,
}

impl Chunk {
    fn rows(&self) -> usize {
        self.opens.len() + self.closes.len() + self.describes.len()
    }

    fn apply(
        self,
        catalog: &super::Catalog,
        store: &Store,
        by: &Caller,
        (list, version): (ListId, VersionNo),
    ) -> Result<(), CatalogError> {
        let made = || {
            let (rows, puts) = self.numbered(store, list)?;
            Ok((ChangeOp::Rows { list, version, rows }, puts))
        };
        catalog.apply_as(by, made).map(drop)
    }

    /// The rows with numbers, and what is derived of them. Under the lock for commits: the numbers are the store's next.
    fn numbered(self, store: &Store, list: ListId) -> Result<(Vec<RowChange>, Vec<DerivedPut>), CatalogError> {
        let first = store.next_entry()?;
        let mut next = first;
        let mut rows: Vec<_> = self.closes.into_iter().map(|entry| RowChange::Close { entry }).collect();
        rows.extend(self.describes.into_iter().map(|(entry, description)| RowChange::Describe { entry, description }));
        for Opened { number, content, description } in self.opens {
            let entry = number.unwrap_or(next);
            if number.is_none() {
                let after = next.0.checked_add(1).filter(|n| *n < u32::MAX);
                next = EntryNo(after.ok_or_else(|| CatalogError::Refused("the store is out of entry numbers".to_owned()))?);
            }
            rows.push(RowChange::Open { entry, content, description });
        }
        let new = rows.iter().filter_map(|row| match row {
            RowChange::Open { entry, content, .. } if *entry >= first => Some((*entry, content)),
            _ => None,
        });
        let mut puts = columns::encode(list, new);
        puts.extend(bk::puts(store, &rows)?);
        Ok((rows, puts))
    }
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
    /// Whose word the entries are.
    feed: Sources,
    /// The name of that source, where the list does not have it yet.
    new_source: Option<String>,
    /// Nothing is written.
    dry: bool,
    chunk: Chunk,
    /// Where chunks go while another thread applies them.
    chunks: Option<SyncSender<(VersionNo, Chunk)>>,
    /// What is said of the entries that were opened or described so far: the sum of their [`said_digest`]s.
    said: [u8; 32],
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
        feed: Sources,
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
            feed,
            new_source: None,
            dry: false,
            chunk: Chunk::default(),
            chunks: None,
            said: [0; 32],
            bytes: 0,
            rows: found.as_ref().map_or(0, |v| v.rows),
            digest: found.map_or([0; 32], |v| v.digest),
        })
    }

    /// The list gets the source once there is something of it to be written: a name that came to nothing takes none of the few.
    pub fn adding_source(self, name: &str) -> Self {
        VersionWriter { new_source: Some(name.to_owned()), ..self }
    }

    /// Says what a version would come to, and writes none.
    pub fn dry(self) -> Self {
        VersionWriter { dry: true, ..self }
    }

    /// How many entries the version has so far, and their digest.
    pub fn holds(&self) -> (u64, [u8; 32]) {
        (self.rows, self.digest)
    }

    /// What it says of entries that its parent has otherwise or says something else of, as a sum of digests.
    pub fn said(&self) -> [u8; 32] {
        self.said
    }

    /// Whose word the entries are.
    pub fn feed(&self) -> Sources {
        self.feed
    }

    /// What the version starts from.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    pub fn known(&self, id: &str) -> Result<IdHistory, CatalogError> {
        Ok(self.store.id_history(self.list.id, id)?)
    }

    /// Sets the content of an id of which `history` is known, and what is said of it.
    pub fn put(&mut self, history: &IdHistory, entry: Entry, details: Details) -> Result<Put, CatalogError> {
        let known = history.in_version(&self.lineage);
        let (sources, details) = match &known {
            // Who says nothing leaves what others said.
            Some(known) if details.is_empty() && known.brief.sources != self.feed => {
                (known.brief.sources.with(self.feed), self.details(known)?)
            }
            Some(known) => (known.brief.sources.with(self.feed), details),
            None => (self.feed, details),
        };
        self.put_as(history, entry, details, sources)
    }

    /// The same, where it is known which sources have it then.
    fn put_as(&mut self, history: &IdHistory, entry: Entry, details: Details, sources: Sources) -> Result<Put, CatalogError> {
        let (digest, known) = (row_digest(&entry), history.in_version(&self.lineage));
        let said = details_digest(&details);
        if let Some(known) = known.filter(|known| known.digest == digest) {
            if known.brief.says(sources, &said) {
                return Ok(Put::Unchanged);
            }
            self.describe(&known, Description { sources, details })?;
            return Ok(Put::Described);
        }
        self.remove(history)?;
        digest_add(&mut self.digest, &digest);
        digest_add(&mut self.said, &said_digest(&digest, sources, &said));
        self.rows += 1;
        // A content that the list had before, and has not now, has its number and its columns. An edit has back what its own list had:
        // what another version is just bringing is loaded with that one.
        let is_import = self.made_by == MadeBy::Import;
        let number = history.of_content(&digest, |version| is_import || self.lineage.contains(version));
        let before = number.map_or(Brief::NONE, |number| history.brief_of(number, &self.lineage));
        let description = (!before.says(sources, &said)).then_some(Description { sources, details });
        if !self.dry {
            self.bytes += open_row_bytes(&entry) + description.as_ref().map_or(0, description_bytes);
            self.chunk.opens.push(Opened { number, content: entry, description });
            self.flush_if_full()?;
        }
        Ok(if known.is_some() { Put::Changed } else { Put::Added })
    }

    fn describe(&mut self, known: &IdRecord, description: Description) -> Result<(), CatalogError> {
        let said = said_digest(&known.digest, description.sources, &details_digest(&description.details));
        digest_add(&mut self.said, &said);
        if self.dry {
            return Ok(());
        }
        self.bytes += CLOSE_ROW_BYTES + description_bytes(&description);
        self.chunk.describes.push((known.entry, description));
        self.flush_if_full()
    }

    fn details(&self, known: &IdRecord) -> Result<Details, CatalogError> {
        Ok(self.store.details(self.list.id, known.entry, &known.brief)?)
    }

    /// Takes an entry out, whoever has it. Says whether the id was there.
    pub fn remove(&mut self, history: &IdHistory) -> Result<bool, CatalogError> {
        let Some(known) = history.in_version(&self.lineage) else { return Ok(false) };
        digest_sub(&mut self.digest, &known.digest);
        self.rows = self.rows.saturating_sub(1);
        if !self.dry {
            self.bytes += CLOSE_ROW_BYTES;
            self.chunk.closes.push(known.entry);
            self.flush_if_full()?;
        }
        Ok(true)
    }

    /// Gives an entry what was done to it by hand in another version: its content and sources there, and of this version whether one source
    /// has it, with what that says of it where nobody else does.
    pub fn keep(&mut self, history: &IdHistory, now: State, but: Sources) -> Result<Put, CatalogError> {
        let own = history.in_version(&self.lineage).filter(|known| known.brief.sources.contains(but));
        let (sources, details) = match own {
            Some(own) if now.details.is_empty() => (now.sources.with(but), self.details(&own)?),
            Some(_) => (now.sources.with(but), now.details),
            None => (now.sources.without(but), now.details),
        };
        self.put_as(history, now.content, details, sources.with(Sources::LOCAL))
    }

    /// Gives an entry the sources that it has in another version, but for one, which has it as this version says.
    pub fn follow(&mut self, history: &IdHistory, now: Option<State>, but: Sources) -> Result<(), CatalogError> {
        let known = history.in_version(&self.lineage);
        let others = now.as_ref().map_or(Sources(0), |now| now.sources.without(but));
        let own = known.filter(|known| known.brief.sources.contains(but));
        match (own, now) {
            (Some(own), _) if own.brief.sources == others.with(but) => Ok(()),
            (Some(own), _) => {
                let details = self.details(&own)?;
                self.describe(&own, Description { sources: others.with(but), details })
            }
            (None, Some(now)) if !others.is_empty() => self.put_as(history, now.content, now.details, others).map(drop),
            (None, _) => self.remove(history).map(drop),
        }
    }

    /// The source has the entry no more: it goes where no other one has it.
    pub fn drop_from_feed(&mut self, history: &IdHistory) -> Result<Dropped, CatalogError> {
        let Some(known) = history.in_version(&self.lineage) else { return Ok(Dropped::Missing) };
        if !known.brief.sources.contains(self.feed) {
            return Ok(Dropped::Others);
        }
        let sources = known.brief.sources.without(self.feed);
        if sources.is_empty() {
            self.remove(history)?;
            return Ok(Dropped::Gone);
        }
        let details = self.details(&known)?;
        self.describe(&known, Description { sources, details })?;
        Ok(Dropped::Kept)
    }

    /// An id's old entry and its new one stand in one chunk, or in two in this order.
    fn flush_if_full(&mut self) -> Result<(), CatalogError> {
        // A quarter is left for what protobuf adds, and for one more entry.
        let full = self.bytes > ROWS_BYTES_MAX / 4 * 3 || self.chunk.rows() >= ROWS_MAX;
        if full { self.flush() } else { Ok(()) }
    }

    fn stage(&mut self) -> Result<VersionNo, CatalogError> {
        if let Some(version) = self.staged {
            return Ok(version);
        }
        let (list, parent, made_by, source) = (self.list.id, Some(self.parent), self.made_by, self.source.clone());
        let (catalog, store) = (self.catalog, self.store);
        if let Some(name) = self.new_source.take() {
            catalog.apply(self.by, ChangeOp::AddSource { list, name })?;
        }
        let mut staged = VersionNo(0);
        catalog.apply_as(self.by, || {
            staged = next_version(store, &self.list)?;
            Ok((ChangeOp::Stage { list, version: staged, parent, source, made_by }, Vec::new()))
        })?;
        self.staged = Some(staged);
        Ok(staged)
    }

    fn flush(&mut self) -> Result<(), CatalogError> {
        let version = self.stage()?;
        if self.chunk.rows() == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let chunk = std::mem::take(&mut self.chunk);
        match &self.chunks {
            None => chunk.apply(self.catalog, self.store, self.by, (self.list.id, version)),
            // Why the thread took no more, it says itself.
            Some(chunks) => {
                chunks.send((version, chunk)).map_err(|_| CatalogError::Refused("an earlier chunk was not written".to_owned()))
            }
        }
    }

    /// Does what puts and removes many entries, with a thread of its own to apply full chunks meanwhile. What is known of ids must have been
    /// read before, or be of ids that are not set twice. All but the last chunk are applied in the end.
    pub fn gather(&mut self, work: impl FnOnce(&mut Self) -> Result<(), CatalogError>) -> Result<(), CatalogError> {
        let (catalog, store, by, list) = (self.catalog, self.store, self.by, self.list.id);
        let (sender, chunks) = mpsc::sync_channel::<(VersionNo, Chunk)>(1);
        thread::scope(|scope| {
            let applying = thread::Builder::new().name("rows".to_owned()).spawn_scoped(scope, move || {
                super::threads::stand_back();
                chunks.iter().try_for_each(|(version, chunk)| chunk.apply(catalog, store, by, (list, version)))
            });
            let Ok(applying) = applying else { return work(self) }; // then they are applied here
            self.chunks = Some(sender);
            let worked = work(self);
            self.chunks = None;
            applying.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            worked
        })
    }

    /// Seals the version, if anything differs from its parent. `at_once`: a version that fits in one change, and whose snapshot is made
    /// in milliseconds, becomes active with it.
    pub fn finish(&mut self, at_once: bool, transition: Option<Transition>) -> Result<Option<VersionNo>, CatalogError> {
        let n = self.chunk.rows();
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
                let (rows, puts) = std::mem::take(&mut self.chunk).numbered(store, list)?;
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
