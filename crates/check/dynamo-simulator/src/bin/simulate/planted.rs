//! Planted bugs: switches one on and demands that the checks find it.

use std::process::ExitCode;

use dynamo_types::planted::{Finder, PlantedBug};

use crate::arguments::Arguments;

/// The bug of that name.
fn by_name(name: &str) -> Result<PlantedBug, String> {
    PlantedBug::ALL.iter().copied().find(|bug| bug.name() == name).ok_or_else(|| {
        let known: Vec<&str> = PlantedBug::ALL.iter().map(|bug| bug.name()).collect();
        format!("no planted bug is called {name}; there are {}", known.join(", "))
    })
}

/// Switches on the bug of that name, if one is named.
pub(crate) fn plant_by_name(name: Option<&str>) -> Result<(), String> {
    match name {
        None => Ok(()),
        Some(name) => plant(by_name(name)?),
    }
}

#[cfg(planted_bugs)]
fn plant(bug: PlantedBug) -> Result<(), String> {
    dynamo_types::planted::plant(Some(bug));
    Ok(())
}

#[cfg(not(planted_bugs))]
fn plant(bug: PlantedBug) -> Result<(), String> {
    Err(format!(
        "{} is not in this build: planted bugs need `--cfg planted_bugs`, as `cargo xtask simulate` sets",
        bug.name()
    ))
}

/// Runs `--planted`.
pub(crate) fn hunt(arguments: &Arguments) -> ExitCode {
    let name = arguments.planted.as_deref().unwrap_or("all");
    let bugs = if name == "all" {
        let found_here = |bug: &&PlantedBug| bug.finder() == Finder::Simulator;
        PlantedBug::ALL.iter().filter(found_here).copied().collect()
    } else {
        match by_name(name) {
            Ok(bug) => vec![bug],
            Err(why) => {
                crate::console::say(&why);
                return ExitCode::FAILURE;
            }
        }
    };
    let mut all_found = true;
    for bug in bugs {
        if let Err(why) = plant(bug) {
            crate::console::say(&why);
            return ExitCode::FAILURE;
        }
        all_found &= hunt_one(arguments, bug);
    }
    if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn hunt_one(arguments: &Arguments, bug: PlantedBug) -> bool {
    use dynamo_simulator::batch::{BatchPlan, run_batch};
    let watch = crate::clock::Stopwatch::start();
    let plan = BatchPlan {
        first_seed: arguments.first_seed,
        runs: arguments.expect_found_within,
        jobs: arguments.jobs(),
        duration: arguments.duration(),
        stop_at_failure: !arguments.keep_going,
    };
    let report = run_batch(plan, |_| {});
    let took = watch.elapsed().as_secs();
    let name = bug.name();
    match report.failures.first_key_value() {
        Some((seed, failure)) => {
            let number = seed - arguments.first_seed + 1;
            crate::console::say(&format!(
                "{name}: found by seed {seed} (number {number}) through {}; {} of {} seeds, {took} s",
                failure.invariant, report.failed_runs, report.runs
            ));
            if arguments.verbose {
                crate::console::say(&failure.to_string());
            }
            true
        }
        None => {
            crate::console::say(&format!("{name}: NOT FOUND in {} seeds, {took} s", report.runs));
            false
        }
    }
}
