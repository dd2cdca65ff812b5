//! The task of a link: starts its writers and readers, and sees to it that the end is orderly.

use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, info};

use crate::close::{CloseCode, DisconnectReason};
use crate::counters::{self, Tally};
use crate::event::{Event, EventSink};
use crate::lane::Lane;
use crate::link::reader::{self, OpenLanes, ReaderContext, Stopped};
use crate::link::{Link, writer};

/// Tells when a link has ended and its last event was handed up.
#[derive(Debug, Clone)]
pub(crate) struct Ended(watch::Receiver<()>);

impl Ended {
    /// A new one, and what must be dropped when the link has ended.
    pub(crate) fn new() -> (watch::Sender<()>, Self) {
        let (sender, receiver) = watch::channel(());
        (sender, Self(receiver))
    }

    pub(crate) async fn wait(mut self) {
        // Nothing is ever sent: the only news is that the sender is gone.
        while self.0.changed().await.is_ok() {}
    }
}

/// What a link needs to run. Dropping the future of [`LinkTask::run`] ends all that belongs to it.
#[derive(Debug)]
pub(crate) struct LinkTask {
    pub(crate) link: Link,
    pub(crate) events: EventSink,
    pub(crate) tally: Arc<Tally>,
    pub(crate) frame_bytes_max: usize,
    pub(crate) flush_timeout: Duration,
    /// Turns true when the endpoint shuts down.
    pub(crate) closing: watch::Receiver<bool>,
    /// The link that this one replaces.
    pub(crate) predecessor: Option<Ended>,
}

impl LinkTask {
    /// Runs the link until it has ended and its last event was handed up.
    pub(crate) async fn run(mut self) {
        if let Some(predecessor) = self.predecessor.take() {
            predecessor.wait().await;
        }
        let link = self.link.clone();
        let connection = link.sender.connection.clone();
        if connection.close_reason().is_some() {
            // Replaced in turn, or lost, before anyone was told of it.
            link.sender.outbox.discard();
            return;
        }
        if self.events.send(Event::Connected(link.clone())).await.is_err() {
            link.sender.close_with(CloseCode::Shutdown);
            link.sender.outbox.discard();
            return;
        }
        info!(link = %link.id, peer = %link.peer, address = %link.remote_address, "connected");
        counters::add(&self.tally.links_opened, 1);

        let reason = self.serve(&connection).await;

        info!(link = %link.id, peer = %link.peer, %reason, "disconnected");
        counters::add(&self.tally.links_closed, 1);
        let Link { id, peer, remote_address, .. } = link;
        self.events.send_last(Event::Disconnected { link: id, peer, remote_address, reason }).await;
    }

    /// Moves frames until the connection is gone. On return everything received was handed up.
    async fn serve(&mut self, connection: &Connection) -> DisconnectReason {
        let outbox = self.link.sender.outbox.clone();
        let mut writers = JoinSet::new();
        for lane in Lane::ALL {
            writers.spawn(writer::run(
                connection.clone(),
                outbox.clone(),
                lane,
                self.tally.clone(),
            ));
        }
        let context = ReaderContext {
            link: self.link.id,
            open_lanes: Arc::new(OpenLanes::default()),
            events: self.events.clone(),
            tally: self.tally.clone(),
            frame_bytes_max: self.frame_bytes_max,
        };
        let mut readers = JoinSet::new();
        readers.spawn(read_datagrams(connection.clone(), context.clone()));

        let mut closing = self.closing.clone();
        // What the wait yields must not be held across the flush: it keeps the flag locked.
        let shutdown = async { closing.wait_for(|closing| *closing).await.is_ok() };
        tokio::pin!(shutdown);
        let closed_here = loop {
            tokio::select! {
                biased;
                _ = &mut shutdown => {
                    outbox.close();
                    let flushed = async { while writers.join_next().await.is_some() {} };
                    if tokio::time::timeout(self.flush_timeout, flushed).await.is_err() {
                        debug!(link = %self.link.id, "not everything arrived before shutdown");
                    }
                    break Some(CloseCode::Shutdown);
                }
                _ = connection.closed() => break None,
                Some(stopped) = readers.join_next() => match stopped {
                    Ok(Stopped::Ended) => {}
                    Ok(Stopped::Violation(code)) => {
                        self.tally.count_refusal(code);
                        break Some(code);
                    }
                    Ok(Stopped::Unheard) | Err(_) => break Some(CloseCode::Shutdown),
                },
                Ok(stream) = connection.accept_uni() => {
                    readers.spawn(reader::run(stream, context.clone()));
                }
            }
        };
        if let Some(code) = closed_here {
            self.link.sender.close_with(code);
        }
        outbox.discard();
        // Readers end by themselves: what is buffered is handed up first.
        while readers.join_next().await.is_some() {}
        match connection.close_reason() {
            Some(ConnectionError::LocallyClosed) => {
                let code = self.link.sender.closed_with.get().copied();
                DisconnectReason::Local(code.unwrap_or(CloseCode::Dropped))
            }
            Some(error) => DisconnectReason::from_error(&error),
            None => unreachable!("the connection was closed above"),
        }
    }
}

/// Hands datagrams up; those that find no room are lost, as datagrams may be.
async fn read_datagrams(connection: Connection, context: ReaderContext) -> Stopped {
    while let Ok(bytes) = connection.read_datagram().await {
        let event = Event::Datagram { link: context.link, bytes };
        let counter = match context.events.try_send(event) {
            Ok(()) => &context.tally.datagrams_received,
            Err(_) => &context.tally.datagrams_dropped,
        };
        counters::add(counter, 1);
    }
    Stopped::Ended
}
