//! Samples of and strategies for what is said about registers and moves, and what is refused of it.

use std::num::NonZeroU64;

use bytes::Bytes;
use dynamo_messages::repair::{Opening, Question, SessionId};
use dynamo_messages::*;
use dynamo_types::{NodeId, PartitionId, RegisterTag};
use dynamo_versioning::Hlc;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::any_message::bytes;
use crate::samples;

pub(crate) fn samples() -> Vec<(&'static str, PeerMessage)> {
    let partition = PartitionId(513);
    let bytes = || Bytes::from_static(&[1, 0, 9, 9]);
    vec![
        (
            "registers",
            PeerMessage::Registers {
                registers: vec![(partition, bytes()), (PartitionId(7), Bytes::new())],
            },
        ),
        ("registers_fingerprint", PeerMessage::RegistersFingerprint { fingerprint: 0x7777 << 64 }),
        ("register_groups", PeerMessage::RegisterGroups { groups: vec![0x8888, 1 << 100] }),
        ("ask_register_groups", PeerMessage::AskRegisterGroups { groups: 1 << 63 | 5 }),
        ("wanted_layout", PeerMessage::WantedLayout { bytes: bytes() }),
        ("register_request", PeerMessage::RegisterRequest { partition, bytes: bytes() }),
        ("register_answer", PeerMessage::RegisterAnswer { partition, bytes: bytes() }),
        (
            "move_progress",
            PeerMessage::MoveProgress {
                partition,
                register: samples::register(),
                exchanged: vec![NodeId(0x0b0b), NodeId(2)],
                compared: vec![NodeId(0x0c0c)],
            },
        ),
        (
            "write_reply_stale",
            PeerMessage::WriteReply(ReplicaWriteReply {
                operation: OperationId(9),
                outcome: WriteOutcome::Stale,
                settings_version: 3,
            }),
        ),
        (
            "read_reply_stale",
            PeerMessage::ReadReply(ReplicaReadReply {
                operation: OperationId(9),
                outcome: ReadOutcome::Stale,
                known: None,
                settings_version: 3,
                queue: 1,
            }),
        ),
    ]
}

pub(crate) fn register() -> impl Strategy<Value = RegisterTag> {
    any::<NonZeroU64>().prop_map(RegisterTag)
}

fn partition() -> impl Strategy<Value = PartitionId> {
    any::<u16>().prop_map(PartitionId)
}

fn set() -> impl Strategy<Value = Vec<NodeId>> {
    vec(any::<u64>().prop_map(NodeId), 0..=7)
}

pub(crate) fn register_message() -> impl Strategy<Value = PeerMessage> {
    prop_oneof![
        vec((partition(), bytes(300)), 0..9)
            .prop_map(|registers| PeerMessage::Registers { registers }),
        any::<u128>().prop_map(|fingerprint| PeerMessage::RegistersFingerprint { fingerprint }),
        vec(any::<u128>(), 0..=64).prop_map(|groups| PeerMessage::RegisterGroups { groups }),
        any::<u64>().prop_map(|groups| PeerMessage::AskRegisterGroups { groups }),
        bytes(600).prop_map(|bytes| PeerMessage::WantedLayout { bytes }),
        (partition(), bytes(300))
            .prop_map(|(partition, bytes)| PeerMessage::RegisterRequest { partition, bytes }),
        (partition(), bytes(300))
            .prop_map(|(partition, bytes)| PeerMessage::RegisterAnswer { partition, bytes }),
        (partition(), register(), set(), set()).prop_map(
            |(partition, register, exchanged, compared)| PeerMessage::MoveProgress {
                partition,
                register,
                exchanged,
                compared,
            }
        ),
    ]
}

fn transported(message: PeerMessage) -> Result<PeerMessage, DecodeError> {
    let frame = encode_peer(&Envelope { hlc: Hlc(1), message });
    decode_peer(frame).map(|envelope| envelope.message)
}

/// The field for which a message is refused.
fn refused_field(message: PeerMessage) -> &'static str {
    match transported(message) {
        Err(DecodeError::Field { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn as_many_registers_and_nodes_as_may_be_are_taken_and_one_more_is_not() {
    let register = |length| (PartitionId(1), Bytes::from(vec![7; length]));
    let registers = |count| PeerMessage::Registers { registers: vec![register(250); count] };
    assert!(transported(registers(REGISTERS_PER_MESSAGE)).is_ok());
    assert_eq!(refused_field(registers(REGISTERS_PER_MESSAGE + 1)), "registers");
    let too_long = PeerMessage::Registers { registers: vec![register(4097)] };
    assert_eq!(refused_field(too_long), "register");

    let groups = |count| PeerMessage::RegisterGroups { groups: vec![0; count] };
    assert!(transported(groups(64)).is_ok());
    assert_eq!(refused_field(groups(65)), "groups");

    let progress = |exchanged, compared| PeerMessage::MoveProgress {
        partition: PartitionId(1),
        register: samples::register(),
        exchanged: vec![NodeId(1); exchanged],
        compared: vec![NodeId(1); compared],
    };
    assert!(transported(progress(7, 7)).is_ok());
    assert_eq!(refused_field(progress(8, 0)), "exchanged");
    assert_eq!(refused_field(progress(0, 8)), "compared");

    let bytes = |length| Bytes::from(vec![0; length]);
    let layout = |length| PeerMessage::WantedLayout { bytes: bytes(length) };
    assert!(transported(layout(8 << 20)).is_ok());
    assert_eq!(refused_field(layout((8 << 20) + 1)), "bytes");
    let partition = PartitionId(1);
    let request = PeerMessage::RegisterRequest { partition, bytes: bytes(4097) };
    assert_eq!(refused_field(request), "bytes");
    let answer = PeerMessage::RegisterAnswer { partition, bytes: bytes(4097) };
    assert_eq!(refused_field(answer), "bytes");
}

/// A frame whose tag of a register became 0.
fn without_register(message: PeerMessage) -> Bytes {
    let tag = samples::register().0.get().to_le_bytes();
    let mut frame = encode_peer(&Envelope { hlc: Hlc(1), message }).to_vec();
    let at = frame.windows(8).position(|bytes| bytes == tag).unwrap();
    frame[at..at + 8].fill(0);
    frame.into()
}

#[test]
fn a_register_without_a_tag_is_refused_where_one_must_be_and_none_where_it_need_not() {
    let opening = Opening {
        partition: PartitionId(513),
        register: samples::register(),
        depth: 2,
        root: dynamo_merkle::Sum(1),
        clock: None,
        known: Vec::new(),
    };
    let session = SessionId(1);
    let open = RepairMessage::Question { session, question: Question::Open(opening) };
    let mut with_register = vec![PeerMessage::Repair(open)];
    for (name, message) in samples::peer() {
        match message {
            PeerMessage::Write(_) => {
                let decoded = decode_peer(without_register(message)).unwrap().message;
                let PeerMessage::Write(write) = decoded else { panic!("{name}") };
                assert_eq!(write.register, None);
            }
            PeerMessage::Scan(_)
            | PeerMessage::ClockReports { .. }
            | PeerMessage::MoveProgress { .. } => with_register.push(message),
            _ => {}
        }
    }
    assert_eq!(with_register.len(), 4);
    for message in with_register {
        let field = if matches!(message, PeerMessage::Repair(_)) { "body" } else { "register" };
        let refused = decode_peer(without_register(message));
        let expected = FieldError::Number(0);
        assert!(
            matches!(&refused, Err(DecodeError::Field { field: found, source, .. })
                if *found == field && *source == expected),
            "{refused:?}"
        );
    }
}
