//! Seeded randomness. Every component forks a stream of its own by name, so that one more draw in
//! one place does not shift the luck of all others.

use core::time::Duration;

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A stream of random numbers. Integers only: no result depends on the platform.
#[derive(Debug, Clone)]
pub struct Stream(Xoshiro256PlusPlus);

impl Stream {
    /// The stream of that name under a seed.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(name.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self(Xoshiro256PlusPlus::seed_from_u64(u64::from_le_bytes(first)))
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `bound - 1`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half of 128 bits")
    }

    /// An index into something of that length, which is not empty.
    pub fn index(&mut self, length: usize) -> usize {
        let bound = u64::try_from(length).expect("a length fits 64 bits");
        usize::try_from(self.below(bound)).expect("below a length")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True in that many of a thousand cases.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// A duration, evenly spread.
    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_nanos(self.between(nanoseconds(low), nanoseconds(high)))
    }

    /// A number between the two whose *order of magnitude* is evenly spread: tiny ones come as
    /// often as huge ones. `low` is at least 1.
    pub fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let low = low.max(1);
        let doublings = (high.max(low) / low).ilog2();
        let floor = low << self.below(u64::from(doublings) + 1);
        self.between(floor, floor.saturating_mul(2).min(high.max(low)).max(floor))
    }

    /// As [`Self::magnitude`], for durations.
    pub fn duration_by_magnitude(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_nanos(self.magnitude(nanoseconds(low), nanoseconds(high)))
    }

    /// One of the elements of a slice that is not empty.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.index(from.len());
        &from[index]
    }
}

/// A duration as nanoseconds, at most some 584 years.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_and_names_give_equal_streams_and_other_names_do_not() {
        let draw = |seed, name: &str| Stream::new(seed, name).bits();
        assert_eq!(draw(7, "network"), draw(7, "network"));
        assert_ne!(draw(7, "network"), draw(7, "disk"));
        assert_ne!(draw(7, "network"), draw(8, "network"));
    }

    #[test]
    fn draws_stay_within_their_bounds() {
        let mut stream = Stream::new(1, "bounds");
        for _ in 0..10_000 {
            assert!((3..=9).contains(&stream.between(3, 9)));
            assert!((5..=700).contains(&stream.magnitude(5, 700)));
            assert!(stream.index(4) < 4);
        }
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.between(4, 4), 4);
    }
}
