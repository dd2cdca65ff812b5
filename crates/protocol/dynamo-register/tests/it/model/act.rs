//! How an action changes the cluster.

use std::sync::Arc;

use dynamo_register::{
    Acceptor, AcceptorEffect, AcceptorState, Admission, Ballot, DriverEffect, Register, Request,
    Vote, requests,
};
use dynamo_types::NodeId;

use super::Scope;
use super::cluster::{Action, Cluster, Coordinator, Member, Message};
use super::scope::Mistake;

/// Drivers are no members here: their answers go to these.
const DRIVERS: u64 = 100;

impl Cluster {
    /// Carries out an action. Returns whether anything came of it.
    pub(crate) fn act(&mut self, scope: &Scope, action: Action) -> bool {
        match action {
            Action::Step(number) => self.step(scope, number),
            Action::Deliver(Message::ToNode { to, driver, request }) => {
                let from = NodeId(DRIVERS + u64::from(driver));
                self.member_mut(to).acceptor.handle(from, request);
                self.settle(scope, to);
            }
            Action::Deliver(Message::ToDriver { driver, from, answer }) => {
                // Drivers keep sets of who said what: to hear it twice changes nothing.
                Arc::make_mut(&mut self.network).remove(&Message::ToDriver {
                    driver,
                    from,
                    answer,
                });
                self.mover_mut(driver).driver.answered(from, &answer);
                self.pump(scope, driver);
            }
            Action::Sync(node) => {
                let member = self.member_mut(NodeId(node));
                let Some((number, state)) = member.storing.take() else { return false };
                member.disk = state;
                member.acceptor.stored(number);
                self.settle(scope, NodeId(node));
            }
            Action::Restart(node) => self.restart(scope, NodeId(node)),
            Action::Tell { to, from } => {
                let register = *self.member(NodeId(from)).acceptor.register();
                self.member_mut(NodeId(to)).acceptor.told(NodeId(from), &register);
                self.settle(scope, NodeId(to));
            }
            Action::Copy { ballot, joiner, source } => {
                if !self.copied.insert((ballot, joiner, source)) {
                    return false;
                }
                let has_version = self.member(source).has_version;
                self.member_mut(joiner).has_version |= has_version;
                for number in (0..).take(self.movers.len()) {
                    self.mover_mut(number).driver.exchanged(ballot, joiner, source);
                    self.pump(scope, number);
                }
            }
            Action::Put(node) => self.put(scope, node),
            Action::Get(node) => return self.get(scope, node),
            Action::Hear(register) => {
                self.get.as_mut().unwrap_or(&mut self.put).see(&register);
            }
        }
        true
    }

    fn step(&mut self, scope: &Scope, number: u8) {
        let mover = self.mover_mut(number);
        mover.steps_left -= 1;
        mover.driver.step().expect("the sets have one size");
        let ballot = mover.driver.proposal().and_then(|proposal| proposal.movement);
        if let Some(movement) = ballot {
            self.sets.insert(movement.ballot, movement.next);
            let known: Vec<(Ballot, NodeId, NodeId)> = self.copied.iter().copied().collect();
            for (ballot, joiner, source) in known {
                self.mover_mut(number).driver.exchanged(ballot, joiner, source);
            }
        }
        self.pump(scope, number);
    }

    fn restart(&mut self, scope: &Scope, node: NodeId) {
        self.restarts_left -= 1;
        let first = AcceptorState::new(scope.first());
        let member = self.member_mut(node);
        member.storing = None;
        member.acceptor = if scope.rollback {
            member.disk = first.clone();
            Acceptor::after_rollback(node, first)
        } else {
            Acceptor::new(node, member.disk.clone())
        };
        self.settle(scope, node);
    }

    fn put(&mut self, scope: &Scope, node: NodeId) {
        let view = self.put.view;
        let admission = self.member_mut(node).acceptor.admit(&view);
        self.settle(scope, node);
        match admission {
            Admission::Stale(register) => self.put.see(&register),
            Admission::Unsure => return,
            Admission::Now | Admission::AfterStore(_) => {
                self.member_mut(node).has_version = true;
                self.put.answered.insert(node);
            }
        }
        let own = |node: &NodeId| requests::CopyOf { member: *node, holder: *node };
        let copies: Vec<_> = self.put.answered.iter().map(own).collect();
        let w = u8::try_from(scope.majority()).unwrap();
        if requests::has_enough_copies(&self.put.view, w, true, &copies) {
            // Who reads may be as far behind as anybody.
            self.get = Some(Coordinator { view: scope.first(), answered: [].into() });
        }
    }

    fn get(&mut self, scope: &Scope, node: NodeId) -> bool {
        let Some(view) = self.get.as_ref().map(|get| get.view) else { return false };
        let admission = self.member_mut(node).acceptor.admit(&view);
        self.settle(scope, node);
        let has_version = self.member(node).has_version;
        let Some(get) = &mut self.get else { return false };
        match admission {
            Admission::Stale(register) => get.see(&register),
            Admission::Unsure => return false,
            // A get that meets the version is of no more interest.
            Admission::Now | Admission::AfterStore(_) if has_version => return false,
            Admission::Now | Admission::AfterStore(_) => {
                get.answered.insert(node);
            }
        }
        true
    }

    /// Carries out what an acceptor asks for.
    fn settle(&mut self, scope: &Scope, node: NodeId) {
        let at_once = !scope.delays_stores(node) || scope.has(Mistake::AnswersBeforeSync);
        while let Some(effect) = self.member_mut(node).acceptor.poll_effect() {
            match effect {
                AcceptorEffect::Store { number, state } => {
                    let member = self.member_mut(node);
                    if at_once {
                        member.acceptor.stored(number);
                    }
                    if scope.delays_stores(node) {
                        member.storing = Some((number, state));
                    } else {
                        member.disk = state;
                    }
                }
                AcceptorEffect::Answer { to, answer } => {
                    if let Some(Vote::Accepted(ballot)) = answer.vote {
                        self.votes.entry(ballot).or_default().insert(node);
                    }
                    let driver = u8::try_from(to.0 - DRIVERS).unwrap();
                    if scope.delays_answers(node) {
                        Arc::make_mut(&mut self.network).insert(Message::ToDriver {
                            driver,
                            from: node,
                            answer,
                        });
                    } else {
                        self.mover_mut(driver).driver.answered(node, &answer);
                        self.pump(scope, driver);
                    }
                }
            }
        }
        let member = self.member_mut(node);
        if member.storing.is_none() {
            // The numbers of stores tell nothing any more.
            member.acceptor = Acceptor::new(node, member.disk.clone());
        }
    }

    /// Carries out what a driver asks for.
    fn pump(&mut self, scope: &Scope, number: u8) {
        loop {
            let driver = &mut self.mover_mut(number).driver;
            if !scope.requests {
                // Where no data is looked at, joiners have everything as soon as they are asked.
                if let Some(proposal) = driver.proposal().copied() {
                    let ballot = proposal.movement.map(|movement| movement.ballot);
                    for (joiner, source) in driver.missing_exchanges() {
                        driver.exchanged(ballot.unwrap(), joiner, source);
                    }
                }
            }
            // What is cleaned asks of requests what is committed asks: there they stay.
            for (leaver, member) in driver.missing_comparisons() {
                if !scope.requests {
                    driver.compared(leaver, member);
                }
            }
            match driver.poll_effect() {
                // Where no data is looked at, joiners have no part.
                Some(DriverEffect::Send { to, request: Request::Learn(_) })
                    if !scope.requests && !scope.current.contains(to) => {}
                Some(DriverEffect::Send { to, request }) => {
                    Arc::make_mut(&mut self.network).insert(Message::ToNode {
                        to,
                        driver: number,
                        request,
                    });
                }
                Some(DriverEffect::Entered(_)) => {}
                None => return,
            }
        }
    }
}

impl Coordinator {
    /// Takes over a register that is ahead, and begins anew under it.
    fn see(&mut self, register: &Register) {
        if self.view.merge(register) {
            self.answered.clear();
        }
    }
}

impl Member {
    /// Whether nothing of it can be lost.
    pub(crate) fn is_settled(&self) -> bool {
        self.storing.is_none()
    }
}
