//! What a verdict says about an entry: its list, its id there, its category, and which kinds of hash it has.
//!
//! Kept in chunks of 4,096 entry numbers that snapshots share. Facts never change: an entry number names one content.

use std::sync::Arc;

use crate::entry::{EntryNo, HashKind, ListId};

const CHUNK: usize = 4096;
/// Marks an entry number whose facts were not loaded.
const ABSENT: ListId = ListId(u32::MAX);

/// The kinds of hash an entry has, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindSet(u8);

impl KindSet {
    pub fn with(self, kind: HashKind) -> Self {
        KindSet(self.0 | 1 << kind as u8)
    }

    /// One bit for each kind, at its number.
    pub fn bits(self) -> u8 {
        self.0
    }

    pub fn from_bits(bits: u8) -> Self {
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
pub struct Fact<'a> {
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
    id_end: u32,
    category: u16,
    kinds: KindSet,
}

#[derive(Clone, Default)]
pub struct Facts {
    chunks: Vec<Arc<Chunk>>,
}

impl Facts {
    /// Adds an entry's facts. Entry numbers come in rising order within a chunk; one that is already past, or that is
    /// there already, is left as it is and `false` is returned.
    pub fn push(&mut self, entry: EntryNo, fact: Fact<'_>) -> bool {
        let (c, at) = (entry.0 as usize / CHUNK, entry.0 as usize % CHUNK);
        while self.chunks.len() <= c {
            self.chunks.push(Arc::default());
        }
        if at < self.chunks[c].rows.len() {
            return false;
        }
        let chunk = Arc::make_mut(&mut self.chunks[c]);
        let blank = Row { list: ABSENT, id_end: chunk.ids.len() as u32, category: 0, kinds: KindSet::default() };
        chunk.rows.resize(at, blank);
        chunk.ids.push_str(fact.id);
        // A chunk has at most 4,096 categories; a list has a handful, so the search from the end is short.
        let category = chunk.categories.iter().rposition(|c| **c == *fact.category).unwrap_or_else(|| {
            chunk.categories.push(fact.category.into());
            chunk.categories.len() - 1
        });
        chunk.rows.push(Row { list: fact.list, id_end: chunk.ids.len() as u32, category: category as u16, kinds: fact.kinds });
        true
    }

    pub fn get(&self, entry: EntryNo) -> Option<Fact<'_>> {
        let (c, at) = (entry.0 as usize / CHUNK, entry.0 as usize % CHUNK);
        let chunk = self.chunks.get(c)?;
        let row = chunk.rows.get(at).filter(|row| row.list != ABSENT)?;
        let start = at.checked_sub(1).map_or(0, |before| chunk.rows[before].id_end);
        let id = &chunk.ids[start as usize..row.id_end as usize];
        Some(Fact { list: row.list, id, category: &chunk.categories[row.category as usize], kinds: row.kinds })
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
        let mut facts = Facts::default();
        let numbers = [0u32, 1, 5, 4095, 4096, 9000];
        for n in numbers {
            let (id, category) = (format!("id-{n}"), if n % 2 == 0 { "even" } else { "odd" });
            let kinds = KindSet::default().with(HashKind::Md5).with(HashKind::Pdq);
            assert!(facts.push(EntryNo(n), Fact { list: ListId(n % 3), id: &id, category, kinds }));
        }
        for n in numbers {
            let fact = facts.get(EntryNo(n)).expect("it was pushed");
            assert_eq!((fact.list, fact.id), (ListId(n % 3), format!("id-{n}").as_str()));
            assert_eq!(fact.category, if n % 2 == 0 { "even" } else { "odd" });
            assert_eq!(fact.kinds.iter().collect::<Vec<_>>(), [HashKind::Pdq, HashKind::Md5]);
        }
        for n in [2, 4, 4097, 9001, 100_000] {
            assert_eq!(facts.get(EntryNo(n)), None, "{n}");
        }
    }

    #[test]
    fn a_number_that_is_past_is_refused() {
        let mut facts = Facts::default();
        let fact = |id| Fact { list: ListId(1), id, category: "", kinds: KindSet::default() };
        assert!(facts.push(EntryNo(7), fact("seven")));
        assert!(!facts.push(EntryNo(7), fact("again")));
        assert!(!facts.push(EntryNo(3), fact("three")));
        assert_eq!(facts.get(EntryNo(7)).map(|f| f.id), Some("seven"));
    }
}
