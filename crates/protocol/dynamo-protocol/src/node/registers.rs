//! Registers of partitions: what this node learns, promises and votes, and what follows from that.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_membership::MemberStatus;
use dynamo_messages::PeerMessage;
use dynamo_messages::peer::REGISTERS_PER_MESSAGE;
use dynamo_register::{AcceptorEffect, Answer, Register, Request};
use dynamo_repair::anti_entropy::AntiEntropyEvent;
use dynamo_types::{NodeId, PartitionId, RegisterTag};

use super::Node;
use crate::effect::{Column, Lane, StoreWrite};
use crate::replica::MetaTag;
use crate::rows;

impl Node {
    /// Whether a node was removed: nobody waits for it any more.
    pub(super) fn is_removed(&self, node: NodeId) -> bool {
        self.members().get(node).is_some_and(|member| member.status == MemberStatus::Removed)
    }

    /// Takes over what somebody knows of a register.
    pub(super) fn learn_register(&mut self, id: PartitionId, register: &Register) {
        if *register > *self.registers.register(id) {
            self.registers.acceptor(id).learn(register);
            self.drive_acceptor(id);
        }
    }

    /// Other nodes tell what they know of registers.
    pub(super) fn registers_received(&mut self, from: NodeId, told: &[(PartitionId, Bytes)]) {
        for (id, bytes) in told {
            match self.registers.decode(*id, bytes) {
                Some(register) => {
                    self.learn_register(*id, &register);
                    self.told_register(*id, from, &register);
                }
                None => self.counters.messages_refused += 1,
            }
        }
    }

    /// To a node that has forgotten what it promised this is one voice of the majority that it needs.
    fn told_register(&mut self, id: PartitionId, from: NodeId, register: &Register) {
        if !self.registers.takes_part(id) {
            self.registers.acceptor(id).told(from, register);
            self.drive_acceptor(id);
            self.renew_standing(id);
        }
    }

    /// A driver asks this node to promise, to vote, or to learn.
    pub(super) fn register_request_received(
        &mut self,
        from: NodeId,
        id: PartitionId,
        bytes: &[u8],
    ) {
        let request = Request::decode(bytes).ok().filter(|request| {
            let (Request::Promise(shown) | Request::Accept(shown) | Request::Learn(shown)) =
                request;
            self.registers.is_plausible(id, shown)
        });
        let Some(request) = request else {
            self.counters.messages_refused += 1;
            return;
        };
        self.register_requested(from, id, request);
    }

    pub(super) fn register_requested(&mut self, from: NodeId, id: PartitionId, request: Request) {
        let votes = !matches!(request, Request::Learn(_));
        if votes && !self.may_vote(id) {
            // Its disk may be one that was set back: the others say soon by what they know it. It learns
            // all the same.
            let (Request::Promise(shown) | Request::Accept(shown) | Request::Learn(shown)) =
                request;
            self.registers.acceptor(id).handle(from, Request::Learn(shown));
        } else {
            self.registers.acceptor(id).handle(from, request);
        }
        self.drive_acceptor(id);
    }

    pub(super) fn register_answer_received(&mut self, from: NodeId, id: PartitionId, bytes: &[u8]) {
        let answer = Answer::decode(bytes).ok();
        match answer.filter(|answer| self.registers.is_plausible(id, &answer.register)) {
            Some(answer) => self.register_answered(from, id, &answer),
            None => self.counters.messages_refused += 1,
        }
    }

    pub(super) fn register_answered(&mut self, from: NodeId, id: PartitionId, answer: &Answer) {
        self.learn_register(id, &answer.register);
        self.told_register(id, from, &answer.register);
        self.driver_answered(from, id, answer);
    }

    /// Does what an acceptor asks, and what follows if the register is another one now.
    pub(super) fn drive_acceptor(&mut self, id: PartitionId) {
        if let Some(before) = self.registers.refresh(id) {
            self.register_changed(id, &before);
        }
        while let Some(effect) = self.registers.acceptor(id).poll_effect() {
            match effect {
                AcceptorEffect::Store { number, state } => {
                    let row = StoreWrite::Put {
                        column: Column::Meta,
                        key: rows::register_key(id),
                        value: state.encode(),
                    };
                    self.replica.store_meta(Vec::from([row]), MetaTag::Register(id, number));
                }
                AcceptorEffect::Answer { to, answer } if to == self.config.node => {
                    self.driver_answered(to, id, &answer);
                }
                AcceptorEffect::Answer { to, answer } => {
                    let message =
                        PeerMessage::RegisterAnswer { partition: id, bytes: answer.encode() };
                    self.send(to, Lane::Background, message);
                }
            }
        }
    }

    /// A store of a register's row ended.
    pub(super) fn register_stored(&mut self, id: PartitionId, number: u64, stored: bool) {
        if stored {
            self.registers.acceptor(id).stored(number);
            if self.registers.is_synced(id) {
                self.replica.standing_synced(id);
                self.standing_is_synced(id);
            }
            self.drive_acceptor(id);
        } else {
            self.moves.unsaved.insert(id);
        }
    }

    /// A register has become another one.
    fn register_changed(&mut self, id: PartitionId, before: &Register) {
        let after = *self.registers.register(id);
        self.counters.registers_changed += 1;
        self.moves.restless = true;
        self.moves.changed.insert(id);
        self.move_changed(id, before, &after);
        if before.asks_as(&after) {
            return;
        }
        let old = before.everyone();
        // A force counts on nodes that it brings in as little as on joiners: only who held the partition in
        // the epoch before has a copy that counts.
        let here = self.config.node;
        let held = before.cleaned().epoch.number.saturating_add(1) >= after.epoch.number
            && before.settled_set().contains(here);
        let is_forced = before.epoch.force != after.epoch.force;
        self.set_standing(id, is_forced && !held);
        self.fallback_orders.remove(&id);
        self.repair_event(AntiEntropyEvent::RegisterChanged { partition: id });
        let new = after.everyone();
        self.moves.reshare.extend(old.iter().chain(&new).filter(|node| **node != here));
        // Who shares the partition with this node from now on has not said by what it knows it.
        for node in new.into_iter().filter(|node| *node != here && !old.contains(node)) {
            if self.is_reachable(node) {
                self.tell_known_checkpoints(node, &[id]);
            }
        }
    }

    /// The replica learns how this node stands to a partition now.
    pub(super) fn renew_standing(&mut self, id: PartitionId) {
        self.set_standing(id, false);
    }

    fn set_standing(&mut self, id: PartitionId, begins_anew: bool) {
        let mut standing = self.registers.standing(id, |node| self.is_removed(node));
        standing.begins_anew = begins_anew;
        self.replica.set_standing(id, standing, &mut self.counters);
        if self.registers.is_synced(id) {
            self.replica.standing_synced(id);
        }
        self.clock_durable(id);
    }

    /// The register and all that was written under earlier ones is synced.
    fn standing_is_synced(&mut self, id: PartitionId) {
        self.clock_durable(id);
        self.exchange_for_move(id);
    }

    /// This node's disk was set back behind what it promised.
    pub(super) fn rolled_back(&mut self, id: PartitionId) {
        self.moves.restless = true;
        self.registers.acceptor(id).rolled_back();
        self.drive_acceptor(id);
        self.renew_standing(id);
        self.ask_registers_of(id);
    }

    /// Asks all members of a partition for its register.
    pub(super) fn ask_registers_of(&mut self, id: PartitionId) {
        let here = self.config.node;
        let register = *self.registers.register(id);
        let request = Request::Learn(register).encode();
        for node in register.everyone().into_iter().filter(|node| *node != here) {
            if self.is_reachable(node) {
                let bytes = request.clone();
                let message = PeerMessage::RegisterRequest { partition: id, bytes };
                self.send(node, Lane::Background, message);
            }
        }
    }

    /// Tells who goes by another register what this node knows.
    pub(super) fn tell_register(&mut self, to: NodeId, lane: Lane, id: PartitionId) {
        let registers = Vec::from([(id, self.registers.register(id).encode())]);
        self.send(to, lane, PeerMessage::Registers { registers });
    }

    /// Another node goes by another register than the message that this node sent it. It has told its own
    /// before. If this node's is ahead, it is told. Whether this node's is still that of the message.
    pub(super) fn was_stale(&mut self, from: NodeId, id: PartitionId, sent: RegisterTag) -> bool {
        self.counters.requests_stale += 1;
        let is_same = self.registers.tag(id) == sent;
        if is_same && from != self.config.node {
            // On the lane of what is sent again behind it.
            for lane in 0..Lane::FOREGROUND {
                self.tell_register(from, Lane::Foreground(lane), id);
            }
        }
        is_same
    }

    /// Tells the anti-entropy with whom this node shares what, where that has changed.
    pub(super) fn reshare(&mut self) {
        for node in core::mem::take(&mut self.moves.reshare) {
            let shared = self.replica.shared_with(node);
            self.repair_event(AntiEntropyEvent::SharedWith { node, shared });
        }
    }

    // Gossip of registers: digests by groups, once a second with a random member.

    pub(super) fn registers_fingerprint(&self) -> u128 {
        let wanted = self.moves.wanted_digest();
        self.registers.fingerprint().wrapping_add(wanted.rotate_left(1))
    }

    pub(super) fn registers_fingerprint_received(&mut self, from: NodeId, fingerprint: u128) {
        if fingerprint != self.registers_fingerprint() {
            let groups = self.registers.groups().to_vec();
            self.send(from, Lane::Background, PeerMessage::RegisterGroups { groups });
            self.send_wanted_layout(from);
        }
    }

    pub(super) fn register_groups_received(&mut self, from: NodeId, groups: &[u128]) {
        let own = self.registers.groups();
        if groups.len() != own.len() {
            self.counters.messages_refused += 1;
            return;
        }
        let differ = own.iter().zip(groups).enumerate().filter(|(_, (own, theirs))| own != theirs);
        let groups = differ.fold(0, |set, (place, _)| set | 1 << place);
        self.send_wanted_layout(from);
        if groups != 0 {
            self.send_registers_in(from, groups);
            self.send(from, Lane::Background, PeerMessage::AskRegisterGroups { groups });
        }
    }

    pub(super) fn send_registers_in(&mut self, to: NodeId, groups: u64) {
        let registers = self.registers.in_groups(groups);
        for some in registers.chunks(REGISTERS_PER_MESSAGE) {
            let registers = some.to_vec();
            self.send(to, Lane::Background, PeerMessage::Registers { registers });
        }
    }

    /// Passes on what was learned since the last round, at once: to all if this node has to do with it, so
    /// that a move is known everywhere within a moment.
    pub(super) fn pass_on_registers(&mut self) {
        let changed = core::mem::take(&mut self.moves.changed);
        let here = self.config.node;
        let told: Vec<(PartitionId, Bytes)> = changed
            .into_iter()
            // One speaks for all: the first of its set that is up.
            .filter(|id| self.speaks_for(*id) == Some(here))
            .map(|id| (id, self.registers.register(id).encode()))
            .collect();
        if told.is_empty() {
            return;
        }
        for node in self.connected_members() {
            for some in told.chunks(REGISTERS_PER_MESSAGE) {
                let registers = some.to_vec();
                self.send(node, Lane::Background, PeerMessage::Registers { registers });
            }
        }
    }

    fn speaks_for(&self, id: PartitionId) -> Option<NodeId> {
        let everyone = self.registers.register(id).everyone();
        everyone.into_iter().find(|node| self.is_healthy(*node))
    }

    /// Whether this node's votes may be asked for: the other members have said by what they know its disk,
    /// enough of them that one would know of a later one.
    fn may_vote(&self, id: PartitionId) -> bool {
        let register = self.registers.register(id);
        let others: BTreeSet<NodeId> =
            register.current.iter().filter(|node| *node != self.config.node).collect();
        let needed = register.majority().saturating_sub(1).min(others.len());
        !register.current.contains(self.config.node) || self.replica.met_of(id, &others) >= needed
    }
}
