//! Seeds: a smoke test of the whole simulator, and that nothing but the seed decides.

use core::time::Duration;

use dynamo_simulator::batch::{BatchPlan, run_batch};
use dynamo_simulator::options::SeedOptions;
use dynamo_simulator::run::run_seed;

/// Long enough for faults to start and end; short, because a debug build runs it.
const STORM: Duration = Duration::from_secs(8);

#[test]
fn every_promise_holds_in_twenty_seeds() {
    let plan =
        BatchPlan { first_seed: 1, runs: 20, jobs: 2, duration: STORM, stop_at_failure: false };
    let report = run_batch(plan, |_| {});
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert_eq!(report.runs, 20);
    assert!(report.median_success_percent() >= 30, "{report}");
    assert!(report.checked.values().all(|checked| *checked > 0), "{report}");
}

#[test]
fn equal_seeds_take_equal_steps_and_other_seeds_do_not() {
    let hash = |seed| run_seed(SeedOptions::of_seed(seed, STORM), false).trace_hash;
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}

#[test]
fn reading_the_trace_changes_nothing() {
    let run = |readable| run_seed(SeedOptions::of_seed(5, STORM), readable);
    let (silent, told) = (run(false), run(true));
    assert_eq!(silent.trace_hash, told.trace_hash);
    assert!(silent.lines.is_empty());
    assert!(!told.lines.is_empty());
}
