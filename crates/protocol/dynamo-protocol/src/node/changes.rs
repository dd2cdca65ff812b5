//! What operators ask: plans, commits, cancels, forces, and how far moves are.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use dynamo_membership::{
    ChangeError, ClusterState, MemberStatus, Members, PlannedChange, Stamp, WantedLayout,
    find_member, plan_change,
};
use dynamo_messages::{
    ClusterChange, Failure, Invalid, LinkView, PlanView, PlannedNodeView, Reply,
};
use dynamo_register::{Register, Request, Stage};
use dynamo_ring::{Layout, Preview, ReplicaSet, RingMember};
use dynamo_types::{NodeId, PartitionId};

use super::operations::Origin;
use super::{Node, invalid};
use crate::effect::Lane;

/// Other operators' commits wait for the disk.
const TOO_MANY_COMMITS: Failure = Failure::Overloaded { retry_after_ms: 1_000 };
/// What a node fetches in a second while it serves, about: for the time that a plan says it takes.
const BYTES_PER_SECOND: u64 = 20 << 20;

impl Node {
    pub(super) fn plan_requested(&mut self, origin: Origin, changes: &[ClusterChange]) {
        match self.planned(changes) {
            Ok((_, view)) => self.answer(origin, Reply::Plan(view)),
            Err(failure) => self.fail(origin, failure),
        }
    }

    pub(super) fn commit_requested(
        &mut self,
        origin: Origin,
        changes: &[ClusterChange],
        plan: u128,
    ) {
        let (planned, mut view) = match self.planned(changes) {
            Ok(planned) => planned,
            Err(failure) => return self.fail(origin, failure),
        };
        if view.plan != plan {
            let detail = "the cluster is not as it was when this plan was made: plan again";
            return self.fail(origin, invalid(Invalid::Change, detail.to_string()));
        }
        if !self.has_room_for_commit() {
            return self.fail(origin, TOO_MANY_COMMITS);
        }
        view.committed = true;
        let sets = planned.plan.layout.iter().map(|(_, set)| *set).collect();
        self.decide_members(planned.members);
        let wanted = WantedLayout { stamp: self.next_stamp(), sets: Some(sets) };
        self.want_layout(wanted, Some((origin, Reply::Plan(view))));
    }

    pub(super) fn cancel_requested(&mut self, origin: Origin) {
        if !self.has_room_for_commit() {
            return self.fail(origin, TOO_MANY_COMMITS);
        }
        let count = self.registers.count();
        let undecided = |id: &PartitionId| {
            let register = self.registers.register(*id);
            !register.is_decided() && !self.is_settled(*id)
        };
        let moves = count.partitions().filter(undecided).count();
        let moves = u32::try_from(moves).unwrap_or(u32::MAX);
        let wanted = WantedLayout { stamp: self.next_stamp(), sets: None };
        self.want_layout(wanted, Some((origin, Reply::Cancelled { moves })));
    }

    pub(super) fn next_stamp(&self) -> Stamp {
        let latest = self.moves.wanted.as_ref().map_or(0, |wanted| wanted.stamp.lamport);
        Stamp { lamport: latest.saturating_add(1), author: self.config.node }
    }

    /// Joining nodes that a commit has let in.
    fn let_in(&self) -> BTreeSet<NodeId> {
        let wanted = self.moves.wanted.iter().flat_map(|wanted| wanted.sets.iter().flatten());
        let wanted = wanted.flatten();
        let count = self.registers.count();
        let held = count.partitions().map(|id| self.registers.register(id).settled_set());
        let mut let_in: BTreeSet<NodeId> = wanted.collect();
        for set in held {
            let_in.extend(&set);
        }
        let_in
    }

    fn planned(&self, changes: &[ClusterChange]) -> Result<(PlannedChange, PlanView), Failure> {
        let settled = self.registers.settled();
        let let_in = self.let_in();
        let state = ClusterState { members: self.members(), settled: &settled, let_in: &let_in };
        let planned = plan_change(state, changes, self.config.node)
            .map_err(|error| invalid(Invalid::Change, error.to_string()))?;
        let gone = removed(&planned.members);
        let lost = self.without_majority(&gone);
        if !lost.is_empty() && gone != removed(self.members()) {
            let detail = alloc::format!(
                "with these nodes removed, {} partitions have no majority left to move them: bring one of \
                 the nodes back, or give them up with force",
                lost.len()
            );
            return Err(invalid(Invalid::Change, detail));
        }
        let view = self.plan_view(&settled, &planned);
        Ok((planned, view))
    }

    /// Partitions of which a majority is gone.
    fn without_majority(&self, gone: &BTreeSet<NodeId>) -> BTreeSet<PartitionId> {
        let count = self.registers.count();
        count.partitions().filter(|id| self.lacks_majority(*id, gone)).collect()
    }

    fn plan_view(&self, settled: &Layout, planned: &PlannedChange) -> PlanView {
        let can_send = |node: NodeId| self.is_healthy(node) && !self.is_removed(node);
        let preview =
            Preview::new(settled, &planned.plan, &planned.before, &planned.after, can_send);
        let copy_bytes = self.replica.bytes_of_a_partition();
        let name_of = |node: NodeId| {
            let member = planned.members.get(node);
            member.map(|member| member.details.name.clone()).unwrap_or_default()
        };
        let nodes: Vec<PlannedNodeView> = preview
            .nodes
            .iter()
            .map(|(node, change)| PlannedNodeView {
                node: *node,
                name: name_of(*node),
                before: change.before,
                after: change.after,
                received: change.received,
                sent: change.sent,
            })
            .collect();
        let links = preview.links().into_iter().map(|((from, to), copies)| LinkView {
            from,
            to,
            copies,
            bytes: copy_bytes.saturating_mul(copies.into()),
        });
        let most = nodes.iter().map(|node| node.received.max(node.sent)).max().unwrap_or(0);
        let moved = planned.plan.moved;
        PlanView {
            plan: planned.id(settled),
            committed: false,
            partitions_changed: preview.partitions_changed,
            copies_moved: moved,
            copies_lower_bound: preview.lower_bound,
            copies: preview.copies,
            bytes: copy_bytes.saturating_mul(moved.into()),
            seconds: u32::try_from(
                copy_bytes.saturating_mul(most.into()).div_ceil(BYTES_PER_SECOND),
            )
            .unwrap_or(u32::MAX),
            zone_safe_before: preview.zone_safe_before,
            zone_safe_after: preview.zone_safe_after,
            out_of_reach: u32::try_from(preview.out_of_reach().count()).unwrap_or(u32::MAX),
            nodes,
            links: links.collect(),
        }
    }

    // Force.

    /// Names new holders of the partitions of which a majority is gone for good (history 21).
    pub(super) fn force_requested(&mut self, origin: Origin, given_up: &[String], commit: bool) {
        let gone = match self.named(given_up) {
            Ok(gone) => gone,
            Err(failure) => return self.fail(origin, failure),
        };
        let settled = self.registers.settled();
        let after = self.remaining(&gone);
        let all_gone = gone.iter().copied().chain(removed(self.members())).collect();
        let mut stuck = self.without_majority(&all_gone);
        let count = self.registers.count();
        stuck.extend(count.partitions().filter(|id| self.is_stuck(*id)));
        let (n, count) = (settled.replication(), settled.partition_count());
        let plan = match dynamo_ring::rebalance(Some(&settled), &after, n, count) {
            Ok(plan) => plan,
            Err(error) => return self.fail(origin, invalid(Invalid::Change, error.to_string())),
        };
        let mut members = self.members().clone();
        for node in &gone {
            members.climb(*node, MemberStatus::Removed);
        }
        let before = self.members().ring_members();
        let planned = PlannedChange { members, plan, before, after };
        let mut view = self.plan_view(&settled, &planned);
        view.partitions_changed = u32::try_from(stuck.len()).unwrap_or(u32::MAX);
        view.committed = commit;
        if !commit {
            return self.answer(origin, Reply::Plan(view));
        }
        if !self.has_room_for_commit() {
            return self.fail(origin, TOO_MANY_COMMITS);
        }
        let sets: Vec<ReplicaSet> = planned.plan.layout.iter().map(|(_, set)| *set).collect();
        self.decide_members(planned.members);
        for id in stuck {
            self.force(id, sets[usize::from(id.0)], &gone);
        }
        let wanted = WantedLayout { stamp: self.next_stamp(), sets: Some(sets) };
        self.want_layout(wanted, Some((origin, Reply::Plan(view))));
    }

    /// Whether a majority of those that decide about a partition is given up.
    fn lacks_majority(&self, id: PartitionId, gone: &BTreeSet<NodeId>) -> bool {
        let register = self.registers.register(id);
        let lacks = |set: ReplicaSet| {
            set.iter().filter(|node| !gone.contains(node)).count() < register.majority()
        };
        // Until it is committed, a majority of those that decided has to know of it.
        let is_decided = register.stage() == Some(Stage::Decided);
        lacks(register.settled_set()) || is_decided && lacks(register.current)
    }

    /// Members that hold copies, or shall.
    pub(super) fn counted_on(&self) -> Vec<RingMember> {
        self.remaining(&BTreeSet::new())
    }

    fn remaining(&self, gone: &BTreeSet<NodeId>) -> Vec<RingMember> {
        let let_in = self.let_in();
        let members = self.members().ring_members().into_iter();
        let counts = |member: &RingMember| {
            let status = self.members().get(member.node).map(|known| known.status);
            !gone.contains(&member.node)
                && (status == Some(MemberStatus::Active) || let_in.contains(&member.node))
        };
        members.filter(counts).collect()
    }

    fn named(&self, names: &[String]) -> Result<BTreeSet<NodeId>, Failure> {
        let mut gone = BTreeSet::new();
        for name in names {
            match find_member(self.members(), name) {
                Ok(node) if node == self.config.node => {
                    let detail = "the node that is asked cannot be given up".to_string();
                    return Err(invalid(Invalid::Change, detail));
                }
                Ok(node) => {
                    gone.insert(node);
                }
                // Who was removed is given up anyway.
                Err(ChangeError::Gone { .. }) => {}
                Err(error) => return Err(invalid(Invalid::Change, error.to_string())),
            }
        }
        Ok(gone)
    }

    /// Takes the epoch above all that is known here. Members that were not reached and know a later one
    /// win, and what they hold is offered by whoever loses.
    fn force(&mut self, id: PartitionId, set: ReplicaSet, gone: &BTreeSet<NodeId>) {
        let seen = [*self.registers.register(id)];
        let Ok(forced) = Register::force(&seen, set, gone) else {
            self.counters.moves_refused += 1;
            return;
        };
        self.counters.moves_forced += 1;
        self.learn_register(id, &forced.register);
        let bytes = Request::Learn(forced.register).encode();
        for node in self.connected_members() {
            let bytes = bytes.clone();
            let message = dynamo_messages::PeerMessage::RegisterRequest { partition: id, bytes };
            self.send(node, Lane::Background, message);
        }
    }
}

fn removed(members: &Members) -> BTreeSet<NodeId> {
    let removed = members.iter().filter(|(_, member)| member.status == MemberStatus::Removed);
    removed.map(|(node, _)| node).collect()
}
