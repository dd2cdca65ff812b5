//! `explain`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dynamo_client::{
    Client, Explanation, HintView, Key, NodeId, ReplicaState, ReplicaView, SiblingView, WallTime,
};
use serde_json::json;

use super::object::time_text;
use crate::arguments::ExplainArguments;
use crate::{clock, output};

pub(super) async fn explain(
    client: &Client,
    arguments: ExplainArguments,
) -> anyhow::Result<ExitCode> {
    let key = arguments.object.key()?;
    let explanation = client.explain(&arguments.object.bucket, &key).await?;
    let members = client.cluster().await?.members;
    let names = Names(members.into_iter().map(|member| (member.node, member.name)).collect());
    if arguments.json {
        let bucket = arguments.object.bucket.to_string();
        let json = explanation_json(&bucket, &key, &explanation, &names);
        output::line(&json.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!(
        "{}/{key} lies in partition {}",
        arguments.object.bucket, explanation.partition.0
    ))?;
    let head = ["node", "state", "digest", "dot", "version", "bytes", "written at"];
    let replicas = explanation.replicas.iter().flat_map(|replica| replica_rows(replica, &names));
    let hints = explanation.hints.iter().flat_map(|hint| hint_rows(hint, &names));
    let rows: Vec<Vec<String>> = replicas.chain(hints).collect();
    output::table(&head, &rows)?;
    output::line(&verdict(&explanation, &names))?;
    if let Some(at) = verified_until(&explanation) {
        output::line(&format!(
            "the partition's replicas were last found equal at {}",
            time_text(at)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Nodes by their names for people.
struct Names(BTreeMap<NodeId, String>);

impl Names {
    fn of(&self, node: NodeId) -> String {
        self.0.get(&node).cloned().unwrap_or_else(|| node.to_string())
    }

    fn list(&self, nodes: impl Iterator<Item = NodeId>) -> String {
        nodes.map(|node| self.of(node)).collect::<Vec<_>>().join(", ")
    }
}

/// What is printed where there is nothing.
const DASH: &str = "-";

/// One line a version; one without a version for a replica that showed none.
fn replica_rows(replica: &ReplicaView, names: &Names) -> Vec<Vec<String>> {
    // To be compared at a glance; --json has all of it.
    let digest =
        replica.digest.map_or_else(|| DASH.to_owned(), |digest| short(&digest.to_string()));
    rows([names.of(replica.node), replica.state.name().to_owned(), digest], &replica.siblings)
}

/// The same for a node that keeps a hint of the key.
fn hint_rows(hint: &HintView, names: &Names) -> Vec<Vec<String>> {
    let digest = short(&hint.digest.to_string());
    rows([names.of(hint.node), "hint".to_owned(), digest], &hint.siblings)
}

fn short(digest: &str) -> String {
    digest.chars().take(8).collect()
}

/// Who it is and what it says stand in the first line only.
fn rows(begin: [String; 3], siblings: &[SiblingView]) -> Vec<Vec<String>> {
    if siblings.is_empty() {
        let mut row = begin.to_vec();
        row.resize(row.len() + 4, DASH.to_owned());
        return vec![row];
    }
    let line = |(place, sibling): (usize, &SiblingView)| {
        let mut row = if place == 0 { begin.to_vec() } else { vec![String::new(); begin.len()] };
        row.extend([
            sibling.dot.to_string(),
            if sibling.tombstone { "deleted" } else { "value" }.to_owned(),
            sibling.value_bytes.to_string(),
            time_text(sibling.written_at),
        ]);
        row
    };
    siblings.iter().enumerate().map(line).collect()
}

/// When all replicas of the partition were last found to hold the same, by this machine's clock.
fn verified_until(explanation: &Explanation) -> Option<WallTime> {
    let age = explanation.verified_ms_ago?.saturating_mul(1_000);
    Some(WallTime(clock::wall().0.saturating_sub(age)))
}

/// Who agrees, who is behind, and of whom nothing is known.
fn verdict(explanation: &Explanation, names: &Names) -> String {
    if explanation.agrees() {
        return "all replicas agree".to_owned();
    }
    let told = |replica: &ReplicaView| {
        matches!(replica.state, ReplicaState::Present | ReplicaState::Missing)
    };
    let mut parts = Vec::new();
    if explanation.behind().next().is_some() {
        parts.push(format!("behind: {}", names.list(explanation.behind())));
    } else if explanation.replicas.iter().any(told) {
        parts.push("those that answered agree".to_owned());
    }
    let silent = explanation.replicas.iter().filter(|replica| !told(replica));
    let silent = names.list(silent.map(|replica| replica.node));
    if !silent.is_empty() {
        parts.push(format!("unknown: {silent}"));
    }
    parts.join("; ")
}

/// The same as the HTTP interface says.
fn explanation_json(
    bucket: &str,
    key: &Key,
    explanation: &Explanation,
    names: &Names,
) -> serde_json::Value {
    let sibling = |sibling: &SiblingView| {
        json!({
            "dot": sibling.dot.to_string(),
            "tombstone": sibling.tombstone,
            "bytes": sibling.value_bytes,
            "written_at": time_text(sibling.written_at),
            "expires_at": sibling.expires_at.map(time_text),
            "request_id": sibling.request.to_string(),
        })
    };
    let replica = |replica: &ReplicaView| {
        json!({
            "node": replica.node.to_string(),
            "name": names.of(replica.node),
            "state": replica.state.name(),
            "digest": replica.digest.map(|digest| digest.to_string()),
            "siblings": replica.siblings.iter().map(sibling).collect::<Vec<_>>(),
            "context_intervals": replica.context_intervals,
        })
    };
    let hint = |hint: &HintView| {
        json!({
            "node": hint.node.to_string(),
            "name": names.of(hint.node),
            "digest": hint.digest.to_string(),
            "siblings": hint.siblings.iter().map(sibling).collect::<Vec<_>>(),
        })
    };
    let key = match str::from_utf8(key.as_bytes()) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(key.as_bytes()) }),
    };
    json!({
        "bucket": bucket,
        "key": key,
        "partition": explanation.partition.0,
        "replicas": explanation.replicas.iter().map(replica).collect::<Vec<_>>(),
        "hints": explanation.hints.iter().map(hint).collect::<Vec<_>>(),
        "verified_until": verified_until(explanation).map(time_text),
        "agree": explanation.agrees(),
        "behind": explanation.behind().map(|node| names.of(node)).collect::<Vec<_>>(),
    })
}
