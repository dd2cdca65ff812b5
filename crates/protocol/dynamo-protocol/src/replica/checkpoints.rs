//! Checkpoints of clocks and hash trees, and other rows of the meta column.

use alloc::vec::Vec;

use dynamo_types::{Durability, PartitionId, WallTime};

use super::partition::Durable;
use super::store_batch::CheckpointTaken;
use super::{MetaTag, Replica, ReplicaEffect};
use crate::counters::Counters;
use crate::effect::{Column, StoreWrite};
use crate::rows;

impl Replica {
    /// Stores rows of the meta column, synced, and reports under the tag.
    pub(crate) fn store_meta(&mut self, writes: Vec<StoreWrite>, tag: MetaTag) {
        if self.stopped {
            return self.effects.push_back(ReplicaEffect::MetaStored { tag, stored: false });
        }
        self.batch.writes.extend(writes);
        self.batch.durability = Durability::Synced;
        self.batch.meta.push(tag);
    }

    /// Checkpoints the clocks and trees that have changed, and drops journal rows that nothing needs:
    /// those before the checkpoint and beyond the retry window. The checkpoint is itself a synced
    /// store behind the data, so it is never ahead of the data's sync.
    pub(crate) fn checkpoint(&mut self, wall: WallTime, counters: &mut Counters) {
        if self.stopped {
            return;
        }
        let own = self.own_partitions.iter().copied();
        let changed = |id: &PartitionId| self.partitions.get(*id).is_some_and(|p| p.changed);
        let changed: Vec<PartitionId> = own.filter(changed).collect();
        for id in changed {
            self.checkpoint_partition(id);
        }
        let window = self.retry_window_micros;
        let old = |(_, at): &(u64, WallTime)| at.0.saturating_add(window) < wall.0;
        let mut keep_from = None;
        while self.journal.front().is_some_and(old) {
            keep_from = self.journal.pop_front().map(|(number, _)| number + 1);
        }
        if let Some(number) = keep_from {
            self.batch.writes.push(StoreWrite::DeleteRange {
                column: Column::Meta,
                from: rows::journal_key(0),
                to: rows::journal_key(number),
            });
        }
        if !self.batch.checkpoint.is_empty() || keep_from.is_some() {
            self.batch.durability = Durability::Synced;
            counters.checkpoints += 1;
        }
    }

    /// Checkpoints partitions that became incomplete or complete: a crash must not undo that.
    pub(super) fn checkpoint_what_cannot_wait(&mut self) {
        if self.stopped {
            return;
        }
        for id in core::mem::take(&mut self.checkpoint_now) {
            self.checkpoint_partition(id);
            self.batch.durability = Durability::Synced;
        }
    }

    /// Checkpoints once more what is incomplete and was refused by the disk.
    pub(crate) fn checkpoint_incomplete(&mut self) {
        let own = self.own_partitions.iter().copied();
        let changed = |id: &PartitionId| {
            self.partitions.get(*id).is_some_and(|p| p.changed && !p.is_complete())
        };
        let again: Vec<PartitionId> = own.filter(changed).collect();
        self.checkpoint_now.extend(again);
    }

    fn checkpoint_partition(&mut self, id: PartitionId) {
        // Batches under way are not in memory's state yet: their journal rows stay needed.
        let under_way = self.in_flight.iter().find_map(|store| store.journal_row);
        let journal = under_way.map_or(self.next_journal, |(number, _)| number);
        let name = *self.batch.checkpoint_name.get_or_insert_with(|| {
            let name = self.names.take();
            self.batch.writes.push(StoreWrite::Put {
                column: Column::Meta,
                key: rows::names_key(),
                value: self.names.encode(),
            });
            name
        });
        let partition = self.partitions.get_mut(id);
        partition.changed = false;
        let checkpoint = partition.checkpoint(journal);
        self.batch.writes.push(StoreWrite::Put {
            column: Column::Meta,
            key: rows::checkpoint_key(id),
            value: checkpoint.encode(),
        });
        let incomplete = checkpoint.incomplete;
        let durable = Durable { checkpoint: name, dots: checkpoint.clock.dots };
        self.batch.checkpoint.push(CheckpointTaken { partition: id, durable, incomplete });
    }

    /// A store with checkpoints has ended well.
    pub(super) fn checkpoints_stored(&mut self, taken: Vec<CheckpointTaken>, synced: bool) {
        let noted = !self.unrecorded.is_empty();
        for CheckpointTaken { partition, durable, incomplete } in taken {
            if synced {
                self.unrecorded.remove(&partition);
                self.checkpoint_synced(partition, durable, incomplete);
            }
        }
        if noted && self.unrecorded.is_empty() {
            self.effects.push_back(ReplicaEffect::IncompletenessRecorded);
        }
    }
}
