//! Checked values that every layer shares: identities, names, positions on the ring, time,
//! quorums and bucket settings.
//!
//! Constructors check; whoever holds a value need not check again. Nothing here has behaviour of
//! its own: no protocol, no encoding, no clock.
//!
//! Reading order: [`identity`], [`checkpoint_name`], [`register_tag`], [`name`], [`position`], [`time`], [`quorum`], [`settings`],
//! [`limits`].
#![no_std]

extern crate alloc;

pub mod checkpoint_name;
pub mod identity;
pub mod limits;
pub mod name;
pub mod planted;
pub mod position;
pub mod quorum;
pub mod register_tag;
pub mod settings;
pub mod time;

pub use checkpoint_name::CheckpointName;
pub use identity::{ActorId, ClusterId, NodeId, ParseIdError, RequestId};
pub use limits::Limits;
pub use name::{Bucket, BucketError, Key, KeyError, ObjectName};
pub use position::{PartitionCount, PartitionCountError, PartitionId, Position};
pub use quorum::{Quorum, QuorumError, Replication, ReplicationError};
pub use register_tag::RegisterTag;
pub use settings::{BucketSettings, Durability, Profile, Reconciliation};
pub use time::{Instant, Now, WallTime};
