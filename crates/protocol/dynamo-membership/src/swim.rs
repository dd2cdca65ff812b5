//! Failure detection by SWIM: who of the members seems to be up.
//!
//! Each node probes one member at a time; one that answers neither directly nor by way of three
//! others is *suspected*, and everyone hears of it. A suspect that hears of it refutes; one that does
//! not for a while is *down*. News rides on the probes, so the load of a node does not grow with
//! the cluster. The detector itself is the `foca` crate; here it gets its periods, its bytes, a
//! view of the members that operators named, and doubts about itself ([`SwimConfig::local_health`]).
//!
//! ```text
//!             suspected               nobody refuted in time
//!      up ----------------> suspect ---------------------------> down
//!       ^                      |                                  |
//!       +--- it refutes -------+        a new life of the node    |
//!       +---------------------------------------------------------+
//! ```
//!
//! **Only opinions come out.** A node that is down keeps its place in the ring and everything it
//! owns; opinions steer hints, fallbacks and dashboards (Paper §4.8.1, §4.8.3).
//!
//! What doubts about itself do to a node:
//! - it counts what it misses and how late it runs, and gives suspects up to nine times the time;
//! - a probe that was under way while it ran late proves nothing, and raises no suspicion;
//! - a verdict that falls due while it runs late is put off by a whole suspicion;
//! - it tells a suspect so directly, once a probe period, and the answer refutes on the spot. Else
//!   a node that was paused would have to wait for the news to come around, and its refutation to go
//!   around, within what is left of its time.

mod alarms;
mod codec;
mod config;
mod datagram;
mod event;
mod greetings;
mod identity;
mod local_health;
mod own_probe;

use alloc::collections::btree_map::{BTreeMap, Entry};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Instant, NodeId};
use foca::{
    AccumulatingRuntime, Foca, Member, Message, NoCustomBroadcast, OwnedNotification, State, Timer,
};
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use alarms::{Alarm, Alarms};
use codec::SwimCodec;
use datagram::{Datagram, FRAME_BYTES};
use greetings::{GREET_PERIOD, Greetings};
use local_health::LocalHealth;
use own_probe::OwnProbe;

pub use codec::DecodeSwimError;
pub use config::SwimConfig;
pub use event::{Liveness, SwimEffect, SwimEvent, SwimRefusal};
pub use identity::SwimIdentity;

/// The failure detector of one node.
///
/// Tell it of the members first; then pass on every datagram ([`handle`](Self::handle)), call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so, and
/// after each call drain [`poll_effect`](Self::poll_effect). Time never goes back. Memory is bounded
/// by the number of members.
pub struct Swim {
    config: SwimConfig,
    detector: Foca<SwimIdentity, SwimCodec, Xoshiro256PlusPlus, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<SwimIdentity>,
    rng: Xoshiro256PlusPlus,
    /// All members but this node. Suspects are among those up: the detector knows them.
    opinions: BTreeMap<NodeId, Liveness>,
    greetings: Greetings,
    alarms: Alarms,
    health: LocalHealth,
    probe: Option<OwnProbe>,
    /// What this node last put against suspicions of its own.
    own_counter: u16,
    /// Members and health multiplier that the detector was last told.
    told: (usize, u32),
    /// Whether the detector knows anyone alive and is not called down.
    is_connected: bool,
    is_stopping: bool,
    /// Drained after each call: never more than one event makes.
    effects: VecDeque<SwimEffect>,
}

impl Swim {
    /// A detector that knows nobody. Its incarnation must be higher than that of the node's last
    /// process; if it is not, it is raised as soon as someone remembers a higher one.
    #[must_use]
    pub fn new(config: SwimConfig, identity: SwimIdentity, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let for_detector = Xoshiro256PlusPlus::from_rng(&mut rng);
        let told = (1, 1);
        let for_foca = config.for_foca(told.0, told.1, FRAME_BYTES);
        Self {
            config,
            detector: Foca::new(identity, for_foca, for_detector, SwimCodec),
            runtime: AccumulatingRuntime::new(),
            rng,
            opinions: BTreeMap::new(),
            greetings: Greetings::default(),
            alarms: Alarms::default(),
            health: LocalHealth::default(),
            probe: None,
            own_counter: 0,
            told,
            is_connected: false,
            is_stopping: false,
            effects: VecDeque::new(),
        }
    }

    /// This node, in its present life.
    #[must_use]
    pub fn identity(&self) -> SwimIdentity {
        *self.detector.identity()
    }

    /// What is thought of a node.
    #[must_use]
    pub fn liveness(&self, node: NodeId) -> Liveness {
        let suspected = || {
            self.detector
                .iter_members()
                .any(|member| member.id().node == node && member.state() == State::Suspect)
        };
        match self.opinions.get(&node) {
            None => Liveness::Unknown,
            Some(Liveness::Up) if suspected() => Liveness::Suspect,
            Some(opinion) => *opinion,
        }
    }

    /// How little the node trusts itself: 0 is well, 8 is worst.
    #[must_use]
    pub fn local_health(&self) -> u8 {
        self.health.score()
    }

    /// Takes in an event.
    pub fn handle(&mut self, now: Instant, event: SwimEvent) {
        self.notice_lateness(now);
        match event {
            SwimEvent::Members(members) => self.handle_members(now, members),
            SwimEvent::Linked(node) => {
                if self.opinions.get(&node).is_some_and(|opinion| *opinion != Liveness::Up) {
                    self.announce_to(now, node);
                }
            }
            SwimEvent::Datagram { from, bytes } => {
                if let Err(refusal) = self.handle_datagram(now, from, &bytes) {
                    self.effects.push_back(SwimEffect::Refused { from, refusal });
                }
            }
            SwimEvent::LoopLag(lag) => self.handle_loop_lag(now, lag),
            SwimEvent::Stopping => {
                self.is_stopping = true;
                self.run(now, |detector, runtime| detector.leave_cluster(runtime));
            }
        }
        self.tell_detector();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.notice_lateness(now);
        while let Some((_, alarm)) = self.alarms.take_due(now) {
            match alarm {
                Alarm::Greet => self.greet(now),
                Alarm::Remind(suspect) => self.remind(now, suspect),
                Alarm::Detector(timer) => self.handle_timer(now, timer),
            }
            self.tell_detector();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.next()
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<SwimEffect> {
        self.effects.pop_front()
    }

    fn handle_members(&mut self, now: Instant, mut members: BTreeSet<NodeId>) {
        members.remove(&self.identity().node);
        let gone: BTreeSet<NodeId> =
            self.opinions.keys().filter(|node| !members.contains(node)).copied().collect();
        for node in &gone {
            self.opinions.remove(node);
            self.greetings.forget(*node);
        }
        // The detector cannot forget anyone, but does not talk to the dead.
        let known = self.detector.iter_members();
        let removed: Vec<_> = known
            .filter(|member| gone.contains(&member.id().node))
            .map(|member| Member::down(*member.id()))
            .collect();
        self.run(now, |detector, runtime| detector.apply_many(removed.into_iter(), false, runtime));
        let is_first = self.alarms.next().is_none();
        let mut is_new = false;
        for node in members {
            if let Entry::Vacant(place) = self.opinions.entry(node) {
                place.insert(Liveness::Unknown);
                self.greetings.wait_for(node);
                is_new = true;
            }
        }
        if is_new {
            self.greet_some(now);
        }
        if is_first {
            self.alarms.set(now, GREET_PERIOD, Alarm::Greet);
        }
    }

    fn handle_datagram(
        &mut self,
        now: Instant,
        from: NodeId,
        bytes: &[u8],
    ) -> Result<(), SwimRefusal> {
        if !self.opinions.contains_key(&from) {
            return Err(SwimRefusal::Stranger);
        }
        let body = datagram::open(bytes)?;
        let mut datagram = Datagram::read(body)?;
        let own = self.identity();
        let header = &datagram.header;
        if header.src.node != from || header.dst.node != own.node {
            return Err(SwimRefusal::Misdirected);
        }
        self.outrun(now, &datagram);
        if let Some(present) = self.later_life(header.src) {
            // The detector would only tell it that it is dead, and it would come back one life later:
            // again and again, if its clock went back by an hour of milliseconds. Told of its
            // present life, it outruns that at once.
            self.run(now, |detector, runtime| detector.announce(present, runtime));
            return Ok(());
        }
        let own = self.identity();
        if let Some(probe) = &mut self.probe {
            probe.received(&datagram.header);
        }
        let accuses = |member: &Member<SwimIdentity>| {
            *member.id() == own
                && member.state() == State::Suspect
                && member.incarnation() >= self.own_counter
        };
        if datagram.news.iter().any(accuses) {
            self.health.worsen();
        }
        // News of strangers is not for the detector: it would probe them. Nor are former lives of
        // this node.
        let count = datagram.news.len();
        datagram
            .news
            .retain(|member| *member.id() == own || self.opinions.contains_key(&member.id().node));
        let rewritten;
        let body = if datagram.news.len() == count {
            body
        } else {
            rewritten = datagram.write().map_err(|_| SwimRefusal::Nonsense)?;
            &rewritten[..]
        };
        let understood = self.run(now, |detector, runtime| detector.handle_data(body, runtime));
        let src = datagram.header.src;
        if self.is_suspect(src) {
            // It is alive and does not know what is said of it. Who began the suspicion may have
            // died since, and nobody else passes a verdict.
            self.alarms.set(now, Duration::ZERO, Alarm::Remind(src));
        }
        if datagram.header.dst.incarnation < own.incarnation && !self.is_stopping {
            // Whoever speaks to a former life has missed the news of this one, and would take its
            // silence for death.
            self.run(now, |detector, runtime| detector.announce(src, runtime));
        }
        if understood { Ok(()) } else { Err(SwimRefusal::Nonsense) }
    }

    fn is_suspect(&self, life: SwimIdentity) -> bool {
        let mut known = self.detector.iter_members();
        known.any(|member| *member.id() == life && member.state() == State::Suspect)
    }

    /// The life of a member that is known here, if it is a later one than this.
    fn later_life(&self, life: SwimIdentity) -> Option<SwimIdentity> {
        let known = self.detector.iter_membership_state().find(|m| m.id().node == life.node)?;
        (known.id().incarnation > life.incarnation).then(|| *known.id())
    }

    /// Rises above every life of this node that anyone remembers. Without it a node whose clock went
    /// back between two starts would lose to its own past.
    fn outrun(&mut self, now: Instant, datagram: &Datagram) {
        let own = self.identity();
        let named = datagram.news.iter().map(|member| *member.id()).chain([datagram.header.dst]);
        let highest = named
            .filter(|identity| identity.node == own.node)
            .map(|identity| identity.incarnation)
            .max()
            .unwrap_or(0);
        if highest > own.incarnation && !self.is_stopping {
            let incarnation = highest.saturating_add(1);
            let identity = SwimIdentity { node: own.node, incarnation };
            self.is_connected = false;
            self.run(now, |detector, runtime| detector.change_identity(identity, runtime));
        }
    }

    fn handle_loop_lag(&mut self, now: Instant, lag: Duration) {
        if self.config.local_health && lag > self.config.probe_rtt {
            self.health.ran_late(now, self.config.probe_period);
        }
    }

    /// A timer that is overdue says how late the loop is, whatever comes first after a pause.
    fn notice_lateness(&mut self, now: Instant) {
        if let Some(due) = self.alarms.next() {
            self.handle_loop_lag(now, now.saturating_since(due));
        }
    }

    fn handle_timer(&mut self, now: Instant, timer: Timer<SwimIdentity>) {
        match &timer {
            Timer::ProbeRandomMember(_) => return self.judge_probe(now, timer),
            Timer::ChangeSuspectToDown { member_id, incarnation, .. } => {
                // The detector does not condemn who has refuted, but tells it that it was condemned
                // all the same (foca 2.0.0), and the member would take that for true.
                let is_suspect = self.detector.iter_members().any(|member| {
                    member.id() == member_id
                        && member.incarnation() == *incarnation
                        && member.state() == State::Suspect
                });
                if !is_suspect {
                    return;
                }
                let doubts = self.health.was_late_since(now - self.config.probe_period);
                if self.config.local_health && doubts {
                    let again = self.config.suspicion(self.told.0) * self.told.1;
                    return self.alarms.set(now, again, Alarm::Detector(timer));
                }
            }
            Timer::SendIndirectProbe { .. }
            | Timer::PeriodicAnnounce(_)
            | Timer::PeriodicAnnounceDown(_)
            | Timer::PeriodicGossip(_)
            | Timer::RemoveDown(_) => {}
        }
        self.run(now, |detector, runtime| detector.handle_timer(timer, runtime));
    }

    /// The period of a probe is over: the detector judges it, unless that would be unjust.
    fn judge_probe(&mut self, now: Instant, timer: Timer<SwimIdentity>) {
        let ended = self.probe.take();
        if let Some(probe) = ended.as_ref().filter(|probe| !probe.is_answered)
            && self.config.local_health
            && self.health.was_late_since(probe.sent_at)
        {
            let target = self.detector.iter_members().find(|member| *member.id() == probe.target);
            if let Some(counter) = target.map(Member::incarnation) {
                let answer = probe.as_answered(self.identity(), counter).write();
                let answer = answer.expect("a header fits a vector that grows");
                self.run(now, |detector, runtime| detector.handle_data(&answer, runtime));
            }
        }
        self.run(now, |detector, runtime| detector.handle_timer(timer, runtime));
        // Only now: the first miss in a row is the member's fault, not this node's.
        if let Some(probe) = ended.filter(|_| self.config.local_health) {
            if probe.is_answered { self.health.improve() } else { self.health.worsen() }
        }
    }

    /// Tells a suspect, until it refutes or is judged.
    fn remind(&mut self, now: Instant, suspect: SwimIdentity) {
        let known = self.detector.iter_members().find(|member| *member.id() == suspect);
        let Some(known) = known.filter(|member| member.state() == State::Suspect) else { return };
        let header = foca::Header {
            src: self.identity(),
            src_incarnation: self.own_counter,
            dst: suspect,
            // The number of no probe of this node's that is under way: the answer ends none.
            message: Message::Ping(self.probe.as_ref().map_or(0, |p| p.number.wrapping_sub(1))),
        };
        let reminder = Datagram { header, news: vec![known.clone()] }.write();
        let reminder = reminder.expect("one piece of news fits a vector that grows");
        self.effects
            .push_back(SwimEffect::Send { to: suspect.node, bytes: datagram::seal(&reminder) });
        self.alarms.set(now, self.config.probe_period, Alarm::Remind(suspect));
    }

    fn greet(&mut self, now: Instant) {
        if self.is_stopping {
            return;
        }
        for member in self.detector.iter_membership_state() {
            self.greetings.forget(member.id().node);
        }
        let known: BTreeSet<NodeId> =
            self.detector.iter_membership_state().map(|member| member.id().node).collect();
        for node in self.opinions.keys() {
            // Nobody else asks the dead to come back while this node knows nobody alive.
            if !known.contains(node) || !self.is_connected {
                self.greetings.wait_for(*node);
            }
        }
        self.greet_some(now);
        let patience = 2 * self.config.suspicion(self.told.0) * self.told.1;
        // News of a death that this node did not see: the detector tells only of those it knew alive.
        let dead = self.detector.iter_membership_state().filter(|m| m.state() == State::Down);
        let dead: Vec<NodeId> = dead.map(|member| member.id().node).collect();
        for node in dead {
            if self.opinions.get(&node) == Some(&Liveness::Unknown) {
                self.conclude(node, Liveness::Down);
            }
        }
        let given_up: Vec<NodeId> = self.greetings.given_up(now, patience).collect();
        for node in given_up {
            if !known.contains(&node) {
                self.conclude(node, Liveness::Down);
            }
        }
        self.alarms.set(now, GREET_PERIOD, Alarm::Greet);
    }

    fn greet_some(&mut self, now: Instant) {
        for node in self.greetings.choose(now, &mut self.rng) {
            self.announce_to(now, node);
        }
    }

    /// Greets a node, which may answer in any of its lives.
    fn announce_to(&mut self, now: Instant, node: NodeId) {
        if self.is_stopping {
            return;
        }
        let known = self.detector.iter_membership_state().find(|m| m.id().node == node);
        let to = known.map_or(SwimIdentity { node, incarnation: 0 }, |member| *member.id());
        self.run(now, |detector, runtime| detector.announce(to, runtime));
    }

    fn conclude(&mut self, node: NodeId, liveness: Liveness) {
        let was_down = self.opinions.get(&node) == Some(&Liveness::Down);
        if planted(PlantedBug::DownStaysDown) && was_down {
            return;
        }
        if let Some(opinion) = self.opinions.get_mut(&node).filter(|known| **known != liveness) {
            *opinion = liveness;
            self.effects.push_back(match liveness {
                Liveness::Up | Liveness::Suspect => SwimEffect::BecameUp(node),
                Liveness::Down | Liveness::Unknown => SwimEffect::BecameDown(node),
            });
        }
    }

    /// Tells the detector what changed in its periods.
    fn tell_detector(&mut self) {
        let now_told = (self.opinions.len() + 1, self.health.multiplier());
        if now_told != self.told {
            self.told = now_told;
            let config = self.config.for_foca(now_told.0, now_told.1, FRAME_BYTES);
            self.detector.set_config(config).expect("only what may change was changed");
        }
    }

    /// Runs the detector and takes over what it wants. Returns whether it was content.
    fn run(
        &mut self,
        now: Instant,
        step: impl FnOnce(
            &mut Foca<SwimIdentity, SwimCodec, Xoshiro256PlusPlus, NoCustomBroadcast>,
            &mut AccumulatingRuntime<SwimIdentity>,
        ) -> Result<(), foca::Error>,
    ) -> bool {
        let outcome = step(&mut self.detector, &mut self.runtime);
        while let Some((to, body)) = self.runtime.to_send() {
            self.send(now, to, &body);
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            if let Timer::ChangeSuspectToDown { member_id, .. } = &timer
                && self.config.local_health
            {
                self.alarms.set(now, Duration::ZERO, Alarm::Remind(*member_id));
            }
            self.alarms.set(now, after, Alarm::Detector(timer));
        }
        while let Some(notification) = self.runtime.to_notify() {
            self.take_notification(notification);
        }
        outcome.is_ok()
    }

    fn send(&mut self, now: Instant, to: SwimIdentity, body: &[u8]) {
        let header = codec::read_header(body).expect("the detector's bytes are of its codec");
        self.own_counter = header.src_incarnation;
        if let Some(probe) = OwnProbe::begun_by(&header, now) {
            self.probe = Some(probe);
        }
        // The detector also remembers removed members and former lives of this node.
        if self.opinions.contains_key(&to.node) {
            let bytes = datagram::seal(body);
            self.effects.push_back(SwimEffect::Send { to: to.node, bytes });
        }
    }

    fn take_notification(&mut self, notification: OwnedNotification<SwimIdentity>) {
        match notification {
            OwnedNotification::MemberUp(member) => {
                self.greetings.forget(member.node);
                self.conclude(member.node, Liveness::Up);
            }
            OwnedNotification::MemberDown(member) => self.conclude(member.node, Liveness::Down),
            OwnedNotification::Rename(_, member) => {
                if self.opinions.contains_key(&member.node) {
                    self.effects.push_back(SwimEffect::Returned(member.node));
                }
            }
            OwnedNotification::Active => self.is_connected = true,
            OwnedNotification::Idle => self.is_connected = false,
            OwnedNotification::Defunct => self.is_connected = false,
            OwnedNotification::Rejoin(_) => {
                self.is_connected = false;
                if self.config.local_health {
                    self.health.worsen();
                }
                self.effects.push_back(SwimEffect::WasCalledDown);
            }
        }
    }
}

impl fmt::Debug for Swim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swim")
            .field("identity", &self.identity())
            .field("opinions", &self.opinions)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
