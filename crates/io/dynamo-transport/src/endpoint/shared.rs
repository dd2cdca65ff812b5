//! What the endpoint and its tasks share.

use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use quinn::{ClientConfig, Connection, TransportConfig};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::RenewError;
use super::configs::Configs;
use super::greeting::Greeted;
use super::registry::Registry;
use crate::close::CloseCode;
use crate::counters::Tally;
use crate::event::EventSink;
use crate::hello::HelloConfig;
use crate::identity::{Identity, PeerIdentity, Role, Trust};
use crate::limits::Limits;
use crate::link::{Ended, Link, LinkId, LinkSender, LinkTask};
use crate::outbox::Outbox;
use crate::tls::Protocol;

/// What [`Shared`] is made of.
pub(super) struct Parts {
    pub(super) quinn: quinn::Endpoint,
    pub(super) own: PeerIdentity,
    pub(super) hello: HelloConfig,
    pub(super) limits: Limits,
    pub(super) transport: Arc<TransportConfig>,
    pub(super) configs: Configs,
    pub(super) events: EventSink,
    pub(super) runtime: Handle,
}

/// The endpoint's state, held by every task of it.
pub(super) struct Shared {
    pub(super) quinn: quinn::Endpoint,
    pub(super) own: PeerIdentity,
    pub(super) hello: HelloConfig,
    pub(super) limits: Limits,
    pub(super) events: EventSink,
    pub(super) tally: Arc<Tally>,
    /// Incoming handshakes under way.
    pub(super) handshakes: AtomicUsize,
    transport: Arc<TransportConfig>,
    configs: Mutex<Configs>,
    registry: Mutex<Registry>,
    next_link: AtomicU64,
    closing: watch::Sender<bool>,
    runtime: Handle,
    tasks: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { quinn, own, hello, limits, transport, configs, events, runtime } = parts;
        Self {
            quinn,
            own,
            hello,
            limits,
            events,
            tally: Arc::default(),
            handshakes: AtomicUsize::new(0),
            transport,
            configs: Mutex::new(configs),
            registry: Mutex::default(),
            next_link: AtomicU64::new(1),
            closing: watch::Sender::new(false),
            runtime,
            tasks: Mutex::default(),
        }
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration for dialling.
    pub(super) fn client_config(&self, protocol: Protocol) -> ClientConfig {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner).dial(protocol)
    }

    pub(super) fn renew(&self, identity: &Identity, trust: &Trust) -> Result<(), RenewError> {
        if *identity.peer() != self.own {
            let (own, found) = (self.own.clone(), identity.peer().clone());
            return Err(RenewError::OtherPeer { own, found });
        }
        let configs = Configs::new(identity, trust, &self.transport)
            .map_err(|source| RenewError::Tls { peer: self.own.clone(), source: source.into() })?;
        if self.own.role == Role::Node {
            self.quinn.set_server_config(Some(configs.server.clone()));
        }
        *self.configs.lock().unwrap_or_else(PoisonError::into_inner) = configs;
        Ok(())
    }

    /// Runs a task that ends with the endpoint.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are let go here: nobody else would.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime)
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Resolves when the endpoint shuts down.
    pub(super) async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        // An error would mean that the sender is gone, and `self` has it.
        let _closing = closing.wait_for(|closing| *closing).await.is_ok();
    }

    /// Begins to run a link on a connection that was greeted.
    ///
    /// # Errors
    /// The code with which to refuse it.
    pub(super) fn install(
        self: &Arc<Self>,
        connection: Connection,
        greeted: Greeted,
    ) -> Result<Link, CloseCode> {
        let id = LinkId::from_number(self.next_link.fetch_add(1, Ordering::Relaxed));
        let limits = &self.limits;
        let outbox = Outbox::new(limits.lane_queue_bytes_max, limits.frame_bytes_max);
        let link = Link {
            id,
            peer: greeted.peer,
            version: greeted.version,
            fingerprint: greeted.fingerprint,
            remote_address: connection.remote_address(),
            sender: LinkSender {
                outbox: Arc::new(outbox),
                connection,
                tally: self.tally.clone(),
                closed_with: Arc::new(OnceLock::new()),
            },
        };
        let (ending, ended) = Ended::new();
        let predecessor = {
            let mut registry = self.registry();
            if self.is_closing() {
                return Err(CloseCode::Shutdown);
            }
            let clients_max = self.limits.client_links_max;
            registry.add_link(&link, ended, greeted.protocol, clients_max)?
        };
        let task = LinkTask {
            link: link.clone(),
            events: self.events.clone(),
            tally: self.tally.clone(),
            frame_bytes_max: self.limits.frame_bytes_max,
            flush_timeout: self.limits.flush_timeout,
            closing: self.closing.subscribe(),
            predecessor,
        };
        let shared = self.clone();
        self.spawn(async move {
            task.run().await;
            shared.registry().remove_link(id);
            drop(ending);
        });
        Ok(link)
    }

    /// Begins to end everything: no new links, no redialling, links flush and close.
    pub(super) fn begin_shutdown(&self) {
        self.closing.send_replace(true);
        // Only now: links must learn of the shutdown before they find nobody listening.
        self.events.close();
    }

    pub(super) async fn shutdown(&self) {
        self.begin_shutdown();
        let mut tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        // Twice: links wait for their flush, and everything else is quick.
        let _in_time = timeout(self.limits.flush_timeout * 3 / 2, all_ended).await;
        tasks.shutdown().await;
        self.quinn.close(CloseCode::Shutdown.wire(), CloseCode::Shutdown.text().as_bytes());
        let _in_time = timeout(self.limits.flush_timeout / 2, self.quinn.wait_idle()).await;
        self.registry().clear();
    }

    /// Ends everything at once.
    pub(super) fn abort(&self) {
        self.closing.send_replace(true);
        self.events.close();
        let code = CloseCode::Dropped;
        self.quinn.close(code.wire(), code.text().as_bytes());
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.registry().clear();
    }
}
