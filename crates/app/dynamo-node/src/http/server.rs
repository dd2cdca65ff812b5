//! Accepts connections and serves each in a task of its own.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::problem::{Problem, ProblemKind};
use super::router::{router, serve};
use super::state::HttpState;
use super::watched::{Exchange, Patience, WatchedIo, closing_response};

/// The head of a request: room for sixteen contexts of 4 KiB and a key of 1 KiB encoded.
const HEAD_BYTES_MAX: usize = 128 << 10;

/// How long a connection that ends waits for its peer.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// The pause after the system refused a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A server that listens but does not yet accept.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    state: Arc<HttpState>,
}

impl HttpServer {
    /// Listens.
    ///
    /// # Errors
    /// The address cannot be taken.
    pub async fn bind(address: SocketAddr, state: Arc<HttpState>) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, state })
    }

    /// The address that was taken.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until told to stop; then lets requests under way finish, but not beyond the grace.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let app = router(&self.state);
        let stop_connection = stop.clone();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = told_to_stop(&mut stop) => break,
                Some(ended) = connections.join_next() => report_panic(ended),
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) if connections.len() >= self.state.settings.http.connections_max => {
                        refuse(&socket);
                    }
                    Ok((socket, _)) => {
                        let (state, app) = (Arc::clone(&self.state), app.clone());
                        connections.spawn(serve_connection(state, app, socket, stop_connection.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        let grace = self.state.settings.shutdown_grace;
        let all_end = async {
            while let Some(ended) = connections.join_next().await {
                report_panic(ended);
            }
        };
        if tokio::time::timeout(grace, all_end).await.is_err() {
            tracing::warn!("connections are cut: the grace is over");
        }
    }
}

/// Waits for the word; if nobody is left to say it, that is the word.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    let _said = stop.wait_for(|stop| *stop).await;
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the task of a connection ended badly");
    }
}

/// Tells a connection beyond the bound, if the socket takes it at once.
fn refuse(socket: &TcpStream) {
    let detail = "too many connections";
    let response = closing_response(&Problem::retry(ProblemKind::Overloaded, detail, 1000));
    if let Err(error) = socket.try_write(&response) {
        tracing::debug!(%error, "a refused connection was not told");
    }
}

async fn serve_connection(
    state: Arc<HttpState>,
    app: axum::Router,
    socket: TcpStream,
    mut stop: watch::Receiver<bool>,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a socket without options");
    }
    let exchange = Arc::new(Exchange::default());
    let http = &state.settings.http;
    let socket = WatchedIo::new(
        socket,
        Arc::clone(&exchange),
        Patience { head: http.header_timeout, stall: http.body_timeout },
    );
    let service_exchange = Arc::clone(&exchange);
    let service_state = Arc::clone(&state);
    let service = service_fn(move |request| {
        service_exchange.request();
        let exchange = Arc::clone(&service_exchange);
        let served = serve(Arc::clone(&service_state), app.clone(), request);
        // Boxed, so that the connection can be taken apart at its end.
        Box::pin(async move {
            let response = served.await;
            exchange.response();
            response
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // This one also runs while nothing is asked; heads have their own.
        .header_read_timeout(http.idle_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            () = told_to_stop(&mut stop), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let mut last_words = Vec::new();
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended");
        state.metrics.connection_error(&error, exchange.timed_out());
        let too_late = exchange.timed_out() || (error.is_timeout() && exchange.was_cut_short());
        if too_late {
            let detail = "the head of the request did not arrive in time";
            last_words = closing_response(&Problem::new(ProblemKind::RequestTimeout, detail));
        }
    }
    if stopping && exchange.is_quiet() {
        // Nothing was said that the peer could miss.
        return;
    }
    let socket = connection.into_parts().io.into_inner();
    match tokio::time::timeout(CLOSING_TIME, close(socket, &last_words)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection was not closed in peace"),
        Err(_) => tracing::debug!("a peer did not close its side"),
    }
}

/// Says the last words and waits for the peer to close: whoever closes with bytes unread resets the
/// connection, and the peer may never see what was said.
async fn close(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    last_words: &[u8],
) -> io::Result<()> {
    socket.flush().await?;
    socket.write_all(last_words).await?;
    socket.shutdown().await?;
    let mut discarded = vec![0; 16 << 10];
    while socket.read(&mut discarded).await? > 0 {}
    Ok(())
}
