//! Registers of partitions and what is said about moves, as bytes.
//!
//! Registers, what is asked of them, and layouts travel as their owners write them: they are checked
//! by tags of their own, and are the same bytes on disk.

use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::{NodeId, PartitionId, RegisterTag, Replication};
use rkyv::{Archive, Serialize};

use crate::encoding::archive::{Head, read};
use crate::encoding::error::DecodeError;
use crate::encoding::numbers::kind;
use crate::peer::{PeerMessage, REGISTERS_PER_MESSAGE};

/// A register takes some 250 bytes, and a request or an answer carries one.
const REGISTER_BYTES_MAX: usize = 4096;
/// The largest table is 65,536 sets of seven nodes, which take under 4 MiB.
const LAYOUT_BYTES_MAX: usize = 8 << 20;
/// As many as there are bits to ask for them.
const GROUPS_MAX: usize = u64::BITS as usize;
/// Members of a set.
const SET_MAX: usize = Replication::MAX as usize;

#[derive(Archive, Serialize)]
struct RegisterWire {
    partition: u16,
    bytes: Bytes,
}

#[derive(Archive, Serialize)]
struct RegistersWire {
    registers: Vec<RegisterWire>,
}

#[derive(Archive, Serialize)]
struct FingerprintWire {
    fingerprint: u128,
}

#[derive(Archive, Serialize)]
struct GroupsWire {
    groups: Vec<u128>,
}

#[derive(Archive, Serialize)]
struct AskGroupsWire {
    groups: u64,
}

#[derive(Archive, Serialize)]
struct LayoutWire {
    bytes: Bytes,
}

#[derive(Archive, Serialize)]
struct ProgressWire {
    partition: u16,
    register: u64,
    exchanged: Vec<u64>,
    compared: Vec<u64>,
}

/// Whether a kind is one of these messages.
pub(super) fn is_about_registers(kind: u8) -> bool {
    (kind::REGISTERS..=kind::MOVE_PROGRESS).contains(&kind)
}

pub(super) fn registers(hlc: u64, registers: &[(PartitionId, Bytes)]) -> Bytes {
    let payload = registers.iter().map(|(_, bytes)| bytes.len() + 16).sum();
    let wire = |(partition, bytes): &(PartitionId, Bytes)| register_wire(*partition, bytes);
    let registers = registers.iter().map(wire).collect();
    frame(kind::REGISTERS, hlc, payload, |head| head.archive(&RegistersWire { registers }))
}

pub(super) fn fingerprint(hlc: u64, fingerprint: u128) -> Bytes {
    let wire = FingerprintWire { fingerprint };
    frame(kind::REGISTERS_FINGERPRINT, hlc, 0, |head| head.archive(&wire))
}

pub(super) fn groups(hlc: u64, groups: &[u128]) -> Bytes {
    let wire = GroupsWire { groups: groups.to_vec() };
    frame(kind::REGISTER_GROUPS, hlc, size_of_val(groups), |head| head.archive(&wire))
}

pub(super) fn ask_groups(hlc: u64, groups: u64) -> Bytes {
    frame(kind::ASK_REGISTER_GROUPS, hlc, 0, |head| head.archive(&AskGroupsWire { groups }))
}

pub(super) fn wanted_layout(hlc: u64, bytes: &Bytes) -> Bytes {
    let wire = LayoutWire { bytes: bytes.clone() };
    frame(kind::WANTED_LAYOUT, hlc, bytes.len(), |head| head.archive(&wire))
}

pub(super) fn request(hlc: u64, partition: PartitionId, bytes: &Bytes) -> Bytes {
    let wire = register_wire(partition, bytes);
    frame(kind::REGISTER_REQUEST, hlc, bytes.len(), |head| head.archive(&wire))
}

pub(super) fn answer(hlc: u64, partition: PartitionId, bytes: &Bytes) -> Bytes {
    let wire = register_wire(partition, bytes);
    frame(kind::REGISTER_ANSWER, hlc, bytes.len(), |head| head.archive(&wire))
}

pub(super) fn progress(
    hlc: u64,
    partition: PartitionId,
    register: RegisterTag,
    [exchanged, compared]: [&[NodeId]; 2],
) -> Bytes {
    let nodes = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    let wire = ProgressWire {
        partition: partition.0,
        register: register.0.get(),
        exchanged: nodes(exchanged),
        compared: nodes(compared),
    };
    frame(kind::MOVE_PROGRESS, hlc, 0, |head| head.archive(&wire))
}

fn frame(kind: u8, hlc: u64, payload_bytes: usize, archive: impl FnOnce(&mut Head)) -> Bytes {
    let mut head = Head::new(kind, hlc, payload_bytes);
    archive(&mut head);
    head.finish()
}

fn register_wire(partition: PartitionId, bytes: &Bytes) -> RegisterWire {
    RegisterWire { partition: partition.0, bytes: bytes.clone() }
}

pub(super) fn decode(kind: u8, body: &[u8], frame: &Bytes) -> Result<PeerMessage, DecodeError> {
    match kind {
        kind::REGISTERS => {
            let (wire, fields) = read::<RegistersWire>("registers", body, frame)?;
            let registers =
                fields.list("registers", &wire.registers, REGISTERS_PER_MESSAGE, |register| {
                    // Any sixteen bits are a partition of some Q; who knows Q checks it.
                    let partition = PartitionId(register.partition.to_native());
                    let bytes =
                        fields.bounded_bytes("register", &register.bytes, REGISTER_BYTES_MAX)?;
                    Ok((partition, bytes))
                })?;
            Ok(PeerMessage::Registers { registers })
        }
        kind::REGISTERS_FINGERPRINT => {
            let (wire, _) = read::<FingerprintWire>("registers fingerprint", body, frame)?;
            let fingerprint = wire.fingerprint.to_native();
            Ok(PeerMessage::RegistersFingerprint { fingerprint })
        }
        kind::REGISTER_GROUPS => {
            let (wire, fields) = read::<GroupsWire>("register groups", body, frame)?;
            let groups =
                fields.list("groups", &wire.groups, GROUPS_MAX, |group| Ok(group.to_native()))?;
            Ok(PeerMessage::RegisterGroups { groups })
        }
        kind::ASK_REGISTER_GROUPS => {
            let (wire, _) = read::<AskGroupsWire>("ask register groups", body, frame)?;
            Ok(PeerMessage::AskRegisterGroups { groups: wire.groups.to_native() })
        }
        kind::WANTED_LAYOUT => {
            let (wire, fields) = read::<LayoutWire>("wanted layout", body, frame)?;
            let bytes = fields.bounded_bytes("bytes", &wire.bytes, LAYOUT_BYTES_MAX)?;
            Ok(PeerMessage::WantedLayout { bytes })
        }
        kind::REGISTER_REQUEST => {
            let (wire, fields) = read::<RegisterWire>("register request", body, frame)?;
            Ok(PeerMessage::RegisterRequest {
                partition: PartitionId(wire.partition.to_native()),
                bytes: fields.bounded_bytes("bytes", &wire.bytes, REGISTER_BYTES_MAX)?,
            })
        }
        kind::REGISTER_ANSWER => {
            let (wire, fields) = read::<RegisterWire>("register answer", body, frame)?;
            Ok(PeerMessage::RegisterAnswer {
                partition: PartitionId(wire.partition.to_native()),
                bytes: fields.bounded_bytes("bytes", &wire.bytes, REGISTER_BYTES_MAX)?,
            })
        }
        kind::MOVE_PROGRESS => {
            let (wire, fields) = read::<ProgressWire>("move progress", body, frame)?;
            Ok(PeerMessage::MoveProgress {
                partition: PartitionId(wire.partition.to_native()),
                register: fields.register("register", wire.register.to_native())?,
                exchanged: fields.nodes("exchanged", &wire.exchanged, SET_MAX)?,
                compared: fields.nodes("compared", &wire.compared, SET_MAX)?,
            })
        }
        _ => Err(DecodeError::UnknownKind { kind }),
    }
}
