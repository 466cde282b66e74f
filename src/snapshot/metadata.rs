//! What a verdict says about an entry: its list, its id there, its category, and which kinds of hash it has.
//!
//! Kept in chunks of 4,096 entry numbers that snapshots share. Metadata never changes: an entry number names one content.

use std::sync::{Arc, LazyLock};

use crate::entry::{EntryNo, HashKind, ListId};

const CHUNK: usize = 4096;
/// Marks an entry number whose metadata was not loaded.
const ABSENT: ListId = ListId(u32::MAX);

/// The kinds of hash an entry has, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindSet(u16);

impl KindSet {
    pub fn with(self, kind: HashKind) -> Self {
        KindSet(self.0 | 1 << kind as u8)
    }

    /// One bit for each kind, at its number.
    pub fn bits(self) -> u16 {
        self.0
    }

    pub fn from_bits(bits: u16) -> Self {
        KindSet(bits)
    }

    pub fn iter(self) -> impl Iterator<Item = HashKind> {
        HashKind::ALL.into_iter().filter(move |k| self.0 >> *k as u8 & 1 == 1)
    }
}

impl FromIterator<HashKind> for KindSet {
    fn from_iter<I: IntoIterator<Item = HashKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(KindSet::default(), KindSet::with)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryMetadata<'a> {
    pub list: ListId,
    pub id: &'a str,
    pub category: &'a str,
    pub kinds: KindSet,
}

#[derive(Clone, Default)]
struct Chunk {
    rows: Vec<Row>,
    ids: String,
    categories: Vec<Box<str>>,
}

#[derive(Clone, Copy)]
struct Row {
    list: ListId,
    id_start: u32,
    id_bytes: u16,
    category: u16,
    kinds: KindSet,
}

/// An entry number whose metadata is not loaded.
const BLANK: Row = Row { list: ABSENT, id_start: 0, id_bytes: 0, category: 0, kinds: KindSet(0) };

/// Stands for every chunk of which nothing is loaded.
static NONE: LazyLock<Arc<Chunk>> = LazyLock::new(Arc::default);

#[derive(Clone, Default)]
pub struct MetadataTable {
    chunks: Vec<Arc<Chunk>>,
    entries: u64,
}

impl MetadataTable {
    /// Adds an entry's metadata, in any order of numbers; `false` where it is there already, and stays as it is.
    pub fn push(&mut self, entry: EntryNo, metadata: EntryMetadata<'_>) -> bool {
        if self.get(entry).is_some() {
            return false;
        }
        let (c, at) = (entry.0 as usize / CHUNK, entry.0 as usize % CHUNK);
        if self.chunks.len() <= c {
            self.chunks.resize(c + 1, NONE.clone());
        }
        self.entries += 1;
        let chunk = Arc::make_mut(&mut self.chunks[c]);
        // A chunk has at most 4,096 categories; a list has a handful, so the search from the end is short.
        let category = chunk.categories.iter().rposition(|c| **c == *metadata.category).unwrap_or_else(|| {
            chunk.categories.push(metadata.category.into());
            chunk.categories.len() - 1
        });
        let (id_start, id_bytes) = (chunk.ids.len() as u32, metadata.id.len() as u16); // an id has at most 256 bytes
        chunk.ids.push_str(metadata.id);
        if chunk.rows.len() <= at {
            chunk.rows.resize(at + 1, BLANK);
        }
        chunk.rows[at] = Row { list: metadata.list, id_start, id_bytes, category: category as u16, kinds: metadata.kinds };
        true
    }

    /// Entries whose metadata is loaded.
    pub fn len(&self) -> u64 {
        self.entries
    }

    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Adds another table's entries. Chunks of which one side has nothing are shared; `false`, and neither is to be used, where both
    /// have an entry.
    #[must_use]
    pub fn unite(&mut self, other: &MetadataTable) -> bool {
        if self.chunks.len() < other.chunks.len() {
            self.chunks.resize(other.chunks.len(), NONE.clone());
        }
        for (c, theirs) in other.chunks.iter().enumerate().filter(|(_, chunk)| !Arc::ptr_eq(chunk, &NONE)) {
            if Arc::ptr_eq(&self.chunks[c], &NONE) {
                self.chunks[c] = theirs.clone();
                self.entries += theirs.rows.iter().filter(|row| row.list != ABSENT).count() as u64;
                continue;
            }
            for at in 0..theirs.rows.len() {
                let entry = EntryNo((c * CHUNK + at) as u32);
                if other.get(entry).is_some_and(|metadata| !self.push(entry, metadata)) {
                    return false;
                }
            }
        }
        true
    }

    pub fn get(&self, entry: EntryNo) -> Option<EntryMetadata<'_>> {
        let (c, at) = (entry.0 as usize / CHUNK, entry.0 as usize % CHUNK);
        let chunk = self.chunks.get(c)?;
        let row = chunk.rows.get(at).filter(|row| row.list != ABSENT)?;
        let id = &chunk.ids[row.id_start as usize..][..usize::from(row.id_bytes)];
        Some(EntryMetadata { list: row.list, id, category: &chunk.categories[row.category as usize], kinds: row.kinds })
    }

    /// The list that an entry is of.
    #[inline]
    pub fn list_of(&self, entry: EntryNo) -> Option<ListId> {
        let (c, at) = (entry.0 as usize / CHUNK, entry.0 as usize % CHUNK);
        let row = self.chunks.get(c)?.rows.get(at)?;
        (row.list != ABSENT).then_some(row.list)
    }

    pub fn bytes(&self) -> usize {
        let rows = self.chunks.iter().map(|c| c.rows.capacity() * size_of::<Row>() + c.ids.capacity()).sum::<usize>();
        rows + self.chunks.iter().flat_map(|c| &c.categories).map(|c| c.len() + size_of::<Box<str>>()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back_across_gaps_and_chunks() {
        let mut table = MetadataTable::default();
        let numbers = [0u32, 1, 5, 4095, 4096, 9000];
        for n in numbers {
            let (id, category) = (format!("id-{n}"), if n % 2 == 0 { "even" } else { "odd" });
            let kinds = KindSet::default().with(HashKind::Md5).with(HashKind::Pdq);
            assert!(table.push(EntryNo(n), EntryMetadata { list: ListId(n % 3), id: &id, category, kinds }));
        }
        for n in numbers {
            let metadata = table.get(EntryNo(n)).expect("it was pushed");
            assert_eq!((metadata.list, metadata.id), (ListId(n % 3), format!("id-{n}").as_str()));
            assert_eq!(metadata.category, if n % 2 == 0 { "even" } else { "odd" });
            assert_eq!(table.list_of(EntryNo(n)), Some(metadata.list));
            assert_eq!(metadata.kinds.iter().collect::<Vec<_>>(), [HashKind::Pdq, HashKind::Md5]);
        }
        for n in [2, 4, 4097, 9001, 100_000] {
            assert_eq!(table.get(EntryNo(n)), None, "{n}");
            assert_eq!(table.list_of(EntryNo(n)), None, "{n}");
        }
    }

    #[test]
    fn numbers_come_in_any_order_and_stay_as_they_first_were() {
        let mut table = MetadataTable::default();
        let metadata = |id| EntryMetadata { list: ListId(1), id, category: "", kinds: KindSet::default() };
        assert!(table.push(EntryNo(7), metadata("seven")));
        assert!(table.push(EntryNo(3), metadata("three")));
        assert!(!table.push(EntryNo(7), metadata("again")));
        assert_eq!((table.get(EntryNo(7)).map(|f| f.id), table.get(EntryNo(3)).map(|f| f.id)), (Some("seven"), Some("three")));
        assert_eq!(table.get(EntryNo(5)), None);
    }

    #[test]
    fn a_union_has_the_entries_of_both_and_refuses_one_that_both_have() {
        let of = |numbers: &[u32]| {
            let mut table = MetadataTable::default();
            for n in numbers {
                let metadata =
                    EntryMetadata { list: ListId(1), id: &format!("id-{n}"), category: "c", kinds: KindSet::default() };
                assert!(table.push(EntryNo(*n), metadata));
            }
            table
        };
        let numbers = |table: &MetadataTable| {
            (0..20_000).filter(|n| table.get(EntryNo(*n)).is_some_and(|row| row.id == format!("id-{n}"))).collect::<Vec<u32>>()
        };
        let (one, other) = (of(&[1, 5_000, 9_000]), of(&[3, 9_001, 13_000]));
        for (mut table, with) in [(one.clone(), &other), (other.clone(), &one)] {
            assert!(table.unite(with));
            assert_eq!((numbers(&table), table.len()), (vec![1, 3, 5_000, 9_000, 9_001, 13_000], 6));
        }
        assert!(!one.clone().unite(&of(&[7, 9_000])));
    }
}
