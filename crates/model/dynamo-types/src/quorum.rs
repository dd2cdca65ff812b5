//! N, R and W.

use thiserror::Error;

/// N: how many replicas every object has. Belongs to the cluster, fixed at genesis, 1-7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replication(u8);

/// Why a number cannot be N.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("n is from 1 to 7, not {0}")]
pub struct ReplicationError(pub u8);

impl Replication {
    /// The largest N. Beyond seven copies another cluster is the better answer.
    pub const MAX: u8 = 7;

    /// Checks N.
    ///
    /// # Errors
    /// Refuses what is not from 1 to 7.
    pub fn new(n: u8) -> Result<Self, ReplicationError> {
        if (1..=Self::MAX).contains(&n) { Ok(Self(n)) } else { Err(ReplicationError(n)) }
    }

    /// N as a number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// More than half of N.
    #[must_use]
    pub fn majority(self) -> u8 {
        self.0 / 2 + 1
    }
}

/// How many replicas a get waits for (r) and how many a put stores before it answers (w).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorum {
    r: u8,
    w: u8,
}

/// Why r or w is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{name} is from 1 to n={n}, not {given}")]
pub struct QuorumError {
    /// `r` or `w`.
    pub name: &'static str,
    /// What was asked for.
    pub given: u8,
    /// The cluster's N.
    pub n: u8,
}

impl Quorum {
    /// Checks r and w against N.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn new(n: Replication, r: u8, w: u8) -> Result<Self, QuorumError> {
        for (name, given) in [("r", r), ("w", w)] {
            if !(1..=n.get()).contains(&given) {
                return Err(QuorumError { name, given, n: n.get() });
            }
        }
        Ok(Self { r, w })
    }

    /// Replies that a get waits for.
    #[must_use]
    pub fn r(self) -> u8 {
        self.r
    }

    /// Copies that a put stores before it answers.
    #[must_use]
    pub fn w(self) -> u8 {
        self.w
    }
}
