//! Versions of a list, and what they are made from.

use super::{ListId, VersionNo};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// Being written; no look-up sees it.
    Staged,
    /// Whole: it can be activated.
    Sealed,
    /// Given up.
    Undone,
}

/// What a version was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeBy {
    /// A file that says what the list holds.
    Import,
    /// Entries added or removed one by one. Such versions are many, so they are not kept for long.
    Edit,
}

/// The versions whose changes make up what a version holds: its own and its ancestors', as ranges in rising order.
///
/// Every version of a list has another number, higher than its parent's. A range may also cover numbers of which no change is left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lineage(Vec<(VersionNo, VersionNo)>);

impl Lineage {
    /// `None` where the ranges are not in order.
    pub fn new(ranges: Vec<(VersionNo, VersionNo)>) -> Option<Self> {
        let ordered = ranges.iter().all(|(first, last)| first <= last) && ranges.windows(2).all(|pair| pair[0].1 < pair[1].0);
        ordered.then_some(Lineage(ranges))
    }

    /// First and last version of each range.
    pub fn ranges(&self) -> &[(VersionNo, VersionNo)] {
        &self.0
    }

    #[inline]
    pub fn contains(&self, version: VersionNo) -> bool {
        // One range most often, and the newest is asked for most.
        self.0.iter().rev().any(|(first, last)| *first <= version && version <= *last)
    }

    /// That of a child. `is_void(after, before)` says that no change is left of the versions between two.
    pub fn child(&self, version: VersionNo, is_void: &mut dyn FnMut(VersionNo, VersionNo) -> bool) -> Self {
        let mut ranges: Vec<(VersionNo, VersionNo)> = Vec::with_capacity(self.0.len() + 1);
        for (first, last) in self.0.iter().copied().chain([(version, version)]) {
            match ranges.last_mut() {
                Some((_, end)) if end.0 + 1 == first.0 || is_void(*end, first) => *end = last,
                _ => ranges.push((first, last)),
            }
        }
        Lineage(ranges)
    }

    /// The versions that the other has not, as ranges in rising order.
    pub fn without(&self, other: &Lineage) -> Lineage {
        let mut left = Vec::new();
        for (first, last) in &self.0 {
            let mut from = first.0;
            for (cut_first, cut_last) in other.0.iter().filter(|(f, l)| f <= last && first <= l) {
                if from < cut_first.0 {
                    left.push((VersionNo(from), VersionNo(cut_first.0 - 1)));
                }
                from = cut_last.0.saturating_add(1);
            }
            if from <= last.0 {
                left.push((VersionNo(from), *last));
            }
        }
        Lineage(left)
    }

    /// The versions up to `last`.
    pub fn until(&self, last: VersionNo) -> Lineage {
        let of = |(start, end): &(VersionNo, VersionNo)| (*start <= last).then_some((*start, (*end).min(last)));
        Lineage(self.0.iter().filter_map(of).collect())
    }

    /// The versions from `first` on.
    pub fn from(&self, first: VersionNo) -> Lineage {
        let of = |(start, end): &(VersionNo, VersionNo)| (*end >= first).then_some(((*start).max(first), *end));
        Lineage(self.0.iter().filter_map(of).collect())
    }
}

/// One version of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListVersion {
    pub list: ListId,
    pub version: VersionNo,
    /// The version that it started from; 0 for none.
    pub parent: VersionNo,
    pub lineage: Lineage,
    pub state: VersionState,
    /// Rows in the version.
    pub rows: u64,
    /// Sum, modulo 2^256, of the SHA-256 of every row: what the version holds, whatever the order.
    pub digest: [u8; 32],
    /// Where it came from, in words: a file's name, "add", "remove".
    pub source: String,
    pub time_ms: u64,
    pub made_by: MadeBy,
    /// Look-ups have seen it.
    pub activated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(ranges: &[(u32, u32)]) -> Lineage {
        Lineage::new(ranges.iter().map(|(first, last)| (VersionNo(*first), VersionNo(*last))).collect()).unwrap()
    }

    #[test]
    fn a_child_has_its_parents_versions_and_its_own() {
        let child = |ranges: &[(u32, u32)], version, void: &[(u32, u32)]| {
            lineage(ranges).child(VersionNo(version), &mut |after, before| void.contains(&(after.0, before.0)))
        };
        assert_eq!(child(&[], 1, &[]), lineage(&[(1, 1)]));
        assert_eq!(child(&[(1, 9)], 10, &[]), lineage(&[(1, 10)]));
        assert_eq!(child(&[(1, 9)], 12, &[]), lineage(&[(1, 9), (12, 12)]));
        assert_eq!(child(&[(1, 9)], 12, &[(9, 12)]), lineage(&[(1, 12)]));
        assert_eq!(child(&[(1, 9), (12, 13)], 14, &[(9, 12)]), lineage(&[(1, 14)]));
        assert_eq!(child(&[(1, 9), (12, 13)], 16, &[(9, 12)]), lineage(&[(1, 13), (16, 16)]));
        let lineage = child(&[(1, 9)], 12, &[]);
        assert_eq!([1, 9, 10, 11, 12, 13].map(|v| lineage.contains(VersionNo(v))), [true, true, false, false, true, false]);
    }

    #[test]
    fn what_one_has_and_the_other_has_not() {
        let check = |one: &[(u32, u32)], other: &[(u32, u32)], left: &[(u32, u32)]| {
            assert_eq!(lineage(one).without(&lineage(other)), lineage(left));
        };
        check(&[(1, 9)], &[], &[(1, 9)]);
        check(&[(1, 9)], &[(1, 9)], &[]);
        check(&[(1, 9), (11, 12)], &[(1, 10)], &[(11, 12)]);
        check(&[(1, 10)], &[(1, 9), (11, 12)], &[(10, 10)]);
        check(&[(1, 20)], &[(3, 4), (8, 8)], &[(1, 2), (5, 7), (9, 20)]);
        check(&[(1, 5), (7, 9)], &[(4, 8)], &[(1, 3), (9, 9)]);
        assert_eq!(lineage(&[(1, 5), (7, 9), (12, 12)]).from(VersionNo(8)), lineage(&[(8, 9), (12, 12)]));
    }

    #[test]
    fn ranges_out_of_order_are_no_lineage() {
        for ranges in [&[(2, 1)][..], &[(1, 3), (3, 4)], &[(5, 6), (1, 2)]] {
            assert_eq!(Lineage::new(ranges.iter().map(|(f, l)| (VersionNo(*f), VersionNo(*l))).collect()), None);
        }
    }
}
