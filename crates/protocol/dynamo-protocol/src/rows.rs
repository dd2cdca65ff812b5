//! The rows that a node keeps, to the byte.
//!
//! | column | key | value |
//! |---|---|---|
//! | objects | position (16, big endian), bucket length (1), bucket, key | `StoredRecord` |
//! | meta | `b`, bucket | settings of the bucket |
//! | meta | `c`, partition (2) | clock checkpoint |
//! | meta | `j`, number (8) | journal row |
//!
//! Keys of objects begin with their position, so a partition is one range: to scan, to move, to
//! drop, and, because a partition is the top bits of the position, to split without moving.
//! Integers are big endian. `docs/STORAGE_FORMAT.md` says the same for people.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};
use dynamo_types::{
    Bucket, Key, ObjectName, PartitionCount, PartitionId, Position, RequestId, WallTime,
};
use dynamo_versioning::{BodyDigest, Dot, DotClock};

/// First byte of a row with the settings of a bucket.
pub const BUCKET: u8 = b'b';
/// First byte of a clock checkpoint.
pub const CHECKPOINT: u8 = b'c';
/// First byte of a journal row.
pub const JOURNAL: u8 = b'j';

const CHECKPOINT_VERSION: u8 = 1;
const JOURNAL_VERSION: u8 = 1;
const JOURNAL_ENTRY_BYTES: usize = 2 + 8 + 8 + 16 + 16 + 16;

/// The key of an object's row.
#[must_use]
pub fn object_key(name: &ObjectName) -> Bytes {
    object_key_at(Position::of_object(name), &name.bucket, &name.key)
}

/// The key of an object's row whose position is known.
#[must_use]
pub fn object_key_at(position: Position, bucket: &Bucket, key: &Key) -> Bytes {
    let (bucket, key) = (bucket.as_bytes(), key.as_bytes());
    let mut row = BytesMut::with_capacity(17 + bucket.len() + key.len());
    row.put_u128(position.0);
    row.put_u8(u8::try_from(bucket.len()).expect("bucket names are short"));
    row.put_slice(bucket);
    row.put_slice(key);
    row.freeze()
}

/// The position and name of an object's row; `None` if the key is not one.
#[must_use]
pub fn parse_object_key(row: &Bytes) -> Option<(Position, ObjectName)> {
    let position = Position(u128::from_be_bytes(row.get(..16)?.try_into().ok()?));
    let bucket_len = usize::from(*row.get(16)?);
    if row.len() < 17 + bucket_len {
        return None;
    }
    let bucket = Bucket::new(row.slice(17..17 + bucket_len)).ok()?;
    let key = Key::new(row.slice(17 + bucket_len..)).ok()?;
    Some((position, ObjectName { bucket, key }))
}

/// The range of a partition's objects: first key, and the first key behind it if there is one.
#[must_use]
pub fn partition_range(count: PartitionCount, partition: PartitionId) -> (Bytes, Option<Bytes>) {
    let first = count.first_position(partition).0.to_be_bytes();
    let behind = count.last_position(partition).0.checked_add(1);
    let behind = behind.map(|position| Bytes::copy_from_slice(&position.to_be_bytes()));
    (Bytes::copy_from_slice(&first), behind)
}

/// The key of a bucket's settings.
#[must_use]
pub fn bucket_key(bucket: &Bucket) -> Bytes {
    let mut row = BytesMut::with_capacity(1 + bucket.as_bytes().len());
    row.put_u8(BUCKET);
    row.put_slice(bucket.as_bytes());
    row.freeze()
}

/// The key of a partition's clock checkpoint.
#[must_use]
pub fn checkpoint_key(partition: PartitionId) -> Bytes {
    let [high, low] = partition.0.to_be_bytes();
    Bytes::copy_from_slice(&[CHECKPOINT, high, low])
}

/// The partition of a checkpoint's key.
#[must_use]
pub fn parse_checkpoint_key(row: &[u8]) -> Option<PartitionId> {
    match *row {
        [CHECKPOINT, high, low] => Some(PartitionId(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

/// A partition's clock as it is checkpointed.
#[must_use]
pub fn encode_checkpoint(clock: &DotClock) -> Bytes {
    let mut row = Vec::from([CHECKPOINT_VERSION]);
    row.extend(clock.encode());
    row.into()
}

/// A partition's clock; `None` if the row is not one of this version.
#[must_use]
pub fn decode_checkpoint(row: &[u8]) -> Option<DotClock> {
    let (&version, body) = row.split_first()?;
    if version == CHECKPOINT_VERSION { DotClock::decode(body).ok() } else { None }
}

/// The key of a journal row.
#[must_use]
pub fn journal_key(number: u64) -> Bytes {
    let mut row = BytesMut::with_capacity(9);
    row.put_u8(JOURNAL);
    row.put_u64(number);
    row.freeze()
}

/// The number of a journal row.
#[must_use]
pub fn parse_journal_key(row: &[u8]) -> Option<u64> {
    let (&tag, number) = row.split_first()?;
    (tag == JOURNAL).then_some(u64::from_be_bytes(number.try_into().ok()?))
}

/// One version that a write batch stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalEntry {
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

/// What one write batch stored, and when by the wall clock.
#[must_use]
pub fn encode_journal(wall: WallTime, entries: &[JournalEntry]) -> Bytes {
    let mut row = BytesMut::with_capacity(9 + entries.len() * JOURNAL_ENTRY_BYTES);
    row.put_u8(JOURNAL_VERSION);
    row.put_u64(wall.0);
    for entry in entries {
        row.put_u16(entry.partition.0);
        row.put_u64(entry.dot.actor.0);
        row.put_u64(entry.dot.counter);
        row.put_u128(entry.position.0);
        row.put_u128(entry.request.0);
        row.put_u128(entry.digest.0);
    }
    row.freeze()
}

/// What one write batch stored; `None` if the row is not one of this version.
#[must_use]
pub fn decode_journal(row: &[u8]) -> Option<(WallTime, Vec<JournalEntry>)> {
    use bytes::Buf;
    let (&version, mut rest) = row.split_first()?;
    if version != JOURNAL_VERSION || rest.len() < 8 {
        return None;
    }
    let wall = WallTime(rest.get_u64());
    if rest.len() % JOURNAL_ENTRY_BYTES != 0 {
        return None;
    }
    let mut entries = Vec::with_capacity(rest.len() / JOURNAL_ENTRY_BYTES);
    while rest.has_remaining() {
        entries.push(JournalEntry {
            partition: PartitionId(rest.get_u16()),
            dot: Dot { actor: dynamo_types::ActorId(rest.get_u64()), counter: rest.get_u64() },
            position: Position(rest.get_u128()),
            request: RequestId(rest.get_u128()),
            digest: BodyDigest(rest.get_u128()),
        });
    }
    Some((wall, entries))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use dynamo_types::ActorId;

    #[test]
    fn an_object_row_reads_back_and_lies_in_its_partition() {
        let name = ObjectName {
            bucket: Bucket::new("carts").unwrap(),
            key: Key::new(vec![0, 255, b'/']).unwrap(),
        };
        let row = object_key(&name);
        let position = Position::of_object(&name);
        assert_eq!(parse_object_key(&row), Some((position, name)));
        let count = PartitionCount::new(8).unwrap();
        let (from, to) = partition_range(count, count.partition_of(position));
        assert!(from <= row && to.is_none_or(|to| row < to));
    }

    #[test]
    fn the_last_partition_has_no_end_and_the_others_meet() {
        let count = PartitionCount::new(4).unwrap();
        let ranges: Vec<_> = count.partitions().map(|p| partition_range(count, p)).collect();
        for pair in ranges.windows(2) {
            assert_eq!(pair[0].1.as_ref(), Some(&pair[1].0));
        }
        assert_eq!(ranges[3].1, None);
    }

    #[test]
    fn journal_rows_read_back_and_torn_ones_are_refused() {
        let entry = JournalEntry {
            partition: PartitionId(7),
            dot: Dot { actor: ActorId(9), counter: 3 },
            position: Position(11),
            request: RequestId(13),
            digest: BodyDigest(17),
        };
        let row = encode_journal(WallTime(5), &[entry, entry]);
        assert_eq!(decode_journal(&row), Some((WallTime(5), vec![entry, entry])));
        assert_eq!(decode_journal(&row[..row.len() - 1]), None);
        assert_eq!(parse_journal_key(&journal_key(1 << 40)), Some(1 << 40));
    }
}
