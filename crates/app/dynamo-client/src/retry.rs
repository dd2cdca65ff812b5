//! How much is retried, and how long is waited before. No IO.

use std::time::Duration;

/// Tokens that a request earns, in hundredths of what a retry costs: a tenth. When everything
/// fails, retries thus add a tenth to the load and no more.
const EARNED: u32 = 10;
/// What a retry costs.
const COST: u32 = 100;
/// What may be saved up: as many retries as a lost node leaves requests behind, if a few hundred are
/// in flight.
const SAVED_MAX: u32 = BURST * COST;
const BURST: u32 = 128;

/// The allowance of retries.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    tokens: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { tokens: SAVED_MAX }
    }
}

impl RetryBudget {
    /// A request was begun.
    pub(crate) fn earn(&mut self) {
        self.tokens = (self.tokens + EARNED).min(SAVED_MAX);
    }

    /// Takes one retry, if it is left.
    pub(crate) fn spend(&mut self) -> bool {
        let enough = self.tokens >= COST;
        if enough {
            self.tokens -= COST;
        }
        enough
    }
}

/// The first pause.
const PAUSE: Duration = Duration::from_millis(10);
/// The longest pause: beyond it the request's timeout is better spent on trying.
const PAUSE_MAX: Duration = Duration::from_millis(320);

/// How long to wait before the attempt after `failed` ones, at least `at_least`; `random` is from
/// 0 to 1 and takes up to a half away, so that clients that failed together do not return together.
pub(crate) fn pause(failed: u32, at_least: Duration, random: f64) -> Duration {
    let doubled = PAUSE.saturating_mul(2u32.saturating_pow(failed.saturating_sub(1)));
    let whole = doubled.min(PAUSE_MAX);
    whole.mul_f64(1.0 - random / 2.0).max(at_least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_tenth_of_the_requests_beyond_the_first_burst() {
        let mut budget = RetryBudget::default();
        let mut retries = 0;
        for _ in 0..10_000 {
            budget.earn();
            while budget.spend() {
                retries += 1;
            }
        }
        assert_eq!(retries, BURST + 999, "the burst, and a tenth");
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_honour_the_node() {
        assert_eq!(pause(1, Duration::ZERO, 0.0), PAUSE);
        assert_eq!(pause(2, Duration::ZERO, 0.0), PAUSE * 2);
        assert_eq!(pause(2, Duration::ZERO, 1.0), PAUSE);
        assert_eq!(pause(40, Duration::ZERO, 0.0), PAUSE_MAX);
        assert_eq!(pause(1, Duration::from_secs(1), 0.5), Duration::from_secs(1));
    }
}
