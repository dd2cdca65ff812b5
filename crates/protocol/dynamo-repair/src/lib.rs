//! Background convergence of replicas.
//!
//! Today this is [`read_repair`]: what a get saw to be behind is sent what it lacks. Hinted
//! handoff and anti-entropy between replicas that nobody reads are not here yet.
//!
//! Repair decides what to send and to whom. It neither sends nor stores, and the replica that
//! receives applies protocol rule 4 as to any delayed message.
#![no_std]

extern crate alloc;

pub mod read_repair;

pub use read_repair::{ReadRepair, RepairWrite};
