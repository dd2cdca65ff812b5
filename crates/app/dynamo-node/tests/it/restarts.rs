//! Ends of processes, planned and not.

use crate::cluster::{Cluster, try_get};
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

#[test]
fn a_node_that_comes_back_is_found_again() {
    let mut cluster = Cluster::start(3);
    cluster.kill(2);
    assert_eq!(request(cluster.http(1), "PUT", "/v1/kv/b/k", &[], Some(b"v")).status, 204);
    cluster.run(2);
    cluster.wait_ready(2);
    assert_eq!(get(cluster.http(2), "/v1/kv/b/k").body, b"v");
}
