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

/// Sets up and runs the tests.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::run(workspace)?;
    let mut cargo = workspace.cargo();
    cargo.arg("test");
    if !names_packages(&options.arguments) {
        cargo.arg("--workspace");
    }
    must_succeed(cargo.args(&options.arguments))
}

/// Whether the arguments choose packages themselves, which `--workspace` would overrule.
fn names_packages(arguments: &[String]) -> bool {
    arguments
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|argument| argument.starts_with("-p") || argument.starts_with("--package"))
}

#[cfg(test)]
mod tests {
    use super::names_packages;

    #[test]
    fn chosen_packages_are_tested_alone() {
        let chosen = |line: &str| {
            names_packages(&line.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>())
        };
        assert!(chosen("-p dynamo-ring"));
        assert!(chosen("--package=dynamo-ring seam"));
        assert!(!chosen("seam"));
        assert!(!chosen("-- -p"), "what follows `--` is for the tests");
    }
}
