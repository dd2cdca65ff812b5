//! The layout that operators want: one value for the whole cluster, merged by maximum.
//!
//! A commit, a cancel and nothing else set it. Every node knows it, keeps it, and moves the partitions
//! that it has to do with towards it, each by its register (protocol rule 8). So a commit that reached
//! one node is carried out as a whole sooner or later, and of two that were made on the two sides of
//! a split the later one is: none is left half done.
//!
//! ```text
//! version 1 byte; lamport 8, author 8; kind 1: 0 stay, 1 a layout
//! layout: N 1, partitions 4, nodes 2, nodes 8 each in ascending order,
//!         N numbers of nodes, 2 each, for each partition
//! tag 16
//! ```
//! Numbers are big-endian. The tag is BLAKE3 over all before it: a bit that flips in anyone's memory
//! shall not move data everywhere.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Ordering;

use bytes::{Buf, Bytes};
use dynamo_ring::ReplicaSet;
use dynamo_types::{NodeId, PartitionCount, PartitionId, Replication};
use thiserror::Error;

use crate::members::Stamp;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
const PURPOSE: &[u8] = b"dynamo wanted layout 1";
/// A stamp beyond all that operators make. A flipped high bit would use the stamps up.
const LAMPORT_MAX: u64 = 1 << 48;

/// What operators want of the partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedLayout {
    /// Which of several is later.
    pub stamp: Stamp,
    /// The set of each partition in order; none if all shall stay where they are: moves that are not
    /// decided are cancelled.
    pub sets: Option<Vec<ReplicaSet>>,
}

/// Why bytes are no wanted layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeWantedError {
    /// A format of another program version.
    #[error("wanted layout has format version {0}")]
    Version(u8),
    /// The tag does not fit: something was changed on the way.
    #[error("wanted layout does not fit its tag")]
    Tag,
    /// The bytes end inside a field.
    #[error("wanted layout ends inside a field")]
    Truncated,
    /// There is no such kind.
    #[error("wanted layout has the unknown kind {0}")]
    Kind(u8),
    /// A stamp that cannot be.
    #[error("wanted layout has the lamport {0}, which cannot be")]
    Lamport(u64),
    /// It is for a ring of another size.
    #[error(
        "wanted layout has {replication} replicas of {partitions} partitions, which this cluster has not"
    )]
    Shape {
        /// N.
        replication: u8,
        /// Q.
        partitions: u32,
    },
    /// Nodes that form no replica set, or are not in order.
    #[error("wanted layout has a set that cannot be")]
    Set,
    /// Bytes follow it.
    #[error("{0} bytes follow the wanted layout")]
    Trailing(usize),
}

impl WantedLayout {
    /// The set that a partition shall have; none if it shall stay.
    #[must_use]
    pub fn set_of(&self, partition: PartitionId) -> Option<ReplicaSet> {
        self.sets.as_ref()?.get(usize::from(partition.0)).copied()
    }

    /// The canonical bytes: equal values have equal ones.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::from([VERSION]);
        out.extend_from_slice(&self.stamp.lamport.to_be_bytes());
        out.extend_from_slice(&self.stamp.author.0.to_be_bytes());
        match &self.sets {
            None => out.push(0),
            Some(sets) => {
                out.push(1);
                put_sets(&mut out, sets);
            }
        }
        let tag = tag(&out);
        out.extend_from_slice(&tag);
        out.into()
    }

    /// Reads canonical bytes of a cluster of this size.
    ///
    /// # Errors
    /// Refuses every sequence of bytes that [`encode`](Self::encode) does not write for such a cluster.
    pub fn decode(
        bytes: &[u8],
        count: PartitionCount,
        replication: Replication,
    ) -> Result<Self, DecodeWantedError> {
        use DecodeWantedError as Error;
        match bytes.first() {
            Some(&VERSION) => {}
            Some(other) => return Err(Error::Version(*other)),
            None => return Err(Error::Truncated),
        }
        let (body, found) = bytes.split_last_chunk::<TAG_BYTES>().ok_or(Error::Truncated)?;
        if *found != tag(body) {
            return Err(Error::Tag);
        }
        let mut rest = body.get(1..).unwrap_or_default();
        let lamport = rest.try_get_u64().map_err(|_| Error::Truncated)?;
        if lamport > LAMPORT_MAX {
            return Err(Error::Lamport(lamport));
        }
        let author = NodeId(rest.try_get_u64().map_err(|_| Error::Truncated)?);
        let sets = match rest.try_get_u8().map_err(|_| Error::Truncated)? {
            0 => None,
            1 => Some(get_sets(&mut rest, count, replication)?),
            other => return Err(Error::Kind(other)),
        };
        if !rest.is_empty() {
            return Err(Error::Trailing(rest.len()));
        }
        Ok(Self { stamp: Stamp { lamport, author }, sets })
    }

    /// A digest of all of it.
    #[must_use]
    pub fn digest(&self) -> u128 {
        u128::from_be_bytes(tag(&self.encode()))
    }
}

/// Later stamps are greater. Should one author ever use a stamp twice, all still agree.
impl Ord for WantedLayout {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.stamp.cmp(&other.stamp);
        order.then_with(|| self.sets.cmp(&other.sets))
    }
}

impl PartialOrd for WantedLayout {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn put_sets(out: &mut Vec<u8>, sets: &[ReplicaSet]) {
    let nodes: BTreeSet<NodeId> = sets.iter().flatten().collect();
    let nodes: Vec<NodeId> = nodes.into_iter().collect();
    let n = sets.first().map_or(0, ReplicaSet::len);
    out.push(u8::try_from(n).expect("at most 7"));
    out.extend_from_slice(&u32::try_from(sets.len()).expect("at most 2^16").to_be_bytes());
    out.extend_from_slice(&u16::try_from(nodes.len()).expect("at most 2,048").to_be_bytes());
    for node in &nodes {
        out.extend_from_slice(&node.0.to_be_bytes());
    }
    for node in sets.iter().flatten() {
        let number = nodes.binary_search(&node).expect("all nodes of all sets");
        out.extend_from_slice(&u16::try_from(number).expect("below their count").to_be_bytes());
    }
}

fn get_sets(
    rest: &mut &[u8],
    count: PartitionCount,
    replication: Replication,
) -> Result<Vec<ReplicaSet>, DecodeWantedError> {
    use DecodeWantedError as Error;
    let n = rest.try_get_u8().map_err(|_| Error::Truncated)?;
    let partitions = rest.try_get_u32().map_err(|_| Error::Truncated)?;
    if n != replication.get() || partitions != count.get() {
        return Err(Error::Shape { replication: n, partitions });
    }
    let nodes = rest.try_get_u16().map_err(|_| Error::Truncated)?;
    let nodes = (0..nodes).map(|_| rest.try_get_u64().map(NodeId).map_err(|_| Error::Truncated));
    let nodes = nodes.collect::<Result<Vec<NodeId>, Error>>()?;
    if !nodes.is_sorted_by(|a, b| a < b) {
        return Err(Error::Set);
    }
    let mut used = BTreeSet::new();
    let mut sets = Vec::with_capacity(partitions as usize);
    for _ in 0..partitions {
        let mut set = Vec::with_capacity(usize::from(n));
        for _ in 0..n {
            let number = rest.try_get_u16().map_err(|_| Error::Truncated)?;
            set.push(*nodes.get(usize::from(number)).ok_or(Error::Set)?);
            used.insert(number);
        }
        sets.push(ReplicaSet::new(&set).map_err(|_| Error::Set)?);
    }
    // A node that nobody names would make two encodings of one layout.
    if used.len() != nodes.len() {
        return Err(Error::Set);
    }
    Ok(sets)
}

fn tag(body: &[u8]) -> [u8; TAG_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(PURPOSE);
    hasher.update(body);
    *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(lamport: u64, sets: Option<Vec<ReplicaSet>>) -> WantedLayout {
        WantedLayout { stamp: Stamp { lamport, author: NodeId(7) }, sets }
    }

    fn set(nodes: [u64; 3]) -> ReplicaSet {
        ReplicaSet::new(&nodes.map(NodeId)).unwrap()
    }

    fn shape() -> (PartitionCount, Replication) {
        (PartitionCount::new(2).unwrap(), Replication::new(3).unwrap())
    }

    #[test]
    fn it_reads_back_and_a_flipped_bit_is_refused() {
        let (q, n) = shape();
        for sets in [None, Some(Vec::from([set([3, 1, 2]), set([9, 2, 3])]))] {
            let wanted = wanted(5, sets);
            let bytes = wanted.encode();
            assert_eq!(WantedLayout::decode(&bytes, q, n), Ok(wanted));
            for at in 0..bytes.len() {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 4;
                assert!(WantedLayout::decode(&flipped, q, n).is_err(), "byte {at}");
                assert!(WantedLayout::decode(&bytes[..at], q, n).is_err(), "{at} bytes");
            }
        }
    }

    #[test]
    fn one_of_a_cluster_of_another_size_is_refused() {
        let (_, n) = shape();
        let bytes = wanted(5, Some(Vec::from([set([3, 1, 2]), set([9, 2, 3])]))).encode();
        let refused = WantedLayout::decode(&bytes, PartitionCount::new(4).unwrap(), n);
        assert_eq!(refused, Err(DecodeWantedError::Shape { replication: 3, partitions: 2 }));
    }

    #[test]
    fn the_later_one_is_greater() {
        let sets = Some(Vec::from([set([3, 1, 2]), set([9, 2, 3])]));
        assert!(wanted(6, None) > wanted(5, sets));
    }
}
