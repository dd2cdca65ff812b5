//! What nodes tell each other.

use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::{
    Bucket, CheckpointName, Durability, Key, NodeId, ObjectName, PartitionId, Position,
    RegisterTag, RequestId,
};
use dynamo_versioning::{BodyDigest, Dot, DotSet, Hlc, Record};

use crate::client::{Mutation, Reply};
use crate::repair::RepairMessage;

/// Registers in one [`PeerMessage::Registers`], at most: at some 250 bytes each far below a frame.
pub const REGISTERS_PER_MESSAGE: usize = 1024;

/// Names one operation of the sending node; its reply repeats it. Unique within a process and,
/// because each process starts at a random number, between the processes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u64);

/// A message with the sender's hybrid clock, which travels with everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The sender's hybrid clock.
    pub hlc: Hlc,
    /// What it says.
    pub message: PeerMessage,
}

/// A message between nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerMessage {
    /// Store these versions (protocol rule 4: *delayed*).
    Write(ReplicaWrite),
    /// To a write.
    WriteReply(ReplicaWriteReply),
    /// Tell me what you have of an object.
    Read(ReplicaRead),
    /// To a read; a large record takes several.
    ReadReply(ReplicaReadReply),
    /// Coordinate this put.
    Forward {
        /// The forwarding node's operation.
        operation: OperationId,
        /// How long the client still waits, in milliseconds.
        remaining_ms: u32,
        /// The put.
        mutation: Mutation,
    },
    /// To a forwarded put.
    ForwardReply {
        /// The forwarding node's operation.
        operation: OperationId,
        /// What the client shall be told.
        reply: Reply,
    },
    /// Tell me the keys of a part of a partition.
    Scan(ReplicaScan),
    /// To a scan.
    ScanReply(ReplicaScanReply),
    /// Settings of buckets, to be merged; `dynamo-membership` knows the entries' bytes.
    Buckets {
        /// Answer with `BucketsStored` once they are synced, if this is given.
        acknowledge: Option<OperationId>,
        /// The entries.
        entries: Vec<(Bucket, Bytes)>,
    },
    /// The settings sent under that operation are synced here.
    BucketsStored {
        /// The sender's operation.
        operation: OperationId,
    },
    /// Please send the settings that you have of this bucket.
    AskBucket {
        /// Which bucket.
        bucket: Bucket,
    },
    /// What this node knows of the members; `dynamo-membership` knows the bytes, which carry a
    /// check of their own.
    Gossip {
        /// One message of the gossip's.
        bytes: Bytes,
    },
    /// What this node knows of all buckets' settings, in one number.
    BucketsFingerprint {
        /// The number.
        fingerprint: u128,
    },
    /// What this node knows of the settings of each group of buckets, to a fingerprint that differs.
    BucketGroups {
        /// One number a group.
        groups: Vec<u128>,
    },
    /// Please send the settings of these groups of buckets: to `BucketGroups` of which some differ.
    AskBucketGroups {
        /// A bit for each group.
        groups: u64,
    },
    /// Would you turn these versions away as collected? Answered with `Collected`; or, by one that has
    /// one of them by now or what replaced it, with a new `ReadReply`.
    AskCollected(AskCollected),
    /// To `AskCollected`.
    Collected {
        /// The asker's operation.
        operation: OperationId,
        /// Those of the versions asked about that were replaced or deleted, and collected since.
        dots: Vec<Dot>,
    },
    /// Durable clocks of members, for the stable cut (protocol rule 5).
    ClockReports {
        /// Repeated in `ClockReportsStored` once all of them are synced here.
        number: u64,
        /// The reports.
        reports: Vec<ClockReport>,
    },
    /// The reports sent under that number are synced here.
    ClockReportsStored {
        /// The sender's number.
        number: u64,
    },
    /// By which checkpoints the sender knows the receiver, partition by partition: if its disk has
    /// not taken one of them it has been set back (history 11).
    KnownCheckpoints {
        /// At most as many partitions as a message has reports.
        known: Vec<(PartitionId, Vec<CheckpointName>)>,
        /// Of these the sender has not heard by what the receiver knows it, and wants to.
        wanted: Vec<PartitionId>,
    },
    /// Registers of partitions that the sender knows, as `dynamo-register` writes them.
    Registers {
        /// At most [`REGISTERS_PER_MESSAGE`].
        registers: Vec<(PartitionId, Bytes)>,
    },
    /// A digest of all registers and of the layout wanted, as the sender knows them.
    RegistersFingerprint {
        /// The digest.
        fingerprint: u128,
    },
    /// Digests of the sender's registers by groups of partitions: the receiver sends what is in
    /// those that differ, and asks for it.
    RegisterGroups {
        /// One digest a group.
        groups: Vec<u128>,
    },
    /// Send the registers in these groups, and the layout wanted.
    AskRegisterGroups {
        /// Bit i stands for group i.
        groups: u64,
    },
    /// The layout that operators want.
    WantedLayout {
        /// As `dynamo-membership` writes it.
        bytes: Bytes,
    },
    /// A driver asks a member of a partition to promise, to vote or to learn (protocol rule 8).
    RegisterRequest {
        /// Of which partition.
        partition: PartitionId,
        /// As `dynamo-register` writes it.
        bytes: Bytes,
    },
    /// To a register request.
    RegisterAnswer {
        /// Of which partition.
        partition: PartitionId,
        /// As `dynamo-register` writes it.
        bytes: Bytes,
    },
    /// How far the sender is with its part of a move: said again until the move goes on.
    MoveProgress {
        /// Of which partition.
        partition: PartitionId,
        /// The register under which that was done.
        register: RegisterTag,
        /// If the sender joins: members of the current set from which it has everything. At most N.
        exchanged: Vec<NodeId>,
        /// If the sender leaves: members of the next set to which it has handed over what only it
        /// had. At most N.
        compared: Vec<NodeId>,
    },
    /// Find in which records we differ, and exchange them.
    Repair(RepairMessage),
}

/// A question whether versions that a get met at one replica, and not at this one, are collected
/// here (protocol rule 7, history 13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskCollected {
    /// The coordinator's operation.
    pub operation: OperationId,
    /// Which object.
    pub name: ObjectName,
    /// Which of its versions.
    pub dots: Vec<Dot>,
    /// How long the coordinator still waits, in milliseconds.
    pub remaining_ms: u32,
}

/// What a member of a partition has incorporated for good: the dots of a synced checkpoint, never
/// those of its live clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockReport {
    /// Which partition.
    pub partition: PartitionId,
    /// The register that the sender goes by: only under the same one does the report count.
    pub register: RegisterTag,
    /// The checkpoint.
    pub checkpoint: CheckpointName,
    /// Checkpoints that the receiver said it knows the sender by, and that are indeed among those of
    /// its disk. A receiver that knows of another process's has to say so first: else a report from
    /// a disk that was set back could hide that.
    pub after: Vec<CheckpointName>,
    /// Its dots.
    pub dots: DotSet,
}

/// The checkpoints by which the sender knows a member of a partition: that of its last report, and,
/// if the sender has been incomplete since, those that other members knew it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBy {
    /// The member.
    pub member: NodeId,
    /// At most [`CHECKPOINTS_MAX`](KnownBy::CHECKPOINTS_MAX).
    pub checkpoints: Vec<CheckpointName>,
}

impl KnownBy {
    /// One of a report and one of each other member, with room to spare.
    pub const CHECKPOINTS_MAX: usize = 32;
}

/// What makes a write a hint: a copy that a fallback keeps for a replica that cannot be reached
/// (Paper §4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintFor {
    /// The replica that it is kept for.
    pub intended: NodeId,
    /// Whether it counts towards w. Such a hint is never dropped; when its space is full it is
    /// refused. One that does not count may be dropped.
    pub acknowledging: bool,
}

/// Versions for a replica to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaWrite {
    /// The sender's operation; absent in a repair, which wants no answer.
    pub operation: Option<OperationId>,
    /// Which object.
    pub name: ObjectName,
    /// The register that the sender goes by: under another one the receiver does nothing and says
    /// so. None if it does not matter under which: a repair is delayed.
    pub register: Option<RegisterTag>,
    /// Set if the receiver shall keep it for another node.
    pub hint: Option<HintFor>,
    /// One record a sibling (protocol rule 7); each is valid by itself.
    pub pieces: Vec<Record>,
    /// When the replica may answer.
    pub durability: Durability,
    /// How long the coordinator still waits, in milliseconds.
    pub remaining_ms: u32,
}

/// What came of a replica write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Stored, or obsolete because what replaced it is stored.
    Stored {
        /// Whether that is synced.
        synced: bool,
    },
    /// Not stored, and will not be: the disk is full.
    DiskFull,
    /// Not stored as far as the replica knows: its disk fails.
    Failed,
    /// Not stored: no room in the replica's queue.
    Overloaded,
    /// Not stored: no room for more hints.
    HintsFull,
    /// Not stored: the replica goes by another register, which it has told before this.
    Stale,
}

/// A replica's answer to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaWriteReply {
    /// The coordinator's operation.
    pub operation: OperationId,
    /// What came of it.
    pub outcome: WriteOutcome,
    /// The version of the bucket's settings here.
    pub settings_version: u64,
}

/// A put that may have been made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownRequest {
    /// Its request id.
    pub request: RequestId,
    /// Digest of what it wrote.
    pub digest: BodyDigest,
    /// The version that it made.
    pub dot: Dot,
}

/// A question for what a replica has of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaRead {
    /// The coordinator's operation.
    pub operation: OperationId,
    /// Which object.
    pub name: ObjectName,
    /// The register that the sender goes by: under another one the receiver does nothing and says
    /// so. None if it does not matter under which, as to explain.
    pub register: Option<RegisterTag>,
    /// Values longer than this may be left out; the dots are enough to see that replicas agree.
    pub value_bytes_max: u32,
    /// Also tell whether this request was seen (protocol rule 7).
    pub known: Option<RequestId>,
    /// How long the coordinator still waits, in milliseconds.
    pub remaining_ms: u32,
}

/// Which of an answer's pieces one is. A piece may be lost on its way while later ones arrive, so
/// the last alone does not make an answer whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PiecePlace {
    place: u16,
    of: u16,
}

impl PiecePlace {
    /// The one piece of a whole answer.
    pub const ONLY: Self = Self { place: 0, of: 1 };

    /// The piece at `place`, from 0, of `of`; `None` if there is no such piece.
    #[must_use]
    pub fn new(place: u16, of: u16) -> Option<Self> {
        (place < of).then_some(Self { place, of })
    }

    /// The place, from 0.
    #[must_use]
    pub fn place(self) -> u16 {
        self.place
    }

    /// How many pieces the answer has.
    #[must_use]
    pub fn of(self) -> u16 {
        self.of
    }
}

/// What a replica has of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadOutcome {
    /// A piece of the record; the others follow under the same operation.
    Piece {
        /// One or more siblings, or the context alone if there is none.
        record: Record,
        /// Whether values were left out (see [`ReplicaRead::value_bytes_max`]).
        without_values: bool,
        /// Which of the answer's pieces this is.
        at: PiecePlace,
    },
    /// Nothing, and this replica is complete: it counts as an answer.
    Missing,
    /// This replica cannot know (a damaged row, an incomplete partition): it does not count.
    Unsure,
    /// No room in the replica's queue: it does not count.
    Overloaded,
    /// This node is no replica of the object, and keeps no hint of it: it does not count.
    NoHint,
    /// This node goes by another register, which it has told before this.
    Stale,
}

/// A replica's answer to a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaReadReply {
    /// The coordinator's operation.
    pub operation: OperationId,
    /// What it has.
    pub outcome: ReadOutcome,
    /// The put of that request id, if it was asked for and is known.
    pub known: Option<KnownRequest>,
    /// The version of the bucket's settings here.
    pub settings_version: u64,
    /// Requests that wait here now: a busy replica is asked less.
    pub queue: u32,
}

/// A question for the keys of a bucket in a part of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaScan {
    /// The coordinator's operation.
    pub operation: OperationId,
    /// Which partition.
    pub partition: PartitionId,
    /// The register that the sender goes by: under another one the receiver does nothing and says
    /// so.
    pub register: RegisterTag,
    /// Which bucket.
    pub bucket: Bucket,
    /// Only keys that begin with these bytes.
    pub prefix: Bytes,
    /// Only what lies after this position and key.
    pub after: Option<(Position, Key)>,
    /// At most this many keys.
    pub limit: u32,
    /// How long the coordinator still waits, in milliseconds.
    pub remaining_ms: u32,
}

/// One key of a scan, with its versions but without their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedKey {
    /// The key.
    pub key: Key,
    /// Its record without values.
    pub record: Record,
}

/// A replica's answer to a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaScanReply {
    /// The coordinator's operation.
    pub operation: OperationId,
    /// What it has, in order of position, then key.
    pub keys: Vec<ScannedKey>,
    /// Everything up to here was looked at; absent if the partition's end was reached.
    pub reached: Option<(Position, Key)>,
    /// Whether the scan could be made; if not, the answer does not count.
    pub complete: bool,
}
