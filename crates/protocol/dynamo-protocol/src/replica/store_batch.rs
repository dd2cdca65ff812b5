//! What one turn stores together, and what depends on it.

use alloc::vec::Vec;

use dynamo_types::{CheckpointName, Durability, PartitionId, WallTime};

use super::hint_space::HintChange;
use super::partition::Durable;
use super::slot::SlotKey;
use super::{MetaTag, ReplyTo};
use crate::effect::{StoreId, StoreWrite};
use crate::rows::JournalRow;

/// The stores of a turn, before they leave.
#[derive(Debug)]
pub(super) struct StoreBatch {
    pub(super) writes: Vec<StoreWrite>,
    /// Synced if any part needs it.
    pub(super) durability: Durability,
    pub(super) slots: Vec<SlotKey>,
    pub(super) journal: JournalRow,
    /// Hint rows that come, change or go with it.
    pub(super) hints: Vec<HintChange>,
    /// Answers that wait for a sync of what was stored before.
    pub(super) barriers: Vec<ReplyTo>,
    pub(super) meta: Vec<MetaTag>,
    pub(super) checkpoint: Vec<CheckpointTaken>,
    /// Whether somebody waits for a write in it, here or at another node; exchanges aside.
    pub(super) awaited: bool,
    /// What the checkpoints in it are called.
    pub(super) checkpoint_name: Option<CheckpointName>,
}

/// A partition's checkpoint within a batch.
#[derive(Debug)]
pub(super) struct CheckpointTaken {
    pub(super) partition: PartitionId,
    /// What is reported of it.
    pub(super) durable: Durable,
    pub(super) incomplete: bool,
}

impl Default for StoreBatch {
    fn default() -> Self {
        Self {
            writes: Vec::new(),
            durability: Durability::Buffered,
            slots: Vec::new(),
            journal: JournalRow::default(),
            hints: Vec::new(),
            barriers: Vec::new(),
            meta: Vec::new(),
            checkpoint: Vec::new(),
            awaited: false,
            checkpoint_name: None,
        }
    }
}

impl StoreBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.barriers.is_empty() && self.meta.is_empty()
    }
}

/// A batch that left and has not ended.
#[derive(Debug)]
pub(super) struct StoreInFlight {
    pub(super) store: StoreId,
    pub(super) slots: Vec<SlotKey>,
    pub(super) journal: JournalRow,
    /// The number and time of its journal row, if it has one.
    pub(super) journal_row: Option<(u64, WallTime)>,
    pub(super) hints: Vec<HintChange>,
    pub(super) barriers: Vec<ReplyTo>,
    pub(super) meta: Vec<MetaTag>,
    pub(super) checkpoint: Vec<CheckpointTaken>,
}
