//! The row that a replica keeps for one object.

use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::ActorId;
use thiserror::Error;

use crate::cursor::{Cursor, ReadFieldError};
use crate::dot::DotMint;
use crate::record::{DecodeRecordError, Record};
use crate::varint;

/// The last dot that a process minted into a row which it has held without a break since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnWrite {
    /// The process.
    pub actor: ActorId,
    /// The dot's counter.
    pub counter: u64,
}

/// A record as one replica keeps it: with the note that decides whether the next own put may extend
/// an interval. The note is local: it is neither sent nor part of a record's canonical bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoredRecord {
    /// What is known of the object.
    pub record: Record,
    /// Set by a put, cleared when a merge creates the row, kept when a merge changes it.
    pub own: Option<OwnWrite>,
}

/// Why bytes are no stored record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeStoredRecordError {
    /// The first byte says neither that there is an own write nor that there is none.
    #[error("stored record begins with {0:#04x}")]
    Flag(u8),
    /// The own write is cut short or not in its shortest form.
    #[error("stored record has a malformed own write")]
    Own(#[from] ReadFieldError),
    /// The record is malformed.
    #[error("stored record has a malformed record")]
    Record(#[from] DecodeRecordError),
}

impl StoredRecord {
    /// The row's bytes: one byte for the note's presence, the note, the record's canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let note_bytes_max = 1 + size_of::<u64>() + varint::len(u64::MAX);
        let mut out = Vec::with_capacity(note_bytes_max + self.record.encoded_len());
        out.push(u8::from(self.own.is_some()));
        if let Some(own) = self.own {
            out.extend_from_slice(&own.actor.0.to_be_bytes());
            varint::write(&mut out, own.counter);
        }
        self.record.encode_into(&mut out);
        out.into()
    }

    /// Reads a row from all of `bytes`, slicing values out of it.
    ///
    /// # Errors
    /// Refuses everything that [`StoredRecord::encode`] would not have written.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeStoredRecordError> {
        let mut cursor = Cursor::new(bytes);
        let own = match cursor.byte()? {
            0 => None,
            1 => Some(OwnWrite { actor: ActorId(cursor.u64()?), counter: cursor.varint()? }),
            flag => return Err(DecodeStoredRecordError::Flag(flag)),
        };
        Ok(Self { record: Record::decode(&bytes.slice(cursor.at()..))?, own })
    }

    /// Where the own interval ends that the mint's next dot may extend, if there is one.
    pub(crate) fn extendable_end(&self, mint: &DotMint) -> Option<u64> {
        let own = self.own.filter(|own| own.actor == mint.actor() && own.counter > mint.floor())?;
        let (_, end) = self.record.context().last_interval(own.actor)?;
        (end == own.counter).then_some(end)
    }

    /// Joins a message into the row.
    pub(crate) fn join(&mut self, message: &Record) -> bool {
        if self.record.is_empty() {
            self.own = None;
        }
        self.record.merge(message)
    }
}
