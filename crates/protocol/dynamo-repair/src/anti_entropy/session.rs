//! One session of this node: finding what differs and exchanging it, in either role.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_merkle::{NodePath, Sum};
use dynamo_messages::RepairMessage;
use dynamo_messages::repair::{Answer, Opening, Question, Refusal, SessionId, StateMessage};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Instant, NodeId, ObjectName, PartitionId};
use dynamo_versioning::{Dot, DotClock, DotSet, Record};

use super::config::AntiEntropyConfig;
use super::event::LeafItem;
use super::exchange::{Exchange, ExchangeEffect};
use super::finding::{Effect, Event, FindingConfig, Outcome, Sides, Snapshot};
use super::initiator::Initiator;
use super::responder::Responder;

/// Names a session of this node: who opened it, or whom it was opened with, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionKey {
    pub(super) peer: NodeId,
    pub(super) session: SessionId,
    pub(super) is_initiator: bool,
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    key: SessionKey,
    pub(super) partition: PartitionId,
    /// How often our copy had begun to be incomplete in the snapshot.
    pub(super) losses: u64,
    /// When its snapshot was taken: what it verifies is verified as of then.
    pub(super) began: Instant,
    /// Who has left the partition.
    pub(super) sides: Sides,
    /// Our clock in the snapshot; none if the copy is incomplete.
    ours: Option<Arc<DotClock>>,
    /// The other side's, empty if it is incomplete; none until it takes part.
    theirs: Option<Arc<DotClock>>,
    role: Role,
    exchange: Exchange,
    /// Whether the other side said that its copy is incomplete.
    other_is_incomplete: bool,
    /// When there was last a sign of life, from the other side or from the disk.
    heard: Instant,
    config: AntiEntropyConfig,
    is_over: bool,
    effects: VecDeque<SessionEffect>,
}

/// What a session remembers of its snapshot.
struct SnapshotOf {
    partition: PartitionId,
    losses: u64,
    ours: Option<Arc<DotClock>>,
    sides: Sides,
}

impl SnapshotOf {
    fn of(mine: &Snapshot) -> Self {
        let Snapshot { partition, losses, ref clock, sides, .. } = *mine;
        Self { partition, losses, ours: clock.clone(), sides }
    }
}

/// How differences are found.
#[derive(Debug)]
enum Role {
    Initiator(Initiator),
    Responder(Responder),
}

/// What shall be done.
#[derive(Debug)]
pub(super) enum SessionEffect {
    Send(RepairMessage),
    ReadLeaf(NodePath),
    ReadRecord(ObjectName),
    Store {
        number: u32,
        place: u32,
        name: ObjectName,
        pieces: Vec<Record>,
        sender: Arc<DotClock>,
    },
    Drop {
        name: ObjectName,
        dots: Vec<Dot>,
    },
    LeafAgrees {
        leaf: NodePath,
        scanned: Sum,
    },
    /// All was sent: call [`Session::say_sent`].
    AllSent,
    /// The session is over. Emitted once, last.
    Over(Ending),
}

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// Everything that the other side held is here: its clock may be joined.
    Complete(Arc<DotClock>),
    /// The other side did not take part.
    Refused(Refusal),
    /// Something is missing.
    Incomplete,
    /// The other side's session about the same partition goes on instead.
    GaveWay,
}

/// What a session is told.
#[derive(Debug)]
pub(super) enum SessionEvent {
    Question(Question),
    Answer(Answer),
    State(StateMessage),
    Leaf { leaf: NodePath, items: Vec<LeafItem> },
    LeafUnreadable { leaf: NodePath },
    Record { name: ObjectName, record: Option<Record> },
    RecordUnreadable,
    Stored { number: u32, place: u32, outcome: Result<Vec<Dot>, ()> },
    Dropped(Result<(), ()>),
}

impl Session {
    /// Opens a session with a peer.
    pub(super) fn open(
        now: Instant,
        config: AntiEntropyConfig,
        leaves_at_once: usize,
        key: SessionKey,
        mine: Snapshot,
    ) -> Self {
        // Nothing is on its way to who has left.
        let pause = if mine.sides.any_left() { Duration::ZERO } else { config.pause };
        let finding = FindingConfig { pause, leaves_at_once };
        let of = SnapshotOf::of(&mine);
        let role = Role::Initiator(Initiator::new(finding, key.session, mine));
        Self::new(now, config, key, of, role)
    }

    /// A peer opens a session.
    pub(super) fn answer(
        now: Instant,
        config: AntiEntropyConfig,
        key: SessionKey,
        mine: Snapshot,
        opening: Opening,
    ) -> Self {
        let finding = FindingConfig { pause: config.pause, leaves_at_once: config.leaves_max };
        let of = SnapshotOf::of(&mine);
        let role = Role::Responder(Responder::new(finding, key.session, mine, opening));
        Self::new(now, config, key, of, role)
    }

    fn new(
        now: Instant,
        config: AntiEntropyConfig,
        key: SessionKey,
        SnapshotOf { partition, losses, ours, sides }: SnapshotOf,
        role: Role,
    ) -> Self {
        let mut session = Self {
            key,
            partition,
            losses,
            began: now,
            exchange: Exchange::new(ours.is_none(), sides),
            sides,
            other_is_incomplete: false,
            ours,
            theirs: None,
            role,
            heard: now,
            config,
            is_over: false,
            effects: VecDeque::new(),
        };
        session.go_on(now);
        session
    }

    /// Something happened.
    pub(super) fn handle(&mut self, now: Instant, event: SessionEvent) {
        if self.is_over {
            return;
        }
        self.heard = now;
        match (event, &mut self.role) {
            (SessionEvent::Question(question), Role::Responder(responder)) => {
                responder.handle(Event::Received(question));
            }
            (SessionEvent::Answer(answer), Role::Initiator(initiator)) => {
                initiator.handle(now, Event::Received(answer));
            }
            // Which role is meant was looked at by whoever found this session.
            (SessionEvent::Question(_) | SessionEvent::Answer(_), _) => {}
            (SessionEvent::Leaf { leaf, items }, Role::Initiator(initiator)) => {
                initiator.handle(now, Event::Leaf { leaf, items });
            }
            (SessionEvent::Leaf { leaf, items }, Role::Responder(responder)) => {
                responder.handle(Event::Leaf { leaf, items });
            }
            (SessionEvent::LeafUnreadable { leaf }, Role::Initiator(initiator)) => {
                initiator.handle(now, Event::LeafUnreadable { leaf });
            }
            (SessionEvent::LeafUnreadable { leaf }, Role::Responder(responder)) => {
                responder.handle(Event::LeafUnreadable { leaf });
            }
            (SessionEvent::State(StateMessage::Aborted), _) => {
                return self.end(Ending::Incomplete);
            }
            (SessionEvent::State(state), _) => {
                if self.theirs.is_none() || !self.exchange.receive(state) {
                    return self.abort();
                }
            }
            (SessionEvent::Record { name, record }, _) => {
                self.exchange.read(name, record.as_ref());
            }
            (SessionEvent::RecordUnreadable, _) => self.exchange.unreadable(),
            (SessionEvent::Stored { number, place, outcome }, _) => {
                self.exchange.stored(number, place, outcome);
            }
            (SessionEvent::Dropped(outcome), _) => self.exchange.dropped(outcome),
        }
        self.go_on(now);
    }

    /// Ends pauses, and the session if nobody said anything for too long.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.is_over {
            return;
        }
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            return self.abort();
        }
        if let Role::Initiator(initiator) = &mut self.role {
            if !initiator.is_waiting() && !self.exchange.is_waiting() {
                // Nobody was slow during the pause.
                self.heard = now;
            }
            initiator.handle_timeout(now);
        }
        self.go_on(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let pause = match &self.role {
            Role::Initiator(initiator) => initiator.poll_timeout(),
            Role::Responder(_) => None,
        };
        self.deadline().into_iter().chain(pause).min().filter(|_| !self.is_over)
    }

    pub(super) fn poll_effect(&mut self) -> Option<SessionEffect> {
        self.effects.pop_front()
    }

    /// Tells the other side that all was sent; `horizon` is what is collected here now.
    pub(super) fn say_sent(&mut self, now: Instant, horizon: &DotSet) {
        // A record that was collected since the snapshot was neither compared nor sent. The horizon
        // says the same as its record did.
        let grown = self.ours.as_ref().filter(|ours| ours.horizon != *horizon);
        if grown.is_some() && self.exchange.is_other_incomplete() {
            // It may rest on reports that came since, of which an incomplete side was not told.
            return self.abort();
        }
        self.exchange.say_sent(grown.map(|_| horizon.clone()));
        self.go_on(now);
    }

    /// Gives the session up, and tells the other side.
    pub(super) fn abort(&mut self) {
        if self.is_over {
            return;
        }
        self.send_state(StateMessage::Aborted);
        self.end(Ending::Incomplete);
    }

    /// Makes room for the session that the other side opened at the same time; it refuses this one.
    pub(super) fn give_way(&mut self) {
        self.end(Ending::GaveWay);
    }

    /// Whether the other side has not said yet whether it takes part.
    pub(super) fn is_opening(&self) -> bool {
        match &self.role {
            Role::Initiator(initiator) => initiator.is_opening(),
            Role::Responder(_) => false,
        }
    }

    /// Whether the other side's copy is incomplete.
    pub(super) fn is_other_incomplete(&self) -> bool {
        self.other_is_incomplete
    }

    /// Leaves that it reads or encodes as a responder.
    pub(super) fn leaves_answered(&self) -> usize {
        match &self.role {
            Role::Initiator(_) => 0,
            Role::Responder(responder) => responder.leaves_held(),
        }
    }

    /// Whether there is room for one leaf more.
    pub(super) fn set_room(&mut self, has_room: bool) {
        if let Role::Responder(responder) = &mut self.role {
            responder.set_room(has_room);
        }
    }

    /// How finding differences went so far.
    pub(super) fn outcome(&self) -> Outcome {
        match &self.role {
            Role::Initiator(initiator) => initiator.outcome(),
            Role::Responder(responder) => responder.outcome(),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.role {
            Role::Initiator(initiator) => {
                let is_waiting = initiator.is_waiting() || self.exchange.is_waiting();
                is_waiting.then_some(self.heard + self.config.patience)
            }
            // The initiator is silent during its pause, and may wait for its own disk before and
            // after.
            Role::Responder(_) => Some(self.heard + self.config.pause + self.config.patience * 2),
        }
    }

    /// Passes on what the parts want.
    fn go_on(&mut self, now: Instant) {
        loop {
            if let Some(effect) = self.exchange.poll_effect() {
                self.carry_out(effect);
                continue;
            }
            if let Role::Initiator(initiator) = &mut self.role {
                initiator.set_backlog(now, self.exchange.backlog());
            }
            if !self.poll_role() {
                break;
            }
        }
        if !self.is_over
            && let Some(outcome) = self.exchange.outcome()
        {
            let horizon = match outcome {
                Ok(horizon) => Some(horizon),
                Err(_) if planted(PlantedBug::PartialExchangeJoinsClocks) => Some(None),
                Err(_) => None,
            };
            match horizon {
                Some(horizon) => self.complete(horizon),
                None => self.end(Ending::Incomplete),
            }
        }
    }

    /// Carries out one thing that the finding part wants; false if there is none.
    fn poll_role(&mut self) -> bool {
        let session = self.key.session;
        match &mut self.role {
            Role::Initiator(initiator) => match initiator.poll_effect() {
                Some(Effect::Send(question)) => {
                    let message = RepairMessage::Question { session, question };
                    self.effects.push_back(SessionEffect::Send(message));
                }
                Some(other) => self.found(other),
                None => return false,
            },
            Role::Responder(responder) => match responder.poll_effect() {
                Some(Effect::Send(answer)) => {
                    let message = RepairMessage::Answer { session, answer };
                    self.effects.push_back(SessionEffect::Send(message));
                }
                Some(other) => self.found(other),
                None => return false,
            },
        }
        true
    }

    fn found<M>(&mut self, effect: Effect<M>) {
        match effect {
            Effect::Send(_) => {}
            Effect::Opened { clock } => {
                self.other_is_incomplete = clock.is_none();
                self.exchange.opened(clock.is_none());
                self.theirs = Some(clock.unwrap_or_default());
            }
            Effect::Agreed { clock } => {
                self.other_is_incomplete = clock.is_none();
                self.theirs = Some(clock.unwrap_or_default());
                self.complete(None);
            }
            Effect::Refused(why) => self.end(Ending::Refused(why)),
            Effect::NeedLeaf { leaf } => self.effects.push_back(SessionEffect::ReadLeaf(leaf)),
            Effect::Differ { records, .. } => self.exchange.differ(records),
            Effect::LeafAgrees { leaf, scanned } => {
                self.effects.push_back(SessionEffect::LeafAgrees { leaf, scanned });
            }
            Effect::Ended(outcome) => self.exchange.found(outcome.complete),
        }
    }

    fn carry_out(&mut self, effect: ExchangeEffect) {
        match effect {
            ExchangeEffect::Send(state) => self.send_state(state),
            ExchangeEffect::Read(name) => self.effects.push_back(SessionEffect::ReadRecord(name)),
            ExchangeEffect::Store { number, place, name, pieces } => {
                let sender = self.theirs.clone().unwrap_or_default();
                self.effects.push_back(SessionEffect::Store {
                    number,
                    place,
                    name,
                    pieces,
                    sender,
                });
            }
            ExchangeEffect::Drop { name, dots } => {
                self.effects.push_back(SessionEffect::Drop { name, dots });
            }
            ExchangeEffect::AllSent => self.effects.push_back(SessionEffect::AllSent),
        }
    }

    fn send_state(&mut self, state: StateMessage) {
        let SessionKey { session, is_initiator: by_initiator, .. } = self.key;
        let message = RepairMessage::State { session, by_initiator, state };
        self.effects.push_back(SessionEffect::Send(message));
    }

    /// Everything that the other side had when its clock was taken is here: as the same record, as
    /// one that was exchanged, or as collected by then or since, which `horizon` says.
    fn complete(&mut self, horizon: Option<DotSet>) {
        let mut clock = self.theirs.clone().unwrap_or_default();
        if let Some(horizon) = horizon {
            let joined = Arc::make_mut(&mut clock);
            joined.dots.union_with(&horizon);
            joined.horizon.union_with(&horizon);
        }
        self.end(Ending::Complete(clock));
    }

    fn end(&mut self, ending: Ending) {
        if !self.is_over {
            self.is_over = true;
            self.effects.push_back(SessionEffect::Over(ending));
        }
    }
}
