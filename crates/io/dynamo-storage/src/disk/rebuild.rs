//! Copying what is still readable out of a database whose files are damaged.
//!
//! Readers get along with a damaged file, but merging does not: RocksDB stops all writes when it
//! meets one, and would do so again after every restart. So the engine leaves a marker, and the
//! next opening copies every readable row into a new database and puts that in the old one's place.
//! It needs the space for a second copy while it runs.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::recovery::{self, OpenError, Recovery};
use super::{OpenOptions, RocksDbEngine};
use crate::batch::{Batch, Column, Durability};
use crate::engine::{ScanItem, StorageEngine};
use crate::range::keys;

/// Left in the database's directory when merging met damage.
const MARKER: &str = "REBUILD";

/// Rows are copied in writes of about this size.
const COPY_BYTES: usize = 1 << 20;

/// Asks the next opening for a rebuild.
pub(super) fn request(directory: &Path) -> io::Result<()> {
    File::create(directory.join(MARKER))?.sync_all()?;
    File::open(directory)?.sync_all()
}

/// Does what was asked for, or finishes what a crash interrupted.
pub(super) fn run_if_requested(options: &OpenOptions) -> Result<(), OpenError> {
    let places = Places::beside(&options.directory);
    let failed = |error: io::Error| OpenError::Io {
        path: options.directory.clone(),
        detail: error.to_string(),
    };
    // The old directory is moved away only when the new one is complete.
    if !options.directory.try_exists().map_err(failed)?
        && places.old.try_exists().map_err(failed)?
    {
        places.put_new_in_place().map_err(failed)?;
    }
    places.remove_old().map_err(failed)?;
    if options.directory.join(MARKER).try_exists().map_err(failed)? {
        remove_if_there(&places.new).map_err(failed)?;
        copy_readable_rows(options, &places.new)?;
        fs::rename(&places.current, &places.old).map_err(failed)?;
        places.put_new_in_place().map_err(failed)?;
        places.remove_old().map_err(failed)?;
    }
    Ok(())
}

fn copy_readable_rows(options: &OpenOptions, new: &Path) -> Result<(), OpenError> {
    tracing::warn!(directory = %options.directory.display(), "rebuilding a damaged database");
    let (db, _) = recovery::open_without_merging(options)?;
    let source = RocksDbEngine::assemble(db, options, Recovery::Shortened);
    let new_options =
        OpenOptions { directory: new.to_path_buf(), used_before: false, ..options.clone() };
    let (db, _) = recovery::open(&new_options)?;
    let target = RocksDbEngine::assemble(db, &new_options, Recovery::Clean);
    let failed = |detail: String| OpenError::Io { path: options.directory.clone(), detail };

    let mut damaged = 0_u64;
    for column in (0..options.columns.len()).map(Column) {
        let mut batch = Batch::new();
        let mut batch_bytes = 0;
        let mut written = Ok(());
        let scanned = source.scan(column, &keys(..), &mut |item| {
            match item {
                ScanItem::Row { key, value } => {
                    batch.put(column, key.to_vec(), value.to_vec());
                    batch_bytes += key.len() + value.len();
                }
                ScanItem::DamagedRow { .. } | ScanItem::DamagedRange { .. } => damaged += 1,
            }
            if batch_bytes < COPY_BYTES {
                return ControlFlow::Continue(());
            }
            batch_bytes = 0;
            written = target.write(&[std::mem::take(&mut batch)], Durability::Buffered);
            if written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        scanned.map_err(|error| failed(error.to_string()))?;
        written
            .and_then(|()| target.write(&[batch], Durability::Buffered))
            .map_err(|error| failed(error.to_string()))?;
    }
    target.db.flush_wal(true).map_err(|error| failed(error.into_string()))?;
    recovery::mark(new, Recovery::Shortened).map_err(|error| failed(error.to_string()))?;
    tracing::warn!(damaged, "rebuilt; damaged rows and ranges were left out");
    Ok(())
}

/// The database's directory and its neighbours during a rebuild.
struct Places {
    current: PathBuf,
    new: PathBuf,
    old: PathBuf,
}

impl Places {
    fn beside(directory: &Path) -> Self {
        let named = |suffix: &str| {
            let mut name = directory.as_os_str().to_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self { current: directory.to_path_buf(), new: named(".rebuilt"), old: named(".damaged") }
    }

    fn put_new_in_place(&self) -> io::Result<()> {
        fs::rename(&self.new, &self.current)?;
        recovery::sync_parent(&self.current)
    }

    fn remove_old(&self) -> io::Result<()> {
        remove_if_there(&self.old)
    }
}

fn remove_if_there(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
