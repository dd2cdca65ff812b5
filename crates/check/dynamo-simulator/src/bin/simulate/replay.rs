//! One seed, read closely: its options, its event log, its outcome.

use std::path::Path;
use std::process::ExitCode;

use dynamo_simulator::options::SeedOptions;
use dynamo_simulator::run::{SeedReport, run_seed};

use crate::arguments::Arguments;
use crate::console::{outcome, say};
use crate::planted;

/// How the first line of a log begins.
const HEADER: &str = "event log of seed ";

fn run(seed: u64, arguments: &Arguments, readable: bool) -> SeedReport {
    run_seed(SeedOptions::of_seed(seed, arguments.duration()), readable)
}

/// Runs `--seed`.
pub(crate) fn one_seed(arguments: &Arguments) -> ExitCode {
    let Some(seed) = arguments.seed else { return ExitCode::FAILURE };
    if let Err(why) = planted::plant_by_name(arguments.planted.as_deref()) {
        say(&why);
        return ExitCode::FAILURE;
    }
    let report = run(seed, arguments, arguments.log.is_some());
    if arguments.verbose || report.failure.is_some() {
        say(&format!("{}", SeedOptions::of_seed(seed, arguments.duration())));
    }
    if let Some(path) = &arguments.log {
        save(path, &report, arguments);
    }
    outcome(&report, arguments)
}

/// Prints a seed step by step, from its number or its log.
pub(crate) fn replay(what: &str, arguments: &Arguments) -> ExitCode {
    let seed = match what.parse() {
        Ok(seed) => seed,
        Err(_) => match std::fs::read_to_string(what) {
            Ok(log) => match seed_of_log(&log) {
                Some(seed) => seed,
                None => {
                    say(&format!("{what} is no event log: its first line names no seed"));
                    return ExitCode::FAILURE;
                }
            },
            Err(error) => {
                say(&format!("cannot read {what}: {error}"));
                return ExitCode::FAILURE;
            }
        },
    };
    if let Err(why) = planted::plant_by_name(arguments.planted.as_deref()) {
        say(&why);
        return ExitCode::FAILURE;
    }
    say(&format!("{}", SeedOptions::of_seed(seed, arguments.duration())));
    let report = run(seed, arguments, true);
    for line in &report.lines {
        say(line);
    }
    outcome(&report, arguments)
}

fn seed_of_log(log: &str) -> Option<u64> {
    log.lines().next()?.strip_prefix(HEADER)?.split(' ').next()?.parse().ok()
}

/// Runs a seed again and writes its log.
pub(crate) fn write_log(path: &Path, seed: u64, arguments: &Arguments) {
    let report = run(seed, arguments, true);
    save(path, &report, arguments);
}

fn save(path: &Path, report: &SeedReport, arguments: &Arguments) {
    let mut text = format!("{HEADER}{} ({} s)\n", report.seed, arguments.seconds);
    text.push_str(&SeedOptions::of_seed(report.seed, arguments.duration()).to_string());
    for line in &report.lines {
        text.push_str(line);
        text.push('\n');
    }
    if let Some(failure) = &report.failure {
        text.push_str(&failure.to_string());
    }
    match std::fs::write(path, text) {
        Ok(()) => say(&format!("the event log is in {}", path.display())),
        Err(error) => say(&format!("cannot write {}: {error}", path.display())),
    }
}
