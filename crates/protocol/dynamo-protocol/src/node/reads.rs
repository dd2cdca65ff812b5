//! Reads of this node's own rows, for itself and for other nodes.

use alloc::vec;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};
use dynamo_messages::{
    KnownRequest, OperationId, PeerMessage, PiecePlace, ReadOutcome, ReplicaRead, ReplicaReadReply,
    ReplicaScan, ReplicaScanReply, ScannedKey,
};
use dynamo_types::planted::{PlantedBug, planted};
use dynamo_types::{
    Bucket, Instant, NodeId, ObjectName, PartitionId, Position, RegisterTag, RequestId,
};
use dynamo_versioning::{Record, StoredRecord};

use super::{Node, PEER_READS_MAX};
use crate::effect::{Column, Effect, ScanId};
use crate::event::{LoadedRow, ScannedRow};
use crate::rows;

/// A record up to this size travels in one message; a larger one sibling by sibling, so that no
/// number of siblings can outgrow a frame (protocol rule 7, history 30).
const WHOLE_RECORD_BYTES_MAX: usize = 256 << 10;
/// Rows that one scan may look at: a few milliseconds of disk work.
const SCAN_ROWS_MAX: u32 = 1024;
/// Rows that one question may read: a fallback looks for hints for each replica of the key, of which
/// there are at most seven.
pub(super) const READS_PER_QUESTION: usize = 7;
/// Bytes that one scan may read.
const SCAN_BYTES_MAX: u32 = 4 << 20;

/// A row that is being read, and for whom.
#[derive(Debug)]
pub(super) struct PendingRead {
    asker: Asker,
    operation: OperationId,
    name: ObjectName,
    /// The register that the asker goes by, if it matters.
    register: Option<RegisterTag>,
    value_bytes_max: u32,
    known: Option<RequestId>,
    deadline: Instant,
    /// Of a fallback: what was found so far.
    hints: Option<FoundHints>,
}

/// What a fallback has found of a key.
#[derive(Debug)]
struct FoundHints {
    /// For whom rows are still to be read, the one under way first.
    intended: Vec<NodeId>,
    found: Record,
    any: bool,
}

/// Rows that are being scanned, and for whom.
#[derive(Debug)]
pub(super) struct PendingScan {
    asker: Asker,
    operation: OperationId,
    partition: PartitionId,
    register: RegisterTag,
    bucket: Bucket,
    prefix: Bytes,
    limit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Here,
    Peer(NodeId),
}

impl Node {
    /// Asks a replica, which may be this node, what it has of an object.
    pub(super) fn ask_replica(&mut self, to: NodeId, question: ReplicaRead) {
        if to == self.config.node {
            self.read_here(question);
        } else {
            self.send(to, Self::lane_of(&question.name), PeerMessage::Read(question));
        }
    }

    /// Reads for an operation of this node, which has a deadline of its own.
    fn read_here(&mut self, question: ReplicaRead) {
        let ReplicaRead { operation, name, register, value_bytes_max, known, .. } = question;
        let deadline = Instant(u64::MAX);
        let asker = Asker::Here;
        let hints = self.hints_to_look_for(&name);
        self.load(PendingRead {
            asker,
            operation,
            name,
            register,
            value_bytes_max,
            known,
            deadline,
            hints,
        });
    }

    /// For whom this node may keep hints of a key; none if it is itself a replica.
    fn hints_to_look_for(&self, name: &ObjectName) -> Option<FoundHints> {
        let partition = self.registers.partition_of(Position::of_object(name));
        let intended = self.registers.holders(partition);
        let hints = FoundHints { intended, found: Record::new(), any: false };
        let involved = self.registers.is_involved(partition, self.config.node)
            || planted(PlantedBug::FormerMemberAnswers);
        (!involved).then_some(hints)
    }

    pub(super) fn replica_read_received(&mut self, from: NodeId, read: ReplicaRead) {
        if let Some(request) = read.known {
            self.replica.withdraw(&read.name, request);
        }
        let hints = self.hints_to_look_for(&read.name);
        let pending = PendingRead {
            asker: Asker::Peer(from),
            operation: read.operation,
            name: read.name,
            register: read.register,
            value_bytes_max: read.value_bytes_max,
            known: read.known,
            deadline: self.deadline_in(read.remaining_ms),
            hints,
        };
        if self.is_read_stale(&pending) {
            return self.tell_outcomes(pending, vec![ReadOutcome::Stale]);
        }
        if self.reads.len() >= PEER_READS_MAX {
            return self.tell_outcomes(pending, vec![ReadOutcome::Overloaded]);
        }
        self.load(pending);
    }

    fn load(&mut self, read: PendingRead) {
        let load = self.replica.next_load();
        let (column, key) = match &read.hints {
            None => (Column::Objects, rows::object_key(&read.name)),
            Some(hints) => {
                let intended = hints.intended.first().expect("a replica set is never empty");
                let position = Position::of_object(&read.name);
                (Column::Hints, rows::hint_key(*intended, position, &read.name))
            }
        };
        self.reads.insert(load, read);
        self.effects.push_back(Effect::Load { load, column, key });
    }

    /// A fallback read one of the rows in which it may keep hints of a key.
    fn hint_loaded(&mut self, mut read: PendingRead, row: &LoadedRow) {
        let Some(hints) = &mut read.hints else { return };
        match row {
            LoadedRow::Absent => {}
            LoadedRow::Found(bytes) => match rows::decode_hint(bytes) {
                Some((_, stored)) => {
                    hints.found.merge(&stored.record);
                    hints.any = true;
                }
                None => self.counters.rows_damaged += 1,
            },
            LoadedRow::Damaged => self.counters.rows_damaged += 1,
            LoadedRow::Failed => {
                self.counters.loads_failed += 1;
                return self.tell_outcomes(read, vec![ReadOutcome::Overloaded]);
            }
        }
        hints.intended.remove(0);
        if !hints.intended.is_empty() {
            return self.load(read);
        }
        let outcomes = if hints.any {
            pieces(core::mem::take(&mut hints.found), read.value_bytes_max)
        } else {
            // Nobody but a replica may say that a key is missing (history 14).
            vec![ReadOutcome::NoHint]
        };
        self.tell_outcomes(read, outcomes);
    }

    pub(super) fn read_loaded(&mut self, read: PendingRead, row: LoadedRow) {
        if self.now.monotonic >= read.deadline {
            // The asker has given up; an answer would only cost.
            return;
        }
        // Whoever holds the partition may be others by now.
        if self.is_read_stale(&read) {
            return self.tell_outcomes(read, vec![ReadOutcome::Stale]);
        }
        if read.hints.is_some() {
            return self.hint_loaded(read, &row);
        }
        let outcomes = match row {
            // A copy that may lack something says nothing of what is there either: what replaced it
            // may be what it lacks (protocol rule 4).
            LoadedRow::Absent | LoadedRow::Found(_) if !self.is_complete_for(&read.name) => {
                vec![ReadOutcome::Unsure]
            }
            LoadedRow::Absent => vec![ReadOutcome::Missing],
            LoadedRow::Found(bytes) => match StoredRecord::decode(&bytes) {
                Ok(stored) => pieces(stored.record, read.value_bytes_max),
                Err(_) => {
                    self.replica.row_rotted(&read.name, &mut self.counters);
                    vec![ReadOutcome::Unsure]
                }
            },
            LoadedRow::Damaged => {
                self.replica.row_rotted(&read.name, &mut self.counters);
                vec![ReadOutcome::Unsure]
            }
            LoadedRow::Failed => {
                self.counters.loads_failed += 1;
                vec![ReadOutcome::Overloaded]
            }
        };
        self.tell_outcomes(read, outcomes);
    }

    /// Whether this node goes by another register than the asker.
    fn is_read_stale(&self, read: &PendingRead) -> bool {
        let partition = self.registers.partition_of(Position::of_object(&read.name));
        read.register.is_some_and(|register| register != self.registers.tag(partition))
            && !planted(PlantedBug::FormerMemberAnswers)
    }

    /// Whether this node's word on what is missing counts: its copy is complete, and it knows what it has
    /// promised.
    fn is_complete_for(&self, name: &ObjectName) -> bool {
        let partition = self.registers.partition_of(Position::of_object(name));
        let is_outside = !self.registers.is_involved(partition, self.config.node);
        self.replica.is_complete(partition) && self.registers.takes_part(partition)
            || is_outside && planted(PlantedBug::FormerMemberAnswers)
    }

    fn tell_outcomes(&mut self, read: PendingRead, outcomes: Vec<ReadOutcome>) {
        let position = Position::of_object(&read.name);
        let known: Option<KnownRequest> =
            read.known.and_then(|request| self.replica.known_request(position, request));
        let settings_version = self.buckets.get(&read.name.bucket).version;
        let queue = u32::try_from(self.reads.len()).unwrap_or(u32::MAX);
        if let (Asker::Peer(node), [ReadOutcome::Stale]) = (read.asker, outcomes.as_slice()) {
            let partition = self.registers.partition_of(position);
            self.tell_register(node, Self::lane_of(&read.name), partition);
        }
        for outcome in outcomes {
            match read.asker {
                Asker::Here => {
                    self.read_answered(read.operation, self.config.node, outcome, known);
                }
                Asker::Peer(node) => {
                    let operation = read.operation;
                    let reply =
                        ReplicaReadReply { operation, outcome, known, settings_version, queue };
                    self.send(node, Self::lane_of(&read.name), PeerMessage::ReadReply(reply));
                }
            }
        }
    }

    /// Scans for a listing of this node.
    pub(super) fn scan_here(&mut self, scan: ReplicaScan) {
        self.scan(Asker::Here, scan);
    }

    pub(super) fn replica_scan_received(&mut self, from: NodeId, scan: ReplicaScan) {
        let count = self.registers.count();
        let exists = count.contains(scan.partition);
        let is_same = exists && self.registers.tag(scan.partition) == scan.register;
        if exists && !is_same {
            self.tell_register(from, crate::effect::Lane::Background, scan.partition);
        }
        let known = is_same && self.registers.is_involved(scan.partition, self.config.node);
        self.counters.messages_refused += u64::from(!known);
        if !known || self.scans.len() >= PEER_READS_MAX {
            let reply = ReplicaScanReply {
                operation: scan.operation,
                keys: Vec::new(),
                reached: None,
                complete: false,
            };
            return self.send(from, crate::effect::Lane::Background, PeerMessage::ScanReply(reply));
        }
        self.scan(Asker::Peer(from), scan);
    }

    fn scan(&mut self, asker: Asker, scan: ReplicaScan) {
        let (first, to) = rows::partition_range(self.registers.count(), scan.partition);
        let from = match &scan.after {
            // Behind all rows at that position, whatever their bucket: no length of a name reaches
            // 255. The place may be that of another bucket's row, and a scan that met that row again
            // would never get past one that fills its bytes alone.
            Some((position, _)) => {
                let mut behind = BytesMut::with_capacity(17);
                behind.put_u128(position.0);
                behind.put_u8(u8::MAX);
                behind.freeze()
            }
            None => first,
        };
        let id = ScanId(self.replica.next_load().0);
        self.scans.insert(
            id,
            PendingScan {
                asker,
                operation: scan.operation,
                partition: scan.partition,
                register: scan.register,
                bucket: scan.bucket,
                prefix: scan.prefix,
                limit: scan.limit,
            },
        );
        self.effects.push_back(Effect::Scan {
            scan: id,
            column: Column::Objects,
            from,
            to,
            rows_max: SCAN_ROWS_MAX,
            bytes_max: SCAN_BYTES_MAX,
        });
    }

    pub(super) fn scanned(
        &mut self,
        scan: PendingScan,
        rows: Vec<ScannedRow>,
        end: bool,
        failed: bool,
    ) {
        let mut keys = Vec::new();
        let mut last = None;
        let mut full = false;
        for row in rows {
            let Some((position, name)) = rows::parse_object_key(&row.key) else {
                self.counters.rows_damaged += 1;
                continue;
            };
            last = Some((position, name.key.clone()));
            let wanted =
                name.bucket == scan.bucket && name.key.as_bytes().starts_with(&scan.prefix);
            if !wanted {
                continue;
            }
            match row.value.as_ref().map(StoredRecord::decode) {
                Some(Ok(stored)) => {
                    let record = stored.record.without_values();
                    keys.push(ScannedKey { key: name.key, record });
                }
                // The other replicas of the quorum still name the key.
                Some(Err(_)) | None => self.counters.rows_damaged += 1,
            }
            if keys.len() >= scan.limit as usize {
                full = true;
                break;
            }
        }
        let reached = if end && !full { None } else { last };
        let stuck = !end && reached.is_none();
        let reply = ReplicaScanReply {
            operation: scan.operation,
            keys,
            reached,
            complete: !failed
                && !stuck
                && self.registers.tag(scan.partition) == scan.register
                && self.registers.takes_part(scan.partition)
                && self.replica.is_complete(scan.partition),
        };
        match scan.asker {
            Asker::Here => {
                let node = self.config.node;
                self.scan_answered(scan.operation, node, scan.partition, reply);
            }
            Asker::Peer(node) => {
                self.send(node, crate::effect::Lane::Background, PeerMessage::ScanReply(reply));
            }
        }
    }
}

/// A record as it travels: whole if it is small, else sibling by sibling.
pub(super) fn pieces(record: Record, value_bytes_max: u32) -> Vec<ReadOutcome> {
    let long = |bytes: usize| u32::try_from(bytes).map_or(true, |bytes| bytes > value_bytes_max);
    if record.siblings().iter().any(|sibling| long(sibling.value_bytes())) {
        let record = record.without_values();
        return vec![ReadOutcome::Piece { record, without_values: true, at: PiecePlace::ONLY }];
    }
    if record.siblings().len() <= 1 || record.value_bytes() <= WHOLE_RECORD_BYTES_MAX {
        return vec![ReadOutcome::Piece { record, without_values: false, at: PiecePlace::ONLY }];
    }
    // More siblings than a u16 counts cannot come about below the limit for puts; if they did, the
    // answer would stay incomplete instead of wrong.
    let count = u16::try_from(record.siblings().len()).unwrap_or(u16::MAX);
    let pieces = (0..count).zip(record.pieces());
    pieces
        .filter_map(|(place, record)| {
            let at = PiecePlace::new(place, count)?;
            Some(ReadOutcome::Piece { record, without_values: false, at })
        })
        .collect()
}
