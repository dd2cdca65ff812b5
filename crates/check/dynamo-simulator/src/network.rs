//! The network between nodes: delays, connections that break and come back, and worse.
//!
//! A connection behaves as the shell's does: in each lane messages arrive in order and none is
//! lost, until the connection breaks. It breaks when one direction was silent for the idle timeout
//! or when a process died, and then everything under way is lost; a new one is dialled within a
//! second after that is possible. On top of that a seed may choose to be harsher than any
//! connection: single messages get lost, doubled, or overtake each other.

use core::time::Duration;

use bytes::Bytes;
use dynamo_checker::history::HostIndex;
use dynamo_messages::{Envelope, PeerMessage};
use dynamo_protocol::{Event, Lane};
use dynamo_types::{Instant, NodeId};

use crate::cluster::Happening;
use crate::markers::{Marker, Markers};
use crate::queue::EventQueue;
use crate::random::Stream;

/// A connection that hears nothing for this long is given up (design 8).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest wait before a connection is dialled again (design 8).
pub const RECONNECT_MAX: Duration = Duration::from_secs(1);
/// Messages that wait in a link that is cut. Senders stop at the idle timeout, which at these
/// rates is far below; beyond it messages are lost, as in a full send queue.
const HELD_MAX: usize = 10_000;

/// How a seed's network behaves.
#[derive(Debug, Clone)]
pub struct NetworkKnobs {
    /// The least delay of a message.
    pub delay_min: Duration,
    /// The usual most.
    pub delay_max: Duration,
    /// Messages in a thousand that take up to half a second.
    pub straggling_per_mille: u32,
    /// Messages in a thousand that get lost.
    pub loss_per_mille: u32,
    /// Messages in a thousand that arrive twice.
    pub duplicate_per_mille: u32,
    /// Whether messages overtake each other.
    pub reorder: bool,
    /// Datagrams in a thousand that get lost. They may always overtake each other, and where messages
    /// are doubled so are they.
    pub datagram_loss_per_mille: u32,
}

/// Something that will happen in the network.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A message reaches its receiver.
    Arrives {
        /// The sender.
        from: HostIndex,
        /// The receiver.
        to: HostIndex,
        /// The connection it travels on.
        connection: u64,
        /// What it says.
        envelope: Box<Envelope>,
    },
    /// A datagram reaches its receiver.
    DatagramArrives {
        /// The sender.
        from: HostIndex,
        /// The receiver.
        to: HostIndex,
        /// The connection it travels on.
        connection: u64,
        /// What it says.
        bytes: Bytes,
    },
    /// A side may have heard nothing for too long.
    IdleTimeout {
        /// The side that notices.
        host: HostIndex,
        /// The other side.
        peer: HostIndex,
        /// Void if the pair's reachability changed since.
        change: u64,
    },
    /// A pair may connect again.
    Reconnect {
        /// One side.
        host: HostIndex,
        /// The other.
        peer: HostIndex,
        /// Void if the pair's reachability changed since.
        change: u64,
    },
}

#[derive(Debug, Clone)]
struct Link {
    cut: bool,
    /// Whether the sending side believes in the connection.
    open: bool,
    last_arrival: [Instant; 4],
    held: Vec<(Lane, Box<Envelope>)>,
    /// Messages wait, though the connection stands.
    clogged: bool,
    /// What waits for that.
    stuck: Vec<(Lane, Box<Envelope>)>,
}

impl Link {
    fn new() -> Self {
        Self {
            cut: false,
            open: false,
            last_arrival: [Instant::ZERO; 4],
            held: Vec::new(),
            clogged: false,
            stuck: Vec::new(),
        }
    }

    /// The connection is gone, and with it all that waited for it.
    fn close(&mut self) {
        self.open = false;
        self.held.clear();
        self.stuck.clear();
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    connection: u64,
    reachable: bool,
    /// Counts the changes of `reachable`, to void what was scheduled before.
    change: u64,
}

/// All links of a cluster.
#[derive(Debug)]
pub struct Network {
    knobs: NetworkKnobs,
    random: Stream,
    nodes: Vec<NodeId>,
    /// A process runs there.
    up: Vec<bool>,
    /// It runs, but the machine stands still.
    paused: Vec<bool>,
    links: Vec<Link>,
    pairs: Vec<Pair>,
    /// Single messages get lost, doubled or overtaken only in a storm.
    storm: bool,
}

impl Network {
    /// A network of these nodes, none of which runs yet.
    #[must_use]
    pub fn new(knobs: NetworkKnobs, random: Stream, nodes: Vec<NodeId>) -> Self {
        let count = nodes.len();
        Self {
            knobs,
            random,
            up: vec![false; count],
            paused: vec![false; count],
            links: vec![Link::new(); count * count],
            pairs: vec![Pair::default(); count * count],
            nodes,
            storm: false,
        }
    }

    fn count(&self) -> u8 {
        u8::try_from(self.nodes.len()).expect("few nodes")
    }

    fn peers(&self, host: HostIndex) -> impl Iterator<Item = HostIndex> + use<> {
        (0..self.count()).map(HostIndex).filter(move |peer| *peer != host)
    }

    fn link(&mut self, from: HostIndex, to: HostIndex) -> &mut Link {
        let count = self.nodes.len();
        &mut self.links[from.index() * count + to.index()]
    }

    fn pair(&mut self, a: HostIndex, b: HostIndex) -> &mut Pair {
        let count = self.nodes.len();
        &mut self.pairs[a.min(b).index() * count + a.max(b).index()]
    }

    fn passable(&mut self, from: HostIndex, to: HostIndex) -> bool {
        self.up[to.index()] && !self.paused[to.index()] && !self.link(from, to).cut
    }

    /// Whether a message could pass in both directions now.
    pub fn reachable(&mut self, a: HostIndex, b: HostIndex) -> bool {
        self.passable(a, b) && self.passable(b, a)
    }

    /// Sends a message, or loses it; true if it was doubled. A forwarded put is never doubled: no
    /// shell sends one twice, and two of them are two puts.
    pub fn send(
        &mut self,
        now: Instant,
        (from, to, lane): (HostIndex, HostIndex, Lane),
        envelope: Box<Envelope>,
        queue: &mut EventQueue<Happening>,
        markers: &mut Markers,
    ) -> bool {
        if !self.link(from, to).open {
            markers.hit(Marker::SentWithoutConnection);
            return false;
        }
        if self.link(from, to).clogged {
            let link = self.link(from, to);
            if link.stuck.len() < HELD_MAX {
                link.stuck.push((lane, envelope));
                markers.hit(Marker::MessageClogged);
            }
            return false;
        }
        if !self.passable(from, to) {
            let link = self.link(from, to);
            if link.held.len() < HELD_MAX {
                link.held.push((lane, envelope));
            }
            return false;
        }
        if self.storm && self.random.chance(self.knobs.loss_per_mille) {
            markers.hit(Marker::MessageLost);
            return false;
        }
        let doubled = self.storm
            && self.random.chance(self.knobs.duplicate_per_mille)
            && !matches!(envelope.message, PeerMessage::Forward { .. });
        if doubled {
            markers.hit(Marker::MessageDoubled);
            let delay = self.draw_delay();
            self.travel(now, (from, to, lane), delay, envelope.clone(), queue);
        }
        let delay = self.draw_delay();
        self.travel(now, (from, to, lane), delay, envelope, queue);
        doubled
    }

    /// Sends a datagram, or loses it. Nothing holds it: where no message could pass now it is lost.
    pub fn send_datagram(
        &mut self,
        now: Instant,
        (from, to): (HostIndex, HostIndex),
        bytes: Bytes,
        queue: &mut EventQueue<Happening>,
        markers: &mut Markers,
    ) {
        let lost = self.storm && self.random.chance(self.knobs.datagram_loss_per_mille);
        if lost || !self.link(from, to).open || !self.passable(from, to) {
            markers.hit(Marker::DatagramLost);
            return;
        }
        let doubled = self.storm && self.random.chance(self.knobs.duplicate_per_mille);
        for _ in 0..=u8::from(doubled) {
            let delay = self.draw_delay();
            let connection = self.pair(from, to).connection;
            let bytes = bytes.clone();
            let event = NetworkEvent::DatagramArrives { from, to, connection, bytes };
            queue.push(now + delay, Happening::Network(event));
        }
    }

    fn draw_delay(&mut self) -> Duration {
        let mut delay = self.random.duration(self.knobs.delay_min, self.knobs.delay_max);
        if self.storm && self.random.chance(self.knobs.straggling_per_mille) {
            delay += self.random.duration(Duration::ZERO, Duration::from_millis(500));
        }
        delay
    }

    fn travel(
        &mut self,
        now: Instant,
        (from, to, lane): (HostIndex, HostIndex, Lane),
        delay: Duration,
        envelope: Box<Envelope>,
        queue: &mut EventQueue<Happening>,
    ) {
        let mut at = now + delay;
        if !self.storm || !self.knobs.reorder {
            let slot = match lane {
                Lane::Foreground(number) => usize::from(number % 2),
                Lane::Background => 2,
                Lane::Bulk => 3,
            };
            let last = &mut self.link(from, to).last_arrival[slot];
            at = at.max(*last);
            *last = at;
        }
        let connection = self.pair(from, to).connection;
        let event = NetworkEvent::Arrives { from, to, connection, envelope };
        queue.push(at, Happening::Network(event));
    }

    /// A process started (`true`) or ended.
    pub fn set_up(
        &mut self,
        now: Instant,
        host: HostIndex,
        up: bool,
        queue: &mut EventQueue<Happening>,
    ) {
        self.up[host.index()] = up;
        self.paused[host.index()] = false;
        for peer in self.peers(host) {
            self.link(host, peer).close();
            self.review(now, host, peer, queue);
        }
    }

    /// A machine stands still (`true`) or goes on.
    pub fn set_paused(
        &mut self,
        now: Instant,
        host: HostIndex,
        paused: bool,
        queue: &mut EventQueue<Happening>,
    ) {
        self.paused[host.index()] = paused;
        for peer in self.peers(host) {
            self.review(now, host, peer, queue);
        }
    }

    /// One direction is cut (`true`) or whole again.
    pub fn set_cut(
        &mut self,
        now: Instant,
        (from, to): (HostIndex, HostIndex),
        cut: bool,
        queue: &mut EventQueue<Happening>,
    ) {
        self.link(from, to).cut = cut;
        self.review(now, from, to, queue);
    }

    /// From now on a link holds all messages back.
    pub fn clog(&mut self, (from, to): (HostIndex, HostIndex)) {
        self.link(from, to).clogged = true;
    }

    /// All that a link held back goes on at once, in order.
    pub fn unclog(
        &mut self,
        now: Instant,
        (from, to): (HostIndex, HostIndex),
        queue: &mut EventQueue<Happening>,
    ) {
        let link = self.link(from, to);
        link.clogged = false;
        let stuck = core::mem::take(&mut link.stuck);
        if !self.passable(from, to) {
            return self.link(from, to).held.extend(stuck);
        }
        let delay = self.knobs.delay_min;
        for (lane, envelope) in stuck {
            self.travel(now, (from, to, lane), delay, envelope, queue);
        }
    }

    /// From now on single messages may get lost, doubled or overtaken.
    pub fn begin_storm(&mut self) {
        self.storm = true;
    }

    /// From now on no link is cut and no message lost, doubled or overtaken.
    pub fn heal(&mut self, now: Instant, queue: &mut EventQueue<Happening>) {
        self.storm = false;
        for from in (0..self.count()).map(HostIndex) {
            for to in self.peers(from) {
                self.link(from, to).cut = false;
                self.review(now, from, to, queue);
                self.unclog(now, (from, to), queue);
            }
        }
    }

    /// Acts on a change of what reaches what.
    fn review(
        &mut self,
        now: Instant,
        a: HostIndex,
        b: HostIndex,
        queue: &mut EventQueue<Happening>,
    ) {
        let reachable = self.reachable(a, b);
        let connected = self.link(a, b).open && self.link(b, a).open;
        let pair = self.pair(a, b);
        if pair.reachable == reachable && (connected || !reachable) {
            return;
        }
        pair.reachable = reachable;
        pair.change += 1;
        let change = pair.change;
        if !reachable {
            for (host, peer) in [(a, b), (b, a)] {
                // Whoever still hears the other gives up only when the other did and fell silent.
                let hears = self.passable(peer, host);
                let patience = if hears { IDLE_TIMEOUT * 2 } else { IDLE_TIMEOUT };
                let event = NetworkEvent::IdleTimeout { host, peer, change };
                queue.push(now + patience, Happening::Network(event));
            }
            return;
        }
        if connected {
            for (from, to) in [(a, b), (b, a)] {
                for (lane, envelope) in core::mem::take(&mut self.link(from, to).held) {
                    let delay = self.draw_delay();
                    self.travel(now, (from, to, lane), delay, envelope, queue);
                }
            }
        } else {
            let wait = self.random.duration(Duration::from_millis(1), RECONNECT_MAX);
            let event = NetworkEvent::Reconnect { host: a, peer: b, change };
            queue.push(now + wait, Happening::Network(event));
        }
    }

    /// What an event of the network means to the nodes.
    pub fn handle(
        &mut self,
        now: Instant,
        event: NetworkEvent,
        markers: &mut Markers,
    ) -> Vec<(HostIndex, Event)> {
        match event {
            NetworkEvent::Arrives { from, to, connection, envelope } => {
                if self.passes(from, to, connection) {
                    let from = self.nodes[from.index()];
                    vec![(to, Event::Received { from, envelope: *envelope })]
                } else {
                    markers.hit(Marker::LostWithConnection);
                    Vec::new()
                }
            }
            NetworkEvent::DatagramArrives { from, to, connection, bytes } => {
                if !self.passes(from, to, connection) {
                    markers.hit(Marker::DatagramLost);
                    return Vec::new();
                }
                let from = self.nodes[from.index()];
                vec![(to, Event::Datagram { from, bytes })]
            }
            NetworkEvent::IdleTimeout { host, peer, change } => {
                if self.pair(host, peer).change != change || !self.link(host, peer).open {
                    return Vec::new();
                }
                markers.hit(Marker::ConnectionTimedOut);
                self.close(host, peer)
            }
            NetworkEvent::Reconnect { host, peer, change } => {
                if self.pair(host, peer).change != change {
                    return Vec::new();
                }
                let mut news = Vec::new();
                for (one, other) in [(host, peer), (peer, host)] {
                    if self.link(one, other).open {
                        news.extend(self.close(one, other));
                    }
                }
                self.pair(host, peer).connection += 1;
                for (one, other) in [(host, peer), (peer, host)] {
                    let link = self.link(one, other);
                    link.open = true;
                    link.last_arrival = [now; 4];
                    news.push((one, Event::Connected { node: self.nodes[other.index()] }));
                }
                news
            }
        }
    }

    /// Whether what was sent on a connection still finds it at the receiver.
    fn passes(&mut self, from: HostIndex, to: HostIndex, connection: u64) -> bool {
        let current = self.pair(from, to).connection == connection;
        current && self.up[to.index()] && self.link(to, from).open
    }

    fn close(&mut self, host: HostIndex, peer: HostIndex) -> Vec<(HostIndex, Event)> {
        self.link(host, peer).close();
        vec![(host, Event::Disconnected { node: self.nodes[peer.index()] })]
    }
}
