//! Five real nodes: their files, their processes, and where they can be reached.

mod files;
mod process;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use dynamo_checker::history::HostIndex;
use dynamo_client::{ClientConfig, Identity, Trust};
use dynamo_types::{ClusterId, NodeId};
use dynamo_versioning::ContextKey;

use crate::clock;
use crate::proxy::Proxy;

pub use files::NodeKnobs;

use files::Files;
use process::NodeProcess;

/// How many nodes there are.
pub const NODES: u8 = 5;
/// N.
pub const REPLICATION: u8 = 3;

/// How long a node may take from its start until it listens. It reads its log first; this is far
/// beyond what a slow machine needs for that.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Lines of a log that are worth showing.
const LOG_LINES_SHOWN: usize = 15;

/// All nodes, in order.
pub fn nodes() -> impl Iterator<Item = HostIndex> + Clone {
    (0..NODES).map(HostIndex)
}

/// Where nodes serve HTTP now; shared with those who ask them. A dead node keeps its last address, at
/// which nobody answers.
#[derive(Debug, Clone, Default)]
pub struct HttpAddresses(Arc<Mutex<BTreeMap<HostIndex, SocketAddr>>>);

impl HttpAddresses {
    /// Where a node serves HTTP, if it ever did.
    #[must_use]
    pub fn get(&self, node: HostIndex) -> Option<SocketAddr> {
        let addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(&node).copied()
    }

    fn set(&self, node: HostIndex, address: SocketAddr) {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.insert(node, address);
    }
}

/// What those who judge need to know of a cluster.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Which cluster.
    pub cluster: ClusterId,
    /// The cluster's secret, under which request ids are made from idempotency keys.
    pub secret: [u8; 32],
    /// Opens the contexts that clients get.
    pub context_key: ContextKey,
    /// The nodes' identities, in order.
    pub nodes: Vec<NodeId>,
}

/// A cluster of processes. All of them are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    files: Files,
    processes: Vec<Option<NodeProcess>>,
    paused: Vec<bool>,
    proxy: Arc<Proxy>,
    http: HttpAddresses,
}

/// The address that node sends from: the proxy knows it by that.
fn host(node: HostIndex) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, node.0 + 1))
}

impl Cluster {
    /// Makes the files of a cluster whose nodes know each other by the proxy's addresses only. No
    /// node runs yet.
    ///
    /// # Errors
    /// The program cannot make a cluster, or its files cannot be read and changed.
    pub async fn create(
        program: &Path,
        directory: &Path,
        knobs: &[NodeKnobs],
        seed: u64,
    ) -> Result<Self> {
        let proxy = Proxy::start(nodes().map(host).collect(), seed);
        let proxy = Arc::new(proxy.await.context("the proxy gets no sockets")?);
        let fronts: Vec<SocketAddr> = nodes().map(|node| proxy.front(node)).collect();
        let hosts: Vec<IpAddr> = nodes().map(host).collect();
        let files = Files::create(program, directory, &fronts, &hosts, knobs)?;
        Ok(Self {
            program: program.to_owned(),
            files,
            processes: nodes().map(|_| None).collect(),
            paused: nodes().map(|_| false).collect(),
            proxy,
            http: HttpAddresses::default(),
        })
    }

    /// The network between the nodes.
    #[must_use]
    pub fn proxy(&self) -> Arc<Proxy> {
        self.proxy.clone()
    }

    /// Where nodes serve HTTP.
    #[must_use]
    pub fn http(&self) -> HttpAddresses {
        self.http.clone()
    }

    /// What those who judge need to know.
    #[must_use]
    pub fn secrets(&self) -> Secrets {
        self.files.secrets.clone()
    }

    /// How a native client reaches the cluster.
    ///
    /// # Errors
    /// The client's certificate cannot be read.
    pub fn client_config(&self) -> Result<ClientConfig> {
        let read = |path: &str| {
            let path = self.files.directory.join(path);
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let (certificate, key) =
            (read("client/identity/certificate.pem")?, read("client/identity/key.pem")?);
        let identity = Identity::from_pem(&certificate, &key).context("the client's identity")?;
        let trust = Trust::from_pem(&read("ca/certificate.pem")?).context("the authority")?;
        let seeds = nodes().map(|node| self.proxy.front(node).to_string()).collect();
        Ok(ClientConfig::new(seeds, identity, trust))
    }

    /// Starts nodes side by side, and waits until they listen.
    ///
    /// # Errors
    /// A node does not start, or does not come so far in time.
    pub async fn start(&mut self, which: &[HostIndex]) -> Result<()> {
        for node in which {
            self.files.forget_addresses(*node)?;
            let process = NodeProcess::start(
                &self.program,
                &self.files.config(*node),
                &self.files.log(*node),
            )?;
            self.processes[node.index()] = Some(process);
            self.paused[node.index()] = false;
        }
        let deadline = clock::now() + START_WITHIN;
        for node in which {
            while self.learn_addresses(*node)?.is_none() {
                self.check_running()?;
                if clock::now() >= deadline {
                    bail!("{node} does not listen in time\n{}", self.log_end(*node));
                }
                clock::pause().await;
            }
        }
        Ok(())
    }

    fn learn_addresses(&self, node: HostIndex) -> Result<Option<()>> {
        let Some((quic, http)) = self.files.addresses(node)? else { return Ok(None) };
        self.proxy.set_address(node, quic);
        self.http.set(node, http);
        Ok(Some(()))
    }

    /// SIGKILL, to all of these in one moment; returns when they are gone.
    ///
    /// # Errors
    /// A process cannot be killed.
    pub fn kill(&mut self, which: &[HostIndex]) -> Result<()> {
        let mut dying = Vec::new();
        for node in which {
            if let Some(mut process) = self.processes[node.index()].take() {
                process.begin_kill().with_context(|| format!("cannot kill {node}"))?;
                dying.push(process);
            }
        }
        for mut process in dying {
            process.wait().context("a killed node does not end")?;
        }
        Ok(())
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// The process cannot be stopped.
    pub fn pause(&mut self, node: HostIndex) -> Result<()> {
        if let Some(process) = &self.processes[node.index()] {
            process.pause().with_context(|| format!("cannot pause {node}"))?;
            self.paused[node.index()] = true;
        }
        Ok(())
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// The process cannot be woken.
    pub fn resume(&mut self, node: HostIndex) -> Result<()> {
        if let Some(process) = &self.processes[node.index()] {
            process.resume().with_context(|| format!("cannot resume {node}"))?;
            self.paused[node.index()] = false;
        }
        Ok(())
    }

    /// Empties the disk of a node that does not run.
    ///
    /// # Errors
    /// The directory cannot be removed.
    pub fn wipe(&mut self, node: HostIndex) -> Result<()> {
        self.files.wipe(node)
    }

    /// Whether this node's process was started and not killed.
    #[must_use]
    pub fn is_up(&self, node: HostIndex) -> bool {
        self.processes[node.index()].is_some()
    }

    /// Whether this node's process is stopped by SIGSTOP.
    #[must_use]
    pub fn is_paused(&self, node: HostIndex) -> bool {
        self.paused[node.index()]
    }

    /// Nodes end when they are told to, and not otherwise.
    ///
    /// # Errors
    /// Says which node ended by itself, and the end of its log.
    pub fn check_running(&mut self) -> Result<()> {
        for node in nodes() {
            let Some(process) = &mut self.processes[node.index()] else { continue };
            if let Some(status) = process.ended().context("a process cannot be looked at")? {
                bail!("{node} ended by itself, with {status}\n{}", self.log_end(node));
            }
        }
        Ok(())
    }

    /// The last lines that a node logged.
    #[must_use]
    pub fn log_end(&self, node: HostIndex) -> String {
        let path = self.files.log(node);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        format!("the end of {}:\n  {}", path.display(), shown.join("\n  "))
    }

    /// Lines of all logs in which a node says that it broke an assertion.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn panics(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for node in nodes() {
            let path = self.files.log(node);
            let text =
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let text = String::from_utf8_lossy(&text);
            let lines = text.lines().filter(|line| line.contains("panicked at"));
            found.extend(lines.map(|line| format!("{node}: {line}")));
        }
        Ok(found)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let all: Vec<HostIndex> = nodes().collect();
        // The kernel kills what is left when this process ends.
        drop(self.kill(&all));
    }
}
