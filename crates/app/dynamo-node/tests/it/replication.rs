//! Three nodes, seen through HTTP.

use crate::cluster::Cluster;
use crate::http_client::{get, request};

#[test]
fn what_one_node_took_every_node_gives() {
    let cluster = Cluster::start(3);
    for i in 0..30 {
        let target = format!("/v1/kv/b/key-{i}");
        let value = format!("value {i}");
        let put = request(cluster.http(1 + i % 3), "PUT", &target, &[], Some(value.as_bytes()));
        assert_eq!(put.status, 204, "{put:?}");
        let receipt = put.header("dynamo-receipt").unwrap();
        assert!(receipt.contains("hints=0"), "{receipt}");
        for number in 1..=3 {
            let found = get(cluster.http(number), &target);
            assert_eq!((found.status, &found.body[..]), (200, value.as_bytes()));
        }
    }
    let page = get(cluster.http(2), "/v1/kv/b?limit=1000").json();
    assert_eq!((page["keys"].as_array().unwrap().len(), &page["more"]), (30, &false.into()));
}

#[test]
fn concurrent_puts_are_kept_until_one_replaces_them_all() {
    let cluster = Cluster::start(3);
    let target = "/v1/kv/carts/alice";
    for (number, value) in [(1, b"book"), (2, b"lamp")] {
        let put = request(cluster.http(number), "PUT", target, &[], Some(value));
        assert_eq!(put.status, 204, "{put:?}");
    }
    let found = get(cluster.http(3), target);
    assert_eq!((found.status, found.header("dynamo-siblings")), (300, Some("2")));
    let context = found.header("dynamo-context").unwrap();
    assert_eq!(found.json()["context"], context);

    let headers = [("dynamo-context", context)];
    let merged = request(cluster.http(1), "PUT", target, &headers, Some(b"book, lamp"));
    assert_eq!(merged.status, 204, "{merged:?}");
    for number in 1..=3 {
        let found = get(cluster.http(number), target);
        assert_eq!((found.status, &found.body[..]), (200, &b"book, lamp"[..]), "{found:?}");
    }
    let other_key = request(cluster.http(1), "PUT", "/v1/kv/carts/bob", &headers, Some(b"x"));
    assert_eq!(other_key.problem(), "invalid-context");
}

#[test]
fn a_deleted_key_is_gone_on_every_node() {
    let cluster = Cluster::start(3);
    let target = "/v1/kv/b/%ff%00/deleted";
    assert_eq!(request(cluster.http(1), "PUT", target, &[], Some(b"v")).status, 204);
    let deleted = request(cluster.http(2), "DELETE", target, &[], None);
    assert_eq!(deleted.status, 204, "{deleted:?}");
    for number in 1..=3 {
        assert_eq!(get(cluster.http(number), target).problem(), "no-such-object");
    }
}

#[test]
fn the_same_idempotency_key_writes_once_through_any_node() {
    let cluster = Cluster::start(3);
    let target = "/v1/kv/b/once";
    let headers = [("idempotency-key", "order-4711")];
    for number in 1..=3 {
        let put = request(cluster.http(number), "PUT", target, &headers, Some(b"v"));
        assert_eq!(put.status, 204, "{put:?}");
    }
    let found = get(cluster.http(1), target);
    assert_eq!((found.status, found.header("dynamo-siblings")), (200, Some("1")));
    let other = request(cluster.http(2), "PUT", target, &headers, Some(b"another"));
    assert_eq!(other.problem(), "request-id-reused");
}

#[test]
fn bucket_settings_reach_every_node() {
    let cluster = Cluster::start(3);
    let settings = br#"{"profile": "timestamp", "expiry_ms": 86400000}"#;
    let put = request(cluster.http(1), "PUT", "/v1/buckets/sessions", &[], Some(settings));
    assert_eq!(put.status, 200, "{put:?}");
    for number in 1..=3 {
        crate::cluster::until("the settings arrived", || {
            let found = get(cluster.http(number), "/v1/buckets/sessions").json();
            found["profile"] == "timestamp" && found["expiry_ms"] == 86_400_000
        });
    }
    for (number, value) in [(1, b"1"), (2, b"2"), (3, b"3")] {
        let target = "/v1/kv/sessions/s";
        assert_eq!(request(cluster.http(number), "PUT", target, &[], Some(value)).status, 204);
        let found = get(cluster.http(1), target);
        assert_eq!((found.status, &found.body[..]), (200, &value[..]), "the last write wins");
    }
}

#[test]
fn two_nodes_of_three_go_on_and_one_alone_says_why_not() {
    let mut cluster = Cluster::start(3);
    let target = "/v1/kv/b/k";
    cluster.kill(3);
    assert_eq!(request(cluster.http(1), "PUT", target, &[], Some(b"v")).status, 204);
    assert_eq!(get(cluster.http(2), target).body, b"v");
    cluster.kill(2);
    let put = request(cluster.http(1), "PUT", target, &[], Some(b"w"));
    assert!(matches!(put.problem().as_str(), "outcome-unknown" | "not-enough-replicas"), "{put:?}");
    let alone = request(cluster.http(1), "GET", "/v1/kv/b/k?r=1", &[], None);
    assert!(matches!(alone.status, 200 | 300), "{alone:?}");
}

#[test]
fn the_cluster_and_its_partitions_are_shown() {
    let cluster = Cluster::start(3);
    let view = get(cluster.http(1), "/v1/cluster").json();
    let members = view["members"].as_array().unwrap();
    assert_eq!(members.len(), 3);
    let share: f64 = members.iter().map(|member| member["share"].as_f64().unwrap()).sum();
    assert!((share - 1.0).abs() < 1e-9);
    assert!(members.iter().all(|member| member["state"] == "member"));
    let ring = get(cluster.http(2), "/v1/ring").json();
    let partitions = ring["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 16);
    let ids: Vec<_> = members.iter().map(|member| &member["id"]).collect();
    for set in partitions {
        let set = set.as_array().unwrap();
        assert!(set.len() == 3 && set.iter().all(|node| ids.contains(&node)), "{set:?}");
    }
}
