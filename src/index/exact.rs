//! Which rows are this very digest?
//!
//! `N` is the digest's bytes. The rows' positions are sorted by digest and a table over the first bits says where in that order to look:
//! about four and a half bytes a row beside the rows. Digests are spread evenly unless someone chose them, so a bucket has a few
//! rows; within it the search is binary, so that chosen ones (or one digest a million times) cost a logarithm and no more. Near matches
//! are absent: a digest has none.

use super::assert_rows_max;
use std::sync::Arc;

pub struct ExactIndex<const N: usize> {
    rows: Arc<[[u8; N]]>,
    /// Positions in `rows`, by digest and then by position.
    order: Box<[u32]>,
    /// Bucket `b` is `order[starts[b]..starts[b + 1]]`.
    starts: Box<[u32]>,
    /// A digest's bucket is its first 32 bits shifted right by so many.
    shift: u32,
}

impl<const N: usize> ExactIndex<N> {
    /// # Panics
    /// With more than [`INDEX_ROWS_MAX`](super::INDEX_ROWS_MAX) rows.
    pub fn build(rows: Arc<[[u8; N]]>) -> Self {
        const { assert!(N >= 4, "a bucket is chosen by a digest's first four bytes") };
        assert_rows_max(rows.len());
        let bits = (rows.len() / ROWS_PER_BUCKET).max(1).ilog2();
        let shift = 32 - bits;
        let mut starts = vec![0u32; (1 << bits) + 1];
        for digest in rows.iter() {
            starts[bucket(digest, shift) + 1] += 1;
        }
        for b in 1..starts.len() {
            starts[b] += starts[b - 1];
        }
        let mut next = starts.clone();
        let mut order = vec![0u32; rows.len()];
        for (row, digest) in rows.iter().enumerate() {
            let at = &mut next[bucket(digest, shift)];
            order[*at as usize] = row as u32;
            *at += 1;
        }
        for b in 0..starts.len() - 1 {
            order[starts[b] as usize..starts[b + 1] as usize].sort_unstable_by_key(|row| (&rows[*row as usize], *row));
        }
        ExactIndex { rows, order: order.into(), starts: starts.into(), shift }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes on the heap, rows included.
    pub fn bytes(&self) -> usize {
        self.rows.len() * N + 4 * (self.order.len() + self.starts.len())
    }

    /// Calls `each` with every row that holds `digest`, in rising order.
    pub fn find(&self, digest: &[u8; N], each: &mut dyn FnMut(u32)) {
        let b = bucket(digest, self.shift);
        let bucket = &self.order[self.starts[b] as usize..self.starts[b + 1] as usize];
        let first = bucket.partition_point(|row| self.rows[*row as usize] < *digest);
        for row in bucket[first..].iter().take_while(|row| self.rows[**row as usize] == *digest) {
            each(*row);
        }
    }
}

/// Rows per bucket, on average between this and twice this. At 8 a bucket's positions lie in one or two cache lines.
const ROWS_PER_BUCKET: usize = 8;

fn bucket<const N: usize>(digest: &[u8; N], shift: u32) -> usize {
    let mut prefix = [0; 4];
    prefix.copy_from_slice(&digest[..4]);
    (u64::from(u32::from_be_bytes(prefix)) >> shift) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::conformance::Random;

    fn found<const N: usize>(index: &ExactIndex<N>, digest: &[u8; N]) -> Vec<u32> {
        let mut rows = Vec::new();
        index.find(digest, &mut |row| rows.push(row));
        rows
    }

    fn check<const N: usize>(rows: &[[u8; N]], absent: &[[u8; N]]) {
        let index = ExactIndex::build(Arc::from(rows));
        assert_eq!((index.len(), index.is_empty()), (rows.len(), rows.is_empty()));
        for digest in rows.iter().chain(absent) {
            let expected: Vec<u32> = (0..rows.len() as u32).filter(|row| rows[*row as usize] == *digest).collect();
            assert_eq!(found(&index, digest), expected);
        }
    }

    fn random<const N: usize>(seed: u64, n: usize) -> Vec<[u8; N]> {
        let mut random = Random(seed);
        (0..n).map(|_| std::array::from_fn(|_| random.next() as u8)).collect()
    }

    #[test]
    fn every_row_of_a_digest_is_found_and_no_other() {
        for n in [0, 1, 2, 7, 8, 9, 15, 16, 17, 255, 2_000] {
            check::<16>(&random(n as u64, n), &random(99, 20));
            check::<20>(&random(n as u64, n), &random(99, 20));
            check::<32>(&random(n as u64, n), &random(99, 20));
        }
    }

    #[test]
    fn a_digest_in_many_rows_is_found_in_all() {
        let mut rows = random::<32>(3, 300);
        for at in 0..300 {
            rows.push(rows[at % 7]);
        }
        check(&rows, &random(4, 10));
        check(&[[0u8; 16]; 1_000], &[[1; 16], [0xff; 16]]);
    }

    #[test]
    fn digests_chosen_to_share_a_bucket_are_told_apart() {
        let rows: Vec<[u8; 16]> =
            (0..2_000u32).map(|i| std::array::from_fn(|at| if at < 12 { 0xff } else { i.to_be_bytes()[at - 12] })).collect();
        check(&rows, &[[0xff; 16], [0; 16]]);
    }

    #[test]
    fn the_index_costs_less_than_five_bytes_a_row() {
        let index = ExactIndex::build(Arc::from(random::<16>(5, 100_000)));
        assert!(index.bytes() <= 100_000 * (16 + 5), "{} bytes", index.bytes());
    }
}
