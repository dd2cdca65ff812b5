//! Making a cluster's authority and the certificates it issues.
//!
//! One maker for the command that creates a cluster, for local clusters and for tests. Keys are
//! ECDSA on P-256, which every TLS stack takes.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use thiserror::Error;

use crate::clock;
use crate::identity::{CertificateError, Identity, PeerIdentity, PeerName, Role, Trust};

/// How long an authority's certificate is valid.
pub const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How long a peer's certificate is valid unless said otherwise: as long as its authority, for
/// nothing here replaces certificates by itself.
pub const PEER_VALIDITY: Duration = AUTHORITY_VALIDITY;

/// Certificates become valid so much before now: the clocks of hosts differ.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);

/// Making or reading a certificate or key failed.
#[derive(Debug, Error)]
#[error("cannot {step}")]
pub struct IssueError {
    step: &'static str,
    #[source]
    source: rcgen::Error,
}

fn failed(step: &'static str) -> impl FnOnce(rcgen::Error) -> IssueError {
    move |source| IssueError { step, source }
}

/// A private key for which no certificate was made yet.
pub struct PeerKey(KeyPair);

impl PeerKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn generate() -> Result<Self, IssueError> {
        Ok(Self(KeyPair::generate().map_err(failed("make a key"))?))
    }

    /// Reads a key.
    ///
    /// # Errors
    /// The text is not a private key in PEM.
    pub fn from_pem(private_key: &str) -> Result<Self, IssueError> {
        Ok(Self(KeyPair::from_pem(private_key).map_err(failed("read a private key"))?))
    }

    /// What [`public_key_digest`](crate::public_key_digest) gives for any certificate of this key:
    /// a name can be derived from it before there is a certificate.
    #[must_use]
    pub fn public_key_digest(&self) -> [u8; 32] {
        *blake3::hash(&self.0.subject_public_key_info()).as_bytes()
    }
}

impl std::fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PeerKey")
    }
}

/// A certificate and its private key, both in PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key. Keep it to its owner.
    pub private_key_pem: String,
}

impl Issued {
    /// The same, ready for an endpoint.
    ///
    /// # Errors
    /// The texts were changed.
    pub fn identity(&self) -> Result<Identity, CertificateError> {
        Identity::from_pem(self.certificate_pem.as_bytes(), self.private_key_pem.as_bytes())
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// A cluster's certificate authority.
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority, named after its cluster.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn create(cluster: &str) -> Result<Self, IssueError> {
        let key = KeyPair::generate().map_err(failed("make a key"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("dynamo cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, AUTHORITY_VALIDITY);
        let certificate = params.self_signed(&key).map_err(failed("make an authority"))?;
        Ok(Self { certificate_pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    /// Reads an authority back.
    ///
    /// # Errors
    /// The texts are not a certificate of an authority and a private key.
    pub fn from_pem(certificate: &str, private_key: &str) -> Result<Self, IssueError> {
        let key = KeyPair::from_pem(private_key).map_err(failed("read the authority's key"))?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key)
            .map_err(failed("read the authority's certificate"))?;
        Ok(Self { certificate_pem: certificate.to_owned(), issuer })
    }

    /// The authority's certificate: what peers trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's private key. Whoever holds it can be any peer.
    #[must_use]
    pub fn private_key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Trust in this authority alone.
    ///
    /// # Errors
    /// The certificate that was read cannot serve as an authority.
    pub fn trust(&self) -> Result<Trust, CertificateError> {
        Trust::from_pem(self.certificate_pem.as_bytes())
    }

    /// Makes a key and a certificate for a peer, valid for [`PEER_VALIDITY`].
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn issue(&self, role: Role, name: &PeerName) -> Result<Issued, IssueError> {
        self.issue_for(&PeerKey::generate()?, role, name, PEER_VALIDITY)
    }

    /// Makes a certificate for a key that exists, valid from a day ago until `validity` from now.
    /// A `validity` of zero is the way to get an expired one.
    ///
    /// # Errors
    /// Signing failed.
    pub fn issue_for(
        &self,
        key: &PeerKey,
        role: Role,
        name: &PeerName,
        validity: Duration,
    ) -> Result<Issued, IssueError> {
        let peer = PeerIdentity { role, name: name.clone() };
        let mut params = CertificateParams::new(vec![peer.dns_name()])
            .map_err(failed("put the peer's name into a certificate"))?;
        params.distinguished_name.push(DnType::CommonName, peer.dns_name());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match role {
            Role::Node => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
            // Nobody who is not a node can pose as a server.
            Role::Client | Role::Admin => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, validity);
        let certificate =
            params.signed_by(&key.0, &self.issuer).map_err(failed("sign a certificate"))?;
        Ok(Issued { certificate_pem: certificate.pem(), private_key_pem: key.0.serialize_pem() })
    }
}

fn set_validity(params: &mut CertificateParams, validity: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = clock::unix_now();
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + validity;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_read_back_issues_certificates_that_name_their_peer() {
        let made = Authority::create("test").expect("made");
        let read =
            Authority::from_pem(made.certificate_pem(), &made.private_key_pem()).expect("read");
        let name = PeerName::new("n1").expect("a name");
        let issued = read.issue(Role::Node, &name).expect("issued");
        let identity = issued.identity().expect("sound");
        assert_eq!(identity.peer(), &PeerIdentity { role: Role::Node, name });
    }

    #[test]
    fn the_digest_of_a_key_is_the_digest_in_its_certificate() {
        let authority = Authority::create("test").expect("made");
        let key = PeerKey::generate().expect("made");
        let name = PeerName::new("n1").expect("a name");
        let issued = authority.issue_for(&key, Role::Node, &name, PEER_VALIDITY).expect("issued");
        let digest = crate::public_key_digest(issued.certificate_pem.as_bytes()).expect("read");
        assert_eq!(digest, key.public_key_digest());
    }
}
