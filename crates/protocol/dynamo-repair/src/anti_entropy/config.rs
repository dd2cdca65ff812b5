//! How a node goes about anti-entropy.

use core::time::Duration;

use dynamo_types::NodeId;

/// How a node goes about anti-entropy. But for its name, the same on all nodes of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AntiEntropyConfig {
    /// This node. Where two nodes open a session about one partition at once, that of the lower id
    /// goes on.
    pub node: NodeId,
    /// Between two looks at the roots shared with a peer, a tenth more or less.
    pub interval: Duration,
    /// Between finding a difference and settling it: what was on its way then has arrived. Left out
    /// where a side is incomplete.
    pub pause: Duration,
    /// How long the other side, or this node's own disk, may be silent.
    pub patience: Duration,
    /// Until an incomplete partition tries again with a peer, and until a peer that was busy is asked
    /// again. What failed otherwise waits for the next look at the roots.
    pub retry: Duration,
    /// Sessions of which this node is the initiator. It answers in twice as many. A session takes a
    /// copy of the partition's tree, at most 1.1 MiB and mostly 4 KiB, two dot clocks and at most
    /// 2 MiB for what it found and not settled yet.
    pub sessions_max: usize,
    /// Leaves read or compared at once as the initiator, in one session; several sessions share them.
    /// Each takes some 130 KiB at either side; more of them hide more round trips.
    pub leaves_max: usize,
}

impl AntiEntropyConfig {
    /// The usual one for a node.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            interval: Duration::from_secs(10),
            pause: Duration::from_secs(2),
            patience: Duration::from_secs(10),
            retry: Duration::from_secs(1),
            sessions_max: 32,
            leaves_max: 32,
        }
    }
}
