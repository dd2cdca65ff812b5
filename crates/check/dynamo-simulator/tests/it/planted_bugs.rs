//! Scripts catch the mistakes whose coincidence no random run meets.

use std::panic::catch_unwind;

use dynamo_types::planted::{Finder, PlantedBug, plant};

use crate::collected::{
    a_delete_that_one_replica_may_lose_is_not_collected,
    a_hint_is_not_shown_after_its_delete_was_collected,
    a_tombstone_stays_while_what_it_replaced_is_on_its_way,
};
use crate::elastic_members::{
    history_21_double_force_then_heal,
    history_24_a_dead_new_member_holds_a_leave_up_until_it_is_replaced,
};
use crate::moved::{
    a_get_of_who_is_behind_is_not_answered_by_a_leaver, a_joiner_is_filled_by_a_majority,
    a_put_of_who_is_behind_needs_both_sets,
};

/// Tells what it ended with if a promise is broken.
type History = fn() -> Result<(), String>;

const CAUGHT_BY: [(PlantedBug, History); 9] = [
    (PlantedBug::HintsReadWithoutAsking, a_hint_is_not_shown_after_its_delete_was_collected),
    (PlantedBug::CollectDotsOnly, a_tombstone_stays_while_what_it_replaced_is_on_its_way),
    (PlantedBug::ReportBeforeSync, a_delete_that_one_replica_may_lose_is_not_collected),
    (PlantedBug::StaleWritesTaken, a_put_of_who_is_behind_needs_both_sets),
    (PlantedBug::PutKeepsItsSets, a_put_of_who_is_behind_needs_both_sets),
    (PlantedBug::FormerMemberAnswers, a_get_of_who_is_behind_is_not_answered_by_a_leaver),
    (PlantedBug::JoinerCompleteAtOnce, a_joiner_is_filled_by_a_majority),
    (PlantedBug::LeftoversNotOffered, || played(history_21_double_force_then_heal)),
    (PlantedBug::LeaverWipedAfterOne, || {
        played(history_24_a_dead_new_member_holds_a_leave_up_until_it_is_replaced)
    }),
];

/// Of a history that panics if a promise is broken.
fn played(history: fn()) -> Result<(), String> {
    catch_unwind(history).map_err(|_| "the history panicked, see above".to_owned())
}

/// All in one test: a planted bug is on for the whole process.
#[test]
fn scripts_catch_their_planted_bugs_and_nothing_else() {
    for (bug, history) in CAUGHT_BY {
        plant(Some(bug));
        let outcome = history();
        plant(None);
        let name = bug.name();
        let caught = outcome.expect_err(&format!("{name} was not caught"));
        println!("{name}: {caught}");
        assert_eq!(history(), Ok(()), "without {name}");
    }
    let theirs = PlantedBug::ALL.iter().filter(|bug| bug.finder() == Finder::Scripts);
    for bug in theirs {
        assert!(CAUGHT_BY.iter().any(|(caught, _)| caught == bug), "{} has no script", bug.name());
    }
}
