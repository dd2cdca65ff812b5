//! From what clients saw and what replicas say they hold to the evidence that the checks look at.
//!
//! The simulator looks at disks. Real nodes are asked: `explain` tells which versions every replica
//! holds, and a context says what else its maker had seen. Contexts are opened with the cluster's
//! secret: what an acknowledgement's context covers beyond the contexts of its request is the dot of
//! the new version, and what the context of a read of all replicas covers without showing it is what
//! they claim to be replaced.
//!
//! Some dots stay unknown: of writes whose outcome is unknown, or of first attempts whose answer was
//! lost, when something replaced them before anyone showed them. Of deletes that matters, since nobody
//! shows them: the module `hidden` says what is made of it.

mod dots;
mod held;
mod hidden;

use std::collections::{BTreeMap, BTreeSet};

use dynamo_checker::causality::Ancestry;
use dynamo_checker::evidence::{Evidence, KnownOfCluster, Minted, Quiet};
use dynamo_checker::history::{HostIndex, KeyIndex, Outcome, WriteId, WriteKind};
use dynamo_types::{Instant, NodeId};
use dynamo_versioning::DotSet;

use crate::http::Explained;
use crate::observations::Observations;

use dots::Dots;

/// Who minted a version is not told.
const MINTER_UNKNOWN: HostIndex = HostIndex(u8::MAX);

/// What the healed cluster showed.
#[derive(Debug, Default)]
pub struct Audit {
    /// What every replica of every key held, before writes were sent once more.
    pub explained: BTreeMap<KeyIndex, Explained>,
    /// When all replicas had come to hold the same; none if they did not.
    pub settled_at: Option<Instant>,
    /// What the contexts of the last reads of all replicas cover.
    pub covered: BTreeMap<KeyIndex, DotSet>,
    /// Writes that were sent once more when all replicas held them, when, and what the contexts of
    /// the answers cover beyond their own.
    pub retried: Vec<(WriteId, Instant, DotSet)>,
    /// What each node knows of the cluster.
    pub known_of_cluster: BTreeMap<HostIndex, KnownOfCluster>,
    /// What reading everything again did.
    pub quiet: Quiet,
    /// Requests after healing.
    pub requests: u64,
    /// Those that did not succeed.
    pub failures: Vec<String>,
    /// When processes were killed. What was not synced may be gone then.
    pub kills: Vec<(Instant, HostIndex)>,
}

/// Gathers the evidence. `nodes` are the nodes' identities in order.
#[must_use]
pub fn gather(mut observations: Observations, audit: Audit, nodes: &[NodeId]) -> Evidence {
    let dots = Dots::learn(&observations, &audit);
    let (disks, strays) = held::disks(&observations, &audit, &dots, nodes);
    let visible: BTreeSet<WriteId> = disks.values().flat_map(|record| record.writes()).collect();
    let hidden = hidden::parents(&observations, &dots);
    let collected = hidden::collected(&observations, &visible);
    let mut evidence = Evidence {
        ancestry: Ancestry::new(&observations.history, &hidden),
        minted: dots.minted(&observations),
        dot_conflicts: dots.conflicts,
        collected,
        known_of_cluster: audit.known_of_cluster,
        disks,
        strays,
        power_losses: audit.kills,
        quiet: audit.quiet,
        failures_after_healing: audit.failures,
        requests_after_healing: audit.requests,
        odd_replies: core::mem::take(&mut observations.odd),
        ..Evidence::default()
    };
    for (write, (_, hlc)) in &observations.acknowledged {
        evidence.acknowledged_hlc.insert(*write, *hlc);
    }
    for delete in &evidence.collected {
        if let Some(hlc) = hidden::winning_hlc(&observations, *delete) {
            evidence.minted.remove(delete);
            evidence.acknowledged_hlc.insert(*delete, hlc);
        }
    }
    for ((_, host), record) in &evidence.disks {
        for write in record.writes() {
            let at = audit.settled_at.unwrap_or(Instant(u64::MAX));
            evidence.stored.insert((write, *host), at);
        }
    }
    evidence.minted_unseen = minted_unseen(&observations, &evidence.minted);
    evidence.history = observations.history;
    add_retries(&mut evidence, &audit.retried, &audit.covered);
    evidence
}

/// Writes of which a client saw a version that is none of the known ones: made again by a retry, or by a node
/// that passed a silent coordinator over. An answer with one value does not say which version that is, but a put
/// over it comes with a context that covers it. If that covers nothing which is neither known nor older than
/// the write, there is no such version, and the context is wrong.
fn minted_unseen(
    observations: &Observations,
    minted: &BTreeMap<WriteId, Vec<Minted>>,
) -> BTreeSet<WriteId> {
    let is_unseen = |(covered, parent): &(&DotSet, WriteId)| {
        let versions = minted.get(parent).map_or(&[][..], Vec::as_slice);
        if versions.is_empty() || versions.iter().any(|version| covered.contains(version.dot)) {
            return false;
        }
        let mut beyond = (*covered).clone();
        if let Some(older) = observations.contexts.get(parent) {
            beyond.subtract(older);
        }
        let of_key = observations.history.writes_to(observations.history.write(*parent).key);
        let known = of_key.filter_map(|(id, _)| minted.get(&id)).flatten();
        beyond.subtract(&known.map(|version| version.dot).collect());
        !beyond.is_empty()
    };
    let over = observations.contexts.iter().flat_map(|(write, covered)| {
        let parents = &observations.history.write(*write).parents;
        parents.iter().map(move |parent| (covered, *parent))
    });
    over.filter(is_unseen).map(|(_, parent)| parent).collect()
}

/// A retry that is answered with a version which replicas had not seen before minted again, although
/// all of them held the first. What they had seen may be a second version from the time of the faults.
fn add_retries(
    evidence: &mut Evidence,
    retried: &[(WriteId, Instant, DotSet)],
    covered: &BTreeMap<KeyIndex, DotSet>,
) {
    for (write, asked, named) in retried {
        let key = evidence.history.write(*write).key;
        // Any replica will do: all of them know the write.
        let Some(by) = evidence.history.key(key).replicas.first().copied() else { continue };
        evidence.asked.insert((*write, by), vec![*asked]);
        let minted = evidence.minted.entry(*write).or_default();
        let Some(dot) = dots::new_dot(named) else { continue };
        let is_seen = covered.get(&key).is_some_and(|covered| covered.contains(dot));
        if !is_seen && !minted.iter().any(|known| known.dot == dot) {
            let hlc = minted.last().map_or_else(Default::default, |known| known.hlc);
            minted.push(Minted { dot, hlc, at: *asked, by });
        }
    }
}

/// The keys of which nobody can say what a delete without context covered.
#[must_use]
pub fn blurred_keys(evidence: &Evidence) -> BTreeSet<KeyIndex> {
    let writes = evidence.history.writes.iter();
    let unseen = writes
        .filter(|write| write.kind == WriteKind::DeleteUnseen && write.outcome != Outcome::Failed);
    unseen.map(|write| write.key).collect()
}

/// Takes out of the evidence all that the checks of causality would look at in these keys.
pub fn forget(evidence: &mut Evidence, keys: &BTreeSet<KeyIndex>) {
    for write in &mut evidence.history.writes {
        if keys.contains(&write.key) {
            write.outcome = Outcome::Unknown;
        }
    }
    evidence.history.reads.retain(|read| !keys.contains(&read.key));
    evidence.disks.retain(|(key, _), _| !keys.contains(key));
}

#[cfg(test)]
mod tests;
