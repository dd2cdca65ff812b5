//! A small world for tests: an authority, endpoints on free ports, and waiting with a deadline.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use dynamo_transport::certificates::{Authority, Issued};
use dynamo_transport::{
    DisconnectReason, Endpoint, EndpointConfig, Event, Events, HelloConfig, Lane, Limits, Link,
    LinkId, PeerName, Role,
};

/// Far beyond what anything here takes, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for something that must happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

pub(crate) fn name(text: &str) -> PeerName {
    PeerName::new(text).unwrap()
}

pub(crate) fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub(crate) fn hello() -> HelloConfig {
    HelloConfig { version_min: 1, version_max: 2, fingerprint: b"cluster".to_vec() }
}

/// Limits under which nothing times out by accident.
pub(crate) fn limits() -> Limits {
    let (idle_timeout, handshake_timeout, dial_patience) = (DEADLINE, DEADLINE, DEADLINE);
    Limits { idle_timeout, handshake_timeout, dial_patience, ..Limits::default() }
}

pub(crate) struct World {
    pub(crate) authority: Authority,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { authority: Authority::create("test").unwrap() }
    }

    pub(crate) fn issue(&self, role: Role, text: &str) -> Issued {
        self.authority.issue(role, &name(text)).unwrap()
    }

    pub(crate) fn config(&self, issued: &Issued) -> EndpointConfig {
        EndpointConfig {
            listen: loopback(),
            identity: issued.identity().unwrap(),
            trust: self.authority.trust().unwrap(),
            hello: hello(),
            limits: limits(),
        }
    }

    pub(crate) fn node(&self, text: &str) -> Peer {
        Peer::bind(self.config(&self.issue(Role::Node, text)))
    }

    pub(crate) fn client(&self, text: &str) -> Peer {
        Peer::bind(self.config(&self.issue(Role::Client, text)))
    }

    /// Two nodes with a link between them: the endpoints and each one's end.
    pub(crate) async fn linked_nodes(&self) -> ((Peer, Link), (Peer, Link)) {
        let (mut a, mut b) = (self.node("a"), self.node("b"));
        a.add(&b);
        b.add(&a);
        let (to_b, to_a) = (a.connected().await, b.connected().await);
        ((a, to_b), (b, to_a))
    }
}

/// An endpoint and its events.
pub(crate) struct Peer {
    pub(crate) endpoint: Endpoint,
    pub(crate) events: Events,
    pub(crate) address: SocketAddr,
}

impl Peer {
    pub(crate) fn bind(config: EndpointConfig) -> Self {
        let (endpoint, events) = Endpoint::bind(config).unwrap();
        let address = endpoint.local_address().unwrap();
        Self { endpoint, events, address }
    }

    pub(crate) fn add(&self, other: &Self) {
        self.endpoint.add_peer(&other.endpoint.identity().name, other.address);
    }

    pub(crate) async fn event(&mut self) -> Event {
        within("an event", self.events.next()).await.expect("the endpoint is there")
    }

    /// The next event, which must be a new link.
    pub(crate) async fn connected(&mut self) -> Link {
        match self.event().await {
            Event::Connected(link) => link,
            other => panic!("not connected: {other:?}"),
        }
    }

    /// The next event, which must be the end of a link.
    pub(crate) async fn disconnected(&mut self) -> (LinkId, DisconnectReason) {
        match self.event().await {
            Event::Disconnected { link, reason, .. } => (link, reason),
            other => panic!("not disconnected: {other:?}"),
        }
    }

    /// The payloads of the next events, which must be frames, until there are `count`.
    pub(crate) async fn frames(&mut self, count: usize) -> Vec<(Lane, Bytes)> {
        let mut taken = Vec::new();
        while taken.len() < count {
            match self.event().await {
                Event::Frames { lane, frames, .. } => {
                    taken.extend(frames.into_iter().map(|frame| (lane, frame)));
                }
                other => panic!("not frames: {other:?}"),
            }
        }
        assert_eq!(taken.len(), count, "more frames than were sent");
        taken
    }
}

/// Waits until a condition holds, looking again after everything else had its turn.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let poll = async {
        let mut interval = tokio::time::interval(Duration::from_millis(5));
        while !holds() {
            interval.tick().await;
        }
    };
    within(what, poll).await;
}
