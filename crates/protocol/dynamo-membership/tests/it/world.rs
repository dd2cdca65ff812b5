//! Many detectors in one thread under a virtual clock, with a network that delays and loses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use dynamo_membership::{Liveness, Swim, SwimConfig, SwimEffect, SwimEvent, SwimIdentity};
use dynamo_types::{Instant, NodeId};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// What a socket holds for a process that does not read: more is lost.
const INBOX_DATAGRAMS_MAX: usize = 1000;

/// A node's number in the world, from 0.
pub(crate) type Place = usize;

/// What happens to the cluster from outside.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    /// Datagrams lost, in a thousand.
    pub(crate) loss_permille: u64,
    /// Datagrams with one flipped bit, in a thousand.
    pub(crate) flip_permille: u64,
    /// Shortest and longest way of a datagram.
    pub(crate) delay: (Duration, Duration),
    /// So many of the first nodes stall again and again.
    pub(crate) stalling: usize,
    /// How long each time.
    pub(crate) stall: Duration,
}

impl Default for Weather {
    fn default() -> Self {
        let delay = (Duration::from_micros(200), Duration::from_millis(5));
        Self {
            loss_permille: 0,
            flip_permille: 0,
            delay,
            stalling: 0,
            stall: Duration::from_secs(2),
        }
    }
}

/// An opinion that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Instant,
    pub(crate) observer: Place,
    pub(crate) subject: Place,
    pub(crate) is_up: bool,
}

enum Happening {
    Arrive { to: Place, from: Place, bytes: Bytes },
    Wake(Place),
    Stall(Place),
    Resume(Place),
}

struct Machine {
    /// None while it is dead.
    swim: Option<Swim>,
    incarnation: u64,
    is_stalled: bool,
    inbox: VecDeque<(Place, Bytes)>,
    wakes_at: Option<Instant>,
}

/// The cluster.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) changes: Vec<Change>,
    pub(crate) bytes_sent: usize,
    pub(crate) largest_datagram: usize,
    pub(crate) refused: usize,
    pub(crate) called_down: usize,
    pub(crate) flipped: usize,
    /// One-way cuts: nothing goes from the first to the second.
    pub(crate) cut: BTreeSet<(Place, Place)>,
    config: SwimConfig,
    weather: Weather,
    machines: Vec<Machine>,
    queue: BTreeMap<(Instant, u64), Happening>,
    queued: u64,
    rng: Xoshiro256PlusPlus,
}

impl World {
    /// A cluster whose nodes all know each other as members, and start within a second.
    pub(crate) fn new(nodes: usize, config: SwimConfig, weather: Weather, seed: u64) -> Self {
        let mut world = Self {
            now: Instant::ZERO,
            changes: Vec::new(),
            bytes_sent: 0,
            largest_datagram: 0,
            refused: 0,
            called_down: 0,
            flipped: 0,
            cut: BTreeSet::new(),
            config,
            weather,
            machines: Vec::new(),
            queue: BTreeMap::new(),
            queued: 0,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
        };
        for _ in 0..nodes {
            world.machines.push(Machine {
                swim: None,
                incarnation: 1 << 40,
                is_stalled: false,
                inbox: VecDeque::new(),
                wakes_at: None,
            });
        }
        for place in 0..nodes {
            world.run_for(Duration::from_secs(1) / u32::try_from(nodes).expect("few nodes"));
            world.start(place);
        }
        for place in 0..world.weather.stalling {
            world.stall_some_time(place);
        }
        world
    }

    /// Starts a dead node as a new process.
    pub(crate) fn start(&mut self, place: Place) {
        let seed = self.rng.next_u64();
        let machine = &mut self.machines[place];
        machine.incarnation += 1;
        machine.inbox.clear();
        let identity = SwimIdentity { node: node(place), incarnation: machine.incarnation };
        machine.swim = Some(Swim::new(self.config.clone(), identity, seed));
        let members = (0..self.machines.len()).map(node).collect();
        self.step(place, |swim, now| swim.handle(now, SwimEvent::Members(members)));
    }

    /// Starts a dead node whose clock went back since it last started.
    pub(crate) fn start_with_a_lower_incarnation(&mut self, place: Place) {
        self.machines[place].incarnation -= 3600 * 1000;
        self.start(place);
    }

    /// Lets time pass in which a dead node started many times.
    pub(crate) fn skip_incarnations(&mut self, place: Place, count: u64) {
        self.machines[place].incarnation += count;
    }

    /// Starts some nodes again that have forgotten all.
    pub(crate) fn without_memory(mut self, places: &[Place]) -> Self {
        for place in places {
            self.kill(*place);
            self.start(*place);
        }
        self
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, place: Place) {
        self.machines[place].swim = None;
    }

    /// Cuts or mends all ways between two groups.
    pub(crate) fn cut_between(&mut self, some: &[Place], others: &[Place], is_cut: bool) {
        for (a, b) in some.iter().flat_map(|a| others.iter().map(move |b| (*a, *b))) {
            for way in [(a, b), (b, a)] {
                if is_cut {
                    self.cut.insert(way)
                } else {
                    self.cut.remove(&way)
                };
            }
        }
    }

    /// SIGSTOP for a while.
    pub(crate) fn pause(&mut self, place: Place, duration: Duration) {
        self.machines[place].is_stalled = true;
        self.schedule(self.now + duration, Happening::Resume(place));
    }

    /// Passes an event to one machine.
    pub(crate) fn tell(&mut self, place: Place, event: SwimEvent) {
        self.step(place, |swim, now| swim.handle(now, event));
    }

    pub(crate) fn machine(&self, place: Place) -> &Swim {
        self.machines[place].swim.as_ref().expect("the node is alive")
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            self.now = entry.key().0;
            let happening = entry.remove();
            self.happen(happening);
        }
        self.now = end;
    }

    /// Runs until a condition holds. Returns how long that took, or None if it takes longer.
    pub(crate) fn run_until(
        &mut self,
        at_most: Duration,
        condition: impl Fn(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        while self.now.saturating_since(start) <= at_most {
            if condition(self) {
                return Some(self.now.saturating_since(start));
            }
            self.run_for(Duration::from_millis(20));
        }
        None
    }

    /// Whether everyone who lives holds all others of the living for up and the dead for down.
    pub(crate) fn all_agree(&self) -> bool {
        let alive = |place: Place| self.machines[place].swim.is_some();
        let places = 0..self.machines.len();
        places.clone().filter(|observer| alive(*observer)).all(|observer| {
            places.clone().filter(|subject| *subject != observer).all(|subject| {
                let expected = if alive(subject) { Liveness::Up } else { Liveness::Down };
                self.machine(observer).liveness(node(subject)) == expected
            })
        })
    }

    /// Opinions that a node is down which is alive, one for each node that came to hold it.
    pub(crate) fn false_downs(&self) -> usize {
        self.false_downs_among(0..self.machines.len())
    }

    /// Those about some nodes only.
    pub(crate) fn false_downs_among(&self, subjects: Range<Place>) -> usize {
        let is_false = |change: &&Change| {
            !change.is_up
                && subjects.contains(&change.subject)
                && self.machines[change.subject].swim.is_some()
        };
        self.changes.iter().filter(is_false).count()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive { to, from, bytes } => {
                let machine = &mut self.machines[to];
                if machine.is_stalled {
                    if machine.inbox.len() < INBOX_DATAGRAMS_MAX {
                        machine.inbox.push_back((from, bytes));
                    }
                } else {
                    self.deliver(to, from, bytes);
                }
            }
            Happening::Wake(place) => {
                self.machines[place].wakes_at = None;
                if !self.machines[place].is_stalled {
                    self.wake(place);
                }
            }
            Happening::Stall(place) => {
                self.pause(place, self.weather.stall);
                self.stall_some_time(place);
            }
            Happening::Resume(place) => {
                // Its timers first: that is how a paused node takes everyone else for dead.
                self.machines[place].is_stalled = false;
                self.wake(place);
                while let Some((from, bytes)) = self.machines[place].inbox.pop_front() {
                    self.deliver(place, from, bytes);
                }
            }
        }
    }

    fn deliver(&mut self, to: Place, from: Place, bytes: Bytes) {
        let from = node(from);
        self.step(to, |swim, now| swim.handle(now, SwimEvent::Datagram { from, bytes }));
    }

    fn wake(&mut self, place: Place) {
        self.step(place, Swim::handle_timeout);
    }

    fn step(&mut self, place: Place, step: impl FnOnce(&mut Swim, Instant)) {
        let Some(mut swim) = self.machines[place].swim.take() else { return };
        step(&mut swim, self.now);
        while let Some(effect) = swim.poll_effect() {
            self.take_effect(place, effect);
        }
        let due = swim.poll_timeout();
        self.machines[place].swim = Some(swim);
        if let Some(due) = due
            && self.machines[place].wakes_at.is_none_or(|known| due < known)
        {
            self.machines[place].wakes_at = Some(due);
            self.schedule(due, Happening::Wake(place));
        }
    }

    fn take_effect(&mut self, observer: Place, effect: SwimEffect) {
        let change =
            |subject: NodeId, is_up, at| Change { at, observer, subject: place(subject), is_up };
        match effect {
            SwimEffect::Send { to, bytes } => self.send(observer, place(to), bytes),
            SwimEffect::BecameUp(subject) => self.changes.push(change(subject, true, self.now)),
            SwimEffect::BecameDown(subject) => self.changes.push(change(subject, false, self.now)),
            SwimEffect::Returned(_) => {}
            SwimEffect::WasCalledDown => self.called_down += 1,
            SwimEffect::Refused { .. } => self.refused += 1,
        }
    }

    fn send(&mut self, from: Place, to: Place, bytes: Bytes) {
        self.bytes_sent += bytes.len();
        self.largest_datagram = self.largest_datagram.max(bytes.len());
        let is_lost = self.rng.next_u64() % 1000 < self.weather.loss_permille;
        if is_lost || self.cut.contains(&(from, to)) || self.machines[to].swim.is_none() {
            return;
        }
        let bytes = if self.rng.next_u64() % 1000 < self.weather.flip_permille {
            self.flipped += 1;
            self.flip_a_bit(&bytes)
        } else {
            bytes
        };
        let (least, most) = self.weather.delay;
        let delay = self.between(least, most);
        self.schedule(self.now + delay, Happening::Arrive { to, from, bytes });
    }

    fn flip_a_bit(&mut self, bytes: &[u8]) -> Bytes {
        let bit = usize::try_from(self.rng.next_u64() % (bytes.len() as u64 * 8)).expect("small");
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped.into()
    }

    fn stall_some_time(&mut self, place: Place) {
        let stall = self.weather.stall;
        let pause = stall + self.between(Duration::from_secs(1), Duration::from_secs(8));
        self.schedule(self.now + pause, Happening::Stall(place));
    }

    fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let spread = u64::try_from((most - least).as_nanos()).expect("a short time").max(1);
        least + Duration::from_nanos(self.rng.next_u64() % spread)
    }

    fn schedule(&mut self, at: Instant, happening: Happening) {
        self.queued += 1;
        self.queue.insert((at, self.queued), happening);
    }
}

/// The id of the node at a place.
pub(crate) fn node(place: Place) -> NodeId {
    NodeId(place as u64 + 1)
}

fn place(node: NodeId) -> Place {
    usize::try_from(node.0 - 1).expect("a small number")
}
