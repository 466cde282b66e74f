//! How does an image become a verdict?
//!
//! It is decoded and hashed, then looked up in the snapshot of that moment: the whole first, then, if the snapshot wants them and there is
//! time, its views. The deadline cuts views and never what was found of the whole.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::probe::probes;
use super::queue::ViewTime;
use super::{Answer, Hashed, Inner, Stages, WORKSPACE};
use crate::entry::{HashKind, Observation, ViewSet};
use crate::extract::{Features, Unscanned, Wants};
use crate::snapshot::{KindSet, QUERIES_SURE, Question, Snapshot};
use crate::verdict::Asked;
use crate::views::{self, Plane};

/// A plane's views are made only while so much is left until the deadline: they take at most some 40 ms, and are looked up then.
const MAKING_MARGIN: Duration = Duration::from_millis(55);
/// Views are given up while there is still time to hand over what was found of the whole.
const ANSWER_MARGIN: Duration = Duration::from_millis(10);

/// An image and what is asked of it.
pub struct Image {
    pub bytes: Vec<u8>,
    pub lists: Asked,
    pub views: Option<ViewSet>,
}

impl Inner {
    pub fn wants_views(&self, image: &Image, snapshot: &Snapshot) -> bool {
        image.views.unwrap_or(self.options.views.default) == ViewSet::All && snapshot.wants_views(&image.lists)
    }

    /// All that a list may ask for is hashed: which ones do is the answering snapshot's to say, and it is loaded after decoding, so that a list
    /// activated meanwhile counts. It alone decides whether there are views; an image without planes for them is decoded again.
    pub fn answer_image(&self, image: Image, stages: Stages, until: Instant) -> (Vec<Answer>, ViewTime) {
        let extracting = Instant::now();
        let with_planes = self.wants_views(&image, &self.published.load());
        let mut hashed = self.hash(&image.bytes, &Wants { views: with_planes, ..Wants::ALL }, until);
        let snapshot = self.published.load();
        let in_views = self.wants_views(&image, &snapshot);
        if let Ok(features) = &mut hashed.features
            && in_views != with_planes
        {
            let again = || self.features(&image.bytes, &Wants { views: true, ..Wants::ALL }, until);
            features.planes = if in_views { again().map(|again| again.planes).unwrap_or_default() } else { Vec::new() };
        }
        let Image { bytes, lists, .. } = image;
        drop(bytes);
        let stages = Stages { extract: extracting.elapsed(), ..stages };
        let (mut question, planes) = image_question(hashed, lists);
        let late = || Instant::now() >= until;
        let late_by = |margin: Duration| move || Instant::now() + margin >= until;
        let mut making = None;
        let make_views = |question: &mut Question| {
            if in_views && question.unscanned.is_none() {
                making = Some(Instant::now());
                make_views(question, &planes, &self.options.views.limits, &late_by(MAKING_MARGIN));
            }
        };
        let searching = Instant::now();
        let (verdicts, effort) = WORKSPACE.with_borrow_mut(|work| {
            snapshot.answer_in_views(&mut question, work, QUERIES_SURE, &late, &late_by(ANSWER_MARGIN), make_views)
        });
        let stages = Stages { search: searching.elapsed(), ..stages };
        let cut = verdicts.iter().any(|verdict| verdict.views.cut > 0);
        let view_time = making.map(|making| ViewTime { took: making.elapsed(), made: !cut }).unwrap_or_default();
        verdicts.iter().for_each(|verdict| self.floods.count(verdict, searching));
        let answer = |verdict| Answer { probes: probes(&verdict, &question), verdict, effort, stages };
        (verdicts.into_iter().map(answer).collect(), view_time)
    }
}

/// A plane whose views panic has none: the whole is answered all the same. Those that are not made in time are counted.
fn make_views(question: &mut Question, planes: &[Plane], limits: &views::Limits, late: &dyn Fn() -> bool) {
    if planes.is_empty() && late() {
        question.views_unmade = 1; // at the least: nobody knows how many there would have been
    }
    for (made, plane) in planes.iter().enumerate() {
        if late() {
            question.views_unmade += (planes.len() - made) as u64;
            return;
        }
        let mut views = Vec::new();
        match catch_unwind(AssertUnwindSafe(|| views::observe(plane, limits, &mut views))) {
            Ok(()) => question.views.append(&mut views),
            Err(_) => question.views_unmade += 1,
        }
    }
}

fn image_question(hashed: Hashed, lists: Asked) -> (Question, Vec<Plane>) {
    let perceptual = [HashKind::Pdq, HashKind::Phash64, HashKind::Dhash64];
    let mut question = Question { lists, kinds: KindSet::from_iter(perceptual), ..Question::default() };
    for digest in hashed.digests.values() {
        question.push(digest, None);
    }
    match hashed.features {
        Ok(Features { seen, left_out, planes }) => {
            question.seen.extend::<Vec<Observation>>(seen);
            question.left_out = left_out;
            return (question, planes);
        }
        Err(Unscanned { reason, detail }) => question.unscanned = Some((reason, detail)),
    }
    (question, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::Reducer;
    use std::cell::Cell;

    #[test]
    fn views_are_made_plane_by_plane_until_it_is_late() {
        let plane = |rendering: u32| {
            let mut reducer = Reducer::new(256, 256);
            let mut chance = u64::from(rendering) + 1;
            for _ in 0..256 {
                let row = [0.0f32; 256].map(|_| {
                    chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (chance >> 56) as f32
                });
                reducer.row(&row);
            }
            reducer.finish(0, rendering)
        };
        let planes: Vec<Plane> = (0..3).map(plane).collect();
        let made = |in_time: u32| {
            let (asked, mut question) = (Cell::new(0), Question::default());
            make_views(&mut question, &planes, &views::Limits::default(), &|| asked.replace(asked.get() + 1) >= in_time);
            let mut renderings: Vec<u32> = question.views.iter().map(|view| view.rendering).collect();
            renderings.dedup();
            (renderings, question.views_unmade)
        };
        assert_eq!(made(0), (vec![], 3));
        assert_eq!(made(2), (vec![0, 1], 1));
        assert_eq!(made(9), (vec![0, 1, 2], 0));
    }
}
