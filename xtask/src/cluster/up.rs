//! `up` and `restart`: makes the cluster, starts nodes, waits for them.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::directory::{Directory, Locked};
use super::process::{Process, State};
use super::{Description, http, logs, stop};
use crate::console::{progress, say, table};
use crate::workspace::{Workspace, must_succeed};
use crate::{clock, setup};

const NODES: u32 = 5;
const REPLICATION: u32 = 3;
const PARTITIONS: u32 = 1024;
const QUIC_BASE: u16 = 7100;
const HTTP_BASE: u16 = 8100;
/// How much of a dead node's log is worth showing.
const LOG_LINES_SHOWN: usize = 20;

/// What is run, and how long it may take.
#[derive(Debug, clap::Args)]
pub(super) struct Launch {
    /// The Cargo profile of the nodes.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Run `dynamo-node` from this directory and build nothing.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "profile")]
    binaries: Option<PathBuf>,
    /// How long to wait for the nodes, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

impl Launch {
    /// Builds unless told where the programs are; answers with their directory.
    pub(super) fn programs(&self, workspace: &Workspace) -> Result<PathBuf> {
        if let Some(directory) = &self.binaries {
            let directory = directory.canonicalize();
            let directory = directory.context("--binaries names no directory")?;
            if !directory.join("dynamo-node").is_file() {
                bail!("there is no dynamo-node in {}", directory.display());
            }
            return Ok(directory);
        }
        setup::run(workspace)?;
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--package", "dynamo-node", "--package", "dynamo-cli"]);
        must_succeed(cargo.args(["--profile", &self.profile]))?;
        // Cargo keeps the old name of one directory.
        let folder = if self.profile == "dev" { "debug" } else { &self.profile };
        Ok(workspace.target().join(folder))
    }

    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.wait)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How many nodes [default: 5].
    #[arg(long)]
    nodes: Option<u32>,
    /// Replicas of each key [default: 3].
    #[arg(long)]
    replication: Option<u32>,
    /// Partitions of the ring, a power of two [default: 1024].
    #[arg(long)]
    partitions: Option<u32>,
    /// The address that all nodes bind [default: 127.0.0.1].
    #[arg(long)]
    host: Option<IpAddr>,
    /// Node I listens for peers and native clients on this port plus I [default: 7100].
    #[arg(long)]
    quic_base: Option<u16>,
    /// Node I serves HTTP on this port plus I [default: 8100].
    #[arg(long)]
    http_base: Option<u16>,
    #[command(flatten)]
    launch: Launch,
}

impl Options {
    /// The cluster that is asked for when there is none yet.
    fn description(&self) -> Description {
        Description {
            nodes: self.nodes.unwrap_or(NODES),
            added: 0,
            removed: BTreeSet::new(),
            replication: self.replication.unwrap_or(REPLICATION),
            partitions: self.partitions.unwrap_or(PARTITIONS),
            host: self.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            quic_base: self.quic_base.unwrap_or(QUIC_BASE),
            http_base: self.http_base.unwrap_or(HTTP_BASE),
            complete: false,
        }
    }

    /// Refuses to take an existing cluster for another one.
    fn check_against(&self, found: &Description) -> Result<()> {
        let members = u32::try_from(found.members().len()).unwrap_or(u32::MAX);
        // As many as it was made with, or as many as it has now.
        let nodes = self.nodes.filter(|wanted| *wanted != found.nodes);
        let wanted = [
            ("--nodes", nodes, members),
            ("--replication", self.replication, found.replication),
            ("--partitions", self.partitions, found.partitions),
            ("--quic-base", self.quic_base.map(u32::from), found.quic_base.into()),
            ("--http-base", self.http_base.map(u32::from), found.http_base.into()),
        ];
        for (option, wanted, found) in wanted {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
                bail!(
                    "the cluster that is there has {option} {found}, not {wanted}; leave the \
                     option away, or `cargo xtask cluster wipe` it first"
                );
            }
        }
        if let Some(wanted) = self.host.filter(|wanted| *wanted != found.host) {
            bail!("the cluster that is there has --host {}, not {wanted}", found.host);
        }
        Ok(())
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct RestartOptions {
    /// Which node.
    node: u32,
    #[command(flatten)]
    launch: Launch,
}

/// Makes the cluster if there is none, starts what is missing, waits until all are ready.
pub(super) fn run(workspace: &Workspace, directory: &Directory, options: &Options) -> Result<()> {
    // Whatever can be refused is refused before minutes of building.
    match directory.read()?.filter(|found| found.complete) {
        Some(found) => options.check_against(&found)?,
        None => options.description().check()?,
    }
    let programs = options.launch.programs(workspace)?;
    let mut cluster = directory.lock_or_begin(|| Ok(options.description()))?;
    options.check_against(&cluster.description)?;
    if !cluster.description.complete {
        initialise(&mut cluster, &programs)?;
    }
    let mut started = Vec::new();
    for node in cluster.description.members() {
        let alive = cluster.process(node)?.filter(|process| process.state() != State::Dead);
        match alive.map(|process| process.state()) {
            Some(State::Paused) => bail!(
                "node {node} is paused; let it go on with `cargo xtask cluster resume {node}{}`",
                directory.option()
            ),
            Some(_) => {}
            None => started.push((node, start(&cluster, node, &programs)?)),
        }
    }
    wait_until_ready(&cluster, &mut started, options.launch.patience())?;
    print_cluster(&cluster, &programs, directory);
    Ok(())
}

/// Stops a node if it runs, starts it, and waits until it serves HTTP: its peers may be down.
pub(super) fn restart(
    workspace: &Workspace,
    directory: &Directory,
    options: &RestartOptions,
) -> Result<()> {
    if let Some(found) = directory.read()? {
        super::directory::check_node(&found, options.node)?;
    } else {
        bail!("{}", directory.absence());
    }
    let programs = options.launch.programs(workspace)?;
    let cluster = directory.lock()?;
    let node = cluster.check_node(options.node)?;
    stop::gently(&cluster, &[node])?;
    serve(&cluster, node, &programs, &options.launch, directory)?;
    say(&format!("node {node} serves http://{}", cluster.description.http(node)));
    Ok(())
}

/// Starts a node and waits until it serves HTTP.
pub(super) fn serve(
    cluster: &Locked,
    node: u32,
    programs: &Path,
    launch: &Launch,
    directory: &Directory,
) -> Result<()> {
    let mut child = start(cluster, node, programs)?;
    let address = cluster.description.http(node);
    let answer = clock::wait_for(launch.patience(), || {
        if has_ended(&mut child) {
            return Some(Err(death(cluster, node)));
        }
        (http::status(address, "/healthz") == Some(200)).then_some(Ok(()))
    });
    answer.unwrap_or_else(|| {
        Err(anyhow::anyhow!(
            "node {node} does not serve http://{address}/healthz after {} s; see `cargo xtask \
             cluster logs {node}{}`",
            launch.wait,
            directory.option()
        ))
    })
}

/// Lets the node program make identities, certificates and configuration.
fn initialise(cluster: &mut Locked, programs: &Path) -> Result<()> {
    let wanted = &cluster.description;
    progress(&format!(
        "making a cluster of {} nodes in {}",
        wanted.nodes,
        cluster.path().display()
    ));
    let mut init = Command::new(programs.join("dynamo-node"));
    init.arg("init").arg("--dir").arg(cluster.path());
    for (option, value) in [
        ("--nodes", wanted.nodes.to_string()),
        ("--replication", wanted.replication.to_string()),
        ("--partitions", wanted.partitions.to_string()),
        ("--quic-base", wanted.quic_base.to_string()),
        ("--http-base", wanted.http_base.to_string()),
        ("--host", wanted.host.to_string()),
    ] {
        init.args([option.to_owned(), value]);
    }
    // It says how to start nodes one by one, which is what this program is for.
    must_succeed(init.stdout(Stdio::null()))?;
    cluster.description.complete = true;
    cluster.save()
}

fn start(cluster: &Locked, node: u32, programs: &Path) -> Result<Child> {
    check_ports(&cluster.description, node)?;
    let directory = cluster.node(node);
    let config = directory.join("dynamo.toml");
    if !config.is_file() {
        bail!("node {node} has no {}; wipe the cluster and make it again", config.display());
    }
    let program = programs.join("dynamo-node");
    let (process, child) = Process::start(&program, &config, &directory.join("log"))
        .with_context(|| format!("cannot start node {node}"))?;
    process.save(&directory.join("pid"))?;
    Ok(child)
}

/// Says who is in the way, instead of letting the node die of it.
fn check_ports(description: &Description, node: u32) -> Result<()> {
    let (http, quic) = (description.http(node), description.quic(node));
    let tcp = TcpListener::bind(http).map(drop).map_err(|error| (http, "--http-base", error));
    let udp = UdpSocket::bind(quic).map(drop).map_err(|error| (quic, "--quic-base", error));
    if let Err((address, option, error)) = tcp.and(udp) {
        if error.kind() == ErrorKind::AddrInUse {
            bail!(
                "node {node} needs {address}, which another program has taken; stop that, or make \
                 the cluster elsewhere with {option}"
            );
        }
        return Err(error).with_context(|| format!("node {node} cannot bind {address}"));
    }
    Ok(())
}

fn wait_until_ready(
    cluster: &Locked,
    started: &mut [(u32, Child)],
    patience: Duration,
) -> Result<()> {
    let mut waiting = cluster.description.members();
    let answer = clock::wait_for(patience, || {
        for (node, child) in started.iter_mut() {
            if has_ended(child) {
                return Some(Err(death(cluster, *node)));
            }
        }
        let http = |node: &u32| cluster.description.http(*node);
        waiting.retain(|node| http::status(http(node), "/readyz") != Some(200));
        waiting.is_empty().then_some(Ok(()))
    });
    answer.unwrap_or_else(|| {
        let first = waiting[0];
        bail!(
            "after {} s these nodes are not ready: {waiting:?}; the log of node {first} is {}",
            patience.as_secs(),
            cluster.node(first).join("log").display()
        )
    })
}

fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

/// Why a node died, in its own last words.
fn death(cluster: &Locked, node: u32) -> anyhow::Error {
    let log = cluster.node(node).join("log");
    let words = fs::read(&log).map(|bytes| logs::last_lines(&bytes, LOG_LINES_SHOWN));
    let words = words.unwrap_or_else(|error| format!("(no log: {error})"));
    anyhow::anyhow!("node {node} died while starting; the end of {}:\n{words}", log.display())
}

fn print_cluster(cluster: &Locked, programs: &Path, directory: &Directory) {
    let description = &cluster.description;
    let mut rows = vec![["node", "http", "quic", "log"].map(ToOwned::to_owned).to_vec()];
    let members = description.members();
    for node in &members {
        let node = *node;
        rows.push(vec![
            node.to_string(),
            format!("http://{}", description.http(node)),
            description.quic(node).to_string(),
            short(&cluster.node(node).join("log")),
        ]);
    }
    table(&rows);
    let (Some(first), Some(last)) = (members.first(), members.last()) else { return };
    let (first, last_http) = (description.http(*first), description.http(*last));
    say(&format!(
        "
All {nodes} nodes are ready. Try:

  curl -i -X PUT -H 'content-type: text/plain' -d hello http://{first}/v1/kv/demo/greeting
  curl -i http://{last_http}/v1/kv/demo/greeting
  curl -s http://{first}/v1/cluster
",
        nodes = members.len()
    ));
    let dynamo = programs.join("dynamo");
    if dynamo.is_file() {
        // The command finds the usual cluster by itself.
        let usual = directory.option().is_empty();
        let config = short(&cluster.path().join("client/client.toml"));
        let config = if usual { String::new() } else { format!(" --config {config}") };
        for line in ["put demo greeting 'hello again'", "get demo greeting", "cluster"] {
            say(&format!("  {}{config} {line}", short(&dynamo)));
        }
        say("");
    }
    for command in ["kill", "restart"] {
        let option = directory.option();
        say(&format!("  cargo xtask cluster {command} {last}{option}"));
    }
    for command in ["status", "down"] {
        say(&format!("  cargo xtask cluster {command}{}", directory.option()));
    }
}

/// A path as seen from here, when it is beneath.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
