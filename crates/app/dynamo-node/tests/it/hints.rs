//! Sloppy quorums and hinted handoff over real links and disks (Paper §4.6).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::cluster::{Cluster, until};
use crate::http_client::{Connection, Response, get, request};

/// With a timeout beyond anything that a busy machine does to a request: what is tested is the outcome.
const PATIENT: &str = "timeout_ms=20000";

/// What is put under a key: about a kilobyte.
fn value(key: &str) -> Vec<u8> {
    format!("{key:>1000}").into_bytes()
}

fn put(address: SocketAddr, key: &str, query: &str) -> Response {
    let target = format!("/v1/kv/b/{key}?{PATIENT}{query}");
    request(address, "PUT", &target, &[], Some(&value(key)))
}

fn assert_holds(address: SocketAddr, key: &str) {
    let found = get(address, &format!("/v1/kv/b/{key}?{PATIENT}"));
    assert!(found.status == 200 && found.body == value(key), "{key}: {found:?}");
}

/// How many hints a receipt counts.
fn hints_of(put: &Response) -> u64 {
    assert_eq!(put.status, 204, "{put:?}");
    let receipt = put.header("dynamo-receipt").unwrap();
    receipt.rsplit_once("hints=").unwrap().1.parse().unwrap()
}

/// All hints that these nodes keep.
fn hints(cluster: &Cluster, numbers: impl IntoIterator<Item = usize>) -> u64 {
    numbers.into_iter().map(|number| cluster.metric(number, "dynamo_hints")).sum()
}

/// The numbers of the nodes that replicate a key, as any node knows them.
fn replicas_of(address: SocketAddr, key: &str) -> BTreeSet<usize> {
    let json = get(address, &format!("/v1/explain/b/{key}")).json();
    let replicas = json["replicas"].as_array().unwrap();
    let name = |replica: &serde_json::Value| replica["name"].as_str().unwrap().to_owned();
    replicas.iter().map(|r| name(r).rsplit_once('-').unwrap().1.parse().unwrap()).collect()
}

fn assert_agreed_without_hints(address: SocketAddr, key: &str) {
    let mut json = serde_json::Value::Null;
    // Right after a start two nodes that dialled each other drop one of their links.
    until("all replicas answer", || {
        json = get(address, &format!("/v1/explain/b/{key}")).json();
        let replicas = json["replicas"].as_array().unwrap();
        replicas.iter().all(|replica| replica["state"] != "unreachable")
    });
    assert_eq!((&json["agree"], &json["hints"]), (&true.into(), &serde_json::json!([])), "{json}");
    let digests: Vec<_> =
        json["replicas"].as_array().unwrap().iter().map(|replica| &replica["digest"]).collect();
    assert!(digests.iter().all(|digest| digest.is_string() && *digest == digests[0]), "{json}");
}

#[test]
fn with_any_two_of_five_nodes_stopped_every_put_succeeds_and_is_read() {
    let mut cluster = Cluster::start(5);
    let mut hinted = 0;
    for first in 1..=5 {
        for second in first + 1..=5 {
            // Some say goodbye; of the others it is noticed when they stay silent.
            assert!(cluster.terminate(first).success());
            if first == 1 {
                cluster.kill(second);
            } else {
                assert!(cluster.terminate(second).success());
            }
            let up: Vec<usize> = (1..=5).filter(|n| *n != first && *n != second).collect();
            for i in 0..40 {
                let key = format!("{first}-{second}-{i}");
                hinted += hints_of(&put(cluster.http(up[i % 3]), &key, "&w=2"));
                assert_holds(cluster.http(up[(i + 1) % 3]), &key);
            }
            for number in [first, second] {
                cluster.run(number);
            }
            for number in [first, second] {
                cluster.wait_ready(number);
            }
        }
    }
    assert!(hinted > 0, "no fallback ever counted");
}

#[test]
fn a_thousand_hints_drain_to_zero_and_leave_equal_replicas() {
    let mut cluster = Cluster::start(5);
    for number in [4, 5] {
        assert!(cluster.terminate(number).success());
    }
    let keys: Vec<String> = (0..1_000).map(|i| format!("key-{i}")).collect();
    let mut connections: Vec<_> = (1..=3).map(|n| Connection::open(cluster.http(n))).collect();
    for (i, key) in keys.iter().enumerate() {
        let target = format!("/v1/kv/b/{key}?w=2&{PATIENT}");
        let put = connections[i % 3].request("PUT", &target, &[], Some(&value(key)));
        assert_eq!(put.status, 204, "{put:?}");
    }
    // Two nodes hold two fifths of three copies. The last ones may still be on their way to the disk.
    until("a thousand hints are kept", || hints(&cluster, 1..=3) >= 1_000);
    for number in [4, 5] {
        cluster.run(number);
    }
    for number in [4, 5] {
        cluster.wait_ready(number);
    }
    until("all hints were handed over", || hints(&cluster, 1..=5) == 0);
    for number in 1..=5 {
        assert_eq!(cluster.metric(number, "dynamo_hint_space_bytes"), 0, "node {number}");
    }
    for (i, key) in keys.iter().enumerate() {
        assert_agreed_without_hints(cluster.http(1 + i % 5), key);
    }
    let delivered: u64 = (1..=3).map(|n| cluster.metric(n, "dynamo_hints_delivered_total")).sum();
    assert!(delivered >= 1_000, "{delivered}");
}

#[test]
fn fallback_data_after_restart_is_handed_over() {
    let mut cluster = Cluster::start(5);
    assert!(cluster.terminate(5).success());
    let keys: Vec<String> = (0..100).map(|i| format!("key-{i}")).collect();
    for (i, key) in keys.iter().enumerate() {
        hints_of(&put(cluster.http(1 + i % 4), key, "&w=3"));
    }
    let kept: Vec<u64> = (1..=4).map(|n| cluster.metric(n, "dynamo_hints")).collect();
    assert!(kept.iter().sum::<u64>() > 0, "{kept:?}");
    (1..=4).for_each(|number| cluster.kill(number));
    (1..=4).for_each(|number| cluster.run(number));
    (1..=4).for_each(|number| cluster.wait_ready(number));
    let found: Vec<u64> = (1..=4).map(|n| cluster.metric(n, "dynamo_hints")).collect();
    assert_eq!(found, kept, "a restart neither loses a hint nor makes one");
    let json = get(cluster.http(1), "/v1/explain/b/key-0").json();
    let is_hinted = replicas_of(cluster.http(1), "key-0").contains(&5);
    assert_eq!(json["hints"].as_array().unwrap().is_empty(), !is_hinted, "{json}");

    // The target is there before its fallbacks are, so no new link tells them of it.
    (1..=4).for_each(|number| cluster.kill(number));
    cluster.run(5);
    cluster.wait_ready(5);
    (1..=4).for_each(|number| cluster.run(number));
    (1..=4).for_each(|number| cluster.wait_ready(number));
    until("all hints were handed over", || hints(&cluster, 1..=5) == 0);
    for key in &keys {
        assert_agreed_without_hints(cluster.http(5), key);
    }
}

#[test]
fn a_strict_quorum_refuses_what_hints_would_allow() {
    let mut cluster = Cluster::start(5);
    let keys: Vec<String> = (0..100).map(|i| format!("key-{i}")).collect();
    let first = replicas_of(cluster.http(1), &keys[0]);
    let stopped: Vec<usize> = first.iter().copied().take(2).collect();
    let alone = *first.last().unwrap();
    for number in &stopped {
        assert!(cluster.terminate(*number).success());
    }
    let up = (1..=5).find(|number| !first.contains(number)).unwrap();
    for address in [cluster.http(alone), cluster.http(up)] {
        let refused = put(address, &keys[0], "&w=2&quorum=strict");
        assert_eq!((refused.status, refused.problem().as_str()), (503, "not-enough-replicas"));
        let body = refused.json();
        assert_eq!((&body["reached"], &body["needed"]), (&1.into(), &2.into()), "{body}");
        let nothing = get(address, &format!("/v1/kv/b/{}?r=1&{PATIENT}", keys[0]));
        assert_eq!(nothing.problem(), "no-such-object", "a refusal applies nothing");
    }
    assert!(hints_of(&put(cluster.http(up), &keys[0], "&w=2")) > 0);
    assert_holds(cluster.http(up), &keys[0]);
    let strict = get(cluster.http(up), &format!("/v1/kv/b/{}?quorum=strict", keys[0]));
    assert_eq!((strict.status, strict.problem().as_str()), (503, "not-enough-replicas"));
    let strict = get(cluster.http(up), &format!("/v1/kv/b/{}?r=1&quorum=strict", keys[0]));
    assert_eq!(strict.body, value(&keys[0]));
}

#[test]
fn hint_store_full_refuses_what_would_need_a_hint_and_serves_the_rest() {
    let mut cluster = Cluster::create(5);
    for number in 1..=5 {
        let config = cluster.path(&format!("node-{number}/dynamo.toml"));
        let mut text = std::fs::read_to_string(&config).unwrap();
        text.push_str("[limits]\nhint_bytes_max = \"8KiB\"\n");
        std::fs::write(&config, text).unwrap();
        cluster.run(number);
    }
    (1..=5).for_each(|number| cluster.wait_ready(number));

    // All replicas of some keys are gone, and one or two of the others.
    let keys: Vec<String> = (0..1_000).map(|i| format!("key-{i}")).collect();
    let gone = replicas_of(cluster.http(1), &keys[0]);
    let up: Vec<usize> = (1..=5).filter(|number| !gone.contains(number)).collect();
    let address = cluster.http(up[0]);
    let (orphans, others): (Vec<String>, Vec<String>) =
        keys.into_iter().partition(|key| replicas_of(address, key) == gone);
    for number in &gone {
        assert!(cluster.terminate(*number).success());
    }

    // A key after the other, until both of those that are left have no room for one hint more.
    let (mut stored, mut refused) = (Vec::new(), None);
    for key in orphans {
        let put = put(address, &key, "&w=2");
        match put.status {
            204 => stored.push(key),
            // One had room and the other had none.
            504 => assert_eq!(put.problem(), "outcome-unknown"),
            507 => {
                assert_eq!(put.problem(), "storage-full");
                refused = Some(key);
                break;
            }
            _ => panic!("{put:?}"),
        }
    }
    let refused = refused.expect("8 KiB are soon full");
    assert!(!stored.is_empty(), "nothing fitted");
    for number in &up {
        let [used, most] = ["dynamo_hint_space_bytes", "dynamo_hint_space_bytes_max"]
            .map(|name| cluster.metric(*number, name));
        assert!(used > 0 && used <= most && most == 8 << 10, "{used} of {most}");
    }
    assert!(up.iter().any(|n| cluster.metric(*n, "dynamo_hints_refused_total") > 0));

    // What is kept is read, and what needs no hint goes on.
    for key in &stored {
        assert_holds(address, key);
    }
    let served = others.first().expect("some partition has another replica set");
    assert_eq!(put(address, served, "&w=1").status, 204);
    assert_eq!(get(address, &format!("/v1/kv/b/{served}?r=1")).body, value(served));

    gone.iter().for_each(|number| cluster.run(*number));
    gone.iter().for_each(|number| cluster.wait_ready(*number));
    until("all hints were handed over", || hints(&cluster, 1..=5) == 0);
    // Two kept a hint each, so two of the three replicas have it now, and r + w > N.
    for key in &stored {
        assert_holds(address, key);
    }
    let nothing = get(address, &format!("/v1/kv/b/{refused}"));
    assert_eq!(nothing.problem(), "no-such-object", "what was refused was not applied");
    assert_eq!(hints_of(&put(address, &refused, "&w=3")), 0, "there is room again");
}
