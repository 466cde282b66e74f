//! Which views of a picture are looked up, and how far around them?
//!
//! Those of the classes that a positive list asked for lets count, under the transforms that such a list admits, at the widest radius that
//! one has for the class. They go as one batch, after all of the whole's look-ups. A batch that does not come to its end in time is given up
//! with what it found, so that what stands is the whole's, and no half of the views decides anything.

use std::ops::ControlFlow;

use super::candidates::RawHit;
use super::{Question, Snapshot, Workspace, pdq};
use crate::entry::{HashKind, HashList, Observation, Pdq, Polarity, Transform, Transforms, ViewKind};
use crate::index::{Effort, Query};
use crate::verdict::{Asked, ViewCounts};

/// Radii by class of view and transform; `None` where it is not looked up.
#[derive(Default)]
struct Radii([[Option<u16>; Transform::ALL.len()]; ViewKind::ALL.len()]);

impl Radii {
    fn of<'p>(lists: impl Iterator<Item = &'p HashList>) -> Self {
        let mut radii = Radii::default();
        for policy in lists.map(|list| &list.policy) {
            for class in ViewKind::CLASSES {
                let radius = policy.radius_in_views(class);
                for transform in policy.transforms.iter() {
                    let widest = &mut radii.0[class as usize - 1][transform as usize];
                    *widest = (*widest).max(radius);
                }
            }
        }
        radii
    }

    fn at(&self, seen: &Observation) -> Option<u16> {
        self.0[seen.view.kind as usize - 1][seen.transform as usize]
    }

    fn widest(&self) -> Option<u16> {
        self.0.iter().flatten().copied().max().flatten()
    }
}

impl Snapshot {
    /// Whether a list that is asked lets views count.
    pub fn wants_views(&self, lists: &Asked) -> bool {
        let counts = |list: &HashList| ViewKind::CLASSES.into_iter().any(|class| list.policy.radius_in_views(class).is_some());
        let let_count = |list: &HashList| counts(list) && self.is_sought(list);
        // Where no list does, the names need no look.
        self.policy.lists.iter().any(let_count) && self.policy.asked(lists).into_iter().any(let_count)
    }

    /// Whether views can match in a list.
    fn is_sought(&self, list: &HashList) -> bool {
        list.polarity == Polarity::Positive && self.holds(list.id, HashKind::Pdq)
    }

    pub(super) fn look_up_views(&self, questions: &[Question], work: &mut Workspace, late: &dyn Fn() -> bool) -> Effort {
        work.views.clear();
        work.views.extend(questions.iter().map(|question| ViewCounts { searched: 0, cut: question.views_unmade }));
        work.in_views.clear();
        if questions.iter().all(|question| question.views.is_empty()) {
            return Effort::default();
        }
        let (queries, asked) = self.view_queries(questions, &mut work.views);
        let Workspace { scratch, in_views, views, given_up, .. } = work;
        let mut ended = given_up.contains(&true) || late();
        let mut effort = Effort::default();
        if !ended {
            effort += self.kinds.pdq.look_up(&queries, scratch, &mut |hits, entries| {
                for hit in hits {
                    let ((question, seen), entry) = (asked[hit.query as usize], entries[hit.row as usize]);
                    let is_view = (seen as usize) < questions[question as usize].views.len();
                    let list = self.live_list(entry).and_then(|list| self.policy.list(list));
                    if let Some(list) = list.filter(|list| is_view || list.polarity == Polarity::Negative) {
                        let found = RawHit { question, seen, entry, distance: hit.distance };
                        in_views.push(self, questions, list.id, found);
                    }
                }
                in_views.thin_out(self, questions);
                ended = late();
                if ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
        if ended {
            in_views.clear();
            views.iter_mut().for_each(|counts| *counts = ViewCounts { searched: 0, cut: counts.cut + counts.searched });
        }
        effort
    }

    /// What is looked up, and whose observations it is. Beside the views the whole's own hashes, where there are negative lists: an entry of
    /// theirs can be too far to suppress the whole, and near enough to suppress a match through a view of nearly all of it.
    fn view_queries(&self, questions: &[Question], counts: &mut [ViewCounts]) -> (Vec<Query<Pdq>>, Vec<(u32, u32)>) {
        let negatives = self.policy.lists.iter().filter(|list| list.polarity == Polarity::Negative);
        let against =
            negatives.filter(|list| self.holds(list.id, HashKind::Pdq)).fold(0, |bits, list| bits | list.policy.transforms.0);
        let against = Transforms(against);
        let mut queries = Vec::new();
        for ((q, question), counts) in (0..).zip(questions).zip(counts).filter(|((_, question), _)| !question.views.is_empty()) {
            let radii = Radii::of(self.policy.asked(&question.lists).into_iter().filter(|list| self.is_sought(list)));
            let radius = |seen: &Observation| match seen.view.kind {
                ViewKind::Whole => radii.widest().filter(|_| against.contains(seen.transform)),
                _ => radii.at(seen),
            };
            for (seen, n) in question.views.iter().chain(&question.seen).zip(0..) {
                if let (Some(radius), Some(hash)) = (radius(seen), pdq(&seen.hash)) {
                    queries.push((Query { hash, radius }, (q, n)));
                    counts.searched += u64::from(seen.view.kind != ViewKind::Whole);
                }
            }
        }
        // Those of one radius are looked up together.
        queries.sort_by_key(|(query, _)| query.radius);
        queries.into_iter().unzip()
    }
}
