//! The difference of one leaf, at the side that decodes it.

use alloc::vec::Vec;

use dynamo_merkle::iblt::{
    DecodeError, Decoder, Difference, DuplicateItem, ItemId, ItemSet, Progress, Symbol,
};

use super::message::{LeafTotals, is_list_shorter};
use super::session::LEAF_ITEMS_MAX;

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

    /// Symbols came.
    pub(super) fn symbols(&mut self, totals: Option<LeafTotals>, symbols: &[Symbol]) -> Step {
        self.theirs = self.theirs.or(totals);
        let Some(theirs) = self.theirs else { return Step::Failed };
        // Without this a peer could have us ask forever.
        if symbols.is_empty() || self.is_list_asked || theirs.items as usize > LEAF_ITEMS_MAX {
            return Step::Failed;
        }
        match self.decoder.receive(symbols) {
            Err(DecodeError::TooMany | DecodeError::Nonsense { .. }) => self.list_instead(),
            Ok(Progress::Done) => {
                let difference = self.decoder.difference();
                if difference.explains(self.decoder.ours().sum(), theirs.sum) {
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

    fn list_instead(&mut self) -> Step {
        self.is_list_asked = true;
        Step::List
    }

    pub(super) fn received(&self) -> u32 {
        self.decoder.received()
    }

    /// A third more than before, so that few symbols come too many; or as many as the difference
    /// seems to have items, since with fewer it cannot be done. The guess is a rough one while
    /// there are few symbols, so it may not lead too far at once.
    fn next_until(&self) -> u32 {
        let received = self.decoder.received();
        let grown = (received.saturating_mul(135)).div_ceil(100);
        let guessed = self.decoder.estimate().min(received.saturating_mul(4));
        grown.max(guessed).max(FIRST_SYMBOLS)
    }
}
