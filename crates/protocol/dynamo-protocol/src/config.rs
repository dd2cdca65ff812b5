//! What a node is told before it starts.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use dynamo_membership::GenesisMember;
use dynamo_repair::budget::BudgetConfig;
use dynamo_ring::Layout;
use dynamo_types::{ClusterId, Limits, NodeId};

use crate::replica::HintCount;
use crate::rows;

/// A member as configured at genesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its identity.
    pub node: NodeId,
    /// Its name for people.
    pub name: String,
    /// Where it speaks QUIC, `host:port`.
    pub address: String,
    /// Where it speaks HTTP, `host:port`.
    pub http_address: String,
    /// Its capacity, relative to the others.
    pub weight: u32,
    /// Its failure zone.
    pub zone: String,
}

impl From<&GenesisMember> for MemberInfo {
    fn from(member: &GenesisMember) -> Self {
        Self {
            node: member.node,
            name: member.name.clone(),
            address: member.address.clone(),
            http_address: member.http_address.clone(),
            weight: member.weight,
            zone: String::from(member.zone.as_str()),
        }
    }
}

/// What a node says of itself. Where the members say otherwise they are told, so that a node can
/// start again elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Its name for people.
    pub name: String,
    /// Where it speaks QUIC, `host:port`.
    pub address: String,
    /// Where it speaks HTTP, `host:port`.
    pub http_address: String,
}

impl From<&MemberInfo> for Announcement {
    fn from(member: &MemberInfo) -> Self {
        Self {
            name: member.name.clone(),
            address: member.address.clone(),
            http_address: member.http_address.clone(),
        }
    }
}

/// What a node is told before it starts. The same on all nodes but for `node` and
/// `announcement`.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Which member this is.
    pub node: NodeId,
    /// Which cluster.
    pub cluster: ClusterId,
    /// The cluster's secret, from which contexts get their seal.
    pub cluster_secret: [u8; 32],
    /// The members that the cluster began with, which are its seeds. What changed since comes from
    /// the database and from the others.
    pub members: Vec<MemberInfo>,
    /// This node, if it was no member at genesis: it makes itself known as one that joins, and holds
    /// nothing until operators let it in.
    pub joins: Option<MemberInfo>,
    /// What this node says of itself; `None` leaves what the members say.
    pub announcement: Option<Announcement>,
    /// The partition table of the genesis. What has moved since comes from the database and from the
    /// others.
    pub layout: Layout,
    /// Bounds on what clients may put.
    pub limits: Limits,
    /// How long things may take.
    pub timing: Timing,
    /// Requests of clients under way at once. Beyond that they are refused before any work: at
    /// 100 us each, 4,096 already mean 0.4 s of waiting.
    pub requests_max: usize,
    /// Bytes of values in requests and replica writes under way at once.
    pub bytes_in_flight_max: usize,
    /// Recent puts remembered for retries (protocol rule 7). At about 100 bytes each the default
    /// takes 25 MB, and covers ten minutes at 400 puts a second to this replica.
    pub retries_remembered_max: usize,
    /// Bytes of hints kept for other nodes, keys included. Beyond that a hint that counts towards w
    /// is refused; courtesy hints are beyond half of it.
    pub hint_bytes_max: u64,
    /// How background work is held back.
    pub background: BudgetConfig,
    /// Depth of the hash trees: 16^depth leaves for each partition. At 2 a tree takes 4.4 KB, and
    /// leaves stay small up to a million records a partition.
    pub tree_depth: u8,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A request without a timeout of its own; 2 s.
    pub request_timeout: Duration,
    /// How long a forwarded put waits for its coordinator before the next one is tried; 500 ms.
    pub hop_timeout: Duration,
    /// The least delay before one more replica is asked in a get; 1 ms.
    pub hedge_delay_min: Duration,
    /// How long a put is remembered for retries; 10 minutes.
    pub retry_window: Duration,
    /// How often dot clocks are checkpointed when there was a change; 10 s.
    pub checkpoint_interval: Duration,
    /// How long a get waits for late replies before it repairs; 100 ms.
    pub read_repair_wait: Duration,
    /// When a replica that has not answered a put or a get is stood in for; 500 ms.
    pub stand_in_delay: Duration,
    /// How often the roots of hash trees are compared with each other member; 10 s.
    pub anti_entropy_interval: Duration,
    /// Between finding a difference and settling it; 2 s.
    pub anti_entropy_pause: Duration,
    /// Between two pieces of background work; 100 ms.
    pub background_interval: Duration,
    /// Between two pages of the scrub while nothing is urgent; 1 s. At 1,024 rows a page, a million
    /// rows take a quarter of an hour.
    pub scrub_interval: Duration,
    /// How often one random other node is asked what it knows of members and buckets; 1 s.
    pub gossip_period: Duration,
    /// How often one member is probed; 300 ms.
    pub probe_period: Duration,
    /// How long the answer to a probe may take before others are asked to try, at most a third of
    /// the period; 100 ms.
    pub probe_timeout: Duration,
    /// The shortest time between a suspicion and the verdict; 1.5 s. It grows with the logarithm of
    /// the number of members.
    pub suspicion_min: Duration,
    /// How often news of who is up is passed on while there is any; 200 ms.
    pub news_period: Duration,
    /// How often one of those that are down is asked to come back; 15 s.
    pub ask_down_period: Duration,
    /// How often a move that does not go on is tried again; 1 s.
    pub move_interval: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(2),
            hop_timeout: Duration::from_millis(500),
            hedge_delay_min: Duration::from_millis(1),
            retry_window: Duration::from_secs(600),
            checkpoint_interval: Duration::from_secs(10),
            read_repair_wait: Duration::from_millis(100),
            stand_in_delay: Duration::from_millis(500),
            anti_entropy_interval: Duration::from_secs(10),
            anti_entropy_pause: Duration::from_secs(2),
            background_interval: Duration::from_millis(100),
            scrub_interval: Duration::from_secs(1),
            gossip_period: Duration::from_secs(1),
            probe_period: Duration::from_millis(300),
            probe_timeout: Duration::from_millis(100),
            suspicion_min: Duration::from_millis(1500),
            news_period: Duration::from_millis(200),
            ask_down_period: Duration::from_secs(15),
            move_interval: Duration::from_secs(1),
        }
    }
}

/// What the database held when the node started.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// All rows of [`Column::Meta`](crate::Column::Meta), in key order; `None` for a damaged value.
    pub meta: Vec<(Bytes, Option<Bytes>)>,
    /// What [`Column::Hints`](crate::Column::Hints) holds for each node, counted by
    /// [`count_hint`](Self::count_hint).
    pub hints: BTreeMap<NodeId, HintCount>,
    /// Whether the database may lack what this node acknowledged: it was wiped, or its log was
    /// damaged. The node answers nothing from it alone then, until the other members have filled it
    /// (protocol rule 4), and says with
    /// [`Effect::IncompletenessRecorded`](crate::Effect::IncompletenessRecorded) when that is
    /// durable.
    pub incomplete: bool,
}

impl Recovered {
    /// Counts a row of [`Column::Hints`](crate::Column::Hints), damaged or not.
    pub fn count_hint(&mut self, key: &Bytes, value_bytes: usize) {
        if let Some((intended, ..)) = rows::parse_hint_key(key) {
            let count = self.hints.entry(intended).or_default();
            count.rows += 1;
            count.bytes += (key.len() + value_bytes) as u64;
        }
    }
}
