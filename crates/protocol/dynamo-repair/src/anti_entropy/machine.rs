//! All of a node's anti-entropy: when roots are compared, which sessions run, who is told what.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_merkle::NodePath;
use dynamo_messages::repair::{
    Answer, Opening, Question, Refusal, RootsAnswer, RootsQuestion, SessionId, StateMessage,
};
use dynamo_messages::{KnownBy, RepairMessage};
use dynamo_types::{Instant, NodeId, ObjectName, PartitionId};
use dynamo_versioning::Dot;
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::config::AntiEntropyConfig;
use super::counters::AntiEntropyCounters;
use super::event::{AntiEntropyEffect, AntiEntropyEvent, Partitions, ReadId, StateToken};
use super::finding::{Sides, Snapshot};
use super::peers::{Asked, Peers};
use super::roots::root_of;
use super::session::{Ending, Session, SessionEffect, SessionEvent, SessionKey};
use crate::budget::part_of;

/// Leaves that all sessions together read or encode for their initiators, some 130 KiB each. That
/// is what the initiators of four peers have under way at most; beyond it they try again later.
const LEAVES_ANSWERED_MAX: usize = 256;

/// The machine: tell it of the peers, pass in events with [`handle`](Self::handle), call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so, and
/// after each call drain [`poll_effect`](Self::poll_effect).
#[derive(Debug)]
pub struct AntiEntropy {
    config: AntiEntropyConfig,
    rng: Xoshiro256PlusPlus,
    peers: Peers,
    /// At most `sessions_max` as the initiator and twice as many as the responder.
    sessions: BTreeMap<SessionKey, Session>,
    /// Reads under way: as many as sessions have leaves and records under way.
    reads: BTreeMap<ReadId, (SessionKey, Purpose)>,
    /// Stores under way: as many as fit the windows of all sessions.
    stores: BTreeMap<StateToken, (SessionKey, Awaited)>,
    next_id: u64,
    next_roots_number: u32,
    budget: u8,
    counters: AntiEntropyCounters,
    /// When the next timeout is due, found out once after each call.
    next_timeout: Option<Instant>,
    /// Drained after each call: never more than one event makes.
    effects: VecDeque<AntiEntropyEffect>,
}

/// What is stored.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    /// A record: which place of which message.
    State { number: u32, place: u32 },
    /// A record without the versions that the other side has collected.
    Drop,
}

/// What is read.
#[derive(Debug)]
enum Purpose {
    Leaf(NodePath),
    Record(ObjectName),
}

impl AntiEntropy {
    /// A machine that knows no peer. The seed must differ between any two starts of a node, and
    /// between nodes: the numbers of sessions come from it.
    #[must_use]
    pub fn new(config: AntiEntropyConfig, seed: u64) -> Self {
        Self {
            config,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed ^ config.node.0.rotate_left(32)),
            peers: Peers::default(),
            sessions: BTreeMap::new(),
            reads: BTreeMap::new(),
            stores: BTreeMap::new(),
            next_id: 0,
            next_roots_number: 0,
            budget: 100,
            counters: AntiEntropyCounters::default(),
            next_timeout: None,
            effects: VecDeque::new(),
        }
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, event: AntiEntropyEvent, partitions: &dyn Partitions) {
        match event {
            AntiEntropyEvent::SharedWith { node, shared } => {
                self.share(now, node, shared, partitions);
            }
            AntiEntropyEvent::PeerConnected { node, shared } => {
                self.connected(now, node, shared, partitions);
            }
            AntiEntropyEvent::PeerLost { node } => self.lost(now, node, partitions),
            AntiEntropyEvent::Received { from, message } => {
                self.received(now, from, message, partitions);
            }
            AntiEntropyEvent::LeafRead { read, items } => {
                if let Some((key, Purpose::Leaf(leaf))) = self.reads.remove(&read) {
                    self.tell(now, key, SessionEvent::Leaf { leaf, items }, partitions);
                }
            }
            AntiEntropyEvent::LeafUnreadable { read } => {
                if let Some((key, Purpose::Leaf(leaf))) = self.reads.remove(&read) {
                    self.tell(now, key, SessionEvent::LeafUnreadable { leaf }, partitions);
                }
            }
            AntiEntropyEvent::RecordRead { read, record } => {
                if let Some((key, Purpose::Record(name))) = self.reads.remove(&read) {
                    self.tell(now, key, SessionEvent::Record { name, record }, partitions);
                }
            }
            AntiEntropyEvent::RecordUnreadable { read } => {
                if let Some((key, Purpose::Record(_))) = self.reads.remove(&read) {
                    self.tell(now, key, SessionEvent::RecordUnreadable, partitions);
                }
            }
            AntiEntropyEvent::StateStored { token, collected } => {
                self.counters.pieces_stored += 1;
                self.stored(now, token, Ok(collected), partitions);
            }
            AntiEntropyEvent::StateRefused { token } => {
                self.counters.pieces_refused += 1;
                self.stored(now, token, Err(()), partitions);
            }
            AntiEntropyEvent::Reset { partition } => self.reset(now, partition, partitions),
            AntiEntropyEvent::RegisterChanged { partition } => {
                self.forget_verified(now, partition, partitions);
            }
            AntiEntropyEvent::Exchange { node, partition } => {
                self.peers.set_due(node, partition, now);
            }
            AntiEntropyEvent::Budget(share) => self.budget = share.min(100),
        }
        self.begin_sessions(now, partitions);
        self.find_next_timeout();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, partitions: &dyn Partitions) {
        let keys: Vec<SessionKey> = self.sessions.keys().copied().collect();
        for key in keys {
            let session = self.sessions.get_mut(&key);
            if let Some(session) = session
                && session.poll_timeout().is_some_and(|due| due <= now)
            {
                session.handle_timeout(now);
                self.carry_out(now, key, partitions);
            }
        }
        let due: Vec<NodeId> = self
            .peers
            .connected()
            .filter(|(_, peer)| peer.next_roots.is_some_and(|due| due <= now))
            .map(|(node, _)| node)
            .collect();
        for node in due {
            self.ask_roots(now, node, partitions);
        }
        self.begin_sessions(now, partitions);
        self.find_next_timeout();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_timeout
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<AntiEntropyEffect> {
        self.effects.pop_front()
    }

    /// The oldest moment as of which this node's copy of a partition was verified with another
    /// member, give or take the way of a message: what any of them held then is held here now. None
    /// until all of them, connected or not, have been.
    #[must_use]
    pub fn verified_until(&self, partition: PartitionId) -> Option<Instant> {
        let sharing = self.peers.sharing(partition);
        let verified = |node: &NodeId| self.peers.link(*node, partition)?.verified;
        sharing.iter().map(verified).collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// Whether a session still waits for what this read or store brings. If not it need not be done; and a
    /// store must not: its session may have ended because this node goes by another register, or has
    /// wiped its copy.
    #[must_use]
    pub fn is_awaited(&self, effect: &AntiEntropyEffect) -> bool {
        match effect {
            AntiEntropyEffect::ReadLeaf { read, .. }
            | AntiEntropyEffect::ReadRecord { read, .. } => self.reads.contains_key(read),
            AntiEntropyEffect::StoreState { token, .. }
            | AntiEntropyEffect::DropVersions { token, .. } => self.stores.contains_key(token),
            AntiEntropyEffect::Send { .. }
            | AntiEntropyEffect::Exchanged { .. }
            | AntiEntropyEffect::Met { .. }
            | AntiEntropyEffect::LeafAgrees { .. } => true,
        }
    }

    /// Sessions under way, in both roles.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> AntiEntropyCounters {
        self.counters
    }

    fn share(
        &mut self,
        now: Instant,
        node: NodeId,
        shared: Vec<PartitionId>,
        partitions: &dyn Partitions,
    ) {
        let orphans = self.peers.share(node, shared);
        self.abort(now, orphans, partitions);
        self.recover(now, node, partitions);
    }

    fn connected(
        &mut self,
        now: Instant,
        node: NodeId,
        shared: Vec<PartitionId>,
        partitions: &dyn Partitions,
    ) {
        let orphans = self.peers.share(node, shared);
        self.abort(now, orphans, partitions);
        // Soon, but not with all peers at once after a start.
        let next_roots = now + self.random_up_to(self.config.interval / 10);
        if let Some(peer) = self.peers.get_mut(node)
            && !peer.is_connected
        {
            peer.is_connected = true;
            peer.asked = None;
            peer.next_roots = Some(next_roots);
        }
        self.recover(now, node, partitions);
    }

    /// Incomplete partitions are exchanged at once: until then they do not count.
    fn recover(&mut self, now: Instant, node: NodeId, partitions: &dyn Partitions) {
        let Some(peer) = self.peers.get(node).filter(|peer| peer.is_connected) else { return };
        let here = self.config.node;
        let incomplete: Vec<PartitionId> = peer
            .links
            .keys()
            .copied()
            .filter(|partition| is_incomplete(*partition, partitions))
            .filter(|partition| !has_anyone_left(*partition, [here, node], partitions))
            .collect();
        for partition in incomplete {
            self.peers.set_due(node, partition, now);
        }
    }

    fn lost(&mut self, now: Instant, node: NodeId, partitions: &dyn Partitions) {
        self.peers.clear_all_due(node);
        if let Some(peer) = self.peers.get_mut(node) {
            peer.is_connected = false;
            peer.next_roots = None;
            peer.asked = None;
        }
        let with = |key: &&SessionKey| key.peer == node;
        let keys = self.sessions.keys().filter(with).copied().collect();
        self.abort(now, keys, partitions);
    }

    fn reset(&mut self, now: Instant, partition: PartitionId, partitions: &dyn Partitions) {
        self.forget_verified(now, partition, partitions);
        for node in self.peers.sharing(partition) {
            self.peers.set_due(node, partition, now);
        }
    }

    /// Whatever is under way about a partition ends, and nothing of it is verified.
    fn forget_verified(
        &mut self,
        now: Instant,
        partition: PartitionId,
        partitions: &dyn Partitions,
    ) {
        let about = |(_, session): &(&SessionKey, &Session)| session.partition == partition;
        let keys = self.sessions.iter().filter(about).map(|(key, _)| *key).collect();
        self.abort(now, keys, partitions);
        for node in self.peers.sharing(partition) {
            self.peers.set_verified(node, partition, None);
            if let Some(asked) = self.peers.get_mut(node).and_then(|peer| peer.asked.as_mut()) {
                asked.partitions.retain(|asked| *asked != partition);
            }
        }
    }

    fn abort(&mut self, now: Instant, keys: Vec<SessionKey>, partitions: &dyn Partitions) {
        for key in keys {
            if let Some(session) = self.sessions.get_mut(&key) {
                session.abort();
                self.carry_out(now, key, partitions);
            }
        }
    }

    fn received(
        &mut self,
        now: Instant,
        from: NodeId,
        message: RepairMessage,
        partitions: &dyn Partitions,
    ) {
        if !self.peers.get(from).is_some_and(|peer| peer.is_connected) {
            // Of a connection that is gone, or of one that we will be told of.
            self.counters.messages_ignored += 1;
            return;
        }
        match message {
            RepairMessage::Roots(question) => self.answer_roots(now, from, &question, partitions),
            RepairMessage::RootsAnswer(answer) => self.roots_answered(now, from, &answer),
            RepairMessage::Question { session, question } => {
                let key = SessionKey { peer: from, session, is_initiator: false };
                match question {
                    Question::Open(opening) => self.answer_opening(now, key, opening, partitions),
                    question => {
                        let is_full = self.leaves_answered() >= LEAVES_ANSWERED_MAX;
                        if let Some(session) = self.sessions.get_mut(&key) {
                            session.set_room(!is_full);
                        }
                        self.tell(now, key, SessionEvent::Question(question), partitions);
                    }
                }
            }
            RepairMessage::Answer { session, answer } => {
                let key = SessionKey { peer: from, session, is_initiator: true };
                if matches!(answer, Answer::Opened { .. }) && !self.sessions.contains_key(&key) {
                    // Its question was doubled, or came when we had given up: nobody will go on.
                    let state = StateMessage::Aborted;
                    self.send(from, RepairMessage::State { session, by_initiator: true, state });
                }
                if !self.answer_met(key, &answer, partitions) {
                    return self.abort(now, Vec::from([key]), partitions);
                }
                self.tell(now, key, SessionEvent::Answer(answer), partitions);
            }
            RepairMessage::State { session, by_initiator, state } => {
                let key = SessionKey { peer: from, session, is_initiator: !by_initiator };
                self.tell(now, key, SessionEvent::State(state), partitions);
            }
        }
    }

    /// Compares checkpoints with a responder that takes part. Whether the exchange may go on.
    fn answer_met(
        &mut self,
        key: SessionKey,
        answer: &Answer,
        partitions: &dyn Partitions,
    ) -> bool {
        let (Answer::Agreed { clock, known } | Answer::Opened { clock, known, .. }) = answer else {
            return true;
        };
        match self.sessions.get(&key).filter(|session| session.is_opening()) {
            Some(session) => {
                let partition = session.partition;
                self.met(partition, key.peer, clock.is_none(), known.clone(), partitions)
            }
            None => true, // doubled, or of no session
        }
    }

    /// Two members meet to exchange a partition. Whether the disk here is one that the other knows.
    fn met(
        &mut self,
        partition: PartitionId,
        with: NodeId,
        incomplete: bool,
        known: Vec<KnownBy>,
        partitions: &dyn Partitions,
    ) -> bool {
        let here = self.config.node;
        let mut by = known.iter().filter(|known| known.member == here);
        let has_taken = by.all(|known| partitions.has_taken(partition, &known.checkpoints));
        self.effects.push_back(AntiEntropyEffect::Met { partition, with, incomplete, known });
        has_taken
    }

    fn leaves_answered(&self) -> usize {
        self.sessions.values().map(Session::leaves_answered).sum()
    }

    fn ask_roots(&mut self, now: Instant, node: NodeId, partitions: &dyn Partitions) {
        self.recover(now, node, partitions);
        self.schedule_roots(now, node);
        let (here, number) = (self.config.node, self.next_roots_number);
        let Some(peer) = self.peers.get_mut(node) else { return };
        let roots: Vec<_> = peer
            .links
            .keys()
            .filter(|partition| !has_anyone_left(**partition, [here, node], partitions))
            .filter_map(|partition| root_of(*partition, partitions.state(*partition)?))
            .collect();
        if roots.is_empty() {
            return;
        }
        let asked = roots.iter().map(|root| root.partition).collect();
        peer.asked = Some(Asked { number, at: now, partitions: asked });
        self.next_roots_number = number.wrapping_add(1);
        self.counters.roots_asked += 1;
        self.send(node, RepairMessage::Roots(RootsQuestion { number, roots }));
    }

    fn answer_roots(
        &mut self,
        now: Instant,
        from: NodeId,
        question: &RootsQuestion,
        partitions: &dyn Partitions,
    ) {
        let Some(peer) = self.peers.get(from) else { return };
        let answer = question.answer(|partition| {
            peer.links.get(&partition)?;
            root_of(partition, partitions.state(partition)?)
        });
        let asked = question.roots.iter().map(|root| root.partition);
        self.take_verdict(now, from, asked, &answer);
        for partition in &answer.differing {
            // The asker begins, unless it is held up.
            self.peers.set_due(from, *partition, now + self.config.interval);
        }
        // One look serves both.
        self.schedule_roots(now, from);
        self.send(from, RepairMessage::RootsAnswer(answer));
    }

    fn roots_answered(&mut self, now: Instant, from: NodeId, answer: &RootsAnswer) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        let Some(asked) = peer.asked.take_if(|asked| asked.number == answer.number) else {
            self.counters.messages_ignored += 1;
            return;
        };
        self.take_verdict(asked.at, from, asked.partitions.iter().copied(), answer);
        for partition in &answer.differing {
            if asked.partitions.binary_search(partition).is_ok() {
                self.peers.set_due(from, *partition, now);
            }
        }
    }

    /// What is equal needs nothing more.
    fn take_verdict(
        &mut self,
        as_of: Instant,
        from: NodeId,
        asked: impl Iterator<Item = PartitionId>,
        answer: &RootsAnswer,
    ) {
        let unequal: BTreeSet<PartitionId> =
            answer.differing.iter().chain(&answer.not_compared).copied().collect();
        for partition in asked.filter(|partition| !unequal.contains(partition)) {
            self.counters.roots_equal += 1;
            self.peers.set_verified(from, partition, Some(as_of));
        }
    }

    fn schedule_roots(&mut self, now: Instant, node: NodeId) {
        let interval = self.config.interval;
        let next = now + interval * 9 / 10 + self.random_up_to(interval / 5);
        if let Some(peer) = self.peers.get_mut(node) {
            peer.next_roots = Some(next);
        }
    }

    /// Opens sessions for what is due, as many as the budget allows: incomplete partitions first, then
    /// what was not verified for longest.
    fn begin_sessions(&mut self, now: Instant, partitions: &dyn Partitions) {
        let room = self.initiators_max().saturating_sub(self.initiators());
        if room == 0 {
            return;
        }
        let mut due: Vec<(bool, Option<Instant>, NodeId, PartitionId)> = self
            .peers
            .due(now)
            .map(|(node, partition, verified)| {
                (!is_incomplete(partition, partitions), verified, node, partition)
            })
            .collect();
        due.sort_unstable();
        let mut begun = 0;
        for (_, _, node, partition) in due {
            if begun == room {
                break;
            }
            if self.is_held_up(partition, partitions) {
                // The end of the other exchange brings this one on.
                self.peers.clear_due(node, partition);
                self.peers.set_due(node, partition, now + self.config.interval);
                continue;
            }
            begun += 1;
            self.begin_session(now, node, partition, partitions);
        }
    }

    /// Whether another exchange has to end before one about this partition begins.
    fn is_held_up(&self, partition: PartitionId, partitions: &dyn Partitions) -> bool {
        partitions.state(partition).is_some_and(|state| state.one_at_a_time)
            && self.sessions.values().any(|session| session.partition == partition)
    }

    fn begin_session(
        &mut self,
        now: Instant,
        node: NodeId,
        partition: PartitionId,
        partitions: &dyn Partitions,
    ) {
        self.peers.clear_due(node, partition);
        let Some(mine) = snapshot(partition, self.config.node, node, partitions) else {
            // Not yet: its tree is being made.
            return self.peers.set_due(node, partition, now + self.config.retry);
        };
        let session = SessionId(self.rng.next_u64());
        let key = SessionKey { peer: node, session, is_initiator: true };
        let leaves = (self.config.leaves_max / (self.initiators() + 1)).max(1);
        self.counters.sessions_begun += 1;
        self.add(key, Session::open(now, self.config, leaves, key, mine));
        self.carry_out(now, key, partitions);
    }

    fn answer_opening(
        &mut self,
        now: Instant,
        key: SessionKey,
        opening: Opening,
        partitions: &dyn Partitions,
    ) {
        if self.sessions.contains_key(&key) {
            self.counters.messages_ignored += 1; // doubled
            return;
        }
        let partition = opening.partition;
        let is_shared = self.peers.link(key.peer, partition).is_some();
        let mine = snapshot(partition, self.config.node, key.peer, partitions);
        let Some(mine) = mine.filter(|_| is_shared) else {
            return self.refuse(key, Refusal::NoMember);
        };
        if partitions.state(partition).is_none_or(|state| state.register != opening.register) {
            return self.refuse(key, Refusal::OtherRegister);
        }
        let known = opening.known.clone();
        if !self.met(partition, key.peer, opening.clock.is_none(), known, partitions) {
            return self.refuse(key, Refusal::Busy);
        }
        if let Some(before) = self.peers.session(key.peer, partition) {
            let is_opening = self.sessions.get(&before).is_some_and(Session::is_opening);
            // If both open at once, one of the two goes on. What we answered has ended at the peer.
            if before.is_initiator && (!is_opening || self.config.node < key.peer) {
                return self.refuse(key, Refusal::Busy);
            }
            if is_opening && let Some(session) = self.sessions.get_mut(&before) {
                session.give_way();
                self.carry_out(now, before, partitions);
            } else {
                self.abort(now, Vec::from([before]), partitions);
            }
        }
        if self.is_held_up(partition, partitions) {
            return self.refuse(key, Refusal::Busy);
        }
        let answered = self.sessions.keys().filter(|key| !key.is_initiator).count();
        if answered >= self.initiators_max().max(1) * 2 {
            return self.refuse(key, Refusal::Busy);
        }
        self.counters.sessions_answered += 1;
        self.add(key, Session::answer(now, self.config, key, mine, opening));
        self.carry_out(now, key, partitions);
    }

    fn refuse(&mut self, key: SessionKey, why: Refusal) {
        self.counters.sessions_refused += 1;
        let answer = Answer::Refused(why);
        self.send(key.peer, RepairMessage::Answer { session: key.session, answer });
    }

    fn add(&mut self, key: SessionKey, session: Session) {
        self.peers.session_began(session.partition, key);
        self.sessions.insert(key, session);
    }

    fn stored(
        &mut self,
        now: Instant,
        token: StateToken,
        outcome: Result<Vec<Dot>, ()>,
        partitions: &dyn Partitions,
    ) {
        if let Some((key, awaited)) = self.stores.remove(&token) {
            let event = match awaited {
                Awaited::State { number, place } => SessionEvent::Stored { number, place, outcome },
                Awaited::Drop => SessionEvent::Dropped(outcome.map(|_| ())),
            };
            self.tell(now, key, event, partitions);
        }
    }

    fn tell(
        &mut self,
        now: Instant,
        key: SessionKey,
        event: SessionEvent,
        partitions: &dyn Partitions,
    ) {
        match self.sessions.get_mut(&key) {
            Some(session) => {
                session.handle(now, event);
                self.carry_out(now, key, partitions);
            }
            None => self.counters.messages_ignored += 1,
        }
    }

    /// Passes on what a session wants.
    fn carry_out(&mut self, now: Instant, key: SessionKey, partitions: &dyn Partitions) {
        while let Some(session) = self.sessions.get_mut(&key)
            && let Some(effect) = session.poll_effect()
        {
            let partition = session.partition;
            match effect {
                SessionEffect::Send(message) => {
                    if let RepairMessage::State { state, .. } = &message
                        && let StateMessage::State { records, .. } = state
                    {
                        let whole = records.iter().filter(|record| record.last);
                        self.counters.records_sent += whole.count() as u64;
                        self.counters.record_bytes_sent += state.cost().total();
                    }
                    self.send(key.peer, message);
                }
                SessionEffect::ReadLeaf(leaf) => {
                    let read = ReadId(self.next_id());
                    self.reads.insert(read, (key, Purpose::Leaf(leaf)));
                    self.effects.push_back(AntiEntropyEffect::ReadLeaf { read, partition, leaf });
                }
                SessionEffect::ReadRecord(name) => {
                    let read = ReadId(self.next_id());
                    self.reads.insert(read, (key, Purpose::Record(name.clone())));
                    self.effects.push_back(AntiEntropyEffect::ReadRecord { read, partition, name });
                }
                SessionEffect::Store { number, place, name, pieces, sender } => {
                    let token = StateToken(self.next_id());
                    self.stores.insert(token, (key, Awaited::State { number, place }));
                    self.effects.push_back(AntiEntropyEffect::StoreState {
                        token,
                        partition,
                        name,
                        pieces,
                        sender,
                        from: key.peer,
                    });
                }
                SessionEffect::Drop { name, dots } => {
                    self.counters.versions_dropped += dots.len() as u64;
                    let token = StateToken(self.next_id());
                    self.stores.insert(token, (key, Awaited::Drop));
                    self.effects.push_back(AntiEntropyEffect::DropVersions {
                        token,
                        partition,
                        name,
                        dots,
                    });
                }
                SessionEffect::LeafAgrees { leaf, scanned } => {
                    self.counters.leaves_agreed += 1;
                    self.effects.push_back(AntiEntropyEffect::LeafAgrees {
                        partition,
                        leaf,
                        scanned,
                    });
                }
                SessionEffect::AllSent => match partitions.state(partition) {
                    Some(state) => session.say_sent(now, &state.clock.horizon),
                    None => session.abort(),
                },
                SessionEffect::Over(ending) => self.over(now, key, ending, partitions),
            }
        }
    }

    fn over(&mut self, now: Instant, key: SessionKey, ending: Ending, partitions: &dyn Partitions) {
        let Some(session) = self.sessions.remove(&key) else { return };
        self.reads.retain(|_, (of, _)| *of != key);
        self.stores.retain(|_, (of, _)| *of != key);
        let partition = session.partition;
        self.peers.session_ended(partition, key);
        let outcome = session.outcome();
        self.counters.leaves += u64::from(outcome.leaves);
        self.counters.leaves_unresolved += u64::from(outcome.unresolved);
        let recovers = is_incomplete(partition, partitions);
        let retry = now + self.config.retry + self.random_up_to(self.config.retry);
        match ending {
            // The other side has what was here, and this one did not ask for what is there.
            Ending::Complete(_) if session.sides.here_left => self.counters.exchanges += 1,
            Ending::Complete(clock) => {
                self.counters.exchanges += 1;
                self.peers.set_verified(key.peer, partition, Some(session.began));
                if recovers {
                    // Those that waited for this one come next.
                    for node in self.peers.sharing(partition) {
                        if node != key.peer {
                            self.peers.set_due(node, partition, now);
                        }
                    }
                }
                self.effects.push_back(AntiEntropyEffect::Exchanged {
                    partition,
                    with: key.peer,
                    clock,
                    from_incomplete: session.is_other_incomplete(),
                    losses: session.losses,
                });
            }
            // Whoever is behind will have learned the register by then.
            Ending::Refused(Refusal::Busy | Refusal::OtherRegister) => {
                self.peers.set_due(key.peer, partition, retry);
            }
            Ending::Refused(Refusal::NoMember) => self.counters.sessions_failed += 1,
            Ending::GaveWay => {}
            Ending::Incomplete => {
                self.counters.sessions_failed += 1;
                if recovers {
                    self.peers.set_due(key.peer, partition, retry);
                }
            }
        }
    }

    fn initiators(&self) -> usize {
        self.sessions.keys().filter(|key| key.is_initiator).count()
    }

    fn initiators_max(&self) -> usize {
        part_of(self.config.sessions_max, self.budget)
    }

    fn find_next_timeout(&mut self) {
        let sessions = self.sessions.values().filter_map(Session::poll_timeout);
        let roots = self.peers.connected().filter_map(|(_, peer)| peer.next_roots);
        let has_room = self.initiators() < self.initiators_max();
        let due = self.peers.next_due().filter(|_| has_room);
        self.next_timeout = sessions.chain(roots).chain(due).min();
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn send(&mut self, to: NodeId, message: RepairMessage) {
        if self.peers.get(to).is_some_and(|peer| peer.is_connected) {
            self.effects.push_back(AntiEntropyEffect::Send { to, message });
        }
    }

    fn random_up_to(&mut self, most: Duration) -> Duration {
        let nanoseconds = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.next_u64() % nanoseconds.max(1))
    }
}

fn is_incomplete(partition: PartitionId, partitions: &dyn Partitions) -> bool {
    partitions.state(partition).is_some_and(|state| state.incomplete)
}

/// Whether one of two nodes has left a partition: then they differ more with every write, and exchange when
/// the move wants it.
fn has_anyone_left(
    partition: PartitionId,
    nodes: [NodeId; 2],
    partitions: &dyn Partitions,
) -> bool {
    nodes.into_iter().any(|node| partitions.has_left(partition, node))
}

/// A partition as it is now; none if this node is no member of it.
fn snapshot(
    partition: PartitionId,
    here: NodeId,
    there: NodeId,
    partitions: &dyn Partitions,
) -> Option<Snapshot> {
    let state = partitions.state(partition)?;
    let has_left = |node| partitions.has_left(partition, node);
    Some(Snapshot {
        partition,
        register: state.register,
        tree: state.tree.clone(),
        clock: (!state.incomplete).then(|| Arc::new(state.clock.clone())),
        losses: state.losses,
        known: partitions.known(partition),
        sides: Sides { here_left: has_left(here), there_left: has_left(there) },
    })
}
