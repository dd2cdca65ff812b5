//! What is printed.
#![expect(clippy::print_stderr, reason = "failures go where failures go")]

use std::path::Path;

use dynamo_chaos::run::{HISTORIES, RunReport, VERDICT};
use dynamo_chaos::scenario::Scenario;
use dynamo_chaos::verdict::Verdict;

use crate::arguments::Arguments;

/// Says what went wrong.
pub(crate) fn complain(what: &str) {
    eprintln!("chaos: {what}");
}

/// Says what was done, and what came of it.
pub(crate) fn report(arguments: &Arguments, report: &RunReport) {
    if arguments.verbose {
        report.journal.iter().for_each(|line| println!("  {line}"));
    }
    let faults: Vec<String> =
        report.faults.iter().map(|(name, count)| format!("{count} {name}")).collect();
    println!("  seed {}, {:?} of faults: {}", arguments.seed, arguments.time(), faults.join(", "));
    let network = &report.network;
    println!(
        "  network: {} packets passed, {} lost, {} cut off, {} late, {} overtaken, {} doubled, {} \
         for nobody, {} too many",
        network.passed,
        network.lost,
        network.cut,
        network.delayed,
        network.reordered,
        network.duplicated,
        network.homeless,
        network.overflowed,
    );
    let [answered, failed, unknown] = report.requests;
    println!("  clients: {answered} requests answered, {failed} failed, {unknown} unknown");
    if let Some(time) = report.settled_after {
        println!("  all replicas held the same {:.1} s after healing", time.as_secs_f64());
    }
    let checked: Vec<String> =
        report.judgement.checked.iter().map(|(name, facts)| format!("{name} {facts}")).collect();
    println!("  facts: {}", checked.join(", "));
    println!("  {} keys without checks of causality", report.blurred_keys);
    if report.judgement.verdict == Verdict::Held {
        println!("  {}", report.judgement.verdict);
    }
}

/// Says what was broken, and how to go on from there.
pub(crate) fn failure(
    arguments: &Arguments,
    scenario: &Scenario,
    report: &RunReport,
    directory: &Path,
) {
    let verdict = &report.judgement.verdict;
    if *verdict != Verdict::Held {
        complain(verdict.to_string().trim_end());
    }
    if !arguments.verbose {
        report.journal.iter().for_each(|line| eprintln!("  {line}"));
    }
    let directory = directory.display();
    eprintln!(
        "  logs: {directory}/node-*/log; all keys: {directory}/{HISTORIES}; this: {directory}/{VERDICT}"
    );
    eprintln!("  again, as far as processes repeat: {}", arguments.again(scenario));
}
