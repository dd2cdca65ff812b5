//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Runs clusters of Dynamo nodes under a virtual clock, with faults, and checks every promise.
#[derive(Debug, Clone, Parser)]
#[command(name = "simulate")]
pub(crate) struct Arguments {
    /// What else to do than to run seeds.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    pub(crate) runs: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) first_seed: u64,
    /// Threads; by default one per core.
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
    /// Simulated seconds of work and faults per seed.
    #[arg(long, default_value_t = 60, global = true)]
    pub(crate) seconds: u64,
    /// Run this seed alone and print everything about it.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Switch on a planted bug, or `all` in turn, and demand that it is found.
    #[arg(long, global = true)]
    pub(crate) planted: Option<String>,
    /// The number of seeds within which a planted bug must be found.
    #[arg(long, default_value_t = 200)]
    pub(crate) expect_found_within: u64,
    /// Write the event log of the seed, or of the first seed that fails, to this file.
    #[arg(long, global = true)]
    pub(crate) log: Option<PathBuf>,
    /// Also print the options of seeds and all counters.
    #[arg(long, global = true)]
    pub(crate) verbose: bool,
    /// Go on after a failure, to count how many seeds fail.
    #[arg(long)]
    pub(crate) keep_going: bool,
}

/// What else to do than to run seeds.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Print a seed step by step.
    Replay {
        /// A seed, or the event log of one.
        what: String,
    },
}

impl Arguments {
    pub(crate) fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
        })
    }

    pub(crate) fn duration(&self) -> core::time::Duration {
        core::time::Duration::from_secs(self.seconds)
    }
}
