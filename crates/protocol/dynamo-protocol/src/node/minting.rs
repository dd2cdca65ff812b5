//! A put at its coordinator until its version is minted: retries, deletes without a context, the slot.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_coordination::known_request::{KnownRequestCheck, KnownRequestEffect, KnownRequestPlan};
use dynamo_messages::{Failure, Invalid, KnownRequest, OperationId, ReplicaRead};
use dynamo_types::{Durability, NodeId, Position, Reconciliation, WallTime};
use dynamo_versioning::{ClientContext, Put, Record};

use super::gets::GetPurpose;
use super::operations::Operation;
use super::puts::{PutIntent, RETRY_AFTER_MS};
use super::{Node, enough, invalid};
use crate::replica::{IncomingWrite, Job, LocalPut, Place, PutRefusal, ReplyTo};

/// How long replicas are awaited, beyond the w that have answered, before a retry may mint: long
/// enough for a replica that works, short against the client's patience.
const KNOWN_REQUEST_PATIENCE: Duration = Duration::from_millis(100);

impl Node {
    /// Asks all replicas whether an earlier attempt reached them (protocol rule 7).
    pub(super) fn check_known(&mut self, intent: PutIntent) {
        let replicas = self.who_may_know(Position::of_object(&intent.name));
        let id = self.new_operation();
        for node in &replicas {
            let question = ReplicaRead {
                operation: id,
                name: intent.name.clone(),
                value_bytes_max: u32::MAX,
                register: None,
                known: Some(intent.request),
                remaining_ms: self.remaining_ms(intent.deadline),
            };
            self.ask_replica(*node, question);
        }
        let machine = KnownRequestCheck::new(KnownRequestPlan {
            replicas,
            needed: intent.needed,
            patience: KNOWN_REQUEST_PATIENCE,
            deadline: intent.deadline,
        });
        self.drive_check(id, machine, intent);
    }

    /// The replicas that can be reached, and as many fallbacks as a sloppy quorum may have had.
    fn who_may_know(&mut self, position: Position) -> Vec<NodeId> {
        let (partition, mut asked) = self.reachable_replicas(position);
        let n = usize::from(self.registers.replication().get());
        if asked.len() < n {
            let fallbacks = self.healthy_fallbacks(partition);
            asked.extend(fallbacks.into_iter().take(n));
        }
        asked
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
    pub(super) fn cover_and_mint(&mut self, intent: PutIntent) {
        if intent.covers_what_is_read {
            let (name, options, deadline) = (intent.name.clone(), intent.options, intent.deadline);
            let purpose = GetPurpose::CoverForDelete(Box::new(intent));
            self.begin_get(purpose, name, options, deadline);
        } else {
            self.mint(intent);
        }
    }

    /// Hands a put to its key's slot.
    pub(super) fn mint(&mut self, mut intent: PutIntent) {
        self.renew_quorum(&mut intent);
        let position = Position::of_object(&intent.name);
        let partition = self.registers.partition_of(position);
        let register = self.registers.tag(partition);
        let holders = self.holders_at_hand(position, intent.options.strict);
        if let Err(failure) = enough(&holders, intent.needed) {
            self.counters.puts_failed += 1;
            return self.fail(intent.origin, failure);
        }
        let settings = self.buckets.get(&intent.name.bucket).settings;
        let expires_at = settings.expiry.map(|expiry| {
            let micros = u64::try_from(expiry.as_micros()).unwrap_or(u64::MAX);
            WallTime(self.now.wall.0.saturating_add(micros))
        });
        let place = self.own_place(position);
        let id = self.new_operation();
        // With `buffered`, one of the others syncs; only a lone replica must do it itself.
        let durability = if holders.len() == 1 { Durability::Synced } else { settings.durability };
        let put = LocalPut {
            operation: id,
            register,
            put: Put {
                context: intent.context.dots.clone(),
                context_hlc: intent.context.hlc_max,
                content: intent.content.clone(),
                expires_at,
                request: intent.request,
                digest: intent.digest,
                covers_all_held: settings.reconciliation == Reconciliation::LastWriteWins,
                // Fallbacks' rows come and go (protocol rule 1).
                may_extend: place == Place::Own,
            },
            durability,
            deadline: intent.deadline,
            siblings_max: self.config.limits.siblings_max,
        };
        let name = intent.name.clone();
        self.keep(id, Operation::Minting { intent, place, register });
        self.replica.submit(&name, place, Job::Put(put));
    }

    /// The bucket's settings may have changed while replicas were asked (history 28).
    fn renew_quorum(&self, intent: &mut PutIntent) {
        if let Ok(quorum) = self.quorum(&intent.name.bucket, &intent.options) {
            intent.needed = quorum.w();
        }
    }

    /// This replica saw the put before.
    pub(super) fn known_here(&mut self, id: OperationId, known: KnownRequest, record: &Record) {
        match self.take(id) {
            Some(Operation::Minting { intent, .. }) => {
                self.timers.set(id, None);
                self.send_known_again(intent, known, record);
            }
            Some(other) => self.keep(id, other),
            None => {}
        }
    }

    /// A put that was made before mints nothing: what replicas hold of it is sent again, and copies
    /// are counted anew (protocol rule 7).
    fn send_known_again(&mut self, mut intent: PutIntent, known: KnownRequest, record: &Record) {
        self.renew_quorum(&mut intent);
        if known.digest != intent.digest {
            self.counters.puts_failed += 1;
            return self.fail(intent.origin, request_id_reused());
        }
        self.counters.retries_recognised += 1;
        // One piece is enough: the version, or what replaced it.
        let Some(piece) = record.pieces().find(|piece| piece.covers(known.dot)) else {
            // Known, but what was read holds neither: its store may still be under way somewhere.
            // Nothing may be claimed.
            let needed = intent.needed;
            self.counters.puts_unknown += 1;
            return self.fail(intent.origin, Failure::OutcomeUnknown { reached: 0, needed });
        };
        let position = Position::of_object(&intent.name);
        let register = self.registers.tag(self.registers.partition_of(position));
        let here = Some(self.config.node);
        let context = ClientContext::of_known(&intent.context, known.dot, record.hlc_max(), here);
        let id = self.new_operation();
        let pieces = Vec::from([piece]);
        let job = IncomingWrite {
            reply_to: ReplyTo::Local(id),
            register: Some(register),
            pieces: pieces.clone(),
            state_of: None,
            acknowledging: true,
            durability: Durability::Synced,
            deadline: Some(intent.deadline),
        };
        let name = intent.name.clone();
        let place = self.own_place(position);
        self.replicate(id, intent, place, &context, pieces, true);
        self.replica.submit(&name, place, Job::Write(job));
    }

    /// The slot refused the put: nothing was applied or sent.
    pub(super) fn mint_refused(&mut self, id: OperationId, refusal: PutRefusal) {
        let intent = match self.take(id) {
            Some(Operation::Minting { intent, .. }) => intent,
            Some(other) => return self.keep(id, other),
            None => return,
        };
        self.timers.set(id, None);
        if refusal == PutRefusal::Stale && self.now.monotonic < intent.deadline {
            // Nothing was made: it begins anew where the register has it now.
            self.counters.requests_stale += 1;
            return self.mint(intent);
        }
        self.counters.puts_failed += 1;
        let failure = match refusal {
            PutRefusal::TooManySiblings(too_many) => {
                invalid(Invalid::TooManySiblings, too_many.to_string())
            }
            PutRefusal::RequestIdReused => request_id_reused(),
            PutRefusal::Overloaded | PutRefusal::Stale => {
                Failure::Overloaded { retry_after_ms: RETRY_AFTER_MS }
            }
            PutRefusal::HintsFull => Failure::StorageFull,
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
}

fn request_id_reused() -> Failure {
    let detail = "this request id was used for another put of this key".to_string();
    invalid(Invalid::RequestIdReused, detail)
}
