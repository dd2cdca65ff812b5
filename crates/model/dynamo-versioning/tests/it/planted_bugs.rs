//! The model catches each planted mistake of this crate.

use dynamo_types::planted::{PlantedBug, plant};

use crate::model::first_failure;

/// All in one test: a planted bug is on for the whole process.
#[test]
fn the_model_catches_every_planted_bug_and_nothing_else() {
    let bugs = [
        PlantedBug::ExtendAfterRestart,
        PlantedBug::LwwInMerge,
        PlantedBug::PutReplyCoversTooMuch,
        PlantedBug::DelayedFilterKeepsContext,
    ];
    for bug in bugs {
        plant(Some(bug));
        let (failure, played) = first_failure(0..20_000);
        plant(None);
        let failure = failure.unwrap_or_else(|| panic!("{} was not caught", bug.name()));
        println!("{} caught in history {played}: {failure}", bug.name());
    }
    assert_eq!(first_failure(0..500), (None, 500));
}
