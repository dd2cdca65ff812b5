//! What a node must be told before it serves anything.

use std::process::Output;

use crate::cluster::{Cluster, errors, replace, run, try_get, until};

/// Runs a node that must not start, and checks what it says.
fn refused(cluster: &Cluster, number: usize, settings: &[&str], expected: &str) -> Output {
    let mut command = cluster.command(number);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    let said = errors(&output);
    assert!(said.contains(expected), "{said}");
    output
}

#[test]
fn a_node_without_genesis_serves_nothing() {
    let cluster = Cluster::create(3);
    std::fs::remove_file(cluster.path("genesis.toml")).unwrap();
    refused(&cluster, 1, &[], "a node without genesis serves nothing");
    assert!(!cluster.path("node-1/data").exists());
}

#[test]
fn an_identity_of_another_cluster_is_refused() {
    let (cluster, other) = (Cluster::create(3), Cluster::create(3));
    std::fs::copy(other.path("genesis.toml"), cluster.path("genesis.toml")).unwrap();
    refused(&cluster, 1, &[], "is not the authority that the genesis file names");
}

#[test]
fn a_node_that_the_genesis_does_not_name_is_refused() {
    let cluster = Cluster::create(4);
    let genesis = cluster.path("genesis.toml");
    let text = std::fs::read_to_string(&genesis).unwrap();
    let shorter = text.rsplit_once("[[members]]").unwrap().0;
    std::fs::write(&genesis, shorter).unwrap();
    refused(&cluster, 4, &[], "is no member of");
}

#[test]
fn foreign_data_dir_is_refused_and_left_alone() {
    let mut cluster = Cluster::create(3);
    cluster.run(1);
    cluster.wait(1, "there", |_| true);
    assert!(cluster.terminate(1).success());
    let foreign = format!("data={}", cluster.path("node-1/data").display());
    refused(&cluster, 2, &[&foreign], "belongs to node");
    let unstamped = cluster.path("photos");
    std::fs::create_dir(&unstamped).unwrap();
    std::fs::write(unstamped.join("holiday.jpg"), "x").unwrap();
    let unstamped = format!("data={}", unstamped.display());
    refused(&cluster, 2, &[&unstamped], "the data directory cannot be used");
    assert_eq!(std::fs::read_dir(cluster.path("photos")).unwrap().count(), 1);
}

#[test]
fn two_processes_cannot_share_a_data_directory() {
    let mut cluster = Cluster::create(3);
    cluster.run(1);
    cluster.wait(1, "there", |_| true);
    let elsewhere = ["http.address=127.0.0.1:0", "listen=127.0.0.1:0"];
    refused(&cluster, 1, &elsewhere, "the data directory cannot be used");
}

#[test]
fn http_on_other_addresses_than_loopback_needs_credentials() {
    let mut cluster = Cluster::create(3);
    let open = "http.address=0.0.0.0:0";
    refused(&cluster, 1, &[open], "which is not loopback, needs credentials");
    assert!(!cluster.path("node-1/data").exists());

    let config = cluster.path("node-1/dynamo.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    text.push_str(
        "ready_file = \"ready\"\n[http]\naddress = \"0.0.0.0:0\"\n[[http.tokens]]\n\
         principal = \"shop\"\ntoken = \"a-token-of-some-length\"\npermissions = [\"read\"]\n",
    );
    std::fs::write(&config, text).unwrap();
    cluster.run(1);
    let ready = cluster.path("node-1/ready");
    until("the ready file is there", || ready.exists());
    let ready = std::fs::read_to_string(ready).unwrap();
    let port = ready.trim_end().trim_end_matches('"').rsplit(':').next().unwrap();
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    assert_eq!(try_get(address, "/v1/cluster").unwrap().problem(), "unauthorized");
}

#[test]
fn nodes_of_different_geneses_refuse_each_other() {
    let mut cluster = Cluster::create(3);
    // The same authority, another genesis: what a hand that edits the file would do.
    let other = cluster.path("other-genesis.toml");
    std::fs::copy(cluster.path("genesis.toml"), &other).unwrap();
    replace(&other, "partitions = 16", "partitions = 32");
    replace(&cluster.path("node-3/dynamo.toml"), "../genesis.toml", "../other-genesis.toml");
    (1..=3).for_each(|number| cluster.run(number));
    cluster.wait(1, "connected to node 2 only", |response| {
        let unreachable = response.json()["unreachable"].clone();
        let detail = response.json()["detail"].clone();
        unreachable == serde_json::json!(["node-3"]) || detail == "no connection yet to node-3"
    });
    cluster.wait(3, "ready alone once it has judged the others down", |response| {
        response.status == 200
            && response.json()["unreachable"].as_array().is_some_and(|missing| missing.len() == 2)
    });
    // Whichever side noticed first has counted it.
    let refusals: u64 = (1..=3).map(|number| fingerprints_refused(&cluster, number)).sum();
    assert!(refusals > 0, "nobody counted a refusal");
}

fn fingerprints_refused(cluster: &Cluster, number: usize) -> u64 {
    let page = try_get(cluster.http(number), "/metrics").unwrap().body;
    let page = String::from_utf8(page).unwrap();
    let ours = |line: &&str| line.starts_with("dynamo_transport_") && line.contains("fingerprint");
    let values =
        page.lines().filter(ours).filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    values.sum()
}

#[test]
fn an_unknown_argument_is_refused() {
    let output = run(&["run", "--config", "x", "--port", "1"]);
    assert_eq!(output.status.code(), Some(2));
}
