//! The hello: the first thing that each side says, before any frame. Bytes in, bytes out, no IO.
//!
//! The side that dialled opens a bidirectional stream, says its hello and gets the other's. Both
//! check before they believe: name against certificate, versions, fingerprints.
//!
//! ```text
//! hello = body length u16 | format u8 | crc32 of the body u32 | body
//! body  = version min u16 | version max u16 | name length u8, name | fingerprint length u8, fingerprint | …
//! ```
//! Integers are little-endian. Bytes after the fingerprint are ignored, so that a later release
//! can say more to those who listen. The format itself can change only together with the ALPN.

use thiserror::Error;

use crate::close::CloseCode;
use crate::identity::PeerName;

/// The bytes of a hello before its body.
pub const HELLO_HEADER_BYTES: usize = 7;

/// The longest body that is read: twice what this release can say.
pub const HELLO_BODY_BYTES_MAX: usize = 272;

/// The longest fingerprint.
pub const FINGERPRINT_BYTES_MAX: usize = 64;

/// The format that this release writes and reads.
const HELLO_FORMAT: u8 = 1;

/// What an endpoint says of itself, apart from its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelloConfig {
    /// The oldest version of the protocol above that is spoken here.
    pub version_min: u16,
    /// The newest one.
    pub version_max: u16,
    /// What must be equal among nodes: which cluster this is. At most [`FINGERPRINT_BYTES_MAX`]
    /// bytes. Empty at a client means that it takes any.
    pub fingerprint: Vec<u8>,
}

/// What one side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version it speaks.
    pub version_min: u16,
    /// The newest version it speaks.
    pub version_max: u16,
    /// Who it claims to be.
    pub name: PeerName,
    /// Which cluster it belongs to.
    pub fingerprint: Vec<u8>,
}

/// Why bytes are not a hello.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HelloError {
    /// A body longer than [`HELLO_BODY_BYTES_MAX`].
    #[error("hello of {0} bytes")]
    TooLong(usize),
    /// A format of another release.
    #[error("hello in format {0}")]
    Format(u8),
    /// The body is not what was sent.
    #[error("hello with a wrong checksum")]
    Checksum,
    /// The body ends too early.
    #[error("hello that ends too early")]
    Truncated,
    /// The claimed name is no name.
    #[error("hello with an unusable name")]
    Name,
    /// The fingerprint is longer than [`FINGERPRINT_BYTES_MAX`].
    #[error("hello with a fingerprint of {0} bytes")]
    Fingerprint(usize),
    /// The oldest version is above the newest.
    #[error("hello with versions {min} to {max}")]
    Versions {
        /// The oldest.
        min: u16,
        /// The newest.
        max: u16,
    },
}

/// The header of a hello, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelloHeader {
    /// The bytes that follow the header.
    pub body_bytes: usize,
    checksum: u32,
}

impl HelloHeader {
    /// Reads a header.
    ///
    /// # Errors
    /// The body would be too long, or the format is not known.
    pub fn decode(bytes: [u8; HELLO_HEADER_BYTES]) -> Result<Self, HelloError> {
        let [l0, l1, format, c0, c1, c2, c3] = bytes;
        if format != HELLO_FORMAT {
            return Err(HelloError::Format(format));
        }
        match usize::from(u16::from_le_bytes([l0, l1])) {
            long if long > HELLO_BODY_BYTES_MAX => Err(HelloError::TooLong(long)),
            body_bytes => Ok(Self { body_bytes, checksum: u32::from_le_bytes([c0, c1, c2, c3]) }),
        }
    }

    /// Reads the body that followed.
    ///
    /// # Errors
    /// The body is damaged or makes no sense.
    pub fn decode_body(self, body: &[u8]) -> Result<Hello, HelloError> {
        if crc32fast::hash(body) != self.checksum {
            return Err(HelloError::Checksum);
        }
        let mut rest = body;
        let [min0, min1, max0, max1] = take_array(&mut rest)?;
        let (min, max) = (u16::from_le_bytes([min0, min1]), u16::from_le_bytes([max0, max1]));
        if min > max {
            return Err(HelloError::Versions { min, max });
        }
        let name = std::str::from_utf8(take_short(&mut rest)?).map_err(|_| HelloError::Name)?;
        let name = PeerName::new(name).map_err(|_| HelloError::Name)?;
        let fingerprint = take_short(&mut rest)?;
        if fingerprint.len() > FINGERPRINT_BYTES_MAX {
            return Err(HelloError::Fingerprint(fingerprint.len()));
        }
        Ok(Hello { version_min: min, version_max: max, name, fingerprint: fingerprint.to_vec() })
    }
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], HelloError> {
    let (taken, after) = rest.split_first_chunk().ok_or(HelloError::Truncated)?;
    *rest = after;
    Ok(*taken)
}

/// Takes a byte that is a length and as many bytes.
fn take_short<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], HelloError> {
    let [length] = take_array(rest)?;
    let (taken, after) = rest.split_at_checked(usize::from(length)).ok_or(HelloError::Truncated)?;
    *rest = after;
    Ok(taken)
}

impl Hello {
    /// The bytes of this hello. The fingerprint must keep to its limit.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let short = |bytes: &[u8]| u8::try_from(bytes.len()).expect("checked when it was made");
        let mut body = Vec::with_capacity(HELLO_BODY_BYTES_MAX);
        body.extend(self.version_min.to_le_bytes());
        body.extend(self.version_max.to_le_bytes());
        body.push(short(self.name.as_str().as_bytes()));
        body.extend(self.name.as_str().as_bytes());
        body.push(short(&self.fingerprint));
        body.extend(&self.fingerprint);

        let length = u16::try_from(body.len()).expect("two short fields and eight bytes");
        let mut bytes = Vec::with_capacity(HELLO_HEADER_BYTES + body.len());
        bytes.extend(length.to_le_bytes());
        bytes.push(HELLO_FORMAT);
        bytes.extend(crc32fast::hash(&body).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    /// The newest version that both speak, if they may talk at all.
    ///
    /// # Errors
    /// The code with which to refuse the peer: no common version, or different fingerprints.
    pub fn agree(&self, peer: &Self, fingerprints: Fingerprints) -> Result<u16, CloseCode> {
        let same = match fingerprints {
            Fingerprints::Equal => self.fingerprint == peer.fingerprint,
            Fingerprints::EqualOrEmpty => {
                self.fingerprint.is_empty()
                    || peer.fingerprint.is_empty()
                    || self.fingerprint == peer.fingerprint
            }
        };
        if !same {
            return Err(CloseCode::FingerprintMismatch);
        }
        let newest = self.version_max.min(peer.version_max);
        if newest < self.version_min.max(peer.version_min) {
            return Err(CloseCode::VersionMismatch);
        }
        Ok(newest)
    }
}

/// How the fingerprints of two hellos must relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fingerprints {
    /// Among nodes: equal.
    Equal,
    /// Between a client and a node: equal, or one of them says nothing.
    EqualOrEmpty,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(version_min: u16, version_max: u16, fingerprint: &[u8]) -> Hello {
        let name = PeerName::new("n1").expect("a name");
        Hello { version_min, version_max, name, fingerprint: fingerprint.to_vec() }
    }

    #[test]
    fn the_newest_common_version_is_agreed() {
        let agree = |a: (u16, u16), b: (u16, u16)| {
            hello(a.0, a.1, b"").agree(&hello(b.0, b.1, b""), Fingerprints::Equal)
        };
        assert_eq!(agree((1, 3), (2, 5)), Ok(3));
        assert_eq!(agree((2, 5), (1, 3)), Ok(3));
        assert_eq!(agree((1, 1), (1, 1)), Ok(1));
        assert_eq!(agree((1, 2), (3, 4)), Err(CloseCode::VersionMismatch));
        assert_eq!(agree((3, 4), (1, 2)), Err(CloseCode::VersionMismatch));
    }

    #[test]
    fn nodes_need_equal_fingerprints_and_clients_may_leave_theirs_out() {
        let agree = |a: &[u8], b: &[u8], how| hello(1, 1, a).agree(&hello(1, 1, b), how).is_ok();
        assert!(agree(b"x", b"x", Fingerprints::Equal));
        assert!(!agree(b"x", b"y", Fingerprints::Equal));
        assert!(!agree(b"x", b"", Fingerprints::Equal));
        assert!(agree(b"x", b"", Fingerprints::EqualOrEmpty));
        assert!(!agree(b"x", b"y", Fingerprints::EqualOrEmpty));
    }
}
