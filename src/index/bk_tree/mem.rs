//! A BK-tree in memory that grows: what an import or a test places hashes into before its rows are written or laid out flat.
//!
//! Two structures, because rows come out sorted for nothing: the hashes by node number, and an ordered map from (parent, edge) to the node.
//! About 40 bytes a node beside its hash. Not meant for look-ups: [`Arena`](super::Arena) is many times quicker.

use super::{BkNodes, NodeId, Placed, Row, place};
use crate::entry::Bits;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::RangeInclusive;

#[derive(Default)]
pub struct MemNodes<H> {
    hashes: Vec<H>,
    children: BTreeMap<(NodeId, u16), NodeId>,
}

impl<H: Bits> MemNodes<H> {
    pub fn new() -> Self {
        MemNodes { hashes: Vec::new(), children: BTreeMap::new() }
    }

    /// Number of nodes, and the number that the next one gets.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Adds a hash unless it is there; says which. The caller keeps to at most [`INDEX_ROWS_MAX`](crate::index::INDEX_ROWS_MAX) nodes.
    pub fn insert(&mut self, hash: H) -> Placed<H> {
        let next = NodeId(self.hashes.len() as u32);
        let Ok(placed) = place(self, &hash, next);
        if let Placed::New(row) = placed {
            self.hashes.push(hash);
            self.children.insert((row.parent, row.edge), row.node);
        }
        placed
    }

    /// The nodes in key order: by (parent, edge), the root last.
    pub fn rows(&self) -> impl Iterator<Item = Row<H>> + '_ {
        self.children.iter().map(|(&(parent, edge), &node)| Row { parent, edge, node, hash: self.hashes[node.0 as usize] })
    }
}

impl<H: Bits> Extend<H> for MemNodes<H> {
    fn extend<I: IntoIterator<Item = H>>(&mut self, hashes: I) {
        for hash in hashes {
            self.insert(hash);
        }
    }
}

impl<H: Bits> BkNodes<H> for MemNodes<H> {
    type Error = Infallible;

    fn child(&self, parent: NodeId, edge: u16) -> Result<Option<(NodeId, H)>, Infallible> {
        Ok(self.children.get(&(parent, edge)).map(|node| (*node, self.hashes[node.0 as usize])))
    }

    fn children(
        &self,
        parent: NodeId,
        edges: RangeInclusive<u16>,
        each: &mut dyn FnMut(u16, NodeId, &H),
    ) -> Result<(), Infallible> {
        if edges.is_empty() {
            return Ok(()); // a map's range panics on one that is the wrong way round
        }
        for (&(_, edge), node) in self.children.range((parent, *edges.start())..=(parent, *edges.end())) {
            each(edge, *node, &self.hashes[node.0 as usize]);
        }
        Ok(())
    }
}
