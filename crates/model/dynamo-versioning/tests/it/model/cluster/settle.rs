//! The end of a history: everything arrives, recovers and is exchanged; then it is judged.

use dynamo_versioning::{Record, Sibling};

use super::super::truth::Harm;
use super::{Cluster, KEYS};

/// More rounds than this, and the members do not come to rest. One round may recover a member,
/// find a loss in the next and recover again.
const ROUNDS_MAX: usize = 8;
/// Longer than anything lives, and than any wall clock is off.
const FOR_EVER: u64 = 1_000;

impl Cluster {
    pub(crate) fn settle(mut self) -> Result<(), String> {
        self.lazy = false;
        self.sessions.clear();
        self.early = Default::default();
        for message in core::mem::take(&mut self.messages) {
            // Every third message never arrives.
            if message.record.dots().any(|dot| dot.counter % 3 != 0) {
                self.arrive(&message)?;
            }
        }
        self.hand_over_hints()?;
        self.exchange_all()?;
        self.check()?;
        self.judge()?;
        self.now += FOR_EVER;
        self.collect_all()?;
        self.judge()
    }

    fn hand_over_hints(&mut self) -> Result<(), String> {
        for fallback in self.members..self.nodes.len() {
            self.offer_hints(fallback)?;
            (0..self.nodes.len()).try_for_each(|node| self.sync(node))?;
            self.hear_of_hints(fallback)?;
            if !self.nodes[fallback].disk.rows.is_empty() {
                return Err(format!("fallback {fallback} keeps hints that were handed over"));
            }
            self.sync(fallback)?;
        }
        Ok(())
    }

    /// Exchanges between all members until nothing changes.
    fn exchange_all(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            for at in 0..self.members {
                self.others(at).try_for_each(|other| self.recover_with(at, other))?;
            }
            let changed = self.exchange_everywhere()?;
            (0..self.nodes.len()).try_for_each(|node| self.sync(node))?;
            if !changed && self.nodes.iter().all(|node| !node.incomplete) {
                return Ok(());
            }
        }
        Err("the members do not come to rest".into())
    }

    /// All collect what they may, one after the other and with exchanges between, until there is
    /// nothing dead any more and nothing changes.
    fn collect_all(&mut self) -> Result<(), String> {
        (0..self.processes()).try_for_each(|process| self.ask_for_hints_of(process))?;
        self.exchange_all()?;
        for closing in 0..self.closings.len() {
            (0..self.members).try_for_each(|at| self.close_numbers(closing, at))?;
        }
        for at in 0..self.members {
            self.checkpoint(at)?;
            self.others(at).try_for_each(|other| self.report(at, other))?;
        }
        for at in 0..self.members {
            self.collect(at)?;
            for other in self.others(at) {
                if self.exchange(at, other)? {
                    return Err(format!("member {at} is given again what it collected"));
                }
            }
        }
        self.check()?;
        for (member, key) in (0..self.members).flat_map(|m| (0..KEYS).map(move |key| (m, key))) {
            let record = self.record(member, key);
            if !record.is_empty() && self.is_dead(&record) {
                let cut = self.cut(member);
                return Err(format!("member {member} never collects {record:?} by {cut:?}"));
            }
        }
        Ok(())
    }

    fn is_dead(&self, record: &Record) -> bool {
        record.siblings().iter().all(|s| s.is_tombstone() || s.is_expired(self.slowest_wall()))
    }

    fn judge(&self) -> Result<(), String> {
        for key in 0..KEYS {
            let records: Vec<Record> =
                (0..self.members).map(|member| self.record(member, key)).collect();
            // A clock vouches for a version that its member lost silently. Once another key's
            // collection puts that number beyond a horizon, a late copy counts as collected: the
            // rules promise nothing then.
            let unsure = self.lost_silently[key] && self.collected;
            let harm = Harm {
                copies: (!unsure).then_some(1 + self.faults[key]),
                deletes_hold: !self.lost_silently.contains(&true),
                unharmed: self.faults == [0; KEYS],
            };
            self.truth.check_end(key, &records, &harm, self.slowest_wall())?;
            for record in &records {
                // One member may have collected what another still holds.
                let may_be_dead = |s: &Sibling| s.is_tombstone() || s.expires_at.is_some();
                let dead = |record: &Record| record.siblings().iter().all(may_be_dead);
                if !(record.same_versions(&records[0]) || dead(record) && dead(&records[0])) {
                    return Err(format!("members differ: {record:?} and {:?}", records[0]));
                }
            }
        }
        Ok(())
    }
}
