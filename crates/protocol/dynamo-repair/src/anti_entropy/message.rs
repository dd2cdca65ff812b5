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
        wanted: Vec<ItemId>,
        /// Items that only the initiator has.
        offered: Vec<(ItemId, ObjectName)>,
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
        /// The wanted items that are still there.
        named: Vec<(ItemId, ObjectName)>,
        /// The offered items that have arrived meanwhile.
        arrived: Vec<ItemId>,
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
    /// Their wrapping sum.
    pub sum: u64,
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
/// session of the frame): a tag of one byte, numbers as varints, a node 3 bytes, a short sum 8, an
/// item 8, a symbol 13 or 14, a name its bytes and two lengths.
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

impl Question {
    /// What it takes on the wire.
    #[must_use]
    pub fn cost(&self) -> Cost {
        match self {
            Self::Open(_) => Cost::of(TAG + 8 + 1, 0),
            Self::Sums { nodes } => Cost::of(TAG + varint(nodes.len()) + nodes.len() * NODE, 0),
            Self::Symbols { until, .. } => Cost::of(TAG + NODE + varint(*until as usize), 0),
            Self::List { .. } => Cost::of(TAG + NODE, 0),
            Self::Solved { .. } => Cost::of(TAG + NODE + 1, 0),
            Self::Settle { wanted, offered, .. } => {
                let counts = varint(wanted.len()) + varint(offered.len());
                let items = (wanted.len() + offered.len()) * ITEM;
                Cost::of(TAG + NODE + counts + items, names(offered))
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
            Self::Symbols { totals, symbols, .. } => {
                let totals = totals.map_or(0, |totals| 8 + varint(totals.items as usize));
                let symbols = varint(symbols.len()) + symbols.len() * SYMBOL_BYTES as usize;
                Cost::of(TAG + NODE + 1 + totals + symbols, 0)
            }
            Self::List { items, .. } => {
                Cost::of(TAG + NODE + varint(items.len()) + items.len() * ITEM, 0)
            }
            Self::Settled { named, arrived, .. } => {
                let counts = varint(named.len()) + varint(arrived.len());
                let items = (named.len() + arrived.len()) * ITEM;
                Cost::of(TAG + NODE + counts + items, names(named))
            }
            Self::Unable { .. } => Cost::of(TAG + NODE + 1, 0),
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

fn names(named: &[(ItemId, ObjectName)]) -> usize {
    let bytes = |name: &ObjectName| {
        let (bucket, key) = (name.bucket.as_bytes().len(), name.key.as_bytes().len());
        1 + bucket + varint(key) + key
    };
    named.iter().map(|(_, name)| bytes(name)).sum()
}

fn varint(number: usize) -> usize {
    (usize::BITS - number.leading_zeros()).div_ceil(7).max(1) as usize
}
