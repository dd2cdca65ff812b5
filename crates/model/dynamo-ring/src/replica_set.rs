//! The N nodes that hold one partition.

use core::fmt;

use dynamo_types::{NodeId, Replication};
use thiserror::Error;

const CAPACITY: usize = Replication::MAX as usize;

/// The nodes that hold one partition: distinct, 1 to 7, the preferred one first.
///
/// It is small and `Copy`, so that a register, a plan and a message can each hold their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaSet {
    /// Places beyond `len` hold zero, so that the derived comparisons see only the members.
    nodes: [NodeId; CAPACITY],
    len: u8,
}

/// Why nodes cannot form a replica set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplicaSetError {
    /// None, or more than the largest N.
    #[error("a replica set has 1 to {CAPACITY} nodes, not {0}")]
    Size(usize),
    /// A node twice would be one copy that counts as two.
    #[error("node {0} is twice in one replica set")]
    Twice(NodeId),
}

impl ReplicaSet {
    /// Checks the nodes; the first is the preferred one.
    ///
    /// # Errors
    /// Refuses no nodes, more than 7, and a node that occurs twice.
    pub fn new(nodes: &[NodeId]) -> Result<Self, ReplicaSetError> {
        if nodes.is_empty() || nodes.len() > CAPACITY {
            return Err(ReplicaSetError::Size(nodes.len()));
        }
        for (place, node) in nodes.iter().enumerate() {
            if nodes[..place].contains(node) {
                return Err(ReplicaSetError::Twice(*node));
            }
        }
        let mut all = [NodeId(0); CAPACITY];
        all[..nodes.len()].copy_from_slice(nodes);
        Ok(Self { nodes: all, len: u8::try_from(nodes.len()).expect("at most 7") })
    }

    /// The members in order of preference.
    #[must_use]
    pub fn as_slice(&self) -> &[NodeId] {
        &self.nodes[..usize::from(self.len)]
    }

    /// The members in order of preference.
    pub fn iter(&self) -> core::iter::Copied<core::slice::Iter<'_, NodeId>> {
        self.as_slice().iter().copied()
    }

    /// How many members: N.
    #[expect(clippy::len_without_is_empty, reason = "a replica set is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The preferred coordinator.
    #[must_use]
    pub fn first(&self) -> NodeId {
        self.nodes[0]
    }

    /// Whether the node is a member.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.as_slice().contains(&node)
    }

    /// The member's place in the order, from 0.
    #[must_use]
    pub fn position_of(&self, node: NodeId) -> Option<usize> {
        self.as_slice().iter().position(|member| *member == node)
    }

    /// The members of this set that the other does not have: of a move from `other` to `self`,
    /// the joiners.
    pub fn without(self, other: Self) -> impl Iterator<Item = NodeId> {
        (0..self.len()).map(move |place| self.nodes[place]).filter(move |n| !other.contains(*n))
    }

    /// Whether both have the same members, in whatever order.
    #[must_use]
    pub fn same_members(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|node| other.contains(node))
    }
}

impl<'a> IntoIterator for &'a ReplicaSet {
    type Item = NodeId;
    type IntoIter = core::iter::Copied<core::slice::Iter<'a, NodeId>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for ReplicaSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn members_are_distinct_and_one_to_seven() {
        let ids = |numbers: &[u64]| numbers.iter().copied().map(NodeId).collect::<Vec<_>>();
        assert_eq!(ReplicaSet::new(&[]), Err(ReplicaSetError::Size(0)));
        assert_eq!(ReplicaSet::new(&ids(&[1, 2, 3, 4, 5, 6, 7, 8])), Err(ReplicaSetError::Size(8)));
        assert_eq!(ReplicaSet::new(&ids(&[1, 2, 1])), Err(ReplicaSetError::Twice(NodeId(1))));
        let set = ReplicaSet::new(&ids(&[3, 1, 2])).unwrap();
        assert_eq!((set.first(), set.len()), (NodeId(3), 3));
        assert_eq!(set.position_of(NodeId(2)), Some(2));
        assert_eq!(set.position_of(NodeId(0)), None, "the unused places are no members");
    }

    #[test]
    fn joiners_are_what_only_the_new_set_has() {
        let set = |numbers: [u64; 3]| ReplicaSet::new(&numbers.map(NodeId)).unwrap();
        let joiners: Vec<_> = set([1, 4, 3]).without(set([1, 2, 3])).collect();
        assert_eq!(joiners, [NodeId(4)]);
        assert!(set([1, 2, 3]).same_members(&set([3, 1, 2])));
        assert!(!set([1, 2, 3]).same_members(&set([1, 2, 4])));
    }
}
