//! Whatever is sent, the answer is a problem with a stable name, and others are served meanwhile.

use std::time::Duration;

use dynamo_messages::{Failure, Invalid, ListPage, ObjectReply, Reply, Request, SiblingReply};
use dynamo_types::{ActorId, WallTime};
use dynamo_versioning::Dot;

use crate::cluster::until;
use crate::fake_node::{FakeNode, settings};
use crate::http_client::{Connection, get, request};

/// A fake that would answer every request well.
fn willing() -> FakeNode {
    FakeNode::start(|_| Some(Reply::Page(ListPage { keys: Vec::new(), more: false })))
}

fn head(line: &str, headers: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes()
}

#[test]
fn every_bad_request_gets_its_problem() {
    let node = willing();
    let long_key = format!("GET /v1/kv/b/{}", "k".repeat(1025));
    let long_line = format!("GET /{}", "k".repeat(70_000));
    let large_head = format!("x: {}\r\n", "y".repeat(200_000));
    let many_headers = "x: y\r\n".repeat(150);
    let many_contexts = "dynamo-context: AAAA\r\n".repeat(17);
    let long_context = format!("dynamo-context: {}\r\n", "A".repeat(4097));
    let long_type = format!("content-type: {}\r\n", "a".repeat(256));
    let put = "PUT /v1/kv/b/k";
    for (bytes, status, problem) in [
        (head("GET /", ""), 404, "not-found"),
        (head("GET /v1/kv", ""), 404, "not-found"),
        (head("GET /v1/kv/", ""), 404, "not-found"),
        (head("GET /v1/nothing/b/k", ""), 404, "not-found"),
        (head("GET /v1/kv/b/", ""), 400, "invalid-key"),
        (head("GET /v1/kv//k", ""), 400, "invalid-bucket"),
        (head("GET /v1/kv/b!/k", ""), 400, "invalid-bucket"),
        (head(&format!("GET /v1/kv/{}/k", "b".repeat(65)), ""), 400, "invalid-bucket"),
        (head("GET /v1/kv/b/%zz", ""), 400, "invalid-key"),
        (head(&long_key, ""), 400, "invalid-key"),
        (head("GET /v1/kv/b/k?r=0", ""), 400, "invalid-parameter"),
        (head("GET /v1/kv/b/k?r=4", ""), 400, "invalid-parameter"),
        (head("GET /v1/kv/b/k?rr=1", ""), 400, "invalid-parameter"),
        (head("GET /v1/kv/b/k?limit=1", ""), 400, "invalid-parameter"),
        (head("GET /v1/kv/b/k?quorum=sloppy", ""), 400, "invalid-parameter"),
        (head("GET /v1/kv/b/k?timeout_ms=0", ""), 400, "invalid-parameter"),
        (head("GET /v1/kv/b?limit=1001", ""), 400, "invalid-parameter"),
        (head("GET /v1/kv/b?after=", ""), 400, "invalid-parameter"),
        (head("GET /v1/cluster?x=1", ""), 400, "invalid-parameter"),
        (head(put, &many_contexts), 400, "invalid-context"),
        (head(put, &long_context), 400, "invalid-context"),
        (head(put, &long_type), 400, "invalid-header"),
        (head(put, "idempotency-key: \r\n"), 400, "invalid-header"),
        (head(put, "idempotency-key: a\r\nidempotency-key: b\r\n"), 400, "invalid-header"),
        (head("POST /v1/kv/b/k", ""), 405, "method-not-allowed"),
        (head("PUT /v1/kv/b", ""), 405, "method-not-allowed"),
        (head("DELETE /v1/buckets/b", ""), 405, "method-not-allowed"),
        (head("PUT /v1/cluster", ""), 405, "method-not-allowed"),
        (head("PUT /v1/buckets/b", "content-length: 7\r\n\r\n{\"n\":3}"), 400, "invalid-settings"),
        (head("GET /v1/cluster/plan", ""), 405, "method-not-allowed"),
        (head("POST /v1/transfers", ""), 405, "method-not-allowed"),
        (head("GET /v1/transfers?x=1", ""), 400, "invalid-parameter"),
        (head("POST /v1/cluster/plan", "content-length: 0\r\n"), 400, "invalid-change"),
        (
            head("POST /v1/cluster/cancel", "content-length: 7\r\n\r\n{\"x\":3}"),
            400,
            "invalid-change",
        ),
        (head(put, "content-length: 3000000\r\n\r\n"), 413, "value-too-large"),
        (head(put, "content-length: x\r\n"), 400, "malformed-request"),
        (head(put, "transfer-encoding: chunked\r\n\r\nzz\r\n"), 400, "malformed-request"),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            400,
            "malformed-request",
        ),
        (b"GET\r\n\r\n".to_vec(), 400, "malformed-request"),
        (b"GET / HTTP/3.7\r\n\r\n".to_vec(), 400, "malformed-request"),
        (head(&long_line, ""), 414, "uri-too-long"),
        (head("GET /v1/cluster", &large_head), 431, "headers-too-large"),
        (head("GET /v1/cluster", &many_headers), 431, "headers-too-large"),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        let mut connection = Connection::open(node.address);
        connection.send(&bytes);
        if problem == "value-too-large" {
            connection.send(vec![0; 3_000_000]);
        }
        let response = connection.response();
        assert_eq!((response.status, response.problem().as_str()), (status, problem), "{shown}");
        if status == 405 {
            let allowed = if shown.starts_with("GET") { "POST" } else { "GET" };
            let allow = response.header("allow").unwrap_or_default();
            assert!(allow.contains(allowed), "{shown}: {allow}");
        }
    }
    assert_eq!(get(node.address, "/healthz").status, 200, "the server is unharmed");
}

#[test]
fn every_failure_of_the_machine_has_its_status_and_figures() {
    let invalid = |reason| Failure::Invalid { reason, detail: "because".to_owned() };
    for (failure, status, problem, figure) in [
        (invalid(Invalid::Option), 400, "invalid-parameter", None),
        (invalid(Invalid::Context), 400, "invalid-context", None),
        (invalid(Invalid::Settings), 400, "invalid-settings", None),
        (invalid(Invalid::ValueTooLarge), 413, "value-too-large", None),
        (invalid(Invalid::RequestIdReused), 422, "request-id-reused", None),
        (invalid(Invalid::TooManySiblings), 409, "too-many-siblings", None),
        (invalid(Invalid::Unsupported), 501, "unsupported", None),
        (
            Failure::NotEnoughReplicas { reached: 1, needed: 2 },
            503,
            "not-enough-replicas",
            Some(("needed", 2)),
        ),
        (
            Failure::OutcomeUnknown { reached: 1, needed: 2 },
            504,
            "outcome-unknown",
            Some(("reached", 1)),
        ),
        (
            Failure::Overloaded { retry_after_ms: 1500 },
            503,
            "overloaded",
            Some(("retry_after_ms", 1500)),
        ),
        (Failure::StorageFull, 507, "storage-full", None),
        (Failure::StorageFailed, 503, "storage-failed", None),
    ] {
        let answer = failure.clone();
        let node = FakeNode::start(move |_| Some(Reply::Failed(answer.clone())));
        for method in ["GET", "DELETE"] {
            let response = request(node.address, method, "/v1/kv/b/k", &[], None);
            let found = (response.status, response.problem());
            assert_eq!(found, (status, problem.to_owned()), "{failure:?}");
            if let Some((name, value)) = figure {
                assert_eq!(response.json()[name], value, "{failure:?}");
            }
            let retry_after = matches!(failure, Failure::Overloaded { .. }).then_some("2");
            assert_eq!(response.header("retry-after"), retry_after, "{failure:?}");
        }
    }
}

#[test]
fn a_half_sent_head_is_timed_out_and_holds_nobody_up() {
    let mut settings = settings();
    settings.http.header_timeout = Duration::from_millis(300);
    let node = FakeNode::start_with(&settings, Vec::new(), |_| None);
    let mut slow = Connection::open(node.address);
    slow.send("GET /v1/cluster HTTP/1.1\r\nhost: x");
    assert_eq!(get(node.address, "/healthz").status, 200);
    let response = slow.response();
    assert_eq!((response.status, response.problem().as_str()), (408, "request-timeout"));

    let mut slow = Connection::open(node.address);
    assert_eq!(slow.request("GET", "/healthz", &[], None).status, 200);
    slow.send("GET /v1/cluster HTTP/1.1\r\nhost: x");
    assert_eq!(slow.response().problem(), "request-timeout", "also after a whole request");
}

#[test]
fn a_connection_without_a_request_just_ends() {
    let mut settings = settings();
    settings.http.idle_timeout = Duration::from_millis(300);
    let node = FakeNode::start_with(&settings, Vec::new(), |_| None);
    let quiet = Connection::open(node.address);
    let mut used = Connection::open(node.address);
    assert_eq!(used.request("GET", "/healthz", &[], None).status, 200);
    assert_eq!((quiet.read_to_end(), used.read_to_end()), (0, 0));
}

#[test]
fn who_does_not_take_its_responses_is_cut_off() {
    let mut settings = settings();
    settings.http.body_timeout = Duration::from_millis(300);
    settings.http.connections_max = 1;
    let large: &'static [u8] = vec![0; 16 << 20].leak();
    let node = FakeNode::start_with(&settings, Vec::new(), move |_| {
        let sibling = SiblingReply {
            value: large.into(),
            content_type: "".into(),
            dot: Dot { actor: ActorId(1), counter: 1 },
            written_at: WallTime(0),
            expires_at: None,
        };
        Some(Reply::Object(ObjectReply { siblings: vec![sibling], context: "AA".into() }))
    });
    let mut deaf = Connection::open(node.address);
    deaf.send(head("GET /v1/kv/b/k", ""));
    // Its place is free again once it is cut off.
    until("somebody else is served", || get(node.address, "/healthz").status == 200);
    assert!(deaf.read_to_end() < large.len());
}

#[test]
fn a_half_sent_body_is_timed_out_and_holds_nobody_up() {
    let mut settings = settings();
    settings.http.body_timeout = Duration::from_millis(300);
    let node = FakeNode::start_with(&settings, Vec::new(), |_| None);
    let mut slow = Connection::open(node.address);
    slow.send("PUT /v1/kv/b/k HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf");
    assert_eq!(get(node.address, "/healthz").status, 200);
    let response = slow.response();
    assert_eq!((response.status, response.problem().as_str()), (408, "request-timeout"));

    let mut broken = Connection::open(node.address);
    broken.send("PUT /v1/kv/b/k HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf");
    drop(broken);
    assert_eq!(get(node.address, "/healthz").status, 200);
}

#[test]
fn beyond_the_bounds_requests_are_refused_before_their_body_is_read() {
    let mut settings = settings();
    settings.http.requests_max = 1;
    let node = FakeNode::start_with(&settings, Vec::new(), |_| None);
    let mut first = Connection::open(node.address);
    first.send(head("GET /v1/kv/b/k", ""));
    // The first is under way once a second one is refused.
    let refused = loop {
        let mut second = Connection::open(node.address);
        second.send(head("PUT /v1/kv/b/k", "content-length: 1000000\r\n"));
        if let response @ crate::http_client::Response { status: 503, .. } = second.response() {
            break response;
        }
    };
    assert_eq!(refused.problem(), "overloaded");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(get(node.address, "/healthz").status, 200, "health is not counted");
}

#[test]
fn beyond_the_connections_newcomers_are_told_so() {
    let mut settings = settings();
    settings.http.connections_max = 1;
    let node = FakeNode::start_with(&settings, Vec::new(), |_| None);
    let mut only = Connection::open(node.address);
    assert_eq!(only.request("GET", "/healthz", &[], None).status, 200);
    let mut second = Connection::open(node.address);
    let response = second.response();
    assert_eq!((response.status, response.problem().as_str()), (503, "overloaded"));
    assert_eq!(only.request("GET", "/healthz", &[], None).status, 200);
}

#[test]
fn a_stopping_server_finishes_what_is_under_way() {
    let (asked, was_asked) = std::sync::mpsc::channel();
    let (answer, answers) = std::sync::mpsc::channel();
    let node = FakeNode::start(move |_| {
        asked.send(()).unwrap();
        answers.recv().unwrap()
    });
    let address = node.address;
    let client = std::thread::spawn(move || get(address, "/v1/kv/b"));
    was_asked.recv().unwrap();
    node.state.begin_stopping();
    answer.send(Some(Reply::Page(ListPage { keys: Vec::new(), more: false }))).unwrap();
    node.stop();
    assert_eq!(client.join().unwrap().status, 200);
    assert!(Connection::try_open(address).is_err(), "nothing listens any more");
}

#[test]
fn a_node_that_ends_before_it_answers_leaves_the_outcome_of_a_put_unknown() {
    let mut grace = settings();
    grace.shutdown_grace = Duration::from_secs(10);
    let node = FakeNode::start_with(&grace, Vec::new(), |request| match request {
        // A dropped answer is what a dying loop leaves.
        Request::Mutate(_) => panic!("the fake dies here"),
        _ => None,
    });
    let response = request(node.address, "PUT", "/v1/kv/b/k", &[], Some(b"v"));
    assert_eq!((response.status, response.problem().as_str()), (504, "outcome-unknown"));
    let response = get(node.address, "/v1/kv/b/k");
    assert_eq!((response.status, response.problem().as_str()), (503, "stopping"));
}
