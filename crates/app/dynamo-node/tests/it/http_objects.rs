//! Objects, pages and buckets over HTTP, as the machine sees them and as the client does.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dynamo_messages::{
    ListPage, Mutation, ObjectReply, Options, Receipt, Reply, Request, SiblingReply,
};
use dynamo_node::input::NodeStatus;
use dynamo_node::settings::Settings;
use dynamo_types::{ActorId, Key, NodeId, WallTime};
use dynamo_versioning::{Content, Dot};

use crate::fake_node::{FakeNode, settings};
use crate::http_client::{Connection, get, request};

fn sibling(value: &'static [u8], content_type: &'static str, counter: u64) -> SiblingReply {
    SiblingReply {
        value: Bytes::from_static(value),
        content_type: Bytes::from_static(content_type.as_bytes()),
        dot: Dot { actor: ActorId(0xab), counter },
        written_at: WallTime(1_191_369_600_000_001),
        expires_at: None,
    }
}

fn object(siblings: Vec<SiblingReply>) -> Reply {
    Reply::Object(ObjectReply { siblings, context: "Y29udGV4dA".to_owned() })
}

#[test]
fn one_value_comes_as_it_was_put() {
    let node = FakeNode::start(|_| Some(object(vec![sibling(b"\0raw", "text/plain", 1)])));
    let mut connection = Connection::open(node.address);
    let response = connection.request("GET", "/v1/kv/b/k", &[], None);
    assert_eq!((response.status, &response.body[..]), (200, &b"\0raw"[..]));
    assert_eq!(response.header("content-type"), Some("text/plain"));
    assert_eq!(response.header("dynamo-context"), Some("Y29udGV4dA"));
    assert_eq!(response.header("dynamo-siblings"), Some("1"));
    let head = connection.request("HEAD", "/v1/kv/b/k", &[], None);
    assert_eq!((head.status, head.header("content-length")), (200, Some("4")));
    let again = connection.request("GET", "/v1/kv/b/k", &[], None);
    assert_eq!(again.body, b"\0raw", "a HEAD has no body and the connection goes on");
}

#[test]
fn several_values_come_as_json() {
    let node = FakeNode::start(|_| {
        Some(object(vec![sibling(b"one", "text/plain", 1), sibling(b"\xff", "", 2)]))
    });
    let response = get(node.address, "/v1/kv/b/k");
    assert_eq!((response.status, response.header("dynamo-siblings")), (300, Some("2")));
    let expected = serde_json::json!({
        "context": "Y29udGV4dA",
        "siblings": [
            {"value": "b25l", "content_type": "text/plain", "dot": "00000000000000ab:1",
             "written_at": "2007-10-03T00:00:00.000001Z"},
            {"value": "/w==", "content_type": "", "dot": "00000000000000ab:2",
             "written_at": "2007-10-03T00:00:00.000001Z"},
        ],
    });
    assert_eq!(response.json(), expected);
}

#[test]
fn no_value_is_a_problem_that_still_carries_the_context() {
    let node = FakeNode::start(|_| Some(object(Vec::new())));
    let response = get(node.address, "/v1/kv/b/k");
    assert_eq!((response.status, response.problem().as_str()), (404, "no-such-object"));
    assert_eq!(response.header("dynamo-context"), Some("Y29udGV4dA"));
    assert_eq!(response.header("dynamo-siblings"), Some("0"));
}

#[test]
fn a_value_that_looks_like_a_refusal_is_served_as_it_is() {
    const VALUE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let large: &'static [u8] = VALUE.repeat(40_000).leak();
    let node = FakeNode::start(move |_| Some(object(vec![sibling(large, "text/plain", 1)])));
    let mut connection = Connection::open(node.address);
    for _ in 0..3 {
        let response = connection.request("GET", "/v1/kv/b/k", &[], None);
        assert_eq!(response.status, 200);
        assert!(response.body == large, "the value was changed on its way");
    }
}

/// A fake that keeps what it was asked and reports a put as stored.
fn recording(settings: &Settings) -> (FakeNode, Arc<Mutex<Vec<Request>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    let node = FakeNode::start_with(settings, Vec::new(), move |request| {
        kept.lock().unwrap().push(request);
        let receipt = Receipt { copies: 2, synced: 1, nodes: 2, zones: 2, hints: 1 };
        Some(Reply::Stored { context: "bmV3".to_owned(), receipt })
    });
    (node, requests)
}

fn mutations(requests: &Mutex<Vec<Request>>) -> Vec<Mutation> {
    let requests = requests.lock().unwrap();
    let mutation = |request: &Request| match request {
        Request::Mutate(mutation) => mutation.clone(),
        other => panic!("{other:?}"),
    };
    requests.iter().map(mutation).collect()
}

#[test]
fn a_put_carries_everything_and_answers_with_a_receipt() {
    let (node, requests) = recording(&settings());
    let headers =
        [("content-type", "text/x"), ("dynamo-context", "AAAA"), ("dynamo-context", "BBBB,CCCC")];
    let target = "/v1/kv/b/a%2F/b%ff?w=3&quorum=strict&timeout_ms=70";
    let response = request(node.address, "PUT", target, &headers, Some(b"value"));
    assert_eq!((response.status, response.body.len()), (204, 0));
    assert_eq!(response.header("dynamo-context"), Some("bmV3"));
    let receipt = "copies=2;synced=1;nodes=2;zones=2;hints=1";
    assert_eq!(response.header("dynamo-receipt"), Some(receipt));

    let mutation = mutations(&requests).remove(0);
    assert_eq!(&mutation.name.key.as_bytes()[..], b"a//b\xff");
    assert_eq!(mutation.contexts, ["AAAA", "BBBB", "CCCC"]);
    let options = Options { r: None, w: Some(3), strict: true, timeout_ms: Some(70) };
    assert_eq!((mutation.options, mutation.retry), (options, false));
    let content = Content::Value { bytes: "value".into(), content_type: "text/x".into() };
    assert_eq!(mutation.content, content);
}

#[test]
fn values_of_every_size_up_to_the_limit_arrive_whole() {
    let mut settings = settings();
    settings.limits.value_bytes_max = 300_000;
    let (node, requests) = recording(&settings);
    let mut connection = Connection::open(node.address);
    let value: Vec<u8> = (0..300_001_u32).map(|i| i.to_le_bytes()[1]).collect();
    for length in [0, 1, 70_000, 300_000] {
        let response = connection.request("PUT", "/v1/kv/b/k", &[], Some(&value[..length]));
        assert_eq!(response.status, 204, "{length}");
        let Content::Value { bytes, .. } = mutations(&requests).pop().unwrap().content else {
            panic!("a put is no delete")
        };
        assert!(bytes == value[..length], "{length}");
    }
    let response = connection.request("PUT", "/v1/kv/b/k", &[], Some(&value));
    assert_eq!(response.problem(), "value-too-large");
    let mut chunked = Connection::open(node.address);
    chunked.send("PUT /v1/kv/b/k HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    chunked.send("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(chunked.response().status, 204);
    let Content::Value { bytes, .. } = mutations(&requests).pop().unwrap().content else {
        panic!("a put is no delete")
    };
    assert_eq!(&bytes[..], b"abcde");
}

#[test]
fn an_idempotency_key_names_the_request_and_marks_it_as_a_retry() {
    let (node, requests) = recording(&settings());
    let put = |target: &str, key: Option<&str>| {
        let headers: Vec<_> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
        assert_eq!(request(node.address, "PUT", target, &headers, Some(b"v")).status, 204);
        let last = mutations(&requests).pop().unwrap();
        (last.request, last.retry)
    };
    let first = put("/v1/kv/b/k", Some("one"));
    assert!(first.1);
    assert_eq!(put("/v1/kv/b/k", Some("one")), first);
    assert_ne!(put("/v1/kv/b/k", Some("two")).0, first.0);
    assert_ne!(put("/v1/kv/b/ko", Some("ne")).0, first.0, "the border between key and header");
    assert_ne!(put("/v1/kv/c/k", Some("one")).0, first.0);
    let random = put("/v1/kv/b/k", None);
    assert!(!random.1);
    assert_ne!(put("/v1/kv/b/k", None).0, random.0);
}

#[test]
fn a_delete_is_a_put_of_a_tombstone() {
    let (node, requests) = recording(&settings());
    let headers = [("dynamo-context", "AAAA")];
    let response = request(node.address, "DELETE", "/v1/kv/b/k?w=1", &headers, None);
    assert_eq!((response.status, response.header("dynamo-context")), (204, Some("bmV3")));
    let mutation = mutations(&requests).remove(0);
    assert_eq!((mutation.content, mutation.contexts), (Content::Tombstone, vec!["AAAA".into()]));
}

#[test]
fn a_page_of_keys_says_how_to_get_the_next() {
    let asked = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&asked);
    let node = FakeNode::start(move |request| {
        *kept.lock().unwrap() = Some(request);
        let keys = [&b"plain"[..], b"\xffbytes", b"a+b c/d"];
        let keys = keys.into_iter().map(|key| Key::new(key).unwrap()).collect();
        Some(Reply::Page(ListPage { keys, more: true }))
    });
    let page = get(node.address, "/v1/kv/b?after=%ff%2B&prefix=a%20b+c&limit=3&r=1").json();
    let expected = serde_json::json!({
        "keys": ["plain", {"base64": "/2J5dGVz"}, "a+b c/d"],
        "more": true,
        "next": "a%2Bb%20c%2Fd",
    });
    assert_eq!(page, expected);
    let Some(Request::List { bucket, after, prefix, limit, options }) =
        asked.lock().unwrap().take()
    else {
        panic!("a listing was asked for")
    };
    assert_eq!((bucket.as_str(), limit, options.r), ("b", 3, Some(1)));
    assert_eq!(after, Some(Key::new(&b"\xff+"[..]).unwrap()));
    assert_eq!(&prefix[..], b"a b c");
}

#[test]
fn requests_sent_in_one_go_are_answered_in_order() {
    let node = FakeNode::start(|_| Some(object(vec![sibling(b"v", "", 1)])));
    let mut connection = Connection::open(node.address);
    let one = "GET /v1/kv/b/k HTTP/1.1\r\nhost: x\r\n\r\n";
    let other = "GET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n";
    connection.send(format!("{one}{other}{one}"));
    let statuses = [(); 3].map(|()| connection.response().status);
    assert_eq!(statuses, [200, 404, 200]);
}

#[test]
fn a_node_is_ready_once_nobody_is_missing_or_those_missing_are_judged_down() {
    let unreachable = vec![NodeId(2), NodeId(3)];
    let status = NodeStatus { unreachable, awaited: vec![NodeId(2)], ..NodeStatus::default() };
    let node = FakeNode::start_in(&settings(), status.clone(), |_| None);
    let response = get(node.address, "/readyz");
    assert_eq!((response.status, response.problem().as_str()), (503, "not-ready"));
    let detail = response.json()["detail"].clone();
    assert_eq!(detail, "no connection yet to node-2", "node-3 is judged down");

    let judged = NodeStatus { awaited: Vec::new(), ..status };
    let node = FakeNode::start_in(&settings(), judged, |_| None);
    let response = get(node.address, "/readyz");
    assert_eq!((response.status, &response.json()["unreachable"][0]), (200, &"node-2".into()));

    let node = FakeNode::start_in(&settings(), NodeStatus::default(), |_| None);
    assert_eq!(get(node.address, "/readyz").status, 200);
    node.state.begin_stopping();
    assert_eq!(get(node.address, "/readyz").problem(), "not-ready");
}

#[test]
fn metrics_count_what_was_served() {
    let node = FakeNode::start(|_| Some(object(Vec::new())));
    assert_eq!(get(node.address, "/v1/kv/b/k").status, 404);
    let response = get(node.address, "/metrics");
    let page = String::from_utf8(response.body).unwrap();
    let expected = "dynamo_http_requests_total{route=\"get\",status=\"404\"} 1\n";
    assert!(page.contains(expected), "{page}");
}
