use super::*;
use crate::entry::{Hash64, Pdq};
use crate::index::bk_tree::BkIndex;
use crate::index::{IndexKind, Take, build};
use proptest::prelude::*;

/// A tree that holds more than the rows, in another order than theirs, as a store's does.
fn from_parts<H: Bits>(rows: Arc<[H]>) -> Box<dyn RadiusIndex<H>> {
    let mut random = Random(9);
    let mut tree = MemNodes::new();
    tree.extend((0..50).map(|_| random.hash::<H>()));
    tree.extend(rows.iter().rev().copied());
    let stored: Vec<Row<H>> = tree.rows().collect();
    Box::new(BkIndex::from_parts(arena(&stored), rows).expect("every row is in the tree"))
}

fn mem<H: Bits>(rows: &[Row<H>]) -> MemNodes<H> {
    let mut by_number = rows.to_vec();
    by_number.sort_unstable_by_key(|row| row.node);
    let mut nodes = MemNodes::new();
    nodes.extend(by_number.iter().map(|row| row.hash));
    nodes
}

#[test]
fn every_index_finds_what_the_oracle_finds_at_every_radius() {
    for kind in [IndexKind::Linear, IndexKind::BkTree, IndexKind::MultiIndex] {
        check_index::<Pdq>(&kind.to_string(), &radii::<Pdq>(), &|rows| build(kind, rows));
        check_index::<Hash64>(&kind.to_string(), &radii::<Hash64>(), &|rows| build(kind, rows));
    }
    check_index::<Pdq>("bk-tree from parts", &radii::<Pdq>(), &from_parts);
    check_index::<Hash64>("bk-tree from parts", &radii::<Hash64>(), &from_parts);
}

#[test]
fn a_search_over_any_nodes_finds_what_the_oracle_finds_at_every_radius() {
    check_nodes::<Pdq, _>("nodes in memory", &radii::<Pdq>(), &mut mem);
    check_nodes::<Hash64, _>("nodes in memory", &radii::<Hash64>(), &mut mem);
    check_nodes::<Pdq, _>("arena", &radii::<Pdq>(), &mut arena);
    check_nodes::<Hash64, _>("arena", &radii::<Hash64>(), &mut arena);
}

/// An index that loses one hit, finds one too many, or finds one twice: the suite must see it.
#[test]
fn the_suite_sees_an_index_that_is_wrong() {
    struct Wrong(Box<dyn RadiusIndex<Hash64>>, fn(&mut Vec<Hit>));
    impl RadiusIndex<Hash64> for Wrong {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn bytes(&self) -> usize {
            self.0.bytes()
        }
        fn look_up(&self, queries: &[Query<Hash64>], scratch: &mut Scratch, take: &mut Take<'_>) -> crate::index::Effort {
            let mut out = Vec::new();
            let effort = self.0.search(queries, scratch, &mut out);
            if out.len() > 20 {
                (self.1)(&mut out);
            }
            let _ = take(&out);
            effort
        }
    }
    let wrongs: [fn(&mut Vec<Hit>); 5] = [
        |out| out.truncate(out.len() - 1),
        |out| out.push(out[out.len() - 1]),
        |out| out.last_mut().unwrap().distance += 1,
        |out| out.last_mut().unwrap().row += 1,
        |out| {
            out.swap_remove(0);
        },
    ];
    for wrong in wrongs {
        let run = || check_index::<Hash64>("wrong", &[3, 20], &|rows| Box::new(Wrong(build(IndexKind::Linear, rows), wrong)));
        assert!(std::panic::catch_unwind(run).is_err());
    }
}

/// Few distinct bits, so that near pairs and equal rows are common.
fn near_hashes(n: usize) -> impl Strategy<Value = Vec<Hash64>> {
    prop::collection::vec(
        (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(a, b, c)| Hash64(a & b & c & 0x0f0f_00ff_0033_1111)),
        0..n,
    )
}

fn any_pdq() -> impl Strategy<Value = Pdq> {
    prop_oneof![
        any::<[u64; 4]>().prop_map(Pdq),
        (any::<u64>(), 0..4usize).prop_map(|(word, at)| {
            let mut words = [0x5a5a_1234_0000_ffff; 4];
            words[at] ^= word & (word >> 7) & (word >> 13);
            Pdq(words)
        })
    ]
}

fn agrees<H: Bits>(rows: Vec<H>, queries: Vec<Query<H>>) -> Result<(), TestCaseError> {
    let rows: Arc<[H]> = rows.into();
    let (mut scratch, mut expected) = (Scratch::default(), Vec::new());
    build(IndexKind::Linear, rows.clone()).search(&queries, &mut scratch, &mut expected);
    for kind in [IndexKind::BkTree, IndexKind::MultiIndex] {
        let mut found = Vec::new();
        build(kind, rows.clone()).search(&queries, &mut scratch, &mut found);
        found.sort_unstable();
        prop_assert_eq!(&found, &expected, "{}", kind);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn indexes_agree_on_any_64_bit_rows(
        rows in near_hashes(200),
        queries in prop::collection::vec((any::<u64>(), any::<u64>(), 0..70u16), 0..8),
    ) {
        let queries = queries.into_iter().map(|(a, b, radius)| Query { hash: Hash64(a & b & 0x0f0f_00ff_0033_1111), radius }).collect();
        agrees(rows, queries)?;
    }

    #[test]
    fn indexes_agree_on_any_pdq_rows(
        rows in prop::collection::vec(any_pdq(), 0..200),
        queries in prop::collection::vec((any_pdq(), 0..260u16), 0..8),
    ) {
        let queries = queries.into_iter().map(|(hash, radius)| Query { hash, radius }).collect();
        agrees(rows, queries)?;
    }

    /// Hashes inserted one by one, in any order: each is known afterwards, and the rows make the same tree again.
    #[test]
    fn a_tree_grown_one_by_one_is_a_tree_when_read_back(hashes in near_hashes(150)) {
        use crate::index::bk_tree::{NodeId, Placed, bulk, place};
        let mut tree = MemNodes::new();
        tree.extend(hashes.iter().copied());
        let rows: Vec<Row<Hash64>> = tree.rows().collect();
        let arena = Arena::from_rows(rows.iter().copied()).expect("a tree");
        prop_assert_eq!(arena.len(), tree.len());
        prop_assert_eq!(&bulk(&hashes).rows, &rows);
        for hash in &hashes {
            let Ok(placed) = place(&arena, hash, NodeId(tree.len() as u32));
            let Placed::Known(node) = placed else { panic!("lost") };
            prop_assert_eq!(rows.iter().find(|row| row.node == node).map(|row| row.hash), Some(*hash));
        }
        for row in rows.iter().filter(|row| row.parent != NodeId::NONE) {
            let parent = rows.iter().find(|other| other.node == row.parent).expect("a parent");
            prop_assert_eq!(parent.hash.distance(&row.hash), row.edge);
        }
    }
}
