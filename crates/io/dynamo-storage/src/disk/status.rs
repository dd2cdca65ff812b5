//! What RocksDB's failures mean. Its interface for other languages has only text, so text it is;
//! the forms are those of RocksDB 11 on Linux, and each has a test.

use bytes::Bytes;

use crate::batch::Column;
use crate::error::{ReadError, WriteError};

/// How RocksDB begins the message of a sync that failed.
const FAILED_SYNCS: [&str; 4] =
    ["While fdatasync", "While fsync", "While sync_file_range", "While closing file after fsync"];

/// Whether the bytes are gone rather than merely out of reach: a checksum that does not fit, a
/// file that is too short or missing, or a sector that the disk gave up on.
pub(super) fn is_damage(error: &rocksdb::Error) -> bool {
    tells_of_damage(error.as_ref())
}

pub(super) fn read_error(error: &rocksdb::Error, column: Column, key: &[u8]) -> ReadError {
    if is_damage(error) {
        tracing::error!(%error, column = column.0, "a read met damage");
        return ReadError::Damaged { column, key: Bytes::copy_from_slice(key) };
    }
    ReadError::Io { detail: error.to_string() }
}

pub(super) fn write_error(error: &rocksdb::Error) -> WriteError {
    judged(error.to_string())
}

fn tells_of_damage(text: &str) -> bool {
    let gone = ["Input/output error", "No such file or directory"];
    text.starts_with("Corruption: ")
        || text.starts_with("IO error: ") && gone.iter().any(|cause| text.contains(cause))
}

fn judged(detail: String) -> WriteError {
    // A sync that fails for want of space has still lost what it was to keep, so this comes first.
    if FAILED_SYNCS.iter().any(|sync| detail.contains(sync)) {
        WriteError::SyncFailed { detail }
    } else if detail.starts_with("IO error: No space left on device") {
        WriteError::DiskFull { detail }
    } else {
        WriteError::Io { detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sync_is_never_taken_for_a_full_disk() {
        for text in [
            "IO error: While fdatasync: /d/000012.log: Input/output error",
            "IO error: No space left on device: While fdatasync: /d/000012.log: No space left on device",
            "IO error: While fsync: a directory: Input/output error",
            "IO error: While sync_file_range returned -1: /d/000012.sst: Input/output error",
        ] {
            assert!(matches!(judged(text.into()), WriteError::SyncFailed { .. }), "{text}");
        }
    }

    #[test]
    fn only_a_lack_of_space_is_a_full_disk() {
        let full = "IO error: No space left on device: While appending to file: /d/000012.log: \
                    No space left on device";
        assert!(judged(full.into()).is_certain());
        for text in [
            "IO error: While appending to file: /d/000012.log: Input/output error",
            "Corruption: block checksum mismatch in No space left on device.sst",
            "Shutdown in progress: ",
        ] {
            assert!(matches!(judged(text.into()), WriteError::Io { .. }), "{text}");
        }
    }

    #[test]
    fn bytes_out_of_reach_are_not_damage() {
        assert!(tells_of_damage("Corruption: block checksum mismatch"));
        assert!(tells_of_damage(
            "IO error: While pread offset 0 len 9: /d/9.sst: Input/output error"
        ));
        assert!(tells_of_damage(
            "IO error: No such file or directory: While open a file: /d/000012.blob: No such file or directory"
        ));
        assert!(!tells_of_damage("IO error: While open a file: /d/9.sst: Too many open files"));
        assert!(!tells_of_damage("Result incomplete: no block cache"));
    }
}
