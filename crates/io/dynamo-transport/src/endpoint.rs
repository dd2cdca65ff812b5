//! The endpoint: one UDP port, all its links, and the tasks that run them.

mod acceptor;
mod configs;
mod dialler;
mod greeting;
mod registry;
mod shared;

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::runtime::Handle;
use tracing::debug;

use crate::close::CloseCode;
use crate::counters::Counters;
use crate::event::{self, Events};
use crate::hello::{FINGERPRINT_BYTES_MAX, HelloConfig};
use crate::identity::{Identity, PeerIdentity, PeerName, Role, Trust};
use crate::limits::Limits;
use crate::link::{Link, LinkId, LinkSender};
use crate::tls::Protocol;
use crate::tuning;

use configs::Configs;
use shared::Shared;

/// What an endpoint is made of.
#[derive(Debug)]
pub struct EndpointConfig {
    /// Where to listen. Port 0 picks one: see [`Endpoint::local_address`].
    pub listen: SocketAddr,
    /// Who this is. A node takes connections; a client or an administrator only dials.
    pub identity: Identity,
    /// Who is believed.
    pub trust: Trust,
    /// What is said before the first frame.
    pub hello: HelloConfig,
    /// Bounds and timings.
    pub limits: Limits,
}

/// Why an endpoint could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// Called outside a tokio runtime.
    #[error("no tokio runtime to run on")]
    Runtime(#[source] tokio::runtime::TryCurrentError),
    /// The hello's versions or fingerprint break its rules.
    #[error(
        "hello with versions {version_min} to {version_max} and a fingerprint of {fingerprint_bytes} bytes"
    )]
    Hello {
        /// The oldest version.
        version_min: u16,
        /// The newest version.
        version_max: u16,
        /// The fingerprint's length.
        fingerprint_bytes: usize,
    },
    /// The private key does not fit the certificate, or there is nobody to trust.
    #[error("cannot set up TLS as {peer}")]
    Tls {
        /// Who this was to be.
        peer: PeerIdentity,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The port cannot be had.
    #[error("cannot listen on UDP {address}")]
    Socket {
        /// The address asked for.
        address: SocketAddr,
        /// What is wrong.
        #[source]
        source: std::io::Error,
    },
}

/// Why a certificate was not taken into use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RenewError {
    /// It names another peer.
    #[error("certificate of {found} for the endpoint of {own}")]
    OtherPeer {
        /// Whose endpoint this is.
        own: PeerIdentity,
        /// Whom the certificate names.
        found: PeerIdentity,
    },
    /// The private key does not fit the certificate, or there is nobody to trust.
    #[error("cannot set up TLS as {peer}")]
    Tls {
        /// Who this is.
        peer: PeerIdentity,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a peer was not reached. By step, in this order.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The attempt could not begin: an address that cannot be dialled, or the endpoint has shut down.
    #[error("cannot dial {address}")]
    Start {
        /// Where to.
        address: SocketAddr,
        /// What is wrong.
        #[source]
        source: quinn::ConnectError,
    },
    /// QUIC or TLS failed: nobody there speaks our protocol, or one side does not believe the
    /// other's certificate.
    #[error("handshake with {address} failed")]
    Handshake {
        /// Where to.
        address: SocketAddr,
        /// What is wrong.
        #[source]
        source: quinn::ConnectionError,
    },
    /// The peer's certificate is not that of a node.
    #[error("{address} is not a node")]
    RoleRefused {
        /// Where to.
        address: SocketAddr,
    },
    /// The peer is another node than expected, or this one itself.
    #[error("found {found} at {address}")]
    NameMismatch {
        /// Where to.
        address: SocketAddr,
        /// Who is there.
        found: PeerName,
    },
    /// One side refused the other's hello.
    #[error("{} the hello at {address}: {reason}", if *.by_peer { "peer refused" } else { "refused" })]
    HelloRefused {
        /// Where to.
        address: SocketAddr,
        /// Whether it was the peer that refused.
        by_peer: bool,
        /// The reason, if it is one of ours.
        code: Option<CloseCode>,
        /// The reason in words.
        reason: String,
    },
    /// It took longer than the handshake timeout.
    #[error("no answer from {address} in time")]
    Timeout {
        /// Where to.
        address: SocketAddr,
    },
}

/// One UDP port and all links on it.
///
/// All work is done by tasks on the tokio runtime in which it was bound; none of them blocks, so
/// one thread is enough. Dropping the endpoint ends its links and tasks at once;
/// [`Endpoint::shutdown`] first sends what is queued.
#[derive(Debug)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

impl Endpoint {
    /// Opens the port and starts to take connections, if this is a node. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// The configuration is unsound or the port cannot be had.
    pub fn bind(config: EndpointConfig) -> Result<(Self, Events), BindError> {
        let EndpointConfig { listen, identity, trust, hello, limits } = config;
        let runtime = Handle::try_current().map_err(BindError::Runtime)?;
        if hello.version_min > hello.version_max || hello.fingerprint.len() > FINGERPRINT_BYTES_MAX
        {
            return Err(BindError::Hello {
                version_min: hello.version_min,
                version_max: hello.version_max,
                fingerprint_bytes: hello.fingerprint.len(),
            });
        }
        let own = identity.peer().clone();
        let transport = Arc::new(tuning::transport(&limits));
        let configs = Configs::new(&identity, &trust, &transport)
            .map_err(|source| BindError::Tls { peer: own.clone(), source: source.into() })?;
        let takes_connections = own.role == Role::Node;
        let at_socket = |source| BindError::Socket { address: listen, source };
        let socket = tuning::socket(listen, &limits).map_err(at_socket)?;
        let quinn = quinn::Endpoint::new(
            tuning::endpoint(&identity, &limits),
            takes_connections.then(|| configs.server.clone()),
            socket,
            Arc::new(quinn::TokioRuntime),
        )
        .map_err(at_socket)?;

        let (sink, events) = event::channel(limits.event_bytes_max);
        let shared = Arc::new(Shared::new(shared::Parts {
            quinn,
            own,
            hello,
            limits,
            transport,
            configs,
            events: sink,
            runtime,
        }));
        shared.spawn(acceptor::watch_consumer(shared.clone()));
        if takes_connections {
            shared.spawn(acceptor::run(shared.clone()));
        }
        Ok((Self { shared }, events))
    }

    /// Who this is.
    #[must_use]
    pub fn identity(&self) -> &PeerIdentity {
        &self.shared.own
    }

    /// Where the endpoint listens.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.shared.quinn.local_addr()
    }

    /// Keeps a link to a node from now on. Of two nodes the one with the smaller name dials, again
    /// and again, with pauses; the other one waits for it, and dials only if that takes longer than
    /// [`Limits::dial_patience`]: it may be elsewhere than the first one knows. Each side must
    /// therefore add the other. Adding a node again sets its address. The own name is ignored, and so is every name at
    /// a client.
    pub fn add_peer(&self, name: &PeerName, address: SocketAddr) {
        let own = &self.shared.own;
        if own.role != Role::Node || own.name == *name {
            debug!(%name, "not a peer to keep a link to");
            return;
        }
        if self.shared.registry().add_peer(name, address) {
            let task = self.shared.spawn(dialler::keep(self.shared.clone(), name.clone()));
            self.shared.registry().set_dialler(name, task);
        }
    }

    /// Says where a node is now. A link that works is kept; the next attempt goes to the new
    /// address, at once if one is pausing. Unknown nodes are ignored.
    pub fn set_peer_address(&self, name: &PeerName, address: SocketAddr) {
        self.shared.registry().set_address(name, address);
    }

    /// Forgets a node and ends its link. If it connects on its own it will be taken again: whoever
    /// does not want it ends that link too.
    pub fn remove_peer(&self, name: &PeerName) {
        self.shared.registry().remove_peer(name);
    }

    /// Connects to a node once, whichever name is the smaller: the way for a newcomer to reach a
    /// node that does not know it yet.
    ///
    /// # Errors
    /// The step that failed.
    pub async fn dial_node(
        &self,
        address: SocketAddr,
        expected_name: Option<&PeerName>,
    ) -> Result<Link, DialError> {
        dialler::connect(&self.shared, Protocol::Node, address, expected_name).await
    }

    /// Connects to a node as a client. The link's events come like those of any other link.
    ///
    /// # Errors
    /// The step that failed.
    pub async fn dial(
        &self,
        address: SocketAddr,
        expected_name: Option<&PeerName>,
    ) -> Result<Link, DialError> {
        dialler::connect(&self.shared, Protocol::Client, address, expected_name).await
    }

    /// The way to send on a link, while it lasts.
    #[must_use]
    pub fn link(&self, link: LinkId) -> Option<LinkSender> {
        self.shared.registry().link(link)
    }

    /// Uses another certificate, and believes other authorities, from now on. Links that are there
    /// go on. The new certificate must be of the same peer; its key may be another.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn renew(&self, identity: &Identity, trust: &Trust) -> Result<(), RenewError> {
        self.shared.renew(identity, trust)
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.tally.snapshot()
    }

    /// Sends what is queued, closes all links and ends all tasks; waits for the peers at most twice
    /// the flush timeout. Frames that arrive meanwhile may be lost. The last events are a
    /// `Disconnected` for each link; [`Events::next`] ends once the endpoint is dropped, too.
    pub async fn shutdown(&self) {
        self.shared.shutdown().await;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.abort();
    }
}
