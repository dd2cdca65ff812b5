//! The names of epochs and of proposals, and which of two rivals is ahead (protocol rule 8).

use dynamo_ring::ReplicaSet;

/// Digest of all that a proposal says, so that a ballot names one proposal and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanHash(pub u128);

/// Names one proposal of an epoch. Two drivers that come to the same ballot propose the same, so they
/// help each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Greater than that of every ballot its driver knew; at most [`LAMPORT_MAX`].
    pub lamport: u64,
    /// What is proposed.
    pub plan: PlanHash,
}

/// No cluster makes so many proposals. A flipped high bit would, and would use the numbers up.
pub const LAMPORT_MAX: u64 = 1 << 48;

/// An operator's word that a majority of a replica set is gone for good, and who holds the partition
/// from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Force {
    /// Greater than that of every force its author knew.
    pub lamport: u64,
    /// Digest of the set and of the nodes that were given up.
    pub plan: PlanHash,
}

/// Names one replica set in the life of a partition.
///
/// A force stays in the names of all epochs that follow it. Without that, two sides that were forced
/// apart and went on would give one name to two sets (history 21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// From 1, one more with each set.
    pub number: u64,
    /// The last force among the epochs up to this one. Of two epochs with one number, a forced one is
    /// ahead.
    pub force: Option<Force>,
}

impl Epoch {
    /// The epoch of the first layout.
    pub const FIRST: Self = Self { number: 1, force: None };

    /// The epoch after this one, as its members decide it.
    #[must_use]
    pub fn next(self) -> Self {
        Self { number: self.number.saturating_add(1), force: self.force }
    }
}

impl PlanHash {
    /// The digest of a proposal.
    pub(crate) fn of_move(
        epoch: Epoch,
        current: &ReplicaSet,
        next: &ReplicaSet,
        adopts: Option<Ballot>,
    ) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"dynamo move 1");
        hasher.update(&epoch.number.to_be_bytes());
        hasher.update(&[u8::from(epoch.force.is_some()), u8::from(adopts.is_some())]);
        if let Some(force) = epoch.force {
            hasher.update(&force.lamport.to_be_bytes());
            hasher.update(&force.plan.0.to_be_bytes());
        }
        if let Some(adopts) = adopts {
            hasher.update(&adopts.lamport.to_be_bytes());
            hasher.update(&adopts.plan.0.to_be_bytes());
        }
        update_nodes(&mut hasher, current);
        update_nodes(&mut hasher, next);
        Self::finish(&hasher)
    }

    /// The digest of a force.
    pub(crate) fn of_force(set: &ReplicaSet, given_up: &[dynamo_types::NodeId]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"dynamo force 1");
        update_nodes(&mut hasher, set);
        for node in given_up {
            hasher.update(&node.0.to_be_bytes());
        }
        Self::finish(&hasher)
    }

    fn finish(hasher: &blake3::Hasher) -> Self {
        let hash = hasher.finalize();
        Self(u128::from_be_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes")))
    }
}

fn update_nodes(hasher: &mut blake3::Hasher, set: &ReplicaSet) {
    hasher.update(&[u8::try_from(set.len()).expect("at most 7")]);
    for node in set {
        hasher.update(&node.0.to_be_bytes());
    }
}
