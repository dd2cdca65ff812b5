//! What a node knows of one partition: the mint, the dot clock, the hash tree.

use alloc::collections::BTreeMap;

use dynamo_merkle::{SumTree, TreeKey};
use dynamo_types::{ActorId, PartitionCount, PartitionId};
use dynamo_versioning::{DotClock, DotMint};

use crate::rows::{Checkpoint, RecordChange};

/// A partition. Nodes that hold hints of it have one too, for the mint.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) mint: DotMint,
    pub(super) clock: DotClock,
    pub(super) tree: SumTree,
    /// Records that the tree sums up, about: only the shape of trees depends on it.
    pub(super) records: u64,
    /// Something has changed since the last checkpoint.
    pub(super) changed: bool,
}

impl Partition {
    /// Does to the tree what a stored batch did to the records.
    pub(super) fn record_changed(&mut self, change: &RecordChange) {
        let leaf = self.tree.leaf_of(change.position);
        self.tree.add_to_leaf(leaf, change.sum);
        self.records = self.records.saturating_add_signed(change.records.into());
        self.changed = true;
    }

    /// What is kept of it, as of the journal row with that number.
    pub(super) fn checkpoint(&self, journal: u64) -> Checkpoint {
        Checkpoint {
            journal,
            records: self.records,
            clock: self.clock.clone(),
            tree: self.tree.clone(),
            incomplete: false,
        }
    }
}

/// All partitions that this process has had to do with.
#[derive(Debug)]
pub(super) struct Partitions {
    pub(super) actor: ActorId,
    pub(super) count: PartitionCount,
    pub(super) tree_key: TreeKey,
    tree_depth: u8,
    known: BTreeMap<PartitionId, Partition>,
}

impl Partitions {
    pub(super) fn new(
        actor: ActorId,
        count: PartitionCount,
        tree_key: TreeKey,
        tree_depth: u8,
    ) -> Self {
        Self { actor, count, tree_key, tree_depth, known: BTreeMap::new() }
    }

    /// What is known of a partition; nothing yet, if it is the first time.
    pub(super) fn get_mut(&mut self, partition: PartitionId) -> &mut Partition {
        let (actor, count, depth) = (self.actor, self.count, self.tree_depth);
        self.known.entry(partition).or_insert_with(|| Partition {
            mint: DotMint::new(actor),
            clock: DotClock::default(),
            tree: SumTree::new(count, depth),
            records: 0,
            changed: false,
        })
    }

    pub(super) fn get(&self, partition: PartitionId) -> Option<&Partition> {
        self.known.get(&partition)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PartitionId, &mut Partition)> {
        self.known.iter_mut().map(|(id, partition)| (*id, partition))
    }
}
