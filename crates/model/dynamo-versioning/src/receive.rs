//! What a replica does with a record that it is sent (protocol rule 4).
//!
//! A message may be old: its versions may have been replaced, and the record that replaced them may
//! be collected. The dot clock remembers that; but a dot that the clock has and the store has not
//! means *deleted* only if collection put it beyond the horizon. Otherwise this replica lost the
//! version, and the message is the cure.
//!
//! A version that is turned away takes its dot out of the message's context before the rest is
//! joined. Else the replica would claim that the version was replaced, and the next exchange would
//! carry that claim to those who still hold it.

use alloc::vec::Vec;

use dynamo_types::planted::{PlantedBug, planted};

use crate::dot::Dot;
use crate::dot_clock::DotClock;
use crate::record::Record;
use crate::stored_record::StoredRecord;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Received {
    /// Whether the stored record changed and must be stored.
    pub changed: bool,
    /// Versions not taken: already replaced here, or collected. To be answered only when what
    /// replaced them is synced.
    pub obsolete: Vec<Dot>,
    /// Versions taken although the clock has them: this replica had lost them, and its copy of the
    /// partition is incomplete.
    pub lost: Vec<Dot>,
}

/// Takes in a replica write, a hint, a retry, or what a non-member offers: anything that may be
/// delayed. Does not advance the clock: the caller does, on `Stored`.
pub fn receive_delayed(stored: &mut StoredRecord, incoming: &Record, clock: &DotClock) -> Received {
    let (mut received, collected) = examine(stored, incoming, clock);
    received.obsolete.extend(&collected);
    received.obsolete.sort_unstable();
    if collected.is_empty() {
        received.changed = stored.join(incoming);
        return received;
    }
    let mut rest = incoming.clone();
    for dot in collected {
        if planted(PlantedBug::DelayedFilterKeepsContext) {
            rest.drop_sibling(dot);
        } else {
            rest.forget(dot);
        }
    }
    // A message of collected versions alone must not bring an empty row back to life.
    if !(rest.siblings().is_empty() && stored.record.is_empty()) {
        received.changed = stored.join(&rest);
    }
    received
}

/// Takes in a record from an exchange with a member of the same register. `sender` is the sender's
/// clock, taken before its records. Does not advance the clock: the caller does, on `Stored`.
///
/// If the sender has incorporated all that was collected here, or has joined that, whatever it still
/// holds is alive, so its record merges normally; that heals silent loss. Else the record may be as
/// old as any other delayed message.
pub fn receive_state(
    stored: &mut StoredRecord,
    incoming: &Record,
    clock: &DotClock,
    sender: &DotClock,
) -> Received {
    // Numbers that a member forgot when it was incomplete may be in horizons alone.
    let knows_all_collected = clock.horizon.is_subset_of(&sender.dots) || {
        let mut known = sender.dots.clone();
        known.union_with(&sender.horizon);
        clock.horizon.is_subset_of(&known)
    };
    if !knows_all_collected && !planted(PlantedBug::StateWithoutHorizonTest) {
        return receive_delayed(stored, incoming, clock);
    }
    let (mut received, _) = examine(stored, incoming, clock);
    received.changed = stored.join(incoming);
    received
}

/// Drops versions that another member refused as collected, as if this replica had never heard of
/// them: what an incomplete replica does with what it offered. Tells whether anything changed.
///
/// A row that holds no version any more knows nothing any more, and is to be removed.
pub fn drop_refused(stored: &mut StoredRecord, refused: &[Dot]) -> bool {
    let before = stored.record.siblings().len();
    for dot in refused {
        if stored.record.sibling(*dot).is_some() {
            stored.record.forget(*dot);
        }
    }
    if stored.record.siblings().is_empty() {
        *stored = StoredRecord::default();
    }
    stored.record.siblings().len() != before
}

/// Sorts the versions of a message: what is covered or lost, and apart from that what was collected.
fn examine(stored: &StoredRecord, incoming: &Record, clock: &DotClock) -> (Received, Vec<Dot>) {
    let mut received = Received::default();
    let mut collected = Vec::new();
    for dot in incoming.dots().filter(|dot| stored.record.sibling(*dot).is_none()) {
        if stored.record.covers(dot) {
            received.obsolete.push(dot);
        } else if clock.includes(dot) {
            // The planted filters of history 1 take the clock's word for a delete.
            let believes = planted(PlantedBug::DelayedFilterKeepsContext)
                || planted(PlantedBug::DelayedBelievesClock);
            if clock.horizon.contains(dot) || believes {
                collected.push(dot);
            } else {
                received.lost.push(dot);
            }
        }
    }
    (received, collected)
}
