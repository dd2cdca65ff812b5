//! Random histories of the members of a few partitions, with everything that an owner of
//! [`AntiEntropy`] does: rows, trees, clocks, incomplete mode, collection; and a network and disks
//! that lose, double, delay and refuse.
//!
//! [`truth`] knows which write had seen which and judges what the members hold; [`member`] is one
//! member; this module moves time and throws the faults.

pub(crate) mod member;
pub(crate) mod truth;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use dynamo_messages::repair::{SessionId, StateMessage};
use dynamo_messages::{Envelope, PeerMessage, RepairMessage, decode_peer, encode_peer};
use dynamo_repair::anti_entropy::{AntiEntropyCounters, AntiEntropyEffect, AntiEntropyEvent};
use dynamo_types::{Instant, NodeId, ObjectName, PartitionCount, PartitionId, Position};
use dynamo_versioning::testing::{put, value};
use dynamo_versioning::{Content, DotSet, Hlc, Record};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use member::{DiskResult, Member};
use truth::{Truth, WRITES_MAX, Writes};

/// How a history goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mood {
    pub(crate) members: usize,
    pub(crate) partitions: u16,
    pub(crate) keys: usize,
    /// Steps of clients and operators.
    pub(crate) steps: usize,
    /// In a thousand: messages lost, and doubled.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// In a thousand, of what the disk does: stores refused, reads failed.
    pub(crate) refused: u64,
    /// Whether connections break, processes restart and rows are damaged.
    pub(crate) breaks: bool,
}

/// What a client was shown.
#[derive(Debug, Clone)]
struct Seen {
    dots: DotSet,
    hlc: Hlc,
    writes: Writes,
}

enum Happening {
    Arrives {
        from: usize,
        to: usize,
        frame: Bytes,
    },
    /// A replica write, maybe very late.
    Write {
        to: usize,
        name: ObjectName,
        piece: Record,
    },
    Disk {
        member: usize,
        process: u64,
        result: DiskResult,
    },
}

pub(crate) struct World {
    pub(crate) mood: Mood,
    pub(crate) now: Instant,
    pub(crate) members: Vec<Member>,
    rng: Xoshiro256PlusPlus,
    queue: BTreeMap<(Instant, u64), Happening>,
    queued: u64,
    /// When the last message of a stream arrives: those of one session stay in order.
    streams: BTreeMap<(usize, usize, u64), Instant>,
    contexts: Vec<Vec<Seen>>,
    pub(crate) truth: Truth,
    /// Messages sent, by kind.
    pub(crate) sent: BTreeMap<&'static str, u64>,
    /// To whom something was sent about which session, and whether by its initiator.
    seen: BTreeSet<(usize, SessionId, bool)>,
    /// Bytes of records sent and not stored yet, and the most that there ever were.
    under_way: BTreeMap<(SessionId, bool, u32), u64>,
    pub(crate) most_under_way: u64,
    /// Members whose messages are all lost.
    pub(crate) mute: BTreeSet<usize>,
    /// Whether faults happen now.
    is_calm: bool,
}

pub(crate) fn q() -> PartitionCount {
    PartitionCount::new(4).expect("a power of two")
}

impl World {
    pub(crate) fn new(seed: u64, mood: Mood) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let names = names(mood);
        let members = (0..mood.members)
            .map(|number| {
                let depth = u8::try_from(rng.next_u64() % 3).expect("small");
                Member::new(number, mood, depth, rng.next_u64())
            })
            .collect();
        let mut world = Self {
            mood,
            now: Instant::ZERO + Duration::from_secs(1),
            members,
            rng,
            queue: BTreeMap::new(),
            queued: 0,
            streams: BTreeMap::new(),
            contexts: vec![Vec::new(); names.len()],
            truth: Truth::new(names),
            sent: BTreeMap::new(),
            seen: BTreeSet::new(),
            under_way: BTreeMap::new(),
            most_under_way: 0,
            mute: BTreeSet::new(),
            is_calm: false,
        };
        for a in 0..mood.members {
            for b in 0..mood.members {
                let (node, shared) = (NodeId(b as u64), world.partitions());
                if a != b {
                    world.tell(a, AntiEntropyEvent::SharedWith { node, shared });
                }
            }
        }
        for a in 0..mood.members {
            for b in 0..a {
                world.connect(a, b);
            }
        }
        world
    }

    pub(crate) fn partitions(&self) -> Vec<PartitionId> {
        (0..self.mood.partitions).map(PartitionId).collect()
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    fn member(&mut self) -> usize {
        usize::try_from(self.below(self.mood.members as u64)).expect("small")
    }

    fn happens(&mut self, thousandths: u64) -> bool {
        !self.is_calm && self.below(1000) < thousandths
    }

    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.below(most * 1000) + 1)
    }

    fn schedule(&mut self, at: Instant, happening: Happening) {
        self.queued += 1;
        self.queue.insert((at, self.queued), happening);
    }

    /// Plays a whole history and its aftermath.
    pub(crate) fn play(mut self) -> Result<Self, String> {
        for _ in 0..self.mood.steps {
            self.step()?;
            let pause = match self.below(8) {
                0 => self.millis(6_000),
                _ => self.millis(300),
            };
            self.run_until(self.now + pause)?;
        }
        self.settle()?;
        Ok(self)
    }

    fn step(&mut self) -> Result<(), String> {
        let key = usize::try_from(self.below(self.mood.keys as u64)).expect("small");
        let (a, b) = (self.member(), self.member());
        match self.below(if self.mood.breaks { 100 } else { 80 }) {
            0..10 => self.read(key),
            10..55 => self.put(key, a),
            55..62 => {
                self.report(a);
                Ok(())
            }
            62..70 => self.collect(a),
            70..76 => {
                (0..self.mood.members).for_each(|member| self.report(member));
                self.collect(a)
            }
            76..80 => {
                let share = [0, 10, 50, 100][usize::try_from(self.below(4)).expect("small")];
                self.tell(a, AntiEntropyEvent::Budget(share));
                Ok(())
            }
            80..84 => {
                self.disconnect(a, b);
                Ok(())
            }
            84..90 => {
                if a != b {
                    self.connect(a, b);
                }
                Ok(())
            }
            90..92 => {
                self.restart(a);
                Ok(())
            }
            92..95 => {
                self.members[a].back_up();
                Ok(())
            }
            95..98 => {
                self.roll_back(key, a);
                Ok(())
            }
            _ => {
                self.damage(key, a);
                Ok(())
            }
        }
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        if self.members[a].connected.contains(&b) {
            return;
        }
        for (one, other) in [(a, b), (b, a)] {
            self.members[one].connected.insert(other);
            let event = AntiEntropyEvent::PeerConnected {
                node: NodeId(other as u64),
                shared: self.partitions(),
            };
            self.tell(one, event);
        }
    }

    pub(crate) fn disconnect(&mut self, a: usize, b: usize) {
        for (one, other) in [(a, b), (b, a)] {
            if self.members[one].connected.remove(&other) {
                self.tell(one, AntiEntropyEvent::PeerLost { node: NodeId(other as u64) });
            }
        }
    }

    fn restart(&mut self, member: usize) {
        for other in 0..self.mood.members {
            self.disconnect(member, other);
        }
        let seed = self.rng.next_u64();
        self.members[member].restart(seed);
        for other in 0..self.mood.members {
            if other != member {
                let (node, shared) = (NodeId(other as u64), self.partitions());
                self.tell(member, AntiEntropyEvent::SharedWith { node, shared });
                self.connect(member, other);
            }
        }
    }

    /// A member finds a record damaged.
    pub(crate) fn damage(&mut self, key: usize, member: usize) {
        let name = self.truth.names[key].clone();
        if self.truth.damaged[key]
            || self.others_recover(member, partition_of(&name))
            || !self.members[member].lose(&name)
        {
            return;
        }
        self.truth.damaged[key] = true;
        self.become_incomplete(member, partition_of(&name));
    }

    /// Faults come one at a time: what two incomplete copies agree on may be what both lost.
    fn others_recover(&self, member: usize, partition: PartitionId) -> bool {
        self.members.iter().enumerate().any(|(number, other)| {
            let copy = other.copies.get(&partition);
            number != member && copy.is_some_and(|copy| copy.incomplete)
        })
    }

    /// A member notices that its copy of a partition is an old one.
    pub(crate) fn roll_back(&mut self, key: usize, member: usize) {
        let partition = partition_of(&self.truth.names[key]);
        if self.others_recover(member, partition) {
            return;
        }
        for (key, name) in self.truth.names.iter().enumerate() {
            self.truth.damaged[key] |= partition_of(name) == partition;
        }
        self.members[member].roll_back(partition);
        self.become_incomplete(member, partition);
    }

    pub(crate) fn become_incomplete(&mut self, member: usize, partition: PartitionId) {
        self.members[member].become_incomplete(partition);
        self.tell(member, AntiEntropyEvent::Reset { partition });
    }

    fn read(&mut self, key: usize) -> Result<(), String> {
        let mask = self.rng.next_u64();
        let name = self.truth.names[key].clone();
        let mut merged = Record::new();
        for (number, member) in self.members.iter().enumerate() {
            if mask & (1 << number) != 0 {
                merged.merge(&member.record(&name));
            }
        }
        let writes = self.truth.history_of(&merged)?;
        let seen = Seen { dots: merged.context().clone(), hlc: merged.hlc_max(), writes };
        self.contexts[key].push(seen);
        Ok(())
    }

    /// A put or delete at one member of all that it holds, which reaches no other.
    pub(crate) fn write(&mut self, key: usize, at: usize, content: Content) {
        let name = self.truth.names[key].clone();
        let held = self.members[at].record(&name);
        let past = self.truth.history_of(&held).expect("writes of this history");
        let request = put(content, held.context(), held.hlc_max(), 0);
        let applied = self.members[at].put(&name, request);
        self.truth.add(key, applied.dot, past).expect("a new dot");
    }

    /// The same by a client that has seen nothing.
    pub(crate) fn write_blindly(&mut self, key: usize, at: usize, content: Content) {
        let name = self.truth.names[key].clone();
        let applied = self.members[at].put(&name, put(content, &DotSet::new(), Hlc::ZERO, 0));
        self.truth.add(key, applied.dot, 0).expect("a new dot");
    }

    /// The same, in a history of more writes than can be judged.
    pub(crate) fn write_untold(&mut self, key: usize, at: usize, content: Content) {
        let name = self.truth.names[key].clone();
        self.members[at].put(&name, put(content, &DotSet::new(), Hlc::ZERO, 0));
    }

    /// Sessions about which a member was sent something, and whether its peer is their initiator.
    pub(crate) fn sessions_seen(&self, to: usize) -> Vec<(SessionId, bool)> {
        self.seen.iter().filter(|(of, ..)| *of == to).map(|(_, id, by)| (*id, *by)).collect()
    }

    /// What one member holds of a key reaches another as a replica write.
    pub(crate) fn replicate(&mut self, key: usize, from: usize, to: usize) {
        let name = self.truth.names[key].clone();
        for piece in self.members[from].record(&name).pieces() {
            self.members[to].receive(&name, &piece, None);
        }
    }

    /// A put at one member that reaches all others.
    pub(crate) fn write_everywhere(&mut self, key: usize, at: usize, content: Content) {
        self.write(key, at, content);
        for to in (0..self.mood.members).filter(|to| *to != at) {
            self.replicate(key, at, to);
        }
    }

    /// A late copy of a replica write.
    pub(crate) fn send_write(&mut self, to: usize, key: usize, piece: Record, after: Duration) {
        let name = self.truth.names[key].clone();
        self.schedule(self.now + after, Happening::Write { to, name, piece });
    }

    /// Lets so much time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        self.run_until(self.now + time).expect("no law is broken");
    }

    pub(crate) fn put(&mut self, key: usize, at: usize) -> Result<(), String> {
        if self.truth.writes.len() >= WRITES_MAX {
            return Ok(());
        }
        let given = self.contexts[key].len() as u64;
        let seen = match self.below(4) {
            0 => None,
            _ => self.below(4).checked_rem(given.max(1)).filter(|_| given > 0),
        };
        let seen = seen
            .and_then(|back| self.contexts[key].iter().rev().nth(usize::try_from(back).ok()?))
            .cloned()
            .unwrap_or(Seen { dots: DotSet::new(), hlc: Hlc::ZERO, writes: 0 });
        let content = if self.below(3) == 0 { Content::Tombstone } else { value("v") };
        let request = put(content, &seen.dots, seen.hlc, self.truth.writes.len() as u128);
        let name = self.truth.names[key].clone();
        let applied = self.members[at].put(&name, request);
        let new = self.truth.add(key, applied.dot, seen.writes)?;
        let writes = seen.writes | new;
        self.contexts[key].push(Seen {
            dots: applied.reply_context,
            hlc: applied.reply_hlc,
            writes,
        });
        for to in (0..self.mood.members).filter(|to| *to != at) {
            // Anti-entropy has something to do only because so many never arrive.
            let copies = match self.below(10) {
                0..4 => 0,
                9 => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let delay = match self.below(5) {
                    0 => self.millis(60_000),
                    _ => self.millis(200),
                };
                let (name, piece) = (name.clone(), applied.write.clone());
                self.schedule(self.now + delay, Happening::Write { to, name, piece });
            }
        }
        Ok(())
    }

    pub(crate) fn report(&mut self, from: usize) {
        for partition in self.partitions() {
            let Some(dots) = self.members[from].report(partition) else { continue };
            for to in (0..self.mood.members).filter(|to| *to != from) {
                self.members[to].reports.insert((partition, from), dots.clone());
            }
        }
    }

    pub(crate) fn collect(&mut self, at: usize) -> Result<(), String> {
        for record in self.members[at].collect() {
            self.truth.collected(&record)?;
        }
        Ok(())
    }

    /// Tells a member's machine, and carries out what it wants.
    pub(crate) fn tell(&mut self, member: usize, event: AntiEntropyEvent) {
        self.members[member].handle(self.now, event);
        self.carry_out(member);
    }

    fn carry_out(&mut self, member: usize) {
        while let Some(effect) = self.members[member].poll_effect() {
            match effect {
                AntiEntropyEffect::Send { to, message } => {
                    let to = usize::try_from(to.0).expect("small");
                    self.send(member, to, message);
                }
                other => {
                    let Some(work) = self.members[member].carry_out(other) else { continue };
                    let fails = self.happens(self.mood.refused);
                    let result = self.members[member].result_of(work, fails);
                    let process = self.members[member].process;
                    let at = self.now + self.millis(20);
                    self.schedule(at, Happening::Disk { member, process, result });
                }
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, message: RepairMessage) {
        *self.sent.entry(kind_of(&message)).or_default() += 1;
        let stream = match &message {
            RepairMessage::Roots(_) | RepairMessage::RootsAnswer(_) => 0,
            RepairMessage::Question { session, .. }
            | RepairMessage::Answer { session, .. }
            | RepairMessage::State { session, .. } => session.0,
        };
        self.take_down(to, &message);
        let frame =
            encode_peer(&Envelope { hlc: Hlc::ZERO, message: PeerMessage::Repair(message) });
        if self.happens(self.mood.lost) || self.mute.contains(&from) {
            return;
        }
        let copies = if self.happens(self.mood.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.millis(40);
            let last = self.streams.entry((from, to, stream)).or_insert(Instant::ZERO);
            let at = (self.now + delay).max(*last);
            *last = at;
            self.schedule(at, Happening::Arrives { from, to, frame: frame.clone() });
        }
    }

    fn take_down(&mut self, to: usize, message: &RepairMessage) {
        match message {
            RepairMessage::Roots(_) | RepairMessage::RootsAnswer(_) => {}
            RepairMessage::Question { session, .. } => {
                self.seen.insert((to, *session, true));
            }
            RepairMessage::Answer { session, .. } => {
                self.seen.insert((to, *session, false));
            }
            RepairMessage::State { session, by_initiator, state } => match state {
                StateMessage::State { number, .. } => {
                    let bytes = state.cost().total();
                    self.under_way.insert((*session, *by_initiator, *number), bytes);
                    let sum = self.under_way.values().sum();
                    self.most_under_way = self.most_under_way.max(sum);
                }
                StateMessage::Stored { number, .. } => {
                    self.under_way.remove(&(*session, !*by_initiator, *number));
                }
                StateMessage::Sent { .. } | StateMessage::Aborted => {}
            },
        }
    }

    /// Lets everything happen up to a moment, and checks after each thing.
    pub(crate) fn run_until(&mut self, until: Instant) -> Result<(), String> {
        loop {
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let timeouts = self.members.iter().filter_map(Member::poll_timeout);
            let Some(next) = timeouts.chain(queued).min().filter(|next| *next <= until) else {
                self.now = self.now.max(until);
                return Ok(());
            };
            self.now = self.now.max(next);
            if queued.is_some_and(|at| at <= self.now) {
                let (_, happening) = self.queue.pop_first().expect("it is due");
                self.happen(happening)?;
            } else {
                for member in 0..self.mood.members {
                    if self.members[member].poll_timeout().is_some_and(|due| due <= self.now) {
                        self.members[member].handle_timeout(self.now);
                        self.carry_out(member);
                        let again = self.members[member].poll_timeout();
                        if again.is_some_and(|due| due <= self.now) {
                            return Err(format!("member {member} is due again at once"));
                        }
                    }
                }
            }
            self.check()?;
        }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Arrives { from, to, frame } => {
                let envelope = decode_peer(frame).map_err(|why| format!("{why:?}"))?;
                let PeerMessage::Repair(message) = envelope.message else {
                    return Err("another message arrived than was sent".into());
                };
                let from = NodeId(from as u64);
                self.tell(to, AntiEntropyEvent::Received { from, message });
            }
            Happening::Write { to, name, piece } => {
                let lost = self.members[to].receive(&name, &piece, None).lost;
                if !lost.is_empty() {
                    self.become_incomplete(to, partition_of(&name));
                }
            }
            Happening::Disk { member, process, result } => {
                if self.members[member].process == process {
                    let (event, lost) = self.members[member].done(result);
                    self.tell(member, event);
                    if let Some(partition) = lost {
                        self.become_incomplete(member, partition);
                    }
                }
            }
        }
        Ok(())
    }

    /// What must hold after every step.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        for member in self.members.iter_mut().filter(|member| member.changed) {
            member.changed = false;
            member.check_trees()?;
            self.truth.check_member(member)?;
        }
        Ok(())
    }

    /// Ends all faults, lets everything be exchanged and collected, and judges what is left.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        self.is_calm = true;
        for a in 0..self.mood.members {
            self.tell(a, AntiEntropyEvent::Budget(100));
            for b in 0..a {
                self.connect(a, b);
            }
        }
        // The latest write arrives within a minute.
        self.run_until(self.now + Duration::from_secs(60))?;
        let mut rounds = 0;
        loop {
            self.run_until(self.now + Duration::from_secs(30))?;
            for member in 0..self.mood.members {
                self.report(member);
            }
            for member in 0..self.mood.members {
                self.collect(member)?;
            }
            let before = self.counters();
            self.run_until(self.now + Duration::from_secs(45))?;
            let after = self.counters();
            let is_silent = before.iter().zip(&after).all(|(before, after)| {
                before.sessions_begun == after.sessions_begun
                    && before.sessions_failed == after.sessions_failed
                    && after.roots_asked + after.roots_equal
                        > before.roots_asked + before.roots_equal
            });
            if is_silent {
                break;
            }
            rounds += 1;
            if rounds > 8 {
                return Err(format!("the members do not come to rest: {before:?} {after:?}"));
            }
        }
        // (d) All is equal: roots go to and fro, and nothing else.
        self.sent.clear();
        self.run_until(self.now + Duration::from_secs(60))?;
        if let Some(kind) = self.sent.keys().find(|kind| !kind.starts_with("roots")) {
            return Err(format!("{kind} is sent though all is equal"));
        }
        self.check()?;
        for partition in self.partitions() {
            let [first, rest @ ..] = &self.members[..] else { return Ok(()) };
            for member in rest {
                first.check_same(member, partition)?;
            }
            for (number, member) in self.members.iter().enumerate() {
                let verified = member.machine.verified_until(partition);
                let since = verified.ok_or(format!("{number} has verified nothing"))?;
                if self.now.saturating_since(since) > Duration::from_secs(12) {
                    return Err(format!("{number} has not verified for long"));
                }
                if member.machine.sessions() > 0 {
                    return Err(format!("{number} still has sessions"));
                }
            }
        }
        self.truth.check_end(&self.members)
    }

    pub(crate) fn counters(&self) -> Vec<AntiEntropyCounters> {
        self.members.iter().map(|member| member.machine.counters()).collect()
    }
}

fn kind_of(message: &RepairMessage) -> &'static str {
    match message {
        RepairMessage::Roots(_) => "roots",
        RepairMessage::RootsAnswer(_) => "roots answer",
        RepairMessage::Question { .. } => "question",
        RepairMessage::Answer { .. } => "answer",
        RepairMessage::State { .. } => "state",
    }
}

pub(crate) fn partition_of(name: &ObjectName) -> PartitionId {
    q().partition_of(Position::of_object(name))
}

/// So many keys that lie in the partitions of a history.
fn names(mood: Mood) -> Vec<ObjectName> {
    use dynamo_types::{Bucket, Key};
    let name = |number: u32| ObjectName {
        bucket: Bucket::new("carts").expect("a bucket name"),
        key: Key::new(format!("customer-{number}")).expect("a key"),
    };
    let all = (0..).map(name).filter(|name| partition_of(name).0 < mood.partitions);
    all.take(mood.keys).collect()
}
