//! Handoff: what is sent when, and when it is at rest.

use alloc::vec;
use dynamo_types::{Bucket, Key};

use super::*;

const T: NodeId = NodeId(7);

fn row(number: u8) -> HintRow {
    HintRow {
        row: Bytes::from(vec![number]),
        name: ObjectName {
            bucket: Bucket::new("b").unwrap(),
            key: Key::new(vec![number]).unwrap(),
        },
        record: Record::new(),
    }
}

fn effects(handoff: &mut HintedHandoff) -> Vec<HandoffEffect> {
    core::iter::from_fn(|| handoff.poll_effect()).collect()
}

fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn scanned(rows: Vec<HintRow>, end: bool) -> HandoffEvent {
    let reached = rows.last().map(|row| row.row.clone());
    HandoffEvent::Scanned { target: T, rows, reached, end }
}

fn scan(after: Option<&[u8]>) -> HandoffEffect {
    let after = after.map(Bytes::copy_from_slice);
    HandoffEffect::Scan { target: T, after, rows_max: ROWS_PER_SCAN }
}

fn delivered(effects: &[HandoffEffect]) -> Vec<DeliveryId> {
    let delivery = |effect: &HandoffEffect| match effect {
        HandoffEffect::Deliver { delivery, .. } => Some(*delivery),
        HandoffEffect::Scan { .. } => None,
    };
    effects.iter().filter_map(delivery).collect()
}

/// A target that is up, with a pass begun.
fn begun() -> HintedHandoff {
    let mut handoff = HintedHandoff::new(HandoffConfig::default());
    handoff.handle(at(0), HandoffEvent::Pending(T));
    assert_eq!(effects(&mut handoff), [], "it cannot be reached");
    handoff.handle(at(1), HandoffEvent::Up(T));
    assert_eq!(effects(&mut handoff), [scan(None)]);
    handoff
}

#[test]
fn a_pass_sends_everything_and_then_is_at_rest() {
    let mut handoff = begun();
    handoff.handle(at(2), scanned(vec![row(1), row(2)], false));
    let sent = effects(&mut handoff);
    assert_eq!(delivered(&sent).len(), 2);
    assert_eq!(sent[2], scan(Some(&[2])), "it reads on meanwhile");
    handoff.handle(at(3), scanned(vec![row(3)], true));
    let mut deliveries = delivered(&sent);
    deliveries.extend(delivered(&effects(&mut handoff)));
    for delivery in deliveries {
        handoff.handle(at(4), HandoffEvent::Taken(delivery));
    }
    assert_eq!(effects(&mut handoff), []);
    assert_eq!(handoff.poll_timeout(), None, "nothing is left to do");
}

#[test]
fn a_hint_that_was_refused_is_sent_by_the_next_pass_after_a_pause() {
    let mut handoff = begun();
    handoff.handle(at(2), scanned(vec![row(1)], true));
    let sent = delivered(&effects(&mut handoff));
    handoff.handle(at(10), HandoffEvent::Refused(sent[0]));
    assert_eq!(effects(&mut handoff), []);
    assert_eq!(handoff.poll_timeout(), Some(at(510)));
    handoff.handle_timeout(at(510));
    assert_eq!(effects(&mut handoff), [scan(None)]);
}

#[test]
fn a_delivery_that_nobody_answers_is_made_again() {
    let mut handoff = begun();
    handoff.handle(at(2), scanned(vec![row(1)], true));
    effects(&mut handoff);
    assert_eq!(handoff.poll_timeout(), Some(at(2_002)));
    handoff.handle_timeout(at(2_002));
    handoff.handle_timeout(at(2_502));
    assert_eq!(effects(&mut handoff), [scan(None)]);
}

#[test]
fn a_target_that_goes_and_comes_begins_anew() {
    let mut handoff = begun();
    handoff.handle(at(2), scanned(vec![row(1)], false));
    let sent = delivered(&effects(&mut handoff));
    handoff.handle(at(3), HandoffEvent::Down(T));
    handoff.handle(at(4), HandoffEvent::Taken(sent[0]));
    handoff.handle(at(5), scanned(vec![row(2)], true));
    assert_eq!(effects(&mut handoff), [], "an answer that came late does nothing");
    handoff.handle(at(6), HandoffEvent::Up(T));
    let again = effects(&mut handoff);
    assert!(again.contains(&scan(None)) || !delivered(&again).is_empty(), "{again:?}");
}

#[test]
fn the_window_follows_the_target() {
    let rows: Vec<HintRow> = (0..120).map(row).collect();
    let mut handoff = begun();
    handoff.handle(at(2), scanned(rows, true));
    let mut under_way = delivered(&effects(&mut handoff));
    assert_eq!(under_way.len(), 8);
    for _ in 0..4 {
        let delivery = under_way.remove(0);
        handoff.handle(at(3), HandoffEvent::Taken(delivery));
        under_way.extend(delivered(&effects(&mut handoff)));
    }
    assert_eq!(under_way.len(), 12, "four were taken quickly");
    let delivery = under_way.remove(0);
    handoff.handle(at(500), HandoffEvent::Taken(delivery));
    assert_eq!(delivered(&effects(&mut handoff)).len(), 0, "one took half a second");
}

#[test]
fn hint_flood_on_return_is_held_back_by_the_window() {
    let mut handoff = begun();
    handoff.handle(at(2), scanned((0..200).map(row).collect(), false));
    let sent = effects(&mut handoff);
    assert_eq!(delivered(&sent).len(), 8, "the rest waits for answers");
    assert!(!sent.contains(&scan(Some(&[199]))), "and no more is read meanwhile");
}

#[test]
fn within_a_budget_fewer_hints_are_under_way_but_always_one() {
    let mut handoff = HintedHandoff::new(HandoffConfig::default());
    handoff.handle(at(0), HandoffEvent::Budget(0));
    handoff.handle(at(0), HandoffEvent::Up(T));
    handoff.handle(at(0), HandoffEvent::Pending(T));
    assert_eq!(effects(&mut handoff), [scan(None)]);
    handoff.handle(at(0), scanned((0..20).map(row).collect(), true));
    let first = delivered(&effects(&mut handoff));
    assert_eq!(first.len(), 1);
    // Room for more is used at once.
    handoff.handle(at(1), HandoffEvent::Budget(5));
    assert_eq!(delivered(&effects(&mut handoff)).len(), 3, "a twentieth of 64, rounded up");
    handoff.handle(at(1), HandoffEvent::Budget(100));
    assert_eq!(delivered(&effects(&mut handoff)).len(), 4, "what the target's answers allow: 8");
}
