//! Keeps members, partition table and connections up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dynamo_messages::{ClusterView, MemberView, Reply, Request};
use dynamo_transport::Endpoint;
use dynamo_types::NodeId;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::clock;
use crate::connections::{Connections, peer_name};
use crate::error::SeedError;
use crate::routing::{Candidate, PartitionTable};

/// How long a node may take to tell members or table, in all.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often members that are not connected are dialled.
const REDIAL_INTERVAL: Duration = Duration::from_millis(500);
/// The state of a member that has gone for good.
const REMOVED: &str = "removed";

/// What is known of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    table: Mutex<Option<Arc<PartitionTable>>>,
    /// Members that have not gone for good.
    members: Mutex<BTreeMap<NodeId, Member>>,
}

/// A member to be connected to.
#[derive(Debug, Clone)]
struct Member {
    address: String,
    /// Whether the node that told of it reaches it.
    reachable: bool,
}

impl Cluster {
    pub(crate) fn table(&self) -> Option<Arc<PartitionTable>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn members(&self) -> BTreeMap<NodeId, Member> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_members(&self, view: ClusterView) {
        let present = view.members.into_iter().filter(|member| member.state != REMOVED);
        let member = |member: MemberView| {
            // A node need not say of itself that it can be reached.
            let reachable = member.reachable || member.node == view.answered_by;
            (member.node, Member { address: member.address, reachable })
        };
        let members = present.map(member).collect();
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = members;
    }

    /// Takes a table unless it is older than the one that is known.
    fn set_table(&self, table: PartitionTable) {
        let mut known = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| known.version <= table.version) {
            *known = Some(Arc::new(table));
        }
    }
}

/// The upkeep of one client.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) seeds: Vec<String>,
    pub(crate) refresh_interval: Duration,
}

impl Upkeep {
    /// Dials all seeds at once, until one is connected or all have failed.
    pub(crate) async fn dial_seeds(&self) -> Result<(), (usize, Option<SeedError>)> {
        let mut dials = JoinSet::new();
        let (mut tried, mut last) = (0, None);
        for seed in &self.seeds {
            match resolve(seed).await {
                Ok(addresses) => {
                    for address in addresses {
                        tried += 1;
                        let (endpoint, seed) = (self.endpoint.clone(), seed.clone());
                        dials.spawn(async move {
                            let dialled = endpoint.dial(address, None).await;
                            dialled.map_err(|source| SeedError::Dial { seed, source })
                        });
                    }
                }
                Err(source) => last = Some(SeedError::Resolve { seed: seed.clone(), source }),
            }
        }
        while let Some(dialled) = dials.join_next().await {
            match dialled {
                Ok(Ok(_)) => {
                    // The others may end as they like: what connects is used.
                    dials.detach_all();
                    return Ok(());
                }
                Ok(Err(error)) => last = Some(error),
                Err(error) => debug!(%error, "a dial was cut short"),
            }
        }
        Err((tried, last))
    }

    /// Pulls members and table from the best connected node that tells them. Whether it did.
    pub(crate) async fn refresh(&self) -> bool {
        let mut candidates = self.connections.candidates();
        candidates.sort_by_key(|candidate| candidate.cost);
        for Candidate { node, .. } in candidates {
            let Some(link) = self.connections.link(node) else { continue };
            let (view, ring) = tokio::join!(
                link.ask(Request::Cluster, DESCRIBE_TIMEOUT),
                link.ask(Request::Ring, DESCRIBE_TIMEOUT),
            );
            if let (Ok(Reply::Cluster(view)), Ok(Reply::Ring(ring))) = (view, ring)
                && let Some(table) = PartitionTable::new(ring)
            {
                self.cluster.set_members(view);
                self.cluster.set_table(table);
                return true;
            }
            debug!(%node, "did not tell members and table");
        }
        false
    }

    /// Begins to dial those members that are neither connected nor being dialled.
    fn dial_members(
        &self,
        members: BTreeMap<NodeId, Member>,
        dialling: &mut BTreeSet<NodeId>,
        dials: &mut JoinSet<NodeId>,
    ) {
        for (node, Member { address, .. }) in members {
            if self.connections.is_connected(node) || !dialling.insert(node) {
                continue;
            }
            let endpoint = self.endpoint.clone();
            dials.spawn(async move {
                dial_member(&endpoint, node, &address).await;
                node
            });
        }
    }

    /// Dials the members that others reach, and waits until all are connected or have failed, or
    /// until `deadline`.
    pub(crate) async fn connect_members(&self, deadline: Instant) {
        let (mut dialling, mut dials) = (BTreeSet::new(), JoinSet::new());
        let mut members = self.cluster.members();
        members.retain(|_, member| member.reachable);
        self.dial_members(members, &mut dialling, &mut dials);
        let all = async { while dials.join_next().await.is_some() {} };
        if tokio::time::timeout_at(deadline, all).await.is_err() {
            debug!("some members are not connected yet");
        }
        dials.detach_all();
    }

    /// Goes on until it is dropped.
    pub(crate) async fn run(self) {
        let (mut dialling, mut dials) = (BTreeSet::new(), JoinSet::new());
        let mut refresh_at = clock::now() + self.refresh_interval;
        loop {
            let missing = !self.cluster.members().keys().all(|n| self.connections.is_connected(*n));
            let redial_at = clock::now() + REDIAL_INTERVAL;
            let wake_at = if missing { refresh_at.min(redial_at) } else { refresh_at };
            tokio::select! {
                () = sleep_until(wake_at) => {}
                () = self.connections.broken.notified() => refresh_at = clock::now(),
                Some(ended) = dials.join_next(), if !dials.is_empty() => {
                    if let Ok(node) = ended {
                        dialling.remove(&node);
                    }
                    continue;
                }
            }
            if self.connections.count() == 0
                && let Err((_, Some(error))) = self.dial_seeds().await
            {
                debug!(error = &error as &dyn std::error::Error, "no seed answers");
            }
            if clock::now() >= refresh_at {
                self.refresh().await;
                refresh_at = clock::now() + self.refresh_interval;
            }
            self.dial_members(self.cluster.members(), &mut dialling, &mut dials);
        }
    }
}

async fn resolve(address: &str) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(address).await?.collect())
}

async fn dial_member(endpoint: &Endpoint, node: NodeId, address: &str) {
    let addresses = match resolve(address).await {
        Ok(addresses) => addresses,
        Err(error) => {
            debug!(%node, address, %error, "cannot find a member's address");
            return;
        }
    };
    for address in addresses {
        match endpoint.dial(address, Some(&peer_name(node))).await {
            Ok(_) => return,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                debug!(%node, %address, error, "cannot reach a member");
            }
        }
    }
}
