//! Gets: who is asked, when the client is told, who is named as behind.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::{ActorId, RequestId};
use dynamo_versioning::{BodyDigest, Content, DotSet, Hlc, Sibling};

use super::*;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

fn plan(needed: u8, at_once: u8) -> GetPlan {
    GetPlan {
        replicas: vec![A, B, C],
        fallbacks: Vec::new(),
        needed,
        at_once,
        hedge_delay: Duration::from_millis(5),
        stand_in_at: Instant(500_000_000),
        deadline: Instant(2_000_000_000),
        repair_wait: Duration::from_millis(100),
    }
}

fn get(needed: u8) -> Get {
    Get::new(plan(needed, needed), Instant::ZERO)
}

/// A record with these versions of one actor, which knows of all versions up to the last.
fn record(counters: &[u64], value: &'static [u8]) -> Record {
    let mut context = DotSet::new();
    context.insert_interval(ActorId(9), 0, *counters.last().expect("a version"));
    let siblings = counters.iter().map(|counter| Sibling {
        dot: Dot::new(ActorId(9), *counter),
        hlc: Hlc(*counter),
        content: Content::Value { bytes: Bytes::from_static(value), content_type: Bytes::new() },
        expires_at: None,
        request: RequestId(u128::from(*counter)),
        digest: BodyDigest(0),
    });
    Record::from_parts(context, Hlc(9), siblings.collect()).expect("a sound record")
}

fn whole(record: Record) -> ReadOutcome {
    ReadOutcome::Piece { record, without_values: false, at: PiecePlace::ONLY }
}

fn answer(get: &mut Get, from: NodeId, outcome: ReadOutcome) -> Vec<GetEffect> {
    get.handle(Instant(1_000), GetEvent::Answered { from, outcome });
    effects(get)
}

fn effects(get: &mut Get) -> Vec<GetEffect> {
    core::iter::from_fn(|| get.poll_effect()).collect()
}

fn asks(effects: &[GetEffect]) -> Vec<NodeId> {
    let asked = effects.iter().filter_map(|effect| match effect {
        GetEffect::Ask { node, .. } => Some(*node),
        GetEffect::WantHedge
        | GetEffect::Vet { .. }
        | GetEffect::Answer { .. }
        | GetEffect::Failed { .. }
        | GetEffect::Differed { .. } => None,
    });
    asked.collect()
}

#[test]
fn the_best_r_are_asked_and_the_first_for_everything() {
    let mut get = get(2);
    let asked = effects(&mut get);
    assert_eq!(
        asked,
        [
            GetEffect::Ask { node: A, value_bytes_max: u32::MAX },
            GetEffect::Ask { node: B, value_bytes_max: INLINE_VALUE_BYTES },
        ]
    );
}

#[test]
fn equal_answers_are_told_at_once_and_write_nothing() {
    let mut get = get(2);
    effects(&mut get);
    assert_eq!(answer(&mut get, B, whole(record(&[1], b"v"))), []);
    let told = answer(&mut get, A, whole(record(&[1], b"v")));
    assert_eq!(told, [GetEffect::Answer { record: record(&[1], b"v"), fastest: B }]);
    assert!(get.is_done(), "nobody else was asked, and nobody is behind");
}

#[test]
fn different_answers_are_merged_and_named_after_the_client_was_told() {
    let mut get = get(2);
    effects(&mut get);
    answer(&mut get, A, whole(record(&[1], b"v")));
    let vet = answer(&mut get, B, whole(record(&[2], b"v")));
    assert_eq!(vet, [GetEffect::Vet { node: A, dots: vec![Dot::new(ActorId(9), 2)] }]);
    let told = vetted(&mut get, A, Vec::new());
    assert!(
        matches!(&told[0], GetEffect::Answer { record: merged, .. } if *merged == record(&[2], b"v"))
    );
    assert!(matches!(&told[1], GetEffect::Differed { answers, .. } if answers.len() == 2));
}

#[test]
fn a_late_answer_within_the_wait_is_compared_too() {
    let mut get = Get::new(plan(1, 2), Instant::ZERO);
    effects(&mut get);
    let told = answer(&mut get, A, whole(record(&[2], b"v")));
    assert!(matches!(told[..], [GetEffect::Answer { .. }]));
    let late = answer(&mut get, B, ReadOutcome::Missing);
    assert!(matches!(late[..], [GetEffect::Differed { .. }]), "{late:?}");
}

#[test]
fn missing_everywhere_is_an_answer() {
    let mut get = get(2);
    effects(&mut get);
    answer(&mut get, A, ReadOutcome::Missing);
    let told = answer(&mut get, B, ReadOutcome::Missing);
    assert_eq!(told, [GetEffect::Answer { record: Record::new(), fastest: A }]);
}

#[test]
fn who_cannot_know_does_not_count_and_is_replaced() {
    let mut get = get(2);
    effects(&mut get);
    assert_eq!(asks(&answer(&mut get, A, ReadOutcome::Unsure)), [C]);
    answer(&mut get, B, ReadOutcome::Missing);
    let failed = answer(&mut get, C, ReadOutcome::Overloaded);
    assert_eq!(failed, [GetEffect::Failed { reached: 1, needed: 2 }]);
}

#[test]
fn a_replica_with_a_damaged_row_is_named_as_lacking_everything() {
    let mut get = get(2);
    effects(&mut get);
    answer(&mut get, A, ReadOutcome::Unsure);
    answer(&mut get, B, whole(record(&[2], b"v")));
    let told = answer(&mut get, C, whole(record(&[2], b"v")));
    assert!(matches!(told[0], GetEffect::Answer { .. }), "{told:?}");
    assert!(
        matches!(&told[1], GetEffect::Differed { answers, .. } if answers.contains(&(A, Record::new()))),
        "{told:?}"
    );
}

#[test]
fn a_get_that_fails_for_a_damaged_row_still_repairs_it() {
    let mut get = get(3);
    effects(&mut get);
    answer(&mut get, B, whole(record(&[2], b"v")));
    answer(&mut get, C, whole(record(&[2], b"v")));
    let told = answer(&mut get, A, ReadOutcome::Unsure);
    assert!(
        matches!(&told[..], [GetEffect::Failed { .. }, GetEffect::Differed { .. }]),
        "{told:?}"
    );
}

#[test]
fn a_lost_replica_is_replaced_and_the_last_loss_fails_the_get() {
    let mut get = get(2);
    effects(&mut get);
    get.handle(Instant(1), GetEvent::Lost { node: A });
    assert_eq!(asks(&effects(&mut get)), [C]);
    get.handle(Instant(2), GetEvent::Lost { node: C });
    assert_eq!(effects(&mut get), [GetEffect::Failed { reached: 0, needed: 2 }]);
}

#[test]
fn a_slow_answer_wants_a_hedge_once() {
    let mut get = get(1);
    effects(&mut get);
    let due = get.poll_timeout().expect("a timer");
    get.handle_timeout(due);
    assert_eq!(effects(&mut get), [GetEffect::WantHedge]);
    get.handle(due, GetEvent::HedgeGranted);
    assert_eq!(asks(&effects(&mut get)), [B]);
    let due = get.poll_timeout().expect("a timer");
    assert_eq!(due, Instant(500_000_000), "silence is not taken for an answer until the deadline");
    get.handle_timeout(due);
    assert_eq!(asks(&effects(&mut get)), [C]);
    assert_eq!(get.poll_timeout(), Some(Instant(2_000_000_000)), "only the deadline is left");
}

#[test]
fn the_deadline_says_how_many_answered() {
    let mut get = get(3);
    effects(&mut get);
    answer(&mut get, A, ReadOutcome::Missing);
    get.handle_timeout(Instant(2_000_000_000));
    assert_eq!(effects(&mut get), [GetEffect::Failed { reached: 1, needed: 3 }]);
}

#[test]
fn a_value_that_was_left_out_everywhere_is_fetched_before_the_answer() {
    let bare = |outcome: Record| ReadOutcome::Piece {
        record: outcome.without_values(),
        without_values: true,
        at: PiecePlace::ONLY,
    };
    let mut get = get(2);
    effects(&mut get);
    answer(&mut get, A, ReadOutcome::Missing);
    let fetch = answer(&mut get, B, bare(record(&[1], b"long")));
    assert_eq!(fetch, [GetEffect::Ask { node: B, value_bytes_max: u32::MAX }]);
    let vet = answer(&mut get, B, whole(record(&[1], b"long")));
    assert!(matches!(vet[..], [GetEffect::Vet { node: A, .. }]), "{vet:?}");
    let told = vetted(&mut get, A, Vec::new());
    assert!(matches!(&told[0], GetEffect::Answer { record: r, .. } if *r == record(&[1], b"long")));
}

#[test]
fn a_record_in_pieces_counts_when_all_have_come() {
    let mut get = get(1);
    effects(&mut get);
    let both = record(&[1, 2], b"v");
    let mut pieces = both.pieces();
    let piece = |record, place| {
        let at = PiecePlace::new(place, 2).expect("one of two");
        ReadOutcome::Piece { record, without_values: false, at }
    };
    let first = pieces.next().expect("two siblings");
    let second = pieces.next().expect("two siblings");
    assert_eq!(answer(&mut get, A, piece(second.clone(), 1)), [], "the first was overtaken");
    assert_eq!(answer(&mut get, A, piece(second, 1)), [], "twice the same is one");
    let told = answer(&mut get, A, piece(first, 0));
    assert!(matches!(&told[0], GetEffect::Answer { record, .. } if *record == both));
}

#[test]
fn newer_settings_may_ask_for_more_answers() {
    let mut get = get(1);
    effects(&mut get);
    get.handle(Instant(1), GetEvent::Needed(2));
    assert_eq!(asks(&effects(&mut get)), [B]);
    assert_eq!(answer(&mut get, A, ReadOutcome::Missing), []);
    assert!(!answer(&mut get, B, ReadOutcome::Missing).is_empty());
}

#[test]
fn the_second_answer_of_one_replica_does_not_count_twice() {
    let mut get = get(2);
    effects(&mut get);
    answer(&mut get, A, ReadOutcome::Missing);
    assert_eq!(answer(&mut get, A, ReadOutcome::Missing), []);
}

#[test]
fn a_replica_that_cannot_send_its_values_is_not_asked_for_them_again() {
    let mut get = get(2);
    effects(&mut get);
    answer(&mut get, A, ReadOutcome::Missing);
    let bare = ReadOutcome::Piece {
        record: record(&[1], b"v").without_values(),
        without_values: true,
        at: PiecePlace::ONLY,
    };
    assert_eq!(asks(&answer(&mut get, B, bare)), [B], "its value is wanted");
    assert_eq!(asks(&answer(&mut get, B, ReadOutcome::Overloaded)), [C], "another one is asked");
    answer(&mut get, C, whole(record(&[1], b"v")));
    let last = vetted(&mut get, A, Vec::new());
    assert!(matches!(last.first(), Some(GetEffect::Answer { .. })), "{last:?}");
}

const F: NodeId = NodeId(8);
const G: NodeId = NodeId(9);

/// A get with r=2 of which only A can be reached, and two fallbacks.
fn sloppy() -> Get {
    let fallbacks = vec![F, G];
    Get::new(GetPlan { replicas: vec![A], fallbacks, ..plan(2, 2) }, Instant::ZERO)
}

/// A get with r=2 that asks all three replicas at once, and two fallbacks.
fn watchful() -> Get {
    Get::new(GetPlan { fallbacks: vec![F, G], ..plan(2, 3) }, Instant::ZERO)
}

fn lost(get: &mut Get, node: NodeId) -> Vec<GetEffect> {
    get.handle(Instant(1_000), GetEvent::Lost { node });
    effects(get)
}

fn vetted(get: &mut Get, from: NodeId, collected: Vec<Dot>) -> Vec<GetEffect> {
    get.handle(Instant(2_000), GetEvent::Vetted { from, collected });
    effects(get)
}

fn answered(effects: &[GetEffect]) -> Option<&Record> {
    effects.iter().find_map(|effect| match effect {
        GetEffect::Answer { record, .. } => Some(record),
        _ => None,
    })
}

#[test]
fn a_replica_that_is_lost_is_stood_in_for_once_too_few_are_left() {
    let mut get = watchful();
    assert_eq!(asks(&effects(&mut get)), [A, B, C]);
    assert_eq!(lost(&mut get, C), [], "two may still answer");
    assert_eq!(asks(&lost(&mut get, B)), [F]);
    assert_eq!(asks(&answer(&mut get, F, ReadOutcome::NoHint)), [G]);
    answer(&mut get, A, whole(record(&[1], b"v")));
    let told = answer(&mut get, G, whole(record(&[1], b"v")));
    assert_eq!(answered(&told), Some(&record(&[1], b"v")));
}

#[test]
fn replicas_that_stay_silent_are_stood_in_for_after_a_while() {
    let mut get = watchful();
    effects(&mut get);
    answer(&mut get, A, whole(record(&[1], b"v")));
    get.handle_timeout(get.poll_timeout().unwrap());
    assert_eq!(effects(&mut get), [], "no replica is left for a hedge");
    let at = get.poll_timeout().unwrap();
    assert_eq!(at, Instant(500_000_000));
    get.handle_timeout(at);
    assert_eq!(asks(&effects(&mut get)), [F]);
    assert_eq!(asks(&answer(&mut get, F, ReadOutcome::NoHint)), [G], "F has not helped");
    let told = answer(&mut get, G, whole(record(&[1], b"v")));
    assert_eq!(answered(&told), Some(&record(&[1], b"v")));
}

#[test]
fn silence_beyond_the_last_fallback_ends_with_the_deadline() {
    let mut get = watchful();
    effects(&mut get);
    get.handle_timeout(Instant(5_000_000));
    get.handle_timeout(Instant(500_000_000));
    assert_eq!(asks(&effects(&mut get)), [F, G]);
    assert_eq!(get.poll_timeout(), Some(Instant(2_000_000_000)));
    get.handle_timeout(Instant(2_000_000_000));
    assert_eq!(effects(&mut get), [GetEffect::Failed { reached: 0, needed: 2 }]);
}

#[test]
fn notfound_needs_a_replica() {
    let mut get = sloppy();
    assert_eq!(asks(&effects(&mut get)), [A, F]);
    assert_eq!(answer(&mut get, A, ReadOutcome::Missing), []);
    let next = answer(&mut get, F, ReadOutcome::NoHint);
    assert_eq!(asks(&next), [G], "that F has no hint says nothing");
    let end = answer(&mut get, G, ReadOutcome::Missing);
    assert_eq!(end, [GetEffect::Failed { reached: 1, needed: 2 }]);
}

#[test]
fn a_hint_counts_once_a_replica_was_asked_whether_it_is_collected() {
    let mut get = sloppy();
    effects(&mut get);
    let hinted = record(&[1], b"hinted");
    answer(&mut get, A, ReadOutcome::Missing);
    let vet = answer(&mut get, F, whole(hinted.clone()));
    let dots = vec![Dot::new(ActorId(9), 1)];
    assert_eq!(vet, [GetEffect::Vet { node: A, dots }]);
    assert_eq!(answered(&vetted(&mut get, A, Vec::new())), Some(&hinted));
}

#[test]
fn history_13_a_hint_of_what_was_deleted_and_collected_is_not_shown() {
    let mut get = sloppy();
    effects(&mut get);
    answer(&mut get, A, ReadOutcome::Missing);
    answer(&mut get, F, whole(record(&[1], b"deleted")));
    let end = vetted(&mut get, A, vec![Dot::new(ActorId(9), 1)]);
    let shown = answered(&end).expect("A and F have answered");
    assert!(shown.siblings().is_empty() && shown.context().is_empty());
}

#[test]
fn a_replica_that_has_heard_of_a_version_meanwhile_answers_anew() {
    let mut get = get(2);
    effects(&mut get);
    let (older, newer) = (record(&[1], b"older"), record(&[2], b"newer"));
    answer(&mut get, A, whole(older.clone()));
    let mut short = newer.clone();
    short.forget(Dot::new(ActorId(9), 1));
    // What B has left of the context does not say that it replaced the older version.
    let vet = answer(&mut get, B, whole(short));
    assert_eq!(
        vet,
        [
            GetEffect::Vet { node: A, dots: vec![Dot::new(ActorId(9), 2)] },
            GetEffect::Vet { node: B, dots: vec![Dot::new(ActorId(9), 1)] },
        ]
    );
    vetted(&mut get, B, Vec::new());
    let told = answer(&mut get, A, whole(newer.clone()));
    assert_eq!(answered(&told), Some(&newer), "and not the older version beside it");
}

/// It said nothing of the other version that it was asked about.
#[test]
fn a_replica_that_answers_anew_is_asked_about_the_rest_again() {
    let mut get = sloppy();
    effects(&mut get);
    answer(&mut get, A, ReadOutcome::Missing);
    let mut both = record(&[1], b"deleted");
    both.merge(&record(&[2], b"late"));
    let dots = [Dot::new(ActorId(9), 1), Dot::new(ActorId(9), 2)];
    let mut late = record(&[2], b"late");
    late.forget(dots[0]);
    both.merge(&late);
    answer(&mut get, F, whole(both));
    let vet = answer(&mut get, A, whole(late.clone()));
    let asked = vet.iter().any(|effect| matches!(effect, GetEffect::Vet { node: A, .. }));
    assert!(asked || answered(&vet).is_some_and(|record| record.sibling(dots[0]).is_none()));
}

#[test]
fn a_replica_that_cannot_say_what_it_collected_does_not_count() {
    for outcome in [ReadOutcome::Unsure, ReadOutcome::Overloaded] {
        let mut get = sloppy();
        effects(&mut get);
        answer(&mut get, A, ReadOutcome::Missing);
        answer(&mut get, F, whole(record(&[1], b"deleted?")));
        assert_eq!(asks(&answer(&mut get, A, outcome)), [G], "the get does not wait for A");
    }
}

#[test]
fn a_replica_that_is_lost_before_it_said_what_it_collected_does_not_count() {
    let mut get = sloppy();
    effects(&mut get);
    answer(&mut get, A, ReadOutcome::Missing);
    answer(&mut get, F, whole(record(&[1], b"deleted?")));
    get.handle(Instant(3_000), GetEvent::Lost { node: A });
    assert_eq!(asks(&effects(&mut get)), [G]);
    let end = answer(&mut get, G, ReadOutcome::NoHint);
    assert_eq!(end, [GetEffect::Failed { reached: 1, needed: 2 }]);
}
