//! The check finds every rule that is broken inside the machines.

use dynamo_register::Goal;
use dynamo_types::planted::{Finder, PlantedBug, plant};

use crate::model::{Begun, Scope, broken, set};

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
        PlantedBug::NextSetVotes | PlantedBug::VotesBelowPromise => {
            Scope { steps: 1, ..Scope::two_plans() }
        }
        PlantedBug::ForgetfulVotesOnceTold => Scope {
            steps: 1,
            restarts: 1,
            rollback: true,
            begun: Begun::Steps,
            ..Scope::three_nodes()
        },
        PlantedBug::ReadsSwitchWhenSynced => {
            // The cancellation must outrank the plan that one member votes for.
            let first = requests.first();
            let orders = [[0, 1, 3], [0, 3, 1], [1, 0, 3], [1, 3, 0], [3, 0, 1], [3, 1, 0]];
            let cancelled = first.propose(1, first.current).unwrap();
            let plans = orders.map(|order| set(&order));
            let mut plans = plans.into_iter();
            let plan = plans.find(|plan| first.propose(1, *plan).unwrap() < cancelled).unwrap();
            Scope {
                goals: vec![Goal::Move(plan), Goal::Cancel],
                begun: Begun::FirstSynced,
                ..requests
            }
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
