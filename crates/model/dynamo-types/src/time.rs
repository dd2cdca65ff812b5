//! Time as machines see it: an argument, never something they fetch.

use core::ops::{Add, Sub};
use core::time::Duration;

/// Monotonic time of one process, in nanoseconds since a moment that only that process knows.
/// Instants of two processes cannot be compared; deadlines travel as remaining time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The process's own zero.
    pub const ZERO: Self = Self(0);

    /// Time since `earlier`, zero if that is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        let nanoseconds = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanoseconds))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        let nanoseconds = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanoseconds))
    }
}

/// Wall-clock time in microseconds since 1970, for hybrid clocks and expiry only: it may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

/// What a machine is told about time with every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For timeouts, latencies and deadlines.
    pub monotonic: Instant,
    /// For hybrid clocks and expiry.
    pub wall: WallTime,
}
