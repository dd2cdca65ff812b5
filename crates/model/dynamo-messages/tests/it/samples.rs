//! One fixed example of every message, with every field set to something that can be told apart.

use std::time::Duration;

use bytes::Bytes;
use dynamo_messages::*;
use dynamo_types::*;
use dynamo_versioning::{BodyDigest, Content, Dot, DotSet, Hlc, Record, Sibling, VersionsDigest};

use crate::{change_messages, register_messages, repair_messages};

pub(crate) fn name() -> ObjectName {
    ObjectName { bucket: Bucket::new("carts").unwrap(), key: Key::new("customer/42").unwrap() }
}

fn options() -> Options {
    Options { r: Some(1), w: None, strict: true, timeout_ms: Some(1500) }
}

fn settings() -> BucketSettings {
    BucketSettings {
        profile: Profile::Timestamp,
        reconciliation: Reconciliation::LastWriteWins,
        r: 2,
        w: 3,
        durability: Durability::Buffered,
        expiry: Some(Duration::from_millis(86_400_000)),
    }
}

fn dot() -> Dot {
    Dot::new(ActorId(0xaaaa_bbbb_cccc_dddd), 7)
}

pub(crate) fn checkpoint() -> CheckpointName {
    CheckpointName { process: ActorId(0xaaaa_bbbb_cccc_dddd), number: 7 }
}

pub(crate) fn register() -> RegisterTag {
    RegisterTag::of_digest(0x1234_5678_9abc_def0)
}

pub(crate) fn record() -> Record {
    let mut context = DotSet::new();
    context.insert_interval(dot().actor, 4, 7);
    let sibling = Sibling {
        dot: dot(),
        hlc: Hlc(0x1111),
        content: Content::Value { bytes: "milk".into(), content_type: "text/plain".into() },
        expires_at: Some(WallTime(99)),
        request: RequestId(0x2222),
        digest: BodyDigest(0x3333),
    };
    Record::from_parts(context, Hlc(0x1111), vec![sibling]).unwrap()
}

fn mutation() -> Mutation {
    Mutation {
        name: name(),
        content: Content::Value { bytes: "bread".into(), content_type: "text/plain".into() },
        contexts: vec!["abc".into(), "def".into()],
        request: RequestId(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
        retry: true,
        options: options(),
    }
}

pub(crate) fn peer() -> Vec<(&'static str, PeerMessage)> {
    let operation = OperationId(0x0102_0304_0506_0708);
    let place = || Some((Position(1 << 100), Key::new("k").unwrap()));
    let mut messages = vec![
        (
            "write",
            PeerMessage::Write(ReplicaWrite {
                operation: Some(operation),
                name: name(),
                register: Some(register()),
                hint: Some(HintFor { intended: NodeId(0x0b0b), acknowledging: true }),
                pieces: vec![record()],
                durability: Durability::Synced,
                remaining_ms: 1900,
            }),
        ),
        (
            "write_reply",
            PeerMessage::WriteReply(ReplicaWriteReply {
                operation,
                outcome: WriteOutcome::Stored { synced: true },
                settings_version: 3,
            }),
        ),
        (
            "read",
            PeerMessage::Read(ReplicaRead {
                operation,
                name: name(),
                register: None,
                value_bytes_max: 4096,
                known: Some(RequestId(5)),
                remaining_ms: 1800,
            }),
        ),
        (
            "read_reply",
            PeerMessage::ReadReply(ReplicaReadReply {
                operation,
                outcome: ReadOutcome::Piece {
                    record: record(),
                    without_values: false,
                    at: PiecePlace::ONLY,
                },
                known: Some(KnownRequest {
                    request: RequestId(5),
                    digest: BodyDigest(6),
                    dot: dot(),
                }),
                settings_version: 3,
                queue: 9,
            }),
        ),
        ("forward", PeerMessage::Forward { operation, remaining_ms: 1700, mutation: mutation() }),
        (
            "forward_reply",
            PeerMessage::ForwardReply { operation, reply: Reply::Failed(Failure::StorageFull) },
        ),
        (
            "scan",
            PeerMessage::Scan(ReplicaScan {
                operation,
                partition: PartitionId(513),
                register: register(),
                bucket: name().bucket,
                prefix: Bytes::from_static(b"cust"),
                after: place(),
                limit: 100,
                remaining_ms: 1600,
            }),
        ),
        (
            "scan_reply",
            PeerMessage::ScanReply(ReplicaScanReply {
                operation,
                keys: vec![ScannedKey { key: name().key, record: record().without_values() }],
                reached: place(),
                complete: true,
            }),
        ),
        (
            "buckets",
            PeerMessage::Buckets {
                acknowledge: Some(operation),
                entries: vec![(name().bucket, Bytes::from_static(&[1, 2, 3]))],
            },
        ),
        ("buckets_stored", PeerMessage::BucketsStored { operation }),
        ("ask_bucket", PeerMessage::AskBucket { bucket: name().bucket }),
        ("gossip", PeerMessage::Gossip { bytes: Bytes::from_static(&[1, 0, 9, 9]) }),
        ("buckets_fingerprint", PeerMessage::BucketsFingerprint { fingerprint: 0x7777 << 64 }),
        ("bucket_groups", PeerMessage::BucketGroups { groups: vec![0x8888, 1 << 100] }),
        ("ask_bucket_groups", PeerMessage::AskBucketGroups { groups: 1 << 63 | 5 }),
        (
            "ask_collected",
            PeerMessage::AskCollected(AskCollected {
                operation,
                name: name(),
                dots: vec![dot()],
                remaining_ms: 1500,
            }),
        ),
        ("collected", PeerMessage::Collected { operation, dots: vec![dot()] }),
        (
            "clock_reports",
            PeerMessage::ClockReports {
                number: 17,
                reports: vec![ClockReport {
                    partition: PartitionId(513),
                    register: register(),
                    checkpoint: checkpoint(),
                    after: vec![CheckpointName { process: ActorId(0x0c0c), number: 300 }],
                    dots: [dot(), Dot::new(ActorId(1), 1)].into_iter().collect(),
                }],
            },
        ),
        (
            "known_checkpoints",
            PeerMessage::KnownCheckpoints {
                known: vec![(PartitionId(513), vec![checkpoint()]), (PartitionId(0), vec![])],
                wanted: vec![PartitionId(514)],
            },
        ),
        ("clock_reports_stored", PeerMessage::ClockReportsStored { number: 17 }),
    ];
    messages.extend(register_messages::samples());
    messages.extend(repair_messages::samples());
    messages
}

pub(crate) fn requests() -> Vec<(&'static str, Request)> {
    let mut requests = vec![
        ("request_get", Request::Get { name: name(), options: options() }),
        ("request_mutate", Request::Mutate(mutation())),
        ("request_delete", Request::Mutate(Mutation { content: Content::Tombstone, ..mutation() })),
        (
            "request_list",
            Request::List {
                bucket: name().bucket,
                after: Some(name().key),
                prefix: Bytes::from_static(b"cust"),
                limit: 50,
                options: options(),
            },
        ),
        ("request_get_bucket", Request::GetBucket { bucket: name().bucket }),
        ("request_put_bucket", Request::PutBucket { bucket: name().bucket, settings: settings() }),
        ("request_list_buckets", Request::ListBuckets),
        ("request_cluster", Request::Cluster),
        ("request_ring", Request::Ring),
        ("request_explain", Request::Explain { name: name(), timeout_ms: Some(1200) }),
    ];
    requests.extend(change_messages::requests());
    requests
}

pub(crate) fn replies() -> Vec<(&'static str, Reply)> {
    let sibling = SiblingReply {
        value: "milk".into(),
        content_type: "text/plain".into(),
        dot: dot(),
        written_at: WallTime(1_700_000_000_000_000),
        expires_at: None,
    };
    let member = MemberView {
        node: NodeId(0xfeed),
        name: "node-1".into(),
        state: "member".into(),
        reachable: true,
        liveness: "suspect".into(),
        weight: 100,
        zone: "z1".into(),
        address: "127.0.0.1:7101".into(),
        http_address: "127.0.0.1:8101".into(),
        replicas_held: 614,
    };
    let replication = Replication::new(2).unwrap();
    let mut replies = vec![
        (
            "reply_object",
            Reply::Object(ObjectReply {
                siblings: vec![sibling.clone(), sibling],
                context: "ctx".into(),
            }),
        ),
        (
            "reply_stored",
            Reply::Stored {
                context: "ctx".into(),
                receipt: Receipt { copies: 3, synced: 2, nodes: 3, zones: 2, hints: 1 },
            },
        ),
        ("reply_page", Reply::Page(ListPage { keys: vec![name().key], more: true })),
        ("reply_bucket", Reply::Bucket { bucket: name().bucket, settings: settings(), version: 4 }),
        ("reply_buckets", Reply::Buckets(vec![(name().bucket, settings(), 4)])),
        (
            "reply_cluster",
            Reply::Cluster(ClusterView {
                cluster: ClusterId(77),
                answered_by: NodeId(0xfeed),
                replication,
                partition_count: 4,
                members: vec![member],
            }),
        ),
        (
            "reply_ring",
            Reply::Ring(RingView {
                version: 1,
                replication,
                replicas: (0..8).map(|n| NodeId(n % 3)).collect(),
            }),
        ),
        (
            "reply_failed_invalid",
            Reply::Failed(Failure::Invalid {
                reason: Invalid::Context,
                detail: "of another key".into(),
            }),
        ),
        (
            "reply_failed_not_enough",
            Reply::Failed(Failure::NotEnoughReplicas { reached: 1, needed: 2 }),
        ),
        ("reply_failed_unknown", Reply::Failed(Failure::OutcomeUnknown { reached: 1, needed: 2 })),
        ("reply_failed_overloaded", Reply::Failed(Failure::Overloaded { retry_after_ms: 20 })),
        ("reply_failed_disk", Reply::Failed(Failure::StorageFailed)),
        ("reply_explanation", Reply::Explanation(explanation())),
    ];
    replies.extend(change_messages::replies());
    replies
}

fn explanation() -> Explanation {
    let sibling = SiblingView {
        dot: dot(),
        tombstone: true,
        value_bytes: 4,
        written_at: WallTime(1_700_000_000_000_000),
        expires_at: Some(WallTime(99)),
        request: RequestId(0x2222),
    };
    let silent = ReplicaView {
        node: NodeId(3),
        state: ReplicaState::Unreachable,
        digest: None,
        behind: false,
        siblings: Vec::new(),
        context_intervals: 0,
    };
    let present = ReplicaView {
        node: NodeId(1),
        state: ReplicaState::Present,
        digest: Some(VersionsDigest(0x0123_4567)),
        behind: true,
        siblings: vec![sibling],
        context_intervals: 5,
    };
    let hint = HintView {
        node: NodeId(0xf00d),
        digest: VersionsDigest(0x5555),
        siblings: present.siblings.clone(),
    };
    Explanation {
        partition: PartitionId(513),
        replicas: vec![present, silent],
        hints: vec![hint],
        verified_ms_ago: Some(1234),
    }
}

/// Every sample as a frame.
pub(crate) fn frames() -> Vec<(&'static str, Bytes)> {
    let mut frames = Vec::new();
    for (name, message) in peer() {
        frames.push((name, encode_peer(&Envelope { hlc: Hlc(0x4444), message })));
    }
    for (name, request) in requests() {
        frames.push((name, encode_client(&ClientFrame::Request { id: 0x5555, request })));
    }
    for (name, reply) in replies() {
        frames.push((name, encode_client(&ClientFrame::Reply { id: 0x6666, reply })));
    }
    frames
}
