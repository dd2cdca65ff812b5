//! Counting the copies of a version (Paper §4.5, protocol rule 7).
//!
//! The version is minted and sent before this machine starts; it decides when the client may be
//! told, and what. *Stored* needs w copies. *Failed* needs the certainty that no replica stored it
//! or ever will; whatever is less certain than that is *unknown*.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use dynamo_messages::WriteOutcome;
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Instant, NodeId};

/// Whose copies count, and how many.
#[derive(Debug, Clone)]
pub struct PutPlan {
    /// The replicas that the version was sent to, the coordinator among them.
    pub replicas: Vec<NodeId>,
    /// Copies needed (w).
    pub needed: u8,
    /// When the client gives up.
    pub deadline: Instant,
    /// Whether the version was made by an earlier attempt, so that copies of it may stand whatever
    /// the replicas answer now.
    pub made_before: bool,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutEvent {
    /// A replica answered.
    Answered {
        /// Which.
        from: NodeId,
        /// What came of the write there.
        outcome: WriteOutcome,
    },
    /// A replica will not answer any more: its connection broke. It may have stored the version.
    Lost {
        /// Which.
        node: NodeId,
    },
    /// The bucket's settings turned out to be newer and ask for this many copies.
    Needed(u8),
}

/// One copy that was confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// On which node.
    pub node: NodeId,
    /// Whether it is synced.
    pub synced: bool,
}

/// What the client shall be told. Emitted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutEffect {
    /// Enough copies stand.
    Stored {
        /// Those known so far.
        copies: Vec<Copy>,
    },
    /// Fewer copies than needed are known; more may stand.
    Unknown {
        /// Copies known.
        reached: u8,
        /// How many were needed.
        needed: u8,
    },
    /// Every replica refused for certain because its disk is full or its queue is: nothing is
    /// applied anywhere. Never said of a version that was made before.
    Refused {
        /// Whether some disk was full, rather than only queues.
        disk_full: bool,
    },
    /// A deadline passed, and this build was told to lie about it.
    FalselyFailed {
        /// Copies known.
        reached: u8,
        /// How many were needed.
        needed: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Waiting,
    Stored { synced: bool },
    Refused { disk_full: bool },
    Unknown,
}

/// The machine of one put.
#[derive(Debug)]
pub struct PutAcknowledgements {
    plan: PutPlan,
    standing: Vec<(NodeId, Standing)>,
    decided: bool,
    deadline_passed: bool,
    effects: VecDeque<PutEffect>,
}

impl PutAcknowledgements {
    /// Starts to count.
    #[must_use]
    pub fn new(plan: PutPlan) -> Self {
        let standing = plan.replicas.iter().map(|node| (*node, Standing::Waiting)).collect();
        Self { plan, standing, decided: false, deadline_passed: false, effects: VecDeque::new() }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: PutEvent) {
        match event {
            PutEvent::Answered { from, outcome } => {
                let standing = match outcome {
                    WriteOutcome::Stored { synced } => Standing::Stored { synced },
                    WriteOutcome::DiskFull => Standing::Refused { disk_full: true },
                    WriteOutcome::Overloaded => Standing::Refused { disk_full: false },
                    WriteOutcome::Failed => Standing::Unknown,
                };
                self.set(from, standing);
            }
            PutEvent::Lost { node } => self.set(node, Standing::Unknown),
            PutEvent::Needed(needed) => self.plan.needed = needed,
        }
        self.settle();
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.plan.deadline {
            return;
        }
        self.deadline_passed = true;
        if !self.decided {
            let (reached, needed) = (self.reached(), self.plan.needed);
            let lie = planted(PlantedBug::TimeoutIsFailure);
            self.decide(if lie {
                PutEffect::FalselyFailed { reached, needed }
            } else {
                PutEffect::Unknown { reached, needed }
            });
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.deadline_passed && !self.is_done()).then_some(self.plan.deadline)
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<PutEffect> {
        self.effects.pop_front()
    }

    /// Whether the client was told and no replica is awaited any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.decided
            && self.effects.is_empty()
            && (self.deadline_passed || self.waiting().next().is_none())
    }

    /// Replicas that have not answered.
    fn waiting(&self) -> impl Iterator<Item = NodeId> {
        let waiting = self.standing.iter().filter(|(_, s)| *s == Standing::Waiting);
        waiting.map(|(node, _)| *node)
    }

    fn set(&mut self, node: NodeId, standing: Standing) {
        let of_node = self.standing.iter_mut().find(|(n, s)| *n == node && *s == Standing::Waiting);
        if let Some((_, held)) = of_node {
            *held = standing;
        }
    }

    fn copies(&self) -> impl Iterator<Item = Copy> {
        self.standing.iter().filter_map(|(node, standing)| match standing {
            Standing::Stored { synced } => Some(Copy { node: *node, synced: *synced }),
            Standing::Waiting | Standing::Refused { .. } | Standing::Unknown => None,
        })
    }

    fn reached(&self) -> u8 {
        u8::try_from(self.copies().count()).unwrap_or(u8::MAX)
    }

    fn settle(&mut self) {
        if self.decided {
            return;
        }
        let (reached, needed) = (self.reached(), self.plan.needed);
        if reached >= needed {
            let copies = self.copies().collect();
            return self.decide(PutEffect::Stored { copies });
        }
        let refusals = self.standing.iter().filter_map(|(_, standing)| match standing {
            Standing::Refused { disk_full } => Some(*disk_full),
            Standing::Waiting | Standing::Stored { .. } | Standing::Unknown => None,
        });
        let refusals: Vec<bool> = refusals.collect();
        if refusals.len() == self.standing.len() && self.plan.made_before {
            self.decide(PutEffect::Unknown { reached, needed });
        } else if refusals.len() == self.standing.len() {
            let disk_full = refusals.into_iter().any(|full| full);
            self.decide(PutEffect::Refused { disk_full });
        } else if usize::from(reached) + self.waiting().count() < usize::from(needed)
            // As long as all that answered refused, the others may refuse too.
            && refusals.len() + self.waiting().count() < self.standing.len()
        {
            self.decide(PutEffect::Unknown { reached, needed });
        }
    }

    fn decide(&mut self, effect: PutEffect) {
        self.decided = true;
        self.effects.push_back(effect);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const STORED: WriteOutcome = WriteOutcome::Stored { synced: true };

    fn three(needed: u8) -> PutAcknowledgements {
        let replicas = vec![NodeId(1), NodeId(2), NodeId(3)];
        let deadline = Instant(1_000);
        PutAcknowledgements::new(PutPlan { replicas, needed, deadline, made_before: false })
    }

    fn answer(
        put: &mut PutAcknowledgements,
        node: u64,
        outcome: WriteOutcome,
    ) -> Option<PutEffect> {
        put.handle(PutEvent::Answered { from: NodeId(node), outcome });
        put.poll_effect()
    }

    #[test]
    fn the_client_is_told_after_w_copies_and_once() {
        let mut put = three(2);
        assert_eq!(answer(&mut put, 1, STORED), None);
        let copies =
            vec![Copy { node: NodeId(1), synced: true }, Copy { node: NodeId(3), synced: true }];
        assert_eq!(answer(&mut put, 3, STORED), Some(PutEffect::Stored { copies }));
        assert!(!put.is_done(), "the third is still awaited");
        assert_eq!(answer(&mut put, 2, STORED), None);
        assert!(put.is_done());
    }

    #[test]
    fn one_replica_counts_once_however_often_it_answers() {
        let mut put = three(2);
        assert_eq!(answer(&mut put, 1, STORED), None);
        assert_eq!(answer(&mut put, 1, STORED), None);
    }

    #[test]
    fn a_refusal_everywhere_is_a_certain_failure() {
        let mut put = three(1);
        assert_eq!(answer(&mut put, 1, WriteOutcome::DiskFull), None);
        assert_eq!(answer(&mut put, 2, WriteOutcome::Overloaded), None);
        let refused = PutEffect::Refused { disk_full: true };
        assert_eq!(answer(&mut put, 3, WriteOutcome::DiskFull), Some(refused));
    }

    #[test]
    fn a_version_that_was_made_before_may_stand_though_all_refuse_it_now() {
        let mut put = three(1);
        put.plan.made_before = true;
        assert_eq!(answer(&mut put, 1, WriteOutcome::DiskFull), None);
        assert_eq!(answer(&mut put, 2, WriteOutcome::Overloaded), None);
        let unknown = PutEffect::Unknown { reached: 0, needed: 1 };
        assert_eq!(answer(&mut put, 3, WriteOutcome::Overloaded), Some(unknown));
    }

    #[test]
    fn a_lost_replica_makes_the_outcome_unknown() {
        let mut put = three(2);
        put.handle(PutEvent::Lost { node: NodeId(1) });
        assert_eq!(
            answer(&mut put, 2, WriteOutcome::DiskFull),
            Some(PutEffect::Unknown { reached: 0, needed: 2 })
        );
    }

    #[test]
    fn timeout_is_unknown_not_failed() {
        let mut put = three(3);
        assert_eq!(answer(&mut put, 1, STORED), None);
        put.handle_timeout(Instant(999));
        assert_eq!(put.poll_effect(), None);
        put.handle_timeout(Instant(1_000));
        assert_eq!(put.poll_effect(), Some(PutEffect::Unknown { reached: 1, needed: 3 }));
    }
}
