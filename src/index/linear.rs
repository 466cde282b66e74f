//! The scan: every row is compared. It is the oracle that the other indexes are held to, so it stays the simplest there is.
//!
//! Distances in bits. No early exit; compiled for each level of processor, which counts ones as it can.

use super::arch;
use super::{Effort, Hit, Query, RadiusIndex, Scratch, assert_rows_max};
use crate::entry::Bits;
use std::sync::Arc;

pub struct Linear<H> {
    rows: Arc<[H]>,
    level: arch::Level,
}

impl<H: Bits> Linear<H> {
    /// # Panics
    /// With more than [`INDEX_ROWS_MAX`](super::INDEX_ROWS_MAX) rows.
    pub fn new(rows: Arc<[H]>) -> Self {
        Self::at(arch::best(), rows)
    }

    /// At a level other than the best.
    pub fn at(level: arch::Level, rows: Arc<[H]>) -> Self {
        assert_rows_max(rows.len());
        Linear { rows, level }
    }
}

impl<H: Bits> RadiusIndex<H> for Linear<H> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn bytes(&self) -> usize {
        size_of_val::<[H]>(&self.rows)
    }

    fn search(&self, queries: &[Query<H>], _: &mut Scratch, out: &mut Vec<Hit>) -> Effort {
        self.level.run(Scan { rows: &self.rows, queries, out })
    }
}

struct Scan<'a, H> {
    rows: &'a [H],
    queries: &'a [Query<H>],
    out: &'a mut Vec<Hit>,
}

impl<H: Bits> arch::Work for Scan<'_, H> {
    type Out = Effort;

    #[inline(always)]
    fn run<K: arch::Kernel>(self, _: K) -> Effort {
        let mut effort = Effort::default();
        for (number, query) in self.queries.iter().enumerate() {
            effort += scan(self.rows, query, number as u32, self.out);
        }
        effort
    }
}

/// Every row within each query's radius, in the rows' order.
pub(super) fn search<H: Bits>(rows: &[H], queries: &[Query<H>], out: &mut Vec<Hit>) -> Effort {
    arch::best().run(Scan { rows, queries, out })
}

/// Compares one query with all rows.
#[inline(always)]
pub(super) fn scan<H: Bits>(rows: &[H], query: &Query<H>, number: u32, out: &mut Vec<Hit>) -> Effort {
    for (row, hash) in rows.iter().enumerate() {
        let distance = query.hash.distance(hash);
        if distance <= query.radius {
            out.push(Hit { query: number, row: row as u32, distance });
        }
    }
    Effort { probes: 0, candidates: rows.len() as u64, distances: rows.len() as u64 }
}
