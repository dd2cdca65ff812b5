//! Clusters of real processes, each on a loopback address of its own.
//!
//! All of 127.0.0.0/8 is loopback on Linux. The address comes from the test process's id and the
//! ports from a counter, below those that the system hands out, so that no two clusters of the
//! machine meet and nobody has to guess a free port.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::http_client::{Connection, Response};

/// Beyond this a test fails instead of hanging.
const DEADLINE: Duration = Duration::from_secs(60);

/// So far the HTTP ports of a cluster lie above its QUIC ports.
const HTTP_ABOVE_QUIC: u16 = 20;

static CLUSTERS: AtomicU16 = AtomicU16::new(0);

/// A cluster's files and those of its nodes that run; all are killed when it is dropped.
pub(crate) struct Cluster {
    directory: TempDir,
    host: String,
    http_base: u16,
    nodes: Vec<Option<Child>>,
}

/// The program under test.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamo-node"));
    command.stdin(Stdio::null()).env_remove("DYNAMO_CONFIG");
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// What the program said on standard error.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Cluster {
    /// Makes the files of a cluster with N = 3; no node runs yet.
    pub(crate) fn create(nodes: usize) -> Self {
        let process = std::process::id();
        let [_, high, middle, low] = process.to_be_bytes();
        let host = format!("127.{}.{middle}.{low}", 64 + (high & 0x3f));
        let base = 7000 + CLUSTERS.fetch_add(1, Ordering::Relaxed) * 40;
        let directory = tempfile::tempdir().unwrap();
        let http_base = base + HTTP_ABOVE_QUIC;
        let made = program()
            .args(["init", "--partitions", "16", "--host", &host])
            .args(["--nodes", &nodes.to_string()])
            .args(["--quic-base", &base.to_string(), "--http-base", &http_base.to_string()])
            .arg("--dir")
            .arg(directory.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", errors(&made));
        Self { directory, host, http_base, nodes: (0..nodes).map(|_| None).collect() }
    }

    /// A cluster whose nodes are all ready.
    pub(crate) fn start(nodes: usize) -> Self {
        let mut cluster = Self::create(nodes);
        (1..=nodes).for_each(|number| cluster.run(number));
        (1..=nodes).for_each(|number| cluster.wait_ready(number));
        cluster
    }

    /// Makes the files of one more node, which does not run yet; answers with its number.
    pub(crate) fn add(&mut self) -> usize {
        let number = self.nodes.len() + 1;
        let made = program()
            .args(["add-node", "--name", &format!("node-{number}")])
            .args(["--address", &self.quic(number).to_string()])
            .args(["--http-address", &self.http(number).to_string()])
            .arg("--dir")
            .arg(self.directory.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", errors(&made));
        self.nodes.push(None);
        number
    }

    /// What node `at` says of node `number` in `/v1/cluster`; null if it does not know it.
    pub(crate) fn member(&self, at: usize, number: usize) -> serde_json::Value {
        let view = try_get(self.http(at), "/v1/cluster").unwrap().json();
        let members = view["members"].as_array().unwrap();
        let name = format!("node-{number}");
        members.iter().find(|member| member["name"] == name).cloned().unwrap_or_default()
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.directory.path().join(inside)
    }

    /// Where node `number` (from 1) speaks HTTP.
    pub(crate) fn http(&self, number: usize) -> SocketAddr {
        let port = self.http_base + u16::try_from(number).unwrap();
        SocketAddr::new(self.host.parse().unwrap(), port)
    }

    /// Where node `number` (from 1) speaks QUIC.
    pub(crate) fn quic(&self, number: usize) -> SocketAddr {
        let mut address = self.http(number);
        address.set_port(address.port() - HTTP_ABOVE_QUIC);
        address
    }

    /// The command that runs a node.
    pub(crate) fn command(&self, number: usize) -> Command {
        let mut command = program();
        let config = self.path(&format!("node-{number}/dynamo.toml"));
        command.arg("run").arg("--config").arg(config);
        command
    }

    /// Starts a node without waiting for it.
    pub(crate) fn run(&mut self, number: usize) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("node-{number}/log")))
            .unwrap();
        let child = self.command(number).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.nodes[number - 1] = Some(child);
    }

    /// Waits until a node is ready; panics with its log if it ends before.
    pub(crate) fn wait_ready(&mut self, number: usize) {
        self.wait(number, "ready", |response| response.status == 200);
    }

    /// Waits until `/readyz` answers as wanted.
    pub(crate) fn wait(&mut self, number: usize, what: &str, wanted: impl Fn(&Response) -> bool) {
        let address = self.http(number);
        until(&format!("node {number} is {what}"), || {
            let child = self.nodes[number - 1].as_mut().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("node {number} ended with {status}:\n{}", self.log(number));
            }
            try_get(address, "/readyz").is_ok_and(|response| wanted(&response))
        });
    }

    /// The sum of a metric's samples at a node; 0 if it has none.
    pub(crate) fn metric(&self, number: usize, name: &str) -> u64 {
        let page = try_get(self.http(number), "/metrics").unwrap().body;
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(&format!("# TYPE {name} ")), "there is no metric {name}");
        let sample = |line: &str| {
            let (metric, value) = line.rsplit_once(' ')?;
            let of_name = metric.split_once('{').map_or(metric, |(name, _)| name) == name;
            of_name.then(|| value.parse::<u64>().unwrap())
        };
        page.lines().filter_map(sample).sum()
    }

    /// What a node logged so far.
    pub(crate) fn log(&self, number: usize) -> String {
        std::fs::read_to_string(self.path(&format!("node-{number}/log"))).unwrap_or_default()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.nodes[number - 1].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, and how the node ended.
    pub(crate) fn terminate(&mut self, number: usize) -> ExitStatus {
        let mut child = self.nodes[number - 1].take().unwrap();
        let process = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(process, Signal::SIGTERM).unwrap();
        child.wait().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            for number in 1..=self.nodes.len() {
                eprintln!("log of node {number}:\n{}", self.log(number));
            }
        }
    }
}

/// A GET that may fail to connect.
pub(crate) fn try_get(address: SocketAddr, target: &str) -> io::Result<Response> {
    Connection::try_open(address)?.try_request("GET", target, &[], None)
}

/// Waits for a condition, but not for ever.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "a deadline needs a clock")]
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        #[expect(clippy::disallowed_methods, reason = "a deadline needs a clock")]
        let now = Instant::now();
        assert!(now < deadline, "gave up waiting: {what}");
        #[expect(clippy::disallowed_methods, reason = "between two looks at the condition")]
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Replaces text in a file, which must be there.
pub(crate) fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} is not in {}", path.display());
    std::fs::write(path, text.replace(from, to)).unwrap();
}
