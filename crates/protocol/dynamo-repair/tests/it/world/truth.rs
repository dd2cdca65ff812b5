//! What really happened: which write had seen which, by number.

use std::collections::BTreeMap;

use dynamo_types::ObjectName;
use dynamo_versioning::{Dot, Record};

use super::member::Member;
use super::partition_of;

/// Writes by number, as bits.
pub(crate) type Writes = u128;

/// The most writes of one history.
pub(crate) const WRITES_MAX: usize = 120;

#[derive(Debug)]
pub(crate) struct Write {
    key: usize,
    dot: Dot,
    /// All that is replaced with it: what its client had seen, and what that had replaced.
    past: Writes,
}

#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) names: Vec<ObjectName>,
    /// Keys of which a member found a copy damaged.
    pub(crate) damaged: Vec<bool>,
    pub(crate) writes: Vec<Write>,
    by_dot: BTreeMap<Dot, usize>,
    /// Deletes that were collected, with all that they replaced.
    collected: Writes,
    /// What collected deletes had replaced: that must not come back.
    deleted: Writes,
}

impl Truth {
    pub(crate) fn new(names: Vec<ObjectName>) -> Self {
        Self {
            damaged: vec![false; names.len()],
            names,
            writes: Vec::new(),
            by_dot: BTreeMap::new(),
            collected: 0,
            deleted: 0,
        }
    }

    pub(crate) fn add(&mut self, key: usize, dot: Dot, past: Writes) -> Result<Writes, String> {
        let number = self.writes.len();
        if self.by_dot.insert(dot, number).is_some() {
            return Err(format!("dot {dot} was used twice"));
        }
        self.writes.push(Write { key, dot, past });
        Ok(1 << number)
    }

    /// A record's versions with all that they replaced.
    pub(crate) fn history_of(&self, record: &Record) -> Result<Writes, String> {
        record.dots().try_fold(0, |history, dot| {
            let number = self.by_dot.get(&dot).ok_or(format!("{dot} belongs to no write"))?;
            Ok(history | 1 << number | self.writes[*number].past)
        })
    }

    pub(crate) fn collected(&mut self, record: &Record) -> Result<(), String> {
        self.collected |= self.history_of(record)?;
        for dot in record.dots() {
            self.deleted |= self.writes[self.by_dot[&dot]].past;
        }
        Ok(())
    }

    /// What must hold at a complete copy at all times: (b) its clock has nothing that is neither
    /// sibling, covered nor within its horizon; (c) nothing that a collected delete replaced is
    /// back; and no version stands beside one that had seen it.
    pub(crate) fn check_member(&self, member: &Member) -> Result<(), String> {
        for (number, write) in self.writes.iter().enumerate() {
            let name = &self.names[write.key];
            let Some(copy) = member.copies.get(&partition_of(name)) else { continue };
            if copy.incomplete {
                continue;
            }
            let (dot, held) = (write.dot, member.held(name));
            let covers = held.is_some_and(|record| record.covers(dot));
            let is_there = covers || copy.clock.horizon.contains(dot);
            if copy.clock.includes(dot) && !is_there {
                return Err(format!("the clock of {} has {dot} of {name}: V4", member.number));
            }
            let Some(record) = held.filter(|record| record.sibling(dot).is_some()) else {
                continue;
            };
            if self.deleted & (1 << number) != 0 {
                return Err(format!("{} holds {dot} of {name}, which was deleted", member.number));
            }
            for other in record.dots() {
                let other = self.by_dot.get(&other).ok_or(format!("{other} is no write"))?;
                if self.writes[*other].past & (1 << number) != 0 {
                    return Err(format!("{} shows {dot} beside what replaced it", member.number));
                }
            }
        }
        Ok(())
    }

    /// (a) At the end nothing is lost: every write that no damage can have destroyed is there, or
    /// something that had seen it is, or was and was collected.
    pub(crate) fn check_end(&self, members: &[Member]) -> Result<(), String> {
        for member in members {
            let mut survivors = self.collected;
            for name in &self.names {
                survivors |= self.history_of(&member.record(name))?;
            }
            for (number, write) in self.writes.iter().enumerate() {
                if survivors & (1 << number) == 0 && !self.damaged[write.key] {
                    let name = &self.names[write.key];
                    return Err(format!("{} of {name} is lost at {}", write.dot, member.number));
                }
            }
        }
        Ok(())
    }
}
