//! Members and settings of buckets: what is known of them, passed on, and written down.
//!
//! Both are values that merge in any order to the same result. Once a second a random other node is
//! told a digest of each, and where it knows something else the two swap what differs; a change is
//! passed on at once. What a node's own operator configured, its name and its addresses, it
//! announces itself whenever the members say otherwise, so that it can restart elsewhere.
//!
//! The members on disk are one row. It is written after every change and again while that failed;
//! what is lost all the same comes back from the others.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_membership::{
    BucketTable, Gossip, GossipConfig, GossipEffect, GossipEvent, Member, MemberDetails,
    MemberStatus, Members, Stamp,
};
use dynamo_messages::PeerMessage;
use dynamo_repair::hinted_handoff::HandoffEvent;
use dynamo_ring::Zone;
use dynamo_types::{Instant, NodeId};

use super::{Node, StartError};
use crate::config::{Announcement, MemberInfo, NodeConfig, Recovered};
use crate::counters::Counters;
use crate::effect::{Column, Effect, Lane, StoreWrite};
use crate::replica::MetaTag;
use crate::rows;

/// The members, and how they are passed on.
#[derive(Debug)]
pub(super) struct Membership {
    gossip: Gossip,
    /// The members as the shell and the failure detector were last told of them.
    told: Members,
    /// The row on disk may lack something, and no store of it is under way that might end well.
    is_unsaved: bool,
}

impl Membership {
    /// The members of the genesis, and what was written down since.
    pub(super) fn recover(
        config: &NodeConfig,
        recovered: &Recovered,
        now: Instant,
        seed: u64,
        counters: &mut Counters,
    ) -> Self {
        let mut members = Members::new();
        for info in &config.members {
            members.merge_member(info.node, &first_member(info));
        }
        if let Some(info) = &config.joins {
            let member = Member { status: MemberStatus::Joining, ..first_member(info) };
            members.merge_member(info.node, &member);
        }
        let row = recovered.meta.iter().find(|(key, _)| *key == rows::members_key());
        if let Some((_, value)) = row {
            match value.as_ref().map(|value| Members::decode(value)) {
                Some(Ok(stored)) => {
                    members.merge(&stored);
                }
                // The others tell it again.
                Some(Err(_)) | None => counters.meta_rows_damaged += 1,
            }
        }
        let gossip_config =
            GossipConfig { period: config.timing.gossip_period, ..GossipConfig::new(config.node) };
        let gossip = Gossip::new(now, gossip_config, members, seed);
        Self { gossip, told: Members::new(), is_unsaved: false }
    }

    pub(super) fn members(&self) -> &Members {
        self.gossip.members()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.gossip.poll_timeout()
    }
}

impl Node {
    /// All nodes that are or were members.
    #[must_use]
    pub fn members(&self) -> &Members {
        self.membership.members()
    }

    /// What is known of buckets' settings.
    #[must_use]
    pub fn buckets(&self) -> &BucketTable {
        &self.buckets
    }

    /// The nodes that are members now, this one too.
    pub(super) fn current_members(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.members().iter().filter(|(_, member)| member.status != MemberStatus::Removed)
    }

    pub(super) fn is_member(&self, node: NodeId) -> bool {
        self.members().get(node).is_some_and(|member| member.status != MemberStatus::Removed)
    }

    /// Whether to listen to a message. Who was removed may still ask who the members are and who holds
    /// what, and offer what it has; and who is none yet may say that it joins.
    pub(super) fn is_heard(&self, from: NodeId, message: &PeerMessage) -> bool {
        if self.is_member(from) {
            return true;
        }
        let is_known = self.members().get(from).is_some();
        match message {
            PeerMessage::Gossip { .. } => is_known || self.strangers.contains(&from),
            PeerMessage::Write(write) => {
                is_known && write.register.is_none() && write.hint.is_none()
            }
            PeerMessage::RegistersFingerprint { .. }
            | PeerMessage::RegisterGroups { .. }
            | PeerMessage::AskRegisterGroups { .. } => is_known,
            _ => false,
        }
    }

    /// Announces what is new about this node, and tells the shell of all members.
    pub(super) fn begin_membership(&mut self) -> Result<(), StartError> {
        if let Some(change) = self.own_announcement() {
            let now = self.now.monotonic;
            self.membership.gossip.handle(now, GossipEvent::Decided(change));
        }
        while let Some(effect) = self.membership.gossip.poll_effect() {
            match effect {
                GossipEffect::Refused { error, .. } => return Err(StartError::Announcement(error)),
                GossipEffect::Changed => self.save_members(),
                // Nobody is connected yet; who connects is told.
                GossipEffect::Send { .. } => {}
            }
        }
        self.tell_of_members();
        Ok(())
    }

    pub(super) fn gossip_received(&mut self, from: NodeId, bytes: Bytes) {
        self.membership_event(GossipEvent::Received { from, bytes });
    }

    pub(super) fn membership_event(&mut self, event: GossipEvent) {
        self.membership.gossip.handle(self.now.monotonic, event);
        self.drive_gossip(false);
    }

    /// A link to a member stands anew.
    pub(super) fn gossip_connected(&mut self, node: NodeId) {
        self.membership.gossip.handle(self.now.monotonic, GossipEvent::Connected(node));
        self.drive_gossip(false);
    }

    /// Does what the second's rhythm asks.
    pub(super) fn membership_timeout(&mut self) {
        let now = self.now.monotonic;
        if self.membership.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        self.membership.gossip.handle_timeout(now);
        self.drive_gossip(true);
        if self.membership.is_unsaved && !self.is_stopped() {
            self.save_members();
        }
    }

    /// Does what the gossip asks. Whom it speaks to in its rhythm is told of the buckets, too.
    fn drive_gossip(&mut self, is_rhythm: bool) {
        while let Some(effect) = self.membership.gossip.poll_effect() {
            match effect {
                GossipEffect::Send { to, bytes } => {
                    // To a member without a link it would be lost; who was removed is only answered.
                    if self.is_member(to) && !self.is_reachable(to) {
                        continue;
                    }
                    self.send(to, Lane::Background, PeerMessage::Gossip { bytes });
                    if is_rhythm {
                        let fingerprint = self.buckets.fingerprint();
                        let message = PeerMessage::BucketsFingerprint { fingerprint };
                        self.send(to, Lane::Background, message);
                        let fingerprint = self.registers_fingerprint();
                        let message = PeerMessage::RegistersFingerprint { fingerprint };
                        self.send(to, Lane::Background, message);
                    }
                }
                GossipEffect::Changed => self.members_changed(),
                GossipEffect::Refused { .. } => self.counters.gossip_refused += 1,
            }
        }
    }

    fn members_changed(&mut self) {
        self.counters.members_changed += 1;
        // A stamp that this node forgot may have come back to it: then it has to set a later one.
        if let Some(change) = self.own_announcement() {
            let now = self.now.monotonic;
            self.membership.gossip.handle(now, GossipEvent::Decided(change));
        }
        self.save_members();
        self.tell_of_members();
        self.greet_strangers();
    }

    /// This node's entry as its operator configured it, if the members say otherwise.
    fn own_announcement(&self) -> Option<Members> {
        let node = self.config.node;
        let Announcement { name, address, http_address } = self.config.announcement.as_ref()?;
        let known = &self.members().get(node)?.details;
        let details = MemberDetails {
            name: name.clone(),
            address: address.clone(),
            http_address: http_address.clone(),
            weight: known.weight,
            zone: known.zone.clone(),
        };
        if details == *known {
            return None;
        }
        let mut members = self.members().clone();
        members.set_details(node, details, node);
        Some(members)
    }

    fn save_members(&mut self) {
        self.membership.is_unsaved = false;
        let row = StoreWrite::Put {
            column: Column::Meta,
            key: rows::members_key(),
            value: self.members().encode(),
        };
        self.replica.store_meta(Vec::from([row]), MetaTag::Members);
    }

    /// A store of the members' row ended.
    pub(super) fn members_saved(&mut self, stored: bool) {
        // An older store that ends well does not make up for a newer one that was refused.
        self.membership.is_unsaved |= !stored;
    }

    /// Tells whoever works with members what is new about them.
    fn tell_of_members(&mut self) {
        let members = self.members().clone();
        let mut removed = Vec::new();
        for (node, member) in members.iter() {
            let before = self.membership.told.get(node);
            if before == Some(member) {
                continue;
            }
            let was_removed = before.is_some_and(|m| m.status == MemberStatus::Removed);
            if member.status == MemberStatus::Removed && !was_removed {
                self.health.remove(node);
                removed.push(node);
            }
            self.effects.push_back(Effect::MemberChanged { node, member: member.clone() });
        }
        self.membership.told = members;
        // Weights and zones decide who stands in for whom.
        self.fallback_orders.clear();
        let current: BTreeSet<NodeId> = self.current_members().map(|(node, _)| node).collect();
        self.probe_members(current);
        for node in removed {
            self.member_removed(node);
        }
    }

    /// Nobody waits for a removed node: not for its reports, not for what it has, not to hand over what is
    /// kept for it.
    fn member_removed(&mut self, node: NodeId) {
        self.moves.restless = true;
        let shared: Vec<_> = self.registers.involving(node).collect();
        for id in shared {
            self.renew_standing(id);
            self.moves.reshare.insert(node);
        }
        if self.hints().any(|(intended, _)| intended == node) {
            self.handoff_event(HandoffEvent::Up(node));
        }
    }

    // Settings of buckets.

    /// Another node knows other settings, or says that it knows the same.
    pub(super) fn buckets_fingerprint_received(&mut self, from: NodeId, fingerprint: u128) {
        if fingerprint != self.buckets.fingerprint() {
            let groups = self.buckets.groups().to_vec();
            self.send(from, Lane::Background, PeerMessage::BucketGroups { groups });
        }
    }

    /// Sends what differs, and asks for it.
    pub(super) fn bucket_groups_received(&mut self, from: NodeId, groups: &[u128]) {
        let Ok(groups) = groups.try_into() else {
            self.counters.messages_refused += 1;
            return;
        };
        let groups = self.buckets.differing_groups(groups);
        if groups != 0 {
            self.send_buckets_in(from, groups);
            self.send(from, Lane::Background, PeerMessage::AskBucketGroups { groups });
        }
    }
}

fn first_member(info: &MemberInfo) -> Member {
    let details = MemberDetails {
        name: info.name.clone(),
        address: info.address.clone(),
        http_address: info.http_address.clone(),
        weight: info.weight,
        zone: Zone::new(info.zone.as_str()),
    };
    let stamp = Stamp { lamport: 0, author: info.node };
    Member { status: MemberStatus::Active, stamp, details }
}
