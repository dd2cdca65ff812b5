//! What a client sees of a record.
//!
//! Everything that depends on time, profile or request ids is decided here, for one answer, and
//! never stored: two replicas whose clocks or settings differ still hold the same record.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Reconciliation, WallTime};

use crate::dot_set::DotSet;
use crate::hybrid_clock::Hlc;
use crate::record::Record;
use crate::sibling::Sibling;

/// The visible versions, and the context that covers all behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View<'a> {
    /// The versions to show, by dot; none if the object does not exist for the client.
    pub visible: Vec<&'a Sibling>,
    /// All that the record covers, hidden versions included: a put with it replaces them too.
    pub context: DotSet,
    /// The greatest timestamp behind the context.
    pub hlc_max: Hlc,
}

impl<'a> View<'a> {
    /// The view of a record at a wall-clock time.
    ///
    /// Tombstones and expired versions are hidden. Versions of equal request id and body digest are
    /// attempts at one put, and only that of the smallest dot is shown. With last write wins only
    /// the greatest by timestamp and dot counts; if that one is hidden, nothing is visible.
    #[must_use]
    pub fn of(record: &'a Record, reconciliation: Reconciliation, wall: WallTime) -> Self {
        let is_shown = |s: &&Sibling| !s.is_tombstone() && !s.is_expired(wall);
        let siblings = record.siblings().iter();
        let visible: Vec<&Sibling> = match reconciliation {
            Reconciliation::Siblings => {
                let mut puts = BTreeSet::new();
                siblings.filter(is_shown).filter(|s| puts.insert((s.request, s.digest))).collect()
            }
            Reconciliation::LastWriteWins => {
                siblings.max_by_key(|s| (s.hlc, s.dot)).into_iter().filter(is_shown).collect()
            }
        };
        let context = if planted(PlantedBug::ViewCoversWhatItShows) {
            visible.iter().map(|sibling| sibling.dot).collect()
        } else {
            record.context().clone()
        };
        Self { visible, context, hlc_max: record.hlc_max() }
    }
}
