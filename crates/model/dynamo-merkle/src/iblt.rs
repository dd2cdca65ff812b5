//! Finding the difference of two sets for a price that follows the difference, not the sets.
//!
//! One side turns its set into an endless row of [`Symbol`]s and sends as many as the other asks
//! for. The other makes the same row of its own set and subtracts. What both have cancels out, and
//! each symbol is left with the few items of the difference that fall into it. A symbol with one item
//! left shows that item, which is then taken out of all its other symbols, where that may leave one
//! again. No estimate of the difference is needed first: whoever cannot finish asks for more
//! symbols, and none that were sent are wasted (rateless IBLT, Yang et al., SIGCOMM 2024).
//!
//! ```text
//!   symbol       0    1    2    3    4    5  ...     an item falls into symbol i
//!   item a       x    x         x         x          with probability 2/(i+2):
//!   item b       x         x         x               into the first always, and
//!   item c       x    x    x                         ever more rarely
//! ```
//!
//! The first symbol holds every item. So decoding is complete when the first symbol is empty.
//!
//! Items are 64-bit hashes of digests, salted for each exchange ([`ItemId`]): two records whose
//! hashes collide once will not do so again.
//!
//! ```
//! use dynamo_merkle::iblt::{Decoder, Encoder, ItemId, ItemSet, Progress, Salt};
//! use dynamo_merkle::ItemDigest;
//!
//! let salt = Salt(7);
//! let set = |range: core::ops::Range<u128>| {
//!     ItemSet::new(range.map(|digest| ItemId::of(salt, ItemDigest(digest))))
//! };
//! let mut theirs = Encoder::new(set(2..1002)?);
//! let mut decoder = Decoder::new(set(0..1000)?);
//! while decoder.receive(&theirs.batch(4))? != Progress::Done {}
//! let difference = decoder.difference();
//! assert_eq!((difference.theirs.len(), difference.ours.len()), (2, 2));
//! assert!(decoder.received() < 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decoder;
mod encoder;
mod item;
mod mapping;
mod symbol;

pub use decoder::{DecodeError, Decoder, Difference, Progress};
pub use encoder::Encoder;
pub use item::{DuplicateItem, ItemId, ItemSet, Salt};
pub use symbol::{Symbol, SymbolBytesError};

/// No exchange of one set is longer than this many symbols: enough for some 700,000 differences,
/// where a list of all items has long been cheaper.
pub const SYMBOLS_MAX: u32 = 1 << 20;
