//! `cargo xtask simulate` and `replay`: builds the simulator and runs it with these arguments.
//!
//! The simulator is compiled with `--cfg planted_bugs`, so that known mistakes can be switched on
//! to prove that its checks find them, and in a target directory of its own, so that no other
//! build ever holds them.

use std::path::Path;
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
    /// Switch on a planted bug, or each in turn with `all`, and demand that it is found.
    #[arg(long, value_name = "NAME|all")]
    pub(crate) planted: Option<String>,
    /// A planted bug must be found within this many seeds (the simulator's own default is 200).
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
        let number = |number: u64| number.to_string();
        let named = [
            ("--runs", self.runs.map(number)),
            ("--seed", self.seed.map(number)),
            ("--first-seed", self.first_seed.map(number)),
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
    /// The event log that a failed run wrote, or its seed.
    #[arg(value_name = "EVENT_LOG|SEED")]
    what: String,
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
    let what = replayed(&options.what)?;
    must_succeed(simulator(workspace).arg("replay").arg(what).args(&options.further))
}

/// The log by its full path, since the simulator runs at the top of the tree; a seed as it is.
fn replayed(what: &str) -> Result<String> {
    match Path::new(what).canonicalize() {
        Ok(log) => log.into_os_string().into_string().ok().context("a path must be UTF-8"),
        Err(_) if what.parse::<u64>().is_ok() => Ok(what.to_owned()),
        Err(error) => {
            Err(error).with_context(|| format!("{what} is neither an event log nor a seed"))
        }
    }
}

/// Runs the tests of a crate that switch planted bugs on, in a build that holds them. No other test
/// runs beside them: a planted bug is on for the whole process.
pub(crate) fn test_with_planted_bugs(workspace: &Workspace, package: &str) -> Result<()> {
    let mut cargo = with_planted_bugs(workspace, "test");
    must_succeed(cargo.args(["--package", package, "--test", "it", "planted_bugs"]))
}

/// `cargo run` of the simulator, up to its own arguments.
fn simulator(workspace: &Workspace) -> Command {
    let mut cargo = with_planted_bugs(workspace, "run");
    cargo.args(["--package", "dynamo-simulator", "--bin", "simulate", "--"]);
    cargo
}

/// Cargo with the optimised build that holds planted bugs.
pub(crate) fn with_planted_bugs(workspace: &Workspace, command: &str) -> Command {
    let mut cargo = workspace.cargo();
    // These overrule `build.rustflags`, and the planted bugs would silently not be there.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.args([command, "--quiet", "--profile", "simulation", "--target-dir"]);
    cargo.arg(workspace.target().join("simulation"));
    cargo.args(["--config", r#"build.rustflags=["--cfg","planted_bugs"]"#]);
    cargo
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{SimulateOptions, replayed};

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
    fn one_seed_is_one_run() {
        assert_eq!(arguments("--seed 42"), "--seed 42");
        assert!(arguments("--seed 42 --runs 3").contains("cannot be used with"));
    }

    #[test]
    fn a_log_is_found_from_where_the_user_stands_and_a_seed_stays_a_number() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let written = log.path().to_str().unwrap();
        let found = log.path().canonicalize().unwrap();
        assert_eq!(replayed(written).unwrap(), found.to_str().unwrap());
        assert_eq!(replayed("42").unwrap(), "42");
        let error = replayed("/nowhere/log").unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/log is neither an event log nor a seed");
    }
}
