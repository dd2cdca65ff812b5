//! The check finds every rule that is broken inside the machines.

use dynamo_register::Goal;
use dynamo_types::planted::{Finder, PlantedBug, plant};

use crate::model::{Scope, broken, set};

const MADE_MAX: usize = 3_000_000;

/// Where each mistake shows.
fn scope(bug: PlantedBug) -> Scope {
    let requests = Scope {
        requests: true,
        steps: 1,
        goals: vec![Goal::Move(set(&[0, 1, 3]))],
        ..Scope::two_plans()
    };
    match bug {
        PlantedBug::NextSetVotes | PlantedBug::VotesWithoutStanding => {
            Scope { steps: 1, ..Scope::two_plans() }
        }
        PlantedBug::ForgetfulVotesOnceTold => {
            Scope { steps: 1, restarts: 1, rollback: true, ..Scope::three_nodes() }
        }
        PlantedBug::ReadsSwitchWhenSynced => {
            Scope { requests: true, steps: 1, ..Scope::two_plans() }
        }
        _ => requests,
    }
}

/// All in one test: a planted bug is on for the whole process.
#[test]
fn the_check_finds_every_planted_bug() {
    let theirs = PlantedBug::ALL.iter().filter(|bug| bug.finder() == Finder::RegisterModel);
    for bug in theirs {
        plant(Some(*bug));
        let found = broken(bug.name(), scope(*bug), MADE_MAX);
        plant(None);
        assert!(found.is_some(), "{} was not found", bug.name());
    }
}
