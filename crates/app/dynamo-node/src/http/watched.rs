//! A connection that gives every refusal a body.
//!
//! The HTTP library refuses what it cannot parse by itself, with a bare status. This stands between
//! it and the socket, recognises such a refusal and writes a problem in its place. It can be
//! recognised because at that moment no response of ours is on its way: [`Exchange`] knows.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::problem::{Problem, ProblemKind};

/// Where the conversation on a connection stands.
#[derive(Debug, Default)]
pub(super) struct Exchange(AtomicU8);

/// Nothing of a next request was read.
const QUIET: u8 = 0;
/// Something was read, but no request yet.
const HEARING: u8 = 1;
/// A request is being served.
const SERVING: u8 = 2;
/// Its response was handed to the library, which may still be writing it.
const ANSWERED: u8 = 3;
/// The rest of a request's head did not come in time.
const TIMED_OUT: u8 = 4;

impl Exchange {
    /// A request arrived.
    pub(super) fn request(&self) {
        self.0.store(SERVING, Ordering::Relaxed);
    }

    /// Its response is ready.
    pub(super) fn response(&self) {
        self.0.store(ANSWERED, Ordering::Relaxed);
    }

    /// Whether no request is being heard, served or answered.
    pub(super) fn is_quiet(&self) -> bool {
        self.0.load(Ordering::Relaxed) == QUIET
    }

    /// Whether a request began and never became whole.
    pub(super) fn was_cut_short(&self) -> bool {
        matches!(self.0.load(Ordering::Relaxed), HEARING | TIMED_OUT)
    }

    /// Whether it took too long.
    pub(super) fn timed_out(&self) -> bool {
        self.0.load(Ordering::Relaxed) == TIMED_OUT
    }

    fn is_hearing(&self) -> bool {
        self.0.load(Ordering::Relaxed) == HEARING
    }

    fn change(&self, from: u8, to: u8) {
        // Another state than `from` is fine: then there is nothing to change.
        let _state = self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A socket under watch.
pub(super) struct WatchedIo<T> {
    socket: T,
    exchange: Arc<Exchange>,
    /// What is written in place of a bare refusal.
    substitute: Vec<u8>,
    substituted: usize,
    patience: Patience,
    /// Runs while the head of a request is not whole.
    hearing: Option<Pin<Box<Sleep>>>,
    /// Runs while the peer takes nothing of a response.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// How long a peer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the first byte of a head to its last.
    pub(super) head: Duration,
    /// Between two pieces of a response that it takes.
    pub(super) stall: Duration,
}

impl<T> WatchedIo<T> {
    pub(super) fn new(socket: T, exchange: Arc<Exchange>, patience: Patience) -> Self {
        let (hearing, stalled) = (None, None);
        let substitute = Vec::new();
        Self { socket, exchange, substitute, substituted: 0, patience, hearing, stalled }
    }
}

impl<T: AsyncWrite + Unpin> WatchedIo<T> {
    /// Writes what stands in place of a refusal.
    fn poll_substitute(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.substituted < self.substitute.len() {
            let rest = &self.substitute[self.substituted..];
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.substituted += written;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes a refusal in, if this is one.
    fn substitutes(&mut self, bytes: &[u8]) -> bool {
        let ours = matches!(self.exchange.0.load(Ordering::Relaxed), SERVING | ANSWERED);
        if ours || !self.substitute.is_empty() {
            return false;
        }
        match refusal_of(bytes) {
            Some(problem) => {
                self.substitute = closing_response(&problem);
                true
            }
            None => false,
        }
    }

    /// Gives up on a peer that takes nothing for too long.
    fn watch_stall<R>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let stall = self.patience.stall;
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The problem behind a bare refusal of the library.
fn refusal_of(bytes: &[u8]) -> Option<Problem> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?;
    let (kind, detail) = match status.get(..3)? {
        b"431" => (ProblemKind::HeadersTooLarge, "the head of the request is too large"),
        b"414" => (ProblemKind::UriTooLong, "the request line is too long"),
        b"400" => (ProblemKind::MalformedRequest, "this is not HTTP/1.1"),
        _ => return None,
    };
    Some(Problem::new(kind, detail))
}

/// A whole response that says that the connection ends.
pub(super) fn closing_response(problem: &Problem) -> Vec<u8> {
    let status = problem.kind.status();
    let reason = status.canonical_reason().unwrap_or("Error");
    let body = problem.body();
    let mut response = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        status.as_u16(),
        body.len()
    )
    .into_bytes();
    response.extend_from_slice(&body);
    response
}

impl<T: AsyncRead + Unpin> AsyncRead for WatchedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.exchange.change(QUIET, HEARING);
        }
        if !self.exchange.is_hearing() {
            self.hearing = None;
        } else if read.is_pending() {
            let patience = self.patience.head;
            let sleep = self.hearing.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
            if sleep.as_mut().poll(cx).is_ready() {
                self.exchange.change(HEARING, TIMED_OUT);
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WatchedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.substitutes(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watch_stall(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        if first.is_some_and(|first| self.substitutes(first)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.watch_stall(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let substituted = self.poll_substitute(cx);
        ready!(self.watch_stall(cx, substituted))?;
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        self.exchange.change(ANSWERED, QUIET);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let substituted = self.poll_substitute(cx);
        ready!(self.watch_stall(cx, substituted))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
