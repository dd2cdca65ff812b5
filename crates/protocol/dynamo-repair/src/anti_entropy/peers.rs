//! What is known of the other members: what is shared with each, what is verified, what is due.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use dynamo_types::{Instant, NodeId, PartitionId};

use super::session::SessionKey;

/// All peers. Memory is bounded by the number of members and of partitions that they share with
/// this node: some 100 bytes for each such pair.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: BTreeMap<NodeId, Peer>,
    /// The pairs for which a session is due, now or later, and none is under way.
    due: BTreeSet<(Instant, NodeId, PartitionId)>,
}

/// One peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) is_connected: bool,
    /// When it is asked for its roots next.
    pub(super) next_roots: Option<Instant>,
    pub(super) asked: Option<Asked>,
    pub(super) links: BTreeMap<PartitionId, Link>,
}

/// A question for roots that is not answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) number: u32,
    pub(super) at: Instant,
    /// In order. Those that were reset since are taken out.
    pub(super) partitions: Vec<PartitionId>,
}

/// A partition that is shared with a peer.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Link {
    /// Both were found to hold the same, or exchanged all that differed, as of then.
    pub(super) verified: Option<Instant>,
    /// A session with it shall begin then.
    due: Option<Instant>,
    /// The session about it.
    session: Option<SessionKey>,
}

impl Peers {
    pub(super) fn get(&self, node: NodeId) -> Option<&Peer> {
        self.peers.get(&node)
    }

    pub(super) fn get_mut(&mut self, node: NodeId) -> Option<&mut Peer> {
        self.peers.get_mut(&node)
    }

    pub(super) fn connected(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.peers.iter().filter(|(_, peer)| peer.is_connected).map(|(node, peer)| (*node, peer))
    }

    pub(super) fn link(&self, node: NodeId, partition: PartitionId) -> Option<&Link> {
        self.peers.get(&node)?.links.get(&partition)
    }

    /// Peers that share a partition.
    pub(super) fn sharing(&self, partition: PartitionId) -> Vec<NodeId> {
        let sharing = self.peers.iter().filter(|(_, peer)| peer.links.contains_key(&partition));
        sharing.map(|(node, _)| *node).collect()
    }

    /// What is shared with a peer from now on. Returns the sessions about what is not any more.
    pub(super) fn share(&mut self, node: NodeId, shared: Vec<PartitionId>) -> Vec<SessionKey> {
        let shared: BTreeSet<PartitionId> = shared.into_iter().collect();
        let peer = self.peers.entry(node).or_default();
        let mut orphans = Vec::new();
        peer.links.retain(|partition, link| {
            let stays = shared.contains(partition);
            if !stays {
                orphans.extend(link.session);
                if let Some(due) = link.due {
                    self.due.remove(&(due, node, *partition));
                }
            }
            stays
        });
        for partition in shared {
            peer.links.entry(partition).or_default();
        }
        orphans
    }

    /// Both hold the same as of that moment, so nothing is due. Or, for none, that is not known.
    pub(super) fn set_verified(
        &mut self,
        node: NodeId,
        partition: PartitionId,
        as_of: Option<Instant>,
    ) {
        self.change(node, partition, |link| {
            link.verified = as_of.and_then(|as_of| link.verified.max(Some(as_of)));
            link.due = link.due.filter(|_| as_of.is_none());
        });
    }

    /// A session with a connected peer shall begin at that time, or earlier if that was so already.
    pub(super) fn set_due(&mut self, node: NodeId, partition: PartitionId, at: Instant) {
        if self.peers.get(&node).is_some_and(|peer| peer.is_connected) {
            self.change(node, partition, |link| {
                link.due = Some(link.due.map_or(at, |due| due.min(at)));
            });
        }
    }

    pub(super) fn clear_due(&mut self, node: NodeId, partition: PartitionId) {
        self.change(node, partition, |link| link.due = None);
    }

    /// Nothing is due with a peer that is gone.
    pub(super) fn clear_all_due(&mut self, node: NodeId) {
        let links: Option<Vec<PartitionId>> =
            self.peers.get(&node).map(|peer| peer.links.keys().copied().collect());
        for partition in links.unwrap_or_default() {
            self.clear_due(node, partition);
        }
    }

    /// The session about a pair.
    pub(super) fn session(&self, node: NodeId, partition: PartitionId) -> Option<SessionKey> {
        self.link(node, partition)?.session
    }

    pub(super) fn session_began(&mut self, partition: PartitionId, key: SessionKey) {
        self.change(key.peer, partition, |link| link.session = Some(key));
    }

    pub(super) fn session_ended(&mut self, partition: PartitionId, key: SessionKey) {
        self.change(key.peer, partition, |link| {
            link.session = link.session.filter(|session| *session != key);
        });
    }

    /// When the first session is due that is not under way.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// The pairs for which a session is due by now and none is under way.
    pub(super) fn due(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = (NodeId, PartitionId, Option<Instant>)> {
        let due = self.due.iter().take_while(move |(at, ..)| *at <= now);
        due.map(|(_, node, partition)| {
            let verified = self.link(*node, *partition).and_then(|link| link.verified);
            (*node, *partition, verified)
        })
    }

    /// Changes a link and keeps what is due in step.
    fn change(&mut self, node: NodeId, partition: PartitionId, change: impl FnOnce(&mut Link)) {
        let links = self.peers.get_mut(&node).map(|peer| &mut peer.links);
        let Some(link) = links.and_then(|links| links.get_mut(&partition)) else { return };
        let waits = |link: &Link| link.due.filter(|_| link.session.is_none());
        let before = waits(link);
        change(link);
        let after = waits(link);
        if before != after {
            if let Some(at) = before {
                self.due.remove(&(at, node, partition));
            }
            if let Some(at) = after {
                self.due.insert((at, node, partition));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dynamo_messages::repair::SessionId;

    use super::*;

    const NODE: NodeId = NodeId(7);
    const PARTITION: PartitionId = PartitionId(3);

    fn connected() -> Peers {
        let mut peers = Peers::default();
        peers.share(NODE, Vec::from([PARTITION, PartitionId(4)]));
        peers.get_mut(NODE).unwrap().is_connected = true;
        peers
    }

    fn due(peers: &Peers) -> Vec<PartitionId> {
        peers.due(Instant(100)).map(|(_, partition, _)| partition).collect()
    }

    #[test]
    fn the_earliest_wish_counts_and_a_session_holds_it_back() {
        let mut peers = connected();
        peers.set_due(NODE, PARTITION, Instant(50));
        peers.set_due(NODE, PARTITION, Instant(200));
        assert_eq!((peers.next_due(), due(&peers)), (Some(Instant(50)), Vec::from([PARTITION])));
        let key = SessionKey { peer: NODE, session: SessionId(1), is_initiator: true };
        peers.session_began(PARTITION, key);
        peers.set_due(NODE, PARTITION, Instant(20));
        assert_eq!(peers.next_due(), None);
        let other = SessionKey { session: SessionId(2), ..key };
        peers.session_ended(PARTITION, other);
        assert_eq!(peers.next_due(), None, "that was another session");
        peers.session_ended(PARTITION, key);
        assert_eq!(peers.next_due(), Some(Instant(20)));
    }

    #[test]
    fn what_is_verified_is_not_due_and_never_gets_older() {
        let mut peers = connected();
        peers.set_due(NODE, PARTITION, Instant(50));
        peers.set_verified(NODE, PARTITION, Some(Instant(60)));
        peers.set_verified(NODE, PARTITION, Some(Instant(40)));
        assert_eq!(peers.next_due(), None);
        assert_eq!(peers.link(NODE, PARTITION).unwrap().verified, Some(Instant(60)));
        peers.set_due(NODE, PARTITION, Instant(50));
        peers.set_verified(NODE, PARTITION, None);
        assert_eq!(due(&peers), [PARTITION], "what is not verified stays due");
        assert_eq!(peers.link(NODE, PARTITION).unwrap().verified, None);
    }

    #[test]
    fn nothing_is_due_with_a_peer_that_is_gone_or_for_what_is_not_shared() {
        let mut peers = connected();
        peers.set_due(NODE, PARTITION, Instant(50));
        peers.set_due(NODE, PartitionId(4), Instant(60));
        peers.set_due(NODE, PartitionId(9), Instant(1));
        peers.share(NODE, Vec::from([PARTITION]));
        assert_eq!(due(&peers), [PARTITION]);
        peers.get_mut(NODE).unwrap().is_connected = false;
        peers.clear_all_due(NODE);
        peers.set_due(NODE, PARTITION, Instant(50));
        assert_eq!(peers.next_due(), None);
    }
}
