//! What must hold in every state.

use std::collections::BTreeSet;

use dynamo_register::{AcceptorEffect, Driver, DriverEffect, Goal, Register, Stage};
use dynamo_ring::ReplicaSet;
use dynamo_types::NodeId;
use stateright::Property;

use super::{Cluster, Scope};

pub(crate) const ONE_SET: &str = "one set is decided";
pub(crate) const NO_OTHER_WINS: &str = "no other set gets a vote once one is decided";
pub(crate) const READ_SEES_PUT: &str = "a get sees what was acknowledged";
pub(crate) const CAN_BE_LEFT: &str = "every stage can be left";

pub(crate) const COMMITTED: &str = "a move is committed";

pub(crate) fn all(scope: &Scope) -> Vec<Property<Scope>> {
    let mut all = vec![
        Property::always(ONE_SET, |scope: &Scope, state: &Cluster| {
            state.decided_sets(scope).len() <= 1
        }),
        Property::always(NO_OTHER_WINS, |scope: &Scope, state: &Cluster| {
            state.decided_ballots(scope).iter().all(|decided| {
                let later = state.votes.range(*decided..).map(|(ballot, _)| ballot);
                later.into_iter().all(|ballot| state.sets[ballot] == state.sets[decided])
            })
        }),
        Property::always(READ_SEES_PUT, |scope: &Scope, state: &Cluster| {
            state.get.as_ref().is_none_or(|get| get.answered.len() < scope.majority())
        }),
        Property::sometimes(COMMITTED, |_: &Scope, state: &Cluster| {
            state.movers.iter().any(|mover| {
                let known = mover.driver.known();
                known.stage() == Some(Stage::Committed) || known.epoch.number > 1
            })
        }),
    ];
    if !scope.requests && !scope.rollback && scope.restarts == 0 {
        all.push(Property::always(CAN_BE_LEFT, |scope: &Scope, state: &Cluster| {
            state.can_be_finished(scope)
        }));
    }
    all
}

impl Cluster {
    fn decided_ballots(&self, scope: &Scope) -> BTreeSet<dynamo_register::Ballot> {
        let voted = self.votes.iter().filter(|(_, voters)| {
            let members = voters.iter().filter(|node| scope.current.contains(**node));
            members.count() >= scope.majority()
        });
        voted.map(|(ballot, _)| *ballot).collect()
    }

    /// Sets that somebody holds for decided in the first epoch, or that are.
    fn decided_sets(&self, scope: &Scope) -> BTreeSet<ReplicaSet> {
        let ballots = self.decided_ballots(scope);
        let mut sets: BTreeSet<ReplicaSet> = ballots.iter().map(|b| self.sets[b]).collect();
        for register in self.registers() {
            if register.is_decided() && register.epoch.number == 1 {
                sets.insert(register.settled_set());
            } else if register.epoch.number == 2 {
                sets.insert(register.current);
            }
        }
        sets
    }

    /// Whether a driver that starts now, with a majority of the current set and all joiners up, comes
    /// to a register without a move. The first member of the current set may be the one that is down.
    fn can_be_finished(&self, scope: &Scope) -> bool {
        scope.current.iter().all(|down| self.finishes_without(scope, down))
    }

    fn finishes_without(&self, scope: &Scope, down: NodeId) -> bool {
        // With two copies a majority is both.
        let is_up = |node: NodeId| scope.majority() == scope.current.len() || node != down;
        let mut members: Vec<_> = self.members.iter().map(|member| (**member).clone()).collect();
        let nodes: Vec<NodeId> = (0..scope.nodes).map(NodeId).filter(|node| is_up(*node)).collect();
        for node in &nodes {
            let member = &mut members[usize::try_from(node.0).unwrap()];
            if !member.is_settled() {
                let (number, _) = member.storing.take().unwrap();
                member.acceptor.stored(number);
            }
            while member.acceptor.poll_effect().is_some() {}
        }
        let known: Register = {
            let registers = nodes.iter().map(|node| &members[usize::try_from(node.0).unwrap()]);
            *registers.map(|member| member.acceptor.register()).max().unwrap()
        };
        let mut driver = Driver::new(known, Goal::Finish);
        // Each round at most one ballot is in vain.
        for _ in 0..12 {
            driver.step().unwrap();
            while let Some(effect) = driver.poll_effect() {
                let DriverEffect::Send { to, request } = effect else { continue };
                if !is_up(to) {
                    continue;
                }
                let acceptor = &mut members[usize::try_from(to.0).unwrap()].acceptor;
                acceptor.handle(NodeId(200), request);
                while let Some(effect) = acceptor.poll_effect() {
                    match effect {
                        AcceptorEffect::Store { number, .. } => acceptor.stored(number),
                        AcceptorEffect::Answer { answer, .. } => driver.answered(to, &answer),
                    }
                }
                let proposal = driver.proposal().and_then(|proposal| proposal.movement);
                for (joiner, source) in driver.missing_exchanges() {
                    if is_up(source) {
                        driver.exchanged(proposal.unwrap().ballot, joiner, source);
                    }
                }
                for (leaver, member) in driver.missing_comparisons() {
                    driver.compared(leaver, member);
                }
            }
        }
        driver.is_done()
            && nodes.iter().all(|node| {
                let register = members[usize::try_from(node.0).unwrap()].acceptor.register();
                register.movement.is_none() || !driver.known().everyone().contains(node)
            })
    }
}
