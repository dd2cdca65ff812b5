//! The links that stand: one to each member that is reachable, those of nodes that are no members yet,
//! and those of native clients.

use std::collections::BTreeMap;

use bytes::Bytes;
use dynamo_transport::{Lane, Link, LinkId, LinkSender, Role};
use dynamo_types::NodeId;

/// A link to a native client.
#[derive(Debug)]
pub(crate) struct ClientLink {
    pub(crate) sender: LinkSender,
    pub(crate) role: Role,
    /// Requests under way.
    pub(crate) in_flight: usize,
}

/// Who is at the other end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A member of the cluster, or a node that wants to become one.
    Node(NodeId),
    /// An application or an operator.
    Client,
}

/// What was lost because of links, for metrics.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LinkCounters {
    /// Messages to members without a link.
    pub(crate) sends_without_link: u64,
    /// Messages to members whose lane was full.
    pub(crate) sends_queue_full: u64,
    /// Datagrams to members without a link, or whose path does not carry them.
    pub(crate) datagrams_not_sent: u64,
    /// Links of nodes that were no members.
    pub(crate) links_of_strangers: u64,
    /// Those of them that were refused because there were too many.
    pub(crate) strangers_refused: u64,
    /// Frames of members that could not be decoded.
    pub(crate) undecodable_peer_frames: u64,
    /// Frames of clients that could not be decoded.
    pub(crate) undecodable_client_frames: u64,
    /// Requests of clients beyond their share.
    pub(crate) client_requests_over_cap: u64,
    /// Replies to clients that were gone or did not read.
    pub(crate) replies_lost: u64,
}

/// All links, by number and by member.
#[derive(Debug, Default)]
pub(crate) struct Links {
    peers: BTreeMap<LinkId, Peer>,
    nodes: BTreeMap<NodeId, (LinkId, LinkSender)>,
    clients: BTreeMap<LinkId, ClientLink>,
    pub(crate) counters: LinkCounters,
}

impl Links {
    /// Takes a new link; a newer one of the same member replaces the older one.
    pub(crate) fn add(&mut self, link: Link, node: Option<NodeId>) -> Peer {
        let peer = match node {
            Some(node) => {
                self.nodes.insert(node, (link.id, link.sender));
                Peer::Node(node)
            }
            None => {
                let role = link.peer.role;
                let client = ClientLink { sender: link.sender, role, in_flight: 0 };
                self.clients.insert(link.id, client);
                Peer::Client
            }
        };
        self.peers.insert(link.id, peer);
        peer
    }

    /// Forgets a link. Tells the member that has none any more.
    pub(crate) fn remove(&mut self, link: LinkId) -> Option<NodeId> {
        match self.peers.remove(&link)? {
            Peer::Client => {
                self.clients.remove(&link);
                None
            }
            Peer::Node(node) => {
                let current = self.nodes.get(&node).is_some_and(|(id, _)| *id == link);
                if current {
                    self.nodes.remove(&node);
                }
                current.then_some(node)
            }
        }
    }

    /// The nodes that have a link.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }

    pub(crate) fn peer(&self, link: LinkId) -> Option<Peer> {
        self.peers.get(&link).copied()
    }

    pub(crate) fn client(&mut self, link: LinkId) -> Option<&mut ClientLink> {
        self.clients.get_mut(&link)
    }

    pub(crate) fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Sends to a member, or counts why not: the machine has its timeouts.
    pub(crate) fn send_to_node(&mut self, to: NodeId, lane: Lane, frame: Bytes) {
        match self.nodes.get(&to) {
            None => self.counters.sends_without_link += 1,
            Some((_, sender)) => {
                if let Err(error) = sender.send(lane, frame) {
                    tracing::debug!(%to, %error, "a message was not sent");
                    self.counters.sends_queue_full += 1;
                }
            }
        }
    }

    /// Sends a datagram to a member, or counts why not.
    pub(crate) fn send_datagram(&mut self, to: NodeId, bytes: Bytes) {
        let sent = self.nodes.get(&to).map(|(_, sender)| sender.send_datagram(bytes));
        if let Some(Err(error)) = &sent {
            tracing::debug!(%to, %error, "a datagram was not sent");
        }
        self.counters.datagrams_not_sent += u64::from(!matches!(sent, Some(Ok(()))));
    }

    /// Whether a message to this member would be queued at all.
    pub(crate) fn reaches(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// Ends the link of a client that does not keep to the protocol.
    pub(crate) fn drop_client(&mut self, link: LinkId) {
        if let Some(client) = self.clients.get(&link) {
            client.sender.close();
        }
    }
}
