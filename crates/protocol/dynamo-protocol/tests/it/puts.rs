//! Puts and deletes.

use std::time::Duration;

use dynamo_messages::{Failure, Invalid, Mutation, Reply, Request};

use crate::cluster::{Cluster, node};

fn stored(reply: &Reply) -> bool {
    matches!(reply, Reply::Stored { .. })
}

#[test]
fn a_put_is_answered_after_w_stores_ended_and_not_before() {
    let mut cluster = Cluster::new(3, 3);
    cluster.held_disks.extend([node(1), node(2), node(3)]);
    let mutation = cluster.mutation("k", Some("v"), "");
    let client = cluster.ask(node(1), Request::Mutate(mutation));
    assert_eq!(cluster.answer(client), None, "nothing is on a disk yet");
    cluster.release_disks();
    assert!(stored(cluster.answer(client).unwrap()));
}

#[test]
fn blind_put_and_stale_context_make_siblings_and_never_overwrite() {
    let mut cluster = Cluster::new(3, 3);
    let first = cluster.put(node(1), "k", "one", "");
    cluster.put(node(2), "k", "two", "");
    let (values, context) = cluster.get(node(3), "k");
    assert_eq!(values.len(), 2);
    cluster.put(node(3), "k", "three", &first);
    let (values, _) = cluster.get(node(1), "k");
    assert_eq!(values.len(), 2, "three replaced one, and two was not seen: {values:?}");
    cluster.put(node(1), "k", "four", &context);
    let (values, _) = cluster.get(node(2), "k");
    assert_eq!(values, ["four", "three"], "four replaced what its context saw");
}

#[test]
fn a_put_with_the_merged_context_leaves_one_version() {
    let mut cluster = Cluster::new(3, 3);
    cluster.put(node(1), "k", "one", "");
    cluster.put(node(2), "k", "two", "");
    let (_, context) = cluster.get(node(1), "k");
    cluster.put(node(2), "k", "both", &context);
    assert_eq!(cluster.get(node(3), "k").0, ["both"]);
}

#[test]
fn sibling_no_explosion_with_two_interleaved_writers() {
    let mut cluster = Cluster::new(3, 3);
    let (mut a, mut b) = (String::new(), String::new());
    for _ in 0..50 {
        a = cluster.put(node(1), "k", "a", &a);
        b = cluster.put(node(1), "k", "b", &b);
        assert!(cluster.get(node(2), "k").0.len() <= 2, "never more siblings than writers");
    }
}

#[test]
fn crossing_writes_of_one_key_both_survive_at_every_replica() {
    let mut cluster = Cluster::new(3, 3);
    cluster.held_disks.insert(node(3));
    cluster.put(node(1), "k", "one", "");
    cluster.put(node(2), "k", "two", "");
    cluster.release_disks();
    for at in 1..=3 {
        assert_eq!(cluster.stored(node(at), "k").siblings().len(), 2, "at node {at}");
    }
}

#[test]
fn too_few_replicas_known_before_are_a_certain_failure() {
    let mut cluster = Cluster::new(3, 3);
    cluster.isolate(node(2));
    cluster.isolate(node(3));
    let mutation = cluster.mutation("k", Some("v"), "");
    let reply = cluster.request(node(1), Request::Mutate(mutation));
    assert_eq!(reply, Reply::Failed(Failure::NotEnoughReplicas { reached: 1, needed: 2 }));
    assert!(!cluster.holds(node(1), "k"), "nothing is applied");
}

#[test]
fn timeout_is_unknown_not_failed() {
    let mut cluster = Cluster::new(3, 3);
    cluster.cut_links.extend([(node(1), node(2)), (node(1), node(3))]);
    let mutation = cluster.mutation("k", Some("v"), "");
    let client = cluster.ask(node(1), Request::Mutate(mutation));
    cluster.pass(Duration::from_secs(3));
    let unknown = Reply::Failed(Failure::OutcomeUnknown { reached: 1, needed: 2 });
    assert_eq!(cluster.answer(client), Some(&unknown));
}

#[test]
fn one_replica_of_three_may_be_gone() {
    let mut cluster = Cluster::new(3, 3);
    cluster.isolate(node(3));
    cluster.put(node(1), "k", "v", "");
    assert_eq!(cluster.get(node(2), "k").0, ["v"]);
}

#[test]
fn a_full_disk_everywhere_is_a_certain_failure() {
    let mut cluster = Cluster::new(3, 3);
    cluster.full_disks.extend([node(1), node(2), node(3)]);
    let mutation = cluster.mutation("k", Some("v"), "");
    let reply = cluster.request(node(1), Request::Mutate(mutation));
    assert_eq!(reply, Reply::Failed(Failure::StorageFull));
    cluster.full_disks.clear();
    cluster.put(node(1), "k", "again", "");
    assert_eq!(cluster.get(node(2), "k").0, ["again"]);
}

#[test]
fn a_put_survives_a_full_disk_at_its_coordinator() {
    let mut cluster = Cluster::new(3, 3);
    cluster.full_disks.insert(node(1));
    cluster.put(node(1), "k", "v", "");
    cluster.full_disks.clear();
    // The interval of the next put must not reach over the dot that was lost here.
    cluster.put(node(1), "k", "w", "");
    assert_eq!(cluster.get(node(2), "k").0, ["v", "w"]);
}

#[test]
fn put_forwarded_is_coordinated_once() {
    let mut cluster = Cluster::new(5, 3);
    let keys = ["a", "b", "c", "d", "e"];
    for (at, key) in (1..=5).zip(keys) {
        cluster.put(node(at), key, "v", "");
        let record = cluster.get(node(at), key).0;
        assert_eq!(record, ["v"], "one version of one put");
    }
    let coordinated: u64 = (1..=5).map(|at| cluster.counters(node(at)).puts_coordinated).sum();
    assert_eq!(coordinated, 5);
    let forwarded: u64 = (1..=5).map(|at| cluster.counters(node(at)).puts_forwarded).sum();
    assert!(forwarded > 0, "some node holds no replica of its key");
}

#[test]
fn a_silent_coordinator_is_passed_over() {
    let mut cluster = Cluster::new(5, 3);
    cluster.put(node(1), "k", "v", "");
    let outside = (1..=5).map(node).find(|at| !cluster.holds(*at, "k")).unwrap();
    let mutation = cluster.mutation("k", Some("w"), "");
    let replicas: Vec<_> = (1..=5).map(node).filter(|at| cluster.holds(*at, "k")).collect();
    // Whoever is tried first does not hear of it.
    cluster.cut_links.insert((outside, replicas[0]));
    let client = cluster.ask(outside, Request::Mutate(mutation));
    cluster.pass(Duration::from_millis(1_200));
    assert!(stored(cluster.answer(client).expect("another replica coordinated")));
}

#[test]
fn history_09_a_retry_after_its_version_was_replaced_brings_nothing_back() {
    let mut cluster = Cluster::new(3, 3);
    let first = cluster.mutation("k", Some("old"), "");
    assert!(stored(&cluster.request(node(1), Request::Mutate(first.clone()))));
    let (_, context) = cluster.get(node(2), "k");
    cluster.put(node(2), "k", "new", &context);
    for at in 1..=3 {
        let retry = Mutation { retry: true, ..first.clone() };
        assert!(stored(&cluster.request(node(at), Request::Mutate(retry))));
        assert_eq!(cluster.get(node(at), "k").0, ["new"], "after a retry at node {at}");
    }
}

#[test]
fn a_retry_sends_the_version_that_exists_again() {
    let mut cluster = Cluster::new(3, 3);
    let first = cluster.mutation("k", Some("v"), "");
    cluster.request(node(1), Request::Mutate(first.clone()));
    let retry = Mutation { retry: true, ..first };
    cluster.request(node(2), Request::Mutate(retry));
    assert_eq!(cluster.stored(node(3), "k").siblings().len(), 1);
}

#[test]
fn the_same_request_id_with_another_body_is_refused() {
    let mut cluster = Cluster::new(3, 3);
    let first = cluster.mutation("k", Some("v"), "");
    cluster.request(node(1), Request::Mutate(first.clone()));
    let other = cluster.mutation("k", Some("w"), "");
    let reused = Mutation { retry: true, request: first.request, ..other };
    let reply = cluster.request(node(2), Request::Mutate(reused));
    let refused =
        matches!(reply, Reply::Failed(Failure::Invalid { reason: Invalid::RequestIdReused, .. }));
    assert!(refused, "{reply:?}");
}

#[test]
fn history_25_a_delete_without_context_covers_what_a_get_sees() {
    let mut cluster = Cluster::new(5, 3);
    cluster.put(node(1), "k", "v", "");
    for at in 1..=5 {
        let delete = cluster.mutation("k", None, "");
        assert!(stored(&cluster.request(node(at), Request::Mutate(delete))));
        assert_eq!(cluster.get(node(at), "k").0.len(), 0);
        cluster.put(node(at), "k", "again", "");
    }
}

/// Whoever coordinates it may itself have nothing: a replica that missed the put, or a fallback.
#[test]
fn history_25_a_delete_without_context_deletes_what_its_coordinator_has_not() {
    let mut cluster = Cluster::new(5, 3);
    let (replicas, fallbacks) = cluster.replicas_of("k");
    let [had, has, missed] = replicas[..] else { panic!("three replicas") };
    cluster.cut_links.extend(fallbacks.iter().map(|fallback| (*fallback, missed)));
    cluster.isolate(missed);
    cluster.put(has, "k", "v", "");
    cluster.rejoin(missed);
    cluster.isolate(had);
    assert!(!cluster.holds(missed, "k") && cluster.holds(has, "k"));
    let delete = cluster.mutation("k", None, "");
    assert!(stored(&cluster.request(missed, Request::Mutate(delete))));
    cluster.cut_links.clear();
    cluster.rejoin(had);
    cluster.pass(Duration::from_secs(60));
    for at in (1..=5).map(node) {
        assert!(cluster.get(at, "k").0.is_empty(), "at {at}");
    }

    let context = cluster.put(has, "k", "w", "");
    replicas.iter().for_each(|replica| cluster.isolate(*replica));
    let delete = cluster.mutation("k", None, "");
    let client = cluster.ask(fallbacks[0], Request::Mutate(delete));
    cluster.pass(Duration::from_secs(3));
    let reply = cluster.answer(client);
    let failed = matches!(reply, Some(Reply::Failed(Failure::NotEnoughReplicas { .. })));
    assert!(failed, "a fallback that knows nothing deletes nothing: {reply:?}");
    // With what was seen, it does: the tombstone says what it replaces.
    let delete = cluster.mutation("k", None, &context);
    assert!(stored(&cluster.request(fallbacks[0], Request::Mutate(delete))));
    replicas.iter().for_each(|replica| cluster.rejoin(*replica));
    cluster.pass(Duration::from_secs(60));
    assert!(cluster.get(has, "k").0.is_empty());
}

#[test]
fn a_delete_without_context_that_cannot_read_applies_nothing() {
    let mut cluster = Cluster::new(3, 3);
    cluster.put(node(1), "k", "v", "");
    cluster.cut_links.extend([(node(1), node(2)), (node(1), node(3))]);
    let delete = cluster.mutation("k", None, "");
    let client = cluster.ask(node(1), Request::Mutate(delete));
    cluster.pass(Duration::from_secs(3));
    let failed = Reply::Failed(Failure::NotEnoughReplicas { reached: 1, needed: 2 });
    assert_eq!(cluster.answer(client), Some(&failed));
    assert_eq!(cluster.stored(node(1), "k").siblings().len(), 1);
    assert!(!cluster.stored(node(1), "k").siblings()[0].is_tombstone());
}

#[test]
fn sibling_cap_refuses_a_blind_put_and_lets_a_merge_through() {
    let mut cluster = Cluster::new(3, 3);
    for _ in 0..4 {
        cluster.put(node(1), "k", "v", "");
    }
    let blind = cluster.mutation("k", Some("v"), "");
    let reply = cluster.request(node(1), Request::Mutate(blind));
    let refused =
        matches!(reply, Reply::Failed(Failure::Invalid { reason: Invalid::TooManySiblings, .. }));
    assert!(refused, "{reply:?}");
    let (_, context) = cluster.get(node(1), "k");
    cluster.put(node(1), "k", "merged", &context);
    assert_eq!(cluster.get(node(1), "k").0, ["merged"]);
}

#[test]
fn a_context_of_another_key_is_refused() {
    let mut cluster = Cluster::new(3, 3);
    let context = cluster.put(node(1), "k", "v", "");
    for bad in [context.as_str(), "garbage!", "AAAA"] {
        let mutation = cluster.mutation("other", Some("v"), bad);
        let reply = cluster.request(node(1), Request::Mutate(mutation));
        let refused =
            matches!(reply, Reply::Failed(Failure::Invalid { reason: Invalid::Context, .. }));
        assert!(refused, "{bad:?} gave {reply:?}");
    }
    assert!(!cluster.holds(node(1), "other"));
}
