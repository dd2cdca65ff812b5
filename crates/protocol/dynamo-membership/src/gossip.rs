//! How what operators decided about members reaches every node.
//!
//! Every second a node tells a random other one the fingerprint of its [`Members`]. Where it is the
//! same that is all: a few dozen bytes. Where it differs, both sides swap what differs:
//!
//! ```text
//!   A                                        B
//!   |------------ digest of all ------------>|   equal: silence
//!   |<---------- summary, one number a node -|
//!   |- entries that B lacks, wanted ids ---->|   B merges
//!   |<------------------ entries wanted -----|   A merges
//! ```
//!
//! Whoever learns something tells a few others at once, so news reaches a cluster of a hundred in a
//! handful of steps, and the second's rhythm is only for what was lost. Merging commutes, so no
//! order, loss or repetition of messages leads to another end. No message leaves anything waiting:
//! there are no sessions to time out.
//!
//! **Not here:** deciding anything, and storing: [`GossipEffect::Changed`] says when to.

mod encoding;
mod reader;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use dynamo_types::{Instant, NodeId};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::members::{Member, MemberStatus, Members};
use encoding::{GossipMessage, check_plausible, check_sound, entry_digest};

pub use encoding::{DecodeGossipError, Fingerprint, MEMBERS_KNOWN_MAX, fingerprint};

/// How members are passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GossipConfig {
    /// This node.
    pub own: NodeId,
    /// How often one random other node is asked.
    pub period: Duration,
    /// So many are told at once when something has changed.
    pub fanout: usize,
}

impl GossipConfig {
    /// Every second, and three at once.
    #[must_use]
    pub fn new(own: NodeId) -> Self {
        Self { own, period: Duration::from_secs(1), fanout: 3 }
    }
}

/// What happens to the gossip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GossipEvent {
    /// An operator's decision reached this node, or it learned of members in another way. They are
    /// merged.
    Decided(Members),
    /// A link to this node stands anew: what either side missed is made up for at once.
    Connected(NodeId),
    /// Bytes from a peer that the transport has identified.
    Received {
        /// Who.
        from: NodeId,
        /// What.
        bytes: Bytes,
    },
}

/// What the gossip wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GossipEffect {
    /// Send a message. Whether it arrives does not matter.
    Send {
        /// Whereto.
        to: NodeId,
        /// What, below 4 MiB.
        bytes: Bytes,
    },
    /// [`Gossip::members`] are others now: store them.
    Changed,
    /// A message or decision was refused, whole: nothing changed.
    Refused {
        /// From whom; this node if it was a decision.
        from: NodeId,
        /// Why.
        error: DecodeGossipError,
    },
}

/// The gossip of one node.
///
/// Pass on decisions and messages ([`handle`](Self::handle)), call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so, and
/// after each call drain [`poll_effect`](Self::poll_effect).
#[derive(Debug)]
pub struct Gossip {
    config: GossipConfig,
    members: Members,
    fingerprint: Fingerprint,
    rng: Xoshiro256PlusPlus,
    next: Instant,
    /// Drained after each call: never more than one event makes.
    effects: VecDeque<GossipEffect>,
}

impl Gossip {
    /// A gossip that knows these members. It speaks first within a period, at a time that the seed
    /// chooses, so that nodes which start together do not go on in step.
    #[must_use]
    pub fn new(now: Instant, config: GossipConfig, members: Members, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let period = u64::try_from(config.period.as_nanos()).unwrap_or(u64::MAX).max(1);
        let next = now + Duration::from_nanos(rng.next_u64() % period);
        let fingerprint = fingerprint(&members);
        Self { config, members, fingerprint, rng, next, effects: VecDeque::new() }
    }

    /// All that is known.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The digest of all that is known: nodes with equal ones agree.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Takes in an event.
    pub fn handle(&mut self, _now: Instant, event: GossipEvent) {
        match event {
            GossipEvent::Decided(members) => {
                // What others would refuse must not begin here.
                let entries: Vec<_> = members.iter().map(|(n, m)| (n, m.clone())).collect();
                let sound = members.iter().try_for_each(|(_, m)| check_sound(&m.details));
                match sound.and_then(|()| check_plausible(&entries, &self.members)) {
                    Ok(()) if self.members.merge(&members) => self.take_change(None),
                    Ok(()) => {}
                    Err(error) => {
                        let from = self.config.own;
                        self.effects.push_back(GossipEffect::Refused { from, error });
                    }
                }
            }
            GossipEvent::Connected(node) => {
                if self.members.get(node).is_some() {
                    self.send(node, &GossipMessage::Digest(self.fingerprint));
                }
            }
            GossipEvent::Received { from, bytes } => {
                if let Err(error) = self.handle_message(from, &bytes) {
                    self.effects.push_back(GossipEffect::Refused { from, error });
                }
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.next {
            self.next = now + self.config.period;
            self.tell_some(1, None);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next)
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<GossipEffect> {
        self.effects.pop_front()
    }

    fn handle_message(&mut self, from: NodeId, bytes: &[u8]) -> Result<(), DecodeGossipError> {
        match GossipMessage::decode(bytes)? {
            GossipMessage::Digest(theirs) => {
                if theirs != self.fingerprint {
                    let own = self.members.iter();
                    let summary = own.map(|(node, m)| (node, entry_digest(node, m))).collect();
                    self.send(from, &GossipMessage::Summary(summary));
                }
            }
            GossipMessage::Summary(theirs) => self.answer_summary(from, theirs),
            GossipMessage::Entries { entries, wanted } => {
                check_plausible(&entries, &self.members)?;
                let mut is_new = false;
                for (node, member) in &entries {
                    is_new |= self.members.merge_member(*node, member);
                }
                let entries: Vec<(NodeId, Member)> = wanted
                    .into_iter()
                    .filter_map(|node| Some((node, self.members.get(node)?.clone())))
                    .collect();
                if !entries.is_empty() {
                    self.send(from, &GossipMessage::Entries { entries, wanted: Vec::new() });
                }
                if is_new {
                    self.take_change(Some(from));
                }
            }
        }
        Ok(())
    }

    /// Sends what differs or is missing there, and asks for what differs or is missing here.
    fn answer_summary(&mut self, from: NodeId, theirs: Vec<(NodeId, [u8; 8])>) {
        let theirs: BTreeMap<NodeId, [u8; 8]> = theirs.into_iter().collect();
        let differs =
            |node: NodeId, member: &Member| theirs.get(&node) != Some(&entry_digest(node, member));
        let entries: Vec<(NodeId, Member)> = self
            .members
            .iter()
            .filter(|(node, member)| differs(*node, member))
            .map(|(node, member)| (node, member.clone()))
            .collect();
        let wanted: Vec<NodeId> = theirs
            .keys()
            .filter(|node| self.members.get(**node).is_none_or(|known| differs(**node, known)))
            .copied()
            .collect();
        if !entries.is_empty() || !wanted.is_empty() {
            self.send(from, &GossipMessage::Entries { entries, wanted });
        }
    }

    fn take_change(&mut self, from: Option<NodeId>) {
        self.fingerprint = fingerprint(&self.members);
        self.effects.push_back(GossipEffect::Changed);
        self.tell_some(self.config.fanout, from);
    }

    /// Sends the digest to some random others. Whoever just told this node knows already.
    fn tell_some(&mut self, count: usize, but: Option<NodeId>) {
        let own = self.config.own;
        let others = self.members.iter().filter(|(node, member)| {
            *node != own && Some(*node) != but && member.status != MemberStatus::Removed
        });
        let mut others: Vec<(u64, NodeId)> =
            others.map(|(node, _)| (self.rng.next_u64(), node)).collect();
        others.sort_unstable();
        others.truncate(count);
        for (_, node) in others {
            self.send(node, &GossipMessage::Digest(self.fingerprint));
        }
    }

    fn send(&mut self, to: NodeId, message: &GossipMessage) {
        self.effects.push_back(GossipEffect::Send { to, bytes: message.encode() });
    }
}
