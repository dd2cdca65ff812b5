//! Which operation on which key comes next. No IO; the same seed gives the same sequence.

use bytes::Bytes;
use dynamo_client::Key;
use rand::distr::Distribution as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::Zipf;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::arguments::{Distribution, Mix};

/// Zipf's exponent, as YCSB has it.
const EXPONENT: f64 = 0.99;
/// How many bytes values are cut from: much more than a value, so that few are equal.
const POOL_BYTES: usize = 1 << 20;

/// A class of operations, measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Read,
    Update,
    Insert,
    ReadModifyWrite,
}

impl Class {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Update => "update",
            Self::Insert => "insert",
            Self::ReadModifyWrite => "read-modify-write",
        }
    }
}

/// What to do next.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) class: Class,
    /// The object's number, from 0 in the order of insertion.
    pub(crate) record: u64,
}

/// The sequence of operations.
#[derive(Debug)]
pub(crate) struct Workload {
    mix: Mix,
    random: Xoshiro256PlusPlus,
    choice: Choice,
    records: u64,
    pool: Bytes,
    value_bytes: usize,
}

#[derive(Debug)]
enum Choice {
    Uniform,
    Zipfian(Zipf<f64>),
}

impl Workload {
    pub(crate) fn new(
        mix: Mix,
        distribution: Distribution,
        records: u64,
        value_bytes: usize,
        seed: u64,
    ) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut pool = vec![0; POOL_BYTES + value_bytes];
        random.fill(&mut pool[..]);
        #[expect(clippy::cast_precision_loss, reason = "a billion records are exact in an f64")]
        let choice = match distribution {
            // What is new is read by Zipf's law in any case.
            Distribution::Uniform if mix != Mix::D => Choice::Uniform,
            Distribution::Uniform | Distribution::Zipfian => Choice::Zipfian(
                Zipf::new(records as f64, EXPONENT).expect("at least one record, fixed exponent"),
            ),
        };
        Self { mix, random, choice, records, pool: pool.into(), value_bytes }
    }

    /// The next operation.
    pub(crate) fn next(&mut self) -> Operation {
        let percent = self.random.random_range(0..100);
        let class = match self.mix {
            Mix::A if percent < 50 => Class::Read,
            Mix::A => Class::Update,
            Mix::B if percent < 95 => Class::Read,
            Mix::B => Class::Update,
            Mix::C | Mix::Get => Class::Read,
            Mix::D if percent < 95 => Class::Read,
            Mix::D => Class::Insert,
            Mix::F if percent < 50 => Class::Read,
            Mix::F => Class::ReadModifyWrite,
            Mix::Put => Class::Update,
        };
        let record = if class == Class::Insert {
            self.records += 1;
            self.records - 1
        } else {
            self.existing()
        };
        Operation { class, record }
    }

    fn existing(&mut self) -> u64 {
        match &self.choice {
            Choice::Uniform => self.random.random_range(0..self.records),
            Choice::Zipfian(zipf) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rank from 1 to the number of records"
                )]
                let rank = zipf.sample(&mut self.random) as u64 - 1;
                // The last record is the most often read where what is new is read; elsewhere any:
                // the key's hash spreads the ranks over the ring.
                if self.mix == Mix::D {
                    self.records - 1 - rank.min(self.records - 1)
                } else {
                    rank
                }
            }
        }
    }

    /// A value that no compression shortens; a slice, not a copy.
    pub(crate) fn value(&mut self) -> Bytes {
        let from = self.random.random_range(0..POOL_BYTES);
        self.pool.slice(from..from + self.value_bytes)
    }
}

/// The key of a record.
pub(crate) fn key_of(record: u64) -> Key {
    Key::new(format!("user{record:012}")).expect("a short key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn counts(mix: Mix, distribution: Distribution) -> (BTreeMap<Class, u32>, BTreeMap<u64, u32>) {
        let mut workload = Workload::new(mix, distribution, 1000, 10, 7);
        let (mut classes, mut records) = (BTreeMap::new(), BTreeMap::new());
        for _ in 0..20_000 {
            let operation = workload.next();
            *classes.entry(operation.class).or_default() += 1;
            *records.entry(operation.record).or_default() += 1;
        }
        (classes, records)
    }

    #[test]
    fn mixes_are_as_named() {
        let (classes, _) = counts(Mix::A, Distribution::Uniform);
        assert!((9500..10_500).contains(&classes[&Class::Read]), "{classes:?}");
        let (classes, _) = counts(Mix::B, Distribution::Uniform);
        assert!((800..1200).contains(&classes[&Class::Update]), "{classes:?}");
        let (classes, _) = counts(Mix::Put, Distribution::Uniform);
        assert_eq!(classes, BTreeMap::from([(Class::Update, 20_000)]));
    }

    #[test]
    fn zipfian_choices_favour_few_and_uniform_ones_nobody() {
        let (_, records) = counts(Mix::C, Distribution::Zipfian);
        assert!(records[&0] > 2000, "the first is chosen {} times", records[&0]);
        assert!(records.keys().all(|record| *record < 1000));
        let (_, records) = counts(Mix::C, Distribution::Uniform);
        assert!(records.values().all(|count| *count < 60));
    }

    #[test]
    fn what_is_new_is_read_most_often_and_only_after_it_was_inserted() {
        let mut workload = Workload::new(Mix::D, Distribution::Zipfian, 100, 10, 7);
        let mut inserted = 100;
        let mut newest = 0;
        for _ in 0..10_000 {
            let Operation { class, record } = workload.next();
            if class == Class::Insert {
                assert_eq!(record, inserted);
                inserted += 1;
            } else {
                assert!(record < inserted);
                newest += u32::from(record == inserted - 1);
            }
        }
        assert!(newest > 1000, "the newest was read {newest} times");
    }

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let sequence = |seed| {
            let mut workload = Workload::new(Mix::A, Distribution::Zipfian, 50, 10, seed);
            (0..100).map(|_| (workload.next().record, workload.value())).collect::<Vec<_>>()
        };
        assert_eq!(sequence(3), sequence(3));
        assert_ne!(sequence(3), sequence(4));
    }
}
