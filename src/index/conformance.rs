//! Does an index find exactly the rows it should?
//!
//! One suite for all: every index, and every kind of BK-tree nodes, also those kept in a store (integration tests hand them in as a closure),
//! is held to distances computed here one by one. Rows and queries are made from fixed seeds. Panics, because it is called by tests alone.

use super::bk_tree::{Arena, BkNodes, MemNodes, NodeHit, Row, search};
use super::random::of_bytes;
use super::{Hit, Query, RadiusIndex, Scratch};
use crate::entry::Bits;
use std::fmt::Debug;
use std::sync::Arc;

pub use super::random::Random;

/// Rows, and hashes to look up among them.
pub struct Case<H> {
    pub name: &'static str,
    pub rows: Vec<H>,
    pub queries: Vec<H>,
}

/// Every radius there is.
pub fn radii<H: Bits>() -> Vec<u16> {
    (0..=H::BITS).collect()
}

/// The rows that every index must get right.
pub fn cases<H: Bits>() -> Vec<Case<H>> {
    let mut random = Random(0x5eed);
    let zero = filled::<H>(0);
    let ones = filled::<H>(0xff);
    let some: Vec<H> = (0..6).map(|_| random.hash()).collect();
    let with = |more: &[H]| some.iter().chain(more).copied().collect::<Vec<H>>();
    let mut cases = vec![
        Case { name: "empty", rows: Vec::new(), queries: with(&[zero, ones]) },
        Case { name: "one row", rows: vec![some[0]], queries: with(&[zero]) },
        Case { name: "one row of zeros", rows: vec![zero], queries: with(&[zero, ones]) },
        Case { name: "all zero", rows: vec![zero; 150], queries: with(&[zero, ones]) },
        Case { name: "all equal", rows: vec![some[1]; 150], queries: with(&[zero]) },
    ];
    let uniform: Vec<H> = (0..600).map(|_| random.hash()).collect();
    cases.push(Case { name: "uniform", queries: with(&[uniform[0], uniform[599]]), rows: uniform });

    // Two rows at each distance from the first query, among others, in no order.
    let mut planted: Vec<H> = (0..200).map(|_| random.hash()).collect();
    for distance in 0..=H::BITS {
        planted.push(random.at_distance(&some[0], distance));
        planted.push(random.at_distance(&some[0], distance));
    }
    for last in (1..planted.len()).rev() {
        planted.swap(last, random.below(last + 1));
    }
    cases.push(Case { name: "planted neighbours", rows: planted, queries: vec![some[0], some[1]] });

    // Near-duplicates, some of them equal, about a few centres: what edits of one picture look like.
    let mut clustered = Vec::new();
    for centre in &some[..4] {
        for _ in 0..120 {
            let distance = random.below(13) as u16;
            clustered.push(random.at_distance(centre, distance));
        }
        clustered.extend([*centre; 5]);
    }
    let beside = random.at_distance(&some[2], H::BITS / 9);
    cases.push(Case { name: "clustered", rows: clustered, queries: with(&[beside]) });

    let pairs: Vec<H> = uniformly(&mut random, 60).flat_map(|hash| [hash, complement(&hash)]).chain([zero, ones]).collect();
    cases.push(Case { name: "complement pairs", queries: with(&[pairs[0], pairs[1], zero, ones]), rows: pairs });

    // All but two bits alike, so that each half of a hash has one posting list nearly as long as the rows.
    let adversarial: Vec<H> = (0..400).map(|_| random.at_distance(&some[3], 2)).collect();
    let beside = random.at_distance(&some[3], 4);
    cases.push(Case { name: "adversarial", queries: vec![some[3], beside, complement(&some[3])], rows: adversarial });
    cases
}

/// Holds an index to every case at `radii`: batches of none, one and many, a reused scratch, results appended.
pub fn check_index<H: Bits>(name: &str, radii: &[u16], build: &dyn Fn(Arc<[H]>) -> Box<dyn RadiusIndex<H>>) {
    let mut scratch = Scratch::default();
    for case in cases::<H>() {
        let index = build(Arc::from(case.rows.as_slice()));
        assert_eq!(index.len(), case.rows.len(), "{name}: {}", case.name);
        let oracle = Distances::new(&case);
        let (kept, mut out) = (Hit { query: 77, row: 7, distance: 777 }, Vec::new());
        let mut check = |radii_of_queries: &[u16]| {
            let queries: Vec<_> =
                case.queries.iter().zip(radii_of_queries).map(|(hash, radius)| Query { hash: *hash, radius: *radius }).collect();
            out.clear();
            out.push(kept);
            index.search(&queries, &mut scratch, &mut out);
            assert_eq!(out[0], kept, "{name}: {}: what was in `out` before", case.name);
            out[1..].sort_unstable();
            let expected = oracle.within(radii_of_queries);
            assert!(out[1..] == expected, "{}", difference(name, case.name, radii_of_queries, &out[1..], &expected));
        };
        check(&[]);
        for radius in radii {
            check(&[*radius]);
            check(&vec![*radius; case.queries.len()]);
        }
        let mixed: Vec<u16> = (0..case.queries.len()).map(|at| radii[at * 31 % radii.len()]).collect();
        check(&mixed);
        check(&vec![u16::MAX; case.queries.len()]);
    }
}

/// Holds [`search`] over some kind of nodes to every case at `radii`. `load` is given a tree's rows in key order.
pub fn check_nodes<H: Bits, N: BkNodes<H>>(name: &str, radii: &[u16], load: &mut dyn FnMut(&[Row<H>]) -> N)
where
    N::Error: Debug,
{
    let mut scratch = Scratch::default();
    for case in cases::<H>() {
        let mut tree = MemNodes::new();
        tree.extend(case.rows.iter().copied());
        let rows: Vec<Row<H>> = tree.rows().collect();
        let nodes = load(&rows);
        for hash in &case.queries {
            for radius in radii {
                let mut found = Vec::new();
                search(&nodes, hash, *radius, &mut scratch, &mut found).expect("nodes can be read");
                found.sort_unstable();
                let mut expected: Vec<NodeHit> =
                    rows.iter().map(|row| NodeHit { node: row.node, distance: hash.distance(&row.hash) }).collect();
                expected.retain(|hit| hit.distance <= *radius);
                expected.sort_unstable();
                assert!(
                    found == expected,
                    "{name}: {}: radius {radius}: {} nodes, not {}",
                    case.name,
                    found.len(),
                    expected.len()
                );
            }
        }
    }
}

/// The nodes of an arena that was linked from rows, for [`check_nodes`].
pub fn arena<H: Bits>(rows: &[Row<H>]) -> Arena<H> {
    Arena::from_rows(rows.iter().copied()).expect("rows in key order are a tree")
}

/// All distances of a case, computed once.
struct Distances(Vec<Vec<u16>>);

impl Distances {
    fn new<H: Bits>(case: &Case<H>) -> Self {
        Distances(case.queries.iter().map(|query| case.rows.iter().map(|row| query.distance(row)).collect()).collect())
    }

    /// The hits of the first queries, one for each radius.
    fn within(&self, radii: &[u16]) -> Vec<Hit> {
        let mut hits = Vec::new();
        for (query, (distances, radius)) in self.0.iter().zip(radii).enumerate() {
            for (row, distance) in distances.iter().enumerate().filter(|(_, distance)| *distance <= radius) {
                hits.push(Hit { query: query as u32, row: row as u32, distance: *distance });
            }
        }
        hits
    }
}

fn difference(name: &str, case: &str, radii: &[u16], found: &[Hit], expected: &[Hit]) -> String {
    let missed = expected.iter().find(|hit| !found.contains(hit));
    let wrong = found.iter().find(|hit| !expected.contains(hit));
    let twice = found.windows(2).find(|pair| pair[0] == pair[1]);
    format!(
        "{name}: {case}: radii {radii:?}: {} hits, not {}: missed {missed:?}, wrong {wrong:?}, twice {twice:?}",
        found.len(),
        expected.len()
    )
}

fn uniformly<H: Bits>(random: &mut Random, n: usize) -> impl Iterator<Item = H> {
    (0..n).map(|_| random.hash())
}

fn filled<H: Bits>(byte: u8) -> H {
    of_bytes(&vec![byte; H::BYTES])
}

fn complement<H: Bits>(hash: &H) -> H {
    of_bytes(&hash.to_bytes().as_ref().iter().map(|byte| !byte).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
