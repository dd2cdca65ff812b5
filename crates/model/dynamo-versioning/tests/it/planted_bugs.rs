//! The model catches each mistake, in this crate and in what its callers do.

use std::fmt;

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
        plant(Some(*bug));
        let hunt = Hunt::for_mistake(Manner::KEPT);
        plant(None);
        println!("{}: {hunt}", bug.name());
        assert!(hunt.by_laws.is_some(), "{} was not caught", bug.name());
    }
    for rule in LeftOut::ALL.iter().filter(|rule| !LeftOut::ONLY_PLAYED.contains(rule)) {
        let hunt = Hunt::for_mistake(Manner::without(*rule));
        println!("{rule:?}: {hunt}");
        assert!(hunt.by_laws.is_some(), "{rule:?} was not caught");
    }
    let failure = first_failure(seeds(), Manner::KEPT);
    assert!(failure.is_none(), "{}", failure.unwrap().explained(Manner::KEPT));
}

/// Where a mistake was caught.
struct Hunt {
    by_laws: Option<Failure>,
    /// What clients alone would notice.
    by_promises: Option<Failure>,
}

impl Hunt {
    fn for_mistake(manner: Manner) -> Self {
        Self {
            by_laws: first_failure(0..CAUGHT_WITHIN, manner),
            by_promises: first_failure(0..CAUGHT_WITHIN, manner.by_promises()),
        }
    }
}

impl fmt::Display for Hunt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (by, failure) in [("laws", &self.by_laws), ("promises alone", &self.by_promises)] {
            match failure {
                Some(Failure { seed, violation }) => {
                    write!(f, "\n  by {by} in history {seed}: {violation}")?;
                }
                None => write!(f, "\n  not by {by}")?,
            }
        }
        Ok(())
    }
}
