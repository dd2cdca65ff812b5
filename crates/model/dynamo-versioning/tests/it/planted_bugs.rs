//! The model catches each mistake, in this crate and in what its callers do.

use dynamo_types::planted::{Finder, PlantedBug, plant};

use crate::model::left_out::LeftOut;
use crate::model::{Failure, Manner, first_failure};
use crate::random_histories::seeds;

/// Each mistake must be caught in so many histories.
const CAUGHT_WITHIN: u64 = 20_000;

/// Bugs of this crate that the simulator, or nobody else, is to find as well.
const ALSO_OURS: [PlantedBug; 5] = [
    PlantedBug::ExtendAfterRestart,
    PlantedBug::LwwInMerge,
    PlantedBug::PutReplyCoversTooMuch,
    PlantedBug::DelayedFilterKeepsContext,
    PlantedBug::CollectDotsOnly,
];

/// All in one test: a planted bug is on for the whole process.
#[test]
fn the_model_catches_every_mistake_and_nothing_else() {
    let models = PlantedBug::ALL.iter().filter(|bug| bug.finder() == Finder::Model);
    for bug in models.chain(&ALSO_OURS) {
        println!("{}:", bug.name());
        plant(Some(*bug));
        let caught = caught(Manner::KEPT);
        plant(None);
        assert!(caught, "{} was not caught", bug.name());
    }
    for rule in LeftOut::ALL.iter().filter(|rule| !LeftOut::ONLY_PLAYED.contains(rule)) {
        println!("{rule:?}:");
        assert!(caught(Manner::without(*rule)), "{rule:?} was not caught");
    }
    let failure = first_failure(seeds(), Manner::KEPT);
    assert!(failure.is_none(), "{}", failure.unwrap().explained(Manner::KEPT));
}

/// Whether a mistake is caught; prints where, and whether clients alone would notice.
fn caught(manner: Manner) -> bool {
    let failures =
        [("laws", manner), ("promises alone", manner.by_promises())].map(|(by, manner)| {
            let failure = first_failure(0..CAUGHT_WITHIN, manner);
            match &failure {
                Some(Failure { seed, violation }) => {
                    println!("  by {by} in history {seed}: {violation}")
                }
                None => println!("  not by {by}"),
            }
            failure
        });
    failures[0].is_some()
}
