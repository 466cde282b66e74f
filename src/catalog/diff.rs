//! How do two versions of a list differ?
//!
//! An entry whose content changes is closed and opened under another number, so which ids changed shows when what was closed is laid beside what was
//! opened. Of each only a digest of its id and one of its content are kept, sorted: a list may be exchanged as a whole.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::advance::{self, Difference};
use super::{Catalog, CatalogError, DIFF_CATEGORIES_MAX, DiffCategory, DiffReport};
use crate::entry::{Entry, ListId, VersionNo};
use crate::snapshot::Alive;
use crate::store::Store;

/// Reading one row by its number takes longer than so many do one after the other: on a Zen 4, of three million rows, some 19 us against 0.9.
const POINT_READ_ROWS: u64 = 16;

/// Digests of an entry's id and of its content, and the number of its category.
type Brief = (u64, u64, u32);

/// Categories by number, as they come. Beyond some they are one: a list whose categories are that many has an id or a time for one.
#[derive(Default)]
struct Categories {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

const CATEGORIES_MAX: usize = 100_000;
const OTHERS: &str = "(others)";

impl Categories {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(known) = self.numbers.get(name) {
            return *known;
        }
        let name = if self.names.len() < CATEGORIES_MAX { name } else { OTHERS };
        if let Some(known) = self.numbers.get(name) {
            return *known;
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

impl Catalog {
    /// How many entries differ between two versions.
    pub fn diff(&self, name: &str, from: VersionNo, to: VersionNo) -> Result<DiffReport, CatalogError> {
        let list = self.find(name)?;
        let mut rows = 0;
        for version in [from, to].into_iter().filter(|version| *version != VersionNo(0)) {
            rows = self.sealed(&list, version)?.rows.max(rows);
        }
        let Difference { opened, closed } = advance::difference(&self.store(), list.id, from, to)?;
        let mut categories = Categories::default();
        let briefs = briefs(&self.store(), list.id, rows, (&closed, &opened), &mut categories);
        if self.find(name)?.id != list.id {
            // Deleted while it was read: what is missing is no damage.
            return Err(CatalogError::NoSuchList(name.to_owned()));
        }
        let (gone, come) = briefs?;
        Ok(compared(gone, come, categories.names))
    }
}

/// Of the entries of both sets, each set's sorted. There are some `rows` of the list, or more.
fn briefs(
    store: &Store,
    list: ListId,
    rows: u64,
    (closed, opened): (&Alive, &Alive),
    categories: &mut Categories,
) -> Result<(Vec<Brief>, Vec<Brief>), CatalogError> {
    let (n_closed, n_opened) = (closed.count() as usize, opened.count() as usize);
    let (mut gone, mut come) = (Vec::with_capacity(n_closed), Vec::with_capacity(n_opened));
    let wanted = (n_closed + n_opened) as u64;
    if wanted.saturating_mul(POINT_READ_ROWS) < rows {
        for (entries, briefs) in [(closed, &mut gone), (opened, &mut come)] {
            for entry in entries.iter() {
                briefs.extend(store.entry(list, entry)?.map(|content| brief(&content, categories)));
            }
        }
    } else {
        for row in store.rows(list)? {
            let row = row?;
            for (set, briefs) in [(closed, &mut gone), (opened, &mut come)] {
                if set.contains(row.entry) {
                    briefs.push(brief(&row.content, categories));
                }
            }
        }
    }
    if (gone.len(), come.len()) != (n_closed, n_opened) {
        return Err(CatalogError::Damaged("an entry has a delta and no row".to_owned()));
    }
    gone.sort_unstable();
    come.sort_unstable();
    Ok((gone, come))
}

fn brief(content: &Entry, categories: &mut Categories) -> Brief {
    let mut id = DefaultHasher::new();
    content.id.hash(&mut id);
    let digest = crate::store::row_digest(content);
    let digest = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    (id.finish(), digest, categories.number(&content.category))
}

/// An entry that went and came back under another number is no difference.
fn compared(gone: Vec<Brief>, come: Vec<Brief>, names: Vec<String>) -> DiffReport {
    let mut report = DiffReport::default();
    let mut of: Vec<DiffCategory> =
        names.into_iter().map(|category| DiffCategory { category, ..DiffCategory::default() }).collect();
    let (mut gone, mut come) = (gone.into_iter().peekable(), come.into_iter().peekable());
    loop {
        let order = match (gone.peek(), come.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((before, ..)), Some((after, ..))) => before.cmp(after),
        };
        let before = gone.next_if(|_| order != Ordering::Greater);
        let after = come.next_if(|_| order != Ordering::Less);
        match (before, after) {
            (Some((_, _, category)), None) => {
                report.removed += 1;
                of[category as usize].removed += 1;
            }
            (None, Some((_, _, category))) => {
                report.added += 1;
                of[category as usize].added += 1;
            }
            (Some(before), Some(after)) if before != after => {
                report.changed += 1;
                if before.2 == after.2 {
                    of[before.2 as usize].changed += 1;
                } else {
                    report.reclassified += 1;
                    of[before.2 as usize].moved_out += 1;
                    of[after.2 as usize].moved_in += 1;
                }
            }
            _ => {}
        }
    }
    let differences = |of: &DiffCategory| of.added + of.removed + of.changed + of.moved_in + of.moved_out;
    of.retain(|category| differences(category) > 0);
    of.sort_by(|a, b| differences(b).cmp(&differences(a)).then_with(|| a.category.cmp(&b.category)));
    of.truncate(DIFF_CATEGORIES_MAX);
    report.categories = of;
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_is_laid_beside_what_came() {
        let report = |gone: &[Brief], come: &[Brief]| {
            let names = vec!["A".to_owned(), "B".to_owned()];
            let report = compared(gone.to_vec(), come.to_vec(), names);
            let of =
                report.categories.into_iter().map(|c| (c.category, [c.added, c.removed, c.changed, c.moved_in, c.moved_out]));
            ((report.added, report.removed, report.changed, report.reclassified), of.collect::<Vec<_>>())
        };
        assert_eq!(report(&[], &[]).0, (0, 0, 0, 0));
        assert_eq!(report(&[(1, 1, 0), (2, 1, 0)], &[]), ((0, 2, 0, 0), vec![("A".to_owned(), [0, 2, 0, 0, 0])]));
        assert_eq!(report(&[], &[(1, 1, 0)]).0, (1, 0, 0, 0));
        let (gone, come) =
            ([(1, 1, 0), (3, 1, 0), (5, 5, 0), (7, 1, 1)], [(1, 1, 0), (2, 9, 0), (5, 6, 1), (8, 0, 0), (9, 0, 0)]);
        let (counts, of) = report(&gone, &come);
        assert_eq!(counts, (3, 2, 1, 1));
        assert_eq!(of, [("A".to_owned(), [3, 1, 0, 0, 1]), ("B".to_owned(), [0, 1, 0, 1, 0])]);
    }

    #[test]
    fn there_are_not_more_categories_than_some() {
        let mut categories = Categories::default();
        let numbers: Vec<u32> = (0..CATEGORIES_MAX + 10).map(|n| categories.number(&n.to_string())).collect();
        assert_eq!(categories.names.len(), CATEGORIES_MAX + 1);
        assert_eq!((numbers[7], *numbers.last().unwrap()), (7, CATEGORIES_MAX as u32));
        assert_eq!(categories.number("7"), 7);
    }
}
