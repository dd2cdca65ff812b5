//! Whether a retried put was made before (protocol rule 7, history 9).
//!
//! A retry may reach a coordinator that never saw the first attempt, long after that attempt's
//! version was replaced. Minting again would bring the old value back. So all replicas are asked
//! whether they know the request id; what they hold of the key comes along, so that the version
//! that exists can be sent again.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_messages::{KnownRequest, ReadOutcome};
use dynamo_types::{Instant, NodeId};
use dynamo_versioning::Record;

use crate::pieces::PieceTally;

/// Who is asked.
#[derive(Debug, Clone)]
pub struct KnownRequestPlan {
    /// The replicas that can be reached, and fallbacks for the others.
    pub replicas: Vec<NodeId>,
    /// Answers needed: the put's w.
    pub needed: u8,
    /// How long the others are awaited once enough have answered.
    pub patience: Duration,
    /// When the client gives up.
    pub deadline: Instant,
}

/// What the replicas say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownRequestEffect {
    /// Nobody who answered has seen it.
    Unknown,
    /// It was made before.
    Known {
        /// By this put.
        known: KnownRequest,
        /// What the replicas hold of the key.
        record: Record,
    },
    /// Too few answered: nothing may be minted.
    Failed {
        /// Replicas that answered.
        reached: u8,
        /// How many were needed.
        needed: u8,
    },
}

/// The machine of one question.
#[derive(Debug)]
pub struct KnownRequestCheck {
    plan: KnownRequestPlan,
    waiting: Vec<NodeId>,
    answered: u8,
    known: Option<KnownRequest>,
    record: Record,
    /// What has come of each replica's answer.
    pieces: BTreeMap<NodeId, PieceTally>,
    patience_ends: Option<Instant>,
    effect: Option<KnownRequestEffect>,
    done: bool,
}

impl KnownRequestCheck {
    /// Starts; the caller asks all of the plan's replicas.
    #[must_use]
    pub fn new(plan: KnownRequestPlan) -> Self {
        let waiting = plan.replicas.clone();
        let mut check = Self {
            plan,
            waiting,
            answered: 0,
            known: None,
            record: Record::new(),
            pieces: BTreeMap::new(),
            patience_ends: None,
            effect: None,
            done: false,
        };
        check.settle(None);
        check
    }

    /// A replica answered, with a part of what it holds.
    pub fn answered(
        &mut self,
        now: Instant,
        from: NodeId,
        outcome: &ReadOutcome,
        known: Option<KnownRequest>,
    ) {
        if self.done || !self.waiting.contains(&from) {
            return;
        }
        self.known = self.known.or(known);
        let whole = match outcome {
            ReadOutcome::Piece { record, at, .. } => {
                self.record.merge(record);
                self.pieces.entry(from).or_default().count(*at)
            }
            // A fallback without a hint of the key answers for its memory of requests all the same.
            ReadOutcome::Missing | ReadOutcome::NoHint => true,
            ReadOutcome::Unsure | ReadOutcome::Overloaded | ReadOutcome::Stale => {
                return self.lost(now, from);
            }
        };
        if whole {
            self.waiting.retain(|node| *node != from);
            self.answered += 1;
            self.settle(Some(now));
        }
    }

    /// A replica will not answer.
    pub fn lost(&mut self, now: Instant, node: NodeId) {
        self.waiting.retain(|waiting| *waiting != node);
        self.settle(Some(now));
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.done
            && (now >= self.plan.deadline || self.patience_ends.is_some_and(|at| now >= at))
        {
            self.finish();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let at = self.patience_ends.map_or(self.plan.deadline, |at| at.min(self.plan.deadline));
        (!self.done).then_some(at)
    }

    /// What came of it; emitted once.
    pub fn poll_effect(&mut self) -> Option<KnownRequestEffect> {
        self.effect.take()
    }

    fn settle(&mut self, now: Option<Instant>) {
        if self.done {
            return;
        }
        if self.waiting.is_empty() {
            self.finish();
        } else if let Some(now) = now
            && self.answered >= self.plan.needed
        {
            self.patience_ends.get_or_insert(now + self.plan.patience);
        }
    }

    fn finish(&mut self) {
        self.done = true;
        let (reached, needed) = (self.answered, self.plan.needed);
        self.effect = Some(match self.known {
            Some(known) => {
                KnownRequestEffect::Known { known, record: core::mem::take(&mut self.record) }
            }
            None if reached >= needed => KnownRequestEffect::Unknown,
            None => KnownRequestEffect::Failed { reached, needed },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use dynamo_types::{ActorId, RequestId};
    use dynamo_versioning::{BodyDigest, Dot};

    fn check() -> KnownRequestCheck {
        KnownRequestCheck::new(KnownRequestPlan {
            replicas: vec![NodeId(1), NodeId(2), NodeId(3)],
            needed: 2,
            patience: Duration::from_millis(100),
            deadline: Instant(1_000_000_000),
        })
    }

    fn known() -> KnownRequest {
        let dot = Dot::new(ActorId(1), 1);
        KnownRequest { request: RequestId(7), digest: BodyDigest(8), dot }
    }

    fn missing(check: &mut KnownRequestCheck, node: u64, known: Option<KnownRequest>) {
        check.answered(Instant(1), NodeId(node), &ReadOutcome::Missing, known);
    }

    #[test]
    fn nobody_is_taken_for_unknown_before_all_answered_or_patience_ends() {
        let mut check = check();
        missing(&mut check, 1, None);
        missing(&mut check, 2, None);
        assert_eq!(check.poll_effect(), None, "the third may know it");
        check.handle_timeout(check.poll_timeout().unwrap());
        assert_eq!(check.poll_effect(), Some(KnownRequestEffect::Unknown));
    }

    #[test]
    fn one_replica_that_knows_it_is_enough() {
        let mut check = check();
        missing(&mut check, 1, None);
        missing(&mut check, 2, None);
        missing(&mut check, 3, Some(known()));
        let record = Record::new();
        assert_eq!(check.poll_effect(), Some(KnownRequestEffect::Known { known: known(), record }));
    }

    #[test]
    fn too_few_answers_forbid_minting() {
        let mut check = check();
        check.lost(Instant(1), NodeId(1));
        check.lost(Instant(1), NodeId(2));
        missing(&mut check, 3, None);
        let failed = KnownRequestEffect::Failed { reached: 1, needed: 2 };
        assert_eq!(check.poll_effect(), Some(failed));
    }
}
