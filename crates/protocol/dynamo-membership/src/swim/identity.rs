//! Who speaks: a node, and which of its lives.

use dynamo_types::NodeId;

/// A node together with the number of its life.
///
/// A verdict of "down" is final for one identity, so that old news cannot undo it. Whoever was
/// judged falsely goes on under a higher number, and so does a process that starts again. Any higher
/// number wins, however far it jumps: a node that returns after a year is not "too new".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SwimIdentity {
    /// The node.
    pub node: NodeId,
    /// Higher with every process start (the wall clock in milliseconds will do), and by one each
    /// time that a living process was judged down. Not the actor of protocol rule 1.
    pub incarnation: u64,
}

impl foca::Identity for SwimIdentity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        let incarnation = self.incarnation.checked_add(1)?;
        Some(Self { node: self.node, incarnation })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.incarnation > adversary.incarnation
    }
}
