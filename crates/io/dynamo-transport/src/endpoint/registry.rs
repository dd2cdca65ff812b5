//! Which nodes are to be linked, and which links there are.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::close::CloseCode;
use crate::identity::PeerName;
use crate::link::{Ended, Link, LinkId, LinkSender};
use crate::tls::Protocol;

/// Peers and links of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Registry {
    peers: BTreeMap<PeerName, Peer>,
    links: BTreeMap<LinkId, Entry>,
    /// The newest link of each node: there is one at a time.
    node_links: BTreeMap<PeerName, LinkId>,
    client_links: usize,
}

/// A node to which a link is kept.
#[derive(Debug)]
struct Peer {
    address: watch::Sender<SocketAddr>,
    /// The task that dials.
    dialler: Option<AbortHandle>,
}

#[derive(Debug)]
struct Entry {
    sender: LinkSender,
    ended: Ended,
    /// The node's name, or none for a client's link.
    node: Option<PeerName>,
}

impl Registry {
    /// Adds a node, or sets its address. Tells whether it is new.
    pub(super) fn add_peer(&mut self, name: &PeerName, address: SocketAddr) -> bool {
        if self.peers.contains_key(name) {
            self.set_address(name, address);
            return false;
        }
        let peer = Peer { address: watch::Sender::new(address), dialler: None };
        self.peers.insert(name.clone(), peer);
        true
    }

    /// Notes the task that dials a node. If the node was removed meanwhile the task is ended.
    pub(super) fn set_dialler(&mut self, name: &PeerName, task: AbortHandle) {
        match self.peers.get_mut(name) {
            Some(peer) => peer.dialler = Some(task),
            None => task.abort(),
        }
    }

    pub(super) fn set_address(&self, name: &PeerName, address: SocketAddr) {
        if let Some(peer) = self.peers.get(name) {
            // Whoever pauses before the next attempt is woken only by news.
            peer.address.send_if_modified(|known| std::mem::replace(known, address) != address);
        }
    }

    /// Where a node is, and the news of it. None once it was removed.
    pub(super) fn address(&self, name: &PeerName) -> Option<watch::Receiver<SocketAddr>> {
        self.peers.get(name).map(|peer| peer.address.subscribe())
    }

    pub(super) fn remove_peer(&mut self, name: &PeerName) {
        if let Some(task) = self.peers.remove(name).and_then(|peer| peer.dialler) {
            task.abort();
        }
        if let Some(entry) = self.node_links.get(name).and_then(|link| self.links.get(link)) {
            entry.sender.close_with(CloseCode::Unwanted);
        }
    }

    /// Adds a link. A node's earlier link is closed and returned, for its end comes first.
    ///
    /// # Errors
    /// There are too many links.
    pub(super) fn add_link(
        &mut self,
        link: &Link,
        ended: Ended,
        protocol: Protocol,
        clients_max: usize,
    ) -> Result<Option<Ended>, CloseCode> {
        let (node, predecessor) = match protocol {
            Protocol::Client if self.client_links >= clients_max => {
                return Err(CloseCode::TooManyLinks);
            }
            Protocol::Client => {
                self.client_links += 1;
                (None, None)
            }
            Protocol::Node => {
                let name = link.peer.name.clone();
                let earlier = self.node_links.insert(name.clone(), link.id);
                let earlier = earlier.and_then(|earlier| self.links.get(&earlier));
                let ended = earlier.map(|earlier| {
                    earlier.sender.close_with(CloseCode::Replaced);
                    earlier.ended.clone()
                });
                (Some(name), ended)
            }
        };
        self.links.insert(link.id, Entry { sender: link.sender.clone(), ended, node });
        Ok(predecessor)
    }

    pub(super) fn remove_link(&mut self, link: LinkId) {
        match self.links.remove(&link) {
            Some(Entry { node: Some(name), .. }) if self.node_links.get(&name) == Some(&link) => {
                self.node_links.remove(&name);
            }
            Some(Entry { node: None, .. }) => self.client_links -= 1,
            Some(_) | None => {}
        }
    }

    pub(super) fn link(&self, link: LinkId) -> Option<LinkSender> {
        self.links.get(&link).map(|entry| entry.sender.clone())
    }

    /// The end of a node's link, if it has one.
    pub(super) fn node_link_ended(&self, name: &PeerName) -> Option<Ended> {
        let link = self.node_links.get(name)?;
        self.links.get(link).map(|entry| entry.ended.clone())
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
