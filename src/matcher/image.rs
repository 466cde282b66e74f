//! How does an image become a verdict?
//!
//! It is decoded and hashed, then looked up in the snapshot of that moment: the whole first, then, if the snapshot wants them and there is
//! time, its views. The deadline cuts views and never what was found of the whole.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::{Answer, Hashed, Inner, Stages, WORKSPACE};
use crate::entry::{HashKind, Observation, ViewSet};
use crate::extract::{Features, Unscanned, Wants};
use crate::snapshot::{KindSet, QUERIES_SURE, Question, Snapshot};
use crate::views::{self, Plane};

/// What the views of a picture take, in the pixels that an extractor tells work by: some 6 ms.
pub const VIEWS_WORK: u64 = 750_000;

/// An image and what is asked of it.
pub struct Image {
    pub bytes: Vec<u8>,
    pub lists: Vec<String>,
    pub views: Option<ViewSet>,
}

impl Inner {
    pub fn wants_views(&self, image: &Image, snapshot: &Snapshot) -> bool {
        image.views.unwrap_or(self.views) == ViewSet::All && snapshot.wants_views(&image.lists)
    }

    /// All that a list may ask for is hashed: which ones do is the answering snapshot's to say, and it is loaded after decoding, so that a list
    /// activated meanwhile counts. It alone decides whether there are views; an image without planes for them is decoded again.
    pub fn answer_image(&self, image: Image, stages: Stages, until: Instant) -> Vec<Answer> {
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
        let (question, planes) = image_question(hashed, lists);
        let late = || Instant::now() >= until;
        let make_views = |question: &mut Question| {
            if in_views && question.unscanned.is_none() {
                self.make_views(question, &planes, &late);
            }
        };
        let searching = Instant::now();
        let (verdicts, effort) =
            WORKSPACE.with_borrow_mut(|work| snapshot.answer_in_views(question, work, QUERIES_SURE, &late, make_views));
        let stages = Stages { search: searching.elapsed(), ..stages };
        verdicts.into_iter().map(|verdict| Answer { verdict, effort, stages }).collect()
    }

    /// A plane whose views panic has none: the whole is answered all the same.
    fn make_views(&self, question: &mut Question, planes: &[Plane], late: &dyn Fn() -> bool) {
        if late() {
            question.views_unmade = planes.len().max(1) as u64;
            return;
        }
        for plane in planes {
            let mut views = Vec::new();
            let observe = AssertUnwindSafe(|| views::observe(plane, &self.view_limits, &mut views));
            match catch_unwind(observe) {
                Ok(()) => question.views.append(&mut views),
                Err(_) => question.views_unmade += 1,
            }
        }
    }
}

fn image_question(hashed: Hashed, lists: Vec<String>) -> (Question, Vec<Plane>) {
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
