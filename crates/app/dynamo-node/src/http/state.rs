//! What all requests share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dynamo_types::{Limits, NodeId, Replication};

use super::limits::InFlight;
use crate::access::AccessTable;
use crate::clock::Clock;
use crate::identity_files::ClusterSecret;
use crate::input::NodeHandle;
use crate::metrics::{HttpMetrics, NodeSources};
use crate::settings::Settings;

/// What people call the members. It changes while the node runs; clones show the same.
#[derive(Debug, Clone, Default)]
pub struct MemberNames(Arc<Mutex<BTreeMap<NodeId, String>>>);

impl MemberNames {
    /// Sets a member's name.
    pub fn set(&self, node: NodeId, name: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node, name);
    }

    /// A member's name; its id if it has none.
    #[must_use]
    pub fn of(&self, node: NodeId) -> String {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&node).cloned().unwrap_or_else(|| node.to_string())
    }
}

/// What the HTTP interface knows of the cluster.
#[derive(Debug, Clone)]
pub struct HttpFacts {
    /// This node.
    pub node: NodeId,
    /// What people call the members.
    pub names: MemberNames,
    /// N.
    pub replication: Replication,
    /// Bounds on what clients may put.
    pub limits: Limits,
    /// From which idempotency keys become request ids, the same on all nodes.
    pub secret: ClusterSecret,
}

/// What all requests share.
#[derive(Debug)]
pub struct HttpState {
    pub(super) node: NodeHandle,
    pub(super) clock: Clock,
    pub(super) facts: HttpFacts,
    pub(super) access: AccessTable,
    pub(super) in_flight: InFlight,
    pub(super) settings: Settings,
    pub(super) metrics: HttpMetrics,
    pub(super) sources: NodeSources,
    /// Set by the first `/readyz` that found every member connected or judged down.
    pub(super) was_ready: AtomicBool,
    stopping: AtomicBool,
}

impl HttpState {
    /// The state of a server.
    #[must_use]
    pub fn new(
        node: NodeHandle,
        clock: Clock,
        facts: HttpFacts,
        settings: &Settings,
        sources: NodeSources,
    ) -> Arc<Self> {
        Arc::new(Self {
            node,
            clock,
            access: AccessTable::new(settings.http.credentials.clone()),
            in_flight: InFlight::new(settings.http.requests_max, settings.bytes_in_flight_max),
            metrics: HttpMetrics::default(),
            sources,
            facts,
            settings: settings.clone(),
            was_ready: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        })
    }

    /// From now on `/readyz` says 503.
    pub fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// A member's name for people; its id if it is unknown.
    pub(super) fn name_of(&self, node: NodeId) -> String {
        self.facts.names.of(node)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
