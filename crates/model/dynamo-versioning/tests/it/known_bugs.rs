//! Bugs that happened in other systems of this kind, by the names that they are known under.

use dynamo_types::{ActorId, Reconciliation, WallTime};
use dynamo_versioning::testing::{put as request, value};
use dynamo_versioning::{
    ClientContext, Content, DotClock, DotMint, DotSet, Hlc, HybridClock, Put, Record, StoredRecord,
    View, apply_put, receive_delayed,
};

use crate::model::left_out::LeftOut;
use crate::model::script::Step::*;
use crate::scripts::{BLIND, DELETE, KEY, NEXT, everywhere, holds, needs, put, read, script};

/// The coordinator lost what it had of the key, and a client that has seen nothing writes through
/// it. Its version must not get a name that the others know as replaced.
#[test]
fn dot_reuse_lost_clock() {
    let written = [put(0, BLIND), put(0, NEXT), DeliverAll { to: 1 }, DeliverAll { to: 2 }];
    let amnesia = [LoseSilently { key: KEY, both: true, at: 0 }, put(0, BLIND)];
    holds(&script(&[&written, &amnesia]));
    // The same with a process that starts anew, and would begin to count again.
    let started_anew = [Crash { node: 0 }, put(0, BLIND)];
    needs(LeftOut::ActorReusedAfterRestart, &script(&[&written, &started_anew]), "used twice");
}

/// After that loss a fallback hands over an old version, from which the coordinator would rebuild
/// an old idea of its own numbers.
#[test]
fn dot_reuse_stale_fallback() {
    let history = script(&[
        &[put(0, BLIND), put(1, NEXT), Divert { message: 2, fallback: 0, acknowledging: true }],
        &[put(0, NEXT), DeliverAll { to: 1 }, DeliverAll { to: 2 }],
        &[LoseSilently { key: KEY, both: true, at: 0 }, Crash { node: 0 }],
        &[OfferHints { fallback: 0 }, put(0, BLIND), read(&[0, 1, 2])],
    ]);
    holds(&history);
    needs(LeftOut::ActorReusedAfterRestart, &history, "used twice");
}

/// The row comes back to the coordinator by a merge on the replica path, with some of its own
/// versions in it and not the last. Its next put must not claim that one.
#[test]
fn dot_reuse_on_replica_path() {
    let history = script(&[
        &[put(0, BLIND), Divert { message: 0, fallback: 0, acknowledging: true }],
        &[put(0, BLIND), Divert { message: 1, fallback: 1, acknowledging: true }],
        &[DropAll { to: 1 }, DropAll { to: 2 }, LoseSilently { key: KEY, both: false, at: 0 }],
        // Another coordinator's put brings the first version back; staggered hand-offs follow.
        &[OfferHints { fallback: 0 }, put(1, NEXT), DeliverAll { to: 0 }],
        &[put(0, NEXT), DeliverAll { to: 2 }, OfferHints { fallback: 1 }, read(&[0, 1, 2])],
    ]);
    holds(&history);
}

/// A tombstone was collected everywhere and the key written again; then a fallback hands over the
/// tombstone.
#[test]
fn doomstone_fallback_handoff() {
    let history = script(&[
        &everywhere(),
        &[put(0, DELETE), Divert { message: 0, fallback: 0, acknowledging: true }],
        &[DropAll { to: 2 }, ExchangeEverywhere, CollectEverywhere],
        &[put(1, BLIND), DeliverAll { to: 0 }, DeliverAll { to: 2 }],
        &[OfferHints { fallback: 0 }, read(&[1]), HearOfHints { fallback: 0 }],
    ]);
    holds(&history);
}

/// The same with a replica that was down when the key was written again.
#[test]
fn doomstone_crashed_primary() {
    let history = script(&[
        &everywhere(),
        &[put(0, DELETE), Divert { message: 1, fallback: 0, acknowledging: true }],
        &[DropAll { to: 1 }, ExchangeEverywhere, CollectEverywhere],
        &[Crash { node: 2 }, put(0, BLIND), DropAll { to: 2 }, DeliverAll { to: 1 }],
        &[OfferHints { fallback: 0 }, Exchange { a: 2, b: 0 }, read(&[2])],
    ]);
    holds(&history);
}

/// Two processes never share an actor, whatever happens to a node's disk and process.
#[test]
fn actor_id_unique() {
    let starts = [put(0, BLIND), Crash { node: 0 }, put(0, BLIND), DeliverAll { to: 1 }];
    needs(LeftOut::ActorReusedAfterRestart, &script(&[&starts]), "used twice");
}

/// No context, an old one or that of something else: the version becomes a sibling.
#[test]
fn blind_put_and_stale_context() {
    let mut row = StoredRecord::default();
    let (mut mint, mut clock) = (DotMint::new(ActorId(1)), HybridClock::new());
    let mut write = |context: &DotSet| {
        let put = request(value("v"), context, Hlc::ZERO, 1);
        apply_put(&mut row, &mut mint, &mut clock, WallTime(1), put, 100).expect("few siblings")
    };
    let first = write(&DotSet::new());
    let second = write(&first.reply_context);
    let with_old = write(&first.reply_context);
    let blind = write(&DotSet::new());
    let mut foreign = DotSet::new();
    foreign.insert_interval(ActorId(9), 0, 5);
    let with_foreign = write(&foreign);
    let kept = [second.dot, with_old.dot, blind.dot, with_foreign.dot];
    assert_eq!(row.record.dots().collect::<Vec<_>>(), kept);
}

/// A context that is cut down to fit claims less; what its put then leaves as a sibling, a replica
/// that knows better drops, and nothing is lost.
#[test]
fn context_truncated() {
    let mut replica = (StoredRecord::default(), HybridClock::new());
    let mut mints: Vec<DotMint> =
        (1..400).map(|actor| DotMint::new(ActorId(actor << 32))).collect();
    let mut apply = |mint: &mut DotMint, context: &DotSet| {
        let put = request(value("v"), context, Hlc::ZERO, 1);
        let (row, clock) = &mut replica;
        apply_put(row, mint, clock, WallTime(1), put, 1_000).expect("few siblings")
    };
    let mut context = DotSet::new();
    for mint in &mut mints {
        context = apply(mint, &context).reply_context;
    }
    let last = mints.last_mut().expect("there are some");
    let newest = apply(last, &context);
    let given = ClientContext::of_put(&newest, None);
    assert!(given.dots.interval_count() < newest.reply_context.interval_count(), "it did not fit");
    let next = apply(last, &given.dots);
    // A replica that heard of nothing since the middle of the chain.
    let mut behind = StoredRecord::default();
    receive_delayed(&mut behind, &newest.write, &DotClock::new());
    receive_delayed(&mut behind, &next.write, &DotClock::new());
    assert_eq!(behind.record.dots().collect::<Vec<_>>(), [next.dot]);
}

/// A tombstone goes when every member has it, and not before: member 2 has reported nothing.
#[test]
fn zombie_gc_before_all_saw() {
    let history = script(&[
        &everywhere(),
        &[put(0, DELETE), DropAll { to: 2 }, DeliverAll { to: 1 }],
        &[Checkpoint { at: 0 }, Checkpoint { at: 1 }],
        &[Report { from: 1, to: 0 }, Report { from: 0, to: 1 }],
        &[Collect { at: 0 }, Collect { at: 1 }],
    ]);
    needs(LeftOut::CutWithoutReport, &history, "is back");
}

/// What was sent before a delete and arrives after its collection carries the clock of when it was
/// sent, so that no repair counts that has not begun and ended since.
#[test]
fn zombie_repair_window() {
    let history = script(&[
        &everywhere(),
        &[SendState { key: KEY, from: 1, to: 2 }, put(0, DELETE)],
        &[Exchange { a: 0, b: 1 }, Exchange { a: 0, b: 2 }, DropAll { to: 1 }],
        &[CollectEverywhere, Deliver { message: 0, again: false, fails: false }, read(&[2])],
    ]);
    needs(LeftOut::StateClockTakenLater, &history, "after its delete was collected");
}

/// A hint that was stored before the delete replays after the tombstone is gone.
#[test]
fn zombie_hint_older_than_gc() {
    let history = script(&[
        &[put(0, BLIND), Divert { message: 0, fallback: 0, acknowledging: true }],
        &[DropAll { to: 2 }, ExchangeEverywhere, put(0, DELETE), ExchangeEverywhere],
        &[CollectEverywhere, OfferHints { fallback: 0 }, read(&[1])],
    ]);
    needs(LeftOut::HorizonNotKept, &history, "is given again what it collected");
}

/// One replica has the value, one the value and its delete, one nothing, and the last leads the
/// repair.
#[test]
fn zombie_mixed_replicas() {
    let history = script(&[
        &[put(0, BLIND), DeliverAll { to: 1 }, DropAll { to: 2 }],
        &[put(1, DELETE), DropAll { to: 0 }, DropAll { to: 2 }],
        &[Exchange { a: 2, b: 0 }, Exchange { a: 2, b: 1 }, Exchange { a: 2, b: 0 }],
        &[CollectEverywhere, ExchangeEverywhere, CollectEverywhere, read(&[0]), read(&[2])],
    ]);
    holds(&history);
}

/// A delete whose coordinator's clock is behind that of the value still deletes it, also where the
/// newest wins.
#[test]
fn delete_with_future_clock() {
    let mut ahead = (StoredRecord::default(), DotMint::new(ActorId(1)), HybridClock::new());
    let mut behind = (StoredRecord::default(), DotMint::new(ActorId(2)), HybridClock::new());
    let apply = |at: &mut (StoredRecord, DotMint, HybridClock), wall, put: Put| {
        let (row, mint, clock) = at;
        apply_put(row, mint, clock, WallTime(wall), put, 100).expect("few siblings")
    };
    let written =
        apply(&mut ahead, 3_600_000_000, request(value("v"), &DotSet::new(), Hlc::ZERO, 1));
    let context = (&written.reply_context, written.reply_hlc);
    let delete = apply(&mut behind, 1, request(Content::Tombstone, context.0, context.1, 2));
    receive_delayed(&mut ahead.0, &delete.write, &DotClock::new());
    let shown = |record: &Record, reconciliation| {
        View::of(record, reconciliation, WallTime(1)).visible.len()
    };
    assert_eq!(shown(&ahead.0.record, Reconciliation::LastWriteWins), 0);
    assert_eq!(shown(&ahead.0.record, Reconciliation::Siblings), 0);
}

/// The latest moment that can be named is never over before it comes.
#[test]
fn ttl_overflow() {
    let lasting = Put {
        expires_at: Some(WallTime(u64::MAX)),
        ..request(value("v"), &DotSet::new(), Hlc::ZERO, 1)
    };
    let mut row = StoredRecord::default();
    let (mut mint, mut clock) = (DotMint::new(ActorId(1)), HybridClock::new());
    apply_put(&mut row, &mut mint, &mut clock, WallTime(1), lasting, 100).expect("few siblings");
    let shown =
        |wall| View::of(&row.record, Reconciliation::Siblings, WallTime(wall)).visible.len();
    assert_eq!((shown(1), shown(u64::MAX - 1), shown(u64::MAX)), (1, 1, 0));
}
