//! Incomplete mode (protocol rule 4): the one answer to lost records and to a disk of yesterday.

use dynamo_versioning::{Dot, DotClock, DotSet, drop_refused};

use super::node::Recovery;
use super::{Cluster, KEYS, LeftOut};

impl Cluster {
    /// A member forgets its dots, and makes a durable note of that. It keeps its horizon.
    pub(super) fn become_incomplete(&mut self, member: usize) {
        let keeps_clock = self.without(LeftOut::IncompleteKeepsClock);
        let forgets_horizon = self.without(LeftOut::IncompleteForgetsHorizon);
        let in_memory = self.without(LeftOut::IncompleteForgottenAtRestart);
        let node = &mut self.nodes[member];
        node.incomplete = true;
        node.disk.rolled_back = false;
        node.disk.unaware = [false; KEYS];
        node.obsolete.clear();
        if !keeps_clock {
            // What was collected stays so: contexts that were cut down rest on it.
            let horizon = core::mem::take(&mut node.clock.horizon);
            let horizon = if forgets_horizon { DotSet::new() } else { horizon };
            node.clock = DotClock { dots: DotSet::new(), horizon };
        }
        if !in_memory {
            node.disk.incomplete = true;
            if !keeps_clock {
                node.disk.checkpoint = node.clock.clone();
                node.disk.journal = DotClock::new();
            }
            node.dirty = true;
        }
        node.recovery = Recovery::begin(&node.clock);
        self.interrupt(member);
    }

    /// An incomplete member exchanges with another: what it still has is offered as delayed, what
    /// the other refuses is dropped, and the other's records come as state. Ends the mode if there
    /// was such an exchange with every other member.
    pub(super) fn recover_with(&mut self, at: usize, other: usize) -> Result<(), String> {
        if at == other {
            return Ok(());
        }
        self.meet(at, other)?;
        let waits = self.without(LeftOut::IncompleteWaitsForComplete);
        if !self.nodes[at].incomplete || waits && self.nodes[other].incomplete {
            return Ok(());
        }
        let was_incomplete = self.nodes[other].incomplete;
        let clock = self.nodes[other].vouches();
        for key in 0..KEYS {
            let theirs = self.record(other, key);
            if theirs.same_versions(&self.record(at, key)) {
                continue;
            }
            if !self.without(LeftOut::IncompleteOffersNothing) {
                for piece in self.record(at, key).pieces().filter(|piece| !piece.is_empty()) {
                    let refused = self.receive(other, key, &piece, None)?.obsolete;
                    let collected = refused.into_iter().filter(|dot| !theirs.covers(*dot));
                    self.drop_versions(at, key, &collected.collect::<Vec<_>>());
                }
            }
            for piece in theirs.pieces().filter(|piece| !piece.is_empty()) {
                self.receive(at, key, &piece, clock.as_ref())?;
            }
        }
        self.take_over_reports(at, other);
        if self.nodes[other].incomplete != was_incomplete {
            // What the other had lost itself, it could not give.
            return Ok(());
        }
        let horizonless = self.without(LeftOut::HorizonNotJoined);
        let recovery = &mut self.nodes[at].recovery;
        recovery.with |= 1 << other;
        let mut told = clock.unwrap_or_default();
        if horizonless {
            told.horizon = DotSet::new();
        }
        recovery.learned.join(&told);
        let everyone = self.others(at).fold(0, |all, other| all | 1 << other);
        let enough = self.without(LeftOut::IncompleteEndsAfterOneExchange);
        if self.nodes[at].recovery.with == everyone || enough {
            self.become_complete(at)?;
        }
        Ok(())
    }

    fn become_complete(&mut self, member: usize) -> Result<(), String> {
        let node = &mut self.nodes[member];
        let recovery = core::mem::take(&mut node.recovery);
        node.clock.join(&recovery.learned);
        node.disk.rows.values().for_each(|row| node.clock.incorporate(&row.stored.record));
        node.incomplete = false;
        node.disk.incomplete = false;
        node.take_checkpoint();
        self.sync(member)
    }

    /// What was reported before does not count any more; and what the other has collected rests on
    /// reports that this member may have lost.
    fn take_over_reports(&mut self, at: usize, other: usize) {
        let forgets = self.without(LeftOut::ReportsNotTakenOver);
        let told = self.nodes[other].disk.reports.clone();
        let node = &mut self.nodes[at];
        for (member, report) in told.iter().enumerate() {
            if member == at {
                node.disk.checkpoints.union_with(&report.checkpoints);
            } else if !forgets {
                node.disk.reports[member].checkpoints.union_with(&report.checkpoints);
            }
        }
        node.dirty = true;
        let other = &mut self.nodes[other];
        other.disk.reports[at].dots = DotSet::new();
        other.dirty = true;
    }

    fn drop_versions(&mut self, at: usize, key: usize, refused: &[Dot]) {
        if refused.is_empty() || self.without(LeftOut::IncompleteKeepsRefused) {
            return;
        }
        let node = &mut self.nodes[at];
        let Some(row) = node.disk.rows.get_mut(&(at, key)) else { return };
        drop_refused(&mut row.stored, refused);
        if row.stored.record.is_empty() {
            node.disk.rows.remove(&(at, key));
        }
        node.dirty = true;
    }
}
