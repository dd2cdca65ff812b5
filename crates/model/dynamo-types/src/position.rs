//! Positions on the 128-bit ring and the equal partitions it is cut into.

use core::fmt;

use thiserror::Error;

use crate::name::{Bucket, Key, ObjectName};

/// Where an object lies on the ring: BLAKE3 of its name, 128 bits (Paper §4.1, with another hash).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u128);

impl Position {
    /// The position of an object. The bucket's length goes first, so that no two names hash alike
    /// by moving the border between bucket and key.
    #[must_use]
    pub fn of(bucket: &Bucket, key: &Key) -> Self {
        /// Most names fit two blocks of the hash; to gather them first saves setting up an
        /// incremental hasher, which takes longer than the hash.
        const GATHERED_MAX: usize = 128;
        let (bucket, key) = (bucket.as_bytes(), key.as_bytes());
        let length = u8::try_from(bucket.len()).expect("bucket names are short");
        let total = 1 + bucket.len() + key.len();
        let hash = if total <= GATHERED_MAX {
            let mut gathered = [0; GATHERED_MAX];
            gathered[0] = length;
            let (bucket_at, rest) = gathered[1..].split_at_mut(bucket.len());
            bucket_at.copy_from_slice(bucket);
            rest[..key.len()].copy_from_slice(key);
            blake3::hash(&gathered[..total])
        } else {
            blake3::Hasher::new().update(&[length]).update(bucket).update(key).finalize()
        };
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_bytes()[..16]);
        Self(u128::from_be_bytes(first))
    }

    /// The position of an object by its full name.
    #[must_use]
    pub fn of_object(name: &ObjectName) -> Self {
        Self::of(&name.bucket, &name.key)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({:032x})", self.0)
    }
}

/// One of the Q equal arcs of the ring, by number from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionId({})", self.0)
    }
}

/// Q, the number of partitions: a power of two from 1 to 65,536, fixed at genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionCount {
    bits: u32,
}

/// Why a number cannot be Q.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the number of partitions is a power of two from 1 to 65536, not {0}")]
pub struct PartitionCountError(pub u32);

impl PartitionCount {
    /// Checks Q.
    ///
    /// # Errors
    /// Refuses what is no power of two, or above 65,536.
    pub fn new(count: u32) -> Result<Self, PartitionCountError> {
        if count.is_power_of_two() && count <= 1 << 16 {
            Ok(Self { bits: count.trailing_zeros() })
        } else {
            Err(PartitionCountError(count))
        }
    }

    /// Q as a number.
    #[must_use]
    pub fn get(self) -> u32 {
        1 << self.bits
    }

    /// The partition of a position: its top bits, so that doubling Q would move nothing.
    #[must_use]
    pub fn partition_of(self, position: Position) -> PartitionId {
        let top = if self.bits == 0 { 0 } else { position.0 >> (128 - self.bits) };
        PartitionId(u16::try_from(top).expect("Q is at most 2^16"))
    }

    /// The first position of a partition.
    #[must_use]
    pub fn first_position(self, partition: PartitionId) -> Position {
        Position(if self.bits == 0 { 0 } else { u128::from(partition.0) << (128 - self.bits) })
    }

    /// The last position of a partition.
    #[must_use]
    pub fn last_position(self, partition: PartitionId) -> Position {
        let width = if self.bits == 0 { u128::MAX } else { (1 << (128 - self.bits)) - 1 };
        Position(self.first_position(partition).0 | width)
    }

    /// Whether there is such a partition.
    #[must_use]
    pub fn contains(self, partition: PartitionId) -> bool {
        u32::from(partition.0) < self.get()
    }

    /// All partitions in order.
    pub fn partitions(self) -> impl Iterator<Item = PartitionId> {
        (0..self.get()).map(|p| PartitionId(u16::try_from(p).expect("Q is at most 2^16")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_equal_arcs_that_meet_without_gap() {
        for count in [1, 2, 1024, 65_536] {
            let q = PartitionCount::new(count).unwrap();
            let mut next = 0u128;
            for partition in q.partitions() {
                assert_eq!(q.first_position(partition), Position(next));
                assert_eq!(q.partition_of(q.first_position(partition)), partition);
                assert_eq!(q.partition_of(q.last_position(partition)), partition);
                next = q.last_position(partition).0.wrapping_add(1);
            }
            assert_eq!(next, 0, "the last arc ends where the first begins");
        }
    }

    #[test]
    fn the_border_between_bucket_and_key_matters() {
        let position = |bucket: &'static str, key: &'static str| {
            Position::of(&Bucket::new(bucket).unwrap(), &Key::new(key).unwrap())
        };
        assert_ne!(position("ab", "c"), position("a", "bc"));
    }

    #[test]
    fn q_is_a_power_of_two() {
        assert!(PartitionCount::new(0).is_err());
        assert!(PartitionCount::new(3).is_err());
        assert!(PartitionCount::new(1 << 17).is_err());
    }
}
