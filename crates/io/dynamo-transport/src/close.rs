//! Why a connection ends: the codes on the wire and the reasons handed up.

use std::fmt;

use quinn::{ConnectionError, VarInt};

/// The application error code with which a connection is closed. The numbers are part of the wire
/// format: they are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum CloseCode {
    /// The endpoint was dropped without a word.
    Dropped = 0x00,
    /// The endpoint shut down after it had sent what was queued.
    Shutdown = 0x01,
    /// The same peer connected again: the newer connection stays.
    Replaced = 0x02,
    /// The program at the other end no longer wants this peer.
    Unwanted = 0x03,
    /// The certificate's role does not fit the protocol that was asked for.
    RoleRefused = 0x10,
    /// The name claimed in the hello is not the certificate's.
    NameMismatch = 0x11,
    /// The hello could not be read.
    HelloMalformed = 0x12,
    /// No version that both sides speak.
    VersionMismatch = 0x13,
    /// The fingerprints in the hellos differ.
    FingerprintMismatch = 0x14,
    /// More links than the endpoint takes.
    TooManyLinks = 0x15,
    /// No hello came in time.
    HelloTimeout = 0x16,
    /// A frame longer than the cap.
    FrameLength = 0x20,
    /// A frame whose payload does not match its checksum.
    FrameChecksum = 0x21,
    /// A frame of an unknown version or with unknown flags.
    FrameVersion = 0x22,
    /// A stream of an unknown lane, or a second one of the same lane.
    LaneInvalid = 0x23,
    /// A lane that broke off in the middle.
    LaneBroken = 0x24,
}

impl CloseCode {
    const ALL: [Self; 16] = [
        Self::Dropped,
        Self::Shutdown,
        Self::Replaced,
        Self::Unwanted,
        Self::RoleRefused,
        Self::NameMismatch,
        Self::HelloMalformed,
        Self::VersionMismatch,
        Self::FingerprintMismatch,
        Self::TooManyLinks,
        Self::HelloTimeout,
        Self::FrameLength,
        Self::FrameChecksum,
        Self::FrameVersion,
        Self::LaneInvalid,
        Self::LaneBroken,
    ];

    pub(crate) fn wire(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    fn from_wire(code: VarInt) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.wire() == code)
    }

    /// A few words for logs and for the peer.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Dropped => "endpoint dropped",
            Self::Shutdown => "endpoint shut down",
            Self::Replaced => "replaced by a newer connection of the same peer",
            Self::Unwanted => "peer is not wanted",
            Self::RoleRefused => "certificate's role does not fit the protocol",
            Self::NameMismatch => "claimed name is not the certificate's",
            Self::HelloMalformed => "malformed hello",
            Self::VersionMismatch => "no common protocol version",
            Self::FingerprintMismatch => "different fingerprint",
            Self::TooManyLinks => "too many links",
            Self::HelloTimeout => "no hello in time",
            Self::FrameLength => "frame too long",
            Self::FrameChecksum => "frame checksum mismatch",
            Self::FrameVersion => "unknown frame version or flags",
            Self::LaneInvalid => "unknown or repeated lane",
            Self::LaneBroken => "lane broke off",
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DisconnectReason {
    /// Nothing was heard from the peer for the idle timeout.
    TimedOut,
    /// The peer's process no longer knows the connection: it was restarted.
    Restarted,
    /// This side closed it.
    Local(CloseCode),
    /// The peer closed it with one of our codes.
    Peer(CloseCode),
    /// Something else, in QUIC's words.
    Other(String),
}

impl DisconnectReason {
    pub(crate) fn from_error(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::Reset => Self::Restarted,
            ConnectionError::ApplicationClosed(close) => CloseCode::from_wire(close.error_code)
                .map_or_else(|| Self::Other(error.to_string()), Self::Peer),
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("timed out"),
            Self::Restarted => f.write_str("peer restarted"),
            Self::Local(code) => write!(f, "closed here: {code}"),
            Self::Peer(code) => write!(f, "closed by peer: {code}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_again_by_its_number() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_wire(code.wire()), Some(code));
        }
        assert_eq!(CloseCode::from_wire(VarInt::from_u32(0x99)), None);
    }
}
