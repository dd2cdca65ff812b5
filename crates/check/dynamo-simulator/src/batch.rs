//! Many seeds, side by side, and their summary.

use dynamo_checker::invariants;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::cluster::OperationCounts;
use crate::markers::Markers;
use crate::options::SeedOptions;
use crate::run::{SeedReport, run_seed};

/// Of all operations, the share that must succeed in the median seed, in per cent: faults so heavy
/// that nothing is acknowledged prove nothing.
pub const SUCCESS_PERCENT_MIN: u64 = 30;
/// One seed of so many runs twice, to see that nothing but the seed decides.
pub const TWICE_EVERY: u64 = 100;
/// Failures of each promise that a batch keeps in full.
const FAILURES_KEPT: usize = 3;

/// Which seeds to run, and how.
#[derive(Debug, Clone, Copy)]
pub struct BatchPlan {
    /// The first seed.
    pub first_seed: u64,
    /// How many.
    pub runs: u64,
    /// Threads. Each seed has one.
    pub jobs: usize,
    /// How long each storm lasts.
    pub duration: Duration,
    /// Whether to stop at the first failure.
    pub stop_at_failure: bool,
}

/// What came of a batch.
#[derive(Debug, Default)]
pub struct BatchReport {
    /// Seeds that ran.
    pub runs: u64,
    /// Seeds in which a promise was broken.
    pub failed_runs: u64,
    /// Failures by promise.
    pub failures_by_invariant: BTreeMap<&'static str, u64>,
    /// The first failures, by seed.
    pub failures: BTreeMap<u64, crate::run::Failure>,
    /// Seeds that did not repeat.
    pub unrepeatable: Vec<u64>,
    /// Steps of all runs.
    pub steps: u64,
    /// Simulated time of all runs.
    pub simulated: Duration,
    /// The clients' outcomes.
    pub operations: OperationCounts,
    /// What happened how often.
    pub markers: Markers,
    /// What the machines counted.
    pub machine_counters: BTreeMap<&'static str, u64>,
    /// Facts that each check looked at.
    pub checked: BTreeMap<&'static str, u64>,
    success_percents: Vec<u64>,
}

impl BatchReport {
    fn add(&mut self, report: SeedReport, repeats: bool) {
        self.runs += 1;
        self.steps += report.steps;
        self.simulated += report.simulated;
        let counts = report.operations;
        self.operations.ok += counts.ok;
        self.operations.failed += counts.failed;
        self.operations.unknown += counts.unknown;
        let all = counts.ok + counts.failed + counts.unknown;
        self.success_percents.push((counts.ok * 100).checked_div(all).unwrap_or(0));
        self.markers.add(&report.markers);
        for (name, count) in report.machine_counters {
            *self.machine_counters.entry(name).or_default() += count;
        }
        for (name, count) in report.checked {
            *self.checked.entry(name).or_default() += count;
        }
        if !repeats {
            self.unrepeatable.push(report.seed);
        }
        if let Some(failure) = report.failure {
            self.failed_runs += 1;
            *self.failures_by_invariant.entry(failure.invariant).or_default() += 1;
            self.keep(report.seed, failure);
        }
    }

    /// Keeps the failures of the first seeds, some of each promise.
    fn keep(&mut self, seed: u64, failure: crate::run::Failure) {
        let invariant = failure.invariant;
        self.failures.insert(seed, failure);
        let of_kind = |(_, kept): &(&u64, &crate::run::Failure)| kept.invariant == invariant;
        if self.failures.iter().filter(of_kind).count() > FAILURES_KEPT {
            let last = self.failures.iter().filter(of_kind).map(|(seed, _)| *seed).next_back();
            last.and_then(|last| self.failures.remove(&last));
        }
    }

    /// The share of operations that succeeded in the median seed, in per cent.
    #[must_use]
    pub fn median_success_percent(&self) -> u64 {
        let mut sorted = self.success_percents.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0)
    }

    /// Why the batch proves less than it should, besides broken promises.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<String> {
        let mut found = Vec::new();
        for seed in &self.unrepeatable {
            found.push(format!("seed {seed} did not repeat: something besides the seed decides"));
        }
        if self.runs == 0 {
            found.push("no seed ran".to_owned());
        }
        let median = self.median_success_percent();
        if median < SUCCESS_PERCENT_MIN {
            found.push(format!("only {median} % of operations succeed in the median seed"));
        }
        for (marker, count, least) in self.markers.too_rare(self.runs) {
            found.push(format!("`{}` happened {count} times, not {least}", marker.name()));
        }
        if self.runs >= 20 {
            let idle = invariants::ALL.iter().filter(|i| !self.checked.contains_key(i.name));
            found.extend(idle.map(|i| format!("{} never looked at anything", i.name)));
        }
        found
    }
}

impl fmt::Display for BatchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated.as_secs() / 36;
        writeln!(
            f,
            "{} seeds, {}.{:02} simulated hours, {} steps",
            self.runs,
            hours / 100,
            hours % 100,
            self.steps
        )?;
        let OperationCounts { ok, failed, unknown } = self.operations;
        writeln!(
            f,
            "operations: {ok} ok, {failed} failed, {unknown} unknown; {} % ok in the median seed",
            self.median_success_percent()
        )?;
        writeln!(f, "checked:")?;
        for (name, count) in &self.checked {
            writeln!(f, "  {count:>12}  {name}")?;
        }
        writeln!(f, "happened:")?;
        write!(f, "{}", self.markers)?;
        writeln!(f, "the machines counted:")?;
        for (name, count) in &self.machine_counters {
            writeln!(f, "  {count:>12}  {name}")?;
        }
        Ok(())
    }
}

/// Runs a batch. `on_failure` is told of each broken promise as it is found.
pub fn run_batch(plan: BatchPlan, on_failure: impl Fn(&SeedReport) + Sync) -> BatchReport {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let total = Mutex::new(BatchReport::default());
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= plan.runs {
                        break;
                    }
                    let seed = plan.first_seed + index;
                    let run = || run_seed(SeedOptions::of_seed(seed, plan.duration), false);
                    let report = run();
                    let twice = index.is_multiple_of(TWICE_EVERY);
                    let repeats = !twice || run().trace_hash == report.trace_hash;
                    if report.failure.is_some() {
                        on_failure(&report);
                        stop.store(plan.stop_at_failure, Ordering::Relaxed);
                    }
                    let mut total = total.lock().expect("no thread panics while it adds up");
                    total.add(report, repeats);
                }
            });
        }
    });
    total.into_inner().expect("no thread panics while it adds up")
}
