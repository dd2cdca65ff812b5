//! One datagram: a version, a tag over the rest, a header, and news of members.
//!
//! The transport protects bytes on their way, not in memory. A flipped bit in an incarnation would
//! otherwise reach everyone and bury a member under a life that it never had, so each datagram
//! carries a tag that is computed from the values and checked before any of them is used.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes};
use foca::{Codec, Header, Member, Message};

use super::codec::{CodecError, DecodeSwimError, SwimCodec, read_header, read_member};
use super::identity::SwimIdentity;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 4;

/// What a datagram has around the detector's bytes.
pub(super) const FRAME_BYTES: usize = 1 + TAG_BYTES;

/// What a datagram says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Datagram {
    pub(super) header: Header<SwimIdentity>,
    pub(super) news: Vec<Member<SwimIdentity>>,
}

impl Datagram {
    /// Reads the detector's bytes.
    pub(super) fn read(mut body: &[u8]) -> Result<Self, DecodeSwimError> {
        let header = read_header(&mut body)?;
        let mut news = Vec::new();
        match header.message {
            Message::Broadcast => return Err(DecodeSwimError::Kind(9)),
            Message::Announce | Message::TurnUndead => {}
            Message::Ping(_)
            | Message::Ack(_)
            | Message::PingReq { .. }
            | Message::IndirectPing { .. }
            | Message::IndirectAck { .. }
            | Message::ForwardedAck { .. }
            | Message::Feed
            | Message::Gossip => {
                let count = body.try_get_u16().map_err(|_| DecodeSwimError::Truncated)?;
                // No allocation by the count: it may be a lie.
                for _ in 0..count {
                    news.push(read_member(&mut body)?);
                }
            }
        }
        if body.is_empty() { Ok(Self { header, news }) } else { Err(DecodeSwimError::Trailing) }
    }

    /// The detector's bytes.
    ///
    /// # Errors
    /// Refuses more than 65,535 pieces of news, which no datagram holds.
    pub(super) fn write(&self) -> Result<Vec<u8>, CodecError> {
        let mut body = Vec::new();
        SwimCodec.encode_header(&self.header, &mut body)?;
        if !matches!(self.header.message, Message::Announce | Message::TurnUndead) {
            let count = u16::try_from(self.news.len()).map_err(|_| super::codec::NoRoom)?;
            body.put_u16(count);
            for member in &self.news {
                SwimCodec.encode_member(member, &mut body)?;
            }
        }
        Ok(body)
    }
}

/// Puts the frame around the detector's bytes.
pub(super) fn seal(body: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(FRAME_BYTES + body.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&tag(body));
    bytes.extend_from_slice(body);
    bytes.into()
}

/// Takes the frame off.
pub(super) fn open(bytes: &[u8]) -> Result<&[u8], DecodeSwimError> {
    match bytes.first() {
        Some(&VERSION) => {}
        Some(other) => return Err(DecodeSwimError::Version(*other)),
        None => return Err(DecodeSwimError::Truncated),
    }
    let (frame, body) = bytes.split_at_checked(FRAME_BYTES).ok_or(DecodeSwimError::Truncated)?;
    if frame[1..] == tag(body) { Ok(body) } else { Err(DecodeSwimError::Tag) }
}

fn tag(body: &[u8]) -> [u8; TAG_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"dynamo swim 1");
    hasher.update(body);
    *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use dynamo_types::NodeId;
    use foca::State;

    fn identity(node: u64, incarnation: u64) -> SwimIdentity {
        SwimIdentity { node: NodeId(node), incarnation }
    }

    fn all_kinds() -> Vec<Datagram> {
        let third = identity(3, u64::MAX);
        let messages = [
            Message::Ping(7),
            Message::Ack(255),
            Message::PingReq { target: third, probe_number: 1 },
            Message::IndirectPing { origin: third, probe_number: 2 },
            Message::IndirectAck { target: third, probe_number: 3 },
            Message::ForwardedAck { origin: third, probe_number: 4 },
            Message::Announce,
            Message::Feed,
            Message::Gossip,
            Message::TurnUndead,
        ];
        let datagram = |message: Message<SwimIdentity>| {
            let has_news = !matches!(message, Message::Announce | Message::TurnUndead);
            let news = vec![
                Member::new(identity(4, 0), 0, State::Alive),
                Member::new(identity(u64::MAX, 1 << 41), u16::MAX, State::Suspect),
                Member::new(identity(5, 127), 128, State::Down),
            ];
            Datagram {
                header: Header {
                    src: identity(1, 300),
                    src_incarnation: 5,
                    dst: identity(2, 0),
                    message,
                },
                news: if has_news { news } else { vec![] },
            }
        };
        messages.into_iter().map(datagram).collect()
    }

    #[test]
    fn every_kind_reads_back() {
        for datagram in all_kinds() {
            let body = datagram.write().unwrap();
            assert_eq!(open(&seal(&body)), Ok(&body[..]));
            assert_eq!(Datagram::read(&body), Ok(datagram));
        }
    }

    #[test]
    fn what_is_cut_or_longer_is_refused() {
        for datagram in all_kinds() {
            let body = datagram.write().unwrap();
            for length in 0..body.len() {
                assert!(Datagram::read(&body[..length]).is_err(), "{datagram:?} cut to {length}");
            }
            let longer = [&body[..], &[0]].concat();
            assert_eq!(Datagram::read(&longer), Err(DecodeSwimError::Trailing));
        }
    }

    #[test]
    fn a_flipped_bit_is_refused() {
        for datagram in all_kinds() {
            let sealed = seal(&datagram.write().unwrap());
            for bit in 0..sealed.len() * 8 {
                let mut flipped = sealed.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(open(&flipped).is_err(), "bit {bit} of {datagram:?}");
            }
        }
    }

    #[test]
    fn what_reads_is_what_would_be_written() {
        // Without the tag, so that the decoder itself is held to it.
        for datagram in all_kinds() {
            let body = datagram.write().unwrap();
            for at in 0..body.len() {
                for value in [0, 1, 0x7f, 0x80, 0x81, 0xff] {
                    let mut changed = body.clone();
                    changed[at] = value;
                    if let Ok(read) = Datagram::read(&changed) {
                        assert_eq!(read.write().unwrap(), changed);
                    }
                }
            }
        }
    }

    #[test]
    fn the_bytes_are_what_they_were() {
        let datagram = Datagram {
            header: Header {
                src: identity(1, 300),
                src_incarnation: 5,
                dst: identity(2, 0),
                message: Message::Ping(7),
            },
            news: vec![Member::new(identity(3, 1), 2, State::Suspect)],
        };
        let body = [
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0xac, 2, 5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 7, // header
            0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, // news
        ];
        assert_eq!(datagram.write().unwrap(), body);
        assert_eq!(seal(&body)[0], 1);
    }
}
