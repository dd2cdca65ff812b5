//! Both engines against the contract, and what stands around them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod directory;
#[cfg(feature = "rocksdb")]
mod disk;
mod group_commit;
mod memory;
mod read_pool;
