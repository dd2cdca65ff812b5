//! The tree of one partition at one replica.

use alloc::vec;
use alloc::vec::Vec;

use dynamo_types::{PartitionCount, Position};
use thiserror::Error;

use crate::digest::{ItemDigest, ShortSum, Sum};
use crate::node_path::NodePath;

/// Sums over the records of one partition: 16^depth leaves and all nodes above them.
///
/// A write costs one addition for each depth; the tree takes about 17 bytes a leaf and nothing a
/// record. Trees of different depths compare by [`fold`](Self::fold).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumTree {
    partition_count: PartitionCount,
    /// The sums by depth, the root's first: 16^d at depth d.
    levels: Vec<Vec<Sum>>,
}

/// Why a tree cannot grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the records do not add up to what the tree holds, first at {at:?}")]
pub struct GrowError {
    /// The first leaf whose records add up to something else: the tree has drifted from the
    /// records, or they are not all there.
    pub at: NodePath,
}

impl SumTree {
    /// A leaf of about so many records is scanned in a few milliseconds, and 16 bytes of memory for
    /// it do not matter.
    pub const RECORDS_PER_LEAF: u64 = 4096;

    /// The tree of no records with 16^depth leaves. Beyond [`NodePath::DEPTH_MAX`] it is that deep.
    #[must_use]
    pub fn new(partition_count: PartitionCount, depth: u8) -> Self {
        let levels = (0..=depth.min(NodePath::DEPTH_MAX))
            .map(|depth| vec![Sum::EMPTY; 1 << (4 * depth)])
            .collect();
        Self { partition_count, levels }
    }

    /// The tree of records.
    pub fn of(
        partition_count: PartitionCount,
        depth: u8,
        items: impl IntoIterator<Item = (Position, ItemDigest)>,
    ) -> Self {
        let mut tree = Self::new(partition_count, depth);
        for (position, item) in items {
            tree.add(position, item);
        }
        tree
    }

    /// The tree with these leaves, as [`leaves`](Self::leaves) gave them. None if their number is not
    /// 16^depth for a possible depth.
    pub fn from_leaves(
        partition_count: PartitionCount,
        leaves: impl IntoIterator<Item = Sum>,
    ) -> Option<Self> {
        let leaves: Vec<Sum> =
            leaves.into_iter().take((1 << (4 * NodePath::DEPTH_MAX)) + 1).collect();
        let depth = (0..=NodePath::DEPTH_MAX).find(|depth| leaves.len() == 1 << (4 * depth))?;
        let mut tree = Self::new(partition_count, depth);
        for (index, sum) in leaves.into_iter().enumerate() {
            let index = u32::try_from(index).expect("at most 65,536");
            let leaf = NodePath::new(depth, index).expect("counted");
            tree.add_to_leaf(leaf, sum);
        }
        Some(tree)
    }

    /// The depth that suits so many records.
    #[must_use]
    pub fn depth_for(records: u64) -> u8 {
        let leaves = records.div_ceil(Self::RECORDS_PER_LEAF);
        (0..NodePath::DEPTH_MAX)
            .find(|depth| leaves <= 1 << (4 * depth))
            .unwrap_or(NodePath::DEPTH_MAX)
    }

    /// How far leaves are below the root.
    #[must_use]
    pub fn depth(&self) -> u8 {
        u8::try_from(self.levels.len() - 1).expect("at most DEPTH_MAX")
    }

    /// The leaf that a position belongs to.
    #[must_use]
    pub fn leaf_of(&self, position: Position) -> NodePath {
        NodePath::of(self.partition_count, position, self.depth())
    }

    /// A record came.
    pub fn add(&mut self, position: Position, item: ItemDigest) {
        self.add_to_leaf(self.leaf_of(position), Sum(item.0));
    }

    /// A record went that was added before.
    pub fn remove(&mut self, position: Position, item: ItemDigest) {
        self.add_to_leaf(self.leaf_of(position), Sum::EMPTY.without(item));
    }

    /// A record changed, came (`old` is none) or went (`new` is none).
    pub fn replace(
        &mut self,
        position: Position,
        old: Option<ItemDigest>,
        new: Option<ItemDigest>,
    ) {
        let change = Self::change(old, new);
        if change != Sum::EMPTY {
            self.add_to_leaf(self.leaf_of(position), change);
        }
    }

    /// What [`replace`](Self::replace) adds to a leaf: the row that a journal keeps, to be given to
    /// [`add_to_leaf`](Self::add_to_leaf) again.
    #[must_use]
    pub fn change(old: Option<ItemDigest>, new: Option<ItemDigest>) -> Sum {
        let gone = old.map_or(Sum::EMPTY, |item| Sum(item.0));
        new.map_or(Sum::EMPTY, |item| Sum(item.0)).minus(gone)
    }

    /// Adds a change to a leaf and to all above it. A path of another depth means its ancestor if it
    /// is deeper; a shallower one is no leaf, and nothing changes.
    pub fn add_to_leaf(&mut self, leaf: NodePath, change: Sum) {
        let leaf = leaf.ancestor(self.depth());
        if leaf.depth() < self.depth() {
            return;
        }
        for (depth, level) in (0..).zip(&mut self.levels) {
            let sum = &mut level[leaf.ancestor(depth).index() as usize];
            *sum = sum.plus(change);
        }
    }

    /// Sets a leaf to what its records were found to add up to, and returns the drift that was
    /// there. Anything but [`Sum::EMPTY`] is damage worth counting.
    pub fn correct_leaf(&mut self, leaf: NodePath, found: Sum) -> Sum {
        let Some(held) = self.sum(leaf) else { return Sum::EMPTY };
        if leaf.depth() < self.depth() {
            return Sum::EMPTY;
        }
        let drift = found.minus(held);
        self.add_to_leaf(leaf, drift);
        drift
    }

    /// The sum of all records: equal roots mean equal records.
    #[must_use]
    pub fn root(&self) -> Sum {
        self.levels[0][0]
    }

    /// The sum of the records under a node; none if the tree is not that deep.
    #[must_use]
    pub fn sum(&self, path: NodePath) -> Option<Sum> {
        let level = self.levels.get(usize::from(path.depth()))?;
        Some(level[path.index() as usize])
    }

    /// The sums of a node's sixteen children, short; none for leaves and beyond.
    #[must_use]
    pub fn children(&self, path: NodePath) -> Option<[ShortSum; 16]> {
        let level = self.levels.get(usize::from(path.depth()) + 1)?;
        let first = path.index() as usize * 16;
        let mut sums = [ShortSum::default(); 16];
        for (short, sum) in sums.iter_mut().zip(&level[first..]) {
            *short = sum.short();
        }
        Some(sums)
    }

    /// The leaves' sums in order: what a checkpoint keeps.
    pub fn leaves(&self) -> impl Iterator<Item = Sum> {
        self.levels.iter().rev().take(1).flatten().copied()
    }

    /// The same records in a tree of fewer leaves. A tree that is not deeper stays as it is.
    #[must_use]
    pub fn fold(&self, depth: u8) -> Self {
        let levels = self.levels[..=usize::from(depth.min(self.depth()))].to_vec();
        Self { partition_count: self.partition_count, levels }
    }

    /// The same records in a deeper tree. Sums cannot be split, so all records are read again, and
    /// checked against what the tree holds.
    ///
    /// # Errors
    /// If the records do not add up to this tree.
    pub fn grow(
        &self,
        depth: u8,
        items: impl IntoIterator<Item = (Position, ItemDigest)>,
    ) -> Result<Self, GrowError> {
        let grown = Self::of(self.partition_count, depth.max(self.depth()), items);
        let found = grown.fold(self.depth());
        let differs = self.leaves().zip(found.leaves()).position(|(held, found)| held != found);
        match differs {
            None => Ok(grown),
            Some(index) => {
                let index = u32::try_from(index).expect("at most 65,536");
                Err(GrowError {
                    at: NodePath::new(self.depth(), index).expect("a leaf of this tree"),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q() -> PartitionCount {
        PartitionCount::new(16).unwrap()
    }

    #[test]
    fn a_tree_is_as_deep_as_its_records_ask() {
        for (records, depth) in
            [(0, 0), (4096, 0), (4097, 1), (1 << 16, 1), (1 << 20, 2), (1 << 24, 3), (u64::MAX, 4)]
        {
            assert_eq!(SumTree::depth_for(records), depth, "{records} records");
        }
    }

    #[test]
    fn growing_notices_records_that_do_not_add_up() {
        let items = [(Position(1), ItemDigest(5)), (Position(1 << 123), ItemDigest(6))];
        let tree = SumTree::of(q(), 1, items);
        assert_eq!(tree.grow(2, items), Ok(SumTree::of(q(), 2, items)));
        let refused = tree.grow(2, items[..1].iter().copied());
        assert_eq!(refused, Err(GrowError { at: tree.leaf_of(Position(1 << 123)) }));
    }

    #[test]
    fn a_corrected_leaf_reports_its_drift() {
        let mut tree = SumTree::of(q(), 1, [(Position(1), ItemDigest(5))]);
        let leaf = tree.leaf_of(Position(1));
        assert_eq!(tree.correct_leaf(leaf, Sum(5)), Sum::EMPTY);
        assert_eq!(tree.correct_leaf(leaf, Sum(7)), Sum(2));
        assert_eq!((tree.root(), tree.sum(leaf)), (Sum(7), Some(Sum(7))));
        assert_eq!(tree.correct_leaf(NodePath::ROOT, Sum(1)), Sum::EMPTY, "no leaf");
        assert_eq!(tree.root(), Sum(7));
    }

    #[test]
    fn leaves_of_another_number_are_no_tree() {
        for count in [0, 2, 15, 17, 65_537] {
            assert!(SumTree::from_leaves(q(), vec![Sum::EMPTY; count]).is_none(), "{count}");
        }
    }
}
