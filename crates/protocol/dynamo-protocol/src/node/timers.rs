//! When each operation wants to be woken.

use alloc::collections::{BTreeMap, BTreeSet};

use dynamo_messages::OperationId;
use dynamo_types::Instant;

/// One timer an operation.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Instant, OperationId)>,
    by_operation: BTreeMap<OperationId, Instant>,
}

impl Timers {
    /// Sets or clears the timer of an operation.
    pub(super) fn set(&mut self, operation: OperationId, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.by_operation.insert(operation, at),
            None => self.by_operation.remove(&operation),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, operation));
        }
        if let Some(at) = at {
            self.by_time.insert((at, operation));
        }
    }

    /// Takes the earliest timer that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<OperationId> {
        let (at, operation) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(operation, None);
        Some(operation)
    }

    /// The earliest timer.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Whether an operation has a timer.
    pub(super) fn contains(&self, operation: OperationId) -> bool {
        self.by_operation.contains_key(&operation)
    }
}
