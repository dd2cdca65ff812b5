//! `chaos`: runs scenarios against real nodes and fails if a promise is broken or cannot be judged.
//!
//! ```text
//! chaos --node target/debug/dynamo-node                        all scenarios, 30 s each
//! chaos --node … --scenario pause --seconds 120 --seed 7       one of them, longer, with other luck
//! ```
#![expect(clippy::print_stdout, reason = "the report is what this program is for")]

mod arguments;
mod console;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use dynamo_chaos::run::{self, RunOptions};
use dynamo_chaos::scenario::Scenario;
use dynamo_chaos::verdict::Verdict;
use tokio::signal::unix::{SignalKind, signal};

use arguments::Arguments;

/// What a shell says of a program that was interrupted.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One thread: nodes are killed by the kernel when the thread that started them ends, and this
    // one lives as long as the program.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.context("cannot start the runtime").and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                outcome = run_all(&arguments) => outcome,
                interrupted = interrupted() => {
                    interrupted?;
                    console::complain("interrupted");
                    Ok(ExitCode::from(INTERRUPTED))
                }
            }
        })
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            console::complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Files of a run that are removed when this is dropped, also when the run is interrupted.
struct RunDirectory {
    path: PathBuf,
    keep: bool,
}

impl RunDirectory {
    fn new(arguments: &Arguments, scenario: &Scenario) -> Result<Self> {
        let dir = &arguments.dir;
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
        let name = format!("{}-{}-{}", scenario.name, arguments.seed, std::process::id());
        Ok(Self { path: dir.join(name), keep: arguments.keep })
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            console::complain(&format!("cannot remove {}: {error}", self.path.display()));
        }
    }
}

/// Runs all scenarios that were asked for; stops at the first that fails.
async fn run_all(arguments: &Arguments) -> Result<ExitCode> {
    let node: &Path = &arguments.node;
    let node = node.canonicalize().with_context(|| format!("there is no {}", node.display()))?;
    let mut checked: BTreeMap<&'static str, u64> = BTreeMap::new();
    for scenario in &arguments.scenario.0 {
        let mut directory = RunDirectory::new(arguments, scenario)?;
        let options = RunOptions {
            scenario: *scenario,
            seed: arguments.seed,
            time: arguments.time(),
            program: node.clone(),
            directory: directory.path.clone(),
            wipes: arguments.wipe,
            convergence: arguments.converge,
        };
        println!("{}: {}", scenario.name, scenario.about);
        let report = run::run(&options).await;
        // Whatever went wrong, the logs may tell.
        let held = matches!(&report, Ok(report) if report.judgement.verdict == Verdict::Held);
        directory.keep |= !held;
        let report = report.with_context(|| {
            format!("{}; files in {}", arguments.again(scenario), directory.path.display())
        })?;
        console::report(arguments, &report);
        if !held {
            console::failure(arguments, scenario, &report, &directory.path);
            return Ok(ExitCode::FAILURE);
        }
        for (name, facts) in &report.judgement.checked {
            *checked.entry(name).or_default() += facts;
        }
    }
    if let Some((name, _)) = checked.iter().find(|(_, facts)| **facts == 0)
        && arguments.scenario.0.len() > 1
    {
        console::complain(&format!("{name} found nothing to look at in any scenario"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
