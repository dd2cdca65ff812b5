//! The contract of a storage engine.

use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;

use crate::batch::{Batch, Column, Durability};
use crate::error::{CheckpointError, ReadError, ScanError, StatisticsError, WriteError};
use crate::range::KeyRange;

/// A store of rows in named columns, ordered by key as unsigned bytes.
///
/// - A write is applied whole or not at all, also across columns, and seen by every later read.
/// - After a crash, what is found is what was written up to some moment, without holes, and that
///   moment is not before the last synced write.
/// - A row that is not what was written is reported as damaged, never returned and never skipped.
///
/// All methods may be called from any thread and, [`get_cached`](Self::get_cached) apart, may wait
/// for the disk. A [`Column`] that the engine was not opened with is a bug of the caller and
/// panics.
pub trait StorageEngine: Send + Sync + 'static {
    /// Applies the batches, in order, as one.
    ///
    /// # Errors
    /// [`WriteError`] says which failures are certain to have applied nothing.
    fn write(&self, batches: &[Batch], durability: Durability) -> Result<(), WriteError>;

    /// The value of a row, `None` if there is no such row.
    ///
    /// # Errors
    /// The row is damaged or the disk unreadable.
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, ReadError>;

    /// The value of a row if memory alone can tell.
    ///
    /// # Errors
    /// The row is damaged.
    fn get_cached(&self, column: Column, key: &[u8]) -> Result<CachedRead, ReadError>;

    /// Visits the rows of a range in key order, as they were at one moment, until `visit` breaks.
    ///
    /// # Errors
    /// The disk is unreadable. Damage is an item and does not end the scan.
    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), ScanError>;

    /// All columns as they are now, whatever is written later. It keeps superseded rows from being
    /// reclaimed, so it should not live longer than one task.
    fn snapshot(&self) -> Box<dyn Snapshot + '_>;

    /// Makes a copy of the present state in `target`, which must not exist, in a directory that
    /// does. On one file system it costs links, not copies.
    ///
    /// # Errors
    /// The engine has no files, or they cannot be linked.
    fn checkpoint(&self, target: &Path) -> Result<(), CheckpointError>;

    /// Figures for metrics; estimates, read without touching rows.
    ///
    /// # Errors
    /// The engine or the file system does not answer.
    fn statistics(&self) -> Result<Statistics, StatisticsError>;
}

/// All columns as they were at one moment.
pub trait Snapshot: Send {
    /// As [`StorageEngine::get`], at that moment.
    ///
    /// # Errors
    /// The row is damaged or the disk unreadable.
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, ReadError>;

    /// As [`StorageEngine::scan`], at that moment.
    ///
    /// # Errors
    /// The disk is unreadable.
    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), ScanError>;
}

/// What a scan calls for each item; `Break` ends the scan.
pub type Visit<'a> = dyn FnMut(ScanItem<'_>) -> ControlFlow<()> + 'a;

/// What a scan meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanItem<'a> {
    /// A row as it was written.
    Row {
        /// Its name.
        key: &'a [u8],
        /// Its content.
        value: &'a [u8],
    },
    /// A row whose bytes are not what was written.
    DamagedRow {
        /// Its name, which may itself be damaged.
        key: &'a [u8],
    },
    /// A stretch that cannot be read; which rows it held is not known.
    DamagedRange {
        /// The first name that may be missing.
        from: &'a [u8],
        /// The first name after the stretch; `None` if it reaches the end of the scan.
        until: Option<&'a [u8]>,
    },
}

/// What memory alone can tell about a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachedRead {
    /// Its value.
    Found(Bytes),
    /// There is no such row.
    Absent,
    /// The disk must be asked: [`StorageEngine::get`].
    NotCached,
}

/// Figures of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnStatistics {
    /// The column's name.
    pub name: &'static str,
    /// About how many rows it holds.
    pub rows: u64,
    /// About how many bytes they occupy, compressed, on disk and in memory.
    pub bytes: u64,
}

/// Figures of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// One entry per column, in the order the engine was opened with.
    pub columns: Vec<ColumnStatistics>,
    /// Bytes that background merging still has to rewrite.
    pub pending_compaction_bytes: u64,
    /// Bytes left on the file system; `None` where there is none.
    pub free_bytes: Option<u64>,
    /// Whether a failure stopped writes until a restart.
    pub stopped: bool,
}
