//! The canonical bytes of a record, the same on every replica that holds the same state.
//!
//! ```text
//! version: 1 byte     context: a set of dots     greatest timestamp: 8 bytes
//! siblings: varint    claims: 1 byte, 0 or 1
//! per sibling, ascending by dot:
//!   actor: 8 bytes    counter: varint    timestamp: 8 bytes    flags: 1 byte
//!   [expiry: 8 bytes] request: 16 bytes  digest: 16 bytes
//!   [content type: varint and bytes]     [value: varint and bytes]
//!   [claim: a set of dots]
//! ```
//! Claims are there unless a lone sibling claims the whole context. Flag 1 says tombstone (no content type, no value), flag 2 says that there is an expiry. Fixed
//! numbers are big-endian. Decoding slices the input and copies no value.

use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::{ActorId, RequestId, WallTime};
use thiserror::Error;

use super::{Record, RecordPartsError};
use crate::cursor::{Cursor, ReadFieldError};
use crate::dot::Dot;
use crate::dot_set::{DecodeDotSetError, DotSet};
use crate::hybrid_clock::Hlc;
use crate::sibling::{BodyDigest, Content, Sibling};
use crate::varint;

const VERSION: u8 = 1;
const TOMBSTONE: u8 = 1;
const EXPIRES: u8 = 2;

/// The fewest bytes that a sibling can take, for bounding allocations by the input.
const SIBLING_BYTES_MIN: usize = 50;

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeRecordError {
    /// A format of another program version.
    #[error("record has format version {0}, not {VERSION}")]
    Version(u8),
    /// A field is cut short or not in its shortest form.
    #[error("record is cut short or has a malformed number")]
    Field(#[from] ReadFieldError),
    /// The context or a claim is malformed.
    #[error("record has a malformed context or claim")]
    Context(#[from] DecodeDotSetError),
    /// A sibling has flags that mean nothing.
    #[error("sibling has unknown flags {0:#04x}")]
    Flags(u8),
    /// The byte that says whether claims follow is neither 0 nor 1.
    #[error("record says {0:#04x} of its claims")]
    Claims(u8),
    /// The parts do not make a record.
    #[error("record has inconsistent parts")]
    Parts(#[from] RecordPartsError),
    /// Something follows the record.
    #[error("{0} bytes follow the record")]
    Trailing(usize),
}

impl Record {
    /// The canonical bytes: equal for equal records, different for different ones.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.encode_into(&mut out);
        out.into()
    }

    /// How many bytes [`Record::encode`] gives.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let siblings: usize = self.siblings.iter().map(sibling_len).sum();
        let claims: usize = self.claims.iter().map(DotSet::encoded_len).sum();
        1 + self.context.encoded_len()
            + size_of::<u64>()
            + varint::len(self.siblings.len() as u64)
            + 1
            + siblings
            + claims
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.context.encode(out);
        out.extend_from_slice(&self.hlc_max.0.to_be_bytes());
        varint::write(out, self.siblings.len() as u64);
        out.push(u8::from(!self.claims.is_empty()));
        for (place, sibling) in self.siblings.iter().enumerate() {
            encode_sibling(sibling, out);
            if let Some(claim) = self.claims.get(place) {
                claim.encode(out);
            }
        }
    }

    /// Reads a record from all of `bytes`. Values are slices of the input; memory use is bounded by
    /// its length.
    ///
    /// # Errors
    /// Refuses everything that [`Record::encode`] would not have written.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeRecordError> {
        let mut cursor = Cursor::new(bytes);
        let version = cursor.byte()?;
        if version != VERSION {
            return Err(DecodeRecordError::Version(version));
        }
        let context = decode_set(&mut cursor)?;
        let hlc_max = Hlc(cursor.u64()?);
        let count = cursor.varint()?;
        let has_claims = match cursor.byte()? {
            0 => false,
            1 => true,
            other => return Err(DecodeRecordError::Claims(other)),
        };
        let most = cursor.remaining() / SIBLING_BYTES_MIN;
        let mut siblings = Vec::with_capacity(usize::try_from(count).unwrap_or(most).min(most));
        let mut claims = Vec::new();
        for _ in 0..count {
            siblings.push(decode_sibling(bytes, &mut cursor)?);
            if has_claims {
                claims.push(decode_set(&mut cursor)?);
            }
        }
        if has_claims && claims.is_empty() {
            return Err(DecodeRecordError::Claims(1));
        }
        match cursor.remaining() {
            0 => Ok(Self::from_canonical_parts(context, hlc_max, siblings, claims)?),
            more => Err(DecodeRecordError::Trailing(more)),
        }
    }
}

fn decode_set(cursor: &mut Cursor<'_>) -> Result<DotSet, DecodeRecordError> {
    let (set, taken) = DotSet::decode(cursor.rest())?;
    cursor.skip(taken as u64)?;
    Ok(set)
}

fn sibling_len(sibling: &Sibling) -> usize {
    let content = match &sibling.content {
        Content::Tombstone => 0,
        Content::Value { bytes, content_type } => [content_type, bytes]
            .map(|field| varint::len(field.len() as u64) + field.len())
            .iter()
            .sum(),
    };
    let expiry = if sibling.expires_at.is_some() { 8 } else { 0 };
    8 + varint::len(sibling.dot.counter) + 8 + 1 + expiry + 16 + 16 + content
}

fn encode_sibling(sibling: &Sibling, out: &mut Vec<u8>) {
    out.extend_from_slice(&sibling.dot.actor.0.to_be_bytes());
    varint::write(out, sibling.dot.counter);
    out.extend_from_slice(&sibling.hlc.0.to_be_bytes());
    let tombstone = if sibling.is_tombstone() { TOMBSTONE } else { 0 };
    out.push(tombstone | if sibling.expires_at.is_some() { EXPIRES } else { 0 });
    if let Some(at) = sibling.expires_at {
        out.extend_from_slice(&at.0.to_be_bytes());
    }
    out.extend_from_slice(&sibling.request.0.to_be_bytes());
    out.extend_from_slice(&sibling.digest.0.to_be_bytes());
    if let Content::Value { bytes, content_type } = &sibling.content {
        for field in [content_type, bytes] {
            varint::write(out, field.len() as u64);
            out.extend_from_slice(field);
        }
    }
}

fn decode_sibling(bytes: &Bytes, cursor: &mut Cursor<'_>) -> Result<Sibling, DecodeRecordError> {
    let actor = ActorId(cursor.u64()?);
    let dot = Dot { actor, counter: cursor.varint()? };
    let hlc = Hlc(cursor.u64()?);
    let flags = cursor.byte()?;
    if flags & !(TOMBSTONE | EXPIRES) != 0 {
        return Err(DecodeRecordError::Flags(flags));
    }
    let expires_at = if flags & EXPIRES != 0 { Some(WallTime(cursor.u64()?)) } else { None };
    let request = RequestId(cursor.u128()?);
    let digest = BodyDigest(cursor.u128()?);
    let content = if flags & TOMBSTONE != 0 {
        Content::Tombstone
    } else {
        let content_type = slice(bytes, cursor)?;
        Content::Value { bytes: slice(bytes, cursor)?, content_type }
    };
    Ok(Sibling { dot, hlc, content, expires_at, request, digest })
}

fn slice(bytes: &Bytes, cursor: &mut Cursor<'_>) -> Result<Bytes, ReadFieldError> {
    let length = cursor.varint()?;
    let start = cursor.skip(length)?;
    Ok(bytes.slice(start..cursor.at()))
}
