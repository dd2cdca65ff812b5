//! Everything that is printed.
#![expect(clippy::print_stdout, reason = "this program's output is its result")]

use std::process::ExitCode;

use dynamo_simulator::batch::{BatchPlan, BatchReport, run_batch};
use dynamo_simulator::options::SeedOptions;
use dynamo_simulator::run::SeedReport;

use crate::arguments::Arguments;
use crate::clock::Stopwatch;
use crate::replay::write_log;

pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Runs a batch and prints its summary.
pub(crate) fn batch(arguments: &Arguments) -> ExitCode {
    let plan = BatchPlan {
        first_seed: arguments.first_seed,
        runs: arguments.runs,
        jobs: arguments.jobs(),
        duration: arguments.duration(),
        stop_at_failure: !arguments.keep_going,
    };
    let watch = Stopwatch::start();
    let report = run_batch(plan, |failed| {
        if arguments.verbose {
            say(&format!(
                "seed {} breaks {}",
                failed.seed,
                failed.failure.as_ref().map_or("", |f| f.invariant)
            ));
        }
    });
    let took = watch.elapsed();
    say(&format!("{report}"));
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let per_second = report.runs * 10_000 / milliseconds;
    say(&format!(
        "{} seeds in {}.{:03} s: {}.{} seeds/s with {} threads",
        report.runs,
        took.as_secs(),
        took.subsec_millis(),
        per_second / 10,
        per_second % 10,
        plan.jobs
    ));
    conclude(arguments, &report)
}

fn conclude(arguments: &Arguments, report: &BatchReport) -> ExitCode {
    if !report.failures.is_empty() {
        say(&format!("{} seeds FAILED: {:?}", report.failed_runs, report.failures_by_invariant));
        if let Some(first) = report.failures.keys().next() {
            let options = SeedOptions::of_seed(*first, arguments.duration());
            say(&format!("what seed {first} drew: {options}"));
        }
        for (seed, failure) in &report.failures {
            say(&format!("seed {seed}: {failure}"));
            say(&reproduce(*seed, arguments));
        }
        if let (Some(path), Some(seed)) = (&arguments.log, report.failures.keys().next()) {
            write_log(path, *seed, arguments);
        }
        return ExitCode::FAILURE;
    }
    let shortcomings = report.shortcomings();
    for what in &shortcomings {
        say(&format!("NOT ENOUGH: {what}"));
    }
    if shortcomings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The command that repeats a seed.
pub(crate) fn reproduce(seed: u64, arguments: &Arguments) -> String {
    let seconds = if arguments.seconds == 60 {
        String::new()
    } else {
        format!(" --seconds {}", arguments.seconds)
    };
    let planted =
        arguments.planted.as_ref().map_or_else(String::new, |name| format!(" --planted {name}"));
    format!("repeat with: cargo xtask simulate --seed {seed}{seconds}{planted}")
}

/// Prints a seed's outcome.
pub(crate) fn outcome(report: &SeedReport, arguments: &Arguments) -> ExitCode {
    let hash: String = report.trace_hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    say(&format!(
        "seed {}: {} steps, {} simulated seconds, trace {hash}, {:?}",
        report.seed,
        report.steps,
        report.simulated.as_secs(),
        report.operations
    ));
    if arguments.verbose {
        say(&format!("{}", report.markers));
        for (name, count) in &report.machine_counters {
            say(&format!("  {count:>12}  {name}"));
        }
    }
    match &report.failure {
        Some(failure) => {
            say(&format!("FAILED {failure}"));
            say(&reproduce(report.seed, arguments));
            ExitCode::FAILURE
        }
        None => {
            say("every promise held");
            ExitCode::SUCCESS
        }
    }
}
