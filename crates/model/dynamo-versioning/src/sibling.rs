//! One version of an object: its content and what is known about it.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use dynamo_types::{RequestId, WallTime};

use crate::dot::Dot;
use crate::dot_set::DotSet;
use crate::hybrid_clock::Hlc;

/// What a version holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// A value, possibly empty.
    Value {
        /// The client's bytes.
        bytes: Bytes,
        /// The client's content type, possibly empty.
        content_type: Bytes,
    },
    /// The mark of a delete: a version like any other until the views are applied.
    Tombstone,
}

/// Names the body of a put: two attempts at one put have equal request ids and equal digests, two
/// puts under one id differ in the digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BodyDigest(pub u128);

impl BodyDigest {
    /// The digest of what a client sent: content, expiry and context.
    ///
    /// `expires_at` counts only if the client named that moment. An expiry that a node works out
    /// from its own clock differs between attempts: pass `None` for it, else every retry would look
    /// like another put.
    #[must_use]
    pub fn of(content: &Content, expires_at: Option<WallTime>, put_context: &DotSet) -> Self {
        let mut hasher = blake3::Hasher::new();
        match content {
            Content::Tombstone => {
                hasher.update(&[0]);
            }
            Content::Value { bytes, content_type } => {
                hasher.update(&[1]);
                hasher.update(&(content_type.len() as u64).to_be_bytes());
                hasher.update(content_type);
                hasher.update(&(bytes.len() as u64).to_be_bytes());
                hasher.update(bytes);
            }
        }
        match expires_at {
            None => hasher.update(&[0]),
            Some(at) => hasher.update(&[1]).update(&at.0.to_be_bytes()),
        };
        let mut context = Vec::with_capacity(put_context.encoded_len());
        put_context.encode(&mut context);
        hasher.update(&context);
        let mut first = [0; 16];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(u128::from_be_bytes(first))
    }
}

impl fmt::Debug for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyDigest({:032x})", self.0)
    }
}

/// One version of an object. A dot names it for ever: whoever holds the dot holds these fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sibling {
    /// Its name.
    pub dot: Dot,
    /// When it was written, after everything it covers.
    pub hlc: Hlc,
    /// The value or tombstone.
    pub content: Content,
    /// From this moment on it is hidden, and counts as a tombstone for collection.
    pub expires_at: Option<WallTime>,
    /// The client request that wrote it.
    pub request: RequestId,
    /// The body of that request.
    pub digest: BodyDigest,
}

impl Sibling {
    /// Whether it marks a delete.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        matches!(self.content, Content::Tombstone)
    }

    /// Whether it has expired by a clock that shows `wall`.
    #[must_use]
    pub fn is_expired(&self, wall: WallTime) -> bool {
        self.expires_at.is_some_and(|at| at <= wall)
    }

    /// The bytes of its value, 0 for a tombstone.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        match &self.content {
            Content::Value { bytes, .. } => bytes.len(),
            Content::Tombstone => 0,
        }
    }
}
