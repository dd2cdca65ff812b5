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

/// A minute each, as in a batch.
fn holds(seed: u64) {
    let report = run_seed(SeedOptions::of_seed(seed, Duration::from_secs(60)), false);
    assert!(report.failure.is_none(), "seed {seed}: {:?}", report.failure);
}

/// With N = 1 nobody tells a node with an empty disk at once how a bucket is set.
#[test]
fn seed_4613_a_lost_disk_forgets_that_the_last_write_wins() {
    holds(4613);
}

/// Drivers that outbid each other change a register for ever: that a move stands still has to be seen all
/// the same, or nobody may force it.
#[test]
fn seed_8577_drivers_outbid_each_other_without_a_majority() {
    holds(8577);
}

/// With N = 1 nobody knows what a disk that was set back had known.
#[test]
fn seed_9406_the_only_replica_is_set_back() {
    holds(9406);
}
