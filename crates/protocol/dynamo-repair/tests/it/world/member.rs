//! One member: rows, trees and clocks as a node keeps them, around its machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use dynamo_merkle::{ItemDigest, NodePath, Sum, SumTree, TreeKey};
use dynamo_messages::KnownBy;
use dynamo_repair::anti_entropy::{
    AntiEntropy, AntiEntropyConfig, AntiEntropyEffect, AntiEntropyEvent, LeafItem, PartitionState,
    Partitions, ReadId, StateToken,
};
use dynamo_types::{
    ActorId, CheckpointName, Instant, NodeId, ObjectName, PartitionId, Position, WallTime,
};
use dynamo_versioning::{
    Applied, Dot, DotClock, DotMint, DotSet, HybridClock, Put, Received, Record, StoredRecord,
    apply_put, collectable, receive_delayed, receive_state, shrink,
};

use super::{Mood, partition_of, q};

const WALL: WallTime = WallTime(1_000_000);

static KEY: LazyLock<TreeKey> = LazyLock::new(|| TreeKey::derive(&[5; 32]));

/// A member's copy of one partition.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) tree: SumTree,
    pub(crate) clock: DotClock,
    pub(crate) incomplete: bool,
    /// While incomplete: the clocks of the members that it exchanged with.
    learned: BTreeMap<NodeId, Arc<DotClock>>,
    /// While incomplete: versions that were taken in under the rule for delayed messages, which an
    /// empty clock cannot apply.
    taken: DotSet,
    backup_horizon: DotSet,
    mint: DotMint,
}

/// All copies, which of them have no tree yet, and who has left the partitions.
pub(crate) struct Copies(
    BTreeMap<PartitionId, Copy>,
    pub(crate) BTreeSet<PartitionId>,
    pub(crate) BTreeSet<NodeId>,
);

impl Copies {
    pub(crate) fn get(&self, partition: &PartitionId) -> Option<&Copy> {
        self.0.get(partition)
    }
}

impl Partitions for Copies {
    fn state(&self, partition: PartitionId) -> Option<PartitionState<'_>> {
        let copy = self.0.get(&partition).filter(|_| !self.1.contains(&partition));
        let Copy { tree, clock, incomplete, .. } = copy?;
        Some(PartitionState {
            register: dynamo_types::RegisterTag::of_digest(1),
            one_at_a_time: false,
            tree,
            clock,
            incomplete: *incomplete,
            losses: 0,
        })
    }

    fn has_left(&self, _: PartitionId, node: NodeId) -> bool {
        self.2.contains(&node)
    }

    /// No disk of this world is ever set back.
    fn known(&self, _: PartitionId) -> Vec<KnownBy> {
        Vec::new()
    }

    fn has_taken(&self, _: PartitionId, _: &[CheckpointName]) -> bool {
        true
    }
}

/// What the disk shall do.
pub(crate) enum Work {
    Leaf(ReadId, PartitionId, NodePath),
    Record(ReadId, ObjectName),
    State { token: StateToken, name: ObjectName, pieces: Vec<Record>, sender: Arc<DotClock> },
    Drop { token: StateToken, name: ObjectName, dots: Vec<Dot> },
}

/// What it did; a store takes effect when it is done.
pub(crate) enum DiskResult {
    Event(AntiEntropyEvent),
    State { token: StateToken, name: ObjectName, pieces: Vec<Record>, sender: Arc<DotClock> },
    Drop { token: StateToken, name: ObjectName, dots: Vec<Dot> },
}

pub(crate) struct Member {
    pub(crate) number: usize,
    pub(crate) machine: AntiEntropy,
    pub(crate) copies: Copies,
    rows: BTreeMap<u128, (ObjectName, StoredRecord)>,
    hybrid: HybridClock,
    /// Counts process starts.
    pub(crate) process: u64,
    pub(crate) connected: BTreeSet<usize>,
    /// The last durable clock that each member told this one.
    pub(crate) reports: BTreeMap<(PartitionId, usize), DotSet>,
    members: usize,
    /// Leaves whose drift from their records was put right.
    pub(crate) corrected: u32,
    /// Leaves that cannot be read.
    pub(crate) damaged_leaves: BTreeSet<(PartitionId, NodePath)>,
    /// What the rows were at some time.
    backup: BTreeMap<u128, (ObjectName, StoredRecord)>,
    /// Whether anything changed since it was last judged.
    pub(crate) changed: bool,
}

impl Member {
    pub(crate) fn new(number: usize, mood: Mood, depth: u8, seed: u64) -> Self {
        let copy = || Copy {
            tree: SumTree::new(q(), depth),
            clock: DotClock::new(),
            incomplete: false,
            learned: BTreeMap::new(),
            taken: DotSet::new(),
            backup_horizon: DotSet::new(),
            mint: DotMint::new(ActorId(0)),
        };
        let copies = (0..mood.partitions).map(|p| (PartitionId(p), copy())).collect();
        let mut member = Self {
            number,
            machine: AntiEntropy::new(AntiEntropyConfig::new(NodeId(number as u64)), seed),
            copies: Copies(copies, BTreeSet::new(), BTreeSet::new()),
            rows: BTreeMap::new(),
            hybrid: HybridClock::new(),
            process: 0,
            connected: BTreeSet::new(),
            reports: BTreeMap::new(),
            members: mood.members,
            corrected: 0,
            damaged_leaves: BTreeSet::new(),
            backup: BTreeMap::new(),
            changed: true,
        };
        member.restart(seed);
        member
    }

    /// A new process: another actor, and a machine that knows nothing.
    pub(crate) fn restart(&mut self, seed: u64) {
        self.process += 1;
        self.hybrid = HybridClock::new();
        for (partition, copy) in &mut self.copies.0 {
            // One for each partition, so that a dot names one write of the history.
            let start = (self.process * 100 + self.number as u64) * 10 + u64::from(partition.0);
            copy.mint = DotMint::new(ActorId(start.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        }
        let config = AntiEntropyConfig::new(NodeId(self.number as u64));
        self.machine = AntiEntropy::new(config, seed);
    }

    pub(crate) fn handle(&mut self, now: Instant, event: AntiEntropyEvent) {
        self.machine.handle(now, event, &self.copies);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now, &self.copies);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    pub(crate) fn poll_effect(&mut self) -> Option<AntiEntropyEffect> {
        self.machine.poll_effect()
    }

    pub(crate) fn row(&self, name: &ObjectName) -> StoredRecord {
        let row = self.rows.get(&Position::of_object(name).0);
        row.map(|(_, row)| row.clone()).unwrap_or_default()
    }

    pub(crate) fn record(&self, name: &ObjectName) -> Record {
        self.row(name).record
    }

    /// The record, if there is one.
    pub(crate) fn held(&self, name: &ObjectName) -> Option<&Record> {
        self.rows.get(&Position::of_object(name).0).map(|(_, row)| &row.record)
    }

    fn copy(&mut self, name: &ObjectName) -> &mut Copy {
        self.changed = true;
        self.copies.0.get_mut(&partition_of(name)).expect("a member of its partition")
    }

    /// Writes a row and keeps the tree in step; an empty record is no row.
    fn write(&mut self, name: &ObjectName, row: StoredRecord) {
        let position = Position::of_object(name);
        let new = digest_of(position, &row.record);
        let old = if row.record.is_empty() {
            self.rows.remove(&position.0)
        } else {
            self.rows.insert(position.0, (name.clone(), row))
        };
        let old = old.and_then(|(_, old)| digest_of(position, &old.record));
        self.copy(name).tree.replace(position, old, new);
    }

    pub(crate) fn put(&mut self, name: &ObjectName, put: Put) -> Applied {
        let mut row = self.row(name);
        self.changed = true;
        let copy = self.copies.0.get_mut(&partition_of(name)).expect("a member");
        let applied = apply_put(&mut row, &mut copy.mint, &mut self.hybrid, WALL, put, usize::MAX)
            .expect("there is no limit");
        copy.clock.incorporate(&row.record);
        self.write(name, row);
        applied
    }

    /// Takes in versions, as state if the sender's clock is given.
    pub(crate) fn receive(
        &mut self,
        name: &ObjectName,
        piece: &Record,
        sender: Option<&DotClock>,
    ) -> Received {
        let partition = partition_of(name);
        let mut row = self.row(name);
        let cut = self.cut(partition);
        let copy = self.copy(name);
        if !copy.incomplete && row.record.is_empty() && collectable(piece, WALL, &cut) {
            return Received::default();
        }
        let received = match sender {
            Some(sender) => receive_state(&mut row, piece, &copy.clock, sender),
            None => receive_delayed(&mut row, piece, &copy.clock),
        };
        if copy.incomplete && sender.is_none_or(|sender| *sender == DotClock::new()) {
            piece.dots().filter(|dot| row.record.sibling(*dot).is_some()).for_each(|dot| {
                copy.taken.insert(dot);
            });
        }
        received.obsolete.iter().for_each(|dot| copy.clock.dots.insert(*dot));
        copy.clock.incorporate(&row.record);
        if received.changed {
            self.write(name, row);
        }
        received
    }

    /// Takes over what another member's clock has, as after an exchange.
    pub(crate) fn join(&mut self, partition: PartitionId, clock: &DotClock) {
        self.changed = true;
        self.copies.0.get_mut(&partition).expect("a member").clock.join(clock);
    }

    /// A row is gone, and that is noticed. Tells whether there was one.
    pub(crate) fn lose(&mut self, name: &ObjectName) -> bool {
        let was_there = !self.record(name).is_empty();
        self.write(name, StoredRecord::default());
        was_there
    }

    pub(crate) fn back_up(&mut self) {
        self.backup = self.rows.clone();
        for copy in self.copies.0.values_mut() {
            copy.backup_horizon = copy.clock.horizon.clone();
        }
    }

    /// A partition is what it was in the backup.
    pub(crate) fn roll_back(&mut self, partition: PartitionId) {
        let copy = self.copies.0.get_mut(&partition).expect("a member");
        copy.clock.horizon = copy.backup_horizon.clone();
        for (name, _) in self.rows_of(partition) {
            self.write(&name, StoredRecord::default());
        }
        let backup = self.backup.values().filter(|(name, _)| partition_of(name) == partition);
        for (name, row) in backup.cloned().collect::<Vec<_>>() {
            self.write(&name, StoredRecord { own: None, ..row });
        }
    }

    pub(crate) fn become_incomplete(&mut self, partition: PartitionId) {
        self.changed = true;
        let copy = self.copies.0.get_mut(&partition).expect("a member");
        copy.mint.raise_floor();
        // The horizon stays: without it, a row whose context was cut down would not say what it
        // replaced, and nobody would notice, since its versions are those of the other members.
        copy.clock.dots = DotSet::new();
        copy.incomplete = true;
        copy.learned.clear();
        // What is here now is offered to all others before this copy is complete.
        copy.taken = DotSet::new();
    }

    /// The clock as reported; an incomplete copy reports none.
    pub(crate) fn report(&self, partition: PartitionId) -> Option<DotSet> {
        let copy = self.copies.get(&partition)?;
        (!copy.incomplete).then(|| copy.clock.dots.clone())
    }

    fn cut(&self, partition: PartitionId) -> DotSet {
        let own = self.copies.0[&partition].clock.dots.clone();
        let others = (0..self.members).filter(|other| *other != self.number);
        others.fold(own, |cut, other| match self.reports.get(&(partition, other)) {
            Some(report) => cut.intersection(report),
            None => DotSet::new(),
        })
    }

    /// Collects by the stable cut; returns the records that went.
    pub(crate) fn collect(&mut self) -> Vec<Record> {
        let names: Vec<ObjectName> = self.rows.values().map(|(name, _)| name.clone()).collect();
        let mut gone = Vec::new();
        for name in names {
            let cut = self.cut(partition_of(&name));
            if self.copy(&name).incomplete {
                continue;
            }
            let mut row = self.row(&name);
            let before = row.record.clone();
            if collectable(&before, WALL, &cut) {
                self.copy(&name).clock.collected(before.context());
                self.write(&name, StoredRecord::default());
                gone.push(before);
            } else if shrink(&mut row.record, &cut) {
                self.copy(&name).clock.collected(before.context());
                self.write(&name, row);
            }
        }
        gone
    }

    /// Carries out an effect, or returns what the disk has to do for it.
    pub(crate) fn carry_out(&mut self, effect: AntiEntropyEffect) -> Option<Work> {
        match effect {
            AntiEntropyEffect::Send { .. } => unreachable!("the world sends"),
            AntiEntropyEffect::ReadLeaf { read, partition, leaf } => {
                Some(Work::Leaf(read, partition, leaf))
            }
            AntiEntropyEffect::ReadRecord { read, name, .. } => Some(Work::Record(read, name)),
            AntiEntropyEffect::StoreState { token, name, pieces, sender, .. } => {
                Some(Work::State { token, name, pieces, sender })
            }
            AntiEntropyEffect::DropVersions { token, name, dots, .. } => {
                Some(Work::Drop { token, name, dots })
            }
            AntiEntropyEffect::Exchanged { partition, with, clock, .. } => {
                self.exchanged(partition, with, clock);
                None
            }
            AntiEntropyEffect::Met { .. } => None,
            AntiEntropyEffect::LeafAgrees { partition, leaf, .. } => {
                self.correct(partition, leaf);
                None
            }
        }
    }

    pub(crate) fn result_of(&self, work: Work, fails: bool) -> DiskResult {
        DiskResult::Event(match work {
            Work::Leaf(read, partition, leaf) => {
                if fails || self.damaged_leaves.contains(&(partition, leaf)) {
                    AntiEntropyEvent::LeafUnreadable { read }
                } else {
                    AntiEntropyEvent::LeafRead { read, items: self.items(partition, leaf) }
                }
            }
            Work::Record(read, _) if fails => AntiEntropyEvent::RecordUnreadable { read },
            Work::Record(read, name) => {
                let record = Some(self.record(&name)).filter(|record| !record.is_empty());
                AntiEntropyEvent::RecordRead { read, record }
            }
            Work::State { token, .. } | Work::Drop { token, .. } if fails => {
                AntiEntropyEvent::StateRefused { token }
            }
            Work::State { token, name, pieces, sender } => {
                return DiskResult::State { token, name, pieces, sender };
            }
            Work::Drop { token, name, dots } => return DiskResult::Drop { token, name, dots },
        })
    }

    /// What the machine is to be told, and the partition that is found to have lost something.
    pub(crate) fn done(&mut self, result: DiskResult) -> (AntiEntropyEvent, Option<PartitionId>) {
        match result {
            DiskResult::Event(event) => (event, None),
            DiskResult::Drop { token, name, dots } => {
                let copy = self.copy(&name);
                let (incomplete, clock) = (copy.incomplete, copy.clock.clone());
                // A copy that became complete meanwhile drops what it knows to be collected.
                let gone =
                    |dot: &Dot| incomplete || clock.includes(*dot) && clock.horizon.contains(*dot);
                self.drop_versions(&name, &dots.into_iter().filter(gone).collect());
                (AntiEntropyEvent::StateStored { token, collected: Vec::new() }, None)
            }
            DiskResult::State { token, name, pieces, sender } => {
                let (mut collected, mut has_lost) = (Vec::new(), false);
                for piece in &pieces {
                    let received = self.receive(&name, piece, Some(&sender));
                    has_lost |= !received.lost.is_empty();
                    let record = self.record(&name);
                    let refused = received.obsolete.into_iter();
                    collected.extend(refused.filter(|dot: &Dot| !record.covers(*dot)));
                }
                let event = AntiEntropyEvent::StateStored { token, collected };
                (event, has_lost.then(|| partition_of(&name)))
            }
        }
    }

    fn exchanged(&mut self, partition: PartitionId, with: NodeId, clock: Arc<DotClock>) {
        self.changed = true;
        let others = self.members - 1;
        let copy = self.copies.0.get_mut(&partition).expect("a member");
        if !copy.incomplete {
            copy.clock.join(&clock);
            return;
        }
        copy.learned.insert(with, clock);
        if copy.learned.len() < others {
            return;
        }
        let mut joined = DotClock { dots: DotSet::new(), horizon: copy.clock.horizon.clone() };
        copy.learned.values().for_each(|clock| joined.join(clock));
        // What came as delayed meanwhile is judged now that there is a clock.
        let mut taken = copy.taken.intersection(&joined.dots).intersection(&joined.horizon);
        for (name, row) in self.rows_of(partition) {
            let dropped: DotSet = row.record.dots().filter(|dot| taken.contains(*dot)).collect();
            taken.subtract(&dropped);
            self.drop_versions(&name, &dropped);
        }
        for (_, row) in self.rows_of(partition) {
            joined.incorporate(&row.record);
        }
        let copy = self.copies.0.get_mut(&partition).expect("a member");
        copy.clock = joined;
        copy.incomplete = false;
        copy.learned.clear();
        copy.taken = DotSet::new();
    }

    fn rows_of(&self, partition: PartitionId) -> Vec<(ObjectName, StoredRecord)> {
        let rows = self.rows.values().filter(|(name, _)| partition_of(name) == partition);
        rows.cloned().collect()
    }

    fn drop_versions(&mut self, name: &ObjectName, dropped: &DotSet) {
        let row = self.row(name);
        if row.record.is_empty() || dropped.is_empty() {
            return;
        }
        let mut context = row.record.context().clone();
        context.subtract(dropped);
        let kept = row.record.siblings().iter().filter(|s| !dropped.contains(s.dot));
        let kept: Vec<_> = kept.cloned().collect();
        let record = if kept.is_empty() {
            Record::new()
        } else {
            Record::from_parts(context, row.record.hlc_max(), kept).expect("fewer siblings")
        };
        self.write(name, StoredRecord { record, own: row.own });
    }

    fn items(&self, partition: PartitionId, leaf: NodePath) -> Vec<LeafItem> {
        let positions = leaf.positions(q(), partition);
        let range = self.rows.range(positions.start().0..=positions.end().0);
        let items = range.map(|(position, (name, row))| LeafItem {
            position: Position(*position),
            name: name.clone(),
            digest: digest_of(Position(*position), &row.record).expect("a row has a record"),
        });
        items.collect()
    }

    /// Compares the tree with the records under a node, and corrects it where it is wrong.
    fn correct(&mut self, partition: PartitionId, node: NodePath) {
        for leaf in leaves_under(node, self.copies.0[&partition].tree.depth()) {
            let items = self.items(partition, leaf);
            let found = items.iter().fold(Sum::EMPTY, |sum, item| sum.with(item.digest));
            let copy = self.copies.0.get_mut(&partition).expect("a member");
            if copy.tree.correct_leaf(leaf, found) != Sum::EMPTY {
                self.corrected += 1;
            }
        }
    }

    /// Makes a tree wrong.
    pub(crate) fn rot(&mut self, partition: PartitionId, position: Position) {
        let copy = self.copies.0.get_mut(&partition).expect("a member");
        let leaf = copy.tree.leaf_of(position);
        copy.tree.add_to_leaf(leaf, Sum(1));
        self.corrected = 0;
    }

    /// The tree must be in step with the rows, unless it was made wrong.
    pub(crate) fn check_trees(&self) -> Result<(), String> {
        for (partition, copy) in &self.copies.0 {
            let items = self.items(*partition, NodePath::ROOT);
            let sum = items.iter().fold(Sum::EMPTY, |sum, item| sum.with(item.digest));
            let drift = copy.tree.root().minus(sum).0;
            if drift > 16 {
                return Err(format!("the tree of {} drifted by {drift}", self.number));
            }
        }
        Ok(())
    }

    /// At rest two members hold the same versions and clocks, and no tree is wrong.
    pub(crate) fn check_same(&self, other: &Self, partition: PartitionId) -> Result<(), String> {
        let rows = |member: &Self| {
            let rows = member.rows_of(partition).into_iter();
            rows.map(|(name, row)| (name, row.record.dots().collect())).collect::<Vec<_>>()
        };
        let (ours, theirs): (Vec<(_, Vec<Dot>)>, _) = (rows(self), rows(other));
        if ours != theirs {
            return Err(format!(
                "{} and {} differ: {ours:?} {theirs:?}",
                self.number, other.number
            ));
        }
        let (ours, theirs) = (&self.copies.0[&partition], &other.copies.0[&partition]);
        if ours.clock != theirs.clock || ours.incomplete || theirs.incomplete {
            return Err(format!("{} and {} have other clocks", self.number, other.number));
        }
        if ours.tree.root() != theirs.tree.root() {
            return Err(format!("{} and {} have other roots", self.number, other.number));
        }
        Ok(())
    }
}

/// The leaves of a tree under a node of its own or of a shallower depth.
fn leaves_under(node: NodePath, depth: u8) -> Vec<NodePath> {
    if node.depth() >= depth {
        return vec![node.ancestor(depth)];
    }
    node.children().flat_map(|child| leaves_under(child, depth)).collect()
}

fn digest_of(position: Position, record: &Record) -> Option<ItemDigest> {
    if record.is_empty() {
        return None;
    }
    let mut dots = Vec::new();
    for dot in record.dots() {
        dots.extend_from_slice(&dot.actor.0.to_be_bytes());
        dots.extend_from_slice(&dot.counter.to_be_bytes());
    }
    Some(ItemDigest::of(&KEY, &position.0.to_be_bytes(), &dots))
}
