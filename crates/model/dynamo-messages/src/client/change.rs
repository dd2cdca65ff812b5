//! Changes of the members: what operators ask for, what a plan means, how far moves are.

use alloc::string::String;
use alloc::vec::Vec;

use dynamo_types::{NodeId, PartitionId};

/// Changes in one request, at most.
pub const CHANGES_MAX: usize = 256;

/// Partitions in one [`TransfersView`], at most: so many of the longest fit a frame.
pub const TRANSFERS_MAX: usize = 1 << 14;

/// Pairs in one [`TransferView`], at most: as many as if each of seven joining nodes waited for each
/// of seven present ones.
pub const WAITING_PER_TRANSFER: usize = 49;

/// One change. Nodes are named by their name or their id in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterChange {
    /// A node that has made itself known gets its share.
    Join {
        /// Which node.
        node: String,
    },
    /// A node hands over what it has, and is removed then.
    Leave {
        /// Which node.
        node: String,
    },
    /// A node is gone for good, and removed at once: nobody waits for what it has.
    Remove {
        /// Which node.
        node: String,
    },
    /// A node's capacity.
    Reweight {
        /// Which node.
        node: String,
        /// Relative to the others, at least 1.
        weight: u32,
    },
    /// A node's failure zone.
    Rezone {
        /// Which node.
        node: String,
        /// The zone.
        zone: String,
    },
}

/// What a plan means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanView {
    /// Names the plan and what it was made for.
    pub plan: u128,
    /// Whether it is committed.
    pub committed: bool,
    /// Partitions whose replicas are other nodes afterwards.
    pub partitions_changed: u32,
    /// Copies that have to be fetched.
    pub copies_moved: u32,
    /// No fair layout fetches fewer.
    pub copies_lower_bound: u32,
    /// All copies there are: N x Q.
    pub copies: u32,
    /// About how many bytes that is, by the sizes of partitions that the answering node knows.
    pub bytes: u64,
    /// About how long it takes, in seconds, if nothing else goes on.
    pub seconds: u32,
    /// Partitions with every replica in a zone of its own, before.
    pub zone_safe_before: u32,
    /// The same afterwards.
    pub zone_safe_after: u32,
    /// Partitions of which no node that is up has a copy: to commit gives their data up until it returns.
    pub out_of_reach: u32,
    /// Each node that holds copies before or afterwards.
    pub nodes: Vec<PlannedNodeView>,
    /// What travels between each two nodes.
    pub links: Vec<LinkView>,
}

/// What a plan means for a node. All in copies of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedNodeView {
    /// Which node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Held before.
    pub before: u32,
    /// Held afterwards.
    pub after: u32,
    /// Fetched from others.
    pub received: u32,
    /// Read by others.
    pub sent: u32,
}

/// What travels from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkView {
    /// The source.
    pub from: NodeId,
    /// The target.
    pub to: NodeId,
    /// Copies of partitions.
    pub copies: u32,
    /// About how many bytes.
    pub bytes: u64,
}

/// The moves under way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransfersView {
    /// Every partition whose register is not at rest, or not what is wanted, as the answering node
    /// knows it. At most [`TRANSFERS_MAX`] of them travel, the first; how many there are in all is
    /// [`partitions`](Self::partitions) less [`settled`](Self::settled).
    pub transfers: Vec<TransferView>,
    /// Partitions that are where the wanted layout has them.
    pub settled: u32,
    /// All partitions.
    pub partitions: u32,
    /// Nodes that are leaving and still keep hints or copies, or are not heard of.
    pub leaving: Vec<NodeId>,
}

/// A partition on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferView {
    /// Which partition.
    pub partition: PartitionId,
    /// How far: `planned`, `fenced`, `synced`, `decided` or `committed`.
    pub stage: String,
    /// The set that held it before.
    pub current: Vec<NodeId>,
    /// The set that shall hold it.
    pub next: Vec<NodeId>,
    /// Copies that the move waits for: who has still to get everything or to hand it over, and from or to
    /// whom. At most [`WAITING_PER_TRANSFER`] of them travel, the first.
    pub waiting: Vec<(NodeId, NodeId)>,
    /// Records that the answering node holds of it, if it is one of these.
    pub records: Option<u64>,
}
