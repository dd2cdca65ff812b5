//! The first look: the roots of all partitions that two nodes share, in one message.

use alloc::vec::Vec;

use dynamo_merkle::Sum;
use dynamo_types::PartitionId;

/// The root of one partition's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionRoot {
    /// Which partition.
    pub partition: PartitionId,
    /// How deep the tree is.
    pub depth: u8,
    /// The sum of all its records.
    pub root: Sum,
}

impl PartitionRoot {
    /// Partition 2 bytes, depth 1, sum 16.
    const BYTES: usize = 19;
}

/// The initiator's roots of the partitions that it shares with a peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RootsQuestion {
    /// In order of partition; at most Q.
    pub roots: Vec<PartitionRoot>,
}

/// What the peer has to say to them. A partition that it does not name is equal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RootsAnswer {
    /// The peer's roots where they differ.
    pub differing: Vec<PartitionRoot>,
    /// Partitions that the peer cannot compare: it is no member, or not complete.
    pub not_compared: Vec<PartitionId>,
}

impl RootsQuestion {
    /// Answers with what `ours` says of a partition; none where it cannot be compared.
    pub fn answer(&self, ours: impl Fn(PartitionId) -> Option<PartitionRoot>) -> RootsAnswer {
        let mut answer = RootsAnswer::default();
        for theirs in &self.roots {
            match ours(theirs.partition) {
                None => answer.not_compared.push(theirs.partition),
                Some(ours) if ours.root != theirs.root => answer.differing.push(ours),
                Some(_) => {}
            }
        }
        answer
    }

    /// The bytes that it takes: a tag and what it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        1 + self.roots.len() * PartitionRoot::BYTES
    }
}

impl RootsAnswer {
    /// The partitions of a question that this says are equal: verified as of when it was asked.
    pub fn equal<'a>(
        &'a self,
        question: &'a RootsQuestion,
    ) -> impl Iterator<Item = PartitionId> + 'a {
        let asked = question.roots.iter().map(|root| root.partition);
        asked.filter(|partition| {
            !self.not_compared.contains(partition)
                && !self.differing.iter().any(|root| root.partition == *partition)
        })
    }

    /// The bytes that it takes: a tag and two counts, and what it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        3 + self.differing.len() * PartitionRoot::BYTES + self.not_compared.len() * 2
    }
}
