//! The one place of this crate that reads a clock.

use tokio::time::Instant;

/// The monotonic time, as tokio's timers see it.
pub(crate) fn now() -> Instant {
    Instant::now()
}
