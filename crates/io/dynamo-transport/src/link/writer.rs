//! The writer of a lane: takes all frames that wait and writes them in one go.

use bytes::Bytes;
use quinn::{Connection, SendStream, VarInt, WriteError};

use crate::counters::{self, Tally};
use crate::frame;
use crate::lane::Lane;
use crate::outbox::{Outbox, Taken};

/// Writes a lane's frames until the outbox is closed and empty, then waits for the peer to have
/// received all of them.
///
/// # Errors
/// The stream broke off, with the connection or by the peer's wish.
pub(super) async fn run(
    connection: Connection,
    outbox: std::sync::Arc<Outbox>,
    lane: Lane,
    tally: std::sync::Arc<Tally>,
) -> Result<(), WriteError> {
    let mut stream: Option<SendStream> = None;
    let (mut frames, mut pieces) = (Vec::new(), Vec::new());
    while let Taken::Frames(bytes) = outbox.take(lane, &mut frames).await {
        let open = match &mut stream {
            Some(open) => open,
            none => {
                let opened = connection.open_uni().await?;
                opened.set_priority(lane.priority()).expect("a stream just opened is open");
                let byte = u8::try_from(lane.index()).expect("few lanes");
                pieces.push(Bytes::copy_from_slice(&[byte]));
                none.insert(opened)
            }
        };
        let count = frames.len();
        frame::pack(&mut frames, &mut pieces);
        open.write_all_chunks(&mut pieces).await?;
        pieces.clear();
        outbox.written(lane, bytes);
        counters::add(&tally.frames_sent, count as u64);
        counters::add(&tally.bytes_sent, bytes as u64);
    }
    let Some(mut stream) = stream else { return Ok(()) };
    if stream.finish().is_ok() {
        // None: all of it was acknowledged. Otherwise the peer has no use for the rest.
        let _stopped: Option<VarInt> = stream.stopped().await.unwrap_or(None);
    }
    Ok(())
}
