//! What two members of a partition tell each other to find in which records they differ, and to
//! exchange those (Paper §4.7; protocol rule 4).
//!
//! ```text
//!   initiator                                  responder
//!   Roots of all shared partitions ---------->                one for all partitions
//!                                  <---------- RootsAnswer    those that differ
//!
//!   Open: clock, root              ---------->                for each that differs, a session:
//!                                  <---------- Opened: clock, root, sums (or Agreed, or Refused)
//!   Sums                           ---------->                down to the leaves
//!                                  <---------- Sums
//!   Symbols of a differing leaf    ---------->                several leaves at once
//!                                  <---------- Symbols, or List
//!   Solved (or Agrees, or Leave)   ---------->
//!        ... a pause ...
//!   Settle: what still differs     ---------->                names only from here on
//!                                  <---------- Settled
//!   State: records                 <--------->  State         both ways, as soon as a leaf is settled
//!   Stored                         <--------->  Stored
//!   Close                          ---------->                nothing more differs
//!   Sent                           <--------->  Sent          nothing more to come
//! ```
//!
//! Who says what when is the work of `dynamo-repair`. [`Question::cost`], [`Answer::cost`] and
//! [`StateMessage::cost`] state what a message takes on the wire.

mod roots;
mod session;
mod state;

pub use roots::{ClockDigest, PartitionRoot, RootsAnswer, RootsQuestion};
pub use session::{Answer, LeafTotals, Opening, Question, Refusal, ShortId, Unable};
pub use state::{StateMessage, StateRecord};

/// Names a session, drawn at random by its initiator. It is also the salt of the session's items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// A message between two members of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairMessage {
    /// The roots of all partitions that two nodes share.
    Roots(RootsQuestion),
    /// To the roots.
    RootsAnswer(RootsAnswer),
    /// From a session's initiator to its responder.
    Question {
        /// Which session.
        session: SessionId,
        /// What it says.
        question: Question,
    },
    /// From a session's responder to its initiator.
    Answer {
        /// Which session.
        session: SessionId,
        /// What it says.
        answer: Answer,
    },
    /// About the records that differ, from either side.
    State {
        /// Which session.
        session: SessionId,
        /// Whether the initiator says it.
        by_initiator: bool,
        /// What it says.
        state: StateMessage,
    },
}

/// What a message takes on the wire, without what its frame adds to every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// All bytes but those listed below.
    pub bytes: u64,
    /// Bytes of names.
    pub name_bytes: u64,
    /// Bytes of values.
    pub value_bytes: u64,
}

impl Cost {
    /// All of it.
    #[must_use]
    pub fn total(self) -> u64 {
        self.bytes + self.name_bytes + self.value_bytes
    }
}
