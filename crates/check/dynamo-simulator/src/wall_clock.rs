//! A node's wall clock: wrong by an offset, running too fast or too slow, and jumping.

use dynamo_types::{Instant, WallTime};

/// Where all wall clocks stand, in microseconds since 1970, when a run begins: late in 2025.
const EPOCH_MICROSECONDS: i64 = 1_763_000_000_000_000;

/// A wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock {
    /// How far it is off, in microseconds.
    pub offset_microseconds: i64,
    /// How much too fast it runs, in millionths.
    pub drift_per_million: i64,
}

impl WallClock {
    /// What it shows at a moment of the run.
    #[must_use]
    pub fn at(self, now: Instant) -> WallTime {
        let elapsed = i64::try_from(now.0 / 1000).expect("a run is short");
        let drift = elapsed / 1000 * self.drift_per_million / 1000;
        let shown = EPOCH_MICROSECONDS + elapsed + drift + self.offset_microseconds;
        WallTime(u64::try_from(shown).expect("clocks are wrong by hours, not by decades"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_and_drift_add_up() {
        let right = WallClock::default();
        let wrong = WallClock { offset_microseconds: -5, drift_per_million: 100 };
        let now = Instant(10_000_000_000);
        assert_eq!(wrong.at(now).0, right.at(now).0 - 5 + 1000);
    }
}
