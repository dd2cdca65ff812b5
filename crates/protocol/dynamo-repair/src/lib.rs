//! Background convergence of replicas.
//!
//! - [`read_repair`]: what a get saw to be behind is sent what it lacks.
//! - [`anti_entropy`]: two replicas of a partition find the records in which they differ, though
//!   nobody reads them. **Not wired into the node yet**: its messages have no bytes on the wire, and
//!   nothing starts a session.
//!
//! - [`hinted_handoff`]: hints are handed to those they are kept for.
//!
//! Repair decides what to send and to whom. It neither sends nor stores, and the replica that
//! receives applies protocol rule 4 as to any delayed message.
#![no_std]

extern crate alloc;

pub mod anti_entropy;
pub mod hinted_handoff;
pub mod read_repair;

pub use read_repair::{ReadRepair, RepairWrite};
