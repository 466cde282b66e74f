//! Does a change fit the state, and what does it write?
//!
//! One change is one batch: the families it touches, the numbers in `meta`, and the change itself, its header chained to the one before.
//! Invariant: a change that is refused writes nothing. A staged version's record carries its running row count and digest, so
//! that `Seal` is checked against what was really written. Rows that `Undo` and `Drop` leave behind go later: see [`Store::sweep`].

use super::derived::{DerivedPut, check_derived, put_derived};
use super::digest::{details_digest, digest_add, digest_sub, sha256};
use super::head::{self, Head};
use super::history;
use super::ids::{Deed, EntryHistory, IdHistory};
use super::keys::{self, DeltaOp, Family};
use super::wire::{self, row_bytes};
use super::{BY_BYTES_MAX, LISTS_MAX, POLICY_BYTES_MAX, SOURCE_BYTES_MAX, Store, StoreError, Writer};
use crate::entry::{
    Change, ChangeOp, DETAILS_BYTES_MAX, Description, Entry, EntryNo, Feed, HashList, Lineage, ListId, ListPolicy, ListVersion,
    MARKS_MAX, MadeBy, Mark, Marked, Parent, ROWS_BYTES_MAX, ROWS_MAX, RowChange, Sources, VersionNo, VersionState, ViewRule,
    check_list_name,
};
use rocksdb::{BoundColumnFamily, WriteBatch, WriteOptions};
use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

impl Store {
    /// Applies a change, with the derived rows that belong to it, in one atomic batch, and returns its number. When it returns,
    /// every change but `Stage`, `Rows`, `Undo` and `Drop` is on the disk; those follow with the next that is, in order.
    ///
    /// `Rows` and `Edit`: rows are applied in the order given. New entries take [`Store::next_entry`] and the numbers after it,
    /// one by one. An entry that the list had before may be opened again with the content it had. An id's entry is closed before
    /// another one is opened. `Close` names an entry that the version holds and did not open itself.
    pub fn apply(&self, change: &Change, derived: &[DerivedPut]) -> Result<u64, StoreError> {
        self.apply_synced(change, derived, is_synced(&change.op))
    }

    /// The same, but it is on the disk only with the next change that is: for one of many that belong together.
    pub fn apply_later(&self, change: &Change) -> Result<u64, StoreError> {
        self.apply_synced(change, &[], false)
    }

    fn apply_synced(&self, change: &Change, derived: &[DerivedPut], is_synced: bool) -> Result<u64, StoreError> {
        let mut writer = self.writer()?;
        self.check_room_for(&change.op)?;
        if writer.head_stale {
            self.catch_up(&mut writer)?;
        }
        limit("the name of who asks", change.by.len(), BY_BYTES_MAX)?;
        check_derived(derived)?;
        // Scratch, the last, comes and goes beside this, may be missing on a full disk, and is in no change.
        let lasting = Family::ALL.into_iter().filter(|family| *family != Family::Scratch);
        let families = lasting.map(|family| self.family(family)).collect::<Result<_, _>>()?;
        let mut tx = Tx {
            store: self,
            families,
            batch: WriteBatch::with_capacity_bytes(batch_bytes(&change.op)),
            next_entry: writer.next_entry,
            next_list: writer.next_list,
        };
        tx.change(change)?;
        put_derived(self, &mut tx.batch, derived)?;

        let seq = writer.seq + 1;
        let (header, contents) = history::record(change, EntryNo(tx.next_entry))?;
        let value = [&writer.chain[..], &header.encode()].concat();
        let chain = sha256(&value);
        tx.put(Family::History, &seq.to_be_bytes(), &value);
        if let Some(contents) = contents {
            tx.put(Family::Contents, &header.contents_key(seq), &contents);
        }
        tx.put(Family::Meta, keys::META_SEQ, &seq.to_be_bytes());
        tx.put(Family::Meta, keys::META_CHAIN, &chain);
        tx.put(Family::Meta, keys::META_NEXT_ENTRY, &tx.next_entry.to_be_bytes());
        tx.put(Family::Meta, keys::META_NEXT_LIST, &tx.next_list.to_be_bytes());
        let Tx { batch, next_entry, next_list, .. } = tx;
        let mut options = WriteOptions::default();
        options.set_sync(is_synced);
        self.write(batch, &options)?;
        *writer = Writer { seq, chain, next_entry, next_list, head_stale: false };
        if is_synced && let Err(error) = head::write(&self.dir, Head { seq, chain }) {
            // This change is on the disk. What is wrong with the directory may be wrong with the next one: none is taken until it is mended.
            tracing::error!(%error, "the store's file HEAD could not be written; no further change is taken until it can be");
            writer.head_stale = true;
        }
        Ok(seq)
    }

    /// Writes the `HEAD` that could not be written.
    pub(super) fn catch_up(&self, writer: &mut Writer) -> Result<(), StoreError> {
        head::write(&self.dir, Head { seq: writer.seq, chain: writer.chain }).map_err(|error| {
            let why = format!(
                "the file HEAD could not be written after the change before: {error}; changes resume once it can be written"
            );
            StoreError::Failed { dir: self.dir.clone(), why }
        })?;
        writer.head_stale = false;
        Ok(())
    }
}

fn is_synced(op: &ChangeOp) -> bool {
    !matches!(op, ChangeOp::Stage { .. } | ChangeOp::Rows { .. } | ChangeOp::Undo { .. } | ChangeOp::Drop { .. })
}

/// About what a change's batch takes: each row stands in it as an entry, an id, a delta, in columns and in the change.
fn batch_bytes(op: &ChangeOp) -> usize {
    match op {
        ChangeOp::Rows { rows, .. } => rows.iter().map(|row| 4 * row_bytes(row) + 64).sum(),
        _ => 0,
    }
}

fn refused(why: impl Into<String>) -> StoreError {
    StoreError::Refused(why.into())
}

fn limit(what: &str, bytes: usize, max: usize) -> Result<(), StoreError> {
    if bytes <= max {
        return Ok(());
    }
    Err(refused(format!("{what} has {bytes} bytes; the limit is {max}")))
}

/// A change on its way into a batch.
struct Tx<'a> {
    store: &'a Store,
    /// Looked up once, by name, and not for every row; in the order of [`Family::ALL`].
    families: Vec<Arc<BoundColumnFamily<'a>>>,
    batch: WriteBatch,
    next_entry: u32,
    next_list: u32,
}

impl<'a> Tx<'a> {
    fn family(&self, family: Family) -> &Arc<BoundColumnFamily<'a>> {
        &self.families[family as usize]
    }

    fn change(&mut self, change: &Change) -> Result<(), StoreError> {
        match &change.op {
            ChangeOp::CreateList { list, name, polarity, policy } => {
                self.create_list(HashList::new(*list, name.clone(), *polarity, policy.clone()))?;
            }
            ChangeOp::SetPolicy { list, policy } => {
                check_policy(policy)?;
                let list = self.list(*list)?;
                self.put_list(&HashList { policy: policy.clone(), ..list });
            }
            ChangeOp::SetDisabled { list, disabled } => {
                let list = self.list(*list)?;
                self.put_list(&HashList { disabled: *disabled, ..list });
            }
            ChangeOp::DeleteList { list } => self.delete_list(*list)?,
            ChangeOp::Stage { list, version, parent, source, made_by } => {
                let list = self.list(*list)?;
                let version = self.stage(&list, (*version, *parent), source, change.time_ms, *made_by)?;
                self.put_version(&version);
            }
            ChangeOp::Rows { list, version, rows } => {
                self.list(*list)?;
                let mut version = self.staged(*list, *version)?;
                self.rows(&mut version, rows)?;
                self.put_version(&version);
            }
            ChangeOp::Seal { list, version, rows, digest } => {
                let mut list = self.list(*list)?;
                let version = self.staged(list.id, *version)?;
                self.seal(&mut list, version, *rows, digest)?;
                self.put_list(&list);
            }
            ChangeOp::Activate { list, version } => {
                let mut list = self.list(*list)?;
                let sealed = self.store.version(list.id, *version)?.filter(|v| v.state == VersionState::Sealed);
                let not_sealed = || refused(format!("version {} of list {} is not sealed", version.0, list.name));
                let sealed = sealed.ok_or_else(not_sealed)?;
                activate(&mut list, *version)?;
                self.put_version(&ListVersion { activated: true, ..sealed });
                self.put_list(&list);
            }
            ChangeOp::Undo { list, version } => {
                self.list(*list)?;
                let version = self.staged(*list, *version)?;
                self.sweep_without(version.list, &[version.version])?;
                self.put_version(&ListVersion { state: VersionState::Undone, rows: 0, digest: [0; 32], ..version });
            }
            ChangeOp::Edit { list, version, parent, source, rows, rows_total, digest } => {
                let mut list = self.list(*list)?;
                let mut version = self.stage(&list, (*version, *parent), source, change.time_ms, MadeBy::Edit)?;
                self.rows(&mut version, rows)?;
                version.activated = true;
                let number = version.version;
                self.seal(&mut list, version, *rows_total, digest)?;
                activate(&mut list, number)?;
                self.put_list(&list);
            }
            ChangeOp::Drop { list, versions } => {
                let list = self.list(*list)?;
                self.drop_versions(&list, versions)?;
            }
            ChangeOp::AddSource { list, name } => self.add_source(*list, name)?,
            ChangeOp::SetMark { list, id, mark } => self.set_mark(*list, id, mark.as_ref(), change)?,
            ChangeOp::SetFeed { list, source, feed } => self.set_feed(*list, source, feed.as_ref())?,
        }
        Ok(())
    }

    /// Their records and the contents of the changes that made them go here; their rows go later, which no look-up notices: see
    /// [`Store::sweep`].
    fn drop_versions(&mut self, list: &HashList, versions: &[VersionNo]) -> Result<(), StoreError> {
        let newest = self.store.version_last(list.id)?.map(|v| v.version);
        if versions.is_empty() {
            return Err(refused("there is no version to drop"));
        }
        for version in versions {
            let which = format!("version {} of list {}", version.0, list.name);
            // The newest record tells the next version's number.
            if [Some(list.active), Some(list.previous), Some(list.head), newest].contains(&Some(*version)) {
                return Err(refused(format!("{which} is in use")));
            }
            match self.store.version(list.id, *version)?.map(|v| v.state) {
                Some(VersionState::Sealed | VersionState::Undone) => {}
                Some(VersionState::Staged) => return Err(refused(format!("{which} is being written"))),
                None => return Err(refused(format!("{which} does not exist"))),
            }
            self.delete(Family::Versions, &keys::version_key(list.id, *version));
            let (from, to) = (keys::version_key(list.id, *version), keys::version_key(list.id, VersionNo(version.0 + 1)));
            self.batch.delete_range_cf(&self.families[Family::Contents as usize], from, to);
        }
        self.sweep_without(list.id, versions)
    }

    /// Notes that versions are there no more, or were given up, and that what they alone held is still there: their own rows, and those of
    /// ancestors that no other version has.
    fn sweep_without(&mut self, list: ListId, going: &[VersionNo]) -> Result<(), StoreError> {
        let (gone, left): (Vec<_>, Vec<_>) =
            self.store.versions(list)?.into_iter().partition(|v| going.contains(&v.version) || v.state == VersionState::Undone);
        let mut span = self.store.sweep_due(list)?;
        for version in gone.iter().filter(|v| going.contains(&v.version)) {
            let alone = left.iter().fold(version.lineage.clone(), |alone, other| alone.without(&other.lineage));
            let low = alone.ranges().first().map_or(version.version, |(first, _)| *first);
            span = Some(span.map_or((low, version.version), |(lowest, highest)| (lowest.min(low), highest.max(version.version))));
        }
        if let Some((lowest, highest)) = span {
            self.put(Family::Meta, &keys::sweep_key(list), &[lowest.0.to_be_bytes(), highest.0.to_be_bytes()].concat());
        }
        Ok(())
    }

    fn create_list(&mut self, list: HashList) -> Result<(), StoreError> {
        check_list_name(&list.name).map_err(|bad| refused(bad.to_string()))?;
        check_policy(&list.policy)?;
        let lists = self.store.lists()?;
        if lists.len() >= LISTS_MAX {
            return Err(refused(format!("there are {LISTS_MAX} lists already, which is the limit")));
        }
        if lists.iter().any(|other| other.name == list.name) {
            return Err(refused(format!("there is a list named {} already", list.name)));
        }
        if list.id.0 != self.next_list || list.id.0 == u32::MAX {
            return Err(refused(format!("the next list's number is {}, not {}", self.next_list, list.id.0)));
        }
        self.next_list += 1;
        self.put_list(&list);
        Ok(())
    }

    fn delete_list(&mut self, list: ListId) -> Result<(), StoreError> {
        self.list(list)?;
        self.delete(Family::Lists, &keys::list_key(list));
        self.delete(Family::Meta, &keys::sweep_key(list));
        let (first, end) = keys::fetch_keys(list);
        self.batch.delete_range_cf(&self.families[Family::Meta as usize], first, end);
        for family in Family::OF_LISTS {
            let handle = self.store.family(family)?;
            self.batch.delete_range_cf(&handle, keys::list_key(list), keys::list_end(list));
        }
        let mut raw = self.store.raw(Family::Columns, Vec::new(), Vec::new())?;
        raw.seek_to_first();
        while let Some((key, value)) = raw.item() {
            if value.starts_with(&keys::list_key(list)) {
                self.delete(Family::Columns, key);
            }
            raw.next();
        }
        Ok(raw.status()?)
    }

    /// A version's record as it stands before its first row: what its parent holds.
    fn stage(
        &self,
        list: &HashList,
        (version, parent): (VersionNo, Parent),
        source: &str,
        time_ms: u64,
        made_by: MadeBy,
    ) -> Result<ListVersion, StoreError> {
        limit("a version's source", source.len(), SOURCE_BYTES_MAX)?;
        let next = self.store.version_last(list.id)?.map_or(0, |v| v.version.0).saturating_add(1);
        if version.0 != next || next == u32::MAX {
            return Err(refused(format!("the next version of list {} is {next}, not {}", list.name, version.0)));
        }
        let parent = parent.ok_or_else(|| refused("a new version names its parent"))?;
        let (rows, digest, lineage) = match parent {
            VersionNo(0) => (0, [0; 32], Lineage::default()),
            parent => {
                let found = self.store.version(list.id, parent)?.filter(|v| v.state == VersionState::Sealed);
                let not_sealed = || refused(format!("version {} of list {} is not sealed", parent.0, list.name));
                let found = found.ok_or_else(not_sealed)?;
                (found.rows, found.digest, found.lineage)
            }
        };
        let mut failed = None;
        let lineage = lineage.child(version, &mut |after, before| {
            self.store.is_void(list.id, after, before).unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let (list, state, source) = (list.id, VersionState::Staged, source.to_owned());
        Ok(ListVersion { list, version, parent, lineage, state, rows, digest, source, time_ms, made_by, activated: false })
    }

    fn rows(&mut self, version: &mut ListVersion, rows: &[RowChange]) -> Result<(), StoreError> {
        if rows.len() > ROWS_MAX {
            return Err(refused(format!("{} rows in one change; the limit is {ROWS_MAX}", rows.len())));
        }
        limit("a change's rows", rows.iter().map(row_bytes).sum(), ROWS_BYTES_MAX)?;
        let mut ids = HashMap::with_capacity(rows.len());
        for row in rows {
            match row {
                RowChange::Open { entry, content, description } => {
                    self.open_row(version, &mut ids, *entry, content)?;
                    if let Some(description) = description {
                        self.describe_row(version, &mut ids, *entry, &content.id, description)?;
                    }
                }
                RowChange::Close { entry } => self.close_row(version, &mut ids, *entry)?,
                RowChange::Describe { entry, description } => {
                    let id = self.id_of(version.list, *entry)?;
                    self.describe_row(version, &mut ids, *entry, &id.unwrap_or_default(), description)?;
                }
            }
        }
        for (form, history) in ids {
            self.put(Family::EntryIds, &keys::id_key(version.list, &form), &history.encode());
        }
        Ok(())
    }

    fn open_row(&mut self, version: &mut ListVersion, ids: &mut Ids, entry: EntryNo, content: &Entry) -> Result<(), StoreError> {
        keys::check_entry(content).map_err(refused)?;
        let mut value = Vec::with_capacity(128);
        keys::put_content(&mut value, content);
        let digest = sha256(&value);
        let history = self.history(ids, version.list, &content.id)?;
        if history.in_version(&version.lineage).is_some() {
            return Err(refused(format!("entry {} has an id that another entry of the version has", entry.0)));
        }
        if entry.0 == self.next_entry {
            // The largest number is never given out, so that one past the last can be said.
            self.next_entry = entry.0.checked_add(1).ok_or_else(|| refused("there are no entry numbers left"))?;
            history.0.push(EntryHistory { entry, digest, deltas: vec![(version.version, Deed::Opened)] });
            self.put(Family::Entries, &keys::row_key(version.list, entry), &value);
        } else {
            if entry.0 > self.next_entry {
                return Err(refused(format!("the next entry's number is {}, not {}", self.next_entry, entry.0)));
            }
            let known = history.entry(entry);
            let known = known.ok_or_else(|| refused(format!("entry number {} was used before, but not for this id", entry.0)))?;
            if known.digest != digest {
                return Err(refused(format!("entry {} had another content before: a new content takes a new number", entry.0)));
            }
            if !known.note(version.version, Deed::Opened) {
                return Err(refused(format!("entry {} was closed by this version", entry.0)));
            }
        }
        self.put(Family::Deltas, &keys::delta_key(version.list, version.version, DeltaOp::Opened, entry), &[]);
        version.rows += 1;
        digest_add(&mut version.digest, &digest);
        Ok(())
    }

    fn close_row(&mut self, version: &mut ListVersion, ids: &mut Ids, entry: EntryNo) -> Result<(), StoreError> {
        let not_in = || refused(format!("entry {} is not in the version, or was opened by it", entry.0));
        let id = self.id_of(version.list, entry)?.ok_or_else(not_in)?;
        let history = self.history(ids, version.list, &id)?;
        let known = history.entry(entry).filter(|known| known.is_in(&version.lineage)).ok_or_else(not_in)?;
        if !known.note(version.version, Deed::Closed) {
            return Err(not_in());
        }
        let digest = known.digest;
        self.put(Family::Deltas, &keys::delta_key(version.list, version.version, DeltaOp::Closed, entry), &[]);
        version.rows = version.rows.checked_sub(1).ok_or_else(|| Family::Versions.corrupt("a row count is too small"))?;
        digest_sub(&mut version.digest, &digest);
        Ok(())
    }

    fn describe_row(
        &mut self,
        version: &ListVersion,
        ids: &mut Ids,
        entry: EntryNo,
        id: &str,
        description: &Description,
    ) -> Result<(), StoreError> {
        limit("an entry's details", description.details.bytes(), DETAILS_BYTES_MAX)?;
        if description.sources.is_empty() {
            return Err(refused(format!("entry {} would have no source", entry.0)));
        }
        let history = self.history(ids, version.list, id)?;
        let known = history.entry(entry).filter(|known| known.is_in(&version.lineage));
        let known = known.ok_or_else(|| refused(format!("entry {} is not in the version", entry.0)))?;
        let details = details_digest(&description.details);
        if !known.note(version.version, Deed::Described { sources: description.sources, details }) {
            return Err(refused(format!("entry {} was described by this version", entry.0)));
        }
        self.put(Family::Deltas, &keys::delta_key(version.list, version.version, DeltaOp::Described, entry), &[]);
        if !description.details.is_empty() {
            let value = wire::write_details(&description.details);
            self.put(Family::Details, &keys::details_key(version.list, entry, version.version), &value);
        }
        Ok(())
    }

    /// The id of an entry that was there before the change.
    fn id_of(&self, list: ListId, entry: EntryNo) -> Result<Option<String>, StoreError> {
        let value = self.store.db.get_pinned_cf(self.family(Family::Entries), keys::row_key(list, entry))?;
        value.map(|bytes| keys::content(&bytes).map(|content| content.id)).transpose()
    }

    fn add_source(&mut self, list: ListId, name: &str) -> Result<(), StoreError> {
        check_list_name(name).map_err(|_| refused("a source is named as a list is"))?;
        let mut list = self.list(list)?;
        if list.source(name).is_some() {
            return Err(refused(format!("list {} has a source {name} already", list.name)));
        }
        if Sources::NAMES.len() + list.sources.len() >= Sources::MAX {
            return Err(refused(format!("list {} has {} sources, which is the limit", list.name, Sources::MAX)));
        }
        list.sources.push(name.to_owned());
        self.put_list(&list);
        Ok(())
    }

    /// A source need not have brought anything yet.
    fn set_feed(&mut self, list: ListId, source: &str, feed: Option<&Feed>) -> Result<(), StoreError> {
        let mut list = self.list(list)?;
        check_list_name(source).map_err(|_| refused("a source is named as a list is"))?;
        match feed {
            Some(feed) => {
                feed.check().map_err(|bad| refused(bad.0))?;
                list.feeds.insert(source.to_owned(), feed.clone());
                if list.feeds.len() > Sources::MAX {
                    return Err(refused(format!("list {} has {} sources, which is the limit", list.name, Sources::MAX)));
                }
            }
            None => {
                list.feeds
                    .remove(source)
                    .ok_or_else(|| refused(format!("source {source} of list {} is not fetched", list.name)))?;
            }
        }
        self.put_list(&list);
        Ok(())
    }

    fn set_mark(&mut self, list: ListId, id: &str, mark: Option<&Mark>, change: &Change) -> Result<(), StoreError> {
        let mut list = self.list(list)?;
        keys::check_id(id).map_err(refused)?;
        let key = keys::id_key(list.id, &self.store.id_form(id));
        let known = self.store.mark(list.id, id)?;
        match mark {
            None if known.is_none() => return Err(refused("the entry has no mark")),
            None => self.delete(Family::Marks, &key),
            Some(mark) => {
                mark.check().map_err(|bad| refused(bad.0))?;
                // There are no more marks than were set.
                let may_be_full = list.marks_changed >= MARKS_MAX as u64;
                if known.is_none() && may_be_full && self.store.marks(list.id)?.count() >= MARKS_MAX {
                    return Err(refused(format!("list {} has {MARKS_MAX} marked entries, which is the limit", list.name)));
                }
                let (id, by, time_ms) = (id.to_owned(), change.by.clone(), change.time_ms);
                self.put(Family::Marks, &key, &wire::write_marked(&Marked { id, mark: mark.clone(), by, time_ms }));
            }
        }
        list.marks_changed += 1;
        self.put_list(&list);
        Ok(())
    }

    /// What is known of an id, with what the rows before in the same change did.
    fn history<'i>(&self, ids: &'i mut Ids, list: ListId, id: &str) -> Result<&'i mut IdHistory, StoreError> {
        match ids.entry(self.store.id_form(id).into_owned()) {
            hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            hash_map::Entry::Vacant(place) => {
                let value = self.store.db.get_pinned_cf(self.family(Family::EntryIds), keys::id_key(list, place.key()))?;
                let history = value.map_or_else(|| Ok(IdHistory::default()), |bytes| IdHistory::decode(&bytes))?;
                Ok(place.insert(history))
            }
        }
    }

    fn seal(&mut self, list: &mut HashList, version: ListVersion, rows: u64, digest: &[u8; 32]) -> Result<(), StoreError> {
        if rows != version.rows || *digest != version.digest {
            let which = format!("version {} of list {}", version.version.0, list.name);
            return Err(refused(format!("{which} holds {} rows; {rows} were announced, or their digest differs", version.rows)));
        }
        list.head = list.head.max(version.version);
        self.put_version(&ListVersion { state: VersionState::Sealed, ..version });
        Ok(())
    }

    fn list(&self, list: ListId) -> Result<HashList, StoreError> {
        self.store.list(list)?.ok_or_else(|| refused(format!("there is no list with number {}", list.0)))
    }

    fn staged(&self, list: ListId, version: VersionNo) -> Result<ListVersion, StoreError> {
        let record = self.store.version(list, version)?.filter(|v| v.state == VersionState::Staged);
        record.ok_or_else(|| refused(format!("version {} of list {} is not being written", version.0, list.0)))
    }

    fn put_list(&mut self, list: &HashList) {
        self.put(Family::Lists, &keys::list_key(list.id), &wire::write_list(list));
    }

    fn put_version(&mut self, version: &ListVersion) {
        self.put(Family::Versions, &keys::version_key(version.list, version.version), &wire::write_version(version));
    }

    fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.batch.put_cf(&self.families[family as usize], key, value);
    }

    fn delete(&mut self, family: Family, key: &[u8]) {
        self.batch.delete_cf(&self.families[family as usize], key);
    }
}

/// Ids that a change touches, by their form.
type Ids = HashMap<Vec<u8>, IdHistory>;

fn activate(list: &mut HashList, version: VersionNo) -> Result<(), StoreError> {
    if list.active == version {
        return Err(refused(format!("version {} of list {} is active already", version.0, list.name)));
    }
    list.previous = list.active;
    list.active = version;
    Ok(())
}

fn check_policy(policy: &ListPolicy) -> Result<(), StoreError> {
    limit("a policy", wire::policy_bytes(policy), POLICY_BYTES_MAX)?;
    let radii = policy.kinds.iter().map(|(kind, k)| (*kind, k.radius));
    let radii = radii.chain(policy.category_radii.iter().map(|((_, kind), radius)| (*kind, *radius)));
    for (kind, radius) in radii {
        if radius > kind.radius_max() {
            return Err(refused(format!("{kind} radius {radius} is above the largest, {}", kind.radius_max())));
        }
    }
    for (kind, radius) in &policy.views {
        ViewRule { kind: *kind, radius: *radius }.check().map_err(|bad| refused(bad.0))?;
    }
    Ok(())
}
