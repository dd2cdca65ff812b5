//! What the clients work on: the simulator's buckets, each with a few keys.

use dynamo_checker::history::{HostIndex, KeyFacts, KeyIndex};
use dynamo_simulator::random::Stream;
use dynamo_simulator::workload::{WorkloadBucket, buckets};
use dynamo_types::{Durability, Key, ObjectName, Reconciliation, Replication};

use crate::cluster::REPLICATION;

/// Few keys, so that clients meet on them.
const KEYS_PER_BUCKET: u16 = 6;
/// Of a thousand operations, how many go to the first key of their bucket.
const HOT_PER_MILLE: u32 = 200;
/// Keys whose place leaves this rest by four also see deletes without context. What such a delete
/// covered only its coordinator knows, so that these keys are judged by fewer checks.
const UNSEEN_DELETES_REST: u16 = 3;
/// Keys whose place leaves this rest by four also see writes with any w.
const ANY_QUORUM_REST: u16 = 1;

/// All buckets and keys.
#[derive(Debug)]
pub struct Workload {
    /// The buckets.
    pub buckets: Vec<WorkloadBucket>,
    /// The least w that any write has.
    pub w_min: u8,
    keys: Vec<ObjectName>,
}

impl Workload {
    /// The buckets and keys of a seed.
    ///
    /// Where a disk may be destroyed, every write wants two copies on disk: an acknowledged write
    /// survives while fewer than w of its disks are destroyed.
    #[must_use]
    pub fn draw(seed: u64, disks_are_destroyed: bool) -> Self {
        let n = Replication::new(REPLICATION).expect("N is between 1 and 7");
        let mut buckets = buckets(n, &mut Stream::new(seed, "buckets"));
        let w_min = if disks_are_destroyed { 2 } else { 1 };
        for of in &mut buckets {
            of.settings.w = of.settings.w.max(w_min);
            if disks_are_destroyed {
                of.settings.durability = Durability::Synced;
            }
        }
        let key = |of: &WorkloadBucket, within: u16| ObjectName {
            bucket: of.bucket.clone(),
            key: Key::new(format!("key-{within}")).expect("a short key"),
        };
        let keys = buckets.iter().flat_map(|of| (0..KEYS_PER_BUCKET).map(move |i| key(of, i)));
        Self { keys: keys.collect(), w_min, buckets }
    }

    /// All keys in order.
    pub fn key_indices(&self) -> impl Iterator<Item = KeyIndex> + use<> {
        let count = u16::try_from(self.keys.len()).expect("few keys");
        (0..count).map(KeyIndex)
    }

    /// A key's name.
    #[must_use]
    pub fn name(&self, key: KeyIndex) -> &ObjectName {
        &self.keys[usize::from(key.0)]
    }

    /// The bucket that a key lies in.
    #[must_use]
    pub fn bucket_of(&self, key: KeyIndex) -> &WorkloadBucket {
        &self.buckets[usize::from(key.0 / KEYS_PER_BUCKET)]
    }

    /// Whether a bucket's answers show one value at most.
    #[must_use]
    pub fn last_write_wins(&self, key: KeyIndex) -> bool {
        self.bucket_of(key).settings.reconciliation == Reconciliation::LastWriteWins
    }

    /// Whether a page of a bucket may show a key of that name.
    #[must_use]
    pub fn has_key(&self, key: &str) -> bool {
        self.keys.iter().any(|name| name.key.as_bytes() == key.as_bytes())
    }

    /// A key's facts, with the replicas that the cluster names.
    #[must_use]
    pub fn facts(&self, key: KeyIndex, replicas: Vec<HostIndex>) -> KeyFacts {
        KeyFacts {
            name: self.name(key).clone(),
            last_write_wins: self.last_write_wins(key),
            durability: self.bucket_of(key).settings.durability,
            replicas,
            damaged_rows: 0,
        }
    }

    /// Draws the key of an operation.
    pub fn draw_key(&self, random: &mut Stream) -> KeyIndex {
        let mut roll = random.below(100);
        let mut bucket = 0;
        for (index, of) in (0u16..).zip(&self.buckets) {
            bucket = index;
            if roll < of.share {
                break;
            }
            roll -= of.share;
        }
        let hot = random.chance(HOT_PER_MILLE);
        let within = if hot { 0 } else { random.below(u64::from(KEYS_PER_BUCKET)) };
        KeyIndex(bucket * KEYS_PER_BUCKET + u16::try_from(within).expect("few keys"))
    }
}

/// Whether a key sees deletes without context.
#[must_use]
pub fn sees_unseen_deletes(key: KeyIndex) -> bool {
    key.0 % 4 == UNSEEN_DELETES_REST
}

/// Whether a key sees writes with any w.
#[must_use]
pub fn uses_any_quorum(key: KeyIndex) -> bool {
    key.0 % 4 == ANY_QUORUM_REST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_bucket_and_is_found_by_its_name() {
        let workload = Workload::draw(7, false);
        for key in workload.key_indices() {
            let name = workload.name(key);
            assert_eq!(workload.bucket_of(key).bucket, name.bucket);
            assert!(workload.has_key(&name.key.to_string()));
        }
        assert!(!workload.has_key("key-99"));
        let mut random = Stream::new(7, "keys");
        let drawn: Vec<KeyIndex> = (0..2000).map(|_| workload.draw_key(&mut random)).collect();
        assert!(workload.key_indices().all(|key| drawn.contains(&key)));
    }

    #[test]
    fn where_disks_are_destroyed_two_copies_are_on_disk() {
        for seed in 0..100 {
            let workload = Workload::draw(seed, true);
            let careful = |of: &WorkloadBucket| {
                of.settings.w >= 2 && of.settings.durability == Durability::Synced
            };
            assert!(workload.buckets.iter().all(careful) && workload.w_min == 2);
        }
        let careless =
            |seed| Workload::draw(seed, false).buckets.iter().any(|of| of.settings.w == 1);
        assert!((0..100).any(careless));
    }
}
