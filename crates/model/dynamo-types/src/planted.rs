//! Planted bugs: known mistakes that the simulator switches on to prove that its checks have teeth.
//!
//! They exist only under `--cfg planted_bugs`, which `cargo xtask simulate` sets in a target
//! directory of its own. In every other build [`planted`] is a constant `false`, so the mistake is
//! not in the program at all.

/// Who finds a planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finder {
    /// The simulator, within a few hundred seeds.
    Simulator,
    /// The tests of dynamo-repair, whose histories it decides in a few steps.
    RepairTests,
    /// The model of dynamo-versioning, within 20,000 histories.
    Model,
    /// A test of dynamo-protocol that holds single messages back or exchanges a disk.
    MachineTests,
    /// A scripted history of the simulator: it takes a coincidence that random runs do not meet.
    Scripts,
    /// The model check of dynamo-register.
    RegisterModel,
}

macro_rules! planted_bugs {
    ($($(#[$doc:meta])* $bug:ident = $name:literal by $finder:ident,)*) => {
        /// A mistake that can be switched on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum PlantedBug { $($(#[$doc])* $bug,)* }

        impl PlantedBug {
            /// All planted bugs.
            pub const ALL: &'static [Self] = &[$(Self::$bug,)*];

            /// The name on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$bug => $name,)* }
            }

            /// Who must find it.
            #[must_use]
            pub fn finder(self) -> Finder {
                match self { $(Self::$bug => Finder::$finder,)* }
            }
        }
    };
}

planted_bugs! {
    /// A replica acknowledges a write before its store is synced.
    AckBeforeSync = "ack_before_sync" by Simulator,
    /// A coordinator extends an interval that an earlier process or a lost record left behind.
    ExtendAfterRestart = "extend_after_restart" by Simulator,
    /// Merge keeps only the last write.
    LwwInMerge = "lww_in_merge" by Simulator,
    /// A replica write is merged outside the key's slot.
    MergeWithoutSlot = "merge_without_slot" by Simulator,
    /// A put's reply covers everything the coordinator holds, seen by the client or not.
    PutReplyCoversTooMuch = "put_reply_covers_too_much" by Simulator,
    /// A retry mints a second version.
    RetryMintsAgain = "retry_mints_again" by Simulator,
    /// The delayed rule drops an obsolete version but keeps its dot in the message's context.
    DelayedFilterKeepsContext = "delayed_filter_keeps_ctx" by Simulator,
    /// A timeout after a send is reported as a definite failure.
    TimeoutIsFailure = "timeout_is_failure" by Simulator,
    /// A recovered node starts its counters again under its old actor.
    ActorReusedAfterRestart = "actor_reused_after_restart" by Simulator,
    /// A member's copy and the hint for that member count as two copies.
    HintAndOwnCopyCountTwice = "hint_and_own_copy_count_twice" by Simulator,
    /// A get shows what one replica or hint has, without asking another one whether it was deleted.
    HintsReadWithoutAsking = "hints_read_without_asking" by Scripts,
    /// A hint is removed once its target took it, though a newer one has joined it meanwhile.
    HintRemovedUnseen = "hint_removed_unseen" by Simulator,
    /// What this node has incorporated is collected without waiting for the others' reports.
    CollectWithoutReports = "collect_without_reports" by Simulator,
    /// A deleted record is collected when its tombstone is known everywhere, whatever it replaced.
    CollectDotsOnly = "collect_dots_only" by Scripts,
    /// The live clock is reported, not that of the last synced checkpoint.
    ReportBeforeSync = "report_before_sync" by Scripts,
    /// A clock report that was overtaken by a later one takes its place.
    OvertakenReportCounts = "overtaken_report_counts" by MachineTests,
    /// A node whose disk was set back does not compare checkpoints.
    RollbackUnnoticed = "rollback_unnoticed" by MachineTests,
    /// A replica that lost something goes on as if it were complete.
    DamageLeavesComplete = "damage_leaves_complete" by Simulator,
    /// Clocks are joined after an exchange that left something out.
    PartialExchangeJoinsClocks = "partial_exchange_joins_clocks" by RepairTests,
    /// A merge drops tombstones beside living versions.
    TombstonesDroppedInMerge = "tombstones_dropped_in_merge" by Model,
    /// A merge keeps the versions of both sides and forgets what those replaced.
    MergeForgetsReplaced = "merge_forgets_replaced" by Model,
    /// What a view hides is not covered by its context.
    ViewCoversWhatItShows = "view_covers_what_it_shows" by Model,
    /// A new version's timestamp follows the node's clock and not what it replaces.
    HlcByClockAlone = "hlc_by_clock_alone" by Model,
    /// A new version's claim leaves out what the versions that it replaces had replaced.
    ClaimForgetsReplaced = "claim_forgets_replaced" by Model,
    /// A message for one version claims all that its record knows to be replaced.
    WriteClaimsWholeContext = "write_claims_whole_context" by Model,
    /// The delayed rule takes a dot in the clock for a delete, within the horizon or not.
    DelayedBelievesClock = "delayed_believes_clock" by Model,
    /// State merges normally though the sender has not incorporated what was collected here.
    StateWithoutHorizonTest = "state_without_horizon_test" by Model,
    /// A dot clock takes in whole contexts, with the numbers of other keys that their intervals span.
    ClockTakesContexts = "clock_takes_contexts" by Model,
    /// Single intervals of a context are pruned that lie inside the cut and cover no version.
    PrunePerInterval = "prune_per_interval" by Model,
    /// Of two details of a member, gossip keeps those that were set earlier.
    GossipKeepsOlderDetails = "gossip_keeps_older_details" by Simulator,
    /// Who was judged down stays so, though it refuted.
    DownStaysDown = "down_stays_down" by Simulator,
    /// A move is decided by the votes of the next set.
    NextSetVotes = "next_set_votes" by RegisterModel,
    /// A node votes for a ballot though it has promised a higher one.
    VotesBelowPromise = "votes_below_promise" by RegisterModel,
    /// A request is taken from a coordinator that is behind.
    AcceptsOneStageBehind = "accepts_one_stage_behind" by RegisterModel,
    /// A joiner counts as filled when one member has filled it.
    JoinsFromOneSource = "joins_from_one_source" by RegisterModel,
    /// Gets ask the next set before it is decided.
    ReadsSwitchWhenSynced = "reads_switch_when_synced" by RegisterModel,
    /// A move counts as committed when one member knows the decision.
    CommitsWhenOneRecorded = "commits_when_one_recorded" by RegisterModel,
    /// A node that forgot its votes votes again in the same epoch, once a majority has told it.
    ForgetfulVotesOnceTold = "forgetful_votes_once_told" by RegisterModel,
    /// Replicas take writes whatever register their sender goes by.
    StaleWritesTaken = "stale_writes_taken" by Scripts,
    /// Who is no member any more answers reads, of a coordinator that is behind.
    FormerMemberAnswers = "former_member_answers" by Scripts,
    /// A put whose register moved on is sent anew, but counted in the sets that it began with.
    PutKeepsItsSets = "put_keeps_its_sets" by Scripts,
    /// During a move w copies are enough in both sets together.
    SetsCountTogether = "sets_count_together" by Simulator,
    /// A joiner counts as complete at once, and as filled after its first exchange.
    JoinerCompleteAtOnce = "joiner_complete_at_once" by Scripts,
    /// What a node still holds of a partition that it has lost is wiped and not offered.
    LeftoversNotOffered = "leftovers_not_offered" by Scripts,
    /// A leaver is wiped when one new member has compared with it.
    LeaverWipedAfterOne = "leaver_wiped_after_one" by Scripts,
    /// Hints for who is no member any more wait for it.
    HintsWaitForFormerMembers = "hints_wait_for_former_members" by Simulator,
    /// Under load the share of background work falls to nothing, from where it cannot grow.
    BudgetRunsDry = "budget_runs_dry" by Simulator,
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
