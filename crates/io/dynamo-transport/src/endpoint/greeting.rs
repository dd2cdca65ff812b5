//! What comes between QUIC's handshake and the first frame: certificate, hello, agreement.

use bytes::Bytes;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, ConnectionError, ReadExactError, RecvStream, SendStream, WriteError};
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use tracing::debug;

use crate::close::CloseCode;
use crate::hello::{
    Fingerprints, HELLO_BODY_BYTES_MAX, HELLO_HEADER_BYTES, Hello, HelloConfig, HelloHeader,
};
use crate::identity::{PeerIdentity, PeerName, Role};
use crate::tls::Protocol;

/// What was agreed with a peer that is who it says it is.
#[derive(Debug)]
pub(super) struct Greeted {
    pub(super) protocol: Protocol,
    pub(super) peer: PeerIdentity,
    pub(super) version: u16,
    pub(super) fingerprint: Bytes,
}

/// Why a peer was not greeted.
#[derive(Debug, Error)]
pub(super) enum GreetingError {
    /// This side refuses the peer.
    #[error("refused the peer: {0}")]
    Refused(CloseCode),
    /// The peer is another node than expected.
    #[error("found {0}")]
    Stranger(PeerName),
    /// The connection is gone; the peer may have refused this side.
    #[error("connection lost")]
    Lost(#[source] ConnectionError),
}

impl GreetingError {
    /// The code with which to close the connection.
    pub(super) fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Refused(code) => Some(*code),
            Self::Stranger(_) => Some(CloseCode::NameMismatch),
            Self::Lost(_) => None,
        }
    }
}

const MALFORMED: GreetingError = GreetingError::Refused(CloseCode::HelloMalformed);

fn own_hello(own: &PeerIdentity, config: &HelloConfig) -> Hello {
    Hello {
        version_min: config.version_min,
        version_max: config.version_max,
        name: own.name.clone(),
        fingerprint: config.fingerprint.clone(),
    }
}

/// Greets a node that this side dialled.
pub(super) async fn as_dialler(
    connection: &Connection,
    protocol: Protocol,
    own: &PeerIdentity,
    config: &HelloConfig,
    expected_name: Option<&PeerName>,
) -> Result<Greeted, GreetingError> {
    // Before anything is said: whom are we talking to?
    let peer = certified_peer(connection).filter(|peer| peer.role == Role::Node);
    let peer = peer.ok_or(GreetingError::Refused(CloseCode::RoleRefused))?;
    let oneself = own.role == Role::Node && own.name == peer.name;
    if oneself || expected_name.is_some_and(|expected| *expected != peer.name) {
        return Err(GreetingError::Stranger(peer.name));
    }
    let (mut send, mut receive) = connection.open_bi().await.map_err(GreetingError::Lost)?;
    let hello = own_hello(own, config);
    say(connection, &mut send, &hello).await?;
    let theirs = hear(connection, &mut receive).await?;
    agree(protocol, peer, &hello, &theirs)
}

/// Greets whoever dialled this side.
pub(super) async fn as_acceptor(
    connection: &Connection,
    own: &PeerIdentity,
    config: &HelloConfig,
) -> Result<Greeted, GreetingError> {
    let refused = GreetingError::Refused(CloseCode::RoleRefused);
    let Some(protocol) = agreed_protocol(connection) else { return Err(refused) };
    let peer = certified_peer(connection).filter(|peer| protocol.allows_dialler(peer.role));
    let Some(peer) = peer else { return Err(refused) };
    if peer.role == Role::Node && own.name == peer.name {
        return Err(GreetingError::Stranger(peer.name));
    }
    let (mut send, mut receive) = connection.accept_bi().await.map_err(GreetingError::Lost)?;
    let theirs = hear(connection, &mut receive).await?;
    let hello = own_hello(own, config);
    let greeted = agree(protocol, peer, &hello, &theirs)?;
    say(connection, &mut send, &hello).await?;
    Ok(greeted)
}

fn agree(
    protocol: Protocol,
    peer: PeerIdentity,
    own: &Hello,
    theirs: &Hello,
) -> Result<Greeted, GreetingError> {
    if theirs.name != peer.name {
        return Err(GreetingError::Refused(CloseCode::NameMismatch));
    }
    let fingerprints = match protocol {
        Protocol::Node => Fingerprints::Equal,
        Protocol::Client => Fingerprints::EqualOrEmpty,
    };
    let version = own.agree(theirs, fingerprints).map_err(GreetingError::Refused)?;
    let fingerprint = Bytes::copy_from_slice(&theirs.fingerprint);
    Ok(Greeted { protocol, peer, version, fingerprint })
}

/// Who the peer is by its certificate, which TLS has verified.
fn certified_peer(connection: &Connection) -> Option<PeerIdentity> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    match PeerIdentity::from_certificate(chain.first()?) {
        Ok(peer) => Some(peer),
        Err(error) => {
            debug!(%error, address = %connection.remote_address(), "unusable certificate");
            None
        }
    }
}

fn agreed_protocol(connection: &Connection) -> Option<Protocol> {
    let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
    Protocol::from_alpn(data.protocol.as_deref()?)
}

async fn say(
    connection: &Connection,
    stream: &mut SendStream,
    hello: &Hello,
) -> Result<(), GreetingError> {
    match stream.write_all(&hello.encode()).await {
        // The stream is of no further use.
        Ok(()) => stream.finish().map_err(|_| MALFORMED),
        Err(WriteError::ConnectionLost(error)) => Err(GreetingError::Lost(error)),
        Err(_) => Err(lost_or_malformed(connection)),
    }
}

async fn hear(connection: &Connection, stream: &mut RecvStream) -> Result<Hello, GreetingError> {
    let broken = |error| match error {
        ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error)) => {
            GreetingError::Lost(error)
        }
        _ => lost_or_malformed(connection),
    };
    let mut header = [0; HELLO_HEADER_BYTES];
    stream.read_exact(&mut header).await.map_err(broken)?;
    let malformed = |error| {
        debug!(%error, address = %connection.remote_address(), "unusable hello");
        MALFORMED
    };
    let header = HelloHeader::decode(header).map_err(malformed)?;
    let mut body = [0; HELLO_BODY_BYTES_MAX];
    let body = &mut body[..header.body_bytes];
    stream.read_exact(body).await.map_err(broken)?;
    header.decode_body(body).map_err(malformed)
}

/// A stream that broke off: with the connection, or by itself, which the protocol does not allow.
fn lost_or_malformed(connection: &Connection) -> GreetingError {
    connection.close_reason().map_or(MALFORMED, GreetingError::Lost)
}
