//! Clients that speak frames over QUIC.

use std::path::Path;

use bytes::Bytes;
use dynamo_messages::encoding::{ClientFrame, PROTOCOL_VERSION, decode_client, encode_client};
use dynamo_messages::{Failure, Invalid, Mutation, Options, Reply, Request};
use dynamo_transport::certificates::Authority;
use dynamo_transport::{
    Endpoint, EndpointConfig, Event, Events, HelloConfig, Identity, Lane, Limits, Link, PeerName,
    Role, Trust,
};
use dynamo_types::{Bucket, BucketSettings, Key, ObjectName, Profile, Replication, RequestId};
use dynamo_versioning::Content;

use crate::cluster::{Cluster, try_get, until};

fn bind(cluster: &Cluster, identity: Identity, fingerprint: Vec<u8>) -> (Endpoint, Events) {
    let ca = std::fs::read(cluster.path("ca/certificate.pem")).unwrap();
    let (version_min, version_max) = (PROTOCOL_VERSION, PROTOCOL_VERSION);
    Endpoint::bind(EndpointConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        identity,
        trust: Trust::from_pem(&ca).unwrap(),
        hello: HelloConfig { version_min, version_max, fingerprint },
        limits: Limits::default(),
    })
    .unwrap()
}

struct NativeClient {
    _endpoint: Endpoint,
    events: Events,
    link: Link,
}

impl NativeClient {
    async fn connect(cluster: &Cluster, number: usize, identity: Identity) -> Self {
        let (endpoint, events) = bind(cluster, identity, Vec::new());
        let link = endpoint.dial(cluster.quic(number), None).await.unwrap();
        Self { _endpoint: endpoint, events, link }
    }

    fn send(&self, id: u64, request: Request) {
        let frame = encode_client(&ClientFrame::Request { id, request });
        self.link.sender.send(Lane::Foreground(0), frame).unwrap();
    }

    /// The next reply; `None` once the link is gone.
    async fn reply(&mut self) -> Option<(u64, Reply)> {
        loop {
            match self.events.next().await? {
                Event::Frames { mut frames, .. } => {
                    assert_eq!(frames.len(), 1, "these tests ask one thing at a time");
                    match decode_client(frames.remove(0)).unwrap() {
                        ClientFrame::Reply { id, reply } => return Some((id, reply)),
                        other => panic!("{other:?}"),
                    }
                }
                Event::Disconnected { .. } => return None,
                Event::Connected(_) | Event::Datagram { .. } => {}
            }
        }
    }

    async fn ask(&mut self, id: u64, request: Request) -> Reply {
        self.send(id, request);
        let (answered, reply) = self.reply().await.expect("the link lives");
        assert_eq!(answered, id);
        reply
    }
}

fn operator(cluster: &Cluster) -> Identity {
    let read = |name: &str| std::fs::read(cluster.path("client/identity").join(name)).unwrap();
    Identity::from_pem(&read("certificate.pem"), &read("key.pem")).unwrap()
}

fn certified(cluster: &Cluster, role: Role, name: &str) -> Identity {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let certificate = read(&cluster.path("ca/certificate.pem"));
    let authority = Authority::from_pem(&certificate, &read(&cluster.path("ca/key.pem"))).unwrap();
    authority.issue(role, &PeerName::new(name).unwrap()).unwrap().identity().unwrap()
}

fn application(cluster: &Cluster) -> Identity {
    certified(cluster, Role::Client, "shop")
}

fn name(key: &'static str) -> ObjectName {
    ObjectName { bucket: Bucket::new("b").unwrap(), key: Key::new(key).unwrap() }
}

fn put(key: &'static str) -> Request {
    Request::Mutate(Mutation {
        name: name(key),
        content: Content::Value { bytes: "v".into(), content_type: Bytes::new() },
        contexts: Vec::new(),
        request: RequestId(1),
        retry: false,
        options: Options::default(),
    })
}

fn put_bucket() -> Request {
    let n = Replication::new(3).unwrap();
    let settings = BucketSettings::of_profile(Profile::Timestamp, n);
    Request::PutBucket { bucket: Bucket::new("s").unwrap(), settings }
}

#[tokio::test]
async fn a_client_puts_and_gets() {
    let cluster = Cluster::start(3);
    let mut client = NativeClient::connect(&cluster, 1, application(&cluster)).await;
    let stored = client.ask(7, put("k")).await;
    assert!(matches!(&stored, Reply::Stored { receipt, .. } if receipt.copies >= 2), "{stored:?}");
    let get = Request::Get { name: name("k"), options: Options::default() };
    let Reply::Object(object) = client.ask(8, get).await else { panic!("an object was asked for") };
    assert_eq!(object.siblings.len(), 1);
    assert_eq!(&object.siblings[0].value[..], b"v");
}

#[tokio::test]
async fn only_an_operator_sets_what_buckets_do() {
    let cluster = Cluster::start(3);
    let mut client = NativeClient::connect(&cluster, 1, application(&cluster)).await;
    let refused = client.ask(1, put_bucket()).await;
    assert!(
        matches!(refused, Reply::Failed(Failure::Invalid { reason: Invalid::Settings, .. })),
        "{refused:?}"
    );
    let mut operator = NativeClient::connect(&cluster, 2, operator(&cluster)).await;
    let set = operator.ask(1, put_bucket()).await;
    assert!(matches!(set, Reply::Bucket { version: 1, .. }), "{set:?}");
}

#[tokio::test]
async fn who_sends_nonsense_loses_its_link_and_nobody_else_does() {
    let cluster = Cluster::start(3);
    let mut sane = NativeClient::connect(&cluster, 1, application(&cluster)).await;
    for nonsense in [Bytes::new(), Bytes::from_static(b"nonsense"), Bytes::from(vec![0xff; 5000])] {
        let mut client = NativeClient::connect(&cluster, 1, operator(&cluster)).await;
        client.link.sender.send(Lane::Foreground(0), nonsense).unwrap();
        assert_eq!(client.reply().await, None);
    }
    assert!(matches!(sane.ask(1, put("k")).await, Reply::Stored { .. }));
    let page = try_get(cluster.http(1), "/metrics").unwrap().body;
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("\ndynamo_undecodable_client_frames_total 3\n"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certified_nodes_that_are_no_members_are_accepted_up_to_a_number() {
    let cluster = Cluster::start(3);
    let genesis = dynamo_node::genesis_file::read(&cluster.path("genesis.toml")).unwrap();
    let mut strangers = Vec::new();
    for number in 1..=17 {
        let stranger = certified(&cluster, Role::Node, &format!("{number:016x}"));
        let (endpoint, events) = bind(&cluster, stranger, genesis.fingerprint().to_vec());
        // Depending on which side is faster, the last dial itself fails or the link right after it.
        let _dialled = endpoint.dial_node(cluster.quic(1), None).await;
        strangers.push((endpoint, events));
    }
    let counted = |name: &str| cluster.metric(1, name);
    until("the strangers are counted", || counted("dynamo_links_of_strangers_total") == 17);
    assert_eq!(counted("dynamo_strangers_refused_total"), 1);
    drop(strangers);
}

#[tokio::test]
async fn changes_of_the_members_need_the_role_admin() {
    let cluster = Cluster::start(3);
    let mut client = NativeClient::connect(&cluster, 1, application(&cluster)).await;
    let plan = || Request::PlanChange { changes: Vec::new() };
    let refused = client.ask(1, plan()).await;
    assert!(
        matches!(refused, Reply::Failed(Failure::Invalid { reason: Invalid::Change, .. })),
        "{refused:?}"
    );
    assert!(matches!(client.ask(2, Request::Transfers).await, Reply::Transfers(_)));
    let mut operator = NativeClient::connect(&cluster, 2, operator(&cluster)).await;
    assert!(matches!(operator.ask(1, plan()).await, Reply::Plan(_)));
}
