//! The node: routes what happens to the machine that it concerns, and does what they ask.

mod anti_entropy;
mod background;
mod buckets;
mod budget;
mod changes;
mod explains;
mod forwarding;
mod gets;
mod hints;
mod leftovers;
mod lists;
mod liveness;
mod membership;
mod minting;
mod moves;
mod operations;
mod preference;
mod puts;
mod reads;
mod registers;
mod replication;
mod reports;
mod timers;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_coordination::hedge_budget::HedgeBudget;
use dynamo_membership::{BucketTable, DecodeGossipError, LatencyTracker, MemberStatus, PeerHealth};
use dynamo_messages::{
    ClusterView, Envelope, Failure, Invalid, MemberView, Options, PeerMessage, Reply, Request,
    RingView,
};
use dynamo_register::Register;
use dynamo_repair::ReadRepair;
use dynamo_repair::anti_entropy::{
    AntiEntropy, AntiEntropyConfig, AntiEntropyCounters, AntiEntropyEvent,
};
use dynamo_repair::hinted_handoff::{HandoffConfig, HandoffEvent, HintedHandoff};
use dynamo_ring::ReplicaSet;
use dynamo_types::limits::TIMEOUT_MS_MAX;
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{
    ActorId, Bucket, Instant, NodeId, Now, ObjectName, PartitionId, Position, Quorum,
};
use dynamo_versioning::{ContextKey, DotSet};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use thiserror::Error;

use crate::config::{NodeConfig, Recovered};
use crate::counters::Counters;
use crate::effect::{Effect, Lane, LoadId, ScanId};
use crate::event::{ClientId, Event};
use crate::registers::Registers;
use crate::replica::{HintCount, Replica, ReplicaEffect, ReplyTo};
use operations::{Operation, Origin};
use reads::{PendingRead, PendingScan, READS_PER_QUESTION};
use timers::Timers;

pub use dynamo_messages::OperationId;

/// Reads and scans of other nodes that may wait for the disk here. Beyond that the asker is told
/// to go elsewhere: at 50 us each this is 0.2 s of work.
const PEER_READS_MAX: usize = 4096;
/// Nodes that are no members yet and have a link. Operators add few at once; others hold no certificate
/// of the cluster's authority.
const STRANGERS_MAX: usize = 64;
/// How many requests under way still count as nearly idle: then all replicas are asked at once,
/// which costs nothing that anyone needs and hides a slow one.
const NEARLY_IDLE: usize = 1;

/// Why a node cannot start with this configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StartError {
    /// The node is no member of its cluster.
    #[error("node {0} is not among the members of the cluster")]
    NotAMember(NodeId),
    /// What the node would say of itself would be refused by all others.
    #[error("what the node says of itself would be refused")]
    Announcement(#[source] DecodeGossipError),
}

/// The whole node.
///
/// Order of calls: [`handle`](Self::handle) for what happened, as many as there are;
/// [`poll_effect`](Self::poll_effect) until it is empty; [`poll_timeout`](Self::poll_timeout) says
/// when [`handle_timeout`](Self::handle_timeout) is due, which is followed by polling effects again.
/// Time never goes back. Everything stored between two empty polls leaves as one store.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    now: Now,
    context_key: ContextKey,
    replica: Replica,
    health: PeerHealth,
    buckets: BucketTable,
    read_latency: LatencyTracker,
    hedges: HedgeBudget,
    read_repair: ReadRepair,
    handoff: hints::Handoff,
    repairs: anti_entropy::Repairs,
    reports: reports::Reports,
    background: background::Background,
    background_at: Instant,
    budget: budget::BackgroundBudget,
    membership: membership::Membership,
    registers: Registers,
    moves: moves::Moves,
    /// What is being offered of partitions that are not this node's any more.
    sweep: Option<leftovers::Sweep>,
    /// Links to nodes that are no members yet: they may make themselves known. Bounded by
    /// `STRANGERS_MAX`.
    strangers: BTreeSet<NodeId>,
    detector: liveness::Detector,
    /// Worked out as needed; see `preference`. Bounded by Q.
    fallback_orders: BTreeMap<PartitionId, Vec<NodeId>>,
    operations: BTreeMap<OperationId, Operation>,
    timers: Timers,
    next_operation: u64,
    reads: BTreeMap<LoadId, PendingRead>,
    scans: BTreeMap<ScanId, PendingScan>,
    /// Answers that speak of newer bucket settings than are known here; see `buckets`.
    gated: VecDeque<buckets::Gated>,
    /// Requests of clients and forwarded puts under way.
    requests: usize,
    checkpoint_at: Instant,
    effects: VecDeque<Effect>,
    counters: Counters,
}

impl Node {
    /// A node that starts with what its database held. The seed must differ between any two starts:
    /// the process's actor comes from it (protocol rule 1).
    ///
    /// # Errors
    /// Refuses a node that is no member of its cluster, or that announces what cannot be.
    pub fn new(
        config: NodeConfig,
        recovered: &Recovered,
        now: Now,
        seed: u64,
    ) -> Result<Self, StartError> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut actor = ActorId(rng.next_u64());
        if planted(PlantedBug::ActorReusedAfterRestart) {
            actor = ActorId(config.node.0);
        }
        let mut counters = Counters::default();
        let next_operation = rng.next_u64();
        let detector = liveness::Detector::new(&config, now, rng.next_u64());
        let membership = membership::Membership::recover(
            &config,
            recovered,
            now.monotonic,
            rng.next_u64(),
            &mut counters,
        );
        let registers = Registers::recover(&config, recovered, &mut counters);
        let is_removed = |node| {
            let member = membership.members().get(node);
            member.is_some_and(|member| member.status == MemberStatus::Removed)
        };
        let involved = registers.involving(config.node);
        let standings = involved.map(|id| (id, registers.standing(id, is_removed))).collect();
        let replica = Replica::new(&config, recovered, standings, actor, &mut counters);
        let moves = moves::Moves::recover(&config, recovered, now.monotonic, &mut counters);
        let mut node = Self {
            now,
            context_key: ContextKey::derive(&config.cluster_secret),
            replica,
            health: PeerHealth::new(),
            buckets: BucketTable::new(config.layout.replication()),
            read_latency: LatencyTracker::new(),
            hedges: HedgeBudget::new(),
            read_repair: ReadRepair::new(),
            handoff: hints::Handoff::new(HintedHandoff::new(HandoffConfig::default())),
            repairs: anti_entropy::Repairs::new(AntiEntropy::new(
                AntiEntropyConfig {
                    interval: config.timing.anti_entropy_interval,
                    pause: config.timing.anti_entropy_pause,
                    ..AntiEntropyConfig::new(config.node)
                },
                rng.next_u64(),
            )),
            reports: reports::Reports::default(),
            background: background::Background::new(now.monotonic),
            background_at: now.monotonic + config.timing.background_interval,
            budget: budget::BackgroundBudget::new(config.background, now.monotonic),
            membership,
            registers,
            moves,
            sweep: None,
            strangers: BTreeSet::new(),
            detector,
            fallback_orders: BTreeMap::new(),
            operations: BTreeMap::new(),
            timers: Timers::default(),
            next_operation,
            reads: BTreeMap::new(),
            scans: BTreeMap::new(),
            gated: VecDeque::new(),
            requests: 0,
            checkpoint_at: now.monotonic + config.timing.checkpoint_interval,
            effects: VecDeque::new(),
            counters,
            config,
        };
        // One that was removed starts: it may hold what nobody else has, and offers it.
        if node.members().get(node.config.node).is_none() {
            return Err(StartError::NotAMember(node.config.node));
        }
        node.begin_membership()?;
        node.recover_buckets(recovered);
        for id in node.registers.known_acceptors() {
            node.drive_acceptor(id);
        }
        node.share_partitions();
        node.handoff_event(HandoffEvent::Budget(node.background_share()));
        for intended in recovered.hints.keys() {
            node.handoff_event(HandoffEvent::Pending(*intended));
        }
        Ok(node)
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Now, event: Event) {
        self.now = now;
        match event {
            Event::Connected { node } => self.peer_connected(node),
            Event::Disconnected { node } => self.peer_lost(node),
            Event::Received { from, envelope } => {
                self.replica.clock.observe(envelope.hlc);
                self.received(from, envelope.message);
            }
            Event::Datagram { from, bytes } => self.datagram_received(from, bytes),
            Event::LoopLag(lag) => self.loop_lagged(lag),
            Event::Stopping => self.say_goodbye(),
            Event::Requested { client, request } => self.requested(client, request),
            Event::Loaded { load, row } => {
                if let Some(read) = self.reads.remove(&load) {
                    self.read_loaded(read, row);
                } else if !self.repair_loaded(load, &row)
                    && !self.replica.loaded(now, load, &row, &mut self.counters)
                {
                    self.counters.messages_refused += 1;
                }
            }
            Event::Stored { store, result } => {
                self.store_ended(store);
                self.replica.stored(now, store, result, &mut self.counters);
            }
            Event::Scanned { scan, rows, end, failed } => {
                if let Some(pending) = self.scans.remove(&scan) {
                    self.scanned(pending, rows, end, failed.is_some());
                } else {
                    let failed = failed.is_some();
                    let known = self.leaf_scanned(scan, &rows, end, failed)
                        || self.page_scanned(scan, &rows, end, failed)
                        || self.leftovers_scanned(scan, &rows, end, failed)
                        || self.hints_scanned(scan, &rows, end, failed);
                    self.counters.messages_refused += u64::from(!known);
                }
            }
        }
        self.settle();
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        if now.monotonic >= self.checkpoint_at {
            self.checkpoint_at = now.monotonic + self.config.timing.checkpoint_interval;
            self.replica.checkpoint(now.wall, &mut self.counters);
            self.resend_reports();
        }
        if now.monotonic >= self.background_at {
            self.background_at = now.monotonic + self.config.timing.background_interval;
            self.background_tick();
            self.settle();
        }
        while let Some(operation) = self.timers.due(now.monotonic) {
            self.operation_timeout(operation);
            self.settle();
        }
        if self.handoff.machine.poll_timeout().is_some_and(|at| at <= now.monotonic) {
            self.handoff_timeout();
        }
        if self.repairs.machine.poll_timeout().is_some_and(|at| at <= now.monotonic) {
            self.repair_timeout();
        }
        self.budget_timeout();
        self.membership_timeout();
        self.liveness_timeout();
        self.move_timeout();
        self.more_moves_timeout();
        self.settle();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let others = [
            self.timers.next(),
            self.handoff.machine.poll_timeout(),
            self.repairs.machine.poll_timeout(),
            self.budget.poll_timeout(),
            self.membership.poll_timeout(),
            self.detector.poll_timeout(),
        ];
        let regular = self.checkpoint_at.min(self.background_at).min(self.moves.poll_timeout());
        Some(others.into_iter().flatten().fold(regular, Instant::min))
    }

    /// What shall be done next. Once this is empty the turn is over.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty() {
            self.pass_on_registers();
            self.reshare();
            self.send_reports();
            self.settle();
            self.replica.flush(self.now.wall);
            self.settle();
        }
        self.effects.pop_front()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Members to which no connection stands, this node aside.
    #[must_use]
    pub fn unreachable_members(&self) -> Vec<NodeId> {
        let members = self.current_members().map(|(node, _)| node);
        members.filter(|node| !self.is_reachable(*node)).collect()
    }

    /// Whether nothing is under way: no request, no store.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.operations.is_empty() && self.effects.is_empty() && self.replica.is_idle()
    }

    /// Requests of clients and forwarded puts under way.
    #[must_use]
    pub fn requests_under_way(&self) -> usize {
        self.requests
    }

    /// Recent puts remembered for retries.
    #[must_use]
    pub fn retries_remembered(&self) -> usize {
        self.replica.retries_remembered()
    }

    /// What this node keeps for other nodes that could not be reached.
    pub fn hints(&self) -> impl Iterator<Item = (NodeId, HintCount)> + '_ {
        self.replica.hint_counts()
    }

    /// Bytes of all hints; bounded by [`NodeConfig::hint_bytes_max`].
    #[must_use]
    pub fn hint_bytes(&self) -> u64 {
        self.replica.hint_bytes()
    }

    /// Copies of partitions here that do not count: they may lack what they acknowledged, or this node has
    /// forgotten what it promised about them.
    #[must_use]
    pub fn incomplete_partitions(&self) -> usize {
        let here = self.config.node;
        let forgotten = self.registers.forgotten().into_iter();
        let forgotten = forgotten
            .filter(|id| self.registers.is_involved(*id, here) && self.replica.is_complete(*id));
        self.replica.incomplete_count() + forgotten.count()
    }

    /// Partitions that are on their way, or not where operators want them, as this node knows.
    #[must_use]
    pub fn unsettled_partitions(&self) -> usize {
        let count = self.registers.count();
        count.partitions().filter(|id| !self.is_settled(*id)).count()
    }

    /// The first of these, and what it waits for, for people.
    #[must_use]
    pub fn moves_told(&self) -> String {
        let count = self.registers.count();
        let first = count.partitions().find(|id| !self.is_settled(*id));
        first.map_or_else(String::new, |id| self.move_told(id))
    }

    /// Partitions that are not this node's, and of which it still holds records.
    #[must_use]
    pub fn leftover_partitions(&self) -> usize {
        self.replica.leftovers().len()
    }

    /// Who holds a partition, as far as that is decided and known here.
    #[must_use]
    pub fn replica_set(&self, partition: PartitionId) -> ReplicaSet {
        self.registers.register(partition).settled_set()
    }

    /// Orders what nodes know of a partition's register: whoever is ahead has the greater one.
    #[must_use]
    pub fn register_version(&self, partition: PartitionId) -> Register {
        *self.registers.register(partition)
    }

    /// Records known to hold nothing but deletes, and not collected yet.
    #[must_use]
    pub fn dead_records(&self) -> usize {
        self.replica.dead_records()
    }

    /// Whether this node's clock of a partition has all of these versions.
    #[must_use]
    pub fn has_incorporated(&self, partition: PartitionId, dots: &DotSet) -> bool {
        self.replica.has_incorporated(partition, dots)
    }

    /// What anti-entropy has done.
    #[must_use]
    pub fn anti_entropy(&self) -> AntiEntropyCounters {
        self.repairs.machine.counters()
    }

    /// How long ago a partition of this node was last verified with all its other members; none if
    /// it was not since the start, or is not this node's.
    #[must_use]
    pub fn verified_ago(&self, partition: PartitionId) -> Option<Duration> {
        let at = self.repairs.machine.verified_until(partition)?;
        Some(self.now.monotonic.saturating_since(at))
    }

    /// Whether the node takes no more writes because a store failed.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.replica.is_stopped()
    }

    /// Asserts what must always hold; the simulator calls this after every event.
    pub fn check_invariants(&self) {
        self.replica.check_invariants();
        assert!(
            self.reads.len() <= (PEER_READS_MAX + self.operations.len() * 8) * READS_PER_QUESTION,
            "reads are bounded"
        );
        for operation in self.operations.keys() {
            assert!(self.timers.contains(*operation), "operation {operation:?} has no timer");
        }
        assert!(self.gated.len() <= buckets::GATED_MAX, "gated answers are bounded");
        self.repairs.check_invariants();
    }

    // Routing.

    fn requested(&mut self, client: ClientId, request: Request) {
        let is_data = matches!(
            request,
            Request::Get { .. }
                | Request::Mutate(_)
                | Request::List { .. }
                | Request::Explain { .. }
        );
        if self.requests >= self.config.requests_max || is_data && self.turns_clients_away() {
            self.counters.requests_refused_overload += 1;
            let reply = Reply::Failed(Failure::Overloaded { retry_after_ms: 1_000 });
            return self.effects.push_back(Effect::Reply { client, reply });
        }
        self.requests += 1;
        let origin = Origin::Client(client);
        match request {
            Request::Get { name, options } => self.get_requested(origin, name, options),
            Request::Mutate(mutation) => self.put_requested(origin, mutation),
            Request::List { bucket, after, prefix, limit, options } => {
                self.list_requested(origin, bucket, after, prefix, limit, options);
            }
            Request::GetBucket { bucket } => {
                let reply = self.bucket_reply(&bucket);
                self.answer(origin, reply);
            }
            Request::PutBucket { bucket, settings } => {
                self.put_bucket_requested(origin, bucket, settings);
            }
            Request::ListBuckets => {
                let reply = self.buckets_reply();
                self.answer(origin, reply);
            }
            Request::Cluster => {
                let reply = Reply::Cluster(self.cluster_view());
                self.answer(origin, reply);
            }
            Request::Ring => {
                let reply = Reply::Ring(self.ring_view());
                self.answer(origin, reply);
            }
            Request::Explain { name, timeout_ms } => {
                self.explain_requested(origin, name, timeout_ms);
            }
            Request::PlanChange { changes } => self.plan_requested(origin, &changes),
            Request::CommitChange { changes, plan } => {
                self.commit_requested(origin, &changes, plan);
            }
            Request::CancelMoves => self.cancel_requested(origin),
            Request::ForceMoves { given_up, commit } => {
                self.force_requested(origin, &given_up, commit);
            }
            Request::Transfers => {
                let reply = Reply::Transfers(self.transfers_view());
                self.answer(origin, reply);
            }
        }
    }

    fn received(&mut self, from: NodeId, message: PeerMessage) {
        if !self.is_heard(from, &message) {
            self.counters.messages_refused += 1;
            return;
        }
        match message {
            PeerMessage::Write(write) => self.replica_write_received(from, write),
            PeerMessage::WriteReply(reply) => self.write_reply_received(from, reply),
            PeerMessage::Read(read) => self.replica_read_received(from, read),
            PeerMessage::ReadReply(reply) => self.read_reply_received(from, reply),
            PeerMessage::Forward { operation, remaining_ms, mutation } => {
                self.forward_received(from, operation, remaining_ms, mutation);
            }
            PeerMessage::ForwardReply { operation, reply } => {
                self.forward_replied(operation, from, reply);
            }
            PeerMessage::Scan(scan) => self.replica_scan_received(from, scan),
            PeerMessage::ScanReply(reply) => self.scan_reply_received(from, reply),
            PeerMessage::Buckets { acknowledge, entries } => {
                self.buckets_received(from, acknowledge, entries);
            }
            PeerMessage::BucketsStored { operation } => {
                self.bucket_stored_at(operation, from);
            }
            PeerMessage::AskBucket { bucket } => self.ask_bucket_received(from, &bucket),
            PeerMessage::Gossip { bytes } => self.gossip_received(from, bytes),
            PeerMessage::BucketsFingerprint { fingerprint } => {
                self.buckets_fingerprint_received(from, fingerprint);
            }
            PeerMessage::BucketGroups { groups } => self.bucket_groups_received(from, &groups),
            PeerMessage::AskBucketGroups { groups } => self.send_buckets_in(from, groups),
            PeerMessage::AskCollected(asked) => self.ask_collected_received(from, asked),
            PeerMessage::Collected { operation, dots } => self.vetted(operation, from, dots),
            PeerMessage::ClockReports { number, reports } => {
                self.reports_received(from, number, reports);
            }
            PeerMessage::ClockReportsStored { number } => self.reports_confirmed(from, number),
            PeerMessage::KnownCheckpoints { known, wanted } => {
                self.known_checkpoints_received(from, known, wanted);
            }
            PeerMessage::Registers { registers } => self.registers_received(from, &registers),
            PeerMessage::RegistersFingerprint { fingerprint } => {
                self.registers_fingerprint_received(from, fingerprint);
            }
            PeerMessage::RegisterGroups { groups } => self.register_groups_received(from, &groups),
            PeerMessage::AskRegisterGroups { groups } => self.send_registers_in(from, groups),
            PeerMessage::WantedLayout { bytes } => self.wanted_layout_received(&bytes),
            PeerMessage::RegisterRequest { partition, bytes } => {
                self.register_request_received(from, partition, &bytes);
            }
            PeerMessage::RegisterAnswer { partition, bytes } => {
                self.register_answer_received(from, partition, &bytes);
            }
            PeerMessage::MoveProgress { partition, register, exchanged, compared } => {
                self.move_progress_received(from, partition, register, &exchanged, &compared);
            }
            PeerMessage::Repair(message) => self.repair_received(from, message),
        }
    }

    fn peer_connected(&mut self, node: NodeId) {
        if !self.is_member(node) {
            return self.stranger_connected(node);
        }
        self.health.connected(node, self.now.monotonic);
        self.handoff_event(HandoffEvent::Up(node));
        let shared = self.replica.shared_with(node);
        self.repair_event(AntiEntropyEvent::PeerConnected { node, shared });
        self.report_all(node);
        self.send_all_buckets(node);
        self.gossip_connected(node);
        self.greet_linked(node);
        // It may know later registers, and another layout that is wanted.
        let groups = self.registers.groups().to_vec();
        self.send(node, Lane::Background, PeerMessage::RegisterGroups { groups });
        self.send_wanted_layout(node);
        for id in self.registers.forgotten() {
            self.ask_registers_of(id);
        }
    }

    /// A node that is no member has a link. It says who it is by gossip, and is connected then.
    fn stranger_connected(&mut self, node: NodeId) {
        if self.strangers.len() >= STRANGERS_MAX {
            self.counters.messages_refused += 1;
            return;
        }
        self.strangers.insert(node);
        self.gossip_connected(node);
    }

    /// Strangers that have become members are connected.
    fn greet_strangers(&mut self) {
        let known = self.strangers.iter().copied().filter(|node| self.is_member(*node));
        for node in known.collect::<Vec<_>>() {
            self.strangers.remove(&node);
            self.peer_connected(node);
        }
    }

    fn peer_lost(&mut self, node: NodeId) {
        self.strangers.remove(&node);
        if !self.health.is_connected(node) {
            return;
        }
        self.health.disconnected(node, self.now.monotonic);
        self.handoff_event(HandoffEvent::Down(node));
        self.repair_event(AntiEntropyEvent::PeerLost { node });
        self.reports_lost(node);
        self.counters.peers_lost += 1;
        self.gated.retain(|gated| gated.from != node);
        let all: Vec<OperationId> = self.operations.keys().copied().collect();
        for operation in all {
            self.operation_lost_peer(operation, node);
        }
    }

    /// Does what the replica asks until it asks no more.
    fn settle(&mut self) {
        while let Some(effect) = self.replica.poll_effect() {
            match effect {
                ReplicaEffect::Load { load, column, key } => {
                    self.effects.push_back(Effect::Load { load, column, key });
                }
                ReplicaEffect::Store { store, writes, durability, awaited } => {
                    if awaited {
                        self.store_began(store);
                    }
                    self.effects.push_back(Effect::Store { store, writes, durability });
                }
                ReplicaEffect::Minted { operation, applied } => self.minted(operation, applied),
                ReplicaEffect::Known { operation, known, record } => {
                    self.known_here(operation, known, &record);
                }
                ReplicaEffect::Refused { operation, refusal } => {
                    self.mint_refused(operation, refusal);
                }
                ReplicaEffect::Answer { reply_to, outcome } => match reply_to {
                    ReplyTo::Local(operation)
                        if self.hint_answered(operation, self.config.node, outcome) => {}
                    ReplyTo::Local(operation) => {
                        self.write_answered(operation, self.config.node, outcome);
                    }
                    ReplyTo::Peer { node, operation, bucket } => {
                        self.send_write_reply(node, operation, &bucket, outcome);
                    }
                    ReplyTo::State { token, collected } => {
                        self.state_answered(token, collected, outcome);
                    }
                    ReplyTo::Nobody => {}
                },
                ReplicaEffect::MetaStored { tag, stored } => self.meta_stored(tag, stored),
                ReplicaEffect::HintKept { intended } => {
                    self.handoff_event(HandoffEvent::Pending(intended));
                }
                ReplicaEffect::HintNotRemoved { intended } => {
                    self.handoff_event(HandoffEvent::NotRemoved(intended));
                }
                ReplicaEffect::ClockDurable { partition } => self.clock_durable(partition),
                // Once its tree is that of its readable records: see `background`.
                ReplicaEffect::BecameIncomplete { partition } => {
                    self.lost_everything_of(partition);
                    self.repair_event(AntiEntropyEvent::Reset { partition });
                }
                ReplicaEffect::RolledBack { partition } => self.rolled_back(partition),
                ReplicaEffect::HasEverythingOf { partition, member, tag } => {
                    if tag == Some(self.registers.tag(partition)) {
                        self.has_everything_of(partition, member);
                    }
                }
                ReplicaEffect::IncompletenessRecorded => {
                    self.effects.push_back(Effect::IncompletenessRecorded);
                }
                ReplicaEffect::Vetted { asker, verdict } => self.answer_vet(asker, verdict),
            }
        }
    }

    // What the parts share.

    fn is_reachable(&self, node: NodeId) -> bool {
        node == self.config.node || self.health.is_connected(node)
    }

    /// Members to which a connection stands.
    fn connected_members(&self) -> Vec<NodeId> {
        let others = self.current_members().map(|(node, _)| node);
        others.filter(|n| *n != self.config.node && self.is_reachable(*n)).collect()
    }

    /// Replicas of a position that can be reached, best first: this node, then the fastest.
    fn reachable_replicas(&self, position: Position) -> (PartitionId, Vec<NodeId>) {
        let partition = self.registers.partition_of(position);
        (partition, self.ranked(self.registers.read_set(partition).iter()))
    }

    fn ranked(&self, nodes: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
        let reachable: Vec<NodeId> = nodes.filter(|node| self.is_reachable(*node)).collect();
        let (own, others): (Vec<NodeId>, Vec<NodeId>) =
            reachable.into_iter().partition(|node| *node == self.config.node);
        let ranked = self.health.rank(&others, self.now.monotonic);
        own.into_iter().chain(ranked).collect()
    }

    fn is_replica(&self, name: &ObjectName) -> bool {
        let partition = self.registers.partition_of(Position::of_object(name));
        self.registers.is_involved(partition, self.config.node)
    }

    /// r and w for a request: its own, else the bucket's.
    fn quorum(&self, bucket: &Bucket, options: &Options) -> Result<Quorum, Failure> {
        let settings = self.buckets.get(bucket).settings;
        let (r, w) = (options.r.unwrap_or(settings.r), options.w.unwrap_or(settings.w));
        Quorum::new(self.config.layout.replication(), r, w)
            .map_err(|error| invalid(Invalid::Option, error.to_string()))
    }

    fn deadline(&self, options: &Options) -> Result<Instant, Failure> {
        let now = self.now.monotonic;
        match options.timeout_ms {
            None => Ok(now + self.config.timing.request_timeout),
            Some(ms) if (1..=TIMEOUT_MS_MAX).contains(&ms) => {
                Ok(now + Duration::from_millis(ms.into()))
            }
            Some(ms) => {
                let detail = alloc::format!("timeout_ms is from 1 to {TIMEOUT_MS_MAX}, not {ms}");
                Err(invalid(Invalid::Option, detail))
            }
        }
    }

    /// What is left until a deadline, as it travels: at least 1 ms while there is anything left.
    fn remaining_ms(&self, deadline: Instant) -> u32 {
        let left = deadline.saturating_since(self.now.monotonic);
        u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1)
    }

    /// The deadline of a peer's request on this process's clock.
    fn deadline_in(&self, remaining_ms: u32) -> Instant {
        self.now.monotonic + Duration::from_millis(remaining_ms.min(TIMEOUT_MS_MAX).into())
    }

    fn new_operation(&mut self) -> OperationId {
        self.next_operation = self.next_operation.wrapping_add(1);
        OperationId(self.next_operation)
    }

    fn lane_of(name: &ObjectName) -> Lane {
        let low = Position::of_object(name).0 % u128::from(Lane::FOREGROUND);
        Lane::Foreground(u8::try_from(low).expect("a remainder below a u8"))
    }

    fn send(&mut self, to: NodeId, lane: Lane, message: PeerMessage) {
        let envelope = Envelope { hlc: self.replica.clock.last(), message };
        self.effects.push_back(Effect::Send { to, lane, envelope });
    }

    /// Tells whoever asked.
    fn answer(&mut self, origin: Origin, reply: Reply) {
        match origin {
            Origin::Client(client) => {
                self.requests = self.requests.saturating_sub(1);
                self.count_refusal(&reply);
                self.effects.push_back(Effect::Reply { client, reply });
            }
            Origin::Peer { node, operation } => {
                self.requests = self.requests.saturating_sub(1);
                let lane = Lane::Foreground(0);
                self.send(node, lane, PeerMessage::ForwardReply { operation, reply });
            }
            Origin::Forward(operation) => {
                let node = self.config.node;
                self.forward_replied(operation, node, reply);
            }
        }
    }

    fn count_refusal(&mut self, reply: &Reply) {
        if let Reply::Failed(Failure::Invalid { reason, .. }) = reply {
            self.counters.requests_refused_invalid += 1;
            self.counters.contexts_refused += u64::from(*reason == Invalid::Context);
        }
    }

    fn fail(&mut self, origin: Origin, failure: Failure) {
        self.answer(origin, Reply::Failed(failure));
    }

    fn cluster_view(&self) -> ClusterView {
        let layout = self.registers.settled();
        let members = self.members().iter().map(|(node, member)| MemberView {
            node,
            name: member.details.name.clone(),
            state: String::from(member.status.name()),
            reachable: self.is_reachable(node),
            liveness: String::from(self.liveness(node).name()),
            weight: member.details.weight,
            zone: String::from(member.details.zone.as_str()),
            address: member.details.address.clone(),
            http_address: member.details.http_address.clone(),
            replicas_held: u32::try_from(layout.partitions_of(node).count()).unwrap_or(u32::MAX),
        });
        let members = members.collect();
        ClusterView {
            cluster: self.config.cluster,
            answered_by: self.config.node,
            replication: layout.replication(),
            partition_count: layout.partition_count().get(),
            members,
        }
    }

    fn ring_view(&self) -> RingView {
        let mut replicas = Vec::new();
        for id in self.registers.count().partitions() {
            replicas.extend(&self.registers.read_set(id));
        }
        RingView {
            version: self.registers.version(),
            replication: self.registers.replication(),
            replicas,
        }
    }
}

/// Whether a quorum can be met at all: known before anything is done.
fn enough(replicas: &[NodeId], needed: u8) -> Result<(), Failure> {
    if replicas.len() >= usize::from(needed) {
        return Ok(());
    }
    let reached = u8::try_from(replicas.len()).unwrap_or(u8::MAX);
    Err(Failure::NotEnoughReplicas { reached, needed })
}

/// A refusal for what a request asks.
fn invalid(reason: Invalid, detail: String) -> Failure {
    Failure::Invalid { reason, detail }
}
