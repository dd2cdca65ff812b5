//! The network between the nodes: every packet of theirs passes here, and may be lost, held up,
//! doubled, overtaken or cut off, by directed pair of nodes.
//!
//! The genesis file names an address of this proxy for every node, its *front*; the nodes themselves
//! listen elsewhere and never learn of each other's real addresses. Each node has a loopback address
//! of its own, so that the sender of a packet is known by its source, whatever port it has after a
//! restart. What node A sends to the front of node B goes on to B from a socket that stands for this
//! pair; what B answers there goes back to A from B's front. Both directions obey the rule of their
//! own link, whichever of the two nodes dialled.
//!
//! Whoever is no node (native clients) passes unhindered: what clients suffer is in the nodes.
//!
//! The seed decides the luck of each link: of its first packet, its second, and so on. When packets
//! come is up to the nodes and the machine, so a run repeats in kind, not packet by packet.

mod delay_line;
mod link;
mod relay;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dynamo_checker::history::HostIndex;
use dynamo_simulator::random::Stream;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub use link::{LinkCounters, Rule};

use delay_line::DelayLine;
use link::Link;

/// The proxy of one cluster. Its sockets close and its tasks end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    fronts: Vec<SocketAddr>,
    tasks: Vec<AbortHandle>,
}

/// What the tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The loopback address of each node.
    hosts: Vec<IpAddr>,
    /// The front of each node.
    fronts: Vec<Arc<UdpSocket>>,
    state: Mutex<State>,
    /// Something waits that did not before.
    waiting: Notify,
}

#[derive(Debug)]
struct State {
    /// By sender and receiver.
    links: BTreeMap<(HostIndex, HostIndex), Link>,
    /// Where each node really listens, since its last start.
    addresses: Vec<Option<SocketAddr>>,
    delayed: DelayLine,
    relays: relay::Relays,
    /// What went wrong with a socket; the run cannot go on.
    failure: Option<String>,
}

impl Proxy {
    /// A proxy for nodes that send from these addresses, all links clear.
    ///
    /// # Errors
    /// The system gives no sockets.
    pub async fn start(hosts: Vec<IpAddr>, seed: u64) -> io::Result<Self> {
        let mut fronts = Vec::with_capacity(hosts.len());
        for _ in &hosts {
            fronts.push(Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?));
        }
        let nodes = || (0u8..).map(HostIndex).take(hosts.len());
        let pairs = nodes().flat_map(|from| nodes().map(move |to| (from, to)));
        let link = |(from, to): (HostIndex, HostIndex)| {
            ((from, to), Link::new(Stream::new(seed, &format!("link {from} {to}"))))
        };
        let state = State {
            links: pairs.filter(|(from, to)| from != to).map(link).collect(),
            addresses: vec![None; hosts.len()],
            delayed: DelayLine::default(),
            relays: relay::Relays::default(),
            failure: None,
        };
        let front_addresses =
            fronts.iter().map(|front| front.local_addr()).collect::<io::Result<Vec<_>>>()?;
        let shared =
            Arc::new(Shared { hosts, fronts, state: Mutex::new(state), waiting: Notify::new() });
        let mut tasks = vec![tokio::spawn(delay_line::run(shared.clone())).abort_handle()];
        for node in (0u8..).map(HostIndex).take(front_addresses.len()) {
            tasks.push(tokio::spawn(relay::serve_front(shared.clone(), node)).abort_handle());
        }
        Ok(Self { shared, fronts: front_addresses, tasks })
    }

    /// The address under which the other nodes know this one.
    #[must_use]
    pub fn front(&self, node: HostIndex) -> SocketAddr {
        self.fronts[node.index()]
    }

    /// A node listens here from now on.
    pub fn set_address(&self, node: HostIndex, address: SocketAddr) {
        self.shared.lock().addresses[node.index()] = Some(address);
    }

    /// What happens to packets from one node to another, from now on.
    pub fn set_rule(&self, from: HostIndex, to: HostIndex, rule: Rule) {
        if let Some(link) = self.shared.lock().links.get_mut(&(from, to)) {
            link.rule = rule;
        }
    }

    /// What happens on a link now.
    #[must_use]
    pub fn rule(&self, from: HostIndex, to: HostIndex) -> Rule {
        self.shared.lock().links.get(&(from, to)).map_or(Rule::CLEAR, |link| link.rule)
    }

    /// All links carry everything again. What is held up still comes late.
    pub fn heal(&self) {
        for link in self.shared.lock().links.values_mut() {
            link.rule = Rule::CLEAR;
        }
    }

    /// What was done on one link so far.
    #[must_use]
    pub fn counters_of(&self, from: HostIndex, to: HostIndex) -> LinkCounters {
        self.shared.lock().links.get(&(from, to)).map_or_else(LinkCounters::default, |l| l.counters)
    }

    /// What was done on all links together.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        self.shared.lock().links.values().map(|link| link.counters).sum()
    }

    /// What broke a socket, if anything did: from then on the network is not what it claims to be.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.shared.lock().failure.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.lock().relays.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node that sends from this address, if it is one.
    fn node_at(&self, source: SocketAddr) -> Option<HostIndex> {
        let place = self.hosts.iter().position(|host| *host == source.ip())?;
        u8::try_from(place).ok().map(HostIndex)
    }

    /// Sends a packet. A full socket holds the sender up; on one machine that is rare and short.
    async fn send(&self, packet: &[u8], from: &UdpSocket, to: SocketAddr) {
        if let Err(error) = from.send_to(packet, to).await {
            self.fail("a packet cannot be sent", &error);
        }
    }

    fn fail(&self, what: &str, error: &dyn fmt::Display) {
        self.lock().failure.get_or_insert_with(|| format!("{what}: {error}"));
    }
}

#[cfg(test)]
mod tests;
