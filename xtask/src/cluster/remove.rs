//! `remove`: a node leaves, or is given up.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::directory::{Directory, Locked};
use super::process::State;
use super::{change, done, stop};
use crate::console::progress;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Which node.
    node: u32,
    /// It is gone for good: remove it at once, and let nobody wait for what it has.
    #[arg(long)]
    dead: bool,
    /// Return only when all data has moved. A node that leaves has moved its own anyway.
    #[arg(long)]
    wait_moves: bool,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u64,
}

/// Returns when the node is removed and stopped.
pub(super) fn run(directory: &Directory, options: &Options) -> Result<()> {
    let mut cluster = directory.lock()?;
    let node = cluster.check_node(options.node)?;
    check(&cluster, node, options.dead)?;
    let at = change::any_node(&cluster, node)?;
    let patience = Duration::from_secs(options.wait);
    let kind = if options.dead { "remove" } else { "leave" };
    let state = change::state_of(&cluster, at, node);
    // An earlier `remove` may have been interrupted while it waited.
    let already = match state.as_deref() {
        Some("removed") => true,
        Some("leaving") => !options.dead,
        _ => false,
    };
    if !already {
        change::plan_and_commit(&cluster, at, &json!({ kind: change::name(node) }))?;
    }
    if !options.dead {
        progress(&format!("waiting until node {node} has handed over what it has"));
    }
    change::wait_for_state(&cluster, at, node, &["removed"], patience).with_context(|| {
        format!(
            "node {node} is not removed after {} s; it goes on leaving, and `dynamo transfers \
             --watch` shows what it waits for",
            options.wait
        )
    })?;
    stop::gently(&cluster, &[node])?;
    cluster.description.removed.insert(node);
    cluster.save()?;
    change::write_seeds(&cluster)?;
    if options.wait_moves {
        change::wait_for_moves(&cluster, at, patience)?;
    }
    done(node, "is no member any more, and is stopped")
}

/// Refuses, before anything is asked, what the cluster would refuse, and what was probably not meant.
fn check(cluster: &Locked, node: u32, dead: bool) -> Result<()> {
    let description = &cluster.description;
    if description.removed.contains(&node) {
        bail!("node {node} was removed already");
    }
    let (members, replication) = (description.members().len(), description.replication);
    if members <= usize::try_from(replication).unwrap_or(usize::MAX) {
        bail!(
            "node {node} cannot go: {replication} replicas need as many nodes, and there are \
             {members}; add one first with `cargo xtask cluster add`"
        );
    }
    let state = cluster.process(node)?.map_or(State::Dead, |process| process.state());
    match (dead, state) {
        (true, State::Running | State::Paused) => {
            bail!("node {node} is {}; kill it first, or let it leave without --dead", state.name())
        }
        (false, State::Dead | State::Paused) => bail!(
            "node {node} is {} and cannot hand over what it has; let it run, or give it up with --dead",
            state.name()
        ),
        _ => Ok(()),
    }
}
