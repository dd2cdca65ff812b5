//! One state of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dynamo_register::{
    Acceptor, AcceptorState, Answer, Ballot, Driver, Register, Request, requests,
};
use dynamo_ring::ReplicaSet;
use dynamo_types::NodeId;

use super::Scope;
use super::scope::{Begun, Mistake, RESTARTS};

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    pub(crate) acceptor: Acceptor,
    /// What a restart finds.
    pub(crate) disk: AcceptorState,
    /// A store that has begun.
    pub(crate) storing: Option<(u64, AcceptorState)>,
    /// Whether it has the version.
    pub(crate) has_version: bool,
}

/// A driver and how often it may still take a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Mover {
    pub(crate) driver: Driver,
    pub(crate) steps_left: u8,
}

/// A put or a get of one version with w and r of a majority.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Coordinator {
    /// The register that it knows.
    pub(crate) view: Register,
    /// Who answered under it: has stored the version, or does not have it.
    pub(crate) answered: BTreeSet<NodeId>,
}

/// A message. None ever leaves the network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Message {
    ToNode { to: NodeId, driver: u8, request: Request },
    ToDriver { driver: u8, from: NodeId, answer: Answer },
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// A driver begins, or its timeout passes.
    Step(u8),
    Deliver(Message),
    /// A store ends.
    Sync(u64),
    /// A node loses what is not synced, or goes back to its first state.
    Restart(u64),
    /// A node that was set back hears from another one.
    Tell {
        to: u64,
        from: u64,
    },
    /// A joiner copies what a member has.
    Copy {
        ballot: Ballot,
        joiner: NodeId,
        source: NodeId,
    },
    /// The put reaches a node and its answer comes back.
    Put(NodeId),
    /// The get reaches a node that does not have the version, and its answer comes back.
    Get(NodeId),
    /// The coordinator of the put, or of the get once there is one, hears of a register.
    Hear(Register),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Cluster {
    /// What an action does not change is shared with the state before.
    pub(crate) members: Vec<Arc<Member>>,
    pub(crate) movers: Vec<Arc<Mover>>,
    pub(crate) network: Arc<BTreeSet<Message>>,
    pub(crate) restarts_left: u8,
    /// Who voted for what: known to nobody but the checker.
    pub(crate) votes: BTreeMap<Ballot, BTreeSet<NodeId>>,
    /// The set of each ballot.
    pub(crate) sets: BTreeMap<Ballot, ReplicaSet>,
    pub(crate) copied: BTreeSet<(Ballot, NodeId, NodeId)>,
    pub(crate) put: Coordinator,
    /// Begins when the put was acknowledged.
    pub(crate) get: Option<Coordinator>,
}

impl Cluster {
    pub(crate) fn new(scope: &Scope) -> Self {
        let first = scope.first();
        let member = |node| {
            let disk = AcceptorState::new(first);
            let acceptor = Acceptor::new(NodeId(node), disk.clone());
            Member { acceptor, disk, storing: None, has_version: false }
        };
        let mover = |goal: &_| Mover { driver: Driver::new(first, *goal), steps_left: scope.steps };
        let mut cluster = Self {
            members: (0..scope.nodes).map(member).map(Arc::new).collect(),
            movers: scope.goals.iter().map(mover).map(Arc::new).collect(),
            network: Arc::default(),
            restarts_left: scope.restarts,
            votes: BTreeMap::new(),
            sets: BTreeMap::new(),
            copied: BTreeSet::new(),
            put: Coordinator { view: first, answered: BTreeSet::new() },
            get: None,
        };
        if scope.begun != Begun::Nothing {
            cluster.begin(scope);
        }
        cluster
    }

    fn begin(&mut self, scope: &Scope) {
        for number in (0..).take(scope.goals.len()) {
            assert!(self.act(scope, Action::Step(number)));
        }
        if scope.begun == Begun::FirstSynced {
            for message in self.network.as_ref().clone() {
                if matches!(message, Message::ToNode { to: NodeId(0 | 1), driver: 0, .. }) {
                    self.act(scope, Action::Deliver(message));
                }
            }
            while let Some(copy) = self.copies(scope).pop() {
                assert!(self.act(scope, copy));
            }
        }
    }

    pub(crate) fn member(&self, node: NodeId) -> &Member {
        &self.members[usize::try_from(node.0).unwrap()]
    }

    pub(crate) fn member_mut(&mut self, node: NodeId) -> &mut Member {
        Arc::make_mut(&mut self.members[usize::try_from(node.0).unwrap()])
    }

    pub(crate) fn mover_mut(&mut self, number: u8) -> &mut Mover {
        Arc::make_mut(&mut self.movers[usize::from(number)])
    }

    /// All registers that some node or driver knows.
    pub(crate) fn registers(&self) -> BTreeSet<Register> {
        let nodes = self.members.iter().map(|member| *member.acceptor.register());
        nodes.chain(self.movers.iter().map(|mover| *mover.driver.known())).collect()
    }

    /// What may happen next.
    pub(crate) fn actions(&self, scope: &Scope) -> Vec<Action> {
        let mut actions = Vec::new();
        for (number, mover) in (0..).zip(&self.movers) {
            if mover.steps_left > 0 {
                actions.push(Action::Step(number));
            }
        }
        actions.extend(self.network.iter().cloned().map(Action::Deliver));
        for (node, member) in (0..).zip(&self.members) {
            if member.storing.is_some() {
                actions.push(Action::Sync(node));
            }
            if NodeId(node) == RESTARTS && self.restarts_left > 0 {
                actions.push(Action::Restart(node));
            }
            if scope.rollback && !member.acceptor.takes_part() {
                let others = (0..scope.nodes).filter(|other| *other != node);
                actions.extend(others.map(|from| Action::Tell { to: node, from }));
            }
        }
        if scope.requests {
            actions.extend(self.copies(scope));
            self.requests(&mut actions);
        }
        actions
    }

    /// Copies that count for a proposal: from members that have their promise synced.
    fn copies(&self, scope: &Scope) -> Vec<Action> {
        let mut copies = Vec::new();
        for proposal in self.movers.iter().filter_map(|mover| mover.driver.proposal()) {
            let Some(movement) = proposal.movement else { continue };
            for source in proposal.current.iter() {
                let disk = &self.member(source).disk.register;
                let fenced = disk.epoch == proposal.epoch
                    && !disk.is_decided()
                    && disk.movement.is_some_and(|there| there.ballot == movement.ballot);
                if fenced || scope.has(Mistake::CopiesBeforeFence) {
                    let ballot = movement.ballot;
                    let joiners = proposal.joiners().into_iter();
                    let copy = |joiner| Action::Copy { ballot, joiner, source };
                    let needed = joiners.filter(|joiner| {
                        let has = |copied: &&(Ballot, NodeId, NodeId)| {
                            (copied.0, copied.1) == (ballot, *joiner)
                        };
                        let count = self.copied.iter().filter(has).count();
                        count < scope.majority()
                            && !self.copied.contains(&(ballot, *joiner, source))
                    });
                    copies.extend(needed.map(copy));
                }
            }
        }
        copies
    }

    fn requests(&self, actions: &mut Vec<Action>) {
        let coordinator = self.get.as_ref().unwrap_or(&self.put);
        if self.get.is_some() {
            let holders = requests::read_set(&coordinator.view);
            let left = holders.iter().filter(|node| !coordinator.answered.contains(node));
            actions.extend(left.map(Action::Get));
        } else {
            let sets = requests::write_sets(&coordinator.view);
            let holders: BTreeSet<NodeId> = sets.iter().flat_map(ReplicaSet::iter).collect();
            let left = holders.difference(&coordinator.answered);
            actions.extend(left.copied().map(Action::Put));
        }
        // To hear of one register after another is to hear of the last.
        let ahead = self.registers().into_iter().filter(|register| *register > coordinator.view);
        actions.extend(ahead.map(Action::Hear));
    }
}
