//! The BK-tree (Burkhard and Keller, 1973): which nodes lie within a radius, by the triangle inequality?
//!
//! An edge is labelled with the distance in bits between parent and child, and everything below the edge lies at that same distance from the
//! parent, so a look-up that stands at distance d of a node follows only the edges d - r to d + r. A node has at most one child per
//! edge. Therefore a tree is a set of [`Row`]s keyed by (parent, edge), wherever they are kept: [`place`] and [`search`] work on
//! anything that is [`BkNodes`]. Here are two: [`MemNodes`], which grows, and [`Arena`], flat and quick; [`BkIndex`] is an arena with
//! rows at its nodes.
//!
//! Invariants: nodes are numbered densely from 0, which is the root; a parent's number is smaller than its child's; a tree holds
//! distinct hashes and only grows. Removal and stores are absent.
//!
//! It prunes where the radius is small against the spread of the distances (64 bits: up to about 4) and can't where all distances
//! are much alike (256 bits at radius 31: 97 % of the nodes are visited).

mod arena;
mod bulk;
mod flat_index;
mod mem;

pub use arena::Arena;
pub(super) use arena::Run;
pub use bulk::{Bulk, bulk};
pub use flat_index::BkIndex;
pub use mem::MemNodes;

use super::{Effort, Scratch};
use crate::entry::Bits;
use std::ops::RangeInclusive;

/// A node's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The parent of the root, which hangs there on edge 0.
    pub const NONE: NodeId = NodeId(u32::MAX);
    pub const ROOT: NodeId = NodeId(0);
}

/// One node and where it hangs. Rows in *key order* are sorted by (parent, edge), so that the root comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<H> {
    pub parent: NodeId,
    /// Bits between the parent's hash and this one: 1 to [`Bits::BITS`], 0 for the root.
    pub edge: u16,
    pub node: NodeId,
    pub hash: H,
}

/// Where a hash stands in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed<H> {
    /// In the tree already.
    Known(NodeId),
    /// Not yet: this row adds it.
    New(Row<H>),
}

/// A node within the radius, and its distance in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeHit {
    pub node: NodeId,
    pub distance: u16,
}

/// The nodes of a tree.
///
/// An implementation over stored rows owes an error, not an answer, for a child whose number is not greater than its parent's: then
/// [`place`] and [`search`] end on any rows, however damaged.
pub trait BkNodes<H> {
    type Error;

    fn child(&self, parent: NodeId, edge: u16) -> Result<Option<(NodeId, H)>, Self::Error>;

    /// Calls `each` with the children on these edges, in rising order of edge.
    fn children(
        &self,
        parent: NodeId,
        edges: RangeInclusive<u16>,
        each: &mut dyn FnMut(u16, NodeId, &H),
    ) -> Result<(), Self::Error>;
}

/// Why rows are not a tree. No message holds a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BkError {
    #[error("more than {} rows", super::INDEX_ROWS_MAX)]
    TooManyRows,
    #[error("row {row} does not come after the one before it by parent and edge")]
    OutOfOrder { row: usize },
    #[error("no row is the root: node 0, without a parent, on edge 0")]
    NoRoot,
    #[error("row {row} has an edge of {edge} bits")]
    Edge { row: usize, edge: u16 },
    #[error("row {row} is node {node}, which is not above its parent's number {parent}")]
    Parent { row: usize, node: u32, parent: u32 },
    #[error("row {row} is node {node} a second time")]
    NodeTwice { row: usize, node: u32 },
    #[error("row {row} is node {node}, but there are only {nodes} nodes")]
    NodeRange { row: usize, node: u32, nodes: usize },
    #[error("the hash of row {row} is not in the tree")]
    NotInTree { row: usize },
}

/// Finds a hash's node, or the row that would add it as node `next`.
pub fn place<H: Bits, N: BkNodes<H>>(nodes: &N, hash: &H, next: NodeId) -> Result<Placed<H>, N::Error> {
    let Some((mut node, mut at)) = nodes.child(NodeId::NONE, 0)? else {
        return Ok(Placed::New(Row { parent: NodeId::NONE, edge: 0, node: next, hash: *hash }));
    };
    loop {
        let edge = hash.distance(&at);
        if edge == 0 {
            return Ok(Placed::Known(node));
        }
        match nodes.child(node, edge)? {
            Some(child) => (node, at) = child,
            None => return Ok(Placed::New(Row { parent: node, edge, node: next, hash: *hash })),
        }
    }
}

/// Appends every node within `radius` bits of `query`, each once, in no particular order. A tree may be a chain as deep as it has nodes, so
/// what is still to be visited stands in `scratch`, not on the stack.
pub fn search<H: Bits, N: BkNodes<H>>(
    nodes: &N,
    query: &H,
    radius: u16,
    scratch: &mut Scratch,
    out: &mut Vec<NodeHit>,
) -> Result<Effort, N::Error> {
    let pending = &mut scratch.nodes;
    pending.clear();
    let mut effort = Effort::default();
    let mut visit = |node: NodeId, hash: &H, pending: &mut Vec<(NodeId, u16)>| {
        let distance = query.distance(hash);
        if distance <= radius {
            out.push(NodeHit { node, distance });
        }
        pending.push((node, distance));
    };
    if let Some((root, hash)) = nodes.child(NodeId::NONE, 0)? {
        effort.distances += 1;
        visit(root, &hash, pending);
    }
    while let Some((node, distance)) = pending.pop() {
        effort.probes += 1;
        nodes.children(node, edges_within::<H>(distance, radius), &mut |_, child, hash| {
            effort.distances += 1;
            visit(child, hash, pending);
        })?;
    }
    effort.candidates = effort.distances;
    Ok(effort)
}

/// The edges of a node at `distance` below which something can lie within `radius`: |edge - distance| <= radius.
fn edges_within<H: Bits>(distance: u16, radius: u16) -> RangeInclusive<u16> {
    distance.saturating_sub(radius).max(1)..=distance.saturating_add(radius).min(H::BITS)
}

#[cfg(test)]
mod tests;
