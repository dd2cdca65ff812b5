//! Histories that break looser rules, played by the model: each passes with all rules kept, and
//! breaks a promise with one of them left out.

use crate::model::left_out::LeftOut;
use crate::model::script::Step::*;
use crate::model::script::{Fate, History, Step, Write};
use crate::scripts::{
    BLIND, DELETE, KEY, NEXT, OTHER_KEY, everywhere, holds, needs, put, read, rests_on, script,
};

/// With the pure merge, and with losses that are noticed, what the history first led to cannot
/// happen: `history_04_equal_live_dots_do_not_bring_a_deleted_version_back` plays it. Members that never
/// agree can.
#[test]
fn history_04_equal_live_dots_unequal_history() {
    let history = script(&[
        &everywhere(),
        // A tombstone beside a living version.
        &[put(1, BLIND), put(1, DELETE), DropAll { to: 0 }, DropAll { to: 2 }],
    ]);
    needs(LeftOut::TreeItemOfLivingDots, &history, "members differ");
}

#[test]
fn history_04_equal_live_dots_do_not_bring_a_deleted_version_back() {
    let history = script(&[
        &[put(0, BLIND), DeliverAll { to: 1 }, DropAll { to: 2 }],
        &[put(2, BLIND), DeliverAll { to: 0 }, DropAll { to: 1 }],
        // A client that read member 2 alone deletes what it saw, through member 0 and nobody else.
        &[read(&[2]), put(0, DELETE), DropAll { to: 1 }, DropAll { to: 2 }],
        // Members 0 and 1 show equal living versions; then 1 and 2 exchange what they have.
        &[Exchange { a: 0, b: 1 }, Exchange { a: 2, b: 1 }],
        &[read(&[1]), put(1, DELETE), DeliverAll { to: 0 }, DeliverAll { to: 2 }],
        &[CollectEverywhere],
    ]);
    holds(&history);
}

#[test]
fn history_06_a_hint_that_counted_outlives_a_full_hint_space_and_a_lost_disk() {
    let history = script(&[
        &[put(0, BLIND), Divert { message: 0, fallback: 0, acknowledging: true }],
        &[DropAll { to: 2 }, DropHints { fallback: 0 }, Damage { key: KEY, at: 0 }],
    ]);
    needs(LeftOut::AcknowledgingHintDropped, &history, "is lost");
}

#[test]
fn history_07_a_hint_that_changed_since_it_was_handed_over_stays() {
    let at_fallback = || PutAtFallback { at: 0, intended: 1, write: BLIND };
    let lost = || [DropAll { to: 0 }, DropAll { to: 2 }];
    let history = script(&[
        &[at_fallback()],
        &lost(),
        &[OfferHints { fallback: 0 }, at_fallback()],
        &lost(),
        &[HearOfHints { fallback: 0 }],
    ]);
    needs(LeftOut::HintRemovedUncompared, &history, "is lost");
}

#[test]
fn history_07_a_fallback_with_two_records_of_a_key_extends_neither() {
    let at_fallback = |intended, write| PutAtFallback { at: 0, intended, write };
    let history = script(&[
        &[at_fallback(1, BLIND), DropAll { to: 0 }, DropAll { to: 2 }],
        &[at_fallback(2, BLIND), DropAll { to: 0 }, DropAll { to: 1 }],
        // The client of the first put writes again, and knows nothing of the second.
        &[at_fallback(1, Write { context: Some(1), ..BLIND }), DropAll { to: 2 }],
    ]);
    needs(LeftOut::FallbackExtends, &history, "is lost");
}

#[test]
fn history_08_two_messages_of_one_turn_both_stay() {
    let history = script(&[
        &[put(0, BLIND), DropAll { to: 1 }, put(1, BLIND), DropAll { to: 0 }],
        &[DeliverTwo { message: 0 }, Damage { key: KEY, at: 0 }],
    ]);
    needs(LeftOut::MergeWithoutSlot, &history, "is lost");
}

#[test]
fn history_08_obsolete_is_answered_when_what_replaced_it_is_synced() {
    let history = History {
        lazy: true,
        ..script(&[
            &[put(0, BLIND), Sync { node: 0 }, DropAll { to: 2 }],
            &[put(1, NEXT), DropAll { to: 0 }, DropAll { to: 2 }],
            // The first version arrives at member 1, which loses power with the second unsynced.
            &[DeliverAll { to: 1 }, Crash { node: 1 }, Damage { key: KEY, at: 0 }],
        ])
    };
    needs(LeftOut::ObsoleteAnsweredUnsynced, &history, "is lost");
}

#[test]
fn history_10_a_number_that_was_sent_is_not_void() {
    let failed = Write { fate: Fate::StoreFailed, ..DELETE };
    let history = script(&[
        &everywhere(),
        &[put(2, failed), DeliverAll { to: 0 }, DeliverAll { to: 1 }, CollectEverywhere],
    ]);
    needs(LeftOut::SentNumberDeclaredVoid, &history, "is back");
}

/// The first process of fallback 0, among those that can be asked about.
const FALLBACK: usize = 3;

#[test]
fn history_10_numbers_stay_open_while_a_hint_has_them() {
    let history = script(&[
        &everywhere(),
        &[PutAtFallback { at: 0, intended: 2, write: DELETE }],
        &[DropAll { to: 0 }, DropAll { to: 1 }],
        &[AskForHintsOf { process: FALLBACK }, ExchangeEverywhere],
        &[CloseNumbers { closing: 0, at: 0 }, CloseNumbers { closing: 0, at: 1 }],
        &[OfferHints { fallback: 0 }, CollectEverywhere],
    ]);
    needs(LeftOut::ClosedWithHintsLeft, &history, "is back");
}

#[test]
fn history_10_numbers_stay_open_until_all_members_exchanged() {
    let history = script(&[
        &everywhere(),
        &[put(2, DELETE), DropAll { to: 0 }, DropAll { to: 1 }],
        &[AskForHintsOf { process: 2 }],
        &[CloseNumbers { closing: 0, at: 0 }, CloseNumbers { closing: 0, at: 1 }],
        &[CollectEverywhere],
    ]);
    needs(LeftOut::ClosedWithoutExchange, &history, "is back");
}

#[test]
fn history_10_exchanges_count_anew_when_a_member_lost_what_it_had_passed_on() {
    let sent = Write { fate: Fate::SentNotStored, ..DELETE };
    let history = History {
        lazy: true,
        ..script(&[
            &everywhere(),
            &[Sync { node: 0 }, Sync { node: 1 }, Sync { node: 2 }],
            // The delete reaches member 2 alone, and its coordinator's process ends.
            &[put(1, sent), DropAll { to: 0 }, DeliverAll { to: 2 }],
            &[AskForHintsOf { process: 0 }],
            // Member 0 exchanges with 1 before that has the delete, and with 2 after it lost it.
            &[Exchange { a: 0, b: 1 }, Exchange { a: 2, b: 1 }, Sync { node: 1 }],
            &[Crash { node: 2 }, Exchange { a: 0, b: 2 }],
            &[CloseNumbers { closing: 0, at: 0 }, Exchange { a: 1, b: 2 }, CollectEverywhere],
        ])
    };
    needs(LeftOut::ClosingOutlivesLosses, &history, "is back");
}

/// Every node starts anew while versions are deleted; the model demands that no tombstone is left.
#[test]
fn history_10_tombstones_go_to_zero_after_every_node_started_anew() {
    let crashes: Vec<Step> = (0..5).map(|node| Crash { node }).collect();
    let at_fallback = PutAtFallback { at: 0, intended: 1, write: BLIND };
    let other = Write { key: OTHER_KEY, ..BLIND };
    let history = script(&[
        // Versions that nobody but their coordinator ever had, and what replaced them.
        &[put(0, BLIND), put(0, other), put(0, NEXT), at_fallback],
        &[DropAll { to: 0 }, DropAll { to: 1 }, DropAll { to: 2 }],
        &crashes,
        &[read(&[0, 1, 2]), put(2, DELETE), put(0, Write { key: OTHER_KEY, ..DELETE })],
        &crashes,
    ]);
    holds(&history);
}

#[test]
fn history_11_a_rollback_of_a_member_that_coordinated_nothing_is_noticed() {
    let history = script(&[
        &everywhere(),
        &[BackUp, put(0, DELETE), ExchangeEverywhere, CollectEverywhere],
        &[DropAll { to: 1 }, DropAll { to: 2 }, Restore { at: 2 }],
    ]);
    needs(LeftOut::RollbackUnnoticed, &history, "is back");
}

/// All members have a tombstone beside a living version, and have cut down what it replaced. One
/// goes back to before the tombstone, and a repair gives it that back: its clock then has all that
/// it ever reported, and it holds what was replaced.
#[test]
fn history_11_a_rollback_is_noticed_although_all_dots_came_back() {
    let repair = Read { key: KEY, members: 0b001, fallbacks: 0, newest_wins: false, repair: true };
    let history = script(&[
        &[put(0, BLIND), put(1, BLIND), ExchangeEverywhere, BackUp],
        &[put(1, DELETE), ExchangeEverywhere, CollectEverywhere],
        &[DropAll { to: 0 }, DropAll { to: 1 }, DropAll { to: 2 }],
        &[Restore { at: 2 }, repair, DeliverAll { to: 2 }],
    ]);
    needs(LeftOut::RollbackSeenByClock, &history, "is back");
}

/// What member 0 cut down rests on a report of member 2 that member 1 never heard, and 1 learns
/// from 0 when it recovers.
#[test]
fn history_11_who_learns_a_horizon_learns_whose_reports_it_rests_on() {
    let repair =
        Read { key: KEY, members: 0b00001, fallbacks: 0, newest_wins: false, repair: true };
    let reports: Vec<Step> = (0..5)
        .map(|at| Checkpoint { at })
        .chain([0, 3, 4].into_iter().flat_map(|to| (0..5).map(move |from| Report { from, to })))
        .chain([0, 3, 4].map(|at| Collect { at }))
        .collect();
    let lost: Vec<Step> = (0..5).map(|to| DropAll { to }).collect();
    let history = History {
        members: 5,
        ..script(&[
            &[put(0, BLIND), put(1, BLIND), ExchangeEverywhere, BackUp],
            &[put(1, DELETE), ExchangeEverywhere],
            &reports,
            &lost,
            &[Restore { at: 2 }, repair, DeliverAll { to: 2 }, Damage { key: KEY, at: 1 }],
            &[0, 3, 4, 2].map(|other| RecoverWith { at: 1, other }),
            &[Exchange { a: 1, b: 0 }],
        ])
    };
    needs(LeftOut::ReportsNotTakenOver, &history, "is back");
}

/// Member 2 has stored a delete and not synced it, and the others collect by what it told them.
fn collected_by(told: &[Step]) -> History {
    History {
        lazy: true,
        ..script(&[
            &everywhere(),
            &[Sync { node: 0 }, Sync { node: 1 }, Sync { node: 2 }],
            &[put(0, DELETE), DeliverAll { to: 1 }, DeliverAll { to: 2 }],
            &[Checkpoint { at: 0 }, Checkpoint { at: 1 }, Report { from: 1, to: 0 }],
            told,
            &[Collect { at: 0 }, Crash { node: 2 }, read(&[2])],
        ])
    }
}

#[test]
fn history_12_a_live_clock_is_not_reported() {
    let history = collected_by(&[Report { from: 2, to: 0 }]);
    needs(LeftOut::ReportBeforeSync, &history, "after its delete was collected");
}

#[test]
fn history_12_a_clock_is_not_checkpointed_ahead_of_the_data() {
    let ahead = [Checkpoint { at: 2 }, Report { from: 2, to: 0 }];
    // With the rule the checkpoint syncs the data, and nothing is lost.
    let history = collected_by(&ahead);
    needs(LeftOut::CheckpointAheadOfData, &history, "after its delete was collected");
}

#[test]
fn history_12_the_collectors_own_clock_counts_as_checkpointed() {
    let history = script(&[
        // Member 1 never receives the version by itself; a late copy of it is under way.
        &[put(0, BLIND), DropAll { to: 2 }, put(0, DELETE), DropAll { to: 2 }],
        &[Exchange { a: 0, b: 1 }, Exchange { a: 0, b: 2 }],
        &[Checkpoint { at: 0 }, Checkpoint { at: 2 }],
        &[Report { from: 0, to: 1 }, Report { from: 2, to: 1 }, Collect { at: 1 }],
        &[Crash { node: 1 }, Deliver { message: 0, again: false, fails: false }, read(&[1])],
    ]);
    needs(LeftOut::CutByOwnLiveClock, &history, "after its delete was collected");
}

#[test]
fn history_12_a_late_hint_after_a_crash_finds_the_horizon() {
    let history = script(&[
        &[put(0, BLIND), Divert { message: 0, fallback: 0, acknowledging: true }],
        &[DropAll { to: 2 }, ExchangeEverywhere, put(0, DELETE), ExchangeEverywhere],
        &[CollectEverywhere, Crash { node: 1 }, OfferHints { fallback: 0 }, read(&[1])],
    ]);
    needs(LeftOut::ClockLostAtRestart, &history, "after its delete was collected");
}

#[test]
fn history_13_a_hint_is_not_shown_after_its_delete_was_collected() {
    let history = script(&[
        &[put(0, BLIND), Divert { message: 0, fallback: 0, acknowledging: true }],
        &[DeliverAll { to: 2 }, put(0, DELETE), ExchangeEverywhere, CollectEverywhere],
        // Member 1 is down again.
        &[Read { key: KEY, members: 0b001, fallbacks: 0b01, newest_wins: false, repair: true }],
    ]);
    needs(LeftOut::ReadBelievesHints, &history, "after its delete was collected");
}

#[test]
fn history_13_a_read_that_overlaps_a_delete_brings_nothing_back() {
    let history = script(&[
        &everywhere(),
        &[AnswerEarly { key: KEY, member: 1 }],
        &[put(0, DELETE), ExchangeEverywhere, CollectEverywhere],
        &[Read { key: KEY, members: 0, fallbacks: 0, newest_wins: false, repair: true }],
        &[DeliverAll { to: 0 }, DeliverAll { to: 1 }, DeliverAll { to: 2 }],
    ]);
    needs(LeftOut::ReadRepairsAsState, &history, "is back");
}

#[test]
fn history_14_notfound_needs_a_replica() {
    let stored = [put(0, BLIND), DeliverAll { to: 1 }, DropAll { to: 2 }];
    // All three replicas are paused: two fallbacks that have no hint cannot say that it is missing.
    let nobody = Read { key: KEY, members: 0, fallbacks: 0b11, newest_wins: false, repair: false };
    needs(LeftOut::FallbackMissingCounts, &script(&[&stored, &[nobody]]), "misses write");
    // Nor can a member that knows that it lost something.
    let damaged = [Damage { key: KEY, at: 1 }, read(&[1, 2])];
    needs(LeftOut::IncompleteCountsForReads, &script(&[&stored, &damaged]), "misses write");
}

#[test]
fn history_15_what_expired_leaves_by_the_cut_alone() {
    let brief = Write { expires_in: Some(1), ..NEXT };
    let history = script(&[
        // Member 2 hears of the second version, which expires; the first is late.
        &[put(0, BLIND), put(0, brief), DeliverAll { to: 1 }],
        &[Deliver { message: 1, again: false, fails: false }, Collect { at: 2 }],
        &[Deliver { message: 0, again: false, fails: false }, read(&[2])],
    ]);
    needs(LeftOut::ExpiredRemovedByTime, &history, "after its delete was collected");
}

/// Member 2's wall clock is ahead.
fn hasty(history: History) -> History {
    History { skews: [0, 0, 60, 0, 0, 0, 0], ..history }
}

#[test]
fn history_15_a_clock_that_is_ahead_removes_nothing_of_others() {
    let lasting = Write { expires_in: Some(40), ..BLIND };
    let history = hasty(script(&[&[put(0, lasting), ExchangeEverywhere, read(&[0, 1])]]));
    needs(LeftOut::ExpiredDroppedOnStore, &history, "misses write");
}

#[test]
fn history_15_what_is_collectable_here_is_not_stored_again() {
    needs(LeftOut::CollectableStoredAgain, &script(&[&everywhere(), &[put(0, DELETE)]]), "again");
}

/// To the members whose clocks are ahead the version is merely expired; that its delete was
/// collected they must say all the same, or it lives on where it came back.
#[test]
fn history_15_what_is_beyond_the_horizon_is_refused_even_if_it_expired() {
    let lasting = Write { expires_in: Some(50), ..BLIND };
    let steps = [
        &[put(0, lasting), ExchangeEverywhere, BackUp][..],
        &[put(0, DELETE), ExchangeEverywhere, CollectEverywhere],
        &[DropAll { to: 1 }, DropAll { to: 2 }, Restore { at: 2 }],
    ];
    let history = History { skews: [60, 60, 0, 0, 0, 0, 0], ..script(&steps) };
    needs(LeftOut::CollectableBeforeHorizon, &history, "is back");
}

/// A process that ends in an exchange takes along what its disk had not synced, and its clock from
/// before said that it had it.
#[test]
fn an_exchange_ends_with_the_process_of_either_side() {
    let history = History {
        lazy: true,
        ..script(&[
            &everywhere(),
            &[Sync { node: 0 }, Sync { node: 1 }, Sync { node: 2 }],
            &[put(0, DELETE), DropAll { to: 1 }, DeliverAll { to: 2 }, Sync { node: 2 }],
            &[OpenSession { a: 0, b: 1 }, Crash { node: 0 }],
            &[SessionKey { session: 0, key: KEY }, SessionKey { session: 0, key: OTHER_KEY }],
            &[EndSession { session: 0 }, Exchange { a: 0, b: 2 }, CollectEverywhere],
        ])
    };
    needs(LeftOut::SessionOutlivesItsSides, &history, "is back");
}

#[test]
fn incomplete_mode_ends_after_an_exchange_with_every_other_member() {
    let history = script(&[
        &[put(1, BLIND), DropAll { to: 0 }, DeliverAll { to: 2 }, Damage { key: KEY, at: 2 }],
        &[RecoverWith { at: 2, other: 0 }, read(&[0, 2])],
    ]);
    needs(LeftOut::IncompleteEndsAfterOneExchange, &history, "misses write");
}

/// Two of three members are incomplete, and one has an old copy. The other has learned from the
/// third what was collected, and must not take it.
#[test]
fn an_incomplete_member_judges_by_what_it_has_learned() {
    let other = Write { key: OTHER_KEY, ..BLIND };
    let history = script(&[
        &[put(0, other), put(0, BLIND), DropAll { to: 1 }, ExchangeEverywhere],
        &[put(2, DELETE), DropAll { to: 0 }, DropAll { to: 1 }],
        &[ExchangeEverywhere, CollectEverywhere],
        &[put(2, BLIND), DropAll { to: 0 }, DropAll { to: 1 }],
        &[Damage { key: OTHER_KEY, at: 0 }, Damage { key: KEY, at: 2 }],
        // Old copies of both versions are delivered to the incomplete member 2.
        &[DeliverAll { to: 2 }],
        &[RecoverWith { at: 0, other: 1 }, RecoverWith { at: 0, other: 2 }],
    ]);
    needs(LeftOut::IncompleteJudgesByNothing, &history, "is back");
}

#[test]
fn a_partial_exchange_joins_no_clocks() {
    let history = script(&[
        &everywhere(),
        &[put(0, DELETE), DropAll { to: 1 }, DropAll { to: 2 }],
        &[put(0, Write { key: OTHER_KEY, ..BLIND }), DropAll { to: 1 }, DropAll { to: 2 }],
        &[OpenSession { a: 0, b: 1 }, SessionKey { session: 0, key: OTHER_KEY }],
        &[EndSession { session: 0 }, Exchange { a: 0, b: 2 }, CollectEverywhere],
    ]);
    needs(LeftOut::JoinAfterBrokenExchange, &history, "is back");
}

#[test]
fn a_clock_does_not_advance_before_its_store_has_ended() {
    let history = script(&[
        &everywhere(),
        &[put(0, DELETE), DropAll { to: 2 }, Deliver { message: 0, again: false, fails: true }],
        &[Exchange { a: 0, b: 2 }, CollectEverywhere],
    ]);
    needs(LeftOut::ClockAheadOfStore, &history, "is back");
}

/// Member 0 has cut down what a version replaced, and then loses another record. Nobody gives it
/// the version again, since it has that; only its horizon still says what the version replaced.
#[test]
fn an_incomplete_member_keeps_its_horizon() {
    let reports = [1, 2].map(|from| Report { from, to: 0 });
    let history = script(&[
        &[put(0, Write { key: OTHER_KEY, ..BLIND }), put(0, BLIND), put(0, NEXT)],
        &[ExchangeEverywhere, Checkpoint { at: 0 }, Checkpoint { at: 1 }, Checkpoint { at: 2 }],
        &reports,
        &[Collect { at: 0 }, Damage { key: OTHER_KEY, at: 0 }],
    ]);
    rests_on(LeftOut::IncompleteForgetsHorizon, &history, "and it has not");
}

/// Members 0 and 1 cut a context down, a repair carries what is left to member 2, whose disk is an
/// old one, and then both lose the cutting. Member 2 holds the same versions as they do, so nobody
/// gives it what is missing.
#[test]
fn a_collection_is_synced_before_others_see_it() {
    let repair = Read { key: KEY, members: 0b011, fallbacks: 0, newest_wins: false, repair: true };
    let history = History {
        lazy: true,
        ..script(&[
            &[put(2, BLIND), put(2, DELETE), put(0, BLIND), BackUp],
            &[ExchangeEverywhere, CollectEverywhere, Restore { at: 2 }, repair],
            // It learns that its disk is an old one.
            &[RecoverWith { at: 0, other: 2 }, DeliverAll { to: 2 }],
            &[Crash { node: 0 }, Crash { node: 1 }],
        ])
    };
    rests_on(LeftOut::CollectionSeenUnsynced, &history, "and it has not");
}
