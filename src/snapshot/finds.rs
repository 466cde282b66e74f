//! Which live hits does a verdict get to see?
//!
//! All of them, as long as they are not very many. Beyond [`FINDS_MAX`] each (question, list, kind, look) keeps the nearest entries
//! alone, as many as a verdict shows of a list, of those that the list's policy admits. Nothing that an outcome turns on is lost: a
//! list that has a match in a look keeps one there. How many went is known at the least.

use std::collections::BTreeMap;

use super::{Question, Snapshot};
use crate::entry::{EntryNo, HashKind, ListId};
use crate::verdict::admits;

/// Hits kept whole: some 1 MiB.
const FINDS_MAX: usize = 65_536;

/// A live hit: which observation of which question, which entry, how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub question: u32,
    pub seen: u32,
    pub entry: EntryNo,
    pub distance: u16,
}

#[derive(Default)]
pub struct Finds {
    found: Vec<Found>,
    /// How many may gather before they are thinned out.
    room: usize,
    /// Entries that went, at the least, by question and list.
    dropped: BTreeMap<(u32, ListId), u64>,
}

impl Finds {
    pub fn clear(&mut self) {
        self.found.clear();
        self.found.shrink_to(4 * FINDS_MAX);
        self.room = FINDS_MAX;
        self.dropped.clear();
    }

    pub fn push(&mut self, found: Found) {
        self.found.push(found);
    }

    pub fn sort_by_question(&mut self) {
        self.found.sort_unstable_by_key(|f| f.question);
    }

    pub fn as_slice(&self) -> &[Found] {
        &self.found
    }

    /// Entries of some lists that match a question and are not among its finds, at the least.
    pub fn dropped(&self, question: u32, of: &dyn Fn(ListId) -> bool) -> u64 {
        let all = self.dropped.range((question, ListId(0))..=(question, ListId(u32::MAX)));
        all.filter(|((_, list), _)| of(*list)).map(|(_, n)| n).sum()
    }

    /// Makes room where it has run out.
    pub fn thin_out(&mut self, snapshot: &Snapshot, questions: &[Question]) {
        if self.found.len() <= self.room {
            return;
        }
        let mut groups: BTreeMap<(u32, ListId, HashKind, u32), Vec<Found>> = BTreeMap::new();
        for found in self.found.drain(..) {
            let question = &questions[found.question as usize];
            let candidate = snapshot.candidate(question, &found);
            if let Some(candidate) = candidate.filter(|candidate| admits(&snapshot.policy, candidate)) {
                let group = (found.question, candidate.list, candidate.kind, candidate.look);
                groups.entry(group).or_default().push(found);
            }
        }
        for ((question, list, ..), mut group) in groups {
            let transform = |f: &Found| questions[question as usize].seen[f.seen as usize].transform;
            group.sort_unstable_by_key(|f| (f.entry, f.distance, transform(f)));
            group.dedup_by_key(|f| f.entry);
            group.sort_unstable_by_key(|f| (f.distance, f.entry));
            let more = group.len().saturating_sub(snapshot.policy.matches_per_list_max);
            if more > 0 {
                let known = self.dropped.entry((question, list)).or_default();
                *known = (*known).max(more as u64);
            }
            self.found.extend(group.drain(..group.len() - more));
        }
        self.room = FINDS_MAX.max(2 * self.found.len());
    }
}
