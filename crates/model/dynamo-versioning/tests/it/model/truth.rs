//! What really happened: which write had seen which, by number. Dots only name the rows to judge.

use std::collections::BTreeMap;

use dynamo_versioning::{Dot, DotSet, Record};

/// Writes by number, as bits.
pub(crate) type Writes = u128;

/// The most writes of one history.
pub(crate) const WRITES_MAX: usize = 120;

/// One put that had any effect.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) key: usize,
    pub(crate) dot: Dot,
    /// What its client's context covered, and what the coordinator added to that.
    seen: Writes,
    /// All that is replaced with it: what it had seen, and what that had replaced.
    past: Writes,
    /// Members that stored it durably at some time.
    stored_by: u8,
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) writes: Vec<Write>,
    by_dot: BTreeMap<Dot, usize>,
    /// Deletes that were collected, with all that they replaced.
    collected: Writes,
    /// What collected deletes had replaced: that must not come back. The deletes themselves may,
    /// beside a version that was written meanwhile.
    deleted: Writes,
}

impl Truth {
    /// Takes down a write that covers `seen`. That may be less than its whole past: a write to a
    /// bucket where the newest wins replaces more than it tells its client.
    pub(crate) fn add(&mut self, key: usize, dot: Dot, seen: Writes) -> Result<Writes, String> {
        let number = self.writes.len();
        if self.by_dot.insert(dot, number).is_some() {
            return Err(format!("dot {dot} was used twice"));
        }
        let seen_writes = self.writes.iter().enumerate().filter(|(n, _)| seen & (1 << n) != 0);
        let past = seen_writes.fold(seen, |past, (_, write)| past | write.past);
        self.writes.push(Write { key, dot, seen, past, stored_by: 0 });
        Ok(1 << number)
    }

    /// The write of a dot; every dot that anybody holds has one.
    fn number(&self, dot: Dot) -> Result<usize, String> {
        self.by_dot.get(&dot).copied().ok_or(format!("dot {dot} belongs to no write"))
    }

    /// What a client has seen that was shown this record.
    pub(crate) fn seen_in(&self, record: &Record) -> Result<Writes, String> {
        record.dots().try_fold(0, |seen, dot| {
            let number = self.number(dot)?;
            Ok(seen | 1 << number | self.writes[number].seen)
        })
    }

    /// The record's versions with all that they replaced.
    fn history_of(&self, record: &Record) -> Result<Writes, String> {
        record.dots().try_fold(0, |history, dot| {
            let number = self.number(dot)?;
            Ok(history | 1 << number | self.writes[number].past)
        })
    }

    /// Takes down a durable copy for a member; a hint is one for the member it is meant for.
    pub(crate) fn stored(&mut self, record: &Record, member: usize) -> Result<(), String> {
        for dot in record.dots() {
            let number = self.number(dot)?;
            self.writes[number].stored_by |= 1 << member;
        }
        Ok(())
    }

    pub(crate) fn collected(&mut self, record: &Record) -> Result<(), String> {
        self.collected |= self.history_of(record)?;
        for dot in record.dots() {
            self.deleted |= self.writes[self.number(dot)?].past;
        }
        Ok(())
    }

    fn replaced(&self) -> Writes {
        self.writes.iter().fold(0, |all, write| all | write.past)
    }

    fn of_key(&self, key: usize) -> impl Iterator<Item = (usize, &Write)> {
        self.writes.iter().enumerate().filter(move |(_, write)| write.key == key)
    }

    /// No record may claim that a version was replaced which no put had seen.
    pub(crate) fn check_claims(
        &self,
        key: usize,
        record: &Record,
        whose: &str,
    ) -> Result<(), String> {
        let replaced = self.replaced();
        for (number, write) in self.of_key(key) {
            let gone = record.covers(write.dot) && record.sibling(write.dot).is_none();
            if gone && replaced & (1 << number) == 0 {
                return Err(format!("{whose} claims that unseen write {} was replaced", write.dot));
            }
        }
        Ok(())
    }

    /// No context may cover what its client has not seen and nobody replaced.
    pub(crate) fn check_context(
        &self,
        key: usize,
        dots: &DotSet,
        seen: Writes,
    ) -> Result<(), String> {
        let fine = seen | self.replaced();
        match self.of_key(key).find(|(n, w)| dots.contains(w.dot) && fine & (1 << n) == 0) {
            Some((_, write)) => Err(format!("a context covers {}, which nobody saw", write.dot)),
            None => Ok(()),
        }
    }

    /// No version stands beside one that had seen it.
    pub(crate) fn check_concurrent(&self, record: &Record, whose: &str) -> Result<(), String> {
        for dot in record.dots() {
            let number = self.number(dot)?;
            for other in record.dots() {
                if self.writes[self.number(other)?].seen & (1 << number) != 0 {
                    return Err(format!("{whose} shows {dot} beside {other}, which replaced it"));
                }
            }
        }
        Ok(())
    }

    /// Judges what is left of a key at all members when everything has been exchanged.
    ///
    /// `copies` is how many members must have stored a write for it to survive, if that is known;
    /// `deletes_hold` says that no record was lost silently, so that nothing deleted may be back.
    pub(crate) fn check_end(
        &self,
        key: usize,
        records: &[Record],
        copies: Option<u32>,
        deletes_hold: bool,
    ) -> Result<(), String> {
        let mut survivors = 0;
        for record in records {
            survivors |= self.history_of(record)?;
        }
        for (number, write) in self.of_key(key) {
            let counts = copies.is_some_and(|copies| write.stored_by.count_ones() >= copies);
            let bit = 1 << number;
            if counts && (survivors | self.collected) & bit == 0 {
                return Err(format!("write {} is lost with all that replaced it", write.dot));
            }
            let is_sibling = records.iter().any(|record| record.sibling(write.dot).is_some());
            if deletes_hold && is_sibling && self.deleted & bit != 0 {
                return Err(format!("write {} is back after its delete was collected", write.dot));
            }
            if deletes_hold && counts {
                for dot in records.iter().flat_map(Record::dots) {
                    if write.seen & (1 << self.number(dot)?) != 0 {
                        return Err(format!("write {dot} is back, {} replaced it", write.dot));
                    }
                }
            }
        }
        Ok(())
    }
}
