//! `add`: one more node, made, started and let in.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::directory::{Directory, Locked};
use super::up::{self, Launch};
use super::{change, done};
use crate::console::progress;
use crate::workspace::{Workspace, must_succeed};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Its failure zone; without one it is a zone of its own.
    #[arg(long)]
    zone: Option<String>,
    /// Its capacity, relative to the others.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    weight: u32,
    /// Return only when all data has moved.
    #[arg(long)]
    wait_moves: bool,
    /// How long to wait for the moves, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    moves_wait: u64,
    #[command(flatten)]
    launch: Launch,
}

/// Returns when the join is committed.
pub(super) fn run(workspace: &Workspace, directory: &Directory, options: &Options) -> Result<()> {
    directory.read()?.with_context(|| directory.absence())?;
    let programs = options.launch.programs(workspace)?;
    let mut cluster = directory.lock()?;
    let mut grown = cluster.description.clone();
    grown.added += 1;
    // The ports of the newcomer may not exist.
    grown.check()?;
    let node = grown.total();
    let at = change::any_node(&cluster, node)?;
    let former = std::mem::replace(&mut cluster.description, grown);
    if let Err(error) = make(&cluster, node, &programs, options) {
        cluster.description = former;
        return Err(error);
    }
    // From here on `status`, `down` and `wipe` know it, whatever happens.
    cluster.save()?;
    change::write_seeds(&cluster)?;
    let option = directory.option();
    up::serve(&cluster, node, &programs, &options.launch, directory)?;
    let_in(&cluster, node, at, &options.launch).with_context(|| {
        format!(
            "node {node} runs and is no member yet; let it in with `dynamo cluster commit --join \
             {}`, or take it away again with `cargo xtask cluster kill {node}{option}` and `cargo \
             xtask cluster remove {node} --dead{option}`",
            change::name(node)
        )
    })?;
    if options.wait_moves {
        change::wait_for_moves(&cluster, at, Duration::from_secs(options.moves_wait))?;
    }
    let address = cluster.description.http(node);
    done(node, &format!("has joined and serves http://{address}"))
}

/// Lets the node program make identity and configuration. Those of an `add` that was interrupted right
/// after it are used.
fn make(cluster: &Locked, node: u32, programs: &Path, options: &Options) -> Result<()> {
    if cluster.node(node).join("dynamo.toml").is_file() {
        progress(&format!("going on with node {node}, which an interrupted `add` left"));
        return Ok(());
    }
    progress(&format!("making node {node}"));
    let description = &cluster.description;
    let mut add = Command::new(programs.join("dynamo-node"));
    add.arg("add-node").arg("--dir").arg(cluster.path());
    for (option, value) in [
        ("--name", change::name(node)),
        ("--address", description.quic(node).to_string()),
        ("--http-address", description.http(node).to_string()),
        ("--weight", options.weight.to_string()),
    ] {
        add.args([option.to_owned(), value]);
    }
    if let Some(zone) = &options.zone {
        add.args(["--zone", zone]);
    }
    // It says how to go on by hand, which is what this program is for.
    must_succeed(add.stdout(Stdio::null()))
}

fn let_in(cluster: &Locked, node: u32, at: u32, launch: &Launch) -> Result<()> {
    // It finds the others by itself; until one of them knows it, it cannot be named.
    let known = change::wait_for_state(cluster, at, node, &["joining"], launch.patience());
    known.with_context(|| {
        format!("node {at} has not heard of it after {} s", launch.patience().as_secs())
    })?;
    change::plan_and_commit(cluster, at, &json!({ "join": change::name(node) }))
}
