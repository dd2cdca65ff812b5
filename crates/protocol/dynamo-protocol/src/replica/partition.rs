//! What a node knows of one partition: mint, dot clock, hash tree, stable cut.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use dynamo_merkle::{SumTree, TreeKey};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{
    ActorId, CheckpointName, NodeId, ObjectName, PartitionCount, PartitionId, RegisterTag,
};
use dynamo_versioning::{DotClock, DotMint, DotSet};

use super::places::Role;
use crate::rows::{Checkpoint, RecordChange, Report};

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
    /// The register that this node goes by, if it has to do with the partition.
    pub(super) tag: Option<RegisterTag>,
    /// Whether that is synced, and with it all that was written under earlier ones.
    pub(super) tag_is_synced: bool,
    /// What this node is to the partition.
    pub(super) role: Role,
    /// Whether it remembers what it promised.
    pub(super) takes_part: bool,
    /// Whether puts need this node.
    pub(super) holds: bool,
    /// The other members, and joiners, if this node is one.
    pub(super) others: Vec<NodeId>,
    /// Nodes that only hand over what they have.
    pub(super) leavers: Vec<NodeId>,
    /// The other members.
    pub(super) members: Vec<NodeId>,
    /// The last synced checkpoint of this process: what is reported (protocol rule 5).
    pub(super) durable: Option<Durable>,
    /// The last reports of the other members: their dots as far as they are synced here.
    pub(super) reports: BTreeMap<NodeId, Report>,
    /// Checkpoints that others knew this node by when this copy was last incomplete.
    pub(super) adopted: Vec<CheckpointName>,
    /// By which checkpoints each other member said that it knows this node, all of them taken.
    pub(super) met: BTreeMap<NodeId, Vec<CheckpointName>>,
    /// The stable cut: what all members have incorporated for good.
    pub(super) cut: DotSet,
    /// Records all of whose versions are deleted, as far as this process has met them. Bounded over
    /// all partitions by `DEAD_MAX`; what is beyond the scrub finds later.
    pub(super) dead: BTreeSet<ObjectName>,
    /// The name behind which dead records are still to be tried with the present cut.
    pub(super) collecting: Option<Option<ObjectName>>,
    /// Set while this copy of the partition may lack what it acknowledged.
    pub(super) incomplete: Option<Incomplete>,
    /// How often this copy has begun to be incomplete in this process.
    pub(super) losses: u64,
    /// Rows that cannot be read, and that nothing was stored over yet.
    pub(super) rotten: BTreeSet<ObjectName>,
    /// Counts stores of records asked for and ended: the scrub compares only what stood still.
    pub(super) moves: u64,
    /// Stores of records that were asked for and have not ended.
    pub(super) in_flight: u32,
}

/// A synced checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Durable {
    pub(super) checkpoint: CheckpointName,
    pub(super) dots: DotSet,
}

/// What an incomplete copy has learned so far (protocol rule 4).
#[derive(Debug)]
pub(super) struct Incomplete {
    /// Members with which a complete exchange is still to be made.
    pub(super) waiting: BTreeSet<NodeId>,
    /// How many of these may stay out: none, unless this node joins.
    pub(super) spared: usize,
    /// Whether there was an exchange with anybody.
    pub(super) has_exchanged: bool,
    /// The horizon of before, and the clocks of those with which it was made. Messages are judged by
    /// that: no record of this copy is known to be whole.
    pub(super) learned: DotClock,
    /// Whether the tree is that of the records which can be read: only then can it be compared.
    pub(super) rebuilt: bool,
}

impl Partition {
    /// Does to the tree what a stored batch did to the records.
    pub(super) fn record_changed(&mut self, change: &RecordChange) {
        let leaf = self.tree.leaf_of(change.position);
        self.tree.add_to_leaf(leaf, change.sum);
        self.records = self.records.saturating_add_signed(change.records.into());
        self.changed = true;
    }

    /// These numbers were in the context of a record that was collected or cut down.
    pub(super) fn collected(&mut self, dots: &DotSet) {
        self.clock.collected(dots);
        if let Some(incomplete) = &mut self.incomplete {
            incomplete.learned.collected(dots);
        }
        self.changed = true;
    }

    /// What is kept of it, as of the journal row with that number.
    pub(super) fn checkpoint(&self, journal: u64) -> Checkpoint {
        Checkpoint {
            journal,
            records: self.records,
            clock: self.clock.clone(),
            tree: self.tree.clone(),
            incomplete: self.incomplete.is_some(),
            adopted: self.adopted.clone(),
        }
    }

    /// Whether this node's word on what is missing counts.
    pub(super) fn is_complete(&self) -> bool {
        self.incomplete.is_none()
    }

    /// The clock by which messages are judged.
    pub(super) fn judges_by(&self) -> &DotClock {
        self.incomplete.as_ref().map_or(&self.clock, |incomplete| &incomplete.learned)
    }

    /// Works the stable cut out anew; dead records are tried again if it has moved.
    pub(super) fn renew_cut(&mut self) {
        let cut = self.stable_cut();
        if cut != self.cut {
            self.cut = cut;
            self.collecting = Some(None);
        }
    }

    fn stable_cut(&self) -> DotSet {
        let Some(durable) = self.durable.as_ref().filter(|_| self.is_complete()) else {
            return DotSet::new();
        };
        let mut cut = durable.dots.clone();
        if planted(PlantedBug::CollectWithoutReports) {
            return cut;
        }
        for other in &self.others {
            match self.reports.get(other) {
                Some(report) => cut = cut.intersection(&report.dots),
                None => return DotSet::new(),
            }
        }
        cut
    }

    /// Begins to be incomplete: the clock is forgotten and none is published. Whether it was not so
    /// already.
    pub(super) fn begin_incomplete(&mut self) -> bool {
        let begins = self.incomplete.is_none();
        self.losses += 1;
        // What was collected stays so: contexts that were cut short rest on it.
        self.clock.dots = DotSet::new();
        self.durable = None;
        // The others say anew by what they know this node.
        self.adopted.clear();
        self.met.clear();
        self.mint.raise_floor();
        let (waiting, spared) = match &self.role {
            Role::Joiner { sources, needed } => {
                (sources.iter().copied().collect(), sources.len().saturating_sub(*needed))
            }
            // Joiners have nothing that its members have not.
            Role::Outside | Role::Member => (self.members.iter().copied().collect(), 0),
        };
        self.incomplete = Some(Incomplete {
            waiting,
            spared,
            has_exchanged: false,
            learned: DotClock { dots: DotSet::new(), horizon: self.clock.horizon.clone() },
            rebuilt: false,
        });
        self.changed = true;
        self.renew_cut();
        begins
    }

    /// A complete exchange was made with a member whose clock was this before it sent its records.
    /// Whether that made this copy complete. If the copy has lost something since the exchange began,
    /// the other did not see that it was missing, and the exchange counts for nothing.
    pub(super) fn exchanged(
        &mut self,
        with: NodeId,
        clock: &DotClock,
        from_incomplete: bool,
        losses: u64,
    ) -> bool {
        if losses != self.losses {
            return false;
        }
        self.changed = true;
        let Some(incomplete) = &mut self.incomplete else {
            self.clock.join(clock);
            return false;
        };
        incomplete.learned.join(clock);
        incomplete.has_exchanged = true;
        // A joiner relies on what a majority has, all of it.
        if !from_incomplete || incomplete.spared == 0 {
            incomplete.waiting.remove(&with);
        }
        self.end_incomplete()
    }

    /// The tree is that of the records which can be read. Whether the copy is complete with that: a
    /// lone replica has nobody to ask.
    pub(super) fn rebuilt(&mut self) -> bool {
        let Some(incomplete) = &mut self.incomplete else { return false };
        incomplete.rebuilt = true;
        self.end_incomplete()
    }

    /// Nobody is awaited any more but these. Whether the copy is complete with that.
    pub(super) fn none_awaited_but(&mut self, others: &[NodeId]) -> bool {
        let Some(incomplete) = &mut self.incomplete else { return false };
        match self.role {
            // Its majority is one of the set that holds the partition, whoever of it was removed.
            Role::Joiner { .. } => {}
            // A move that was decided made it a member, though it has lost something since it joined.
            Role::Outside | Role::Member if incomplete.spared > 0 => {
                incomplete.spared = 0;
                incomplete.waiting = others.iter().copied().collect();
            }
            // Who has left handed over what it had, or was given up.
            Role::Outside | Role::Member => {
                incomplete.waiting.retain(|node| others.contains(node));
                if incomplete.waiting.is_empty() && !incomplete.has_exchanged {
                    incomplete.waiting = others.iter().copied().collect();
                }
            }
        }
        incomplete.rebuilt && self.end_incomplete()
    }

    /// The rows are gone: nothing is known any more but the counter, which outlives them (protocol
    /// rule 1).
    pub(super) fn forget_copy(&mut self, count: PartitionCount, depth: u8) {
        self.clock = DotClock::default();
        self.tree = SumTree::new(count, depth);
        self.records = 0;
        self.changed = false;
        self.adopted = Vec::new();
        self.met = BTreeMap::new();
        self.reports = BTreeMap::new();
        self.moves += 1;
    }

    /// Ends being incomplete once every other member was asked.
    fn end_incomplete(&mut self) -> bool {
        let ended =
            self.incomplete.take_if(|incomplete| incomplete.waiting.len() <= incomplete.spared);
        // The clock holds what was stored since the copy became incomplete.
        ended.is_some_and(|ended| {
            self.clock.join(&ended.learned);
            true
        })
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
            tag: None,
            tag_is_synced: false,
            role: Role::Outside,
            takes_part: true,
            holds: true,
            others: Vec::new(),
            leavers: Vec::new(),
            members: Vec::new(),
            durable: None,
            reports: BTreeMap::new(),
            adopted: Vec::new(),
            met: BTreeMap::new(),
            cut: DotSet::new(),
            dead: BTreeSet::new(),
            collecting: None,
            incomplete: None,
            losses: 0,
            rotten: BTreeSet::new(),
            moves: 0,
            in_flight: 0,
        })
    }

    pub(super) fn tree_depth(&self) -> u8 {
        self.tree_depth
    }

    pub(super) fn get(&self, partition: PartitionId) -> Option<&Partition> {
        self.known.get(&partition)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PartitionId, &Partition)> {
        self.known.iter().map(|(id, partition)| (*id, partition))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PartitionId, &mut Partition)> {
        self.known.iter_mut().map(|(id, partition)| (*id, partition))
    }
}
