//! How many matches as near as this one would chance give?
//!
//! Hashes of unrelated pictures lie about half their bits apart. PDQ's of 1.87 million pairs of unrelated photographs, turned and mirrored
//! too, lay 128.0 +- 8.3 bits apart; the bits of the 64-bit kinds are taken as independent, which makes it 32 +- 4. With a normal
//! distribution, every hash looked up against every entry is a try. It is an expectation, not a probability: 1 and more says that such a
//! match is to be expected by chance alone. Pictures of a kind, as charts or screenshots of one app, lie nearer than it says.

use std::collections::BTreeMap;

use crate::entry::{HashKind, ListId, Observation, Transforms, ViewKind};

/// Live entries of a list that have a hash of a kind.
pub type Live = BTreeMap<(ListId, HashKind), u64>;

/// What chance had to find a match: the hashes that were looked up, and what they were compared with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tries<'a> {
    /// The whole's hashes, of which those with these transforms were looked up.
    pub seen: &'a [Observation],
    pub admitted: Transforms,
    /// How many views were looked up.
    pub views: u64,
    pub live: Option<&'a Live>,
}

/// Hashes of a kind that were compared: those of the whole, and those of views, with every entry.
#[derive(Debug, Clone, Copy)]
pub struct Pairs {
    kind: HashKind,
    whole: f64,
    views: f64,
}

impl Tries<'_> {
    pub fn pairs(&self, lists: impl Iterator<Item = ListId>, kind: HashKind) -> Pairs {
        let of_kind = |seen: &&Observation| seen.hash.kind() == kind && self.admitted.contains(seen.transform);
        let entries = self.live.map_or(0, |live| lists.filter_map(|list| live.get(&(list, kind))).sum::<u64>()) as f64;
        Pairs { kind, whole: self.seen.iter().filter(of_kind).count() as f64 * entries, views: self.views as f64 * entries }
    }
}

impl Pairs {
    /// Matches at `distance` bits or less that unrelated entries would give; 0 for digests.
    pub fn chance(&self, view: ViewKind, distance: u16) -> f64 {
        let Some((mean, deviation)) = unrelated(self.kind) else { return 0.0 };
        let share = libm::erfc((mean - f64::from(distance)) / (deviation * std::f64::consts::SQRT_2)) / 2.0;
        share * if view == ViewKind::Whole { self.whole } else { self.views }
    }
}

/// Mean and standard deviation, in bits, of the distance between unrelated pictures' hashes.
fn unrelated(kind: HashKind) -> Option<(f64, f64)> {
    match kind {
        HashKind::Pdq => Some((128.0, 8.3)),
        HashKind::Phash64 | HashKind::Dhash64 => Some((32.0, 4.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{HashValue, Pdq, Transform, View};

    /// Shares from Python: `math.erfc((128 - distance) / 8.3 / math.sqrt(2)) / 2`.
    #[test]
    fn chance_is_tries_times_entries_times_the_share_of_unrelated_pairs() {
        let whole = |transform| Observation {
            hash: HashValue::Pdq(Pdq([0; 4])),
            transform,
            frame: 0,
            rendering: 0,
            quality: None,
            view: View::WHOLE,
        };
        let seen = Transform::ALL.map(whole);
        let live = Live::from([((ListId(1), HashKind::Pdq), 1_000_000), ((ListId(2), HashKind::Pdq), 9_000_000)]);
        let tries = Tries { seen: &seen, admitted: Transforms::ALL, views: 2_000, live: Some(&live) };
        let check = |of: Tries<'_>, lists: &[u32], kind, view, distance, expected: f64| {
            let found = of.pairs(lists.iter().map(|list| ListId(*list)), kind).chance(view, distance);
            assert!((found - expected).abs() <= expected * 1e-6, "{found} {expected}");
        };
        check(tries, &[1], HashKind::Pdq, ViewKind::Window, 128, 1e9);
        check(tries, &[1], HashKind::Pdq, ViewKind::Whole, 128, 4e6);
        check(tries, &[1, 2, 3], HashKind::Pdq, ViewKind::Window, 31, 2e10 * 7.449218302710906e-32);
        check(tries, &[1, 2], HashKind::Pdq, ViewKind::Turned, 75, 2e10 * 8.53956350178367e-11);
        check(Tries { admitted: Transforms::IDENTITY, ..tries }, &[1], HashKind::Pdq, ViewKind::Whole, 128, 5e5);
        check(tries, &[1], HashKind::Md5, ViewKind::Whole, 0, 0.0);
        check(tries, &[], HashKind::Pdq, ViewKind::Whole, 31, 0.0);
    }
}
