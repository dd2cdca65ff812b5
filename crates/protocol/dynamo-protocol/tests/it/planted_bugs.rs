//! Tests of the machine catch the mistakes that take messages out of their order at one moment.

use std::panic::catch_unwind;

use dynamo_types::planted::{Finder, PlantedBug, plant};

use crate::reports::a_report_that_was_overtaken_does_not_count;

const CAUGHT_BY: [(PlantedBug, fn()); 1] =
    [(PlantedBug::OvertakenReportCounts, a_report_that_was_overtaken_does_not_count)];

/// All in one test, and no other beside it: a planted bug is on for the whole process.
#[test]
fn machine_tests_catch_their_planted_bugs() {
    for (bug, test) in CAUGHT_BY {
        plant(Some(bug));
        let outcome = catch_unwind(test);
        plant(None);
        assert!(outcome.is_err(), "{} was not caught", bug.name());
        test();
    }
    let theirs = PlantedBug::ALL.iter().filter(|bug| bug.finder() == Finder::MachineTests);
    for bug in theirs {
        assert!(CAUGHT_BY.iter().any(|(caught, _)| caught == bug), "{} has no test", bug.name());
    }
}
