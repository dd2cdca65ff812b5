//! What this node knows of every partition's register, and what it has promised (protocol rule 8).
//!
//! Requests are placed by it and go under its tags; see `dynamo-register` for what a register is. All
//! nodes know all registers, as far as they have heard: members act by them, others route by them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_register::requests::{read_set, write_sets};
use dynamo_register::{Acceptor, AcceptorState, Register, Stage};
use dynamo_ring::{Layout, ReplicaSet};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{NodeId, PartitionCount, PartitionId, Position, RegisterTag, Replication};

use crate::config::{NodeConfig, Recovered};
use crate::counters::Counters;
use crate::replica::{Role, Standing};
use crate::rows;

/// Groups of partitions whose registers are compared by digest; partition p is in group p mod 64.
pub(crate) const REGISTER_GROUPS: usize = 64;

/// What is kept of one partition.
#[derive(Debug)]
struct Entry {
    register: Register,
    tag: RegisterTag,
    digest: u128,
}

impl Entry {
    fn of(register: Register) -> Self {
        let (tag, digest) = register.tag_and_digest();
        Self { register, tag, digest }
    }
}

/// All registers.
#[derive(Debug)]
pub(crate) struct Registers {
    here: NodeId,
    count: PartitionCount,
    replication: Replication,
    /// One for each partition: some 400 bytes.
    entries: Vec<Entry>,
    /// This node's votes, where the register was ever another one than at genesis, or it forgot them.
    acceptors: BTreeMap<PartitionId, Acceptor>,
    groups: [u128; REGISTER_GROUPS],
}

impl Registers {
    /// The registers of the first layout, and what was written down since.
    pub(crate) fn recover(
        config: &NodeConfig,
        recovered: &Recovered,
        counters: &mut Counters,
    ) -> Self {
        let layout = &config.layout;
        let entries = layout.iter().map(|(_, set)| Entry::of(Register::first(*set))).collect();
        let mut registers = Self {
            here: config.node,
            count: layout.partition_count(),
            replication: layout.replication(),
            entries,
            acceptors: BTreeMap::new(),
            groups: [0; REGISTER_GROUPS],
        };
        for index in 0..registers.entries.len() {
            let digest = registers.entries[index].digest;
            let group = &mut registers.groups[index % REGISTER_GROUPS];
            *group = group.wrapping_add(digest);
        }
        for (key, value) in &recovered.meta {
            let Some(id) = rows::parse_register_key(key) else { continue };
            let state = value.as_ref().and_then(|value| AcceptorState::decode(value).ok());
            registers.recover_row(id, state, counters);
        }
        if recovered.incomplete {
            // The disk may be an older one, or an empty one: whatever was promised is forgotten.
            for id in registers.count.partitions() {
                let acceptor = Acceptor::after_rollback(config.node, registers.state_of(id));
                registers.acceptors.insert(id, acceptor);
            }
        }
        registers
    }

    fn recover_row(
        &mut self,
        id: PartitionId,
        state: Option<AcceptorState>,
        counters: &mut Counters,
    ) {
        if !self.count.contains(id) {
            counters.meta_rows_damaged += 1;
            return;
        }
        let sound = |state: &AcceptorState| {
            state.register.current.len() == usize::from(self.replication.get())
        };
        let acceptor = match state.filter(sound) {
            Some(state) => Acceptor::new(self.here, state),
            None => {
                counters.meta_rows_damaged += 1;
                Acceptor::after_rollback(self.here, self.state_of(id))
            }
        };
        self.acceptors.insert(id, acceptor);
        self.refresh(id);
    }

    fn state_of(&self, id: PartitionId) -> AcceptorState {
        let known = self.acceptors.get(&id).map(|acceptor| acceptor.state().clone());
        known.unwrap_or_else(|| AcceptorState::new(*self.register(id)))
    }

    fn entry(&self, id: PartitionId) -> &Entry {
        &self.entries[usize::from(id.0)]
    }

    /// What is known of a partition's register.
    pub(crate) fn register(&self, id: PartitionId) -> &Register {
        &self.entry(id).register
    }

    /// The tag under which requests go.
    pub(crate) fn tag(&self, id: PartitionId) -> RegisterTag {
        self.entry(id).tag
    }

    /// N.
    pub(crate) fn replication(&self) -> Replication {
        self.replication
    }

    /// Q.
    pub(crate) fn count(&self) -> PartitionCount {
        self.count
    }

    /// The partition of a position.
    pub(crate) fn partition_of(&self, position: Position) -> PartitionId {
        self.count.partition_of(position)
    }

    /// The set that gets ask.
    pub(crate) fn read_set(&self, id: PartitionId) -> ReplicaSet {
        read_set(self.register(id))
    }

    /// The sets that puts need w copies of.
    pub(crate) fn write_sets(&self, id: PartitionId) -> Vec<ReplicaSet> {
        write_sets(self.register(id))
    }

    /// All members of the sets that puts need, those that gets ask first. Who is read from is also
    /// written to.
    pub(crate) fn holders(&self, id: PartitionId) -> Vec<NodeId> {
        let mut holders: Vec<NodeId> = self.read_set(id).iter().collect();
        if self.register(id).movement.is_none() {
            return holders;
        }
        for set in self.write_sets(id) {
            holders.extend(set.iter());
        }
        let mut seen = BTreeSet::new();
        holders.retain(|node| seen.insert(*node));
        holders
    }

    /// Whether a node is one that puts need.
    pub(crate) fn is_holder(&self, id: PartitionId, node: NodeId) -> bool {
        let register = self.register(id);
        match register.movement {
            None => register.current.contains(node),
            Some(_) => self.write_sets(id).iter().any(|set| set.contains(node)),
        }
    }

    /// Whether this node has to do with a partition: it holds it, shall hold it, or has to hand it over.
    pub(crate) fn is_involved(&self, id: PartitionId, node: NodeId) -> bool {
        let register = self.register(id);
        register.current.contains(node)
            || register.movement.is_some_and(|movement| movement.next.contains(node))
    }

    /// Partitions that a node has to do with.
    pub(crate) fn involving(&self, node: NodeId) -> impl Iterator<Item = PartitionId> {
        self.count.partitions().filter(move |id| self.is_involved(*id, node))
    }

    /// The partition table: who holds what as far as that is decided.
    pub(crate) fn settled(&self) -> Layout {
        let sets = self.entries.iter().map(|entry| entry.register.settled_set()).collect();
        Layout::new(self.count, self.replication, sets, self.version())
            .expect("a set of N for each partition")
    }

    /// Counts up with every step of every register.
    pub(crate) fn version(&self) -> u64 {
        let steps = self.entries.iter().map(|entry| {
            let stage = match entry.register.stage() {
                None => 0,
                Some(Stage::Fenced | Stage::Synced) => 1,
                Some(Stage::Decided) => 2,
                Some(Stage::Committed) => 3,
            };
            (entry.register.epoch.number - 1).saturating_mul(4).saturating_add(stage)
        });
        steps.fold(1, u64::saturating_add)
    }

    /// How this node stands to a partition. Nodes that were removed are awaited by nobody.
    pub(crate) fn standing(
        &self,
        id: PartitionId,
        is_removed: impl Fn(NodeId) -> bool,
    ) -> Standing {
        let register = self.register(id);
        let others = register.everyone().into_iter();
        let others: Vec<NodeId> =
            others.filter(|node| *node != self.here && !is_removed(*node)).collect();
        let has_left = register.stage() == Some(Stage::Committed);
        let leavers = if has_left { register.leavers() } else { Vec::new() };
        let mut members = others.clone();
        if !register.is_decided() {
            members.retain(|node| register.current.contains(*node));
        }
        let role = if register.current.contains(self.here) {
            Role::Member
        } else if self.is_involved(id, self.here) {
            if register.is_decided() {
                Role::Member
            } else {
                let sources: Vec<NodeId> = register.current.iter().collect();
                let at_once = planted(PlantedBug::JoinerCompleteAtOnce);
                Role::Joiner { sources, needed: if at_once { 0 } else { register.majority() } }
            }
        } else {
            Role::Outside
        };
        Standing {
            tag: self.tag(id),
            others,
            members,
            leavers,
            role,
            holds: self.is_holder(id, self.here),
            begins_anew: false,
            takes_part: self.takes_part(id),
        }
    }

    /// Whether this node remembers what it promised of a partition.
    pub(crate) fn takes_part(&self, id: PartitionId) -> bool {
        self.acceptors.get(&id).is_none_or(Acceptor::takes_part)
    }

    /// Whether all that it knows of a partition is synced.
    pub(crate) fn is_synced(&self, id: PartitionId) -> bool {
        self.acceptors.get(&id).is_none_or(Acceptor::is_synced)
    }

    /// Partitions of which this node has forgotten what it promised.
    pub(crate) fn forgotten(&self) -> Vec<PartitionId> {
        let forgot = self.acceptors.iter().filter(|(_, acceptor)| !acceptor.takes_part());
        forgot.map(|(id, _)| *id).collect()
    }

    /// The votes of this node. Call [`refresh`](Self::refresh) afterwards.
    pub(crate) fn acceptor(&mut self, id: PartitionId) -> &mut Acceptor {
        let register = self.entries[usize::from(id.0)].register;
        let here = self.here;
        self.acceptors
            .entry(id)
            .or_insert_with(|| Acceptor::new(here, AcceptorState::new(register)))
    }

    /// Acceptors with something left to be done.
    pub(crate) fn known_acceptors(&self) -> Vec<PartitionId> {
        self.acceptors.keys().copied().collect()
    }

    /// Takes over what the acceptor knows. Returns what was known before, if that was something else.
    pub(crate) fn refresh(&mut self, id: PartitionId) -> Option<Register> {
        let register = *self.acceptors.get(&id)?.register();
        let entry = &mut self.entries[usize::from(id.0)];
        if entry.register == register {
            return None;
        }
        let new = Entry::of(register);
        let group = &mut self.groups[usize::from(id.0) % REGISTER_GROUPS];
        *group = group.wrapping_sub(entry.digest).wrapping_add(new.digest);
        Some(core::mem::replace(entry, new).register)
    }

    /// Reads what somebody says of a register. None if it cannot be one of this cluster's.
    pub(crate) fn decode(&self, id: PartitionId, bytes: &[u8]) -> Option<Register> {
        let register = Register::decode(bytes).ok()?;
        self.is_plausible(id, &register).then_some(register)
    }

    /// Whether a register can be one of this cluster's.
    pub(crate) fn is_plausible(&self, id: PartitionId, register: &Register) -> bool {
        self.count.contains(id)
            && register.current.len() == usize::from(self.replication.get())
            && register.epoch.number.saturating_sub(self.register(id).epoch.number)
                <= EPOCH_JUMP_MAX
    }

    /// Digests of all groups.
    pub(crate) fn groups(&self) -> &[u128; REGISTER_GROUPS] {
        &self.groups
    }

    /// A digest of all registers.
    pub(crate) fn fingerprint(&self) -> u128 {
        let places = (0u128..).zip(&self.groups);
        places.fold(0, |sum, (place, group)| sum.wrapping_add(group.wrapping_mul(2 * place + 1)))
    }

    /// Registers of some groups; those of genesis are known to all.
    pub(crate) fn in_groups(&self, groups: u64) -> Vec<(PartitionId, Bytes)> {
        let changed = self.acceptors.keys().copied();
        let asked = changed.filter(|id| groups >> (usize::from(id.0) % REGISTER_GROUPS) & 1 == 1);
        asked.map(|id| (id, self.register(id).encode())).collect()
    }
}

/// A register may be ahead of what is known here by so many epochs. Nobody moves a partition a million
/// times while a node is away; a flipped high bit does, and would use the epochs up.
const EPOCH_JUMP_MAX: u64 = 1 << 20;
