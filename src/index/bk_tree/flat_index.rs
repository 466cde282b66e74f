//! A BK-tree as a [`RadiusIndex`]: an [`Arena`], and at each of its slots the rows that hold that hash.
//!
//! The rows' hashes are the arena's; the slice they came from is not kept. Nodes without rows are dead: visited, never found.

use super::{Arena, BkError, Bulk, NodeId, Placed, bulk, place};
use crate::entry::Bits;
use crate::index::{Effort, Hit, INDEX_ROWS_MAX, Outlet, Query, RadiusIndex, Scratch, Take, assert_rows_max};
use std::sync::Arc;

pub struct BkIndex<H> {
    arena: Arena<H>,
    /// The rows at slot s are `rows[starts[s]..starts[s + 1]]`.
    starts: Box<[u32]>,
    rows: Box<[u32]>,
}

impl<H: Bits> BkIndex<H> {
    /// # Panics
    /// With more than [`INDEX_ROWS_MAX`] rows.
    pub fn build(rows: Arc<[H]>) -> Self {
        assert_rows_max(rows.len());
        let Bulk { rows: links, nodes } = bulk(&rows);
        let arena = Arena::link(&links);
        drop(links);
        let slots = nodes.into_iter().map(|node| arena.slots[node.0 as usize]).collect();
        Self::with_slots(arena, slots)
    }

    /// An index over `rows`, all of whose hashes are in the tree; `arena` may hold more.
    pub fn from_parts(arena: Arena<H>, rows: Arc<[H]>) -> Result<Self, BkError> {
        if rows.len() > INDEX_ROWS_MAX {
            return Err(BkError::TooManyRows);
        }
        let mut slots = Vec::with_capacity(rows.len());
        for (row, hash) in rows.iter().enumerate() {
            let Ok(placed) = place(&arena, hash, NodeId::NONE);
            let Placed::Known(node) = placed else { return Err(BkError::NotInTree { row }) };
            slots.push(arena.slots[node.0 as usize]);
        }
        Ok(Self::with_slots(arena, slots))
    }

    /// The tree.
    pub fn arena(&self) -> &Arena<H> {
        &self.arena
    }

    /// A counting sort of rows by slot.
    fn with_slots(arena: Arena<H>, slots: Vec<u32>) -> Self {
        let mut starts = vec![0u32; arena.len() + 1];
        for slot in &slots {
            starts[*slot as usize] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        // Each start is its bucket's end now; going backwards, it sinks to the bucket's beginning and rows stay in rising order.
        let mut rows = vec![0u32; slots.len()];
        for (row, slot) in slots.iter().enumerate().rev() {
            let at = &mut starts[*slot as usize];
            *at -= 1;
            rows[*at as usize] = row as u32;
        }
        BkIndex { arena, starts: starts.into(), rows: rows.into() }
    }
}

impl<H: Bits> RadiusIndex<H> for BkIndex<H> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn bytes(&self) -> usize {
        self.arena.bytes() + 4 * (self.starts.len() + self.rows.len())
    }

    fn look_up(&self, queries: &[Query<H>], scratch: &mut Scratch, take: &mut Take<'_>) -> Effort {
        let (mut effort, mut out) = (Effort::default(), Outlet::new(take, scratch));
        for (number, query) in queries.iter().enumerate() {
            effort += self.arena.search(&query.hash, query.radius, &mut scratch.runs, &mut |slot, distance| {
                let slot = slot as usize;
                let rows = &self.rows[self.starts[slot] as usize..self.starts[slot + 1] as usize];
                rows.iter().for_each(|row| out.push(Hit { query: number as u32, row: *row, distance }));
            });
            out.hand_over();
            if out.ended() {
                break;
            }
        }
        out.end(scratch);
        effort
    }
}
