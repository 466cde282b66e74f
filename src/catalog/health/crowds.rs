//! Which hashes are near to very many of the list's?
//!
//! A template or a placeholder with small differences, or a hash of little content, lies within the radius of thousands. All of a list's hashes are held
//! against a sample of them, evenly spread: an entry with `n` neighbours meets `n` times the sample's share, all of
//! them where the list is no larger than the sample. Hashes that stand close together in the sample are thinned out, and those that stay count for several.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rayon::prelude::*;

use super::super::CatalogError;
use super::findings::RADIUS;
use crate::entry::{Bits, EntryNo, HashValue, ListId, Pdq};
use crate::index::{self, Hit, IndexKind, RadiusIndex};
use crate::snapshot::Snapshot;

/// Of ten million hashes an entry with a thousand neighbours still meets [`MET_MIN`] of them.
const SAMPLE_MAX: u64 = 100_000;
/// Neighbours in the sample from which on an entry is crowded, at the least: fewer may be chance.
const MET_MIN: u64 = 10;
/// Pairs in the sample before it is made smaller: hashes much alike would take hours.
const PAIRS_MAX: u64 = 200_000_000;
/// Hashes that are held against the sample together.
const BATCH: usize = 65_536;

pub struct Crowds {
    /// Every so many hashes one is in the sample.
    step: u64,
    passed: u64,
    neighbours_max: u64,
    sample: Vec<Pdq>,
    /// Of each in the sample, for how many it stands there.
    weights: Vec<u32>,
    index: Option<Box<dyn RadiusIndex<Pdq>>>,
    batch: Vec<Pdq>,
    entries: Vec<EntryNo>,
    found: Vec<(EntryNo, u64)>,
}

impl Crowds {
    /// For a list of so many hashes, or more. An entry with more neighbours than `neighbours_max` is crowded.
    pub fn new(hashes: u64, neighbours_max: u64) -> Self {
        Crowds {
            step: hashes.div_ceil(SAMPLE_MAX).max(1),
            passed: 0,
            neighbours_max,
            sample: Vec::new(),
            weights: Vec::new(),
            index: None,
            batch: Vec::new(),
            entries: Vec::new(),
            found: Vec::new(),
        }
    }

    pub fn sample(&mut self, hash: &[u8]) {
        if self.passed.is_multiple_of(self.step) {
            self.sample.extend(Pdq::from_bytes(hash));
        }
        self.passed += 1;
    }

    /// What an entry meets in the sample if it is crowded.
    fn met_min(&self) -> u64 {
        match self.step {
            1 => self.neighbours_max + 1,
            step => (self.neighbours_max / step).max(MET_MIN),
        }
    }

    /// Makes the index of the sample; false where no entry can be crowded.
    pub fn begin(&mut self) -> bool {
        if self.passed <= self.neighbours_max {
            return false;
        }
        // Hashes that stand very close in the sample stay there in part, each for several.
        let met = loop {
            let index = build(&self.sample);
            let met: Vec<AtomicU32> = self.sample.iter().map(|_| AtomicU32::new(0)).collect();
            let pairs = AtomicU64::new(0);
            index.join(&self.sample, RADIUS, &|hits: &[Hit]| {
                hits.iter().for_each(|hit| _ = met[hit.query as usize].fetch_add(1, Ordering::Relaxed));
                let pairs = pairs.fetch_add(hits.len() as u64, Ordering::Relaxed);
                if pairs > PAIRS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if pairs.into_inner() <= PAIRS_MAX {
                break met;
            }
            let mut at = 0;
            self.sample.retain(|_| {
                at += 1;
                at % 4 == 1
            });
            self.step *= 4;
        };
        let (most, mut left_out) = (self.met_min() as u32, 0u32);
        let mut kept = Vec::new();
        for (hash, met) in self.sample.iter().zip(met) {
            let weight = (met.into_inner() / (2 * most)).max(1);
            left_out += 1;
            if weight == 1 || left_out % weight == 0 {
                self.weights.push(weight);
                kept.push(*hash);
            }
        }
        self.index = Some(build(&kept));
        self.sample = kept;
        true
    }

    pub fn push(&mut self, entry: EntryNo, hash: &[u8]) {
        if let Some(hash) = Pdq::from_bytes(hash) {
            self.batch.push(hash);
            self.entries.push(entry);
            if self.batch.len() == BATCH {
                self.meet();
            }
        }
    }

    fn meet(&mut self) {
        let Some(index) = &self.index else { return };
        let met: Vec<AtomicU32> = self.batch.iter().map(|_| AtomicU32::new(0)).collect();
        index.join(&self.batch, RADIUS, &|hits: &[Hit]| {
            let count = |hit: &Hit| met[hit.query as usize].fetch_add(self.weights[hit.row as usize], Ordering::Relaxed);
            hits.iter().for_each(|hit| _ = count(hit));
            ControlFlow::Continue(())
        });
        let most = self.met_min();
        for (entry, met) in self.entries.iter().zip(met) {
            let met = u64::from(met.into_inner());
            // In the whole list it meets itself.
            if met > most {
                self.found.push((*entry, (met - 1) * self.step));
            }
        }
        self.batch.clear();
        self.entries.clear();
    }

    /// The crowded entries, and about how many neighbours each has.
    pub fn finish(mut self) -> Vec<(EntryNo, u64)> {
        self.meet();
        self.found.dedup_by_key(|(entry, _)| *entry);
        self.found
    }
}

/// Which of a few new entries have more neighbours than `most` among themselves and what the list has active, and how many: none is left out.
pub fn of_few(snapshot: &Snapshot, list: ListId, new: &[(EntryNo, Pdq)], most: u64) -> Vec<(EntryNo, u64)> {
    let neighbours = |(entry, hash): &(EntryNo, Pdq)| {
        let active = snapshot.find_by_hash(list, &HashValue::Pdq(*hash), RADIUS).len();
        let beside = new.iter().filter(|(other, near)| other != entry && near.distance(hash) <= RADIUS).count();
        (active + beside) as u64
    };
    let counted = new.par_iter().map(|new| (new.0, neighbours(new)));
    counted.filter(|(_, neighbours)| *neighbours > most).collect()
}

/// The same without a snapshot: all hashes of the version, given by `each_hash`, are held against the few.
pub fn of_few_in(
    new: &[(EntryNo, Pdq)],
    most: u64,
    each_hash: impl FnOnce(&mut dyn FnMut(EntryNo, &[u8])) -> Result<(), CatalogError>,
) -> Result<Vec<(EntryNo, u64)>, CatalogError> {
    let few: Vec<Pdq> = new.iter().map(|(_, hash)| *hash).collect();
    let index = build(&few);
    let met: Vec<AtomicU64> = few.iter().map(|_| AtomicU64::new(0)).collect();
    let meet = |batch: &mut Vec<Pdq>| {
        index.join(batch, RADIUS, &|hits: &[Hit]| {
            hits.iter().for_each(|hit| _ = met[hit.row as usize].fetch_add(1, Ordering::Relaxed));
            ControlFlow::Continue(())
        });
        batch.clear();
    };
    let mut batch = Vec::with_capacity(BATCH);
    each_hash(&mut |_, hash| {
        batch.extend(Pdq::from_bytes(hash));
        if batch.len() == BATCH {
            meet(&mut batch);
        }
    })?;
    meet(&mut batch);
    // In the whole list each meets itself.
    let counted = new.iter().zip(met).map(|((entry, _), met)| (*entry, met.into_inner().saturating_sub(1)));
    Ok(counted.filter(|(_, neighbours)| *neighbours > most).collect())
}

fn build(hashes: &[Pdq]) -> Box<dyn RadiusIndex<Pdq>> {
    index::build(IndexKind::for_join(hashes.len()), hashes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(n: u64) -> u64 {
        let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ n >> 31
    }

    fn scattered(n: u64) -> Pdq {
        Pdq([0, 1, 2, 3].map(|word| mixed(4 * n + word)))
    }

    /// Within eight bits of the first one.
    fn crowded(n: u64) -> Pdq {
        let mut words = scattered(1 << 40).0;
        (0..8).for_each(|bit| words[bit % 4] ^= 1 << (mixed(8 * n + bit as u64) % 64));
        Pdq(words)
    }

    /// How many of the crowded ones are found, and of the others.
    fn found(scatter: u64, crowd: u64) -> (usize, usize) {
        let hashes: Vec<Pdq> = (0..scatter).map(scattered).chain((0..crowd).map(crowded)).collect();
        let mut crowds = Crowds::new(hashes.len() as u64, 1_000);
        hashes.iter().for_each(|hash| crowds.sample(hash.to_bytes().as_ref()));
        assert!(crowds.begin());
        (0..).zip(&hashes).for_each(|(n, hash)| crowds.push(EntryNo(n), hash.to_bytes().as_ref()));
        let found = crowds.finish();
        let of_crowd = found.iter().filter(|(entry, _)| u64::from(entry.0) >= scatter).count();
        (of_crowd, found.len() - of_crowd)
    }

    #[test]
    fn a_crowd_is_found_whole_and_nothing_else() {
        assert_eq!(found(20_000, 1_000), (0, 0)); // each has 999 neighbours
        assert_eq!(found(20_000, 1_002), (1_002, 0));
        assert_eq!(found(20_000, 12_000), (12_000, 0)); // thinned out
        assert_eq!(found(450_000, 15_000), (15_000, 0)); // in a sample
        assert_eq!(found(10, 40_000), (40_000, 0)); // in a smaller one: too many pairs
    }
}
