//! What an endpoint hands up, and the bounded way there.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use crate::close::DisconnectReason;
use crate::frame::HEADER_BYTES;
use crate::identity::PeerIdentity;
use crate::lane::Lane;
use crate::link::{Link, LinkId};

/// Something that happened on an endpoint.
///
/// Of one link come, in this order: `Connected`, any number of `Frames` and `Datagram`,
/// `Disconnected`. When a node connects anew, its old link's `Disconnected` comes before the new
/// link's `Connected`.
#[derive(Debug)]
pub enum Event {
    /// A peer was authenticated, and both sides agreed on a version.
    Connected(Link),
    /// A link is gone. What was queued on it and not yet sent is lost.
    Disconnected {
        /// The link.
        link: LinkId,
        /// Whose it was.
        peer: PeerIdentity,
        /// Where the peer was.
        remote_address: SocketAddr,
        /// Why it ended.
        reason: DisconnectReason,
    },
    /// Frames arrived, in the order in which they were sent on this lane.
    Frames {
        /// The link.
        link: LinkId,
        /// The lane.
        lane: Lane,
        /// The payloads, at least one. A small one may share its memory with others that arrived
        /// together (tens of KiB): copy what is to be kept for long.
        frames: Vec<Bytes>,
    },
    /// A datagram arrived. Datagrams may be lost, doubled and overtake each other.
    Datagram {
        /// The link.
        link: LinkId,
        /// Its bytes.
        bytes: Bytes,
    },
}

/// What an event takes of the bound besides its payload: the envelope itself.
const ENVELOPE_BYTES: usize = 64;

impl Event {
    fn cost(&self) -> usize {
        ENVELOPE_BYTES
            + match self {
                Self::Connected(_) | Self::Disconnected { .. } => 0,
                Self::Frames { frames, .. } => {
                    frames.iter().map(|frame| HEADER_BYTES + frame.len()).sum()
                }
                Self::Datagram { bytes, .. } => bytes.len(),
            }
    }
}

/// The consumer's end. When it is dropped, the endpoint's links end.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::UnboundedReceiver<Queued>,
    budget: Arc<Semaphore>,
}

/// The links' end.
#[derive(Debug, Clone)]
pub(crate) struct EventSink {
    /// Without a bound of its own: the budget is its bound.
    queue: mpsc::UnboundedSender<Queued>,
    budget: Arc<Semaphore>,
    budget_bytes: usize,
}

#[derive(Debug)]
struct Queued {
    event: Event,
    /// What to give back to the budget when the consumer has it.
    charged: u32,
}

/// The consumer is gone, or the endpoint is shutting down: nothing more is taken.
#[derive(Debug)]
pub(crate) struct SinkClosed;

pub(crate) fn channel(budget_bytes: usize) -> (EventSink, Events) {
    // What a semaphore can count, and what one acquisition can ask for.
    let budget_bytes = budget_bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
    let budget = Arc::new(Semaphore::new(budget_bytes));
    let (sender, receiver) = mpsc::unbounded_channel();
    let sink = EventSink { queue: sender, budget: budget.clone(), budget_bytes };
    (sink, Events { queue: receiver, budget })
}

impl Events {
    /// The next event; none once the endpoint is gone and everything was taken. May be dropped
    /// before it is done without losing anything.
    pub async fn next(&mut self) -> Option<Event> {
        let queued = self.queue.recv().await?;
        Some(self.accept(queued))
    }

    /// The next event, if one is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        let queued = self.queue.try_recv().ok()?;
        Some(self.accept(queued))
    }

    fn accept(&self, queued: Queued) -> Event {
        self.budget.add_permits(queued.charged as usize);
        queued.event
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // Whoever waits for room will not get any.
        self.budget.close();
    }
}

impl EventSink {
    fn charge(&self, event: &Event) -> u32 {
        // An event beyond the whole budget passes when nothing else is queued.
        u32::try_from(event.cost().min(self.budget_bytes)).expect("the budget fits in 32 bits")
    }

    /// Hands an event up, waiting for room.
    pub(crate) async fn send(&self, event: Event) -> Result<(), SinkClosed> {
        let charged = self.charge(&event);
        self.budget.acquire_many(charged).await.map_err(|_| SinkClosed)?.forget();
        self.queue.send(Queued { event, charged }).map_err(|_| SinkClosed)
    }

    /// Hands an event up if there is room.
    ///
    /// # Errors
    /// There is none; the event is dropped.
    pub(crate) fn try_send(&self, event: Event) -> Result<(), SinkClosed> {
        let charged = self.charge(&event);
        self.budget.try_acquire_many(charged).map_err(|_| SinkClosed)?.forget();
        self.queue.send(Queued { event, charged }).map_err(|_| SinkClosed)
    }

    /// Hands up a link's last event: waits for room, and if there will be none because the
    /// endpoint is shutting down, does without. There is one such event per link, which bounds them.
    pub(crate) async fn send_last(&self, event: Event) {
        let charged = self.charge(&event);
        let charged = match self.budget.acquire_many(charged).await {
            Ok(permit) => {
                permit.forget();
                charged
            }
            Err(_) => 0,
        };
        // Nobody to tell is fine here.
        let _told = self.queue.send(Queued { event, charged });
    }

    /// Stops waiting for the consumer: nothing more is handed up but links' last events.
    pub(crate) fn close(&self) {
        self.budget.close();
    }

    /// Waits until the consumer is gone.
    pub(crate) async fn consumer_gone(&self) {
        self.queue.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::LinkId;

    fn frames(length: usize) -> Event {
        let frames = vec![Bytes::from(vec![0; length])];
        Event::Frames { link: LinkId::from_number(1), lane: Lane::Bulk, frames }
    }

    #[tokio::test]
    async fn what_exceeds_the_budget_waits_until_the_consumer_took_something() {
        let (sink, mut events) = channel(1000);
        sink.send(frames(800)).await.expect("room");
        sink.try_send(frames(800)).expect_err("no room");
        assert!(matches!(events.next().await, Some(Event::Frames { .. })));
        sink.try_send(frames(800)).expect("room again");
    }

    #[tokio::test]
    async fn an_event_beyond_the_whole_budget_passes_alone() {
        let (sink, mut events) = channel(1000);
        sink.try_send(frames(5000)).expect("nothing else is queued");
        sink.try_send(frames(0)).expect_err("no room beside it");
        assert!(events.try_next().is_some());
        sink.try_send(frames(0)).expect("room again");
    }

    #[tokio::test]
    async fn whoever_waits_for_room_learns_that_the_consumer_is_gone() {
        let (sink, events) = channel(100);
        sink.send(frames(100)).await.expect("room");
        let waiting = sink.send(frames(100));
        drop(events);
        waiting.await.expect_err("nobody will take it");
    }
}
