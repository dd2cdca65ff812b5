//! One more node of a cluster that is there: its identity and its configuration.
//!
//! It needs what `init` left with the operator: the genesis file and the authority's key. Nothing of
//! the cluster is changed; the node has to be started and let in by a committed plan.

use std::path::{Path, PathBuf};

use dynamo_membership::{Genesis, GenesisMember};
use dynamo_ring::Zone;
use dynamo_transport::certificates::{Authority, IssueError};
use dynamo_transport::identity::CertificateError;
use dynamo_transport::public_key_digest;
use dynamo_types::NodeId;
use thiserror::Error;

use super::{Files, NODE_TOML, WriteError, write_all};
use crate::genesis_file::{self, GenesisFileError};
use crate::identity_files::names;

/// What one more node shall be.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// The directory that `init` made.
    pub directory: PathBuf,
    /// What people call it, and its directory in there.
    pub name: String,
    /// Where the others find it, `host:port`.
    pub address: String,
    /// The same for HTTP.
    pub http_address: String,
    /// Its capacity, relative to the others.
    pub weight: u32,
    /// Its failure zone; without one it is a zone of its own, if all nodes of the genesis are.
    pub zone: Option<String>,
}

/// A node whose files were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedNode {
    /// Which node.
    pub node: NodeId,
    /// Its failure zone.
    pub zone: String,
    /// Its directory.
    pub directory: PathBuf,
}

/// Why no node can be made. Nothing was written, unless it is an [`AddNodeError::Write`].
#[derive(Debug, Error)]
pub enum AddNodeError {
    /// The genesis file.
    #[error(transparent)]
    Genesis(#[from] GenesisFileError),
    /// The name cannot be that of a directory.
    #[error(
        "`{name}` cannot be the name of a new node: give it 1 to 64 letters, digits, `.`, `_`, `-`, with a letter or digit first, but not `ca` or `client`"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The genesis knows a node of that name.
    #[error(
        "the genesis file has a node {name} already: choose another name, for names say who joins and who leaves"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// An address that is none.
    #[error("`{address}` is not host:port")]
    Address {
        /// The address.
        address: String,
    },
    /// Weight 0.
    #[error("the smallest weight is 1")]
    Weight,
    /// The nodes of the genesis share zones, so nobody can guess this one's.
    #[error("say with --zone what the node fails together with; the zones of the genesis file are {}", zones.join(", "))]
    ZoneNeeded {
        /// The zones that there are.
        zones: Vec<String>,
    },
    /// A zone without a sound name.
    #[error("`{zone}` is no zone: give it 1 to 64 letters, digits, `.`, `_`, `-`")]
    Zone {
        /// The zone.
        zone: String,
    },
    /// Something is there already.
    #[error("{} exists already: nothing is overwritten", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// A file of the operator's is missing.
    #[error("cannot read {}, which `dynamo-node init` left with the operator", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The authority cannot be used.
    #[error("cannot make certificates")]
    Issue(#[from] IssueError),
    /// The authority's certificate cannot be read.
    #[error("{} holds no usable certificate", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: CertificateError,
    },
    /// The authority is another one than the cluster's.
    #[error("{} is not the authority that the genesis file names", path.display())]
    OtherAuthority {
        /// Which file.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Makes the files of one more node.
///
/// # Errors
/// The plan makes no sense, something is missing or there already, or the disk refuses.
pub fn add_node(plan: &NodePlan) -> Result<AddedNode, AddNodeError> {
    let genesis = genesis_file::read(&plan.directory.join("genesis.toml"))?;
    let zone = check(plan, &genesis)?;
    let (authority, secret) = operators_files(&plan.directory, &genesis)?;
    let directory = plan.directory.join(&plan.name);
    if directory.exists() {
        return Err(AddNodeError::Exists { path: directory });
    }
    let mut files = Files { root: plan.directory.clone(), files: Vec::new() };
    let node = files.identity(&plan.name, &authority, &secret)?;
    // Last, because a node without configuration does not start.
    files.public(&format!("{}/dynamo.toml", plan.name), &node_toml(plan, &zone));
    write_all(&files.files)?;
    Ok(AddedNode { node, zone, directory })
}

/// Checks the plan; answers with the node's zone.
fn check(plan: &NodePlan, genesis: &Genesis) -> Result<String, AddNodeError> {
    let NodePlan { name, weight, .. } = plan;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let is_sound = (1..=64).contains(&name.len())
        && name.bytes().all(allowed)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !["ca", "client"].contains(&name.as_str());
    if !is_sound {
        return Err(AddNodeError::Name { name: name.clone() });
    }
    if genesis.members.iter().any(|member| member.name == *name) {
        return Err(AddNodeError::NameTaken { name: name.clone() });
    }
    for address in [&plan.address, &plan.http_address] {
        let parts = address.rsplit_once(':');
        let is_sound = parts.is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !is_sound || address.chars().any(char::is_control) {
            return Err(AddNodeError::Address { address: address.clone() });
        }
    }
    if *weight == 0 {
        return Err(AddNodeError::Weight);
    }
    let zone = match &plan.zone {
        Some(zone) => zone.clone(),
        None => zone_of_its_own(name, &genesis.members)?,
    };
    if !Zone::new(zone.as_str()).is_sound() {
        return Err(AddNodeError::Zone { zone });
    }
    Ok(zone)
}

/// The zone of a node in a cluster where each is its own: as `init` names them, if it can.
fn zone_of_its_own(name: &str, members: &[GenesisMember]) -> Result<String, AddNodeError> {
    let mut zones: Vec<String> = members.iter().map(|member| member.zone.to_string()).collect();
    zones.sort_unstable();
    zones.dedup();
    let zone = name.strip_prefix("node-").map_or_else(|| name.to_owned(), |n| format!("zone-{n}"));
    if zones.len() < members.len() || zones.contains(&zone) {
        return Err(AddNodeError::ZoneNeeded { zones });
    }
    Ok(zone)
}

/// The cluster's authority and its secret.
fn operators_files(
    directory: &Path,
    genesis: &Genesis,
) -> Result<(Authority, String), AddNodeError> {
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(source) => Err(AddNodeError::Read { path, source }),
    };
    let certificate_path = directory.join("ca/certificate.pem");
    let certificate = read(certificate_path.clone())?;
    let key = read(directory.join("ca/key.pem"))?;
    let secret = read(directory.join("ca").join(names::SECRET))?;
    let digest = public_key_digest(certificate.as_bytes())
        .map_err(|source| AddNodeError::Certificate { path: certificate_path.clone(), source })?;
    if digest != genesis.ca_fingerprint {
        return Err(AddNodeError::OtherAuthority { path: certificate_path });
    }
    Ok((Authority::from_pem(&certificate, &key)?, secret))
}

fn node_toml(plan: &NodePlan, zone: &str) -> String {
    let text = |text: &str| toml::Value::from(text).to_string();
    format!(
        "{NODE_TOML}\n\
         # Who this node is: the genesis file does not name it.\n\
         [advertise]\nname = {}\naddress = {}\nhttp_address = {}\n\n\
         # What it announces when it first makes itself known; later changes are committed plans.\n\
         [join]\nweight = {}\nzone = {}\n",
        text(&plan.name),
        text(&plan.address),
        text(&plan.http_address),
        plan.weight,
        text(zone)
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use dynamo_types::{PartitionCount, Replication};

    use super::*;
    use crate::init::{ClusterPlan, create};
    use crate::{config_file, identity_files, run};

    fn cluster(directory: &Path, zones: &[&str]) -> PathBuf {
        let directory = directory.join("cluster");
        create(&ClusterPlan {
            directory: directory.clone(),
            nodes: 3,
            replication: Replication::new(3).unwrap(),
            partition_count: PartitionCount::new(16).unwrap(),
            host: "127.0.0.1".parse().unwrap(),
            quic_base: 7100,
            http_base: 8100,
            zones: zones.iter().map(ToString::to_string).collect(),
            name: "test".into(),
        })
        .unwrap();
        directory
    }

    fn plan(directory: &Path) -> NodePlan {
        NodePlan {
            directory: directory.to_owned(),
            name: "node-4".into(),
            address: "127.0.0.1:7104".into(),
            http_address: "127.0.0.1:8104".into(),
            weight: 2,
            zone: None,
        }
    }

    #[test]
    fn what_was_made_is_a_node_that_can_join() {
        let place = tempfile::tempdir().unwrap();
        let directory = cluster(place.path(), &[]);
        let before = std::fs::read(directory.join("genesis.toml")).unwrap();
        let added = add_node(&plan(&directory)).unwrap();
        assert_eq!(added.zone, "zone-4");
        let genesis = genesis_file::read(&directory.join("genesis.toml")).unwrap();
        let identity = added.directory.join("identity");
        let read = identity_files::read(&identity, &genesis.ca_fingerprint).unwrap();
        assert_eq!(read.node, added.node);
        let of_node_1 = directory.join("node-1/identity");
        let of_node_1 = identity_files::read(&of_node_1, &genesis.ca_fingerprint).unwrap();
        assert_eq!(read.secret.0, of_node_1.secret.0);
        for secret in [names::KEY, names::SECRET] {
            let mode = identity.join(secret).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
        }
        let config = added.directory.join("dynamo.toml");
        let settings = config_file::load(&config, [], &[], Path::new("/")).unwrap();
        assert_eq!(settings.join.weight, 2);
        assert_eq!(run::check(&settings).unwrap().node, added.node);
        assert_eq!(std::fs::read(directory.join("genesis.toml")).unwrap(), before);
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_is_left_behind() {
        let place = tempfile::tempdir().unwrap();
        let directory = cluster(place.path(), &[]);
        let added = add_node(&plan(&directory)).unwrap();
        let key = std::fs::read(added.directory.join("identity/key.pem")).unwrap();
        let refused = add_node(&plan(&directory)).unwrap_err();
        assert!(matches!(refused, AddNodeError::Exists { .. }), "{refused}");
        assert_eq!(std::fs::read(added.directory.join("identity/key.pem")).unwrap(), key);

        std::fs::remove_file(directory.join("ca/key.pem")).unwrap();
        let refused = add_node(&NodePlan { name: "node-5".into(), ..plan(&directory) });
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("ca/key.pem, which `dynamo-node init` left"), "{refused}");
        assert!(!directory.join("node-5").exists());
    }

    #[test]
    fn what_no_node_can_be_is_refused_with_the_reason() {
        let place = tempfile::tempdir().unwrap();
        let directory = cluster(place.path(), &[]);
        let check = |change: fn(&mut NodePlan), expected: &str| {
            let mut plan = plan(&directory);
            change(&mut plan);
            let refused = add_node(&plan).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        };
        check(|p| p.name = "node-2".into(), "has a node node-2 already");
        for name in ["", "../x", "a/b", ".hidden", "ca"] {
            let refused = add_node(&NodePlan { name: name.into(), ..plan(&directory) });
            assert!(matches!(refused, Err(AddNodeError::Name { .. })), "{name}");
        }
        check(|p| p.address = "host".into(), "`host` is not host:port");
        check(|p| p.http_address = "host:0".into(), "`host:0` is not host:port");
        check(|p| p.weight = 0, "the smallest weight is 1");
        check(|p| p.zone = Some("a b".into()), "`a b` is no zone");
    }

    #[test]
    fn a_zone_is_not_guessed_where_nodes_share_zones() {
        let place = tempfile::tempdir().unwrap();
        let directory = cluster(place.path(), &["east", "west"]);
        let refused = add_node(&plan(&directory)).unwrap_err().to_string();
        assert!(refused.ends_with("are east, west"), "{refused}");
        let zone = Some("west".to_owned());
        assert_eq!(add_node(&NodePlan { zone, ..plan(&directory) }).unwrap().zone, "west");
    }

    #[test]
    fn the_authority_of_another_cluster_is_refused() {
        let (place, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (directory, other) = (cluster(place.path(), &[]), cluster(other.path(), &[]));
        for name in ["certificate.pem", "key.pem"] {
            std::fs::copy(other.join("ca").join(name), directory.join("ca").join(name)).unwrap();
        }
        let refused = add_node(&plan(&directory)).unwrap_err();
        assert!(matches!(refused, AddNodeError::OtherAuthority { .. }), "{refused}");
    }
}
