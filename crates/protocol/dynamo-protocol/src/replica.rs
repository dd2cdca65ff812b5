//! What a node holds as a replica: records behind one slot per key, dot clocks, the journal.
//!
//! The essay on why every change passes a slot is in [`slot`]. This module joins slots into write
//! batches: all stores of one turn leave as one [`Effect::Store`](crate::Effect::Store) with one
//! journal row, so that the shell can sync them together.

mod retries;
mod slot;
mod store_batch;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_messages::{KnownRequest, OperationId, WriteOutcome};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{
    ActorId, Bucket, Durability, Instant, NodeId, Now, ObjectName, PartitionCount, PartitionId,
    Position, RequestId, WallTime,
};
use dynamo_versioning::{
    Applied, Content, DotClock, DotMint, HybridClock, Put, Record, StoredRecord, TooManySiblings,
    apply_put, receive_delayed,
};

use crate::config::{NodeConfig, Recovered};
use crate::counters::Counters;
use crate::effect::{Column, LoadId, StoreId, StoreWrite};
use crate::event::{LoadedRow, StoreResult};
use crate::rows::{self, JournalEntry};
use retries::Retries;
use slot::{Slot, SlotKey, State};
use store_batch::{StoreBatch, StoreInFlight};

/// Jobs that may wait at one key. A hot key takes one sync for all that wait, so this many wait a
/// few syncs; more means that the key is hopelessly overloaded.
const JOBS_PER_SLOT_MAX: usize = 1024;

/// A put to be minted here.
#[derive(Debug, Clone)]
pub(crate) struct LocalPut {
    pub(crate) operation: OperationId,
    pub(crate) put: Put,
    pub(crate) durability: Durability,
    /// After this the job is not begun any more.
    pub(crate) deadline: Instant,
    pub(crate) siblings_max: usize,
}

/// Versions to be merged here.
#[derive(Debug, Clone)]
pub(crate) struct IncomingWrite {
    pub(crate) reply_to: ReplyTo,
    pub(crate) pieces: Vec<Record>,
    pub(crate) durability: Durability,
    pub(crate) deadline: Option<Instant>,
}

/// Who awaits the outcome of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReplyTo {
    /// An operation of this node.
    Local(OperationId),
    /// An operation of another node.
    Peer { node: NodeId, operation: OperationId, bucket: Bucket },
    /// Nobody: a repair.
    Nobody,
}

/// A change of a record.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    Put(LocalPut),
    Write(IncomingWrite),
}

/// Who awaits that rows of the meta column are synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetaTag {
    /// This node's own change of a bucket's settings.
    BucketSet(OperationId),
    /// Settings that another node sent and wants confirmed.
    BucketsFrom(NodeId, OperationId),
    /// Nobody.
    Nobody,
}

/// Why a put was not minted: nothing was applied, nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutRefusal {
    /// The key holds too many siblings.
    TooManySiblings(TooManySiblings),
    /// The request id was used for another body.
    RequestIdReused,
    /// The deadline passed, or the key's queue is full, or the row could not be read.
    Overloaded,
    /// The node takes no more writes.
    Stopped,
}

/// What the replica tells the node.
#[derive(Debug)]
pub(crate) enum ReplicaEffect {
    Load {
        load: LoadId,
        key: Bytes,
    },
    Store {
        store: StoreId,
        writes: Vec<StoreWrite>,
        durability: Durability,
    },
    /// A version was minted: send it now, while it is being stored.
    Minted {
        operation: OperationId,
        applied: Applied,
    },
    /// The put was made before; the record holds its version or what replaced it.
    Known {
        operation: OperationId,
        known: KnownRequest,
        record: Record,
    },
    Refused {
        operation: OperationId,
        refusal: PutRefusal,
    },
    Answer {
        reply_to: ReplyTo,
        outcome: WriteOutcome,
    },
    MetaStored {
        tag: MetaTag,
        stored: bool,
    },
}

/// What a node knows of one partition.
#[derive(Debug)]
struct Partition {
    mint: DotMint,
    clock: DotClock,
    /// The clock has grown since the last checkpoint.
    changed: bool,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Replica {
    actor: ActorId,
    partition_count: PartitionCount,
    partitions: BTreeMap<PartitionId, Partition>,
    slots: BTreeMap<SlotKey, Slot>,
    loads: BTreeMap<LoadId, SlotKey>,
    next_slot_variant: u64,
    next_load: u64,
    batch: StoreBatch,
    in_flight: VecDeque<StoreInFlight>,
    next_store: u64,
    next_journal: u64,
    /// Journal rows on disk with the time of their writing, oldest first.
    journal: VecDeque<(u64, WallTime)>,
    retries: Retries,
    retry_window_micros: u64,
    /// The last store that was applied without a sync, if no sync followed.
    unsynced: bool,
    stopped: bool,
    /// Bytes of values in jobs that wait or are being stored; bounded by `bytes_max`.
    bytes: usize,
    bytes_max: usize,
    pub(crate) clock: HybridClock,
    effects: VecDeque<ReplicaEffect>,
}

impl Replica {
    /// A replica with what its database held. `actor` is new with every process start.
    pub(crate) fn new(
        config: &NodeConfig,
        recovered: &Recovered,
        actor: ActorId,
        counters: &mut Counters,
    ) -> Self {
        let mut replica = Self {
            actor,
            partition_count: config.layout.partition_count(),
            partitions: BTreeMap::new(),
            slots: BTreeMap::new(),
            loads: BTreeMap::new(),
            next_slot_variant: 0,
            next_load: 0,
            batch: StoreBatch::default(),
            in_flight: VecDeque::new(),
            next_store: 0,
            next_journal: 0,
            journal: VecDeque::new(),
            retries: Retries::new(config.timing.retry_window, config.retries_remembered_max),
            retry_window_micros: u64::try_from(config.timing.retry_window.as_micros())
                .unwrap_or(u64::MAX),
            unsynced: false,
            stopped: false,
            bytes: 0,
            bytes_max: config.bytes_in_flight_max,
            clock: HybridClock::new(),
            effects: VecDeque::new(),
        };
        replica.recover(recovered, counters);
        replica
    }

    /// Takes checkpoints and journal rows back. A row that cannot be read costs clock entries,
    /// which is safe: a clock may lack what the disk has, never the other way round.
    fn recover(&mut self, recovered: &Recovered, counters: &mut Counters) {
        for (key, value) in &recovered.meta {
            let value = value.as_ref();
            let read = match key.first() {
                Some(&rows::CHECKPOINT) => rows::parse_checkpoint_key(key)
                    .zip(value.and_then(|row| rows::decode_checkpoint(row)))
                    .map(|(partition, clock)| {
                        let known = &mut self.partition(partition).clock;
                        known.dots.union_with(&clock.dots);
                        known.horizon.union_with(&clock.horizon);
                    }),
                Some(&rows::JOURNAL) => rows::parse_journal_key(key).and_then(|number| {
                    self.next_journal = self.next_journal.max(number + 1);
                    let (wall, entries) = rows::decode_journal(value?)?;
                    self.journal.push_back((number, wall));
                    for entry in entries {
                        let partition = self.partition(entry.partition);
                        partition.clock.dots.insert(entry.dot);
                        partition.changed = true;
                        self.retries.remember(wall, entry.position, known_request(&entry));
                    }
                    Some(())
                }),
                Some(_) | None => Some(()),
            };
            counters.meta_rows_damaged += u64::from(read.is_none());
        }
    }

    fn partition(&mut self, partition: PartitionId) -> &mut Partition {
        let actor = self.actor;
        self.partitions.entry(partition).or_insert_with(|| Partition {
            mint: DotMint::new(actor),
            clock: DotClock::default(),
            changed: false,
        })
    }

    /// What the replica asks for or reports next. Once this is empty the turn is over, and what was
    /// to be stored leaves as one batch.
    pub(crate) fn poll_effect(&mut self) -> Option<ReplicaEffect> {
        self.effects.pop_front()
    }

    /// Closes the turn's batch; call when nothing else is left to poll.
    pub(crate) fn flush(&mut self, wall: WallTime) {
        if self.batch.is_empty() {
            return;
        }
        let batch = core::mem::take(&mut self.batch);
        let mut writes = batch.writes;
        let journal = if batch.entries.is_empty() {
            None
        } else {
            let number = self.next_journal;
            self.next_journal += 1;
            writes.push(StoreWrite::Put {
                column: Column::Meta,
                key: rows::journal_key(number),
                value: rows::encode_journal(wall, &batch.entries),
            });
            Some((number, wall))
        };
        let store = StoreId(self.next_store);
        self.next_store += 1;
        self.in_flight.push_back(StoreInFlight {
            store,
            slots: batch.slots,
            entries: batch.entries,
            journal,
            barriers: batch.barriers,
            meta: batch.meta,
            checkpoint: batch.checkpoint,
        });
        let durability = batch.durability;
        self.effects.push_back(ReplicaEffect::Store { store, writes, durability });
    }

    /// The put of that request on that object, if this replica saw it.
    pub(crate) fn known_request(
        &self,
        position: Position,
        request: RequestId,
    ) -> Option<KnownRequest> {
        self.retries.find(position, request)
    }

    /// Puts remembered for retries.
    pub(crate) fn retries_remembered(&self) -> usize {
        self.retries.len()
    }

    /// Whether the node takes no more writes.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots.is_empty() && self.in_flight.is_empty() && self.batch.is_empty()
    }

    /// Stores rows of the meta column, synced, and reports under the tag.
    pub(crate) fn store_meta(&mut self, writes: Vec<StoreWrite>, tag: MetaTag) {
        if self.stopped {
            return self.effects.push_back(ReplicaEffect::MetaStored { tag, stored: false });
        }
        self.batch.writes.extend(writes);
        self.batch.durability = Durability::Synced;
        self.batch.meta.push(tag);
    }

    /// Checkpoints the clocks that have grown, and drops journal rows that nothing needs: those
    /// before the checkpoint and beyond the retry window. The checkpoint is itself a synced store
    /// behind the data, so it is never ahead of the data's sync.
    pub(crate) fn checkpoint(&mut self, wall: WallTime, counters: &mut Counters) {
        if self.stopped {
            return;
        }
        for (id, partition) in self.partitions.iter_mut().filter(|(_, p)| p.changed) {
            partition.changed = false;
            self.batch.checkpoint.push(*id);
            self.batch.writes.push(StoreWrite::Put {
                column: Column::Meta,
                key: rows::checkpoint_key(*id),
                value: rows::encode_checkpoint(&partition.clock),
            });
        }
        let window = self.retry_window_micros;
        let old = |(_, at): &(u64, WallTime)| at.0.saturating_add(window) < wall.0;
        let mut keep_from = None;
        while self.journal.front().is_some_and(old) {
            keep_from = self.journal.pop_front().map(|(number, _)| number + 1);
        }
        if let Some(number) = keep_from {
            self.batch.writes.push(StoreWrite::DeleteRange {
                column: Column::Meta,
                from: rows::journal_key(0),
                to: rows::journal_key(number),
            });
        }
        if !self.batch.checkpoint.is_empty() || keep_from.is_some() {
            self.batch.durability = Durability::Synced;
            counters.checkpoints += 1;
        }
    }

    /// Hands a change to its key's slot.
    pub(crate) fn submit(&mut self, name: &ObjectName, job: Job) {
        let bytes = job.value_bytes();
        // A job that is alone is let in whatever its size: limits of values are checked elsewhere.
        if self.stopped || (self.bytes > 0 && self.bytes + bytes > self.bytes_max) {
            return self.refuse(&job, self.stopped);
        }
        let mut key = SlotKey { name: name.clone(), variant: 0 };
        if planted(PlantedBug::MergeWithoutSlot) && matches!(job, Job::Write(_)) {
            self.next_slot_variant += 1;
            key.variant = self.next_slot_variant;
        }
        if let Some(slot) = self.slots.get_mut(&key) {
            if slot.queue.len() >= JOBS_PER_SLOT_MAX {
                return self.refuse(&job, false);
            }
            self.bytes += bytes;
            return slot.queue.push_back(job);
        }
        self.bytes += bytes;
        let load = self.next_load();
        self.loads.insert(load, key.clone());
        let row = rows::object_key(name);
        self.slots.insert(key, Slot::loading(load, job));
        self.effects.push_back(ReplicaEffect::Load { load, key: row });
    }

    /// Names of loads; the node's own reads take theirs here too.
    pub(crate) fn next_load(&mut self) -> LoadId {
        self.next_load += 1;
        LoadId(self.next_load)
    }

    /// A row of a slot was read. Says whether the load was the replica's.
    pub(crate) fn loaded(
        &mut self,
        now: Now,
        load: LoadId,
        row: &LoadedRow,
        counters: &mut Counters,
    ) -> bool {
        let Some(key) = self.loads.remove(&load) else {
            return false;
        };
        let record = match row {
            LoadedRow::Absent => Some(StoredRecord::default()),
            LoadedRow::Found(bytes) => match StoredRecord::decode(bytes) {
                Ok(record) => Some(record),
                Err(_) => Some(self.quarantine(&key.name, counters)),
            },
            LoadedRow::Damaged => Some(self.quarantine(&key.name, counters)),
            LoadedRow::Failed => {
                counters.loads_failed += 1;
                None
            }
        };
        match record {
            Some(record) => {
                if let Some(slot) = self.slots.get_mut(&key) {
                    slot.state = State::Ready(record);
                }
                self.run(now, &key, counters);
            }
            None => {
                self.refuse_all(&key, false);
            }
        }
        true
    }

    /// A damaged row counts as lost: what is written next starts from nothing, and no interval of
    /// this process is extended over what the row may have held (protocol rule 1).
    fn quarantine(&mut self, name: &ObjectName, counters: &mut Counters) -> StoredRecord {
        counters.rows_damaged += 1;
        let partition = self.partition_count.partition_of(Position::of_object(name));
        self.partition(partition).mint.raise_floor();
        StoredRecord::default()
    }

    /// Refuses all that waits at a slot, and closes it.
    fn refuse_all(&mut self, key: &SlotKey, stopped: bool) {
        let jobs = self.slots.remove(key).map(|slot| slot.queue).unwrap_or_default();
        for job in jobs {
            self.bytes -= job.value_bytes();
            self.refuse(&job, stopped);
        }
    }

    fn refuse(&mut self, job: &Job, stopped: bool) {
        self.effects.push_back(match job {
            Job::Put(put) => ReplicaEffect::Refused {
                operation: put.operation,
                refusal: if stopped { PutRefusal::Stopped } else { PutRefusal::Overloaded },
            },
            Job::Write(write) => ReplicaEffect::Answer {
                reply_to: write.reply_to.clone(),
                // A node that stopped has nothing of this write: it never reached the disk.
                outcome: WriteOutcome::Overloaded,
            },
        });
    }

    /// Applies all that waits at a slot, in order, to one copy of the record, and stores that once.
    fn run(&mut self, now: Now, key: &SlotKey, counters: &mut Counters) {
        let Some(mut slot) = self.slots.remove(key) else {
            return;
        };
        let State::Ready(before) = slot.state else {
            self.slots.insert(key.clone(), slot);
            return;
        };
        let position = Position::of_object(&key.name);
        let partition = self.partition_count.partition_of(position);
        let mut after = before.clone();
        let mut turn = SlotTurn::default();
        for job in slot.queue.drain(..) {
            turn.bytes += job.value_bytes();
            match job {
                Job::Put(put) => self.mint(now, partition, position, &mut after, put, &mut turn),
                Job::Write(write) => {
                    self.merge(now, partition, position, &mut after, write, &mut turn, counters);
                }
            }
        }
        if !turn.changed {
            self.bytes -= turn.bytes;
            self.answer_unchanged(turn);
            return;
        }
        self.batch.writes.push(StoreWrite::Put {
            column: Column::Objects,
            key: rows::object_key_at(position, &key.name.bucket, &key.name.key),
            value: after.encode(),
        });
        self.batch.durability = self.batch.durability.max(turn.durability);
        self.batch.entries.extend(turn.entries);
        self.batch.slots.push(key.clone());
        if planted(PlantedBug::AckBeforeSync) {
            for reply_to in turn.awaiting.drain(..) {
                let outcome = WriteOutcome::Stored { synced: true };
                self.effects.push_back(ReplicaEffect::Answer { reply_to, outcome });
            }
        }
        let (awaiting, bytes) = (turn.awaiting, turn.bytes);
        slot.state = State::Storing { before, after, awaiting, bytes };
        self.slots.insert(key.clone(), slot);
    }

    fn mint(
        &mut self,
        now: Now,
        partition: PartitionId,
        position: Position,
        record: &mut StoredRecord,
        job: LocalPut,
        turn: &mut SlotTurn,
    ) {
        let operation = job.operation;
        let refused = |refusal| ReplicaEffect::Refused { operation, refusal };
        if now.monotonic >= job.deadline {
            return self.effects.push_back(refused(PutRefusal::Overloaded));
        }
        let (request, digest) = (job.put.request, job.put.digest);
        if let Some(known) = self.retries.find(position, request)
            && !planted(PlantedBug::RetryMintsAgain)
        {
            let record = record.record.clone();
            return self.effects.push_back(if known.digest == digest {
                ReplicaEffect::Known { operation, known, record }
            } else {
                refused(PutRefusal::RequestIdReused)
            });
        }
        let actor = self.actor;
        let of_partition = self.partitions.entry(partition).or_insert_with(|| Partition {
            mint: DotMint::new(actor),
            clock: DotClock::default(),
            changed: false,
        });
        let mint = &mut of_partition.mint;
        match apply_put(record, mint, &mut self.clock, now.wall, job.put, job.siblings_max) {
            Ok(applied) => {
                let dot = applied.dot;
                self.retries.remember(now.wall, position, KnownRequest { request, digest, dot });
                turn.changed = true;
                turn.entries.push(JournalEntry { partition, dot, position, request, digest });
                turn.durability = turn.durability.max(job.durability);
                turn.awaiting.push(ReplyTo::Local(operation));
                self.effects.push_back(ReplicaEffect::Minted { operation, applied });
            }
            Err(too_many) => {
                self.effects.push_back(refused(PutRefusal::TooManySiblings(too_many)));
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `run`, which has all of these")]
    fn merge(
        &mut self,
        now: Now,
        partition: PartitionId,
        position: Position,
        record: &mut StoredRecord,
        job: IncomingWrite,
        turn: &mut SlotTurn,
        counters: &mut Counters,
    ) {
        if job.deadline.is_some_and(|deadline| now.monotonic >= deadline) {
            let (reply_to, outcome) = (job.reply_to, WriteOutcome::Overloaded);
            return self.effects.push_back(ReplicaEffect::Answer { reply_to, outcome });
        }
        counters.replica_writes += 1;
        for piece in &job.pieces {
            self.clock.observe(piece.hlc_max());
            let clock = &self.partition(partition).clock;
            let received = receive_delayed(record, piece, clock);
            turn.changed |= received.changed;
            counters.versions_obsolete += received.obsolete.len() as u64;
            counters.versions_lost += received.lost.len() as u64;
            for sibling in piece.siblings() {
                let (request, digest, dot) = (sibling.request, sibling.digest, sibling.dot);
                if !self.partition(partition).clock.dots.contains(dot) {
                    turn.entries.push(JournalEntry { partition, dot, position, request, digest });
                }
                self.retries.remember(now.wall, position, KnownRequest { request, digest, dot });
            }
        }
        turn.durability = turn.durability.max(job.durability);
        turn.awaiting.push(job.reply_to);
    }

    /// Nothing is to be stored. The answer may still have to wait for a sync: what the record
    /// holds, or what made the version obsolete, may have been stored without one.
    fn answer_unchanged(&mut self, turn: SlotTurn) {
        if turn.awaiting.is_empty() {
            return;
        }
        let waits = self.unsynced && turn.durability == Durability::Synced;
        if waits {
            self.batch.durability = Durability::Synced;
            self.batch.barriers.extend(turn.awaiting);
            return;
        }
        let outcome = WriteOutcome::Stored { synced: !self.unsynced };
        for reply_to in turn.awaiting {
            self.effects.push_back(ReplicaEffect::Answer { reply_to, outcome });
        }
    }

    /// A store ended. Clocks advance here and nowhere else (protocol rule 3).
    pub(crate) fn stored(
        &mut self,
        now: Now,
        store: StoreId,
        result: StoreResult,
        counters: &mut Counters,
    ) {
        let Some(ended) = self.in_flight.pop_front() else {
            return;
        };
        assert_eq!(ended.store, store, "stores end in the order in which they were asked for");
        match result {
            StoreResult::Applied { synced } => self.applied(now, ended, synced, counters),
            StoreResult::Refused => {
                counters.stores_refused += 1;
                self.not_applied(now, ended, WriteOutcome::DiskFull, counters);
            }
            StoreResult::Failed => {
                counters.stores_failed += 1;
                self.stopped = true;
                self.not_applied(now, ended, WriteOutcome::Failed, counters);
            }
        }
    }

    fn applied(&mut self, now: Now, ended: StoreInFlight, synced: bool, counters: &mut Counters) {
        self.unsynced = !synced;
        for entry in &ended.entries {
            let partition = self.partition(entry.partition);
            partition.clock.dots.insert(entry.dot);
            partition.changed = true;
        }
        self.journal.extend(ended.journal);
        let outcome = WriteOutcome::Stored { synced };
        for reply_to in ended.barriers {
            self.effects.push_back(ReplicaEffect::Answer { reply_to, outcome });
        }
        for tag in ended.meta {
            self.effects.push_back(ReplicaEffect::MetaStored { tag, stored: true });
        }
        for key in ended.slots {
            self.close_turn(now, &key, outcome, true, counters);
        }
    }

    fn not_applied(
        &mut self,
        now: Now,
        ended: StoreInFlight,
        outcome: WriteOutcome,
        counters: &mut Counters,
    ) {
        for entry in &ended.entries {
            self.retries.forget(&known_request(entry));
            // An own dot of this batch may be out in the world: no interval may reach over it.
            if entry.dot.actor == self.actor {
                self.partition(entry.partition).mint.raise_floor();
            }
        }
        for partition in ended.checkpoint {
            self.partition(partition).changed = true;
        }
        for reply_to in ended.barriers {
            self.effects.push_back(ReplicaEffect::Answer { reply_to, outcome });
        }
        for tag in ended.meta {
            self.effects.push_back(ReplicaEffect::MetaStored { tag, stored: false });
        }
        for key in ended.slots {
            self.close_turn(now, &key, outcome, false, counters);
        }
    }

    /// Answers all that waited for the store of a slot, and goes on with what came meanwhile.
    fn close_turn(
        &mut self,
        now: Now,
        key: &SlotKey,
        outcome: WriteOutcome,
        applied: bool,
        counters: &mut Counters,
    ) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        let State::Storing { before, after, awaiting, bytes } =
            core::mem::replace(&mut slot.state, State::Ready(StoredRecord::default()))
        else {
            return;
        };
        slot.state = State::Ready(if applied { after } else { before });
        self.bytes -= bytes;
        for reply_to in awaiting {
            self.effects.push_back(ReplicaEffect::Answer { reply_to, outcome });
        }
        let idle = self.slots.get(key).is_some_and(|slot| slot.queue.is_empty());
        if idle {
            self.slots.remove(key);
        } else if self.stopped {
            self.refuse_all(key, true);
        } else {
            self.run(now, key, counters);
        }
    }

    /// Asserts what must always hold.
    pub(crate) fn check_invariants(&self) {
        for (load, key) in &self.loads {
            let slot = self.slots.get(key);
            assert!(
                slot.is_some_and(|slot| matches!(slot.state, State::Loading(l) if l == *load)),
                "load {load:?} belongs to no slot"
            );
        }
        let storing = self.slots.values().filter(|s| matches!(s.state, State::Storing { .. }));
        let in_stores = self.in_flight.iter().map(|store| store.slots.len()).sum::<usize>();
        assert_eq!(
            storing.count(),
            in_stores + self.batch.slots.len(),
            "a slot that stores is in exactly one batch"
        );
        for slot in self.slots.values() {
            assert!(slot.queue.len() <= JOBS_PER_SLOT_MAX, "a slot's queue is bounded");
            assert!(!matches!(slot.state, State::Ready(_)), "a slot at rest is closed");
        }
        let held = |slot: &Slot| {
            let waiting = slot.queue.iter().map(Job::value_bytes).sum::<usize>();
            let storing = if let State::Storing { bytes, .. } = slot.state { bytes } else { 0 };
            waiting + storing
        };
        assert_eq!(self.bytes, self.slots.values().map(held).sum::<usize>(), "bytes are counted");
    }
}

/// What one turn of a slot gathers.
#[derive(Debug)]
struct SlotTurn {
    changed: bool,
    durability: Durability,
    entries: Vec<JournalEntry>,
    awaiting: Vec<ReplyTo>,
    bytes: usize,
}

impl Default for SlotTurn {
    fn default() -> Self {
        Self {
            changed: false,
            durability: Durability::Buffered,
            entries: Vec::new(),
            awaiting: Vec::new(),
            bytes: 0,
        }
    }
}

impl Job {
    fn value_bytes(&self) -> usize {
        match self {
            Self::Put(put) => match &put.put.content {
                Content::Value { bytes, .. } => bytes.len(),
                Content::Tombstone => 0,
            },
            Self::Write(write) => write.pieces.iter().map(Record::value_bytes).sum(),
        }
    }
}

fn known_request(entry: &JournalEntry) -> KnownRequest {
    KnownRequest { request: entry.request, digest: entry.digest, dot: entry.dot }
}
