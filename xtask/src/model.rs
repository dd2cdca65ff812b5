//! `cargo xtask model`: random histories of replication against true causality, and each rule left
//! out on purpose.
//!
//! The model lives in the tests of dynamo-versioning. It is compiled like the simulator, with
//! planted bugs and optimised, since every mistake is looked for in thousands of histories.

use anyhow::Result;

use crate::simulate::with_planted_bugs;
use crate::workspace::{Workspace, must_succeed};

/// What the rules are held to.
const HISTORIES: u64 = 300_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many histories to play with all rules kept, after every mistake was caught.
    #[arg(long, default_value_t = HISTORIES)]
    histories: u64,
    /// The seed of the first of them; the others follow it.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { histories: HISTORIES, first_seed: 0 }
    }
}

impl Options {
    fn seeds(&self) -> String {
        format!("{}..{}", self.first_seed, self.first_seed.saturating_add(self.histories))
    }
}

/// Looks for every mistake, then plays histories; fails when a mistake stays hidden or a history
/// breaks a promise.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut cargo = with_planted_bugs(workspace, "test");
    cargo.env("DYNAMO_MODEL_SEEDS", options.seeds());
    cargo.args(["--package", "dynamo-versioning", "--test", "it", "--", "--nocapture"]);
    must_succeed(&mut cargo)
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn seeds_go_from_the_first_as_far_as_there_are_histories() {
        assert_eq!(Options::default().seeds(), "0..300000");
        assert_eq!(Options { histories: 5, first_seed: 70 }.seeds(), "70..75");
    }
}
