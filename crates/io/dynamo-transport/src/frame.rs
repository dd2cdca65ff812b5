//! Frames: how payloads stand in a lane's byte stream. Bytes in, bytes out, no IO.
//!
//! ```text
//! lane stream = lane u8, frame*
//! frame       = payload length u32 | version u8 | flags u8 | crc32 of the payload u32 | payload
//! ```
//! Integers are little-endian. The version is that of the frame, not of what it carries. No flag is
//! defined yet, and a frame with an unknown one is refused: it would mean that the payload cannot
//! be read as it stands.
//!
//! QUIC has authenticated every byte. The checksum is against what goes wrong above it: a
//! defective memory, a mistake in the framing itself.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::close::CloseCode;

/// The bytes of a frame before its payload.
pub const HEADER_BYTES: usize = 10;

/// The version of frames that this release writes and reads.
pub const FRAME_VERSION: u8 = 1;

/// Payloads up to this size are copied next to their headers, so that many small frames become one
/// piece; larger ones are passed on as they are. 1 KiB: copying it costs less than handling two pieces.
const COPY_BYTES_MAX: usize = 1024;

/// Why a byte stream is not a sequence of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The payload would be longer than the cap.
    #[error("frame of {length} bytes, at most {max} are allowed")]
    Length {
        /// The length in the header.
        length: usize,
        /// The cap.
        max: usize,
    },
    /// Another version, or a flag that is not known.
    #[error("frame of version {version} with flags {flags:#04x}")]
    Version {
        /// The version in the header.
        version: u8,
        /// The flags in the header.
        flags: u8,
    },
    /// The payload is not what was sent.
    #[error("frame whose payload has checksum {actual:#010x}, not {stated:#010x}")]
    Checksum {
        /// The checksum in the header.
        stated: u32,
        /// The payload's.
        actual: u32,
    },
}

impl FrameError {
    pub(crate) fn close_code(self) -> CloseCode {
        match self {
            Self::Length { .. } => CloseCode::FrameLength,
            Self::Version { .. } => CloseCode::FrameVersion,
            Self::Checksum { .. } => CloseCode::FrameChecksum,
        }
    }
}

/// The header of a frame with this payload, whose length must fit in 32 bits.
#[must_use]
pub fn header(payload: &[u8]) -> [u8; HEADER_BYTES] {
    let length = u32::try_from(payload.len()).expect("a queue takes no payload beyond its cap");
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4] = FRAME_VERSION;
    header[6..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    header
}

/// Lays frames out as pieces to be written one after the other. Small frames share a piece, large
/// payloads are pieces of their own and are not copied.
pub(crate) fn pack(payloads: &mut Vec<Bytes>, pieces: &mut Vec<Bytes>) {
    let copied = |payload: &Bytes| match payload.len() {
        small if small <= COPY_BYTES_MAX => HEADER_BYTES + small,
        _ => HEADER_BYTES,
    };
    let mut piece = BytesMut::with_capacity(payloads.iter().map(copied).sum());
    for payload in payloads.drain(..) {
        piece.put_slice(&header(&payload));
        if payload.len() <= COPY_BYTES_MAX {
            piece.put_slice(&payload);
        } else {
            pieces.push(piece.split().freeze());
            pieces.push(payload);
        }
    }
    if !piece.is_empty() {
        pieces.push(piece.freeze());
    }
}

/// Finds the frames in a byte stream that arrives in chunks of any size.
///
/// After an error the decoder is of no further use: where the next frame begins is unknown.
#[derive(Debug)]
pub struct FrameDecoder {
    /// The beginning of a frame whose rest has not arrived. Never longer than header and cap, and
    /// it grows with what arrived, not with what a header announced.
    partial: BytesMut,
    payload_bytes_max: usize,
}

/// A header that was checked.
struct Header {
    length: usize,
    checksum: u32,
}

impl FrameDecoder {
    /// A decoder that refuses payloads longer than `payload_bytes_max`.
    #[must_use]
    pub fn new(payload_bytes_max: usize) -> Self {
        Self { partial: BytesMut::new(), payload_bytes_max }
    }

    /// Takes the next chunk and appends the payloads that it completes. A payload that lies within
    /// one chunk is a part of it, not a copy, and keeps all of it in memory.
    ///
    /// # Errors
    /// The bytes are not frames. Payloads completed before are appended all the same.
    pub fn push(&mut self, mut chunk: Bytes, payloads: &mut Vec<Bytes>) -> Result<(), FrameError> {
        while !self.partial.is_empty() {
            // First to the end of the header, then, when the length is known, to that of the frame.
            let wanted = match self.check_header(&self.partial)? {
                None => HEADER_BYTES,
                Some(header) => HEADER_BYTES + header.length,
            };
            let taken = chunk.split_to(chunk.len().min(wanted - self.partial.len()));
            self.partial.extend_from_slice(&taken);
            let Some(header) = self.check_header(&self.partial)? else { return Ok(()) };
            if self.partial.len() == HEADER_BYTES + header.length {
                let frame = std::mem::take(&mut self.partial).freeze();
                payloads.push(verify(frame.slice(HEADER_BYTES..), &header)?);
            } else if chunk.is_empty() {
                return Ok(());
            }
        }
        while let Some(header) = self.check_header(&chunk)? {
            if chunk.len() < HEADER_BYTES + header.length {
                break;
            }
            let frame = chunk.split_to(HEADER_BYTES + header.length);
            payloads.push(verify(frame.slice(HEADER_BYTES..), &header)?);
        }
        self.partial.extend_from_slice(&chunk);
        Ok(())
    }

    /// Whether the stream stands between two frames.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        self.partial.is_empty()
    }

    fn check_header(&self, bytes: &[u8]) -> Result<Option<Header>, FrameError> {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let [l0, l1, l2, l3, version, flags, c0, c1, c2, c3] = *header;
        if version != FRAME_VERSION || flags != 0 {
            return Err(FrameError::Version { version, flags });
        }
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if length > self.payload_bytes_max {
            return Err(FrameError::Length { length, max: self.payload_bytes_max });
        }
        Ok(Some(Header { length, checksum: u32::from_le_bytes([c0, c1, c2, c3]) }))
    }
}

fn verify(payload: Bytes, header: &Header) -> Result<Bytes, FrameError> {
    let actual = crc32fast::hash(&payload);
    if actual == header.checksum {
        Ok(payload)
    } else {
        Err(FrameError::Checksum { stated: header.checksum, actual })
    }
}
