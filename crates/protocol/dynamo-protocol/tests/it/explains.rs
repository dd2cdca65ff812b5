//! What each replica of a key has, asked at any node.

use std::time::Duration;

use bytes::Bytes;
use dynamo_messages::{Explanation, Failure, Invalid, ReplicaState, Reply, Request};
use dynamo_types::NodeId;

use crate::cluster::{Cluster, name, node};

fn explain(cluster: &mut Cluster, at: NodeId, key: &'static str) -> Explanation {
    let request = Request::Explain { name: name(key), timeout_ms: None };
    match cluster.request(at, request) {
        Reply::Explanation(explanation) => explanation,
        other => panic!("not an explanation: {other:?}"),
    }
}

fn states(explanation: &Explanation) -> Vec<ReplicaState> {
    explanation.replicas.iter().map(|replica| replica.state).collect()
}

#[test]
fn any_node_tells_what_every_replica_has() {
    let mut cluster = Cluster::new(5, 3);
    cluster.put(node(1), "k", "milk", "");
    for at in 1..=5 {
        let explanation = explain(&mut cluster, node(at), "k");
        assert!(explanation.agrees(), "{explanation:?}");
        assert_eq!(explanation.replicas.len(), 3, "the replica set and nobody else");
        for replica in &explanation.replicas {
            let stored = cluster.stored(replica.node, "k");
            assert_eq!(replica.digest, Some(stored.versions_digest()));
            assert_eq!(replica.siblings[0].dot, stored.siblings()[0].dot);
            assert_eq!((replica.siblings[0].value_bytes, replica.siblings.len()), (4, 1));
        }
    }
    assert_eq!(cluster.counters(node(5)).explanations_coordinated, 1);
}

#[test]
fn a_replica_that_was_away_is_behind_and_asking_repairs_nothing() {
    let mut cluster = Cluster::new(3, 3);
    cluster.put(node(1), "k", "milk", "");
    cluster.isolate(node(3));
    let (_, context) = cluster.get(node(1), "k");
    let delete = cluster.mutation("k", None, &context);
    cluster.request(node(1), Request::Mutate(delete));

    let explanation = explain(&mut cluster, node(1), "k");
    let away = explanation.replicas.iter().find(|replica| replica.node == node(3)).unwrap();
    assert_eq!(away.state, ReplicaState::Unreachable);
    assert_eq!(explanation.behind().count(), 0, "nobody knows");
    assert!(!explanation.agrees());

    cluster.rejoin(node(3));
    let before = cluster.object_writes;
    for _ in 0..2 {
        let explanation = explain(&mut cluster, node(2), "k");
        assert_eq!(explanation.behind().collect::<Vec<_>>(), [node(3)]);
        assert_eq!(states(&explanation), [ReplicaState::Present; 3]);
        let held = |replica: &dynamo_messages::ReplicaView| replica.siblings[0].tombstone;
        assert_eq!(explanation.replicas.iter().filter(|replica| held(replica)).count(), 2);
        cluster.pass(Duration::from_secs(1));
    }
    assert_eq!(cluster.object_writes, before, "asking changes nothing");
}

#[test]
fn a_key_that_was_never_put_is_missing_everywhere() {
    let mut cluster = Cluster::new(3, 3);
    let explanation = explain(&mut cluster, node(2), "k");
    assert_eq!(states(&explanation), [ReplicaState::Missing; 3]);
    assert!(explanation.agrees());
}

#[test]
fn a_damaged_row_is_unsure() {
    let mut cluster = Cluster::new(3, 3);
    cluster.put(node(1), "k", "milk", "");
    cluster.plant_row(node(2), &name("k"), Bytes::from_static(b"damage"));
    let explanation = explain(&mut cluster, node(1), "k");
    let damaged = explanation.replicas.iter().find(|replica| replica.node == node(2)).unwrap();
    assert_eq!(damaged.state, ReplicaState::Unsure);
    assert_eq!(explanation.behind().count(), 0);
}

#[test]
fn without_any_connection_a_node_still_tells_what_it_has() {
    let mut cluster = Cluster::new(3, 3);
    cluster.put(node(1), "k", "milk", "");
    cluster.isolate(node(1));
    let mut states = states(&explain(&mut cluster, node(1), "k"));
    states.sort();
    let unreachable = ReplicaState::Unreachable;
    assert_eq!(states, [ReplicaState::Present, unreachable, unreachable]);
}

#[test]
fn a_replica_that_is_silent_or_lost_midway_does_not_hold_up_the_answer() {
    let mut cluster = Cluster::new(3, 3);
    cluster.put(node(1), "k", "milk", "");
    cluster.cut_links.insert((node(2), node(1)));
    let request = || Request::Explain { name: name("k"), timeout_ms: None };
    let client = cluster.ask(node(1), request());
    assert_eq!(cluster.answer(client), None);
    cluster.pass(Duration::from_secs(1));
    let Some(Reply::Explanation(explanation)) = cluster.answer(client) else {
        panic!("a second is over");
    };
    let silent = explanation.replicas.iter().find(|replica| replica.node == node(2)).unwrap();
    assert_eq!(silent.state, ReplicaState::Unreachable);

    let client = cluster.ask(node(1), request());
    cluster.isolate(node(2));
    assert!(matches!(cluster.answer(client), Some(Reply::Explanation(_))));
}

#[test]
fn a_timeout_out_of_range_is_refused() {
    let mut cluster = Cluster::new(3, 3);
    let reply = cluster.request(node(1), Request::Explain { name: name("k"), timeout_ms: Some(0) });
    let invalid = Failure::Invalid {
        reason: Invalid::Option,
        detail: "timeout_ms is from 1 to 60000, not 0".into(),
    };
    assert_eq!(reply, Reply::Failed(invalid));
}
