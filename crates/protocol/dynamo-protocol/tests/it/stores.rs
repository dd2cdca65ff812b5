//! What the node makes of a disk that refuses, stalls or fails.

use dynamo_messages::{Failure, Reply, Request};

use crate::cluster::{Cluster, node};

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
