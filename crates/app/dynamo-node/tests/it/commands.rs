//! The commands beside `run`.

use std::path::Path;

use crate::cluster::{Cluster, errors, replace, run};

#[test]
fn init_with_fewer_nodes_than_copies_says_so_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("cluster");
    let output = run(&["init", "--dir", target.to_str().unwrap(), "--nodes", "2"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "dynamo-node: replication 3 needs at least 3 nodes, not 2\n";
    assert_eq!(errors(&output), expected);
    assert!(!target.exists());
}

#[test]
fn init_never_overwrites_a_cluster() {
    let cluster = Cluster::create(3);
    let before = std::fs::read(cluster.path("node-1/identity/key.pem")).unwrap();
    let output = run(&["init", "--dir", cluster.path("").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("never overwrites"), "{}", errors(&output));
    assert_eq!(std::fs::read(cluster.path("node-1/identity/key.pem")).unwrap(), before);
}

#[test]
fn init_spreads_the_nodes_over_the_zones() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("cluster");
    let target = target.to_str().unwrap();
    let zones = ["init", "--dir", target, "--nodes", "4", "--zones", "east,west"];
    assert!(run(&zones).status.success());
    let genesis = std::fs::read_to_string(Path::new(target).join("genesis.toml")).unwrap();
    let zones: Vec<_> = genesis.lines().filter(|line| line.starts_with("zone")).collect();
    assert_eq!(zones, ["zone = \"east\"", "zone = \"west\"", "zone = \"east\"", "zone = \"west\""]);
}

#[test]
fn config_check_finds_what_a_start_would_be_refused_for() {
    let cluster = Cluster::create(3);
    let config = cluster.path("node-1/dynamo.toml");
    let check = || run(&["config", "--check", "--config", config.to_str().unwrap()]);
    let output = check();
    assert!(output.status.success(), "{}", errors(&output));
    assert!(!cluster.path("node-1/data").exists(), "a check changes nothing");
    replace(&config, "data = ", "dta = ");
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    let said = errors(&output);
    assert!(said.contains("dynamo.toml:4:1: there is no setting `dta`"), "{said}");
}

#[test]
fn config_explain_names_every_setting() {
    let output = run(&["config", "--explain"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for setting in dynamo_node::settings::SETTINGS {
        assert!(text.contains(&format!("{} = ", setting.key)), "{}", setting.key);
        assert!(text.contains(&setting.variable()), "{}", setting.key);
    }
}
