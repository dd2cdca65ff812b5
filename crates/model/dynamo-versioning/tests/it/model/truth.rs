//! What really happened: which write had seen which, by number. Dots only name the rows to judge.

use std::collections::BTreeMap;

use dynamo_types::WallTime;
use dynamo_versioning::{Dot, DotSet, Record, Sibling};

/// Writes by number, as bits.
pub(crate) type Writes = u128;

/// The most writes of one history.
pub(crate) const WRITES_MAX: usize = 120;

/// One put that had any effect.
#[derive(Debug)]
struct Write {
    key: usize,
    dot: Dot,
    /// What its client's context covered, and what the coordinator added to that.
    seen: Writes,
    /// All that is replaced with it: what it had seen, and what that had replaced.
    past: Writes,
    /// Members that acknowledged it, or for which a fallback did.
    copies: u8,
    /// Members that acknowledged it themselves and have not lost it since.
    rows: u8,
    /// The most members that ever had it so at one time.
    rows_most: u32,
}

/// What disks have lost, and so what can be promised.
#[derive(Debug)]
pub(crate) struct Harm {
    /// How many members must have acknowledged a write for it to survive, if that is known.
    pub(crate) copies: Option<u32>,
    /// Nothing deleted may be back.
    pub(crate) deletes_hold: bool,
    /// No disk has lost anything.
    pub(crate) unharmed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    writes: Vec<Write>,
    by_dot: BTreeMap<Dot, usize>,
    /// What was collected, with all that it had replaced.
    collected: Writes,
    /// The same without what had expired by some members' clocks alone: the others keep that.
    gone: Writes,
    /// What collected deletes had replaced: that must not come back. The deletes themselves may,
    /// beside a version that was written meanwhile.
    deleted: Writes,
}

impl Truth {
    pub(crate) fn count(&self) -> usize {
        self.writes.len()
    }

    /// Takes down a write that covers `seen`. That may be less than its whole past: a write to a
    /// bucket where the newest wins replaces more than it tells its client.
    pub(crate) fn add(&mut self, key: usize, dot: Dot, seen: Writes) -> Result<Writes, String> {
        let number = self.writes.len();
        if self.by_dot.insert(dot, number).is_some() {
            return Err(format!("dot {dot} was used twice"));
        }
        let seen_writes = self.writes.iter().enumerate().filter(|(n, _)| seen & (1 << n) != 0);
        let past = seen_writes.fold(seen, |past, (_, write)| past | write.past);
        self.writes.push(Write { key, dot, seen, past, copies: 0, rows: 0, rows_most: 0 });
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

    /// Takes down that a member acknowledged a version, or a fallback in its place.
    pub(crate) fn acknowledged(
        &mut self,
        dot: Dot,
        member: usize,
        by_itself: bool,
    ) -> Result<(), String> {
        let number = self.number(dot)?;
        let write = &mut self.writes[number];
        write.copies |= 1 << member;
        write.rows |= u8::from(by_itself) << member;
        write.rows_most = write.rows_most.max(write.rows.count_ones());
        Ok(())
    }

    /// Takes down that a member's disk lost what it had of a key.
    pub(crate) fn lost(&mut self, key: usize, member: usize) {
        for write in self.writes.iter_mut().filter(|write| write.key == key) {
            write.rows &= !(1 << member);
        }
    }

    /// Takes down that a record was collected. What is dead at `slowest` is dead to all members.
    pub(crate) fn collected(&mut self, record: &Record, slowest: WallTime) -> Result<(), String> {
        self.collected |= self.history_of(record)?;
        for sibling in record.siblings() {
            let number = self.number(sibling.dot)?;
            let past = self.writes[number].past;
            self.deleted |= past;
            self.gone |= past | Writes::from(is_dead(sibling, slowest)) << number;
        }
        Ok(())
    }

    /// What nobody may be shown any more.
    pub(crate) fn deleted(&self) -> Writes {
        self.deleted
    }

    fn replaced(&self) -> Writes {
        self.writes.iter().fold(0, |all, write| all | write.past)
    }

    fn of_key(&self, key: usize) -> impl Iterator<Item = (usize, &Write)> {
        self.writes.iter().enumerate().filter(move |(_, write)| write.key == key)
    }

    /// The dots of a key's writes.
    pub(crate) fn dots_of(&self, key: usize) -> impl Iterator<Item = Dot> {
        self.of_key(key).map(|(_, write)| write.dot)
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

    /// What a read shows was not `deleted` when it began, and replaced by nothing that it shows.
    pub(crate) fn check_shown(&self, shown: &[Dot], deleted: Writes) -> Result<(), String> {
        let numbers = shown.iter().map(|dot| self.number(*dot));
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        for (dot, number) in shown.iter().zip(&numbers) {
            if deleted & (1 << number) != 0 {
                return Err(format!("a read shows {dot} after its delete was collected"));
            }
            if numbers.iter().any(|other| self.writes[*other].seen & (1 << number) != 0) {
                return Err(format!("a read shows {dot} beside what replaced it"));
            }
        }
        Ok(())
    }

    /// A read that counted `answers` members shows every write that so many acknowledged that one
    /// of them must have it, or what replaced it; and at least the `copies` that it needs to survive.
    pub(crate) fn check_fresh(
        &self,
        key: usize,
        shown: &Record,
        answers: u32,
        members: u32,
        copies: u32,
    ) -> Result<(), String> {
        let known = self.history_of(shown)? | self.collected;
        for (number, write) in self.of_key(key) {
            let rows = write.rows_most;
            if rows >= copies && rows + answers > members && known & (1 << number) == 0 {
                return Err(format!("a read of {answers} members misses write {}", write.dot));
            }
        }
        Ok(())
    }

    /// Judges what is left of a key at all members when everything has been exchanged. A dead
    /// version may be back: it shows nothing, and is collected once more.
    pub(crate) fn check_end(
        &self,
        key: usize,
        records: &[Record],
        harm: &Harm,
        wall: WallTime,
    ) -> Result<(), String> {
        let Harm { copies, deletes_hold, unharmed } = *harm;
        let mut survivors = 0;
        for record in records {
            survivors |= self.history_of(record)?;
        }
        for (number, write) in self.of_key(key) {
            let counts = copies.is_some_and(|copies| write.copies.count_ones() >= copies);
            let bit = 1 << number;
            // A member that recovers believes those whose clocks are ahead.
            let kept = if unharmed { self.gone } else { self.collected };
            if counts && (survivors | kept) & bit == 0 {
                return Err(format!("write {} is lost with all that replaced it", write.dot));
            }
            let siblings = records.iter().filter_map(|record| record.sibling(write.dot));
            let lives = siblings.into_iter().any(|sibling| !is_dead(sibling, wall));
            if deletes_hold && lives && self.deleted & bit != 0 {
                return Err(format!("write {} is back after its delete was collected", write.dot));
            }
            if deletes_hold && counts {
                for sibling in records.iter().flat_map(Record::siblings) {
                    let dot = sibling.dot;
                    if !is_dead(sibling, wall) && write.seen & (1 << self.number(dot)?) != 0 {
                        return Err(format!("write {dot} is back, {} replaced it", write.dot));
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_dead(sibling: &Sibling, wall: WallTime) -> bool {
    sibling.is_tombstone() || sibling.is_expired(wall)
}
