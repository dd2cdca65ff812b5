//! The engine on disk: RocksDB, set up so that it keeps the contract.
//!
//! - `options` says how it is laid out, each figure with its reason;
//! - `recovery` opens it and finds out whether everything is there, `log_tail` helps it;
//! - `rebuild` copies what is readable out of damaged files;
//! - `status` tells RocksDB's failures apart;
//! - `scan` walks past damage; `free_space` keeps a reserve; `statistics` reads figures.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    ColumnFamily, DB, ErrorKind, ReadOptions, ReadTier, SnapshotWithThreadMode, WriteBatch,
    WriteOptions,
};

use crate::batch::{Batch, Column, ColumnSpec, Durability, Write, adds_rows};
use crate::checksum::{CHECKSUM_BYTES, RowChecksum};
use crate::engine::{CachedRead, Snapshot, Statistics, StorageEngine, Visit};
use crate::error::{CheckpointError, ReadError, ScanError, StatisticsError, WriteError};
use crate::range::KeyRange;

mod free_space;
mod log_tail;
mod options;
mod rebuild;
mod recovery;
mod scan;
mod statistics;
mod status;

pub use options::OpenOptions;
pub use recovery::{OpenError, Recovery};

use free_space::Reserve;

/// Rows in a RocksDB database.
///
/// A process has the directory for itself for as long as this lives. Dropping it closes the
/// database; what was buffered is then in the operating system's hands.
pub struct RocksDbEngine {
    db: DB,
    columns: Vec<OpenColumn>,
    recovery: Recovery,
    reserve: Reserve,
    buffered: WriteOptions,
    synced: WriteOptions,
    cached: ReadOptions,
    /// Set by the first failure whose effect is unknown; never cleared.
    stopped: AtomicBool,
}

struct OpenColumn {
    spec: ColumnSpec,
    checksum: RowChecksum,
}

impl RocksDbEngine {
    /// Opens the database, or creates it, with all its columns. If writes stopped because merging
    /// met damaged files, what is still readable is first copied into a new database, which takes
    /// its time and the space of a second copy.
    ///
    /// # Errors
    /// The directory is inaccessible or in use, the columns differ from those on disk, or files
    /// are missing or damaged beyond the log.
    pub fn open(options: &OpenOptions) -> Result<Self, OpenError> {
        rebuild::run_if_requested(options)?;
        let (db, recovery) = recovery::open(options)?;
        Ok(Self::assemble(db, options, recovery))
    }

    fn assemble(db: DB, options: &OpenOptions, recovery: Recovery) -> Self {
        let columns = options
            .columns
            .iter()
            .map(|spec| OpenColumn { spec: *spec, checksum: RowChecksum::new(spec.name) });
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        let mut cached = ReadOptions::default();
        cached.set_read_tier(ReadTier::BlockCache);
        Self {
            db,
            columns: columns.collect(),
            recovery,
            reserve: Reserve::new(options.directory.clone(), options.reserve_bytes),
            buffered: WriteOptions::default(),
            synced,
            cached,
            stopped: AtomicBool::new(false),
        }
    }

    /// What was found when this engine was opened, or at an earlier opening that nobody has
    /// acknowledged.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Confirms that whatever [`Recovery::Shortened`] or [`Recovery::Missing`] demands has been done
    /// durably; the next opening will not report it again.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn acknowledge_recovery(&self) -> std::io::Result<()> {
        recovery::acknowledge(self.db.path())
    }

    /// Replaces a row's bytes by ones that its checksum does not fit. Returns whether there was
    /// such a row.
    ///
    /// # Errors
    /// As [`StorageEngine::get`] and [`StorageEngine::write`].
    #[cfg(feature = "testing")]
    pub fn damage(&self, column: Column, key: &[u8]) -> Result<bool, Box<dyn std::error::Error>> {
        let Some(value) = self.get(column, key)? else { return Ok(false) };
        let mut row = Vec::new();
        self.columns[column.0].checksum.seal(key, &value, &mut row);
        if let Some(last) = row.last_mut() {
            *last ^= 1;
        }
        self.db.put_cf_opt(self.family(column), key, row, &self.synced)?;
        Ok(true)
    }

    fn family(&self, column: Column) -> &ColumnFamily {
        let name = self.columns[column.0].spec.name;
        self.db.cf_handle(name).expect("every column was opened and none is ever dropped")
    }

    fn encode(&self, batches: &[Batch]) -> WriteBatch {
        let estimate = batches.iter().map(Batch::encoded_bytes).sum();
        let mut encoded = WriteBatch::with_capacity_bytes(estimate);
        let mut row = Vec::new();
        for write in batches.iter().flat_map(|batch| &batch.0) {
            match write {
                Write::Put { column, key, value } => {
                    row.reserve(value.len() + CHECKSUM_BYTES);
                    self.columns[column.0].checksum.seal(key, value, &mut row);
                    encoded.put_cf(self.family(*column), key, &row);
                }
                Write::Delete { column, key } => encoded.delete_cf(self.family(*column), key),
                // RocksDB refuses the whole batch if a range is upside down.
                Write::DeleteRange { from, to, .. } if from >= to => {}
                Write::DeleteRange { column, from, to } => {
                    encoded.delete_range_cf(self.family(*column), from, to);
                }
            }
        }
        encoded
    }

    /// Judges a failed write, and stops writes if its effect is unknown: RocksDB might try again
    /// behind our back, and nothing more may depend on that.
    fn failed(&self, cause: &rocksdb::Error) -> WriteError {
        let error = status::write_error(cause);
        if error.is_certain() {
            return error;
        }
        self.stopped.store(true, Ordering::Release);
        tracing::error!(%error, "writes stop until a restart");
        if status::is_damage(cause)
            && let Err(error) = rebuild::request(self.db.path())
        {
            tracing::error!(%error, "cannot ask for a rebuild at the next start");
        }
        error
    }

    fn read(
        &self,
        column: Column,
        key: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<Bytes>, rocksdb::Error> {
        let row = self.db.get_pinned_cf_opt(self.family(column), key, options)?;
        // An empty row stands for damage: a whole one ends in its checksum.
        Ok(row.map(|row| Bytes::copy_from_slice(&row)))
    }

    /// Takes the value out of a row as it is stored.
    fn opened(&self, column: Column, key: &[u8], mut row: Bytes) -> Result<Bytes, ReadError> {
        match self.columns[column.0].checksum.open(key, &row).map(<[u8]>::len) {
            Some(value_bytes) => {
                row.truncate(value_bytes);
                Ok(row)
            }
            None => Err(ReadError::Damaged { column, key: Bytes::copy_from_slice(key) }),
        }
    }

    fn get_with(
        &self,
        column: Column,
        key: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<Bytes>, ReadError> {
        match self.read(column, key, options) {
            Ok(None) => Ok(None),
            Ok(Some(row)) => self.opened(column, key, row).map(Some),
            Err(error) => Err(status::read_error(&error, column, key)),
        }
    }
}

impl StorageEngine for RocksDbEngine {
    fn write(&self, batches: &[Batch], durability: Durability) -> Result<(), WriteError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(WriteError::Stopped);
        }
        if adds_rows(batches) {
            let bytes = batches.iter().map(Batch::encoded_bytes).sum();
            self.reserve.check(bytes)?;
        }
        let options = match durability {
            Durability::Buffered => &self.buffered,
            Durability::Synced => &self.synced,
        };
        self.db.write_opt(self.encode(batches), options).map_err(|error| self.failed(&error))
    }

    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.get_with(column, key, &ReadOptions::default())
    }

    fn get_cached(&self, column: Column, key: &[u8]) -> Result<CachedRead, ReadError> {
        match self.read(column, key, &self.cached) {
            Ok(None) => Ok(CachedRead::Absent),
            Ok(Some(row)) => self.opened(column, key, row).map(CachedRead::Found),
            Err(error) if error.kind() == ErrorKind::Incomplete => Ok(CachedRead::NotCached),
            Err(error) => Err(status::read_error(&error, column, key)),
        }
    }

    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), ScanError> {
        scan::scan(self, &self.db.snapshot(), column, range, visit)
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(DiskSnapshot { engine: self, snapshot: self.db.snapshot() })
    }

    fn checkpoint(&self, target: &Path) -> Result<(), CheckpointError> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(target))
            .map_err(|error| CheckpointError::Io { detail: error.into_string() })
    }

    fn statistics(&self) -> Result<Statistics, StatisticsError> {
        statistics::read(self)
    }
}

impl fmt::Debug for RocksDbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksDbEngine")
            .field("directory", &self.db.path())
            .field("columns", &self.columns.len())
            .field("recovery", &self.recovery)
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

struct DiskSnapshot<'a> {
    engine: &'a RocksDbEngine,
    snapshot: SnapshotWithThreadMode<'a, DB>,
}

impl Snapshot for DiskSnapshot<'_> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        self.engine.get_with(column, key, &options)
    }

    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), ScanError> {
        scan::scan(self.engine, &self.snapshot, column, range, visit)
    }
}
