//! Histories made by hand, sound ones and such that must be found out.

use dynamo_checker::history::{Outcome, Seen};
use dynamo_messages::Receipt;
use dynamo_simulator::workload::Known;
use dynamo_types::{
    ActorId, Bucket, ClusterId, Durability, Key, ObjectName, PartitionId, RequestId, WallTime,
};
use dynamo_versioning::{ClientContext, ContextKey, Dot, Hlc};

use super::*;
use crate::clock::RunClock;
use crate::cluster::Secrets;
use crate::http::{ExplainedReplica, ExplainedSibling, ShownValue};
use crate::observations::{AnsweredRead, BegunWrite, Recorder};
use crate::verdict::{Verdict, judge};

const KEY: KeyIndex = KeyIndex(0);
const NODES: [NodeId; 5] = [NodeId(11), NodeId(12), NodeId(13), NodeId(14), NodeId(15)];
const CLUSTER: ClusterId = ClusterId(1);
const SECRET: [u8; 32] = [7; 32];

/// A history of one key in the making.
struct Story {
    recorder: Recorder,
    /// The last dot that was given out.
    counter: u64,
}

fn name() -> ObjectName {
    ObjectName { bucket: Bucket::new("carts").unwrap(), key: Key::new("alice").unwrap() }
}

fn set(dots: &[Dot]) -> DotSet {
    dots.iter().copied().collect()
}

fn seal(dots: &DotSet, hlc: u64) -> String {
    let context = ClientContext { dots: dots.clone(), hlc_max: Hlc(hlc), fastest: None };
    context.seal(&ContextKey::derive(&SECRET), CLUSTER, &name()).unwrap()
}

fn receipt() -> Receipt {
    Receipt { copies: 2, synced: 2, nodes: 2, zones: 2, hints: 0 }
}

impl Story {
    fn new() -> Self {
        let context_key = ContextKey::derive(&SECRET);
        let secrets =
            Secrets { cluster: CLUSTER, secret: SECRET, context_key, nodes: NODES.to_vec() };
        let recorder = Recorder::new(RunClock::start(), secrets);
        recorder.lock().history.keys.push(dynamo_checker::history::KeyFacts {
            name: name(),
            last_write_wins: false,
            durability: Durability::Synced,
            replicas: vec![HostIndex(0), HostIndex(1), HostIndex(2)],
            damaged_rows: 0,
        });
        Self { recorder, counter: 0 }
    }

    /// A write is asked, under an idempotency key.
    fn begin(&mut self, kind: WriteKind, known: Vec<Known>) -> WriteId {
        let contexts: Vec<String> = known.iter().map(|known| known.context.clone()).collect();
        let begun = BegunWrite { key: KEY, client: 1, kind, known, w: 2, padding: 3 };
        let (id, value) = self.recorder.begin_write(begun);
        self.recorder.idempotency_key(id, value, &contexts);
        self.recorder.attempt(id, HostIndex(0));
        id
    }

    fn dot(&mut self) -> Dot {
        self.counter += 1;
        Dot { actor: ActorId(9), counter: self.counter }
    }

    /// It is stored as the next dot.
    fn stored(&mut self, id: WriteId) -> (Known, Dot) {
        let dot = self.dot();
        let mut covered = self.recorder.lock().contexts[&id].clone();
        covered.insert(dot);
        let context = seal(&covered, self.counter);
        (self.recorder.stored(id, HostIndex(0), (context, receipt())).unwrap(), dot)
    }

    fn put(&mut self, known: Vec<Known>) -> (WriteId, Known, Dot) {
        let id = self.begin(WriteKind::Value, known);
        let (known, dot) = self.stored(id);
        (id, known, dot)
    }

    /// A read shows these writes, and its context covers these dots.
    fn read(&self, shown: &[(WriteId, Dot)], covered: &[Dot]) -> Known {
        self.read_as(shown, covered, false)
    }

    fn read_as(&self, shown: &[(WriteId, Dot)], covered: &[Dot], late: bool) -> Known {
        let several = shown.len() > 1;
        let value = |(id, dot): &(WriteId, Dot)| ShownValue {
            bytes: self.value(*id),
            version: several.then_some((*dot, WallTime(5))),
        };
        self.recorder.read(AnsweredRead {
            key: KEY,
            client: 1,
            host: HostIndex(0),
            r: 2,
            strict: true,
            invoked: self.recorder.now(),
            values: shown.iter().map(value).collect(),
            context: seal(&set(covered), 9),
            after_convergence: late,
        })
    }

    fn value(&self, id: WriteId) -> bytes::Bytes {
        self.recorder.lock().sent[&id].value.clone().unwrap()
    }

    fn sibling(&self, id: WriteId, dot: Dot) -> ExplainedSibling {
        let observations = self.recorder.lock();
        let request = observations.requests.iter().find(|(_, write)| **write == id);
        ExplainedSibling {
            dot,
            tombstone: observations.history.write(id).kind != WriteKind::Value,
            bytes: observations.lengths[&id],
            written_at: WallTime(5),
            request: request.map_or(RequestId(1), |(request, _)| *request),
        }
    }

    /// All replicas hold these versions, and claim to have seen these dots.
    fn look(&self, held: &[(WriteId, Dot)], covered: &[Dot]) -> Audit {
        self.read_as(
            &held.iter().copied().filter(|(id, _)| self.is_value(*id)).collect::<Vec<_>>(),
            covered,
            true,
        );
        let siblings: Vec<_> = held.iter().map(|(id, dot)| self.sibling(*id, *dot)).collect();
        let replica = |node: &NodeId| ExplainedReplica {
            node: *node,
            state: "present".into(),
            siblings: siblings.clone(),
        };
        let explained = Explained {
            partition: PartitionId(3),
            replicas: NODES[..3].iter().map(replica).collect(),
            hints: 0,
            agree: true,
        };
        Audit {
            explained: BTreeMap::from([(KEY, explained)]),
            settled_at: Some(self.recorder.now()),
            covered: BTreeMap::from([(KEY, set(covered))]),
            known_of_cluster: BTreeMap::from([(HostIndex(0), KnownOfCluster::default())]),
            quiet: Quiet { rounds: 1, reached: true, writes_in_last_round: 0 },
            requests: 1,
            ..Audit::default()
        }
    }

    fn is_value(&self, id: WriteId) -> bool {
        self.recorder.lock().history.write(id).kind == WriteKind::Value
    }

    fn evidence(self, audit: Audit) -> Evidence {
        let observations = core::mem::take(&mut *self.recorder.lock());
        gather(observations, audit, &NODES)
    }

    /// The promise that the checks find broken.
    fn broken(self, audit: Audit) -> Option<&'static str> {
        match judge(self.evidence(audit)).verdict {
            Verdict::Broken { invariant, .. } => Some(invariant),
            Verdict::Held | Verdict::Unknown(_) => None,
        }
    }
}

#[test]
fn a_sound_history_is_held_when_every_check_had_something_to_look_at() {
    let mut story = Story::new();
    let (_, known, a) = story.put(vec![]);
    let (b_id, _, b) = story.put(vec![known]);
    let seen = story.read(&[(b_id, b)], &[a, b]);
    let delete = story.begin(WriteKind::Delete, vec![seen]);
    let (known, d) = story.stored(delete);
    let (c_id, _, c) = story.put(vec![known]);
    story.recorder.attempt(c_id, HostIndex(1));
    let audit = story.look(&[(c_id, c)], &[a, b, c, d]);
    let judgement = judge(story.evidence(audit));
    assert_eq!(judgement.verdict, Verdict::Held, "{:?}", judgement.checked);
}

#[test]
fn a_history_that_shows_nothing_is_no_proof() {
    let story = Story::new();
    let audit = story.look(&[], &[]);
    assert!(matches!(judge(story.evidence(audit)).verdict, Verdict::Unknown(_)));
}

#[test]
fn an_acknowledged_write_that_is_gone_is_found() {
    let mut story = Story::new();
    let _ = story.put(vec![]);
    let (b_id, _, b) = story.put(vec![]);
    let audit = story.look(&[(b_id, b)], &[b]);
    assert_eq!(story.broken(audit), Some("acked_write_survives"));
}

#[test]
fn a_claim_that_an_unseen_write_was_replaced_is_found() {
    let mut story = Story::new();
    // Nobody knows whether it was stored; a read showed its dot, beside another.
    let a_id = story.begin(WriteKind::Value, vec![]);
    story.recorder.given_up(a_id, false);
    let a = story.dot();
    let (b_id, _, b) = story.put(vec![]);
    story.read(&[(a_id, a), (b_id, b)], &[a, b]);
    let audit = story.look(&[(b_id, b)], &[a, b]);
    assert_eq!(story.broken(audit), Some("no_false_overwrite"));
}

#[test]
fn a_deleted_value_that_is_back_is_found() {
    let mut story = Story::new();
    let (a_id, known, a) = story.put(vec![]);
    let delete = story.begin(WriteKind::Delete, vec![known]);
    story.stored(delete);
    let audit = story.look(&[(a_id, a)], &[a]);
    assert_eq!(story.broken(audit), Some("deleted_stays_deleted"));
}

#[test]
fn a_version_that_nobody_wrote_or_of_another_length_is_found() {
    for damage in [
        |sibling: &mut ExplainedSibling| sibling.request = RequestId(77),
        |sibling: &mut ExplainedSibling| sibling.bytes += 1,
        |sibling: &mut ExplainedSibling| sibling.tombstone = true,
    ] {
        let mut story = Story::new();
        let (a_id, _, a) = story.put(vec![]);
        let (b_id, _, b) = story.put(vec![]);
        let mut audit = story.look(&[(a_id, a), (b_id, b)], &[a, b]);
        let explained = audit.explained.get_mut(&KEY).unwrap();
        for replica in &mut explained.replicas {
            damage(&mut replica.siblings[1]);
            // An unknown dot as well, or it would be known by that.
            replica.siblings[1].dot.counter = 99;
        }
        assert_eq!(story.broken(audit), Some("no_invention"));
    }
}

#[test]
fn what_a_node_that_stood_still_stores_after_replicas_agreed_is_known_by_the_last_reads() {
    for (settled, broken) in [(true, None), (false, Some("no_invention"))] {
        let mut story = Story::new();
        let (a_id, known, a) = story.put(vec![]);
        // Without idempotency key: its request id is of the node's choice.
        let b_id = story.begin(WriteKind::Value, vec![known]);
        story.recorder.lock().requests.retain(|_, write| *write != b_id);
        story.recorder.given_up(b_id, false);
        story.read_as(&[(a_id, a)], &[a], true);
        let b = story.dot();
        let audit = story.look(&[(b_id, b)], &[a, b]);
        if !settled {
            story.read_as(&[(a_id, a)], &[a], true);
        }
        assert_eq!(story.broken(audit), broken, "settled: {settled}");
    }
}

#[test]
fn a_failed_write_that_a_replica_holds_is_found() {
    let mut story = Story::new();
    let a_id = story.begin(WriteKind::Value, vec![]);
    story.recorder.given_up(a_id, true);
    let a = story.dot();
    let mut audit = story.look(&[(a_id, a)], &[a]);
    // No read may show it, or that would be found first.
    story.recorder.lock().history.reads.clear();
    audit.settled_at = None;
    assert_eq!(story.broken(audit), Some("failed_means_not_applied"));
}

#[test]
fn a_dot_of_two_writes_is_found() {
    let mut story = Story::new();
    let (_, known, _) = story.put(vec![]);
    story.counter = 0;
    let (b_id, _, b) = story.put(vec![]);
    let (c_id, _, c) = story.put(vec![known]);
    let audit = story.look(&[(b_id, b), (c_id, c)], &[b, c]);
    assert_eq!(story.broken(audit), Some("no_dot_twice"));
}

#[test]
fn a_write_that_is_sent_again_must_be_the_same_version() {
    // The answer names the known version, a new one, or one that replicas had seen during the faults.
    let found = Some("one_version_per_put");
    for (again, seen, broken) in [(false, false, None), (true, false, found), (true, true, None)] {
        let mut story = Story::new();
        let (a_id, _, a) = story.put(vec![]);
        let other = story.dot();
        let covered = if seen { vec![a, other] } else { vec![a] };
        let mut audit = story.look(&[(a_id, a)], &covered);
        let named = if again { other } else { a };
        audit.retried.push((a_id, story.recorder.now(), set(&[named])));
        assert_eq!(story.broken(audit), broken, "again: {again}, seen: {seen}");
    }
}

#[test]
fn replicas_that_differ_or_still_wait_for_hints_are_found() {
    let story = |change: fn(&mut Explained)| {
        let mut story = Story::new();
        let (a_id, _, a) = story.put(vec![]);
        let mut audit = story.look(&[(a_id, a)], &[a]);
        change(audit.explained.get_mut(&KEY).unwrap());
        story.broken(audit)
    };
    assert_eq!(story(|_| {}), None);
    assert_eq!(story(|e| e.replicas[1].siblings.clear()), Some("replicas_converge"));
    assert_eq!(story(|e| e.hints = 1), Some("replicas_converge"));
    assert_eq!(story(|e| e.replicas[2].state = "unsure".into()), Some("no_invention"));
    assert_eq!(story(|e| e.replicas[2].node = NODES[4]), Some("replicas_converge"));
}

#[test]
fn a_delete_of_unknown_outcome_stands_for_what_its_client_had_read_and_for_nothing_else() {
    for (had_read, broken) in [(true, None), (false, Some("acked_write_survives"))] {
        let mut story = Story::new();
        let (_, known, a) = story.put(vec![]);
        let known = if had_read { vec![known] } else { vec![story.read(&[], &[])] };
        story.recorder.lock().history.reads.clear();
        let delete = story.begin(WriteKind::Delete, known);
        story.recorder.given_up(delete, false);
        let (b_id, _, b) = story.put(vec![]);
        let audit = story.look(&[(b_id, b)], &[b]);
        assert_eq!(story.broken(audit), broken, "{a} had been read: {had_read}");
    }
}

#[test]
fn whoever_saw_a_delete_replaces_what_it_replaced() {
    for (saw_it, broken) in [(true, Some("siblings_bounded")), (false, None)] {
        let mut story = Story::new();
        let (a_id, known, a) = story.put(vec![]);
        let seen_early = story.read(&[], &[]);
        story.recorder.lock().history.reads.clear();
        let delete = story.begin(WriteKind::Delete, vec![known]);
        let (_, d) = story.stored(delete);
        let seen_late = story.read(&[], &[a, d]);
        let (b_id, _, b) = story.put(vec![if saw_it { seen_late } else { seen_early }]);
        // Somebody reads both values side by side, at one replica: it may have missed the delete.
        story.read(&[(a_id, a), (b_id, b)], &[a, b]);
        if let Some(read) = story.recorder.lock().history.reads.last_mut() {
            read.r = 1;
        }
        let held = [(b_id, b), (delete, d)];
        let held = if saw_it { &held[..1] } else { &held[..] };
        let audit = story.look(held, &[a, d, b]);
        assert_eq!(story.broken(audit), broken, "saw it: {saw_it}");
    }
}

#[test]
fn keys_with_deletes_without_context_are_judged_without_causality_and_not_otherwise() {
    let mut story = Story::new();
    let _ = story.put(vec![]);
    let delete = story.begin(WriteKind::DeleteUnseen, vec![]);
    story.recorder.given_up(delete, false);
    let audit = story.look(&[], &[]);
    assert_eq!(story.broken(audit), None);

    let mut story = Story::new();
    let _ = story.put(vec![]);
    let delete = story.begin(WriteKind::DeleteUnseen, vec![]);
    story.recorder.given_up(delete, true);
    let audit = story.look(&[], &[]);
    assert_eq!(story.broken(audit), Some("acked_write_survives"));
}

#[test]
fn a_write_without_idempotency_key_is_known_by_its_dot_or_its_value() {
    let mut story = Story::new();
    let (a_id, _, a) = story.put(vec![]);
    story.recorder.lock().requests.clear();
    let audit = story.look(&[(a_id, a)], &[a]);
    assert_eq!(story.broken(audit), None);

    // Minted twice, and answers show it once: its request id, whatever it is, tells.
    let mut story = Story::new();
    let (a_id, _, a) = story.put(vec![]);
    story.recorder.lock().requests.clear();
    let (b_id, _, b) = story.put(vec![]);
    let twin = story.dot();
    let audit = story.look(&[(a_id, a), (b_id, b), (a_id, twin)], &[a, b, twin]);
    let shown = Seen::Write(a_id);
    for read in &mut story.recorder.lock().history.reads {
        read.values.dedup_by(|one, other| one == other || *one == shown);
    }
    story.recorder.lock().shown.clear();
    assert_eq!(story.broken(audit), None);

    // Its acknowledgement was lost: only the value that reads show can tell.
    let mut story = Story::new();
    let a_id = story.begin(WriteKind::Value, vec![]);
    story.recorder.given_up(a_id, false);
    let a = story.dot();
    story.recorder.lock().requests.clear();
    let audit = story.look(&[(a_id, a)], &[a]);
    let evidence = story.evidence(audit);
    let held = evidence.held(KEY, HostIndex(1));
    assert_eq!(held.writes().collect::<Vec<_>>(), [a_id]);
    assert_eq!(evidence.history.write(a_id).outcome, Outcome::Unknown);
}

#[test]
fn the_dot_of_a_put_ends_the_interval_that_its_answer_adds() {
    // Counters 3 and 4 went to other keys of the partition.
    let mut story = Story::new();
    let id = story.begin(WriteKind::Value, vec![]);
    let mut covered = DotSet::new();
    covered.insert_interval(ActorId(9), 2, 5);
    story.recorder.stored(id, HostIndex(0), (seal(&covered, 1), receipt())).unwrap();
    let dot = Dot { actor: ActorId(9), counter: 5 };
    let audit = story.look(&[(id, dot)], &[dot]);
    let evidence = story.evidence(audit);
    assert_eq!(evidence.minted[&id].iter().map(|m| m.dot).collect::<Vec<_>>(), [dot]);
}

#[test]
fn a_version_that_was_seen_alone_may_be_another_one_of_its_write() {
    for (is_covered, expected) in [(true, None), (false, Some("siblings_bounded"))] {
        let mut story = Story::new();
        let (a_id, _, a) = story.put(vec![]);
        // Made again, elsewhere; the read does not say so, and the other version is replaced.
        let again = story.dot();
        let covered = if is_covered { vec![again] } else { vec![] };
        let seen = story.read(&[(a_id, again)], &covered);
        let (b_id, _, b) = story.put(vec![seen]);
        let audit = story.look(&[(a_id, a), (b_id, b)], &[a, again, b]);
        assert_eq!(story.broken(audit), expected, "covered: {covered:?}");
    }
}
