//! A running estimate of a high percentile of latencies, for the delay of a hedge.
//!
//! A histogram with eight buckets per power of two, so a value is known to an eighth. When it has
//! seen enough, all counts are halved: what is recent weighs more, and what is old fades.

use core::time::Duration;

/// Buckets per power of two.
const PARTS: u64 = 8;
/// Powers of two of microseconds: up to 2^33 us, more than two hours.
const OCTAVES: usize = 32;
const BUCKETS: usize = OCTAVES * PARTS as usize;

/// Estimates percentiles of recent latencies. Two kilobytes, no allocation.
#[derive(Debug, Clone)]
pub struct LatencyTracker {
    counts: [u32; BUCKETS],
    total: u32,
}

impl LatencyTracker {
    /// With fewer samples than this a 95th percentile is the slowest sample or a guess.
    pub const SAMPLES_MIN: u32 = 32;

    /// At so many samples all counts are halved. A thousand are enough for a steady p95, and at 100
    /// requests a second the estimate follows a change within some ten seconds.
    pub const SAMPLES_MAX: u32 = 1024;

    /// The estimate without samples: longer than a healthy round trip, shorter than a stall.
    pub const INITIAL: Duration = Duration::from_millis(10);

    /// A tracker that answers [`INITIAL`](Self::INITIAL) until it has seen
    /// [`SAMPLES_MIN`](Self::SAMPLES_MIN).
    #[must_use]
    pub fn new() -> Self {
        Self { counts: [0; BUCKETS], total: 0 }
    }

    /// Takes a latency into account.
    pub fn record(&mut self, latency: Duration) {
        self.counts[bucket(latency)] += 1;
        self.total += 1;
        if self.total >= Self::SAMPLES_MAX {
            for count in &mut self.counts {
                *count /= 2;
            }
            self.total = self.counts.iter().sum();
        }
    }

    /// How long all but the slowest twentieth of recent requests took, an eighth too long at most.
    #[must_use]
    pub fn p95(&self) -> Duration {
        self.percentile(95)
    }

    /// The least bucket's end that `percent` of the recent latencies do not exceed.
    ///
    /// # Panics
    /// If `percent` is above 100.
    #[must_use]
    pub fn percentile(&self, percent: u32) -> Duration {
        assert!(percent <= 100, "{percent} of 100");
        if self.total < Self::SAMPLES_MIN {
            return Self::INITIAL;
        }
        let wanted = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return end_of(bucket);
            }
        }
        end_of(BUCKETS - 1)
    }
}

impl Default for LatencyTracker {
    fn default() -> Self {
        Self::new()
    }
}

/// Values below 8 us have a bucket each; above, the top four bits choose one.
fn bucket(latency: Duration) -> usize {
    let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let index = if us < PARTS {
        us
    } else {
        let shift = u64::from(us.ilog2()) - 3;
        (shift + 1) * PARTS + ((us >> shift) - PARTS)
    };
    usize::try_from(index).expect("a small number").min(BUCKETS - 1)
}

/// The first value beyond a bucket.
fn end_of(bucket: usize) -> Duration {
    let (octave, part) = (bucket as u64 / PARTS, bucket as u64 % PARTS);
    let us = if octave == 0 { part + 1 } else { (PARTS + part + 1) << (octave - 1) };
    Duration::from_micros(us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_lies_in_its_bucket_and_an_eighth_wide() {
        for us in (0..10_000).chain([1 << 20, (1 << 20) + 1, (1 << 33) - 1]) {
            let latency = Duration::from_micros(us);
            let bucket = bucket(latency);
            let start = if bucket == 0 { Duration::ZERO } else { end_of(bucket - 1) };
            assert!(start <= latency && latency < end_of(bucket), "{us} us");
            let width = end_of(bucket) - start;
            assert!(width <= Duration::from_micros(1).max(start / 8), "{us} us: {width:?}");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_estimate_is_the_initial_one_until_there_are_samples() {
        let mut tracker = LatencyTracker::new();
        for _ in 1..LatencyTracker::SAMPLES_MIN {
            tracker.record(Duration::from_millis(1));
            assert_eq!(tracker.p95(), LatencyTracker::INITIAL);
        }
        tracker.record(Duration::from_millis(1));
        assert!(tracker.p95() < Duration::from_millis(2));
    }

    #[test]
    fn the_slowest_twentieth_does_not_count() {
        let mut tracker = LatencyTracker::new();
        for i in 0..1000 {
            tracker.record(Duration::from_millis(if i % 25 == 0 { 500 } else { 2 }));
        }
        let p95 = tracker.p95();
        assert!((2000..2300).contains(&p95.as_micros()), "{p95:?}");
        assert!(tracker.percentile(99) >= Duration::from_millis(500));
    }

    #[test]
    fn the_estimate_follows_a_change() {
        let mut tracker = LatencyTracker::new();
        for _ in 0..100_000 {
            tracker.record(Duration::from_millis(1));
        }
        for _ in 0..1000 {
            tracker.record(Duration::from_millis(20));
        }
        assert!(tracker.p95() >= Duration::from_millis(20));
        for _ in 0..10_000 {
            tracker.record(Duration::from_millis(1));
        }
        assert!(tracker.p95() < Duration::from_millis(2), "the old ones have faded");
    }
}
