//! The one place of this crate that reads a clock.

use std::time::Instant;

/// The monotonic time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the shell's clock")]
pub fn now() -> Instant {
    Instant::now()
}
