//! The solver: from one layout and the members to the next layout.
//!
//! It is a pure function on integers, so that every node and platform gets the same bytes:
//!
//! 1. `shares`, `targets`: how many copies each node should hold: its share by weight, as far as one
//!    node can hold one copy of a partition and a zone its part of a set.
//! 2. `table`: the old sets without the nodes that left and without what breaks the zone rule.
//! 3. `transfer`: vacancies go to nodes below their target, then surplus goes directly to deficit.
//! 4. `augment`: where no direct transfer is allowed, the cheapest chain of transfers.
//! 5. `lower_bound`: what no layout can do better, whatever steps 1 to 4 did. If they did worse,
//!    shares are rounded differently.
//! 6. `order`: each node is first in its sets equally often.
//!
//! **Laws** (`tests/properties`): replicas of a partition are distinct nodes; no zone has more of
//! them than the smallest bound that can be kept at all, ceil(N / zones) if zones have enough nodes;
//! every node holds the floor or ceiling of its ideal share and is first in the floor or ceiling of
//! 1/N of that; the order of `members` does not matter; members that did not change move nothing. No
//! other layout that keeps these laws moves fewer copies: that is tested against an exact method on
//! small clusters, and on all others [`Plan::lower_bound`] says how far a plan is from it. A
//! difference was never seen; 5 % would fail the tests.
//!
//! **Cost**: a first layout takes Q x N x S steps; a change about as many as copies move times the
//! copies that a node holds. Chains, needed in tight zones and after changes of zones, take Q x N x S
//! steps once and S x S for each few of them. `docs/paper/README.md` has the times.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use dynamo_types::{NodeId, PartitionCount, PartitionId, Replication};
use thiserror::Error;

use crate::layout::Layout;
use crate::member::RingMember;
use crate::replica_set::ReplicaSet;

mod augment;
mod exchanges;
mod lower_bound;
mod order;
mod shares;
mod table;
mod targets;
mod transfer;
mod zones;

use lower_bound::Change;
use shares::Share;
use table::Table;
use zones::Zones;

/// The next layout, and what it costs to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The layout; its version is the old one's plus 1 if any set differs.
    pub layout: Layout,
    /// Copies of partitions that some node has to fetch.
    pub moved: u32,
    /// No fair layout moves fewer copies: none with distinct nodes, zones within their cap and the
    /// floor or ceiling of its ideal share on every node. It holds whatever the solver did, and is
    /// equal to `moved` when the plan is the best there is.
    pub lower_bound: u32,
    /// Copies that each member holds in the new layout.
    pub targets: BTreeMap<NodeId, u32>,
}

/// Why there is no layout for these members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RebalanceError {
    /// A replica set always has exactly N distinct members.
    #[error("{members} members cannot hold n={replication} replicas on distinct nodes")]
    TooFewMembers {
        /// How many there are.
        members: usize,
        /// N.
        replication: u8,
    },
    /// The solver counts pairs of nodes, and a gossiped member list has its limits (Paper §6.6).
    #[error("at most {max} members, not {0}", max = MEMBERS_MAX)]
    TooManyMembers(usize),
    /// A node that should hold nothing is no member.
    #[error("node {0} has weight 0; the smallest is 1")]
    ZeroWeight(NodeId),
    /// Two members with one id.
    #[error("node {0} is listed twice")]
    DuplicateNode(NodeId),
    /// N and Q are fixed at genesis.
    #[error("the old layout has other numbers of replicas or partitions")]
    OtherShape,
}

/// How many members a layout can have. The table of pairs is 16 MiB then.
pub const MEMBERS_MAX: usize = 2048;

/// The first layout of these members.
///
/// # Errors
/// As [`rebalance`].
pub fn first_layout(
    members: &[RingMember],
    replication: Replication,
    partition_count: PartitionCount,
) -> Result<Plan, RebalanceError> {
    rebalance(None, members, replication, partition_count)
}

/// The layout for these members that moves little from the old one. Nodes of the old layout that
/// are no members lose all they hold; members that it does not know receive their share.
///
/// # Errors
/// Refuses fewer members than N, more than [`MEMBERS_MAX`], zero weights, a node that is listed
/// twice, and an old layout with another N or Q.
pub fn rebalance(
    old: Option<&Layout>,
    members: &[RingMember],
    replication: Replication,
    partition_count: PartitionCount,
) -> Result<Plan, RebalanceError> {
    let members = checked(members, replication)?;
    if old.is_some_and(|o| o.replication() != replication || o.partition_count() != partition_count)
    {
        return Err(RebalanceError::OtherShape);
    }
    let zones = Zones::of(&members, replication);
    let mut table = Table::new(old, &members, &zones, replication, partition_count);
    let shares = shares::ideal_shares(&members, &zones, table.row_count(), table.place_count());
    table.set_targets(targets::targets(&members, &zones, &table, &shares));
    if table.vacate_crowded_zones() {
        augment::settle_free(&mut table);
    }
    transfer::fill_vacancies(&mut table);
    transfer::give_surplus(&mut table);
    augment::settle(&mut table);
    let lower_bound = match old {
        // Every copy is new.
        None => table.moved(),
        Some(old) => improve(&mut table, &Change::new(old, &members, &zones, &shares), &shares),
    };
    let rows = order::order(&table);
    let moved = table.moved();

    let sets: Vec<ReplicaSet> = rows
        .chunks(usize::from(replication.get()))
        .map(|row| {
            let mut nodes = [NodeId(0); Replication::MAX as usize];
            for (node, index) in nodes.iter_mut().zip(row) {
                *node = members[usize::from(*index)].node;
            }
            ReplicaSet::new(&nodes[..row.len()]).expect("the table keeps replicas distinct")
        })
        .collect();
    let version = match old {
        None => 1,
        Some(old) if old.iter().map(|(_, set)| set).eq(&sets) => old.version(),
        Some(old) => old.version() + 1,
    };
    let targets = members.iter().map(|m| m.node).zip(table.targets().iter().copied()).collect();
    let layout = Layout::new(partition_count, replication, sets, version)
        .expect("the table has a row of N for each partition");
    Ok(Plan { layout, moved, lower_bound, targets })
}

/// Rounds shares differently where the bound says that this may save copies. Returns the bound.
fn improve(table: &mut Table<'_>, change: &Change<'_>, shares: &[Share]) -> u32 {
    let bound = change.lower_bound(table.places());
    if bound == table.moved() {
        return bound;
    }
    augment::settle_rounding(table, shares);
    bound.max(change.lower_bound(table.places()))
}

impl Plan {
    /// The partitions whose members differ from the old layout's, with the new set.
    pub fn changed<'a>(
        &'a self,
        old: &'a Layout,
    ) -> impl Iterator<Item = (PartitionId, &'a ReplicaSet)> {
        self.layout.iter().filter(|(partition, set)| !set.same_members(old.replica_set(*partition)))
    }
}

/// The members in the order of their ids, so that the caller's order cannot matter.
fn checked(
    members: &[RingMember],
    replication: Replication,
) -> Result<Vec<RingMember>, RebalanceError> {
    if members.len() < usize::from(replication.get()) {
        let replication = replication.get();
        return Err(RebalanceError::TooFewMembers { members: members.len(), replication });
    }
    if members.len() > MEMBERS_MAX {
        return Err(RebalanceError::TooManyMembers(members.len()));
    }
    if let Some(idle) = members.iter().find(|m| m.weight == 0) {
        return Err(RebalanceError::ZeroWeight(idle.node));
    }
    let mut sorted = members.to_vec();
    sorted.sort_by_key(|m| m.node);
    match sorted.windows(2).find(|pair| pair[0].node == pair[1].node) {
        Some(pair) => Err(RebalanceError::DuplicateNode(pair[0].node)),
        None => Ok(sorted),
    }
}
