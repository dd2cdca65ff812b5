//! What tells one register of a partition from another.

use core::fmt;
use core::num::NonZeroU64;

/// A digest of what a partition's register asks of requests: which sets hold the partition, and how far
/// its move is. Two nodes with one tag mean the same; of two different tags neither is known to be
/// ahead (protocol rule 8).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterTag(pub NonZeroU64);

impl RegisterTag {
    /// The tag of a digest.
    #[must_use]
    pub fn of_digest(digest: u64) -> Self {
        Self(NonZeroU64::new(digest).unwrap_or(NonZeroU64::MAX))
    }
}

impl fmt::Debug for RegisterTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "register {:016x}", self.0)
    }
}
