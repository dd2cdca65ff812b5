//! What the two sides of a session say to each other.

use alloc::vec::Vec;

use dynamo_merkle::iblt::{ItemId, Salt, Symbol};
use dynamo_merkle::{NodePath, ShortSum};
use dynamo_types::ObjectName;

/// How a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Sets this session's items apart from those of every other.
    pub salt: Salt,
    /// How deep the initiator's tree is; the leaves of the shallower tree are compared.
    pub depth: u8,
}

/// From the initiator to the responder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Begin; answered with the sums below the root, if the trees have leaves below it.
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
    /// No more of this leaf is needed. Not answered.
    Solved {
        /// Which leaf.
        leaf: NodePath,
        /// Whether its records are the same on both sides.
        agrees: bool,
    },
    /// What still differs after the pause, and what does at the responder?
    Settle {
        /// Which leaf.
        leaf: NodePath,
        /// Items that only the responder had, and whose names are wanted if it still has them.
        wanted: Vec<ShortId>,
        /// Items that only the initiator has.
        offered: Vec<(ShortId, ObjectName)>,
    },
    /// The end. Not answered.
    Close,
}

/// From the responder to the initiator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
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
        /// In order.
        symbols: Vec<Symbol>,
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
        /// For each wanted item in order, its name if it is still there.
        named: Vec<Option<ObjectName>>,
        /// The offered items that have arrived meanwhile.
        arrived: Vec<ShortId>,
    },
    /// This leaf cannot be compared now.
    Unable {
        /// Which leaf.
        leaf: NodePath,
        /// Why.
        why: Unable,
    },
}

/// What a leaf's items come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafTotals {
    /// How many.
    pub items: u32,
    /// The low half of their wrapping sum.
    pub sum: u32,
}

/// Half of an item, enough to tell it within its leaf or beside its name. Should it stand for another
/// record once in a million leaves, then that record is exchanged needlessly, or the difference is
/// found by the next session, under another salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShortId(pub u32);

impl From<ItemId> for ShortId {
    fn from(item: ItemId) -> Self {
        Self(low_half(item.0))
    }
}

/// The low 32 bits.
pub(super) fn low_half(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Why a leaf cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unable {
    /// Too many leaves are under way already.
    Busy,
    /// It is no leaf of the trees compared.
    NoLeaf,
    /// Its records cannot be read.
    Unreadable,
    /// It holds too many records: its tree should have more leaves.
    TooLarge,
    /// Two of its items are the same under this salt.
    Duplicates,
}

/// What a message takes on the wire, without what all messages of a turn share (length, checksum and
/// session of the frame): a tag of one byte, numbers and leaves as varints, a node above the leaves 3
/// bytes, a short sum 8, an item 8 or in short 4, a symbol 13, a name its bytes and two lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// All bytes but those of names.
    pub bytes: u64,
    /// Bytes of names.
    pub name_bytes: u64,
}

const TAG: usize = 1;
const NODE: usize = 3;
const ITEM: usize = 8;
const SHORT_ITEM: usize = 4;

impl Question {
    /// What it takes on the wire.
    #[must_use]
    pub fn cost(&self) -> Cost {
        match self {
            Self::Open(_) => Cost::of(TAG + 8 + 1, 0),
            Self::Sums { nodes } => Cost::of(TAG + varint(nodes.len()) + nodes.len() * NODE, 0),
            Self::Symbols { leaf, until } => Cost::of(TAG + of(leaf) + varint(*until as usize), 0),
            // Whether it agrees is told by two tags.
            Self::List { leaf } | Self::Solved { leaf, .. } => Cost::of(TAG + of(leaf), 0),
            Self::Settle { leaf, wanted, offered } => {
                let counts = varint(wanted.len()) + varint(offered.len());
                let items = (wanted.len() + offered.len()) * SHORT_ITEM;
                let names = offered.iter().map(|(_, name)| name_bytes(name)).sum();
                Cost::of(TAG + of(leaf) + counts + items, names)
            }
            Self::Close => Cost::of(TAG, 0),
        }
    }
}

impl Answer {
    /// What it takes on the wire. Symbols count as 13 bytes: hardly one in a hundred has more.
    #[must_use]
    pub fn cost(&self) -> Cost {
        match self {
            Self::Sums { sums } => {
                Cost::of(TAG + varint(sums.len()) + sums.len() * (NODE + 16 * 8), 0)
            }
            Self::Symbols { leaf, totals, symbols } => {
                // Whether there are totals is told by two tags.
                let totals = totals.map_or(0, |totals| 4 + varint(totals.items as usize));
                let symbols = varint(symbols.len()) + symbols.len() * SYMBOL_BYTES as usize;
                Cost::of(TAG + of(leaf) + totals + symbols, 0)
            }
            Self::List { leaf, items } => {
                Cost::of(TAG + of(leaf) + varint(items.len()) + items.len() * ITEM, 0)
            }
            Self::Settled { leaf, named, arrived } => {
                // A bit for each that was wanted.
                let bits = varint(named.len()) + named.len().div_ceil(8);
                let arrived = varint(arrived.len()) + arrived.len() * SHORT_ITEM;
                let names = named.iter().flatten().map(name_bytes).sum();
                Cost::of(TAG + of(leaf) + bits + arrived, names)
            }
            Self::Unable { leaf, .. } => Cost::of(TAG + of(leaf) + 1, 0),
        }
    }
}

/// What a symbol usually takes.
const SYMBOL_BYTES: u64 = 13;

/// Whether a list of so many items is no longer than so many symbols.
pub(super) fn is_list_shorter(items: u32, symbols: u32) -> bool {
    u64::from(items) * ITEM as u64 <= u64::from(symbols) * SYMBOL_BYTES
}

impl Cost {
    fn of(bytes: usize, name_bytes: usize) -> Self {
        Self { bytes: bytes as u64, name_bytes: name_bytes as u64 }
    }
}

fn of(leaf: &NodePath) -> usize {
    varint(leaf.index() as usize)
}

fn name_bytes(name: &ObjectName) -> usize {
    let (bucket, key) = (name.bucket.as_bytes().len(), name.key.as_bytes().len());
    1 + bucket + varint(key) + key
}

fn varint(number: usize) -> usize {
    (usize::BITS - number.leading_zeros()).div_ceil(7).max(1) as usize
}
