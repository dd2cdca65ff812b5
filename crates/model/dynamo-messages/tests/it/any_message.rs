//! Strategies for every message.

use std::time::Duration;

use bytes::Bytes;
use dynamo_messages::*;
use dynamo_types::*;
use dynamo_versioning::testing::{any_content, any_dot, any_encodable_record};
use dynamo_versioning::{BodyDigest, Dot, Hlc, Record, VersionsDigest};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::change_messages::{change_reply, change_request};
use crate::register_messages::{register, register_message};
use crate::repair_messages::repair_message;

pub(crate) fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    "\\PC{0,30}"
}

fn bucket() -> impl Strategy<Value = Bucket> {
    "[A-Za-z0-9._-]{1,64}".prop_map(|name| Bucket::new(name).unwrap())
}

fn key() -> impl Strategy<Value = Key> {
    vec(any::<u8>(), 1..60).prop_map(|key| Key::new(key).unwrap())
}

pub(crate) fn name() -> impl Strategy<Value = ObjectName> {
    (bucket(), key()).prop_map(|(bucket, key)| ObjectName { bucket, key })
}

fn options() -> impl Strategy<Value = Options> {
    any::<(Option<u8>, Option<u8>, bool, Option<u32>)>()
        .prop_map(|(r, w, strict, timeout_ms)| Options { r, w, strict, timeout_ms })
}

fn settings() -> impl Strategy<Value = BucketSettings> {
    let profile = proptest::sample::select(Profile::ALL.to_vec());
    let lww = any::<bool>();
    (profile, lww, any::<[u8; 2]>(), durability(), option::of(any::<u32>())).prop_map(
        |(profile, lww, [r, w], durability, expiry)| BucketSettings {
            profile,
            reconciliation: if lww {
                Reconciliation::LastWriteWins
            } else {
                Reconciliation::Siblings
            },
            r,
            w,
            durability,
            expiry: expiry.map(|ms| Duration::from_millis(ms.into())),
        },
    )
}

fn durability() -> impl Strategy<Value = Durability> {
    prop_oneof![Just(Durability::Buffered), Just(Durability::Synced)]
}

fn mutation() -> impl Strategy<Value = Mutation> {
    (name(), any_content(), vec(text(), 0..4), any::<u128>(), any::<bool>(), options()).prop_map(
        |(name, content, contexts, request, retry, options)| Mutation {
            name,
            content,
            contexts,
            request: RequestId(request),
            retry,
            options,
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![5 => object_request(), 3 => change_request()]
}

fn object_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (name(), options()).prop_map(|(name, options)| Request::Get { name, options }),
        mutation().prop_map(Request::Mutate),
        (bucket(), option::of(key()), bytes(20), any::<u32>(), options()).prop_map(
            |(bucket, after, prefix, limit, options)| Request::List {
                bucket,
                after,
                prefix,
                limit,
                options
            }
        ),
        bucket().prop_map(|bucket| Request::GetBucket { bucket }),
        (bucket(), settings())
            .prop_map(|(bucket, settings)| Request::PutBucket { bucket, settings }),
        Just(Request::ListBuckets),
        Just(Request::Cluster),
        Just(Request::Ring),
        (name(), any::<Option<u32>>())
            .prop_map(|(name, timeout_ms)| Request::Explain { name, timeout_ms }),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    let invalid = proptest::sample::select(vec![
        Invalid::Option,
        Invalid::Context,
        Invalid::ValueTooLarge,
        Invalid::RequestIdReused,
        Invalid::TooManySiblings,
        Invalid::Settings,
        Invalid::Unsupported,
        Invalid::Change,
    ]);
    prop_oneof![
        (invalid, text()).prop_map(|(reason, detail)| Failure::Invalid { reason, detail }),
        any::<(u8, u8)>()
            .prop_map(|(reached, needed)| Failure::NotEnoughReplicas { reached, needed }),
        any::<(u8, u8)>().prop_map(|(reached, needed)| Failure::OutcomeUnknown { reached, needed }),
        any::<u32>().prop_map(|retry_after_ms| Failure::Overloaded { retry_after_ms }),
        Just(Failure::StorageFull),
        Just(Failure::StorageFailed),
    ]
}

fn sibling() -> impl Strategy<Value = SiblingReply> {
    (bytes(40), bytes(20), any_dot(), any::<u64>(), option::of(any::<u64>())).prop_map(
        |(value, content_type, dot, written_at, expires_at)| SiblingReply {
            value,
            content_type,
            dot,
            written_at: WallTime(written_at),
            expires_at: expires_at.map(WallTime),
        },
    )
}

pub(crate) fn checkpoint() -> impl Strategy<Value = CheckpointName> {
    any::<(u64, u64)>()
        .prop_map(|(process, number)| CheckpointName { process: ActorId(process), number })
}

fn member() -> impl Strategy<Value = MemberView> {
    let texts = [text(), text(), text(), text(), text(), text()];
    (any::<u64>(), texts, any::<bool>(), any::<[u32; 2]>()).prop_map(
        |(node, texts, reachable, [weight, replicas_held])| {
            let [name, state, liveness, zone, address, http_address] = texts;
            MemberView {
                node: NodeId(node),
                name,
                state,
                reachable,
                liveness,
                weight,
                zone,
                address,
                http_address,
                replicas_held,
            }
        },
    )
}

fn replication() -> impl Strategy<Value = Replication> {
    (1..=Replication::MAX).prop_map(|n| Replication::new(n).unwrap())
}

fn sibling_view() -> impl Strategy<Value = SiblingView> {
    (any_dot(), any::<bool>(), any::<u64>(), any::<u64>(), any::<Option<u64>>(), any::<u128>())
        .prop_map(|(dot, tombstone, value_bytes, written_at, expires_at, request)| SiblingView {
            dot,
            tombstone,
            value_bytes,
            written_at: WallTime(written_at),
            expires_at: expires_at.map(WallTime),
            request: RequestId(request),
        })
}

fn explanation() -> impl Strategy<Value = Explanation> {
    let state = proptest::sample::select(vec![
        ReplicaState::Present,
        ReplicaState::Missing,
        ReplicaState::Unsure,
        ReplicaState::Busy,
        ReplicaState::Unreachable,
    ]);
    let siblings = vec(sibling_view(), 0..4);
    let fixed = any::<(u64, Option<u128>, bool, u32)>();
    let replica = (fixed, state, siblings).prop_map(
        |((node, digest, behind, context_intervals), state, siblings)| ReplicaView {
            node: NodeId(node),
            state,
            digest: digest.map(VersionsDigest),
            behind,
            siblings,
            context_intervals,
        },
    );
    let hint = (any::<u64>(), any::<u128>(), vec(sibling_view(), 0..4)).prop_map(
        |(node, digest, siblings)| HintView {
            node: NodeId(node),
            digest: VersionsDigest(digest),
            siblings,
        },
    );
    (any::<u16>(), vec(replica, 0..4), vec(hint, 0..3), any::<Option<u64>>()).prop_map(
        |(partition, replicas, hints, verified_ms_ago)| Explanation {
            partition: PartitionId(partition),
            replicas,
            hints,
            verified_ms_ago,
        },
    )
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![5 => object_reply(), 2 => change_reply()]
}

fn object_reply() -> impl Strategy<Value = Reply> {
    let receipt = any::<[u8; 5]>().prop_map(|[copies, synced, nodes, zones, hints]| Receipt {
        copies,
        synced,
        nodes,
        zones,
        hints,
    });
    prop_oneof![
        (vec(sibling(), 0..4), text())
            .prop_map(|(siblings, context)| Reply::Object(ObjectReply { siblings, context })),
        (text(), receipt).prop_map(|(context, receipt)| Reply::Stored { context, receipt }),
        (vec(key(), 0..6), any::<bool>())
            .prop_map(|(keys, more)| Reply::Page(ListPage { keys, more })),
        (bucket(), settings(), any::<u64>())
            .prop_map(|(bucket, settings, version)| Reply::Bucket { bucket, settings, version }),
        vec((bucket(), settings(), any::<u64>()), 0..4).prop_map(Reply::Buckets),
        (any::<u128>(), any::<u64>(), replication(), any::<u32>(), vec(member(), 0..4)).prop_map(
            |(cluster, answered_by, replication, partition_count, members)| {
                Reply::Cluster(ClusterView {
                    cluster: ClusterId(cluster),
                    answered_by: NodeId(answered_by),
                    replication,
                    partition_count,
                    members,
                })
            }
        ),
        (any::<u64>(), replication(), 0..5usize, any::<u64>()).prop_map(
            |(version, replication, partitions, node)| {
                let length = partitions * usize::from(replication.get());
                let replicas = (0..length as u64).map(|n| NodeId(node.wrapping_add(n))).collect();
                Reply::Ring(RingView { version, replication, replicas })
            }
        ),
        failure().prop_map(Reply::Failed),
        explanation().prop_map(Reply::Explanation),
    ]
}

pub(crate) fn client_frame() -> impl Strategy<Value = ClientFrame> {
    prop_oneof![
        (any::<u64>(), request()).prop_map(|(id, request)| ClientFrame::Request { id, request }),
        (any::<u64>(), reply()).prop_map(|(id, reply)| ClientFrame::Reply { id, reply }),
    ]
}

fn operation() -> impl Strategy<Value = OperationId> {
    any::<u64>().prop_map(OperationId)
}

fn place() -> impl Strategy<Value = Option<(Position, Key)>> {
    option::of((any::<u128>().prop_map(Position), key()))
}

fn record() -> impl Strategy<Value = Record> {
    any_encodable_record()
}

fn write_outcome() -> impl Strategy<Value = WriteOutcome> {
    prop_oneof![
        any::<bool>().prop_map(|synced| WriteOutcome::Stored { synced }),
        Just(WriteOutcome::DiskFull),
        Just(WriteOutcome::Failed),
        Just(WriteOutcome::Overloaded),
        Just(WriteOutcome::HintsFull),
        Just(WriteOutcome::Stale),
    ]
}

fn read_outcome() -> impl Strategy<Value = ReadOutcome> {
    prop_oneof![
        (record(), any::<bool>(), 0..9u16, 1..9u16).prop_map(
            |(record, without_values, place, more)| {
                let at = PiecePlace::new(place, place + more).unwrap();
                ReadOutcome::Piece { record, without_values, at }
            }
        ),
        Just(ReadOutcome::Missing),
        Just(ReadOutcome::Unsure),
        Just(ReadOutcome::Overloaded),
        Just(ReadOutcome::NoHint),
        Just(ReadOutcome::Stale),
    ]
}

fn known() -> impl Strategy<Value = Option<KnownRequest>> {
    option::of(any::<(u128, u128, u64, u64)>().prop_map(|(request, digest, actor, counter)| {
        let dot = Dot { actor: ActorId(actor), counter };
        KnownRequest { request: RequestId(request), digest: BodyDigest(digest), dot }
    }))
}

fn peer_message() -> impl Strategy<Value = PeerMessage> {
    let repair = repair_message().prop_map(PeerMessage::Repair);
    prop_oneof![8 => other_peer_message(), 3 => register_message(), 4 => repair]
}

fn other_peer_message() -> impl Strategy<Value = PeerMessage> {
    let hint = option::of(any::<(u64, bool)>().prop_map(|(intended, acknowledging)| HintFor {
        intended: NodeId(intended),
        acknowledging,
    }));
    let write = (
        option::of(operation()),
        name(),
        option::of(register()),
        hint,
        vec(record(), 0..3),
        durability(),
        any::<u32>(),
    );
    let read = (
        operation(),
        name(),
        option::of(register()),
        any::<u32>(),
        option::of(any::<u128>()),
        any::<u32>(),
    );
    let read_reply = (operation(), read_outcome(), known(), any::<u64>(), any::<u32>());
    let place_of_scan = (any::<u16>(), register());
    let scan =
        (operation(), place_of_scan, bucket(), bytes(20), place(), any::<u32>(), any::<u32>());
    let after = vec(checkpoint(), 0..4);
    let report = (any::<u16>(), register(), checkpoint(), after, vec(any_dot(), 0..9)).prop_map(
        |(partition, register, checkpoint, after, dots)| ClockReport {
            partition: PartitionId(partition),
            register,
            checkpoint,
            after,
            dots: dots.into_iter().collect(),
        },
    );
    let known = (any::<u16>().prop_map(PartitionId), vec(checkpoint(), 0..4));
    let scanned = (key(), record()).prop_map(|(key, record)| ScannedKey { key, record });
    let scan_reply = (operation(), vec(scanned, 0..4), place(), any::<bool>());
    prop_oneof![
        write.prop_map(|(operation, name, register, hint, pieces, durability, remaining_ms)| {
            PeerMessage::Write(ReplicaWrite {
                operation,
                name,
                register,
                hint,
                pieces,
                durability,
                remaining_ms,
            })
        }),
        (operation(), write_outcome(), any::<u64>()).prop_map(
            |(operation, outcome, settings_version)| {
                PeerMessage::WriteReply(ReplicaWriteReply { operation, outcome, settings_version })
            }
        ),
        read.prop_map(|(operation, name, register, value_bytes_max, known, remaining_ms)| {
            let known = known.map(RequestId);
            PeerMessage::Read(ReplicaRead {
                operation,
                name,
                register,
                value_bytes_max,
                known,
                remaining_ms,
            })
        }),
        read_reply.prop_map(|(operation, outcome, known, settings_version, queue)| {
            PeerMessage::ReadReply(ReplicaReadReply {
                operation,
                outcome,
                known,
                settings_version,
                queue,
            })
        }),
        (operation(), any::<u32>(), mutation()).prop_map(|(operation, remaining_ms, mutation)| {
            PeerMessage::Forward { operation, remaining_ms, mutation }
        }),
        (operation(), reply())
            .prop_map(|(operation, reply)| PeerMessage::ForwardReply { operation, reply }),
        scan.prop_map(
            |(operation, (partition, register), bucket, prefix, after, limit, remaining_ms)| {
                let partition = PartitionId(partition);
                PeerMessage::Scan(ReplicaScan {
                    operation,
                    partition,
                    register,
                    bucket,
                    prefix,
                    after,
                    limit,
                    remaining_ms,
                })
            }
        ),
        scan_reply.prop_map(|(operation, keys, reached, complete)| {
            PeerMessage::ScanReply(ReplicaScanReply { operation, keys, reached, complete })
        }),
        (option::of(operation()), vec((bucket(), bytes(30)), 0..4))
            .prop_map(|(acknowledge, entries)| PeerMessage::Buckets { acknowledge, entries }),
        operation().prop_map(|operation| PeerMessage::BucketsStored { operation }),
        bucket().prop_map(|bucket| PeerMessage::AskBucket { bucket }),
        bytes(60).prop_map(|bytes| PeerMessage::Gossip { bytes }),
        any::<u128>().prop_map(|fingerprint| PeerMessage::BucketsFingerprint { fingerprint }),
        vec(any::<u128>(), 0..80).prop_map(|groups| PeerMessage::BucketGroups { groups }),
        any::<u64>().prop_map(|groups| PeerMessage::AskBucketGroups { groups }),
        (operation(), name(), vec(any_dot(), 0..4), any::<u32>()).prop_map(
            |(operation, name, dots, remaining_ms)| {
                PeerMessage::AskCollected(AskCollected { operation, name, dots, remaining_ms })
            }
        ),
        (operation(), vec(any_dot(), 0..4))
            .prop_map(|(operation, dots)| PeerMessage::Collected { operation, dots }),
        (any::<u64>(), vec(report, 0..4))
            .prop_map(|(number, reports)| PeerMessage::ClockReports { number, reports }),
        any::<u64>().prop_map(|number| PeerMessage::ClockReportsStored { number }),
        (vec(known, 0..4), vec(any::<u16>().prop_map(PartitionId), 0..4))
            .prop_map(|(known, wanted)| PeerMessage::KnownCheckpoints { known, wanted }),
    ]
}

pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    (any::<u64>(), peer_message()).prop_map(|(hlc, message)| Envelope { hlc: Hlc(hlc), message })
}
