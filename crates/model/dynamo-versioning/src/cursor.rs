//! Reading canonical bytes from the front: whatever is short or written in a second way is refused.

use thiserror::Error;

/// Why the next field could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadFieldError {
    /// The bytes end inside the field.
    #[error("bytes end inside a field")]
    Truncated,
    /// A number is written with more bytes than it needs, or does not fit 64 bits.
    #[error("number is not written in its shortest form")]
    Overlong,
}

/// A place in a slice that moves forward with every field read.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// All that has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Moves over `count` bytes and returns where they begin, so that a caller can slice a shared
    /// buffer instead of copying.
    pub(crate) fn skip(&mut self, count: u64) -> Result<usize, ReadFieldError> {
        let count = usize::try_from(count).map_err(|_| ReadFieldError::Truncated)?;
        if count > self.remaining() {
            return Err(ReadFieldError::Truncated);
        }
        let start = self.at;
        self.at += count;
        Ok(start)
    }

    pub(crate) fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], ReadFieldError> {
        let start = self.skip(SIZE as u64)?;
        Ok(self.bytes[start..self.at].try_into().expect("exactly SIZE bytes were skipped"))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ReadFieldError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u64(&mut self) -> Result<u64, ReadFieldError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn u128(&mut self) -> Result<u128, ReadFieldError> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    /// A number in LEB128, in its shortest form only.
    pub(crate) fn varint(&mut self) -> Result<u64, ReadFieldError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(ReadFieldError::Overlong);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 {
                    Err(ReadFieldError::Overlong)
                } else {
                    Ok(value)
                };
            }
        }
        Err(ReadFieldError::Overlong)
    }
}
