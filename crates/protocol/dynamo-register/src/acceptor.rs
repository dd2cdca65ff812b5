//! What one node holds of a partition's register, and its vote (protocol rule 8).
//!
//! A node's register only climbs. Whoever shows it a register that is ahead makes it climb, be that
//! a driver or a put; whoever is behind is told so with the register. Nothing that depends on a climb is
//! said before the climb is synced, or a restart would take it back (histories 19, 21).
//!
//! The vote is Paxos, where a *promise* is also the fence of the move: from then on the node takes no
//! write that the next set does not get too. So more is asked than Paxos asks:
//!
//! - **A node that voted takes no rival's promise**, nor any request under one, unless the rival's
//!   driver knew of a later vote for its set. Plain Paxos lets it promise and report the vote. But
//!   then writes go to the old set and the rival's, while the vote may have been the deciding one and
//!   others read the set that was voted for. The order of registers carries this rule: votes go before
//!   ballots.
//! - **A node votes only if it has stood at the ballot ever since it climbed to it from below.** In
//!   between it could have taken writes for another set, which no joiner of this one has.

use alloc::collections::{BTreeSet, VecDeque};

use dynamo_types::NodeId;
use dynamo_types::planted::{PlantedBug, planted};

use crate::ballot::Ballot;
use crate::register::{Move, Register, Stage, majority};

/// What a node is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// To promise the proposal that this fenced register holds.
    Promise(Register),
    /// To vote for it. Whoever asks knows that the move is synced.
    Accept(Register),
    /// To know this, and to say what it knows.
    Learn(Register),
}

/// What a node says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Answer {
    /// Its vote, if it was asked for one. None also if it does not remember its votes.
    pub vote: Option<Vote>,
    /// Its register, synced.
    pub register: Register,
    /// The highest ballot that it promised in this epoch. Lower ones are in vain.
    pub promised: Option<Ballot>,
}

/// A vote, or the promise of none for lower ballots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vote {
    /// The node is fenced at this ballot.
    Promised(Ballot),
    /// The node votes for this ballot.
    Accepted(Ballot),
    /// The node knows this ballot and will never vote for it. A higher one is needed, or the others.
    Barred(Ballot),
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AcceptorEffect {
    /// Write and sync this row, then call [`Acceptor::stored`] with the number.
    Store {
        /// One more than that of the store before.
        number: u64,
        /// The row.
        state: AcceptorState,
    },
    /// Send an answer.
    Answer {
        /// To whom.
        to: NodeId,
        /// What.
        answer: Answer,
    },
}

/// Whether a request under some register is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is looked at once and never kept")]
pub enum Admission {
    /// It is.
    Now,
    /// It is, as soon as the store of this number has ended: this node was behind.
    AfterStore(u64),
    /// It is not: the coordinator is behind, and begins anew under this register.
    Stale(Register),
    /// It is not, since this node does not know what it has promised. It counts for nothing.
    Unsure,
}

/// What must survive a restart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AcceptorState {
    /// The register.
    pub register: Register,
    /// The highest ballot promised in the register's epoch.
    pub promised: Option<Ballot>,
    /// Whether the register's ballot may get this node's vote.
    pub may_vote: bool,
    /// Whether the node remembers its votes.
    pub memory: Memory,
}

/// Whether a node remembers its votes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Memory {
    /// It does.
    Whole,
    /// Its disk was set back. It asks the others what they know.
    Asking {
        /// Who has told it. At most the members of two sets.
        told: BTreeSet<NodeId>,
    },
    /// It knows by now which epoch its forgotten votes can be of at most. It takes part in later ones.
    Abstains {
        /// That epoch's number.
        through: u64,
    },
}

impl AcceptorState {
    /// The state of a node that has never been asked anything.
    #[must_use]
    pub fn new(register: Register) -> Self {
        Self { register, promised: None, may_vote: false, memory: Memory::Whole }
    }
}

/// Answers that wait for a store, at most. Drivers ask again; beyond this they are too many.
const WAITING_MAX: usize = 64;

/// The machine: one partition at one node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acceptor {
    node: NodeId,
    state: AcceptorState,
    /// The number of the last store that was asked for.
    asked: u64,
    /// The number of the last store that ended.
    stored: u64,
    /// What may be said once a store has ended.
    waiting: VecDeque<(u64, NodeId, Answer)>,
    effects: VecDeque<AcceptorEffect>,
}

impl Acceptor {
    /// Goes on from what was stored last.
    #[must_use]
    pub fn new(node: NodeId, state: AcceptorState) -> Self {
        let (waiting, effects) = (VecDeque::new(), VecDeque::new());
        Self { node, state, asked: 0, stored: 0, waiting, effects }
    }

    /// Goes on from a row that is older than one that was stored: promises and votes are forgotten.
    /// The node neither votes nor takes requests until [`told`](Self::told) has shown it an epoch
    /// that it cannot have acted in (history 21).
    #[must_use]
    pub fn after_rollback(node: NodeId, state: AcceptorState) -> Self {
        // A lone replica has nobody to ask, and nobody else has anything that it could contradict.
        let alone = state.register.current.len() == 1;
        let memory = if alone { Memory::Whole } else { Memory::Asking { told: BTreeSet::new() } };
        let mut acceptor = Self::new(node, AcceptorState { memory, may_vote: false, ..state });
        acceptor.store();
        acceptor
    }

    /// What it knows, synced or not.
    #[must_use]
    pub fn register(&self) -> &Register {
        &self.state.register
    }

    /// What is or shall be stored.
    #[must_use]
    pub fn state(&self) -> &AcceptorState {
        &self.state
    }

    /// Whether all that it knows is synced.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.asked == self.stored
    }

    /// A store was refused: asks for it again.
    pub fn store_again(&mut self) {
        if !self.is_synced() {
            self.store();
        }
    }

    /// Learns a register from somebody who wants no answer.
    pub fn learn(&mut self, register: &Register) {
        self.climb(register);
    }

    /// The disk turns out to be older than what was stored last: see [`after_rollback`](Self::after_rollback).
    pub fn rolled_back(&mut self) {
        let state = self.state.clone();
        let (asked, stored) = (self.asked, self.stored);
        *self = Self { asked, stored, ..Self::new(self.node, state.clone()) };
        let forgot = Self::after_rollback(self.node, state);
        self.state = forgot.state;
        self.store();
    }

    /// Whether it takes part: it remembers its votes.
    #[must_use]
    pub fn takes_part(&self) -> bool {
        self.state.memory == Memory::Whole
    }

    /// Takes a driver's request.
    pub fn handle(&mut self, from: NodeId, request: Request) {
        let (Request::Promise(shown) | Request::Accept(shown) | Request::Learn(shown)) = request;
        self.climb(&shown);
        let vote = match (request, shown.movement) {
            (Request::Learn(_), _) | (_, None) => None,
            (Request::Promise(_) | Request::Accept(_), _) if !self.takes_part() => None,
            (Request::Promise(_), Some(Move { ballot, .. })) => Some(Vote::Promised(ballot))
                .filter(|_| self.stands_at(&shown, ballot))
                .or(Some(Vote::Barred(ballot))),
            (Request::Accept(_), Some(Move { ballot, .. })) => Some(Vote::Accepted(ballot))
                .filter(|_| self.accept(&shown, ballot))
                .or(Some(Vote::Barred(ballot))),
        };
        let answer = Answer { vote, register: self.state.register, promised: self.state.promised };
        if self.asked == self.stored {
            self.effects.push_back(AcceptorEffect::Answer { to: from, answer });
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back((self.asked, from, answer));
        }
    }

    /// All stores up to this number are synced.
    pub fn stored(&mut self, number: u64) {
        self.stored = self.stored.max(number);
        while self.waiting.front().is_some_and(|(awaited, ..)| *awaited <= self.stored) {
            if let Some((_, to, answer)) = self.waiting.pop_front() {
                self.effects.push_back(AcceptorEffect::Answer { to, answer });
            }
        }
    }

    /// Whether to take a request that its coordinator sends under this register. One that is behind
    /// learns it from the request first, one that is ahead says so (history 19).
    pub fn admit(&mut self, label: &Register) -> Admission {
        let is_ahead = self.state.register > *label && !self.state.register.asks_as(label);
        if is_ahead && !planted(PlantedBug::AcceptsOneStageBehind) {
            return Admission::Stale(self.state.register);
        }
        self.climb(label);
        if !self.takes_part() {
            Admission::Unsure
        } else if self.asked > self.stored {
            Admission::AfterStore(self.asked)
        } else {
            Admission::Now
        }
    }

    /// Another node says what it knows. Of interest to one that has forgotten its votes: once a
    /// majority of the set that holds the partition has told it, it knows the last epoch that it can
    /// have voted in. It takes part again when the others have begun the next one, as any of
    /// them can by proposing the current set anew.
    ///
    /// To vote in that same epoch would not do, whoever has told: an answer that this node gave before
    /// may still be under way, and then counts beside the new one.
    pub fn told(&mut self, from: NodeId, register: &Register) {
        self.climb(register);
        let holders = self.state.register.settled_set();
        let Memory::Asking { told } = &mut self.state.memory else { return };
        if !holders.contains(from) || from == self.node || !told.insert(from) {
            return;
        }
        // Members of an earlier set make room for those of the present one.
        told.retain(|node| holders.contains(*node));
        // Of two replicas each is in every majority: what this one has forgotten the other knows, and
        // nothing is decided without it.
        let other_is_in_all = holders.len() == 2;
        if told.len() >= majority(&holders) || other_is_in_all {
            let through = self.state.register.cleaned().epoch.number;
            self.state.memory = if other_is_in_all || planted(PlantedBug::ForgetfulVotesOnceTold) {
                Memory::Whole
            } else {
                Memory::Abstains { through }
            };
        }
        self.store();
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<AcceptorEffect> {
        self.effects.pop_front()
    }

    /// Takes over a register that is ahead.
    fn climb(&mut self, shown: &Register) {
        if *shown <= self.state.register {
            return;
        }
        let before = core::mem::replace(&mut self.state.register, *shown);
        if before.epoch != shown.epoch {
            self.state.promised = None;
        }
        let ballot = shown.movement.map(|movement| movement.ballot);
        let stood_there = before.epoch == shown.epoch
            && before.movement.map(|movement| movement.ballot) == ballot;
        if !stood_there {
            let from_below = before < shown.at(Stage::Fenced) && ballot > self.state.promised;
            self.state.may_vote = from_below;
        }
        self.state.promised = self.state.promised.max(ballot);
        if let Memory::Abstains { through } = self.state.memory
            && shown.epoch.number > through
        {
            self.state.memory = Memory::Whole;
        }
        self.store();
    }

    /// Whether it is fenced at this ballot of the shown epoch and would vote for it.
    fn stands_at(&self, shown: &Register, ballot: Ballot) -> bool {
        let register = &self.state.register;
        self.state.may_vote
            && register.epoch == shown.epoch
            && register.movement.is_some_and(|movement| movement.ballot == ballot)
            && self.state.promised == Some(ballot)
    }

    fn accept(&mut self, shown: &Register, ballot: Ballot) -> bool {
        let register = &self.state.register;
        if planted(PlantedBug::VotesBelowPromise)
            && register.epoch == shown.epoch
            && register.stage() == Some(Stage::Fenced)
        {
            self.state.register = shown.at(Stage::Synced);
            self.store();
            return true;
        }
        let votes = self.stands_at(shown, ballot);
        if votes && self.state.register.stage() == Some(Stage::Fenced) {
            self.state.register = self.state.register.at(Stage::Synced);
            self.store();
        }
        votes
    }

    fn store(&mut self) {
        self.asked += 1;
        let state = self.state.clone();
        // Of stores that nobody has begun only the last is of use.
        self.effects.retain(|effect| !matches!(effect, AcceptorEffect::Store { .. }));
        self.effects.push_back(AcceptorEffect::Store { number: self.asked, state });
    }
}
