//! Which live hits does a verdict get to see?
//!
//! All of them, as long as they are not very many. Beyond [`HITS_KEPT_MAX`] each (question, list, kind, rendering) keeps the nearest entries
//! alone, as many as a verdict shows of a list, of those that the list's policy admits; from then on what is farther is not taken up at all.
//! Nothing that an outcome turns on is lost: a list that has a match in a rendering keeps one there. The entries that went are counted.
//! Hits in views are kept apart ([`Of::Views`]), so that they never cost one of the whole: there each view keeps its nearest of each list,
//! which is the last that a negative list would take out.

use std::collections::BTreeMap;

use super::{Question, Snapshot};
use crate::entry::{EntryNo, HashKind, ListId, Observation};
use crate::verdict::{Candidate, Policy, admits, admits_beside_views, admits_within};

/// Hits kept whole: some 256 KiB.
const HITS_KEPT_MAX: usize = 16_384;
/// Questions and lists whose entries are marked, so that none is counted twice: a bit for each entry there is. Of others the count is at the least.
const MARKED_MAX: usize = 16;
/// Entries of a list that one view keeps.
const VIEW_KEPT: usize = 8;

/// What hits are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Hashes of the whole.
    Whole,
    /// Hashes of views, and those of the whole once more for what negative lists say beside them.
    Views,
}

impl Of {
    /// A question's observations, as hits number them.
    pub fn observation(self, question: &Question, n: u32) -> Option<&Observation> {
        let n = n as usize;
        match self {
            Of::Whole => question.seen.get(n),
            Of::Views => question.views.get(n).or_else(|| question.seen.get(n - question.views.len())),
        }
    }
}

/// A live hit: which observation of which question, which entry, how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawHit {
    pub question: u32,
    pub seen: u32,
    pub entry: EntryNo,
    pub distance: u16,
}

impl RawHit {
    fn rank(&self) -> (u16, EntryNo) {
        (self.distance, self.entry)
    }
}

/// Hits of which only so many are kept: of a question, a list, a kind and a rendering, or a view.
type Group = (u32, ListId, HashKind, u32);

pub struct Candidates {
    of: Of,
    hits: Vec<RawHit>,
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

/// Hits of questions in their order.
pub struct ByQuestion<'f> {
    rest: &'f [RawHit],
    matched: &'f BTreeMap<(u32, ListId), Matched>,
}

impl<'f> ByQuestion<'f> {
    /// Those of a question; those of the ones before are passed.
    pub fn next_of(&mut self, question: u32) -> &'f [RawHit] {
        let (mine, others) = self.rest.split_at(self.rest.partition_point(|f| f.question <= question));
        self.rest = others;
        mine
    }

    /// How many entries of each list match a question, at the least, where they were too many to be kept.
    pub fn matched(&self, question: u32) -> impl Iterator<Item = (ListId, u64)> {
        let all = self.matched.range((question, ListId(0))..=(question, ListId(u32::MAX)));
        all.map(|((_, list), matched)| (*list, matched.n))
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

impl Candidates {
    pub fn new(of: Of) -> Self {
        let (hits, full, matched, to_mark) = (Vec::new(), BTreeMap::new(), BTreeMap::new(), Vec::new());
        Candidates { of, hits, room: HITS_KEPT_MAX, full, matched, last: None, to_mark }
    }

    pub fn clear(&mut self) {
        self.hits.clear();
        self.hits.shrink_to(4 * HITS_KEPT_MAX);
        self.room = HITS_KEPT_MAX;
        self.full.clear();
        self.matched.clear();
        self.to_mark.clear();
        self.last = None;
    }

    /// Takes up an entry of a list, unless its group is full of nearer ones.
    #[inline]
    pub fn push(&mut self, snapshot: &Snapshot, questions: &[Question], list: ListId, hit: RawHit) {
        if self.full.is_empty() || self.is_wanted(snapshot, questions, list, &hit) {
            self.hits.push(hit);
        }
    }

    fn is_wanted(&mut self, snapshot: &Snapshot, questions: &[Question], list: ListId, hit: &RawHit) -> bool {
        let same = |last: &Last| (last.question, last.seen, last.list) == (hit.question, hit.seen, list);
        let last = match self.last.filter(same) {
            Some(last) => last,
            None => {
                self.mark();
                *self.last.insert(self.look_at(snapshot, questions, list, hit))
            }
        };
        let Some(farthest) = last.farthest else { return true };
        if last.admitted.is_some_and(|admitted| hit.distance <= admitted) {
            self.to_mark.push(hit.entry);
        }
        hit.rank() <= farthest
    }

    fn look_at(&self, snapshot: &Snapshot, questions: &[Question], list: ListId, hit: &RawHit) -> Last {
        let candidate = snapshot.candidate(self.of, &questions[hit.question as usize], hit);
        let group = candidate.as_ref().map(|candidate| self.group(hit, candidate));
        Last {
            question: hit.question,
            seen: hit.seen,
            list,
            farthest: group.and_then(|group| self.full.get(&group).copied()),
            admitted: candidate.and_then(|candidate| admits_within(snapshot.policy.list(list)?, &candidate)),
        }
    }

    fn group(&self, hit: &RawHit, candidate: &Candidate<'_>) -> Group {
        let part = if self.of == Of::Whole { candidate.rendering } else { hit.seen };
        (hit.question, candidate.list, candidate.kind, part)
    }

    /// Marks what the last list's entries were.
    fn mark(&mut self) {
        let matched = self.last.and_then(|last| self.matched.get_mut(&(last.question, last.list)));
        if let Some(matched) = matched {
            self.to_mark.iter().for_each(|entry| matched.mark(*entry));
        }
        self.to_mark.clear();
    }

    /// What there is, to be taken question by question.
    pub fn by_question(&mut self) -> ByQuestion<'_> {
        self.hits.sort_unstable_by_key(|f| f.question);
        ByQuestion { rest: &self.hits, matched: &self.matched }
    }

    /// Makes room where it has run out. To be called whenever some thousands have been pushed.
    pub fn thin_out(&mut self, snapshot: &Snapshot, questions: &[Question]) {
        self.mark();
        if self.hits.len() <= self.room {
            return;
        }
        self.last = None;
        let shown_max = snapshot.policy.matches_per_list_max.max(1);
        let (kept_max, counts): (_, fn(&Policy, &Candidate<'_>) -> bool) = match self.of {
            Of::Whole => (shown_max, admits),
            Of::Views => (shown_max.min(VIEW_KEPT), admits_beside_views),
        };
        let mut groups: BTreeMap<Group, Vec<RawHit>> = BTreeMap::new();
        let mut all = std::mem::take(&mut self.hits);
        for hit in all.drain(..) {
            let question = &questions[hit.question as usize];
            let candidate = snapshot.candidate(self.of, question, &hit);
            if let Some(candidate) = candidate.filter(|candidate| counts(&snapshot.policy, candidate)) {
                let group = self.group(&hit, &candidate);
                groups.entry(group).or_default().push(hit);
            }
        }
        self.hits = all; // its memory
        for (group, mut hits) in groups {
            let (question, list, ..) = group;
            let question_of = &questions[question as usize];
            let transform = |f: &RawHit| self.of.observation(question_of, f.seen).map(|seen| seen.transform);
            hits.sort_unstable_by_key(|f| (f.entry, f.distance, transform(f)));
            hits.dedup_by_key(|f| f.entry);
            if hits.len() > kept_max {
                let marks = (self.matched.len() < MARKED_MAX).then(Vec::new);
                let matched = self.matched.entry((question, list)).or_insert(Matched { marks, n: 0 });
                hits.iter().for_each(|f| matched.mark(f.entry));
                matched.n = matched.n.max(hits.len() as u64);
                let (_, farthest, _) = hits.select_nth_unstable_by_key(kept_max - 1, RawHit::rank);
                self.full.insert(group, farthest.rank());
                hits.truncate(kept_max);
            }
            self.hits.extend(hits);
        }
        self.room = HITS_KEPT_MAX.max(2 * self.hits.len());
    }
}
