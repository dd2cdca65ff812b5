//! Read repair (Paper §5; protocol rules 4 and 7).
//!
//! A get that found its replicas different names what each had. Every replica that lacks a version
//! is sent that version, and one that still holds versions that were replaced is sent what replaced
//! them. Each message is *delayed* in the sense of protocol rule 4 and valid by itself, so it does
//! no harm whenever it arrives. A reader of a hot key sees the same
//! difference many times before the first repair lands; the same replica is sent the same key once
//! a second at most.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_types::{Instant, NodeId, ObjectName};
use dynamo_versioning::{Dot, Record};

/// How long the same replica is not sent the same key again.
const PAUSE: Duration = Duration::from_secs(1);
/// Repairs remembered for [`PAUSE`]. Beyond that some are sent twice, which costs a write that
/// changes nothing.
const REMEMBERED_MAX: usize = 4096;

/// What one replica lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairWrite {
    /// Which replica.
    pub node: NodeId,
    /// What it lacks, one record a sibling.
    pub pieces: Vec<Record>,
}

/// Plans repairs and remembers the recent ones.
#[derive(Debug, Default)]
pub struct ReadRepair {
    recent: BTreeMap<(NodeId, ObjectName), Instant>,
    order: VecDeque<(Instant, NodeId, ObjectName)>,
}

impl ReadRepair {
    /// Nothing repaired yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What must be sent so that all that answered come to hold `merged`. Versions in
    /// `without_value` cannot be sent.
    pub fn plan(
        &mut self,
        now: Instant,
        name: &ObjectName,
        merged: &Record,
        answers: &[(NodeId, Record)],
        without_value: &[Dot],
    ) -> Vec<RepairWrite> {
        self.forget_before(now);
        let mut writes = Vec::new();
        for (node, held) in answers {
            let pieces = missing(merged, held, without_value);
            if !pieces.is_empty() && self.may_repair(now, *node, name) {
                writes.push(RepairWrite { node: *node, pieces });
            }
        }
        writes
    }

    fn forget_before(&mut self, now: Instant) {
        while let Some((until, node, name)) = self.order.front() {
            if *until > now && self.order.len() <= REMEMBERED_MAX {
                return;
            }
            self.recent.remove(&(*node, name.clone()));
            self.order.pop_front();
        }
    }

    fn may_repair(&mut self, now: Instant, node: NodeId, name: &ObjectName) -> bool {
        let key = (node, name.clone());
        if self.recent.contains_key(&key) {
            return false;
        }
        let until = now + PAUSE;
        self.recent.insert(key, until);
        self.order.push_back((until, node, name.clone()));
        true
    }
}

/// The pieces of `merged` that `held` lacks: versions that it has not seen, and versions that
/// replaced something that it still holds. Such a piece is sent even where the version itself is
/// held: the claim that something was replaced travels only with what replaced it, or a crash
/// between two messages could leave the claim without the replacement.
fn missing(merged: &Record, held: &Record, without_value: &[Dot]) -> Vec<Record> {
    if held.same_versions(merged) {
        return Vec::new();
    }
    let lacks = |piece: &Record| {
        let unseen = piece.siblings().iter().any(|sibling| !held.covers(sibling.dot));
        let replaces = held.dots().any(|dot| {
            piece.covers(dot) && !piece.siblings().iter().any(|sibling| sibling.dot == dot)
        });
        let bare = piece.siblings().iter().any(|sibling| without_value.contains(&sibling.dot));
        (unseen || replaces) && !bare
    };
    merged.pieces().filter(lacks).collect()
}

#[cfg(test)]
mod tests;
