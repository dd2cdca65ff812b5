//! What both roles of a session have in common.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_merkle::iblt::{DuplicateItem, ItemId, ItemSet, Salt};
use dynamo_merkle::{ItemDigest, NodePath, Sum};
use dynamo_types::ObjectName;

use super::message::{Cost, Unable};

/// A leaf of more records than this is not compared: eight times what leaves are planned for, and
/// with the state of a session 24 bytes each. Its tree should have grown.
pub(super) const LEAF_ITEMS_MAX: usize = 8 * 4096;

/// How a session goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// Between finding a difference and settling it. What was on its way then has arrived.
    pub pause: Duration,
    /// How long an answer may take.
    pub patience: Duration,
    /// Leaves read or compared at once by the initiator. Each takes some 100 KiB at either side; more
    /// of them hide more round trips. A responder allows twice its own.
    pub leaves_at_once: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(2),
            patience: Duration::from_secs(10),
            leaves_at_once: 32,
        }
    }
}

/// One record of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafItem {
    /// Its name.
    pub name: ObjectName,
    /// Its digest, as it is in the tree.
    pub digest: ItemDigest,
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
    /// Scan the positions of this leaf and answer with [`Event::Leaf`].
    NeedLeaf {
        /// Which leaf.
        leaf: NodePath,
    },
    /// These records differ, and still did after the pause: exchange them.
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
    /// The session is over. Emitted once, last.
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

/// How a session went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Whether everything that differed when it began was looked at. Otherwise the next session
    /// finds the rest.
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
    /// Bytes but those of names.
    pub bytes: u64,
    /// Bytes of names.
    pub name_bytes: u64,
}

impl Traffic {
    pub(super) fn count(&mut self, cost: Cost) {
        self.messages += 1;
        self.bytes += cost.bytes;
        self.name_bytes += cost.name_bytes;
    }
}

/// The records of a leaf as a set, and what their digests add up to.
pub(super) fn set_of(salt: Salt, items: &[LeafItem]) -> Result<(ItemSet, Sum), Unable> {
    if items.len() > LEAF_ITEMS_MAX {
        return Err(Unable::TooLarge);
    }
    let set = ItemSet::new(items.iter().map(|item| ItemId::of(salt, item.digest)))
        .map_err(|DuplicateItem(_)| Unable::Duplicates)?;
    Ok((set, items.iter().fold(Sum::EMPTY, |sum, item| sum.with(item.digest))))
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
