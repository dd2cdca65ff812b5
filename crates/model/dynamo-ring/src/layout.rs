//! The partition table: which nodes hold which partition.

use alloc::vec::Vec;

use dynamo_types::{NodeId, PartitionCount, PartitionId, Position, Replication};
use thiserror::Error;

use crate::replica_set::ReplicaSet;

/// A replica set for each of the Q partitions, each of exactly N nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    partition_count: PartitionCount,
    replication: Replication,
    sets: Vec<ReplicaSet>,
    version: u64,
}

/// Why sets do not make a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// A set for each partition is needed.
    #[error("{given} replica sets for {expected} partitions")]
    SetCount {
        /// Q.
        expected: u32,
        /// How many sets there were.
        given: usize,
    },
    /// A replica set has exactly N members (protocol rule 8).
    #[error("partition {partition} has {given} replicas and not {expected}")]
    SetSize {
        /// The first partition that differs.
        partition: PartitionId,
        /// N.
        expected: u8,
        /// How many members its set has.
        given: usize,
    },
}

impl Layout {
    /// Puts a table together from sets in the order of their partitions.
    ///
    /// # Errors
    /// Refuses other than Q sets of exactly N members.
    pub fn new(
        partition_count: PartitionCount,
        replication: Replication,
        sets: Vec<ReplicaSet>,
        version: u64,
    ) -> Result<Self, LayoutError> {
        if u32::try_from(sets.len()) != Ok(partition_count.get()) {
            return Err(LayoutError::SetCount {
                expected: partition_count.get(),
                given: sets.len(),
            });
        }
        let expected = replication.get();
        for (partition, set) in partition_count.partitions().zip(&sets) {
            if set.len() != usize::from(expected) {
                return Err(LayoutError::SetSize { partition, expected, given: set.len() });
            }
        }
        Ok(Self { partition_count, replication, sets, version })
    }

    /// Q.
    #[must_use]
    pub fn partition_count(&self) -> PartitionCount {
        self.partition_count
    }

    /// N.
    #[must_use]
    pub fn replication(&self) -> Replication {
        self.replication
    }

    /// Counts up with each change of a set; 1 is the genesis.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The nodes that hold a partition.
    ///
    /// # Panics
    /// If the ring has no such partition: partition ids from outside are checked where they arrive.
    #[must_use]
    pub fn replica_set(&self, partition: PartitionId) -> &ReplicaSet {
        &self.sets[usize::from(partition.0)]
    }

    /// The partition of a position, and the nodes that hold it.
    #[must_use]
    pub fn replicas_of(&self, position: Position) -> (PartitionId, &ReplicaSet) {
        let partition = self.partition_count.partition_of(position);
        (partition, self.replica_set(partition))
    }

    /// All partitions with their sets, in order.
    pub fn iter(&self) -> impl Iterator<Item = (PartitionId, &ReplicaSet)> {
        self.partition_count.partitions().zip(&self.sets)
    }

    /// The partitions that a node holds, in order.
    pub fn partitions_of(&self, node: NodeId) -> impl Iterator<Item = PartitionId> {
        self.iter().filter(move |(_, set)| set.contains(node)).map(|(partition, _)| partition)
    }

    /// Replaces one partition's set, as its register did, and counts the version up.
    ///
    /// # Errors
    /// Refuses a set that has not exactly N members; nothing changes then.
    ///
    /// # Panics
    /// If the ring has no such partition.
    pub fn replace(&mut self, partition: PartitionId, set: ReplicaSet) -> Result<(), LayoutError> {
        let expected = self.replication.get();
        if set.len() != usize::from(expected) {
            return Err(LayoutError::SetSize { partition, expected, given: set.len() });
        }
        self.sets[usize::from(partition.0)] = set;
        self.version += 1;
        Ok(())
    }

    /// A digest of the whole table, version and order within sets included: equal digests mean
    /// equal layouts, on every platform.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"dynamo layout 1");
        hasher.update(&self.partition_count.get().to_be_bytes());
        hasher.update(&[self.replication.get()]);
        hasher.update(&self.version.to_be_bytes());
        for node in self.sets.iter().flatten() {
            hasher.update(&node.0.to_be_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn set(numbers: [u64; 3]) -> ReplicaSet {
        ReplicaSet::new(&numbers.map(NodeId)).unwrap()
    }

    fn layout() -> Layout {
        let sets = vec![set([1, 2, 3]), set([2, 3, 4]), set([3, 4, 1]), set([4, 1, 2])];
        let (q, n) = (PartitionCount::new(4).unwrap(), Replication::new(3).unwrap());
        Layout::new(q, n, sets, 1).unwrap()
    }

    #[test]
    fn a_position_leads_to_the_replicas_of_its_partition() {
        let layout = layout();
        let (partition, replicas) = layout.replicas_of(Position(u128::MAX));
        assert_eq!((partition, *replicas), (PartitionId(3), set([4, 1, 2])));
        let held: Vec<_> = layout.partitions_of(NodeId(1)).collect();
        assert_eq!(held, [PartitionId(0), PartitionId(2), PartitionId(3)]);
    }

    #[test]
    fn every_partition_has_a_set_of_exactly_n() {
        let (q, n) = (PartitionCount::new(2).unwrap(), Replication::new(3).unwrap());
        assert_eq!(
            Layout::new(q, n, vec![set([1, 2, 3])], 1),
            Err(LayoutError::SetCount { expected: 2, given: 1 })
        );
        let pair = ReplicaSet::new(&[NodeId(1), NodeId(2)]).unwrap();
        let refused = LayoutError::SetSize { partition: PartitionId(1), expected: 3, given: 2 };
        assert_eq!(Layout::new(q, n, vec![set([1, 2, 3]), pair], 1), Err(refused));
        let mut layout = layout();
        let before = layout.clone();
        assert!(layout.replace(PartitionId(0), pair).is_err());
        assert_eq!(layout, before);
    }

    #[test]
    fn the_digest_sees_every_set_and_its_order() {
        let mut changed = layout();
        changed.replace(PartitionId(2), set([4, 3, 1])).unwrap();
        assert_ne!(changed.digest(), layout().digest());
        assert_eq!(layout().digest(), layout().digest());
    }
}
