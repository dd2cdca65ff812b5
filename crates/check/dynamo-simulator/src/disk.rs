//! A node's database: rows that can be seen, rows that survive a power cut, and the writes between.
//!
//! Stores are applied in order, each whole or not at all, in groups that share one sync, as the
//! shell's group commit does. A group is synced if any of its stores wants it, and a sync makes all
//! earlier stores durable. A killed process leaves what was applied and perhaps some of the group
//! under way; a power cut leaves what was synced and perhaps some of what came after, in order.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use dynamo_protocol::{Column, LoadedRow, ScannedRow, StoreId, StoreResult, StoreWrite};
use dynamo_types::Durability;

use crate::random::Stream;

/// Names a row.
pub type RowKey = (Column, Bytes);

/// How a seed's disks behave.
#[derive(Debug, Clone)]
pub struct DiskKnobs {
    /// Reads in a thousand that are answered without waiting, as from a cache.
    pub cached_per_mille: u32,
    /// The most that other reads take.
    pub load_max: Duration,
    /// The most that a sync takes.
    pub sync_max: Duration,
    /// How many stores share one sync at most.
    pub group_max: usize,
}

#[derive(Debug, Clone)]
struct PendingStore {
    id: StoreId,
    writes: Vec<StoreWrite>,
    durability: Durability,
}

/// What came of the stores of one group.
#[derive(Debug, Default)]
pub struct Committed {
    /// Each store with its result, in order.
    pub results: Vec<(StoreId, StoreResult)>,
    /// All writes that were applied and reported so, in order.
    pub applied: Vec<StoreWrite>,
    /// Writes that can be seen although their store was reported as failed.
    pub unreported: Vec<StoreWrite>,
}

/// What a crash does to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed.
    Process,
    /// The machine loses power. Of what was not synced a prefix may be there.
    Power,
    /// The machine loses power, and nothing that was not synced is there.
    PowerAtWorst,
}

/// One node's database.
#[derive(Debug)]
pub struct Disk {
    knobs: DiskKnobs,
    random: Stream,
    visible: BTreeMap<RowKey, Bytes>,
    durable: BTreeMap<RowKey, Bytes>,
    /// Applied but not synced. Bounded by what the node writes between two syncs.
    unsynced: Vec<Vec<StoreWrite>>,
    /// Asked for and not begun. Bounded by the node's own limit on requests under way.
    queued: VecDeque<PendingStore>,
    under_way: Vec<PendingStore>,
    damaged: BTreeSet<RowKey>,
    /// Rows that are gone and were never deleted.
    vanished: BTreeSet<RowKey>,
    /// A copy that was put aside.
    old: Option<BTreeMap<RowKey, Bytes>>,
    stopped: bool,
    /// Everything takes this many times as long.
    pub slowness: u32,
    /// Stores are refused: no space.
    pub full: bool,
    /// Loads in a thousand that fail.
    pub read_failures_per_mille: u32,
    /// The next sync fails, and with it all later stores until a restart.
    pub fail_next_sync: bool,
}

impl Disk {
    /// An empty database.
    #[must_use]
    pub fn new(knobs: DiskKnobs, random: Stream) -> Self {
        Self {
            knobs,
            random,
            visible: BTreeMap::new(),
            durable: BTreeMap::new(),
            unsynced: Vec::new(),
            queued: VecDeque::new(),
            under_way: Vec::new(),
            damaged: BTreeSet::new(),
            vanished: BTreeSet::new(),
            old: None,
            stopped: false,
            slowness: 1,
            full: false,
            read_failures_per_mille: 0,
            fail_next_sync: false,
        }
    }

    /// Takes a store; if none is under way, begins and says how long that will take.
    pub fn submit(
        &mut self,
        id: StoreId,
        writes: Vec<StoreWrite>,
        durability: Durability,
    ) -> Option<Duration> {
        self.queued.push_back(PendingStore { id, writes, durability });
        self.under_way.is_empty().then(|| self.begin()).flatten()
    }

    fn begin(&mut self) -> Option<Duration> {
        let count = self.queued.len().min(self.knobs.group_max);
        self.under_way = self.queued.drain(..count).collect();
        if self.under_way.is_empty() {
            return None;
        }
        let synced = self.under_way.iter().any(|s| s.durability == Durability::Synced);
        let least = Duration::from_micros(20);
        let most = if synced { self.knobs.sync_max } else { Duration::from_micros(200) };
        Some(self.random.duration(least, most.max(least)) * self.slowness)
    }

    /// The group under way has ended. Gives its results, and how long the next one will take.
    pub fn commit(&mut self) -> (Committed, Option<Duration>) {
        let group = core::mem::take(&mut self.under_way);
        let synced = group.iter().any(|store| store.durability == Durability::Synced);
        let mut committed = Committed::default();
        if synced && self.fail_next_sync {
            self.fail_next_sync = false;
            self.stopped = true;
            // Unknown what of it is there: the page cache may show it and the disk not have it.
            let kept = self.random.index(group.len() + 1);
            self.unsynced.extend(group.iter().take(kept).map(|store| store.writes.clone()));
            for store in group.iter().take(kept) {
                apply(&mut self.visible, &mut self.damaged, &store.writes);
                committed.unreported.extend(store.writes.iter().cloned());
            }
        }
        for store in group {
            let result = if self.stopped {
                StoreResult::Failed
            } else if self.full {
                StoreResult::Refused
            } else {
                apply(&mut self.visible, &mut self.damaged, &store.writes);
                committed.applied.extend(store.writes.iter().cloned());
                self.unsynced.push(store.writes);
                StoreResult::Applied { synced }
            };
            committed.results.push((store.id, result));
        }
        if synced && !self.stopped && !self.full {
            for writes in self.unsynced.drain(..) {
                apply(&mut self.durable, &mut self.damaged, &writes);
            }
        }
        let next = self.begin();
        (committed, next)
    }

    /// How long a read takes; none if it is answered at once.
    pub fn load_delay(&mut self) -> Option<Duration> {
        if self.random.chance(self.knobs.cached_per_mille) {
            return None;
        }
        let least = Duration::from_micros(10);
        Some(self.random.duration(least, self.knobs.load_max.max(least)) * self.slowness)
    }

    /// What a read finds now.
    pub fn load(&mut self, column: Column, key: &Bytes) -> LoadedRow {
        if self.read_failures_per_mille > 0 && self.random.chance(self.read_failures_per_mille) {
            return LoadedRow::Failed;
        }
        let row = (column, key.clone());
        if self.damaged.contains(&row) {
            return LoadedRow::Damaged;
        }
        self.visible.get(&row).map_or(LoadedRow::Absent, |value| LoadedRow::Found(value.clone()))
    }

    /// Rows of a range, at most so many and about so many bytes, and whether its end was reached.
    #[must_use]
    pub fn scan(
        &self,
        column: Column,
        from: &Bytes,
        to: Option<&Bytes>,
        (rows_max, bytes_max): (usize, usize),
    ) -> (Vec<ScannedRow>, bool) {
        let mut rows = Vec::new();
        let mut bytes = 0;
        for (row, value) in self.visible.range((column, from.clone())..) {
            if row.0 != column || to.is_some_and(|to| row.1 >= *to) {
                break;
            }
            if rows.len() >= rows_max || bytes >= bytes_max {
                return (rows, false);
            }
            bytes += row.1.len() + value.len();
            let value = (!self.damaged.contains(row)).then(|| value.clone());
            rows.push(ScannedRow { key: row.1.clone(), value });
        }
        (rows, true)
    }

    /// The process is gone. What was not reported may be there or not, in order; gives the writes
    /// that may be.
    pub fn crash(&mut self, crash: Crash) -> Vec<StoreWrite> {
        let group = core::mem::take(&mut self.under_way);
        self.queued.clear();
        let kept = self.random.index(group.len() + 1);
        let mut unreported = Vec::new();
        for store in group.into_iter().take(kept) {
            unreported.extend(store.writes.iter().cloned());
            apply(&mut self.visible, &mut self.damaged, &store.writes);
            self.unsynced.push(store.writes);
        }
        if crash != Crash::Process {
            let kept = if crash == Crash::PowerAtWorst || self.random.chance(500) {
                0
            } else {
                self.random.index(self.unsynced.len() + 1)
            };
            for writes in self.unsynced.drain(..).take(kept) {
                apply(&mut self.durable, &mut self.damaged, &writes);
            }
            self.visible = self.durable.clone();
        }
        self.stopped = false;
        self.fail_next_sync = false;
        unreported
    }

    /// Puts a copy of what is durable aside.
    pub fn put_aside(&mut self) {
        self.old = Some(self.durable.clone());
    }

    /// Whether a copy was put aside.
    #[must_use]
    pub fn has_old(&self) -> bool {
        self.old.is_some()
    }

    /// Loses all rows.
    pub fn wipe(&mut self) {
        self.replace_by(BTreeMap::new());
    }

    /// Has the rows of the copy that was put aside, and no others.
    pub fn roll_back(&mut self) {
        let old = self.old.take().unwrap_or_default();
        self.replace_by(old);
    }

    fn replace_by(&mut self, rows: BTreeMap<RowKey, Bytes>) {
        self.visible = rows.clone();
        self.durable = rows;
        self.unsynced.clear();
        self.damaged.clear();
        self.vanished.clear();
    }

    /// Makes a row unreadable; false if there is no such row.
    pub fn damage(&mut self, column: Column, key: Bytes) -> bool {
        let row = (column, key);
        self.visible.contains_key(&row) && self.damaged.insert(row)
    }

    /// Loses a row without a trace; false if there is no such row, or it could not be read.
    pub fn vanish(&mut self, column: Column, key: Bytes) -> bool {
        let row = (column, key);
        if self.damaged.contains(&row) || self.visible.remove(&row).is_none() {
            return false;
        }
        self.durable.remove(&row);
        self.vanished.insert(row);
        true
    }

    /// Rows of a column that vanished, and did not come back.
    pub fn vanished(&self, column: Column) -> impl Iterator<Item = &Bytes> {
        let gone = self.vanished.iter().filter(|row| !self.visible.contains_key(*row));
        gone.filter(move |row| row.0 == column).map(|row| &row.1)
    }

    /// Whether there is a readable row.
    #[must_use]
    pub fn has(&self, column: Column, key: &Bytes) -> bool {
        let row = (column, key.clone());
        self.visible.contains_key(&row) && !self.damaged.contains(&row)
    }

    /// A readable row, without the disk noticing.
    #[must_use]
    pub fn peek(&self, column: Column, key: &Bytes) -> Option<&Bytes> {
        let row = (column, key.clone());
        self.visible.get(&row).filter(|_| !self.damaged.contains(&row))
    }

    /// Whether the disk takes no stores until a restart.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// All readable rows of a column, damaged ones as `None`.
    pub fn rows(&self, column: Column) -> impl Iterator<Item = (&Bytes, Option<&Bytes>)> {
        self.visible.iter().filter(move |(row, _)| row.0 == column).map(|(row, value)| {
            (&row.1, if self.damaged.contains(row) { None } else { Some(value) })
        })
    }
}

fn apply(
    rows: &mut BTreeMap<RowKey, Bytes>,
    damaged: &mut BTreeSet<RowKey>,
    writes: &[StoreWrite],
) {
    for write in writes {
        match write {
            StoreWrite::Put { column, key, value } => {
                let row = (*column, key.clone());
                damaged.remove(&row);
                rows.insert(row, value.clone());
            }
            StoreWrite::Delete { column, key } => {
                let row = (*column, key.clone());
                damaged.remove(&row);
                rows.remove(&row);
            }
            StoreWrite::DeleteRange { column, from, to } => {
                let range = (*column, from.clone())..(*column, to.clone());
                let gone: Vec<RowKey> = rows.range(range).map(|(row, _)| row.clone()).collect();
                for row in gone {
                    damaged.remove(&row);
                    rows.remove(&row);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(seed: u64) -> Disk {
        let knobs = DiskKnobs {
            cached_per_mille: 0,
            load_max: Duration::from_millis(1),
            sync_max: Duration::from_millis(1),
            group_max: 100,
        };
        Disk::new(knobs, Stream::new(seed, "disk"))
    }

    fn put(disk: &mut Disk, number: u64, durability: Durability) -> bool {
        let write = StoreWrite::Put {
            column: Column::Objects,
            key: Bytes::from(format!("k{number}")),
            value: Bytes::from_static(b"v"),
        };
        disk.submit(StoreId(number), vec![write], durability).is_some()
    }

    fn has(disk: &mut Disk, number: u64) -> bool {
        let key = Bytes::from(format!("k{number}"));
        matches!(disk.load(Column::Objects, &key), LoadedRow::Found(_))
    }

    #[test]
    fn what_was_synced_survives_a_power_cut_and_the_rest_is_a_prefix() {
        for seed in 0..50 {
            let mut disk = disk(seed);
            assert!(put(&mut disk, 0, Durability::Synced));
            let _ = disk.commit();
            for number in 1..6 {
                put(&mut disk, number, Durability::Buffered);
                if number < 4 {
                    let _ = disk.commit();
                }
            }
            let _ = disk.crash(Crash::Power);
            assert!(has(&mut disk, 0));
            let kept: Vec<bool> = (1..6).map(|number| has(&mut disk, number)).collect();
            let first_gap = kept.iter().position(|kept| !kept).unwrap_or(kept.len());
            assert!(!kept[first_gap..].contains(&true), "a hole in {kept:?}");
        }
    }

    #[test]
    fn a_killed_process_keeps_what_was_applied() {
        let mut disk = disk(1);
        put(&mut disk, 0, Durability::Buffered);
        let _ = disk.commit();
        let _ = disk.crash(Crash::Process);
        assert!(has(&mut disk, 0));
    }

    #[test]
    fn a_full_disk_refuses_and_recovers() {
        let mut disk = disk(1);
        disk.full = true;
        put(&mut disk, 0, Durability::Synced);
        assert_eq!(disk.commit().0.results, [(StoreId(0), StoreResult::Refused)]);
        assert!(!has(&mut disk, 0));
        disk.full = false;
        put(&mut disk, 1, Durability::Synced);
        assert_eq!(disk.commit().0.results, [(StoreId(1), StoreResult::Applied { synced: true })]);
    }

    #[test]
    fn a_failed_sync_stops_the_disk_until_a_restart() {
        let mut disk = disk(1);
        disk.fail_next_sync = true;
        for number in 0..2 {
            put(&mut disk, number, Durability::Synced);
            assert_eq!(disk.commit().0.results, [(StoreId(number), StoreResult::Failed)]);
        }
        let _ = disk.crash(Crash::Process);
        put(&mut disk, 2, Durability::Synced);
        assert_eq!(disk.commit().0.results, [(StoreId(2), StoreResult::Applied { synced: true })]);
    }

    #[test]
    fn a_row_that_vanished_is_gone_for_good_and_known_until_it_is_written_again() {
        let mut disk = disk(1);
        let key = Bytes::from_static(b"k0");
        assert!(!disk.vanish(Column::Objects, key.clone()));
        put(&mut disk, 0, Durability::Synced);
        let _ = disk.commit();
        assert!(disk.vanish(Column::Objects, key.clone()));
        let _ = disk.crash(Crash::Power);
        assert_eq!(disk.load(Column::Objects, &key), LoadedRow::Absent);
        assert_eq!(disk.vanished(Column::Objects).count(), 1);
        put(&mut disk, 0, Durability::Synced);
        let _ = disk.commit();
        assert_eq!(disk.vanished(Column::Objects).count(), 0);
    }

    #[test]
    fn damage_lasts_until_the_row_is_written_again() {
        let mut disk = disk(1);
        put(&mut disk, 0, Durability::Synced);
        let _ = disk.commit();
        assert!(disk.damage(Column::Objects, Bytes::from_static(b"k0")));
        assert_eq!(disk.load(Column::Objects, &Bytes::from_static(b"k0")), LoadedRow::Damaged);
        put(&mut disk, 0, Durability::Synced);
        let _ = disk.commit();
        assert!(has(&mut disk, 0));
    }
}
