//! What the node makes of a disk that refuses, stalls or fails.

use dynamo_messages::{Envelope, Failure, PeerMessage, ReplicaWrite, Reply, Request};
use dynamo_protocol::Event;
use dynamo_types::{ActorId, Durability, Key, ObjectName, RequestId};
use dynamo_versioning::{BodyDigest, Content, Dot, DotSet, Hlc, Record, Sibling};

use crate::cluster::{Cluster, name, node};

fn stored(reply: Option<&Reply>) -> bool {
    matches!(reply, Some(Reply::Stored { .. }))
}

#[test]
fn a_store_may_be_refused_while_earlier_ones_are_being_written() {
    let mut cluster = Cluster::new(3, 3);
    cluster.held_disks.insert(node(1));
    let first = cluster.mutation("k", Some("v"), "");
    let first = cluster.ask(node(1), Request::Mutate(first));
    // The write queue is full from now on: it refuses at once.
    cluster.full_disks.insert(node(1));
    let second = cluster.mutation("l", Some("v"), "");
    let second = cluster.ask(node(1), Request::Mutate(second));
    cluster.full_disks.clear();
    cluster.release_disks();
    assert!(stored(cluster.answer(first)), "two others and the held disk have it");
    assert!(stored(cluster.answer(second)), "two others have it");
    assert!(cluster.holds(node(1), "k"));
    assert!(!cluster.holds(node(1), "l"));
}

#[test]
fn a_node_whose_disk_failed_hands_puts_to_the_other_replicas() {
    let mut cluster = Cluster::new(3, 3);
    cluster.failing_disks.insert(node(1));
    let first = cluster.mutation("k", Some("v"), "");
    let first = cluster.ask(node(1), Request::Mutate(first));
    assert!(stored(cluster.answer(first)), "two others have it");
    cluster.put(node(1), "l", "v", "");
    assert_eq!(cluster.counters(node(1)).puts_forwarded, 1);
    assert_eq!(cluster.get(node(1), "l").0, ["v"]);
}

#[test]
fn a_row_that_was_read_when_a_store_failed_is_changed_no_more() {
    let mut cluster = Cluster::new(3, 3);
    cluster.held_loads.insert(node(1));
    let waits = cluster.mutation("l", Some("v"), "");
    let waits = cluster.ask(node(1), Request::Mutate(waits));
    cluster.held_loads.clear();
    cluster.failing_disks.insert(node(1));
    let fails = cluster.mutation("k", Some("v"), "");
    cluster.ask(node(1), Request::Mutate(fails));
    cluster.release_loads();
    assert_eq!(cluster.answer(waits), Some(&Reply::Failed(Failure::StorageFailed)));
    assert!(!cluster.holds(node(2), "l"), "it was neither made nor sent");
}

#[test]
fn deletes_that_wait_for_the_disk_are_bounded_too() {
    let mut cluster = Cluster::new(3, 3);
    cluster.held_loads.insert(node(1));
    for counter in 1..=300 {
        let dot = Dot::new(ActorId(9), counter);
        let tombstone = Sibling {
            dot,
            hlc: Hlc(1),
            content: Content::Tombstone,
            expires_at: None,
            request: RequestId(counter.into()),
            digest: BodyDigest(1),
        };
        let context = DotSet::from_iter([dot]);
        let key = Key::new(counter.to_string()).unwrap();
        let write = ReplicaWrite {
            register: None,
            hint: None,
            operation: None,
            name: ObjectName { bucket: name("k").bucket, key },
            pieces: vec![Record::from_parts(context, Hlc(1), vec![tombstone]).unwrap()],
            durability: Durability::Synced,
            remaining_ms: 1_000,
        };
        let envelope = Envelope { hlc: Hlc::ZERO, message: PeerMessage::Write(write) };
        cluster.event(node(1), Event::Received { from: node(2), envelope });
    }
    cluster.release_loads();
    let taken = cluster.counters(node(1)).replica_writes;
    assert!((100..300).contains(&taken), "{taken} waited in 64 KiB");
}
