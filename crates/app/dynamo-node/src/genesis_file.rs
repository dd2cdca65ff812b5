//! The genesis file: TOML outside, [`Genesis`] inside (protocol rule 8).
//!
//! Two nodes belong together exactly if the fingerprints of their geneses are equal; the
//! fingerprint is taken from the meaning of the file, not from its text.

use std::path::{Path, PathBuf};

use dynamo_membership::{Genesis, GenesisError, GenesisMember};
use dynamo_ring::Zone;
use dynamo_types::{
    ClusterId, NodeId, ParseIdError, PartitionCount, PartitionCountError, Replication,
    ReplicationError,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a genesis file cannot be used.
#[derive(Debug, Error)]
pub enum GenesisFileError {
    /// There is none, or it cannot be read.
    #[error("cannot read the genesis file {}: a node without genesis serves nothing", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not the TOML of a genesis.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What the parser says, with line and column.
        message: String,
    },
    /// An identity in it is malformed.
    #[error("{}: `{text}` is no {what}", path.display())]
    Identity {
        /// Which file.
        path: PathBuf,
        /// The text.
        text: String,
        /// What it should be.
        what: &'static str,
        /// Why not.
        source: ParseIdError,
    },
    /// The fingerprint of the authority is malformed.
    #[error("{}: ca_fingerprint needs 64 hexadecimal digits", path.display())]
    Fingerprint {
        /// Which file.
        path: PathBuf,
    },
    /// N cannot be that.
    #[error("{}: replication cannot be that", path.display())]
    Replication {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: ReplicationError,
    },
    /// Q cannot be that.
    #[error("{}: partitions cannot be that", path.display())]
    Partitions {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: PartitionCountError,
    },
    /// Its parts do not fit together.
    #[error("{}: this is no genesis", path.display())]
    Unsound {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: GenesisError,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenesisToml {
    cluster: String,
    replication: u8,
    partitions: u32,
    ca_fingerprint: String,
    members: Vec<MemberToml>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberToml {
    id: String,
    name: String,
    address: String,
    http_address: String,
    weight: u32,
    zone: String,
}

/// Reads and checks a genesis file.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn read(path: &Path) -> Result<Genesis, GenesisFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| GenesisFileError::Read { path: path.to_owned(), source })?;
    parse(&text, path)
}

fn parse(text: &str, path: &Path) -> Result<Genesis, GenesisFileError> {
    let file = || path.to_owned();
    let toml: GenesisToml = toml::from_str(text)
        .map_err(|error| GenesisFileError::Syntax { path: file(), message: error.to_string() })?;
    let malformed = |text: &str, what: &'static str| {
        let (path, text) = (file(), text.to_owned());
        move |source| GenesisFileError::Identity { path, text, what, source }
    };
    let cluster: ClusterId =
        toml.cluster.parse().map_err(malformed(&toml.cluster, "cluster id"))?;
    let mut members = Vec::with_capacity(toml.members.len());
    for member in toml.members {
        let node: NodeId = member.id.parse().map_err(malformed(&member.id, "node id"))?;
        members.push(GenesisMember {
            node,
            name: member.name,
            address: member.address,
            http_address: member.http_address,
            weight: member.weight,
            zone: Zone::new(member.zone),
        });
    }
    let genesis = Genesis {
        cluster,
        replication: Replication::new(toml.replication)
            .map_err(|source| GenesisFileError::Replication { path: file(), source })?,
        partition_count: PartitionCount::new(toml.partitions)
            .map_err(|source| GenesisFileError::Partitions { path: file(), source })?,
        members,
        ca_fingerprint: parse_fingerprint(&toml.ca_fingerprint)
            .ok_or_else(|| GenesisFileError::Fingerprint { path: file() })?,
    };
    genesis.validate().map_err(|source| GenesisFileError::Unsound { path: file(), source })?;
    Ok(genesis)
}

/// The text of a genesis file.
#[must_use]
pub fn render(genesis: &Genesis) -> String {
    let members = genesis.members.iter().map(|member| MemberToml {
        id: member.node.to_string(),
        name: member.name.clone(),
        address: member.address.clone(),
        http_address: member.http_address.clone(),
        weight: member.weight,
        zone: member.zone.to_string(),
    });
    let toml = GenesisToml {
        cluster: genesis.cluster.to_string(),
        replication: genesis.replication.get(),
        partitions: genesis.partition_count.get(),
        ca_fingerprint: blake3::Hash::from_bytes(genesis.ca_fingerprint).to_hex().to_string(),
        members: members.collect(),
    };
    let body = toml::to_string(&toml).expect("plain strings and numbers can be written");
    format!("{HEAD}{body}")
}

const HEAD: &str = "# How this cluster began. Give the same file to every member and never change it:\n\
# nodes whose geneses differ refuse each other.\n";

/// 64 hexadecimal digits.
fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Genesis {
        let member = |i: u64| GenesisMember {
            node: NodeId(i),
            name: format!("node-{i}"),
            address: format!("127.0.0.1:710{i}"),
            http_address: format!("127.0.0.1:810{i}"),
            weight: 1,
            zone: Zone::new(format!("zone-{i}")),
        };
        Genesis {
            cluster: ClusterId(7),
            replication: Replication::new(3).unwrap(),
            partition_count: PartitionCount::new(16).unwrap(),
            members: (1..=3).map(member).collect(),
            ca_fingerprint: [9; 32],
        }
    }

    #[test]
    fn what_was_written_reads_back_with_the_same_fingerprint() {
        let text = render(&sample());
        let read = parse(&text, Path::new("genesis.toml")).unwrap();
        assert_eq!(read.fingerprint(), sample().fingerprint());
    }

    #[test]
    fn a_file_that_is_no_genesis_is_refused_by_name() {
        let text = render(&sample());
        for (from, to, expected) in [
            ("replication = 3", "replication = 9", "replication cannot be that"),
            ("replication = 3", "replication = 4", "this is no genesis"),
            ("partitions = 16", "partitions = 17", "partitions cannot be that"),
            ("partitions = 16", "partition = 16", "unknown field"),
            ("id = \"0000000000000001\"", "id = \"1\"", "`1` is no node id"),
            ("id = \"0000000000000001\"", "id = \"0000000000000002\"", "this is no genesis"),
            ("ca_fingerprint = \"09", "ca_fingerprint = \"0", "64 hexadecimal digits"),
        ] {
            assert!(text.contains(from), "{from}");
            let refused = parse(&text.replacen(from, to, 1), Path::new("g.toml")).unwrap_err();
            let refused = refused.to_string();
            assert!(refused.starts_with("g.toml: ") && refused.contains(expected), "{refused}");
        }
    }
}
