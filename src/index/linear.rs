//! The scan: every row is compared. It is the oracle that the other indexes are held to, so it stays the simplest there is.
//!
//! Distances in bits. No early exit, no vector code.

use super::{Effort, Hit, Query, RadiusIndex, Scratch, assert_rows_max};
use crate::entry::Bits;
use std::sync::Arc;

pub struct Linear<H> {
    rows: Arc<[H]>,
}

impl<H: Bits> Linear<H> {
    /// # Panics
    /// With more than [`INDEX_ROWS_MAX`](super::INDEX_ROWS_MAX) rows.
    pub fn new(rows: Arc<[H]>) -> Self {
        assert_rows_max(rows.len());
        Linear { rows }
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
        let mut effort = Effort::default();
        for (number, query) in queries.iter().enumerate() {
            effort += scan(&self.rows, query, number as u32, out);
        }
        effort
    }
}

/// Compares one query with all rows.
pub(super) fn scan<H: Bits>(rows: &[H], query: &Query<H>, number: u32, out: &mut Vec<Hit>) -> Effort {
    for (row, hash) in rows.iter().enumerate() {
        let distance = query.hash.distance(hash);
        if distance <= query.radius {
            out.push(Hit { query: number, row: row as u32, distance });
        }
    }
    Effort { probes: 0, candidates: rows.len() as u64, distances: rows.len() as u64 }
}
