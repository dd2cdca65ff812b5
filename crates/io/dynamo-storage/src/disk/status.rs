//! What RocksDB's failures mean. Its interface for other languages has only text, so text it is;
//! the forms used here are those of RocksDB 11 and each has a test.

use bytes::Bytes;
use rocksdb::ErrorKind;

use crate::batch::Column;
use crate::error::{ReadError, WriteError};

/// Whether the bytes are gone rather than merely out of reach: a checksum that does not fit, a
/// file that is too short or missing, or a sector that the disk gave up on.
pub(super) fn is_damage(error: &rocksdb::Error) -> bool {
    match error.kind() {
        ErrorKind::Corruption => true,
        ErrorKind::IOError => {
            let text: &str = error.as_ref();
            text.contains("Input/output error") || text.contains("No such file or directory")
        }
        _ => false,
    }
}

pub(super) fn read_error(error: &rocksdb::Error, column: Column, key: &[u8]) -> ReadError {
    if is_damage(error) {
        tracing::error!(%error, column = column.0, "a read met damage");
        return ReadError::Damaged { column, key: Bytes::copy_from_slice(key) };
    }
    ReadError::Io { detail: error.to_string() }
}

pub(super) fn write_error(error: &rocksdb::Error) -> WriteError {
    let detail = error.to_string();
    // Told apart before the lack of space: a sync that fails for that reason has still lost what
    // it was to keep.
    let syncs = [
        "While fdatasync",
        "While fsync",
        "While sync_file_range",
        "While closing file after fsync",
    ];
    let in_sync = syncs.iter().any(|call| detail.contains(call));
    if in_sync {
        WriteError::SyncFailed { detail }
    } else if detail.contains("No space left on device") {
        WriteError::DiskFull { detail }
    } else {
        WriteError::Io { detail }
    }
}
