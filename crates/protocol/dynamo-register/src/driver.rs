//! Takes a move from stage to stage.
//!
//! A driver keeps nothing that must survive: whoever starts one anew asks again. It sends, counts
//! answers and climbs; it may run at any member of either set, and at several at once, since all it
//! claims was said by majorities of the current set (protocol rule 8). Two that disagree
//! make each other's ballots vain, so whoever calls [`step`](Driver::step) waits a random while first.
//!
//! Hints count for nothing here: a promise, a vote and an exchange are said by the member itself
//! (history 18).

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use dynamo_ring::ReplicaSet;
use dynamo_types::NodeId;
use dynamo_types::planted::{PlantedBug, planted};

use crate::acceptor::{Answer, Request, Vote};
use crate::ballot::{Ballot, Epoch};
use crate::register::{ProposeError, Register, Stage};

/// What an operator wants of the partition's present epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Goal {
    /// To finish what others began.
    Finish,
    /// To move to this set. The current one is a renewal: it begins a new epoch for a member that has
    /// forgotten its votes.
    Move(ReplicaSet),
    /// To stay with the current set, whatever others propose.
    Cancel,
}

/// What shall be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DriverEffect {
    /// Ask a node.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        request: Request,
    },
    /// The move has come to this register: pass it on, the node's own acceptor included.
    Entered(Register),
}

/// The machine: one partition, seen by one node that wants its move to go on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Driver {
    goal: Goal,
    /// The epoch of which the goal was said. In any other the driver only finishes.
    goal_of: Epoch,
    /// The most advanced register seen.
    known: Register,
    /// What it asks votes for: a fenced register of the known epoch.
    proposal: Option<Register>,
    /// The highest ballot that it has seen in this epoch.
    highest: Option<Ballot>,
    promised: BTreeSet<NodeId>,
    /// Whether votes were asked for since the last step.
    asked_votes: bool,
    accepted: BTreeSet<NodeId>,
    /// Who will not vote for the proposal.
    barred: BTreeSet<NodeId>,
    recorded: BTreeSet<NodeId>,
    /// (joiner, member of the current set): N * N at most.
    exchanged: BTreeSet<(NodeId, NodeId)>,
    /// (leaver, member of the next set): N * N at most.
    compared: BTreeSet<(NodeId, NodeId)>,
    /// Nodes that nobody waits for any more: those of both sets at most.
    given_up: BTreeSet<NodeId>,
    /// At most four for each node of both sets, if it is emptied after each call.
    effects: VecDeque<DriverEffect>,
}

impl Driver {
    /// Starts from what this node knows. Nothing happens before the first [`step`](Self::step).
    #[must_use]
    pub fn new(known: Register, goal: Goal) -> Self {
        Self {
            goal,
            goal_of: known.cleaned().epoch,
            known,
            proposal: None,
            highest: known.movement.map(|movement| movement.ballot),
            promised: BTreeSet::new(),
            asked_votes: false,
            accepted: BTreeSet::new(),
            barred: BTreeSet::new(),
            recorded: BTreeSet::new(),
            exchanged: BTreeSet::new(),
            compared: BTreeSet::new(),
            given_up: BTreeSet::new(),
            effects: VecDeque::new(),
        }
    }

    /// The most advanced register it knows.
    #[must_use]
    pub fn known(&self) -> &Register {
        &self.known
    }

    /// What it asks votes for.
    #[must_use]
    pub fn proposal(&self) -> Option<&Register> {
        self.proposal.as_ref()
    }

    /// Whether there is nothing left to do: no move is under way, and none is wanted.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.known.movement.is_none() && self.goal() == Goal::Finish
    }

    /// Takes the next step, or tries again what was not answered: at the start, and when a timeout
    /// has passed without a step.
    ///
    /// # Errors
    /// The goal cannot be proposed.
    pub fn step(&mut self) -> Result<(), ProposeError> {
        let cleaned = self.known.cleaned();
        let committed = self.known.stage() == Some(Stage::Committed);
        if committed && self.goal != Goal::Finish && self.goal_of == cleaned.epoch {
            // Leavers that are not done yet do not hold the next move up.
            self.see(&cleaned, None);
        }
        if self.known.is_decided() {
            let known = self.known;
            self.send_all(&known.everyone(), Request::Learn(known));
            return Ok(());
        }
        let Some(proposal) = self.proposed()? else { return Ok(()) };
        self.asked_votes = self.is_synced();
        let voters: Vec<NodeId> = self.voters().iter().collect();
        if self.asked_votes {
            self.send_all(&voters, Request::Accept(proposal));
        } else {
            self.send_all(&voters, Request::Promise(proposal));
            self.send_all(&proposal.joiners(), Request::Learn(proposal));
        }
        Ok(())
    }

    /// What it was told to do last.
    #[must_use]
    pub fn wish(&self) -> Goal {
        self.goal
    }

    /// Another wish of the operator.
    pub fn want(&mut self, goal: Goal) {
        self.goal = goal;
        self.goal_of = self.known.cleaned().epoch;
        self.drop_proposal();
    }

    /// A node has answered.
    pub fn answered(&mut self, from: NodeId, answer: &Answer) {
        self.see(&answer.register, answer.promised);
        let asked = self.proposal.and_then(|proposal| proposal.movement);
        let counts = self.voters().contains(from);
        match (answer.vote, asked) {
            (Some(Vote::Promised(ballot)), Some(asked)) if ballot == asked.ballot && counts => {
                self.promised.insert(from);
            }
            (Some(Vote::Accepted(ballot)), Some(asked)) if ballot == asked.ballot && counts => {
                self.accepted.insert(from);
            }
            (Some(Vote::Barred(ballot)), Some(asked)) if ballot == asked.ballot && counts => {
                self.barred.insert(from);
            }
            _ => {}
        }
        let records = answer.register.epoch == self.known.epoch && answer.register.is_decided();
        if records && self.known.current.contains(from) {
            self.recorded.insert(from);
        }
        self.climb();
    }

    /// A joiner has everything from a member of the current set, as it was after that member had
    /// promised this ballot and had it synced.
    pub fn exchanged(&mut self, ballot: Ballot, joiner: NodeId, source: NodeId) {
        let Some(proposal) = self.proposal else { return };
        let is_asked = proposal.movement.is_some_and(|movement| movement.ballot == ballot);
        if is_asked && proposal.joiners().contains(&joiner) && proposal.current.contains(source) {
            self.exchanged.insert((joiner, source));
            self.climb();
        }
    }

    /// A leaver has compared with a member of the next set and handed over what only it had, its
    /// hints included.
    pub fn compared(&mut self, leaver: NodeId, member: NodeId) {
        let Some(movement) = self.known.movement else { return };
        if self.known.leavers().contains(&leaver) && movement.next.contains(member) {
            self.compared.insert((leaver, member));
            self.climb();
        }
    }

    /// The members say that a node is removed: nobody waits for what it has as a leaver, nor for what it gets
    /// as a joiner. It is a joiner still if somebody voted for its set, which then has to be decided before
    /// another one can take its place; it never answers a read. Should it return as a leaver, it offers
    /// what it has as a former owner does (protocol rule 8).
    pub fn give_up(&mut self, node: NodeId) {
        if self.known.everyone().contains(&node) && self.given_up.insert(node) {
            self.climb();
        }
    }

    /// Joiners and the members of the current set that they have not had everything from yet; empty
    /// once a joiner has a majority. To be shown to people as what a move waits for.
    #[must_use]
    pub fn missing_exchanges(&self) -> Vec<(NodeId, NodeId)> {
        let Some(proposal) = self.proposal else { return Vec::new() };
        let missing = |joiner: NodeId| {
            let all = proposal.current.iter().map(move |source| (joiner, source));
            all.filter(|pair| !self.exchanged.contains(pair))
        };
        let waiting = proposal.joiners().into_iter().filter(|joiner| !self.has_joined(*joiner));
        waiting.flat_map(missing).collect()
    }

    /// Leavers and the members of the next set that they have not compared with yet. A dead member
    /// stands here until another move replaces it (history 24).
    #[must_use]
    pub fn missing_comparisons(&self) -> Vec<(NodeId, NodeId)> {
        let Some(movement) = self.known.movement else { return Vec::new() };
        if movement.stage != Stage::Committed {
            return Vec::new();
        }
        let leavers = self.known.leavers().into_iter();
        let awaited = leavers.filter(|leaver| !self.given_up.contains(leaver));
        awaited
            .flat_map(|leaver| movement.next.iter().map(move |member| (leaver, member)))
            .filter(|pair| !self.compared.contains(pair) && !self.given_up.contains(&pair.1))
            .collect()
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<DriverEffect> {
        self.effects.pop_front()
    }

    /// The proposal to go on with: the present one while it can still win, else one that can.
    fn proposed(&mut self) -> Result<Option<Register>, ProposeError> {
        let ballot = |register: &Register| register.movement.map(|movement| movement.ballot);
        // Votes that are known for another ballot, or a promise of a higher one, make it vain. One member
        // that will not vote does not while a majority has promised: a new ballot would have the
        // joiners exchange anew.
        let stands = |proposal: &Register| {
            let promised = self.promised.difference(&self.barred).count();
            self.known <= proposal.at(Stage::Synced)
                && ballot(proposal) >= self.highest
                && (self.barred.is_empty() || promised >= proposal.majority())
        };
        if self.proposal.as_ref().is_some_and(stands) {
            return Ok(self.proposal);
        }
        let next = match self.goal() {
            Goal::Move(next) => next,
            Goal::Cancel => self.known.current,
            Goal::Finish => match self.known.movement {
                Some(movement) => movement.next,
                None => {
                    self.drop_proposal();
                    return Ok(None);
                }
            },
        };
        let known = self.known.at(Stage::Fenced);
        let same = self.known.movement.is_some_and(|movement| movement.next == next);
        let is_barred = !self.barred.is_empty();
        self.drop_proposal();
        let proposal = if same && ballot(&known) == self.highest && !is_barred {
            // Another began this: help it to its end, under its ballot.
            known
        } else {
            let lamport = self.highest.map_or(0, |highest| highest.lamport).saturating_add(1);
            self.known.propose(lamport, next)?
        };
        self.proposal = Some(proposal);
        self.see(&proposal, None);
        Ok(Some(proposal))
    }

    /// Takes in what somebody knows.
    fn see(&mut self, register: &Register, promised: Option<Ballot>) {
        if register.epoch > self.known.epoch {
            self.drop_proposal();
            self.recorded.clear();
            self.compared.clear();
            self.given_up.clear();
            self.highest = None;
        }
        let newly_decided = register.is_decided() && !self.known.is_decided();
        self.known.merge(register);
        if register.epoch == self.known.epoch {
            let ballot = register.movement.map(|movement| movement.ballot);
            self.highest = self.highest.max(ballot).max(promised);
        }
        if newly_decided && self.known.is_decided() {
            self.drop_proposal();
        }
    }

    /// Enters every stage that the answers allow.
    fn climb(&mut self) {
        if !self.known.is_decided() {
            let Some(proposal) = self.proposal else { return };
            if self.is_synced() && !self.asked_votes {
                self.asked_votes = true;
                let voters: Vec<NodeId> = self.voters().iter().collect();
                self.send_all(&voters, Request::Accept(proposal));
            }
            if self.accepted.len() < proposal.majority() {
                return;
            }
            self.enter(proposal.at(Stage::Decided));
        }
        if self.known.stage() == Some(Stage::Decided) {
            let enough =
                if planted(PlantedBug::CommitsWhenOneRecorded) { 1 } else { self.known.majority() };
            if self.recorded.len() < enough {
                return;
            }
            self.enter(self.known.at(Stage::Committed));
        }
        let one_is_enough = planted(PlantedBug::LeaverWipedAfterOne) && !self.compared.is_empty();
        if self.known.stage() == Some(Stage::Committed)
            && (self.missing_comparisons().is_empty() || one_is_enough)
        {
            self.enter(self.known.cleaned());
        }
    }

    fn enter(&mut self, register: Register) {
        let everyone = self.known.everyone();
        self.see(&register, None);
        self.effects.push_back(DriverEffect::Entered(register));
        self.send_all(&everyone, Request::Learn(register));
    }

    /// Whether a majority of the current set is fenced and every joiner has a majority's data.
    fn is_synced(&self) -> bool {
        let Some(proposal) = self.proposal else { return false };
        self.promised.len() >= proposal.majority()
            && proposal.joiners().into_iter().all(|joiner| self.has_joined(joiner))
    }

    fn has_joined(&self, joiner: NodeId) -> bool {
        if self.given_up.contains(&joiner) {
            return true;
        }
        let sources = self.exchanged.iter().filter(|(who, _)| *who == joiner).count();
        let enough =
            if planted(PlantedBug::JoinsFromOneSource) { 1 } else { self.known.majority() };
        sources >= enough
    }

    fn goal(&self) -> Goal {
        if self.goal_of == self.known.epoch { self.goal } else { Goal::Finish }
    }

    /// Whose votes count.
    fn voters(&self) -> ReplicaSet {
        match self.proposal.and_then(|proposal| proposal.movement) {
            Some(movement) if planted(PlantedBug::NextSetVotes) => movement.next,
            _ => self.known.current,
        }
    }

    fn drop_proposal(&mut self) {
        self.proposal = None;
        self.asked_votes = false;
        self.promised.clear();
        self.accepted.clear();
        self.barred.clear();
        self.exchanged.clear();
    }

    fn send_all(&mut self, nodes: &[NodeId], request: Request) {
        self.effects.extend(nodes.iter().map(|to| DriverEffect::Send { to: *to, request }));
    }
}
