//! `cargo xtask paper`: the paper's experiments again, into docs/paper.
//!
//! They are compiled optimised, since some place a thousand nodes; the longer one takes a few minutes.

use std::path::PathBuf;

use anyhow::Result;

use crate::workspace::{Workspace, must_succeed};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    experiment: Experiment,
    /// Where CSV and SVG files go; docs/paper unless told otherwise.
    #[arg(long, global = true)]
    out: Option<PathBuf>,
    /// Where random draws begin.
    #[arg(long, global = true, default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, clap::Subcommand)]
enum Experiment {
    /// Figure 8: the three strategies of section 6.2, and ours beside them.
    LoadBalance,
    /// Balance, movement, planning time and gossip from 3 to 1,000 nodes.
    RingScale,
}

impl Experiment {
    fn name(self) -> &'static str {
        match self {
            Self::LoadBalance => "load-balance",
            Self::RingScale => "ring-scale",
        }
    }
}

/// Builds and runs one experiment.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let out = match &options.out {
        Some(out) => std::path::absolute(out)?,
        None => workspace.root().join("docs/paper"),
    };
    let mut cargo = workspace.cargo();
    cargo.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "dynamo-experiments",
        "--bin",
        "paper",
    ]);
    cargo.args(["--", options.experiment.name(), "--seed", &options.seed.to_string()]);
    must_succeed(cargo.arg("--out").arg(out))
}
