//! What nodes tell each other, as bytes.

mod registers;

use alloc::vec::Vec;
use core::num::NonZeroU64;

use bytes::Bytes;
use dynamo_types::limits::KEY_BYTES_MAX;
use dynamo_types::{ActorId, CheckpointName, NodeId, PartitionId, RegisterTag, RequestId};
use dynamo_versioning::{BodyDigest, Dot, DotSet, Record};
use rkyv::{Archive, Serialize};

use super::archive::{Head, read};
use super::error::{DecodeError, FieldError};
use super::fields::{Fields, NameWire, PlaceWire};
use super::numbers::{durability, durability_number, kind};
use super::repair;
use super::reply::{self, BUCKETS_MAX, SIBLINGS_MAX};
use super::request::{MutationWire, mutation_bytes};
use crate::peer::{
    AskCollected, ClockReport, HintFor, KnownBy, KnownRequest, OperationId, PeerMessage,
    PiecePlace, ReadOutcome, ReplicaRead, ReplicaReadReply, ReplicaScan, ReplicaScanReply,
    ReplicaWrite, ReplicaWriteReply, ScannedKey, WriteOutcome,
};

/// A scan answers a page of a listing, with some keys more to make up for those that turn out
/// deleted.
const SCANNED_KEYS_MAX: usize = 1 << 14;
/// The settings of one bucket are some twenty bytes.
const BUCKET_ENTRY_BYTES_MAX: usize = 4096;
/// What one message tells of the most members that a cluster remembers.
const GOSSIP_BYTES_MAX: usize = 4 << 20;
/// As many as a table of settings will ever be divided into.
const BUCKET_GROUPS_MAX: usize = 256;
/// Reports of all partitions of the largest ring fit several messages of this many.
const CLOCK_REPORTS_MAX: usize = 4096;

#[derive(Archive, Serialize)]
struct WriteWire {
    operation: Option<u64>,
    name: NameWire,
    /// The tag, or 0.
    register: u64,
    /// The node that the hint is for, if it is one.
    hint_for: Option<u64>,
    /// Whether the hint counts towards w; false where there is none.
    acknowledging: bool,
    pieces: Vec<Bytes>,
    durability: u8,
    remaining_ms: u32,
}

#[derive(Archive, Serialize)]
struct WriteReplyWire {
    operation: u64,
    outcome: u8,
    synced: bool,
    settings_version: u64,
}

#[derive(Archive, Serialize)]
struct ReadWire {
    operation: u64,
    name: NameWire,
    /// The tag, or 0.
    register: u64,
    value_bytes_max: u32,
    known: Option<u128>,
    remaining_ms: u32,
}

#[derive(Archive, Serialize)]
struct KnownWire {
    request: u128,
    digest: u128,
    actor: u64,
    counter: u64,
}

#[derive(Archive, Serialize)]
struct ReadReplyWire {
    operation: u64,
    outcome: u8,
    /// Of a piece; empty in all other outcomes.
    record: Bytes,
    without_values: bool,
    place: u16,
    pieces: u16,
    known: Option<KnownWire>,
    settings_version: u64,
    queue: u32,
}

#[derive(Archive, Serialize)]
struct ForwardWire {
    operation: u64,
    remaining_ms: u32,
    mutation: MutationWire,
}

#[derive(Archive, Serialize)]
struct ScanWire {
    operation: u64,
    partition: u16,
    register: u64,
    bucket: Bytes,
    prefix: Bytes,
    after: Option<PlaceWire>,
    limit: u32,
    remaining_ms: u32,
}

#[derive(Archive, Serialize)]
struct ScannedWire {
    key: Bytes,
    record: Bytes,
}

#[derive(Archive, Serialize)]
struct ScanReplyWire {
    operation: u64,
    keys: Vec<ScannedWire>,
    reached: Option<PlaceWire>,
    complete: bool,
}

#[derive(Archive, Serialize)]
struct EntryWire {
    bucket: Bytes,
    entry: Bytes,
}

#[derive(Archive, Serialize)]
struct BucketsWire {
    acknowledge: Option<u64>,
    entries: Vec<EntryWire>,
}

#[derive(Archive, Serialize)]
struct BucketsStoredWire {
    operation: u64,
}

#[derive(Archive, Serialize)]
struct AskBucketWire {
    bucket: Bytes,
}

#[derive(Archive, Serialize)]
struct GossipWire {
    bytes: Bytes,
}

#[derive(Archive, Serialize)]
struct BucketsFingerprintWire {
    fingerprint: u128,
}

#[derive(Archive, Serialize)]
struct BucketGroupsWire {
    groups: Vec<u128>,
}

#[derive(Archive, Serialize)]
struct AskBucketGroupsWire {
    groups: u64,
}

#[derive(Archive, Serialize)]
struct DotWire {
    actor: u64,
    counter: u64,
}

#[derive(Archive, Serialize)]
struct AskCollectedWire {
    operation: u64,
    name: NameWire,
    dots: Vec<DotWire>,
    remaining_ms: u32,
}

#[derive(Archive, Serialize)]
struct CollectedWire {
    operation: u64,
    dots: Vec<DotWire>,
}

#[derive(Archive, Serialize)]
struct CheckpointWire {
    process: u64,
    number: u64,
}

#[derive(Archive, Serialize)]
struct KnownCheckpointsWire {
    known: Vec<KnownByWire>,
    wanted: Vec<u16>,
}

#[derive(Archive, Serialize)]
struct KnownByWire {
    partition: u16,
    checkpoints: Vec<CheckpointWire>,
}

#[derive(Archive, Serialize)]
struct ReportWire {
    partition: u16,
    register: u64,
    checkpoint: CheckpointWire,
    after: Vec<CheckpointWire>,
    /// The canonical bytes of a set of dots.
    dots: Bytes,
}

#[derive(Archive, Serialize)]
struct ClockReportsWire {
    number: u64,
    reports: Vec<ReportWire>,
}

#[derive(Archive, Serialize)]
struct ClockReportsStoredWire {
    number: u64,
}

pub(super) fn encode(hlc: u64, message: &PeerMessage) -> Bytes {
    let mut head;
    match message {
        PeerMessage::Repair(message) => return repair::encode(hlc, message),
        PeerMessage::Write(write) => {
            let pieces: Vec<Bytes> = write.pieces.iter().map(Record::encode).collect();
            head = Head::new(kind::WRITE, hlc, lengths(&pieces) + key_bytes(&write.name));
            head.archive(&WriteWire {
                operation: write.operation.map(|operation| operation.0),
                name: NameWire::of(&write.name),
                register: register_number(write.register),
                hint_for: write.hint.map(|hint| hint.intended.0),
                acknowledging: write.hint.is_some_and(|hint| hint.acknowledging),
                pieces,
                durability: durability_number(write.durability),
                remaining_ms: write.remaining_ms,
            });
        }
        PeerMessage::WriteReply(reply) => {
            head = Head::new(kind::WRITE_REPLY, hlc, 0);
            head.archive(&write_reply_wire(*reply));
        }
        PeerMessage::Read(wanted) => {
            head = Head::new(kind::READ, hlc, key_bytes(&wanted.name));
            head.archive(&ReadWire {
                operation: wanted.operation.0,
                name: NameWire::of(&wanted.name),
                register: register_number(wanted.register),
                value_bytes_max: wanted.value_bytes_max,
                known: wanted.known.map(|request| request.0),
                remaining_ms: wanted.remaining_ms,
            });
        }
        PeerMessage::ReadReply(reply) => {
            let wire = read_reply_wire(reply);
            head = Head::new(kind::READ_REPLY, hlc, wire.record.len());
            head.archive(&wire);
        }
        PeerMessage::Forward { operation, remaining_ms, mutation } => {
            head = Head::new(kind::FORWARD, hlc, mutation_bytes(mutation));
            head.archive(&ForwardWire {
                operation: operation.0,
                remaining_ms: *remaining_ms,
                mutation: MutationWire::of(mutation),
            });
        }
        PeerMessage::ForwardReply { operation, reply } => {
            // The reply is written as to a client, behind its operation and its own kind.
            head = Head::new(kind::FORWARD_REPLY, hlc, reply::payload_bytes(reply));
            head.extend(&operation.0.to_le_bytes());
            head.extend(&[reply::kind_of(reply)]);
            reply::encode(reply, &mut head);
        }
        PeerMessage::Scan(scan) => {
            head = Head::new(kind::SCAN, hlc, KEY_BYTES_MAX + scan.prefix.len());
            head.archive(&ScanWire {
                operation: scan.operation.0,
                partition: scan.partition.0,
                register: scan.register.0.get(),
                bucket: scan.bucket.as_bytes().clone(),
                prefix: scan.prefix.clone(),
                after: scan.after.as_ref().map(PlaceWire::of),
                limit: scan.limit,
                remaining_ms: scan.remaining_ms,
            });
        }
        PeerMessage::ScanReply(reply) => {
            let wire = scan_reply_wire(reply);
            let lengths = wire.keys.iter().map(|key| key.key.len() + key.record.len() + 16);
            head = Head::new(kind::SCAN_REPLY, hlc, lengths.sum());
            head.archive(&wire);
        }
        PeerMessage::Buckets { acknowledge, entries } => {
            head = Head::new(kind::BUCKETS, hlc, entries.len() * 128);
            let entry = |(bucket, entry): &(dynamo_types::Bucket, Bytes)| EntryWire {
                bucket: bucket.as_bytes().clone(),
                entry: entry.clone(),
            };
            head.archive(&BucketsWire {
                acknowledge: acknowledge.map(|operation| operation.0),
                entries: entries.iter().map(entry).collect(),
            });
        }
        PeerMessage::BucketsStored { operation } => {
            head = Head::new(kind::BUCKETS_STORED, hlc, 0);
            head.archive(&BucketsStoredWire { operation: operation.0 });
        }
        PeerMessage::AskBucket { bucket } => {
            head = Head::new(kind::ASK_BUCKET, hlc, 0);
            head.archive(&AskBucketWire { bucket: bucket.as_bytes().clone() });
        }
        PeerMessage::Gossip { bytes } => {
            head = Head::new(kind::GOSSIP, hlc, bytes.len());
            head.archive(&GossipWire { bytes: bytes.clone() });
        }
        PeerMessage::BucketsFingerprint { fingerprint } => {
            head = Head::new(kind::BUCKETS_FINGERPRINT, hlc, 0);
            head.archive(&BucketsFingerprintWire { fingerprint: *fingerprint });
        }
        PeerMessage::BucketGroups { groups } => {
            head = Head::new(kind::BUCKET_GROUPS, hlc, groups.len() * size_of::<u128>());
            head.archive(&BucketGroupsWire { groups: groups.clone() });
        }
        PeerMessage::AskBucketGroups { groups } => {
            head = Head::new(kind::ASK_BUCKET_GROUPS, hlc, 0);
            head.archive(&AskBucketGroupsWire { groups: *groups });
        }
        PeerMessage::AskCollected(asked) => {
            head = Head::new(kind::ASK_COLLECTED, hlc, key_bytes(&asked.name));
            head.archive(&AskCollectedWire {
                operation: asked.operation.0,
                name: NameWire::of(&asked.name),
                dots: dots_wire(&asked.dots),
                remaining_ms: asked.remaining_ms,
            });
        }
        PeerMessage::Collected { operation, dots } => {
            head = Head::new(kind::COLLECTED, hlc, 0);
            head.archive(&CollectedWire { operation: operation.0, dots: dots_wire(dots) });
        }
        PeerMessage::ClockReports { number, reports } => {
            let reports: Vec<ReportWire> = reports.iter().map(report_wire).collect();
            let bytes = reports.iter().map(|r| r.dots.len() + 48 + r.after.len() * 16).sum();
            head = Head::new(kind::CLOCK_REPORTS, hlc, bytes);
            head.archive(&ClockReportsWire { number: *number, reports });
        }
        PeerMessage::ClockReportsStored { number } => {
            head = Head::new(kind::CLOCK_REPORTS_STORED, hlc, 0);
            head.archive(&ClockReportsStoredWire { number: *number });
        }
        PeerMessage::KnownCheckpoints { known, wanted } => {
            let known: Vec<KnownByWire> = known
                .iter()
                .map(|(partition, checkpoints)| KnownByWire {
                    partition: partition.0,
                    checkpoints: checkpoints_wire(checkpoints),
                })
                .collect();
            let wanted: Vec<u16> = wanted.iter().map(|partition| partition.0).collect();
            let names: usize = known.iter().map(|k| 16 + k.checkpoints.len() * 16).sum();
            let bytes = names + wanted.len() * 2;
            head = Head::new(kind::KNOWN_CHECKPOINTS, hlc, bytes);
            head.archive(&KnownCheckpointsWire { known, wanted });
        }
        PeerMessage::Registers { registers } => return registers::registers(hlc, registers),
        PeerMessage::RegistersFingerprint { fingerprint } => {
            return registers::fingerprint(hlc, *fingerprint);
        }
        PeerMessage::RegisterGroups { groups } => return registers::groups(hlc, groups),
        PeerMessage::AskRegisterGroups { groups } => return registers::ask_groups(hlc, *groups),
        PeerMessage::WantedLayout { bytes } => return registers::wanted_layout(hlc, bytes),
        PeerMessage::RegisterRequest { partition, bytes } => {
            return registers::request(hlc, *partition, bytes);
        }
        PeerMessage::RegisterAnswer { partition, bytes } => {
            return registers::answer(hlc, *partition, bytes);
        }
        PeerMessage::MoveProgress { partition, register, exchanged, compared } => {
            return registers::progress(hlc, *partition, *register, [exchanged, compared]);
        }
    }
    head.finish()
}

fn register_number(register: Option<RegisterTag>) -> u64 {
    register.map_or(0, |register| register.0.get())
}

fn dots_wire(dots: &[Dot]) -> Vec<DotWire> {
    dots.iter().map(|dot| DotWire { actor: dot.actor.0, counter: dot.counter }).collect()
}

fn report_wire(report: &ClockReport) -> ReportWire {
    let mut dots = Vec::with_capacity(report.dots.encoded_len());
    report.dots.encode(&mut dots);
    ReportWire {
        partition: report.partition.0,
        register: report.register.0.get(),
        checkpoint: checkpoint_wire(report.checkpoint),
        after: checkpoints_wire(&report.after),
        dots: dots.into(),
    }
}

fn checkpoint_wire(name: CheckpointName) -> CheckpointWire {
    CheckpointWire { process: name.process.0, number: name.number }
}

fn checkpoints_wire(names: &[CheckpointName]) -> Vec<CheckpointWire> {
    names.iter().map(|name| checkpoint_wire(*name)).collect()
}

fn lengths(pieces: &[Bytes]) -> usize {
    pieces.iter().map(|piece| piece.len() + 8).sum()
}

fn key_bytes(name: &dynamo_types::ObjectName) -> usize {
    name.key.as_bytes().len()
}

fn write_reply_wire(reply: ReplicaWriteReply) -> WriteReplyWire {
    let (outcome, synced) = match reply.outcome {
        WriteOutcome::Stored { synced } => (1, synced),
        WriteOutcome::DiskFull => (2, false),
        WriteOutcome::Failed => (3, false),
        WriteOutcome::Overloaded => (4, false),
        WriteOutcome::HintsFull => (5, false),
        WriteOutcome::Stale => (6, false),
    };
    let settings_version = reply.settings_version;
    WriteReplyWire { operation: reply.operation.0, outcome, synced, settings_version }
}

fn read_reply_wire(reply: &ReplicaReadReply) -> ReadReplyWire {
    let (outcome, record, without_values, place, pieces) = match &reply.outcome {
        ReadOutcome::Piece { record, without_values, at } => {
            (1, record.encode(), *without_values, at.place(), at.of())
        }
        ReadOutcome::Missing => (2, Bytes::new(), false, 0, 0),
        ReadOutcome::Unsure => (3, Bytes::new(), false, 0, 0),
        ReadOutcome::Overloaded => (4, Bytes::new(), false, 0, 0),
        ReadOutcome::NoHint => (5, Bytes::new(), false, 0, 0),
        ReadOutcome::Stale => (6, Bytes::new(), false, 0, 0),
    };
    let known = reply.known.map(|known| KnownWire {
        request: known.request.0,
        digest: known.digest.0,
        actor: known.dot.actor.0,
        counter: known.dot.counter,
    });
    ReadReplyWire {
        operation: reply.operation.0,
        outcome,
        record,
        without_values,
        place,
        pieces,
        known,
        settings_version: reply.settings_version,
        queue: reply.queue,
    }
}

fn scan_reply_wire(reply: &ReplicaScanReply) -> ScanReplyWire {
    let scanned = |scanned: &ScannedKey| ScannedWire {
        key: scanned.key.as_bytes().clone(),
        record: scanned.record.encode(),
    };
    ScanReplyWire {
        operation: reply.operation.0,
        keys: reply.keys.iter().map(scanned).collect(),
        reached: reply.reached.as_ref().map(PlaceWire::of),
        complete: reply.complete,
    }
}

pub(super) fn decode(kind: u8, body: &[u8], frame: &Bytes) -> Result<PeerMessage, DecodeError> {
    match kind {
        kind::WRITE => {
            let (wire, fields) = read::<WriteWire>("write", body, frame)?;
            Ok(PeerMessage::Write(read_write(fields, wire)?))
        }
        kind::WRITE_REPLY => {
            let (wire, fields) = read::<WriteReplyWire>("write reply", body, frame)?;
            Ok(PeerMessage::WriteReply(read_write_reply(fields, wire)?))
        }
        kind::READ => {
            let (wire, fields) = read::<ReadWire>("read", body, frame)?;
            Ok(PeerMessage::Read(ReplicaRead {
                operation: OperationId(wire.operation.to_native()),
                name: fields.name(&wire.name)?,
                register: read_register(wire.register.to_native()),
                value_bytes_max: wire.value_bytes_max.to_native(),
                known: wire.known.as_ref().map(|request| RequestId(request.to_native())),
                remaining_ms: wire.remaining_ms.to_native(),
            }))
        }
        kind::READ_REPLY => {
            let (wire, fields) = read::<ReadReplyWire>("read reply", body, frame)?;
            Ok(PeerMessage::ReadReply(read_read_reply(fields, wire)?))
        }
        kind::FORWARD => {
            let (wire, fields) = read::<ForwardWire>("forward", body, frame)?;
            Ok(PeerMessage::Forward {
                operation: OperationId(wire.operation.to_native()),
                remaining_ms: wire.remaining_ms.to_native(),
                mutation: wire.mutation.read(fields)?,
            })
        }
        kind::FORWARD_REPLY => {
            let truncated = DecodeError::Truncated { length: frame.len() };
            let Some((operation, body)) = body.split_first_chunk() else { return Err(truncated) };
            let Some((&kind, body)) = body.split_first() else { return Err(truncated) };
            let operation = OperationId(u64::from_le_bytes(*operation));
            Ok(PeerMessage::ForwardReply { operation, reply: reply::decode(kind, body, frame)? })
        }
        kind::SCAN => {
            let (wire, fields) = read::<ScanWire>("scan", body, frame)?;
            Ok(PeerMessage::Scan(read_scan(fields, wire)?))
        }
        kind::SCAN_REPLY => {
            let (wire, fields) = read::<ScanReplyWire>("scan reply", body, frame)?;
            Ok(PeerMessage::ScanReply(read_scan_reply(fields, wire)?))
        }
        kind::BUCKETS => {
            let (wire, fields) = read::<BucketsWire>("buckets", body, frame)?;
            let entries = fields.list("entries", &wire.entries, BUCKETS_MAX, |entry| {
                let bucket = fields.bucket("bucket", &entry.bucket)?;
                let bytes = fields.bounded_bytes("entry", &entry.entry, BUCKET_ENTRY_BYTES_MAX)?;
                Ok((bucket, bytes))
            })?;
            let acknowledge = wire.acknowledge.as_ref().map(|number| number.to_native());
            Ok(PeerMessage::Buckets { acknowledge: acknowledge.map(OperationId), entries })
        }
        kind::BUCKETS_STORED => {
            let (wire, _) = read::<BucketsStoredWire>("buckets stored", body, frame)?;
            Ok(PeerMessage::BucketsStored { operation: OperationId(wire.operation.to_native()) })
        }
        kind::ASK_BUCKET => {
            let (wire, fields) = read::<AskBucketWire>("ask bucket", body, frame)?;
            Ok(PeerMessage::AskBucket { bucket: fields.bucket("bucket", &wire.bucket)? })
        }
        kind::GOSSIP => {
            let (wire, fields) = read::<GossipWire>("gossip", body, frame)?;
            let bytes = fields.bounded_bytes("bytes", &wire.bytes, GOSSIP_BYTES_MAX)?;
            Ok(PeerMessage::Gossip { bytes })
        }
        kind::BUCKETS_FINGERPRINT => {
            let (wire, _) = read::<BucketsFingerprintWire>("buckets fingerprint", body, frame)?;
            let fingerprint = wire.fingerprint.to_native();
            Ok(PeerMessage::BucketsFingerprint { fingerprint })
        }
        kind::BUCKET_GROUPS => {
            let (wire, fields) = read::<BucketGroupsWire>("bucket groups", body, frame)?;
            let groups = fields
                .list("groups", &wire.groups, BUCKET_GROUPS_MAX, |group| Ok(group.to_native()))?;
            Ok(PeerMessage::BucketGroups { groups })
        }
        kind::ASK_BUCKET_GROUPS => {
            let (wire, _) = read::<AskBucketGroupsWire>("ask bucket groups", body, frame)?;
            Ok(PeerMessage::AskBucketGroups { groups: wire.groups.to_native() })
        }
        kind::ASK_COLLECTED => {
            let (wire, fields) = read::<AskCollectedWire>("ask collected", body, frame)?;
            Ok(PeerMessage::AskCollected(AskCollected {
                operation: OperationId(wire.operation.to_native()),
                name: fields.name(&wire.name)?,
                dots: read_dots(fields, &wire.dots)?,
                remaining_ms: wire.remaining_ms.to_native(),
            }))
        }
        kind::COLLECTED => {
            let (wire, fields) = read::<CollectedWire>("collected", body, frame)?;
            let operation = OperationId(wire.operation.to_native());
            Ok(PeerMessage::Collected { operation, dots: read_dots(fields, &wire.dots)? })
        }
        kind::CLOCK_REPORTS => {
            let (wire, fields) = read::<ClockReportsWire>("clock reports", body, frame)?;
            let reports = fields.list("reports", &wire.reports, CLOCK_REPORTS_MAX, |report| {
                read_report(fields, report)
            })?;
            Ok(PeerMessage::ClockReports { number: wire.number.to_native(), reports })
        }
        kind::CLOCK_REPORTS_STORED => {
            let (wire, _) = read::<ClockReportsStoredWire>("clock reports stored", body, frame)?;
            Ok(PeerMessage::ClockReportsStored { number: wire.number.to_native() })
        }
        kind::KNOWN_CHECKPOINTS => {
            let (wire, fields) = read::<KnownCheckpointsWire>("known checkpoints", body, frame)?;
            let known = fields.list("known", &wire.known, CLOCK_REPORTS_MAX, |known| {
                let partition = PartitionId(known.partition.to_native());
                Ok((partition, read_checkpoints(fields, &known.checkpoints)?))
            })?;
            let wanted = fields.list("wanted", &wire.wanted, CLOCK_REPORTS_MAX, |partition| {
                Ok(PartitionId(partition.to_native()))
            })?;
            Ok(PeerMessage::KnownCheckpoints { known, wanted })
        }
        kind if registers::is_about_registers(kind) => registers::decode(kind, body, frame),
        kind if repair::is_repair(kind) => {
            Ok(PeerMessage::Repair(repair::decode(kind, body, frame)?))
        }
        _ => Err(DecodeError::UnknownKind { kind }),
    }
}

fn read_register(number: u64) -> Option<RegisterTag> {
    NonZeroU64::new(number).map(RegisterTag)
}

fn read_dots(fields: Fields<'_>, dots: &[ArchivedDotWire]) -> Result<Vec<Dot>, DecodeError> {
    fields.list("dots", dots, SIBLINGS_MAX, |dot| {
        Ok(Dot::new(ActorId(dot.actor.to_native()), dot.counter.to_native()))
    })
}

fn read_report(
    fields: Fields<'_>,
    report: &ArchivedReportWire,
) -> Result<ClockReport, DecodeError> {
    let (dots, read) =
        DotSet::decode(&report.dots).map_err(|why| fields.refuse("dots", FieldError::Dots(why)))?;
    fields.count("dots", report.dots.len() - read, 0)?;
    // Any sixteen bits are a partition of some Q; who knows Q checks it.
    let partition = PartitionId(report.partition.to_native());
    let register = fields.register("register", report.register.to_native())?;
    let checkpoint = read_checkpoint(&report.checkpoint);
    let after = read_checkpoints(fields, &report.after)?;
    Ok(ClockReport { partition, register, checkpoint, after, dots })
}

fn read_checkpoint(name: &ArchivedCheckpointWire) -> CheckpointName {
    CheckpointName { process: ActorId(name.process.to_native()), number: name.number.to_native() }
}

fn read_checkpoints(
    fields: Fields<'_>,
    names: &[ArchivedCheckpointWire],
) -> Result<Vec<CheckpointName>, DecodeError> {
    fields.list("checkpoints", names, KnownBy::CHECKPOINTS_MAX, |name| Ok(read_checkpoint(name)))
}

fn read_write(fields: Fields<'_>, wire: &ArchivedWriteWire) -> Result<ReplicaWrite, DecodeError> {
    let operation = wire.operation.as_ref().map(|number| OperationId(number.to_native()));
    Ok(ReplicaWrite {
        operation,
        name: fields.name(&wire.name)?,
        register: read_register(wire.register.to_native()),
        hint: wire.hint_for.as_ref().map(|node| HintFor {
            intended: NodeId(node.to_native()),
            acknowledging: wire.acknowledging,
        }),
        pieces: fields
            .list("pieces", &wire.pieces, SIBLINGS_MAX, |piece| fields.record("pieces", piece))?,
        durability: fields.number("durability", wire.durability, durability)?,
        remaining_ms: wire.remaining_ms.to_native(),
    })
}

fn read_write_reply(
    fields: Fields<'_>,
    wire: &ArchivedWriteReplyWire,
) -> Result<ReplicaWriteReply, DecodeError> {
    let outcome = match wire.outcome {
        1 => WriteOutcome::Stored { synced: wire.synced },
        2 => WriteOutcome::DiskFull,
        3 => WriteOutcome::Failed,
        4 => WriteOutcome::Overloaded,
        5 => WriteOutcome::HintsFull,
        6 => WriteOutcome::Stale,
        other => return Err(fields.refuse("outcome", FieldError::Number(other.into()))),
    };
    Ok(ReplicaWriteReply {
        operation: OperationId(wire.operation.to_native()),
        outcome,
        settings_version: wire.settings_version.to_native(),
    })
}

fn read_read_reply(
    fields: Fields<'_>,
    wire: &ArchivedReadReplyWire,
) -> Result<ReplicaReadReply, DecodeError> {
    let outcome = match wire.outcome {
        1 => ReadOutcome::Piece {
            record: fields.record("record", &wire.record)?,
            without_values: wire.without_values,
            at: PiecePlace::new(wire.place.to_native(), wire.pieces.to_native()).ok_or_else(
                || fields.refuse("place", FieldError::Number(wire.place.to_native().into())),
            )?,
        },
        2 => ReadOutcome::Missing,
        3 => ReadOutcome::Unsure,
        4 => ReadOutcome::Overloaded,
        5 => ReadOutcome::NoHint,
        6 => ReadOutcome::Stale,
        other => return Err(fields.refuse("outcome", FieldError::Number(other.into()))),
    };
    let known = wire.known.as_ref().map(|known| KnownRequest {
        request: RequestId(known.request.to_native()),
        digest: BodyDigest(known.digest.to_native()),
        dot: Dot { actor: ActorId(known.actor.to_native()), counter: known.counter.to_native() },
    });
    Ok(ReplicaReadReply {
        operation: OperationId(wire.operation.to_native()),
        outcome,
        known,
        settings_version: wire.settings_version.to_native(),
        queue: wire.queue.to_native(),
    })
}

fn read_scan(fields: Fields<'_>, wire: &ArchivedScanWire) -> Result<ReplicaScan, DecodeError> {
    let after = wire.after.as_ref().map(|place| fields.place("after", place)).transpose()?;
    Ok(ReplicaScan {
        operation: OperationId(wire.operation.to_native()),
        // Any sixteen bits are a partition of some Q; who knows Q checks it.
        partition: PartitionId(wire.partition.to_native()),
        register: fields.register("register", wire.register.to_native())?,
        bucket: fields.bucket("bucket", &wire.bucket)?,
        prefix: fields.bounded_bytes("prefix", &wire.prefix, KEY_BYTES_MAX)?,
        after,
        limit: wire.limit.to_native(),
        remaining_ms: wire.remaining_ms.to_native(),
    })
}

fn read_scan_reply(
    fields: Fields<'_>,
    wire: &ArchivedScanReplyWire,
) -> Result<ReplicaScanReply, DecodeError> {
    let keys = fields.list("keys", &wire.keys, SCANNED_KEYS_MAX, |scanned| {
        let key = fields.key("key", &scanned.key)?;
        Ok(ScannedKey { key, record: fields.record("record", &scanned.record)? })
    })?;
    let reached = wire.reached.as_ref().map(|place| fields.place("reached", place)).transpose()?;
    Ok(ReplicaScanReply {
        operation: OperationId(wire.operation.to_native()),
        keys,
        reached,
        complete: wire.complete,
    })
}
