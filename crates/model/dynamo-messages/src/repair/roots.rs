//! The first look: the roots of all partitions that two nodes share, in one message.

use alloc::vec::Vec;

use dynamo_merkle::Sum;
use dynamo_types::PartitionId;

/// Eight bytes that tell two dot clocks apart, horizons included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClockDigest(pub u64);

/// What a node holds of one partition, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionRoot {
    /// Which partition.
    pub partition: PartitionId,
    /// The sum of all its records.
    pub root: Sum,
    /// Of its dot clock.
    pub clock: ClockDigest,
}

/// The asking node's roots of the partitions that it shares with a peer. Those of which it is not
/// complete are left out: it publishes no clock for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RootsQuestion {
    /// Repeated by the answer.
    pub number: u32,
    /// In order of partition; at most Q.
    pub roots: Vec<PartitionRoot>,
}

/// What the peer has to say to them. A partition that it does not name is equal, root and clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RootsAnswer {
    /// Of the question.
    pub number: u32,
    /// Where root or clock differ.
    pub differing: Vec<PartitionId>,
    /// Partitions that the peer cannot compare: it is no member, or not complete.
    pub not_compared: Vec<PartitionId>,
}

impl RootsQuestion {
    /// Answers with what `ours` says of a partition; none where it cannot be compared.
    pub fn answer(&self, ours: impl Fn(PartitionId) -> Option<PartitionRoot>) -> RootsAnswer {
        let mut answer = RootsAnswer { number: self.number, ..RootsAnswer::default() };
        for theirs in &self.roots {
            match ours(theirs.partition) {
                None => answer.not_compared.push(theirs.partition),
                Some(ours) if ours != *theirs => answer.differing.push(theirs.partition),
                Some(_) => {}
            }
        }
        answer
    }
}

impl RootsAnswer {
    /// Whether a partition that was asked about is equal.
    #[must_use]
    pub fn is_equal(&self, partition: PartitionId) -> bool {
        !self.differing.contains(&partition) && !self.not_compared.contains(&partition)
    }
}
