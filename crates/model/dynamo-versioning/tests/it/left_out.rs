//! Each rule of replication that the model's members leave out is missed: by random histories, or by
//! one that is played on purpose (`played_histories`) where random ones take too long.

use crate::model::first_failure;
use crate::model::left_out::LeftOut;

/// Histories within which a random one must show what is wrong.
const HISTORIES: u64 = 2_500;

/// Rules whose absence shows in fewer than one of thousands of random histories. Each has a played
/// history.
const RARE: &[LeftOut] = &[
    LeftOut::SessionOutlivesItsSides,
    LeftOut::IncompleteJudgesByNothing,
    LeftOut::IncompleteEndsAfterOneExchange,
    LeftOut::RollbackUnnoticed,
    LeftOut::RollbackSeenByClock,
    LeftOut::ReportsNotTakenOver,
    LeftOut::CutByOwnLiveClock,
    LeftOut::CollectableBeforeHorizon,
    LeftOut::ClosedWithHintsLeft,
    LeftOut::ClosedWithoutExchange,
    LeftOut::ClosingOutlivesLosses,
    LeftOut::HintRemovedUncompared,
];

#[test]
fn random_histories_miss_each_rule_that_is_left_out() {
    for rule in LeftOut::ALL.iter().filter(|rule| !RARE.contains(rule)) {
        let failure = first_failure(0..HISTORIES, Some(*rule), true, 2);
        assert!(failure.is_some(), "nothing was wrong without {rule:?}");
    }
}
