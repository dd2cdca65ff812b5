//! Gets, read repair and listings.

use std::time::Duration;

use bytes::Bytes;
use dynamo_messages::{
    Envelope, Failure, OperationId, Options, PeerMessage, ReadOutcome, ReplicaRead, Reply, Request,
};
use dynamo_protocol::Event;
use dynamo_types::{Bucket, Key, ObjectName};
use dynamo_versioning::Hlc;

use crate::cluster::{Cluster, name, node};

#[test]
fn any_node_answers_any_get() {
    let mut cluster = Cluster::new(5, 3);
    cluster.put(node(1), "k", "v", "");
    for at in 1..=5 {
        assert_eq!(cluster.get(node(at), "k").0, ["v"]);
    }
}

#[test]
fn read_repair_heals_a_replica_that_was_away_and_then_falls_silent() {
    let mut cluster = Cluster::new(3, 3);
    cluster.put(node(1), "k", "old", "");
    cluster.isolate(node(3));
    let (_, context) = cluster.get(node(1), "k");
    cluster.put(node(1), "k", "new", &context);
    cluster.rejoin(node(3));
    assert_eq!(cluster.get(node(3), "k").0, ["new"], "r=2 includes one that knows");
    cluster.pass(Duration::from_millis(200));
    for at in 1..=3 {
        assert!(cluster.stored(node(at), "k").same_versions(&cluster.stored(node(1), "k")));
    }
    let before = cluster.object_writes;
    for at in 1..=3 {
        cluster.get(node(at), "k");
        cluster.pass(Duration::from_secs(2));
    }
    assert_eq!(cluster.object_writes, before, "equal replicas are written nothing");
}

#[test]
fn read_repair_on_notfound_first() {
    let mut cluster = Cluster::new(3, 3);
    cluster.isolate(node(3));
    cluster.put(node(1), "k", "v", "");
    cluster.rejoin(node(3));
    assert_eq!(cluster.get(node(3), "k").0, ["v"], "its own copy is missing, and it is not alone");
    cluster.pass(Duration::from_millis(200));
    assert!(cluster.holds(node(3), "k"));
}

#[test]
fn a_get_without_a_quorum_fails_and_says_what_was_reached() {
    let mut cluster = Cluster::new(3, 3);
    cluster.isolate(node(1));
    let options = Options::default();
    let reply = cluster.request(node(1), Request::Get { name: name("k"), options });
    assert_eq!(reply, Reply::Failed(Failure::NotEnoughReplicas { reached: 1, needed: 2 }));
}

#[test]
fn notfound_needs_a_replica() {
    let mut cluster = Cluster::new(5, 3);
    cluster.put(node(1), "k", "v", "");
    let (outside, replicas): (Vec<_>, Vec<_>) =
        (1..=5).map(node).partition(|at| !cluster.holds(*at, "k"));
    for replica in &replicas {
        cluster.cut_links.insert((outside[0], *replica));
    }
    let options = Options::default();
    let client = cluster.ask(outside[0], Request::Get { name: name("k"), options });
    cluster.pass(Duration::from_secs(3));
    let failed = Reply::Failed(Failure::NotEnoughReplicas { reached: 0, needed: 2 });
    assert_eq!(cluster.answer(client), Some(&failed), "silence is not absence");
}

#[test]
fn a_slow_replica_is_hedged() {
    let mut cluster = Cluster::new(3, 3);
    cluster.put(node(1), "k", "v", "");
    // Two gets under way: the second is not nearly idle, and asks only two replicas.
    cluster.cut_links.extend([(node(1), node(2)), (node(1), node(3))]);
    let options = Options::default();
    cluster.ask(node(1), Request::Get { name: name("x"), options });
    cluster.ask(node(1), Request::Get { name: name("y"), options });
    cluster.cut_links.remove(&(node(1), node(3)));
    let client = cluster.ask(node(1), Request::Get { name: name("k"), options });
    cluster.pass(Duration::from_secs(1));
    assert!(matches!(cluster.answer(client), Some(Reply::Object(_))));
}

#[test]
fn a_listing_shows_each_living_key_once() {
    let mut cluster = Cluster::new(5, 3);
    for key in ["a1", "a2", "a3", "b1"] {
        cluster.put(node(1), key, "v", "");
    }
    let (_, context) = cluster.get(node(1), "a2");
    let delete = cluster.mutation("a2", None, &context);
    cluster.request(node(2), Request::Mutate(delete));
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let request = Request::List {
            bucket: Bucket::new("carts").unwrap(),
            after: after.clone(),
            prefix: Bytes::from_static(b"a"),
            limit: 1,
            options: Options::default(),
        };
        match cluster.request(node(4), request) {
            Reply::Page(page) => {
                keys.extend(page.keys.clone());
                after = page.keys.last().cloned();
                if !page.more {
                    break;
                }
            }
            other => panic!("not a page: {other:?}"),
        }
    }
    let mut shown: Vec<String> = keys.iter().map(ToString::to_string).collect();
    shown.sort();
    assert_eq!(shown, ["a1", "a3"]);
}

#[test]
fn a_listing_gets_past_a_row_of_another_bucket_that_fills_a_scan() {
    let mut cluster = Cluster::new(3, 3);
    for key in ["a", "b", "c", "d", "e", "f"] {
        cluster.put(node(1), key, "v", "");
    }
    // Longer than the name of the listed bucket, and so behind it at its position.
    let bucket = Bucket::new("parcels").unwrap();
    for at in 1..=3 {
        for key in ["1", "2", "3", "4"] {
            let other = ObjectName { bucket: bucket.clone(), key: Key::new(key).unwrap() };
            cluster.plant_row(node(at), &other, vec![0; 4 << 20].into());
        }
    }
    let request = Request::List {
        bucket: Bucket::new("carts").unwrap(),
        after: None,
        prefix: Bytes::new(),
        limit: 10,
        options: Options::default(),
    };
    let Reply::Page(page) = cluster.request(node(1), request) else { panic!("not a page") };
    assert_eq!(page.keys.len(), 6);
}

#[test]
fn a_node_that_is_no_replica_says_nothing_of_a_key() {
    let mut cluster = Cluster::new(5, 3);
    cluster.put(node(1), "k", "v", "");
    let outside = (1..=5).map(node).find(|at| !cluster.holds(*at, "k")).unwrap();
    let other = (1..=5).map(node).find(|at| *at != outside).unwrap();
    let read = ReplicaRead {
        operation: OperationId(1),
        name: name("k"),
        value_bytes_max: 0,
        register: None,
        known: None,
        remaining_ms: 1_000,
    };
    let envelope = Envelope { hlc: Hlc::ZERO, message: PeerMessage::Read(read) };
    cluster.event(outside, Event::Received { from: other, envelope });
    assert_eq!(cluster.last_read_outcome, Some(ReadOutcome::NoHint));
}
