//! Nodes in this process: they tell who their members are, and answer the rest as told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynamo_client::{Bucket, Client, ClientConfig, Key};
use dynamo_messages::{
    ClientFrame, ClusterView, MemberView, ObjectReply, PROTOCOL_VERSION, Receipt, Reply, Request,
    RingView, decode_client, encode_client,
};
use dynamo_transport::certificates::Authority;
use dynamo_transport::{
    Endpoint, EndpointConfig, Event, HelloConfig, Lane, Limits, PeerName, Role,
};
use dynamo_types::{ClusterId, NodeId, PartitionCount, Position, Replication};

/// What a node does with a request.
pub(crate) enum Behaviour {
    Answer(Reply),
    Silence,
    /// Breaks the connection.
    HangUp,
}

type Script = dyn FnMut(NodeId, &Request) -> Behaviour + Send;

/// A cluster of fake nodes with N = 2.
pub(crate) struct FakeCluster {
    authority: Authority,
    nodes: BTreeMap<NodeId, SocketAddr>,
    tasks: BTreeMap<NodeId, tokio::task::JoinHandle<()>>,
    state: Arc<Mutex<State>>,
}

struct State {
    script: Box<Script>,
    asked: Vec<(NodeId, Request)>,
    view: Option<(ClusterView, RingView)>,
}

const PARTITIONS: u32 = 8;

impl FakeCluster {
    /// Starts as many nodes, numbered from 1, that answer objects and puts as `script` says.
    pub(crate) fn start(
        count: u64,
        script: impl FnMut(NodeId, &Request) -> Behaviour + Send + 'static,
    ) -> Self {
        let state = State { script: Box::new(script), asked: Vec::new(), view: None };
        let mut cluster = Self {
            authority: Authority::create("fake").unwrap(),
            nodes: BTreeMap::new(),
            tasks: BTreeMap::new(),
            state: Arc::new(Mutex::new(state)),
        };
        for number in 1..=count {
            cluster.start_node(NodeId(number), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        }
        cluster.describe();
        cluster
    }

    fn start_node(&mut self, node: NodeId, listen: SocketAddr) {
        let name = PeerName::new(&node.to_string()).unwrap();
        let issued = self.authority.issue(Role::Node, &name).unwrap();
        let (endpoint, mut events) = Endpoint::bind(EndpointConfig {
            listen,
            identity: issued.identity().unwrap(),
            trust: self.authority.trust().unwrap(),
            hello: HelloConfig {
                version_min: PROTOCOL_VERSION,
                version_max: PROTOCOL_VERSION,
                fingerprint: b"fake".to_vec(),
            },
            limits: Limits::default(),
        })
        .unwrap();
        self.nodes.insert(node, endpoint.local_address().unwrap());
        let state = self.state.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let Event::Frames { link, frames, .. } = event else { continue };
                let Some(sender) = endpoint.link(link) else { continue };
                for frame in frames {
                    let Ok(ClientFrame::Request { id, request }) = decode_client(frame) else {
                        panic!("a client sends requests");
                    };
                    match state.lock().unwrap().behave(node, &request) {
                        Behaviour::Answer(reply) => {
                            let frame = encode_client(&ClientFrame::Reply { id, reply });
                            sender.send(Lane::Foreground(0), frame).unwrap();
                        }
                        Behaviour::Silence => {}
                        Behaviour::HangUp => sender.close(),
                    }
                }
            }
        });
        self.tasks.insert(node, task);
    }

    /// Partition p is held by nodes p and p + 1, counted round.
    fn describe(&self) {
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        let replication = Replication::new(2.min(u8::try_from(nodes.len()).unwrap())).unwrap();
        let replica = |p: usize, i: usize| nodes[(p + i) % nodes.len()];
        let members = self.nodes.iter().map(|(node, address)| MemberView {
            node: *node,
            name: format!("node-{}", node.0),
            state: "member".into(),
            reachable: true,
            liveness: "up".into(),
            weight: 1,
            zone: "z".into(),
            address: address.to_string(),
            http_address: String::new(),
            replicas_held: 0,
        });
        let view = ClusterView {
            cluster: ClusterId(1),
            answered_by: nodes[0],
            replication,
            partition_count: PARTITIONS,
            members: members.collect(),
        };
        let n = usize::from(replication.get());
        let ring = RingView {
            version: 1,
            replication,
            replicas: (0..PARTITIONS as usize)
                .flat_map(|p| (0..n).map(move |i| (p, i)))
                .map(|(p, i)| replica(p, i))
                .collect(),
        };
        self.state.lock().unwrap().view = Some((view, ring));
    }

    /// Stops a node; its port stays known.
    pub(crate) async fn stop(&mut self, node: NodeId) {
        let task = self.tasks.remove(&node).unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// Starts a stopped node at its old address, as soon as that is free: the old socket closes
    /// a moment after its endpoint, and another test may hold the port for a while.
    pub(crate) async fn restart(&mut self, node: NodeId) {
        let address = self.nodes[&node];
        until("the port is free", || std::net::UdpSocket::bind(address).is_ok()).await;
        self.start_node(node, address);
    }

    /// The replicas of a key.
    pub(crate) fn replicas(&self, bucket: &Bucket, key: &Key) -> BTreeSet<NodeId> {
        let count = PartitionCount::new(PARTITIONS).unwrap();
        let partition = usize::from(count.partition_of(Position::of(bucket, key)).0);
        let state = self.state.lock().unwrap();
        let (_, ring) = state.view.as_ref().unwrap();
        ring.replicas[partition * 2..partition * 2 + 2].iter().copied().collect()
    }

    /// A client with short timeouts, once it is connected to all nodes that run.
    pub(crate) async fn client(&self) -> Client {
        let client = Client::connect(self.config()).await.unwrap();
        let running = || client.connected_nodes().len() == self.tasks.len();
        until("all nodes are connected", running).await;
        client
    }

    /// All nodes are seeds; timeouts are short.
    pub(crate) fn config(&self) -> ClientConfig {
        let name = PeerName::new("tester").unwrap();
        let issued = self.authority.issue(Role::Client, &name).unwrap();
        let seeds = self.nodes.values().map(SocketAddr::to_string).collect();
        let identity = issued.identity().unwrap();
        let mut config = ClientConfig::new(seeds, identity, self.authority.trust().unwrap());
        config.attempt_timeout = Duration::from_millis(150);
        config
    }

    /// The requests for objects so far, without the client's own questions.
    pub(crate) fn asked(&self) -> Vec<(NodeId, Request)> {
        self.state.lock().unwrap().asked.clone()
    }
}

impl State {
    fn behave(&mut self, node: NodeId, request: &Request) -> Behaviour {
        let (view, ring) = self.view.clone().unwrap();
        match request {
            Request::Cluster => {
                Behaviour::Answer(Reply::Cluster(ClusterView { answered_by: node, ..view }))
            }
            Request::Ring => Behaviour::Answer(Reply::Ring(ring)),
            other => {
                self.asked.push((node, other.clone()));
                (self.script)(node, other)
            }
        }
    }
}

/// Waits for a condition, at most ten seconds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert!(waited.is_ok(), "not in time: {what}");
}

/// The usual answer to each kind of request.
pub(crate) fn obliging(request: &Request) -> Behaviour {
    Behaviour::Answer(match request {
        Request::Get { .. } => {
            Reply::Object(ObjectReply { siblings: Vec::new(), context: "seen".into() })
        }
        _ => Reply::Stored {
            context: "stored".into(),
            receipt: Receipt { copies: 2, synced: 2, nodes: 2, zones: 1, hints: 0 },
        },
    })
}

pub(crate) fn object(number: u32) -> (Bucket, Key) {
    (Bucket::new("carts").unwrap(), Key::new(format!("customer/{number}")).unwrap())
}
