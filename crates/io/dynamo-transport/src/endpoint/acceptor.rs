//! Taking connections.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quinn::Incoming;
use tokio::time::timeout;
use tracing::debug;

use super::greeting::{self, GreetingError};
use super::shared::Shared;
use crate::close::CloseCode;
use crate::counters;

/// Takes connections until the endpoint shuts down.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let incoming = tokio::select! {
            biased;
            () = shared.closing() => return,
            incoming = shared.quinn.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        triage(&shared, incoming);
    }
}

/// Ends the links when nobody takes their events any more.
pub(super) async fn watch_consumer(shared: Arc<Shared>) {
    tokio::select! {
        () = shared.closing() => {}
        () = shared.events.consumer_gone() => shared.begin_shutdown(),
    }
}

/// Decides what a newcomer is worth while many of them are under way. A flood from forged
/// addresses costs a packet each; a flood from real ones is cut off.
fn triage(shared: &Arc<Shared>, incoming: Incoming) {
    let under_way = shared.handshakes.load(Ordering::Relaxed);
    if under_way >= shared.limits.handshakes_max {
        counters::add(&shared.tally.handshakes_overload, 1);
        incoming.refuse();
    } else if under_way >= shared.limits.handshakes_before_retry && incoming.may_retry() {
        counters::add(&shared.tally.handshakes_retried, 1);
        incoming.retry().expect("it may be asked to retry");
    } else {
        let under_way = UnderWay::new(shared.clone());
        shared.spawn(async move { take(&under_way.0, incoming).await });
    }
}

/// Counts a handshake for as long as it exists.
struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn new(shared: Arc<Shared>) -> Self {
        shared.handshakes.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn take(shared: &Arc<Shared>, incoming: Incoming) {
    let address = incoming.remote_address();
    let handshake = async { incoming.accept()?.await };
    let deadline = shared.limits.handshake_timeout;
    let connection = match timeout(deadline, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            debug!(%address, %error, "handshake failed");
            counters::add(&shared.tally.handshakes_failed, 1);
            return;
        }
        Err(_) => {
            counters::add(&shared.tally.handshakes_timed_out, 1);
            return;
        }
    };
    let greeting = greeting::as_acceptor(&connection, &shared.own, &shared.hello);
    let refusal = match timeout(deadline, greeting).await {
        Ok(Ok(greeted)) => match shared.install(connection.clone(), greeted) {
            Ok(_link) => return,
            Err(code) => code,
        },
        Ok(Err(GreetingError::Lost(error))) => {
            debug!(%address, %error, "peer left before it was greeted");
            counters::add(&shared.tally.handshakes_failed, 1);
            return;
        }
        Ok(Err(error)) => error.close_code().unwrap_or(CloseCode::Dropped),
        Err(_) => CloseCode::HelloTimeout,
    };
    debug!(%address, reason = %refusal, "peer refused");
    shared.tally.count_refusal(refusal);
    connection.close(refusal.wire(), refusal.text().as_bytes());
}
