//! A link: one authenticated connection, its lanes, and the task that runs it.

mod reader;
mod task;
mod writer;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::close::CloseCode;
use crate::counters::{self, Tally};
use crate::identity::PeerIdentity;
use crate::lane::Lane;
use crate::outbox::Outbox;

pub(crate) use task::{Ended, LinkTask};

/// A link's number, never used twice by an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// A link and what was agreed on it.
#[derive(Debug, Clone)]
pub struct Link {
    /// The link.
    pub id: LinkId,
    /// Who is at the other end, by its certificate.
    pub peer: PeerIdentity,
    /// The version that both sides speak.
    pub version: u16,
    /// The fingerprint that the peer stated; equal to our own between nodes.
    pub fingerprint: Bytes,
    /// Where the peer is.
    pub remote_address: SocketAddr,
    /// The way to send to it.
    pub sender: LinkSender,
}

/// The way to send on a link. Clones send on the same link, and the link does not end when they
/// are dropped.
#[derive(Clone)]
pub struct LinkSender {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) connection: quinn::Connection,
    pub(crate) tally: Arc<Tally>,
    /// Why this side closed the connection, if it did.
    pub(crate) closed_with: Arc<OnceLock<CloseCode>>,
}

/// Why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The lane holds as much as it may. Nothing was queued.
    #[error("lane's queue is full")]
    QueueFull,
    /// The link has ended.
    #[error("link is gone")]
    Gone,
    /// No frame may be that long.
    #[error("frame of {length} bytes, at most {max} are allowed")]
    TooLong {
        /// The payload's length.
        length: usize,
        /// The cap.
        max: usize,
    },
}

/// Why a datagram was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DatagramError {
    /// The path does not carry that much in one piece.
    #[error("datagram of {length} bytes, at most {max} fit now")]
    TooLong {
        /// The datagram's length.
        length: usize,
        /// What fits at this moment.
        max: usize,
    },
    /// The peer takes no datagrams.
    #[error("peer takes no datagrams")]
    Unsupported,
    /// The link has ended.
    #[error("link is gone")]
    Gone,
}

/// What QUIC knows of a link's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStatistics {
    /// The current estimate of the round trip.
    pub rtt: Duration,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets of those that were taken for lost.
    pub lost_packets: u64,
    /// Times that the path was found congested.
    pub congestion_events: u64,
    /// Bytes that may be under way at once.
    pub congestion_window_bytes: u64,
    /// The largest UDP payload that the path carries.
    pub mtu: u16,
    /// UDP payload bytes sent.
    pub udp_bytes_sent: u64,
    /// UDP payload bytes received.
    pub udp_bytes_received: u64,
}

impl LinkSender {
    /// Queues a frame. Never waits, and does not touch the network: many frames queued in one go
    /// leave in one go. Frames of one lane arrive in this order or not at all.
    ///
    /// # Errors
    /// The frame was not queued.
    pub fn send(&self, lane: Lane, payload: Bytes) -> Result<(), SendError> {
        let result = self.outbox.push(lane, payload);
        if result == Err(SendError::QueueFull) {
            counters::add(&self.tally.queue_full, 1);
        }
        result
    }

    /// How many bytes wait on a lane.
    #[must_use]
    pub fn queued_bytes(&self, lane: Lane) -> usize {
        self.outbox.queued_bytes(lane)
    }

    /// Sends a datagram, which may be lost. When too many wait, the oldest are dropped.
    ///
    /// # Errors
    /// The datagram was not sent.
    pub fn send_datagram(&self, bytes: Bytes) -> Result<(), DatagramError> {
        let length = bytes.len();
        self.connection.send_datagram(bytes).map_err(|error| match error {
            quinn::SendDatagramError::TooLarge => {
                let max = self.max_datagram_size().unwrap_or(0);
                DatagramError::TooLong { length, max }
            }
            quinn::SendDatagramError::UnsupportedByPeer | quinn::SendDatagramError::Disabled => {
                DatagramError::Unsupported
            }
            quinn::SendDatagramError::ConnectionLost(_) => DatagramError::Gone,
        })?;
        counters::add(&self.tally.datagrams_sent, 1);
        Ok(())
    }

    /// The longest datagram that fits at this moment; it changes with what is learnt of the path.
    /// None if the peer takes none.
    #[must_use]
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.connection.max_datagram_size()
    }

    /// Ends the link: the peer is not wanted. What is queued is lost.
    pub fn close(&self) {
        self.close_with(CloseCode::Unwanted);
    }

    /// Ends the link for this reason, unless this side has ended it for another one.
    pub(crate) fn close_with(&self, code: CloseCode) {
        let code = *self.closed_with.get_or_init(|| code);
        self.connection.close(code.wire(), code.text().as_bytes());
    }

    /// What QUIC knows of the path.
    #[must_use]
    pub fn statistics(&self) -> LinkStatistics {
        let known = self.connection.stats();
        LinkStatistics {
            rtt: known.path.rtt,
            sent_packets: known.path.sent_packets,
            lost_packets: known.path.lost_packets,
            congestion_events: known.path.congestion_events,
            congestion_window_bytes: known.path.cwnd,
            mtu: known.path.current_mtu,
            udp_bytes_sent: known.udp_tx.bytes,
            udp_bytes_received: known.udp_rx.bytes,
        }
    }
}

impl fmt::Debug for LinkSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSender").finish_non_exhaustive()
    }
}
