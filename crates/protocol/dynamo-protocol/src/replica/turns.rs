//! A turn of a slot: load the record, apply all that waits, hand one changed record to the batch.

use alloc::vec::Vec;

use dynamo_messages::{KnownRequest, WriteOutcome};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Durability, Now, ObjectName, PartitionId, Position, RequestId};
use dynamo_versioning::{Content, Record, StoredRecord, apply_put, receive_delayed};

use super::slot::{Slot, SlotKey, State};
use super::{
    IncomingWrite, Job, LocalPut, PutRefusal, Replica, ReplicaEffect, ReplyTo, partition_of,
};
use crate::counters::Counters;
use crate::effect::{Column, LoadId, StoreWrite};
use crate::event::LoadedRow;
use crate::rows::{self, JournalEntry};

/// Jobs that may wait at one key. A hot key takes one sync for all that wait, so this many wait a
/// few syncs; more means that the key is hopelessly overloaded.
pub(super) const JOBS_PER_SLOT_MAX: usize = 1024;

/// What a job takes beside its values: slot, name, context. Counted, so that deletes and empty
/// values are bounded too.
const JOB_BYTES: usize = 512;

impl Replica {
    /// Hands a change to its key's slot.
    pub(crate) fn submit(&mut self, name: &ObjectName, job: Job) {
        let bytes = job.held_bytes();
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

    /// Refuses puts of a request that wait at a slot. Whoever asks whether the request is known here
    /// will mint it, and the version must not be made a second time, late (history 9).
    pub(crate) fn withdraw(&mut self, name: &ObjectName, request: RequestId) {
        let key = SlotKey { name: name.clone(), variant: 0 };
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        let of_request = |job: &Job| matches!(job, Job::Put(put) if put.put.request == request);
        let queue = core::mem::take(&mut slot.queue);
        let (withdrawn, kept): (Vec<Job>, Vec<Job>) = queue.into_iter().partition(of_request);
        slot.queue = kept.into();
        for job in withdrawn {
            self.bytes -= job.held_bytes();
            self.refuse(&job, false);
        }
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
            // A store failed while the row was being read.
            Some(_) if self.stopped => self.refuse_all(&key, true),
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
    pub(super) fn quarantine(
        &mut self,
        name: &ObjectName,
        counters: &mut Counters,
    ) -> StoredRecord {
        counters.rows_damaged += 1;
        let partition = self.partition_count.partition_of(Position::of_object(name));
        self.partition(partition).mint.raise_floor();
        StoredRecord::default()
    }

    /// Refuses all that waits at a slot, and closes it.
    pub(super) fn refuse_all(&mut self, key: &SlotKey, stopped: bool) {
        let jobs = self.slots.remove(key).map(|slot| slot.queue).unwrap_or_default();
        for job in jobs {
            self.bytes -= job.held_bytes();
            self.refuse(&job, stopped);
        }
    }

    pub(super) fn refuse(&mut self, job: &Job, stopped: bool) {
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
    pub(super) fn run(&mut self, now: Now, key: &SlotKey, counters: &mut Counters) {
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
            turn.bytes += job.held_bytes();
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
        // Borrowed by field: the hybrid clock is needed beside the mint.
        let of_partition = partition_of(&mut self.partitions, self.actor, partition);
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
    /// Bytes that the job holds while it waits: its values, and about as much as the rest takes.
    pub(super) fn held_bytes(&self) -> usize {
        let values = match self {
            Self::Put(put) => match &put.put.content {
                Content::Value { bytes, .. } => bytes.len(),
                Content::Tombstone => 0,
            },
            Self::Write(write) => write.pieces.iter().map(Record::value_bytes).sum(),
        };
        values + JOB_BYTES
    }
}
