use super::halves::half;
use super::*;
use crate::entry::{Hash64, Pdq};
use crate::index::HITS_AT_ONCE;
use crate::index::conformance::{self, Random};
use std::ops::ControlFlow;

/// Lists alone, never a scan: on the suite's few rows the scan would answer nearly all.
fn lists_always<H: Bits>(rows: Arc<[H]>) -> Box<dyn RadiusIndex<H>> {
    Box::new(MultiIndex { lists: Lists::Always, ..MultiIndex::build(rows) })
}

/// The same, table by table from two look-ups on.
fn together_always<H: Bits>(rows: Arc<[H]>) -> Box<dyn RadiusIndex<H>> {
    Box::new(MultiIndex { lists: Lists::Always, together: Together { min: 2, ..TOGETHER }, ..MultiIndex::build(rows) })
}

/// And block by block, however few lists are opened.
fn by_blocks(block_bytes: usize) -> Together {
    Together { min: 2, openings: 1, block_bytes }
}

/// From half of the bits on, a radius opens most of 65,536 lists in each table; a thinner set of those keeps the tests short.
#[test]
fn the_lists_alone_are_exact_at_the_radii_of_64_bits() {
    let radii: Vec<u16> = (0..=20).chain([23, 27, 31, 32, 33, 47, 63, 64]).collect();
    conformance::check_index::<Hash64>("lists", &radii, &lists_always);
}

#[test]
fn the_lists_alone_are_exact_at_the_radii_of_256_bits() {
    let radii: Vec<u16> = (0..=72).chain([79, 95, 127, 128, 160, 255, 256]).collect();
    conformance::check_index::<Pdq>("lists", &radii, &lists_always);
}

#[test]
fn look_ups_together_are_exact() {
    conformance::check_index::<Hash64>("together", &[0, 1, 4, 8, 10, 16, 33], &together_always);
    conformance::check_index::<Pdq>("together", &[0, 1, 15, 31, 32, 47, 63], &together_always);
    // With a scan for some of them, in the middle of the tables.
    for together in [Together { min: 2, ..TOGETHER }, by_blocks(64)] {
        let index =
            |rows: Arc<[Pdq]>| -> Box<dyn RadiusIndex<Pdq>> { Box::new(MultiIndex { together, ..MultiIndex::build(rows) }) };
        conformance::check_index::<Pdq>("together", &[0, 1, 15, 31, 32, 47, 63, 128], &index);
    }
}

#[test]
fn every_level_of_this_processor_finds_the_same() {
    for level in arch::levels() {
        let lists = move |rows: Arc<[Pdq]>| -> Box<dyn RadiusIndex<Pdq>> {
            Box::new(MultiIndex { lists: Lists::Always, level, ..MultiIndex::build(rows) })
        };
        for together in [Together { min: 2, ..TOGETHER }, by_blocks(128)] {
            let index = move |rows: Arc<[Pdq]>| -> Box<dyn RadiusIndex<Pdq>> {
                Box::new(MultiIndex { lists: Lists::Always, level, together, ..MultiIndex::build(rows) })
            };
            conformance::check_index::<Pdq>(level.name(), &[0, 15, 31, 47], &index);
        }
        conformance::check_index::<Pdq>(level.name(), &[0, 1, 15, 31, 32, 47, 63], &lists);
        let lists = move |rows: Arc<[Hash64]>| -> Box<dyn RadiusIndex<Hash64>> {
            Box::new(MultiIndex { lists: Lists::Always, level, ..MultiIndex::build(rows) })
        };
        conformance::check_index::<Hash64>(level.name(), &[0, 1, 4, 8, 10, 16], &lists);
        let scan = move |rows: Arc<[Pdq]>| -> Box<dyn RadiusIndex<Pdq>> { Box::new(linear::Linear::at(level, rows)) };
        conformance::check_index::<Pdq>(level.name(), &[0, 31, 128, 256], &scan);
    }
}

/// Every pair once, of the rows with themselves and with the case's queries.
fn check_join<H: Bits>(radii: &[u16], build: &dyn Fn(Arc<[H]>) -> Box<dyn RadiusIndex<H>>) {
    for case in conformance::cases::<H>() {
        let index = build(Arc::from(case.rows.as_slice()));
        for hashes in [&case.queries, &case.rows] {
            for radius in radii {
                let found = std::sync::Mutex::new(Vec::new());
                index.join(hashes, *radius, &|hits| {
                    found.lock().unwrap().extend_from_slice(hits);
                    ControlFlow::Continue(())
                });
                let mut found = found.into_inner().unwrap();
                found.sort_unstable();
                let mut expected = Vec::new();
                for (query, hash) in hashes.iter().enumerate() {
                    let near = case.rows.iter().enumerate().map(|(row, other)| (row, hash.distance(other)));
                    let near = near.filter(|(_, distance)| distance <= radius);
                    expected.extend(near.map(|(row, distance)| Hit { query: query as u32, row: row as u32, distance }));
                }
                assert!(found == expected, "{}, radius {radius}: {} pairs, not {}", case.name, found.len(), expected.len());
            }
        }
    }
}

#[test]
fn a_join_finds_every_pair_once() {
    check_join::<Pdq>(&[0, 1, 15, 31, 32, 47], &lists_always);
    check_join::<Hash64>(&[0, 4, 8, 10], &lists_always);
    check_join::<Pdq>(&[0, 31, 60, 128, 256], &|rows| Box::new(MultiIndex::build(rows)));
    check_join::<Hash64>(&[4, 64], &|rows| crate::index::build(crate::index::IndexKind::BkTree, rows));
}

/// As with very many rows: so few bits of the half after next stand beside a row that a large join makes the rest.
fn few_third_bits<H: Bits>(rows: Arc<[H]>) -> Box<dyn RadiusIndex<H>> {
    let index = MultiIndex { lists: Lists::Always, ..MultiIndex::build(rows) };
    let tables = Tables::with_row_bits(&index.rows, 27, index.level);
    Box::new(MultiIndex { tables, ..index })
}

#[test]
fn few_bits_of_the_half_after_next_are_enough() {
    conformance::check_index::<Pdq>("few third bits", &[0, 15, 31, 47], &few_third_bits);
    check_join::<Pdq>(&[0, 15, 31, 47], &few_third_bits);
    check_join::<Hash64>(&[0, 4, 8, 10], &few_third_bits);
}

/// Hundreds of hashes share their halves, so that they are compared all at once with each posting, plainly or by sums as there are more.
#[test]
fn a_join_of_hashes_much_alike_finds_every_pair_once() {
    fn check<H: Bits>(radii: &[u16], spread: usize) {
        let mut random = Random(12);
        let centres: Vec<H> = (0..3).map(|_| random.hash()).collect();
        let mut near = |n: usize| -> Vec<H> {
            let one = |at: usize| {
                let far = random.below(spread) as u16;
                random.at_distance(&centres[at % 3], far)
            };
            (0..n).map(one).collect()
        };
        let (few, many, asked) = (near(60), near(1_500), near(900));
        for (rows, few_bits) in [(&few, false), (&few, true), (&many, false), (&many, true)] {
            let index = if few_bits { few_third_bits } else { lists_always }(Arc::from(rows.as_slice()));
            for radius in radii {
                let found = std::sync::Mutex::new(Vec::new());
                index.join(&asked, *radius, &|hits| {
                    found.lock().unwrap().extend_from_slice(hits);
                    ControlFlow::Continue(())
                });
                let mut found: Vec<_> =
                    found.into_inner().unwrap().iter().map(|hit| (hit.query, hit.row, hit.distance)).collect();
                found.sort_unstable();
                let pairs = asked.iter().zip(0..).flat_map(|(hash, query)| {
                    rows.iter().zip(0..).map(move |(row, at)| (query, at, hash.distance(row))).filter(|pair| pair.2 <= *radius)
                });
                let expected: Vec<_> = pairs.collect();
                assert!(found == expected, "radius {radius}: {} pairs, not {}", found.len(), expected.len());
            }
        }
    }
    check::<Pdq>(&[31, 28, 20, 15, 14, 5, 32, 40], 24);
    check::<Hash64>(&[3, 7, 8, 10], 7);
}

#[test]
fn a_join_ends_soon_when_nobody_wants_it_any_more() {
    let mut random = Random(9);
    let rows: Arc<[Pdq]> = (0..50_000).map(|_| random.hash()).collect();
    for kind in [crate::index::IndexKind::MultiIndex, crate::index::IndexKind::Linear] {
        let (index, calls) = (crate::index::build(kind, rows.clone()), std::sync::atomic::AtomicU32::new(0));
        index.join(&rows, 31, &|hits| {
            assert!(hits.len() < 1_000, "{}", hits.len());
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            ControlFlow::Break(())
        });
        assert!((1..200).contains(&calls.into_inner()), "{kind}");
    }
}

#[test]
fn halves_are_a_permutation_of_the_bits() {
    fn check<H: Bits>() {
        let mut seen = vec![[false; 16]; halves::<H>()];
        for bit in 0..usize::from(H::BITS) {
            let mut bytes = vec![0; H::BYTES];
            bytes[bit / 8] = 1 << (bit % 8);
            let hash = H::from_bytes(&bytes).unwrap();
            let ones: Vec<(usize, u16)> =
                (0..halves::<H>()).map(|i| (i, half(&hash, i))).filter(|(_, value)| *value != 0).collect();
            let [(i, value)] = ones[..] else { panic!("bit {bit} is in {} halves", ones.len()) };
            assert_eq!(value.count_ones(), 1);
            let place = &mut seen[i][value.trailing_zeros() as usize];
            assert!(!*place, "two bits share a place");
            *place = true;
        }
    }
    check::<Pdq>();
    check::<Hash64>();
}

#[test]
fn a_half_takes_one_bit_of_each_word_of_a_pdq_hash() {
    let mut words = [0; 4];
    (0..16).for_each(|w| words[w / 4] |= 1 << ((5 + w) % 16 + 48 - 16 * (w % 4)));
    assert_eq!(half(&Pdq(words), 5), 0xffff);
    assert_eq!(half(&Pdq(words), 4), 0);
}

fn effort_of(rows: Vec<Pdq>, hash: Pdq, radius: u16) -> (usize, Effort) {
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let effort = MultiIndex::build(Arc::from(rows)).search(&[Query { hash, radius }], &mut scratch, &mut out);
    (out.len(), effort)
}

#[test]
fn a_look_up_among_unrelated_rows_compares_few_of_them() {
    let mut random = Random(2);
    let rows: Vec<Pdq> = (0..100_000).map(|_| random.hash()).collect();
    let near = random.at_distance(&rows[77], 31);
    let (hits, effort) = effort_of(rows, near, 31);
    assert_eq!(hits, 1);
    assert_eq!(effort.probes, 272);
    assert!(effort.candidates < 1_000 && effort.distances < 50, "{effort:?}");
}

/// Rows that all share most of their bits put everything in one list of each table. A look-up that streamed them all sixteen times, and
/// compared each, would take many times as long as a scan, which is what whoever fills a list with them would be after.
#[test]
fn rows_much_alike_cost_at_most_about_a_scan_more() {
    let mut random = Random(3);
    let centre: Pdq = random.hash();
    let rows: Vec<Pdq> = (0..20_000).map(|_| random.at_distance(&centre, 3)).collect();
    let (hits, effort) = effort_of(rows, centre, 31);
    assert_eq!(hits, 20_000);
    assert!(effort.distances <= 3 * 20_000 && effort.candidates <= 4 * 20_000, "{effort:?}");
}

/// Half of the rows are much alike, the others are not: together, those of the first kind are scanned from some table on, the others are not.
#[test]
fn look_ups_together_find_what_each_finds_alone() {
    let mut random = Random(6);
    let centre: Pdq = random.hash();
    let rows: Vec<Pdq> =
        (0..20_000).map(|row| if row % 2 == 0 { random.at_distance(&centre, 9) } else { random.hash() }).collect();
    let queries: Vec<Query<Pdq>> = (0..600)
        .map(|number| {
            let (near, distance) = (random.below(rows.len()), random.below(40) as u16);
            let hash = if number % 3 == 0 { random.hash() } else { random.at_distance(&rows[near], distance) };
            Query { hash, radius: if number < 580 { 31 } else { 20 } }
        })
        .collect();
    let mut index = MultiIndex::build(Arc::from(rows));
    let (mut scratch, mut alone) = (Scratch::default(), Vec::new());
    for (query, number) in queries.iter().zip(0..) {
        let before = alone.len();
        index.search(&[*query], &mut scratch, &mut alone);
        alone[before..].iter_mut().for_each(|hit| hit.query = number);
    }
    alone.sort_unstable();
    assert!(alone.len() > 500_000, "{}", alone.len());
    for how in [TOGETHER, by_blocks(64), by_blocks(4_096), by_blocks(1 << 20)] {
        index.together = Together { min: 500, ..how };
        check_together(&index, &queries, &alone);
    }
}

fn check_together(index: &MultiIndex<Pdq>, queries: &[Query<Pdq>], alone: &[Hit]) {
    let (mut scratch, mut together) = (Scratch::default(), Vec::new());
    let effort = index.search(queries, &mut scratch, &mut together);
    together.sort_unstable();
    assert!(together == alone, "{:?}: {} hits, not {}", index.together, together.len(), alone.len());
    assert!(effort.candidates < 5_000_000, "{:?}: {effort:?}", index.together);

    // Breaking off ends the whole batch soon, and so does it with single look-ups.
    for some in [queries, &queries[..100]] {
        let mut calls = 0;
        let effort = index.look_up(some, &mut scratch, &mut |hits| {
            assert!(hits.len() <= HITS_AT_ONCE);
            calls += 1;
            if calls < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        assert!(calls == 3 && effort.candidates < 200_000, "{:?}: {calls} calls, {effort:?}", index.together);
    }
}

#[test]
fn a_radius_too_wide_for_lists_is_scanned_at_once() {
    let mut random = Random(4);
    let rows: Vec<Pdq> = (0..1_000).map(|_| random.hash()).collect();
    let (_, effort) = effort_of(rows, random.hash(), 120);
    assert_eq!(effort, Effort { probes: 0, candidates: 1_000, distances: 1_000 });
}
