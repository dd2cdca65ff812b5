//! Names of nodes in a tree of sixteen branches.

use core::fmt;
use core::ops::RangeInclusive;

use dynamo_types::{PartitionCount, PartitionId, Position};

/// A node of a tree: so many steps below the root, and the how-manyeth at that depth. It means the
/// same part of the partition in every tree that is deep enough.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePath {
    depth: u8,
    index: u32,
}

impl NodePath {
    /// The root.
    pub const ROOT: Self = Self { depth: 0, index: 0 };

    /// The greatest depth: 65,536 leaves. At some 4,096 records a leaf that is 268 million records
    /// in one partition, and the tree takes 1.1 MiB.
    pub const DEPTH_MAX: u8 = 4;

    /// The node at that depth with that number; none if there is no such node.
    #[must_use]
    pub fn new(depth: u8, index: u32) -> Option<Self> {
        (depth <= Self::DEPTH_MAX && index < 1 << (4 * depth)).then_some(Self { depth, index })
    }

    /// Steps below the root.
    #[must_use]
    pub fn depth(self) -> u8 {
        self.depth
    }

    /// The number among the 16^depth nodes of its depth, from 0.
    #[must_use]
    pub fn index(self) -> u32 {
        self.index
    }

    /// The sixteen children, in order; none at the greatest depth.
    pub fn children(self) -> impl Iterator<Item = Self> {
        let depth = self.depth + 1;
        let count = if self.depth < Self::DEPTH_MAX { 16 } else { 0 };
        (0..count).map(move |i| Self { depth, index: self.index * 16 + i })
    }

    /// The node above at that depth; itself if it is not deeper.
    #[must_use]
    pub fn ancestor(self, depth: u8) -> Self {
        let up = self.depth.saturating_sub(depth);
        Self { depth: self.depth - up, index: self.index >> (4 * up) }
    }

    /// The node of that depth, at most [`DEPTH_MAX`](Self::DEPTH_MAX), under which a position of a
    /// partition lies: its first bits after those that name the partition.
    #[must_use]
    pub fn of(partition_count: PartitionCount, position: Position, depth: u8) -> Self {
        let depth = depth.min(Self::DEPTH_MAX);
        let within = position.0 << partition_bits(partition_count);
        let index = if depth == 0 { 0 } else { within >> (128 - 4 * u32::from(depth)) };
        Self { depth, index: u32::try_from(index).expect("at most 16 bits") }
    }

    /// The positions of a partition that lie under this node: what to scan for its records.
    #[must_use]
    pub fn positions(
        self,
        partition_count: PartitionCount,
        partition: PartitionId,
    ) -> RangeInclusive<Position> {
        let named = partition_bits(partition_count) + 4 * u32::from(self.depth);
        let start = partition_count.first_position(partition).0;
        if named == 0 {
            return Position(start)..=Position(u128::MAX);
        }
        let first = start | u128::from(self.index) << (128 - named);
        Position(first)..=Position(first | (u128::MAX.checked_shr(named).unwrap_or(0)))
    }
}

impl fmt::Debug for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodePath({}/{})", self.index, 1u32 << (4 * self.depth))
    }
}

fn partition_bits(partition_count: PartitionCount) -> u32 {
    partition_count.get().trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_of_a_depth_cut_a_partition_into_equal_parts_without_gap() {
        for (count, partition) in [(1, 0), (1024, 17), (65_536, 65_535)] {
            let q = PartitionCount::new(count).unwrap();
            let partition = PartitionId(partition);
            for depth in 0..=2 {
                let mut next = q.first_position(partition).0;
                for index in 0..1 << (4 * depth) {
                    let path = NodePath::new(depth, index).unwrap();
                    let positions = path.positions(q, partition);
                    assert_eq!(positions.start().0, next);
                    assert_eq!(NodePath::of(q, *positions.start(), depth), path);
                    assert_eq!(NodePath::of(q, *positions.end(), depth), path);
                    next = positions.end().0.wrapping_add(1);
                }
                assert_eq!(next, q.last_position(partition).0.wrapping_add(1));
            }
        }
    }

    #[test]
    fn children_lie_under_their_parent() {
        let path = NodePath::new(2, 200).unwrap();
        for (number, child) in path.children().enumerate() {
            assert_eq!(child.index(), 3200 + u32::try_from(number).unwrap());
            assert_eq!(child.ancestor(2), path);
            assert_eq!(child.ancestor(0), NodePath::ROOT);
            assert_eq!(child.ancestor(9), child);
        }
        assert_eq!(NodePath::new(4, 0).unwrap().children().count(), 0);
        assert_eq!(NodePath::new(5, 0), None);
        assert_eq!(NodePath::new(1, 16), None);
    }
}
