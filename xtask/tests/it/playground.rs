//! A place for one test's cluster: directory, address and ports of its own, emptied at the end.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::Value;
use tempfile::TempDir;

/// Where one test plays.
pub(crate) struct Playground {
    folder: TempDir,
    host: Ipv4Addr,
    http_base: u16,
}

/// What a command printed and whether it succeeded.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) succeeded: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Playground {
    /// Every test gets a loopback address that no other test or process uses.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(1);
        let process = u16::try_from(std::process::id() % 50_000).expect("below 2^16");
        let [high, low] = process.to_be_bytes();
        let host = Ipv4Addr::new(127, 1 + high, low, COUNT.fetch_add(1, Ordering::SeqCst));
        let free = TcpListener::bind((host, 0)).expect("loopback has free ports");
        let port = free.local_addr().expect("a bound listener has an address").port();
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let binaries = folder.path().join("bin");
        fs::create_dir(&binaries).expect("a directory can be made");
        symlink(env!("CARGO_BIN_EXE_fake-dynamo-node"), binaries.join("dynamo-node"))
            .expect("a link can be made");
        Self { folder, host, http_base: port.min(60_000) }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.folder.path().join("cluster")
    }

    pub(crate) fn node(&self, node: u32) -> PathBuf {
        self.directory().join(format!("node-{node}"))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `cargo xtask cluster <line> --dir <here>`.
    pub(crate) fn cluster(&self, line: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("cluster").args(line.split_whitespace()).arg("--dir").arg(self.directory());
        let starts = ["up", "restart", "add"].iter().any(|word| line.starts_with(word));
        if starts {
            command.arg("--binaries").arg(self.folder.path().join("bin"));
        }
        let description = fs::read_to_string(self.directory().join("cluster.json"));
        let is_made = description.is_ok_and(|text| text.contains("\"complete\": true"));
        if line.starts_with("up") && !is_made {
            let quic_base = (self.http_base - 1000).to_string();
            command.args(["--host", &self.host.to_string(), "--quic-base", &quic_base]);
            command.args(["--http-base", &self.http_base.to_string()]);
        }
        let Output { status, stdout, stderr } = command.output().expect("xtask can be run");
        Ran {
            succeeded: status.success(),
            stdout: String::from_utf8(stdout).expect("xtask prints text"),
            stderr: String::from_utf8(stderr).expect("xtask prints text"),
        }
    }

    /// Runs a command that must succeed, and answers with what it printed.
    pub(crate) fn must(&self, line: &str) -> String {
        let ran = self.cluster(line);
        assert!(ran.succeeded, "`{line}` failed:\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs a command that must fail, and answers with its error.
    pub(crate) fn must_fail(&self, line: &str) -> String {
        let ran = self.cluster(line);
        assert!(!ran.succeeded, "`{line}` succeeded:\n{}", ran.stdout);
        ran.stderr
    }

    /// The nodes in `status --json`.
    pub(crate) fn status(&self) -> Vec<Value> {
        let status: Value = serde_json::from_str(&self.must("status --json")).expect("JSON");
        status["nodes"].as_array().expect("nodes are a list").clone()
    }

    /// State and readiness of every node, as in `running ready`.
    pub(crate) fn states(&self) -> Vec<String> {
        let word = |node: &Value| {
            let ready = if node["ready"] == true { "ready" } else { "unready" };
            format!("{} {ready}", node["state"].as_str().expect("a state is a word"))
        };
        self.status().iter().map(word).collect()
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        // Also after a failed test: no process may outlive it.
        let ran = self.cluster("wipe");
        assert!(ran.succeeded || std::thread::panicking(), "{}", ran.stderr);
    }
}
