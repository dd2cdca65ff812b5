//! The life of a local cluster.

use std::fs;

use crate::playground::Playground;

const READY: &str = "running ready";
const DEAD: &str = "dead unready";

#[test]
fn up_makes_a_cluster_that_outlives_the_command_and_down_ends_it() {
    let here = Playground::new();
    let shown = here.must("up --nodes 3");
    assert!(shown.contains("All 3 nodes are ready. Try:"), "{shown}");
    assert!(shown.contains("-d hello http://127."), "{shown}");
    assert_eq!(here.states(), [READY; 3]);
    here.must("down");
    assert_eq!(here.states(), [DEAD; 3]);
    here.must("down");
}

#[test]
fn a_node_has_a_session_of_its_own_and_no_input() {
    let here = Playground::new();
    here.must("up --nodes 3");
    let pid = here.status()[0]["pid"].as_i64().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap();
    assert_eq!(session, pid.to_string());
    let input = fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
    assert_eq!(input.to_str(), Some("/dev/null"));
}

#[test]
fn up_again_starts_only_what_is_missing() {
    let here = Playground::new();
    here.must("up --nodes 3");
    here.must("kill 2");
    assert_eq!(here.states(), [READY, DEAD, READY]);
    let before = here.status();
    here.must("up");
    let after = here.status();
    assert_eq!(here.states(), [READY; 3]);
    assert_eq!(before[0]["pid"], after[0]["pid"]);
    assert_eq!(before[2]["pid"], after[2]["pid"]);
    here.must("up --nodes 3");
    assert_eq!(here.status()[1]["pid"], after[1]["pid"]);
}

#[test]
fn another_shape_than_the_one_that_is_there_is_refused() {
    let here = Playground::new();
    here.must("up --nodes 3");
    let error = here.must_fail("up --nodes 5");
    assert!(error.contains("the cluster that is there has --nodes 3, not 5"), "{error}");
}

#[test]
fn too_few_nodes_are_refused_before_anything_is_made() {
    let here = Playground::new();
    let error = here.must_fail("up --nodes 2");
    assert!(error.contains("2 nodes cannot hold 3 replicas"), "{error}");
    assert!(!here.directory().exists());
}

#[test]
fn a_paused_node_is_alive_and_not_ready_until_it_is_resumed() {
    let here = Playground::new();
    here.must("up --nodes 3");
    here.must("pause 3");
    assert_eq!(here.states()[2], "paused unready");
    let error = here.must_fail("up");
    assert!(error.contains("cluster resume 3"), "{error}");
    here.must("resume 3");
    assert_eq!(here.states()[2], READY);
    here.must("pause 1");
    here.must("down");
    assert_eq!(here.states(), [DEAD; 3]);
}

#[test]
fn restart_brings_back_a_dead_node_and_renews_a_living_one() {
    let here = Playground::new();
    here.must("up --nodes 3");
    here.must("down");
    here.must("restart 2");
    assert_eq!(here.states(), [DEAD, READY, DEAD]);
    let before = here.status()[1]["pid"].clone();
    here.must("restart 2");
    assert_ne!(here.status()[1]["pid"], before);
}

#[test]
fn restart_does_not_wait_until_the_node_is_ready() {
    let here = Playground::new();
    here.must("up --nodes 3");
    fs::write(here.node(1).join("unready"), "").unwrap();
    here.must("restart 1");
    assert_eq!(here.states()[0], "running unready");
}

#[test]
fn what_cannot_be_done_to_a_dead_or_unknown_node_is_said() {
    let here = Playground::new();
    let error = here.must_fail("kill 1");
    assert!(error.contains("no cluster in"), "{error}");
    here.must("up --nodes 3");
    here.must("kill 1");
    here.must("kill 1");
    let error = here.must_fail("pause 1");
    assert!(error.contains("node 1 is not running"), "{error}");
    let error = here.must_fail("restart 4");
    assert!(error.contains("there is no node 4: this cluster has 1 to 3"), "{error}");
}

#[test]
fn a_node_that_dies_while_starting_is_quoted() {
    let here = Playground::new();
    here.must("up --nodes 3");
    here.must("kill 2");
    fs::write(here.node(2).join("die"), "").unwrap();
    for command in ["up", "restart 2"] {
        let error = here.must_fail(command);
        assert!(error.contains("node 2 died while starting"), "{error}");
        assert!(error.contains("the disk is upside down"), "{error}");
    }
}

#[test]
fn a_node_that_is_never_ready_is_named_when_patience_ends() {
    let here = Playground::new();
    here.must("up --nodes 3");
    here.must("kill 2");
    fs::write(here.node(2).join("unready"), "").unwrap();
    let error = here.must_fail("up --wait 1");
    assert!(error.contains("these nodes are not ready: [2]"), "{error}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let here = Playground::new();
    here.must("up --nodes 3");
    here.must("kill 2");
    let address = here.status()[1]["http"].as_str().unwrap().to_owned();
    let _taken = std::net::TcpListener::bind(&address).unwrap();
    let error = here.must_fail("restart 2");
    assert!(error.contains(&format!("node 2 needs {address}, which another program")), "{error}");
}

#[test]
fn logs_are_kept_over_restarts() {
    let here = Playground::new();
    here.must("up --nodes 3");
    here.must("restart 1");
    let log = here.must("logs 1");
    assert_eq!(log.lines().count(), 2, "{log}");
    assert!(log.starts_with("serving 127."), "{log}");
}

#[test]
fn a_node_is_wiped_only_when_it_is_dead_and_keeps_its_identity() {
    let here = Playground::new();
    here.must("up --nodes 3");
    let error = here.must_fail("wipe 1");
    assert!(error.contains("node 1 is running; kill it first"), "{error}");
    here.must("kill 1");
    here.must("wipe 1");
    here.must("wipe 1");
    assert!(!here.node(1).join("data").exists());
    assert!(here.node(1).join("identity").exists());
    here.must("restart 1");
    assert_eq!(here.states(), [READY; 3]);
}

#[test]
fn wipe_stops_and_removes_everything_and_nothing_is_fine_too() {
    let here = Playground::new();
    here.must("wipe");
    here.must("down");
    assert_eq!(here.states(), [""; 0]);
    here.must("up --nodes 3");
    let address = here.status()[0]["http"].as_str().unwrap().to_owned();
    here.must("wipe");
    assert!(!here.directory().exists());
    assert!(std::net::TcpStream::connect(&address).is_err(), "the node has ended");
    here.must("up --nodes 3");
    assert_eq!(here.states(), [READY; 3]);
}

#[test]
fn half_a_cluster_is_made_again_from_the_start() {
    let here = Playground::new();
    let fail = here.folder().join("fail-init");
    fs::write(&fail, "").unwrap();
    here.must_fail("up --nodes 3");
    assert!(here.directory().join("genesis.toml").exists());
    fs::remove_file(fail).unwrap();
    here.must("up --nodes 4");
    assert_eq!(here.states(), [READY; 4]);
}

#[test]
fn a_directory_with_something_else_in_it_is_left_alone() {
    let here = Playground::new();
    fs::create_dir(here.directory()).unwrap();
    fs::write(here.directory().join("thesis.tex"), "years of work").unwrap();
    let error = here.must_fail("up --nodes 3");
    assert!(error.contains("something that is no cluster of ours"), "{error}");
    here.must("wipe");
    assert!(here.directory().join("thesis.tex").exists());
}
