//! Background convergence of replicas.
//!
//! - [`read_repair`]: what a get saw to be behind is sent what it lacks.
//! - [`anti_entropy`]: the replicas of a partition find the records in which they differ, though
//!   nobody reads them, and exchange those.
//! - [`hinted_handoff`]: hints are handed to those they are kept for.
//! - [`budget`]: how much of that may go on beside what clients wait for.
//!
//! Repair decides what to send and to whom. It neither sends nor stores, and the replica that
//! receives applies protocol rule 4.
#![no_std]

extern crate alloc;

pub mod anti_entropy;
pub mod budget;
pub mod hinted_handoff;
pub mod read_repair;

pub use anti_entropy::{AntiEntropy, AntiEntropyConfig, AntiEntropyEffect, AntiEntropyEvent};
pub use read_repair::{ReadRepair, RepairWrite};
