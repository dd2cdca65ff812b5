//! What follows when a store has ended.

use super::slot::{Held, Place, SlotKey, State};
use super::store_batch::StoreInFlight;
use super::{Replica, ReplicaEffect, known_request};
use crate::counters::Counters;
use crate::effect::StoreId;
use crate::event::StoreResult;
use dynamo_messages::WriteOutcome;
use dynamo_types::{Now, Position};

impl Replica {
    /// A store ended. Clocks advance here and nowhere else (protocol rule 3).
    pub(crate) fn stored(
        &mut self,
        now: Now,
        store: StoreId,
        result: StoreResult,
        counters: &mut Counters,
    ) {
        // A full write queue refuses a store at once, while earlier ones are still being written.
        let Some(place) = self.in_flight.iter().position(|ended| ended.store == store) else {
            return;
        };
        let in_order = place == 0 || result == StoreResult::Refused;
        assert!(in_order, "stores are applied in the order in which they were asked for");
        let Some(ended) = self.in_flight.remove(place) else {
            return;
        };
        match result {
            StoreResult::Applied { synced } => self.applied(now, ended, synced, counters),
            StoreResult::Refused => {
                counters.stores_refused += 1;
                self.not_applied(now, ended, WriteOutcome::DiskFull, counters);
            }
            StoreResult::Failed => {
                counters.stores_failed += 1;
                self.stopped = true;
                self.not_applied(now, ended, WriteOutcome::Failed, counters);
            }
        }
    }

    fn applied(&mut self, now: Now, ended: StoreInFlight, synced: bool, counters: &mut Counters) {
        self.unsynced = !synced;
        for entry in ended.journal.entries.iter().filter(|entry| !entry.hint) {
            let partition = self.partitions.get_mut(entry.partition);
            partition.clock.dots.insert(entry.dot);
            partition.changed = true;
        }
        for change in &ended.journal.changes {
            let id = self.partitions.count.partition_of(change.position);
            self.partitions.get_mut(id).record_changed(change);
        }
        for (id, dots) in &ended.journal.collected {
            let partition = self.partitions.get_mut(*id);
            partition.collected(dots);
        }
        self.journal.extend(ended.journal_row);
        self.checkpoints_stored(ended.checkpoint, synced);
        self.records_at_rest(&ended.slots);
        for change in ended.hints.iter().filter(|change| change.after.is_some()) {
            self.effects.push_back(ReplicaEffect::HintKept { intended: change.intended });
        }
        let outcome = WriteOutcome::Stored { synced };
        for reply_to in ended.barriers {
            self.effects.push_back(ReplicaEffect::Answer { reply_to, outcome });
        }
        for tag in ended.meta {
            self.effects.push_back(ReplicaEffect::MetaStored { tag, stored: true });
        }
        for key in ended.slots {
            self.close_turn(now, &key, outcome, true, counters);
        }
    }

    fn not_applied(
        &mut self,
        now: Now,
        ended: StoreInFlight,
        outcome: WriteOutcome,
        counters: &mut Counters,
    ) {
        for entry in &ended.journal.entries {
            self.retries.forget(entry.position, &known_request(entry));
            // An own dot of this batch may be out in the world: no interval may reach over it.
            if entry.dot.actor == self.partitions.actor {
                self.partitions.get_mut(entry.partition).mint.raise_floor();
            }
        }
        for change in ended.hints.iter().rev() {
            self.hints.apply(change.reversed());
            if change.before.is_some() {
                // It was taken, perhaps, and is still there.
                let intended = change.intended;
                self.effects.push_back(ReplicaEffect::HintNotRemoved { intended });
            }
        }
        for taken in ended.checkpoint {
            self.partitions.get_mut(taken.partition).changed = true;
        }
        self.records_at_rest(&ended.slots);
        // What barriers wait for was stored before and stands, only its sync did not come about.
        for reply_to in ended.barriers {
            let outcome = WriteOutcome::Failed;
            self.effects.push_back(ReplicaEffect::Answer { reply_to, outcome });
        }
        for tag in ended.meta {
            self.effects.push_back(ReplicaEffect::MetaStored { tag, stored: false });
        }
        for key in ended.slots {
            self.close_turn(now, &key, outcome, false, counters);
        }
    }

    /// Counts stores of records that have ended, for the scrub.
    fn records_at_rest(&mut self, slots: &[SlotKey]) {
        for key in slots.iter().filter(|key| key.place == Place::Own) {
            let id = self.partitions.count.partition_of(Position::of_object(&key.name));
            let partition = self.partitions.get_mut(id);
            partition.moves += 1;
            partition.in_flight -= 1;
        }
    }

    /// Answers all that waited for the store of a slot, and goes on with what came meanwhile.
    fn close_turn(
        &mut self,
        now: Now,
        key: &SlotKey,
        outcome: WriteOutcome,
        applied: bool,
        counters: &mut Counters,
    ) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        let State::Storing { before, after, awaiting, bytes } =
            core::mem::replace(&mut slot.state, State::Ready(Held::default()))
        else {
            return;
        };
        slot.state = State::Ready(if applied { after } else { before });
        self.bytes -= bytes;
        for reply_to in awaiting {
            self.effects.push_back(ReplicaEffect::Answer { reply_to, outcome });
        }
        let idle = self.slots.get(key).is_some_and(|slot| slot.queue.is_empty());
        if idle {
            self.slots.remove(key);
        } else if self.stopped {
            self.answer_questions(key);
        } else {
            self.run(now, key, counters);
        }
    }
}
