//! A turn of a slot: load the record, apply all that waits, hand one changed record to the batch.

use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_merkle::{ItemDigest, SumTree, TreeKey};
use dynamo_messages::{KnownRequest, WriteOutcome};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Durability, NodeId, Now, ObjectName, PartitionId, Position, RequestId};
use dynamo_versioning::{
    Content, Dot, DotClock, DotSet, Record, StoredRecord, apply_put, drop_refused, receive_delayed,
    receive_state,
};

use super::hint_space::HintChange;
use super::slot::{Held, Place, Slot, SlotKey, State};
use super::{
    IncomingWrite, Job, LocalPut, PutRefusal, Replica, ReplicaEffect, ReplyTo, VetFor, VetVerdict,
};
use crate::counters::Counters;
use crate::effect::{Column, LoadId, StoreWrite};
use crate::event::LoadedRow;
use crate::rows::{self, JournalEntry, RecordChange};

/// Jobs that may wait at one key. A hot key takes one sync for all that wait, so this many wait a
/// few syncs; more means that the key is hopelessly overloaded.
pub(super) const JOBS_PER_SLOT_MAX: usize = 1024;

/// What a job takes beside its values: slot, name, context. Counted, so that deletes and empty
/// values are bounded too.
const JOB_BYTES: usize = 512;

impl Replica {
    /// Hands a job to the slot of its key, for this node's own copy or for that of a hint.
    pub(crate) fn submit(&mut self, name: &ObjectName, place: Place, job: Job) {
        let bytes = job.held_bytes();
        // A job that is alone is let in whatever its size: limits of values are checked elsewhere.
        let asks = matches!(job, Job::Vet { .. });
        let full = self.bytes > 0 && self.bytes + bytes > self.bytes_max;
        if full || (self.stopped && !asks) {
            return self.refuse(&job, self.stopped);
        }
        let mut key = SlotKey { name: name.clone(), place, variant: 0 };
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
        let (column, row) = row_of(name, place);
        self.slots.insert(key, Slot::loading(load, job));
        self.effects.push_back(ReplicaEffect::Load { load, column, key: row });
    }

    /// Refuses puts of a request that wait at a slot. Whoever asks whether the request is known here
    /// will mint it, and the version must not be made a second time, late (history 9).
    pub(crate) fn withdraw(&mut self, name: &ObjectName, request: RequestId) {
        let of_request = |job: &Job| matches!(job, Job::Put(put) if put.put.request == request);
        let first = SlotKey { name: name.clone(), place: Place::Own, variant: 0 };
        let mut withdrawn = Vec::new();
        for (_, slot) in self.slots.range_mut(first..).take_while(|(key, _)| key.name == *name) {
            let queue = core::mem::take(&mut slot.queue);
            let (taken, kept): (Vec<Job>, Vec<Job>) = queue.into_iter().partition(of_request);
            slot.queue = kept.into();
            withdrawn.extend(taken);
        }
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
            LoadedRow::Absent => Some(Held::default()),
            LoadedRow::Found(bytes) => match decode_row(key.place, bytes) {
                Some(held) => Some(held),
                None => Some(self.quarantine(&key, counters)),
            },
            LoadedRow::Damaged => Some(self.quarantine(&key, counters)),
            LoadedRow::Failed => {
                counters.loads_failed += 1;
                None
            }
        };
        match record {
            // A store may have failed while the row was being read.
            Some(held) => {
                if let Some(slot) = self.slots.get_mut(&key) {
                    slot.state = State::Ready(held);
                }
                if self.stopped {
                    self.answer_questions(&key);
                } else {
                    self.run(now, &key, counters);
                }
            }
            None => {
                self.refuse_all(&key, false);
            }
        }
        true
    }

    /// A damaged row counts as lost: what is written next starts from nothing, and no interval of
    /// this process is extended over what the row may have held (protocol rule 1).
    fn quarantine(&mut self, key: &SlotKey, counters: &mut Counters) -> Held {
        let rotten = key.place != Place::Own;
        match key.place {
            Place::Own => self.row_rotted(&key.name, counters),
            Place::Hint(_) => {
                counters.rows_damaged += 1;
                let id = self.partitions.count.partition_of(Position::of_object(&key.name));
                self.partitions.get_mut(id).mint.raise_floor();
            }
        }
        Held { rotten, ..Held::default() }
    }

    /// Refuses all changes that wait at a slot, answers all questions, and closes it.
    pub(super) fn answer_questions(&mut self, key: &SlotKey) {
        let Some(Slot { state: State::Ready(held), queue: jobs }) = self.slots.remove(key) else {
            return;
        };
        let partition = self.partitions.count.partition_of(Position::of_object(&key.name));
        for job in jobs {
            self.bytes -= job.held_bytes();
            match job {
                Job::Vet { asker, dots } => {
                    self.vet(partition, &held.stored.record, asker, dots);
                }
                job @ (Job::Put(_)
                | Job::Write(_)
                | Job::HintTaken { .. }
                | Job::Collect
                | Job::DropVersions { .. }
                | Job::DropRotten
                | Job::DropRottenHint(_)) => self.refuse(&job, true),
            }
        }
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
            // The hint stays, and the next pass of the handoff finds it.
            Job::HintTaken { intended, .. } | Job::DropRottenHint(intended) => {
                ReplicaEffect::HintNotRemoved { intended: *intended }
            }
            Job::Vet { asker, .. } => {
                ReplicaEffect::Vetted { asker: *asker, verdict: VetVerdict::Unsure }
            }
            Job::DropVersions { reply_to, .. } => ReplicaEffect::Answer {
                reply_to: reply_to.clone(),
                outcome: WriteOutcome::Overloaded,
            },
            // They are tried again with the next cut, and by the scrub.
            Job::Collect | Job::DropRotten => return,
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
        let at = At {
            now,
            partition: self.partitions.count.partition_of(position),
            position,
            place: key.place,
        };
        let mut after = Held { rotten: false, ..before.clone() };
        let mut turn = SlotTurn::default();
        while let Some(job) = slot.queue.pop_front() {
            // Until it is stored nobody is told of it, and what was collected is not beyond the horizon:
            // the next turn goes on.
            let asks = matches!(job, Job::Vet { .. });
            if (asks && turn.changed) || turn.collected.is_some() {
                slot.queue.push_front(job);
                break;
            }
            turn.bytes += job.held_bytes();
            if let Place::Hint(_) = key.place
                && !self.has_room_for(&job)
            {
                counters.hints_refused += 1;
                self.refuse_hint(&job);
                continue;
            }
            match job {
                Job::Put(put) => self.mint(at, &mut after, put, &mut turn),
                Job::Write(write) => self.merge(at, &mut after, write, &mut turn, counters),
                Job::HintTaken { intended, record } => {
                    self.hint_taken(intended, &mut after, &record, &mut turn);
                    turn.changed |= before.rotten;
                }
                Job::Vet { asker, dots } => {
                    self.vet(at.partition, &after.stored.record, asker, dots);
                }
                Job::Collect => self.collect(at, &key.name, &mut after, &mut turn, counters),
                // The row is deleted, if it is still none that can be read.
                Job::DropRotten => turn.changed |= after.stored.record.is_empty(),
                Job::DropRottenHint(_) => turn.changed |= before.rotten,
                Job::DropVersions { dots, reply_to } => {
                    self.drop_versions(at, &mut after, dots, &mut turn);
                    turn.durability = Durability::Synced;
                    turn.awaiting.push(reply_to);
                }
            }
        }
        if turn.lost {
            // Until all others have been asked, nobody may be told that anything is missing here.
            self.become_incomplete(at.partition, counters);
        }
        if !turn.changed {
            self.bytes -= turn.bytes;
            self.answer_unchanged(turn);
            return;
        }
        let row = self.store_row(at, &key.name, &before, &after);
        self.batch.writes.push(row);
        self.batch.durability = self.batch.durability.max(turn.durability);
        self.batch.journal.entries.extend(turn.entries);
        if let Some(collected) = turn.collected {
            self.batch.journal.collected.push((at.partition, collected));
        }
        if at.place == Place::Own {
            self.note_dead(at, &key.name, &after.stored.record);
            let partition = self.partitions.get_mut(at.partition);
            partition.rotten.remove(&key.name);
            partition.moves += 1;
            partition.in_flight += 1;
        }
        self.batch.slots.push(key.clone());
        if planted(PlantedBug::AckBeforeSync) {
            for reply_to in turn.awaiting.drain(..) {
                let outcome = WriteOutcome::Stored { synced: true };
                self.effects.push_back(ReplicaEffect::Answer { reply_to, outcome });
            }
        }
        let is_awaited =
            |reply_to: &ReplyTo| matches!(reply_to, ReplyTo::Local(_) | ReplyTo::Peer { .. });
        self.batch.awaited |= turn.awaiting.iter().any(is_awaited);
        let (awaiting, bytes) = (turn.awaiting, turn.bytes);
        slot.state = State::Storing { before, after, awaiting, bytes };
        self.slots.insert(key.clone(), slot);
    }

    /// The write that makes the disk hold `after`, and what it does to the tree or the hint space.
    fn store_row(&mut self, at: At, name: &ObjectName, before: &Held, after: &Held) -> StoreWrite {
        let (column, key) = row_of_at(name, at.position, at.place);
        let value = match at.place {
            Place::Own => {
                let change = self.record_change(at.position, &key, before, after);
                self.batch.journal.changes.extend(change);
                let value = after.stored.encode();
                self.rows_stored = self.rows_stored.saturating_add(1);
                self.row_bytes = self.row_bytes.saturating_add((key.len() + value.len()) as u64);
                value
            }
            Place::Hint(intended) => {
                let value = rows::encode_hint(after.acknowledging, &after.stored);
                let bytes = |held: &Held, length: usize| {
                    let there = !held.stored.record.is_empty();
                    there.then_some((key.len() + length) as u64)
                };
                let length_before = rows::encode_hint(false, &before.stored).len();
                // Nobody knows any more how long a row was that rotted.
                let rotten = before.rotten.then_some(key.len() as u64);
                let change = HintChange {
                    intended,
                    before: rotten.or(bytes(before, length_before)),
                    after: bytes(after, value.len()),
                };
                self.hints.apply(change);
                self.batch.hints.push(change);
                value
            }
        };
        if after.stored.record.is_empty() {
            StoreWrite::Delete { column, key }
        } else {
            StoreWrite::Put { column, key, value }
        }
    }

    /// What a change of a record does to its partition's tree, if anything.
    fn record_change(
        &self,
        position: Position,
        row: &Bytes,
        before: &Held,
        after: &Held,
    ) -> Option<RecordChange> {
        let [old, new] = [before, after]
            .map(|held| item_digest(&self.partitions.tree_key, row, &held.stored.record));
        let sum = SumTree::change(old, new);
        let records = i8::from(new.is_some()) - i8::from(old.is_some());
        (old != new).then_some(RecordChange { position, sum, records })
    }

    fn has_room_for(&self, job: &Job) -> bool {
        let acknowledging = match job {
            Job::Put(_) => true,
            Job::Write(write) => write.acknowledging,
            Job::HintTaken { .. }
            | Job::Vet { .. }
            | Job::Collect
            | Job::DropVersions { .. }
            | Job::DropRotten
            | Job::DropRottenHint(_) => {
                return true;
            }
        };
        self.hints.admits(job.held_bytes() as u64, acknowledging)
    }

    fn refuse_hint(&mut self, job: &Job) {
        match job {
            Job::Put(put) => self.effects.push_back(ReplicaEffect::Refused {
                operation: put.operation,
                refusal: PutRefusal::HintsFull,
            }),
            Job::Write(write) => self.effects.push_back(ReplicaEffect::Answer {
                reply_to: write.reply_to.clone(),
                outcome: WriteOutcome::HintsFull,
            }),
            Job::HintTaken { .. }
            | Job::Vet { .. }
            | Job::Collect
            | Job::DropVersions { .. }
            | Job::DropRotten
            | Job::DropRottenHint(_) => {}
        }
    }

    /// Says which versions would be turned away as collected. A record that has one of them by now,
    /// or what replaced it, is told instead: what it held when it was read may be replaced by that, and
    /// a read that lasts would show both side by side. An incomplete copy does not know: it has
    /// forgotten what it collected, and its answers to reads do not count either.
    fn vet(&mut self, id: PartitionId, record: &Record, asker: VetFor, dots: Vec<Dot>) {
        let is_complete = self.is_complete(id);
        let partition = self.partitions.get_mut(id);
        let verdict = if !is_complete {
            VetVerdict::Unsure
        } else if dots.iter().any(|dot| record.covers(*dot)) {
            VetVerdict::Newer(record.clone())
        } else {
            VetVerdict::Collected(collected_of(record, &partition.clock, dots))
        };
        self.effects.push_back(ReplicaEffect::Vetted { asker, verdict });
    }

    /// The target has the hint. It goes only if it still is what was sent (history 7).
    fn hint_taken(
        &mut self,
        intended: NodeId,
        held: &mut Held,
        taken: &Record,
        turn: &mut SlotTurn,
    ) {
        if held.stored.record.is_empty() {
            return;
        }
        if held.stored.record == *taken || planted(PlantedBug::HintRemovedUnseen) {
            *held = Held::default();
            turn.changed = true;
        } else {
            self.effects.push_back(ReplicaEffect::HintKept { intended });
        }
    }

    /// Drops versions that another member has collected, as if they had never come. A copy that has
    /// become complete meanwhile has joined that member's clock, and drops what by that is gone.
    fn drop_versions(&mut self, at: At, held: &mut Held, dots: Vec<Dot>, turn: &mut SlotTurn) {
        let partition = self.partitions.get_mut(at.partition);
        let clock = &partition.clock;
        let gone = |dot: &Dot| clock.includes(*dot) && clock.horizon.contains(*dot);
        let complete = partition.is_complete();
        let dots: Vec<Dot> = dots.into_iter().filter(|dot| !complete || gone(dot)).collect();
        turn.changed |= drop_refused(&mut held.stored, &dots);
    }

    fn mint(
        &mut self,
        At { now, partition, position, place }: At,
        held: &mut Held,
        job: LocalPut,
        turn: &mut SlotTurn,
    ) {
        let operation = job.operation;
        let refused = |refusal| ReplicaEffect::Refused { operation, refusal };
        if self.is_stale(partition, place, Some(job.register)) {
            return self.effects.push_back(refused(PutRefusal::Stale));
        }
        if now.monotonic >= job.deadline || !self.takes_part(partition, place) {
            return self.effects.push_back(refused(PutRefusal::Overloaded));
        }
        let (request, digest) = (job.put.request, job.put.digest);
        if let Some(known) = self.retries.find(position, request)
            && !planted(PlantedBug::RetryMintsAgain)
        {
            let record = held.stored.record.clone();
            return self.effects.push_back(if known.digest == digest {
                ReplicaEffect::Known { operation, known, record }
            } else {
                refused(PutRefusal::RequestIdReused)
            });
        }
        let mint = &mut self.partitions.get_mut(partition).mint;
        match apply_put(
            &mut held.stored,
            mint,
            &mut self.clock,
            now.wall,
            job.put,
            job.siblings_max,
        ) {
            Ok(applied) => {
                let dot = applied.dot;
                self.retries.remember(now.wall, position, KnownRequest { request, digest, dot });
                turn.changed = true;
                let hint = place != Place::Own;
                held.acknowledging |= hint;
                let entry = JournalEntry { hint, partition, dot, position, request, digest };
                turn.entries.push(entry);
                turn.durability = turn.durability.max(job.durability);
                turn.awaiting.push(ReplyTo::Local(operation));
                self.effects.push_back(ReplicaEffect::Minted { operation, applied });
            }
            Err(too_many) => {
                self.effects.push_back(refused(PutRefusal::TooManySiblings(too_many)));
            }
        }
    }

    fn merge(
        &mut self,
        at: At,
        held: &mut Held,
        mut job: IncomingWrite,
        turn: &mut SlotTurn,
        counters: &mut Counters,
    ) {
        let At { now, partition, position, place } = at;
        // What counts under a register needs a node that knows what it promised.
        let unsure = match (job.register, &job.state_of) {
            (Some(_), _) => !self.takes_part(partition, place),
            (None, None) => self.defers_delayed(partition, place),
            (None, Some(_)) => false,
        };
        let is_state = job.state_of.is_some() && self.own_partitions.contains(&partition);
        let outcome = if !is_state && self.is_stale(partition, place, job.register) {
            Some(WriteOutcome::Stale)
        } else if unsure || job.deadline.is_some_and(|deadline| now.monotonic >= deadline) {
            Some(WriteOutcome::Overloaded)
        } else {
            None
        };
        if let Some(outcome) = outcome {
            let reply_to = job.reply_to;
            return self.effects.push_back(ReplicaEffect::Answer { reply_to, outcome });
        }
        let hint = place != Place::Own;
        if hint {
            counters.hints_kept += 1;
            // A courtesy that coalesces with what counts becomes part of it.
            turn.changed |= job.acknowledging && !held.acknowledging;
            held.acknowledging |= job.acknowledging;
        } else {
            counters.replica_writes += 1;
        }
        // A fallback has collected nothing.
        let nothing = DotClock::new();
        let mut refused = Vec::new();
        for piece in &job.pieces {
            self.clock.observe(piece.hlc_max());
            if !hint && self.is_collectable_here(at, held, piece) {
                counters.versions_obsolete += piece.siblings().len() as u64;
                refused.extend(piece.dots());
                continue;
            }
            let own = &*self.partitions.get_mut(partition);
            let live = &own.clock;
            let clock = if hint { &nothing } else { own.judges_by() };
            let collected = collected_of(&held.stored.record, clock, piece.dots().collect());
            let received = match &job.state_of {
                Some(sender) => receive_state(&mut held.stored, piece, clock, sender),
                None => receive_delayed(&mut held.stored, piece, clock),
            };
            turn.changed |= received.changed;
            turn.lost |= !received.lost.is_empty();
            let is_here = |dot: &Dot| held.stored.record.sibling(*dot).is_some();
            refused.extend(collected.into_iter().filter(|dot| !is_here(dot)));
            counters.versions_obsolete += received.obsolete.len() as u64;
            counters.versions_lost += received.lost.len() as u64;
            for sibling in piece.siblings() {
                let (request, digest, dot) = (sibling.request, sibling.digest, sibling.dot);
                if hint || !live.dots.contains(dot) {
                    let entry = JournalEntry { hint, partition, dot, position, request, digest };
                    turn.entries.push(entry);
                }
                self.retries.remember(now.wall, position, KnownRequest { request, digest, dot });
            }
        }
        if let ReplyTo::State { collected, .. } = &mut job.reply_to {
            *collected = refused;
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
pub(super) struct SlotTurn {
    changed: bool,
    /// A version came that this replica had lost.
    lost: bool,
    /// What goes beyond the horizon.
    collected: Option<DotSet>,
    durability: Durability,
    entries: Vec<JournalEntry>,
    awaiting: Vec<ReplyTo>,
    bytes: usize,
}

impl SlotTurn {
    /// A record of this context was collected or cut short.
    pub(super) fn collected(&mut self, context: &DotSet) {
        self.changed = true;
        // Others see a record that says less from now on, and a crash must not take back what the
        // horizon says in its stead.
        self.durability = Durability::Synced;
        self.collected.get_or_insert_default().union_with(context);
    }
}

impl Default for SlotTurn {
    fn default() -> Self {
        Self {
            changed: false,
            lost: false,
            collected: None,
            durability: Durability::Buffered,
            entries: Vec::new(),
            awaiting: Vec::new(),
            bytes: 0,
        }
    }
}

/// Where and when a slot's turn is.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) now: Now,
    pub(super) partition: PartitionId,
    pub(super) position: Position,
    pub(super) place: Place,
}

/// The versions that would be turned away as collected, not because the record covers them: what
/// replaced those would be shown in their stead.
fn collected_of(record: &Record, clock: &DotClock, dots: Vec<Dot>) -> Vec<Dot> {
    let collected = |dot: &Dot| {
        record.sibling(*dot).is_none()
            && !record.covers(*dot)
            && clock.includes(*dot)
            && clock.horizon.contains(*dot)
    };
    dots.into_iter().filter(collected).collect()
}

fn row_of(name: &ObjectName, place: Place) -> (Column, Bytes) {
    row_of_at(name, Position::of_object(name), place)
}

fn row_of_at(name: &ObjectName, position: Position, place: Place) -> (Column, Bytes) {
    match place {
        Place::Own => (Column::Objects, rows::object_key_at(position, &name.bucket, &name.key)),
        Place::Hint(intended) => (Column::Hints, rows::hint_key(intended, position, name)),
    }
}

fn decode_row(place: Place, row: &Bytes) -> Option<Held> {
    match place {
        Place::Own => {
            let stored = StoredRecord::decode(row).ok()?;
            Some(Held { stored, ..Held::default() })
        }
        Place::Hint(_) => {
            let (acknowledging, stored) = rows::decode_hint(row)?;
            Some(Held { stored, acknowledging, rotten: false })
        }
    }
}

/// What a record adds to its tree: the row's key names it, its siblings' dots tell its versions
/// (protocol rule 6). A record that knows nothing is none.
pub(super) fn item_digest(key: &TreeKey, row: &[u8], record: &Record) -> Option<ItemDigest> {
    if record.is_empty() {
        return None;
    }
    let mut dots = Vec::with_capacity(record.siblings().len() * 16);
    for dot in record.dots() {
        dots.extend_from_slice(&dot.actor.0.to_be_bytes());
        dots.extend_from_slice(&dot.counter.to_be_bytes());
    }
    Some(ItemDigest::of(key, row, &dots))
}

impl Replica {
    /// What a record adds to its hash tree.
    pub(crate) fn digest_of(&self, row: &[u8], record: &Record) -> Option<ItemDigest> {
        item_digest(&self.partitions.tree_key, row, record)
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
            Self::HintTaken { record, .. } => record.value_bytes(),
            Self::Vet { .. }
            | Self::Collect
            | Self::DropVersions { .. }
            | Self::DropRotten
            | Self::DropRottenHint(_) => 0,
        };
        values + JOB_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use dynamo_types::ActorId;
    use dynamo_versioning::{BodyDigest, Hlc, Sibling};

    /// Nodes of two releases compare them: another digest of the same versions would have them
    /// exchange everything they hold, again and again. Whoever changes it raises the version of the
    /// protocol, and compares under the old one with whom speaks that.
    #[test]
    fn aae_version_skew_a_record_counts_the_same_to_the_bit() {
        let sibling = |actor, content| Sibling {
            dot: Dot::new(ActorId(actor), 7),
            hlc: Hlc(1),
            content,
            expires_at: None,
            request: RequestId(1),
            digest: BodyDigest(1),
        };
        let siblings = vec![sibling(5, Content::Tombstone), sibling(6, Content::Tombstone)];
        let context = DotSet::from_iter(siblings.iter().map(|sibling| sibling.dot));
        let record = Record::from_parts(context, Hlc(1), siblings).unwrap();
        let digest = item_digest(&TreeKey::derive(&[1; 32]), b"row", &record);
        assert_eq!(digest, Some(ItemDigest(0x99fc_10cb_8287_c8d1_35ab_ed67_cd3b_9e0e)));
        assert_eq!(item_digest(&TreeKey::derive(&[1; 32]), b"row", &Record::new()), None);
    }
}
