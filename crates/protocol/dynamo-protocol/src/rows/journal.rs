//! Journal rows: what one write batch did, for what is kept in memory (protocol rule 4).
//!
//! Between two checkpoints of a partition they are the memory of its clock, horizon and hash tree; for
//! the retry window they are the memory of requests.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dynamo_merkle::Sum;
use dynamo_types::{ActorId, PartitionId, Position, RequestId, WallTime};
use dynamo_versioning::{BodyDigest, Dot, DotSet};

const VERSION: u8 = 2;
const ENTRY_BYTES: usize = 1 + 2 + 8 + 8 + 16 + 16 + 16;
const CHANGE_BYTES: usize = 16 + 16 + 1;

/// One version that a write batch stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalEntry {
    /// Whether it was stored as a hint: no clock takes it in then.
    pub hint: bool,
    /// Its partition, whose clock has incorporated the dot.
    pub partition: PartitionId,
    /// The version.
    pub dot: Dot,
    /// Its object's position.
    pub position: Position,
    /// The put that made it.
    pub request: RequestId,
    /// What the put wrote.
    pub digest: BodyDigest,
}

/// What a change of one record does to its partition's hash tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordChange {
    /// The record's position.
    pub position: Position,
    /// What is added to its leaf.
    pub sum: Sum,
    /// 1 if the record came, -1 if it went, else 0.
    pub records: i8,
}

/// What one write batch did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalRow {
    /// The versions it stored.
    pub entries: Vec<JournalEntry>,
    /// What it changed of the hash trees.
    pub changes: Vec<RecordChange>,
    /// What it moved beyond the horizon, by partition: contexts of records that were collected or
    /// cut down.
    pub collected: Vec<(PartitionId, DotSet)>,
}

impl JournalRow {
    /// Whether there is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.changes.is_empty() && self.collected.is_empty()
    }

    /// The row, written at that time.
    #[must_use]
    pub fn encode(&self, wall: WallTime) -> Bytes {
        let fixed = 21 + self.entries.len() * ENTRY_BYTES + self.changes.len() * CHANGE_BYTES;
        let mut row = BytesMut::with_capacity(fixed);
        row.put_u8(VERSION);
        row.put_u64(wall.0);
        put_count(&mut row, self.entries.len());
        for entry in &self.entries {
            row.put_u8(u8::from(entry.hint));
            row.put_u16(entry.partition.0);
            row.put_u64(entry.dot.actor.0);
            row.put_u64(entry.dot.counter);
            row.put_u128(entry.position.0);
            row.put_u128(entry.request.0);
            row.put_u128(entry.digest.0);
        }
        put_count(&mut row, self.changes.len());
        for change in &self.changes {
            row.put_u128(change.position.0);
            row.put_u128(change.sum.0);
            row.put_i8(change.records);
        }
        put_count(&mut row, self.collected.len());
        for (partition, dots) in &self.collected {
            row.put_u16(partition.0);
            let mut encoded = Vec::with_capacity(dots.encoded_len());
            dots.encode(&mut encoded);
            row.put_slice(&encoded);
        }
        row.freeze()
    }

    /// What [`JournalRow::encode`] wrote, and when; `None` if the row is not one of this version.
    #[must_use]
    pub fn decode(row: &[u8]) -> Option<(WallTime, Self)> {
        let mut rest = row;
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let wall = WallTime(rest.try_get_u64().ok()?);
        let mut journal = Self::default();
        for _ in 0..count(&mut rest, ENTRY_BYTES)? {
            journal.entries.push(JournalEntry {
                hint: rest.get_u8() != 0,
                partition: PartitionId(rest.get_u16()),
                dot: Dot { actor: ActorId(rest.get_u64()), counter: rest.get_u64() },
                position: Position(rest.get_u128()),
                request: RequestId(rest.get_u128()),
                digest: BodyDigest(rest.get_u128()),
            });
        }
        for _ in 0..count(&mut rest, CHANGE_BYTES)? {
            journal.changes.push(RecordChange {
                position: Position(rest.get_u128()),
                sum: Sum(rest.get_u128()),
                records: rest.get_i8(),
            });
        }
        for _ in 0..count(&mut rest, 2)? {
            let partition = PartitionId(rest.try_get_u16().ok()?);
            let (dots, read) = DotSet::decode(rest).ok()?;
            rest.advance(read);
            journal.collected.push((partition, dots));
        }
        (!rest.has_remaining()).then_some((wall, journal))
    }
}

fn put_count(row: &mut BytesMut, count: usize) {
    row.put_u32(u32::try_from(count).expect("a batch holds far fewer"));
}

/// How many items follow, if so many can.
fn count(rest: &mut &[u8], item_bytes_min: usize) -> Option<usize> {
    let count = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    (rest.len() / item_bytes_min >= count).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn journal_rows_read_back_and_torn_ones_are_refused() {
        let entry = JournalEntry {
            hint: false,
            partition: PartitionId(7),
            dot: Dot { actor: ActorId(9), counter: 3 },
            position: Position(11),
            request: RequestId(13),
            digest: BodyDigest(17),
        };
        let journal = JournalRow {
            entries: vec![entry, JournalEntry { hint: true, ..entry }],
            changes: vec![RecordChange { position: Position(11), sum: Sum(5), records: -1 }],
            collected: vec![(PartitionId(7), [entry.dot].into_iter().collect())],
        };
        let row = journal.encode(WallTime(5));
        assert_eq!(JournalRow::decode(&row), Some((WallTime(5), journal)));
        for length in 0..row.len() {
            assert_eq!(JournalRow::decode(&row[..length]), None, "{length} bytes");
        }
    }
}
