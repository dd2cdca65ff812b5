//! Two replicas in memory compare themselves.

mod anti_entropy;
mod two_replicas;
