//! `cargo xtask bench`: three nodes on this machine, the rows of docs/PERFORMANCE.md, one command.
//!
//! Load generator and nodes share the processors, so throughput says what this machine can do; CPU
//! per operation is the figure to compare, since it hardly moves when the machine is busy.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::console::{progress, say};
use crate::workspace::{Workspace, must_succeed};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long each row is measured, such as 10s.
    #[arg(long, default_value = "10s")]
    duration: String,
    /// Callers at once.
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// Bytes of a value.
    #[arg(long, default_value_t = 1024)]
    value_bytes: u32,
    /// Node I speaks QUIC on this port plus I; another than the cluster's, so that both can run.
    #[arg(long, default_value_t = 7300)]
    quic_base: u16,
    /// Node I serves HTTP on this port plus I.
    #[arg(long, default_value_t = 8300)]
    http_base: u16,
}

/// Each row: what it is called, and what it asks of `dynamo bench` beyond the common part.
const ROWS: [(&str, &[&str]); 9] = [
    ("put, native", &["--mix", "put"]),
    ("get, native", &["--mix", "get", "--no-load"]),
    ("put, HTTP", &["--mix", "put", "--http"]),
    ("get, HTTP", &["--mix", "get", "--http", "--no-load"]),
    ("put, native, buffered", &["--mix", "put", "--buffered"]),
    ("YCSB A, native", &["--mix", "a", "--bucket", "ycsb"]),
    ("YCSB B, native", &["--mix", "b", "--bucket", "ycsb", "--no-load"]),
    ("YCSB D, native", &["--mix", "d", "--bucket", "ycsb"]),
    ("YCSB F, native", &["--mix", "f", "--bucket", "ycsb"]),
];

/// Starts a cluster of its own, measures every row, and removes the cluster, also after a failure.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let directory = workspace.own_target().join("bench-cluster");
    let cluster = |arguments: &[String]| -> Result<()> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        command.arg("cluster").args(arguments).arg("--dir").arg(&directory);
        must_succeed(command.stdout(std::process::Stdio::null()))
    };
    let up = ["up", "--nodes", "3", "--quic-base"].map(str::to_owned).into_iter().chain([
        options.quic_base.to_string(),
        "--http-base".to_owned(),
        options.http_base.to_string(),
    ]);
    cluster(&up.collect::<Vec<_>>())?;
    let measured = measure(workspace, options, &directory);
    cluster(&["wipe".to_owned()])?;
    measured
}

fn measure(workspace: &Workspace, options: &Options, directory: &Path) -> Result<()> {
    let dynamo: PathBuf = workspace.target().join("release/dynamo");
    for (name, further) in ROWS {
        progress(&format!("measuring: {name}"));
        say(&format!("# {name}"));
        let mut command = Command::new(&dynamo);
        command.arg("--config").arg(directory.join("client/client.toml")).arg("bench");
        command.args(["--duration", &options.duration]);
        command.args(["--clients", &options.clients.to_string()]);
        command.args(["--value-bytes", &options.value_bytes.to_string()]);
        must_succeed(command.args(further))?;
    }
    Ok(())
}
