//! From symbols to the difference.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use thiserror::Error;

use super::SYMBOLS_MAX;
use super::encoder::Encoder;
use super::item::{ItemId, ItemSet, sum};
use super::mapping::Mapping;
use super::symbol::Symbol;

/// What is in one set only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// The other side has them.
    pub theirs: Vec<ItemId>,
    /// We have them.
    pub ours: Vec<ItemId>,
}

impl Difference {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.theirs.is_empty() && self.ours.is_empty()
    }

    /// How many items are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.theirs.len() + self.ours.len()
    }

    /// The [sum](ItemSet::sum) of their set, by this difference and the sum of ours. If theirs is
    /// another one, this is not the difference.
    #[must_use]
    pub fn applied_to(&self, sum_of_ours: u64) -> u64 {
        sum_of_ours.wrapping_add(sum(&self.theirs)).wrapping_sub(sum(&self.ours))
    }

    /// The difference of two sets that are both at hand.
    #[must_use]
    pub fn between(ours: &ItemSet, theirs: &ItemSet) -> Self {
        let only = |of: &ItemSet, other: &ItemSet| {
            of.items().iter().copied().filter(|item| !other.contains(*item)).collect()
        };
        Self { theirs: only(theirs, ours), ours: only(ours, theirs) }
    }
}

/// How far decoding has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All of the difference is known.
    Done,
    /// More symbols are needed.
    More,
}

/// Why symbols cannot be decoded: no set makes such symbols, or there are too many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// More than [`SYMBOLS_MAX`].
    #[error("more than {SYMBOLS_MAX} symbols")]
    TooMany,
    /// They show more items than symbols, which no set's symbols do.
    #[error("{symbols} symbols show more items than that")]
    Nonsense {
        /// How many symbols were there.
        symbols: usize,
    },
}

/// Takes our items out of the other side's symbols and finds what is left.
///
/// Whatever the symbols are, decoding ends: an item is found at most once, and at most as many items
/// are found as there are symbols. What it keeps is bounded by the symbols received and our set.
#[derive(Debug, Clone)]
pub struct Decoder {
    ours: Encoder,
    /// What is left in each symbol.
    symbols: Vec<Symbol>,
    /// Found items whose walk goes on into symbols that are still to come.
    found: Vec<Found>,
    known: BTreeSet<ItemId>,
    first_count: i32,
    /// The sum of what each symbol says of the size of the difference.
    guesses: u128,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    item: ItemId,
    count: i32,
    walk: Mapping,
}

impl Decoder {
    /// Before the first symbol.
    #[must_use]
    pub fn new(ours: ItemSet) -> Self {
        Self {
            ours: Encoder::new(ours),
            symbols: Vec::new(),
            found: Vec::new(),
            known: BTreeSet::new(),
            first_count: 0,
            guesses: 0,
        }
    }

    /// The other side's next symbols.
    ///
    /// # Errors
    /// If they are too many or cannot be the symbols of a set; the decoder is then of no more use.
    pub fn receive(&mut self, theirs: &[Symbol]) -> Result<Progress, DecodeError> {
        let start = self.symbols.len();
        if theirs.len() > SYMBOLS_MAX as usize - start {
            return Err(DecodeError::TooMany);
        }
        let count = u32::try_from(theirs.len()).expect("compared with SYMBOLS_MAX");
        for (theirs, ours) in theirs.iter().zip(self.ours.batch(count)) {
            let left = theirs.minus(ours);
            self.guess(left.count);
            self.symbols.push(left);
        }
        for found in &mut self.found {
            Self::take_out(&mut self.symbols, found, |_| {});
        }
        self.peel((start..self.symbols.len()).collect())?;
        let done = self.symbols.first().is_some_and(|first| *first == Symbol::default());
        Ok(if done { Progress::Done } else { Progress::More })
    }

    /// What was found so far; all of it after [`Progress::Done`].
    #[must_use]
    pub fn difference(&self) -> Difference {
        let of = |count| {
            let found = self.found.iter().filter(move |found| found.count == count);
            found.map(|found| found.item).collect()
        };
        Difference { theirs: of(1), ours: of(-1) }
    }

    /// How large the whole difference seems to be. With k symbols the error is about
    /// sqrt(2/k) of it; none at all before the second symbol.
    #[must_use]
    pub fn estimate(&self) -> u32 {
        let mean = self.guesses / (self.symbols.len().max(2) as u128 - 1);
        let at_least = self.first_count.unsigned_abs();
        u32::try_from(mean).unwrap_or(u32::MAX).max(at_least)
    }

    /// Symbols received so far.
    #[must_use]
    pub fn received(&self) -> u32 {
        u32::try_from(self.symbols.len()).expect("at most SYMBOLS_MAX")
    }

    /// Our set.
    #[must_use]
    pub fn ours(&self) -> &ItemSet {
        self.ours.set()
    }

    /// Of a difference with a items of theirs and b of ours, symbol i has a count of mean
    /// `(a-b) p` and variance `(a+b) p (1-p)` for `p = 2/(i+2)`. `a-b` is the first symbol's count, so
    /// each later symbol's squared deviation speaks of `a+b`.
    fn guess(&mut self, count: i32) {
        let number = i128::try_from(self.symbols.len()).expect("at most SYMBOLS_MAX");
        if number == 0 {
            self.first_count = count;
            return;
        }
        let deviation = (number + 2) * i128::from(count) - 2 * i128::from(self.first_count);
        let guess = (deviation * deviation / (2 * number)).unsigned_abs();
        self.guesses = self.guesses.saturating_add(guess);
    }

    fn peel(&mut self, mut changed: Vec<usize>) -> Result<(), DecodeError> {
        while let Some(number) = changed.pop() {
            let Some((item, count)) = self.symbols[number].single() else { continue };
            if !self.is_plausible(item, count, number) {
                continue;
            }
            if self.found.len() == self.symbols.len() {
                return Err(DecodeError::Nonsense { symbols: self.symbols.len() });
            }
            self.known.insert(item);
            let mut found = Found { item, count, walk: Mapping::new(item) };
            Self::take_out(&mut self.symbols, &mut found, |number| changed.push(number));
            self.found.push(found);
        }
        Ok(())
    }

    /// Whether a symbol's only item can be what it seems to be. A checksum of 32 bits is wrong once
    /// in four billion times; together with this an error is out of reach.
    fn is_plausible(&self, item: ItemId, count: i32, number: usize) -> bool {
        let is_ours = self.ours.set().contains(item);
        is_ours == (count < 0)
            && !self.known.contains(&item)
            && u32::try_from(number).is_ok_and(|number| Mapping::hits(item, number))
    }

    /// Takes a found item out of the symbols from where its walk is.
    fn take_out(symbols: &mut [Symbol], found: &mut Found, mut changed: impl FnMut(usize)) {
        while let Some(symbol) = symbols.get_mut(found.walk.next() as usize) {
            symbol.change(found.item, -found.count);
            changed(found.walk.next() as usize);
            found.walk.advance();
        }
    }
}
