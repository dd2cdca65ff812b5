//! Asking what each replica of an object has.
//!
//! Every replica that can be reached is asked, and every other node for hints that it keeps, and the answer waits for all of them, but never
//! longer than a second: it is there for the hour in which something does not answer. There is no
//! quorum, nothing is hidden by a view, and nothing is repaired, so that asking changes nothing.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_messages::{Explanation, HintView, ReadOutcome, ReplicaState, ReplicaView, SiblingView};
use dynamo_types::{Instant, NodeId, PartitionId};
use dynamo_versioning::{Record, Sibling};

use crate::pieces::PieceTally;

/// How long silent replicas are waited for: long against any answer, short against patience.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Whom to ask.
#[derive(Debug, Clone)]
pub struct ExplainPlan {
    /// Where the object lies.
    pub partition: PartitionId,
    /// The replica set, each with whether it can be reached.
    pub replicas: Vec<(NodeId, bool)>,
    /// Other nodes that can be reached: any of them may keep a hint.
    pub others: Vec<NodeId>,
    /// How long ago the partition was last verified, as this node knows.
    pub verified_ms_ago: Option<u64>,
    /// When the client gives up.
    pub deadline: Instant,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum ExplainEvent {
    /// A replica answered, or sent a piece of its answer.
    Answered {
        /// Which.
        from: NodeId,
        /// What it has.
        outcome: ReadOutcome,
    },
    /// A replica will not answer: its connection broke.
    Lost {
        /// Which.
        node: NodeId,
    },
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExplainEffect {
    /// Ask a replica, for all values: their lengths are part of the answer.
    Ask {
        /// Which.
        node: NodeId,
    },
    /// Tell the client. Emitted once.
    Explained(Explanation),
}

/// What is known of one replica.
#[derive(Debug)]
enum Answer {
    /// Pieces of its record so far.
    Waiting(Record, PieceTally),
    Whole(Record),
    Without(ReplicaState),
}

/// The machine of one explanation.
#[derive(Debug)]
pub struct Explain {
    partition: PartitionId,
    replicas: Vec<(NodeId, Answer)>,
    /// What other nodes keep for replicas.
    others: Vec<(NodeId, Answer)>,
    verified_ms_ago: Option<u64>,
    ends: Instant,
    done: bool,
    effects: VecDeque<ExplainEffect>,
}

impl Explain {
    /// Asks every replica that can be reached.
    #[must_use]
    pub fn new(plan: ExplainPlan, now: Instant) -> Self {
        let mut effects = VecDeque::new();
        let replicas = plan.replicas.into_iter().map(|(node, reachable)| {
            if !reachable {
                return (node, Answer::Without(ReplicaState::Unreachable));
            }
            effects.push_back(ExplainEffect::Ask { node });
            (node, Answer::Waiting(Record::new(), PieceTally::default()))
        });
        let replicas = replicas.collect();
        let others = plan.others.into_iter().map(|node| {
            effects.push_back(ExplainEffect::Ask { node });
            (node, Answer::Waiting(Record::new(), PieceTally::default()))
        });
        let mut explain = Self {
            partition: plan.partition,
            replicas,
            others: others.collect(),
            verified_ms_ago: plan.verified_ms_ago,
            ends: plan.deadline.min(now + WAIT_MAX),
            done: false,
            effects,
        };
        explain.settle();
        explain
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: ExplainEvent) {
        match event {
            ExplainEvent::Answered { from, outcome } => self.answered(from, outcome),
            ExplainEvent::Lost { node } => {
                if let Some(answer) = self.awaited(node) {
                    *answer = Answer::Without(ReplicaState::Unreachable);
                }
            }
        }
        self.settle();
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.ends {
            self.finish();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.done).then_some(self.ends)
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<ExplainEffect> {
        self.effects.pop_front()
    }

    /// Whether the client was told.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done && self.effects.is_empty()
    }

    /// The answer of a replica that is still waited for.
    fn awaited(&mut self, node: NodeId) -> Option<&mut Answer> {
        let mut asked = self.replicas.iter_mut().chain(&mut self.others);
        let asked = asked.find(|(asked, _)| *asked == node);
        asked.map(|(_, answer)| answer).filter(|answer| matches!(answer, Answer::Waiting(..)))
    }

    fn answered(&mut self, from: NodeId, outcome: ReadOutcome) {
        let Some(answer) = self.awaited(from) else { return };
        let Answer::Waiting(record, pieces) = answer else { return };
        match outcome {
            ReadOutcome::Piece { record: piece, at, .. } => {
                record.merge(&piece);
                if pieces.count(at) {
                    *answer = Answer::Whole(core::mem::take(record));
                }
            }
            ReadOutcome::Missing | ReadOutcome::NoHint | ReadOutcome::Stale => {
                *answer = Answer::Without(ReplicaState::Missing);
            }
            ReadOutcome::Unsure => *answer = Answer::Without(ReplicaState::Unsure),
            ReadOutcome::Overloaded => *answer = Answer::Without(ReplicaState::Busy),
        }
    }

    fn settle(&mut self) {
        let mut asked = self.replicas.iter().chain(&self.others);
        if !asked.any(|(_, answer)| matches!(answer, Answer::Waiting(..))) {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if self.done {
            return;
        }
        self.done = true;
        let mut together = Record::new();
        for (_, answer) in &self.replicas {
            if let Answer::Whole(record) = answer {
                together.merge(record);
            }
        }
        let replicas = core::mem::take(&mut self.replicas);
        let replicas = replicas.into_iter().map(|(node, answer)| view(node, &answer, &together));
        let replicas = replicas.collect();
        let hints = core::mem::take(&mut self.others);
        let hints = hints.into_iter().filter_map(|(node, answer)| hint(node, &answer)).collect();
        let (partition, verified_ms_ago) = (self.partition, self.verified_ms_ago);
        let explanation = Explanation { partition, replicas, hints, verified_ms_ago };
        self.effects.push_back(ExplainEffect::Explained(explanation));
    }
}

fn view(node: NodeId, answer: &Answer, together: &Record) -> ReplicaView {
    let without = |state, behind| ReplicaView {
        node,
        state,
        digest: None,
        behind,
        siblings: Vec::new(),
        context_intervals: 0,
    };
    match answer {
        Answer::Whole(record) => ReplicaView {
            node,
            state: ReplicaState::Present,
            digest: Some(record.versions_digest()),
            behind: !record.same_versions(together),
            siblings: record.siblings().iter().map(sibling_view).collect(),
            context_intervals: u32::try_from(record.context().interval_count()).unwrap_or(u32::MAX),
        },
        Answer::Without(state) => {
            let lacks = *state == ReplicaState::Missing && !together.siblings().is_empty();
            without(*state, lacks)
        }
        // A part of an answer tells nothing: what it lacks may still be on its way.
        Answer::Waiting(..) => without(ReplicaState::Unreachable, false),
    }
}

fn hint(node: NodeId, answer: &Answer) -> Option<HintView> {
    match answer {
        Answer::Whole(record) => Some(HintView {
            node,
            digest: record.versions_digest(),
            siblings: record.siblings().iter().map(sibling_view).collect(),
        }),
        Answer::Without(_) | Answer::Waiting(..) => None,
    }
}

fn sibling_view(sibling: &Sibling) -> SiblingView {
    SiblingView {
        dot: sibling.dot,
        tombstone: sibling.is_tombstone(),
        value_bytes: sibling.value_bytes() as u64,
        written_at: sibling.hlc.wall(),
        expires_at: sibling.expires_at,
        request: sibling.request,
    }
}

#[cfg(test)]
mod tests;
