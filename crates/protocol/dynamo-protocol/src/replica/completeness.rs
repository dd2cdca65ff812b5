//! What a member of a partition knows to be whole, and what all members have for good
//! (protocol rules 4 and 5).
//!
//! A copy of a partition that may lack what it acknowledged (a damaged row, a version that is gone, a
//! wiped or older disk) is *incomplete*: it forgets its clock, does not count for reads, collects
//! nothing, and ends that by one complete exchange with every other member. A complete one reports the
//! clock of its last synced checkpoint; what all reports have in common is the stable cut.

use alloc::vec::Vec;

use dynamo_messages::KnownBy;
use dynamo_repair::anti_entropy::{PartitionState, Partitions};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{CheckpointName, NodeId, ObjectName, PartitionId, Position};
use dynamo_versioning::DotSet;

use super::{Job, Place, Replica, ReplicaEffect};
use crate::counters::Counters;

impl Replica {
    /// Whether this node is a replica of the partition and its word on what is missing counts.
    pub(crate) fn is_complete(&self, partition: PartitionId) -> bool {
        self.own_partitions.contains(&partition)
            && self.partitions.get(partition).is_none_or(super::partition::Partition::is_complete)
    }

    /// Partitions of this node that are incomplete.
    pub(crate) fn incomplete_count(&self) -> usize {
        self.partitions.iter().filter(|(_, partition)| !partition.is_complete()).count()
    }

    /// Whether the partition's clock has all of these versions.
    pub(crate) fn has_incorporated(&self, id: PartitionId, dots: &DotSet) -> bool {
        let partition = self.partitions.get(id);
        partition.is_some_and(|partition| dots.is_subset_of(&partition.clock.dots))
    }

    /// This copy of the partition may lack what it acknowledged.
    pub(crate) fn become_incomplete(&mut self, id: PartitionId, counters: &mut Counters) {
        if !self.own_partitions.contains(&id) || planted(PlantedBug::DamageLeavesComplete) {
            return;
        }
        let begins = self.partitions.get_mut(id).begin_incomplete();
        counters.partitions_incomplete += u64::from(begins);
        self.checkpoint_now.insert(id);
        self.effects.push_back(ReplicaEffect::BecameIncomplete { partition: id });
    }

    /// A row of this node's own cannot be read. The copy is incomplete until the other members have
    /// said what they have of it.
    pub(crate) fn row_rotted(&mut self, name: &ObjectName, counters: &mut Counters) {
        counters.rows_damaged += 1;
        let id = self.partitions.count.partition_of(Position::of_object(name));
        let partition = self.partitions.get_mut(id);
        partition.mint.raise_floor();
        // Known damage is being dealt with; begun anew for it, that would never end.
        if partition.rotten.insert(name.clone()) {
            self.become_incomplete(id, counters);
        }
    }

    pub(super) fn became_complete(&mut self, id: PartitionId) {
        self.checkpoint_now.insert(id);
        // Nobody has what these held, or it would have been stored over them.
        for name in self.partitions.get_mut(id).rotten.clone() {
            self.submit(&name, Place::Own, Job::DropRotten);
        }
    }

    /// Partitions that this node shares with another one.
    pub(crate) fn shared_with(&self, node: NodeId) -> Vec<PartitionId> {
        let shared = self.own_partitions.iter().copied();
        let with = |id: &PartitionId| {
            self.partitions.get(*id).is_some_and(|partition| partition.others.contains(&node))
        };
        shared.filter(with).collect()
    }

    /// The other members of a partition.
    pub(crate) fn others_of(&self, id: PartitionId) -> Vec<NodeId> {
        let partition = self.partitions.get(id).filter(|_| self.own_partitions.contains(&id));
        partition.map(|partition| partition.others.clone()).unwrap_or_default()
    }
}

impl Partitions for Replica {
    fn state(&self, partition: PartitionId) -> Option<PartitionState<'_>> {
        if !self.own_partitions.contains(&partition) {
            return None;
        }
        let partition = self.partitions.get(partition)?;
        // Until its tree is rebuilt, it may sum up rows that cannot be read.
        let comparable = partition.incomplete.as_ref().is_none_or(|incomplete| incomplete.rebuilt);
        // And until its register is synced, writes under an earlier one may be under way.
        let register = partition.tag.filter(|_| partition.tag_is_synced && comparable)?;
        Some(PartitionState {
            register,
            tree: &partition.tree,
            clock: &partition.clock,
            incomplete: !partition.is_complete(),
            one_at_a_time: partition.incomplete.as_ref().is_some_and(|i| !i.has_exchanged),
            losses: partition.losses,
        })
    }

    fn has_left(&self, partition: PartitionId, node: NodeId) -> bool {
        let partition = self.partitions.get(partition);
        partition.is_some_and(|partition| partition.leavers.contains(&node))
    }

    fn known(&self, partition: PartitionId) -> Vec<KnownBy> {
        self.known_members(partition)
    }

    fn has_taken(&self, partition: PartitionId, checkpoints: &[CheckpointName]) -> bool {
        self.has_taken_all(partition, checkpoints)
    }
}
