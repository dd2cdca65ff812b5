//! `cargo xtask simulate` and `replay`: builds the simulator and runs it with these arguments.
//!
//! The simulator is compiled with `--cfg planted_bugs`, so that known mistakes can be switched on
//! to prove that its checks find them, and in a target directory of its own, so that no other
//! build ever holds them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::{Workspace, must_succeed};

#[derive(Debug, clap::Args, Default)]
pub(crate) struct SimulateOptions {
    /// How many seeds to run, one cluster each.
    #[arg(long)]
    pub(crate) runs: Option<u64>,
    /// Run this one seed: repeats a failure exactly.
    #[arg(long, conflicts_with_all = ["runs", "first_seed"])]
    pub(crate) seed: Option<u64>,
    /// The first of the seeds; the others follow it.
    #[arg(long)]
    pub(crate) first_seed: Option<u64>,
    /// Only this scenario.
    #[arg(long)]
    pub(crate) scenario: Option<String>,
    /// Switch on a planted bug, or each in turn with `all`, and demand that it is found.
    #[arg(long, value_name = "NAME|all")]
    pub(crate) planted: Option<String>,
    /// A planted bug must be found within this many seeds.
    #[arg(long, value_name = "SEEDS", requires = "planted")]
    pub(crate) expect_found_within: Option<u64>,
    /// Simulated seconds of each run.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Seeds that run side by side; one for each processor unless told otherwise.
    #[arg(long)]
    pub(crate) jobs: Option<u32>,
    /// Given to the simulator as they are.
    #[arg(last = true)]
    pub(crate) further: Vec<String>,
}

impl SimulateOptions {
    /// The simulator's own arguments.
    fn arguments(&self) -> Vec<String> {
        let (runs, first_seed) = match self.seed {
            Some(seed) => (Some(1), Some(seed)),
            None => (self.runs, self.first_seed),
        };
        let number = |number: u64| number.to_string();
        let named = [
            ("--runs", runs.map(number)),
            ("--first-seed", first_seed.map(number)),
            ("--scenario", self.scenario.clone()),
            ("--planted", self.planted.clone()),
            ("--expect-found-within", self.expect_found_within.map(number)),
            ("--seconds", self.seconds.map(number)),
            ("--jobs", self.jobs.map(|jobs| jobs.to_string())),
        ];
        let mut arguments = Vec::new();
        for (name, value) in named {
            arguments.extend(value.map(|value| [name.to_owned(), value]).into_iter().flatten());
        }
        arguments.extend(self.further.iter().cloned());
        arguments
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayOptions {
    /// The event log that a failed run wrote.
    event_log: PathBuf,
    /// Given to the simulator as they are.
    #[arg(last = true)]
    further: Vec<String>,
}

/// Runs seeds; fails when one of them breaks a promise or a planted bug stays hidden.
pub(crate) fn run(workspace: &Workspace, options: &SimulateOptions) -> Result<()> {
    must_succeed(simulator(workspace).args(options.arguments()))
}

/// Runs one recorded event log again.
pub(crate) fn replay(workspace: &Workspace, options: &ReplayOptions) -> Result<()> {
    let log = options
        .event_log
        .canonicalize()
        .with_context(|| format!("no event log at {}", options.event_log.display()))?;
    must_succeed(simulator(workspace).arg("replay").arg(log).args(&options.further))
}

/// `cargo run` of the simulator, up to its own arguments.
fn simulator(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    // These overrule `build.rustflags`, and the planted bugs would silently not be there.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.args(["run", "--quiet", "--package", "dynamo-simulator", "--bin", "simulate"]);
    cargo.args(["--profile", "simulation", "--target-dir"]);
    cargo.arg(workspace.target().join("simulation"));
    cargo.args(["--config", r#"build.rustflags=["--cfg","planted_bugs"]"#, "--"]);
    cargo
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::SimulateOptions;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: SimulateOptions,
    }

    fn arguments(line: &str) -> String {
        let words = std::iter::once("simulate").chain(line.split_whitespace());
        match Line::try_parse_from(words) {
            Ok(line) => line.options.arguments().join(" "),
            Err(error) => error.kind().to_string(),
        }
    }

    #[test]
    fn options_reach_the_simulator_under_their_own_names() {
        assert_eq!(arguments(""), "");
        assert_eq!(arguments("--runs 2000 --first-seed 7"), "--runs 2000 --first-seed 7");
        assert_eq!(
            arguments("--planted all --expect-found-within 50 -- --verbose"),
            "--planted all --expect-found-within 50 --verbose"
        );
    }

    #[test]
    fn one_seed_is_one_run_that_starts_there() {
        assert_eq!(arguments("--seed 42"), "--runs 1 --first-seed 42");
        assert!(arguments("--seed 42 --runs 3").contains("cannot be used with"));
    }
}
