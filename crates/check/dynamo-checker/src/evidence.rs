//! All that the checks may look at, once a run has ended.

use std::collections::{BTreeMap, BTreeSet};

use dynamo_messages::Receipt;
use dynamo_types::{Durability, Instant};
use dynamo_versioning::{Dot, Hlc};

use crate::causality::Ancestry;
use crate::history::{History, HostIndex, KeyIndex, Write, WriteId};

/// A version as a disk holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldVersion {
    /// Whose write it is; none if no client of ours sent it.
    pub write: Option<WriteId>,
    /// Its dot.
    pub dot: Dot,
    /// Its hybrid timestamp.
    pub hlc: Hlc,
    /// Whether it is a tombstone.
    pub tombstone: bool,
    /// Whether its value is what that write wrote to this key.
    pub intact: bool,
}

/// The record of one key on one node's disk, at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldRecord {
    /// Its versions.
    pub versions: Vec<HeldVersion>,
    /// Writes whose dot its context has although it holds no such version: it claims that they
    /// were replaced.
    pub claims_replaced: Vec<WriteId>,
    /// Why the row could not be read, if so.
    pub unreadable: Option<String>,
}

impl HeldRecord {
    /// The writes whose versions are here.
    pub fn writes(&self) -> impl Iterator<Item = WriteId> + '_ {
        self.versions.iter().filter_map(|version| version.write)
    }
}

/// The moment a dot was first seen for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minted {
    /// The dot.
    pub dot: Dot,
    /// Its hybrid timestamp.
    pub hlc: Hlc,
    /// When it was first seen in a store or a message.
    pub at: Instant,
    /// The node that minted it.
    pub by: HostIndex,
}

/// What reading everything again after healing did.
#[derive(Debug, Clone, Default)]
pub struct Quiet {
    /// Rounds of reads until one caused no write.
    pub rounds: u32,
    /// Whether such a round came.
    pub reached: bool,
    /// Object rows written in the last round.
    pub writes_in_last_round: u64,
}

/// What one running node knows of the cluster, at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownOfCluster {
    /// A digest of the members.
    pub members: u128,
    /// A digest of all buckets' settings.
    pub buckets: u128,
    /// What it has wrong about running nodes, in words that follow its name.
    pub mistakes: Vec<String>,
}

/// A version that a fallback no longer keeps for a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedHint {
    /// When it was removed.
    pub at: Instant,
    /// By whom.
    pub by: HostIndex,
    /// For whom it was kept.
    pub target: HostIndex,
    /// Whose version it was.
    pub write: WriteId,
    /// Whether the target's disk had it then, or a record that covered it.
    pub there: bool,
}

/// All that the checks may look at.
#[derive(Debug, Default)]
pub struct Evidence {
    /// What clients did.
    pub history: History,
    /// True causality.
    pub ancestry: Ancestry,
    /// The dots of each write, in the order seen; more than one if it was minted more than once.
    pub minted: BTreeMap<WriteId, Vec<Minted>>,
    /// Writes that a client saw under a dot which is none of those above: nobody who looks from
    /// outside was told which.
    pub minted_unseen: BTreeSet<WriteId>,
    /// When each node first reported a version of a write as stored.
    pub stored: BTreeMap<(WriteId, HostIndex), Instant>,
    /// When each write was handed to each node, by its client or by another node, in order.
    pub asked: BTreeMap<(WriteId, HostIndex), Vec<Instant>>,
    /// Writes of which a message was doubled, which no real connection does: a replica may have
    /// refused one copy and taken the other.
    pub doubled: BTreeSet<WriteId>,
    /// The timestamps that acknowledgements named.
    pub acknowledged_hlc: BTreeMap<WriteId, Hlc>,
    /// Dots that were seen with two different versions.
    pub dot_conflicts: Vec<String>,
    /// Deletes whose tombstone some replica removed for good, because all replicas had it. They go on
    /// to stand for what they replaced.
    pub collected: BTreeSet<WriteId>,
    /// Versions of acknowledged hints that fallbacks removed.
    pub hints_removed: Vec<RemovedHint>,
    /// What the disks hold at the end: every row of every node, by key.
    pub disks: BTreeMap<(KeyIndex, HostIndex), HeldRecord>,
    /// Rows at nodes that are no replicas of their key, or of keys that no client wrote to.
    pub strays: Vec<String>,
    /// Keys whose partition was moved: what is read is as fresh as promised only for r and w of a majority
    /// (protocol rule 8, history 17).
    pub moved_keys: BTreeSet<KeyIndex>,
    /// When a node lost what it had not synced.
    pub power_losses: Vec<(Instant, HostIndex)>,
    /// When a node lost all that its disk held, or all that it held since some earlier time.
    pub lost_disks: Vec<(Instant, HostIndex)>,
    /// Those of the lost disks in whose place an older state of the same disk came: the node does
    /// not see that.
    pub rollbacks: Vec<(Instant, HostIndex)>,
    /// When a node's wall clock jumped ahead by more than puts are remembered for retries.
    pub forgetting_jumps: Vec<(Instant, HostIndex)>,
    /// What reading again did.
    pub quiet: Quiet,
    /// What each running node knows of the cluster, a bounded time after healing.
    pub known_of_cluster: BTreeMap<HostIndex, KnownOfCluster>,
    /// Requests after healing that did not succeed.
    pub failures_after_healing: Vec<String>,
    /// Requests after healing.
    pub requests_after_healing: u64,
    /// Replies that break the interface: an answer twice, a refusal for no reason.
    pub odd_replies: Vec<String>,
}

impl Evidence {
    /// Whether a write was minted more than once, which [`one_version_per_put`] judges.
    ///
    /// [`one_version_per_put`]: crate::invariants::one_version_per_put
    #[must_use]
    pub fn minted_twice(&self, write: WriteId) -> bool {
        self.minted_unseen.contains(&write)
            || self.minted.get(&write).is_some_and(|dots| dots.len() > 1)
    }

    /// Whether faults may have cost every copy that an acknowledgement named: what was not synced
    /// when power was lost, and one copy for each lost disk.
    #[must_use]
    pub fn may_be_lost(&self, write: &Write, receipt: Receipt) -> bool {
        let buffered = self.history.key(write.key).durability == Durability::Buffered;
        let unsynced_are_lost = buffered && since(write, &self.power_losses) > 0;
        let left = if unsynced_are_lost { receipt.synced } else { receipt.copies };
        usize::from(left) <= since(write, &self.lost_disks)
    }

    /// Whether a move may have taken the key from those that had the write to those that were read.
    #[must_use]
    pub fn may_have_moved_past(&self, write: &Write, r: u8) -> bool {
        let n = self.history.key(write.key).replicas.len();
        let majority = n / 2 + 1;
        let (r, w) = (usize::from(r), usize::from(write.w));
        self.moved_keys.contains(&write.key) && (r < majority || w < majority)
    }

    /// Whether lost disks may have cost every copy that an acknowledgement named on the key's own
    /// replicas: what is left may be hints, which reach them when their holder can.
    #[must_use]
    pub fn replicas_may_have_lost(&self, write: &Write, receipt: Receipt) -> bool {
        let own = receipt.copies.saturating_sub(receipt.hints);
        usize::from(own) <= since(write, &self.lost_disks)
    }

    /// The greatest timestamp under which a write was minted.
    #[must_use]
    pub fn hlc_of(&self, write: WriteId) -> Option<Hlc> {
        // A version that was replaced in the turn that minted it is in no store and no message.
        let seen = self.minted.get(&write).and_then(|dots| dots.iter().map(|m| m.hlc).max());
        seen.or_else(|| self.acknowledged_hlc.get(&write).copied())
    }

    /// What a replica holds of a key; an empty record if there is no row.
    #[must_use]
    pub fn held(&self, key: KeyIndex, host: HostIndex) -> HeldRecord {
        self.disks.get(&(key, host)).cloned().unwrap_or_default()
    }
}

/// Losses after a write was asked for.
fn since(write: &Write, losses: &[(Instant, HostIndex)]) -> usize {
    losses.iter().filter(|(at, _)| *at >= write.invoked).count()
}
