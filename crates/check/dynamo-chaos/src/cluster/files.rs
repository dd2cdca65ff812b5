//! A cluster's files: made by `dynamo-node init`, then bent so that everything goes through the
//! proxy and every port is the system's choice.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use dynamo_checker::history::HostIndex;
use dynamo_simulator::random::Stream;
use dynamo_types::{ClusterId, NodeId};
use dynamo_versioning::ContextKey;
use toml::{Table, Value};

use super::{NODES, REPLICATION, Secrets};

/// Q: few, so that keys share partitions and their clocks.
const PARTITIONS: u32 = 16;

/// What the seed decides of a node's settings.
#[derive(Debug, Clone, Copy)]
pub struct NodeKnobs {
    write_buffer_kib: u64,
    checkpoint_ms: u64,
}

impl NodeKnobs {
    /// Draws one node's settings, sizes by order of magnitude: small ones make the database write
    /// files and merge them within a short run.
    pub fn draw(random: &mut Stream) -> Self {
        Self {
            write_buffer_kib: random.magnitude(1024, 64 * 1024),
            checkpoint_ms: random.magnitude(100, 10_000),
        }
    }
}

/// The files of a cluster, and what they say.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) directory: PathBuf,
    pub(super) secrets: Secrets,
}

impl Files {
    pub(super) fn create(
        program: &Path,
        directory: &Path,
        fronts: &[SocketAddr],
        hosts: &[IpAddr],
        knobs: &[NodeKnobs],
    ) -> Result<Self> {
        let made = Command::new(program)
            .arg("init")
            .arg("--dir")
            .arg(directory)
            .args(["--nodes", &NODES.to_string(), "--replication", &REPLICATION.to_string()])
            .args(["--partitions", &PARTITIONS.to_string(), "--name", "chaos"])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        if !made.status.success() {
            bail!("no cluster was made: {}", String::from_utf8_lossy(&made.stderr));
        }
        let secrets = read_secrets(directory)?;
        let files = Self { directory: directory.to_owned(), secrets };
        files.redirect_genesis(fronts)?;
        for (node, (host, knobs)) in super::nodes().zip(hosts.iter().zip(knobs)) {
            write(&files.config(node), &config_text(*host, *knobs))?;
        }
        Ok(files)
    }

    fn node_directory(&self, node: HostIndex) -> PathBuf {
        self.directory.join(format!("node-{}", node.0 + 1))
    }

    pub(super) fn config(&self, node: HostIndex) -> PathBuf {
        self.node_directory(node).join("dynamo.toml")
    }

    pub(super) fn log(&self, node: HostIndex) -> PathBuf {
        self.node_directory(node).join("log")
    }

    fn ready_file(&self, node: HostIndex) -> PathBuf {
        self.node_directory(node).join("ready")
    }

    /// The genesis names the proxy's address of each node.
    fn redirect_genesis(&self, fronts: &[SocketAddr]) -> Result<()> {
        let path = self.directory.join("genesis.toml");
        let mut genesis = read_table(&path)?;
        let members = genesis.get_mut("members").and_then(Value::as_array_mut);
        let members = members.context("a genesis has members")?;
        if members.len() != fronts.len() {
            bail!("{} has {} members", path.display(), members.len());
        }
        for (member, front) in members.iter_mut().zip(fronts) {
            let member = member.as_table_mut().context("a member is a table")?;
            member.insert("address".to_owned(), Value::String(front.to_string()));
        }
        write(&path, &toml::to_string(&genesis).context("the genesis cannot be written")?)
    }

    /// The addresses that a node wrote down when it began to listen, (QUIC, HTTP).
    pub(super) fn addresses(&self, node: HostIndex) -> Result<Option<(SocketAddr, SocketAddr)>> {
        let path = self.ready_file(node);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let table: Table = text.parse().context("a ready file is TOML")?;
        let address = |name: &str| {
            let text = table.get(name).and_then(Value::as_str);
            let address = text.and_then(|text| text.parse().ok());
            address.with_context(|| format!("{} names no {name} address", path.display()))
        };
        Ok(Some((address("quic")?, address("http")?)))
    }

    pub(super) fn forget_addresses(&self, node: HostIndex) -> Result<()> {
        let path = self.ready_file(node);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(super) fn wipe(&self, node: HostIndex) -> Result<()> {
        let data = self.node_directory(node).join("data");
        std::fs::remove_dir_all(&data).with_context(|| format!("cannot wipe {}", data.display()))
    }
}

/// Ports are the system's choice; the address is how the proxy knows who sends.
fn config_text(host: IpAddr, knobs: NodeKnobs) -> String {
    let NodeKnobs { write_buffer_kib, checkpoint_ms } = knobs;
    format!(
        "genesis = \"../genesis.toml\"\nidentity = \"identity\"\ndata = \"data\"\n\
         ready_file = \"ready\"\nlisten = \"{host}:0\"\n\
         [http]\naddress = \"127.0.0.1:0\"\n\
         [storage]\nwrite_buffer_bytes = \"{write_buffer_kib}KiB\"\n\
         [timing]\ncheckpoint_interval = \"{checkpoint_ms}ms\"\n"
    )
}

fn read_secrets(directory: &Path) -> Result<Secrets> {
    let genesis = read_table(&directory.join("genesis.toml"))?;
    let text = |table: &Table, name: &str| {
        let text = table.get(name).and_then(Value::as_str).map(str::to_owned);
        text.with_context(|| format!("the genesis has no {name}"))
    };
    let cluster: ClusterId = text(&genesis, "cluster")?.parse().context("the cluster's id")?;
    let members = genesis.get("members").and_then(Value::as_array).context("the members")?;
    let nodes = members.iter().map(|member| {
        let member = member.as_table().context("a member is a table")?;
        text(member, "id")?.parse::<NodeId>().context("a member's id")
    });
    let nodes = nodes.collect::<Result<Vec<_>>>()?;
    let path = directory.join("node-1/identity/cluster-secret");
    let secret = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let secret = blake3::Hash::from_hex(secret.trim()).ok();
    let secret = *secret.context("the cluster's secret is malformed")?.as_bytes();
    Ok(Secrets { cluster, secret, context_key: ContextKey::derive(&secret), nodes })
}

fn read_table(path: &Path) -> Result<Table> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is no TOML", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
