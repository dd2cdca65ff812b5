//! Who a peer is: a role and a name, both taken from its certificate.
//!
//! A certificate carries one DNS name that ends in the suffix of a role, `<name>.node.dynamo` for
//! a node. DNS names, because URI names in name constraints are a known trouble spot of verifiers.

use std::fmt;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// What a peer may do. The role decides which protocol it may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A member of the cluster.
    Node,
    /// An application.
    Client,
    /// An operator.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Node, Self::Client, Self::Admin];

    /// How the DNS names of this role end.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Node => ".node.dynamo",
            Self::Client => ".client.dynamo",
            Self::Admin => ".admin.dynamo",
        }
    }
}

/// The name of a peer within its role: a DNS label of 1-63 bytes of `[a-z0-9-]` that neither
/// begins nor ends with a hyphen.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName(Box<str>);

/// A text that cannot name a peer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("peer name {0:?} is not a lower-case DNS label of 1-63 characters")]
pub struct PeerNameError(String);

impl PeerName {
    /// Checks a name.
    ///
    /// # Errors
    /// The name is not a lower-case DNS label.
    pub fn new(name: &str) -> Result<Self, PeerNameError> {
        let alphabet = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let sound = (1..=63).contains(&name.len())
            && name.bytes().all(alphabet)
            && !name.starts_with('-')
            && !name.ends_with('-');
        if sound { Ok(Self(name.into())) } else { Err(PeerNameError(name.to_owned())) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerName({self})")
    }
}

/// A peer, as its certificate names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIdentity {
    /// What it may do.
    pub role: Role,
    /// Which one of that role it is.
    pub name: PeerName,
}

impl PeerIdentity {
    /// The DNS name that a certificate of this peer carries.
    #[must_use]
    pub fn dns_name(&self) -> String {
        format!("{}{}", self.name, self.role.suffix())
    }

    fn from_dns_name(dns_name: &str) -> Option<Self> {
        Role::ALL.into_iter().find_map(|role| {
            let name = PeerName::new(dns_name.strip_suffix(role.suffix())?).ok()?;
            Some(Self { role, name })
        })
    }

    /// Reads the identity out of a certificate, whose chain the caller has verified.
    pub(crate) fn from_certificate(
        certificate: &CertificateDer<'_>,
    ) -> Result<Self, CertificateError> {
        let parsed =
            webpki::EndEntityCert::try_from(certificate).map_err(CertificateError::Malformed)?;
        let mut found = parsed.valid_dns_names().filter_map(Self::from_dns_name);
        match (found.next(), found.next()) {
            (Some(identity), None) => Ok(identity),
            // With two there would be a choice, and with a choice a way to be taken for another.
            (Some(_), Some(_)) => Err(CertificateError::Ambiguous),
            (None, _) => Err(CertificateError::Nameless),
        }
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.dns_name())
    }
}

/// Why PEM text or a certificate cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The text is not PEM, or not of the kind asked for.
    #[error("cannot read {what} from PEM")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in the text.
    #[error("no certificate in the PEM text")]
    Empty,
    /// The certificate is not X.509 version 3.
    #[error("malformed certificate")]
    Malformed(#[source] webpki::Error),
    /// No DNS name of any role.
    #[error("certificate carries no name of a known role")]
    Nameless,
    /// More than one DNS name of a role.
    #[error("certificate carries more than one name of a known role")]
    Ambiguous,
    /// The certificate cannot serve as an authority.
    #[error("certificate cannot serve as an authority")]
    Authority(#[source] rustls::Error),
}

/// This process's certificate and private key.
pub struct Identity {
    pub(crate) certificate_chain: Vec<CertificateDer<'static>>,
    pub(crate) private_key: PrivateKeyDer<'static>,
    peer: PeerIdentity,
}

impl Identity {
    /// Reads a certificate chain (the own certificate first) and its private key.
    ///
    /// # Errors
    /// The text cannot be read, or the certificate does not name exactly one peer.
    pub fn from_pem(certificates: &[u8], private_key: &[u8]) -> Result<Self, CertificateError> {
        let certificate_chain = read_certificates(certificates)?;
        let private_key = PrivateKeyDer::from_pem_slice(private_key)
            .map_err(|source| CertificateError::Pem { what: "a private key", source })?;
        let peer = PeerIdentity::from_certificate(&certificate_chain[0])?;
        Ok(Self { certificate_chain, private_key, peer })
    }

    /// Who this is.
    #[must_use]
    pub fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    /// A secret that stays the same for as long as the private key does.
    pub(crate) fn derive_secret(&self, purpose: &'static str) -> [u8; 32] {
        blake3::derive_key(purpose, self.private_key.secret_der())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Identity").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The authorities whose certificates are believed.
#[derive(Debug, Clone)]
pub struct Trust {
    pub(crate) roots: std::sync::Arc<RootCertStore>,
}

impl Trust {
    /// Reads one or more certificates of authorities.
    ///
    /// # Errors
    /// The text cannot be read, or a certificate cannot serve as an authority.
    pub fn from_pem(certificates: &[u8]) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates(certificates)? {
            roots.add(certificate).map_err(CertificateError::Authority)?;
        }
        Ok(Self { roots: roots.into() })
    }
}

/// The BLAKE3 digest of the public key (its SubjectPublicKeyInfo) in the first certificate of a PEM
/// text. It stays the same when the certificate is issued anew for the same key.
///
/// # Errors
/// The text cannot be read.
pub fn public_key_digest(certificate: &[u8]) -> Result<[u8; 32], CertificateError> {
    let chain = read_certificates(certificate)?;
    let parsed = webpki::EndEntityCert::try_from(&chain[0]).map_err(CertificateError::Malformed)?;
    Ok(*blake3::hash(&parsed.subject_public_key_info()).as_bytes())
}

/// At least one certificate.
fn read_certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match read {
        Err(source) => Err(CertificateError::Pem { what: "certificates", source }),
        Ok(none) if none.is_empty() => Err(CertificateError::Empty),
        Ok(chain) => Ok(chain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_name_gives_role_and_name() {
        let peer = PeerIdentity::from_dns_name("n-1.node.dynamo").expect("a node");
        assert_eq!((peer.role, peer.name.as_str()), (Role::Node, "n-1"));
        assert_eq!(peer.dns_name(), "n-1.node.dynamo");
        for other in ["n1.node", "node.dynamo", ".node.dynamo", "a.b.node.dynamo", "N.node.dynamo"]
        {
            assert_eq!(PeerIdentity::from_dns_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_is_a_lower_case_dns_label() {
        for sound in ["a", "0", "a-b", &"x".repeat(63)] {
            assert!(PeerName::new(sound).is_ok(), "{sound}");
        }
        for unsound in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"x".repeat(64)] {
            assert!(PeerName::new(unsound).is_err(), "{unsound}");
        }
    }
}
