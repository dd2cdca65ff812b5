//! Listings: order, merging, going on where the replicas stopped.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_messages::OperationId;
use dynamo_types::{ActorId, RequestId};
use dynamo_versioning::{BodyDigest, Content, Dot, DotSet, Hlc, Sibling};

use super::*;

fn bucket() -> Bucket {
    Bucket::new("b").unwrap()
}

fn list(partitions: u16, limit: u32) -> List {
    let replicas = vec![NodeId(1), NodeId(2), NodeId(3)];
    List::new(ListPlan {
        bucket: bucket(),
        reconciliation: Reconciliation::Siblings,
        after: None,
        partitions: (0..partitions).map(|p| (PartitionId(p), replicas.clone())).collect(),
        needed: 2,
        limit,
        wall: WallTime(1),
        deadline: Instant(1_000),
    })
}

fn key(name: &'static str, counter: u64, deleted: bool) -> ScannedKey {
    let dot = Dot::new(ActorId(1), counter);
    let mut context = DotSet::new();
    context.insert_interval(ActorId(1), 0, counter);
    let content = if deleted {
        Content::Tombstone
    } else {
        Content::Value { bytes: Bytes::new(), content_type: Bytes::new() }
    };
    let sibling = Sibling {
        dot,
        hlc: Hlc(1),
        content,
        expires_at: None,
        request: RequestId(1),
        digest: BodyDigest(1),
    };
    ScannedKey {
        key: Key::new(name).unwrap(),
        record: Record::from_parts(context, Hlc(1), vec![sibling]).unwrap(),
    }
}

fn reply(keys: Vec<ScannedKey>, reached: Option<Place>) -> ReplicaScanReply {
    ReplicaScanReply { operation: OperationId(0), keys, reached, complete: true }
}

fn effects(list: &mut List) -> Vec<ListEffect> {
    core::iter::from_fn(|| list.poll_effect()).collect()
}

#[test]
fn a_key_is_shown_if_a_get_would_find_something() {
    let mut list = list(1, 10);
    effects(&mut list);
    let first = vec![key("stale", 1, false), key("alive", 1, false)];
    let second = vec![key("stale", 2, true), key("alive", 1, false)];
    list.answered(NodeId(1), PartitionId(0), reply(first, None));
    list.answered(NodeId(2), PartitionId(0), reply(second, None));
    let keys = vec![Key::new("alive").unwrap()];
    assert_eq!(effects(&mut list), [ListEffect::Page { keys, more: false }]);
}

#[test]
fn partitions_are_asked_side_by_side_and_told_in_order() {
    let mut list = list(2, 10);
    assert_eq!(effects(&mut list).len(), 4, "two replicas of two partitions");
    for node in [1, 2] {
        let keys = vec![key("second", 1, false)];
        list.answered(NodeId(node), PartitionId(1), reply(keys, None));
    }
    assert_eq!(effects(&mut list), []);
    for node in [1, 2] {
        let keys = vec![key("first", 1, false)];
        list.answered(NodeId(node), PartitionId(0), reply(keys, None));
    }
    let keys = vec![Key::new("first").unwrap(), Key::new("second").unwrap()];
    assert_eq!(effects(&mut list), [ListEffect::Page { keys, more: false }]);
}

#[test]
fn replicas_that_stopped_early_are_asked_again_from_there() {
    let mut list = list(1, 10);
    effects(&mut list);
    let stop = Key::new("stop").unwrap();
    let place = (Position::of(&bucket(), &stop), stop);
    for node in [1, 2] {
        let keys = vec![key("stop", 1, false)];
        list.answered(NodeId(node), PartitionId(0), reply(keys, Some(place.clone())));
    }
    let again = effects(&mut list);
    assert_eq!(again.len(), 2);
    assert!(
        again
            .iter()
            .all(|effect| matches!(effect, ListEffect::Ask { after: Some(p), .. } if *p == place))
    );
}

#[test]
fn a_full_page_says_that_more_may_follow() {
    let mut list = list(1, 1);
    effects(&mut list);
    for node in [1, 2] {
        let keys = vec![key("x", 1, false), key("y", 1, false)];
        list.answered(NodeId(node), PartitionId(0), reply(keys, None));
    }
    assert!(
        matches!(&effects(&mut list)[..], [ListEffect::Page { keys, more: true }] if keys.len() == 1)
    );
}

#[test]
fn a_lost_replica_is_replaced_and_without_a_quorum_the_listing_fails() {
    let mut list = list(1, 10);
    effects(&mut list);
    list.lost(NodeId(1));
    assert!(matches!(effects(&mut list)[..], [ListEffect::Ask { node: NodeId(3), .. }]));
    list.lost(NodeId(2));
    assert_eq!(effects(&mut list), [ListEffect::Failed { reached: 0, needed: 2 }]);
}

#[test]
fn the_deadline_gives_what_is_known_if_that_is_a_key_to_go_on_after() {
    let mut list = list(20, 10);
    effects(&mut list);
    for node in [1, 2] {
        let keys = vec![key("x", 1, false)];
        list.answered(NodeId(node), PartitionId(0), reply(keys, None));
    }
    effects(&mut list);
    list.handle_timeout(Instant(1_000));
    assert!(
        matches!(&effects(&mut list)[..], [ListEffect::Page { keys, more: true }] if keys.len() == 1)
    );
}
