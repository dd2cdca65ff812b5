//! Hash trees of additive keyed digests that can be updated in place and folded to one shape.
//!
//! Two replicas of a partition find out whether they hold the same records, and if not where they
//! differ, by comparing a few sums (Paper §4.7). Each record has a digest; a leaf is the wrapping
//! 128-bit sum of the digests of its records, an inner node the sum of its sixteen children. Sums
//! make three things cheap that a tree of hashes does not allow: a write is a subtraction and an
//! addition on one path, with no other record read; a tree can be folded to fewer leaves without
//! reading any; and it is the same tree whatever the order of the writes.
//!
//! Plain sums of public hashes could be made to cancel out by whoever chooses the keys. The digests
//! are therefore keyed with a secret of the cluster.
//!
//! ```
//! use dynamo_merkle::{ItemDigest, SumTree, TreeKey, differing_leaves};
//! use dynamo_types::{PartitionCount, Position};
//!
//! let key = TreeKey::derive(&[7; 32]);
//! let q = PartitionCount::new(1024)?;
//! let (mut here, mut there) = (SumTree::new(q, 3), SumTree::new(q, 2));
//! for (position, dots) in [(Position(1), "a1"), (Position(2 << 100), "b1")] {
//!     here.add(position, ItemDigest::of(&key, &position.0.to_be_bytes(), dots.as_bytes()));
//! }
//! assert_ne!(here.root(), there.root());
//! let new = ItemDigest::of(&key, &Position(1).0.to_be_bytes(), b"a1");
//! there.add(Position(1), new);
//! // One leaf differs: that of the record that is only here.
//! assert_eq!(differing_leaves(&here, &there), [there.leaf_of(Position(2 << 100))]);
//! # Ok::<(), dynamo_types::PartitionCountError>(())
//! ```
//!
//! Which records of a differing leaf differ, [`iblt`] tells: a rateless invertible Bloom lookup table
//! whose size follows the difference, not the leaf.
//!
//! Reading order: [`digest`], [`node_path`], [`tree`], [`descent`], [`iblt`].
//!
//! **Not here:** everything that sends. This crate knows no messages, no storage and no clock.
#![no_std]

extern crate alloc;

pub mod descent;
pub mod digest;
pub mod iblt;
pub mod node_path;
pub mod tree;

pub use descent::{Descent, differing_leaves};
pub use digest::{ItemDigest, ShortSum, Sum, TreeKey};
pub use node_path::NodePath;
pub use tree::{GrowError, SumTree};
