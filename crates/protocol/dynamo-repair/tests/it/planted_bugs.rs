//! The laws catch the planted mistake of this crate.

use dynamo_types::planted::{PlantedBug, plant};

use crate::histories::first_failure;

/// All in one test: a planted bug is on for the whole process.
#[test]
fn the_laws_catch_every_planted_bug_and_nothing_else() {
    let bug = PlantedBug::PartialExchangeJoinsClocks;
    plant(Some(bug));
    let (failure, played) = first_failure(0..200);
    plant(None);
    let failure = failure.unwrap_or_else(|| panic!("{} was not caught", bug.name()));
    println!("{} caught in history {played}: {failure}", bug.name());
    assert!(failure.ends_with("V4"), "{failure}");
    assert_eq!(first_failure(0..50), (None, 50));
}
