//! How each operation fails, and what the caller may conclude.

use bytes::Bytes;
use thiserror::Error;

use crate::batch::Column;

/// Why a write was not done.
///
/// After [`DiskFull`](Self::DiskFull) and [`Stopped`](Self::Stopped) nothing was applied, for
/// certain. After [`SyncFailed`](Self::SyncFailed) and [`Io`](Self::Io) readers do not see the
/// write, but it may be found after a restart: its outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    /// No space, or less than the reserve. Nothing was applied; writes succeed again by themselves
    /// when space has returned.
    #[error("the disk is full: {detail}")]
    DiskFull {
        /// What was missing, or what the system said.
        detail: String,
    },
    /// The disk did not confirm a sync. What it holds now is anyone's guess, and a second sync
    /// could succeed without having written anything, so the engine has stopped.
    #[error("the disk did not confirm a sync, writes stop until a restart: {detail}")]
    SyncFailed {
        /// What the system said.
        detail: String,
    },
    /// An earlier failure stopped all writes until a restart. Nothing was applied.
    #[error("writes are stopped until a restart after an earlier failure")]
    Stopped,
    /// The write failed otherwise.
    #[error("the write failed: {detail}")]
    Io {
        /// What the system said.
        detail: String,
    },
}

impl WriteError {
    /// Whether it is certain that nothing was applied, now or after a restart.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Stopped)
    }
}

/// Why a row could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The bytes found are not the bytes written. If the damage covers more than one row, the row
    /// asked for may not even have existed.
    #[error("the row {key:?} of column {} is damaged", column.0)]
    Damaged {
        /// Where.
        column: Column,
        /// The row asked for.
        key: Bytes,
    },
    /// The disk could not be read; the row may be fine.
    #[error("the read failed: {detail}")]
    Io {
        /// What the system said.
        detail: String,
    },
}

/// Why a scan ended early. Damage does not end a scan: it is an item of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScanError {
    /// The disk could not be read.
    #[error("the scan failed: {detail}")]
    Io {
        /// What the system said.
        detail: String,
    },
}

/// Why no checkpoint was made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// This engine keeps nothing that could be linked or copied.
    #[error("this engine has no files to checkpoint")]
    Unsupported,
    /// The files could not be linked or written; the target may be incomplete.
    #[error("the checkpoint failed: {detail}")]
    Io {
        /// What the system said.
        detail: String,
    },
}

/// Why there are no figures.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StatisticsError {
    /// The engine or the file system did not answer.
    #[error("the statistics could not be read: {detail}")]
    Io {
        /// What the system said.
        detail: String,
    },
}
