//! Latencies in fixed steps.

use std::time::Duration;

use super::text::TextFormat;

/// Upper ends in microseconds, with their names: fine where a store's requests lie, coarse up to
/// the usual timeouts.
const STEPS: [(u64, &str); 14] = [
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
];

/// How many requests took how long.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    steps: [u64; STEPS.len()],
    count: u64,
    sum: Duration,
}

impl Histogram {
    pub(super) fn record(&mut self, took: Duration) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(step) = STEPS.iter().position(|(end, _)| microseconds <= *end) {
            self.steps[step] += 1;
        }
        self.count += 1;
        self.sum += took;
    }

    pub(super) fn render(&self, page: &mut TextFormat, name: &str, route: &str) {
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (count, (_, end)) in self.steps.iter().zip(STEPS) {
            below += count;
            page.sample(&bucket, &[("route", route), ("le", end)], below);
        }
        page.sample(&bucket, &[("route", route), ("le", "+Inf")], self.count);
        page.sample(&format!("{name}_sum"), &[("route", route)], self.sum.as_secs_f64());
        page.sample(&format!("{name}_count"), &[("route", route)], self.count);
    }
}
