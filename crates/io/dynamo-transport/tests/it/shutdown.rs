//! The end of an endpoint.

use bytes::Bytes;
use dynamo_transport::{CloseCode, DisconnectReason, Event, Lane, SendError};

use crate::world::{World, until, within};

#[tokio::test]
async fn shutdown_sends_what_is_queued_and_says_goodbye() {
    let ((mut a, to_b), (mut b, to_a)) = World::new().linked_nodes().await;
    for _ in 0..100 {
        to_b.sender.send(Lane::Bulk, Bytes::from(vec![0; 10_000])).unwrap();
    }
    within("shutdown", a.endpoint.shutdown()).await;
    b.frames(100).await;
    let goodbye = DisconnectReason::Peer(CloseCode::Shutdown);
    assert_eq!(b.disconnected().await, (to_a.id, goodbye));
    let own = DisconnectReason::Local(CloseCode::Shutdown);
    assert_eq!(a.disconnected().await, (to_b.id, own));
    assert_eq!(to_b.sender.send(Lane::Bulk, Bytes::new()), Err(SendError::Gone));
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_consumer_that_takes_nothing() {
    let ((mut a, to_b), (b, to_a)) = World::new().linked_nodes().await;
    to_a.sender.send(Lane::Bulk, Bytes::from_static(b"nobody takes this")).unwrap();
    until("the frame", || a.endpoint.counters().frames_received == 1).await;
    within("shutdown", a.endpoint.shutdown()).await;
    assert!(matches!(a.event().await, Event::Frames { .. }));
    assert_eq!(a.disconnected().await.0, to_b.id);
    drop(b);
}

/// How many tasks the runtime of this test has.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn shutdown_leaves_no_task_behind() {
    let before = tasks();
    let ((a, to_b), (b, to_a)) = World::new().linked_nodes().await;
    assert!(tasks() > before);
    within("shutdown", a.endpoint.shutdown()).await;
    within("shutdown", b.endpoint.shutdown()).await;
    drop((a, to_b, b, to_a));
    until("all tasks to end", || tasks() == before).await;
}

#[tokio::test]
async fn dropping_everything_leaves_no_task_behind() {
    let before = tasks();
    let ((a, to_b), (b, to_a)) = World::new().linked_nodes().await;
    to_b.sender.send(Lane::Bulk, Bytes::from(vec![0; 1_000_000])).unwrap();
    drop((a, to_b, b, to_a));
    until("all tasks to end", || tasks() == before).await;
}

#[tokio::test]
async fn links_end_when_nobody_takes_the_events() {
    let ((a, _), (mut b, to_a)) = World::new().linked_nodes().await;
    drop(a.events);
    let goodbye = DisconnectReason::Peer(CloseCode::Shutdown);
    assert_eq!(b.disconnected().await, (to_a.id, goodbye));
}

#[tokio::test]
async fn events_end_after_the_endpoint_was_dropped() {
    let ((a, to_b), (b, _)) = World::new().linked_nodes().await;
    let mut events = a.events;
    drop(a.endpoint);
    within("the end", async { while events.next().await.is_some() {} }).await;
    assert_eq!(to_b.sender.send(Lane::Bulk, Bytes::new()), Ok(()));
    drop(b);
}
