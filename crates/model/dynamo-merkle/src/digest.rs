//! Digests of records and their sums.

use core::fmt;

/// The key of all digests in a cluster. Without it nobody can choose records whose digests cancel.
#[derive(Clone, PartialEq, Eq)]
pub struct TreeKey([u8; 32]);

impl TreeKey {
    /// The key that follows from the cluster's secret.
    #[must_use]
    pub fn derive(cluster_secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key("dynamo 2026 hash tree of records", cluster_secret))
    }
}

impl fmt::Debug for TreeKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TreeKey")
    }
}

/// What a record adds to the sums: keyed BLAKE3 of the record's name and the dots of all its
/// siblings, tombstones included, cut to 128 bits.
///
/// Equal dots mean equal history (protocol rule 6), so contexts and values need no part in it. With
/// the dots of living siblings alone, two records of unequal history could look the same
/// (history 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemDigest(pub u128);

impl ItemDigest {
    /// The digest of the record of that name (whatever bytes tell it from all others) with those
    /// siblings (their dots in canonical order).
    #[must_use]
    pub fn of(key: &TreeKey, name: &[u8], dots: &[u8]) -> Self {
        /// Most names and dots fit two blocks of the hash; to gather them first saves setting up an
        /// incremental hasher, which takes longer than the hash.
        const GATHERED_MAX: usize = 128;
        // The length in front keeps the border between the two from moving.
        let length = (name.len() as u64).to_be_bytes();
        let total = length.len() + name.len() + dots.len();
        let hash = if total <= GATHERED_MAX {
            let mut gathered = [0; GATHERED_MAX];
            let (length_at, rest) = gathered.split_at_mut(length.len());
            length_at.copy_from_slice(&length);
            rest[..name.len()].copy_from_slice(name);
            rest[name.len()..][..dots.len()].copy_from_slice(dots);
            blake3::keyed_hash(&key.0, &gathered[..total])
        } else {
            let mut hasher = blake3::Hasher::new_keyed(&key.0);
            hasher.update(&length).update(name).update(dots);
            hasher.finalize()
        };
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_bytes()[..16]);
        Self(u128::from_be_bytes(first))
    }
}

/// A sum of digests, modulo 2^128.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sum(pub u128);

impl Sum {
    /// The sum of no records.
    pub const EMPTY: Self = Self(0);

    /// With one more record.
    #[must_use]
    pub fn with(self, item: ItemDigest) -> Self {
        Self(self.0.wrapping_add(item.0))
    }

    /// Without a record that is in it.
    #[must_use]
    pub fn without(self, item: ItemDigest) -> Self {
        Self(self.0.wrapping_sub(item.0))
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// What the other lacks.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }

    /// Half of the sum, to be sent where a miss in 2^64 is rare enough: within a descent. Roots are
    /// compared whole.
    #[must_use]
    pub fn short(self) -> ShortSum {
        let [_, _, _, _, _, _, _, _, low @ ..] = self.0.to_be_bytes();
        ShortSum(u64::from_be_bytes(low))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sum({:032x})", self.0)
    }
}

/// The low half of a [`Sum`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShortSum(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_key_name_and_dots_and_the_border_between_them() {
        let (key, other) = (TreeKey::derive(&[1; 32]), TreeKey::derive(&[2; 32]));
        let digest = ItemDigest::of(&key, b"ab", b"c");
        assert_eq!(digest, ItemDigest::of(&key, b"ab", b"c"));
        for different in [
            ItemDigest::of(&other, b"ab", b"c"),
            ItemDigest::of(&key, b"abc", b""),
            ItemDigest::of(&key, b"a", b"bc"),
            ItemDigest::of(&key, b"ab", b"d"),
        ] {
            assert_ne!(digest, different);
        }
    }

    #[test]
    fn digests_stay_the_same_to_the_bit() {
        // Replicas of different builds compare them.
        let digest = ItemDigest::of(&TreeKey::derive(&[1; 32]), b"name", b"dots");
        assert_eq!(digest, ItemDigest(0x23fb_c944_4540_f282_839a_b3a1_8c7e_7dd7));
    }

    #[test]
    fn long_names_and_short_ones_are_hashed_alike() {
        let key = TreeKey::derive(&[1; 32]);
        for (name, dots) in [(0, 0), (16, 17), (60, 60), (100, 20), (100, 21), (1088, 3), (3, 1088)]
        {
            let (name, dots) = (alloc::vec![b'n'; name], alloc::vec![b'd'; dots]);
            let mut whole = (name.len() as u64).to_be_bytes().to_vec();
            whole.extend_from_slice(&name);
            whole.extend_from_slice(&dots);
            let hash = blake3::keyed_hash(&key.0, &whole);
            let expected = u128::from_be_bytes(hash.as_bytes()[..16].try_into().unwrap());
            assert_eq!(ItemDigest::of(&key, &name, &dots), ItemDigest(expected));
        }
    }

    #[test]
    fn a_sum_forgets_what_is_taken_out() {
        let (a, b) = (ItemDigest(u128::MAX - 5), ItemDigest(77));
        assert_eq!(Sum::EMPTY.with(a).with(b).without(a), Sum::EMPTY.with(b));
        assert_eq!(Sum(3 << 64 | 9).short(), ShortSum(9));
    }
}
