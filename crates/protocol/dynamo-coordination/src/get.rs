//! A get: ask, merge, answer, repair (Paper §4.5, §5; protocol rule 7).
//!
//! ```text
//!   asking ──r answers──▶ [fetching values] ─▶ [vetting] ─▶ answered ──all answered, or the wait ends──▶ done
//!      └──too few can still answer, or the deadline──▶ failed
//! ```
//!
//! The best replica is asked for everything, the others may leave long values out: their dots are
//! enough to see that all agree. One more replica is asked when one fails, and, within a budget,
//! when the answer takes longer than usual. What differs is merged before the client sees it; who
//! was behind is named after the answer, so repair never costs the client time.
//!
//! A version that one answer shows and another complete replica neither has nor covers may be one that
//! was deleted, and the delete collected, where the other is; an old hint or a late reply still shows
//! it. Such a replica is asked whether it would turn the version away as collected, and the version is
//! left out if so (history 13).
//!
//! When too few replicas can be reached, or too few have answered after a while, fallbacks are asked as
//! well (Paper §4.6). One of them counts only if it keeps a hint of the key: that it has none says
//! nothing (history 14).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_messages::{PiecePlace, ReadOutcome};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{Instant, NodeId};
use dynamo_versioning::{Dot, Record};

use crate::pieces::PieceTally;

/// Values up to this length travel with every answer: leaving them out would save less than the
/// second round costs when replicas differ.
pub const INLINE_VALUE_BYTES: u32 = 4096;

/// How a get shall be made.
#[derive(Debug, Clone)]
pub struct GetPlan {
    /// The replicas that can be asked, best first.
    pub replicas: Vec<NodeId>,
    /// Asked when the replicas are too few, in this order.
    pub fallbacks: Vec<NodeId>,
    /// Answers needed (r).
    pub needed: u8,
    /// Replicas asked at the start, at least `needed`.
    pub at_once: u8,
    /// When one more replica is asked, counted from the start.
    pub hedge_delay: Duration,
    /// When others, fallbacks last, are asked in place of those that have not answered.
    pub stand_in_at: Instant,
    /// When the client gives up.
    pub deadline: Instant,
    /// How long late answers are awaited, after the client was answered, before repair.
    pub repair_wait: Duration,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum GetEvent {
    /// A replica answered.
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
    /// To [`GetEffect::Vet`].
    Vetted {
        /// Which replica.
        from: NodeId,
        /// Versions that it would turn away as collected.
        collected: Vec<Dot>,
    },
    /// The budget grants the hedge that was wanted.
    HedgeGranted,
    /// The bucket's settings turned out to be newer and ask for this many answers.
    Needed(u8),
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GetEffect {
    /// Ask a replica.
    Ask {
        /// Which.
        node: NodeId,
        /// Values longer than this may be left out.
        value_bytes_max: u32,
    },
    /// Ask a replica which of these versions it would turn away as collected; answered with
    /// [`GetEvent::Vetted`].
    Vet {
        /// Which.
        node: NodeId,
        /// Versions that others have and it has not.
        dots: Vec<Dot>,
    },
    /// The answer takes longer than usual: one more replica would help.
    WantHedge,
    /// The quorum answered. Emitted once.
    Answer {
        /// All that the quorum has, merged.
        record: Record,
        /// Who answered first: the next put of this client is best coordinated there.
        fastest: NodeId,
    },
    /// The quorum cannot be reached, or not in time. Emitted at most once, instead of an answer.
    Failed {
        /// Replicas that answered.
        reached: u8,
        /// How many were needed.
        needed: u8,
    },
    /// The replicas that answered hold different versions. Emitted at most once, after the answer or
    /// the failure.
    Differed {
        /// All that they have, merged.
        merged: Record,
        /// What each has.
        answers: Vec<(NodeId, Record)>,
        /// Versions whose value no answer carried: they cannot be sent on.
        without_value: Vec<Dot>,
    },
}

/// What is known of one replica's answer.
#[derive(Debug, Clone, Default)]
struct Answer {
    record: Record,
    pieces: PieceTally,
    /// All pieces have come.
    whole: bool,
    /// Long values were left out.
    without_values: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asking,
    Answered { repair_at: Instant },
    Done,
}

/// The machine of one get.
#[derive(Debug)]
pub struct Get {
    plan: GetPlan,
    /// Next of `plan.replicas`, then of `plan.fallbacks`, to ask.
    next: usize,
    /// Asked and not yet answered for good.
    waiting: Vec<NodeId>,
    /// Answered that their row is damaged: they do not count, and want everything.
    unsure: Vec<NodeId>,
    answers: BTreeMap<NodeId, Answer>,
    /// Replicas that were asked which versions are collected, and have not said.
    vetting: BTreeSet<NodeId>,
    /// What was asked so.
    vetted: BTreeSet<(NodeId, Dot)>,
    /// Versions that some replica has collected.
    collected: BTreeSet<Dot>,
    fastest: Option<NodeId>,
    hedge_at: Option<Instant>,
    stand_in_at: Option<Instant>,
    phase: Phase,
    effects: VecDeque<GetEffect>,
}

impl Get {
    /// Starts a get.
    #[must_use]
    pub fn new(plan: GetPlan, now: Instant) -> Self {
        let hedge_at = Some(now + plan.hedge_delay);
        let stand_in_at = Some(plan.stand_in_at);
        let at_once = plan.at_once.max(plan.needed);
        let mut get = Self {
            plan,
            next: 0,
            waiting: Vec::new(),
            unsure: Vec::new(),
            answers: BTreeMap::new(),
            vetting: BTreeSet::new(),
            vetted: BTreeSet::new(),
            collected: BTreeSet::new(),
            fastest: None,
            hedge_at,
            stand_in_at,
            phase: Phase::Asking,
            effects: VecDeque::new(),
        };
        for _ in 0..at_once {
            get.ask_next();
        }
        get.settle(now);
        get
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, event: GetEvent) {
        match event {
            GetEvent::Answered { from, outcome } => self.answered(from, outcome),
            GetEvent::Lost { node } => self.give_up_on(node),
            GetEvent::Vetted { from, collected } => self.vetted(from, collected),
            GetEvent::HedgeGranted => {
                self.ask_next();
            }
            GetEvent::Needed(needed) => {
                self.plan.needed = needed;
                while self.phase == Phase::Asking && self.in_play() < usize::from(needed) {
                    if !self.ask_next() {
                        break;
                    }
                }
            }
        }
        self.settle(now);
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Asking if now >= self.plan.deadline => self.fail(),
            Phase::Asking => {
                if self.hedge_at.is_some_and(|at| now >= at) {
                    self.hedge_at = None;
                    if self.next < self.plan.replicas.len() {
                        self.effects.push_back(GetEffect::WantHedge);
                    }
                }
                if self.stand_in_at.is_some_and(|at| now >= at) {
                    self.stand_in_at = None;
                    let missing =
                        usize::from(self.plan.needed).saturating_sub(self.whole().count());
                    for _ in 0..missing {
                        self.ask_next();
                    }
                }
            }
            Phase::Answered { repair_at } if now >= repair_at => self.repair(),
            Phase::Answered { .. } | Phase::Done => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Asking => {
                let stand_in_at = self.stand_in_at.filter(|_| self.next < self.candidates());
                let earlier = self.hedge_at.into_iter().chain(stand_in_at);
                Some(earlier.fold(self.plan.deadline, Instant::min))
            }
            Phase::Answered { repair_at } => Some(repair_at),
            Phase::Done => None,
        }
    }

    /// What shall be done next.
    pub fn poll_effect(&mut self) -> Option<GetEffect> {
        self.effects.pop_front()
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done && self.effects.is_empty()
    }

    /// How many nodes can be asked in all.
    fn candidates(&self) -> usize {
        self.plan.replicas.len() + self.plan.fallbacks.len()
    }

    fn ask_next(&mut self) -> bool {
        let mut candidates = self.plan.replicas.iter().chain(&self.plan.fallbacks);
        let Some(&node) = candidates.nth(self.next) else {
            return false;
        };
        // The first is asked for everything, and so is whoever stands in for one that failed.
        let everything = self.next == 0 || self.next >= usize::from(self.plan.needed);
        let value_bytes_max = if everything { u32::MAX } else { INLINE_VALUE_BYTES };
        self.next += 1;
        self.ask(node, value_bytes_max);
        true
    }

    fn ask(&mut self, node: NodeId, value_bytes_max: u32) {
        self.waiting.push(node);
        self.effects.push_back(GetEffect::Ask { node, value_bytes_max });
    }

    fn answered(&mut self, from: NodeId, outcome: ReadOutcome) {
        if !self.waiting.contains(&from) {
            if !self.vetting.contains(&from) {
                return;
            }
            // It was to say what it has collected.
            match outcome {
                ReadOutcome::Unsure
                | ReadOutcome::Overloaded
                | ReadOutcome::NoHint
                | ReadOutcome::Stale => {
                    return self.give_up_on(from);
                }
                // It has heard of some of that by now, and answers anew. Of the rest it said nothing:
                // it is asked again.
                ReadOutcome::Piece { .. } | ReadOutcome::Missing => {
                    self.vetting.remove(&from);
                    self.vetted.retain(|(node, _)| *node != from);
                    self.answers.remove(&from);
                    self.waiting.push(from);
                }
            }
        }
        let (record, without_values, at) = match outcome {
            ReadOutcome::Piece { record, without_values, at } => (record, without_values, at),
            // Nobody but a replica may say that a key is missing.
            ReadOutcome::Missing if self.is_fallback(from) => return self.give_up_on(from),
            ReadOutcome::Missing => (Record::new(), false, PiecePlace::ONLY),
            ReadOutcome::Unsure => {
                self.unsure.push(from);
                return self.give_up_on(from);
            }
            ReadOutcome::Overloaded | ReadOutcome::NoHint | ReadOutcome::Stale => {
                return self.give_up_on(from);
            }
        };
        // A second answer, with the values that the first left out, replaces it.
        if self.is_whole(from) {
            self.answers.remove(&from);
        }
        let answer = self.answers.entry(from).or_default();
        answer.record.merge(&record);
        for dot in &self.collected {
            answer.record.forget(*dot);
        }
        answer.without_values |= without_values;
        answer.whole = answer.pieces.count(at);
        if answer.whole {
            self.fastest.get_or_insert(from);
            self.waiting.retain(|node| *node != from);
        }
    }

    fn give_up_on(&mut self, node: NodeId) {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| *waiting != node);
        let unvetted = self.vetting.remove(&node);
        if unvetted {
            // Its answer would count without that it said what is deleted there.
            self.answers.remove(&node);
        }
        if self.waiting.len() < before || unvetted {
            // What it said in part, or without values, cannot be completed any more. Kept, it would
            // be asked for its values again at once, and answer that it is overloaded again.
            let complete = |answer: &Answer| answer.whole && !answer.without_values;
            if self.answers.get(&node).is_some_and(|answer| !complete(answer)) {
                self.answers.remove(&node);
            }
            // A fallback is asked in nobody's place while enough may still answer.
            let fallback_is_next = self.next >= self.plan.replicas.len();
            let enough = self.in_play() >= usize::from(self.plan.needed);
            let needless = fallback_is_next && enough && self.stand_in_at.is_some();
            if self.phase == Phase::Asking && !needless {
                self.ask_next();
            }
        }
    }

    fn whole(&self) -> impl Iterator<Item = (NodeId, &Answer)> {
        self.answers.iter().filter(|(_, answer)| answer.whole).map(|(node, answer)| (*node, answer))
    }

    fn in_play(&self) -> usize {
        let silent = self.waiting.iter().filter(|node| !self.is_whole(**node)).count();
        silent + self.whole().count()
    }

    fn is_whole(&self, node: NodeId) -> bool {
        self.answers.get(&node).is_some_and(|answer| answer.whole)
    }

    /// Moves on if what is known allows it.
    fn settle(&mut self, now: Instant) {
        match self.phase {
            Phase::Asking => {
                if self.whole().count() >= usize::from(self.plan.needed) {
                    self.try_to_answer(now);
                } else if self.in_play() < usize::from(self.plan.needed)
                    && self.next >= self.candidates()
                {
                    self.fail();
                }
            }
            Phase::Answered { .. } => {
                if self.waiting.is_empty() {
                    self.repair();
                }
            }
            Phase::Done => {}
        }
    }

    /// Everything that whole answers hold. Records with all their values go first: a merge keeps
    /// the copy of a sibling that it has.
    fn merged(&self) -> Record {
        let mut merged = Record::new();
        for without_values in [false, true] {
            for (_, answer) in self.whole().filter(|(_, a)| a.without_values == without_values) {
                merged.merge(&answer.record);
            }
        }
        merged
    }

    fn try_to_answer(&mut self, now: Instant) {
        let record = self.merged();
        let bare = |record: &Record| record.siblings().iter().any(|s| !self.has_value(s.dot));
        if bare(&record) {
            let fetch: Vec<NodeId> = self
                .whole()
                .filter(|(node, answer)| {
                    answer.without_values && bare(&answer.record) && !self.waiting.contains(node)
                })
                .map(|(node, _)| node)
                .collect();
            for node in fetch {
                self.ask(node, u32::MAX);
            }
            return;
        }
        if !self.vet(&record) {
            return;
        }
        let fastest = self.fastest.expect("somebody answered");
        self.effects.push_back(GetEffect::Answer { record, fastest });
        self.phase = Phase::Answered { repair_at: now + self.plan.repair_wait };
        if self.waiting.is_empty() {
            self.repair();
        }
    }

    /// Asks each replica that lacks a version of `record` whether it is collected there. Whether
    /// nothing is left to ask.
    fn vet(&mut self, record: &Record) -> bool {
        let mut questions = Vec::new();
        for (node, answer) in self.whole().filter(|(node, _)| !self.is_fallback(*node)) {
            let lacks = |dot: &Dot| {
                answer.record.sibling(*dot).is_none() && !self.vetted.contains(&(node, *dot))
            };
            let dots: Vec<Dot> = record.dots().filter(lacks).collect();
            if !dots.is_empty() {
                questions.push((node, dots));
            }
        }
        for (node, dots) in questions {
            self.vetted.extend(dots.iter().map(|dot| (node, *dot)));
            self.vetting.insert(node);
            self.effects.push_back(GetEffect::Vet { node, dots });
        }
        self.vetting.is_empty()
    }

    fn vetted(&mut self, from: NodeId, collected: Vec<Dot>) {
        if !self.vetting.remove(&from) || planted(PlantedBug::HintsReadWithoutAsking) {
            return;
        }
        for answer in self.answers.values_mut() {
            for dot in &collected {
                answer.record.forget(*dot);
            }
        }
        self.collected.extend(collected);
    }

    fn is_fallback(&self, node: NodeId) -> bool {
        self.plan.fallbacks.contains(&node)
    }

    fn fail(&mut self) {
        let reached = self.whole().filter(|(node, _)| !self.vetting.contains(node)).count();
        let reached = u8::try_from(reached).unwrap_or(u8::MAX);
        self.effects.push_back(GetEffect::Failed { reached, needed: self.plan.needed });
        self.phase = Phase::Done;
        // Else a get of r=N could never succeed again on a key with a damaged row.
        if !self.unsure.is_empty() {
            self.repair();
        }
    }

    /// Names who is behind. Where all agree there is nothing to write. A replica with a damaged row
    /// is behind by everything: nobody else would tell it until the next put.
    fn repair(&mut self) {
        self.phase = Phase::Done;
        let merged = self.merged();
        let unsure = if merged.is_empty() { Vec::new() } else { core::mem::take(&mut self.unsure) };
        // What fallbacks keep is handed over, not repaired.
        let replicas = || self.whole().filter(|(node, _)| !self.is_fallback(*node));
        let all_agree = replicas().all(|(_, answer)| answer.record.same_versions(&merged));
        if all_agree && unsure.is_empty() {
            return;
        }
        let answers = replicas().map(|(node, answer)| (node, answer.record.clone()));
        let answers = answers.chain(unsure.into_iter().map(|node| (node, Record::new()))).collect();
        let without_value = merged.siblings().iter().map(|sibling| sibling.dot);
        let without_value = without_value.filter(|dot| !self.has_value(*dot)).collect();
        self.effects.push_back(GetEffect::Differed { merged, answers, without_value });
    }

    /// Whether some answer holds this version with its value.
    fn has_value(&self, dot: Dot) -> bool {
        self.whole().any(|(_, answer)| {
            answer.record.siblings().iter().any(|sibling| {
                sibling.dot == dot && (!answer.without_values || sibling.value_bytes() > 0)
            })
        })
    }
}

#[cfg(test)]
mod tests;
