//! What the clients write: every value says which write it is of, and which writes its client had
//! read. So the true history is in the data itself and no clock of the system is trusted.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::history::{KeyIndex, WriteId};

/// Marks a value of ours.
const MAGIC: u32 = 0xd1a0_5eed;
/// Bytes of the checksum at the end.
const CHECKSUM_BYTES: usize = 8;

/// What a value says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The write that made it.
    pub write: WriteId,
    /// The key it was written to.
    pub key: KeyIndex,
    /// The writes that its client had read and replaces.
    pub parents: Vec<WriteId>,
}

/// Why bytes are no value that a client wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DamagedValue {
    /// Shorter than it must be.
    #[error("the value is too short")]
    TooShort,
    /// The checksum is wrong.
    #[error("the value's checksum is wrong")]
    Checksum,
    /// The checksum is right, the rest makes no sense.
    #[error("the value is malformed")]
    Malformed,
}

/// The bytes of a value, with `padding` bytes that carry nothing.
#[must_use]
pub fn encode(provenance: &Provenance, padding: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(24 + 4 * provenance.parents.len() + padding);
    bytes.put_u32(MAGIC);
    bytes.put_u32(provenance.write.0);
    bytes.put_u16(provenance.key.0);
    bytes.put_u16(u16::try_from(provenance.parents.len()).expect("few siblings are read at once"));
    for parent in &provenance.parents {
        bytes.put_u32(parent.0);
    }
    bytes.put_bytes(0xa5, padding);
    let checksum = blake3::hash(&bytes);
    bytes.put_slice(&checksum.as_bytes()[..CHECKSUM_BYTES]);
    bytes.freeze()
}

/// Reads a value back.
///
/// # Errors
/// Says how the bytes differ from anything that was written.
pub fn decode(bytes: &[u8]) -> Result<Provenance, DamagedValue> {
    let (body, checksum) =
        bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(DamagedValue::TooShort)?;
    if blake3::hash(body).as_bytes()[..CHECKSUM_BYTES] != checksum[..] {
        return Err(DamagedValue::Checksum);
    }
    let word = |at: usize| {
        let four = body.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
        four.map(u32::from_be_bytes).ok_or(DamagedValue::Malformed)
    };
    if word(0)? != MAGIC {
        return Err(DamagedValue::Malformed);
    }
    let counts = word(8)?;
    let key = KeyIndex(u16::try_from(counts >> 16).expect("the upper half"));
    let parent_count = usize::try_from(counts & 0xffff).expect("sixteen bits");
    let parents: Result<Vec<WriteId>, DamagedValue> =
        (0..parent_count).map(|i| word(12 + 4 * i).map(WriteId)).collect();
    Ok(Provenance { write: WriteId(word(4)?), key, parents: parents? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_and_any_flipped_byte_is_noticed() {
        let provenance = Provenance {
            write: WriteId(70_000),
            key: KeyIndex(3),
            parents: vec![WriteId(1), WriteId(69_999)],
        };
        let bytes = encode(&provenance, 5);
        assert_eq!(decode(&bytes), Ok(provenance));
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert!(decode(&damaged).is_err(), "byte {at}");
        }
        assert_eq!(decode(&[]), Err(DamagedValue::TooShort));
    }
}
