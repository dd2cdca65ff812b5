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
    /// The pairs for which a session is due, now or later.
    due: BTreeSet<(NodeId, PartitionId)>,
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
    pub(super) session: Option<SessionKey>,
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

    pub(super) fn link_mut(&mut self, node: NodeId, partition: PartitionId) -> Option<&mut Link> {
        self.peers.get_mut(&node)?.links.get_mut(&partition)
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
                self.due.remove(&(node, *partition));
                orphans.extend(link.session);
            }
            stays
        });
        for partition in shared {
            peer.links.entry(partition).or_default();
        }
        orphans
    }

    /// A session shall begin at that time, or earlier if that was so already.
    pub(super) fn set_due(&mut self, node: NodeId, partition: PartitionId, at: Instant) {
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.is_connected) else { return };
        let Some(link) = peer.links.get_mut(&partition) else { return };
        link.due = Some(link.due.map_or(at, |due| due.min(at)));
        self.due.insert((node, partition));
    }

    pub(super) fn clear_due(&mut self, node: NodeId, partition: PartitionId) {
        if let Some(link) = self.link_mut(node, partition) {
            link.due = None;
        }
        self.due.remove(&(node, partition));
    }

    /// Nothing is due with a peer that is gone.
    pub(super) fn clear_all_due(&mut self, node: NodeId) {
        let partitions: Vec<PartitionId> = self
            .peers
            .get(&node)
            .map(|peer| peer.links.keys().copied().collect())
            .unwrap_or_default();
        for partition in partitions {
            self.clear_due(node, partition);
        }
    }

    /// The pairs for which a session is due and none is under way, with the time.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (NodeId, PartitionId, &Link, Instant)> {
        self.due.iter().filter_map(|(node, partition)| {
            let link = self.link(*node, *partition).filter(|link| link.session.is_none())?;
            Some((*node, *partition, link, link.due?))
        })
    }
}
