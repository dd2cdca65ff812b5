//! Who is not let in: each is refused before anything of it is handed up, and counted.

use std::time::Duration;

use bytes::Bytes;
use dynamo_transport::certificates::{Authority, Issued, PeerKey};
use dynamo_transport::{CloseCode, Counters, DialError, Lane, Role};

use crate::raw;
use crate::world::{Peer, World, name, until};

/// A node, and what is tried on it by hand.
struct Door {
    world: World,
    node: Peer,
}

impl Door {
    fn new() -> Self {
        let world = World::new();
        let node = world.node("a");
        Self { world, node }
    }

    /// Knocks with a certificate and sends frames at once, without waiting for leave. Returns why
    /// the connection was closed.
    async fn knock(
        &self,
        issued: Option<&Issued>,
        alpn: &[u8],
        hello: &[u8],
    ) -> quinn::ConnectionError {
        let connection = match raw::connect(self.node.address, issued, alpn).await {
            Ok(connection) => connection,
            Err(error) => return error,
        };
        let eager = async {
            let mut lane = raw::lane(&connection, 0).await;
            lane.write_all(&raw::frame(b"too early")).await.ok();
        };
        if connection.close_reason().is_none() {
            tokio::time::timeout(Duration::from_millis(50), eager).await.ok();
        }
        match raw::greet(&connection, hello).await {
            Ok(()) => panic!("let in"),
            Err(error) => error,
        }
    }

    /// Waits until the counter is at one and checks that nothing was handed up.
    async fn refused(&mut self, counter: impl Fn(&Counters) -> u64) {
        until("the refusal to be counted", || counter(&self.node.endpoint.counters()) == 1).await;
        assert!(self.node.events.try_next().is_none(), "something was handed up");
        let counters = self.node.endpoint.counters();
        assert_eq!((counters.links_opened, counters.frames_received), (0, 0));
        // The door still opens for those who belong.
        let friend = self.world.node("friend");
        friend.endpoint.dial_node(self.node.address, None).await.unwrap();
        assert_eq!(self.node.connected().await.peer.name, name("friend"));
    }
}

fn good_hello() -> Vec<u8> {
    raw::hello(1, 1, "b", b"cluster")
}

fn is_tls(error: &quinn::ConnectionError) -> bool {
    use quinn::ConnectionError::{ConnectionClosed, TransportError};
    matches!(error, ConnectionClosed(_) | TransportError(_))
}

#[tokio::test]
async fn a_certificate_of_another_authority() {
    let mut door = Door::new();
    let foreign = Authority::create("other").unwrap().issue(Role::Node, &name("b")).unwrap();
    let error = door.knock(Some(&foreign), raw::NODE, &good_hello()).await;
    assert!(is_tls(&error), "{error}");
    door.refused(|counters| counters.handshakes_failed).await;
}

#[tokio::test]
async fn an_expired_certificate() {
    let mut door = Door::new();
    let key = PeerKey::generate().unwrap();
    let authority = &door.world.authority;
    let expired = authority.issue_for(&key, Role::Node, &name("b"), Duration::ZERO).unwrap();
    // Valid to the second: once a later second has begun it is not.
    let error = loop {
        let connection = raw::connect(door.node.address, Some(&expired), raw::NODE).await;
        match connection {
            Ok(connection) => match raw::greet(&connection, b"no hello at all").await {
                Err(error) if is_tls(&error) => break error,
                _ => {}
            },
            Err(error) => break error,
        }
    };
    assert!(is_tls(&error), "{error}");
    until("the refusal to be counted", || door.node.endpoint.counters().handshakes_failed >= 1)
        .await;
    assert!(door.node.events.try_next().is_none(), "something was handed up");
}

#[tokio::test]
async fn no_certificate() {
    let mut door = Door::new();
    let error = door.knock(None, raw::NODE, &good_hello()).await;
    assert!(is_tls(&error), "{error}");
    door.refused(|counters| counters.handshakes_failed).await;
}

#[tokio::test]
async fn a_client_that_speaks_as_a_node() {
    let mut door = Door::new();
    for role in [Role::Client, Role::Admin] {
        let issued = door.world.issue(role, "b");
        let error = door.knock(Some(&issued), raw::NODE, &good_hello()).await;
        assert_eq!(raw::code(&error), CloseCode::RoleRefused as u64);
    }
    assert_eq!(door.node.endpoint.counters().refused_role, 2);
    assert!(door.node.events.try_next().is_none(), "something was handed up");
}

#[tokio::test]
async fn a_node_that_speaks_as_a_client() {
    let mut door = Door::new();
    let issued = door.world.issue(Role::Node, "b");
    let error = door.knock(Some(&issued), raw::CLIENT, &good_hello()).await;
    assert_eq!(raw::code(&error), CloseCode::RoleRefused as u64);
    door.refused(|counters| counters.refused_role).await;
}

#[tokio::test]
async fn a_protocol_that_is_not_spoken() {
    let mut door = Door::new();
    let issued = door.world.issue(Role::Node, "b");
    let error = door.knock(Some(&issued), b"h3", &good_hello()).await;
    assert!(is_tls(&error), "{error}");
    door.refused(|counters| counters.handshakes_failed).await;
}

#[tokio::test]
async fn a_name_that_is_not_the_certificates() {
    let mut door = Door::new();
    let issued = door.world.issue(Role::Node, "b");
    let hello = raw::hello(1, 1, "c", b"cluster");
    let error = door.knock(Some(&issued), raw::NODE, &hello).await;
    assert_eq!(raw::code(&error), CloseCode::NameMismatch as u64);
    door.refused(|counters| counters.refused_name).await;
}

#[tokio::test]
async fn a_node_that_bears_the_nodes_own_name() {
    let mut door = Door::new();
    let issued = door.world.issue(Role::Node, "a");
    let hello = raw::hello(1, 1, "a", b"cluster");
    let error = door.knock(Some(&issued), raw::NODE, &hello).await;
    assert_eq!(raw::code(&error), CloseCode::NameMismatch as u64);
    door.refused(|counters| counters.refused_name).await;
}

#[tokio::test]
async fn a_fingerprint_of_another_cluster() {
    for fingerprint in [&b"another"[..], &b""[..]] {
        let mut door = Door::new();
        let issued = door.world.issue(Role::Node, "b");
        let hello = raw::hello(1, 1, "b", fingerprint);
        let error = door.knock(Some(&issued), raw::NODE, &hello).await;
        assert_eq!(raw::code(&error), CloseCode::FingerprintMismatch as u64);
        door.refused(|counters| counters.refused_fingerprint).await;
    }
}

#[tokio::test]
async fn a_version_that_is_not_spoken() {
    let mut door = Door::new();
    let issued = door.world.issue(Role::Node, "b");
    let hello = raw::hello(3, 9, "b", b"cluster");
    let error = door.knock(Some(&issued), raw::NODE, &hello).await;
    assert_eq!(raw::code(&error), CloseCode::VersionMismatch as u64);
    door.refused(|counters| counters.refused_version).await;
}

#[tokio::test]
async fn a_hello_that_is_none() {
    let mut flipped = good_hello();
    *flipped.last_mut().unwrap() ^= 1;
    let mut short = good_hello();
    short.pop();
    let long = [&[0xff; 7][..], &[0; 600]].concat();
    let other_format = [&good_hello()[..2], &[2], &good_hello()[3..]].concat();
    for hello in [flipped, short, long, other_format, b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut door = Door::new();
        let issued = door.world.issue(Role::Node, "b");
        let error = door.knock(Some(&issued), raw::NODE, &hello).await;
        assert_eq!(raw::code(&error), CloseCode::HelloMalformed as u64);
        door.refused(|counters| counters.refused_hello).await;
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing() {
    let world = World::new();
    let mut config = world.config(&world.issue(Role::Node, "a"));
    config.limits.handshake_timeout = Duration::from_millis(300);
    let mut node = Peer::bind(config);
    let issued = world.issue(Role::Node, "b");
    // Under load the handshake itself may be the one that is too slow.
    if let Ok(silent) = raw::connect(node.address, Some(&issued), raw::NODE).await {
        crate::world::within("the end", silent.closed()).await;
    }
    until("the timeout", || node.endpoint.counters().handshakes_timed_out == 1).await;
    assert!(node.events.try_next().is_none());
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused_by_the_client() {
    let (ours, theirs) = (World::new(), World::new());
    let (mut node, client) = (theirs.node("a"), ours.client("app"));
    let error = client.endpoint.dial(node.address, None).await.unwrap_err();
    assert!(matches!(error, DialError::Handshake { .. }), "{error}");
    assert_eq!(client.endpoint.counters().handshakes_failed, 1);
    assert!(node.events.try_next().is_none());
}

#[tokio::test]
async fn a_server_of_another_name_is_refused_by_the_client() {
    let world = World::new();
    let (mut node, client) = (world.node("a"), world.client("app"));
    let error = client.endpoint.dial(node.address, Some(&name("b"))).await.unwrap_err();
    match error {
        DialError::NameMismatch { found, .. } => assert_eq!(found, name("a")),
        other => panic!("refused for another reason: {other}"),
    }
    assert_eq!(client.endpoint.counters().refused_name, 1);
    assert!(node.events.try_next().is_none());
}

#[tokio::test]
async fn a_dialler_learns_why_it_was_refused() {
    let world = World::new();
    let node = world.node("a");
    let mut config = world.config(&world.issue(Role::Client, "app"));
    config.hello.version_min = 7;
    config.hello.version_max = 9;
    let client = Peer::bind(config);
    match client.endpoint.dial(node.address, None).await.unwrap_err() {
        DialError::HelloRefused { by_peer: true, code, reason, .. } => {
            assert_eq!(code, Some(CloseCode::VersionMismatch));
            assert!(reason.contains("no common protocol version"), "{reason}");
        }
        other => panic!("refused for another reason: {other}"),
    }
}

#[tokio::test]
async fn a_client_may_leave_the_fingerprint_out_and_learns_the_nodes() {
    let world = World::new();
    let node = world.node("a");
    let mut config = world.config(&world.issue(Role::Admin, "root"));
    config.hello.fingerprint.clear();
    let admin = Peer::bind(config);
    let link = admin.endpoint.dial(node.address, None).await.unwrap();
    assert_eq!(link.fingerprint, Bytes::from_static(b"cluster"));
}

#[tokio::test]
async fn a_renewed_node_believes_the_new_authority_and_its_links_go_on() {
    let (old, new) = (World::new(), World::new());
    let mut node = old.node("a");
    let friend = old.node("friend");
    let link = friend.endpoint.dial_node(node.address, None).await.unwrap();
    node.connected().await;

    let stranger = new.client("app");
    stranger.endpoint.dial(node.address, None).await.unwrap_err();
    let issued = new.issue(Role::Node, "a");
    let renewed = (issued.identity().unwrap(), new.authority.trust().unwrap());
    node.endpoint.renew(&renewed.0, &renewed.1).unwrap();
    stranger.endpoint.dial(node.address, None).await.unwrap();
    assert_eq!(node.connected().await.peer, *stranger.endpoint.identity());

    link.sender.send(Lane::Bulk, Bytes::from_static(b"still here")).unwrap();
    node.frames(1).await;
    // And nobody of the old authority is let in any more.
    friend.endpoint.dial_node(node.address, None).await.unwrap_err();
    let other = new.issue(Role::Node, "b").identity().unwrap();
    node.endpoint.renew(&other, &renewed.1).unwrap_err();
}
