//! Operators change the members amid faults; and how that is judged.

use core::time::Duration;

use bytes::Bytes;
use dynamo_checker::history::HostIndex;
use dynamo_membership::MemberStatus;
use dynamo_messages::{ClusterChange, Reply, Request};
use dynamo_protocol::{MemberInfo, rows};
use dynamo_register::{AcceptorState, Epoch};
use dynamo_ring::ReplicaSet;
use dynamo_types::PartitionId;

use super::{Answer, Attempt, Cluster, Happening};
use crate::markers::Marker;

/// How long moves may take after healing.
const MOVES_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked whether they are done.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Cluster {
    /// What a node that is no member at genesis says of itself.
    pub(super) fn spare_info(&self, host: HostIndex) -> Option<MemberInfo> {
        let id = self.hosts[host.index()].id;
        self.spares.iter().find(|spare| spare.node == id).cloned()
    }

    /// Nodes that were not removed: the others serve nobody.
    pub(super) fn serving_hosts(&self) -> Vec<HostIndex> {
        let serves = |host: &HostIndex| {
            let state = &self.hosts[host.index()];
            state.machine.as_ref().is_none_or(|machine| {
                let member = machine.members().get(state.id);
                member.is_none_or(|member| member.status != MemberStatus::Removed)
            })
        };
        self.host_indices().filter(serves).collect()
    }

    /// An operator looks at the members as some node knows them, and changes something.
    pub(super) fn operator_changes_members(&mut self, host: HostIndex) {
        if self.fault_random.chance(120) {
            self.markers.hit(Marker::MovesCancelled);
            self.request_of_operator(host, Request::CancelMoves);
            return;
        }
        let Some(change) = self.draw_change(host) else { return };
        let changes = Vec::from([change]);
        let attempt =
            self.request_of_operator(host, Request::PlanChange { changes: changes.clone() });
        let (low, high) = (Duration::from_millis(10), Duration::from_millis(1_000));
        let thinks = self.fault_random.duration_by_magnitude(low, high);
        self.schedule(thinks, Happening::OperatorCommits { attempt, host, changes });
    }

    /// The operator has looked at the plan.
    pub(super) fn operator_commits(
        &mut self,
        attempt: u64,
        host: HostIndex,
        changes: Vec<ClusterChange>,
    ) {
        if let Some(Answer::Reply(Reply::Plan(view))) = self.audit_answers.remove(&attempt) {
            self.markers.hit(Marker::ChangeCommitted);
            let takes_out = |change: &ClusterChange| {
                matches!(change, ClusterChange::Leave { .. } | ClusterChange::Remove { .. })
            };
            self.taken_out += u8::from(changes.iter().any(takes_out));
            self.trace.line(self.now, || format!("OPERATOR commits {changes:?} at {host}"));
            self.request_of_operator(host, Request::CommitChange { changes, plan: view.plan });
        }
    }

    fn request_of_operator(&mut self, host: HostIndex, request: Request) -> u64 {
        self.attempt_counter += 1;
        let attempt = self.attempt_counter;
        self.attempts.insert(attempt, Attempt { client: None, host, process: None });
        let request = Box::new(request);
        self.schedule(Duration::ZERO, Happening::RequestArrives { attempt, request });
        attempt
    }

    fn draw_change(&mut self, host: HostIndex) -> Option<ClusterChange> {
        let machine = self.hosts[host.index()].machine.as_ref()?;
        let of = |status: MemberStatus| -> Vec<String> {
            let members = machine.members().iter().filter(|(_, member)| member.status == status);
            members.map(|(node, _)| format!("{:016x}", node.0)).collect()
        };
        let (joining, active) = (of(MemberStatus::Joining), of(MemberStatus::Active));
        let leaving = of(MemberStatus::Leaving);
        if active.is_empty() {
            return None;
        }
        let n = self.options.replication.get();
        let may_shrink = self.taken_out + n < self.options.founders;
        let random = &mut self.fault_random;
        let any = random.pick(&active).clone();
        Some(match random.below(100) {
            0..40 if !joining.is_empty() => {
                ClusterChange::Join { node: random.pick(&joining).clone() }
            }
            40..60 if may_shrink => ClusterChange::Leave { node: any },
            60..66 if may_shrink => ClusterChange::Remove { node: any },
            66..72 if !leaving.is_empty() => {
                ClusterChange::Remove { node: random.pick(&leaving).clone() }
            }
            72..90 => {
                let weight = u32::try_from(random.between(1, 4)).expect("small");
                ClusterChange::Reweight { node: any, weight }
            }
            _ => ClusterChange::Rezone { node: any, zone: format!("z{}", random.below(3)) },
        })
    }

    /// A node writes down what it knows of a register: each epoch of a partition has one set.
    pub(super) fn observe_register(&mut self, key: &Bytes, value: &Bytes) {
        let Some(partition) = rows::parse_register_key(key) else { return };
        let Ok(state) = AcceptorState::decode(value) else {
            return self.odd(format!("the register of {partition} is stored and does not decode"));
        };
        let register = state.register;
        self.observe_set(partition, register.epoch, register.current);
        if register.is_decided() {
            let next = register.cleaned();
            self.observe_set(partition, next.epoch, next.current);
        }
    }

    /// One node that holds a partition alone and loses its disk remembers nothing, and nobody else does.
    fn observe_set(&mut self, partition: PartitionId, epoch: Epoch, set: ReplicaSet) {
        match self.epochs.get(&(partition, epoch)) {
            None => {
                self.epochs.insert((partition, epoch), set);
                if epoch != Epoch::FIRST {
                    self.markers.hit(Marker::SetChanged);
                }
            }
            Some(known) if *known == set => {}
            Some(_) if set.len() == 1 && !self.evidence.lost_disks.is_empty() => {}
            Some(known) => {
                let what =
                    format!("epoch {epoch:?} of {partition} has two sets: {known:?}, {set:?}");
                self.odd(what);
            }
        }
    }

    /// Waits until every partition is where it is wanted, and notes who holds what from now on.
    pub(super) fn await_moves(&mut self) {
        self.await_rest(MOVES_WITHIN);
        // A cancel leaves everything where it is: operators plan anew what is still to be done.
        if self.moves_are_under_way() {
            self.plan_anew();
            self.await_rest(MOVES_WITHIN);
        }
        // Operators on two sides of a split may have removed a majority between them, and a disk that was
        // lost may have forgotten what the others cannot decide without: that is what force is for.
        for host in self.serving_hosts() {
            if self.moves_are_under_way() {
                self.force(host);
                self.await_rest(MOVES_WITHIN);
            }
        }
        let sets: Vec<Vec<HostIndex>> = self
            .keys
            .iter()
            .map(|(_, _, partition)| {
                let machines = self.hosts.iter().filter_map(|host| host.machine.as_ref());
                // Whoever knows most of it.
                let known = machines.max_by_key(|machine| machine.register_version(*partition));
                let set = known.map(|machine| machine.replica_set(*partition));
                set.iter().flat_map(|set| set.iter()).filter_map(|id| self.index_of(id)).collect()
            })
            .collect();
        for (facts, replicas) in self.history.keys.iter_mut().zip(sets) {
            facts.replicas = replicas;
        }
    }

    fn await_rest(&mut self, within: Duration) {
        let until = self.now + within;
        while self.moves_are_under_way() && self.now < until {
            self.advance_to(self.now + LOOK_EVERY);
        }
    }

    fn force(&mut self, host: HostIndex) {
        self.markers.hit(Marker::Forced);
        let serving = self.serving_hosts();
        let removed = self.host_indices().filter(|other| !serving.contains(other));
        let given_up = removed.map(|other| format!("{:016x}", self.hosts[other.index()].id.0));
        let request = Request::ForceMoves { given_up: given_up.collect(), commit: true };
        let reply = self.ask_one(host, request);
        self.trace.line(self.now, || format!("OPERATOR forces at {host}: {reply:?}"));
    }

    /// Commits once more what the members ask for, at a node that serves.
    fn plan_anew(&mut self) {
        let Some(host) = self.serving_hosts().first().copied() else { return };
        let changes = Vec::new();
        let plan = self.ask_one(host, Request::PlanChange { changes: changes.clone() });
        if let Some(Reply::Plan(view)) = plan {
            let plan = view.plan;
            let reply = self.ask_one(host, Request::CommitChange { changes, plan });
            self.trace.line(self.now, || format!("OPERATOR plans anew at {host}: {reply:?}"));
        }
    }

    fn moves_are_under_way(&self) -> bool {
        self.hosts.iter().any(|host| {
            host.machine.as_ref().is_none_or(|machine| {
                let is_out = |node| {
                    let member = machine.members().get(node);
                    member.is_none_or(|member| member.status >= MemberStatus::Leaving)
                };
                let mut partitions = self.options.partitions.partitions();
                machine.unsettled_partitions() > 0
                    || machine.leftover_partitions() > 0
                    || partitions.any(|id| machine.replica_set(id).iter().any(is_out))
            })
        })
    }
}
