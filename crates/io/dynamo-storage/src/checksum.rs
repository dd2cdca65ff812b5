//! The checksum that every row carries.
//!
//! It covers the column's name, the key's length, the key and the value. So it catches flipped
//! bits, and also a row that turns up whole in the wrong place, which block checksums do not.

use crc32fast::Hasher;

/// Bytes that a checksum adds to a row.
#[cfg(feature = "rocksdb")]
pub(crate) const CHECKSUM_BYTES: usize = 4;

/// Computes the checksums of one column.
#[derive(Debug, Clone)]
pub(crate) struct RowChecksum {
    after_name: Hasher,
}

impl RowChecksum {
    pub(crate) fn new(column_name: &str) -> Self {
        let mut after_name = Hasher::new();
        after_name.update(column_name.as_bytes());
        Self { after_name }
    }

    pub(crate) fn of(&self, key: &[u8], value: &[u8]) -> u32 {
        let mut hasher = self.after_name.clone();
        // Without the length, moving the border between key and value would go unnoticed.
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        hasher.finalize()
    }

    /// Writes the row as it is stored, the value and its checksum, into `row`.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn seal(&self, key: &[u8], value: &[u8], row: &mut Vec<u8>) {
        row.clear();
        row.extend_from_slice(value);
        row.extend_from_slice(&self.of(key, value).to_le_bytes());
    }

    /// The value in a stored row, `None` if it is damaged.
    #[cfg(feature = "rocksdb")]
    pub(crate) fn open<'a>(&self, key: &[u8], row: &'a [u8]) -> Option<&'a [u8]> {
        let (value, checksum) = row.split_last_chunk::<CHECKSUM_BYTES>()?;
        (self.of(key, value) == u32::from_le_bytes(*checksum)).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_key_value_and_the_borders_between_them_matter() {
        let reference = RowChecksum::new("rows").of(b"key", b"value");
        assert_ne!(reference, RowChecksum::new("row").of(b"skey", b"value"));
        assert_ne!(reference, RowChecksum::new("rows").of(b"keyv", b"alue"));
        assert_ne!(reference, RowChecksum::new("rows").of(b"kex", b"value"));
        assert_ne!(reference, RowChecksum::new("rows").of(b"key", b"valuf"));
    }
}
