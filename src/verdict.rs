//! Candidates and policy to a verdict: which look-up hits count, and what they mean together.
//!
//! Pure: no clock, no counter, no store. The same snapshot, picture and lists give the same verdict, so a verdict can be
//! replayed. Distances are bits. Invariant: a picture that was not scanned whole is never [`Outcome::NoMatch`].
//! The age of the lists is absent: the edge adds it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::entry::{Action, HashKind, HashList, LeftOut, ListId, Polarity, Reason, Transform, VersionNo};

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
    pub look: u32,
    /// PDQ quality of the look; `None` where it is unknown, which passes.
    pub quality: Option<u8>,
}

/// A candidate that the list's policy lets stand.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// The lists a look-up sees and what each asks for.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Sorted by id; enabled lists with an active version only.
    pub lists: Vec<HashList>,
    /// A list's matches beyond this many are counted, not shown; the nearest stay.
    pub matches_per_list_max: usize,
}

/// The default of [`Policy::matches_per_list_max`].
pub const MATCHES_PER_LIST_MAX: usize = 100;

impl Policy {
    pub fn list(&self, id: ListId) -> Option<&HashList> {
        self.lists.binary_search_by_key(&id, |l| l.id).ok().map(|i| &self.lists[i])
    }
}

/// What is known of the picture beside its candidates.
#[derive(Debug, Clone, Default)]
pub struct Subject<'a> {
    /// Names of the lists asked for; empty means all.
    pub lists: &'a [String],
    /// Why no perceptual hash could be taken.
    pub unscanned: Option<(Reason, String)>,
    pub left_out: Vec<LeftOut>,
    /// Each frame that was seen and its PDQ quality, where it is known.
    pub qualities: Vec<(u32, u8)>,
    /// Lists that hold a live entry of a kind that was looked up, sorted.
    pub sought: Vec<ListId>,
    /// The same, counting kinds whose hashes come from pixels only.
    pub sought_by_pixels: Vec<ListId>,
    /// How many entries of a list match, at the least, where not all of them are among the candidates.
    pub matched: Vec<(ListId, u64)>,
}

/// What the pipeline gets.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Matches beyond each list's limit: counted, not shown; where there are tens of thousands, at least so many.
    pub cut: u64,
    /// The best quality of the frames seen.
    pub pdq_quality: Option<u8>,
    /// Number of the snapshot that answered.
    pub snapshot: u64,
    /// The list versions that were asked.
    pub lists: Vec<(String, VersionNo)>,
}

/// Applies the lists' policies, in this order: radius of (list, category, kind), transform, minimum quality, negatives, action.
pub fn judge(policy: &Policy, snapshot: u64, subject: Subject<'_>, candidates: &[Candidate<'_>]) -> Verdict {
    // Hundreds of names over thousands of lists: each is looked for once.
    let named: HashSet<&str> = subject.lists.iter().map(String::as_str).collect();
    let asked = |list: &HashList| named.is_empty() || named.contains(list.name.as_str());
    let asked_lists: Vec<&HashList> = policy.lists.iter().filter(|l| asked(l)).collect();
    let positives = || asked_lists.iter().copied().filter(|l| l.polarity == Polarity::Positive);
    let holds = |ids: &[ListId], list: &HashList| ids.binary_search(&list.id).is_ok();

    // A negative match speaks for the look it is seen in: a harmless frame must not hide what another one shows, nor what is harmless over
    // white what is stored under it.
    let sights: Vec<_> = candidates.iter().filter_map(|candidate| sight(policy, candidate)).collect();
    let negative: BTreeSet<(ListId, u32)> =
        sights.iter().filter(|s| s.list.polarity == Polarity::Negative).map(|s| (s.list.id, s.candidate.look)).collect();
    let is_suppressed = |sight: &Sight<'_, '_>| {
        let in_scope = |n: &HashList| n.policy.scope.is_empty() || n.policy.scope.contains(&sight.list.name);
        let here = negative.iter().filter(|(_, look)| *look == sight.candidate.look);
        !sight.candidate.kind.is_digest() && here.filter_map(|(id, _)| policy.list(*id)).any(in_scope)
    };
    let positive = sights.iter().filter(|s| s.list.polarity == Polarity::Positive && asked(s.list));
    let (suppressed, matches): (Vec<_>, Vec<_>) = positive.partition(|sight| is_suppressed(sight));
    let matches = nearest_per_entry(&matches);
    let mut suppressed = nearest_per_entry(&suppressed);
    // An entry that stands in one look is not suppressed, whatever another look shows.
    let standing: BTreeSet<_> = matches.iter().map(|(list, m)| (list.id, m.entry_id.as_str(), m.kind)).collect();
    suppressed.retain(|(list, m)| !standing.contains(&(list.id, m.entry_id.as_str(), m.kind)));

    let mut counts = BTreeMap::new();
    let matches = keep_nearest(matches, policy.matches_per_list_max, &mut counts);
    let suppressed = keep_nearest(suppressed, policy.matches_per_list_max, &mut counts);
    let matched = |list: &ListId| subject.matched.iter().find(|(of, _)| of == list).map_or(0, |(_, n)| *n);
    let cut = counts.iter().map(|(list, counts)| counts.cut.max(matched(list).saturating_sub(counts.kept))).sum();

    let mut reason = subject.unscanned;
    let mut left_out = subject.left_out;
    if !positives().any(|l| holds(&subject.sought, l)) && reason.is_none() {
        reason = Some((Reason::NoList, "no live list holds a hash of any kind given".to_owned()));
    }
    let by_name: HashMap<&str, &HashList> = match named.is_empty() {
        true => HashMap::new(),
        false => asked_lists.iter().map(|list| (list.name.as_str(), *list)).collect(),
    };
    for name in subject.lists {
        let why = match by_name.get(name.as_str()) {
            None => "disabled or never filled",
            Some(list) if list.polarity == Polarity::Negative => continue,
            Some(list) if holds(&subject.sought, list) => continue,
            Some(_) => "it holds no hash of a kind given",
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
        cut,
        pdq_quality: quality_best,
        snapshot,
        lists: positives().map(|l| (l.name.clone(), l.active)).collect(),
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
struct Sight<'p, 'c> {
    candidate: &'c Candidate<'c>,
    list: &'p HashList,
    threshold: u16,
}

/// Whether a candidate passes its list's radius, transforms and quality.
pub fn admits(policy: &Policy, candidate: &Candidate<'_>) -> bool {
    sight(policy, candidate).is_some()
}

/// The distance up to which a list admits every entry's hash of a kind, whatever its category; `None` where it admits none.
pub fn admits_within(list: &HashList, kind: HashKind, transform: Transform, quality: Option<u8>) -> Option<u16> {
    admits_look(list, kind, transform, quality).then(|| list.policy.radius_narrowest(kind))
}

fn admits_look(list: &HashList, kind: HashKind, transform: Transform, quality: Option<u8>) -> bool {
    kind.is_digest() || (list.policy.transforms.contains(transform) && quality.is_none_or(|q| q >= list.policy.quality_min))
}

fn sight<'p, 'c>(policy: &'p Policy, candidate: &'c Candidate<'c>) -> Option<Sight<'p, 'c>> {
    let list = policy.list(candidate.list)?;
    let threshold = list.policy.radius(candidate.category, candidate.kind);
    let passes = candidate.distance <= threshold && admits_look(list, candidate.kind, candidate.transform, candidate.quality);
    passes.then_some(Sight { candidate, list, threshold })
}

/// The nearest sight of each entry by each kind.
fn nearest_per_entry<'p>(sights: &[&Sight<'p, '_>]) -> Vec<(&'p HashList, Match)> {
    let mut nearest: BTreeMap<(ListId, &str, HashKind), &Sight<'p, '_>> = BTreeMap::new();
    for sight in sights {
        let rank = |s: &Sight<'_, '_>| (s.candidate.distance, s.candidate.transform, s.candidate.frame);
        nearest
            .entry((sight.list.id, sight.candidate.entry_id, sight.candidate.kind))
            .and_modify(|best| {
                if rank(sight) < rank(best) {
                    *best = sight;
                }
            })
            .or_insert(sight);
    }
    nearest
        .into_values()
        .map(|sight| {
            let Sight { candidate, list, threshold } = sight;
            let action = list.policy.kinds.get(&candidate.kind).map_or(Action::Observe, |k| k.action);
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
mod tests {
    use super::*;
    use crate::entry::{KindPolicy, ListPolicy, Transforms};

    fn list(id: u32, name: &str, polarity: Polarity) -> HashList {
        HashList {
            id: ListId(id),
            name: name.to_owned(),
            polarity,
            policy: ListPolicy::default_for(polarity),
            active: VersionNo(1),
            previous: VersionNo(0),
            head: VersionNo(1),
            disabled: false,
        }
    }

    fn policy(lists: Vec<HashList>) -> Policy {
        Policy { lists, matches_per_list_max: 3 }
    }

    fn near(list: u32, entry_id: &'static str, distance: u16) -> Candidate<'static> {
        Candidate {
            list: ListId(list),
            entry_id,
            category: "A",
            kind: HashKind::Pdq,
            distance,
            transform: Transform::Identity,
            frame: 0,
            look: 0,
            quality: Some(100),
        }
    }

    fn exact(list: u32, entry_id: &'static str) -> Candidate<'static> {
        Candidate { kind: HashKind::Md5, quality: None, ..near(list, entry_id, 0) }
    }

    fn subject(lists: &[u32]) -> Subject<'static> {
        let sought: Vec<_> = lists.iter().map(|l| ListId(*l)).collect();
        Subject { qualities: vec![(0, 100)], sought: sought.clone(), sought_by_pixels: sought, ..Subject::default() }
    }

    #[test]
    fn a_candidate_within_the_radius_matches_and_one_beyond_does_not() {
        let policy = policy(vec![list(1, "a", Polarity::Positive)]);
        for (distance, outcome) in [(0, Outcome::Match), (31, Outcome::Match), (32, Outcome::NoMatch)] {
            let verdict = judge(&policy, 7, subject(&[1]), &[near(1, "e", distance)]);
            assert_eq!(verdict.outcome, outcome, "distance {distance}");
            assert_eq!(verdict.snapshot, 7);
        }
    }

    #[test]
    fn a_category_can_have_a_radius_of_its_own() {
        let mut a = list(1, "a", Polarity::Positive);
        a.policy.category_radii.insert(("A".to_owned(), HashKind::Pdq), 10);
        let policy = policy(vec![a]);
        assert_eq!(judge(&policy, 0, subject(&[1]), &[near(1, "e", 11)]).outcome, Outcome::NoMatch);
        let verdict = judge(&policy, 0, subject(&[1]), &[near(1, "e", 10)]);
        assert_eq!((verdict.outcome, verdict.matches[0].threshold), (Outcome::Match, 10));
    }

    #[test]
    fn a_transform_that_the_list_does_not_admit_does_not_match() {
        let mut a = list(1, "a", Polarity::Positive);
        a.policy.transforms = Transforms::IDENTITY;
        let turned = Candidate { transform: Transform::Rot90, ..near(1, "e", 3) };
        assert_eq!(judge(&policy(vec![a]), 0, subject(&[1]), &[turned]).outcome, Outcome::NoMatch);
    }

    #[test]
    fn low_quality_is_not_scanned_unless_a_digest_matches() {
        let policy = policy(vec![list(1, "a", Polarity::Positive)]);
        let blank = || Subject { qualities: vec![(0, 49)], ..subject(&[1]) };
        let candidate = Candidate { quality: Some(49), ..near(1, "e", 0) };
        let verdict = judge(&policy, 0, blank(), &[candidate]);
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::NotScanned, Some(Reason::LowQuality)));
        let verdict = judge(&policy, 0, blank(), &[candidate, exact(1, "e")]);
        assert_eq!((verdict.outcome, verdict.matches.len()), (Outcome::Match, 1));
    }

    #[test]
    fn quality_below_one_list_of_two_leaves_that_list_out() {
        let mut strict = list(2, "strict", Polarity::Positive);
        strict.policy.quality_min = 90;
        let policy = policy(vec![list(1, "a", Polarity::Positive), strict]);
        let verdict = judge(&policy, 0, Subject { qualities: vec![(0, 70)], ..subject(&[1, 2]) }, &[]);
        assert_eq!(verdict.outcome, Outcome::Partial);
        assert!(verdict.left_out[0].0.contains("strict"), "{:?}", verdict.left_out);
    }

    #[test]
    fn nothing_live_for_the_kinds_given_is_never_no_match() {
        let policy = policy(vec![list(1, "a", Polarity::Positive)]);
        let verdict = judge(&policy, 0, subject(&[]), &[]);
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::NotScanned, Some(Reason::NoList)));
    }

    #[test]
    fn an_undecodable_file_still_matches_by_its_digest_and_keeps_its_reason() {
        let policy = policy(vec![list(1, "a", Polarity::Positive)]);
        let broken =
            || Subject { unscanned: Some((Reason::Undecodable, "why".to_owned())), qualities: Vec::new(), ..subject(&[1]) };
        assert_eq!(judge(&policy, 0, broken(), &[]).outcome, Outcome::NotScanned);
        let verdict = judge(&policy, 0, broken(), &[exact(1, "e")]);
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::Match, Some(Reason::Undecodable)));
        assert!(verdict.matches[0].exact);
    }

    #[test]
    fn a_part_left_out_is_partial_and_stays_visible_beside_a_match() {
        let policy = policy(vec![list(1, "a", Polarity::Positive)]);
        let cut = || Subject { left_out: vec![LeftOut("the file ends early".to_owned())], ..subject(&[1]) };
        assert_eq!(judge(&policy, 0, cut(), &[]).outcome, Outcome::Partial);
        let verdict = judge(&policy, 0, cut(), &[near(1, "e", 1)]);
        assert_eq!((verdict.outcome, verdict.left_out.len()), (Outcome::Match, 1));
    }

    #[test]
    fn a_negative_list_suppresses_near_matches_in_its_scope_and_never_an_exact_one() {
        let mut negative = list(2, "known-good", Polarity::Negative);
        negative.policy.scope = vec!["a".to_owned()];
        let lists = vec![list(1, "a", Polarity::Positive), negative, list(3, "b", Polarity::Positive)];
        let found = [near(1, "e", 5), near(3, "f", 5), exact(1, "g"), near(2, "logo", 0)];
        let verdict = judge(&policy(lists.clone()), 0, subject(&[1, 3]), &found);
        let ids = |m: &[Match]| m.iter().map(|m| m.entry_id.clone()).collect::<Vec<_>>();
        assert_eq!((ids(&verdict.matches), ids(&verdict.suppressed)), (vec!["g".into(), "f".into()], vec!["e".into()]));

        let beside = [near(1, "e", 5), near(2, "logo", 1)];
        assert_eq!(judge(&policy(lists), 0, subject(&[1]), &beside).matches.len(), 1, "its default radius is 0");
    }

    #[test]
    fn a_harmless_frame_does_not_hide_what_another_one_shows() {
        let policy = policy(vec![list(1, "a", Polarity::Positive), list(2, "known-good", Polarity::Negative)]);
        let logo = |look| Candidate { frame: look, look, ..near(2, "logo", 0) };
        let verdict = judge(&policy, 0, subject(&[1]), &[near(1, "e", 5), logo(1)]);
        assert_eq!((verdict.outcome, verdict.suppressed.len()), (Outcome::Match, 0));
        let both = [near(1, "e", 5), Candidate { frame: 1, look: 1, ..near(1, "e", 3) }, logo(1)];
        let verdict = judge(&policy, 0, subject(&[1]), &both);
        assert_eq!((verdict.matches.len(), verdict.matches[0].frame, verdict.suppressed.len()), (1, 0, 0));
        assert_eq!(judge(&policy, 0, subject(&[1]), &[near(1, "e", 5), logo(0)]).outcome, Outcome::NoMatch);
    }

    /// Colours under transparent pixels can be a known picture, whatever they look like over white.
    #[test]
    fn what_is_harmless_over_white_does_not_hide_what_is_stored_under_it() {
        let policy = policy(vec![list(1, "a", Polarity::Positive), list(2, "known-good", Polarity::Negative)]);
        let over_white = Candidate { look: 1, ..near(2, "logo", 0) };
        assert_eq!(judge(&policy, 0, subject(&[1]), &[near(1, "e", 5), over_white]).outcome, Outcome::Match);
        assert_eq!(
            judge(&policy, 0, subject(&[1]), &[Candidate { look: 1, ..near(1, "e", 5) }, over_white]).outcome,
            Outcome::NoMatch
        );
    }

    #[test]
    fn a_low_quality_frame_beside_a_good_one_is_left_out_in_words() {
        let policy = policy(vec![list(1, "a", Polarity::Positive)]);
        let frames = || Subject { qualities: vec![(0, 100), (1, 3)], ..subject(&[1]) };
        let blind = Candidate { frame: 1, quality: Some(3), ..near(1, "e", 0) };
        let verdict = judge(&policy, 0, frames(), &[blind]);
        assert_eq!((verdict.outcome, verdict.reason, verdict.pdq_quality), (Outcome::Partial, None, Some(100)));
        assert!(verdict.left_out[0].0.contains("1 (3)"), "{:?}", verdict.left_out);
    }

    #[test]
    fn a_list_that_was_asked_for_and_is_not_live_is_left_out_in_words() {
        let policy = policy(vec![list(1, "a", Polarity::Positive)]);
        let asked = ["a".to_owned(), "off".to_owned()];
        let verdict = judge(&policy, 0, Subject { lists: &asked, ..subject(&[1]) }, &[]);
        assert_eq!(verdict.outcome, Outcome::Partial);
        assert!(verdict.left_out[0].0.contains("off"), "{:?}", verdict.left_out);
    }

    #[test]
    fn an_entry_is_named_once_with_its_nearest_sight() {
        let policy = policy(vec![list(1, "a", Polarity::Positive)]);
        let turned = Candidate { transform: Transform::Rot180, frame: 2, ..near(1, "e", 4) };
        let verdict = judge(&policy, 0, subject(&[1]), &[near(1, "e", 9), turned]);
        assert_eq!(verdict.matches.len(), 1);
        assert_eq!(
            (verdict.matches[0].distance, verdict.matches[0].transform, verdict.matches[0].frame),
            (4, Transform::Rot180, 2)
        );
    }

    #[test]
    fn a_cut_keeps_the_nearest_of_each_list_and_says_how_many_it_left() {
        let policy = policy(vec![list(1, "a", Polarity::Positive), list(2, "b", Polarity::Positive)]);
        let found = [near(1, "e9", 9), near(1, "e1", 1), near(1, "e5", 5), near(1, "e3", 3), near(2, "far", 31)];
        let verdict = judge(&policy, 0, subject(&[1, 2]), &found);
        let ids: Vec<_> = verdict.matches.iter().map(|m| m.entry_id.as_str()).collect();
        assert_eq!((ids, verdict.cut), (vec!["e1", "e3", "e5", "far"], 1));
    }

    #[test]
    fn the_strictest_action_speaks_and_each_kind_has_its_own() {
        let mut block = list(2, "b", Polarity::Positive);
        block.policy.kinds.insert(HashKind::Pdq, KindPolicy { radius: 31, action: Action::Block });
        let policy = policy(vec![list(1, "a", Polarity::Positive), block]);
        let weak = Candidate { kind: HashKind::Phash64, ..near(1, "w", 2) };
        assert_eq!(judge(&policy, 0, subject(&[1]), &[weak]).action, Some(Action::Observe));
        assert_eq!(judge(&policy, 0, subject(&[1, 2]), &[weak, near(1, "e", 1), near(2, "f", 1)]).action, Some(Action::Block));
    }

    /// A thousand names over three thousand lists took 11 ms an item, each name being compared with each list.
    #[test]
    fn many_names_over_many_lists_cost_little_more_than_one() {
        let policy = policy((0..3000).map(|n| list(n, &format!("list {n}"), Polarity::Positive)).collect());
        let all: Vec<u32> = (0..3000).collect();
        let quickest = |names: usize| {
            let asked: Vec<String> = (0..names).map(|n| format!("list {}", n * 3000 / names)).collect();
            let run = |_| {
                let began = std::time::Instant::now();
                let verdict = judge(&policy, 0, Subject { lists: &asked, ..subject(&all) }, &[]);
                assert_eq!((verdict.outcome, verdict.lists.len()), (Outcome::NoMatch, names));
                began.elapsed()
            };
            (0..20).map(run).min().unwrap()
        };
        let (one, many) = (quickest(1), quickest(1000));
        assert!(many < one * 100, "{many:?} for a thousand, {one:?} for one");
    }

    #[test]
    fn only_the_lists_asked_for_answer() {
        let policy = policy(vec![list(1, "a", Polarity::Positive), list(2, "b", Polarity::Positive)]);
        let only = ["b".to_owned()];
        let verdict = judge(&policy, 0, Subject { lists: &only, ..subject(&[1, 2]) }, &[near(1, "e", 1)]);
        assert_eq!((verdict.outcome, verdict.lists.len()), (Outcome::NoMatch, 1));
    }
}
