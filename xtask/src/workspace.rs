//! Where the tree is, where Cargo puts what it builds, and how Cargo is run.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The repository that this program was built from or is run in.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The workspace around this program's source; Cargo names it at run time, so that a moved
    /// clone is found where it is now.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().context("xtask must stand inside the workspace")?;
        if !root.join("Cargo.lock").is_file() {
            bail!("no workspace at {}: run `cargo xtask` inside the clone", root.display());
        }
        let target = match env::var_os("CARGO_TARGET_DIR") {
            // Cargo reads a relative path from the directory that it was started in.
            Some(chosen) => env::current_dir().context("no current directory")?.join(chosen),
            None => root.join("target"),
        };
        Ok(Self { root: root.to_owned(), target })
    }

    /// The top of the tree.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where Cargo builds: `CARGO_TARGET_DIR`, or `target/` of the clone.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// `target/` of the clone itself, wherever Cargo builds: the RocksDB link that
    /// `.cargo/config.toml` names and the local cluster live there.
    pub(crate) fn own_target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Cargo at the top of the tree, free of what the Cargo that runs this program has set: a
    /// build script that watches such a variable would be built again each time.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(cargo_program());
        cargo.current_dir(&self.root);
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(is_about_this_package) {
                cargo.env_remove(&name);
            }
        }
        cargo.env("CARGO_TARGET_DIR", &self.target);
        cargo
    }
}

/// The Cargo that runs this program, or the one on the path.
pub(crate) fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Whether Cargo sets this variable to describe the package that it runs.
pub(crate) fn is_about_this_package(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || name == "CARGO_PRIMARY_PACKAGE"
}

/// Runs a program to its end with this program's own input and output.
///
/// # Errors
/// When it cannot be started or does not succeed; the command line is in the message.
pub(crate) fn must_succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", written(command)))?;
    if !status.success() {
        bail!("{} failed with {status}", written(command));
    }
    Ok(())
}

/// A command line as a person would type it, without its directories and environment.
pub(crate) fn written(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let arguments = command.get_args().map(|argument| match argument.to_string_lossy() {
        text if text.contains([' ', '"', '*']) => format!("'{text}'"),
        text => text.into_owned(),
    });
    let words: Vec<String> = std::iter::once(program.into_owned()).chain(arguments).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{must_succeed, written};

    #[test]
    fn a_failure_names_the_command_line() {
        let error = must_succeed(Command::new("/bin/sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c 'exit 3'` failed with exit status: 3");
    }

    #[test]
    fn a_command_line_is_written_without_its_directory() {
        let mut command = Command::new("/usr/local/bin/cargo");
        command.args(["build", "--config", "a=\"b\""]);
        assert_eq!(written(&command), "`cargo build --config 'a=\"b\"'`");
    }
}
