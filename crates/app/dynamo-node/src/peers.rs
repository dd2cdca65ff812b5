//! The members as the shell needs them: whom to accept, where to dial, and what to call them.
//!
//! The machine says who they are, first those of the genesis, the cluster's seeds, and then whatever
//! gossip tells. Addresses may be names, which are resolved here.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Weak;
use std::time::Duration;

use dynamo_membership::{Member, MemberStatus};
use dynamo_transport::{Endpoint, PeerName};
use dynamo_types::NodeId;
use tokio::task::AbortHandle;

use crate::http::MemberNames;

/// How soon a name that could not be resolved is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often a name is resolved again, since it may come to mean another address.
const REFRESH: Duration = Duration::from_secs(30);

/// What is done about one member.
#[derive(Debug)]
struct Known {
    address: String,
    /// The task that resolves the address, if it is a name.
    resolving: Option<AbortHandle>,
}

/// All members, this node too.
#[derive(Debug)]
pub(crate) struct Peers {
    own: NodeId,
    /// Gone once the node stops.
    endpoint: Weak<Endpoint>,
    names: MemberNames,
    known: BTreeMap<NodeId, Known>,
    /// What was last said of this node's own status.
    own_status: Option<MemberStatus>,
}

impl Peers {
    /// Nobody yet. The names are kept up to date for whoever holds a clone of them.
    pub(crate) fn new(own: NodeId, endpoint: Weak<Endpoint>, names: MemberNames) -> Self {
        Self { own, endpoint, names, known: BTreeMap::new(), own_status: None }
    }

    /// This node.
    pub(crate) fn own(&self) -> NodeId {
        self.own
    }

    /// Whether a node is or was a member. Those that were removed come to learn of it.
    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.known.contains_key(&node)
    }

    /// What people call a member.
    pub(crate) fn name(&self, node: NodeId) -> String {
        self.names.of(node)
    }

    /// Something is new about a member. Must be called within the runtime.
    pub(crate) fn changed(&mut self, node: NodeId, member: &Member) {
        let details = &member.details;
        tracing::debug!(
            %node, name = details.name, address = details.address, status = member.status.name(),
            "a member"
        );
        self.names.set(node, details.name.clone());
        if node == self.own && self.own_status.replace(member.status) != Some(member.status) {
            log_own_status(&details.name, member.status);
        }
        let is_gone = node == self.own || member.status == MemberStatus::Removed;
        let same = |known: &Known| known.address == details.address;
        if !is_gone && self.known.get(&node).is_some_and(same) {
            return;
        }
        let resolving = if is_gone { None } else { self.look_for(node, &details.address) };
        let known = Known { address: details.address.clone(), resolving };
        if let Some(Known { resolving: Some(task), .. }) = self.known.insert(node, known) {
            task.abort();
        }
        if member.status == MemberStatus::Removed
            && let Some(endpoint) = self.endpoint.upgrade()
        {
            endpoint.remove_peer(&peer_name(node));
        }
    }

    /// Tells the transport where a node is, now or as soon as its name is resolved.
    fn look_for(&self, node: NodeId, address: &str) -> Option<AbortHandle> {
        let name = peer_name(node);
        if let Ok(address) = address.parse::<SocketAddr>() {
            self.endpoint.upgrade()?.add_peer(&name, address);
            return None;
        }
        let endpoint = Weak::clone(&self.endpoint);
        Some(tokio::spawn(keep_resolved(endpoint, name, address.to_owned())).abort_handle())
    }
}

/// Says what this node's operator has to know, and may have to do.
fn log_own_status(name: &str, status: MemberStatus) {
    match status {
        MemberStatus::Joining => tracing::info!(
            name,
            "this node is joining: it gets its share once `dynamo cluster commit --join` was committed"
        ),
        MemberStatus::Active => tracing::info!(name, "this node is a member"),
        MemberStatus::Leaving => tracing::info!(
            name,
            "this node is leaving: keep it running until it is removed, it hands over what it has"
        ),
        MemberStatus::Removed => tracing::warn!(
            name,
            "this node was removed from the cluster: it is needed no more and can be stopped for good"
        ),
    }
}

/// The name of a node in its certificate.
pub(crate) fn peer_name(node: NodeId) -> PeerName {
    PeerName::new(&node.to_string()).expect("hexadecimal digits are a DNS label")
}

async fn keep_resolved(endpoint: Weak<Endpoint>, name: PeerName, address: String) {
    loop {
        let resolved = resolve(&address).await;
        // The node may have stopped meanwhile.
        let Some(endpoint) = endpoint.upgrade() else { return };
        let pause = match resolved {
            Ok(resolved) => {
                endpoint.add_peer(&name, resolved);
                REFRESH
            }
            Err(error) => {
                tracing::warn!(%name, address, %error, "an address cannot be resolved");
                RETRY
            }
        };
        drop(endpoint);
        tokio::time::sleep(pause).await;
    }
}

async fn resolve(address: &str) -> io::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host(address).await?;
    found.next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}
