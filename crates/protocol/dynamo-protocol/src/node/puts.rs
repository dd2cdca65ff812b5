//! Puts and deletes: who coordinates, minting, sending, counting copies.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_coordination::forward::{Forward, ForwardEffect, ForwardEvent, ForwardPlan};
use dynamo_coordination::known_request::{KnownRequestCheck, KnownRequestEffect, KnownRequestPlan};
use dynamo_coordination::put::{Copy, PutAcknowledgements, PutEffect, PutEvent, PutPlan};
use dynamo_messages::{
    Failure, Invalid, KnownRequest, Mutation, OperationId, Options, PeerMessage, Receipt,
    ReplicaRead, ReplicaWrite, ReplicaWriteReply, Reply, WriteOutcome,
};
use dynamo_types::limits::{CONTENT_TYPE_BYTES_MAX, CONTEXTS_PER_PUT_MAX, TIMEOUT_MS_MAX};
use dynamo_types::{
    Bucket, Durability, Instant, NodeId, ObjectName, Position, Reconciliation, RequestId, WallTime,
};
use dynamo_versioning::{Applied, BodyDigest, ClientContext, Content, Dot, Put, Record};

use super::gets::GetPurpose;
use super::operations::{Operation, Origin, PutOperation};
use super::{Node, invalid};
use crate::effect::Lane;
use crate::replica::{IncomingWrite, Job, LocalPut, PutRefusal, ReplyTo};

/// How long replicas are awaited, beyond the w that have answered, before a retry may mint: long
/// enough for a replica that works, short against the client's patience.
const KNOWN_REQUEST_PATIENCE: Duration = Duration::from_millis(100);
/// When an overloaded node asks clients to come back.
const RETRY_AFTER_MS: u32 = 200;

/// A put at its coordinator, before its version is minted.
#[derive(Debug)]
pub(super) struct PutIntent {
    pub(super) origin: Origin,
    pub(super) name: ObjectName,
    pub(super) content: Content,
    pub(super) request: RequestId,
    /// Of what the client sent; equal in all attempts.
    pub(super) digest: BodyDigest,
    /// What the put replaces.
    pub(super) context: ClientContext,
    pub(super) options: Options,
    pub(super) deadline: Instant,
    /// Copies needed (w).
    pub(super) needed: u8,
}

impl Node {
    /// A client of this node wants to put or delete.
    pub(super) fn put_requested(&mut self, origin: Origin, mutation: Mutation) {
        let checked = self.deadline(&mutation.options).and_then(|deadline| {
            let context = self.check_mutation(&mutation)?;
            let quorum = self.quorum(&mutation.name.bucket, &mutation.options)?;
            Ok((deadline, context, quorum.w()))
        });
        let (deadline, context, needed) = match checked {
            Ok(checked) => checked,
            Err(failure) => return self.fail(origin, failure),
        };
        let position = Position::of_object(&mutation.name);
        let (_, mut candidates) = self.reachable_replicas(position);
        if candidates.len() < usize::from(needed) {
            let reached = u8::try_from(candidates.len()).unwrap_or(u8::MAX);
            self.counters.puts_failed += 1;
            return self.fail(origin, Failure::NotEnoughReplicas { reached, needed });
        }
        // Paper §5: the node that answered the preceding read fastest coordinates the write.
        let fastest = context.fastest.and_then(|f| candidates.iter().position(|node| *node == f));
        if let Some(place) = fastest {
            candidates[..=place].rotate_right(1);
        }
        if candidates.first() == Some(&self.config.node) {
            return self.coordinate(origin, mutation, deadline);
        }
        self.counters.puts_forwarded += 1;
        let plan = ForwardPlan {
            candidates,
            hop_timeout: self.config.timing.hop_timeout,
            deadline,
            retry: mutation.retry,
            needed,
        };
        let machine = Forward::new(plan, self.now.monotonic);
        let id = self.new_operation();
        self.drive_forward(id, machine, origin, mutation, deadline);
    }

    /// Checks what a client sent, and opens its contexts.
    fn check_mutation(&self, mutation: &Mutation) -> Result<ClientContext, Failure> {
        if let Content::Value { bytes, content_type } = &mutation.content {
            let max = self.config.limits.value_bytes_max;
            if bytes.len() > max {
                let detail = alloc::format!("a value has at most {max} bytes, not {}", bytes.len());
                return Err(invalid(Invalid::ValueTooLarge, detail));
            }
            if content_type.len() > CONTENT_TYPE_BYTES_MAX {
                let detail = alloc::format!(
                    "a content type has at most {CONTENT_TYPE_BYTES_MAX} bytes, not {}",
                    content_type.len()
                );
                return Err(invalid(Invalid::Option, detail));
            }
        }
        if mutation.contexts.len() > CONTEXTS_PER_PUT_MAX {
            let detail = alloc::format!(
                "a put carries at most {CONTEXTS_PER_PUT_MAX} contexts, not {}",
                mutation.contexts.len()
            );
            return Err(invalid(Invalid::Context, detail));
        }
        let open = |text: &String| {
            ClientContext::open(text, &self.context_key, self.config.cluster, &mutation.name)
        };
        let opened: Result<Vec<ClientContext>, _> = mutation.contexts.iter().map(open).collect();
        opened
            .map(ClientContext::join)
            .map_err(|error| invalid(Invalid::Context, error.to_string()))
    }

    /// Does what a forwarding operation asks.
    pub(super) fn drive_forward(
        &mut self,
        id: OperationId,
        mut machine: Forward,
        origin: Origin,
        mutation: Mutation,
        deadline: Instant,
    ) {
        let mut here = None;
        while let Some(effect) = machine.poll_effect() {
            match effect {
                ForwardEffect::Try { node, retry } => {
                    let mutation = Mutation { retry, ..mutation.clone() };
                    if node == self.config.node {
                        here = Some(mutation);
                        continue;
                    }
                    let remaining_ms = self.remaining_ms(deadline);
                    let lane = Self::lane_of(&mutation.name);
                    let message = PeerMessage::Forward { operation: id, remaining_ms, mutation };
                    self.send(node, lane, message);
                }
                ForwardEffect::Reply(reply) => self.answer(origin, reply),
            }
        }
        self.keep(id, Operation::Forward { machine, origin, mutation, deadline });
        // Last, because it may answer at once, and the answer looks for the operation.
        if let Some(mutation) = here {
            self.coordinate(Origin::Forward(id), mutation, deadline);
        }
    }

    pub(super) fn forward_received(
        &mut self,
        from: NodeId,
        operation: OperationId,
        remaining_ms: u32,
        mutation: Mutation,
    ) {
        let origin = Origin::Peer { node: from, operation };
        self.requests += 1;
        if self.requests > self.config.requests_max {
            self.counters.requests_refused_overload += 1;
            return self.fail(origin, Failure::Overloaded { retry_after_ms: RETRY_AFTER_MS });
        }
        // One hop at most: whoever is no replica refuses instead of forwarding again.
        if !self.is_replica(&mutation.name) {
            return self.fail(origin, Failure::NotEnoughReplicas { reached: 0, needed: 1 });
        }
        let deadline = self.deadline_in(remaining_ms);
        self.coordinate(origin, mutation, deadline);
    }

    pub(super) fn forward_reply_received(
        &mut self,
        from: NodeId,
        operation: OperationId,
        reply: Reply,
    ) {
        self.forward_replied(operation, from, reply);
    }

    /// A candidate, which may be this node, answered a forwarded put.
    pub(super) fn forward_replied(&mut self, id: OperationId, from: NodeId, reply: Reply) {
        match self.take(id) {
            Some(Operation::Forward { mut machine, origin, mutation, deadline }) => {
                machine.handle(self.now.monotonic, ForwardEvent::Replied { from, reply });
                self.drive_forward(id, machine, origin, mutation, deadline);
            }
            Some(other) => self.keep(id, other),
            None => {}
        }
    }

    /// Coordinates a put here: this node is one of the key's replicas.
    fn coordinate(&mut self, origin: Origin, mutation: Mutation, deadline: Instant) {
        self.counters.puts_coordinated += 1;
        let checked = self.check_mutation(&mutation).and_then(|context| {
            let quorum = self.quorum(&mutation.name.bucket, &mutation.options)?;
            Ok((context, quorum.w()))
        });
        let (context, needed) = match checked {
            Ok(checked) => checked,
            Err(failure) => return self.fail(origin, failure),
        };
        let digest = BodyDigest::of(&mutation.content, None, &context.dots);
        let intent = PutIntent {
            origin,
            name: mutation.name,
            content: mutation.content,
            request: mutation.request,
            digest,
            context,
            options: mutation.options,
            deadline,
            needed,
        };
        if mutation.retry {
            self.check_known(intent);
        } else {
            self.cover_and_mint(intent);
        }
    }

    /// Asks all replicas whether an earlier attempt reached them (protocol rule 7).
    fn check_known(&mut self, intent: PutIntent) {
        let (_, replicas) = self.reachable_replicas(Position::of_object(&intent.name));
        let id = self.new_operation();
        for node in &replicas {
            if *node == self.config.node {
                self.read_here(id, &intent.name, u32::MAX, Some(intent.request));
                continue;
            }
            let read = ReplicaRead {
                operation: id,
                name: intent.name.clone(),
                value_bytes_max: u32::MAX,
                known: Some(intent.request),
                remaining_ms: self.remaining_ms(intent.deadline),
            };
            self.send(*node, Self::lane_of(&intent.name), PeerMessage::Read(read));
        }
        let machine = KnownRequestCheck::new(KnownRequestPlan {
            replicas,
            needed: intent.needed,
            patience: KNOWN_REQUEST_PATIENCE,
            deadline: intent.deadline,
        });
        self.drive_check(id, machine, intent);
    }

    pub(super) fn drive_check(
        &mut self,
        id: OperationId,
        mut machine: KnownRequestCheck,
        intent: PutIntent,
    ) {
        match machine.poll_effect() {
            None => self.keep(id, Operation::Check { machine, intent }),
            Some(KnownRequestEffect::Unknown) => {
                self.timers.set(id, None);
                self.cover_and_mint(intent);
            }
            Some(KnownRequestEffect::Known { known, record }) => {
                self.timers.set(id, None);
                self.send_known_again(intent, known, &record);
            }
            Some(KnownRequestEffect::Failed { reached, needed }) => {
                self.timers.set(id, None);
                self.counters.puts_failed += 1;
                self.fail(intent.origin, Failure::NotEnoughReplicas { reached, needed });
            }
        }
    }

    /// A delete without a context first reads, and covers what it saw.
    fn cover_and_mint(&mut self, intent: PutIntent) {
        if intent.content == Content::Tombstone && intent.context.dots.is_empty() {
            let (name, options, deadline) = (intent.name.clone(), intent.options, intent.deadline);
            let purpose = GetPurpose::CoverForDelete(Box::new(intent));
            self.begin_get(purpose, name, options, deadline);
        } else {
            self.mint(intent);
        }
    }

    /// Hands a put to its key's slot.
    pub(super) fn mint(&mut self, intent: PutIntent) {
        let (_, replicas) = self.reachable_replicas(Position::of_object(&intent.name));
        if replicas.len() < usize::from(intent.needed) {
            let reached = u8::try_from(replicas.len()).unwrap_or(u8::MAX);
            let needed = intent.needed;
            self.counters.puts_failed += 1;
            return self.fail(intent.origin, Failure::NotEnoughReplicas { reached, needed });
        }
        let settings = self.buckets.get(&intent.name.bucket).settings;
        let expires_at = settings.expiry.map(|expiry| {
            let micros = u64::try_from(expiry.as_micros()).unwrap_or(u64::MAX);
            WallTime(self.now.wall.0.saturating_add(micros))
        });
        let id = self.new_operation();
        // With `buffered`, one of the others syncs; only a lone replica must do it itself.
        let durability = if replicas.len() == 1 { Durability::Synced } else { settings.durability };
        let put = LocalPut {
            operation: id,
            put: Put {
                context: intent.context.dots.clone(),
                context_hlc: intent.context.hlc_max,
                content: intent.content.clone(),
                expires_at,
                request: intent.request,
                digest: intent.digest,
                covers_all_held: settings.reconciliation == Reconciliation::LastWriteWins,
                may_extend: true,
            },
            durability,
            deadline: intent.deadline,
            siblings_max: self.config.limits.siblings_max,
        };
        let name = intent.name.clone();
        self.keep(id, Operation::Minting(intent));
        self.replica.submit(&name, Job::Put(put));
    }

    /// The slot minted the version: it is being stored here, and is sent now.
    pub(super) fn minted(&mut self, id: OperationId, applied: Applied) {
        let intent = match self.take(id) {
            Some(Operation::Minting(intent)) => intent,
            // The deadline passed in the same moment; the version stands, the client was told so.
            Some(other) => return self.keep(id, other),
            None => return,
        };
        let context = ClientContext::of_put(&applied, Some(self.config.node));
        self.replicate(id, intent, &context, vec![applied.write]);
    }

    /// Sends pieces to the other replicas and counts copies, this node's own included.
    fn replicate(
        &mut self,
        id: OperationId,
        intent: PutIntent,
        context: &ClientContext,
        pieces: Vec<Record>,
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

    /// This replica saw the put before.
    pub(super) fn known_here(&mut self, id: OperationId, known: KnownRequest, record: &Record) {
        match self.take(id) {
            Some(Operation::Minting(intent)) => self.send_known_again(intent, known, record),
            Some(other) => self.keep(id, other),
            None => {}
        }
    }

    /// A put that was made before mints nothing: what replicas hold of it is sent again, and copies
    /// are counted anew (protocol rule 7).
    fn send_known_again(&mut self, intent: PutIntent, known: KnownRequest, record: &Record) {
        if known.digest != intent.digest {
            self.counters.puts_failed += 1;
            return self.fail(intent.origin, request_id_reused());
        }
        self.counters.retries_recognised += 1;
        let mut context = intent.context.clone();
        context.dots.insert(known.dot);
        context.hlc_max = context.hlc_max.max(record.hlc_max());
        context.fastest = Some(self.config.node);
        let id = self.new_operation();
        let pieces: Vec<Record> = record.pieces().collect();
        let job = IncomingWrite {
            reply_to: ReplyTo::Local(id),
            pieces: pieces.clone(),
            durability: Durability::Synced,
            deadline: Some(intent.deadline),
        };
        let name = intent.name.clone();
        if holds(record, known.dot) {
            self.replicate(id, intent, &context, pieces);
            self.replica.submit(&name, Job::Write(job));
        } else {
            // Known, but what was read holds neither the version nor what replaced it: its store
            // may still be under way somewhere. Nothing may be claimed.
            let needed = intent.needed;
            self.counters.puts_unknown += 1;
            self.fail(intent.origin, Failure::OutcomeUnknown { reached: 0, needed });
        }
    }

    /// The slot refused the put: nothing was applied or sent.
    pub(super) fn mint_refused(&mut self, id: OperationId, refusal: PutRefusal) {
        let intent = match self.take(id) {
            Some(Operation::Minting(intent)) => intent,
            Some(other) => return self.keep(id, other),
            None => return,
        };
        self.timers.set(id, None);
        self.counters.puts_failed += 1;
        let failure = match refusal {
            PutRefusal::TooManySiblings(too_many) => {
                invalid(Invalid::TooManySiblings, too_many.to_string())
            }
            PutRefusal::RequestIdReused => request_id_reused(),
            PutRefusal::Overloaded => Failure::Overloaded { retry_after_ms: RETRY_AFTER_MS },
            PutRefusal::Stopped => Failure::StorageFailed,
        };
        self.fail(intent.origin, failure);
    }

    /// The deadline passed before the slot came to the put. The slot will not begin it any more, so
    /// nothing is or will be applied.
    pub(super) fn minting_timed_out(&mut self, intent: PutIntent) {
        self.counters.puts_failed += 1;
        self.fail(intent.origin, Failure::Overloaded { retry_after_ms: RETRY_AFTER_MS });
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

    fn receipt(&self, copies: &[Copy]) -> Receipt {
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
            return self.gate(from, bucket, version, PeerMessage::WriteReply(reply));
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

fn request_id_reused() -> Failure {
    let detail = "this request id was used for another put of this key".to_string();
    invalid(Invalid::RequestIdReused, detail)
}

/// Whether a record holds a version or what replaced it.
fn holds(record: &Record, dot: Dot) -> bool {
    record.covers(dot)
}
