//! Collecting what is deleted everywhere, and cutting contexts short (protocol rule 5).

use dynamo_types::{ObjectName, Position, WallTime};
use dynamo_versioning::{Record, collectable, shrink};

use super::slot::Held;
use super::turns::{At, SlotTurn};
use super::{Job, Place, Replica};
use crate::counters::Counters;

/// Dead records remembered by name, over all partitions: some 100 bytes each. Those beyond are found
/// by the scrub.
const DEAD_MAX: usize = 1 << 18;
/// Dead records tried at once: each is a read and a small write.
const COLLECT_AT_ONCE: usize = 256;

impl Replica {
    /// Notes whether all that a record holds is deleted, once that has changed.
    pub(super) fn note_dead(&mut self, at: At, name: &ObjectName, record: &Record) {
        let dead = !record.is_empty() && record.siblings().iter().all(|s| s.is_tombstone());
        let partition = self.partitions.get_mut(at.partition);
        if dead && self.dead_count < DEAD_MAX {
            let is_new = partition.dead.insert(name.clone());
            self.dead_count += usize::from(is_new);
            if is_new && partition.collecting.is_none() && !partition.cut.is_empty() {
                // The cut may cover it already, if it came late.
                partition.collecting = Some(None);
            }
        } else if !dead && partition.dead.remove(name) {
            self.dead_count -= 1;
        }
    }

    /// The scrub or an exchange met a record that collection may be able to remove or to cut short.
    pub(crate) fn met_in_passing(&mut self, name: &ObjectName, record: &Record, wall: WallTime) {
        let over = record.siblings().iter().all(|s| s.is_tombstone() || s.is_expired(wall));
        if !over && !is_wasteful(record) {
            return;
        }
        let id = self.partitions.count.partition_of(Position::of_object(name));
        let partition = self.partitions.get_mut(id);
        if self.dead_count < DEAD_MAX {
            self.dead_count += usize::from(partition.dead.insert(name.clone()));
            // Also what was tried before: its slot may have been full, or its row unreadable then.
            partition.collecting.get_or_insert(None);
        }
    }

    /// Records known to be dead and not collected yet.
    pub(crate) fn dead_records(&self) -> usize {
        self.dead_count
    }

    /// Hands some dead records to their slots, those that the present cut was not tried on.
    /// Whether more are left.
    pub(crate) fn collect_some(&mut self) -> bool {
        if self.stopped {
            return false;
        }
        let mut names = alloc::vec::Vec::new();
        for (_, partition) in self.partitions.iter_mut() {
            if names.len() >= COLLECT_AT_ONCE {
                break;
            }
            let Some(behind) = partition.collecting.take() else { continue };
            if partition.cut.is_empty() || !partition.is_complete() {
                continue;
            }
            let room = COLLECT_AT_ONCE - names.len();
            let after =
                behind.as_ref().map_or(core::ops::Bound::Unbounded, core::ops::Bound::Excluded);
            let some = partition.dead.range((after, core::ops::Bound::Unbounded)).take(room);
            let before = names.len();
            names.extend(some.cloned());
            if names.len() - before == room {
                partition.collecting = Some(names.last().cloned());
            }
        }
        let more = names.len() >= COLLECT_AT_ONCE;
        for name in names {
            self.submit(&name, Place::Own, Job::Collect);
        }
        more
    }

    /// Removes a record, or cuts its context short, if the stable cut allows it.
    pub(super) fn collect(
        &mut self,
        at: At,
        name: &ObjectName,
        held: &mut Held,
        turn: &mut SlotTurn,
        counters: &mut Counters,
    ) {
        let record = &mut held.stored.record;
        let partition = self.partitions.get_mut(at.partition);
        if record.is_empty() {
            self.dead_count -= usize::from(partition.dead.remove(name));
            return;
        }
        if !partition.is_complete() {
            return;
        }
        let before = record.context().clone();
        if collectable(record, at.now.wall, &partition.cut) {
            counters.records_collected += 1;
            *held = Held::default();
        } else if is_wasteful(record) && shrink(record, &partition.cut) {
            counters.contexts_cut += 1;
            self.dead_count -= usize::from(partition.dead.remove(name));
        } else {
            return;
        }
        turn.collected(&before);
    }

    /// Whether an incoming version would be collected at once: it is acknowledged, not stored, and
    /// no difference (history 15).
    pub(super) fn is_collectable_here(&mut self, at: At, held: &Held, piece: &Record) -> bool {
        let partition = self.partitions.get_mut(at.partition);
        held.stored.record.is_empty()
            && partition.is_complete()
            && !piece.is_empty()
            // Else this copy has lost it.
            && piece.dots().all(|dot| partition.clock.horizon.contains(dot))
            && collectable(piece, at.now.wall, &partition.cut)
    }
}

/// Whether a context takes many times what it would take after being cut short. Less is not worth a
/// write.
fn is_wasteful(record: &Record) -> bool {
    record.context().interval_count() > 2 * record.siblings().len() + 2
}
