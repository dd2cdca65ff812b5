//! The one place that reads the clock: how long planning takes is the only result that depends on
//! the machine.

use std::time::{Duration, Instant};

/// Does something and says how long it took.
#[expect(clippy::disallowed_methods, reason = "this module is the program's clock")]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}
