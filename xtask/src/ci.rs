//! `cargo xtask ci`: every check that a change must pass, the same here and in CI.
//!
//! Nothing writes in the tree. The steps run in order of cost and stop at the first failure; a
//! table of what ran and how long it took closes the output either way.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::console::{progress, say, table};
use crate::simulate::{self, SimulateOptions};
use crate::workspace::{Workspace, must_succeed};
use crate::{chaos, clock, model, setup, tidy};

/// Seeds of a full run, which take about a quarter of an hour on two idle cores; of one that has to compile
/// RocksDB first, which takes 20 of its minutes; and of a quick one.
const RUNS: u64 = 10_000;
const RUNS_WITH_ROCKSDB: u64 = 2_000;
const RUNS_QUICK: u64 = 200;
/// Each planted bug must be found within so many seeds, or the checks have lost their teeth.
const PLANTED_WITHIN: u64 = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fewer seeds, no planted bugs, no model and no chaos: for the minutes before a commit.
    #[arg(long)]
    quick: bool,
}

/// One check, by name.
struct Step {
    name: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

const fn step(name: &'static str, run: fn(&Workspace) -> Result<()>) -> Step {
    Step { name, run }
}

/// Runs the checks.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let simulate = if setup::is_compiled()? {
        step("simulate", |workspace| simulate_runs(workspace, RUNS))
    } else {
        step("simulate", |workspace| simulate_runs(workspace, RUNS_WITH_ROCKSDB))
    };
    let full = [
        step("setup", setup::run),
        step("format", |workspace| {
            must_succeed(workspace.cargo().args(["fmt", "--all", "--check"]))
        }),
        step("tidy", tidy::run),
        step("clippy", clippy),
        step("test", test),
        step("model", |workspace| model::run(workspace, &model::Options::default())),
        simulate,
        step("planted bugs", planted_bugs),
        step("chaos", |workspace| chaos::run(workspace, &chaos::Options::default())),
    ];
    let quick = step("simulate", |workspace| simulate_runs(workspace, RUNS_QUICK));
    let mut steps: Vec<Step> = full.into();
    if options.quick {
        steps.retain(|step| !["model", "simulate", "planted bugs", "chaos"].contains(&step.name));
        steps.push(quick);
    }
    let mut ran = Vec::new();
    let outcome = steps.iter().try_for_each(|step| {
        progress(&format!("ci: {}", step.name));
        let started = clock::now();
        let outcome = (step.run)(workspace);
        ran.push((step.name, started.elapsed(), outcome.is_ok()));
        outcome.with_context(|| format!("ci stopped at {}", step.name))
    });
    say("");
    table(&summary(&ran, steps.len()));
    outcome
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["clippy", "--locked", "--workspace", "--all-targets", "--all-features"]);
    must_succeed(cargo.args(["--", "-D", "warnings"]))
}

fn test(workspace: &Workspace) -> Result<()> {
    must_succeed(workspace.cargo().args(["test", "--locked", "--workspace", "--all-features"]))
}

fn simulate_runs(workspace: &Workspace, runs: u64) -> Result<()> {
    simulate::run(workspace, &SimulateOptions { runs: Some(runs), ..SimulateOptions::default() })
}

fn planted_bugs(workspace: &Workspace) -> Result<()> {
    let options = SimulateOptions {
        planted: Some("all".to_owned()),
        expect_found_within: Some(PLANTED_WITHIN),
        ..SimulateOptions::default()
    };
    simulate::run(workspace, &options)?;
    for package in ["dynamo-repair", "dynamo-register", "dynamo-protocol", "dynamo-simulator"] {
        simulate::test_with_planted_bugs(workspace, package)?;
    }
    Ok(())
}

fn summary(ran: &[(&str, Duration, bool)], planned: usize) -> Vec<Vec<String>> {
    let mut rows = vec![["step", "outcome", "seconds"].map(ToOwned::to_owned).to_vec()];
    rows.extend(ran.iter().map(|(name, took, passed)| {
        let outcome = if *passed { "passed" } else { "FAILED" };
        vec![(*name).to_owned(), outcome.to_owned(), format!("{:.1}", took.as_secs_f64())]
    }));
    let total: Duration = ran.iter().map(|(_, took, _)| took).sum();
    let passed = ran.iter().filter(|(_, _, passed)| *passed).count();
    let outcome = format!("{passed} of {planned} passed");
    rows.push(vec!["all".to_owned(), outcome, format!("{:.1}", total.as_secs_f64())]);
    rows
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::summary;

    #[test]
    fn the_summary_shows_what_failed_and_what_never_ran() {
        let ran =
            [("setup", Duration::from_millis(40), true), ("format", Duration::from_secs(2), false)];
        let rows: Vec<String> = summary(&ran, 7).iter().map(|row| row.join(" ")).collect();
        assert_eq!(
            rows,
            [
                "step outcome seconds",
                "setup passed 0.0",
                "format FAILED 2.0",
                "all 1 of 7 passed 2.0"
            ]
        );
    }
}
