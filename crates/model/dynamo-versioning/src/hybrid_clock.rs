//! Hybrid logical clocks: wall time where clocks agree, order of cause and effect where they do not.

use core::fmt;

use dynamo_types::WallTime;

/// A hybrid timestamp: 52 bits of microseconds since 1970, then 12 bits that count within one.
///
/// It orders concurrent versions in `timestamp` buckets and nothing else: no merge looks at it.
/// 52 bits last until the year 2112.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc(pub u64);

impl Hlc {
    /// Before everything.
    pub const ZERO: Self = Self(0);

    const COUNTER_BITS: u32 = 12;

    /// The first timestamp of a wall-clock microsecond; times beyond 52 bits count as the last one.
    #[must_use]
    pub fn at(wall: WallTime) -> Self {
        Self(wall.0.min(u64::MAX >> Self::COUNTER_BITS) << Self::COUNTER_BITS)
    }

    /// The wall-clock part, for people.
    #[must_use]
    pub fn wall(self) -> WallTime {
        WallTime(self.0 >> Self::COUNTER_BITS)
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hlc({}us+{})", self.wall().0, self.0 & ((1 << Self::COUNTER_BITS) - 1))
    }
}

/// One node's hybrid clock.
///
/// It follows the fastest clock it hears of, however far that is ahead: a version must come after
/// all it covers, and a clamp or a refusal would break exactly that (protocol rule 2).
#[derive(Debug, Clone, Default)]
pub struct HybridClock {
    last: Hlc,
}

impl HybridClock {
    /// A clock that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a timestamp that another node sent.
    pub fn observe(&mut self, seen: Hlc) {
        self.last = self.last.max(seen);
    }

    /// A new timestamp: at least `wall`, and greater than `above`, than everything observed and
    /// than every timestamp given before. Only at the end of the 64 bits it stands still.
    pub fn tick(&mut self, wall: WallTime, above: Hlc) -> Hlc {
        let after_all = Hlc(self.last.max(above).0.saturating_add(1));
        self.last = after_all.max(Hlc::at(wall));
        self.last
    }

    /// The greatest timestamp given or observed; what messages carry.
    #[must_use]
    pub fn last(&self) -> Hlc {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_wall_clock_while_that_moves_on() {
        let mut clock = HybridClock::new();
        let first = clock.tick(WallTime(1_000), Hlc::ZERO);
        assert_eq!(first.wall(), WallTime(1_000));
        assert_eq!(clock.tick(WallTime(2_000), Hlc::ZERO).wall(), WallTime(2_000));
    }

    #[test]
    fn it_rises_when_the_wall_clock_stands_still_or_goes_back() {
        let mut clock = HybridClock::new();
        let mut before = clock.tick(WallTime(1_000), Hlc::ZERO);
        for wall in [1_000, 1_000, 10, 0] {
            let after = clock.tick(WallTime(wall), Hlc::ZERO);
            assert!(after > before);
            before = after;
        }
    }

    #[test]
    fn it_exceeds_what_it_observed_and_what_it_must_cover_without_a_clamp() {
        let mut clock = HybridClock::new();
        let day_ahead = Hlc::at(WallTime(86_400_000_000));
        clock.observe(day_ahead);
        assert!(clock.tick(WallTime(5), Hlc::ZERO) > day_ahead);
        let year_ahead = Hlc::at(WallTime(365 * 86_400_000_000));
        assert!(clock.tick(WallTime(5), year_ahead) > year_ahead);
        assert!(clock.last() > year_ahead);
    }
}
