//! The bytes of headers and members, the same way each time.
//!
//! ```text
//! identity: node 8 bytes, incarnation varint
//! header:   kind 1 byte, source identity, the source's counter varint, destination identity,
//!           [probe number 1 byte], [third identity]
//! member:   state 1 byte, identity, counter varint
//! ```
//! Fixed numbers are big-endian, varints are LEB128 in their shortest form. The counter is what a
//! suspect raises to refute.

use bytes::{Buf, BufMut};
use dynamo_types::NodeId;
use foca::{Codec, Header, Incarnation, Member, Message, State};
use thiserror::Error;

use super::identity::SwimIdentity;

/// No item is longer: kind, probe number, three identities of 18 bytes, a counter of 3.
const ITEM_BYTES_MAX: usize = 64;

/// Why bytes are no header and no member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeSwimError {
    /// The bytes end inside an item.
    #[error("datagram ends inside an item")]
    Truncated,
    /// A number is too large or not in its shortest form.
    #[error("datagram has a malformed number")]
    Number,
    /// No message has this kind.
    #[error("datagram has the unknown kind {0}")]
    Kind(u8),
    /// No member has this state.
    #[error("datagram has a member in the unknown state {0}")]
    State(u8),
    /// A format of another program version.
    #[error("datagram has format version {0}")]
    Version(u8),
    /// The tag does not fit the bytes: something was changed on the way.
    #[error("datagram does not fit its tag")]
    Tag,
    /// A part that is not due in this kind, or bytes after the last.
    #[error("datagram has parts that its kind does not have")]
    Trailing,
}

/// There is no room for the next item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no room for the next item")]
pub(super) struct NoRoom;

/// Writes and reads items for the detector.
#[derive(Debug, Clone, Copy)]
pub(super) struct SwimCodec;

impl Codec<SwimIdentity> for SwimCodec {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<SwimIdentity>,
        buf: impl BufMut,
    ) -> Result<(), CodecError> {
        Ok(header_item(header).put_into(buf)?)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<SwimIdentity>, CodecError> {
        Ok(read_header(buf)?)
    }

    fn encode_member(
        &mut self,
        member: &Member<SwimIdentity>,
        buf: impl BufMut,
    ) -> Result<(), CodecError> {
        Ok(member_item(member).put_into(buf)?)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<SwimIdentity>, CodecError> {
        Ok(read_member(buf)?)
    }
}

/// Either way that coding fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum CodecError {
    #[error("item cannot be written")]
    Encode(#[from] NoRoom),
    #[error("item cannot be read")]
    Decode(#[from] DecodeSwimError),
}

/// One item, complete before a byte of it is written: a full buffer stays as it was.
struct Item {
    bytes: [u8; ITEM_BYTES_MAX],
    length: usize,
}

impl Item {
    fn new() -> Self {
        Self { bytes: [0; ITEM_BYTES_MAX], length: 0 }
    }

    fn byte(mut self, byte: u8) -> Self {
        self.bytes[self.length] = byte;
        self.length += 1;
        self
    }

    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self = self.byte((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8)
    }

    fn identity(mut self, identity: &SwimIdentity) -> Self {
        for byte in identity.node.0.to_be_bytes() {
            self = self.byte(byte);
        }
        self.varint(identity.incarnation)
    }

    fn put_into(self, mut buf: impl BufMut) -> Result<(), NoRoom> {
        if buf.remaining_mut() < self.length {
            return Err(NoRoom);
        }
        buf.put_slice(&self.bytes[..self.length]);
        Ok(())
    }
}

fn header_item(header: &Header<SwimIdentity>) -> Item {
    let (kind, probe, third) = match &header.message {
        Message::Ping(probe) => (0, Some(*probe), None),
        Message::Ack(probe) => (1, Some(*probe), None),
        Message::PingReq { target, probe_number } => (2, Some(*probe_number), Some(target)),
        Message::IndirectPing { origin, probe_number } => (3, Some(*probe_number), Some(origin)),
        Message::IndirectAck { target, probe_number } => (4, Some(*probe_number), Some(target)),
        Message::ForwardedAck { origin, probe_number } => (5, Some(*probe_number), Some(origin)),
        Message::Announce => (6, None, None),
        Message::Feed => (7, None, None),
        Message::Gossip => (8, None, None),
        Message::Broadcast => (9, None, None),
        Message::TurnUndead => (10, None, None),
    };
    let mut item = Item::new()
        .byte(kind)
        .identity(&header.src)
        .varint(header.src_incarnation.into())
        .identity(&header.dst);
    if let Some(probe) = probe {
        item = item.byte(probe);
    }
    match third {
        Some(third) => item.identity(third),
        None => item,
    }
}

pub(super) fn read_header(mut buf: impl Buf) -> Result<Header<SwimIdentity>, DecodeSwimError> {
    let kind = byte(&mut buf)?;
    let src = identity(&mut buf)?;
    let src_incarnation = counter(&mut buf)?;
    let dst = identity(&mut buf)?;
    let message = match kind {
        0 => Message::Ping(byte(&mut buf)?),
        1 => Message::Ack(byte(&mut buf)?),
        2..=5 => {
            let probe_number = byte(&mut buf)?;
            let third = identity(&mut buf)?;
            match kind {
                2 => Message::PingReq { target: third, probe_number },
                3 => Message::IndirectPing { origin: third, probe_number },
                4 => Message::IndirectAck { target: third, probe_number },
                _ => Message::ForwardedAck { origin: third, probe_number },
            }
        }
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        10 => Message::TurnUndead,
        other => return Err(DecodeSwimError::Kind(other)),
    };
    Ok(Header { src, src_incarnation, dst, message })
}

fn member_item(member: &Member<SwimIdentity>) -> Item {
    let state = match member.state() {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    };
    Item::new().byte(state).identity(member.id()).varint(member.incarnation().into())
}

pub(super) fn read_member(mut buf: impl Buf) -> Result<Member<SwimIdentity>, DecodeSwimError> {
    let state = match byte(&mut buf)? {
        0 => State::Alive,
        1 => State::Suspect,
        2 => State::Down,
        other => return Err(DecodeSwimError::State(other)),
    };
    let identity = identity(&mut buf)?;
    Ok(Member::new(identity, counter(&mut buf)?, state))
}

fn byte(buf: &mut impl Buf) -> Result<u8, DecodeSwimError> {
    buf.try_get_u8().map_err(|_| DecodeSwimError::Truncated)
}

fn identity(buf: &mut impl Buf) -> Result<SwimIdentity, DecodeSwimError> {
    let node = NodeId(buf.try_get_u64().map_err(|_| DecodeSwimError::Truncated)?);
    Ok(SwimIdentity { node, incarnation: varint(buf)? })
}

fn counter(buf: &mut impl Buf) -> Result<Incarnation, DecodeSwimError> {
    Incarnation::try_from(varint(buf)?).map_err(|_| DecodeSwimError::Number)
}

fn varint(buf: &mut impl Buf) -> Result<u64, DecodeSwimError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = byte(buf)?;
        let bits = u64::from(byte & 0x7f);
        let is_last = byte & 0x80 == 0;
        // The tenth byte holds one bit; a last byte of zero could have been left out.
        if shift == 63 && bits > 1 || is_last && byte == 0 && shift > 0 {
            return Err(DecodeSwimError::Number);
        }
        value |= bits << shift;
        if is_last {
            return Ok(value);
        }
    }
    Err(DecodeSwimError::Number)
}
