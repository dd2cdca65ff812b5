//! A well mixed number for each (partition, node), equal on every platform.

use dynamo_types::{NodeId, PartitionId};

/// Mixes a partition and a node into 64 bits that look random (the finalizer of SplitMix64, twice).
/// Not a defence against chosen ids: those come from operators' keys.
pub(crate) fn scatter(partition: PartitionId, node: NodeId) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let place = GOLDEN.wrapping_mul(u64::from(partition.0) + 1);
    mix(mix(node.0.wrapping_add(GOLDEN)) ^ place)
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
