//! Changes of the members: asked of any node that answers, planned and committed in one go.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::directory::Locked;
use super::http::{self, Answer};
use crate::clock::wait_for;
use crate::console::progress;

/// The problem of a change that came too late for its plan, or that cannot be.
const REFUSED: &str = "urn:dynamo:problem:change-refused";
/// Between a plan and its commit another change may come; then it is planned again, so often.
const PLANS_MAX: usize = 5;

/// Lets `dynamo` look for the cluster at the nodes that belong to it now.
pub(super) fn write_seeds(cluster: &Locked) -> Result<()> {
    let path = cluster.path().join("client/client.toml");
    let cannot = || format!("cannot renew {}", path.display());
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(cannot),
    };
    let description = &cluster.description;
    let seeds: Vec<String> =
        description.members().iter().map(|node| description.quic(*node).to_string()).collect();
    let line = |line: &str| match line.starts_with("seeds = ") {
        true => format!("seeds = {seeds:?}\n"),
        false => format!("{line}\n"),
    };
    let text: String = text.lines().map(line).collect();
    let half = path.with_extension("half");
    fs::write(&half, text).and_then(|()| fs::rename(&half, &path)).with_context(cannot)
}

/// What people call a node: as `dynamo-node init` does.
pub(super) fn name(node: u32) -> String {
    format!("node-{node}")
}

/// A node that answers for the cluster, another one than `but`.
pub(super) fn any_node(cluster: &Locked, but: u32) -> Result<u32> {
    let mut members = cluster.description.members().into_iter().filter(|node| *node != but);
    let serves =
        |node: &u32| http::status(cluster.description.http(*node), "/healthz") == Some(200);
    members.find(serves).with_context(|| {
        format!("no other node than {but} serves HTTP: nobody can be asked to change the members")
    })
}

/// Lets node `at` plan a change and commit it.
pub(super) fn plan_and_commit(cluster: &Locked, at: u32, change: &Value) -> Result<()> {
    let address = cluster.description.http(at);
    let changes = json!([change]);
    for _ in 0..PLANS_MAX {
        let plan = http::json(address, "/v1/cluster/plan", Some(&json!({ "changes": changes })))?;
        let plan = accepted(plan, &format!("node {at} refuses to plan this"))?;
        let wanted = json!({ "changes": changes, "plan": plan["plan"] });
        let done = http::json(address, "/v1/cluster/commit", Some(&wanted)).context(
            "it is not known whether the change was committed: `dynamo cluster` and `dynamo \
             transfers` show it",
        )?;
        if done.status == 409 && done.body["type"] == REFUSED {
            progress("the cluster changed in between; planning again");
            continue;
        }
        let done = accepted(done, &format!("node {at} did not commit this"))?;
        if done["committed"] != true {
            bail!("node {at} answers as if it had not committed this: {done}");
        }
        progress(&format!(
            "committed: {} partitions change, {} copies move",
            done["partitions_changed"], done["copies_moved"]
        ));
        return Ok(());
    }
    bail!("the cluster changed {PLANS_MAX} times between plan and commit: try again")
}

/// The body of an answer that is no problem.
fn accepted(answer: Answer, refusal: &str) -> Result<Value> {
    let Answer { status, body } = answer;
    match (status, body["detail"].as_str()) {
        (200, _) => Ok(body),
        (_, Some(detail)) => bail!("{refusal} ({status}): {detail}"),
        (_, None) => bail!("{refusal} ({status})"),
    }
}

/// The state of a node as node `at` sees it; nothing if it does not know that node.
pub(super) fn state_of(cluster: &Locked, at: u32, node: u32) -> Option<String> {
    let answer = http::json(cluster.description.http(at), "/v1/cluster", None).ok()?;
    let members = answer.body["members"].as_array()?;
    let member = members.iter().rfind(|member| member["name"] == name(node).as_str())?;
    Some(member["state"].as_str()?.to_owned())
}

/// Waits until node `at` sees the node in one of these states.
pub(super) fn wait_for_state(
    cluster: &Locked,
    at: u32,
    node: u32,
    states: &[&str],
    patience: Duration,
) -> Option<()> {
    wait_for(patience, || {
        let state = state_of(cluster, at, node)?;
        states.contains(&state.as_str()).then_some(())
    })
}

/// Waits until node `at` knows of no move that is under way.
pub(super) fn wait_for_moves(cluster: &Locked, at: u32, patience: Duration) -> Result<()> {
    progress("waiting until all moves are done");
    let address = cluster.description.http(at);
    let is_empty = |list: &Value| list.as_array().is_some_and(Vec::is_empty);
    let ended = wait_for(patience, || {
        let body = http::json(address, "/v1/transfers", None).ok()?.body;
        let settled = body["settled"] == body["partitions"];
        (settled && is_empty(&body["transfers"]) && is_empty(&body["leaving"])).then_some(())
    });
    ended.with_context(|| {
        format!(
            "moves are still under way after {} s; `dynamo transfers --watch` shows them",
            patience.as_secs()
        )
    })
}
