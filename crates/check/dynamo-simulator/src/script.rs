//! A calm cluster that a test drives by hand, for histories worth keeping word by word.

use core::time::Duration;

use bytes::Bytes;
use dynamo_checker::history::HostIndex;
use dynamo_membership::Liveness;
use dynamo_messages::{Mutation, Options, Reply, Request};
use dynamo_protocol::{Column, Counters, Timing};
use dynamo_types::{
    Bucket, BucketSettings, Durability, Instant, Key, Limits, ObjectName, PartitionCount, Position,
    Profile, Replication, RequestId,
};
use dynamo_versioning::Content;

use crate::cluster::Cluster;
use crate::disk::{Crash, DiskKnobs};
use crate::network::NetworkKnobs;
use crate::options::{SeedOptions, WorkloadKnobs};

/// A cluster, driven step by step. Nothing goes wrong in it but what the script does.
#[derive(Debug)]
pub struct Script {
    cluster: Cluster,
    requests: u128,
}

/// What a read showed, and the context for the next put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The values in order.
    pub values: Vec<String>,
    /// The context.
    pub context: String,
}

impl Script {
    /// A running cluster of so many nodes with N = 3.
    ///
    /// # Panics
    /// If there are fewer than three nodes.
    #[must_use]
    pub fn new(nodes: u8) -> Self {
        Self::of(calm(nodes))
    }

    /// The same, whose replicas do not compare themselves: only requests and hints heal it.
    ///
    /// # Panics
    /// If there are fewer than three nodes.
    #[must_use]
    pub fn without_anti_entropy(nodes: u8) -> Self {
        let mut options = calm(nodes);
        options.timing.anti_entropy_interval = Duration::from_secs(24 * 3600);
        Self::of(options)
    }

    fn of(options: SeedOptions) -> Self {
        assert!(options.nodes >= 3, "N is 3");
        let mut cluster = Cluster::new(options, false);
        cluster.start_all();
        cluster.advance_to(Instant(2_000_000_000));
        Self { cluster, requests: 0 }
    }

    /// The replicas of a key, and then the other nodes.
    #[must_use]
    pub fn replicas_first(&self, key: &str) -> Vec<HostIndex> {
        let position = Position::of_object(&name(key));
        let (_, set) = self.cluster.config.layout.replicas_of(position);
        let mut hosts: Vec<HostIndex> =
            set.iter().filter_map(|node| self.cluster.index_of(node)).collect();
        let others = self.cluster.host_indices().filter(|host| !hosts.contains(host));
        let others: Vec<HostIndex> = others.collect();
        hosts.extend(others);
        hosts
    }

    /// Puts a value; gives the reply.
    pub fn put(&mut self, at: HostIndex, key: &str, value: &str, contexts: &[&str]) -> Reply {
        self.mutate(at, key, Some(value), contexts, Options::default())
    }

    /// Puts a value (or, without one, a tombstone) with options; gives the reply.
    ///
    /// # Panics
    /// If the node neither answers nor dies within the client's patience.
    pub fn mutate(
        &mut self,
        at: HostIndex,
        key: &str,
        value: Option<&str>,
        contexts: &[&str],
        options: Options,
    ) -> Reply {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.attempt(at, key, value, contexts, options, (request, false))
    }

    /// The request id of the last write.
    #[must_use]
    pub fn last_request(&self) -> RequestId {
        RequestId(self.requests)
    }

    /// Sends a put again under its request id.
    pub fn retry(
        &mut self,
        at: HostIndex,
        key: &str,
        value: &str,
        contexts: &[&str],
        request: RequestId,
    ) -> Reply {
        self.attempt(at, key, Some(value), contexts, Options::default(), (request, true))
    }

    fn attempt(
        &mut self,
        at: HostIndex,
        key: &str,
        value: Option<&str>,
        contexts: &[&str],
        options: Options,
        (request, retry): (RequestId, bool),
    ) -> Reply {
        let content = value.map_or(Content::Tombstone, |value| Content::Value {
            bytes: Bytes::copy_from_slice(value.as_bytes()),
            content_type: "text/plain".into(),
        });
        let contexts = contexts.iter().map(|context| (*context).to_owned()).collect();
        let mutation = Mutation { name: name(key), content, contexts, request, retry, options };
        self.cluster.ask_one(at, Request::Mutate(mutation)).expect("a live node answers")
    }

    /// Reads a key with an r of its own, if one is given; gives the reply.
    ///
    /// # Panics
    /// If the node neither answers nor dies within the client's patience.
    pub fn get(&mut self, at: HostIndex, key: &str, r: Option<u8>) -> Reply {
        self.get_with(at, key, Options { r, ..Options::default() })
    }

    /// Reads a key with options; gives the reply.
    ///
    /// # Panics
    /// If the node neither answers nor dies within the client's patience.
    pub fn get_with(&mut self, at: HostIndex, key: &str, options: Options) -> Reply {
        let request = Request::Get { name: name(key), options };
        self.cluster.ask_one(at, request).expect("a live node answers")
    }

    /// Reads a key that can be read.
    ///
    /// # Panics
    /// If the get fails.
    pub fn read(&mut self, at: HostIndex, key: &str) -> Shown {
        match self.get(at, key, None) {
            Reply::Object(object) => {
                let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
                let mut values: Vec<String> =
                    object.siblings.iter().map(|sibling| text(&sibling.value)).collect();
                values.sort_unstable();
                Shown { values, context: object.context }
            }
            other => panic!("{at} answers a get with {other:?}"),
        }
    }

    /// From now on writes are `buffered`: one replica syncs them before they are acknowledged.
    ///
    /// # Panics
    /// If the nodes do not take the bucket's settings.
    pub fn buffer_writes(&mut self) {
        let bucket = name("any").bucket;
        let n = self.cluster.config.layout.replication();
        let mut settings = BucketSettings::of_profile(Profile::BusinessLogic, n);
        settings.durability = Durability::Buffered;
        let reply = self.cluster.ask_one(HostIndex(0), Request::PutBucket { bucket, settings });
        assert!(matches!(reply, Some(Reply::Bucket { .. })), "{reply:?}");
        self.wait(Duration::from_secs(2));
    }

    /// Lets time pass until so long after the beginning.
    pub fn wait_until(&mut self, since_start: Duration) {
        self.cluster.advance_to(Instant::ZERO + since_start);
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.cluster.advance_to(self.cluster.now() + time);
    }

    /// Cuts a node off from all others, or joins it again.
    pub fn isolate(&mut self, host: HostIndex, cut: bool) {
        let cluster = &mut self.cluster;
        for other in cluster.host_indices().filter(|other| *other != host) {
            for link in [(host, other), (other, host)] {
                cluster.network.set_cut(cluster.now, link, cut, &mut cluster.queue);
            }
        }
    }

    /// Makes a machine stand still.
    pub fn pause(&mut self, host: HostIndex) {
        let cluster = &mut self.cluster;
        cluster.host(host).paused = true;
        cluster.network.set_paused(cluster.now, host, true, &mut cluster.queue);
    }

    /// Lets it go on.
    pub fn resume(&mut self, host: HostIndex) {
        self.cluster.resume(host);
    }

    /// Ends a process; it starts again within seconds.
    pub fn crash(&mut self, host: HostIndex, crash: Crash) {
        self.cluster.crash(host, crash);
    }

    /// Ends a process and loses its disk; it starts again within seconds.
    pub fn lose_disk(&mut self, host: HostIndex) {
        self.cluster.lose_disk(host);
    }

    /// Ends a process and empties its disk so that its shell does not see that there ever was
    /// anything, as when the identity was wiped too and came back from a copy.
    pub fn lose_disk_unnoticed(&mut self, host: HostIndex) {
        if self.cluster.crash(host, Crash::Power) {
            self.cluster.host(host).disk.wipe();
        }
    }

    /// From now on a disk takes so many times as long.
    pub fn slow_disk(&mut self, host: HostIndex, times: u32) {
        self.cluster.host(host).disk.slowness = times;
    }

    /// All machines lose power at once; they start again within seconds.
    pub fn power_cut(&mut self) {
        for host in self.cluster.host_indices() {
            self.cluster.crash(host, Crash::Power);
        }
    }

    /// What a node thinks of another one.
    ///
    /// # Panics
    /// If the observer does not run.
    #[must_use]
    pub fn liveness(&self, observer: HostIndex, subject: HostIndex) -> Liveness {
        self.cluster.liveness(observer, subject).expect("the observer runs")
    }

    /// All nodes.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostIndex> {
        self.cluster.host_indices().collect()
    }

    /// Whether a node's disk has a row of a key.
    #[must_use]
    pub fn has_row(&self, host: HostIndex, key: &str) -> bool {
        let row = dynamo_protocol::rows::object_key(&name(key));
        self.cluster.hosts[host.index()].disk.has(Column::Objects, &row)
    }

    /// How often the running nodes have found that their disk was set back.
    #[must_use]
    pub fn rollbacks_noticed(&self) -> u64 {
        let machines = self.cluster.hosts.iter().filter_map(|host| host.machine.as_ref());
        machines.map(|machine| machine.counters().rollbacks_noticed).sum()
    }

    /// Hints that a node's disk keeps for others.
    #[must_use]
    pub fn hints(&self, host: HostIndex) -> usize {
        self.cluster.hosts[host.index()].disk.rows(Column::Hints).count()
    }

    /// What a node's process counted so far.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn counters(&self, host: HostIndex) -> Counters {
        let machine = self.cluster.hosts[host.index()].machine.as_ref();
        *machine.expect("the node runs").counters()
    }

    /// Whether a node's process runs.
    #[must_use]
    pub fn runs(&self, host: HostIndex) -> bool {
        self.cluster.hosts[host.index()].machine.is_some()
    }

    /// Copies of partitions at a node that may lack something.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn incomplete_partitions(&self, host: HostIndex) -> usize {
        let machine = self.cluster.hosts[host.index()].machine.as_ref();
        machine.expect("the node runs").incomplete_partitions()
    }

    /// Rows of objects that all nodes have written so far.
    #[must_use]
    pub fn object_rows_written(&self) -> u64 {
        self.cluster.object_rows_written
    }
}

fn name(key: &str) -> ObjectName {
    ObjectName {
        bucket: Bucket::new("plain").expect("a good name"),
        key: Key::new(key.to_owned()).expect("a short key"),
    }
}

fn calm(nodes: u8) -> SeedOptions {
    let milliseconds = Duration::from_millis;
    SeedOptions {
        seed: 0,
        duration: Duration::ZERO,
        nodes,
        founders: nodes,
        replication: Replication::new(3).expect("from 1 to 7"),
        partitions: PartitionCount::new(8).expect("a power of two"),
        timing: Timing {
            request_timeout: milliseconds(1_000),
            hop_timeout: milliseconds(200),
            ..Timing::default()
        },
        limits: Limits::default(),
        requests_max: 1_000,
        hint_bytes_max: 64 << 20,
        tree_depth: 1,
        network: NetworkKnobs {
            delay_min: Duration::from_micros(100),
            delay_max: milliseconds(1),
            straggling_per_mille: 0,
            loss_per_mille: 0,
            duplicate_per_mille: 0,
            reorder: false,
            datagram_loss_per_mille: 0,
        },
        disk: DiskKnobs {
            cached_per_mille: 500,
            load_max: Duration::from_micros(200),
            sync_max: milliseconds(1),
            group_max: 16,
        },
        workload: WorkloadKnobs {
            clients: 0,
            think_max: Duration::ZERO,
            patience: milliseconds(5_000),
            reply_loss_per_mille: 0,
            double_per_mille: 0,
            hot_per_mille: 0,
            keys_per_bucket: 1,
        },
        faults: Vec::new(),
        fault_pause_max: Duration::ZERO,
        drain_each_event: false,
        check_encoding: true,
        clock_offset_max: Duration::ZERO,
    }
}
