//! How the two sides of a session find in which records they differ.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_merkle::iblt::ItemId;
use dynamo_merkle::{NodePath, ShortSum, Sum};
use dynamo_types::{ObjectName, PartitionId, RegisterTag};
use dynamo_versioning::DotClock;

use crate::peer::KnownBy;

/// How a session begins. Depth, root and clock are of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Which partition is compared.
    pub partition: PartitionId,
    /// The register that the initiator goes by: state passes only under the same one.
    pub register: RegisterTag,
    /// How deep the initiator's tree is; the leaves of the shallower tree are compared.
    pub depth: u8,
    /// The sum of all records.
    pub root: Sum,
    /// The initiator's dot clock; none if its copy is incomplete (protocol rule 4).
    pub clock: Option<Arc<DotClock>>,
    /// By which checkpoints the initiator knows the other members, the responder among them.
    pub known: Vec<KnownBy>,
}

/// From the initiator to the responder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Begin.
    Open(Opening),
    /// The sums below these nodes.
    Sums {
        /// Which nodes.
        nodes: Vec<NodePath>,
    },
    /// The symbols of a leaf up to this number, from where the last answer ended.
    Symbols {
        /// Which leaf.
        leaf: NodePath,
        /// One beyond the last symbol.
        until: u32,
    },
    /// All items of a leaf.
    List {
        /// Which leaf.
        leaf: NodePath,
    },
    /// The difference of a leaf is known. Remember under which names the responder has the items
    /// that only it has: their records may change before they are settled. Not answered.
    Solved {
        /// Which leaf.
        leaf: NodePath,
        /// Items that only the responder had.
        wanted: Vec<ShortId>,
    },
    /// The records of this leaf are the same on both sides, though its sums were not. Not answered.
    Agrees {
        /// Which leaf.
        leaf: NodePath,
    },
    /// No more of this leaf is needed now. Not answered.
    Leave {
        /// Which leaf.
        leaf: NodePath,
    },
    /// What still differs after the pause, and what does at the responder?
    Settle {
        /// Which leaf.
        leaf: NodePath,
        /// How many of this leaf's items the questions before this one were about: those that were
        /// wanted come first, then those that are offered.
        from: u32,
        /// For so many of the items that were wanted when the leaf was solved, in that order,
        /// whether the initiator still lacks them.
        wanted: Vec<bool>,
        /// Records that only the initiator had, with the items that they are now.
        offered: Vec<(ItemId, ObjectName)>,
        /// Whether this is the last question about the leaf.
        last: bool,
    },
    /// Nothing more will be asked. Not answered.
    Close,
}

/// From the responder to the initiator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// No session now. The last answer.
    Refused(Refusal),
    /// Both sides hold the same records. The last answer.
    Agreed {
        /// The responder's dot clock; none if its copy is incomplete.
        clock: Option<Arc<DotClock>>,
        /// By which checkpoints the responder knows the other members, the initiator among them.
        known: Vec<KnownBy>,
    },
    /// The session is open. Depth, clock and sums are of one moment.
    Opened {
        /// How deep the responder's tree is.
        depth: u8,
        /// The responder's dot clock; none if its copy is incomplete.
        clock: Option<Arc<DotClock>>,
        /// By which checkpoints the responder knows the other members, the initiator among them.
        known: Vec<KnownBy>,
        /// The sums below the root, if both trees have leaves below it.
        sums: Option<Box<[ShortSum; 16]>>,
    },
    /// The sums below nodes that were asked for.
    Sums {
        /// Each with the sums of its children.
        sums: Vec<(NodePath, [ShortSum; 16])>,
    },
    /// The next symbols of a leaf.
    Symbols {
        /// Which leaf.
        leaf: NodePath,
        /// With the first symbols only.
        totals: Option<LeafTotals>,
        /// In order, each as [`Symbol::write`](dynamo_merkle::iblt::Symbol::write) writes it: to
        /// read them takes the size of the set and the number of the first, which only the
        /// initiator has at hand.
        symbols: Bytes,
    },
    /// All items of a leaf, because that is shorter or was asked for.
    List {
        /// Which leaf.
        leaf: NodePath,
        /// In order.
        items: Vec<ItemId>,
    },
    /// What still differs.
    Settled {
        /// Which leaf.
        leaf: NodePath,
        /// Of the question.
        from: u32,
        /// For each item that is still wanted, in order, the name of its record; none if the
        /// record is gone or has become what the initiator offered.
        named: Vec<Option<ObjectName>>,
        /// For each offered record, whether the responder now has the very same.
        arrived: Vec<bool>,
    },
    /// This leaf cannot be compared now.
    Unable {
        /// Which leaf.
        leaf: NodePath,
        /// Why.
        why: Unable,
    },
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Too many sessions are under way, or one about the same partition between the two.
    Busy,
    /// The responder is no member of the partition.
    NoMember,
    /// The responder goes by another register of the partition.
    OtherRegister,
}

/// What a leaf's items come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafTotals {
    /// How many.
    pub items: u32,
    /// The low half of their wrapping sum.
    pub sum: u32,
}

/// Half of an item, enough to name it among those of its leaf. Should it stand for a second one,
/// then that record is exchanged needlessly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShortId(pub u32);

impl From<ItemId> for ShortId {
    fn from(item: ItemId) -> Self {
        let [a, b, c, d, ..] = item.0.to_le_bytes();
        Self(u32::from_le_bytes([a, b, c, d]))
    }
}

/// Why a leaf cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unable {
    /// Too many leaves are under way already.
    Busy,
    /// It is no leaf of the trees compared, or not at the point that the question is about.
    NoLeaf,
    /// Its records cannot be read.
    Unreadable,
    /// It holds too many records: its tree should have more leaves.
    TooLarge,
    /// Two of its items are the same under this salt.
    Duplicates,
}
