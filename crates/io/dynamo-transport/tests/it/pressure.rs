//! Bounds under pressure.

use bytes::Bytes;
use dynamo_transport::{EndpointConfig, Event, Lane, Limits, Role, SendError};

use crate::world::{Peer, World, limits, until};

fn small() -> Limits {
    Limits {
        lane_queue_bytes_max: 256 * 1024,
        event_bytes_max: 256 * 1024,
        lane_window_bytes: 256 * 1024,
        ..limits()
    }
}

/// Two linked nodes with small bounds.
async fn pair(world: &World) -> (Peer, dynamo_transport::LinkSender, Peer) {
    let [mut a, mut b] = ["a", "b"].map(|text| {
        let issued = world.issue(Role::Node, text);
        Peer::bind(EndpointConfig { limits: small(), ..world.config(&issued) })
    });
    a.add(&b);
    let link = a.connected().await;
    b.connected().await;
    (a, link.sender, b)
}

/// Sends numbered frames until the queue has been full for a while: the peer has stopped reading.
async fn fill(sender: &dynamo_transport::LinkSender, lane: Lane) -> u32 {
    let mut sent = 0_u32;
    let mut written_before = usize::MAX;
    loop {
        let payload = [&sent.to_le_bytes()[..], &[0; 4092]].concat();
        match sender.send(lane, payload.into()) {
            Ok(()) => sent += 1,
            Err(SendError::QueueFull) => {
                // Full, and it stays full while everything else has had many turns.
                let packets = sender.statistics().sent_packets as usize;
                if packets == written_before {
                    return sent;
                }
                written_before = packets;
                let mut interval = tokio::time::interval(std::time::Duration::from_millis(50));
                for _ in 0..3 {
                    interval.tick().await;
                }
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_stalled_consumer_stops_the_sender_within_bounds_and_everything_arrives_when_it_wakes() {
    let world = World::new();
    let (a, sender, mut b) = pair(&world).await;
    let sent = fill(&sender, Lane::Bulk).await;
    // Queue, both windows, events: nowhere else can bytes be.
    let bytes_max = 4 * 256 * 1024 + 256 * 1024;
    assert!(sent as usize * 4106 <= bytes_max, "{sent} frames were taken");
    assert!(a.endpoint.counters().queue_full > 0);

    let frames = b.frames(sent as usize).await;
    for (number, (_, frame)) in (0_u32..).zip(&frames) {
        assert_eq!(frame[..4], number.to_le_bytes());
    }
    until("room again", || sender.queued_bytes(Lane::Bulk) == 0).await;
    sender.send(Lane::Bulk, Bytes::from_static(b"again")).unwrap();
    b.frames(1).await;
}

#[tokio::test]
async fn datagrams_are_dropped_and_counted_when_the_consumer_stalls() {
    let world = World::new();
    let (_a, sender, b) = pair(&world).await;
    fill(&sender, Lane::Bulk).await;
    // The bound is used up to less than one batch of frames, which is what the reader holds; datagrams
    // fill that rest and are then dropped.
    until("a drop", || {
        sender.send_datagram(vec![0; 1000].into()).unwrap();
        b.endpoint.counters().datagrams_dropped > 0
    })
    .await;
}

#[tokio::test]
async fn a_full_lane_leaves_the_others_free() {
    let world = World::new();
    // The consumer takes frames slowly enough for bulk to be always full, and foreground passes.
    let (_a, sender, mut b) = pair(&world).await;
    let mut answered = 0;
    let mut asked = 0;
    while answered < 20 {
        while sender.send(Lane::Bulk, vec![0; 16 * 1024].into()).is_ok() {}
        if asked == answered {
            sender.send(Lane::Foreground(0), Bytes::from_static(b"urgent")).unwrap();
            asked += 1;
        }
        match b.event().await {
            Event::Frames { lane: Lane::Foreground(0), .. } => answered += 1,
            Event::Frames { .. } => {}
            other => panic!("not frames: {other:?}"),
        }
    }
}
