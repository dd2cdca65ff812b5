//! Making a cluster: authority, secret, genesis, and a directory for each node and the operator; and
//! one more node of a cluster that is there.
//!
//! Everything is made in memory first and checked as a node would check it, so that a cluster
//! that cannot work leaves nothing behind.

mod add_node;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use dynamo_membership::{Genesis, GenesisError, GenesisMember};
use dynamo_ring::Zone;
use dynamo_transport::certificates::{Authority, IssueError, PEER_VALIDITY, PeerKey};
use dynamo_transport::identity::CertificateError;
use dynamo_transport::{PeerName, Role, public_key_digest};
use dynamo_types::{ClusterId, NodeId, PartitionCount, Replication};
use thiserror::Error;

use crate::genesis_file;
use crate::identity_files::{SECRET_BYTES, names, node_id};

pub use add_node::{AddNodeError, AddedNode, NodePlan, add_node};

/// What a cluster shall be.
#[derive(Debug, Clone)]
pub struct ClusterPlan {
    /// Where its files go.
    pub directory: PathBuf,
    /// How many nodes, named `node-1` and up.
    pub nodes: u16,
    /// N.
    pub replication: Replication,
    /// Q.
    pub partition_count: PartitionCount,
    /// The address of all nodes.
    pub host: IpAddr,
    /// Node i speaks QUIC on this port plus i.
    pub quic_base: u16,
    /// Node i speaks HTTP on this port plus i.
    pub http_base: u16,
    /// Zones for the nodes in turn; without any, each node is a zone of its own.
    pub zones: Vec<String>,
    /// The cluster's name in its authority's certificate.
    pub name: String,
}

/// Why a cluster cannot be made. Nothing was written, unless it is a [`InitError::Write`].
#[derive(Debug, Error)]
pub enum InitError {
    /// Fewer nodes than copies.
    #[error("replication {replication} needs at least {replication} nodes, not {nodes}")]
    TooFewNodes {
        /// N.
        replication: u8,
        /// Nodes asked for.
        nodes: u16,
    },
    /// The ports would leave their range or meet each other.
    #[error(
        "ports {base}+1 to {base}+{nodes} do not exist, or QUIC and HTTP bases lie less than \
         {nodes} apart"
    )]
    Ports {
        /// The base that does not work.
        base: u16,
        /// Nodes asked for.
        nodes: u16,
    },
    /// Something of a cluster is there already.
    #[error("{} exists already: init never overwrites a cluster", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Randomness(#[source] getrandom::Error),
    /// A certificate could not be made.
    #[error("cannot make certificates")]
    Issue(#[from] IssueError),
    /// A certificate that was made cannot be read.
    #[error("cannot read the certificate just made")]
    Certificate(#[from] CertificateError),
    /// The plan gives no sound genesis.
    #[error("these nodes make no cluster")]
    Genesis(#[from] GenesisError),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A file could not be written; those written before it were removed where possible.
#[derive(Debug, Error)]
#[error("cannot write {}", path.display())]
pub struct WriteError {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

/// One file to be written.
struct PlannedFile {
    path: PathBuf,
    text: String,
    secret: bool,
}

/// Makes a cluster's files and says how it begins.
///
/// # Errors
/// The plan makes no sense, something is there already, or the disk refuses.
pub fn create(plan: &ClusterPlan) -> Result<Genesis, InitError> {
    check(plan)?;
    let (genesis, files) = prepare(plan)?;
    refuse_existing(plan)?;
    write_all(&files)?;
    Ok(genesis)
}

fn check(plan: &ClusterPlan) -> Result<(), InitError> {
    let (nodes, replication) = (plan.nodes, plan.replication.get());
    if nodes < u16::from(replication) {
        return Err(InitError::TooFewNodes { replication, nodes });
    }
    for base in [plan.quic_base, plan.http_base] {
        let meets = plan.quic_base.abs_diff(plan.http_base) < nodes;
        if base.checked_add(nodes).is_none() || meets {
            return Err(InitError::Ports { base, nodes });
        }
    }
    Ok(())
}

fn prepare(plan: &ClusterPlan) -> Result<(Genesis, Vec<PlannedFile>), InitError> {
    let mut cluster = [0; 16];
    getrandom::fill(&mut cluster).map_err(InitError::Randomness)?;
    let cluster = ClusterId(u128::from_be_bytes(cluster));
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(InitError::Randomness)?;
    let secret = format!("{}\n", blake3::Hash::from_bytes(secret).to_hex());

    let authority = Authority::create(&plan.name)?;
    let authority_pem = authority.certificate_pem().to_owned();
    let mut files = Files { root: plan.directory.clone(), files: Vec::new() };
    files.public("ca/certificate.pem", &authority_pem);
    files.secret("ca/key.pem", &authority.private_key_pem());
    // For the nodes that will join. Who has the key beside it can be any node, and know it anyway.
    files.secret(&format!("ca/{}", names::SECRET), &secret);

    let mut members = Vec::with_capacity(usize::from(plan.nodes));
    for number in 1..=plan.nodes {
        let node = files.identity(&format!("node-{number}"), &authority, &secret)?;
        files.public(&format!("node-{number}/dynamo.toml"), NODE_TOML);
        members.push(member(plan, number, node));
    }

    let operator = PeerName::new("operator").expect("a DNS label");
    let issued = authority.issue(Role::Admin, &operator)?;
    files.public("client/identity/certificate.pem", &issued.certificate_pem);
    files.secret("client/identity/key.pem", &issued.private_key_pem);
    files.public("client/client.toml", &client_toml(&members));

    let genesis = Genesis {
        cluster,
        replication: plan.replication,
        partition_count: plan.partition_count,
        members,
        ca_fingerprint: public_key_digest(authority_pem.as_bytes())?,
    };
    genesis.validate()?;
    // Last, because a cluster without genesis serves nothing.
    files.public("genesis.toml", &genesis_file::render(&genesis));
    Ok((genesis, files.files))
}

fn member(plan: &ClusterPlan, number: u16, node: NodeId) -> GenesisMember {
    let zone = if plan.zones.is_empty() {
        format!("zone-{number}")
    } else {
        plan.zones[usize::from(number - 1) % plan.zones.len()].clone()
    };
    let address = |base: u16| std::net::SocketAddr::new(plan.host, base + number).to_string();
    GenesisMember {
        node,
        name: format!("node-{number}"),
        address: address(plan.quic_base),
        http_address: address(plan.http_base),
        weight: 1,
        zone: Zone::new(zone),
    }
}

struct Files {
    root: PathBuf,
    files: Vec<PlannedFile>,
}

impl Files {
    fn public(&mut self, path: &str, text: &str) {
        self.add(path, text, false);
    }

    fn secret(&mut self, path: &str, text: &str) {
        self.add(path, text, true);
    }

    /// A new key and all that goes with it; answers with the node that it makes.
    fn identity(
        &mut self,
        directory: &str,
        authority: &Authority,
        secret: &str,
    ) -> Result<NodeId, IssueError> {
        let key = PeerKey::generate()?;
        let node = node_id(key.public_key_digest());
        let name = PeerName::new(&node.to_string()).expect("hexadecimal digits are a DNS label");
        let issued = authority.issue_for(&key, Role::Node, &name, PEER_VALIDITY)?;
        let identity = format!("{directory}/identity");
        self.public(&format!("{identity}/{}", names::CERTIFICATE), &issued.certificate_pem);
        self.secret(&format!("{identity}/{}", names::KEY), &issued.private_key_pem);
        self.secret(&format!("{identity}/{}", names::SECRET), secret);
        self.public(&format!("{identity}/{}", names::AUTHORITY), authority.certificate_pem());
        Ok(node)
    }

    fn add(&mut self, path: &str, text: &str, secret: bool) {
        self.files.push(PlannedFile { path: self.root.join(path), text: text.to_owned(), secret });
    }
}

/// The least that a node must be told; everything else has a default.
const NODE_TOML: &str = "# All settings: dynamo-node config --explain\n\
genesis = \"../genesis.toml\"\n\
identity = \"identity\"\n\
data = \"data\"\n";

fn client_toml(members: &[GenesisMember]) -> String {
    let seeds: Vec<_> = members.iter().map(|m| format!("\"{}\"", m.address)).collect();
    format!(
        "seeds = [{}]\ncertificate = \"identity/certificate.pem\"\nkey = \"identity/key.pem\"\n\
         ca = \"../ca/certificate.pem\"\n",
        seeds.join(", ")
    )
}

/// Refuses if anything is there that a cluster consists of, also with other numbers of nodes.
fn refuse_existing(plan: &ClusterPlan) -> Result<(), InitError> {
    let mut candidates: Vec<_> =
        ["genesis.toml", "ca", "client"].iter().map(|name| plan.directory.join(name)).collect();
    candidates.extend((1..=plan.nodes).map(|i| plan.directory.join(format!("node-{i}"))));
    match candidates.into_iter().find(|path| path.exists()) {
        Some(path) => Err(InitError::Exists { path }),
        None => Ok(()),
    }
}

fn write_all(files: &[PlannedFile]) -> Result<(), WriteError> {
    let mut written: Vec<&Path> = Vec::new();
    for file in files {
        if let Err(source) = write_one(file) {
            for path in written {
                if let Err(error) = std::fs::remove_file(path) {
                    tracing::warn!(path = %path.display(), %error, "cannot remove what was made");
                }
            }
            return Err(WriteError { path: file.path.clone(), source });
        }
        written.push(&file.path);
    }
    let directories: BTreeSet<_> = files.iter().filter_map(|file| file.path.parent()).collect();
    for path in directories {
        let synced = std::fs::File::open(path).and_then(|directory| directory.sync_all());
        synced.map_err(|source| WriteError { path: path.to_owned(), source })?;
    }
    Ok(())
}

fn write_one(file: &PlannedFile) -> std::io::Result<()> {
    if let Some(parent) = file.path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mode = if file.secret { 0o600 } else { 0o644 };
    let mut options = std::fs::OpenOptions::new();
    let mut open = options.write(true).create_new(true).mode(mode).open(&file.path)?;
    open.write_all(file.text.as_bytes())?;
    open.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::identity_files;

    fn plan(directory: &Path, nodes: u16) -> ClusterPlan {
        ClusterPlan {
            directory: directory.join("cluster"),
            nodes,
            replication: Replication::new(3).unwrap(),
            partition_count: PartitionCount::new(16).unwrap(),
            host: "127.0.0.1".parse().unwrap(),
            quic_base: 7100,
            http_base: 8100,
            zones: Vec::new(),
            name: "test".into(),
        }
    }

    #[test]
    fn what_was_made_is_what_a_node_reads() {
        let directory = tempfile::tempdir().unwrap();
        let plan = plan(directory.path(), 3);
        let made = create(&plan).unwrap();
        let genesis = genesis_file::read(&plan.directory.join("genesis.toml")).unwrap();
        assert_eq!(genesis.fingerprint(), made.fingerprint());
        for (i, member) in genesis.members.iter().enumerate() {
            let identity = plan.directory.join(format!("node-{}/identity", i + 1));
            let read = identity_files::read(&identity, &genesis.ca_fingerprint).unwrap();
            assert_eq!(read.node, member.node);
            for secret in [names::KEY, names::SECRET] {
                let mode = identity.join(secret).metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{secret}");
            }
            assert!(!plan.directory.join(format!("node-{}/data", i + 1)).exists());
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let plan = plan(directory.path(), 3);
        create(&plan).unwrap();
        let before = std::fs::read(plan.directory.join("genesis.toml")).unwrap();
        assert!(matches!(create(&plan), Err(InitError::Exists { .. })));
        assert_eq!(std::fs::read(plan.directory.join("genesis.toml")).unwrap(), before);
    }

    #[test]
    fn too_few_nodes_leave_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let plan = plan(directory.path(), 2);
        let refused = create(&plan).unwrap_err();
        assert_eq!(refused.to_string(), "replication 3 needs at least 3 nodes, not 2");
        assert!(!plan.directory.exists());
    }

    #[test]
    fn an_identity_that_does_not_fit_together_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let plan = plan(directory.path(), 3);
        create(&plan).unwrap();
        let identity = plan.directory.join("node-1/identity");
        let refused = identity_files::read(&identity, &[0; 32]).unwrap_err();
        assert!(matches!(refused, identity_files::IdentityError::OtherAuthority { .. }));
        let other = plan.directory.join("node-2/identity/certificate.pem");
        std::fs::copy(other, identity.join(names::CERTIFICATE)).unwrap();
        let genesis = genesis_file::read(&plan.directory.join("genesis.toml")).unwrap();
        let refused = identity_files::read(&identity, &genesis.ca_fingerprint).unwrap_err();
        assert!(matches!(refused, identity_files::IdentityError::OtherKey { .. }));
    }
}
