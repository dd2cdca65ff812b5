//! How links come, are replaced and go.

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use dynamo_transport::{CloseCode, DialError, DisconnectReason, Lane, Role};

use crate::world::{Peer, World, limits, name, until, within};

#[tokio::test]
async fn both_ends_learn_who_is_there_and_what_was_agreed() {
    let ((a, to_b), (b, to_a)) = World::new().linked_nodes().await;
    assert_eq!((&to_b.peer, &to_a.peer), (b.endpoint.identity(), a.endpoint.identity()));
    assert_eq!((to_b.version, to_a.version), (2, 2));
    assert_eq!((&to_b.fingerprint[..], &to_a.fingerprint[..]), (&b"cluster"[..], &b"cluster"[..]));
    assert_eq!((to_b.remote_address, to_a.remote_address), (b.address, a.address));
}

/// A peer that restarts is known again before the idle timeout, which never comes here.
#[tokio::test]
async fn a_peer_that_restarts_on_its_port_is_linked_anew() {
    let world = World::new();
    for restarted in ["a", "b"] {
        let ((mut a, _), (mut b, _)) = world.linked_nodes().await;
        let (stays, goes) = if restarted == "a" { (&mut b, a) } else { (&mut a, b) };
        let address = goes.address;
        let issued = world.issue(Role::Node, restarted);
        drop(goes);
        let config = dynamo_transport::EndpointConfig { listen: address, ..world.config(&issued) };
        let again = rebind(config).await;
        again.add(stays);
        stays.disconnected().await;
        let link = stays.connected().await;
        assert_eq!(link.peer.name, name(restarted));
    }
}

/// The system may take a moment to give a port back after its socket was dropped.
async fn rebind(config: dynamo_transport::EndpointConfig) -> Peer {
    let listen = config.listen;
    until("the port to be free", || std::net::UdpSocket::bind(listen).is_ok()).await;
    Peer::bind(config)
}

#[tokio::test]
async fn a_killed_peer_is_known_again_by_its_reset_long_before_the_idle_timeout() {
    let world = World::new();
    let (mut a, b) = (world.node("a"), world.issue(Role::Node, "b"));
    // The peer lives in a thread whose runtime stops dead: nothing says goodbye, as after SIGKILL.
    let (address_out, address_in) = mpsc::channel();
    let (kill_out, kill_in) = tokio::sync::oneshot::channel::<()>();
    let config = world.config(&b);
    let thread = std::thread::spawn(move || {
        let runtime = runtime();
        let peer = runtime.block_on(async {
            let peer = Peer::bind(config);
            address_out.send(peer.address).unwrap();
            kill_in.await.ok();
            peer
        });
        // The runtime goes first, and with it the socket: no task is left to say anything.
        drop(runtime);
        drop(peer);
    });
    let address = address_in.recv().unwrap();
    a.endpoint.add_peer(&name("b"), address);
    let first = a.connected().await;
    kill_out.send(()).unwrap();
    thread.join().unwrap();

    let config = dynamo_transport::EndpointConfig { listen: address, ..world.config(&b) };
    let mut again = rebind(config).await;
    // What this packet meets is a process that does not know the connection.
    first.sender.send(Lane::Bulk, Bytes::from_static(b"anyone?")).unwrap();
    assert_eq!(a.disconnected().await, (first.id, DisconnectReason::Restarted));
    a.connected().await;
    again.connected().await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn a_peer_that_stops_running_is_noticed() {
    let world = World::new();
    let quick = dynamo_transport::Limits {
        idle_timeout: Duration::from_secs(1),
        keep_alive: Duration::from_millis(250),
        ..limits()
    };
    let issued = [world.issue(Role::Node, "a"), world.issue(Role::Node, "b")];
    let [config, other] = issued.map(|issued| dynamo_transport::EndpointConfig {
        limits: quick.clone(),
        ..world.config(&issued)
    });
    let mut a = Peer::bind(config);
    let (address_out, address_in) = mpsc::channel();
    let (pause_out, pause_in) = tokio::sync::oneshot::channel::<()>();
    let (end_out, end_in) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = runtime();
        let _peer = runtime.block_on(async {
            let peer = Peer::bind(other);
            address_out.send(peer.address).unwrap();
            pause_in.await.ok();
            peer
        });
        // Paused: everything is there and nothing runs.
        end_in.recv().ok();
        drop(runtime);
    });
    a.endpoint.add_peer(&name("b"), address_in.recv().unwrap());
    let link = a.connected().await;
    pause_out.send(()).unwrap();
    assert_eq!(a.disconnected().await, (link.id, DisconnectReason::TimedOut));
    end_out.send(()).unwrap();
    thread.join().unwrap();
}

#[tokio::test]
async fn an_idle_link_is_kept_alive() {
    let world = World::new();
    let quick = dynamo_transport::Limits {
        idle_timeout: Duration::from_secs(3),
        keep_alive: Duration::from_millis(100),
        ..limits()
    };
    let [mut a, mut b] = ["a", "b"].map(|text| {
        let issued = world.issue(Role::Node, text);
        let config = world.config(&issued);
        Peer::bind(dynamo_transport::EndpointConfig { limits: quick.clone(), ..config })
    });
    a.add(&b);
    let link = a.connected().await;
    let back = b.connected().await;
    // Without keep-alives there would be no packet, and after the idle timeout no link.
    let sent = link.sender.statistics().sent_packets;
    until("keep-alives", || link.sender.statistics().sent_packets > sent + 40).await;
    back.sender.send(Lane::Bulk, Bytes::from_static(b"still here")).unwrap();
    a.frames(1).await;
}

#[tokio::test]
async fn a_node_that_connects_anew_replaces_its_link_and_the_end_of_the_old_one_comes_first() {
    let world = World::new();
    let mut a = world.node("a");
    let b = world.issue(Role::Node, "b");
    let mut first = Peer::bind(world.config(&b));
    first.endpoint.dial_node(a.address, None).await.unwrap();
    let old = a.connected().await;
    let second = Peer::bind(world.config(&b));
    second.endpoint.dial_node(a.address, Some(&name("a"))).await.unwrap();
    let replaced = DisconnectReason::Local(CloseCode::Replaced);
    assert_eq!(a.disconnected().await, (old.id, replaced));
    assert_eq!(a.connected().await.peer, old.peer);
    first.connected().await;
    assert_eq!(first.disconnected().await.1, DisconnectReason::Peer(CloseCode::Replaced));
}

#[tokio::test]
async fn a_peer_whose_address_was_wrong_is_reached_once_it_is_right() {
    let world = World::new();
    let (mut a, b) = (world.node("a"), world.node("b"));
    // Another node is at the address, which is noticed; then the right address is given.
    let c = world.node("c");
    a.endpoint.add_peer(&name("b"), c.address);
    until("the wrong node to be found", || a.endpoint.counters().refused_name > 0).await;
    a.endpoint.set_peer_address(&name("b"), b.address);
    assert_eq!(a.connected().await.peer, *b.endpoint.identity());
}

#[tokio::test]
async fn a_node_that_is_not_where_the_other_looks_dials_by_itself() {
    let world = World::new();
    let mut a = world.node("a");
    let issued = world.issue(Role::Node, "b");
    let mut config = world.config(&issued);
    config.limits.dial_patience = Duration::ZERO;
    let b = Peer::bind(config);
    // Nobody is where the one that usually dials looks.
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    a.endpoint.add_peer(&name("b"), nobody.local_addr().unwrap());
    b.add(&a);
    assert_eq!(a.connected().await.peer, *b.endpoint.identity());
}

#[tokio::test]
async fn a_removed_peer_loses_its_link_and_is_not_dialled_again() {
    let ((mut a, to_b), (mut b, _)) = World::new().linked_nodes().await;
    a.endpoint.remove_peer(&name("b"));
    let unwanted = DisconnectReason::Local(CloseCode::Unwanted);
    assert_eq!(a.disconnected().await, (to_b.id, unwanted));
    assert_eq!(b.disconnected().await.1, DisconnectReason::Peer(CloseCode::Unwanted));
    assert!(a.endpoint.link(to_b.id).is_none());
    // Nothing more comes: had it been dialled again, it would be before the end of the endpoint.
    let (endpoint, mut events) = (b.endpoint, b.events);
    within("shutdown", a.endpoint.shutdown()).await;
    drop((endpoint, a.endpoint));
    assert!(events.next().await.is_none());
    assert!(a.events.next().await.is_none());
}

#[tokio::test]
async fn a_client_finds_the_node_and_both_talk() {
    let world = World::new();
    let (mut node, mut client) = (world.node("a"), world.client("app"));
    let link = client.endpoint.dial(node.address, Some(&name("a"))).await.unwrap();
    assert_eq!(link.peer, *node.endpoint.identity());
    let back = node.connected().await;
    assert_eq!(back.peer, *client.endpoint.identity());
    link.sender.send(Lane::Foreground(0), Bytes::from_static(b"question")).unwrap();
    node.frames(1).await;
    back.sender.send(Lane::Foreground(0), Bytes::from_static(b"answer")).unwrap();
    client.connected().await;
    client.frames(1).await;
}

#[tokio::test]
async fn links_of_one_client_certificate_live_side_by_side() {
    let world = World::new();
    let (mut node, issued) = (world.node("a"), world.issue(Role::Client, "app"));
    let clients = [0, 1].map(|_| Peer::bind(world.config(&issued)));
    for client in &clients {
        client.endpoint.dial(node.address, None).await.unwrap();
        node.connected().await;
    }
    let counters = node.endpoint.counters();
    assert_eq!((counters.links_opened, counters.links_closed), (2, 0));
}

#[tokio::test]
async fn clients_beyond_the_limit_are_refused() {
    let world = World::new();
    let mut config = world.config(&world.issue(Role::Node, "a"));
    config.limits.client_links_max = 1;
    let (node, client) = (Peer::bind(config), world.client("app"));
    client.endpoint.dial(node.address, None).await.unwrap();
    // The dialler may believe itself connected before it hears of the refusal.
    let mut client = client;
    client.connected().await;
    match client.endpoint.dial(node.address, None).await {
        Err(DialError::HelloRefused { by_peer: true, code, .. }) => {
            assert_eq!(code, Some(CloseCode::TooManyLinks));
        }
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(link) => {
            client.connected().await;
            let refused = DisconnectReason::Peer(CloseCode::TooManyLinks);
            assert_eq!(client.disconnected().await, (link.id, refused));
        }
    }
    assert_eq!(node.endpoint.counters().refused_links, 1);
}

#[tokio::test]
async fn nobody_at_the_address_is_a_timeout() {
    let world = World::new();
    let mut config = world.config(&world.issue(Role::Client, "app"));
    config.limits.handshake_timeout = Duration::from_millis(200);
    let client = Peer::bind(config);
    // Bound, so that nothing else can answer there.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dial = client.endpoint.dial(silent.local_addr().unwrap(), None);
    assert!(matches!(within("a timeout", dial).await, Err(DialError::Timeout { .. })));
    assert_eq!(client.endpoint.counters().handshakes_timed_out, 1);
}
