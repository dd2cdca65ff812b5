//! Puts that were made before: what is sent again, and what their clients are told.

use std::time::Duration;

use dynamo_messages::{Failure, Mutation, Reply, Request};
use dynamo_types::{ActorId, ClusterId};
use dynamo_versioning::{ClientContext, ContextKey, Dot, DotSet, Hlc, Sibling};

use crate::cluster::{Cluster, name, node};

#[test]
fn a_put_with_contexts_that_fill_their_limit_may_be_sent_again() {
    let mut cluster = Cluster::new(3, 3);
    // Each context nearly fills 4 KiB; what they say together cannot be given back.
    let contexts = (0..4u64).map(|place| {
        let actors = (1..=200).map(|number| ActorId(1_000 * place + number));
        let dots: DotSet = actors.map(|actor| Dot::new(actor, 1 << 20)).collect();
        let context = ClientContext { dots, hlc_max: Hlc(1), fastest: None };
        context.seal(&ContextKey::derive(&[9; 32]), ClusterId(7), &name("k")).unwrap()
    });
    let first = Mutation { contexts: contexts.collect(), ..cluster.mutation("k", Some("v"), "") };
    let reply = cluster.request(node(1), Request::Mutate(first.clone()));
    assert!(matches!(reply, Reply::Stored { .. }), "{reply:?}");
    let retry = Request::Mutate(Mutation { retry: true, ..first });
    let Reply::Stored { context, .. } = cluster.request(node(2), retry) else {
        panic!("the retry was not stored");
    };
    cluster.put(node(3), "k", "next", &context);
    assert_eq!(cluster.get(node(1), "k").0, ["next"], "the context covers the version itself");
}

#[test]
fn what_an_earlier_attempt_applied_is_never_called_refused() {
    let mut cluster = Cluster::new(3, 3);
    let first = cluster.mutation("k", Some("v"), "");
    cluster.isolate(node(3));
    let reply = cluster.request(node(1), Request::Mutate(first.clone()));
    assert!(matches!(reply, Reply::Stored { .. }), "{reply:?}");
    // Those who have it take no more writes, and the third never stores it.
    cluster.failing_disks.extend([node(1), node(2)]);
    let other = cluster.mutation("l", Some("v"), "");
    cluster.ask(node(1), Request::Mutate(other));
    cluster.rejoin(node(3));
    cluster.full_disks.insert(node(3));
    let retry = Mutation { retry: true, ..first };
    let client = cluster.ask(node(3), Request::Mutate(retry));
    let unknown =
        matches!(cluster.answer(client), Some(Reply::Failed(Failure::OutcomeUnknown { .. })));
    assert!(unknown, "{:?}", cluster.answer(client));
}

#[test]
fn history_09_a_put_that_waits_for_a_slow_disk_is_not_made_after_a_retry_was() {
    let mut cluster = Cluster::new(5, 3);
    cluster.put(node(1), "k", "before", "");
    let (replicas, outside): (Vec<_>, Vec<_>) =
        (1..=5).map(node).partition(|at| cluster.holds(*at, "k"));
    let slow = replicas[0];
    let seen = ClientContext { fastest: Some(slow), ..ClientContext::default() };
    let seen = seen.seal(&ContextKey::derive(&[9; 32]), ClusterId(7), &name("k")).unwrap();
    cluster.held_loads.insert(slow);
    let put = cluster.mutation("k", Some("v"), &seen);
    let client = cluster.ask(outside[0], Request::Mutate(put));
    cluster.pass(Duration::from_millis(800));
    assert!(matches!(cluster.answer(client), Some(Reply::Stored { .. })), "another one made it");
    let delete = cluster.mutation("k", None, "");
    let delete = cluster.ask(replicas[1], Request::Mutate(delete));
    assert!(matches!(cluster.answer(delete), Some(Reply::Stored { .. })));
    cluster.release_loads();
    for at in replicas {
        let stored = cluster.stored(at, "k");
        assert!(stored.siblings().iter().all(Sibling::is_tombstone), "at {at}: {stored:?}");
    }
}
