//! `cargo xtask chaos`: builds the nodes and who hurts them, and runs scenarios.
//!
//! Both are built in the development profile unless told otherwise: every assertion and overflow
//! check is left on, and CI has compiled most of it for the tests by then.

use std::process::Command;

use anyhow::Result;

use crate::setup;
use crate::workspace::{Workspace, must_succeed};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Which scenario, or `all` in turn [default: all].
    #[arg(long, value_name = "NAME|all")]
    pub(crate) scenario: Option<String>,
    /// How long clients work under faults, in each scenario [default: 30].
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Decides faults, clients and luck [default: 1].
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Keep the clusters' files even if every promise held.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Also empty the disks of nodes, where a scenario kills.
    #[arg(long)]
    pub(crate) wipe: bool,
    /// Who makes replicas agree after healing [default: reads].
    #[arg(long, value_name = "reads|alone")]
    pub(crate) converge: Option<String>,
    /// The Cargo profile of the nodes.
    #[arg(long, default_value = "dev")]
    pub(crate) profile: String,
    /// Given to the program as they are.
    #[arg(last = true)]
    pub(crate) further: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scenario: None,
            seconds: None,
            seed: None,
            keep: false,
            wipe: false,
            converge: None,
            profile: "dev".to_owned(),
            further: Vec::new(),
        }
    }
}

impl Options {
    /// The program's own arguments.
    fn arguments(&self) -> Vec<String> {
        let number = |number: u64| number.to_string();
        let named = [
            ("--scenario", self.scenario.clone()),
            ("--seconds", self.seconds.map(number)),
            ("--seed", self.seed.map(number)),
            ("--converge", self.converge.clone()),
        ];
        let mut arguments = Vec::new();
        for (name, value) in named {
            arguments.extend(value.map(|value| [name.to_owned(), value]).into_iter().flatten());
        }
        arguments.extend(self.keep.then(|| "--keep".to_owned()));
        arguments.extend(self.wipe.then(|| "--wipe".to_owned()));
        arguments.extend(self.further.iter().cloned());
        arguments
    }
}

/// Runs scenarios; fails when one of them breaks a promise or cannot be judged.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::run(workspace)?;
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--locked", "--quiet"]);
    cargo.args(["--package", "dynamo-node", "--package", "dynamo-chaos"]);
    must_succeed(cargo.args(["--profile", &options.profile]))?;
    // Cargo keeps the old name of one directory.
    let folder = if options.profile == "dev" { "debug" } else { &options.profile };
    let programs = workspace.target().join(folder);
    let mut chaos = Command::new(programs.join("chaos"));
    chaos.arg("--node").arg(programs.join("dynamo-node"));
    chaos.arg("--dir").arg(workspace.own_target().join("chaos"));
    must_succeed(chaos.args(options.arguments()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Options;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn options_reach_the_program_under_their_own_names() {
        let arguments = |line: &str| {
            let words = std::iter::once("chaos").chain(line.split_whitespace());
            Line::try_parse_from(words).unwrap().options.arguments().join(" ")
        };
        assert_eq!(arguments(""), "");
        assert_eq!(
            arguments("--seed 7 --scenario cut --keep --seconds 60 -- --verbose"),
            "--scenario cut --seconds 60 --seed 7 --keep --verbose"
        );
        assert_eq!(arguments("--wipe --converge alone"), "--converge alone --wipe");
    }
}
