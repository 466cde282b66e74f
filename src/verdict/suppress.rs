//! Which candidates does a negative list take out?
//!
//! A negative match speaks for the rendering it is seen in: a harmless frame must not hide what another one shows, nor what is harmless over
//! white what is stored under it. A candidate in the whole is taken out by a negative list that matches the whole by its own radius. One in a
//! view is taken out by that too, and by a negative entry at least as near, in a view that shows the same part of the picture. Digests
//! are never taken out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Candidate, Policy, ScopedCandidate, admits_rendering, scoped};
use crate::entry::{HashKind, HashList, ListId, Polarity, View, ViewKind};

/// Views with so much in common show the same part of the picture.
const OVERLAP_MIN: f64 = 0.8;

/// What negative lists say of a picture.
pub struct Suppression<'p> {
    policy: &'p Policy,
    /// Lists that match the whole by their own radius, by look.
    whole: BTreeSet<(u32, ListId)>,
    /// How near each list comes in each view, by look.
    near: BTreeMap<u32, BTreeMap<(ListId, View), u16>>,
    /// For a positive list and a view: candidates at this distance and more are taken out. Asked for many entries of one view.
    floors: HashMap<(ListId, u32, View), Option<u16>>,
}

impl<'p> Suppression<'p> {
    pub fn new(policy: &'p Policy, candidates: &[Candidate<'_>]) -> Self {
        let (mut whole, mut near) = (BTreeSet::new(), BTreeMap::<u32, BTreeMap<(ListId, View), u16>>::new());
        for candidate in candidates {
            let speaks = |list: &&HashList| list.polarity == Polarity::Negative && !list.policy.shadow;
            let Some(list) = policy.list(candidate.list).filter(speaks) else { continue };
            if scoped(policy, candidate).is_some() {
                whole.insert((candidate.rendering, list.id));
            }
            if candidate.kind == HashKind::Pdq && admits_rendering(list, candidate) {
                let nearest = near.entry(candidate.rendering).or_default().entry((list.id, candidate.view)).or_insert(u16::MAX);
                *nearest = candidate.distance.min(*nearest);
            }
        }
        Suppression { policy, whole, near, floors: HashMap::new() }
    }

    pub fn takes_out(&mut self, scoped: &ScopedCandidate<'_, '_>) -> bool {
        let Candidate { kind, rendering, view, distance, .. } = *scoped.candidate;
        if kind.is_digest() {
            return false;
        }
        if view.kind == ViewKind::Whole {
            return self.matches_whole(scoped.list, rendering);
        }
        let key = (scoped.list.id, rendering, view);
        let floor = match self.floors.get(&key) {
            Some(floor) => *floor,
            None => {
                let shows_all = view.overlap(&View::WHOLE) >= OVERLAP_MIN;
                let by_whole = (shows_all && self.matches_whole(scoped.list, rendering)).then_some(0);
                let floor = by_whole.or_else(|| self.nearest(scoped.list, rendering, &view));
                self.floors.insert(key, floor);
                floor
            }
        };
        floor.is_some_and(|floor| distance >= floor)
    }

    fn matches_whole(&self, list: &HashList, rendering: u32) -> bool {
        let lists = self.whole.range((rendering, ListId(0))..=(rendering, ListId(u32::MAX)));
        lists.filter_map(|(_, id)| self.policy.list(*id)).any(|negative| in_scope(negative, list))
    }

    /// The distance of the nearest negative entry in a view that shows the same.
    fn nearest(&self, list: &HashList, rendering: u32, view: &View) -> Option<u16> {
        let same = |(negative, seen_in): &(ListId, View)| {
            self.policy.list(*negative).is_some_and(|negative| in_scope(negative, list)) && view.overlap(seen_in) >= OVERLAP_MIN
        };
        self.near.get(&rendering)?.iter().filter(|(key, _)| same(key)).map(|(_, distance)| *distance).min()
    }
}

fn in_scope(negative: &HashList, list: &HashList) -> bool {
    negative.policy.scope.is_empty() || negative.policy.scope.contains(&list.name)
}
