//! What one replica of a partition has incorporated, and what of that it has collected.

use alloc::vec::Vec;

use dynamo_types::planted::{PlantedBug, planted};
use thiserror::Error;

use crate::dot::Dot;
use crate::dot_set::{DecodeDotSetError, DotSet};
use crate::record::Record;

/// A replica's dot clock for one partition, over all its keys.
///
/// A dot is in the clock only if its version is a sibling here, is covered by its record's context,
/// or lies within the horizon. The stable cut rests on that.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DotClock {
    /// Every version that was incorporated.
    pub dots: DotSet,
    /// Whole contexts of records that were collected or cut down: what they covered is gone for
    /// good wherever that is known.
    /// Always inside `dots`, except while the replica is incomplete.
    pub horizon: DotSet,
}

/// Why bytes are no dot clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeDotClockError {
    /// The dots are malformed.
    #[error("dot clock has malformed dots")]
    Dots(#[source] DecodeDotSetError),
    /// The horizon is malformed.
    #[error("dot clock has a malformed horizon")]
    Horizon(#[source] DecodeDotSetError),
    /// Something follows the clock.
    #[error("{0} bytes follow the dot clock")]
    Trailing(usize),
}

impl DotClock {
    /// A clock that has incorporated nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether that version was incorporated.
    #[must_use]
    pub fn includes(&self, dot: Dot) -> bool {
        self.dots.contains(dot)
    }

    /// Takes note of the versions of a record or message that was stored, to be called on `Stored`.
    ///
    /// Only the siblings' dots count. The rest of a context is no proof: its intervals span counters
    /// that the same actor gave to *other* keys, which may never have arrived here, and a clock that
    /// claimed those would let their tombstones be collected too early. Replaced versions that never
    /// came by themselves enter the clock with the next complete exchange.
    pub fn incorporate(&mut self, record: &Record) {
        if planted(PlantedBug::ClockTakesContexts) {
            self.dots.union_with(record.context());
        }
        for dot in record.dots() {
            self.dots.insert(dot);
        }
    }

    /// Takes over what another member knew before it sent all its records: to be called after a
    /// complete exchange with it, with the clock that it took before its records.
    pub fn join(&mut self, other: &Self) {
        self.dots.union_with(&other.dots);
        self.horizon.union_with(&other.horizon);
    }

    /// Moves the whole context that a record had before it was collected or cut down beyond the
    /// horizon.
    pub fn collected(&mut self, context: &DotSet) {
        self.horizon.union_with(context);
    }

    /// The clock's bytes: the dots, then the horizon.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.dots.encoded_len() + self.horizon.encoded_len());
        self.dots.encode(&mut out);
        self.horizon.encode(&mut out);
        out
    }

    /// Reads a clock from all of `bytes`.
    ///
    /// # Errors
    /// Refuses everything that [`DotClock::encode`] would not have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeDotClockError> {
        let (dots, first) = DotSet::decode(bytes).map_err(DecodeDotClockError::Dots)?;
        let (horizon, second) =
            DotSet::decode(&bytes[first..]).map_err(DecodeDotClockError::Horizon)?;
        match bytes.len() - first - second {
            0 => Ok(Self { dots, horizon }),
            more => Err(DecodeDotClockError::Trailing(more)),
        }
    }
}
