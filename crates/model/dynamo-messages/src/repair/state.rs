//! How the two sides of a session exchange the records in which they differ.

use alloc::vec::Vec;

use dynamo_types::ObjectName;
use dynamo_versioning::{Dot, DotSet, Record};

/// From one side of a session to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateMessage {
    /// Records, to be merged as state with the clock that the sender's opening had.
    State {
        /// Counts this side's messages of this kind, from 0.
        number: u32,
        /// The records, or parts of them.
        records: Vec<StateRecord>,
    },
    /// All records of a message are stored, synced.
    Stored {
        /// Of that message.
        number: u32,
        /// Whether it is not so: the disk refused one of them.
        refused: bool,
        /// Versions not taken because they were collected here, each with the place of its record
        /// in the message. Told to an incomplete sender only: it drops them.
        collected: Vec<(u32, Dot)>,
    },
    /// All records that this side owes were sent.
    Sent {
        /// Whether this side looked at everything and could read all that it owes.
        complete: bool,
        /// What this side has collected, if that has grown since the session began: a record that
        /// was collected meanwhile is in no message.
        horizon: Option<DotSet>,
    },
    /// This side has given up the session. Not answered.
    Aborted,
}

/// A record in which the two sides differ, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRecord {
    /// Which record.
    pub name: ObjectName,
    /// One record a sibling; none if the sender has the record no more.
    pub pieces: Vec<Record>,
    /// Whether no more pieces of it follow.
    pub last: bool,
}
