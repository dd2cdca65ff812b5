//! Nodes that come and go, as real processes.

use serde_json::{Value, json};

use crate::cluster::{Cluster, try_get, until};
use crate::http_client::{get, request};

fn post(cluster: &Cluster, at: usize, target: &str, body: &Value) -> Value {
    let body = body.to_string();
    let response = request(cluster.http(at), "POST", target, &[], Some(body.as_bytes()));
    assert_eq!(response.status, 200, "{target} {body}: {response:?}");
    response.json()
}

/// Plans and commits a change at a node.
fn change(cluster: &Cluster, at: usize, changes: &Value) {
    let plan = post(cluster, at, "/v1/cluster/plan", &json!({ "changes": changes }));
    assert_eq!(plan["committed"], false);
    let commit = json!({ "changes": changes, "plan": plan["plan"] });
    assert_eq!(post(cluster, at, "/v1/cluster/commit", &commit)["committed"], true);
}

fn is_still(cluster: &Cluster, at: usize) -> bool {
    let Ok(view) = try_get(cluster.http(at), "/v1/transfers") else { return false };
    let view = view.json();
    view["transfers"] == json!([]) && view["leaving"] == json!([]) && view["settled"] == 16
}

fn put(cluster: &Cluster, at: usize, key: &str) {
    let target = format!("/v1/kv/b/{key}");
    let response = request(cluster.http(at), "PUT", &target, &[], Some(key.as_bytes()));
    assert_eq!(response.status, 204, "{response:?}");
}

fn check(cluster: &Cluster, at: usize, key: &str) {
    let response = get(cluster.http(at), &format!("/v1/kv/b/{key}"));
    assert_eq!((response.status, &*response.body), (200, key.as_bytes()), "{key} at {at}");
}

#[test]
fn a_node_joins_gets_its_share_and_another_leaves() {
    let mut cluster = Cluster::start(3);
    let keys: Vec<String> = (0..40).map(|number| format!("key-{number}")).collect();
    keys.iter().for_each(|key| put(&cluster, 1, key));

    let added = cluster.add();
    cluster.run(added);
    until("the members know the new node", || cluster.member(1, added)["state"] == "joining");
    assert_eq!(cluster.member(1, added)["replicas"], 0);
    cluster
        .wait(added, "joining", |ready| ready.status == 200 && ready.json()["state"] == "joining");
    assert!(cluster.log(added).contains("this node is joining"), "{}", cluster.log(added));

    change(&cluster, 1, &json!([{ "join": format!("node-{added}") }]));
    until("it has its share", || cluster.member(2, added)["state"] == "member");
    until("nothing moves", || (1..=added).all(|at| is_still(&cluster, at)));
    assert_eq!(cluster.member(3, added)["replicas"], 12);
    keys.iter().for_each(|key| check(&cluster, added, key));

    change(&cluster, added, &json!([{ "leave": "node-2" }]));
    until("it is removed", || cluster.member(1, 2)["state"] == "removed");
    cluster.wait(2, "removed", |ready| {
        ready.status == 503 && ready.json()["detail"].as_str().unwrap().contains("was removed")
    });
    assert!(
        cluster.log(2).contains("this node was removed from the cluster"),
        "{}",
        cluster.log(2)
    );
    assert!(cluster.terminate(2).success());
    for at in [1, 3, added] {
        keys.iter().for_each(|key| check(&cluster, at, key));
    }
    until("nothing moves", || [1, 3, added].into_iter().all(|at| is_still(&cluster, at)));
}

#[test]
fn a_joined_node_starts_again_as_what_it_is() {
    let mut cluster = Cluster::start(3);
    let added = cluster.add();
    cluster.run(added);
    until("the members know the new node", || cluster.member(3, added)["state"] == "joining");
    change(&cluster, 3, &json!([{ "join": format!("node-{added}") }]));
    until("it has its share", || cluster.member(1, added)["state"] == "member");
    until("nothing moves", || (1..=added).all(|at| is_still(&cluster, at)));
    assert!(cluster.terminate(added).success());
    cluster.run(added);
    cluster
        .wait(added, "a member", |ready| ready.status == 200 && ready.json()["state"] == "member");
    put(&cluster, added, "k");
    check(&cluster, 1, "k");
}
