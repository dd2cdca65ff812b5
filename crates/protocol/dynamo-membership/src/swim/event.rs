//! What goes into the detector and comes out.

use alloc::collections::BTreeSet;
use core::time::Duration;

use bytes::Bytes;
use dynamo_types::NodeId;
use thiserror::Error;

use super::codec::DecodeSwimError;

/// What happens to the detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwimEvent {
    /// The members that operators named, all of them; whether this node is among them is the same.
    /// Nobody else is probed or listened to.
    Members(BTreeSet<NodeId>),
    /// A link to this member stands anew. If it was down, or never heard of, it is greeted at once
    /// instead of when its turn comes.
    Linked(NodeId),
    /// Bytes from a peer that the transport has identified.
    Datagram {
        /// Who.
        from: NodeId,
        /// What.
        bytes: Bytes,
    },
    /// The loop that drives this machine ran so late. Lateness of its own timers it sees itself.
    LoopLag(Duration),
    /// The process is about to stop: the others need not find out. Nothing follows.
    Stopping,
}

/// What the detector wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwimEffect {
    /// Send a datagram. Whether it arrives does not matter.
    Send {
        /// Whereto.
        to: NodeId,
        /// What, at most [`SwimConfig::datagram_bytes_max`](super::SwimConfig::datagram_bytes_max).
        bytes: Bytes,
    },
    /// The member seems to be up, and did not before.
    BecameUp(NodeId),
    /// The member seems to be down, and did not before.
    BecameDown(NodeId),
    /// The member is up as another process, or as one that had been called down elsewhere.
    Returned(NodeId),
    /// The others had called this node down; it goes on under a new incarnation.
    WasCalledDown,
    /// A datagram was not used.
    Refused {
        /// From whom.
        from: NodeId,
        /// Why.
        refusal: SwimRefusal,
    },
}

/// Why a datagram was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SwimRefusal {
    /// It is none.
    #[error("it cannot be read")]
    Malformed(#[from] DecodeSwimError),
    /// It comes from a node that is no member here.
    #[error("its sender is no member")]
    Stranger,
    /// It names another sender or receiver than it came from and to.
    #[error("it names another sender or receiver")]
    Misdirected,
    /// It asks for what makes no sense, such as to probe oneself.
    #[error("it makes no sense here")]
    Nonsense,
}

/// What is thought of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Nothing yet.
    Unknown,
    /// It answers someone.
    Up,
    /// It did not answer lately, and has some time left to do so.
    Suspect,
    /// It answers nobody.
    Down,
}

impl Liveness {
    /// The name in interfaces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
        }
    }
}
