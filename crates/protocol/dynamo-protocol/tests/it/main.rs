//! The node machine, several of them together, without a network or a disk.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod buckets;
mod cluster;
mod expiry;
mod explains;
mod gets;
mod hints;
mod known;
mod membership;
mod outcomes;
#[cfg(planted_bugs)]
mod planted_bugs;
mod puts;
mod reports;
mod restarts;
mod stores;
mod version_skew;
