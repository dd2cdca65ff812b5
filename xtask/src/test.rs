//! `cargo xtask test`: every test of the workspace, doc tests included.

use anyhow::Result;

use crate::setup;
use crate::workspace::{Workspace, must_succeed};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Given to `cargo test` as they are: filters, `-p <crate>`, `-- --nocapture`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

/// Sets up and runs the tests, with all features unless the arguments choose: engines, test
/// builders and the like hide behind them.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::run(workspace)?;
    let mut cargo = workspace.cargo();
    cargo.arg("test");
    if !names(&options.arguments, &["-p", "--package", "--workspace", "--all"]) {
        cargo.arg("--workspace");
    }
    if !names(&options.arguments, &["-F", "--features", "--all-features", "--no-default-features"])
    {
        cargo.arg("--all-features");
    }
    must_succeed(cargo.args(&options.arguments))
}

/// Whether one of these options is among the arguments for Cargo, alone or with its value.
fn names(arguments: &[String], options: &[&str]) -> bool {
    let is_one = |argument: &String, option: &str| {
        let is_short = !option.starts_with("--");
        argument.strip_prefix(option).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('=') || (is_short && !argument.starts_with("--"))
        })
    };
    let for_cargo = arguments.iter().take_while(|argument| *argument != "--");
    for_cargo.into_iter().any(|argument| options.iter().any(|option| is_one(argument, option)))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn an_option_is_recognised_in_all_its_spellings() {
        let named = |line: &str| {
            let words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
            names(&words, &["-p", "--package"])
        };
        for line in ["-p dynamo-ring", "-pdynamo-ring", "seam --package=dynamo-ring", "--package a"]
        {
            assert!(named(line), "{line}");
        }
        for line in ["seam", "-- -p", "--packages", "--profile release"] {
            assert!(!named(line), "{line}");
        }
    }
}
