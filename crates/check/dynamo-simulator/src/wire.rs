//! Sends a message through its bytes and back, as a real network would.

use dynamo_messages::Envelope;
use dynamo_messages::encoding::{decode_peer, encode_peer};

/// Encodes and decodes a message.
///
/// # Panics
/// If it does not come out equal: whatever a node sends must survive its encoding.
#[must_use]
pub(crate) fn through_bytes(envelope: &Envelope) -> Envelope {
    match decode_peer(encode_peer(envelope)) {
        Ok(decoded) => {
            assert_eq!(&decoded, envelope, "a message came out of its encoding changed");
            decoded
        }
        Err(error) => panic!("a message does not decode: {error}: {envelope:?}"),
    }
}
