//! A minted version on its way to the replicas, and copies on their way back.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use dynamo_coordination::put::{
    Copy, Placement, PutAcknowledgements, PutEffect, PutEvent, PutPlan,
};
use dynamo_membership::MemberStatus;
use dynamo_messages::{
    Failure, HintFor, OperationId, PeerMessage, Receipt, ReplicaWrite, ReplicaWriteReply, Reply,
    WriteOutcome,
};
use dynamo_types::limits::TIMEOUT_MS_MAX;
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Bucket, Durability, NodeId, Position};
use dynamo_versioning::{Applied, ClientContext, Record};

use super::Node;
use super::operations::{Operation, PutOperation};
use super::puts::{PutIntent, RETRY_AFTER_MS};
use crate::effect::Lane;
use crate::replica::{IncomingWrite, Job, Place, ReplyTo};

/// How often a put or a get begins anew because of registers that have moved. Each time somebody has
/// learned something; more often than a partition moves within a deadline is a sign of a node that does not
/// learn.
pub(super) const STALE_MAX: u8 = 16;

impl Node {
    /// The slot minted the version: it is being stored here, and is sent now.
    pub(super) fn minted(&mut self, id: OperationId, applied: Applied) {
        let (intent, place, is_stale) = match self.take(id) {
            Some(Operation::Minting { intent, place, register }) => {
                let partition = self.registers.partition_of(Position::of_object(&intent.name));
                (intent, place, register != self.registers.tag(partition))
            }
            // The deadline passed in the same moment; the version stands, the client was told so.
            Some(other) => return self.keep(id, other),
            None => return,
        };
        let context = ClientContext::of_put(&applied, Some(self.config.node));
        self.replicate(id, intent, place, &context, vec![applied.write], false);
        // The register has moved in the same moment: this node's copy does not count under it.
        if is_stale && let Some(Operation::Put(put)) = self.take(id) {
            self.timers.set(id, None);
            self.replicate_again(put);
        }
    }

    /// Sends pieces to the other holders and counts copies, this node's at `place` included.
    /// `made_before` says that an earlier attempt made the version.
    pub(super) fn replicate(
        &mut self,
        id: OperationId,
        intent: PutIntent,
        place: Place,
        context: &ClientContext,
        pieces: Vec<Record>,
        made_before: bool,
    ) {
        let partition = self.registers.partition_of(Position::of_object(&intent.name));
        let register = self.registers.tag(partition);
        let placements = self.place_copies(Position::of_object(&intent.name), place);
        let durability = self.buckets.get(&intent.name.bucket).settings.durability;
        let stand_in_at = self.now.monotonic + self.config.timing.stand_in_delay;
        let machine = PutAcknowledgements::new(PutPlan {
            placements: placements.list.clone(),
            unplaced: placements.unplaced,
            sets: self.registers.write_sets(partition),
            needed: intent.needed,
            strict: intent.options.strict,
            stand_in_at,
            deadline: intent.deadline,
            made_before,
        });
        let mut put = PutOperation {
            machine,
            origin: intent.origin,
            context: self.seal(context, &intent.name),
            name: intent.name,
            pieces,
            deadline: intent.deadline,
            options: intent.options,
            needed: intent.needed,
            register,
            resent: 0,
            sent: BTreeMap::new(),
        };
        let here = self.config.node;
        let others: Vec<Placement> =
            placements.list.into_iter().filter(|copy| copy.holder != here).collect();
        for (number, copy) in others.iter().enumerate() {
            // Paper §6.1: one replica writes durably; the slowest, since the client rarely waits
            // for it. A hint outlives its fallback's process, or it would be none.
            let last = number + 1 == others.len();
            let durable = last || copy.is_hint();
            let durability = if durable { Durability::Synced } else { durability };
            self.send_copy(id, &mut put, *copy, true, durability);
        }
        self.drive_put(id, put);
    }

    fn send_copy(
        &mut self,
        id: OperationId,
        put: &mut PutOperation,
        copy: Placement,
        acknowledging: bool,
        durability: Durability,
    ) {
        // A courtesy is still worth its way when the client has given up.
        let remaining_ms = if acknowledging {
            self.remaining_ms(put.deadline)
        } else {
            self.remaining_ms(self.now.monotonic + self.config.timing.request_timeout)
        };
        let hint = copy.is_hint().then_some(HintFor { intended: copy.member, acknowledging });
        let write = ReplicaWrite {
            operation: Some(id),
            name: put.name.clone(),
            register: Some(put.register),
            hint,
            pieces: put.pieces.clone(),
            durability,
            remaining_ms,
        };
        put.sent.insert(copy.holder, self.now.monotonic);
        self.health.request_sent(copy.holder, self.now.monotonic);
        self.send(copy.holder, Self::lane_of(&put.name), PeerMessage::Write(write));
    }

    /// Lets a fallback keep a copy for a member that refused, is lost or stays silent.
    fn stand_in(
        &mut self,
        id: OperationId,
        put: &mut PutOperation,
        member: NodeId,
        acknowledging: bool,
    ) {
        let partition = self.registers.partition_of(Position::of_object(&put.name));
        let holders: Vec<NodeId> = put.machine.holders().collect();
        match self.another_fallback(partition, &holders) {
            Some(holder) if holder == self.config.node => {
                // Only a fallback coordinates without being among the holders, and it is one.
                put.machine.handle(PutEvent::NoStandIn { member });
            }
            Some(holder) => {
                self.counters.stand_ins_asked += 1;
                let copy = Placement { member, holder };
                self.send_copy(id, put, copy, acknowledging, Durability::Synced);
                put.machine.handle(PutEvent::StandIn(copy));
            }
            None => put.machine.handle(PutEvent::NoStandIn { member }),
        }
    }

    /// Tells the client what came of a put, once that is decided.
    pub(super) fn drive_put(&mut self, id: OperationId, mut put: PutOperation) {
        while let Some(effect) = put.machine.poll_effect() {
            let reply = match effect {
                PutEffect::WantStandIn { member, acknowledging } => {
                    self.stand_in(id, &mut put, member, acknowledging);
                    continue;
                }
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
            let member = self.members().get(node);
            member.map(|member| member.details.zone.as_str())
        };
        let zones: BTreeSet<Option<&str>> =
            copies.iter().map(|copy| zone_of(copy.placement.holder)).collect();
        Receipt {
            copies: count(copies.len()),
            synced: count(copies.iter().filter(|copy| copy.synced).count()),
            nodes: count(copies.len()),
            zones: count(zones.len()),
            hints: count(copies.iter().filter(|copy| copy.placement.is_hint()).count()),
        }
    }

    pub(super) fn write_reply_received(&mut self, from: NodeId, reply: ReplicaWriteReply) {
        if self.hint_answered(reply.operation, from, reply.outcome)
            || self.leftover_answered(reply.operation, from, reply.outcome)
        {
            return;
        }
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
            Some(Operation::Put(put)) if outcome == WriteOutcome::Stale => {
                self.put_was_stale(id, put, from);
            }
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

    /// A holder goes by another register. If that is behind, it was told, and gets the version again; else
    /// the put begins anew under what this node has learned: what was counted so far says nothing of the
    /// sets that there are now (protocol rule 8).
    fn put_was_stale(&mut self, id: OperationId, mut put: PutOperation, from: NodeId) {
        let partition = self.registers.partition_of(Position::of_object(&put.name));
        let mut is_same = self.was_stale(from, partition, put.register);
        if planted(PlantedBug::PutKeepsItsSets) {
            (is_same, put.register) = (true, self.registers.tag(partition));
        }
        let goes_on = put.resent < STALE_MAX && !put.machine.is_decided();
        if goes_on && is_same && from != self.config.node {
            put.resent += 1;
            if let Some(copy) = put.machine.awaited_from(from) {
                let acknowledging = true;
                self.send_copy(id, &mut put, copy, acknowledging, Durability::Synced);
            }
            return self.keep(id, Operation::Put(put));
        }
        if goes_on && !is_same {
            return self.replicate_again(put);
        }
        put.machine.handle(PutEvent::Answered { from, outcome: WriteOutcome::Stale });
        self.drive_put(id, put);
    }

    /// Sends a version anew to everybody that the register asks for now, this node's own copy included.
    fn replicate_again(&mut self, put: PutOperation) {
        let id = self.new_operation();
        let position = Position::of_object(&put.name);
        let partition = self.registers.partition_of(position);
        let register = self.registers.tag(partition);
        let place = self.own_place(position);
        let placements = self.place_copies(position, place);
        let durability = self.buckets.get(&put.name.bucket).settings.durability;
        let machine = PutAcknowledgements::new(PutPlan {
            placements: placements.list.clone(),
            unplaced: placements.unplaced,
            sets: self.registers.write_sets(partition),
            needed: put.needed,
            strict: put.options.strict,
            stand_in_at: self.now.monotonic + self.config.timing.stand_in_delay,
            deadline: put.deadline,
            made_before: true,
        });
        let mut again = PutOperation {
            machine,
            register,
            resent: put.resent + 1,
            sent: BTreeMap::new(),
            ..put
        };
        let here = self.config.node;
        for copy in placements.list.into_iter().filter(|copy| copy.holder != here) {
            let durability = if copy.is_hint() { Durability::Synced } else { durability };
            self.send_copy(id, &mut again, copy, true, durability);
        }
        let job = IncomingWrite {
            reply_to: ReplyTo::Local(id),
            register: Some(register),
            pieces: again.pieces.clone(),
            state_of: None,
            acknowledging: place != Place::Own,
            durability: Durability::Synced,
            deadline: Some(again.deadline),
        };
        let name = again.name.clone();
        self.drive_put(id, again);
        self.replica.submit(&name, place, Job::Write(job));
    }

    pub(super) fn replica_write_received(&mut self, from: NodeId, write: ReplicaWrite) {
        let reply_to = match write.operation {
            Some(operation) => {
                ReplyTo::Peer { node: from, operation, bucket: write.name.bucket.clone() }
            }
            None => ReplyTo::Nobody,
        };
        let partition = self.registers.partition_of(Position::of_object(&write.name));
        if let Some(register) = write.register
            && register != self.registers.tag(partition)
            && !planted(PlantedBug::StaleWritesTaken)
        {
            // Answers take this lane.
            self.tell_register(from, Lane::Foreground(0), partition);
            if let ReplyTo::Peer { node, operation, bucket } = reply_to {
                self.send_write_reply(node, operation, &bucket, WriteOutcome::Stale);
            }
            return;
        }
        let here = self.config.node;
        let status = self.members().get(here).map(|member| member.status);
        // One that is on its way out gets rid of hints.
        let keeps_hints = status < Some(MemberStatus::Leaving);
        let is_holder = self.registers.is_holder(partition, here);
        let place = match write.hint {
            // What is delayed is taken by whoever still has a part in the partition.
            None if is_holder => Some(Place::Own),
            Some(hint)
                if keeps_hints
                    && !is_holder
                    && self.registers.is_holder(partition, hint.intended) =>
            {
                Some(Place::Hint(hint.intended))
            }
            None | Some(_) => None,
        };
        let Some(place) = place else {
            self.counters.messages_refused += 1;
            if let ReplyTo::Peer { node, operation, bucket } = reply_to {
                self.send_write_reply(node, operation, &bucket, WriteOutcome::Overloaded);
            }
            return;
        };
        let remaining_ms = write.remaining_ms.min(TIMEOUT_MS_MAX);
        let job = IncomingWrite {
            reply_to,
            register: write.register,
            pieces: write.pieces,
            state_of: None,
            acknowledging: write.hint.is_some_and(|hint| hint.acknowledging),
            durability: write.durability,
            deadline: Some(self.deadline_in(remaining_ms)),
        };
        self.replica.submit(&write.name, place, Job::Write(job));
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
