//! How this node stands to each partition, as the partition's register says (protocol rule 8).
//!
//! A *member* holds the partition, a *joiner* shall hold it and gets its copy, a node that is *outside*
//! has nothing to do with it but may still have what it held. When the register moves, everything that was
//! said under the old one stops to count: reports of clocks, writes that wait, exchanges under way.
//!
//! A joiner is an incomplete copy (protocol rule 4): it takes writes, answers no reads, offers what may
//! be left of an earlier time as delayed, and drops what is refused. It differs in what ends that: not one
//! exchange with every other member, but one with a majority of those that hold the partition, each
//! from after that member had promised the move.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{NodeId, PartitionId, RegisterTag};
use dynamo_versioning::{DotClock, DotSet};

use super::partition::Partition;
use super::{MetaTag, Place, Replica, ReplicaEffect};
use crate::counters::Counters;
use crate::effect::{Column, StoreWrite};
use crate::rows;

/// What this node is to a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Role {
    /// Nothing.
    #[default]
    Outside,
    /// It holds the partition, or will have to hand it over.
    Member,
    /// It shall hold the partition.
    Joiner {
        /// Who holds it.
        sources: Vec<NodeId>,
        /// From how many of these it needs everything.
        needed: usize,
    },
}

/// How this node stands to a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) tag: RegisterTag,
    /// The other nodes of either set that were not removed.
    pub(crate) others: Vec<NodeId>,
    /// Those of them that hold the partition: joiners do not, before it is decided.
    pub(crate) members: Vec<NodeId>,
    /// Nodes that only hand over what they have.
    pub(crate) leavers: Vec<NodeId>,
    pub(crate) role: Role,
    /// Whether the node is one that puts need: who only has to hand over takes nothing any more.
    pub(crate) holds: bool,
    /// Whether the node may have been outside since it was last told: its copy does not count then.
    pub(crate) begins_anew: bool,
    /// Whether the node remembers what it promised, and has it synced.
    pub(crate) takes_part: bool,
}

impl Replica {
    /// The register of a partition says something else than before.
    pub(crate) fn set_standing(
        &mut self,
        id: PartitionId,
        standing: Standing,
        counters: &mut Counters,
    ) {
        let was_own = self.own_partitions.contains(&id);
        let is_own = standing.role != Role::Outside;
        if !was_own && !is_own {
            return;
        }
        let partition = self.partitions.get_mut(id);
        let Standing { tag, others, members, leavers, role, holds, begins_anew, takes_part } =
            standing;
        partition.takes_part = takes_part;
        partition.holds = holds;
        let is_new = partition.tag != Some(tag);
        // A joiner under another ballot may have been outside in between, and then others have collected
        // without it (history 20).
        let begins_anew = begins_anew || is_new && matches!(role, Role::Joiner { .. });
        if is_new {
            partition.tag = Some(tag);
            partition.tag_is_synced = false;
            for report in partition.reports.values_mut() {
                report.dots = DotSet::new();
            }
        }
        partition.reports.retain(|member, _| others.contains(member));
        partition.met.retain(|member, _| others.contains(member));
        partition.leavers = leavers;
        partition.others = others;
        partition.members = members;
        if partition.role != role {
            // Nothing of what was written in another role may be claimed by an interval of this one.
            partition.mint.raise_floor();
            partition.role = role;
        }
        match (was_own, is_own) {
            (false, true) => self.begin_joining(id, counters),
            (true, false) => self.become_outside(id),
            (true, true) if begins_anew => self.become_incomplete(id, counters),
            _ => {
                let partition = self.partitions.get_mut(id);
                let members = partition.members.clone();
                if partition.none_awaited_but(&members) {
                    self.became_complete(id);
                }
                self.partitions.get_mut(id).renew_cut();
            }
        }
    }

    /// The register under which the node acts, and all that was written under earlier ones, is synced:
    /// an exchange that begins now sees it.
    pub(crate) fn standing_synced(&mut self, id: PartitionId) {
        if self.own_partitions.contains(&id) {
            self.partitions.get_mut(id).tag_is_synced = true;
        }
    }

    /// Whether a request under this register is taken: none where the node goes by another one.
    pub(crate) fn goes_by(&self, id: PartitionId, register: RegisterTag) -> bool {
        self.own_partitions.contains(&id)
            && self.partitions.get(id).is_some_and(|partition| partition.tag == Some(register))
    }

    /// Whether a change of this node's own copy may be made, as of now: none by who goes by another
    /// register, and none at all outside.
    pub(super) fn is_stale(
        &self,
        id: PartitionId,
        place: Place,
        register: Option<RegisterTag>,
    ) -> bool {
        if place != Place::Own {
            return false;
        }
        let Some(partition) = self.partitions.get(id) else { return true };
        let is_other = match register {
            Some(register) => {
                partition.tag != Some(register) && !planted(PlantedBug::StaleWritesTaken)
            }
            // What is delayed belongs to those that hold the partition from now on.
            None => !partition.holds,
        };
        !self.own_partitions.contains(&id) || is_other
    }

    /// Whether a delayed message has to wait: what an incomplete copy takes in while it exchanges may be
    /// something that the others have collected, and neither side would look at it (protocol rule 4).
    pub(super) fn defers_delayed(&self, id: PartitionId, place: Place) -> bool {
        place == Place::Own && !self.partitions.get(id).is_none_or(Partition::is_complete)
    }

    /// Whether the node remembers what it promised of a partition.
    pub(super) fn takes_part(&self, id: PartitionId, place: Place) -> bool {
        place != Place::Own || self.partitions.get(id).is_none_or(|p| p.takes_part)
    }

    /// Records that this node holds of a partition, about.
    pub(crate) fn records_of(&self, id: PartitionId) -> Option<u64> {
        self.own_partitions.contains(&id).then(|| self.partitions.get(id).map_or(0, |p| p.records))
    }

    /// Members with which an incomplete copy has still to exchange; none of a complete one.
    pub(crate) fn awaited(&self, id: PartitionId) -> Option<Vec<NodeId>> {
        let incomplete = self.partitions.get(id)?.incomplete.as_ref()?;
        Some(incomplete.waiting.iter().copied().collect())
    }

    fn begin_joining(&mut self, id: PartitionId, counters: &mut Counters) {
        self.own_partitions.insert(id);
        let had_rows = self.leftovers.remove(&id);
        self.become_incomplete(id, counters);
        let partition = self.partitions.get_mut(id);
        if !had_rows && partition.records == 0 {
            // There is nothing to sum up.
            partition.rebuilt();
        }
    }

    /// The node has lost its part. What it holds is offered to the members, and wiped then.
    fn become_outside(&mut self, id: PartitionId) {
        self.own_partitions.remove(&id);
        self.checkpoint_now.remove(&id);
        self.unrecorded.remove(&id);
        self.leftovers.insert(id);
        let partition = self.partitions.get_mut(id);
        partition.incomplete = None;
        partition.durable = None;
        partition.cut = DotSet::new();
        partition.collecting = None;
        partition.rotten = BTreeSet::new();
        let dead = core::mem::take(&mut partition.dead);
        self.dead_count -= dead.len();
        self.mark_leftover(id);
    }

    /// Notes, in the batch of the register that says so, that there is something left to offer: a
    /// checkpoint need not have been taken yet, and a crash must not make the node forget its rows.
    pub(crate) fn mark_leftover(&mut self, id: PartitionId) {
        if self.leftovers.contains(&id) {
            let (column, key) = (Column::Meta, rows::leftover_key(id));
            let row = StoreWrite::Put { column, key, value: bytes::Bytes::new() };
            self.store_meta(Vec::from([row]), MetaTag::Nobody);
        }
    }

    /// Partitions that this node is outside of and may hold rows of.
    pub(crate) fn leftovers(&self) -> &BTreeSet<PartitionId> {
        &self.leftovers
    }

    /// Whether no store of a partition's records is under way.
    pub(crate) fn is_at_rest(&self, id: PartitionId) -> bool {
        self.partitions.get(id).is_none_or(|partition| partition.in_flight == 0)
    }

    /// Removes all rows of a partition that this node is outside of, once no store of them is under way.
    /// Whether it did.
    pub(crate) fn wipe(&mut self, id: PartitionId) -> bool {
        let at_rest = self.partitions.get(id).is_none_or(|partition| partition.in_flight == 0);
        if self.own_partitions.contains(&id) || !at_rest || self.stopped {
            return false;
        }
        // Until it has ended no scan of these rows says anything.
        let partition = self.partitions.get_mut(id);
        partition.in_flight += 1;
        partition.moves += 1;
        let moves = partition.moves;
        let (from, to) = rows::partition_range(self.partitions.count, id);
        let to = to.unwrap_or_else(rows::behind_all_objects);
        let (column, meta) = (Column::Objects, Column::Meta);
        let (first_report, behind_reports) = rows::report_range(id);
        let writes = Vec::from([
            StoreWrite::DeleteRange { column, from, to },
            StoreWrite::DeleteRange { column: meta, from: first_report, to: behind_reports },
            StoreWrite::Delete { column: meta, key: rows::checkpoint_key(id) },
            StoreWrite::Delete { column: meta, key: rows::leftover_key(id) },
        ]);
        self.store_meta(writes, MetaTag::Wiped(id, moves));
        true
    }

    /// The rows of a partition are gone, or could not be removed.
    pub(crate) fn wiped(&mut self, id: PartitionId, moves: u64, stored: bool) {
        let partition = self.partitions.get_mut(id);
        partition.in_flight -= 1;
        // It may have become a member again meanwhile, and stored something.
        let is_same = partition.moves == moves;
        partition.moves += 1;
        if !stored || !is_same || self.own_partitions.contains(&id) {
            return;
        }
        self.leftovers.remove(&id);
        let (count, depth) = (self.partitions.count, self.partitions.tree_depth());
        self.partitions.get_mut(id).forget_copy(count, depth);
    }

    /// A complete exchange was made with another member: its clock from before it is joined.
    pub(crate) fn exchanged(
        &mut self,
        id: PartitionId,
        with: NodeId,
        clock: &DotClock,
        from_incomplete: bool,
        losses: u64,
    ) {
        let partition = self.partitions.get_mut(id);
        if losses == partition.losses && partition.counts_as_source(with, from_incomplete) {
            let tag = partition.tag;
            self.effects.push_back(ReplicaEffect::HasEverythingOf {
                partition: id,
                member: with,
                tag,
            });
        }
        let partition = self.partitions.get_mut(id);
        if partition.exchanged(with, clock, from_incomplete, losses) {
            self.became_complete(id);
        }
    }
}

impl Partition {
    /// Whether an exchange with that node is one that a move waits for. One whose copy may lack what it
    /// acknowledged cannot vouch for it; a leaver's duty is only to hand over what it has.
    fn counts_as_source(&self, with: NodeId, from_incomplete: bool) -> bool {
        match &self.role {
            Role::Outside => false,
            Role::Member => true,
            Role::Joiner { sources, .. } => sources.contains(&with) && !from_incomplete,
        }
    }
}
