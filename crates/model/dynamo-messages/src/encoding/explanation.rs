//! What each replica of an object has, as bytes.

use alloc::vec::Vec;

use dynamo_types::{ActorId, NodeId, PartitionId, Replication, RequestId, WallTime};
use dynamo_versioning::{Dot, VersionsDigest};
use rkyv::{Archive, Serialize};

use super::error::DecodeError;
use super::fields::Fields;
use super::numbers::{replica_state, replica_state_number};
use super::reply::SIBLINGS_MAX;
use crate::client::{Explanation, HintView, ReplicaView, SiblingView};

/// As many nodes as a cluster has at most.
const HINT_HOLDERS_MAX: usize = 2048;

#[derive(Archive, Serialize)]
struct SiblingWire {
    actor: u64,
    counter: u64,
    tombstone: bool,
    value_bytes: u64,
    written_at: u64,
    expires_at: Option<u64>,
    request: u128,
}

#[derive(Archive, Serialize)]
struct ReplicaWire {
    node: u64,
    state: u8,
    digest: Option<u128>,
    behind: bool,
    siblings: Vec<SiblingWire>,
    context_intervals: u32,
}

#[derive(Archive, Serialize)]
struct HintWire {
    node: u64,
    digest: u128,
    siblings: Vec<SiblingWire>,
}

#[derive(Archive, Serialize)]
pub(super) struct ExplanationWire {
    partition: u16,
    replicas: Vec<ReplicaWire>,
    hints: Vec<HintWire>,
    verified_ms_ago: Option<u64>,
}

impl ExplanationWire {
    pub(super) fn of(explanation: &Explanation) -> Self {
        Self {
            partition: explanation.partition.0,
            replicas: explanation.replicas.iter().map(replica_wire).collect(),
            hints: explanation.hints.iter().map(hint_wire).collect(),
            verified_ms_ago: explanation.verified_ms_ago,
        }
    }
}

/// About how many bytes of an explanation's archive vary.
pub(super) fn explanation_bytes(explanation: &Explanation) -> usize {
    let of_replicas = explanation.replicas.iter().map(|replica| replica.siblings.len());
    let of_hints = explanation.hints.iter().map(|hint| hint.siblings.len());
    of_replicas.chain(of_hints).sum::<usize>() * size_of::<ArchivedSiblingWire>()
        + explanation.replicas.len() * size_of::<ArchivedReplicaWire>()
        + explanation.hints.len() * size_of::<ArchivedHintWire>()
}

fn hint_wire(hint: &HintView) -> HintWire {
    HintWire {
        node: hint.node.0,
        digest: hint.digest.0,
        siblings: hint.siblings.iter().map(sibling_wire).collect(),
    }
}

fn replica_wire(replica: &ReplicaView) -> ReplicaWire {
    ReplicaWire {
        node: replica.node.0,
        state: replica_state_number(replica.state),
        digest: replica.digest.map(|digest| digest.0),
        behind: replica.behind,
        siblings: replica.siblings.iter().map(sibling_wire).collect(),
        context_intervals: replica.context_intervals,
    }
}

fn sibling_wire(sibling: &SiblingView) -> SiblingWire {
    SiblingWire {
        actor: sibling.dot.actor.0,
        counter: sibling.dot.counter,
        tombstone: sibling.tombstone,
        value_bytes: sibling.value_bytes,
        written_at: sibling.written_at.0,
        expires_at: sibling.expires_at.map(|time| time.0),
        request: sibling.request.0,
    }
}

impl ArchivedExplanationWire {
    pub(super) fn read(&self, fields: Fields<'_>) -> Result<Explanation, DecodeError> {
        let replicas_max = usize::from(Replication::MAX);
        let replicas = fields.list("replicas", &self.replicas, replicas_max, |replica| {
            Ok(ReplicaView {
                node: NodeId(replica.node.to_native()),
                state: fields.number("state", replica.state, replica_state)?,
                digest: replica.digest.as_ref().map(|digest| VersionsDigest(digest.to_native())),
                behind: replica.behind,
                siblings: fields.list("siblings", &replica.siblings, SIBLINGS_MAX, |sibling| {
                    Ok(sibling.read())
                })?,
                context_intervals: replica.context_intervals.to_native(),
            })
        })?;
        let hints = fields.list("hints", &self.hints, HINT_HOLDERS_MAX, |hint| {
            Ok(HintView {
                node: NodeId(hint.node.to_native()),
                digest: VersionsDigest(hint.digest.to_native()),
                siblings: fields
                    .list("siblings", &hint.siblings, SIBLINGS_MAX, |sibling| Ok(sibling.read()))?,
            })
        })?;
        Ok(Explanation {
            partition: PartitionId(self.partition.to_native()),
            replicas,
            hints,
            verified_ms_ago: self.verified_ms_ago.as_ref().map(|age| age.to_native()),
        })
    }
}

impl ArchivedSiblingWire {
    fn read(&self) -> SiblingView {
        SiblingView {
            dot: Dot::new(ActorId(self.actor.to_native()), self.counter.to_native()),
            tombstone: self.tombstone,
            value_bytes: self.value_bytes.to_native(),
            written_at: WallTime(self.written_at.to_native()),
            expires_at: self.expires_at.as_ref().map(|time| WallTime(time.to_native())),
            request: RequestId(self.request.to_native()),
        }
    }
}
