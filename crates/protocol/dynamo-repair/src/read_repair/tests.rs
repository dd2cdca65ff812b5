//! What each replica is sent, and that it then holds what it should.

use alloc::vec;

use bytes::Bytes;
use dynamo_types::{ActorId, Bucket, Key, RequestId};
use dynamo_versioning::{BodyDigest, Content, DotSet, Hlc, Sibling};

use super::*;

fn name() -> ObjectName {
    ObjectName { bucket: Bucket::new("b").unwrap(), key: Key::new("k").unwrap() }
}

/// A record that knows of an actor's versions up to `seen` and holds some of them.
fn record(seen: &[(u64, u64)], held: &[(u64, u64)]) -> Record {
    let mut context = DotSet::new();
    for (actor, last) in seen {
        context.insert_interval(ActorId(*actor), 0, *last);
    }
    let siblings = held.iter().map(|(actor, counter)| Sibling {
        dot: Dot::new(ActorId(*actor), *counter),
        hlc: Hlc(1),
        content: Content::Value { bytes: Bytes::from_static(b"v"), content_type: Bytes::new() },
        expires_at: None,
        request: RequestId(1),
        digest: BodyDigest(1),
    });
    Record::from_parts(context, Hlc(1), siblings.collect()).unwrap()
}

fn healed(held: &Record, merged: &Record, without_value: &[Dot]) -> Record {
    let answers = [(NodeId(1), held.clone())];
    let mut repair = ReadRepair::new();
    let writes = repair.plan(Instant::ZERO, &name(), merged, &answers, without_value);
    let mut after = held.clone();
    for piece in writes.iter().flat_map(|write| &write.pieces) {
        after.merge(piece);
    }
    after
}

#[test]
fn whoever_lacks_a_version_comes_to_hold_it() {
    let merged = record(&[(1, 2), (2, 3)], &[(1, 2), (2, 3)]);
    for held in [Record::new(), record(&[(1, 2)], &[(1, 2)]), record(&[(1, 1)], &[(1, 1)])] {
        assert!(healed(&held, &merged, &[]).same_versions(&merged), "from {held:?}");
    }
}

#[test]
fn whoever_still_holds_a_replaced_version_loses_it() {
    let merged = record(&[(1, 2)], &[(1, 2)]);
    let held = {
        let mut both = record(&[(1, 1)], &[(1, 1)]);
        both.merge(
            &Record::from_parts(
                {
                    let mut context = DotSet::new();
                    context.insert(Dot::new(ActorId(1), 2));
                    context
                },
                Hlc(1),
                merged.siblings().to_vec(),
            )
            .unwrap(),
        );
        both
    };
    assert_eq!(held.siblings().len(), 2);
    assert!(healed(&held, &merged, &[]).same_versions(&merged));
}

#[test]
fn equal_replicas_are_sent_nothing() {
    let merged = record(&[(1, 2)], &[(1, 2)]);
    let answers = [(NodeId(1), merged.clone()), (NodeId(2), merged.clone())];
    assert_eq!(ReadRepair::new().plan(Instant::ZERO, &name(), &merged, &answers, &[]), vec![]);
}

#[test]
fn a_version_whose_value_is_not_at_hand_is_not_sent() {
    let merged = record(&[(1, 2)], &[(1, 2)]);
    let answers = [(NodeId(1), Record::new())];
    let bare = [Dot::new(ActorId(1), 2)];
    assert_eq!(ReadRepair::new().plan(Instant::ZERO, &name(), &merged, &answers, &bare), vec![]);
}

#[test]
fn the_same_replica_is_sent_the_same_key_once_a_second() {
    let merged = record(&[(1, 2)], &[(1, 2)]);
    let answers = [(NodeId(1), Record::new())];
    let mut repair = ReadRepair::new();
    let at = |ms: u64| Instant(ms * 1_000_000);
    let mut writes = |ms| repair.plan(at(ms), &name(), &merged, &answers, &[]).len();
    assert_eq!([writes(0), writes(500), writes(1_001)], [1, 0, 1]);
}
