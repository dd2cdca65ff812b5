//! Reading everything over and over: what is damaged, deleted everywhere, or summed up wrongly.
//!
//! The scrub reads the rows of this node's partitions page by page. It finds rows that rotted, and
//! makes the copy incomplete, so that the other members fill it again. It compares the sums of the
//! hash tree with what the rows add up to, and corrects those that drifted. It finds records that may
//! be collected, and versions that the clock does not have.
//!
//! A page is compared only if no store touched its partition between the question and the answer;
//! else it is read again. Incomplete copies come first, and are compared with the other members only
//! when all of their tree has been summed up anew: a row that cannot be read must be missing in it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_merkle::{NodePath, Sum};
use dynamo_types::{Now, PartitionId};
use dynamo_versioning::StoredRecord;

use super::Replica;
use super::turns::item_digest;
use crate::counters::Counters;
use crate::event::ScannedRow;
use crate::rows;

/// Rows of a page: a few milliseconds of disk work.
pub(crate) const PAGE_ROWS: u32 = 1024;
/// Bytes of a page.
pub(crate) const PAGE_BYTES: u32 = 4 << 20;

/// A leaf in which something moves each time is left for the next round.
const TRIES_MAX: u32 = 50;

/// Where the scrub stands in a partition.
#[derive(Debug)]
struct Cursor {
    partition: PartitionId,
    /// The leaf that the next row may belong to.
    leaf: u32,
    /// What the rows of that leaf that were read already add up to, and how many they are.
    sum: Sum,
    records: u64,
    /// The row behind which to go on; none at the leaf's beginning.
    behind: Option<Bytes>,
    /// What the partition's `moves` were when the leaf was begun.
    moves: u64,
    /// Records of all leaves done so far.
    counted: u64,
    /// How often the leaf was begun.
    tries: u32,
    /// Whether every leaf so far could be compared.
    sound: bool,
    /// Whether the pass is for an incomplete copy, and was begun when it was so.
    rebuilds: bool,
}

/// A page that is being read.
#[derive(Debug)]
pub(crate) struct ScrubPage {
    /// The first row that may be in it.
    pub(crate) from: Bytes,
    /// The first row that is not; none to the end of the column.
    pub(crate) to: Option<Bytes>,
}

/// The scrub of one node.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    cursor: Option<Cursor>,
    /// The partition behind which the round goes on.
    last: Option<PartitionId>,
    /// Partitions whose trees may have drifted; bounded by Q.
    soon: BTreeSet<PartitionId>,
    /// A page is being read.
    reading: bool,
}

impl Replica {
    /// The next page to read, if there is one and none is being read.
    pub(crate) fn scrub_page(&mut self) -> Option<ScrubPage> {
        if self.scrub.reading || self.stopped {
            return None;
        }
        let urgent = self.next_to_rebuild();
        let interrupt =
            urgent.is_some() && self.scrub.cursor.as_ref().is_none_or(|cursor| !cursor.rebuilds);
        if interrupt || self.scrub.cursor.is_none() {
            let soon = self.scrub.soon.pop_first();
            let id = urgent.or(soon).or_else(|| self.next_in_round())?;
            let partition = self.partitions.get_mut(id);
            let cursor = Cursor {
                partition: id,
                leaf: 0,
                sum: Sum::EMPTY,
                records: 0,
                behind: None,
                moves: partition.moves,
                counted: 0,
                tries: 0,
                sound: true,
                rebuilds: urgent.is_some(),
            };
            self.scrub.cursor = Some(cursor);
            if urgent.is_none() && soon.is_none() {
                self.scrub.last = Some(id);
            }
        }
        let cursor = self.scrub.cursor.as_mut()?;
        let partition = self.partitions.get_mut(cursor.partition);
        let at_rest = partition.in_flight == 0;
        let leaf = NodePath::new(partition.tree.depth(), cursor.leaf).expect("a leaf of this tree");
        if cursor.behind.is_none() {
            cursor.moves = partition.moves;
        }
        if !at_rest {
            return None;
        }
        self.scrub.reading = true;
        let positions = leaf.positions(self.partitions.count, cursor.partition);
        let first = Bytes::copy_from_slice(&positions.start().0.to_be_bytes());
        let from = cursor.behind.as_ref().map_or(first, |row| {
            let mut behind = Vec::with_capacity(row.len() + 1);
            behind.extend_from_slice(row);
            behind.push(0);
            behind.into()
        });
        let (_, to) = rows::partition_range(self.partitions.count, cursor.partition);
        Some(ScrubPage { from, to })
    }

    /// Whether some incomplete copy waits for its tree.
    pub(crate) fn scrub_is_urgent(&self) -> bool {
        self.next_to_rebuild().is_some() || !self.scrub.soon.is_empty()
    }

    fn next_to_rebuild(&self) -> Option<PartitionId> {
        let waits = |partition: &super::partition::Partition| {
            partition.incomplete.as_ref().is_some_and(|incomplete| !incomplete.rebuilt)
        };
        self.partitions.iter().find(|(_, partition)| waits(partition)).map(|(id, _)| id)
    }

    fn next_in_round(&self) -> Option<PartitionId> {
        let first = self.own_partitions.first().copied();
        let behind = self.scrub.last.and_then(|last| {
            use core::ops::Bound::{Excluded, Unbounded};
            self.own_partitions.range((Excluded(last), Unbounded)).next().copied()
        });
        behind.or(first)
    }

    /// A page was read. Gives the partition whose tree is rebuilt now, if that is so.
    pub(crate) fn scrubbed(
        &mut self,
        now: Now,
        page: &[ScannedRow],
        end: bool,
        failed: bool,
        counters: &mut Counters,
    ) -> Option<PartitionId> {
        self.scrub.reading = false;
        let mut cursor = self.scrub.cursor.take()?;
        let id = cursor.partition;
        let partition = self.partitions.get_mut(id);
        let rebuilds_still = partition.incomplete.as_ref().is_some_and(|i| !i.rebuilt);
        if failed {
            counters.loads_failed += 1;
        }
        let moved = partition.moves != cursor.moves || partition.in_flight > 0;
        if failed || moved || (cursor.rebuilds && !rebuilds_still) {
            // Again from the beginning of the leaf.
            (cursor.sum, cursor.records, cursor.behind) = (Sum::EMPTY, 0, None);
            cursor.tries += 1;
            if cursor.rebuilds == rebuilds_still && (cursor.rebuilds || cursor.tries < TRIES_MAX) {
                self.scrub.cursor = Some(cursor);
            }
            return None;
        }
        for row in page {
            self.scrub_row(now, &mut cursor, row, counters);
        }
        counters.rows_scrubbed += page.len() as u64;
        cursor.behind = page.last().map(|row| row.key.clone()).or(cursor.behind.take());
        if !end {
            self.scrub.cursor = Some(cursor);
            return None;
        }
        let leaves = 1u32 << (4 * u32::from(self.partitions.get_mut(id).tree.depth()));
        self.leaves_done(&mut cursor, leaves, counters);
        let partition = self.partitions.get_mut(id);
        if cursor.sound {
            partition.records = cursor.counted;
        }
        if !cursor.rebuilds {
            return None;
        }
        if partition.rebuilt() {
            self.became_complete(id);
        }
        Some(id)
    }

    fn scrub_row(
        &mut self,
        now: Now,
        cursor: &mut Cursor,
        row: &ScannedRow,
        counters: &mut Counters,
    ) {
        let Some((position, name)) = rows::parse_object_key(&row.key) else {
            counters.rows_damaged += 1;
            return;
        };
        let depth = self.partitions.get_mut(cursor.partition).tree.depth();
        let leaf = NodePath::of(self.partitions.count, position, depth).index();
        if leaf > cursor.leaf {
            self.leaves_done(cursor, leaf, counters);
        }
        let stored = row.value.as_ref().and_then(|value| StoredRecord::decode(value).ok());
        let Some(stored) = stored else {
            self.row_rotted(&name, counters);
            return;
        };
        if let Some(value) = &row.value {
            self.rows_stored = self.rows_stored.saturating_add(1);
            self.row_bytes = self.row_bytes.saturating_add((row.key.len() + value.len()) as u64);
        }
        let digest = item_digest(&self.partitions.tree_key, &row.key, &stored.record);
        cursor.sum = digest.map_or(cursor.sum, |digest| cursor.sum.with(digest));
        cursor.records += 1;
        // What is here was incorporated, whatever became of the clock.
        let partition = self.partitions.get_mut(cursor.partition);
        for dot in stored
            .record
            .dots()
            .filter(|dot| !partition.clock.dots.contains(*dot))
            .collect::<Vec<_>>()
        {
            partition.clock.dots.insert(dot);
            partition.changed = true;
        }
        self.met_in_passing(&name, &stored.record, now.wall);
    }

    /// The next pages are those of this partition, or of one that is more urgent.
    pub(crate) fn scrub_soon(&mut self, partition: PartitionId) {
        self.scrub.soon.insert(partition);
    }

    /// All leaves before this one are read: corrects what the tree has of them.
    fn leaves_done(&mut self, cursor: &mut Cursor, until: u32, counters: &mut Counters) {
        let partition = self.partitions.get_mut(cursor.partition);
        let depth = partition.tree.depth();
        for index in cursor.leaf..until {
            let leaf = NodePath::new(depth, index).expect("a leaf of this tree");
            let drift = partition.tree.correct_leaf(leaf, cursor.sum);
            if drift != Sum::EMPTY {
                counters.leaves_corrected += u64::from(!cursor.rebuilds);
                partition.changed = true;
            }
            cursor.counted += cursor.records;
            (cursor.sum, cursor.records) = (Sum::EMPTY, 0);
        }
        cursor.leaf = until;
        cursor.tries = 0;
    }
}
