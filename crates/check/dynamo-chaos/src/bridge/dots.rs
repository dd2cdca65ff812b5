//! Which dot is which write: from acknowledgements, from answers with several values, and from what
//! replicas explain.

use std::collections::BTreeMap;

use dynamo_checker::evidence::Minted;
use dynamo_checker::history::{HostIndex, KeyIndex, Read, WriteId};
use dynamo_types::{PartitionId, RequestId, WallTime};
use dynamo_versioning::{Dot, DotSet, Hlc};

use super::{Audit, MINTER_UNKNOWN};
use crate::http::ExplainedSibling;
use crate::observations::Observations;

/// All that is known of dots.
#[derive(Debug, Default)]
pub(super) struct Dots {
    by_dot: BTreeMap<(PartitionId, Dot), (KeyIndex, WriteId)>,
    by_write: BTreeMap<WriteId, Vec<(Dot, Hlc)>>,
    /// The partition of each key that was explained.
    partitions: BTreeMap<KeyIndex, PartitionId>,
    /// Request ids that nodes chose.
    requests: BTreeMap<RequestId, WriteId>,
    /// Dots that were seen with two writes.
    pub(super) conflicts: Vec<String>,
}

/// The greatest timestamp of a version that was written at a time told in microseconds.
pub(super) fn latest(at: WallTime) -> Hlc {
    Hlc(Hlc::at(WallTime(at.0 + 1)).0.saturating_sub(1))
}

impl Dots {
    pub(super) fn learn(observations: &Observations, audit: &Audit) -> Self {
        let mut dots = Self::default();
        for (key, explained) in &audit.explained {
            dots.partitions.insert(*key, explained.partition);
        }
        for (write, (covered, hlc)) in &observations.acknowledged {
            let mut new = covered.clone();
            if let Some(before) = observations.contexts.get(write) {
                new.subtract(before);
            }
            if let Some(dot) = new_dot(&new) {
                dots.note(observations.history.write(*write).key, dot, *write, *hlc);
            }
        }
        for (key, dot, write, at) in &observations.shown {
            dots.note(*key, *dot, *write, Hlc::at(*at));
        }
        dots.learn_requests(audit);
        for (key, explained) in &audit.explained {
            for sibling in explained.siblings() {
                if let Some(write) = dots.write_of(observations, *key, sibling) {
                    dots.note(*key, sibling.dot, write, latest(sibling.written_at));
                }
            }
        }
        dots
    }

    /// A write without idempotency key has a request id of the node's choice, which is that of all its
    /// versions: one whose dot is known tells it for the others.
    fn learn_requests(&mut self, audit: &Audit) {
        for explained in audit.explained.values() {
            for sibling in explained.siblings() {
                if let Some((_, write)) = self.by_dot.get(&(explained.partition, sibling.dot)) {
                    self.requests.insert(sibling.request, *write);
                }
            }
        }
    }

    fn note(&mut self, key: KeyIndex, dot: Dot, write: WriteId, hlc: Hlc) {
        let Some(partition) = self.partitions.get(&key).copied() else { return };
        let first = *self.by_dot.entry((partition, dot)).or_insert((key, write));
        if first != (key, write) {
            let (other_key, other) = first;
            let conflict = format!(
                "{dot} of partition {partition} is {other} of {other_key:?} and {write} of {key:?}"
            );
            self.conflicts.push(conflict);
        }
        let known = self.by_write.entry(write).or_default();
        if !known.iter().any(|(other, _)| *other == dot) {
            known.push((dot, hlc));
        }
    }

    /// The write that made a version, by its request id, or because it is the only value that the last
    /// reads show. Earlier ones may show what it replaced: a node that stood still through the faults
    /// takes what was sent to it meanwhile when it goes on, after replicas were first seen to agree.
    pub(super) fn write_of(
        &self,
        observations: &Observations,
        key: KeyIndex,
        sibling: &ExplainedSibling,
    ) -> Option<WriteId> {
        let request = observations.requests.get(&sibling.request);
        if let Some(write) = request.or_else(|| self.requests.get(&sibling.request)) {
            return Some(*write);
        }
        let late =
            observations.history.reads.iter().filter(|r| r.key == key && r.after_convergence);
        let last_of_each: BTreeMap<HostIndex, &Read> = late.map(|read| (read.host, read)).collect();
        let mut shown: Vec<WriteId> = last_of_each.into_values().flat_map(Read::writes).collect();
        shown.sort_unstable();
        shown.dedup();
        match shown[..] {
            [only] if !sibling.tombstone => Some(only),
            _ => None,
        }
    }

    /// All known dots of a key with their writes.
    pub(super) fn of_key(&self, key: KeyIndex) -> impl Iterator<Item = (Dot, WriteId)> {
        self.by_dot
            .iter()
            .filter(move |(_, (of, _))| *of == key)
            .map(|((_, dot), (_, write))| (*dot, *write))
    }

    /// For the checks.
    pub(super) fn minted(&self, observations: &Observations) -> BTreeMap<WriteId, Vec<Minted>> {
        let minted = |write: WriteId, dots: &[(Dot, Hlc)]| {
            let at = observations.history.write(write).invoked;
            let minted =
                |(dot, hlc): &(Dot, Hlc)| Minted { dot: *dot, hlc: *hlc, at, by: MINTER_UNKNOWN };
            dots.iter().map(minted).collect()
        };
        self.by_write.iter().map(|(write, dots)| (*write, minted(*write, dots))).collect()
    }
}

/// The version that a put made, by what the context of its answer covers beyond those of its
/// request: one interval, which ends with it. Whatever else lies in it belongs to other keys, for the
/// keys of a partition share its counters.
///
/// A delete without context covers what its coordinator read as well, which is not told.
pub(super) fn new_dot(beyond: &DotSet) -> Option<Dot> {
    let mut intervals = beyond.intervals();
    let (actor, _, hi) = intervals.next()?;
    intervals.next().is_none().then_some(Dot { actor, counter: hi })
}
