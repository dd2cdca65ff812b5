//! The cluster's members, genesis, bucket settings and the health of peers.
//!
//! Four kinds of fact stay apart. *Placement* is what operators decide: the [`Genesis`] that a
//! cluster begins with and the [`Members`] that it has since. *Settings* are what operators decide
//! for buckets: the [`BucketTable`]. Both are values that merge in any order to the same result,
//! so that they can be passed on by anyone. *Liveness* is what the nodes together think of each
//! other ([`Swim`]). *Health* is what one node has seen of its peers lately ([`PeerHealth`],
//! [`LatencyTracker`]), and is never passed on. The last two are opinions: they steer whom to ask
//! and who holds hints, never who owns what (Paper §4.8.1, §4.8.3).
//!
//! Members travel by [`Gossip`], settings by comparing the digests of their [`BucketTable`]s.
//!
//! Reading order: [`genesis`], [`members`], [`gossip`], [`bucket_entry`], [`bucket_table`],
//! [`wanted_layout`], [`cluster_change`], [`peer_health`], [`latency_tracker`], [`swim`].
//!
//! **Not here:** sending any of it (the protocol crate), the text of a genesis file (the node), the
//! registers by which a partition moves.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bucket_digests;
pub mod bucket_entry;
pub mod bucket_table;
pub mod cluster_change;
pub mod genesis;
pub mod gossip;
pub mod latency_tracker;
pub mod members;
pub mod peer_health;
pub mod swim;
pub mod wanted_layout;

pub use bucket_digests::BUCKET_GROUPS;
pub use bucket_entry::{BucketEntry, DecodeBucketEntryError};
pub use bucket_table::{BucketTable, BucketTableError};
pub use cluster_change::{ChangeError, ClusterState, PlannedChange, find_member, plan_change};
pub use genesis::{Genesis, GenesisError, GenesisMember};
pub use gossip::{DecodeGossipError, Gossip, GossipConfig, GossipEffect, GossipEvent};
pub use latency_tracker::LatencyTracker;
pub use members::{Member, MemberDetails, MemberStatus, Members, Stamp};
pub use peer_health::PeerHealth;
pub use swim::{
    DecodeSwimError, Liveness, Swim, SwimConfig, SwimEffect, SwimEvent, SwimIdentity, SwimRefusal,
};
pub use wanted_layout::{DecodeWantedError, WantedLayout};
