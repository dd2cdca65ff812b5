//! The only place of this crate that reads clocks.

use std::time::Duration;

use dynamo_types::{Instant, Now, WallTime};

/// The process's clocks. Copies share one zero.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    zero: std::time::Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the shell's clock")]
    pub fn start() -> Self {
        Self { zero: std::time::Instant::now() }
    }

    /// Monotonic time since the start.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the shell's clock")]
    pub fn monotonic(&self) -> Instant {
        let since = std::time::Instant::now().saturating_duration_since(self.zero);
        Instant::ZERO + since
    }

    /// Both clocks, as machines want them.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the shell's clock")]
    pub fn now(&self) -> Now {
        let since_1970 = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let wall = WallTime(u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX));
        Now { monotonic: self.monotonic(), wall }
    }

    /// The runtime's moment for a monotonic time, to sleep until then.
    #[must_use]
    pub fn sleep_target(&self, at: Instant) -> tokio::time::Instant {
        let since = at.saturating_since(Instant::ZERO);
        // A century is as good as never, and does not overflow the runtime's clock.
        let since = since.min(Duration::from_secs(3_000_000_000));
        tokio::time::Instant::from_std(self.zero + since)
    }
}
