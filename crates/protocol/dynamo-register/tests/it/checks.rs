//! The bounded checks: every state within a scope keeps the properties, and each rule of the
//! surroundings that is broken on purpose is found.

use dynamo_register::Goal;

use crate::model::{Mistake, NO_OTHER_WINS, ONE_SET, READ_SEES_PUT, Scope, broken, set};

/// States that one check makes at most, those that are made twice included.
const MADE_MAX: usize = 1_500_000;

fn holds(name: &str, scope: Scope) {
    assert_eq!(broken(name, scope, MADE_MAX), None);
}

fn is_found(name: &str, scope: Scope, properties: &[&str]) {
    let (found, _) = broken(name, scope, MADE_MAX).expect("the mistake shows");
    assert!(properties.contains(&found), "{found}");
}

#[test]
fn rivals_end_with_one_set_and_can_always_end() {
    holds("two plans, four nodes", Scope { steps: 1, ..Scope::two_plans() });
    holds("two plans, three nodes", Scope::two_copies());
    holds("plan and cancel, four nodes", Scope { steps: 1, ..Scope::plan_and_cancel() });
    holds("two orders, three nodes", Scope { steps: 1, ..Scope::three_nodes() });
}

#[test]
fn rivals_end_with_one_set_though_a_member_restarts() {
    holds("restart, three nodes", Scope { restarts: 1, ..Scope::two_copies() });
    holds("restart, four nodes", Scope { steps: 1, restarts: 1, ..Scope::two_plans() });
}

#[test]
fn a_member_that_forgot_its_votes_does_no_harm() {
    let scope = Scope { steps: 1, restarts: 1, rollback: true, ..Scope::three_nodes() };
    holds("rollback, three nodes", scope);
}

#[test]
fn an_answer_before_the_sync_lets_two_sets_be_decided() {
    let mistake = Some(Mistake::AnswersBeforeSync);
    let scope = Scope { steps: 1, restarts: 1, mistake, ..Scope::two_plans() };
    is_found("answers before sync", scope, &[ONE_SET, NO_OTHER_WINS]);
}

fn one_plan() -> Scope {
    let goals = vec![Goal::Move(set(&[0, 1, 3]))];
    Scope { requests: true, steps: 1, goals, ..Scope::two_plans() }
}

#[test]
fn an_acknowledged_put_is_in_every_read_of_every_later_stage() {
    let goals = vec![Scope::two_copies().goals[0]];
    let two_copies = Scope { requests: true, steps: 1, goals, ..Scope::two_copies() };
    holds("one plan, three nodes, put and get", two_copies);
    holds("one plan, four nodes, put and get", one_plan());
    let two = Scope { requests: true, steps: 1, ..Scope::two_copies() };
    holds("two plans, three nodes, put and get", two);
    holds(
        "two plans, four nodes, put and get",
        Scope { requests: true, steps: 1, ..Scope::two_plans() },
    );
}

#[test]
fn a_copy_from_before_the_fence_misses_a_put() {
    let mistake = Some(Mistake::CopiesBeforeFence);
    is_found("copies before fence", Scope { mistake, ..one_plan() }, &[READ_SEES_PUT]);
}
