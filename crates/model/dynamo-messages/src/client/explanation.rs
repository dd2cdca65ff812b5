//! What each replica of an object has: for people who ask why a read says what it says.

use alloc::vec::Vec;

use dynamo_types::{NodeId, PartitionId, RequestId, WallTime};
use dynamo_versioning::{Dot, VersionsDigest};

/// Who should hold an object, and what each of them has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Where the object lies.
    pub partition: PartitionId,
    /// Exactly the replica set, in its order.
    pub replicas: Vec<ReplicaView>,
    /// The other nodes that keep hints of it, as far as they answered.
    pub hints: Vec<HintView>,
    /// How long ago all replicas of the partition were last found to hold the same, in milliseconds;
    /// absent if the answering node is no replica, or has not compared since it started.
    pub verified_ms_ago: Option<u64>,
}

impl Explanation {
    /// Whether every replica told what it has, and all have the same versions.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let told = |replica: &ReplicaView| {
            matches!(replica.state, ReplicaState::Present | ReplicaState::Missing)
        };
        let first = self.replicas.first().map(|replica| replica.digest);
        self.replicas.iter().all(|replica| told(replica) && Some(replica.digest) == first)
    }

    /// The replicas that lack a version which another one showed.
    pub fn behind(&self) -> impl Iterator<Item = NodeId> {
        self.replicas.iter().filter(|replica| replica.behind).map(|replica| replica.node)
    }
}

/// What one replica has of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaView {
    /// Which replica.
    pub node: NodeId,
    /// What it said.
    pub state: ReplicaState,
    /// Of the dots of all its versions; absent if it showed no record.
    pub digest: Option<VersionsDigest>,
    /// Whether what it has differs from what the answers amount to together. Never set for a
    /// replica that did not say what it has.
    pub behind: bool,
    /// All its versions by dot, deleted and expired ones too.
    pub siblings: Vec<SiblingView>,
    /// Intervals of its record's context.
    pub context_intervals: u32,
}

/// What a fallback keeps of an object for replicas that could not be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintView {
    /// Which node keeps it.
    pub node: NodeId,
    /// Of the dots of all its versions.
    pub digest: VersionsDigest,
    /// All its versions by dot.
    pub siblings: Vec<SiblingView>,
}

/// What a replica said of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplicaState {
    /// It holds a record.
    Present,
    /// It holds none, and would know.
    Missing,
    /// It cannot know: its row is damaged, or its partition incomplete.
    Unsure,
    /// It did not look: its queue is full, or its disk did not read.
    Busy,
    /// No connection stands, or no whole answer came in time.
    Unreachable,
}

impl ReplicaState {
    /// Its name, for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Missing => "missing",
            Self::Unsure => "unsure",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One version at a replica, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiblingView {
    /// Which put made it.
    pub dot: Dot,
    /// Whether it marks a delete.
    pub tombstone: bool,
    /// Length of the value, 0 for a tombstone.
    pub value_bytes: u64,
    /// When it was written, by its coordinator's hybrid clock.
    pub written_at: WallTime,
    /// When it expires, if it does.
    pub expires_at: Option<WallTime>,
    /// The request id of its put.
    pub request: RequestId,
}
