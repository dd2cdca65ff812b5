//! One bucket's settings with their version, and their bytes.

use core::time::Duration;

use bytes::Bytes;
use dynamo_types::{BucketSettings, Durability, Profile, Reconciliation, Replication};
use thiserror::Error;

/// The settings of a bucket and how often they were set.
///
/// Entries of one bucket are totally ordered, and merging keeps the greatest. The order is
/// (version, w, BLAKE3 of the canonical bytes): the later setting wins; of two that were made at the
/// same time the one with the stricter w, so that no put is acknowledged with fewer copies than an
/// operator asked for (history 28); and what is left is decided the same way everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketEntry {
    /// The settings.
    pub settings: BucketSettings,
    /// How often they were set; 0 for the defaults of a bucket that nobody has set.
    pub version: u64,
}

/// Why bytes are no bucket entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeBucketEntryError {
    /// A format that this build does not know.
    #[error("bucket entry of unknown format {0}")]
    Format(u8),
    /// Too few or too many bytes.
    #[error("bucket entry of {0} bytes")]
    Length(usize),
    /// A number that stands for nothing.
    #[error("bucket entry with {field} {value}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What was there.
        value: u8,
    },
}

/// Written in front, so that a later build can tell its entries from these.
const FORMAT: u8 = 1;
/// Format, version, profile, reconciliation, r, w, durability, expiry in milliseconds.
const LENGTH: usize = 1 + 8 + 5 + 8;

impl BucketEntry {
    /// Whether merging prefers this entry to the other one.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let rank = |entry: &Self| {
            let hash = *blake3::hash(&entry.bytes()).as_bytes();
            (entry.version, entry.settings.w, hash)
        };
        rank(self) > rank(other)
    }

    /// The canonical bytes: equal entries have equal ones, on disk and on the wire.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes())
    }

    fn bytes(&self) -> [u8; LENGTH] {
        let settings = &self.settings;
        let mut bytes = [0; LENGTH];
        bytes[0] = FORMAT;
        bytes[1..9].copy_from_slice(&self.version.to_be_bytes());
        bytes[9] = match settings.profile {
            Profile::BusinessLogic => 0,
            Profile::Timestamp => 1,
            Profile::ReadEngine => 2,
        };
        bytes[10] = match settings.reconciliation {
            Reconciliation::Siblings => 0,
            Reconciliation::LastWriteWins => 1,
        };
        bytes[11] = settings.r;
        bytes[12] = settings.w;
        bytes[13] = match settings.durability {
            Durability::Buffered => 0,
            Durability::Synced => 1,
        };
        // No expiry is zero: an expiry of zero would be refused.
        let expiry_ms = settings.expiry.map_or(0, expiry_ms);
        bytes[14..].copy_from_slice(&expiry_ms.to_be_bytes());
        bytes
    }

    /// Reads canonical bytes. Whether r and w fit the cluster's N is for its table to say.
    ///
    /// # Errors
    /// Refuses every sequence of bytes that [`encode`](Self::encode) does not write, and r or w
    /// beyond the largest N.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeBucketEntryError> {
        let format = *bytes.first().ok_or(DecodeBucketEntryError::Length(0))?;
        if format != FORMAT {
            return Err(DecodeBucketEntryError::Format(format));
        }
        let bytes: &[u8; LENGTH] =
            bytes.try_into().map_err(|_| DecodeBucketEntryError::Length(bytes.len()))?;
        let number = |from: usize| {
            u64::from_be_bytes(
                bytes[from..from + 8].try_into().expect("eight bytes of a known length"),
            )
        };
        let refuse =
            |field: &'static str, value: u8| Err(DecodeBucketEntryError::Field { field, value });
        let profile = match bytes[9] {
            0 => Profile::BusinessLogic,
            1 => Profile::Timestamp,
            2 => Profile::ReadEngine,
            other => return refuse("profile", other),
        };
        let reconciliation = match bytes[10] {
            0 => Reconciliation::Siblings,
            1 => Reconciliation::LastWriteWins,
            other => return refuse("reconciliation", other),
        };
        let (r, w) = (bytes[11], bytes[12]);
        for (field, value) in [("r", r), ("w", w)] {
            if !(1..=Replication::MAX).contains(&value) {
                return refuse(field, value);
            }
        }
        let durability = match bytes[13] {
            0 => Durability::Buffered,
            1 => Durability::Synced,
            other => return refuse("durability", other),
        };
        let expiry = match number(14) {
            0 => None,
            ms => Some(Duration::from_millis(ms)),
        };
        let settings = BucketSettings { profile, reconciliation, r, w, durability, expiry };
        Ok(Self { settings, version: number(1) })
    }
}

/// Whole milliseconds, rounded up so that a short expiry does not become none.
pub(crate) fn expiry_ms(expiry: Duration) -> u64 {
    u64::try_from(expiry.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn entry(version: u64, w: u8) -> BucketEntry {
        let n = Replication::new(3).unwrap();
        let mut settings = BucketSettings::of_profile(Profile::ReadEngine, n);
        settings.w = w;
        BucketEntry { settings, version }
    }

    #[test]
    fn the_bytes_are_what_they_were() {
        let mut entry = entry(0x0102, 3);
        entry.settings.expiry = Some(Duration::from_millis(0x0304));
        let expected = vec![1, 0, 0, 0, 0, 0, 0, 1, 2, 2, 0, 1, 3, 1, 0, 0, 0, 0, 0, 0, 3, 4];
        assert_eq!(entry.encode(), expected);
        assert_eq!(BucketEntry::decode(&expected), Ok(entry));
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let good = entry(1, 3).encode();
        let refused = |at: usize, value: u8| {
            let mut bytes = good.to_vec();
            bytes[at] = value;
            BucketEntry::decode(&bytes).expect_err("it was accepted")
        };
        assert_eq!(refused(0, 2), DecodeBucketEntryError::Format(2));
        for (at, value) in [(9, 3), (10, 2), (11, 0), (12, 8), (13, 2)] {
            refused(at, value);
        }
        for length in 0..good.len() {
            let cut = BucketEntry::decode(&good[..length]);
            assert_eq!(cut, Err(DecodeBucketEntryError::Length(length)));
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(BucketEntry::decode(&longer), Err(DecodeBucketEntryError::Length(23)));
    }

    #[test]
    fn history_28_the_later_setting_wins_and_of_two_equal_ones_the_stricter_w() {
        assert!(entry(2, 1).supersedes(&entry(1, 3)));
        assert!(entry(1, 3).supersedes(&entry(1, 2)));
        assert!(!entry(1, 2).supersedes(&entry(1, 3)));
        assert!(!entry(1, 2).supersedes(&entry(1, 2)));
    }
}
