//! Walking the partitions for the keys of a bucket.
//!
//! Keys come in the order of their positions on the ring, so a page can go on after any key. Each
//! partition is asked at r replicas and their records, sent without values, are merged as a get
//! would merge them: a key is shown if a get would find something. Several partitions are asked at
//! once, because a small bucket leaves most of them empty.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use dynamo_messages::{ReplicaScanReply, ScannedKey};
use dynamo_types::{Bucket, Instant, Key, NodeId, PartitionId, Position, Reconciliation, WallTime};
use dynamo_versioning::{Record, View};

/// Partitions asked at the same time: enough to hide the round trip, few enough to bound what is
/// held for a page.
const PARTITIONS_AT_ONCE: usize = 16;

/// A place in the ring's order.
pub type Place = (Position, Key);

/// What shall be listed.
#[derive(Debug, Clone)]
pub struct ListPlan {
    /// Which bucket.
    pub bucket: Bucket,
    /// What clients see of concurrent versions.
    pub reconciliation: Reconciliation,
    /// Only what lies after this place.
    pub after: Option<Place>,
    /// The partitions from the one of `after` to the last, each with the replicas that can be
    /// asked, best first.
    pub partitions: Vec<(PartitionId, Vec<NodeId>)>,
    /// Answers needed for each partition (r).
    pub needed: u8,
    /// At most this many keys.
    pub limit: u32,
    /// Wall time, for expiry.
    pub wall: WallTime,
    /// When the client gives up.
    pub deadline: Instant,
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListEffect {
    /// Ask a replica for a part of a partition.
    Ask {
        /// Which replica.
        node: NodeId,
        /// Which partition.
        partition: PartitionId,
        /// Only what lies after this place.
        after: Option<Place>,
    },
    /// The page. Emitted once.
    Page {
        /// Its keys.
        keys: Vec<Key>,
        /// Whether more may follow.
        more: bool,
    },
    /// A partition's quorum cannot be reached. Emitted at most once, instead of a page.
    Failed {
        /// Replicas that answered.
        reached: u8,
        /// How many were needed.
        needed: u8,
    },
}

/// What is known of one partition.
#[derive(Debug)]
struct Part {
    partition: PartitionId,
    replicas: Vec<NodeId>,
    next: usize,
    after: Option<Place>,
    waiting: Vec<NodeId>,
    answers: BTreeMap<NodeId, ReplicaScanReply>,
}

/// The machine of one listing.
#[derive(Debug)]
pub struct List {
    plan: ListPlan,
    /// Next of `plan.partitions` to start.
    next: usize,
    /// Partitions under way, in ring order.
    parts: VecDeque<Part>,
    keys: Vec<Key>,
    done: bool,
    effects: VecDeque<ListEffect>,
}

impl List {
    /// Starts a listing.
    #[must_use]
    pub fn new(plan: ListPlan) -> Self {
        let mut list = Self {
            plan,
            next: 0,
            parts: VecDeque::new(),
            keys: Vec::new(),
            done: false,
            effects: VecDeque::new(),
        };
        list.fill();
        list.settle();
        list
    }

    /// A replica answered for a partition.
    pub fn answered(&mut self, from: NodeId, partition: PartitionId, reply: ReplicaScanReply) {
        if !reply.complete {
            return self.lost_in(from, Some(partition));
        }
        let part = self.parts.iter_mut().find(|part| part.partition == partition);
        if let Some(part) = part.filter(|part| part.waiting.contains(&from)) {
            part.waiting.retain(|node| *node != from);
            part.answers.insert(from, reply);
        }
        self.settle();
    }

    /// A replica will not answer.
    pub fn lost(&mut self, node: NodeId) {
        self.lost_in(node, None);
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.plan.deadline && !self.done {
            // What is known is a page, if it has a key to go on after.
            if self.keys.is_empty() {
                let reached = self.parts.front().map_or(0, |part| part.answers.len());
                self.fail(reached);
            } else {
                self.finish(true);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.done).then_some(self.plan.deadline)
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<ListEffect> {
        self.effects.pop_front()
    }

    /// Whether the client was told.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done && self.effects.is_empty()
    }

    fn lost_in(&mut self, node: NodeId, partition: Option<PartitionId>) {
        for part in &mut self.parts {
            if partition.is_none_or(|p| p == part.partition) && part.waiting.contains(&node) {
                part.waiting.retain(|waiting| *waiting != node);
                Self::ask_next(part, &mut self.effects);
            }
        }
        self.settle();
    }

    fn ask_next(part: &mut Part, effects: &mut VecDeque<ListEffect>) {
        if let Some(&node) = part.replicas.get(part.next) {
            part.next += 1;
            part.waiting.push(node);
            let after = part.after.clone();
            effects.push_back(ListEffect::Ask { node, partition: part.partition, after });
        }
    }

    fn fill(&mut self) {
        while self.parts.len() < PARTITIONS_AT_ONCE
            && let Some((partition, replicas)) = self.plan.partitions.get(self.next)
        {
            let after = if self.next == 0 { self.plan.after.clone() } else { None };
            let mut part = Part {
                partition: *partition,
                replicas: replicas.clone(),
                next: 0,
                after,
                waiting: Vec::new(),
                answers: BTreeMap::new(),
            };
            for _ in 0..self.plan.needed {
                Self::ask_next(&mut part, &mut self.effects);
            }
            self.next += 1;
            self.parts.push_back(part);
        }
    }

    fn settle(&mut self) {
        while !self.done {
            let Some(part) = self.parts.front_mut() else {
                return self.finish(false);
            };
            let needed = usize::from(self.plan.needed);
            if part.answers.len() < needed {
                if part.answers.len() + part.waiting.len() < needed {
                    let reached = part.answers.len();
                    self.fail(reached);
                }
                return;
            }
            let (records, reached) = Self::merge(&self.plan.bucket, part);
            for (key, record) in records {
                let view = View::of(&record, self.plan.reconciliation, self.plan.wall);
                if !view.visible.is_empty() {
                    self.keys.push(key);
                    if self.keys.len() >= self.plan.limit as usize {
                        return self.finish(true);
                    }
                }
            }
            match reached {
                // The replicas stopped early: go on from where the first of them stopped.
                Some(place) => {
                    part.after = Some(place);
                    let again: Vec<NodeId> = part.answers.keys().copied().collect();
                    part.answers.clear();
                    for node in again {
                        part.waiting.push(node);
                        let after = part.after.clone();
                        let partition = part.partition;
                        self.effects.push_back(ListEffect::Ask { node, partition, after });
                    }
                    return;
                }
                None => {
                    self.parts.pop_front();
                    self.fill();
                }
            }
        }
    }

    /// The merged records up to where every replica has looked, and that place if some stopped
    /// before the partition's end.
    fn merge(bucket: &Bucket, part: &Part) -> (Vec<(Key, Record)>, Option<Place>) {
        let reached = part.answers.values().filter_map(|answer| answer.reached.clone()).min();
        let mut merged: BTreeMap<Place, Record> = BTreeMap::new();
        for ScannedKey { key, record } in part.answers.values().flat_map(|answer| &answer.keys) {
            let place = (Position::of(bucket, key), key.clone());
            if reached.as_ref().is_none_or(|reached| place <= *reached) {
                merged.entry(place).or_default().merge(record);
            }
        }
        (merged.into_iter().map(|((_, key), record)| (key, record)).collect(), reached)
    }

    fn finish(&mut self, more: bool) {
        self.done = true;
        let keys = core::mem::take(&mut self.keys);
        self.effects.push_back(ListEffect::Page { keys, more });
    }

    fn fail(&mut self, reached: usize) {
        self.done = true;
        let reached = u8::try_from(reached).unwrap_or(u8::MAX);
        self.effects.push_back(ListEffect::Failed { reached, needed: self.plan.needed });
    }
}

#[cfg(test)]
mod tests;
