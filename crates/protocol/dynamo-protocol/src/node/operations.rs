//! What is under way, and who is told.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use dynamo_coordination::explain::{Explain, ExplainEvent};
use dynamo_coordination::forward::{Forward, ForwardEvent};
use dynamo_coordination::get::{Get, GetEvent};
use dynamo_coordination::known_request::KnownRequestCheck;
use dynamo_coordination::list::List;
use dynamo_coordination::put::{PutAcknowledgements, PutEvent};
use dynamo_membership::PeerHealth;
use dynamo_messages::{Mutation, OperationId, Options};
use dynamo_types::{Bucket, Instant, NodeId, ObjectName, PartitionId, RegisterTag};
use dynamo_versioning::Record;

use super::Node;
use super::buckets::SetBucket;
use super::gets::GetPurpose;
use super::puts::PutIntent;
use crate::event::ClientId;
use crate::replica::Place;

/// Who is told what came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A client of this node.
    Client(ClientId),
    /// A node that forwarded a put.
    Peer { node: NodeId, operation: OperationId },
    /// A forwarding operation of this node, which is itself among the candidates.
    Forward(OperationId),
}

/// A get under way.
#[derive(Debug)]
pub(super) struct GetOperation {
    pub(super) machine: Get,
    /// Taken when it is served; the get may live on to repair.
    pub(super) purpose: Option<GetPurpose>,
    pub(super) name: ObjectName,
    pub(super) options: Options,
    pub(super) deadline: Instant,
    /// When each replica was asked.
    pub(super) asked: BTreeMap<NodeId, Instant>,
    /// The register that it goes by.
    pub(super) register: RegisterTag,
    /// How often it was begun or asked again because of registers.
    pub(super) resent: u8,
}

/// A put whose version was minted, or found made before.
#[derive(Debug)]
pub(super) struct PutOperation {
    pub(super) machine: PutAcknowledgements,
    pub(super) origin: Origin,
    pub(super) name: ObjectName,
    /// What was sent, for those who stand in.
    pub(super) pieces: Vec<Record>,
    pub(super) deadline: Instant,
    pub(super) options: Options,
    /// Copies needed of each set (w).
    pub(super) needed: u8,
    /// The register that it goes by.
    pub(super) register: RegisterTag,
    /// How often it was sent again because of registers.
    pub(super) resent: u8,
    /// For the client's next put.
    pub(super) context: String,
    /// When the version was sent to each replica.
    pub(super) sent: BTreeMap<NodeId, Instant>,
}

/// A listing under way.
#[derive(Debug)]
pub(super) struct ListOperation {
    pub(super) machine: List,
    pub(super) origin: Origin,
    pub(super) bucket: Bucket,
    pub(super) prefix: bytes::Bytes,
    pub(super) limit: u32,
    pub(super) deadline: Instant,
    /// Which partition each question to a peer is about.
    pub(super) questions: BTreeMap<OperationId, (NodeId, PartitionId)>,
}

/// A question for what the replicas of an object have, under way.
#[derive(Debug)]
pub(super) struct ExplainOperation {
    pub(super) machine: Explain,
    pub(super) origin: Origin,
    pub(super) name: ObjectName,
    pub(super) deadline: Instant,
}

/// Something under way.
#[derive(Debug)]
pub(super) enum Operation {
    Get(GetOperation),
    /// Waits for the key's slot.
    Minting {
        intent: PutIntent,
        /// Where this node's copy goes.
        place: Place,
        /// The register that it goes by.
        register: RegisterTag,
    },
    Put(PutOperation),
    /// Asks whether a retried put was made before.
    Check {
        machine: KnownRequestCheck,
        intent: PutIntent,
    },
    Forward {
        machine: Forward,
        origin: Origin,
        mutation: Mutation,
        deadline: Instant,
    },
    List(ListOperation),
    /// One question of a listing; the listing is the operation that it names.
    ListQuestion {
        list: OperationId,
        deadline: Instant,
    },
    SetBucket(SetBucket),
    Explain(ExplainOperation),
}

impl Node {
    /// Puts an operation back with its timer, or lets it go if it has nothing left to wait for.
    pub(super) fn keep(&mut self, id: OperationId, operation: Operation) {
        let at = match &operation {
            Operation::Get(get) => get.machine.poll_timeout(),
            Operation::Minting { intent, .. } => Some(intent.deadline),
            Operation::Put(put) => put.machine.poll_timeout(),
            Operation::Check { machine, .. } => machine.poll_timeout(),
            Operation::Forward { machine, .. } => machine.poll_timeout(),
            Operation::List(list) => list.machine.poll_timeout(),
            Operation::ListQuestion { deadline, .. } => Some(*deadline),
            Operation::SetBucket(set) => Some(set.deadline),
            Operation::Explain(explain) => explain.machine.poll_timeout(),
        };
        self.timers.set(id, at);
        if at.is_some() {
            self.operations.insert(id, operation);
        }
    }

    pub(super) fn take(&mut self, id: OperationId) -> Option<Operation> {
        self.operations.remove(&id)
    }

    pub(super) fn operation_timeout(&mut self, id: OperationId) {
        let now = self.now.monotonic;
        match self.take(id) {
            Some(Operation::Get(mut get)) => {
                get.machine.handle_timeout(now);
                self.drive_get(id, get);
            }
            Some(Operation::Minting { intent, .. }) => self.minting_timed_out(intent),
            Some(Operation::Put(mut put)) => {
                put.machine.handle_timeout(now);
                self.drive_put(id, put);
            }
            Some(Operation::Check { mut machine, intent }) => {
                machine.handle_timeout(now);
                self.drive_check(id, machine, intent);
            }
            Some(Operation::Forward { mut machine, origin, mutation, deadline }) => {
                machine.handle_timeout(now);
                self.drive_forward(id, machine, origin, mutation, deadline);
            }
            Some(Operation::List(mut list)) => {
                list.machine.handle_timeout(now);
                self.drive_list(id, list);
            }
            Some(Operation::ListQuestion { .. }) | None => {}
            Some(Operation::SetBucket(set)) => self.set_bucket_timed_out(set),
            Some(Operation::Explain(mut explain)) => {
                explain.machine.handle_timeout(now);
                self.drive_explain(id, explain);
            }
        }
    }

    pub(super) fn operation_lost_peer(&mut self, id: OperationId, node: NodeId) {
        let now = self.now.monotonic;
        match self.take(id) {
            Some(Operation::Get(mut get)) => {
                get.asked.remove(&node);
                get.machine.handle(now, GetEvent::Lost { node });
                self.drive_get(id, get);
            }
            Some(Operation::Put(mut put)) => {
                put.sent.remove(&node);
                put.machine.handle(PutEvent::Lost { node });
                self.drive_put(id, put);
            }
            Some(Operation::Check { mut machine, intent }) => {
                machine.lost(now, node);
                self.drive_check(id, machine, intent);
            }
            Some(Operation::Forward { mut machine, origin, mutation, deadline }) => {
                machine.handle(now, ForwardEvent::Lost { node });
                self.drive_forward(id, machine, origin, mutation, deadline);
            }
            Some(Operation::List(mut list)) => {
                list.questions.retain(|_, (asked, _)| *asked != node);
                list.machine.lost(node);
                self.drive_list(id, list);
            }
            Some(Operation::Explain(explain)) => {
                self.explain_event(id, explain, ExplainEvent::Lost { node });
            }
            Some(
                other @ (Operation::Minting { .. }
                | Operation::ListQuestion { .. }
                | Operation::SetBucket(_)),
            ) => self.keep(id, other),
            None => {}
        }
    }

    /// Replicas that did not answer in time are asked less for a while. One that was asked only just
    /// now is not late: the answer did not need it.
    pub(super) fn note_silent(&mut self, asked: BTreeMap<NodeId, Instant>) {
        let now = self.now.monotonic;
        for (node, at) in asked {
            if now.saturating_since(at) >= PeerHealth::TIMEOUT_LATENCY {
                self.health.request_timed_out(node, now);
            }
        }
    }
}
