//! Hints that this node keeps for others: handing them over (Paper §4.6).
//!
//! A hint that cannot be read is passed over, so that those behind it get through, and removed: it
//! would be met by every pass, and be counted as waiting for ever.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_membership::MemberStatus;
use dynamo_messages::{OperationId, PeerMessage, ReplicaWrite, WriteOutcome};
use dynamo_repair::budget::Work;
use dynamo_repair::hinted_handoff::{
    DeliveryId, HandoffEffect, HandoffEvent, HintRow, HintedHandoff,
};
use dynamo_types::limits::TIMEOUT_MS_MAX;
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Durability, NodeId, ObjectName, Position};
use dynamo_versioning::Record;

use super::Node;
use super::budget::units_of_record;
use crate::effect::{Column, Effect, Lane, ScanId};
use crate::event::ScannedRow;
use crate::replica::{IncomingWrite, Job, Place, ReplyTo};
use crate::rows;

/// Bytes of hints that one reading may bring.
const SCAN_BYTES_MAX: u32 = 1 << 20;

/// A hint on its way to its target.
#[derive(Debug)]
struct Delivery {
    /// For whom it is kept.
    intended: NodeId,
    /// Who gets it: that node, or another member of the partition if that one is none any more.
    target: NodeId,
    name: ObjectName,
    /// What was sent; the hint goes only if it is still the same.
    record: Record,
    /// Pieces that the target has not confirmed, by the operation that each was sent under.
    open: Vec<OperationId>,
}

/// Handing hints over.
#[derive(Debug)]
pub(super) struct Handoff {
    pub(super) machine: HintedHandoff,
    deliveries: BTreeMap<DeliveryId, Delivery>,
    /// The delivery that each piece under way belongs to.
    pieces: BTreeMap<OperationId, DeliveryId>,
    /// For whom each scan is.
    scans: BTreeMap<ScanId, NodeId>,
}

impl Handoff {
    pub(super) fn new(machine: HintedHandoff) -> Self {
        Self {
            machine,
            deliveries: BTreeMap::new(),
            pieces: BTreeMap::new(),
            scans: BTreeMap::new(),
        }
    }
}

impl Node {
    pub(super) fn handoff_event(&mut self, event: HandoffEvent) {
        self.handoff.machine.handle(self.now.monotonic, event);
        self.drive_handoff();
    }

    pub(super) fn handoff_timeout(&mut self) {
        self.handoff.machine.handle_timeout(self.now.monotonic);
        self.drive_handoff();
    }

    fn drive_handoff(&mut self) {
        while let Some(effect) = self.handoff.machine.poll_effect() {
            match effect {
                HandoffEffect::Scan { target, after, rows_max } => {
                    self.scan_hints(target, after, rows_max);
                }
                HandoffEffect::Deliver { delivery, target, hint } => {
                    self.deliver_hint(delivery, target, hint);
                }
            }
        }
        let machine = &self.handoff.machine;
        let deliveries = &mut self.handoff.deliveries;
        deliveries.retain(|delivery, _| machine.is_under_way(*delivery));
        self.handoff.pieces.retain(|_, delivery| deliveries.contains_key(delivery));
    }

    fn scan_hints(&mut self, target: NodeId, after: Option<Bytes>, rows_max: u32) {
        let (first, to) = rows::hint_range(target);
        let from = after.map_or(first, |row| rows::behind(&row));
        let scan = ScanId(self.replica.next_load().0);
        self.handoff.scans.insert(scan, target);
        let (column, bytes_max) = (Column::Hints, SCAN_BYTES_MAX);
        self.effects.push_back(Effect::Scan { scan, column, from, to, rows_max, bytes_max });
    }

    /// Rows of hints were read. Says whether the scan was one of hints.
    pub(super) fn hints_scanned(
        &mut self,
        scan: ScanId,
        rows: &[ScannedRow],
        end: bool,
        failed: bool,
    ) -> bool {
        let Some(target) = self.handoff.scans.remove(&scan) else {
            return false;
        };
        if failed {
            self.counters.loads_failed += 1;
            self.handoff_event(HandoffEvent::ScanFailed(target));
            return true;
        }
        let mut hints = Vec::new();
        for row in rows {
            let Some((_, _, name)) = rows::parse_hint_key(&row.key) else {
                self.counters.rows_damaged += 1;
                continue;
            };
            match row.value.as_ref().and_then(rows::decode_hint) {
                Some((_, stored)) => {
                    hints.push(HintRow { row: row.key.clone(), name, record: stored.record });
                }
                // Whoever else took the write still has it, and exchanges it. The row is read once
                // more before it goes.
                None => {
                    let job = Job::DropRottenHint(target);
                    self.replica.submit(&name, Place::Hint(target), job);
                }
            }
        }
        let reached = rows.last().map(|row| row.key.clone());
        self.handoff_event(HandoffEvent::Scanned { target, rows: hints, reached, end });
        true
    }

    /// Sends a hint, sibling by sibling.
    fn deliver_hint(&mut self, delivery: DeliveryId, target: NodeId, hint: HintRow) {
        let HintRow { name, record, .. } = hint;
        let intended = target;
        let Some(target) = self.recipient_of(intended, &name) else {
            return self.handoff_event(HandoffEvent::Refused(delivery));
        };
        if target == self.config.node {
            return self.take_own_hint(delivery, intended, name, record);
        }
        self.spend(Work::Upkeep, units_of_record(record.encoded_len()));
        let mut open = Vec::new();
        for piece in record.pieces() {
            let operation = self.send_delayed(target, &name, piece);
            open.push(operation);
            self.handoff.pieces.insert(operation, delivery);
        }
        let of = Delivery { intended, target, name, record, open };
        self.handoff.deliveries.insert(delivery, of);
    }

    /// Hands over a piece of a record that this node keeps for others and removes on the strength of the
    /// answer to this operation.
    pub(super) fn send_delayed(
        &mut self,
        to: NodeId,
        name: &ObjectName,
        piece: Record,
    ) -> OperationId {
        let operation = self.new_operation();
        let message = PeerMessage::Write(ReplicaWrite {
            operation: Some(operation),
            name: name.clone(),
            register: None,
            hint: None,
            pieces: Vec::from([piece]),
            durability: Durability::Synced,
            remaining_ms: TIMEOUT_MS_MAX,
        });
        self.send(to, Lane::Background, message);
        operation
    }

    /// Who gets a hint: hints go to the members of the register as it is at delivery (protocol rule 7).
    fn recipient_of(&self, intended: NodeId, name: &ObjectName) -> Option<NodeId> {
        let partition = self.registers.partition_of(Position::of_object(name));
        let is_holder = self.registers.is_holder(partition, intended) && !self.is_removed(intended);
        if is_holder && self.is_reachable(intended) {
            return Some(intended);
        }
        let here = self.members().get(self.config.node).map(|member| member.status);
        // A leaver waits for nobody (history 24).
        let leaves = here == Some(MemberStatus::Leaving);
        if (is_holder || planted(PlantedBug::HintsWaitForFormerMembers)) && !leaves {
            return None;
        }
        let holders = self.registers.holders(partition);
        self.ranked(holders.into_iter()).into_iter().find(|node| self.is_healthy(*node))
    }

    /// A hint whose partition has become this node's own.
    fn take_own_hint(
        &mut self,
        delivery: DeliveryId,
        intended: NodeId,
        name: ObjectName,
        record: Record,
    ) {
        let operation = self.new_operation();
        self.handoff.pieces.insert(operation, delivery);
        let job = IncomingWrite {
            reply_to: ReplyTo::Local(operation),
            register: None,
            pieces: record.pieces().collect(),
            state_of: None,
            acknowledging: false,
            durability: Durability::Synced,
            deadline: None,
        };
        let target = self.config.node;
        let open = Vec::from([operation]);
        let of = Delivery { intended, target, name: name.clone(), record, open };
        self.handoff.deliveries.insert(delivery, of);
        self.replica.submit(&name, Place::Own, Job::Write(job));
    }

    /// A target answered a piece of a hint. Says whether the operation was one of a delivery.
    pub(super) fn hint_answered(
        &mut self,
        operation: OperationId,
        from: NodeId,
        outcome: WriteOutcome,
    ) -> bool {
        let Some(delivery) = self.handoff.pieces.get(&operation).copied() else {
            return false;
        };
        let Some(of) = self.handoff.deliveries.get_mut(&delivery) else {
            return true;
        };
        if of.target != from {
            return true;
        }
        if outcome != (WriteOutcome::Stored { synced: true }) {
            self.handoff_event(HandoffEvent::Refused(delivery));
            return true;
        }
        of.open.retain(|open| *open != operation);
        self.handoff.pieces.remove(&operation);
        if of.open.is_empty()
            && let Some(Delivery { intended, name, record, .. }) =
                self.handoff.deliveries.remove(&delivery)
        {
            self.counters.hints_delivered += 1;
            self.replica.submit(&name, Place::Hint(intended), Job::HintTaken { intended, record });
            self.handoff_event(HandoffEvent::Taken(delivery));
        }
        true
    }
}
