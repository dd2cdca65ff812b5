//! `down` and `kill`: ends nodes, politely or not.

use std::time::Duration;

use anyhow::{Context, Result};

use super::directory::Locked;
use super::process::{Process, State};
use crate::clock::wait_for;
use crate::console::{progress, say};

/// How long a node may take to flush and close.
const POLITE_PATIENCE: Duration = Duration::from_secs(10);

/// Stops every node.
pub(super) fn all(cluster: &Locked) -> Result<()> {
    let nodes: Vec<u32> = cluster.description.numbers().collect();
    let stopped = gently(cluster, &nodes)?;
    say(&format!("{stopped} of {} nodes were running; none is now", nodes.len()));
    Ok(())
}

/// Asks these nodes to end, waits for all together, kills those that did not; says how many ran.
pub(super) fn gently(cluster: &Locked, nodes: &[u32]) -> Result<usize> {
    let mut alive: Vec<(u32, Process)> = Vec::new();
    for node in nodes {
        let process = cluster.process(*node)?;
        alive.extend(process.filter(|process| process.state() != State::Dead).map(|p| (*node, p)));
    }
    for (node, process) in &alive {
        process.terminate().with_context(|| format!("cannot stop node {node}"))?;
    }
    let stopped = alive.len();
    wait_for(POLITE_PATIENCE, || {
        alive.retain(|(_, process)| process.state() != State::Dead);
        alive.is_empty().then_some(())
    });
    for (node, process) in alive {
        progress(&format!("node {node} takes too long; killing it"));
        process.kill().with_context(|| format!("cannot kill node {node}"))?;
    }
    Ok(stopped)
}

/// Kills one node; a dead one is as dead as was asked for.
pub(super) fn kill(cluster: &Locked, node: u32) -> Result<()> {
    match cluster.process(node)? {
        Some(process) => process.kill().with_context(|| format!("cannot kill node {node}")),
        None => Ok(()),
    }
}
