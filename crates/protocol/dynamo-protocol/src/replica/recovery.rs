//! Taking back what the database held when the process started.

use super::{Replica, known_request};
use crate::config::Recovered;
use crate::counters::Counters;
use crate::rows;

impl Replica {
    /// Takes checkpoints and journal rows back. A row that cannot be read costs clock entries,
    /// which is safe: a clock may lack what the disk has, never the other way round.
    pub(super) fn recover(&mut self, recovered: &Recovered, counters: &mut Counters) {
        for (key, value) in &recovered.meta {
            let value = value.as_ref();
            let read = match key.first() {
                Some(&rows::CHECKPOINT) => rows::parse_checkpoint_key(key)
                    .zip(value.and_then(|row| rows::decode_checkpoint(row)))
                    .map(|(partition, clock)| {
                        let known = &mut self.partition(partition).clock;
                        known.dots.union_with(&clock.dots);
                        known.horizon.union_with(&clock.horizon);
                    }),
                Some(&rows::JOURNAL) => rows::parse_journal_key(key).and_then(|number| {
                    self.next_journal = self.next_journal.max(number + 1);
                    let (wall, entries) = rows::decode_journal(value?)?;
                    self.journal.push_back((number, wall));
                    for entry in entries {
                        let partition = self.partition(entry.partition);
                        partition.clock.dots.insert(entry.dot);
                        partition.changed = true;
                        self.retries.remember(wall, entry.position, known_request(&entry));
                    }
                    Some(())
                }),
                Some(_) | None => Some(()),
            };
            counters.meta_rows_damaged += u64::from(read.is_none());
        }
    }
}
