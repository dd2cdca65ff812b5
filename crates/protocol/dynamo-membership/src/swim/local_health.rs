//! How far this node may trust its own judgement.
//!
//! A node that is paused or starved finds all its timers expired and none of the answers read that
//! wait in its socket. Taken at face value, that is proof that everyone else is dead. So a node that
//! notices its own lateness, or misses answers from several peers, gives everyone more time before
//! it condemns them. That is the idea of Lifeguard (Dadgar, Phillips, Currey: "Lifeguard: Local
//! Health Awareness for More Accurate Failure Detection").
//!
//! ```text
//!   0 ----- a missed answer, own lateness, an accusation that was refuted: one up -----> 8
//!     <---------------------- an answer in time: one down -----------------------------
//! ```

use core::time::Duration;

use dynamo_types::Instant;

/// The state of this node's own health: 0 is well.
#[derive(Debug, Clone, Default)]
pub(super) struct LocalHealth {
    score: u8,
    late_at: Option<Instant>,
}

impl LocalHealth {
    /// Suspicion lasts at most nine times as long: at 2.4 s that is 22 s, after which even a
    /// node that sees badly should say what it sees.
    pub(super) const SCORE_MAX: u8 = 8;

    /// 0 to [`SCORE_MAX`](Self::SCORE_MAX).
    pub(super) fn score(&self) -> u8 {
        self.score
    }

    /// By how much everyone gets more time.
    pub(super) fn multiplier(&self) -> u32 {
        u32::from(self.score) + 1
    }

    /// The own loop ran late. One pause is noticed by several timers and counts once a `period`.
    pub(super) fn ran_late(&mut self, now: Instant, period: Duration) {
        if !self.was_late_since(now - period) {
            self.worsen();
        }
        self.late_at = Some(now);
    }

    /// Whether the own loop ran late at or after that time: what was missed since says nothing.
    pub(super) fn was_late_since(&self, time: Instant) -> bool {
        self.late_at.is_some_and(|late_at| late_at >= time)
    }

    /// A probe was answered in time.
    pub(super) fn improve(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// A probe was missed, or someone suspects this node.
    pub(super) fn worsen(&mut self) {
        self.score = self.score.saturating_add(1).min(Self::SCORE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(300);

    #[test]
    fn health_stays_between_its_bounds() {
        let mut health = LocalHealth::default();
        health.improve();
        assert_eq!(health.multiplier(), 1);
        (0..20).for_each(|_| health.worsen());
        assert_eq!(health.multiplier(), 9);
        health.improve();
        assert_eq!(health.score(), 7);
    }

    #[test]
    fn one_pause_counts_once() {
        let mut health = LocalHealth::default();
        let at = |milliseconds| Instant::ZERO + Duration::from_millis(milliseconds);
        health.ran_late(at(1000), PERIOD);
        health.ran_late(at(1000), PERIOD);
        health.ran_late(at(1200), PERIOD);
        assert_eq!(health.score(), 1);
        assert!(health.was_late_since(at(1200)) && !health.was_late_since(at(1201)));
        health.ran_late(at(2000), PERIOD);
        assert_eq!(health.score(), 2);
    }
}
