//! What a link has yet to send: one bounded queue for each lane.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::frame::HEADER_BYTES;
use crate::lane::{LANES, Lane};
use crate::link::SendError;

/// The queues of a link. Senders push, each lane's writer takes all there is.
#[derive(Debug)]
pub(crate) struct Outbox {
    lanes: [Queue; LANES],
    queue_bytes_max: usize,
    frame_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    content: Mutex<Content>,
    /// Told when the queue stops being empty or is closed.
    wake: Notify,
}

#[derive(Debug, Default)]
struct Content {
    frames: Vec<Bytes>,
    /// Of the frames here and of those that the writer took and has not yet written.
    bytes: usize,
    closed: bool,
}

/// What a writer gets when it asks for frames.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// So many bytes of frames; they stay charged until [`Outbox::written`].
    Frames(usize),
    /// Closed, and nothing is left.
    Closed,
}

fn cost(payload: &Bytes) -> usize {
    HEADER_BYTES + payload.len()
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Content> {
        // Nothing in this module can panic while it holds the lock.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    pub(crate) fn new(queue_bytes_max: usize, frame_bytes_max: usize) -> Self {
        Self { lanes: Default::default(), queue_bytes_max, frame_bytes_max }
    }

    /// Queues a frame. A frame that alone exceeds the bound passes when the lane is empty: else it
    /// never could.
    pub(crate) fn push(&self, lane: Lane, payload: Bytes) -> Result<(), SendError> {
        if payload.len() > self.frame_bytes_max {
            return Err(SendError::TooLong { length: payload.len(), max: self.frame_bytes_max });
        }
        let queue = &self.lanes[lane.index()];
        let mut content = queue.lock();
        if content.closed {
            return Err(SendError::Gone);
        }
        let bytes = content.bytes + cost(&payload);
        if content.bytes > 0 && bytes > self.queue_bytes_max {
            return Err(SendError::QueueFull);
        }
        content.bytes = bytes;
        content.frames.push(payload);
        let first = content.frames.len() == 1;
        drop(content);
        // One wake-up for all that is pushed before the writer runs.
        if first {
            queue.wake.notify_one();
        }
        Ok(())
    }

    /// Waits for frames on a lane and takes them all. Only the lane's writer may call it.
    pub(crate) async fn take(&self, lane: Lane, into: &mut Vec<Bytes>) -> Taken {
        debug_assert!(into.is_empty(), "frames that were taken before are written first");
        let queue = &self.lanes[lane.index()];
        loop {
            {
                let mut content = queue.lock();
                if !content.frames.is_empty() {
                    // The empty vector goes the other way, so that neither side allocates anew.
                    std::mem::swap(&mut content.frames, into);
                    return Taken::Frames(into.iter().map(cost).sum());
                }
                if content.closed {
                    return Taken::Closed;
                }
            }
            queue.wake.notified().await;
        }
    }

    /// Gives back the room of frames that were taken.
    pub(crate) fn written(&self, lane: Lane, bytes: usize) {
        self.lanes[lane.index()].lock().bytes -= bytes;
    }

    /// How many bytes a lane holds, taken but unwritten ones included.
    pub(crate) fn queued_bytes(&self, lane: Lane) -> usize {
        self.lanes[lane.index()].lock().bytes
    }

    /// Takes no more frames; what is there can still be written.
    pub(crate) fn close(&self) {
        for queue in &self.lanes {
            queue.lock().closed = true;
            queue.wake.notify_one();
        }
    }

    /// Takes no more frames and lets go of those that are there.
    pub(crate) fn discard(&self) {
        self.close();
        for queue in &self.lanes {
            // Dropped after the lock is released.
            let _frames = std::mem::take(&mut queue.lock().frames);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Lane = Lane::Background;

    fn payload(length: usize) -> Bytes {
        vec![0; length].into()
    }

    #[test]
    fn a_lane_refuses_what_exceeds_its_bound_until_something_was_written() {
        let outbox = Outbox::new(100, 1000);
        assert_eq!(outbox.push(LANE, payload(80)), Ok(()));
        assert_eq!(outbox.push(LANE, payload(1)), Err(SendError::QueueFull));
        assert_eq!(outbox.push(Lane::Bulk, payload(1)), Ok(()), "lanes do not share a bound");
        outbox.written(LANE, 90);
        assert_eq!(outbox.push(LANE, payload(1)), Ok(()));
    }

    #[test]
    fn a_frame_beyond_the_bound_passes_alone() {
        let outbox = Outbox::new(100, 1000);
        assert_eq!(outbox.push(LANE, payload(1000)), Ok(()));
        assert_eq!(outbox.push(LANE, payload(0)), Err(SendError::QueueFull));
        let too_long = SendError::TooLong { length: 1001, max: 1000 };
        assert_eq!(outbox.push(Lane::Bulk, payload(1001)), Err(too_long));
    }

    #[tokio::test]
    async fn a_writer_takes_all_frames_at_once_and_they_stay_charged() {
        let outbox = Outbox::new(100, 1000);
        for _ in 0..3 {
            outbox.push(LANE, payload(10)).expect("room");
        }
        let mut taken = Vec::new();
        assert_eq!(outbox.take(LANE, &mut taken).await, Taken::Frames(60));
        assert_eq!((taken.len(), outbox.queued_bytes(LANE)), (3, 60));
    }

    #[tokio::test]
    async fn a_closed_outbox_gives_what_it_has_and_then_says_so() {
        let outbox = Outbox::new(100, 1000);
        outbox.push(LANE, payload(10)).expect("room");
        outbox.close();
        assert_eq!(outbox.push(LANE, payload(10)), Err(SendError::Gone));
        let mut taken = Vec::new();
        assert_eq!(outbox.take(LANE, &mut taken).await, Taken::Frames(20));
        taken.clear();
        assert_eq!(outbox.take(LANE, &mut taken).await, Taken::Closed);
    }
}
