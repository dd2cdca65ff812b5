//! The background budget (Paper §6.5): what it hears of how long clients wait, and whom it holds back.
//!
//! Held back are the reads and stores of anti-entropy and how many exchanges run at once, the pace of
//! hints, moves that begin, what is left over of partitions that have gone, and the scrub. Questions of
//! others wait like this node's own, and fewer exchanges are answered at once.

use alloc::collections::BTreeMap;

use dynamo_repair::anti_entropy::AntiEntropyEvent;
use dynamo_repair::budget::{Budget, BudgetConfig, Waited, Work, part_of};
use dynamo_repair::hinted_handoff::HandoffEvent;
use dynamo_types::Instant;

use super::Node;
use crate::effect::StoreId;

/// What a session of anti-entropy costs besides its records, in units: copies of a tree and two clocks,
/// and some ten messages.
pub(super) const SESSION_UNITS: u32 = 8;
/// What beginning a move costs: four rounds with promises and votes that a majority syncs, and the
/// exchanges that compare what was not moved.
pub(super) const MOVE_UNITS: u32 = 64;
/// Records of a scan that cost as much as one that is read, decoded and sent.
pub(super) const ROWS_PER_UNIT: u64 = 16;
/// Bytes that cost as much as a record.
const BYTES_PER_UNIT: usize = 4096;

/// What a record of this size costs to read or to store.
pub(super) fn units_of_record(bytes: usize) -> u32 {
    u32::try_from(1 + bytes / BYTES_PER_UNIT).unwrap_or(u32::MAX)
}

/// The budget, and what it is told.
#[derive(Debug)]
pub(super) struct BackgroundBudget {
    machine: Budget,
    /// When each store under way left that somebody waits for; as many as the replica has under way.
    stores: BTreeMap<StoreId, Instant>,
    /// The share that anti-entropy was told last.
    told: u8,
    /// When there is room again for what waits.
    wake_at: Option<Instant>,
}

impl BackgroundBudget {
    pub(super) fn new(config: BudgetConfig, now: Instant) -> Self {
        Self {
            machine: Budget::new(config, now),
            stores: BTreeMap::new(),
            told: 100,
            wake_at: None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.wake_at
    }
}

impl Node {
    /// How much of the most background work there may be now, from 1 to 100.
    #[must_use]
    pub fn background_share(&self) -> u8 {
        self.budget.machine.share()
    }

    /// A store leaves.
    pub(super) fn store_began(&mut self, store: StoreId) {
        self.budget.stores.insert(store, self.now.monotonic);
    }

    /// A store has ended.
    pub(super) fn store_ended(&mut self, store: StoreId) {
        if let Some(began) = self.budget.stores.remove(&store) {
            let took = self.now.monotonic.saturating_since(began);
            self.budget.machine.waited(self.now.monotonic, Waited::Store, took);
        }
    }

    /// A replica has answered a read.
    pub(super) fn read_took(&mut self, took: core::time::Duration) {
        self.budget.machine.waited(self.now.monotonic, Waited::Read, took);
    }

    /// Whether another piece of background work may begin.
    pub(super) fn has_background_room(&mut self, work: Work) -> bool {
        self.budget.machine.has_room(self.now.monotonic, work)
    }

    /// When other work than exchanges may go on, if it may not now.
    pub(super) fn next_upkeep(&self) -> Instant {
        self.budget.machine.next_room(Work::Upkeep)
    }

    /// A piece of background work begins, or turns out to be so large.
    pub(super) fn spend(&mut self, work: Work, units: u32) {
        self.budget.machine.spend(self.now.monotonic, work, units);
    }

    /// So many of the most there may be, at least one.
    pub(super) fn share_of(&self, most: usize) -> usize {
        part_of(most, self.background_share()).max(1)
    }

    /// Thinks the share over.
    pub(super) fn budget_tick(&mut self) {
        let store_since = self.budget.stores.values().min().copied();
        if self.budget.machine.tick(self.now.monotonic, store_since) {
            self.handoff_event(HandoffEvent::Budget(self.background_share()));
            self.go_on_with_repairs();
        }
    }

    pub(super) fn budget_timeout(&mut self) {
        if self.budget.wake_at.is_some_and(|at| at <= self.now.monotonic) {
            self.budget.wake_at = None;
            self.go_on_with_repairs();
        }
    }

    /// Does what anti-entropy wants, as far as there is room for it.
    pub(super) fn go_on_with_repairs(&mut self) {
        let share = self.background_share();
        if self.budget.told != share {
            self.budget.told = share;
            self.tell_repairs(AntiEntropyEvent::Budget(share));
        }
        self.drive_repairs();
        let next = self.budget.machine.next_room(Work::Exchange);
        self.budget.wake_at = self.repairs_wait().then_some(next);
    }
}
