//! The partitioned ring: placement of replicas on weighted nodes in zones, and fallback order.
//!
//! The ring is cut into Q equal partitions and each partition has an explicit set of exactly N
//! replicas (Paper §6.2, strategy 3; deviation from §4.3: no walk to the successors). That makes the
//! movable unit one copy of one partition, keeps zones apart by construction, and gives a partition
//! one hash tree instead of N. A [`Layout`] is the table of those sets.
//!
//! Reading order: [`member`] (who can hold replicas), [`replica_set`], [`layout`],
//! [`mod@rebalance`] (the solver that turns one layout into the next), [`preview`] (what that means
//! for an operator), [`fallback`] (who stands in).
//!
//! **Not here:** who the members are and what state they are in (`dynamo-membership`), how a
//! partition moves from one set to the next, whether a node is alive. Everything here is a pure
//! function on integers, so each node computes the same bytes from the same members.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod fallback;
pub mod layout;
pub mod member;
pub mod preview;
pub mod rebalance;
pub mod replica_set;
mod scatter;

pub use fallback::{fallbacks, preference_list};
pub use layout::{Layout, LayoutError};
pub use member::{RingMember, Zone};
pub use preview::{NodeChange, Preview, Transfer};
pub use rebalance::{Plan, RebalanceError, first_layout, rebalance};
pub use replica_set::{ReplicaSet, ReplicaSetError};
