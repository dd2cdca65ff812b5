//! What a client is told when attempts fail, clocks jump and records outgrow their limits.

use std::time::Duration;

use dynamo_messages::{
    Envelope, Failure, Invalid, Mutation, Options, PeerMessage, ReplicaWrite, Reply, Request,
};
use dynamo_protocol::Event;
use dynamo_types::{ActorId, ClusterId, Durability, RequestId};
use dynamo_versioning::{
    BodyDigest, ClientContext, Content, ContextKey, Dot, DotSet, Hlc, Record, Sibling,
};

use crate::cluster::{Cluster, name, node};

const HOUR: Duration = Duration::from_secs(3600);

fn stored(reply: Option<&Reply>) -> bool {
    matches!(reply, Some(Reply::Stored { .. }))
}

#[test]
fn history_26_the_answer_covers_all_attempts() {
    let mut cluster = Cluster::new(5, 3);
    let (replicas, others) = cluster.replicas_of("k");
    let (first, second, asked) = (replicas[0], replicas[1], others[0]);
    // The first coordinator stores the put, and is heard of no more.
    for to in (1..=5).map(node).filter(|to| *to != first) {
        cluster.cut_links.insert((first, to));
    }
    cluster.isolate(replicas[2]);
    let context = ClientContext { fastest: Some(first), ..ClientContext::default() };
    let context = context.seal(&ContextKey::derive(&[9; 32]), ClusterId(7), &name("k")).unwrap();
    let options = Options { strict: true, w: Some(2), ..Options::default() };
    let put = Mutation { options, ..cluster.mutation("k", Some("v"), &context) };
    let client = cluster.ask(asked, Request::Mutate(put));
    assert!(cluster.holds(first, "k"), "the first attempt was applied");
    assert_eq!(cluster.answer(client), None);
    cluster.isolate(first);
    // All that the second one sees is too few replicas, before it has applied anything.
    assert!(!cluster.holds(second, "k"));
    let reply = cluster.answer(client);
    let unknown = matches!(reply, Some(Reply::Failed(Failure::OutcomeUnknown { needed: 2, .. })));
    assert!(unknown, "{reply:?}");
    cluster.cut_links.clear();
    replicas.iter().for_each(|replica| cluster.rejoin(*replica));
    cluster.pass(Duration::from_secs(30));
    assert_eq!(cluster.get(asked, "k").0, ["v"], "it was applied after all");
}

/// Deadlines travel as the time that is left, and run on clocks that nobody sets.
#[test]
fn history_26_a_clock_that_jumps_drops_no_request() {
    let everybody: Vec<_> = (1..=5).map(node).collect();
    let only: Vec<_> = everybody.iter().map(|at| vec![*at]).collect();
    let but: Vec<Vec<_>> = everybody
        .iter()
        .map(|at| everybody.iter().copied().filter(|other| other != at).collect())
        .collect();
    for ahead in only.into_iter().chain(but) {
        let mut cluster = Cluster::new(5, 3);
        for at in &ahead {
            cluster.wall_ahead.insert(*at, HOUR);
        }
        for (at, key) in (1..=5).map(node).zip(["a", "b", "c", "d", "e"]) {
            let context = cluster.put(at, key, "old", "");
            cluster.put(at, key, "new", &context);
            assert_eq!(cluster.get(at, key).0, ["new"], "at {at} with {ahead:?} ahead");
            let delete = cluster.mutation(key, None, "");
            assert!(stored(Some(&cluster.request(at, Request::Mutate(delete)))));
            assert!(cluster.get(at, key).0.is_empty());
        }
        let refused: u64 =
            (1..=5).map(|at| cluster.counters(node(at)).requests_refused_overload).sum();
        assert_eq!(refused, 0);
    }
}

#[test]
fn history_26_a_clock_that_jumps_ends_no_request_that_waits() {
    let mut cluster = Cluster::new(3, 3);
    (1..=3).for_each(|at| {
        cluster.held_disks.insert(node(at));
    });
    let put = cluster.mutation("k", Some("v"), "");
    let client = cluster.ask(node(1), Request::Mutate(put));
    (1..=3).for_each(|at| {
        cluster.wall_ahead.insert(node(at), HOUR);
    });
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.answer(client), None, "it has two seconds");
    cluster.release_disks();
    assert!(stored(cluster.answer(client)));
    // And one that nobody answers ends when its two seconds are over, not an hour later.
    (1..=3).for_each(|at| {
        cluster.held_disks.insert(node(at));
    });
    let put = cluster.mutation("l", Some("v"), "");
    let client = cluster.ask(node(1), Request::Mutate(put));
    cluster.wall_ahead.clear();
    cluster.pass(Duration::from_millis(2_100));
    let reply = cluster.answer(client);
    assert!(matches!(reply, Some(Reply::Failed(Failure::OutcomeUnknown { .. }))), "{reply:?}");
}

/// A write as a replica sends it, of a version that it says nothing replaced.
fn write_of(counter: u64, content: Content) -> PeerMessage {
    let dot = Dot::new(ActorId(9), 2 * counter);
    let sibling = Sibling {
        dot,
        hlc: Hlc(counter),
        content,
        expires_at: None,
        request: RequestId((1_000_000 + counter).into()),
        digest: BodyDigest(1),
    };
    let context = DotSet::from_iter([dot]);
    PeerMessage::Write(ReplicaWrite {
        register: None,
        hint: None,
        operation: None,
        name: name("k"),
        pieces: vec![Record::from_parts(context, Hlc(counter), vec![sibling]).unwrap()],
        durability: Durability::Synced,
        remaining_ms: 1_000,
    })
}

#[test]
fn history_30_a_hundred_siblings_of_the_largest_size_heal_one_by_one() {
    const VALUE_BYTES_MAX: usize = 1024;
    let mut cluster = Cluster::new(3, 3);
    cluster.isolate(node(2));
    cluster.isolate(node(3));
    for counter in 1..=100 {
        let bytes = vec![u8::try_from(counter).unwrap(); VALUE_BYTES_MAX].into();
        let content = Content::Value { bytes, content_type: "text/plain".into() };
        let envelope = Envelope { hlc: Hlc::ZERO, message: write_of(counter, content) };
        cluster.event(node(1), Event::Received { from: node(2), envelope });
    }
    assert_eq!(cluster.stored(node(1), "k").siblings().len(), 100, "no cap applies to merges");

    // All together are more than a node lets wait, and far more than a put may have.
    cluster.rejoin(node(2));
    cluster.rejoin(node(3));
    cluster.pass(Duration::from_secs(60));
    for at in 1..=3 {
        let stored = cluster.stored(node(at), "k");
        assert_eq!(stored.siblings().len(), 100, "at node {at}");
        assert!(stored.siblings().iter().all(|s| s.value_bytes() >= VALUE_BYTES_MAX));
    }
    let longest = cluster.longest_message;
    assert!(longest < 50 * VALUE_BYTES_MAX, "a message of {longest} bytes");

    // Clients are told of the cap, and get out of it by merging.
    let (values, context) = cluster.get(node(3), "k");
    assert_eq!(values.len(), 100);
    let blind = cluster.mutation("k", Some("v"), "");
    let reply = cluster.request(node(2), Request::Mutate(blind));
    let capped =
        matches!(reply, Reply::Failed(Failure::Invalid { reason: Invalid::TooManySiblings, .. }));
    assert!(capped, "{reply:?}");
    cluster.put(node(2), "k", "merged", &context);
    cluster.pass(Duration::from_secs(30));
    for at in 1..=3 {
        assert_eq!(cluster.get(node(at), "k").0, ["merged"]);
    }
}

#[test]
fn history_30_a_value_over_the_limit_is_refused_and_taken_from_others() {
    let mut cluster = Cluster::new(3, 3);
    let large =
        || Content::Value { bytes: vec![7; 1025].into(), content_type: "text/plain".into() };
    let put = Mutation { content: large(), ..cluster.mutation("k", None, "") };
    let reply = cluster.request(node(1), Request::Mutate(put));
    let refused =
        matches!(reply, Reply::Failed(Failure::Invalid { reason: Invalid::ValueTooLarge, .. }));
    assert!(refused, "{reply:?}");
    assert!((1..=3).all(|at| !cluster.holds(node(at), "k")), "nothing was applied");
    // One that was put while the limit was higher is replicated, read and replaced as ever.
    let envelope = Envelope { hlc: Hlc::ZERO, message: write_of(1, large()) };
    cluster.event(node(1), Event::Received { from: node(2), envelope });
    cluster.pass(Duration::from_secs(30));
    let (values, context) = cluster.get(node(3), "k");
    assert_eq!(values.iter().map(bytes::Bytes::len).collect::<Vec<_>>(), [1025]);
    cluster.put(node(3), "k", "small", &context);
    assert_eq!(cluster.get(node(2), "k").0, ["small"]);
}
