//! Does the catalog say of a list's entries what they are, one by one?

use std::collections::BTreeMap;

use hashwarden::catalog::{Catalog, CatalogError, EntryInfo, EntryQuery, FOUND_MAX};
use hashwarden::entry::Mark;

use super::sources::Holding;
use super::universe::{FEEDS, HOT, IDS, Universe, details, id};

/// Of ids that are not hot one in so many is asked for.
const ASKED: usize = 29;

/// Compares what is said of entries, of those that are not there too, and which marked ones are found.
pub fn assert_entries(catalog: &Catalog, universe: &Universe, list: &str, holding: &Holding, marks: &BTreeMap<u32, Mark>) {
    for n in (0..HOT).chain((HOT..IDS).step_by(ASKED)) {
        let words = format!("{} of list {list}", id(n));
        match (catalog.entry(list, &id(n), true), holding.get(&n)) {
            (Ok(info), Some(held)) => {
                let entry = universe.entry(n, held.said.content());
                let mut sources: Vec<&str> = held.sources.iter().map(|place| FEEDS[place]).collect();
                let mut told: Vec<&str> = info.sources.iter().map(String::as_str).collect();
                // In the order in which the list came to know them.
                [&mut sources, &mut told].into_iter().for_each(|names| names.sort_unstable());
                assert_eq!(told, sources, "{words}");
                assert_eq!((&info.id, &info.category, &info.hashes), (&entry.id, &entry.category, &entry.hashes), "{words}");
                let details = details(n, held.said.details);
                assert!(info.details == details, "{words}: {:?} is said, {:?} expected", info.details.note, details.note);
                assert_eq!((info.status, of_mark(&info)), (held.said.status, marks.get(&n)), "{words}");
            }
            (Err(CatalogError::NoSuchEntry { .. }), None) => {}
            (told, held) => panic!("{words}: {told:?}, {held:?} expected"),
        }
    }
    let marked: Vec<u32> = marks.keys().filter(|n| holding.contains_key(n)).copied().collect();
    assert_eq!(found(catalog, universe, list, &EntryQuery::Marked), marked, "marked entries of list {list}");
    let named: Vec<u32> = holding.keys().filter(|n| id(**n).starts_with("e1")).copied().collect();
    assert_eq!(found(catalog, universe, list, &EntryQuery::Id("e1".to_owned())), named, "entries of list {list} by their ids");
}

/// The ids that are found, a page at a time, sorted.
fn found(catalog: &Catalog, universe: &Universe, list: &str, query: &EntryQuery) -> Vec<u32> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let found = catalog.find_entries(list, query, after, FOUND_MAX / 3).unwrap();
        ids.extend(found.entries.iter().map(|(info, _)| universe.number(&info.id)));
        after = found.more_after;
        if after.is_none() {
            ids.sort_unstable();
            return ids;
        }
    }
}

fn of_mark(info: &EntryInfo) -> Option<&Mark> {
    info.mark.as_ref().map(|marked| &marked.mark)
}
