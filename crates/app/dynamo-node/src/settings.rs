//! What an operator can set, as checked values.
//!
//! [`SETTINGS`] is the one list of all settings: the configuration file, the environment and the
//! command line are read by it, `config --explain` prints it, and `docs/CONFIGURATION.md` is made
//! from it. Below [`Settings`] nothing is a string that still has to be understood.

mod explain;
mod given;
mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynamo_protocol::{Announcement, MemberInfo, Timing};
use dynamo_ring::Zone;
use dynamo_types::Limits;

use crate::access::Credential;

pub use explain::{explain_markdown, explain_text};
pub use given::Given;
pub use table::{Kind, SETTINGS, Setting};

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenAddress {
    /// Where the others look for this member: as it advertises, or as the genesis file says.
    FromGenesis,
    /// Here, which may differ behind an address translation; port 0 takes any free port.
    Explicit(SocketAddr),
}

/// What the node says of itself instead of what the genesis file does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advertise {
    /// Its name for people.
    pub name: Option<String>,
    /// Where it speaks QUIC, `host:port`.
    pub address: Option<String>,
    /// Where it speaks HTTP, `host:port`.
    pub http_address: Option<String>,
}

impl Advertise {
    /// All of it, with what the genesis file says where nothing is set.
    #[must_use]
    pub fn over(&self, genesis: &MemberInfo) -> Announcement {
        let or = |set: &Option<String>, genesis: &String| set.as_ref().unwrap_or(genesis).clone();
        Announcement {
            name: or(&self.name, &genesis.name),
            address: or(&self.address, &genesis.address),
            http_address: or(&self.http_address, &genesis.http_address),
        }
    }
}

/// What a node that the genesis file does not name announces when it first makes itself known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Its capacity, relative to the others.
    pub weight: u32,
    /// Its failure zone.
    pub zone: Option<Zone>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the HTTP server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where it listens.
    pub address: ListenAddress,
    /// Serve without credentials on an address that is not loopback.
    pub insecure: bool,
    /// Who may ask what; empty means everybody may, which only loopback or `insecure` allows.
    pub credentials: Vec<Credential>,
    /// How long a request's head may take.
    pub header_timeout: Duration,
    /// How long a body may stand still.
    pub body_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// Connections served at once.
    pub connections_max: usize,
    /// Requests served at once.
    pub requests_max: usize,
}

/// What one node is told by its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The cluster's genesis file.
    pub genesis: PathBuf,
    /// Directory of certificate, key and cluster secret.
    pub identity: PathBuf,
    /// Directory of the database.
    pub data: PathBuf,
    /// A file that is written once the servers listen; empty for none.
    pub ready_file: PathBuf,
    /// What the node says of itself.
    pub advertise: Advertise,
    /// What it says beside that if it is to join.
    pub join: Join,
    /// Where QUIC listens.
    pub listen: ListenAddress,
    /// The HTTP server.
    pub http: HttpSettings,
    /// A QUIC connection without any packet for this long is dead.
    pub quic_idle_timeout: Duration,
    /// A quiet QUIC connection is probed this often.
    pub quic_keep_alive: Duration,
    /// Requests of one native client under way at once.
    pub native_requests_max: usize,
    /// Cache of database blocks.
    pub cache_bytes: usize,
    /// Writes that the database holds in memory before it writes a file.
    pub write_buffer_bytes: usize,
    /// Disk space below which writes are refused.
    pub free_bytes_min: u64,
    /// Threads for reads that miss the cache.
    pub read_threads: usize,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written.
    pub log_filter: String,
    /// Bounds on what clients may put.
    pub limits: Limits,
    /// Requests of clients that the machine handles at once.
    pub requests_max: usize,
    /// Bytes of values under way at once.
    pub bytes_in_flight_max: usize,
    /// Recent puts remembered for retries.
    pub retries_remembered_max: usize,
    /// Bytes of hints kept for other nodes.
    pub hint_bytes_max: u64,
    /// How long things may take.
    pub timing: Timing,
    /// How long requests under way may take after the signal to stop.
    pub shutdown_grace: Duration,
}

impl Settings {
    /// Every setting at its default; relative paths belong to `base`.
    #[must_use]
    pub fn defaults(base: &Path) -> Self {
        let mut settings = Self::blank();
        for setting in SETTINGS {
            let given = Given { text: setting.default, base };
            (setting.apply)(&mut settings, given).expect("a test applies every default");
        }
        settings
    }

    /// Something for the table's defaults to be written into.
    fn blank() -> Self {
        let zero = Duration::ZERO;
        Self {
            genesis: PathBuf::new(),
            identity: PathBuf::new(),
            data: PathBuf::new(),
            ready_file: PathBuf::new(),
            advertise: Advertise::default(),
            join: Join { weight: 0, zone: None },
            listen: ListenAddress::FromGenesis,
            http: HttpSettings {
                address: ListenAddress::FromGenesis,
                insecure: false,
                credentials: Vec::new(),
                header_timeout: zero,
                body_timeout: zero,
                idle_timeout: zero,
                connections_max: 0,
                requests_max: 0,
            },
            quic_idle_timeout: zero,
            quic_keep_alive: zero,
            native_requests_max: 0,
            cache_bytes: 0,
            write_buffer_bytes: 0,
            free_bytes_min: 0,
            read_threads: 0,
            log_format: LogFormat::Text,
            log_filter: String::new(),
            limits: Limits { value_bytes_max: 0, siblings_max: 0 },
            requests_max: 0,
            bytes_in_flight_max: 0,
            retries_remembered_max: 0,
            hint_bytes_max: 0,
            timing: Timing::default(),
            shutdown_grace: zero,
        }
    }
}

#[cfg(test)]
mod tests;
