//! The probe that this node has under way, seen from outside the detector.
//!
//! The detector judges its own probes and does not say how they went. What goes out and comes in
//! says it as well, and so a verdict can be averted that this node is in no state to pass.

use alloc::vec::Vec;

use dynamo_types::Instant;
use foca::{Header, Message, ProbeNumber};

use super::datagram::Datagram;
use super::identity::SwimIdentity;

/// One probe, from the ping to the next ping.
#[derive(Debug, Clone)]
pub(super) struct OwnProbe {
    pub(super) target: SwimIdentity,
    pub(super) number: ProbeNumber,
    pub(super) sent_at: Instant,
    pub(super) is_answered: bool,
}

impl OwnProbe {
    /// The probe that a header begins, if it is a ping.
    pub(super) fn begun_by(header: &Header<SwimIdentity>, now: Instant) -> Option<Self> {
        let Message::Ping(number) = header.message else { return None };
        Some(Self { target: header.dst, number, sent_at: now, is_answered: false })
    }

    /// Looks at what came in.
    pub(super) fn received(&mut self, header: &Header<SwimIdentity>) {
        let answer = match header.message {
            Message::Ack(number) => Some((header.src, number)),
            Message::ForwardedAck { origin, probe_number } => Some((origin, probe_number)),
            Message::Ping(_)
            | Message::PingReq { .. }
            | Message::IndirectPing { .. }
            | Message::IndirectAck { .. }
            | Message::Announce
            | Message::Feed
            | Message::Gossip
            | Message::Broadcast
            | Message::TurnUndead => None,
        };
        self.is_answered |= answer == Some((self.target, self.number));
    }

    /// An answer as the target would have given it: told to the detector, it averts the suspicion.
    pub(super) fn as_answered(&self, own: SwimIdentity, target_counter: u16) -> Datagram {
        let header = Header {
            src: self.target,
            src_incarnation: target_counter,
            dst: own,
            message: Message::Ack(self.number),
        };
        Datagram { header, news: Vec::new() }
    }
}
