//! What a node holds as a replica: records behind one slot per key, dot clocks, the journal.
//!
//! The essay on why every change passes a slot is in [`slot`]. This module joins slots into write
//! batches: all stores of one turn leave as one [`Effect::Store`](crate::Effect::Store) with one
//! journal row, so that the shell can sync them together.

mod checkpoints;
mod collection;
mod completeness;
mod endings;
mod hint_space;
mod partition;
mod places;
mod recovery;
mod reports;
mod retries;
mod scrub;
mod slot;
mod store_batch;
mod turns;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_merkle::TreeKey;
use dynamo_messages::{KnownRequest, OperationId, WriteOutcome};
use dynamo_types::{
    ActorId, Bucket, Durability, Instant, NodeId, PartitionId, Position, RegisterTag, RequestId,
    WallTime,
};
use dynamo_versioning::{Applied, Dot, DotClock, HybridClock, Put, Record, TooManySiblings};

use crate::config::{NodeConfig, Recovered};
use crate::counters::Counters;
use crate::effect::{Column, LoadId, StoreId, StoreWrite};
use crate::rows::{self, CheckpointNames, JournalEntry};
use hint_space::HintSpace;
use partition::Partitions;
use retries::Retries;
use scrub::Scrub;
use slot::{Slot, SlotKey, State};
use store_batch::{StoreBatch, StoreInFlight};
use turns::JOBS_PER_SLOT_MAX;

pub(crate) use places::{Role, Standing};
pub(crate) use reports::ReportVerdict;

pub use hint_space::HintCount;
pub(crate) use scrub::{PAGE_BYTES, PAGE_ROWS};
pub(crate) use slot::Place;

/// A put to be minted here.
#[derive(Debug, Clone)]
pub(crate) struct LocalPut {
    pub(crate) operation: OperationId,
    /// The register that the coordinator goes by.
    pub(crate) register: RegisterTag,
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
    /// The register that the sender goes by, if the write counts under it.
    pub(crate) register: Option<RegisterTag>,
    pub(crate) pieces: Vec<Record>,
    /// If it is state: the sender's clock from before its records (protocol rule 4). Else it may be
    /// delayed.
    pub(crate) state_of: Option<Arc<DotClock>>,
    /// Of a hint: whether it counts towards w.
    pub(crate) acknowledging: bool,
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
    /// An exchange of state; with the versions that were turned away as collected.
    State { token: u64, collected: Vec<Dot> },
    /// Nobody: a repair.
    Nobody,
}

/// Who asks which versions are collected here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VetFor {
    /// An operation of this node.
    Local(OperationId),
    /// An operation of another node.
    Peer { node: NodeId, operation: OperationId },
}

/// What a slot is asked for.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    Put(LocalPut),
    Write(IncomingWrite),
    /// The target of a hint has this synced: the hint goes if it is still the same.
    HintTaken {
        intended: NodeId,
        record: Record,
    },
    /// Which of these versions would be turned away as collected?
    Vet {
        asker: VetFor,
        dots: Vec<Dot>,
    },
    /// The record may be collected, or its context cut short.
    Collect,
    /// Other members have collected these versions, and this copy is incomplete.
    DropVersions {
        dots: Vec<Dot>,
        reply_to: ReplyTo,
    },
    /// The row could not be read, and nobody has what it held: it goes.
    DropRotten,
    /// A hint for that node could not be read: what is left of it goes.
    DropRottenHint(NodeId),
}

/// Who awaits that rows of the meta column are synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetaTag {
    /// This node's own change of a bucket's settings.
    BucketSet(OperationId),
    /// Settings that another node sent and wants confirmed.
    BucketsFrom(NodeId, OperationId),
    /// Clock reports that another node sent under this number.
    ReportsFrom(NodeId, u64),
    /// The node's members.
    Members,
    /// What the node knows and promised of a partition's register: which of its stores.
    Register(PartitionId, u64),
    /// The layout that operators want: which of its stores.
    WantedLayout(u64),
    /// The rows of a partition that this node is outside of are removed.
    Wiped(PartitionId, u64),
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
    /// There is no room for more hints.
    HintsFull,
    /// The node takes no more writes.
    Stopped,
    /// The node goes by another register than when the put was begun.
    Stale,
}

/// What the replica tells the node.
#[derive(Debug)]
pub(crate) enum ReplicaEffect {
    Load {
        load: LoadId,
        column: Column,
        key: Bytes,
    },
    Store {
        store: StoreId,
        writes: Vec<StoreWrite>,
        durability: Durability,
        /// Whether somebody waits for a put, a delete or a repair in it.
        awaited: bool,
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
    /// There is a hint for that node which no pass of the handoff may have seen.
    HintKept {
        intended: NodeId,
    },
    /// A hint that its target has taken could not be removed.
    HintNotRemoved {
        intended: NodeId,
    },
    /// The clock that this node reports has moved.
    ClockDurable {
        partition: PartitionId,
    },
    /// This copy of the partition may lack what it acknowledged.
    BecameIncomplete {
        partition: PartitionId,
    },
    /// The disk is older than what another member knows of it: this node has forgotten what it promised.
    RolledBack {
        partition: PartitionId,
    },
    /// Everything that another node of the partition had is here.
    HasEverythingOf {
        partition: PartitionId,
        member: NodeId,
        /// The register that the node went by.
        tag: Option<RegisterTag>,
    },
    /// What was found incomplete at the start is durably noted.
    IncompletenessRecorded,
    /// To [`Job::Vet`].
    Vetted {
        asker: VetFor,
        verdict: VetVerdict,
    },
}

/// What a replica says of versions that it did not show.
#[derive(Debug)]
pub(crate) enum VetVerdict {
    /// It would turn these away as collected.
    Collected(Vec<Dot>),
    /// It has some of them by now, or what replaced them: this is its record.
    Newer(Record),
    /// It cannot know: this copy is incomplete.
    Unsure,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Replica {
    /// Those of this disk.
    names: CheckpointNames,
    partitions: Partitions,
    /// Those that this node is a replica of.
    own_partitions: BTreeSet<PartitionId>,
    /// Those that it is outside of and may hold rows of.
    leftovers: BTreeSet<PartitionId>,
    /// Partitions whose state must be checkpointed at once.
    checkpoint_now: BTreeSet<PartitionId>,
    /// Names in all partitions' `dead`.
    dead_count: usize,
    /// Partitions whose incompleteness, found at the start, is not durably noted yet.
    unrecorded: BTreeSet<PartitionId>,
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
    scrub: Scrub,
    hints: HintSpace,
    retry_window_micros: u64,
    /// Whether something was applied without a sync, and no sync followed.
    unsynced: bool,
    stopped: bool,
    /// Bytes of jobs that wait or are being stored; bounded by `bytes_max`.
    bytes: usize,
    bytes_max: usize,
    /// Rows of records stored or read by the scrub in this process, and their bytes: for their mean.
    rows_stored: u64,
    row_bytes: u64,
    pub(crate) clock: HybridClock,
    effects: VecDeque<ReplicaEffect>,
}

impl Replica {
    /// A replica with what its database held, and how it stands to the partitions that it has to do
    /// with. `actor` is new with every process start.
    pub(crate) fn new(
        config: &NodeConfig,
        recovered: &Recovered,
        standings: Vec<(PartitionId, Standing)>,
        actor: ActorId,
        counters: &mut Counters,
    ) -> Self {
        let mut replica = Self {
            names: CheckpointNames::of_process(actor),
            partitions: Partitions::new(
                actor,
                config.layout.partition_count(),
                TreeKey::derive(&config.cluster_secret),
                config.tree_depth,
            ),
            own_partitions: BTreeSet::new(),
            leftovers: BTreeSet::new(),
            checkpoint_now: BTreeSet::new(),
            dead_count: 0,
            unrecorded: BTreeSet::new(),
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
            scrub: Scrub::default(),
            hints: HintSpace::new(recovered.hints.clone(), config.hint_bytes_max),
            retry_window_micros: u64::try_from(config.timing.retry_window.as_micros())
                .unwrap_or(u64::MAX),
            // The process before this one may have been killed between a buffered store and a sync.
            unsynced: true,
            stopped: false,
            bytes: 0,
            bytes_max: config.bytes_in_flight_max,
            rows_stored: 0,
            row_bytes: 0,
            clock: HybridClock::new(),
            effects: VecDeque::new(),
        };
        for (id, standing) in standings {
            replica.own_partitions.insert(id);
            let partition = replica.partitions.get_mut(id);
            partition.tag = Some(standing.tag);
            partition.tag_is_synced = true;
            partition.takes_part = standing.takes_part;
            partition.role = standing.role;
            partition.holds = standing.holds;
            partition.others = standing.others;
            partition.members = standing.members;
            partition.leavers = standing.leavers;
        }
        replica.recover(recovered, counters);
        replica
    }

    /// What the replica asks for or reports next. Once this is empty the turn is over, and what was
    /// to be stored leaves as one batch.
    pub(crate) fn poll_effect(&mut self) -> Option<ReplicaEffect> {
        self.effects.pop_front()
    }

    /// Closes the turn's batch; call when nothing else is left to poll.
    pub(crate) fn flush(&mut self, wall: WallTime) {
        self.checkpoint_what_cannot_wait();
        if self.batch.is_empty() {
            return;
        }
        let batch = core::mem::take(&mut self.batch);
        let mut writes = batch.writes;
        let journal_row = if batch.journal.is_empty() {
            None
        } else {
            let number = self.next_journal;
            self.next_journal += 1;
            writes.push(StoreWrite::Put {
                column: Column::Meta,
                key: rows::journal_key(number),
                value: batch.journal.encode(wall),
            });
            Some((number, wall))
        };
        let store = StoreId(self.next_store);
        self.next_store += 1;
        self.in_flight.push_back(StoreInFlight {
            store,
            slots: batch.slots,
            journal: batch.journal,
            journal_row,
            hints: batch.hints,
            barriers: batch.barriers,
            meta: batch.meta,
            checkpoint: batch.checkpoint,
        });
        let durability = batch.durability;
        let awaited = batch.awaited;
        self.effects.push_back(ReplicaEffect::Store { store, writes, durability, awaited });
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

    /// The hints kept for each node.
    pub(crate) fn hint_counts(&self) -> impl Iterator<Item = (NodeId, HintCount)> + '_ {
        self.hints.counts()
    }

    /// Bytes of all hints.
    pub(crate) fn hint_bytes(&self) -> u64 {
        self.hints.bytes()
    }

    /// Whether the node takes no more writes.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Bytes of one partition's copy, about: as those of this node's that are not empty.
    pub(crate) fn bytes_of_a_partition(&self) -> u64 {
        let own = self.own_partitions.iter().filter_map(|id| self.partitions.get(*id));
        let (count, records) = own.fold((0, 0), |(count, records): (u64, u64), partition| {
            (count + 1, records.saturating_add(partition.records))
        });
        let per_record = self.row_bytes.checked_div(self.rows_stored).unwrap_or(0);
        records.checked_div(count).unwrap_or(0).saturating_mul(per_record)
    }

    /// Whether no hint is being stored or removed.
    pub(crate) fn hints_are_at_rest(&self) -> bool {
        !self.slots.keys().any(|key| key.place != Place::Own)
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots.is_empty() && self.in_flight.is_empty() && self.batch.is_empty()
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
            let waiting = slot.queue.iter().map(Job::held_bytes).sum::<usize>();
            let storing = if let State::Storing { bytes, .. } = slot.state { bytes } else { 0 };
            waiting + storing
        };
        assert_eq!(self.bytes, self.slots.values().map(held).sum::<usize>(), "bytes are counted");
    }
}

fn known_request(entry: &JournalEntry) -> KnownRequest {
    KnownRequest { request: entry.request, digest: entry.digest, dot: entry.dot }
}
