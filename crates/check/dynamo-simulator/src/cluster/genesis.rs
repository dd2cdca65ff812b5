//! How a seed's cluster begins: members, layout, keys, clients.

use std::collections::{BTreeMap, VecDeque};

use dynamo_checker::evidence::Evidence;
use dynamo_checker::history::{History, HostIndex, KeyFacts, KeyIndex};
use dynamo_membership::{Genesis, GenesisMember};
use dynamo_messages::{Reply, Request};
use dynamo_protocol::rows::object_key;
use dynamo_protocol::{MemberInfo, NodeConfig};
use dynamo_ring::Zone;
use dynamo_types::{ClusterId, Key, NodeId, ObjectName, Position};
use dynamo_versioning::ContextKey;

use super::{Cluster, Host, OperationCounts};
use crate::disk::Disk;
use crate::markers::Markers;
use crate::network::Network;
use crate::observer::Observer;
use crate::options::SeedOptions;
use crate::queue::EventQueue;
use crate::random::{Stream, nanoseconds};
use crate::trace::Trace;
use crate::wall_clock::WallClock;
use crate::workload::{Client, WorkloadBucket, buckets};

impl Cluster {
    /// A cluster as the seed decides. `readable` keeps the trace as text.
    #[must_use]
    pub fn new(options: SeedOptions, readable: bool) -> Self {
        let seed = options.seed;
        let mut random = Stream::new(seed, "cluster");
        let nodes: Vec<NodeId> = (0..options.nodes).map(|_| NodeId(random.bits())).collect();
        let (config, genesis, spares) = configure(&options, &nodes, &mut random);
        let buckets = buckets(options.replication, &mut random);
        let keys = name_keys(&options, &buckets);
        let history = History {
            keys: facts(&options, &keys, &buckets, &config, &nodes),
            ..History::default()
        };
        let hosts = nodes.iter().enumerate().map(|(i, id)| host(&options, i, *id)).collect();
        let clients = (0..options.workload.clients).map(|i| client(&options, i)).collect();
        let key_of_row = (0u16..).zip(&keys).map(|(i, (name, ..))| (object_key(name), KeyIndex(i)));
        Self {
            now: dynamo_types::Instant::ZERO,
            queue: EventQueue::default(),
            hosts,
            network: Network::new(options.network.clone(), Stream::new(seed, "network"), nodes),
            clients,
            key_of_row: key_of_row.collect(),
            buckets,
            keys,
            attempts: BTreeMap::new(),
            attempt_counter: 0,
            process_counter: 0,
            audit_answers: BTreeMap::new(),
            fault_random: Stream::new(seed, "faults"),
            context_key: ContextKey::derive(&config.cluster_secret),
            cluster_id: genesis.cluster,
            storm: false,
            healed_at: dynamo_types::Instant::ZERO,
            meta_damaged_at: None,
            rows_damaged_in: BTreeMap::new(),
            rows_vanished_in: BTreeMap::new(),
            object_rows_written: 0,
            contexts: BTreeMap::new(),
            observer: Observer::default(),
            spares,
            taken_out: 0,
            epochs: BTreeMap::new(),
            history,
            evidence: Evidence::default(),
            markers: Markers::default(),
            operations: OperationCounts::default(),
            machine_counters: BTreeMap::new(),
            trace: Trace::new(readable),
            random,
            config,
            options,
        }
    }

    /// Puts the settings of all buckets, and waits until every node has them.
    pub(super) fn declare_buckets(&mut self) {
        let declared: Vec<WorkloadBucket> =
            self.buckets.iter().filter(|bucket| bucket.declared).cloned().collect();
        let hosts: Vec<HostIndex> = self.host_indices().collect();
        for (index, of) in declared.iter().enumerate() {
            let host = hosts[index % hosts.len()];
            let (bucket, settings) = (of.bucket.clone(), of.settings);
            let request = Request::PutBucket { bucket, settings };
            match self.ask_one(host, request) {
                Some(Reply::Bucket { .. }) => {}
                other => self.odd(format!("{host} answers the settings of a bucket: {other:?}")),
            }
        }
        for host in hosts {
            for of in &declared {
                self.await_settings(host, of);
            }
        }
    }
}

impl Cluster {
    /// A majority stored the settings before their put was answered; the others follow.
    fn await_settings(&mut self, host: HostIndex, of: &WorkloadBucket) {
        let mut last = None;
        for _ in 0..20 {
            let request = Request::GetBucket { bucket: of.bucket.clone() };
            last = self.ask_one(host, request);
            if matches!(&last, Some(Reply::Bucket { settings, .. }) if *settings == of.settings) {
                return;
            }
            self.advance_to(self.now + core::time::Duration::from_millis(500));
        }
        self.odd(format!("{host} has not the settings put: {last:?}"));
    }
}

fn configure(
    options: &SeedOptions,
    nodes: &[NodeId],
    random: &mut Stream,
) -> (NodeConfig, Genesis, Vec<MemberInfo>) {
    let zone_count = random.between(1, u64::from(options.nodes));
    let mut genesis_members: Vec<GenesisMember> = (0u64..)
        .zip(nodes)
        .map(|(index, node)| GenesisMember {
            node: *node,
            name: format!("n{index}"),
            address: format!("n{index}:7100"),
            http_address: format!("n{index}:8100"),
            weight: u32::try_from(random.between(1, 3)).expect("small"),
            zone: Zone::new(format!("z{}", index % zone_count)),
        })
        .collect();
    let spares = genesis_members.split_off(usize::from(options.founders));
    let spares = spares.iter().map(MemberInfo::from).collect();
    let members = genesis_members.iter().map(MemberInfo::from).collect();
    let genesis = Genesis {
        cluster: ClusterId(u128::from(random.bits())),
        replication: options.replication,
        partition_count: options.partitions,
        members: genesis_members,
        ca_fingerprint: [7; 32],
    };
    let layout = genesis.layout();
    let config = NodeConfig {
        node: nodes[0],
        cluster: genesis.cluster,
        cluster_secret: [9; 32],
        members,
        // Each node's own, at its start.
        joins: None,
        announcement: None,
        layout,
        limits: options.limits,
        timing: options.timing,
        requests_max: options.requests_max,
        bytes_in_flight_max: 64 << 20,
        retries_remembered_max: 100_000,
        hint_bytes_max: options.hint_bytes_max,
        background: options.background,
        tree_depth: options.tree_depth,
    };
    (config, genesis, spares)
}

type PlacedKey = (ObjectName, usize, dynamo_types::PartitionId);

fn name_keys(options: &SeedOptions, buckets: &[WorkloadBucket]) -> Vec<PlacedKey> {
    let mut keys = Vec::new();
    for (index, of) in buckets.iter().enumerate() {
        for number in 0..options.workload.keys_per_bucket {
            let key = Key::new(format!("k{number}")).expect("short");
            let name = ObjectName { bucket: of.bucket.clone(), key };
            let partition = options.partitions.partition_of(Position::of_object(&name));
            keys.push((name, index, partition));
        }
    }
    keys
}

fn facts(
    options: &SeedOptions,
    keys: &[PlacedKey],
    buckets: &[WorkloadBucket],
    config: &NodeConfig,
    nodes: &[NodeId],
) -> Vec<KeyFacts> {
    let index_of = |node| {
        let hosts = (0..options.nodes).map(HostIndex).zip(nodes);
        hosts.filter(|(_, id)| **id == node).map(|(host, _)| host).next()
    };
    keys.iter()
        .map(|(name, bucket, partition)| KeyFacts {
            name: name.clone(),
            last_write_wins: buckets[*bucket].settings.reconciliation
                == dynamo_types::Reconciliation::LastWriteWins,
            durability: buckets[*bucket].settings.durability,
            // As at genesis; those of the end are noted when all moves are done.
            replicas: config.layout.replica_set(*partition).iter().filter_map(index_of).collect(),
            damaged_rows: 0,
        })
        .collect()
}

fn host(options: &SeedOptions, index: usize, id: NodeId) -> Host {
    let mut random = Stream::new(options.seed, &format!("host {index}"));
    let most = i64::try_from(nanoseconds(options.clock_offset_max) / 1000).expect("hours");
    let drawn = random.below(u64::try_from(2 * most + 1).expect("positive"));
    Host {
        id,
        machine: None,
        process: 0,
        inbox: VecDeque::new(),
        turn_pending: false,
        paused: false,
        armed: None,
        disk: Disk::new(options.disk.clone(), Stream::new(options.seed, &format!("disk {index}"))),
        wall: WallClock {
            offset_microseconds: i64::try_from(drawn).expect("hours") - most,
            drift_per_million: i64::try_from(random.below(400)).expect("small") - 200,
        },
        monotonic_base: 0,
        dies_mid_turn: false,
        disk_lost: false,
        hears_until: dynamo_types::Instant::ZERO,
        moves: 0,
        addresses: BTreeMap::new(),
    }
}

fn client(options: &SeedOptions, index: u16) -> Client {
    Client {
        random: Stream::new(options.seed, &format!("client {index}")),
        memory: BTreeMap::new(),
        current: None,
        serial: 0,
        favourite: HostIndex(u8::try_from(index % u16::from(options.nodes)).expect("few nodes")),
    }
}
