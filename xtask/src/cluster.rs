//! `cargo xtask cluster`: real nodes on this machine, started, hurt and stopped by number.
//!
//! Nodes run detached, in sessions of their own, and outlive this program; what it knows about
//! them is in the cluster's directory. Node `i` counts from 1 and listens on the bases plus `i`.
//!
//! ```text
//! target/cluster/
//!     cluster.json     what `up` was asked for: written first, so that only what is ours is wiped
//!     genesis.toml  ca/  client/          made by `dynamo-node init`
//!     node-1/          dynamo.toml  identity/  data/
//!         pid          process and its start time, so that a reused number is never signalled
//!         log          all that the node ever printed
//! ```
//!
//! [`description`] is `cluster.json`, [`process`] one node's process, [`http`] one request;
//! [`up`], [`stop`], [`status`], [`logs`], [`wipe`], [`add`] and [`remove`] are the commands; the last
//! two ask the cluster itself, through [`change`].

mod add;
mod change;
mod description;
mod directory;
mod http;
mod logs;
mod process;
mod remove;
mod status;
mod stop;
mod up;
mod wipe;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Subcommand;

use crate::console::{progress, say};
use crate::workspace::Workspace;
use description::Description;
use directory::{Directory, Locked};
use process::{Process, State};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: ClusterCommand,
    /// Where the cluster lives; another directory is another cluster.
    #[arg(long, global = true, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Make a cluster if there is none, start what is not running, wait until all are ready.
    Up(up::Options),
    /// Stop every node: SIGTERM, then SIGKILL for those that take longer than ten seconds.
    Down,
    /// Show every node: process, state, readiness, addresses.
    Status {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Kill a node without warning (SIGKILL).
    Kill { node: u32 },
    /// Stop a node in its tracks (SIGSTOP); `resume` lets it go on.
    Pause { node: u32 },
    /// Let a paused node go on (SIGCONT).
    Resume { node: u32 },
    /// Stop a node if it runs and start it; waits until it serves HTTP, not for its peers.
    Restart(up::RestartOptions),
    /// Make one more node, start it and let it join; returns when the join is committed.
    Add(add::Options),
    /// Let a node leave, wait until it has handed over what it has, and stop it.
    Remove(remove::Options),
    /// Print what a node printed.
    Logs {
        node: u32,
        /// Go on printing as the node does.
        #[arg(long, short)]
        follow: bool,
    },
    /// Stop everything and remove it, or remove the data of one stopped node.
    Wipe { node: Option<u32> },
}

/// Carries out one command.
pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<()> {
    let directory = Directory::new(workspace, options.dir)?;
    match options.command {
        ClusterCommand::Up(options) => up::run(workspace, &directory, &options),
        ClusterCommand::Down => match directory.lock_if_there()? {
            Some(cluster) => stop::all(&cluster),
            None => nothing_there(&directory),
        },
        ClusterCommand::Status { json } => status::run(&directory, json),
        ClusterCommand::Kill { node } => {
            let cluster = directory.lock()?;
            stop::kill(&cluster, cluster.check_node(node)?)?;
            done(node, "is dead")
        }
        ClusterCommand::Pause { node } => {
            let cluster = directory.lock()?;
            running(&cluster, node)?.pause()?;
            done(node, "is paused")
        }
        ClusterCommand::Resume { node } => {
            let cluster = directory.lock()?;
            running(&cluster, node)?.resume()?;
            done(node, "goes on")
        }
        ClusterCommand::Restart(options) => up::restart(workspace, &directory, &options),
        ClusterCommand::Add(options) => add::run(workspace, &directory, &options),
        ClusterCommand::Remove(options) => remove::run(&directory, &options),
        ClusterCommand::Logs { node, follow } => logs::run(&directory, node, follow),
        ClusterCommand::Wipe { node: None } => match directory.lock_if_there()? {
            Some(cluster) => wipe::all(cluster),
            None => nothing_there(&directory),
        },
        ClusterCommand::Wipe { node: Some(node) } => {
            let cluster = directory.lock()?;
            wipe::data_of(&cluster, cluster.check_node(node)?)?;
            done(node, "has no data left; `cargo xtask cluster restart` starts it empty")
        }
    }
}

fn nothing_there(directory: &Directory) -> Result<()> {
    progress(&format!("no cluster in {}: nothing to do", directory.path().display()));
    Ok(())
}

fn done(node: u32, what: &str) -> Result<()> {
    say(&format!("node {node} {what}"));
    Ok(())
}

/// The process of a node that must be alive.
fn running(cluster: &Locked, node: u32) -> Result<Process> {
    let node = cluster.check_node(node)?;
    match cluster.process(node)? {
        Some(process) if process.state() != State::Dead => Ok(process),
        _ => {
            bail!("node {node} is not running; start it with `cargo xtask cluster restart {node}`")
        }
    }
}
