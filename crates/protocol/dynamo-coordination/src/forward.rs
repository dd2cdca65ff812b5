//! Handing a put to a replica that coordinates it (Paper §4.5, §5; protocol rule 7).
//!
//! One hop at most: whoever receives a forwarded put coordinates it or refuses. A coordinator that
//! is silent is passed over after a short while, so a frozen node costs half a second, not the
//! client's whole patience. The next attempt carries the same request id and is marked as a retry.
//! The answer covers all attempts: *failed* only if every attempt failed for certain.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_messages::{Failure, Reply};
use dynamo_types::{Instant, NodeId};

/// Who may coordinate, and how long each gets.
#[derive(Debug, Clone)]
pub struct ForwardPlan {
    /// Replicas that can be reached, best first; the node itself may be among them.
    pub candidates: Vec<NodeId>,
    /// How long one coordinator may be silent.
    pub hop_timeout: Duration,
    /// When the client gives up.
    pub deadline: Instant,
    /// Whether an earlier attempt may have been made before this one.
    pub retry: bool,
    /// Copies needed (w), for the answer when nobody could be asked.
    pub needed: u8,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum ForwardEvent {
    /// A coordinator answered.
    Replied {
        /// Which.
        from: NodeId,
        /// What it says to the client.
        reply: Reply,
    },
    /// A coordinator will not answer: its connection broke.
    Lost {
        /// Which.
        node: NodeId,
    },
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardEffect {
    /// Let this node coordinate.
    Try {
        /// Which.
        node: NodeId,
        /// Whether an earlier attempt may have been made.
        retry: bool,
    },
    /// Tell the client. Emitted once.
    Reply(Reply),
}

/// The machine of one forwarded put.
#[derive(Debug)]
pub struct Forward {
    plan: ForwardPlan,
    next: usize,
    /// Attempts that have neither answered nor failed for certain, the latest last.
    open: Vec<NodeId>,
    /// An attempt was lost, so nothing that follows can be a certain failure.
    uncertain: bool,
    /// The last certain failure.
    failure: Option<Failure>,
    hop_ends: Instant,
    done: bool,
    effects: VecDeque<ForwardEffect>,
}

impl Forward {
    /// Tries the first candidate.
    #[must_use]
    pub fn new(plan: ForwardPlan, now: Instant) -> Self {
        let uncertain = false;
        let mut forward = Self {
            plan,
            next: 0,
            open: Vec::new(),
            uncertain,
            failure: None,
            hop_ends: now,
            done: false,
            effects: VecDeque::new(),
        };
        forward.try_next(now);
        forward
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, event: ForwardEvent) {
        if self.done {
            return;
        }
        match event {
            ForwardEvent::Replied { from, reply } => self.replied(now, from, reply),
            ForwardEvent::Lost { node } => {
                if self.close(node) {
                    self.uncertain = true;
                    self.try_next(now);
                }
            }
        }
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.done {
            return;
        }
        if now >= self.plan.deadline {
            self.give_up();
        } else if now >= self.hop_ends && self.next < self.plan.candidates.len() {
            // The silent one stays open: should it answer after all, that counts.
            self.try_next(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let more = self.next < self.plan.candidates.len();
        let at = if more { self.hop_ends.min(self.plan.deadline) } else { self.plan.deadline };
        (!self.done).then_some(at)
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<ForwardEffect> {
        self.effects.pop_front()
    }

    /// Whether the client was told.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done && self.effects.is_empty()
    }

    fn close(&mut self, node: NodeId) -> bool {
        let before = self.open.len();
        self.open.retain(|open| *open != node);
        self.open.len() < before
    }

    fn replied(&mut self, now: Instant, from: NodeId, reply: Reply) {
        if !self.close(from) {
            return;
        }
        match reply {
            Reply::Failed(Failure::OutcomeUnknown { .. }) => {
                self.uncertain = true;
                self.finish(reply);
            }
            // The next coordinator may have room, or see more replicas.
            Reply::Failed(
                failure @ (Failure::Overloaded { .. }
                | Failure::StorageFull
                | Failure::StorageFailed
                | Failure::NotEnoughReplicas { .. }),
            ) => {
                self.failure = Some(failure);
                // Beside an attempt that is open another one would ask for a second version.
                if self.open.is_empty() {
                    self.try_next(now);
                }
            }
            // A coordinator that sees other siblings may refuse what an earlier one applies.
            Reply::Failed(failure @ Failure::Invalid { .. })
                if self.uncertain || !self.open.is_empty() =>
            {
                self.failure = Some(failure);
                if self.open.is_empty() {
                    self.give_up();
                }
            }
            // The request itself is at fault: nobody else would say otherwise.
            Reply::Failed(Failure::Invalid { .. })
            | Reply::Stored { .. }
            | Reply::Object(_)
            | Reply::Page(_)
            | Reply::Plan(_)
            | Reply::Cancelled { .. }
            | Reply::Transfers(_)
            | Reply::Bucket { .. }
            | Reply::Buckets(_)
            | Reply::Cluster(_)
            | Reply::Ring(_)
            | Reply::Explanation(_) => self.finish(reply),
        }
    }

    fn try_next(&mut self, now: Instant) {
        let Some(&node) = self.plan.candidates.get(self.next) else {
            if self.open.is_empty() {
                self.give_up();
            }
            return;
        };
        let retry = self.plan.retry || self.next > 0;
        self.next += 1;
        self.open.push(node);
        self.hop_ends = now + self.plan.hop_timeout;
        self.effects.push_back(ForwardEffect::Try { node, retry });
    }

    /// Says what is certain when nobody is left to ask.
    fn give_up(&mut self) {
        let needed = self.plan.needed;
        let certain = self.open.is_empty() && !self.uncertain;
        let failure = match self.failure.take() {
            Some(failure) if certain => failure,
            None if certain => Failure::NotEnoughReplicas { reached: 0, needed },
            Some(Failure::NotEnoughReplicas { reached, .. }) => {
                Failure::OutcomeUnknown { reached, needed }
            }
            Some(_) | None => Failure::OutcomeUnknown { reached: 0, needed },
        };
        self.finish(Reply::Failed(failure));
    }

    fn finish(&mut self, reply: Reply) {
        self.done = true;
        self.effects.push_back(ForwardEffect::Reply(reply));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn forward(candidates: &[u64]) -> Forward {
        let plan = ForwardPlan {
            candidates: candidates.iter().map(|n| NodeId(*n)).collect(),
            hop_timeout: Duration::from_millis(500),
            deadline: Instant(2_000_000_000),
            retry: false,
            needed: 2,
        };
        Forward::new(plan, Instant::ZERO)
    }

    fn effects(forward: &mut Forward) -> Vec<ForwardEffect> {
        core::iter::from_fn(|| forward.poll_effect()).collect()
    }

    fn failed(failure: Failure) -> Vec<ForwardEffect> {
        vec![ForwardEffect::Reply(Reply::Failed(failure))]
    }

    #[test]
    fn a_silent_coordinator_is_passed_over_with_a_retry() {
        let mut put = forward(&[1, 2]);
        assert_eq!(effects(&mut put), [ForwardEffect::Try { node: NodeId(1), retry: false }]);
        let hop = put.poll_timeout().unwrap();
        assert_eq!(hop, Instant(500_000_000));
        put.handle_timeout(hop);
        assert_eq!(effects(&mut put), [ForwardEffect::Try { node: NodeId(2), retry: true }]);
    }

    #[test]
    fn a_certain_failure_after_a_lost_attempt_is_unknown() {
        let mut put = forward(&[1, 2]);
        put.handle(Instant(1), ForwardEvent::Lost { node: NodeId(1) });
        effects(&mut put);
        let refused = Reply::Failed(Failure::NotEnoughReplicas { reached: 1, needed: 2 });
        put.handle(Instant(2), ForwardEvent::Replied { from: NodeId(2), reply: refused });
        assert_eq!(effects(&mut put), failed(Failure::OutcomeUnknown { reached: 1, needed: 2 }));
    }

    #[test]
    fn a_refusal_beside_an_attempt_that_is_open_or_lost_is_not_the_last_word() {
        let refused = || {
            let reason = dynamo_messages::Invalid::TooManySiblings;
            Reply::Failed(Failure::Invalid { reason, detail: "100 siblings".into() })
        };
        let unknown = failed(Failure::OutcomeUnknown { reached: 0, needed: 2 });

        let mut put = forward(&[1, 2]);
        put.handle_timeout(Instant(500_000_000));
        effects(&mut put);
        let at = Instant(600_000_000);
        put.handle(at, ForwardEvent::Replied { from: NodeId(2), reply: refused() });
        assert_eq!(effects(&mut put), [], "the silent one may apply it");
        put.handle_timeout(Instant(2_000_000_000));
        assert_eq!(effects(&mut put), unknown);

        let mut put = forward(&[1, 2]);
        put.handle(Instant(1), ForwardEvent::Lost { node: NodeId(1) });
        effects(&mut put);
        put.handle(Instant(2), ForwardEvent::Replied { from: NodeId(2), reply: refused() });
        assert_eq!(effects(&mut put), unknown);

        let mut put = forward(&[1, 2]);
        effects(&mut put);
        put.handle(Instant(2), ForwardEvent::Replied { from: NodeId(1), reply: refused() });
        assert_eq!(effects(&mut put), [ForwardEffect::Reply(refused())], "nobody else was asked");
    }

    #[test]
    fn certain_failures_everywhere_are_a_certain_failure() {
        let mut put = forward(&[1]);
        effects(&mut put);
        let refused = Reply::Failed(Failure::StorageFull);
        put.handle(Instant(2), ForwardEvent::Replied { from: NodeId(1), reply: refused });
        assert_eq!(effects(&mut put), failed(Failure::StorageFull));
        assert!(put.is_done());
    }

    #[test]
    fn without_a_candidate_nothing_was_applied() {
        let mut put = forward(&[]);
        assert_eq!(effects(&mut put), failed(Failure::NotEnoughReplicas { reached: 0, needed: 2 }));
    }

    #[test]
    fn an_answer_of_the_silent_one_still_counts() {
        let mut put = forward(&[1, 2]);
        put.handle_timeout(Instant(500_000_000));
        effects(&mut put);
        let stored = Reply::Stored { context: "c".into(), receipt: Default::default() };
        put.handle(
            Instant(600_000_000),
            ForwardEvent::Replied { from: NodeId(1), reply: stored.clone() },
        );
        assert_eq!(effects(&mut put), [ForwardEffect::Reply(stored)]);
    }
}
