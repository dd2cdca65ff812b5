//! What clients are told, as bytes.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::limits::{CONTENT_TYPE_BYTES_MAX, CONTEXT_TEXT_BYTES_MAX, LIST_LIMIT_MAX};
use dynamo_types::{ActorId, ClusterId, NodeId, Replication, WallTime};
use dynamo_versioning::Dot;
use rkyv::{Archive, Serialize};

use super::archive::{Head, read};
use super::changes::{PlanWire, plan_bytes};
use super::error::{DecodeError, FieldError};
use super::explanation::{ExplanationWire, explanation_bytes};
use super::fields::Fields;
use super::numbers::{invalid, invalid_number, kind};
use super::request::{SettingsWire, text_bytes};
use super::transfers::{TransfersWire, transfers_bytes};
use crate::client::{
    ClusterView, Failure, ListPage, MemberView, ObjectReply, Receipt, Reply, RingView, SiblingReply,
};

/// A record holds at most a few hundred siblings; the bound only keeps a list from being absurd.
pub(super) const SIBLINGS_MAX: usize = 1 << 16;
/// Ten thousand buckets is what a cluster holds, ten thousand members more than it can.
pub(super) const BUCKETS_MAX: usize = 10_000;
pub(super) const MEMBERS_MAX: usize = 10_000;
/// The largest partition table: 65,536 partitions of seven replicas.
pub(super) const TABLE_MAX: usize = (1 << 16) * Replication::MAX as usize;
/// Names, zones, addresses and explanations are for people.
const TEXT_BYTES_MAX: usize = 4096;

#[derive(Archive, Serialize)]
struct SiblingWire {
    value: Bytes,
    content_type: Bytes,
    actor: u64,
    counter: u64,
    written_at: u64,
    expires_at: Option<u64>,
}

#[derive(Archive, Serialize)]
struct ObjectWire {
    siblings: Vec<SiblingWire>,
    context: Bytes,
}

#[derive(Archive, Serialize)]
struct StoredWire {
    context: Bytes,
    copies: u8,
    synced: u8,
    nodes: u8,
    zones: u8,
    hints: u8,
}

#[derive(Archive, Serialize)]
struct PageWire {
    keys: Vec<Bytes>,
    more: bool,
}

#[derive(Archive, Serialize)]
struct BucketWire {
    bucket: Bytes,
    settings: SettingsWire,
    version: u64,
}

#[derive(Archive, Serialize)]
struct BucketsWire {
    buckets: Vec<BucketWire>,
}

#[derive(Archive, Serialize)]
struct MemberWire {
    node: u64,
    name: Bytes,
    state: Bytes,
    reachable: bool,
    liveness: Bytes,
    weight: u32,
    zone: Bytes,
    address: Bytes,
    http_address: Bytes,
    replicas_held: u32,
}

#[derive(Archive, Serialize)]
struct ClusterWire {
    cluster: u128,
    answered_by: u64,
    replication: u8,
    partition_count: u32,
    members: Vec<MemberWire>,
}

#[derive(Archive, Serialize)]
struct RingWire {
    version: u64,
    replication: u8,
    replicas: Vec<u64>,
}

#[derive(Archive, Serialize)]
struct FailedWire {
    failure: u8,
    reason: u8,
    detail: Bytes,
    reached: u8,
    needed: u8,
    retry_after_ms: u32,
}

#[derive(Archive, Serialize)]
struct CancelledWire {
    moves: u32,
}

pub(super) fn is_reply(kind: u8) -> bool {
    kind >= kind::REPLY_OBJECT
}

pub(super) fn kind_of(reply: &Reply) -> u8 {
    match reply {
        Reply::Object(_) => kind::REPLY_OBJECT,
        Reply::Stored { .. } => kind::REPLY_STORED,
        Reply::Page(_) => kind::REPLY_PAGE,
        Reply::Bucket { .. } => kind::REPLY_BUCKET,
        Reply::Buckets(_) => kind::REPLY_BUCKETS,
        Reply::Cluster(_) => kind::REPLY_CLUSTER,
        Reply::Ring(_) => kind::REPLY_RING,
        Reply::Failed(_) => kind::REPLY_FAILED,
        Reply::Explanation(_) => kind::REPLY_EXPLANATION,
        Reply::Plan(_) => kind::REPLY_PLAN,
        Reply::Cancelled { .. } => kind::REPLY_CANCELLED,
        Reply::Transfers(_) => kind::REPLY_TRANSFERS,
    }
}

/// About how many bytes of a reply's archive vary.
pub(super) fn payload_bytes(reply: &Reply) -> usize {
    match reply {
        Reply::Object(object) => {
            let fixed = size_of::<ArchivedSiblingWire>() + 64;
            let values: usize = object.siblings.iter().map(|s| s.value.len() + fixed).sum();
            values + object.context.len()
        }
        Reply::Stored { context, .. } => context.len(),
        Reply::Page(page) => page.keys.iter().map(|key| key.as_bytes().len() + 8).sum(),
        Reply::Buckets(buckets) => buckets.len() * 128,
        Reply::Cluster(view) => view.members.len() * 256,
        Reply::Ring(view) => view.replicas.len() * 8,
        Reply::Explanation(explanation) => explanation_bytes(explanation),
        Reply::Plan(view) => plan_bytes(view),
        Reply::Transfers(view) => transfers_bytes(view),
        Reply::Bucket { .. } | Reply::Failed(_) | Reply::Cancelled { .. } => 0,
    }
}

/// Adds a reply's archive to a frame whose head names its kind.
pub(super) fn encode(reply: &Reply, head: &mut Head) {
    match reply {
        Reply::Object(object) => head.archive(&ObjectWire {
            siblings: object.siblings.iter().map(sibling_wire).collect(),
            context: text_bytes(&object.context),
        }),
        Reply::Stored { context, receipt } => {
            let Receipt { copies, synced, nodes, zones, hints } = *receipt;
            let context = text_bytes(context);
            head.archive(&StoredWire { context, copies, synced, nodes, zones, hints });
        }
        Reply::Page(page) => head.archive(&PageWire {
            keys: page.keys.iter().map(|key| key.as_bytes().clone()).collect(),
            more: page.more,
        }),
        Reply::Bucket { bucket, settings, version } => head.archive(&BucketWire {
            bucket: bucket.as_bytes().clone(),
            settings: SettingsWire::of(settings),
            version: *version,
        }),
        Reply::Buckets(buckets) => {
            let wire = |(bucket, settings, version): &(dynamo_types::Bucket, _, _)| BucketWire {
                bucket: bucket.as_bytes().clone(),
                settings: SettingsWire::of(settings),
                version: *version,
            };
            head.archive(&BucketsWire { buckets: buckets.iter().map(wire).collect() });
        }
        Reply::Cluster(view) => head.archive(&ClusterWire {
            cluster: view.cluster.0,
            answered_by: view.answered_by.0,
            replication: view.replication.get(),
            partition_count: view.partition_count,
            members: view.members.iter().map(member_wire).collect(),
        }),
        Reply::Ring(view) => head.archive(&RingWire {
            version: view.version,
            replication: view.replication.get(),
            replicas: view.replicas.iter().map(|node| node.0).collect(),
        }),
        Reply::Explanation(explanation) => head.archive(&ExplanationWire::of(explanation)),
        Reply::Plan(view) => head.archive(&PlanWire::of(view)),
        Reply::Cancelled { moves } => head.archive(&CancelledWire { moves: *moves }),
        Reply::Transfers(view) => head.archive(&TransfersWire::of(view)),
        Reply::Failed(failure) => head.archive(&failed_wire(failure)),
    }
}

fn sibling_wire(sibling: &SiblingReply) -> SiblingWire {
    SiblingWire {
        value: sibling.value.clone(),
        content_type: sibling.content_type.clone(),
        actor: sibling.dot.actor.0,
        counter: sibling.dot.counter,
        written_at: sibling.written_at.0,
        expires_at: sibling.expires_at.map(|time| time.0),
    }
}

fn member_wire(member: &MemberView) -> MemberWire {
    MemberWire {
        node: member.node.0,
        name: text_bytes(&member.name),
        state: text_bytes(&member.state),
        reachable: member.reachable,
        liveness: text_bytes(&member.liveness),
        weight: member.weight,
        zone: text_bytes(&member.zone),
        address: text_bytes(&member.address),
        http_address: text_bytes(&member.http_address),
        replicas_held: member.replicas_held,
    }
}

fn failed_wire(failure: &Failure) -> FailedWire {
    let none = FailedWire {
        failure: 0,
        reason: 0,
        detail: Bytes::new(),
        reached: 0,
        needed: 0,
        retry_after_ms: 0,
    };
    match failure {
        Failure::Invalid { reason, detail } => FailedWire {
            failure: 1,
            reason: invalid_number(*reason),
            detail: text_bytes(clipped(detail)),
            ..none
        },
        Failure::NotEnoughReplicas { reached, needed } => {
            FailedWire { failure: 2, reached: *reached, needed: *needed, ..none }
        }
        Failure::OutcomeUnknown { reached, needed } => {
            FailedWire { failure: 3, reached: *reached, needed: *needed, ..none }
        }
        Failure::Overloaded { retry_after_ms } => {
            FailedWire { failure: 4, retry_after_ms: *retry_after_ms, ..none }
        }
        Failure::StorageFull => FailedWire { failure: 5, ..none },
        Failure::StorageFailed => FailedWire { failure: 6, ..none },
    }
}

/// The beginning of an explanation that the other side will accept.
fn clipped(detail: &str) -> &str {
    &detail[..detail.floor_char_boundary(TEXT_BYTES_MAX)]
}

pub(super) fn decode(kind: u8, body: &[u8], frame: &Bytes) -> Result<Reply, DecodeError> {
    match kind {
        kind::REPLY_OBJECT => {
            let (wire, fields) = read::<ObjectWire>("object", body, frame)?;
            let siblings = fields.list("siblings", &wire.siblings, SIBLINGS_MAX, |sibling| {
                read_sibling(fields, sibling)
            })?;
            let context = context(fields, &wire.context)?;
            Ok(Reply::Object(ObjectReply { siblings, context }))
        }
        kind::REPLY_STORED => {
            let (wire, fields) = read::<StoredWire>("stored", body, frame)?;
            let receipt = Receipt {
                copies: wire.copies,
                synced: wire.synced,
                nodes: wire.nodes,
                zones: wire.zones,
                hints: wire.hints,
            };
            Ok(Reply::Stored { context: context(fields, &wire.context)?, receipt })
        }
        kind::REPLY_PAGE => {
            let (wire, fields) = read::<PageWire>("page", body, frame)?;
            let keys = fields
                .list("keys", &wire.keys, LIST_LIMIT_MAX as usize, |key| fields.key("keys", key))?;
            Ok(Reply::Page(ListPage { keys, more: wire.more }))
        }
        kind::REPLY_BUCKET => {
            let (wire, fields) = read::<BucketWire>("bucket", body, frame)?;
            let bucket = fields.bucket("bucket", &wire.bucket)?;
            let settings = wire.settings.read(fields)?;
            Ok(Reply::Bucket { bucket, settings, version: wire.version.to_native() })
        }
        kind::REPLY_BUCKETS => {
            let (wire, fields) = read::<BucketsWire>("buckets", body, frame)?;
            let buckets = fields.list("buckets", &wire.buckets, BUCKETS_MAX, |entry| {
                let bucket = fields.bucket("bucket", &entry.bucket)?;
                Ok((bucket, entry.settings.read(fields)?, entry.version.to_native()))
            })?;
            Ok(Reply::Buckets(buckets))
        }
        kind::REPLY_CLUSTER => {
            let (wire, fields) = read::<ClusterWire>("cluster", body, frame)?;
            Ok(Reply::Cluster(read_cluster(fields, wire)?))
        }
        kind::REPLY_RING => {
            let (wire, fields) = read::<RingWire>("ring", body, frame)?;
            Ok(Reply::Ring(read_ring(fields, wire)?))
        }
        kind::REPLY_FAILED => {
            let (wire, fields) = read::<FailedWire>("failed", body, frame)?;
            Ok(Reply::Failed(read_failure(fields, wire)?))
        }
        kind::REPLY_EXPLANATION => {
            let (wire, fields) = read::<ExplanationWire>("explanation", body, frame)?;
            Ok(Reply::Explanation(wire.read(fields)?))
        }
        kind::REPLY_PLAN => {
            let (wire, fields) = read::<PlanWire>("plan", body, frame)?;
            Ok(Reply::Plan(wire.read(fields)?))
        }
        kind::REPLY_CANCELLED => {
            let (wire, _) = read::<CancelledWire>("cancelled", body, frame)?;
            Ok(Reply::Cancelled { moves: wire.moves.to_native() })
        }
        kind::REPLY_TRANSFERS => {
            let (wire, fields) = read::<TransfersWire>("transfers", body, frame)?;
            Ok(Reply::Transfers(wire.read(fields)?))
        }
        _ => Err(DecodeError::UnknownKind { kind }),
    }
}

fn context(fields: Fields<'_>, bytes: &[u8]) -> Result<String, DecodeError> {
    fields.text("context", bytes, CONTEXT_TEXT_BYTES_MAX)
}

fn read_sibling(
    fields: Fields<'_>,
    wire: &ArchivedSiblingWire,
) -> Result<SiblingReply, DecodeError> {
    Ok(SiblingReply {
        value: fields.bytes(&wire.value),
        content_type: fields.bounded_bytes(
            "content_type",
            &wire.content_type,
            CONTENT_TYPE_BYTES_MAX,
        )?,
        dot: Dot { actor: ActorId(wire.actor.to_native()), counter: wire.counter.to_native() },
        written_at: WallTime(wire.written_at.to_native()),
        expires_at: wire.expires_at.as_ref().map(|time| WallTime(time.to_native())),
    })
}

fn read_cluster(
    fields: Fields<'_>,
    wire: &ArchivedClusterWire,
) -> Result<ClusterView, DecodeError> {
    let text = |field, bytes: &[u8]| fields.text(field, bytes, TEXT_BYTES_MAX);
    let members = fields.list("members", &wire.members, MEMBERS_MAX, |member| {
        Ok(MemberView {
            node: NodeId(member.node.to_native()),
            name: text("name", &member.name)?,
            state: text("state", &member.state)?,
            reachable: member.reachable,
            liveness: text("liveness", &member.liveness)?,
            weight: member.weight.to_native(),
            zone: text("zone", &member.zone)?,
            address: text("address", &member.address)?,
            http_address: text("http_address", &member.http_address)?,
            replicas_held: member.replicas_held.to_native(),
        })
    })?;
    Ok(ClusterView {
        cluster: ClusterId(wire.cluster.to_native()),
        answered_by: NodeId(wire.answered_by.to_native()),
        replication: replication(fields, wire.replication)?,
        partition_count: wire.partition_count.to_native(),
        members,
    })
}

fn read_ring(fields: Fields<'_>, wire: &ArchivedRingWire) -> Result<RingView, DecodeError> {
    let replication = replication(fields, wire.replication)?;
    let found = wire.replicas.len();
    if !found.is_multiple_of(usize::from(replication.get())) {
        let uneven = FieldError::Uneven { found, n: replication.get() };
        return Err(fields.refuse("replicas", uneven));
    }
    let replicas =
        fields.list("replicas", &wire.replicas, TABLE_MAX, |node| Ok(NodeId(node.to_native())))?;
    Ok(RingView { version: wire.version.to_native(), replication, replicas })
}

fn replication(fields: Fields<'_>, n: u8) -> Result<Replication, DecodeError> {
    Replication::new(n).map_err(|why| fields.refuse("replication", why))
}

fn read_failure(fields: Fields<'_>, wire: &ArchivedFailedWire) -> Result<Failure, DecodeError> {
    let (reached, needed) = (wire.reached, wire.needed);
    match wire.failure {
        1 => Ok(Failure::Invalid {
            reason: fields.number("reason", wire.reason, invalid)?,
            detail: fields.text("detail", &wire.detail, TEXT_BYTES_MAX)?,
        }),
        2 => Ok(Failure::NotEnoughReplicas { reached, needed }),
        3 => Ok(Failure::OutcomeUnknown { reached, needed }),
        4 => Ok(Failure::Overloaded { retry_after_ms: wire.retry_after_ms.to_native() }),
        5 => Ok(Failure::StorageFull),
        6 => Ok(Failure::StorageFailed),
        other => Err(fields.refuse("failure", FieldError::Number(other.into()))),
    }
}
