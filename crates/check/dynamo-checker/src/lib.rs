//! Judges what clients saw and what replicas hold in the end against the promises of the README.
//!
//! Clients write values that name what their writer had read. From that the checks rebuild who had
//! seen whom and compare it with what the replicas hold: the system's own clocks are never trusted.
//! Whoever runs a cluster under faults, simulated or of real processes, notes a history, gathers
//! the evidence and asks for a verdict.
//!
//! # Map, in reading order
//! - [`value`]: what clients write. [`history`]: what they asked and were told.
//! - [`causality`]: who had seen whom. [`evidence`]: all that the checks may look at.
//! - [`invariants`]: what must hold, one file a promise.
//!
//! # What it does not do
//! It runs no cluster and reads no disk, and it has no clock: it judges what it is given. Whoever
//! gives it nothing gets zero checked facts back, and has to notice that.

pub mod causality;
pub mod evidence;
pub mod history;
pub mod invariants;
pub mod value;
