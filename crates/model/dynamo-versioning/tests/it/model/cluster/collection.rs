//! Checkpoints, reports, the stable cut, and what goes (protocol rules 4 and 5).

use dynamo_types::ActorId;
use dynamo_versioning::{Dot, DotSet, Record, collectable, shrink};

use super::super::script::MEMBERS_MAX;
use super::{Cluster, KEYS, LeftOut};

/// The numbers of one process up to one of them, and how far they are from being closed: those that
/// no member has and nobody can still bring then count as incorporated.
pub(super) struct Closing {
    actor: ActorId,
    last: u64,
    /// For each member, with whom it has exchanged since no node held a hint with them and none was
    /// under way, as bits.
    exchanges: [u8; MEMBERS_MAX],
    /// A member has closed them up to this one.
    closed: u64,
}

impl Closing {
    pub(super) fn exchanged(&mut self, a: usize, b: usize) {
        self.exchanges[a] |= 1 << b;
        self.exchanges[b] |= 1 << a;
    }

    /// A member lost something: it may have passed it on before, past those that had exchanged.
    pub(super) fn begin_again(&mut self) {
        self.exchanges.fill(0);
    }

    pub(super) fn has_closed(&self, dot: Dot) -> bool {
        dot.actor == self.actor && dot.counter <= self.closed
    }
}

impl Cluster {
    /// Syncs the data, then the clock.
    pub(super) fn checkpoint(&mut self, at: usize) -> Result<(), String> {
        let only_dots = self.without(LeftOut::HorizonOnlyInMemory);
        let node = &mut self.nodes[at];
        if node.incomplete && !node.disk.incomplete {
            return Ok(());
        }
        node.take_checkpoint();
        if only_dots {
            node.disk.checkpoint.horizon = DotSet::new();
        }
        if self.without(LeftOut::CheckpointAheadOfData) {
            let node = &mut self.nodes[at];
            node.synced.checkpoint = node.disk.checkpoint.clone();
            node.synced.checkpoints = node.disk.checkpoints.clone();
            return Ok(());
        }
        self.sync(at)
    }

    /// A member tells another what it has for good.
    pub(super) fn report(&mut self, from: usize, to: usize) -> Result<(), String> {
        if from == to {
            return Ok(());
        }
        self.meet(from, to)?;
        let node = &self.nodes[from];
        if node.incomplete && !self.without(LeftOut::IncompleteKeepsClock) {
            return Ok(());
        }
        let live = self.without(LeftOut::ReportBeforeSync);
        let told = if live { &node.clock.dots } else { &node.synced.checkpoint.dots };
        let (dots, checkpoints) = (told.clone(), node.synced.checkpoints.clone());
        let node = &mut self.nodes[to];
        let report = &mut node.disk.reports[from];
        report.dots = dots;
        report.checkpoints.union_with(&checkpoints);
        node.dirty = true;
        Ok(())
    }

    /// What all members have for good, as far as this one knows.
    pub(super) fn cut(&self, at: usize) -> DotSet {
        let node = &self.nodes[at];
        let reports = self.others(at).map(|other| &node.disk.reports[other].dots);
        let own = if self.without(LeftOut::CutByOwnLiveClock) {
            &node.clock.dots
        } else {
            &node.synced.checkpoint.dots
        };
        let unheard = self.without(LeftOut::CutWithoutReport);
        let reports = reports.filter(|report| !(report.is_empty() && unheard));
        reports.fold(own.clone(), |cut, report| cut.intersection(report))
    }

    /// All members report to all, and all collect.
    pub(super) fn collect_everywhere(&mut self) -> Result<(), String> {
        for at in 0..self.members {
            self.checkpoint(at)?;
        }
        for at in 0..self.members {
            self.others(at).try_for_each(|other| self.report(at, other))?;
        }
        (0..self.members).try_for_each(|at| self.collect(at))
    }

    pub(super) fn collect(&mut self, at: usize) -> Result<(), String> {
        if self.nodes[at].incomplete {
            return Ok(());
        }
        let cut = self.cut(at);
        let (wall, slowest) = (self.wall(at), self.slowest_wall());
        for key in 0..KEYS {
            let Some(row) = self.nodes[at].disk.rows.get(&(at, key)).cloned() else { continue };
            let before = &row.stored.record;
            let mut after = row.stored.clone();
            let expired = before.siblings().iter().all(|s| s.is_expired(wall));
            if collectable(before, wall, &cut) {
                self.truth.collected(before, slowest)?;
                self.nodes[at].disk.rows.remove(&(at, key));
                self.goes(at, before);
            } else if shrink(&mut after.record, &cut) {
                let kept = self.nodes[at].disk.rows.get_mut(&(at, key)).expect("it was there");
                kept.stored = after;
                self.goes(at, before);
            } else if expired && self.without(LeftOut::ExpiredRemovedByTime) {
                self.truth.collected(before, slowest)?;
                self.nodes[at].disk.rows.remove(&(at, key));
            }
        }
        // Others would see records that say less, and what they leave to the horizon could be lost.
        if self.without(LeftOut::CollectionSeenUnsynced) { Ok(()) } else { self.sync(at) }
    }

    /// What a record covered goes beyond the horizon.
    fn goes(&mut self, at: usize, before: &Record) {
        self.collected = true;
        let mut context = before.context().clone();
        if self.without(LeftOut::HorizonWithoutSiblings) {
            context.subtract(&before.dots().collect());
        }
        let kept = !self.without(LeftOut::HorizonNotKept);
        let journaled = kept && !self.without(LeftOut::HorizonOnlyInMemory);
        let node = &mut self.nodes[at];
        node.dirty = true;
        if kept {
            node.clock.collected(&context);
        }
        if journaled {
            node.disk.journal.collected(&context);
        }
    }

    /// All processes, also those that ended, with the last number that each gave out.
    fn process(&self, process: usize) -> Option<(ActorId, u64)> {
        let running = self.nodes.iter().map(|node| (node.mint.actor(), node.mint.last()));
        let all = self.ended.iter().copied().chain(running);
        all.into_iter().nth(process % (self.ended.len() + self.nodes.len()))
    }

    pub(super) fn processes(&self) -> usize {
        self.ended.len() + self.nodes.len()
    }

    /// Asks all nodes for hints with the numbers that a process has given out so far.
    pub(super) fn ask_for_hints_of(&mut self, process: usize) -> Result<(), String> {
        let Some((actor, last)) = self.process(process) else { return Ok(()) };
        let names =
            |record: &Record| record.dots().any(|dot| dot.actor == actor && dot.counter <= last);
        let fallbacks = &self.nodes[self.members..];
        let mut disks = fallbacks.iter().flat_map(|node| [&node.disk, &node.synced]);
        let hinted = disks.any(|disk| disk.rows.values().any(|row| names(&row.stored.record)));
        let under_way = self.messages.iter().any(|message| names(&message.record))
            || self.early.iter().flatten().any(|early| names(&early.record));
        if (hinted || under_way) && !self.without(LeftOut::ClosedWithHintsLeft) {
            return Ok(());
        }
        let known = self.closings.iter().position(|closing| closing.actor == actor);
        let at = known.unwrap_or_else(|| {
            self.closings.push(Closing { actor, last, exchanges: [0; MEMBERS_MAX], closed: 0 });
            self.closings.len() - 1
        });
        self.closings[at].last = last;
        self.closings[at].begin_again();
        Ok(())
    }

    /// Closes numbers of a process at a member that has all of them that anybody has.
    pub(super) fn close_numbers(&mut self, closing: usize, at: usize) -> Result<(), String> {
        let Some(place) = closing.checked_rem(self.closings.len()) else { return Ok(()) };
        let everyone = self.others(at).fold(0, |all, other| all | 1 << other);
        let hasty = self.without(LeftOut::ClosedWithoutExchange);
        let closing = &mut self.closings[place];
        let has_all = closing.exchanges[at] == everyone || hasty;
        let node = &mut self.nodes[at];
        if has_all && !node.incomplete {
            let mut gained = DotSet::new();
            gained.insert_interval(closing.actor, 0, closing.last);
            gained.subtract(&node.clock.dots);
            closing.closed = closing.last;
            node.clock.dots.union_with(&gained);
            self.check_closed(&gained)?;
        }
        Ok(())
    }

    /// Nobody holds what was closed, and nobody can bring it.
    fn check_closed(&self, closed: &DotSet) -> Result<(), String> {
        let disks = self.nodes.iter().flat_map(|node| [&node.disk, &node.synced]);
        let rows = disks.flat_map(|disk| disk.rows.values().map(|row| &row.stored.record));
        let messages = self.messages.iter().map(|message| &message.record);
        match rows.chain(messages).flat_map(Record::dots).find(|dot| closed.contains(*dot)) {
            Some(dot) if self.manner.laws => Err(format!("{dot} was closed, and it is there")),
            _ => Ok(()),
        }
    }
}
