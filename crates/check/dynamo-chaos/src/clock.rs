//! The one place of this crate that reads a clock and waits.

use std::time::Duration;

use tokio::time::Instant;

/// How long to pause between two looks at a condition: short for a person, long for a processor.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The monotonic time.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Lets time pass: faults last, clients think.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Pauses once between two looks at something that changes by itself.
pub async fn pause() {
    pass(POLL_INTERVAL).await;
}

/// The time of a run, from its beginning, as histories have it.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    began: Instant,
}

impl RunClock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { began: now() }
    }

    /// The time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        now() - self.began
    }

    /// The same for a history.
    #[must_use]
    pub fn moment(&self) -> dynamo_types::Instant {
        dynamo_types::Instant::ZERO + self.elapsed()
    }
}
