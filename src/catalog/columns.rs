//! The derived columns: what makes reopening millions of entries take seconds.
//!
//! A chunk holds up to 4,096 rows of one list in rising order of entry number, and spans fewer than [`SPAN`] numbers: who seeks
//! an entry finds its chunk at most that far before it.
//! `list u32`, then for a kind of hash `n x (entry u32, hash)`, for the metadata (column 0) `n x (entry u32, kinds u16, category
//! length u8, category, id length u16, id)`. Integers are big-endian. An entry number names one content, so a chunk only loses
//! rows, those of entries that no version holds any more. They can be dropped and made again from the store's rows.

use crate::entry::{Entry, EntryNo, HashKind, HashValue, ListId};
use crate::snapshot::KindSet;
use crate::store::DerivedPut;

/// The layout above. A store that carries another number has its columns made again.
pub const FORMAT: u32 = 2;
/// The column of metadata; the others are numbered by [`HashKind`].
pub const METADATA: u8 = 0;
/// One more than the largest number of a column.
pub const COLUMNS: usize = HashKind::ALL.len() + 1;
const CHUNK_ROWS: usize = 4096;
pub const SPAN: u32 = 8192;

/// Columns that a look-up can use.
pub const KINDS: [HashKind; 6] =
    [HashKind::Pdq, HashKind::Phash64, HashKind::Dhash64, HashKind::Md5, HashKind::Sha1, HashKind::Sha256];

/// The chunks for new entries of one list, which come in rising order of their numbers.
pub fn encode<'a>(list: ListId, entries: impl Iterator<Item = (EntryNo, &'a Entry)>) -> Vec<DerivedPut> {
    let mut puts = Vec::new();
    let mut open: [Option<(EntryNo, usize, Vec<u8>)>; COLUMNS] = Default::default();
    let mut append = |column: u8, entry: EntryNo, write: &dyn Fn(&mut Vec<u8>)| {
        let slot = &mut open[column as usize];
        if let Some((first, _, bytes)) =
            slot.take_if(|(first, n, _)| (*n >= CHUNK_ROWS || entry.0 - first.0 >= SPAN) && entry != *first)
        {
            puts.push(DerivedPut::Column { kind: column, first, bytes });
        }
        let (_, n, bytes) = slot.get_or_insert_with(|| (entry, 0, list.0.to_be_bytes().to_vec()));
        *n += 1;
        bytes.extend_from_slice(&entry.0.to_be_bytes());
        write(bytes);
    };
    for (number, entry) in entries {
        append(METADATA, number, &|out| {
            let kinds: KindSet = entry.sought().iter().map(HashValue::kind).collect();
            out.extend_from_slice(&kinds.bits().to_be_bytes());
            out.push(entry.category.len() as u8);
            out.extend_from_slice(entry.category.as_bytes());
            out.extend_from_slice(&(entry.id.len() as u16).to_be_bytes());
            out.extend_from_slice(entry.id.as_bytes());
        });
        for hash in entry.sought().iter().filter(|h| KINDS.contains(&h.kind())) {
            append(hash.kind() as u8, number, &|out| hash.with_bytes(|bytes| out.extend_from_slice(bytes)));
        }
    }
    for (column, slot) in open.into_iter().enumerate() {
        if let Some((first, _, bytes)) = slot {
            puts.push(DerivedPut::Column { kind: column as u8, first, bytes });
        }
    }
    puts
}

/// An entry's metadata as a chunk has them.
#[derive(Debug, PartialEq, Eq)]
pub struct MetadataRow<'a> {
    pub entry: EntryNo,
    pub kinds: KindSet,
    pub category: &'a str,
    pub id: &'a str,
}

/// Calls `each` for every row of a metadata chunk; `None` where the chunk is damaged.
pub fn decode_metadata<'a>(chunk: &'a [u8], mut each: impl FnMut(ListId, MetadataRow<'a>) -> Option<()>) -> Option<()> {
    let (list, mut rest) = split_list(chunk)?;
    while !rest.is_empty() {
        let (head, tail) = rest.split_first_chunk::<7>()?;
        let entry = EntryNo(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        let (category, tail) = tail.split_at_checked(head[6] as usize)?;
        let (length, tail) = tail.split_first_chunk::<2>()?;
        let (id, tail) = tail.split_at_checked(u16::from_be_bytes(*length) as usize)?;
        let (category, id) = (std::str::from_utf8(category).ok()?, std::str::from_utf8(id).ok()?);
        each(list, MetadataRow { entry, kinds: KindSet::from_bits(u16::from_be_bytes([head[4], head[5]])), category, id })?;
        rest = tail;
    }
    Some(())
}

/// Calls `each` for every row of a hash chunk of `N`-byte hashes; `None` where the chunk is damaged.
pub fn decode_hashes<const N: usize>(chunk: &[u8], mut each: impl FnMut(EntryNo, &[u8; N])) -> Option<()> {
    let (_, mut rest) = split_list(chunk)?;
    while !rest.is_empty() {
        let (entry, tail) = rest.split_first_chunk::<4>()?;
        let (hash, tail) = tail.split_first_chunk::<N>()?;
        each(EntryNo(u32::from_be_bytes(*entry)), hash);
        rest = tail;
    }
    Some(())
}

/// [`decode_hashes`] for a kind that is known at run time only.
pub fn decode_any(kind: HashKind, chunk: &[u8], mut each: impl FnMut(EntryNo, &[u8])) -> Option<()> {
    match kind.bytes() {
        8 => decode_hashes::<8>(chunk, |entry, hash| each(entry, hash)),
        16 => decode_hashes::<16>(chunk, |entry, hash| each(entry, hash)),
        20 => decode_hashes::<20>(chunk, |entry, hash| each(entry, hash)),
        32 => decode_hashes::<32>(chunk, |entry, hash| each(entry, hash)),
        _ => None,
    }
}

/// What is left of a chunk without some entries.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    /// All of it.
    All,
    Some(Vec<u8>),
    Nothing,
}

/// A list's chunk without the entries that are gone; `None` where the chunk is damaged. Those of other lists stay as they are.
pub fn without(column: u8, chunk: &[u8], list: ListId, gone: &dyn Fn(EntryNo) -> bool) -> Option<Left> {
    let (of, mut rest) = split_list(chunk)?;
    if of != list {
        return Some(Left::All);
    }
    let mut left = chunk[..4].to_vec();
    let mut all = true;
    while !rest.is_empty() {
        let length = match HashKind::from_u8(column) {
            Some(kind) => 4 + kind.bytes(),
            None => metadata_length(rest)?,
        };
        let (row, tail) = rest.split_at_checked(length)?;
        if gone(EntryNo(u32::from_be_bytes(*row.first_chunk()?))) {
            all = false;
        } else {
            left.extend_from_slice(row);
        }
        rest = tail;
    }
    Some(match left.len() {
        _ if all => Left::All,
        4 => Left::Nothing,
        _ => Left::Some(left),
    })
}

/// Bytes of the first row of metadata.
fn metadata_length(rows: &[u8]) -> Option<usize> {
    let category = usize::from(*rows.get(6)?);
    let id = rows.get(7 + category..9 + category)?.first_chunk().map(|length| u16::from_be_bytes(*length))?;
    Some(9 + category + usize::from(id))
}

fn split_list(chunk: &[u8]) -> Option<(ListId, &[u8])> {
    let (list, rest) = chunk.split_first_chunk::<4>()?;
    Some((ListId(u32::from_be_bytes(*list)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u32) -> Entry {
        let mut hashes = vec![HashValue::Md5([n as u8; 16])];
        if n.is_multiple_of(2) {
            hashes.push(HashValue::from_bytes(HashKind::Pdq, &[n as u8; 32]).expect("32 bytes"));
        }
        Entry::new(format!("id-{n}"), ["", "A1"][n as usize % 2].to_owned(), hashes).expect("a valid entry")
    }

    #[test]
    fn chunks_give_back_what_was_put_in() {
        let entries: Vec<_> = (10..10_000u32).map(|n| (EntryNo(n), entry(n))).collect();
        let puts = encode(ListId(3), entries.iter().map(|(n, e)| (*n, e)));
        let (mut metadata, mut md5, mut pdq) = (Vec::new(), Vec::new(), Vec::new());
        for put in &puts {
            let DerivedPut::Column { kind, bytes, .. } = put else { panic!("only columns") };
            match *kind {
                METADATA => decode_metadata(bytes, |list, f| {
                    assert_eq!(list, ListId(3));
                    metadata.push((f.entry, f.id.to_owned(), f.category.to_owned(), f.kinds.iter().count()));
                    Some(())
                }),
                4 => decode_hashes::<16>(bytes, |e, h| md5.push((e, *h))),
                1 => decode_hashes::<32>(bytes, |e, h| pdq.push((e, *h))),
                other => panic!("column {other}"),
            }
            .expect("a whole chunk");
        }
        assert_eq!((metadata.len(), md5.len(), pdq.len()), (9_990, 9_990, 4_995));
        for (row, (number, entry)) in metadata.iter().zip(&entries) {
            assert_eq!(*row, (*number, entry.id.clone(), entry.category.clone(), entry.hashes.len()));
        }
    }

    #[test]
    fn a_chunk_loses_just_the_entries_that_are_gone() {
        let entries: Vec<_> = (10..200u32).map(|n| (EntryNo(n), entry(n))).collect();
        let gone = |n: EntryNo| n.0 < 100 && n.0.is_multiple_of(3);
        let left: Vec<_> = entries.iter().filter(|(n, _)| !gone(*n)).cloned().collect();
        let puts = encode(ListId(3), entries.iter().map(|(n, e)| (*n, e)));
        let expected = encode(ListId(3), left.iter().map(|(n, e)| (*n, e)));
        assert_eq!(puts.len(), expected.len());
        for (put, expected) in puts.iter().zip(&expected) {
            let (DerivedPut::Column { kind, bytes, .. }, DerivedPut::Column { bytes: expected, .. }) = (put, expected) else {
                panic!("only columns")
            };
            assert_eq!(without(*kind, bytes, ListId(3), &gone), Some(Left::Some(expected.clone())), "column {kind}");
            assert_eq!(without(*kind, bytes, ListId(4), &gone), Some(Left::All));
            assert_eq!(without(*kind, bytes, ListId(3), &|n| n.0 == 9), Some(Left::All));
            assert_eq!(without(*kind, bytes, ListId(3), &|_| true), Some(Left::Nothing));
            assert_eq!(without(*kind, &bytes[..bytes.len() - 1], ListId(3), &gone), None);
        }
    }

    #[test]
    fn a_damaged_chunk_is_noticed() {
        let puts = encode(ListId(3), [(EntryNo(1), &entry(2))].into_iter());
        for put in puts {
            let DerivedPut::Column { kind, bytes, .. } = put else { panic!("only columns") };
            for cut in 5..bytes.len() {
                let whole = match kind {
                    METADATA => decode_metadata(&bytes[..cut], |_, _| Some(())),
                    4 => decode_hashes::<16>(&bytes[..cut], |_, _| ()),
                    _ => decode_hashes::<32>(&bytes[..cut], |_, _| ()),
                };
                assert_eq!(whole, None, "column {kind} cut at {cut}");
            }
        }
    }
}
