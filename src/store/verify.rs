//! Is the store what its history says it is?
//!
//! Three accounts of the same rows are compared: the numbered changes (replayed without their rows' contents), the rows
//! themselves, and what is kept beside them (`entry_ids`, `deltas`, running counts and digests). Sets are compared by
//! count and by a sum of hashes, so memory stays flat: a bit per entry, a few hundred bytes per version. Of what was dropped or
//! deleted the headers alone are left, and the chain over them. Absent: columns and BK-trees, whose meaning the catalog knows.

use super::digest::{details_digest, digest_add, digest_sub, sha256};
use super::ids::{Deed, IdHistory};
use super::keys::{self, DeltaOp, Family};
use super::replay::{Bag, ReplayState, replay};
use super::{Store, StoreError, history, meta, wire};
use crate::entry::{EntryNo, HashList, ListId, ListVersion, VersionNo, VersionState};
use std::collections::{BTreeMap, BTreeSet};

/// More problems than this are counted, not described.
pub const PROBLEMS_MAX: usize = 100;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    pub changes: u64,
    pub lists: u64,
    pub versions: u64,
    pub rows: u64,
    /// In words, without hashes or ids; at most [`PROBLEMS_MAX`].
    pub problems: Vec<String>,
    pub problems_left_out: u64,
}

impl VerifyReport {
    pub fn problem(&mut self, what: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what.into());
        } else {
            self.problems_left_out += 1;
        }
    }
}

impl Store {
    /// Reads everything and reports what does not fit. `progress` hears now and then what is being read and how many of it were.
    /// A store that is open for writing takes no change meanwhile. An error means that reading itself failed.
    pub fn verify(&self, progress: &mut dyn FnMut(&'static str, u64)) -> Result<VerifyReport, StoreError> {
        let _writer = match &self.writer {
            Some(_) => Some(self.writer()?),
            None => None,
        };
        let mut verify = Verify { store: self, progress, report: VerifyReport::default(), entries_seen: Vec::new() };
        let ended = verify.headers()?;
        let replayed = verify.changes(&ended)?;
        verify.meta(&replayed)?;
        let lists = verify.lists(&replayed)?;
        for list in &lists {
            verify.list(&replayed, list)?;
        }
        for family in Family::OF_LISTS {
            verify.orphans(family, &lists)?;
        }
        Ok(verify.report)
    }
}

/// What the rows say of one version.
#[derive(Default, Clone)]
struct Tally {
    opened: u64,
    opened_sum: [u8; 32],
    closed: u64,
    closed_sum: [u8; 32],
    deltas: Bag,
}

struct Verify<'a> {
    store: &'a Store,
    progress: &'a mut dyn FnMut(&'static str, u64),
    report: VerifyReport,
    /// One bit per entry number: an entry belongs to one list.
    entries_seen: Vec<u64>,
}

impl Verify<'_> {
    /// The chain of headers; what became of lists and versions in the end.
    fn headers(&mut self) -> Result<ReplayState, StoreError> {
        let mut replayed = ReplayState::new();
        let mut seq_next = 1;
        let mut chain = [0; 32];
        self.walk(Family::History, Vec::new(), Vec::new(), "changes", |verify, key, value| {
            let seq = keys::number_u64(Family::History, key)?;
            let (before, header) = history::read(value).map_err(|error| at(error, &format!("change {seq}")))?;
            if seq != seq_next {
                verify.report.problem(format!("change {seq_next} is missing"));
            } else if before != chain {
                verify.report.problem(format!("change {seq} does not continue the chain: it or the one before was altered"));
            }
            (seq_next, chain) = (seq + 1, sha256(value));
            replayed.last = Some((seq, chain));
            verify.report.changes += 1;
            if !replay(&mut replayed, &header, None) {
                verify.report.problem(format!("change {seq} does not fit the changes before it"));
            }
            Ok(())
        })?;
        Ok(replayed)
    }

    /// The changes with their contents, as far as those are not gone with `ended`.
    fn changes(&mut self, ended: &ReplayState) -> Result<ReplayState, StoreError> {
        let mut replayed = ReplayState::new();
        replayed.last = ended.last;
        let mut found = 0u64;
        self.walk(Family::History, Vec::new(), Vec::new(), "contents", |verify, key, value| {
            let seq = keys::number_u64(Family::History, key)?;
            let Ok((_, header)) = history::read(value) else { return Ok(()) }; // reported above
            let contents = verify.store.contents(seq, &header).map_err(|error| at(error, &format!("change {seq}")))?;
            found += u64::from(contents.is_some());
            let gone = ended.is_gone(&header);
            match &contents {
                Some(_) if gone => {
                    verify.report.problem(format!("the contents of change {seq} still exist but should have been deleted"))
                }
                Some((digest, change)) => {
                    let same = change.time_ms == header.time_ms && change.by == header.by;
                    if header.contents != Some(*digest) || !same {
                        verify.report.problem(format!("the contents of change {seq} were altered"));
                    }
                }
                None if header.kind.has_contents() && !gone => {
                    verify.report.problem(format!("the contents of change {seq} are missing"));
                }
                None => {}
            }
            let op = contents.filter(|_| !gone).map(|(_, change)| change.op);
            if !replay(&mut replayed, &header, op.as_ref()) {
                verify.report.problem(format!("change {seq} does not fit the changes before it"));
            }
            Ok(())
        })?;
        let mut stored = 0u64;
        self.walk(Family::Contents, Vec::new(), Vec::new(), "contents", |_, _, _| {
            stored += 1;
            Ok(())
        })?;
        if stored != found {
            self.report.problem(format!("{stored} changes have contents, {found} of them a header"));
        }
        Ok(replayed)
    }

    fn meta(&mut self, replayed: &ReplayState) -> Result<(), StoreError> {
        let store = self.store;
        let (seq, chain) = replayed.last.unwrap_or_default();
        self.equal("the last change's number", store.seq(), &seq)?;
        self.equal("the last change's digest", store.chain_digest(), &chain)?;
        self.equal("the next entry's number", store.next_entry(), &EntryNo(replayed.next_entry))?;
        self.equal("the next list's number", store.next_list(), &ListId(replayed.next_list))?;
        let kept = meta::value(&store.db, keys::META_HEAD_KEPT)?;
        if kept.as_deref() != Some(&[1]) {
            self.report.problem("the database has no record of the file HEAD");
        }
        Ok(())
    }

    fn equal<T: PartialEq>(&mut self, what: &str, stored: Result<T, StoreError>, replayed: &T) -> Result<(), StoreError> {
        match stored {
            Ok(stored) if stored == *replayed => {}
            Ok(_) => self.report.problem(format!("{what} disagrees with the changes")),
            Err(error) => self.damage(error)?,
        }
        Ok(())
    }

    /// The stored lists, compared with the replayed ones.
    fn lists(&mut self, replayed: &ReplayState) -> Result<Vec<HashList>, StoreError> {
        let mut stored = Vec::new();
        let mut numbers = Vec::new();
        self.walk(Family::Lists, Vec::new(), Vec::new(), "lists", |verify, key, value| {
            let id = ListId(keys::number_u32(Family::Lists, key)?);
            numbers.push(id);
            let list = wire::read_list(id, value).map_err(|error| at(error, &format!("list {}", id.0)))?;
            if replayed.lists.get(&id) != Some(&list) {
                verify.report.problem(format!("list {} disagrees with the changes", list.name));
            }
            verify.report.lists += 1;
            stored.push(list);
            Ok(())
        })?;
        for list in replayed.lists.values().filter(|list| !numbers.contains(&list.id)) {
            self.report.problem(format!("list {} is missing", list.name));
        }
        Ok(stored)
    }

    fn list(&mut self, replayed: &ReplayState, list: &HashList) -> Result<(), StoreError> {
        let (from, to) = (keys::list_key(list.id).to_vec(), keys::list_end(list.id).to_vec());
        let name = &list.name;

        let mut versions = BTreeMap::new();
        self.walk(Family::Versions, from.clone(), to.clone(), "versions", |verify, key, value| {
            let number = VersionNo(keys::number_u64(Family::Versions, key)? as u32);
            versions.insert(number, wire::read_version(list.id, number, value)?);
            verify.report.versions += 1;
            Ok(())
        })?;
        let rows = self.rows(replayed, list)?;
        let known = |number: &VersionNo| versions.contains_key(number) || replayed.dropped.contains(&(list.id, *number));
        let (mut tallies, details) = self.ids(list, &versions, rows)?;
        let mut deltas = BTreeMap::<VersionNo, (Bag, Bag)>::new();
        self.walk(Family::Deltas, from, to, "deltas", |_, key, value| {
            let delta = keys::delta(key, value)?;
            let (all, opened) = deltas.entry(delta.version).or_default();
            all.add(key, value);
            if delta.op != DeltaOp::Closed {
                opened.add(key, value);
            }
            Ok(())
        })?;
        self.details(list, details)?;
        self.marks(replayed, list)?;

        let numbers: BTreeSet<VersionNo> = versions.keys().chain(tallies.keys()).chain(deltas.keys()).copied().collect();
        for number in numbers.iter().filter(|number| !known(number)) {
            self.report.problem(format!("list {name}: rows name version {}, which does not exist", number.0));
        }
        let first = (list.id, VersionNo(0));
        for ((_, number), replayed) in replayed.versions.range(first..=(list.id, VersionNo(u32::MAX))) {
            if versions.get(number).is_none_or(|stored| !same_version(stored, replayed)) {
                self.report.problem(format!("list {name}: version {} disagrees with the changes", number.0));
            }
        }
        for version in versions.values() {
            let which = format!("list {name}, version {}", version.version.0);
            let (mut rows, mut digest) = (0u64, [0; 32]);
            if version.state != VersionState::Undone {
                for tally in tallies.iter().filter(|(number, _)| version.lineage.contains(**number)).map(|(_, tally)| tally) {
                    rows = (rows + tally.opened).wrapping_sub(tally.closed);
                    digest_add(&mut digest, &tally.opened_sum);
                    digest_sub(&mut digest, &tally.closed_sum);
                }
            }
            let ends = version.lineage.ranges().iter().map(|(first, _)| first.0).min() > Some(0)
                && version.lineage.ranges().last().is_some_and(|(_, last)| *last == version.version);
            let fits = versions.get(&version.parent).is_none_or(|parent| {
                let own = version.lineage.without(&parent.lineage);
                let more = deltas.keys().any(|number| own.contains(*number) && *number != version.version);
                parent.lineage.without(&version.lineage).ranges().is_empty() && !more
            });
            if !ends || !fits {
                self.report.problem(format!("{which}: its ancestors are not its parent's"));
            }
            if version.rows != rows || version.digest != digest {
                self.report.problem(format!("{which}: the rows are {rows}, the record says {}, or another digest", version.rows));
            }
        }
        // Until a sweep is done, deltas are left that no version needs.
        let swept = self.store.sweep_due(list.id)?.is_none();
        let live = |number: &VersionNo| versions.values().any(|v| v.state != VersionState::Undone && v.lineage.contains(*number));
        for number in &numbers {
            let tally = tallies.remove(number).unwrap_or_default();
            let (all, opened) = deltas.remove(number).unwrap_or_default();
            let which = format!("list {name}, version {}", number.0);
            if all != tally.deltas {
                self.report.problem(format!("{which}: its deltas disagree with the rows"));
            }
            let replayed = replayed.opened.get(&(list.id, *number)).copied().unwrap_or_default();
            if versions.get(number).is_some_and(|v| v.state == VersionState::Sealed) && opened != replayed {
                self.report.problem(format!("{which}: its deltas disagree with the changes"));
            }
            if swept && all.n > 0 && !live(number) {
                self.report.problem(format!("{which}: no version needs it, but rows of it remain"));
            }
        }
        Ok(())
    }

    /// What the rows say of ids: for each entry its id and digest.
    fn rows(&mut self, replayed: &ReplayState, list: &HashList) -> Result<Bag, StoreError> {
        let mut named = Bag::default();
        let (from, to) = (keys::list_key(list.id).to_vec(), keys::list_end(list.id).to_vec());
        self.walk(Family::Entries, from, to, "rows", |verify, key, value| {
            let row = keys::row(key, value)?;
            let which = format!("list {}, entry {}", list.name, row.entry.0);
            verify.report.rows += 1;
            if row.entry.0 >= replayed.next_entry {
                verify.report.problem(format!("{which}: no change assigned that number"));
            } else if verify.seen_before(row.entry.0) {
                verify.report.problem(format!("{which}: another list has an entry of that number"));
            }
            let form = verify.store.id_form(&row.content.id);
            named.add(&keys::id_key(list.id, &form), &naming(row.entry, &sha256(value)));
            Ok(())
        })?;
        Ok(named)
    }

    /// Per version what the ids' histories say. `named` is what the rows do.
    fn ids(
        &mut self,
        list: &HashList,
        versions: &BTreeMap<VersionNo, ListVersion>,
        named: Bag,
    ) -> Result<(BTreeMap<VersionNo, Tally>, Bag), StoreError> {
        let (mut tallies, mut found) = (BTreeMap::<VersionNo, Tally>::new(), Bag::default());
        let mut details = Bag::default();
        let (from, to) = (keys::list_key(list.id).to_vec(), keys::list_end(list.id).to_vec());
        self.walk(Family::EntryIds, from, to, "ids", |verify, key, value| {
            let history = IdHistory::decode(value)?;
            for entry in &history.0 {
                found.add(key, &naming(entry.entry, &entry.digest));
                for (version, deed) in &entry.deltas {
                    let tally = tallies.entry(*version).or_default();
                    tally.deltas.add(&keys::delta_key(list.id, *version, deed.op(), entry.entry), &[]);
                    let (n, sum) = match deed {
                        Deed::Opened => (&mut tally.opened, &mut tally.opened_sum),
                        Deed::Closed => (&mut tally.closed, &mut tally.closed_sum),
                        Deed::Described { details: digest, .. } => {
                            if *digest != [0; 16] {
                                details.add(&keys::details_key(list.id, entry.entry, *version), digest);
                            }
                            continue;
                        }
                    };
                    *n += 1;
                    digest_add(sum, &entry.digest);
                }
            }
            let twice = |v: &&ListVersion| history.0.iter().filter(|entry| entry.is_in(&v.lineage)).count() > 1;
            if let Some(version) = versions.values().filter(|v| v.state != VersionState::Undone).find(twice) {
                verify.report.problem(format!("list {}, version {}: an id names two entries", list.name, version.version.0));
            }
            Ok(())
        })?;
        if found != named {
            self.report
                .problem(format!("list {}: its ids name {} entries and do not match its {} rows", list.name, found.n, named.n));
        }
        Ok((tallies, details))
    }

    /// The details that are kept, held against what the ids say: `said`.
    fn details(&mut self, list: &HashList, said: Bag) -> Result<(), StoreError> {
        let mut kept = Bag::default();
        let (from, to) = (keys::list_key(list.id).to_vec(), keys::list_end(list.id).to_vec());
        self.walk(Family::Details, from, to, "details", |_, key, value| {
            kept.add(key, &details_digest(&wire::read_details(value)?));
            Ok(())
        })?;
        if kept != said {
            let name = &list.name;
            self.report.problem(format!("list {name}: {} entries have details, its ids name {}, or others", kept.n, said.n));
        }
        Ok(())
    }

    fn marks(&mut self, replayed: &ReplayState, list: &HashList) -> Result<(), StoreError> {
        let mut stored = BTreeMap::new();
        let (from, to) = (keys::list_key(list.id).to_vec(), keys::list_end(list.id).to_vec());
        self.walk(Family::Marks, from, to, "marks", |verify, key, value| {
            let marked = wire::read_marked(value)?;
            if *key != keys::id_key(list.id, &verify.store.id_form(&marked.id)) {
                verify.report.problem(format!("list {}: a mark is filed under another id", list.name));
            }
            stored.insert((list.id, marked.id.clone()), marked);
            Ok(())
        })?;
        let of_list = replayed.marks.iter().filter(|((of, _), _)| *of == list.id);
        if !of_list.eq(stored.iter()) {
            self.report.problem(format!("list {}: the marks of its entries disagree with the changes", list.name));
        }
        Ok(())
    }

    fn seen_before(&mut self, entry: u32) -> bool {
        let (word, bit) = (entry as usize / 64, 1 << (entry % 64));
        if self.entries_seen.len() <= word {
            self.entries_seen.resize(word + 1, 0);
        }
        let seen = self.entries_seen[word] & bit != 0;
        self.entries_seen[word] |= bit;
        seen
    }

    /// Rows of lists that are not there.
    fn orphans(&mut self, family: Family, lists: &[HashList]) -> Result<(), StoreError> {
        let mut raw = self.store.raw(family, Vec::new(), Vec::new())?;
        raw.seek_to_first();
        while let Some(list) = raw.key().map(|key| key.first_chunk().map(|bytes| ListId(u32::from_be_bytes(*bytes)))) {
            match list {
                Some(list) => {
                    if !lists.iter().any(|known| known.id == list) {
                        self.report.problem(format!(
                            "family {} holds rows of list {}, which does not exist",
                            family.name(),
                            list.0
                        ));
                    }
                    if list.0 == u32::MAX {
                        break;
                    }
                    raw.seek(keys::list_end(list));
                }
                None => {
                    self.report.problem(format!("family {} has a key that is too short", family.name()));
                    raw.next();
                }
            }
        }
        raw.status().or_else(|error| self.damage(error.into()))
    }

    /// Hands every pair of a range to `each`; what is damaged is reported, and reading goes on.
    fn walk(
        &mut self,
        family: Family,
        from: Vec<u8>,
        to: Vec<u8>,
        what: &'static str,
        mut each: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut raw = self.store.raw(family, from.clone(), to)?;
        raw.seek(&from);
        let mut n = 0u64;
        while let Some((key, value)) = raw.item() {
            if let Err(error) = each(self, key, value) {
                self.damage(error)?;
            }
            n += 1;
            if n.is_multiple_of(4_096) {
                (self.progress)(what, n);
            }
            raw.next();
        }
        (self.progress)(what, n);
        raw.status().or_else(|error| self.damage(error.into()))
    }

    /// A problem of the store is reported; one of the machine ends the reading.
    fn damage(&mut self, error: StoreError) -> Result<(), StoreError> {
        match &error {
            StoreError::Corrupt { .. } => self.report.problem(error.to_string()),
            StoreError::RocksDb(cause) if cause.kind() == rocksdb::ErrorKind::Corruption => {
                self.report.problem(error.to_string())
            }
            _ => return Err(error),
        }
        Ok(())
    }
}

fn at(error: StoreError, place: &str) -> StoreError {
    match error {
        StoreError::Corrupt { family, what } => StoreError::Corrupt { family, what: format!("{place}: {what}") },
        other => other,
    }
}

/// What an id says of an entry.
fn naming(entry: EntryNo, digest: &[u8; 32]) -> [u8; 36] {
    let mut bytes = [0; 36];
    bytes[..4].copy_from_slice(&entry.0.to_be_bytes());
    bytes[4..].copy_from_slice(digest);
    bytes
}

/// Of a version that is being written only the beginning is known; its counts run.
fn same_version(stored: &ListVersion, replayed: &ListVersion) -> bool {
    let counts = replayed.state == VersionState::Staged || (stored.rows == replayed.rows && stored.digest == replayed.digest);
    let made = (stored.made_by, stored.activated) == (replayed.made_by, replayed.activated);
    let parents = stored.parent == replayed.parent;
    counts
        && made
        && parents
        && stored.state == replayed.state
        && stored.source == replayed.source
        && stored.time_ms == replayed.time_ms
}
