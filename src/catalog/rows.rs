//! What does a row of a file look like in the store's scratch family, and what do the rows of one id come to?

use super::BadRow;
use super::version::derived_id;
use crate::entry::{Details, Entry, HashKind, HashValue, Status};
use crate::lists::Row;
use crate::store::{read_details, write_details};

/// A row of an import's file of that number, as its id and its value in the scratch family: `line u64, record u64, file u64, as of u64 (0: it joins
/// others), deleted u8, status u8, category length u8, category, hashes u8, n x (kind u8, hash), details length u32, details`. Values of one id
/// stand one behind the other.
pub(super) fn encode(key: &[u8; 32], file: usize, row: Row) -> (Vec<u8>, Vec<u8>) {
    let id = row.id.unwrap_or_else(|| derived_id(key, &row.hashes));
    let as_of = row.as_of.map_or(0, |ms| ms.saturating_add(1));
    let mut value = [row.line, row.record, file as u64, as_of].map(u64::to_be_bytes).concat();
    value.extend_from_slice(&[u8::from(row.deleted), row.status as u8, row.category.len() as u8]);
    value.extend_from_slice(row.category.as_bytes());
    value.push(row.hashes.len() as u8);
    for hash in &row.hashes {
        value.push(hash.kind() as u8);
        hash.with_bytes(|bytes| value.extend_from_slice(bytes));
    }
    let details = if row.details.is_empty() { Vec::new() } else { write_details(&row.details.bounded()) };
    value.extend_from_slice(&(details.len() as u32).to_be_bytes());
    value.extend_from_slice(&details);
    (id.into_bytes(), value)
}

pub(super) enum Joined {
    /// An entry, what is said of it, the number of its rows, and of those that a newer one replaces.
    Entry(Entry, Details, u64, u64),
    Deleted,
    Bad(BadRow),
}

/// The rows of one id as one entry. It is withdrawn where all of them are; else those that are add nothing.
pub(super) fn joined(id: &str, values: &[u8], files: &[String]) -> Joined {
    let mut at = Place::default();
    let bad =
        |at: &Place, reason| Joined::Bad(BadRow { file: file_named(files, at.file), line: at.line, record: at.record, reason });
    let (mut of, mut withdrawn) = (Joining::default(), Joining::default());
    // Of rows that replace each other the newest so far: when it was, and whether it deletes.
    let (mut newest, mut replaced) = ((0, false), 0);
    let mut rest = values;
    while !rest.is_empty() {
        let Some((row, file, tail)) = decode(rest) else {
            return bad(&at, "the row was damaged in the store's scratch space".to_owned());
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
        at = Place { file, line: row.line, record: row.record };
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
        Err(why) => bad(&at, format!("together with the earlier rows of its id: {why}")),
    }
}

/// Where a row stood.
#[derive(Default)]
struct Place {
    file: usize,
    line: u64,
    record: u64,
}

fn file_named(files: &[String], file: usize) -> String {
    files.get(file).cloned().unwrap_or_default()
}

/// Where the first of the rows of one id stood, in words.
pub(super) fn first(values: &[u8], files: &[String]) -> String {
    decode(values).map_or_else(String::new, |(row, file, _)| {
        BadRow { file: file_named(files, file), line: row.line, record: row.record, reason: String::new() }.place()
    })
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

fn decode(bytes: &[u8]) -> Option<(Row, usize, &[u8])> {
    let (numbers, rest) = bytes.split_first_chunk::<32>()?;
    let (numbers, _) = numbers.as_chunks::<8>();
    let [line, record, file, as_of] = [0, 1, 2, 3].map(|at| u64::from_be_bytes(numbers[at]));
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
            disputed_by: 0,
            as_of: as_of.checked_sub(1),
            unread: None,
        },
        usize::try_from(file).ok()?,
        tail,
    ))
}
