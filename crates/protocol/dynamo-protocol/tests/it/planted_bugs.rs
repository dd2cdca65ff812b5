//! Tests of the machine catch the mistakes that take a message out of its order, or a disk of the
//! right moment.

use std::panic::catch_unwind;

use dynamo_types::planted::{Finder, PlantedBug, plant};

use crate::reports::{
    a_report_that_was_overtaken_does_not_count,
    history_11_a_disk_that_was_set_back_is_noticed_and_filled_again,
};

const CAUGHT_BY: [(PlantedBug, fn()); 2] = [
    (PlantedBug::OvertakenReportCounts, a_report_that_was_overtaken_does_not_count),
    (
        PlantedBug::RollbackUnnoticed,
        history_11_a_disk_that_was_set_back_is_noticed_and_filled_again,
    ),
];

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
