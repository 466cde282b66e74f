//! The scan: every row is compared. It is the oracle that the other indexes are held to, so it stays the simplest there is.
//!
//! Distances in bits. No early exit; compiled for each level of processor, which counts ones as it can.

use super::{Effort, Hit, Outlet, Query, RadiusIndex, Scratch, Take, assert_rows_max};
use crate::arch;
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

    fn look_up(&self, queries: &[Query<H>], scratch: &mut Scratch, take: &mut Take<'_>) -> Effort {
        look_up(self.level, &self.rows, queries, scratch, take)
    }
}

struct Scan<'a, 'o, 'b, H> {
    rows: &'a [H],
    queries: &'a [Query<H>],
    out: &'a mut Outlet<'o, 'b>,
}

impl<H: Bits> arch::Work for Scan<'_, '_, '_, H> {
    type Out = Effort;

    #[inline(always)]
    fn run<K: arch::Kernel>(self, _: K) -> Effort {
        let mut effort = Effort::default();
        for (number, query) in self.queries.iter().enumerate() {
            effort += scan_one(self.rows, query, number as u32, self.out, |_| true);
            self.out.hand_over();
            if self.out.ended() {
                break;
            }
        }
        effort
    }
}

/// Looks up in rows that no index was built from.
pub fn scan<H: Bits>(rows: &[H], queries: &[Query<H>], scratch: &mut Scratch, take: &mut Take<'_>) -> Effort {
    look_up(arch::best(), rows, queries, scratch, take)
}

fn look_up<H: Bits>(level: arch::Level, rows: &[H], queries: &[Query<H>], scratch: &mut Scratch, take: &mut Take<'_>) -> Effort {
    let mut out = Outlet::new(take, scratch);
    let effort = level.run(Scan { rows, queries, out: &mut out });
    out.end(scratch);
    effort
}

/// Compares one query with all rows, or until nobody wants to know; of those within its radius it gives the ones that are `wanted`.
#[inline(always)]
pub(super) fn scan_one<H: Bits>(
    rows: &[H],
    query: &Query<H>,
    number: u32,
    out: &mut Outlet<'_, '_>,
    wanted: impl Fn(&H) -> bool,
) -> Effort {
    for (row, hash) in rows.iter().enumerate() {
        let distance = query.hash.distance(hash);
        if distance <= query.radius && wanted(hash) {
            out.push(Hit { query: number, row: row as u32, distance });
            if out.ended() {
                break;
            }
        }
    }
    Effort { probes: 0, candidates: rows.len() as u64, distances: rows.len() as u64 }
}
