use super::*;
use crate::entry::{Hash64, Pdq};
use crate::index::conformance::Random;
use crate::index::{Query, RadiusIndex};
use std::sync::Arc;

fn row(parent: u32, edge: u16, node: u32) -> Row<Hash64> {
    Row { parent: NodeId(parent), edge, node: NodeId(node), hash: Hash64(u64::from(node)) }
}

const ROOT: u32 = u32::MAX;

#[test]
fn rows_that_are_no_tree_are_refused_in_words() {
    let check = |rows: &[Row<Hash64>], expected: Result<usize, BkError>| {
        assert_eq!(Arena::from_rows(rows.iter().copied()).map(|arena| arena.len()), expected, "{rows:?}");
    };
    check(&[], Ok(0));
    check(&[row(ROOT, 0, 0)], Ok(1));
    check(&[row(0, 1, 1), row(0, 2, 3), row(1, 1, 2), row(ROOT, 0, 0)], Ok(4));
    check(&[row(0, 64, 1), row(ROOT, 0, 0)], Ok(2));
    check(&[row(0, 65, 1), row(ROOT, 0, 0)], Err(BkError::Edge { row: 0, edge: 65 }));
    check(&[row(0, 0, 1), row(ROOT, 0, 0)], Err(BkError::Edge { row: 0, edge: 0 }));
    check(&[row(ROOT, 3, 0)], Err(BkError::Edge { row: 0, edge: 3 }));
    check(&[row(0, 1, 1)], Err(BkError::NodeRange { row: 0, node: 1, nodes: 1 }));
    check(&[row(0, 1, 1), row(0, 2, 2)], Err(BkError::NodeRange { row: 1, node: 2, nodes: 2 }));
    check(&[row(ROOT, 0, 0), row(0, 1, 1)], Err(BkError::OutOfOrder { row: 1 }));
    check(&[row(0, 2, 1), row(0, 1, 2), row(ROOT, 0, 0)], Err(BkError::OutOfOrder { row: 1 }));
    check(&[row(0, 1, 1), row(0, 1, 2), row(ROOT, 0, 0)], Err(BkError::OutOfOrder { row: 1 }));
    check(&[row(0, 1, 1), row(0, 2, 1), row(ROOT, 0, 0)], Err(BkError::NodeTwice { row: 1, node: 1 }));
    check(&[row(0, 1, 1), row(0, 2, 7), row(ROOT, 0, 0)], Err(BkError::NodeRange { row: 1, node: 7, nodes: 3 }));
    check(&[row(0, 1, 1), row(7, 1, 2), row(ROOT, 0, 0)], Err(BkError::Parent { row: 1, node: 2, parent: 7 }));
    check(&[row(1, 1, 2), row(2, 1, 1), row(ROOT, 0, 0)], Err(BkError::Parent { row: 1, node: 1, parent: 2 }));
    check(&[row(1, 1, 1), row(ROOT, 0, 0)], Err(BkError::Parent { row: 0, node: 1, parent: 1 }));
    check(&[row(ROOT, 0, 1)], Err(BkError::NodeRange { row: 0, node: 1, nodes: 1 }));
    check(&[row(ROOT, 0, 0), row(ROOT, 0, 1)], Err(BkError::OutOfOrder { row: 1 }));
}

#[test]
fn no_error_shows_a_hash() {
    let rows = [Row { parent: NodeId(0), edge: 99, node: NodeId(1), hash: Hash64(0xdead_beef_dead_beef) }];
    let error = Arena::from_rows(rows.into_iter()).err().unwrap();
    assert_eq!(error.to_string(), "row 0 has an edge of 99 bits");
}

#[test]
fn each_hash_is_placed_once_under_the_number_that_was_offered() {
    let mut tree = MemNodes::new();
    let check =
        |tree: &mut MemNodes<Hash64>, hash: u64, expected: Placed<Hash64>| assert_eq!(tree.insert(Hash64(hash)), expected);
    let new =
        |parent, edge, node, hash| Placed::New(Row { parent: NodeId(parent), edge, node: NodeId(node), hash: Hash64(hash) });
    check(&mut tree, 0, new(ROOT, 0, 0, 0));
    check(&mut tree, 1, new(0, 1, 1, 1));
    check(&mut tree, 2, new(1, 2, 2, 2));
    check(&mut tree, 3, new(0, 2, 3, 3));
    check(&mut tree, 4, new(2, 2, 4, 4));
    check(&mut tree, 2, Placed::Known(NodeId(2)));
    check(&mut tree, 0, Placed::Known(NodeId::ROOT));
    assert_eq!(tree.len(), 5);
    let keys: Vec<_> = tree.rows().map(|row| (row.parent.0, row.edge)).collect();
    assert_eq!(keys, [(0, 1), (0, 2), (1, 2), (2, 2), (ROOT, 0)]);
}

#[test]
fn growing_in_bulk_and_one_by_one_give_the_same_tree() {
    fn check<H: Bits>(seed: u64, distinct: usize, hashes: usize) {
        let mut random = Random(seed);
        let pool: Vec<H> = (0..distinct).map(|_| random.hash()).collect();
        let hashes: Vec<H> = (0..hashes).map(|_| pool[random.below(distinct)]).collect();
        let mut tree = MemNodes::new();
        let nodes: Vec<NodeId> = hashes
            .iter()
            .map(|hash| match tree.insert(*hash) {
                Placed::Known(node) | Placed::New(Row { node, .. }) => node,
            })
            .collect();
        let grown = bulk(&hashes);
        assert!(grown.nodes == nodes);
        assert!(grown.rows == tree.rows().collect::<Vec<_>>());
    }
    for (distinct, hashes) in [(1, 0), (1, 1), (1, 9), (5, 50), (3_000, 3_000), (100_000, 10_000)] {
        check::<Hash64>(1, distinct, hashes);
        check::<Pdq>(2, distinct, hashes);
    }
}

#[test]
fn a_row_whose_hash_is_not_in_the_tree_is_refused() {
    let arena = || Arena::from_rows([row(0, 1, 1), row(ROOT, 0, 0)].into_iter()).unwrap();
    let check = |rows: &[u64]| {
        BkIndex::from_parts(arena(), rows.iter().map(|hash| Hash64(*hash)).collect::<Arc<[_]>>()).map(|index| index.len())
    };
    assert_eq!(check(&[1, 0, 1]), Ok(3));
    assert_eq!(check(&[]), Ok(0));
    assert_eq!(check(&[1, 0, 5]), Err(BkError::NotInTree { row: 2 }));
    let empty = BkIndex::from_parts(Arena::from_rows(std::iter::empty()).unwrap(), Arc::from([Hash64(1)]));
    assert_eq!(empty.err(), Some(BkError::NotInTree { row: 0 }));
}

/// Each hash lies two bits from the one before, so that each is the only child of that one. Recursion would end the process here.
#[test]
fn a_tree_as_deep_as_it_has_nodes_is_searched() {
    let nodes = 300_000u32;
    let rows = (1..nodes).map(|node| row(node - 1, 2, node)).chain([row(ROOT, 0, 0)]);
    let arena = Arena::from_rows(rows).unwrap();
    let (mut scratch, mut out) = (crate::index::Scratch::default(), Vec::new());
    let Ok(effort) = search(&arena, &Hash64(0), 64, &mut scratch, &mut out);
    assert_eq!((out.len(), effort.distances), (nodes as usize, u64::from(nodes)));
}

#[test]
fn the_tree_prunes_at_a_small_radius_and_not_at_pdqs() {
    let mut random = Random(8);
    let rows: Arc<[Pdq]> = (0..20_000).map(|_| random.hash()).collect();
    let index = BkIndex::build(rows);
    let query = random.hash();
    let visited = |radius| {
        let (mut scratch, mut out) = (crate::index::Scratch::default(), Vec::new());
        index.search(&[Query { hash: query, radius }], &mut scratch, &mut out).distances
    };
    assert!(visited(0) < 200, "{}", visited(0));
    assert!(visited(31) > 18_000, "{}", visited(31));
}
