//! What the machine is told, what it wants done, and what it looks at.

use alloc::sync::Arc;
use alloc::vec::Vec;

use dynamo_merkle::{ItemDigest, NodePath, Sum, SumTree};
use dynamo_messages::{KnownBy, RepairMessage};
use dynamo_types::{CheckpointName, NodeId, ObjectName, PartitionId, Position, RegisterTag};
use dynamo_versioning::{Dot, DotClock, Record};

/// What this node has of a partition.
#[derive(Debug, Clone, Copy)]
pub struct PartitionState<'a> {
    /// The register that this node goes by: state passes only between nodes with the same one.
    pub register: RegisterTag,
    /// The sums of all stored records.
    pub tree: &'a SumTree,
    /// The live dot clock, of the same moment as the tree. Not looked at while incomplete.
    pub clock: &'a DotClock,
    /// Whether the copy is incomplete (protocol rule 4).
    pub incomplete: bool,
    /// Whether the copy is to be filled by one exchange before there are others: two at once would bring
    /// everything twice.
    pub one_at_a_time: bool,
    /// How often it has begun to be so. What a session found does not count after the next time.
    pub losses: u64,
}

/// What this node has of all partitions.
///
/// Tree and clock must belong together: both, or neither, show a record's version. And neither may
/// be ahead of what [`AntiEntropyEffect::ReadLeaf`] and [`AntiEntropyEffect::ReadRecord`] read.
pub trait Partitions {
    /// The state of a partition; none if this node is no member of it, or has no tree of it yet.
    fn state(&self, partition: PartitionId) -> Option<PartitionState<'_>>;

    /// Whether a node has left a partition and only hands over what it has, under the register that this
    /// node goes by. Both sides of an exchange go by the same one, so they say the same of each other.
    fn has_left(&self, partition: PartitionId, node: NodeId) -> bool;

    /// By which checkpoints this node knows the other members of a partition.
    fn known(&self, partition: PartitionId) -> Vec<KnownBy>;

    /// Whether this node's disk has taken all of these checkpoints, which another member knows its
    /// copy of the partition by. An incomplete copy makes them its own, so that it has.
    fn has_taken(&self, partition: PartitionId, checkpoints: &[CheckpointName]) -> bool;
}

/// Names a read; its result repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Names a store of state; its result repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateToken(pub u64);

/// One record of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafItem {
    /// Where it lies on the ring.
    pub position: Position,
    /// Its name.
    pub name: ObjectName,
    /// Its digest, as it is in the tree.
    pub digest: ItemDigest,
}

/// What the machine is told.
#[derive(Debug, Clone, PartialEq)]
pub enum AntiEntropyEvent {
    /// Which partitions this node and a peer are both members of, connected or not: at the start and
    /// whenever that changes. Until it is told of a member, nothing that it shares is verified.
    SharedWith {
        /// The peer.
        node: NodeId,
        /// The partitions.
        shared: Vec<PartitionId>,
    },
    /// A peer can be reached.
    PeerConnected {
        /// The peer.
        node: NodeId,
        /// The partitions that both are members of.
        shared: Vec<PartitionId>,
    },
    /// A peer cannot be reached any more, or is another process now.
    PeerLost {
        /// The peer.
        node: NodeId,
    },
    /// A peer said something.
    Received {
        /// The peer.
        from: NodeId,
        /// What it said.
        message: RepairMessage,
    },
    /// To [`AntiEntropyEffect::ReadLeaf`].
    LeafRead {
        /// Of the effect.
        read: ReadId,
        /// All records of the leaf, as they are now.
        items: Vec<LeafItem>,
    },
    /// To [`AntiEntropyEffect::ReadLeaf`]: it cannot be read, or not as a whole.
    LeafUnreadable {
        /// Of the effect.
        read: ReadId,
    },
    /// To [`AntiEntropyEffect::ReadRecord`].
    RecordRead {
        /// Of the effect.
        read: ReadId,
        /// The record as it is now; none if there is none.
        record: Option<Record>,
    },
    /// To [`AntiEntropyEffect::ReadRecord`]: whether there is one cannot be told.
    RecordUnreadable {
        /// Of the effect.
        read: ReadId,
    },
    /// To [`AntiEntropyEffect::StoreState`]: everything that the pieces say is stored here, or was
    /// refused as obsolete, and all of that is synced. To [`AntiEntropyEffect::DropVersions`]: none of
    /// them is here any more.
    StateStored {
        /// Of the effect.
        token: StateToken,
        /// Versions that were not taken because they were collected here: what
        /// [`receive_state`](dynamo_versioning::receive_state) calls obsolete and the record that is
        /// stored does not cover.
        collected: Vec<Dot>,
    },
    /// To either of these: not stored, and not dropped.
    StateRefused {
        /// Of the effect.
        token: StateToken,
    },
    /// This node's copy of a partition has become incomplete: what was verified is not, whatever is
    /// under way about it ends, and every peer is asked again at once.
    Reset {
        /// Which partition.
        partition: PartitionId,
    },
    /// This node goes by another register of a partition: sessions about it end, and what was verified
    /// is not.
    RegisterChanged {
        /// Which partition.
        partition: PartitionId,
    },
    /// An exchange with a peer is wanted at once, also if nothing differs. Nothing happens if one is
    /// under way.
    Exchange {
        /// With which peer.
        node: NodeId,
        /// About which partition.
        partition: PartitionId,
    },
    /// How much of the usual number of sessions may be under way, in a hundred; 100 at the start. At
    /// 0 none is begun, while roots are still compared and peers still answered, in two at once.
    Budget(u8),
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq)]
pub enum AntiEntropyEffect {
    /// Tell a peer. Messages to one peer must arrive in order; those that are lost or late cost a
    /// session and nothing else.
    Send {
        /// Which peer.
        to: NodeId,
        /// What.
        message: RepairMessage,
    },
    /// Read all records under a node of a partition's tree.
    ReadLeaf {
        /// To be repeated.
        read: ReadId,
        /// Which partition.
        partition: PartitionId,
        /// Which node: a leaf of this tree or one above it.
        leaf: NodePath,
    },
    /// Read a record.
    ReadRecord {
        /// To be repeated.
        read: ReadId,
        /// In which partition.
        partition: PartitionId,
        /// Which record.
        name: ObjectName,
    },
    /// Merge versions that another member holds, by the rule for *state* (protocol rule 4,
    /// [`receive_state`](dynamo_versioning::receive_state)), and tell when the outcome is synced.
    StoreState {
        /// To be repeated.
        token: StateToken,
        /// In which partition.
        partition: PartitionId,
        /// Which record.
        name: ObjectName,
        /// Versions of it, each with what it replaced.
        pieces: Vec<Record>,
        /// The sender's clock from before it read any record. Empty if the sender is incomplete,
        /// which makes the rule that for delayed messages.
        sender: Arc<DotClock>,
        /// Who sent them.
        from: NodeId,
    },
    /// Another member has collected these versions, which this node still holds: drop them, as if
    /// they had never been. For this node's copy was incomplete when the exchange began.
    ///
    /// Tell when that is synced, as for state: the exchange does not end before it. Else this node
    /// would have joined the other's clock, and what it still holds would pass for alive.
    DropVersions {
        /// To be repeated.
        token: StateToken,
        /// In which partition.
        partition: PartitionId,
        /// Which record.
        name: ObjectName,
        /// Which versions of it.
        dots: Vec<Dot>,
    },
    /// A complete exchange with another member: everything that it held when its clock was taken is
    /// incorporated here. Join that clock; or, while incomplete, remember it with who it is from, and
    /// be complete with all of them once there is one of every other member.
    Exchanged {
        /// Which partition.
        partition: PartitionId,
        /// Which member.
        with: NodeId,
        /// Its clock. Empty if it is incomplete itself.
        clock: Arc<DotClock>,
        /// Whether it is incomplete itself.
        from_incomplete: bool,
        /// [`PartitionState::losses`] when the exchange began: if the copy has become incomplete since,
        /// it does not count.
        losses: u64,
    },
    /// Another member begins an exchange with this one. Emitted before anything is exchanged.
    ///
    /// If the disk here has not taken a checkpoint that the other knows this node by, it has been
    /// set back: become incomplete (the exchange does not take place). An incomplete copy makes these
    /// checkpoints its own, and takes over by which ones the other knows third members: what it
    /// learns from the other rests on their reports. If the other's copy is incomplete, what it
    /// reported before does not count any more.
    Met {
        /// Which partition.
        partition: PartitionId,
        /// Which member.
        with: NodeId,
        /// Whether the other's copy is incomplete.
        incomplete: bool,
        /// By which checkpoints the other knows the members, this node among them.
        known: Vec<KnownBy>,
    },
    /// The sums of a leaf differed though its records agree: compare its sum with that of its
    /// records, and correct it if it is wrong.
    LeafAgrees {
        /// Which partition.
        partition: PartitionId,
        /// Which node.
        leaf: NodePath,
        /// What its records added up to when they were read.
        scanned: Sum,
    },
}
