//! Nodes that come and go.

use std::fs;

use crate::playground::Playground;

const READY: &str = "running ready";
const DEAD: &str = "dead unready";

fn state(here: &Playground, node: u32) -> String {
    fs::read_to_string(here.node(node).join("state")).expect("the node was changed")
}

#[test]
fn an_added_node_joins_and_every_command_knows_it() {
    let here = Playground::new();
    here.must("up --nodes 3");
    let said = here.must("add");
    assert!(said.starts_with("node 4 has joined and serves http://127."), "{said}");
    assert_eq!(here.states(), [READY; 4]);
    assert_eq!(state(&here, 4), "member");
    here.must("add --wait-moves --zone b --weight 2");
    assert_eq!(here.states(), [READY; 5]);
    here.must("kill 5");
    here.must("restart 5");
    assert!(here.must("logs 5").contains("serving"));
    here.must("down");
    assert_eq!(here.states(), [DEAD; 5]);
    here.must("up");
    here.must("up --nodes 3");
    here.must("up --nodes 5");
    let error = here.must_fail("up --nodes 4");
    assert!(error.contains("has --nodes 5, not 4"), "{error}");
    assert_eq!(here.states(), [READY; 5]);
}

#[test]
fn a_removed_node_has_left_and_is_stopped_and_stays_so() {
    let here = Playground::new();
    here.must("up --nodes 4");
    let said = here.must("remove 2");
    assert_eq!(said, "node 2 is no member any more, and is stopped\n");
    assert_eq!(state(&here, 2), "removed");
    assert_eq!(here.states(), [READY, DEAD, READY, READY]);
    assert_eq!(here.status()[1]["removed"], true);
    assert!(here.must("status").contains("removed"));
    here.must("up");
    assert_eq!(here.states()[1], DEAD, "it is no part of the cluster any more");
    let error = here.must_fail("remove 2");
    assert!(error.contains("node 2 was removed already"), "{error}");
    // The next one gets a number of its own, and `dynamo` looks where nodes are.
    here.must("add");
    let client = fs::read_to_string(here.directory().join("client/client.toml")).unwrap();
    let quic = |node: usize| here.status()[node - 1]["quic"].as_str().unwrap().to_owned();
    let seeds = [quic(1), quic(3), quic(4), quic(5)];
    assert_eq!(client, format!("seeds = {seeds:?}\nkey = \"k\"\n"));
    assert_eq!(here.states(), [READY, DEAD, READY, READY, READY]);
}

#[test]
fn a_node_that_is_gone_is_given_up_only_when_that_is_said() {
    let here = Playground::new();
    here.must("up --nodes 4");
    let error = here.must_fail("remove 3 --dead");
    assert!(error.contains("node 3 is running; kill it first"), "{error}");
    here.must("kill 3");
    let error = here.must_fail("remove 3");
    assert!(error.contains("give it up with --dead"), "{error}");
    here.must("remove 3 --dead --wait-moves");
    assert_eq!(state(&here, 3), "removed");
}

#[test]
fn no_node_goes_that_the_replicas_need() {
    let here = Playground::new();
    here.must("up --nodes 3");
    let error = here.must_fail("remove 1");
    assert!(error.contains("3 replicas need as many nodes, and there are 3"), "{error}");
    assert!(error.contains("cargo xtask cluster add"), "{error}");
    assert_eq!(here.states(), [READY; 3]);
}

#[test]
fn a_node_that_cannot_hand_over_goes_on_leaving_and_remove_goes_on_waiting() {
    let here = Playground::new();
    here.must("up --nodes 4");
    let busy = here.node(4).join("busy");
    fs::write(&busy, "").unwrap();
    let error = here.must_fail("remove 4 --wait 1");
    assert!(error.contains("node 4 is not removed after 1 s; it goes on leaving"), "{error}");
    assert_eq!(here.states(), [READY; 4]);
    fs::remove_file(busy).unwrap();
    here.must("remove 4");
    assert_eq!(here.states()[3], DEAD);
}

#[test]
fn a_refused_change_is_told_and_a_late_one_is_planned_again() {
    let here = Playground::new();
    here.must("up --nodes 4");
    let refuse = here.folder().join("refuse");
    fs::write(&refuse, "").unwrap();
    let error = here.must_fail("remove 1");
    assert!(error.contains("refuses to plan this (409): this cannot be done"), "{error}");
    let error = here.must_fail("add");
    assert!(error.contains("node 5 runs and is no member yet"), "{error}");
    assert_eq!(here.states(), [READY; 5]);
    fs::remove_file(refuse).unwrap();
    fs::write(here.folder().join("late"), "").unwrap();
    here.must("remove 1");
    assert_eq!(state(&here, 1), "removed");
}

#[test]
fn without_any_node_that_answers_nothing_is_begun() {
    let here = Playground::new();
    here.must("up --nodes 4");
    here.must("down");
    let error = here.must_fail("add");
    assert!(error.contains("nobody can be asked to change the members"), "{error}");
    assert!(!here.node(5).exists());
    let error = here.must_fail("remove 9");
    assert!(error.contains("there is no node 9: this cluster has 1 to 4"), "{error}");
}
