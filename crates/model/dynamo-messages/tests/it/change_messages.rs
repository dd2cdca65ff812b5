//! Samples of and strategies for changes of the members, and what is refused or left out of them.

use dynamo_messages::*;
use dynamo_types::{NodeId, PartitionId};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::any_message::text;

/// What `dynamo-transport` carries at most.
const FRAME_BYTES_MAX: usize = 17 * 1024 * 1024 + 64 * 1024;

fn changes() -> Vec<ClusterChange> {
    vec![
        ClusterChange::Join { node: "node-4".into() },
        ClusterChange::Leave { node: "000000000000feed".into() },
        ClusterChange::Remove { node: "node-2".into() },
        ClusterChange::Reweight { node: "node-3".into(), weight: 200 },
        ClusterChange::Rezone { node: "node-1".into(), zone: "z2".into() },
    ]
}

pub(crate) fn requests() -> Vec<(&'static str, Request)> {
    vec![
        ("request_plan_change", Request::PlanChange { changes: changes() }),
        ("request_commit_change", Request::CommitChange { changes: changes(), plan: 0x1234 << 90 }),
        ("request_cancel_moves", Request::CancelMoves),
        (
            "request_force_moves",
            Request::ForceMoves { given_up: vec!["node-1".into(), "node-2".into()], commit: true },
        ),
        ("request_transfers", Request::Transfers),
    ]
}

fn plan() -> PlanView {
    PlanView {
        plan: 0x1234 << 90,
        committed: true,
        partitions_changed: 101,
        copies_moved: 102,
        copies_lower_bound: 103,
        copies: 104,
        bytes: 1 << 40,
        seconds: 105,
        zone_safe_before: 106,
        zone_safe_after: 107,
        out_of_reach: 108,
        nodes: vec![PlannedNodeView {
            node: NodeId(0xfeed),
            name: "node-1".into(),
            before: 109,
            after: 110,
            received: 111,
            sent: 112,
        }],
        links: vec![LinkView { from: NodeId(0xfeed), to: NodeId(2), copies: 113, bytes: 1 << 41 }],
    }
}

fn transfer() -> TransferView {
    TransferView {
        partition: PartitionId(513),
        stage: "fenced".into(),
        current: vec![NodeId(1), NodeId(2)],
        next: vec![NodeId(2), NodeId(0x0b0b)],
        waiting: vec![(NodeId(0x0b0b), NodeId(1))],
        records: Some(77),
    }
}

pub(crate) fn replies() -> Vec<(&'static str, Reply)> {
    let planned = TransferView { records: None, stage: "planned".into(), ..transfer() };
    let transfers = TransfersView {
        transfers: vec![transfer(), planned],
        settled: 254,
        partitions: 256,
        leaving: vec![NodeId(0xfeed)],
    };
    let refused = Failure::Invalid { reason: Invalid::Change, detail: "no such node".into() };
    vec![
        ("reply_plan", Reply::Plan(plan())),
        ("reply_cancelled", Reply::Cancelled { moves: 12 }),
        ("reply_transfers", Reply::Transfers(transfers)),
        ("reply_failed_change", Reply::Failed(refused)),
    ]
}

fn change() -> impl Strategy<Value = ClusterChange> {
    prop_oneof![
        text().prop_map(|node| ClusterChange::Join { node }),
        text().prop_map(|node| ClusterChange::Leave { node }),
        text().prop_map(|node| ClusterChange::Remove { node }),
        (text(), any::<u32>()).prop_map(|(node, weight)| ClusterChange::Reweight { node, weight }),
        (text(), text()).prop_map(|(node, zone)| ClusterChange::Rezone { node, zone }),
    ]
}

pub(crate) fn change_request() -> impl Strategy<Value = Request> {
    prop_oneof![
        vec(change(), 0..6).prop_map(|changes| Request::PlanChange { changes }),
        (vec(change(), 0..6), any::<u128>())
            .prop_map(|(changes, plan)| Request::CommitChange { changes, plan }),
        Just(Request::CancelMoves),
        (vec(text(), 0..4), any::<bool>())
            .prop_map(|(given_up, commit)| Request::ForceMoves { given_up, commit }),
        Just(Request::Transfers),
    ]
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<u64>().prop_map(NodeId)
}

fn any_plan() -> impl Strategy<Value = PlanView> {
    let planned = (node(), text(), any::<[u32; 4]>()).prop_map(
        |(node, name, [before, after, received, sent])| PlannedNodeView {
            node,
            name,
            before,
            after,
            received,
            sent,
        },
    );
    let link = (node(), node(), any::<u32>(), any::<u64>())
        .prop_map(|(from, to, copies, bytes)| LinkView { from, to, copies, bytes });
    let fixed = (any::<u128>(), any::<bool>(), any::<u64>(), any::<[u32; 8]>());
    (fixed, vec(planned, 0..4), vec(link, 0..4)).prop_map(
        |((plan, committed, bytes, numbers), nodes, links)| {
            let [
                partitions_changed,
                copies_moved,
                copies_lower_bound,
                copies,
                seconds,
                zone_safe_before,
                zone_safe_after,
                out_of_reach,
            ] = numbers;
            PlanView {
                plan,
                committed,
                partitions_changed,
                copies_moved,
                copies_lower_bound,
                copies,
                bytes,
                seconds,
                zone_safe_before,
                zone_safe_after,
                out_of_reach,
                nodes,
                links,
            }
        },
    )
}

fn any_transfers() -> impl Strategy<Value = TransfersView> {
    let set = || vec(node(), 0..=7);
    let waiting = vec((node(), node()), 0..=WAITING_PER_TRANSFER);
    let transfer = (any::<u16>(), "[a-z]{0,16}", set(), set(), waiting, any::<Option<u64>>())
        .prop_map(|(partition, stage, current, next, waiting, records)| TransferView {
            partition: PartitionId(partition),
            stage,
            current,
            next,
            waiting,
            records,
        });
    (vec(transfer, 0..5), any::<[u32; 2]>(), vec(node(), 0..4)).prop_map(
        |(transfers, [settled, partitions], leaving)| TransfersView {
            transfers,
            settled,
            partitions,
            leaving,
        },
    )
}

pub(crate) fn change_reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        any_plan().prop_map(Reply::Plan),
        any::<u32>().prop_map(|moves| Reply::Cancelled { moves }),
        any_transfers().prop_map(Reply::Transfers),
    ]
}

fn transported(frame: ClientFrame) -> Result<ClientFrame, DecodeError> {
    decode_client(encode_client(&frame))
}

/// The field for which a request or a reply is refused.
fn refused_field(frame: ClientFrame) -> &'static str {
    match transported(frame) {
        Err(DecodeError::Field { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

fn of_request(request: Request) -> ClientFrame {
    ClientFrame::Request { id: 1, request }
}

fn of_transfer(transfer: TransferView) -> ClientFrame {
    let view = TransfersView { transfers: vec![transfer], ..TransfersView::default() };
    ClientFrame::Reply { id: 1, reply: Reply::Transfers(view) }
}

#[test]
fn more_or_longer_changes_than_may_be_are_refused() {
    let joins = |count| vec![ClusterChange::Join { node: "n".into() }; count];
    let plan = |changes| of_request(Request::PlanChange { changes });
    assert!(transported(plan(joins(CHANGES_MAX))).is_ok());
    assert_eq!(refused_field(plan(joins(CHANGES_MAX + 1))), "changes");
    let commit = Request::CommitChange { changes: joins(CHANGES_MAX + 1), plan: 1 };
    assert_eq!(refused_field(of_request(commit)), "changes");

    let force = |given_up| of_request(Request::ForceMoves { given_up, commit: false });
    assert!(transported(force(vec!["n".into(); CHANGES_MAX])).is_ok());
    assert_eq!(refused_field(force(vec!["n".into(); CHANGES_MAX + 1])), "given_up");
    assert_eq!(refused_field(force(vec!["n".repeat(261)])), "given_up");

    assert!(transported(plan(vec![ClusterChange::Leave { node: "n".repeat(260) }])).is_ok());
    let long_node = ClusterChange::Leave { node: "n".repeat(261) };
    assert_eq!(refused_field(plan(vec![long_node])), "node");
    let long_zone = ClusterChange::Rezone { node: "n".into(), zone: "z".repeat(261) };
    assert_eq!(refused_field(plan(vec![long_zone])), "zone");
}

#[test]
fn views_with_longer_sets_and_texts_than_may_be_are_refused() {
    let sets = vec![NodeId(1); 8];
    let long_current = TransferView { current: sets.clone(), ..transfer() };
    assert_eq!(refused_field(of_transfer(long_current)), "current");
    let long_next = TransferView { next: sets, ..transfer() };
    assert_eq!(refused_field(of_transfer(long_next)), "next");
    let long_stage = TransferView { stage: "s".repeat(17), ..transfer() };
    assert_eq!(refused_field(of_transfer(long_stage)), "stage");
    let mut long_name = plan();
    long_name.nodes[0].name = "n".repeat(261);
    let reply = Reply::Plan(long_name);
    assert_eq!(refused_field(ClientFrame::Reply { id: 1, reply }), "name");
}

#[test]
fn the_longest_list_of_transfers_fits_a_frame_and_what_is_beyond_is_left_out() {
    let longest = TransferView {
        partition: PartitionId(1),
        stage: "s".repeat(16),
        current: vec![NodeId(1); 7],
        next: vec![NodeId(2); 7],
        waiting: vec![(NodeId(3), NodeId(4)); 98],
        records: Some(1),
    };
    let view = TransfersView {
        transfers: vec![longest; TRANSFERS_MAX + 1],
        settled: 0,
        partitions: 1 << 16,
        leaving: vec![NodeId(5); 10_000],
    };
    let bytes = encode_client(&ClientFrame::Reply { id: 1, reply: Reply::Transfers(view) });
    assert!(bytes.len() < FRAME_BYTES_MAX, "{} bytes", bytes.len());
    let Ok(ClientFrame::Reply { reply: Reply::Transfers(read), .. }) = decode_client(bytes) else {
        panic!("the frame is sound");
    };
    assert_eq!(read.transfers.len(), TRANSFERS_MAX);
    assert_eq!(read.transfers[0].waiting.len(), WAITING_PER_TRANSFER);
}

#[test]
fn the_longest_plan_fits_a_frame() {
    let mut view = plan();
    view.nodes[0].name = "n".repeat(260);
    view.nodes = vec![view.nodes[0].clone(); 10_000];
    view.links = vec![view.links[0]; 7 << 16];
    let frame = ClientFrame::Reply { id: 1, reply: Reply::Plan(view) };
    let bytes = encode_client(&frame);
    assert!(bytes.len() < FRAME_BYTES_MAX, "{} bytes", bytes.len());
    assert_eq!(decode_client(bytes), Ok(frame));
}
