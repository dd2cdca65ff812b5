//! The messages of anti-entropy as bytes.
//!
//! Their archive has the session and one byte string, which is written by hand: most of these
//! messages are a few dozen bytes, and there are thousands of them in a session.

mod sessions;
mod states;

use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::PartitionId;
use rkyv::{Archive, Serialize};

use super::archive::{Head, read};
use super::compact::{Meter, Reader, Sink};
use super::error::DecodeError;
use super::numbers::kind;
use crate::repair::{
    Answer, ClockDigest, Cost, PartitionRoot, Question, RepairMessage, RootsAnswer, RootsQuestion,
    SessionId, StateMessage,
};

/// As many partitions as the largest ring has.
const PARTITIONS_MAX: usize = 1 << 16;

/// What a frame adds to the cost of a message: kind and clock, the session, and where the body is.
pub(super) const OVERHEAD_BYTES: usize = 25;

#[derive(Archive, Serialize)]
struct RepairWire {
    /// Of roots: 0.
    session: u64,
    body: Bytes,
}

/// Whether a kind is one of these messages.
pub(super) fn is_repair(kind: u8) -> bool {
    (kind::REPAIR_ROOTS..=kind::REPAIR_STATE_BY_RESPONDER).contains(&kind)
}

pub(super) fn encode(hlc: u64, message: &RepairMessage) -> Bytes {
    let (kind, session) = match message {
        RepairMessage::Roots(_) => (kind::REPAIR_ROOTS, SessionId(0)),
        RepairMessage::RootsAnswer(_) => (kind::REPAIR_ROOTS_ANSWER, SessionId(0)),
        RepairMessage::Question { session, .. } => (kind::REPAIR_QUESTION, *session),
        RepairMessage::Answer { session, .. } => (kind::REPAIR_ANSWER, *session),
        RepairMessage::State { session, by_initiator: true, .. } => {
            (kind::REPAIR_STATE_BY_INITIATOR, *session)
        }
        RepairMessage::State { session, by_initiator: false, .. } => {
            (kind::REPAIR_STATE_BY_RESPONDER, *session)
        }
    };
    let mut body = Vec::with_capacity(usize::try_from(message.cost().total()).unwrap_or_default());
    write(message, &mut body);
    let mut head = Head::new(kind, hlc, body.len());
    head.archive(&RepairWire { session: session.0, body: body.into() });
    head.finish()
}

pub(super) fn decode(kind: u8, body: &[u8], frame: &Bytes) -> Result<RepairMessage, DecodeError> {
    let name = match kind {
        kind::REPAIR_ROOTS => "repair roots",
        kind::REPAIR_ROOTS_ANSWER => "repair roots answer",
        kind::REPAIR_QUESTION => "repair question",
        kind::REPAIR_ANSWER => "repair answer",
        kind::REPAIR_STATE_BY_INITIATOR | kind::REPAIR_STATE_BY_RESPONDER => "repair state",
        _ => return Err(DecodeError::UnknownKind { kind }),
    };
    let (wire, fields) = read::<RepairWire>(name, body, frame)?;
    let session = SessionId(wire.session.to_native());
    let mut reader = Reader::new(fields, &wire.body);
    let message = match kind {
        kind::REPAIR_ROOTS => RepairMessage::Roots(read_roots(&mut reader)?),
        kind::REPAIR_ROOTS_ANSWER => RepairMessage::RootsAnswer(read_roots_answer(&mut reader)?),
        kind::REPAIR_QUESTION => {
            RepairMessage::Question { session, question: sessions::read_question(&mut reader)? }
        }
        kind::REPAIR_ANSWER => {
            RepairMessage::Answer { session, answer: sessions::read_answer(&mut reader)? }
        }
        _ => RepairMessage::State {
            session,
            by_initiator: kind == kind::REPAIR_STATE_BY_INITIATOR,
            state: states::read(&mut reader)?,
        },
    };
    reader.end()?;
    Ok(message)
}

fn write(message: &RepairMessage, sink: &mut impl Sink) {
    match message {
        RepairMessage::Roots(question) => {
            sink.number(question.number.into());
            sink.count(question.roots.len());
            for root in &question.roots {
                sink.raw(&root.partition.0.to_le_bytes());
                sink.sum(root.root);
                sink.raw(&root.clock.0.to_le_bytes());
            }
        }
        RepairMessage::RootsAnswer(answer) => {
            sink.number(answer.number.into());
            for partitions in [&answer.differing, &answer.not_compared] {
                sink.count(partitions.len());
                for partition in partitions {
                    sink.raw(&partition.0.to_le_bytes());
                }
            }
        }
        RepairMessage::Question { question, .. } => sessions::write_question(question, sink),
        RepairMessage::Answer { answer, .. } => sessions::write_answer(answer, sink),
        RepairMessage::State { state, .. } => states::write(state, sink),
    }
}

fn read_partition(reader: &mut Reader<'_>) -> Result<PartitionId, DecodeError> {
    // Any sixteen bits are a partition of some Q; who knows Q checks it.
    Ok(PartitionId(u16::from_le_bytes(reader.array()?)))
}

fn read_roots(reader: &mut Reader<'_>) -> Result<RootsQuestion, DecodeError> {
    let number = reader.small()?;
    let roots = reader.list(PARTITIONS_MAX, |reader| {
        Ok(PartitionRoot {
            partition: read_partition(reader)?,
            root: reader.sum()?,
            clock: ClockDigest(u64::from_le_bytes(reader.array()?)),
        })
    })?;
    Ok(RootsQuestion { number, roots })
}

fn read_roots_answer(reader: &mut Reader<'_>) -> Result<RootsAnswer, DecodeError> {
    Ok(RootsAnswer {
        number: reader.small()?,
        differing: reader.list(PARTITIONS_MAX, read_partition)?,
        not_compared: reader.list(PARTITIONS_MAX, read_partition)?,
    })
}

impl RepairMessage {
    /// What the frame of each of these messages takes beyond its [cost](Self::cost).
    pub const OVERHEAD_BYTES: usize = OVERHEAD_BYTES;

    /// What it takes on the wire.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let mut meter = Meter::default();
        write(self, &mut meter);
        meter.0
    }
}

impl Question {
    /// What it takes on the wire.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let mut meter = Meter::default();
        sessions::write_question(self, &mut meter);
        meter.0
    }
}

impl Answer {
    /// What it takes on the wire.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let mut meter = Meter::default();
        sessions::write_answer(self, &mut meter);
        meter.0
    }
}

impl StateMessage {
    /// What it takes on the wire.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let mut meter = Meter::default();
        states::write(self, &mut meter);
        meter.0
    }
}
