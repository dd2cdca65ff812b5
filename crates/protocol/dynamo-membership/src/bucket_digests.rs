//! What a table of bucket settings holds, in a few numbers.
//!
//! Buckets fall into [`BUCKET_GROUPS`] groups by a hash of their name, and a group's digest is the
//! sum of its entries' digests, so that a change costs two hashes however large the table is. Two
//! nodes compare one number each second; only where it differs do they compare the groups, and only
//! where those differ do they send entries.

use dynamo_types::Bucket;

use crate::bucket_entry::BucketEntry;

/// How many groups there are: their digests are one small message, and of a full table one group
/// is some 160 entries.
pub const BUCKET_GROUPS: usize = 64;

/// The digests of all groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketDigests {
    groups: [u128; BUCKET_GROUPS],
    /// Of `groups`: asked for each second and peer, and changed seldom.
    fingerprint: u128,
}

impl BucketDigests {
    /// Those of an empty table.
    pub(crate) fn new() -> Self {
        let groups = [0; BUCKET_GROUPS];
        Self { groups, fingerprint: fingerprint_of(&groups) }
    }

    /// An entry took the place of another one, if there was one.
    pub(crate) fn replace(
        &mut self,
        bucket: &Bucket,
        before: Option<&BucketEntry>,
        after: &BucketEntry,
    ) {
        let group = &mut self.groups[group_of(bucket)];
        if let Some(before) = before {
            *group = group.wrapping_sub(digest(bucket, before));
        }
        *group = group.wrapping_add(digest(bucket, after));
        self.fingerprint = fingerprint_of(&self.groups);
    }

    pub(crate) fn groups(&self) -> &[u128; BUCKET_GROUPS] {
        &self.groups
    }

    /// One number for all groups.
    pub(crate) fn fingerprint(&self) -> u128 {
        self.fingerprint
    }
}

fn fingerprint_of(groups: &[u128; BUCKET_GROUPS]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"dynamo buckets 1");
    for group in groups {
        hasher.update(&group.to_be_bytes());
    }
    first_128_bits(&hasher)
}

/// The group that a bucket falls into.
pub(crate) fn group_of(bucket: &Bucket) -> usize {
    let hash = blake3::hash(bucket.as_bytes());
    usize::from(hash.as_bytes()[0]) % BUCKET_GROUPS
}

fn digest(bucket: &Bucket, entry: &BucketEntry) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"dynamo bucket 1");
    // The entry has a fixed length, so that the border to the name is known.
    hasher.update(&entry.encode());
    hasher.update(bucket.as_bytes());
    first_128_bits(&hasher)
}

fn first_128_bits(hasher: &blake3::Hasher) -> u128 {
    let hash = hasher.finalize();
    u128::from_be_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}
