//! Frames: a kind, a number and a validated archive.

use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_versioning::Hlc;
use rkyv::api::low::{self, LowSerializer, LowValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Error;
use rkyv::ser::allocator::{Arena, ArenaHandle};
use rkyv::{Archive, Portable, Serialize};

use super::error::DecodeError;
use super::fields::Fields;
use super::{peer, reply, request};
use crate::client::{Reply, Request};
use crate::peer::Envelope;

/// Kind and number.
const HEAD_BYTES: usize = 9;

/// Room for everything of a message but its values, records and lists: a name, a context and the
/// fixed fields. Only a guess that saves growing the buffer.
const SMALL_FIELDS_BYTES: usize = 512;

/// A message between a client and a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// From the client.
    Request {
        /// Chosen by the client, unique among its requests in flight on the connection.
        id: u64,
        /// What it asks.
        request: Request,
    },
    /// From the node.
    Reply {
        /// The request's id.
        id: u64,
        /// The answer.
        reply: Reply,
    },
}

/// The bytes of a message between nodes.
#[must_use]
pub fn encode_peer(envelope: &Envelope) -> Bytes {
    peer::encode(envelope.hlc.0, &envelope.message)
}

/// Reads a message between nodes; its values and records are slices of the frame.
///
/// # Errors
/// Says which message and which field are at fault. A frame that is refused must end the link: its
/// sender does not speak this version.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the frame alive")]
pub fn decode_peer(frame: Bytes) -> Result<Envelope, DecodeError> {
    let (kind, hlc, body) = split_head(&frame)?;
    let message = peer::decode(kind, body, &frame)?;
    Ok(Envelope { hlc: Hlc(hlc), message })
}

/// The bytes of a message between a client and a node.
#[must_use]
pub fn encode_client(frame: &ClientFrame) -> Bytes {
    match frame {
        ClientFrame::Request { id, request } => request::encode(*id, request),
        ClientFrame::Reply { id, reply } => {
            let mut head = Head::new(reply::kind_of(reply), *id, reply::payload_bytes(reply));
            reply::encode(reply, &mut head);
            head.finish()
        }
    }
}

/// Reads a message between a client and a node; its values are slices of the frame.
///
/// # Errors
/// Says which message and which field are at fault. A frame that is refused must end the link: its
/// sender does not speak this version.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the frame alive")]
pub fn decode_client(frame: Bytes) -> Result<ClientFrame, DecodeError> {
    let (kind, id, body) = split_head(&frame)?;
    if reply::is_reply(kind) {
        let reply = reply::decode(kind, body, &frame)?;
        return Ok(ClientFrame::Reply { id, reply });
    }
    let request = request::decode(kind, body, &frame)?;
    Ok(ClientFrame::Request { id, request })
}

/// A frame in the making.
pub(super) struct Head {
    buffer: Vec<u8>,
}

impl Head {
    /// Begins a frame that will carry about `payload_bytes` of values, records and lists.
    pub(super) fn new(kind: u8, number: u64, payload_bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEAD_BYTES + SMALL_FIELDS_BYTES + payload_bytes);
        buffer.push(kind);
        buffer.extend_from_slice(&number.to_le_bytes());
        Self { buffer }
    }

    /// Adds to the head, before the archive.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Adds the archive, which ends the frame.
    pub(super) fn archive<T>(&mut self, wire: &T)
    where
        T: for<'a> Serialize<LowSerializer<&'a mut Vec<u8>, ArenaHandle<'a>, Error>>,
    {
        // Scratch space is used only while a vector of structures is written.
        let mut arena = Arena::with_capacity(0);
        low::to_bytes_in_with_alloc::<_, _, Error>(wire, &mut self.buffer, arena.acquire())
            .expect("a growing buffer takes any flat structure below 2 GiB");
    }

    pub(super) fn finish(self) -> Bytes {
        Bytes::from(self.buffer)
    }
}

/// Splits kind and number from what follows.
pub(super) fn split_head(frame: &[u8]) -> Result<(u8, u64, &[u8]), DecodeError> {
    let truncated = DecodeError::Truncated { length: frame.len() };
    let (&kind, rest) = frame.split_first().ok_or_else(|| truncated.clone())?;
    let (number, body) = rest.split_first_chunk().ok_or(truncated)?;
    Ok((kind, u64::from_le_bytes(*number), body))
}

/// Validates the archive at the end of `body`.
pub(super) fn access<'a, T>(
    message: &'static str,
    body: &'a [u8],
) -> Result<&'a T::Archived, DecodeError>
where
    T: Archive,
    T::Archived: Portable + for<'b> CheckBytes<LowValidator<'b, Error>>,
{
    low::access::<T::Archived, Error>(body)
        .map_err(|why| DecodeError::Layout { message, reason: why.to_string() })
}

/// Validates the archive and goes on to its fields.
pub(super) fn read<'a, T>(
    message: &'static str,
    body: &'a [u8],
    frame: &'a Bytes,
) -> Result<(&'a T::Archived, Fields<'a>), DecodeError>
where
    T: Archive,
    T::Archived: Portable + for<'b> CheckBytes<LowValidator<'b, Error>>,
{
    Ok((access::<T>(message, body)?, Fields { message, frame }))
}
