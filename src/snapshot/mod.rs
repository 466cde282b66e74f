//! All that a verdict needs, immutable and swapped in whole: indexes, entry metadata, policy, list versions.
//!
//! [`Snapshot::answer`] is the only look-up, and it masks the dead: an entry answers only if its bit in `alive` is set and
//! its list is enabled. Distances are bits. A snapshot never changes; the next one is made from it (`edit`) and published.
//! Absent: the store, the clock, and how snapshots come about (the catalog's work).

mod alive;
mod candidates;
mod edit;
mod find;
mod in_views;
mod layers;
mod marks;
mod metadata;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::entry::{
    Bits, EntryNo, Hash64, HashKind, HashValue, LeftOut, ListId, Observation, Pdq, Polarity, Reason, Transform, Transforms,
    VersionNo, View,
};
use crate::index::{Effort, Query, Scratch};
use crate::verdict::{Asked, Candidate, Live, Policy, Subject, Tries, Verdict, ViewCounts, judge};

pub use alive::Alive;
use candidates::{Candidates, Of, RawHit};
pub use edit::{Choices, HashRows, Merge, NotLoaded, Transition};

pub use layers::{DigestLayers, LAYERS_MAX, Layer, RadiusLayers, Rows, TAIL_MAX};
pub use marks::{ListMarks, Marks};
pub use metadata::{EntryMetadata, KindSet, MetadataTable};

/// Every kind's layers.
#[derive(Clone, Default)]
pub struct Kinds {
    pub pdq: RadiusLayers<Pdq>,
    pub phash64: RadiusLayers<Hash64>,
    pub dhash64: RadiusLayers<Hash64>,
    pub md5: DigestLayers<16>,
    pub sha1: DigestLayers<20>,
    pub sha256: DigestLayers<32>,
}

#[derive(Clone, Default)]
pub struct Snapshot {
    /// Number of the last change it holds.
    pub id: u64,
    pub policy: Policy,
    pub kinds: Kinds,
    pub metadata: MetadataTable,
    pub alive: Alive,
    /// Live entries that have a hash of the kind, by list; disabled lists are counted too.
    pub live: Live,
    /// The version of each list that answers, or would if the list were enabled.
    pub versions: BTreeMap<ListId, VersionNo>,
    /// By list: entries that are loaded so that the version before can be had back at once.
    pub spare: BTreeMap<ListId, u64>,
    /// What takes single entries out.
    pub marks: Marks,
    /// Which loading of everything this comes from.
    pub load: u64,
}

/// One picture's hashes and what is known of it beside them.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub seen: Vec<Observation>,
    /// What else the picture may have been, by PDQ.
    pub views: Vec<Observation>,
    /// Views that could not be made in time, at the least.
    pub views_unmade: u64,
    /// Kinds that were looked for, hashes or not: an undecodable picture has no PDQ, but PDQ was wanted.
    pub kinds: KindSet,
    pub lists: Asked,
    pub unscanned: Option<(Reason, String)>,
    pub left_out: Vec<LeftOut>,
}

/// What a look-up writes into, kept between look-ups so that they allocate nothing.
pub struct Workspace {
    scratch: Scratch,
    found: Candidates,
    in_views: Candidates,
    /// Of each question.
    views: Vec<ViewCounts>,
    /// Questions whose look-ups were given up.
    given_up: Vec<bool>,
}

impl Default for Workspace {
    fn default() -> Self {
        let (found, in_views) = (Candidates::new(Of::Whole), Candidates::new(Of::Views));
        Workspace { scratch: Scratch::default(), found, in_views, views: Vec::new(), given_up: Vec::new() }
    }
}

/// Queries whose look-ups are never given up, most often: all of a still picture's.
pub const QUERIES_SURE: usize = 16;

impl Snapshot {
    /// Answers questions together: one batch for each kind, so that look-ups share their memory accesses, and then one for all views.
    ///
    /// `late` is asked now and then whether to give up: what was not looked up by then is NOT_SCANNED(timeout), unless something matched. It is
    /// not asked before the first `sure` queries of a kind are done. Views that are given up are counted in the verdict, and change nothing else.
    pub fn answer(
        &self,
        questions: &[Question],
        work: &mut Workspace,
        sure: usize,
        late: &dyn Fn() -> bool,
    ) -> (Vec<Verdict>, Effort) {
        let mut effort = self.look_up_whole(questions, work, sure, late);
        effort += self.look_up_views(questions, work, late);
        (self.verdicts(questions, work), effort)
    }

    /// Answers one question whose views are made by `make_views`, after the whole was looked up.
    pub fn answer_in_views(
        &self,
        question: &mut Question,
        work: &mut Workspace,
        sure: usize,
        late: &dyn Fn() -> bool,
        late_for_views: &dyn Fn() -> bool,
        make_views: impl FnOnce(&mut Question),
    ) -> (Vec<Verdict>, Effort) {
        let mut effort = self.look_up_whole(std::slice::from_ref(question), work, sure, late);
        make_views(question);
        let question = std::slice::from_ref(question);
        effort += self.look_up_views(question, work, late_for_views);
        (self.verdicts(question, work), effort)
    }

    fn look_up_whole(&self, questions: &[Question], work: &mut Workspace, sure: usize, late: &dyn Fn() -> bool) -> Effort {
        work.found.clear();
        work.given_up.clear();
        work.given_up.resize(questions.len(), false);
        let mut effort = Effort::default();
        effort += self.near(&self.kinds.pdq, HashKind::Pdq, pdq, questions, work, sure, late);
        effort += self.near(&self.kinds.phash64, HashKind::Phash64, phash64, questions, work, sure, late);
        effort += self.near(&self.kinds.dhash64, HashKind::Dhash64, dhash64, questions, work, sure, late);
        self.exact(questions, work, late);
        effort
    }

    fn verdicts(&self, questions: &[Question], work: &mut Workspace) -> Vec<Verdict> {
        let admitted = self.transforms();
        let Workspace { found, in_views, views, given_up, .. } = work;
        let (mut of_whole, mut of_views) = (found.by_question(), in_views.by_question());
        let verdicts = (0..).zip(questions).zip(views).zip(given_up).map(|(((q, question), views), given_up)| {
            let mut candidates = Vec::new();
            for (of, found) in [(Of::Whole, of_whole.next_of(q)), (Of::Views, of_views.next_of(q))] {
                candidates.extend(found.iter().filter_map(|found| self.candidate(of, question, found)));
            }
            let matched = of_whole.matched(q).chain(of_views.matched(q)).collect();
            let tries = Tries { seen: &question.seen, admitted, views: views.searched, live: Some(&self.live) };
            self.judge(question, &candidates, Subject { matched, tries, views: *views, ..Subject::default() }, *given_up)
        });
        verdicts.collect()
    }

    /// The transforms that some list admits: no other needs a hash.
    pub fn transforms(&self) -> Transforms {
        Transforms(self.policy.lists.iter().fold(1, |bits, list| bits | list.policy.transforms.0))
    }

    /// Heap bytes of each kind's layers.
    pub fn index_bytes(&self) -> [(HashKind, usize); 6] {
        [
            (HashKind::Pdq, self.kinds.pdq.bytes()),
            (HashKind::Phash64, self.kinds.phash64.bytes()),
            (HashKind::Dhash64, self.kinds.dhash64.bytes()),
            (HashKind::Md5, self.kinds.md5.bytes()),
            (HashKind::Sha1, self.kinds.sha1.bytes()),
            (HashKind::Sha256, self.kinds.sha256.bytes()),
        ]
    }

    /// The one place that decides whether an entry answers: the list it answers for.
    #[inline]
    fn live_list(&self, entry: EntryNo) -> Option<ListId> {
        let list = self.metadata.list_of(entry).filter(|_| self.alive.contains(entry))?;
        let list = self.policy.list(list)?.id;
        match self.marks.of(list) {
            Some(marks) if self.metadata.get(entry).is_some_and(|row| marks.stop(row.id, entry)) => None,
            _ => Some(list),
        }
    }

    /// Whether a mark keeps an entry from matching.
    pub fn is_stopped(&self, entry: EntryNo) -> bool {
        self.metadata.get(entry).is_some_and(|row| self.marks.of(row.list).is_some_and(|marks| marks.stop(row.id, entry)))
    }

    /// The widest radius that any live list has for a kind; `None` where no live list holds the kind.
    fn radius_widest(&self, kind: HashKind) -> Option<u16> {
        let holding = self.policy.lists.iter().filter(|l| self.holds(l.id, kind));
        holding.map(|l| l.policy.radius_widest(kind)).max()
    }

    fn holds(&self, list: ListId, kind: HashKind) -> bool {
        self.live.get(&(list, kind)).is_some_and(|n| *n > 0)
    }

    fn near<H: Bits>(
        &self,
        layers: &RadiusLayers<H>,
        kind: HashKind,
        take: fn(&HashValue) -> Option<H>,
        questions: &[Question],
        work: &mut Workspace,
        sure: usize,
        late: &dyn Fn() -> bool,
    ) -> Effort {
        let Some(radius) = self.radius_widest(kind) else { return Effort::default() };
        let admitted = self.transforms();
        let (mut queries, mut asked) = (Vec::new(), Vec::new());
        for (q, question) in questions.iter().enumerate() {
            for (s, seen) in question.seen.iter().enumerate() {
                if let Some(hash) = take(&seen.hash).filter(|_| admitted.contains(seen.transform)) {
                    queries.push(Query { hash, radius });
                    asked.push((q as u32, s as u32));
                }
            }
        }
        let Workspace { scratch, found, given_up, .. } = work;
        let (sure, rest) = queries.split_at(queries.len().min(sure));
        let (mut effort, mut ended) = (Effort::default(), false);
        for (first, some) in [(0, sure), (sure.len(), rest)] {
            effort += layers.look_up(some, scratch, &mut |hits, entries| {
                for hit in hits {
                    let entry = entries[hit.row as usize];
                    if let Some(list) = self.live_list(entry) {
                        let (question, seen) = asked[first + hit.query as usize];
                        found.push(self, questions, list, RawHit { question, seen, entry, distance: hit.distance });
                    }
                }
                found.thin_out(self, questions);
                ended = first > 0 && late();
                if ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
        if ended {
            asked[sure.len()..].iter().for_each(|(question, _)| given_up[*question as usize] = true);
        }
        effort
    }

    fn exact(&self, questions: &[Question], work: &mut Workspace, late: &dyn Fn() -> bool) {
        for (q, question) in questions.iter().enumerate() {
            if q > 0 && q.is_multiple_of(QUERIES_SURE) && late() {
                work.given_up[q..].fill(true);
                return;
            }
            for (s, seen) in question.seen.iter().enumerate() {
                let mut each = |entry| {
                    if let Some(list) = self.live_list(entry) {
                        let found = RawHit { question: q as u32, seen: s as u32, entry, distance: 0 };
                        work.found.push(self, questions, list, found);
                    }
                };
                match &seen.hash {
                    HashValue::Md5(digest) => self.kinds.md5.search(digest, &mut each),
                    HashValue::Sha1(digest) => self.kinds.sha1.search(digest, &mut each),
                    HashValue::Sha256(digest) => self.kinds.sha256.search(digest, &mut each),
                    _ => {}
                }
            }
            work.found.thin_out(self, questions);
        }
    }

    fn candidate<'a>(&'a self, of: Of, question: &Question, found: &RawHit) -> Option<Candidate<'a>> {
        let seen = of.observation(question, found.seen)?;
        let metadata = self.metadata.get(found.entry)?;
        Some(Candidate {
            list: metadata.list,
            entry_id: metadata.id,
            category: metadata.category,
            kind: seen.hash.kind(),
            distance: found.distance,
            transform: seen.transform,
            frame: seen.frame,
            rendering: seen.rendering,
            quality: seen.quality,
            view: seen.view,
            action_max: self.marks.of(metadata.list).and_then(|marks| marks.capped.get(metadata.id).copied()),
        })
    }

    /// `looked_up` says what the look-ups came to.
    fn judge(&self, question: &Question, candidates: &[Candidate<'_>], looked_up: Subject<'_>, given_up: bool) -> Verdict {
        let late = || (Reason::Timeout, "the deadline passed before all look-ups were done".to_owned());
        let holding = |kinds: &dyn Fn(HashKind) -> bool| {
            let lists = self.policy.lists.iter().filter(|l| l.polarity == Polarity::Positive);
            lists.filter(|l| question.kinds.iter().any(|k| kinds(k) && self.holds(l.id, k))).map(|l| l.id).collect()
        };
        let subject = Subject {
            lists: &question.lists,
            unscanned: question.unscanned.clone().or_else(|| given_up.then(late)),
            left_out: question.left_out.clone(),
            qualities: qualities(&question.seen),
            sought: holding(&|_| true),
            sought_by_pixels: holding(&|kind| !kind.is_digest()),
            ..looked_up
        };
        judge(&self.policy, self.id, subject, candidates)
    }
}

/// The quality of each frame: its best look's.
fn qualities(seen: &[Observation]) -> Vec<(u32, u8)> {
    let by_pixels = seen.iter().filter(|o| !o.hash.kind().is_digest());
    let mut best = BTreeMap::new();
    for (frame, quality) in by_pixels.filter_map(|o| o.quality.map(|quality| (o.frame, quality))) {
        best.entry(frame).and_modify(|known: &mut u8| *known = quality.max(*known)).or_insert(quality);
    }
    best.into_iter().collect()
}

fn pdq(value: &HashValue) -> Option<Pdq> {
    if let HashValue::Pdq(hash) = value { Some(*hash) } else { None }
}

fn phash64(value: &HashValue) -> Option<Hash64> {
    if let HashValue::Phash64(hash) = value { Some(*hash) } else { None }
}

fn dhash64(value: &HashValue) -> Option<Hash64> {
    if let HashValue::Dhash64(hash) = value { Some(*hash) } else { None }
}

impl Question {
    /// Adds a hash that is not a frame's: a digest of the file, or one a caller brought.
    pub fn push(&mut self, hash: HashValue, quality: Option<u8>) {
        self.kinds = self.kinds.with(hash.kind());
        let rendering = self.seen.len() as u32; // each for itself: nobody says of which frame they are
        self.seen.push(Observation { hash, transform: Transform::Identity, frame: 0, rendering, quality, view: View::WHOLE });
    }
}

/// The snapshot that look-ups use now. Swapping never waits for them, and they never wait for the memory of an old one to be given back: that
/// falls to whoever publishes, or calls [`Published::reclaim`].
#[derive(Default)]
pub struct Published {
    now: ArcSwap<Snapshot>,
    old: Mutex<Vec<Arc<Snapshot>>>,
}

impl Published {
    pub fn new(snapshot: Snapshot) -> Self {
        Published { now: ArcSwap::from_pointee(snapshot), old: Mutex::default() }
    }

    pub fn load(&self) -> Arc<Snapshot> {
        self.now.load_full()
    }

    pub fn publish(&self, snapshot: Snapshot) {
        let old = self.now.swap(Arc::new(snapshot));
        self.old.lock().unwrap_or_else(PoisonError::into_inner).push(old);
        self.reclaim();
    }

    /// Frees the old snapshots that nobody looks up in any more.
    pub fn reclaim(&self) {
        let mut free = Vec::new();
        {
            let mut old = self.old.lock().unwrap_or_else(PoisonError::into_inner);
            free.extend(old.extract_if(.., |snapshot| Arc::strong_count(snapshot) == 1));
        }
        drop(free); // takes long, so the lock is not held
    }
}
