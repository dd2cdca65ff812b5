//! Receiving a body: within a size, and not slower than a standstill may last.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use super::problem::{Problem, ProblemKind};

/// Of a body that is refused for its size, this much is still read, so that a client that sends
/// first and listens later gets to hear why. Beyond it the connection is closed.
const DISCARDED_BYTES_MAX: usize = 32 << 20;

/// The size that a body declares, at most `bytes_max`; the latter for one that declares none.
pub(super) fn expected_bytes(body: &Body, bytes_max: usize) -> usize {
    let declared = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    declared.unwrap_or(bytes_max).min(bytes_max)
}

/// Receives a body of at most `bytes_max`, which may stand still for `idle`.
pub(super) async fn receive(
    mut body: Body,
    bytes_max: usize,
    idle: Duration,
) -> Result<Bytes, Problem> {
    let declared = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    if declared.is_some_and(|bytes| bytes > bytes_max) {
        discard(body, idle).await;
        return Err(too_large(bytes_max));
    }
    let Some(first) = next(&mut body, idle).await? else { return Ok(Bytes::new()) };
    if declared == Some(first.len()) {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(declared.unwrap_or(first.len()));
    let mut piece = Some(first);
    while let Some(bytes) = piece {
        if whole.len() + bytes.len() > bytes_max {
            discard(body, idle).await;
            return Err(too_large(bytes_max));
        }
        whole.extend_from_slice(&bytes);
        piece = next(&mut body, idle).await?;
    }
    Ok(whole.freeze())
}

async fn next(body: &mut Body, idle: Duration) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await.map_err(|_| {
            Problem::new(ProblemKind::RequestTimeout, "the body stood still for too long")
        })?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => {
                let detail = format!("the body broke off: {error}");
                return Err(Problem::new(ProblemKind::MalformedRequest, detail));
            }
            // What is no data is trailers, which mean nothing here.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

async fn discard(mut body: Body, idle: Duration) {
    let mut discarded = 0;
    while discarded < DISCARDED_BYTES_MAX {
        match next(&mut body, idle).await {
            Ok(Some(bytes)) => discarded += bytes.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(ProblemKind::ValueTooLarge, format!("at most {bytes_max} bytes are taken"))
}
