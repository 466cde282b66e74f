//! Which live hits does a verdict get to see?
//!
//! All of them, as long as they are not very many. Beyond [`FINDS_MAX`] each (question, list, kind, look) keeps the nearest entries
//! alone, as many as a verdict shows of a list, of those that the list's policy admits; from then on what is farther is not taken up at all.
//! Nothing that an outcome turns on is lost: a list that has a match in a look keeps one there. The entries that went are counted.

use std::collections::BTreeMap;

use super::{Question, Snapshot};
use crate::entry::{EntryNo, HashKind, ListId};
use crate::verdict::{admits, admits_within};

/// Hits kept whole: some 256 KiB.
const FINDS_MAX: usize = 16_384;
/// Questions and lists whose entries are marked, so that none is counted twice: a bit for each entry there is. Of others the count is at the least.
const MARKED_MAX: usize = 16;

/// A live hit: which observation of which question, which entry, how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub question: u32,
    pub seen: u32,
    pub entry: EntryNo,
    pub distance: u16,
}

impl Found {
    fn rank(&self) -> (u16, EntryNo) {
        (self.distance, self.entry)
    }
}

/// Finds of which only so many are kept.
type Group = (u32, ListId, HashKind, u32);

#[derive(Default)]
pub struct Finds {
    found: Vec<Found>,
    /// How many may gather before they are thinned out.
    room: usize,
    /// Of each group that was too large, the last that was kept.
    full: BTreeMap<Group, (u16, EntryNo)>,
    /// By question and list, where a group was too large.
    matched: BTreeMap<(u32, ListId), Matched>,
    last: Option<Last>,
    /// Entries of the last list that match, not yet marked.
    to_mark: Vec<EntryNo>,
}

/// Entries of a list that match a question.
struct Matched {
    /// A bit for each, if they are marked.
    marks: Option<Vec<u64>>,
    n: u64,
}

impl Matched {
    fn mark(&mut self, entry: EntryNo) {
        let Some(marks) = &mut self.marks else { return };
        let (at, bit) = (entry.0 as usize / 64, 1 << (entry.0 % 64));
        if marks.len() <= at {
            marks.resize(2 * at + 1, 0);
        }
        self.n += u64::from(marks[at] & bit == 0);
        marks[at] |= bit;
    }
}

/// What holds for the hits of one hash in one list, which mostly come one after the other.
#[derive(Clone, Copy)]
struct Last {
    question: u32,
    seen: u32,
    list: ListId,
    /// Of its group, if that is full.
    farthest: Option<(u16, EntryNo)>,
    /// Within so many bits the list admits every entry.
    admitted: Option<u16>,
}

impl Finds {
    pub fn clear(&mut self) {
        self.found.clear();
        self.found.shrink_to(4 * FINDS_MAX);
        self.room = FINDS_MAX;
        self.full.clear();
        self.matched.clear();
        self.to_mark.clear();
        self.last = None;
    }

    /// Takes up an entry of a list, unless its group is full of nearer ones.
    #[inline]
    pub fn push(&mut self, snapshot: &Snapshot, questions: &[Question], list: ListId, found: Found) {
        if self.full.is_empty() || self.is_wanted(snapshot, questions, list, &found) {
            self.found.push(found);
        }
    }

    fn is_wanted(&mut self, snapshot: &Snapshot, questions: &[Question], list: ListId, found: &Found) -> bool {
        let same = |last: &Last| (last.question, last.seen, last.list) == (found.question, found.seen, list);
        let last = match self.last.filter(same) {
            Some(last) => last,
            None => {
                self.mark();
                *self.last.insert(self.look_at(snapshot, questions, list, found))
            }
        };
        let Some(farthest) = last.farthest else { return true };
        if last.admitted.is_some_and(|admitted| found.distance <= admitted) {
            self.to_mark.push(found.entry);
        }
        found.rank() <= farthest
    }

    fn look_at(&self, snapshot: &Snapshot, questions: &[Question], list: ListId, found: &Found) -> Last {
        let seen = &questions[found.question as usize].seen[found.seen as usize];
        let kind = seen.hash.kind();
        Last {
            question: found.question,
            seen: found.seen,
            list,
            farthest: self.full.get(&(found.question, list, kind, seen.look)).copied(),
            admitted: snapshot.policy.list(list).and_then(|l| admits_within(l, kind, seen.transform, seen.quality)),
        }
    }

    /// Marks what the last list's entries were.
    fn mark(&mut self) {
        let matched = self.last.and_then(|last| self.matched.get_mut(&(last.question, last.list)));
        if let Some(matched) = matched {
            self.to_mark.iter().for_each(|entry| matched.mark(*entry));
        }
        self.to_mark.clear();
    }

    pub fn sort_by_question(&mut self) {
        self.found.sort_unstable_by_key(|f| f.question);
    }

    pub fn as_slice(&self) -> &[Found] {
        &self.found
    }

    /// How many entries of each list match a question, at the least, where they were too many to be kept.
    pub fn matched(&self, question: u32) -> impl Iterator<Item = (ListId, u64)> {
        let all = self.matched.range((question, ListId(0))..=(question, ListId(u32::MAX)));
        all.map(|((_, list), matched)| (*list, matched.n))
    }

    /// Makes room where it has run out. To be called whenever some thousands have been pushed.
    pub fn thin_out(&mut self, snapshot: &Snapshot, questions: &[Question]) {
        self.mark();
        if self.found.len() <= self.room {
            return;
        }
        self.last = None;
        let mut groups: BTreeMap<Group, Vec<Found>> = BTreeMap::new();
        for found in self.found.drain(..) {
            let question = &questions[found.question as usize];
            let candidate = snapshot.candidate(question, &found);
            if let Some(candidate) = candidate.filter(|candidate| admits(&snapshot.policy, candidate)) {
                let group = (found.question, candidate.list, candidate.kind, candidate.look);
                groups.entry(group).or_default().push(found);
            }
        }
        let kept_max = snapshot.policy.matches_per_list_max.max(1);
        for (group, mut finds) in groups {
            let (question, list, ..) = group;
            let transform = |f: &Found| questions[question as usize].seen[f.seen as usize].transform;
            finds.sort_unstable_by_key(|f| (f.entry, f.distance, transform(f)));
            finds.dedup_by_key(|f| f.entry);
            if finds.len() > kept_max {
                let marks = (self.matched.len() < MARKED_MAX).then(Vec::new);
                let matched = self.matched.entry((question, list)).or_insert(Matched { marks, n: 0 });
                finds.iter().for_each(|f| matched.mark(f.entry));
                matched.n = matched.n.max(finds.len() as u64);
                let (_, farthest, _) = finds.select_nth_unstable_by_key(kept_max - 1, Found::rank);
                self.full.insert(group, farthest.rank());
                finds.truncate(kept_max);
            }
            self.found.extend(finds);
        }
        self.room = FINDS_MAX.max(2 * self.found.len());
    }
}
