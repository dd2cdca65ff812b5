//! What an operator chooses for a bucket: the paper's three patterns of use (Paper §6).

use core::fmt;
use core::time::Duration;

use crate::quorum::Replication;

/// The pattern of use that a bucket's defaults come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Profile {
    /// Siblings go back to the application, which merges them: the shopping cart.
    #[default]
    BusinessLogic,
    /// The last write wins, by hybrid logical clock: customer sessions.
    Timestamp,
    /// One replica answers a read, all store a write: the product catalogue.
    ReadEngine,
}

impl Profile {
    /// All profiles, in the order of their wire numbers.
    pub const ALL: [Self; 3] = [Self::BusinessLogic, Self::Timestamp, Self::ReadEngine];

    /// The name in configuration, HTTP and the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BusinessLogic => "business-logic",
            Self::Timestamp => "timestamp",
            Self::ReadEngine => "read-engine",
        }
    }

    /// The profile of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a client sees of concurrent versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Reconciliation {
    /// All of them.
    #[default]
    Siblings,
    /// The greatest by hybrid logical clock, then dot.
    LastWriteWins,
}

impl Reconciliation {
    /// The name in configuration, HTTP and the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Siblings => "siblings",
            Self::LastWriteWins => "last-write-wins",
        }
    }

    /// The reconciliation of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Siblings, Self::LastWriteWins].into_iter().find(|r| r.name() == name)
    }
}

/// When a replica counts a version as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Durability {
    /// One replica syncs, the others answer from memory (Paper §6.1): faster, and a power cut may
    /// cost what the reply's receipt says.
    Buffered,
    /// After it was synced to disk.
    #[default]
    Synced,
}

impl Durability {
    /// The name in configuration, HTTP and the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Synced => "synced",
        }
    }

    /// The durability of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Buffered, Self::Synced].into_iter().find(|d| d.name() == name)
    }
}

/// The settings of one bucket. N belongs to the cluster and is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketSettings {
    /// The pattern of use.
    pub profile: Profile,
    /// What clients see of concurrent versions.
    pub reconciliation: Reconciliation,
    /// Replies that a get waits for, 1..=N.
    pub r: u8,
    /// Copies that a put stores before it answers, 1..=N.
    pub w: u8,
    /// When a replica counts a version as stored.
    pub durability: Durability,
    /// Versions expire this long after they were written, in whole milliseconds.
    pub expiry: Option<Duration>,
}

impl BucketSettings {
    /// The defaults of a profile in a cluster of `n` replicas: a majority for r and w, except that
    /// a read engine reads one and writes all.
    #[must_use]
    pub fn of_profile(profile: Profile, n: Replication) -> Self {
        let (r, w) = match profile {
            Profile::BusinessLogic | Profile::Timestamp => (n.majority(), n.majority()),
            Profile::ReadEngine => (1, n.get()),
        };
        let reconciliation = match profile {
            Profile::Timestamp => Reconciliation::LastWriteWins,
            Profile::BusinessLogic | Profile::ReadEngine => Reconciliation::Siblings,
        };
        Self { profile, reconciliation, r, w, durability: Durability::Synced, expiry: None }
    }
}
