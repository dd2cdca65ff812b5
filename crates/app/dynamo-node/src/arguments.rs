//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use dynamo_types::{PartitionCount, Replication};

use crate::init::{ClusterPlan, NodePlan};

/// One node of a Dynamo cluster.
#[derive(Debug, Parser)]
#[command(name = "dynamo-node", version, about)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node until SIGTERM or SIGINT.
    Run(SettingsArguments),
    /// Make the files of a new cluster.
    Init(InitArguments),
    /// Make the files of one more node of a cluster that is there.
    AddNode(AddNodeArguments),
    /// Check or explain settings.
    Config(ConfigArguments),
}

/// Where settings come from.
#[derive(Debug, Args)]
pub struct SettingsArguments {
    /// The node's configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// A setting that overrides file and environment; may repeat.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// What `config` shall do.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub struct ConfigArguments {
    /// The node's configuration file.
    #[arg(long, value_name = "FILE", required_unless_present = "explain")]
    pub config: Option<PathBuf>,
    /// A setting that overrides file and environment; may repeat.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Check the settings, the genesis file and the identity, without starting anything.
    #[arg(long, group = "what")]
    pub check: bool,
    /// Print all settings with unit, default and reason.
    #[arg(long, group = "what")]
    pub explain: bool,
    /// Explain as the page docs/CONFIGURATION.md.
    #[arg(long, requires = "explain")]
    pub markdown: bool,
}

/// What a new cluster shall be.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// Where its files go; nothing is overwritten.
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub nodes: u16,
    /// N, the copies of every object, for good.
    #[arg(long, default_value = "3", value_parser = parse_replication)]
    pub replication: Replication,
    /// Q, the partitions of the ring, a power of two, for good.
    #[arg(long, default_value = "1024", value_parser = parse_partitions)]
    pub partitions: PartitionCount,
    /// The address of all nodes.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Node i speaks QUIC on this port plus i.
    #[arg(long, default_value_t = 7100)]
    pub quic_base: u16,
    /// Node i speaks HTTP on this port plus i.
    #[arg(long, default_value_t = 8100)]
    pub http_base: u16,
    /// Zones for the nodes in turn; without any, each node is a zone of its own.
    #[arg(long, value_delimiter = ',', value_name = "ZONE,…")]
    pub zones: Vec<String>,
    /// The cluster's name in its authority's certificate.
    #[arg(long, default_value = "dynamo")]
    pub name: String,
}

/// What one more node shall be.
#[derive(Debug, Args)]
pub struct AddNodeArguments {
    /// The directory that `init` made, with genesis.toml and ca/; nothing is overwritten.
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// What people call the node, and its directory in there.
    #[arg(long)]
    pub name: String,
    /// Where the others find it.
    #[arg(long, value_name = "HOST:PORT")]
    pub address: String,
    /// The same for HTTP.
    #[arg(long, value_name = "HOST:PORT")]
    pub http_address: String,
    /// Its capacity, relative to the others.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub weight: u32,
    /// Its failure zone; without one it is a zone of its own, if all nodes of the genesis are.
    #[arg(long)]
    pub zone: Option<String>,
}

fn parse_replication(text: &str) -> Result<Replication, String> {
    let number = text.parse::<u8>().map_err(|error| error.to_string())?;
    Replication::new(number).map_err(|error| error.to_string())
}

fn parse_partitions(text: &str) -> Result<PartitionCount, String> {
    let number = text.parse::<u32>().map_err(|error| error.to_string())?;
    PartitionCount::new(number).map_err(|error| error.to_string())
}

impl From<InitArguments> for ClusterPlan {
    fn from(arguments: InitArguments) -> Self {
        Self {
            directory: arguments.dir,
            nodes: arguments.nodes,
            replication: arguments.replication,
            partition_count: arguments.partitions,
            host: arguments.host,
            quic_base: arguments.quic_base,
            http_base: arguments.http_base,
            zones: arguments.zones,
            name: arguments.name,
        }
    }
}

impl From<AddNodeArguments> for NodePlan {
    fn from(arguments: AddNodeArguments) -> Self {
        Self {
            directory: arguments.dir,
            name: arguments.name,
            address: arguments.address,
            http_address: arguments.http_address,
            weight: arguments.weight,
            zone: arguments.zone,
        }
    }
}
