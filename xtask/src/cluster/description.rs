//! What a local cluster was asked to be: `cluster.json` in its directory.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The shape of a cluster: fixed when it is made, but for the nodes that come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    /// How many nodes it was made with, numbered from 1.
    pub(super) nodes: u32,
    /// How many nodes were added since, with the numbers that follow.
    pub(super) added: u32,
    /// Nodes that are members no more; their directories are still there.
    pub(super) removed: BTreeSet<u32>,
    /// Replicas of each partition.
    pub(super) replication: u32,
    /// Partitions of the ring, a power of two.
    pub(super) partitions: u32,
    /// The address that all nodes bind.
    pub(super) host: IpAddr,
    /// Node `i` listens for peers and native clients on this port plus `i`.
    pub(super) quic_base: u16,
    /// Node `i` serves HTTP on this port plus `i`.
    pub(super) http_base: u16,
    /// `dynamo-node init` ended well; until then what lies around is half a cluster.
    pub(super) complete: bool,
}

impl Description {
    /// Refuses, before anything is made, what the nodes would refuse later.
    pub(super) fn check(&self) -> Result<()> {
        let Self { replication, partitions, .. } = *self;
        let (made_with, nodes) = (self.nodes, self.total());
        if !(1..=7).contains(&replication) {
            bail!("--replication is 1 to 7, not {replication}");
        }
        if made_with < replication {
            bail!(
                "{made_with} nodes cannot hold {replication} replicas on distinct nodes; give at \
                 least --nodes {replication}, or a smaller --replication"
            );
        }
        if !partitions.is_power_of_two() {
            bail!("--partitions is a power of two, not {partitions}");
        }
        for (option, base) in [("--quic-base", self.quic_base), ("--http-base", self.http_base)] {
            if u32::from(base) + nodes > u32::from(u16::MAX) {
                bail!("{option} {base} leaves no ports for {nodes} nodes");
            }
        }
        let apart = u32::from(self.quic_base.abs_diff(self.http_base));
        // QUIC is UDP and HTTP is TCP, so equal ports would work, and would confuse everybody.
        if apart < nodes {
            bail!("--quic-base and --http-base must be at least {nodes} apart");
        }
        Ok(())
    }

    /// How many nodes there ever were.
    pub(super) fn total(&self) -> u32 {
        self.nodes + self.added
    }

    /// The numbers of all nodes, those that were removed too.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        1..=self.total()
    }

    /// The numbers of the nodes that belong to the cluster.
    pub(super) fn members(&self) -> Vec<u32> {
        self.numbers().filter(|node| !self.removed.contains(node)).collect()
    }

    /// Where a node serves HTTP.
    pub(super) fn http(&self, node: u32) -> SocketAddr {
        self.address(self.http_base, node)
    }

    /// Where a node listens for peers and native clients.
    pub(super) fn quic(&self, node: u32) -> SocketAddr {
        self.address(self.quic_base, node)
    }

    fn address(&self, base: u16, node: u32) -> SocketAddr {
        let offset = u16::try_from(node).expect("`check` keeps all ports in range");
        SocketAddr::new(self.host, base + offset)
    }

    /// The text of `cluster.json`.
    pub(super) fn to_json(&self) -> String {
        let fields = json!({
            "nodes": self.nodes,
            "added": self.added,
            "removed": self.removed,
            "replication": self.replication,
            "partitions": self.partitions,
            "host": self.host.to_string(),
            "quic_base": self.quic_base,
            "http_base": self.http_base,
            "complete": self.complete,
        });
        format!("{fields:#}\n")
    }

    /// Reads `cluster.json`.
    pub(super) fn from_json(text: &str) -> Result<Self> {
        let fields: Value = serde_json::from_str(text).context("it is not JSON")?;
        let number = |name: &str| {
            let number = fields[name].as_u64().and_then(|number| u32::try_from(number).ok());
            number.with_context(|| format!("`{name}` is missing or no number"))
        };
        // Descriptions from before nodes could come and go have neither.
        let added = if fields["added"].is_null() { 0 } else { number("added")? };
        let removed = match fields["removed"].as_array() {
            None => BTreeSet::new(),
            Some(removed) => {
                let node = |node: &Value| node.as_u64().and_then(|node| u32::try_from(node).ok());
                let nodes: Option<BTreeSet<u32>> = removed.iter().map(node).collect();
                nodes.context("`removed` holds something that is no number")?
            }
        };
        let port = |name: &str| u16::try_from(number(name)?).context("a port is too large");
        let host = fields["host"].as_str().and_then(|host| host.parse().ok());
        let description = Self {
            nodes: number("nodes")?,
            added,
            removed,
            replication: number("replication")?,
            partitions: number("partitions")?,
            host: host.context("`host` is missing or no address")?,
            quic_base: port("quic_base")?,
            http_base: port("http_base")?,
            complete: fields["complete"].as_bool().context("`complete` is missing")?,
        };
        description.check()?;
        Ok(description)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Description;

    fn five() -> Description {
        Description {
            nodes: 5,
            added: 0,
            removed: BTreeSet::new(),
            replication: 3,
            partitions: 1024,
            host: "127.0.0.1".parse().unwrap(),
            quic_base: 7100,
            http_base: 8100,
            complete: true,
        }
    }

    #[test]
    fn what_was_written_is_read_back() {
        assert_eq!(Description::from_json(&five().to_json()).unwrap(), five());
    }

    #[test]
    fn nodes_that_came_and_went_are_remembered() {
        let changed = Description { added: 2, removed: BTreeSet::from([3, 6]), ..five() };
        assert_eq!(Description::from_json(&changed.to_json()).unwrap(), changed);
        assert_eq!(changed.members(), [1, 2, 4, 5, 7]);
        assert_eq!(changed.numbers().count(), 7);
        let before = five().to_json().replace("\"added\": 0,", "").replace("\"removed\": [],", "");
        assert_eq!(Description::from_json(&before).unwrap(), five());
    }

    #[test]
    fn a_damaged_description_is_refused_with_its_reason() {
        let error = Description::from_json("{}").unwrap_err();
        assert_eq!(error.to_string(), "`nodes` is missing or no number");
        assert_eq!(Description::from_json("half").unwrap_err().to_string(), "it is not JSON");
        let wrong = five().to_json().replace("1024", "1000");
        assert!(Description::from_json(&wrong).is_err());
    }

    #[test]
    fn ports_count_from_the_bases() {
        assert_eq!(five().http(1).to_string(), "127.0.0.1:8101");
        assert_eq!(five().quic(5).to_string(), "127.0.0.1:7105");
    }

    #[test]
    fn fewer_nodes_than_replicas_are_refused() {
        let error = Description { nodes: 2, ..five() }.check().unwrap_err().to_string();
        assert!(error.contains("give at least --nodes 3"), "{error}");
        assert!(Description { nodes: 3, ..five() }.check().is_ok());
    }

    #[test]
    fn shapes_that_no_node_would_accept_are_refused() {
        for wrong in [
            Description { replication: 0, ..five() },
            Description { replication: 8, nodes: 9, ..five() },
            Description { partitions: 0, ..five() },
            Description { quic_base: 65_533, ..five() },
            Description { quic_base: 8098, ..five() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
