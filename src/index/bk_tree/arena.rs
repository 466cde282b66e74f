//! A BK-tree laid out flat for look-ups: linked from rows in key order without computing a distance, then never changed.
//!
//! A *slot* is a node's place in the layout. The children of a node stand side by side in rising order of edge, and the groups follow
//! each other depth first: a node's children, then all that lies below its first child, then below its second, and so on. Hence
//! (1) the edges that a look-up follows are one run of slots, whose hashes are streamed; (2) all that lies below any run of
//! siblings is one run of slots too. So a part of the tree that is small needs no structure: its run is compared whole, which is
//! what elsewhere are leaf buckets, with a size chosen at look-up time.
//!
//! Per node: its hash and 16 bytes. Invariant: the five columns have one length, `slots` is the inverse of `nodes`, and slot 0 is the root.

use super::{BkError, BkNodes, NodeId, Row, edges_within};
use crate::entry::Bits;
use crate::index::{Effort, INDEX_ROWS_MAX};
use std::convert::Infallible;
use std::ops::{Range, RangeInclusive};

pub struct Arena<H> {
    hashes: Box<[H]>,
    /// Slot to edge.
    edges: Box<[u16]>,
    /// Slot to its number of children.
    fanouts: Box<[u16]>,
    /// Slot to the slot of its first child; for a leaf, to the slot where its children would stand.
    firsts: Box<[u32]>,
    /// Slot to node number.
    nodes: Box<[u32]>,
    /// Node number to slot.
    pub(super) slots: Box<[u32]>,
}

/// Children still to be visited.
#[derive(Debug, Clone, Copy)]
pub(in crate::index) struct Run {
    /// Slot of the first child.
    start: u32,
    /// The slot after the last one that lies below these children.
    end: u32,
    fanout: u16,
    /// Bits from the query to the parent.
    distance: u16,
}

/// Parts of the tree of at most so many nodes are compared whole. Measured at 0 to 256: against following every edge it takes a third to half of
/// the time at 64 bits, radius 4 and 8; 256 is no better and slows radius 0.
const BUCKET: u32 = 128;

impl<H: Bits> Arena<H> {
    /// Links rows in key order (the root last). Refuses what is not a tree; does not check that edges are the distances they should be,
    /// which would cost as much as building.
    pub fn from_rows(rows: impl Iterator<Item = Row<H>>) -> Result<Self, BkError> {
        let mut sorted = Vec::with_capacity(rows.size_hint().0.min(INDEX_ROWS_MAX));
        for row in rows {
            if sorted.len() == INDEX_ROWS_MAX {
                return Err(BkError::TooManyRows);
            }
            sorted.push(row);
        }
        check_tree(&sorted)?;
        Ok(Self::link(&sorted))
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.hashes.len() * (size_of::<H>() + 16)
    }

    /// Calls `each` with the slot and distance of every node within `radius` bits, each once.
    pub(super) fn search(&self, query: &H, radius: u16, pending: &mut Vec<Run>, each: &mut impl FnMut(u32, u16)) -> Effort {
        pending.clear();
        let mut effort = Effort::default();
        if self.is_empty() {
            return effort;
        }
        let whole = Run { start: 1, end: self.len() as u32, fanout: self.fanouts[0], distance: query.distance(&self.hashes[0]) };
        effort.distances += 1;
        if whole.distance <= radius {
            each(0, whole.distance);
        }
        pending.push(whole);
        while let Some(run) = pending.pop() {
            effort.probes += 1;
            if run.end - run.start <= BUCKET {
                effort.distances += u64::from(run.end - run.start);
                for slot in run.start..run.end {
                    let distance = query.distance(&self.hashes[slot as usize]);
                    if distance <= radius {
                        each(slot, distance);
                    }
                }
                continue;
            }
            let near = self.group_part(run.start, run.fanout, &edges_within::<H>(run.distance, radius));
            effort.distances += u64::from(near.end - near.start);
            for slot in near {
                let distance = query.distance(&self.hashes[slot as usize]);
                if distance <= radius {
                    each(slot, distance);
                }
                let start = self.firsts[slot as usize];
                let last = slot + 1 == run.start + u32::from(run.fanout);
                let end = if last { run.end } else { self.firsts[slot as usize + 1] };
                if start < end {
                    pending.push(Run { start, end, fanout: self.fanouts[slot as usize], distance });
                }
            }
        }
        effort.candidates = effort.distances;
        effort
    }

    /// Those of the `fanout` siblings from `start` on whose edge is in `edges`.
    fn group_part(&self, start: u32, fanout: u16, edges: &RangeInclusive<u16>) -> Range<u32> {
        let group = &self.edges[start as usize..start as usize + usize::from(fanout)];
        let from = group.partition_point(|edge| edge < edges.start()) as u32;
        let to = group.partition_point(|edge| edge <= edges.end()) as u32;
        start + from..start + to.max(from)
    }

    /// Lays out rows that are a tree: [`check_tree`] found so, or `bulk` made them.
    pub(super) fn link(sorted: &[Row<H>]) -> Self {
        let nodes_total = sorted.len();
        // Rows are sorted by parent, so children of node p are sorted[begins[p]..begins[p + 1]]; the root, last of all, is nobody's child.
        let mut begins = vec![0u32; nodes_total + 1];
        for row in sorted.iter().filter(|row| row.parent != NodeId::NONE) {
            begins[row.parent.0 as usize + 1] += 1;
        }
        for node in 1..begins.len() {
            begins[node] += begins[node - 1];
        }
        let mut hashes = Vec::with_capacity(nodes_total);
        let mut edges = Vec::with_capacity(nodes_total);
        let mut nodes = Vec::with_capacity(nodes_total);
        let mut slots = vec![0u32; nodes_total];
        let mut fanouts = vec![0u16; nodes_total];
        let mut firsts = vec![0u32; nodes_total];
        let mut pending = Vec::new();
        let mut stand = |row: &Row<H>| {
            slots[row.node.0 as usize] = hashes.len() as u32;
            hashes.push(row.hash);
            edges.push(row.edge);
            nodes.push(row.node.0);
            hashes.len() as u32
        };
        let mut next = 0;
        if let Some(root) = sorted.last() {
            next = stand(root);
            pending.push((root.node.0, 0u32));
        }
        while let Some((node, slot)) = pending.pop() {
            let children = &sorted[begins[node as usize] as usize..begins[node as usize + 1] as usize];
            firsts[slot as usize] = next;
            fanouts[slot as usize] = children.len() as u16;
            let group = next;
            for child in children {
                next = stand(child);
            }
            // The first child must be popped first.
            pending.extend(children.iter().zip(group..next).rev().map(|(child, slot)| (child.node.0, slot)));
        }
        Arena {
            hashes: hashes.into(),
            edges: edges.into(),
            fanouts: fanouts.into(),
            firsts: firsts.into(),
            nodes: nodes.into(),
            slots: slots.into(),
        }
    }
}

/// Rows are a tree if each (parent, edge) and each node comes once, numbers are dense, and every parent's number is below its child's: then
/// no node can be its own ancestor, and node 0 is the one that has no parent.
fn check_tree<H: Bits>(sorted: &[Row<H>]) -> Result<(), BkError> {
    let nodes = sorted.len();
    let mut seen = vec![false; nodes];
    for (at, row) in sorted.iter().enumerate() {
        if at > 0 && (sorted[at - 1].parent, sorted[at - 1].edge) >= (row.parent, row.edge) {
            return Err(BkError::OutOfOrder { row: at });
        }
        let is_root = row.parent == NodeId::NONE;
        if is_root != (row.edge == 0) || row.edge > H::BITS {
            return Err(BkError::Edge { row: at, edge: row.edge });
        }
        if !is_root && row.parent >= row.node {
            return Err(BkError::Parent { row: at, node: row.node.0, parent: row.parent.0 });
        }
        match seen.get_mut(row.node.0 as usize) {
            None => return Err(BkError::NodeRange { row: at, node: row.node.0, nodes }),
            Some(seen) if *seen => return Err(BkError::NodeTwice { row: at, node: row.node.0 }),
            Some(seen) => *seen = true,
        }
    }
    match sorted.last() {
        Some(root) if root.parent != NodeId::NONE || root.node != NodeId::ROOT => Err(BkError::NoRoot),
        _ => Ok(()),
    }
}

impl<H: Bits> BkNodes<H> for Arena<H> {
    type Error = Infallible;

    fn child(&self, parent: NodeId, edge: u16) -> Result<Option<(NodeId, H)>, Infallible> {
        let mut child = None;
        self.children(parent, edge..=edge, &mut |_, node, hash| child = Some((node, *hash)))?;
        Ok(child)
    }

    fn children(
        &self,
        parent: NodeId,
        edges: RangeInclusive<u16>,
        each: &mut dyn FnMut(u16, NodeId, &H),
    ) -> Result<(), Infallible> {
        let group = if parent == NodeId::NONE {
            if edges.contains(&0) { 0..self.len().min(1) as u32 } else { 0..0 }
        } else if let Some(slot) = self.slots.get(parent.0 as usize) {
            self.group_part(self.firsts[*slot as usize], self.fanouts[*slot as usize], &edges)
        } else {
            0..0
        };
        for slot in group {
            let slot = slot as usize;
            each(self.edges[slot], NodeId(self.nodes[slot]), &self.hashes[slot]);
        }
        Ok(())
    }
}
