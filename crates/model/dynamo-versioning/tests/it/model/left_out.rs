//! The rules of replication, how histories exercise them, and the mistake that leaves each out.
//!
//! Numbers are those of the protocol's rules. A mistake in `snake_case` lies inside this crate and is
//! a planted bug (`dynamo_types::planted`); one in `CamelCase` lies in what callers of this crate do
//! and is a [`LeftOut`]. Every mistake is caught in 20,000 random histories, or in a history that is
//! written down (`played_histories.rs`) where the coincidence that it takes is too rare.
//!
//! | rule | exercised by | mistake |
//! |---|---|---|
//! | 1 every process start is a new actor | `Crash`, fates of puts | `ActorReusedAfterRestart` |
//! | 1 only a process's own interval is extended, above the floor | puts that fail, rows that come back by a merge | `extend_after_restart`, `FloorKeptAfterFailedStore` |
//! | 1 fallbacks never extend | `PutAtFallback` for several members | `FallbackExtends` |
//! | 1 the floor rises when a record was found damaged | `Damage` | none: the row's note is gone with it, see below |
//! | 2 merge is the pure dotted join | every step | `lww_in_merge`, `tombstones_dropped_in_merge`, `merge_forgets_replaced`, `ExpiredDroppedOnStore` |
//! | 2 the context handed out covers all behind the view | `Read` | `view_covers_what_it_shows` |
//! | 2 the newest wins: a put covers all that is held | `Put` with `newest_wins` | `NewestLeavesOthers` |
//! | 2 a version is later than what it covers | skewed clocks | `hlc_by_clock_alone` |
//! | 3 one slot for each key | `DeliverTwo` | `MergeWithoutSlot` |
//! | 3 the clock advances on `Stored` | `Deliver` that fails | `ClockAheadOfStore` |
//! | 3 obsolete is answered when what replaced it is synced; copies count when synced | disks that sync at steps of their own | `ObsoleteAnsweredUnsynced`, `AckBeforeSync` |
//! | 4 a clock takes in versions, not contexts | two keys that share counters | `clock_takes_contexts` |
//! | 4 obsolete needs proof; what is lost is taken back and noticed | `LoseSilently`, late messages | `delayed_believes_clock`, `LossNotNoticed` |
//! | 4 a version turned away takes its dot out of the message | the same | `delayed_filter_keeps_ctx` |
//! | 4 a message for one version claims what that replaced, no less and no more | siblings, messages lost | `claim_forgets_replaced`, `write_claims_whole_context` |
//! | 4 state needs the horizon test, and the sender's clock from before its records | `SendState`, sessions | `state_without_horizon_test`, `StateClockTakenLater` |
//! | 4 clocks and horizons are joined after a complete exchange, and only then | `EndSession`, `SendSomePieces` | `JoinAfterBrokenExchange`, `SessionOutlivesItsSides`, `HorizonNotJoined` |
//! | 4 incomplete mode forgets its dots and publishes none | `Damage`, `Restore` | `IncompleteKeepsClock`, `IncompleteForgottenAtRestart` |
//! | 4 it keeps its horizon | the same | `IncompleteForgetsHorizon` |
//! | 4 it does not count for reads | `Read` | `IncompleteCountsForReads` |
//! | 4 it collects nothing | `Collect` | none: the cut without its clock is empty |
//! | 4 it offers what it has, and drops what others refuse | `RecoverWith` | `IncompleteOffersNothing`, `IncompleteKeepsRefused` |
//! | 4 it judges by what it has learned, also what other incomplete members send | two members at a time | `IncompleteJudgesByNothing` |
//! | 4 it ends after an exchange with every other member, incomplete ones included | `RecoverWith` | `IncompleteEndsAfterOneExchange`, `IncompleteWaitsForComplete` |
//! | 4 a rollback is noticed by the last report | `BackUp`, `Restore` | `RollbackUnnoticed`, `RollbackSeenByClock`, `ReportsNotTakenOver` |
//! | 4 what is reported is the last synced checkpoint, and it is there after a restart | `Checkpoint`, `Report`, `Crash` | `ReportBeforeSync`, `ClockLostAtRestart`, `HorizonOnlyInMemory` |
//! | 4 a checkpoint is not ahead of the data | the same | `CheckpointAheadOfData` |
//! | 5 the cut is what all members have for good, the collector included | `Collect` | `CutWithoutReport`, `CutByOwnLiveClock` |
//! | 5 the whole context is inside the cut | the same | `collect_dots_only`, `prune_per_interval` |
//! | 5 what was covered joins the horizon, siblings' dots included | late copies | `HorizonNotKept`, `HorizonWithoutSiblings` |
//! | 5 a collection is synced before others see it | `Collect`, `Crash` | `CollectionSeenUnsynced` |
//! | 5 what expired leaves by the cut alone | skewed clocks | `ExpiredRemovedByTime` |
//! | 5 what is collectable here is acknowledged and not stored; beyond the horizon it is refused | the end of each history | `CollectableStoredAgain`, `CollectableBeforeHorizon` |
//! | 5 a number is void only if it was neither stored nor sent | fates of puts | `SentNumberDeclaredVoid` |
//! | 5 numbers are closed when no hint has them and the members have exchanged | `AskForHintsOf`, `CloseNumbers` | `ClosedWithHintsLeft`, `ClosedWithoutExchange`, `ClosingOutlivesLosses` |
//! | 6 records are equal if all their siblings are | `Exchange` | `TreeItemOfLivingDots` |
//! | 7 a put's reply covers what its client saw | `Put` | `put_reply_covers_too_much` |
//! | 7 missing counts from members alone | `Read` from fallbacks | `FallbackMissingCounts` |
//! | 7 hints and late answers are asked about | `AnswerEarly`, `Read` | `ReadBelievesHints` |
//! | 7 read repair sends delayed | the same | `ReadRepairsAsState` |
//! | 7 a hint that counted is not dropped | `DropHints` | `AcknowledgingHintDropped` |
//! | 7 a hint is removed if it still equals what the member has safely | `OfferHints`, `HearOfHints` | `HintRemovedUncompared`, `AckBeforeSync` |
//!
//! Two sentences have no mistake, since what they forbid cannot be told from what they allow. A
//! damaged row takes its note along, so no put would extend an interval of it anyway. And a cut that
//! takes in no clock of an incomplete collector is empty.
//!
//! Sections of the rules that change who the members are, retries under a request id, quorums and
//! deadlines belong to the crates above; the simulator plays them.

/// A rule that the model's members and fallbacks leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LeftOut {
    /// A process that starts goes on under its node's former actor, counting from the start.
    ActorReusedAfterRestart,
    /// A store that failed after its put was sent does not raise the floor.
    FloorKeptAfterFailedStore,
    /// A fallback extends its own intervals like a member.
    FallbackExtends,
    /// What has expired by the local clock is dropped from every record that is stored.
    ExpiredDroppedOnStore,
    /// A put where the newest wins replaces only what its client saw.
    NewestLeavesOthers,
    /// Two messages of one turn are both merged into the record as it was before the turn.
    MergeWithoutSlot,
    /// The clock takes a version in before its store ended, and the store fails.
    ClockAheadOfStore,
    /// A version counts as obsolete, and so as acknowledged, before what replaced it is synced.
    ObsoleteAnsweredUnsynced,
    /// A copy counts before it is synced, also where a hint is given up for it.
    AckBeforeSync,
    /// A version that the clock has and the store has lost is taken in without a second thought.
    LossNotNoticed,
    /// Clocks are joined although the exchange broke off.
    JoinAfterBrokenExchange,
    /// An exchange goes on although one side restarted or became incomplete meanwhile.
    SessionOutlivesItsSides,
    /// State carries the sender's clock of the moment it arrives, not from before its records.
    StateClockTakenLater,
    /// A complete exchange joins clocks and leaves horizons alone.
    HorizonNotJoined,
    /// An incomplete member keeps its clock and goes on reporting it.
    IncompleteKeepsClock,
    /// An incomplete member forgets its horizon with its clock.
    IncompleteForgetsHorizon,
    /// An incomplete member's answers count in reads.
    IncompleteCountsForReads,
    /// An incomplete member takes the others' records and offers none of its own.
    IncompleteOffersNothing,
    /// An incomplete member keeps what the others refuse as collected.
    IncompleteKeepsRefused,
    /// An incomplete member judges messages by an empty clock, whatever it has learned since.
    IncompleteJudgesByNothing,
    /// Incomplete mode ends with the first exchange.
    IncompleteEndsAfterOneExchange,
    /// Incomplete mode waits for members that are complete themselves.
    IncompleteWaitsForComplete,
    /// Incomplete mode is only known in memory.
    IncompleteForgottenAtRestart,
    /// Nobody compares a member's disk with its last report.
    RollbackUnnoticed,
    /// A disk counts as rolled back only if its clock lacks anything of its last report.
    RollbackSeenByClock,
    /// An incomplete member learns the others' horizons, but not whose reports those rest on.
    ReportsNotTakenOver,
    /// `report_before_sync`: the live clock is reported.
    ReportBeforeSync,
    /// A process starts with an empty clock.
    ClockLostAtRestart,
    /// A clock checkpoint is synced ahead of the data.
    CheckpointAheadOfData,
    /// The horizon is only in memory.
    HorizonOnlyInMemory,
    /// A member that has not reported counts as one that has everything.
    CutWithoutReport,
    /// The collector's own part of the cut is its live clock.
    CutByOwnLiveClock,
    /// What is collected or cut down does not join the horizon.
    HorizonNotKept,
    /// The horizon takes in what was covered, without the siblings' own dots.
    HorizonWithoutSiblings,
    /// Others see what a member has collected or cut down before that is synced.
    CollectionSeenUnsynced,
    /// A member removes what has expired by its own clock, without a cut or a horizon.
    ExpiredRemovedByTime,
    /// What is collectable here is stored again when another member still has it.
    CollectableStoredAgain,
    /// What is collectable here is acknowledged before the horizon is looked at.
    CollectableBeforeHorizon,
    /// `void_lease_gap`: a number whose local store failed counts as void although it was sent.
    SentNumberDeclaredVoid,
    /// The numbers of an ended process are closed while hints or messages with them are left.
    ClosedWithHintsLeft,
    /// The numbers of an ended process are closed before all members exchanged.
    ClosedWithoutExchange,
    /// The exchanges that let numbers be closed count although a member lost something meanwhile.
    ClosingOutlivesLosses,
    /// Records count as equal if their living siblings are.
    TreeItemOfLivingDots,
    /// A full hint space drops hints that were acknowledged.
    AcknowledgingHintDropped,
    /// A hint that was handed over is removed although it has changed since.
    HintRemovedUncompared,
    /// A read shows what a hint or a late reply holds without asking a member about it.
    ReadBelievesHints,
    /// A read sends members what they lack as state.
    ReadRepairsAsState,
    /// A fallback without a hint answers that the key is missing, and that counts.
    FallbackMissingCounts,
}

#[cfg(planted_bugs)]
impl LeftOut {
    pub(crate) const ALL: &[Self] = &[
        Self::ActorReusedAfterRestart,
        Self::FloorKeptAfterFailedStore,
        Self::FallbackExtends,
        Self::ExpiredDroppedOnStore,
        Self::NewestLeavesOthers,
        Self::MergeWithoutSlot,
        Self::ClockAheadOfStore,
        Self::ObsoleteAnsweredUnsynced,
        Self::AckBeforeSync,
        Self::LossNotNoticed,
        Self::JoinAfterBrokenExchange,
        Self::SessionOutlivesItsSides,
        Self::StateClockTakenLater,
        Self::HorizonNotJoined,
        Self::IncompleteKeepsClock,
        Self::IncompleteForgetsHorizon,
        Self::IncompleteCountsForReads,
        Self::IncompleteOffersNothing,
        Self::IncompleteKeepsRefused,
        Self::IncompleteJudgesByNothing,
        Self::IncompleteEndsAfterOneExchange,
        Self::IncompleteWaitsForComplete,
        Self::IncompleteForgottenAtRestart,
        Self::RollbackUnnoticed,
        Self::RollbackSeenByClock,
        Self::ReportsNotTakenOver,
        Self::ReportBeforeSync,
        Self::ClockLostAtRestart,
        Self::CheckpointAheadOfData,
        Self::HorizonOnlyInMemory,
        Self::CutWithoutReport,
        Self::CutByOwnLiveClock,
        Self::HorizonNotKept,
        Self::HorizonWithoutSiblings,
        Self::CollectionSeenUnsynced,
        Self::ExpiredRemovedByTime,
        Self::CollectableStoredAgain,
        Self::CollectableBeforeHorizon,
        Self::SentNumberDeclaredVoid,
        Self::ClosedWithHintsLeft,
        Self::ClosedWithoutExchange,
        Self::ClosingOutlivesLosses,
        Self::TreeItemOfLivingDots,
        Self::AcknowledgingHintDropped,
        Self::HintRemovedUncompared,
        Self::ReadBelievesHints,
        Self::ReadRepairsAsState,
        Self::FallbackMissingCounts,
    ];

    /// Those that only a played history shows: random ones bring their coincidence about too
    /// seldom.
    pub(crate) const ONLY_PLAYED: &[Self] = &[
        Self::SessionOutlivesItsSides,
        Self::IncompleteEndsAfterOneExchange,
        Self::ReportsNotTakenOver,
        Self::CutByOwnLiveClock,
        Self::CollectionSeenUnsynced,
        Self::ClosingOutlivesLosses,
    ];
}
