//! Replicas in memory compare themselves: two of them on paths of their own, and several with all that
//! goes on around them.

#![expect(clippy::unwrap_used, reason = "a failed test is meant to panic")]
#![cfg_attr(planted_bugs, expect(dead_code, reason = "only random histories are played there"))]

#[cfg(not(planted_bugs))]
mod finding;
mod histories;
#[cfg(not(planted_bugs))]
mod members;
#[cfg(planted_bugs)]
mod planted_bugs;
#[cfg(not(planted_bugs))]
mod two_replicas;
mod world;
