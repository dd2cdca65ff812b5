//! Links to nodes, the requests that wait on them, and the replies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dynamo_messages::{ClientFrame, Reply, Request, decode_client, encode_client};
use dynamo_transport::{Event, Events, Lane, Link, LinkId, LinkSender, PeerName, Role};
use dynamo_types::NodeId;
use dynamo_versioning::Content;
use tokio::sync::{Notify, oneshot};
use tracing::{debug, warn};

use crate::clock;
use crate::outcome::AttemptError;
use crate::routing::{Candidate, Latency};

/// Values from this size on travel on the second lane, so that small requests need not wait
/// behind them: it takes about half a millisecond to write so much.
const LARGE_VALUE_BYTES: usize = 64 * 1024;

/// A link to a node, with what waits on it.
#[derive(Debug)]
pub(crate) struct NodeLink {
    pub(crate) node: NodeId,
    id: LinkId,
    sender: LinkSender,
    state: Mutex<LinkState>,
}

#[derive(Debug)]
struct LinkState {
    /// Who waits for which reply. Bounded by the client's bound on requests in flight.
    waiting: BTreeMap<u64, oneshot::Sender<Reply>>,
    next_id: u64,
    broken: bool,
    latency: Latency,
}

impl NodeLink {
    fn new(node: NodeId, link: &Link) -> Self {
        let state = LinkState {
            waiting: BTreeMap::new(),
            next_id: 0,
            broken: false,
            latency: Latency::default(),
        };
        Self { node, id: link.id, sender: link.sender.clone(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn candidate(&self) -> Candidate {
        let state = self.state();
        Candidate::new(self.node, state.latency.estimate(clock::now()), state.waiting.len())
    }

    /// Sends a request and waits for its reply.
    pub(crate) async fn ask(
        &self,
        request: Request,
        wait: Duration,
    ) -> Result<Reply, AttemptError> {
        let lane = lane_of(&request);
        let asked_at = clock::now();
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut state = self.state();
            if state.broken {
                return Err(AttemptError::NotSent);
            }
            let id = state.next_id;
            state.next_id += 1;
            state.waiting.insert(id, answer);
            id
        };
        // Forgets the request however this ends, also when the caller drops the future.
        let _forget = Forget { link: self, id };
        let frame = encode_client(&ClientFrame::Request { id, request });
        self.sender.send(lane, frame).map_err(|_| AttemptError::NotSent)?;
        let result = match tokio::time::timeout(wait, answered).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(AttemptError::Lost),
            Err(_) => Err(AttemptError::TimedOut),
        };
        let now = clock::now();
        self.state().latency.record(now, now - asked_at);
        result
    }

    fn answer(&self, id: u64, reply: Reply) {
        let waiting = self.state().waiting.remove(&id);
        if waiting.is_none_or(|waiting| waiting.send(reply).is_err()) {
            debug!(node = %self.node, id, "a reply that nobody waits for any more");
        }
    }

    /// All who wait learn that their connection is gone.
    fn break_off(&self) {
        let mut state = self.state();
        state.broken = true;
        state.waiting.clear();
    }
}

struct Forget<'a> {
    link: &'a NodeLink,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.link.state().waiting.remove(&self.id);
    }
}

fn lane_of(request: &Request) -> Lane {
    let large = match request {
        Request::Mutate(mutation) => match &mutation.content {
            Content::Value { bytes, .. } => bytes.len() >= LARGE_VALUE_BYTES,
            Content::Tombstone => false,
        },
        Request::Get { .. }
        | Request::List { .. }
        | Request::GetBucket { .. }
        | Request::PutBucket { .. }
        | Request::ListBuckets
        | Request::Cluster
        | Request::Ring
        | Request::PlanChange { .. }
        | Request::CommitChange { .. }
        | Request::CancelMoves
        | Request::ForceMoves { .. }
        | Request::Transfers
        | Request::Explain { .. } => false,
    };
    Lane::Foreground(u8::from(large))
}

/// The nodes that are connected now.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    nodes: Mutex<BTreeMap<NodeId, Arc<NodeLink>>>,
    /// Told when a node is connected.
    pub(crate) connected: Notify,
    /// Told when a connection breaks: what is known of the cluster may be out of date.
    pub(crate) broken: Notify,
}

impl Connections {
    fn nodes(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<NodeLink>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn link(&self, node: NodeId) -> Option<Arc<NodeLink>> {
        self.nodes().get(&node).cloned()
    }

    pub(crate) fn is_connected(&self, node: NodeId) -> bool {
        self.nodes().contains_key(&node)
    }

    pub(crate) fn count(&self) -> usize {
        self.nodes().len()
    }

    /// All nodes that are connected.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        self.nodes().values().map(|link| link.candidate()).collect()
    }

    /// Those of these nodes that are connected.
    pub(crate) fn candidates_among(&self, among: &[NodeId]) -> Vec<Candidate> {
        let nodes = self.nodes();
        among.iter().filter_map(|node| nodes.get(node)).map(|link| link.candidate()).collect()
    }

    /// Takes what the endpoint hands up, until the endpoint is gone.
    pub(crate) async fn run(self: Arc<Self>, mut events: Events) {
        // By link, since a node's old link may outlive its new one for a moment.
        let mut links = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event {
                Event::Connected(link) => {
                    let Some(node) = node_of(&link) else {
                        warn!(peer = %link.peer, "not the name of a node");
                        link.sender.close();
                        continue;
                    };
                    let connected = Arc::new(NodeLink::new(node, &link));
                    links.insert(link.id, connected.clone());
                    self.nodes().insert(node, connected);
                    self.connected.notify_waiters();
                }
                Event::Frames { link, frames, .. } => {
                    let Some(link) = links.get(&link) else { continue };
                    for frame in frames {
                        accept(link, frame);
                    }
                }
                Event::Disconnected { link, reason, .. } => {
                    if let Some(gone) = links.remove(&link) {
                        debug!(node = %gone.node, %reason, "connection lost");
                        gone.break_off();
                        let mut nodes = self.nodes();
                        if nodes.get(&gone.node).is_some_and(|known| known.id == gone.id) {
                            nodes.remove(&gone.node);
                        }
                        drop(nodes);
                        self.broken.notify_one();
                    }
                }
                Event::Datagram { .. } => {}
            }
        }
        for link in links.into_values() {
            link.break_off();
        }
    }
}

fn accept(link: &NodeLink, frame: Bytes) {
    match decode_client(frame) {
        Ok(ClientFrame::Reply { id, reply }) => link.answer(id, reply),
        Ok(ClientFrame::Request { .. }) => {
            warn!(node = %link.node, "a node sent a request to its client");
            link.sender.close();
        }
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            warn!(node = %link.node, error, "a node's reply cannot be read");
            link.sender.close();
        }
    }
}

fn node_of(link: &Link) -> Option<NodeId> {
    let is_node = link.peer.role == Role::Node;
    is_node.then(|| link.peer.name.as_str().parse().ok()).flatten()
}

/// What a node is called by its certificate.
pub(crate) fn peer_name(node: NodeId) -> PeerName {
    PeerName::new(&node.to_string()).expect("hexadecimal digits are a DNS label")
}
