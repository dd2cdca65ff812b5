//! Reads, and what members are sent after them (protocol rule 7).

use dynamo_types::Reconciliation;
use dynamo_versioning::{Dot, Record, StoredRecord, View, drop_refused};

use super::exchange::Message;
use super::{Cluster, LeftOut, Writes};

/// What a member answered to a read that has not ended yet.
pub(super) struct EarlyAnswer {
    member: usize,
    pub(super) record: Record,
    /// What was deleted for good when the read began.
    deleted: Writes,
}

/// The answers that a read has so far.
struct Answers {
    /// By member.
    records: Vec<(usize, Record)>,
    hints: Vec<Record>,
    /// How many members' answers count.
    count: u32,
}

impl Answers {
    /// All of them, less what was collected.
    fn merged(&self, collected: &[Dot]) -> Record {
        let mut merged = StoredRecord::default();
        let records = self.records.iter().map(|(_, record)| record);
        records.chain(&self.hints).for_each(|record| {
            merged.record.merge(record);
        });
        drop_refused(&mut merged, collected);
        merged.record
    }
}

impl Cluster {
    /// Whether a member's answer counts: what an incomplete one lacks may well be there.
    fn answers_count(&self, member: usize) -> bool {
        !self.nodes[member].incomplete || self.without(LeftOut::IncompleteCountsForReads)
    }

    pub(super) fn answer_early(&mut self, key: usize, member: usize) -> Result<(), String> {
        // A member that does not know of its rollback is promised nothing about.
        if self.answers_count(member) && !self.nodes[member].disk.rolled_back {
            let (record, deleted) = (self.record(member, key), self.truth.deleted());
            self.early[key] = Some(EarlyAnswer { member, record, deleted });
        }
        Ok(())
    }

    pub(super) fn read(
        &mut self,
        key: usize,
        members: usize,
        fallbacks: usize,
        newest_wins: bool,
        repair: bool,
    ) -> Result<(), String> {
        let early = self.early[key].take();
        let mut answers = self.gather(key, members, fallbacks, early.as_ref());
        if answers.count == 0 && answers.hints.is_empty() {
            // Nobody who should know was asked: the read fails.
            return Ok(());
        }
        let mut answered = answers.records.iter().map(|(member, _)| &self.nodes[*member]);
        let unaware = answered.any(|node| node.disk.unaware[key]);
        let merged = self.ask_about_doubtful(key, &mut answers)?;
        let Answers { records, count, .. } = &answers;

        let reconciliation = match newest_wins {
            true => Reconciliation::LastWriteWins,
            false => Reconciliation::Siblings,
        };
        let wall = self.wall(records.first().map_or(self.members, |(member, _)| *member));
        let view = View::of(&merged, reconciliation, wall);
        let shown: Vec<Dot> = view.visible.iter().map(|sibling| sibling.dot).collect();
        let no_silent_loss = !self.lost_silently.contains(&true);
        // One that has become incomplete since it answered could not say what was collected.
        let asked = records.iter().any(|(member, _)| self.answers_count(*member));
        if no_silent_loss && asked {
            let deleted = early.as_ref().map_or(self.truth.deleted(), |early| early.deleted);
            self.truth.check_shown(&shown, deleted)?;
        }
        // A clock that vouched for what its member had lost may have spread.
        let unsure = self.lost_silently[key] && self.collected;
        if early.is_none() && !unaware && !unsure {
            let members = u32::try_from(self.members).expect("a few");
            self.truth.check_fresh(key, &merged, *count, members, 1 + self.faults[key])?;
        }

        let writes = self.truth.seen_in(&merged)?;
        let (context, hlc) = (view.context, view.hlc_max);
        if repair {
            self.repair(key, &answers, &merged);
        }
        self.give_context(key, context, hlc, writes)
    }

    fn gather(
        &self,
        key: usize,
        members: usize,
        fallbacks: usize,
        early: Option<&EarlyAnswer>,
    ) -> Answers {
        let mut records: Vec<(usize, Record)> = Vec::new();
        records.extend(early.map(|early| (early.member, early.record.clone())));
        let asked = (0..self.members).filter(|member| members & (1 << member) != 0);
        for member in asked.filter(|member| early.is_none_or(|early| early.member != *member)) {
            if self.answers_count(member) && !self.nodes[member].disk.rolled_back {
                records.push((member, self.record(member, key)));
            }
        }
        let mut count = records.len();
        let mut hints = Vec::new();
        let asked = self.members..self.nodes.len();
        for fallback in asked.filter(|node| fallbacks & (1 << (node - self.members)) != 0) {
            let rows = self.nodes[fallback].disk.rows.iter();
            let of_key = rows.filter(|((_, of), _)| *of == key);
            let before = hints.len();
            hints.extend(of_key.map(|(_, row)| row.stored.record.clone()));
            let has_none = before == hints.len();
            count += usize::from(has_none && self.without(LeftOut::FallbackMissingCounts));
        }
        Answers { records, hints, count: u32::try_from(count).expect("a few nodes") }
    }

    /// A version that an asked member neither has nor covers is put to it, and is left out if it
    /// was collected there. Else the member answers anew: it has the version now, or what replaced
    /// it, and what it answered first may have been replaced by that.
    fn ask_about_doubtful(&mut self, key: usize, answers: &mut Answers) -> Result<Record, String> {
        let mut collected = Vec::new();
        if self.without(LeftOut::ReadBelievesHints) {
            return Ok(answers.merged(&collected));
        }
        loop {
            let merged = answers.merged(&collected);
            let mut newer = false;
            for dot in merged.dots() {
                for (member, answer) in &mut answers.records {
                    let Some(version) = merged.version(dot).filter(|_| !answer.covers(dot)) else {
                        continue;
                    };
                    let refused = self.receive(*member, key, &version, None)?.obsolete;
                    let record = self.record(*member, key);
                    if record.covers(dot) {
                        *answer = record;
                        newer = true;
                    } else if refused.contains(&dot) {
                        collected.push(dot);
                    }
                }
            }
            if !newer {
                return Ok(answers.merged(&collected));
            }
        }
    }

    /// Sends members what they lack, also those whose answers come after the read has ended.
    fn repair(&mut self, key: usize, answers: &Answers, merged: &Record) {
        let mut behind = answers.records.clone();
        for member in (0..self.members).filter(|member| !self.nodes[*member].incomplete) {
            if !behind.iter().any(|(answered, _)| *answered == member) {
                behind.push((member, self.record(member, key)));
            }
        }
        for (to, answer) in &behind {
            let another = answers.records.iter().find(|(member, _)| member != to);
            let state_of = another
                .filter(|_| self.without(LeftOut::ReadRepairsAsState))
                .map(|(member, _)| (*member, self.nodes[*member].clock.clone()));
            for piece in merged.pieces() {
                if piece.dots().any(|dot| !answer.covers(dot)) {
                    let state_of = state_of.clone();
                    self.messages.push(Message { to: *to, key, record: piece, state_of });
                }
            }
        }
    }
}
