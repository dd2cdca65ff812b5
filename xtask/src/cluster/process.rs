//! One node's process: started in a session of its own, found again by number and start time.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::clock::wait_for;

/// A signal that cannot be refused takes effect at once; the kernel tidies up within this.
const KERNEL_PATIENCE: Duration = Duration::from_secs(10);

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Alive.
    Running,
    /// Stopped by SIGSTOP: alive, and doing nothing.
    Paused,
    /// Gone, whatever has its number now.
    Dead,
}

impl State {
    /// The word in `status`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Dead => "dead",
        }
    }
}

/// A process, by its number and when it started: a number alone is given out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pid: i32,
    /// Clock ticks since boot, as the kernel counts them.
    started: u64,
}

impl Process {
    /// Starts a node detached: its own session, no input, output appended to a log.
    ///
    /// The child is returned too, so that its end can be seen while this program is its parent.
    pub(super) fn start(node_program: &Path, config: &Path, log: &Path) -> Result<(Self, Child)> {
        let log_file = File::options().create(true).append(true).open(log);
        let log_file = log_file.with_context(|| format!("cannot open {}", log.display()))?;
        let errors = log_file.try_clone().context("cannot duplicate the log's handle")?;
        // setsid(1) makes the session and becomes the node: it keeps its process number, since a
        // fresh child never leads a process group.
        let child = Command::new("setsid")
            .arg(node_program)
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log_file)
            .stderr(errors)
            .spawn()
            .context("cannot start setsid; `cargo xtask setup` says what is missing")?;
        let pid = i32::try_from(child.id()).context("a process number is too large")?;
        let (_, started) = read_stat(pid).context("the node's process cannot be seen in /proc")?;
        Ok((Self { pid, started }, child))
    }

    /// What a pid file says; `None` when there is none.
    pub(super) fn read(pid_file: &Path) -> Result<Option<Self>> {
        let text = match fs::read_to_string(pid_file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", pid_file.display()));
            }
        };
        let mut numbers = text.split_whitespace();
        let process = numbers.next().zip(numbers.next()).and_then(|(pid, started)| {
            Some(Self {
                pid: pid.parse().ok().filter(|pid| *pid > 0)?,
                started: started.parse().ok()?,
            })
        });
        let damaged = || format!("{} is damaged; remove it", pid_file.display());
        process.with_context(damaged).map(Some)
    }

    /// Writes a pid file, whole or not at all.
    pub(super) fn save(&self, pid_file: &Path) -> Result<()> {
        let half = pid_file.with_extension("half");
        fs::write(&half, format!("{} {}\n", self.pid, self.started))
            .and_then(|()| fs::rename(&half, pid_file))
            .with_context(|| format!("cannot write {}", pid_file.display()))
    }

    /// The number.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// What it is doing.
    pub(super) fn state(&self) -> State {
        match read_stat(self.pid) {
            Some((letter, started)) if started == self.started => match letter {
                'T' | 't' => State::Paused,
                // A zombie holds nothing any more but its number.
                'Z' | 'X' | 'x' => State::Dead,
                _ => State::Running,
            },
            _ => State::Dead,
        }
    }

    /// Asks it to end; a paused one goes on first, or it would never hear.
    pub(super) fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        self.signal(Signal::SIGCONT)
    }

    /// Ends it without warning and waits until it is gone.
    pub(super) fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait_until(State::Dead, KERNEL_PATIENCE).context("it outlives SIGKILL")
    }

    /// Stops it in its tracks.
    pub(super) fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        self.wait_until(State::Paused, KERNEL_PATIENCE).context("it outruns SIGSTOP")
    }

    /// Lets it go on.
    pub(super) fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)?;
        self.wait_until(State::Running, KERNEL_PATIENCE).context("it ignores SIGCONT")
    }

    /// Waits for a state; `None` when patience ends first.
    pub(super) fn wait_until(&self, state: State, patience: Duration) -> Option<()> {
        wait_for(patience, || (self.state() == state).then_some(()))
    }

    /// Signals it if it is still the one that was started; a dead one is left in peace.
    fn signal(&self, signal: Signal) -> Result<()> {
        if self.state() == State::Dead {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("cannot send {signal} to {}", self.pid))
            }
        }
    }
}

/// The state letter and start time of a process.
fn read_stat(pid: i32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `7 (name) S …`: the name may hold anything, so fields count from the last parenthesis.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is field 3 and the start time field 22 of proc_pid_stat(5).
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, Stdio};

    use super::{Process, State, parse_stat, read_stat};

    fn sleeper() -> (Process, std::process::Child) {
        let child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let (_, started) = read_stat(pid).unwrap();
        (Process { pid, started }, child)
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let rest = (4..=21).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(parse_stat(&format!("7 (a) b) (c) T {rest} 4242 23")), Some(('T', 4242)));
        assert_eq!(parse_stat("7 (a) T 1"), None);
    }

    #[test]
    fn signals_move_a_process_through_its_states() {
        let (process, mut child) = sleeper();
        process.pause().unwrap();
        assert_eq!(process.state(), State::Paused);
        process.resume().unwrap();
        assert_eq!(process.state(), State::Running);
        process.pause().unwrap();
        process.kill().unwrap();
        assert_eq!(process.state(), State::Dead, "a zombie is dead");
        child.wait().unwrap();
        process.kill().unwrap();
    }

    #[test]
    fn a_paused_process_hears_that_it_should_end() {
        let (process, mut child) = sleeper();
        process.pause().unwrap();
        process.terminate().unwrap();
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_reused_number_is_never_signalled() {
        let (process, mut child) = sleeper();
        let earlier = Process { started: process.started - 1, ..process };
        assert_eq!(earlier.state(), State::Dead);
        earlier.kill().unwrap();
        earlier.terminate().unwrap();
        assert_eq!(child.try_wait().unwrap(), None, "the newcomer lives");
        process.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_pid_file_is_read_back_and_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        assert_eq!(Process::read(&pid_file).unwrap(), None);
        let process = Process { pid: 12, started: 34 };
        process.save(&pid_file).unwrap();
        assert_eq!(Process::read(&pid_file).unwrap(), Some(process));
        // A negative number would signal a whole process group.
        for damaged in ["", "12", "x 34", "-1 34", "0 34"] {
            fs::write(&pid_file, damaged).unwrap();
            let error = Process::read(&pid_file).unwrap_err().to_string();
            assert!(error.ends_with("is damaged; remove it"), "{error}");
        }
    }
}
