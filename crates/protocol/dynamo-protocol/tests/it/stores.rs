//! What the node makes of a disk that refuses, stalls or fails.

use dynamo_messages::{Reply, Request};

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
