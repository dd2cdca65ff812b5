//! How a node starts, runs and stops.
//!
//! The order matters: the directory is claimed before the database is opened, the database is read
//! before the machine exists, the machine exists before anyone can reach it. Word that the node has run
//! is left behind its database, never before it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dynamo_membership::Genesis;
use dynamo_messages::encoding::PROTOCOL_VERSION;
use dynamo_protocol::{Announcement, BudgetConfig, MemberInfo, Node, NodeConfig, StartError};
use dynamo_storage::{
    DirectoryStamp, Durability, OpenError, RocksDbEngine, ScanError, StampError, StorageEngine,
    WriteError,
};
use dynamo_transport::{BindError, Endpoint, EndpointConfig, Events, HelloConfig, Identity, Trust};
use dynamo_types::{ClusterId, NodeId};
use thiserror::Error;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::database;
use crate::effect_executor::EffectExecutor;
use crate::event_loop::{EventLoop, LoopLimits, Sources};
use crate::genesis_file::{self, GenesisFileError};
use crate::http::{HttpFacts, HttpServer, HttpState, MemberNames};
use crate::identity_files::{self, ClusterSecret, IdentityError, NodeIdentity};
use crate::input::NodeHandle;
use crate::metrics::NodeSources;
use crate::peers::Peers;
use crate::run_marker::{RunMarker, RunMarkerError};
use crate::settings::{ListenAddress, Settings};
use crate::shutdown::StopSignals;

/// Inputs that may wait for the event loop: more than it takes in a turn, less than a tenth of a
/// second's work.
const INPUTS_MAX: usize = 2048;

/// Leaves of about 4,096 records up to a million records a partition, at 4.4 KB each.
const TREE_DEPTH: u8 = 2;

/// Why a node does not start.
#[derive(Debug, Error)]
pub enum RunError {
    /// The genesis file.
    #[error(transparent)]
    Genesis(#[from] GenesisFileError),
    /// The identity directory.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The marker that this node has run.
    #[error(transparent)]
    RunMarker(#[from] RunMarkerError),
    /// The genesis file does not know this node, and it is not told enough to join.
    #[error(
        "node {node}, whose identity is in {}, is no member of {}, and to join its cluster it needs \
         {missing}: `dynamo-node add-node` makes a configuration with all of it",
        identity.display(), genesis.display()
    )]
    CannotJoin {
        /// Which node.
        node: NodeId,
        /// Its identity directory.
        identity: PathBuf,
        /// The genesis file.
        genesis: PathBuf,
        /// Settings that are missing.
        missing: String,
    },
    /// The address where the others look for this node cannot be listened on.
    #[error("{address} cannot be listened on: it has no address on this machine")]
    Address {
        /// The address.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// HTTP would be open to everybody who reaches this machine.
    #[error(
        "HTTP on {address}, which is not loopback, needs credentials: set `http.tokens`, or \
         `http.insecure = true` if everybody may read and write everything"
    )]
    OpenHttp {
        /// The address.
        address: SocketAddr,
    },
    /// The data directory.
    #[error("the data directory cannot be used")]
    Directory(#[from] StampError),
    /// The database.
    #[error("the database does not open")]
    Open(#[from] OpenError),
    /// A database that was just created.
    #[error("the new database cannot be synced")]
    Sync(#[from] WriteError),
    /// The rows that the machine starts with.
    #[error("the database cannot be read")]
    Recover(#[from] ScanError),
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Randomness(#[source] getrandom::Error),
    /// The machine.
    #[error("the node's machine does not start")]
    Start(#[from] StartError),
    /// QUIC.
    #[error("QUIC does not start")]
    Quic(#[from] BindError),
    /// HTTP.
    #[error("HTTP cannot listen on {address}")]
    Http {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A thread, a signal handler, the runtime or the ready file.
    #[error("cannot {step}")]
    System {
        /// What was tried.
        step: &'static str,
        /// Why not.
        source: io::Error,
    },
}

fn system(step: &'static str) -> impl FnOnce(io::Error) -> RunError {
    move |source| RunError::System { step, source }
}

/// Who this node is and where it listens, read and checked.
#[derive(Debug)]
pub struct Checked {
    /// Which node.
    pub node: NodeId,
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Whether it has run before.
    pub has_run: bool,
    marker: RunMarker,
    genesis: Genesis,
    /// This node, if the genesis file does not know it.
    joins: Option<MemberInfo>,
    announcement: Announcement,
    identity: Identity,
    trust: Trust,
    secret: ClusterSecret,
    quic: SocketAddr,
    http: SocketAddr,
}

/// Reads and checks everything that a start needs, without changing anything.
///
/// # Errors
/// What a start would be refused for.
pub fn check(settings: &Settings) -> Result<Checked, RunError> {
    let genesis = genesis_file::read(&settings.genesis)?;
    let NodeIdentity { node, identity, trust, secret } =
        identity_files::read(&settings.identity, &genesis.ca_fingerprint)?;
    let own = genesis.members.iter().find(|member| member.node == node);
    let joins = if own.is_some() { None } else { Some(joiner(node, settings)?) };
    let own = own.map(MemberInfo::from).or_else(|| joins.clone());
    let own = own.expect("a node that is no member of the genesis joins");
    let announcement = settings.advertise.over(&own);
    let quic = listen_address(settings.listen, &announcement.address)?;
    let http = listen_address(settings.http.address, &announcement.http_address)?;
    let protected = settings.http.insecure || !settings.http.credentials.is_empty();
    if !http.ip().is_loopback() && !protected {
        return Err(RunError::OpenHttp { address: http });
    }
    let cluster = genesis.cluster;
    let marker = RunMarker::new(&settings.identity, cluster, node);
    let has_run = marker.is_there()?;
    Ok(Checked {
        node,
        cluster,
        has_run,
        marker,
        genesis,
        joins,
        announcement,
        identity,
        trust,
        secret,
        quic,
        http,
    })
}

/// What a node that the genesis file does not know says of itself.
fn joiner(node: NodeId, settings: &Settings) -> Result<MemberInfo, RunError> {
    let advertise = &settings.advertise;
    let zone = settings.join.zone.as_ref().map(ToString::to_string);
    match (&advertise.name, &advertise.address, &advertise.http_address, zone) {
        (Some(name), Some(address), Some(http_address), Some(zone)) => Ok(MemberInfo {
            node,
            name: name.clone(),
            address: address.clone(),
            http_address: http_address.clone(),
            weight: settings.join.weight,
            zone,
        }),
        (name, address, http_address, zone) => {
            let needed = [
                ("`advertise.name`", name.is_none()),
                ("`advertise.address`", address.is_none()),
                ("`advertise.http_address`", http_address.is_none()),
                ("`join.zone`", zone.is_none()),
            ];
            let missing = needed.iter().filter(|(_, is_missing)| *is_missing);
            Err(RunError::CannotJoin {
                node,
                identity: settings.identity.clone(),
                genesis: settings.genesis.clone(),
                missing: missing.map(|(key, _)| *key).collect::<Vec<_>>().join(", "),
            })
        }
    }
}

fn listen_address(chosen: ListenAddress, advertised: &str) -> Result<SocketAddr, RunError> {
    let refused = |source| RunError::Address { address: advertised.to_owned(), source };
    match chosen {
        ListenAddress::Explicit(address) => Ok(address),
        ListenAddress::FromGenesis => {
            let mut found = advertised.to_socket_addrs().map_err(refused)?;
            found.next().ok_or_else(|| refused(io::ErrorKind::AddrNotAvailable.into()))
        }
    }
}

/// Runs a node until SIGTERM or SIGINT.
///
/// # Errors
/// It could not start.
pub fn run(settings: Settings) -> Result<(), RunError> {
    // One thread for everything but the disk: a wake-up across threads costs more than the work.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start the runtime"))?;
    runtime.block_on(run_within(settings))
}

async fn run_within(settings: Settings) -> Result<(), RunError> {
    let clock = Clock::start();
    let mut signals = StopSignals::catch().map_err(system("catch signals"))?;
    let checked = check(&settings)?;
    let Checked { node, cluster, has_run, marker, genesis, joins, announcement, .. } = checked;
    let Checked { identity, trust, secret, quic, http, .. } = checked;
    tracing::info!(%node, %cluster, has_run, "starting");

    let stamp = DirectoryStamp { cluster: cluster.to_string(), node: node.to_string() };
    let _lock = stamp.claim(&settings.data)?.into_lock();
    let _identity_lock = marker.lock()?;
    let engine = Arc::new(database::open(&settings, has_run)?);
    let recovered = database::recover(&engine)?;
    if !has_run {
        engine.write(&[], Durability::Synced)?;
        marker.leave()?;
    }
    let incomplete = recovered.incomplete;
    tracing::info!(rows = recovered.meta.len(), incomplete, "recovered");

    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(RunError::Randomness)?;
    let own = OwnPart { node, joins, announcement };
    let config = node_config(own, secret, &genesis, &settings);
    let names = MemberNames::default();
    let facts = http_facts(&config, secret, names.clone());
    let machine = Node::new(config, &recovered, clock.now(), u64::from_le_bytes(seed))?;
    drop(recovered);

    let (endpoint, events) = bind_quic(quic, identity, trust, &genesis, &settings)?;
    let endpoint = Arc::new(endpoint);
    let peers = Peers::new(node, Arc::downgrade(&endpoint), names);

    let (handle, inputs) = NodeHandle::channel(INPUTS_MAX);
    let database = Arc::clone(&engine);
    let acknowledge = Box::new(move || database.acknowledge_recovery());
    let (executor, results) = EffectExecutor::start(
        Arc::<RocksDbEngine>::clone(&engine),
        acknowledge,
        settings.read_threads,
        peers,
    )
    .map_err(system("start the threads of the disk"))?;
    let limits = LoopLimits { native_requests_max: settings.native_requests_max };
    let event_loop = EventLoop::new(machine, clock, executor, limits);

    let counters = Arc::clone(&endpoint);
    let sources = NodeSources {
        engine: Some(engine),
        transport: Some(Box::new(move || counters.counters().iter().collect())),
    };
    let state = HttpState::new(handle.clone(), clock, facts, &settings, sources);
    let server = HttpServer::bind(http, Arc::clone(&state))
        .await
        .map_err(|source| RunError::Http { address: http, source })?;
    announce(&endpoint, &server, &settings).map_err(system("write the ready file"))?;

    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(server.run(stopped));
    let stopping = tokio::spawn(async move {
        let signal = signals.next().await;
        tracing::info!(signal, "stopping");
        let by = clock.monotonic() + settings.shutdown_grace;
        state.begin_stopping();
        stop.send_replace(true);
        // HTTP first: its requests still need the machine.
        if let Err(error) = server.await {
            tracing::error!(%error, "the HTTP server ended badly");
        }
        handle.stop(by).await;
    });
    let events = event_loop.run(Sources { inputs, results, events }).await;
    if let Err(error) = stopping.await {
        tracing::error!(%error, "stopping went wrong");
    }
    endpoint.shutdown().await;
    drop(events);
    tracing::info!("stopped");
    Ok(())
}

/// What differs from node to node.
struct OwnPart {
    node: NodeId,
    joins: Option<MemberInfo>,
    announcement: Announcement,
}

fn node_config(
    own: OwnPart,
    secret: ClusterSecret,
    genesis: &Genesis,
    settings: &Settings,
) -> NodeConfig {
    let OwnPart { node, joins, announcement } = own;
    NodeConfig {
        node,
        cluster: genesis.cluster,
        cluster_secret: secret.0,
        members: genesis.members.iter().map(MemberInfo::from).collect(),
        joins,
        announcement: Some(announcement),
        layout: genesis.layout(),
        limits: settings.limits,
        timing: settings.timing,
        requests_max: settings.requests_max,
        bytes_in_flight_max: settings.bytes_in_flight_max,
        retries_remembered_max: settings.retries_remembered_max,
        hint_bytes_max: settings.hint_bytes_max,
        background: BudgetConfig::default(),
        tree_depth: TREE_DEPTH,
    }
}

fn http_facts(config: &NodeConfig, secret: ClusterSecret, names: MemberNames) -> HttpFacts {
    HttpFacts {
        node: config.node,
        names,
        replication: config.layout.replication(),
        limits: config.limits,
        secret,
    }
}

fn bind_quic(
    listen: SocketAddr,
    identity: Identity,
    trust: Trust,
    genesis: &Genesis,
    settings: &Settings,
) -> Result<(Endpoint, Events), BindError> {
    let hello = HelloConfig {
        version_min: PROTOCOL_VERSION,
        version_max: PROTOCOL_VERSION,
        fingerprint: genesis.fingerprint().to_vec(),
    };
    let limits = dynamo_transport::Limits {
        idle_timeout: settings.quic_idle_timeout,
        keep_alive: settings.quic_keep_alive,
        ..dynamo_transport::Limits::default()
    };
    Endpoint::bind(EndpointConfig { listen, identity, trust, hello, limits })
}

/// Says where the node listens: in the log, and in the ready file if one is wanted.
fn announce(endpoint: &Endpoint, server: &HttpServer, settings: &Settings) -> io::Result<()> {
    let (quic, http) = (endpoint.local_address()?, server.local_address()?);
    tracing::info!(%quic, %http, "listening");
    if settings.ready_file.as_os_str().is_empty() {
        return Ok(());
    }
    // Written aside and renamed, so that whoever waits for it never reads a part.
    let aside: &Path = &settings.ready_file.with_extension("new");
    std::fs::write(aside, format!("quic = \"{quic}\"\nhttp = \"{http}\"\n"))?;
    std::fs::rename(aside, &settings.ready_file)
}
