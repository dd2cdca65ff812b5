//! `explain`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dynamo_client::{Client, Explanation, Key, NodeId, ReplicaState, ReplicaView, SiblingView};
use serde_json::json;

use super::object::time_text;
use crate::arguments::ExplainArguments;
use crate::output;

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
        output::line(&explanation_json(&bucket, &key, &explanation, &names).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!(
        "{}/{key} lies in partition {}",
        arguments.object.bucket, explanation.partition.0
    ))?;
    let head = ["node", "state", "digest", "dot", "version", "bytes", "written at"];
    let rows: Vec<Vec<String>> =
        explanation.replicas.iter().flat_map(|replica| rows(replica, &names)).collect();
    output::table(&head, &rows)?;
    output::line(&verdict(&explanation, &names))?;
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

/// One line a version; one without a version for a replica that showed none.
fn rows(replica: &ReplicaView, names: &Names) -> Vec<Vec<String>> {
    let dash = || "-".to_owned();
    // To be compared at a glance; --json has all of it.
    let digest = replica.digest.map(|digest| digest.to_string()[..8].to_owned());
    let begin = |first: bool| match first {
        true => vec![
            names.of(replica.node),
            replica.state.name().to_owned(),
            digest.clone().unwrap_or_else(dash),
        ],
        false => vec![String::new(); 3],
    };
    if replica.siblings.is_empty() {
        let mut row = begin(true);
        row.extend([dash(), dash(), dash(), dash()]);
        return vec![row];
    }
    let line = |(place, sibling): (usize, &SiblingView)| {
        let mut row = begin(place == 0);
        row.extend([
            sibling.dot.to_string(),
            if sibling.tombstone { "deleted" } else { "value" }.to_owned(),
            sibling.value_bytes.to_string(),
            time_text(sibling.written_at),
        ]);
        row
    };
    replica.siblings.iter().enumerate().map(line).collect()
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
    let key = match str::from_utf8(key.as_bytes()) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(key.as_bytes()) }),
    };
    json!({
        "bucket": bucket,
        "key": key,
        "partition": explanation.partition.0,
        "replicas": explanation.replicas.iter().map(replica).collect::<Vec<_>>(),
        "hints": [],
        "verified_until": null,
        "agree": explanation.agrees(),
        "behind": explanation.behind().map(|node| names.of(node)).collect::<Vec<_>>(),
    })
}
