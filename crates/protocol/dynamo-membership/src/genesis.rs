//! How a cluster begins: one file, made by one command and given to every first node.
//!
//! Nodes that started alone and made layouts of whom they happened to see would each make another
//! one. So the first layout is a pure function of the genesis, nodes of different geneses refuse
//! each other by its fingerprint, and a node without one serves nothing (protocol rule 8).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use dynamo_ring::rebalance::MEMBERS_MAX;
use dynamo_ring::{Layout, RingMember, Zone, first_layout};
use dynamo_types::{ClusterId, NodeId, PartitionCount, Replication};
use thiserror::Error;

/// Longest name and address, in bytes: a host name has at most 253, and a port follows.
pub(crate) const TEXT_BYTES_MAX: usize = 260;

/// What a cluster begins with. The fields are plain, for whoever writes and reads the file; check
/// them with [`validate`](Self::validate) before use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// Which cluster: random.
    pub cluster: ClusterId,
    /// N.
    pub replication: Replication,
    /// Q.
    pub partition_count: PartitionCount,
    /// The first members, at least N.
    pub members: Vec<GenesisMember>,
    /// Digest of the public key of the authority that certifies nodes and clients.
    pub ca_fingerprint: [u8; 32],
}

/// A member that the cluster begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisMember {
    /// Who.
    pub node: NodeId,
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

/// Why nothing can begin with this.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// A replica set has exactly N distinct members, from the first one on.
    #[error("{members} members are too few for n={replication}: there must be at least as many")]
    TooFewMembers {
        /// How many there are.
        members: usize,
        /// N.
        replication: u8,
    },
    /// More than a layout can have.
    #[error("{0} members are too many: a layout has at most {MEMBERS_MAX}")]
    TooManyMembers(usize),
    /// Two members with one id.
    #[error("two members have the id {0}")]
    DuplicateNode(NodeId),
    /// Two members with one name.
    #[error("two members have the name {0:?}")]
    DuplicateName(String),
    /// Two members, or both protocols of one, at one address.
    #[error("the address {0:?} is given twice")]
    DuplicateAddress(String),
    /// No name, or one that is too long or has control characters.
    #[error("member {node} has the name {name:?}: give it 1 to {TEXT_BYTES_MAX} printable bytes")]
    Name {
        /// Whose.
        node: NodeId,
        /// The name.
        name: String,
    },
    /// Not `host:port`.
    #[error("member {node} has the address {address:?}: it should be host:port")]
    Address {
        /// Whose.
        node: NodeId,
        /// The address.
        address: String,
    },
    /// A member that should hold nothing.
    #[error("member {0} has weight 0; the smallest is 1")]
    ZeroWeight(NodeId),
    /// A zone without a sound name.
    #[error("member {node} has the zone {zone:?}: give it 1 to 64 letters, digits, `.`, `_`, `-`")]
    Zone {
        /// Whose.
        node: NodeId,
        /// The zone's name.
        zone: String,
    },
}

impl Genesis {
    /// Checks that a cluster can begin with this.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), GenesisError> {
        let (members, replication) = (self.members.len(), self.replication.get());
        if members < usize::from(replication) {
            return Err(GenesisError::TooFewMembers { members, replication });
        }
        if members > MEMBERS_MAX {
            return Err(GenesisError::TooManyMembers(members));
        }
        let (mut nodes, mut names, mut addresses) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for member in &self.members {
            member.validate()?;
            if !nodes.insert(member.node) {
                return Err(GenesisError::DuplicateNode(member.node));
            }
            if !names.insert(&member.name) {
                return Err(GenesisError::DuplicateName(member.name.clone()));
            }
            // QUIC and HTTP run over UDP and TCP and may share a port number.
            for address in [(0, &member.address), (1, &member.http_address)] {
                if !addresses.insert(address) {
                    return Err(GenesisError::DuplicateAddress(address.1.clone()));
                }
            }
        }
        Ok(())
    }

    /// A digest of everything in here. The order of the members does not matter.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"dynamo genesis 1");
        hasher.update(&self.cluster.0.to_be_bytes());
        hasher.update(&[self.replication.get()]);
        hasher.update(&self.partition_count.get().to_be_bytes());
        hasher.update(&self.ca_fingerprint);
        let mut members: Vec<&GenesisMember> = self.members.iter().collect();
        members.sort_by_key(|member| member.node);
        for member in members {
            hasher.update(&member.node.0.to_be_bytes());
            hasher.update(&member.weight.to_be_bytes());
            let zone = member.zone.as_str();
            for text in [&member.name[..], &member.address, &member.http_address, zone] {
                hasher.update(&(text.len() as u64).to_be_bytes());
                hasher.update(text.as_bytes());
            }
        }
        *hasher.finalize().as_bytes()
    }

    /// The members as placement sees them.
    #[must_use]
    pub fn ring_members(&self) -> Vec<RingMember> {
        let ring_member =
            |m: &GenesisMember| RingMember { node: m.node, weight: m.weight, zone: m.zone.clone() };
        self.members.iter().map(ring_member).collect()
    }

    /// The first layout: a pure function of the genesis.
    ///
    /// # Panics
    /// If [`validate`](Self::validate) refuses the genesis.
    #[must_use]
    pub fn layout(&self) -> Layout {
        first_layout(&self.ring_members(), self.replication, self.partition_count)
            .expect("a valid genesis has members that can be placed")
            .layout
    }
}

impl GenesisMember {
    fn validate(&self) -> Result<(), GenesisError> {
        let node = self.node;
        let is_text = |text: &str| {
            (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
        };
        if !is_text(&self.name) {
            return Err(GenesisError::Name { node, name: self.name.clone() });
        }
        for address in [&self.address, &self.http_address] {
            let parts = address.rsplit_once(':');
            let is_sound = parts.is_some_and(|(host, port)| {
                is_text(host) && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
            if !is_sound {
                return Err(GenesisError::Address { node, address: address.clone() });
            }
        }
        if self.weight == 0 {
            return Err(GenesisError::ZeroWeight(node));
        }
        if !self.zone.is_sound() {
            return Err(GenesisError::Zone { node, zone: self.zone.as_str().into() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn genesis(nodes: u64) -> Genesis {
        let member = |i: u64| GenesisMember {
            node: NodeId(i),
            name: format!("node-{i}"),
            address: format!("127.0.0.1:{}", 7100 + i),
            http_address: format!("[::1]:{}", 8100 + i),
            weight: 1,
            zone: Zone::default(),
        };
        Genesis {
            cluster: ClusterId(7),
            replication: Replication::new(3).unwrap(),
            partition_count: PartitionCount::new(64).unwrap(),
            members: (1..=nodes).map(member).collect(),
            ca_fingerprint: [9; 32],
        }
    }

    #[test]
    fn history_22_fewer_nodes_than_n_are_refused_clearly() {
        let refused = genesis(2).validate().unwrap_err();
        assert_eq!(refused, GenesisError::TooFewMembers { members: 2, replication: 3 });
        assert!(genesis(3).validate().is_ok());
    }

    #[test]
    fn history_22_all_nodes_begin_with_the_same_layout() {
        let mut shuffled = genesis(5);
        shuffled.members.rotate_left(2);
        shuffled.members.swap(0, 3);
        assert_eq!(shuffled.fingerprint(), genesis(5).fingerprint());
        assert_eq!(shuffled.layout(), genesis(5).layout());
        assert_eq!(shuffled.layout().version(), 1);
    }

    #[test]
    fn history_22_different_geneses_have_different_fingerprints() {
        let changes: [fn(&mut Genesis); 9] = [
            |g| g.cluster.0 += 1,
            |g| g.replication = Replication::new(2).unwrap(),
            |g| g.partition_count = PartitionCount::new(128).unwrap(),
            |g| g.ca_fingerprint[31] ^= 1,
            |g| g.members.truncate(4),
            |g| g.members[0].weight = 2,
            |g| g.members[0].zone = Zone::new("other"),
            |g| g.members[0].node = NodeId(77),
            // The border between two texts matters.
            |g| {
                g.members[0].name.push('1');
                g.members[0].address.remove(0);
            },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut other = genesis(5);
            change(&mut other);
            assert_ne!(other.fingerprint(), genesis(5).fingerprint(), "change {number}");
        }
    }

    #[test]
    fn what_is_not_sound_is_refused_by_name() {
        let check = |change: fn(&mut Genesis), expected: &str| {
            let mut genesis = genesis(3);
            change(&mut genesis);
            let refused = alloc::string::ToString::to_string(&genesis.validate().unwrap_err());
            assert!(refused.contains(expected), "{refused}");
        };
        check(|g| g.members[1].node = NodeId(1), "two members have the id 0000000000000001");
        check(|g| g.members[1].name = "node-1".into(), "two members have the name \"node-1\"");
        check(|g| g.members[1].name = String::new(), "has the name \"\"");
        check(|g| g.members[1].address = "127.0.0.1:7101".into(), "is given twice");
        check(|g| g.members[2].weight = 0, "weight 0");
        check(|g| g.members[2].zone = Zone::new("a b"), "the zone \"a b\"");
        for address in ["", "host", ":7101", "host:", "host:0", "host:70000", "host:port"] {
            let mut genesis = genesis(3);
            genesis.members[0].http_address = address.into();
            let refused = genesis.validate();
            assert!(matches!(refused, Err(GenesisError::Address { .. })), "{address:?}");
        }
    }
}
