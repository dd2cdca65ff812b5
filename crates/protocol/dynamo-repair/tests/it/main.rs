//! Two replicas in memory compare themselves.

mod finding;
mod two_replicas;
