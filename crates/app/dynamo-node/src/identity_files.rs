//! A node's identity directory: certificate, key and cluster secret.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dynamo_transport::certificates::{IssueError, PeerKey};
use dynamo_transport::identity::CertificateError;
use dynamo_transport::{Identity, Role, Trust, public_key_digest};
use dynamo_types::NodeId;
use thiserror::Error;

/// Bytes of a cluster secret.
pub const SECRET_BYTES: usize = 32;

/// Names of the files in an identity directory.
pub mod names {
    /// The certificate, PEM.
    pub const CERTIFICATE: &str = "certificate.pem";
    /// The private key, PEM.
    pub const KEY: &str = "key.pem";
    /// The cluster secret, 64 hexadecimal digits.
    pub const SECRET: &str = "cluster-secret";
    /// The cluster's authority, PEM.
    pub const AUTHORITY: &str = "ca.pem";
}

/// Why an identity cannot be used.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate or key is unsound.
    #[error("{} holds no usable certificate or key", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: CertificateError,
    },
    /// The key cannot be read.
    #[error("{} holds no usable key", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: IssueError,
    },
    /// The key is not that of the certificate.
    #[error("{} is not the key of the certificate beside it", path.display())]
    OtherKey {
        /// Which file.
        path: PathBuf,
    },
    /// The certificate was not issued to this node.
    #[error("{} names {found}, but its key makes this node {expected}.node.dynamo", path.display())]
    OtherName {
        /// Which file.
        path: PathBuf,
        /// What the certificate says.
        found: String,
        /// What the key says.
        expected: NodeId,
    },
    /// The secret is malformed.
    #[error("{} must hold {} hexadecimal digits", path.display(), SECRET_BYTES * 2)]
    Secret {
        /// Which file.
        path: PathBuf,
    },
    /// The authority is not the one of the genesis file.
    #[error("{} is not the authority that the genesis file names", path.display())]
    OtherAuthority {
        /// Which file.
        path: PathBuf,
    },
}

/// A node's identity, read and checked.
#[derive(Debug)]
pub struct NodeIdentity {
    /// Which node this is.
    pub node: NodeId,
    /// Certificate and key.
    pub identity: Identity,
    /// The cluster's authority.
    pub trust: Trust,
    /// The cluster's secret.
    pub secret: ClusterSecret,
}

/// The cluster's secret; not shown in logs.
#[derive(Clone, Copy)]
pub struct ClusterSecret(pub [u8; SECRET_BYTES]);

impl std::fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterSecret")
    }
}

/// The id of the node with that digest of its public key.
#[must_use]
pub fn node_id(public_key_digest: [u8; 32]) -> NodeId {
    let mut first = [0; 8];
    first.copy_from_slice(&public_key_digest[..8]);
    NodeId(u64::from_be_bytes(first))
}

/// Reads an identity directory; the authority must have the fingerprint of the genesis file.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn read(directory: &Path, ca_fingerprint: &[u8; 32]) -> Result<NodeIdentity, IdentityError> {
    let (certificate_path, certificate) = read_file(directory, names::CERTIFICATE)?;
    let (key_path, key) = read_file(directory, names::KEY)?;
    let (authority_path, authority) = read_file(directory, names::AUTHORITY)?;
    let (secret_path, secret) = read_file(directory, names::SECRET)?;
    for path in [&key_path, &secret_path] {
        warn_if_exposed(path);
    }

    let unsound = |path: &Path| {
        let path = path.to_owned();
        move |source| IdentityError::Certificate { path, source }
    };
    let digest = public_key_digest(&certificate).map_err(unsound(&certificate_path))?;
    let node = node_id(digest);
    let identity = Identity::from_pem(&certificate, &key).map_err(unsound(&key_path))?;
    // TLS would refuse this later, with words that help nobody.
    let unreadable = |source| IdentityError::Key { path: key_path.clone(), source };
    let key = PeerKey::from_pem(&String::from_utf8_lossy(&key)).map_err(unreadable)?;
    if key.public_key_digest() != digest {
        return Err(IdentityError::OtherKey { path: key_path });
    }
    let peer = identity.peer();
    if peer.role != Role::Node || peer.name.as_str() != node.to_string() {
        let found = peer.dns_name();
        return Err(IdentityError::OtherName { path: certificate_path, found, expected: node });
    }
    let authority_digest = public_key_digest(&authority).map_err(unsound(&authority_path))?;
    if authority_digest != *ca_fingerprint {
        return Err(IdentityError::OtherAuthority { path: authority_path });
    }
    let trust = Trust::from_pem(&authority).map_err(unsound(&authority_path))?;
    let secret = parse_secret(&secret).ok_or(IdentityError::Secret { path: secret_path })?;
    Ok(NodeIdentity { node, identity, trust, secret })
}

fn read_file(directory: &Path, name: &str) -> Result<(PathBuf, Vec<u8>), IdentityError> {
    let path = directory.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Ok((path, bytes)),
        Err(source) => Err(IdentityError::Read { path, source }),
    }
}

/// Says so if others than the owner may read a secret; who runs the node may have a reason.
fn warn_if_exposed(path: &Path) {
    let mode = path.metadata().map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "others may read this secret: make it mode 0600");
    }
}

fn parse_secret(text: &[u8]) -> Option<ClusterSecret> {
    let hash = blake3::Hash::from_hex(text.trim_ascii()).ok()?;
    Some(ClusterSecret(*hash.as_bytes()))
}
