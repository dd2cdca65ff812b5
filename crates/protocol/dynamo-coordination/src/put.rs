//! Counting the copies of a version (Paper §4.5, §4.6; protocol rule 7).
//!
//! The version is minted and sent before this machine starts; it decides when the client may be
//! told, and what. *Stored* needs w copies. *Failed* needs the certainty that no node stored it
//! or ever will; whatever is less certain than that is *unknown*.
//!
//! A copy is for a *member* of the replica set and is kept by a *holder*: the member itself, or a
//! fallback that keeps a hint for it. Copies count by member. A hint is removed once its member has
//! it, so a member's own copy and a hint for it are in the end one copy, and counted as two they
//! would promise a disk that does not exist.
//!
//! While a partition moves there are two sets, and w copies are needed of each (protocol rule 8). A copy
//! counts in every set that its member is in.
//!
//! A member that refuses, is lost or stays silent for a while is stood in for: the owner is asked for
//! a fallback. The hint counts towards w while the client waits, and is a courtesy afterwards.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use dynamo_messages::WriteOutcome;
use dynamo_ring::ReplicaSet;
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Instant, NodeId};

/// Where a copy was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Whose copy it is.
    pub member: NodeId,
    /// Who keeps it: the member itself, or a fallback.
    pub holder: NodeId,
}

impl Placement {
    /// A member's own copy.
    #[must_use]
    pub fn own(member: NodeId) -> Self {
        Self { member, holder: member }
    }

    /// Whether a fallback keeps it.
    #[must_use]
    pub fn is_hint(self) -> bool {
        self.member != self.holder
    }
}

/// Whose copies count, and how many.
#[derive(Debug, Clone)]
pub struct PutPlan {
    /// Where the version was sent, the coordinator's own copy included.
    pub placements: Vec<Placement>,
    /// Members that nobody was asked for yet: no fallback was left.
    pub unplaced: Vec<NodeId>,
    /// The sets that copies are counted in: one, or two during a move.
    pub sets: Vec<ReplicaSet>,
    /// Copies needed of each set (w).
    pub needed: u8,
    /// Whether only members' own copies count (`quorum=strict`).
    pub strict: bool,
    /// When members that have not answered are stood in for.
    pub stand_in_at: Instant,
    /// When the client gives up.
    pub deadline: Instant,
    /// Whether the version was made by an earlier attempt, so that copies of it may stand whatever
    /// the holders answer now.
    pub made_before: bool,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutEvent {
    /// A holder answered.
    Answered {
        /// Which.
        from: NodeId,
        /// What came of the write there.
        outcome: WriteOutcome,
    },
    /// A holder will not answer any more: its connection broke. It may have stored the version.
    Lost {
        /// Which.
        node: NodeId,
    },
    /// To [`PutEffect::WantStandIn`]: the hint was sent.
    StandIn(Placement),
    /// To [`PutEffect::WantStandIn`]: no fallback is left.
    NoStandIn {
        /// For which member.
        member: NodeId,
    },
    /// The bucket's settings turned out to be newer and ask for this many copies.
    Needed(u8),
}

/// One copy that was confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// Where it is.
    pub placement: Placement,
    /// Whether it is synced.
    pub synced: bool,
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutEffect {
    /// Send the version to a fallback as a hint for this member, and answer with
    /// [`PutEvent::StandIn`] or [`PutEvent::NoStandIn`].
    WantStandIn {
        /// For whom.
        member: NodeId,
        /// Whether the hint counts towards w; if not, it is a courtesy.
        acknowledging: bool,
    },
    /// Tell the client: enough copies stand. This and the following are emitted once in all.
    Stored {
        /// Those known so far, one for each member; of the two sets during a move, those of the one that has
        /// fewer: no more is promised than what either set gives.
        copies: Vec<Copy>,
    },
    /// Fewer copies than needed are known; more may stand.
    Unknown {
        /// Copies known.
        reached: u8,
        /// How many were needed.
        needed: u8,
    },
    /// Every holder refused for certain because its disk or hint space is full or its queue is:
    /// nothing is applied anywhere. Never said of a version that was made before.
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
    sets: Vec<ReplicaSet>,
    needed: u8,
    strict: bool,
    stand_in_at: Option<Instant>,
    deadline: Instant,
    made_before: bool,
    /// At most one own copy and one hint a member.
    standing: Vec<(Placement, Standing)>,
    /// Members that nobody stands in for, and for whom that was asked already.
    stood_in: BTreeSet<NodeId>,
    /// Stand-ins that the owner has not named yet.
    wanted: usize,
    decided: bool,
    deadline_passed: bool,
    effects: VecDeque<PutEffect>,
}

impl PutAcknowledgements {
    /// Starts to count.
    #[must_use]
    pub fn new(plan: PutPlan) -> Self {
        let hinted = plan.placements.iter().filter(|placement| placement.is_hint());
        let stood_in = hinted.map(|placement| placement.member).chain(plan.unplaced);
        Self {
            sets: plan.sets,
            needed: plan.needed,
            strict: plan.strict,
            stand_in_at: Some(plan.stand_in_at),
            deadline: plan.deadline,
            made_before: plan.made_before,
            stood_in: stood_in.collect(),
            standing: plan.placements.iter().map(|to| (*to, Standing::Waiting)).collect(),
            wanted: 0,
            decided: false,
            deadline_passed: false,
            effects: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: PutEvent) {
        match event {
            PutEvent::Answered { from, outcome } => {
                let standing = match outcome {
                    WriteOutcome::Stored { synced } => Standing::Stored { synced },
                    WriteOutcome::DiskFull | WriteOutcome::HintsFull => {
                        Standing::Refused { disk_full: true }
                    }
                    WriteOutcome::Overloaded | WriteOutcome::Stale => {
                        Standing::Refused { disk_full: false }
                    }
                    WriteOutcome::Failed => Standing::Unknown,
                };
                self.set(from, standing);
            }
            PutEvent::Lost { node } => self.set(node, Standing::Unknown),
            PutEvent::StandIn(placement) => {
                self.wanted = self.wanted.saturating_sub(1);
                self.standing.push((placement, Standing::Waiting));
            }
            PutEvent::NoStandIn { .. } => self.wanted = self.wanted.saturating_sub(1),
            PutEvent::Needed(needed) => self.needed = needed,
        }
        self.settle();
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.stand_in_at.is_some_and(|at| now >= at) || now >= self.deadline {
            self.stand_in_at = None;
            self.stand_in_for_the_silent();
        }
        if now < self.deadline {
            return;
        }
        self.deadline_passed = true;
        if !self.decided {
            let (reached, needed) = (self.reached(), self.needed);
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
        let next = self.stand_in_at.map_or(self.deadline, |at| at.min(self.deadline));
        (!self.deadline_passed && !self.is_done()).then_some(next)
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<PutEffect> {
        self.effects.pop_front()
    }

    /// Whether the client was told and no holder is awaited any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.decided
            && self.effects.is_empty()
            && (self.deadline_passed || self.waiting().next().is_none())
    }

    /// Whether the client was told.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.decided
    }

    /// The copy that a holder has been asked to keep and has not answered about.
    #[must_use]
    pub fn awaited_from(&self, holder: NodeId) -> Option<Placement> {
        self.waiting().find(|placement| placement.holder == holder)
    }

    /// Nodes that were asked to keep a copy.
    pub fn holders(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.standing.iter().map(|(placement, _)| placement.holder)
    }

    /// Holders that have not answered.
    fn waiting(&self) -> impl Iterator<Item = Placement> + '_ {
        let waiting = self.standing.iter().filter(|(_, s)| *s == Standing::Waiting);
        waiting.map(|(placement, _)| *placement)
    }

    fn set(&mut self, holder: NodeId, standing: Standing) {
        let of_holder = self
            .standing
            .iter_mut()
            .find(|(placement, s)| placement.holder == holder && *s == Standing::Waiting);
        let Some((placement, held)) = of_holder else { return };
        *held = standing;
        let member = placement.member;
        if matches!(standing, Standing::Refused { .. } | Standing::Unknown) {
            self.stand_in(member);
        }
    }

    fn stand_in_for_the_silent(&mut self) {
        let silent: Vec<NodeId> = self.waiting().map(|placement| placement.member).collect();
        for member in silent {
            self.stand_in(member);
        }
    }

    /// Once for each member: a stand-in that fails has tried for it.
    fn stand_in(&mut self, member: NodeId) {
        let is_stored = |(placement, standing): &(Placement, Standing)| {
            placement.member == member && matches!(standing, Standing::Stored { .. })
        };
        if self.standing.iter().any(is_stored) || !self.stood_in.insert(member) {
            return;
        }
        self.wanted += 1;
        let acknowledging = !self.decided && !self.strict;
        self.effects.push_back(PutEffect::WantStandIn { member, acknowledging });
    }

    /// One copy for each member; its own is named rather than a hint for it.
    fn copies(&self) -> Vec<Copy> {
        let mut copies: Vec<Copy> = Vec::new();
        for (placement, standing) in &self.standing {
            let Standing::Stored { synced } = *standing else { continue };
            if self.strict && placement.is_hint() {
                continue;
            }
            let copy = Copy { placement: *placement, synced };
            let same = |known: &Copy| known.placement.member == placement.member;
            match copies.iter_mut().find(|known| same(known)) {
                Some(known) if known.placement.is_hint() => *known = copy,
                Some(_) => {}
                None => copies.push(copy),
            }
        }
        copies
    }

    fn copies_of_weakest_set(&self) -> Vec<Copy> {
        let copies = self.copies();
        let of_set = |set: &ReplicaSet| -> Vec<Copy> {
            copies.iter().filter(|copy| set.contains(copy.placement.member)).copied().collect()
        };
        let own = |copies: &Vec<Copy>| copies.iter().filter(|c| !c.placement.is_hint()).count();
        let weakest = self.sets.iter().map(of_set).min_by_key(|of| (own(of), of.len()));
        weakest.unwrap_or_default()
    }

    /// Copies of the set that has fewest.
    fn reached(&self) -> u8 {
        let copies = if planted(PlantedBug::HintAndOwnCopyCountTwice) {
            let stored = |(_, standing): &&(Placement, Standing)| {
                matches!(standing, Standing::Stored { .. })
            };
            self.standing.iter().filter(stored).count()
        } else {
            let members = self.copies().into_iter().map(|copy| copy.placement.member).collect();
            self.least_of_sets(&members)
        };
        u8::try_from(copies).unwrap_or(u8::MAX)
    }

    /// How many of these members are in the set that has fewest of them.
    fn least_of_sets(&self, members: &BTreeSet<NodeId>) -> usize {
        let in_set = |set: &ReplicaSet| set.iter().filter(|node| members.contains(node)).count();
        if planted(PlantedBug::SetsCountTogether) {
            return members.len();
        }
        self.sets.iter().map(in_set).min().unwrap_or(0)
    }

    /// Members of whom a copy is known or may still come.
    fn hopeful(&self) -> usize {
        let counts = |(placement, standing): &&(Placement, Standing)| {
            matches!(standing, Standing::Waiting | Standing::Stored { .. })
                && !(self.strict && placement.is_hint())
        };
        let members: BTreeSet<NodeId> =
            self.standing.iter().filter(counts).map(|(placement, _)| placement.member).collect();
        self.least_of_sets(&members) + if self.strict { 0 } else { self.wanted }
    }

    fn settle(&mut self) {
        if self.decided {
            return;
        }
        let (reached, needed) = (self.reached(), self.needed);
        if reached >= needed {
            let copies = self.copies_of_weakest_set();
            return self.decide(PutEffect::Stored { copies });
        }
        if self.wanted > 0 {
            // The owner is about to say who stands in.
            return;
        }
        let refusals = self.standing.iter().filter_map(|(_, standing)| match standing {
            Standing::Refused { disk_full } => Some(*disk_full),
            Standing::Waiting | Standing::Stored { .. } | Standing::Unknown => None,
        });
        let refusals: Vec<bool> = refusals.collect();
        let waiting = self.waiting().count();
        if refusals.len() == self.standing.len() && self.made_before {
            self.decide(PutEffect::Unknown { reached, needed });
        } else if refusals.len() == self.standing.len() {
            let disk_full = refusals.into_iter().any(|full| full);
            self.decide(PutEffect::Refused { disk_full });
        } else if self.hopeful() < usize::from(needed)
            // As long as all that answered refused, the others may refuse too.
            && refusals.len() + waiting < self.standing.len()
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
mod tests;
