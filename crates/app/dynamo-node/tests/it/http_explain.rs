//! Explanations over HTTP.

use std::sync::{Arc, Mutex};

use dynamo_messages::{
    Explanation, HintView, ReplicaState, ReplicaView, Reply, Request, SiblingView,
};
use dynamo_types::{ActorId, NodeId, PartitionId, RequestId, WallTime};
use dynamo_versioning::{Dot, VersionsDigest};

use crate::cluster::Cluster;
use crate::fake_node::FakeNode;
use crate::http_client::{get, request};

fn explanation() -> Explanation {
    let missing = ReplicaView {
        node: NodeId(3),
        state: ReplicaState::Missing,
        digest: None,
        behind: true,
        siblings: Vec::new(),
        context_intervals: 0,
    };
    let present = ReplicaView {
        node: NodeId(1),
        state: ReplicaState::Present,
        digest: Some(VersionsDigest(0xfeed)),
        behind: false,
        siblings: vec![SiblingView {
            dot: Dot::new(ActorId(0xab), 2),
            tombstone: true,
            value_bytes: 0,
            written_at: WallTime(1_191_369_600_000_001),
            expires_at: None,
            request: RequestId(7),
        }],
        context_intervals: 2,
    };
    Explanation {
        partition: PartitionId(9),
        replicas: vec![present, missing],
        hints: Vec::new(),
        verified_ms_ago: None,
    }
}

#[test]
fn an_explanation_names_who_is_behind() {
    let node = FakeNode::start(|_| Some(Reply::Explanation(explanation())));
    let response = get(node.address, "/v1/explain/carts/%ff");
    assert_eq!(response.status, 200, "{response:?}");
    let expected = serde_json::json!({
        "bucket": "carts",
        "key": {"base64": "/w=="},
        "partition": 9,
        "replicas": [
            {"node": "0000000000000001", "name": "node-1", "state": "present",
             "digest": "0000000000000000000000000000feed", "context_intervals": 2,
             "siblings": [{"dot": "00000000000000ab:2", "tombstone": true, "bytes": 0,
                           "written_at": "2007-10-03T00:00:00.000001Z", "expires_at": null,
                           "request_id": "00000000000000000000000000000007"}]},
            {"node": "0000000000000003", "name": "node-3", "state": "missing",
             "digest": null, "context_intervals": 0, "siblings": []},
        ],
        "hints": [],
        "verified_until": null,
        "agree": false,
        "behind": ["node-3"],
    });
    assert_eq!(response.json(), expected);
}

#[test]
fn who_keeps_a_hint_is_told_and_until_when_all_was_equal() {
    let node = FakeNode::start(|_| {
        let mut explanation = explanation();
        let siblings = explanation.replicas[0].siblings.clone();
        explanation.hints =
            vec![HintView { node: NodeId(2), digest: VersionsDigest(0xcafe), siblings }];
        explanation.verified_ms_ago = Some(1_500);
        Some(Reply::Explanation(explanation))
    });
    let json = get(node.address, "/v1/explain/carts/k").json();
    let expected = serde_json::json!([{
        "node": "0000000000000002", "name": "node-2",
        "digest": "0000000000000000000000000000cafe",
        "siblings": json["replicas"][0]["siblings"],
    }]);
    assert_eq!(json["hints"], expected);
    assert_eq!(json["hints"][0]["siblings"][0]["bytes"], 0);
    let until = json["verified_until"].as_str().unwrap();
    assert!(humantime::parse_rfc3339(until).is_ok(), "{until}");
}

#[test]
fn a_key_is_decoded_as_anywhere_else() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let node = FakeNode::start(move |request| {
        seen.lock().unwrap().push(request);
        Some(Reply::Explanation(explanation()))
    });
    assert_eq!(get(node.address, "/v1/explain/b/a%2Fb/c+d?timeout_ms=300").status, 200);
    let Some(Request::Explain { name, timeout_ms }) = asked.lock().unwrap().pop() else {
        panic!("an explanation was asked for");
    };
    assert_eq!((&name.key.as_bytes()[..], timeout_ms), (&b"a/b/c+d"[..], Some(300)));

    assert_eq!(get(node.address, "/v1/explain/b/").problem(), "invalid-key");
    assert_eq!(get(node.address, "/v1/explain/b").problem(), "invalid-key");
    assert_eq!(get(node.address, "/v1/explain/b/k?r=1").problem(), "invalid-parameter");
    assert_eq!(get(node.address, "/v1/explain/b/k?timeout_ms=0").problem(), "invalid-parameter");
    let put = request(node.address, "PUT", "/v1/explain/b/k", &[], Some(b"v"));
    assert_eq!((put.status, put.problem()), (405, "method-not-allowed".to_owned()));
    assert_eq!(asked.lock().unwrap().len(), 0, "what is refused never reaches the machine");
}

#[test]
fn three_nodes_explain_the_same() {
    let cluster = Cluster::start(3);
    let put = request(cluster.http(1), "PUT", "/v1/kv/b/k?w=3", &[], Some(b"milk"));
    assert_eq!(put.status, 204, "{put:?}");
    for number in 1..=3 {
        let json = get(cluster.http(number), "/v1/explain/b/k").json();
        assert_eq!((&json["agree"], &json["behind"]), (&true.into(), &serde_json::json!([])));
        let replicas = json["replicas"].as_array().unwrap();
        assert_eq!(replicas.len(), 3);
        assert!(replicas.iter().all(|replica| replica["siblings"][0]["bytes"] == 4), "{json}");
    }
    let nothing = get(cluster.http(2), "/v1/explain/b/nothing").json();
    assert_eq!(nothing["agree"], true);
    assert_eq!(nothing["replicas"][0]["state"], "missing");
}
