//! Watches every record that passes, in messages and in stores, and notes which dot each write got.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use dynamo_checker::evidence::{HeldRecord, HeldVersion, Minted};
use dynamo_checker::history::{HostIndex, KeyIndex, WriteId};
use dynamo_checker::value;
use dynamo_protocol::{Column, rows};
use dynamo_types::{ActorId, Instant, PartitionId};
use dynamo_versioning::{Content, Dot, Record, Sibling, StoredRecord};

use crate::disk::Disk;

/// What was seen of dots and writes.
#[derive(Debug, Default)]
pub struct Observer {
    dots: BTreeMap<(PartitionId, Dot), (KeyIndex, Option<WriteId>, u128)>,
    /// The dots of each write, in the order seen.
    pub minted: BTreeMap<WriteId, Vec<Minted>>,
    /// When each node first reported a version of a write as stored.
    pub stored: BTreeMap<(WriteId, HostIndex), Instant>,
    /// Dots that were seen with two different versions.
    pub conflicts: Vec<String>,
    /// What a write without context covered, as the first record that had it said.
    pub first_contexts: BTreeMap<WriteId, Vec<Dot>>,
    /// When each write was handed to a node, by its client or by another node, in order.
    pub asked: BTreeMap<(WriteId, HostIndex), Vec<Instant>>,
    /// The deletes whose tombstones each node's row holds.
    tombstones: BTreeMap<(HostIndex, Bytes), Vec<(WriteId, Dot)>>,
    /// Deletes whose tombstone some node removed.
    pub collected: BTreeSet<WriteId>,
    /// The writes in each acknowledged hint that a node keeps.
    hints: BTreeMap<(HostIndex, Bytes), Vec<(WriteId, Dot)>>,
    /// Which node each actor is.
    pub actors: BTreeMap<ActorId, HostIndex>,
}

impl Observer {
    /// Sees a record of a key pass; `minter` is the node that may have minted it just now.
    pub fn see(
        &mut self,
        now: Instant,
        (partition, key): (PartitionId, KeyIndex),
        record: &Record,
        minter: HostIndex,
    ) {
        for sibling in record.siblings() {
            self.see_sibling(now, (partition, key), record, sibling, minter);
        }
    }

    fn see_sibling(
        &mut self,
        now: Instant,
        (partition, key): (PartitionId, KeyIndex),
        record: &Record,
        sibling: &Sibling,
        minter: HostIndex,
    ) {
        let write = WriteId::of_request(sibling.request);
        let seen = (key, write, sibling.digest.0);
        let first = self.dots.entry((partition, sibling.dot)).or_insert(seen);
        if *first != seen {
            self.conflicts.push(format!(
                "{:?} of partition {partition} is {first:?} and {seen:?}",
                sibling.dot
            ));
        }
        let Some(write) = write else { return };
        let minted = self.minted.entry(write).or_default();
        if minted.iter().any(|minted| minted.dot == sibling.dot) {
            return;
        }
        let by = *self.actors.entry(sibling.dot.actor).or_insert(minter);
        minted.push(Minted { dot: sibling.dot, hlc: sibling.hlc, at: now, by });
        // A delete without context names no parents; the record that first has it says what its
        // coordinator covered.
        if matches!(sibling.content, Content::Tombstone) {
            let covered: Vec<Dot> = self
                .dots_of(partition, key)
                .map(|(dot, _)| dot)
                .filter(|dot| record.covers(*dot) && record.sibling(*dot).is_none())
                .collect();
            self.first_contexts.entry(write).or_default().extend(covered);
        }
    }

    /// A client or another node hands a write to a node.
    pub fn asked(&mut self, now: Instant, write: WriteId, host: HostIndex) {
        self.asked.entry((write, host)).or_default().push(now);
    }

    /// A node reported a record as stored.
    pub fn stored(&mut self, now: Instant, host: HostIndex, record: &Record) {
        for sibling in record.siblings() {
            if let Some(write) = WriteId::of_request(sibling.request) {
                self.stored.entry((write, host)).or_insert(now);
            }
        }
    }

    /// A node stored this record as its own.
    pub fn holds(&mut self, host: HostIndex, row: Bytes, record: &Record) {
        let tombstones = record.siblings().iter().filter(|sibling| sibling.is_tombstone());
        let writes = tombstones.filter_map(|s| Some((WriteId::of_request(s.request)?, s.dot)));
        let before = self.tombstones.insert((host, row), writes.collect());
        // A turn that collected a record and then stored a new put leaves one row, that of the put.
        let gone = before.into_iter().flatten().filter(|(_, dot)| !record.covers(*dot));
        self.collected.extend(gone.map(|(write, _)| write));
    }

    /// A node stored a hint.
    pub fn keeps_hint(
        &mut self,
        host: HostIndex,
        row: Bytes,
        acknowledging: bool,
        record: &Record,
    ) {
        let siblings = record.siblings().iter();
        let writes = siblings.filter_map(|s| Some((WriteId::of_request(s.request)?, s.dot)));
        self.hints.insert((host, row), writes.filter(|_| acknowledging).collect());
    }

    fn hints_are(&mut self, host: HostIndex, disk: &Disk) {
        self.hints.retain(|(of, _), _| *of != host);
        for (row, value) in disk.rows(Column::Hints) {
            if let Some((acknowledging, stored)) = value.and_then(rows::decode_hint) {
                self.keeps_hint(host, row.clone(), acknowledging, &stored.record);
            }
        }
    }

    /// A node removed a hint of these writes.
    pub fn hint_removed(&mut self, host: HostIndex, row: &Bytes) -> Vec<(WriteId, Dot)> {
        self.hints.remove(&(host, row.clone())).unwrap_or_default()
    }

    /// A node's process ended, or its disk was replaced: the disk may hold other rows than were seen
    /// last.
    pub fn disk_may_differ(&mut self, host: HostIndex, disk: &Disk) {
        self.tombstones.retain(|(of, _), _| *of != host);
        self.hints_are(host, disk);
        for (row, value) in disk.rows(Column::Objects) {
            if let Some(stored) = value.and_then(|value| StoredRecord::decode(value).ok()) {
                self.holds(host, row.clone(), &stored.record);
            }
        }
    }

    /// A row of a node is gone, and the node does not know.
    pub fn vanished(&mut self, host: HostIndex, row: &Bytes) {
        self.tombstones.remove(&(host, row.clone()));
    }

    /// A node removed a row of its own.
    pub fn removed(&mut self, host: HostIndex, row: &Bytes) {
        let held = self.tombstones.remove(&(host, row.clone()));
        self.collected.extend(held.into_iter().flatten().map(|(write, _)| write));
    }

    /// A node removed all rows of a range, which are others' now.
    pub fn wiped(&mut self, host: HostIndex, from: &Bytes, to: &Bytes) {
        self.tombstones.retain(|(of, row), _| *of != host || row < from || row >= to);
    }

    /// The write that a dot of a key belongs to.
    #[must_use]
    pub fn write_of(&self, partition: PartitionId, key: KeyIndex, dot: Dot) -> Option<WriteId> {
        self.dots
            .get(&(partition, dot))
            .filter(|(owner, ..)| *owner == key)
            .and_then(|(_, write, _)| *write)
    }

    /// What a disk holds, told in writes.
    #[must_use]
    pub fn held(&self, (partition, key): (PartitionId, KeyIndex), record: &Record) -> HeldRecord {
        let versions: Vec<HeldVersion> =
            record.siblings().iter().map(|sibling| held_version(key, sibling)).collect();
        let here: Vec<WriteId> = versions.iter().filter_map(|version| version.write).collect();
        let mut claims: Vec<WriteId> = self
            .dots_of(partition, key)
            .filter(|(dot, _)| record.covers(*dot))
            .map(|(_, write)| write)
            .filter(|write| !here.contains(write))
            .collect();
        claims.sort_unstable();
        claims.dedup();
        HeldRecord { versions, claims_replaced: claims, unreadable: None }
    }

    /// All known dots of a key with their writes.
    pub fn dots_of(
        &self,
        partition: PartitionId,
        key: KeyIndex,
    ) -> impl Iterator<Item = (Dot, WriteId)> {
        let first = Dot { actor: ActorId(0), counter: 0 };
        self.dots
            .range((partition, first)..)
            .take_while(move |((of, _), _)| *of == partition)
            .filter(move |(_, (owner, ..))| *owner == key)
            .filter_map(|((_, dot), (_, write, _))| write.map(|write| (*dot, write)))
    }
}

fn held_version(key: KeyIndex, sibling: &Sibling) -> HeldVersion {
    let write = WriteId::of_request(sibling.request);
    let intact = match &sibling.content {
        Content::Tombstone => true,
        Content::Value { bytes, .. } => value::decode(bytes)
            .is_ok_and(|provenance| Some(provenance.write) == write && provenance.key == key),
    };
    HeldVersion {
        write,
        dot: sibling.dot,
        hlc: sibling.hlc,
        tombstone: sibling.is_tombstone(),
        intact,
    }
}
