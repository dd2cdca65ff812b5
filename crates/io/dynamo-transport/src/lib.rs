//! Opaque frames between authenticated peers over QUIC.
//!
//! An [`Endpoint`] owns one UDP port. It keeps one connection to every node it was told of, takes
//! connections from nodes and clients, and hands up what they send as [`Event`]s. Whoever is at the
//! other end has shown a certificate of the cluster's authority whose name and role were checked,
//! and has agreed on a protocol version, before a single frame of theirs is handed up.
//!
//! ```text
//!   LinkSender::send -> lane queue -> writer -> stream ~~~~ stream -> reader -> Events::next
//!                       (bounded)     (one per lane)                 (one per lane)  (bounded)
//! ```
//!
//! A connection carries a few long-lived [`Lane`]s, not a stream per request: a stream costs some
//! thirty microseconds of CPU, a frame on an open stream about three. Sending never waits: the
//! frame is queued or refused. Receiving does: when the consumer of the events falls behind, the
//! readers stop, and QUIC's flow control holds the peers back.
//!
//! Not here: what a frame means, requests and replies, retries, membership, name resolution. A
//! frame that was queued may be lost with its connection; whoever needs an answer sets a deadline.
//!
//! Reading order: [`identity`] and [`certificates`] (who is who), [`hello`] and [`frame`] (the
//! bytes, without IO), [`limits`], [`lane`], [`link`] (one connection), [`endpoint`] (all of them),
//! [`event`], [`counters`], [`close`] (why connections end).

#[cfg(feature = "issue")]
pub mod certificates;
mod clock;
pub mod close;
pub mod counters;
pub mod endpoint;
pub mod event;
pub mod frame;
pub mod hello;
pub mod identity;
pub mod lane;
pub mod limits;
pub mod link;
mod outbox;
mod reset;
mod tls;
mod tuning;

pub use close::{CloseCode, DisconnectReason};
pub use counters::Counters;
pub use endpoint::{BindError, DialError, Endpoint, EndpointConfig, RenewError};
pub use event::{Event, Events};
pub use hello::HelloConfig;
pub use identity::{
    Identity, PeerIdentity, PeerName, PeerNameError, Role, Trust, public_key_digest,
};
pub use lane::Lane;
pub use limits::Limits;
pub use link::{DatagramError, Link, LinkId, LinkSender, LinkStatistics, SendError};
