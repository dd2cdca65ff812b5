//! From archived fields to checked domain types.

use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU64;

use bytes::Bytes;
use dynamo_types::limits::{BUCKET_BYTES_MAX, KEY_BYTES_MAX};
use dynamo_types::{Bucket, Key, NodeId, ObjectName, Position, RegisterTag};
use dynamo_versioning::Record;
use rkyv::{Archive, Archived, Serialize};

use super::error::{DecodeError, FieldError};

/// An object's name.
#[derive(Archive, Serialize)]
pub(super) struct NameWire {
    bucket: Bytes,
    key: Bytes,
}

impl NameWire {
    pub(super) fn of(name: &ObjectName) -> Self {
        Self { bucket: name.bucket.as_bytes().clone(), key: name.key.as_bytes().clone() }
    }
}

/// A place in the order of a listing.
#[derive(Archive, Serialize)]
pub(super) struct PlaceWire {
    position: u128,
    key: Bytes,
}

impl PlaceWire {
    pub(super) fn of((position, key): &(Position, Key)) -> Self {
        Self { position: position.0, key: key.as_bytes().clone() }
    }
}

/// Reads the fields of one message; knows what to call it when a field is refused.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) message: &'static str,
    pub(super) frame: &'a Bytes,
}

impl Fields<'_> {
    pub(super) fn refuse(self, field: &'static str, why: impl Into<FieldError>) -> DecodeError {
        DecodeError::Field { message: self.message, field, source: why.into() }
    }

    /// The bytes as a part of the frame, without a copy.
    pub(super) fn bytes(self, field: &[u8]) -> Bytes {
        self.frame.slice_ref(field)
    }

    pub(super) fn bounded_bytes(
        self,
        field: &'static str,
        bytes: &[u8],
        max: usize,
    ) -> Result<Bytes, DecodeError> {
        self.count(field, bytes.len(), max)?;
        Ok(self.bytes(bytes))
    }

    // Names are copied: whoever keeps one for long must not keep a frame, or the many frames that
    // arrived with it, in memory.

    pub(super) fn bucket(self, field: &'static str, bytes: &[u8]) -> Result<Bucket, DecodeError> {
        Bucket::new(Bytes::copy_from_slice(bytes)).map_err(|why| self.refuse(field, why))
    }

    pub(super) fn key(self, field: &'static str, bytes: &[u8]) -> Result<Key, DecodeError> {
        self.count(field, bytes.len(), KEY_BYTES_MAX)?;
        Key::new(Bytes::copy_from_slice(bytes)).map_err(|why| self.refuse(field, why))
    }

    pub(super) fn name(self, name: &ArchivedNameWire) -> Result<ObjectName, DecodeError> {
        self.count("bucket", name.bucket.len(), BUCKET_BYTES_MAX)?;
        self.count("key", name.key.len(), KEY_BYTES_MAX)?;
        // Both in one piece of memory.
        let both = Bytes::from([&name.bucket[..], &name.key[..]].concat());
        let border = name.bucket.len();
        Ok(ObjectName {
            bucket: Bucket::new(both.slice(..border)).map_err(|why| self.refuse("bucket", why))?,
            key: Key::new(both.slice(border..)).map_err(|why| self.refuse("key", why))?,
        })
    }

    pub(super) fn place(
        self,
        field: &'static str,
        place: &ArchivedPlaceWire,
    ) -> Result<(Position, Key), DecodeError> {
        Ok((Position(place.position.to_native()), self.key(field, &place.key)?))
    }

    pub(super) fn record(self, field: &'static str, bytes: &[u8]) -> Result<Record, DecodeError> {
        Record::decode(&self.bytes(bytes)).map_err(|why| self.refuse(field, why))
    }

    pub(super) fn text(
        self,
        field: &'static str,
        bytes: &[u8],
        max: usize,
    ) -> Result<String, DecodeError> {
        self.count(field, bytes.len(), max)?;
        let text = core::str::from_utf8(bytes).map_err(|why| self.refuse(field, why))?;
        Ok(text.into())
    }

    /// What a number stands for, as `meaning` knows it.
    pub(super) fn number<T>(
        self,
        field: &'static str,
        number: u8,
        meaning: impl FnOnce(u8) -> Option<T>,
    ) -> Result<T, DecodeError> {
        meaning(number).ok_or_else(|| self.refuse(field, FieldError::Number(number.into())))
    }

    /// A register's tag, of which none is 0.
    pub(super) fn register(
        self,
        field: &'static str,
        number: u64,
    ) -> Result<RegisterTag, DecodeError> {
        let number = NonZeroU64::new(number);
        number.map(RegisterTag).ok_or_else(|| self.refuse(field, FieldError::Number(0)))
    }

    /// At most `max` nodes.
    pub(super) fn nodes(
        self,
        field: &'static str,
        nodes: &[Archived<u64>],
        max: usize,
    ) -> Result<Vec<NodeId>, DecodeError> {
        self.list(field, nodes, max, |node| Ok(NodeId(node.to_native())))
    }

    pub(super) fn count(
        self,
        field: &'static str,
        found: usize,
        max: usize,
    ) -> Result<(), DecodeError> {
        if found <= max {
            Ok(())
        } else {
            Err(self.refuse(field, FieldError::TooMany { found, max }))
        }
    }

    /// A vector of at most `max` items, each read by `read`.
    pub(super) fn list<A, T>(
        self,
        field: &'static str,
        items: &[A],
        max: usize,
        read: impl FnMut(&A) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.count(field, items.len(), max)?;
        items.iter().map(read).collect()
    }
}
