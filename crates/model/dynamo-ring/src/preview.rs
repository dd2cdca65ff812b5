//! What a plan means for an operator, before anyone carries it out.
//!
//! Pure data: which copy would be fetched from whom, what each node holds before and after, and how
//! many partitions survive the loss of a zone. Whoever knows the sizes of partitions and the speed of
//! links turns it into bytes and time.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use dynamo_types::{NodeId, PartitionId};

use crate::layout::Layout;
use crate::member::{RingMember, Zone};
use crate::rebalance::Plan;
use crate::replica_set::ReplicaSet;

/// What a plan means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Partitions whose replicas are other nodes afterwards.
    pub partitions_changed: u32,
    /// Every copy that has to be fetched, in the order of partitions; as many as [`Plan::moved`].
    pub transfers: Vec<Transfer>,
    /// [`Plan::lower_bound`]: no fair layout fetches fewer copies.
    pub lower_bound: u32,
    /// All N x Q copies: what shares are shares of.
    pub copies: u32,
    /// Each node that holds copies before or afterwards.
    pub nodes: BTreeMap<NodeId, NodeChange>,
    /// Partitions that have every replica in a zone of its own, before.
    pub zone_safe_before: u32,
    /// The same afterwards.
    pub zone_safe_after: u32,
}

/// One copy to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Of which partition.
    pub partition: PartitionId,
    /// From one of its replicas of before. None if none of them can send: then the data of this
    /// partition is out of reach, and to commit the plan gives it up.
    pub source: Option<NodeId>,
    /// To the replica of afterwards.
    pub target: NodeId,
}

/// What a plan means for one node. All in copies of partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeChange {
    /// Held before.
    pub before: u32,
    /// Held afterwards.
    pub after: u32,
    /// Fetched from others.
    pub received: u32,
    /// Read by others.
    pub sent: u32,
}

impl NodeChange {
    /// Copies that the node may remove when all is done.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.before + self.received - self.after
    }
}

impl Preview {
    /// What it means to go from `old` to the plan that was made from it. `before` and `after` are
    /// the members of either; `can_send` tells the nodes that are up, since a dead one sends
    /// nothing. Of those that can the source is who sends least in this plan, as joiners will choose.
    ///
    /// # Panics
    /// If the plan is for a ring of another size.
    #[must_use]
    pub fn new(
        old: &Layout,
        plan: &Plan,
        before: &[RingMember],
        after: &[RingMember],
        can_send: impl Fn(NodeId) -> bool,
    ) -> Self {
        let new = &plan.layout;
        assert_eq!(
            old.partition_count(),
            new.partition_count(),
            "a plan keeps the size of its ring"
        );
        let mut nodes: BTreeMap<NodeId, NodeChange> = BTreeMap::new();
        for node in old.iter().flat_map(|(_, set)| set) {
            nodes.entry(node).or_default().before += 1;
        }
        for node in new.iter().flat_map(|(_, set)| set) {
            nodes.entry(node).or_default().after += 1;
        }
        let mut transfers = Vec::new();
        for (partition, set) in new.iter() {
            let holders = old.replica_set(partition);
            for target in set.without(*holders) {
                let able = holders.iter().filter(|node| can_send(*node));
                let source = able.min_by_key(|node| (nodes[node].sent, *node));
                if let Some(sender) = source.and_then(|node| nodes.get_mut(&node)) {
                    sender.sent += 1;
                }
                nodes.entry(target).or_default().received += 1;
                transfers.push(Transfer { partition, source, target });
            }
        }
        Self {
            partitions_changed: count(plan.changed(old)),
            transfers,
            lower_bound: plan.lower_bound,
            copies: count(new.iter().flat_map(|(_, set)| set)),
            nodes,
            zone_safe_before: zone_safe(old, before),
            zone_safe_after: zone_safe(new, after),
        }
    }

    /// Copies that travel between each two nodes: (source, target).
    #[must_use]
    pub fn links(&self) -> BTreeMap<(NodeId, NodeId), u32> {
        let mut links = BTreeMap::new();
        for transfer in &self.transfers {
            if let Some(source) = transfer.source {
                *links.entry((source, transfer.target)).or_default() += 1;
            }
        }
        links
    }

    /// The partitions of which nobody who is up has a copy to send, each once, in order.
    pub fn out_of_reach(&self) -> impl Iterator<Item = PartitionId> {
        let lost = self.transfers.iter().filter(|transfer| transfer.source.is_none());
        let mut last = None;
        lost.map(|transfer| transfer.partition).filter(move |p| last.replace(*p) != Some(*p))
    }
}

/// Partitions that have every replica in a zone of its own. A replica that is no member has none.
fn zone_safe(layout: &Layout, members: &[RingMember]) -> u32 {
    let zones: BTreeMap<NodeId, &Zone> = members.iter().map(|m| (m.node, &m.zone)).collect();
    let is_safe = |set: &ReplicaSet| {
        let mut zones: Vec<Option<&&Zone>> = set.iter().map(|node| zones.get(&node)).collect();
        zones.sort();
        zones.iter().all(Option::is_some) && zones.windows(2).all(|pair| pair[0] != pair[1])
    };
    count(layout.iter().filter(|(_, set)| is_safe(set)))
}

fn count<T>(all: impl Iterator<Item = T>) -> u32 {
    u32::try_from(all.count()).expect("at most 7 x 65,536 copies")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebalance::{first_layout, rebalance};
    use dynamo_types::{PartitionCount, Replication};

    fn member(node: u64, zone: &'static str) -> RingMember {
        RingMember { node: NodeId(node), weight: 1, zone: Zone::new(zone) }
    }

    fn first(members: &[RingMember]) -> Layout {
        let (n, q) = (Replication::new(3).unwrap(), PartitionCount::new(64).unwrap());
        first_layout(members, n, q).unwrap().layout
    }

    fn next(old: &Layout, members: &[RingMember]) -> Plan {
        rebalance(Some(old), members, old.replication(), old.partition_count()).unwrap()
    }

    const DEFAULT: &str = "default";

    #[test]
    fn a_join_is_shown_as_what_the_joiner_fetches_from_each() {
        let before: Vec<_> = (1..=3).map(|i| member(i, DEFAULT)).collect();
        let after: Vec<_> = (1..=4).map(|i| member(i, DEFAULT)).collect();
        let old = first(&before);
        let plan = next(&old, &after);
        let preview = Preview::new(&old, &plan, &before, &after, |_| true);
        assert_eq!(
            (preview.copies, preview.lower_bound, preview.partitions_changed),
            (192, 48, 48)
        );
        let joiner = NodeChange { before: 0, after: 48, received: 48, sent: 0 };
        assert_eq!(preview.nodes[&NodeId(4)], joiner);
        for node in (1..=3).map(NodeId) {
            let change = preview.nodes[&node];
            assert_eq!((change.before, change.after, change.dropped()), (64, 48, 16));
            assert_eq!(preview.links()[&(node, NodeId(4))], 16, "each sends a third");
        }
        assert_eq!((preview.links().len(), preview.out_of_reach().count()), (3, 0));
    }

    #[test]
    fn a_dead_node_sends_nothing() {
        let before: Vec<_> = (1..=4).map(|i| member(i, DEFAULT)).collect();
        let after: Vec<_> = (1..=5).filter(|i| *i != 2).map(|i| member(i, DEFAULT)).collect();
        let old = first(&before);
        let plan = next(&old, &after);
        let preview = Preview::new(&old, &plan, &before, &after, |node| node != NodeId(2));
        let replaced = preview.nodes[&NodeId(2)];
        assert_eq!((replaced.after, replaced.sent, replaced.dropped()), (0, 0, 48));
        assert_eq!(preview.transfers.len(), 48);
        let nobody = Preview::new(&old, &plan, &before, &after, |_| false);
        assert_eq!(nobody.out_of_reach().count(), 48, "who holds it cannot be asked");
        assert!(nobody.links().is_empty());
    }

    #[test]
    fn partitions_that_survive_the_loss_of_a_zone_are_counted_before_and_after() {
        let before: Vec<_> = (1..=6).map(|i| member(i, DEFAULT)).collect();
        let zones = ["a", "b", "c"];
        let after: Vec<_> = (1..=6).map(|i| member(i, zones[i as usize % 3])).collect();
        let old = first(&before);
        let preview = Preview::new(&old, &next(&old, &after), &before, &after, |_| true);
        assert_eq!((preview.zone_safe_before, preview.zone_safe_after), (0, 64));
    }
}
