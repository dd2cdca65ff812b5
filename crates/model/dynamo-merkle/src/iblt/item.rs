//! What is in the sets.

use alloc::vec::Vec;

use thiserror::Error;

use crate::digest::ItemDigest;

/// Makes the items of one exchange differ from those of every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub u64);

/// A record as one exchange knows it: 64 bits of its digest and the exchange's salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub u64);

impl ItemId {
    /// The item for a record's digest. Digests are keyed with a secret already, so a quick mix is
    /// enough: nobody outside the cluster can aim at it.
    #[must_use]
    pub fn of(salt: Salt, digest: ItemDigest) -> Self {
        let bytes = digest.0.to_be_bytes();
        let (mut high, mut low) = ([0; 8], [0; 8]);
        high.copy_from_slice(&bytes[..8]);
        low.copy_from_slice(&bytes[8..]);
        // Which digests collide depends on the salt, because it enters before the halves meet.
        let high = mix(u64::from_be_bytes(high) ^ salt.0);
        Self(mix(high.wrapping_add(u64::from_be_bytes(low))))
    }

    /// Tells a symbol with one item from one whose items only look like one.
    pub(super) fn checksum(self) -> u32 {
        let mixed = mix(self.0 ^ 0x6a09_e667_f3bc_c908).to_be_bytes();
        u32::from_be_bytes([mixed[0], mixed[1], mixed[2], mixed[3]])
    }
}

/// The finishing steps of SplitMix64: every bit of the input moves half of the output's.
pub(super) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Two items of a set are the same, which would cancel out in its symbols. Another salt helps,
/// unless the same record was given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("item {:016x} is twice in the set", .0.0)]
pub struct DuplicateItem(pub ItemId);

/// A set of different items.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ItemSet {
    sorted: Vec<ItemId>,
}

impl ItemSet {
    /// The set of these items.
    ///
    /// # Errors
    /// If an item comes twice.
    pub fn new(items: impl IntoIterator<Item = ItemId>) -> Result<Self, DuplicateItem> {
        let mut sorted: Vec<ItemId> = items.into_iter().collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(DuplicateItem(pair[0])),
            None => Ok(Self { sorted }),
        }
    }

    /// Whether the item is in it.
    #[must_use]
    pub fn contains(&self, item: ItemId) -> bool {
        self.sorted.binary_search(&item).is_ok()
    }

    /// The items in ascending order.
    #[must_use]
    pub fn items(&self) -> &[ItemId] {
        &self.sorted
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The wrapping sum of all items: what a difference that was found must explain.
    #[must_use]
    pub fn sum(&self) -> u64 {
        sum(&self.sorted)
    }
}

/// The wrapping sum of items.
pub(super) fn sum(items: &[ItemId]) -> u64 {
    items.iter().fold(0, |sum, item| sum.wrapping_add(item.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_refuses_an_item_that_comes_twice() {
        let set = ItemSet::new([ItemId(3), ItemId(1), ItemId(2)]).unwrap();
        assert_eq!(set.items(), [ItemId(1), ItemId(2), ItemId(3)]);
        assert_eq!(ItemSet::new([3, 1, 3].map(ItemId)), Err(DuplicateItem(ItemId(3))));
    }

    #[test]
    fn items_stay_the_same_to_the_bit_and_differ_by_salt() {
        // Replicas of different builds compare them.
        let digest = ItemDigest(1 << 64 | 2);
        assert_eq!(ItemId::of(Salt(3), digest), ItemId(11_989_799_765_622_073_401));
        assert_ne!(ItemId::of(Salt(3), digest), ItemId::of(Salt(4), digest));
        assert_eq!(ItemId(5).checksum(), 3_204_458_219);
    }
}
