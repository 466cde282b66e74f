//! What do candidates and policy come to?

mod in_views;

use super::*;
use crate::entry::{KindPolicy, ListPolicy, Transforms};

fn list(id: u32, name: &str, polarity: Polarity) -> HashList {
    let new = HashList::new(ListId(id), name.to_owned(), polarity, ListPolicy::default_for(polarity));
    HashList { active: VersionNo(1), head: VersionNo(1), ..new }
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
        rendering: 0,
        quality: Some(100),
        view: View::WHOLE,
        action_max: None,
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
fn a_category_can_have_an_action_of_its_own() {
    let mut a = list(1, "a", Polarity::Positive);
    a.policy.category_actions.insert(("A".to_owned(), HashKind::Pdq), Action::Block);
    let policy = policy(vec![a]);
    let found = [near(1, "e", 1), Candidate { category: "B", ..near(1, "f", 2) }, exact(1, "g")];
    let verdict = judge(&policy, 0, subject(&[1]), &found);
    let actions: Vec<_> = verdict.matches.iter().map(|m| (m.entry_id.as_str(), m.action)).collect();
    assert_eq!(actions, [("g", Action::Review), ("e", Action::Block), ("f", Action::Review)]);
    assert_eq!(verdict.action, Some(Action::Block));
    // A mark bounds it, and makes none stricter.
    for (most, action) in [(Action::Observe, Action::Observe), (Action::Review, Action::Review), (Action::Block, Action::Block)] {
        let capped = Candidate { action_max: Some(most), ..near(1, "e", 1) };
        assert_eq!(judge(&policy, 0, subject(&[1]), &[capped]).action, Some(action));
    }
    let same_bytes = Candidate { action_max: Some(Action::Observe), ..exact(1, "e") };
    assert_eq!(judge(&policy, 0, subject(&[1]), &[same_bytes]).action, Some(Action::Review));
    // Through a view it is still bounded.
    let in_view = Candidate { view: View { kind: ViewKind::Window, ..View::WHOLE }, ..near(1, "e", 1) };
    assert_eq!(judge(&policy, 0, subject(&[1]), &[in_view]).action, Some(Action::Review));
}

#[test]
fn a_list_in_shadow_alters_no_outcome() {
    let shadow = |id, name, polarity| {
        let mut list = list(id, name, polarity);
        list.policy.shadow = true;
        list
    };
    let positive = policy(vec![list(1, "a", Polarity::Positive), shadow(2, "new", Polarity::Positive)]);
    let found = [near(2, "e", 1), exact(2, "f")];
    let verdict = judge(&positive, 0, subject(&[1, 2]), &found);
    assert_eq!((verdict.outcome, verdict.action, verdict.matches.len()), (Outcome::NoMatch, None, 0));
    let shown: Vec<_> = verdict.shadow.iter().map(|m| (m.list.as_str(), m.entry_id.as_str())).collect();
    assert_eq!(shown, [("new", "f"), ("new", "e")]);
    assert_eq!(verdict.lists, [("a".to_owned(), VersionNo(1))]);
    // With nothing else to look in, nothing was scanned; asked for by name, the list is said to be left out.
    let alone = policy(vec![shadow(2, "new", Polarity::Positive)]);
    let verdict = judge(&alone, 0, subject(&[2]), &found);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::NotScanned, Some(Reason::NoList)));
    let named = Asked::from(vec!["a".to_owned(), "new".to_owned()]);
    let verdict = judge(&positive, 0, Subject { lists: &named, ..subject(&[1, 2]) }, &found);
    assert_eq!((verdict.outcome, verdict.left_out.len(), verdict.shadow.len()), (Outcome::Partial, 1, 2));
    // A negative one suppresses nothing, and one that is not suppresses what is in shadow too.
    let negative = policy(vec![list(1, "a", Polarity::Positive), shadow(3, "good", Polarity::Negative)]);
    let verdict = judge(&negative, 0, subject(&[1]), &[near(1, "e", 3), near(3, "g", 0)]);
    assert_eq!((verdict.outcome, verdict.suppressed.len()), (Outcome::Match, 0));
    let negative =
        policy(vec![list(1, "a", Polarity::Positive), shadow(2, "new", Polarity::Positive), list(3, "good", Polarity::Negative)]);
    let verdict = judge(&negative, 0, subject(&[1, 2]), &[near(2, "e", 3), near(3, "g", 0)]);
    assert_eq!((verdict.outcome, verdict.suppressed.len(), verdict.shadow.len()), (Outcome::NoMatch, 0, 0));
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
    let broken = || Subject { unscanned: Some((Reason::Undecodable, "why".to_owned())), qualities: Vec::new(), ..subject(&[1]) };
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
    let logo = |rendering| Candidate { frame: rendering, rendering, ..near(2, "logo", 0) };
    let verdict = judge(&policy, 0, subject(&[1]), &[near(1, "e", 5), logo(1)]);
    assert_eq!((verdict.outcome, verdict.suppressed.len()), (Outcome::Match, 0));
    let both = [near(1, "e", 5), Candidate { frame: 1, rendering: 1, ..near(1, "e", 3) }, logo(1)];
    let verdict = judge(&policy, 0, subject(&[1]), &both);
    assert_eq!((verdict.matches.len(), verdict.matches[0].frame, verdict.suppressed.len()), (1, 0, 0));
    assert_eq!(judge(&policy, 0, subject(&[1]), &[near(1, "e", 5), logo(0)]).outcome, Outcome::NoMatch);
}

/// Colours under transparent pixels can be a known picture, whatever they look like over white.
#[test]
fn what_is_harmless_over_white_does_not_hide_what_is_stored_under_it() {
    let policy = policy(vec![list(1, "a", Polarity::Positive), list(2, "known-good", Polarity::Negative)]);
    let over_white = Candidate { rendering: 1, ..near(2, "logo", 0) };
    assert_eq!(judge(&policy, 0, subject(&[1]), &[near(1, "e", 5), over_white]).outcome, Outcome::Match);
    assert_eq!(
        judge(&policy, 0, subject(&[1]), &[Candidate { rendering: 1, ..near(1, "e", 5) }, over_white]).outcome,
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
    let asked = Asked::from(vec!["a".to_owned(), "off".to_owned()]);
    let verdict = judge(&policy, 0, Subject { lists: &asked, ..subject(&[1]) }, &[]);
    assert_eq!(verdict.outcome, Outcome::Partial);
    assert!(verdict.left_out[0].0.contains("off"), "{:?}", verdict.left_out);
}

#[test]
fn an_entry_is_named_once_with_its_nearest_candidate() {
    let policy = policy(vec![list(1, "a", Polarity::Positive)]);
    let turned = Candidate { transform: Transform::Rot180, frame: 2, ..near(1, "e", 4) };
    let verdict = judge(&policy, 0, subject(&[1]), &[near(1, "e", 9), turned]);
    assert_eq!(verdict.matches.len(), 1);
    assert_eq!((verdict.matches[0].distance, verdict.matches[0].transform, verdict.matches[0].frame), (4, Transform::Rot180, 2));
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
        let asked = Asked::Named((0..names).map(|n| format!("list {}", n * 3000 / names)).collect());
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
    let only = Asked::from(vec!["b".to_owned()]);
    let verdict = judge(&policy, 0, Subject { lists: &only, ..subject(&[1, 2]) }, &[near(1, "e", 1)]);
    assert_eq!((verdict.outcome, verdict.lists.len()), (Outcome::NoMatch, 1));
}
