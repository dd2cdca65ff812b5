//! A batched, ordered key-value engine with stated durability: RocksDB and memory.
//!
//! - [`engine`] is the contract, [`batch`] what is written, [`error`] how it fails;
//! - [`memory`] keeps rows in ordered maps and can crash, fill up and rot on command; `disk`
//!   (feature `rocksdb`) keeps them in RocksDB;
//! - [`group_commit`] makes one sync of everything that waits, [`read_pool`] bounds the reads that
//!   must wait for the disk, [`directory`] sees to it that a directory has one owner;
//! - `conformance` (feature `testing`) holds both engines to the contract.
//!
//! Every row carries a checksum over its column, key and value, so a row that is not what was
//! written is reported as damaged and never handed out.
//!
//! ```
//! use dynamo_storage::{
//!     Batch, Column, ColumnSpec, Durability, MemoryEngine, Purpose, StorageEngine,
//! };
//!
//! const ROWS: Column = Column(0);
//! let engine = MemoryEngine::new(&[ColumnSpec { name: "rows", purpose: Purpose::Rows }]);
//! let mut batch = Batch::new();
//! batch.put(ROWS, "key", "value");
//! engine.write(&[batch], Durability::Buffered)?;
//! assert_eq!(engine.get(ROWS, b"key")?.as_deref(), Some(&b"value"[..]));
//!
//! engine.crash();
//! assert_eq!(engine.get(ROWS, b"key")?, None, "nothing was synced");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! What it does not do: it gives no meaning to keys and values, replicates nothing, compares no
//! versions, and never repairs a row. It knows nothing of the store that is built on it.

pub mod batch;
pub mod directory;
#[cfg(feature = "rocksdb")]
pub mod disk;
pub mod engine;
pub mod error;
pub mod group_commit;
pub mod memory;
pub mod range;
pub mod read_pool;

#[cfg(feature = "testing")]
pub mod conformance;

mod checksum;

pub use batch::{Batch, Column, ColumnSpec, Durability, Purpose, Write};
pub use directory::{Claimed, DirectoryLock, DirectoryStamp, StampError};
#[cfg(feature = "rocksdb")]
pub use disk::{OpenError, OpenOptions, Recovery, RocksDbEngine};
pub use engine::{
    CachedRead, ColumnStatistics, ScanItem, Snapshot, Statistics, StorageEngine, Visit,
};
pub use error::{CheckpointError, ReadError, ScanError, StatisticsError, WriteError};
pub use group_commit::{Done, GroupCommit, GroupCommitLimits};
pub use memory::{MemoryEngine, WriteFault};
pub use range::KeyRange;
pub use read_pool::{QueueFull, ReadPool, ReadPoolLimits};
