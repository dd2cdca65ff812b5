//! What is known of a partition's place: one value, totally ordered, that merges by maximum.
//!
//! ```text
//!  stable --> fenced --> synced --> decided --> committed --> stable, in the next epoch
//!                ^          |
//!                +----------+   a higher ballot, until one is decided
//! ```
//! *Cleaned*, the last stage of protocol rule 8, asks of requests what *stable* asks of them in the
//! next epoch, so it is that. A new move may also begin at *committed*: a member of the new set that
//! died must be replaceable while a leaver still waits for it (history 24).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Ordering;

use dynamo_ring::ReplicaSet;
use dynamo_types::{NodeId, RegisterTag, Replication};
use thiserror::Error;

use crate::ballot::{Ballot, Epoch, Force, LAMPORT_MAX, PlanHash};

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Whoever holds this register takes no write any more that the next set does not get too. The
    /// move itself is fenced when a majority of the current set has promised that.
    Fenced,
    /// Every joiner has what was written before, and some member of the current set has voted.
    Synced,
    /// A majority of the current set has voted: no other proposal can win.
    Decided,
    /// A majority of the current set knows the decision, so nobody reads the current set unwarned.
    Committed,
}

/// A proposal and how far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Move {
    /// Its name.
    pub ballot: Ballot,
    /// The proposed set.
    pub next: ReplicaSet,
    /// The highest earlier ballot that somebody may have voted for, as its driver knew; it proposed
    /// the same set. None if the driver knew of no vote.
    pub adopts: Option<Ballot>,
    /// How far it got.
    pub stage: Stage,
}

/// The register of one partition, as somebody knows it.
///
/// The order says who is ahead: a later epoch; in one epoch a decided move before all that are not;
/// among those the one whose set was voted for under the highest ballot, then the higher ballot,
/// then the stage. Merging is the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Register {
    /// Names the current set.
    pub epoch: Epoch,
    /// Who holds the partition until a move is decided.
    pub current: ReplicaSet,
    /// The move under way. Without one the register is stable.
    pub movement: Option<Move>,
}

/// Why nothing can be proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// The sets differ in size.
    #[error("the next set has {next} members and the current one {current}")]
    Size {
        /// Of the current set.
        current: usize,
        /// Of the proposed one.
        next: usize,
    },
    /// The move under way is decided and must be committed first.
    #[error("a move is decided and not yet committed")]
    Decided,
    /// No ballot is left.
    #[error("no ballot number is left in this epoch")]
    Exhausted,
    /// A set that is forced has a node that is given up.
    #[error("node {0} is given up and cannot hold the partition")]
    GivenUp(NodeId),
    /// There is nothing to force: no register was seen.
    #[error("no register was seen")]
    Unseen,
}

/// What comes of a force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forced {
    /// What every reachable node shall learn.
    pub register: Register,
    /// Members that were in none of the sets before: they begin incomplete, as no majority of the old
    /// set vouched for what they were given.
    pub newcomers: Vec<NodeId>,
    /// Whose copies are given up. What was acknowledged by these alone is lost until they return and
    /// offer it.
    pub given_up: Vec<NodeId>,
}

impl Register {
    /// The register at genesis.
    #[must_use]
    pub fn first(current: ReplicaSet) -> Self {
        Self { epoch: Epoch::FIRST, current, movement: None }
    }

    /// Names what this register asks of requests. *Fenced* and *synced* ask the same, so who has voted
    /// and who has not serve the same requests; all else has tags of its own.
    #[must_use]
    pub fn tag(&self) -> RegisterTag {
        Self::tag_of(self.what_it_asks().digest())
    }

    /// The tag, from the digest of a register that stands at another stage than *synced*.
    fn tag_of(digest: u128) -> RegisterTag {
        let [a, b, c, d, e, f, g, h, ..] = digest.to_be_bytes();
        RegisterTag::of_digest(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// [`tag`](Self::tag) and [`digest`](Self::digest), mostly for the price of one.
    #[must_use]
    pub fn tag_and_digest(&self) -> (RegisterTag, u128) {
        let digest = self.digest();
        let is_synced = self.stage() == Some(Stage::Synced);
        (if is_synced { self.tag() } else { Self::tag_of(digest) }, digest)
    }

    /// A digest of all of it.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"dynamo register digest 1");
        hasher.update(&crate::encoding::bytes_of(self));
        let hash = hasher.finalize();
        u128::from_be_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }

    /// Whether the two ask the same of requests.
    #[must_use]
    pub fn asks_as(&self, other: &Self) -> bool {
        self.what_it_asks() == other.what_it_asks()
    }

    /// The same register without what requests do not see.
    fn what_it_asks(&self) -> Self {
        if self.stage() == Some(Stage::Synced) { self.at(Stage::Fenced) } else { *self }
    }

    /// How far the move is; none if there is no move.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        self.movement.map(|movement| movement.stage)
    }

    /// Whether the set of this epoch is chosen.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.stage() >= Some(Stage::Decided)
    }

    /// The set that holds the partition once what is decided is done.
    #[must_use]
    pub fn settled_set(&self) -> ReplicaSet {
        match self.movement {
            Some(movement) if movement.stage >= Stage::Decided => movement.next,
            _ => self.current,
        }
    }

    /// The highest ballot that may have got votes, as this register shows, with its set.
    #[must_use]
    pub fn evidence(&self) -> Option<(Ballot, ReplicaSet)> {
        let movement = self.movement?;
        let ballot =
            if movement.stage >= Stage::Synced { Some(movement.ballot) } else { movement.adopts };
        ballot.map(|ballot| (ballot, movement.next))
    }

    /// All nodes of either set, those of the current one first: 2N at most.
    #[must_use]
    pub fn everyone(&self) -> Vec<NodeId> {
        let joiners = self.movement.map(|movement| movement.next.without(self.current));
        self.current.iter().chain(joiners.into_iter().flatten()).collect()
    }

    /// Members of the next set alone.
    #[must_use]
    pub fn joiners(&self) -> Vec<NodeId> {
        let joiners = self.movement.map(|movement| movement.next.without(self.current));
        joiners.into_iter().flatten().collect()
    }

    /// Members of the current set alone.
    #[must_use]
    pub fn leavers(&self) -> Vec<NodeId> {
        let leavers = self.movement.map(|movement| self.current.without(movement.next));
        leavers.into_iter().flatten().collect()
    }

    /// More than half of N.
    #[must_use]
    pub fn majority(&self) -> usize {
        majority(&self.current)
    }

    /// Proposes a set as the next one: a fenced register. If this one shows that somebody may have
    /// voted, what is proposed is that set and not the given one, as it may be decided already.
    ///
    /// # Errors
    /// Refuses a set of another size, a move behind one that is decided and not committed, and a
    /// lamport beyond the largest.
    pub fn propose(&self, lamport: u64, next: ReplicaSet) -> Result<Self, ProposeError> {
        let base = match self.stage() {
            None | Some(Stage::Fenced | Stage::Synced) => *self,
            Some(Stage::Decided) => return Err(ProposeError::Decided),
            Some(Stage::Committed) => self.cleaned(),
        };
        let (adopts, next) = match base.evidence() {
            Some((ballot, voted)) => (Some(ballot), voted),
            None => (None, next),
        };
        if next.len() != base.current.len() {
            return Err(ProposeError::Size { current: base.current.len(), next: next.len() });
        }
        if lamport > LAMPORT_MAX {
            return Err(ProposeError::Exhausted);
        }
        let plan = PlanHash::of_move(base.epoch, &base.current, &next, adopts);
        let ballot = Ballot { lamport, plan };
        let movement = Move { ballot, next, adopts, stage: Stage::Fenced };
        Ok(Self { movement: Some(movement), ..base })
    }

    /// Gives up nodes for good and names the holders from now on, one epoch above all that was
    /// seen (history 21). `seen` is what every node said that can be reached.
    ///
    /// # Errors
    /// Refuses a set of another size, one with a node that is given up, and to force without having
    /// seen any register.
    pub fn force(
        seen: &[Self],
        set: ReplicaSet,
        given_up: &BTreeSet<NodeId>,
    ) -> Result<Forced, ProposeError> {
        let highest = seen.iter().max().ok_or(ProposeError::Unseen)?;
        if set.len() != highest.current.len() {
            let current = highest.current.len();
            return Err(ProposeError::Size { current, next: set.len() });
        }
        if let Some(node) = set.iter().find(|node| given_up.contains(node)) {
            return Err(ProposeError::GivenUp(node));
        }
        let number = seen.iter().map(|register| register.cleaned().epoch.number).max();
        let forces = seen.iter().filter_map(|register| register.epoch.force);
        let latest = forces.map(|force| force.lamport).max().unwrap_or(0);
        let lamport = latest.saturating_add(1);
        if lamport > LAMPORT_MAX {
            return Err(ProposeError::Exhausted);
        }
        let given_up: Vec<NodeId> = given_up.iter().copied().collect();
        let force = Force { lamport, plan: PlanHash::of_force(&set, &given_up) };
        let epoch = Epoch { number: number.unwrap_or(0).saturating_add(1), force: Some(force) };
        let knew = |node: &NodeId| seen.iter().any(|register| register.current.contains(*node));
        let newcomers = set.iter().filter(|node| !knew(node)).collect();
        Ok(Forced { register: Self { epoch, current: set, movement: None }, newcomers, given_up })
    }

    /// Takes over what is ahead. Returns whether anything changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let ahead = other > self;
        if ahead {
            *self = *other;
        }
        ahead
    }

    /// The same move at another stage.
    pub(crate) fn at(&self, stage: Stage) -> Self {
        let movement = self.movement.map(|movement| Move { stage, ..movement });
        Self { movement, ..*self }
    }

    /// The stable register that follows a decided move; this one if nothing is decided.
    #[must_use]
    pub fn cleaned(&self) -> Self {
        match self.movement {
            Some(movement) if movement.stage >= Stage::Decided => {
                Self { epoch: self.epoch.next(), current: movement.next, movement: None }
            }
            _ => *self,
        }
    }
}

impl Ord for Register {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |register: &Self| {
            let decided = register.stage().filter(|stage| *stage >= Stage::Decided);
            let evidence = register.evidence().map(|(ballot, _)| ballot);
            let ballot = register.movement.map(|movement| movement.ballot);
            (register.epoch, decided, evidence, ballot, register.stage())
        };
        // The sets follow from the rest, unless somebody's memory is bad: then all still agree.
        let sets = |register: &Self| {
            let movement = register.movement;
            (register.current, movement.map(|m| m.next), movement.and_then(|m| m.adopts))
        };
        rank(self).cmp(&rank(other)).then_with(|| sets(self).cmp(&sets(other)))
    }
}

impl PartialOrd for Register {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// More than half of a set.
pub(crate) fn majority(set: &ReplicaSet) -> usize {
    let n = u8::try_from(set.len()).expect("at most 7");
    let replication = Replication::new(n).expect("a replica set has 1 to 7 members");
    usize::from(replication.majority())
}
