//! `paper`: runs one of the experiments and writes what it found.
//!
//! ```text
//! paper load-balance --out docs/paper
//! paper ring-scale --out docs/paper
//! ```

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use dynamo_experiments::{gossip, load_balance, placement};

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    #[command(subcommand)]
    experiment: Experiment,
    /// Where CSV and SVG files go.
    #[arg(long, global = true, default_value = "docs/paper")]
    out: PathBuf,
    /// Where random draws begin.
    #[arg(long, global = true, default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Subcommand)]
enum Experiment {
    /// Figure 8: the three strategies, and ours beside them.
    LoadBalance,
    /// Balance, movement, planning time and gossip from 3 to 1,000 nodes.
    RingScale,
}

fn main() -> Result<()> {
    let Arguments { experiment, out, seed } = Arguments::parse();
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    match experiment {
        Experiment::LoadBalance => {
            load_balance::run(&load_balance::Options { seed, ..Default::default() }, &out)
        }
        Experiment::RingScale => {
            placement::run(&placement::Options::default(), &out)?;
            gossip::run(&gossip::Options { seed, ..Default::default() }, &out)
        }
    }
}
