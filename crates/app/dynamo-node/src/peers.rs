//! Tells the transport of the other members, whose addresses may be names.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dynamo_membership::GenesisMember;
use dynamo_transport::{Endpoint, PeerName};
use dynamo_types::NodeId;

/// How soon a name that could not be resolved is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often a name is resolved again, since it may come to mean another address.
const REFRESH: Duration = Duration::from_secs(30);

/// Adds all members but this one. Must be called within the runtime.
pub(crate) fn add_all(endpoint: &Arc<Endpoint>, own: NodeId, members: &[GenesisMember]) {
    for member in members.iter().filter(|member| member.node != own) {
        let name = peer_name(member.node);
        match member.address.parse::<SocketAddr>() {
            Ok(address) => endpoint.add_peer(&name, address),
            Err(_) => {
                let resolving =
                    keep_resolved(Arc::downgrade(endpoint), name, member.address.clone());
                tokio::spawn(resolving);
            }
        }
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
