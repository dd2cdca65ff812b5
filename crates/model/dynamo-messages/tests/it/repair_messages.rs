//! Samples of and strategies for the messages of anti-entropy, and what they cost.

use std::sync::Arc;

use bytes::Bytes;
use dynamo_merkle::iblt::ItemId;
use dynamo_merkle::{NodePath, ShortSum, Sum};
use dynamo_messages::repair::*;
use dynamo_messages::{Envelope, KnownBy, PeerMessage, encode_peer};
use dynamo_types::{ActorId, NodeId, ObjectName, PartitionId};
use dynamo_versioning::testing::{any_dot, any_dot_set, any_encodable_record};
use dynamo_versioning::{Dot, DotClock, DotSet, Hlc};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::any_message::{checkpoint, name};
use crate::register_messages::register;
use crate::samples;

fn leaf() -> NodePath {
    NodePath::new(2, 200).unwrap()
}

fn clock() -> Option<Arc<DotClock>> {
    let mut clock = DotClock::new();
    clock.dots.insert_interval(ActorId(0xaaaa_bbbb_cccc_dddd), 0, 7);
    clock.horizon.insert_interval(ActorId(0xaaaa_bbbb_cccc_dddd), 0, 3);
    Some(Arc::new(clock))
}

fn sums() -> [ShortSum; 16] {
    core::array::from_fn(|place| ShortSum(0x1000 + place as u64))
}

fn known() -> Vec<KnownBy> {
    vec![KnownBy { member: NodeId(0x0b0b), checkpoints: vec![samples::checkpoint()] }]
}

fn questions() -> Vec<(&'static str, Question)> {
    let opening = |clock| Opening {
        partition: PartitionId(513),
        register: samples::register(),
        depth: 2,
        root: Sum(0x77),
        clock,
        known: known(),
    };
    let settle = |last| Question::Settle {
        leaf: leaf(),
        from: 300,
        wanted: vec![true, false, true, true, false, false, false, false, true],
        offered: vec![(ItemId(0x0102_0304_0506_0708), samples::name())],
        last,
    };
    vec![
        ("repair_open", Question::Open(opening(clock()))),
        ("repair_open_incomplete", Question::Open(opening(None))),
        ("repair_sums", Question::Sums { nodes: vec![NodePath::ROOT, leaf()] }),
        ("repair_symbols", Question::Symbols { leaf: leaf(), until: 300 }),
        ("repair_list", Question::List { leaf: leaf() }),
        ("repair_solved", Question::Solved { leaf: leaf(), wanted: vec![ShortId(1), ShortId(2)] }),
        ("repair_agrees", Question::Agrees { leaf: leaf() }),
        ("repair_leave", Question::Leave { leaf: leaf() }),
        ("repair_settle", settle(false)),
        ("repair_settle_last", settle(true)),
        ("repair_close", Question::Close),
    ]
}

fn answers() -> Vec<(&'static str, Answer)> {
    let symbols = |totals| Answer::Symbols {
        leaf: leaf(),
        totals,
        symbols: Bytes::from_static(b"thirteen byte"),
    };
    let opened = |clock, sums| Answer::Opened { depth: 1, clock, known: known(), sums };
    vec![
        ("repair_refused", Answer::Refused(Refusal::Busy)),
        ("repair_refused_other_register", Answer::Refused(Refusal::OtherRegister)),
        ("repair_agreed", Answer::Agreed { clock: clock(), known: known() }),
        ("repair_agreed_incomplete", Answer::Agreed { clock: None, known: vec![] }),
        ("repair_opened", opened(clock(), Some(Box::new(sums())))),
        ("repair_opened_incomplete", opened(None, None)),
        ("repair_sums_answer", Answer::Sums { sums: vec![(leaf(), sums())] }),
        ("repair_symbols_first", symbols(Some(LeafTotals { items: 4000, sum: 9 }))),
        ("repair_symbols_more", symbols(None)),
        ("repair_list_answer", Answer::List { leaf: leaf(), items: vec![ItemId(5), ItemId(6)] }),
        (
            "repair_settled",
            Answer::Settled {
                leaf: leaf(),
                from: 300,
                named: vec![None, Some(samples::name())],
                arrived: vec![false],
            },
        ),
        ("repair_unable", Answer::Unable { leaf: leaf(), why: Unable::TooLarge }),
    ]
}

fn states() -> Vec<(&'static str, StateMessage)> {
    let record = StateRecord { name: samples::name(), pieces: vec![samples::record()], last: true };
    let gone = StateRecord { pieces: Vec::new(), ..record.clone() };
    let dot = Dot::new(ActorId(0xaaaa_bbbb_cccc_dddd), 7);
    let horizon = clock().map(|clock| clock.horizon.clone());
    vec![
        ("repair_state", StateMessage::State { number: 3, records: vec![record, gone] }),
        (
            "repair_stored",
            StateMessage::Stored { number: 3, refused: false, collected: vec![(1, dot)] },
        ),
        ("repair_not_stored", StateMessage::Stored { number: 3, refused: true, collected: vec![] }),
        ("repair_sent", StateMessage::Sent { complete: true, horizon: None }),
        ("repair_sent_horizon", StateMessage::Sent { complete: false, horizon }),
        ("repair_aborted", StateMessage::Aborted),
    ]
}

pub(crate) fn samples() -> Vec<(&'static str, PeerMessage)> {
    let session = SessionId(0x0102_0304_0506_0708);
    let root = PartitionRoot {
        partition: PartitionId(513),
        root: Sum(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        clock: ClockDigest(0x9999),
    };
    let answer = RootsAnswer {
        number: 9,
        differing: vec![PartitionId(513), PartitionId(600)],
        not_compared: vec![PartitionId(7)],
    };
    let mut messages = vec![
        ("repair_roots", RepairMessage::Roots(RootsQuestion { number: 9, roots: vec![root] })),
        ("repair_roots_answer", RepairMessage::RootsAnswer(answer)),
    ];
    for (name, question) in questions() {
        messages.push((name, RepairMessage::Question { session, question }));
    }
    for (name, answer) in answers() {
        messages.push((name, RepairMessage::Answer { session, answer }));
    }
    for (name, state) in states() {
        let by_initiator = name != "repair_stored";
        messages.push((name, RepairMessage::State { session, by_initiator, state }));
    }
    messages.into_iter().map(|(name, message)| (name, PeerMessage::Repair(message))).collect()
}

fn node() -> impl Strategy<Value = NodePath> {
    (0..=NodePath::DEPTH_MAX, any::<u16>()).prop_map(|(depth, index)| {
        NodePath::new(depth, u32::from(index) & ((1 << (4 * depth)) - 1)).unwrap()
    })
}

fn item() -> impl Strategy<Value = ItemId> {
    any::<u64>().prop_map(ItemId)
}

fn any_sums() -> impl Strategy<Value = [ShortSum; 16]> {
    any::<[u64; 16]>().prop_map(|sums| sums.map(ShortSum))
}

fn any_clock() -> impl Strategy<Value = Option<Arc<DotClock>>> {
    option::of((any_dot_set(), any_dot_set()))
        .prop_map(|clock| clock.map(|(dots, horizon)| Arc::new(DotClock { dots, horizon })))
}

fn any_known() -> impl Strategy<Value = Vec<KnownBy>> {
    let known = (any::<u64>().prop_map(NodeId), vec(checkpoint(), 0..4))
        .prop_map(|(member, checkpoints)| KnownBy { member, checkpoints });
    vec(known, 0..4)
}

fn any_name() -> impl Strategy<Value = ObjectName> {
    name()
}

fn question() -> impl Strategy<Value = Question> {
    prop_oneof![
        (
            any::<u16>(),
            register(),
            0..=NodePath::DEPTH_MAX,
            any::<u128>(),
            any_clock(),
            any_known()
        )
            .prop_map(|(partition, register, depth, root, clock, known)| Question::Open(
                Opening {
                    partition: PartitionId(partition),
                    register,
                    depth,
                    root: Sum(root),
                    clock,
                    known
                }
            )),
        vec(node(), 0..9).prop_map(|nodes| Question::Sums { nodes }),
        (node(), 0..1u32 << 20).prop_map(|(leaf, until)| Question::Symbols { leaf, until }),
        node().prop_map(|leaf| Question::List { leaf }),
        (node(), vec(any::<u32>().prop_map(ShortId), 0..9))
            .prop_map(|(leaf, wanted)| Question::Solved { leaf, wanted }),
        node().prop_map(|leaf| Question::Agrees { leaf }),
        node().prop_map(|leaf| Question::Leave { leaf }),
        (
            node(),
            any::<u32>(),
            vec(any::<bool>(), 0..20),
            vec((item(), any_name()), 0..4),
            any::<bool>()
        )
            .prop_map(|(leaf, from, wanted, offered, last)| Question::Settle {
                leaf,
                from,
                wanted,
                offered,
                last
            }),
        Just(Question::Close),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let refusal =
        prop::sample::select(vec![Refusal::Busy, Refusal::NoMember, Refusal::OtherRegister]);
    let unable = prop::sample::select(vec![
        Unable::Busy,
        Unable::NoLeaf,
        Unable::Unreadable,
        Unable::TooLarge,
        Unable::Duplicates,
    ]);
    let totals =
        any::<Option<(u32, u32)>>().prop_map(|t| t.map(|(items, sum)| LeafTotals { items, sum }));
    prop_oneof![
        refusal.prop_map(Answer::Refused),
        (any_clock(), any_known()).prop_map(|(clock, known)| Answer::Agreed { clock, known }),
        (0..=NodePath::DEPTH_MAX, any_clock(), any_known(), option::of(any_sums())).prop_map(
            |(depth, clock, known, sums)| {
                Answer::Opened { depth, clock, known, sums: sums.map(Box::new) }
            }
        ),
        vec((node(), any_sums()), 0..4).prop_map(|sums| Answer::Sums { sums }),
        (node(), totals, vec(any::<u8>(), 0..60)).prop_map(|(leaf, totals, symbols)| {
            Answer::Symbols { leaf, totals, symbols: symbols.into() }
        }),
        (node(), vec(item(), 0..9)).prop_map(|(leaf, items)| Answer::List { leaf, items }),
        (node(), any::<u32>(), vec(option::of(any_name()), 0..9), vec(any::<bool>(), 0..20))
            .prop_map(|(leaf, from, named, arrived)| Answer::Settled {
                leaf,
                from,
                named,
                arrived
            }),
        (node(), unable).prop_map(|(leaf, why)| Answer::Unable { leaf, why }),
    ]
}

fn state() -> impl Strategy<Value = StateMessage> {
    let record = (any_name(), vec(any_encodable_record(), 0..3), any::<bool>())
        .prop_map(|(name, pieces, last)| StateRecord { name, pieces, last });
    prop_oneof![
        (any::<u32>(), vec(record, 0..4))
            .prop_map(|(number, records)| StateMessage::State { number, records }),
        (any::<u32>(), any::<bool>(), vec((any::<u32>(), any_dot()), 0..4)).prop_map(
            |(number, refused, collected)| StateMessage::Stored { number, refused, collected }
        ),
        (any::<bool>(), option::of(any_dot_set()))
            .prop_map(|(complete, horizon)| StateMessage::Sent { complete, horizon }),
        Just(StateMessage::Aborted),
    ]
}

fn roots() -> impl Strategy<Value = RepairMessage> {
    let root = any::<(u16, u128, u64)>().prop_map(|(partition, root, clock)| PartitionRoot {
        partition: PartitionId(partition),
        root: Sum(root),
        clock: ClockDigest(clock),
    });
    (any::<u32>(), vec(root, 0..5))
        .prop_map(|(number, roots)| RepairMessage::Roots(RootsQuestion { number, roots }))
}

fn roots_answer() -> impl Strategy<Value = RepairMessage> {
    let partitions = || vec(any::<u16>().prop_map(PartitionId), 0..5);
    (any::<u32>(), partitions(), partitions()).prop_map(|(number, differing, not_compared)| {
        RepairMessage::RootsAnswer(RootsAnswer { number, differing, not_compared })
    })
}

pub(crate) fn repair_message() -> impl Strategy<Value = RepairMessage> {
    let session = || any::<u64>().prop_map(SessionId);
    prop_oneof![
        roots(),
        roots_answer(),
        (session(), question())
            .prop_map(|(session, question)| RepairMessage::Question { session, question }),
        (session(), answer())
            .prop_map(|(session, answer)| RepairMessage::Answer { session, answer }),
        (session(), any::<bool>(), state()).prop_map(|(session, by_initiator, state)| {
            RepairMessage::State { session, by_initiator, state }
        }),
    ]
}

fn frame_bytes(message: &RepairMessage) -> u64 {
    let message = PeerMessage::Repair(message.clone());
    encode_peer(&Envelope { hlc: Hlc(1), message }).len() as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_message_takes_what_it_is_said_to_cost(message in repair_message()) {
        let overhead = RepairMessage::OVERHEAD_BYTES as u64;
        prop_assert_eq!(frame_bytes(&message), message.cost().total() + overhead);
        let of_part = match &message {
            RepairMessage::Question { question, .. } => question.cost(),
            RepairMessage::Answer { answer, .. } => answer.cost(),
            RepairMessage::State { state, .. } => state.cost(),
            RepairMessage::Roots(_) | RepairMessage::RootsAnswer(_) => message.cost(),
        };
        prop_assert_eq!(of_part, message.cost());
    }
}

#[test]
fn names_and_values_are_counted_apart() {
    let state = StateMessage::State {
        number: 0,
        records: vec![StateRecord {
            name: samples::name(),
            pieces: vec![samples::record()],
            last: true,
        }],
    };
    let cost = state.cost();
    assert_eq!(cost.name_bytes, 1 + 5 + 1 + 11);
    assert_eq!(cost.value_bytes, 4);
    let set = DotSet::from_iter([Dot::new(ActorId(1), 1)]);
    let sent = StateMessage::Sent { complete: true, horizon: Some(set.clone()) }.cost();
    assert_eq!(sent, Cost { bytes: 2 + set.encoded_len() as u64, ..Cost::default() });
}
