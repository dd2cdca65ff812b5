//! Taking back what the database held when the process started.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::PartitionId;

use super::{Replica, known_request};
use crate::config::Recovered;
use crate::counters::Counters;
use crate::rows::{self, Checkpoint, CheckpointNames, JournalRow, Report};

/// The first journal row that each partition's checkpoint does not cover.
type Covered = BTreeMap<PartitionId, u64>;

impl Replica {
    /// Takes checkpoints and journal rows back. One that cannot be read costs a part of a horizon, and
    /// what was collected could come back: the copies that it may have been about are incomplete. For
    /// the trees it means drift, which the scrub corrects.
    pub(super) fn recover(&mut self, recovered: &Recovered, counters: &mut Counters) {
        let mut covered = Covered::new();
        let mut incomplete = BTreeSet::new();
        for (key, value) in &recovered.meta {
            let value = value.as_ref();
            let read = match key.first() {
                Some(&rows::CHECKPOINT) => {
                    let read = self.recover_checkpoint(key, value, &mut covered, &mut incomplete);
                    if read.is_none() {
                        incomplete.extend(rows::parse_checkpoint_key(key));
                    }
                    read
                }
                Some(&rows::JOURNAL) => {
                    let read = self.recover_journal(key, value, &covered);
                    if read.is_none() {
                        let number = rows::parse_journal_key(key).unwrap_or(u64::MAX);
                        let own = self.own_partitions.iter().copied();
                        incomplete.extend(own.filter(|id| is_news(&covered, *id, number)));
                    }
                    read
                }
                Some(&rows::REPORT) => {
                    let read = self.recover_report(key, value);
                    if read.is_none() {
                        // Something was collected on the strength of it, perhaps, and the member
                        // would not be told by what it was known.
                        incomplete.extend(rows::parse_report_key(key).map(|(id, _)| id));
                    }
                    read
                }
                Some(&rows::NAMES) => self.recover_names(value),
                Some(_) | None => Some(()),
            };
            counters.meta_rows_damaged += u64::from(read.is_none());
        }
        if recovered.incomplete {
            let own: Vec<PartitionId> = self.own_partitions.iter().copied().collect();
            self.unrecorded.extend(own.iter().copied());
            incomplete.extend(own);
        }
        // What a joiner has exchanged is known to its process alone.
        let joins = |id: &PartitionId| {
            let partition = self.partitions.get(*id);
            partition.is_some_and(|p| matches!(p.role, super::Role::Joiner { .. }))
        };
        incomplete.extend(self.own_partitions.iter().copied().filter(joins));
        for id in incomplete {
            self.become_incomplete(id, counters);
        }
        // Of what else there are rows, the node was a member once.
        let marked = recovered.meta.iter().filter_map(|(key, _)| rows::parse_leftover_key(key));
        let known = covered.keys().copied().chain(marked);
        let count = self.partitions.count;
        let outside = known.filter(|id| count.contains(*id) && !self.own_partitions.contains(id));
        self.leftovers = outside.collect();
    }

    fn recover_report(&mut self, key: &Bytes, value: Option<&Bytes>) -> Option<()> {
        let (id, member) = rows::parse_report_key(key)?;
        let mut report = Report::decode(value?)?;
        // It was made under a register that may be another one by now; members report anew.
        report.dots = dynamo_versioning::DotSet::new();
        let partition = self.partitions.get_mut(id);
        // A report of one that is no member any more counts for nothing.
        if partition.others.contains(&member) {
            partition.reports.insert(member, report);
        }
        Some(())
    }

    /// Without the row this disk counts as one that was set back wherever another member knows it.
    fn recover_names(&mut self, value: Option<&Bytes>) -> Option<()> {
        let earlier = CheckpointNames::decode(value?)?;
        self.names = self.names.clone().after(earlier);
        Some(())
    }

    fn recover_checkpoint(
        &mut self,
        key: &Bytes,
        value: Option<&Bytes>,
        covered: &mut Covered,
        incomplete: &mut BTreeSet<PartitionId>,
    ) -> Option<()> {
        let id = rows::parse_checkpoint_key(key)?;
        let checkpoint = Checkpoint::decode(value?, self.partitions.count)?;
        covered.insert(id, checkpoint.journal);
        if checkpoint.incomplete {
            incomplete.insert(id);
        }
        let partition = self.partitions.get_mut(id);
        partition.clock = checkpoint.clock;
        partition.tree = checkpoint.tree;
        partition.records = checkpoint.records;
        partition.adopted = checkpoint.adopted;
        // Only what this process has synced is reported, and collected by.
        partition.changed = true;
        Some(())
    }

    /// Checkpoints come before journal rows in the order of keys.
    fn recover_journal(
        &mut self,
        key: &Bytes,
        value: Option<&Bytes>,
        covered: &Covered,
    ) -> Option<()> {
        let number = rows::parse_journal_key(key)?;
        self.next_journal = self.next_journal.max(number + 1);
        let (wall, journal) = JournalRow::decode(value?)?;
        self.journal.push_back((number, wall));
        for entry in &journal.entries {
            // A checkpoint may have forgotten, on purpose, what rows before it have brought.
            if !entry.hint && is_news(covered, entry.partition, number) {
                let partition = self.partitions.get_mut(entry.partition);
                partition.clock.dots.insert(entry.dot);
                partition.changed = true;
            }
            self.retries.remember(wall, entry.position, known_request(entry));
        }
        for change in &journal.changes {
            let id = self.partitions.count.partition_of(change.position);
            if is_news(covered, id, number) {
                self.partitions.get_mut(id).record_changed(change);
            }
        }
        for (id, dots) in &journal.collected {
            let partition = self.partitions.get_mut(*id);
            partition.collected(dots);
        }
        Some(())
    }
}

/// Whether a journal row says something that a partition's checkpoint does not.
fn is_news(covered: &Covered, id: PartitionId, number: u64) -> bool {
    covered.get(&id).is_none_or(|first| number >= *first)
}
