//! Gets at their coordinator.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use dynamo_coordination::explain::ExplainEvent;
use dynamo_coordination::get::{Get, GetEffect, GetEvent, GetPlan};
use dynamo_messages::{
    AskCollected, Failure, ObjectReply, OperationId, Options, PeerMessage, ReadOutcome,
    ReplicaRead, ReplicaReadReply, ReplicaWrite, Reply, SiblingReply,
};
use dynamo_types::limits::TIMEOUT_MS_MAX;
use dynamo_types::{Durability, Instant, NodeId, ObjectName, Position};
use dynamo_versioning::{ClientContext, Content, Dot, Record, View};

use super::operations::{GetOperation, Operation, Origin};
use super::puts::PutIntent;
use super::reads::pieces;
use super::replication::STALE_MAX;
use super::{NEARLY_IDLE, Node, enough};
use crate::effect::Lane;
use crate::replica::{IncomingWrite, Job, Place, ReplyTo, VetFor, VetVerdict};

/// What a get is for.
#[derive(Debug)]
pub(super) enum GetPurpose {
    /// To answer a client.
    Answer(Origin),
    /// A delete without a context covers what a get sees (protocol rule 7, history 25).
    CoverForDelete(Box<PutIntent>),
}

impl Node {
    pub(super) fn get_requested(&mut self, origin: Origin, name: ObjectName, options: Options) {
        match self.deadline(&options) {
            Ok(deadline) => self.begin_get(GetPurpose::Answer(origin), name, options, deadline),
            Err(failure) => self.fail(origin, failure),
        }
    }

    pub(super) fn begin_get(
        &mut self,
        purpose: GetPurpose,
        name: ObjectName,
        options: Options,
        deadline: Instant,
    ) {
        self.begin_get_again(purpose, name, options, deadline, 0);
    }

    fn begin_get_again(
        &mut self,
        purpose: GetPurpose,
        name: ObjectName,
        options: Options,
        deadline: Instant,
        resent: u8,
    ) {
        let needed = match self.quorum(&name.bucket, &options) {
            Ok(quorum) => quorum.r(),
            Err(failure) => return self.get_failed(purpose, failure),
        };
        let (partition, replicas) = self.reachable_replicas(Position::of_object(&name));
        let mut fallbacks =
            if options.strict { Vec::new() } else { self.healthy_fallbacks(partition) };
        // No more of them than that can be among the first N healthy nodes.
        fallbacks.truncate(usize::from(self.registers.replication().get()));
        let asked: Vec<NodeId> = replicas.iter().chain(&fallbacks).copied().collect();
        if let Err(failure) = enough(&asked, needed) {
            return self.get_failed(purpose, failure);
        }
        self.counters.gets_coordinated += 1;
        self.hedges.read_started();
        let idle = self.operations.len() <= NEARLY_IDLE;
        let at_once = if idle { u8::try_from(replicas.len()).unwrap_or(needed) } else { needed };
        let plan = GetPlan {
            replicas,
            fallbacks,
            needed,
            at_once,
            hedge_delay: self.read_latency.p95().max(self.config.timing.hedge_delay_min),
            stand_in_at: self.now.monotonic + self.config.timing.stand_in_delay,
            deadline,
            repair_wait: self.config.timing.read_repair_wait,
        };
        let machine = Get::new(plan, self.now.monotonic);
        let register = self.registers.tag(partition);
        let get = GetOperation {
            machine,
            purpose: Some(purpose),
            name,
            options,
            deadline,
            asked: BTreeMap::new(),
            register,
            resent,
        };
        let id = self.new_operation();
        self.drive_get(id, get);
    }

    fn get_failed(&mut self, purpose: GetPurpose, failure: Failure) {
        self.counters.gets_failed += 1;
        match purpose {
            GetPurpose::Answer(origin) => self.fail(origin, failure),
            GetPurpose::CoverForDelete(intent) => self.fail(intent.origin, failure),
        }
    }

    /// Does what a get asks, and keeps it if something is left to wait for.
    pub(super) fn drive_get(&mut self, id: OperationId, mut get: GetOperation) {
        while let Some(effect) = get.machine.poll_effect() {
            match effect {
                GetEffect::Ask { node, value_bytes_max } => {
                    self.ask_for_get(id, &mut get, node, value_bytes_max);
                }
                GetEffect::Vet { node, dots } => self.ask_collected(id, &get, node, dots),
                GetEffect::WantHedge => {
                    if self.hedges.take() {
                        self.counters.hedges_sent += 1;
                        get.machine.handle(self.now.monotonic, GetEvent::HedgeGranted);
                    } else {
                        self.counters.hedges_refused += 1;
                    }
                }
                GetEffect::Answer { record, fastest } => match get.purpose.take() {
                    Some(GetPurpose::Answer(origin)) => {
                        let reply = self.object_reply(&get.name, &record, fastest);
                        self.answer(origin, reply);
                    }
                    Some(GetPurpose::CoverForDelete(mut intent)) => {
                        intent.context.dots.union_with(record.context());
                        intent.context.hlc_max = intent.context.hlc_max.max(record.hlc_max());
                        self.mint(*intent);
                    }
                    None => {}
                },
                GetEffect::Failed { reached, needed } => {
                    if let Some(purpose) = get.purpose.take() {
                        self.get_failed(purpose, Failure::NotEnoughReplicas { reached, needed });
                    }
                }
                GetEffect::Differed { merged, answers, without_value } => {
                    self.counters.gets_that_differed += 1;
                    self.repair_after_get(&get.name, &merged, &answers, &without_value);
                }
            }
        }
        if get.machine.is_done() {
            self.note_silent(core::mem::take(&mut get.asked));
        }
        self.keep(id, Operation::Get(get));
    }

    fn ask_for_get(
        &mut self,
        id: OperationId,
        get: &mut GetOperation,
        node: NodeId,
        value_bytes_max: u32,
    ) {
        if node != self.config.node {
            get.asked.insert(node, self.now.monotonic);
            self.health.request_sent(node, self.now.monotonic);
        }
        let question = ReplicaRead {
            operation: id,
            name: get.name.clone(),
            register: Some(get.register),
            value_bytes_max,
            known: None,
            remaining_ms: self.remaining_ms(get.deadline),
        };
        self.ask_replica(node, question);
    }

    /// Asks a replica, which may be this node, which versions it would turn away as collected.
    fn ask_collected(&mut self, id: OperationId, get: &GetOperation, node: NodeId, dots: Vec<Dot>) {
        if node == self.config.node {
            let job = Job::Vet { asker: VetFor::Local(id), dots };
            return self.replica.submit(&get.name, Place::Own, job);
        }
        let asked = AskCollected {
            operation: id,
            name: get.name.clone(),
            dots,
            remaining_ms: self.remaining_ms(get.deadline),
        };
        self.send(node, Self::lane_of(&get.name), PeerMessage::AskCollected(asked));
    }

    pub(super) fn ask_collected_received(&mut self, from: NodeId, asked: AskCollected) {
        // Only a replica has collected anything; who asks another one waits in vain, and learns it
        // from its deadline.
        if !self.is_replica(&asked.name) {
            self.counters.messages_refused += 1;
            return;
        }
        let asker = VetFor::Peer { node: from, operation: asked.operation };
        self.replica.submit(&asked.name, Place::Own, Job::Vet { asker, dots: asked.dots });
    }

    /// Says which versions are collected here, or what this replica has now, or that it cannot know.
    pub(super) fn answer_vet(&mut self, asker: VetFor, verdict: VetVerdict) {
        let outcomes = match verdict {
            VetVerdict::Collected(dots) => return self.tell_collected(asker, dots),
            VetVerdict::Newer(record) => pieces(record, u32::MAX),
            VetVerdict::Unsure => Vec::from([ReadOutcome::Unsure]),
        };
        for outcome in outcomes {
            match asker {
                VetFor::Local(operation) => {
                    self.read_answered(operation, self.config.node, outcome, None);
                }
                VetFor::Peer { node, operation } => {
                    let (known, settings_version, queue) = (None, 0, 0);
                    let reply =
                        ReplicaReadReply { operation, outcome, known, settings_version, queue };
                    self.send(node, Lane::Foreground(0), PeerMessage::ReadReply(reply));
                }
            }
        }
    }

    fn tell_collected(&mut self, asker: VetFor, dots: Vec<Dot>) {
        match asker {
            VetFor::Local(operation) => self.vetted(operation, self.config.node, dots),
            VetFor::Peer { node, operation } => {
                let message = PeerMessage::Collected { operation, dots };
                self.send(node, Lane::Foreground(0), message);
            }
        }
    }

    /// A replica, which may be this node, said which versions it has collected.
    pub(super) fn vetted(&mut self, id: OperationId, from: NodeId, collected: Vec<Dot>) {
        let now = self.now.monotonic;
        match self.take(id) {
            Some(Operation::Get(mut get)) => {
                self.counters.versions_left_out += collected.len() as u64;
                get.machine.handle(now, GetEvent::Vetted { from, collected });
                self.drive_get(id, get);
            }
            Some(other) => self.keep(id, other),
            None => {}
        }
    }

    fn object_reply(&mut self, name: &ObjectName, record: &Record, fastest: NodeId) -> Reply {
        let reconciliation = self.buckets.get(&name.bucket).settings.reconciliation;
        let view = View::of(record, reconciliation, self.now.wall);
        let siblings: Vec<SiblingReply> = view
            .visible
            .iter()
            .filter_map(|sibling| match &sibling.content {
                Content::Value { bytes, content_type } => Some(SiblingReply {
                    value: bytes.clone(),
                    content_type: content_type.clone(),
                    dot: sibling.dot,
                    written_at: sibling.hlc.wall(),
                    expires_at: sibling.expires_at,
                }),
                Content::Tombstone => None,
            })
            .collect();
        self.counters.gets_with_siblings += u64::from(siblings.len() > 1);
        let context = ClientContext::of_view(record, Some(fastest));
        Reply::Object(ObjectReply { siblings, context: self.seal(&context, name) })
    }

    /// A context for a client.
    pub(super) fn seal(&self, context: &ClientContext, name: &ObjectName) -> alloc::string::String {
        context
            .seal(&self.context_key, self.config.cluster, name)
            .expect("contexts of views and puts keep to the limit")
    }

    fn repair_after_get(
        &mut self,
        name: &ObjectName,
        merged: &Record,
        answers: &[(NodeId, Record)],
        without_value: &[Dot],
    ) {
        let now = self.now.monotonic;
        for write in self.read_repair.plan(now, name, merged, answers, without_value) {
            self.counters.read_repairs_sent += 1;
            // Whoever showed us the version keeps it, so this copy need not be synced at once.
            let durability = Durability::Buffered;
            if write.node == self.config.node {
                let reply_to = ReplyTo::Nobody;
                let pieces = write.pieces;
                let job = IncomingWrite {
                    reply_to,
                    register: None,
                    pieces,
                    state_of: None,
                    acknowledging: false,
                    durability,
                    deadline: None,
                };
                self.replica.submit(name, Place::Own, Job::Write(job));
            } else {
                // Sibling by sibling, so that no number of them outgrows a frame.
                for piece in write.pieces {
                    let message = PeerMessage::Write(ReplicaWrite {
                        operation: None,
                        name: name.clone(),
                        register: None,
                        hint: None,
                        pieces: Vec::from([piece]),
                        durability,
                        remaining_ms: TIMEOUT_MS_MAX,
                    });
                    self.send(write.node, Lane::Background, message);
                }
            }
        }
    }

    pub(super) fn read_reply_received(&mut self, from: NodeId, reply: ReplicaReadReply) {
        let operation = reply.operation;
        if self.is_explaining(operation) {
            // What a replica has does not depend on the bucket's settings.
            return self.read_answered(operation, from, reply.outcome, reply.known);
        }
        let Some(bucket) = self.bucket_of(operation) else {
            return;
        };
        if reply.settings_version > self.buckets.get(&bucket).version {
            let version = reply.settings_version;
            return self.gate(from, operation, bucket, version, PeerMessage::ReadReply(reply));
        }
        self.health.queue_reported(from, reply.queue);
        self.read_answered(operation, from, reply.outcome, reply.known);
    }

    /// A node that was asked goes by another register. If that is behind, it was told, and is asked again;
    /// else the get begins anew where the register has the partition now.
    fn get_was_stale(&mut self, id: OperationId, mut get: GetOperation, from: NodeId) {
        let partition = self.registers.partition_of(Position::of_object(&get.name));
        let is_same = self.was_stale(from, partition, get.register);
        let goes_on = get.resent < STALE_MAX && get.purpose.is_some();
        if goes_on && is_same && from != self.config.node {
            get.resent += 1;
            self.ask_for_get(id, &mut get, from, u32::MAX);
            return self.keep(id, Operation::Get(get));
        }
        if goes_on
            && !is_same
            && let Some(purpose) = get.purpose.take()
        {
            self.timers.set(id, None);
            let GetOperation { name, options, deadline, resent, .. } = get;
            return self.begin_get_again(purpose, name, options, deadline, resent + 1);
        }
        let now = self.now.monotonic;
        get.machine.handle(now, GetEvent::Answered { from, outcome: ReadOutcome::Stale });
        self.drive_get(id, get);
    }

    /// A replica, which may be this node, answered a read.
    pub(super) fn read_answered(
        &mut self,
        id: OperationId,
        from: NodeId,
        outcome: ReadOutcome,
        known: Option<dynamo_messages::KnownRequest>,
    ) {
        let now = self.now.monotonic;
        match self.take(id) {
            Some(Operation::Get(get)) if outcome == ReadOutcome::Stale => {
                self.get_was_stale(id, get, from);
            }
            Some(Operation::Get(mut get)) => {
                // The latency is that of the first piece: the others came along with it.
                if let Some(asked) = get.asked.remove(&from) {
                    let latency = now.saturating_since(asked);
                    self.health.request_answered(from, now, latency);
                    self.read_latency.record(latency);
                    self.read_took(latency);
                }
                get.machine.handle(now, GetEvent::Answered { from, outcome });
                self.drive_get(id, get);
            }
            Some(Operation::Check { mut machine, intent }) => {
                machine.answered(now, from, &outcome, known);
                self.drive_check(id, machine, intent);
            }
            Some(Operation::Explain(explain)) => {
                self.explain_event(id, explain, ExplainEvent::Answered { from, outcome });
            }
            Some(other) => self.keep(id, other),
            None => {}
        }
    }
}
