//! `cargo xtask fix`: the twin of `ci` that writes: formats, and repairs what clippy can.

use anyhow::Result;

use crate::setup;
use crate::workspace::{Workspace, must_succeed};

/// Repairs first, formats last, since repairs are not formatted.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::run(workspace)?;
    let repair =
        ["clippy", "--workspace", "--all-targets", "--all-features", "--fix", "--allow-dirty"];
    must_succeed(workspace.cargo().args(repair).arg("--allow-staged"))?;
    must_succeed(workspace.cargo().args(["fmt", "--all"]))
}
