//! The canonical bytes of a register, and of the row that an acceptor keeps.
//!
//! ```text
//! register: version 1 byte; epoch: number 8, force: flag 1 [lamport 8, plan 16]
//!           current set; move: flag 1 [stage 1, ballot, adopts: flag 1 [ballot], next set]; tag 16
//! set:      count 1, nodes 8 each, in their order
//! ballot:   lamport 8, plan 16
//! row:      version 1, register without version and tag; promised: flag 1 [ballot];
//!           whether it may vote 1; memory 1 and its body; tag 16
//! request:  version 1; 1 promise, 2 accept, 3 learn; register without version and tag; tag 16
//! answer:   version 1; vote: 0 none, 1 promised, 2 accepted, 3 barred [ballot]; promised: flag 1
//!           [ballot]; register without version and tag; tag 16
//! memory:   0 whole; 1 asking: a set, which may be empty; 2 abstains: number of the epoch 8
//! ```
//! Numbers are big-endian. The tag is BLAKE3 over all before it: registers travel to every node, and a
//! bit that flips in anyone's memory shall not. A ballot's plan must also be the digest of what
//! stands beside it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_ring::ReplicaSet;
use thiserror::Error;

use crate::acceptor::{AcceptorState, Answer, Memory, Request, Vote};
use crate::ballot::{Ballot, Epoch, Force, PlanHash};
use crate::reader::Reader;
use crate::register::{Move, Register, Stage};

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
const OF_REGISTER: &[u8] = b"dynamo register 1";
const OF_ROW: &[u8] = b"dynamo acceptor 1";
const OF_REQUEST: &[u8] = b"dynamo register request 1";
const OF_ANSWER: &[u8] = b"dynamo register answer 1";

/// Why bytes are no register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeRegisterError {
    /// A format of another program version.
    #[error("register has format version {0}")]
    Version(u8),
    /// The tag does not fit: something was changed on the way.
    #[error("register does not fit its tag")]
    Tag,
    /// The bytes end inside a field.
    #[error("register ends inside a field")]
    Truncated,
    /// A flag that is neither 0 nor 1.
    #[error("register has the flag {0}")]
    Flag(u8),
    /// No move has this stage, or no memory this kind.
    #[error("register has the unknown stage {0}")]
    Stage(u8),
    /// Epochs are numbered from 1.
    #[error("register has epoch 0")]
    Epoch,
    /// A number far beyond all that are made.
    #[error("register has the lamport {0}, which cannot be")]
    Lamport(u64),
    /// Nodes that form no replica set, or sets of two sizes.
    #[error("register has a set that cannot be")]
    Set,
    /// The ballot does not name what is proposed.
    #[error("register has a ballot that names another plan")]
    Plan,
    /// Bytes follow the register.
    #[error("{0} bytes follow the register")]
    Trailing(usize),
}

impl Register {
    /// The canonical bytes: equal registers have equal ones.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::from([VERSION]);
        put_register(&mut out, self);
        sealed(out, OF_REGISTER)
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// Refuses every sequence of bytes that [`encode`](Self::encode) does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeRegisterError> {
        let mut reader = opened(bytes, OF_REGISTER)?;
        let register = read_register(&mut reader)?;
        ended(&reader)?;
        Ok(register)
    }
}

/// The bytes of a register without version and tag: what digests of it are made of.
pub(crate) fn bytes_of(register: &Register) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    put_register(&mut out, register);
    out
}

impl AcceptorState {
    /// The bytes of the row.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::from([VERSION]);
        put_register(&mut out, &self.register);
        put_optional_ballot(&mut out, self.promised);
        out.push(u8::from(self.may_vote));
        match &self.memory {
            Memory::Whole => out.push(0),
            Memory::Asking { told } => {
                out.push(1);
                out.push(u8::try_from(told.len()).expect("members of one or two sets"));
                for node in told {
                    out.extend_from_slice(&node.0.to_be_bytes());
                }
            }
            Memory::Abstains { through } => {
                out.push(2);
                out.extend_from_slice(&through.to_be_bytes());
            }
        }
        sealed(out, OF_ROW)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// Refuses every sequence of bytes that [`encode`](Self::encode) does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeRegisterError> {
        let mut reader = opened(bytes, OF_ROW)?;
        let register = read_register(&mut reader)?;
        let promised = reader.optional_ballot()?;
        let may_vote = reader.flag()?;
        let memory = match reader.byte()? {
            0 => Memory::Whole,
            1 => {
                let nodes = reader.nodes()?;
                let told: BTreeSet<_> = nodes.iter().copied().collect();
                if !nodes.is_sorted() || told.len() != nodes.len() {
                    return Err(DecodeRegisterError::Set);
                }
                Memory::Asking { told }
            }
            2 => Memory::Abstains { through: reader.u64()? },
            other => return Err(DecodeRegisterError::Stage(other)),
        };
        ended(&reader)?;
        Ok(Self { register, promised, may_vote, memory })
    }
}

impl Request {
    /// The bytes of the question.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (kind, register) = match self {
            Self::Promise(register) => (1, register),
            Self::Accept(register) => (2, register),
            Self::Learn(register) => (3, register),
        };
        let mut out = Vec::from([VERSION, kind]);
        put_register(&mut out, register);
        sealed(out, OF_REQUEST)
    }

    /// Reads a question.
    ///
    /// # Errors
    /// Refuses every sequence of bytes that [`encode`](Self::encode) does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeRegisterError> {
        let mut reader = opened(bytes, OF_REQUEST)?;
        let kind = reader.byte()?;
        let register = read_register(&mut reader)?;
        ended(&reader)?;
        match kind {
            1 => Ok(Self::Promise(register)),
            2 => Ok(Self::Accept(register)),
            3 => Ok(Self::Learn(register)),
            other => Err(DecodeRegisterError::Stage(other)),
        }
    }
}

impl Answer {
    /// The bytes of the answer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::from([VERSION]);
        let (kind, ballot) = match self.vote {
            None => (0, None),
            Some(Vote::Promised(ballot)) => (1, Some(ballot)),
            Some(Vote::Accepted(ballot)) => (2, Some(ballot)),
            Some(Vote::Barred(ballot)) => (3, Some(ballot)),
        };
        out.push(kind);
        if let Some(ballot) = ballot {
            put_ballot(&mut out, ballot);
        }
        put_optional_ballot(&mut out, self.promised);
        put_register(&mut out, &self.register);
        sealed(out, OF_ANSWER)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// Refuses every sequence of bytes that [`encode`](Self::encode) does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeRegisterError> {
        let mut reader = opened(bytes, OF_ANSWER)?;
        let vote = match reader.byte()? {
            0 => None,
            1 => Some(Vote::Promised(reader.ballot()?)),
            2 => Some(Vote::Accepted(reader.ballot()?)),
            3 => Some(Vote::Barred(reader.ballot()?)),
            other => return Err(DecodeRegisterError::Stage(other)),
        };
        let promised = reader.optional_ballot()?;
        let register = read_register(&mut reader)?;
        ended(&reader)?;
        Ok(Self { vote, register, promised })
    }
}

fn put_register(out: &mut Vec<u8>, register: &Register) {
    out.extend_from_slice(&register.epoch.number.to_be_bytes());
    out.push(u8::from(register.epoch.force.is_some()));
    if let Some(force) = register.epoch.force {
        put_ballot(out, Ballot { lamport: force.lamport, plan: force.plan });
    }
    put_set(out, &register.current);
    out.push(u8::from(register.movement.is_some()));
    if let Some(movement) = register.movement {
        out.push(match movement.stage {
            Stage::Fenced => 1,
            Stage::Synced => 2,
            Stage::Decided => 3,
            Stage::Committed => 4,
        });
        put_ballot(out, movement.ballot);
        put_optional_ballot(out, movement.adopts);
        put_set(out, &movement.next);
    }
}

fn read_register(reader: &mut Reader<'_>) -> Result<Register, DecodeRegisterError> {
    let number = reader.u64()?;
    if number == 0 {
        return Err(DecodeRegisterError::Epoch);
    }
    let force = reader.optional_ballot()?;
    let force = force.map(|named| Force { lamport: named.lamport, plan: named.plan });
    let epoch = Epoch { number, force };
    let current = reader.set()?;
    let movement = if reader.flag()? { Some(read_move(reader, epoch, &current)?) } else { None };
    Ok(Register { epoch, current, movement })
}

fn read_move(
    reader: &mut Reader<'_>,
    epoch: Epoch,
    current: &ReplicaSet,
) -> Result<Move, DecodeRegisterError> {
    let stage = match reader.byte()? {
        1 => Stage::Fenced,
        2 => Stage::Synced,
        3 => Stage::Decided,
        4 => Stage::Committed,
        other => return Err(DecodeRegisterError::Stage(other)),
    };
    let ballot = reader.ballot()?;
    let adopts = reader.optional_ballot()?;
    let next = reader.set()?;
    if next.len() != current.len() {
        return Err(DecodeRegisterError::Set);
    }
    if ballot.plan != PlanHash::of_move(epoch, current, &next, adopts) {
        return Err(DecodeRegisterError::Plan);
    }
    Ok(Move { ballot, next, adopts, stage })
}

fn put_ballot(out: &mut Vec<u8>, ballot: Ballot) {
    out.extend_from_slice(&ballot.lamport.to_be_bytes());
    out.extend_from_slice(&ballot.plan.0.to_be_bytes());
}

fn put_optional_ballot(out: &mut Vec<u8>, ballot: Option<Ballot>) {
    out.push(u8::from(ballot.is_some()));
    if let Some(ballot) = ballot {
        put_ballot(out, ballot);
    }
}

fn put_set(out: &mut Vec<u8>, set: &ReplicaSet) {
    out.push(u8::try_from(set.len()).expect("at most 7"));
    for node in set {
        out.extend_from_slice(&node.0.to_be_bytes());
    }
}

fn sealed(mut out: Vec<u8>, purpose: &[u8]) -> Bytes {
    let tag = tag(purpose, &out);
    out.extend_from_slice(&tag);
    out.into()
}

fn opened<'a>(bytes: &'a [u8], purpose: &[u8]) -> Result<Reader<'a>, DecodeRegisterError> {
    // The version stands outside of what the tag of another version may cover.
    match bytes.first() {
        Some(&VERSION) => {}
        Some(other) => return Err(DecodeRegisterError::Version(*other)),
        None => return Err(DecodeRegisterError::Truncated),
    }
    let (body, found) =
        bytes.split_last_chunk::<TAG_BYTES>().ok_or(DecodeRegisterError::Truncated)?;
    if *found != tag(purpose, body) {
        return Err(DecodeRegisterError::Tag);
    }
    Ok(Reader::new(body.get(1..).unwrap_or_default()))
}

fn ended(reader: &Reader<'_>) -> Result<(), DecodeRegisterError> {
    match reader.remaining() {
        0 => Ok(()),
        more => Err(DecodeRegisterError::Trailing(more)),
    }
}

fn tag(purpose: &[u8], body: &[u8]) -> [u8; TAG_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(purpose);
    hasher.update(body);
    *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
}
