//! `status`: what each node is doing, for people and for programs.

use anyhow::Result;
use serde_json::{Value, json};

use super::directory::{Directory, node_directory};
use super::process::{Process, State};
use super::{Description, http, nothing_there};
use crate::console::{say, table};

/// One node, as it is now.
struct NodeStatus {
    node: u32,
    pid: Option<i32>,
    state: State,
    ready: bool,
}

/// Prints every node; a directory without a cluster has none.
pub(super) fn run(directory: &Directory, json: bool) -> Result<()> {
    let Some(description) = directory.read()? else {
        if json {
            say(&json!({ "directory": directory.path(), "nodes": [] }).to_string());
            return Ok(());
        }
        return nothing_there(directory);
    };
    let mut nodes = Vec::new();
    for node in description.numbers() {
        nodes.push(look(directory, &description, node)?);
    }
    if json {
        let nodes: Vec<Value> = nodes.iter().map(|node| as_json(&description, node)).collect();
        say(&json!({ "directory": directory.path(), "nodes": nodes }).to_string());
    } else {
        table(&rows(&description, &nodes));
    }
    Ok(())
}

fn look(directory: &Directory, description: &Description, node: u32) -> Result<NodeStatus> {
    let process = Process::read(&node_directory(directory.path(), node).join("pid"))?;
    let state = process.map_or(State::Dead, |process| process.state());
    // A paused node takes connections and never answers: asking it only costs the wait.
    let ready =
        state == State::Running && http::status(description.http(node), "/readyz") == Some(200);
    let pid = process.filter(|_| state != State::Dead).map(|process| process.pid());
    Ok(NodeStatus { node, pid, state, ready })
}

/// Of a node that is no member any more it matters only whether it still runs.
fn state(description: &Description, status: &NodeStatus) -> String {
    let state = status.state.name();
    match (description.removed.contains(&status.node), status.state) {
        (false, _) => state.to_owned(),
        (true, State::Dead) => "removed".to_owned(),
        (true, _) => format!("removed, {state}"),
    }
}

fn as_json(description: &Description, status: &NodeStatus) -> Value {
    json!({
        "node": status.node,
        "pid": status.pid,
        "state": status.state.name(),
        "removed": description.removed.contains(&status.node),
        "ready": status.ready,
        "http": description.http(status.node).to_string(),
        "quic": description.quic(status.node).to_string(),
    })
}

fn rows(description: &Description, nodes: &[NodeStatus]) -> Vec<Vec<String>> {
    let heading = ["node", "state", "ready", "pid", "http", "quic"];
    let mut rows = vec![heading.map(ToOwned::to_owned).to_vec()];
    rows.extend(nodes.iter().map(|status| {
        vec![
            status.node.to_string(),
            state(description, status),
            if status.ready { "yes" } else { "no" }.to_owned(),
            status.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            format!("http://{}", description.http(status.node)),
            description.quic(status.node).to_string(),
        ]
    }));
    rows
}
