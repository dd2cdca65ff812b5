//! Dialling: once, or again and again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::ConnectionError;
use rand_core::Rng;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::SeedableRng;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::DialError;
use super::greeting::{self, GreetingError};
use super::shared::Shared;
use crate::clock;
use crate::close::{CloseCode, DisconnectReason};
use crate::counters;
use crate::identity::PeerName;
use crate::link::Link;
use crate::tls::Protocol;

/// What TLS calls the server. It is neither sent nor compared: the name in the certificate is
/// checked afterwards, when it is clear whom to expect.
const SERVER_NAME: &str = "node.dynamo";

/// Connects once.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    protocol: Protocol,
    address: SocketAddr,
    expected_name: Option<&PeerName>,
) -> Result<Link, DialError> {
    let attempt = attempt(shared, protocol, address, expected_name);
    timeout(shared.limits.handshake_timeout, attempt).await.unwrap_or_else(|_| {
        counters::add(&shared.tally.handshakes_timed_out, 1);
        Err(DialError::Timeout { address })
    })
}

async fn attempt(
    shared: &Arc<Shared>,
    protocol: Protocol,
    address: SocketAddr,
    expected_name: Option<&PeerName>,
) -> Result<Link, DialError> {
    let config = shared.client_config(protocol);
    let connection = shared
        .quinn
        .connect_with(config, address, SERVER_NAME)
        .map_err(|source| DialError::Start { address, source })?
        .await
        .map_err(|source| {
            counters::add(&shared.tally.handshakes_failed, 1);
            DialError::Handshake { address, source }
        })?;
    let greeted =
        greeting::as_dialler(&connection, protocol, &shared.own, &shared.hello, expected_name);
    let installed = match greeted.await {
        Ok(greeted) => shared.install(connection.clone(), greeted).map_err(GreetingError::Refused),
        Err(error) => Err(error),
    };
    installed.map_err(|error| {
        match error.close_code() {
            Some(code) => {
                shared.tally.count_refusal(code);
                connection.close(code.wire(), code.text().as_bytes());
            }
            None => counters::add(&shared.tally.handshakes_failed, 1),
        }
        dial_error(address, error)
    })
}

fn dial_error(address: SocketAddr, error: GreetingError) -> DialError {
    match error {
        GreetingError::Refused(CloseCode::RoleRefused) => DialError::RoleRefused { address },
        GreetingError::Stranger(found) => DialError::NameMismatch { address, found },
        GreetingError::Refused(code) => DialError::HelloRefused {
            address,
            by_peer: false,
            code: Some(code),
            reason: code.text().to_owned(),
        },
        GreetingError::Lost(source @ ConnectionError::ApplicationClosed(_)) => {
            let reason = DisconnectReason::from_error(&source);
            let code = match reason {
                DisconnectReason::Peer(code) => Some(code),
                _ => None,
            };
            DialError::HelloRefused { address, by_peer: true, code, reason: reason.to_string() }
        }
        GreetingError::Lost(source) => DialError::Handshake { address, source },
    }
}

/// Keeps a link to a node until the node is removed or the endpoint shuts down.
pub(super) async fn keep(shared: Arc<Shared>, name: PeerName) {
    tokio::select! {
        biased;
        () = shared.closing() => {}
        () = dial_forever(&shared, &name) => {}
    }
}

async fn dial_forever(shared: &Arc<Shared>, name: &PeerName) {
    let Some(mut address) = shared.registry().address(name) else { return };
    let mut pauses = Pauses::new(shared, name);
    let is_second = shared.own.name > *name;
    loop {
        if is_second && shared.registry().node_link_ended(name).is_none() {
            // The other one dials. News of its address is for later.
            sleep(shared.limits.dial_patience).await;
        }
        let began = clock::now();
        let target = *address.borrow_and_update();
        let ended = shared.registry().node_link_ended(name);
        if let Some(ended) = ended {
            ended.wait().await;
        } else if let Err(error) = connect(shared, Protocol::Node, target, Some(name)).await {
            debug!(peer = %name, address = %target, error = &error as &dyn std::error::Error, "cannot reach node");
        } else {
            continue;
        }
        // A link that held for a while is a sign of health; one that breaks at once is not.
        let pause = pauses.next(began.elapsed());
        tokio::select! {
            () = sleep(pause) => {}
            changed = address.changed() => if changed.is_err() { return },
        }
    }
}

/// The pauses between attempts: doubling from the shortest to the longest, each shortened by up
/// to a half by chance, so that nodes that lost the same peer do not come back in step.
struct Pauses {
    next: Duration,
    shortest: Duration,
    longest: Duration,
    random: SplitMix64,
}

impl Pauses {
    fn new(shared: &Shared, name: &PeerName) -> Self {
        let (shortest, longest) = shared.limits.redial_pause;
        // Every pair of names has a sequence of its own; more chance than that is not needed.
        let pair = format!("{}>{name}", shared.own.name);
        let seed = blake3::hash(pair.as_bytes());
        let seed = seed.as_bytes().first_chunk().expect("a hash is longer than a seed");
        Self { next: shortest, shortest, longest, random: SplitMix64::from_seed(*seed) }
    }

    /// The next pause, after an attempt or a link that lasted so long.
    fn next(&mut self, lasted: Duration) -> Duration {
        if lasted > self.longest {
            self.next = self.shortest;
        }
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        whole - (whole / 2).mul_f64(f64::from(self.random.next_u32()) / f64::from(u32::MAX))
    }
}
