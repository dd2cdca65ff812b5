//! Opening, and finding out whether everything is there.
//!
//! RocksDB's modes of recovery each have a fault: one refuses to start after an ordinary power
//! loss, one starts and says nothing about writes that it left out, one leaves holes. So they are
//! tried from the strictest on, and what it took is the answer. `docs/decisions/0002-wal-recovery.md`
//! tells the whole story.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rocksdb::{DB, DBRecoveryMode, ErrorKind};
use thiserror::Error;

use super::{OpenOptions, log_tail};

/// Left in the database's directory from before a shortened log is cut, or a lost database is created
/// anew, until its owner confirms that it acted on it.
const MARKER: &str = "RECOVERY_SHORTENED";

/// What the marker of a lost database holds; that of a shortened log is empty.
const MISSING: &[u8] = b"missing\n";

/// Names the manifest in use. RocksDB makes it last when it creates a database.
const CURRENT: &str = "CURRENT";

/// What was found at opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Every record was whole: nothing that reached the file is missing.
    Clean,
    /// The log ended in the middle of a record, as after a power loss or a kill during a write.
    /// That record was never reported as synced; all before it is there.
    TornTail,
    /// Synced writes may be missing: a record in the log was damaged, so it and everything after
    /// it is gone; or other files were, and the rows in them are gone.
    Shortened,
    /// There was no database, although its owner had used one before
    /// ([`OpenOptions::used_before`]): the disk was replaced or wiped, and everything is gone.
    Missing,
}

impl Recovery {
    /// Whether writes may be missing that were reported as synced. It is said at every opening until
    /// the owner calls [`acknowledge_recovery`](super::RocksDbEngine::acknowledge_recovery).
    #[must_use]
    pub fn may_lack_synced_writes(self) -> bool {
        match self {
            Self::Clean | Self::TornTail => false,
            Self::Shortened | Self::Missing => true,
        }
    }
}

/// Why a database was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Two columns have one name, or a name that is reserved.
    #[error("the column name {name:?} is used twice or reserved")]
    ColumnName {
        /// The name.
        name: &'static str,
    },
    /// The database on disk has columns that it was not opened with.
    #[error("the columns on disk are others: {detail}")]
    Columns {
        /// What RocksDB said.
        detail: String,
    },
    /// Files are missing or damaged, and not only the log. The directory must be wiped and
    /// filled again.
    #[error("the database in {} is damaged: {detail}", path.display())]
    Damaged {
        /// The database's directory.
        path: PathBuf,
        /// What RocksDB said.
        detail: String,
    },
    /// Anything else: the directory is in use, inaccessible, or on a full disk.
    #[error("cannot open the database in {}: {detail}", path.display())]
    Io {
        /// The database's directory.
        path: PathBuf,
        /// What RocksDB or the system said.
        detail: String,
    },
}

/// Opens the database for use.
pub(super) fn open(options: &OpenOptions) -> Result<(DB, Recovery), OpenError> {
    open_with(options, true)
}

/// Opens the database such that nothing reads its files but who asks for rows.
pub(super) fn open_without_merging(options: &OpenOptions) -> Result<(DB, Recovery), OpenError> {
    open_with(options, false)
}

fn open_with(options: &OpenOptions, merging: bool) -> Result<(DB, Recovery), OpenError> {
    check_names(options)?;
    let path = || options.directory.clone();
    let io_error = |error: io::Error| OpenError::Io { path: path(), detail: error.to_string() };
    fs::create_dir_all(&options.directory).map_err(io_error)?;
    let mut unacknowledged = marked(&options.directory).map_err(io_error)?;
    let is_there = options.directory.join(CURRENT).try_exists().map_err(io_error)?;
    if !is_there && options.used_before {
        // Before anything is created, which would look like a database that is whole.
        mark(&options.directory, Recovery::Missing).map_err(io_error)?;
        unacknowledged = Some(Recovery::Missing);
    }

    let strict = match open_as(options, merging, DBRecoveryMode::AbsoluteConsistency) {
        Ok(db) => {
            if !is_there {
                // What the owner does next may rely on the database outliving a power loss.
                sync_parent(&options.directory).map_err(io_error)?;
            }
            return Ok((db, unacknowledged.unwrap_or(Recovery::Clean)));
        }
        Err(error) => error,
    };
    if strict.kind() != ErrorKind::Corruption {
        return Err(open_error(&strict, options));
    }
    tracing::warn!(error = %strict, "the log is not whole");

    // Where the log ends if the only fault is an unfinished record. Both questions only read:
    // nothing is changed on disk until the marker is.
    let follows = log_tail::something_follows_the_end(&options.directory).map_err(io_error)?;
    let end_if_torn = if follows { None } else { end_of_torn_log(options) };
    let loss = unacknowledged.unwrap_or(Recovery::Shortened);
    mark(&options.directory, loss).map_err(io_error)?;
    let db = open_as(options, merging, DBRecoveryMode::PointInTime)
        .map_err(|error| open_error(&error, options))?;
    // Equal ends mean that no later record was left out, in this log file or a following one.
    if end_if_torn == Some(db.latest_sequence_number()) {
        if unacknowledged.is_none() {
            acknowledge(&options.directory).map_err(io_error)?;
            return Ok((db, Recovery::TornTail));
        }
    } else {
        tracing::error!("synced writes may be missing: the log was damaged before its end");
    }
    Ok((db, loss))
}

/// Removes the marker, durably.
pub(super) fn acknowledge(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(MARKER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::open(directory)?.sync_all(),
    }
}

/// Leaves the marker, durably: the log is cut, or a database created, at opening, and a crash between
/// that and the owner's reaction would otherwise make the next opening look clean.
pub(super) fn mark(directory: &Path, loss: Recovery) -> io::Result<()> {
    let mut marker = File::create(directory.join(MARKER))?;
    if loss == Recovery::Missing {
        marker.write_all(MISSING)?;
    }
    marker.sync_all()?;
    File::open(directory)?.sync_all()
}

/// What the marker says, if it is there.
fn marked(directory: &Path) -> io::Result<Option<Recovery>> {
    match fs::read(directory.join(MARKER)) {
        Ok(text) if text == MISSING => Ok(Some(Recovery::Missing)),
        Ok(_) => Ok(Some(Recovery::Shortened)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the directory's own name durable.
pub(super) fn sync_parent(directory: &Path) -> io::Result<()> {
    let absolute = fs::canonicalize(directory)?;
    absolute.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

fn check_names(options: &OpenOptions) -> Result<(), OpenError> {
    let mut seen = vec![rocksdb::DEFAULT_COLUMN_FAMILY_NAME];
    for spec in &options.columns {
        if seen.contains(&spec.name) {
            return Err(OpenError::ColumnName { name: spec.name });
        }
        seen.push(spec.name);
    }
    Ok(())
}

fn open_as(
    options: &OpenOptions,
    merging: bool,
    mode: DBRecoveryMode,
) -> Result<DB, rocksdb::Error> {
    let families = options.families(merging);
    DB::open_cf_descriptors(&options.database(mode), &options.directory, families)
}

/// The last sequence number in the log, if it is whole but for unfinished records at the ends of
/// its files.
fn end_of_torn_log(options: &OpenOptions) -> Option<u64> {
    let database = options.database(DBRecoveryMode::TolerateCorruptedTailRecords);
    DB::open_cf_descriptors_read_only(&database, &options.directory, options.families(false), false)
        .inspect_err(|error| tracing::warn!(%error, "the log is not merely unfinished"))
        .ok()
        .map(|db| db.latest_sequence_number())
}

fn open_error(error: &rocksdb::Error, options: &OpenOptions) -> OpenError {
    let detail = error.to_string();
    let path = options.directory.clone();
    if super::status::is_damage(error) {
        OpenError::Damaged { path, detail }
    } else if detail.contains("olumn famil") {
        OpenError::Columns { detail }
    } else {
        OpenError::Io { path, detail }
    }
}
