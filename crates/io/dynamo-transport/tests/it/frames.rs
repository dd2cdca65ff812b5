//! Frames and datagrams on a link that works.

use bytes::Bytes;
use dynamo_transport::{Event, Lane, SendError};

use crate::world::World;

const LANES: [Lane; 4] = [Lane::Foreground(0), Lane::Foreground(1), Lane::Background, Lane::Bulk];

/// A payload that tells its number and has some length.
fn payload(number: u32) -> Bytes {
    let length = [0, 100, 1024, 1025, 70_000][number as usize % 5];
    [&number.to_le_bytes()[..], &vec![number as u8; length]].concat().into()
}

#[tokio::test]
async fn frames_of_every_lane_arrive_whole_and_in_order_in_both_directions() {
    const COUNT: u32 = 200;
    let ((mut a, to_b), (mut b, to_a)) = World::new().linked_nodes().await;
    for number in 0..COUNT {
        for lane in LANES {
            to_b.sender.send(lane, payload(number)).unwrap();
            to_a.sender.send(lane, payload(number + 1)).unwrap();
        }
    }
    let at_b = b.frames(COUNT as usize * LANES.len()).await;
    let at_a = a.frames(COUNT as usize * LANES.len()).await;
    for lane in LANES {
        let on_lane = |taken: &[(Lane, Bytes)]| -> Vec<Bytes> {
            taken.iter().filter(|(on, _)| *on == lane).map(|(_, frame)| frame.clone()).collect()
        };
        assert!(on_lane(&at_b).into_iter().eq((0..COUNT).map(payload)), "{lane:?}");
        assert!(on_lane(&at_a).into_iter().eq((1..=COUNT).map(payload)), "{lane:?}");
    }
}

#[tokio::test]
async fn the_longest_frame_passes_and_a_longer_one_is_refused() {
    let ((_a, to_b), (mut b, _)) = World::new().linked_nodes().await;
    let max = crate::world::limits().frame_bytes_max;
    let too_long = SendError::TooLong { length: max + 1, max };
    assert_eq!(to_b.sender.send(Lane::Bulk, vec![0; max + 1].into()), Err(too_long));
    let longest = Bytes::from(vec![7; max]);
    to_b.sender.send(Lane::Bulk, longest.clone()).unwrap();
    assert!(b.frames(1).await == [(Lane::Bulk, longest)]);
}

#[tokio::test]
async fn datagrams_arrive_and_too_long_ones_are_refused() {
    let ((_a, to_b), (mut b, to_a)) = World::new().linked_nodes().await;
    let max = to_b.sender.max_datagram_size().expect("the peer takes datagrams");
    assert!(max >= 1100, "room for a probe, not {max}");
    to_b.sender.send_datagram(vec![1; 64 * 1024].into()).unwrap_err();
    // Loopback loses none as long as they are few.
    to_b.sender.send_datagram(Bytes::from_static(b"ping")).unwrap();
    match b.event().await {
        Event::Datagram { link, bytes } => assert_eq!((link, &bytes[..]), (to_a.id, &b"ping"[..])),
        other => panic!("not a datagram: {other:?}"),
    }
}

#[tokio::test]
async fn counters_and_statistics_tell_what_was_sent() {
    let ((a, to_b), (mut b, _)) = World::new().linked_nodes().await;
    for _ in 0..10 {
        to_b.sender.send(Lane::Background, vec![0; 90].into()).unwrap();
    }
    b.frames(10).await;
    let (sent, received) = (a.endpoint.counters(), b.endpoint.counters());
    assert_eq!((received.frames_received, received.bytes_received), (10, 1000));
    assert_eq!((sent.frames_sent, sent.bytes_sent), (10, 1000));
    assert_eq!((sent.links_opened, received.links_opened), (1, 1));
    assert!(to_b.sender.statistics().sent_packets > 0);
}
