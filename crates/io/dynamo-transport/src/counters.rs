//! What happened on an endpoint, counted since it was bound.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::close::CloseCode;

/// Declares the live counters and their snapshot from one list, so that none is forgotten.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A snapshot of an endpoint's counters. Each only grows while the endpoint lives.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        /// The live counters.
        #[derive(Debug, Default)]
        pub(crate) struct Tally { $(pub(crate) $name: AtomicU64,)* }

        impl Tally {
            pub(crate) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl Counters {
            /// Every counter with its name, for exporters.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Links that were authenticated and handed up.
    links_opened,
    /// Links of those that ended.
    links_closed,
    /// Handshakes that failed in QUIC or TLS: wrong authority, expired or no certificate, no
    /// common protocol, peer gone.
    handshakes_failed,
    /// Handshakes or hellos that took too long.
    handshakes_timed_out,
    /// Incoming connections that were asked to prove their address first.
    handshakes_retried,
    /// Incoming connections turned away because too many were under way.
    handshakes_overload,
    /// Peers refused: role does not fit the protocol, or the certificate names no single peer.
    refused_role,
    /// Peers refused: claimed name is not the certificate's, or not the one that was dialled.
    refused_name,
    /// Peers refused: hello could not be read.
    refused_hello,
    /// Peers refused: no common version.
    refused_version,
    /// Peers refused: other fingerprint.
    refused_fingerprint,
    /// Peers refused: too many links.
    refused_links,
    /// Frames handed to QUIC.
    frames_sent,
    /// Bytes of those, headers included.
    bytes_sent,
    /// Frames received whole and sound.
    frames_received,
    /// Bytes of those, headers included.
    bytes_received,
    /// Frames that a full queue refused.
    queue_full,
    /// Connections dropped for a frame beyond the length cap.
    bad_frame_length,
    /// Connections dropped for a frame with a wrong checksum.
    bad_frame_checksum,
    /// Connections dropped for a frame of an unknown version or with unknown flags.
    bad_frame_version,
    /// Connections dropped for an unknown, repeated or broken lane.
    bad_lane,
    /// Datagrams handed to QUIC.
    datagrams_sent,
    /// Datagrams handed up.
    datagrams_received,
    /// Datagrams dropped because the consumer was behind.
    datagrams_dropped,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, by: u64) {
    // Nothing is ordered by a counter, so the cheapest ordering will do.
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Tally {
    /// Counts a connection that this side closes for the peer's fault.
    pub(crate) fn count_refusal(&self, code: CloseCode) {
        let counter = match code {
            CloseCode::RoleRefused => &self.refused_role,
            CloseCode::NameMismatch => &self.refused_name,
            CloseCode::HelloMalformed => &self.refused_hello,
            CloseCode::VersionMismatch => &self.refused_version,
            CloseCode::FingerprintMismatch => &self.refused_fingerprint,
            CloseCode::TooManyLinks => &self.refused_links,
            CloseCode::HelloTimeout => &self.handshakes_timed_out,
            CloseCode::FrameLength => &self.bad_frame_length,
            CloseCode::FrameChecksum => &self.bad_frame_checksum,
            CloseCode::FrameVersion => &self.bad_frame_version,
            CloseCode::LaneInvalid | CloseCode::LaneBroken => &self.bad_lane,
            CloseCode::Dropped
            | CloseCode::Shutdown
            | CloseCode::Replaced
            | CloseCode::Unwanted => return,
        };
        add(counter, 1);
    }
}
