//! The one place that reads the clock and sleeps: everything else waits on a condition.

use std::thread;
use std::time::{Duration, Instant};

/// How long to pause between two looks at a condition: short for a person, long for a processor.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Now, on the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this module is the program's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Pauses once between two looks at something that changes by itself.
#[expect(clippy::disallowed_methods, reason = "the pause inside every wait on a condition")]
pub(crate) fn pause() {
    thread::sleep(POLL_INTERVAL);
}

/// Looks until there is an answer, and at least once; `None` when `patience` ran out first.
pub(crate) fn wait_for<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = now() + patience;
    loop {
        if let Some(answer) = look() {
            return Some(answer);
        }
        if now() >= deadline {
            return None;
        }
        pause();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::wait_for;

    #[test]
    fn a_wait_looks_again_until_there_is_an_answer() {
        let mut looks = 0;
        let answer = wait_for(Duration::from_secs(60), || {
            looks += 1;
            (looks == 3).then_some("there")
        });
        assert_eq!((answer, looks), (Some("there"), 3));
    }

    #[test]
    fn a_wait_without_patience_still_looks_once() {
        assert_eq!(wait_for(Duration::ZERO, || Some(1)), Some(1));
        assert_eq!(wait_for(Duration::ZERO, || None::<()>), None);
    }
}
