//! Two members of the only partition of a ring as whole machines, one of which misses writes, with a
//! network of fixed delay between them.
//!
//! A row is a name and a number, from which its record is made when it is read: one version with a
//! value of [`VALUE_BYTES`], which replaced the one before.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use dynamo_merkle::{ItemDigest, NodePath, SumTree, TreeKey};
use dynamo_messages::{KnownBy, RepairMessage};
use dynamo_repair::anti_entropy::{
    AntiEntropy, AntiEntropyConfig, AntiEntropyEffect, AntiEntropyEvent, LeafItem, PartitionState,
    Partitions, Traffic,
};
use dynamo_types::{
    ActorId, Bucket, CheckpointName, Instant, Key, NodeId, ObjectName, PartitionCount, PartitionId,
    Position, RequestId,
};
use dynamo_versioning::{BodyDigest, Content, Dot, DotClock, DotSet, Hlc, Record, Sibling};

/// What values have.
const VALUE_BYTES: usize = 100;
/// How long a message takes: so little that the two do not ask each other at once.
const DELAY: Duration = Duration::from_millis(1);
const ACTOR: ActorId = ActorId(0x9e37_79b9_7f4a_7c15);
const PARTITION: PartitionId = PartitionId(0);

static KEY: LazyLock<TreeKey> = LazyLock::new(|| TreeKey::derive(&[5; 32]));

fn q() -> PartitionCount {
    PartitionCount::new(1).expect("a power of two")
}

fn name(number: u32) -> ObjectName {
    ObjectName {
        bucket: Bucket::new("carts").expect("a bucket name"),
        key: Key::new(format!("customer-{number:07}")).expect("a key"),
    }
}

fn digest(position: Position, counter: u64) -> ItemDigest {
    let mut dot = ACTOR.0.to_be_bytes().to_vec();
    dot.extend_from_slice(&counter.to_be_bytes());
    ItemDigest::of(&KEY, &position.0.to_be_bytes(), &dot)
}

/// The record whose version has that number.
fn record(counter: u64) -> Record {
    let dot = Dot::new(ACTOR, counter);
    let sibling = Sibling {
        dot,
        hlc: Hlc(counter),
        content: Content::Value {
            bytes: vec![7; VALUE_BYTES].into(),
            content_type: Bytes::from_static(b"text/plain"),
        },
        expires_at: None,
        request: RequestId(counter.into()),
        digest: BodyDigest(counter.into()),
    };
    Record::from_parts(DotSet::from_iter([dot]), Hlc(counter), vec![sibling]).expect("one version")
}

/// What a member has.
struct Copy {
    rows: BTreeMap<u128, (ObjectName, u64)>,
    tree: SumTree,
    clock: DotClock,
}

impl Partitions for Copy {
    fn state(&self, partition: PartitionId) -> Option<PartitionState<'_>> {
        let (tree, clock) = (&self.tree, &self.clock);
        let state = PartitionState {
            register: dynamo_types::RegisterTag::of_digest(1),
            one_at_a_time: false,
            tree,
            clock,
            incomplete: false,
            losses: 0,
        };
        (partition == PARTITION).then_some(state)
    }

    fn has_left(&self, _: PartitionId, _: NodeId) -> bool {
        false
    }

    fn known(&self, _: PartitionId) -> Vec<KnownBy> {
        Vec::new()
    }

    fn has_taken(&self, _: PartitionId, _: &[CheckpointName]) -> bool {
        true
    }
}

impl Copy {
    fn put(&mut self, name: ObjectName, counter: u64) {
        let position = Position::of_object(&name);
        let old = self.rows.insert(position.0, (name, counter));
        let old = old.map(|(_, old)| digest(position, old));
        self.tree.replace(position, old, Some(digest(position, counter)));
        self.clock.dots.insert(Dot::new(ACTOR, counter));
    }

    fn items(&self, leaf: NodePath) -> Vec<LeafItem> {
        let positions = leaf.positions(q(), PARTITION);
        let range = self.rows.range(positions.start().0..=positions.end().0);
        let items = range.map(|(position, (name, counter))| {
            let position = Position(*position);
            LeafItem { position, name: name.clone(), digest: digest(position, *counter) }
        });
        items.collect()
    }
}

/// Both members.
pub(crate) struct Machines {
    now: Instant,
    copies: [Copy; 2],
    machines: [AntiEntropy; 2],
    counter: u64,
}

/// What it took to make them equal.
#[derive(Debug, Default)]
pub(crate) struct Healed {
    pub(crate) finding: Traffic,
    pub(crate) shipping: Traffic,
    pub(crate) trips: u128,
    /// Sessions that were not complete.
    pub(crate) failed: u64,
}

impl Machines {
    /// Both hold so many records.
    pub(crate) fn new(records: u32) -> Self {
        let copy = || {
            let tree = SumTree::new(q(), SumTree::depth_for(records.into()));
            let mut copy = Copy { rows: BTreeMap::new(), tree, clock: DotClock::new() };
            for number in 0..records {
                copy.put(name(number), u64::from(number) + 1);
            }
            copy
        };
        let machine = |node| {
            let config = AntiEntropyConfig { pause: Duration::ZERO, ..config(node) };
            AntiEntropy::new(config, node)
        };
        let mut machines = Self {
            now: Instant::ZERO,
            copies: [copy(), copy()],
            machines: [machine(1), machine(2)],
            counter: records.into(),
        };
        for side in [0, 1] {
            let node = NodeId(2 - side as u64);
            let event = AntiEntropyEvent::PeerConnected { node, shared: vec![PARTITION] };
            machines.machines[side].handle(machines.now, event, &machines.copies[side]);
        }
        machines
    }

    /// A write that the first member misses.
    pub(crate) fn write(&mut self, number: u32) {
        self.counter += 1;
        self.copies[1].put(name(number), self.counter);
    }

    pub(crate) fn are_equal(&self) -> bool {
        let [a, b] = &self.copies;
        a.rows == b.rows && a.tree == b.tree && a.clock == b.clock
    }

    /// Lets the members compare themselves once, from the first look until both have joined.
    pub(crate) fn heal(&mut self) -> Healed {
        let mut healed = Healed::default();
        let before: u64 = self.machines.iter().map(|m| m.counters().sessions_failed).sum();
        let mut network: BTreeMap<(Instant, u64), (usize, RepairMessage)> = BTreeMap::new();
        let (mut sent, mut began, mut exchanged, mut answered) = (0, None, 0, false);
        loop {
            for side in [0, 1] {
                while let Some(effect) = self.machines[side].poll_effect() {
                    match effect {
                        AntiEntropyEffect::Send { message, .. } => {
                            began.get_or_insert(self.now);
                            answered |= matches!(message, RepairMessage::RootsAnswer(_));
                            match &message {
                                RepairMessage::State { state, .. } => {
                                    healed.shipping.count(state.cost());
                                }
                                other => healed.finding.count(other.cost()),
                            }
                            sent += 1;
                            network.insert((self.now + DELAY, sent), (1 - side, message));
                        }
                        AntiEntropyEffect::Exchanged { clock, .. } => {
                            self.copies[side].clock.join(&clock);
                            exchanged += 1;
                        }
                        other => {
                            if let Some(event) = self.carry_out(side, other) {
                                self.machines[side].handle(self.now, event, &self.copies[side]);
                            }
                        }
                    }
                }
            }
            let is_equal = answered && network.is_empty() && self.are_equal();
            if exchanged == 2 || is_equal {
                let took = self.now.saturating_since(began.unwrap_or(self.now));
                healed.trips = took.as_nanos().div_ceil((2 * DELAY).as_nanos());
                let after: u64 = self.machines.iter().map(|m| m.counters().sessions_failed).sum();
                healed.failed = after - before;
                return healed;
            }
            self.step(&mut network);
        }
    }

    fn step(&mut self, network: &mut BTreeMap<(Instant, u64), (usize, RepairMessage)>) {
        let timeouts = self.machines.iter().filter_map(AntiEntropy::poll_timeout);
        let delivery = network.first_key_value().map(|((due, _), _)| *due);
        let next = timeouts.chain(delivery).min().expect("roots are compared for ever");
        self.now = self.now.max(next);
        if delivery.is_some_and(|due| due <= self.now) {
            let (_, (to, message)) = network.pop_first().expect("it is due");
            let event = AntiEntropyEvent::Received { from: NodeId(2 - to as u64), message };
            self.machines[to].handle(self.now, event, &self.copies[to]);
        } else {
            for side in [0, 1] {
                self.machines[side].handle_timeout(self.now, &self.copies[side]);
            }
        }
    }

    fn carry_out(&mut self, side: usize, effect: AntiEntropyEffect) -> Option<AntiEntropyEvent> {
        let copy = &mut self.copies[side];
        match effect {
            AntiEntropyEffect::ReadLeaf { read, leaf, .. } => {
                Some(AntiEntropyEvent::LeafRead { read, items: copy.items(leaf) })
            }
            AntiEntropyEffect::ReadRecord { read, name, .. } => {
                let row = copy.rows.get(&Position::of_object(&name).0);
                let record = row.map(|(_, counter)| record(*counter));
                Some(AntiEntropyEvent::RecordRead { read, record })
            }
            AntiEntropyEffect::StoreState { token, name, pieces, .. } => {
                for dot in pieces.iter().flat_map(Record::dots) {
                    let row = copy.rows.get(&Position::of_object(&name).0);
                    if row.is_none_or(|(_, held)| *held < dot.counter) {
                        copy.put(name.clone(), dot.counter);
                    }
                }
                Some(AntiEntropyEvent::StateStored { token, collected: Vec::new() })
            }
            AntiEntropyEffect::LeafAgrees { .. } | AntiEntropyEffect::Met { .. } => None,
            other => panic!("{other:?}"),
        }
    }
}

fn config(node: u64) -> AntiEntropyConfig {
    AntiEntropyConfig::new(NodeId(node))
}
