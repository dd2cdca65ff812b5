//! Fields from the front of received bytes.

use alloc::string::String;

use super::encoding::DecodeGossipError;

/// A place in bytes that moves forward with each field.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How much is left.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], DecodeGossipError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(DecodeGossipError::Truncated)?;
        self.rest = rest;
        Ok(*field)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeGossipError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeGossipError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeGossipError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A text with its length in two bytes.
    pub(super) fn text(&mut self) -> Result<String, DecodeGossipError> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        let (text, rest) =
            self.rest.split_at_checked(length).ok_or(DecodeGossipError::Truncated)?;
        self.rest = rest;
        let text = core::str::from_utf8(text).map_err(|_| DecodeGossipError::Text)?;
        Ok(text.into())
    }
}
