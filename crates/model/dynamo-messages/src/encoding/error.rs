//! Why bytes are no message.

use alloc::string::String;
use core::str::Utf8Error;

use dynamo_types::{BucketError, KeyError, ReplicationError};
use dynamo_versioning::{DecodeDotSetError, DecodeRecordError};
use thiserror::Error;

/// Why a frame is no message. Whoever sent it does not speak the agreed version: close the link.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Too short for the kind and the number that every message begins with.
    #[error("a frame of {length} bytes is too short for a message")]
    Truncated {
        /// Bytes of the frame.
        length: usize,
    },
    /// No message of this version, or none that this side may receive.
    #[error("no such message: kind {kind}")]
    UnknownKind {
        /// What the frame names.
        kind: u8,
    },
    /// The archive points outside the frame, overlaps itself or is cut short.
    #[error("the layout of a {message} message is broken: {reason}")]
    Layout {
        /// Which message.
        message: &'static str,
        /// What the validation found first.
        reason: String,
    },
    /// A field holds what its type cannot.
    #[error("field {field} of a {message} message is refused")]
    Field {
        /// Which message.
        message: &'static str,
        /// Which field.
        field: &'static str,
        /// Why.
        source: FieldError,
    },
}

/// Why a field's content is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldError {
    /// Not a bucket's name.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Not a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not an N.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// Not a record's canonical bytes.
    #[error(transparent)]
    Record(#[from] DecodeRecordError),
    /// Not the canonical bytes of a set of dots.
    #[error(transparent)]
    Dots(#[from] DecodeDotSetError),
    /// The bytes end inside the field.
    #[error("the bytes end too early")]
    Short,
    /// A number is written with more bytes than it needs, or does not fit 64 bits.
    #[error("a number is not written in its shortest form")]
    Overlong,
    /// Something follows the last field.
    #[error("{0} bytes follow")]
    Trailing(usize),
    /// Not text.
    #[error(transparent)]
    Text(#[from] Utf8Error),
    /// A number that stands for nothing.
    #[error("{0} stands for nothing")]
    Number(u64),
    /// More than the bound of this field.
    #[error("{found} items or bytes, where at most {max} may be")]
    TooMany {
        /// How many there are.
        found: usize,
        /// The bound.
        max: usize,
    },
    /// A partition table that is no multiple of N.
    #[error("{found} replicas cannot be shared out to sets of {n}")]
    Uneven {
        /// How many there are.
        found: usize,
        /// The cluster's N.
        n: u8,
    },
}
