//! The store's rows as a BK-tree's nodes.
//!
//! The key of a stored node is (kind, tree, parent, edge): the key is the tree, an insert is one put in the entry's own batch,
//! and key order is the arena's layout. A tree is kept only for a kind whose index is the BK-tree. It holds distinct hashes and
//! only grows; when a list is deleted a new tree is written beside the old, which then goes.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::CatalogError;
use super::columns;
use crate::entry::{Bits, Entry, Hash64, HashKind, HashValue, Pdq, RowChange};
use crate::index::bk_tree::{Arena, BkNodes, MemNodes, NodeId, Placed, Row, place};
use crate::store::{DerivedClear, DerivedPut, Store};

/// The kinds that can have a tree.
pub const KINDS: [HashKind; 3] = [HashKind::Pdq, HashKind::Phash64, HashKind::Dhash64];
/// Nodes in one batch of a rebuild.
const BATCH: usize = 10_000;

/// A kept tree: its number and how many nodes it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    pub number: u32,
    pub nodes: u32,
}

fn mark(kind: HashKind) -> String {
    format!("bk/{kind}")
}

/// The tree kept for a kind, if any.
pub fn tree(store: &Store, kind: HashKind) -> Result<Option<Tree>, CatalogError> {
    let Some(bytes) = store.derived_mark(&mark(kind))?.filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
    let number = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    match (number(0), number(4)) {
        (Some(number), Some(nodes)) => Ok(Some(Tree { number, nodes })),
        _ => Err(CatalogError::Damaged(format!("the mark of the {kind} tree"))),
    }
}

fn put_mark(kind: HashKind, tree: Tree) -> DerivedPut {
    DerivedPut::Mark { name: mark(kind), bytes: [tree.number.to_be_bytes(), tree.nodes.to_be_bytes()].concat() }
}

/// A stored tree as nodes, with the nodes of the batch that is being made before them.
pub struct StoreNodes<'a, H> {
    store: &'a Store,
    kind: HashKind,
    tree: u32,
    pending: HashMap<(u32, u16), (u32, H)>,
}

impl<'a, H: Bits> StoreNodes<'a, H> {
    pub fn new(store: &'a Store, kind: HashKind, tree: u32) -> Self {
        StoreNodes { store, kind, tree, pending: HashMap::new() }
    }

    fn node(&self, parent: NodeId, node: u32, hash: &[u8]) -> Result<(NodeId, H), CatalogError> {
        let damaged = |what: &str| CatalogError::Damaged(format!("node {node} of the {} tree {what}", self.kind));
        if parent != NodeId::NONE && node <= parent.0 {
            return Err(damaged("is not above its parent's number"));
        }
        let hash = H::from_bytes(hash).ok_or_else(|| damaged("has a hash of the wrong length"))?;
        Ok((NodeId(node), hash))
    }
}

impl<H: Bits> BkNodes<H> for StoreNodes<'_, H> {
    type Error = CatalogError;

    fn child(&self, parent: NodeId, edge: u16) -> Result<Option<(NodeId, H)>, CatalogError> {
        if let Some((node, hash)) = self.pending.get(&(parent.0, edge)) {
            return Ok(Some((NodeId(*node), *hash)));
        }
        let stored = self.store.bk_child(self.kind as u8, self.tree, parent.0, edge)?;
        stored.map(|(node, hash)| self.node(parent, node, &hash)).transpose()
    }

    fn children(
        &self,
        parent: NodeId,
        edges: RangeInclusive<u16>,
        each: &mut dyn FnMut(u16, NodeId, &H),
    ) -> Result<(), CatalogError> {
        let mut failed = None;
        self.store.bk_children(self.kind as u8, self.tree, parent.0, edges, &mut |edge, node, hash| match self
            .node(parent, node, hash)
        {
            Ok((node, hash)) => each(edge, node, &hash),
            Err(error) => failed = Some(error),
        })?;
        failed.map_or(Ok(()), Err)
    }
}

/// The puts that add a change's new hashes to the kept trees: one for each hash that no tree has yet.
pub fn puts(store: &Store, rows: &[RowChange]) -> Result<Vec<DerivedPut>, CatalogError> {
    let mut puts = Vec::new();
    for kind in KINDS {
        let Some(tree) = tree(store, kind)? else { continue };
        match kind {
            HashKind::Pdq => insert::<Pdq>(store, kind, tree, rows, &mut puts)?,
            _ => insert::<Hash64>(store, kind, tree, rows, &mut puts)?,
        }
    }
    Ok(puts)
}

fn insert<H: Bits>(
    store: &Store,
    kind: HashKind,
    mut tree: Tree,
    rows: &[RowChange],
    puts: &mut Vec<DerivedPut>,
) -> Result<(), CatalogError> {
    let mut nodes = StoreNodes::<H>::new(store, kind, tree.number);
    let before = tree.nodes;
    let opened = rows.iter().filter_map(|row| if let RowChange::Open { content, .. } = row { Some(content) } else { None });
    for hash in opened.flat_map(Entry::sought).filter(|hash| hash.kind() == kind) {
        let Some(hash) = hash.with_bytes(H::from_bytes) else { continue };
        if let Placed::New(row) = place(&nodes, &hash, NodeId(tree.nodes))? {
            nodes.pending.insert((row.parent.0, row.edge), (row.node.0, hash));
            puts.push(put_row(kind, tree.number, &row));
            tree.nodes += 1;
        }
    }
    if tree.nodes != before {
        puts.push(put_mark(kind, tree));
    }
    Ok(())
}

fn put_row<H: Bits>(kind: HashKind, tree: u32, row: &Row<H>) -> DerivedPut {
    let hash = row.hash.to_bytes().as_ref().to_vec();
    DerivedPut::Bk { kind: kind as u8, tree, parent: row.parent.0, edge: row.edge, node: row.node.0, hash }
}

/// The kept tree in memory, linked from its rows in key order; `None` where none is kept or its rows are no tree.
pub fn arena<H: Bits>(store: &Store, kind: HashKind) -> Result<Option<Arena<H>>, CatalogError> {
    let Some(tree) = tree(store, kind)? else { return Ok(None) };
    let mut failed = None;
    let rows = store.bk_rows(kind as u8, tree.number)?.map_while(|row| {
        let row = row.map_err(CatalogError::from).and_then(|r| {
            let hash = H::from_bytes(&r.hash).ok_or_else(|| CatalogError::Damaged(format!("a node of the {kind} tree")))?;
            Ok(Row { parent: NodeId(r.parent), edge: r.edge, node: NodeId(r.node), hash })
        });
        row.map_err(|error| failed = Some(error)).ok()
    });
    let arena = Arena::from_rows(rows);
    if let Some(error) = failed {
        return Err(error);
    }
    match arena {
        Ok(arena) => Ok(Some(arena)),
        Err(error) => {
            tracing::warn!(%kind, %error, "the stored BK-tree is damaged; building one in memory");
            Ok(None)
        }
    }
}

/// Writes the kind's tree anew from all hashes in the columns, and drops the old one.
pub fn rebuild(store: &Store, kind: HashKind) -> Result<(), CatalogError> {
    match kind {
        HashKind::Pdq => rebuild_as::<Pdq, 32>(store, kind),
        _ => rebuild_as::<Hash64, 8>(store, kind),
    }
}

fn rebuild_as<H: Bits, const N: usize>(store: &Store, kind: HashKind) -> Result<(), CatalogError> {
    let old = tree(store, kind)?;
    let number = old.map_or(1, |t| t.number.wrapping_add(1));
    let mut nodes = MemNodes::<H>::new();
    for chunk in store.columns(kind as u8)? {
        let (_, bytes) = chunk?;
        let whole = columns::decode_hashes::<N>(&bytes, |_, hash| {
            H::from_bytes(hash).map(|hash| nodes.insert(hash));
        });
        whole.ok_or_else(|| CatalogError::Damaged(format!("a chunk of column {kind}")))?;
    }
    store.derived_clear(DerivedClear::BkTree { kind: kind as u8, tree: number })?; // what a rebuild that was cut short left behind
    let mut batch = Vec::with_capacity(BATCH);
    for row in nodes.rows() {
        batch.push(put_row(kind, number, &row));
        if batch.len() == BATCH {
            store.derived_put(&batch)?;
            batch.clear();
        }
    }
    batch.push(put_mark(kind, Tree { number, nodes: nodes.len() as u32 }));
    store.derived_put(&batch)?;
    if let Some(old) = old {
        store.derived_clear(DerivedClear::BkTree { kind: kind as u8, tree: old.number })?;
    }
    Ok(())
}

/// Stops keeping a tree for the kind.
pub fn forget(store: &Store, kind: HashKind) -> Result<(), CatalogError> {
    if let Some(old) = tree(store, kind)? {
        store.derived_put(&[DerivedPut::Mark { name: mark(kind), bytes: Vec::new() }])?;
        store.derived_clear(DerivedClear::BkTree { kind: kind as u8, tree: old.number })?;
    }
    Ok(())
}

/// What is wrong with the kept tree: every node must stand at its distance from its parent, and every hash must be in it.
pub fn verify(store: &Store, kind: HashKind) -> Result<Vec<String>, CatalogError> {
    match kind {
        HashKind::Pdq => verify_as::<Pdq>(store, kind, |value| if let HashValue::Pdq(h) = value { Some(*h) } else { None }),
        _ => verify_as::<Hash64>(store, kind, |value| match value {
            HashValue::Phash64(h) | HashValue::Dhash64(h) => Some(*h),
            _ => None,
        }),
    }
}

fn verify_as<H: Bits>(store: &Store, kind: HashKind, take: fn(&HashValue) -> Option<H>) -> Result<Vec<String>, CatalogError> {
    const PROBLEMS_MAX: usize = 20;
    let mut problems = Vec::new();
    let Some(tree) = tree(store, kind)? else { return Ok(problems) };
    let (mut hashes, mut rows) = (HashMap::new(), Vec::new());
    for row in store.bk_rows(kind as u8, tree.number)? {
        let row = row?;
        match H::from_bytes(&row.hash) {
            Some(hash) => hashes.insert(row.node, hash),
            None => return Err(CatalogError::Damaged(format!("a node of the {kind} tree"))),
        };
        rows.push((row.parent, row.edge, row.node));
    }
    if rows.len() != tree.nodes as usize {
        problems.push(format!("the {kind} tree says it has {} nodes and has {}", tree.nodes, rows.len()));
    }
    for (parent, edge, node) in rows {
        let distance = hashes.get(&parent).zip(hashes.get(&node)).map(|(a, b)| a.distance(b));
        let root = parent == NodeId::NONE.0 && edge == 0;
        if !root && distance != Some(edge) && problems.len() < PROBLEMS_MAX {
            problems.push(format!("{kind} tree: node {node} is not at distance {edge} from its parent"));
        }
    }
    let nodes = StoreNodes::<H>::new(store, kind, tree.number);
    for list in store.lists()? {
        for row in store.rows(list.id)? {
            let row = row?;
            for hash in row.content.sought().iter().filter(|h| h.kind() == kind).filter_map(take) {
                let known = matches!(place(&nodes, &hash, NodeId(u32::MAX - 1))?, Placed::Known(_));
                if !known && problems.len() < PROBLEMS_MAX {
                    problems.push(format!("{kind} tree: a hash of entry {} of list {:?} is missing", row.entry.0, list.name));
                }
            }
        }
    }
    Ok(problems)
}
