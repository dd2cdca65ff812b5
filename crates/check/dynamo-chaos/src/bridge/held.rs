//! What every replica holds and claims, told in writes.

use std::collections::BTreeMap;

use dynamo_checker::evidence::{HeldRecord, HeldVersion};
use dynamo_checker::history::{HostIndex, KeyIndex, WriteId, WriteKind};
use dynamo_types::NodeId;

use super::Audit;
use super::dots::{Dots, latest};
use crate::http::ExplainedSibling;
use crate::observations::Observations;

type Disks = BTreeMap<(KeyIndex, HostIndex), HeldRecord>;

/// The records by key and replica; and what is kept where it does not belong.
pub(super) fn disks(
    observations: &Observations,
    audit: &Audit,
    dots: &Dots,
    nodes: &[NodeId],
) -> (Disks, Vec<String>) {
    let mut disks = Disks::new();
    let mut strays = Vec::new();
    for (key, explained) in &audit.explained {
        let facts = observations.history.key(*key);
        if explained.hints > 0 {
            strays.push(format!("{} hints are still kept for {}", explained.hints, facts.name));
        }
        for replica in &explained.replicas {
            let place = nodes.iter().position(|node| *node == replica.node);
            let host = place.and_then(|place| u8::try_from(place).ok()).map(HostIndex);
            let Some(host) = host.filter(|host| facts.replicas.contains(host)) else {
                strays.push(format!("{} is no replica of {}", replica.node, facts.name));
                continue;
            };
            let versions: Vec<HeldVersion> = replica
                .siblings
                .iter()
                .map(|sibling| version(observations, dots, *key, sibling))
                .collect();
            let here = |write: WriteId| versions.iter().any(|held| held.write == Some(write));
            let covered = audit.covered.get(key);
            // A tombstone may have been collected since it was covered. Whether a delete was undone is
            // seen by what it deleted.
            let is_value =
                |write: WriteId| observations.history.write(write).kind == WriteKind::Value;
            let mut claims_replaced: Vec<WriteId> = dots
                .of_key(*key)
                .filter(|(dot, _)| covered.is_some_and(|covered| covered.contains(*dot)))
                .map(|(_, write)| write)
                .filter(|write| !here(*write) && is_value(*write))
                .collect();
            claims_replaced.sort_unstable();
            claims_replaced.dedup();
            let unreadable =
                (!replica.is_known()).then(|| format!("it is {} at the end", replica.state));
            disks.insert((*key, host), HeldRecord { versions, claims_replaced, unreadable });
        }
    }
    (disks, strays)
}

fn version(
    observations: &Observations,
    dots: &Dots,
    key: KeyIndex,
    sibling: &ExplainedSibling,
) -> HeldVersion {
    let write = dots.write_of(observations, key, sibling);
    let intact = write.is_some_and(|id| {
        let write = observations.history.write(id);
        write.key == key
            && sibling.tombstone == (write.kind != WriteKind::Value)
            && observations.lengths.get(&id) == Some(&sibling.bytes)
    });
    HeldVersion {
        write,
        dot: sibling.dot,
        hlc: latest(sibling.written_at),
        tombstone: sibling.tombstone,
        intact,
    }
}
