//! Anti-entropy between two replicas of a partition (Paper §4.7).
//!
//! Replicas that nobody reads drift apart: a write that missed one of them, a hint that was dropped, a
//! row that a disk lost. Replicas therefore compare their hash trees now and then. Both roles are
//! machines here, one pair for each comparison: the [`Initiator`] asks, the [`Responder`] answers.
//!
//! ```text
//!   initiator                                     responder
//!   roots of all shared partitions  ------------>             one message for all (roots)
//!                                   <------------  those that differ
//!   open                            ------------>             for each that differs, a session:
//!                                   <------------  sums of the root's sixteen children
//!   sums below what differs         ------------>             until the leaves
//!                                   <------------  sums
//!   symbols of a differing leaf     ------------>             several leaves at once
//!                                   <------------  4 symbols, then as many as it takes; or a list
//!   solved
//!        ... a pause, in which what was on its way arrives; then both read the leaf again ...
//!   settle: what still differs      ------------>             names only from here on
//!                                   <------------  names, and what has arrived meanwhile
//! ```
//!
//! # What is found
//!
//! Both sides end up with the names of the records in which they differ and who holds a version that
//! the other lacks ([`Effect::Differ`]). To exchange those records, both ways, is the owner's work: by
//! protocol rule 4 it is an exchange of *state*, and only between members.
//!
//! Where the sums of a leaf differ but its records agree, both sides say so
//! ([`Effect::LeafAgrees`]): either a write was between the two looks, or a tree has drifted from its
//! records, which the owner finds out by comparing. Without that, a wrong tree would have the same
//! leaf read forever.
//!
//! # What is trusted
//!
//! Messages come from members of the cluster but may be late, doubled or wrong. They cannot cause a
//! panic, an endless loop or memory beyond the stated bounds. A difference that was decoded must
//! explain by how much the sums of both sides' items differ, else the whole list is asked for.
//!
//! Neither machine reads a disk or a clock or knows wire bytes. [`Question::cost`] and
//! [`Answer::cost`] state what a message would take on the wire.

mod initiator;
mod leaf_solver;
mod message;
mod responder;
mod roots;
mod session;

pub use initiator::Initiator;
pub use message::{Answer, Cost, LeafTotals, Opening, Question, ShortId, Unable};
pub use responder::Responder;
pub use roots::{PartitionRoot, RootsAnswer, RootsQuestion};
pub use session::{Differing, Effect, Event, HeldBy, LeafItem, Outcome, SessionConfig, Traffic};
