//! Builds, checks and runs everything in this repository: `cargo xtask <subcommand>`.
//!
//! Depends on none of the project's crates, so that it builds in seconds and works while they do
//! not compile. This file is the table of contents; each subcommand is the file of its name:
//! [`setup`], [`test`], [`ci`], [`fix`], [`tidy`], [`model`], [`simulate`] (with `replay`),
//! [`chaos`], [`cluster`], [`bench`], [`paper`].
//! Beneath them: [`workspace`] finds the tree and runs Cargo, [`clock`] waits on conditions,
//! [`console`] prints.

mod bench;
mod chaos;
mod ci;
mod clock;
mod cluster;
mod console;
mod fix;
mod model;
mod paper;
mod setup;
mod simulate;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install or name what the build needs, and compile RocksDB once for this machine.
    Setup,
    /// Run every test of the workspace; what follows goes to `cargo test`.
    Test(test::Options),
    /// Run every check that a change must pass; writes nothing in the tree.
    Ci(ci::Options),
    /// Format, and apply what clippy can repair by itself.
    Fix,
    /// Check the rules of the house: layers, purity, documents, citations.
    Tidy,
    /// Run seeded clusters in one thread under faults, and check every promise.
    Simulate(simulate::SimulateOptions),
    /// Play random histories of the rules of replication, with and without each rule.
    Model(model::Options),
    /// Run one recorded event log, or one seed, again, step by step.
    Replay(simulate::ReplayOptions),
    /// Run real nodes under faults, and check every promise.
    Chaos(chaos::Options),
    /// Start, hurt and stop a local cluster of real processes.
    Cluster(cluster::Options),
    /// Measure a local cluster of three nodes: the rows of docs/PERFORMANCE.md.
    Bench(bench::Options),
    /// Make the paper's experiments again: the files of docs/paper.
    Paper(paper::Options),
}

/// What this program understands.
fn command_line() -> clap::Command {
    Arguments::command()
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = Workspace::find().and_then(|workspace| match arguments.task {
        Task::Setup => setup::run(&workspace),
        Task::Test(options) => test::run(&workspace, &options),
        Task::Ci(options) => ci::run(&workspace, &options),
        Task::Fix => fix::run(&workspace),
        Task::Tidy => tidy::run(&workspace),
        Task::Simulate(options) => simulate::run(&workspace, &options),
        Task::Model(options) => model::run(&workspace, &options),
        Task::Replay(options) => simulate::replay(&workspace, &options),
        Task::Chaos(options) => chaos::run(&workspace, &options),
        Task::Cluster(options) => cluster::run(&workspace, options),
        Task::Bench(options) => bench::run(&workspace, &options),
        Task::Paper(options) => paper::run(&workspace, &options),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
