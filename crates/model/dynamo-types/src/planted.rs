//! Planted bugs: known mistakes that the simulator switches on to prove that its checks have teeth.
//!
//! They exist only under `--cfg planted_bugs`, which `cargo xtask simulate` sets in a target
//! directory of its own. In every other build [`planted`] is a constant `false`, so the mistake is
//! not in the program at all.

/// A mistake that can be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlantedBug {
    /// A replica acknowledges a write before its store is synced.
    AckBeforeSync,
    /// A coordinator extends an interval that an earlier process or a lost record left behind.
    ExtendAfterRestart,
    /// Merge keeps only the last write.
    LwwInMerge,
    /// A replica write is merged outside the key's slot.
    MergeWithoutSlot,
    /// A put's reply covers everything the coordinator holds, seen by the client or not.
    PutReplyCoversTooMuch,
    /// A retry mints a second version.
    RetryMintsAgain,
    /// The delayed rule drops an obsolete version but keeps its dot in the message's context.
    DelayedFilterKeepsContext,
    /// A timeout after a send is reported as a definite failure.
    TimeoutIsFailure,
    /// A recovered node starts its counters again under its old actor.
    ActorReusedAfterRestart,
    /// A member's copy and the hint for that member count as two copies.
    HintAndOwnCopyCountTwice,
    /// A get shows what one replica or hint has, without asking another one whether it was deleted.
    HintsReadWithoutAsking,
    /// Clocks are joined after an exchange that left something out.
    PartialExchangeJoinsClocks,
}

impl PlantedBug {
    /// All planted bugs.
    pub const ALL: [Self; 12] = [
        Self::AckBeforeSync,
        Self::ExtendAfterRestart,
        Self::LwwInMerge,
        Self::MergeWithoutSlot,
        Self::PutReplyCoversTooMuch,
        Self::RetryMintsAgain,
        Self::DelayedFilterKeepsContext,
        Self::TimeoutIsFailure,
        Self::ActorReusedAfterRestart,
        Self::HintAndOwnCopyCountTwice,
        Self::HintsReadWithoutAsking,
        Self::PartialExchangeJoinsClocks,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ack_before_sync",
            Self::ExtendAfterRestart => "extend_after_restart",
            Self::LwwInMerge => "lww_in_merge",
            Self::MergeWithoutSlot => "merge_without_slot",
            Self::PutReplyCoversTooMuch => "put_reply_covers_too_much",
            Self::RetryMintsAgain => "retry_mints_again",
            Self::DelayedFilterKeepsContext => "delayed_filter_keeps_ctx",
            Self::TimeoutIsFailure => "timeout_is_failure",
            Self::ActorReusedAfterRestart => "actor_reused_after_restart",
            Self::HintAndOwnCopyCountTwice => "hint_and_own_copy_count_twice",
            Self::HintsReadWithoutAsking => "hints_read_without_asking",
            Self::PartialExchangeJoinsClocks => "partial_exchange_joins_clocks",
        }
    }
}

#[cfg(planted_bugs)]
mod switch {
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::PlantedBug;

    /// The bug that is on, as its place in `ALL` plus one; 0 for none.
    static ON: AtomicU8 = AtomicU8::new(0);

    /// Switches one bug on for the whole process, or all off.
    pub fn plant(bug: Option<PlantedBug>) {
        let place = bug.and_then(|bug| PlantedBug::ALL.iter().position(|b| *b == bug));
        let number = place.map_or(0, |p| u8::try_from(p + 1).expect("a short list"));
        ON.store(number, Ordering::SeqCst);
    }

    /// Whether this bug is switched on.
    #[must_use]
    pub fn planted(bug: PlantedBug) -> bool {
        let on = ON.load(Ordering::Relaxed);
        on > 0 && PlantedBug::ALL.get(usize::from(on) - 1) == Some(&bug)
    }
}

#[cfg(planted_bugs)]
pub use switch::{plant, planted};

/// Whether this bug is switched on: never, in this build.
#[cfg(not(planted_bugs))]
#[must_use]
pub const fn planted(_bug: PlantedBug) -> bool {
    false
}
