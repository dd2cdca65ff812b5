//! What a node makes of a disk that lacks what it once held.

use std::path::PathBuf;

use crate::cluster::{Cluster, errors, run, until};
use crate::http_client::{get, request};

const KEYS: usize = 50;

/// A cluster with data, whose first node was killed.
fn killed() -> Cluster {
    let mut cluster = Cluster::start(3);
    for i in 0..KEYS {
        let target = format!("/v1/kv/b/key-{i}?w=3");
        let put = request(cluster.http(1), "PUT", &target, &[], Some(&[7; 300]));
        assert_eq!(put.status, 204, "{put:?}");
    }
    cluster.kill(1);
    cluster
}

/// Starts the first node again, and gives what it logs until it is ready.
fn start_again(cluster: &mut Cluster) -> String {
    std::fs::remove_file(cluster.path("node-1/log")).unwrap();
    cluster.run(1);
    cluster.wait_ready(1);
    cluster.log(1)
}

/// Waits until the others have filled the first node, and it has noted that for good.
fn is_filled_again(cluster: &mut Cluster) {
    until("every partition is complete", || cluster.metric(1, "dynamo_incomplete_partitions") == 0);
    for i in 0..KEYS {
        let json = get(cluster.http(2), &format!("/v1/explain/b/key-{i}")).json();
        assert_eq!(json["agree"], true, "{json}");
        assert_eq!(json["replicas"][0]["state"], "present", "{json}");
    }
    assert!(cluster.terminate(1).success());
    let log = start_again(cluster);
    assert!(log.contains("incomplete=false") && !log.contains("ERROR"), "{log}");
    assert_eq!(cluster.metric(1, "dynamo_incomplete_partitions"), 0);
}

#[test]
fn a_first_start_is_complete_and_so_is_one_with_its_data() {
    let mut cluster = killed();
    let log = cluster.log(1);
    assert!(log.contains("has_run=false") && log.contains("incomplete=false"), "{log}");
    let marker = std::fs::read_to_string(cluster.path("node-1/identity/has-run")).unwrap();
    assert!(marker.starts_with("dynamo node has run 1\ncluster "), "{marker}");
    let log = start_again(&mut cluster);
    assert!(log.contains("has_run=true") && log.contains("incomplete=false"), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn wiped_node_same_id_starts_incomplete_and_is_filled_again() {
    let mut cluster = killed();
    std::fs::remove_dir_all(cluster.path("node-1/data")).unwrap();
    let log = start_again(&mut cluster);
    assert!(log.contains("its database is gone") && log.contains("incomplete=true"), "{log}");
    is_filled_again(&mut cluster);
}

#[test]
fn a_database_that_was_removed_beside_its_stamp_is_missed_too() {
    let mut cluster = killed();
    std::fs::remove_dir_all(cluster.path("node-1/data/database")).unwrap();
    let log = start_again(&mut cluster);
    assert!(log.contains("its database is gone") && log.contains("incomplete=true"), "{log}");
}

#[test]
fn a_node_whose_log_was_shortened_starts_incomplete_and_is_filled_again() {
    let mut cluster = killed();
    let files = std::fs::read_dir(cluster.path("node-1/data/database")).unwrap();
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let logs = files.map(|entry| entry.unwrap().path()).filter(is_log);
    let log = logs.max_by_key(|path| path.metadata().unwrap().len()).expect("a log");
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let log = start_again(&mut cluster);
    assert!(log.contains("the log was damaged: ") && log.contains("incomplete=true"), "{log}");
    is_filled_again(&mut cluster);
}

#[test]
fn an_identity_directory_that_another_node_ran_with_is_refused() {
    let mut cluster = Cluster::create(3);
    cluster.run(2);
    cluster.wait(2, "there", |_| true);
    let [from, to] = [2, 1].map(|n| cluster.path(&format!("node-{n}/identity/has-run")));
    std::fs::copy(from, &to).unwrap();
    let expected = "ran with this identity directory, not node";
    let output = cluster.command(1).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains(expected), "{}", errors(&output));
    let config = cluster.path("node-1/dynamo.toml");
    let check = run(&["config", "--check", "--config", config.to_str().unwrap()]);
    assert!(errors(&check).contains(expected), "{}", errors(&check));
    assert!(!cluster.path("node-1/data").exists(), "a node that is refused changes nothing");

    std::fs::write(&to, "no marker").unwrap();
    let output = cluster.command(1).output().unwrap();
    assert!(errors(&output).contains("is damaged or of an unknown format"), "{}", errors(&output));
}

#[test]
fn a_node_that_cannot_leave_word_of_its_start_does_not_start() {
    let cluster = Cluster::create(3);
    // Whoever may do everything cannot be refused by permissions.
    std::fs::create_dir(cluster.path("node-1/identity/has-run.new")).unwrap();
    let output = cluster.command(1).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = "a node leaves word there that it has run";
    assert!(errors(&output).contains(expected), "{}", errors(&output));
}
