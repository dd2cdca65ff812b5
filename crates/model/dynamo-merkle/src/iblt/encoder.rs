//! From a set to its symbols.

use alloc::vec;
use alloc::vec::Vec;

use super::SYMBOLS_MAX;
use super::item::ItemSet;
use super::mapping::Mapping;
use super::symbol::Symbol;

/// Makes the symbols of a set, in order, as many as are asked for.
///
/// Symbols are made in batches: a batch looks at every item once, to see whether it comes up, and
/// takes one step for each symbol that an item falls into. Ask for batches that grow with what came
/// before, and all looks together cost less than the steps. Takes 24 bytes an item.
#[derive(Debug, Clone)]
pub struct Encoder {
    set: ItemSet,
    walks: Vec<Mapping>,
    made: u32,
}

impl Encoder {
    /// Before the first symbol.
    #[must_use]
    pub fn new(set: ItemSet) -> Self {
        let walks = set.items().iter().copied().map(Mapping::new).collect();
        Self { set, walks, made: 0 }
    }

    /// The next so many symbols; fewer at [`SYMBOLS_MAX`].
    pub fn batch(&mut self, count: u32) -> Vec<Symbol> {
        let start = self.made;
        let end = start.saturating_add(count).min(SYMBOLS_MAX);
        let mut symbols = vec![Symbol::default(); (end - start) as usize];
        for (item, walk) in self.set.items().iter().zip(&mut self.walks) {
            while walk.next() < end {
                symbols[(walk.next() - start) as usize].change(*item, 1);
                walk.advance();
            }
        }
        self.made = end;
        symbols
    }

    /// How many symbols were made.
    #[must_use]
    pub fn made(&self) -> u32 {
        self.made
    }

    /// The set.
    #[must_use]
    pub fn set(&self) -> &ItemSet {
        &self.set
    }
}
