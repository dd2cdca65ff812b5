//! TLS as this crate wants it: version 1.3, both sides show a certificate, nothing is resumed.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore,
    ServerConfig, SignatureScheme, version::TLS13,
};
use thiserror::Error as ThisError;

use crate::identity::{Identity, Role, Trust};

/// Which of the two protocols a connection speaks. ALPN carries its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Between nodes.
    Node,
    /// Between a client and a node.
    Client,
}

impl Protocol {
    /// The name in ALPN, which ends in the version of hello and frames.
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Node => b"dynamo-node/1",
            Self::Client => b"dynamo-client/1",
        }
    }

    pub(crate) fn from_alpn(alpn: &[u8]) -> Option<Self> {
        [Self::Node, Self::Client].into_iter().find(|known| known.alpn() == alpn)
    }

    /// Whether the side that dialled may have this role. The other side is always a node.
    pub(crate) fn allows_dialler(self, role: Role) -> bool {
        match self {
            Self::Node => role == Role::Node,
            Self::Client => matches!(role, Role::Client | Role::Admin),
        }
    }
}

/// Why an identity and a trust make no TLS configuration.
#[derive(Debug, ThisError)]
pub(crate) enum TlsError {
    #[error("private key does not fit the certificate")]
    Identity(#[source] Error),
    #[error("no trusted authority")]
    Trust(#[source] rustls::server::VerifierBuilderError),
}

const QUIC_NEEDS_AES: &str = "the provider has TLS13_AES_128_GCM_SHA256, which QUIC starts with";

fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    // The shorter key first: it is a good third faster, and the link is not the weak spot.
    provider.cipher_suites.sort_by_key(|s| s.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider.into()
}

/// The configuration for taking connections, of nodes and of clients.
pub(crate) fn server(identity: &Identity, trust: &Trust) -> Result<QuicServerConfig, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(trust.roots.clone(), provider())
        .build()
        .map_err(TlsError::Trust)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.certificate_chain.clone(), identity.private_key.clone_key())
        .map_err(TlsError::Identity)?;
    config.alpn_protocols =
        [Protocol::Node, Protocol::Client].map(|known| known.alpn().to_vec()).to_vec();
    // A resumed session would not show its certificate again, and early data can be replayed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(QuicServerConfig::try_from(config).expect(QUIC_NEEDS_AES))
}

/// The configuration for dialling.
pub(crate) fn client(
    identity: &Identity,
    trust: &Trust,
    protocol: Protocol,
) -> Result<QuicClientConfig, TlsError> {
    let verifier = NodeVerifier { roots: trust.roots.clone(), provider: provider() };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(identity.certificate_chain.clone(), identity.private_key.clone_key())
        .map_err(TlsError::Identity)?;
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    config.resumption = Resumption::disabled();
    // Names of nodes are none of an onlooker's business, and the peer has one certificate only.
    config.enable_sni = false;
    Ok(QuicClientConfig::try_from(config).expect(QUIC_NEEDS_AES))
}

/// Verifies a server's chain, validity and usage like any TLS client, and leaves the name to what
/// comes after the handshake: whoever dials need not know whom it will find, and the roles and
/// names of both sides are then checked in one place.
#[derive(Debug)]
struct NodeVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
