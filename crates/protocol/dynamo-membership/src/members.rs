//! The members since genesis: what operators have decided, merged from anyone in any order.
//!
//! A node's status and its details merge apart. If both were one register, a node that was removed
//! on one side of a split and renamed on the other would be back after the merge (history 23).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use dynamo_ring::{RingMember, Zone};
use dynamo_types::NodeId;
use dynamo_types::planted::{PlantedBug, planted};

use crate::genesis::Genesis;

/// Where a node is on its way through the cluster. It only climbs; what was removed stays out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberStatus {
    /// Being filled with its share.
    Joining,
    /// Holds its share.
    Active,
    /// Handing over what it has.
    Leaving,
    /// Gone for good. It stays in the table, so that nobody brings it back.
    Removed,
}

impl MemberStatus {
    /// The state's name in interfaces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Active => "member",
            Self::Leaving => "leaving",
            Self::Removed => "removed",
        }
    }
}

/// When details were set and by whom. Greater is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Greater than every stamp that its author knew.
    pub lamport: u64,
    /// The node that set them.
    pub author: NodeId,
}

/// What may change about a member while it is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberDetails {
    /// Its name for people.
    pub name: String,
    /// Where it speaks QUIC, `host:port`.
    pub address: String,
    /// Where it speaks HTTP, `host:port`.
    pub http_address: String,
    /// Its capacity relative to the others', at least 1.
    pub weight: u32,
    /// What it fails together with.
    pub zone: Zone,
}

/// One node in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where it is on its way.
    pub status: MemberStatus,
    /// When the details were set.
    pub stamp: Stamp,
    /// The latest details.
    pub details: MemberDetails,
}

impl Member {
    /// Takes over what is further or later in the other. Returns whether anything changed.
    ///
    /// Commutative, associative and idempotent: a maximum of each part. Should one author ever use a
    /// stamp twice, the greater details win everywhere.
    pub fn merge(&mut self, other: &Self) -> bool {
        let climbs = other.status > self.status;
        if climbs {
            self.status = other.status;
        }
        let mut later = (other.stamp, &other.details) > (self.stamp, &self.details);
        if planted(PlantedBug::GossipKeepsOlderDetails) {
            later = (other.stamp, &other.details) < (self.stamp, &self.details);
        }
        if later {
            self.stamp = other.stamp;
            self.details = other.details.clone();
        }
        climbs || later
    }
}

/// All nodes that are or were members. It grows only by what operators add, so it needs no bound of
/// its own; removed nodes are never forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    members: BTreeMap<NodeId, Member>,
}

impl Members {
    /// No members: what a node knows that has not joined.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The members of the first day, all active.
    #[must_use]
    pub fn of_genesis(genesis: &Genesis) -> Self {
        let member = |m: &crate::genesis::GenesisMember| {
            let details = MemberDetails {
                name: m.name.clone(),
                address: m.address.clone(),
                http_address: m.http_address.clone(),
                weight: m.weight,
                zone: m.zone.clone(),
            };
            let stamp = Stamp { lamport: 0, author: m.node };
            (m.node, Member { status: MemberStatus::Active, stamp, details })
        };
        Self { members: genesis.members.iter().map(member).collect() }
    }

    /// What is known of a node.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<&Member> {
        self.members.get(&node)
    }

    /// All nodes in the order of their ids, removed ones too.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.members.iter().map(|(node, member)| (*node, member))
    }

    /// The members that placement counts on: joining and active ones.
    #[must_use]
    pub fn ring_members(&self) -> Vec<RingMember> {
        self.iter()
            .filter(|(_, m)| matches!(m.status, MemberStatus::Joining | MemberStatus::Active))
            .map(|(node, m)| RingMember {
                node,
                weight: m.details.weight,
                zone: m.details.zone.clone(),
            })
            .collect()
    }

    /// Takes over what the other knows. Returns whether anything changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (node, member) in other.iter() {
            changed |= self.merge_member(node, member);
        }
        changed
    }

    /// Takes over what someone knows of one node. Returns whether anything changed.
    pub fn merge_member(&mut self, node: NodeId, member: &Member) -> bool {
        match self.members.get_mut(&node) {
            Some(known) => known.merge(member),
            None => {
                self.members.insert(node, member.clone());
                true
            }
        }
    }

    /// Lets a known node climb to a status. Returns whether it did: not if it is there or beyond, or
    /// unknown.
    pub fn climb(&mut self, node: NodeId, status: MemberStatus) -> bool {
        match self.members.get_mut(&node) {
            Some(member) if member.status < status => {
                member.status = status;
                true
            }
            _ => false,
        }
    }

    /// Sets the details of a node; one that is not known begins as joining.
    pub fn set_details(&mut self, node: NodeId, details: MemberDetails, author: NodeId) -> &Member {
        let latest = self.members.values().map(|m| m.stamp.lamport).max().unwrap_or(0);
        let stamp = Stamp { lamport: latest.saturating_add(1), author };
        let set = Member { status: MemberStatus::Joining, stamp, details };
        self.merge_member(node, &set);
        &self.members[&node]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(name: &str) -> MemberDetails {
        MemberDetails {
            name: name.into(),
            address: "a:1".into(),
            http_address: "a:2".into(),
            weight: 1,
            zone: Zone::default(),
        }
    }

    fn one_active() -> Members {
        let mut members = Members::new();
        members.set_details(NodeId(2), details("b"), NodeId(1));
        members.climb(NodeId(2), MemberStatus::Active);
        members
    }

    #[test]
    fn history_23_remove_wins_over_concurrent_update() {
        let (mut removing, mut updating) = (one_active(), one_active());
        assert!(removing.climb(NodeId(2), MemberStatus::Removed));
        for _ in 0..5 {
            updating.set_details(NodeId(2), details("b, moved"), NodeId(3));
        }
        let mut there = removing.clone();
        assert!(there.merge(&updating));
        assert!(updating.merge(&removing));
        assert_eq!(there, updating);
        let member = there.get(NodeId(2)).unwrap();
        assert_eq!(member.status, MemberStatus::Removed);
        assert_eq!(member.details.name, "b, moved");
        assert!(there.ring_members().is_empty());
    }

    #[test]
    fn a_status_never_falls() {
        let mut members = one_active();
        assert!(!members.climb(NodeId(2), MemberStatus::Joining));
        assert!(!members.climb(NodeId(9), MemberStatus::Removed), "unknown");
        assert_eq!(
            members.set_details(NodeId(2), details("c"), NodeId(1)).status,
            MemberStatus::Active
        );
        members.climb(NodeId(2), MemberStatus::Leaving);
        assert!(members.ring_members().is_empty(), "a leaver receives nothing");
    }

    #[test]
    fn replaced_node_stays_out() {
        let mut members = one_active();
        members.climb(NodeId(2), MemberStatus::Removed);
        // It starts again, knows itself as active and announces a new address.
        let mut itself = one_active();
        itself.set_details(NodeId(2), details("b again"), NodeId(2));
        members.merge(&itself);
        itself.merge(&members);
        assert_eq!(itself.get(NodeId(2)).unwrap().status, MemberStatus::Removed);
        assert!(members.ring_members().is_empty() && itself.ring_members().is_empty());
    }

    #[test]
    fn later_details_replace_earlier_ones() {
        let mut members = one_active();
        let before = members.clone();
        members.set_details(NodeId(2), details("renamed"), NodeId(1));
        assert!(!members.merge(&before), "what is older changes nothing");
        assert_eq!(members.get(NodeId(2)).unwrap().details.name, "renamed");
    }
}
