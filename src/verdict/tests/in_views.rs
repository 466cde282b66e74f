//! What do candidates in views come to?

use super::*;
use crate::entry::{HashValue, Observation, Pdq, ViewKind};

/// A window of the upper part of the picture, in per cent of its height.
const fn upper(percent: i16) -> View {
    View::upright(ViewKind::Window, (0, 0), (10_000, 100 * percent))
}

fn seen_in(view: View, list: u32, entry_id: &'static str, distance: u16) -> Candidate<'static> {
    Candidate { view, ..near(list, entry_id, distance) }
}

/// A list for which windows count within 35 bits.
fn in_windows(id: u32, name: &str) -> HashList {
    let mut list = list(id, name, Polarity::Positive);
    list.policy.views.insert(ViewKind::Window, 35);
    list
}

fn with_negative(negative: HashList) -> Policy {
    policy(vec![in_windows(1, "a"), negative, in_windows(3, "b")])
}

fn ids(matches: &[Match]) -> Vec<&str> {
    matches.iter().map(|m| m.entry_id.as_str()).collect()
}

#[test]
fn a_class_that_counts_has_a_threshold_of_its_own_and_a_narrower_radius_narrows_it() {
    let check = |change: fn(&mut ListPolicy), threshold: Option<u16>| {
        let mut list = in_windows(1, "a");
        change(&mut list.policy);
        let policy = policy(vec![list]);
        let asked = |distance| judge(&policy, 0, subject(&[1]), &[seen_in(upper(50), 1, "e", distance)]);
        let farthest = (0..=100).rev().find(|distance| asked(*distance).outcome == Outcome::Match);
        assert_eq!(farthest, threshold);
        assert!(farthest.is_none_or(|farthest| asked(farthest).matches[0].threshold == farthest));
    };
    check(|_| (), Some(35));
    check(|policy| policy.views = [(ViewKind::Extended, 39)].into(), None);
    check(|policy| policy.views.clear(), None);
    check(|policy| policy.kinds.get_mut(&HashKind::Pdq).unwrap().radius = 47, Some(35));
    check(|policy| policy.kinds.get_mut(&HashKind::Pdq).unwrap().radius = 30, Some(30));
    check(|policy| policy.category_radii.extend([(("A".to_owned(), HashKind::Pdq), 10)]), Some(10));
    check(|policy| policy.category_radii.extend([(("B".to_owned(), HashKind::Pdq), 10)]), Some(35));
    check(|policy| policy.transforms = Transforms(0b10), None);
}

#[test]
fn a_view_needs_a_quality_of_50_and_the_lists_minimum() {
    let check = |quality_min: u8, quality: Option<u8>, outcome: Outcome| {
        let mut list = in_windows(1, "a");
        list.policy.quality_min = quality_min;
        let found = Candidate { quality, ..seen_in(upper(50), 1, "e", 0) };
        assert_eq!(judge(&policy(vec![list]), 0, subject(&[1]), &[found]).outcome, outcome, "{quality_min} {quality:?}");
    };
    check(0, Some(50), Outcome::Match);
    check(0, Some(49), Outcome::NoMatch);
    check(0, None, Outcome::NoMatch);
    check(80, Some(80), Outcome::Match);
    check(80, Some(79), Outcome::NoMatch);
}

#[test]
fn a_match_through_a_view_asks_for_no_more_than_the_list_lets_views() {
    let check = |action: Action, most: Action, view: View, expected: Action| {
        let mut list = in_windows(1, "a");
        list.policy.kinds.insert(HashKind::Pdq, KindPolicy { radius: 31, action });
        list.policy.view_action_max = most;
        let verdict = judge(&policy(vec![list]), 0, subject(&[1]), &[seen_in(view, 1, "e", 0)]);
        assert_eq!(verdict.action, Some(expected));
    };
    assert_eq!(ListPolicy::default_for(Polarity::Positive).view_action_max, Action::Review);
    check(Action::Block, Action::Review, upper(50), Action::Review);
    check(Action::Block, Action::Review, View::WHOLE, Action::Block);
    check(Action::Observe, Action::Review, upper(50), Action::Observe);
    check(Action::Block, Action::Block, upper(50), Action::Block);
}

/// The whole's action may be stricter, so it goes before a nearer view.
#[test]
fn an_entry_is_shown_as_a_whole_or_else_by_its_nearest_view() {
    let mut list = in_windows(1, "a");
    list.policy.views.insert(ViewKind::Extended, 35);
    let policy = policy(vec![list]);
    let extended = View::upright(ViewKind::Extended, (-500, -500), (10_500, 10_500));
    let check = |seen: &[(View, u16)], expected: (View, u16)| {
        for turn in 0..seen.len() {
            let mut found: Vec<_> = seen.iter().map(|(view, distance)| seen_in(*view, 1, "e", *distance)).collect();
            found.rotate_left(turn);
            let verdict = judge(&policy, 0, subject(&[1]), &found);
            assert_eq!(verdict.matches.iter().map(|m| (m.view, m.distance)).collect::<Vec<_>>(), [expected]);
        }
    };
    check(&[(upper(50), 2), (View::WHOLE, 30), (upper(40), 1)], (View::WHOLE, 30));
    check(&[(upper(50), 2), (View::WHOLE, 32), (upper(40), 1)], (upper(40), 1));
    check(&[(upper(50), 2), (extended, 2)], (extended, 2));
    check(&[(upper(50), 2), (upper(40), 2)], (upper(40), 2));
}

#[test]
fn a_negative_entry_as_near_suppresses_in_a_view_of_the_same_part() {
    let policy = with_negative(list(2, "known-good", Polarity::Negative));
    let check = |(view, distance): (View, u16), negative: Candidate<'_>, suppressed: bool| {
        let verdict = judge(&policy, 0, subject(&[1]), &[seen_in(view, 1, "e", distance), negative]);
        assert_eq!((verdict.matches.len(), verdict.suppressed.len()), if suppressed { (0, 1) } else { (1, 0) }, "{negative:?}");
    };
    let of_half = (upper(50), 20);
    check(of_half, seen_in(upper(50), 2, "logo", 20), true);
    check(of_half, seen_in(upper(50), 2, "logo", 21), false);
    check(of_half, seen_in(upper(40), 2, "logo", 20), true);
    check(of_half, seen_in(upper(39), 2, "logo", 0), false);
    check(of_half, Candidate { rendering: 1, ..seen_in(upper(50), 2, "logo", 0) }, false);
    check(of_half, Candidate { quality: Some(49), ..seen_in(upper(50), 2, "logo", 0) }, false);
    check(of_half, Candidate { kind: HashKind::Dhash64, ..near(2, "logo", 4) }, false);
    // The whole is a view too, though there this list's radius of 0 suppresses nothing.
    let of_all = (upper(90), 20);
    check(of_all, seen_in(View::WHOLE, 2, "logo", 20), true);
    check(of_all, seen_in(View::WHOLE, 2, "logo", 21), false);
    check((View::WHOLE, 20), seen_in(View::WHOLE, 2, "logo", 1), false);
    // A view says nothing of the whole.
    check((View::WHOLE, 20), seen_in(upper(100), 2, "logo", 0), false);
}

/// Else what is suppressed as a whole would come back through a view of all of it.
#[test]
fn what_suppresses_the_whole_suppresses_views_of_all_of_it() {
    let mut negative = list(2, "known-good", Polarity::Negative);
    negative.policy.kinds.get_mut(&HashKind::Pdq).unwrap().radius = 10;
    let policy = with_negative(negative);
    let logo = near(2, "logo", 9);
    let check = |view: View, outcome: Outcome| {
        let found = [near(1, "e", 5), seen_in(view, 1, "e", 3), logo];
        assert_eq!(judge(&policy, 0, subject(&[1]), &found).outcome, outcome);
    };
    check(upper(90), Outcome::NoMatch);
    check(upper(50), Outcome::Match);
}

#[test]
fn a_negative_list_suppresses_in_views_what_its_scope_names() {
    let mut negative = list(2, "known-good", Polarity::Negative);
    negative.policy.scope = vec!["a".to_owned()];
    let found = [seen_in(upper(50), 1, "e", 5), seen_in(upper(50), 3, "f", 5), seen_in(upper(50), 2, "logo", 5)];
    let verdict = judge(&with_negative(negative), 0, subject(&[1, 3]), &found);
    assert_eq!((ids(&verdict.matches), ids(&verdict.suppressed)), (vec!["f"], vec!["e"]));
    // An entry that stands elsewhere in the picture is not suppressed.
    let lower = View::upright(ViewKind::Window, (0, 5_000), (10_000, 10_000));
    let found = [seen_in(upper(50), 1, "e", 5), seen_in(lower, 1, "e", 8), seen_in(upper(50), 2, "logo", 5)];
    let verdict = judge(&with_negative(list(2, "known-good", Polarity::Negative)), 0, subject(&[1]), &found);
    assert_eq!((verdict.matches[0].view, verdict.suppressed.len()), (lower, 0));
}

#[test]
fn views_do_not_change_what_counts_as_scanned() {
    let policy = policy(vec![in_windows(1, "a")]);
    let views = ViewCounts { searched: 0, cut: 500 };
    let verdict = judge(&policy, 0, Subject { views, ..subject(&[1]) }, &[]);
    assert_eq!((verdict.outcome, verdict.views, verdict.left_out.len()), (Outcome::NoMatch, views, 0));
    // A whole of low quality stays so beside a view that matches.
    let blank = || Subject { qualities: vec![(0, 20)], ..subject(&[1]) };
    assert_eq!(judge(&policy, 0, blank(), &[]).reason, Some(Reason::LowQuality));
    let verdict = judge(&policy, 0, blank(), &[seen_in(upper(50), 1, "e", 5)]);
    assert_eq!((verdict.outcome, verdict.reason, verdict.pdq_quality), (Outcome::Match, Some(Reason::LowQuality), Some(20)));
}

#[test]
fn a_match_says_what_chance_would_give_of_its_like() {
    let (policy, live) = (
        policy(vec![in_windows(1, "a"), in_windows(2, "b")]),
        Live::from([((ListId(1), HashKind::Pdq), 1_000), ((ListId(2), HashKind::Pdq), 1_000_000)]),
    );
    let of_whole = |transform| Observation {
        hash: HashValue::Pdq(Pdq([0; 4])),
        transform,
        frame: 0,
        rendering: 0,
        quality: Some(100),
        view: View::WHOLE,
    };
    let seen = Transform::ALL.map(of_whole);
    let tries = Tries { seen: &seen, admitted: Transforms::ALL, views: 800, live: Some(&live) };
    let only = Asked::from(vec!["a".to_owned()]);
    let found = [near(1, "whole", 31), seen_in(upper(50), 1, "view", 31), exact(1, "exact")];
    let verdict = judge(&policy, 0, Subject { lists: &only, tries, ..subject(&[1]) }, &found);
    let chance = |id: &str| verdict.matches.iter().find(|m| m.entry_id == id).unwrap().chance;
    assert_eq!(chance("exact"), 0.0);
    assert!((chance("view") / chance("whole") - 100.0).abs() < 1e-9, "800 views are a hundred times 8");
    let all = judge(&policy, 0, Subject { tries, ..subject(&[1]) }, &found);
    let more = all.matches.iter().find(|m| m.entry_id == "view").unwrap().chance;
    assert!((more / chance("view") - 1_001.0).abs() < 1e-9, "of the lists asked all entries count");
}
