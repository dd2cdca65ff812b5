//! One node's process. It never outlives the program that started it, however that ends.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that was started and not waited for.
#[derive(Debug)]
pub(super) struct NodeProcess(Child);

impl NodeProcess {
    /// Starts a node, its output appended to a log.
    ///
    /// setpriv(1) makes the kernel kill it when the thread that starts it ends, and becomes the
    /// node. It leads a process group of its own, so that Ctrl-C reaches this program alone. Of the
    /// environment it gets the path only: a setting in a variable would overrule its file.
    pub(super) fn start(program: &Path, config: &Path, log: &Path) -> Result<Self> {
        let log_file = File::options().create(true).append(true).open(log);
        let log_file = log_file.with_context(|| format!("cannot open {}", log.display()))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(["run", "--config"])
            .arg(config)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH"))
            .env("RUST_BACKTRACE", "1")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .context("cannot start setpriv; `cargo xtask setup` says what is missing")?;
        Ok(Self(child))
    }

    /// SIGKILL, without waiting for the end.
    pub(super) fn begin_kill(&mut self) -> io::Result<()> {
        self.0.kill()
    }

    /// Waits for the end.
    pub(super) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait()
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    pub(super) fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    pub(super) fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Its number is its own until it was waited for, so no other process can be meant.
    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.0.id()).context("a process number is too large")?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("cannot send {signal}"))
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // It may have ended already; else the kernel ends it with this program.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    fn script(directory: &Path, text: &str) -> PathBuf {
        let path = directory.join("node");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_process_that_ends_by_itself_is_noticed_and_its_log_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let program = script(directory.path(), "echo \"$0 $*\" >&2; exit 7");
        let mut process = NodeProcess::start(&program, Path::new("c.toml"), &log).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(7));
        assert!(process.ended().unwrap().is_some());
        let logged = std::fs::read_to_string(&log).unwrap();
        assert!(logged.ends_with("node run --config c.toml\n"), "{logged}");
    }

    #[test]
    fn a_stopped_process_can_be_woken_and_killed() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(directory.path(), "exec tail -f /dev/null");
        let log = directory.path().join("log");
        let mut process = NodeProcess::start(&program, Path::new("c.toml"), &log).unwrap();
        process.pause().unwrap();
        process.resume().unwrap();
        process.pause().unwrap();
        assert!(process.ended().unwrap().is_none());
        process.begin_kill().unwrap();
        assert!(!process.wait().unwrap().success());
    }
}
