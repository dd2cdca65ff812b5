//! Who shall hold a key now: the first N healthy nodes of its preference list (Paper §4.6).

use alloc::vec::Vec;

use dynamo_coordination::put::Placement;
use dynamo_membership::MemberStatus;
use dynamo_ring::{RingMember, fallbacks};
use dynamo_types::{NodeId, PartitionId, Position};

use super::Node;
use crate::replica::Place;

/// Where the copies of one put go.
#[derive(Debug)]
pub(super) struct Placements {
    /// One for each member that somebody keeps it for, this node's own copy first.
    pub(super) list: Vec<Placement>,
    /// Members for whom no fallback was left.
    pub(super) unplaced: Vec<NodeId>,
}

impl Node {
    /// Fallbacks of a partition that are healthy, in the order in which they stand in.
    pub(super) fn healthy_fallbacks(&mut self, partition: PartitionId) -> Vec<NodeId> {
        let order = self.fallback_order(partition);
        order.into_iter().filter(|node| self.is_healthy(*node)).collect()
    }

    /// All nodes that are no replicas of a partition, in the order in which they stand in. Worked
    /// out when it is first needed: while all replicas are healthy nobody asks for it.
    fn fallback_order(&mut self, partition: PartitionId) -> Vec<NodeId> {
        if let Some(order) = self.fallback_orders.get(&partition) {
            return order.clone();
        }
        // A node that has not been let in, or is on its way out, stands in for nobody.
        let members: Vec<RingMember> = self.members().ring_members();
        let active = |member: &RingMember| {
            let known = self.members().get(member.node);
            known.is_some_and(|known| known.status == MemberStatus::Active)
        };
        let members: Vec<RingMember> = members.into_iter().filter(active).collect();
        let set = self.registers.read_set(partition);
        let mut order: Vec<NodeId> = fallbacks(partition, &set, &members).collect();
        order.retain(|node| !self.registers.is_holder(partition, *node));
        self.fallback_orders.insert(partition, order.clone());
        order
    }

    /// Whether to count on a node: it is this one, or a link stands and it has answered lately.
    pub(super) fn is_healthy(&self, node: NodeId) -> bool {
        node == self.config.node || self.health.is_healthy(node, self.now.monotonic)
    }

    /// Nodes that may coordinate a put, best first: replicas, then fallbacks.
    pub(super) fn coordinators(&mut self, position: Position) -> Vec<NodeId> {
        let partition = self.registers.partition_of(position);
        let mut candidates = self.ranked(self.registers.holders(partition).into_iter());
        // Without its promises this node takes nothing that counts.
        if !self.registers.takes_part(partition) {
            candidates.retain(|node| *node != self.config.node);
        }
        let fallbacks = self.healthy_fallbacks(partition);
        candidates.extend(fallbacks);
        candidates
    }

    /// How many nodes could keep a copy now: at most N.
    pub(super) fn holders_at_hand(&mut self, position: Position, strict: bool) -> Vec<NodeId> {
        let (partition, mut holders) = self.reachable_replicas(position);
        let n = usize::from(self.registers.replication().get());
        if !strict && holders.len() < n {
            let fallbacks = self.healthy_fallbacks(partition);
            holders.extend(fallbacks);
            holders.truncate(n);
        }
        holders
    }

    /// Where this node keeps its copy of a put that it coordinates: its own, or, as a fallback, a
    /// hint for the first replica that is not healthy.
    pub(super) fn own_place(&self, position: Position) -> Place {
        let partition = self.registers.partition_of(position);
        if self.registers.is_holder(partition, self.config.node) {
            return Place::Own;
        }
        let set = self.registers.read_set(partition);
        let sick = set.iter().find(|node| !self.is_healthy(*node));
        Place::Hint(sick.unwrap_or_else(|| set.first()))
    }

    /// Where the copies of a put go that this node coordinates: to every replica that can be reached,
    /// and for each that is not healthy to a fallback of its own. No node keeps two.
    pub(super) fn place_copies(&mut self, position: Position, own: Place) -> Placements {
        let partition = self.registers.partition_of(position);
        let members = self.registers.holders(partition);
        let here = self.config.node;
        let first = match own {
            Place::Own => Placement::own(here),
            Place::Hint(member) => Placement { member, holder: here },
        };
        let mut placements = Placements { list: Vec::from([first]), unplaced: Vec::new() };
        let mut spare = None;
        for member in members.into_iter().filter(|member| *member != here) {
            // One that was silent lately may take it all the same; nobody waits for that.
            if self.is_reachable(member) {
                placements.list.push(Placement::own(member));
            }
            if !self.is_healthy(member) && member != first.member {
                let spare = spare.get_or_insert_with(|| {
                    let mut fallbacks = self.healthy_fallbacks(partition);
                    fallbacks.retain(|node| *node != here);
                    fallbacks.into_iter()
                });
                match spare.next() {
                    Some(holder) => placements.list.push(Placement { member, holder }),
                    None => placements.unplaced.push(member),
                }
            }
        }
        placements
    }

    /// A fallback that keeps no copy yet, if one is left.
    pub(super) fn another_fallback(
        &mut self,
        partition: PartitionId,
        holders: &[NodeId],
    ) -> Option<NodeId> {
        let fallbacks = self.healthy_fallbacks(partition);
        fallbacks.into_iter().find(|node| !holders.contains(node))
    }
}
