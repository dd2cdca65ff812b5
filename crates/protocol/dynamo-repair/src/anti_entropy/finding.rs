//! What both roles of finding differences have in common.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_merkle::iblt::{DuplicateItem, ItemId, ItemSet, Salt};
use dynamo_merkle::{NodePath, Sum, SumTree};
use dynamo_messages::KnownBy;
use dynamo_messages::repair::{Cost, Refusal, Unable};
use dynamo_types::{ObjectName, PartitionId, Position, RegisterTag};
use dynamo_versioning::DotClock;

use super::event::LeafItem;

/// A leaf of more records than this is not compared: eight times what leaves are planned for, and
/// with the state of a session 32 bytes each. Its tree should have grown.
pub(super) const LEAF_ITEMS_MAX: usize = 8 * 4096;

/// How a session goes about finding differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FindingConfig {
    /// Between finding a difference and settling it, if both sides are complete.
    pub pause: Duration,
    /// Leaves read or compared at once by the initiator. A responder allows twice its own.
    pub leaves_at_once: usize,
}

impl Default for FindingConfig {
    fn default() -> Self {
        Self { pause: Duration::from_secs(2), leaves_at_once: 32 }
    }
}

/// One side of a session as it was when the session began.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Which partition.
    pub partition: PartitionId,
    /// Its tree.
    pub tree: SumTree,
    /// Its dot clock, of the same moment; none if the copy is incomplete.
    pub clock: Option<Arc<DotClock>>,
    /// How often this copy has begun to be incomplete.
    pub losses: u64,
    /// The register that this node goes by.
    pub register: RegisterTag,
    /// By which checkpoints the other members are known here.
    pub known: Vec<KnownBy>,
    /// Who has left the partition.
    pub sides: Sides,
}

/// Who of the two sides of a session has left the partition.
///
/// Who has left takes no writes any more: what it has is compared at once, and handed over. What it lacks is
/// not its own any more, and is not sent to it; so it does not join what the other side knows either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sides {
    /// This side has.
    pub here_left: bool,
    /// The other side has.
    pub there_left: bool,
}

impl Sides {
    /// Whether any of them has.
    #[must_use]
    pub fn any_left(self) -> bool {
        self.here_left || self.there_left
    }
}

/// What a machine is told; `M` is what the other side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<M> {
    /// The other side said something.
    Received(M),
    /// The records of a leaf that was needed, as they are now.
    Leaf {
        /// Which leaf.
        leaf: NodePath,
        /// All its records.
        items: Vec<LeafItem>,
    },
    /// A leaf that was needed cannot be read.
    LeafUnreadable {
        /// Which leaf.
        leaf: NodePath,
    },
}

/// What shall be done; `M` is what this side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<M> {
    /// Tell the other side.
    Send(M),
    /// The other side takes part. Its clock is of when it did.
    Opened {
        /// None if it is incomplete.
        clock: Option<Arc<DotClock>>,
    },
    /// Both sides hold the same records. The last effect of an initiator or responder.
    Agreed {
        /// The other side's clock; none if it is incomplete.
        clock: Option<Arc<DotClock>>,
    },
    /// The other side does not take part. The last effect of an initiator.
    Refused(Refusal),
    /// Scan the positions of this leaf and answer with [`Event::Leaf`].
    NeedLeaf {
        /// Which leaf.
        leaf: NodePath,
    },
    /// Exchange these records: they differed, and nothing shows that they are the same now.
    Differ {
        /// In which leaf.
        leaf: NodePath,
        /// In order of name; the same name may come once more if the leaf had very many.
        records: Vec<Differing>,
    },
    /// The sums of this leaf differed though its records agree: compare its sum with that of its
    /// records, and correct it if it is wrong.
    LeafAgrees {
        /// Which leaf.
        leaf: NodePath,
        /// What its records added up to when they were read.
        scanned: Sum,
    },
    /// Everything was looked at. The last effect.
    Ended(Outcome),
}

/// A record in which the two sides differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// Which record.
    pub name: ObjectName,
    /// Who has something that the other lacks.
    pub held_by: HeldBy,
}

/// Who has something that the other lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBy {
    /// Only this side.
    Here,
    /// Only the other side.
    There,
    /// Both, unlike each other.
    Both,
}

/// How finding differences went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Whether this side looked at everything that differed when the session began. Otherwise the
    /// next session finds the rest.
    pub complete: bool,
    /// Leaves compared.
    pub leaves: u32,
    /// Leaves for which the whole list was sent.
    pub lists: u32,
    /// Leaves given up.
    pub unresolved: u32,
    /// Items found in one set only. A record that differs on both sides counts twice.
    pub found: u64,
    /// Of these, how many no longer differed after the pause.
    pub settled: u64,
    /// What was sent and received.
    pub traffic: Traffic,
}

/// What a session sent and received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Messages.
    pub messages: u64,
    /// What they took.
    pub cost: Cost,
}

impl Traffic {
    /// One more message.
    pub fn count(&mut self, cost: Cost) {
        self.messages += 1;
        self.cost.bytes += cost.bytes;
        self.cost.name_bytes += cost.name_bytes;
        self.cost.value_bytes += cost.value_bytes;
    }
}

/// Stands for a record's name within a partition: half of its position. Should two names share it,
/// then one of them is exchanged needlessly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NameKey(u64);

impl NameKey {
    pub(super) fn at(position: Position) -> Self {
        let [_, _, _, _, _, _, _, _, low @ ..] = position.0.to_be_bytes();
        Self(u64::from_be_bytes(low))
    }

    pub(super) fn of(name: &ObjectName) -> Self {
        Self::at(Position::of_object(name))
    }
}

/// The records of a leaf as they were read: as a set, under which name each is, and what their
/// digests add up to.
#[derive(Debug)]
pub(super) struct ScannedLeaf {
    pub(super) set: ItemSet,
    /// In the order of the set.
    pub(super) names: Vec<NameKey>,
    pub(super) sum: Sum,
}

impl ScannedLeaf {
    pub(super) fn of(salt: Salt, items: &[LeafItem]) -> Result<Self, Unable> {
        if items.len() > LEAF_ITEMS_MAX {
            return Err(Unable::TooLarge);
        }
        let mut both: Vec<(ItemId, NameKey)> = items
            .iter()
            .map(|item| (ItemId::of(salt, item.digest), NameKey::at(item.position)))
            .collect();
        both.sort_unstable();
        let set = ItemSet::new(both.iter().map(|(id, _)| *id))
            .map_err(|DuplicateItem(_)| Unable::Duplicates)?;
        let names = both.into_iter().map(|(_, name)| name).collect();
        let sum = items.iter().fold(Sum::EMPTY, |sum, item| sum.with(item.digest));
        Ok(Self { set, names, sum })
    }
}

/// Joins what each side has by name.
pub(super) fn differing<'a>(
    here: impl IntoIterator<Item = &'a ObjectName>,
    there: impl IntoIterator<Item = &'a ObjectName>,
) -> Vec<Differing> {
    let mut held: BTreeMap<&ObjectName, HeldBy> =
        here.into_iter().map(|name| (name, HeldBy::Here)).collect();
    for name in there {
        held.entry(name)
            .and_modify(|held| {
                if *held == HeldBy::Here {
                    *held = HeldBy::Both;
                }
            })
            .or_insert(HeldBy::There);
    }
    held.into_iter().map(|(name, held_by)| Differing { name: name.clone(), held_by }).collect()
}
