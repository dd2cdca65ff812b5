//! Garbage, from outside and from peers that were let in.

use std::net::UdpSocket;

use bytes::Bytes;
use dynamo_transport::{CloseCode, DisconnectReason, Event, Lane, Limits, Role};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::raw;
use crate::world::{Peer, World, name};

#[tokio::test]
async fn garbage_at_the_port_does_not_disturb_a_link() {
    const PACKETS: usize = 10_000;
    let ((a, to_b), (mut b, to_a)) = World::new().linked_nodes().await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    for number in 0..PACKETS {
        let mut packet = vec![0; 1 + random.next_u32() as usize % 1400];
        random.fill_bytes(&mut packet);
        // A third looks like the beginning of a connection, a third like a part of one.
        match number % 3 {
            0 => packet[0] = 0x40 | (packet[0] & 0x3f),
            1 if packet.len() > 5 => {
                packet.resize(1200, 0);
                packet[..5].copy_from_slice(&[0xc3, 0, 0, 0, 1]);
            }
            _ => {}
        }
        socket.send_to(&packet, b.address).unwrap();
        if number % 100 == 0 {
            to_b.sender.send(Lane::Foreground(0), Bytes::from(vec![1; 100])).unwrap();
            tokio::task::yield_now().await;
        }
    }
    b.frames(PACKETS / 100).await;
    to_a.sender.send(Lane::Foreground(0), Bytes::from_static(b"fine")).unwrap();
    let (a_counters, b_counters) = (a.endpoint.counters(), b.endpoint.counters());
    assert_eq!((a_counters.links_closed, b_counters.links_closed), (0, 0));
    assert_eq!(b_counters.links_opened, 1);
}

/// A peer that was let in sends these bytes on a lane after one good frame. The good frame is
/// handed up, the connection is closed with the code, and another peer's link goes on.
async fn misbehave(bytes: &[u8], expected: CloseCode) {
    let world = World::new();
    let mut node = world.node("a");
    let friend = world.node("friend");
    let friendly = friend.endpoint.dial_node(node.address, None).await.unwrap();
    node.connected().await;

    let connection =
        raw::connect(node.address, Some(&world.issue(Role::Node, "b")), raw::NODE).await.unwrap();
    raw::greet(&connection, &raw::hello(1, 1, "b", b"cluster")).await.unwrap();
    let link = node.connected().await;
    assert_eq!(link.peer.name, name("b"));
    let mut lane = raw::lane(&connection, 2).await;
    lane.write_all(&raw::frame(b"good")).await.unwrap();
    assert_eq!(node.frames(1).await, [(Lane::Background, Bytes::from_static(b"good"))]);
    lane.write_all(bytes).await.unwrap();
    lane.write_all(&raw::frame(b"after the fault")).await.ok();
    lane.finish().ok();

    assert_eq!(node.disconnected().await, (link.id, DisconnectReason::Local(expected)));
    let error = crate::world::within("the end", connection.closed()).await;
    assert_eq!(raw::code(&error), expected as u64);
    friendly.sender.send(Lane::Bulk, Bytes::from_static(b"hello")).unwrap();
    node.frames(1).await;
    let counters = node.endpoint.counters();
    let counted = match expected {
        CloseCode::FrameLength => counters.bad_frame_length,
        CloseCode::FrameChecksum => counters.bad_frame_checksum,
        CloseCode::FrameVersion => counters.bad_frame_version,
        CloseCode::LaneBroken => counters.bad_lane,
        other => panic!("not a fault of a frame: {other}"),
    };
    assert_eq!((counted, counters.links_closed), (1, 1));
}

#[tokio::test]
async fn a_frame_beyond_the_cap_ends_its_connection_only() {
    let mut frame = raw::frame(b"x");
    let length = u32::try_from(Limits::default().frame_bytes_max + 1).unwrap();
    frame[..4].copy_from_slice(&length.to_le_bytes());
    misbehave(&frame, CloseCode::FrameLength).await;
}

#[tokio::test]
async fn a_frame_with_a_wrong_checksum_ends_its_connection_only() {
    let mut frame = raw::frame(b"xyz");
    *frame.last_mut().unwrap() ^= 0x40;
    misbehave(&frame, CloseCode::FrameChecksum).await;
}

#[tokio::test]
async fn a_frame_of_an_unknown_version_or_flag_ends_its_connection_only() {
    let mut version = raw::frame(b"xyz");
    version[4] = 2;
    misbehave(&version, CloseCode::FrameVersion).await;
    let mut flag = raw::frame(b"xyz");
    flag[5] = 0x80;
    misbehave(&flag, CloseCode::FrameVersion).await;
}

#[tokio::test]
async fn a_lane_that_ends_within_a_frame_ends_its_connection_only() {
    let mut header = raw::frame(b"")[..].to_vec();
    header[..4].copy_from_slice(&1000_u32.to_le_bytes());
    misbehave(&header, CloseCode::LaneBroken).await;
}

#[tokio::test]
async fn an_unknown_or_repeated_lane_ends_the_connection() {
    for bytes in [&[9][..], &[1, 1][..]] {
        let world = World::new();
        let mut node = world.node("a");
        let issued = world.issue(Role::Node, "b");
        let connection = raw::connect(node.address, Some(&issued), raw::NODE).await.unwrap();
        raw::greet(&connection, &raw::hello(1, 1, "b", b"cluster")).await.unwrap();
        node.connected().await;
        let mut lanes = Vec::new();
        for byte in bytes {
            lanes.push(raw::lane(&connection, *byte).await);
        }
        let invalid = DisconnectReason::Local(CloseCode::LaneInvalid);
        assert_eq!(node.disconnected().await.1, invalid);
        assert_eq!(node.endpoint.counters().bad_lane, 1);
    }
}

#[tokio::test]
async fn frames_sent_before_the_hello_wait_for_it() {
    let world = World::new();
    let mut node = world.node("a");
    let issued = world.issue(Role::Node, "b");
    let connection = raw::connect(node.address, Some(&issued), raw::NODE).await.unwrap();
    let mut lane = raw::lane(&connection, 0).await;
    lane.write_all(&raw::frame(b"early")).await.unwrap();
    raw::greet(&connection, &raw::hello(1, 1, "b", b"cluster")).await.unwrap();
    node.connected().await;
    match node.event().await {
        Event::Frames { frames, .. } => assert_eq!(frames, [Bytes::from_static(b"early")]),
        other => panic!("not frames: {other:?}"),
    }
}

#[tokio::test]
async fn newcomers_prove_their_address_or_are_turned_away_while_many_are_under_way() {
    let world = World::new();
    let node = |before_retry, max| {
        let mut config = world.config(&world.issue(Role::Node, "a"));
        config.limits.handshakes_before_retry = before_retry;
        config.limits.handshakes_max = max;
        Peer::bind(config)
    };
    let client = world.client("app");
    let careful = node(0, 10);
    client.endpoint.dial(careful.address, None).await.unwrap();
    assert_eq!(careful.endpoint.counters().handshakes_retried, 1);
    let full = node(0, 0);
    client.endpoint.dial(full.address, None).await.unwrap_err();
    assert_eq!(full.endpoint.counters().handshakes_overload, 1);
}
