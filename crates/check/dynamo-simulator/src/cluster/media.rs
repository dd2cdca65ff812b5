//! Faults of disks that cost what was on them: rows damaged or gone, disks lost or old.
//!
//! What promise 1 does not cover is not done: each kind says what it leaves alone.

use bytes::Bytes;
use dynamo_checker::history::{HostIndex, KeyIndex};
use dynamo_protocol::{Column, rows};
use dynamo_types::{Durability, PartitionId};

use super::Cluster;
use crate::disk::Crash;
use crate::markers::Marker;

impl Cluster {
    /// Disks are lost or damaged one at a time: what two of them cost, no w of two would survive.
    fn media_have_failed(&self) -> bool {
        !self.evidence.lost_disks.is_empty()
            || self.meta_damaged_at.is_some()
            || self.history.keys.iter().any(|key| key.damaged_rows > 0)
    }

    /// A node dies and comes back with an empty disk.
    pub(crate) fn lose_disk(&mut self, host: HostIndex) {
        if self.media_have_failed() || !self.crash(host, Crash::Power) {
            return;
        }
        self.markers.hit(Marker::DiskLost);
        let now = self.now;
        self.evidence.lost_disks.push((now, host));
        let state = self.host(host);
        state.disk.wipe();
        state.disk_lost = true;
        self.observer.disk_may_differ(host, &self.hosts[host.index()].disk);
    }

    /// Puts a copy of a disk aside, and another time has the node come back with that.
    pub(super) fn roll_disk_back(&mut self, host: HostIndex) {
        if self.media_have_failed() {
            return;
        }
        let old = self.host_indices().find(|host| self.hosts[host.index()].disk.has_old());
        let Some(host) = old else {
            self.host(host).disk.put_aside();
            return;
        };
        if !self.crash(host, Crash::Power) {
            return;
        }
        self.markers.hit(Marker::DiskRolledBack);
        let now = self.now;
        self.evidence.lost_disks.push((now, host));
        self.evidence.rollbacks.push((now, host));
        self.host(host).disk.roll_back();
        self.observer.disk_may_differ(host, &self.hosts[host.index()].disk);
    }

    /// Keys of which one copy may go, within what promise 1 allows: all their writes want two synced
    /// copies, and none went before in this run.
    fn may_lose_a_copy(&self, key: KeyIndex) -> bool {
        let facts = self.history.key(key);
        let (_, bucket, _) = &self.keys[usize::from(key.0)];
        self.evidence.lost_disks.is_empty()
            && facts.damaged_rows == 0
            && facts.durability == Durability::Synced
            && self.buckets[*bucket].settings.w >= 2
            && !Self::uses_any_quorum(key)
    }

    /// Draws a row of a replica of which another replica has the key: where nobody else has it there is
    /// nothing to repair it from.
    fn draw_repairable_row(&mut self, host: HostIndex) -> Option<(KeyIndex, Bytes)> {
        let candidates: Vec<KeyIndex> = self
            .history
            .key_indices()
            .filter(|key| self.history.key(*key).replicas.contains(&host))
            .filter(|key| self.may_lose_a_copy(*key))
            .collect();
        if candidates.is_empty() {
            return None;
        }
        let key = *self.fault_random.pick(&candidates);
        let (name, ..) = &self.keys[usize::from(key.0)];
        let row = rows::object_key(name);
        let mut others = self.history.key(key).replicas.iter().filter(|other| **other != host);
        let elsewhere =
            others.any(|other| self.hosts[other.index()].disk.has(Column::Objects, &row));
        elsewhere.then_some((key, row))
    }

    fn partition_of(&self, key: KeyIndex) -> PartitionId {
        self.keys[usize::from(key.0)].2
    }

    fn copy_went(&mut self, key: KeyIndex) {
        self.history.keys[usize::from(key.0)].damaged_rows += 1;
    }

    /// Makes a row unreadable.
    pub(super) fn damage(&mut self, host: HostIndex) {
        let Some((key, row)) = self.draw_repairable_row(host) else { return };
        let partition = self.partition_of(key);
        if self.rows_vanished_in.get(&partition).is_some_and(|of| *of != host) {
            return;
        }
        if self.host(host).disk.damage(Column::Objects, row) {
            self.markers.hit(Marker::RowDamaged);
            self.copy_went(key);
            self.rows_damaged_in.entry(partition).or_default().insert(host);
            self.trace.line(self.now, || format!("{host} has a damaged row of {key:?}"));
        }
    }

    /// Takes a row away without a trace. All that goes in one partition then goes at one node: an
    /// incomplete copy takes the word of a complete one, and that one does not know of its loss
    /// (docs/SIMULATOR.md).
    pub(super) fn vanish_row(&mut self, host: HostIndex) {
        let Some((key, row)) = self.draw_repairable_row(host) else { return };
        let partition = self.partition_of(key);
        let damaged = self.rows_damaged_in.get(&partition).into_iter().flatten();
        let losers = damaged.chain(self.rows_vanished_in.get(&partition));
        if losers.chain(&self.meta_damaged_at).any(|of| *of != host) {
            return;
        }
        if self.host(host).disk.vanish(Column::Objects, row.clone()) {
            self.markers.hit(Marker::RowVanished);
            self.copy_went(key);
            self.rows_vanished_in.insert(partition, host);
            self.observer.vanished(host, &row);
            self.trace.line(self.now, || format!("{host} misses its row of {key:?}"));
        }
    }

    /// Makes a hint unreadable. Another copy of each write in it was acknowledged too.
    pub(super) fn damage_hint(&mut self, host: HostIndex) {
        let key_of = |row: &Bytes| {
            let (_, _, name) = rows::parse_hint_key(row)?;
            self.key_of_name(&name)
        };
        let hints = self.hosts[host.index()].disk.rows(Column::Hints);
        let candidates: Vec<(KeyIndex, Bytes)> = hints
            .filter_map(|(row, _)| Some((key_of(row)?, row.clone())))
            .filter(|(key, _)| self.may_lose_a_copy(*key))
            .collect();
        if candidates.is_empty() {
            return;
        }
        let (key, row) = self.fault_random.pick(&candidates).clone();
        if self.host(host).disk.damage(Column::Hints, row.clone()) {
            self.markers.hit(Marker::HintDamaged);
            self.copy_went(key);
            self.observer.hint_removed(host, &row);
            self.trace.line(self.now, || format!("{host} has a damaged hint of {key:?}"));
        }
    }

    /// Makes a row unreadable in which a node remembers clocks. It is read at the next start, and what
    /// the node then no longer knows it must ask the others: so it is one node, and no disk is lost.
    pub(super) fn damage_meta(&mut self, host: HostIndex) {
        let mut others = self.meta_damaged_at.iter().chain(self.rows_vanished_in.values());
        if others.any(|of| *of != host) || !self.evidence.lost_disks.is_empty() {
            return;
        }
        let kinds = [rows::CHECKPOINT, rows::JOURNAL, rows::REPORT];
        let kind = *self.fault_random.pick(&kinds);
        let meta = self.hosts[host.index()].disk.rows(Column::Meta);
        let candidates: Vec<Bytes> = meta
            .filter(|(row, value)| row.first() == Some(&kind) && value.is_some())
            .map(|(row, _)| row.clone())
            .collect();
        if candidates.is_empty() {
            return;
        }
        let row = self.fault_random.pick(&candidates).clone();
        self.trace.line(self.now, || format!("{host} has a damaged row of meta: {row:?}"));
        if self.host(host).disk.damage(Column::Meta, row) {
            self.markers.hit(Marker::MetaDamaged);
            self.meta_damaged_at = Some(host);
        }
    }
}
