//! What a client asks, and what it is told.

mod change;
mod explanation;

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::{
    Bucket, BucketSettings, ClusterId, Key, NodeId, ObjectName, Replication, RequestId, WallTime,
};
use dynamo_versioning::{Content, Dot};

pub use change::{
    CHANGES_MAX, ClusterChange, LinkView, PlanView, PlannedNodeView, TRANSFERS_MAX, TransferView,
    TransfersView, WAITING_PER_TRANSFER,
};
pub use explanation::{Explanation, HintView, ReplicaState, ReplicaView, SiblingView};

/// What a request asks beyond its bucket's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Replies to wait for, instead of the bucket's r.
    pub r: Option<u8>,
    /// Copies to store, instead of the bucket's w.
    pub w: Option<u8>,
    /// Only the partition's own replicas count (`quorum=strict`).
    pub strict: bool,
    /// How long the client waits, in milliseconds; 2,000 if absent.
    pub timeout_ms: Option<u32>,
}

/// A request to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The versions of an object.
    Get {
        /// Which object.
        name: ObjectName,
        /// Beyond the bucket's settings.
        options: Options,
    },
    /// A put, or a delete: a put whose content is a tombstone.
    Mutate(Mutation),
    /// A page of a bucket's keys, in the order of their positions on the ring.
    List {
        /// Which bucket.
        bucket: Bucket,
        /// Only keys after this one, which need not exist.
        after: Option<Key>,
        /// Only keys that begin with these bytes.
        prefix: Bytes,
        /// At most this many keys, 1..=1,000.
        limit: u32,
        /// Beyond the bucket's settings.
        options: Options,
    },
    /// The settings of one bucket.
    GetBucket {
        /// Which bucket.
        bucket: Bucket,
    },
    /// New settings for a bucket.
    PutBucket {
        /// Which bucket.
        bucket: Bucket,
        /// What they shall be.
        settings: BucketSettings,
    },
    /// All buckets whose settings were ever put.
    ListBuckets,
    /// The members as this node sees them.
    Cluster,
    /// The partition table.
    Ring,
    /// What a change of the members would mean. Nothing is done.
    PlanChange {
        /// What shall change, at most [`CHANGES_MAX`]; empty: what is still to be done, or better.
        changes: Vec<ClusterChange>,
    },
    /// Do what a plan said.
    CommitChange {
        /// As it was planned.
        changes: Vec<ClusterChange>,
        /// [`PlanView::plan`] of that plan. If the cluster is another by now, the commit is refused.
        plan: u128,
    },
    /// Stop all moves that are not decided.
    CancelMoves,
    /// Go on without nodes that are gone for good, where a majority of a replica set is among them.
    ForceMoves {
        /// These nodes, by name or id. What was acknowledged by them alone is lost until they return.
        given_up: Vec<String>,
        /// Whether to do it; else only to say what it would mean.
        commit: bool,
    },
    /// The moves under way.
    Transfers,
    /// What each replica of an object has. Nothing is repaired, and no quorum is needed.
    Explain {
        /// Which object.
        name: ObjectName,
        /// How long the client waits, in milliseconds; 2,000 if absent.
        timeout_ms: Option<u32>,
    },
}

/// A put or a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// Which object.
    pub name: ObjectName,
    /// The value, or a tombstone. A delete without a context first reads and covers what it saw.
    pub content: Content,
    /// The sealed contexts of the replies that this put replaces, at most
    /// [`CONTEXTS_PER_PUT_MAX`](dynamo_types::limits::CONTEXTS_PER_PUT_MAX).
    pub contexts: Vec<String>,
    /// Equal in all attempts at the same put (protocol rule 7).
    pub request: RequestId,
    /// Whether an earlier attempt may have been made anywhere: then replicas are asked whether
    /// they know the request before a version is minted.
    pub retry: bool,
    /// Beyond the bucket's settings.
    pub options: Options,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To a get.
    Object(ObjectReply),
    /// To a put or delete that reached its quorum.
    Stored {
        /// Covers what the request's contexts covered and the new version, nothing else.
        context: String,
        /// What was reached.
        receipt: Receipt,
    },
    /// To a listing.
    Page(ListPage),
    /// To a question about a bucket, and to its change once a majority of members stored it.
    Bucket {
        /// Which bucket.
        bucket: Bucket,
        /// Its settings.
        settings: BucketSettings,
        /// Counts the changes; 0 if nobody ever put settings.
        version: u64,
    },
    /// All buckets whose settings were ever put, by name.
    Buckets(Vec<(Bucket, BucketSettings, u64)>),
    /// The members.
    Cluster(ClusterView),
    /// The partition table.
    Ring(RingView),
    /// To a plan, a commit, or a force.
    Plan(PlanView),
    /// How many moves were cancelled: those under way, as this node knows them.
    Cancelled {
        /// Partitions with a move that was not known to be decided.
        moves: u32,
    },
    /// The moves under way.
    Transfers(TransfersView),
    /// What each replica of an object has.
    Explanation(Explanation),
    /// The request was not answered as asked.
    Failed(Failure),
}

/// The versions of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectReply {
    /// What the bucket's view shows: none if the object is absent or deleted, several if
    /// concurrent versions stand side by side.
    pub siblings: Vec<SiblingReply>,
    /// Covers everything that was seen behind the view; give it to the next put.
    pub context: String,
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiblingReply {
    /// The value.
    pub value: Bytes,
    /// Its content type, as given by the put.
    pub content_type: Bytes,
    /// Which put made it.
    pub dot: Dot,
    /// When it was written, by its coordinator's hybrid clock.
    pub written_at: WallTime,
    /// When it expires, if it does.
    pub expires_at: Option<WallTime>,
}

/// What a put had reached when it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Copies stored.
    pub copies: u8,
    /// Copies synced to disk, among them.
    pub synced: u8,
    /// Distinct nodes that hold them.
    pub nodes: u8,
    /// Distinct zones that hold them.
    pub zones: u8,
    /// Copies that are hints on fallbacks, among them.
    pub hints: u8,
}

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// Keys in the order of their positions on the ring.
    pub keys: Vec<Key>,
    /// Whether more may follow: ask again with `after` the last key.
    pub more: bool,
}

/// The members as one node sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// Which cluster.
    pub cluster: ClusterId,
    /// The node that answers.
    pub answered_by: NodeId,
    /// N.
    pub replication: Replication,
    /// Q.
    pub partition_count: u32,
    /// All members by id.
    pub members: Vec<MemberView>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its identity.
    pub node: NodeId,
    /// Its name for people.
    pub name: String,
    /// joining, member, leaving or removed.
    pub state: String,
    /// Whether the answering node reaches it now.
    pub reachable: bool,
    /// What the members together think of it, as the answering node has heard: up, suspect, down or
    /// unknown.
    pub liveness: String,
    /// Its capacity, relative to the others.
    pub weight: u32,
    /// Its failure zone.
    pub zone: String,
    /// Where it speaks QUIC, `host:port`.
    pub address: String,
    /// Where it speaks HTTP, `host:port`.
    pub http_address: String,
    /// Replicas it holds of all partitions.
    pub replicas_held: u32,
}

/// The partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingView {
    /// Counts its changes; the first is 1.
    pub version: u64,
    /// N.
    pub replication: Replication,
    /// The replica set of each partition in order: N nodes each.
    pub replicas: Vec<NodeId>,
}

/// Why a request was refused before anything was done: the client must change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invalid {
    /// An option out of range.
    Option,
    /// A context that is garbled, foreign, or for another key.
    Context,
    /// A value over the limit.
    ValueTooLarge,
    /// The same request id with another body.
    RequestIdReused,
    /// The key holds as many siblings as it may, and the put replaces none of them.
    TooManySiblings,
    /// Settings that the cluster cannot have.
    Settings,
    /// This build does not know the request.
    Unsupported,
    /// A change of the members that cannot be done, or that was planned for another cluster than
    /// there is now.
    Change,
}

/// Why a request was not answered as asked, and what is known of its effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Refused; nothing was applied.
    Invalid {
        /// Which rule it broke.
        reason: Invalid,
        /// For people.
        detail: String,
    },
    /// Too few replicas could be reached; nothing was applied.
    NotEnoughReplicas {
        /// Replicas that could be reached or answered.
        reached: u8,
        /// How many the quorum needs.
        needed: u8,
    },
    /// A put that may or may not take effect: fewer copies than asked were confirmed in time.
    OutcomeUnknown {
        /// Copies that were confirmed.
        reached: u8,
        /// How many the quorum needs.
        needed: u8,
    },
    /// Refused before any work; nothing was applied.
    Overloaded {
        /// When to try again, in milliseconds.
        retry_after_ms: u32,
    },
    /// Disks, or the space for hints, are full; nothing was applied.
    StorageFull,
    /// The node cannot use its disk; nothing was applied.
    StorageFailed,
}
