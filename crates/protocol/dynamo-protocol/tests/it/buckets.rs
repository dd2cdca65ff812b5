//! Bucket settings.

use std::time::Duration;

use dynamo_membership::BucketEntry;
use dynamo_messages::{
    Envelope, Failure, Invalid, Mutation, OperationId, Options, PeerMessage, ReadOutcome,
    ReplicaReadReply, Reply, Request,
};
use dynamo_protocol::Event;
use dynamo_types::{Bucket, BucketSettings, Profile, Replication};
use dynamo_versioning::Hlc;

use crate::cluster::{Cluster, name, node};

fn set(profile: Profile) -> Request {
    let n = Replication::new(3).unwrap();
    let bucket = Bucket::new("carts").unwrap();
    Request::PutBucket { bucket, settings: BucketSettings::of_profile(profile, n) }
}

fn version(reply: &Reply) -> u64 {
    match reply {
        Reply::Bucket { version, .. } => *version,
        other => panic!("not a bucket: {other:?}"),
    }
}

/// The answer of a replica that has nothing, under these settings.
fn missing(settings_version: u64, operation: OperationId) -> Envelope {
    let outcome = ReadOutcome::Missing;
    let reply = ReplicaReadReply { operation, outcome, known: None, settings_version, queue: 0 };
    Envelope { hlc: Hlc::ZERO, message: PeerMessage::ReadReply(reply) }
}

#[test]
fn settings_are_known_everywhere_once_their_put_is_answered() {
    let mut cluster = Cluster::new(3, 3);
    assert_eq!(version(&cluster.request(node(1), set(Profile::Timestamp))), 1);
    let bucket = Bucket::new("carts").unwrap();
    for at in 1..=3 {
        let reply = cluster.request(node(at), Request::GetBucket { bucket: bucket.clone() });
        assert_eq!(version(&reply), 1);
    }
}

#[test]
fn a_timestamp_bucket_shows_the_newer_of_two_concurrent_writes() {
    let mut cluster = Cluster::new(3, 3);
    cluster.request(node(1), set(Profile::Timestamp));
    let context = cluster.put(node(1), "k", "zero", "");
    cluster.put(node(1), "k", "older", &context);
    cluster.put(node(2), "k", "newer", &context);
    assert_eq!(cluster.get(node(3), "k").0, ["newer"]);
}

#[test]
fn settings_survive_a_restart_and_reach_a_node_that_was_away() {
    let mut cluster = Cluster::new(3, 3);
    cluster.isolate(node(3));
    cluster.request(node(1), set(Profile::ReadEngine));
    cluster.restart(node(1));
    cluster.restart(node(2));
    cluster.rejoin(node(3));
    let bucket = Bucket::new("carts").unwrap();
    for at in 1..=3 {
        let reply = cluster.request(node(at), Request::GetBucket { bucket: bucket.clone() });
        assert_eq!(version(&reply), 1, "at node {at}");
    }
}

#[test]
fn history_28_a_coordinator_that_is_behind_evaluates_w_again() {
    let mut cluster = Cluster::new(3, 3);
    // Node 1 has not heard of the read engine, whose w is 3.
    cluster.cut_links.extend([(node(2), node(1)), (node(3), node(1))]);
    cluster.request(node(2), set(Profile::ReadEngine));
    cluster.held_disks.insert(node(3));
    cluster.cut_links.clear();
    let mutation = cluster.mutation("k", Some("v"), "");
    let client = cluster.ask(node(1), Request::Mutate(mutation));
    assert_eq!(cluster.answer(client), None, "two copies are not enough any more");
    cluster.release_disks();
    assert!(matches!(cluster.answer(client), Some(Reply::Stored { .. })));
}

#[test]
fn settings_that_the_cluster_cannot_have_are_refused() {
    let mut cluster = Cluster::new(3, 3);
    let n = Replication::new(7).unwrap();
    let bucket = Bucket::new("carts").unwrap();
    let settings = BucketSettings::of_profile(Profile::ReadEngine, n);
    let reply = cluster.request(node(1), Request::PutBucket { bucket, settings });
    let refused =
        matches!(reply, Reply::Failed(Failure::Invalid { reason: Invalid::Settings, .. }));
    assert!(refused, "{reply:?}");
}

#[test]
fn history_28_a_put_that_waits_for_a_check_takes_the_settings_of_its_end() {
    let mut cluster = Cluster::new(3, 3);
    // The check of a retry waits a while for the third replica.
    cluster.cut_links.insert((node(1), node(3)));
    let retry = Mutation { retry: true, ..cluster.mutation("k", Some("v"), "") };
    let client = cluster.ask(node(1), Request::Mutate(retry));
    cluster.request(node(1), set(Profile::ReadEngine));
    cluster.cut_links.clear();
    cluster.held_disks.insert(node(3));
    cluster.pass(Duration::from_millis(150));
    assert!(cluster.holds(node(1), "k"), "the version was made");
    assert_eq!(cluster.answer(client), None, "w is 3 now");
    cluster.release_disks();
    assert!(matches!(cluster.answer(client), Some(Reply::Stored { .. })));
}

#[test]
fn history_28_settings_that_change_again_on_the_way_are_asked_for_again() {
    let mut cluster = Cluster::new(3, 3);
    let carts = Bucket::new("carts").unwrap();
    // Node 1 hears neither of the first settings nor of the second.
    cluster.cut_links.extend([(node(2), node(1)), (node(3), node(1))]);
    cluster.request(node(2), set(Profile::ReadEngine));
    let get = Request::Get { name: name("k"), options: Options::default() };
    let client = cluster.ask(node(1), get);
    // Its question for the first is lost, as if it were still on its way.
    let operation = cluster.last_read(node(2)).expect("node 2 was asked");
    cluster.cut_links.insert((node(1), node(2)));
    cluster.event(node(1), Event::Received { from: node(2), envelope: missing(1, operation) });
    cluster.request(node(2), set(Profile::Timestamp));
    cluster.cut_links.clear();
    cluster.event(node(1), Event::Received { from: node(2), envelope: missing(2, operation) });
    let known = cluster.request(node(1), Request::GetBucket { bucket: carts });
    assert_eq!(version(&known), 2, "the second answer asked again");
    assert!(matches!(cluster.answer(client), Some(Reply::Object(_))));
}

#[test]
fn history_28_settings_whose_question_was_lost_are_asked_for_by_the_next_request() {
    let mut cluster = Cluster::new(3, 3);
    cluster.cut_links.extend([(node(2), node(1)), (node(3), node(1))]);
    cluster.request(node(2), set(Profile::Timestamp));
    let get = Request::Get { name: name("k"), options: Options::default() };
    let first = cluster.ask(node(1), get.clone());
    let operation = cluster.last_read(node(2)).expect("node 2 was asked");
    cluster.cut_links.insert((node(1), node(2)));
    cluster.event(node(1), Event::Received { from: node(2), envelope: missing(1, operation) });
    cluster.pass(Duration::from_secs(3));
    assert!(matches!(cluster.answer(first), Some(Reply::Failed(_))));
    cluster.cut_links.clear();
    cluster.cut_links.insert((node(1), node(3)));
    let second = cluster.ask(node(1), get);
    assert!(matches!(cluster.answer(second), Some(Reply::Object(_))));
}

#[test]
fn settings_that_a_full_disk_refused_are_written_before_they_are_confirmed() {
    let mut cluster = Cluster::new(3, 3);
    let carts = Bucket::new("carts").unwrap();
    cluster.full_disks.insert(node(2));
    cluster.request(node(1), set(Profile::Timestamp));
    assert!(!cluster.stored_settings(node(2), &carts));
    cluster.full_disks.clear();
    // The same entry comes again, and wants to be confirmed.
    let settings = BucketSettings::of_profile(Profile::Timestamp, Replication::new(3).unwrap());
    let entry = BucketEntry { settings, version: 1 }.encode();
    let acknowledge = Some(OperationId(1));
    let message = PeerMessage::Buckets { acknowledge, entries: vec![(carts.clone(), entry)] };
    let envelope = Envelope { hlc: Hlc::ZERO, message };
    cluster.event(node(2), Event::Received { from: node(3), envelope });
    assert!(cluster.stored_settings(node(2), &carts));
}
