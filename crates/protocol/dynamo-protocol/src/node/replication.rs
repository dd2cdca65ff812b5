//! A minted version on its way to the replicas, and copies on their way back.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use dynamo_coordination::put::{Copy, PutAcknowledgements, PutEffect, PutEvent, PutPlan};
use dynamo_messages::{
    Failure, OperationId, PeerMessage, Receipt, ReplicaWrite, ReplicaWriteReply, Reply,
    WriteOutcome,
};
use dynamo_types::limits::TIMEOUT_MS_MAX;
use dynamo_types::{Bucket, Durability, NodeId, Position};
use dynamo_versioning::{Applied, ClientContext, Record};

use super::Node;
use super::operations::{Operation, PutOperation};
use super::puts::{PutIntent, RETRY_AFTER_MS};
use crate::effect::Lane;
use crate::replica::{IncomingWrite, Job, ReplyTo};

impl Node {
    /// The slot minted the version: it is being stored here, and is sent now.
    pub(super) fn minted(&mut self, id: OperationId, applied: Applied) {
        let intent = match self.take(id) {
            Some(Operation::Minting(intent)) => intent,
            // The deadline passed in the same moment; the version stands, the client was told so.
            Some(other) => return self.keep(id, other),
            None => return,
        };
        let context = ClientContext::of_put(&applied, Some(self.config.node));
        self.replicate(id, intent, &context, vec![applied.write], false);
    }

    /// Sends pieces to the other replicas and counts copies, this node's own included. `made_before`
    /// says that an earlier attempt made the version.
    pub(super) fn replicate(
        &mut self,
        id: OperationId,
        intent: PutIntent,
        context: &ClientContext,
        pieces: Vec<Record>,
        made_before: bool,
    ) {
        let (_, replicas) = self.reachable_replicas(Position::of_object(&intent.name));
        let durability = self.buckets.get(&intent.name.bucket).settings.durability;
        let remaining_ms = self.remaining_ms(intent.deadline);
        let lane = Self::lane_of(&intent.name);
        let mut sent = BTreeMap::new();
        let others = replicas.iter().filter(|node| **node != self.config.node);
        let others: Vec<NodeId> = others.copied().collect();
        for (place, node) in others.iter().enumerate() {
            // Paper §6.1: one replica writes durably; the slowest, since the client rarely waits
            // for it.
            let last = place + 1 == others.len();
            let durability = if last { Durability::Synced } else { durability };
            let write = ReplicaWrite {
                operation: Some(id),
                name: intent.name.clone(),
                pieces: pieces.clone(),
                durability,
                remaining_ms,
            };
            sent.insert(*node, self.now.monotonic);
            self.health.request_sent(*node, self.now.monotonic);
            self.send(*node, lane, PeerMessage::Write(write));
        }
        let machine = PutAcknowledgements::new(PutPlan {
            replicas,
            needed: intent.needed,
            deadline: intent.deadline,
            made_before,
        });
        let put = PutOperation {
            machine,
            origin: intent.origin,
            context: self.seal(context, &intent.name),
            bucket: intent.name.bucket,
            options: intent.options,
            sent,
        };
        self.drive_put(id, put);
    }

    /// Tells the client what came of a put, once that is decided.
    pub(super) fn drive_put(&mut self, id: OperationId, mut put: PutOperation) {
        while let Some(effect) = put.machine.poll_effect() {
            let reply = match effect {
                PutEffect::Stored { copies } => {
                    self.counters.puts_stored += 1;
                    let context = core::mem::take(&mut put.context);
                    Reply::Stored { context, receipt: self.receipt(&copies) }
                }
                PutEffect::Unknown { reached, needed } => {
                    self.counters.puts_unknown += 1;
                    Reply::Failed(Failure::OutcomeUnknown { reached, needed })
                }
                PutEffect::Refused { disk_full } => {
                    self.counters.puts_failed += 1;
                    Reply::Failed(if disk_full {
                        Failure::StorageFull
                    } else {
                        Failure::Overloaded { retry_after_ms: RETRY_AFTER_MS }
                    })
                }
                PutEffect::FalselyFailed { reached, needed } => {
                    Reply::Failed(Failure::NotEnoughReplicas { reached, needed })
                }
            };
            self.answer(put.origin, reply);
        }
        if put.machine.poll_timeout().is_none() {
            self.note_silent(core::mem::take(&mut put.sent));
        }
        self.keep(id, Operation::Put(put));
    }

    pub(super) fn receipt(&self, copies: &[Copy]) -> Receipt {
        let count = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        let zone_of = |node: NodeId| {
            let member = self.config.members.iter().find(|member| member.node == node);
            member.map(|member| member.zone.as_str())
        };
        let zones: BTreeSet<Option<&str>> = copies.iter().map(|copy| zone_of(copy.node)).collect();
        Receipt {
            copies: count(copies.len()),
            synced: count(copies.iter().filter(|copy| copy.synced).count()),
            nodes: count(copies.len()),
            zones: count(zones.len()),
            hints: 0,
        }
    }

    pub(super) fn write_reply_received(&mut self, from: NodeId, reply: ReplicaWriteReply) {
        let Some(bucket) = self.bucket_of(reply.operation) else {
            return;
        };
        if reply.settings_version > self.buckets.get(&bucket).version {
            let version = reply.settings_version;
            let operation = reply.operation;
            return self.gate(from, operation, bucket, version, PeerMessage::WriteReply(reply));
        }
        self.write_answered(reply.operation, from, reply.outcome);
    }

    /// A replica, which may be this node, says what came of a write.
    pub(super) fn write_answered(&mut self, id: OperationId, from: NodeId, outcome: WriteOutcome) {
        match self.take(id) {
            Some(Operation::Put(mut put)) => {
                if let Some(sent) = put.sent.remove(&from) {
                    let now = self.now.monotonic;
                    self.health.request_answered(from, now, now.saturating_since(sent));
                }
                put.machine.handle(PutEvent::Answered { from, outcome });
                self.drive_put(id, put);
            }
            Some(other) => self.keep(id, other),
            None => {}
        }
    }

    pub(super) fn replica_write_received(&mut self, from: NodeId, write: ReplicaWrite) {
        let reply_to = match write.operation {
            Some(operation) => {
                ReplyTo::Peer { node: from, operation, bucket: write.name.bucket.clone() }
            }
            None => ReplyTo::Nobody,
        };
        if !self.is_replica(&write.name) {
            self.counters.messages_refused += 1;
            if let ReplyTo::Peer { node, operation, bucket } = reply_to {
                self.send_write_reply(node, operation, &bucket, WriteOutcome::Overloaded);
            }
            return;
        }
        let remaining_ms = write.remaining_ms.min(TIMEOUT_MS_MAX);
        let job = IncomingWrite {
            reply_to,
            pieces: write.pieces,
            durability: write.durability,
            deadline: Some(self.deadline_in(remaining_ms)),
        };
        self.replica.submit(&write.name, Job::Write(job));
    }

    pub(super) fn send_write_reply(
        &mut self,
        node: NodeId,
        operation: OperationId,
        bucket: &Bucket,
        outcome: WriteOutcome,
    ) {
        let settings_version = self.buckets.get(bucket).version;
        let reply = ReplicaWriteReply { operation, outcome, settings_version };
        let lane = Lane::Foreground(0);
        self.send(node, lane, PeerMessage::WriteReply(reply));
    }
}
