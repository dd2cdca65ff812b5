//! The reader of a lane: finds the frames in its stream and hands them up in batches.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quinn::{ReadExactError, RecvStream};

use crate::close::CloseCode;
use crate::counters::{self, Tally};
use crate::event::{Event, EventSink};
use crate::frame::{FrameDecoder, HEADER_BYTES};
use crate::lane::Lane;
use crate::link::LinkId;

/// Pieces taken from a stream at a time: with jumbo packets a quarter of a MiB, so that one batch
/// never holds much of the budget for events.
const PIECES_MAX: usize = 32;

/// Why a reader stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The peer finished the lane, or the connection is gone.
    Ended,
    /// The peer broke the rules: the connection must be closed with this code.
    Violation(CloseCode),
    /// Nobody takes the frames any more.
    Unheard,
}

/// The lanes that the peer has opened on a link.
#[derive(Debug, Default)]
pub(super) struct OpenLanes(Mutex<BTreeSet<Lane>>);

impl OpenLanes {
    /// Whether the peer opens this lane for the first time.
    fn insert(&self, lane: Lane) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lane)
    }
}

/// What readers of a link share.
#[derive(Debug, Clone)]
pub(super) struct ReaderContext {
    pub(super) link: LinkId,
    pub(super) open_lanes: Arc<OpenLanes>,
    pub(super) events: EventSink,
    pub(super) tally: Arc<Tally>,
    pub(super) frame_bytes_max: usize,
}

/// Reads a stream from its first byte to its end.
pub(super) async fn run(mut stream: RecvStream, context: ReaderContext) -> Stopped {
    let mut first = [0];
    match stream.read_exact(&mut first).await {
        Ok(()) => {}
        Err(ReadExactError::FinishedEarly(_)) => {
            return Stopped::Violation(CloseCode::LaneInvalid);
        }
        Err(ReadExactError::ReadError(error)) => return broken(&error),
    }
    let Some(lane) = Lane::from_byte(first[0]).filter(|lane| context.open_lanes.insert(*lane))
    else {
        return Stopped::Violation(CloseCode::LaneInvalid);
    };

    let mut decoder = FrameDecoder::new(context.frame_bytes_max);
    let mut pieces: [Bytes; PIECES_MAX] = Default::default();
    loop {
        let count = match stream.read_chunks(&mut pieces).await {
            Ok(Some(count)) => count,
            Ok(None) if decoder.is_at_boundary() => return Stopped::Ended,
            Ok(None) => return Stopped::Violation(CloseCode::LaneBroken),
            Err(error) => return broken(&error),
        };
        let mut frames = Vec::new();
        let mut sound = Ok(());
        for piece in &mut pieces[..count] {
            sound = sound.and_then(|()| decoder.push(std::mem::take(piece), &mut frames));
        }
        // What came whole before the fault is still the peer's word.
        if !frames.is_empty() {
            let bytes: usize = frames.iter().map(|frame| HEADER_BYTES + frame.len()).sum();
            counters::add(&context.tally.frames_received, frames.len() as u64);
            counters::add(&context.tally.bytes_received, bytes as u64);
            let event = Event::Frames { link: context.link, lane, frames };
            if context.events.send(event).await.is_err() {
                return Stopped::Unheard;
            }
        }
        if let Err(error) = sound {
            tracing::warn!(link = %context.link, ?lane, %error, "peer sent a bad frame");
            return Stopped::Violation(error.close_code());
        }
    }
}

fn broken(error: &quinn::ReadError) -> Stopped {
    match error {
        // Nothing here resets a lane on purpose.
        quinn::ReadError::Reset(_) => Stopped::Violation(CloseCode::LaneBroken),
        _ => Stopped::Ended,
    }
}
