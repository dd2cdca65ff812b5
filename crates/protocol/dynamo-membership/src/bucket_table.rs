//! All buckets' settings: what one node knows, merged with what others tell it.
//!
//! Profile and settings are only views and quorums, so nodes that learn of a bucket late cannot
//! diverge in what they store (protocol rule 2). A reply carries the version of the settings that
//! it was made under, so that a coordinator that is behind notices.

use alloc::collections::BTreeMap;

use dynamo_types::{Bucket, BucketSettings, Profile, Quorum, QuorumError, Replication};
use thiserror::Error;

use crate::bucket_digests::{BUCKET_GROUPS, BucketDigests, group_of};
use crate::bucket_entry::{BucketEntry, expiry_ms};

/// Settings by bucket, in a cluster of N replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketTable {
    n: Replication,
    entries: BTreeMap<Bucket, BucketEntry>,
    digests: BucketDigests,
}

/// An entry may be ahead of the one known here by so many changes. Operators do not set a bucket
/// four thousand million times while a node is away; a flipped high bit does, and nobody could ever
/// set that bucket again.
const VERSION_JUMP_MAX: u64 = 1 << 32;

/// Why an entry does not go into the table. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BucketTableError {
    /// As many buckets as there may be.
    #[error("{0} buckets have settings; there is no room for another one")]
    TooManyBuckets(usize),
    /// r or w beyond N.
    #[error("the quorum does not fit the cluster")]
    Quorum(#[from] QuorumError),
    /// Every version would expire as it is written.
    #[error("an expiry is at least a millisecond")]
    ZeroExpiry,
}

impl BucketTable {
    /// How many buckets an operator can set: a table of this size is sent on every connect, and
    /// 10,000 entries stay below a megabyte.
    pub const BUCKETS_MAX: usize = 10_000;

    /// How many buckets a merge accepts. Twice as many, so that nodes that were cut off from each
    /// other and both filled up still come to hold the same table.
    pub const MERGED_BUCKETS_MAX: usize = 2 * Self::BUCKETS_MAX;

    /// A table without settings.
    #[must_use]
    pub fn new(n: Replication) -> Self {
        Self { n, entries: BTreeMap::new(), digests: BucketDigests::new() }
    }

    /// The settings of a bucket; those of the business-logic profile, at version 0, if nobody has
    /// set any.
    #[must_use]
    pub fn get(&self, bucket: &Bucket) -> BucketEntry {
        self.entries.get(bucket).copied().unwrap_or_else(|| BucketEntry {
            settings: BucketSettings::of_profile(Profile::BusinessLogic, self.n),
            version: 0,
        })
    }

    /// Whether anybody has set the bucket's settings.
    #[must_use]
    pub fn contains(&self, bucket: &Bucket) -> bool {
        self.entries.contains_key(bucket)
    }

    /// All entries that were set, by name of the bucket.
    pub fn entries(&self) -> impl Iterator<Item = (&Bucket, &BucketEntry)> {
        self.entries.iter()
    }

    /// How many buckets have settings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no bucket has settings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets a bucket's settings as an operator asked, at the next version. An expiry is rounded up
    /// to whole milliseconds. Returns the entry to store and send.
    ///
    /// # Errors
    /// Refuses r or w beyond N, an expiry of zero, and a new bucket beyond
    /// [`BUCKETS_MAX`](Self::BUCKETS_MAX).
    pub fn set(
        &mut self,
        bucket: &Bucket,
        settings: BucketSettings,
    ) -> Result<BucketEntry, BucketTableError> {
        let expiry = settings.expiry.map(|e| core::time::Duration::from_millis(expiry_ms(e)));
        let settings = BucketSettings { expiry, ..settings };
        self.check(bucket, &settings, Self::BUCKETS_MAX)?;
        let entry = BucketEntry { settings, version: self.get(bucket).version.saturating_add(1) };
        self.insert(bucket.clone(), entry);
        Ok(entry)
    }

    /// Takes over an entry if it supersedes what is here. Returns whether it did.
    ///
    /// Left out is what no node of this cluster can have set: version 0, a version far ahead of the
    /// known one, r or w beyond N, or a bucket beyond
    /// [`MERGED_BUCKETS_MAX`](Self::MERGED_BUCKETS_MAX).
    pub fn merge_entry(&mut self, bucket: Bucket, entry: BucketEntry) -> bool {
        let version_max = self.get(&bucket).version.saturating_add(VERSION_JUMP_MAX);
        let fits = (1..=version_max).contains(&entry.version)
            && self.check(&bucket, &entry.settings, Self::MERGED_BUCKETS_MAX).is_ok();
        if !fits || !entry.supersedes(&self.get(&bucket)) {
            return false;
        }
        self.insert(bucket, entry);
        true
    }

    /// One number for all entries: equal for equal tables.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        self.digests.fingerprint()
    }

    /// One number for the entries of each group of buckets.
    #[must_use]
    pub fn groups(&self) -> &[u128; BUCKET_GROUPS] {
        self.digests.groups()
    }

    /// The groups in which another table differs, a bit for each.
    #[must_use]
    pub fn differing_groups(&self, theirs: &[u128; BUCKET_GROUPS]) -> u64 {
        let pairs = self.groups().iter().zip(theirs).enumerate();
        pairs.filter(|(_, (own, their))| own != their).fold(0, |bits, (group, _)| bits | 1 << group)
    }

    /// The entries of some groups, given as a bit for each.
    pub fn entries_in(&self, groups: u64) -> impl Iterator<Item = (&Bucket, &BucketEntry)> {
        self.entries().filter(move |(bucket, _)| groups >> group_of(bucket) & 1 == 1)
    }

    fn insert(&mut self, bucket: Bucket, entry: BucketEntry) {
        self.digests.replace(&bucket, self.entries.get(&bucket), &entry);
        self.entries.insert(bucket, entry);
    }

    fn check(
        &self,
        bucket: &Bucket,
        settings: &BucketSettings,
        buckets_max: usize,
    ) -> Result<(), BucketTableError> {
        Quorum::new(self.n, settings.r, settings.w)?;
        if settings.expiry.is_some_and(|expiry| expiry.is_zero()) {
            return Err(BucketTableError::ZeroExpiry);
        }
        if !self.contains(bucket) && self.entries.len() >= buckets_max {
            return Err(BucketTableError::TooManyBuckets(self.entries.len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use core::time::Duration;

    fn table() -> BucketTable {
        BucketTable::new(Replication::new(3).unwrap())
    }

    fn bucket(name: &'static str) -> Bucket {
        Bucket::new(name).unwrap()
    }

    #[test]
    fn an_unknown_bucket_has_the_business_logic_defaults() {
        let entry = table().get(&bucket("carts"));
        assert_eq!(entry.version, 0);
        assert_eq!(entry.settings.profile, Profile::BusinessLogic);
        assert_eq!((entry.settings.r, entry.settings.w), (2, 2));
        assert!(!table().contains(&bucket("carts")));
    }

    #[test]
    fn history_28_concurrent_creations_meet_at_the_stricter_w() {
        let n = Replication::new(3).unwrap();
        let (mut a, mut b) = (table(), table());
        let sessions = bucket("sessions");
        let timestamp =
            a.set(&sessions, BucketSettings::of_profile(Profile::Timestamp, n)).unwrap();
        let engine = b.set(&sessions, BucketSettings::of_profile(Profile::ReadEngine, n)).unwrap();
        assert!(a.merge_entry(sessions.clone(), engine));
        assert!(!b.merge_entry(sessions.clone(), timestamp));
        assert_eq!(a, b);
        assert_eq!(a.get(&sessions).settings.w, 3);
        // A later setting is later, whatever its w.
        let relaxed = BucketSettings { w: 1, ..engine.settings };
        assert_eq!(a.set(&sessions, relaxed).unwrap().version, 2);
        assert!(b.merge_entry(sessions.clone(), a.get(&sessions)));
        assert_eq!(b.get(&sessions).settings.w, 1);
    }

    #[test]
    fn settings_that_do_not_fit_are_refused_and_change_nothing() {
        let mut table = table();
        let good = table.get(&bucket("b")).settings;
        assert!(table.set(&bucket("b"), BucketSettings { w: 4, ..good }).is_err());
        assert!(table.set(&bucket("b"), BucketSettings { r: 0, ..good }).is_err());
        let never = BucketSettings { expiry: Some(Duration::ZERO), ..good };
        assert_eq!(table.set(&bucket("b"), never), Err(BucketTableError::ZeroExpiry));
        assert!(table.is_empty());
        let short = BucketSettings { expiry: Some(Duration::from_nanos(1)), ..good };
        let set = table.set(&bucket("b"), short).unwrap();
        assert_eq!(set.settings.expiry, Some(Duration::from_millis(1)));
    }

    #[test]
    fn what_nobody_can_have_set_is_left_out() {
        let mut table = table();
        let settings = BucketSettings { w: 3, ..table.get(&bucket("b")).settings };
        assert!(!table.merge_entry(bucket("b"), BucketEntry { settings, version: 0 }));
        let settings = BucketSettings { w: 4, ..settings };
        assert!(!table.merge_entry(bucket("b"), BucketEntry { settings, version: 9 }));
        assert!(table.is_empty());
    }

    #[test]
    fn an_entry_far_ahead_of_its_time_is_left_out() {
        let mut table = table();
        let settings = table.get(&bucket("b")).settings;
        // A change a second for a hundred years is no jump.
        let century = BucketEntry { settings, version: 100 * 366 * 24 * 3600 };
        assert!(table.merge_entry(bucket("b"), century));
        let flipped = BucketEntry { settings, version: century.version | 1 << 60 };
        assert!(!table.merge_entry(bucket("b"), flipped));
        assert_eq!(table.get(&bucket("b")), century);
    }

    #[test]
    fn what_differs_is_found_by_its_groups() {
        let (mut a, mut b) = (table(), table());
        let settings = a.get(&bucket("x")).settings;
        for i in 0..200 {
            let name = Bucket::new(format!("b{i}")).unwrap();
            a.set(&name, settings).unwrap();
            b.merge_entry(name.clone(), a.get(&name));
        }
        assert_eq!(a.fingerprint(), b.fingerprint());
        assert_eq!(a.differing_groups(b.groups()), 0);
        a.set(&bucket("b7"), settings).unwrap();
        b.set(&bucket("only-here"), settings).unwrap();
        assert_ne!(a.fingerprint(), b.fingerprint());
        let differing = a.differing_groups(b.groups());
        assert!((1..=2).contains(&differing.count_ones()), "{differing:b}");
        assert!(a.entries_in(differing).any(|(name, _)| *name == bucket("b7")));
        assert!(b.entries_in(differing).any(|(name, _)| *name == bucket("only-here")));
        assert!(a.entries_in(differing).count() < 20, "and little else");
        for (name, entry) in b.clone().entries_in(differing) {
            a.merge_entry(name.clone(), *entry);
        }
        for (name, entry) in a.clone().entries_in(differing) {
            b.merge_entry(name.clone(), *entry);
        }
        assert_eq!(a.fingerprint(), b.fingerprint());
        assert_eq!(a.entries_in(u64::MAX).count(), 201);
    }

    #[test]
    fn the_number_of_buckets_is_bounded_but_full_tables_still_merge() {
        let mut table = table();
        let settings = table.get(&bucket("b")).settings;
        for i in 0..BucketTable::BUCKETS_MAX {
            table.set(&Bucket::new(format!("b{i}")).unwrap(), settings).unwrap();
        }
        let refused = table.set(&bucket("one-more"), settings);
        assert_eq!(refused, Err(BucketTableError::TooManyBuckets(BucketTable::BUCKETS_MAX)));
        assert!(table.set(&bucket("b0"), settings).is_ok(), "a known one can change");
        let elsewhere = BucketEntry { settings, version: 1 };
        assert!(table.merge_entry(bucket("one-more"), elsewhere));
    }
}
