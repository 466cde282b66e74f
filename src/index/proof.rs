//! Does an index that was just built find what it should?
//!
//! Before an index is put to use it is asked for rows it must find: hashes planted at every distance from 0 to the radius it is used at, next to
//! rows from all over it. Its answers are held to the scan's, hit for hit. A proof by samples: it finds a broken build, a bad memory
//! bank or a kernel that counts wrongly on this very processor, not a fault that strikes one row in millions. It takes as long as some thirty scans.

use super::random::Random;
use super::{Hit, Query, RadiusIndex, Scratch, exact::ExactIndex, linear};
use crate::entry::Bits;
use rayon::prelude::*;
use std::ops::ControlFlow;

/// Hashes planted, at least; one for each distance where there are more of those, up to twice so many.
const PLANTED: u16 = 32;

/// An index that does not answer as the scan does.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("an index of {rows} rows failed its proof: of {planted} planted hashes it answered {right} as the scan does")]
pub struct Flaw {
    pub rows: usize,
    pub planted: u32,
    pub right: u32,
}

impl Flaw {
    /// The part of the planted hashes that were answered rightly.
    pub fn recall(&self) -> f64 {
        f64::from(self.right) / f64::from(self.planted)
    }
}

/// Holds an index over `rows` to the scan, at a radius in bits.
pub fn prove<H: Bits>(index: &dyn RadiusIndex<H>, rows: &[H], radius: u16) -> Result<(), Flaw> {
    let radius = radius.min(H::BITS);
    let planted = (radius + 1).clamp(PLANTED, 2 * PLANTED);
    if rows.is_empty() {
        return Ok(());
    }
    let right = |k: &u16| {
        let row = (2 * usize::from(*k) + 1) * rows.len() / (2 * usize::from(planted));
        let distance = u32::from(*k) * u32::from(radius) / u32::from(planted - 1);
        let hash = Random(u64::from(*k)).at_distance(&rows[row], distance as u16);
        let (query, mut hits, mut expected) = ([Query { hash, radius }], Vec::new(), Vec::new());
        index.search(&query, &mut Scratch::default(), &mut hits);
        linear::scan(rows, &query, &mut Scratch::default(), &mut |hits| {
            expected.extend_from_slice(hits);
            ControlFlow::Continue(())
        });
        hits.sort_unstable();
        hits == expected && expected.iter().any(|hit: &Hit| hit.row as usize == row)
    };
    settle(rows.len(), planted, (0..planted).into_par_iter().filter(right).count())
}

/// The same for digests.
pub fn prove_exact<const N: usize>(index: &ExactIndex<N>, rows: &[[u8; N]]) -> Result<(), Flaw> {
    if rows.is_empty() {
        return Ok(());
    }
    let right = |k: &u16| {
        let digest = &rows[(2 * usize::from(*k) + 1) * rows.len() / (2 * usize::from(PLANTED))];
        let mut found = Vec::new();
        index.find(digest, &mut |row| found.push(row));
        let expected = rows.iter().zip(0u32..).filter(|(row, _)| *row == digest).map(|(_, at)| at);
        found.into_iter().eq(expected)
    };
    settle(rows.len(), PLANTED, (0..PLANTED).into_par_iter().filter(right).count())
}

fn settle(rows: usize, planted: u16, right: usize) -> Result<(), Flaw> {
    if right == usize::from(planted) {
        return Ok(());
    }
    Err(Flaw { rows, planted: planted.into(), right: right as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Hash64, Pdq};
    use crate::index::{Effort, IndexKind, Take, build};
    use std::sync::Arc;

    /// An index with a fault.
    struct Faulty<H>(Box<dyn RadiusIndex<H>>, fn(&mut Vec<Hit>));

    impl<H: Bits> RadiusIndex<H> for Faulty<H> {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn bytes(&self) -> usize {
            self.0.bytes()
        }

        fn look_up(&self, queries: &[Query<H>], scratch: &mut Scratch, take: &mut Take<'_>) -> Effort {
            let mut out = Vec::new();
            let effort = self.0.search(queries, scratch, &mut out);
            (self.1)(&mut out);
            let _ = take(&out);
            effort
        }
    }

    fn rows<H: Bits>(n: usize) -> Arc<[H]> {
        let mut random = Random(5);
        (0..n).map(|_| random.hash()).collect()
    }

    #[test]
    fn a_sound_index_is_proven_at_every_radius() {
        for kind in [IndexKind::Linear, IndexKind::BkTree, IndexKind::MultiIndex] {
            for n in [0, 1, 7, 900] {
                let (pdq, hash64) = (rows::<Pdq>(n), rows::<Hash64>(n));
                for radius in [0, 1, 31, 40, 256, u16::MAX] {
                    assert_eq!(prove(&*build(kind, pdq.clone()), &pdq, radius), Ok(()), "{kind}, {n} rows, radius {radius}");
                    assert_eq!(
                        prove(&*build(kind, hash64.clone()), &hash64, radius),
                        Ok(()),
                        "{kind}, {n} rows, radius {radius}"
                    );
                }
            }
        }
        let digests: Arc<[[u8; 20]]> = (0..500u32).map(|n| [(n / 3) as u8; 20]).collect();
        assert_eq!(prove_exact(&ExactIndex::build(digests.clone()), &digests), Ok(()));
    }

    #[test]
    fn a_fault_at_one_distance_alone_is_found() {
        let hashes = rows::<Pdq>(2_000);
        let faulty = |fault| Faulty(build(IndexKind::MultiIndex, hashes.clone()), fault);
        let flaw = |fault| prove(&faulty(fault), &hashes, 31).unwrap_err();
        let found = flaw(|hits| hits.retain(|hit| hit.distance != 31));
        assert_eq!((found.planted, found.right), (32, 31));
        assert!(found.recall() < 1.0 && found.to_string().contains("2000 rows"), "{found}");
        assert_eq!(flaw(|hits| hits.retain(|hit| hit.distance != 0)).right, 31);
        assert_eq!(flaw(|hits| hits.iter_mut().for_each(|hit| hit.distance += 1)).right, 0);
        assert_eq!(flaw(|hits| hits.extend(hits.clone())).right, 0, "a hit twice");
        assert_eq!(flaw(|hits| hits.push(Hit { query: 0, row: 0, distance: 3 })).right, 0, "a hit too many");
    }

    #[test]
    fn a_digest_that_is_not_found_is_a_flaw() {
        let digests: Arc<[[u8; 16]]> = (0..100u8).map(|n| [n; 16]).collect();
        let others: Arc<[[u8; 16]]> = (0..100u8).map(|n| if n % 2 == 0 { [200; 16] } else { [n; 16] }).collect();
        assert!(prove_exact(&ExactIndex::build(others), &digests).is_err());
    }
}
