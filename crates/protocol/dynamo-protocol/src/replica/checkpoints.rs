//! Checkpoints of dot clocks, and other rows of the meta column.

use alloc::vec::Vec;

use dynamo_types::{Durability, WallTime};

use super::partition::Partition;
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

    /// Checkpoints the clocks and trees that have changed, and drops journal rows that nothing needs: those
    /// before the checkpoint and beyond the retry window. The checkpoint is itself a synced store
    /// behind the data, so it is never ahead of the data's sync.
    pub(crate) fn checkpoint(&mut self, wall: WallTime, counters: &mut Counters) {
        if self.stopped {
            return;
        }
        // Batches under way are not in memory's state yet: their journal rows stay needed.
        let under_way = self.in_flight.iter().find_map(|store| store.journal_row);
        let journal = under_way.map_or(self.next_journal, |(number, _)| number);
        let own = &self.own_partitions;
        let changed = |(id, p): &(_, &mut Partition)| p.changed && own.contains(id);
        for (id, partition) in self.partitions.iter_mut().filter(changed) {
            partition.changed = false;
            self.batch.checkpoint.push(id);
            self.batch.writes.push(StoreWrite::Put {
                column: Column::Meta,
                key: rows::checkpoint_key(id),
                value: partition.checkpoint(journal).encode(),
            });
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
}
