//! Nodes in this process that share one map, and the files a client needs to reach them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use dynamo_messages::{
    ClientFrame, ClusterChange, ClusterView, Explanation, Failure, HintView, Invalid, LinkView,
    ListPage, MemberView, Mutation, ObjectReply, PROTOCOL_VERSION, PlanView, PlannedNodeView,
    Receipt, ReplicaState, ReplicaView, Reply, Request, RingView, SiblingReply, SiblingView,
    TransferView, TransfersView, decode_client, encode_client,
};
use dynamo_transport::certificates::Authority;
use dynamo_transport::{
    Endpoint, EndpointConfig, Event, HelloConfig, Lane, Limits, PeerName, Role,
};
use dynamo_types::{
    ActorId, Bucket, BucketSettings, ClusterId, Key, NodeId, ObjectName, PartitionId, Profile,
    Replication, RequestId, WallTime,
};
use dynamo_versioning::{Content, Dot, VersionsDigest};
use tokio::runtime::Runtime;

/// A store of so many nodes. Their tasks end with it.
pub(crate) struct FakeStore {
    folder: tempfile::TempDir,
    store: Arc<Mutex<Store>>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Store {
    objects: BTreeMap<ObjectName, Vec<SiblingReply>>,
    buckets: BTreeMap<Bucket, (BucketSettings, u64)>,
    puts: u64,
    members: Vec<MemberView>,
    /// Objects that this node has lost.
    lost: Vec<(NodeId, Key)>,
    /// Objects of which this node keeps a hint.
    hinted: Vec<(NodeId, Key)>,
    /// Changes that were committed, one after the other.
    changes: Vec<ClusterChange>,
    /// Partitions on their way: one less each time that someone asks.
    moving: u32,
    /// Whether the answer to a commit or a force gets lost.
    forgetful: bool,
}

impl FakeStore {
    pub(crate) fn start(nodes: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let authority = Authority::create("fake").unwrap();
        let store = Arc::new(Mutex::new(Store::default()));
        let members =
            (1..=nodes).map(|n| start_node(&runtime, &authority, &store, NodeId(n))).collect();
        store.lock().unwrap().members = members;
        let folder = tempfile::tempdir().unwrap();
        let fake = Self { folder, store, _runtime: runtime };
        fake.write_client_files(&authority);
        fake
    }

    fn write_client_files(&self, authority: &Authority) {
        let issued = authority.issue(Role::Admin, &PeerName::new("tester").unwrap()).unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(self.folder.path().join(name), text).unwrap();
        };
        write("certificate.pem", &issued.certificate_pem);
        write("key.pem", &issued.private_key_pem);
        write("ca.pem", authority.certificate_pem());
        let seed = self.store.lock().unwrap().members[0].address.clone();
        write(
            "client.toml",
            &format!(
                "seeds = [\"{seed}\"]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n\
                 ca = \"ca.pem\"\n"
            ),
        );
    }

    /// A path in a folder that goes with the store.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the command.
    pub(crate) fn dynamo(&self, arguments: &[&str]) -> Output {
        self.dynamo_with_input(arguments, b"")
    }

    /// Runs the command with this on stdin.
    pub(crate) fn dynamo_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dynamo"))
            .arg("--config")
            .arg(self.path("client.toml"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// How many puts were taken so far.
    pub(crate) fn puts(&self) -> u64 {
        self.store.lock().unwrap().puts
    }

    /// Puts a value beside what is there.
    pub(crate) fn add(&self, bucket: &str, key: &[u8], value: &'static str, content_type: &str) {
        let name = ObjectName {
            bucket: Bucket::new(bucket.to_owned()).unwrap(),
            key: Key::new(key.to_vec()).unwrap(),
        };
        let mut store = self.store.lock().unwrap();
        let sibling = store.sibling(value.into(), content_type.to_owned().into());
        store.objects.entry(name).or_default().push(sibling);
    }

    /// All changes that were committed.
    pub(crate) fn changes(&self) -> Vec<ClusterChange> {
        self.store.lock().unwrap().changes.clone()
    }

    /// Lets so many partitions be on their way.
    pub(crate) fn begin_moves(&self, partitions: u32) {
        self.store.lock().unwrap().moving = partitions;
    }

    /// Lets a node be seen as this.
    pub(crate) fn see(&self, node: u64, reachable: bool, liveness: &str) {
        let mut store = self.store.lock().unwrap();
        let member = store.members.iter_mut().find(|member| member.node == NodeId(node)).unwrap();
        (member.reachable, member.liveness) = (reachable, liveness.to_owned());
    }

    /// Lets nobody know from now on what became of a change.
    pub(crate) fn forget_outcomes(&self) {
        self.store.lock().unwrap().forgetful = true;
    }

    /// Lets a node lose an object.
    pub(crate) fn lose(&self, node: u64, key: &str) {
        let key = Key::new(key.to_owned()).unwrap();
        self.store.lock().unwrap().lost.push((NodeId(node), key));
    }

    /// Lets a node keep a hint of an object.
    pub(crate) fn keep_hint(&self, node: u64, key: &str) {
        let key = Key::new(key.to_owned()).unwrap();
        self.store.lock().unwrap().hinted.push((NodeId(node), key));
    }
}

/// What the command printed.
pub(crate) fn text(output: &[u8]) -> &str {
    std::str::from_utf8(output).unwrap()
}

/// The path as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn start_node(
    runtime: &Runtime,
    authority: &Authority,
    store: &Arc<Mutex<Store>>,
    node: NodeId,
) -> MemberView {
    let issued = authority.issue(Role::Node, &PeerName::new(&node.to_string()).unwrap()).unwrap();
    let _inside = runtime.enter();
    let (endpoint, mut events) = Endpoint::bind(EndpointConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        identity: issued.identity().unwrap(),
        trust: authority.trust().unwrap(),
        hello: HelloConfig {
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            fingerprint: b"fake".to_vec(),
        },
        limits: Limits::default(),
    })
    .unwrap();
    let address = endpoint.local_address().unwrap().to_string();
    let store = store.clone();
    runtime.spawn(async move {
        while let Some(event) = events.next().await {
            let Event::Frames { link, frames, .. } = event else { continue };
            let Some(sender) = endpoint.link(link) else { continue };
            for frame in frames {
                let Ok(ClientFrame::Request { id, request }) = decode_client(frame) else {
                    panic!("a client sends requests");
                };
                let reply = store.lock().unwrap().answer(node, request);
                let frame = encode_client(&ClientFrame::Reply { id, reply });
                sender.send(Lane::Foreground(0), frame).unwrap();
            }
        }
    });
    MemberView {
        node,
        name: format!("node-{}", node.0),
        state: "member".into(),
        reachable: true,
        liveness: "up".into(),
        weight: 1,
        zone: "z".into(),
        address,
        http_address: "127.0.0.1:1".into(),
        replicas_held: 4,
    }
}

impl Store {
    fn answer(&mut self, node: NodeId, request: Request) -> Reply {
        let replication = Replication::new(1).unwrap();
        match request {
            Request::Get { name, .. } if self.lost.contains(&(node, name.key.clone())) => {
                Reply::Object(ObjectReply { siblings: Vec::new(), context: String::new() })
            }
            Request::Get { name, .. } => {
                let siblings = self.objects.get(&name).cloned().unwrap_or_default();
                let seen: Vec<String> =
                    siblings.iter().map(|sibling| sibling.dot.counter.to_string()).collect();
                Reply::Object(ObjectReply { siblings, context: seen.join(",") })
            }
            Request::Mutate(mutation) => self.put(mutation),
            Request::List { bucket, after, limit, .. } => {
                let keys: Vec<Key> = (self.objects.iter())
                    .filter(|(name, siblings)| name.bucket == bucket && !siblings.is_empty())
                    .map(|(name, _)| name.key.clone())
                    .filter(|key| after.as_ref().is_none_or(|after| key > after))
                    .collect();
                let more = keys.len() > limit as usize;
                let keys = keys.into_iter().take(limit as usize).collect();
                Reply::Page(ListPage { keys, more })
            }
            Request::GetBucket { bucket } => {
                let default = BucketSettings::of_profile(Profile::default(), replication);
                let (settings, version) =
                    self.buckets.get(&bucket).copied().unwrap_or((default, 0));
                Reply::Bucket { bucket, settings, version }
            }
            Request::PutBucket { bucket, settings } => {
                let version = self.buckets.get(&bucket).map_or(1, |(_, version)| version + 1);
                self.buckets.insert(bucket.clone(), (settings, version));
                Reply::Bucket { bucket, settings, version }
            }
            Request::ListBuckets => Reply::Buckets(
                self.buckets.iter().map(|(b, (s, version))| (b.clone(), *s, *version)).collect(),
            ),
            Request::Cluster => Reply::Cluster(ClusterView {
                cluster: ClusterId(1),
                answered_by: node,
                replication,
                partition_count: 8,
                members: self.members.clone(),
            }),
            Request::Ring => Reply::Ring(RingView {
                version: 1,
                replication,
                replicas: (0..8).map(|p| self.members[p % self.members.len()].node).collect(),
            }),
            Request::PlanChange { changes } => Reply::Plan(self.plan(&changes)),
            Request::CommitChange { changes, plan } => {
                if plan != self.plan(&changes).plan {
                    let detail = "planned for another cluster".into();
                    return Reply::Failed(Failure::Invalid { reason: Invalid::Change, detail });
                }
                let view = self.plan(&changes);
                self.changes.extend(changes);
                self.committed(view)
            }
            Request::CancelMoves => Reply::Cancelled { moves: std::mem::take(&mut self.moving) },
            Request::ForceMoves { given_up, commit } => {
                let remove = |node: &String| ClusterChange::Remove { node: node.clone() };
                let removed: Vec<ClusterChange> = given_up.iter().map(remove).collect();
                let view = self.plan(&removed);
                if !commit {
                    return Reply::Plan(view);
                }
                self.changes.extend(removed);
                self.committed(view)
            }
            Request::Transfers => Reply::Transfers(self.transfers()),
            Request::Explain { name, .. } => Reply::Explanation(Explanation {
                partition: PartitionId(3),
                replicas: self.members.iter().map(|m| self.replica(m.node, &name)).collect(),
                hints: self.hints(&name),
                verified_ms_ago: (!self.hinted.is_empty()).then_some(1_500),
            }),
        }
    }

    /// The same changes of the same members give the same plan.
    fn plan(&self, changes: &[ClusterChange]) -> PlanView {
        let number = self.changes.len() * 100 + changes.len();
        PlanView {
            plan: (0xfeed << 112) + number as u128,
            committed: false,
            partitions_changed: 3,
            copies_moved: 3,
            copies_lower_bound: 2,
            copies: 8,
            bytes: 3 << 20,
            seconds: 75,
            zone_safe_before: 8,
            zone_safe_after: 7,
            out_of_reach: u32::from(
                changes.iter().any(|c| matches!(c, ClusterChange::Remove { .. })),
            ),
            nodes: vec![PlannedNodeView {
                node: NodeId(1),
                name: "node-1".into(),
                before: 4,
                after: 2,
                received: 0,
                sent: 3,
            }],
            links: vec![LinkView { from: NodeId(1), to: NodeId(2), copies: 3, bytes: 3 << 20 }],
        }
    }

    fn committed(&self, view: PlanView) -> Reply {
        if self.forgetful {
            return Reply::Failed(Failure::OutcomeUnknown { reached: 1, needed: 2 });
        }
        Reply::Plan(PlanView { committed: true, ..view })
    }

    fn transfers(&mut self) -> TransfersView {
        let transfer = |partition: u16| TransferView {
            partition: PartitionId(partition),
            stage: "fenced".into(),
            current: vec![NodeId(1)],
            next: vec![NodeId(2)],
            waiting: vec![(NodeId(2), NodeId(1))],
            records: Some(12),
        };
        let moving = self.moving;
        self.moving = moving.saturating_sub(1);
        TransfersView {
            transfers: (0..moving).map(|p| transfer(u16::try_from(p).unwrap())).collect(),
            settled: 8 - moving.min(8),
            partitions: 8,
            leaving: if moving > 0 { vec![NodeId(1)] } else { Vec::new() },
        }
    }

    /// All nodes hold everything, but for what they lost.
    fn replica(&self, node: NodeId, name: &ObjectName) -> ReplicaView {
        let lost = self.lost.contains(&(node, name.key.clone()));
        let held = self.objects.get(name).filter(|_| !lost);
        ReplicaView {
            node,
            state: if held.is_some() { ReplicaState::Present } else { ReplicaState::Missing },
            digest: held.map(|_| VersionsDigest(0xfeed_beef << 96)),
            behind: lost,
            siblings: held.into_iter().flatten().map(sibling_view).collect(),
            context_intervals: u32::from(held.is_some()),
        }
    }

    fn hints(&self, name: &ObjectName) -> Vec<HintView> {
        let holders = self.hinted.iter().filter(|(_, key)| *key == name.key);
        let siblings = self.objects.get(name).into_iter().flatten();
        let siblings: Vec<SiblingView> = siblings.map(sibling_view).collect();
        let hint = |(node, _): &(NodeId, Key)| HintView {
            node: *node,
            digest: VersionsDigest(0xcafe << 112),
            siblings: siblings.clone(),
        };
        holders.map(hint).collect()
    }

    fn put(&mut self, mutation: Mutation) -> Reply {
        self.puts += 1;
        let mut covered = Vec::new();
        for context in mutation.contexts.iter().flat_map(|c| c.split(',')).filter(|c| !c.is_empty())
        {
            let Ok(counter) = context.parse::<u64>() else {
                let detail = "not a context of this store".into();
                return Reply::Failed(Failure::Invalid { reason: Invalid::Context, detail });
            };
            covered.push(counter);
        }
        let added = match mutation.content {
            Content::Value { bytes, content_type } => Some(self.sibling(bytes, content_type)),
            Content::Tombstone => None,
        };
        let siblings = self.objects.entry(mutation.name).or_default();
        siblings.retain(|sibling| !covered.contains(&sibling.dot.counter));
        siblings.extend(added);
        Reply::Stored {
            context: self.puts.to_string(),
            receipt: Receipt { copies: 1, synced: 1, nodes: 1, zones: 1, hints: 0 },
        }
    }

    fn sibling(&self, value: bytes::Bytes, content_type: bytes::Bytes) -> SiblingReply {
        let known: u64 = self.objects.values().flatten().map(|s| s.dot.counter).max().unwrap_or(0);
        SiblingReply {
            value,
            content_type,
            dot: Dot::new(ActorId(1), known.max(self.puts) + 1),
            written_at: WallTime(1_196_208_000_000_000),
            expires_at: None,
        }
    }
}

fn sibling_view(sibling: &SiblingReply) -> SiblingView {
    SiblingView {
        dot: sibling.dot,
        tombstone: false,
        value_bytes: sibling.value.len() as u64,
        written_at: sibling.written_at,
        expires_at: None,
        request: RequestId(0xabc),
    }
}
