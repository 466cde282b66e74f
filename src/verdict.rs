//! Candidates and policy to a verdict: which look-up hits count, and what they mean together.
//!
//! Pure: no clock, no counter, no store. The same snapshot, picture and lists give the same verdict, so a verdict can be
//! replayed. Distances are bits. Invariant: a picture that was not scanned whole is never [`Outcome::NoMatch`].
//! The age of the lists is absent: the edge adds it.

mod chance;
mod suppress;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

pub use chance::{Live, Tries};
use suppress::Suppression;

use crate::entry::options::options;
use crate::entry::{
    Action, HashKind, HashList, LeftOut, ListId, Polarity, Reason, Transform, VIEW_QUALITY_MIN, VersionNo, View, ViewKind,
};

/// What a verdict says in one word. MATCH goes over NOT_SCANNED or PARTIAL, those over NO_MATCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    Match,
    NotScanned,
    Partial,
    NoMatch,
}

impl Outcome {
    pub const ALL: [Outcome; 4] = [Outcome::Match, Outcome::NotScanned, Outcome::Partial, Outcome::NoMatch];

    pub fn name(self) -> &'static str {
        match self {
            Outcome::Match => "MATCH",
            Outcome::NotScanned => "NOT_SCANNED",
            Outcome::Partial => "PARTIAL",
            Outcome::NoMatch => "NO_MATCH",
        }
    }
}

/// A live entry within some list's widest radius of a hash of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    pub list: ListId,
    pub entry_id: &'a str,
    pub category: &'a str,
    pub kind: HashKind,
    pub distance: u16,
    pub transform: Transform,
    pub frame: u32,
    /// Candidates with one number were seen in the same pixels.
    pub rendering: u32,
    /// PDQ quality of what was hashed; `None` where it is unknown, which passes for the whole.
    pub quality: Option<u8>,
    pub view: View,
    /// The strictest action of the entry's matches by look, where a mark bounds it.
    pub action_max: Option<Action>,
}

/// A candidate that the list's policy lets stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    pub list: String,
    pub entry_id: String,
    pub category: String,
    pub kind: HashKind,
    pub distance: u16,
    /// The radius that was applied.
    pub threshold: u16,
    pub transform: Transform,
    pub frame: u32,
    /// The file's digest is the entry's: the same bytes. A perceptual hash at distance 0 is near, not exact.
    pub exact: bool,
    pub action: Action,
    /// Where in the picture it was found.
    pub view: View,
    /// How many matches as near as this chance would give, see [`Tries`]; 0 for exact ones.
    pub chance: f64,
}

/// Views of a picture; a view is one hash looked up, mirrors counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ViewCounts {
    pub searched: u64,
    /// Not looked up, as the deadline passed; at the least, where it passed before they were made.
    pub cut: u64,
}

/// Which lists are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Asked {
    #[default]
    All,
    /// Those of these names; that one does not answer is said.
    Named(Vec<String>),
    /// Of all those of these names: there are no others for who asks.
    Among(Arc<BTreeSet<String>>),
}

/// None named means all.
impl From<Vec<String>> for Asked {
    fn from(names: Vec<String>) -> Self {
        if names.is_empty() { Asked::All } else { Asked::Named(names) }
    }
}

impl FromIterator<String> for Asked {
    fn from_iter<T: IntoIterator<Item = String>>(names: T) -> Self {
        names.into_iter().collect::<Vec<_>>().into()
    }
}

impl Asked {
    /// The names that somebody gave.
    fn named(&self) -> &[String] {
        if let Asked::Named(names) = self { names } else { &[] }
    }
}

/// The lists a look-up sees and what each asks for.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Sorted by id; enabled lists with an active version only.
    pub lists: Vec<HashList>,
    /// A list's matches beyond this many are counted, not shown; the nearest stay.
    pub matches_per_list_max: usize,
}

options! {
    /// How much a verdict shows.
    #[derive(Copy, Eq)]
    pub struct Limits {
        /// [`Policy::matches_per_list_max`], whatever the list.
        pub candidates_max: usize = 100, in 1..=1_000_000;
    }
}

impl Policy {
    pub fn list(&self, id: ListId) -> Option<&HashList> {
        self.lists.binary_search_by_key(&id, |l| l.id).ok().map(|i| &self.lists[i])
    }

    /// The lists that are asked.
    pub fn asked(&self, asked: &Asked) -> Vec<&HashList> {
        // Hundreds of names over thousands of lists: each is looked for once.
        let named: HashSet<&str> = asked.named().iter().map(String::as_str).collect();
        let is_asked = |list: &&HashList| match asked {
            Asked::All => true,
            Asked::Named(_) => named.contains(list.name.as_str()),
            Asked::Among(names) => names.contains(&list.name),
        };
        self.lists.iter().filter(is_asked).collect()
    }
}

/// What is known of the picture beside its candidates.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    pub lists: &'a Asked,
    /// Why no perceptual hash could be taken.
    pub unscanned: Option<(Reason, String)>,
    pub left_out: Vec<LeftOut>,
    /// Each frame that was seen and its PDQ quality, where it is known.
    pub qualities: Vec<(u32, u8)>,
    /// Lists that hold a live entry of a kind that was looked up, sorted.
    pub sought: Vec<ListId>,
    /// The same, counting kinds whose hashes come from pixels only.
    pub sought_by_pixels: Vec<ListId>,
    /// How many entries of a list match, at the least, where not all of them are among the candidates; the largest number counts.
    pub matched: Vec<(ListId, u64)>,
    pub views: ViewCounts,
    pub tries: Tries<'a>,
}

impl Default for Subject<'_> {
    fn default() -> Self {
        Subject {
            lists: &Asked::All,
            unscanned: None,
            left_out: Vec::new(),
            qualities: Vec::new(),
            sought: Vec::new(),
            sought_by_pixels: Vec::new(),
            matched: Vec::new(),
            views: ViewCounts::default(),
            tries: Tries::default(),
        }
    }
}

/// What the pipeline gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub outcome: Outcome,
    /// Set whenever the picture was not scanned, also beside a match.
    pub reason: Option<Reason>,
    /// The reason in words; empty without one.
    pub detail: String,
    pub left_out: Vec<LeftOut>,
    /// The strictest action of the matches.
    pub action: Option<Action>,
    /// Nearest first.
    pub matches: Vec<Match>,
    /// Matches that a negative list took out.
    pub suppressed: Vec<Match>,
    /// Matches of lists in shadow, which alter nothing else.
    pub shadow: Vec<Match>,
    /// Matches beyond each list's limit: counted, not shown; where there are tens of thousands, at least so many.
    pub cut: u64,
    /// The best quality of the frames seen.
    pub pdq_quality: Option<u8>,
    /// Number of the snapshot that answered.
    pub snapshot: u64,
    /// The list versions that were asked.
    pub lists: Vec<(String, VersionNo)>,
    pub views: ViewCounts,
    /// Whoever passed it on left out what tells how near matches are and which entries they are: that says nothing here.
    pub withheld: bool,
}

/// Applies the lists' policies, in this order: radius of (list, category, kind, class of view), transform, minimum quality, negatives, action.
pub fn judge(policy: &Policy, snapshot: u64, subject: Subject<'_>, candidates: &[Candidate<'_>]) -> Verdict {
    let asked_lists = policy.asked(subject.lists);
    let asked = |list: &HashList| asked_lists.binary_search_by_key(&list.id, |asked| asked.id).is_ok();
    let positives = || asked_lists.iter().copied().filter(|l| l.polarity == Polarity::Positive && !l.policy.shadow);
    let holds = |ids: &[ListId], list: &HashList| ids.binary_search(&list.id).is_ok();

    let scoped_candidates: Vec<_> = candidates.iter().filter_map(|candidate| scoped(policy, candidate)).collect();
    let mut suppression = Suppression::new(policy, candidates);
    let positive = scoped_candidates.iter().filter(|s| s.list.polarity == Polarity::Positive && asked(s.list));
    let (suppressed, matches): (Vec<_>, Vec<_>) = positive.partition(|scoped| suppression.takes_out(scoped));
    let (shadow, matches): (Vec<_>, Vec<_>) = matches.into_iter().partition(|scoped| scoped.list.policy.shadow);
    let suppressed: Vec<_> = suppressed.into_iter().filter(|scoped| !scoped.list.policy.shadow).collect();
    let shadow = nearest_per_entry(&shadow);
    let matches = nearest_per_entry(&matches);
    let mut suppressed = nearest_per_entry(&suppressed);
    // An entry that stands in one rendering is not suppressed, whatever another one shows.
    let standing: BTreeSet<_> = matches.iter().map(|(list, m)| (list.id, m.entry_id.as_str(), m.kind)).collect();
    suppressed.retain(|(list, m)| !standing.contains(&(list.id, m.entry_id.as_str(), m.kind)));

    let mut counts = BTreeMap::new();
    let mut matches = keep_nearest(matches, policy.matches_per_list_max, &mut counts);
    let mut suppressed = keep_nearest(suppressed, policy.matches_per_list_max, &mut counts);
    let mut shadow = keep_nearest(shadow, policy.matches_per_list_max, &mut BTreeMap::new());
    let mut pairs = BTreeMap::new();
    for found in matches.iter_mut().chain(&mut suppressed).chain(&mut shadow) {
        let lists = || positives().map(|list| list.id);
        let pairs = pairs.entry(found.kind).or_insert_with(|| subject.tries.pairs(lists(), found.kind));
        found.chance = pairs.chance(found.view.kind, found.distance);
    }
    let matched = |list: &ListId| subject.matched.iter().filter(|(of, _)| of == list).map(|(_, n)| *n).max().unwrap_or(0);
    let cut = counts.iter().map(|(list, counts)| counts.cut.max(matched(list).saturating_sub(counts.kept))).sum();

    let was_scanned = subject.unscanned.is_none();
    let mut reason = subject.unscanned;
    let mut left_out = subject.left_out;
    if !positives().any(|l| holds(&subject.sought, l)) && reason.is_none() {
        reason = Some((Reason::NoList, "no active list holds a hash of any of the given kinds".to_owned()));
    }
    let by_name: HashMap<&str, &HashList> = match subject.lists {
        Asked::All | Asked::Among(_) => HashMap::new(),
        Asked::Named(_) => asked_lists.iter().map(|list| (list.name.as_str(), *list)).collect(),
    };
    for name in subject.lists.named() {
        let why = match by_name.get(name.as_str()) {
            None => "disabled or never filled",
            Some(list) if list.polarity == Polarity::Negative => continue,
            Some(list) if list.policy.shadow => "in shadow, so its matches alter no outcome",
            Some(list) if holds(&subject.sought, list) => continue,
            // Of a picture that was not scanned not all kinds are known.
            Some(_) if !was_scanned => continue,
            Some(_) => "it holds no hash of any of the given kinds",
        };
        left_out.push(LeftOut(format!("list {name}: {why}")));
    }
    let quality_best = subject.qualities.iter().map(|(_, quality)| *quality).max();
    if let (Some(quality), None) = (quality_best, &reason) {
        let by_pixels: Vec<_> = positives().filter(|l| holds(&subject.sought_by_pixels, l)).collect();
        let blind: Vec<_> = by_pixels.iter().filter(|l| quality < l.policy.quality_min).collect();
        let least = by_pixels.iter().map(|l| l.policy.quality_min).min();
        if !blind.is_empty() && blind.len() == by_pixels.len() {
            let least = least.unwrap_or_default();
            reason = Some((Reason::LowQuality, format!("PDQ quality {quality} is below the minimum of {least}")));
        } else {
            left_out.extend(by_pixels.iter().filter_map(|list| blind_frames(list, &subject.qualities)));
        }
    }

    let outcome = if !matches.is_empty() {
        Outcome::Match
    } else if reason.is_some() {
        Outcome::NotScanned
    } else if !left_out.is_empty() {
        Outcome::Partial
    } else {
        Outcome::NoMatch
    };
    let (reason, detail) = reason.map_or((None, String::new()), |(r, d)| (Some(r), d));
    Verdict {
        outcome,
        reason,
        detail,
        left_out,
        action: matches.iter().map(|m| m.action).max(),
        matches,
        suppressed,
        shadow,
        cut,
        pdq_quality: quality_best,
        snapshot,
        lists: positives().map(|l| (l.name.clone(), l.active)).collect(),
        views: subject.views,
        withheld: false,
    }
}

/// What a list can't judge of a picture whose other frames it can: frames below its minimum quality.
fn blind_frames(list: &HashList, qualities: &[(u32, u8)]) -> Option<LeftOut> {
    const NAMED: usize = 8;
    let below: Vec<_> = qualities.iter().filter(|(_, quality)| *quality < list.policy.quality_min).collect();
    if below.is_empty() {
        return None;
    }
    let mut named =
        below.iter().take(NAMED).map(|(frame, quality)| format!("{frame} ({quality})")).collect::<Vec<_>>().join(", ");
    if below.len() > NAMED {
        named.push_str(&format!(" and {} more", below.len() - NAMED));
    }
    let least = list.policy.quality_min;
    Some(LeftOut(format!("list {}: PDQ quality below its minimum of {least}: frame (quality) {named}", list.name)))
}

/// A candidate that passes its list's radius, transforms and quality.
struct ScopedCandidate<'p, 'c> {
    candidate: &'c Candidate<'c>,
    list: &'p HashList,
    threshold: u16,
}

/// Whether a candidate passes its list's radius, transforms and quality.
pub fn admits(policy: &Policy, candidate: &Candidate<'_>) -> bool {
    scoped(policy, candidate).is_some()
}

/// Whether it counts where views are looked up: a negative list's does however far it is, as long as it is nearer than what it speaks against.
pub fn admits_beside_views(policy: &Policy, candidate: &Candidate<'_>) -> bool {
    policy.list(candidate.list).is_some_and(|list| match list.polarity {
        Polarity::Positive => scoped(policy, candidate).is_some(),
        Polarity::Negative => admits_rendering(list, candidate),
    })
}

/// The distance up to which a list admits what is seen like a candidate, whatever the entry's category; `None` where it admits none.
pub fn admits_within(list: &HashList, candidate: &Candidate<'_>) -> Option<u16> {
    let narrowest = list.policy.threshold_narrowest(candidate.kind, candidate.view.kind)?;
    admits_rendering(list, candidate).then_some(narrowest)
}

/// Whether a list admits what was looked at: how it was turned, and what it is worth.
fn admits_rendering(list: &HashList, candidate: &Candidate<'_>) -> bool {
    let is_worth = match candidate.view.kind {
        ViewKind::Whole => candidate.quality.is_none_or(|quality| quality >= list.policy.quality_min),
        _ => candidate.quality.is_some_and(|quality| quality >= list.policy.quality_min.max(VIEW_QUALITY_MIN)),
    };
    candidate.kind.is_digest() || (list.policy.transforms.contains(candidate.transform) && is_worth)
}

fn scoped<'p, 'c>(policy: &'p Policy, candidate: &'c Candidate<'c>) -> Option<ScopedCandidate<'p, 'c>> {
    let list = policy.list(candidate.list)?;
    let threshold = list.policy.threshold(candidate.category, candidate.kind, candidate.view.kind)?;
    let passes = candidate.distance <= threshold && admits_rendering(list, candidate);
    passes.then_some(ScopedCandidate { candidate, list, threshold })
}

/// The candidate of each entry by each kind that is shown: of the whole if there is one, as its action may be stricter, else of the nearest view.
fn nearest_per_entry<'p>(scoped_candidates: &[&ScopedCandidate<'p, '_>]) -> Vec<(&'p HashList, Match)> {
    let mut nearest: BTreeMap<(ListId, &str, HashKind), &ScopedCandidate<'p, '_>> = BTreeMap::new();
    for scoped in scoped_candidates {
        let rank = |s: &ScopedCandidate<'_, '_>| {
            let Candidate { distance, view, transform, frame, .. } = s.candidate;
            (view.kind != ViewKind::Whole, *distance, *view, *transform, *frame)
        };
        nearest
            .entry((scoped.list.id, scoped.candidate.entry_id, scoped.candidate.kind))
            .and_modify(|best| {
                if rank(scoped) < rank(best) {
                    *best = scoped;
                }
            })
            .or_insert(scoped);
    }
    nearest
        .into_values()
        .map(|scoped| {
            let ScopedCandidate { candidate, list, threshold } = scoped;
            let of_category = list.policy.action(candidate.category, candidate.kind);
            let bound = candidate.action_max.filter(|_| !candidate.kind.is_digest());
            let of_kind = bound.map_or(of_category, |most| of_category.min(most));
            let in_view = candidate.view.kind != ViewKind::Whole;
            let action = if in_view { of_kind.min(list.policy.view_action_max) } else { of_kind };
            let found = Match {
                list: list.name.clone(),
                entry_id: candidate.entry_id.to_owned(),
                category: candidate.category.to_owned(),
                kind: candidate.kind,
                distance: candidate.distance,
                threshold: *threshold,
                transform: candidate.transform,
                frame: candidate.frame,
                exact: candidate.kind.is_digest(),
                action,
                view: candidate.view,
                chance: 0.0, // said of those that are shown
            };
            (*list, found)
        })
        .collect()
}

/// A list's matches that are shown, and those that are not.
#[derive(Default)]
struct Counts {
    kept: u64,
    cut: u64,
}

/// Exact before near, then by distance; each list keeps its first `max`.
fn keep_nearest(mut matches: Vec<(&HashList, Match)>, max: usize, counts: &mut BTreeMap<ListId, Counts>) -> Vec<Match> {
    matches.sort_by(|(_, a), (_, b)| {
        let key = |m: &Match| (!m.exact, m.distance, m.kind);
        key(a).cmp(&key(b)).then_with(|| (&a.list, &a.entry_id).cmp(&(&b.list, &b.entry_id)))
    });
    let mut kept_of: BTreeMap<ListId, usize> = BTreeMap::new();
    matches
        .into_iter()
        .filter_map(|(list, found)| {
            let (kept, counts) = (kept_of.entry(list.id).or_default(), counts.entry(list.id).or_default());
            *kept += 1;
            if *kept > max {
                counts.cut += 1;
                return None;
            }
            counts.kept += 1;
            Some(found)
        })
        .collect()
}

#[cfg(test)]
mod tests;
