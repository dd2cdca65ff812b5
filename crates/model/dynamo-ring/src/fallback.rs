//! Who stands in for a partition's replicas: the rest of the preference list (Paper §4.6).
//!
//! Beyond the replica set the order is weighted rendezvous hashing: each node draws a number for the
//! partition, and the draws are sorted so that a node is first in proportion to its weight. When a
//! node is lost, its partitions therefore spread over all others (Paper §4.2), and every node knows
//! the order without asking. Nodes of zones that the set and the fallbacks before do not use come
//! first, so that a stand-in does not fail together with a copy that is still there.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Ordering;

use dynamo_types::{NodeId, PartitionId};

use crate::layout::Layout;
use crate::member::{RingMember, Zone};
use crate::replica_set::ReplicaSet;
use crate::scatter::scatter;

mod logarithm;

/// The nodes outside the replica set, in the order in which they stand in for its members.
pub fn fallbacks(
    partition: PartitionId,
    set: &ReplicaSet,
    members: &[RingMember],
) -> impl Iterator<Item = NodeId> + use<> {
    let mut used: BTreeSet<&Zone> =
        members.iter().filter(|m| set.contains(m.node)).map(|m| &m.zone).collect();
    let mut draws: Vec<Draw<'_>> = members
        .iter()
        .filter(|m| !set.contains(m.node))
        .map(|member| Draw::new(partition, member))
        .collect();
    draws.sort_by(Draw::earlier);
    let (unused, rest): (Vec<_>, Vec<_>) =
        draws.iter().partition(|draw| used.insert(&draw.member.zone));
    unused.into_iter().chain(rest).map(|draw| draw.member.node).collect::<Vec<_>>().into_iter()
}

/// Every member in the order in which it is asked to hold the partition: its replicas, preferred
/// one first, then the fallbacks.
pub fn preference_list<'a>(
    layout: &'a Layout,
    partition: PartitionId,
    members: &[RingMember],
) -> impl Iterator<Item = NodeId> + use<'a> {
    let set = layout.replica_set(partition);
    set.iter().chain(fallbacks(partition, set, members))
}

/// What a node drew: exponentially distributed with its weight as rate, so the smallest of all is
/// a node's with probability weight / total.
struct Draw<'a> {
    member: &'a RingMember,
    /// -log2 of a uniform number in (0, 1], fixed point.
    surprise: u64,
}

impl<'a> Draw<'a> {
    fn new(partition: PartitionId, member: &'a RingMember) -> Self {
        Self { member, surprise: logarithm::surprise(scatter(partition, member.node)) }
    }

    /// Compares surprise / weight without dividing; the node id decides between equals.
    fn earlier(&self, other: &Self) -> Ordering {
        let mine = u128::from(self.surprise) * u128::from(other.member.weight);
        let theirs = u128::from(other.surprise) * u128::from(self.member.weight);
        mine.cmp(&theirs).then(self.member.node.cmp(&other.member.node))
    }
}
