//! Checkpoints: what is kept in memory of a partition, as of one journal row.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dynamo_merkle::{Sum, SumTree};
use dynamo_types::{CheckpointName, PartitionCount};
use dynamo_versioning::DotClock;

use super::report::{get_checkpoints, put_checkpoints};

const VERSION: u8 = 3;

/// A partition's clock and hash tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The first journal row that it does not cover.
    pub journal: u64,
    /// How many records the partition holds, about.
    pub records: u64,
    /// The clock.
    pub clock: DotClock,
    /// The hash tree.
    pub tree: SumTree,
    /// Whether the partition was incomplete: it is so until it was exchanged with all others.
    pub incomplete: bool,
    /// Checkpoints of another state of this disk that other members knew the node by when this copy
    /// was last incomplete. They are its own since. Bounded as those of a report are.
    pub adopted: Vec<CheckpointName>,
}

impl Checkpoint {
    /// The row. Leaves of no records take a bit each.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let clock = self.clock.encode();
        let leaves: Vec<Sum> = self.tree.leaves().collect();
        let mut row = BytesMut::with_capacity(26 + leaves.len() * 17 + clock.len());
        row.put_u8(VERSION);
        row.put_u8(u8::from(self.incomplete));
        row.put_u64(self.journal);
        row.put_u64(self.records);
        row.put_u8(self.tree.depth());
        for eight in leaves.chunks(8) {
            let bit = |bits: u8, (place, leaf): (usize, &Sum)| {
                bits | u8::from(*leaf != Sum::EMPTY) << place
            };
            row.put_u8(eight.iter().enumerate().fold(0, bit));
        }
        for leaf in leaves.iter().filter(|leaf| **leaf != Sum::EMPTY) {
            row.put_u128(leaf.0);
        }
        put_checkpoints(&mut row, &self.adopted);
        row.put_slice(&clock);
        row.freeze()
    }

    /// What [`Checkpoint::encode`] wrote; `None` if the row is not one of this version.
    #[must_use]
    pub fn decode(row: &[u8], partition_count: PartitionCount) -> Option<Self> {
        let mut rest = row;
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let incomplete = rest.try_get_u8().ok()? != 0;
        let journal = rest.try_get_u64().ok()?;
        let records = rest.try_get_u64().ok()?;
        let depth = rest.try_get_u8().ok()?;
        let count = 1usize.checked_shl(4 * u32::from(depth.min(5)))?;
        let (bits, mut rest) = rest.split_at_checked(count.div_ceil(8))?;
        let mut leaves = Vec::with_capacity(count);
        for place in 0..count {
            let holds = bits.get(place / 8)? >> (place % 8) & 1 == 1;
            leaves.push(if holds { Sum(rest.try_get_u128().ok()?) } else { Sum::EMPTY });
        }
        let tree = SumTree::from_leaves(partition_count, leaves)?;
        let adopted = get_checkpoints(&mut rest)?;
        let clock = DotClock::decode(rest).ok()?;
        Some(Self { journal, records, clock, tree, incomplete, adopted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_merkle::ItemDigest;
    use dynamo_types::{ActorId, Position};
    use dynamo_versioning::Dot;

    #[test]
    fn checkpoints_read_back_and_torn_ones_are_refused() {
        let count = PartitionCount::new(8).unwrap();
        for depth in 0..3 {
            let mut clock = DotClock::new();
            clock.dots.insert(Dot::new(ActorId(3), 9));
            let name = CheckpointName { process: ActorId(8), number: depth.into() };
            let adopted = alloc::vec![name; depth.into()];
            let tree = SumTree::of(count, depth, [(Position(1 << 90), ItemDigest(77))]);
            let checkpoint =
                Checkpoint { journal: 5, records: 1, clock, tree, incomplete: depth == 1, adopted };
            let row = checkpoint.encode();
            assert_eq!(Checkpoint::decode(&row, count), Some(checkpoint));
            for length in 0..row.len() {
                assert_eq!(Checkpoint::decode(&row[..length], count), None, "{length} bytes");
            }
        }
    }
}
