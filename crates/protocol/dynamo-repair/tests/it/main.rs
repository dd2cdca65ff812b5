//! Replicas in memory compare themselves: two of them on paths of their own, and several with all that
//! goes on around them.

#[cfg(not(planted_bugs))]
mod finding;
mod histories;
#[cfg(not(planted_bugs))]
mod two_replicas;
mod world;
