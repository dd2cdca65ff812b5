//! Mistakes of those who use this crate: one rule that they keep, left out on purpose.
//!
//! Mistakes inside the crate are planted bugs (`dynamo_types::planted`). The table in the header of
//! the model tells which rule each belongs to.

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
}
