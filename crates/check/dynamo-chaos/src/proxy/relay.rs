//! The sockets: a front for each node, and behind it one socket for each sender.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use dynamo_checker::history::HostIndex;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::Shared;
use super::delay_line::Held;
use crate::clock;

/// The largest datagram there is.
const PACKET_BYTES_MAX: usize = 65_535;

/// Senders behind one front at once: the other nodes, and native clients, of which a run has a few.
const RELAYS_MAX: usize = 64;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sender {
    Node(HostIndex),
    Foreign(SocketAddr),
}

/// One sender behind one front.
#[derive(Debug)]
struct Relay {
    /// What the receiver takes for the sender.
    socket: Arc<UdpSocket>,
    /// Where the sender's latest packet came from.
    source: SocketAddr,
    task: AbortHandle,
}

/// All senders behind all fronts.
#[derive(Debug, Default)]
pub(super) struct Relays(BTreeMap<(Sender, HostIndex), Relay>);

impl Relays {
    pub(super) fn close(&mut self) {
        for relay in self.0.values() {
            relay.task.abort();
        }
        self.0.clear();
    }
}

/// Takes what is sent to a node's front, for ever.
pub(super) async fn serve_front(shared: Arc<Shared>, receiver: HostIndex) {
    let front = shared.fronts[receiver.index()].clone();
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    loop {
        let (length, source) = match front.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => return shared.fail("a front receives nothing", &error),
        };
        let sender = shared.node_at(source).map_or(Sender::Foreign(source), Sender::Node);
        let relay = match relay_of(&shared, sender, receiver, source).await {
            Ok(Some(relay)) => relay,
            Ok(None) => return shared.fail("too many senders", &source),
            Err(error) => return shared.fail("a relay cannot be opened", &error),
        };
        let to = shared.lock().addresses[receiver.index()];
        let packet = &buffer[..length];
        match sender {
            Sender::Node(sender) => pass(&shared, (sender, receiver), packet, &relay, to).await,
            Sender::Foreign(_) => pass_foreign(&shared, packet, &relay, to).await,
        }
    }
}

/// The socket that stands for a sender before a receiver; none if there are too many of them.
async fn relay_of(
    shared: &Arc<Shared>,
    sender: Sender,
    receiver: HostIndex,
    source: SocketAddr,
) -> io::Result<Option<Arc<UdpSocket>>> {
    {
        let mut state = shared.lock();
        if let Some(relay) = state.relays.0.get_mut(&(sender, receiver)) {
            relay.source = source;
            return Ok(Some(relay.socket.clone()));
        }
        if state.relays.0.keys().filter(|(_, of)| *of == receiver).count() >= RELAYS_MAX {
            return Ok(None);
        }
    }
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    let answers = serve_relay(shared.clone(), sender, receiver, socket.clone());
    let task = tokio::spawn(answers).abort_handle();
    let relay = Relay { socket: socket.clone(), source, task };
    shared.lock().relays.0.insert((sender, receiver), relay);
    Ok(Some(socket))
}

/// Takes what a receiver answers a sender, for ever.
async fn serve_relay(
    shared: Arc<Shared>,
    sender: Sender,
    receiver: HostIndex,
    socket: Arc<UdpSocket>,
) {
    let front = shared.fronts[receiver.index()].clone();
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    loop {
        let (length, source) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => return shared.fail("a relay receives nothing", &error),
        };
        // Nobody else knows this socket; if somebody strays here, it is not for the sender.
        if shared.node_at(source) != Some(receiver) {
            continue;
        }
        let to = shared.lock().relays.0.get(&(sender, receiver)).map(|relay| relay.source);
        let packet = &buffer[..length];
        match sender {
            Sender::Node(sender) => pass(&shared, (receiver, sender), packet, &front, to).await,
            Sender::Foreign(_) => pass_foreign(&shared, packet, &front, to).await,
        }
    }
}

/// Passes a packet on, as the link's rule has it.
async fn pass(
    shared: &Shared,
    link: (HostIndex, HostIndex),
    packet: &[u8],
    from: &Arc<UdpSocket>,
    to: Option<SocketAddr>,
) {
    let now = clock::now();
    let passage = {
        let mut state = shared.lock();
        let Some(rules) = state.links.get_mut(&link) else { return };
        if to.is_none() {
            rules.counters.homeless += 1;
            return;
        }
        rules.admit(now)
    };
    let Some(to) = to else { return };
    let mut room = true;
    for due in [passage.first, passage.second].into_iter().flatten() {
        if due <= now {
            shared.send(packet, from, to).await;
        } else {
            let held = Held { bytes: packet.to_vec(), from: from.clone(), to };
            room &= shared.lock().delayed.hold(due, held);
            shared.waiting.notify_one();
        }
    }
    if !room {
        let mut state = shared.lock();
        let Some(rules) = state.links.get_mut(&link) else { return };
        rules.counters.passed = rules.counters.passed.saturating_sub(1);
        rules.counters.overflowed += 1;
    }
}

async fn pass_foreign(shared: &Shared, packet: &[u8], from: &UdpSocket, to: Option<SocketAddr>) {
    if let Some(to) = to {
        shared.send(packet, from, to).await;
    }
}
