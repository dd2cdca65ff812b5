//! What a node must be told before it serves anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use crate::cluster::{Cluster, errors, replace, run, try_get, until};

/// A process that does not outlive its test, should it start against all expectation.
struct Stopped(Option<Child>);

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Runs a node that must not start, and checks what it says.
fn refused(cluster: &Cluster, number: usize, settings: &[&str], expected: &str) -> Output {
    let mut command = cluster.command(number);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut node = Stopped(Some(piped.spawn().unwrap()));
    until("it is refused", || node.0.as_mut().unwrap().try_wait().unwrap().is_some());
    let output = node.0.take().unwrap().wait_with_output().unwrap();
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

/// All files below a directory with what they hold.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let copied = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(copied.parent().unwrap()).unwrap();
        std::fs::write(copied, bytes).unwrap();
    }
}

/// A disk that was put into the wrong machine is neither served nor touched: that of another node, that
/// of the same node of another cluster, a copy beside the original, and one that is nobody's.
#[test]
fn foreign_data_dir() {
    let (mut cluster, mut other) = (Cluster::create(3), Cluster::create(3));
    for (of, number) in [(&mut cluster, 1), (&mut other, 2)] {
        of.run(number);
        of.wait(number, "there", |_| true);
        assert!(of.terminate(number).success());
    }
    let foreign = [cluster.path("node-1/data"), other.path("node-2/data")];
    for directory in foreign {
        let before = files(&directory);
        let setting = format!("data={}", directory.display());
        let output = refused(&cluster, 2, &[&setting], "belongs to node");
        assert!(errors(&output).contains("the data directory cannot be used"));
        assert!(files(&directory) == before, "{} was touched", directory.display());
    }

    // A copy is as good as the original, but not beside it.
    let copied = cluster.path("copied");
    copy(&cluster.path("node-1/data"), &copied);
    let copied = format!("data={}", copied.display());
    refused(&cluster, 2, &[&copied], "belongs to node");
    cluster.run(1);
    cluster.wait(1, "there", |_| true);
    let beside = [copied.as_str(), "http.address=127.0.0.1:0", "listen=127.0.0.1:0"];
    refused(&cluster, 1, &beside, "another process runs with this identity");
    cluster.kill(1);
    cluster.run(1);
    cluster.wait(1, "there again: a lock does not outlive its process", |_| true);

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
