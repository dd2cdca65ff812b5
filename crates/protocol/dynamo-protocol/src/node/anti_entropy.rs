//! Anti-entropy with the other members (Paper §4.7): what its machine asks of this node.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_merkle::NodePath;
use dynamo_messages::{PeerMessage, RepairMessage, WriteOutcome};
use dynamo_repair::anti_entropy::{
    AntiEntropy, AntiEntropyEffect, AntiEntropyEvent, LeafItem, ReadId, StateToken,
};
use dynamo_repair::budget::Work;
use dynamo_types::{Durability, NodeId, ObjectName, PartitionId};
use dynamo_versioning::{Dot, Record, StoredRecord};

use super::Node;
use super::budget::{ROWS_PER_UNIT, SESSION_UNITS, units_of_record};
use crate::effect::{Column, Effect, Lane, LoadId, ScanId};
use crate::event::{LoadedRow, ScannedRow};
use crate::replica::{IncomingWrite, Job, Place, ReplyTo};
use crate::rows;

/// Rows of a leaf that one scan brings; a leaf takes several.
const SCAN_ROWS_MAX: u32 = 4096;
/// Bytes that one scan of a leaf may read.
const SCAN_BYTES_MAX: u32 = 8 << 20;

/// A leaf that is being read.
#[derive(Debug)]
struct LeafScan {
    read: ReadId,
    to: Option<Bytes>,
    items: Vec<LeafItem>,
}

/// Anti-entropy and what it waits for.
#[derive(Debug)]
pub(super) struct Repairs {
    pub(super) machine: AntiEntropy,
    scans: BTreeMap<ScanId, LeafScan>,
    loads: BTreeMap<LoadId, (ReadId, ObjectName)>,
    /// Reads and stores that the background budget holds back, in order. At most `WAITING_MAX`.
    waiting: VecDeque<AntiEntropyEffect>,
    /// How many of these there are when it is looked whether all are still wanted.
    waiting_many: usize,
}

/// Reads and stores that can be held back: a session reads 16 records and a few leaves at once, and stores
/// 256 KiB of records, 3,000 at most, that the other side sent; 96 sessions run at once.
const WAITING_MAX: usize = 300_000;
/// With fewer it is not looked whether all are still wanted.
const WAITING_MANY: usize = 4_096;

impl Repairs {
    pub(super) fn new(machine: AntiEntropy) -> Self {
        Self {
            machine,
            scans: BTreeMap::new(),
            loads: BTreeMap::new(),
            waiting: VecDeque::new(),
            waiting_many: WAITING_MANY,
        }
    }

    /// Drops what no session waits for any more.
    fn forget_unwanted(&mut self) {
        if self.waiting.len() >= self.waiting_many {
            self.waiting.retain(|effect| self.machine.is_awaited(effect));
            self.waiting_many = (self.waiting.len() * 2).max(WAITING_MANY);
        }
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.waiting.len() <= WAITING_MAX, "what the budget holds back is bounded");
    }
}

impl Node {
    pub(super) fn repair_event(&mut self, event: AntiEntropyEvent) {
        self.tell_repairs(event);
        self.go_on_with_repairs();
    }

    pub(super) fn tell_repairs(&mut self, event: AntiEntropyEvent) {
        self.repairs.machine.handle(self.now.monotonic, event, &self.replica);
    }

    pub(super) fn repair_timeout(&mut self) {
        self.repairs.machine.handle_timeout(self.now.monotonic, &self.replica);
        self.go_on_with_repairs();
    }

    /// Whether the budget holds something back.
    pub(super) fn repairs_wait(&self) -> bool {
        !self.repairs.waiting.is_empty()
    }

    pub(super) fn repair_received(&mut self, from: NodeId, message: RepairMessage) {
        self.repair_event(AntiEntropyEvent::Received { from, message });
    }

    /// Tells the machine with whom this node shares what, at the start.
    pub(super) fn share_partitions(&mut self) {
        let here = self.config.node;
        let others = self.members().iter().map(|(node, _)| node);
        let others: Vec<NodeId> = others.filter(|node| *node != here).collect();
        for node in others {
            let shared = self.replica.shared_with(node);
            self.repair_event(AntiEntropyEvent::SharedWith { node, shared });
        }
    }

    /// Does what its machine wants; reads and stores as far as the budget has room.
    pub(super) fn drive_repairs(&mut self) {
        while let Some(effect) = self.repairs.machine.poll_effect() {
            match effect {
                AntiEntropyEffect::Send { to, message } => {
                    let lane = match message {
                        RepairMessage::Roots(_) | RepairMessage::RootsAnswer(_) => Lane::Background,
                        RepairMessage::Question { .. }
                        | RepairMessage::Answer { .. }
                        | RepairMessage::State { .. } => Lane::Bulk,
                    };
                    self.send(to, lane, PeerMessage::Repair(message));
                }
                effect @ (AntiEntropyEffect::ReadLeaf { .. }
                | AntiEntropyEffect::ReadRecord { .. }
                | AntiEntropyEffect::StoreState { .. }
                | AntiEntropyEffect::DropVersions { .. }) => {
                    self.repairs.waiting.push_back(effect);
                }
                AntiEntropyEffect::Exchanged {
                    partition,
                    with,
                    clock,
                    from_incomplete,
                    losses,
                } => {
                    self.replica.exchanged(partition, with, &clock, from_incomplete, losses);
                }
                AntiEntropyEffect::Met { partition, with, incomplete, known } => {
                    self.spend(Work::Exchange, SESSION_UNITS);
                    self.met(partition, with, incomplete, &known);
                }
                // The scrub comes by: it compares the sum with the records while nothing moves.
                AntiEntropyEffect::LeafAgrees { partition, .. } => {
                    self.replica.scrub_soon(partition);
                }
            }
        }
        self.repairs.forget_unwanted();
        while !self.repairs.waiting.is_empty() && self.has_background_room(Work::Exchange) {
            if let Some(effect) = self.repairs.waiting.pop_front()
                && self.repairs.machine.is_awaited(&effect)
            {
                self.read_or_store(effect);
            }
        }
    }

    /// Does what the budget has room for.
    fn read_or_store(&mut self, effect: AntiEntropyEffect) {
        match effect {
            AntiEntropyEffect::ReadLeaf { read, partition, leaf } => {
                self.spend(Work::Exchange, self.units_of_leaf(partition, leaf));
                self.read_leaf(read, partition, leaf);
            }
            AntiEntropyEffect::ReadRecord { read, name, .. } => {
                self.spend(Work::Exchange, 1);
                let load = self.replica.next_load();
                let key = rows::object_key(&name);
                self.repairs.loads.insert(load, (read, name));
                self.effects.push_back(Effect::Load { load, column: Column::Objects, key });
            }
            AntiEntropyEffect::StoreState { token, name, pieces, sender, .. } => {
                let bytes = pieces.iter().map(Record::encoded_len).sum();
                self.spend(Work::Exchange, units_of_record(bytes));
                let job = IncomingWrite {
                    reply_to: ReplyTo::State { token: token.0, collected: Vec::new() },
                    register: None,
                    pieces,
                    state_of: Some(sender),
                    acknowledging: false,
                    // The exchange ends on the strength of it.
                    durability: Durability::Synced,
                    deadline: None,
                };
                self.replica.submit(&name, Place::Own, Job::Write(job));
            }
            AntiEntropyEffect::DropVersions { token, name, dots, .. } => {
                self.spend(Work::Exchange, 1);
                let reply_to = ReplyTo::State { token: token.0, collected: Vec::new() };
                let job = Job::DropVersions { dots, reply_to };
                self.replica.submit(&name, Place::Own, job);
            }
            // Nothing else is held back.
            AntiEntropyEffect::Send { .. }
            | AntiEntropyEffect::Exchanged { .. }
            | AntiEntropyEffect::Met { .. }
            | AntiEntropyEffect::LeafAgrees { .. } => {}
        }
    }

    /// What reading a leaf costs, going by how many records its partition has.
    fn units_of_leaf(&self, partition: PartitionId, leaf: NodePath) -> u32 {
        let records = self.replica.records_of(partition).unwrap_or(0);
        let share = records >> (4 * u32::from(leaf.depth())).min(63);
        u32::try_from(1 + share / ROWS_PER_UNIT).unwrap_or(u32::MAX)
    }

    fn read_leaf(&mut self, read: ReadId, partition: PartitionId, leaf: NodePath) {
        let count = self.registers.count();
        let positions = leaf.positions(count, partition);
        let from = Bytes::copy_from_slice(&positions.start().0.to_be_bytes());
        let behind = positions.end().0.checked_add(1);
        let to = behind.map(|position| Bytes::copy_from_slice(&position.to_be_bytes()));
        self.scan_leaf(from, LeafScan { read, to, items: Vec::new() });
    }

    fn scan_leaf(&mut self, from: Bytes, leaf: LeafScan) {
        let scan = ScanId(self.replica.next_load().0);
        let to = leaf.to.clone();
        self.repairs.scans.insert(scan, leaf);
        self.effects.push_back(Effect::Scan {
            scan,
            column: Column::Objects,
            from,
            to,
            rows_max: SCAN_ROWS_MAX,
            bytes_max: SCAN_BYTES_MAX,
        });
    }

    /// Rows of a leaf were read. Says whether the scan was one of a leaf.
    pub(super) fn leaf_scanned(
        &mut self,
        scan: ScanId,
        rows: &[ScannedRow],
        end: bool,
        failed: bool,
    ) -> bool {
        let Some(mut leaf) = self.repairs.scans.remove(&scan) else {
            return false;
        };
        let read = leaf.read;
        if failed || (rows.is_empty() && !end) {
            self.counters.loads_failed += 1;
            self.repair_event(AntiEntropyEvent::LeafUnreadable { read });
            return true;
        }
        for row in rows {
            let Some((position, name)) = rows::parse_object_key(&row.key) else {
                self.counters.rows_damaged += 1;
                continue;
            };
            match row.value.as_ref().map(StoredRecord::decode) {
                Some(Ok(stored)) => {
                    if let Some(digest) = self.replica.digest_of(&row.key, &stored.record) {
                        leaf.items.push(LeafItem { position, name, digest });
                    }
                }
                // It is not there for anybody; the copy is incomplete until it is back.
                Some(Err(_)) | None => {
                    self.replica.row_rotted(&name, &mut self.counters);
                }
            }
        }
        if end {
            let items = leaf.items;
            self.repair_event(AntiEntropyEvent::LeafRead { read, items });
        } else if let Some(last) = rows.last() {
            self.scan_leaf(rows::behind(&last.key), leaf);
        }
        true
    }

    /// A record was read for an exchange. Says whether the load was one of these.
    pub(super) fn repair_loaded(&mut self, load: LoadId, row: &LoadedRow) -> bool {
        let Some((read, name)) = self.repairs.loads.remove(&load) else {
            return false;
        };
        if let LoadedRow::Found(bytes) = row {
            // One was spent when it was asked for.
            self.spend(Work::Exchange, units_of_record(bytes.len()) - 1);
        }
        let event = match row {
            LoadedRow::Absent => AntiEntropyEvent::RecordRead { read, record: None },
            LoadedRow::Found(bytes) => match StoredRecord::decode(bytes) {
                Ok(stored) => {
                    // What differs may be dead here and collected there: after a start nothing else would
                    // try it before the scrub comes by.
                    self.replica.met_in_passing(&name, &stored.record, self.now.wall);
                    AntiEntropyEvent::RecordRead { read, record: Some(stored.record) }
                }
                Err(_) => {
                    self.replica.row_rotted(&name, &mut self.counters);
                    AntiEntropyEvent::RecordUnreadable { read }
                }
            },
            LoadedRow::Damaged => {
                self.replica.row_rotted(&name, &mut self.counters);
                AntiEntropyEvent::RecordUnreadable { read }
            }
            LoadedRow::Failed => {
                self.counters.loads_failed += 1;
                AntiEntropyEvent::RecordUnreadable { read }
            }
        };
        self.repair_event(event);
        true
    }

    /// What another member sent as state is stored, or was refused.
    pub(super) fn state_answered(
        &mut self,
        token: u64,
        collected: Vec<Dot>,
        outcome: WriteOutcome,
    ) {
        let token = StateToken(token);
        let event = match outcome {
            WriteOutcome::Stored { synced: true } => {
                AntiEntropyEvent::StateStored { token, collected }
            }
            WriteOutcome::Stored { synced: false }
            | WriteOutcome::DiskFull
            | WriteOutcome::Failed
            | WriteOutcome::Overloaded
            | WriteOutcome::HintsFull
            | WriteOutcome::Stale => AntiEntropyEvent::StateRefused { token },
        };
        self.repair_event(event);
    }
}
