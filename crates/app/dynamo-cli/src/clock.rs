//! The one place of this crate that reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dynamo_client::WallTime;

/// The monotonic time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the shell's clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The time of day.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the shell's clock")]
pub fn wall() -> WallTime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    WallTime(u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX))
}
