//! Whether two replicas hold the same versions, without showing them.

use core::fmt;

use crate::dot::Dot;

/// The digest of the dots of all versions of a record: equal digests mean equal versions.
///
/// Contexts are left out, as in the hash tree: they may differ in form where the versions do not.
/// It has no key, so anybody can compare what two replicas show.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionsDigest(pub u128);

impl VersionsDigest {
    /// The digest of dots in ascending order.
    pub(crate) fn of(dots: impl Iterator<Item = Dot>) -> Self {
        let mut hasher = blake3::Hasher::new();
        // Every dot is 16 bytes, so no two lists of dots give the same bytes.
        for dot in dots {
            hasher.update(&dot.actor.0.to_be_bytes());
            hasher.update(&dot.counter.to_be_bytes());
        }
        let mut first = [0; 16];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(u128::from_be_bytes(first))
    }
}

impl fmt::Display for VersionsDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for VersionsDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionsDigest({self})")
    }
}
