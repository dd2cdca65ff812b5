//! What members of a partition tell each other of their durable clocks, and by what they know each
//! other's disks (protocol rules 4 and 5, history 11).
//!
//! A report carries the name of the checkpoint that it is of. Whoever keeps the report knows the
//! reporter by that name from then on, and says so whenever the two meet. A disk that has not taken
//! such a checkpoint was set back behind the report: its node is incomplete until it has exchanged with
//! all others.
//!
//! A report that would make this node forget a name it has not said yet does not count: it may
//! come from a disk that was set back. And one that was overtaken by a later one does not either.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use dynamo_messages::{ClockReport, KnownBy};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{CheckpointName, NodeId, PartitionId, RegisterTag};
use dynamo_versioning::DotSet;

use super::partition::Durable;
use super::{MetaTag, Replica, ReplicaEffect};
use crate::counters::Counters;
use crate::effect::{Column, StoreWrite};
use crate::rows::{self, Report};

/// What becomes of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportVerdict {
    /// It is to be stored, and counts then.
    News,
    /// A later one is here.
    Overtaken,
    /// The reporter has to hear first by which checkpoints it is known here.
    NotMet,
}

impl Replica {
    /// The report of this node's durable clock for another member, if it has one to give. It has none
    /// before all other members have said by what they know this node: until then its disk may be one
    /// that was set back, and only the member that is missing would notice.
    pub(crate) fn own_report(&self, id: PartitionId, to: NodeId) -> Option<ClockReport> {
        let partition = self.partitions.get(id).filter(|_| self.is_complete(id))?;
        if !partition.others.iter().all(|other| partition.met.contains_key(other)) {
            return None;
        }
        let durable = partition.durable.as_ref()?;
        let live = planted(PlantedBug::ReportBeforeSync);
        let dots = if live { &partition.clock.dots } else { &durable.dots }.clone();
        let after = partition.met.get(&to).cloned().unwrap_or_default();
        let register = partition.tag.filter(|_| partition.tag_is_synced)?;
        Some(ClockReport { partition: id, register, checkpoint: durable.checkpoint, after, dots })
    }

    /// Partitions of which this member has not said by what it knows this node.
    pub(crate) fn not_met(&self, member: NodeId) -> Vec<PartitionId> {
        let met = |id: &PartitionId| {
            self.partitions.get(*id).is_some_and(|partition| partition.met.contains_key(&member))
        };
        self.shared_with(member).into_iter().filter(|id| !met(id)).collect()
    }

    /// Whether that is still what this node has to report.
    pub(crate) fn is_reported(&self, report: &ClockReport) -> bool {
        let durable = self.partitions.get(report.partition).and_then(|p| p.durable.as_ref());
        durable.is_some_and(|durable| durable.checkpoint == report.checkpoint)
            && self.goes_by(report.partition, report.register)
    }

    /// A checkpoint is synced: its clock is what this member reports.
    pub(super) fn checkpoint_synced(
        &mut self,
        id: PartitionId,
        durable: Durable,
        incomplete: bool,
    ) {
        let partition = self.partitions.get_mut(id);
        if incomplete || !partition.is_complete() {
            return;
        }
        if partition.durable.as_ref().map(|durable| &durable.dots) != Some(&durable.dots) {
            partition.durable = Some(durable);
            partition.renew_cut();
            self.effects.push_back(ReplicaEffect::ClockDurable { partition: id });
        }
    }

    /// A member reports. If that is news, the member is known by it at once.
    pub(crate) fn judge_report(&mut self, from: NodeId, report: &ClockReport) -> ReportVerdict {
        let kept = self.partitions.get_mut(report.partition).reports.entry(from).or_default();
        let has_said = |known: &CheckpointName| {
            report.checkpoint.includes(*known)
                || report.after.iter().any(|after| after.includes(*known))
        };
        let overtaken_counts = planted(PlantedBug::OvertakenReportCounts);
        if overtaken_counts || kept.checkpoints.iter().all(has_said) {
            kept.checkpoints = Vec::from([report.checkpoint]);
            ReportVerdict::News
        } else if let [later] = kept.checkpoints[..]
            && later.includes(report.checkpoint)
        {
            ReportVerdict::Overtaken
        } else {
            ReportVerdict::NotMet
        }
    }

    /// The row that keeps a report which is news.
    pub(crate) fn report_row(
        &self,
        id: PartitionId,
        member: NodeId,
        report: &Report,
    ) -> StoreWrite {
        StoreWrite::Put {
            column: Column::Meta,
            key: rows::report_key(id, member),
            value: report.encode(),
        }
    }

    /// A member's report is synced here: from now on it counts.
    pub(crate) fn take_report(
        &mut self,
        id: PartitionId,
        register: RegisterTag,
        member: NodeId,
        dots: DotSet,
    ) {
        if !self.goes_by(id, register) {
            return;
        }
        let partition = self.partitions.get_mut(id);
        partition.reports.entry(member).or_default().dots = dots;
        partition.renew_cut();
    }

    /// How many of these members have said by what they know this node.
    pub(crate) fn met_of(&self, id: PartitionId, members: &BTreeSet<NodeId>) -> usize {
        let met = self.partitions.get(id).map(|partition| &partition.met);
        met.map_or(0, |met| members.iter().filter(|node| met.contains_key(node)).count())
    }

    /// By which checkpoints a member is known here.
    pub(crate) fn checkpoints_of(&self, id: PartitionId, member: NodeId) -> Vec<CheckpointName> {
        let report = self.partitions.get(id).and_then(|p| p.reports.get(&member));
        report.map(|report| report.checkpoints.clone()).unwrap_or_default()
    }

    /// By which checkpoints all other members are known here.
    pub(super) fn known_members(&self, id: PartitionId) -> Vec<KnownBy> {
        let reports = self.partitions.get(id).into_iter().flat_map(|p| &p.reports);
        let known = reports.map(|(member, report)| KnownBy {
            member: *member,
            checkpoints: report.checkpoints.clone(),
        });
        known.filter(|known| !known.checkpoints.is_empty()).collect()
    }

    /// Whether this disk has taken these checkpoints; an incomplete copy makes them its own.
    pub(super) fn has_taken_all(&self, id: PartitionId, names: &[CheckpointName]) -> bool {
        let Some(partition) = self.partitions.get(id) else { return names.is_empty() };
        let adopted =
            |name: CheckpointName| partition.adopted.iter().any(|taken| taken.includes(name));
        let taken = |name: &CheckpointName| self.names.contains(*name) || adopted(*name);
        !partition.is_complete()
            || names.iter().all(taken)
            || planted(PlantedBug::RollbackUnnoticed)
    }

    /// Another member says by which checkpoints it knows this node. If the disk has not taken them,
    /// it was set back. Whether there is something new to tell the member with each report.
    pub(crate) fn known_by(
        &mut self,
        id: PartitionId,
        from: NodeId,
        names: &[CheckpointName],
        counters: &mut Counters,
    ) -> bool {
        if !self.has_taken_all(id, names) {
            counters.rollbacks_noticed += 1;
            self.become_incomplete(id, counters);
            self.effects.push_back(ReplicaEffect::RolledBack { partition: id });
        }
        let partition = self.partitions.get_mut(id);
        if !partition.is_complete() {
            partition.changed |= add_names(&mut partition.adopted, names);
        }
        let before = partition.met.insert(from, names.to_vec());
        before.as_deref() != Some(names)
    }

    /// Another member begins an exchange. What an incomplete copy learns rests on the reports that
    /// the other has seen; and what an incomplete one reported before does not count any more.
    pub(crate) fn met(
        &mut self,
        id: PartitionId,
        with: NodeId,
        incomplete: bool,
        known: &[KnownBy],
    ) {
        let partition = self.partitions.get_mut(id);
        let mut changed = Vec::new();
        if !partition.is_complete() {
            for KnownBy { member, checkpoints } in known {
                let third = *member != with && partition.others.contains(member);
                if third {
                    let report = partition.reports.entry(*member).or_default();
                    if add_names(&mut report.checkpoints, checkpoints) {
                        changed.push(*member);
                    }
                }
            }
        }
        if incomplete
            && let Some(report) = partition.reports.get_mut(&with)
            && !report.dots.is_empty()
        {
            report.dots = DotSet::new();
            changed.push(with);
            partition.renew_cut();
        }
        let partition = self.partitions.get(id);
        let reports = partition.into_iter().flat_map(|p| &p.reports);
        let changed = reports.filter(|(member, _)| changed.contains(member));
        let writes: Vec<StoreWrite> =
            changed.map(|(member, report)| self.report_row(id, *member, report)).collect();
        if !writes.is_empty() {
            self.store_meta(writes, MetaTag::Nobody);
        }
    }
}

/// Adds names that are not among these already. Whether there were any.
fn add_names(to: &mut Vec<CheckpointName>, names: &[CheckpointName]) -> bool {
    let mut added = false;
    for name in names {
        if to.iter().any(|known| known.includes(*name)) {
            continue;
        }
        to.retain(|known| !name.includes(*known));
        if to.len() < KnownBy::CHECKPOINTS_MAX {
            to.push(*name);
            added = true;
        }
    }
    added
}
