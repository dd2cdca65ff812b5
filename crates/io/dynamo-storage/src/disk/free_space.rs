//! The reserve of free space: writes that add rows are refused while there is still room for what
//! makes room.

use std::path::PathBuf;

use nix::sys::statvfs::statvfs;

use crate::error::WriteError;

/// A minimum of free bytes on the file system of a directory.
///
/// Merging files needs space before it gives any back, and so do removals. A disk that was allowed
/// to fill to the last byte can do neither.
#[derive(Debug)]
pub(super) struct Reserve {
    directory: PathBuf,
    bytes: u64,
}

impl Reserve {
    pub(super) fn new(directory: PathBuf, bytes: u64) -> Self {
        Self { directory, bytes }
    }

    /// Refuses a write of `bytes` that would cut into the reserve. It asks the file system every
    /// time: that costs about a microsecond, and once per group of writes.
    pub(super) fn check(&self, bytes: usize) -> Result<(), WriteError> {
        let free = match self.free_bytes() {
            Ok(free) => free,
            // The write itself will tell whether there is a problem.
            Err(error) => {
                tracing::warn!(%error, "cannot read the free space");
                return Ok(());
            }
        };
        if free < self.bytes.saturating_add(bytes as u64) {
            let detail = format!("{free} bytes are free, {} are kept in reserve", self.bytes);
            return Err(WriteError::DiskFull { detail });
        }
        Ok(())
    }

    pub(super) fn free_bytes(&self) -> nix::Result<u64> {
        let status = statvfs(&self.directory)?;
        Ok(status.blocks_available().saturating_mul(status.fragment_size()))
    }
}
