//! Two replicas of the only partition of a ring, and a network of fixed delay between them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use dynamo_merkle::{ItemDigest, NodePath, SumTree, TreeKey};
use dynamo_messages::repair::{Answer, Question, SessionId};
use dynamo_repair::anti_entropy::{
    Differing, Effect, Event, FindingConfig, Initiator, LeafItem, Outcome, Responder, Sides,
    Snapshot,
};
use dynamo_types::{Bucket, Instant, Key, ObjectName, PartitionCount, PartitionId, Position};

/// How long a message takes.
pub(crate) const DELAY: Duration = Duration::from_millis(500);

static KEY: LazyLock<TreeKey> = LazyLock::new(|| TreeKey::derive(&[5; 32]));

/// What one node holds.
#[derive(Clone)]
pub(crate) struct Replica {
    pub(crate) records: BTreeMap<u128, LeafItem>,
    pub(crate) tree: SumTree,
    /// Leaves that cannot be read.
    pub(crate) damaged: Vec<NodePath>,
}

pub(crate) fn q() -> PartitionCount {
    PartitionCount::new(1).expect("a power of two")
}

/// The record of a number, with the dots that a version number stands for.
pub(crate) fn item(number: u32, version: u32) -> (Position, LeafItem) {
    let name = ObjectName {
        bucket: Bucket::new("carts").expect("a bucket name"),
        key: Key::new(format!("customer-{number:07}")).expect("a key"),
    };
    let position = Position::of_object(&name);
    let digest = ItemDigest::of(&KEY, &position.0.to_be_bytes(), &version.to_be_bytes());
    (position, LeafItem { position, name, digest })
}

impl Replica {
    pub(crate) fn new(depth: u8) -> Self {
        Self { records: BTreeMap::new(), tree: SumTree::new(q(), depth), damaged: Vec::new() }
    }

    pub(crate) fn put(&mut self, number: u32, version: u32) {
        let (position, item) = item(number, version);
        self.hold(position, item);
    }

    #[allow(dead_code, reason = "an example uses this harness too, and takes nothing away")]
    pub(crate) fn take(&mut self, number: u32) {
        let position = item(number, 0).0;
        let old = self.records.remove(&position.0).map(|old| old.digest);
        self.tree.replace(position, old, None);
    }

    pub(crate) fn hold(&mut self, position: Position, item: LeafItem) {
        let new = item.digest;
        let old = self.records.insert(position.0, item).map(|old| old.digest);
        self.tree.replace(position, old, Some(new));
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            partition: PartitionId(0),
            tree: self.tree.clone(),
            clock: Some(Arc::default()),
            losses: 0,
            register: dynamo_types::RegisterTag::of_digest(1),
            known: Vec::new(),
            sides: Sides::default(),
        }
    }

    fn leaf<M>(&self, leaf: NodePath) -> Event<M> {
        if self.damaged.contains(&leaf) {
            return Event::LeafUnreadable { leaf };
        }
        let positions = leaf.positions(q(), PartitionId(0));
        let range = positions.start().0..=positions.end().0;
        Event::Leaf {
            leaf,
            items: self.records.range(range).map(|(_, item)| item.clone()).collect(),
        }
    }
}

/// What came of a session.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) here: Vec<Differing>,
    pub(crate) there: Vec<Differing>,
    /// How often each side said that a leaf agrees.
    pub(crate) agreed: [u32; 2],
    /// The initiator's and the responder's.
    pub(crate) outcomes: [Option<Outcome>; 2],
    /// When the initiator was done.
    pub(crate) took: Duration,
}

impl Report {
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcomes[0].expect("the initiator ended")
    }

    /// How often the initiator waited for an answer, if all pauses are zero.
    pub(crate) fn round_trips(&self) -> u128 {
        self.took.as_nanos() / (2 * DELAY).as_nanos()
    }
}

enum Message {
    Question(Question),
    Answer(Answer),
}

/// Compares two replicas. `at` is called with the time before every step: it may change what the
/// replicas hold, as writes do, and answers on their way, as a broken peer does.
pub(crate) fn compare(
    here: &mut Replica,
    there: &mut Replica,
    config: FindingConfig,
    seed: u64,
    mut at: impl FnMut(Instant, &mut Replica, &mut Replica, Option<&mut Answer>),
) -> Report {
    let mut report = Report::default();
    let mut now = Instant::ZERO;
    let mut network: BTreeMap<(Instant, u64), Message> = BTreeMap::new();
    let mut sent = 0;
    let session = SessionId(seed);
    let mut initiator = Initiator::new(config, session, here.snapshot());
    let mut responder: Option<Responder> = None;
    loop {
        at(now, here, there, None);
        while let Some(effect) = initiator.poll_effect() {
            match effect {
                Effect::Send(question) => {
                    sent += 1;
                    network.insert((now + DELAY, sent), Message::Question(question));
                }
                Effect::NeedLeaf { leaf } => initiator.handle(now, here.leaf(leaf)),
                Effect::Differ { records, .. } => report.here.extend(records),
                Effect::LeafAgrees { .. } => report.agreed[0] += 1,
                Effect::Opened { .. } => {}
                Effect::Refused(why) => panic!("{why:?}"),
                Effect::Agreed { .. } | Effect::Ended(_) => {
                    report.took = now.saturating_since(Instant::ZERO);
                    report.outcomes[0] = Some(initiator.outcome());
                }
            }
        }
        while let Some(effect) = responder.as_mut().and_then(Responder::poll_effect) {
            match effect {
                Effect::Send(mut answer) => {
                    at(now, here, there, Some(&mut answer));
                    sent += 1;
                    network.insert((now + DELAY, sent), Message::Answer(answer));
                }
                Effect::NeedLeaf { leaf } => {
                    let event = there.leaf(leaf);
                    responder.as_mut().expect("it had an effect").handle(event);
                }
                Effect::Opened { .. } => {}
                Effect::Agreed { .. } => {
                    report.outcomes[1] = responder.as_ref().map(Responder::outcome);
                }
                Effect::Refused(why) => panic!("{why:?}"),
                Effect::Differ { records, .. } => report.there.extend(records),
                Effect::LeafAgrees { .. } => report.agreed[1] += 1,
                Effect::Ended(outcome) => report.outcomes[1] = Some(outcome),
            }
        }
        let delivery = network.first_key_value().map(|((due, _), _)| *due);
        let Some(next) = initiator.poll_timeout().into_iter().chain(delivery).min() else {
            return report;
        };
        now = now.max(next);
        if delivery.is_some_and(|due| due <= now) {
            let (_, message) = network.pop_first().expect("it is due");
            match (message, &mut responder) {
                (Message::Question(Question::Open(opening)), None) => {
                    responder = Some(Responder::new(config, session, there.snapshot(), opening));
                }
                (Message::Question(question), Some(responder)) => {
                    responder.handle(Event::Received(question));
                }
                (Message::Question(_), None) => panic!("a session begins by opening it"),
                (Message::Answer(answer), _) => initiator.handle(now, Event::Received(answer)),
            }
        } else {
            initiator.handle_timeout(now);
        }
    }
}
