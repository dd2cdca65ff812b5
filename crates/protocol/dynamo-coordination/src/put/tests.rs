//! Copies: what the client is told, who is stood in for.

use alloc::vec;

use super::*;

const STORED: WriteOutcome = WriteOutcome::Stored { synced: true };
const FALLBACK: NodeId = NodeId(9);

fn plan(needed: u8) -> PutPlan {
    PutPlan {
        placements: [1, 2, 3].map(|node| Placement::own(NodeId(node))).to_vec(),
        unplaced: Vec::new(),
        sets: Vec::from([set([1, 2, 3])]),
        needed,
        strict: false,
        stand_in_at: Instant(500),
        deadline: Instant(1_000),
        made_before: false,
    }
}

fn set(nodes: [u64; 3]) -> ReplicaSet {
    ReplicaSet::new(&nodes.map(NodeId)).unwrap()
}

fn three(needed: u8) -> PutAcknowledgements {
    PutAcknowledgements::new(plan(needed))
}

fn answer(put: &mut PutAcknowledgements, node: u64, outcome: WriteOutcome) -> Option<PutEffect> {
    put.handle(PutEvent::Answered { from: NodeId(node), outcome });
    put.poll_effect()
}

/// Answers a wish for a stand-in: there is no other node.
fn nobody(put: &mut PutAcknowledgements, wish: Option<PutEffect>) -> Option<PutEffect> {
    let Some(PutEffect::WantStandIn { member, .. }) = wish else {
        panic!("{wish:?} is no wish for a stand-in")
    };
    put.handle(PutEvent::NoStandIn { member });
    put.poll_effect()
}

fn copy(member: u64, holder: u64) -> Copy {
    let placement = Placement { member: NodeId(member), holder: NodeId(holder) };
    Copy { placement, synced: true }
}

fn wish(member: u64, acknowledging: bool) -> PutEffect {
    PutEffect::WantStandIn { member: NodeId(member), acknowledging }
}

#[test]
fn the_client_is_told_after_w_copies_and_once() {
    let mut put = three(2);
    assert_eq!(answer(&mut put, 1, STORED), None);
    let copies = vec![copy(1, 1), copy(3, 3)];
    assert_eq!(answer(&mut put, 3, STORED), Some(PutEffect::Stored { copies }));
    assert!(!put.is_done(), "the third is still awaited");
    assert_eq!(answer(&mut put, 2, STORED), None);
    assert!(put.is_done());
}

#[test]
fn one_replica_counts_once_however_often_it_answers() {
    let mut put = three(2);
    assert_eq!(answer(&mut put, 1, STORED), None);
    assert_eq!(answer(&mut put, 1, STORED), None);
}

#[test]
fn a_refusal_everywhere_is_a_certain_failure() {
    let mut put = three(1);
    let wish = answer(&mut put, 1, WriteOutcome::DiskFull);
    assert_eq!(nobody(&mut put, wish), None);
    let wish = answer(&mut put, 2, WriteOutcome::Overloaded);
    assert_eq!(nobody(&mut put, wish), None);
    let wish = answer(&mut put, 3, WriteOutcome::DiskFull);
    assert_eq!(nobody(&mut put, wish), Some(PutEffect::Refused { disk_full: true }));
}

#[test]
fn a_version_that_was_made_before_may_stand_though_all_refuse_it_now() {
    let mut put = three(1);
    put.made_before = true;
    for node in [1, 2] {
        let wish = answer(&mut put, node, WriteOutcome::Overloaded);
        assert_eq!(nobody(&mut put, wish), None);
    }
    let unknown = PutEffect::Unknown { reached: 0, needed: 1 };
    let wish = answer(&mut put, 3, WriteOutcome::Overloaded);
    assert_eq!(nobody(&mut put, wish), Some(unknown));
}

#[test]
fn a_lost_replica_makes_the_outcome_unknown() {
    let mut put = three(2);
    put.handle(PutEvent::Lost { node: NodeId(1) });
    let wish = put.poll_effect();
    assert_eq!(nobody(&mut put, wish), None);
    let wish = answer(&mut put, 2, WriteOutcome::DiskFull);
    assert_eq!(nobody(&mut put, wish), Some(PutEffect::Unknown { reached: 0, needed: 2 }));
}

#[test]
fn timeout_is_unknown_not_failed() {
    let mut put = three(3);
    assert_eq!(answer(&mut put, 1, STORED), None);
    put.handle_timeout(Instant(499));
    assert_eq!(put.poll_effect(), None);
    put.handle_timeout(Instant(1_000));
    let effects: Vec<PutEffect> = core::iter::from_fn(|| put.poll_effect()).collect();
    let unknown = PutEffect::Unknown { reached: 1, needed: 3 };
    assert_eq!(effects, [wish(2, true), wish(3, true), unknown]);
}

#[test]
fn a_member_that_is_lost_is_stood_in_for_and_the_hint_counts() {
    let mut put = three(3);
    assert_eq!(answer(&mut put, 1, STORED), None);
    put.handle(PutEvent::Lost { node: NodeId(2) });
    assert_eq!(put.poll_effect(), Some(wish(2, true)));
    put.handle(PutEvent::StandIn(Placement { member: NodeId(2), holder: FALLBACK }));
    assert_eq!(answer(&mut put, 3, STORED), None);
    let copies = vec![copy(1, 1), copy(3, 3), copy(2, 9)];
    assert_eq!(answer(&mut put, 9, STORED), Some(PutEffect::Stored { copies }));
}

#[test]
fn a_member_and_the_hint_for_it_are_one_copy() {
    let mut put = three(2);
    put.handle_timeout(Instant(500));
    let wishes: Vec<PutEffect> = core::iter::from_fn(|| put.poll_effect()).collect();
    assert_eq!(wishes, [wish(1, true), wish(2, true), wish(3, true)]);
    put.handle(PutEvent::StandIn(Placement { member: NodeId(1), holder: FALLBACK }));
    for member in [2, 3] {
        put.handle(PutEvent::NoStandIn { member: NodeId(member) });
    }
    assert_eq!(answer(&mut put, 9, STORED), None);
    assert_eq!(answer(&mut put, 1, STORED), None, "the hint goes once its member has the version");
    let copies = vec![copy(1, 1), copy(2, 2)];
    assert_eq!(answer(&mut put, 2, STORED), Some(PutEffect::Stored { copies }));
}

#[test]
fn a_straggler_gets_a_courtesy_hint_once_the_client_was_told() {
    let mut put = three(2);
    answer(&mut put, 1, STORED);
    assert!(matches!(answer(&mut put, 2, STORED), Some(PutEffect::Stored { .. })));
    put.handle_timeout(Instant(500));
    assert_eq!(put.poll_effect(), Some(wish(3, false)));
    put.handle_timeout(Instant(501));
    assert_eq!(put.poll_effect(), None, "once");
}

#[test]
fn with_a_strict_quorum_hints_are_a_courtesy_and_count_nothing() {
    let hint = Placement { member: NodeId(3), holder: FALLBACK };
    let placements = vec![Placement::own(NodeId(1)), Placement::own(NodeId(2)), hint];
    let mut put = PutAcknowledgements::new(PutPlan { placements, strict: true, ..plan(2) });
    assert_eq!(answer(&mut put, 1, STORED), None);
    assert_eq!(answer(&mut put, 9, STORED), None);
    put.handle(PutEvent::Lost { node: NodeId(2) });
    assert_eq!(put.poll_effect(), Some(wish(2, false)));
    put.handle(PutEvent::NoStandIn { member: NodeId(2) });
    assert_eq!(put.poll_effect(), Some(PutEffect::Unknown { reached: 1, needed: 2 }));
}
