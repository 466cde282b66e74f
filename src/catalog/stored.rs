//! The stored columns: read into memory, made again from the lists' rows, held against them.

use super::CatalogError;
use super::advance;
use super::columns::{self, COLUMNS, METADATA};
use crate::entry::Bits;
use crate::entry::{Entry, EntryNo, Hash64, HashKind, HashList, HashValue, ListId, Pdq, VersionNo};
use crate::snapshot::{Alive, EntryMetadata, HashRows, KindSet, Rows, Snapshot};
use crate::store::{DeltaOp, DerivedPut, Store};

/// The mark that says that every row is in the columns.
const COLUMNS_WHOLE: &str = "columns";
/// Entries in one batch of a rebuild of the columns.
const REBUILD_ROWS: usize = 10_000;

/// Metadata go into the snapshot, hashes are returned, both read at once. Every kind of hash that an entry's metadata name must be there: what the
/// columns lack would be missed in silence.
pub fn read(store: &Store, first: EntryNo, wanted: &Alive, snapshot: &mut Snapshot) -> Result<HashRows, CatalogError> {
    let at = |kind| Source { store, kind, first, wanted };
    let (due, columns) = rayon::join(
        || read_metadata(store, first, wanted, snapshot),
        || {
            Ok::<_, CatalogError>((
                at(HashKind::Pdq).read(|bytes: &[u8; 32]| Pdq::from_bytes(bytes))?,
                at(HashKind::Phash64).read(|bytes: &[u8; 8]| Hash64::from_bytes(bytes))?,
                at(HashKind::Dhash64).read(|bytes: &[u8; 8]| Hash64::from_bytes(bytes))?,
                at(HashKind::Md5).read(|bytes: &[u8; 16]| Some(*bytes))?,
                at(HashKind::Sha1).read(|bytes: &[u8; 20]| Some(*bytes))?,
                at(HashKind::Sha256).read(|bytes: &[u8; 32]| Some(*bytes))?,
            ))
        },
    );
    let (due, (pdq, phash64, dhash64, md5, sha1, sha256)) = (due?, columns?);
    let due = |kind| due[kind as usize];
    Ok(HashRows {
        pdq: pdq.whole(due(HashKind::Pdq))?,
        phash64: phash64.whole(due(HashKind::Phash64))?,
        dhash64: dhash64.whole(due(HashKind::Dhash64))?,
        md5: md5.whole(due(HashKind::Md5))?,
        sha1: sha1.whole(due(HashKind::Sha1))?,
        sha256: sha256.whole(due(HashKind::Sha256))?,
    })
}

/// How many entries have a hash of each kind, by their metadata.
fn read_metadata(
    store: &Store,
    first: EntryNo,
    wanted: &Alive,
    snapshot: &mut Snapshot,
) -> Result<[usize; COLUMNS], CatalogError> {
    let mut due = [0usize; COLUMNS];
    for chunk in store.columns_from(METADATA, first)? {
        let (_, bytes) = chunk?;
        let whole = columns::decode_metadata(&bytes, |list, row| {
            if !wanted.contains(row.entry) {
                return Some(());
            }
            row.kinds.iter().for_each(|kind| due[kind as usize] += 1);
            let metadata = EntryMetadata { list, id: row.id, category: row.category, kinds: row.kinds };
            snapshot.add_metadata(row.entry, metadata).then_some(()) // none twice
        });
        whole.ok_or_else(|| damaged(METADATA))?;
    }
    Ok(due)
}

/// One column.
struct Source<'a> {
    store: &'a Store,
    kind: HashKind,
    first: EntryNo,
    wanted: &'a Alive,
}

/// What a column has of the entries that are wanted.
struct Column<H> {
    kind: HashKind,
    rows: Rows<H>,
    entries: usize,
}

impl<H> Column<H> {
    /// The rows, if they are those of as many entries as are due.
    fn whole(self, due: usize) -> Result<Rows<H>, CatalogError> {
        let Column { kind, rows, entries } = self;
        if entries != due {
            return Err(CatalogError::Damaged(format!("{due} entries have a {kind} hash, the column has those of {entries}")));
        }
        Ok(rows)
    }
}

impl Source<'_> {
    fn read<const N: usize, H: Copy>(&self, make: fn(&[u8; N]) -> Option<H>) -> Result<Column<H>, CatalogError> {
        let mut rows = Rows::default();
        let (mut last, mut entries) = (None, 0);
        for chunk in self.store.columns_from(self.kind as u8, self.first)? {
            let (_, bytes) = chunk?;
            let whole = columns::decode_hashes::<N>(&bytes, |entry, hash| {
                if self.wanted.contains(entry)
                    && let Some(hash) = make(hash)
                {
                    // Several hashes of one entry stand side by side.
                    entries += usize::from(last.replace(entry) != Some(entry));
                    rows.push(hash, entry);
                }
            });
            whole.ok_or_else(|| damaged(self.kind as u8))?;
        }
        Ok(Column { kind: self.kind, rows, entries })
    }
}

/// The hashes of one kind of some entries of a list: few entries are read one by one, of many the column is.
pub fn each_hash(
    store: &Store,
    list: ListId,
    kind: HashKind,
    of: &Alive,
    each: &mut dyn FnMut(EntryNo, &[u8]),
) -> Result<(), CatalogError> {
    if of.count() <= advance::POINT_READS_MAX as u64 {
        for entry in of.iter() {
            let content = store.entry(list, entry)?;
            let hashes = content.iter().flat_map(|content| content.sought()).filter(|hash| hash.kind() == kind);
            hashes.for_each(|hash| hash.with_bytes(|bytes| each(entry, bytes)));
        }
        return Ok(());
    }
    for chunk in store.columns_from(kind as u8, first_chunk(of))? {
        let (_, bytes) = chunk?;
        let whole = columns::decode_any(kind, &bytes, |entry, hash| {
            if of.contains(entry) {
                each(entry, hash);
            }
        });
        whole.ok_or_else(|| damaged(kind as u8))?;
    }
    Ok(())
}

/// From where on the chunks are that can have one of these entries.
pub fn first_chunk(of: &Alive) -> EntryNo {
    EntryNo(of.iter().next().map_or(0, |entry| entry.0.saturating_sub(columns::SPAN)))
}

/// The entries of a version.
pub fn entries_of(store: &Store, list: ListId, version: VersionNo) -> Result<Alive, CatalogError> {
    let mut entries = Alive::default();
    for delta in advance::deltas(store, list, &advance::lineage(store, list, version)?)? {
        let delta = delta?;
        if delta.op != DeltaOp::Described {
            entries.set(delta.entry, delta.op == DeltaOp::Opened);
        }
    }
    Ok(entries)
}

/// An active version's hashes of one kind, by entry, and those entries' categories.
pub fn hashes_of<const N: usize, H: Copy>(
    store: &Store,
    list: &HashList,
    kind: HashKind,
    make: fn(&[u8; N]) -> Option<H>,
) -> Result<(Rows<H>, Categories), CatalogError> {
    let wanted = entries_of(store, list.id, list.active)?;
    let (mut categories, mut due) = (Categories::default(), 0);
    for chunk in store.columns_from(METADATA, EntryNo(0))? {
        let (_, bytes) = chunk?;
        let whole = columns::decode_metadata(&bytes, |_, row| {
            if wanted.contains(row.entry) && row.kinds.iter().any(|of| of == kind) {
                due += 1;
                categories.push(row.entry, row.category);
            }
            Some(())
        });
        whole.ok_or_else(|| damaged(METADATA))?;
    }
    let rows = Source { store, kind, first: EntryNo(0), wanted: &wanted }.read(make)?.whole(due)?;
    Ok((rows, categories))
}

/// The categories of some entries.
#[derive(Default)]
pub struct Categories {
    names: Vec<Box<str>>,
    /// By entry, which come in rising order.
    of: Vec<(EntryNo, u16)>,
}

impl Categories {
    fn push(&mut self, entry: EntryNo, category: &str) {
        let known = self.names.iter().rposition(|name| **name == *category);
        let at = known.unwrap_or_else(|| {
            // A list has a handful. Beyond what can be numbered they are counted with the last one.
            if self.names.len() <= usize::from(u16::MAX) {
                self.names.push(category.into());
            }
            self.names.len() - 1
        });
        self.of.push((entry, at as u16));
    }

    pub fn of(&self, entry: EntryNo) -> &str {
        let at = self.of.binary_search_by_key(&entry, |(entry, _)| *entry).ok();
        at.map_or("", |at| &self.names[usize::from(self.of[at].1)])
    }
}

/// Makes the columns again from the lists' rows.
pub fn rebuild(store: &Store) -> Result<(), CatalogError> {
    // When files were imported, and which bundles, is not derived of anything.
    let mut imported = Vec::new();
    for list in store.lists()? {
        for name in [super::imported_mark(list.id), super::bundles::mark(list.id)] {
            imported.extend(store.derived_mark(&name)?.map(|bytes| DerivedPut::Mark { name, bytes }));
        }
    }
    store.derived_reset(columns::FORMAT)?;
    store.derived_put(&imported)?;
    for list in store.lists()? {
        let mut batch: Vec<(EntryNo, Entry)> = Vec::with_capacity(REBUILD_ROWS);
        for row in store.rows(list.id)? {
            let row = row?;
            if batch.len() == REBUILD_ROWS {
                store.derived_put(&columns::encode(list.id, batch.iter().map(|(n, e)| (*n, e))))?;
                batch.clear();
            }
            batch.push((row.entry, row.content));
        }
        store.derived_put(&columns::encode(list.id, batch.iter().map(|(n, e)| (*n, e))))?;
    }
    // Last, so that a rebuild that is cut short starts over.
    store.derived_put(&[DerivedPut::Mark { name: COLUMNS_WHOLE.to_owned(), bytes: vec![1] }])?;
    Ok(())
}

/// Whether the columns are of the layout known here, and all there.
pub fn are_whole(store: &Store) -> Result<bool, CatalogError> {
    Ok(store.format_derived_found() == columns::FORMAT && store.derived_mark(COLUMNS_WHOLE)?.is_some())
}

/// What is wrong with the columns: every row of every list must be in them, once, as it is.
pub fn verify(store: &Store) -> Result<Vec<String>, CatalogError> {
    use std::collections::HashMap;
    use std::hash::{DefaultHasher, Hash, Hasher};
    const PROBLEMS_MAX: usize = 20;
    let summary = |kind: u8, bytes: &[u8]| {
        let mut hasher = DefaultHasher::new();
        (kind, bytes).hash(&mut hasher);
        hasher.finish()
    };
    // For each entry: a sum over its metadata and hashes, so that order does not matter.
    let mut sums: HashMap<EntryNo, u64> = HashMap::new();
    let mut add = |entry: EntryNo, sum: u64| {
        let at = sums.entry(entry).or_default();
        *at = at.wrapping_add(sum);
    };
    for chunk in store.columns(METADATA)? {
        let (_, bytes) = chunk?;
        let whole = columns::decode_metadata(&bytes, |list, row| {
            add(row.entry, summary(METADATA, format!("{}/{}/{}/{}", list.0, row.kinds.bits(), row.category, row.id).as_bytes()));
            Some(())
        });
        whole.ok_or_else(|| damaged(METADATA))?;
    }
    for kind in columns::KINDS {
        for chunk in store.columns(kind as u8)? {
            let (_, bytes) = chunk?;
            columns::decode_any(kind, &bytes, |entry, hash| add(entry, summary(kind as u8, hash)))
                .ok_or_else(|| damaged(kind as u8))?;
        }
    }
    let mut problems = Vec::new();
    for list in store.lists()? {
        for row in store.rows(list.id)? {
            let row = row?;
            let Entry { id, category, .. } = &row.content;
            let hashes = row.content.sought();
            let kinds: KindSet = hashes.iter().map(HashValue::kind).collect();
            let metadata = summary(METADATA, format!("{}/{}/{category}/{id}", list.id.0, kinds.bits()).as_bytes());
            let searched = hashes.iter().filter(|h| columns::KINDS.contains(&h.kind()));
            let wanted = searched.fold(metadata, |sum, h| sum.wrapping_add(h.with_bytes(|bytes| summary(h.kind() as u8, bytes))));
            if sums.get(&row.entry) != Some(&wanted) && problems.len() < PROBLEMS_MAX {
                problems
                    .push(format!("columns: entry {} of list {:?}: column data differs from the list", row.entry.0, list.name));
            }
        }
    }
    Ok(problems)
}

/// Rows of a kind in the columns, dead ones included.
pub fn rows(store: &Store, kind: HashKind) -> Result<usize, CatalogError> {
    let mut bytes = 0;
    for chunk in store.columns(kind as u8)? {
        bytes += chunk?.1.len().saturating_sub(4);
    }
    Ok(bytes / (4 + kind.bytes()))
}

pub fn damaged(column: u8) -> CatalogError {
    CatalogError::Damaged(format!("a chunk of column {column}"))
}
