//! What one check looks at, and which rule of the surroundings it breaks on purpose.

use dynamo_register::{Goal, Register};
use dynamo_ring::ReplicaSet;
use dynamo_types::NodeId;

/// A rule outside the machines that is broken on purpose. Those inside are planted bugs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A node answers before its promise is synced.
    AnswersBeforeSync,
    /// A joiner copies from members that have not promised.
    CopiesBeforeFence,
}

/// Where a walk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// At rest.
    Nothing,
    /// Every driver has taken its first step.
    Steps,
    /// Nodes 0 and 1 have also promised what the first driver asks, and its joiners have copied.
    FirstSynced,
}

/// The bounds of one check.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) nodes: u64,
    pub(crate) current: ReplicaSet,
    /// One driver for each.
    pub(crate) goals: Vec<Goal>,
    /// How often each driver may take a step: at the start and at timeouts.
    pub(crate) steps: u8,
    /// How often node 1 may restart. Its stores take a while then; those of the others make no
    /// difference.
    pub(crate) restarts: u8,
    /// Whether a restart sets the disk back to its first state.
    pub(crate) rollback: bool,
    /// Whether there is a put and a get.
    pub(crate) requests: bool,
    pub(crate) mistake: Option<Mistake>,
    /// How much has happened where the walk begins, so that it reaches what takes long.
    pub(crate) begun: Begun,
}

/// The node that may restart.
pub(crate) const RESTARTS: NodeId = NodeId(1);

pub(crate) fn set(nodes: &[u64]) -> ReplicaSet {
    let nodes: Vec<NodeId> = nodes.iter().copied().map(NodeId).collect();
    ReplicaSet::new(&nodes).unwrap()
}

impl Scope {
    pub(crate) fn first(&self) -> Register {
        Register::first(self.current)
    }

    pub(crate) fn majority(&self) -> usize {
        self.first().majority()
    }

    /// Whether the answers of a node travel by themselves. Else they arrive with what they follow
    /// from: that a driver has not heard of an answer differs from that only by what it forgets.
    pub(crate) fn delays_answers(&self, node: NodeId) -> bool {
        node == RESTARTS && self.rollback
    }

    /// Whether the stores of a node take a while.
    pub(crate) fn delays_stores(&self, node: NodeId) -> bool {
        node == RESTARTS && self.restarts > 0 && !self.rollback
    }

    pub(crate) fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// Four nodes, three copies; the two plans have majorities that do not meet.
    pub(crate) fn two_plans() -> Self {
        Self {
            nodes: 4,
            current: set(&[0, 1, 2]),
            goals: vec![Goal::Move(set(&[0, 1, 3])), Goal::Move(set(&[1, 2, 3]))],
            steps: 2,
            restarts: 0,
            rollback: false,
            requests: false,
            mistake: None,
            begun: Begun::Nothing,
        }
    }

    /// Three nodes, two copies: one plan for each member to be replaced.
    pub(crate) fn two_copies() -> Self {
        Self {
            nodes: 3,
            current: set(&[0, 1]),
            goals: vec![Goal::Move(set(&[0, 2])), Goal::Move(set(&[1, 2]))],
            ..Self::two_plans()
        }
    }

    /// Three nodes, three copies: a renewal against one that prefers another order.
    pub(crate) fn three_nodes() -> Self {
        Self {
            nodes: 3,
            goals: vec![Goal::Move(set(&[2, 1, 0])), Goal::Cancel],
            ..Self::two_plans()
        }
    }

    /// Four nodes, three copies: a plan against its cancellation.
    pub(crate) fn plan_and_cancel() -> Self {
        Self { goals: vec![Goal::Move(set(&[0, 1, 3])), Goal::Cancel], ..Self::two_plans() }
    }
}
