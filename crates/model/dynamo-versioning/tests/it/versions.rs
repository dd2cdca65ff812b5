//! Puts, messages, collection and views, one rule at a time.

use dynamo_types::{ActorId, Reconciliation, RequestId, WallTime};
use dynamo_versioning::testing::{put, value};
use dynamo_versioning::{
    Applied, BodyDigest, Content, Dot, DotClock, DotMint, DotSet, Hlc, HybridClock, Put, Record,
    Sibling, StoredRecord, TooManySiblings, View, apply_put, collectable, drop_refused,
    receive_delayed, receive_state,
};

const WALL: WallTime = WallTime(1_000);

fn fresh() -> (StoredRecord, DotMint, HybridClock) {
    (StoredRecord::default(), DotMint::new(ActorId(1)), HybridClock::new())
}

fn apply(replica: &mut (StoredRecord, DotMint, HybridClock), put: Put) -> Applied {
    apply_put(&mut replica.0, &mut replica.1, &mut replica.2, WALL, put, 100).expect("few siblings")
}

fn blind(text: &'static str) -> Put {
    put(value(text), &DotSet::new(), Hlc::ZERO, 1)
}

fn sibling(actor: u64, counter: u64, content: Content, expires_at: Option<WallTime>) -> Sibling {
    Sibling {
        dot: Dot::new(ActorId(actor), counter),
        hlc: Hlc(counter),
        content,
        expires_at,
        request: RequestId(u128::from(actor) << 64 | u128::from(counter)),
        digest: BodyDigest(0),
    }
}

fn record(siblings: Vec<Sibling>) -> Record {
    let context = siblings.iter().map(|s| s.dot).collect();
    let hlc_max = siblings.iter().map(|s| s.hlc).max().unwrap_or_default();
    Record::from_parts(context, hlc_max, siblings).expect("all parts agree")
}

fn shown(record: &Record, reconciliation: Reconciliation) -> Vec<u64> {
    let view = View::of(record, reconciliation, WALL);
    assert_eq!(view.context, *record.context());
    view.visible.iter().map(|s| s.dot.counter).collect()
}

#[test]
fn a_put_beyond_the_sibling_limit_is_refused_and_changes_nothing() {
    let mut replica = fresh();
    apply(&mut replica, blind("one"));
    let seen = apply(&mut replica, blind("two")).reply_context;
    let (before, last, time) = (replica.0.clone(), replica.1.last(), replica.2.last());
    let (row, mint, clock) = (&mut replica.0, &mut replica.1, &mut replica.2);
    let refused = apply_put(row, mint, clock, WALL, blind("three"), 2).unwrap_err();
    assert_eq!(refused, TooManySiblings { held: 2, max: 2 });
    assert_eq!((row.clone(), mint.last(), clock.last()), (before, last, time));

    let replacing = put(value("three"), &seen, Hlc::ZERO, 2);
    assert!(apply_put(row, mint, clock, WALL, replacing, 1).is_ok(), "it replaces one");
    assert_eq!(row.record.siblings().len(), 2);
}

#[test]
fn where_the_newest_wins_a_put_replaces_all_that_is_held() {
    let mut replica = fresh();
    let unseen = apply(&mut replica, blind("unseen"));
    let newest = apply(&mut replica, Put { covers_all_held: true, ..blind("newest") });
    assert_eq!(replica.0.record.siblings().len(), 1);
    assert!(newest.write.covers(unseen.dot));
    assert!(newest.reply_context.contains(unseen.dot), "its next put replaces it elsewhere too");
    assert!(newest.reply_hlc > unseen.reply_hlc);
}

#[test]
fn a_fallback_gives_every_version_an_interval_of_its_own() {
    let mut replica = fresh();
    let at_fallback = |put: Put| Put { may_extend: false, ..put };
    let first = apply(&mut replica, at_fallback(blind("first")));
    replica.1.next();
    let seen = put(value("second"), &first.reply_context, Hlc::ZERO, 2);
    apply(&mut replica, at_fallback(seen));
    let intervals: Vec<_> = replica.0.record.context().intervals().collect();
    assert_eq!(intervals, [(ActorId(1), 0, 1), (ActorId(1), 2, 3)]);
    assert_eq!(replica.0.own, None);
}

#[test]
fn a_version_that_stands_alone_travels_with_the_whole_context() {
    let mut replica = fresh();
    let first = apply(&mut replica, blind("first"));
    let second = apply(&mut replica, put(value("second"), &first.reply_context, Hlc::ZERO, 2));
    assert_eq!(second.write, replica.0.record);
    let beside = apply(&mut replica, blind("beside"));
    assert_eq!(beside.write.dots().collect::<Vec<_>>(), [beside.dot]);
    assert!(!beside.write.covers(first.dot));
}

#[test]
fn state_merges_normally_only_if_the_sender_knows_all_that_was_collected() {
    let old = record(vec![sibling(1, 1, value("old"), None)]);
    let both: DotSet = [1, 2].map(|counter| Dot::new(ActorId(1), counter)).into_iter().collect();
    let mine = DotClock { dots: both.clone(), horizon: both.clone() };

    let behind = DotClock { dots: old.context().clone(), horizon: DotSet::new() };
    let mut row = StoredRecord::default();
    let received = receive_state(&mut row, &old, &mine, &behind);
    assert!(!received.changed && row.record.is_empty(), "it is as late as any hint");

    let level = DotClock { dots: both, horizon: DotSet::new() };
    let received = receive_state(&mut row, &old, &mine, &level);
    assert!(received.changed && row.record == old, "the sender has it still, so it lives");
}

#[test]
fn a_message_that_says_nothing_new_changes_nothing() {
    let mut replica = fresh();
    let first = apply(&mut replica, blind("first"));
    let second = apply(&mut replica, put(value("second"), &first.reply_context, Hlc::ZERO, 2));
    let before = replica.0.clone();
    let received = receive_delayed(&mut replica.0, &first.write, &DotClock::new());
    assert_eq!((received.changed, received.obsolete), (false, vec![first.dot]));
    let received = receive_delayed(&mut replica.0, &second.write, &DotClock::new());
    assert_eq!((received.changed, received.obsolete), (false, vec![]));
    assert_eq!(replica.0, before, "the own write is kept as well");
}

#[test]
fn a_refused_version_leaves_as_if_it_had_never_been_heard_of() {
    let mut replica = fresh();
    let first = apply(&mut replica, blind("first"));
    let refused = apply(&mut replica, put(value("second"), &first.reply_context, Hlc::ZERO, 2));
    let stays = apply(&mut replica, blind("stays"));
    assert!(!drop_refused(&mut replica.0, &[first.dot]), "it is no sibling");
    assert!(drop_refused(&mut replica.0, &[refused.dot]));
    assert_eq!(replica.0.record.dots().collect::<Vec<_>>(), [stays.dot]);
    assert!(!replica.0.record.covers(refused.dot));
    assert!(replica.0.record.covers(first.dot), "that was replaced, whatever replaced it");

    assert!(drop_refused(&mut replica.0, &[stays.dot]));
    assert_eq!(replica.0, StoredRecord::default(), "a row without versions knows nothing");
}

#[test]
fn only_what_is_dead_and_known_to_all_is_collected() {
    let cut = |counters: &[u64]| -> DotSet {
        counters.iter().map(|counter| Dot::new(ActorId(1), *counter)).collect()
    };
    let dead = record(vec![
        sibling(1, 1, Content::Tombstone, None),
        sibling(1, 2, value("expired"), Some(WALL)),
    ]);
    assert!(collectable(&dead, WALL, &cut(&[1, 2])));
    assert!(!collectable(&dead, WALL, &cut(&[1])), "a member may not know the second");
    assert!(!collectable(&dead, WallTime(WALL.0 - 1), &cut(&[1, 2])), "not expired yet");
    let alive = record(vec![sibling(1, 1, value("alive"), None)]);
    assert!(!collectable(&alive, WALL, &cut(&[1])));
}

#[test]
fn tombstones_and_expired_versions_are_hidden() {
    let mixed = record(vec![
        sibling(1, 1, Content::Tombstone, None),
        sibling(1, 2, value("alive"), Some(WallTime(WALL.0 + 1))),
        sibling(1, 3, value("expired"), Some(WALL)),
    ]);
    assert_eq!(shown(&mixed, Reconciliation::Siblings), [2]);
    let deleted = record(vec![sibling(1, 1, Content::Tombstone, None)]);
    assert!(shown(&deleted, Reconciliation::Siblings).is_empty());
    assert!(shown(&Record::new(), Reconciliation::Siblings).is_empty());
}

#[test]
fn the_last_write_wins_even_if_it_is_a_delete_or_has_expired() {
    let alive = sibling(1, 1, value("alive"), None);
    let newer =
        |content, expires_at| record(vec![alive.clone(), sibling(1, 2, content, expires_at)]);
    let shown = |record: &Record| shown(record, Reconciliation::LastWriteWins);
    assert_eq!(shown(&newer(value("newer"), None)), [2]);
    assert!(shown(&newer(Content::Tombstone, None)).is_empty());
    assert!(shown(&newer(value("expired"), Some(WALL))).is_empty());
    let mut same_time = sibling(2, 1, value("greater dot"), None);
    same_time.request = RequestId(9);
    let view = record(vec![alive.clone(), same_time]);
    let view = View::of(&view, Reconciliation::LastWriteWins, WALL);
    assert_eq!(view.visible[0].dot.actor, ActorId(2));
}

#[test]
fn a_body_digest_tells_content_type_value_expiry_and_context_apart() {
    let typed = |bytes: &'static str, content_type: &'static str| Content::Value {
        bytes: bytes.into(),
        content_type: content_type.into(),
    };
    let one: DotSet = [Dot::new(ActorId(1), 1)].into_iter().collect();
    let digests = [
        BodyDigest::of(&Content::Tombstone, None, &DotSet::new()),
        BodyDigest::of(&typed("", ""), None, &DotSet::new()),
        BodyDigest::of(&typed("ab", "c"), None, &DotSet::new()),
        BodyDigest::of(&typed("b", "ca"), None, &DotSet::new()),
        BodyDigest::of(&typed("ab", "c"), Some(WallTime(0)), &DotSet::new()),
        BodyDigest::of(&typed("ab", "c"), None, &one),
    ];
    for (place, digest) in digests.iter().enumerate() {
        assert_eq!(digests.iter().position(|other| other == digest), Some(place));
    }
}

/// Stored rows and the wire hold these bytes: a change of them needs a new format version.
#[test]
fn the_canonical_bytes_do_not_change_by_accident() {
    let replaced = Dot::new(ActorId(2), 1);
    let mut context: DotSet = [replaced].into_iter().collect();
    let mut alive = sibling(1, 300, value("cart"), Some(WallTime(5)));
    alive.digest = BodyDigest(0xd1);
    context.insert(alive.dot);
    let one = Record::from_parts(context.clone(), Hlc(400), vec![alive.clone()]).expect("agree");
    let deleted = sibling(3, 1, Content::Tombstone, None);
    context.insert(deleted.dot);
    let two = Record::from_parts(context, Hlc(400), vec![alive, deleted]).expect("agree");
    let hex = |record: &Record| -> String {
        record.encode().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let first_sibling = "0000000000000001ac02000000000000012c020000000000000005\
        0000000000000001000000000000012c000000000000000000000000000000d1000463617274";
    let one_bytes = "01 02 0000000000000001 01 ab02 01 0000000000000002 01 00 01 \
                     0000000000000190 01 00 "
        .to_owned()
        + first_sibling;
    assert_eq!(hex(&one), one_bytes.replace(' ', ""));
    let two_bytes = "01 03 0000000000000001 01 ab02 01 0000000000000002 01 00 01 \
                     0000000000000003 01 00 01 0000000000000190 02 01 "
        .to_owned()
        + first_sibling
        + " 01 0000000000000001 01 ab02 01 \
           0000000000000003 01 0000000000000001 01 00000000000000030000000000000001 \
           00000000000000000000000000000000 01 0000000000000003 01 00 01";
    assert_eq!(hex(&two), two_bytes.replace(' ', ""));
}
