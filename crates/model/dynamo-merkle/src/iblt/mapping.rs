//! Which symbols an item falls into.

use super::SYMBOLS_MAX;
use super::item::{ItemId, mix};

/// The walk of one item through its symbols, in ascending order.
///
/// After symbol `i` the next one is `i + ceil((i + 3/2) (2^32/sqrt(u) - 1))` for a random 64-bit
/// `u`, which makes an item fall into symbol `i` with probability close to `2/(i+2)` at the price of
/// one step for each symbol that it is in. Whole numbers only: both sides must come to the same
/// symbol on every processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapping {
    state: u64,
    next: u32,
}

impl Mapping {
    /// The walk begins at the first symbol, which has every item.
    pub(super) fn new(item: ItemId) -> Self {
        Self { state: item.0, next: 0 }
    }

    /// The symbol that the item falls into next, at most [`u32::MAX`].
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// Goes on behind that symbol.
    pub(super) fn advance(&mut self) {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // Nobody asks for symbols so far out; below that, the product stays within 53 bits.
        if self.next >= SYMBOLS_MAX {
            self.next = u32::MAX;
            return;
        }
        // At most 2^32 - 1, so that the step is never zero.
        let root = mix(self.state).isqrt().max(1);
        let twice = u64::from(self.next) * 2 + 3;
        let step = (twice * ((1 << 32) - root)).div_ceil(2 * root);
        self.next = u32::try_from(u64::from(self.next) + step).unwrap_or(u32::MAX);
    }

    /// Whether the item falls into this symbol.
    pub(super) fn hits(item: ItemId, symbol: u32) -> bool {
        let mut mapping = Self::new(item);
        while mapping.next < symbol {
            mapping.advance();
        }
        mapping.next == symbol
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn symbols_of(item: u64, count: usize) -> Vec<u32> {
        let mut mapping = Mapping::new(ItemId(item));
        let walk = core::iter::repeat_with(|| {
            let at = mapping.next();
            mapping.advance();
            at
        });
        walk.take(count).collect()
    }

    #[test]
    fn walks_stay_the_same_to_the_bit() {
        // Replicas of different builds must place items alike.
        assert_eq!(symbols_of(1, 10), [0, 1, 2, 3, 6, 10, 12, 13, 19, 37]);
        assert_eq!(symbols_of(u64::MAX, 10), [0, 1, 2, 6, 10, 13, 15, 16, 34, 39]);
    }

    #[test]
    fn an_item_falls_into_symbol_i_with_probability_two_in_i_plus_two() {
        const ITEMS: u32 = 40_000;
        let mut hits = [0u32; 40];
        for item in 0..ITEMS {
            let mut mapping = Mapping::new(ItemId(mix(u64::from(item))));
            while let Some(hit) = hits.get_mut(mapping.next() as usize) {
                *hit += 1;
                mapping.advance();
            }
        }
        for (i, hits) in (0u32..).zip(hits) {
            let expected = 2 * ITEMS / (i + 2);
            // The step's formula is off by up to 4 in 100 for the first symbols; five standard
            // deviations are below 500 everywhere.
            let allowed = expected / 25 + 500;
            assert!(hits.abs_diff(expected) <= allowed, "symbol {i}: {hits}, not {expected}");
        }
    }

    #[test]
    fn a_walk_ends_at_the_greatest_number() {
        let mut mapping = Mapping::new(ItemId(9));
        for _ in 0..200 {
            let before = mapping.next();
            mapping.advance();
            assert!(mapping.next() > before || before == u32::MAX);
        }
        assert_eq!(mapping.next(), u32::MAX);
        assert!(Mapping::hits(ItemId(9), 0));
    }
}
