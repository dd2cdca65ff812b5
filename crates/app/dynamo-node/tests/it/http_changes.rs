//! Changes of the members over HTTP.

use std::sync::{Arc, Mutex};

use dynamo_membership::MemberStatus;
use dynamo_messages::{
    ClusterChange, Failure, Invalid, LinkView, PlanView, PlannedNodeView, Reply, Request,
    TransferView, TransfersView,
};
use dynamo_node::input::NodeStatus;
use dynamo_types::{NodeId, PartitionId};
use serde_json::json;

use crate::fake_node::{FakeNode, settings};
use crate::http_client::{Response, get, request};

const PLAN: u128 = 0xfeed << 112;

/// A node that does what it is asked, and what it was asked.
fn willing() -> (FakeNode, Arc<Mutex<Vec<Request>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let node = FakeNode::start(move |request| {
        noted.lock().unwrap().push(request.clone());
        let plan = |committed| {
            Reply::Plan(PlanView {
                plan: PLAN,
                committed,
                partitions_changed: 3,
                bytes: 1 << 40,
                nodes: vec![PlannedNodeView {
                    node: NodeId(1),
                    name: "node-1".into(),
                    before: 4,
                    after: 3,
                    received: 0,
                    sent: 1,
                }],
                links: vec![LinkView { from: NodeId(1), to: NodeId(2), copies: 1, bytes: 9 }],
                ..PlanView::default()
            })
        };
        Some(match request {
            Request::PlanChange { .. } => plan(false),
            Request::CommitChange { .. } => plan(true),
            Request::ForceMoves { commit, .. } => plan(commit),
            Request::CancelMoves => Reply::Cancelled { moves: 5 },
            Request::Transfers => Reply::Transfers(TransfersView {
                transfers: vec![TransferView {
                    partition: PartitionId(7),
                    stage: "fenced".into(),
                    current: vec![NodeId(1)],
                    next: vec![NodeId(2)],
                    waiting: vec![(NodeId(2), NodeId(1))],
                    records: None,
                }],
                settled: 15,
                partitions: 16,
                leaving: vec![NodeId(1)],
            }),
            other => panic!("{other:?}"),
        })
    });
    (node, asked)
}

fn post(node: &FakeNode, target: &str, body: &str) -> Response {
    request(node.address, "POST", target, &[], Some(body.as_bytes()))
}

#[test]
fn a_change_is_planned_and_committed() {
    let (node, asked) = willing();
    let body = r#"{"changes":[{"join":"node-4"},{"reweight":{"node":"node-1","weight":2}}]}"#;
    let planned = post(&node, "/v1/cluster/plan", body);
    assert_eq!(planned.status, 200, "{planned:?}");
    let planned = planned.json();
    let id = format!("feed{}", "0".repeat(28));
    assert_eq!(planned["plan"], id);
    assert_eq!((&planned["committed"], &planned["bytes"]), (&json!(false), &json!(1u64 << 40)));
    assert_eq!(planned["nodes"][0]["node"], "0000000000000001");
    assert_eq!(planned["links"][0]["to"], "0000000000000002");

    let body = body.replacen('{', &format!("{{\"plan\":\"{id}\","), 1);
    let committed = post(&node, "/v1/cluster/commit", &body).json();
    assert_eq!(committed["committed"], true);
    let changes = vec![
        ClusterChange::Join { node: "node-4".into() },
        ClusterChange::Reweight { node: "node-1".into(), weight: 2 },
    ];
    let expected = [
        Request::PlanChange { changes: changes.clone() },
        Request::CommitChange { changes, plan: PLAN },
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[test]
fn moves_are_cancelled_forced_and_shown() {
    let (node, asked) = willing();
    for body in ["", "{}"] {
        assert_eq!(post(&node, "/v1/cluster/cancel", body).json()["moves"], 5);
    }
    let force = post(&node, "/v1/cluster/force", r#"{"given_up":["node-2"]}"#).json();
    assert_eq!(force["committed"], false, "nothing is done unless that is said");
    let force = post(&node, "/v1/cluster/force", r#"{"given_up":["node-2"],"commit":true}"#);
    assert_eq!(force.json()["committed"], true);
    let transfers = get(node.address, "/v1/transfers").json();
    assert_eq!((&transfers["settled"], &transfers["partitions"]), (&json!(15), &json!(16)));
    assert_eq!(transfers["leaving"], json!(["0000000000000001"]));
    assert_eq!(
        transfers["transfers"],
        json!([{
            "partition": 7,
            "stage": "fenced",
            "current": ["0000000000000001"],
            "next": ["0000000000000002"],
            "waiting": [{ "node": "0000000000000002", "with": "0000000000000001" }],
            "records": null,
        }])
    );
    assert_eq!(asked.lock().unwrap().len(), 5);
}

#[test]
fn what_cannot_be_done_is_a_conflict_and_what_cannot_be_meant_a_bad_request() {
    let node = FakeNode::start(|_| {
        let detail = "planned for another cluster".to_owned();
        Some(Reply::Failed(Failure::Invalid { reason: Invalid::Change, detail }))
    });
    let id = "0".repeat(32);
    let commit = format!(r#"{{"changes":[],"plan":"{id}"}}"#);
    for (target, body) in [
        ("/v1/cluster/plan", r#"{"changes":[]}"#),
        ("/v1/cluster/commit", commit.as_str()),
        ("/v1/cluster/cancel", ""),
        ("/v1/cluster/force", r#"{"given_up":["a"]}"#),
    ] {
        let refused = post(&node, target, body);
        assert_eq!((refused.status, &*refused.problem()), (409, "change-refused"), "{target}");
        assert_eq!(refused.json()["detail"], "planned for another cluster");
    }
    for (target, body) in [
        ("/v1/cluster/plan", r#"{"changes":[{"join":1}]}"#),
        ("/v1/cluster/commit", r#"{"changes":[],"plan":"beef"}"#),
        ("/v1/cluster/commit", r#"{"changes":[]}"#),
        ("/v1/cluster/force", r#"{"given_up":[]}"#),
        ("/v1/cluster/force", r#"{"commit":true}"#),
    ] {
        let refused = post(&node, target, body);
        assert_eq!((refused.status, &*refused.problem()), (400, "invalid-change"), "{body}");
    }
}

#[test]
fn an_unknown_outcome_is_told_as_that() {
    let node =
        FakeNode::start(|_| Some(Reply::Failed(Failure::OutcomeUnknown { reached: 1, needed: 2 })));
    let unknown = post(&node, "/v1/cluster/cancel", "");
    assert_eq!((unknown.status, &*unknown.problem()), (504, "outcome-unknown"));
}

#[test]
fn readiness_tells_where_a_node_is_on_its_way_and_a_removed_one_is_not_ready() {
    let in_state = |status| {
        let status = NodeStatus { own_status: Some(status), ..NodeStatus::default() };
        let node = FakeNode::start_in(&settings(), status, |_| None);
        get(node.address, "/readyz")
    };
    let joining = in_state(MemberStatus::Joining);
    assert_eq!((joining.status, &joining.json()["state"]), (200, &json!("joining")));
    let removed = in_state(MemberStatus::Removed);
    assert_eq!((removed.status, &*removed.problem()), (503, "not-ready"));
    let detail = removed.json()["detail"].clone();
    assert!(detail.as_str().unwrap().contains("removed from the cluster"), "{detail}");
}
