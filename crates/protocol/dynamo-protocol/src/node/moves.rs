//! Moving partitions to where operators want them (protocol rule 8, Paper §6.2 strategy 3).
//!
//! The layout that operators want is one value that all nodes come to know. Of each partition that is
//! not there yet, the first node of its sets that is up drives the move; that all come to the same
//! choice is not needed, only cheap. A driver keeps nothing that must survive.
//!
//! The data moves by exchanges of anti-entropy: a joiner is an incomplete copy, and what differs is all
//! that travels. So a transfer that was cut goes on with what is still missing, and what travelled is
//! checked by the trees of both sides.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use dynamo_membership::{GossipEvent, MemberStatus, WantedLayout};
use dynamo_messages::{PeerMessage, Reply};
use dynamo_register::{Answer, Driver, DriverEffect, Goal, Register, Stage};
use dynamo_repair::anti_entropy::AntiEntropyEvent;
use dynamo_repair::budget::Work;
use dynamo_repair::hinted_handoff::HandoffEvent;
use dynamo_ring::{Layout, RingMember, rebalance};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Instant, NodeId, PartitionId, RegisterTag};

use super::Node;
use super::budget::MOVE_UNITS;
use super::operations::Origin;
use crate::config::{NodeConfig, Recovered};
use crate::counters::Counters;
use crate::effect::{Column, Lane, StoreWrite};
use crate::replica::MetaTag;
use crate::rows;

/// Moves that this node drives at once: each joiner of them is in an exchange or two, of which a node has
/// 32 under way at most. The background budget allows fewer beside requests. What waits is at rest: puts
/// go to one set only, and nothing changes that would have to be compared.
const MOVES_DRIVEN_MAX: usize = 16;
/// How long a move may stand still until the next node of its sets drives it too, in intervals.
const TAKEOVER_INTERVALS: u32 = 10;
/// A move that has not gone on for this long may be forced: usual ones take a step within a second, and
/// the data of one partition is fetched within this time on any disk.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// Commits that wait for the disk. Operators are few.
const COMMITS_MAX: usize = 16;

/// Moves, and what is wanted.
#[derive(Debug)]
pub(super) struct Moves {
    pub(super) wanted: Option<WantedLayout>,
    /// Its digest and its bytes: asked for with each round of gossip.
    wanted_digest: u128,
    wanted_bytes: Bytes,
    /// Since when this node, a leaver, only waits for its requests to end.
    retires_since: Option<Instant>,
    /// Set when something may have to be done about a move; else a round looks at none.
    pub(super) restless: bool,
    /// The row on disk may be another one.
    wanted_is_unsaved: bool,
    /// Stores of it that were asked for.
    wanted_stores: u64,
    /// Commits of this node that are told once the disk has them: with which store.
    commits: Vec<(u64, Origin, Reply)>,
    drivers: BTreeMap<PartitionId, Driver>,
    /// Registers that have changed and that nobody was told of.
    pub(super) changed: BTreeSet<PartitionId>,
    /// Nodes with which this one shares other partitions than before.
    pub(super) reshare: BTreeSet<NodeId>,
    /// Registers whose row was refused by the disk.
    pub(super) unsaved: BTreeSet<PartitionId>,
    /// From whom this node has everything that a move waits for, and under which register.
    has_everything_of: BTreeMap<PartitionId, (RegisterTag, BTreeSet<NodeId>)>,
    /// As a leaver: who has everything of this node.
    handed_to: BTreeMap<PartitionId, BTreeSet<NodeId>>,
    /// Partitions that this node has lost and not heard of all new members that they have everything.
    partings: BTreeMap<PartitionId, Parting>,
    /// Partitions that were handed over to all new members: nothing of them need be offered.
    pub(super) handed_over: BTreeSet<PartitionId>,
    /// Left-over records that were taken: up to which row, for partitions that are not done.
    pub(super) swept: BTreeMap<PartitionId, Bytes>,
    /// The partition that was tried last, and how often one was.
    pub(super) swept_last: PartitionId,
    pub(super) sweeps: usize,
    /// When the register of each partition that is not settled was last seen to change.
    changed_at: BTreeMap<PartitionId, Instant>,
    /// When it last came nearer to its end. Two drivers that outbid each other change a register for ever and
    /// get nowhere.
    progressed_at: BTreeMap<PartitionId, Instant>,
    started: Instant,
    /// When all moves are looked at.
    at: Instant,
    /// When there is room for more of them.
    more_at: Option<Instant>,
}

/// A partition that this node has left while word of its heirs may be on its way: the end of the move came
/// by another one of them.
#[derive(Debug)]
struct Parting {
    /// The register under which it was handed over.
    tag: RegisterTag,
    /// Those of whom it was not heard that they have everything.
    missing: BTreeSet<NodeId>,
    since: Instant,
}

impl Moves {
    pub(super) fn recover(
        config: &NodeConfig,
        recovered: &Recovered,
        now: Instant,
        counters: &mut Counters,
    ) -> Self {
        let (count, n) = (config.layout.partition_count(), config.layout.replication());
        let row = recovered.meta.iter().find(|(key, _)| *key == rows::wanted_layout_key());
        let wanted = row.and_then(|(_, value)| {
            let read = value.as_ref().and_then(|v| WantedLayout::decode(v, count, n).ok());
            // The others tell it again.
            counters.meta_rows_damaged += u64::from(read.is_none());
            read
        });
        let wanted_bytes = wanted.as_ref().map(WantedLayout::encode).unwrap_or_default();
        let wanted_digest = wanted.as_ref().map_or(0, WantedLayout::digest);
        Self {
            wanted,
            wanted_digest,
            wanted_bytes,
            restless: true,
            retires_since: None,
            wanted_is_unsaved: false,
            wanted_stores: 0,
            commits: Vec::new(),
            drivers: BTreeMap::new(),
            changed: BTreeSet::new(),
            reshare: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            has_everything_of: BTreeMap::new(),
            handed_to: BTreeMap::new(),
            partings: BTreeMap::new(),
            handed_over: BTreeSet::new(),
            swept: BTreeMap::new(),
            swept_last: PartitionId(0),
            sweeps: 0,
            changed_at: BTreeMap::new(),
            progressed_at: BTreeMap::new(),
            started: now,
            at: now + config.timing.move_interval,
            more_at: None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.more_at.map_or(self.at, |more_at| more_at.min(self.at))
    }

    pub(super) fn wanted_digest(&self) -> u128 {
        self.wanted_digest
    }
}

impl Node {
    // What is wanted.

    /// Operators want another layout. Told to all, and to the operator once it is synced here.
    pub(super) fn want_layout(&mut self, wanted: WantedLayout, told: Option<(Origin, Reply)>) {
        self.moves.wanted_bytes = wanted.encode();
        self.moves.wanted_digest = wanted.digest();
        self.moves.wanted = Some(wanted);
        self.moves.restless = true;
        self.save_wanted_layout();
        if let Some((origin, reply)) = told {
            self.moves.commits.push((self.moves.wanted_stores, origin, reply));
        }
        for node in self.connected_members() {
            self.send_wanted_layout(node);
        }
        self.moves.at = self.now.monotonic;
    }

    fn save_wanted_layout(&mut self) {
        if self.moves.wanted.is_none() {
            return;
        }
        self.moves.wanted_is_unsaved = false;
        let (column, key) = (Column::Meta, rows::wanted_layout_key());
        let value = self.moves.wanted_bytes.clone();
        let row = StoreWrite::Put { column, key, value };
        self.moves.wanted_stores += 1;
        let tag = MetaTag::WantedLayout(self.moves.wanted_stores);
        self.replica.store_meta(Vec::from([row]), tag);
    }

    /// Whether there is room for a commit; else the operator comes again, and nothing is changed.
    pub(super) fn has_room_for_commit(&self) -> bool {
        self.moves.commits.len() < COMMITS_MAX
    }

    pub(super) fn wanted_layout_stored(&mut self, number: u64, stored: bool) {
        self.moves.wanted_is_unsaved |= !stored;
        let commits = core::mem::take(&mut self.moves.commits);
        let (ended, others): (Vec<_>, Vec<_>) =
            commits.into_iter().partition(|(store, ..)| *store == number);
        self.moves.commits = others;
        for (_, origin, reply) in ended {
            if stored {
                self.answer(origin, reply);
            } else {
                // All the same it may be known to others by now.
                let failure = dynamo_messages::Failure::OutcomeUnknown { reached: 0, needed: 1 };
                self.fail(origin, failure);
            }
        }
    }

    pub(super) fn send_wanted_layout(&mut self, to: NodeId) {
        if self.moves.wanted.is_some() {
            let bytes = self.moves.wanted_bytes.clone();
            self.send(to, Lane::Background, PeerMessage::WantedLayout { bytes });
        }
    }

    pub(super) fn wanted_layout_received(&mut self, bytes: &[u8]) {
        if bytes == self.moves.wanted_bytes {
            return;
        }
        let (count, n) = (self.registers.count(), self.registers.replication());
        match WantedLayout::decode(bytes, count, n) {
            Ok(wanted) => {
                if Some(&wanted) > self.moves.wanted.as_ref() {
                    self.want_layout(wanted, None);
                }
            }
            Err(_) => self.counters.messages_refused += 1,
        }
    }

    /// What is to become of a partition.
    fn goal(&self, id: PartitionId) -> Goal {
        let register = self.registers.register(id);
        let undecided = register.movement.filter(|_| !register.is_decided());
        let wanted = self.moves.wanted.as_ref();
        let target = wanted.and_then(|wanted| wanted.set_of(id));
        let is_there = target.is_none_or(|target| register.settled_set().same_members(&target));
        let goal = match (undecided, target) {
            (Some(_), None) if wanted.is_some() => Goal::Cancel,
            // Towards where it is anyway: that is a renewal, which harms nobody.
            (Some(movement), Some(_)) if is_there && !is_renewal(register, movement.next) => {
                Goal::Cancel
            }
            (Some(movement), Some(target)) if movement.next.same_members(&target) => Goal::Finish,
            (_, Some(target)) if !is_there => Goal::Move(target),
            _ => Goal::Finish,
        };
        let forgot = register.movement.is_none() && !self.registers.takes_part(id);
        // Who has forgotten its votes can take part in the next epoch only.
        if forgot && goal == Goal::Finish { Goal::Move(register.current) } else { goal }
    }

    /// Partitions that are not where they are wanted, or are on their way.
    pub(super) fn is_settled(&self, id: PartitionId) -> bool {
        self.registers.register(id).movement.is_none()
            && (self.goal(id) == Goal::Finish || !self.registers.takes_part(id))
    }

    /// Whether a partition should be elsewhere and nothing has come of it for long: it may be that a member
    /// that is up has forgotten what it promised, and too few others are left.
    pub(super) fn is_stuck(&self, id: PartitionId) -> bool {
        let waited = self.now.monotonic.saturating_since(self.stands_since(id));
        let forgot = !self.registers.takes_part(id);
        (!self.is_settled(id) || forgot) && waited >= STUCK_AFTER
    }

    // Driving.

    /// What is due once a second.
    pub(super) fn move_timeout(&mut self) {
        if self.now.monotonic < self.moves.at {
            return;
        }
        let interval = self.config.timing.move_interval;
        let soon = if self.moves.retires_since.is_some() { interval / 10 } else { interval };
        self.moves.at = self.now.monotonic + soon;
        if self.is_stopped() {
            return;
        }
        self.replica.checkpoint_incomplete();
        for id in core::mem::take(&mut self.moves.unsaved) {
            self.registers.acceptor(id).store_again();
            self.replica.mark_leftover(id);
            self.drive_acceptor(id);
        }
        if self.moves.wanted_is_unsaved {
            self.save_wanted_layout();
        }
        for id in self.registers.forgotten() {
            self.ask_registers_of(id);
        }
        if self.moves.restless {
            self.attend_to_moves();
            let count = self.registers.count();
            let moving: Vec<PartitionId> =
                count.partitions().filter(|id| self.takes_part_in_move(*id)).collect();
            for id in &moving {
                self.exchange_for_move(*id);
                self.tell_progress(*id);
            }
            self.moves.restless = !moving.is_empty()
                || count
                    .partitions()
                    .any(|id| !self.is_settled(id) || !self.registers.takes_part(id));
        }
        self.climb_own_status();
        self.sweep_leftovers();
        self.hand_over_hints_of_the_removed();
        self.renew_plan();
    }

    /// Two operators may have changed the cluster on the two sides of a split: then the later layout may
    /// count on a node that the other one takes out. It is taken out of that, too. The first node that is
    /// up does it for all.
    fn renew_plan(&mut self) {
        let Some(wanted) = &self.moves.wanted else { return };
        let Some(sets) = &wanted.sets else { return };
        let is_out = |node: NodeId| {
            let member = self.members().get(node);
            member.is_none_or(|member| member.status >= MemberStatus::Leaving)
        };
        let active = self.current_members().filter(|(_, m)| m.status == MemberStatus::Active);
        let first = active.map(|(node, _)| node).find(|node| self.is_healthy(*node));
        if first != Some(self.config.node) || !sets.iter().flatten().any(is_out) {
            return;
        }
        let (count, n) = (self.registers.count(), self.registers.replication());
        let members: Vec<RingMember> = self.counted_on();
        let Ok(old) = Layout::new(count, n, sets.clone(), 1) else { return };
        // With too few members left operators have to add some first.
        let Ok(plan) = rebalance(Some(&old), &members, n, count) else { return };
        self.counters.plans_renewed += 1;
        let sets = plan.layout.iter().map(|(_, set)| *set).collect();
        let stamp = self.next_stamp();
        self.want_layout(WantedLayout { stamp, sets: Some(sets) }, None);
    }

    /// Nobody waits for a node that was removed: others of its partitions get what is kept for it.
    fn hand_over_hints_of_the_removed(&mut self) {
        let mut intended: Vec<NodeId> = self.hints().map(|(node, _)| node).collect();
        intended.retain(|node| self.is_removed(*node));
        for node in intended {
            self.handoff_event(HandoffEvent::Up(node));
        }
    }

    fn takes_part_in_move(&self, id: PartitionId) -> bool {
        self.registers.register(id).movement.is_some()
            && self.registers.is_involved(id, self.config.node)
    }

    /// Takes the next step of every move that this node drives, and begins more of them.
    fn attend_to_moves(&mut self) {
        for id in self.registers.count().partitions() {
            let goal = self.goal(id);
            let needs = self.registers.register(id).movement.is_some() || goal != Goal::Finish;
            if !needs || !self.drives(id) {
                self.moves.drivers.remove(&id);
            } else if !self.is_yet_to_begin(id, goal) {
                self.step(id, goal);
            }
        }
        self.begin_moves();
    }

    /// Whether somebody has to begin to move a partition, and nobody here does.
    fn is_yet_to_begin(&self, id: PartitionId, goal: Goal) -> bool {
        let register = self.registers.register(id);
        register.movement.is_none_or(|movement| movement.stage == Stage::Committed)
            && goal != Goal::Finish
            && !self.moves.drivers.contains_key(&id)
    }

    /// Begins as many moves as there is room for.
    fn begin_moves(&mut self) {
        let mut room = self.share_of(MOVES_DRIVEN_MAX).saturating_sub(self.moves_under_way());
        for id in self.registers.count().partitions() {
            if room == 0 {
                return;
            }
            let goal = self.goal(id);
            if !self.is_yet_to_begin(id, goal) || !self.drives(id) {
                continue;
            }
            if !self.has_background_room(Work::Upkeep) {
                return self.go_on_with_room();
            }
            room -= 1;
            self.spend(Work::Upkeep, MOVE_UNITS);
            self.counters.moves_begun += 1;
            self.step(id, goal);
        }
    }

    /// What is not done for want of room is done when there is room.
    pub(super) fn go_on_with_room(&mut self) {
        self.moves.more_at = Some(self.next_upkeep());
    }

    /// Begins what waited for room.
    pub(super) fn more_moves_timeout(&mut self) {
        if self.moves.more_at.is_some_and(|at| at <= self.now.monotonic) {
            self.moves.more_at = None;
            if !self.is_stopped() {
                self.begin_moves();
                self.sweep_leftovers();
            }
        }
    }

    /// Moves that this node drives, but for those that wait for a node that is down or does not get on: they
    /// may take long, and hold up no others.
    fn moves_under_way(&self) -> usize {
        let is_under_way = |(id, driver): &(&PartitionId, &Driver)| {
            let unchanged = self.now.monotonic.saturating_since(self.stands_since(**id));
            let everyone = driver.known().everyone();
            unchanged < STUCK_AFTER && everyone.into_iter().all(|node| self.is_healthy(node))
        };
        self.moves.drivers.iter().filter(is_under_way).count()
    }

    /// Whether this node drives a partition: it is the first of its sets that is up, or it is the one that
    /// has forgotten its votes.
    fn drives(&self, id: PartitionId) -> bool {
        let here = self.config.node;
        if self.is_removed(here) {
            // Nobody listens to it.
            return false;
        }
        let register = self.registers.register(id);
        let forgot = !self.registers.takes_part(id) && register.current.contains(here);
        let up = |node: &NodeId| {
            self.is_healthy(*node) && (*node != here || self.registers.takes_part(id))
        };
        let everyone = register.everyone();
        // Should the first one not get on, the others try in turn: it may reach others than this node does.
        let place = everyone.iter().position(|node| *node == here);
        let patience = self.config.timing.move_interval * TAKEOVER_INTERVALS;
        let waited = self.now.monotonic.saturating_since(self.unchanged_since(id));
        let takes_over = place
            .and_then(|place| u32::try_from(place).ok())
            .is_some_and(|place| place > 0 && waited >= patience * place);
        forgot || takes_over || everyone.into_iter().find(up) == Some(here)
    }

    /// Since when a move has not come nearer to its end.
    fn stands_since(&self, id: PartitionId) -> Instant {
        self.moves.progressed_at.get(&id).copied().unwrap_or(self.moves.started)
    }

    fn unchanged_since(&self, id: PartitionId) -> Instant {
        self.moves.changed_at.get(&id).copied().unwrap_or(self.moves.started)
    }

    fn step(&mut self, id: PartitionId, goal: Goal) {
        let known = *self.registers.register(id);
        let driver = self.moves.drivers.entry(id).or_insert_with(|| Driver::new(known, goal));
        if driver.wish() != goal {
            driver.want(goal);
        }
        if driver.step().is_err() {
            self.counters.moves_refused += 1;
        }
        self.drive_driver(id);
        self.tell_own_progress(id);
    }

    pub(super) fn driver_answered(&mut self, from: NodeId, id: PartitionId, answer: &Answer) {
        if let Some(driver) = self.moves.drivers.get_mut(&id) {
            driver.answered(from, answer);
            self.drive_driver(id);
        }
    }

    fn drive_driver(&mut self, id: PartitionId) {
        self.give_up_removed(id);
        while let Some(driver) = self.moves.drivers.get_mut(&id)
            && let Some(effect) = driver.poll_effect()
        {
            match effect {
                DriverEffect::Send { to, request } if to == self.config.node => {
                    self.register_requested(to, id, request);
                }
                DriverEffect::Send { to, request } => {
                    let bytes = request.encode();
                    let message = PeerMessage::RegisterRequest { partition: id, bytes };
                    self.send(to, Lane::Background, message);
                }
                DriverEffect::Entered(register) => {
                    self.learn_register(id, &register);
                    self.tell_own_progress(id);
                }
            }
        }
        let ended = self.moves.drivers.get(&id).is_some_and(Driver::is_done);
        if ended && self.moves.drivers.remove(&id).is_some() {
            self.counters.moves_ended += 1;
            // There is room for another one.
            self.moves.more_at = Some(self.now.monotonic);
        }
    }

    /// Nobody waits for what a removed node has or gets.
    fn give_up_removed(&mut self, id: PartitionId) {
        let Some(driver) = self.moves.drivers.get(&id) else { return };
        let removed: Vec<NodeId> =
            driver.known().everyone().into_iter().filter(|node| self.is_removed(*node)).collect();
        if let Some(driver) = self.moves.drivers.get_mut(&id) {
            for node in removed {
                driver.give_up(node);
            }
        }
    }

    // Data.

    /// Whom this node still needs everything of, if it has a part in a move.
    fn awaited(&self, id: PartitionId) -> Vec<NodeId> {
        let here = self.config.node;
        let register = self.registers.register(id);
        let Some(movement) = register.movement else { return Vec::new() };
        let of = match movement.stage {
            Stage::Fenced | Stage::Synced if !register.current.contains(here) => {
                register.current.iter().collect()
            }
            Stage::Committed if movement.next.contains(here) => register.leavers(),
            _ => Vec::new(),
        };
        let tag = self.registers.tag(id);
        let has = self.moves.has_everything_of.get(&id).filter(|(under, _)| *under == tag);
        let has = |node: &NodeId| has.is_some_and(|(_, nodes)| nodes.contains(node));
        let involved = self.registers.is_involved(id, here);
        let awaited = of.into_iter().filter(|node| !has(node) && !self.is_removed(*node));
        awaited.filter(|_| involved).collect()
    }

    /// Asks for the exchanges that a move waits for.
    pub(super) fn exchange_for_move(&mut self, id: PartitionId) {
        if !self.registers.is_synced(id) {
            return;
        }
        let mut awaited = self.awaited(id);
        awaited.retain(|node| self.is_reachable(*node));
        for node in awaited {
            self.repair_event(AntiEntropyEvent::Exchange { node, partition: id });
        }
    }

    /// Everything that another node of the partition had is here.
    pub(super) fn has_everything_of(&mut self, id: PartitionId, member: NodeId) {
        let awaited = self.awaited(id);
        if !awaited.contains(&member) {
            return;
        }
        let tag = self.registers.tag(id);
        let (under, of) =
            self.moves.has_everything_of.entry(id).or_insert_with(|| (tag, BTreeSet::new()));
        if *under != tag {
            (*under, *of) = (tag, BTreeSet::new());
        }
        of.insert(member);
        if planted(PlantedBug::JoinerCompleteAtOnce) {
            of.extend(awaited);
        }
        self.tell_progress(id);
    }

    /// This node's copy may lack something: what it told about its part in a move does not hold any more.
    pub(super) fn lost_everything_of(&mut self, id: PartitionId) {
        self.moves.has_everything_of.remove(&id);
    }

    /// What this node has done of a move: sources and leavers whose everything it has.
    fn progress(&self, id: PartitionId) -> Option<(RegisterTag, Vec<NodeId>, Vec<NodeId>)> {
        let tag = self.registers.tag(id);
        let (under, of) = self.moves.has_everything_of.get(&id)?;
        let committed = self.registers.register(id).stage() == Some(Stage::Committed);
        let of: Vec<NodeId> = of.iter().copied().collect();
        let (exchanged, compared) = if committed { (Vec::new(), of) } else { (of, Vec::new()) };
        (*under == tag).then_some((tag, exchanged, compared))
    }

    /// Says to all that have to do with a move how far this node is.
    fn tell_progress(&mut self, id: PartitionId) {
        let Some((register, exchanged, compared)) = self.progress(id) else { return };
        let here = self.config.node;
        let others = self.registers.register(id).everyone().into_iter();
        for node in others.filter(|node| *node != here).collect::<Vec<_>>() {
            if self.is_reachable(node) {
                let (exchanged, compared) = (exchanged.clone(), compared.clone());
                let message =
                    PeerMessage::MoveProgress { partition: id, register, exchanged, compared };
                self.send(node, Lane::Background, message);
            }
        }
        self.tell_own_progress(id);
    }

    fn tell_own_progress(&mut self, id: PartitionId) {
        if let Some((_, exchanged, compared)) = self.progress(id) {
            self.note_progress(self.config.node, id, &exchanged, &compared);
        }
    }

    pub(super) fn move_progress_received(
        &mut self,
        from: NodeId,
        id: PartitionId,
        register: RegisterTag,
        exchanged: &[NodeId],
        compared: &[NodeId],
    ) {
        if !self.registers.count().contains(id) {
            return;
        }
        if compared.contains(&self.config.node) {
            self.heir_has_everything(id, from, register);
        }
        if self.registers.tag(id) != register {
            return;
        }
        if compared.contains(&self.config.node) {
            self.moves.handed_to.entry(id).or_default().insert(from);
        }
        self.note_progress(from, id, exchanged, compared);
    }

    fn note_progress(
        &mut self,
        from: NodeId,
        id: PartitionId,
        exchanged: &[NodeId],
        compared: &[NodeId],
    ) {
        let Some(movement) = self.registers.register(id).movement else { return };
        let Some(driver) = self.moves.drivers.get_mut(&id) else { return };
        for source in exchanged {
            driver.exchanged(movement.ballot, from, *source);
        }
        for leaver in compared {
            driver.compared(*leaver, from);
        }
        self.drive_driver(id);
    }

    /// A register has changed: what was done under another one counts no more.
    pub(super) fn move_changed(&mut self, id: PartitionId, before: &Register, after: &Register) {
        let now = self.now.monotonic;
        if after.movement.is_none() {
            self.moves.changed_at.remove(&id);
            self.moves.progressed_at.remove(&id);
        } else {
            self.moves.changed_at.insert(id, now);
            let of = |register: &Register| (register.epoch, register.stage());
            if of(after) > of(before) || before.movement.is_none() {
                self.moves.progressed_at.insert(id, now);
            }
        }
        if before.asks_as(after) {
            return;
        }
        self.moves.restless = true;
        self.moves.has_everything_of.remove(&id);
        self.moves.swept.remove(&id);
        let handed_to = self.moves.handed_to.remove(&id).unwrap_or_default();
        self.moves.partings.remove(&id);
        self.moves.handed_over.remove(&id);
        let here = self.config.node;
        if *after == before.cleaned() && !after.everyone().contains(&here) {
            let missing = after.current.iter().filter(|node| !handed_to.contains(node));
            let missing: BTreeSet<NodeId> = missing.collect();
            if missing.is_empty() || planted(PlantedBug::LeaverWipedAfterOne) {
                self.moves.handed_over.insert(id);
            } else {
                let (tag, since) = (before.tag(), self.now.monotonic);
                self.moves.partings.insert(id, Parting { tag, missing, since });
            }
        }
    }

    /// A new member has everything of a partition that this node leaves, or has just left.
    fn heir_has_everything(&mut self, id: PartitionId, heir: NodeId, register: RegisterTag) {
        let Some(parting) = self.moves.partings.get_mut(&id) else { return };
        if parting.tag == register {
            parting.missing.remove(&heir);
            if parting.missing.is_empty() {
                self.moves.partings.remove(&id);
                self.moves.handed_over.insert(id);
            }
        }
    }

    /// Whether word of the heirs of a partition may still be on its way.
    pub(super) fn is_parting(&self, id: PartitionId) -> bool {
        let patience = self.config.timing.move_interval;
        let parting = self.moves.partings.get(&id);
        parting.is_some_and(|p| self.now.monotonic.saturating_since(p.since) < patience)
    }

    // The nodes themselves.

    /// A node that joined is a member once it holds all that is wanted of it; one that leaves is removed
    /// once it holds nothing any more, for itself or for others.
    fn climb_own_status(&mut self) {
        let here = self.config.node;
        let Some(status) = self.members().get(here).map(|member| member.status) else { return };
        let count = self.registers.count();
        let to = match status {
            MemberStatus::Joining => {
                let wanted = |id: PartitionId| {
                    let wanted = self.moves.wanted.as_ref();
                    wanted.and_then(|w| w.set_of(id)).is_some_and(|set| set.contains(here))
                };
                let mut shares = count.partitions().filter(|id| wanted(*id)).peekable();
                let any = shares.peek().is_some();
                let holds =
                    shares.all(|id| self.registers.register(id).settled_set().contains(here));
                (any && holds).then_some(MemberStatus::Active)
            }
            MemberStatus::Leaving => {
                self.hand_over_all_hints();
                let free = !count.partitions().any(|id| self.registers.is_involved(id, here));
                let empty = self.replica.leftovers().is_empty()
                    && self.replica.hints_are_at_rest()
                    && self.hints().next().is_none();
                // Else it would go before what it shall hand over has been decided.
                let wanted = self.moves.wanted.as_ref().is_some_and(|wanted| {
                    let sets = wanted.sets.iter().flatten();
                    wanted.sets.is_some() && !sets.flatten().any(|node| node == here)
                });
                let ready = free && empty && wanted;
                // What clients have asked is answered before nobody listens to this node any more.
                let since = self.moves.retires_since.unwrap_or(self.now.monotonic);
                self.moves.retires_since = ready.then_some(since);
                (ready && self.operations.is_empty()).then_some(MemberStatus::Removed)
            }
            MemberStatus::Active | MemberStatus::Removed => None,
        };
        if let Some(to) = to {
            let mut members = self.members().clone();
            members.climb(here, to);
            self.decide_members(members);
        }
    }

    /// Passes on a decision about members.
    pub(super) fn decide_members(&mut self, members: dynamo_membership::Members) {
        self.membership_event(GossipEvent::Decided(members));
    }

    /// A leaver does not wait for nodes that are down: others of their partitions take what it keeps for
    /// them.
    fn hand_over_all_hints(&mut self) {
        let intended: Vec<NodeId> = self.hints().map(|(node, _)| node).collect();
        for node in intended {
            self.handoff_event(HandoffEvent::Up(node));
        }
    }

    /// Whether clients are to go on at another node: this one was removed, or would be if they left it a
    /// quiet moment.
    pub(super) fn turns_clients_away(&self) -> bool {
        let patience = self.config.timing.request_timeout * 2;
        let waited = self.moves.retires_since.map(|at| self.now.monotonic.saturating_since(at));
        waited.is_some_and(|waited| waited >= patience) || self.is_removed(self.config.node)
    }

    // Showing.

    /// The moves under way, as far as this node knows.
    pub(super) fn transfers_view(&self) -> dynamo_messages::TransfersView {
        let count = self.registers.count();
        let mut view = dynamo_messages::TransfersView {
            partitions: count.get(),
            ..dynamo_messages::TransfersView::default()
        };
        for id in count.partitions() {
            if self.is_settled(id) {
                view.settled += 1;
                continue;
            }
            let register = self.registers.register(id);
            let waiting = self.waiting_for(id);
            // With its commit a move is done for everybody but its leavers; they are shown if somebody holds
            // them up (history 24).
            let is_committed = register.stage() == Some(Stage::Committed);
            if is_committed && waiting.iter().all(|(member, _)| self.is_healthy(*member)) {
                continue;
            }
            let wanted = self.moves.wanted.as_ref().and_then(|wanted| wanted.set_of(id));
            let (stage, next) = match register.movement {
                Some(movement) => (stage_name(movement.stage), movement.next),
                None => ("planned", wanted.unwrap_or(register.current)),
            };
            view.transfers.push(dynamo_messages::TransferView {
                partition: id,
                stage: stage.into(),
                current: register.current.iter().collect(),
                next: next.iter().collect(),
                waiting,
                records: self.replica.records_of(id),
            });
        }
        let leaving = self.members().iter().filter(|(_, m)| m.status == MemberStatus::Leaving);
        view.leaving = leaving.map(|(node, _)| node).collect();
        view
    }

    pub(super) fn move_told(&self, id: PartitionId) -> alloc::string::String {
        let register = self.registers.register(id);
        let forgot = !self.registers.takes_part(id);
        alloc::format!(
            "{id}: {register:?}, goal {:?}, forgot {forgot}, drives {}, waits for {:?}, lacks {:?}",
            self.goal(id),
            self.drives(id),
            self.waiting_for(id),
            self.replica.awaited(id)
        )
    }

    /// What a move waits for: the driver knows best, a node with a part in it its own part.
    fn waiting_for(&self, id: PartitionId) -> Vec<(NodeId, NodeId)> {
        match self.moves.drivers.get(&id) {
            Some(driver) if driver.known().is_decided() => {
                let missing = driver.missing_comparisons().into_iter();
                missing.map(|(leaver, member)| (member, leaver)).collect()
            }
            Some(driver) => driver.missing_exchanges(),
            None => {
                let awaited = self.awaited(id).into_iter();
                awaited.map(|source| (self.config.node, source)).collect()
            }
        }
    }
}

/// Whether a move keeps the set that there is.
fn is_renewal(register: &Register, next: dynamo_ring::ReplicaSet) -> bool {
    register.current.same_members(&next)
}

/// The stage's name in interfaces.
fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Fenced => "fenced",
        Stage::Synced => "synced",
        Stage::Decided => "decided",
        Stage::Committed => "committed",
    }
}
