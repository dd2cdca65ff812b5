//! `cluster` and `ring`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use dynamo_client::{Client, MemberView, NodeId};
use serde_json::json;

use crate::arguments::JsonArguments;
use crate::output;

pub(super) async fn cluster(client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let view = client.cluster().await?;
    let replicas = view.partition_count * u32::from(view.replication.get());
    let share = |member: &MemberView| f64::from(member.replicas_held) / f64::from(replicas.max(1));
    if as_json {
        let member = |member: &MemberView| {
            json!({
                "id": member.node.to_string(),
                "name": member.name,
                "state": member.state,
                "reachable": member.reachable,
                "liveness": member.liveness,
                "weight": member.weight,
                "zone": member.zone,
                "share": share(member),
                "address": member.address,
                "http_address": member.http_address,
            })
        };
        let json = json!({
            "cluster": view.cluster.to_string(),
            "answered_by": view.answered_by.to_string(),
            "n": view.replication.get(),
            "partitions": view.partition_count,
            "members": view.members.iter().map(member).collect::<Vec<_>>(),
        });
        output::line(&json.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!(
        "cluster {}: {} partitions, {} replicas each, as node {} sees it",
        view.cluster,
        view.partition_count,
        view.replication.get(),
        view.answered_by
    ))?;
    let row = |member: &MemberView| {
        vec![
            member.name.clone(),
            member.node.to_string(),
            member.state.clone(),
            if member.reachable { "yes" } else { "no" }.to_owned(),
            member.liveness.clone(),
            member.weight.to_string(),
            member.zone.clone(),
            format!("{:.1}%", share(member) * 100.0),
            member.address.clone(),
            member.http_address.clone(),
        ]
    };
    let head = [
        "name",
        "id",
        "state",
        "reachable",
        "liveness",
        "weight",
        "zone",
        "share",
        "address",
        "http",
    ];
    output::table(&head, &view.members.iter().map(row).collect::<Vec<_>>())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn ring(client: &Client, arguments: &JsonArguments) -> anyhow::Result<ExitCode> {
    let ring = client.ring().await?;
    let n = usize::from(ring.replication.get());
    if arguments.json {
        let set = |set: &[NodeId]| set.iter().map(NodeId::to_string).collect::<Vec<_>>();
        let json = json!({
            "version": ring.version,
            "n": n,
            "partitions": ring.replicas.chunks(n).map(set).collect::<Vec<_>>(),
        });
        output::line(&json.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let names: BTreeMap<NodeId, String> =
        client.cluster().await?.members.into_iter().map(|m| (m.node, m.name)).collect();
    let mut held: BTreeMap<NodeId, (usize, usize)> = BTreeMap::new();
    for set in ring.replicas.chunks(n) {
        for (place, node) in set.iter().enumerate() {
            let (replicas, first) = held.entry(*node).or_default();
            *replicas += 1;
            *first += usize::from(place == 0);
        }
    }
    output::line(&format!(
        "table {}: {} partitions, {n} replicas each",
        ring.version,
        ring.replicas.len() / n
    ))?;
    let row = |(node, (replicas, first)): (&NodeId, &(usize, usize))| {
        let name = names.get(node).cloned().unwrap_or_default();
        vec![name, node.to_string(), replicas.to_string(), first.to_string()]
    };
    let rows: Vec<Vec<String>> = held.iter().map(row).collect();
    output::table(&["name", "id", "replicas", "preferred in"], &rows)?;
    Ok(ExitCode::SUCCESS)
}
