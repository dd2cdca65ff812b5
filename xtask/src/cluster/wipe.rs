//! `wipe`: removes a cluster, or what one node has stored.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result, bail};

use super::directory::Locked;
use super::process::State;
use super::stop;
use crate::console::say;

/// Stops every node and removes the whole directory.
pub(super) fn all(cluster: Locked) -> Result<()> {
    let nodes: Vec<u32> = cluster.description.numbers().collect();
    stop::gently(&cluster, &nodes)?;
    let path = cluster.path().to_owned();
    cluster.remove()?;
    say(&format!("{} is gone", path.display()));
    Ok(())
}

/// Removes the data of one node, which keeps its identity and with it its place in the ring.
pub(super) fn data_of(cluster: &Locked, node: u32) -> Result<()> {
    if cluster.process(node)?.is_some_and(|process| process.state() != State::Dead) {
        bail!("node {node} is running; kill it first, its disk does not vanish while it writes");
    }
    let data = cluster.node(node).join("data");
    match fs::remove_dir_all(&data) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", data.display()))
        }
        _ => Ok(()),
    }
}
