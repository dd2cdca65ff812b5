//! Explanations: who is waited for, what is said of whom.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_messages::PiecePlace;
use dynamo_types::{ActorId, RequestId};
use dynamo_versioning::{BodyDigest, Content, Dot, DotSet, Hlc};

use super::*;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const SECOND: u64 = 1_000_000_000;

fn explain(reachable: [bool; 3], deadline: u64) -> (Explain, Vec<NodeId>) {
    let plan = ExplainPlan {
        partition: PartitionId(5),
        replicas: [A, B, C].into_iter().zip(reachable).collect(),
        others: Vec::new(),
        verified_ms_ago: None,
        deadline: Instant(deadline),
    };
    let mut explain = Explain::new(plan, Instant(0));
    let asked = core::iter::from_fn(|| match explain.poll_effect() {
        Some(ExplainEffect::Ask { node }) => Some(node),
        Some(ExplainEffect::Explained(explanation)) => panic!("too soon: {explanation:?}"),
        None => None,
    });
    let asked = asked.collect();
    (explain, asked)
}

fn explained(explain: &mut Explain) -> Option<Explanation> {
    match explain.poll_effect()? {
        ExplainEffect::Explained(explanation) => Some(explanation),
        ExplainEffect::Ask { node } => panic!("{node} is asked late"),
    }
}

/// A record with this version and all of the same actor before it in its context.
fn record(counter: u64, content: Content) -> Record {
    let mut context = DotSet::new();
    context.insert_interval(ActorId(9), 0, counter);
    let sibling = Sibling {
        dot: Dot::new(ActorId(9), counter),
        hlc: Hlc::at(dynamo_types::WallTime(counter)),
        content,
        expires_at: None,
        request: RequestId(u128::from(counter)),
        digest: BodyDigest(0),
    };
    Record::from_parts(context, sibling.hlc, vec![sibling]).expect("a sound record")
}

fn value(text: &'static str) -> Content {
    Content::Value { bytes: Bytes::from_static(text.as_bytes()), content_type: Bytes::new() }
}

fn answer(explain: &mut Explain, from: NodeId, record: Record) {
    let outcome = ReadOutcome::Piece { record, without_values: false, at: PiecePlace::ONLY };
    explain.handle(ExplainEvent::Answered { from, outcome });
}

fn states(explanation: &Explanation) -> Vec<ReplicaState> {
    explanation.replicas.iter().map(|replica| replica.state).collect()
}

#[test]
fn every_replica_is_asked_and_waited_for() {
    let (mut explain, asked) = explain([true; 3], 2 * SECOND);
    assert_eq!(asked, [A, B, C]);
    answer(&mut explain, B, record(1, value("milk")));
    answer(&mut explain, C, record(1, value("milk")));
    assert_eq!(explained(&mut explain), None);
    answer(&mut explain, A, record(1, value("milk")));
    let explanation = explained(&mut explain).expect("all answered");
    assert!(explanation.agrees() && explain.is_done());
    assert_eq!(explanation.behind().count(), 0);
    let replica = &explanation.replicas[0];
    assert_eq!((replica.node, replica.context_intervals), (A, 1));
    assert_eq!((replica.siblings[0].value_bytes, replica.siblings[0].tombstone), (4, false));
    assert_eq!(explain.poll_timeout(), None);
}

#[test]
fn whoever_lacks_a_version_is_behind() {
    let (mut explain, _) = explain([true; 3], 2 * SECOND);
    answer(&mut explain, A, record(1, value("milk")));
    answer(&mut explain, B, record(2, Content::Tombstone));
    explain.handle(ExplainEvent::Answered { from: C, outcome: ReadOutcome::Missing });
    let explanation = explained(&mut explain).expect("all answered");
    assert_eq!(explanation.behind().collect::<Vec<_>>(), [A, C]);
    assert!(!explanation.agrees());
    assert!(explanation.replicas[1].siblings[0].tombstone, "no view hides what is deleted");
    assert_eq!(explanation.replicas[2].digest, None);
}

#[test]
fn concurrent_versions_apart_leave_both_holders_behind() {
    let (mut explain, _) = explain([true, true, false], 2 * SECOND);
    let mut other = DotSet::new();
    other.insert_interval(ActorId(7), 0, 1);
    let sibling =
        Sibling { dot: Dot::new(ActorId(7), 1), ..record(1, value("bread")).siblings()[0].clone() };
    let apart = Record::from_parts(other, sibling.hlc, vec![sibling]).expect("a sound record");
    answer(&mut explain, A, record(1, value("milk")));
    answer(&mut explain, B, apart);
    let explanation = explained(&mut explain).expect("all that can be reached answered");
    assert_eq!(explanation.behind().collect::<Vec<_>>(), [A, B]);
}

#[test]
fn a_key_that_nobody_has_is_agreed_upon() {
    let (mut explain, _) = explain([true; 3], 2 * SECOND);
    for from in [A, B, C] {
        explain.handle(ExplainEvent::Answered { from, outcome: ReadOutcome::Missing });
    }
    let explanation = explained(&mut explain).expect("all answered");
    assert!(explanation.agrees());
    assert_eq!(explanation.behind().count(), 0);
}

#[test]
fn a_silent_replica_is_given_up_after_a_second() {
    let (mut explain, asked) = explain([true, true, false], 2 * SECOND);
    assert_eq!(asked, [A, B], "without a connection nobody is asked");
    answer(&mut explain, A, record(1, value("milk")));
    assert_eq!(explain.poll_timeout(), Some(Instant(SECOND)));
    explain.handle_timeout(Instant(SECOND - 1));
    assert_eq!(explained(&mut explain), None);
    explain.handle_timeout(Instant(SECOND));
    let explanation = explained(&mut explain).expect("a second is over");
    let unreachable = ReplicaState::Unreachable;
    assert_eq!(states(&explanation), [ReplicaState::Present, unreachable, unreachable]);
    assert!(!explanation.agrees(), "silence is not agreement");
    assert_eq!(explanation.behind().count(), 0, "nor is it a lack");
    answer(&mut explain, B, record(1, value("milk")));
    assert_eq!(explained(&mut explain), None, "told once");
}

#[test]
fn a_client_in_a_hurry_is_answered_at_its_deadline() {
    let (explain, _) = explain([true; 3], 7);
    assert_eq!(explain.poll_timeout(), Some(Instant(7)));
}

#[test]
fn those_that_cannot_say_are_told_apart() {
    let (mut explain, _) = explain([true; 3], 2 * SECOND);
    explain.handle(ExplainEvent::Answered { from: A, outcome: ReadOutcome::Unsure });
    explain.handle(ExplainEvent::Answered { from: B, outcome: ReadOutcome::Overloaded });
    explain.handle(ExplainEvent::Lost { node: C });
    let explanation = explained(&mut explain).expect("nobody is left to wait for");
    let expected = [ReplicaState::Unsure, ReplicaState::Busy, ReplicaState::Unreachable];
    assert_eq!(states(&explanation), expected);
}

#[test]
fn a_replica_is_shown_only_once_all_its_pieces_came() {
    let (mut explain, _) = explain([true, false, false], 2 * SECOND);
    let mut context = DotSet::new();
    context.insert_interval(ActorId(9), 0, 2);
    let sibling = |counter| Sibling {
        dot: Dot::new(ActorId(9), counter),
        ..record(2, value("milk")).siblings()[0].clone()
    };
    let both = vec![sibling(1), sibling(2)];
    let both = Record::from_parts(context, both[0].hlc, both).expect("a sound record");
    let pieces: Vec<ReadOutcome> = (0..2)
        .zip(both.pieces())
        .map(|(place, record)| {
            let at = PiecePlace::new(place, 2).expect("one of two");
            ReadOutcome::Piece { record, without_values: false, at }
        })
        .collect();
    for _ in 0..2 {
        let outcome = pieces[1].clone();
        explain.handle(ExplainEvent::Answered { from: A, outcome });
        assert_eq!(explained(&mut explain), None, "the other piece has not come");
    }
    explain.handle(ExplainEvent::Answered { from: A, outcome: pieces[0].clone() });
    let explanation = explained(&mut explain).expect("both pieces came");
    assert_eq!(explanation.replicas[0].siblings.len(), 2);
    assert_eq!(explanation.replicas[0].digest, Some(both.versions_digest()));
}

#[test]
fn who_keeps_hints_is_told_and_who_keeps_none_is_not() {
    let [holder, without] = [NodeId(8), NodeId(9)];
    let plan = ExplainPlan {
        partition: PartitionId(5),
        replicas: vec![(A, false)],
        others: vec![holder, without],
        verified_ms_ago: Some(7),
        deadline: Instant(SECOND),
    };
    let mut explain = Explain::new(plan, Instant(0));
    while explain.poll_effect().is_some() {}
    let kept = record(1, Content::Tombstone);
    let at = PiecePlace::ONLY;
    let outcome = ReadOutcome::Piece { record: kept.clone(), without_values: false, at };
    explain.handle(ExplainEvent::Answered { from: holder, outcome });
    assert_eq!(explained(&mut explain), None, "the other one is still waited for");
    explain.handle(ExplainEvent::Answered { from: without, outcome: ReadOutcome::NoHint });
    let explanation = explained(&mut explain).expect("all answered");
    let hints: Vec<_> = explanation.hints.iter().map(|hint| (hint.node, hint.digest)).collect();
    assert_eq!(hints, [(holder, kept.versions_digest())]);
    assert_eq!(explanation.verified_ms_ago, Some(7));
}
