//! The difference of one leaf, at the side that decodes it.

use alloc::vec::Vec;

use dynamo_merkle::iblt::{
    DecodeError, Decoder, Difference, DuplicateItem, ItemId, ItemSet, Progress, Symbol,
};
use dynamo_messages::repair::LeafTotals;

use super::finding::LEAF_ITEMS_MAX;

/// What an item of a list takes on the wire, and what a symbol usually does.
const ITEM_BYTES: u64 = 8;
const SYMBOL_BYTES: u64 = 13;

/// The first symbols of a leaf: enough for two differences, no more than the sums above it take.
pub(super) const FIRST_SYMBOLS: u32 = 4;

/// Solves one leaf.
#[derive(Debug)]
pub(super) struct LeafSolver {
    decoder: Decoder,
    theirs: Option<LeafTotals>,
    is_list_asked: bool,
}

/// What a leaf needs next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The symbols up to this number.
    Symbols(u32),
    /// The whole list: by now it is shorter than more symbols, or the symbols made no sense.
    List,
    /// Nothing: this is the difference.
    Solved(Difference),
    /// The answer is none that could follow: this leaf is given up.
    Failed,
}

impl LeafSolver {
    pub(super) fn new(ours: ItemSet) -> Self {
        Self { decoder: Decoder::new(ours), theirs: None, is_list_asked: false }
    }

    /// What to begin with, where other leaves took so many symbols.
    pub(super) fn first(&mut self, usual: u32) -> Step {
        // All of theirs would be in the difference.
        if self.decoder.ours().is_empty() {
            return self.list_instead();
        }
        Step::Symbols(usual.max(FIRST_SYMBOLS))
    }

    /// Symbols came, in their bytes.
    pub(super) fn symbols(&mut self, totals: Option<LeafTotals>, mut bytes: &[u8]) -> Step {
        self.theirs = self.theirs.or(totals);
        let Some(theirs) = self.theirs else { return Step::Failed };
        // Without this a peer could have us ask forever.
        if bytes.is_empty() || self.is_list_asked || theirs.items as usize > LEAF_ITEMS_MAX {
            return Step::Failed;
        }
        let mut symbols = Vec::with_capacity(bytes.len() / SYMBOL_BYTES as usize);
        for number in self.decoder.received().. {
            if bytes.is_empty() {
                break;
            }
            match Symbol::read(&mut bytes, number, theirs.items) {
                Ok(symbol) => symbols.push(symbol),
                Err(_) => return self.list_instead(),
            }
        }
        match self.decoder.receive(&symbols) {
            Err(DecodeError::TooMany | DecodeError::Nonsense { .. }) => self.list_instead(),
            Ok(Progress::Done) => {
                let difference = self.decoder.difference();
                if self.explains(&difference, theirs.sum) {
                    Step::Solved(difference)
                } else {
                    self.list_instead()
                }
            }
            Ok(Progress::More) => {
                let until = self.next_until();
                if is_list_shorter(theirs.items, until) {
                    self.list_instead()
                } else {
                    Step::Symbols(until)
                }
            }
        }
    }

    /// The list came.
    pub(super) fn list(&self, items: Vec<ItemId>) -> Step {
        match ItemSet::new(items) {
            Ok(theirs) if theirs.len() <= LEAF_ITEMS_MAX => {
                Step::Solved(Difference::between(self.decoder.ours(), &theirs))
            }
            Ok(_) | Err(DuplicateItem(_)) => Step::Failed,
        }
    }

    /// Whether the difference is by how much the sums differ. Each side's sum is of the very items
    /// that it compared: that of the tree would be of another moment.
    fn explains(&self, difference: &Difference, sum_of_theirs: u32) -> bool {
        let expected = difference.applied_to(self.decoder.ours().sum());
        low_half(expected) == sum_of_theirs
    }

    fn list_instead(&mut self) -> Step {
        self.is_list_asked = true;
        Step::List
    }

    /// The set that was compared.
    pub(super) fn ours(&self) -> &ItemSet {
        self.decoder.ours()
    }

    pub(super) fn received(&self) -> u32 {
        self.decoder.received()
    }

    /// As many as the difference seems to have items and a third, since with fewer it cannot be done;
    /// but the guess is a rough one while there are few symbols, so it may not lead too far at once.
    /// From there in small steps, so that few symbols come too many.
    fn next_until(&self) -> u32 {
        let received = self.decoder.received();
        let step = (received / 10).max(2);
        let guessed = u64::from(self.decoder.estimate()) * 5 / 4;
        let guessed = u32::try_from(guessed).unwrap_or(u32::MAX).min(received.saturating_mul(3));
        guessed.max(received.saturating_add(step))
    }
}

/// Whether a list of so many items is no longer than so many symbols.
pub(super) fn is_list_shorter(items: u32, symbols: u32) -> bool {
    u64::from(items) * ITEM_BYTES <= u64::from(symbols) * SYMBOL_BYTES
}

/// The low 32 bits.
pub(super) fn low_half(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
