//! What was a look-up answered, as far as lists decide it?

use hashwarden::entry::{Action, HashKind, Reason};
use hashwarden::verdict::{Outcome, Verdict};

use super::operations::list_name;
use super::universe::Universe;

/// What a verdict says of lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub lists: Vec<(&'static str, u32)>,
    /// Sorted.
    pub found: Vec<Found>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub list: &'static str,
    pub entry: u32,
    pub kind: HashKind,
    pub suppressed: bool,
    pub distance: u16,
    pub threshold: u16,
    pub action: Action,
}

impl Answer {
    pub fn of(universe: &Universe, verdict: &Verdict) -> Answer {
        assert_eq!(verdict.cut, 0, "all matches are to be shown");
        let both = [(false, &verdict.matches), (true, &verdict.suppressed)];
        let all = both.into_iter().flat_map(|(suppressed, matches)| matches.iter().map(move |found| (suppressed, found)));
        let mut found: Vec<_> = all
            .map(|(suppressed, found)| Found {
                list: list_name(&found.list),
                entry: universe.number(&found.entry_id),
                kind: found.kind,
                suppressed,
                distance: found.distance,
                threshold: found.threshold,
                action: found.action,
            })
            .collect();
        found.sort();
        let lists = verdict.lists.iter().map(|(name, version)| (list_name(name), version.0)).collect();
        Answer { outcome: verdict.outcome, reason: verdict.reason, lists, found }
    }
}
