//! The rows that a node keeps, to the byte.
//!
//! | column | key | value |
//! |---|---|---|
//! | objects | position (16, big endian), bucket length (1), bucket, key | `StoredRecord` |
//! | hints | intended node (8), then as the key of an object | [`encode_hint`] |
//! | meta | `b`, bucket | settings of the bucket |
//! | meta | `c`, partition (2) | [`Checkpoint`] |
//! | meta | `j`, number (8) | [`JournalRow`] |
//! | meta | `n` | [`CheckpointNames`] |
//! | meta | `r`, partition (2), member (8) | [`Report`] |
//! | meta | `m` | all members, as `dynamo-membership` writes them |
//! | meta | `g`, partition (2) | the partition's register and the promises, as `dynamo-register` writes them |
//! | meta | `l`, partition (2) | empty: the node may hold records of this partition, which is not its own |
//! | meta | `w` | the layout that operators want, as `dynamo-membership` writes it |
//!
//! Keys of objects begin with their position, so a partition is one range: to scan, to move, to
//! drop, and, because a partition is the top bits of the position, to split without moving.
//! Integers are big endian. `docs/STORAGE_FORMAT.md` says the same for people.

use bytes::{BufMut, Bytes, BytesMut};
use dynamo_types::{Bucket, Key, NodeId, ObjectName, PartitionCount, PartitionId, Position};
use dynamo_versioning::StoredRecord;

/// First byte of a row with the settings of a bucket.
pub const BUCKET: u8 = b'b';
/// First byte of a clock checkpoint.
pub const CHECKPOINT: u8 = b'c';
/// First byte of another member's clock report.
pub const REPORT: u8 = b'r';
/// The one byte of the row with the names of all checkpoints of this disk.
pub const NAMES: u8 = b'n';
/// First byte of a journal row.
pub const JOURNAL: u8 = b'j';
/// The one byte of the row with all members.
pub const MEMBERS: u8 = b'm';
/// First byte of a row with what the node knows and promised of a partition's register.
pub const REGISTER: u8 = b'g';
/// First byte of a row that says that the node may hold records of a partition which is not its own.
pub const LEFTOVER: u8 = b'l';
/// The one byte of the row with the layout that operators want.
pub const WANTED_LAYOUT: u8 = b'w';

mod checkpoint;
mod checkpoint_names;
mod journal;
mod report;

pub use checkpoint::Checkpoint;
pub use checkpoint_names::CheckpointNames;
pub use journal::{JournalEntry, JournalRow, RecordChange};
pub use report::Report;

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

/// The first key behind a row, to read on from there.
#[must_use]
pub fn behind(row: &[u8]) -> Bytes {
    let mut behind = BytesMut::with_capacity(row.len() + 1);
    behind.put_slice(row);
    behind.put_u8(0);
    behind.freeze()
}

/// The key of a bucket's settings.
#[must_use]
pub fn bucket_key(bucket: &Bucket) -> Bytes {
    let mut row = BytesMut::with_capacity(1 + bucket.as_bytes().len());
    row.put_u8(BUCKET);
    row.put_slice(bucket.as_bytes());
    row.freeze()
}

/// The key of the row with all members.
#[must_use]
pub fn members_key() -> Bytes {
    Bytes::from_static(&[MEMBERS])
}

/// The key of the row with the layout that operators want.
#[must_use]
pub fn wanted_layout_key() -> Bytes {
    Bytes::from_static(&[WANTED_LAYOUT])
}

/// The key of the one row of a kind that a partition has.
fn partition_key(kind: u8, partition: PartitionId) -> Bytes {
    let [high, low] = partition.0.to_be_bytes();
    Bytes::copy_from_slice(&[kind, high, low])
}

fn parse_partition_key(kind: u8, row: &[u8]) -> Option<PartitionId> {
    match *row {
        [first, high, low] if first == kind => Some(PartitionId(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

/// The key of the row of a partition's register.
#[must_use]
pub fn register_key(partition: PartitionId) -> Bytes {
    partition_key(REGISTER, partition)
}

/// The partition of a register's row.
#[must_use]
pub fn parse_register_key(row: &Bytes) -> Option<PartitionId> {
    parse_partition_key(REGISTER, row)
}

/// The key of the mark that a partition's records are left over.
#[must_use]
pub fn leftover_key(partition: PartitionId) -> Bytes {
    partition_key(LEFTOVER, partition)
}

/// The partition of such a mark.
#[must_use]
pub fn parse_leftover_key(row: &[u8]) -> Option<PartitionId> {
    parse_partition_key(LEFTOVER, row)
}

/// A key behind those of all objects.
#[must_use]
pub fn behind_all_objects() -> Bytes {
    // The position of the last partition's last object, and a length that no bucket's name has.
    Bytes::from_static(&[u8::MAX; 17])
}

/// The range of the rows with reports about a partition.
#[must_use]
pub fn report_range(partition: PartitionId) -> (Bytes, Bytes) {
    let [high, low] = partition.0.to_be_bytes();
    let first = Bytes::copy_from_slice(&[REPORT, high, low]);
    let mut behind = BytesMut::with_capacity(12);
    behind.put_slice(&[REPORT, high, low]);
    behind.put_bytes(u8::MAX, 9);
    (first, behind.freeze())
}

/// The key of the row with the names of all checkpoints of this disk.
#[must_use]
pub fn names_key() -> Bytes {
    Bytes::from_static(&[NAMES])
}

/// The key of a partition's clock checkpoint.
#[must_use]
pub fn checkpoint_key(partition: PartitionId) -> Bytes {
    partition_key(CHECKPOINT, partition)
}

/// The partition of a checkpoint's key.
#[must_use]
pub fn parse_checkpoint_key(row: &[u8]) -> Option<PartitionId> {
    parse_partition_key(CHECKPOINT, row)
}

/// The key of what a member last reported of a partition.
#[must_use]
pub fn report_key(partition: PartitionId, member: NodeId) -> Bytes {
    let mut row = BytesMut::with_capacity(11);
    row.put_u8(REPORT);
    row.put_u16(partition.0);
    row.put_u64(member.0);
    row.freeze()
}

/// The partition and the member of a report's key.
#[must_use]
pub fn parse_report_key(row: &[u8]) -> Option<(PartitionId, NodeId)> {
    let (&tag, rest) = row.split_first()?;
    let (partition, member) = rest.split_first_chunk()?;
    let member = NodeId(u64::from_be_bytes(member.try_into().ok()?));
    (tag == REPORT).then_some((PartitionId(u16::from_be_bytes(*partition)), member))
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

/// The key of a hint's row.
#[must_use]
pub fn hint_key(intended: NodeId, position: Position, name: &ObjectName) -> Bytes {
    let object = object_key_at(position, &name.bucket, &name.key);
    let mut row = BytesMut::with_capacity(8 + object.len());
    row.put_u64(intended.0);
    row.put_slice(&object);
    row.freeze()
}

/// For whom and of which object a hint is; `None` if the key is not one.
#[must_use]
pub fn parse_hint_key(row: &Bytes) -> Option<(NodeId, Position, ObjectName)> {
    let intended = NodeId(u64::from_be_bytes(row.get(..8)?.try_into().ok()?));
    let (position, name) = parse_object_key(&row.slice(8..))?;
    Some((intended, position, name))
}

/// The range of the hints for a node: first key, and the first key behind it if there is one.
#[must_use]
pub fn hint_range(intended: NodeId) -> (Bytes, Option<Bytes>) {
    let first = Bytes::copy_from_slice(&intended.0.to_be_bytes());
    let behind = intended.0.checked_add(1);
    (first, behind.map(|node| Bytes::copy_from_slice(&node.to_be_bytes())))
}

/// A hint's row: whether it counted towards w, then the record as a replica would keep it.
#[must_use]
pub fn encode_hint(acknowledging: bool, stored: &StoredRecord) -> Bytes {
    let record = stored.encode();
    let mut row = BytesMut::with_capacity(1 + record.len());
    row.put_u8(u8::from(acknowledging));
    row.put_slice(&record);
    row.freeze()
}

/// What [`encode_hint`] wrote; `None` if the row is not that.
#[must_use]
pub fn decode_hint(row: &Bytes) -> Option<(bool, StoredRecord)> {
    let acknowledging = match row.first()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some((acknowledging, StoredRecord::decode(&row.slice(1..)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

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
    fn a_journal_key_reads_back() {
        assert_eq!(parse_journal_key(&journal_key(1 << 40)), Some(1 << 40));
    }

    #[test]
    fn a_hint_row_reads_back_and_lies_among_those_of_its_node() {
        let name =
            ObjectName { bucket: Bucket::new("carts").unwrap(), key: Key::new(vec![7]).unwrap() };
        let position = Position::of_object(&name);
        for intended in [NodeId(3), NodeId(u64::MAX)] {
            let row = hint_key(intended, position, &name);
            assert_eq!(parse_hint_key(&row), Some((intended, position, name.clone())));
            let (from, to) = hint_range(intended);
            assert!(from <= row && to.is_none_or(|to| row < to));
        }
        let stored = StoredRecord::default();
        let row = encode_hint(true, &stored);
        assert_eq!(decode_hint(&row), Some((true, stored)));
        assert_eq!(decode_hint(&Bytes::from_static(&[2])), None);
    }
}
