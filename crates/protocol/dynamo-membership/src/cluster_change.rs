//! What becomes of the cluster when operators change its members: the plan before the commit.
//!
//! Pure: from what is known and what is asked it makes the members and the layout of afterwards.
//! Whoever commits a plan makes it anew, and refuses if it comes out differently.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use dynamo_messages::{CHANGES_MAX, ClusterChange};
use dynamo_ring::{Layout, Plan, RebalanceError, RingMember, Zone, rebalance};
use dynamo_types::NodeId;
use thiserror::Error;

use crate::members::{MemberDetails, MemberStatus, Members};

/// What is known of the cluster before the change.
#[derive(Debug, Clone, Copy)]
pub struct ClusterState<'a> {
    /// The members.
    pub members: &'a Members,
    /// Who holds what, as far as that is decided.
    pub settled: &'a Layout,
    /// Joining nodes that an earlier commit has let in.
    pub let_in: &'a BTreeSet<NodeId>,
}

/// The cluster of afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChange {
    /// The members.
    pub members: Members,
    /// The layout, and what it costs.
    pub plan: Plan,
    /// The members that placement counted on before.
    pub before: Vec<RingMember>,
    /// Those that it counts on from now on.
    pub after: Vec<RingMember>,
}

impl PlannedChange {
    /// Names the plan and what it was made for: equal only if a commit would do the same.
    #[must_use]
    pub fn id(&self, settled: &Layout) -> u128 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"dynamo plan 1");
        hasher.update(&settled.digest());
        hasher.update(&self.plan.layout.digest());
        // Stamps say who planned; the plan of another node is the same if all else is.
        for (node, member) in self.members.iter() {
            hasher.update(&node.0.to_be_bytes());
            hasher.update(&[member.status as u8]);
            hasher.update(&member.details.weight.to_be_bytes());
            hasher.update(&(member.details.zone.as_str().len() as u64).to_be_bytes());
            hasher.update(member.details.zone.as_str().as_bytes());
        }
        let hash = hasher.finalize();
        u128::from_be_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }
}

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// Too many at once.
    #[error("{0} changes are too many for one plan: at most {CHANGES_MAX}")]
    TooMany(usize),
    /// No member has that name or id.
    #[error("no member is called {0:?}; `dynamo cluster` lists their names and ids")]
    Unknown(String),
    /// Several members have that name.
    #[error("several members are called {0:?}: say which one by its id")]
    Ambiguous(String),
    /// The node is in the cluster already.
    #[error(
        "{node} is a {status} and cannot join; only a node that has just made itself known can"
    )]
    CannotJoin {
        /// Which node.
        node: String,
        /// What it is.
        status: &'static str,
    },
    /// The node is on its way out or gone.
    #[error("{node} is {status} already")]
    Gone {
        /// Which node.
        node: String,
        /// What it is.
        status: &'static str,
    },
    /// A node without capacity holds nothing.
    #[error("a weight is at least 1")]
    Weight,
    /// A zone's name.
    #[error("a zone has 1 to 64 characters of letters, digits, '.', '_' and '-', not {0:?}")]
    Zone(String),
    /// There is no layout for the members of afterwards.
    #[error("the cluster cannot be like that: {0}")]
    Layout(#[from] RebalanceError),
}

/// Makes a plan. The author is the node that sets new details.
///
/// # Errors
/// Refuses what cannot be; nothing is changed by planning anyway.
pub fn plan_change(
    state: ClusterState<'_>,
    changes: &[ClusterChange],
    author: NodeId,
) -> Result<PlannedChange, ChangeError> {
    if changes.len() > CHANGES_MAX {
        return Err(ChangeError::TooMany(changes.len()));
    }
    let mut members = state.members.clone();
    let mut let_in = state.let_in.clone();
    let before = counted_on(&members, &let_in);
    for change in changes {
        apply(&mut members, &mut let_in, change, author)?;
    }
    let after = counted_on(&members, &let_in);
    let (replication, count) = (state.settled.replication(), state.settled.partition_count());
    let plan = rebalance(Some(state.settled), &after, replication, count)?;
    Ok(PlannedChange { members, plan, before, after })
}

fn apply(
    members: &mut Members,
    let_in: &mut BTreeSet<NodeId>,
    change: &ClusterChange,
    author: NodeId,
) -> Result<(), ChangeError> {
    match change {
        ClusterChange::Join { node: name } => {
            let node = find_member(members, name)?;
            let status = status_of(members, node);
            if status != MemberStatus::Joining {
                let (node, status) = (name.clone(), status.name());
                return Err(ChangeError::CannotJoin { node, status });
            }
            let_in.insert(node);
        }
        ClusterChange::Leave { node: name } => {
            let node = find_member(members, name)?;
            let status = status_of(members, node);
            if status >= MemberStatus::Leaving {
                return Err(ChangeError::Gone { node: name.clone(), status: status.name() });
            }
            members.climb(node, MemberStatus::Leaving);
        }
        ClusterChange::Remove { node: name } => {
            let node = find_member(members, name)?;
            members.climb(node, MemberStatus::Removed);
        }
        ClusterChange::Reweight { node: name, weight } => {
            if *weight == 0 {
                return Err(ChangeError::Weight);
            }
            set(members, name, author, |details| details.weight = *weight)?;
        }
        ClusterChange::Rezone { node: name, zone } => {
            let zone_name = Zone::new(zone.as_str());
            if !zone_name.is_sound() {
                return Err(ChangeError::Zone(zone.clone()));
            }
            set(members, name, author, |details| details.zone = zone_name)?;
        }
    }
    Ok(())
}

fn set(
    members: &mut Members,
    name: &str,
    author: NodeId,
    change: impl FnOnce(&mut MemberDetails),
) -> Result<(), ChangeError> {
    let node = find_member(members, name)?;
    let Some(member) = members.get(node) else { return Ok(()) };
    let mut details = member.details.clone();
    change(&mut details);
    if details != member.details {
        members.set_details(node, details, author);
    }
    Ok(())
}

/// A node by its name or id. Names of those that were removed may be used again.
///
/// # Errors
/// Nobody is called so, several are, or only nodes that were removed.
pub fn find_member(members: &Members, name: &str) -> Result<NodeId, ChangeError> {
    let is_id = u64::from_str_radix(name, 16).ok().filter(|_| name.len() == 16).map(NodeId);
    if let Some(node) = is_id.filter(|node| members.get(*node).is_some()) {
        let status = status_of(members, node);
        if status == MemberStatus::Removed {
            return Err(ChangeError::Gone { node: name.into(), status: status.name() });
        }
        return Ok(node);
    }
    let called = members.iter().filter(|(_, member)| member.details.name == name);
    let called: Vec<(NodeId, MemberStatus)> =
        called.map(|(node, member)| (node, member.status)).collect();
    let here = called.iter().filter(|(_, status)| *status != MemberStatus::Removed);
    let mut here = here.map(|(node, _)| *node);
    match (here.next(), here.next()) {
        (Some(node), None) => Ok(node),
        (Some(_), Some(_)) => Err(ChangeError::Ambiguous(name.into())),
        (None, _) if called.is_empty() => Err(ChangeError::Unknown(name.into())),
        (None, _) => {
            let status = MemberStatus::Removed.name();
            Err(ChangeError::Gone { node: name.into(), status })
        }
    }
}

fn status_of(members: &Members, node: NodeId) -> MemberStatus {
    members.get(node).map_or(MemberStatus::Removed, |member| member.status)
}

/// Members that shall hold copies: active ones, and joining ones that were let in.
fn counted_on(members: &Members, let_in: &BTreeSet<NodeId>) -> Vec<RingMember> {
    let all = members.ring_members().into_iter();
    let counts = |member: &RingMember| {
        let_in.contains(&member.node) || status_of(members, member.node) == MemberStatus::Active
    };
    all.filter(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_ring::first_layout;
    use dynamo_types::{PartitionCount, Replication};

    fn details(number: u64) -> MemberDetails {
        MemberDetails {
            name: alloc::format!("node-{number}"),
            address: "a:1".into(),
            http_address: "a:2".into(),
            weight: 1,
            zone: Zone::new(alloc::format!("z{number}")),
        }
    }

    fn members(active: u64, joining: u64) -> Members {
        let mut members = Members::new();
        for number in 1..=active + joining {
            members.set_details(NodeId(number), details(number), NodeId(1));
            if number <= active {
                members.climb(NodeId(number), MemberStatus::Active);
            }
        }
        members
    }

    fn plan(members: &Members, changes: &[ClusterChange]) -> Result<PlannedChange, ChangeError> {
        let n = Replication::new(3).unwrap();
        let active: Vec<RingMember> = counted_on(members, &BTreeSet::new());
        let settled = first_layout(&active, n, PartitionCount::new(64).unwrap()).unwrap().layout;
        let let_in = BTreeSet::new();
        let state = ClusterState { members, settled: &settled, let_in: &let_in };
        plan_change(state, changes, NodeId(1))
    }

    fn named(number: u64) -> String {
        alloc::format!("node-{number}")
    }

    #[test]
    fn a_node_that_only_made_itself_known_gets_nothing() {
        let planned = plan(&members(3, 1), &[]).unwrap();
        assert_eq!((planned.plan.moved, planned.after.len()), (0, 3));
    }

    #[test]
    fn a_join_and_a_leave_at_once_move_what_has_to_move() {
        let changes =
            [ClusterChange::Join { node: named(5) }, ClusterChange::Leave { node: named(2) }];
        let planned = plan(&members(4, 1), &changes).unwrap();
        let holders: BTreeSet<NodeId> =
            planned.plan.layout.iter().flat_map(|(_, set)| set.iter()).collect();
        assert_eq!(holders, [1, 3, 4, 5].map(NodeId).into());
        assert_eq!(planned.plan.moved, 48, "what the leaver had");
        let status = |node| planned.members.get(NodeId(node)).unwrap().status;
        assert_eq!((status(2), status(5)), (MemberStatus::Leaving, MemberStatus::Joining));
    }

    #[test]
    fn history_22_a_leave_below_n_is_refused() {
        let refused = plan(&members(3, 0), &[ClusterChange::Leave { node: named(2) }]);
        assert!(matches!(refused, Err(ChangeError::Layout(_))), "{refused:?}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let members = members(4, 1);
        let refused = |change| plan(&members, &[change]).unwrap_err();
        assert_eq!(refused(ClusterChange::Join { node: named(9) }), ChangeError::Unknown(named(9)));
        assert!(matches!(
            refused(ClusterChange::Join { node: named(1) }),
            ChangeError::CannotJoin { .. }
        ));
        assert_eq!(
            refused(ClusterChange::Reweight { node: named(1), weight: 0 }),
            ChangeError::Weight
        );
        let zone = ClusterChange::Rezone { node: named(1), zone: "a b".into() };
        assert_eq!(refused(zone), ChangeError::Zone("a b".into()));
    }

    #[test]
    fn a_removed_node_can_only_be_named_to_be_refused() {
        let mut members = members(5, 0);
        members.climb(NodeId(2), MemberStatus::Removed);
        let refused = plan(&members, &[ClusterChange::Remove { node: named(2) }]);
        assert_eq!(refused, Err(ChangeError::Gone { node: named(2), status: "removed" }));
    }
}
