//! A peer without manners: plain quinn, with hello and frames laid out by hand, so that the tests can
//! say what an endpoint never would.

use std::net::SocketAddr;
use std::sync::Arc;

use dynamo_transport::certificates::Issued;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, SendStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme, version::TLS13};

use crate::world::{loopback, within};

pub(crate) const NODE: &[u8] = b"dynamo-node/1";
pub(crate) const CLIENT: &[u8] = b"dynamo-client/1";

/// Connects with this certificate, or none, and believes any server.
pub(crate) async fn connect(
    address: SocketAddr,
    issued: Option<&Issued>,
    alpn: &[u8],
) -> Result<Connection, ConnectionError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(BelieveAnyone(provider)));
    let mut tls = match issued {
        Some(issued) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(issued.private_key_pem.as_bytes()).unwrap(),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::client(loopback()).unwrap();
    let connecting = endpoint.connect_with(config, address, "node.dynamo").unwrap();
    within("a handshake", connecting).await
}

/// Says a hello on a connection and waits for what comes back: an answer, or the end.
pub(crate) async fn greet(connection: &Connection, hello: &[u8]) -> Result<(), ConnectionError> {
    let (mut send, mut receive) = connection.open_bi().await?;
    if send.write_all(hello).await.is_ok() {
        send.finish().unwrap();
    }
    let answer = within("an answer", receive.read_to_end(1000)).await;
    match answer {
        Ok(answer) if !answer.is_empty() => Ok(()),
        _ => Err(within("the end", connection.closed()).await),
    }
}

/// Opens a lane.
pub(crate) async fn lane(connection: &Connection, byte: u8) -> SendStream {
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(&[byte]).await.unwrap();
    stream
}

pub(crate) fn hello(version_min: u16, version_max: u16, name: &str, fingerprint: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(version_min.to_le_bytes());
    body.extend(version_max.to_le_bytes());
    body.push(u8::try_from(name.len()).unwrap());
    body.extend(name.bytes());
    body.push(u8::try_from(fingerprint.len()).unwrap());
    body.extend(fingerprint);
    let mut bytes = u16::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    bytes.push(1);
    bytes.extend(crc32fast::hash(&body).to_le_bytes());
    bytes.extend(body);
    bytes
}

pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend([1, 0]);
    bytes.extend(crc32fast::hash(payload).to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// The application code with which the other side closed.
pub(crate) fn code(error: &ConnectionError) -> u64 {
    match error {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("not closed by the application: {other}"),
    }
}

#[derive(Debug)]
struct BelieveAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for BelieveAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
