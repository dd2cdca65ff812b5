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
    let mut arguments = arguments.clone();
    let seed = match what.parse() {
        Ok(seed) => seed,
        Err(_) => match read_header(what) {
            Ok(header) => {
                arguments.seconds = header.seconds;
                arguments.planted = header.planted;
                header.seed
            }
            Err(why) => {
                say(&why);
                return ExitCode::FAILURE;
            }
        },
    };
    if let Err(why) = planted::plant_by_name(arguments.planted.as_deref()) {
        say(&why);
        return ExitCode::FAILURE;
    }
    say(&format!("{}", SeedOptions::of_seed(seed, arguments.duration())));
    let report = run(seed, &arguments, true);
    for line in &report.lines {
        say(line);
    }
    outcome(&report, &arguments)
}

/// What a log says about its run.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    seed: u64,
    seconds: u64,
    planted: Option<String>,
}

impl Header {
    fn write(&self) -> String {
        let planted = self.planted.as_deref().unwrap_or("nothing");
        format!("{HEADER}{}, {} seconds, planted {planted}\n", self.seed, self.seconds)
    }

    fn parse(log: &str) -> Option<Self> {
        let mut words = log.lines().next()?.strip_prefix(HEADER)?.split(", ");
        let seed = words.next()?.parse().ok()?;
        let seconds = words.next()?.strip_suffix(" seconds")?.parse().ok()?;
        let planted = words.next()?.strip_prefix("planted ")?;
        let planted = (planted != "nothing").then(|| planted.to_owned());
        Some(Self { seed, seconds, planted })
    }
}

fn read_header(path: &str) -> Result<Header, String> {
    let log =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    Header::parse(&log)
        .ok_or_else(|| format!("{path} is no event log: its first line names no seed"))
}

/// Runs a seed again and writes its log.
pub(crate) fn write_log(path: &Path, seed: u64, arguments: &Arguments) {
    let report = run(seed, arguments, true);
    save(path, &report, arguments);
}

fn save(path: &Path, report: &SeedReport, arguments: &Arguments) {
    let header = Header {
        seed: report.seed,
        seconds: arguments.seconds,
        planted: arguments.planted.clone(),
    };
    let mut text = header.write();
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

#[cfg(test)]
mod tests {
    use super::Header;

    #[test]
    fn a_log_says_which_run_it_is_of() {
        for planted in [None, Some("lww_in_merge".to_owned())] {
            let header = Header { seed: 17, seconds: 60, planted };
            assert_eq!(Header::parse(&header.write()), Some(header));
        }
        assert_eq!(Header::parse("something else"), None);
    }
}
