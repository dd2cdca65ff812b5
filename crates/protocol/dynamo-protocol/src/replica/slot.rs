//! One slot per key (protocol rule 3); and one for each node that hints of the key are kept for.
//!
//! Every change of a record is a load, a merge and a store. Two of them on one key must not
//! overlap: both would load the same record, each would store it with its own version added, and
//! the second store would undo the first, which was acknowledged. So a key has one slot, held from
//! the load until the store has ended, and whoever comes meanwhile waits in its queue.
//!
//! The queue costs no throughput where it matters. When a store has ended, all that waits is applied
//! to one copy of the record and stored once: a hot key takes one sync for the whole queue.
//!
//! Clocks advance when a store has ended, never before. A duplicate that arrives while the first
//! copy is being stored therefore waits too, and is answered when the first is on disk.
//!
//! Reads take no slot: they see the last record that was stored, which is all that was acknowledged.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use dynamo_types::{NodeId, ObjectName};
use dynamo_versioning::StoredRecord;

use super::{Job, ReplyTo};
use crate::effect::LoadId;

/// Whose copy of a record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// This node's own, as a replica.
    Own,
    /// Kept for that node.
    Hint(NodeId),
}

/// A record as a row holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Held {
    pub(super) stored: StoredRecord,
    /// Of a hint: whether it counted towards w.
    pub(super) acknowledging: bool,
    /// Of a hint: its row is there and cannot be read.
    pub(super) rotten: bool,
}

/// Names a slot. `variant` is always 0, except under the planted bug that merges outside the slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlotKey {
    pub(super) name: ObjectName,
    pub(super) place: Place,
    pub(super) variant: u64,
}

/// Where a slot stands.
#[derive(Debug)]
pub(super) enum State {
    /// The record is being read.
    Loading(LoadId),
    /// The record is at hand and equals the disk; only for the moment in which jobs are applied.
    Ready(Held),
    /// A changed record is being written.
    Storing {
        /// What the disk holds if the store is refused.
        before: Held,
        /// What it holds if the store is applied.
        after: Held,
        /// Who is answered when the store has ended.
        awaiting: Vec<ReplyTo>,
        /// Bytes of the jobs that are being stored.
        bytes: usize,
    },
}

/// A key at work.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    /// Waits for its turn; bounded by `JOBS_PER_SLOT_MAX`.
    pub(super) queue: VecDeque<Job>,
}

impl Slot {
    pub(super) fn loading(load: LoadId, first: Job) -> Self {
        Self { state: State::Loading(load), queue: VecDeque::from([first]) }
    }
}
