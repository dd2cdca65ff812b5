//! Who may do what with which token.

use std::collections::BTreeSet;

use dynamo_messages::{ListPage, Reply};
use dynamo_node::access::{Credential, Permission};

use crate::fake_node::{FakeNode, settings};
use crate::http_client::{get, request};

const READER: &str = "reader-0123456789";
const WRITER: &str = "writer-0123456789";
const ADMIN: &str = "admin-0123456789";

fn protected() -> FakeNode {
    let mut settings = settings();
    settings.http.credentials = [
        (READER, BTreeSet::from([Permission::Read])),
        (WRITER, BTreeSet::from([Permission::Read, Permission::Write])),
        (ADMIN, BTreeSet::from([Permission::Read, Permission::Write, Permission::Admin])),
    ]
    .map(|(token, permissions)| Credential::new(token.into(), token.as_bytes(), permissions))
    .into();
    FakeNode::start_with(&settings, Vec::new(), |_| {
        Some(Reply::Page(ListPage { keys: Vec::new(), more: false }))
    })
}

#[test]
fn every_principal_can_do_its_own_and_nothing_else() {
    let node = protected();
    let operations = [
        ("GET", "/v1/kv/b", Permission::Read),
        ("GET", "/v1/kv/b/k", Permission::Read),
        ("HEAD", "/v1/kv/b/k", Permission::Read),
        ("GET", "/v1/buckets", Permission::Read),
        ("GET", "/v1/cluster", Permission::Read),
        ("GET", "/v1/ring", Permission::Read),
        ("GET", "/metrics", Permission::Read),
        ("PUT", "/v1/kv/b/k", Permission::Write),
        ("DELETE", "/v1/kv/b/k", Permission::Write),
        ("PUT", "/v1/buckets/b", Permission::Admin),
        ("GET", "/v1/transfers", Permission::Read),
        ("POST", "/v1/cluster/plan", Permission::Admin),
        ("POST", "/v1/cluster/commit", Permission::Admin),
        ("POST", "/v1/cluster/cancel", Permission::Admin),
        ("POST", "/v1/cluster/force", Permission::Admin),
    ];
    for (token, allowed) in [
        (Some(READER), &[Permission::Read][..]),
        (Some(WRITER), &[Permission::Read, Permission::Write]),
        (Some(ADMIN), &[Permission::Read, Permission::Write, Permission::Admin]),
        (Some("somebody-0123456"), &[]),
        (None, &[]),
    ] {
        let header = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = header.iter().map(|value| ("authorization", &value[..])).collect();
        for (method, target, needed) in operations {
            let body = (method == "PUT").then_some(&b"{}"[..]);
            let response = request(node.address, method, target, &headers, body);
            let known = !allowed.is_empty();
            let expected = match (known, allowed.contains(&needed)) {
                (false, _) => Some(401),
                (true, false) => Some(403),
                (true, true) => None,
            };
            match expected {
                Some(status) => assert_eq!(response.status, status, "{token:?} {method} {target}"),
                None => {
                    let refused = matches!(response.status, 401 | 403);
                    assert!(!refused, "{token:?} {method} {target}: {response:?}");
                }
            }
            if response.status == 401 {
                assert_eq!(response.header("www-authenticate"), Some("Bearer"));
            }
        }
    }
}

#[test]
fn health_is_open_to_everybody() {
    let node = protected();
    assert_eq!(get(node.address, "/healthz").status, 200);
    assert_eq!(get(node.address, "/readyz").status, 200);
}

#[test]
fn other_schemes_and_half_headers_are_no_credential() {
    let node = protected();
    for value in [READER, "Basic cmVhZGVy", "Bearer", "Bearer ", &format!("Basic {READER}")] {
        let headers = [("authorization", value)];
        let response = request(node.address, "GET", "/v1/cluster", &headers, None);
        assert_eq!(response.problem(), "unauthorized", "{value}");
    }
}
