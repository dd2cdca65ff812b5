//! The one place of this crate that reads a clock.

use tokio::time::Instant;

/// The monotonic time, as tokio's timers see it.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, for the validity of new certificates.
#[cfg(feature = "issue")]
#[expect(clippy::disallowed_methods, reason = "this is the shell's clock")]
pub(crate) fn unix_now() -> std::time::Duration {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("the wall clock stands after 1970")
}
