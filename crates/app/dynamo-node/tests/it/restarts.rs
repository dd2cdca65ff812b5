//! Ends of processes, planned and not.

use crate::cluster::{Cluster, try_get, until};
use crate::http_client::{Connection, get, request};

#[test]
fn what_was_acknowledged_survives_the_death_of_all_nodes() {
    let mut cluster = Cluster::start(3);
    let mut connection = Connection::open(cluster.http(1));
    let value = |i: usize| vec![u8::try_from(i % 251).unwrap(); 100 * (i % 90)];
    for i in 0..200 {
        let target = format!("/v1/kv/b/key-{i}");
        assert_eq!(connection.request("PUT", &target, &[], Some(&value(i))).status, 204);
    }
    let settings = br#"{"w": 3}"#;
    let put = request(cluster.http(1), "PUT", "/v1/buckets/kept", &[], Some(settings));
    assert_eq!(put.status, 200);
    (1..=3).for_each(|number| cluster.kill(number));
    (1..=3).for_each(|number| cluster.run(number));
    (1..=3).for_each(|number| cluster.wait_ready(number));
    for number in 1..=3 {
        let mut connection = Connection::open(cluster.http(number));
        for i in 0..200 {
            let found = connection.request("GET", &format!("/v1/kv/b/key-{i}"), &[], None);
            assert_eq!(found.status, 200, "{found:?}");
            assert!(found.body == value(i), "key {i} changed");
        }
    }
    assert_eq!(get(cluster.http(2), "/v1/buckets/kept").json()["w"], 3);
    // New writes after a restart replace what was read, and nothing else.
    let found = get(cluster.http(1), "/v1/kv/b/key-7");
    let headers = [("dynamo-context", found.header("dynamo-context").unwrap())];
    let put = request(cluster.http(2), "PUT", "/v1/kv/b/key-7", &headers, Some(b"new"));
    assert_eq!(put.status, 204);
    assert_eq!(get(cluster.http(3), "/v1/kv/b/key-7").body, b"new");
}

#[test]
fn a_terminated_node_says_goodbye_and_ends_well() {
    let mut cluster = Cluster::start(3);
    assert_eq!(request(cluster.http(1), "PUT", "/v1/kv/b/k", &[], Some(b"v")).status, 204);
    let kept_alive = Connection::open(cluster.http(1));
    assert!(cluster.terminate(1).success(), "{}", cluster.log(1));
    drop(kept_alive);
    assert!(try_get(cluster.http(1), "/healthz").is_err(), "nothing listens any more");
    let log = cluster.log(1);
    assert!(log.contains("the database is synced") && log.contains("stopped"), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
    cluster.run(1);
    cluster.wait_ready(1);
    assert_eq!(get(cluster.http(1), "/v1/kv/b/k").body, b"v");
}

#[test]
fn a_full_disk_refuses_puts_and_goes_on_reading() {
    let mut cluster = Cluster::start(3);
    assert_eq!(request(cluster.http(1), "PUT", "/v1/kv/b/k", &[], Some(b"v")).status, 204);
    for number in 1..=3 {
        assert!(cluster.terminate(number).success());
        let config = cluster.path(&format!("node-{number}/dynamo.toml"));
        let mut text = std::fs::read_to_string(&config).unwrap();
        // More than any disk has.
        text.push_str("[storage]\nfree_bytes_min = \"1000000GiB\"\n");
        std::fs::write(&config, text).unwrap();
        cluster.run(number);
    }
    (1..=3).for_each(|number| cluster.wait_ready(number));
    let put = request(cluster.http(1), "PUT", "/v1/kv/b/other", &[], Some(b"v"));
    assert_eq!((put.status, put.problem().as_str()), (507, "storage-full"), "{put:?}");
    assert_eq!(get(cluster.http(2), "/v1/kv/b/k").body, b"v");
    assert_eq!(get(cluster.http(3), "/v1/kv/b/other").problem(), "no-such-object");
}

/// What a node says of a member: its place in `/v1/cluster`.
fn member(cluster: &Cluster, at: usize, name: &str) -> Option<serde_json::Value> {
    let view = try_get(cluster.http(at), "/v1/cluster").ok()?.json();
    view["members"].as_array()?.iter().find(|member| member["name"] == name).cloned()
}

fn has(cluster: &Cluster, at: usize, name: &str, field: &str, value: &str) -> bool {
    member(cluster, at, name).is_some_and(|member| member[field] == value)
}

#[test]
fn a_node_that_was_moved_is_found_where_it_says() {
    let mut cluster = Cluster::start(3);
    for number in 1..=3 {
        // Whoever has which id: some wait to be dialled, and have to dial themselves.
        assert!(cluster.terminate(number).success());
        let mut moved = cluster.quic(number);
        moved.set_port(moved.port() + 10);
        let config = cluster.path(&format!("node-{number}/dynamo.toml"));
        let mut text = std::fs::read_to_string(&config).unwrap();
        text.push_str(&format!("[advertise]\naddress = \"{moved}\"\nname = \"moved-{number}\"\n"));
        std::fs::write(&config, text).unwrap();
        cluster.run(number);
        let (moved, name) = (moved.to_string(), format!("moved-{number}"));
        for at in 1..=3 {
            until(&format!("node {at} knows where node {number} is"), || {
                has(&cluster, at, &name, "address", &moved)
                    && member(&cluster, at, &name).is_some_and(|m| m["reachable"] == true)
            });
        }
        cluster.wait_ready(number);
    }
    let put = request(cluster.http(1), "PUT", "/v1/kv/b/k?w=3", &[], Some(b"v"));
    assert_eq!(put.status, 204, "{put:?}");
    // It is written down: all start anew, and the genesis is wrong about each of them.
    (1..=3).for_each(|number| cluster.kill(number));
    (1..=3).for_each(|number| cluster.run(number));
    (1..=3).for_each(|number| cluster.wait_ready(number));
    assert_eq!(get(cluster.http(2), "/v1/kv/b/k?r=3").body, b"v");
}

#[test]
fn what_is_thought_of_members_is_shown_and_a_start_does_not_wait_for_the_dead() {
    let mut cluster = Cluster::start(3);
    for name in ["node-1", "node-2", "node-3"] {
        until(&format!("{name} is up"), || has(&cluster, 1, name, "liveness", "up"));
    }
    cluster.kill(3);
    for at in 1..=2 {
        until("it is missed", || has(&cluster, at, "node-3", "liveness", "down"));
    }
    let page = String::from_utf8(get(cluster.http(1), "/metrics").body).unwrap();
    for line in ["dynamo_members{liveness=\"up\"} 2", "dynamo_members{liveness=\"down\"} 1"] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    cluster.kill(1);
    cluster.run(1);
    cluster.wait_ready(1);
    assert_eq!(get(cluster.http(1), "/readyz").json()["unreachable"][0], "node-3");
    cluster.run(3);
    cluster.wait_ready(3);
    until("it is back", || has(&cluster, 2, "node-3", "liveness", "up"));
    let log = cluster.log(2);
    assert!(log.contains("liveness=\"down\"") && log.contains("liveness=\"up\""), "{log}");
}

#[test]
fn a_node_that_comes_back_is_found_again() {
    let mut cluster = Cluster::start(3);
    cluster.kill(2);
    assert_eq!(request(cluster.http(1), "PUT", "/v1/kv/b/k", &[], Some(b"v")).status, 204);
    cluster.run(2);
    cluster.wait_ready(2);
    assert_eq!(get(cluster.http(2), "/v1/kv/b/k").body, b"v");
}
