//! The one loop that touches the machine.
//!
//! A turn takes everything that has arrived, up to a bound, lets the machine handle it, and then
//! does what the machine asks. Rows found in memory go back to the machine within the turn, so
//! that all stores of a turn leave as one batch and share one sync.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use dynamo_membership::{Liveness, Member, MemberStatus};
use dynamo_messages::encoding::decode_peer;
use dynamo_protocol::{Event, Node};
use dynamo_transport::{Events, LinkId, PeerIdentity, Role};
use dynamo_types::{Instant, NodeId, Now};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::effect_executor::EffectExecutor;
use crate::input::{Input, NodeStatus};
use crate::links::Peer;
use crate::native;
use crate::waiters::Waiter;

/// Inputs of one source taken in a turn: enough for a batch to be worth its sync, few enough that
/// a turn stays below a few milliseconds and the tasks of sockets get their turn.
const INPUTS_PER_TURN: usize = 256;

/// The loop's lateness is told to the machine from here on: below any time that it waits for an
/// answer, above what a full turn takes.
const LAG_TOLD: Duration = Duration::from_millis(20);

/// Links of nodes that are no members, at once. Such a node has a certificate of the cluster's
/// authority and wants to join, which operators let few do at a time; until the members know it, it
/// shall not take what they need.
const STRANGERS_MAX: usize = 16;

/// How often a stopping loop looks whether it is idle: far below what people notice.
const STOP_CHECK: Duration = Duration::from_millis(5);

/// The loop's bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoopLimits {
    /// Requests of one native client under way at once.
    pub(crate) native_requests_max: usize,
}

/// Where the loop's inputs come from.
pub(crate) struct Sources {
    /// HTTP and the process itself.
    pub(crate) inputs: mpsc::Receiver<Input>,
    /// The storage threads.
    pub(crate) results: mpsc::Receiver<Vec<Event>>,
    /// The transport.
    pub(crate) events: Events,
}

/// The machine and its surroundings.
pub(crate) struct EventLoop {
    /// In a place of its own: the loop's future is moved, and this is its largest part.
    node: Box<Node>,
    clock: Clock,
    executor: EffectExecutor,
    limits: LoopLimits,
    /// How long the last turn took: what arrived meanwhile had to wait.
    last_turn: Duration,
    /// Set when told to stop: the moment at which waiting ends.
    stop_at: Option<Instant>,
}

impl EventLoop {
    pub(crate) fn new(
        node: Node,
        clock: Clock,
        executor: EffectExecutor,
        limits: LoopLimits,
    ) -> Self {
        let node = Box::new(node);
        Self { node, clock, executor, limits, last_turn: Duration::ZERO, stop_at: None }
    }

    /// Runs until told to stop and idle, or until the grace is over; then finishes the disk's work.
    /// Gives the transport's events back: while they live, the last replies are still sent.
    pub(crate) async fn run(mut self, mut sources: Sources) -> Events {
        let _aborts = AbortOnPanic;
        // What the machine wants before anything happens: links to the members.
        Turn { event_loop: &mut self, now: None }.finish();
        let mut timer = pin!(tokio::time::sleep_until(self.clock.sleep_target(Instant::ZERO)));
        loop {
            let wake_at = self.wake_at();
            if let Some(at) = wake_at {
                let target = self.clock.sleep_target(at);
                // A timer that fires too early costs one turn; setting it anew at every request
                // costs more.
                if timer.is_elapsed() || target < timer.deadline() {
                    timer.as_mut().reset(target);
                }
            }
            let first = tokio::select! {
                biased;
                Some(events) = sources.results.recv() => First::Results(events),
                event = sources.events.next() => match event {
                    Some(event) => First::Transport(event),
                    None => break,
                },
                Some(input) = sources.inputs.recv() => First::Input(input),
                () = timer.as_mut(), if wake_at.is_some() => First::Timer,
            };
            let mut turn = Turn { event_loop: &mut self, now: None };
            turn.tell_lag(wake_at);
            match first {
                First::Results(events) => turn.results(events),
                First::Transport(event) => turn.transport(event),
                First::Input(input) => turn.input(input),
                First::Timer => {}
            }
            turn.take_the_rest(&mut sources);
            turn.finish();
            let began = turn.now().monotonic;
            self.last_turn = self.clock.monotonic().saturating_since(began);
            if self.is_done() {
                break;
            }
            // The tasks of sockets share this thread: what they have ready makes the next turn's
            // batch larger.
            tokio::task::yield_now().await;
        }
        let unanswered = self.executor.waiters.len();
        tracing::info!(unanswered, "the event loop ends");
        let Sources { inputs, results, events } = sources;
        // Whoever still asks learns that nobody listens, and no thread waits for room.
        drop((inputs, results));
        self.executor.finish();
        events
    }

    fn wake_at(&self) -> Option<Instant> {
        let machine = self.node.poll_timeout();
        let stop = self.stop_at.map(|_| self.clock.monotonic() + STOP_CHECK);
        [machine, stop].into_iter().flatten().min()
    }

    fn is_done(&self) -> bool {
        self.stop_at.is_some_and(|at| {
            let idle = self.executor.waiters.len() == 0 && self.node.is_idle();
            idle || self.clock.monotonic() >= at
        })
    }

    /// Where this node is on its way through the cluster, as far as it knows.
    fn own_status(&self) -> Option<MemberStatus> {
        let own = self.executor.peers.own();
        self.node.members().get(own).map(|member| member.status)
    }

    fn status(&self) -> NodeStatus {
        let mut counters: Vec<_> = self.node.counters().each().collect();
        let links = &self.executor.links.counters;
        counters.extend([
            ("sends_without_link", links.sends_without_link),
            ("sends_queue_full", links.sends_queue_full),
            ("datagrams_not_sent", links.datagrams_not_sent),
            ("undecodable_peer_frames", links.undecodable_peer_frames),
            ("undecodable_client_frames", links.undecodable_client_frames),
            ("client_requests_over_cap", links.client_requests_over_cap),
            ("links_of_strangers", links.links_of_strangers),
            ("strangers_refused", links.strangers_refused),
            ("replies_lost", links.replies_lost),
        ]);
        let mut members_by_liveness = BTreeMap::new();
        for liveness in [Liveness::Up, Liveness::Suspect, Liveness::Down, Liveness::Unknown] {
            members_by_liveness.insert(liveness.name(), 0);
        }
        let current = |(_, member): &(NodeId, &Member)| member.status != MemberStatus::Removed;
        for (node, _) in self.node.members().iter().filter(current) {
            *members_by_liveness.entry(self.node.liveness(node).name()).or_default() += 1;
        }
        NodeStatus {
            counters,
            anti_entropy: self.node.anti_entropy().each().collect(),
            background_share: self.node.background_share(),
            unreachable: self.node.unreachable_members(),
            awaited: self.node.awaited_members(),
            members_by_liveness,
            local_health: self.node.local_health(),
            requests_waiting: self.executor.waiters.len(),
            client_links: self.executor.links.client_count(),
            hints: self.node.hints().collect(),
            hint_bytes: self.node.hint_bytes(),
            incomplete_partitions: self.node.incomplete_partitions(),
            deleted_records: self.node.dead_records(),
            unsettled_partitions: self.node.unsettled_partitions(),
            leftover_partitions: self.node.leftover_partitions(),
            own_status: self.own_status(),
        }
    }
}

/// What a turn begins with.
enum First {
    Results(Vec<Event>),
    Transport(dynamo_transport::Event),
    Input(Input),
    Timer,
}

/// One turn of the loop; the clock is read once, when the first thing happens.
struct Turn<'a> {
    event_loop: &'a mut EventLoop,
    now: Option<Now>,
}

impl Turn<'_> {
    fn now(&mut self) -> Now {
        *self.now.get_or_insert_with(|| self.event_loop.clock.now())
    }

    fn handle(&mut self, event: Event) {
        let now = self.now();
        self.event_loop.node.handle(now, event);
    }

    /// Tells the machine if the loop ran late: the last turn took long, or the process did not run
    /// when a timer was due. Before anything else, for what arrived meanwhile is judged by it.
    fn tell_lag(&mut self, wake_at: Option<Instant>) {
        let now = self.now().monotonic;
        let overdue = wake_at.map_or(Duration::ZERO, |at| now.saturating_since(at));
        let lag = overdue.max(self.event_loop.last_turn);
        if lag >= LAG_TOLD {
            self.handle(Event::LoopLag(lag));
        }
    }

    fn take_the_rest(&mut self, sources: &mut Sources) {
        for _ in 0..INPUTS_PER_TURN {
            let Ok(events) = sources.results.try_recv() else { break };
            self.results(events);
        }
        for _ in 0..INPUTS_PER_TURN {
            let Some(event) = sources.events.try_next() else { break };
            self.transport(event);
        }
        for _ in 0..INPUTS_PER_TURN {
            let Ok(input) = sources.inputs.try_recv() else { break };
            self.input(input);
        }
    }

    fn results(&mut self, events: Vec<Event>) {
        for event in events {
            self.handle(event);
        }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Request { request, answer } => {
                if self.event_loop.stop_at.is_some() {
                    // The client is told to ask another node; a dropped reply is its own problem.
                    let _told = answer.send(native::overloaded());
                    return;
                }
                let client = self.event_loop.executor.waiters.add(Waiter::Task(answer));
                self.handle(Event::Requested { client, request });
            }
            Input::Status { answer } => {
                // Whoever asked may have gone away.
                let _told = answer.send(self.event_loop.status());
            }
            Input::Stop { by } => {
                self.event_loop.stop_at.get_or_insert(by);
                self.handle(Event::Stopping);
            }
        }
    }

    fn transport(&mut self, event: dynamo_transport::Event) {
        match event {
            dynamo_transport::Event::Connected(link) => {
                let node = match link.peer.role {
                    Role::Node => match self.accepted(&link.peer) {
                        Some(node) => Some(node),
                        None => {
                            link.sender.close();
                            return;
                        }
                    },
                    Role::Client | Role::Admin => None,
                };
                tracing::info!(peer = %link.peer, address = %link.remote_address, "connected");
                if let Peer::Node(node) = self.event_loop.executor.links.add(link, node) {
                    self.handle(Event::Connected { node });
                }
            }
            dynamo_transport::Event::Disconnected { link, peer, reason, .. } => {
                tracing::info!(%peer, %reason, "disconnected");
                if let Some(node) = self.event_loop.executor.links.remove(link) {
                    self.handle(Event::Disconnected { node });
                }
            }
            dynamo_transport::Event::Frames { link, frames, .. } => {
                match self.event_loop.executor.links.peer(link) {
                    Some(Peer::Node(from)) => {
                        frames.into_iter().for_each(|frame| self.peer_frame(from, frame));
                    }
                    Some(Peer::Client) => {
                        frames.into_iter().for_each(|frame| self.client_frame(link, frame));
                    }
                    None => {}
                }
            }
            dynamo_transport::Event::Datagram { link, bytes } => {
                // Clients have nothing to say that may be lost.
                if let Some(Peer::Node(from)) = self.event_loop.executor.links.peer(link) {
                    self.handle(Event::Datagram { from, bytes });
                }
            }
        }
    }

    /// The node that a peer is, by its certificate. The authority may have certified more nodes than
    /// the cluster has: one of those begins so to make itself known. What it may say is the machine's
    /// to decide; how many there are at once is not.
    fn accepted(&mut self, peer: &PeerIdentity) -> Option<NodeId> {
        let Ok(node) = peer.name.as_str().parse() else {
            tracing::warn!(%peer, "not the name of a node");
            return None;
        };
        let EffectExecutor { links, peers, .. } = &mut self.event_loop.executor;
        if peers.contains(node) {
            return Some(node);
        }
        links.counters.links_of_strangers += 1;
        let strangers = links.nodes().filter(|other| *other != node && !peers.contains(*other));
        if strangers.count() >= STRANGERS_MAX {
            links.counters.strangers_refused += 1;
            tracing::warn!(%peer, "a node that is no member was refused: there are too many of them");
            return None;
        }
        tracing::info!(%peer, "a node that is no member: it may want to join");
        Some(node)
    }

    fn peer_frame(&mut self, from: NodeId, frame: Bytes) {
        match decode_peer(frame) {
            Ok(envelope) => self.handle(Event::Received { from, envelope }),
            Err(error) => {
                // Its checksum was right, so the sender wrote it so: a newer version, or a bug.
                tracing::warn!(%from, %error, "a message cannot be decoded");
                self.event_loop.executor.links.counters.undecodable_peer_frames += 1;
            }
        }
    }

    fn client_frame(&mut self, link: LinkId, frame: Bytes) {
        let limit = self.event_loop.limits.native_requests_max;
        let links = &mut self.event_loop.executor.links;
        let Some((id, request)) = native::accept(links, link, frame, limit) else { return };
        if self.event_loop.stop_at.is_some() {
            native::reply(links, link, id, native::overloaded());
            return;
        }
        let client = self.event_loop.executor.waiters.add(Waiter::Native { link, id });
        self.handle(Event::Requested { client, request });
    }

    /// Fires timers and does what the machine asks, until it asks nothing more.
    fn finish(&mut self) {
        let now = self.now();
        if self.event_loop.node.poll_timeout().is_some_and(|at| now.monotonic >= at) {
            self.event_loop.node.handle_timeout(now);
        }
        let mut known: VecDeque<Event> = VecDeque::new();
        loop {
            while let Some(event) = known.pop_front() {
                self.handle(event);
            }
            match self.event_loop.node.poll_effect() {
                Some(effect) => known.extend(self.event_loop.executor.execute(effect)),
                None => break,
            }
        }
    }
}

/// A machine that panicked must not go on, and nobody may be answered from what it left behind.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the event loop panicked: the process ends");
            std::process::abort();
        }
    }
}
